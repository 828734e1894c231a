"""The read-out without a network: a pair force of splines, and the node terms beside it."""

from dataclasses import dataclass, field

import numpy as np

from distill.files.properties import of_edges
from distill.messages.net_forces import Nodes, state_of
from distill.physics.terms import direction, force
from distill.physics.terms.state import exchanged
from distill.splines.blocks import Block, Seen, force_of, force_on, forces
from distill.splines.curves import Space
from distill.splines.dependence import Dependence
from distill.splines.tails import Tail

SPLINES = "splines"  # in place of a gauge


@dataclass
class Further:
    """A term beside the radial force and the constant ones of a node: ``coefficients`` [column] of ``block``.
    ``known``: that it acts was known before the fit, and not chosen by it.
    """

    block: Block
    coefficients: np.ndarray
    known: bool = False

    def forces(self, seen: Seen) -> np.ndarray:
        """[edge, dim], whose plain sum over a receiver's edges is the force on it."""
        return forces(self.block, self.coefficients, seen)

    def force_of(self, seen: Seen, start: np.ndarray) -> np.ndarray:
        """On receivers [receiver, dim] whose edges begin at ``start`` [receiver + 1]."""
        return force_of(self.block, self.coefficients, seen, start)

    def force_on(self, seen: Seen, receiver: np.ndarray, count: int) -> np.ndarray:
        """On receivers [receiver, dim], ``receiver`` [edge] being in any order."""
        return force_on(self.block, self.coefficients, seen, receiver, count)


@dataclass
class PairSpline:
    """F_ij = f (x_i - x_j)/r with f = sum_p phi_p(p_i, p_j) c_p(r), and ``node_values`` (term -> value) beside it.

    Takes the place of a ``messages.read_out.ReadOut``. ``coefficients`` [curve, function] in ``space``; ``inward`` and
    ``outward`` a ``Tail`` for each function. ``error``: mean |residual| / (c + |T|) of net forces m_i a_i on
    trajectories left out. ``about``: how it was fitted, JSON-ready. ``further``: all other terms that the data need.
    """

    space: Space
    dependence: Dependence
    coefficients: np.ndarray
    inward: list[Tail]
    outward: list[Tail]
    node_values: dict
    error: float
    about: dict = field(default_factory=dict)
    further: list[Further] = field(default_factory=list)

    gauge = SPLINES
    antisymmetrise = False

    @property
    def node_terms(self) -> tuple[str, ...]:
        return tuple(self.node_values)

    def curves(self, r: np.ndarray) -> np.ndarray:
        """c_p at distances ``r``, tails included: [row, function]."""
        x = self.space.log(np.asarray(r, float))
        out = self.space.values(self.coefficients, x)
        for side, beyond in ((self.inward, np.less), (self.outward, np.greater)):
            for k, tail in enumerate(side):
                there = np.flatnonzero(beyond(x, tail.join))
                if len(there):
                    at = self.space.values(self.coefficients[:, k], np.array([tail.join]))
                    out[there, k] = at * tail(x[there])
        return out

    def radial_of(self, ends: dict) -> np.ndarray:
        """f [row] from the variables of a pair law (``r``, ``m_i``, ...) [row]."""
        return (self.dependence(ends) * self.curves(ends["r"])).sum(1)

    def radial(self, edges: dict) -> np.ndarray:
        """f [edge] on the edges of a messages file or of ``observations``."""
        return self.radial_of(of_edges(edges))

    def force(self, edges: dict, nodes: Nodes | None = None) -> np.ndarray:
        """F_ij [edge, dim]; ``nodes`` is not needed."""
        return self.radial(edges)[:, None] * direction(edges["dx"].astype(float), edges["r"].astype(float))

    plain_force = force

    def node_force(self, edges: dict, nodes: Nodes) -> np.ndarray:
        """All but radial pair forces on every receiver [node, dim]; ``edges`` have a ``motion`` where there is more
        than constants.
        """
        out = force(self.node_values, state_of(edges, nodes.first))
        return out + self.further_force(edges, nodes) if self.further else out

    def further_force(self, edges: dict, nodes: Nodes) -> np.ndarray:
        """That of the ``further`` terms [node, dim]."""
        seen = Seen(edges["r"].astype(float), of_edges(edges), edges["motion"])
        return sum(one.force_on(seen, nodes.of_edge, len(nodes.first)) for one in self.further)

    def accelerations(self, edges: dict, nodes: Nodes) -> np.ndarray:
        """What it predicts of the receivers [edge, dim]."""
        mass = edges["mass_i"][nodes.first].astype(float)[:, None]
        return ((nodes.sum(self.force(edges)) + self.node_force(edges, nodes)) / mass)[nodes.of_edge]

    def one_sided(self, edges: dict) -> float:
        """How far the radial force is from action and reaction: the median of |f_ij - f_ji| / (|f_ij| + |f_ji|) over
        the edges; 0 where it is symmetric in its two ends.
        """
        ends = of_edges(edges)
        f, back = (self.radial_of(e) for e in (ends, {exchanged(k): v for k, v in ends.items()}))
        both = np.abs(f) + np.abs(back)
        return float(np.median(np.abs(f - back) / np.where(both > 0, both, 1.0)))

    def account(self) -> dict:
        """JSON-ready: what it is and how it was found."""
        return {
            "gauge": self.gauge,
            "why": self.about["why"],
            "held_out_error": self.error,
            "held_out_errors": {SPLINES: self.error},
            "net_errors": {},
            "sideways": {},
            "third_law": {},
            "node_terms": list(self.node_terms),
            "further": [one.block.name for one in self.further],
            "antisymmetrised": False,
        }

    def description(self) -> dict:
        """JSON-ready: ``about``, and of every function of the properties its tails."""
        unit = self.space.unit
        return self.about | {
            "tails": [
                {
                    "function": name,
                    "inside": float(np.exp(inward.join) * unit),
                    "power_inside": inward.power,
                    "bend_inside": inward.bend,
                    "softening_inside": float(inward.soft * np.exp(inward.join) * unit),
                    "beyond": float(np.exp(outward.join) * unit),
                    "power_beyond": outward.power,
                }
                for name, inward, outward in zip(self.dependence.names, self.inward, self.outward, strict=True)
            ],
            "node_values": {k: np.asarray(v).tolist() for k, v in self.node_values.items()},
        }
