"""What a network is trained on: losses of its accelerations, penalties on its messages, and how important these are."""

import torch
from torch import Tensor

from distill.statistics.metrics import kl_divergence


def prediction_loss(pred: Tensor, acc: Tensor, kind: str, n: int, scale: float = 1.0) -> Tensor:
    """Loss of predicted accelerations [node, dim], summed over a graph's particles, mean over graphs.

    mae, mse, huber (delta = ``scale``): summed over components as well, the paper's convention.
    relative: sum_i |a_i - a_i^true| / (c + |a_i^true|), c = ``scale``: a relative error for strong
    accelerations and an absolute one for weak ones.
    """
    graphs = pred.size(0) / n
    if kind == "relative":
        error = torch.linalg.vector_norm(pred - acc, dim=1)
        return (error / (scale + torch.linalg.vector_norm(acc, dim=1))).sum() / graphs
    if kind == "mae":
        return (pred - acc).abs().sum() / graphs
    if kind == "mse":
        return (pred - acc).square().sum() / graphs
    if kind == "huber":
        return torch.nn.functional.huber_loss(pred, acc, reduction="sum", delta=scale) / graphs
    raise ValueError(f"unknown loss {kind!r}")


def l1_penalty(message: Tensor, n: int, graphs: int) -> Tensor:
    """(1/n) sum over edges and components of |e|, averaged over ALL graphs of the batch.

    The original code evaluates this sum on the first graph of each batch only.
    """
    return message.abs().sum() / (n * graphs)


def kl_penalty(mean: Tensor, logvar: Tensor, n: int, graphs: int) -> Tensor:
    """(1/n) sum over edges and components of the KL divergence, averaged over the batch."""
    return kl_divergence(mean, logvar, torch.exp).sum() / (n * graphs)


def std_penalty(message: Tensor, n: int, dim: int) -> Tensor:
    """n times the mean standard deviation over edges of all components but the first ``dim``.

    n, because the loss is a sum over a graph's particles: per particle this is the penalty of gamd_sr, which
    trains GAMD (arXiv:2112.03383) on argon. 0 where a message has no further component.
    """
    if message.size(1) <= dim:
        return message.new_zeros(())
    return n * (message[:, dim:].var(0) + 1e-12).sqrt().mean()  # 1e-12: a masked component has a gradient, 0


def message_importance(message: Tensor, logvar: Tensor | None = None) -> Tensor:
    """Importance of each component [component]: standard deviation, or mean KL for ``kl``."""
    if logvar is None:
        return message.std(0)
    return kl_divergence(message, logvar, torch.exp).mean(0)
