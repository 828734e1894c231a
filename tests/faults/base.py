"""A small dataset, run and law with every kind of file that stages hand on, written by their own writers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sympy as sp
from filled import filled
from planted import states

import distill
from distill.files import kinds, records
from distill.files.dataset import load_dataset, save_dataset
from distill.files.messages import load_messages
from distill.files.names import messages_path
from distill.files.provenance import provenance
from distill.files.tensors import load_tensors, save_tensors
from distill.network.weights import load_run
from distill.physics.law import law_of
from distill.search import given, targets
from distill.search.front import Front, Row
from distill.shell import paths
from distill.shell.errors import UserError
from distill.tracks.read import read
from distill.tracks.tracks import Asked

IDENTITY = {"arguments": {"seed": 0}}
DATASET, RUN = "planted", "planted__l1-newton__s0"
RECORDS = {
    "law.json": kinds.LawRecord,
    "linear_fit.json": kinds.LinearFit,
    "generalization.json": kinds.Generalization,
    "look.json": kinds.LookRecord,
    "properties.json": kinds.LearntRecord,
}


@dataclass(frozen=True)
class File:
    """``read`` gives what a stage takes from the file at ``path``; ``own``: it has a digest, so that a change of what
    it says is to be noticed. One of somebody else may say anything.
    """

    name: str
    path: Path
    read: Callable
    own: bool = True


def made(folder: Path) -> list[File]:
    """The files below ``folder``, where ``distill.shell.paths`` have to lie."""
    arrays = states(trajectories=20)
    dataset = paths.DATASETS / f"{DATASET}.npz"
    about = provenance("simulate", {"seed": 0}, {}, 0.0) | {"n": 4, "dim": 2}
    save_dataset(dataset, arrays, about)
    distill.train(DATASET, quick=True, message_dim=4)
    distill.extract_messages(RUN, split="train", quick=True)
    network, out = paths.MODEL_WEIGHTS / RUN, paths.OUTPUTS / RUN
    messages = messages_path(RUN, "train")
    reads = {
        "dataset.npz": (dataset, lambda: load_dataset(DATASET)),
        "dataset.json": (dataset.with_suffix(".json"), lambda: load_dataset(DATASET)),
        "config.json": (network / "config.json", lambda: loaded(RUN)),
        "model.safetensors": (network / "model.safetensors", lambda: loaded(RUN)),
        "messages.npz": (messages, lambda: load_messages(messages, RUN)),
        "messages.json": (messages.with_suffix(".json"), lambda: load_messages(messages, RUN)),
    }
    checkpoint = network / "checkpoint.safetensors"
    save_tensors(checkpoint, load_run(RUN)[0].state_dict(), {"step": 3, "identity": IDENTITY})
    reads["checkpoint.safetensors"] = (checkpoint, lambda: restored(checkpoint))
    for name, kind in RECORDS.items():
        path = out / name
        record = provenance(kind.STAGE, {}, {"dataset": dataset}, 0.0) | filled(kind)
        if kind is kinds.LawRecord:
            record["pair"] |= {"text": "-2.0*(r - 1.0)", "variables": ["r"]}
        records.save(kind, path, record)
        reads[name] = (path, lambda kind=kind, path=path: composed(records.load(kind, path)))
    r = sp.Symbol("r", positive=True)
    target = targets.Target("radial", {"r": np.linspace(1, 2, 50)}, np.linspace(2, 1, 50))
    rows = [Row(1, 0.5, "1.5", sp.Float(1.5), 0.5), Row(3, 0.1, "3 - r", 3 - r, 0.1)]
    targets.save_front(out / "radial", Front(rows, "operon", 1, "it is best"), target, {"seed": 1})
    place = out / "radial"
    for name in ("front.json", "hall_of_fame.csv"):
        reads[name] = (place / name, lambda: targets.load_front(place, target, {"seed": 1}))
    files = [File(name, *of) for name, of in reads.items()]
    foreign = folder / "theirs.npz"
    np.savez(foreign, **{k: arrays[k] for k in ("pos", "vel", "acc", "mass")})
    files.append(File("dataset of others", foreign, lambda: load_dataset(str(foreign)), own=False))
    formulas = folder / "formulas.csv"
    formulas.write_text("Complexity,Loss,Equation\n1,0.5,1.5\n3,0.1,3 - r\n7,0.05,-m_i*m_j/square(r + 0.1)\n")
    names = ("r", "m_i", "m_j")
    files.append(File("formulas of others", formulas, lambda: given.read_front(formulas, names, (), 30), own=False))
    table = folder / "table.csv"
    rows = [f"{b},{t / 10},{np.sin(t + b)},{np.cos(t - b)}" for t in range(12) for b in range(3)]
    table.write_text("\n".join(["id,t,x,y", *rows]) + "\n")
    files.append(File("table of others", table, lambda: read([table], Asked()), own=False))
    return files


def restored(path: Path) -> tuple:
    """A checkpoint; one of another run is refused as by ``Trainer.restore``, which test_stage_train.py tests."""
    tensors, header, digest = load_tensors(path)
    if header.get("identity") != IDENTITY:
        raise UserError(f"{path.name} is of another run")
    return tensors, header, digest


def loaded(run: str) -> tuple:
    network, config = load_run(run)
    return network.state_dict(), network.config, config


def composed(record):
    """A record, and of a law what is made of its formulas."""
    return (record, law_of(record).equation()) if isinstance(record, kinds.LawRecord) else record
