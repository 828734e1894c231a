"""The law of a network of energies as a Hamiltonian, and what its energies say of it before any refit."""

from dataclasses import replace

import numpy as np
import sympy as sp

from distill.files.properties import of_receivers, property_named
from distill.formulas.latex import to_latex
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, symbols_for, to_text
from distill.formulas.tree import complexity
from distill.law import potential
from distill.law.sources import sharpened_for, sharpened_in_sums
from distill.messages.energies import PER_EDGE, are_energies
from distill.physics.law import Law, case_words, told_by_case
from distill.physics.terms import TERMS
from distill.physics.terms.cases import by_case
from distill.physics.terms.values import is_number
from distill.search.registry import MESSAGES
from distill.search.targets import of_group

NAME = "hamiltonian"  # of the entry in law.json
DRAG = "drag"
RIGHT = 0.01  # a kinetic term is p^2/(2 m) within
_R, _P = symbols_for(["r", "p"])
KINETIC = parse("p^2/(2*m_i)", ("p", "m_i"))


def account(forces, fronts: dict, law: Law, own, judge) -> dict | None:
    """As ``kinds.Hamiltonian``; None where messages are no energies. ``own``: the ``law.account.Finding`` of them."""
    if forces.main.name != MESSAGES or forces.meta is None or not are_energies(forces.meta):
        return None
    r = forces.messages["r"].astype(float)
    low, high = float(r[r > 0].min()), float(r.max())  # what coincides has no distance
    names = [of_group("potential", group) for group in own.source.groups] or ["potential"]
    searched = [fronts[name].expr for name in names if fronts.get(name)]
    energy = read_potential(searched, forces, own, judge, (low, high)) if len(searched) == len(names) else None
    kinetic = fronts.get("kinetic") and read_kinetic(fronts["kinetic"].expr, forces.messages, judge.system)
    return written(law, (low, high)) | {
        "per_edge": PER_EDGE,
        "reference": forces.meta.reference,
        "energy": energy,
        "kinetic": kinetic,
    }


def slope_of(force: sp.Expr, low: float, high: float) -> sp.Expr | None:
    """The energy of a pair whose force that is, f = -dE/dr; None where no formula is found."""
    found, left = potential.energy(force, low, high)
    return None if left != 0 else found


def lacking(law: Law) -> str | None:
    """Why no H with p = m v has the pair forces of the law; None where one has."""
    if law.response is not None:
        return "particles do not respond to forces by a = F/m"
    if not potential.is_mutual(law.pair, law.properties):
        return "the pair force on i is not that on j: no energy of the pair has both"
    return None


def written(law: Law, distances: tuple[float, float]) -> dict:
    """H of the law in text and LaTeX, with T = p^2/2m; what is no energy of pairs stands beside it with its values."""
    if why := lacking(law):
        nothing = dict.fromkeys(("text", "latex", "rayleigh", "potential", "potential_latex"))
        return nothing | {"why_not": why}
    found, over = slope_of(law.pair, *distances), "neighbours" if law.chain else "i<j"
    words, formulas = _potential_told(found, law.properties)
    text = f"H = sum_i p_i^2/(2 m_i) + sum_{{{over}}} V, {words}"
    over = r"\mathrm{neighbours}" if law.chain else "i<j"
    latex = rf"H = \sum_i \frac{{p_i^2}}{{2 m_i}} + \sum_{{{over}}} V,\quad {formulas}"
    rayleigh = None
    if is_number(gamma := law.node.get(DRAG, sp.nan)):
        rayleigh = f"{float(gamma) / 2:.10g}*v^2"
        text += f"; {'lost' if float(gamma) > 0 else 'gained'} by R = sum_i {rayleigh}, dp_i/dt = -dH/dx_i - dR/dv_i"
        latex += rf",\quad R = \sum_i {float(gamma) / 2:.4g}\,v_i^2"
    node = {name: value for name, value in law.node.items() if name != DRAG or rayleigh is None}
    if further := [(TERMS[k], v) for k, v in node.items()]:
        text += f"; beside it, on each particle: {' '.join(term.text(v) for term, v in further)}"
        latex += rf",\quad \dot p_i \ni {' '.join(term.latex(v) for term, v in further)}"
    if further := [(TERMS[k], v) for k, v in law.pairs.items()]:
        text += f"; beside it, of each pair: {' + '.join(term.text(v) for term, v in further)}"
        latex += rf",\quad \mathbf{{F}}_{{ij}} \ni {' + '.join(term.latex(v) for term, v in further)}"
    formula = None if found is None else to_text(found)
    return {"text": text, "latex": latex, "rayleigh": rayleigh, "why_not": None} | {
        "potential": formula,
        "potential_latex": None if found is None else to_latex(found),
    }


def _potential_told(found: sp.Expr | None, properties) -> tuple[str, str]:
    """The energy of a pair in text and in LaTeX, for every pair of levels where it depends on categories."""
    if found is None:
        return "V = V(r, ...) of f = -dV/dr", r"V = -\int f\,dr"
    if cases := by_case(found, properties):
        told = told_by_case(cases)
        named = (" = ".join(rf"V_{{\mathrm{{{pair}}}}}" for pair in one["pairs"]) for one in told)
        formulas = [f"{name} = {one['latex']}" for name, one in zip(named, told, strict=True)]
        return ", ".join(case_words({"cases": told}, letter="V")), r",\quad ".join(formulas)
    return f"V = {to_text(found, 10)}", f"V = {to_latex(found)}"


def with_variable(expr: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """``expr`` without the terms that do not depend on ``variable``: an energy less a number that nothing knows."""
    how = {"deep": False, "power_exp": False, "power_base": False, "log": False}
    expr = sp.Add(*[sp.expand(term, **how) for term in sp.Add.make_args(expr)])
    terms = [_proper(term, variable) for term in sp.Add.make_args(expr) if term.has(variable)]
    return sp.Add(*[part for term in terms for part in sp.Add.make_args(term) if part.has(variable)])


def _proper(term: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """(a + b r)/(c + r) as b + (a - b c)/(c + r): polynomials in ``variable`` are divided, other terms as they were."""
    above, below = sp.fraction(sp.together(term))
    if not below.has(variable) or not (above.is_polynomial(variable) and below.is_polynomial(variable)):
        return term
    whole, rest = sp.div(above, below, variable)
    return term if whole == 0 else sp.expand(whole) + sp.factor_terms(rest) / below


def read_potential(searched: list[sp.Expr], forces, own, judge, distances) -> dict | None:
    """As ``kinds.ReadEnergy``, of the formulas that were searched in the energies of pairs: one, or one for every group
    of pairs of levels.
    """
    each = [with_variable(expr, _R) for expr in searched]
    if 0 in each:
        return None
    ground, groups = judge.ground, own.source.groups or (None,)
    both = {"force": forces.main.force, "messages": forces.messages, "units": ground.units}
    raw = [-e.diff(_R) for e in each]
    slopes = [ground.canonical(sharpened_for(g, f, **both)) for g, f in zip(groups, raw, strict=True)]
    energy, searched, force = (
        sp.Add(*[f if group is None else group.whole(f) for group, f in zip(groups, functions, strict=True)])
        for functions in (each, raw, slopes)
    )
    force = ground.canonical(sharpened_in_sums(force, both["force"], both["messages"], ground))
    verdict, as_searched = (judge.verdict(replace(own.before, pair=f)) for f in (force, ground.canonical(searched)))
    whole = slope_of(force, *distances)
    return {
        "text": to_text(energy),
        "latex": to_latex(energy),
        "complexity": complexity(energy),
        "force": to_text(force),
        "from_force": None if whole is None else to_text(whole),
        "verdict": verdict,
        "searched_verdict": as_searched,
        "recovered": None if verdict is None else verdict["recovered"],
    }


def read_kinetic(expr: sp.Expr, messages: dict, system) -> dict | None:
    """As ``kinds.ReadEnergy``, of the formula that was searched in the energies of particles by their momentum."""
    energy = with_variable(expr, _P)
    if energy == 0:
        return None
    mass = of_receivers(messages)["mass"]
    momentum = mass * np.linalg.norm(messages["vel_i"].astype(float), axis=1)
    some = momentum > 0.05 * np.median(momentum)
    if not some.any():  # nothing moves
        return None
    names = [symbol.name for symbol in energy.free_symbols]
    known = {"p": momentum} | {property_named(k).variables[0]: v for k, v in of_receivers(messages).items()}
    with np.errstate(all="ignore"):
        values = compile_numpy(energy, names)(*(known[name][some] for name in names))
        ratio = values / (momentum**2 / (2 * mass))[some]
    whole = bool(np.isfinite(ratio).all())
    off = float(np.quantile(np.abs(ratio - 1), 0.95)) if whole else None
    newton = system is not None and (system.response is None or system.response.kinetic is None)
    return {
        "text": to_text(energy),
        "latex": to_latex(energy),
        "complexity": complexity(energy),
        "factor": float(np.median(ratio)) if whole else None,
        "off": off,
        "recovered": (whole and off < RIGHT and complexity(energy) <= complexity(KINETIC) + 2) if newton else None,
    }
