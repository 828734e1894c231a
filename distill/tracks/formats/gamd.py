"""Folders of frames as GAMD writes them, ``data_{seed}_{frame}.npz`` with pos, vel and forces, frames missing or not.

A seed is a recording. Units are those of ``distill.fluid.gamd``: A, and velocities in m/s, which become A/ps. Numbers
of frames need not be consecutive nor the same for all seeds.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill.files.arrays import DAMAGE, arrays_of
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.tracks.rows import Rows
from distill.tracks.tracks import Asked, Tracks

NAME = re.compile(r"data_(\d+)_(\d+)\.npz")
METRES_PER_SECOND = 0.01  # in A/ps
SPACING = 0.1  # ps


def frames_in(folder: Path) -> list[tuple[int, int, Path]]:
    """(seed, frame, file) of the files with such a name, in order."""
    found = [(int(m[1]), int(m[2]), p) for p in folder.iterdir() if (m := NAME.fullmatch(p.name))]
    return sorted(found)


def read_folder(folder: Path, asked: Asked) -> Tracks:
    """The frames in ``folder``, positions as they are: wrapped, so that ``asked.box`` has to say into what."""
    files = frames_in(folder)
    if asked.box is None:
        raise UserError(
            f"{relative(folder)} holds frames of GAMD, whose positions are wrapped into a box that they do not name",
            "give its side:  --box 27.27",
        )
    rows = Rows(relative(folder))
    for seed, frame, path in files:
        pos, vel, force = _frame(path)
        columns = {"particle": np.arange(len(pos)), "frame": np.full(len(pos), float(frame))}
        columns["trajectory"] = np.full(len(pos), float(seed))
        for letter, value in (("", pos), ("v", METRES_PER_SECOND * vel), ("f", force)):
            columns |= {letter + axis: value[:, d] for d, axis in enumerate("xyz")}
        rows.add(columns)
    numbers: dict[int, set] = {}
    for seed, frame, _ in files:
        numbers.setdefault(seed, set()).add(frame)
    most = max(map(len, numbers.values()))
    if fewer := [seed for seed, those in numbers.items() if len(those) < most]:
        some = ", ".join(map(str, fewer[:5])) + (" ..." if len(fewer) > 5 else "")
        rows.lines.append(f"seeds {some} have fewer frames than the {most} of others")
    rows.lines.append("velocities of m/s are taken as A/ps, frames as 0.1 ps apart unless --dt says otherwise")
    return rows.tracks(asked.cut, asked.dt or SPACING, asked.same_bodies)


def _frame(path: Path) -> Sequence[np.ndarray]:
    try:
        arrays = [a.astype(float) for a in arrays_of(path, ("pos", "vel", "forces")).values()]
    except DAMAGE as exc:
        raise UserError(
            f"{relative(path)} is damaged or lacks pos, vel or forces ({str(exc)[:60]})", "copy it again"
        ) from None
    if any(a.shape != arrays[0].shape or a.ndim != 2 or a.shape[1] != 3 for a in arrays):
        raise UserError(f"{relative(path)}: shapes {[a.shape for a in arrays]}, expected [particle, 3] three times")
    return arrays
