"""Sigma and epsilon of a pair law that was found to be a/r^13 - b/r^7: the force of Lennard-Jones.

From f = 24 epsilon/sigma (2 (sigma/r)^13 - (sigma/r)^7) follow a = 48 epsilon sigma^12, b = 24 epsilon sigma^6, hence
sigma = (a/(2 b))^(1/6) and epsilon = b^2/(12 a). The exponents are the search's: a law with others has no sigma.
"""

import numpy as np
import sympy as sp

from distill.files.storage import finite_or_none
from distill.fluid.lennard_jones import KJ_PER_MOL, LennardJones
from distill.formulas.text import symbols_for
from distill.formulas.tree import parametrise, with_constants
from distill.law.constants import jackknife_fits, spread_of
from distill.law.receivers import Receivers

NAME = "lennard_jones"  # of the entry in law.json
_R = symbols_for(["r"])[0]
UNITS = (("sigma", "A"), ("epsilon", "kJ/mol"))


def amplitudes(pair: sp.Expr) -> tuple[float, float] | None:
    """(a, b) of a law a/r^13 - b/r^7 with a, b > 0, however it is spelt; None for any other."""
    if pair.free_symbols != {_R}:
        return None
    found = {}
    for term in sp.Add.make_args(sp.expand(sp.expand_power_base(pair))):
        number, rest = term.as_independent(_R, as_Add=False)
        base, exponent = rest.as_base_exp()
        if base != _R or exponent in found or not number.is_number:
            return None
        found[exponent] = float(number)
    if set(found) != {sp.Integer(-13), sp.Integer(-7)} or not found[-13] > 0 > found[-7]:
        return None
    return found[-13], -found[-7]


def parameters(a: float, b: float) -> tuple[float, float]:
    """(sigma, epsilon) in the units of the law: a length, and a force times a length."""
    return (a / (2 * b)) ** (1 / 6), b * b / (12 * a)


def values(pair: sp.Expr, system=None) -> dict | None:
    """JSON-ready: sigma and epsilon with their units and true values, the latter two where ``system`` is a
    ``LennardJones``; None if the law has another form.
    """
    both = amplitudes(pair)
    if both is None:
        return None
    known = isinstance(system, LennardJones)
    scale = (1.0, 1 / KJ_PER_MOL if known else 1.0)
    return {
        name: {
            "value": float(value * factor),
            "unit": unit if known else None,
            "true": getattr(system, name) if known else None,
        }
        for (name, unit), value, factor in zip(UNITS, parameters(*both), scale, strict=True)
    }


def account(pair: sp.Expr, data: Receivers, node_terms=(), system=None) -> dict | None:
    """JSON-ready: sigma and epsilon with jackknife standard errors over trajectories (null where there are too few),
    and their true values where ``system`` is a ``LennardJones``; None if the law has another form.

    ``data``: the receivers the law was fitted on. For a ``LennardJones`` in A and kJ/mol, else in the data's units.
    """
    both = amplitudes(pair)
    if both is None:
        return None
    told = values(pair, system)
    unit = np.array([1.0, 1 / KJ_PER_MOL if isinstance(system, LennardJones) else 1.0])
    form, symbols, start = parametrise(sp.Float(both[0]) / _R**13 - sp.Float(both[1]) / _R**7)
    fits = jackknife_fits(form, symbols, start, data, node_terms)
    each = [amplitudes(with_constants(form, symbols, fit)) for fit in fits]
    found = np.array([parameters(*ab) for ab in each if ab is not None]).reshape(-1, 2) * unit
    error = spread_of(found, 2)
    what = "sigma = (a/(2 b))^(1/6), epsilon = b^2/(12 a); standard errors: jackknife over trajectories"
    out = {"form": "a/r^13 - b/r^7", "a": both[0], "b": both[1], "what": what}
    for k, name in enumerate(told):
        out[name] = told[name] | {"standard_error": finite_or_none(error[k])}
    return out
