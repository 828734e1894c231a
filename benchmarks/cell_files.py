"""Benchmarks of many cells: each is measured in a process of its own, kept in a file, and found done by later calls.

``outputs/<benchmark>/<cell>.json`` holds what was measured, or why nothing was ("error"), with commit, machine and
date; it is written whole. A call runs the cells that have none, ``--jobs`` at a time, and puts the rows of all its
cells into ``results/<benchmark>.json``, beside those of former calls. A row that is there and of the same code is a
cell that is done: what was committed needs no file of the machine that measured it.

As a program this is such a process, ``cell_files.py MODULE KEY``: its last line is what ``MODULE.measured`` gives for
the JSON object KEY.
"""

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import sections

from distill.files.provenance import provenance, same_code
from distill.files.storage import load_json, plain, save_json, save_text
from distill.pipeline.runs.cells import Children
from distill.report.numbers import hardware
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, positive_int
from distill.shell.paths import relative
from distill.shell.threads import set_threads

UNDONE = "prerequisite is missing"
DEVELOPMENT = range(930, 961)  # seeds that the code was made with


def add_flags(parser: Parser, limit: int = 3600) -> None:
    """Flags of every benchmark of cells."""
    add = parser.add_argument
    add("--jobs", type=positive_int, default=1, help="cells at a time")
    add("--limit", type=positive_int, default=limit, help="seconds after which a cell is given up")
    add("--development", action="store_true", help="writes to outputs/ and not to results/")
    add("--overwrite", action="store_true", help="run finished cells again")


def parse(parser: Parser, argv):
    """The arguments; seeds of the development need ``--development``."""
    args = parser.parse_args(argv)
    if not args.development and (seen := sorted(set(args.seeds) & set(DEVELOPMENT))):
        parser.error(f"seeds {seen} are those of the development: choose others, or --development")
    return args


class Prerequisite(UserError):
    """What a cell needs is not there: the cell is not done, and another call measures it."""


def kept(benchmark: str, cell: str, overwrite: bool, measure: Callable[[], dict]) -> dict:
    """What the file of a cell holds; where there is none, what ``measure`` gives, or its ``UserError``, is kept, unless
    it is that a prerequisite is missing.
    """
    path = file_of(benchmark, cell)
    if overwrite or not path.is_file():
        start = time.time()
        try:
            found = measure()
        except UserError as exc:
            found = told(exc)
        if found.get(UNDONE):
            return found
        about = provenance(f"benchmarks/{benchmark}.py", {"cell": cell}, {}, time.time() - start)
        stamp = {"git": about["git"], "hardware": hardware(), "date": time.strftime("%Y-%m-%d")}
        save_json(path, found | stamp)
    return load_json(path, "move it away")


def told(error: UserError) -> dict:
    """What a cell holds that ended with an error."""
    undone = {UNDONE: True} if type(error).__name__ == Prerequisite.__name__ else {}  # of this file as a program, too
    return {"error": str(error)} | undone


def failed(row: dict) -> bool:
    """Whether a row says why nothing was measured; an "error" that is a number was."""
    return isinstance(row.get("error"), str)


def file_of(benchmark: str, cell: str) -> Path:
    return paths.OUTPUTS / benchmark / f"{cell}.json"


def in_own_process(children: Children, module: str, key: dict, limit: float, log: Path) -> dict:
    """What ``measured(**key)`` of ``module`` gives in a process with one thread; what it printed goes to ``log``."""
    words = [sys.executable, __file__, module, json.dumps(plain(key))]
    outcome = children.run(words, limit)
    save_text(log, outcome.stdout + outcome.stderr)
    if outcome.error:
        return {"error": f"{outcome.error}: see {relative(log)}"}
    return json.loads(outcome.stdout.splitlines()[-1])


@dataclass(frozen=True)
class Benchmark:
    """``key``: fields of a row that tell whose it is, the keywords of ``measured`` in the module ``name``;
    ``place``: row -> what rows are sorted by; ``summary``: rows -> counts and tables; ``told``: row -> a line.
    """

    name: str
    key: tuple[str, ...]
    place: Callable[[dict], tuple]
    summary: Callable[[list[dict]], dict]
    told: Callable[[dict], str]
    failed: dict = field(default_factory=dict)  # what a row has beside "error"

    def results(self, args) -> Path:
        return (paths.OUTPUTS if args.development else paths.ROOT / "results") / f"{self.name}.json"

    def run(self, cells: dict[str, Iterable], args) -> dict:
        """Measure ``cells`` (name -> values of ``key``) that are not done; the section of results, as written."""
        start, children, lock, content = time.time(), Children(), threading.Lock(), {}

        def measure(cell: str, key: dict) -> dict:
            log = file_of(self.name, cell).with_suffix(".log")
            found = in_own_process(children, self.name, key, args.limit, log)
            return key | found | (self.failed if failed(found) else {})

        def work(cell: str) -> None:
            nonlocal content
            key = dict(zip(self.key, cells[cell], strict=True))
            row = self.stored(cell, key, args)
            row = row or key | kept(self.name, cell, args.overwrite, lambda: measure(cell, key))
            print(f"{cell}: {row['error'] if failed(row) else self.told(row)}", file=sys.stderr, flush=True)
            if row.get(UNDONE):
                return
            with lock:
                content = self.add(row, args, start)

        children.map(work, cells, args.jobs)
        return content

    def stored(self, cell: str, key: dict, args) -> dict | None:
        """The row of the results, where it is of this code and ended well, and the cell has no file."""
        if args.overwrite or args.development or file_of(self.name, cell).is_file():
            return None
        known = sections.read(self.results(args)).get(self.name, {}).get("rows", [])
        found = next((row for row in known if all(row[k] == v for k, v in plain(key).items())), None)
        return found if found and not failed(found) and same_code(found.get("git") or {}) else None

    def add(self, row: dict, args, start: float) -> dict:
        """Put a row into the results, in place of one of the same cell; the section as it is then."""

        def put(former: dict) -> dict:
            rows = {tuple(r[k] for k in self.key): r for r in [*former.get("rows", []), row]}
            ordered = sorted(rows.values(), key=self.place)
            return {"rows": ordered} | self.summary(ordered) | sections.about(f"{self.name}.py", args, start)

        return sections.change(self.results(args), self.name, self.name, put)


def main(argv) -> int:
    module, key = argv
    set_threads(1)
    try:
        found = importlib.import_module(module).measured(**json.loads(key))
    except UserError as exc:
        found = told(exc)
    print("\n" + json.dumps(plain(found), allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
