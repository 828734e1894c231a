"""Laws that are nearly right: does the verdict refuse them all? A part of ``recovery.py``.

A near-miss is the true law of a system with one fault of a size drawn from the seed:

exponent  of the distance, wrong by 0.1 to 1 either way (logarithmically even)
factor    m_i, m_j or both missing (r1, r2), q_i, q_j or both missing (charge), a mass too many (spring)
sign      of the whole law, or (spring) of the rest length
offset    5 % to 100 % of the median force added, either sign

With a wrong exponent or factor the scale is fitted in range, so that the form alone is wrong. The near-miss is
judged as it is; then all its constants are refitted on noise-free accelerations with the structure (exponents,
factors) held fast, and the result is judged again: by the truth, and by the data alone against a network whose
error is 1 %. A refit may make the truth of a near-miss (an offset goes to 0, a sign turns): that is no error and
counted apart.

What is true is decided here by the largest deviation over a sample that the verdict does not see.
"""

from types import SimpleNamespace

import numpy as np
import recovery_data as data
import sympy as sp

from distill.files.properties import VARIABLES
from distill.files.storage import finite_or_none as finite
from distill.formulas.equivalence import compare
from distill.formulas.program import compile_numpy
from distill.formulas.text import symbols_for, to_text
from distill.law import trust, verdict
from distill.law.receivers import acceleration_objective, law_error, receivers
from distill.law.residuals import structure
from distill.law.scene import of_receivers
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law

LAWS = ("spring", "r1", "r2", "charge")
SHARES = {"exponent": 0.4, "factor": 0.24, "sign": 0.12, "offset": 0.24}
NETWORK_ERROR = 0.01  # mean relative error of an acceleration's component
ERRORS = ("relative_error_in_range", "relative_error_extrapolated")  # of a verdict
WRONG, TRUE = 0.02, 1e-3  # largest deviation of a law that is wrong at least, of one that is the truth at most
GRAPHS, TRAINING = 400, 800  # graphs of 4 particles; receivers a refit sees, the others are held out


def cells(seed: int, count: int) -> dict[str, dict]:
    """Arguments of every cell by its name, a cell a system; ``count`` near-misses in all."""
    each = {law: count // len(LAWS) + (k < count % len(LAWS)) for k, law in enumerate(LAWS)}
    shared = {"seed": seed, "network_error": NETWORK_ERROR, "graphs": GRAPHS, "training": TRAINING}
    shared |= {"tolerance": verdict.TOLERANCE, "scale_tolerance": verdict.SCALE_TOLERANCE, "shares": SHARES}
    return {f"{law}_{n}_s{seed}": {"law": law, "count": n} | shared for law, n in each.items() if n}


def measure(arguments: dict) -> dict:
    """One cell: every near-miss of a system, as ``rows``."""
    law, count, seed = (arguments[k] for k in ("law", "count", "seed"))
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(share * count) or 1)]
    kinds = (kinds + ["exponent"] * count)[:count]
    return {"law": law, "rows": [one(law, kind, k, seed) for k, kind in enumerate(kinds)]}


def one(law: str, kind: str, index: int, seed: int) -> dict:
    """Make, judge, refit and judge again the near-miss number ``index`` of ``law``."""
    rng = data.generator(seed, law, float(index))
    dim = 2 + index % 2
    messages = data.graphs(law, dim, GRAPHS, rng)
    truth = verdict.true_law(data.load_system(law))
    wrong, size = near_miss(law, kind, index, messages, rng)
    if kind in ("exponent", "factor"):
        wrong = sp.Float(scale(wrong, truth, messages, seed)) * wrong
    nodes = nodes_of(messages)
    order = rng.permutation(len(nodes.first))
    train, held = (receivers(messages, nodes, p) for p in (order[:TRAINING], order[TRAINING:]))
    refitted, _ = acceleration_objective(train).fit(wrong, 200)
    judged = {
        k: judge(f, truth, messages, train, held, seed, rng) for k, f in (("given", wrong), ("refitted", refitted))
    }
    return {"law": law, "kind": kind, "index": index, "dim": dim, "size": size} | judged


def near_miss(law: str, kind: str, index: int, messages: dict, rng) -> tuple[sp.Expr, float]:
    """(formula, size of the fault). Exponents are rationals, which no fit changes; other numbers are free."""
    r, m_i, m_j, q_i, q_j = symbols_for(VARIABLES)
    power = {"spring": 1, "r1": -1, "r2": -2, "charge": -2}[law]
    ends = {"spring": (), "charge": (q_i, q_j)}.get(law, (m_i, m_j))
    factor, rest, size = sp.Mul(*ends), sp.Float(0.99), 1.0
    lead = sp.Float({"spring": -2.0, "charge": 1.0}.get(law, -1.0))
    if kind == "exponent":
        size = round(float(rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.1), 0))), 3)
        power = power + sp.Rational(str(size))
    elif kind == "factor":
        gone = [(0,), (1,), (0, 1)][index % 3]
        pair = ends or (m_i, m_j)
        factor = sp.Mul(*(p for k, p in enumerate(pair) if (k in gone) != bool(ends)))
        size = float(len(gone))
    elif kind == "sign":
        if law == "spring" and index % 2:
            rest = -rest
        else:
            lead = -lead
    formula = lead * factor * ((r**power - rest) if law == "spring" else (r + sp.Float(0.01)) ** power)
    if kind == "offset":
        size = float(rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.05), 0)))
        typical = np.median(np.linalg.norm(messages["force"], axis=1))
        formula = sp.Add(formula, sp.Float(size * typical))
    return formula, size


def scale(formula, truth, messages: dict, seed: int) -> float:
    """The factor that fits best in range, by the verdict's weights."""
    low, high = np.quantile(messages["r"], (0.05, 0.95))
    inside = verdict.samples(messages, low, high, seed)
    return compare(formula, truth, inside, inside, symbolic=False)["scale"]


def judge(formula, truth, messages, train, held, seed: int, rng) -> dict:
    """What the verdicts say of a formula, and what it is."""
    law = Law(formula)
    said = verdict.against_truth(law, truth, messages, None, seed)
    error = law_error(law, held)
    refined = SimpleNamespace(held_out=error, network=NETWORK_ERROR, receivers=len(held.acc), chosen_share=1.0)
    alone = trust.without_truth(refined, structure(law, of_receivers(held), train.acc.size))
    largest = deviation(formula, truth, messages, rng)
    return {
        "text": to_text(formula, 6),
        "recovered": said["recovered"],
        "relation": said["equivalence"]["relation"],
        "deviation": finite(largest),
        "is": "wrong" if largest >= WRONG else "true" if largest <= TRUE else "close",
        **{k: said[k] for k in (*ERRORS, "scale")},
        "margin": margin(said),
        "held_out_error": finite(error) if error < 1e300 else None,
        "predicts_as_well": bool(alone["law_predicts_as_well_as_network"]),
        "trusted": alone["trusted"],
    }


def margin(said: dict) -> float:
    """Largest ratio of an error to its tolerance: above 1 a law is refused, and by how much."""
    errors = max(said[k] for k in ERRORS) / verdict.TOLERANCE
    return max(errors, abs(said["scale"] - 1) / verdict.SCALE_TOLERANCE)


def deviation(formula, truth, messages: dict, rng) -> float:
    """Largest \\|f - F\\| / (0.05 median \\|F\\| + \\|F\\|), no scale fitted, from the 5 % quantile of the distances to
    3 times the largest.
    """
    low, top = np.quantile(messages["r"], 0.05), messages["r"].max()
    count = 5000
    pick = rng.integers(len(messages["r"]), size=count)
    columns = [np.exp(rng.uniform(np.log(low), np.log(verdict.FAR * top), count))]
    columns += [messages[k][pick] for k in ("mass_i", "mass_j", "charge_i", "charge_j")]
    with np.errstate(all="ignore"):
        found, true = (compile_numpy(f, VARIABLES)(*columns) + np.zeros(count) for f in (formula, truth))
    away = np.abs(found - true) / (0.05 * np.median(np.abs(true)) + np.abs(true))
    return float(away.max()) if np.isfinite(away).all() else np.inf


def summarise(rows) -> dict:
    """Counts before and after the refit: those truly wrong, those of them called recovered (the number that has to
    be 0), and how clearly the others were refused. The smallest errors are over wrong forms: a wrong sign alone
    has none once the scale is set aside.
    """
    out = {}
    for stage in ("given", "refitted"):
        judged = [r[stage] for r in rows]
        wrong, true = ([j for j in judged if j["is"] == what] for what in ("wrong", "true"))
        forms = [r[stage] for r in rows if r["kind"] != "sign" and r[stage]["is"] == "wrong"]
        forms = [j for j in forms if not j["recovered"]]
        out[stage] = {
            "near_misses": len(rows),
            "wrong": len(wrong),
            "wrong_called_recovered": sum(j["recovered"] for j in wrong),
            "wrong_called_same": sum(j["relation"] == "same" for j in wrong),
            "became_true": len(true),
            "true_called_recovered": sum(j["recovered"] for j in true),
            "true_called_same": sum(j["relation"] == "same" for j in true),
            "close": sum(j["is"] == "close" for j in judged),
            "smallest_margin": min((j["margin"] for j in wrong if not j["recovered"]), default=None),
            **{f"smallest_{k}": min((j[k] for j in forms), default=None) for k in ERRORS},
            "wrong_predicting_as_well_as_network": sum(j["predicts_as_well"] for j in wrong),
            "wrong_trusted_without_truth": sum(j["trusted"] for j in wrong),
            "true_trusted_without_truth": sum(j["trusted"] for j in true),
            "smallest_held_out_error": min((j["held_out_error"] or np.inf for j in wrong), default=None),
        }
    return out
