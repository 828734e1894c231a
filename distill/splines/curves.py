"""Curves of the distance: an envelope times cubic B-splines in log r.

The envelope carries the decades that a force spans, so that what the splines have to be is of order one everywhere,
and their second differences mean the same at every distance (P. H. C. Eilers, B. D. Marx, Statistical Science 11, 89,
1996). Distances are in units of ``Space.unit``.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import csr_array, diags_array

DEGREE = 3
MOST_POWER = 14.0  # of an envelope


@dataclass(frozen=True)
class Envelope:
    """(1 + (r_0/r)^2)^(power/2): a power of r inwards of ``bend`` = log r_0, level outwards, where a force may reach as
    far as it likes; smooth, so that the splines need not undo it.
    """

    bend: float
    power: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """At log distances ``x``."""
        return np.exp(np.clip(0.5 * self.power * np.logaddexp(0.0, 2 * (self.bend - x)), -200, 200))


@dataclass(frozen=True)
class Splines:
    """Functions sum_k g_k B_k(x) of one variable: cubic B-splines, ``breaks`` [interval + 1]; level beyond these."""

    breaks: np.ndarray

    @property
    def size(self) -> int:
        return len(self.breaks) + DEGREE - 1

    @property
    def knots(self) -> np.ndarray:
        return np.r_[[self.breaks[0]] * DEGREE, self.breaks, [self.breaks[-1]] * DEGREE]

    def matrix(self, x: np.ndarray) -> csr_array:
        """B_k at ``x``, moved into the range of the breaks: [row, function]."""
        inside = np.clip(x, self.breaks[0], self.breaks[-1])
        return csr_array(BSpline.design_matrix(inside, self.knots, DEGREE))

    @property
    def middles(self) -> np.ndarray:
        """Greville's abscissae, where each of the B-splines counts most: [size]."""
        knots = self.knots
        at = np.mean([knots[k : k + self.size] for k in range(1, DEGREE + 1)], axis=0)
        return np.clip(at, *self.breaks[[0, -1]])  # a mean of equal numbers may be rounded

    def roughness(self) -> np.ndarray:
        """Second differences [size - 2, size] of the coefficients, 0 for those of a straight line."""
        at = self.middles
        out = np.zeros((self.size - 2, self.size))
        for k in range(self.size - 2):
            left, right = at[k + 1] - at[k], at[k + 2] - at[k + 1]
            step = (left + right) / 2
            out[k, k : k + 3] = step / left, -step / left - step / right, step / right
        return out

    def finer(self, times: int):
        """With so many intervals in place of each."""
        at = np.linspace(0, len(self.breaks) - 1, times * (len(self.breaks) - 1) + 1)
        return replace(self, breaks=np.interp(at, np.arange(len(self.breaks)), self.breaks))

    def coarser(self) -> tuple["Splines", np.ndarray]:
        """The space of every second break, and [size, its size]: its functions in coefficients of this one."""
        coarse = replace(self, breaks=self.breaks[::2])
        at = self.middles
        own = BSpline.design_matrix(at, self.knots, DEGREE).toarray()
        return coarse, np.linalg.solve(own, BSpline.design_matrix(at, coarse.knots, DEGREE).toarray())


@dataclass(frozen=True)
class Space(Splines):
    """Curves w(r) sum_k g_k B_k(log r): ``breaks`` [interval + 1] in log r, ``envelope`` w."""

    envelope: Envelope
    unit: float

    def log(self, r: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(r, 1e-300) / self.unit)

    def matrix(self, x: np.ndarray) -> csr_array:
        """w B_k at log distances ``x``, moved into the range of the breaks: [row, curve]."""
        inside = np.clip(x, self.breaks[0], self.breaks[-1])
        return diags_array(self.envelope(inside)) @ super().matrix(inside)

    def values(self, coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Curves [row, ...] with the ``coefficients`` [curve, ...]."""
        inside = np.clip(x, self.breaks[0], self.breaks[-1])
        out = BSpline(self.knots, coefficients, DEGREE)(inside)
        return out * self.envelope(inside).reshape(-1, *[1] * (out.ndim - 1))


def breaks_of(x: np.ndarray, intervals: int, weight: np.ndarray | None = None) -> np.ndarray:
    """Breaks for values ``x``, half by their number and half evenly: where few are may matter most; with a ``weight``
    of each, half of them by that.
    """
    grid, order = np.linspace(x.min(), x.max(), 8 * intervals * (1 if weight is None else 8) + 1), np.argsort(x)
    even = (grid - grid[0]) / (grid[-1] - grid[0])

    def share(of):
        below = np.r_[0.0, np.cumsum(of[order])][np.searchsorted(x[order], grid, "right")]
        return (below - below[0]) / (below[-1] - below[0]) if below[-1] > below[0] else even

    measure = share(np.ones(len(x))) + even
    measure = measure + 2 * share(weight) if weight is not None else measure
    breaks = np.interp(np.linspace(0, measure[-1], intervals + 1), measure, grid)
    breaks[0], breaks[-1] = x.min(), x.max()
    return breaks


def space(x: np.ndarray, intervals: int, envelope: Envelope, unit: float) -> Space:
    """For log distances ``x``: close pairs are few and matter most."""
    return Space(breaks_of(x, intervals), envelope, unit)


def envelope(x: np.ndarray, size: np.ndarray) -> Envelope:
    """From the net force ``size`` [receiver] of receivers whose nearest particle is at the log distance ``x``.

    Close to another particle a net force is that pair's, and medians over groups of receivers show how it rises. The
    groups grow from the closest receivers on.
    """
    order, groups, at, width = np.argsort(x, kind="stable"), [], 0, 16
    while at < len(order):
        groups.append(order[at : at + width])
        at, width = at + width, min(int(1.5 * width), max(16, len(order) // 12))
    middle, typical = (np.array([np.median(v[g]) for g in groups]) for v in (x, size))
    some = typical > 1e-12 * typical.max()
    middle, y = middle[some], np.log(typical[some])
    best = (np.inf, Envelope(float(middle.max()), 0.0))
    for bend in np.linspace(middle.min(), middle.max(), 24) if len(y) > 2 else ():
        rise = 0.5 * np.logaddexp(0.0, 2 * (bend - middle))
        power = np.clip(np.cov(rise, y)[0, 1] / max(rise.var(ddof=1), 1e-300), 0.0, MOST_POWER)
        left = float(np.var(y - power * rise))
        if left < best[0]:
            best = (left, Envelope(float(bend), float(power)))
    return best[1]
