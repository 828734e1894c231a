"""Measure every published table once more, with the code of one commit: the commands of frozen.ini in their order.

Each runs in this checkout, on one thread unless it says otherwise, and writes into its file in results/. What it makes
on the way (datasets, weights, cells) lies in a folder of this code's own, so that nothing is taken for measured that
other code has measured; what has ended is not run again, and a stopped call goes on where it was, also after what it
measured was committed (results, texts, tests and what makes the pages are not code). Rows of other seeds stay in
results/ beside the new ones, with their commits. What measures times runs first and alone; with --jobs the others run
side by side, but for those of one file, which share datasets. Figures of all rows are drawn and the pages filled at the
end.

A table has failed if one of its commands did, or if its file holds a cell that ended with an error under this code.
Failures are reported and stop no other; the next call runs these tables again, and of their cells those alone that hold
an error. What no command here measures, and why, is said in frozen.ini.

reads   frozen.ini
writes  results/*.json  docs/  outputs/frozen/<commit>/<table>.json  and .log

example:  python experiments/frozen.py --jobs 2
"""

import configparser
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from distill.files.provenance import NOT_CODE, same_code
from distill.files.storage import load_json, save_json
from distill.pipeline.runs.cells import ONE_THREAD, places
from distill.report.markdown import markdown
from distill.report.numbers import hardware
from distill.shell import paths
from distill.shell.errors import UserError, near_miss
from distill.shell.flags import Parser, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script

FILE = Path(__file__).with_suffix(".ini")
LAST = ("benchmarks/speed.py summary", "benchmarks/recovery.py summary", "experiments/pages.py")  # of every table
RECOVERY = "benchmarks/recovery.py"  # refuses changes that are not committed by itself, too


@dataclass(frozen=True)
class Table:
    """``commands``: lines, one after the other; ``results``: name of the file in results/; ``minutes`` of CPU that it
    took last; ``alone``: with no other beside it, because it measures times; ``optional``: packages without which some
    of its rows are left out.
    """

    name: str
    commands: tuple[str, ...]
    results: str
    minutes: float
    alone: bool
    optional: tuple[str, ...] = ()

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
            optional=tuple(one.get("optional", "").split()),
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
    start, log = time.time(), one.kept(folder, "log")
    code = run(one.commands, log, ONE_THREAD | places(folder), told=one.name, allow_dirty=not keep)
    found = {"commands": one.commands, "code": code, "seconds": time.time() - start, "hardware": hardware()}
    found["errors"] = errors_in(one)
    if keep and not failed(found):
        save_json(file, found)
    ended = f"FAILED, see {relative(log)}" if code else "FAILED" if failed(found) else "done"
    more = f", cells of results/{one.results}.json with an error: {found['errors']}" if found["errors"] else ""
    print(f"{one.name}: {ended}{more}", flush=True)
    return found


def failed(found: dict) -> bool:
    return bool(found["code"] or found["errors"])


def run(commands, log: Path, env: dict, told: str, allow_dirty: bool = False) -> int:
    """Exit code of the first of ``commands`` that fails, or 0; what they print goes to ``log``."""
    with open(log, "w", encoding="utf-8") as file:
        how = {"cwd": paths.ROOT, "stdin": subprocess.DEVNULL, "env": os.environ | env, "stdout": file, "stderr": file}
        for command in commands:
            print(f"{told}: {command}", flush=True)
            script, *flags = shlex.split(command)
            flags += ["--allow-dirty"] * (allow_dirty and script == RECOVERY)
            if code := subprocess.run([sys.executable, script, *flags], **how).returncode:
                return code
    return 0


def errors_in(one: Table) -> int:
    """Cells in its file that this code has measured and that hold an error: of its own sections where the file says
    which command wrote them, else of all, because a section may be that of several tables.
    """
    path = paths.ROOT / "results" / f"{one.results}.json"
    if not path.is_file():
        return 0
    content, head, known = load_json(path, "move it away"), git("rev-parse", "HEAD"), {}

    def of_this_code(commit: str | None) -> bool:
        if commit not in known:
            known[commit] = commit is not None and (
                commit == head or same_code({"commit": commit, "dirty": False})  # results may have been committed since
            )
        return known[commit]

    def count(part, commit: str | None) -> int:
        if isinstance(part, list):
            return sum(count(inner, commit) for inner in part)
        if not isinstance(part, dict):
            return 0
        commit = commit_of(part) or commit
        own = isinstance(part.get("error"), str) and of_this_code(commit)
        return own + sum(count(inner, commit) for inner in part.values())

    words = [shlex.split(command) for command in one.commands]
    sections = content.get("sections", {}).values()
    own = [part for part in sections if shlex.split(about(part).get("command_line", ""))[1:] in words]
    return count(own or content, None)


def about(part: dict) -> dict:
    """Where the provenance of a part of a file is."""
    return part["provenance"] if isinstance(part.get("provenance"), dict) else part


def commit_of(part: dict) -> str | None:
    """The commit that a row, or a section for its rows, names: in its "git", or, as rows of recovery do, by itself."""
    stamp = about(part).get("git")
    found = stamp.get("commit") if isinstance(stamp, dict) else part.get("commit")
    return found if isinstance(found, str) else None


def forget_errors(one: Table, folder: Path) -> None:
    """Take away what a former call kept of its cells that ended with an error, so that they are tried again."""
    for file in (folder / "outputs" / one.results).glob("*.json"):
        content = load_json(file, "move it away")
        if isinstance(content, dict) and isinstance(content.get("error"), str):
            file.unlink()


def missing(asked: list[Table]) -> list[str]:
    """Optional packages that are not installed, each with the tables that lack rows without it."""
    every = dict.fromkeys(name for one in asked for name in one.optional)
    gone = [name for name in every if importlib.util.find_spec(name) is None]
    return [f"{name} ({', '.join(one.name for one in asked if name in one.optional)})" for name in gone]


def git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        raise UserError("what is measured here has to be of a commit", "run it in a clone of the repository")
    return done.stdout.strip()


def main(argv=None) -> int:
    args = parse(argv)
    asked, commit = chosen(tables(), args.only), git("log", "-1", "--format=%h", "--", ".", *NOT_CODE)
    clean = not git("status", "--porcelain", "-uno", "--", ".", *NOT_CODE)
    folder = paths.OUTPUTS / "frozen" / (commit if clean or args.list else f"{commit}_changed")
    left = [one for one in asked if not one.kept(folder, "json").is_file()]
    total = sum(one.minutes for one in left)
    if args.list:
        rows = [[one.name, "; ".join(one.commands), f"{one.minutes:g}", "" if one in left else "done"] for one in asked]
        print(markdown(["table", "command", "CPU minutes", commit], rows))
        print(f"\nleft: {len(left)} tables, about {total / 60:.1f} CPU hours; at the end: {'; '.join(LAST)}")
        return 0
    if not (clean or args.allow_dirty):
        raise UserError("the checkout has changes that are not committed", "commit them, or --allow-dirty")
    if not clean:
        shutil.rmtree(folder, ignore_errors=True)  # its cells may be those of other changes
    folder.mkdir(parents=True, exist_ok=True)
    if gone := missing(left):
        print(f"not installed, so that rows will be left out: {'; '.join(gone)}", file=sys.stderr, flush=True)
    print(f"{len(left)} of {len(asked)} tables, about {total / 60:.1f} CPU hours, {args.jobs} at a time", flush=True)
    for one in left:
        forget_errors(one, folder)
    found = {one.name: measured(one, folder, clean) for one in asked if one.alone}
    files: dict[str, list[Table]] = {}
    for one in (one for one in asked if not one.alone):
        files.setdefault(one.results, []).append(one)
    with ThreadPoolExecutor(args.jobs) as pool:
        for part in pool.map(lambda some: {one.name: measured(one, folder, clean) for one in some}, files.values()):
            found |= part
    code = run(LAST, folder / "pages.log", {}, told="pages")
    print(f"pages: FAILED, see {relative(folder / 'pages.log')}" if code else "pages: done", flush=True)
    wrong = sum(map(failed, found.values()))
    hours = sum(one["seconds"] for one in found.values()) / 3600
    print(f"frozen  {commit}  tables {len(found) - wrong}  failed {wrong}  {hours:.1f} h  -> results")
    return int(bool(wrong or code))


if __name__ == "__main__":
    run_script(main)
