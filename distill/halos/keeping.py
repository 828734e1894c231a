"""Datasets of haloes written to ``datasets/``."""

from pathlib import Path

import numpy as np

from distill.files.dataset import save_dataset
from distill.files.names import checked, dataset_path
from distill.files.provenance import provenance
from distill.halos.catalogue import UNITS
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import Stage

OTHER = "choose another --name, or add --overwrite"


def keep_dataset(
    name: str, arrays: dict, arguments: dict, stage: Stage, overwrite: bool = False, fix: str = OTHER
) -> Path:
    """Write the dataset; one that is there is left where it holds the same. ``UserError``, with the advice ``fix``,
    where it holds others.
    """
    path = dataset_path(checked(name))
    if path.is_file() and not overwrite:
        with np.load(path, allow_pickle=False) as file:
            known = set(file.files) == set(arrays)
            if known and all(np.array_equal(file[k], v, equal_nan=v.dtype.kind == "f") for k, v in arrays.items()):
                return path
        raise UserError(f"{relative(path)} holds other haloes", fix)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"n": arrays["pos"].shape[2], "dim": arrays["pos"].shape[3], "system": {"units": UNITS}}
    save_dataset(path, arrays, provenance("halos", arguments, {}, stage.seconds) | about)
    return path
