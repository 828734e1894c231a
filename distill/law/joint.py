"""All constants of a law fitted together, whatever its terms: the last step where there are more than a radial force.

Gauss and Newton on accelerations, relative as everywhere, with finite differences: a law has a dozen constants at
most. Standard errors count trajectories (the sandwich of squares summed by trajectory; H. White, Econometrica 48, 817,
1980). A constant becomes a round number where ``constants.round_number`` finds one within its error and nothing is
lost by it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
from scipy.optimize import least_squares

from distill.formulas.tree import parametrise, with_constants, with_scales
from distill.law.constants import round_number
from distill.law.receivers import Receivers, law_acceleration, law_error, weights_of
from distill.physics.law import Law
from distill.physics.terms import About
from distill.physics.terms.values import is_number

LEAST = 1e-9  # relative error of a constant: below, it is rounding
LOST = 1.001  # times the error on receivers left out that rounding may cost
SOFT = 0.01  # residuals, relative, from which on they count less


@dataclass
class Numbers:
    """A law as a function of its numbers ``start``."""

    law: Law
    start: np.ndarray
    forms: list  # (where it stands, form, symbols)

    def at(self, x: np.ndarray) -> Law:
        """The law with other numbers."""
        pair, pairs, node, k = self.law.pair, {}, {}, 0
        for where, form, symbols in self.forms:
            values, k = x[k : k + len(symbols)], k + len(symbols)
            value = with_constants(form, symbols, values) if isinstance(form, sp.Expr) else form(values)
            if where == "pair":
                pair = value
            elif where[0] == "pairs":
                pairs[where[1]] = value
            else:
                node[where[1]] = value
        return replace(self.law, pair=pair, pairs=pairs, node=node)


def numbers_of(law: Law) -> Numbers:
    """Every constant of ``law`` that is not part of its structure."""
    forms, start = [], []

    def add(where, expr):
        form, symbols, values = parametrise(with_scales(expr))
        forms.append((where, form, symbols))
        start.extend(values)

    add("pair", law.pair)
    for name, expr in law.pairs.items():
        add(("pairs", name), expr)
    for name, value in law.node.items():
        parts = _parts(value)
        own = [parametrise(with_scales(sp.sympify(p))) if not is_number(p) else None for p in parts]
        flat = [v for p, one in zip(parts, own, strict=True) for v in ([float(p)] if one is None else one[2])]
        forms.append((("node", name), _rebuild(value, own), [None] * len(flat)))
        start.extend(flat)
    return Numbers(law, np.array(start, float), forms)


def _parts(value) -> list:
    if isinstance(value, About):
        return [*value.centre, value.strength]
    return list(value) if np.ndim(value) or isinstance(value, tuple) else [value]


def _rebuild(value, own: list):
    """A function from the numbers of a node term to its value."""

    def build(numbers):
        out, k = [], 0
        for one in own:
            if one is None:
                out.append(float(numbers[k]))
                k += 1
            else:
                out.append(with_constants(one[0], one[1], numbers[k : k + len(one[1])]))
                k += len(one[1])
        if isinstance(value, About):
            return About(tuple(out[:-1]), out[-1])
        if isinstance(value, np.ndarray):
            return np.array(out)
        return tuple(out) if isinstance(value, tuple) else out[0]

    return build


def spelt(law: Law, canonical: Callable) -> Law:
    """``law`` with all its formulas in one spelling."""

    def one(value):
        if isinstance(value, sp.Expr):
            return canonical(value)
        if isinstance(value, About):
            return About(value.centre, one(value.strength))
        return tuple(map(one, value)) if isinstance(value, tuple) else value

    pairs, node = ({k: one(v) for k, v in part.items()} for part in (law.pairs, law.node))
    return replace(law, pair=one(law.pair), pairs=pairs, node=node)


def fitted(law: Law, data: Receivers, held: Receivers) -> Law:
    """``law`` with all constants fitted to ``data``, round where that costs nothing on ``held``; as it is where a fit
    brings nothing.
    """
    numbers = numbers_of(law)
    size = np.linalg.norm(law_acceleration(law, data), axis=1)
    if not len(numbers.start) or not np.isfinite(size).all():
        return law
    weights = np.repeat(weights_of(data, size), data.acc.shape[1])
    unit = np.where(numbers.start != 0, np.abs(numbers.start), 1.0)

    def residual(u):
        with np.errstate(all="ignore"):
            r = weights * (law_acceleration(numbers.at(u * unit), data) - data.acc).reshape(-1)
        return np.nan_to_num(r, nan=1e3, posinf=1e3, neginf=-1e3)

    start = numbers.start / unit
    scale = max(float(np.median(np.abs(residual(start)))), 1e-12)
    found = least_squares(residual, start, loss="soft_l1", f_scale=max(scale, SOFT * 1e-3), x_scale="jac", max_nfev=40)
    better = numbers.at(found.x * unit)
    if law_error(better, held) > law_error(law, held) * LOST:
        return law
    errors = standard_errors(found.jac, residual(found.x), np.repeat(data.trajectory, data.acc.shape[1])) * unit
    return rounded(numbers, found.x * unit, errors, held)


def standard_errors(jacobian: np.ndarray, residual: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Of the constants [constant], from d residual / d constant [residual, constant], counting clusters."""
    _, number = np.unique(cluster, return_inverse=True)
    bread = np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
    scores = np.stack([np.bincount(number, column * residual) for column in jacobian.T], 1)
    return np.sqrt(np.maximum(np.diag(bread @ (scores.T @ scores) @ bread), 0.0))


def rounded(numbers: Numbers, values: np.ndarray, errors: np.ndarray, held: Receivers) -> Law:
    """The law with those constants round that may be."""
    best = law_error(numbers.at(values), held)
    for k in np.argsort(errors / np.maximum(np.abs(values), 1e-300)):
        error = max(float(errors[k]), LEAST * abs(values[k]))
        value = round_number(float(values[k]), error)
        if value is None or value == values[k]:
            continue
        trial = values.copy()
        trial[k] = value
        if law_error(numbers.at(trial), held) <= best * LOST + LEAST:
            values = trial
    return numbers.at(values)
