"""What a network eats: node features, and what it is trained and validated on as tensors on the device."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.files.dataset import Dataset
from distill.files.scales import ONE, Scales
from distill.network.edges import EdgeSource, edges_of, graphs_of
from distill.network.labels import Labels, finer_than, in_parts, labels_of

FIRST_INPUTS = ("charge", "mass")  # the paper's order
VALIDATION_GRAPHS = 10_000
VALIDATION_EDGES, RANK_EDGES = 500_000, 120_000  # of graphs with edges of their own, of which there may be thousands
QUICK_GRAPHS, QUICK_FRAMES = (512, 256), (64, 8)  # of training and validation; frames have edges of their own


def node_features(pos, vel, properties: Mapping, order: Sequence[str] = FIRST_INPUTS) -> np.ndarray:
    """``[..., particle, 2 dim + property]``: position, velocity, and the properties in that order.

    pos, vel [..., particle, dim], 0 for NaN, of particles that are not there; vel None: zeros. ``properties``: name
    -> [..., particle] (broadcast against pos).
    """
    shape = (*pos.shape[:-1], 1)
    pos, vel = (np.nan_to_num(a) for a in (pos, np.zeros_like(pos) if vel is None else vel))
    columns = [np.broadcast_to(np.asarray(properties[name])[..., None], shape) for name in order]
    return np.concatenate([pos, vel, *columns], -1)


def inputs_of(dataset: Dataset) -> tuple[str, ...]:
    """Properties of a dataset in the order of a network's inputs: charge, mass, then any others by alphabet."""
    return FIRST_INPUTS + tuple(name for name in dataset.properties if name not in FIRST_INPUTS)


@dataclass(frozen=True)
class Inputs:
    """How states become the inputs of a network: ``scales``, and where positions are counted from: ``centre`` [dim], or
    the middle of the particles of each frame where only differences matter (``invariant``). All in float64: networks
    have seven digits, which an origin far away would take up.
    """

    scales: Scales = ONE
    invariant: bool = False
    centre: tuple[float, ...] = ()
    clock: tuple[float, ...] = ()  # mean and spread of the times, where networks see these

    @classmethod
    def of(cls, config) -> "Inputs":
        """Of a network with this ``models.ModelConfig``."""
        return cls(config.scales, config.translation_invariant, config.centre, config.clock)

    def features(self, pos, vel, properties: Mapping, order: Sequence[str], t=0.0) -> np.ndarray:
        """``node_features`` in the units of the network, with the time ``t``, a number or [...], for a clock."""
        scales, pos = self.scales, np.asarray(pos, float)
        if self.invariant:
            pos = pos - _middle(pos)
        elif self.centre:
            pos = pos - np.asarray(self.centre)
        own = {name: np.asarray(properties[name], float) / scales.of(name) for name in order}
        vel = None if vel is None else np.asarray(vel, float) / scales.speed
        out = node_features(pos / scales.length, vel, own, order)
        if not self.clock:
            return out
        t = (np.asarray(t, float)[..., None, None] - self.clock[0]) / self.clock[1]
        return np.concatenate([out, np.broadcast_to(t, (*pos.shape[:-1], 1))], -1)


def _middle(pos: np.ndarray) -> np.ndarray:
    """Mean place of the particles that are there [..., 1, dim]."""
    there = np.isfinite(pos)
    return np.where(there, pos, 0.0).sum(-2, keepdims=True) / np.maximum(there.sum(-2, keepdims=True), 1)


def dataset_features(dataset: Dataset, graphs: np.ndarray, inputs: Inputs | None = None) -> np.ndarray:
    """Features [graph, particle, column] as float32, in the units of ``inputs``, of the graphs of these numbers,
    trajectory x frames + frame.
    """
    own, order, inputs = dataset.properties, inputs_of(dataset), inputs or Inputs()

    def features(part: np.ndarray) -> np.ndarray:
        trajectory, frame = np.divmod(part, dataset.pos.shape[1])
        properties = {name: values[trajectory] for name, values in own.items()}
        pos, vel = (None if a is None else a[trajectory, frame] for a in (dataset.pos, dataset.arrays.get("vel")))
        t = dataset.times[trajectory, frame] if inputs.clock else 0.0
        return inputs.features(pos, vel, properties, order, t)

    return in_parts(graphs, dataset.n, features)


@dataclass
class TrainingData:
    """Features [graph, particle, column], labels (for the training also those of shorter windows) and edges of two
    splits.

    ``rank_most``: graphs of validation by which components are ranked, at most. Where graphs have edges of their own
    ``edges_a_frame`` is their mean number (of windows: in all their frames), else None; ``told`` is what
    ``models.ModelConfig`` has to know of the data.
    ``typical``, ``typical_val`` [graph, particle]: its particle's median |a| along the trajectory, and the
    ``powers`` that gates start from (``first_powers``), where masses are wide.
    ``trajectory``, ``trajectory_val`` [graph]: numbers of the trajectories that graphs are of.
    ``who``, ``who_val`` [graph, particle]: numbers of bodies, where properties of them are unknown.
    """

    x: Tensor
    x_val: Tensor
    labels: list[Labels]
    labels_val: Labels
    edges: EdgeSource
    edges_val: EdgeSource
    rank_most: int
    edges_a_frame: float | None
    told: dict
    trajectory: np.ndarray
    trajectory_val: np.ndarray
    typical: Tensor | None = None
    typical_val: Tensor | None = None
    powers: tuple[list[float], list[float]] | None = None
    who: Tensor | None = None
    who_val: Tensor | None = None

    @property
    def splits(self) -> tuple["Graphs", "Graphs"]:
        """Graphs of training and of validation."""
        return (
            Graphs(self.x, self.labels[0], self.edges, self.trajectory, self.who),
            Graphs(self.x_val, self.labels_val, self.edges_val, self.trajectory_val, self.who_val),
        )


class Graphs(NamedTuple):
    """Those of a split: node features ``x`` [graph, particle, column], ``labels``, ``edges``, numbers of their
    trajectories [graph], and of bodies ``who`` [graph, particle], where properties of these are unknown.
    """

    x: Tensor
    labels: Labels
    edges: EdgeSource
    trajectory: np.ndarray
    who: Tensor | None


def load(
    dataset: Dataset,
    device: str,
    quick: bool,
    r_power: float | None = None,
    wide_masses: bool = False,
    inputs: Inputs | None = None,
    number: np.ndarray | None = None,
) -> TrainingData:
    """The training and validation splits of a dataset in the units of ``inputs``; ``r_power``, in a box only, and
    ``wide_masses``: see ``models.ModelConfig``. ``number``: of bodies [trajectory, particle].
    """
    inputs = inputs or Inputs()
    limit, limit_val = (QUICK_FRAMES if dataset.periodic else QUICK_GRAPHS) if quick else (None, VALIDATION_GRAPHS)
    scales, rank_most, a_frame = inputs.scales, VALIDATION_GRAPHS, None
    told = {"properties": inputs_of(dataset), "length": scales.length, "time": scales.time, "centre": inputs.centre}
    told |= {"clock": inputs.clock} if inputs.clock else {}
    told |= {"outputs": dataset.outputs, "target": scales.target} if dataset.has_target else {}
    told["units"] = tuple(scales.of(name) for name in told["properties"]) if scales.properties else ()
    edges = edges_of(dataset, graphs := graphs_of(dataset, "train", limit), device)
    if dataset.periodic:
        mean, spread, a_frame = edges.sample(r_power, scales.length)
        limit_val = limit_val if quick else max(1, int(VALIDATION_EDGES / a_frame))
        rank_most = max(1, int(RANK_EDGES / a_frame))
        told |= {"periodic": True, "r_power": r_power, "r_mean": mean, "r_spread": spread}
    edges_val = edges_of(dataset, graphs_val := graphs_of(dataset, "validation", limit_val), device)
    x, x_val = (torch.as_tensor(dataset_features(dataset, g, inputs)).to(device) for g in (graphs, graphs_val))
    labels, labels_val = (labels_of(dataset, g, device, scales.output) for g in (graphs, graphs_val))
    if labels.omega is not None:
        a_frame = labels.across * (a_frame or edges.count(np.arange(len(graphs))) / len(graphs))
    finer = finer_than(labels, dataset, graphs, device, scales.output)
    of = (numbers // dataset.pos.shape[1] for numbers in (graphs, graphs_val))
    data = TrainingData(x, x_val, [labels, *finer], labels_val, edges, edges_val, rank_most, a_frame, told, *of)
    if number is not None:
        rows = (torch.as_tensor(number[g // dataset.pos.shape[1]].astype(np.int64)) for g in (graphs, graphs_val))
        data.who, data.who_val = (row.to(device) for row in rows)
    if wide_masses:
        told |= {
            "wide_masses": True,
            "log_mass_mean": float(np.log(dataset.mass[dataset.trajectories("train")] / scales.of("mass")).mean()),
        }
        data.powers = first_powers(dataset)
        both = ("train", graphs), ("validation", graphs_val)
        sizes = (typical_sizes(dataset, s, g, scales.acceleration) for s, g in both)
        data.typical, data.typical_val = (torch.as_tensor(size).to(device) for size in sizes)
    return data


def clock_of(dataset: Dataset) -> tuple[float, ...]:
    """Mean and standard deviation of the times in the training split; none where there is but one."""
    t = np.asarray(dataset.times, float)[dataset.trajectories("train")]
    return (float(t.mean()), float(t.std())) if np.ptp(t) > 0 else ()


def body_sizes(dataset: Dataset, split: str) -> np.ndarray:
    """Median |a| of every particle along its trajectory [trajectory, particle] of a split; NaN where none is known."""
    if "acc" in dataset.arrays:
        size = np.linalg.norm(dataset.acc[dataset.trajectories(split)], axis=-1)
    else:
        labels = labels_of(dataset, graphs_of(dataset, split), "cpu")
        size = np.where(labels.there.numpy() > 0, np.linalg.norm(labels.acc.numpy(), axis=-1), np.nan)
        size = size.reshape(-1, dataset.pos.shape[1], dataset.n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the median of nothing is NaN
        return np.nanmedian(size, axis=1)


def first_powers(dataset: Dataset) -> tuple[list[float], list[float]]:
    """Where the gates of a network of ``wide_masses`` start: power of m_i at nodes; of m_i, m_j and r and a factor's
    logarithm at edges.

    Messages (m_i m_j)^p and a node 1/m_i make accelerations m_i^(p - 1): p is taken from how |a| of the bodies depends
    on their mass, between 0 (forces that do not know masses) and 1 (gravity), the factor such that the typical
    acceleration is 1. From no powers at all, heavy bodies that thousands of light ones pull at do not train.
    """
    log_mass, size = np.log(dataset.mass[dataset.trajectories("train")]), body_sizes(dataset, "train")
    log_mass = log_mass - log_mass.mean()
    there = size > 0
    slope = np.polyfit(log_mass[there], np.log(size[there]), 1)[0] if there.any() else 0.0
    p = float(np.clip(1 + slope, 0, 1))
    others = np.where(np.eye(dataset.n, dtype=bool), -np.inf, p * log_mass[:, None, :])  # [trajectory, i, j]
    pull = (p - 1) * log_mass + np.logaddexp.reduce(others, axis=2)
    return [-1.0], [p, p, 0.0, -float(np.median(pull))]


def typical_sizes(dataset: Dataset, split: str, graphs: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """The ``body_sizes`` of a split, in units of ``unit``, in the graphs of these numbers [graph, particle]; their
    median where a body has none.
    """
    size = body_sizes(dataset, split) / unit
    size = np.where(size > 0, size, np.nanmedian(size) or 1.0).astype(np.float32)
    return size[np.searchsorted(dataset.trajectories(split), graphs // dataset.pos.shape[1])]
