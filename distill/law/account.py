"""What ``law.json`` says: the law, where it came from, how sure it is, and whether it is true."""

from dataclasses import replace

import numpy as np

from distill.files.storage import finite_or_none
from distill.formulas.latex import to_latex
from distill.formulas.text import to_text
from distill.law import constants, residuals, selection, trust, verdict
from distill.law.receivers import fit_node_terms, law_error
from distill.messages.net_forces import Nodes
from distill.messages.read_out import ReadOut
from distill.physics import record
from distill.physics.law import Law
from distill.physics.system import node_force
from distill.search import node_function
from distill.shell import extensions

CERTAINTY = ("runner_up", "chosen_share", "restarts", "restarts_with_chosen")  # of the row chosen from messages
QUICK = {"small": 200, "large": 400, "held_out": 400}
IN_A_BOX = {"small": 200, "large": 2000, "held_out": 1000}  # receivers, of some 60 senders each
QUICK_IN_A_BOX = {"small": 60, "large": 120, "held_out": 120}


def compose(front, messages: dict, nodes: Nodes, read: ReadOut, dataset, seed=0, quick=False) -> tuple[Law, dict]:
    """(law refitted on accelerations, JSON-ready account of it) from the front of the radial target.

    ``from_messages`` is the row chosen from the messages alone, before any acceleration was seen beyond the
    net forces of the read-out; ``control`` is what the same refit, repair and choice find without a network.
    """
    chain = dataset.meta.system.neighbours_only
    cutoff = float(dataset.cutoff) if "cutoff" in dataset.arrays else None
    fewer = (QUICK if quick else {}) if cutoff is None else (QUICK_IN_A_BOX if quick else IN_A_BOX)
    ground = selection.Ground(messages, nodes, read.node_terms, seed, **fewer)
    refined = selection.refine_on_accelerations(front.rows, ground, chain)
    law, known = _examined(refined, ground, read.node_terms)
    law = replace(law, cutoff=cutoff)
    alone = selection.control(ground, chain)
    without, _ = _examined(alone, ground, read.node_terms)
    before = Law(front.expr, {}, chain, properties=ground.properties)
    content = {
        "pair": law.pair_json() | {"short": to_text(law.pair, 4).replace(" ", "")},
        "node": law.node_json(dataset.dim),
        **known,
        "pair_unrounded": to_text(refined.law.pair),
        "from_messages": before.pair_json() | {"why": front.why} | {k: front.info.get(k) for k in CERTAINTY},
        "refinement": refinement_json(refined),
        "control": {
            "pair": without.pair_json(),
            "acceleration_error": {"law": law_error(without, ground.held)},
            "cpu_seconds": alone.cpu_seconds,
            "what": f"the same refit, repair and choice on accelerations from {' and '.join(selection.CONTROL_STARTS)},"
            " without a network: a law found here too is no evidence for the network",
        },
        "acceleration_error": {
            "law": law_error(law, ground.held),
            "gnn": refined.network,
            "n": refined.receivers,
            "what": "mean |a - a_data| / (c + |a_data|) of components, receivers of trajectories left out",
        },
        "truth": None,
        "verdict": {"recovered": None, "why": "the true law is not known here"},
        "data_verdict": trust.without_truth(refined, residuals.structure(law, ground.held, seed)),
    }
    system = record.system_of(dataset.meta.system)
    for form in extensions.modules("law forms"):  # ``NAME``, and JSON or None: ``account``, and ``values`` without data
        content[form.NAME] = form.account(law.pair, refined.data, read.node_terms, system)
        content["from_messages"][form.NAME] = form.values(front.expr, system)
    truth = verdict.true_law(system, law.variables)
    if truth is not None:
        true_node = true_node_force(system, messages, dataset)
        content["truth"] = verdict.describe_truth(system, truth)
        content["verdict"] = verdict.against_truth(law, truth, messages, true_node, seed, cutoff)
        content["control"]["verdict"] = verdict.against_truth(without, truth, messages, true_node, seed, cutoff)
        content["from_messages"]["verdict"] = verdict.against_truth(before, truth, messages, None, seed, cutoff)
    return law, content


def _examined(refined, ground, node_terms) -> tuple[Law, dict]:
    """The law with its round constants, and what the data know of them."""
    size = np.linalg.norm(residuals.law_acceleration(refined.law, refined.data), axis=1)
    size = size if np.isfinite(size).all() else None
    pair, known = constants.examine(refined.law.pair, refined.data, node_terms, size, ground.unit_charges)
    return replace(refined.law, pair=pair, node=fit_node_terms(pair, refined.data, node_terms)), known


def refinement_json(refined) -> dict:
    """How the law was chosen on accelerations: candidates, the runner-up, how stable the choice is."""
    second = refined.runner_up
    if second is not None:
        second = {
            "equation": to_text(second["expr"], 6),
            "latex": to_latex(second["expr"]),
            **{k: finite_or_none(v) if k == "held_out" else v for k, v in second.items() if k != "expr"},
        }
    return {
        "why": refined.why,
        "repaired": refined.repaired,
        "runner_up": second,
        "chosen_share": refined.chosen_share,
        "cpu_seconds": refined.cpu_seconds,
        "chosen_share_is": f"share of {selection.DRAWS} bootstrap draws of the trajectories left out in which the"
        " same formula is chosen",
        "candidates": [
            {
                "complexity": c.complexity,
                "held_out": finite_or_none(c.error),
                "repaired": c.repaired,
                "equation": to_text(c.expr, 6),
            }
            for c in refined.candidates
        ],
    }


def node_json(front, law: Law, messages: dict, nodes: Nodes, read: ReadOut, force, dataset, seed=0) -> dict:
    """The node function searched beside the composed one, and whether a field in space is left over."""
    data = node_function.node_data(messages, nodes, read, force, seed)
    out = node_function.compare_with_composed(front, law, data)
    pos = dataset.arrays["pos"][data.at].astype(float)
    return out | {
        "position": node_function.position_dependence(pos, node_function.left_over(law, data), seed, data.at[0])
    }


def true_node_force(system, messages: dict, dataset) -> np.ndarray:
    """True force on the receiver that no pair makes [edge, dim]."""
    frames = dataset.arrays["pos"].shape[1]
    number = messages["trajectory"].astype(np.int64) * frames + messages["frame"]
    graphs, of_edge = np.unique(number, return_inverse=True)  # a graph once: it may have thousands of edges
    at = graphs // frames, graphs % frames
    states = {k: dataset.arrays[k][at].astype(float) for k in ("pos", "vel")}
    mass = dataset.arrays["mass"][at[0]].astype(float)
    force = node_force(system, states["pos"], states["vel"], mass)
    return force[of_edge, messages["receiver"]]


def target_json(name: str, front) -> dict:
    """One target's entry in ``law.json``."""
    row, best = front.rows[front.chosen], front.rows[front.info["best_pysr"]]
    return {
        "hall_of_fame": f"symbolic/{name}/hall_of_fame.csv",
        "chosen": front.chosen,
        "equation": row.equation,
        "latex": to_latex(row.expr),
        "complexity": row.complexity,
        "loss": row.loss,
        "why": front.why,
        "pysr_best": {"equation": best.equation, "complexity": best.complexity, "loss": best.loss},
        "rows": [[r.complexity, r.loss, r.equation] for r in front.rows],
        "info": front.info,
    }
