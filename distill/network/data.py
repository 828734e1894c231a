"""What a network eats: node features, and what it is trained and validated on as tensors on the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill.files.dataset import Dataset
from distill.network.edges import EdgeSource, edges_of, spread_over

FIRST_INPUTS = ("charge", "mass")  # the paper's order
VALIDATION_GRAPHS = 10_000
VALIDATION_EDGES, RANK_EDGES = 500_000, 120_000  # of graphs with edges of their own, of which there may be thousands
QUICK_GRAPHS, QUICK_FRAMES = (512, 256), (64, 8)  # of training and validation; frames have edges of their own


def node_features(pos, vel, properties: Mapping, order: Sequence[str] = FIRST_INPUTS) -> np.ndarray:
    """``[..., particle, 2 dim + property]``: position, velocity, and the properties in that order.

    pos, vel [..., particle, dim]; ``properties``: name -> [..., particle] (broadcast against pos).
    """
    shape = (*pos.shape[:-1], 1)
    columns = [np.broadcast_to(np.asarray(properties[name])[..., None], shape) for name in order]
    return np.concatenate([pos, vel, *columns], -1)


def inputs_of(dataset: Dataset) -> tuple[str, ...]:
    """Properties of a dataset in the order of a network's inputs: charge, mass, then any others by alphabet."""
    return FIRST_INPUTS + tuple(name for name in dataset.properties if name not in FIRST_INPUTS)


def dataset_features(dataset: Dataset, trajectories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features [graph, particle, column] and accelerations [graph, particle, dim] as float32.

    One graph is one frame of one trajectory; graphs are ordered by trajectory, then frame.
    """
    properties = {name: values[trajectories][:, None, :] for name, values in dataset.properties.items()}
    x = node_features(dataset.pos[trajectories], dataset.vel[trajectories], properties, inputs_of(dataset))
    acc = dataset.acc[trajectories]
    return tuple(a.reshape(-1, *a.shape[2:]).astype(np.float32) for a in (x, acc))


@dataclass
class TrainingData:
    """Features [graph, particle, column], accelerations [graph, particle, dim] and edges of two splits.

    ``rank_most``: graphs of validation by which components are ranked, at most. Where graphs have edges of their own
    ``edges_a_frame`` is their mean number, else None; ``told`` is what ``models.ModelConfig`` has to know of the data.
    ``typical``, ``typical_val`` [graph, particle]: its particle's median |a| along the trajectory, and the
    ``powers`` that gates start from (``first_powers``), where masses are wide.
    """

    x: Tensor
    acc: Tensor
    x_val: Tensor
    acc_val: Tensor
    edges: EdgeSource
    edges_val: EdgeSource
    rank_most: int
    edges_a_frame: float | None
    told: dict
    typical: Tensor | None = None
    typical_val: Tensor | None = None
    powers: tuple[list[float], list[float]] | None = None


def load(
    dataset: Dataset, device: str, quick: bool, r_power: float | None = None, wide_masses: bool = False
) -> TrainingData:
    """The training and validation splits of a dataset; ``r_power``, in a box only, and ``wide_masses``: see
    ``models.ModelConfig``.
    """
    limit, limit_val = (QUICK_FRAMES if dataset.periodic else QUICK_GRAPHS) if quick else (None, VALIDATION_GRAPHS)
    rank_most, a_frame, told = VALIDATION_GRAPHS, None, {"properties": inputs_of(dataset)}
    edges = edges_of(dataset, "train", limit, device)
    if dataset.periodic:
        mean, spread, a_frame = edges.sample(r_power)
        limit_val = limit_val if quick else max(1, int(VALIDATION_EDGES / a_frame))
        rank_most = max(1, int(RANK_EDGES / a_frame))
        told |= {"periodic": True, "r_power": r_power, "r_mean": mean, "r_spread": spread}
    edges_val = edges_of(dataset, "validation", limit_val, device)
    tensors = *of_split(dataset, "train", limit, device), *of_split(dataset, "validation", limit_val, device)
    data = TrainingData(*tensors, edges, edges_val, rank_most, a_frame, told)
    if wide_masses:
        told |= {
            "wide_masses": True,
            "log_mass_mean": float(np.log(dataset.mass[dataset.trajectories("train")]).mean()),
        }
        sizes = (typical_sizes(dataset, s, m) for s, m in (("train", limit), ("validation", limit_val)))
        data.powers = first_powers(dataset)
        data.typical, data.typical_val = (torch.as_tensor(size).to(device) for size in sizes)
    return data


def first_powers(dataset: Dataset) -> tuple[list[float], list[float]]:
    """Where the gates of a network of ``wide_masses`` start: power of m_i at nodes; of m_i, m_j and r and a factor's
    logarithm at edges.

    Messages (m_i m_j)^p and a node 1/m_i make accelerations m_i^(p - 1): p is taken from how |a| of the bodies depends
    on their mass, between 0 (forces that do not know masses) and 1 (gravity), the factor such that the typical
    acceleration is 1. From no powers at all, heavy bodies that thousands of light ones pull at do not train.
    """
    train = dataset.trajectories("train")
    log_mass = np.log(dataset.mass[train])
    log_mass = log_mass - log_mass.mean()
    size = np.median(np.linalg.norm(dataset.acc[train], axis=-1), axis=1)
    there = size > 0
    slope = np.polyfit(log_mass[there], np.log(size[there]), 1)[0] if there.any() else 0.0
    p = float(np.clip(1 + slope, 0, 1))
    others = np.where(np.eye(dataset.n, dtype=bool), -np.inf, p * log_mass[:, None, :])  # [trajectory, i, j]
    pull = (p - 1) * log_mass + np.logaddexp.reduce(others, axis=2)
    return [-1.0], [p, p, 0.0, -float(np.median(pull))]


def typical_sizes(dataset: Dataset, split: str, limit: int | None) -> np.ndarray:
    """Median |a| of every particle along its trajectory [graph, particle], graphs as those of ``of_split``."""
    size = np.linalg.norm(dataset.acc[dataset.trajectories(split)], axis=-1)
    typical = np.median(size, axis=1, keepdims=True)
    typical = np.where(typical > 0, typical, np.median(size) or 1.0)
    out = np.broadcast_to(typical, size.shape).reshape(-1, size.shape[-1]).astype(np.float32)
    return out[spread_over(len(out), limit)] if limit and len(out) > limit else out


def of_split(dataset: Dataset, split: str, limit: int | None, device) -> tuple[Tensor, Tensor]:
    """``dataset_features`` of a split as tensors; of ``limit`` graphs spread over all trajectories, if given."""
    x, acc = dataset_features(dataset, dataset.trajectories(split))
    if limit and len(x) > limit:
        pick = spread_over(len(x), limit)
        x, acc = x[pick], acc[pick]
    return torch.as_tensor(x).to(device), torch.as_tensor(acc).to(device)
