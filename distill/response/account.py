"""What ``law.json`` says of a response that was found, and of the choice between it and Newton's a = S/m."""

from types import SimpleNamespace

import numpy as np
import sympy as sp

from distill.files.storage import finite_or_none
from distill.formulas.text import to_text
from distill.formulas.tree import complexity
from distill.law import account, selection, trust
from distill.law.receivers import law_acceleration
from distill.messages.net_forces import nodes_of
from distill.response import judge as verdicts
from distill.response.behind import ALPHA, BETA, CONTROL_IS, PAIR, Found, Read, form_text, rows_of
from distill.response.composition import Composition

NEWTON_COMPLEXITY = 3  # of 1/m_i


def from_messages(fronts: dict, found: Found) -> tuple[Composition, dict]:
    """Pair law and response as the network alone has them: no acceleration of the data was seen.

    Of the families of alpha and beta the formula whose search left the smallest error is taken.
    """
    parts = {PAIR: fronts[PAIR].expr, ALPHA: None, BETA: sp.S.Zero}
    for which in (ALPHA, BETA):
        own = {name: fronts[name] for name in fronts if name.split("_")[0] == which}
        if own:
            best = min(own, key=lambda name: own[name].rows[own[name].chosen].judged)
            chosen = own[best].rows[own[best].chosen]
            one = SimpleNamespace(rows=[chosen], info=own[best].info)
            parts[which] = next(iter(rows_of({best: one}, which, found.ground.unit_charges)), parts[which])
    form = Composition(parts[PAIR], parts[ALPHA], parts[BETA]).normalised(found.ground.unit_charges)
    return form, {"why": fronts[PAIR].why} | {k: fronts[PAIR].info.get(k) for k in account.CERTAINTY}


def choice(found: Found, linear, behind: Read) -> dict:
    """Which of the two laws it is, JSON-ready: ``linear`` is the ``Finding`` of the read-out with a linear node."""
    held = found.ground.held
    size = np.linalg.norm(law_acceleration(linear.law, held.data) - held.data.acc, axis=1)
    with np.errstate(all="ignore"):
        errors = np.abs(law_acceleration(linear.law, held.data) - held.data.acc).mean(1) * held.weights
    errors = np.where(np.isfinite(size), errors, np.inf)
    nodes = complexity(linear.law.pair) + NEWTON_COMPLEXITY
    newton = SimpleNamespace(errors=errors, error=float(np.mean(errors)), complexity=nodes)
    mine = selection_candidate(found)
    takes = not found.is_newton and selection.choose([newton, mine], found.ground.choice) == 1
    network = float(np.mean(np.abs(held.data.predicted - held.data.acc).mean(1) * held.weights))
    if found.is_newton:
        why = "the response found is a = S/m, Newton's"
    else:
        why = f"held-out error {mine.error:.3g} with the response found, {newton.error:.3g} with a = S/m"
    return {
        "chosen": "function" if takes else "linear",
        "why": why,
        "held_out_function": finite_or_none(mine.error),
        "held_out_linear": finite_or_none(newton.error),
        "network_error": network,
        "n": len(errors),
        "pair": to_text(found.form.pair, 6),
        "alpha": to_text(found.form.alpha, 6),
        "beta": to_text(found.form.beta, 6),
        "across": behind.mixing.across,
        "sideways": behind.sideways,
        "cpu_seconds": found.cpu_seconds,
        "what": "messages are a linear image of forces that add up; f is known up to a factor, leading coefficient 1 by"
        " convention, and a factor of m_i could stand in the response as well but for the third law",
    }


def rival(found: Found, judge: account.Judge, chain: bool) -> dict:
    """What the same composition finds without a network (``behind.control``): an entry of ``rivals``."""
    law = found.form.law(found.ground.properties, chain)
    return {
        "label": "accelerations, no network, response allowed",
        "what": CONTROL_IS,
        "before_refit": None,
        "pair": law.pair_json(),
        "node": law.node_json(judge.dim),
        "acceleration_error": judge.acceleration_error(law),
        "verdict": _verdict(law, judge),
        "cpu_seconds": found.cpu_seconds,
    }


def _verdict(law, judge: account.Judge) -> dict | None:
    """On pair law and response; None where the truth is not known as a formula."""
    if not isinstance(judge.truth, sp.Expr) or "force" not in judge.edges:
        return None
    known = judge.truth, judge.system.response, judge.edges, nodes_of(judge.edges), judge.seed
    return verdicts.against_truth(law, *known, judge.true_node, judge.split)


def selection_candidate(found: Found):
    errors = found.ground.held.errors(found.form)
    return SimpleNamespace(errors=errors, error=float(np.mean(errors)), complexity=found.form.complexity)


def other(alone: dict) -> trust.Other:
    """A composition without a network, as ``rival`` tells it, to compare laws with."""
    return trust.Other(alone["label"], alone["pair"]["text"], alone["acceleration_error"]["law"])


def replaced(found: Found, fronts: dict, linear, judge: account.Judge, rivals=(), alone: dict | None = None) -> tuple:
    """(the law with a response, what ``law.json`` says of it in place of ``linear``, the finding with a linear node);
    ``rivals``: the other findings, ``alone`` what ``rival`` says of the composition without a network.
    """
    ground, dim = found.ground, judge.dim
    law = found.form.law(ground.properties, linear.law.chain)
    others = [judge.other(o, law) for o in (linear, *rivals)]
    others += [] if alone is None else [other(alone)]
    early, about = from_messages(fronts, found)
    before = early.law(ground.properties, linear.law.chain)
    index = found.candidates.index(found.chosen)
    share = selection.stability(found.candidates, index, ground.choice)
    errors = judge.acceleration_error(law)  # on the receivers that judge the rivals
    refined = SimpleNamespace(
        held_out=errors["law"],
        network=errors["gnn"],
        receivers=errors["n"],
        chosen_share=share,
        data=ground.many.data,
    )
    rest = [c for k, c in enumerate(found.candidates) if k != index]
    second = rest[selection.choose(rest, ground.choice)] if rest else None
    content = {
        "pair": law.pair_json() | {"short": to_text(law.pair, 4).replace(" ", "")},
        "pairs": law.pairs_json(),
        "node": law.node_json(dim),
        "form": form_text(found.form),
        "constants": found.rounded,
        "constants_note": "standard errors: delete-group jackknife of pair law and response together; the factor that"
        " they share is fixed by the leading coefficient of f",
        "pair_unrounded": to_text(found.chosen.form.pair),
        "from_messages": before.pair_json() | about | {"node": before.node_json(dim), "verdict": None},
        "refinement": {
            "why": f"simplest of {len(found.candidates)} pairs of pair law and response not significantly worse than"
            f" the best on {len(ground.held.data.acc)} receivers of trajectories left out",
            "repaired": False,
            "runner_up": None
            if second is None
            else {
                "equation": told(second.form),
                "complexity": second.complexity,
                "held_out": finite_or_none(second.error),
                "why_it_lost": selection.why_it_lost(second, found.chosen),
            },
            "chosen_share": share,
            "cpu_seconds": found.cpu_seconds,
            "chosen_share_is": f"share of {selection.DRAWS} bootstrap draws of the trajectories left out in which the"
            " same formulas are chosen",
            "candidates": [
                {
                    "complexity": c.complexity,
                    "held_out": finite_or_none(c.error),
                    "repaired": False,
                    "equation": told(c.form),
                }
                for c in found.candidates
            ],
        },
        "acceleration_error": errors,
        "data_verdict": trust.without_truth(
            refined,
            judge.left(law, refined),
            others,
            judge.skill(),
            against=judge.against(law, refined.held_out, judge.unseen, ground.held.data),
        ),
        "lennard_jones": None,
    }
    if (told_of := _verdict(law, judge)) is not None:
        content["verdict"] = told_of
        content["from_messages"]["verdict"] = _verdict(before, judge)
    return law, content


def told(form: Composition) -> str:
    return "; ".join(
        f"{name} = {to_text(part, 6)}"
        for name, part in zip(("f", "alpha", "beta"), form.parts, strict=True)
        if part != 0
    )
