"""Terms of one particle: the force on it that no pair makes, a known vector of its state times what is found.

What multiplies the vector is a number or a vector of numbers, which are linear in a fit, or functions of the
particle's state and of time (``values``): drag -gamma(v, p_i, t) v_i, fields by their components, forces about a
centre.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from distill.files.properties import ordered, property_named
from distill.physics.terms.arrays import array_module
from distill.physics.terms.state import AXES, DISTANCE, NO_PLACE, SPEED, TIME, State
from distill.physics.terms.values import (
    SEPARATOR,
    About,
    evaluated,
    is_constant,
    is_number,
    part_latex,
    part_text,
    parts,
)


@dataclass(frozen=True)
class Term:
    """``of``: the property that the force is proportional to, None for none. ``dropped``: its place among those that
    a read-out tries as constants, first to go first: with equal masses some terms are the same, and the first of them
    goes; None: not tried. ``by_axis``: the value differs from axis to axis. ``in_speed``: power of the velocity in the
    vector. ``takes``: variables that its functions are looked for in, the properties of the particle and t apart.
    ``work``: "none", "potential" if there may be one, "power" if energy leaves or comes with it. ``mirror``: sign of
    the vector, the value kept, in a mirror; ``reversal``: as time runs backwards.
    """

    name: str
    of: str | None = None
    dropped: int | None = None
    by_axis: ClassVar[bool] = False
    in_speed: ClassVar[int] = 0
    takes: ClassVar[tuple[str, ...]] = ()
    work: ClassVar[str] = "potential"
    mirror: ClassVar[int] = 1
    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    of_pair: ClassVar[bool] = False

    @staticmethod
    def kernel(pos, vel, value, centre):
        """The force [..., particle, dim] over the property ``of``, from ``value`` [..., particle, 1 or ``width``], in
        plain arithmetic of arrays: its source is the definition, for numpy, JAX and whatever a law is exported to.
        """
        raise NotImplementedError

    @property
    def reversal(self) -> int:
        return -1 if self.in_speed % 2 else 1

    @property
    def needs(self) -> frozenset[str]:
        """What the vector takes of the state: "vel", "pos" or nothing; its functions may need more."""
        return frozenset({"vel"} if self.in_speed else ())

    def width(self, dim: int) -> int:
        """Numbers, or functions, that the value consists of."""
        return dim if self.by_axis else 1

    def variables(self, properties, dim: int) -> tuple[str, ...]:
        """All that a function of it may depend on; ``takes`` names what it usually does."""
        own = tuple(property_named(name).variables[0] for name in ordered(properties))
        return (*AXES[:dim], *(f"v{axis}" for axis in AXES[:dim]), SPEED, DISTANCE, *own, TIME)

    def unit(self, units) -> float:
        """That of the value, in the unit of the data where those of forces, speeds and properties are ``units``
        (``formulas.units.Units``).
        """
        of = units.of.get(property_named(self.of).variables[0], 1.0) if self.of else 1.0
        return units.force / of / units.speed**self.in_speed

    def factor(self, state: State):
        """[..., particle, 1]."""
        if not self.of:
            return np.ones(1)
        of = state.properties[self.of]
        return (np.asarray(of, float) if array_module(of) is np else of)[..., None]

    def columns(self, state: State, centre=()) -> list:
        """Forces [..., particle, dim], one for every number that the value consists of."""
        factor, axes = self.factor(state), np.eye(self.width(state.dim))
        return [factor * self.kernel(state.pos, state.vel, axis, centre) for axis in axes]

    def vector(self, state: State, centre=()):
        """What multiplies the value in m_i a_i, axis by axis: [..., particle, dim] or broadcastable to it."""
        return self.factor(state) * self.kernel(state.pos, state.vel, np.ones(1), centre)

    def value(self, numbers: np.ndarray):
        """The value from the coefficients of ``columns``."""
        return np.array(numbers) if self.by_axis or len(numbers) > 1 else float(numbers[0])

    def force(self, value, state: State):
        """[..., particle, dim]; components that ``value`` lacks are 0. ``ValueError`` for what the state lacks."""
        if is_constant(value) and np.size(value) == self.width(state.dim):
            return self.constant_force(np.asarray(value), state)
        centre, xp = value.centre if isinstance(value, About) else (), state.xp
        if "pos" in self.needs and state.pos is None:
            raise ValueError(NO_PLACE)
        found = []
        for part in parts(value):
            one = evaluated(part, lambda name: state.variable(name, centre), xp)
            found += one if isinstance(one, tuple | list) else [one]
        found = self.components(found, state.dim)
        each = xp.stack([part + 0.0 * state.vel[..., 0] for part in found], -1)
        return self.factor(state) * self.kernel(state.pos, state.vel, each, centre)

    def constant_force(self, value: np.ndarray, state: State):
        return value * self.vector(state)

    def components(self, found: list, dim: int) -> list:
        """The ``width`` components of a value, from those that it names."""
        width = self.width(dim)
        if len(found) > width and any(is_number(part) and part != 0 for part in found[width:]):
            raise ValueError(f"the term {self.name} has {len(found)} components, and in {dim} dimensions {width}")
        return [*found, *[0.0] * (width - len(found))][:width]

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

    def where(self, value) -> tuple[str, ...]:
        """What letters in ``text`` mean that stand for nothing in all laws."""
        return ()

    def potential(self, value, state: State):
        """Energy [..., particle] whose gradient with its sign changed is the force of a constant ``value``; None: none
        is known.
        """
        return None


def _signed(value, minus: bool, write, brackets: str) -> str:
    """Sign and size of a number, or a function in brackets."""
    if is_number(value):
        return f"{'-' if (value >= 0) == minus else '+'} {write(abs(value))}"
    return f"{'-' if minus else '+'} {brackets % write(value)}"


def _text(value, minus=False) -> str:
    return _signed(value, minus, part_text, "(%s)")


def _latex(value, minus=False) -> str:
    return _signed(value, minus, part_latex, r"\left(%s\right)")


class Drag(Term):
    """-value p_i v_i."""

    in_speed, takes, work = 1, (SPEED,), "power"

    @staticmethod
    def kernel(pos, vel, value, centre):
        return -value * vel

    def text(self, value):
        return f"{_text(value, True)} {self.symbol}v_i"

    def latex(self, value):
        return rf"{_latex(value, True)}\,{self.symbol}\mathbf{{v}}_i"


class Uniform(Term):
    """value p_i; the value is a vector [dim], of numbers or of functions of the place and the time: its components."""

    by_axis = True

    @staticmethod
    def kernel(pos, vel, value, centre):
        return value * np.ones(vel.shape)

    def vector(self, state, centre=()):
        return np.ones((*np.shape(state.vel)[:-1], 1)) * self.factor(state)

    def text(self, value):
        return f"+ {self.symbol}({', '.join(part_text(v) for v in _without_rounding(value))})"

    def latex(self, value):
        shown = SEPARATOR.join(part_latex(v) for v in _without_rounding(value))
        return rf"+ {self.symbol}\left({shown}\right)"

    def potential(self, value, state):
        pos = state.from_centre(())[0]
        along = sum(float(v) * pos[..., k] for k, v in enumerate(self.components(list(value), state.dim)))
        return -self.factor(state)[..., 0] * along


def _without_rounding(value):
    if not is_constant(value):
        return parts(value)
    value = np.asarray(value, float)
    return np.where(np.abs(value) < 1e-9 * np.abs(value).max(), 0.0, value)


class Field(Uniform):
    """As ``Uniform``; its components are functions of the place."""

    takes = tuple(AXES)

    def potential(self, value, state):
        return super().potential(value, state) if is_constant(value) else None


class Magnetic(Term):
    """p_i v_i x B. In two dimensions B is a number, across the plane: B p_i (v_y, -v_x); in three a vector, or a number
    along z.
    """

    in_speed, takes, work, mirror, dims = 1, tuple(AXES), "none", -1, (2, 3)

    def width(self, dim):
        return 1 if dim == 2 else 3

    @staticmethod
    def kernel(pos, vel, value, centre):
        if vel.shape[-1] == 2:
            return value * vel[..., ::-1] * np.array([1.0, -1.0])
        one, two = np.array([1, 2, 0]), np.array([2, 0, 1])
        return vel[..., one] * value[..., two] - vel[..., two] * value[..., one]

    def components(self, found, dim):
        if dim == 2:
            return found[-1:]
        return [0.0, 0.0, found[0]] if len(found) == 1 else found

    def constant_force(self, value, state):
        return self.factor(state) * self.kernel(state.pos, state.vel, np.ravel(value), ())

    def text(self, value):
        if len(parts(value)) == 1:
            return f"{_text(parts(value)[0])} {self.symbol}v_i x z"
        return f"+ {self.symbol}v_i x ({', '.join(part_text(v) for v in _without_rounding(value))})"

    def latex(self, value):
        if len(parts(value)) == 1:
            return rf"{_latex(parts(value)[0])}\,{self.symbol}\mathbf{{v}}_i\times\hat{{\mathbf{{z}}}}"
        shown = SEPARATOR.join(part_latex(v) for v in _without_rounding(value))
        return rf"+ {self.symbol}\mathbf{{v}}_i\times\left({shown}\right)"

    def potential(self, value, state):
        return 0.0 * state.vel[..., 0]


class Central(Term):
    """value p_i (x_i - c)/s, s = |x_i - c|; the value is an ``About``, positive where it pushes away from c."""

    takes = (DISTANCE,)

    @property
    def needs(self):
        return frozenset({"pos"})

    @staticmethod
    def kernel(pos, vel, value, centre):
        d = pos - np.array([*centre, *[0.0] * pos.shape[-1]])[: pos.shape[-1]]
        s = ((d * d).sum(-1) ** 0.5)[..., None]
        return value * d / (s + 1.0 * (s == 0))

    def text(self, value):
        centre = f"({', '.join(part_text(c) for c in value.centre)})"
        return f"{_text(value.strength)} {self.symbol}(x_i - {centre})/s"

    def where(self, value):
        return (f"s = |x_i - ({', '.join(part_text(c) for c in value.centre)})|",)

    def latex(self, value):
        centre = rf"\left({SEPARATOR.join(part_latex(c) for c in value.centre)}\right)"
        d = rf"\mathbf{{x}}_i - {centre}"
        return rf"{_latex(value.strength)}\,{self.symbol}\frac{{{d}}}{{\left|{d}\right|}}"


ENTRIES = (
    Drag("drag", None, 3),
    Drag("drag_per_mass", "mass", 1),
    Uniform("constant_force", None, 0),
    Uniform("constant_acceleration", "mass", 2),
    Field("field"),
    Central("central"),
    Magnetic("magnetic", "charge"),
    Magnetic("coriolis", "mass"),
    Magnetic("gyration"),
)
