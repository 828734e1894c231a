"""Losses of predicted accelerations, an entry of ``LOSSES`` each; tensors by their methods, so no torch here."""


def _mae(pred, acc, scale, noise):
    return (pred - acc).abs().sum()


def _mse(pred, acc, scale, noise):
    return (pred - acc).square().sum()


def _huber(pred, acc, scale, noise):
    """e^2/2 up to ``scale`` and linear beyond."""
    error = (pred - acc).abs()
    near = error.clamp(max=scale)
    return (near * (error - 0.5 * near)).sum()


def _relative(pred, acc, scale, noise):
    """sum_i |a_i - a_i^true| / s, s = c + |a_i^true|, c = ``scale``: relative for strong ones, absolute for weak.

    Of a noisy a_i^true the error is |.|^2 / 2 |noise| up to the size of the noise, as for least squares, and s^2 = (c +
    |a_i^true|)^2 + |noise|^2: what is mostly noise decides nothing.
    """
    size = scale + acc.norm(dim=1)
    if noise is None:
        return ((pred - acc).norm(dim=1) / size).sum()
    noise = acc.size(1) * noise.square()
    size = (size.square() + noise).sqrt()
    noise = noise.clamp(min=1e-24)  # a root needs a slope
    error = ((pred - acc).square().sum(1) + noise).sqrt() - noise.sqrt()
    return (error / size).sum()


def _sized(pred, acc, scale, noise):
    """``_relative`` and |log |a_i| - log |a_i^true||, both sizes counted from c/1000, or from the noise.

    A prediction that is decades too small is hardly worse than none by its relative error, and does not grow.
    """
    least = 1e-3 * scale if noise is None else 1e-3 * scale + acc.size(1) ** 0.5 * noise
    size = (least + pred.norm(dim=1)).log() - (least + acc.norm(dim=1)).log()
    return _relative(pred, acc, scale, noise) + size.abs().sum()


# name: sum over nodes (and, but for the last, over components, the paper's convention) of [node, dim] tensors
LOSSES = {"mae": _mae, "mse": _mse, "huber": _huber, "relative": _relative, "sized": _sized}
BY_BODY = ("relative", "sized")  # whose ``scale`` may be one for each node [node]


def prediction_loss(pred, acc, kind: str, n: float, scale: float = 1.0, noise=None, there=None):
    """Loss of predicted accelerations [node, dim], summed over the ``n`` particles of a graph, mean over graphs.

    ``scale``: a typical acceleration; ``noise`` [node]: standard deviation of a component of ``acc``; ``there`` [node]:
    0 where nothing is known. ``ValueError`` for a kind that is not in ``LOSSES``.
    """
    if kind not in LOSSES:
        raise ValueError(f"unknown loss {kind!r}")
    if there is None:
        return LOSSES[kind](pred, acc, scale, noise) / (pred.size(0) / n)
    pred = pred.where(there[:, None] > 0, acc)  # the error is 0, and so is its gradient
    return LOSSES[kind](pred, acc, scale, noise) / (there.sum().clamp(min=1) / n)
