"""A stage that is stopped at any step on the disk, and then called again: are its results those of one call?

As a program it prints the table:  python tests/faults/kills.py --stages simulate extract --points 20 --how kill
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

FAULTS = Path(__file__).resolve().parent
sys.path[:0] = [str(FAULTS.parent), str(FAULTS.parents[1])]

import scripts  # noqa: E402

DATASET, RUN = "spring_n4_d2_s950", "spring_n4_d2_s950__l1-newton__s950"
SEED = ("--seed", "950", "--quick")
STAGES = {
    "simulate": ("simulate.py", "--system", "spring", "--n-trajectories", "20", "--n-frames", "10", *SEED),
    "train": ("train.py", "--dataset", DATASET, "--message-dim", "4", *SEED),
    "extract": ("extract_messages.py", "--run", RUN, *SEED),
    "fit": ("fit_linear.py", "--run", RUN, *SEED),
    "law": ("symbolic_reg.py", "--run", RUN, "--rivals", "--targets", "radial", *SEED),
    "compare": ("test_generalization.py", "--run", RUN, "--rollouts", "0", *SEED),
}
# what depends on the clock, or on what has it
TIMED = ("seconds", "cpu_seconds", "content_sha256", "sha256", "git", "front_sha256", "versions")
LEFT = ".tmp"  # end of names of files that nobody needs


def stage(folder: Path, name: str, how: str = "count", step: int = 0, more=()):
    """Run a stage below ``folder`` that is stopped at ``step``."""
    script, *flags = STAGES[name]
    place = folder / "steps"
    return scripts.run(folder, str(FAULTS / "under.py"), how, step, place, scripts.ROOT / script, *flags, *more)


def results(folder: Path) -> dict:
    """File -> what it says but for times; pictures and pages by being there."""
    out = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "steps"):
        name, value = str(path.relative_to(folder)), None
        if path.suffix == ".json":
            value = untimed(json.loads(path.read_text()))
        elif path.suffix == ".npz":
            with np.load(path) as file:
                value = {k: a.tobytes() for k, a in file.items()}
        elif path.suffix in (".csv", ".py", ".safetensors"):
            value = path.read_bytes()
        out[name] = value
    return out


def untimed(value):
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMED}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def stopped(before: Path, name: str, how: str, points: int, right: dict, steps: int):
    """(step, outcome) of a stage that starts from the folder ``before``, stopped at up to ``points`` of its steps."""
    for step in sorted({1 + k * steps // points for k in range(points)} & set(range(1, steps + 1))):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "copy")
            shutil.copytree(before, folder)
            first = stage(folder, name, how, step)
            told = first.stderr.strip().splitlines()
            more = ("--resume",) if name == "train" and list(folder.rglob("checkpoint.safetensors")) else ()
            again = stage(folder, name, more=more)
            if "Traceback" in first.stderr:
                yield step, "TRACEBACK", told[-1]
            elif again.returncode:
                yield step, "NOT REPEATABLE", again.stderr.strip()[-300:]
            elif differ := difference(results(folder), right):
                yield step, "OTHER RESULT", differ
            else:
                yield step, "repeated", told[-1] if told else ""


def difference(found: dict, right: dict) -> str:
    """The first file that is not as it should be, or nothing."""
    names = [k for k in {*found, *right} if found.get(k, 0) != right.get(k, 0)]
    return ", ".join(sorted(names)[:3])


def table(names, how: str, points: int) -> list[tuple]:
    """(stage, step, outcome, what was said) of every stage of ``names``."""
    out = []
    with tempfile.TemporaryDirectory() as place:
        before = Path(place, "before")
        for folder in ("datasets", "model_weights", "outputs"):
            (before / folder).mkdir(parents=True)
        for name in STAGES:
            after = Path(place, name)
            shutil.copytree(before, after)
            scripts.ok(stage(after, name))
            steps = int((after / "steps").read_text())
            if name in names:
                found = stopped(before, name, how, points, results(after), steps)
                out += [(name, *row) for row in found]
            before = after
            if names and name == [s for s in STAGES if s in names][-1]:
                break
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--how", choices=("kill", "full", "TERM", "INT"), default="kill")
    parser.add_argument("--points", type=int, default=20)
    args = parser.parse_args()
    found = table(args.stages, args.how, args.points)
    for row in found:
        if row[2] != "repeated":
            print(*row, sep="  ")
    for name in args.stages:
        own = [row for row in found if row[0] == name]
        good = sum(row[2] == "repeated" for row in own)
        print(f"{name:9} {args.how}: {good} of {len(own)} repeated with equal results")
    return any(row[2] != "repeated" for row in found)


if __name__ == "__main__":
    sys.exit(main())
