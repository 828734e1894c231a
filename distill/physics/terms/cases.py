"""Pairs told apart by what their particles are: a case for every pair of levels of the categories.

A pair function that depends on categories is one formula in their indicators (``files.properties``), of which a case
leaves those of its levels: with one indicator 1 at either end and the others 0. Cases are ordered, receiver first.
"""

from collections.abc import Iterable, Mapping, Sequence
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


def cases(names: Iterable[str]) -> tuple[Case, ...]:
    """All cases of particles with the properties ``names``; none where there is no category among them."""
    of = categories(names)
    kinds = list(product(*of.values())) if of else []
    return tuple(Case(a, b) for a, b in product(kinds, repeat=2))


def by_case(expr: sp.Expr, names: Iterable[str]) -> dict[Case, sp.Expr]:
    """What ``expr`` is in every case; nothing where it depends on no category."""
    if not any(category_of(symbol.name) for symbol in expr.free_symbols):
        return {}
    return {case: case.of(expr) for case in cases(names)}


def together(parts: Sequence[tuple[Case, sp.Expr]]) -> sp.Expr:
    """One formula from those of cases."""
    return sp.Add(*[case.indicator * expr for case, expr in parts])
