"""The windows of a dataset that holds positions alone, and what such a dataset has beside them."""

import numpy as np

from distill.files.dataset import Dataset
from distill.physics.neighbours import minimum_image
from distill.shell.stage import progress
from distill.windows.noise import coordinate_noise
from distill.windows.smoothing import smoothed, typical
from distill.windows.weak_form import Windows, windows

LENGTH = 21  # frames, where no other length was chosen
RESOLVED = 1.0  # of its distance: a force that is a power of it is then met to some 0.5 % by the integral over a window
AT_ONCE = 2_000_000  # pairs
SAME_WEIGHT = 1e-9
PLACES = 200_000  # that are smoothed at once


def positions_alone(dataset: Dataset) -> bool:
    """Whether accelerations were not measured, but positions were."""
    return "acc" not in dataset.arrays and "observed" in dataset.arrays


def from_positions(arrays: dict, noise: float | None = None) -> dict:
    """What the positions ``observed`` (with ``t`` and, where there are, ``seen`` and ``vel``) give a dataset: ``noise``
    of a coordinate, estimated where None, smoothed ``pos`` and, unless they were measured, ``vel``.

    A part of the trajectories at a time, so that memory does not depend on how many there are.
    """
    observed, seen = arrays["observed"], arrays.get("seen")
    seen = None if seen is None else seen != 0
    times = np.broadcast_to(arrays["t"], observed.shape[:2])
    noise = coordinate_noise(observed, seen, times) if noise is None else noise
    out = {"pos": np.empty(observed.shape), "noise": np.float64(noise)}
    out |= {} if "vel" in arrays else {"vel": np.empty(observed.shape)}
    at_once = max(1, PLACES // max(1, observed[0, ..., 0].size))
    parts = [slice(low, low + at_once) for low in range(0, len(observed), at_once)]

    def given(part: slice) -> tuple:
        return observed[part], None if seen is None else seen[part], times[part]

    scale = typical(map(given, parts))
    for part in progress(parts, desc="smoothing", unit="part"):
        found = smoothed(*given(part), noise, scale)
        out["pos"][part] = found.pos
        if "vel" in out:
            out["vel"][part] = found.vel
    return out


def noise_in(dataset: Dataset) -> float:
    """Standard deviation of a coordinate of ``observed``."""
    if "noise" in dataset.arrays:
        return float(dataset.noise)
    return coordinate_noise(dataset.observed, dataset.was_seen, dataset.times)


def length_in(dataset: Dataset) -> int:
    """Frames of the dataset's windows."""
    return int(dataset.arrays.get("window", LENGTH))


def windows_of(
    dataset: Dataset,
    trajectories: np.ndarray | None = None,
    length: int | None = None,
    step: int | None = None,
) -> Windows:
    """The windows of these ``trajectories`` (all of them where None), see ``weak_form.windows``, with their noise in
    units of the data. ``length``: that of the dataset (``window``) where None, or ``LENGTH``.

    Left out are windows in which another particle, seen before and after, is at a place that nobody knows, and those in
    which a pair moves by more than ``RESOLVED`` of its distance from one frame to the next: what happens in between is
    not seen (but the better half of all windows is kept).
    """
    known, seen = dataset.there, dataset.was_seen
    found = windows(dataset.observed, seen, known, dataset.times, length or length_in(dataset), trajectories, step)
    since = np.maximum.accumulate(seen, 1)
    until = np.maximum.accumulate(seen[:, ::-1], 1)[:, ::-1]
    if (lost := (since & until & ~known).any(2)).any():
        inside = lost[found.trajectory[:, None], found.frames] & (found.omega != 0)
        found = found.of(~inside.any(1))
    if len(found):
        pace = pace_of_pairs(dataset, np.unique(found.trajectory))
        fastest = np.where(
            found.omega != 0, pace[found.trajectory[:, None], found.frames, found.particle[:, None]], 0.0
        )
        fastest = fastest.max(1)
        found = found.of(fastest <= max(RESOLVED, np.median(fastest)))
    found.noise = found.noise * noise_in(dataset)
    return found


def common_windows(dataset: Dataset, trajectories: np.ndarray) -> Windows:
    """Windows of the dataset's length with the same weights for all particles that are there: of the frames in which
    nobody is missing. What pairs do to each other cancels exactly in their sum. ``noise`` in units of the data.
    """
    frames, length = dataset.pos.shape[1], min(length_in(dataset), dataset.pos.shape[1])
    seen = dataset.was_seen
    present = np.maximum.accumulate(seen, 1) & np.maximum.accumulate(seen[:, ::-1], 1)[:, ::-1]
    common = seen & (seen | ~present).all(2)[..., None]
    found = windows(dataset.observed, common, dataset.there, dataset.times, length, trajectories)
    if not len(found):
        return found
    whose = found.trajectory.astype(np.int64) * frames + found.start
    _, first, group, count = np.unique(whose, return_index=True, return_inverse=True, return_counts=True)
    at = found.start[first][:, None] + np.arange(length)
    expected = present[found.trajectory[first][:, None], at].any(1).sum(1)
    same = np.isclose(found.omega, found.omega[first][group], rtol=0, atol=SAME_WEIGHT).all(1)
    good = (count == expected) & (np.bincount(group, same) == count)
    found = found.of(good[group])
    found.noise = found.noise * noise_in(dataset)
    return found


def pace_of_pairs(dataset: Dataset, trajectories: np.ndarray) -> np.ndarray:
    """By how much a particle and another move against each other from a frame to the next or the one before, over their
    distance: the largest of every particle in every frame [trajectory, frame, particle]; 0 outside ``trajectories``.
    """
    n, frames, box = dataset.n, dataset.pos.shape[1], dataset.arrays.get("box")
    out = np.zeros(dataset.pos.shape[:3])
    some, at_once = max(1, AT_ONCE // (frames * n * n)), max(1, AT_ONCE // n**2)
    for low in range(0, len(trajectories), some):
        which = trajectories[low : low + some]
        pos = dataset.pos[which].astype(float)
        steps = np.nan_to_num(np.diff(pos, axis=1))[..., None, :]
        for first in range(0, frames, at_once):
            part = slice(first, first + at_once)
            r = np.linalg.norm(minimum_image(pos[:, part, :, None] - pos[:, part, None], box), axis=-1)
            r = np.where(np.isfinite(r) & ~np.eye(n, dtype=bool), r, np.inf)
            moved = np.zeros_like(r)
            for shift in (0, 1):  # to the next frame, from the one before
                step = steps[:, max(first - shift, 0) : first - shift + r.shape[1]]
                at = slice(max(shift - first, 0), max(shift - first, 0) + step.shape[1])
                other = np.linalg.norm(step - step.swapaxes(2, 3), axis=-1)
                moved[:, at] = np.maximum(moved[:, at], other)
            with np.errstate(divide="ignore", invalid="ignore"):
                out[which, part] = np.where(r > 0, moved / r, np.inf).max(3)
    return out
