"""Is the law found the law of nature? Its form, its constants, and the accelerations that it makes.

``recovered`` asks for all of this:

form        the pair law is the true one however it is spelt, every constant within ``CONSTANTS``; one that no data
            reach, as a softening may be, is not judged, and the verdict says so
node terms  what acts beside the pair forces: every true term within ``CONSTANTS``, and no other that changes
            accelerations by more than ``EXTRA``
errors      of accelerations, in range, near and beyond (``distill.law.ranges``): in the mean at most ``SHARE`` of
            the network's error there, but never asked to be below ``ROUNDING`` nor allowed above ``CONSTANTS``;
            where there is no network, ``ALONE``. One in a thousand may reach ``TAIL`` times as much.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import sympy as sp

from distill.files.properties import VARIABLES, category_of
from distill.files.storage import finite_or_none
from distill.formulas.equivalence import RELATIONS, equivalence
from distill.formulas.forms import form_of
from distill.formulas.latex import to_latex
from distill.formulas.program import compile_numpy
from distill.formulas.text import to_text
from distill.formulas.tree import complexity
from distill.law.ranges import NAMES, QUANTILE, Error, Ranges
from distill.law.receivers import Receivers, law_acceleration, without_pairs
from distill.physics.law import RADIAL, Law
from distill.physics.responses import Response
from distill.physics.system import radial_force
from distill.physics.terms.cases import by_case
from distill.physics.terms.state import TIME
from distill.physics.terms.values import is_nothing
from distill.statistics.metrics import typical_size

CONSTANTS = 0.01  # relative deviation of a constant of the law, or of a node term
EXTRA = 1e-4  # of |a|: a node term that is none is another form, as a term of the pair force is
SHARE = 0.1  # of the network's error
ROUNDING = 1e-5  # error of accelerations: constants that were fitted to a relative 1e-6, near the core
SAMPLES = 4000  # pairs at which functions of terms are compared
ALONE = 1e-3  # where there is no network: a tenth of what constants may be off by
TAIL = 30.0  # 99.9 % quantile of errors over their mean; of trained networks it is 36 to 54
WHERE = {"in": "in range", "near": "near", "extrapolated": "beyond"}


def against_truth(
    law: Law,
    truth,
    edges: dict,
    true_node_force,
    seed: int = 0,
    cutoff: float | None = None,
    network_error: float | None = None,
    split: str | None = None,
    response: Response | None = None,
) -> dict:
    """Verdict where the truth is known, JSON-ready: the fields of ``kinds.Verdict``.

    ``truth``: a formula, or a function of the columns (``true_law``) where only a potential is known: then there
    is no form to compare, and the pair force itself has to be within ``CONSTANTS`` at every point compared.
    ``edges``: the messages table of the trajectories to judge on, best those of the test set, all edges of a receiver
    in it; ``split`` is its name. ``true_node_force`` [edge, dim]: the true force on the receiver that no pair makes;
    None: only the pair law is judged. ``cutoff``: of the force, None for none. ``network_error``: of the network on
    such data; without it that of ``acc_pred_i`` in ``edges``, range by range, if it is there.
    ``response``: the true one of particles to their net force; None for a = F/m.
    """
    known = isinstance(truth, sp.Expr)
    ranges = Ranges(_function(truth, edges), edges, true_node_force, cutoff, seed, response)
    network = ranges.network_errors() if network_error is None else dict.fromkeys(NAMES, float(network_error))
    allowed = {k: float(np.clip(SHARE * network[k], ROUNDING, CONSTANTS)) if network else ALONE for k in NAMES}
    of_levels = known and any(category_of(symbol.name) for symbol in truth.free_symbols)
    unseen = _unseen(truth, ranges, allowed, response) if known and not of_levels else {}
    relation = relation_of(law.pair, truth, ranges.samples, unseen)
    judged = law if true_node_force is not None else replace(law, node={})
    errors = ranges.errors(_function(law.pair, edges), judged.respond)
    failed, node_error = _form(relation, known), None
    if true_node_force is not None:
        extra, share = ranges.node_errors(law.node_force(ranges.state) + np.zeros_like(ranges.true_acc))
        node_error = extra if share is None else share
        wrong = [f"node terms off by {_percent(share)}"] if share is not None and share > CONSTANTS else []
        wrong += [f"a node term too many, {_percent(extra)} of |a|"] if extra > EXTRA else []
        if wrong:
            failed["node terms"] = " and ".join(wrong)
    of = f" of {split} trajectories" if split else ""
    for name, error in errors.items():
        if not _within(error, allowed[name]):
            failed[name] = f"accelerations{of} {WHERE[name]} off by {_error(error)}"
    told = _listed({name: error.mean for name, error in errors.items()})
    bar = _bar(allowed, network)
    good = f"{relation['text']}; accelerations{of} off by {told} ({bar})"
    first = [] if set(failed) & {"form", "constants"} else [relation["text"]]
    bad = "; ".join(first + list(failed.values())) + (f" ({bar})" if set(failed) & set(WHERE) else "")
    return {
        "recovered": not failed,
        "same_form": not set(failed) & {"form", "constants", "node terms"},
        "failed": list(failed),
        "why": "; ".join([bad if failed else good, *unseen.values()]),
        "relative_error_in_range": finite_or_none(errors["in"].mean),
        "relative_error_near": finite_or_none(errors["near"].mean),
        "relative_error_extrapolated": finite_or_none(errors["extrapolated"].mean),
        "tails": {name: finite_or_none(error.tail) for name, error in errors.items()},
        "allowed_errors": allowed,
        "network_errors": network,
        "softening_recovered": None if unseen else not set(failed) & {"form", "constants", "near"},
        "not_judged": list(unseen.values()),
        "node_error": node_error,
        "ranges": {name: list(limit) for name, limit in ranges.limits.items()},
        "closest": ranges.closest,
        "split": split,
        "n_receivers": ranges.receivers,
        "n_samples": len(ranges.samples["near"]["r"]),
        "equivalence": relation,
    }


def of_terms(law: Law, truth: Law, data: Receivers, split: str | None = None) -> dict:
    """Verdict where either law has more than a radial force and constant terms of a node, JSON-ready.

    Every function of a pair has to be the true one, constants within ``CONSTANTS``, at the pairs of ``data``, and no
    other may be there; what acts on a particle has to make the true force within as much; accelerations of the
    receivers may be off by ``ALONE``. Nothing is asked beyond the data: where friction or a field ends is not known.
    """
    found, true = (law_acceleration(one, data) for one in (law, truth))
    size = np.linalg.norm(true, axis=1)
    typical = typical_size(size)
    with np.errstate(all="ignore"):
        left = np.linalg.norm(found - true, axis=1) / (typical + size)
    mean, tail = float(np.mean(left)), float(np.quantile(left, QUANTILE))
    seen = data.in_motion
    pick = np.unique(np.linspace(0, len(seen.r) - 1, SAMPLES).astype(int))
    columns = {name: value[pick] for name, value in {**seen.ends, "r": seen.r}.items()}
    samples, failed, told, relation = {"in": columns | {TIME: seen.motion.t[pick]}}, {}, [], None
    for name, function in truth.pair_functions.items():
        own = law.pair_functions.get(name)
        if own is None or is_nothing(own) != is_nothing(function):
            failed["form"] = f"{name.replace('_', ' ')} is missing"
            continue
        if is_nothing(function):
            continue
        one = relation_of(own, function, samples)
        relation = one if name == RADIAL else relation
        told.append(f"{name.replace('_', ' ')}: {one['text']}")
        failed |= _form(one, True)
    if more := [name for name in law.pairs if name not in truth.pairs]:
        failed["form"] = f"{more[0].replace('_', ' ')} is one term too many"
    own, there = (law_acceleration(without_pairs(one), data) for one in (law, truth))
    off, whole = (float(np.sqrt((v**2).sum(1).mean())) for v in (own - there, there))
    node_error = off / whole if whole > EXTRA * typical else off / typical
    if not node_error <= (CONSTANTS if whole > EXTRA * typical else EXTRA):
        failed["node terms"] = f"what acts on a particle is off by {_percent(node_error)}"
    if not (mean <= ALONE and tail <= TAIL * ALONE):
        failed["in"] = f"accelerations off by {_percent(mean)} in the mean, {_percent(tail)} in one of a thousand"
    good = "; ".join([*told, f"accelerations off by {_percent(mean)} (allowed: {_percent(ALONE)})"])
    return {
        "recovered": not failed,
        "same_form": not set(failed) & {"form", "constants", "node terms"},
        "failed": list(failed),
        "why": "; ".join([*(told if failed else []), *failed.values()]) if failed else good,
        "relative_error_in_range": finite_or_none(mean),
        "tails": {"in": finite_or_none(tail)},
        "allowed_errors": {"in": ALONE},
        "node_error": finite_or_none(node_error),
        "split": split,
        "n_receivers": len(data.acc),
        "equivalence": relation,
    }


def relation_of(law: sp.Expr, truth, samples: dict, unseen=()) -> dict:
    """``equivalence``; of functions of pairs of levels the worst of theirs, each judged on its own pairs."""
    each = by_case(truth, (n[:-2] for n in next(iter(samples.values())) if n[-2:] == "_i")) if _known(truth) else {}
    if not each:
        return equivalence(law, truth, samples, unseen)
    found = []
    for case, true in each.items():
        own = {name: {k: v[case(of) == 1] for k, v in of.items()} for name, of in samples.items()}
        own = {
            name: {k: v for k, v in of.items() if category_of(k) is None} for name, of in own.items() if len(of["r"])
        }
        if own:
            found.append((case, _against(case.of(law), true, own)))
    if not found:
        return equivalence(law, truth, samples, unseen)
    worst = max((f for _, f in found), key=lambda f: (RELATIONS.index(f["relation"]), f["off"] or 0.0, _off_by(f)))
    if len({f["text"] for _, f in found}) == 1:
        return worst | {"text": f"{worst['text']}, for each of {', '.join(case.name for case, _ in found)}"}
    return worst | {"text": ", ".join(f"{case.name}: {f['text']}" for case, f in found)}


def _off_by(relation: dict) -> float:
    return abs((relation["factor"] or 1.0) - 1)


def _known(truth) -> bool:
    return isinstance(truth, sp.Expr)


def _against(law: sp.Expr, truth: sp.Expr, samples: dict) -> dict:
    """``equivalence`` of formulas of which the true one may be that there is no force."""
    found = equivalence(law, truth, samples)
    return found if is_nothing(law) == is_nothing(truth) else found | {"relation": "different"}


def _function(force, edges: dict) -> Callable:
    """f [pair] of variable -> [pair], from a formula or a function of the columns."""
    if not isinstance(force, sp.Expr):
        return lambda columns: np.asarray(force(*columns.values()), dtype=float)
    used = sorted(symbol.name for symbol in force.free_symbols)
    compiled = compile_numpy(force, used)
    return lambda columns: compiled(*(columns[name] for name in used)) + np.zeros(len(columns["r"]))


def _within(error: Error, allowed: float) -> bool:
    return error.mean <= allowed and error.tail <= TAIL * allowed


def _unseen(truth: sp.Expr, ranges: Ranges, allowed: dict[str, float], response) -> dict[int, str]:
    """Constants of the true form (by number) without which no acceleration would change by more than a law may be
    off, and a sentence for each: nothing that these data have can judge them.
    """
    form, out = form_of(truth), {}
    node = 0.0 if ranges.true_node is None else ranges.true_node
    true = Law(truth, response=response)
    values = {c.symbol: sp.Float(c.value) for c in form.constants}
    for k, constant in enumerate(form.constants):
        if constant.outer or constant.compared is not None:
            continue
        try:
            without = _function(form.expr.xreplace(values | {constant.symbol: sp.Integer(0)}), ranges.edges)
            errors = ranges.errors(without, lambda net, state: true.respond(net + node, state))
        except (TypeError, ValueError, OverflowError):  # no number without it: then it matters
            continue
        if all(_within(error, allowed[name]) for name, error in errors.items()):
            change = _percent(ranges.change_at_closest(without))
            out[k] = (
                f"not judged: the constant {constant.value:.4g} {constant.role}, which changes the force by {change}"
                f" at the closest pair, r = {ranges.closest:.3g}"
            )
    return out


def _form(relation: dict, known: bool) -> dict[str, str]:
    """What is wrong with form and constants, by name."""
    kind, worst = relation["relation"], relation["worst"]["relative_error"]
    if kind == "same":
        return {}
    if not known:
        good = worst is not None and worst <= CONSTANTS
        return {} if good else {"form": f"pair force {relation['text']}"}
    if kind == "different":
        return {"form": relation["text"]}
    off = abs(relation["factor"] - 1) if kind == "same up to a constant factor" else relation["off"] or 0.0
    return {} if off <= CONSTANTS * (1 + 1e-6) else {"constants": relation["text"]}


def _bar(allowed: dict[str, float], network: dict[str, float]) -> str:
    told = _listed(allowed) if len(set(allowed.values())) > 1 else _percent(allowed["in"])
    if not network:
        return f"allowed: {told}, there is no network to compare with"
    if all(allowed[k] == SHARE * network[k] for k in allowed):
        return f"allowed: {told}, a tenth of the network's error"
    return f"allowed: {told}, the network being off by {_percent(network['in'])}"


def _listed(errors: dict[str, float]) -> str:
    return ", ".join(f"{_percent(error)} {WHERE[name]}" for name, error in errors.items())


def _error(error: Error) -> str:
    if not np.isfinite(error.mean):
        return "more than any number"
    return f"{_percent(error.mean)} in the mean, {_percent(error.tail)} in one of a thousand"


def _percent(x: float) -> str:
    if x >= 100:
        return f"{x:.2g} times the truth"
    return f"{100 * x:,.0f} %" if x >= 0.995 else f"{100 * x:.2g} %"


def true_law(system, names=VARIABLES):
    """The radial pair force of a system: a formula, or a function of columns called ``names`` where only its
    potential is known. None where pairs have other forces beside it, or forces that depend on the time: a verdict on
    the radial force would not be one on the law.
    """
    if system is None or system.further or system.in_time:
        return None
    if system.formula is not None:
        return system.formula

    def force(*columns):
        ends = dict(zip(names, np.broadcast_arrays(*columns), strict=True))
        return radial_force(system, ends["r"], ends)

    return force


def describe_truth(system, truth, whole: Law | None = None) -> dict:
    """What ``law.json`` says of the truth; of the ``whole`` law where that is known and a pair formula is not all."""
    about = {"external": system.external_law, "drag": system.drag, "variables": list(system.variables)}
    if isinstance(truth, sp.Expr):
        told = {"text": to_text(truth), "latex": to_latex(truth), "complexity": complexity(truth)}
        return told | Law(truth, properties=system.properties).cases_json() | about
    if truth is None and whole is not None:
        return whole.equation() | {"complexity": None} | about
    return {"text": "-dV/dr of the potential simulated", "latex": r"-\frac{dV}{dr}", "complexity": None} | about
