"""Front rows and PySR's ``hall_of_fame.csv``, written by any engine and read without running anything."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sympy as sp

from distill.cli import UserError, relative
from distill.expressions import parse
from distill.formats import save_text

COLUMNS = ("Complexity", "Loss", "Equation")
MAX_BYTES, MAX_ROWS = 2_000_000, 1000


@dataclass
class Row:
    """One formula of a front; ``loss`` on all rows, ``held_out`` on rows no fit has seen (None: unknown)."""

    complexity: int
    loss: float
    equation: str
    expr: sp.Expr
    held_out: float | None = None


def write_hall_of_fame(path, rows: Sequence[Row]) -> None:
    """Write ``rows`` with PySR's columns and quoting, whole or not at all."""
    lines = [",".join(COLUMNS)]
    lines += [f'{r.complexity},{r.loss:.8g},"{r.equation}"' for r in rows]
    save_text(path, "\n".join(lines) + "\n")


def read_hall_of_fame(path, variables: Sequence[str]) -> list[Row]:
    """Rows of a ``hall_of_fame.csv`` of PySR or of this project, formulas in ``variables``.

    Raises ``UserError`` naming file and row for anything that is not such a file. Nothing in it is executed.
    """
    path = Path(path)
    where = relative(path)
    if not path.is_file():
        raise UserError(f"{where} does not exist")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{where} is {path.stat().st_size} bytes long, too large for a hall of fame")
    try:
        table = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as exc:
        raise UserError(f"{where} is damaged or not a CSV file ({exc})") from None
    table = [r for r in table if r]
    if not table or any(c not in table[0] for c in COLUMNS):
        found = ", ".join(ascii(c[:20]) for c in table[0][:6]) if table else "nothing"
        raise UserError(f"{where} is not a hall of fame: columns {', '.join(COLUMNS)} expected, found {found}")
    if not 1 < len(table) <= MAX_ROWS + 1:
        raise UserError(f"{where} holds {len(table) - 1} formulas, expected 1 to {MAX_ROWS}")
    at = [table[0].index(c) for c in COLUMNS]
    return [_row(line, at, variables, f"{where}, row {k}") for k, line in enumerate(table[1:], start=2)]


def _row(line, at, variables, where):
    if len(line) <= max(at):
        raise UserError(f"{where}: {len(line)} columns, expected {max(at) + 1} (half-written?)")
    size, loss, equation = (line[i].strip() for i in at)
    try:
        size, loss = int(size), float(loss)
    except ValueError:
        raise UserError(f"{where}: complexity {ascii(size[:20])} or loss {ascii(loss[:20])} is no number") from None
    if size < 1 or math.isnan(loss):
        raise UserError(f"{where}: complexity {size} and loss {loss} make no sense")
    try:
        return Row(size, loss, equation, parse(equation, variables))
    except UserError as exc:
        raise UserError(f"{where}: {exc}") from None
