"""Messages that are energies: an edge sends H_pair, half the energy of its pair, and forces are slopes of it.

Nothing has to be fitted to read such messages: the force of a pair is minus the gradient of the energies of both of its
edges, and ``models.GNN.told`` has it in the shares of the accelerations. The energy itself is known up to a number for
each pair, g(m_i, m_j, ...), of which no acceleration knows anything. So energies are compared after this number has
been taken off: what is left of a pair's over its frames when their mean is gone, or what is counted from one distance
on (``energy_pair``).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from distill.files.kinds import MessagesRecord
from distill.files.properties import of_edges
from distill.messages.net_forces import NEGLIGIBLE, Nodes, net_force, terms_alone, third_law_residual
from distill.messages.read_out import ACCURATE, THIRD_LAW, ReadOut, lost, read_out
from distill.physics.system import pair_potential
from distill.shell.errors import UserError
from distill.statistics import metrics

ENERGY = "energy"
NEEDED = ("acc_share", "acc_alone_i", "energy_pair", "energy_self_i")  # beside the messages, to read and search them
PER_EDGE = 0.5  # of a pair's energy in the message of each of its two edges


def are_energies(meta: MessagesRecord) -> bool:
    return meta.reference is not None


def read(messages: dict, nodes: Nodes, meta: MessagesRecord, seed: int = 0) -> ReadOut:
    """The read-out of pair forces from messages, whatever they are. ``UserError`` for energies that lack something."""
    if not are_energies(meta):
        return read_out(messages, nodes, meta.antisymmetric, seed, meta.doubted, meta.network_error)
    for name in (k for k in NEEDED if k not in messages):
        raise UserError(f"messages that are energies have no '{name}'", "extract them again, with --overwrite")
    terms, weights = terms_alone(messages, nodes, max(meta.network_error or ACCURATE, NEGLIGIBLE))
    imposed = THIRD_LAW not in meta.doubted and not meta.antisymmetric
    found = BySlope(ENERGY, None, 0.0, {}, imposed, terms, weights, alone=True)
    found.why, found.network = "minus the gradient of the energies of both edges: there is nothing to fit", None
    found.error = found.lost = lost(found, messages, nodes, slice(None))
    found.errors = {ENERGY: found.error}
    if imposed and len(nodes.pairs[0]):
        found.third_law = {ENERGY: third_law_residual(found.plain_force(messages, nodes), nodes)}
    return found


@dataclass
class BySlope(ReadOut):
    """F_ij = -d(H_pair(i, j) + H_pair(j, i))/dx_i."""

    what: ClassVar[str] = "minus the gradient of the energies of both edges of a pair of the trained network"

    def plain_force(self, messages: dict, nodes: Nodes) -> np.ndarray:
        share = messages["mass_i"].astype(float)[:, None] * messages["acc_share"]
        alone = net_force(messages, nodes, "acc_alone_i")
        return share - (alone / nodes.senders())[nodes.of_edge]


def less_mean_of_pair(messages: dict, values: np.ndarray) -> np.ndarray:
    """``values`` [edge] less their mean over the frames of the same pair in the same trajectory, in the same
    direction; of pairs seen once nothing is left.
    """
    key = np.stack([messages[k] for k in ("trajectory", "receiver", "sender")]).astype(np.int64)
    _, number, count = np.unique(key, axis=1, return_inverse=True, return_counts=True)
    number = number.reshape(-1)
    return values - (np.bincount(number, values) / count)[number]


def scores(messages: dict, system) -> dict:
    """As ``kinds.Potential``: energies of edges against the true pair potential, both less their mean of the pair.

    The factor of the fit is ``PER_EDGE`` where the potential is right; ``read_out`` scores have that factor and no fit.
    """
    ends = of_edges(messages)
    true = less_mean_of_pair(messages, pair_potential(system, ends["r"], ends))
    sent = less_mean_of_pair(messages, messages["message"][:, 0].astype(float))
    whole = (sent / PER_EDGE)[:, None]
    return metrics.score_components(sent[:, None], true[:, None]) | {
        "what": "pair potential, both less their mean over the frames of a pair: up to g(m, q), a number for each pair",
        "read_out_r2_all": metrics.r_squared(true[:, None], whole),
        "read_out_r2_trim90": metrics.r_squared_trimmed(true[:, None], whole),
    }
