"""A dataset as a long table, which ``import_tracks.py`` reads again."""

from typing import TextIO

import numpy as np

from distill.tracks.names import AXES, VECTORS
from distill.tracks.tracks import Tracks


def write_csv(tracks: Tracks, file: TextIO) -> int:
    """Every particle of every frame that was seen, a row each, with all digits; returns the number of rows."""
    dim, names = tracks.size[3], list(tracks.properties)
    vectors = {k: v for k, v in tracks.vectors().items() if v is not None}
    columns = ["trajectory", "t", "particle", *(VECTORS[k] + a for k in vectors for a in AXES[:dim]), *names]
    file.write(",".join(columns) + "\n")
    seen, times, rows = tracks.seen, tracks.times, 0
    for k in range(tracks.size[0]):
        f, i = np.nonzero(seen[k])
        parts = [np.full(len(f), k), times[k, f], i, *(v[k, f, i, d] for v in vectors.values() for d in range(dim))]
        parts += [_as_told(tracks, name)[k, i] for name in names]
        for row in zip(*(p.tolist() for p in parts), strict=True):
            file.write(",".join(v if isinstance(v, str) else repr(v) for v in row) + "\n")
        rows += len(f)
    return rows


def _as_told(tracks: Tracks, name: str) -> np.ndarray:
    """A property [trajectory, particle]; of a category the names of the levels."""
    values = tracks.properties[name]
    return np.array(tracks.categories[name])[values.astype(int)] if name in tracks.categories else values
