"""From messages to force components, without knowing the pair forces.

A network that sees x_i in its node model may send A(x_i) F_ij + b(x_i) instead of F_ij (a gauge
freedom), and any linear mixture of components. ``read_out`` finds the mixture from NET forces alone:
the summed messages of each receiver are fitted to T_i, with T one of three gauges, and the gauge is
the one whose fit holds best on particles left out of it.
"""

from dataclasses import dataclass

import numpy as np

from distill.cli import UserError
from distill.law import NODE_TERMS, node_term
from distill.metrics import kl_divergence, r_squared, r_squared_trimmed, typical_size

ELIMINATION = ("constant_force", "drag_per_mass", "constant_acceleration", "drag")
NEGLIGIBLE = 1e-4  # relative error of a read-out that no term is worth keeping for
GAUGES = ("force", "acceleration", "charge_force")  # m a, a, q m a


def top_components(importance: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` most important components, most important first."""
    return np.argsort(-importance, kind="stable")[:count]


def importance(messages: dict) -> np.ndarray:
    """Standard deviation of each component [component], or mean KL (mu^2 + s^2 - log s^2 - 1)/2."""
    m = messages["message"].astype(float)
    if "logvar" not in messages:
        return m.std(0)
    return kl_divergence(m, messages["logvar"].astype(float)).mean(0) * messages["active"]


def target_forces(messages: dict) -> dict[str, np.ndarray]:
    """True F, F/m_i and (where charges differ) q_i F of every edge, by gauge [edge, dim]."""
    force = messages["force"].astype(float)
    out = {"force": force, "acceleration": force / messages["mass_i"][:, None]}
    if np.ptp(messages["charge_i"]) > 0:
        out["charge_force"] = force * messages["charge_i"][:, None]
    return out


@dataclass
class Nodes:
    """Receivers of a messages file: one entry a particle and frame. ``of_edge`` [edge] is its number."""

    of_edge: np.ndarray
    first: np.ndarray  # an edge of each node
    reverse: np.ndarray | None  # position of edge (j, i) for edge (i, j)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over each receiver's edges: [edge, ...] -> [node, ...]."""
        columns = values.reshape(len(values), -1)
        out = [np.bincount(self.of_edge, column, len(self.first)) for column in columns.T]
        return np.stack(out, -1).reshape(len(self.first), *values.shape[1:])


def nodes_of(messages: dict) -> Nodes:
    """Group edges by receiver and find each edge's reverse (None if some edge has none)."""
    sizes = [int(messages[k].max()) + 1 for k in ("trajectory", "frame")]
    n = int(max(messages["receiver"].max(), messages["sender"].max())) + 1
    graph = messages["trajectory"].astype(np.int64) * sizes[1] + messages["frame"]
    _, first, of_edge = np.unique(graph * n + messages["receiver"], return_index=True, return_inverse=True)
    key = (graph * n + messages["receiver"]) * n + messages["sender"]
    back = (graph * n + messages["sender"]) * n + messages["receiver"]
    order = np.argsort(key)
    place = np.searchsorted(key[order], back).clip(max=len(key) - 1)
    reverse = order[place]
    return Nodes(of_edge, first, reverse if np.array_equal(key[reverse], back) else None)


@dataclass
class ReadOut:
    """A linear read-out F_ij = gauge^-1(W^T e_ij): ``weights`` [component, dim].

    ``node_terms``: names of the ``law.NODE_TERMS`` that the fit needs beside the messages.
    ``error``: mean |residual| / (c + |T|) on particles left out, c = median |T|.
    """

    gauge: str
    weights: np.ndarray
    error: float
    errors: dict
    antisymmetrise: bool
    node_terms: tuple[str, ...] = ()

    def force(self, messages: dict, nodes: Nodes) -> np.ndarray:
        """Estimated pair force [edge, dim]; antisymmetrised unless the network already is."""
        out = messages["message"].astype(float) @ self.weights
        if self.gauge == "acceleration":
            out = out * messages["mass_i"][:, None]
        elif self.gauge == "charge_force":
            out = out / np.where(messages["charge_i"] == 0, np.inf, messages["charge_i"])[:, None]
        if self.antisymmetrise and nodes.reverse is not None:
            out = 0.5 * (out - out[nodes.reverse])
        return out


def _gauge_factor(gauge: str, messages: dict, first: np.ndarray) -> np.ndarray:
    """T_i / a_i at each node."""
    mass, charge = messages["mass_i"][first].astype(float), messages["charge_i"][first].astype(float)
    return {"force": mass, "acceleration": np.ones_like(mass), "charge_force": mass * charge}[gauge]


def _node_columns(messages: dict, first: np.ndarray, factor: np.ndarray, terms) -> np.ndarray:
    """Columns [node, column] of the terms that belong to the receiver and to no pair, in units of T."""
    mass, v = messages["mass_i"][first].astype(float), messages["vel_i"][first].astype(float)
    columns = [(factor / mass)[:, None] * node_term(name, v, mass) for name in terms]
    return np.hstack(columns) if columns else np.empty((len(first), 0))


def read_out(messages: dict, nodes: Nodes, antisymmetric: bool, seed: int = 0) -> ReadOut:
    """Fit the read-out of all active components on true net forces; the best gauge by held-out error.

    Weighted ridge (weights towards the mean relative L1 error, ridge 1e-8 on scaled columns) on 80 %
    of the particles, error on the rest. Beside the messages stand the node terms (drag, fields), so
    that they stay out of the pair force; those that the held-out error does not miss are dropped.
    Raises ``UserError`` if the messages carry nothing.
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

    def fit(gauge, terms):
        factor = _gauge_factor(gauge, messages, nodes.first)
        design = np.hstack([summed, _node_columns(messages, nodes.first, factor, terms)])
        target = acc * factor[:, None]
        c = typical_size(np.linalg.norm(target, axis=1))
        weights = _ridge(design[~held_out], target[~held_out], c)
        return weights, _relative_l1(design[held_out] @ weights, target[held_out], c)

    gauges = [g for g in GAUGES if g != "charge_force" or np.ptp(messages["charge_i"]) > 0]
    fits = {g: fit(g, NODE_TERMS) for g in gauges}
    errors = {g: error for g, (_, error) in fits.items()}
    best = min(errors, key=errors.get)
    found, error, terms = *fits[best], list(NODE_TERMS)
    for name in ELIMINATION:  # with equal masses some are the same: the first of them goes
        trial, without = fit(best, [t for t in terms if t != name])
        if without <= max(1.05 * error, NEGLIGIBLE):
            found, error, terms = trial, min(error, without), [t for t in terms if t != name]
    weights = np.zeros((messages["message"].shape[1], acc.shape[1]))
    weights[active] = found[: len(active)]
    return ReadOut(best, weights, error, errors, not antisymmetric, tuple(terms))


def _ridge(design, target, c, ridge=1e-8, rounds=8):
    """Columns of W minimising sum |T - design W| / (c + |T|), by reweighted ridge regression."""
    base = 1 / (c + np.linalg.norm(target, axis=1))
    weight = base**2
    # heavy tails: a column's plain std is that of a few encounters, its weighted norm is not
    scale = np.sqrt((design**2 * weight[:, None]).sum(0))
    scale[scale == 0] = 1.0
    x = design / scale
    for _ in range(rounds):
        gram = (x * weight[:, None]).T @ x
        gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram)
        w = np.linalg.solve(gram, (x * weight[:, None]).T @ target)
        error = np.linalg.norm(target - x @ w, axis=1) * base
        weight = base**2 / np.maximum(error, 1e-3 * np.median(error) + 1e-12)
    return w / scale[:, None]


def _relative_l1(pred, target, c):
    return float((np.linalg.norm(pred - target, axis=1) / (c + np.linalg.norm(target, axis=1))).mean())


def centrality(force: np.ndarray, dx: np.ndarray, r: np.ndarray) -> dict:
    """Radial force f = F . dx/r [edge] and how central F is.

    ``tangential_share`` of sum |F|^2 and the median of |F_t| / |F| over edges with a force.
    """
    unit = dx / np.maximum(r, 1e-12)[:, None]
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
