"""A formula for every group of pairs of levels, refitted and chosen on accelerations one after the other.

Each group sees what the others leave of the accelerations, at first by the formulas that were read from the estimate of
the force. At last all constants are fitted together.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import sympy as sp

from distill.files.properties import category_of
from distill.formulas.families import propose
from distill.formulas.improve import prune
from distill.formulas.tree import with_scales
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
    for turn in range(TURNS):
        for group in groups:
            others = [sum(made[o.name][k] for o in groups if o is not group) for k in range(len(sets))]
            view = _view(ground, group, others)
            if turn == 0 or not starts:
                more = [] if rows else selection.control_starts(view)
                more += propose(view.fit) if rows and families else []
                some = [*rows.get(group.name, ()), *(Row(0, 0.0, "", expr) for expr in more)]
                candidates, chosen = selection.tried_out(some, view)
                told[group.name] = (candidates, chosen, view)
                expr = candidates[chosen].expr
            else:
                expr = found[group.name]
            expr, _ = acceleration_objective(view.many, ground.node_terms).fit(with_scales(expr))
            found[group.name] = _shorter(view.canonical(expr), view) if turn == TURNS - 1 else view.canonical(expr)
            made[group.name] = [_made(group, found[group.name], data) for data in sets]
    pair = sp.Add(*[g.whole(found[g.name]) for g in groups])
    law = Law(*selection.final_fit(pair, ground), chain, properties=ground.properties)
    return _account(law, told, ground, time.process_time() - cpu)


def _shorter(expr: sp.Expr, view: Ground) -> sp.Expr:
    """Without what it is as good without: constants that the last fit has made next to nothing."""
    less = view.canonical(prune(expr, view.fit, 0.05)[0])
    before, after = (view.judged(one).error for one in (expr, less))
    return less if after <= max((1 + selection.WORTHLESS) * before, view.check.tiny) else expr


def _account(law: Law, told: Mapping, ground: Ground, seconds: float) -> Refined:
    whole = Candidate(law.pair, receiver_errors(law.pair, ground.check, ground.dim))
    whole.repaired = any(candidates[chosen].repaired for candidates, chosen, _ in told.values())
    why = "; ".join(f"{name}: {selection.why(*one)}" for name, one in told.items())
    share = min(selection.stability(*one) for one in told.values())
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
