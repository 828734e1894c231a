"""Formulas as source code: of NumPy, for modules that are written, and of Lepton, which OpenMM reads.

Only trees are written. What a symbol becomes stands in a mapping of the caller, so that no name out of a file ends up
in code, and numbers become constants with names and every digit.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from distill.formulas.functions import Function
from distill.formulas.text import Notation, written


@dataclass
class Constants:
    """The constants of a module that is written: name -> number."""

    values: dict[str, float] = field(default_factory=dict)

    def named(self, value: float, stem: str = "C") -> str:
        """The name of the constant ``value``: ``stem`` and a number from 0 on; the same value has one name a stem.

        ``ValueError`` where it is not finite, and for a stem that is not made of capitals.
        """
        value = float(value)
        if not (math.isfinite(value) and re.fullmatch("[A-Z](?:[A-Z0-9_]*[A-Z_])?", stem)):
            raise ValueError(f"{value} cannot be a constant {stem!a}")
        ours = [k for k in self.values if re.fullmatch(rf"{stem}\d+", k)]
        name = next((k for k in ours if self.values[k] == value), f"{stem}{len(ours)}")
        self.values[name] = value
        return name

    @property
    def lines(self) -> list[str]:
        """Assignments, every number as its shortest text that is read back to the same bits."""
        return [f"{name} = {value!r}" for name, value in self.values.items()]


def numpy_code(expr: sp.Expr, constants: Constants, names: Mapping[str, str], stem: str = "C") -> str:
    """An expression of NumPy; ``names``: variable -> its code, an atom. Free constants go to ``constants``.

    ``KeyError`` for a variable that is not in ``names``.
    """

    def number(e):
        if e.is_Integer or e.is_zero:
            return str(int(e))
        return f"-{constants.named(-float(e), stem)}" if e < 0 else constants.named(e, stem)

    return written(expr, Notation(number, names.__getitem__, _numpy_call, " ** "))


def lepton_code(expr: sp.Expr, names: Mapping[str, str]) -> str:
    """An expression of Lepton, numbers with every digit; ``names`` and ``KeyError`` as in ``numpy_code``."""
    return written(
        expr, Notation(lambda e: str(int(e)) if e.is_Integer else repr(float(e)), names.__getitem__, _lepton)
    )


def _numpy_call(function: Function, arguments: list[str]) -> str:
    return _written(function, function.numpy, arguments)


def _lepton(function: Function, arguments: list[str]) -> str:
    return _written(function, function.lepton, arguments)


def _written(function: Function, template: str | None, arguments: list[str]) -> str:
    if template is None:
        raise ValueError(f"{function.name} cannot be written there")
    return template.format(*arguments)
