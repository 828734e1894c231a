"""Places in a law for the functions of the terms that splines have found to be needed.

Each ``Slot`` has the vectors of its term, the variable that its function depends on, what to begin with, and a place in
the law.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from distill.files.properties import property_named, variables
from distill.formulas.text import symbols_for
from distill.formulas.units import Units
from distill.law.further.starts import RADIUS, polynomials, walls, waves
from distill.law.receivers import Receivers
from distill.law.selection import Ground, control_starts
from distill.physics.law import AXES, Law
from distill.physics.terms import About, Pairs, node_term, pair_term
from distill.physics.terms.state import DISTANCE, SPEED, TIME
from distill.splines import blocks
from distill.splines.blocks import DisplacedBlock, Modulated, NodeBlock, PairBlock, Seen
from distill.splines.pair_spline import Further

CENTRAL = 0.05  # share of a field across the line to a point, up to which the field is about that point
GYRATION = {"charge": "magnetic", "mass": "coriolis", None: "gyration"}
UNIFORM = {"mass": "constant_acceleration", None: "constant_force"}


class Slot:
    """A place in a law for a function that is looked for.

    ``features(seen)``: variable -> [edge]; ``vectors(seen, law)`` [edge, dim]: their plain sum over a receiver's edges,
    times the function, is the force on it. ``put(law, expr)``: the law with the function. ``starts(ground)``: formulas
    to begin with.
    """

    name: str

    def features(self, seen: Seen) -> dict:
        raise NotImplementedError

    def vectors(self, seen: Seen, law: Law) -> np.ndarray:
        raise NotImplementedError

    def put(self, law: Law, expr: sp.Expr) -> Law:
        raise NotImplementedError

    def starts(self, ground: Ground) -> list:
        return control_starts(ground)

    def stands_for(self, block) -> bool:
        """Whether splines of the ``block`` are what is looked for."""
        raise NotImplementedError

    def within(self, units: Units) -> "Slot":
        """The same of data divided by ``units``."""
        return self

    def view(self, data: Receivers, law: Law, left: np.ndarray) -> Receivers:
        """``data`` as this term sees it, with the accelerations ``left`` for it."""
        return replace(data, features=self.features(data.in_motion), unit=self.vectors(data.in_motion, law), acc=left)


@dataclass
class OfPairs(Slot):
    """A pair's term: a function of r and the properties of both ends."""

    name: str
    properties: tuple[str, ...]

    def alike(self, law: Law) -> list[sp.Expr]:
        """Functions of other terms of ``law`` that this one may be a multiple of: a source that is seen at two places,
        as a body and its wake or its image, acts from both in one way.
        """
        return []

    def of_law(self, law: Law) -> "OfPairs":
        """The place as it is in ``law``, whose constants have been fitted since it was found."""
        return self

    def stands_for(self, block):
        return isinstance(block, PairBlock) and block.term == self.name

    def features(self, seen):
        return {k: v for k, v in seen.ends.items() if k in variables(self.properties)} | {RADIUS: seen.r}

    def vectors(self, seen, law):
        return pair_term(self.name).kernel(seen.motion.unit, seen.motion.dv) * seen.motion.weight[:, None]

    def put(self, law, expr):
        return replace(law, pairs=law.pairs | {self.name: expr})

    def taken(self, law: Law) -> tuple[Law, sp.Expr] | None:
        """(the law without this function, the function); None where it has none."""
        if self.name not in law.pairs:
            return None
        value = law.pairs[self.name]
        rest = replace(law, pairs={k: v for k, v in law.pairs.items() if k != self.name})
        return rest, _called(value.strength, RADIUS, DISTANCE) if isinstance(value, About) else value


class Radial(OfPairs):
    """The radial force."""

    def alike(self, law):
        displaced = [value.strength for value in law.pairs.values() if isinstance(value, About)]
        return [_called(expr, RADIUS, DISTANCE) for expr in displaced]

    def put(self, law, expr):
        return replace(law, pair=expr)

    def taken(self, law):
        return replace(law, pair=sp.Float(0.0)), law.pair


@dataclass
class FromDisplaced(OfPairs):
    """A pair's force from points displaced from the senders by ``centre``."""

    centre: tuple[float, ...]

    def alike(self, law):
        return [law.pair]

    def of_law(self, law):
        return replace(self, centre=law.pairs[self.name].centre)

    def within(self, units):
        return replace(self, centre=tuple(c / units.of.get(RADIUS, 1.0) for c in self.centre))

    def _pairs(self, seen: Seen) -> Pairs:
        return Pairs(seen.motion.unit * seen.r[:, None], seen.r, seen.ends).displaced(self.centre)

    def features(self, seen):
        return super().features(seen) | {RADIUS: self._pairs(seen).r}

    def vectors(self, seen, law):
        return pair_term(self.name).kernel(self._pairs(seen).unit, None) * seen.motion.weight[:, None]

    def put(self, law, expr):
        return replace(law, pairs=law.pairs | {self.name: About(self.centre, _called(expr, DISTANCE))})


@dataclass
class OfNode(Slot):
    """A term of the receiver, with the functions of ``block``; ``properties`` of it that they may hold."""

    block: NodeBlock
    properties: tuple[str, ...]

    def stands_for(self, block):
        """Blocks that differ by a property alone have one function, which may hold it."""
        return isinstance(block, NodeBlock) and (block.term, block.over) == (self.block.term, self.block.over)

    def view(self, data, law, left):
        """With one edge a frame."""
        seen, start = data.frames()
        return super().view(replace(data, start=start[:-1], seen=seen, who=None), law, left)

    def own(self, seen) -> dict:
        wanted = [property_named(name).variables[0] for name in self.properties]
        return {k: seen.ends[k] for k in wanted}

    def along(self, seen: Seen, value: np.ndarray, centre=()) -> np.ndarray:
        motion = seen.motion
        return node_term(self.block.term).kernel(motion.pos, motion.vel, value, centre) * motion.share[:, None]


class Drag(OfNode):
    """-gamma(v) v."""

    name = "drag"

    def features(self, seen):
        return self.own(seen) | {RADIUS: np.linalg.norm(seen.motion.vel, axis=1)}

    def vectors(self, seen, law):
        return self.along(seen, np.ones(1))

    def put(self, law, expr):
        whole = _called(expr, SPEED) + sp.Float(law.node.get(self.name, 0.0))  # a constant may be there already
        return replace(law, node=law.node | {self.name: _value(whole)})


@dataclass
class Gyration(OfNode):
    """A constant times v turned by a right angle about ``axis``, times a property or not."""

    axis: tuple[float, ...]

    def __post_init__(self):
        self.name = GYRATION[self.block.by]

    def stands_for(self, block):
        return block is self.block

    def features(self, seen):
        return {RADIUS: seen.r}

    def vectors(self, seen, law):
        factor = seen.ends[property_named(self.block.by).variables[0]] if self.block.by else np.ones(len(seen.r))
        return self.along(seen, np.array(self.axis)) * factor[:, None]

    def put(self, law, expr):
        return replace(law, node=law.node | {self.name: node_term(self.name).value(float(expr) * np.array(self.axis))})

    def starts(self, ground):
        return [sp.Float(1.0)]


@dataclass
class AboutPoint(OfNode):
    """A field about a point."""

    centre: tuple[float, ...]

    name = "central"

    def within(self, units):
        return replace(self, centre=tuple(c / units.of.get(RADIUS, 1.0) for c in self.centre))

    def features(self, seen):
        return self.own(seen) | {RADIUS: np.linalg.norm(seen.motion.pos - self.centre, axis=1)}

    def vectors(self, seen, law):
        motion = seen.motion
        return node_term("central").kernel(motion.pos, motion.vel, np.ones(1), self.centre) * motion.share[:, None]

    def put(self, law, expr):
        return replace(law, node=law.node | {"central": About(self.centre, _value(_called(expr, DISTANCE)))})

    def starts(self, ground):
        return [*control_starts(ground), *walls(ground)]


@dataclass
class OfAxis(OfNode):
    """One component of a force that is the value of ``term``."""

    axis: int
    dim: int

    def __post_init__(self):
        self.name = f"{self.term}, {AXES[self.axis]}"

    @property
    def term(self) -> str:
        raise NotImplementedError

    def vectors(self, seen, law):
        return self.along(seen, np.eye(self.dim)[self.axis])

    def put(self, law, expr):
        before = law.node.get(self.term, np.zeros(self.dim))
        parts = [_value(expr + before[k]) if k == self.axis else before[k] for k in range(self.dim)]
        constant = all(isinstance(part, float) for part in parts)
        return replace(law, node=law.node | {self.term: np.array(parts) if constant else tuple(parts)})


@dataclass
class OfPlace(OfAxis):
    """Of a field."""

    term = "field"

    def features(self, seen):
        return self.own(seen) | {AXES[k]: seen.motion.pos[:, k] for k in range(self.dim)}

    def starts(self, ground):
        return polynomials(ground)


@dataclass
class Drive(OfAxis):
    """Of a force that depends on the time, times a property or not."""

    def stands_for(self, block):
        return block is self.block

    @property
    def term(self):
        return UNIFORM.get(self.block.by, "field")  # a field may be of properties and of the time

    def features(self, seen):
        return {TIME: seen.motion.t}

    def vectors(self, seen, law):
        by = self.block.by
        factor = seen.ends[property_named(by).variables[0]][:, None] if by else 1.0
        return super().vectors(seen, law) * factor

    def put(self, law, expr):
        by = self.block.by
        if by is None or self.term in UNIFORM.values():
            return super().put(law, expr)
        return super().put(law, expr * symbols_for(property_named(by).variables[:1])[0])

    def starts(self, ground):
        return waves(ground)


class OfTime(Slot):
    """What makes the law's radial force change in time: its share u(t) of the force f, f (1 + u) in all."""

    name = "radial, of time"

    def stands_for(self, block):
        return isinstance(block, Modulated)

    def features(self, seen):
        return {TIME: seen.motion.t}

    def vectors(self, seen, law):
        force = law.radial(**{**seen.ends, RADIUS: seen.r}) * seen.motion.weight
        return seen.motion.unit * force[:, None]

    def put(self, law, expr):
        return replace(law, pair=law.pair * (1 + expr))

    def starts(self, ground):
        return waves(ground)


def _called(expr: sp.Expr, name: str, before: str = RADIUS) -> sp.Expr:
    """``expr`` with its variable called as the law does."""
    return expr.xreplace(dict(zip(symbols_for((before,)), symbols_for((name,)), strict=True)))


def _value(expr: sp.Expr):
    return float(expr) if expr.is_Number else expr


def centre_of(one: Further, seen: Seen) -> tuple[tuple[float, ...], float]:
    """(the point that a field points to or from, the share of its square that it does not)."""
    pos, motion = seen.motion.pos, seen.motion
    ones = Seen(seen.r, seen.ends, replace(motion, share=np.ones(len(seen.r))))
    force = one.forces(ones)
    size = np.linalg.norm(force, axis=1)
    centre = blocks.pointed_to(pos, force)
    d = pos - centre
    e = d / np.maximum(np.linalg.norm(d, axis=1), 1e-300)[:, None]
    across = force - (force * e).sum(1)[:, None] * e
    return centre, float((across**2).sum() / max((size**2).sum(), 1e-300))


def slots(further: Sequence[Further], ground: Ground) -> list[Slot]:
    """Places for the functions of all terms found."""
    out: list[Slot] = []
    dim = ground.dim
    varying = tuple(name for name, v in ground.many.state.properties.items() if np.ptp(v) > 0)
    for one in further:
        block = one.block
        if any(slot.stands_for(block) for slot in out):
            continue
        if isinstance(block, DisplacedBlock):
            out.append(FromDisplaced(block.term, ground.properties, block.centre))
        elif isinstance(block, PairBlock):
            out.append(OfPairs(block.term, ground.properties))
        elif isinstance(block, Modulated):
            out.append(OfTime())
        elif block.over == blocks.SPEED:
            out.append(Drag(block, varying))
        elif block.over == blocks.NOTHING:
            axis = one.coefficients / np.linalg.norm(one.coefficients)
            out.append(Gyration(block, varying, tuple(axis if len(axis) > 1 else np.ones(1))))
        elif block.over == blocks.POINT:
            out.append(AboutPoint(block, varying, block.centre))
        elif block.over == blocks.TIME:
            out += [Drive(block, (), k, dim) for k in range(dim)]
        else:
            out += _of_place(block, one, varying, any(slot.name == AboutPoint.name for slot in out), ground)
    return list({slot.name: slot for slot in out}.values())


def _of_place(block: NodeBlock, one: Further, varying, taken: bool, ground: Ground) -> list[Slot]:
    """Of a field: about a point where it points to one and none is ``taken``, else its components."""
    if ground.dim > 1 and not taken:
        centre, across = centre_of(one, ground.many.frames()[0])
        if across <= CENTRAL:
            return [AboutPoint(block, varying, centre)]
    return [OfPlace(block, varying, k, ground.dim) for k in range(ground.dim)]
