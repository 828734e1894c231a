"""Values of bodies that nobody measured, as parameters that are trained beside a network's weights.

A property of a body is one number in all trajectories. Where it is unknown the network is given, in place of the
property's column of the node features, the parameter of that body: a mass as the exponential of one, a strength of
either sign as it is, a latent descriptor as one more column. What fixes the scale is a part of the map from
parameters to values, so that it holds at every step.

Strengths enter as products p_i p_j of both ends. From a random start half of them may be caught where a force of the
wrong sign is told best: charges that are alike attract, and no value can change its sign on its own. So every pair of
bodies first has a factor of its own, which no start can frustrate; at ``SETTLED`` the products nearest to these
factors take their place.

After the training values are a property like others: the
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
SETTLED = 0.2  # share of the training after which factors of pairs are products
ROUNDS = 200  # to fill in factors of pairs that never met, at most
FAR = 0.1  # of the largest value: the first beyond it gives the sign


@dataclass(frozen=True)
class Unknown:
    """One unknown property. ``kind``: how its parameter becomes a value; ``given``: number of a body -> its value, in
    the unit of the data: their ratios are held, and they give the scale.
    """

    name: str
    kind: str
    given: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, given: Mapping[int, float] | None = None) -> "Unknown":
        """Of the property of that name: masses are positive, others may have either sign."""
        return cls(name, POSITIVE if property_named(name).positive else SIGNED, dict(given or {}))

    @property
    def first(self) -> int:
        """Number of the body whose parameter stands for all that are given."""
        return next(iter(self.given), 0)

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
    """Who is who, and what is not known of them: ``number`` of the body [trajectory, particle], ``names`` [body].
    ``met`` [body, body]: whether two of them are together in a trajectory of the training split.
    """

    number: np.ndarray
    names: tuple[str, ...]
    unknowns: tuple[Unknown, ...]
    met: np.ndarray

    @property
    def strengths(self) -> tuple[str, ...]:
        """Properties that enter forces as factors alone (``models.ModelConfig``)."""
        return tuple(one.name for one in self.unknowns if one.kind == SIGNED)


class Values(nn.Module):
    """The parameters [body, unknown] and what becomes of them; ``columns``: where they go in node features.

    Values that are given move together, as the first of them: what they are says but the unit in the end, and a start
    far from one of them is no worse than another.
    """

    def __init__(self, bodies: Bodies, columns: list[int], seed: int):
        super().__init__()
        self.unknowns, self.columns, self.met = bodies.unknowns, columns, bodies.met
        count, drawn = len(bodies.names), torch.Generator().manual_seed(seed + 2)
        start = torch.randn(count, len(columns), generator=drawn)
        leader = torch.arange(count)[:, None].repeat(1, len(columns))  # whose parameter it is [body, unknown]
        ratio = torch.ones(count, len(columns))
        for k, one in enumerate(self.unknowns):
            if one.kind == POSITIVE:
                start[:, k] = 0.0
            for body, value in one.given.items():
                leader[body, k], ratio[body, k] = one.first, value / one.given[one.first]
        self.raw, self.pairs = nn.Parameter(start), None
        if bodies.strengths:
            factors = torch.randn(len(bodies.strengths), count, count, generator=drawn)
            self.pairs = nn.Parameter(0.3 * factors)
            self.register_buffer("settled", torch.zeros(()))
        self.register_buffer("leader", leader, persistent=False)
        self.register_buffer("ratio", ratio, persistent=False)

    def table(self) -> Tensor:
        """Values [body, unknown] in the units of the network, in their gauges."""
        out = []
        for k, one in enumerate(self.unknowns):
            value, ratio = self.raw[:, k].index_select(0, self.leader[:, k]), self.ratio[:, k]
            if one.kind == POSITIVE:
                log = RATE * value + ratio.log()
                out.append((log - log.mean()).exp())
                continue
            value = value * ratio
            value = value - value.mean() if one.kind == LATENT else value
            out.append(value * value.square().mean().clamp(min=1e-12).rsqrt())
        return torch.stack(out, 1)

    def forward(self, x: Tensor, who: Tensor) -> Tensor:
        """Node features ``x`` [node, column] with the values of the bodies ``who`` [node] in their columns."""
        own = self.table().index_select(0, who)
        x = list(x.unbind(1))
        for k, column in enumerate(self.columns):
            x[column] = own[:, k]
        return torch.stack(x, 1)

    def products(self, product: Tensor, receiver: Tensor, sender: Tensor) -> Tensor:
        """The factors of messages [edge, strength] between these bodies [edge]: the ``product`` p_i p_j, or first the
        pair's own.
        """
        if self.pairs is None:
            return product
        both = (self.pairs + self.pairs.transpose(1, 2)).flatten(1)
        return torch.where(self.settled > 0, product, both.index_select(1, receiver * len(self.raw) + sender).T)

    @torch.no_grad()
    def settle(self) -> list[float]:
        """Products take the place of the pairs' own factors from here on; for every strength the number that its part
        of messages is to be multiplied by.
        """
        factors = self.pairs + self.pairs.transpose(1, 2)
        of = [k for k, one in enumerate(self.unknowns) if one.kind == SIGNED]
        out = []
        for factor, k in zip(factors.double().cpu().numpy(), of, strict=True):
            sign, values = nearest_product(factor, self.met)
            ratio, leader = self.ratio[:, k].double().cpu().numpy(), self.leader[:, k].cpu().numpy()
            block = leader == leader[self.unknowns[k].first]  # of the values that are given, or one alone
            values[leader[block]] = ratio[block] @ values[block] / (ratio[block] @ ratio[block])
            values = values[leader] * ratio
            size = float((values @ values / len(values)) ** -0.5) if values.any() else 1.0
            self.raw[:, k] = torch.as_tensor(size * values).to(self.raw)
            out.append(sign / size**2)
        self.settled.fill_(1.0)
        return out

    @torch.no_grad()
    def told(self) -> dict[str, tuple[np.ndarray, float]]:
        """Property -> (values [body] in the unit of the data, that unit), strengths with the sign of their gauge: what
        is a factor of both ends does the same with the other one.
        """
        out = {}
        for k, one in enumerate(self.unknowns):
            value, unit = self.table()[:, k].double().cpu().numpy(), 1.0
            if one.given:
                unit = one.given[one.first] / value[one.first]
            elif one.kind == SIGNED:
                unit = np.sign(value[np.abs(value) > FAR * np.abs(value).max()][0])
            value = unit * value
            value[list(one.given)] = list(one.given.values())
            out[one.name] = value, float(abs(unit))
        return out


def nearest_product(factors: np.ndarray, met: np.ndarray) -> tuple[float, np.ndarray]:
    """(sign, p [body]) of the product sign p_i p_j nearest to symmetric ``factors`` [body, body] in least squares over
    the pairs that have ``met``: what others should be is filled in from the fit before, from zero on.
    """
    used, best = met & ~np.eye(len(met), dtype=bool), None
    for sign in (1.0, -1.0):
        filled = np.where(used, sign * factors, 0.0)
        for _ in range(ROUNDS):
            size, vector = np.linalg.eigh(filled)
            values, before = np.sqrt(max(size[-1], 0.0)) * vector[:, -1], filled
            filled = np.where(used, sign * factors, np.outer(values, values))
            if np.abs(filled - before).max() <= 1e-6 * np.abs(filled).max():
                break
        error = float((np.where(used, sign * factors - np.outer(values, values), 0.0) ** 2).sum())
        if best is None or error < best[0]:
            best = error, sign, values
    return best[1:]
