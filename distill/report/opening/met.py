"""What the training data have met: distances of pairs and properties of particles. Elsewhere a law is untested."""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from distill.files.dataset import Dataset
from distill.physics.neighbours import close_pairs
from distill.report.words import shown

MOST = 1_000_000  # pairs that are looked at
FEW = 4  # values of a property that are listed one by one


@dataclass(frozen=True)
class Distances:
    """Of ``n`` pairs in every ``step``-th frame of the training trajectories: the least and the largest."""

    low: float
    high: float
    n: int
    step: int


def distances(dataset: Dataset, chain: bool = False, cutoff: float | None = None) -> Distances | None:
    """Of pairs that act on each other: neighbours of a ``chain``, or those within ``cutoff``; None: there are none."""
    frames = dataset.pos[dataset.trajectories("train")].reshape(-1, dataset.n, dataset.dim)
    i, j = (np.arange(dataset.n - 1), np.arange(1, dataset.n)) if chain else np.triu_indices(dataset.n, 1)
    step = math.ceil(len(frames) * len(i) / MOST)
    frames = frames[::step]
    if cutoff is None:
        r = np.sqrt(((frames[:, i] - frames[:, j]) ** 2).sum(-1))
        r = r[np.isfinite(r)]  # a particle need not be in all frames
    else:
        box = dataset.arrays.get("box")
        r = np.concatenate([close_pairs(pos[np.isfinite(pos[:, 0])], box, cutoff)[3] for pos in frames])
    return Distances(float(r.min()), float(r.max()), r.size, step) if r.size else None


def properties(dataset: Dataset, unknown: Collection[str] = ()) -> list[str]:
    """``mass 0.21 to 7.9``, of all that particles of the training trajectories have and that is not nothing, but for
    ``unknown`` ones, which nobody saw.
    """
    out, index = [], dataset.trajectories("train")
    for name, values in dataset.properties.items():
        found = np.unique(values[index])
        if name in unknown or not found.any():
            continue
        few = ", ".join(shown(float(v)) for v in found)
        told = few if len(found) <= FEW else f"{shown(float(found[0]))} to {shown(float(found[-1]))}"
        out.append(f"{name.replace('_', ' ')} {told}{' (taken, not given)' if name in dataset.assumed else ''}")
    return out
