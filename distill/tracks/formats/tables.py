"""Long tables, a row a particle and frame: CSV, TSV and other text, and Parquet."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import progress
from distill.tracks import names
from distill.tracks.formats import text
from distill.tracks.rows import Rows
from distill.tracks.tracks import Asked, Tracks


def read_text(paths: Sequence[Path], asked: Asked) -> Tracks:
    """Tables of text; each file is a recording of its own, or several where it has a column for that."""
    rows, sources = Rows(named(paths)), []
    rows.line = partial(_line, sources)
    for path in paths:
        layout = text.layout(path)
        columns = _wanted(layout.columns, asked, relative(path))
        if not layout.header and not asked.columns:
            raise UserError(
                f"{relative(path)} does not name its {len(layout.columns)} columns",
                "say what they are by their number:  --columns t=1 particle=2 x=3 y=4",
            )
        if layout.units:
            rows.lines.append(f"{layout.units} lines of words below the header of {path.name} are passed over")
        recording = path.name if len(paths) > 1 else None
        wide = {} if asked.columns else names.of_wide(columns)
        sources.append((rows.count, layout, len(wide) or 1))
        if wide:
            rows.lines.append(f"columns of {len(wide)} particles beside each other in {path.name}: a row is a frame")
            _add_wide(rows, layout, columns, wide, recording)
            continue
        found = names.of_columns(columns, asked.columns, relative(path))
        _add(rows, text.parts(layout, list(found.values())), found, recording)
    return rows.tracks(asked.cut, asked.dt or 1.0, asked.same_bodies)


def read_parquet(paths: Sequence[Path], asked: Asked) -> Tracks:
    """Parquet, by ``pyarrow``, which is no requirement."""
    parquet = _pyarrow(relative(paths[0]))
    rows = Rows(named(paths))
    for path in paths:
        try:
            file = parquet.ParquetFile(path)
        except Exception as exc:  # pyarrow's own kinds, which are loaded with it
            raise UserError(f"{relative(path)} is no Parquet file ({str(exc)[:80]})", "copy it again") from None
        columns = _wanted(file.schema_arrow.names, asked, relative(path))
        found = names.of_columns(columns, asked.columns, relative(path))
        _add(rows, _batches(file, list(found.values())), found, path.name if len(paths) > 1 else None)
    return rows.tracks(asked.cut, asked.dt or 1.0, asked.same_bodies)


def _pyarrow(where: str):
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{where}: Parquet is read by the package pyarrow", "pip install pyarrow") from None
    return pyarrow.parquet


def _batches(file, columns: list[str]) -> Iterator[dict]:
    for batch in file.iter_batches(batch_size=text.ROWS, columns=columns):
        part = {name: batch.column(batch.schema.names.index(name)) for name in columns}
        yield {name: _array(column) for name, column in part.items()}


def _array(column) -> np.ndarray:
    values = column.to_numpy(zero_copy_only=False)
    return values.astype(np.float64) if values.dtype.kind in "fiub" else values


def _add(rows: Rows, parts: Iterator, found: dict, recording) -> None:
    for part in progress(parts, desc="reading", unit="part"):
        rows.add({ours: part[theirs] for ours, theirs in found.items()}, recording)


def _line(sources: list[tuple[int, text.Layout, int]], row: int) -> str:
    """Where a row is, counted over all files and, where these stand in one line, particles. ``sources``: first row of
    each file, how it is written, and particles in a line.
    """
    start, layout, particles = [s for s in sources if s[0] <= row][-1]
    number = text.line_of_row(layout, (row - start) // particles)
    return f"line {number}" + (f" of {layout.path.name}" if len(sources) > 1 else "")


def _add_wide(rows: Rows, layout: text.Layout, columns: Sequence[str], wide: dict, recording) -> None:
    """Rows of a table that has a row a frame and columns x1, y1, x2, y2, ..."""
    used = [theirs for found in wide.values() for theirs in found.values()]
    keys = {}
    for ours in ("trajectory", "t", "frame"):
        name = next((c for c in columns if c not in used and names.SYNONYMS.get(names.plain(c)) == ours), None)
        keys |= {ours: name} if name else {}
    for part in progress(text.parts(layout, [*keys.values(), *used]), desc="reading", unit="part"):
        count = len(part[used[0]])
        row = {ours: np.repeat(part[theirs], len(wide)) for ours, theirs in keys.items()}
        if not {"t", "frame"} & set(keys):
            row["frame"] = np.repeat(rows.count / len(wide) + np.arange(count), len(wide))
        row["particle"] = np.tile(np.array(list(wide), dtype=object), count)
        for ours in next(iter(wide.values())):
            row[ours] = np.stack([part[found[ours]] for found in wide.values()], 1).ravel()
        rows.add(row, recording)


def _wanted(columns: Sequence[str], asked: Asked, where: str) -> list[str]:
    for name in asked.leave_out:
        if name not in columns:
            raise UserError(f"{where} has no column '{name}' to leave out", f"it has: {', '.join(columns)}")
    return [name for name in columns if name not in asked.leave_out]


def named(paths: Sequence[Path]) -> str:
    """The files as messages call them."""
    return relative(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


READERS = {suffix: read_text for suffix in (".csv", ".tsv", ".txt", ".dat", ".tab", ".asc")}
READERS |= {suffix: read_parquet for suffix in (".parquet", ".pq")}
