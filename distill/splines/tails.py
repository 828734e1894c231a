"""How a curve goes on where there are no data: by a power of r, fitted to its ends, so that it neither explodes nor ends.

Inwards f = f(join) (r/join)^s exp(b (r/join - 1)): a power times what an analytic function of r does at first order,
which is a softened power law, a constant or a singular one alike. Outwards a power alone. The join is where the curve
is known to ``KNOWN`` of itself: with noise the last few pairs say little.
"""

from dataclasses import dataclass

import numpy as np

INWARD, OUTWARD = (-14.0, 4.0), (-14.0, 2.0)  # exponents that are let pass
KNOWN = 0.02  # relative standard error of a curve up to which it is taken as it is
SPAN = 1.5  # of log r beside the join that the power is fitted to
BEND = 3.0  # largest |b|
SURE = 0.003  # relative error below which no value counts more: a spline's own
POINTS = 40


@dataclass(frozen=True)
class Tail:
    """``join``: log distance; beyond it a curve is its value there times (r/join)^``power`` exp(``bend`` (r/join - 1))."""

    join: float
    power: float
    bend: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The factor at log distances ``x`` beyond the join."""
        step = x - self.join
        return np.exp(np.clip(self.power * step + self.bend * np.expm1(np.minimum(step, 50.0)), -300, 300))


def tails(value, error, low: float, high: float) -> tuple[Tail, Tail]:
    """Inwards and outwards, of a curve whose ``value(x)`` and standard ``error(x)`` are known between the log distances
    ``low`` and ``high``.
    """
    grid = np.linspace(low, high, 400)
    size, sd = np.abs(value(grid)), error(grid)
    known = np.flatnonzero(sd <= KNOWN * size)
    if not len(known):
        known = np.array([int(np.argmin(sd / np.maximum(size, 1e-300)))])
    return (
        _tail(value, error, grid[known[0]], 1, high, INWARD, True),
        _tail(value, error, grid[known[-1]], -1, low, OUTWARD, False),
    )


def _tail(value, error, join: float, way: int, end: float, limits, bent: bool) -> Tail:
    x = join + way * np.linspace(0, min(SPAN, abs(end - join)), POINTS)
    y, sd = value(x), error(x)
    other = np.flatnonzero(np.sign(y) != np.sign(y[0]))  # up to where the force changes its sign
    last = int(0.6 * other[0]) if len(other) else len(x)
    x, y, sd = x[:last], np.abs(y[:last]), sd[:last]
    if last < 4 or not y[0] > 0:
        return Tail(join, 0.0, 0.0)
    step = x - join
    weight = 1 / np.hypot(SURE, np.minimum(sd / y, 10.0))
    columns = np.column_stack([np.ones(last), step, *([np.expm1(step)] if bent else [])])
    # what the curve does not determine is a plain power, and that a weak one
    prior = np.array([1e-9, 0.3, 3.0][: columns.shape[1]])
    rows = np.vstack([columns * weight[:, None] / np.sqrt(last), np.diag(prior)])
    found = np.linalg.lstsq(rows, np.r_[np.log(y) * weight / np.sqrt(last), np.zeros(len(prior))], rcond=None)[0]
    bend = float(np.clip(found[2], -BEND, BEND)) if bent else 0.0
    return Tail(join, float(np.clip(found[1], *limits)), bend)
