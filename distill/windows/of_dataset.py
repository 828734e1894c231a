"""The windows of a dataset that holds positions alone, and what such a dataset has beside them."""

import numpy as np

from distill.files.dataset import Dataset
from distill.windows.noise import noise_of
from distill.windows.smoothing import smoothed
from distill.windows.weak_form import Windows, windows

LENGTH = 21  # frames, where no other length was chosen


def positions_alone(dataset: Dataset) -> bool:
    """Whether accelerations were not measured, but positions were."""
    return "acc" not in dataset.arrays and "observed" in dataset.arrays


def from_positions(arrays: dict) -> dict:
    """What the positions ``observed`` (with ``t`` and, where there are, ``seen``, ``vel`` and ``box``) give a dataset:
    ``noise``, smoothed ``pos`` and, unless they were measured, ``vel``; positions followed through the sides of a box.
    """
    seen = arrays.get("seen")
    found = smoothed(arrays["observed"], None if seen is None else seen != 0, arrays["t"])
    out = {"pos": found.pos, "noise": np.float64(found.noise)}
    return out if "vel" in arrays else out | {"vel": found.vel}


def noise_in(dataset: Dataset) -> float:
    """Standard deviation of a coordinate of ``observed``."""
    if "noise" in dataset.arrays:
        return float(dataset.noise)
    return float(np.sqrt((noise_of(dataset.observed, dataset.was_seen, dataset.times) ** 2).mean()))


def windows_of(
    dataset: Dataset,
    trajectories: np.ndarray | None = None,
    length: int | None = None,
    step: int | None = None,
) -> Windows:
    """The windows of these ``trajectories`` (all of them where None), see ``weak_form.windows``, with their noise in
    units of the data. ``length``: that of the dataset (``window``) where None, or ``LENGTH``.

    Left out are windows in which another particle, seen before and after, is at a place that nobody knows.
    """
    known, seen = dataset.there, dataset.was_seen
    length = int(length or dataset.arrays.get("window", LENGTH))
    found = windows(dataset.observed, seen, known, dataset.times, length, trajectories, step)
    since = np.maximum.accumulate(seen, 1)
    until = np.maximum.accumulate(seen[:, ::-1], 1)[:, ::-1]
    if (lost := (since & until & ~known).any(2)).any():
        inside = lost[found.trajectory[:, None], found.frames] & (found.omega != 0)
        found = found.of(~inside.any(1))
    found.noise = found.noise * noise_in(dataset)
    return found
