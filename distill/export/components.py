"""The forces of a law's terms as formulas of single numbers, for programs that have no arrays of vectors.

A term's ``kernel`` is its definition (``physics.terms``); called with arrays of symbols it gives formulas.
"""

import numpy as np
import sympy as sp

from distill.files.properties import property_named
from distill.formulas.text import symbols_for
from distill.formulas.tree import rebuild
from distill.physics.terms import TERMS, About, Given
from distill.physics.terms.state import AXES, DISTANCE
from distill.physics.terms.values import is_number, parts
from distill.shell.errors import UserError


def formulas(name: str, value, dim: int) -> list:
    """The components of what multiplies a node's vector, each a number or a formula; ``UserError`` for functions that
    are none.
    """
    if any(isinstance(part, Given) for part in parts(value)):
        raise UserError(f"the term '{name}' is a function written in Python, of which there is no formula")
    return TERMS[name].components([float(p) if is_number(p) else p for p in parts(value)], dim)


def centre_of(value, dim: int) -> list[float]:
    """[dim] of a force about a point; [] where there is none."""
    return [*map(float, value.centre), *[0.0] * dim][:dim] if isinstance(value, About) else []


def node_components(name: str, value, dim: int) -> list[sp.Expr]:
    """The force of a node's term along each axis [dim], in x, y, z, vx, vy, vz, v, t and the receiver's properties."""
    term, centre = TERMS[name], centre_of(value, dim)
    pos = _array(symbols_for(AXES[:dim]))
    vel = _array(symbols_for([f"v{axis}" for axis in AXES[:dim]]))
    away = {symbols_for((DISTANCE,))[0]: sp.sqrt(sp.Add(*[(x - c) ** 2 for x, c in zip(pos[0], centre, strict=False)]))}
    away |= {symbol: sp.S.Zero for axis in AXES[dim:] for symbol in symbols_for((axis, f"v{axis}"))}
    each = _array([sp.sympify(part).xreplace(away) for part in formulas(name, value, dim)])
    of = symbols_for((property_named(term.of).variables[0],))[0] if term.of else sp.S.One
    return [_plain(of * c) for c in np.broadcast_to(term.kernel(pos, vel, each, centre), (1, dim))[0]]


def _array(symbols) -> np.ndarray:
    """[1, ...]: kernels take whatever axes stand before."""
    out = np.empty((1, len(symbols)), dtype=object)
    out[0] = symbols
    return out


def _plain(expr: sp.Expr) -> sp.Expr:
    """Without the factors 1.0 and the exponents 0.5 that arithmetic of arrays leaves."""

    def change(e):
        if e.is_Mul and e.args[0].is_Float and abs(float(e.args[0])) == 1:
            return sp.Mul(int(e.args[0]), *e.args[1:])
        if e.is_Pow and e.exp.is_Float and (2 * float(e.exp)).is_integer():
            return e.base ** sp.Rational(int(2 * float(e.exp)), 2)
        return e

    return rebuild(sp.sympify(expr), change)
