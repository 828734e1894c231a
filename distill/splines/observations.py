"""Pairs of a dataset as a messages file has them, but for messages: what a fit without a network sees."""

import numpy as np

from distill.files.dataset import Dataset
from distill.files.properties import of_edges, property_named
from distill.network.edges import edges_of
from distill.physics.record import system_of
from distill.physics.system import pair_force
from distill.shell.errors import UserError
from distill.windows.of_dataset import length_in, positions_alone, windows_of
from distill.windows.unresolved import alternating

GRAPHS, EDGES = 40_000, 1_200_000  # drawn unless told otherwise; edges count where frames have thousands
RECEIVERS = 400  # of windows at least, where the data have them


def observations(
    dataset: Dataset, split: str = "train", graphs: int = GRAPHS, seed: int = 0, window: int | None = None
) -> dict:
    """Edges of at most ``graphs`` frames of ``split``, and no more than have ``EDGES`` together, drawn with ``seed``:
    arrays by the names of ``fields.MESSAGE_FIELDS``, without what a network says.

    Where only positions were observed, the windows (of ``window`` frames, None for the dataset's own) of so many whole
    trajectories. ``force`` [edge, dim] is there where the system is known. Edges to held particles are left out: what
    holds them is no pair force. ``UserError`` for a box without a cutoff, or a split without trajectories or edges.
    """
    trajectories, frames = dataset.trajectories(split), dataset.pos.shape[1]
    source, every = edges_of(dataset), dataset.frames(split)
    total = len(every)
    some = every[np.linspace(0, total - 1, min(total, 16)).astype(int)]
    graphs = int(min(graphs, max(1, EDGES * len(some) / max(1, source.count(some)))))
    rng = np.random.default_rng([seed, 71])
    if positions_alone(dataset):
        of_one = dataset.n * max(1, 2 * frames // max(2, length_in(dataset)) - 1)  # receivers of a trajectory
        count = max(2, graphs // frames, -(-RECEIVERS // of_one))
        if count < len(trajectories):
            trajectories = np.sort(rng.choice(trajectories, count, replace=False))
        out = edges_of_windows(dataset, trajectories, pairs_of(dataset, trajectories, source), window)
    else:
        if graphs < total:
            every = every[np.sort(rng.choice(total, graphs, replace=False))]
        out = edges_of_frames(dataset, every, source)
    if not len(out["r"]):
        found = f"{dataset.name}: no particle of the {split} split that may move has another within reach"
        raise UserError(found, "a larger 'cutoff' lets more pairs act" if dataset.periodic else None)
    return out


def edges_of_frames(dataset: Dataset, number: np.ndarray, source=None) -> dict:
    """Edges of the frames ``number`` (trajectory x frames + frame), see ``observations``."""
    source = source or edges_of(dataset)
    parts = [_part(dataset, source, some) for some in source.batches(number, 60_000)]
    out = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    system = system_of(dataset.meta.system)
    if system is not None:
        t = dataset.times[out["trajectory"], out["frame"]] if system.in_time else 0.0
        out["force"] = pair_force(system, out["dx"], out["r"], of_edges(out), out["vel_i"] - out["vel_j"], t)
    return out


def pairs_of(dataset: Dataset, trajectories: np.ndarray, source=None) -> dict:
    """Edges of all frames of ``trajectories``, see ``observations``."""
    frames = dataset.pos.shape[1]
    return edges_of_frames(dataset, (trajectories[:, None] * frames + np.arange(frames)).ravel(), source)


def edges_of_windows(
    dataset: Dataset, trajectories: np.ndarray, pairs: dict, window: int | None = None, step: int | None = None
) -> dict:
    """Edges of the windows of ``trajectories``: every pair that its particle has in a frame of it, with the frame's
    weight. See ``fields.MESSAGE_FIELDS``; velocities of the receiver are the window's mean. ``pairs``: of all frames of
    these trajectories (``pairs_of``). ``step``: frames from one window to the next, half their length where None.
    """
    frames, n = dataset.pos.shape[1], dataset.n
    found = windows_of(dataset, trajectories, window, step)
    own = (pairs["trajectory"].astype(np.int64) * frames + pairs["frame"]) * n + pairs["receiver"]
    order = np.argsort(own, kind="stable")
    number, k = np.nonzero(found.omega)
    wanted = (found.trajectory[number] * frames + found.frames[number, k]) * n + found.particle[number]
    first, last = (np.searchsorted(own[order], wanted, side) for side in ("left", "right"))
    count = last - first
    edge = order[np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())]
    number, k = np.repeat(number, count), np.repeat(k, count)
    out = {name: values[edge] for name, values in pairs.items()}
    out["at"] = out["frame"]
    vel = found.mean(dataset.vel)
    of_window = {"frame": found.middle.astype(np.int32), "vel_i": vel, "acc_i": found.target, "acc_noise": found.noise}
    between = alternating(found.omega, dataset.times[found.trajectory[:, None], found.frames])
    out |= {"weight": found.omega[number, k], "between": between[number, k]}
    return out | {name: values[number] for name, values in of_window.items()}


def _part(dataset: Dataset, source, number: np.ndarray) -> dict:
    trajectory, frame = np.divmod(number, dataset.pos.shape[1])
    graph, counts = source.arrays(number)
    i, j, n, dim = graph.receiver, graph.sender, dataset.n, dataset.dim
    if held := dataset.meta.system.held:
        free = ~np.isin(i % n, held)
        i, j, dx, r = i[free], j[free], graph.dx[free], graph.r[free]
    else:
        free, dx, r = slice(None), graph.dx, graph.r
    vel = dataset.vel[trajectory, frame].reshape(-1, dim)
    out = {
        "receiver": (i % n).astype(np.int32),
        "sender": (j % n).astype(np.int32),
        "trajectory": np.repeat(trajectory, counts)[free].astype(np.int32),
        "frame": np.repeat(frame, counts)[free].astype(np.int32),
        "dx": dx,
        "r": r,
        "vel_i": vel.take(i, 0),
        "vel_j": vel.take(j, 0),
    }
    if not positions_alone(dataset):
        out["acc_i"] = dataset.acc[trajectory, frame].reshape(-1, dim).take(i, 0)
    if "id" in dataset.arrays:
        flat = dataset.arrays["id"][trajectory].reshape(-1)
        out |= {"receiver_body": flat.take(i), "sender_body": flat.take(j)}
    for name, values in dataset.properties.items():
        flat = values[trajectory].reshape(-1)
        out |= dict(zip(property_named(name).fields, (flat.take(i), flat.take(j)), strict=True))
    return out
