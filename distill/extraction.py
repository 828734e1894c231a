"""What every edge of chosen frames sends, a batch of graphs at a time.

One forward pass a batch: in a large file the network costs more than all the rest together, and what is
beside it (geometry, true forces, checks, the disk) has to stay small next to it.
"""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from distill.formats import Dataset
from distill.graphs import EdgeCache, node_features
from distill.systems import pair_force, system_of
from models import GNN

# measured with the paper's network: smaller ones pay for calls, larger ones for memory beyond the cache
EDGES_AT_ONCE = {"cpu": 3072, "cuda": 100_000}


class Extraction:
    """Messages of a trained network on frames of a dataset, in the fields of ``formats.MESSAGE_FIELDS``.

    ``edges_per_graph``: rows that one frame gives. Edges to held particles are left out: what holds them is no
    pair force.
    """

    def __init__(self, model: GNN, dataset: Dataset, chain: bool, edges_at_once: int | None = None):
        self.dataset, self.model = dataset, with_fast_layers(model)
        self.parameter = next(model.parameters())  # for its type and device
        self.system = system_of(dataset.meta)
        self.cache = EdgeCache(dataset.n, chain, self.parameter.device)
        sender, receiver = self.cache(1).index.cpu().numpy()
        self.free = np.flatnonzero(~np.isin(receiver, dataset.meta.get("system", {}).get("held") or []))
        self.sender, self.receiver = sender[self.free], receiver[self.free]
        self.all_free = len(self.free) == len(receiver)
        self.edges_per_graph = len(self.free)
        at_once = edges_at_once or EDGES_AT_ONCE[self.parameter.device.type]
        self.batch = max(1, at_once // len(receiver))
        # in the network's configuration a fixed read-out is enough
        self.with_shares = not (model.config.antisymmetric and model.config.linear_node)

    def parts(self, trajectory: np.ndarray, frame: np.ndarray) -> Iterator[dict]:
        """Arrays of the frames ``(trajectory[k], frame[k])`` in order, a batch at a time."""
        for start in range(0, len(trajectory), self.batch):
            yield self.part(trajectory[start : start + self.batch], frame[start : start + self.batch])

    def part(self, trajectory: np.ndarray, frame: np.ndarray) -> dict:
        """Arrays of a few frames at once; edges in the order of frames, then receivers, then senders."""
        arrays, i, j = self.dataset.arrays, self.receiver, self.sender
        pos, vel, acc = (arrays[k][trajectory, frame] for k in ("pos", "vel", "acc"))
        mass, charge = (arrays[k][trajectory] for k in ("mass", "charge"))
        network = self._network(node_features(pos, vel, charge, mass), len(frame))
        acc_pred = network.pop("acc_pred").reshape(acc.shape)

        def ends(values, index):  # [graph, particle, ...] -> [edge, ...]
            return values.take(index, axis=1).reshape(len(frame) * len(index), *values.shape[2:])

        dx = ends(pos, i) - ends(pos, j)
        part = {
            "message": network.pop("message"),
            "receiver": np.tile(i, len(frame)).astype(np.int32), "sender": np.tile(j, len(frame)).astype(np.int32),
            "trajectory": np.repeat(trajectory, len(i)).astype(np.int32),
            "frame": np.repeat(frame, len(i)).astype(np.int32), "dx": dx, "r": np.linalg.norm(dx, axis=1),
            "vel_i": ends(vel, i), "vel_j": ends(vel, j), "mass_i": ends(mass, i), "mass_j": ends(mass, j),
            "charge_i": ends(charge, i), "charge_j": ends(charge, j),
            "acc_i": ends(acc, i), "acc_pred_i": ends(acc_pred, i), **network,
            "active": self.model.active.cpu().numpy().astype(np.int8),
        }  # fmt: skip
        if self.system is not None:
            part["force"] = pair_force(self.system, *(part[k] for k in (
                "dx", "r", "mass_i", "mass_j", "charge_i", "charge_j")))  # fmt: skip
        return part

    def _network(self, x: np.ndarray, graphs: int) -> dict:
        """What the network says: ``acc_pred`` [node, dim] and arrays over the edges that are wanted."""
        edges = self.cache(graphs)
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
            out = {k: v.reshape(graphs, -1, v.shape[1])[:, self.free].reshape(-1, v.shape[1]) for k, v in out.items()}
        return {"acc_pred": acc.cpu().numpy()} | out


# ---------------------------------------------------------------- linear layers by oneDNN


def with_fast_layers(model: GNN) -> GNN:
    """A frozen copy of ``model`` whose hidden layers run in oneDNN, or ``model`` where that gains nothing.

    On CPU ``torch`` multiplies matrices with MKL, which keeps to AVX2 on processors that are not Intel's;
    oneDNN, which comes with it, uses AVX-512 on all that have it (twice as fast on an AMD EPYC) and applies a ReLU
    in the same pass. Results differ by rounding.
    """
    parameter = next(model.parameters())
    if parameter.device.type != "cpu" or parameter.dtype != torch.float32 or not _onednn_pays():
        return model
    model = copy.deepcopy(model).requires_grad_(False)
    model.edge_mlp, model.node_mlp = _fast_mlp(model.edge_mlp), _fast_mlp(model.node_mlp)
    return model


def _onednn_pays() -> bool:
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _fast_mlp(mlp: nn.Sequential) -> nn.Sequential:
    """The same places, so that the network may still ask for its last layer alone."""
    old = [*mlp, None]
    layers = []
    for k, layer in enumerate(mlp):
        if isinstance(layer, nn.Linear):
            layers.append(_FastLinear(layer, relu=isinstance(old[k + 1], nn.ReLU)))
        elif isinstance(layer, nn.ReLU) and k and isinstance(old[k - 1], nn.Linear):
            layers.append(nn.Identity())  # already applied
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


class _FastLinear(nn.Module):
    """A frozen linear layer, with the ReLU after it if there is one; gradients reach its input only."""

    def __init__(self, layer: nn.Linear, relu: bool):
        super().__init__()
        self.weight, self.bias, self.relu = layer.weight.detach(), layer.bias.detach(), relu
        self.transposed = self.weight.T.contiguous()
        self.out_features = layer.out_features

    def forward(self, x: Tensor) -> Tensor:
        return _OneDNN.apply(x, self.weight, self.transposed, self.bias, self.relu)


class _OneDNN(torch.autograd.Function):
    """x W^T + b, then ReLU if asked for; its derivative by x."""

    @staticmethod
    def forward(ctx, x, weight, transposed, bias, relu):
        ctx.transposed, ctx.relu = transposed, relu
        out = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")
        if relu:
            ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, gradient):
        if ctx.relu:
            gradient = torch.ops.aten.threshold_backward(gradient, ctx.saved_tensors[0], 0)
        back = torch.ops.mkldnn._linear_pointwise(gradient.contiguous(), ctx.transposed, None, "none", [], "")
        return back, None, None, None, None
