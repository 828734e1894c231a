"""Is a law with a response the true one? Pair law and response, each up to the factor that they share.

f -> c f with alpha(S) -> alpha(S/c)/c is the same law. The factor is taken from the pair laws; the response is then
compared at the true net forces.
"""

from dataclasses import replace

import numpy as np
import sympy as sp

from distill.files.properties import of_edges
from distill.formulas.equivalence import RELATIONS, compare, equivalence
from distill.formulas.text import symbols_for, to_text
from distill.law import verdict
from distill.messages.net_forces import Nodes, state_of
from distill.physics.law import Law
from distill.physics.responses import Response, scalars_of
from distill.physics.terms import State

CONSTANTS = 0.01  # by which a constant may be off
FAR, SAMPLES = 3.0, 4000  # beyond the data: to this many times the largest distance, and net force; samples of each
NEWTON = Response("newton", "1/m_i")
_S, _SV = symbols_for(("s", "sv"))


def against_truth(
    law: Law,
    truth: sp.Expr,
    response: Response | None,
    edges: dict,
    nodes: Nodes,
    seed=0,
    true_node=None,
    split: str | None = None,
) -> dict:
    """Verdict, JSON-ready, on the true radial force ``truth`` and the true ``response`` (None: a = S/m).

    ``edges``: a messages table with the true pair forces (``force``), ``nodes`` its receivers; ``true_node`` as in
    ``verdict.against_truth``, which says how accelerations are judged. recovered: pair law and response have the true
    form, their constants within ``CONSTANTS`` once the factor that they share is taken off, the response is right in
    range, near zero and to 3 times the largest net force, and accelerations pass.
    """
    true, own = response or NEWTON, law.response or NEWTON
    r = edges["r"].astype(float)
    low, high, top = np.quantile(r, 0.05), np.quantile(r, 0.95), r.max()
    limits = {"in": (low, high), "extrapolated": (top, FAR * top)}
    pairs = {name: _samples(edges, *limit, seed) for name, limit in limits.items()}
    scale = compare(law.pair, truth, pairs["in"], pairs["extrapolated"], symbolic=False)["scale"]
    mine = {part: _rescaled(own.formula(part), scale, part) for part in ("alpha", "beta")}
    same = replace(own, alpha=to_text(mine["alpha"]), beta=to_text(mine["beta"]))
    same = replace(
        law, pair=sp.Float(scale) * law.pair, response=same
    )  # the same law, forces as large as the true ones
    base = verdict.against_truth(same, truth, edges, true_node, seed, split=split, response=response)
    pair, in_range = base["equivalence"], base["relative_error_in_range"]
    errors, columns = {}, {}
    for name, (net, state) in _states(edges, nodes, seed).items():
        at = scalars_of(net, state.vel) | state.variables
        columns[name] = {k: at[k] for k in true.variables if k in at}
        with np.errstate(all="ignore"):
            a = true.acceleration(net, state.vel, state.variables)
            b = own.acceleration(net / scale if scale else net, state.vel, state.variables)
            size = np.maximum(np.linalg.norm(a, axis=1), 1e-300)
            off = np.linalg.norm(b - a, axis=1) / size
        errors[name] = float(np.mean(np.where(np.isfinite(off), np.minimum(off, 3.0), 3.0)))
    relations = {
        part: equivalence(mine[part], true.formula(part), columns)
        for part in ("alpha", "beta")
        if not (part == "beta" and own.beta == true.beta == "0")
    }
    failed = [name for name in base["failed"] if name not in ("form", "constants")]
    failed += [] if _same(pair) else ["form"]
    failed += [] if all(map(_same, relations.values())) and max(errors.values()) < CONSTANTS else ["response"]
    told = "; ".join(f"{part}: {relation['text']}" for part, relation in ({"f": pair} | relations).items())
    off = "more than any number" if in_range is None else f"{100 * in_range:.2g} %"
    kept = f"; wrong: {', '.join(failed)} ({base['why']})" if failed else ""
    return base | {
        "recovered": not failed,
        "same_form": not {"form", "response", "node terms"} & set(failed),
        "failed": failed,
        "why": f"{told}; accelerations in range off by {off}{kept}",
        "equivalence": pair,
        "response": {
            "factor": scale,
            "errors": errors,
            "alpha": relations["alpha"]["text"],
            "beta": relations["beta"]["text"] if "beta" in relations else "none in either",
            "truth": {"alpha": true.alpha, "beta": true.beta},
        },
    }


def _samples(edges: dict, low: float, high: float, seed: int) -> dict:
    """Distances log-uniform in [low, high] with the properties of both ends drawn from the data."""
    rng = np.random.default_rng([seed, 77])
    pick = rng.integers(len(edges["r"]), size=SAMPLES)
    return of_edges(edges, pick) | {"r": np.exp(rng.uniform(np.log(low), np.log(high), SAMPLES))}


def _same(relation: dict) -> bool:
    return relation["relation"] == RELATIONS[0] or (relation["off"] is not None and relation["off"] <= CONSTANTS)


def _rescaled(part: sp.Expr, scale: float, name: str) -> sp.Expr:
    """alpha or beta as a function of the true net force, which is ``scale`` times the law's."""
    c = sp.Float(scale or 1.0)
    part = part.xreplace({_S: _S / abs(c), _SV: _SV / c})
    return part / c if name == "alpha" else part


def _states(messages: dict, nodes: Nodes, seed: int) -> dict:
    """Range -> (true net forces [row, dim], state of the receivers): as in the data from 5 % to 95 % of |S|, smaller
    ones, and the largest ones as they are to 3 times as large.
    """
    rng = np.random.default_rng([seed, 79])
    net, state = nodes.sum(messages["force"].astype(float)), state_of(messages, nodes.first)
    s = np.linalg.norm(net, axis=1)
    low, high = np.quantile(s, [0.05, 0.95])
    picks = {"in": (s >= low) & (s <= high), "near": (s > 0) & (s < low), "extrapolated": s > high}
    out = {}
    for name, those in picks.items():
        pick = rng.permutation(np.flatnonzero(those))[:SAMPLES]
        factor = rng.uniform(1, FAR, (len(pick), 1)) if name == "extrapolated" else 1.0
        out[name] = factor * net[pick], State(state.vel[pick], {k: v[pick] for k, v in state.properties.items()})
    return out
