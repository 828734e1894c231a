"""Names of datasets and runs and where their files lie: one function each, never parsed back."""

import re
from pathlib import Path

from distill.shell import paths
from distill.shell.errors import UserError, near_miss
from distill.shell.paths import relative


def checked(name: str, fix: str | None = None) -> str:
    """``name`` if it can be that of a file or folder on every system; ``UserError`` otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        rule = "expected at most 100 letters, digits, '.', '_' and '-', the first no '.' or '-'"
        raise UserError(f"{name[:120]!a} cannot be the name of a file: {rule}", fix)
    return name


def dataset_name(system: str, n: int, dim: int, seed: int, tag: str = "") -> str:
    return checked(f"{system}_n{n}_d{dim}_s{seed}" + (f"_{tag}" if tag else ""), "choose another --tag")


def run_name(dataset: str, variant: str, recipe: str, seed: int, tag: str = "") -> str:
    name = f"{dataset}__{variant}-{recipe}__s{seed}" + (f"_{tag}" if tag else "")
    return checked(name, "choose another --tag, or rename the dataset's file")


def splines_name(dataset: str) -> str:
    """Of the folder in outputs/ with the law of a dataset without a network."""
    return checked(f"{dataset}__splines", "rename the dataset's file")


def run_name_of(name_or_path: str) -> str:
    """The name of a run given by name or, as shell completion does, by its folder in model_weights/ or outputs/."""
    path = Path(name_or_path)
    if path.name != str(path) or path.name in ("", ".."):
        path = path.resolve() if path.name in ("", "..") else path
        if path.parent.resolve() not in (paths.MODEL_WEIGHTS.resolve(), paths.OUTPUTS.resolve()):
            where = f"a folder in {relative(paths.MODEL_WEIGHTS)} or {relative(paths.OUTPUTS)}"
            raise UserError(f"{name_or_path[:120]!a} is not the name of a run ({where})")
    return checked(path.name)


def name_of_messages(path: str | Path, name: str | None = None) -> str:
    """What messages made elsewhere are called here, of the folder in outputs/ with what is made of them: ``name``, the
    stem of the file, or its folder's name where the file is called as ours are, messages_train.npz.
    """
    path = Path(path)
    stem = path.resolve().parent.name if re.fullmatch(r"messages(_\w+)?", path.stem) else path.stem
    name = checked(name or stem, "choose another with --name")
    if (paths.MODEL_WEIGHTS / name / "config.json").is_file():
        found = f"'{name}' is a trained run, whose results would mix with those of {relative(path)}"
        raise UserError(found, f"give another --name, or use the run:  --run {name}")
    return name


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
    path = paths.MODEL_WEIGHTS / checked(run)
    if not (path / "config.json").is_file():
        known = [p.parent.name for p in paths.MODEL_WEIGHTS.glob("*/config.json")]
        dataset = run.split("__")[0]
        hint = near_miss(run, known)
        raise UserError(
            f"run '{run}' does not exist in {relative(paths.MODEL_WEIGHTS)}{hint}",
            f"run this first:  python train.py --dataset {dataset}",
        )
    return path
