"""What every edge of chosen frames sends, a batch of graphs at a time.

One forward pass a batch: in a large file the network costs more than all the rest together, and what is
beside it (geometry, true forces, checks, the disk) has to stay small next to it.
"""

from collections.abc import Iterator

import numpy as np
import torch

from distill.files.dataset import Dataset
from distill.files.properties import of_edges, property_named
from distill.network.data import Inputs
from distill.network.edges import Edges, edges_of
from distill.physics.record import system_of
from distill.physics.system import pair_force
from models import GNN

LEAST = 1e-25  # unit below which small accelerations leave the range of 32 bits


class Extraction:
    """Messages of a trained network on frames of a dataset, in the fields of ``fields.MESSAGE_FIELDS``.

    The network is frozen: the Jacobian of its node model needs no gradients of weights. Edges to held particles are
    left out: what holds them is no pair force. ``UserError`` for a box without a cutoff.
    """

    def __init__(self, model: GNN, dataset: Dataset, edges_at_once: int | None = None):
        self.dataset, self.model = dataset, model.requires_grad_(False)
        self.edges_at_once = edges_at_once  # None: ``edges.EDGES_AT_ONCE``
        self.parameter = next(model.parameters())  # for its type and device
        self.system = system_of(dataset.meta.system)
        self.inputs = Inputs.of(model.config)
        self.source = edges_of(dataset, device=self.parameter.device)
        self.held = dataset.meta.system.held
        self.with_shares = True

    def number(self, trajectory, frame) -> np.ndarray:
        """Numbers of the frames ``(trajectory[k], frame[k])`` among all of the dataset."""
        return np.asarray(trajectory) * self.dataset.pos.shape[1] + frame

    def edges(self, trajectory: np.ndarray, frame: np.ndarray) -> int:
        """Rows that the frames ``(trajectory[k], frame[k])`` give together."""
        left_out = int(np.isin(self.source.arrays([0])[0].receiver, self.held).sum()) if self.held else 0
        return self.source.count(self.number(trajectory, frame)) - left_out * len(frame)

    def batches(self, trajectory: np.ndarray, frame: np.ndarray) -> list[np.ndarray]:
        """Numbers of the frames ``(trajectory[k], frame[k])`` in order, those together that are evaluated at once."""
        return list(self.source.batches(self.number(trajectory, frame), self.edges_at_once))

    def parts(self, trajectory: np.ndarray, frame: np.ndarray) -> Iterator[dict]:
        """Arrays of the frames ``(trajectory[k], frame[k])`` in order, a batch at a time."""
        return map(self.part, self.batches(trajectory, frame))

    def part(self, number: np.ndarray) -> dict:
        """Arrays of a few frames at once; edges in the order of frames, then receivers, then senders."""
        trajectory, frame = np.divmod(number, self.dataset.pos.shape[1])
        n, config = self.dataset.n, self.model.config
        pos, vel, acc = (getattr(self.dataset, k)[trajectory, frame] for k in ("pos", "vel", "acc"))
        properties = {name: values[trajectory] for name, values in self.dataset.properties.items()}
        edges = self.source(number)
        network = self._network(self.inputs.features(pos, vel, properties, config.properties), edges)
        acc_pred, alone = network.pop("acc_pred"), network.pop("acc_alone", None)
        graph, counts = self.source.arrays(number)
        i, j, own = graph.receiver, graph.sender, {"dx": graph.dx, "r": graph.r, **network}
        own |= {"trajectory": np.repeat(trajectory, counts), "frame": np.repeat(frame, counts)}
        if self.held:
            free = np.flatnonzero(~np.isin(i % n, self.held))
            i, j, own = i[free], j[free], {k: v[free] for k, v in own.items()}

        def at(values, index):  # [graph, particle, ...] -> [edge, ...]
            return values.reshape(-1, *values.shape[2:]).take(index, 0)

        part = {
            "message": own.pop("message"),
            "receiver": (i % n).astype(np.int32),
            "sender": (j % n).astype(np.int32),
            "trajectory": own.pop("trajectory").astype(np.int32),
            "frame": own.pop("frame").astype(np.int32),
            "dx": own.pop("dx"),
            "r": own.pop("r"),
            "vel_i": at(vel, i),
            "vel_j": at(vel, j),
        }
        for name, values in properties.items():
            part |= dict(zip(property_named(name).fields, (at(values, i), at(values, j)), strict=True))
        alone = {} if alone is None else {"acc_alone_i": alone.take(i, 0)}
        part |= {"acc_i": at(acc, i), "acc_pred_i": acc_pred.take(i, 0), **alone, **own}
        part["active"] = self.model.active.cpu().numpy().astype(np.int8)
        if self.system is not None:
            part["force"] = pair_force(self.system, part["dx"], part["r"], of_edges(part))
        return part

    def _network(self, x: np.ndarray, edges: Edges) -> dict:
        """What the network says: ``acc_pred`` and of a linear node ``acc_alone`` [node, dim]; arrays over edges."""
        model, node, out = self.model, None, {}
        with torch.no_grad():
            nodes = torch.as_tensor(x).to(self.parameter).flatten(0, 1)
            components = model.active_components()
            total, message, logvar = model.summed_messages(nodes, edges, None, components)
            if model.config.linear_node:  # evaluated once, for the prediction and for the shares
                node = weights, alone = model.linear_node(nodes, components.kept)
                out["acc_pred"] = model.config.acc_scale * ((weights * total.unsqueeze(1)).sum(-1) + alone)
                out["acc_alone"] = model.config.acc_scale * alone
            else:
                out["acc_pred"] = model.node_model(nodes, total, components)
            out["message"] = model.spread(message, components.kept)
            if logvar is not None:
                out["logvar"] = model.spread(logvar, components.kept)
        if self.with_shares:
            out["acc_share"] = model.acceleration_shares(nodes, edges, message, node)
        out, unit = {k: v.cpu().numpy() for k, v in out.items()}, self.inputs.scales.acceleration
        return {k: in_data_units(v, unit) if k.startswith("acc_") else v for k, v in out.items()}


def in_data_units(acc: np.ndarray, unit: float) -> np.ndarray:
    """Accelerations of a network times their ``unit``, in 64 bits where 32 have no such numbers."""
    if unit == 1:
        return acc
    fits = LEAST < unit < 1 / LEAST
    return (acc * np.float64(unit)).astype(acc.dtype if fits else np.float64)
