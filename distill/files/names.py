"""Names of datasets and runs and where their files lie: one function each, never parsed back."""

import re
from pathlib import Path

from distill.files.storage import is_there
from distill.shell import paths
from distill.shell.errors import UserError, near_miss
from distill.shell.paths import relative


def checked(name: str, fix: str | None = None) -> str:
    """``name`` if it can be that of a file or folder on every system; ``UserError`` otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        rule = "expected at most 100 letters, digits, '.', '_' and '-', the first no '.' or '-'"
        raise UserError(f"{name[:120]!a} cannot be the name of a file: {rule}", fix)
    return name


def _tagged(name: str, tag: str) -> str:
    return f"{name}_{checked(tag, 'choose another --tag')}" if tag else name


def dataset_name(system: str, n: int, dim: int, seed: int, tag: str = "") -> str:
    return checked(_tagged(f"{system}_n{n}_d{dim}_s{seed}", tag), "choose another --tag")


def run_name(dataset: str, variant: str, recipe: str, seed: int, tag: str = "") -> str:
    name = _tagged(f"{dataset}__{variant}-{recipe}__s{seed}", tag)
    return checked(name, "choose another --tag, or rename the dataset's file")


def splines_name(dataset: str) -> str:
    """Of the folder in outputs/ with the law of a dataset without a network."""
    return checked(f"{dataset}__splines", "rename the dataset's file")


def run_name_of(name_or_path: str) -> str:
    """The name of a run given by name or, as shell completion does, by its folder in model_weights/ or outputs/."""
    path = Path(name_or_path)
    if path.is_file():
        found = f"{relative(path)} is a file, and a run is a folder in {relative(paths.MODEL_WEIGHTS)}"
        if path.suffix == ".npz":
            raise UserError(found, f"if it holds messages, give it as one:  --messages {name_or_path}")
        raise UserError(f"{found}: weights of other programs cannot be read", WEIGHTS_ELSEWHERE)
    if path.name != str(path) or path.name in ("", ".."):
        path = path.resolve() if path.name in ("", "..") else path
        if path.parent.resolve() not in (paths.MODEL_WEIGHTS.resolve(), paths.OUTPUTS.resolve()):
            where = f"a folder in {relative(paths.MODEL_WEIGHTS)} or {relative(paths.OUTPUTS)}"
            fix = "give its name alone"
            if (path / "config.json").is_file():
                fix = f"its folder is read with  DISTILL_MODEL_WEIGHTS={path.parent}"
            raise UserError(f"{name_or_path[:120]!a} is not the name of a run ({where})", fix)
    return checked(path.name, "give the name of a folder there")


def name_of_messages(path: str | Path, name: str | None = None) -> str:
    """What messages made elsewhere are called here, of the folder in outputs/ with what is made of them: ``name``, the
    stem of the file, or its folder's name where the file is called as ours are, messages_train.npz.
    """
    path = Path(path)
    stem = path.resolve().parent.name if re.fullmatch(r"messages(_\w+)?", path.stem) else path.stem
    name = checked(name or stem, "choose another with --name")
    if is_there(paths.MODEL_WEIGHTS / name / "config.json"):
        found = f"'{name}' is a trained run, whose results would mix with those of {relative(path)}"
        raise UserError(found, f"give another --name, or use the run:  --run {name}")
    return name


def dataset_path(name_or_path: str) -> Path:
    """The ``.npz`` of a dataset named as in ``datasets/`` or given as a path; it need not exist."""
    path = Path(name_or_path)
    if path.suffix == ".npz" or path.parent != Path("."):
        return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    return paths.DATASETS / f"{name_or_path}.npz"


# what to do with a state dict (.pth, .pt, .ckpt) and the like: a network is more than its weights
WEIGHTS_ELSEWHERE = "train here:  python train.py --dataset ...; or store what its edges send:  --messages FILE"


def messages_path(run: str, split: str) -> Path:
    return paths.OUTPUTS / run / f"messages_{split}.npz"


def run_dir(run: str) -> Path:
    """The folder of a trained run; raises ``UserError`` naming the near miss if there is none."""
    path = paths.MODEL_WEIGHTS / checked(run)
    if not is_there(path / "config.json"):
        known = [p.parent.name for p in paths.MODEL_WEIGHTS.glob("*/config.json") if p.is_file()]
        hint, where = near_miss(run, known), relative(paths.MODEL_WEIGHTS)
        others = sorted(p.name for p in path.glob("*.*") if p.suffix in FOREIGN_WEIGHTS) if path.is_dir() else []
        if others:
            found = f"run '{run}' does not exist: {where}/{run} holds no config.json, and weights of other programs"
            raise UserError(f"{found} ({', '.join(others[:3])}) cannot be read", WEIGHTS_ELSEWHERE)
        fix = f"run this first:  python train.py --dataset {run.split('__')[0]}"
        if (path / "checkpoint.safetensors").is_file():
            raise UserError(f"run '{run}' does not exist yet: {where}/{run} is unfinished", "python train.py --resume")
        if messages := next(iter(sorted((paths.OUTPUTS / run).glob("messages_*.npz"))), None):
            fix += f"; messages that it did not send:  --messages {relative(messages)}"
        raise UserError(f"run '{run}' does not exist in {where}{hint}", fix)
    return path


FOREIGN_WEIGHTS = (".pth", ".pt", ".ckpt", ".pkl", ".h5", ".onnx", ".bin")
