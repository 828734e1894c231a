"""Columns of a fit beyond the radial pair force and constant node terms: every other term of ``physics.terms``.

    m_i a_i = sum_j [ ... + g (v_j - v_i) + h ((v_j - v_i).e) e + k e_perp ] + functions of place, speed and time

Each function is expanded in splines, so that all of it stays linear: a ``Block`` is what is taken up or left out as a
whole. Of windows a column is the mean over the frames, with the window's weights: a function of the place or the speed
is not that of their means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product

import numpy as np
from scipy.sparse import csr_array

from distill.files.dataset import Dataset
from distill.files.properties import property_named
from distill.physics.terms import PAIR, TERMS, direction
from distill.splines.curves import Envelope, Space, Splines, breaks_of, space
from distill.splines.dependence import Product
from distill.statistics.metrics import typical_size

CURVE, SPEEDS, TIMES = 12, 6, 24  # intervals of functions of the distance, the speed, the time
CELLS = {1: 12, 2: 5, 3: 2}  # intervals of a field along each axis, by dimensions
POINTED = 0.5  # of what a force across the lines to a point leaves, that a uniform force beside has to take away
EXACT = 1e-20  # of squares: rounding
FINER, FINER_GRID = 3, 2  # times as many (along an axis) in the last fit, of what was taken up
LEAST_SHARE = 1e-3  # of the distance of a pair: the least distance from a displaced point that curves tell apart
RADIAL = "radial"
PLACE, SPEED, TIME, NOTHING, POINT = "the place", "the speed", "time", "nothing", "the distance from a point"
VARIABLE = {  # of a node's functions, from a ``Motion`` and a point
    PLACE: lambda motion, _: motion.pos,
    SPEED: lambda motion, _: np.linalg.norm(motion.vel, axis=1),
    TIME: lambda motion, _: motion.t,
    POINT: lambda motion, centre: np.linalg.norm(motion.pos - np.array(centre), axis=1),
}


@dataclass
class Motion:
    """What pairs are seen with beside their distances [edge, ...]: ``unit`` (x_i - x_j)/r, ``dv`` v_i - v_j, place and
    velocity of the receiver and the time; ``share`` of the mean over its receiver's frames, ``weight`` in what is
    summed over pairs.
    """

    unit: np.ndarray
    dv: np.ndarray
    pos: np.ndarray
    vel: np.ndarray
    t: np.ndarray
    share: np.ndarray
    weight: np.ndarray

    def __getitem__(self, pick) -> "Motion":
        """Of the edges ``pick``."""
        return Motion(*(getattr(self, k)[pick] for k in self.__dataclass_fields__))


def with_motion(edges: dict, dataset: Dataset) -> dict:
    """``edges`` (``observations``, or a messages file, of the ``dataset``) with their ``motion``."""
    at = edges.get("at", edges["frame"])
    own, other = ((edges["trajectory"], at, edges[k]) for k in ("receiver", "sender"))
    vel = dataset.vel[own].astype(float)
    pos, t = dataset.pos[own].astype(float), dataset.times[own[:2]].astype(float)
    frames = max(int(at.max()), int(edges["frame"].max())) + 1
    node = (edges["trajectory"].astype(np.int64) * frames + edges["frame"]) * dataset.n + edges["receiver"]
    _, number, count = np.unique(node * frames + at, return_inverse=True, return_counts=True)
    weight = edges["weight"].astype(float) if "weight" in edges else np.ones(len(at))
    unit = direction(edges["dx"].astype(float), edges["r"].astype(float))
    return edges | {"motion": Motion(unit, vel - dataset.vel[other], pos, vel, t, weight / count[number], weight)}


@dataclass
class Seen:
    """Edges as blocks see them: distances ``r`` [edge], ``ends`` variable -> [edge], and their motion."""

    r: np.ndarray
    ends: dict
    motion: Motion
    made: dict = field(default_factory=dict, repr=False)

    def of(self, pick) -> "Seen":
        """The edges ``pick``."""
        return Seen(self.r[pick], {k: v[pick] for k, v in self.ends.items()}, self.motion[pick])

    def within(self, units) -> "Seen":
        """Divided by ``units`` (``formulas.units.Units``)."""
        m, speed, length = self.motion, units.speed, units.of.get("r", 1.0)
        moved = replace(m, dv=m.dv / speed, vel=m.vel / speed, pos=m.pos / length, t=m.t / (length / speed))
        return Seen(self.r / length, units.columns(self.ends), moved)

    def once(self, key, make):
        """What ``make`` returns, made once for all that ask by one ``key``."""
        if id(key) not in self.made:
            self.made[id(key)] = key, make()  # the key is kept, so that its number stays its own
        return self.made[id(key)][1]


# ---------------------------------------------------------------- functions of one variable, and of a place


@dataclass(frozen=True)
class Grid:
    """Products of the splines of each axis."""

    axes: tuple[Splines, ...]

    @property
    def size(self) -> int:
        return int(np.prod([axis.size for axis in self.axes]))

    def finer(self, times: int) -> "Grid":
        return Grid(tuple(axis.finer(FINER_GRID) for axis in self.axes))

    def matrix(self, x: np.ndarray) -> csr_array:
        """[row, function]: rows have few numbers that are not 0, and all equally many."""
        numbers, columns = np.ones((len(x), 1)), np.zeros((len(x), 1), dtype=np.int64)
        for axis, along in zip(self.axes, x.T, strict=True):
            own = axis.matrix(along)
            there, value = (part.reshape(len(x), -1) for part in (own.indices, own.data))
            numbers = (numbers[:, :, None] * value[:, None, :]).reshape(len(x), -1)
            columns = (columns[:, :, None] * axis.size + there[:, None, :]).reshape(len(x), -1)
        start = np.arange(len(x) + 1) * numbers.shape[1]
        return csr_array((numbers.ravel(), columns.ravel(), start), shape=(len(x), self.size))

    def roughness(self) -> np.ndarray:
        """Second differences along every axis: [rows, size]."""
        rows = []
        for k in range(len(self.axes)):
            whole = np.ones((1, 1))
            for m, axis in enumerate(self.axes):
                whole = np.kron(whole, axis.roughness() if m == k else np.eye(axis.size))
            rows.append(whole)
        return np.concatenate(rows)


@dataclass(frozen=True)
class Polynomials:
    """Monomials of up to ``degree`` of places, which are -1 and 1 at the ends ``low`` and ``high`` [axis], without the
    constant.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    degree: int

    @property
    def powers(self) -> np.ndarray:
        """[function, axis]"""
        every = np.array(list(product(range(self.degree + 1), repeat=len(self.low))))
        total = every.sum(1)
        return every[np.argsort(total, kind="stable")][1 : int((total <= self.degree).sum())]

    @property
    def size(self) -> int:
        return len(self.powers)

    def matrix(self, x: np.ndarray) -> csr_array:
        low, high = np.array(self.low), np.array(self.high)
        at = (2 * x - low - high) / np.where(high > low, high - low, 1.0)
        out = np.ones((len(x), self.size))
        for axis, own in enumerate(self.powers.T):
            out *= np.stack([at[:, axis] ** k for k in range(self.degree + 1)], 1)[:, own]
        return csr_array(out)

    def roughness(self) -> np.ndarray:
        """Coefficients of more than the first degree: [rows, size]."""
        total = self.powers.sum(1)
        return np.diag(total.astype(float))[total > 1]


def polynomials(pos: np.ndarray, degree: int) -> Polynomials:
    """Over all places ``pos`` [row, axis]."""
    return Polynomials(tuple(map(float, pos.min(0))), tuple(map(float, pos.max(0))), degree)


def line(x: np.ndarray, intervals: int, weight: np.ndarray | None = None) -> Splines:
    """Functions of ``x``, with more knots where the ``weight`` of values is."""
    if not np.ptp(x) > 0:
        x, weight = np.r_[x, x[:1] + max(abs(x[0]), 1.0)], None
    return Splines(breaks_of(x, intervals, weight))


# ---------------------------------------------------------------- blocks


@dataclass(frozen=True)
class PairBlock:
    """The pair's ``term`` times ``by``, a product of properties, times a curve of the distance."""

    term: str
    by: Product
    basis: Space
    scale: float = 1.0

    over = "the distance"

    @property
    def name(self) -> str:
        return f"{self.term}, {self.by.name}"

    @property
    def size(self) -> int:
        return self.basis.size

    def values(self, seen: Seen) -> tuple[csr_array, list[np.ndarray]]:
        """(functions [edge, function], vectors that multiply each of them [edge, dim]), to be summed over edges."""
        motion = seen.motion
        vector = TERMS[self.term].kernel(motion.unit, motion.dv) * motion.weight[:, None]
        functions = seen.once(self.basis, lambda: self.basis.matrix(self.basis.log(seen.r)))
        return functions, [vector * (self.by({**seen.ends, "r": seen.r}) / self.scale)[:, None]]

    def roughness(self) -> np.ndarray:
        return _squared(self.basis)

    def finer(self) -> "PairBlock":
        return replace(self, basis=self.basis.finer(FINER))


@dataclass(frozen=True)
class DisplacedBlock(PairBlock):
    """A force from points displaced from the senders by ``centre``: along the line from there, times curves of the
    distance from there.
    """

    centre: tuple[float, ...] = ()

    over = "the distance from a displaced point"

    def values(self, seen: Seen):
        d, s = from_displaced(seen, self.centre)
        vector = direction(d, s) * (seen.motion.weight * self.by({**seen.ends, "r": seen.r}) / self.scale)[:, None]
        return self.basis.matrix(self.basis.log(s)), [vector]


def from_displaced(seen: Seen, centre: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(x_i - x_j - c [edge, dim], its length s [edge]) for the ``centre`` c."""
    d = seen.r[:, None] * seen.motion.unit - np.array(centre)
    return d, np.linalg.norm(d, axis=1)


def displaced(seen: Seen, by: Product, intervals: int, unit: float, centre: tuple[float, ...]) -> DisplacedBlock:
    """With curves over the distances s that there are."""
    x = np.log(np.maximum(from_displaced(seen, centre)[1], LEAST_SHARE * seen.r) / unit)
    curves = space(x, intervals, Envelope(float(x.max()), 0.0), unit)
    return of_typical_size(DisplacedBlock("displaced", by, curves, 1.0, centre), seen)


@dataclass(frozen=True)
class NodeBlock:
    """A node's ``term`` times ``by``, a property or None, times functions of what is named ``over``; of a force about a
    point the ``centre``.
    """

    term: str
    by: str | None
    over: str
    basis: Splines | Grid | Polynomials | None  # None: a constant
    dim: int
    scale: float = 1.0
    centre: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.term}, {self.by or '1'}" + (f", of {self.over}" if self.basis else "")

    @property
    def functions(self) -> int:
        return self.basis.size if self.basis else 1

    @property
    def size(self) -> int:
        return self.functions * TERMS[self.term].width(self.dim)

    def values(self, seen: Seen):
        """As of a ``PairBlock``, the mean over frames being the sum."""
        motion = seen.motion
        own = seen.ends[property_named(self.by).variables[0]] if self.by else 1.0
        factor = (motion.share * own / self.scale)[:, None]
        axes = np.eye(TERMS[self.term].width(self.dim))
        vectors = [factor * TERMS[self.term].kernel(motion.pos, motion.vel, axis, self.centre) for axis in axes]
        if self.basis is None:
            return csr_array(np.ones((len(seen.r), 1))), vectors
        return seen.once(self.basis, lambda: self.basis.matrix(VARIABLE[self.over](motion, self.centre))), vectors

    def roughness(self) -> np.ndarray:
        one = _squared(self.basis) if self.basis else np.zeros((1, 1))
        return np.kron(np.eye(TERMS[self.term].width(self.dim)), one)

    def finer(self) -> "NodeBlock":
        return replace(self, basis=self.basis and self.basis.finer(FINER))


@dataclass(frozen=True)
class Modulated:
    """The radial force that a fit without a clock has found, times functions of the time."""

    radial: Callable  # ends -> [edge]
    basis: Splines
    scale: float = 1.0

    term, over = RADIAL, TIME

    @property
    def name(self) -> str:
        return "radial, of time"

    @property
    def size(self) -> int:
        return self.basis.size

    def values(self, seen: Seen):
        motion = seen.motion
        force = self.radial({**seen.ends, "r": seen.r}) / self.scale * motion.weight
        return seen.once(self.basis, lambda: self.basis.matrix(motion.t)), [motion.unit * force[:, None]]

    def roughness(self) -> np.ndarray:
        return _squared(self.basis)

    def finer(self) -> "Modulated":
        return replace(self, basis=self.basis.finer(FINER))


def _squared(basis) -> np.ndarray:
    rough = basis.roughness()
    return rough.T @ rough


Block = PairBlock | DisplacedBlock | NodeBlock | Modulated


def frames_of(seen: Seen, start: np.ndarray) -> tuple[Seen, np.ndarray]:
    """One edge for every frame of every receiver, which is all that a node's terms see; where each receiver begins."""
    one, number = _frames(seen, np.repeat(np.arange(len(start) - 1), np.diff(start)))
    return one, np.searchsorted(number, np.arange(len(start)))


def _frames(seen: Seen, receiver: np.ndarray) -> tuple[Seen, np.ndarray]:
    """The same, and the receiver of each; ``receiver`` [edge] in any order."""
    time = np.unique(seen.motion.t, return_inverse=True)[1]
    _, first, count = np.unique(receiver * (time.max() + 1) + time, return_index=True, return_counts=True)
    one = seen.of(first)
    return replace(one, motion=replace(one.motion, share=one.motion.share * count)), receiver[first]


def once_a_frame(block: Block, seen: Seen, start: np.ndarray) -> tuple[Seen, np.ndarray]:
    """The edges that a block has to be evaluated on: of pairs all of them."""
    return seen.once(frames_of, lambda: frames_of(seen, start)) if isinstance(block, NodeBlock) else (seen, start)


def columns_of(block: Block, seen: Seen, start: np.ndarray) -> np.ndarray:
    """Forces on receivers by each of its functions [receiver, dim, column]; ``start`` [receiver + 1]: their edges."""
    seen, start = once_a_frame(block, seen, start)
    functions, vectors = block.values(seen)
    edges, out = np.arange(len(seen.r)), []
    for vector in vectors:
        sums = [csr_array((v, edges, start), shape=(len(start) - 1, len(edges))) @ functions for v in vector.T]
        out.append(np.stack([one.toarray() for one in sums], 1))
    return np.concatenate(out, 2)


def forces(block: Block, coefficients: np.ndarray, seen: Seen) -> np.ndarray:
    """[edge, dim], whose plain sum over a receiver's edges is the force on it."""
    functions, vectors = block.values(seen)
    parts = coefficients.reshape(len(vectors), -1)
    return sum(vector * (functions @ own)[:, None] for vector, own in zip(vectors, parts, strict=True))


def force_of(block: Block, coefficients: np.ndarray, seen: Seen, start: np.ndarray) -> np.ndarray:
    """On receivers [receiver, dim]; ``start`` [receiver + 1]: their edges."""
    seen, start = once_a_frame(block, seen, start)
    return np.add.reduceat(forces(block, coefficients, seen), start[:-1], axis=0)


def force_on(block: Block, coefficients: np.ndarray, seen: Seen, receiver: np.ndarray, count: int) -> np.ndarray:
    """On ``count`` receivers [receiver, dim]; ``receiver`` [edge] in any order."""
    if isinstance(block, NodeBlock):
        seen, receiver = seen.once(force_on, lambda: _frames(seen, receiver.astype(np.int64)))
    return np.stack([np.bincount(receiver, v, count) for v in forces(block, coefficients, seen).T], 1)


def of_typical_size(block: Block, seen: Seen) -> Block:
    """``block`` with columns of typical size one."""
    functions, vectors = block.values(seen)
    both = np.abs(functions).sum(1)
    size = max(typical_size(np.linalg.norm(v, axis=1) * both) for v in vectors)
    return replace(block, scale=block.scale * (size if size > 0 else 1.0))


def finer(blocks: Sequence[Block], seen: Seen) -> list[Block]:
    """With more knots."""
    return [of_typical_size(block.finer(), seen) for block in blocks]


def pointed_to(pos: np.ndarray, force: np.ndarray) -> tuple[float, ...]:
    """The point that forces [row, dim] at the places ``pos`` point to or from, the best in squares of force times
    distance; beside a uniform force, which is not told, where without one they hardly point anywhere.
    """
    # (F - g) ^ (x - c) = 0: linear in c, g and g ^ c, which is a number of its own for each pair of axes
    dim = pos.shape[1]
    planes, rows, values = list(combinations(range(dim), 2)), [], []
    for k, (a, b) in enumerate(planes):
        row = np.zeros((len(pos), 2 * dim + len(planes)))
        row[:, b], row[:, a] = force[:, a], -force[:, b]
        row[:, dim + a], row[:, dim + b] = pos[:, b], -pos[:, a]
        row[:, 2 * dim + k] = -1.0
        rows.append(row)
        values.append(force[:, a] * pos[:, b] - force[:, b] * pos[:, a])
    design, value = np.concatenate(rows), np.concatenate(values)
    design = design / (size := np.maximum(np.linalg.norm(design, axis=0), 1e-300))

    def best(columns):
        found = np.linalg.lstsq(design[:, :columns], value, rcond=1e-10)[0]
        return found / size[:columns], float(((design[:, :columns] @ found - value) ** 2).sum())

    (alone, left), (beside, less) = best(dim), best(design.shape[1])
    # about a linear trap every point will do beside some uniform force, and both leave nothing
    return tuple(map(float, (beside if less < POINTED * left and left > EXACT * (value @ value) else alone)[:dim]))


def about_point(motion: Motion, pos: np.ndarray, left: np.ndarray, degree: np.ndarray) -> "NodeBlock":
    """A force about the point that forces ``left`` at the places ``pos`` [receiver, dim] point to or from; ``degree``:
    edges in ``motion`` of each of them.
    """
    centre = pointed_to(pos, left)
    size = np.repeat(np.linalg.norm(left, axis=1), degree)  # a wall is where few come
    away = line(VARIABLE[POINT](motion, centre), CURVE, size)
    return NodeBlock("central", None, POINT, away, pos.shape[1], centre=centre)


def candidates(
    data, products: Sequence[Product], names: Sequence[str], unit: float, radial=None, left=None
) -> list[Block]:
    """All that may act beside central forces and uniform fields. ``names``: properties that differ between particles;
    ``radial``: ends -> force of a fit without any of it, ``left`` [receiver, dim]: what that leaves.
    """
    motion, dim = data.motion, data.dim
    x = np.log(data.r / unit)
    curve = space(x, CURVE, Envelope(float(x.max()), 0.0), unit)
    moving, changing = bool(motion.vel.any()), bool(np.ptp(motion.t) > 0)
    out: list[Block] = []
    for name in PAIR:
        term = TERMS[name]
        if name != RADIAL and not term.displaced and dim in term.dims and (moving or not term.in_speed):
            out += [PairBlock(name, by, curve) for by in products]
    beside = [None, *(name for name in ("mass", *names) if name in data.state.properties)]
    beside = list(dict.fromkeys(beside))
    if np.ptp(data.state.mass) == 0:
        beside.remove("mass")
    place = Grid(tuple(line(along, CELLS[dim]) for along in motion.pos.T))
    speed = line(np.linalg.norm(motion.vel, axis=1), SPEEDS)
    if left is not None and dim > 1:  # what is steep about a point, as a wall, is none of the grid's functions
        around = about_point(motion, data.sum(motion.share[:, None] * motion.pos), left, np.diff(data.start))
        out += [replace(around, by=by) for by in beside]
    for by in beside:
        out.append(NodeBlock("field", by, PLACE, place, dim))
        if moving and dim in TERMS["magnetic"].dims:
            out.append(NodeBlock("magnetic", by, NOTHING, None, dim))
        if moving:
            out.append(NodeBlock("drag", by, SPEED, speed, dim))
        if changing:
            out.append(NodeBlock("constant_force", by, TIME, line(motion.t, TIMES), dim))
    if changing and radial is not None:
        out.append(Modulated(radial, line(motion.t, TIMES)))
    return [of_typical_size(block, data.seen) for block in out]
