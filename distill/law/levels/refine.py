"""A formula for every group of pairs of levels, refitted and chosen on accelerations one after the other.

Each group sees what the others leave of the accelerations, at first by the formulas that were read from the estimate of
the force. What an estimate has too much in one group it often lacks in another: between particles all around, a force
that changes slowly with the distance nearly cancels, so that accelerations hardly tell of which group it is. No group
alone is right then while the others are wrong. So the forms that did well in one group are tried in all of them
together, each group with constants of its own: most mixtures differ in constants alone. At last all constants are
fitted together.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import sympy as sp

from distill.files.properties import category_of
from distill.formulas.families import propose
from distill.formulas.improve import prune, round_exponents
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
    together: tuple[list[Candidate], int] = [], 0
    for turn in range(TURNS):
        for group in groups:
            others = [sum(made[o.name][k] for o in groups if o is not group) for k in range(len(sets))]
            view = _view(ground, group, others)
            more = [found[group.name]] if turn else []
            more += [] if rows else selection.control_starts(view)
            more += propose(view.fit) if rows and families else []
            some = [*rows.get(group.name, ()), *(Row(0, 0.0, "", expr) for expr in more)]
            candidates, chosen = selection.tried_out(some, view)
            told[group.name] = (candidates, chosen, view)
            expr, _ = acceleration_objective(view.many, ground.node_terms).fit(with_scales(candidates[chosen].expr))
            found[group.name] = _shorter(view.canonical(expr), view) if turn == TURNS - 1 else view.canonical(expr)
            made[group.name] = [_made(group, found[group.name], data) for data in sets]
        if turn == 0 and len(groups) > 1:
            together = _together(groups, told, found, ground)
            best = together[0][together[1]]
            found = {g.name: g.of(best.expr) for g in groups}
            if best.error <= ground.check.tiny:
                break
            made = {g.name: [_made(g, found[g.name], data) for data in sets] for g in groups}
    pair = sp.Add(*[g.whole(found[g.name]) for g in groups])
    law = Law(*selection.final_fit(pair, ground), chain, properties=ground.properties)
    return _account(law, told, together, ground, time.process_time() - cpu)


def _together(groups: Sequence[Group], told: Mapping, found: Mapping, ground: Ground) -> tuple[list[Candidate], int]:
    """(whole laws, the number of the one chosen): first the functions ``found``, then those of one form in all groups,
    for every form that no simpler candidate of its group does better than. All constants are fitted together.
    """
    objective, tried = acceleration_objective(ground.sets[0], ground.node_terms), []
    for functions in (found, *_same_forms(told)):
        whole, _ = objective.fit(with_scales(sp.Add(*[g.whole(functions[g.name]) for g in groups])))
        whole, _ = objective.fit(with_scales(round_exponents(whole, objective)[0]))
        tried.append(ground.judged(ground.canonical(prune(whole, objective, 0.05)[0])))
        if tried[-1].error <= ground.check.tiny:
            break
    return tried, selection.choose(tried, ground)


def _same_forms(told: Mapping) -> Iterator[dict]:
    """Functions of every group that differ in constants alone, simple ones first; steep exponents are constants too."""
    forms: dict[sp.Expr, dict] = {}
    for name, (candidates, _, _) in told.items():
        least = np.inf
        for one in sorted(candidates, key=lambda c: (c.complexity, c.error)):
            if one.error < least:
                least, free = one.error, selection.with_free_exponents(one.expr)
                forms.setdefault(parametrise(free)[0], {}).setdefault(name, free)
    for of in sorted(forms.values(), key=lambda of: complexity(next(iter(of.values())))):
        some = next(iter(of.values()))
        yield {name: of.get(name, some) for name in told}


def _shorter(expr: sp.Expr, view: Ground) -> sp.Expr:
    """Without what it is as good without: constants that the last fit has made next to nothing."""
    less = view.canonical(prune(expr, view.fit, 0.05)[0])
    before, after = (view.judged(one).error for one in (expr, less))
    return less if after <= max((1 + selection.WORTHLESS) * before, view.check.tiny) else expr


def _account(law: Law, told: Mapping, together: tuple[list[Candidate], int], ground: Ground, seconds: float) -> Refined:
    """Of groups whose functions are of one form the choice that is told is that of the form."""
    whole = Candidate(law.pair, receiver_errors(law.pair, ground.check, ground.dim))
    whole.repaired = any(candidates[chosen].repaired for candidates, chosen, _ in told.values())
    why = "; ".join(f"{name}: {selection.why(*one)}" for name, one in told.items())
    share = min(selection.stability(*one) for one in told.values())
    if together[1] > 0:
        why = f"one form for all, constants of their own: {selection.why(*together, ground)}; {why}"
        share = min(share, selection.stability(*together, ground))
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
