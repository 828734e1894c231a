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


@dataclass(frozen=True)
class Envelope:
    """exp of a polynomial in log r, continued by straight lines outside ``[low, high]``."""

    coefficients: np.ndarray  # highest power first
    low: float
    high: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """At log distances ``x``."""
        inside = np.clip(x, self.low, self.high)
        slope = np.polyval(np.polyder(self.coefficients), inside) if len(self.coefficients) > 1 else 0.0
        # outwards level: how far a force reaches is not known there
        log = np.polyval(self.coefficients, inside) + np.where(x < self.low, slope, 0.0) * (x - inside)
        return np.exp(np.clip(log, -200, 200))


@dataclass(frozen=True)
class Space:
    """Curves w(r) sum_k g_k B_k(log r): ``breaks`` [interval + 1] in log r, ``envelope`` w."""

    breaks: np.ndarray
    envelope: Envelope
    unit: float

    @property
    def size(self) -> int:
        return len(self.breaks) + DEGREE - 1

    @property
    def knots(self) -> np.ndarray:
        return np.r_[[self.breaks[0]] * DEGREE, self.breaks, [self.breaks[-1]] * DEGREE]

    def log(self, r: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(r, 1e-300) / self.unit)

    def matrix(self, x: np.ndarray) -> csr_array:
        """w B_k at log distances ``x``, moved into the range of the breaks: [row, curve]."""
        inside = np.clip(x, self.breaks[0], self.breaks[-1])
        return diags_array(self.envelope(inside)) @ csr_array(BSpline.design_matrix(inside, self.knots, DEGREE))

    def values(self, coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Curves [row, ...] with the ``coefficients`` [curve, ...]."""
        inside = np.clip(x, self.breaks[0], self.breaks[-1])
        out = BSpline(self.knots, coefficients, DEGREE)(inside)
        return out * self.envelope(inside).reshape(-1, *[1] * (out.ndim - 1))

    @property
    def middles(self) -> np.ndarray:
        """Greville's abscissae, where each of the B-splines counts most: [size]."""
        knots = self.knots
        at = np.mean([knots[k : k + self.size] for k in range(1, DEGREE + 1)], axis=0)
        return np.clip(at, *self.breaks[[0, -1]])  # a mean of equal numbers may be rounded

    def roughness(self) -> np.ndarray:
        """Second differences [size - 2, size] of the coefficients, 0 for those of a straight line in log r."""
        at = self.middles
        out = np.zeros((self.size - 2, self.size))
        for k in range(self.size - 2):
            left, right = at[k + 1] - at[k], at[k + 2] - at[k + 1]
            step = (left + right) / 2
            out[k, k : k + 3] = step / left, -step / left - step / right, step / right
        return out

    def coarser(self) -> tuple["Space", np.ndarray]:
        """The space of every second break, and [size, its size]: its curves in coefficients of this one."""
        coarse = replace(self, breaks=self.breaks[::2])
        at = self.middles
        own = BSpline.design_matrix(at, self.knots, DEGREE).toarray()
        return coarse, np.linalg.solve(own, BSpline.design_matrix(at, coarse.knots, DEGREE).toarray())


def space(x: np.ndarray, intervals: int, envelope: Envelope, unit: float) -> Space:
    """Breaks for log distances ``x``, half by their number and half evenly: close pairs are few and matter most."""
    grid = np.linspace(x.min(), x.max(), 8 * intervals + 1)
    below = np.searchsorted(np.sort(x), grid, "right") / len(x)
    even = (grid - grid[0]) / (grid[-1] - grid[0])
    measure = (below - below[0]) / (below[-1] - below[0]) + even
    breaks = np.interp(np.linspace(0, 2, intervals + 1), measure, grid)
    breaks[0], breaks[-1] = x.min(), x.max()
    return Space(breaks, envelope, unit)


def envelope(x: np.ndarray, size: np.ndarray) -> Envelope:
    """From the net force ``size`` [receiver] of receivers whose nearest particle is at the log distance ``x``.

    Close to another particle a net force is that pair's, and medians over groups of receivers show how it rises. The
    groups double from the closest receivers on.
    """
    order, groups, at, width = np.argsort(x, kind="stable"), [], 0, 16
    while at < len(order):
        groups.append(order[at : at + width])
        at, width = at + width, min(int(1.5 * width), max(16, len(order) // 12))
    if len(groups) > 1 and len(groups[-1]) < 8:
        groups[-2] = np.concatenate([groups[-2], groups.pop()])
    middle = np.array([np.median(x[g]) for g in groups])
    typical = np.array([np.median(size[g]) for g in groups])
    some = typical > 1e-12 * typical.max()
    degree = min(4, max(0, int(some.sum()) - 2)) if np.ptp(middle) > 1e-6 else 0
    if some.sum() < 2:
        return Envelope(np.zeros(1), float(x.min()), float(x.max()))
    polynomial = np.polynomial.Polynomial.fit(middle[some], np.log(typical[some]), degree)
    return Envelope(polynomial.convert().coef[::-1].copy(), float(middle[some].min()), float(middle[some].max()))
