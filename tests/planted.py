"""Messages and small datasets with known contents, for the tests."""

import numpy as np

from distill.files import records
from distill.files.arrays import check_fields, coded
from distill.files.dataset import make_split
from distill.files.fields import DATASET_FIELDS
from distill.files.kinds import DatasetRecord
from distill.files.properties import of_edges
from distill.files.storage import atomic
from distill.physics.record import describe
from distill.physics.system import System, pair_force
from distill.physics.systems import load_system, of_one_level


def save_npz(path, arrays: dict, fields: dict) -> None:
    """Write ``arrays`` after checking them against the table ``fields``."""
    check_fields(arrays, fields, f"what was to be written to {path.name}")
    with atomic(path) as file:
        np.savez(file, **arrays)


def states(system="r2", trajectories=40, frames=5, n=4, dim=2, seed=0):
    """Random states of a system (or its name) with their true accelerations, in the fields of a dataset."""
    from distill.physics.system import acceleration

    rng = np.random.default_rng(seed)
    pos, vel = rng.normal(0, 1.5, (2, trajectories, frames, n, dim))
    mass = np.exp(0.5 * rng.normal(size=(trajectories, n)))
    charge = np.sign(rng.normal(size=(trajectories, n)))
    properties = {"mass": mass, "charge": charge}
    properties |= {k: rng.normal(size=(trajectories, n)) for k in known(system).properties if k not in properties}
    properties = of_one_level(properties)
    acc = acceleration(known(system), pos, vel, {k: v[:, None] for k, v in properties.items()})
    return {
        "pos": pos,
        "vel": vel,
        "acc": acc,
        **properties,
        "t": 0.01 * np.arange(frames),
        "split": make_split(trajectories, seed),
    }


def known(system) -> System:
    return load_system(system) if isinstance(system, str) else system


def write_dataset(folder, name="r2_n4_d2_s0", system="r2", **options):
    """A dataset file and its JSON; returns the path of the ``.npz``."""
    path = folder / f"{name}.npz"
    arrays, categories = coded(states(system, **options))
    save_npz(path, arrays, DATASET_FIELDS)
    about = {"system": describe(known(system)), "categories": categories}
    records.save(DatasetRecord, path.with_suffix(".json"), about)
    return path


def messages(system="r2", mixing=None, gauge="force", noise=0.0, seed=0, components=4, off=0.01, **options):
    """A messages file's arrays whose first ``dim`` components are a linear map of the true force.

    ``gauge``: what is sent, "force", "acceleration" (F/m_i) or "charge_force" (q_i F); the remaining
    components are small noise that cancels in no sum. ``noise`` is relative to each message, ``off`` of the network's
    predictions to the accelerations.
    """
    data = states(system, seed=seed, **options)
    trajectories, frames, n, dim = data["pos"].shape
    i, j = np.nonzero(~np.eye(n, dtype=bool))
    t, f, e = (
        a.reshape(-1) for a in np.meshgrid(np.arange(trajectories), np.arange(frames), np.arange(len(i)), indexing="ij")
    )
    receiver, sender = i[e], j[e]
    dx = data["pos"][t, f, receiver] - data["pos"][t, f, sender]
    r = np.linalg.norm(dx, axis=1)
    names = known(system).properties
    ends = {f"{k}_{end}": data[k][t, of] for k in names for end, of in (("i", receiver), ("j", sender))}
    force = pair_force(known(system), dx, r, of_edges(ends | {"r": r}))
    factor = {"force": 1.0, "acceleration": 1 / ends["mass_i"], "charge_force": ends["charge_i"]}[gauge]
    rng = np.random.default_rng([seed, 1])
    mixing = rng.normal(size=(dim, dim)) + 2 * np.eye(dim) if mixing is None else mixing
    sent = (np.ones(len(r)) * factor)[:, None] * force @ mixing
    sent = sent * (1 + noise * rng.normal(size=sent.shape))
    rest = 1e-3 * rng.normal(size=(len(r), components - dim))
    predicted = data["acc"] * (1 + off * rng.normal(size=data["acc"].shape))
    return {
        "message": np.hstack([sent, rest]),
        "receiver": receiver,
        "sender": sender,
        "trajectory": t,
        "frame": f,
        "dx": dx,
        "r": r,
        "vel_i": data["vel"][t, f, receiver],
        "vel_j": data["vel"][t, f, sender],
        **ends,
        "acc_i": data["acc"][t, f, receiver],
        "acc_pred_i": predicted[t, f, receiver],
        "active": np.ones(components, dtype=np.int8),
        "force": force,
    }


CUTOFF, SIDE = 5.5, 12.0


def write_argon(folder, name="lj_n27_d3_s0", trajectories=10, frames=4, seed=0):
    """A small Lennard-Jones dataset (27 atoms near a lattice in a box of side 12 A) and its JSON; its path.

    Positions are wrapped into the box, labels those of the analytic pair law; no dynamics.
    """
    from distill.fluid.lennard_jones import lennard_jones
    from distill.fluid.md import labelled
    from distill.physics.neighbours import wrap

    rng = np.random.default_rng(seed)
    system, box = lennard_jones(cutoff=CUTOFF), np.full(3, SIDE)
    sites = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) * SIDE / 3
    pos = wrap(sites + 0.35 * rng.normal(size=(trajectories, frames, 27, 3)), box)
    arrays = {
        "pos": pos,
        "vel": rng.normal(0, 1.4, pos.shape),
        "acc": np.stack([labelled(system, p, box)["acc"] for p in pos]),
        "mass": np.full((trajectories, 27), system.mass),
        "charge": np.zeros((trajectories, 27)),
        "t": 0.1 * np.arange(frames),
        "split": make_split(trajectories, seed),
        "box": box,
        "cutoff": np.float64(CUTOFF),
    }
    path = folder / f"{name}.npz"
    save_npz(path, arrays, DATASET_FIELDS)
    records.save(DatasetRecord, path.with_suffix(".json"), {"system": describe(system)})
    return path
