"""A law as a Python module of its own, ``law.py``, that needs NumPy and nothing else.

Formulas are written from their trees (``formulas.code``). The vector of a term is its ``kernel``, whose source is
copied: a term that is added needs nothing here.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sympy as sp

from distill.export.components import centre_of, formulas
from distill.export.module import written
from distill.files.properties import KNOWN, categories, level_of, property_named, usable
from distill.formulas.code import Constants, numpy_code
from distill.physics.law import Law
from distill.physics.responses import SCALARS
from distill.physics.terms import TERMS
from distill.physics.terms.state import AXES, DISTANCE, SPEED, TIME
from distill.physics.terms.values import is_nothing, names_in, parts
from distill.shell.errors import UserError


@dataclass
class Part:
    """A function of the module: ``known``, variable of a formula -> its code; ``lines`` of its body."""

    name: str
    known: Mapping[str, str]
    constants: Constants
    lines: list[str] = field(default_factory=list)

    def code(self, value, stem: str, **known: str) -> str:
        """A number, or a formula of what this function knows; ``UserError`` for one of anything else."""
        try:
            return numpy_code(sp.sympify(value), self.constants, {**self.known, **known}, stem)
        except KeyError as exc:
            raise UserError(f"law.py has no {exc.args[0]!a} in its {self.name.replace('_', ' ')}") from None


def properties_used(law: Law) -> tuple[str, ...]:
    """Names of the properties that the law depends on, mass among them unless it has a response without.

    ``UserError`` for one that no law can have.
    """
    response = law.response
    values = [*law.pair_functions.values(), *law.node.values()]
    values += [] if response is None else [response.formula(part) for part in ("alpha", "beta")]
    symbols = {name for value in values for name in names_in(value)}
    known = dict.fromkeys((*law.properties, *(response.properties if response else ()), "mass"))
    needed = {TERMS[name].of for name in law.node} | ({"mass"} if response is None else set())
    for name in known:
        if name not in KNOWN and not usable(name):
            raise UserError(f"{name[:40]!a} cannot be the name of a property", "no law that is found here has one")
    return tuple(name for name in known if name in needed or symbols & set(property_named(name).variables))


def source(law: Law, dim: int, about: str) -> str:
    """The text of the module; ``about``: what its docstring says, any text.

    ``UserError`` for what cannot be written.
    """
    if dim not in range(1, len(AXES) + 1):
        raise UserError(f"the law is of {dim} space dimensions, expected 1 to {len(AXES)}")
    ends = {name: property_named(name).variables for name in properties_used(law)}
    own, both = [e[0] for e in ends.values()], [v for e in ends.values() for v in e]
    constants, kernels = Constants(), {}

    def kernel(name: str, arguments: list[str]) -> str:
        """The name of the function that a term's kernel becomes."""
        kernels[f"{name}_vector"] = arguments, _body(name, TERMS[name].kernel, arguments)
        return f"{name}_vector"

    pair = Part("pair_force", {v: v for v in (*both, "r", TIME)}, constants)
    functions = {name: f for name, f in law.pair_functions.items() if not is_nothing(f)} or {"radial": law.pair}
    for count, (name, function) in enumerate(functions.items()):
        letter = TERMS[name].letter
        along = "unit"
        if centre := centre_of(function, dim):
            at = ", ".join(pair.code(c, "DISPLACED") for c in centre)
            pair.lines.append(f"apart = times(r, unit) - np.array([{at}])")
            pair.lines += ["s = norm(apart)", "along = times(1 / np.where(s > 0, s, 1.0), apart)"]
            along = "along"
        pair.lines.append(f"{letter} = {pair.code(parts(function)[0], 'C', **{DISTANCE: 's'} if centre else {})}")
        own_part = f"times({letter}, {kernel(name, ['unit', 'dv'])}({along}, dv))"
        pair.lines.append(f"force = force + {own_part}" if count else f"force = {own_part}")
    pair.lines.append("return force")

    known = {v: v for v in (*own, TIME)} | {SPEED: "norm(vel)"}
    for k, axis in enumerate(AXES):
        known |= {axis: f"pos[..., {k}]", f"v{axis}": f"vel[..., {k}]"} if k < dim else {axis: "0.0", f"v{axis}": "0.0"}
    alone = Part("own_force", known, constants, ["force = np.zeros_like(pos)"])
    for name, value in law.node.items():
        stem, of, centre = name.upper(), TERMS[name].of, centre_of(value, dim)
        at = "".join(f"{alone.code(c, f'{stem}_AT')}, " for c in centre)
        away = f"norm(pos - np.array([{at.strip(', ')}]))" if centre else "norm(pos)"
        each = ", ".join(alone.code(part, stem, **{DISTANCE: away}) for part in formulas(name, value, dim))
        force = f"{kernel(name, ['pos', 'vel', 'value', 'centre'])}(pos, vel, value, ({at.strip()}))"
        alone.lines.append(f"value = stacked({each})")
        alone.lines.append(f"force = force + {f'times({ends[of][0]}, {force})' if of else force}")
    alone.lines.append("return force")

    answer = Part("response", {v: v for v in (*own, *SCALARS)}, constants)
    if law.response is None:
        answer.lines.append("return times(1 / m_i, force)")
    else:
        answer.lines.append("s, v, sv = norm(force), norm(vel), (force * vel).sum(-1)")
        alpha, beta = (answer.code(law.response.formula(part), part.upper()) for part in ("alpha", "beta"))
        answer.lines.append(f"return times({alpha}, force) + times({beta}, vel)")

    values = {"DIM": dim, "CHAIN": law.chain, "CUTOFF": law.cutoff and float(law.cutoff), "PROPERTIES": ends}
    values["CATEGORIES"] = {c: tuple(map(level_of, names)) for c, names in categories(law.properties).items()}
    functions = kernels | {
        "pair_force": (["unit", "r", "dv", TIME, *both], pair.lines),
        "own_force": (["pos", "vel", TIME, *own], alone.lines),
        "response": (["force", "vel", *own], answer.lines),
    }
    return written("template", about, values | constants.values, functions)


def _body(name: str, kernel: Callable, arguments: list[str]) -> list[str]:
    """Lines of the body of a term's kernel; ``UserError`` where it is no function of these arguments, of ``np`` and of
    what it makes itself, in a file.
    """
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(kernel))).body
    except (OSError, SyntaxError, ValueError):
        raise UserError(f"the source of the term '{name}' is not to be found, and law.py is to hold it") from None
    if not isinstance(node, ast.FunctionDef) or [a.arg for a in node.args.args] != arguments or not name.isidentifier():
        raise UserError(f"the kernel of the term '{name}' is no function of {', '.join(arguments)}")
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} - {"np"}
    if others := sorted(names & set(kernel.__globals__)):
        raise UserError(f"the kernel of the term '{name}' needs {others[0]}, and law.py has numpy alone")
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return "\n".join(ast.unparse(line) for line in body).splitlines()
