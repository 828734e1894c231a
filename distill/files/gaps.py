"""Particles that are not always there: what the arrays of a dataset may leave out, and where."""

import numpy as np

from distill.shell.errors import UserError

GAPPY = ("pos", "vel", "acc", "observed")


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


def place(mask: np.ndarray) -> str:
    """The first entry of ``mask`` [trajectory, frame, particle] in words."""
    return "trajectory {}, frame {}, particle {}".format(*np.argwhere(mask)[0])
