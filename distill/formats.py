"""The files between the stages: one table of fields, one save and one load for each kind.

Arrays are stored by name in ``.npz`` (never pickled), everything else in a JSON of the same stem.
Files are written whole or not at all: a temporary name in the same folder, flushed, then renamed.

Dataset ``datasets/<dataset>.npz``: see ``fields.DATASET_FIELDS``. Messages
``outputs/<run>/messages_<split>.npz``: see ``fields.MESSAGE_FIELDS``. Units: dimensionless, G = k = 1, unless the
dataset's JSON states ``units``.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distill.cli import DATASETS, MODEL_WEIGHTS, OUTPUTS, ROOT, UserError, near_miss, relative, warn  # noqa: F401
from distill.fields import DATASET_FIELDS, MESSAGE_FIELDS, SPLITS
from distill.names import dataset_name, dataset_path, messages_path, run_dir, run_name  # noqa: F401
from distill.npz import NpzWriter, layout_bytes, read_rows
from distill.provenance import IGNORED_ARGUMENTS, already_done, provenance, sha256  # noqa: F401
from distill.storage import (  # noqa: F401  (all of this is the interface to files: one import for a script)
    atomic,
    finite_or_none,
    load_json,
    plain,
    require_disk,
    save_bytes,
    save_json,
    save_text,
)

MOST_EDGES = 1_500_000  # of a messages file in memory at once: 0.8 GB with 100 components in 2-D


# ---------------------------------------------------------------- arrays


def save_npz(path: Path, arrays: dict, fields: dict) -> None:
    """Write ``arrays`` after checking them against the table ``fields``."""
    check_fields(arrays, fields, f"what was to be written to {relative(path)}")
    with atomic(path) as file:
        np.savez(file, **arrays)


def stream_npz(path: Path, parts: Iterable[dict], sizes: dict, fields: dict, fix: str | None = None) -> None:
    """Write an ``.npz`` from ``parts`` that come one after the other, in the memory of one of them.

    ``sizes``: axis of ``fields`` -> its size in the whole file. An array whose first axis is among them is the
    parts' rows one after the other; any other is taken from the first part. Every part is checked as by
    ``save_npz``. ``UserError`` for what is not allowed, and before anything is written if the disk is too full
    (``fix``: what to do then); ``ValueError`` if the parts do not add up to ``sizes``.
    """
    path, where = Path(path), f"what was to be written to {relative(path)}"
    parts = iter(parts)
    first = next(parts)
    check_fields(first, fields, where)
    rows = {k: sizes[fields[k][0][0]] for k in first if k in fields and fields[k][0][0] in sizes}
    layout = {k: (v.dtype, (rows.get(k, len(v)), *v.shape[1:])) for k, v in first.items()}
    require_disk(path, layout_bytes(layout), fix)
    with atomic(path) as file:
        writer = NpzWriter(file, layout)
        for name, value in first.items():
            writer.append(name, value)
        for part in parts:
            check_fields(part, fields, where)
            for name in rows:
                writer.append(name, part[name])
        writer.finish()


def load_npz(path: Path, fields: dict, kind: str, fix: str | None = None, draw: Callable | None = None) -> dict:
    """Read and check an ``.npz``; raises ``UserError`` if missing, damaged or of another kind.

    ``draw(file)`` gives (axis, mask of its entries to read) from the open file, or None for all of it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{relative(path)} does not exist", fix)
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [k for k, (_, _, required) in fields.items() if required and k not in file.files]
            if missing:
                raise UserError(
                    f"{relative(path)} is not a {kind} file: it lacks {', '.join(missing)}"
                    f" and holds {', '.join(file.files[:8]) or 'nothing'}",
                    fix,
                )
            axis, keep = (draw(file) if draw else None) or (None, None)
            part = {k for k in file.files if k in fields and fields[k][0][:1] == (axis,)}
            arrays = {k: read_rows(file, k, keep) if k in part else file[k] for k in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError, AttributeError, TypeError) as exc:
        raise UserError(f"{relative(path)} is damaged or half-written ({_first_line(exc)})", fix) from None
    check_fields(arrays, fields, relative(path), fix)
    return arrays


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:100]


def check_fields(arrays: dict, fields: dict, where: str, fix: str | None = None) -> None:
    """Check names, numbers of axes, agreeing sizes, kinds and finiteness."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, (axes, kind, required) in fields.items():
        if name not in arrays:
            if required:
                raise UserError(f"{where}: field '{name}' {list(axes)} is missing", fix)
            continue
        array = np.asarray(arrays[name])
        if array.dtype.kind not in ("fiu" if kind == "f" else "iub"):
            raise UserError(f"{where}: '{name}' has type {array.dtype}, expected numbers ({kind})", fix)
        if array.ndim != len(axes):
            raise UserError(f"{where}: '{name}' has shape {array.shape}, expected {len(axes)} axes {list(axes)}", fix)
        for axis, size in zip(axes, array.shape, strict=True):
            known, owner = sizes.setdefault(axis, (size, name))
            if size != known:
                raise UserError(f"{where}: '{name}' has {size} along '{axis}' where '{owner}' has {known}", fix)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise UserError(f"{where}: '{name}' holds {bad} NaN or infinite values", fix)


@dataclass
class Dataset:
    """A dataset in memory; arrays as in ``DATASET_FIELDS``, ``meta`` the JSON beside it (or {})."""

    name: str
    path: Path
    arrays: dict
    meta: dict = field(default_factory=dict)

    def __getattr__(self, key):
        if key != "arrays" and key in self.arrays:
            return self.arrays[key]
        raise AttributeError(key)

    @property
    def n(self) -> int:
        return self.pos.shape[2]

    @property
    def dim(self) -> int:
        return self.pos.shape[3]

    def trajectories(self, split: str) -> np.ndarray:
        """Indices of the trajectories of ``split`` (``"all"`` for every one)."""
        if split == "all":
            return np.arange(len(self.pos))
        index = np.flatnonzero(self.arrays["split"] == SPLITS.index(split))
        if not len(index):
            raise UserError(f"{relative(self.path)} has no trajectory in its {split} split")
        return index


def load_dataset(name_or_path: str) -> Dataset:
    """Load and check a dataset, made by ``simulate.py`` or by anybody who follows the format."""
    path = dataset_path(name_or_path)
    if not path.is_file():
        known = [p.stem for p in path.parent.glob("*.npz")] if path.parent.is_dir() else []
        raise UserError(
            f"{relative(path)} does not exist{near_miss(path.stem, known)}",
            f"run this first:  python simulate.py --system {path.stem.split(chr(95))[0]}",
        )
    arrays = load_npz(path, DATASET_FIELDS, "dataset", "make it again with  python simulate.py --overwrite")
    where = relative(path)
    trajectories, frames, n, dim = arrays["pos"].shape
    if min(trajectories, frames) < 1:
        raise UserError(f"{where}: 'pos' has shape {arrays['pos'].shape}, expected at least one frame")
    if n < 2:
        raise UserError(f"{where} has {n} particle, expected at least 2: one particle feels no pair force")
    if dim not in (1, 2, 3):
        raise UserError(f"{where} has {dim} space dimensions, expected 1, 2 or 3")
    if not (arrays["mass"] > 0).all():
        raise UserError(f"{where}: 'mass' holds {int((arrays['mass'] <= 0).sum())} values that are not positive")
    check_box(arrays, where)
    arrays.setdefault("charge", np.zeros_like(arrays["mass"]))
    arrays.setdefault("t", np.arange(frames, dtype=float))
    if "split" not in arrays:
        arrays["split"] = make_split(trajectories, 0)
    elif not np.isin(arrays["split"], (0, 1, 2)).all():
        raise UserError(f"{where}: 'split' holds values other than 0 (train), 1 (validation), 2 (test)")
    side = path.with_suffix(".json")
    return Dataset(path.stem, path, arrays, load_json(side) if side.is_file() else {})


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


def start_digest(dataset: Dataset) -> str:
    """SHA-256 of what a dataset starts from: masses, charges, first frames, and its split.

    Drawn from the seed, they are the same bits wherever a dataset is simulated again; what follows is not.
    """
    digest = hashlib.sha256()
    for array in (dataset.mass, dataset.charge, dataset.pos[:, 0], dataset.vel[:, 0], dataset.split):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def dataset_of_run(run: str, config: dict) -> Dataset:
    """The dataset a run was trained on, or one simulated again from the same states, with a warning; ``UserError``
    if it is another one.
    """
    entry = config.get("inputs", {}).get("dataset", {})
    dataset = load_dataset(config.get("dataset_path") or entry.get("path", ""))
    if sha256(dataset.path) == entry.get("sha256"):
        return dataset
    start = config.get("dataset_start") or {}
    same = start.get("sha256") == start_digest(dataset) and start.get("frames") == dataset.pos.shape[1]
    if not (same and np.allclose(dataset.t, np.linspace(*start["t"], dataset.pos.shape[1]))):
        raise UserError(
            f"run '{run}' was trained on another dataset: {relative(dataset.path)} has changed since",
            f"train again:  python train.py --dataset {dataset.name} --overwrite",
        )
    warn(f"{relative(dataset.path)} is not the file that '{run}' was trained on, but its start is the same: going on")
    return dataset


def start_of(dataset: Dataset) -> dict:
    """What ``dataset_of_run`` knows a dataset by that was simulated again: goes into a run's ``config.json``."""
    return {"sha256": start_digest(dataset), "frames": dataset.pos.shape[1], "t": dataset.t[[0, -1]].tolist()}


def load_messages(path: Path, run: str, most: int = MOST_EDGES) -> tuple[dict, dict]:
    """``(arrays, meta)`` of a messages file of ``run``; ``UserError`` if missing, damaged or of another run.

    Of a file with more than ``most`` edges, whole graphs drawn at random (always the same) with at most so many
    edges together are read, with a warning; ``meta["graphs"]`` is the number of graphs read.
    """
    split = Path(path).stem.removeprefix("messages_")
    fix = f"run this first:  python extract_messages.py --run {run} --split {split}"
    if Path(path).is_file():
        fix += " --overwrite"  # what is there is of no use
    arrays = load_npz(path, MESSAGE_FIELDS, "messages", fix, lambda file: _some_graphs(file, most))
    meta = load_json(Path(path).with_suffix(".json"), fix)
    if meta.get("run") != run:
        raise UserError(f"{relative(path)} holds messages of run '{meta.get('run')}', expected '{run}'", fix)
    config = run_dir(run) / "config.json"
    if meta.get("inputs", {}).get("config", {}).get("sha256") != sha256(config):
        raise UserError(
            f"{relative(path)} is older than the run: '{run}' has been trained again since",
            f"python extract_messages.py --run {run} --overwrite",
        )
    if len(arrays["r"]) < 10:
        raise UserError(f"{relative(path)} holds {len(arrays['r'])} edges, expected at least 10", fix)
    if len(arrays["r"]) < meta.get("edges", 0):
        read = len(np.unique(np.stack([arrays[k] for k in ("trajectory", "frame")]), axis=1).T)
        warn(f"{relative(path)} holds {meta['graphs']} graphs; {read} of them, drawn at random, are used")
        meta["graphs"] = read
    return arrays, meta


def _some_graphs(file, most: int) -> tuple[str, np.ndarray] | None:
    """``load_npz``'s draw of whole graphs with at most ``most`` edges together (but one graph at least)."""
    trajectory, frame = file["trajectory"], file["frame"]
    if len(trajectory) <= most or trajectory.ndim != 1 or trajectory.shape != frame.shape:
        return None  # all of it, or nothing that can be right: the checks will say what is wrong
    graph = trajectory.astype(np.int64) * (int(frame.max()) + 1) + frame
    _, number, edges = np.unique(graph, return_inverse=True, return_counts=True)
    order = np.random.default_rng(20061128).permutation(len(edges))
    chosen = np.zeros(len(edges), dtype=bool)
    chosen[order[: max(1, np.searchsorted(np.cumsum(edges[order]), most, "right"))]] = True
    return "edge", chosen[number]


def make_split(trajectories: int, seed: int) -> np.ndarray:
    """Whole trajectories to train (80 %), validation and test (10 % each, one at least from 3 on)."""
    held_out = max(1, round(0.1 * trajectories)) if trajectories >= 3 else 0
    split = np.zeros(trajectories, dtype=np.int8)
    order = np.random.default_rng([seed, 20061128]).permutation(trajectories)
    split[order[:held_out]] = 1
    split[order[held_out : 2 * held_out]] = 2
    return split
