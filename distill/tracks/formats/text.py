"""Tables as text: what separates their columns, where the header is, and their numbers a part at a time.

Comments (#, %, //), blank lines, a byte-order mark, decimal commas, lines of units below the header, and files packed
with gzip, bzip2 or xz are read. Nothing is held but one part of ``ROWS`` rows.
"""

import bz2
import gzip
import io
import itertools
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.shell.errors import UserError
from distill.shell.paths import relative

ROWS = 250_000  # read at once
LONGEST = 20_000_000  # characters of a line
LOOK = 200  # lines that are looked at before
PACKED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGE = (EOFError, UnicodeError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)  # what unpacking raises
COMMENT = ("#", "%", "//")
DELIMITERS = ("\t", ";", ",", "|", None)  # None: blanks


@dataclass
class Layout:
    """How a text file is to be read: ``columns`` by name; ``skip``: lines before the first row of numbers."""

    path: Path
    encoding: str
    delimiter: str | None
    decimal: str
    columns: list[str]
    skip: int
    header: bool  # whether the file names its columns
    units: int = 0  # lines of words below the header


def opened(path: Path, encoding: str = "utf-8-sig") -> io.TextIOBase:
    opener = PACKED.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding=encoding, newline=None)


def lines_of(file: io.TextIOBase, path: Path) -> Iterator[str]:
    """The lines of an open file; ``UserError`` for one that no table has, as in a small file that unpacks to much."""
    while line := file.readline(LONGEST):
        if len(line) == LONGEST:
            raise UserError(f"{relative(path)} has a line of more than {LONGEST:,} characters", "it is no table")
        yield line


def _head(path: Path) -> tuple[list[str], str]:
    """The first lines, and the encoding they are in; ``UserError`` for what is no text."""
    for encoding in ("utf-8-sig", "utf-16", "latin-1"):
        try:
            with opened(path, encoding) as file:
                lines = list(itertools.islice(lines_of(file, path), LOOK))
        except UnicodeError:
            continue
        except (EOFError, lzma.LZMAError, zlib.error) as exc:
            raise _damaged(path, exc) from None
        except OSError as exc:
            if path.suffix.lower() not in PACKED or exc.errno:
                raise
            raise _damaged(path, exc) from None
        if not any("\0" in line for line in lines):
            return [line.rstrip("\r\n") for line in lines], encoding
    raise UserError(
        f"{relative(path)} is no table of text", "export it as CSV, or name what it is: see docs/own_data.md"
    )


def _split(line: str, delimiter: str | None) -> list[str]:
    parts = line.split() if delimiter is None else line.split(delimiter)
    return [part.strip().strip('"').strip("'").strip() for part in parts]


def is_number(text: str, decimal: str = ".") -> bool:
    try:
        float(text.replace(decimal, ".") if decimal != "." else text)
    except ValueError:
        return text == ""
    return True


def _comment(line: str) -> bool:
    return line.lstrip().startswith(COMMENT)


def layout(path: Path, delimiter: str | None = None) -> Layout:
    """Find out how the table at ``path`` is written; ``UserError`` where it has no rows of several columns."""
    lines, encoding = _head(path)
    body = [(k, line) for k, line in enumerate(lines) if line.strip() and not _comment(line)]
    if not body:
        raise UserError(
            f"{relative(path)} holds no rows", "expected a table with a header and a row a particle and frame"
        )
    if body[0][1].lower().startswith("sep="):  # as Excel says it
        delimiter, body = delimiter or body[0][1][4:5], body[1:]
    delimiter = _delimiter([line for _, line in body], path) if delimiter is None else delimiter
    decimal = "."
    sample = [_split(line, delimiter) for _, line in body[1:]] or [_split(body[0][1], delimiter)]
    if delimiter != ",":
        words = [w for row in sample for w in row if not is_number(w)]
        decimal = "," if words and sum(is_number(w, ",") for w in words) > len(words) / 2 else "."
    first = _split(body[0][1], delimiter)
    numbers = sum(is_number(w, decimal) for w in first)
    before = [line for line in lines[: body[0][0]] if _comment(line)]
    if numbers < len(first) / 2 and not all(is_number(w, decimal) for w in first[:3]):
        skip, units = body[0][0] + 1, 0
        for k, line in body[1:6]:  # lines of units, as TrackMate writes them
            row = _split(line, delimiter)
            if any(is_number(w, decimal) and w for w in row):
                break
            skip, units = k + 1, units + 1
        return Layout(path, encoding, delimiter, decimal, _fitting(first, sample[units:], path), skip, True, units)
    names = _split(before[-1].lstrip("#%/ "), delimiter) if before else []
    if len(names) == len(first) and not all(is_number(w) for w in names):
        return Layout(path, encoding, delimiter, decimal, _unique(names), body[0][0], True)
    return Layout(path, encoding, delimiter, decimal, [str(k + 1) for k in range(len(first))], body[0][0], False)


def _delimiter(lines: Sequence[str], path: Path) -> str | None:
    """The one that parts all lines into the same number of columns, as many as possible."""
    best, most = None, 1
    for one in DELIMITERS:
        counts = [len(_split(line, one)) for line in lines[:50]]
        common = max(set(counts), key=counts.count)
        if common > most and counts.count(common) >= 0.8 * len(counts):
            best, most = one, common
            if one is not None and one != ",":
                break  # a decimal comma parts columns too
    if most < 3:
        found = f"{relative(path)}: its lines have {most} column{'s' * (most > 1)}: {lines[0][:60]!r}"
        raise UserError(found, "expected a table with columns like  trajectory,frame,particle,x,y")
    return best


def _fitting(header: list[str], rows: list[list[str]], path: Path) -> list[str]:
    """The names of the header for rows that may end in a delimiter; ``UserError`` if their numbers differ."""
    wide = [len(row) for row in rows] or [len(header)]
    usual = max(set(wide), key=wide.count)
    if usual == len(header) + 1 and not any(row[-1] for row in rows if len(row) == usual):
        header = [*header, ""]
    if usual != len(header):
        found = f"{relative(path)}: the header has {len(header)} names, the rows have {usual} columns"
        raise UserError(found, "give every column a name")
    return _unique(header)


def _unique(names: list[str]) -> list[str]:
    out = []
    for name in (n or "unnamed" for n in names):
        out.append(name if name not in out else f"{name}.{sum(o.split('.')[0] == name for o in out)}")
    return out


def parts(found: Layout, columns: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """The ``columns`` of the table, ``ROWS`` rows at a time: numbers as float64, NaN where a cell is empty, or
    objects where a column holds words. ``UserError`` with the line for a row that has too many columns.
    """
    import pandas

    where = relative(found.path)
    places = [found.columns.index(name) for name in columns]
    try:
        with opened(found.path, found.encoding) as file:
            for _ in range(found.skip):
                next(file)
            reader = pandas.read_csv(
                _Uncommented(file, found.path),
                sep=found.delimiter or r"\s+",
                decimal=found.decimal,
                header=None,
                names=range(len(found.columns)),
                chunksize=ROWS,
                skipinitialspace=True,
                **_exact(pandas.__version__),
            )
            for part in reader:  # all columns are parsed: a row of too many would pass unseen if some were not
                yield {name: _numbers(part[k]) for name, k in zip(columns, places, strict=True)}
    except pandas.errors.ParserError as exc:
        text = str(exc)
        if at := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", text):
            number = line_of_row(found, int(at[2]) - 1)
            raise UserError(
                f"{where}, line {number}: {at[3]} columns where the header has {at[1]}", "mend that line, or quote it"
            ) from None
        raise UserError(
            f"{where} cannot be read as a table ({text.splitlines()[0][:90]})", "export it as CSV"
        ) from None
    except DAMAGE as exc:
        raise _damaged(found.path, exc) from None


def _damaged(path: Path, why: Exception) -> UserError:
    return UserError(f"{relative(path)} is damaged or cut off ({str(why)[:80]})", "copy it again")


def _exact(version: str) -> dict:
    """Options of pandas by which numbers are read as Python reads them; from version 3 on there is no other way."""
    return {} if int(version.split(".")[0]) >= 3 else {"float_precision": "round_trip"}


class _Uncommented(io.TextIOBase):
    """A text file without the lines that are comments."""

    def __init__(self, file, path: Path):
        self.file, self.lines = file, lines_of(file, path)

    def readable(self):
        return True

    def __iter__(self):
        return self

    def __next__(self):
        for line in self.lines:
            if not line.lstrip().startswith(COMMENT):
                return line
        raise StopIteration

    def read(self, size: int = -1) -> str:
        block = self.file.read(size)
        if size >= 0 and block and not block.endswith("\n"):
            block += next(self.lines, "")
        if any(mark in block for mark in COMMENT):
            lines = block.splitlines(keepends=True)
            block = "".join(line for line in lines if not line.lstrip().startswith(COMMENT)) or ("\n" if block else "")
        return block


def _numbers(column) -> np.ndarray:
    if column.dtype.kind in "fiub":
        return column.to_numpy(dtype=np.float64)
    return column.to_numpy(dtype=object)


def line_of_row(found: Layout, row: int) -> int:
    """The number in the file, from 1, of the line with row ``row`` (from 0) of the table."""
    with opened(found.path, found.encoding) as file:
        at = -1
        for number, line in enumerate(file, 1):
            if number > found.skip and line.strip() and not _comment(line):
                at += 1
                if at == row:
                    return number
    return number
