"""The messages of a run's network before it was trained: what shows how much of a law the training is needed for."""

from dataclasses import dataclass

import numpy as np
import torch

from distill.files.dataset import Dataset
from distill.files.kinds import RunConfig
from distill.messages.extraction import extraction_of
from distill.network.architectures import network_of
from distill.network.weights import model_config


def initial_network(config: RunConfig):
    """A network of the configuration of ``config`` with the weights that its seed starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = network_of(model_config(config.model))
        if config.options.get("silent_start"):
            model.silence()
    return model.eval()


@dataclass
class _Order:
    """Rows of a messages file by (trajectory, frame, receiver, at, sender), and back."""

    sorted: np.ndarray

    @classmethod
    def of(cls, messages: dict) -> "_Order":
        seen = messages.get("at", messages["frame"])
        return cls(np.lexsort([messages["sender"], seen, *(messages[k] for k in ("receiver", "frame", "trajectory"))]))

    def to(self, other: "_Order") -> np.ndarray:
        """Row of these messages for every row of the ``other``."""
        out = np.empty_like(other.sorted)
        out[other.sorted] = self.sorted
        return out


def untrained_messages(config: RunConfig, dataset: Dataset, messages: dict) -> dict:
    """Arrays of a messages file (``fields.MESSAGE_FIELDS``) on the edges of ``messages``, in their order, by the
    network before its first step. Nothing is written.
    """
    frames = np.unique(np.stack([messages[k] for k in ("trajectory", "frame")]), axis=1)
    parts = list(extraction_of(initial_network(config), dataset).parts(*frames))
    found = {k: parts[0][k] if k == "active" else np.concatenate([p[k] for p in parts]) for k in parts[0]}
    order = _Order.of(found).to(_Order.of(messages))
    return {k: v if k == "active" else v[order] for k, v in found.items()}
