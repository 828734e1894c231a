"""What ``law.json`` says: the law, where it came from, how sure it is, and whether it is true."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from distill.files.properties import variables
from distill.files.storage import finite_or_none
from distill.formulas.families import propose
from distill.formulas.latex import to_latex
from distill.formulas.text import parse, to_text
from distill.formulas.tree import complexity
from distill.formulas.units import ONE, Units
from distill.law import constants, node_terms, selection, trust, verdict
from distill.law.further import composition
from distill.law.levels.refine import refined_by_group
from distill.law.receivers import (
    Receivers,
    ahead,
    beyond_radial,
    error_without_pairs,
    fit_node_terms,
    law_acceleration,
    law_error,
    nearer,
    network_error,
    noise_error,
    pair_share,
    receivers,
    without_pairs,
)
from distill.law.remains import residuals
from distill.law.remains.scene import of_dataset, of_receivers
from distill.law.sources import Source, sharpened, sharpened_for, sharpened_in_sums
from distill.messages.net_forces import Nodes, nodes_of
from distill.messages.read_out import ReadOut
from distill.physics import record
from distill.physics.law import Law, case_words, law_of_system
from distill.physics.system import node_force, state_of
from distill.physics.terms.cases import with_coefficients
from distill.physics.terms.values import is_constant
from distill.search import node_function
from distill.search.front import Front, Row
from distill.search.registry import SPLINES
from distill.shell import extensions
from distill.statistics.metrics import beyond_noise

CERTAINTY = ("runner_up", "chosen_share", "restarts", "restarts_with_chosen")  # of the row chosen before the refit
QUICK = {"small": 200, "large": 400, "held_out": 400}
Fronts = Front | Mapping[str, Front] | None  # what a search found: for all pairs, for every group of them, or nothing
IN_A_BOX = {"small": 200, "large": 2000, "held_out": 1000}  # receivers, of some 60 senders each
QUICK_IN_A_BOX = {"small": 60, "large": 120, "held_out": 120}


# ---------------------------------------------------------------- what a source leads to


@dataclass
class Finding:
    """A law and how it came about: what was searched, what stood before any refit, what the refit made of it.

    ``front`` and ``before`` are None for a source without an estimate of the force. ``law``: with its round constants,
    ``known``: what the data know of them, ``beside``: what they know of its node terms, as in ``kinds.NodeLaw``.
    """

    source: Source
    front: Front | None
    before: Law | None
    refined: selection.Refined
    law: Law
    known: dict
    beside: dict

    @property
    def cpu_seconds(self) -> float:
        """Of estimate, search, refit and choice."""
        searched = 0.0 if self.front is None else self.front.info.get("cpu_seconds") or 0.0
        return self.source.cpu_seconds + searched + self.refined.cpu_seconds


def ground_of(
    messages: dict, nodes: Nodes, dataset, seed: int = 0, quick: bool = False, units: Units = ONE
) -> selection.Ground:
    """The receivers of a messages file that laws are fitted to, in ``units``, and judged on."""
    fewer = (QUICK if quick else {}) if cutoff_of(dataset) is None else (QUICK_IN_A_BOX if quick else IN_A_BOX)
    return selection.Ground(messages, nodes, (), seed, units=units, **fewer)


def cutoff_of(dataset) -> float | None:
    return float(dataset.cutoff) if "cutoff" in dataset.arrays else None


def finding(
    source: Source, front: Fronts, ground: selection.Ground, messages: dict, dataset, families: bool = False
) -> Finding:
    """What the refit on accelerations makes of the ``front`` of formulas searched in the force of ``source``, and of
    those of the ``families`` of forms that fit accelerations best, where they are asked for. Of a source with groups
    ``front`` holds one for each, by name.

    Without a front the refit starts from the fixed formulas of the control. The same for every source: who is
    compared has had the same treatment.
    """
    chain, own, units = dataset.meta.system.neighbours_only, ground.beside(source.node_terms), ground.units
    inside, whole, read = own if units == ONE else own.within(units), None, None

    def in_sums(expr: sp.Expr) -> sp.Expr:
        return own.canonical(sharpened_in_sums(expr, source.estimate, messages, own))

    if source.groups:
        fronts = front if isinstance(front, Mapping) else {}
        whole, starts, by_group = read_by_group(source, fronts, own, inside, messages)
        refined = refined_by_group(source.groups, starts, by_group, inside, chain, families)
        read = None if whole is None else in_sums(whole.expr)
    elif isinstance(front, Front):
        whole, read = front, in_sums(sharpened(front.expr, source.estimate, messages, units))
        rows = [replace(row, expr=inside.canonical(units.pair(row.expr))) for row in front.rows]
        rows = list(front.rows) if units == ONE else rows
        rows += [Row(0, 0.0, "", expr) for expr in propose(inside.fit)] if families else []
        refined = selection.refine_on_accelerations(rows, inside, chain)
    else:
        refined = selection.control(inside, chain)
    before = None if read is None else Law(read, source.node, chain, cutoff_of(dataset), own.properties)
    needed, errors, dropped = node_terms.needed(refined.law, inside)
    if dropped:
        own = own.beside(tuple(needed.node))
        refined = replace(refined, law=needed, held_out=law_error(needed, inside.held))
    refined = selection.of_data(refined, own, units)
    errors, dropped = node_terms.of_data(errors, dropped, units)
    law, known = _examined(refined, own, dataset.arrays.get("film"))
    beside = {"standard_errors": errors, "dropped": dropped}
    return Finding(source, whole, before, refined, replace(law, cutoff=cutoff_of(dataset)), known, beside)


def read_by_group(
    source: Source, fronts: Mapping[str, Front], own: selection.Ground, inside: selection.Ground, messages: dict
) -> tuple[Front | None, dict, dict]:
    """(the front of the whole, one row made of those chosen; formula of each group before the refit, and rows to choose
    from, by name, both in the units of ``inside``).
    """
    units, starts, rows = own.units, {}, {}
    for group in (g for g in source.groups if g.name in fronts):
        front = fronts[group.name]
        found = own.canonical(sharpened_for(group, front.expr, source.estimate, messages, units))
        starts[group.name], rows[group.name] = found, front.rows
        if units != ONE:
            rows[group.name] = [replace(r, expr=inside.canonical(units.pair(r.expr))) for r in front.rows]
    if not starts:
        return None, {}, {}
    pair = sp.Add(*[g.whole(starts[g.name]) for g in source.groups])
    chosen = [fronts[g.name] for g in source.groups]
    row = Row(complexity(pair), max(f.rows[f.chosen].loss for f in chosen), to_text(pair), pair)
    told = "; ".join(f"{g.name}: {f.why}" for g, f in zip(source.groups, chosen, strict=True))
    info = {"cpu_seconds": sum(f.info.get("cpu_seconds") or 0.0 for f in chosen), "best_pysr": 0}
    front = Front([row], chosen[0].engine, 0, told, info)
    return front, {k: units.pair(v) for k, v in starts.items()}, rows


def found_by(
    source: Source,
    front: Fronts,
    whole: dict,
    ground: selection.Ground,
    rest: Callable,
    dataset,
    families: bool = False,
) -> Finding:
    """As ``finding``, with formulas for all ``further`` terms of the ``source``. ``whole``, ``ground``: the messages
    and their receivers; ``rest``: of terms, the messages without the accelerations that these make, and their ground.
    """
    if not source.further:
        return finding(source, front, ground, whole, dataset, families)
    messages, left = rest(source.further)
    return beside(finding(source, front, left, messages, dataset, families), ground)


def without_further(law: Law) -> Law:
    """Its radial force and the constant terms of a node."""
    return replace(law, pairs={}, node={name: value for name, value in law.node.items() if is_constant(value)})


def beside(found: Finding, ground: selection.Ground) -> Finding:
    """``found``, whose radial law was made beside splines of the further terms of its source, with formulas for these
    too, on the whole accelerations of ``ground``; before any refit, on those that a network predicts.
    """
    terms, before = found.source.further, found.before
    if before is not None and found.source.name != SPLINES:  # splines are of the data's accelerations themselves
        before = composition.composed(before, terms, ground.of_predictions(), ground.units)[0]
    law, known, errors = composition.composed(found.law, terms, ground, ground.units)
    law = replace(law, pair=with_coefficients(law.pair))
    known["constants"] += [c for c in found.known["constants"] if "gap" in c]
    refined = replace(found.refined, law=law, held_out=law_error(law, ground.held), data=ground.many)
    about = found.beside | {"standard_errors": errors}
    return replace(found, before=before, law=law, refined=refined, known=known, beside=about)


def _examined(refined, ground, film=None) -> tuple[Law, dict]:
    """The law with its round constants, and what the data know of them; ``film`` as in ``constants.examine``."""
    size = np.linalg.norm(law_acceleration(refined.law, refined.data), axis=1)
    size = size if np.isfinite(size).all() else None
    terms = ground.node_terms
    pair, known = constants.examine(
        with_coefficients(refined.law.pair), refined.data, terms, size, ground.unit_charges, film
    )
    return replace(refined.law, pair=with_coefficients(pair), node=fit_node_terms(pair, refined.data, terms)), known


# ---------------------------------------------------------------- how laws are judged


class Judge:
    """What every law of a run is judged by: accelerations left out, and the truth where that is known.

    ``test``: the messages of test trajectories, on which laws are compared with the truth; without them that is done
    on those of ``messages``, and said. ``network``: whether what they predict is a network's, which a law has to beat.
    ``doubts``: further reasons against the main law.
    """

    def __init__(
        self,
        messages: dict,
        ground: selection.Ground,
        dataset,
        seed: int = 0,
        test: dict | None = None,
        network: bool = True,
        doubts: Sequence[str] = (),
    ):
        edges, self.split = (messages, "training") if test is None else (test, "test")
        self.edges = edges if network else {k: v for k, v in edges.items() if k != "acc_pred_i"}
        self.ground, self.dataset, self.seed, self.dim = ground, dataset, seed, dataset.dim
        self.source, self.doubts = "network" if network else "splines", doubts
        self.unseen = ground.held if test is None else some_receivers(test, len(ground.held.acc), seed)
        self.system, self.cutoff = record.system_of(dataset.meta.system), cutoff_of(dataset)
        self.truth = verdict.true_law(self.system, variables(ground.properties))
        self.whole = None  # the true law with all terms, where a verdict can be on all of them
        if self.system is not None and self.system.response is None and self.unseen.seen is not None:
            self.whole = law_of_system(self.system, dataset.dim)
        self.true_node = None if self.truth is None else true_node_force(self.system, self.edges, dataset)

    def verdict(self, law: Law) -> dict | None:
        """The one verdict there is, on pair force and node terms; None where the truth is not known."""
        if self.whole is not None and (self.truth is None or beyond_radial(law)):
            return verdict.of_terms(law, self.whole, self.unseen, self.split)
        if self.truth is None:
            return None
        response = None if self.system is None else self.system.response
        about = law, self.truth, self.edges, self.true_node, self.seed, self.cutoff
        return verdict.against_truth(*about, split=self.split, response=response)

    def described_truth(self) -> dict | None:
        """As ``kinds.Truth``; None where it is not known."""
        if self.truth is None and self.whole is None:
            return None
        return verdict.describe_truth(self.system, self.truth, self.whole)

    def by_data(self, main: Finding, rivals: Sequence[Finding], further: Sequence[trust.Other] = ()) -> dict:
        """What the data alone say of the law of ``main``; ``further``: laws that are no findings of this kind."""
        error, network = law_error(main.law, self.unseen), network_error(self.unseen)
        refined = replace(main.refined, receivers=len(self.unseen.acc), held_out=error, network=network)
        left = self.left(main.law, main.refined)
        others = [*(self.other(one, main.law) for one in rivals), *further]
        against = [*self.against(main.law, refined.held_out, self.unseen, self.ground.held), *self.doubts]
        noise = self.noise(main.law, self.unseen)
        told = trust.without_truth(refined, left, others, self.skill(), self.source, against, noise)
        return told | {"pair_share": pair_share(main.law, self.unseen)}

    def against(self, law: Law, error: float, judged: Receivers, chose: Receivers) -> list[str]:
        """What the data cannot say of a law with that ``error`` on the receivers ``judged``; on ``chose`` it was."""
        without, choosers = error_without_pairs(law, judged), len(np.unique(chose.trajectory))
        return trust.not_told(error, without, self.edges["r"], choosers, self.noise(law, judged))

    def noise(self, law: Law, judged: Receivers) -> trust.Noise:
        """What noise makes of errors on the receivers ``judged``."""
        with np.errstate(all="ignore"):
            found, alone = (law_acceleration(one, judged) for one in (law, without_pairs(law)))
        if judged.noise is None:
            return trust.Noise(pairs=ahead(found, alone, judged))
        return trust.Noise(noise_error(judged), nearer(judged.predicted, found, judged), nearer(found, alone, judged))

    def left(self, law: Law, refined: selection.Refined) -> dict:
        """What a law leaves on whole trajectories."""
        whole = "pos" in self.dataset.arrays  # not where there are messages alone
        scene = of_dataset(self.dataset, law, self.seed) if whole else of_receivers(self.unseen)
        return residuals.structure(law, scene, refined.data.acc.size)

    def skill(self) -> dict:
        """Of the network on the receivers that judge laws."""
        return trust.skill(self.unseen, self.ground.many)

    def other(self, found: Finding, than: Law) -> trust.Other:
        """A rival's law, to compare with the law ``than``."""
        with np.errstate(all="ignore"):
            own, others = (law_acceleration(law, self.unseen) for law in (found.law, than))
            ahead = nearer(own, others, self.unseen)
        return trust.Other(
            found.source.label, short(found.law).removeprefix("f="), law_error(found.law, self.unseen), ahead
        )

    def acceleration_error(self, law: Law) -> dict:
        """Of a law and of the network, on the same receivers: of test trajectories, which nothing was fitted to or
        chosen by, or where there are no messages of them of the trajectories that chose the law.
        """
        whose = "of test trajectories"
        if self.split != "test":
            whose = "left out of the fits; their trajectories chose the law, for there are no messages of test ones"
        error = law_error(law, self.unseen)
        noise = noise_error(self.unseen) or None
        beyond = None if noise is None else beyond_noise(error, noise)
        return {
            "law": error,
            "gnn": network_error(self.unseen),
            "noise": noise,
            "beyond_noise": beyond,
            "n": len(self.unseen.acc),
            "split": self.split,
            "what": f"mean |a - a_data| / (c + |a_data|) of components, receivers {whose}",
        }


def short(law: Law) -> str:
    """f with four digits, or what it is for every pair of levels."""
    if not law.cases:
        return to_text(law.pair, 4).replace(" ", "")

    def few(text):
        return to_text(parse(text, law.variables), 4)

    return ",".join(case_words(law.pair_json(), few)).replace(" ", "")


def some_receivers(messages: dict, count: int, seed: int) -> Receivers:
    """At most ``count`` receivers of a messages file, drawn at random."""
    nodes = nodes_of(messages)
    return receivers(messages, nodes, np.random.default_rng([seed, 67]).permutation(len(nodes.first))[:count])


# ---------------------------------------------------------------- the account


def compose(main: Finding, rivals: Sequence[Finding], judge: Judge, further: Sequence[trust.Other] = ()) -> dict:
    """JSON-ready account of the law ``main.law`` and of what else was found in the same data.

    ``from_messages`` is the row chosen, and its constants fitted, before any acceleration of the data was seen;
    ``rivals``: by name. ``further``: other laws that it is compared with where the data judge it.
    """
    law, refined, system = main.law, main.refined, judge.system
    content = {
        "pair": law.pair_json() | {"short": short(law)},
        "pairs": law.pairs_json(),
        "node": law.node_json(judge.dim) | main.beside,
        **main.known,
        "pair_unrounded": to_text(refined.law.pair),
        "from_messages": before_json(main, judge),
        "refinement": refinement_json(refined),
        "rivals": {other.source.name: rival_json(other, judge) for other in rivals},
        "acceleration_error": judge.acceleration_error(law),
        "truth": None
        if judge.truth is judge.whole is None
        else verdict.describe_truth(system, judge.truth, judge.whole),
        "verdict": judge.verdict(law) or {"recovered": None, "why": "the true law is not known here"},
        "data_verdict": judge.by_data(main, rivals, further),
    }
    for form in extensions.modules("law forms"):  # ``NAME``, and JSON or None: ``account``, and ``values`` without data
        content[form.NAME] = form.account(law.pair, refined.data, tuple(law.node), system)
        if main.before is not None:
            content["from_messages"][form.NAME] = form.values(main.before.pair, system)
    return content


def before_json(found: Finding, judge: Judge) -> dict | None:
    """The row chosen from the force of a source before any refit; None for a source without one."""
    if found.front is None or found.before is None:
        return None
    told = {"why": found.front.why} | {k: found.front.info.get(k) for k in CERTAINTY}
    about = {"node": found.before.node_json(judge.dim), "verdict": judge.verdict(found.before)}
    return found.before.pair_json() | {"pairs": found.before.pairs_json()} | told | about


def rival_json(found: Finding, judge: Judge) -> dict:
    """What the same data give by another way: an entry of ``rivals``."""
    return {
        "label": found.source.label,
        "what": found.source.what,
        "before_refit": before_json(found, judge),
        "pair": found.law.pair_json(),
        "pairs": found.law.pairs_json(),
        "node": found.law.node_json(judge.dim) | found.beside,
        "acceleration_error": judge.acceleration_error(found.law),
        "verdict": judge.verdict(found.law),
        "cpu_seconds": found.cpu_seconds,
    }


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
    data = node_function.node_data(messages, nodes, read, force, seed, "acc_i")
    out = node_function.compare_with_composed(front, law, data)
    pos, left = dataset.arrays["pos"][data.at].astype(float), node_function.left_over(law, data)
    return out | {"position": node_function.position_dependence(pos, left, seed, data.at[0], data.state.vel)}


def true_node_force(system, messages: dict, dataset) -> np.ndarray:
    """True force on the receiver that no pair makes [edge, dim]; none of messages alone, whose system has no field."""
    if "pos" not in dataset.arrays:
        return np.zeros_like(messages["acc_i"], dtype=float)
    frames = dataset.arrays["pos"].shape[1]
    number = messages["trajectory"].astype(np.int64) * frames + messages.get("at", messages["frame"])
    graphs, of_edge = np.unique(number, return_inverse=True)  # a graph once: it may have thousands of edges
    at = graphs // frames, graphs % frames
    pos, vel = (np.nan_to_num(dataset.arrays[k][at].astype(float)) for k in ("pos", "vel"))
    properties = {name: values[at[0]] for name, values in dataset.properties.items()}
    force = node_force(system, state_of(pos, vel, properties, dataset.times[at]))
    out = force[of_edge, messages["receiver"]]
    if "weight" not in messages:
        return out
    nodes = nodes_of(messages)  # the mean over every window's frames
    return (nodes.sum(out) / nodes.senders())[nodes.of_edge]


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
