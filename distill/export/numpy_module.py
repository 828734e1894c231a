"""A law as a Python module of its own, ``law.py``, that needs NumPy and nothing else.

What is the same for every law is the part of ``template`` below its line, word for word; above it stand the constants
and the formulas of this law, written from their trees (``formulas.code``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from distill.export.module import written
from distill.files.properties import KNOWN, property_named, usable
from distill.formulas.code import Constants, numpy_code
from distill.formulas.units import AXES
from distill.physics.law import Law
from distill.physics.responses import SCALARS
from distill.physics.terms import TERMS, pair_components
from distill.shell.errors import UserError


@dataclass
class Part:
    """A function of the module: lines of a body in which ``code`` is written."""

    name: str
    known: Mapping[str, str]  # variable of a formula -> its code
    constants: Constants
    lines: list[str] = field(default_factory=list)

    def code(self, expr: sp.Expr, stem: str = "C") -> str:
        """A formula of what this function knows; ``UserError`` for one of anything else."""
        try:
            return numpy_code(expr, self.constants, self.known, stem)
        except KeyError as exc:
            raise UserError(f"law.py has no {exc.args[0]!a} in its {self.name.replace('_', ' ')}") from None


def properties_used(law: Law, dim: int) -> tuple[str, ...]:
    """Names of the properties that the law depends on; ``UserError`` for one that no law can have."""
    formulas = [law.pair, *(c for name, value in law.node.items() for c in TERMS[name].components(value, dim))]
    response = law.response
    formulas += [] if response is None else [response.formula(part) for part in ("alpha", "beta")]
    symbols = {symbol.name for formula in formulas for symbol in formula.free_symbols}
    known = (*law.properties, *(response.properties if response else ()))
    used = [p for p in map(property_named, dict.fromkeys(known)) if symbols & set(p.variables)]
    names = dict.fromkeys((*(() if response else ("mass",)), *(p.name for p in used)))
    for name in names:
        if name not in KNOWN and not usable(name):
            raise UserError(f"{name[:40]!a} cannot be the name of a property", "no law that is found here has one")
    return tuple(name for name in dict.fromkeys((*known, "mass")) if name in names)


def source(law: Law, dim: int, about: str) -> str:
    """The text of the module; ``about``: what its docstring says, any text.

    ``UserError`` for what cannot be written.
    """
    names = properties_used(law, dim)
    ends = {name: property_named(name).variables for name in names}
    own, both = [e[0] for e in ends.values()], [v for e in ends.values() for v in e]
    constants, axes = Constants(), AXES[:dim]

    known = {v: v for v in (*both, "r", "t")} | {f"d{a}": f"d[..., {k}]" for k, a in enumerate(axes)}
    pair = Part("pair_force", known | {"f": "f"}, constants)
    pair.lines.append(f"f = {pair.code(law.pair)}")
    strength = sp.Symbol("f", real=True)
    pair.lines.append(f"return stacked({', '.join(pair.code(strength * c) for c in pair_components(dim))})")

    known = {v: v for v in (*own, "t")} | {"v": "norm(vel)"}
    for k, axis in enumerate(axes):
        known |= {axis: f"pos[..., {k}]", f"v{axis}": f"vel[..., {k}]"}
    alone = Part("own_force", known, constants, ["force = np.zeros_like(pos)"])
    for name, value in law.node.items():
        parts = ", ".join(alone.code(c, name.upper()) for c in TERMS[name].components(value, dim))
        alone.lines.append(f"force = force + stacked({parts})")
    alone.lines.append("return force")

    answer = Part("response", {v: v for v in (*own, *SCALARS)}, constants)
    if law.response is None:
        answer.lines.append("return times(1 / m_i, force)")
    else:
        answer.lines.append("s, v, sv = norm(force), norm(vel), (force * vel).sum(-1)")
        alpha, beta = (answer.code(law.response.formula(part), part.upper()) for part in ("alpha", "beta"))
        answer.lines.append(f"return times({alpha}, force) + times({beta}, vel)")

    values = {"DIM": dim, "CHAIN": law.chain, "CUTOFF": law.cutoff and float(law.cutoff), "PROPERTIES": ends}
    functions = {
        "pair_force": (["d", "r", "w", "t", *both], pair.lines),
        "own_force": (["pos", "vel", "t", *own], alone.lines),
        "response": (["force", "vel", *own], answer.lines),
    }
    return written("template", about, values | constants.values, functions=functions)
