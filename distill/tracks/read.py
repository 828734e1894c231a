"""Which reader is for which file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill.files.properties import MOST_LEVELS
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.tracks.formats import arrays, atoms, gamd, tables
from distill.tracks.tracks import Asked, Tracks

READERS = tables.READERS | arrays.READERS | atoms.READERS
NO = {
    ".xlsx": "a spreadsheet: export it as CSV",
    ".xls": "a spreadsheet: export it as CSV",
    ".ods": "a spreadsheet: export it as CSV",
    ".mat": "of MATLAB: save it with -v7.3 and rename it .h5, or write a CSV with writetable",
    ".pkl": "a pickle, which may run anything: write a CSV or .npz",
    ".pickle": "a pickle, which may run anything: write a CSV or .npz",
    ".pt": "of PyTorch, a pickle, which may run anything: write a CSV or .npz",
    ".pth": "of PyTorch, a pickle, which may run anything: write a CSV or .npz",
    ".mp4": "a film: track its particles first (trackpy, TrackMate, ...) and give their table",
    ".avi": "a film: track its particles first (trackpy, TrackMate, ...) and give their table",
    ".tif": "an image: track its particles first (trackpy, TrackMate, ...) and give their table",
}


def kind_of(path: Path) -> str:
    """The suffix that says what the file is, packed or not."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".xz"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read(paths: Sequence[Path], asked: Asked) -> Tracks:
    """The tracks in ``paths``, files of one kind; ``UserError`` for what cannot be read."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{relative(path)} does not exist")
        if path.is_dir() and gamd.frames_in(path):
            return gamd.read_folder(path, asked)
        if path.is_dir():
            raise UserError(f"{relative(path)} is a folder", "name its files, as in  folder/*.csv")
        if path.stat().st_size == 0:
            raise UserError(f"{relative(path)} is empty", "copy it again")
    kinds = {kind_of(path) for path in paths}
    if len(kinds) > 1:
        raise UserError(f"files of different kinds were given: {', '.join(sorted(kinds))}", "import them one by one")
    kind = kinds.pop()
    if kind in NO:
        raise UserError(f"{relative(paths[0])} is {NO[kind].partition(': ')[0]}", NO[kind].partition(": ")[2])
    found = READERS.get(kind, tables.read_text)(paths, asked)
    for name in asked.categories:
        _taken_as_category(found, name, relative(paths[0]))
    return found


def _taken_as_category(tracks: Tracks, name: str, where: str) -> None:
    """The property ``name`` with its different numbers as levels of a category; ``UserError`` where there is none, or
    where these are no names: numbers that are not whole, or too many.
    """
    if name in tracks.categories:
        return
    if (values := tracks.properties.get(name)) is None:
        there = ", ".join(sorted(tracks.properties)) or "none"
        raise UserError(f"{where} has no property '{name}' to take as a category", f"its properties: {there}")
    known = np.unique(values[np.isfinite(values)])
    if len(known) > MOST_LEVELS or (known != np.round(known)).any():
        told = f"{len(known)} different numbers" if len(known) > MOST_LEVELS else f"{known[known % 1 != 0][0]:g}"
        found = f"{where}: '{name}' holds {told}, and a category has at most {MOST_LEVELS} whole numbers"
        raise UserError(found, "leave it out of --categories: it is then a number that forces may depend on")
    tracks.properties[name] = np.where(np.isfinite(values), np.searchsorted(known, values), np.nan)
    tracks.categories[name] = [f"{v:.0f}" for v in known]


def files_read(paths: Sequence[Path]) -> list[Path]:
    """All files that ``read`` opens for ``paths``; none that is not there."""
    paths = [p for path in paths for p in ([f for *_, f in gamd.frames_in(path)] if path.is_dir() else [path])]
    if not paths:
        return []
    return arrays.companions(paths) if kind_of(paths[0]) == ".npy" else list(paths)
