"""Datasets: ``datasets/<dataset>.npz`` with the JSON beside it, see ``fields.DATASET_FIELDS``."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from distill.files import records
from distill.files.arrays import check_fields, indicators, load_npz, not_of_its_json, numbered
from distill.files.fields import DATASET_FIELDS, PROPERTY, SPLITS
from distill.files.gaps import check_gaps, leave_out_bad_frames
from distill.files.kinds import DatasetRecord, SystemRecord
from distill.files.names import dataset_path
from distill.files.properties import MOST_LEVELS, USUAL, category_of, level_names, ordered, usable
from distill.files.provenance import sha256, sha256_of
from distill.files.storage import is_there, save_together
from distill.shell.errors import UserError, about, near_miss
from distill.shell.paths import relative
from distill.shell.stage import warn

LARGEST = 1e60  # magnitude of a number in a dataset
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".npy", ".h5", ".hdf5", ".xyz", ".extxyz", ".dump", ".lammpstrj")
MAY_LACK = {"vel": "velocities", "acc": "accelerations"}


@dataclass
class Dataset:
    """A dataset in memory; arrays as in ``DATASET_FIELDS``, ``meta`` the JSON beside it, if any.

    ``vel`` and ``acc`` need not be among the arrays: ``UserError`` for a stage that asks for one that is not.
    ``assumed``: names of ``mass`` and ``charge`` where the file has none, and ones or zeros were put in their place.
    ``categories``: name -> its levels, which the numbers of the array of that name count from 0.
    """

    name: str
    path: Path
    arrays: dict
    meta: DatasetRecord = field(default_factory=DatasetRecord)
    assumed: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __getattr__(self, key):
        if key != "arrays" and key in self.arrays:
            return self.arrays[key]
        if key in MAY_LACK:
            raise self.lacks(key)
        raise AttributeError(key)

    def lacks(self, key: str) -> UserError:
        """What a stage says that needs ``vel`` or ``acc`` where the file has none."""
        told = f"{relative(self.path)} holds no {MAY_LACK[key]} ('{key}'), which this stage needs"
        if key == "acc" and self.has_target:
            told = f"{relative(self.path)} holds a 'target', a number of every particle, and no accelerations"
            return UserError(told, "train.py and extract_messages.py take it; docs/halos.md says what comes after them")
        if "observed" in self.arrays:
            return UserError(
                told, f"measure them, or start from positions:  python symbolic_reg.py --dataset {self.name}"
            )
        return UserError(told, f"make a dataset of its positions:  python import_tracks.py {relative(self.path)}")

    @property
    def times(self) -> np.ndarray:
        """Times of the frames [trajectory, frame]."""
        return np.broadcast_to(self.t, self.pos.shape[:2])

    @property
    def learnt(self) -> np.ndarray | None:
        """What networks learn of every particle [trajectory, frame, particle, output]: the number ``target`` where
        there is one, else its acceleration; None where only positions are known.
        """
        if "target" in self.arrays:
            return self.arrays["target"][..., None]
        return self.arrays.get("acc")

    @property
    def has_target(self) -> bool:
        """Whether a number of every particle is learnt, not its acceleration."""
        return "target" in self.arrays

    @property
    def outputs(self) -> int:
        """Components of what networks learn."""
        return 1 if self.has_target else self.dim

    @property
    def there(self) -> np.ndarray:
        """Whether a particle is in a frame at all, seen or filled in [trajectory, frame, particle]."""
        return np.isfinite(self.pos[..., 0])

    @property
    def was_seen(self) -> np.ndarray:
        """Whether a particle was observed in a frame [trajectory, frame, particle]."""
        return self.arrays["seen"] != 0 if "seen" in self.arrays else np.ones(self.pos.shape[:3], dtype=bool)

    @property
    def properties(self) -> dict[str, np.ndarray]:
        """Name -> [trajectory, particle]: mass, charge, then the further columns by alphabet, those of a category being
        the indicators of its levels.
        """
        found = {k: self.arrays[k] for k in _columns(self.arrays) if usable(k) and k not in self.categories}
        for name, levels in self.categories.items():
            found |= indicators(name, levels, self.arrays[name])
        return {name: found[name] if name in found else self.arrays[name] for name in ordered([*USUAL, *found])}

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """As ``properties``, with the numbers of its levels for a category."""
        further = [k for k in _columns(self.arrays) if usable(k)]
        return {name: self.arrays[name] for name in ordered([*USUAL, *further])}

    @property
    def measured_properties(self) -> tuple[str, ...]:
        """Names of those that were given, and differ from particle to particle."""
        given = {k: v for k, v in self.properties.items() if k not in self.assumed and k not in self.meta.derived}
        return tuple(k for k, v in given.items() if np.ptp(v) > 1e-9 * np.abs(v).max())

    @property
    def n(self) -> int:
        return self.pos.shape[2]

    @property
    def dim(self) -> int:
        return self.pos.shape[3]

    @property
    def periodic(self) -> bool:
        """Whether the particles are in a periodic box, where a position by itself means nothing."""
        return "box" in self.arrays

    def trajectories(self, split: str) -> np.ndarray:
        """Indices of the trajectories of ``split`` (``"all"`` for every one)."""
        if split == "all":
            return np.arange(len(self.pos))
        index = np.flatnonzero(self.arrays["split"] == SPLITS.index(split))
        if not len(index):
            found = f"{relative(self.path)} has no trajectory in its {split} split"
            raise UserError(found, f"give some the number {SPLITS.index(split)} in 'split', or leave 'split' out")
        return index

    def frames(self, split: str) -> np.ndarray:
        """Numbers (trajectory x frames + frame) of the frames of ``split`` that hold a pair of particles, in order."""
        trajectories, frames = self.trajectories(split), self.pos.shape[1]
        number = (trajectories[:, None] * frames + np.arange(frames)).ravel()
        return number[self.there[trajectories].sum(-1).ravel() >= 2]


def load_dataset(name_or_path: str) -> Dataset:
    """Load and check a dataset, made by ``simulate.py`` or by anybody who follows the format.

    ``UserError`` in one line that names the file, and what to do with it: one that no stage here made is the user's.
    """
    path = _is_dataset(name_or_path)
    side = path.with_suffix(".json")
    if not os.path.lexists(side) or records.stage_of(side) not in (DatasetRecord.STAGE, *DatasetRecord.ALSO):
        fix = f"correct it, docs/formats.md lists its arrays; or import it:  python import_tracks.py {relative(path)}"
    else:
        fix = "make it again with the command of its .json and --overwrite"
    with about(relative(path), fix):
        return _load(path, side, fix)


def _is_dataset(name_or_path: str) -> Path:
    """The path of a dataset that is there; ``UserError`` that says what to do where it is not, or is a table."""
    path, given = dataset_path(name_or_path), Path(name_or_path)
    if not is_there(path) and given.suffix != ".npz" and given.exists():
        found = f"{relative(given)} is no dataset, which is an .npz"
        raise UserError(found, f"import it first:  python import_tracks.py {name_or_path}")
    if not path.is_file() and given.suffix.lower() in TABLES:
        raise UserError(f"{relative(given)} does not exist", "when it does:  python import_tracks.py " + name_or_path)
    if not path.is_file():
        known = [p.stem for p in path.parent.glob("*.npz") if p.is_file()] if path.parent.is_dir() else []
        simulated = re.match(r"(.+?)_n\d+_d\d+_s\d+", path.stem)  # as simulate.py names them
        fix = "datasets that are there: " + ", ".join(sorted(known)[:8]) if known else "see docs/formats.md"
        if simulated:
            fix = f"run this first:  python simulate.py --system {simulated[1]}"
        raise UserError(f"{relative(path)} does not exist{near_miss(path.stem, known)}", fix)
    return path


def _load(path: Path, side: Path, ours: str) -> Dataset:
    """What ``load_dataset`` gives; ``ours``: what to do with the file where it is wrong."""
    found: dict = {}

    def columns_of(headers: dict) -> list[str]:
        found.update(headers)
        return [k for k, h in headers.items() if len(h.shape) == 2 and h.shape == headers["pos"].shape[:3:2]]

    arrays = load_npz(path, DATASET_FIELDS, "dataset", ours, further=columns_of)
    unread = {k: h for k, h in found.items() if k not in arrays}
    where, assumed = relative(path), [name for name in USUAL if name not in arrays]
    trajectories, frames, n, dim = arrays["pos"].shape
    if min(trajectories, frames) < 1:
        raise UserError(f"{where}: 'pos' has shape {arrays['pos'].shape}, expected at least one frame")
    if n < 2:
        raise UserError(f"{where} has {n} particle, expected at least 2: one particle feels no pair force")
    if dim not in (1, 2, 3):
        raise UserError(f"{where} has {dim} space dimensions, expected 1, 2 or 3")
    if "mass" in assumed:
        warn(f"{where} holds no masses: all particles are taken to have the same, 1")
        arrays["mass"] = np.ones((trajectories, n))
    if not (arrays["mass"] > 0).all():
        raise UserError(f"{where}: 'mass' holds {int((arrays['mass'] <= 0).sum())} values that are not positive")
    leave_out_bad_frames(arrays, where)
    check_gaps(arrays, where)
    check_box(arrays, where)
    # a folder or a link to nothing in its place is no dataset without a JSON
    meta = records.load(DatasetRecord, side) if os.path.lexists(side) else DatasetRecord()
    categories = take_categories(arrays, meta.categories, where)
    columns = take_columns(arrays, where, categories, unread)
    check_magnitudes(arrays, where, columns)
    arrays.setdefault("charge", np.zeros_like(arrays["mass"]))
    arrays.setdefault("t", np.arange(frames, dtype=float))
    if "split" not in arrays:
        arrays["split"] = make_split(trajectories, 0)
    elif not np.isin(arrays["split"], (0, 1, 2)).all():
        raise UserError(f"{where}: 'split' holds values other than 0 (train), 1 (validation), 2 (test)")
    dataset = Dataset(path.stem, path, arrays, meta, tuple(assumed), categories)
    if lacking := sorted(set(meta.system.properties) - set(dataset.properties)):
        lacks = f"{where} lacks '{lacking[0]}' [trajectory, particle], a property of the particles of its system"
        raise UserError(f"{lacks} '{meta.system.name}' ({relative(side)})", "put it back, or " + ours)
    if meta.arrays_sha256 not in (None, sha256(path)):
        raise not_of_its_json(path, side, ours)
    return dataset


def save_dataset(path: Path, arrays: dict, about: dict) -> None:
    """Write a dataset and the JSON beside it. An ``.npz`` of ours is never there without its JSON, whenever we are
    cut off: one that stands alone is somebody else's.
    """
    check_fields(arrays, DATASET_FIELDS, where := f"what was to be written to {relative(path)}")
    check_gaps(arrays, where)
    written = {}

    def write_arrays(file):
        np.savez(file, **arrays)
        written["arrays_sha256"] = sha256_of(file)

    def write_side(file):  # arrays are written first
        file.write(records.text(DatasetRecord, about | written).encode())

    save_together({path.with_suffix(".json"): write_side, path: write_arrays})


def check_magnitudes(arrays: dict, where: str, columns: Iterable[str] = ()) -> None:
    """``UserError`` for numbers whose squares and products leave the range of 64 bits: networks and fits work in units
    of the data (``scales``), but what is read from a file is first computed with as it is.
    """
    low, high = 1 / LARGEST, LARGEST
    for name in ("pos", "vel", "acc", "target", "mass", "charge", *columns):
        ends = [float(f(arrays[name])) for f in (np.nanmin, np.nanmax)] if name in arrays else [0.0]
        for size in (max(map(abs, ends)), *ends[: name == "mass"]):
            if size > high or 0 < size < low:
                found = f"{where}: '{name}' holds magnitudes like {size:.3g}, expected {low:g} to {high:g}"
                raise UserError(found, "choose other units of length, time or mass")


def _columns(arrays: dict) -> list[str]:
    """Names of the arrays of numbers [trajectory, particle] that are no field of every dataset."""
    like = arrays["mass"].shape
    return [k for k, a in arrays.items() if k not in DATASET_FIELDS and a.shape == like and a.dtype.kind in "fiub"]


def take_categories(arrays: dict, told: Mapping, where: str) -> dict[str, tuple[str, ...]]:
    """Category -> its levels: those that the JSON beside a dataset has ``told``, and arrays of words [trajectory,
    particle], which become numbers. ``UserError`` for numbers that stand for no level, or for too many levels.
    """
    out, like = {}, arrays["mass"].shape
    for name, array in arrays.items():
        if name not in told and array.dtype.kind == "U" and array.shape == like and usable(name):
            words, numbers = np.unique(array, return_inverse=True)
            if 1 < len(words) <= MOST_LEVELS:  # else nothing can depend on them, or they are names of particles
                out[name], arrays[name] = numbered(words.tolist(), numbers.reshape(like))
    for name, levels in told.items():
        if not usable(name) or category_of(name):
            raise UserError(f"{where}: no category can be called '{name[:60]}'", "letters, digits and _, at most 31")
        array = arrays.get(name)
        if array is None or array.shape != like or array.dtype.kind not in "iu":
            has = "none" if array is None else f"{list(array.shape)} ({array.dtype})"
            raise UserError(f"{where}: the category '{name}' is {has}, expected whole numbers {list(like)}")
        if array.min() < 0 or array.max() >= len(levels) or len(set(levels)) < len(levels):
            found = f"{where}: '{name}' holds numbers from {array.min()} to {array.max()}"
            raise UserError(f"{found}, expected 0 to {len(levels) - 1}, a name of its own for each")
        if list(levels) != sorted(level_names(levels)):
            found = f"{where}: the levels of '{name}' are {', '.join(levels)}"
            raise UserError(found, "give them names of letters and digits, in the order of the alphabet")
        out[name] = tuple(levels)
    for name, levels in out.items():
        if len(levels) > MOST_LEVELS:
            raise UserError(f"{where}: '{name}' has {len(levels)} levels, expected at most {MOST_LEVELS}")
    return out


def take_columns(arrays: dict, where: str, categories: Iterable[str] = (), unread: Mapping = MappingProxyType({})):
    """Names of the further properties, which become floats but for ``categories``; ``UserError`` for one that is not
    finite, a warning for a column whose name no formula can hold, and for arrays that are none, ``unread`` ones (name
    -> ``Header``) too.
    """
    taken, like = [], arrays["mass"].shape
    columns = _columns(arrays)
    others = {k: a for k, a in arrays.items() if k not in DATASET_FIELDS and k not in columns} | dict(unread)
    if others:
        told = ", ".join(f"'{k}' {list(a.shape)} ({a.dtype})" for k, a in [*others.items()][:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        what = f"properties of particles are numbers [trajectory, particle], here {list(like)}"
        warn(f"{where}: {told}{more} left out: {what}")
    for name in _columns(arrays):
        if not usable(name):
            warn(f"{where}: the column '{name}' is left out: no variable of a formula can be called '{name}_i'")
            continue
        if name in categories:
            continue
        if category_of(name):
            warn(f"{where}: the column '{name}' is left out: names with '__' are those of levels of a category")
            del arrays[name]
            continue
        if arrays[name].dtype.kind != "f":
            arrays[name] = arrays[name].astype(float)
        check_fields(arrays, {"mass": PROPERTY, name: PROPERTY}, where)
        taken.append(name)
    return taken


def check_box(arrays: dict, where: str) -> None:
    """``UserError`` unless ``box`` and ``cutoff``, where present, leave every pair one nearest image."""
    box, cutoff = arrays.get("box"), arrays.get("cutoff")
    if box is not None and not (box > 0).all():
        raise UserError(f"{where}: 'box' is {np.asarray(box).tolist()}, expected positive side lengths")
    if cutoff is None:
        return
    if not cutoff > 0:
        raise UserError(f"{where}: 'cutoff' is {float(cutoff)}, expected a positive length")
    if box is None:
        raise UserError(f"{where} holds a 'cutoff' without a 'box'", "add the side lengths of the periodic box")
    if cutoff > (side := float(np.min(box))) / 2:
        raise UserError(f"{where}: 'cutoff' is {float(cutoff):g}, expected at most half the shortest side {side:g}")


def of_one_film(dataset: Dataset) -> bool:
    """Whether all trajectories were cut from one recording."""
    return len(dataset.pos) == 1 or len(np.unique(dataset.arrays.get("film", [0, 1]))) == 1


def bodies(dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """(number of the body [trajectory, particle], names). ``UserError`` where nobody knows who is who, or where a body
    is twice in a trajectory.
    """
    if "id" in dataset.arrays:
        found, number = np.unique(dataset.arrays["id"], return_inverse=True)
        number = number.reshape(dataset.arrays["id"].shape)
        names = dataset.meta.bodies
        told = [names[k] if 0 <= k < len(names) else str(k) for k in found.tolist()]
        there = np.asarray(dataset.there.any(1))
        for k, row in enumerate(number):
            own = row[there[k]]
            if len(np.unique(own)) < len(own):
                twice = told[int(np.bincount(own).argmax())]
                raise UserError(
                    f"{dataset.name}: body {twice} is twice in trajectory {k}", "give every particle of it its own 'id'"
                )
        if len(set(told)) < len(told):
            raise UserError(f"{dataset.name}: two bodies have the same name", "correct 'bodies' in its .json")
        return number, told
    if of_one_film(dataset):
        return np.broadcast_to(np.arange(dataset.n), dataset.pos[:, 0, :, 0].shape), list(map(str, range(dataset.n)))
    raise UserError(
        f"{dataset.name}: nothing says which particles of different trajectories are the same bodies",
        "give an array 'id' [trajectory, particle]; import_tracks.py --same-bodies takes a table's names for it;"
        " simulate.py --bodies N makes such data",
    )


def with_values(dataset: Dataset, number: np.ndarray, values: Mapping, how: str, system: bool = False) -> Dataset:
    """The same data with these ``values`` [body] of properties by name, for the bodies ``number`` [trajectory,
    particle]; ``how`` they were come by. What law the data obey is forgotten unless the true ``system`` still holds.
    """
    arrays = dict(dataset.arrays) | {name: np.asarray(own, float)[number] for name, own in values.items()}
    meta = replace(dataset.meta, derived=dataset.meta.derived | dict.fromkeys(values, how))
    if not system:
        same = {name: getattr(meta.system, name) for name in ("held", "neighbours_only")}
        meta = replace(meta, system=replace(SystemRecord(), **same))
    assumed = tuple(name for name in dataset.assumed if name not in values)
    return replace(dataset, arrays=arrays, meta=meta, assumed=assumed)


def make_split(trajectories: int, seed: int) -> np.ndarray:
    """Whole trajectories to train (80 %), validation and test (10 % each, one at least from 3 on)."""
    held_out = max(1, round(0.1 * trajectories)) if trajectories >= 3 else 0
    split = np.zeros(trajectories, dtype=np.int8)
    order = np.random.default_rng([seed, 20061128]).permutation(trajectories)
    split[order[:held_out]] = 1
    split[order[held_out : 2 * held_out]] = 2
    return split
