"""A dataset from tracks that somebody else recorded or simulated: the stage ``import_tracks``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill.files import records
from distill.files.dataset import check_magnitudes, load_dataset, save_dataset
from distill.files.kinds import DatasetRecord
from distill.files.names import checked
from distill.files.provenance import already_done, provenance
from distill.files.storage import is_there
from distill.results.datasets import DatasetResult
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.processes import alone_making
from distill.shell.stage import Stage
from distill.tracks import names
from distill.tracks.blocks import Cut
from distill.tracks.complete import Completed, complete
from distill.tracks.read import files_read, read
from distill.tracks.said import summary
from distill.tracks.tracks import Asked, Tracks
from distill.windows import doubts
from distill.windows.noise import coordinate_noise
from distill.windows.of_dataset import from_positions

STAGE = "import_tracks"
QUICK_TRAJECTORIES = 60


def import_tracks(
    files: str | Path | Sequence[str | Path],
    *,
    name: str | None = None,
    columns: Sequence[str] | dict[str, str] = (),
    leave_out: Sequence[str] = (),
    dt: float | None = None,
    mass: float | None = None,
    box: Sequence[float] | None = None,
    categories: Sequence[str] = (),
    cutoff: float | None = None,
    split: str = "auto",
    block_frames: int | None = None,
    gap: int | None = None,
    same_bodies: bool = False,
    seed: int = 0,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
) -> DatasetResult:
    """Read ``files`` and write datasets/<name>.npz and .json (``name``: that of the first file).

    ``columns``: {ours: theirs}, or words "ours=theirs". ``categories``: properties whose numbers are names, as words
    always are. ``same_bodies``: a particle's name means the same body in every recording. ``UserError`` for what cannot
    be understood, and for a dataset of that name that this stage did not make.
    """
    arguments = {k: v for k, v in locals().items() if k not in ("files", "columns")}
    sources = [Path(f) for f in ([files] if isinstance(files, str | Path) else files)]
    columns = dict(columns) if isinstance(columns, dict) else names.pairs(columns)
    cut = Cut(split, block_frames, gap, seed, 1)
    asked = Asked(columns, tuple(leave_out), dt, tuple(box) if box else None, tuple(categories), same_bodies, cut)
    name = checked(name or sources[0].name.split(".")[0], "give another --name")
    path, stage = paths.DATASETS / f"{name}.npz", Stage(STAGE, name, DatasetResult)
    arguments |= {"name": name, "columns": columns, "files": [p.name for p in sources]}
    opened = {f"file_{k}" if k else "file": p for k, p in enumerate(files_read(sources))}
    if not opened or not all(p.is_file() for p in opened.values()):
        read(sources, asked)  # says what is wrong
    with alone_making(path):
        may_be_done = _ours(path, list(opened.values()), arguments["files"], overwrite)
        if may_be_done and already_done(path.with_suffix(".json"), arguments, opened, overwrite):
            return stage.already_done(path)
        tracks = read(sources, asked)
        check_magnitudes(tracks.vectors() | tracks.properties, relative(sources[0]))
        noticed = unboxed(tracks, asked.box)
        done = complete(tracks, relative(sources[0]), mass, cutoff, box)
        done.lines += noticed + doubts.repeated(done.arrays.get("observed", done.arrays["pos"]), done.held)
        if quick:
            done.arrays |= {k: v[:QUICK_TRAJECTORIES] for k, v in done.arrays.items() if _by_trajectory(k, v, done)}
        smooth(done)
        lines, numbers = summary(tracks, done, noise_in(done))
        count, frames, n, dim = done.arrays["pos"].shape
        about = provenance(STAGE, arguments, opened, stage.seconds)
        for source in about["inputs"].values():
            source["path"] = Path(source["path"]).name  # where it lay is nobody else's business
        about |= {
            "n": n,
            "dim": dim,
            "report": numbers | {"noticed": done.lines},
            "measured": done.measured,
            "derived": done.derived,
            "bodies": tracks.bodies,
            "system": {"held": done.held},
            "categories": done.categories,
        }
        save_dataset(path, done.arrays, about)
    del tracks
    done.arrays.clear()
    load_dataset(str(path))  # says what a stage will say of it
    return stage.done(
        path,
        [f"  {line}" for line in done.lines + lines],
        trajectories=count,
        frames=frames,
        n=n,
        dim=dim,
        missing=numbers["missing_share"],
    )


def unboxed(tracks: Tracks, box) -> list[str]:
    """What is said of places in no periodic box. Where nothing but places was measured, those that are off their tracks
    for a frame are taken as not seen.
    """
    if tracks.box is not None or box is not None:
        return []
    lines = doubts.wrapped(tracks.pos)
    if lines or tracks.acc is not None or tracks.force is not None:
        return lines
    off = doubts.off_track(tracks.pos, tracks.times)
    if not off.any():
        return []
    k, f, i = np.argwhere(off)[0]
    for value in tracks.vectors().values():
        value[off] = np.nan
    return [
        f"{int(off.sum()):,} places are off their track for one frame, with all about them smooth, as that of particle"
        f" {i} in trajectory {k}, frame {f}: taken as not seen"
    ]


def noise_in(done: Completed) -> float:
    """Estimated standard deviation of a coordinate of the positions that were given."""
    a = done.arrays
    if "noise" in a:
        return float(a["noise"])
    observed = a.get("observed", a["pos"])
    return coordinate_noise(observed, a.get("seen"), np.broadcast_to(a["t"], observed.shape[:2]))


def smooth(done: Completed) -> None:
    """Where accelerations were not measured: smoothed positions and, unless these were, velocities; their noise."""
    if "observed" not in done.arrays:
        return
    done.arrays |= from_positions(done.arrays, noise_in(done))
    done.derived["pos"] = "; ".join(filter(None, [done.derived.get("pos"), "smoothed from observed"]))
    done.measured = ["observed" if name == "pos" else name for name in done.measured]
    if "vel" not in done.measured:
        done.derived["vel"] = "by the smoothing of the positions"


def _by_trajectory(name: str, value: np.ndarray, done: Completed) -> bool:
    return name not in ("t", "box", "cutoff", "noise", "window") or (name == "t" and value.ndim == 2)


def _ours(path: Path, opened: list[Path], names_of: list[str], overwrite: bool) -> bool:
    """Whether the dataset at ``path`` is there and may be replaced; ``UserError`` for one that is somebody else's."""
    fix = "give another --name"
    if any(path.resolve() == p.resolve() for p in opened):
        raise UserError(f"{relative(path)} is the file that is to be imported: it would be overwritten", fix)
    if not is_there(path):
        return False
    side = path.with_suffix(".json")
    if not side.is_file():
        raise UserError(f"{relative(path)} is there and was not made by import_tracks.py", fix)
    record = records.load(DatasetRecord, side)
    if record.stage != STAGE:
        raise UserError(f"{relative(path)} is there and was made by {record.stage or 'somebody else'}", fix)
    if (former := record.arguments.get("files")) != names_of and not overwrite:
        raise UserError(f"{relative(path)} is there and was made from {', '.join(former)}", fix + ", or --overwrite")
    return True
