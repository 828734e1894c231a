"""The dataset of a trained run: the file that it learnt from, or one simulated again, with what it learnt of bodies."""

import hashlib

import numpy as np

from distill.files.dataset import Dataset, bodies, load_dataset, with_values
from distill.files.kinds import RunConfig
from distill.files.provenance import sha256
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn


def start_digest(dataset: Dataset) -> str:
    """SHA-256 of what a dataset starts from: masses, charges, first frames, its split, and further properties.

    Drawn from the seed, they are the same bits wherever a dataset is simulated again; what follows is not.
    """
    digest = hashlib.sha256()
    mass, charge, *further = dataset.properties.values()
    split = dataset.split.astype(np.int8)
    first = [dataset.arrays[name][:, 0] for name in ("pos", "vel") if name in dataset.arrays]
    for array in (mass, charge, *first, split, *further):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def dataset_of_run(run: str, config: RunConfig) -> Dataset:
    """The dataset a run was trained on, or one simulated again from the same states, with a warning; ``UserError``
    if it is another one.
    """
    dataset = load_dataset(config.dataset_path)
    if sha256(dataset.path) == config.digest_of("dataset"):
        return with_learnt(dataset, config)
    start, frames = config.dataset_start, dataset.pos.shape[1]
    same = (
        start is not None
        and (start.sha256, start.frames) == (start_digest(dataset), frames)
        and np.allclose(dataset.t, np.linspace(start.t[0], start.t[-1], frames))
    )
    if not same:
        raise UserError(
            f"run '{run}' was trained on another dataset: {relative(dataset.path)} has changed since",
            f"train again:  python train.py --dataset {dataset.name} --overwrite",
        )
    warn(f"{relative(dataset.path)} is not the file that '{run}' was trained on, but its start is the same: going on")
    return with_learnt(dataset, config)


def with_learnt(dataset: Dataset, config: RunConfig) -> Dataset:
    """The dataset with the values of bodies that were learnt with the weights of a run; as it is where there are none.
    ``UserError`` where a body is there that the run has never seen.
    """
    learnt = config.learnt
    if learnt is None:
        return dataset
    number, names = bodies(dataset)
    if strangers := [name for name in names if name not in learnt.bodies]:
        raise UserError(
            f"{relative(dataset.path)} has a body '{strangers[0]}' that run '{config.run}' has never seen",
            f"train again:  python train.py --dataset {dataset.name} --overwrite",
        )
    place = np.array([learnt.bodies.index(name) for name in names])
    values = {name: np.array(own)[place] for name, own in learnt.values.items()}
    known = all(learnt.given.get(name) for name in values)
    return with_values(dataset, number, values, "learnt with the weights of a network", known)


def start_of(dataset: Dataset) -> dict:
    """What ``dataset_of_run`` knows a dataset by that was simulated again: goes into a run's ``config.json``."""
    return {"sha256": start_digest(dataset), "frames": dataset.pos.shape[1], "t": dataset.times[0, [0, -1]].tolist()}
