"""Scalar functions with their slopes: MLPs with one output, and the geometry of their inputs.

A network of energies is trained on derivatives of its output, so that every step needs second derivatives. Here the
first ones are formulas, evaluated beside the values by the same matrix products in reverse order; one ordinary backward
pass through both then gives the gradients of the weights. That needs no graph of a graph: it runs without autograd
where nothing is trained, in float64, under ``torch.vmap`` and in a captured CUDA graph as any other network does.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.network.layers import onednn

LEAST = 1e-4  # added to distances, which keeps their logarithms finite
LARGEST = 15.0  # exponent of a gate


def _softplus(z: Tensor) -> tuple[Tensor, Tensor]:
    return nn.functional.softplus(z), z.sigmoid()


def _silu(z: Tensor) -> tuple[Tensor, Tensor]:
    s = z.sigmoid()
    value = z * s
    return value, s + value * (1 - s)


def _tanh(z: Tensor) -> tuple[Tensor, Tensor]:
    value = z.tanh()
    return value, 1 - value * value


# name: values and derivatives. A force by a ReLU would be constant between kinks, and learn nothing from its derivative
SMOOTH = {"softplus": _softplus, "silu": _silu, "tanh": _tanh}


class Scalar(nn.Module):
    """From the first hidden layer [row, width], before its activation, to one number: u, or u exp(s) with a ``gate``.

    ``depth`` hidden layers in all. ``ValueError`` for an activation that is not ``SMOOTH``.
    """

    def __init__(self, width: int, depth: int, activation: str, gate: bool):
        super().__init__()
        if activation not in SMOOTH:
            raise ValueError(f"activation {activation!r} is not smooth, expected one of {', '.join(SMOOTH)}")
        self.activation, self.gate = SMOOTH[activation], gate
        self.hidden = nn.ModuleList(onednn.Linear(width, width) for _ in range(depth - 1))
        self.last = onednn.Linear(width, 2 if gate else 1)

    def forward(self, z: Tensor) -> Tensor:
        """The value alone [row, 1]."""
        h, _ = self.activation(z)
        for layer in self.hidden:
            h, _ = self.activation(layer(h))
        out = self.last(h)
        return out[:, :1] * out[:, 1:].clamp(-LARGEST, LARGEST).exp() if self.gate else out

    def with_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The value [row, 1] and its derivative by ``z`` [row, width]."""
        h, slope = self.activation(z)
        slopes = [slope]
        for layer in self.hidden:
            h, slope = self.activation(layer(h))
            slopes.append(slope)
        value, back = self.last(h), None
        if self.gate:
            u, s = value[:, :1], value[:, 1:]
            factor = s.clamp(-LARGEST, LARGEST).exp()
            value = u * factor
            back = torch.cat([factor, value * (s.abs() < LARGEST)], 1) @ self.last.weight
        else:
            back = self.last.weight.expand(len(h), -1)
        for layer, slope in zip(reversed(self.hidden), reversed(slopes[1:]), strict=True):
            back = onednn.linear(back * slope, layer.weight.T, None)
        return value, back * slopes[0]


class Lengths(nn.Module):
    """What a first layer sees of vectors [row, dim]: themselves and, if ``geometric``, direction d/r and log r, or with
    a ``scale`` (power p, mean, spread) direction and (r^p - mean)/spread alone; r = (|d|^2 + ``least``^2)^(1/2), so
    that nothing of it has a kink at d = 0, where a particle is at rest.
    """

    def __init__(self, dim: int, geometric: bool, scale: tuple[float, float, float] | None = None, least=LEAST):
        super().__init__()
        self.dim, self.geometric, self.scale, self.least = dim, geometric, scale, least
        self.columns = (dim if scale is None else 0) + (dim + 1 if geometric else 0)

    def forward(self, d: Tensor) -> Tensor:
        """[row, column]"""
        parts = [d] if self.scale is None else []
        if self.geometric:
            r = soft_length(d, self.least)
            parts += [d / r, r.log() if self.scale is None else (r ** self.scale[0] - self.scale[1]) / self.scale[2]]
        return torch.cat(parts, 1)

    def back(self, d: Tensor, slope: Tensor) -> Tensor:
        """Derivatives by ``d`` [row, dim] of what has these by the columns [row, column]."""
        if not self.geometric:
            return slope
        own = self.columns - self.dim - 1
        along, last = slope[:, own : own + self.dim], slope[:, -1:]
        r = soft_length(d, self.least)
        if self.scale is None:
            last = last / r
        else:
            power, _, spread = self.scale
            last = last * power * r ** (power - 1) / spread
        out = (along + (last - (along * d).sum(1, keepdim=True) / (r * r)) * d) / r
        return out + slope[:, :own] if own else out


class Length(nn.Module):
    """What a first layer sees of the length alone of vectors [row, dim]: r and log r, as in ``Lengths``."""

    columns = 2

    def __init__(self, least: float):
        super().__init__()
        self.least = least

    def forward(self, d: Tensor) -> Tensor:
        """[row, column]"""
        r = soft_length(d, self.least)
        return torch.cat([r, r.log()], 1)

    def back(self, d: Tensor, slope: Tensor) -> Tensor:
        """As ``Lengths.back``."""
        r = soft_length(d, self.least)
        return d / r * (slope[:, :1] + slope[:, 1:] / r)


def soft_length(d: Tensor, least: float) -> Tensor:
    """(|d|^2 + least^2)^(1/2) [row, 1]."""
    return (d.square().sum(1, keepdim=True) + least**2).sqrt()


def weights(width: int, columns: Sequence[int]) -> tuple[list[nn.Parameter], nn.Parameter]:
    """Parts [width, column] of a first linear layer, and its bias, as PyTorch starts one layer of all columns."""
    bound = max(1, sum(columns)) ** -0.5
    parts = [nn.Parameter(torch.empty(width, count).uniform_(-bound, bound)) for count in columns]
    return parts, nn.Parameter(torch.empty(width).uniform_(-bound, bound))
