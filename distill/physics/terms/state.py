"""What terms see: of particles a ``State``, of pairs their ``Pairs``. Arrays of numpy or of JAX, dimensions last."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from distill.files.properties import property_named
from distill.physics.terms.arrays import array_module

AXES = "xyz"
NO_PLACE = "a force of the place needs positions, and there are none"
DISTANCE, SPEED, TIME = "s", "v", "t"  # as formulas name them: from a centre, of a particle


@dataclass(frozen=True)
class State:
    """What node terms see of particles: ``vel [..., particle, dim]``, ``properties`` name -> [..., particle]; where it
    is known, ``pos`` of the shape of ``vel``; the time ``t``, a number or what broadcasts to [..., particle].
    """

    vel: np.ndarray
    properties: dict
    pos: np.ndarray | None = None
    t: float | np.ndarray = 0.0

    @property
    def mass(self) -> np.ndarray:
        return np.asarray(self.properties["mass"], float)

    @property
    def xp(self):
        """numpy or jax.numpy, whichever the arrays are of."""
        return array_module(self.vel)

    @property
    def dim(self) -> int:
        return np.shape(self.vel)[-1]

    @property
    def variables(self) -> dict:
        """The properties as a formula names them: variable of the receiver -> [..., particle]."""
        return {property_named(name).variables[0]: value for name, value in self.properties.items()}

    def of(self, pick) -> "State":
        """Of the particles ``pick``, where particles are the first axis."""
        pos, t = self.pos if self.pos is None else self.pos[pick], self.t if np.ndim(self.t) == 0 else self.t[pick]
        return State(self.vel[pick], {k: v[pick] for k, v in self.properties.items()}, pos, t)

    def from_centre(self, centre):
        """Vectors [..., particle, dim] from ``centre`` [dim or fewer, the others 0] and their lengths [..., particle].

        ``ValueError`` where positions are not known.
        """
        if self.pos is None:
            raise ValueError(NO_PLACE)
        d = self.pos - np.r_[np.asarray(centre, float), np.zeros(max(0, self.dim - len(centre)))][: self.dim]
        return d, array_module(d).sqrt((d * d).sum(-1))

    def variable(self, name: str, centre=()):
        """[..., particle] by the name that it has in formulas: ``x, y, z`` (0 where there is no such axis), ``vx, vy,
        vz``, the speed ``v``, the distance ``s`` from ``centre``, the time ``t``, ``m_i``, ``q_i``, ...; to functions
        written by others also ``pos``, ``vel`` [..., particle, dim] and ``mass``, ``charge``, ...

        ``ValueError`` for any other name, and for positions where there are none.
        """
        of = {"": self.pos, "v": self.vel}.get(name[:-1])
        if name[-1:] in AXES and name[:-1] in ("", "v"):
            if of is None:
                raise ValueError(NO_PLACE)
            axis = AXES.index(name[-1])
            return of[..., axis] if axis < self.dim else 0.0 * of[..., 0]
        if name == SPEED:
            return self.xp.sqrt((self.vel * self.vel).sum(-1))
        if name == DISTANCE:
            return self.from_centre(centre)[1]
        if name == TIME:
            return self.t
        known = {**self.properties, **self.variables, "pos": self.pos, "vel": self.vel}
        if known.get(name) is None:
            raise ValueError(f"a term depends on {name}, which is not known of these particles")
        return known[name]


@dataclass(frozen=True)
class Pairs:
    """What pair terms see: ``dx [..., pair, dim]`` = x_i - x_j, ``r [..., pair]`` its length, ``ends`` variable
    (``m_i``, ``m_j``, ...) -> [..., pair]; where it is known ``dv`` = v_i - v_j of the shape of ``dx``; the time ``t``,
    a number or what broadcasts to [..., pair]. Forces are on the receiver i.
    """

    dx: np.ndarray
    r: np.ndarray
    ends: dict
    dv: np.ndarray | None = None
    t: float | np.ndarray = 0.0

    @cached_property
    def unit(self):
        return direction(self.dx, self.r)

    @property
    def swapped(self) -> "Pairs":
        """The same pairs as their other ends see them."""
        ends = {exchanged(name): value for name, value in self.ends.items()}
        return replace(self, dx=-self.dx, dv=None if self.dv is None else -self.dv, ends=ends)

    def displaced(self, centre) -> "Pairs":
        """As if every sender were displaced by ``centre`` [dim]: r, and ``s``, are the distance from there."""
        dx = self.dx - np.asarray(centre, float)
        r = array_module(dx).sqrt((dx * dx).sum(-1))
        return Pairs(dx, r, {**self.ends, DISTANCE: r}, self.dv, self.t)

    def variable(self, name: str):
        """[..., pair] by the name that it has in formulas; ``ValueError`` for one that is not known."""
        if name == "r":
            return self.r
        if name == TIME:
            return self.t
        if name not in self.ends:
            raise ValueError(f"a term depends on {name}, which is not known of these pairs")
        return self.ends[name]


def exchanged(variable: str) -> str:
    """The variable of the other end: ``m_j`` for ``m_i``; others, like ``r``, stay."""
    return variable[:-1] + {"i": "j", "j": "i"}[variable[-1]] if variable[-2:] in ("_i", "_j") else variable


def direction(dx, r):
    """(x_i - x_j)/r of every edge [..., edge, dim]; 0 where particles coincide."""
    return dx / array_module(r).where(r > 0, r, 1.0)[..., None]
