"""Observed positions as shooting takes them: pieces of trajectories in which the same particles are there.

A trajectory is cut where particles come or go and into pieces of at most ``LONGEST`` frames; those with the same number
of particles lie side by side in arrays, the shorter ones padded with frames in which nothing is seen.
"""

from dataclasses import dataclass

import numpy as np

from distill.files.dataset import Dataset
from distill.windows.noise import coordinate_noise

LONGEST = 128  # frames of a piece
SHORTEST = 4  # frames: fewer say nothing about a force
START_FRAMES, START_DEGREE = 7, 3  # of the local polynomials that states start from


@dataclass
class Observed:
    """``observed [trajectory, frame, particle, dim]``, NaN or ``seen`` [trajectory, frame, particle] false where it was
    not seen; ``there`` [trajectory, frame, particle]: whether the particle acts on others then. ``t``: [frame] or
    [trajectory, frame]. ``properties``: name -> [trajectory, particle]. ``noise``: standard deviation of a coordinate;
    None or 0: it is estimated. ``film`` [trajectory]: the recording that a trajectory was cut from; None: each is one.
    """

    observed: np.ndarray
    t: np.ndarray
    properties: dict
    seen: np.ndarray | None = None
    there: np.ndarray | None = None
    noise: float | None = None
    film: np.ndarray | None = None

    def __post_init__(self):
        self.observed = np.asarray(self.observed, float)
        shape = self.observed.shape[:3]
        finite = np.isfinite(self.observed).all(-1)
        self.seen = finite if self.seen is None else finite & np.asarray(self.seen, bool)
        self.there = np.ones(shape, bool) if self.there is None else np.asarray(self.there, bool)
        self.t = np.broadcast_to(np.asarray(self.t, float), shape[:2])
        self.film = np.arange(shape[0]) if self.film is None else np.asarray(self.film)
        if not self.noise:
            self.noise = coordinate_noise(self.observed, self.seen, self.t)


@dataclass
class Pieces:
    """Pieces with the same number of particles; frames at the end of a short one have ``seen`` false and the time of
    its last frame.
    """

    observed: np.ndarray  # [piece, frame, particle, dim], 0 where nothing is seen
    seen: np.ndarray  # [piece, frame, particle]
    t: np.ndarray  # [piece, frame]
    properties: dict  # name -> [piece, particle]
    trajectory: np.ndarray  # [piece]
    frames: np.ndarray  # [piece]: without padding
    film: np.ndarray  # [piece]

    def of(self, pick) -> "Pieces":
        """The pieces ``pick``."""
        properties = {k: v[pick] for k, v in self.properties.items()}
        arrays = (self.observed[pick], self.seen[pick], self.t[pick], properties)
        return Pieces(*arrays, self.trajectory[pick], self.frames[pick], self.film[pick])


def observed_in(dataset: Dataset) -> Observed:
    """What a dataset with ``observed`` positions holds of its training trajectories."""
    kept = dataset.trajectories("train")
    properties = {k: v[kept].astype(float) for k, v in dataset.properties.items()}
    noise = float(dataset.noise) if "noise" in dataset.arrays else None
    observed, t = dataset.observed[kept], dataset.times[kept]
    film = dataset.film[kept] if "film" in dataset.arrays else None
    return Observed(observed, t, properties, dataset.was_seen[kept], dataset.there[kept], noise, film)


def pieces(seen: Observed, longest: int = LONGEST) -> list[Pieces]:
    """All pieces, those with the same number of particles together."""
    found: dict[int, list] = {}
    for k, there in enumerate(seen.there):
        changes = np.flatnonzero((there[1:] != there[:-1]).any(1)) + 1
        for first, last in zip(np.r_[0, changes], np.r_[changes, len(there)], strict=True):
            who = np.flatnonzero(there[first])
            parts = max(1, -(-(last - first) // longest))
            edges = np.linspace(first, last, parts + 1).astype(int)
            for a, b in zip(edges[:-1], edges[1:], strict=True):
                if len(who) and b - a >= SHORTEST and seen.seen[k, a:b][:, who].any(1).sum() >= SHORTEST:
                    found.setdefault(len(who), []).append((k, a, b, who))
    return [_side_by_side(seen, each) for _, each in sorted(found.items())]


def _side_by_side(seen: Observed, each: list) -> Pieces:
    frames = np.array([b - a for _, a, b, _ in each])
    n, dim = len(each[0][3]), seen.observed.shape[3]
    shape = (len(each), frames.max(), n)
    observed, kept, t = np.zeros((*shape, dim)), np.zeros(shape, bool), np.zeros(shape[:2])
    for row, (k, a, b, who) in enumerate(each):
        mine = seen.seen[k, a:b][:, who]
        kept[row, : b - a] = mine
        observed[row, : b - a] = np.where(mine[..., None], seen.observed[k, a:b][:, who], 0.0)
        t[row] = seen.t[k, b - 1]
        t[row, : b - a] = seen.t[k, a:b]
    properties = {
        name: np.stack([np.asarray(v, float)[k, who] for k, _, _, who in each]) for name, v in seen.properties.items()
    }
    trajectory = np.array([k for k, *_ in each])
    return Pieces(observed, kept, t, properties, trajectory, frames, seen.film[trajectory])


def typical_step(found: list[Pieces]) -> tuple[float, float]:
    """(median distance that a particle moves between neighbouring frames, median time between them)."""
    moved, waited = [], []
    for one in found:
        both = one.seen[:, 1:] & one.seen[:, :-1]
        moved.append(np.linalg.norm(np.diff(one.observed, axis=1), axis=-1)[both])
        step = np.diff(one.t, axis=1)
        waited.append(step[step > 0])
    return float(np.median(np.concatenate(moved))), float(np.median(np.concatenate(waited)))


def start_states(one: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities [piece, frame, particle, dim] of cubics through ``START_FRAMES`` frames around each."""
    frames = one.observed.shape[1]
    width = min(START_FRAMES, frames)
    first = np.clip(np.arange(frames) - width // 2, 0, frames - width)
    near = first[:, None] + np.arange(width)  # [frame, w]
    since = one.t[:, near] - one.t[:, :, None]  # [piece, frame, w]
    unit = np.maximum(np.abs(since).max(2, keepdims=True), 1e-300)
    powers = (since / unit)[..., None] ** np.arange(START_DEGREE + 1)  # [piece, frame, w, power]
    seen = one.seen[:, near].astype(float)  # [piece, frame, w, particle]
    normal = np.einsum("bfwp,bfwn,bfwq->bfnpq", powers, seen, powers)
    # where fewer frames are seen than a cubic has coefficients, the higher ones are zero
    normal += 1e-9 * np.diag(10.0 ** np.arange(START_DEGREE + 1))
    right = np.einsum("bfwp,bfwn,bfwnd->bfnpd", powers, seen, one.observed[:, near])
    found = np.linalg.solve(normal, right)
    return found[..., 0, :], found[..., 1, :] / unit[..., None]
