"""How a curve goes on where there are no data: by a power of r fitted to its ends, so that it does not explode.

Inwards a softened power, r^s (1 + r/rho)^k: a singular force, one that levels off and one between them alike. Outwards
a power alone. The join is where the curve is known to ``KNOWN`` of itself, or about as well as anywhere: with noise the
last few pairs say little. Inwards what is known as well beside a typical force will do: one that acts beyond a distance
only is next to nothing within it.
"""

from dataclasses import dataclass

import numpy as np

INWARD, OUTWARD = (-14.0, 4.0), (-14.0, 2.0)  # exponents that are let pass
KNOWN = 0.02  # relative standard error of a curve up to which it is taken as it is
SPAN = 2.0  # of log r beside the join that the power is fitted to
SOFT = np.geomspace(0.5, 30, 16)  # rho over the join
SURE = 0.003  # relative error below which no value counts more: a spline's own
CAUTION = 2.0  # factor on standard errors: smooth curves are also wrong where they are smooth
# standard deviations of s and k before the curve is seen, and of log f(join)
PRIOR = np.array([1e9, 1.0, 1.0])
POINTS = 40


@dataclass(frozen=True)
class Tail:
    """``join``: log distance; beyond it a curve is its value there times (r/join)^``power``
    ((``soft`` + r/join)/(``soft`` + 1))^``bend``.
    """

    join: float
    power: float
    bend: float = 0.0
    soft: float = 1.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The factor at log distances ``x`` beyond the join."""
        step = np.asarray(x) - self.join
        return np.exp(np.clip(self.power * step + self.bend * _bent(step, self.soft), -300, 300))


def _bent(step: np.ndarray, soft: float) -> np.ndarray:
    return np.logaddexp(np.log(soft), step) - np.log1p(soft)


def tails(value, error, breaks: np.ndarray, noise: float = KNOWN) -> tuple[Tail, Tail]:
    """Inwards and outwards, of a curve whose ``value(x)`` and standard ``error(x)`` are known at log distances between
    the first and the last of the ``breaks`` of its spline. ``noise``: relative error of what it was fitted to; without
    any, less than ``KNOWN`` is asked for.
    """
    grid = np.linspace(*breaks[[0, -1]], 400)
    size, sd = np.abs(value(grid)), error(grid)
    share = sd / np.maximum(size, 1e-300)
    bar = max(float(np.clip(noise, SURE, KNOWN)), 3 * share.min())
    known = np.flatnonzero(share <= bar)
    typical = np.median(size[known])
    inside = np.flatnonzero(sd <= bar * np.maximum(size, typical))  # a force that ends at a distance is known there too
    return (
        _tail(value, error, grid[inside[0]], breaks[-1], breaks, INWARD, SOFT),
        _tail(value, error, grid[known[-1]], breaks[0], breaks, OUTWARD, ()),
    )


def _tail(value, error, join: float, end: float, breaks, limits, soft) -> Tail:
    x = join + np.sign(end - join) * np.linspace(0, min(SPAN, abs(end - join)), POINTS)
    y, sd = value(x), error(x)
    other = np.flatnonzero(np.sign(y) != np.sign(y[0]))  # up to where the force changes its sign
    last = int(0.6 * other[0]) if len(other) else len(x)
    x, y, sd = x[:last], np.abs(y[:last]), sd[:last]
    if last < 4 or not y[0] > 0:
        return Tail(join, 0.0)
    step = x - join
    inside = np.sum((breaks >= x.min()) & (breaks <= x.max()))  # values between two breaks are not independent
    weight = np.sqrt(max(inside, 2) / last) / np.hypot(SURE, np.minimum(CAUTION * sd / y, 10.0))
    best = None
    for rho in soft if len(soft) else (None,):
        columns = [np.ones(last), step] + ([] if rho is None else [_bent(step, rho)])
        prior = np.diag(1 / PRIOR[: len(columns)])
        rows = np.vstack([np.column_stack(columns) * weight[:, None], prior])
        right = np.r_[np.log(y) * weight, np.zeros(len(columns))]
        found = np.linalg.lstsq(rows, right, rcond=None)[0]
        left = float(((rows @ found - right) ** 2).sum())
        if best is None or left < best[0]:
            bend = (0.0, 1.0) if rho is None else (float(found[2]), float(rho))
            best = (left, Tail(join, float(np.clip(found[1], *limits)), *bend))
    return best[1]
