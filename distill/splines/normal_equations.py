"""Net forces as linear functions of spline coefficients and node terms: normal equations by fold of the data.

They are assembled once, a chunk of receivers at a time; every smoothness, every coarser space of curves, every smaller
set of columns and every fold left out is then a small solve, held-out errors included.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse import csr_array

from distill.files.properties import of_edges
from distill.messages.net_forces import Nodes, state_of, weighted
from distill.physics.terms import TERMS, State, direction
from distill.shell.errors import UserError
from distill.splines.blocks import Block, Motion, Seen, columns_of
from distill.splines.curves import Space
from distill.splines.dependence import Dependence
from distill.statistics.metrics import typical_size

FOLDS = 5
CHUNK = 2048  # receivers at once
STRETCHES = 20  # that errors are taken over, at least: fewer trajectories are taken apart in time
LEAST = 1e-18  # squared errors below are rounding
RIDGE = 1e-11  # of the mean squared size of a column: what the data do not determine at all stays small


@dataclass
class Who:
    """Identities of particles, numbers below ``count``: of each ``receiver`` and of each edge's ``sender``."""

    receiver: np.ndarray
    sender: np.ndarray
    count: int


@dataclass
class Table:
    """Receivers with their edges, sorted by fold: ``start`` [receiver + 1] into the edges."""

    start: np.ndarray
    r: np.ndarray  # [edge]
    unit: np.ndarray  # [edge, dim], of windows times the weight of the pair
    ends: dict  # variable -> [edge]
    target: np.ndarray  # m a [receiver, dim]
    state: State
    fold: np.ndarray  # [receiver], ascending
    noise: np.ndarray  # [receiver], standard deviation of a component of the target; 0 where it is not known
    motion: Motion | None = None  # of the edges, where it is known (``blocks.with_motion``)
    who: Who | None = None  # where the data know the same particle in several trajectories
    stretch: np.ndarray | None = None  # [receiver], of what is independent: trajectories, or parts of these where few
    node: np.ndarray | None = None  # [receiver], its number among the nodes that the table was made of
    made: dict = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        return self.target.shape[1]

    def __len__(self) -> int:
        return len(self.target)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Over each receiver's edges: [edge, dim] -> [receiver, dim]."""
        return np.add.reduceat(values, self.start[:-1], axis=0)

    def nearest(self) -> np.ndarray:
        """Distance of each receiver's nearest sender."""
        return np.minimum.reduceat(self.r, self.start[:-1])

    def some(self, count: int, seed: int) -> "Table":
        """``count`` receivers drawn at random."""
        return self if count >= len(self) else self.of(drawn(len(self), count, seed))

    def of(self, pick: np.ndarray) -> "Table":
        """The receivers of these numbers, in ascending order."""
        degree = np.diff(self.start)[pick]
        edges = np.repeat(self.start[pick] - np.cumsum(degree) + degree, degree) + np.arange(degree.sum())
        return Table(
            np.r_[0, np.cumsum(degree)],
            self.r[edges],
            self.unit[edges],
            {k: v[edges] for k, v in self.ends.items()},
            self.target[pick],
            self.state.of(pick),
            self.fold[pick],
            self.noise[pick],
            None if self.motion is None else self.motion[edges],
            None if self.who is None else Who(self.who.receiver[pick], self.who.sender[edges], self.who.count),
            None if self.stretch is None else self.stretch[pick],
            None if self.node is None else self.node[pick],
        )

    @property
    def seen(self) -> Seen | None:
        """As blocks see it; None where the motion is not known."""
        if self.motion is not None and not self.made:
            self.made["seen"] = Seen(self.r, self.ends, self.motion)
        return self.made.get("seen")


def drawn(total: int, count: int, seed: int) -> np.ndarray:
    """``count`` numbers below ``total``, or all, in ascending order."""
    if count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng([seed, 73]).choice(total, count, replace=False))


def table(edges: dict, nodes: Nodes, seed: int = 0, in_time: bool = False) -> Table:
    """The receivers of ``edges``; folds are of whole trajectories, or of stretches of time where these are too
    few, or of particles where frames are too few as well. ``in_time``: trajectories are pieces of one recording, in its
    order; a fold then is of neighbouring ones, as few of which as possible have a neighbour in another fold.
    """
    trajectory, frame = (edges[k][nodes.first].astype(np.int64) for k in ("trajectory", "frame"))
    _, number = np.unique(trajectory, return_inverse=True)
    if number.max() + 1 >= FOLDS and in_time:
        fold = FOLDS * number // (number.max() + 1)
    elif number.max() + 1 >= FOLDS:
        fold = np.random.default_rng([seed, 79]).permutation(number.max() + 1)[number] % FOLDS
    elif len(np.unique(frame)) >= FOLDS:
        fold = FOLDS * (frame - frame.min()) // (np.ptp(frame) + 1)
    else:
        receiver = edges["receiver"][nodes.first].astype(np.int64)
        fold = np.random.default_rng([seed, 79]).permutation(receiver.max() + 1)[receiver] % FOLDS
    stretch = stretches(number, frame)
    order = np.argsort(fold, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    sorted_edges = np.lexsort((edges["sender"], place[nodes.of_edge]))
    start = np.r_[0, np.cumsum(np.bincount(nodes.of_edge)[order])]
    ends = of_edges(edges, sorted_edges)
    first = nodes.first[order]
    state = state_of(edges, first)
    target = state.mass[:, None] * edges["acc_i"][first]
    unit = weighted(direction(edges["dx"][sorted_edges].astype(float), ends["r"]), edges, sorted_edges)
    noise = state.mass * edges["acc_noise"][first] if "acc_noise" in edges else np.zeros(len(first))
    if not (apart := ends["r"] > 0).all():  # what coincides has no direction and pulls nowhere, at whatever distance
        if not apart.any():
            raise UserError("all particles coincide: there is no distance that a force could depend on")
        ends["r"] = np.where(apart, ends["r"], ends["r"][apart].min())
    motion = edges["motion"][sorted_edges] if "motion" in edges else None
    who = who_of(edges, first, sorted_edges)
    return Table(start, ends["r"], unit, ends, target, state, fold[order], noise, motion, who, stretch[order], order)


def who_of(edges: dict, first: np.ndarray, some: np.ndarray) -> Who | None:
    """Of the receivers whose first edges are ``first``, and of the senders of ``some`` edges; None where bodies do not
    come again.
    """
    if "receiver_body" not in edges:
        return None
    count = int(max(edges[k].max() for k in ("receiver_body", "sender_body"))) + 1
    return Who(edges["receiver_body"][first], edges["sender_body"][some], count)


def stretches(trajectory: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Number of what counts as independent: the trajectory, or its part where there are fewer than ``STRETCHES``;
    ``at``: frames or times.
    """
    number = np.unique(trajectory, return_inverse=True)[1]
    parts = -(-STRETCHES // (int(number.max()) + 1))
    if at.dtype.kind in "iu":
        return number * parts + (parts * (at - at.min())) // (np.ptp(at) + 1)
    return number * parts + (parts * (at - at.min()) / (np.ptp(at) * (1 + 1e-9) or 1.0)).astype(int)


@dataclass(frozen=True)
class Model:
    """What the columns are: for every function of the properties the curves of ``space``, then those of ``terms`` and
    of ``blocks``.
    """

    space: Space
    dependence: Dependence
    terms: tuple[str, ...]
    sizes: dict  # term -> typical size of its force
    blocks: tuple[Block, ...] = ()

    def node_columns(self, state: State) -> np.ndarray:
        """[receiver, dim, column], of typical size 1."""
        shape = state.vel.shape
        columns = [np.broadcast_to(c, shape) / self.sizes[n] for n in self.terms for c in TERMS[n].columns(state)]
        return np.stack(columns, -1) if columns else np.empty((*shape, 0))

    def rows(self, data: Table, low: int, high: int, curves: csr_array, factors: np.ndarray) -> np.ndarray:
        """Design of the receivers ``low:high``: [receiver x dim, column]; ``curves`` and ``factors`` of their edges."""
        count, size = high - low, self.space.size
        width = factors.shape[1] * size
        node = self.node_columns(data.state.of(slice(low, high)))
        if self.blocks:
            part = data.of(np.arange(low, high))
            node = np.concatenate([node, *(columns_of(block, part.seen, part.start) for block in self.blocks)], 2)
        out = np.empty((count, data.dim, width + node.shape[2]))
        out[:, :, width:] = node
        a, b = data.start[low], data.start[high]
        unit, indptr, indices = data.unit[a:b], data.start[low : high + 1] - a, np.arange(b - a)
        for k in range(data.dim):
            for f in range(factors.shape[1]):
                sums = csr_array((unit[:, k] * factors[:, f], indices, indptr), shape=(count, b - a))
                out[:, k, f * size : (f + 1) * size] = (sums @ curves).toarray()
        return out.reshape(count * data.dim, -1)


def model(space: Space, dependence: Dependence, terms, data: Table, blocks=()) -> Model:
    sizes = {}
    for name in terms:
        columns = [np.broadcast_to(c, data.target.shape) for c in TERMS[name].columns(data.state)]
        sizes[name] = max(typical_size(np.linalg.norm(c, axis=1)) for c in columns)
    return Model(space, dependence, tuple(terms), sizes, tuple(blocks))


@dataclass
class Normal:
    """Normal equations of every fold: sums of w x x^T [fold, column, column], w x y, w y^2, and rows."""

    gram: np.ndarray
    moment: np.ndarray
    square: np.ndarray
    rows: np.ndarray

    def columns(self, keep) -> "Normal":
        return Normal(self.gram[:, keep][:, :, keep], self.moment[:, keep], self.square, self.rows)

    def mapped(self, to: np.ndarray) -> "Normal":
        """With the columns replaced by the combinations ``to`` [column, new]."""
        return Normal(to.T @ self.gram @ to, self.moment @ to, self.square, self.rows)


def normal_equations(model: Model, data: Table, weight: np.ndarray, scale: float) -> Normal:
    """Of the targets over ``scale``, with the weight [receiver] of squared residuals."""
    width = len(model.dependence.functions) * model.space.size + model.node_columns(data.state.of(slice(0, 1))).shape[2]
    width += sum(block.size for block in model.blocks)
    out = Normal(np.zeros((FOLDS, width, width)), np.zeros((FOLDS, width)), np.zeros(FOLDS), np.zeros(FOLDS))
    root = np.sqrt(weight)
    for fold in range(FOLDS):
        begin, end = np.searchsorted(data.fold, [fold, fold + 1])
        out.rows[fold] = (end - begin) * data.dim
        for low in range(begin, end, CHUNK):
            high = min(low + CHUNK, end)
            a, b = data.start[low], data.start[high]
            curves = model.space.matrix(model.space.log(data.r[a:b]))
            factors = model.dependence({k: v[a:b] for k, v in data.ends.items()})
            w = np.repeat(root[low:high], data.dim)
            x = model.rows(data, low, high, curves, factors) * w[:, None]
            y = data.target[low:high].reshape(-1) / scale * w
            out.gram[fold] += x.T @ x
            out.moment[fold] += y @ x
            out.square[fold] += y @ y
    return out


def penalty(model: Model, width: int) -> np.ndarray:
    """[width, width]: squared second differences of every curve."""
    rough = model.space.roughness()
    square, size = rough.T @ rough, model.space.size
    out = np.zeros((width, width))
    for f in range(len(model.dependence.functions)):
        out[f * size : (f + 1) * size, f * size : (f + 1) * size] = square
    at = width - sum(block.size for block in model.blocks)
    for block in model.blocks:
        out[at : at + block.size, at : at + block.size] = block.roughness()
        at += block.size
    return out


def solve(gram, moment, rough, smooth: float, rows: float) -> np.ndarray:
    """Coefficients with ``rows`` x ``smooth`` times the ``rough`` penalty."""
    matrix = gram + rows * smooth * rough
    ridge = RIDGE * np.trace(gram) / len(gram) + 1e-300
    for _ in range(12):
        trial = matrix.copy()
        trial[np.diag_indices_from(trial)] += ridge
        try:
            return cho_solve(cho_factor(trial, check_finite=False), moment, check_finite=False)
        except LinAlgError:
            ridge *= 10
    return np.linalg.lstsq(matrix, moment, rcond=None)[0]


def typical(errors: np.ndarray) -> float:
    """Geometric mean of the errors of folds: that of a fold with pairs closer than all others have, which no smooth
    curve foretells, must not decide for all.
    """
    return float(np.exp(np.log(np.maximum(errors, LEAST)).mean()))


def held_out(normal: Normal, rough: np.ndarray, smooth: float) -> np.ndarray:
    """Mean weighted squared error of each fold by the fit to the others [fold] (those with rows)."""
    gram, moment, rows = normal.gram.sum(0), normal.moment.sum(0), normal.rows.sum()
    out = []
    for k in np.flatnonzero(normal.rows):
        left = rows - normal.rows[k]
        g = solve(gram - normal.gram[k], moment - normal.moment[k], rough, smooth, left)
        error = normal.square[k] - 2 * g @ normal.moment[k] + g @ normal.gram[k] @ g
        out.append(max(error, 0.0) / normal.rows[k])
    return np.array(out)
