"""What digests, checks and locks cost: the share of the six stages' time that is spent in them (``guards.py``).

    python tests/faults/cost.py --full --results

A share needs no other run to compare with, which other work on the machine would blur. ``--full``: the sizes of a run
without --quick, where what grows with the data shows; with --quick, what does not.
"""

import argparse
import json
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
    "symbolic_reg.py": ("--run", RUN),
    "test_generalization.py": ("--run", RUN),
}


def measured(name: str, folder: Path, more: tuple) -> dict:
    """Seconds in the guards and of the whole of a stage, by clock, its imports among them."""
    place, start = folder / "seconds.json", time.perf_counter()
    words = [sys.executable, FAULTS / "guards.py", place, scripts.ROOT / name, *STAGES[name], *more]
    scripts.ok(subprocess.run(words, cwd=folder, env=scripts.environment(folder), capture_output=True, text=True))
    found, wall = json.loads(place.read_text()), time.perf_counter() - start
    found["whole"] |= {"cpu": found["whole"]["cpu"] + wall - found["whole"]["wall"], "wall": wall}  # it was starting
    return found


def rows(found: dict[str, dict]) -> list[dict]:
    """Stage -> ``measured``, as lines of a table: how much longer a stage is for its guards."""
    out = []
    for name, one in found.items():
        told = {}
        for clock, inside in one["guards"].items():
            rest = one["whole"][clock] - inside
            told[clock] = {"guards": inside, "rest": rest, "more": inside / rest}
        out.append({"stage": name, **told})
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="sizes of a run without --quick")
    parser.add_argument("--seed", type=int, default=952, help="of all that is made (it is part of the names)")
    parser.add_argument("--results", action="store_true", help="put the numbers into results/faults.json")
    args, start, found = parser.parse_args(), time.time(), {}
    with tempfile.TemporaryDirectory() as place:
        for name in STAGES:
            found[name] = measured(name, Path(place), () if args.full else ("--quick",))
            row = rows({name: found[name]})[0]
            words = (
                f"{c} {row[c]['guards']:.3f} s of guards, {100 * row[c]['more']:.2f} % more" for c in ("cpu", "wall")
            )
            print(f"{name:24}", "; ".join(words), found[name]["calls"], flush=True)
    if args.results:
        what = (
            "Sizes of a run" if args.full else "Sizes of `--quick`, where what does not grow with the data shows most"
        )
        what += "; seconds of one run in digests, checks and locks, and beside them, from the start of the process."
        told.save("cost", {"what": what, "rows": rows(found)}, args, start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
