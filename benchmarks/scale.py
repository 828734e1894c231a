"""How far one machine reaches: CPU time, memory and disk of the stages on many trajectories and on many particles.

reads   what an interrupted call left behind: cells, and stages of a cell, that are done are found done, stages if the
        code is that which measured them: a cell whose stages are of other code, or of changes that were not committed,
        is begun anew
writes  results/scale.json; outputs/scale/<cell>.json and, while a cell is measured, the data in outputs/scale/<cell>/

example:  python benchmarks/scale.py
          python benchmarks/scale.py --cells r2_10000 r2_100000

A cell is one size of data, taken through simulate, train, extract, fit and law. Every stage is a child process of its
own with one thread, whose peak is its largest resident set; nothing numerical is imported here, because on Linux a
child's peak is at least its parent's. Trainings are as long as a rate and a peak need, and no longer. CPU times hold on
a machine that does other things, too; seconds by the wall clock, which are kept beside them, are upper bounds there.
"""

import functools
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import sections
from cell_files import file_of, kept

from distill.files.provenance import provenance, same_code
from distill.files.storage import load_json, require_disk, save_json
from distill.pipeline.runs.cells import STAGES, Cell, Children, working_in
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.stage import Stage, run_script

NAME, SEED = "scale", 216
MEASURED = ("simulate", "train", "extract", "fit", "law")
COSTS = "costs.json"
NUMBER = 8  # bytes on disk; of positions, velocities and accelerations
ROOM = 2e9  # for messages and all the rest beside a dataset, as bytes
GOOD = 0.1  # a network with more of the error of predicting nothing has not learnt enough for an R2 to say anything


@dataclass(frozen=True)
class Size:
    """The data of a cell and how long its network is trained."""

    system: str
    n: int
    trajectories: int
    frames: int
    epochs: float
    data: tuple = ()  # further flags of simulate.py

    @property
    def dim(self) -> int:
        return 3 if self.system == "lj" else 2

    def cell(self) -> Cell:
        data = ("--n-trajectories", self.trajectories, "--n-frames", self.frames, *self.data)
        train = ("--epochs", self.epochs, "--device", "cpu")
        return Cell(self.system, self.dim, "l1", "newton", SEED, self.n, data=data, train=train, targets=("radial",))

    @property
    def bytes(self) -> int:
        """Of the arrays of its dataset, roughly."""
        return 3 * NUMBER * self.trajectories * self.frames * self.n * self.dim


LIQUID = ("--equilibration", 10.0)  # ps: what costs is no worse for a fluid that is not yet in equilibrium
CELLS = {
    # as many steps in each, of 256 graphs; 100 frames, simulate.py's default
    "r2_10000": Size("r2", 4, 10_000, 100, 1.0),
    "r2_100000": Size("r2", 4, 100_000, 100, 0.1),
    # as many frames seen in each; the last has more of them, which tells what grows with them
    "lj_250": Size("lj", 250, 10, 50, 1.0, LIQUID),
    "lj_1000": Size("lj", 1000, 10, 50, 1.0, LIQUID),
    "lj_1000_frames": Size("lj", 1000, 10, 200, 0.25, LIQUID),
}
QUICK = {
    "r2_10000": Size("r2", 4, 60, 20, 1.0),
    "r2_100000": Size("r2", 4, 120, 20, 1.0),
    "lj_250": Size("lj", 250, 3, 5, 1.0, ("--equilibration", 0.2)),
    "lj_1000": Size("lj", 500, 3, 5, 1.0, ("--equilibration", 0.2)),
    "lj_1000_frames": Size("lj", 500, 3, 10, 1.0, ("--equilibration", 0.2)),
}


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--cells", nargs="+", choices=list(CELLS), default=list(CELLS), help="sizes to measure")
    add("--keep", action="store_true", help="leave data, networks and messages of the cells where they are")
    add("--overwrite", action="store_true", help="measure finished cells again")
    add("--quick", action="store_true", help="tiny sizes through the same code; writes to outputs/ alone")
    args = parser.parse_args(argv)
    args.seeds = [SEED]
    return args


def main(argv=None) -> int:
    args = parse(argv)
    stage, start, rows = Stage(NAME, " ".join(args.cells)), time.time(), {}
    for name, size in ((k, (QUICK if args.quick else CELLS)[k]) for k in dict.fromkeys(args.cells)):
        file = f"{name}_quick" if args.quick else name
        home = file_of(NAME, file).with_suffix("")
        if args.overwrite:
            shutil.rmtree(home, ignore_errors=True)
        measure = functools.partial(measured, size, home, Children(), args.quick)
        row = {"cell": name} | kept(NAME, file, args.overwrite, measure)
        print(f"{name}: {row.get('error') or told(row)}", file=sys.stderr, flush=True)
        if not args.keep and "error" not in row:
            shutil.rmtree(home, ignore_errors=True)
        rows[name] = row
        if not args.quick:
            add(row, args, start)
    failed = [k for k, row in rows.items() if "error" in row]
    highest = max((peak(row) for row in rows.values() if "error" not in row), default=0.0)
    out = paths.OUTPUTS / NAME if args.quick else results()
    print(stage.done(out, cells=len(rows), failed=len(failed), peak_mb=highest), flush=True)
    return int(bool(failed))


def results() -> Path:
    return paths.ROOT / "results" / f"{NAME}.json"


def add(row: dict, args, start: float) -> None:
    """Put a row into the results, in place of one of the same cell."""

    def put(former: dict) -> dict:
        rows = {r["cell"]: r for r in [*former.get("rows", []), row]}
        ordered = [rows[name] for name in CELLS if name in rows]
        return sections.about(f"{NAME}.py", args, start) | {"rows": ordered}

    sections.change(results(), NAME, NAME, put)


def measured(size: Size, home: Path, children: Children, quick: bool) -> dict:
    """The row of a cell whose data lie in ``home``. The costs of a stage are kept there as soon as it has ended, with
    the commit of the code; one that was cut off is measured again from its beginning. ``UserError`` if one fails, which
    is a result, too: with ``--overwrite`` the cell is tried again.
    """
    cell, costs = size.cell(), home / COSTS
    done = load_json(costs, "move it away") if costs.is_file() else {}
    if not all(same_code(one.get("git") or {}) for one in done.values()):
        shutil.rmtree(home)  # all stages: they read what those before them have made
        done = {}
    with working_in(home, children):
        require_disk(home / "datasets" / "data", int(size.bytes + ROOM), "name a larger disk with DISTILL_OUTPUTS")
        for stage in (s for s in MEASURED if s not in done):
            more = ["--overwrite"] + ["--quick"] * quick  # what is there without its costs says nothing of them
            script, *flags = cell.words(stage, *more)
            print(f"{time.strftime('%H:%M:%S')}  {script} {' '.join(flags)}", file=sys.stderr, flush=True)
            before, git = on_disk(home), provenance(NAME, {}, {}, 0.0)["git"]
            outcome = children.script(script, *flags)
            if outcome.error:
                raise UserError(f"{script}: {outcome.error}")
            done[stage] = outcome.costs() | {"bytes": on_disk(home) - before, "git": git}
            save_json(costs, done)
    about = {k: getattr(size, k) for k in ("system", "n", "dim", "trajectories", "frames", "epochs")}
    return about | {"stages": {STAGES[k]: done[k] for k in MEASURED}} | found(home, cell.run)


def found(home: Path, run: str) -> dict:
    """What the stages said of their own work: edges of training and messages, and R2 if it says anything."""
    config = load_json(home / "model_weights" / run / "config.json")
    messages = {k: load_json(home / "outputs" / run / f"messages_{k}.json") for k in ("train", "test")}
    fit = load_json(home / "outputs" / run / "linear_fit.json")
    n, skill = config["n"], config["skill"]
    a_frame = config["edges_a_frame"] or n * (n - 1)
    a_frame *= (config["options"].get("receivers") or n) / n  # of a step some receivers may be enough
    edges = config["graphs_seen"] * a_frame
    learnt = skill["network"] <= GOOD * min(skill["zero"], skill["mean"])
    return {
        "training": {
            "graphs": config["train_graphs"],
            "graphs_seen": config["graphs_seen"],
            "steps": config["steps"],
            "edges_a_frame": a_frame,
            "cpu_s": config["cpu_seconds"],
            "edges_a_cpu_s": edges / config["cpu_seconds"] if config["cpu_seconds"] else None,
            "error": skill["network"],
            "error_of_zero": skill["zero"],
        },
        "messages": {k: {"graphs": one["graphs"], "edges": one["edges"]} for k, one in messages.items()},
        "read_out_r2_all": fit["read_out"]["r2_all"] if learnt else None,
    }


def on_disk(folder: Path) -> int:
    """Bytes of all files below a folder but for the costs."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.name != COSTS)


def peak(row: dict) -> float:
    return max(one["peak_mb"] for one in row["stages"].values())


def told(row: dict) -> str:
    parts = (f"{s} {one['cpu_s']:.0f} CPU-s {one['peak_mb']:.0f} MB" for s, one in row["stages"].items())
    return ", ".join(parts)


if __name__ == "__main__":
    run_script(main)
