"""The terms of a law: each a known vector times an unknown number, vector or function.

    m_i a_i = sum_j f(r, p_i, p_j) (x_i - x_j)/r + node terms

The pair term's unknown is the function f. A node term belongs to the receiver and to no pair; its unknown is a value
that is fitted. Read-out, fit, law, text and LaTeX take what they need from here: adding a node term is one entry of
``TERMS``, and one class where its vector is of a new kind.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from distill.files.properties import property_named
from distill.formulas.latex import number_latex


@dataclass(frozen=True)
class State:
    """What node terms see of particles: ``vel [..., particle, dim]``, ``properties`` name -> [..., particle]."""

    vel: np.ndarray
    properties: dict

    @property
    def mass(self) -> np.ndarray:
        return np.asarray(self.properties["mass"], float)

    @property
    def variables(self) -> dict:
        """The properties as a formula names them: variable of the receiver -> [..., particle]."""
        return {property_named(name).variables[0]: value for name, value in self.properties.items()}

    def of(self, pick) -> "State":
        """Of the particles ``pick``, where particles are the first axis."""
        return State(self.vel[pick], {k: v[pick] for k, v in self.properties.items()})


@dataclass(frozen=True)
class Term:
    """``of``: the property that the force is proportional to, None for none. ``dropped``: its place among those that
    the data may not need, first to go first: with equal masses some terms are the same, and the first of them goes.
    ``by_axis``: the value differs from axis to axis. ``in_speed``: power of the velocity in the vector.
    """

    name: str
    of: str | None
    dropped: int
    by_axis: ClassVar[bool] = False
    in_speed: ClassVar[int] = 0

    def unit(self, units) -> float:
        """That of the value, in the unit of the data where those of forces, speeds and properties are ``units``
        (``formulas.units.Units``).
        """
        of = units.of.get(property_named(self.of).variables[0], 1.0) if self.of else 1.0
        return units.force / of / units.speed**self.in_speed

    def factor(self, state: State) -> np.ndarray:
        """[..., particle, 1]."""
        return np.asarray(state.properties[self.of], float)[..., None] if self.of else np.ones(1)

    def vector(self, state: State) -> np.ndarray:
        """What multiplies the value in m_i a_i: [..., particle, dim] or broadcastable to it."""
        raise NotImplementedError

    def columns(self, state: State) -> list[np.ndarray]:
        """Forces [..., particle, dim], one for every number that the value consists of."""
        raise NotImplementedError

    def value(self, numbers: np.ndarray):
        """The value from the coefficients of ``columns``."""
        raise NotImplementedError

    @property
    def symbol(self) -> str:
        return f"{property_named(self.of).variables[0]} " if self.of else ""

    @property
    def per_mass(self) -> str:
        """What is left of ``symbol`` and the mass below it in an acceleration, where it follows the value."""
        return {"mass": "", None: "/m_i"}.get(self.of, f" {self.symbol.strip()}/m_i")

    def text(self, value) -> str:
        """The term with its sign, a force, as it stands after others in a sum."""
        raise NotImplementedError

    def latex(self, value) -> str:
        raise NotImplementedError


class Drag(Term):
    """-value p_i v_i; the value is a number."""

    in_speed = 1

    def vector(self, state):
        return -self.factor(state) * np.asarray(state.vel, float)

    def columns(self, state):
        return [self.vector(state)]

    def value(self, numbers):
        return float(numbers[0])

    def text(self, value):
        return f"{'-' if value >= 0 else '+'} {abs(value):.6g} {self.symbol}v_i"

    def latex(self, value):
        return rf"{'-' if value >= 0 else '+'} {number_latex(abs(value))}\,{self.symbol}\mathbf{{v}}_i"


class Uniform(Term):
    """value p_i; the value is a vector [dim]."""

    by_axis = True

    def vector(self, state):
        return np.ones((*np.shape(state.vel)[:-1], 1)) * self.factor(state)

    def columns(self, state):
        return [self.vector(state) * axis for axis in np.eye(np.shape(state.vel)[-1])]

    def value(self, numbers):
        return np.array(numbers)

    def text(self, value):
        return f"+ {self.symbol}({', '.join(f'{v:.6g}' for v in _without_rounding(value))})"

    def latex(self, value):
        shown = r",\,".join(number_latex(float(v)) for v in _without_rounding(value))
        return rf"+ {self.symbol}\left({shown}\right)"


def _without_rounding(value):
    return np.where(np.abs(value) < 1e-9 * np.abs(value).max(), 0.0, value)


_ENTRIES = (
    Drag("drag", None, 3),
    Drag("drag_per_mass", "mass", 1),
    Uniform("constant_force", None, 0),
    Uniform("constant_acceleration", "mass", 2),
)
TERMS: dict[str, Term] = {t.name: t for t in _ENTRIES}
ELIMINATION = tuple(sorted(TERMS, key=lambda name: TERMS[name].dropped))


def force(values: dict, state: State) -> np.ndarray:
    """The part of m_i a_i that no pair makes [..., particle, dim], from name of a term -> value."""
    out = np.zeros_like(state.vel, dtype=float)
    for name, value in values.items():
        out = out + np.asarray(value) * TERMS[name].vector(state)
    return out


def direction(dx: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The pair term's vector: (x_i - x_j)/r of every edge [edge, dim]; 0 where particles coincide."""
    return dx / np.where(r > 0, r, 1.0)[:, None]
