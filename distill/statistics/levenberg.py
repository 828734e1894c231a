"""Least squares by the method of Levenberg and Marquardt, in a region of trust.

The algorithm of J. Moré, Lecture Notes in Mathematics 630, 105 (1978), with its constants and its tests of convergence.
MINPACK's ``lmder`` is not used: called twice with the same numbers through SciPy it may take two steps where columns
depend on each other, as laws with a constant too many make them, and a seeded search would not repeat.
Departing from the source, steps come from J^T J with columns of length one, for few constants have few of its
eigenvalues; of columns that depend on each other to all digits the shortest step is taken.
"""

import math
from collections.abc import Callable

import numpy as np

FACTOR = 100.0  # first radius over the size of the start
ACCEPTED, POOR, GOOD = 1e-4, 0.25, 0.75  # of the fall that was foretold
NEAR = 0.1  # share of the radius by which a step may miss it
ROUNDS = 10  # of the search for a damping
EPS = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)


def minimised(residual: Callable, jacobian: Callable, start: np.ndarray, size: np.ndarray, tolerances, most: int):
    """Where the sum of squares of ``residual(x)`` [residual] is least, from ``start`` [constant] on.

    ``jacobian(x)`` [residual, constant]; ``size`` [constant]: typical sizes. ``tolerances``: of the sum of squares, of
    the constants (relative), of the cosine of the residuals with a column. ``most``: values of ``residual`` asked for.
    ``LinAlgError`` where the squares of derivatives are not finite.
    """
    ftol, xtol, gtol = tolerances
    x, r = start, residual(start)
    norm, asked = math.sqrt(r @ r), 1
    extent = _norm(x / size)
    radius, damping, first = FACTOR * extent or FACTOR, 0.0, True
    while True:
        A = jacobian(x) * size
        gram, h = A.T @ A, r @ A
        if not np.isfinite(gram).all():
            raise np.linalg.LinAlgError("derivatives are too large")
        length = np.sqrt(gram.diagonal())
        cosine = float((np.abs(h) / np.where(length > 0, length, 1.0)).max(initial=0.0)) / norm if norm else 0.0
        if cosine <= gtol:
            return x
        undamped, full = _inverse(gram, length)
        while True:
            z, damping = _step(gram, h, undamped, full, radius, damping)
            trial = x - size * z
            far = _norm(z)
            radius, first = (min(radius, far), False) if first else (radius, False)
            left = residual(trial)
            new, asked = math.sqrt(left @ left), asked + 1
            fall = 1 - (new / norm) ** 2 if 0.1 * new < norm else -1.0
            linear, damped = float(z @ gram @ z) / norm**2, damping * (far / norm) ** 2
            foretold, slope = linear + 2 * damped, -(linear + damped)
            ratio = fall / foretold if foretold else 0.0
            if ratio <= POOR:
                less = 0.5 if fall >= 0 else 0.5 * slope / (slope + 0.5 * fall)
                less = 0.1 if 0.1 * new >= norm or less < 0.1 else less
                radius, damping = less * min(radius, 10 * far), damping / less
            elif damping == 0 or ratio >= GOOD:
                radius, damping = 2 * far, 0.5 * damping
            if ratio >= ACCEPTED:
                x, r, norm, extent = trial, left, new, _norm(trial / size)
            if abs(fall) <= ftol and foretold <= ftol and ratio <= 2:
                return x
            if radius <= max(xtol, EPS) * extent or asked >= most or cosine <= EPS:
                return x
            if abs(fall) <= EPS and foretold <= EPS and ratio <= 2:
                return x
            if ratio >= ACCEPTED:
                break


def _norm(values: np.ndarray) -> float:
    return math.sqrt(values @ values)


def _inverse(gram: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, bool]:
    """(the inverse of ``gram``, whether it has one): of what columns do that depend on each other, the least."""
    d = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    value, V = np.linalg.eigh(gram * d * d[:, None])
    first = int(np.searchsorted(value, EPS * len(value) * value[-1], side="right"))  # of those that are not rounding
    V = V[:, first:] * d[:, None]
    return (V / value[first:]) @ V.T, first == 0


def _damped(gram: np.ndarray, damping: float) -> np.ndarray:
    """The inverse of ``gram`` + ``damping``."""
    more = gram + damping * np.eye(len(gram))
    d = 1 / np.sqrt(more.diagonal())
    return np.linalg.inv(more * d * d[:, None]) * d * d[:, None]


def _newton(over: float, radius: float, z: np.ndarray, inverse: np.ndarray) -> float:
    """What Newton's method adds to the damping where the step ``z`` is ``over`` the ``radius`` too long; nothing where
    squares are so large or small that numbers cannot say.
    """
    slope = radius * float(z @ inverse @ z)
    more = over * _norm(z) ** 2 / slope if slope > 0 else 0.0
    return more if math.isfinite(more) else 0.0


def _step(gram, g, undamped, full: bool, radius: float, damping: float) -> tuple[np.ndarray, float]:
    """(the step, its damping): (``gram`` + damping)^-1 times the gradient ``g``. Without damping, by the inverse
    ``undamped``, where that is at most about ``radius`` long, else that long, about; ``damping``: of the last step.
    """
    z = undamped @ g
    length = _norm(z)
    over = length - radius
    if over <= NEAR * radius:
        return z, 0.0
    steepest = _norm(g)
    low = _newton(over, radius, z, undamped) if full else 0.0
    high = steepest / radius or TINY / min(radius, NEAR)
    damping = min(max(damping, low), high) or steepest / length
    for k in range(ROUNDS):
        damping = damping or max(TINY, 1e-3 * high)
        inverse = _damped(gram, damping)
        z = inverse @ g
        length, before = _norm(z), over
        over = length - radius
        if abs(over) <= NEAR * radius or (low == 0 and over <= before < 0) or k == ROUNDS - 1:
            break
        more = _newton(over, radius, z, inverse)
        low, high = (max(low, damping), high) if over > 0 else (low, min(high, damping))
        damping = max(low, damping + more)
    return z, damping
