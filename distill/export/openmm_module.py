"""A law as a Python module for OpenMM, ``law_openmm.py``: its forces, and an integrator for what is no force of OpenMM.

OpenMM takes energies. A pair force has one where Newton's third law holds and where either there is a formula of it or
its dependence on distance is a factor, which is then integrated to a table (``potential``). Forces on one particle that
have none, and responses other than a = F/m, are the integrator's. What is the same for every law is the part of
``template_openmm`` below its line.
"""

import sympy as sp

from distill.export.components import centre_of, node_components
from distill.export.module import Raw, written
from distill.export.numpy_module import properties_used
from distill.files.properties import KNOWN, USUAL, property_named
from distill.formulas.code import Constants, lepton_code, numpy_code
from distill.formulas.text import symbols_for
from distill.law.potential import R, energy, factors, field_energy, is_energy, same, swapped
from distill.physics.law import Law
from distill.physics.responses import SCALARS
from distill.physics.terms import TERMS, About
from distill.physics.terms.state import AXES, DISTANCE, SPEED, TIME
from distill.physics.terms.values import is_nothing, names_in
from distill.shell.errors import UserError

FURTHER = 10.0  # tables reach so many times below and above the distances of the data


def source(law: Law, dim: int, about: str, low: float, high: float) -> str:
    """The text of the module; ``about``: what its docstring says; ``low``, ``high``: distances of the data.

    ``UserError`` for a law that OpenMM cannot have.
    """
    symbols = {name: own_name(name) for name in dict.fromkeys(("mass", *properties_used(law)))}
    low, high = low / FURTHER, high * FURTHER
    check(law, "OpenMM", low, high)
    of_pair = {"r": "r", TIME: TIME}
    for name, symbol in symbols.items():
        of_pair |= dict(zip(property_named(name).variables, (f"{symbol}1", f"{symbol}2"), strict=True))
    of_one = {property_named(name).variables[0]: symbol for name, symbol in symbols.items()}
    closed, rest = energy(law.pair, low, high)
    parts = factors(rest)
    if parts is None or (parts and law.chain):
        raise UserError("OpenMM needs the energy of a pair: f has none as a formula, and distance is no factor of it")
    words = [lepton_code(closed, of_pair)] if not is_nothing(closed) else []
    constants, tables = Constants(), {}
    for k, (factor, of_distance) in enumerate(parts):
        words.append(f"({lepton_code(factor, of_pair)}) * energy{k}(log(r))")
        tables[f"energy{k}"] = Raw(f"lambda r: {numpy_code(of_distance, constants, {'r': 'r'})}")
    field, force = _alone(law, dim)
    moving = of_one | {TIME: TIME, SPEED: "sqrt(dot(v, v))"} | {a: f"_{a}(x)" for a in AXES}
    moving |= {f"v{a}": f"_{a}(v)" for a in AXES}
    vector = ", ".join([lepton_code(part, moving) for part in force] + ["0"] * (3 - dim))
    given = {
        "DIM": dim,
        "CHAIN": law.chain,
        "CUTOFF": law.cutoff and float(law.cutoff),
        "PROPERTIES": symbols,
        "TIMED": TIME in names_in(law.pair),
        "ENERGY": " + ".join(words),
        "FIELD": lepton_code(field, of_one | {a: a for a in AXES}) if not is_nothing(field) else "",
        "FORCE": f"vector({vector})" if any(not part.is_zero for part in force) else "",
        "RESPONSE": _response(law, of_one),
        "LOW": low,
        "HIGH": high,
        "TABLES": tables,
    }
    return written("template_openmm", about, {k: float(v) for k, v in constants.values.items()} | given)


def own_name(name: str) -> str:
    """Of a property in a formula of OpenMM: nothing there is called so."""
    return KNOWN[name].symbol if name in USUAL else f"p_{name}"


def check(law: Law, program: str, low: float, high: float) -> None:
    """``UserError`` for a law that a program cannot have whose pair forces are of energies of pairs."""
    if further := [name for name, function in law.pairs.items() if not is_nothing(function)]:
        raise UserError(f"{program} has pair forces along the line of centres only, and this law has '{further[0]}'")
    if not same(law.pair, swapped(law.pair, law.properties), low, high):
        found = f"the pair forces of {program} obey Newton's third law, and f(i, j) is not f(j, i) here"
        raise UserError(found)


def _response(law: Law, names: dict) -> str:
    """The acceleration under the net force S, in vectors of Lepton."""
    if law.response is None:
        return "S / m"
    scalars = dict(zip(SCALARS, ("sqrt(dot(S, S))", "sqrt(dot(v, v))", "dot(S, v)"), strict=True))
    alpha, beta = (lepton_code(law.response.formula(part), names | scalars) for part in ("alpha", "beta"))
    return f"({alpha}) * S + ({beta}) * v"


def _alone(law: Law, dim: int) -> tuple[sp.Expr, list[sp.Expr]]:
    """(energy of a particle in fields that have one as a formula, components [dim] of all other forces on it)."""
    field, force = sp.S.Zero, [sp.S.Zero] * dim
    for name, value in law.node.items():
        components = node_components(name, value, dim)
        of_place = _field(name, value, components, dim)
        if of_place is None:
            force = [a + b for a, b in zip(force, components, strict=True)]
        else:
            field += of_place
    return field, force


def _field(name: str, value, components: list[sp.Expr], dim: int) -> sp.Expr | None:
    """Energy of a particle in a force that depends on its place and properties; None where it has none as a formula."""
    if {s.name for c in components for s in c.free_symbols} & {TIME, SPEED, *(f"v{a}" for a in AXES)}:
        return None
    places = symbols_for(AXES[:dim])
    if not isinstance(value, About):
        return field_energy(components, places)
    away = sp.sqrt(sp.Add(*[(x - c) ** 2 for x, c in zip(places, centre_of(value, dim), strict=True)]))
    strength = sp.sympify(value.strength).xreplace({symbols_for((DISTANCE,))[0]: R})
    found, rest = energy(strength, 0.1, 10.0)
    of = symbols_for((property_named(TERMS[name].of).variables[0],))[0] if TERMS[name].of else sp.S.One
    found = of * found.xreplace({R: away})
    return found if rest.is_zero and is_energy(found, components, places) else None
