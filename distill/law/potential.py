"""The energy of a force that is a formula, of a pair (f = -dE/dr) or in a field, for programs that want energies.

A sum of products of powers of a linear function of r with polynomials, or of exponentials with these, has an energy
that is a formula. Of any other f the part that depends on r is integrated by numbers, where it is a factor.
"""

from collections.abc import Sequence

import numpy as np
import sympy as sp

from distill.files.properties import property_named
from distill.formulas.functions import greater
from distill.formulas.program import compile_numpy
from distill.formulas.text import symbols_for

(R,) = symbols_for(("r",))
TOLERANCE = 1e-9  # relative, of what has to be the same
SAMPLES = 200
MOST_POWER = 20  # of a polynomial that is multiplied out
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


def same(one: sp.Expr, other: sp.Expr, low: float = 1.0, high: float = 1.0) -> bool:
    """Whether two formulas have the same values, to rounding, wherever both are finite: at distances from ``low`` to
    ``high`` and properties of order one, of either sign where they may have one.
    """
    rng, at = np.random.default_rng(0), {}
    for symbol in sorted(one.free_symbols | other.free_symbols, key=str):
        size = np.exp(rng.normal(size=SAMPLES))
        at[symbol.name] = size if symbol.is_positive else size * rng.choice([-1, 1], SAMPLES)
    at["r"] = np.exp(rng.uniform(np.log(low), np.log(high), SAMPLES))
    a, b = (compile_numpy(e, list(at))(*at.values()) for e in (one, other))
    told = np.isfinite(a) & np.isfinite(b)
    return bool(told.any() and (np.abs(a - b)[told] <= TOLERANCE * (np.abs(a) + np.abs(b))[told]).all())


def swapped(f: sp.Expr, properties) -> sp.Expr:
    """``f`` with both ends exchanged."""
    own, other = zip(*(symbols_for(property_named(name).variables) for name in properties), strict=True)
    return f.xreplace(dict(zip((*own, *other), (*other, *own), strict=True)))


def is_mutual(f: sp.Expr, properties) -> bool:
    """Whether both ends of a pair feel the same force f: without that there is no energy of the pair."""
    return sp.simplify(swapped(f, properties) - f) == 0


def energy(f: sp.Expr, low: float, high: float) -> tuple[sp.Expr, sp.Expr]:
    """(E as a formula of those terms of ``f`` for which there is one, the other terms); checked from ``low`` to
    ``high``.
    """
    terms = sp.Add.make_args(_expanded(f))
    parts = {term: -part for term in terms if (part := _primitive(term, R)) is not None}
    good = [t for t, part in parts.items() if t == 0 or same(-part.diff(R), t, low, high)]
    return sp.Add(*[parts[t] for t in good]), sp.Add(*[t for t in terms if t not in good])


def factors(f: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]] | None:
    """``f`` as a sum of (a product of properties) times (a function of r); None where it is none."""
    found: dict = {}
    for term in sp.Add.make_args(_expanded(f)):
        if term == 0:
            continue
        of_properties, of_r = term.as_independent(R, as_Add=False)
        if of_r.free_symbols - {R}:
            return None
        number, of_properties = of_properties.as_independent(*of_properties.free_symbols, as_Add=False)
        found[of_properties] = found.get(of_properties, 0) + number * of_r
    return list(found.items())


def integrated(f, r: np.ndarray) -> np.ndarray:
    """The energies at the distances ``r``, increasing, of the force ``f(r)``, 0 at the last of them."""
    middle, half = (r[1:] + r[:-1]) / 2, (r[1:] - r[:-1]) / 2
    steps = half * (WEIGHTS * f(middle[:, None] + half[:, None] * NODES)).sum(1)
    return np.r_[np.cumsum(steps[::-1])[::-1], 0.0]


def field_energy(components: Sequence[sp.Expr], places: Sequence[sp.Symbol]) -> sp.Expr | None:
    """E with the components of a force as minus its derivatives by ``places``; None where no rule has one."""
    out = sp.S.Zero
    for component, x in zip(components, places, strict=True):
        parts = [_primitive(term, x) for term in sp.Add.make_args(_expanded(component + out.diff(x)))]
        if any(part is None for part in parts):
            return None
        out -= sp.Add(*parts)
    return out if is_energy(out, components, places) else None


def is_energy(formula: sp.Expr, components: Sequence[sp.Expr], places: Sequence[sp.Symbol]) -> bool:
    """Whether the components of a force are minus the derivatives of ``formula`` by ``places``."""
    return all(same(-formula.diff(x), c) for x, c in zip(places, components, strict=True))


def _expanded(f: sp.Expr) -> sp.Expr:
    """Every term multiplied out: of a sum as a whole SymPy multiplies nothing out but deep inside."""
    how = {"deep": False, "power_exp": False, "power_base": False, "log": False}
    return sp.Add(*[sp.expand(term, **how) for term in sp.Add.make_args(f)])


def _primitive(term: sp.Expr, x: sp.Symbol) -> sp.Expr | None:
    """The integral over ``x`` of a product, None where no rule has one."""
    number, rest = term.as_independent(x, as_Add=False)
    every = sp.Mul.make_args(rest)
    if jump := next((e for e in every if e.func is greater), None):
        whole = _primitive(sp.Mul(*[e for e in every if e is not jump]), x)
        at = [a for a in jump.args if not a.has(x)]
        if whole is None or len(at) != 1 or x not in jump.args:
            return None
        return number * (whole - whole.xreplace({x: at[0]})) * jump  # the force jumps there, the energy does not
    grows = [e for e in every if e.func is sp.exp]
    others = sp.Mul(*[e for e in every if e.func is not sp.exp])
    whole = _with_exponential(others, sp.Add(*[e.args[0] for e in grows]), x) if grows else _of_powers(others, x)
    return None if whole is None or whole.has(sp.zoo, sp.nan, sp.oo) else number * whole


def _with_exponential(polynomial: sp.Expr, exponent: sp.Expr, x: sp.Symbol) -> sp.Expr | None:
    """By parts, of a polynomial times the exponential of something linear in x."""
    slope = exponent.diff(x)
    if slope == 0 or slope.has(x) or not polynomial.is_polynomial(x) or sp.degree(polynomial, x) > MOST_POWER:
        return None
    out, sign = sp.S.Zero, 1 / slope
    while polynomial != 0:
        out, polynomial, sign = out + sign * polynomial, polynomial.diff(x), -sign / slope
    return out * sp.exp(exponent)


def _of_powers(product: sp.Expr, x: sp.Symbol) -> sp.Expr | None:
    """Of one power of something linear in x, times a polynomial: that one written as its polynomial."""
    base, power, polynomial = x, sp.S.Zero, sp.S.One
    for factor in sp.Mul.make_args(product):
        if factor.is_polynomial(x):
            polynomial *= factor
        elif power == 0:
            base, power = factor.as_base_exp()
        else:
            return None
    slope = base.diff(x)
    if slope == 0 or slope.has(x) or power.has(x) or sp.degree(polynomial, x) > MOST_POWER:
        return None
    rest, u, out = base.xreplace({x: sp.S.Zero}), sp.Dummy(), sp.S.Zero
    for (k,), coefficient in sp.Poly(polynomial.xreplace({x: (u - rest) / slope}), u).terms():
        up = power + k + 1
        log = sp.log(base if rest.is_nonnegative and slope.is_positive else sp.Abs(base))
        out += coefficient / slope * (log if up == 0 else base**up / up)
    return out
