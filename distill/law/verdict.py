"""Is the law found the law of nature? Compared with the truth in range, far outside it and close in."""

import numpy as np
import sympy as sp

from distill.files.properties import VARIABLES, of_edges
from distill.formulas.equivalence import compare, equivalence
from distill.formulas.latex import to_latex
from distill.formulas.text import to_text
from distill.formulas.tree import complexity
from distill.messages.net_forces import state_of
from distill.physics.law import Law
from distill.physics.system import radial_force

TOLERANCE = 0.02  # relative error in range and extrapolated
SCALE_TOLERANCE = 0.03
NEAR_TOLERANCE = 0.05
FAR = 3.0  # extrapolated: from the largest training distance to this many times it
INWARDS = 0.9  # ... where the force is cut off beyond that: from this many times the smallest distance to it
SAMPLES = 4000
WITHIN = f"within {100 * TOLERANCE:.0f} % in range and to {FAR:.0f} times the largest distance"

WITHIN_CUT = f"within {100 * TOLERANCE:.0f} % in range and down to {INWARDS:.1f} of the smallest distance"


def samples(messages: dict, low: float, high: float, seed: int) -> dict:
    """Distances log-uniform in [low, high] with the properties of both ends drawn from the data."""
    rng = np.random.default_rng([seed, 77])
    pick = rng.integers(len(messages["r"]), size=SAMPLES)
    return of_edges(messages, pick) | {"r": np.exp(rng.uniform(np.log(low), np.log(high), SAMPLES))}


def against_truth(law: Law, truth, messages: dict, true_node_force, seed: int = 0, cutoff: float | None = None) -> dict:
    """Verdict where the truth is known.

    recovered: relative errors in range (5 % to 95 % quantile of training distances) and extrapolated
    (largest training distance to 3 times it) below 2 %, the scale within 3 %, and the node terms right.
    ``true_node_force`` [edge, dim] is the true force on the receiver that no pair makes; None: only the
    pair law is judged.
    softening_recovered: error below the 5 % quantile less than 5 %; told apart, few data lie there.
    The errors are of the law times the scale factor that fits best in range.
    equivalence: the relation of the pair law to the truth, over the same samples, as in ``equivalence``. It
    judges the form, these thresholds the errors: a law with a small superfluous term can be recovered and yet
    be different, one of the same form with a constant that is off can fail to be recovered.
    cutoff: of the force, None for none. Beyond it there is nothing to compare; there "extrapolated" is closer than
    any pair of the training data, 0.9 of their smallest distance: where a hotter fluid goes.
    """
    r = messages["r"].astype(float)
    low, high, top = np.quantile(r, 0.05), np.quantile(r, 0.95), r.max()
    beyond, within = ((top, FAR * top), WITHIN) if cutoff is None else ((INWARDS * r.min(), r.min()), WITHIN_CUT)
    inside, far = samples(messages, low, high, seed), samples(messages, *beyond, seed)
    near = samples(messages, max(r.min(), 1e-4), low, seed)
    found = compare(law.pair, truth, inside, far)
    closely = compare(law.pair, truth, inside, near, symbolic=False)["relative_error_extrapolated"]
    ok = {
        "in range": found["relative_error_in_range"] < TOLERANCE,
        "extrapolated": found["relative_error_extrapolated"] < TOLERANCE,
        "scale": abs(found["scale"] - 1) < SCALE_TOLERANCE,
    }
    node_error = None
    if true_node_force is not None:
        state = state_of(messages, slice(None))
        error = np.linalg.norm(law.node_force(state) - true_node_force, axis=1)
        size = np.linalg.norm(true_node_force, axis=1)
        typical = np.median(size) + np.median(np.abs(messages["acc_i"]) * state.mass[:, None])
        node_error = float(np.mean(error) / max(typical, 1e-300))
        ok["node terms"] = node_error < SCALE_TOLERANCE
    closing = "scale" if true_node_force is None else "scale and node terms"
    failed = [name for name, good in ok.items() if not good]
    return {
        "recovered": not failed,
        "softening_recovered": closely < NEAR_TOLERANCE,
        "relative_error_in_range": found["relative_error_in_range"],
        "relative_error_extrapolated": found["relative_error_extrapolated"],
        "relative_error_near": closely,
        "scale": found["scale"],
        "symbolic_equal": bool(found["symbolic_equal"]),
        "node_error": node_error,
        "ranges": {"in": [low, high], "extrapolated": list(beyond), "near": [max(r.min(), 1e-4), low]},
        "n_samples": SAMPLES,
        "equivalence": equivalence(law.pair, truth, {"in": inside, "extrapolated": far, "near": near}),
        "why": f"{within}, {closing} within {100 * SCALE_TOLERANCE:.0f} %"
        if not failed
        else "wrong: " + ", ".join(failed),
    }


def true_law(system, names=VARIABLES):
    """The radial pair force of a system: a formula, or a function of columns called ``names`` where only its
    potential is known.
    """
    if system is None or system.formula is not None:
        return None if system is None else system.formula

    def force(*columns):
        ends = dict(zip(names, np.broadcast_arrays(*columns), strict=True))
        return radial_force(system, ends["r"], ends)

    return force


def describe_truth(system, truth) -> dict:
    """What ``law.json`` says of the truth."""
    about = {"external": system.external_law, "drag": system.drag, "variables": list(system.variables)}
    if isinstance(truth, sp.Expr):
        return {"text": to_text(truth), "latex": to_latex(truth), "complexity": complexity(truth)} | about
    return {"text": "-dV/dr of the potential simulated", "latex": r"-\frac{dV}{dr}", "complexity": None} | about
