"""What a network is trained and validated on, as tensors on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from distill.files.dataset import Dataset
from distill.network.graphs import dataset_features
from distill.network.periodic import FrameGraphs, graphs_of_split, spread_over

VALIDATION_EDGES = 500_000  # in a periodic box; elsewhere graphs are counted
VALIDATION_GRAPHS = 10_000
QUICK_GRAPHS, QUICK_FRAMES = (512, 256), (64, 8)  # of training and validation


@dataclass
class TrainingData:
    """Features [graph, particle, column] and accelerations [graph, particle, dim] of two splits.

    In a periodic box ``frames`` and ``frames_val`` hold their neighbour lists, ``edges_a_frame`` is the mean number
    of edges of one and ``box`` what ``models.ModelConfig`` is told of distances; else None and {}.
    """

    x: Tensor
    acc: Tensor
    x_val: Tensor
    acc_val: Tensor
    frames: FrameGraphs | None = None
    frames_val: FrameGraphs | None = None
    edges_a_frame: float | None = None
    box: dict | None = None


def load(dataset: Dataset, device: str, quick: bool, r_power: float | None = None) -> TrainingData:
    """The training and validation splits of a dataset; ``r_power``: see ``models.ModelConfig``, in a box only."""
    if "box" in dataset.arrays:
        return _load_box(dataset, device, quick, r_power)
    limits = QUICK_GRAPHS if quick else (None, VALIDATION_GRAPHS)
    train, validation = (_split(dataset, s, n, device) for s, n in zip(("train", "validation"), limits, strict=True))
    return TrainingData(*train, *validation)


def _load_box(dataset, device, quick, r_power):
    limit, limit_val = QUICK_FRAMES if quick else (None, None)
    frames = graphs_of_split(dataset, "train", limit, device)
    mean, spread, edges = frames.sample(r_power)
    limit_val = limit_val or max(1, int(VALIDATION_EDGES / edges))
    return TrainingData(
        *_split(dataset, "train", limit, device),
        *_split(dataset, "validation", limit_val, device),
        frames,
        graphs_of_split(dataset, "validation", limit_val, device),
        edges,
        {"periodic": True, "r_power": r_power, "r_mean": mean, "r_spread": spread},
    )


def _split(dataset, split, limit, device):
    x, acc = dataset_features(dataset, dataset.trajectories(split))
    if limit and len(x) > limit:  # spread over all trajectories, not the first few
        pick = spread_over(len(x), limit)
        x, acc = x[pick], acc[pick]
    return torch.as_tensor(x).to(device), torch.as_tensor(acc).to(device)
