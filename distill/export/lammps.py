"""A law for LAMMPS: a file for ``pair_style table``, with the commands that include it in its comment.

A. P. Thompson et al., Comput. Phys. Commun. 271, 108171 (2022). LAMMPS has a table for each pair of types of atoms, so
that every set of properties that the pair force depends on is a type. Forces on one particle are variables of atoms.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import sympy as sp

from distill.export.components import node_components
from distill.export.module import printable
from distill.export.numpy_module import properties_used
from distill.export.openmm_module import check
from distill.export.registry import PROGRAMS
from distill.files.properties import of_pairs, property_named
from distill.formulas.text import Notation, written
from distill.law.potential import integrated
from distill.physics.law import Law
from distill.physics.terms.state import AXES, TIME
from distill.physics.terms.values import names_in
from distill.shell.errors import UserError

NAME = PROGRAMS["lammps"]
POINTS = 2000  # of a table, evenly spaced in log(r)
BITS = 14  # of LAMMPS's own tables, which are spaced as floating-point numbers are
CLOSER, FURTHER = 10.0, 3.0  # tables reach so many times below and above the distances of the data
MOST_TYPES = 10
FUNCTIONS = {name: f"{name}({{0}})" for name in ("sqrt", "exp", "sin", "cos", "tan", "asin", "acos", "atan", "abs")}
FUNCTIONS |= {"log": "ln({0})", "tanh": "(1 - 2 / (exp(2 * ({0})) + 1))", "greater": "(({0}) > ({1}))"}
ATOM = {"mass": "mass", "charge": "q"}  # what LAMMPS calls properties of atoms; others are "d_" and their name


def source(law: Law, dim: int, about: str, low: float, high: float, types: Mapping[str, np.ndarray]) -> str:
    """The text of the file; ``about``: what its comment says of the law; ``low``, ``high``: distances of the data;
    ``types``: property -> its value for every type [type], at least of those that the pair force depends on.

    ``UserError`` for a law that LAMMPS cannot have in this way.
    """
    names = [name for name in properties_used(law) if _depends(law.pair, name)]
    low, high = low / CLOSER, FURTHER * high if law.cutoff is None else float(law.cutoff)
    if law.response is not None:
        raise UserError("LAMMPS moves particles by a = F/m, and this law has another response to the force")
    if TIME in names_in(law.pair):
        raise UserError("the pair force depends on the time, and a table of LAMMPS on the distance")
    check(law, "LAMMPS", low, high)
    count = len(np.asarray(types[names[0]])) if names else 1
    if count > MOST_TYPES:
        found = f"the pair force depends on {' and '.join(names)}, with {count} sets of values in the data"
        raise UserError(f"{found}, and LAMMPS has a table for each pair of types of atoms, here at most {MOST_TYPES}")
    r = np.geomspace(low, high, POINTS)
    pairs = [(a, b) for a in range(count) for b in range(a, count)]
    sections = [_section(law, r, {k: np.asarray(types[k], float) for k in names}, a, b) for a, b in pairs]
    told = [*printable(about).splitlines(), "", *commands(law, dim, pairs, {k: types[k] for k in names}, high)]
    if law.pair.atoms(sp.Function) and _jumps(law.pair):
        told.append(
            f"f jumps: within {100 * (r[1] / r[0] - 1):.2g} % of the distance where it does, the table does not"
        )
    comment = "\n".join(f"# {line}".rstrip() for line in told).encode("ascii", "replace").decode()
    return f"# UNITS: lj\n{comment}\n\n" + "\n".join(sections)


def _depends(f: sp.Expr, name: str) -> bool:
    return bool({s.name for s in f.free_symbols} & set(property_named(name).variables))


def _jumps(f: sp.Expr) -> bool:
    return any(e.func.__name__ in ("greater", "sign") for e in f.atoms(sp.Function))


def _section(law: Law, r: np.ndarray, types: Mapping, a: int, b: int) -> str:
    """The table of types ``a`` and ``b``, numbers from 0; ``UserError`` where the force is not finite."""
    ends = of_pairs({k: v[a] for k, v in types.items()}, {k: v[b] for k, v in types.items()})

    def force(at):
        return law.radial(at, **{name: np.full(np.shape(at), value) for name, value in ends.items()})

    f, energy = force(r), integrated(force, r)
    if not (np.isfinite(f).all() and np.isfinite(energy).all()):
        at = r[~(np.isfinite(f) & np.isfinite(energy))][-1]
        raise UserError(f"the pair force is not finite at r = {at:.3g}, where a table has to have it")
    rows = (
        f"{k} {x!r} {e!r} {y!r}"
        for k, (x, e, y) in enumerate(zip(r.tolist(), energy.tolist(), f.tolist(), strict=True), 1)
    )
    return f"{_key(a, b)}\nN {len(r)}\n\n" + "\n".join(rows) + "\n"


def _key(a: int, b: int) -> str:
    return f"PAIR_{a + 1}_{b + 1}"


def commands(law: Law, dim: int, pairs: Sequence, types: Mapping, high: float) -> list[str]:
    """What an input script says to have this law, and in words what it has to have besides."""
    out = ["Commands for an input script, after the box and the atoms are there; numbers in the units of the data:", ""]
    out += [
        f"units lj  (before them, with dimension {dim})" if dim > 1 else "units lj  (before them; positions along x)"
    ]
    for k in range(pairs[-1][0] + 1):
        own = ", ".join(f"{name} {float(values[k])!r}" for name, values in types.items())
        out.append(f"type {k + 1}: {own or 'any particle'}")
    out.append("")
    if law.chain:
        out.append(f"bond_style table spline {2**BITS}  (a chain: a bond from every particle to the next)")
        out += [f"bond_coeff {k} {NAME} {_key(a, b)}" for k, (a, b) in enumerate(pairs, 1)]
    else:
        out.append(f"pair_style table bitmap {BITS}")
        out += [f"pair_coeff {a + 1} {b + 1} {NAME} {_key(a, b)} {high!r}" for a, b in pairs]
    components = [sp.S.Zero] * dim
    for name, value in law.node.items():
        components = [a + b for a, b in zip(components, node_components(name, value, dim), strict=True)]
    if any(not c.is_zero for c in components):
        own = {property_named(n).variables[0]: ATOM.get(n, f"d_{n}") for n in properties_used(law)}
        known = own | {a: a for a in AXES} | {f"v{a}": f"v{a}" for a in AXES} | {"t": "time"}
        known["v"] = "sqrt(vx^2+vy^2+vz^2)"
        for axis, component in zip(AXES, components, strict=False):
            out.append(f'variable own_{axis} atom "{_formula(component, known)}"')
        forces = [f"v_own_{axis}" for axis in AXES[:dim]] + ["0.0"] * (3 - dim)
        out.append(f"fix own all addforce {' '.join(forces)}")
    out.append("fix move all nve")
    if dim < 3:
        out.append("fix plane all enforce2d" if dim == 2 else "fix line all setforce NULL 0.0 0.0")
    return out


def _formula(expr: sp.Expr, names: Mapping[str, str]) -> str:
    """A formula of a variable of LAMMPS, in which a sign binds tighter than a power: 0 stands before every sign."""

    def call(function, arguments):
        if function.name not in FUNCTIONS:
            raise UserError(f"LAMMPS has no function '{function.name}' in the variables of its atoms")
        return FUNCTIONS[function.name].format(*arguments)

    try:
        text = written(
            expr, Notation(lambda e: str(int(e)) if e.is_Integer else repr(float(e)), names.__getitem__, call)
        )
    except KeyError as exc:
        raise UserError(f"LAMMPS has no {exc.args[0]!a} of an atom") from None
    return re.sub(r"(^|\()-", r"\g<1>0-", text).replace(" ", "")
