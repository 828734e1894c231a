"""Formulas for the terms beside the radial force that splines have found to be needed.

One after the other, on what the others leave of the accelerations: each ``Slot`` has the vectors of its term, the
variable that its function depends on and a place in the law. Its function is looked for as the control looks for a
pair force: from families of forms and products of the properties, repaired and chosen on accelerations that were left
out. At last all constants are fitted together (``law.joint``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
import sympy as sp

from distill.files.properties import property_named, variables
from distill.formulas.text import symbols_for
from distill.formulas.tree import with_scales
from distill.formulas.units import ONE, Units, times, with_units
from distill.law.joint import examined, fitted, spelt, trimmed
from distill.law.receivers import Receivers, acceleration_objective, law_acceleration
from distill.law.selection import Ground, control_starts, tried_out
from distill.physics.law import AXES, Law
from distill.physics.terms import TERMS, About
from distill.physics.terms.state import DISTANCE, SPEED, TIME
from distill.physics.terms.values import is_constant, is_number
from distill.search.front import Row
from distill.splines import blocks
from distill.splines.blocks import Modulated, NodeBlock, PairBlock, Seen
from distill.splines.pair_spline import Further

RADIUS = "r"  # what formulas of families are of; here what a slot's function depends on, whatever it is
CENTRAL = 0.05  # share of a field across the line to a point, up to which the field is about that point
FREQUENCIES = 400  # that are tried for a function of time
PLACES, WIDTHS = 48, 8  # that are tried for a wall
DEGREE = 3  # of a field's components, to begin with
GYRATION = {"charge": "magnetic", "mass": "coriolis", None: "gyration"}
UNIFORM = {"mass": "constant_acceleration", None: "constant_force"}
REPAIRS = 3  # rounds of repair


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
        return replace(data, features=self.features(data.seen), unit=self.vectors(data.seen, law), acc=left)


@dataclass
class OfPairs(Slot):
    """A pair's term: a function of r and the properties of both ends."""

    name: str
    properties: tuple[str, ...]

    def stands_for(self, block):
        return isinstance(block, PairBlock) and block.term == self.name

    def features(self, seen):
        return {k: v for k, v in seen.ends.items() if k in variables(self.properties)} | {RADIUS: seen.r}

    def vectors(self, seen, law):
        return TERMS[self.name].kernel(seen.motion.unit, seen.motion.dv) * seen.motion.weight[:, None]

    def put(self, law, expr):
        return replace(law, pairs=law.pairs | {self.name: expr})


@dataclass
class OfNode(Slot):
    """A term of the receiver, with the functions of ``block``; ``properties`` of it that they may hold."""

    block: NodeBlock
    properties: tuple[str, ...]

    def stands_for(self, block):
        """Blocks that differ by a property alone have one function, which may hold it."""
        return isinstance(block, NodeBlock) and (block.term, block.over) == (self.block.term, self.block.over)

    def own(self, seen) -> dict:
        wanted = [property_named(name).variables[0] for name in self.properties]
        return {k: seen.ends[k] for k in wanted}

    def along(self, seen: Seen, value: np.ndarray, centre=()) -> np.ndarray:
        motion = seen.motion
        return TERMS[self.block.term].kernel(motion.pos, motion.vel, value, centre) * motion.share[:, None]


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


class Gyration(OfNode):
    """A constant times v turned by a right angle, times a property or not."""

    def stands_for(self, block):
        return block is self.block

    @property
    def name(self):
        return GYRATION[self.block.by]

    def features(self, seen):
        return {RADIUS: seen.r}

    def vectors(self, seen, law):
        factor = seen.ends[property_named(self.block.by).variables[0]] if self.block.by else np.ones(len(seen.r))
        return self.along(seen, np.ones(1)) * factor[:, None]

    def put(self, law, expr):
        return replace(law, node=law.node | {self.name: float(expr)})

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
        return TERMS["central"].kernel(motion.pos, motion.vel, np.ones(1), self.centre) * motion.share[:, None]

    def put(self, law, expr):
        return replace(law, node=law.node | {"central": About(self.centre, _value(_called(expr, DISTANCE)))})

    def starts(self, ground):
        return [*control_starts(ground), *walls(ground)]


@dataclass
class OfAxis(OfNode):
    """One component of a force that is the value of ``term``."""

    axis: int
    dim: int

    @property
    def term(self) -> str:
        raise NotImplementedError

    @property
    def name(self):
        return f"{self.term}, {AXES[self.axis]}"

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
        if self.term in UNIFORM.values():
            return super().put(law, expr)
        return super().put(law, expr * symbols_for(property_named(self.block.by).variables[:1])[0])

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


def _called(expr: sp.Expr, name: str) -> sp.Expr:
    """``expr`` with its variable called as the law does."""
    return expr.xreplace(dict(zip(symbols_for((RADIUS,)), symbols_for((name,)), strict=True)))


def _value(expr: sp.Expr):
    return float(expr) if expr.is_Number else expr


# ---------------------------------------------------------------- what to begin with


def waves(ground: Ground) -> list:
    """a + b cos(w t + p) of the frequency that explains most, and simpler functions of the time."""
    objective = ground.fit
    t, at = objective.symbols[0], objective.columns[0]
    times = np.unique(at)
    span, step = float(np.ptp(times)), float(np.median(np.diff(times)))
    y, best = objective.weights * objective.target, (np.inf,)
    for w in np.linspace(0.5 * np.pi / span, 0.9 * np.pi / step, FREQUENCIES):
        columns = np.stack([np.ones_like(at), np.cos(w * at), np.sin(w * at)], 1)
        design = objective.weights[:, None] * objective.apply(columns)
        g = np.linalg.lstsq(design, y, rcond=1e-10)[0]
        best = min(best, (float(((design @ g - y) ** 2).sum()), float(w), *map(float, g)))
    _, w, a, c, s = best
    wave = sp.Float(np.hypot(c, s)) * sp.cos(sp.Float(w) * t + sp.Float(np.arctan2(-s, c)))
    rate = sp.Float(1 / span)
    return [rate * t + sp.Float(a), sp.Float(0.5) * sp.exp(-rate * t), wave, wave + sp.Float(a or 0.1)]


def walls(ground: Ground) -> list:
    """a/(1 + exp((s - c)/w)), a force up to the distance c, and beyond it, of the c and w that explain most."""
    objective = ground.fit
    number = objective.names.index(RADIUS)
    s, at = objective.symbols[number], objective.columns[number]
    span, y = float(np.ptp(at)), objective.weights * objective.target

    def tried(places, widths):
        """[(what it explains, c, w, a)], w < 0 beyond c."""
        found = []
        for width in widths:
            with np.errstate(over="ignore"):
                columns = 1 / (1 + np.exp((at[:, None] - places) / width))
            design = objective.weights[:, None] * objective.apply(columns)
            along, size = y @ design, np.einsum("ij,ij->j", design, design)
            gain = along**2 / np.where(size > 0, size, np.inf)
            k = int(np.argmax(gain))
            found.append((float(gain[k]), float(places[k]), float(width), float(along[k] / max(size[k], 1e-300))))
        return found

    # a wall is where few come: places by distance and by how often they are
    low, high = at.min(), at.max()
    places = np.unique(np.r_[np.quantile(at, np.linspace(0, 1, PLACES)), np.linspace(low, high, PLACES)])
    widths = span * np.geomspace(1e-3, 0.25, WIDTHS)
    best = max(tried(places, np.r_[widths, -widths]))
    for step in (0.5, 0.25, 0.125, 0.0625):
        _, place, width, _ = best
        near = place + np.linspace(-2, 2, 17) * step * max(abs(width), span / PLACES * step)
        best = max(best, *tried(near, width * np.geomspace(1 / (1 + step), 1 + step, 5)))
    _, place, width, a = best
    return [sp.Float(a) / (1 + sp.exp((s - sp.Float(place)) / sp.Float(width)))]


def polynomials(ground: Ground) -> list:
    """Of the place: all of first degree, and of the ``DEGREE``."""
    objective, out = ground.fit, []
    axes = [s for s, name in zip(objective.symbols, objective.names, strict=True) if name in AXES]
    for degree in (1, DEGREE):
        powers = [sp.Mul(*c) for k in range(degree + 1) for c in combinations_with_replacement(axes, k)]
        out.append(sp.Add(*[sp.Float(0.1 + 0.01 * k) * p for k, p in enumerate(powers)]))
    return out


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


# ---------------------------------------------------------------- all of them


def slots(further: Sequence[Further], ground: Ground) -> list[Slot]:
    """Places for the functions of all terms found."""
    out, seen, dim = [], ground.many.seen, ground.dim
    varying = tuple(name for name, v in ground.many.state.properties.items() if np.ptp(v) > 0)
    for one in further:
        block = one.block
        if isinstance(block, PairBlock):
            if not any(slot.name == block.term for slot in out):
                out.append(OfPairs(block.term, ground.properties))
        elif isinstance(block, Modulated):
            out.append(OfTime())
        elif block.over == blocks.SPEED:
            out.append(Drag(block, varying))
        elif block.over == blocks.NOTHING:
            out.append(Gyration(block, varying))
        elif block.over == blocks.POINT:
            out.append(AboutPoint(block, varying, block.centre))
        elif block.over == blocks.TIME:
            out += [Drive(block, (), k, dim) for k in range(dim)]
        else:
            centre, across = centre_of(one, seen)
            around = [AboutPoint(block, varying, centre)]
            single = across <= CENTRAL and not any(slot.name == AboutPoint.name for slot in out)
            out += around if single else [OfPlace(block, varying, k, dim) for k in range(dim)]
    return list({slot.name: slot for slot in out}.values())


def composed(law: Law, further: Sequence[Further], ground: Ground, units: Units = ONE) -> tuple[Law, dict, dict]:
    """``law``, whose radial force and constant node terms were found beside the splines ``further``, with formulas in
    their place, and what ``joint.examined`` says of it: all constants are fitted together. ``ground``: of all
    accelerations; ``units`` to look for formulas in.
    """
    inside, places = ground if units == ONE else ground.within(units), slots(further, ground)
    made = {s.name: [_by_splines(s, further, data) / units.acceleration for data in ground.sets] for s in places}
    found = with_formulas(in_units(law, units), [slot.within(units) for slot in places], made, inside)
    law = fitted(of_data(found, units, ground.canonical), ground.many, ground.held)
    law = spelt(fitted(trimmed(law, ground), ground.many, ground.held), ground.canonical)
    return examined(law, ground.many, ground.held, ground.canonical)


def in_units(law: Law, units: Units) -> Law:
    """A law of a radial force and constant node terms, of data divided by ``units``."""
    node = {name: value / TERMS[name].unit(units) for name, value in law.node.items()}
    return replace(law, pair=units.pair(law.pair), node=node)


def of_data(law: Law, units: Units, canonical: Callable) -> Law:
    """A law of data divided by ``units`` as one of the data; ``canonical``: how formulas are spelt."""
    length = units.of.get(RADIUS, 1.0)
    of = units.of | {DISTANCE: length, TIME: length / units.speed}

    def back(part, name):
        unit = TERMS[name].unit(units)
        if is_number(part):
            return float(part) * unit
        return canonical(times(unit, with_units(part, {variable: 1 / own for variable, own in of.items()})))

    def value(found, name):
        if isinstance(found, About):
            return About(tuple(length * c for c in found.centre), back(found.strength, name))
        if isinstance(found, tuple):
            return tuple(back(part, name) for part in found)
        return found * TERMS[name].unit(units) if is_constant(found) else back(found, name)

    pairs = {name: back(expr, name) for name, expr in law.pairs.items()}
    node = {name: value(found, name) for name, found in law.node.items()}
    return replace(law, pair=back(law.pair, "radial"), pairs=pairs, node=node)


def with_formulas(law: Law, places: Sequence[Slot], made: dict, ground: Ground) -> Law:
    """``law`` with a formula in each of the ``places``, constants fitted one term after the other; ``made``: name of a
    place -> accelerations by splines [receiver, dim] of each of the ``sets`` of ``ground``, to begin with.
    """
    sets, made = ground.sets, dict(made)
    base = [law_acceleration(law, data) for data in sets]
    found: dict[str, sp.Expr] = {}
    for last in (False, True):
        for slot in places:
            others = [name for name in made if name != slot.name]
            left = [data.acc - base[k] - sum(made[name][k] for name in others) for k, data in enumerate(sets)]
            view = ground.viewed(lambda data, k, s=slot, rest=left: s.view(data, law, rest[k]), _inputs(slot, sets[1]))
            if last:
                expr = found[slot.name]
            else:
                rows = [Row(0, 0.0, "", start) for start in slot.starts(view)]
                candidates, chosen = tried_out(rows, view, REPAIRS)
                expr = candidates[chosen].expr
            found[slot.name] = view.canonical(acceleration_objective(view.many).fit(with_scales(expr))[0])
            made[slot.name] = [_by_formula(found[slot.name], data) for data in view.sets]
    for slot in places:
        law = slot.put(law, found[slot.name])
    return law


def _inputs(slot: Slot, data: Receivers) -> list[str]:
    """What the function may depend on, but for what does not vary."""
    found = slot.features(data.seen)
    return [name for name, value in found.items() if np.ptp(value) > 0] or list(found)[:1]


def _by_splines(slot: Slot, further: Sequence[Further], data: Receivers) -> np.ndarray:
    """Accelerations [receiver, dim] by the splines that the formula of ``slot`` will stand for."""
    force = sum(data.sum(one.forces(data.seen)) for one in further if slot.stands_for(one.block))
    if isinstance(slot, OfAxis):
        force = force * np.eye(slot.dim)[slot.axis]
    return force / data.state.mass[:, None]


def _by_formula(expr: sp.Expr, view: Receivers) -> np.ndarray:
    plain = acceleration_objective(view)
    with np.errstate(all="ignore"):
        return plain.apply(plain.values(expr)).reshape(view.acc.shape)
