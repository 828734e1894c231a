"""From messages to force components, without knowing the pair forces.

A network that sees x_i in its node model may send A(x_i) F_ij + b(x_i) instead of F_ij (a gauge
freedom), and any linear mixture of components. ``read_out`` finds the mixture from the NET forces m_i a_i that the
network itself predicts: the summed messages of each receiver are fitted to T_i, with T one of the ``gauges``, and the
gauge is the one whose fit holds best on particles left out of it.

No label is touched, neither accelerations of the data nor forces: what is read is what the network has learnt, and a
law searched in it owes nothing to a second look at the data, but for one number that training left behind: the
network's error decides where a read-out by the Jacobian is a candidate. Nothing is lost by it: on three trained
networks gauge and R^2 were those of a fit to the data's accelerations, and the force differed from that fit's by a
share of 3e-5 to 1.5e-4, less than it differs from the true one.

No fixed mixture undoes a general A(x_i): for networks that may use one, or seem to, the force by the Jacobian of the
node model (``acc_share``) is a further candidate.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from distill.files.properties import of_edges, of_receivers
from distill.messages import roles
from distill.messages.gauges import ACCELERATION, Gauge, gauge_named, gauges
from distill.messages.linear import Sums
from distill.messages.net_forces import (
    NEGLIGIBLE,
    Nodes,
    bodies_of,
    drop_terms,
    net_force,
    node_columns,
    nodes_of,
    relative_l1,
    state_of,
    terms_alone,
    terms_by_third_law,
    third_law_residual,
    typical_sizes,
)
from distill.network.variants import message_importance
from distill.physics.system import pair_potential
from distill.physics.terms import CONSTANT, direction
from distill.shell.errors import UserError
from distill.statistics.metrics import r_squared, r_squared_trimmed, typical_size

THIRD_LAW = "antisymmetric"  # its name among the assumptions of a network
ACCURATE = 0.01  # error of a network of which it is not known
JACOBIAN = "jacobian"  # F_ij = m_i a_ij with the shares a_ij of models.GNN.acceleration_shares


def top_components(importance: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` most important components, most important first."""
    return np.argsort(-importance, kind="stable")[:count]


def importance(messages: dict) -> np.ndarray:
    """Standard deviation of each component [component], or mean KL (mu^2 + s^2 - log s^2 - 1)/2."""
    m, logvar = messages["message"].astype(float), messages.get("logvar")
    if logvar is None:
        return message_importance(m)
    return message_importance(m, logvar.astype(float), exp=np.exp) * messages["active"]


def importance_of(messages: dict) -> dict:
    """What is drawn of the importance of components, and told in ``linear_fit.json``: as many are on top as forces have
    components; ``top_share`` is theirs of the variance of all messages.
    """
    values, spread = importance(messages), messages["message"].astype(float).var(0)
    top = top_components(values, messages["dx"].shape[1])
    return {
        "importance_is": "mean_kl" if "logvar" in messages else "std",
        "importance": values,
        "top_components": top,
        "top_share": float(spread[top].sum() / max(spread.sum(), 1e-300)),
    }


def distinct_gauges(messages: dict) -> dict[str, Gauge]:
    """The gauges that the data can tell apart, by name: with one mass F and F/m differ by a factor only (the first
    stands for both), and without charges of different size q F says nothing.
    """
    properties = of_receivers(messages)
    return {name: gauge for name, gauge in gauges(properties).items() if gauge.told_apart(properties)}


def target_forces(messages: dict) -> dict[str, np.ndarray]:
    """True T of every edge [edge, dim]: by the names of the ``distinct_gauges``, and F/m in any case."""
    force, properties = messages["force"].astype(float), of_receivers(messages)
    wanted = {ACCELERATION.name: ACCELERATION} | distinct_gauges(messages)
    return {name: gauge.from_force(force, properties) for name, gauge in wanted.items()}


def potential_vectors(messages: dict, system) -> np.ndarray:
    """V(r) (x_i - x_j)/r of every edge [edge, dim], V the pair potential of ``system`` (``physics.System``)."""
    ends = of_edges(messages)
    return pair_potential(system, ends["r"], ends)[:, None] * direction(messages["dx"].astype(float), ends["r"])


@dataclass
class ReadOut:
    """Pair forces from messages: F_ij = gauge^-1(W^T e_ij) with ``weights`` W [component, dim], or by the Jacobian.

    ``gauge``: the name of one of the ``gauges``, or "jacobian" (``weights`` None): F_ij = m_i a_ij less i's node
    terms over its senders. ``node_terms``: names of the ``physics.terms`` that the fit needs beside the messages,
    ``node_weights`` [column, dim] their fitted values (a matrix for a drag).
    ``error``: mean |residual| / (c + |T|) on particles left out, T in units of acceleration and c as
    ``net_forces.typical_sizes`` says, also in ``errors`` by gauge; T is the network's, so it says what a read-out loses
    of the network and not how good that is. The Jacobian's is of the antisymmetrised force: as they are, its shares add
    up to the prediction whatever they are.
    Of the candidates that were compared (none if the messages allow one only): ``net_errors``, the same error of
    the antisymmetrised force; ``sideways``, its median |F_t|/|F|; ``third_law``, ``third_law_residual`` before
    antisymmetrising. ``why``: the choice in a sentence. ``lost``: what the linear read-out loses of the network's
    predictions, and ``network`` the error of these.
    """

    gauge: str
    weights: np.ndarray | None
    error: float
    errors: dict
    antisymmetrise: bool
    node_terms: tuple[str, ...] = ()
    node_weights: np.ndarray | None = None
    net_errors: dict = field(default_factory=dict)
    sideways: dict = field(default_factory=dict)
    third_law: dict = field(default_factory=dict)
    why: str = "smallest error of the net forces left out"
    lost: float = 0.0
    network: float | None = None
    alone: bool = False  # by the Jacobian: what belongs to no pair is what the network says without messages
    what: ClassVar[str] = "all messages of the trained network, mixed so that they add up to its net forces"

    @property
    def loses(self) -> bool:
        """Whether a linear read-out loses more than the network's own error, so that it is clearly worse than that."""
        return self.lost > (ACCURATE if self.network is None else max(self.network, NEGLIGIBLE))

    def account(self) -> dict:
        """JSON-ready: the choice and what it was made by."""
        return {
            "gauge": self.gauge,
            "why": self.why,
            "held_out_error": self.error,
            "held_out_errors": self.errors,
            "linear_loses": self.lost,
            "network_error": self.network,
            "net_errors": self.net_errors,
            "sideways": self.sideways,
            "third_law": self.third_law,
            "node_terms": self.node_terms,
            "antisymmetrised": self.antisymmetrise,
        }

    def force(self, messages: dict, nodes: Nodes) -> np.ndarray:
        """Estimated pair force [edge, dim]; antisymmetrised unless the network already is."""
        out = self.plain_force(messages, nodes)
        if self.antisymmetrise:
            (edge, reverse), trust = nodes.pairs, self._trust(messages, nodes)
            own, other = (trust[k, None] for k in (edge, reverse))
            out[edge] = (own * out[edge] - other * out[reverse]) / (own + other)
        return out

    def _trust(self, messages: dict, nodes: Nodes) -> np.ndarray:
        """Weight of each edge [edge] against its reverse: the inverse square of its expected error.

        By the Jacobian a receiver's forces are parts of its net force, and so are their errors: where i is in a
        close encounter and k is not, F_ki says more than F_ik, and where i is heavier than k too, for networks learn
        accelerations. A linear read-out takes each edge by itself.
        """
        if self.gauge != JACOBIAN:
            return np.ones(len(nodes.of_edge))
        acc = messages["acc_pred_i"][nodes.first].astype(float)
        expected = typical_sizes(messages, nodes, acc) + np.linalg.norm(acc, axis=1)
        return ((messages["mass_i"][nodes.first] * expected) ** -2.0)[nodes.of_edge]

    def plain_force(self, messages: dict, nodes: Nodes) -> np.ndarray:
        """As ``force``, with the gauge undone but nothing antisymmetrised."""
        if self.gauge == JACOBIAN:
            if "acc_share" not in messages:
                raise UserError(
                    "these messages have no 'acc_share', which a read-out by the Jacobian needs",
                    "python extract_messages.py --run <run> --overwrite",
                )
            node_force = self.node_force(messages, nodes)
            if self.alone:
                node_force = net_force(messages, nodes, "acc_alone_i")
            share = messages["mass_i"].astype(float)[:, None] * messages["acc_share"]
            return share - (node_force / nodes.senders())[nodes.of_edge]
        sent = messages["message"].astype(float) @ self.weights
        return gauge_named(self.gauge).to_force(sent, of_receivers(messages))

    def node_force(self, messages: dict, nodes: Nodes) -> np.ndarray:
        """The fitted node terms of every receiver, a force [node, dim]."""
        state = state_of(messages, nodes.first)
        return node_columns(state, state.mass, self.node_terms) @ self.node_weights


def read_out(
    messages: dict,
    nodes: Nodes,
    antisymmetric: bool,
    seed: int = 0,
    doubted: Collection[str] = (),
    network: float | None = None,
) -> ReadOut:
    """The read-out of pair forces that the data favour, linear in the messages or by the Jacobian; no pair force seen.

    Linear: weighted ridge (weights towards the mean relative L1 error, ridge 1e-8 on scaled columns) of all
    active components on the network's net forces of 80 % of the particles, gauge by the error on the rest
    (``linear.Sums``). Beside the messages stand the node terms (drag, fields), so that they stay out of the pair force;
    those that the held-out error does not miss are dropped. Messages with ``acc_share`` have the Jacobian's force as a
    further candidate: where the messages are forces up to a mixture (``antisymmetric`` and a linear node), only if the
    linear read-out loses more of the network's predictions than those are wrong by, ``network`` (its error when it was
    trained; ``ACCURATE`` if not known), so that it is clearly worse than they are. ``_better`` says how one is taken.
    ``doubted``: assumptions that were switched off (``MessagesRecord``): without the third law nothing is
    antisymmetrised. Fitted on trajectories of its own (``roles``), which ``seed`` draws. Raises ``UserError`` if the
    messages carry nothing.
    """
    own = roles.part("read_out", messages, seed)
    messages, nodes = (messages, nodes) if own is messages else (own, nodes_of(own))
    active = np.flatnonzero((messages["active"] > 0) & (messages["message"].std(0) > 0))
    if not len(active):
        raise UserError(
            "all messages are constant: the network has not learned to use them",
            "train longer:  python train.py --epochs ... --overwrite",
        )
    summed = nodes.sum(messages["message"][:, active].astype(float))
    acc = messages["acc_pred_i"][nodes.first].astype(float)
    held_out = np.random.default_rng(seed).random(len(acc)) < 0.2

    state, distinct = state_of(messages, nodes.first), distinct_gauges(messages)
    sums = Sums(summed, acc, state, bodies_of(messages, nodes), held_out)

    def fit(gauge, terms):
        return sums.fit(distinct[gauge], terms)

    fits = {g: fit(g, CONSTANT) for g in distinct}
    errors = {g: error for g, (_, error) in fits.items()}
    best = min(errors, key=errors.get)
    found, error, terms = drop_terms(lambda terms: fit(best, terms), *fits[best])
    weights = np.zeros((messages["message"].shape[1], acc.shape[1]))
    weights[active], node_weights = found[: len(active)], found[len(active) :]
    third_law = THIRD_LAW not in doubted
    imposed = third_law and not antisymmetric
    linear = ReadOut(best, weights, error, errors, imposed, terms, node_weights)
    linear.lost, linear.network = lost(linear, messages, nodes, held_out), network
    if not antisymmetric and len(nodes.pairs[0]):
        linear.third_law = {best: third_law_residual(linear.plain_force(messages, nodes), nodes)}
    if "acc_share" not in messages or 2 * len(nodes.pairs[0]) < len(nodes.of_edge):
        return linear  # or nothing to judge the other by
    alone = antisymmetric and "acc_alone_i" in messages
    if antisymmetric and not linear.loses:
        return linear
    other = _by_jacobian(messages, nodes, network or ACCURATE if alone else None)
    if not third_law and not alone:  # what belongs to no pair was told by the law that is doubted
        other = replace(other, node_terms=terms, node_weights=node_weights)
    other.antisymmetrise = third_law
    return _better(linear, other, messages, nodes, held_out)


def _by_jacobian(messages: dict, nodes: Nodes, alone: float | None = None) -> ReadOut:
    """The candidate that needs no fit beside its node terms; its error is not known yet.

    ``alone``: the error of a network whose node model tells pairs from the rest, ``acc_alone_i``.
    """
    if alone is None:
        return ReadOut(JACOBIAN, None, float("nan"), {}, True, *terms_by_third_law(messages, nodes))
    return ReadOut(JACOBIAN, None, float("nan"), {}, True, *terms_alone(messages, nodes, alone), alone=True)


def lost(read: ReadOut, messages: dict, nodes: Nodes, pick) -> float:
    """Mean |a_read - a| / (c + |a|) of the receivers ``pick``: what a read-out, antisymmetrised where it is, loses of
    what the network predicts.
    """
    predicted = messages["acc_pred_i"][nodes.first].astype(float)
    beside = net_force(messages, nodes, "acc_alone_i") if read.alone else read.node_force(messages, nodes)
    mass = messages["mass_i"][nodes.first].astype(float)[:, None]
    explained = (nodes.sum(read.force(messages, nodes)) + beside) / mass
    c = typical_sizes(messages, nodes, predicted) * np.ones(len(predicted))
    return relative_l1(explained[pick], predicted[pick], c[pick])


def _better(linear: ReadOut, jacobian: ReadOut, messages: dict, nodes: Nodes, held_out: np.ndarray) -> ReadOut:
    """The candidate with the smaller product of two errors of its antisymmetrised force.

    One is the held-out error of its net forces. The raw shares of the Jacobian add up to the prediction by
    construction; antisymmetrised, they miss the net force of i by the violations of the third law,
    sum_j (F_ij + F_ji)/2 at equal trust. It does not see errors that cancel in the sum over j. The median sideways
    part does, and in turn misses errors along the line of centres; where forces are not central it is about the
    same for both, and the net forces decide. The third-law residual alone sees no wrong factor: it is recorded.
    """
    net_errors, sideways, third_law, score = {}, {}, {}, {}
    for read in (linear, jacobian):
        g, force = read.gauge, read.force(messages, nodes)
        net_errors[g] = lost(read, messages, nodes, held_out)
        sideways[g] = centrality(force, messages["dx"], messages["r"])["tangential_median"]
        third_law[g] = third_law_residual(read.plain_force(messages, nodes), nodes)
        score[g] = max(net_errors[g], NEGLIGIBLE) * max(sideways[g], NEGLIGIBLE)
    found, other = (jacobian, linear) if score[JACOBIAN] < score[linear.gauge] else (linear, jacobian)
    names = {linear.gauge: "linear mixture", JACOBIAN: "Jacobian"}
    ways = [f"by {names[g]} {net_errors[g]:.2g} x {sideways[g]:.2g}" for g in (found.gauge, other.gauge)]
    how = "antisymmetrised" if jacobian.antisymmetrise else "the third law not imposed"
    why = f"smaller error of net forces x sideways part of the force, {how}: {', '.join(ways)}"
    jacobian.error = net_errors[JACOBIAN]
    compared = {"net_errors": net_errors, "sideways": sideways, "third_law": third_law}
    known = {"errors": linear.errors | {JACOBIAN: jacobian.error}, "lost": linear.lost, "network": linear.network}
    return replace(found, **known, **compared, why=why)


def centrality(force: np.ndarray, dx: np.ndarray, r: np.ndarray) -> dict:
    """Radial force f = F . dx/r [edge] and how central F is.

    ``tangential_share`` of sum |F|^2 and the median of |F_t| / |F| over edges with a force.
    """
    unit = direction(dx, r)
    radial = (force * unit).sum(1)
    tangential = np.linalg.norm(force - radial[:, None] * unit, axis=1)
    size = np.linalg.norm(force, axis=1)
    some = size > 0.01 * typical_size(size)  # the direction of a force that is not there says nothing
    return {
        "radial": radial,
        "tangential_share": float((tangential**2).sum() / max((size**2).sum(), 1e-300)),
        "tangential_median": float(np.median(tangential[some] / size[some])) if some.any() else 0.0,
    }


def score_forces(force: np.ndarray, true: np.ndarray) -> dict:
    """Estimated against true pair forces with no further fit: scale and sign included."""
    size = np.linalg.norm(true, axis=1)
    error = np.linalg.norm(force - true, axis=1)[size > 0] / size[size > 0]
    return {
        "r2_all": r_squared(true, force),
        "r2_trim90": r_squared_trimmed(true, force),
        "median_relative_error": float(np.median(error)),
    }
