"""How a particle responds to the net force S on it: a_i = alpha S_i + beta v_i, alpha and beta known functions.

Newton's second law, alpha = 1/m_i, is what holds where nothing is said. With another response accelerations do not
superpose although the forces do: what a pair does depends on who else pulls. alpha and beta depend on

    s = |S|,  v = |v_i|,  sv = S . v_i,  and the receiver's properties (m_i, q_i, ...),

which is all that a response without a preferred direction can be made of in two dimensions (in three there could be
a part along S x v). A system names its response, a law that was found has one of its own. Adding a known one is one
entry of ``RESPONSES``. Dimensionless units; works on numpy and jax.numpy. SymPy is loaded where a formula is first
needed: who asks for --help does not wait for it.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from distill.files.properties import USUAL, ordered, property_named, with_symbol
from distill.shell.errors import UserError, near_miss

SCALARS = ("s", "v", "sv")


def response_variables(properties=USUAL) -> tuple[str, ...]:
    """Of alpha and beta: the scalars and the receiver's properties."""
    return (*SCALARS, *(property_named(name).variables[0] for name in ordered(properties)))


@dataclass(frozen=True)
class Response:
    """``alpha``, ``beta``: formulas in the ``response_variables`` of ``properties``.

    ``kinetic``: the energy T(v, p) of motion with dT/dt = S . v, and ``inertia``: momentum over velocity, with
    d(inertia v)/dt = S, where there are such: then energy and momentum are conserved as ever. None: there are none, and
    what S . v - d(m v^2/2)/dt takes away is kept account of, as with drag.
    ``speed_limit``: speeds are below it, None: there is none.
    """

    name: str
    alpha: str
    beta: str = "0"
    summary: str = ""
    kinetic: str | None = None
    inertia: str | None = None
    speed_limit: float | None = None
    properties: tuple[str, ...] = USUAL

    @property
    def variables(self) -> tuple[str, ...]:
        return response_variables(self.properties)

    def formula(self, part: str):
        """``part``, the name of a field, as a sympy expression."""
        return _parsed(getattr(self, part), self.variables)

    def value(self, part: str, scalars: Mapping, properties: Mapping, xp=np):
        """``part`` evaluated: ``scalars`` name -> array, ``properties`` variable of the receiver -> array."""
        known = {**scalars, **properties}
        used, function = _compiled(getattr(self, part), self.variables, xp)
        if xp is not np:
            return function(*(known[name] for name in used))
        with np.errstate(all="ignore"):
            return function(*(known[name] for name in used))

    def acceleration(self, force, vel, properties: Mapping, xp=np, axis: int = -1):
        """Accelerations, shape of ``force`` and ``vel`` [..., dim, ...] with ``dim`` at ``axis``.

        ``properties``: variable of the receiver (``m_i``, ...) -> array of that shape without ``axis``.
        """
        scalars = scalars_of(force, vel, xp, axis)
        alpha = self.value("alpha", scalars, properties, xp) + 0.0 * scalars["s"]
        out = xp.expand_dims(alpha, axis) * force
        if self.beta == "0":
            return out
        return out + xp.expand_dims(self.value("beta", scalars, properties, xp) + 0.0 * scalars["s"], axis) * vel

    def account(self) -> dict:
        """JSON-ready: formulas as text and LaTeX."""
        return {
            "name": self.name,
            "alpha": self.alpha,
            "beta": self.beta,
            "alpha_latex": self.part_latex("alpha"),
            "beta_latex": self.part_latex("beta"),
            "variables": list(self.variables),
            "what": "a = alpha S + beta v; s = |S|, v = |v|, sv = S . v, S the sum of the forces",
        }

    @property
    def text(self) -> str:
        """The acceleration as a function of S and v."""
        out = f"({self.alpha}) S"
        return out if self.beta == "0" else f"{out} + ({self.beta}) v"

    @property
    def latex(self) -> str:
        out = rf"\left({self.part_latex('alpha')}\right) \mathbf{{S}}_i"
        if self.beta == "0":
            return out
        return rf"{out} + \left({self.part_latex('beta')}\right) \mathbf{{v}}_i"

    def part_latex(self, part: str) -> str:
        from distill.formulas.latex import to_latex

        return to_latex(self.formula(part))


def scalars_of(force, vel, xp=np, axis: int = -1) -> dict:
    """The scalars that alpha and beta depend on, of arrays with their vectors along ``axis``."""
    return {
        "s": xp.sqrt((force * force).sum(axis)),
        "v": xp.sqrt((vel * vel).sum(axis)),
        "sv": (force * vel).sum(axis),
    }


@functools.lru_cache(maxsize=256)
def _parsed(text: str, variables: tuple[str, ...]):
    from distill.formulas.text import parse

    return parse(text, variables)


@functools.lru_cache(maxsize=256)
def _compiled(text: str, variables: tuple[str, ...], xp) -> tuple[tuple[str, ...], Callable]:
    """(variables used, function of them in that order)."""
    from distill.formulas.program import compile_with

    expr = _parsed(text, variables)
    known = {symbol.name for symbol in expr.free_symbols}
    used = tuple(name for name in variables if name in known)
    return used, compile_with(expr, used, xp)


# ---------------------------------------------------------------- the table

SATURATION, LIGHT, A0, ROUNDED = 5.0, 2.0, 1.5, 0.01

_ENTRIES = (
    Response(
        "saturating",
        f"1/(m_i*(1 + s/{SATURATION}))",
        summary=f"m a = S/(1 + s/{SATURATION:g}), s the size of S: no force accelerates more than {SATURATION:g}/m",
    ),
    Response(
        "relativistic",
        f"sqrt(1 - v^2/{LIGHT**2})/m_i",
        f"-sv*sqrt(1 - v^2/{LIGHT**2})/(m_i*{LIGHT**2})",
        summary=f"a = (S - v (v.S)/c^2)/(gamma m) with c = {LIGHT:g}",
        kinetic=f"m_i*{LIGHT**2}*(1/sqrt(1 - v^2/{LIGHT**2}) - 1)",
        inertia=f"m_i/sqrt(1 - v^2/{LIGHT**2})",
        speed_limit=LIGHT,
    ),
    # the rounding at |S| = 0 keeps the equations of motion differentiable there
    Response(
        "mond",
        f"sqrt({A0}/(m_i*(s + {ROUNDED})))",
        summary=f"a = sqrt({A0:g} s/m) along S, s its size, rounded at small forces: deep MOND"
        " (M. Milgrom, Astrophys. J. 270, 365, 1983)",
    ),
)
RESPONSES: dict[str, Response] = {r.name: r for r in _ENTRIES}


def response_of(given) -> Response | None:
    """A ``Response`` from a name in the table, from a dict of its fields, or as it is. ``UserError`` for what is none
    of these.
    """
    if given is None or isinstance(given, Response):
        return given
    if isinstance(given, str):
        if given not in RESPONSES:
            known = f"known: {', '.join(RESPONSES)}; or a dict of alpha and beta"
            raise UserError(f"there is no response '{given}'{near_miss(given, RESPONSES)}", known)
        return RESPONSES[given]
    if isinstance(given, dict) and "alpha" in given and set(given) <= {f.name for f in fields(Response)}:
        told = given.get("properties", ())
        told = (told,) if isinstance(told, str) else told
        return Response(**{"name": "user's", **given, "properties": ordered({*_named_in(given), *told})})
    raise UserError(f"the response is {given!r}, expected a name, a Response, or a dict with alpha (and beta)")


def _named_in(given: dict) -> tuple[str, ...]:
    """Properties whose symbols the formulas hold beside the usual ones."""
    words = {w for text in given.values() if isinstance(text, str) for w in _words(text) if w.endswith("_i")}
    return ordered({*USUAL, *(with_symbol(word[:-2]).name for word in words)})


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in text).split()
