"""Names of datasets and runs and where their files lie: one function each, never parsed back.

``python -m distill.files.names r2 4 2 0 l1 newton`` prints the dataset's and the run's name for the Makefile.
"""

import sys
from pathlib import Path

from distill.shell import paths
from distill.shell.errors import UserError, near_miss
from distill.shell.paths import relative


def dataset_name(system: str, n: int, dim: int, seed: int, tag: str = "") -> str:
    return f"{system}_n{n}_d{dim}_s{seed}" + (f"_{tag}" if tag else "")


def run_name(dataset: str, variant: str, recipe: str, seed: int, tag: str = "") -> str:
    return f"{dataset}__{variant}-{recipe}__s{seed}" + (f"_{tag}" if tag else "")


def dataset_path(name_or_path: str) -> Path:
    """The ``.npz`` of a dataset named as in ``datasets/`` or given as a path; it need not exist."""
    path = Path(name_or_path)
    if path.suffix == ".npz" or path.parent != Path("."):
        return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    return paths.DATASETS / f"{name_or_path}.npz"


def messages_path(run: str, split: str) -> Path:
    return paths.OUTPUTS / run / f"messages_{split}.npz"


def run_dir(run: str) -> Path:
    """The folder of a trained run; raises ``UserError`` naming the near miss if there is none."""
    path = paths.MODEL_WEIGHTS / run
    if not run or path.parent.resolve() != paths.MODEL_WEIGHTS.resolve():
        raise UserError(f"'{run}' is not the name of a run (a folder in {relative(paths.MODEL_WEIGHTS)})")
    if not (path / "config.json").is_file():
        known = [p.parent.name for p in paths.MODEL_WEIGHTS.glob("*/config.json")]
        dataset = run.split("__")[0]
        hint = near_miss(run, known)
        raise UserError(
            f"run '{run}' does not exist in {relative(paths.MODEL_WEIGHTS)}{hint}",
            f"run this first:  python train.py --dataset {dataset}",
        )
    return path


if __name__ == "__main__":
    system, n, dim, seed, variant, recipe = sys.argv[1:]
    dataset = dataset_name(system, int(n), int(dim), int(seed))
    print(dataset, run_name(dataset, variant, recipe, int(seed)))
