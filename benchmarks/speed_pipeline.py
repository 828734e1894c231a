"""``speed.py pipeline``: start-up of every script, the stages of ``make demo``, and a large dataset through the stages.

Every stage is a child process of its own, in a temporary folder (below TMPDIR); nothing numerical is imported here,
because on Linux a child's peak memory is at least its parent's. ``make demo`` is run without its installation.
"""

import statistics
import sys
import time

from speed_extraction import FILE_BYTES, done, workplace
from speed_timing import at_most

from distill.pipeline.runs import demo
from distill.pipeline.runs.cells import STAGES, Cell
from distill.report.markdown import markdown

SCRIPTS = tuple(STAGES.values())
HELP_SECONDS, DEMO_SECONDS, LARGE_MB = 0.5, 180, 6000
LARGE, LARGE_QUICK = (10_000, 100), (60, 20)  # trajectories, frames
EXTRACTED = 0.9  # of the graphs: train and test


def measure(args) -> dict:
    trajectories, frames = LARGE_QUICK if args.quick else LARGE
    graphs = trajectories * frames
    with workplace("pipeline", FILE_BYTES * graphs * EXTRACTED * 1.1 + 1e9 * (not args.quick)) as children:
        starts = {script: [help_seconds(children, script) for _ in range(args.rounds)] for script in SCRIPTS}
        small = costs(children, demo.commands(demo.parse(["--quick"] if args.quick else [])))
        big = costs(children, large(trajectories, frames, args.quick))
    return summary(starts, small, big, graphs)


def help_seconds(children, script: str) -> float:
    """Wall seconds of one ``--help``."""
    start = time.perf_counter()
    if "usage" not in done(children.script(script, "--help")).stdout:
        raise RuntimeError(f"{script} --help printed no usage")
    return time.perf_counter() - start


def large(trajectories: int, frames: int, quick: bool) -> list[list[str]]:
    """A large dataset: one epoch, all messages of the training and test trajectories, the fits."""
    data = ("--n-trajectories", trajectories, "--n-frames", frames)
    cell = Cell("charge", 2, "l1", "newton", 216, data=data, train=("--epochs", 1), targets=())
    more = {"extract": ("--max-graphs", 0), "law": ("--threads", 2)}
    quick = ["--quick"] if quick else []
    return [cell.words(stage, *more.get(stage, ()), *quick) for stage in STAGES if stage != "compare"]


def costs(children, commands: list[list[str]]) -> dict:
    """Costs of every stage, by script; ``UserError`` if one fails."""
    out = {}
    for words in commands:
        print(f"{time.strftime('%H:%M:%S')}  {' '.join(words)}", file=sys.stderr, flush=True)
        out[words[0]] = done(children.script(*words)).costs()
    return out


def summary(starts: dict, demo: dict, big: dict, graphs: int) -> dict:
    medians = {script: statistics.median(values) for script, values in starts.items()}

    def cells(row: dict | None) -> list[str]:
        return [f"{row[k]:.0f}" if row else "" for k in ("seconds", "cpu_s", "peak_mb")]

    def total(rows: dict) -> dict:
        sums = {k: sum(row[k] for row in rows.values()) for k in ("seconds", "cpu_s")}
        return sums | {"peak_mb": max(row["peak_mb"] for row in rows.values())}

    whole, big_total = total(demo), total(big)
    lines = [[f"`{s}`", f"{medians[s]:.2f}", *cells(demo[s]), *cells(big.get(s))] for s in SCRIPTS]
    lines.append(["all", "", *cells(whole), *cells(big_total)])
    head = ["", "`--help`, s", "`make demo`: s", "CPU-s", "peak MB", "large dataset: s", "CPU-s", "peak MB"]
    slowest, heaviest = max(medians, key=medians.get), max(big, key=lambda s: big[s]["peak_mb"])
    start_up = f"start-up, --help of the slowest of {len(SCRIPTS)} scripts ({slowest})"
    memory = f"peak memory with {graphs} graphs: simulate, train, extract, fit ({heaviest})"
    return {
        "table": markdown(head, lines),
        "bars": [
            at_most(start_up, medians[slowest], HELP_SECONDS, unit=" s"),
            at_most("the stages of make demo", whole["seconds"], DEMO_SECONDS, "{:.0f}", " s"),
            at_most(memory, big_total["peak_mb"], LARGE_MB, "{:.0f}", " MB"),
        ],
        "rows": [{"script": s, "help_s": starts[s], "demo": demo[s], "large": big.get(s)} for s in SCRIPTS],
        "demo": whole,
        "large": big_total,
        "large_graphs": graphs,
    }
