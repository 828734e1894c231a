"""From datasets to what the network eats: node features and constant edges."""

import numpy as np

from distill.files.dataset import Dataset
from models import Edges


def node_features(pos, vel, charge, mass) -> np.ndarray:
    """``[..., particle, 2 dim + 2]``: position, velocity, charge, mass.

    pos, vel [..., particle, dim]; charge, mass [..., particle] (broadcast against pos).
    """
    shape = (*pos.shape[:-1], 1)
    columns = [np.broadcast_to(np.asarray(a)[..., None], shape) for a in (charge, mass)]
    return np.concatenate([pos, vel, *columns], -1)


def dataset_features(dataset: Dataset, trajectories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features [graph, particle, 2 dim + 2] and accelerations [graph, particle, dim] as float32.

    One graph is one frame of one trajectory; graphs are ordered by trajectory, then frame.
    """
    charge, mass = (dataset.arrays[k][trajectories][:, None, :] for k in ("charge", "mass"))
    x = node_features(dataset.pos[trajectories], dataset.vel[trajectories], charge, mass)
    acc = dataset.acc[trajectories]
    return (
        x.reshape(-1, *x.shape[2:]).astype(np.float32),
        acc.reshape(-1, *acc.shape[2:]).astype(np.float32),
    )


def is_chain(meta: dict) -> bool:
    """Whether only neighbouring particles interact (the string systems)."""
    return bool(meta.get("system", {}).get("neighbours_only", False))


class EdgeCache:
    """``Edges`` for each number of graphs asked for, made once."""

    def __init__(self, n: int, chain: bool, device: str):
        self.n, self.chain, self.device, self._made = n, chain, device, {}

    def __call__(self, graphs: int) -> Edges:
        if graphs not in self._made:
            self._made[graphs] = Edges(self.n, graphs, self.chain, self.device)
        return self._made[graphs]
