"""From pair-force formulas to one law, fitted end to end on accelerations.

    a_i = (1/m_i) (sum_j f(r, m_i, m_j, q_i, q_j) (x_i - x_j)/r + node terms)

The map from f to the accelerations is linear, so ``Objective`` fits, prunes and repairs f on the
true accelerations as it does on any target. Node terms are linear too: they are projected out.
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from distill.formulas.objective import Objective
from distill.messages.net_forces import Nodes
from distill.messages.node_terms import _node_design, fit_terms
from distill.physics.law import VARIABLES, Law
from distill.statistics.metrics import typical_size

FIELDS = dict(zip(VARIABLES, ("r", "mass_i", "mass_j", "charge_i", "charge_j"), strict=True))  # of a messages file


@dataclass
class Receivers:
    """Some receivers with all their edges, edges ordered by receiver."""

    features: dict  # VARIABLES -> [edge]
    unit: np.ndarray  # (x_i - x_j)/r [edge, dim]
    start: np.ndarray  # first edge of each receiver
    acc: np.ndarray  # [receiver, dim]
    predicted: np.ndarray  # the network's [receiver, dim]
    vel: np.ndarray
    mass: np.ndarray
    trajectory: np.ndarray  # [receiver]

    def subset(self, keep: np.ndarray) -> "Receivers":
        """The receivers where ``keep`` [receiver] is true."""
        count = np.diff(np.r_[self.start, len(self.unit)])
        edges, left = np.repeat(keep, count), count[keep]
        return Receivers(
            {k: v[edges] for k, v in self.features.items()},
            self.unit[edges],
            np.cumsum(left) - left,
            *(getattr(self, k)[keep] for k in ("acc", "predicted", "vel", "mass", "trajectory")),
        )


def receivers(messages: dict, nodes: Nodes, pick: np.ndarray) -> Receivers:
    """The receivers ``pick`` (numbers in ``nodes``) of a messages file."""
    chosen = np.zeros(len(nodes.first), dtype=bool)
    chosen[pick] = True
    edges = np.flatnonzero(chosen[nodes.of_edge])
    edges = edges[np.argsort(nodes.of_edge[edges], kind="stable")]
    of = nodes.of_edge[edges]
    start = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    first = edges[start]
    get = lambda key, index: messages[key][index].astype(float)  # noqa: E731
    return Receivers(
        {v: get(k, edges) for v, k in FIELDS.items()},
        get("dx", edges) / np.maximum(get("r", edges), 1e-12)[:, None],
        start,
        get("acc_i", first),
        get("acc_pred_i", first),
        get("vel_i", first),
        get("mass_i", first),
        messages["trajectory"][first],
    )


def acceleration_objective(data: Receivers, node_terms=(), size=None, inputs=VARIABLES) -> Objective:
    """Fit of f to the accelerations of ``data``; residuals relative, (a_pred - a)/(c + |a|), c = median |a|.

    With ``node_terms`` both sides are projected on what those terms cannot explain. ``size`` [receiver]
    replaces |a| in the weights: noisy accelerations in their own weights pull a fit towards larger ones.
    ``inputs``: those of ``VARIABLES`` that a formula may have, and that a repair may bring in.
    """
    size = np.linalg.norm(data.acc, axis=1) if size is None else size
    dim = data.acc.shape[1]
    weights = np.repeat(1 / (typical_size(size) + size), dim)
    basis = None
    if node_terms:
        basis, _ = np.linalg.qr(weights[:, None] * _node_design(data.vel, data.mass, node_terms))

    def project(values):  # [residual] or [residual, k]
        if basis is None:
            return values
        scaled = (weights * values.T).T
        return ((scaled - basis @ (basis.T @ scaled)).T / weights).T

    def apply(values):
        columns = values.reshape(len(values), -1)
        pushed = columns[:, None, :] * data.unit[:, :, None]
        summed = np.add.reduceat(pushed, data.start, axis=0) / data.mass[:, None, None]
        return project(summed.reshape(-1, columns.shape[1])).reshape(-1, *values.shape[1:])

    features = {name: data.features[name] for name in inputs}
    return Objective(
        features, project(data.acc.reshape(-1)), weights, apply, loss="soft_l1", f_scale=0.01, metric="relative"
    )


def fit_node_terms(pair: sp.Expr, data: Receivers, terms) -> dict:
    """Values of the node terms beside the pair law, as in ``fit_terms``."""
    plain = acceleration_objective(data)
    left = plain.target - plain.apply(plain.values(pair))
    return fit_terms(left.reshape(data.acc.shape), np.linalg.norm(data.acc, axis=1), data.vel, data.mass, terms)


def receiver_errors(expr, objective: Objective, dim: int) -> np.ndarray:
    """Mean over the components of |a_law - a|/(c + |a|) [receiver]; infinite where the formula is not finite."""
    with np.errstate(all="ignore"):
        errors = np.abs(objective.residual(expr)).reshape(-1, dim).mean(1)
    return np.where(np.isfinite(errors), errors, np.inf)


def law_error(law: Law, data: Receivers) -> float:
    """Mean over components of |a_law - a|/(c + |a|), the score of ``acceleration_objective``."""
    plain = acceleration_objective(data)
    fields = law.node_force(data.vel, data.mass) / data.mass[:, None]
    r = plain.apply(plain.values(law.pair)) + fields.reshape(-1) - plain.target
    value = float(np.mean(np.abs(plain.weights * r)))
    return value if np.isfinite(value) else 1e300
