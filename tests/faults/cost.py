"""What digests, checks and locks cost: CPU seconds of the six stages now, and at a commit without them, in turns.

    python tests/faults/cost.py --before 44424bc --repeats 3 --results

Stages are forked from a process that has imported the libraries, so that their imports do not hide what is measured;
of the repeats the least counts, for whatever else a machine does can only add to it. ``--full``: the sizes of a run
without --quick.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAULTS = Path(__file__).resolve().parent
sys.path[:0] = [str(FAULTS.parent), str(FAULTS.parents[1])]

import forked  # noqa: E402
import scripts  # noqa: E402
import told  # noqa: E402

DATASET = "spring_n4_d2_s952"
RUN = f"{DATASET}__l1-newton__s952"
STAGES = {
    "simulate.py": ("--system", "spring", "--seed", "952"),
    "train.py": ("--dataset", DATASET, "--seed", "952"),
    "extract_messages.py": ("--run", RUN),
    "fit_linear.py": ("--run", RUN),
    "symbolic_reg.py": ("--run", RUN, "--rivals", "--targets", "radial"),
    "test_generalization.py": ("--run", RUN),
}


def seconds(root: Path, folder: Path, more: tuple, stages) -> dict[str, float]:
    """CPU seconds of every stage of the code in ``root``, one after the other below ``folder``."""
    env, out = scripts.environment(folder) | {"PYTHONPATH": str(root)}, {}
    for script in stages:
        done = forked.run(root / script, (*STAGES[script], *more), folder, env, 900)
        scripts.ok(done)
        out[script] = done.cpu
    return out


def rows(tries: list[tuple[dict, dict]]) -> list[dict]:
    """Of (now, before) by stage, of several times: the least of each, and what is more now."""
    out = []
    for script in tries[0][0]:
        now, before = (min(pair[k][script] for pair in tries) for k in (0, 1))
        out.append({"stage": script, "now": now, "before": before, "more": now / before - 1})
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, help="commit that the code now is held against")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--full", action="store_true", help="sizes of a run without --quick")
    parser.add_argument("--seed", type=int, default=952, help="of all that is made (it is part of the names)")
    parser.add_argument("--results", action="store_true", help="put the numbers into results/faults.json")
    args, start, tries = parser.parse_args(), time.time(), []
    with tempfile.TemporaryDirectory() as place:
        other = Path(place, "before")
        subprocess.run(["git", "clone", "-q", str(scripts.ROOT), str(other)], check=True)
        subprocess.run(["git", "-C", str(other), "checkout", "-q", args.before], check=True)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(place, "compiled")))
        os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
        os.environ |= dict.fromkeys(("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",), "0")
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        for repeat in range(-1, args.repeats):  # the first compiles, and fills the disk's cache
            found = {}
            for root in (scripts.ROOT, other) if repeat % 2 else (other, scripts.ROOT):
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    found[root] = seconds(root, Path(folder), () if args.full else ("--quick",), args.stages)
            print(repeat, {k: f"{found[scripts.ROOT][k]:.2f} {found[other][k]:.2f}" for k in args.stages}, flush=True)
            if repeat >= 0:
                tries.append((found[scripts.ROOT], found[other]))
    table = rows(tries)
    for row in table:
        print(f"{row['stage']:24} {row['now']:.2f} s  before {row['before']:.2f} s  {100 * row['more']:+.1f} %")
    if args.results:
        size = (
            "Sizes of a run" if args.full else "Sizes of `--quick`, where what does not grow with the data shows most"
        )
        what = f"{size}; the least of {args.repeats} times, in turns, libraries imported before."
        told.save("cost", {"before": args.before, "what": what, "rows": table}, args, start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
