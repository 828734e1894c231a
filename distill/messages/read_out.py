"""From messages to force components, without knowing the pair forces.

A network that sees x_i in its node model may send A(x_i) F_ij + b(x_i) instead of F_ij (a gauge
freedom), and any linear mixture of components. ``read_out`` finds the mixture from NET forces alone:
the summed messages of each receiver are fitted to T_i, with T one of the ``gauges``, and the gauge is
the one whose fit holds best on particles left out of it. No fixed mixture undoes a general A(x_i): for
networks that may use one, the force by the Jacobian of the node model (``acc_share``) is a further candidate.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from distill.files.properties import of_edges, of_receivers
from distill.messages.gauges import ACCELERATION, Gauge, gauge_named, gauges
from distill.messages.net_forces import (
    NEGLIGIBLE,
    Nodes,
    drop_terms,
    net_force,
    node_columns,
    relative_l1,
    ridge,
    state_of,
    terms_by_third_law,
    third_law_residual,
)
from distill.network.variants import message_importance
from distill.physics.system import pair_potential
from distill.physics.terms import TERMS, direction
from distill.shell.errors import UserError
from distill.statistics.metrics import r_squared, r_squared_trimmed, typical_size

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
    return (pair_potential(system, ends["r"], ends) / np.maximum(ends["r"], 1e-12))[:, None] * messages["dx"]


@dataclass
class ReadOut:
    """Pair forces from messages: F_ij = gauge^-1(W^T e_ij) with ``weights`` W [component, dim], or by the Jacobian.

    ``gauge``: the name of one of the ``gauges``, or "jacobian" (``weights`` None): F_ij = m_i a_ij less i's node
    terms over its senders. ``node_terms``: names of the ``physics.terms`` that the fit needs beside the messages,
    ``node_weights`` [column, dim] their fitted values (a matrix for a drag).
    ``error``: mean |residual| / (c + |T|) on particles left out, c = median |T|, also in ``errors`` by gauge. The
    Jacobian's is the network's own: its shares add up to the prediction whatever they are, so it decides nothing.
    Of the candidates that were compared (none if the messages allow one only): ``net_errors``, the same error of
    the antisymmetrised force; ``sideways``, its median |F_t|/|F|; ``third_law``, ``third_law_residual`` before
    antisymmetrising. ``why``: the choice in a sentence.
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

    def account(self) -> dict:
        """JSON-ready: the choice and what it was made by."""
        return {
            "gauge": self.gauge,
            "why": self.why,
            "held_out_error": self.error,
            "held_out_errors": self.errors,
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
        close encounter and k is not, F_ki says more than F_ik. A linear read-out takes each edge by itself.
        """
        if self.gauge != JACOBIAN:
            return np.ones(len(nodes.of_edge))
        size = np.linalg.norm(net_force(messages, nodes, "acc_pred_i"), axis=1)
        return ((typical_size(size) + size) ** -2.0)[nodes.of_edge]

    def plain_force(self, messages: dict, nodes: Nodes) -> np.ndarray:
        """As ``force``, with the gauge undone but nothing antisymmetrised."""
        if self.gauge == JACOBIAN:
            if "acc_share" not in messages:
                raise UserError(
                    "these messages have no 'acc_share', which a read-out by the Jacobian needs",
                    "python extract_messages.py --run <run> --overwrite",
                )
            node_force = self.node_force(messages, nodes) / np.bincount(nodes.of_edge)[:, None]
            share = messages["mass_i"].astype(float)[:, None] * messages["acc_share"]
            return share - node_force[nodes.of_edge]
        sent = messages["message"].astype(float) @ self.weights
        return gauge_named(self.gauge).to_force(sent, of_receivers(messages))

    def node_force(self, messages: dict, nodes: Nodes) -> np.ndarray:
        """The fitted node terms of every receiver, a force [node, dim]."""
        state = state_of(messages, nodes.first)
        return node_columns(state, state.mass, self.node_terms) @ self.node_weights


def read_out(messages: dict, nodes: Nodes, antisymmetric: bool, seed: int = 0) -> ReadOut:
    """The read-out of pair forces that the data favour, linear in the messages or by the Jacobian; no pair force seen.

    Linear: weighted ridge (weights towards the mean relative L1 error, ridge 1e-8 on scaled columns) of all
    active components on true net forces of 80 % of the particles, gauge by the error on the rest. Beside the
    messages stand the node terms (drag, fields), so that they stay out of the pair force; those that the
    held-out error does not miss are dropped. Messages with ``acc_share`` have the Jacobian's force as a further
    candidate; ``_better`` says how one is taken. Raises ``UserError`` if the messages carry nothing.
    """
    active = np.flatnonzero((messages["active"] > 0) & (messages["message"].std(0) > 0))
    if not len(active):
        raise UserError(
            "all messages are constant: the network has not learned to use them",
            "train longer:  python train.py --epochs ... --overwrite",
        )
    summed = nodes.sum(messages["message"][:, active].astype(float))
    acc = messages["acc_i"][nodes.first].astype(float)
    held_out = np.random.default_rng(seed).random(len(acc)) < 0.2

    state, distinct = state_of(messages, nodes.first), distinct_gauges(messages)

    def fit(gauge, terms):
        factor = distinct[gauge].from_force(state.mass, state.properties)
        design = np.hstack([summed, node_columns(state, factor, terms)])
        target = acc * factor[:, None]
        c = typical_size(np.linalg.norm(target, axis=1))
        weights = ridge(design[~held_out], target[~held_out], c)
        return weights, relative_l1(design[held_out] @ weights, target[held_out], c)

    fits = {g: fit(g, TERMS) for g in distinct}
    errors = {g: error for g, (_, error) in fits.items()}
    best = min(errors, key=errors.get)
    found, error, terms = drop_terms(lambda terms: fit(best, terms), *fits[best])
    weights = np.zeros((messages["message"].shape[1], acc.shape[1]))
    weights[active], node_weights = found[: len(active)], found[len(active) :]
    linear = ReadOut(best, weights, error, errors, not antisymmetric, terms, node_weights)
    if "acc_share" not in messages or 2 * len(nodes.pairs[0]) < len(nodes.of_edge):
        return linear  # or nothing to judge the other by
    return _better(linear, _by_jacobian(messages, nodes, held_out, errors), messages, nodes, held_out)


def _by_jacobian(messages: dict, nodes: Nodes, held_out: np.ndarray, errors: dict) -> ReadOut:
    """The candidate that needs no fit beside its node terms."""
    terms, node_weights = terms_by_third_law(messages, nodes)
    net, predicted = (net_force(messages, nodes, k) for k in ("acc_i", "acc_pred_i"))
    error = relative_l1(predicted[held_out], net[held_out], typical_size(np.linalg.norm(net, axis=1)))
    return ReadOut(JACOBIAN, None, error, errors | {JACOBIAN: error}, True, terms, node_weights)


def _better(linear: ReadOut, jacobian: ReadOut, messages: dict, nodes: Nodes, held_out: np.ndarray) -> ReadOut:
    """The candidate with the smaller product of two errors of its antisymmetrised force.

    One is the held-out error of its net forces. The raw shares of the Jacobian add up to the prediction by
    construction; antisymmetrised, they miss the net force of i by the violations of the third law,
    sum_j (F_ij + F_ji)/2 at equal trust. It does not see errors that cancel in the sum over j. The median sideways
    part does, and in turn misses errors along the line of centres; where forces are not central it is about the
    same for both, and the net forces decide. The third-law residual alone sees no wrong factor: it is recorded.
    """
    net = net_force(messages, nodes)
    c = typical_size(np.linalg.norm(net, axis=1))
    net_errors, sideways, third_law, score = {}, {}, {}, {}
    for read in (linear, jacobian):
        g, force = read.gauge, read.force(messages, nodes)
        explained = nodes.sum(force) + read.node_force(messages, nodes)
        net_errors[g] = relative_l1(explained[held_out], net[held_out], c)
        sideways[g] = centrality(force, messages["dx"], messages["r"])["tangential_median"]
        third_law[g] = third_law_residual(read.plain_force(messages, nodes), nodes)
        score[g] = max(net_errors[g], NEGLIGIBLE) * max(sideways[g], NEGLIGIBLE)
    found, other = (jacobian, linear) if score[JACOBIAN] < score[linear.gauge] else (linear, jacobian)
    numbers = [f"{net_errors[read.gauge]:.2g} x {sideways[read.gauge]:.2g}" for read in (found, other)]
    why = f"error of net forces x sideways part, antisymmetrised: {numbers[0]}, by {other.gauge} {numbers[1]}"
    return replace(
        found, errors=jacobian.errors, net_errors=net_errors, sideways=sideways, third_law=third_law, why=why
    )


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
