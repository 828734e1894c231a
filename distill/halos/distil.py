"""From the messages of a network to a law of sums over neighbours, composed and refitted on the overdensities.

The live component of the messages is searched as a formula e_ij; with its sums, what the network predicts is searched
as N(s_i, m_i, v_i); then the constants of every pair of the two are fitted together on the overdensities themselves,
and one pair is chosen on haloes that these fits have not seen.

Beside what the engine finds stand soft steps, 1/(1 + (r/R)^P) and the like with the masses and speeds in front: a sum
over neighbours is often one within a radius, which the engine's own operations have no word for. ``steps=False`` leaves
them out.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import sympy as sp

from distill.formulas.fit import value_of
from distill.formulas.improve import prune, shorter
from distill.formulas.objective import Objective
from distill.formulas.text import parse
from distill.formulas.tree import canonical, complexity
from distill.halos.catalogue import Catalogue
from distill.halos.sums import OWN, PAIR, Rows, SumLaw, Units, drawn, fit, mean_error, parted, rows_from
from distill.network.variants import message_importance
from distill.search.choice import pareto
from distill.search.direct import search
from distill.search.engine import SearchOptions
from distill.search.front import Row
from distill.shell.errors import UserError

LIVE = 0.01  # of the largest standard deviation of a component: below it a component is not live
EDGES, FEW, JUDGES, RECEIVERS = 12_000, 1000, 2000, 4000  # of a search; of fits that choose, the choice, the last fit
MESSAGES, NODES = 6, 5  # formulas of each half that are composed
DENSEST = 0.2  # share of the haloes beyond which a law is fitted for the second test
WITHIN = 1.06  # of the lowest error on haloes left out: no law is chosen for how it goes on whose error is beyond
PRICE = 0.01  # by which a node of a law has to lower the logarithm of its mean error
SEARCH = SearchOptions(restarts=3, evaluations=60_000, max_complexity=20, progress=False)
STEPS = ("1/(1 + (r/{R})^{P})", "1/(1 + exp({P}*(r - {R})))", "exp(-{R}*r*r)")
FACTORS = ("1.0", "m_j", "(1.0 + m_j)", "v", "(1.0 + v)", "(1.0 + v_j)")
# responses that are tried whatever the search of them finds: a line, and masses and sums that count ever less
PLAIN = ("0.1 + 1.0*s", "0.1 + 1.0*s + 0.1*m_i", "0.1 + s/(1.0 + 0.1*m_i)", "0.1 + s/(1.0 + 0.1*s)")
ROUNDS = ((0.5, 3.3), (1.0, 5.3), (1.0, 12.7))  # radii and powers to start from


@dataclass(frozen=True)
class Found:
    """``law`` in ``units``; ``before``: composed of what was searched, its constants not refitted on overdensities;
    ``live``: components; ``r2``: of the formula of the message, on edges left out of the search, with a factor.
    """

    law: SumLaw
    before: SumLaw
    live: int
    r2: float
    tried: int


def live_components(message: np.ndarray) -> np.ndarray:
    """Numbers of the live components of ``message`` [edge, component], the largest first."""
    size = message_importance(message.astype(float))
    order = np.argsort(-size)
    return order[size[order] > LIVE * size.max()] if size.max() > 0 else order[:0]


def edges_of_messages(arrays: dict, units: Units) -> dict[str, np.ndarray]:
    """``PAIR`` variables [edge] of a messages file, in ``units``."""
    speed = {k: np.linalg.norm(arrays[f"vel_{k}"].astype(float), axis=1) for k in "ij"}
    apart = np.linalg.norm(arrays["vel_i"].astype(float) - arrays["vel_j"], axis=1)
    out = {"r": arrays["r"], "m_i": arrays["mass_i"], "m_j": arrays["mass_j"]}
    out |= {"v_i": speed["i"], "v_j": speed["j"], "v": apart}
    return {k: v.astype(float) / units.factor(k) for k, v in out.items()}


def message_rows(features: dict, message: np.ndarray, seed: int, steps: bool, options: SearchOptions) -> list[Row]:
    """Formulas of ``message`` [edge] from simple to complex; ``loss`` held out, as a share of the variance."""
    names = [n for n in PAIR if n in features]
    order = np.random.default_rng([seed, 73]).permutation(len(message))[:EDGES]
    X, y = np.stack([features[n][order] for n in names], 1), message[order]
    y = y / (y.std() or 1.0)
    front = search(X, y, names, replace(options, seed=seed))
    held, train = np.split(np.arange(len(y)), [len(y) // 5])
    fitted, unseen = (Objective.direct(X[k], y[k], names) for k in (train, held))
    found = [r.expr for r in front.rows]
    if steps:
        found += soft_steps(fitted, names)
    return scored(found, fitted, unseen)


def soft_steps(fitted: Objective, names: Sequence[str]) -> list[sp.Expr]:
    """Soft steps in r, each form with the masses and speeds that suit it, fitted."""
    out = []
    for step, factor in itertools.product(STEPS, FACTORS):
        starts = [parse(f"0.1 + 1.0*{factor}*" + step.format(R=r, P=p), names) for r, p in ROUNDS]
        tried = [fitted.fit(start, 20) for start in starts]
        best = min(tried, key=lambda one: one[1])
        if math.isfinite(best[1]):
            out += [best[0], prune(best[0], fitted)[0]]
    return out


def scored(found: Sequence[sp.Expr], fitted: Objective, unseen: Objective) -> list[Row]:
    """The formulas refitted, as rows of a front by their loss on what is ``unseen``."""
    rows = []
    for expr in found:
        expr, _ = fitted.fit(canonical(expr), 60)
        loss = unseen.score(expr)
        if math.isfinite(loss):
            rows.append(Row(complexity(canonical(expr)), loss, "", expr, loss))
    return pareto(rows)


def node_rows(total: np.ndarray, own: dict, target: np.ndarray, seed: int, options: SearchOptions) -> list[Row]:
    """Formulas of ``target`` [receiver] in s (``total``), m_i and v_i."""
    names = ["s", *OWN]
    X = np.stack([total, *(own[k] for k in OWN)], 1)
    front = search(X, target, names, replace(options, seed=seed, max_complexity=14))
    held, train = np.split(np.random.default_rng([seed, 79]).permutation(len(target)), [len(target) // 5])
    fitted, unseen = (Objective.direct(X[k], target[k], names) for k in (train, held))
    return scored([*(r.expr for r in front.rows), *(parse(text, names) for text in PLAIN)], fitted, unseen)


def from_messages(
    arrays: dict,
    boxes: Sequence[Catalogue],
    cutoff: float,
    units: Units,
    seed: int = 0,
    steps: bool = True,
    options: SearchOptions = SEARCH,
    masks=None,
) -> Found:
    """The law that the messages ``arrays`` (``fields.TARGET_FIELDS``) and the overdensities in ``boxes`` ask for;
    ``masks`` [box][halo]: haloes whose overdensities may be seen. ``UserError`` for messages without a live component.
    """
    live = live_components(arrays["message"])
    if not len(live):
        raise UserError("the messages do not differ from each other: nothing was learnt", "train longer")
    features = edges_of_messages(arrays, units)
    message = arrays["message"][:, live[0]].astype(float)
    rows = message_rows(features, message, seed, steps, options)
    judge = Judge(*(rows_from(boxes, cutoff, units, part) for part in parted(boxes, (FEW, JUDGES), seed, masks)))
    key = np.stack([arrays[k] for k in ("trajectory", "frame", "receiver")])
    _, first, number = np.unique(key, axis=1, return_index=True, return_inverse=True)
    own = {k: features[k][first] for k in OWN}
    target, number = arrays["target_pred_i"][first].astype(float), number.reshape(-1)
    candidates, before = [], None
    some = np.random.default_rng([seed, 83]).permutation(len(target))[:RECEIVERS]
    for k, row in enumerate(reversed(rows[-MESSAGES:])):
        sums = np.bincount(number, value_of(row.expr, features, len(number)), len(target))
        # the node function of the best message serves the others too: they differ by little
        if k == 0:
            size = sums.std() or 1.0
            nodes = node_rows(sums[some] / size, {n: v[some] for n, v in own.items()}, target[some], seed, options)
            s = sp.Symbol("s", real=True)
            before = SumLaw(row.expr, nodes[-1].expr.xreplace({s: s / sp.Float(size)})).normalised()
            exprs = [*(n.expr for n in nodes[-NODES:]), *(parse(text, ["s", *OWN]) for text in PLAIN)]
            nodes = [expr.xreplace({s: s / sp.Float(size)}) for expr in dict.fromkeys(exprs)]
        candidates += [judge.fitted(SumLaw(row.expr, node), 25) for node in nodes]
    candidates = [one for one in candidates if math.isfinite(one.cost)]
    if not candidates:
        raise UserError("no formula of the messages has a finite value on the haloes left out", "search again")
    judge.limit = WITHIN * min(one.inside for one in candidates)
    best = min((one for one in candidates if one.inside <= judge.limit), key=lambda one: one.cost)
    best = min(best, judge.fitted(best.law, 200), key=lambda one: one.cost)
    best = rounded(simplest(best, judge), judge)
    # the choice is made: all haloes that may be seen can be fitted to
    whole = drawn(boxes, cutoff, units, RECEIVERS, seed, masks)
    return Found(fit(best.law, whole, 100), before, len(live), 1 - rows[-1].loss, len(candidates))


class Judged(NamedTuple):
    """A law fitted to the haloes that the judge lets it see, and what counts against it."""

    law: SumLaw
    cost: float
    inside: float  # mean absolute error on haloes left out


class Judge:
    """What laws are chosen by: their errors on haloes left out, and beyond those that they were fitted to.

    Any response that grows is as good as another within the range of the data: among those that fit alike the one is
    wanted that goes on as it began. So a second fit sees only the haloes up to the ``DENSEST`` share, and its error in
    these counts as much as that of the first, where there are any. No law counts whose error on haloes left out is
    beyond ``limit``. All of it on haloes that may be seen.
    """

    limit = math.inf

    def __init__(self, seen: Rows, left_out: Rows):
        limit = np.quantile(seen.delta, 1 - DENSEST)
        self.seen, self.left_out = seen, left_out
        self.below = seen.of(np.flatnonzero(seen.delta <= limit))
        self.beyond = left_out.of(np.flatnonzero(left_out.delta > limit))

    def fitted(self, law: SumLaw, max_nfev: int) -> Judged:
        law = fit(law, self.seen, max_nfev)
        errors = [mean_error(law, self.left_out)]
        if len(self.below) and len(self.beyond):
            errors.append(mean_error(fit(law, self.below, max_nfev), self.beyond))
        logs = [math.log(max(e, 1e-300)) if math.isfinite(e) else math.inf for e in errors]
        cost = sum(logs) / len(logs) + PRICE * law.complexity
        return Judged(law, cost if errors[0] <= self.limit else math.inf, errors[0])


def simplest(best: Judged, judge: Judge) -> Judged:
    """``best`` with terms dropped as long as each pays less than ``PRICE`` a node."""
    while True:
        law = best.law
        ones = [SumLaw(e, law.node) for e in shorter(law.message)] + [SumLaw(law.message, n) for n in shorter(law.node)]
        found = min((judge.fitted(one, 40) for one in ones), key=lambda one: one.cost, default=best)
        if not found.cost < best.cost:
            return best
        best = found


def rounded(best: Judged, judge: Judge) -> Judged:
    """``best`` with exponents that were fitted made the nearest multiples of 1/2, one after the other, where that costs
    no more than a node would have to gain.
    """
    for half in ("message", "node", "message", "node"):
        powers = [p for p in getattr(best.law, half).atoms(sp.Pow) if p.exp.is_Float]
        for power in sorted(powers, key=str):
            exponent = sp.Rational(round(2 * float(power.exp)), 2)
            whole = getattr(best.law, half).xreplace({power: power.base**exponent})
            found = judge.fitted(replace(best.law, **{half: whole}), 100)
            if found.cost <= best.cost + PRICE:
                best = found
                break
    return best
