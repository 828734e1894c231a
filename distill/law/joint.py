"""All constants of a law fitted together, whatever its terms: the last step where there are more than a radial force.

Gauss and Newton on accelerations, relative as everywhere. Every function of a law is held in one way, a formula with
symbols for its constants (a number is such a symbol), so that one backward sweep through its program gives all
derivatives; a centre moves the force about it as the distance from it does. Standard errors count trajectories (the
sandwich of squares summed by trajectory; H. White, Econometrica 48, 817, 1980). A constant becomes a round number where
``constants.round_number`` finds one within its error and nothing is lost by it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import sympy as sp
from scipy.optimize import least_squares

from distill.files.properties import with_symbol
from distill.files.storage import finite_or_none
from distill.formulas.fit import full
from distill.formulas.program import Program
from distill.formulas.text import to_text
from distill.formulas.tree import parametrise, with_constants, with_scales
from distill.law.constants import round_number
from distill.law.receivers import Receivers, law_acceleration, law_error, weights_of
from distill.physics.law import AXES, RADIAL, Law
from distill.physics.terms import TERMS, About, Pairs, PairTerm, State
from distill.physics.terms.state import DISTANCE
from distill.physics.terms.values import is_constant, is_number, parts
from distill.splines.blocks import Seen

LEAST = 1e-9  # relative error of a constant: below, it is rounding
LOST = 1.001  # times the error on receivers left out that rounding may cost
SOFT = 0.01  # residuals, relative, from which on they count less
STEPS = 40  # of the fit
FEWEST = 5  # trajectories for standard errors
FAR = 1e9  # residuals, relative, that are as bad as any


@dataclass
class Open:
    """A function of a law's term, or a number, with its constants open: ``axis`` of the value, ``at`` its place among
    all numbers; ``centre``: places of those of the centre that it is about.
    """

    term: str
    axis: int
    form: sp.Expr
    symbols: list
    at: slice
    centre: slice

    def __post_init__(self):
        self.names = sorted(s.name for s in self.form.free_symbols if s not in set(self.symbols))
        named = {s.name: s for s in self.form.free_symbols}
        self.program = Program(self.form, [*(named[name] for name in self.names), *self.symbols])

    def value(self, x: np.ndarray):
        found = with_constants(self.form, self.symbols, x[self.at])
        return float(found) if self.form in self.symbols else found


@dataclass
class Numbers:
    """A law as a function of its numbers, ``start``."""

    law: Law
    start: np.ndarray
    opened: list[Open]

    def at(self, x: np.ndarray, instead: Mapping = MappingProxyType({})) -> Law:
        """The law with other numbers; ``instead``: number of a function among ``opened`` -> another one."""
        of: dict[str, list] = {}
        for k, one in enumerate(self.opened):
            of.setdefault(one.term, []).append(instead[k] if k in instead else one.value(x))
        centres = {one.term: tuple(map(float, x[one.centre])) for one in self.opened}
        pairs = {name: _function(of[name][0]) for name in self.law.pairs}
        pairs |= {k: About(centres[k], pairs[k]) for k, v in self.law.pairs.items() if isinstance(v, About)}
        node = {name: self._value(value, of[name], centres[name]) for name, value in self.law.node.items()}
        return replace(self.law, pair=_function(of[RADIAL][0]), pairs=pairs, node=node)

    @staticmethod
    def _value(before, found, centre):
        if isinstance(before, About):
            return About(centre, found[0])
        if isinstance(before, np.ndarray):
            return np.array(found)
        return tuple(found) if isinstance(before, tuple) else found[0]

    def parts(self, x: np.ndarray, data: Receivers) -> Iterator["Part"]:
        """The forces of every function at the numbers ``x``."""
        edges = np.r_[data.start, len(data.unit)]
        for one in self.opened:
            centre = tuple(x[one.centre])
            seen, start = (data.in_motion, edges) if TERMS[one.term].of_pair else data.frames()
            kernel, weight, variable = vectors_of(one, seen, centre)

            def summed(values, start=start):
                return np.add.reduceat(values, start[:-1], axis=0)

            slots = one.program.values([*map(variable, one.names), *x[one.at]])
            gradients = one.program.gradients(slots)[: len(one.program.inputs)]
            by = [full(0.0 if g is None else g, len(seen.r)) for g in gradients]
            value = full(slots[one.program.output], len(seen.r))
            own = dict(zip(one.names, by, strict=False))
            columns = [summed(kernel * (weight * slope)[:, None]) for slope in by[len(one.names) :]]
            at = list(range(one.at.start, one.at.stop))
            if centre:
                across = value / np.maximum(variable(DISTANCE), 1e-300)
                turned = (weight * (across - own.get(DISTANCE, 0.0)))[:, None, None]
                turned = turned * (kernel[:, :, None] * kernel[:, None, :])
                moved = summed(turned - (weight * across)[:, None, None] * np.eye(kernel.shape[1]))
                columns, at = [*columns, *np.moveaxis(moved, -1, 0)], [*at, *range(one.centre.start, one.centre.stop)]
            force = summed(kernel * (weight * value)[:, None])
            by_number = np.stack(columns, -1) if columns else np.zeros((*force.shape, 0))
            yield Part(one.term, force, at, by_number, kernel * weight[:, None], own, summed)

    def accelerations(self, x: np.ndarray, data: Receivers) -> tuple[np.ndarray, np.ndarray]:
        """([receiver, dim], derivatives by the numbers [receiver, dim, number])."""
        out, slopes = np.zeros(data.acc.shape), np.zeros((*data.acc.shape, len(x)))
        for part in self.parts(x, data):
            out += part.force
            slopes[..., part.at] += part.by_number
        mass = data.state.mass[:, None]
        return out / mass, slopes / mass[..., None]


@dataclass
class Part:
    """The ``force`` [receiver, dim] of a function of the term ``name``, its derivatives ``by_number`` [receiver, dim,
    number] for the places ``at`` among all numbers; of every edge the ``vectors`` [edge, dim] that multiply the
    function, and its slopes ``by`` variables, name -> [edge]; ``sum`` over receivers. A node's edges are its frames.
    """

    name: str
    force: np.ndarray
    at: list[int]
    by_number: np.ndarray
    vectors: np.ndarray
    by: dict
    sum: Callable

    def vector(self, variable: str) -> np.ndarray:
        """Derivatives of the force of each edge by a variable [edge, dim]."""
        return self.vectors * np.reshape(self.by.get(variable, 0.0), (-1, 1))


def _function(value) -> sp.Expr:
    return sp.Float(value) if is_number(value) else value


def vectors_of(one: Open, seen: Seen, centre) -> tuple[np.ndarray, np.ndarray, Callable]:
    """(what multiplies the function [edge, dim], the weight of each edge in the force, its variables by name)."""
    motion, term = seen.motion, TERMS[one.term]
    if isinstance(term, PairTerm):
        pairs = Pairs(motion.unit * seen.r[:, None], seen.r, seen.ends, motion.dv, motion.t)
        pairs = pairs.displaced(centre) if term.displaced else pairs
        return term.kernel(pairs.unit, motion.dv), motion.weight, pairs.variable
    own = {with_symbol(name[:-2]).name: value for name, value in seen.ends.items() if name.endswith("_i")}
    state = State(motion.vel, own, motion.pos, motion.t)
    kernel = term.kernel(motion.pos, motion.vel, np.eye(term.width(state.dim))[one.axis], centre)
    weight = motion.share * np.ravel(term.factor(state))
    return kernel, weight, lambda name: state.variable(name, centre)


def numbers_of(law: Law) -> Numbers:
    """Every constant of ``law`` that is not part of its structure."""
    opened, start = [], []

    def place(values) -> slice:
        start.extend(values)
        return slice(len(start) - len(values), len(start))

    for name, value in (law.pair_functions | law.node).items():
        centre = place(value.centre if isinstance(value, About) else ())
        for axis, part in enumerate(parts(value)):
            form, symbols, values = parametrise(with_scales(_function(part)))
            opened.append(Open(name, axis, form, symbols, place(values), centre))
    return Numbers(law, np.array(start, float), opened)


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
    """``law`` with all constants fitted to ``data``; as it is where that brings nothing on ``held``."""
    numbers = numbers_of(law)
    residuals = residuals_of(numbers, data)
    if not len(numbers.start) or residuals is None:
        return law
    unit = np.where(numbers.start != 0, np.abs(numbers.start), 1.0)
    last: list = [None, None, None]

    def at(u):  # residuals and their derivatives, asked for one after the other
        if last[0] is None or (u != last[0]).any():
            r, J = residuals(u * unit)
            r = np.clip(np.nan_to_num(r, nan=FAR), -FAR, FAR)
            last[:] = u.copy(), r, np.nan_to_num(J, posinf=0, neginf=0)
        return last

    start = numbers.start / unit
    scale = max(float(np.median(np.abs(at(start)[1]))), 1e-12)
    options = {"loss": "soft_l1", "f_scale": max(scale, SOFT * 1e-3), "x_scale": "jac", "max_nfev": STEPS}
    found = least_squares(lambda u: at(u)[1], start, jac=lambda u: at(u)[2] * unit, **options)
    better = numbers.at(found.x * unit)
    return law if law_error(better, held) > law_error(law, held) * LOST else better


def residuals_of(numbers: Numbers, data: Receivers) -> Callable | None:
    """numbers -> (weighted residuals [residual], their derivatives [residual, number]); None where the law is not
    finite.
    """
    size = np.linalg.norm(law_acceleration(numbers.law, data), axis=1)
    if not np.isfinite(size).all():
        return None
    weights = np.repeat(weights_of(data, size), data.acc.shape[1])

    def residuals(x):
        with np.errstate(all="ignore"):
            found, slopes = numbers.accelerations(x, data)
        return weights * (found - data.acc).reshape(-1), weights[:, None] * slopes.reshape(len(weights), -1)

    return residuals


def examined(law: Law, data: Receivers, held: Receivers, canonical: Callable) -> tuple[Law, dict, dict]:
    """(``law``, fitted already, with its round constants; of its radial function what ``constants.examine`` reports;
    standard errors of its node terms that are constants, by name).
    """
    numbers = numbers_of(law)
    residuals, errors = residuals_of(numbers, data), np.full(len(numbers.start), np.nan)
    if residuals is not None and len(numbers.start):
        r, J = residuals(numbers.start)
        errors = standard_errors(J, r, np.repeat(data.trajectory, data.acc.shape[1]))
    final = rounded(numbers, errors, held)

    def of_function(one: Open) -> dict:
        """Its form and constants, as ``kinds.FunctionOfTerm``."""
        symbols = [sp.Symbol(f"c{k}") for k in range(len(one.symbols))]
        names = [*(s.name for s in symbols), *(f"centre, {AXES[k]}" for k in range(one.centre.stop - one.centre.start))]
        places = [*range(one.at.start, one.at.stop), *range(one.centre.start, one.centre.stop)]
        listed = []
        for name, k in zip(names, places, strict=True):
            before, value = float(numbers.start[k]), float(final[k])
            about = {"symbol": name, "value": value, "standard_error": finite_or_none(errors[k])}
            listed.append(about | {"snapped_from": None if value == before else before})
        return {
            "form": to_text(one.form.xreplace(dict(zip(one.symbols, symbols, strict=True))), 6),
            "constants": listed,
        }

    count = len(np.unique(data.trajectory))
    note = f"fitted together with those of all other terms; standard errors: scatter of {count} trajectories"
    pair = next(one for one in numbers.opened if one.term == RADIAL)
    told = of_function(pair) | {"constants_note": note, "functions": []}
    for one in numbers.opened:
        of_pair = TERMS[one.term].of_pair
        if one.term != RADIAL and (of_pair or not is_constant(law.node[one.term])):
            several = not of_pair and isinstance(law.node[one.term], tuple)
            about = {"term": one.term, "component": AXES[one.axis] if several else None}
            told["functions"].append(about | of_function(one))
    node: dict[str, list] = {}
    for one in numbers.opened:
        if not TERMS[one.term].of_pair and is_constant(law.node[one.term]):
            node.setdefault(one.term, []).append(finite_or_none(errors[one.at][0]))
    beside = {name: found if np.ndim(law.node[name]) else found[0] for name, found in node.items()}
    return spelt(numbers.at(final), canonical), told, {k: v for k, v in beside.items() if known_error(v)}


def standard_errors(jacobian: np.ndarray, residual: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Of the constants [constant], from d residual / d constant [residual, constant], counting clusters; not known
    with fewer than ``FEWEST`` of them.
    """
    return np.sqrt(np.maximum(np.diag(known_covariance(jacobian, residual, cluster)), 0.0))


def known_covariance(jacobian: np.ndarray, residual: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """As ``standard_errors``, all covariances [constant, constant]."""
    known, number = np.unique(cluster, return_inverse=True)
    if len(known) < FEWEST:
        return np.full((jacobian.shape[1],) * 2, np.nan)
    size = np.maximum(np.linalg.norm(jacobian, axis=0), 1e-300)  # constants have units
    scaled = jacobian / size
    bread = np.linalg.pinv(scaled.T @ scaled, hermitian=True)
    scores = np.stack([np.bincount(number, column * residual) for column in scaled.T], 1)
    meat = scores.T @ scores * len(known) / (len(known) - 1)
    return bread @ meat @ bread / size[:, None] / size


def rounded(numbers: Numbers, errors: np.ndarray, held: Receivers) -> np.ndarray:
    """The numbers, with those round that may be by their standard ``errors``."""
    values, best = numbers.start.copy(), law_error(numbers.law, held)
    for k in np.argsort(errors / np.maximum(np.abs(values), 1e-300)):
        error = max(float(errors[k]), LEAST * abs(values[k]))
        value = round_number(float(values[k]), error)
        if value is None or value == values[k]:
            continue
        trial = values.copy()
        trial[k] = value
        if law_error(numbers.at(trial), held) <= best * LOST + LEAST:
            values = trial
    return values


def known_error(error) -> bool:
    """Whether a standard error, or every one of a list, is a number."""
    return error is not None and (not isinstance(error, list) or None not in error)
