"""Values of bodies that nobody measured, as parameters that are trained beside a network's weights.

A property of a body is one number in all trajectories. Where it is unknown the network is given, in place of the
property's column of the node features, the parameter of that body: a mass as the exponential of one, a strength of
either sign as it is, a latent descriptor as one more column. What fixes the scale is a part of the map from
parameters to values, so that it holds at every step. After the training values are a property like others: the
network that is stored knows nothing of bodies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from distill.files.properties import property_named

POSITIVE, SIGNED, LATENT = "positive", "signed", "latent"
RATE = 3.0  # times the parameter is log of a mass: a step of Adam moves all parameters alike, masses have far to go
FAR = 0.1  # of the largest value: the first beyond it gives the sign


@dataclass(frozen=True)
class Unknown:
    """One unknown property. ``kind``: how its parameter becomes a value; ``given``: number of a body -> its value, in
    the unit of the data, which is held and gives the scale.
    """

    name: str
    kind: str
    given: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, given: Mapping[int, float] | None = None) -> "Unknown":
        """Of the property of that name: masses are positive, others may have either sign."""
        return cls(name, POSITIVE if property_named(name).positive else SIGNED, dict(given or {}))

    @property
    def start(self) -> float:
        """What stands for its values where none are known yet: the typical one of those given, else 1."""
        sizes = np.abs(list(self.given.values()))
        return float(np.exp(np.log(sizes).mean())) if len(sizes) else 1.0

    @property
    def gauge(self) -> str:
        """What fixes the scale, in words."""
        if self.given:
            return "bodies whose value is given"
        return {
            POSITIVE: "the geometric mean is 1",
            SIGNED: f"the mean square is 1, and the first value beyond {FAR:g} of the largest is positive",
            LATENT: "the mean is 0 and the mean square 1; its sign is nobody's, and any function of it says the same",
        }[self.kind]


@dataclass(frozen=True)
class Bodies:
    """Who is who, and what is not known of them: ``number`` of the body [trajectory, particle], ``names`` [body]."""

    number: np.ndarray
    names: tuple[str, ...]
    unknowns: tuple[Unknown, ...]

    @property
    def strengths(self) -> tuple[str, ...]:
        """Properties that enter forces as factors alone (``models.ModelConfig``)."""
        return tuple(one.name for one in self.unknowns if one.kind == SIGNED)


class Values(nn.Module):
    """The parameters [body, unknown] and what becomes of them; ``columns``: where they go in node features, ``units``:
    of the network, for values that are given.
    """

    def __init__(self, bodies: Bodies, columns: list[int], units: list[float], seed: int):
        super().__init__()
        self.unknowns, self.columns = bodies.unknowns, columns
        count, drawn = len(bodies.names), torch.Generator().manual_seed(seed + 2)
        start = torch.randn(count, len(columns), generator=drawn)
        held = torch.zeros(count, len(columns), dtype=torch.bool)
        given = torch.ones(count, len(columns))
        for k, (one, unit) in enumerate(zip(self.unknowns, units, strict=True)):
            size = one.start / unit if one.given else 1.0
            start[:, k] = np.log(size) / RATE if one.kind == POSITIVE else size * start[:, k]
            for body, value in one.given.items():
                held[body, k], given[body, k] = True, value / unit
        self.raw = nn.Parameter(start)
        self.register_buffer("held", held, persistent=False)
        self.register_buffer("given", given, persistent=False)

    def table(self) -> Tensor:
        """Values [body, unknown] in the units of the network, in their gauges."""
        out = []
        for k, one in enumerate(self.unknowns):
            raw = self.raw[:, k]
            if one.kind == POSITIVE:
                value = (RATE * (raw if one.given else raw - raw.mean())).exp()
            elif one.given:
                value = raw
            else:
                value = raw - raw.mean() if one.kind == LATENT else raw
                value = value * value.square().mean().clamp(min=1e-12).rsqrt()
            out.append(value)
        return torch.where(self.held, self.given, torch.stack(out, 1))

    def forward(self, x: Tensor, who: Tensor) -> Tensor:
        """Node features ``x`` [node, column] with the values of the bodies ``who`` [node] in their columns."""
        own = self.table().index_select(0, who)
        x = list(x.unbind(1))
        for k, column in enumerate(self.columns):
            x[column] = own[:, k]
        return torch.stack(x, 1)

    @torch.no_grad()
    def told(self, units: list[float]) -> dict[str, np.ndarray]:
        """Property -> values [body] in the unit of the data, those of a strength with the sign of its gauge: what is a
        factor of both ends does the same with the other one.
        """
        out = {}
        for k, (one, unit) in enumerate(zip(self.unknowns, units, strict=True)):
            value = unit * self.table()[:, k].double().cpu().numpy()
            if one.kind == SIGNED and not one.given:
                value = value * np.sign(value[np.abs(value) > FAR * np.abs(value).max()][0])
            value[list(one.given)] = list(one.given.values())
            out[one.name] = value
        return out
