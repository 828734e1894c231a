"""Formulas as sympy trees: normal forms, complexity, free constants.

Convention throughout: a ``Float`` in a formula is a free constant that a fit may change; integers and
rationals are structure.
"""

import operator
import re
from collections.abc import Sequence

import numpy as np
import sympy as sp

from distill.formulas.functions import greater
from distill.formulas.text import sorted_terms, split_fraction

ROUNDING = 1e-9
SMALLEST = 1e-300  # number that a formula holds, and the inverse of the largest
_CHARGE = re.compile(r"q|q\d+|q_\w+|charge\w*")


def is_charge(name: str) -> bool:
    """True for names that stand for a charge: ``q``, ``q1``, ``q_i``, ``charge...``."""
    return bool(_CHARGE.fullmatch(name))


def rebuild(expr: sp.Expr, change) -> sp.Expr:
    """``expr`` with ``change`` applied to every node, leaves first."""
    if expr.args:
        expr = _with_args(expr, [rebuild(a, change) for a in expr.args])
    return change(expr)


def _with_args(expr, args):
    """``expr.func(*args)``, which costs sympy much even where ``args`` are those of ``expr``."""
    return expr if all(map(operator.is_, args, expr.args)) else expr.func(*args)


# ---------------------------------------------------------------- normal forms


def replaced(expr: sp.Expr, node: sp.Expr, new: sp.Expr) -> sp.Expr | None:
    """``expr`` with ``new`` in place of ``node``; None where that makes a number that no double holds. SymPy works such
    numbers out, and the exponential of one takes all memory.
    """
    if expr == node:
        return new
    args = [replaced(a, node, new) for a in expr.args]
    if any(a is None for a in args):
        return None
    found = _with_args(expr, args)
    return found if found is expr or all(map(_is_double, found.atoms(sp.Float))) else None


def _is_double(number: sp.Float) -> bool:
    return number == 0 or SMALLEST <= abs(number) <= 1 / SMALLEST


def tidy(expr: sp.Expr) -> sp.Expr:
    """Remove redundant constants: a number times a product of sums is multiplied into one of the sums."""

    def push(e):
        if e.is_Mul and e.args[0].is_number:
            number, rest = e.args[0], e.args[1:]
            sums = [a for a in rest if a.is_Add]
            if sums and number != -1:
                inside = sp.Add(*[number * t for t in sums[0].args])
                return sp.Mul(inside, *[a for a in rest if a is not sums[0]])
        return e

    return rebuild(rebuild(expr, push), push)


def canonical(expr: sp.Expr, unit_charges: bool = False) -> sp.Expr:
    """One spelling for equal laws: ``61.9 q_i q_j/(7.87 r + .0787)**2`` becomes ``q_i q_j/(r + .01)**2``.

    The leading coefficient leaves sums that stand in a product or under a power, factors within
    ``ROUNDING`` of 1 (or -1) are dropped, whole exponents are made integers. With ``unit_charges`` every
    charge is taken as +1 or -1 (``1/q = q``, ``q**2 = 1``).
    """

    def leading(e):
        """(coefficient, sum / coefficient) of a sum."""
        terms = [t for t in e.args if not t.is_number]
        if not terms:
            return sp.S.One, e
        sizes = [abs(float(t.as_coeff_Mul()[0])) for t in terms]
        largest = [t for t, size in zip(terms, sizes, strict=True) if size == max(sizes)]
        first = largest[0] if len(largest) == 1 else next(t for t in sorted_terms(e) if t in largest)
        coefficient = first.as_coeff_Mul()[0]
        if coefficient in (1, 0):
            return sp.S.One, e
        return coefficient, sp.Add(*[unit(t / coefficient) for t in e.args])

    def unit(e):
        number, rest = e.as_coeff_Mul()
        for whole in (sp.S.One, sp.S.NegativeOne):
            if number.is_Float and abs(float(number) - whole) <= ROUNDING and rest is not sp.S.One:
                return whole * rest
        return e

    def change(e):
        if unit_charges and e.is_Symbol and is_charge(e.name):
            return e
        if e.is_Pow:
            base, exponent = e.base, e.exp
            if exponent.is_Float and abs(float(exponent) - round(float(exponent))) <= ROUNDING:
                exponent = sp.Integer(round(float(exponent)))
            if unit_charges and base.is_Symbol and is_charge(base.name) and exponent.is_Integer:
                return base if exponent % 2 else sp.S.One
            if base.is_Add and exponent.is_number:
                c, inner = leading(base)
                if exponent.is_Integer or c.is_positive:
                    scale = _number_to_the(c, exponent)
                    if scale is not None:
                        return scale * inner**exponent
            return e if exponent is e.exp else base**exponent
        if unit_charges and isinstance(e, sp.Abs) and is_charge(str(e.args[0])):
            return sp.S.One
        if e.is_Mul:
            number: sp.Expr = sp.S.One
            factors: list[sp.Expr] = []
            for factor in e.args:
                c, inner = leading(factor) if factor.is_Add else (sp.S.One, factor)
                number, factors = number if c is sp.S.One else number * c, [*factors, inner]
            return unit(_with_args(e, factors) if number is sp.S.One else sp.Mul(number, *factors))
        if e.is_Add:
            return _with_args(e, [unit(t) for t in e.args])
        return e

    for _ in range(4):  # factors that left a sum may now merge, once a level
        before, expr = expr, rebuild(expr, change)
        if expr == before:
            break
    return expr


def _number_to_the(c, exponent):
    """``c**exponent``; None where a float cannot hold it."""
    if not c.is_Float:
        return c**exponent
    try:
        value = float(c) ** float(exponent)
    except OverflowError:
        return None
    return sp.Float(value) if value else None


def complexity(expr: sp.Expr) -> int:
    """Nodes as PySR counts them: every operator, constant and variable is 1; ``square``, ``cube`` and
    ``sqrt`` are unary, a negative power is a division, a sign costs nothing.
    """
    if expr.is_Atom:
        return 1
    if expr.is_Add:
        terms = [-a if a.is_Mul and a.args[0] == -1 else a for a in expr.args]
        return sum(map(complexity, terms)) + len(terms) - 1
    if expr.is_Mul or (expr.is_Pow and expr.exp.is_number and bool(expr.exp.is_negative)):
        above, below = split_fraction(expr)
        above = [a for a in above if a not in (1, -1) or a.is_Float]
        count = sum(map(complexity, above + below)) + max(len(above) - 1, 0) + max(len(below) - 1, 0)
        return count + ((1 if above else 2) if below else 0)
    if expr.is_Pow:
        if expr.exp in (2, 3, sp.S.Half):
            return 1 + complexity(expr.base)
        return 1 + complexity(expr.base) + complexity(expr.exp)
    return 1 + sum(map(complexity, expr.args))


# ---------------------------------------------------------------- free constants

_FREE: list[sp.Symbol] = []  # those of ``parametrise``: making a symbol with assumptions is slow


def parametrise(expr: sp.Expr) -> tuple[sp.Expr, list[sp.Symbol], np.ndarray]:
    """(formula with symbols for its free constants, these symbols, their values [k])."""
    symbols: list[sp.Symbol] = []
    values: list[float] = []

    def walk(e):
        if e.func is greater:
            return e  # no derivative says where a threshold should go: switches.py scans them
        if e.is_Float:
            # "#" can't be in a variable's name, so nothing collides
            if len(symbols) == len(_FREE):
                _FREE.append(sp.Symbol(f"#{len(symbols)}", real=True))
            symbols.append(_FREE[len(symbols)])
            values.append(float(e))
            return symbols[-1]
        return _with_args(e, [walk(a) for a in e.args]) if e.args else e

    return walk(expr), symbols, np.array(values)


def linear_constants(pexpr: sp.Expr, symbols: Sequence[sp.Symbol]) -> list[int]:
    """Numbers of those ``symbols`` of ``parametrise`` in which ``pexpr`` is linear, all of them together: coefficients
    of the outer sum and, as far as their factor is not one of these itself, of sums above a line.
    """
    known = set(symbols)

    def walk(e):
        if e.is_Symbol:
            return [e] if e in known else []
        if e.is_Add:
            return [s for a in e.args for s in walk(a)]
        if e.is_Mul:
            # one factor of a product can be linear; of equals the one in front, which no sum depends on
            return max((walk(a) for a in sorted(e.args, key=lambda a: not a.is_Symbol)), key=len)
        return []

    found = set(walk(pexpr))
    return [k for k, s in enumerate(symbols) if s in found]


def with_constants(pexpr: sp.Expr, symbols: Sequence[sp.Symbol], values) -> sp.Expr:
    """Undo ``parametrise`` with new values."""
    return pexpr.xreplace({s: sp.Float(float(v)) for s, v in zip(symbols, values, strict=True)})


def with_scales(expr: sp.Expr) -> sp.Expr:
    """``expr`` with a free factor on every term of its outer sum, so that a fit can scale it."""
    terms = [t if t.as_coeff_Mul()[0].is_Float or _scaled(t) else sp.Float(1.0) * t for t in sp.Add.make_args(expr)]
    return sp.Add(*terms)


def opened(expr: sp.Expr) -> sp.Expr | None:
    """``expr`` with the sums above its lines multiplied out and a free factor on every product that comes of it:
    ``(a m_j + m_i (m_j - b))/r**2`` becomes ``(c m_j + d m_i m_j + e m_i)/r**2``, linear in its constants. None if
    there is no product of sums to multiply out.
    """
    out, changed = [], False
    for term in sp.Add.make_args(expr):
        above, below = split_fraction(term)
        products = sp.Add.make_args(sp.expand(sp.Mul(*above)))
        changed |= len(products) > 1 and any(a.has(sp.Add) and not _plain(a) for a in above)
        alike = dict.fromkeys(_shape(p) for p in products)
        coefficients = {k: sum(p.as_coeff_Mul()[0] for p in products if _shape(p) == k) for k in alike}
        whole = sp.Add(*[sp.Float(float(c) or 1.0) * k for k, c in coefficients.items()])
        out.append(sp.Mul(whole, *[b**-1 for b in below]))
    return sp.Add(*out) if changed else None


def _shape(product):
    return product.as_coeff_Mul()[1]


def _plain(e):
    """A sum whose terms all have a free factor already."""
    return e.is_Add and all(not t.has(sp.Add) and (t.as_coeff_Mul()[0].is_Float or t.is_Float) for t in e.args)


def _scaled(term):
    """True if a number times ``term`` would be redundant: one of its factors is a sum of scaled terms."""
    return any(
        f.is_Add and all(t.as_coeff_Mul()[0].is_Float or t.is_Float for t in f.args) for f in sp.Mul.make_args(term)
    )
