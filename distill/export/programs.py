"""The law of a run as programs of others: ``law.py`` always, modules of OpenMM and tables of LAMMPS where asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.export import lammps, numpy_module, openmm_module
from distill.export.about import about
from distill.export.registry import PROGRAMS
from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import LawRecord
from distill.files.messages import load_made_elsewhere, load_messages
from distill.files.names import messages_path
from distill.files.properties import of_receivers
from distill.files.storage import save_text
from distill.physics.law import Law, law_of
from distill.physics.neighbours import minimum_image
from distill.report.material import gather
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn

NUMPY = "law.py"
FRAMES = 64  # of a dataset, for the distances in it
USAGE = {
    NUMPY: """
    from law import acceleration, integrate

    a = acceleration(pos, vel, t, mass=mass, ...)              the properties that the law depends on, by name
    pos, vel = integrate(pos, vel, times, mass=mass, ...)      from one state, at the times given

    python law.py data.npz                                     against trajectories in a file; --help says more
""",
    PROGRAMS["openmm"]: """
    from law_openmm import integrator, system

    simulation = openmm.Context(system(mass=mass, ...), integrator(dt))
""",
    PROGRAMS["lammps"]: "",
}


@dataclass(frozen=True)
class Data:
    """What programs have to know of the data: ``low``, ``high``, shortest and longest distance of a pair, and
    ``types``, property -> its values [type] in the sets that particles have: all there are where these are few, else
    those of the particles of one trajectory.
    """

    low: float
    high: float
    types: dict[str, np.ndarray]


def of_dataset(data: Dataset) -> Data:
    frames = data.pos.shape[0] * data.pos.shape[1]
    number = np.unique(np.linspace(0, frames - 1, FRAMES).astype(int))
    pos = data.pos.reshape(frames, *data.pos.shape[2:])[number].astype(float)
    i, j = np.triu_indices(data.n, 1)
    r = np.linalg.norm(minimum_image(pos[:, i] - pos[:, j], data.arrays.get("box")), axis=-1)
    return _data(r, {name: np.asarray(v, float).ravel() for name, v in data.properties.items()}, np.arange(data.n))


def data_of(record: LawRecord) -> Data:
    """Of the data that a law was found in: its dataset, or the messages of its run, or those made elsewhere."""
    if record.arguments.get("dataset"):
        return of_dataset(load_dataset(record.inputs["dataset"].path))
    if theirs := record.arguments.get("messages"):
        return of_messages(load_made_elsewhere(Path(theirs), record.run)[0])
    return of_messages(load_messages(messages_path(record.run, "train"), record.run)[0])


def of_messages(messages: dict) -> Data:
    first = np.flatnonzero(messages["trajectory"] == messages["trajectory"][0])
    return _data(messages["r"].astype(float), of_receivers(messages), first)


def _data(r: np.ndarray, own: dict[str, np.ndarray], first: np.ndarray) -> Data:
    """``own``: property -> values [row], ``first``: rows of one trajectory; ``UserError`` where all coincide."""
    r = r[np.isfinite(r) & (r > 0)]
    if not r.size:
        raise UserError("no two particles of the data are apart", "give data in which they are")
    every = np.stack(list(own.values()), axis=1)
    rows = np.unique(every, axis=0)
    rows = rows if len(rows) <= lammps.MOST_TYPES else np.unique(every[first], axis=0)
    return Data(float(r.min()), float(r.max()), dict(zip(own, rows.T, strict=True)))


def _openmm(law: Law, dim: int, said: str, data: Data) -> str:
    return openmm_module.source(law, dim, said, data.low, data.high)


def _lammps(law: Law, dim: int, said: str, data: Data) -> str:
    return lammps.source(law, dim, said, data.low, data.high, data.types)


SOURCES: dict[str, Callable] = dict(zip(PROGRAMS, (_openmm, _lammps), strict=True))


def write_law(record: LawRecord, folder: Path) -> Path | None:
    """``law.py`` beside ``law.json``; None, and a warning, where that is not possible."""
    try:
        text = numpy_module.source(law_of(record), record.node.dim, _about(record, NUMPY))
    except UserError as exc:
        (folder / NUMPY).unlink(missing_ok=True)
        warn(f"{NUMPY} is not written: {exc}")
        return None
    save_text(folder / NUMPY, text)
    return folder / NUMPY


def brought_up(folder: Path, record: LawRecord | None = None) -> None:
    """Write the ``law.py`` of a run where it is missing or older than ``law.json``, which is ``record`` or read.

    What was written for other programs before that, of a law that is no longer there, is removed with a warning.
    """
    law = folder / "law.json"
    for name in (name for name in PROGRAMS.values() if _older(folder / name, law)):
        (folder / name).unlink()
        warn(f"{relative(folder / name)} was of the law before this one and is removed; --export writes it again")
    if not (folder / NUMPY).is_file() or _older(folder / NUMPY, law):
        write_law(record or records.load(LawRecord, law), folder)


def _older(path: Path, law: Path) -> bool:
    return path.is_file() and path.stat().st_mtime_ns < law.stat().st_mtime_ns


def export(folder: Path, programs: Sequence[str], data: Data) -> list[str]:
    """Write the law in ``folder`` for these ``programs``, names of ``PROGRAMS``; a line for each.

    ``UserError`` where one of them cannot have the law, after the others are written.
    """
    record = records.load(LawRecord, folder / "law.json")
    law, lines, refused = law_of(record), [], []
    for program in dict.fromkeys(programs):
        name, source = PROGRAMS[program], SOURCES[program]
        try:
            if law.cases:
                raise UserError("forces that differ from species to species are written to law.py alone so far")
            save_text(folder / name, source(law, record.node.dim, _about(record, name), data))
            lines.append(f"{program:<8} -> {relative(folder / name)}")
        except UserError as exc:
            refused.append(f"no {name}: {exc}")
    if refused:
        raise UserError("; ".join([*refused, f"{relative(folder / 'law.json')} is as it was"]))
    return lines


def _about(record: LawRecord, name: str) -> str:
    return about(record, gather(record.run).units, USAGE[name])
