"""Terms of a pair: the force on particle i from particle j along a vector of their positions and velocities.

With the unit vector e = (x_i - x_j)/r, the relative velocity v_j - v_i and functions of r, the properties of both ends
and t:

    f e  +  g (v_j - v_i)  +  h ((v_j - v_i).e) e  +  k e_perp,   e_perp = e turned by +90 degrees, in two dimensions

All four vectors change their sign as i and j are exchanged. So action is reaction where the function is symmetric in
the properties of its two ends, and only there; momentum is conserved then, and angular momentum if the vector is
along e. A fifth one does not: a force from a point that is displaced from particle j by a vector c, the same for all,
as of the wakes that stream downwards from the grains of a dusty plasma,

    l (x_i - x_j - c)/s,   s = |x_i - x_j - c|
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distill.files.properties import variables
from distill.physics.terms.arrays import array_module
from distill.physics.terms.state import DISTANCE, TIME, Pairs
from distill.physics.terms.values import SEPARATOR, evaluated, part_latex, part_text


def along(unit, dv):
    return unit


def relative(unit, dv):
    return -dv


def approaching(unit, dv):
    return -(dv * unit).sum(-1)[..., None] * unit


def turned(unit, dv):
    return unit[..., ::-1] * np.array([-1.0, 1.0])


@dataclass(frozen=True)
class PairTerm:
    """``kernel(unit, dv)`` [..., pair, dim] from e and dv = v_i - v_j, in plain arithmetic of arrays: its source is the
    definition, for numpy, JAX and whatever a law is exported to. ``in_speed``: power of the velocity in it;
    ``central``: along e; ``dims``: space dimensions in which it is defined; ``mirror``: its sign in a mirror, and
    ``reversal`` as time runs backwards, the function kept.
    """

    name: str
    kernel: Callable
    letter: str  # of its function
    vector_text: str
    vector_latex: str
    in_speed: int = 0
    central: bool = False
    dims: tuple[int, ...] = (1, 2, 3)
    mirror: int = 1
    where: tuple[str, ...] = ()  # what letters in ``vector_text`` mean
    of_pair = True
    displaced = False  # whether its value is an ``About``, of a point displaced from the sender

    @property
    def reversal(self) -> int:
        return -1 if self.in_speed % 2 else 1

    @property
    def needs(self) -> frozenset[str]:
        """What it takes beside positions: "vel" or nothing."""
        return frozenset({"vel"} if self.in_speed else ())

    def variables(self, properties) -> tuple[str, ...]:
        """What its function may depend on."""
        return (*variables(properties), TIME)

    def unit(self, units) -> float:
        """That of its function, in the unit of the data where those of forces and speeds are ``units``
        (``formulas.units.Units``).
        """
        return units.force / units.speed**self.in_speed

    def vector(self, dx, r, dv=None):
        """[..., pair, dim] from ``dx`` = x_i - x_j, its length ``r`` [..., pair] and ``dv`` = v_i - v_j; 0 where
        particles coincide. ``ValueError`` for a velocity that is needed and missing, or too many dimensions.
        """
        return self._of(Pairs(dx, r, {}, dv))

    def _of(self, pairs: Pairs):
        if self.in_speed and pairs.dv is None:
            raise ValueError(f"the term {self.name} needs velocities, and there are none")
        if pairs.dx.shape[-1] not in self.dims:
            raise ValueError(f"the term {self.name} is not defined in {pairs.dx.shape[-1]} dimensions")
        return self.kernel(pairs.unit, pairs.dv)

    def force(self, function, pairs: Pairs):
        """On the receivers [..., pair, dim]."""
        value = evaluated(function, pairs.variable, array_module(pairs.r))
        return (value + 0.0 * pairs.r)[..., None] * self._of(pairs)

    def letters(self, function) -> tuple[str, ...]:
        """What the letters in ``text`` mean."""
        return self.where

    def convention(self, function) -> str:
        """Direction and sign of the force, and what the letters of its function mean."""
        return f"F_i = {self.letter} {self.vector_text}"

    def text(self, function) -> str:
        return f"({part_text(function)}) {self.vector_text}"

    def latex(self, function) -> str:
        return rf"\left({part_latex(function)}\right) {self.vector_latex}"


@dataclass(frozen=True)
class Displaced(PairTerm):
    """The radial force of a point at x_j + c; the value is an ``About`` c, its strength a function of the distance s
    from there, of the properties of both ends and of time.
    """

    displaced = True

    def variables(self, properties):
        return (DISTANCE, *super().variables(properties)[1:])

    def force(self, function, pairs):
        return super().force(function.strength, pairs.displaced(function.centre))

    def letters(self, function):
        return (f"{BETWEEN} = |{_from_point(function)}|",)

    def convention(self, function):
        centre = ", ".join(part_text(c) for c in function.centre)
        return f"{super().convention(function)}, s = |x_i - x_j - c|, c = ({centre})"

    def text(self, function):
        return f"({part_text(_between(function.strength))}) ({_from_point(function)})/{BETWEEN}"

    def latex(self, function):
        centre = SEPARATOR.join(part_latex(c) for c in function.centre)
        d = rf"\mathbf{{x}}_i - \mathbf{{x}}_j - \left({centre}\right)"
        strength = part_latex(_between(function.strength))
        return rf"\left({strength}\right) \frac{{{d}}}{{\left|{d}\right|}}"


def _from_point(function) -> str:
    return f"x_i - x_j - ({', '.join(part_text(c) for c in function.centre)})"


def _between(strength):
    """With ``BETWEEN`` in place of ``s``, which in the equation of a law is the distance of x_i from a fixed point."""
    old = [symbol for symbol in getattr(strength, "free_symbols", ()) if symbol.name == DISTANCE]
    return strength.xreplace({s: s.func(BETWEEN, **s.assumptions0) for s in old}) if old else strength


BETWEEN = "s_ij"  # the distance from a displaced point, in the equation of a law
UNIT = "e = (x_i - x_j)/r"
E, TOWARDS = r"\hat{\mathbf{r}}_{ij}", r"(\mathbf{v}_j - \mathbf{v}_i)"
ENTRIES = (
    PairTerm("radial", along, "f", "e", E, central=True, where=(UNIT,)),
    PairTerm("relative_velocity", relative, "g", "(v_j - v_i)", TOWARDS, in_speed=1),
    PairTerm(
        "approach",
        approaching,
        "h",
        "((v_j - v_i).e) e",
        rf"({TOWARDS}\cdot{E})\,{E}",
        in_speed=1,
        central=True,
        where=(UNIT,),
    ),
    PairTerm(
        "transverse",
        turned,
        "k",
        "e_perp",
        r"\hat{\mathbf{r}}_{ij}^{\perp}",
        dims=(2,),
        mirror=-1,
        where=(UNIT, "e_perp = (-e_y, e_x)"),
    ),
    Displaced(
        "displaced",
        along,
        "l",
        "(x_i - x_j - c)/s",
        r"(\mathbf{x}_i - \mathbf{x}_j - \mathbf{c})/s",
        dims=(2, 3),
    ),
)
