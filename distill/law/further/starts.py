"""Formulas to begin with: of the time, of the distance from a point, of the place."""

from itertools import combinations_with_replacement

import numpy as np
import sympy as sp

from distill.law.selection import Ground
from distill.physics.law import AXES

RADIUS = "r"  # what formulas of families are of; here what a slot's function depends on, whatever it is
FREQUENCIES = 400  # that are tried for a function of time
PLACES, WIDTHS = 48, 8  # that are tried for a wall
DEGREE = 3  # of a field's components


def waves(ground: Ground) -> list:
    """a + b cos(w t + p) of the frequency that explains most, and simpler functions of the time."""
    objective = ground.fit
    t, at = objective.symbols[0], objective.columns[0]
    times = np.unique(at)
    span, step = float(np.ptp(times)), float(np.median(np.diff(times)))
    y = objective.weights * objective.target
    best: tuple[float, ...] = (np.inf,)
    for w in np.linspace(0.5 * np.pi / span, 0.9 * np.pi / step, FREQUENCIES):
        columns = np.stack([np.ones_like(at), np.cos(w * at), np.sin(w * at)], 1)
        design = objective.weights[:, None] * objective.apply(columns)
        g = np.linalg.lstsq(design, y, rcond=1e-10)[0]
        best = min(best, (float(((design @ g - y) ** 2).sum()), float(w), *map(float, g)))
    _, w, a, c, s = best
    wave = sp.Float(np.hypot(c, s)) * sp.cos(sp.Float(w) * t + sp.Float(np.arctan2(-s, c)))
    rate = sp.Float(1 / span)
    return [rate * t + sp.Float(a), sp.Float(0.5) * sp.exp(-rate * t), wave, wave + sp.Float(a or 0.1)]


def walls(ground: Ground) -> list:
    """a/(1 + exp((s - c)/w)), a force up to the distance c, and beyond it, of the c and w that explain most."""
    objective = ground.fit
    number = objective.names.index(RADIUS)
    s, at = objective.symbols[number], objective.columns[number]
    span, y = float(np.ptp(at)), objective.weights * objective.target

    def tried(places, widths):
        """[(what it explains, c, w, a)], w < 0 beyond c."""
        found = []
        for width in widths:
            with np.errstate(over="ignore"):
                columns = 1 / (1 + np.exp((at[:, None] - places) / width))
            design = objective.weights[:, None] * objective.apply(columns)
            along, size = y @ design, np.einsum("ij,ij->j", design, design)
            gain = along**2 / np.where(size > 0, size, np.inf)
            k = int(np.argmax(gain))
            found.append((float(gain[k]), float(places[k]), float(width), float(along[k] / max(size[k], 1e-300))))
        return found

    # a wall is where few come: places by distance and by how often they are
    low, high = at.min(), at.max()
    places = np.unique(np.r_[np.quantile(at, np.linspace(0, 1, PLACES)), np.linspace(low, high, PLACES)])
    widths = span * np.geomspace(1e-3, 0.25, WIDTHS)
    best = max(tried(places, np.r_[widths, -widths]))
    for step in (0.5, 0.25, 0.125, 0.0625):
        _, place, width, _ = best
        near = place + np.linspace(-2, 2, 17) * step * max(abs(width), span / PLACES * step)
        best = max(best, *tried(near, width * np.geomspace(1 / (1 + step), 1 + step, 5)))
    _, place, width, a = best
    return [sp.Float(a) / (1 + sp.exp((s - sp.Float(place)) / sp.Float(width)))]


def polynomials(ground: Ground) -> list:
    """Of the place: all of first degree, and of the ``DEGREE``."""
    objective, out = ground.fit, []
    axes = [s for s, name in zip(objective.symbols, objective.names, strict=True) if name in AXES]
    for degree in (1, DEGREE):
        powers = [sp.Mul(*c) for k in range(degree + 1) for c in combinations_with_replacement(axes, k)]
        out.append(sp.Add(*[sp.Float(0.1 + 0.01 * k) * p for k, p in enumerate(powers)]))
    return out
