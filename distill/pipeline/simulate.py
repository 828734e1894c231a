"""A dataset from a simulation, or from frames of another: the stage ``simulate``."""

import math
import os
import tempfile
from argparse import Namespace
from pathlib import Path

import numpy as np

from distill.files.arrays import coded
from distill.files.dataset import load_dataset, make_split, save_dataset
from distill.files.names import dataset_name
from distill.files.provenance import already_done, provenance
from distill.files.storage import is_there, require_disk, save_bytes
from distill.physics.neighbours import unwrap
from distill.physics.record import describe
from distill.physics.simulation import simulations
from distill.report.animate import animate_trajectories, plot_trajectories
from distill.results.datasets import DatasetResult
from distill.shell import paths
from distill.shell.errors import UsageError, UserError
from distill.shell.kinds import resolve
from distill.shell.paths import relative
from distill.shell.processes import alone_making
from distill.shell.stage import Stage, warn

COPIES = 8  # of the positions in memory at the worst moment, roughly


def simulate(
    system: str | None = None,
    *,
    system_file: Path | None = None,
    acceleration_noise: float = 0.0,
    additive_noise: float | None = None,
    tag: str = "",
    plot: bool = False,
    animate: bool = False,
    seed: int = 0,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
    **flags,
) -> DatasetResult:
    """Simulate ``system``, or the one in ``system_file``; writes datasets/<dataset>.npz and .json.

    ``flags``: those of the kind of simulation (``distill.physics.simulation``), None for its default. ``plot`` and
    ``animate`` draw trajectories into outputs/<dataset>/.
    """
    common = dict(locals())
    for name in ("flags", "plot", "animate"):  # drawing changes no data: a finished dataset can still be drawn
        common.pop(name)
    if system is not None and system_file is not None:
        raise UsageError("argument --system-file: not allowed with --system")
    kind = next(k for k in reversed(simulations()) if k.takes(common | flags))
    args = Namespace(**common, **resolve(kind, simulations(), flags, quick))
    job = kind.job(args)
    trajectories, frames, n, dim = job.size
    name = dataset_name(job.system.name, n, dim, seed, args.tag)
    path = paths.DATASETS / f"{name}.npz"
    side, stage, arguments = path.with_suffix(".json"), Stage("simulate", name, DatasetResult), vars(args)
    with alone_making(path):
        if is_there(path) and not side.is_file() and not overwrite:
            found = f"{relative(path)} exists without its .json: it was not made here"
            raise UserError(found, "choose a --tag to keep both, or add --overwrite to replace it")
        if path.is_file() and already_done(side, arguments, job.inputs, overwrite):
            return stage.already_done(path, draw(name, job.system, plot, animate))
        _check_room(8 * math.prod(job.size), path)
        try:
            arrays = job.make()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; nothing was written") from None
        report = arrays.pop("report")
        if count := report.get("dropped"):
            warn(f"{count} trajectories could not be integrated and were replaced by others: see {relative(side)}")
        arrays["split"] = make_split(trajectories, seed)
        arrays["acc"] = noisy(arrays["acc"], seed, acceleration_noise, additive_noise or 0.0)
        arrays, categories = coded(arrays)
        about = provenance("simulate", arguments, job.inputs, stage.seconds) | {"categories": categories}
        about |= {"system": describe(job.system), "n": n, "dim": dim, "report": report}
        about |= {"acceleration_noise": acceleration_noise, "additive_noise": additive_noise or 0.0}
        save_dataset(path, arrays, about)
    lines = draw(name, job.system, plot, animate)
    shown = {label: report[key] for label, key in job.shown.items()}
    return stage.done(path, lines, trajectories=trajectories, frames=frames, **shown)


def noisy(acc: np.ndarray, seed: int, multiplied: float, added: float) -> np.ndarray:
    """Accelerations [trajectory, frame, particle, dim] with noise: every component times 1 + ``multiplied`` N(0,1),
    plus ``added`` N(0,1) in units of the median length of the accelerations without noise. The second is the same for
    weak and strong forces, as of an instrument; the first is what a relative loss likes best.
    """
    out = acc
    # streams of their own, so that positions and split are those of the noise-free dataset
    if multiplied:
        out = out * (1 + multiplied * np.random.default_rng([seed, 61]).standard_normal(acc.shape))
    if added:
        size = added * np.median(np.linalg.norm(acc, axis=-1))
        out = out + size * np.random.default_rng([seed, 62]).standard_normal(acc.shape)
    return out


def _check_room(size, path):
    """Fail now rather than after the work: a folder to write to, disk and memory enough."""
    shrink = "use fewer --n-trajectories or --n-frames"
    require_disk(path, 3 * size, shrink)
    with tempfile.TemporaryFile(dir=path.parent):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if COPIES * size > memory:
        needed = f"{COPIES * size / 1e9:.1f} GB of memory would be needed"
        raise UserError(f"{needed}, the machine has {memory / 1e9:.1f}", shrink)


def draw(name: str, system, plot: bool, animate: bool) -> list[str]:
    """Draw the dataset ``name`` as a picture, as a GIF, or not at all; a line for each."""
    if not (plot or animate):
        return []
    dataset = load_dataset(paths.DATASETS / f"{name}.npz")
    if "box" in dataset.arrays:  # without jumps across the drawing
        dataset.arrays["pos"] = np.stack([unwrap(pos, dataset.box) for pos in dataset.pos])
    drawers, lines = {"png": plot_trajectories} if plot else {}, []
    drawers |= {"gif": animate_trajectories} if animate else {}
    for suffix, drawer in drawers.items():
        picture = paths.OUTPUTS / name / f"trajectories.{suffix}"
        save_bytes(picture, drawer(dataset, system))
        lines.append(f"drawn  {relative(picture)}")
    return lines
