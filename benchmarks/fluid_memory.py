"""Resident memory of trainings on a fluid, whose every frame has edges of its own: over the run, and its peak.

reads   datasets/lj_n258_d3_s<seed>.npz, which it makes if it is not there
writes  results/fluid_memory.json

example:  python benchmarks/fluid_memory.py --variants bottleneck kl --epochs 0.1

The data are argon's (docs/argon.md), the network's steps those of ``train.py``. Each training is a process of its own,
once with as many of oneDNN's compiled kernels kept as the library keeps by itself (``before``), once with as many as
``distill.shell.memory`` has it keep (``after``); both end with the same weights, which is checked. Linux only.
"""

import hashlib
import os
import time
from pathlib import Path

import sections

from distill.files.provenance import same_code
from distill.network.variants import VARIANTS
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, add_run_flags, positive_float
from distill.shell.memory import CAPACITIES, KERNELS, keep_few_kernels
from distill.shell.processes import workers
from distill.shell.stage import Stage, run_script
from distill.shell.threads import set_threads

RESULTS = paths.ROOT / "results" / "fluid_memory.json"
SECTION = "argon newton"
KEPT = {"before": 1024, "after": KERNELS}  # kernels; the first is oneDNN's own number
STATUS = Path("/proc/self/status")


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--variants", nargs="+", choices=VARIANTS, default=["bottleneck", "kl"])
    add("--epochs", type=positive_float, default=0.1, help="passes over the training frames, of a schedule as long")
    add_run_flags(parser, "seed of data and trainings")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    if not STATUS.is_file():
        raise UserError(f"no {STATUS} here", "run it on Linux: it reads the resident memory there")
    stage, start = Stage("fluid_memory", "argon"), time.time()
    set_threads(args.threads)
    import distill

    made = distill.simulate("lj", seed=args.seed, quick=args.quick)
    rows = {variant: compared(str(made.path), variant, args) for variant in args.variants}
    if not args.quick:
        about = sections.about("fluid_memory", args, start)

        def put(former: dict) -> dict:  # with variants that were not asked for now, if they are of the same code
            others = former.get("rows", {}) if same_code(former.get("git") or {}) else {}
            return about | {"rows": others | rows}

        sections.change(RESULTS, "fluid_memory", SECTION, put)
    print(
        stage.done(RESULTS, **{f"{k}_{w}_mb": row[w]["peak_mb"] for k, row in rows.items() for w in KEPT}), flush=True
    )
    return 0


def compared(dataset: str, variant: str, args) -> dict:
    """The same training twice; ``UserError`` if the two end with other weights."""
    found = {name: alone(kept, dataset, variant, args) for name, kept in KEPT.items()}
    if len({row.pop("weights") for row in found.values()}) > 1:
        raise UserError(f"{variant}: weights depend on how many kernels are kept", "do not believe these trainings")
    return found


def alone(kept: int, *arguments) -> dict:
    with workers(1) as pool:
        return pool.submit(training, kept, *arguments).result()


def training(kept: int, dataset: str, variant: str, args) -> dict:
    """Of one training: MB resident at its start and, by the share that is done, in its course; peak and CPU time."""
    for name in CAPACITIES:
        os.environ.pop(name, None)
    keep_few_kernels(kept)
    set_threads(args.threads)
    import torch

    from distill.files.dataset import load_dataset
    from distill.files.scales import scales_of
    from distill.network.learning.fit import fit
    from distill.network.learning.training import Trainer
    from distill.pipeline.train import resolve

    torch.set_num_threads(args.threads)
    data = load_dataset(dataset)
    options = resolve(data, variant, "newton", {"epochs": args.epochs}, args.quick)
    checkpoint = Path(dataset).with_name(f"{variant}_checkpoint.safetensors")  # of a training of minutes
    trainer = Trainer(data, variant, options, args.seed, "cpu", "float32", checkpoint, {}, False, None, scales_of(data))
    course, before = [[0.0, resident("VmRSS")]], time.process_time()

    def watch(shown: bool) -> dict:
        course.append([round(trainer.step / trainer.total, 4), resident("VmRSS")])
        return {}

    try:
        fit([trainer], watch=watch)
    finally:
        checkpoint.unlink(missing_ok=True)
    weights = b"".join(p.detach().numpy().tobytes() for p in trainer.model.parameters())
    return {
        "kernels": kept,
        "epochs": args.epochs,
        "frames": len(trainer.x),
        "edges_a_frame": trainer.data.edges_a_frame,
        "steps": trainer.total,
        "peak_mb": resident("VmHWM"),
        "growth_second_half_mb": round(course[-1][1] - course[len(course) // 2][1], 1),
        "course_mb": course,
        "cpu_seconds": time.process_time() - before,
        "weights": hashlib.sha256(weights).hexdigest(),
    }


def resident(what: str) -> float:
    """MB resident now (``VmRSS``), or at most so far (``VmHWM``)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{what}:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


if __name__ == "__main__":
    run_script(main)
