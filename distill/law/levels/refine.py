"""A formula for every group of pairs of levels, refitted and chosen on accelerations one after the other.

Each group sees what the others leave of the accelerations, at first by the formulas that were read from the estimate of
the force. What an estimate has too much in one group it often lacks in another: between particles all around, a force
that changes slowly with the distance nearly cancels, so that accelerations hardly tell of which group it is. No group
alone is right then while the others are wrong. So the forms that did well in one group are tried in all of them
together, each group with constants of its own: most mixtures differ in constants alone. At last all constants are
fitted together.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    others are nothing at first, without ``rows`` a group begins with the formulas of the control. Groups choose twice,
    the second time beside the others as they are once all were fitted together.
    """
    cpu, mixture, several = time.process_time(), Mixture(groups, starts, ground), len(groups) > 1

    def known(name: str, view: Ground) -> list[Row]:
        more = [] if rows else selection.control_starts(view)
        more += propose(view.fit) if rows and families else []
        return [*rows.get(name, ()), *(Row(0, 0.0, "", expr) for expr in more)]

    told, together = mixture.chosen(known, last=not several), Together()
    repaired = _any_repaired(told)
    if several:
        together = mixture.together(told, repaired)
        exact = together.best.error <= ground.check.tiny

        def again(name: str, view: Ground) -> list[Row]:
            own = [Row(0, 0.0, "", mixture.found[name])] if mixture.found[name].free_symbols else []
            return own if own and exact else own + known(name, view)

        told = mixture.chosen(again, last=True)
        repaired = together.best.repaired or _any_repaired(told)
    law = Law(*selection.final_fit(mixture.whole(), ground, mixture.most), chain, properties=ground.properties)
    if len({_form(expr) for expr in mixture.found.values()}) > 1:
        together = Together()
    return _account(law, told, together, repaired, ground, time.process_time() - cpu)


@dataclass
class Together:
    """Whole laws, and the number of the one chosen."""

    candidates: list[Candidate] = field(default_factory=list)
    chosen: int = 0

    @property
    def best(self) -> Candidate:
        return self.candidates[self.chosen]


class Mixture:
    """The function of every group that was ``found`` last, by its name, and what it makes of the accelerations of the
    sets of receivers of ``ground``.
    """

    def __init__(self, groups: Sequence[Group], starts: Mapping[str, sp.Expr], ground: Ground):
        self.groups, self.ground, self.most = groups, ground, MAX_CONSTANTS * len(groups)
        self.found: dict[str, sp.Expr] = {}
        self.made: dict[str, list[np.ndarray]] = {}
        for group in groups:
            self._put(group, starts.get(group.name, sp.Integer(0)))

    def _put(self, group: Group, expr: sp.Expr) -> None:
        self.found[group.name] = expr
        self.made[group.name] = [_made(group, expr, data) for data in self.ground.sets]

    def whole(self, functions: Mapping[str, sp.Expr] | None = None) -> sp.Expr:
        """The pair law of these functions, of those ``found`` if none are given."""
        return sp.Add(*[g.whole((functions or self.found)[g.name]) for g in self.groups])

    def chosen(self, rows: Callable[[str, Ground], list[Row]], last: bool) -> dict[str, tuple]:
        """For every group by name (its candidates, the number of the one chosen, what it was chosen on): those that the
        ``rows`` of the name and of what the others leave lead to. What is chosen is found; at ``last`` without what it
        is as good without.
        """
        told = {}
        for group in self.groups:
            count = len(self.ground.sets)
            others = [sum(self.made[o.name][k] for o in self.groups if o is not group) for k in range(count)]
            view = _view(self.ground, group, others)
            candidates, chosen = selection.tried_out(rows(group.name, view), view)
            told[group.name] = candidates, chosen, view
            fitted = with_scales(candidates[chosen].expr)
            expr = view.canonical(acceleration_objective(view.many, self.ground.node_terms).fit(fitted)[0])
            self._put(group, _shorter(expr, view) if last else expr)
        return told

    def together(self, told: Mapping, repaired: bool) -> Together:
        """The law of the functions ``found``, ``repaired`` or not, then those of one form in all groups, for every form
        that no simpler candidate of its group in ``told`` does better than; of more than ``FORMS`` the simplest. All
        constants are fitted together. The functions of the law chosen are found.
        """
        ground, tried, out = self.ground, [], Together()
        objective = acceleration_objective(ground.sets[0], ground.node_terms)
        for functions, mended in ((self.found, repaired), *_same_forms(told, self.found)):
            whole, _ = objective.fit(with_scales(self.whole(functions)), most=self.most)
            tried.append({g.name: g.of(whole) for g in self.groups})
            out.candidates.append(ground.judged(ground.canonical(self.whole(tried[-1])), mended))
            if out.candidates[-1].error <= ground.check.tiny:
                break
        out.chosen = selection.choose(out.candidates, ground)
        for group in self.groups:
            self._put(group, tried[out.chosen][group.name])
        return out


def _any_repaired(told: Mapping) -> bool:
    return any(candidates[chosen].repaired for candidates, chosen, _ in told.values())


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
