"""What an interrupted PySR search leaves behind, for the next call with the same arguments and data.

PySR writes ``hall_of_fame.csv`` and then its ``.bak`` after every iteration. ``search.json`` beside them says
whose they are; ``earlier.csv`` keeps the rows of interrupted searches while the next one runs. A search that
ended starts anew when it is asked for again, so that seeded results repeat (one that was interrupted cannot).
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from distill.files.provenance import sha256
from distill.files.storage import load_json, plain, save_json
from distill.search.choice import pareto
from distill.search.front import Row
from distill.search.hall_of_fame import read_hall_of_fame, write_hall_of_fame
from distill.search.pysr.julia import pysr_version
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn

STATE, EARLIER, HALL = "search.json", "earlier.csv", "hall_of_fame.csv"
MAX_EARLIER = 300  # rows kept whether or not simpler ones are as good
NO_MATTER = ("verbosity", "progress", "input_stream", "output_directory", "run_id", "expression_spec", "guesses")


def identity(options: dict, names, arrays, **more) -> dict:
    """What makes two searches the same: regressor options, versions, names and the sha256 of the ``arrays``."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            array = np.ascontiguousarray(array, dtype=float)
            digest.update(f"{array.shape}".encode() + array.tobytes())
    kept = {k: v for k, v in options.items() if k not in NO_MATTER}
    content = {"pysr": pysr_version(), "options": kept, "names": list(names), "data": digest.hexdigest(), **more}
    return json.loads(json.dumps(plain(content)))


def begin(folder: Path, who: dict, names, read: Callable[[], list[Row]], resume: bool = True) -> list[Row]:
    """Rows that an interrupted search ``who`` left in ``folder`` (else none), which is then ready for a new one.

    ``read`` returns the rows of the hall of fame, or raises ``UserError``; formulas are in ``names``. Damaged
    files are told in a warning and not used. At no moment do valid rows exist only in memory, or lie beside a
    ``search.json`` that is not theirs. ``UserError`` where the hall of fame there is none of ours: without
    ``resume`` it is replaced.
    """
    rows = []
    if resume:
        _refuse_foreign(folder)
    if resume and _interrupted(folder, who):
        rows = _rows(folder, EARLIER, lambda: read_hall_of_fame(folder / EARLIER, names))
        rows = list({row.equation: row for row in rows + _rows(folder, HALL, read)}.values())
        rows = pareto(rows) if len(rows) > MAX_EARLIER else sorted(rows, key=lambda r: (r.complexity, r.loss))
        if rows:
            write_hall_of_fame(folder / EARLIER, rows)
    for old in folder.glob("hall_of_fame*"):
        old.unlink()
    if not rows:  # last: a hall of fame without it is somebody else's
        for name in (STATE, EARLIER):
            (folder / name).unlink(missing_ok=True)
    save_json(folder / STATE, {"identity": who, "finished": False})
    return rows


def finish(folder: Path, who: dict) -> None:
    """The search ended and its rows were read."""
    made = {"hall_sha256": sha256(folder / HALL)} if (folder / HALL).is_file() else {}
    save_json(folder / STATE, {"identity": who, "finished": True, **made})
    (folder / EARLIER).unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    """``UserError`` for a hall of fame that no search here wrote: without ``search.json``, or another than it names."""
    if not list(folder.glob("hall_of_fame*")):
        return
    found = f"{relative(folder / HALL)} was not written here"
    fix = "add --overwrite to replace it; to use its formulas, move it elsewhere and give it with --hall-of-fame FILE"
    if not (folder / STATE).is_file():
        raise UserError(f"{found}: no {STATE} lies beside it", fix)
    try:
        made = load_json(folder / STATE).get("hall_sha256")
    except UserError:
        return  # told when it is read
    if made and (folder / HALL).is_file() and sha256(folder / HALL) != made:
        raise UserError(f"{found}, or was changed since", fix)


def _interrupted(folder, who):
    if not (folder / STATE).is_file():
        return False
    try:
        state = load_json(folder / STATE)
    except UserError as exc:
        warn(f"{exc}; PySR's earlier rows beside it are not used")
        return False
    return state.get("identity") == who and state.get("finished") is False


def _rows(folder, name, read):
    if not list(folder.glob(name + "*")):
        return []
    try:
        return read()
    except UserError as exc:
        warn(f"{exc}; the search starts without the rows of {relative(folder / name)}")
        return []
