"""What every edge of chosen frames sends, a batch of graphs at a time.

One forward pass a batch: in a large file the network costs more than all the rest together, and what is
beside it (geometry, true forces, checks, the disk) has to stay small next to it.
"""

from collections.abc import Iterator

import numpy as np
import torch

from distill.files.dataset import Dataset
from distill.network.graphs import EdgeCache, node_features
from distill.network.periodic import FrameGraphs, as_tensors, cutoff_of
from distill.physics.lennard_jones import LennardJones
from distill.physics.record import system_of
from distill.physics.system import pair_force
from models import GNN

# measured with the paper's network: smaller ones pay for calls, larger ones for memory beyond the cache
EDGES_AT_ONCE = {"cpu": 4096, "cuda": 100_000}


class Extraction:
    """Messages of a trained network on frames of a dataset, in the fields of ``formats.MESSAGE_FIELDS``.

    The network is frozen: the Jacobian of its node model needs no gradients of weights.
    ``edges_per_graph``: rows that one frame gives, None in a periodic box, where frames differ. Edges to held
    particles are left out: what holds them is no pair force. ``UserError`` for a box without a cutoff.
    """

    def __init__(self, model: GNN, dataset: Dataset, chain: bool, edges_at_once: int | None = None):
        self.dataset, self.model = dataset, model.requires_grad_(False)
        self.parameter = next(model.parameters())  # for its type and device
        self.system = system_of(dataset.meta)
        at_once = edges_at_once or EDGES_AT_ONCE[self.parameter.device.type]
        # in the network's configuration a fixed read-out is enough
        self.with_shares = not (model.config.antisymmetric and model.config.linear_node)
        self.frames = None
        if "box" in dataset.arrays:
            pos = dataset.pos.reshape(-1, *dataset.pos.shape[2:])
            self.frames = FrameGraphs(pos, dataset.box, cutoff_of(dataset))
            self.edges_per_graph, self.all_free = None, True
            self.batch = max(1, int(at_once / self.frames.sample()[2]))
            return
        self.cache = EdgeCache(dataset.n, chain, self.parameter.device)
        sender, receiver = self.cache(1).index.cpu().numpy()
        self.free = np.flatnonzero(~np.isin(receiver, dataset.meta.get("system", {}).get("held") or []))
        self.sender, self.receiver = sender[self.free], receiver[self.free]
        self.all_free = len(self.free) == len(receiver)
        self.edges_per_graph = len(self.free)
        self.batch = max(1, at_once // len(receiver))

    def edges(self, trajectory: np.ndarray, frame: np.ndarray) -> int:
        """Rows that the frames ``(trajectory[k], frame[k])`` give together."""
        if self.frames is None:
            return len(frame) * self.edges_per_graph
        return sum(len(self.frames.neighbours(int(k)).r) for k in self._number(trajectory, frame))

    def _number(self, trajectory, frame):
        return np.asarray(trajectory) * self.dataset.pos.shape[1] + frame

    def parts(self, trajectory: np.ndarray, frame: np.ndarray) -> Iterator[dict]:
        """Arrays of the frames ``(trajectory[k], frame[k])`` in order, a batch at a time."""
        for start in range(0, len(trajectory), self.batch):
            yield self.part(trajectory[start : start + self.batch], frame[start : start + self.batch])

    def part(self, trajectory: np.ndarray, frame: np.ndarray) -> dict:
        """Arrays of a few frames at once; edges in the order of frames, then receivers, then senders."""
        arrays = self.dataset.arrays
        pos, vel, acc = (arrays[k][trajectory, frame] for k in ("pos", "vel", "acc"))
        mass, charge = (arrays[k][trajectory] for k in ("mass", "charge"))
        x = node_features(pos, vel, charge, mass)
        if self.frames is None:
            i, j, counts = self.receiver, self.sender, len(self.receiver)
            receiver, sender = (np.tile(k, len(frame)) for k in (i, j))

            def ends(values, index):  # [graph, particle, ...] -> [edge, ...]
                return values.take(index, axis=1).reshape(len(frame) * len(index), *values.shape[2:])

            network = self._network(x, self.cache(len(frame)))
            dx = ends(pos, i) - ends(pos, j)
            r = np.linalg.norm(dx, axis=1)
        else:
            graph, counts = self.frames.joined(self._number(trajectory, frame))
            i, j, dx, r = graph.receiver, graph.sender, graph.dx, graph.r
            receiver, sender = i % self.dataset.n, j % self.dataset.n

            def ends(values, index):
                return values.reshape(-1, *values.shape[2:])[index]

            network = self._network(x, as_tensors(graph, self.parameter.device))
        acc_pred = network.pop("acc_pred").reshape(acc.shape)
        part = {
            "message": network.pop("message"),
            "receiver": receiver.astype(np.int32),
            "sender": sender.astype(np.int32),
            "trajectory": np.repeat(trajectory, counts).astype(np.int32),
            "frame": np.repeat(frame, counts).astype(np.int32),
            "dx": dx,
            "r": r,
            "vel_i": ends(vel, i),
            "vel_j": ends(vel, j),
            "mass_i": ends(mass, i),
            "mass_j": ends(mass, j),
            "charge_i": ends(charge, i),
            "charge_j": ends(charge, j),
            "acc_i": ends(acc, i),
            "acc_pred_i": ends(acc_pred, i),
            **network,
            "active": self.model.active.cpu().numpy().astype(np.int8),
        }
        if self.system is not None:
            part["force"] = pair_force(
                self.system, *(part[k] for k in ("dx", "r", "mass_i", "mass_j", "charge_i", "charge_j"))
            )
            if isinstance(self.system, LennardJones):  # the graph's cutoff may be the larger one
                part["force"][r >= self.system.cutoff] = 0.0
        return part

    def _network(self, x: np.ndarray, edges) -> dict:
        """What the network says: ``acc_pred`` [node, dim] and arrays over the edges that are wanted."""
        with torch.no_grad():
            nodes = torch.as_tensor(x).to(self.parameter).flatten(0, 1)
            acc, message, logvar = self.model(nodes, edges)
            out = {"message": self.model.spread(message)}
            if logvar is not None:
                out["logvar"] = self.model.spread(logvar)
        if self.with_shares:
            out["acc_share"] = self.model.acceleration_shares(nodes, edges, message)
        out = {k: v.cpu().numpy() for k, v in out.items()}
        if not self.all_free:
            out = {k: v.reshape(len(x), -1, v.shape[1])[:, self.free].reshape(-1, v.shape[1]) for k, v in out.items()}
        return {"acc_pred": acc.cpu().numpy()} | out
