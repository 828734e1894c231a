"""Catalogues of haloes, one a box, and the dataset that several of them make.

A dataset has a trajectory of a single frame for every box: there is no time. What networks learn is the ``target`` of
every halo, its overdensity. Boxes differ in the number of haloes: particles beyond it are not there (NaN, ``seen`` 0).
Lengths in Mpc/h, velocities in km/s, masses in 10^14 Msun/h.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from distill.files.dataset import Dataset
from distill.halos.particles.box import Box, Particles
from distill.halos.particles.finding import LEAST, groups, overdensity
from distill.shell.errors import UserError

MASS = 1e14  # Msun/h
SMOOTHING, CUTOFF = 20.0, 50.0  # of the overdensity, and of the edges, as in Cranmer et al. 2020
UNITS = {"pos": "Mpc/h", "vel": "km/s", "mass": "1e14 Msun/h", "target": "overdensity", "box": "Mpc/h"}


@dataclass(frozen=True)
class Catalogue:
    """Haloes of one box of this ``side``: ``pos``, ``vel`` [halo, 3], ``mass``, ``delta`` [halo]."""

    side: float
    pos: np.ndarray
    vel: np.ndarray
    mass: np.ndarray
    delta: np.ndarray

    def __len__(self) -> int:
        return len(self.mass)

    def of(self, chosen) -> "Catalogue":
        """Those haloes that are ``chosen`` (numbers or a mask), as if there were no others."""
        return replace(self, **{k: getattr(self, k)[chosen] for k in ("pos", "vel", "mass", "delta")})

    def thinned(self, keep: float, seed: int) -> "Catalogue":
        """A random part of the haloes, their overdensities as they were."""
        chosen = np.sort(np.random.default_rng([seed, 61]).permutation(len(self))[: round(keep * len(self))])
        return self.of(chosen)


def of_particles(box: Box, particles: Particles, radius: float = SMOOTHING, least: int = LEAST) -> Catalogue:
    """Haloes of at least ``least`` particles of a simulated box; ``UserError`` if there are hardly any."""
    found = groups(particles.pos, particles.vel, box.side, least=least)
    if len(found.count) < 2:
        raise UserError(f"{len(found.count)} haloes in a box of {box.side:g} Mpc/h", "take more particles")
    delta = overdensity(found.pos, particles.pos, box.side, radius)
    return Catalogue(box.side, found.pos, found.vel, found.count * box.mass / MASS, delta)


def dataset_arrays(
    boxes: Sequence[Catalogue], split: Sequence[int], cutoff: float = CUTOFF, masks: Sequence | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a dataset (``fields.DATASET_FIELDS``) of these boxes, in their order; ``split`` [box] as there.
    ``masks`` [box][halo]: haloes whose overdensities may be seen; the others are neighbours all the same.

    ``UserError`` for boxes of different sides, a cutoff of more than half a side, or a halo without an overdensity.
    """
    sides = sorted({b.side for b in boxes})
    if len(sides) > 1:
        raise UserError(f"boxes of {', '.join(f'{s:g}' for s in sides)} Mpc/h", "a dataset has boxes of one size")
    if cutoff > sides[0] / 2:
        raise UserError(
            f"the cutoff {cutoff:g} is more than half the side {sides[0]:g} of the box", "take a smaller one"
        )
    for k, one in enumerate(boxes):
        if not np.isfinite(one.delta).all():
            raise UserError(f"box {k}: {int((~np.isfinite(one.delta)).sum())} haloes have no overdensity")
    most = max(map(len, boxes))

    def table(name, absent):
        parts = [getattr(b, name) for b in boxes]
        out = np.full((len(boxes), most, *parts[0].shape[1:]), absent, dtype=np.float64)
        for row, values in zip(out, parts, strict=True):
            row[: len(values)] = values
        return out

    middle = float(np.median(np.concatenate([b.mass for b in boxes])))  # of haloes that are not there; any will do
    out = {name: table(name, np.nan)[:, None] for name in ("pos", "vel")}
    out["target"] = table("delta", np.nan)[:, None]
    out["mass"] = table("mass", middle)
    for row, mask in zip(out["target"][:, 0], masks or (), strict=False):
        row[: len(mask)][~np.asarray(mask, dtype=bool)] = np.nan
    out["seen"] = np.isfinite(out["target"]).astype(np.int8)
    out["split"] = np.asarray(split, dtype=np.int8)
    return out | {"box": np.full(3, sides[0]), "cutoff": np.asarray(cutoff)}


def catalogues_of(dataset: Dataset, split: str = "all") -> tuple[list[Catalogue], list[np.ndarray]]:
    """The boxes of a dataset with a target, and masks [box][halo] of the haloes whose overdensities may be seen: of the
    others, which are neighbours all the same, ``delta`` is NaN. ``UserError`` for a dataset of something else.
    """
    side = np.unique(dataset.box)
    if len(side) != 1 or not dataset.has_target:
        raise UserError(f"{dataset.name} is no dataset of haloes", "a cubic box and a 'target' are needed")
    out, masks = [], []
    vel = dataset.arrays.get("vel", np.zeros_like(dataset.pos))
    for k in dataset.trajectories(split):
        for frame in range(dataset.pos.shape[1]):
            there = dataset.there[k, frame]
            values = (a[k, frame][there] for a in (dataset.pos, vel))
            out.append(Catalogue(float(side[0]), *values, dataset.mass[k][there], dataset.target[k, frame][there]))
            masks.append(np.isfinite(out[-1].delta))
    return out, masks
