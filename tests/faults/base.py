"""A small dataset, run and law with every kind of file that stages hand on, written by their own writers."""

import gzip
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
from distill.formulas.text import parse
from distill.halos import reading
from distill.halos.catalogue import dataset_arrays
from distill.halos.planted import planted
from distill.network.weights import load_run
from distill.physics.law import Law, law_of
from distill.physics.terms import About
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
    "properties.json of a network": kinds.TrainedRecord,
    "law.json with a wake": kinds.LawRecord,
}
PLAIN = ("law.json", "linear_fit.json", "generalization.json", "look.json", "properties.json")


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
        out = paths.OUTPUTS / RUN if name in PLAIN else paths.OUTPUTS / f"{RUN}-more"
        path = out / name.split()[0]
        record = provenance(kind.STAGE, {}, {"dataset": dataset}, 0.0) | filled(kind)
        if kind is kinds.LawRecord:
            record["pair"] |= {"text": "-2.0*(r - 1.0)", "variables": ["r"]}
            if name not in PLAIN:
                record |= wake()
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
    out = paths.OUTPUTS / RUN
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
    return files + tracks_of_others(folder, arrays) + haloes(folder)


def haloes(folder: Path) -> list[File]:
    """Catalogues as other programs write them, and a dataset of numbers that are learnt in place of accelerations."""
    name, box = "haloes", planted(3, 40, 100.0, 30.0)[0]
    about = provenance("halos", {"seed": 3}, {}, 0.0) | {"n": len(box), "dim": 3}
    dataset = paths.DATASETS / f"{name}.npz"
    save_dataset(dataset, dataset_arrays([box] * 3, [0, 1, 2], 30.0), about)
    rng, count, groups = np.random.default_rng(3), 30, folder / "groups"
    groups.mkdir()
    for k in range(2):
        head = np.array([(count, 2 * count, 0, 0, 2)], reading.HEADER)
        found = {"len": rng.integers(20, 90, count), "offset": np.arange(count), "mass": rng.random(count) * 9e3}
        found |= {"pos": rng.random((count, 3)) * 1e5, "vel": rng.normal(size=(count, 3)) * 300}
        found |= {"type_len": np.zeros((count, 6)), "type_mass": np.zeros((count, 6))}
        body = b"".join(np.ascontiguousarray(found[n], kind).tobytes() for n, kind, _ in reading.GROUP)
        (groups / f"group_tab_004.{k}").write_bytes(head.tobytes() + body)
    table = folder / "haloes.csv"
    columns = np.column_stack([box.pos, box.vel, box.mass, box.delta])
    rows = [",".join(f"{value:.9g}" for value in row) for row in columns]
    table.write_text("\n".join(["x,y,z,vx,vy,vz,mass,delta", *rows]) + "\n")
    first = groups / "group_tab_004.0"
    return [
        File("dataset.npz of a target", dataset, lambda: load_dataset(name)),
        File("dataset.json of a target", dataset.with_suffix(".json"), lambda: load_dataset(name)),
        File("group_tab of others", first, lambda: reading.read_group_tab(first, 100.0), own=False),
        File("table of haloes of others", table, lambda: reading.read_table(table, 100.0), own=False),
    ]


def wake() -> dict:
    """What a law.json says of a force from points displaced from the senders, and of a field and friction beside it."""
    known = ("s", "r", "m_i", "m_j", "q_i", "q_j", "t")
    behind = About((0.1, -0.3), parse("-0.4*q_i*q_j*exp(-1.2*s)/s^2", known))
    law = Law(parse("q_i*q_j*exp(-r)/r^2", known), {"drag": 0.02}, pairs={"displaced": behind})
    pair = filled(kinds.PairLaw) | {"text": "q_i*q_j*exp(-r)/r^2", "variables": ["r", "m_i", "m_j", "q_i", "q_j"]}
    return {"pair": pair, "pairs": law.pairs_json(), "node": law.node_json(2)}


def tracks_of_others(folder: Path, arrays: dict) -> list[File]:
    """Positions as other programs write them."""
    pos, places = (
        arrays["pos"][:6],
        {name: folder / name for name in ("t.npz", "data.npy", "t.xyz", "t.dump", "t.csv.gz")},
    )
    np.savez(places["t.npz"], pos=pos, vel=arrays["vel"][:6], mass=arrays["mass"][:6])
    np.save(places["data.npy"], np.concatenate([pos, arrays["vel"][:6]], -1))
    frames = pos[0]
    xyz = [[f"{len(f)}", "Properties=species:S:1:pos:R:2", *(f"A {x:.9f} {y:.9f} 0.0" for x, y in f)] for f in frames]
    places["t.xyz"].write_text("\n".join(line.replace("pos:R:2", "pos:R:3") for frame in xyz for line in frame) + "\n")
    dump = []
    for step, frame in enumerate(frames):
        dump += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(len(frame)), "ITEM: BOX BOUNDS ff ff ff"]
        dump += ["-9 9"] * 3 + ["ITEM: ATOMS id x y", *(f"{k} {x:.9f} {y:.9f}" for k, (x, y) in enumerate(frame))]
    places["t.dump"].write_text("\n".join(dump) + "\n")
    rows = [f"{i},{k},{x:.9f},{y:.9f}" for k, frame in enumerate(frames) for i, (x, y) in enumerate(frame)]
    places["t.csv.gz"].write_bytes(gzip.compress("\n".join(["id,frame,x,y", *rows, ""]).encode()))
    return [File(f"{n} of others", p, lambda p=p: read([p], Asked()), own=False) for n, p in places.items()]


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
