"""From pair-force formulas to one law, fitted end to end on accelerations.

    a_i = (1/m_i) (sum_j f(r, m_i, m_j, q_i, q_j) (x_i - x_j)/r + node terms)

The map from f to the accelerations is linear, so ``refine.Objective`` fits, prunes and repairs f on the
true accelerations as it does on any target. Node terms are linear too: they are projected out.
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from distill.alignment import Nodes
from distill.expressions import canonical, complexity
from distill.law import VARIABLES, Law, node_term
from distill.refine import Objective, prune, repair, round_exponents

SIMPLEST_WITHIN = 1.1  # a simpler row is preferred up to this factor of the lowest held-out error
SHARE_OF_NETWORK = 0.05  # ... or up to this share of the network's own error
LARGEST_ROW = 30


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


def receivers(messages: dict, nodes: Nodes, pick: np.ndarray) -> Receivers:
    """The receivers ``pick`` (numbers in ``nodes``) of a messages file."""
    chosen = np.zeros(len(nodes.first), dtype=bool)
    chosen[pick] = True
    edges = np.flatnonzero(chosen[nodes.of_edge])
    edges = edges[np.argsort(nodes.of_edge[edges], kind="stable")]
    of = nodes.of_edge[edges]
    start = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    names = dict(zip(VARIABLES, ("r", "mass_i", "mass_j", "charge_i", "charge_j"), strict=True))
    first = edges[start]
    get = lambda key, index: messages[key][index].astype(float)  # noqa: E731
    return Receivers(
        {v: get(k, edges) for v, k in names.items()},
        get("dx", edges) / np.maximum(get("r", edges), 1e-12)[:, None],
        start, get("acc_i", first), get("acc_pred_i", first), get("vel_i", first), get("mass_i", first),
    )  # fmt: skip


def acceleration_objective(data: Receivers, node_terms=(), robust: bool = True) -> Objective:
    """Fit of f to the accelerations of ``data``; residuals relative, (a_pred - a)/(c + |a|), c = median |a|.

    With ``node_terms`` both sides are projected on what those terms cannot explain.
    """
    size = np.linalg.norm(data.acc, axis=1)
    dim = data.acc.shape[1]
    weights = np.repeat(1 / ((np.median(size) or 1.0) + size), dim)
    basis = None
    if node_terms:
        basis, _ = np.linalg.qr(weights[:, None] * _node_design(data, node_terms))

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

    loss = "soft_l1" if robust else "linear"
    return Objective(data.features, project(data.acc.reshape(-1)), weights, apply, loss=loss, f_scale=0.01,
                     metric="relative")  # fmt: skip


def _node_design(data: Receivers, terms) -> np.ndarray:
    """Columns [receiver x dim, parameter]: one for a drag, one an axis for a field."""
    columns, (count, dim) = [], data.acc.shape
    for name in terms:
        value = node_term(name, data.vel, data.mass) / data.mass[:, None]
        if value.shape[1] == dim and name.startswith("drag"):
            columns.append(value.reshape(-1))
        else:
            for axis in np.eye(dim):
                columns.append((np.broadcast_to(value, (count, dim)) * axis).reshape(-1))
    return np.stack(columns, 1)


def fit_node_terms(pair: sp.Expr, data: Receivers, terms) -> dict:
    """Values of the node terms beside the pair law: a number for a drag, a vector [dim] for a field."""
    if not terms:
        return {}
    plain = acceleration_objective(data)
    left = plain.weights * (plain.target - plain.apply(plain.values(pair)))
    design = plain.weights[:, None] * _node_design(data, terms)
    size = np.ones_like(left)
    for _ in range(8):  # towards least absolute deviations: a few close encounters must not decide
        root = 1 / np.sqrt(size)
        found = np.linalg.lstsq(design * root[:, None], left * root, rcond=None)[0]
        size = np.maximum(np.abs(left - design @ found), 1e-9)
    out, at, dim = {}, 0, data.acc.shape[1]
    for name in terms:
        width = 1 if name.startswith("drag") else dim
        values = found[at : at + width]
        out[name], at = (float(values[0]) if width == 1 else values.copy()), at + width
    return out


@dataclass
class Refined:
    """The law after selection and refit on accelerations, and how it got there."""

    law: Law
    held_out: float  # mean relative error of the accelerations of receivers left out
    network: float  # the network's, on the same receivers
    receivers: int
    candidates: list[dict]
    why: str
    repaired: bool


def refine_on_accelerations(rows, messages, nodes, node_terms, chain, seed=0, small=800, large=4000) -> Refined:
    """Refit every candidate formula on training accelerations and compose the law from the best.

    The simplest row within ``SIMPLEST_WITHIN`` of the lowest held-out error (or within
    ``SHARE_OF_NETWORK`` of the network's) is pruned, repaired where its structure leaves more than 10 %
    to gain, and refitted on ``large`` receivers. Held-out receivers take part in choices only.
    """
    order = np.random.default_rng([seed, 5]).permutation(len(nodes.first))
    cut = max(1, len(order) // 3)
    held = receivers(messages, nodes, order[:cut][:large])
    few = receivers(messages, nodes, order[cut:][:small])
    many = receivers(messages, nodes, order[cut:][:large])
    fit, check = acceleration_objective(few, node_terms), acceleration_objective(held, node_terms)
    whole = acceleration_objective(many, node_terms)
    network = float(np.mean(np.abs(check.weights * (held.predicted - held.acc).reshape(-1))))
    unit_charges = bool(np.all(np.abs(messages["charge_i"]) == 1))

    def polished(expr):
        expr = canonical(expr, unit_charges)
        expr, score = fit.fit(expr)
        return canonical(round_exponents(expr, fit, score)[0], unit_charges)

    tried: dict = {}
    for row in rows:
        if complexity(row.expr) <= LARGEST_ROW and row.expr.free_symbols:
            expr = polished(row.expr)
            tried.setdefault(expr, check.score(expr))
    if not tried:  # nothing but constants: take the best constant as it is
        expr = polished(min(rows, key=lambda r: r.loss).expr)
        tried[expr] = check.score(expr)
    bar = max(SIMPLEST_WITHIN * min(tried.values()), SHARE_OF_NETWORK * network)
    chosen = min((e for e in tried if tried[e] <= bar), key=lambda e: (complexity(e), tried[e]))
    best = canonical(prune(chosen, fit, 0.05)[0], unit_charges)
    mended, after = repair(best, fit)
    mended = canonical(prune(polished(mended), fit, 0.05)[0], unit_charges)
    # more constants always fit better: the repair has to hold on receivers left out
    repaired = check.score(mended) < 0.9 * check.score(best)
    final = mended if repaired else best
    final, _ = whole.fit(final)
    final = canonical(round_exponents(final, whole)[0], unit_charges)
    final, _ = whole.fit(final)
    law = Law(final, fit_node_terms(final, many, node_terms), chain)
    why = (
        f"simplest of {len(tried)} formulas whose mean relative error on {len(held.acc)} receivers left out is"
        f" at most {bar:.3g} ({SIMPLEST_WITHIN} x the lowest or {SHARE_OF_NETWORK} x the network's {network:.3g})"
    )
    why += ", then repaired on accelerations" if repaired else ""
    ranked = [{"complexity": complexity(e), "held_out": v, "expr": e} for e, v in tried.items()]
    return Refined(law, law_error(law, held), network, len(held.acc), ranked, why, repaired)


def law_error(law: Law, data: Receivers) -> float:
    """Mean over components of |a_law - a|/(c + |a|), the score of ``acceleration_objective``."""
    plain = acceleration_objective(data)
    fields = law.node_force(data.vel, data.mass) / data.mass[:, None]
    r = plain.apply(plain.values(law.pair)) + fields.reshape(-1) - plain.target
    value = float(np.mean(np.abs(plain.weights * r)))
    return value if np.isfinite(value) else 1e300
