"""A formula for every group of pairs of levels, refitted and chosen on accelerations one after the other.

Each group sees what the others leave of the accelerations, at first by the formulas that were read from the estimate of
the force. What an estimate has too much in one group it often lacks in another: between particles all around, a force
that changes slowly with the distance nearly cancels, so that accelerations hardly tell of which group it is. No group
alone is right then while the others are wrong. So the forms that did well in one group are tried in all of them
together, each group with constants of its own: most mixtures differ in constants alone. At last all constants are
fitted together.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from distill.files.properties import category_of
from distill.formulas.families import propose
from distill.formulas.improve import prune
from distill.formulas.objective import MAX_CONSTANTS
from distill.formulas.tree import complexity, parametrise, with_scales
from distill.law import selection
from distill.law.receivers import (
    Receivers,
    acceleration_objective,
    law_acceleration,
    law_error,
    receiver_errors,
)
from distill.law.selection import Candidate, Ground, Refined
from distill.physics.law import Law
from distill.physics.terms.cases import Group
from distill.search.front import Row

TURNS = 2  # in which groups see the formulas of the others
FORMS = 16  # at most that are tried in all groups together


def refined_by_group(
    groups: Sequence[Group],
    starts: Mapping[str, sp.Expr],
    rows: Mapping[str, Sequence[Row]],
    ground: Ground,
    chain: bool,
    families: bool = False,
) -> Refined:
    """``starts``: name of a group -> its formula before the refit, ``rows``: those to choose from; all in the units of
    the data of ``ground``. ``families``: those of forms that fit what is left are tried too. Without ``starts`` the
    others are nothing at first, without ``rows`` a group begins with the formulas of the control.
    """
    cpu, sets = time.process_time(), ground.sets
    found = {g.name: starts.get(g.name, sp.Integer(0)) for g in groups}
    made = {g.name: [_made(g, found[g.name], data) for data in sets] for g in groups}
    told: dict[str, tuple] = {}
    together, repaired = Together([], [], 0), False
    for turn in range(TURNS):
        for group in groups:
            others = [sum(made[o.name][k] for o in groups if o is not group) for k in range(len(sets))]
            view = _view(ground, group, others)
            some = [Row(0, 0.0, "", found[group.name])] if turn and found[group.name].free_symbols else []
            if not (some and together.exact(ground)):
                more = [] if rows else selection.control_starts(view)
                more += propose(view.fit) if rows and families else []
                some += [*rows.get(group.name, ()), *(Row(0, 0.0, "", expr) for expr in more)]
            candidates, chosen = selection.tried_out(some, view)
            told[group.name], repaired = (candidates, chosen, view), repaired or candidates[chosen].repaired
            expr, _ = acceleration_objective(view.many, ground.node_terms).fit(with_scales(candidates[chosen].expr))
            found[group.name] = _shorter(view.canonical(expr), view) if turn == TURNS - 1 else view.canonical(expr)
            made[group.name] = [_made(group, found[group.name], data) for data in sets]
        if turn == 0 and len(groups) > 1:
            together = _together(groups, told, found, repaired, ground)
            found, repaired = dict(together.functions[together.chosen]), together.best.repaired
            made = {g.name: [_made(g, found[g.name], data) for data in sets] for g in groups}
    pair = sp.Add(*[g.whole(found[g.name]) for g in groups])
    law = Law(*selection.final_fit(pair, ground, most=MAX_CONSTANTS * len(groups)), chain, properties=ground.properties)
    if len({_form(expr) for expr in found.values()}) > 1:
        together = Together([], [], 0)
    return _account(law, told, together, repaired, ground, time.process_time() - cpu)


@dataclass
class Together:
    """Whole laws, the functions of each by the name of a group, and the number of the one chosen."""

    candidates: list[Candidate]
    functions: list[dict]
    chosen: int

    @property
    def best(self) -> Candidate:
        return self.candidates[self.chosen]

    def exact(self, ground: Ground) -> bool:
        return bool(self.candidates) and self.best.error <= ground.check.tiny


def _together(groups: Sequence[Group], told: Mapping, found: Mapping, repaired: bool, ground: Ground) -> Together:
    """First the functions ``found``, then those of one form in all groups, for every form that no simpler candidate of
    its group does better than; of more than ``FORMS`` the simplest. All constants are fitted together.
    """
    objective, out = acceleration_objective(ground.sets[0], ground.node_terms), Together([], [], 0)
    for functions, mended in ((found, repaired), *_same_forms(told, found)):
        whole = sp.Add(*[g.whole(functions[g.name]) for g in groups])
        whole, _ = objective.fit(with_scales(whole), most=MAX_CONSTANTS * len(groups))
        fitted = {g.name: g.of(whole) for g in groups}
        expr = ground.canonical(sp.Add(*[g.whole(fitted[g.name]) for g in groups]))
        out.candidates.append(ground.judged(expr, mended))
        out.functions.append(fitted)
        if out.candidates[-1].error <= ground.check.tiny:
            break
    out.chosen = selection.choose(out.candidates, ground)
    return out


def _same_forms(told: Mapping, found: Mapping) -> list[tuple[dict, bool]]:
    """(functions of every group that differ in constants alone, whether that form was repaired), simple ones first."""
    forms: dict[sp.Expr, tuple[dict, list]] = {}
    for name, (candidates, _, _) in told.items():
        least = np.inf
        for one in sorted(candidates, key=lambda c: (c.complexity, c.error)):
            if one.error < least and one.expr.free_symbols:
                least = one.error
                functions, mended = forms.setdefault(_form(one.expr), ({}, []))
                functions.setdefault(name, selection.with_free_exponents(one.expr))
                mended.append(one.repaired)
    first, *others = {_form(expr) for expr in found.values()}
    if not others:  # they are of one form already
        forms.pop(first, None)
    some = sorted(forms.values(), key=lambda of: complexity(next(iter(of[0].values()))))[:FORMS]
    return [({name: of.get(name, next(iter(of.values()))) for name in told}, all(mended)) for of, mended in some]


def _form(expr: sp.Expr) -> sp.Expr:
    """``expr`` but for its constants, of which steep exponents are some."""
    return parametrise(selection.with_free_exponents(expr))[0]


def _shorter(expr: sp.Expr, view: Ground) -> sp.Expr:
    """Without what it is as good without: constants that the last fit has made next to nothing."""
    less = view.canonical(prune(expr, view.fit, 0.05)[0])
    before, after = (view.judged(one).error for one in (expr, less))
    return less if after <= max((1 + selection.WORTHLESS) * before, view.check.tiny) else expr


def _account(law: Law, told: Mapping, together: Together, repaired: bool, ground: Ground, seconds: float) -> Refined:
    """``together``: of a law whose groups are of one form the choice of that form, else nothing."""
    whole = Candidate(law.pair, receiver_errors(law.pair, ground.check, ground.dim), repaired)
    why = "; ".join(f"{name}: {selection.why(*one)}" for name, one in told.items())
    share = min(selection.stability(*one) for one in told.values())
    if together.candidates:
        own = together.candidates, together.chosen, ground
        why = f"one form for all, constants of their own: {selection.why(*own)}; {why}"
        share = min(share, selection.stability(*own))
    held, network = law_error(law, ground.held), float(ground.network.mean())
    return Refined(law, held, network, len(ground.held.acc), [whole], 0, why, None, share, ground.many, seconds)


def _view(ground: Ground, group: Group, others: Sequence[np.ndarray | float]) -> Ground:
    """The accelerations that the others leave, of which each edge has as much as the group's coefficient says; of
    the receivers of one such edge at least.
    """

    def seen(data: Receivers, k: int) -> Receivers:
        share = group(data.features)
        numbers = {name: v for name, v in data.features.items() if category_of(name) is None}
        left = replace(data, features=numbers, unit=data.unit * share[:, None], acc=data.acc - others[k])
        felt = np.add.reduceat(np.abs(share), data.start) > 0
        return left.subset(felt) if felt.any() else left

    varied = [name for name, v in ground.many.features.items() if name == "r" or np.ptp(v) > 0]
    inputs = [name for name in varied if category_of(name) is None]
    return ground.viewed(seen, inputs).beside(ground.node_terms)


def _made(group: Group, expr: sp.Expr, data: Receivers) -> np.ndarray:
    """Accelerations [receiver, dim] by the formula of a group."""
    if expr == 0:
        return np.zeros_like(data.acc)
    law = Law(group.whole(expr), properties=tuple(data.state.properties))
    with np.errstate(all="ignore"):
        return np.nan_to_num(law_acceleration(law, data), posinf=0.0, neginf=0.0)
