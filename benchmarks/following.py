"""What following the read-out costs a training: the share of its CPU time, for networks of few and of many components.

reads   nothing
writes  results/following.json

example:  python benchmarks/following.py

The demo's data and training (r2, newton recipe), and that of the variant that keeps all of its components to the end.
Each training is followed at every row of its history, as with ``train.py --track``; the fits are timed by themselves.
"""

import tempfile
import time
from pathlib import Path

import sections

from distill.shell import paths
from distill.shell.flags import Parser, add_run_flags
from distill.shell.stage import Stage, run_script
from distill.shell.threads import set_threads

RESULTS = paths.ROOT / "results" / "following.json"
VARIANTS = ("l1", "standard")
QUICK = {"epochs": 0.5, "n_trajectories": 50}


def parse(argv):
    parser = Parser(__doc__)
    add_run_flags(parser, "seed of data and training")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    stage, start = Stage("following", "r2"), time.time()
    set_threads(args.threads)
    rows = {name: row(name, args) for name in VARIANTS}
    if not args.quick:
        sections.save(RESULTS, "following", "r2 newton", sections.about("following", args, start) | {"rows": rows})
    print(stage.done(RESULTS, **{f"share_{name}": found["share"] for name, found in rows.items()}), flush=True)
    return 0


def row(variant: str, args) -> dict:
    """CPU seconds of a training of the ``variant`` and of following it."""
    import torch

    import distill
    from distill.files.dataset import load_dataset
    from distill.files.scales import scales_of
    from distill.messages.following import Following
    from distill.network.learning.fit import fit
    from distill.network.learning.training import Trainer
    from distill.pipeline.train import resolve

    torch.set_num_threads(args.threads)
    small = QUICK if args.quick else {}
    with tempfile.TemporaryDirectory() as folder:
        paths.DATASETS = Path(folder)
        made = distill.simulate("r2", n=4, dim=2, seed=args.seed, n_trajectories=small.get("n_trajectories"))
        data = load_dataset(str(made.path))
        options = resolve(data, variant, "newton", {"epochs": small["epochs"]} if small else {}, False)
        checkpoint = Path(folder) / "checkpoint.safetensors"
        trainer = Trainer(
            data, variant, options, args.seed, "cpu", "float32", checkpoint, {}, False, None, scales_of(data)
        )
        following, spent, found = Following.of(trainer), [], []

        def watch(shown: bool) -> dict:
            before = time.process_time()
            found.append(following())
            spent.append(time.process_time() - before)
            return {}

        before = time.process_time()
        fit([trainer], watch=watch)
        whole = time.process_time() - before - sum(spent)
    return {
        "steps": trainer.total,
        "followed": len(spent),
        "training_cpu_seconds": whole,
        "following_cpu_seconds": sum(spent),
        "share": sum(spent) / whole,
        "components": int(trainer.model.active.sum()),
        "read_out_error": {"first": found[0].error, "last": found[-1].error},
        "read_out_r2": {"first": found[0].r2, "last": found[-1].r2},
    }


if __name__ == "__main__":
    run_script(main)
