"""The layers that edge and node models are made of (``models.GNN``)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.network.layers import onednn


class Antisymmetric(torch.autograd.Function):
    """(out_ij - out_ji) / 2 over edges; its own adjoint, ``reverse`` being an involution: no scatter is needed."""

    generate_vmap_rule = True

    @staticmethod
    def forward(out, reverse):
        return 0.5 * (out - out[reverse])

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, gradient):
        (reverse,) = ctx.saved_tensors
        return 0.5 * (gradient - gradient[reverse]), None


class FirstLayer(nn.Module):
    """First linear layer of the edge model on (x_i, x_j), as a part for each end plus geometry.

    Equal to one linear layer on the concatenation, at 2 n instead of n (n - 1) products a graph.
    Translation invariance ties the receiver's position weights to minus the sender's. With ``scale``, a power of r
    with its mean and spread (a periodic box), positions do not enter: the geometry is all the layer sees of them.
    Nor do they without ``lengths``, for an invariant layer with geometry. ``radial``: of that power alone, without d/r.
    """

    def __init__(
        self,
        dim: int,
        properties: int,
        width: int,
        invariant: bool,
        geometric: bool,
        scale: tuple[float, float, float] | None = None,
        lengths: bool = True,
        radial: bool = False,
    ):
        super().__init__()
        self.dim, self.invariant, self.scale, self.radial = dim, invariant, scale, radial
        self.least = 1e-4 if lengths else 1e-12  # where lengths span decades there is no small one
        fan_in = (dim if invariant else 2 * dim) + 2 * properties + (scale is not None)
        own = properties if invariant else dim + properties
        bound = fan_in**-0.5  # PyTorch's default for one layer with this many inputs

        def weight(columns):
            return nn.Parameter(torch.empty(width, columns).uniform_(-bound, bound))

        self.receiver, self.sender = weight(own), weight(own)
        self.position = weight(dim) if invariant and lengths and scale is None else None
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.geometry = nn.Linear(1 if radial else dim + 1, width, bias=False) if geometric else None

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor]:
        if not self.invariant:
            return onednn.linear(h, self.receiver, self.bias), onednn.linear(h, self.sender, None)
        rest = h[:, self.dim :]
        receiver, sender = onednn.linear(rest, self.receiver, self.bias), onednn.linear(rest, self.sender, None)
        if self.position is None:
            return receiver, sender
        shift = onednn.linear(h[:, : self.dim], self.position, None)
        return receiver - shift, sender + shift

    def geometric(self, d: Tensor) -> Tensor:
        """The added map of (d/r, log r), d = x_j - x_i; ``least`` keeps coincident particles finite.

        With ``scale`` (r^p - mean)/spread stands for log r. Differences in units of length do not train on a fluid,
        where most pairs are far apart and the forces between them small.
        """
        r = d.norm(dim=1, keepdim=True) + self.least
        if self.scale is not None:
            power, mean, spread = self.scale
            if self.radial:
                return self.geometry((r**power - mean) / spread)
            return self.geometry(torch.cat([d / r, (r**power - mean) / spread], 1))
        return self.geometry(torch.cat([d / r, r.log()], 1))


def activation_layer(name: str) -> nn.Module:
    """``ValueError`` for an unknown name."""
    known = {"relu": nn.ReLU, "silu": nn.SiLU, "softplus": nn.Softplus, "tanh": nn.Tanh}
    if name not in known:
        raise ValueError(f"activation {name!r}, expected one of {', '.join(known)}")
    return known[name]()


def mlp(inputs: int, widths: Sequence[int], outputs: int, activation: str) -> nn.Sequential:
    """Linear layers with hidden layers of the given ``widths``, the activation after each but the last."""
    layers: list[nn.Module] = []
    relu = activation == "relu"  # then a part of the layer; its place is kept, so that weights keep their names
    for width in widths:
        layers += [onednn.Linear(inputs, width, relu), nn.Identity() if relu else activation_layer(activation)]
        inputs = width
    layers.append(onednn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


def after_first(edge_model: str, width: int, depth: int, outputs: int, activation: str) -> nn.Sequential:
    """What follows the first hidden layer [edge, width] of an edge model; its last layer is linear. ``ValueError``
    for an unknown ``edge_model`` (``models.ModelConfig`` says what they are).
    """
    if edge_model == "mlp":
        return mlp(width, [width] * (depth - 1), outputs, activation)
    if edge_model == "pm":
        return mlp(width, [width * 3 // 2, width * 2, width * 3 // 2, width], outputs, activation)
    if edge_model == "cust":
        return nn.Sequential(Inverses(width), onednn.Linear(2 * width, outputs))
    raise ValueError(f"unknown edge model {edge_model!r}")


class Inverses(nn.Module):
    """A linear map of 1/(x + 1) beside one of 1/(x + 1)^2: x [edge, width] >= 0 to [edge, 2 width].

    Versions of the original differ: some invert the linear map of x + 1 instead, which has poles; x >= 0 has none.
    """

    def __init__(self, width: int):
        super().__init__()
        self.inverse, self.square = onednn.Linear(width, width), onednn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        inverse = (x + 1).reciprocal()
        return torch.cat([self.inverse(inverse), self.square(inverse * inverse)], 1)


def mlp_rows(mlp: nn.Sequential, h: Tensor, rows: Tensor | None) -> Tensor:
    """``mlp(h)``, its last layer evaluated for the given output rows only."""
    if rows is None:
        return mlp(h)
    last = mlp[-1]
    return onednn.linear(mlp[:-1](h), last.weight[rows], last.bias[rows])


@torch.no_grad()
def silence(edge_mlp: nn.Sequential, node_mlp: nn.Sequential) -> None:
    """Start with messages of 0 and a node model that passes on what it gets (He's weights for ReLU, no biases).

    The sum of tens of random messages buries what little they know of the force: from PyTorch's initial weights
    such networks predict nothing for thousands of steps, or learn one axis alone.
    """
    for parameter in edge_mlp[-1].parameters():
        parameter.zero_()
    for parameter in node_mlp.parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=(2 / parameter.size(1)) ** 0.5)
        else:
            parameter.zero_()
