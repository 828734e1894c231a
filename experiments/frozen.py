"""Measure every published table once more, with the code of one commit: the commands of frozen.ini in their order.

Each runs in this checkout, on one thread unless it says otherwise, and writes into its file in results/. What it makes
on the way (datasets, weights, cells) lies in a folder of this code's own, so that nothing is taken for measured that
other code has measured; what has ended is not run again, and a stopped call goes on where it was, also after what it
measured was committed (results/, docs/ and README.md are not code). Rows of other seeds stay in results/ beside the new
ones, with their commits. What measures times runs first and alone; with --jobs the others run side by side. The pages
are filled at the end. A command that fails is reported and stops no other, and so are cells that hold an error.

reads   frozen.ini
writes  results/*.json  docs/  outputs/frozen/<commit>/<table>.json  and .log

example:  python experiments/frozen.py --jobs 2
"""

import configparser
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from distill.files.provenance import NOT_CODE
from distill.files.storage import load_json, save_json
from distill.pipeline.runs.cells import ONE_THREAD
from distill.report.markdown import markdown
from distill.report.numbers import hardware
from distill.shell import paths
from distill.shell.errors import UserError, near_miss
from distill.shell.flags import Parser, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script

FILE = Path(__file__).with_suffix(".ini")
PAGES = "experiments/pages.py"


@dataclass(frozen=True)
class Table:
    """``commands``: lines, one after the other; ``results``: name of the file in results/; ``minutes`` of CPU that it
    took last; ``alone``: with no other beside it, because it measures times.
    """

    name: str
    commands: tuple[str, ...]
    results: str
    minutes: float
    alone: bool

    def kept(self, folder: Path, end: str) -> Path:
        return folder / f"{self.name.replace(',', '').replace(' ', '_')}.{end}"


def tables() -> list[Table]:
    file = configparser.ConfigParser(interpolation=None)
    file.read_string(FILE.read_text(encoding="utf-8"))
    found = (file[name] for name in file.sections())
    return [
        Table(
            name=one.name,
            commands=tuple(filter(None, one["command"].splitlines())),
            results=one["results"],
            minutes=float(one["minutes"]),
            alone=one.getboolean("alone", fallback=False),
        )
        for one in found
    ]


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="TABLE", help="these tables and no others (names as --list has them)"
    )
    parser.add_argument("--jobs", type=positive_int, default=1, help="commands at a time, one core each")
    parser.add_argument("--list", action="store_true", help="say what would run and how long it took last; run nothing")
    parser.add_argument(
        "--allow-dirty", action="store_true", help="run with changes that are not committed; nothing is kept"
    )
    return parser.parse_args(argv)


def chosen(every: list[Table], names: list[str] | None) -> list[Table]:
    if names is None:
        return every
    known = {one.name: one for one in every}
    for name in names:
        if name not in known:
            raise UserError(f"no table '{name}' in {relative(FILE)}", near_miss(name, known) or "see --list")
    return [known[name] for name in dict.fromkeys(names)]


def measured(one: Table, folder: Path, keep: bool = True) -> dict:
    """What a former call kept of it, or of a run now; ``keep``: for later calls, if it ends well."""
    file = one.kept(folder, "json")
    if file.is_file():
        return load_json(file, "move it away")
    start, log, code = time.time(), one.kept(folder, "log"), 0
    places = {f"DISTILL_{name.upper()}": str(folder / name) for name in ("datasets", "model_weights", "outputs")}
    how = {"cwd": paths.ROOT, "stdin": subprocess.DEVNULL, "env": {**os.environ, **ONE_THREAD, **places}}
    with open(log, "w", encoding="utf-8") as told:
        for command in one.commands:
            print(f"{one.name}: {command}", flush=True)
            words = [sys.executable, *shlex.split(command)]
            if code := subprocess.run(words, stdout=told, stderr=told, **how).returncode:
                break
    found = {"commands": one.commands, "code": code, "seconds": time.time() - start, "hardware": hardware()}
    found["errors"] = errors_in(one, git("rev-parse", "HEAD"))
    if code == 0 and keep:
        save_json(file, found)
    ended = "done" if code == 0 else f"FAILED, see {relative(log)}"
    more = f", {found['errors']} cells ended with an error" if found["errors"] else ""
    print(f"{one.name}: {ended}{more}", flush=True)
    return found


def errors_in(one: Table, commit: str) -> int:
    """Rows of its results that this commit has measured and that hold an error."""
    path = paths.ROOT / "results" / f"{one.results}.json"

    def count(part) -> int:
        if isinstance(part, list):
            return sum(map(count, part))
        if not isinstance(part, dict):
            return 0
        about = part.get("git")
        own = isinstance(about, dict) and about.get("commit") == commit and isinstance(part.get("error"), str)
        return own + sum(map(count, part.values()))

    return count(load_json(path, "move it away")) if path.is_file() else 0


def git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        raise UserError("what is measured here has to be of a commit", "run it in a clone of the repository")
    return done.stdout.strip()


def main(argv=None) -> int:
    args = parse(argv)
    asked, commit = chosen(tables(), args.only), git("log", "-1", "--format=%h", "--", ".", *NOT_CODE)
    folder = paths.OUTPUTS / "frozen" / commit
    left = [one for one in asked if not one.kept(folder, "json").is_file()]
    total = sum(one.minutes for one in left)
    if args.list:
        rows = [[one.name, "; ".join(one.commands), f"{one.minutes:g}", "" if one in left else "done"] for one in asked]
        print(markdown(["table", "command", "CPU minutes", commit], rows))
        print(f"\nleft: {len(left)} tables, about {total / 60:.1f} CPU hours")
        return 0
    clean = not git("status", "--porcelain", "-uno", "--", ".", *NOT_CODE)
    if not (clean or args.allow_dirty):
        raise UserError("the checkout has changes that are not committed", "commit them, or --allow-dirty")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(left)} of {len(asked)} tables, about {total / 60:.1f} CPU hours, {args.jobs} at a time", flush=True)
    found = {one.name: measured(one, folder, clean) for one in asked if one.alone}
    with ThreadPoolExecutor(args.jobs) as pool:
        others = [one for one in asked if not one.alone]
        found |= dict(
            zip((one.name for one in others), pool.map(lambda one: measured(one, folder, clean), others), strict=True)
        )
    subprocess.run([sys.executable, PAGES], cwd=paths.ROOT, check=False)
    failed = [name for name, one in found.items() if one["code"]]
    hours = sum(one["seconds"] for one in found.values()) / 3600
    print(f"frozen  {commit}  tables {len(found) - len(failed)}  failed {len(failed)}  {hours:.1f} h  -> results")
    return 1 if failed else 0


if __name__ == "__main__":
    run_script(main)
