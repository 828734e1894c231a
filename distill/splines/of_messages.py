"""All terms of a law read from the messages of a network with an additive node, whose messages are forces.

    S_ij = F_ij + F_i/k_i

is what j does to i, as the network has it, with a part of what acts on i alone (``messages.gauges``): known on every
edge, and the same in every gauge. So each edge is an equation of its own in the columns that ``splines.fit`` has for
net forces: times k_i it is the net force on i if all its senders were like j. No acceleration of the data is touched.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from distill.files.kinds import RunConfig
from distill.files.properties import of_edges
from distill.messages.gauges import own_shares, senders, settled
from distill.messages.net_forces import Nodes
from distill.shell.errors import UserError
from distill.splines.blocks import NodeBlock, Seen
from distill.splines.dependence import ANY, GIVEN
from distill.splines.fit import fit_pair_force
from distill.splines.pair_spline import PairSpline

GAUGE = "pair_terms"  # its name in place of those of mixtures
WORTH = 0.03  # share of the squared error that a term has to be worth: a network's own errors follow something too
EDGES = 60_000  # that are fitted at most


@dataclass
class TermsOfMessages(PairSpline):
    """Splines of every term, and the forces that they were fitted to, in the gauge in which pairs have the pair terms'
    share. In place of a ``messages.read_out.ReadOut``; edges have a ``motion`` and an ``acc_share``.
    """

    gauge = GAUGE

    def of_pairs(self, edges: dict) -> np.ndarray:
        """By the splines of all pair terms [edge, dim], the radial one among them."""
        return self.radial_of_pairs(edges) + self._further(edges)

    def radial_of_pairs(self, edges: dict) -> np.ndarray:
        return super().force(edges)

    def _further(self, edges: dict) -> np.ndarray:
        motion = edges["motion"]
        plain = replace(motion, weight=np.ones(len(motion.weight)))
        seen = Seen(edges["r"].astype(float), of_edges(edges), plain)
        some = [one.forces(seen) for one in self.further if not isinstance(one.block, NodeBlock)]
        return sum(some, np.zeros(motion.unit.shape))

    def whole(self, edges: dict) -> np.ndarray:
        """The network's pair forces, all terms together [edge, dim]."""
        return settled(own_shares(edges), self.of_pairs(edges), *senders(edges))

    def force(self, edges: dict, nodes: Nodes | None = None) -> np.ndarray:
        """The network's pair forces less all terms but the radial one [edge, dim]."""
        return self.whole(edges) - self._further(edges)

    def plain_force(self, edges: dict, nodes: Nodes | None = None) -> np.ndarray:
        return self.whole(edges)

    def account(self) -> dict:
        return super().account() | {"said": self.about["said"]}

    def said(self, edges: dict) -> float:
        """Share of the differences between senders of one receiver that the pair terms say: R2, 1 where a receiver has
        one sender and there are none.
        """
        shares, at = own_shares(edges), senders(edges)
        nothing = np.zeros(shares.shape)
        there, left = (settled(one, nothing, *at) for one in (shares, shares - self.of_pairs(edges)))
        return 1 - float((left**2).sum() / max((there**2).sum(), 1e-300))


def has_additive_node(config: RunConfig) -> bool:
    """Whether the messages of a run are read term by term; not in a box, where terms of the place mean nothing."""
    return bool(config.model.get("additive_node")) and not config.model.get("periodic")


def fit_terms_of_messages(messages: dict, seed: int = 0, among: Collection[str] | None = None) -> TermsOfMessages:
    """``among``: names of the further terms that are tried, None for all. ``UserError`` for messages without
    ``acc_share``, or too few of them.
    """
    edges, nodes = as_receivers(_some(messages, seed))
    fit = fit_pair_force(edges, nodes, seed, (GIVEN, ANY), WORTH, among)
    out = TermsOfMessages(*(getattr(fit, name) for name in PairSpline.__dataclass_fields__))
    out.about = fit.about | {"said": out.said(messages)}
    return out


def as_receivers(messages: dict) -> tuple[dict, Nodes]:
    """(edges, nodes) as of net forces, every edge a receiver with k_i senders alike: ``acc_i`` is k_i S_ij/m_i."""
    if "acc_share" not in messages:
        raise UserError(
            "these messages have no 'acc_share', by which those of an additive node are read",
            "python extract_messages.py --run <run> --overwrite",
        )
    _, count = senders(messages)
    every, one = np.arange(len(count)), np.ones(len(count))
    motion = replace(messages["motion"], share=one, weight=count)
    left_out = ("acc_noise", "between", "at", "message", "logvar", "active")
    edges = {name: values for name, values in messages.items() if name not in left_out}
    edges |= {"acc_i": count[:, None] * messages["acc_share"], "weight": count, "motion": motion, "vel_i": motion.vel}
    return edges, Nodes(every, every, None, (every[:0], every[:0]), count)


def _some(messages: dict, seed: int) -> dict:
    """At most ``EDGES``, of whole receivers."""
    number, _ = senders(messages)
    few = int(EDGES * (number.max() + 1) / len(number))
    if few > number.max():
        return messages
    chosen = np.zeros(number.max() + 1, dtype=bool)
    chosen[np.random.default_rng([seed, 83]).permutation(len(chosen))[:few]] = True
    pick = np.flatnonzero(chosen[number])
    return {k: v if k == "active" else v[pick] for k, v in messages.items()}
