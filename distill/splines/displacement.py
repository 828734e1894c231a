"""Forces that come from points beside the senders, as of wakes: by how much, and where to, they are displaced.

Such a force is not reciprocal, whatever it depends on. On what other terms leave of the accelerations, curves of the
distance from points displaced by c are fitted beside curves of the distance itself, along the axes at first, then
wherever less is left (J. A. Nelder, R. Mead, Computer Journal 7, 308, 1965).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from distill.physics.terms import direction
from distill.splines.blocks import LEAST_SHARE
from distill.splines.curves import Splines, breaks_of
from distill.splines.normal_equations import Table

EDGES = 100_000  # that are looked at
INTERVALS = 6  # of the curves
LENGTHS = (0.1, 0.25, 0.5, 1.0)  # of the distance of nearest neighbours, to begin with
EVALUATIONS = 80
WORTH = 0.03  # share of what is left, squared, that has to be explained beyond what curves of the distance do


def displacement(
    data: Table, factor: np.ndarray, left: np.ndarray, weight: np.ndarray, seed: int = 0, most: int = EDGES
) -> tuple[float, ...] | None:
    """c [dim], or None where nothing of the kind is worth it. ``factor`` [edge]: what multiplies the force of a pair;
    ``left`` [receiver, dim] of the targets; ``weight`` [receiver] of its square.
    """
    if data.motion is None or data.dim < 2:
        return None
    count = max(200, int(most * len(data) / max(len(data.r), 1)))
    if count < len(data):
        pick = np.sort(np.random.default_rng([seed, 97]).choice(len(data), count, replace=False))
        edges = np.concatenate([np.arange(data.start[k], data.start[k + 1]) for k in pick])
        data, factor, left, weight = data.of(pick), factor[edges], left[pick], weight[pick]
    dx = data.r[:, None] * data.motion.unit
    force = factor * data.motion.weight
    root = np.repeat(np.sqrt(weight), data.dim)
    y = left.reshape(-1) * root
    total = float(y @ y)
    shape, edges = (len(data), len(data.r)), np.arange(len(data.r))

    def columns(centre) -> np.ndarray:
        d = dx - centre
        s = np.linalg.norm(d, axis=1)
        x = np.log(np.maximum(s, LEAST_SHARE * data.r))
        curves = Splines(breaks_of(x, INTERVALS)).matrix(x)
        along = direction(d, s) * force[:, None]
        sums = [csr_array((one, edges, data.start), shape=shape) @ curves for one in along.T]
        return np.stack([one.toarray() for one in sums], 1).reshape(len(y), -1) * root[:, None]

    plain, _ = np.linalg.qr(columns(np.zeros(data.dim)))
    y = y - plain @ (plain.T @ y)

    def missed(centre) -> float:
        x = columns(centre)
        x = x - plain @ (plain.T @ x)
        size = np.linalg.norm(x, axis=0)
        q, _ = np.linalg.qr(x[:, size > 0] / size[size > 0])
        return 1 - float(((q.T @ y) ** 2).sum()) / max(total, 1e-300)

    near = float(np.median(data.nearest()))
    tried = [near * length * sign * axis for length in LENGTHS for sign in (1, -1) for axis in np.eye(data.dim)]
    best = min(tried, key=missed)
    if missed(best) > 1 - 0.5 * WORTH:
        return None
    simplex = np.vstack([best, best + 0.2 * np.linalg.norm(best) * np.eye(data.dim)])
    options = {"maxfev": EVALUATIONS, "initial_simplex": simplex, "xatol": 1e-4 * near, "fatol": 1e-6}
    found = minimize(missed, best, method="Nelder-Mead", options=options)
    return tuple(map(float, found.x)) if found.fun <= 1 - WORTH else None
