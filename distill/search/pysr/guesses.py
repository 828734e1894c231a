"""Formulas as PySR's ``guesses``: written in its spelling, and found by the embedded engine beforehand.

A guess is a string that Julia parses and DynamicExpressions.jl turns into a tree of the search's operators; one
it cannot read ends the run. Hence: only allowed operators; every operation in parentheses; no unary minus
(``-x`` calls a unary operator that the search does not have, ``-2.0`` is a number). In the guess of a template
the arguments are ``#1``, ``#2``, ... (guides and tests of SymbolicRegression.jl 2).
"""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import sympy as sp

from distill.formulas.functions import HEADS
from distill.formulas.text import sorted_terms, split_fraction
from distill.search import operon
from distill.search.engine import SearchOptions
from distill.shell.errors import UserError
from distill.shell.processes import workers

MAX_POWER = 16  # written with square, cube and * where there is no ^
SMALLEST, LARGEST = 1e-30, 1e30  # constants outside would be 0 or infinite in Float32


class _NotAllowedError(Exception):
    """The formula cannot be written with the operators of the search."""


def guess_text(expr: sp.Expr, operators: Iterable[str], spelling: dict | None = None) -> tuple[str, int] | None:
    """(``expr`` in PySR's spelling, its nodes), or None if it needs an operator that is not in ``operators``.

    ``operators`` are PySR's names (``+ - * / ^ square exp`` ...); ``spelling`` gives the text of each variable
    by its name, itself where missing. Our own parser reads the text too.
    """
    try:
        return _Writer(frozenset(operators), spelling or {}).write(expr)
    except _NotAllowedError:
        return None


def guess_texts(exprs: Sequence[sp.Expr], operators, max_complexity: int, spelling=None) -> list[str]:
    """The formulas that can be written with at most ``max_complexity`` nodes, each once, in order."""
    written = [guess_text(e, operators, spelling) for e in exprs]
    return list(dict.fromkeys(w[0] for w in written if w is not None and w[1] <= max_complexity))


class _Writer:
    """Every method returns (text, nodes); operations carry their own parentheses."""

    def __init__(self, operators, spelling):
        self.operators, self.spelling = operators, spelling

    def write(self, e):
        if e.is_Symbol:
            return self.spelling.get(e.name, e.name), 1
        if e.is_number:
            return self.number(float(e))
        if e.is_Add:
            return self.sum(e)
        if e.is_Mul or (e.is_Pow and e.exp.is_number and e.exp.is_negative):
            return self.product(e)
        if e.is_Pow:
            return self.power(e.base, e.exp)
        if e.func in HEADS and HEADS[e.func].pysr:
            return self.call(HEADS[e.func].pysr, *e.args)
        raise _NotAllowedError

    def number(self, value):
        if not (value == 0 or SMALLEST < abs(value) < LARGEST):  # NaN fails both
            raise _NotAllowedError
        return (f"({value!r})" if value < 0 else repr(value)), 1

    def need(self, operator):
        if operator not in self.operators:
            raise _NotAllowedError

    def binary(self, operator, a, b):
        self.need(operator)
        return f"({a[0]} {operator} {b[0]})", a[1] + b[1] + 1

    def call(self, name, *args):
        self.need(name)
        written = [self.write(a) for a in args]
        return f"{name}({', '.join(w[0] for w in written)})", 1 + sum(w[1] for w in written)

    def sum(self, e):
        terms = [(t, _negative(t)) for t in sorted_terms(e)]
        terms.sort(key=lambda t: t[1])  # a positive term first, so that the others can be subtracted
        out = self.write(terms[0][0])
        for term, negative in terms[1:]:
            subtract = "-" in self.operators and (negative or "+" not in self.operators)
            out = self.binary("-" if subtract else "+", out, self.write(-term if subtract else term))
        return out

    def product(self, e):
        number, rest = e.as_coeff_Mul()
        above, below = split_fraction(rest)
        number = float(number)
        above = [self.write(a) for a in above if a != 1]
        negate = number == -1 and bool(above) and "neg" in self.operators
        if number != 1 and not negate:
            above.insert(0, self.number(number))
        under = self.fold([self.write(b) for b in below])
        if under is not None and not above and "inv" in self.operators:
            out = self.apply("inv", under)
        elif under is not None and "/" in self.operators:
            out = self.binary("/", self.fold(above) or self.number(1.0), under)
        elif under is not None:
            power = self.binary("^", under, self.number(-1.0)) if "inv" not in self.operators else None
            out = self.fold([*above, power or self.apply("inv", under)])
        else:
            out = self.fold(above)
        return self.apply("neg", out) if negate else out

    def fold(self, factors):
        out = None
        for factor in factors:
            out = factor if out is None else self.binary("*", out, factor)
        return out

    def apply(self, name, a):
        self.need(name)
        return f"{name}({a[0]})", a[1] + 1

    def power(self, base, exponent):
        """The shortest of the ways to write it."""
        b, found = self.write(base), []
        if "^" in self.operators:
            found.append(self.binary("^", b, self.write(exponent)))
        if exponent.is_number and 2 * float(exponent) == int(2 * float(exponent)) and exponent <= MAX_POWER:
            whole, half = divmod(int(2 * float(exponent)), 2)
            try:
                root = [self.apply("sqrt", b)] if half else []
                found.append(self.fold(([self.whole(b, whole)] if whole else []) + root))
            except _NotAllowedError:
                pass
        if not found:
            raise _NotAllowedError
        return min(found, key=lambda w: w[1])

    def whole(self, b, n):
        """b to the power n >= 1 without ``^``."""
        if n == 1:
            return b
        if n == 3 and "cube" in self.operators:
            return self.apply("cube", b)
        half = self.whole(b, n // 2)
        out = self.apply("square", half) if "square" in self.operators else self.binary("*", half, half)
        return self.binary("*", out, b) if n % 2 else out


def _negative(term):
    return bool(term.as_coeff_Mul()[0].is_negative)


# ---------------------------------------------------------------- the embedded engine


def embedded_front(X, y, names, options: SearchOptions) -> tuple[list[sp.Expr], str]:
    """(formulas for y [row] of one restart of pyoperon, what came of it in a few words).

    In a process of its own: pyoperon's and Julia's libraries never meet. Operators that pyoperon lacks are left out.
    """
    if problem := operon.ENGINE.problem():
        return [], f"none: pyoperon cannot run ({problem})"
    known = tuple(o for o in options.operators if o in operon.ENGINE.operators)
    options = replace(options, operators=known, restarts=1, min_restarts=1, progress=False)
    try:
        with workers(1) as pool:
            found, _ = pool.submit(operon.find, X, y, list(names), options).result()
    except (BrokenProcessPool, UserError) as exc:
        return [], f"none: the embedded engine failed ({(str(exc).splitlines() or ['no reason given'])[0]})"
    found = [e for e in found if all(math.isfinite(float(v)) for v in e.atoms(sp.Number))]
    return found, f"{len(found)} formulas of the embedded engine"
