"""What every edge of chosen frames, or of windows of frames, sends, a batch of graphs at a time.

One forward pass a batch: in a large file the network costs more than all the rest together, and what is
beside it (geometry, true forces, checks, the disk) has to stay small next to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from distill.files.dataset import Dataset
from distill.files.properties import of_edges, property_named
from distill.files.scales import scales_of
from distill.network import evaluation
from distill.network.data import Inputs
from distill.network.edges import Edges, edges_of
from distill.physics.record import system_of
from distill.physics.system import pair_force
from distill.windows.of_dataset import windows_of
from distill.windows.unresolved import alternating

SOME = 1000  # trajectories, for what is typical
LEAST = 1e-25  # unit below which small accelerations leave the range of 32 bits


@dataclass
class Sent:
    """What the edges of a few frames send: one entry an edge, in the order of frames, then receivers, then senders."""

    frame: np.ndarray  # number of each frame among all of the dataset
    receiver: np.ndarray  # node [edge]: particle i of the k-th frame is the node k n + i
    sender: np.ndarray  # node [edge]
    arrays: dict  # of the network and the geometry, name -> [edge, ...]
    nodes: dict  # what there is of receivers, name -> [node, dim]


class Extraction:
    """Messages of a trained network on frames of a dataset, in the fields of ``fields.MESSAGE_FIELDS``.

    The network is frozen: the Jacobian of its node model needs no gradients of weights. Edges to held particles are
    left out: what holds them is no pair force. ``UserError`` for a box without a cutoff.
    """

    def __init__(self, model, dataset: Dataset, edges_at_once: int | None = None):
        self.dataset, self.model = dataset, model.requires_grad_(False)
        self.edges_at_once = edges_at_once  # None: ``edges.EDGES_AT_ONCE``
        self.parameter = next(model.parameters())  # for its type and device
        self.system = system_of(dataset.meta.system)
        self.inputs = Inputs.of(model.config)
        self.source = edges_of(dataset, device=self.parameter.device)
        self.held = dataset.meta.system.held
        self.with_shares = not dataset.has_target  # what pairs contribute to an acceleration
        # energies of pairs are counted from a typical distance, for forces know nothing of what they are there, and
        # those of particles from a typical speed
        self.counted_from = scales_of(dataset).length if model.config.energies else None
        self.usual_speed = _typical(dataset.arrays["vel"]) if model.config.energies else None

    window = None  # frames of a window, where receivers are windows

    def graphs(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """``(trajectory, frame)`` [graph] of all of a split that hold a pair."""
        return np.divmod(self.dataset.frames(split), self.dataset.pos.shape[1])

    def number(self, trajectory, frame) -> np.ndarray:
        """Numbers of the frames ``(trajectory[k], frame[k])`` among all of the dataset."""
        return np.asarray(trajectory) * self.dataset.pos.shape[1] + frame

    def edges(self, trajectory: np.ndarray, frame: np.ndarray) -> int:
        """Rows that the frames ``(trajectory[k], frame[k])`` give together."""
        parts = self.batches(trajectory, frame)
        return int(sum(self.source.senders(number)[self._receive(number)].sum() for number in parts))

    def batches(self, trajectory: np.ndarray, frame: np.ndarray) -> list[np.ndarray]:
        """Numbers of the frames ``(trajectory[k], frame[k])`` in order, those together that are evaluated at once."""
        return list(self.source.batches(self.number(trajectory, frame), self.edges_at_once))

    def parts(self, trajectory: np.ndarray, frame: np.ndarray) -> Iterator[dict]:
        """Arrays of the frames ``(trajectory[k], frame[k])`` in order, a batch at a time."""
        return map(self.part, self.batches(trajectory, frame))

    def part(self, number: np.ndarray) -> dict:
        """Arrays of a few frames at once; edges in the order of frames, then receivers, then senders."""
        sent = self._sent(number)
        known = self._of_frames(self.dataset.learnt, number)
        if self.dataset.has_target:
            sent.nodes["target_i"] = known.reshape(-1)
            sent.nodes["target_pred_i"] = sent.nodes.pop("acc_pred_i").reshape(-1)
            sent.nodes.pop("acc_alone_i", None)
        else:
            sent.nodes["acc_i"] = known.reshape(-1, self.dataset.dim)
        receive = self._receive(number).reshape(-1)
        edge = slice(None) if receive.all() else np.flatnonzero(receive[sent.receiver])
        part = self._fields(sent, edge)
        i = sent.receiver[edge]
        return part | {name: values.take(i, 0) for name, values in sent.nodes.items()}

    def _of_frames(self, values: np.ndarray, number: np.ndarray) -> np.ndarray:
        """[frame, particle, ...] of an array [trajectory, frame, particle, ...]."""
        return values[np.divmod(number, self.dataset.pos.shape[1])]

    def _receive(self, number: np.ndarray) -> np.ndarray:
        """Which particles' accelerations are known and made by pairs [frame, particle]."""
        out = np.isfinite(self._of_frames(self.dataset.learnt, number)).all(2)
        out[:, self.held] = False
        return out

    def _sent(self, number: np.ndarray) -> Sent:
        arrays = self.dataset.arrays
        pos, vel = (self._of_frames(arrays[k], number) if k in arrays else None for k in ("pos", "vel"))
        trajectory = number // self.dataset.pos.shape[1]
        properties = {name: values[trajectory] for name, values in self.dataset.properties.items()}
        t = self._of_frames(self.dataset.times, number)
        x = self.inputs.features(pos, vel, properties, self.model.config.properties, t)
        network = self._network(x, self.source(number))
        graph, counts = self.source.arrays(number)
        vel = np.nan_to_num(np.zeros_like(pos) if vel is None else vel).reshape(-1, self.dataset.dim)
        nodes = {"acc_pred_i": network.pop("acc_pred"), "vel_i": vel}
        nodes |= {f"{name}_i": network.pop(name) for name in ("acc_alone", "energy_self") if name in network}
        own = {"dx": graph.dx, "r": graph.r, "vel_j": vel.take(graph.sender, 0), **network}
        for name, values in properties.items():
            ends = (values.reshape(-1).take(k) for k in (graph.receiver, graph.sender))
            own |= dict(zip(property_named(name).fields, ends, strict=True))
        own["at"] = np.repeat(number, counts)
        return Sent(number, graph.receiver, graph.sender, own, nodes)

    def _fields(self, sent: Sent, edge) -> dict:
        """Fields of these edges that their receivers need not be known for."""
        part = {name: values[edge] for name, values in sent.arrays.items()}
        trajectory, frame = np.divmod(part.pop("at"), self.dataset.pos.shape[1])
        part |= {"trajectory": trajectory.astype(np.int32), "frame": frame.astype(np.int32)}
        n = self.dataset.n
        part |= {"receiver": (sent.receiver[edge] % n).astype(np.int32)}
        part |= {"sender": (sent.sender[edge] % n).astype(np.int32)}
        part["active"] = self.model.active.cpu().numpy().astype(np.int8)
        if self.system is not None:
            dv = sent.nodes["vel_i"][sent.receiver[edge]] - part["vel_j"] if self.system.moving_pairs else None
            t = self.dataset.times[trajectory, frame] if self.system.in_time else 0.0
            part["force"] = pair_force(self.system, part["dx"], part["r"], of_edges(part), dv, t)
        return part

    def _network(self, x: np.ndarray, edges: Edges) -> dict:
        """What the network says (``models.GNN.told``), in the units of the data."""
        nodes = torch.as_tensor(x).to(self.parameter).flatten(0, 1)
        reference = {}
        if self.counted_from is not None:
            scales = self.inputs.scales
            reference = {"reference": self.counted_from / scales.length, "usual": self.usual_speed / scales.speed}
        in_parts = self.dataset.has_target and edges.index.size(1) > evaluation.AT_ONCE
        if in_parts:
            told = evaluation.told_in_parts(self.model, nodes, edges)
        else:
            told = self.model.told(nodes, edges, self.with_shares, **reference)
        energy = self.model.config.message_unit
        units = {"acc_": self.inputs.scales.output, "message": energy, "energy_": energy}
        out = {}
        for name, values in told.items():
            unit = next((unit for start, unit in units.items() if name.startswith(start)), 1.0)
            out[name] = in_data_units(values.detach().cpu().numpy(), unit)
        return out


class WindowExtraction(Extraction):
    """The same where only positions are known: a graph is a window (``distill.windows``) of every particle, known by
    its middle frame, and a receiver has the pairs of all its frames as edges, each with its ``weight``.
    """

    def __init__(self, model, dataset: Dataset, edges_at_once: int | None = None):
        super().__init__(model, dataset, edges_at_once)
        found = windows_of(dataset)
        found = found.of(~np.isin(found.particle, self.held))
        key = self.number(found.trajectory, found.middle)
        order = np.lexsort([found.particle, key])
        self.windows, self.key, self.window = found.of(order), key[order], found.omega.shape[1]

    def graphs(self, split):
        known = np.unique(self.key)
        trajectory, frame = np.divmod(known, self.dataset.pos.shape[1])
        some = np.isin(trajectory, self.dataset.trajectories(split))
        return trajectory[some], frame[some]

    def batches(self, trajectory, frame):
        """Numbers of the windows of these graphs in order, those together that are evaluated at once."""
        begin, end = (np.searchsorted(self.key, self.number(trajectory, frame), side) for side in ("left", "right"))
        whole = list(map(np.arange, begin, end))
        across = self.window
        least = max(1, len(next(self.source.batches(np.arange(len(self.key)), self.edges_at_once))) // across)
        return [np.concatenate(whole[k : k + least]) for k in range(0, len(whole), least)]

    def edges(self, trajectory, frame):
        parts = self.batches(trajectory, frame)
        return int(sum((self._senders(w)[2]).sum() for w in parts))

    def _senders(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of the frames of these windows; node in them of every frame of every window [window, frame], and how
        many senders it has, 0 where it has no weight.
        """
        own = self.windows.of(window)
        every = self.number(own.trajectory[:, None], own.frames)
        used = own.omega != 0
        frames, place = np.unique(every[used], return_inverse=True)
        node = np.zeros(every.shape, dtype=np.int64)
        node[used] = place.reshape(-1) * self.dataset.n + own.particle[:, None].repeat(every.shape[1], 1)[used]
        return frames, node, np.where(used, self.source.senders(frames).reshape(-1)[node], 0)

    def part(self, window: np.ndarray) -> dict:
        """Arrays of a few windows at once; edges in the order of windows, then frames, then senders."""
        frames, node, count = self._senders(window)
        own, sent = self.windows.of(window), self._sent(frames)
        row = np.repeat(np.arange(len(window)), count.sum(1))  # the window of every edge
        first = np.searchsorted(sent.receiver, node.reshape(-1))
        count = count.reshape(-1)
        edge = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
        part = self._fields(sent, edge)
        part |= {"at": part["frame"], "frame": own.middle[row].astype(np.int32)}
        times = self.dataset.times[own.trajectory[:, None], own.frames]
        for name, weights in (("weight", own.omega), ("between", alternating(own.omega, times))):
            part[name] = np.repeat(weights.reshape(-1), count)
        for name, values in sent.nodes.items():  # of windows: their weighted means
            part[name] = np.einsum("wk,wkd->wd", own.omega, values[node])[row]
        return part | {"acc_i": own.target[row], "acc_noise": own.noise[row]}


def extraction_of(model, dataset: Dataset) -> Extraction:
    """Of frames where their accelerations are known, else of windows."""
    return (WindowExtraction if dataset.learnt is None else Extraction)(model, dataset)


def in_data_units(acc: np.ndarray, unit: float) -> np.ndarray:
    """What a network says times its ``unit``, in 64 bits where 32 have no such numbers."""
    if unit == 1:
        return acc
    fits = LEAST < unit < 1 / LEAST
    return (acc * np.float64(unit)).astype(acc.dtype if fits else np.float64)


def _typical(vel: np.ndarray) -> float:
    """Median speed [...] of velocities [trajectory, ..., dim]; 1 where nothing moves."""
    return float(np.nanmedian(np.linalg.norm(vel[:SOME], axis=-1))) or 1.0
