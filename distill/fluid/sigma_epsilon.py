"""Sigma and epsilon of a pair law that was found to be a/r^13 - b/r^7, the force of Lennard-Jones; of a mixture those
of every pair of species.

From f = 24 epsilon/sigma (2 (sigma/r)^13 - (sigma/r)^7) follow a = 48 epsilon sigma^12, b = 24 epsilon sigma^6, hence
sigma = (a/(2 b))^(1/6) and epsilon = b^2/(12 a). The exponents are the search's: a law with others has no sigma.
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from distill.files.properties import category_of, level_of
from distill.files.storage import finite_or_none
from distill.fluid.lennard_jones import KJ_PER_MOL, LennardJones
from distill.formulas.text import symbols_for
from distill.formulas.tree import parametrise, with_constants
from distill.law.constants import jackknife_fits, spread_of
from distill.law.receivers import Receivers
from distill.physics.terms.cases import Case, Group, alike, cases

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


def parameters(a: float, b: float) -> np.ndarray:
    """(sigma, epsilon) in the units of the law: a length, and a force times a length."""
    return np.array([(a / (2 * b)) ** (1 / 6), b * b / (12 * a)])


@dataclass(frozen=True)
class Part:
    """A function of the law, the ``cases`` that have it (none: every pair), its ``amplitudes`` (None: another form)."""

    cases: tuple[Case, ...]
    function: sp.Expr
    amplitudes: tuple[float, float] | None

    def whole(self, function: sp.Expr) -> sp.Expr:
        """The part of the pair law that is ``function`` for its pairs."""
        return Group(((self.cases, 1.0),)).whole(function) if self.cases else function


def parts_of(pair: sp.Expr, system=None) -> list[Part]:
    """The functions of a law, one for every set of pairs that share it: of its levels and those of the ``system``."""
    names = {s.name[:-2] for s in pair.free_symbols if category_of(s.name)}
    names |= {*system.mixture.indicators} if isinstance(system, LennardJones) else set()
    each = [(tuple(some), f) for some, f in alike({case: case.of(pair) for case in cases(sorted(names))})]
    return [Part(some, f, amplitudes(f)) for some, f in each or [((), pair)]]


def names_of(part: Part) -> dict[str, Case | None]:
    """Name of every pair that a function is of, in either order, and the case; one without a name where all are."""
    out: dict[str, Case | None] = {}
    for case in part.cases:
        if case.mirrored.name not in out:
            out[case.name] = case
    return out or {"": None}


def values(pair: sp.Expr, system=None) -> dict | None:
    """JSON-ready: sigma and epsilon of every pair of species, with their units and true values, the latter two where
    ``system`` is a ``LennardJones``; None if no function of the law has the form.
    """
    return _told(parts_of(pair, system), None, system)


def account(pair: sp.Expr, data: Receivers, node_terms=(), system=None) -> dict | None:
    """As ``values``, with amplitudes and jackknife standard errors over trajectories (null where there are too few).
    All functions are fitted together, those of another form by their own constants.

    ``data``: the receivers the law was fitted on. For a ``LennardJones`` in A and kJ/mol, else in the data's units.
    """
    parts = parts_of(pair, system)
    if not any(part.amplitudes for part in parts):
        return None
    form, symbols, start = parametrise(sp.Add(*[part.whole(_form(part)) for part in parts]))
    fits = jackknife_fits(form, symbols, start, data, node_terms)
    fits = [parts_of(with_constants(form, symbols, fit), system) for fit in fits]
    what = "sigma = (a/(2 b))^(1/6), epsilon = b^2/(12 a); standard errors: jackknife over trajectories"
    return {"form": "a/r^13 - b/r^7", "what": what} | _told(parts, fits, system)


def by_pair(found: dict | None) -> dict[str, dict | None]:
    """What ``values`` or ``account`` say of every pair of species, by its name, one without where there is one species;
    None for a pair whose function has another form.
    """
    return {} if found is None else found.get("pairs") or {"": found}


def _form(part: Part) -> sp.Expr:
    if part.amplitudes is None:
        return part.function
    a, b = part.amplitudes
    return sp.Float(a) / _R**13 - sp.Float(b) / _R**7


def _told(parts: list[Part], fits: list[list[Part]] | None, system) -> dict | None:
    """``fits``: the parts of the same law fitted to less of the data; None where there is none."""
    if not any(part.amplitudes for part in parts):
        return None
    known = isinstance(system, LennardJones)
    scale = np.array([1.0, 1 / KJ_PER_MOL if known else 1.0])
    pairs: dict[str, dict | None] = {}
    for k, part in enumerate(parts):
        if part.amplitudes is None:
            pairs |= dict.fromkeys(names_of(part))
            continue
        more, errors = {}, [{}, {}]
        if fits is not None:
            less = [fit[k].amplitudes for fit in fits if len(fit) == len(parts)]
            less = np.array([parameters(*ab) for ab in less if ab is not None]).reshape(-1, 2) * scale
            more = dict(zip("ab", part.amplitudes, strict=True))
            errors = [{"standard_error": finite_or_none(e)} for e in spread_of(less, 2)]
        both = parameters(*part.amplitudes) * scale
        for name, case in names_of(part).items():
            told = zip(UNITS, both, _true(case, system), errors, strict=True)
            pairs[name] = more | {
                parameter: {"value": float(value), "unit": unit if known else None, "true": true} | error
                for (parameter, unit), value, true, error in told
            }
    return pairs[""] if "" in pairs else {"pairs": pairs}


def _true(case: Case | None, system) -> tuple[float | None, float | None]:
    """Sigma and epsilon that were simulated."""
    if not isinstance(system, LennardJones):
        return None, None
    return system.pair(*map(level_of, (*case.receiver, *case.sender))) if case else (system.sigma, system.epsilon)
