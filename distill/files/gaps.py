"""Particles that are not always there: what the arrays of a dataset may leave out, and where."""

from collections.abc import Iterator

import numpy as np

from distill.shell.errors import UserError
from distill.shell.stage import warn

GAPPY = ("pos", "vel", "acc", "observed", "target")
SLIP = 100.0  # times a particle's usual step, there and back in one frame: a slip
TOLD = 3  # bad frames that are named
MOST_BAD = 0.2  # of the frames: more are no slips
NUMBERS_AT_ONCE = 1 << 21  # of positions that are looked through together: on the way there are several copies of them


def check_gaps(arrays: dict, where: str) -> None:
    """``UserError`` for a NaN in ``GAPPY`` where a particle was seen, for a place of which a part is missing, and for
    ``window`` or times that no windows can be made of.

    A particle that was not seen (``seen`` 0) has NaN in ``observed``, ``vel`` and ``acc`` or what was derived; in
    ``pos`` it has NaN where it is not there at all, and a place that was filled in where it is.
    """
    pos, seen = arrays["pos"], arrays.get("seen")
    for name in GAPPY:
        if name not in arrays or not (gone := np.isnan(arrays[name])).any():
            continue
        gone = gone[..., None] if gone.ndim < pos.ndim else gone  # a number has one component
        wrong = gone.any(-1) if seen is None else gone.any(-1) & (seen != 0)
        if wrong.any():
            found = f"{where}: '{name}' holds {int(gone.sum())} NaN or infinite values, the first at {place(wrong)}"
            raise UserError(found, f"to leave out what is bad:  python import_tracks.py {where}")
        if (part := gone.any(-1) & ~gone.all(-1)).any():
            raise UserError(f"{where}: '{name}' at {place(part)} is NaN in some components only")
    there = np.isfinite(pos[..., 0])
    if (few := there.sum(2).max(1) < 2).any():
        raise UserError(f"{where}: trajectory {int(np.flatnonzero(few)[0])} has no frame with two particles")
    if "observed" in arrays and "t" in arrays and not (np.diff(arrays["t"], axis=-1) > 0).all():
        raise UserError(f"{where}: 't' does not increase from frame to frame")
    if "window" in arrays and arrays["window"] < 1:
        raise UserError(f"{where}: 'window' is {int(arrays['window'])}, expected a number of frames")


def leave_out_bad_frames(arrays: dict, where: str) -> None:
    """Frames in which two particles are at the same place, one jumps far away and back, or a number is missing of one
    that is not said to be missing (``seen``), become frames without particles: NaN in all ``GAPPY``. One line says
    which. Nothing is done where frames have no accelerations of their own: windows deal with gaps, and see slips as
    noise. ``check_gaps`` refuses where so much is missing that it is no slip; of so many at the same place one line is
    said, and they stay.
    """
    pos, acc = arrays["pos"], arrays.get("acc")
    if acc is None or pos.shape[2] < 2:
        return
    looks = {"numbers are missing": _missing, "the same place": _together, "a jump": _jumps}
    found = {what: np.concatenate([look(block) for block in _blocks(arrays)]) for what, look in looks.items()}
    bad = np.zeros(pos.shape[:2], dtype=bool)
    told = []
    for what, particles in found.items():
        frames = particles.any(-1) & ~bad
        bad |= frames
        for k, frame in np.argwhere(frames):
            who = " and ".join(map(str, np.flatnonzero(particles[k, frame])[:4]))
            told.append(f"{what} (trajectory {k}, frame {frame}, particles {who})")
    if not bad.any():
        return
    if bad.mean() > MOST_BAD or bad.all(1).any():
        if (same := found["the same place"]).any():
            many = f"in {int(same.any(-1).sum())} of {bad.size} frames particles are at the same place"
            warn(f"{where}: {many}, the first {place(same)}; they stay in, and law and network see no direction there")
        return
    more = f", and {len(told) - TOLD} more" if len(told) > TOLD else ""
    warn(f"{where}: {len(told)} of {bad.size} frames are left out: {'; '.join(told[:TOLD])}{more}")
    for name in GAPPY:
        if name in arrays:
            shape = bad.shape + (1,) * (arrays[name].ndim - 2)
            arrays[name] = np.where(bad.reshape(shape), np.nan, arrays[name])
    seen = arrays.get("seen", np.ones(pos.shape[:3], dtype=np.int8))
    arrays["seen"] = np.where(bad[..., None], 0, seen).astype(seen.dtype)


def _blocks(arrays: dict) -> Iterator[dict]:
    """The arrays that tell where particles are, of some trajectories at a time."""
    whole = {name: arrays[name] for name in ("box",) if name in arrays}
    of_each = {name: arrays[name] for name in ("pos", "vel", "acc", "seen") if name in arrays}
    size = max(1, NUMBERS_AT_ONCE // arrays["pos"][0].size)
    for start in range(0, len(arrays["pos"]), size):
        yield whole | {name: values[start : start + size] for name, values in of_each.items()}


def _missing(arrays: dict) -> np.ndarray:
    """Particles [trajectory, frame, particle] that should have numbers and lack some."""
    seen = arrays.get("seen")
    gone = np.zeros(arrays["pos"].shape[:3], dtype=bool)
    for name in ("pos", "vel", "acc"):
        if name in arrays:
            gone |= ~np.isfinite(arrays[name]).all(-1)
    return gone if seen is None else gone & (seen != 0)


def _together(arrays: dict) -> np.ndarray:
    """Particles [trajectory, frame, particle] that are where another one is."""
    pos = arrays["pos"]
    order = np.lexsort(np.moveaxis(pos, -1, 0)[::-1], axis=-1)
    place = np.take_along_axis(pos, order[..., None], 2)
    same = (place[:, :, 1:] == place[:, :, :-1]).all(-1)
    both = np.zeros(pos.shape[:3], dtype=bool)
    both[:, :, 1:] |= same
    both[:, :, :-1] |= same
    out = np.empty_like(both)
    np.put_along_axis(out, order, both, 2)
    return out


def _jumps(arrays: dict) -> np.ndarray:
    """Particles [trajectory, frame, particle] that are far from where they are in the frame before and after."""
    pos = arrays["pos"]
    out = np.zeros(pos.shape[:3], dtype=bool)
    if pos.shape[1] < 7 or "box" in arrays:
        return out
    with np.errstate(all="ignore"):
        step = np.linalg.norm(np.diff(pos, axis=1), axis=-1)
        across = np.linalg.norm(pos[:, 2:] - pos[:, :-2], axis=-1)
        usual = np.median(np.nan_to_num(step), axis=1, keepdims=True)
        out[:, 1:-1] = np.minimum(step[:, 1:], step[:, :-1]) > SLIP * (usual + across)
    return out


def place(mask: np.ndarray) -> str:
    """The first entry of ``mask`` [trajectory, frame, particle] in words."""
    return "trajectory {}, frame {}, particle {}".format(*np.argwhere(mask)[0])
