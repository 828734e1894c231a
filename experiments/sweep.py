"""Run every cell of the tables that is missing, then write the tables: what ``make tables`` does.

reads   experiments/cells.py (what there is to run)  results/cells/ (what is done; the section argon: results/argon/)
writes  datasets/ model_weights/ outputs/ as the six stages do, results/cells/<run>.json, and by pages.py the numbers
        of README.md and docs/ and the figures of the tables; with another --results folder a page beside it

example:  python experiments/sweep.py --sections newton --jobs 2

The work is Snakemake's: local cores, SLURM or Kubernetes by --profile. Stop it when you like, by Ctrl-C or otherwise:
the same command goes on, trainings from their checkpoints. Cells that fail are named at the end with the last line
of their log, the others are not held up by them, and the exit code is 1.
"""

import fcntl
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from cells import BUDGETS, IN_THE_TABLES, SECTIONS, select

from distill.pipeline.runs.cells import STAGES, Cell
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script

HERE = Path(__file__).resolve().parent

PROFILES = ("local", "slurm", "gpu", "kubernetes")
RESULTS = paths.ROOT / "results" / "cells"
OWN = {"argon": paths.ROOT / "results" / "argon"}  # sections with cells and a page of their own


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add(
        "--sections",
        nargs="+",
        choices=list(SECTIONS),
        default=list(IN_THE_TABLES),
        help="; ".join(f"{k}: {s.what}" for k, s in SECTIONS.items()),
    )
    add("--budget", choices=list(BUDGETS), default="laptop", help="; ".join(f"{k}: {v}" for k, v in BUDGETS.items()))
    add("--profile", default="local", help=f"where jobs run: {' '.join(PROFILES)}, or a Snakemake profile's folder")
    add("--jobs", type=positive_int, default=os.cpu_count(), help="local: processes at a time")
    add("--results", type=Path, help="folder of the cells; another one than the repository's to repeat them all")
    add("--dry-run", action="store_true", help="say what would be run")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    if importlib.util.find_spec("snakemake") is None:
        raise UserError("the package snakemake is not installed", "pip install -r requirements-tables.txt")
    profile = HERE / "profiles" / args.profile if args.profile in PROFILES else Path(args.profile)
    if not (profile / "config.yaml").is_file():
        raise UserError(
            f"{relative(profile)} holds no config.yaml, expected a Snakemake profile",
            "choose among " + " ".join(PROFILES),
        )
    usual = folder_of(args.sections)
    args.results = args.results or usual
    cells = select(args.sections, args.budget)
    if not cells:
        raise UserError(f"no cell of {' '.join(args.sections)} has the budget '{args.budget}'")
    lock = take_lock()
    failed = subprocess.run(command(args, profile), cwd=paths.ROOT).returncode
    lock.close()
    if args.dry_run:
        return int(failed != 0)
    words = [sys.executable, HERE / "pages.py"]
    if args.results.resolve() == usual:
        words += ["--figures"]
    else:
        words += ["--cells", args.results, "--out", args.results.parent / f"{args.results.name}.md"]
    tables = subprocess.run([str(w) for w in words], cwd=paths.ROOT).returncode
    missing = report(cells, args.results)
    return int(bool(failed or tables or missing))


def folder_of(sections: list[str]) -> Path:
    """Where the cells of these sections lie; ``UserError`` if they have two pages."""
    folders = {OWN.get(section, RESULTS) for section in sections}
    if len(folders) > 1:
        own = " ".join(s for s in sections if s in OWN)
        raise UserError(f"--sections: {own} has a page of its own and cannot go with others", f"--sections {own}")
    return folders.pop()


def command(args, profile: Path) -> list[str]:
    """The Snakemake call; our own lock replaces its, which a killed call leaves behind."""
    words = [sys.executable, "-m", "snakemake", "cells", "--snakefile", HERE / "Snakefile"]
    words += ["--directory", paths.ROOT, "--profile", profile, "--nolock"]
    words += ["--cores", args.jobs] if args.profile == "local" else []
    words += ["--dry-run", "--quiet", "rules"] if args.dry_run else []
    words += ["--config", f"sections={','.join(args.sections)}", f"budget={args.budget}"]
    words += [f"results={args.results.resolve()}"]
    words += {"gpu": ["device=cuda"], "kubernetes": ["python=python"]}.get(args.profile, [])
    return [str(w) for w in words]


def take_lock():
    """A lock that ends with this process, however it ends."""
    paths.OUTPUTS.mkdir(parents=True, exist_ok=True)
    file = open(paths.OUTPUTS / "tables.lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(
            f"another sweep is running on {relative(paths.OUTPUTS)}", "wait for its end, or stop it"
        ) from None
    return file


def report(cells: dict, results: Path) -> int:
    """Name the cells that are missing and why; their number."""
    missing = [run for run in cells if not (results / f"{run}.json").is_file()]
    for run in missing:
        print(f"missing  {run}  {reason(cells[run])}", file=sys.stderr)
    print(f"{len(cells) - len(missing)} of {len(cells)} cells -> {relative(results)}")
    return len(missing)


def reason(cell: Cell) -> str:
    """The last line of the log of the last stage that was tried."""
    logs = [paths.OUTPUTS / "logs" / stage / f"{cell.run}.log" for stage in (*STAGES, "evaluate")]
    logs.append(paths.OUTPUTS / "logs" / "simulate" / f"{cell.dataset}.log")
    tried = [log for log in logs if log.is_file()]
    if not tried:
        return "was not started"
    lines = max(tried, key=lambda log: log.stat().st_mtime).read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "left no message"


if __name__ == "__main__":
    run_script(main)
