"""Pairs told apart by what their particles are: a case for every pair of levels of the categories.

A pair function that depends on categories is one formula in their indicators (``files.properties``), of which a case
leaves those of its levels: with one indicator 1 at either end and the others 0. Cases are ordered, receiver first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import sympy as sp

from distill.files.properties import categories, category_of, level_of, property_named
from distill.formulas.text import symbols_for


@dataclass(frozen=True)
class Case:
    """``receiver`` and ``sender``: of every category the indicator that is 1 at that end."""

    receiver: tuple[str, ...]
    sender: tuple[str, ...]

    @property
    def name(self) -> str:
        """``AB``, or ``prey_wolf`` where levels have longer names."""
        ends = ["".join(map(level_of, end)) for end in (self.receiver, self.sender)]
        return ("" if all(len(end) == 1 for end in ends) else "_").join(ends)

    @property
    def variables(self) -> tuple[str, ...]:
        """The indicators that are 1, as formulas name them."""
        own = [property_named(name).variables[0] for name in self.receiver]
        return (*own, *(property_named(name).variables[1] for name in self.sender))

    @property
    def mirrored(self) -> "Case":
        return Case(self.sender, self.receiver)

    @property
    def indicator(self) -> sp.Expr:
        """1 for pairs of this case, and else 0."""
        return sp.Mul(*symbols_for(self.variables))

    def __call__(self, ends: Mapping) -> np.ndarray:
        """Ones and zeros [edge], from variable -> [edge]."""
        out = 1.0
        for variable in self.variables:
            out = out * ends[variable]
        return out

    def of(self, expr: sp.Expr) -> sp.Expr:
        """What ``expr`` is for pairs of this case."""
        one = set(self.variables)
        known = {s for s in expr.free_symbols if category_of(s.name)}
        return expr.xreplace({s: sp.S.One if s.name in one else sp.S.Zero for s in known})


@dataclass(frozen=True)
class Group:
    """Cases that have one function, times a coefficient each. ``parts``: cases that share a coefficient, and it."""

    parts: tuple[tuple[tuple[Case, ...], float], ...]

    @property
    def name(self) -> str:
        return self.parts[0][0][0].name if len(self.parts) == 1 else "all"

    @property
    def factor(self) -> sp.Expr:
        """What multiplies the function: the indicators of the cases, with their coefficients where there are several
        of these. Cases that share one stand between bars, |..| of what is never negative: in a sum without, a
        constant would be multiplied out and become two.
        """
        sums = [sp.Add(*[case.indicator for case in of]) for of, _ in self.parts]
        whole = [sp.Abs(w) if w.is_Add else w for w in sums]
        if len(whole) == 1:
            return whole[0]
        return sp.Add(*[sp.Float(c) * w for w, (_, c) in zip(whole, self.parts, strict=True)])

    def __call__(self, ends: Mapping) -> np.ndarray:
        """What multiplies the function [edge], from variable -> [edge]."""
        return sum(number * case(ends) for of, number in self.parts for case in of)

    def of(self, expr: sp.Expr) -> sp.Expr:
        """The function, of a pair law that has it in the cases of the group."""
        (first, *_), coefficient = self.parts[0]
        return first.of(expr) / coefficient

    def whole(self, function: sp.Expr) -> sp.Expr:
        """The part of a pair law that is of these cases; of one with coefficients these take up the function's own."""
        if len(self.parts) == 1:
            return self.factor * function
        number, rest = function.as_coeff_Mul()
        scaled = Group(tuple((of, c * float(number)) for of, c in self.parts))
        return scaled.factor * rest


def coefficients_in(expr: sp.Expr) -> tuple[dict[Case, float], sp.Expr] | None:
    """(the coefficient of every case, the function that they share) of a product of coefficients and a function without
    indicators; None for any other formula.
    """
    factors = sp.Mul.make_args(expr)
    own = [f for f in factors if any(category_of(s.name) for s in f.free_symbols)]
    names = sorted({s.name[:-2] for f in own for s in f.free_symbols if category_of(s.name)})
    rest = sp.Mul(*[f for f in factors if f not in own])
    number, rest = rest.as_coeff_Mul()
    values = {case: number * case.of(sp.Mul(*own)) for case in cases(names)} if own else {}
    if not values or not all(v.is_number for v in values.values()) or not rest.free_symbols:
        return None
    return {case: float(v) for case, v in values.items()}, rest


def with_coefficients(expr: sp.Expr) -> sp.Expr:
    """A product of coefficients and one function with every coefficient as a number of its own; else ``expr``."""
    if (found := coefficients_in(expr)) is None:
        return expr
    values, function = found
    parts = [(tuple(some), value) for some, value in alike(values) if value]
    return Group(tuple(parts)).whole(function) if len(parts) > 1 else expr


def cases(names: Iterable[str]) -> tuple[Case, ...]:
    """All cases of particles with the properties ``names``; none where there is no category among them."""
    of = categories(names)
    kinds = list(product(*of.values())) if of else []
    return tuple(Case(a, b) for a, b in product(kinds, repeat=2))


def groups_of_all(names: Iterable[str], ordered: bool) -> tuple[Group, ...]:
    """A group for every pair of levels, ``ordered`` where action need not be reaction."""
    known = [c for c in cases(names) if ordered or c.receiver <= c.sender]
    both = [(c,) if ordered or c.mirrored == c else (c, c.mirrored) for c in known]
    return tuple(Group(((of, 1.0),)) for of in both)


def by_case(expr: sp.Expr, names: Iterable[str]) -> dict[Case, sp.Expr]:
    """What ``expr`` is in every case; nothing where it depends on no category."""
    if not any(category_of(symbol.name) for symbol in expr.free_symbols):
        return {}
    return {case: case.of(expr) for case in cases(names)}


def alike(values: Mapping) -> list[tuple[list[Case], object]]:
    """(cases, the value that all of them have), from case -> value."""
    out: list[tuple[list[Case], object]] = []
    for case, value in values.items():
        same = next((some for some, known in out if known == value), None)
        if same is None:
            out.append(([case], value))
        else:
            same.append(case)
    return out
