"""What digests, checks and locks cost: seconds of the six stages with them, and without (``unchecked.py``), in turns.

    python tests/faults/cost.py --repeats 5 --full --results

Every stage is a process of its own, as a user's is. Of the repeats the least counts, for whatever else a machine does
can only add to it. ``--full``: the sizes of a run without --quick.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAULTS = Path(__file__).resolve().parent
sys.path[:0] = [str(FAULTS.parent), str(FAULTS.parents[1])]

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


def seconds(checked: bool, folder: Path, more: tuple, stages) -> dict[str, dict]:
    """CPU and wall seconds of every stage, one after the other below ``folder``."""
    env, out = scripts.environment(folder) | {"PYTHONPATH": str(scripts.ROOT)}, {}
    for name in stages:
        script, flags = scripts.ROOT / name, (*STAGES[name], *more)
        words = [sys.executable, *([] if checked else [FAULTS / "unchecked.py"]), script, *flags]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        scripts.ok(subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=900))
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        out[name] = {"cpu": cpu, "wall": wall}
    return out


def rows(tries: list[tuple[dict, dict]]) -> list[dict]:
    """Of (with, without) by stage, of several times: of each the least, and what is more with."""
    out = []
    for script in tries[0][0]:
        least = {clock: [min(pair[k][script][clock] for pair in tries) for k in (0, 1)] for clock in ("cpu", "wall")}
        told = {clock: {"with": a, "without": b, "more": a / b - 1} for clock, (a, b) in least.items()}
        out.append({"stage": script, **told})
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--full", action="store_true", help="sizes of a run without --quick")
    parser.add_argument("--seed", type=int, default=952, help="of all that is made (it is part of the names)")
    parser.add_argument("--results", action="store_true", help="put the numbers into results/faults.json")
    args, start, tries = parser.parse_args(), time.time(), []
    with tempfile.TemporaryDirectory() as place:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(place, "compiled")))
        os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
        os.environ |= dict.fromkeys(("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",), "0")
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        for repeat in range(-1, args.repeats):  # the first compiles, and fills the disk's cache
            found = {}
            for checked in (True, False) if repeat % 2 else (False, True):
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    found[checked] = seconds(checked, Path(folder), () if args.full else ("--quick",), args.stages)
            told_now = {k: " ".join(f"{found[c][k]['cpu']:.2f}" for c in (True, False)) for k in args.stages}
            print(repeat, told_now, flush=True)
            if repeat >= 0:
                tries.append((found[True], found[False]))
    table = rows(tries)
    for row in table:
        for clock in ("cpu", "wall"):
            one = row[clock]
            words = f"{one['with']:.2f} s  without {one['without']:.2f} s  {100 * one['more']:+.1f} %"
            print(f"{row['stage']:24} {clock:5} {words}")
    if args.results:
        size = (
            "Sizes of a run" if args.full else "Sizes of `--quick`, where what does not grow with the data shows most"
        )
        what = f"{size}; whole processes, the least of {args.repeats} times, in turns."
        told.save("cost", {"what": what, "rows": table}, args, start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
