"""Losses of predicted accelerations, an entry of ``LOSSES`` each; tensors by their methods, so no torch here."""


def _mae(pred, acc, scale):
    return (pred - acc).abs().sum()


def _mse(pred, acc, scale):
    return (pred - acc).square().sum()


def _huber(pred, acc, scale):
    """e^2/2 up to ``scale`` and linear beyond."""
    error = (pred - acc).abs()
    near = error.clamp(max=scale)
    return (near * (error - 0.5 * near)).sum()


def _relative(pred, acc, scale):
    """sum_i |a_i - a_i^true| / (c + |a_i^true|), c = ``scale``: relative for strong ones, absolute for weak."""
    return ((pred - acc).norm(dim=1) / (scale + acc.norm(dim=1))).sum()


def _sized(pred, acc, scale):
    """``_relative`` and |log |a_i| - log |a_i^true||, both sizes counted from c/1000.

    A prediction that is decades too small is hardly worse than none by its relative error, and does not grow.
    """
    least = 1e-3 * scale
    size = (least + pred.norm(dim=1)).log() - (least + acc.norm(dim=1)).log()
    return _relative(pred, acc, scale) + size.abs().sum()


# name: sum over nodes (and, but for the last, over components, the paper's convention) of [node, dim] tensors
LOSSES = {"mae": _mae, "mse": _mse, "huber": _huber, "relative": _relative, "sized": _sized}
BY_BODY = ("relative", "sized")  # whose ``scale`` may be one for each node [node]


def prediction_loss(pred, acc, kind: str, n: int, scale: float = 1.0):
    """Loss of predicted accelerations [node, dim], summed over the ``n`` particles of a graph, mean over graphs.

    ``scale``: a typical acceleration. ``ValueError`` for a kind that is not in ``LOSSES``.
    """
    if kind not in LOSSES:
        raise ValueError(f"unknown loss {kind!r}")
    return LOSSES[kind](pred, acc, scale) / (pred.size(0) / n)
