"""States with all that may act there: stretches of neighbouring frames, in which residuals are looked at.

A messages file holds frames drawn at random; whether what a law leaves lasts from one frame to the next is only seen
on whole trajectories, which the dataset has. Receivers of a messages file make a scene too, of single frames.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distill.files.dataset import Dataset
from distill.files.fields import SPLITS
from distill.files.properties import of_edges, of_pairs
from distill.law.receivers import Receivers, beyond_radial, forces_of, law_acceleration
from distill.messages.net_forces import nodes_of, state_of
from distill.physics.law import Law
from distill.physics.neighbours import close_pairs, minimum_image
from distill.physics.terms import State, direction
from distill.splines.blocks import Motion, Seen, with_motion
from distill.splines.observations import edges_of_windows, pairs_of
from distill.windows.of_dataset import length_in, positions_alone

ROWS, EDGES = 16_000, 400_000  # particles in a frame, and ordered pairs, at most
STRETCH = 50  # frames
STRETCHES = 10  # at least, where the data have the frames
FEWEST = 8  # trajectories left out, or all are used


@dataclass
class Scene:
    """Rows are particles in frames, in the order of ``shape``. ``predict(law)``: accelerations [row, dim]."""

    shape: tuple[int, int, int]  # stretches, frames, particles
    trajectory: np.ndarray  # [stretch]
    acc: np.ndarray  # [row, dim]
    state: State  # vel [row, dim], properties [row]
    receiver: np.ndarray  # row [edge]
    unit: np.ndarray  # (x_i - x_j)/r [edge, dim]
    features: dict  # variables of a pair law -> [edge]
    predict: Callable[[Law], np.ndarray]
    moving: np.ndarray | None = None  # v_j - v_i [edge, dim]
    pos: np.ndarray | None = None  # [row, dim]
    time: np.ndarray | None = None  # [row]
    box: np.ndarray | None = None
    weight: np.ndarray | None = None  # of the edges in sums [edge], None for ones
    seen: Seen | None = None  # the edges as splines of further terms see them
    noise: np.ndarray | None = None  # of a component of ``acc`` [row], None where it is not known
    moment: np.ndarray | None = None  # edges of one receiver in one frame have one number [edge]
    past: Callable[[int], np.ndarray] | None = None  # k -> x_i now - x_j k frames ago [edge, dim], NaN where not known
    pace: float = 0.0  # time from frame to frame

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Weighted sum over each row's edges: [edge, column] -> [row, column]."""
        values = values if self.weight is None else values * self.weight[:, None]
        return np.stack([np.bincount(self.receiver, column, len(self.acc)) for column in values.T], 1)


def of_receivers(data: Receivers) -> Scene:
    """Receivers of a messages file, each a stretch of one frame of one particle."""
    count = np.diff(np.r_[data.start, len(data.unit)])
    rows = len(data.acc)
    return Scene(
        (rows, 1, 1),
        data.trajectory,
        data.acc,
        data.state,
        np.repeat(np.arange(rows), count),
        data.unit,
        data.features,
        lambda law: law_acceleration(law, data),
    )


def of_dataset(dataset: Dataset, law: Law, seed: int = 0, test: bool = True) -> Scene:
    """Stretches of the trajectories that were not trained on (of all, where these are few): whole ones where there are
    at most ``ROWS`` rows and ``EDGES`` edges in them, else drawn at random. ``law`` says which pairs may act.
    ``test``: whether those of the test split may be among them; not where a choice is made. Where a particle is not
    there, or nothing is known of its motion, its row is zero, whatever the law, and it has no edges.
    """
    if positions_alone(dataset):
        return of_windows(dataset, seed, test)
    pos, vel, acc = (getattr(dataset, k) for k in ("pos", "vel", "acc"))
    frames, n = pos.shape[1:3]
    kept = _left_out(dataset, test)
    box = dataset.arrays.get("box")
    length = min(STRETCH, frames, max(1, len(kept) * frames // STRETCHES))
    in_a_frame = _edges_a_frame(pos[kept[0], 0].astype(float), law, box)
    count = max(1, min(ROWS // n, EDGES // max(in_a_frame, 1)))  # frames
    if count < length * STRETCHES:
        length = max(1, min(length, count // STRETCHES))
    whole = [(k, at) for k in kept for at in range(0, frames - length + 1, length)]
    empty = dataset.there.sum(-1) < 2
    whole = [(k, at) for k, at in whole if not empty[k, at : at + length].any()] or whole
    order = np.random.default_rng([seed, 83]).permutation(len(whole))[: max(1, count // length)]
    k, at_frame = np.array([whole[o] for o in np.sort(order)]).T
    when = at_frame[:, None] + np.arange(length)
    pos, vel, acc = (a[k[:, None], when].astype(float) for a in (pos, vel, acc))  # [stretch, frame, particle, dim]
    properties = {name: np.repeat(v[k][:, None].astype(float), length, 1) for name, v in dataset.properties.items()}
    known = np.isfinite(np.concatenate([pos, vel, acc], -1)).all(-1)
    free = np.setdiff1d(np.arange(n), dataset.meta.system.held)

    def rows(values, empty=0.0):
        values = np.where(known.reshape(*known.shape, *[1] * (values.ndim - 3)), values, empty)
        return values[:, :, free].reshape(-1, *values.shape[3:])

    frame, i, j, dx = edges(pos.reshape(-1, n, pos.shape[-1]), law, box)
    number = np.full(n, -1)
    number[free] = np.arange(len(free))
    felt = (number[i] >= 0) & known.reshape(-1, n)[frame, i] & known.reshape(-1, n)[frame, j]
    frame, i, j, dx = frame[felt], i[felt], j[felt], dx[felt]
    ends = [{name: v.reshape(-1, n)[frame, e] for name, v in properties.items()} for e in (i, j)]
    r = _apart(np.linalg.norm(dx, axis=1))
    flat_pos, flat_vel = (a.reshape(-1, n, vel.shape[-1]) for a in (pos, vel))
    t = dataset.times[k[:, None], when]

    def predict(one: Law) -> np.ndarray:
        return rows(one.acceleration(pos, vel, properties, box, t))

    unit, features, row = direction(dx, r), of_pairs(*ends) | {"r": r}, frame * len(free) + number[i]
    dv, own, one = flat_vel[frame, i] - flat_vel[frame, j], (frame, i), np.ones(len(r))
    share = 1 / np.maximum(np.bincount(row, minlength=len(k) * length * len(free)), 1)[row]
    at = k[frame // length], when.reshape(-1)[frame]
    motion = Motion(unit, dv, flat_pos[own], flat_vel[own], t.reshape(-1)[frame].astype(float), share, one)
    return Scene(
        (len(k), length, len(free)),
        k,
        rows(acc),
        State(rows(vel), {name: rows(v, np.median(v[known])) for name, v in properties.items()}),
        row,
        unit,
        features,
        predict,
        -dv,
        rows(pos),
        np.repeat(t.reshape(-1), len(free)).astype(float),
        box,
        seen=Seen(r, features, motion),
        moment=row,
        past=_past(dataset, *at, i, j),
        pace=_pace(dataset),
    )


def _past(dataset: Dataset, trajectory: np.ndarray, frame: np.ndarray, i: np.ndarray, j: np.ndarray) -> Callable:
    """``Scene.past`` of edges from j to i in these frames [edge]."""
    box = dataset.arrays.get("box")

    def past(frames: int) -> np.ndarray:
        before = frame - frames
        there = dataset.pos[trajectory, np.maximum(before, 0), j].astype(float)
        dx = minimum_image(dataset.pos[trajectory, frame, i].astype(float) - there, box)
        return np.where((before >= 0)[:, None], dx, np.nan)

    return past


def _pace(dataset: Dataset) -> float:
    steps = np.diff(dataset.times, axis=1)
    return float(np.median(steps)) if steps.size else 0.0


def _left_out(dataset: Dataset, test: bool) -> np.ndarray:
    """Trajectories that were not trained on, or all where these are too few; of the test split only with ``test``."""
    allowed = np.flatnonzero((dataset.split != SPLITS.index("test")) | test)
    unseen = allowed[dataset.split[allowed] != SPLITS.index("train")]
    return unseen if len(unseen) >= FEWEST else allowed


def of_windows(dataset: Dataset, seed: int = 0, test: bool = True) -> Scene:
    """The same where only positions were observed: windows one after the other take the place of frames, so that no two
    have an observation in common. Where a particle has no window, its row is zero, whatever the law.
    """
    kept = _left_out(dataset, test)
    frames, n = dataset.pos.shape[1:3]
    length = min(length_in(dataset), frames)
    count = max(1, min(ROWS * length // (frames * n), EDGES // (frames * n * (n - 1))))
    if count < len(kept):
        kept = np.sort(np.random.default_rng([seed, 83]).permutation(kept)[:count])
    table = edges_of_windows(dataset, kept, pairs_of(dataset, kept), step=length)
    apart = (table["frame"] - (length - 1) // 2) % length == 0  # the last one ends with the last frame
    table = {name: values[apart] for name, values in table.items()}
    nodes = nodes_of(table)
    at = tuple(table[k][nodes.first] for k in ("trajectory", "frame", "receiver"))
    free = np.setdiff1d(np.arange(n), dataset.meta.system.held)
    shape = len(kept), frames // length, len(free)
    row = (np.searchsorted(kept, at[0]) * shape[1] + at[1] // length) * shape[2] + np.searchsorted(free, at[2])
    features = of_edges(table)
    features["r"] = _apart(features["r"])
    unit = direction(table["dx"].astype(float), table["r"].astype(float))
    state, motion = state_of(table, nodes.first), with_motion(table, dataset)["motion"]

    def rows(values, empty=0.0):
        out = np.full((np.prod(shape), *values.shape[1:]), empty)
        out[row] = values
        return out

    seen = Seen(features["r"], features, motion)

    def predict(law: Law) -> np.ndarray:
        if beyond_radial(law):
            force = forces_of(law, seen)
            force = np.stack([np.bincount(nodes.of_edge, column, len(nodes.first)) for column in force.T], 1)
            return rows(force / state.mass[:, None])
        return rows(law.respond(nodes.sum(law.radial(**features)[:, None] * unit), state))

    return Scene(
        shape,
        kept,
        rows(table["acc_i"][nodes.first]),
        State(rows(state.vel), {name: rows(v, np.median(v)) for name, v in state.properties.items()}),
        row[nodes.of_edge],
        unit,
        features,
        predict,
        -motion.dv,
        rows(dataset.pos[at]),
        rows(dataset.times[at[0], at[1]]),
        dataset.arrays.get("box"),
        table["weight"],
        seen,
        rows(table["acc_noise"][nodes.first]),
        np.unique(row[nodes.of_edge] * frames + table["at"], return_inverse=True)[1],
        _past(dataset, *(table[k] for k in ("trajectory", "at", "receiver", "sender"))),
        _pace(dataset),
    )


def _edges_a_frame(pos: np.ndarray, law: Law, box) -> int:
    n = len(pos)
    if law.cutoff is not None:
        return 2 * len(_close(pos, box, law.cutoff)[0])
    return 2 * (n - 1) if law.chain else n * (n - 1)


def _apart(r: np.ndarray) -> np.ndarray:
    """Distances [edge], the least of them for those of 0: what coincides has no direction and pulls nowhere."""
    return r if (apart := r > 0).all() else np.where(apart, r, r[apart].min(initial=1.0))


def _close(pos: np.ndarray, box, cutoff: float) -> tuple:
    """i, j and dx [pair] of those particles of ``pos`` [particle, dim] that are there."""
    there = np.flatnonzero(np.isfinite(pos).all(1))
    i, j, dx, _ = close_pairs(pos[there], box, cutoff)
    return there[i], there[j], dx


def edges(pos: np.ndarray, law: Law, box) -> tuple:
    """``frame, i, j [edge]`` and ``dx`` = x_i - x_j [edge, dim] of ``pos`` [frame, particle, dim]."""
    frames, n = pos.shape[:2]
    if law.cutoff is not None:
        found = [_close(p, box, law.cutoff) for p in pos]
        frame = np.repeat(np.arange(frames), [len(i) for i, _, _ in found])
        i, j, dx = (np.concatenate(part) for part in zip(*found, strict=True))
        return np.r_[frame, frame], np.r_[i, j], np.r_[j, i], np.r_[dx, -dx]
    apart = abs(np.subtract.outer(np.arange(n), np.arange(n)))
    i, j = np.nonzero(apart == 1 if law.chain else apart > 0)
    frame = np.repeat(np.arange(frames), len(i))
    i, j = np.tile(i, frames), np.tile(j, frames)
    return frame, i, j, pos[frame, i] - pos[frame, j]
