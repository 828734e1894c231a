"""The scores of the paper's reproductions, computed on our messages, so that like stands beside like.

R2 of the message components of largest importance as affine functions of a target, in four definitions:

trimmed      fit and score on the 90 % of edges with the smallest residuals, each component standardised; the D
             components of largest standard deviation, for kl of largest mean KL. The released code of Cranmer et al.
             2020 (arXiv:2006.11287) fits so; eszt2 scores so too. ``r2_ols``: the same components by least squares.
correlation  the trimmed fit, but the squared correlation of fit and message over all edges, after graphs in the
             0.01 % tails of velocity or acceleration are left out; components by standard deviation, kl's too (vj279).
ols          least squares over all edges, not standardised; components by standard deviation (yl2063).
one_to_one   the squared correlation of each such component with each single component of the target (yl2063).

Repositories of the names: published.ini. No files here; a messages file is loaded by
``files.messages.load_messages``.
"""

import numpy as np

from distill.messages.net_forces import nodes_of
from distill.messages.read_out import importance, target_forces, top_components
from distill.shell.errors import UserError
from distill.statistics.metrics import affine_fit, affine_fit_trimmed, channel_map, r_squared, score_components

TARGETS = ("force", "acceleration")  # of the pair: F and F/m_i
TAIL = 1e-4  # vj279 keeps graphs between this quantile and 1 minus it
CLOSE = 0.02  # the fork calls an acceleration almost correct if it is off by less


def scores(messages: dict, run: str) -> dict:
    """All of the above on one messages file, JSON-ready.

    messages: those of ``run`` as ``load_messages`` gives them. Keys: ``r2`` {target: {definition: ...}}, ``mae``
    and ``acpcr`` on ``all`` graphs and with ``tails_cut``, ``sparsity``, and how many graphs and edges they are from.
    Raises ``UserError`` if the true forces are not known, or fewer than 10 edges are left without the tails.
    """
    if "force" not in messages:
        raise UserError(
            f"the messages of '{run}' hold no true forces: the system is not known here",
            "these scores are for simulated systems only",
        )
    dim = messages["dx"].shape[1]
    kept = within_tails(messages)
    cut = {k: v[kept] for k, v in messages.items() if k != "active"} | {"active": messages["active"]}
    if len(cut["r"]) < 10:
        raise UserError(
            f"the messages of '{run}' have {len(cut['r'])} edges within the tails of velocity and"
            " acceleration, expected at least 10",
            f"python extract_messages.py --run {run} --max-graphs 10000 --overwrite",
        )
    accelerations = {"all": prediction(messages), "tails_cut": prediction(cut)}
    spread, spread_cut = (m["message"].astype(float).std(0) for m in (messages, cut))
    sparsity = {"std_share": top_share(spread, dim), "variance_share": top_share(spread**2, dim)}
    sparsity |= {"std_share_tails_cut": top_share(spread_cut, dim), "components": len(spread)}
    return {
        "r2": r2(messages, cut, dim),
        "mae": {k: mae(*v) for k, v in accelerations.items()},
        "acpcr": {k: acpcr(*v[:2]) for k, v in accelerations.items()},
        "sparsity": sparsity | {"active": int(messages["active"].sum())},
        "edges": {"all": len(messages["r"]), "tails_cut": len(cut["r"])},
        "graphs": {k: v[2] for k, v in accelerations.items()},
    }


def r2(messages: dict, cut: dict, dim: int) -> dict:
    """{target: {definition: ...}} of the D = ``dim`` most important components; ``cut`` is without the tails."""
    by_importance = messages["message"][:, top_components(importance(messages), dim)].astype(float)
    by_spread = messages["message"][:, _widest(messages, dim)].astype(float)
    widest_cut = cut["message"][:, _widest(cut, dim)].astype(float)
    targets, targets_cut = target_forces(messages), target_forces(cut)
    out = {}
    for name in TARGETS:
        found = score_components(by_importance, targets[name])
        least = [_r2_least_squares(y, targets[name]) for y in by_spread.T]
        squared = [correlation_of_trimmed_fit(y, targets_cut[name]) for y in widest_cut.T]
        trimmed = {"r2": found["r2_trim90"], "components": found["r2_trim90_components"], "r2_ols": found["r2_all"]}
        out[name] = {
            "trimmed": trimmed,
            "correlation": {"r2": float(np.mean(squared)), "components": squared},
            "ols": {"r2": float(np.mean(least)), "components": least},
            "one_to_one": channel_map(by_spread, targets[name]).tolist(),
        }
    return out


def _widest(messages: dict, count: int) -> np.ndarray:
    return top_components(messages["message"].astype(float).std(0), count)


def _r2_least_squares(y: np.ndarray, target: np.ndarray) -> float:
    """R2 of ordinary least squares of y [edge] on target [edge, dim] and 1."""
    *slopes, offset = affine_fit(target, y)
    return r_squared(y, target @ slopes + offset)


def correlation_of_trimmed_fit(y: np.ndarray, target: np.ndarray) -> float:
    """Squared correlation over all edges of y [edge] with its trimmed affine fit on target [edge, dim].

    0 where y or the fit is constant.
    """
    if np.ptp(y) == 0:
        return 0.0
    y = (y - y.mean()) / y.std()
    fitted = target @ affine_fit_trimmed(target, y)[:-1]
    return float(np.corrcoef(fitted, y)[0, 1] ** 2) if np.ptp(fitted) > 0 else 0.0


def within_tails(messages: dict, tail: float = TAIL) -> np.ndarray:
    """Edges [edge] of graphs with no component of a velocity or acceleration in the ``tail`` quantiles at either end.

    Quantiles are over the receivers and components of all graphs in ``messages``, of velocity and of acceleration
    each; a graph with a single component outside is left out whole, as vj279 does to training and test data.
    """
    nodes = nodes_of(messages)
    outside = np.zeros(len(nodes.first), dtype=bool)
    for name in ("vel_i", "acc_i"):
        values = messages[name][nodes.first].astype(float)
        low, high = np.quantile(values, [tail, 1 - tail])
        outside |= ((values < low) | (values > high)).any(1)
    graph = _graphs(messages)
    bad = np.zeros(graph.max() + 1, dtype=bool)
    bad[graph[nodes.first[outside]]] = True
    return ~bad[graph]


def _graphs(messages: dict) -> np.ndarray:
    """Number of the graph (a frame of a trajectory) of every edge, from 0 without gaps."""
    frames = int(messages["frame"].max()) + 1
    return np.unique(messages["trajectory"].astype(np.int64) * frames + messages["frame"], return_inverse=True)[1]


def prediction(messages: dict) -> tuple[np.ndarray, np.ndarray, int]:
    """Predicted and true acceleration of every receiver [node, dim], and the number of graphs they are from."""
    first = nodes_of(messages).first
    return (
        messages["acc_pred_i"][first].astype(float),
        messages["acc_i"][first].astype(float),
        int(_graphs(messages).max()) + 1,
    )


def mae(pred: np.ndarray, true: np.ndarray, graphs: int) -> dict:
    """Absolute error of accelerations [node, dim] of ``graphs`` graphs in the three conventions in use.

    per_component: mean over particles and components. per_particle: summed over components, mean over particles
    (vj279, yl2063). per_graph: summed over particles and components, mean over graphs (the loss of the original code).
    """
    error = np.abs(pred - true)
    return {
        "per_component": float(error.mean()),
        "per_particle": float(error.sum(1).mean()),
        "per_graph": float(error.sum() / graphs),
    }


def acpcr(pred: np.ndarray, true: np.ndarray) -> float:
    """Share of acceleration components [node, dim] that are off by less than ``CLOSE`` (the fork's "almost correct
    prediction correct rate"); depends on the units of the system."""
    return float((np.abs(pred - true) < CLOSE).mean())


def top_share(spread: np.ndarray, count: int) -> float:
    """Share of the ``count`` largest entries of spread [component] in its sum."""
    return float(np.sort(spread)[::-1][:count].sum() / max(spread.sum(), 1e-300))
