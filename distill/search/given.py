"""Formulas that a file gives in place of a search: a front that PySR or anybody else wrote, in whatever dialect.

To the rest it is an engine like another: what it "finds" is refitted, scored on rows held out, and chosen from.
"""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import sympy as sp

from distill.formulas.text import parse, symbols_for, to_text
from distill.formulas.tree import canonical, complexity
from distill.search.engine import Engine, SearchOptions
from distill.search.front import Row
from distill.search.hall_of_fame import MAX_BYTES, MAX_ROWS, read_equation
from distill.shell.errors import UserError, near_miss
from distill.shell.paths import relative
from distill.shell.stage import warn

NAME = "file"  # of the engine, in law.json
HEADERS = {"complexity": ("complexity",), "loss": ("loss", "mse"), "equation": ("equation",)}  # in lower case
SEPARATORS = ",|;\t"
SHOWN_ROWS, SHOWN_REASONS = 4, 3  # in a warning
_UNREAD = re.compile(r"cannot read the formula .*?: (?=[a-z'#0-9])")  # what follows is the reason
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def read_front(path, variables: Sequence[str], names: Sequence[str] = (), most: int | None = None) -> list[Row]:
    """The formulas of ``path`` in ``variables``, those of at most ``most`` nodes; a warning counts what is left out.

    Read are PySR's hall_of_fame.csv, or the folder it lies in, since version 0.3 (``|`` for a comma, MSE for Loss,
    plus, mult, sub, div by name), ``model.equations_.to_csv``, and any table with a column "Equation". ``names``: what
    the file's own names are, ``x0=r``, or in order what its x0, x1, ... are, ``r``, ``m_i``. Losses of the file are not
    used. ``UserError`` where there is no such file, or no formula in it can be read. Nothing in it is executed.
    """
    path = _file(Path(path))
    where, meant = relative(path), mapping(names, variables)
    lines, columns = _table(path)
    rows, left_out = [], {}
    for number, line in enumerate(lines, start=2):
        try:
            rows.append(_row(line, columns, variables, meant, most))
        except UserError as exc:
            left_out.setdefault(_UNREAD.sub("", exc.message), []).append(number)
    if not any(row.expr.free_symbols for row in rows):
        why = _reasons(left_out) or "they are constants"
        fix = f"formulas may use {', '.join(variables)}; if the file has other names, add  --names x0=r x1=m_i ..."
        raise UserError(f"none of the {len(lines)} formulas in {where} can be used: {why}", fix)
    if left_out:
        count = len(lines) - len(rows)
        warn(f"{where}: {count} of {len(lines)} formulas left out: {_reasons(left_out)}")
    return rows


def mapping(names: Sequence[str], variables: Sequence[str]) -> dict[str, str]:
    """Name in the file -> variable here, from ``--names``."""
    out = {}
    for k, given in enumerate(names):
        theirs, equals, ours = given.partition("=")
        theirs, ours = (theirs, ours) if equals else (f"x{k}", theirs)
        if not _IDENTIFIER.fullmatch(theirs) or theirs in out:
            raise UserError(f"--names: {given[:40]!a} is no new name", "as in  --names x0=r x1=m_i, or  --names r m_i")
        if ours not in variables:
            known = f"known: {', '.join(variables)}"
            raise UserError(f"--names: there is no variable {ours[:40]!a} here{near_miss(ours, variables)}", known)
        out[theirs] = ours
    return out


def with_values(rows: Sequence[Row], values: Mapping[str, float]) -> tuple[str, ...]:
    """The formulas of ``rows`` as text, with ``values`` in place of variables that are the same everywhere."""
    known = dict(zip(symbols_for(list(values)), (_number(v) for v in values.values()), strict=True))
    changed = [row.expr.xreplace(known) for row in rows]
    return tuple(to_text(e, 17) for e in changed if not e.has(sp.zoo, sp.nan, sp.oo, -sp.oo, sp.I))


def find(X, y, names: Sequence[str], options: SearchOptions) -> tuple[list[sp.Expr], dict]:
    """``options.formulas``, as an engine gives what it has found; ``X`` and ``y`` play no part."""
    return [parse(text, names) for text in options.formulas], {"given": len(options.formulas)}


def _number(value: float):
    return sp.Integer(int(value)) if float(value).is_integer() and abs(value) < 1e6 else sp.Float(float(value))


def _file(path: Path) -> Path:
    """The csv itself where a run of PySR is given by its folder."""
    if path.is_dir():
        found = sorted(path.glob("hall_of_fame*.csv"))
        if len(found) != 1:
            said = ", ".join(p.name for p in found) or "no hall_of_fame.csv"
            raise UserError(f"{relative(path)} holds {said}", "give one file with formulas")
        path = found[0]
    if not path.is_file():
        others = [p.name for p in path.parent.glob("*.csv*")] if path.parent.is_dir() else []
        raise UserError(
            f"{relative(path)} does not exist{near_miss(path.name, others)}", "give PySR's hall_of_fame.csv"
        )
    if path.suffix in (".pkl", ".pickle"):
        fix = "give the hall_of_fame.csv that lies beside it, or write one:  model.equations_.to_csv('front.csv')"
        raise UserError(f"{relative(path)} is a pickle, which can run anything when it is read", fix)
    return path


def _table(path: Path) -> tuple[list[list[str]], dict[str, int]]:
    """(rows below the header, number of each column of ``HEADERS`` that is there)."""
    where, fix = relative(path), "give PySR's hall_of_fame.csv, or a table with a column Equation"
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{where} is {path.stat().st_size} bytes long, too large for a hall of fame", fix)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{where} is no text file", fix) from None
    head, _, _ = text.lstrip("\r\n").partition("\n")
    separator = max(SEPARATORS, key=head.count)
    try:
        table = [line for line in csv.reader(io.StringIO(text), delimiter=separator) if any(c.strip() for c in line)]
    except csv.Error as exc:
        raise UserError(f"{where} is damaged or not a CSV file ({exc})", fix) from None
    header = [cell.strip().lower() for cell in table[0]] if table else []
    columns = {k: header.index(s) for k, spelt in HEADERS.items() for s in spelt if s in header}
    if "equation" not in columns:
        found = ", ".join(ascii(c[:20]) for c in table[0][:6]) if table else "nothing"
        raise UserError(f"{where} has no column Equation in its first line: found {found}", fix)
    if not 1 < len(table) <= MAX_ROWS + 1:
        raise UserError(f"{where} holds {len(table) - 1} formulas, expected 1 to {MAX_ROWS}", fix)
    if columns["equation"] == len(header) - 1:  # a formula that was not quoted may hold the separator
        table = [[*line[: len(header) - 1], separator.join(line[len(header) - 1 :])] for line in table]
    return table[1:], columns


def _row(line, columns, variables, meant: Mapping[str, str], most: int | None) -> Row:
    if len(line) <= max(columns.values()):
        raise UserError(f"{len(line)} columns, expected {max(columns.values()) + 1} (half-written?)")
    cell = {name: line[at].strip() for name, at in columns.items()}
    try:
        loss = float(cell.get("loss") or 0)
    except ValueError:
        raise UserError(f"loss {cell['loss'][:20]!a} is no number") from None
    if math.isnan(loss):
        raise UserError("its loss is NaN")
    if not meant and re.search(r"#\d", cell["equation"]):
        raise UserError("#1 stands for an argument: --names has to say for which")
    known = [*meant, *(v for v in variables if v not in meant)]
    expr, text, parameters = read_equation(cell["equation"], known)
    if meant:
        ours = [meant.get(name, name) for name in known]
        expr = expr.xreplace(dict(zip(symbols_for(known), symbols_for(ours), strict=True)))
        text = to_text(expr)
    size = complexity(canonical(expr))
    if most is not None and size > most:
        raise UserError(f"more than {most} nodes (--max-complexity)")
    return Row(size, loss, text, expr, None, parameters)


def _reasons(left_out: Mapping[str, list[int]]) -> str:
    """What was wrong in which rows, the most frequent first."""

    def told(reason, rows):
        some = ", ".join(map(str, rows[:SHOWN_ROWS])) + (", ..." if len(rows) > SHOWN_ROWS else "")
        return f"row{'s' * (len(rows) > 1)} {some}: {reason}"

    ordered = sorted(left_out.items(), key=lambda one: -len(one[1]))
    more = len(ordered) - SHOWN_REASONS
    return "; ".join(told(*one) for one in ordered[:SHOWN_REASONS]) + (f"; and {more} more" if more > 0 else "")


ENGINE = Engine(
    name=NAME,
    title="formulas of a file",
    remedy="",
    operators=(),
    problem=str,
    find=find,
)
