"""A worse copy of a dataset: noise, gaps, fewer frames, nothing but positions, other units."""

import io
from pathlib import Path

from distill.files.dataset import check_magnitudes, load_dataset, save_dataset
from distill.files.kinds import DatasetRecord
from distill.files.names import checked
from distill.files.provenance import already_done, provenance
from distill.files.records import load
from distill.files.storage import is_there, plain, save_text
from distill.physics.record import describe, system_of
from distill.physics.user_system import read_system
from distill.pipeline.import_tracks import noise_in, smooth
from distill.results.datasets import DatasetResult
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import Done, Stage, name_of
from distill.tracks.complete import complete
from distill.tracks.degrade import Worse, degraded, still_true, system_file
from distill.tracks.export import write_csv
from distill.tracks.said import summary

STAGE = "degrade"


def degrade(
    dataset: str | Done, how: Worse, *, name: str, csv: Path | None = None, overwrite: bool = False
) -> DatasetResult:
    """Write datasets/<name>.npz and .json, and with ``csv`` a long table of the same.

    The system that the data are of is carried along, in their units (datasets/<name>_system.py where these are
    others), so that a law found in them can still be judged. ``UserError`` for a dataset of that name that this did
    not make.
    """
    source = load_dataset(name_of(dataset))
    stage = Stage(STAGE, checked(name, "give another --name"), DatasetResult)
    path = paths.DATASETS / f"{name}.npz"
    side, inputs = path.with_suffix(".json"), {"dataset": source.path}
    arguments = plain(how) | {"dataset": source.name, "name": name, "csv": csv and csv.name, "overwrite": overwrite}
    if is_there(path):
        maker = load(DatasetRecord, side).stage if side.is_file() else "somebody else"
        if maker != STAGE:
            raise UserError(f"{relative(path)} is there and was made by {maker}", "give another --name")
        if already_done(side, arguments, inputs, overwrite):
            return stage.already_done(path)
    if csv is not None and csv.exists() and not overwrite:
        raise UserError(f"{relative(csv)} exists", "give another --csv, or --overwrite")
    tracks, report = degraded(source, how)
    check_magnitudes(tracks.vectors() | tracks.properties, f"the copy of {relative(source.path)}")
    if csv is not None:
        text = io.StringIO()
        write_csv(tracks, text)
        save_text(csv, text.getvalue())
    cutoff = source.arrays.get("cutoff")
    done = complete(tracks, relative(source.path), None, None if cutoff is None else cutoff * how.factor("length"))
    smooth(done)
    lines, numbers = summary(tracks, done, noise_in(done))
    about, told = provenance(STAGE, arguments, inputs, stage.seconds), []
    about["inputs"]["dataset"]["path"] = source.path.name
    about |= {"measured": done.measured, "derived": done.derived, "report": numbers | report | {"noticed": done.lines}}
    about |= {"categories": done.categories, "bodies": tracks.bodies}
    about |= {"system": {"held": source.meta.system.held}}
    if still_true(source.meta.system, how):
        about["system"] = source.meta.system
    elif (system := system_of(source.meta.system)) and (code := system_file(system, how)):
        file = path.with_name(f"{name}_system.py")
        save_text(file, code)
        about["system"] = describe(read_system(file))
        told = [f"the true system, in the units of the data: {relative(file)}"]
    elif source.meta.system.name:
        told = ["the true system is not known in these units: a law found is judged by the data alone"]
    count, frames, n, dim = done.arrays["pos"].shape
    about |= {"n": n, "dim": dim}
    save_dataset(path, done.arrays, about)
    lines = [f"  {line}" for line in done.lines + lines + told]
    return stage.done(path, lines, trajectories=count, frames=frames, n=n, missing=numbers["missing_share"])
