"""A law as a Python module for OpenMM, ``law_openmm.py``: its forces, and an integrator where particles are slowed down.

OpenMM takes energies. A pair force has one where Newton's third law holds and where either there is a formula of it or
its dependence on distance is a factor, which is then integrated to a table (``potential``). What is the same for every
law is the part of ``template_openmm`` below its line.
"""

import sympy as sp

from distill.export.module import Raw, written
from distill.export.numpy_module import properties_used
from distill.export.potential import energy, factors, same, samples, swapped
from distill.files.properties import KNOWN, USUAL, property_named
from distill.formulas.code import Constants, lepton_code, numpy_code
from distill.formulas.text import symbols_for
from distill.formulas.units import AXES
from distill.physics.law import Law
from distill.physics.terms import TERMS
from distill.shell.errors import UserError

FURTHER = 10.0  # tables reach so many times below and above the distances of the data


def source(law: Law, dim: int, about: str, low: float, high: float) -> str:
    """The text of the module; ``about``: what its docstring says; ``low``, ``high``: distances of the data.

    ``UserError`` for a law that OpenMM cannot have.
    """
    if law.response is not None:
        raise UserError("OpenMM moves particles by a = F/m, and this law has another response to the force")
    names = properties_used(law, dim)
    symbols = {name: own_name(name) for name in names}
    low, high = low / FURTHER, high * FURTHER
    if not law.pair.free_symbols <= {symbol for symbol in symbols_for(law.variables)}:
        raise UserError("OpenMM has no pair force like this one, which is no function of distance and properties")
    if not same(law.pair, swapped(law.pair, law.properties), samples(law.pair, low, high)):
        raise UserError("OpenMM has no force that breaks Newton's third law, and f(i, j) is not f(j, i) here")
    of_pair = {"r": "r"}
    for name, symbol in symbols.items():
        of_pair |= dict(zip(property_named(name).variables, (f"{symbol}1", f"{symbol}2"), strict=True))
    of_one = {property_named(name).variables[0]: symbol for name, symbol in symbols.items()}
    closed, rest = energy(law.pair, low, high)
    parts = factors(rest)
    if parts is None or (parts and law.chain):
        raise UserError("OpenMM needs the energy of a pair: f has none as a formula, and distance is no factor of it")
    words = [lepton_code(closed, of_pair)] if closed != 0 else []
    constants, tables = Constants(), {}
    for k, (factor, of_distance) in enumerate(parts):
        words.append(f"({lepton_code(factor, of_pair)}) * energy{k}(log(r))")
        tables[f"energy{k}"] = Raw(f"lambda r: {numpy_code(of_distance, constants, {'r': 'r'})}")
    field, friction = _alone(law, dim)
    given = {
        "DIM": dim,
        "CHAIN": law.chain,
        "CUTOFF": law.cutoff and float(law.cutoff),
        "PROPERTIES": symbols,
        "ENERGY": " + ".join(words),
        "FIELD": lepton_code(field, of_one | {a: a for a in AXES}) if field != 0 else "",
        "FRICTION": lepton_code(friction, of_one) if friction != 0 else "",
        "LOW": low,
        "HIGH": high,
        "TABLES": tables,
    }
    return written("template_openmm", about, {k: float(v) for k, v in constants.values.items()} | given)


def own_name(name: str) -> str:
    """Of a property in a formula of OpenMM: nothing there is called so."""
    return KNOWN[name].symbol if name in USUAL else f"p_{name}"


def _alone(law: Law, dim: int) -> tuple[sp.Expr, sp.Expr]:
    """(energy of a particle in a field, its friction) of the terms that belong to no pair; ``UserError`` for another
    term than these.
    """
    field, friction = sp.S.Zero, sp.S.Zero
    for name, value in law.node.items():
        of_place = TERMS[name].energy(value, dim)
        if of_place is not None:
            field += of_place
            continue
        slowed = friction_of(TERMS[name].components(value, dim), dim)
        if slowed is None:
            raise UserError(f"OpenMM has no force like the term '{name}'")
        friction += slowed
    return field, friction


def friction_of(components: list[sp.Expr], dim: int) -> sp.Expr | None:
    """k of a force -k v, k a function of properties; None where the force is another one."""
    speeds = symbols_for([f"v{axis}" for axis in AXES[:dim]])
    found = {-c.diff(v) for c, v in zip(components, speeds, strict=True)}
    k = found.pop()
    own = {s.name for s in k.free_symbols} & {"t", "v", *AXES, *(f"v{a}" for a in AXES)}
    linear = all(sp.expand(c + k * v) == 0 for c, v in zip(components, speeds, strict=True))
    return k if not found and not own and linear else None
