"""Front rows and PySR's ``hall_of_fame.csv``, written by any engine and read without running anything."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import sympy as sp

from distill.files.storage import save_text
from distill.formulas.text import parse
from distill.search.front import Row
from distill.shell.errors import UserError
from distill.shell.paths import relative

COLUMNS = ("Complexity", "Loss", "Equation")
MAX_BYTES, MAX_ROWS = 2_000_000, 1000
MAX_PARTS, MAX_PARAMETERS = 20, 1000  # of a template's row: vectors, numbers in one
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_PART = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*)", re.ASCII | re.DOTALL)
_FLOAT32 = re.compile(r"(?<![\w.])(\d+\.\d+)[fF]([-+]?\d+)(?!\w)", re.ASCII)  # Julia's 1.0f-5


def hall_text(rows: Sequence[Row]) -> str:
    """``rows`` with PySR's columns and quoting."""
    lines = [",".join(COLUMNS)]
    lines += [f'{r.complexity},{r.loss:.8g},"{r.equation}"' for r in rows]
    return "\n".join(lines) + "\n"


def write_hall_of_fame(path, rows: Sequence[Row]) -> None:
    """Write ``hall_text``, whole or not at all."""
    save_text(path, hall_text(rows))


def read_hall_of_fame(path, variables: Sequence[str]) -> list[Row]:
    """Rows of a ``hall_of_fame.csv`` of PySR or of this project, formulas in ``variables``.

    Rows of a template search (``f = #1 * 2.0; p = [0.5, 1.0]``) give the one sub-expression as their formula,
    ``#k`` being the k-th of ``variables``, and the vectors as ``Row.parameters``.
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
        expr, equation, parameters = read_equation(equation, variables)
    except UserError as exc:
        raise UserError(f"{where}: {exc}") from None
    return Row(size, loss, equation, expr, None, parameters)


def read_equation(equation: str, variables: Sequence[str]) -> tuple[sp.Expr, str, dict]:
    """(formula, its text, parameters) of an equation as PySR writes it, that of a template search too (see
    ``read_hall_of_fame``); ``UserError`` for anything else.
    """
    parameters = {}
    if "=" in equation:
        equation, parameters = _template(equation, variables)
    return parse(_FLOAT32.sub(r"\1e\2", equation), variables), equation, parameters


def _template(text, variables) -> tuple[str, dict]:
    """(text of the sub-expression, parameters by name) of a template's row, vectors known by their brackets."""
    parts = text.split(";")
    if len(parts) > MAX_PARTS:
        raise UserError(f"{len(parts)} parts of a template, at most {MAX_PARTS} are read")
    expressions, parameters = {}, {}
    for part in parts:
        found = _PART.fullmatch(part)
        if not found:
            raise UserError(f"{ascii(part[:40])} is no part of a template (expected  name = ...)")
        name, value = found.group(1), found.group(2).strip()
        if name in expressions or name in parameters:
            raise UserError(f"a template's row gives '{name[:40]}' twice")
        if value.startswith("["):
            parameters[name] = _vector(name, value)
        else:
            expressions[name] = value
    if len(expressions) != 1:
        raise UserError(f"{len(expressions)} sub-expressions in a template's row, expected 1")

    def argument(found):
        # blanks, so that x#1 does not become a name of its own
        k = int(found.group(1)[:6])
        if not 1 <= k <= len(variables):
            raise UserError(f"argument #{k} of a template, which has {len(variables)}")
        return f" {variables[k - 1]} "

    body = re.sub(r"#([0-9]+)", argument, next(iter(expressions.values())))
    return " ".join(body.split()), parameters


def _vector(name, text):
    numbers = text[1:-1].split(",") if text.endswith("]") else []
    if not 1 <= len(numbers) <= MAX_PARAMETERS:
        raise UserError(f"parameter '{name[:40]}' of a template is no vector of numbers: {ascii(text[:40])}")
    numbers = [_FLOAT32.sub(r"\1e\2", n) for n in numbers]
    values = [float(n) if _NUMBER.fullmatch(n) else math.nan for n in numbers]
    if not all(math.isfinite(v) for v in values):
        raise UserError(f"parameter '{name[:40]}' of a template holds something else than numbers: {ascii(text[:40])}")
    return values
