"""``speed.py pipeline``: start-up of every script, the stages of ``make demo``, and a large dataset through the stages.

Every stage is a child process of its own, in a temporary folder (below TMPDIR); nothing numerical is imported here,
because on Linux a child's peak memory is at least its parent's. ``make demo`` is run without its installation.
"""

import statistics
import sys
import time

from speed_extraction import FILE_BYTES, done, workplace
from speed_timing import bar

# puts the repository on the path, hence before distill
from stages import names_of

SCRIPTS = (
    "simulate.py",
    "train.py",
    "extract_messages.py",
    "fit_linear.py",
    "symbolic_reg.py",
    "test_generalization.py",
)
HELP_SECONDS, DEMO_SECONDS, LARGE_MB = 0.5, 180, 6000
# the Makefile's
DEMO = {"system": "r2", "n": 4, "dim": 2, "seed": 0, "variant": "l1", "recipe": "newton", "threads": 2}
LARGE = DEMO | {"system": "charge", "seed": 216, "trajectories": 10_000, "frames": 100}
LARGE_QUICK = LARGE | {"trajectories": 60, "frames": 20}
EXTRACTED = 0.9  # of the graphs: train and test


def measure(args) -> dict:
    large = LARGE_QUICK if args.quick else LARGE
    graphs = large["trajectories"] * large["frames"]
    with workplace("pipeline", FILE_BYTES * graphs * EXTRACTED * 1.1 + 1e9 * (not args.quick)) as children:
        starts = {script: [help_seconds(children, script) for _ in range(args.rounds)] for script in SCRIPTS}
        demo = stages(children, demo_words(DEMO, args.quick))
        big = stages(children, large_words(large, args.quick))
    return summary(starts, demo, big, graphs)


def help_seconds(children, script: str) -> float:
    """Wall seconds of one ``--help``."""
    start = time.perf_counter()
    if "usage" not in done(children.script(script, "--help")).stdout:
        raise RuntimeError(f"{script} --help printed no usage")
    return time.perf_counter() - start


def demo_words(o: dict, quick: bool) -> list[list]:
    """The six stages with the arguments that the Makefile gives them."""
    dataset, run, _ = names_of(o["system"], o["n"], o["dim"], o["seed"], o["variant"], o["recipe"], o["seed"])
    words = [
        ["simulate.py", "--system", o["system"], "--n", o["n"], "--dim", o["dim"], "--seed", o["seed"]],
        ["train.py", "--dataset", dataset, "--variant", o["variant"], "--recipe", o["recipe"], "--seed", o["seed"]],
        ["extract_messages.py", "--run", run],
        ["fit_linear.py", "--run", run],
        ["symbolic_reg.py", "--run", run, "--threads", o["threads"]],
        ["test_generalization.py", "--run", run],
    ]
    return [w + ["--quick"] * quick for w in words]


def large_words(o: dict, quick: bool) -> list[list]:
    """A large dataset: one epoch, all messages of the training and test trajectories, the fits."""
    words = demo_words(o, quick)[:5]
    words[0] += ["--n-trajectories", o["trajectories"], "--n-frames", o["frames"]]
    words[1] += ["--epochs", 1]
    words[2] += ["--max-graphs", 0]
    return words


def stages(children, all_words) -> dict:
    """Costs of every stage, by script; ``UserError`` if one fails."""
    out = {}
    for words in all_words:
        print(f"{time.strftime('%H:%M:%S')}  {' '.join(map(str, words))}", file=sys.stderr, flush=True)
        out[words[0]] = done(children.script(*words)).costs()
    return out


def summary(starts: dict, demo: dict, big: dict, graphs: int) -> dict:
    lines = [
        "| | `--help`, s | `make demo`: s | CPU-s | peak MB | large dataset: s | CPU-s | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    medians = {script: statistics.median(values) for script, values in starts.items()}

    def cells(costs):
        return " | ".join(f"{costs[k]:.0f}" for k in ("seconds", "cpu_s", "peak_mb")) if costs else "| | "

    def total(rows):
        sums = {k: sum(row[k] for row in rows.values()) for k in ("seconds", "cpu_s")}
        return sums | {"peak_mb": max(row["peak_mb"] for row in rows.values())}

    for script in SCRIPTS:
        lines.append(f"| `{script}` | {medians[script]:.2f} | {cells(demo[script])} | {cells(big.get(script))} |")
    demo_total, big_total = total(demo), total(big)
    lines.append(f"| all | | {cells(demo_total)} | {cells(big_total)} |")
    slowest, heaviest = max(medians, key=medians.get), max(big, key=lambda s: big[s]["peak_mb"])
    bars = [
        bar(
            f"start-up, --help of the slowest of {len(SCRIPTS)} scripts ({slowest})",
            f"{medians[slowest]:.2f} s",
            f"<= {HELP_SECONDS} s",
            medians[slowest] <= HELP_SECONDS,
        ),
        bar(
            "the stages of make demo",
            f"{demo_total['seconds']:.0f} s",
            f"<= {DEMO_SECONDS} s",
            demo_total["seconds"] <= DEMO_SECONDS,
        ),
        bar(
            f"peak memory with {graphs} graphs: simulate, train, extract, fit ({heaviest})",
            f"{big_total['peak_mb']:.0f} MB",
            f"<= {LARGE_MB} MB",
            big_total["peak_mb"] <= LARGE_MB,
        ),
    ]
    rows = [{"script": s, "help_s": starts[s], "demo": demo[s], "large": big.get(s)} for s in SCRIPTS]
    return {
        "table": "\n".join(lines),
        "bars": bars,
        "rows": rows,
        "demo": demo_total,
        "large": big_total,
        "large_graphs": graphs,
    }
