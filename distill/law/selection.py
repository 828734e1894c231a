"""Which formula becomes the law: every candidate refitted on accelerations, the best repaired, one chosen.

A candidate is judged on receivers of trajectories that took no part in its fit. The simplest formula is
chosen that is not significantly worse than the best there: the difference of two formulas' errors is taken
pair by pair, so a gain that would not repeat on other trajectories does not buy a node. How often the same
formula wins when the trajectories are drawn again, and what the runner-up lacked, is reported with it.
"""

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import sympy as sp

from distill.files.properties import category_of, in_messages, message_fields
from distill.formulas.families import products, propose
from distill.formulas.improve import open_up, prune, round_exponents
from distill.formulas.objective import MAX_CONSTANTS
from distill.formulas.switches import mend, refine_thresholds
from distill.formulas.tree import canonical, complexity, parametrise, with_scales
from distill.formulas.units import ONE, Units
from distill.law.receivers import (
    Receivers,
    acceleration_objective,
    fit_node_terms,
    in_units,
    law_acceleration,
    law_error,
    receiver_errors,
    receivers,
)
from distill.messages import roles
from distill.messages.net_forces import Nodes
from distill.physics.law import Law
from distill.physics.terms import TERMS
from distill.search.front import Row
from distill.splines.blocks import Seen

WORTHLESS = 0.01  # a formula less than this share worse than the best is as good, however sure the difference
SIGNIFICANT = 2.0  # ... or less than this many standard errors of the paired difference, and
AT_MOST = 0.1  # at most by this share: where errors sit in a few close encounters, standard errors are wide
SHARE_OF_NETWORK = 0.05  # rows this much better than the network deserve a repair, simplest first
LARGEST_ROW = 30
STEEP = 5  # exponents from here on are fitted again on accelerations
DRAWS = 200
SMALL, LARGE, HELD_OUT = 800, 8000, 4000  # receivers: to fit candidates, to fit the law, to judge
USUAL_EDGES = 60  # of a receiver, in all frames of its window: of those with more there are fewer,
LEAST_SHARE = 0.25  # but at least so many
CONTROL_SHAPES = (1, -1, -2)  # powers of r: the control starts from each times every product of properties, and
CONTROL_STARTS = 6  # goes on with so many of them, the best, beside what the families of forms give
CONTROL_IS = (
    "the same refit, repair and choice on accelerations, without a network or messages, from every product of the"
    " properties times r, 1/r and 1/r^2 and from the families of radial forms that the searches fit too"
)


@dataclass
class Candidate:
    """A formula with the errors of each held-out receiver."""

    expr: sp.Expr
    errors: np.ndarray
    repaired: bool = False
    error: float = field(init=False)
    complexity: int = field(init=False)

    def __post_init__(self):
        self.error, self.complexity = float(np.mean(self.errors)), complexity(self.expr)


@dataclass
class Refined:
    """The law after selection and refit on accelerations, and how it got there."""

    law: Law
    held_out: float  # mean relative error of the accelerations of receivers left out
    network: float  # the network's, on the same receivers
    receivers: int
    candidates: list[Candidate]
    chosen: int
    why: str
    runner_up: dict | None
    chosen_share: float  # of bootstrap draws of trajectories in which the same formula is chosen
    data: Receivers  # what the constants were fitted on
    cpu_seconds: float

    @property
    def repaired(self) -> bool:
        return self.candidates[self.chosen].repaired


def shared_out(messages: dict, nodes: Nodes, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers in ``nodes`` of the receivers that laws are fitted to and of those that they are chosen on, in random
    order: of the trajectories with these ``roles``, or of two thirds and one third where there are none.
    """
    rng = np.random.default_rng([seed, 5])
    trajectory = messages["trajectory"][nodes.first]
    known = np.unique(trajectory)
    left_out = rng.permutation(known)[: max(1, len(known) // 3)]
    own = roles.roles(messages, seed) or {"choice": left_out, "fit": np.setdiff1d(known, left_out)}
    order = rng.permutation(len(nodes.first))
    fitted, chooses = (order[np.isin(trajectory[order], own[role])] for role in ("fit", "choice"))
    return fitted, chooses


class Ground:
    """The receivers that candidates are fitted and judged on; split by whole trajectories.

    ``units``: those that are right to fit in, of data and formulas that come as they are. The numbers of receivers
    are those of receivers with ``USUAL_EDGES``.
    """

    def __init__(self, messages, nodes, node_terms, seed=0, small=SMALL, large=LARGE, held_out=HELD_OUT, units=ONE):
        fitted, out = shared_out(messages, nodes, seed)
        share = np.clip(USUAL_EDGES * len(nodes.first) / len(nodes.of_edge), LEAST_SHARE, 1.0)
        small, large, held_out = (int(np.ceil(share * count)) for count in (small, large, held_out))
        self.held = receivers(messages, nodes, out[:held_out])
        self.nodes, self.fitted = nodes, fitted[:large]
        self.many = receivers(messages, nodes, self.fitted)
        self.node_terms, self.units = tuple(node_terms), units
        # a constant input tells nothing, and in a repair it would stand in for a constant
        self.properties = in_messages(messages)
        fields = message_fields(self.properties)
        inputs = [v for v, k in fields.items() if v == "r" or (np.ptp(messages[k]) > 0 and category_of(v) is None)]
        self._few, self._inputs = receivers(messages, nodes, fitted[:small]), inputs
        self.unit_charges = bool(np.all(np.abs(messages["charge_i"]) == 1))
        self.dim = self.held.acc.shape[1]
        self._aim()
        miss = np.abs(self.check.weights * (self.held.predicted - self.held.acc).reshape(-1))
        self.network = miss.reshape(-1, self.dim).mean(1)

    def _aim(self) -> None:
        self.fit = acceleration_objective(self._few, self.node_terms, inputs=self._inputs)
        self.check = acceleration_objective(self.held, self.node_terms)

    def beside(self, node_terms: Sequence[str]) -> "Ground":
        """The same receivers for laws with other node terms."""
        other = copy.copy(self)
        other.node_terms = tuple(node_terms)
        other._aim()
        return other

    def viewed(self, view: Callable[[Receivers, int], Receivers], inputs: Sequence[str]) -> "Ground":
        """Of another term: ``view`` of each of the three sets of receivers (by number) has its vectors, its features,
        of which formulas may have the ``inputs``, and the accelerations that are left for it.
        """
        other = copy.copy(self)
        other._few, other.many, other.held = (view(one, k) for k, one in enumerate(self.sets))
        other.node_terms, other._inputs = (), list(inputs)
        other._aim()
        return other

    def resolved_by(self, force: Callable[[Seen], np.ndarray]) -> "Ground":
        """Of windows those in which frames miss little of ``force``, as ``Receivers.resolved_by``."""
        other = copy.copy(self)
        other._few, other.many, other.held = (one.resolved_by(force) for one in self.sets)
        other._aim()
        return other

    def of_predictions(self) -> "Ground":
        """The same receivers with the accelerations that the network predicts in place of those of the data."""
        sets = [replace(one, acc=one.predicted, noise=None) for one in self.sets]
        other = copy.copy(self)
        other._few, other.many, other.held = sets
        other._aim()
        return other

    @property
    def sets(self) -> tuple[Receivers, Receivers, Receivers]:
        """Receivers that candidates are fitted to, that the law is, that decide."""
        return self._few, self.many, self.held

    def within(self, units: Units) -> "Ground":
        """The same receivers with their data in ``units``."""
        other = copy.copy(self)
        other.held, other.many, other._few = (in_units(one, units) for one in (self.held, self.many, self._few))
        other.unit_charges = all(np.all(np.abs(one.features["q_i"]) == 1) for one in (other.held, other.many))
        other.units = ONE
        other._aim()
        return other

    def canonical(self, expr: sp.Expr) -> sp.Expr:
        return canonical(expr, self.unit_charges)

    def polished(self, expr: sp.Expr) -> sp.Expr:
        # a factor that happens to be 1 in a candidate is no structure: it is fitted like the others
        expr, score = open_up(with_scales(self.canonical(expr)), self.fit)
        return self.canonical(round_exponents(expr, self.fit, score)[0])

    def freed(self, expr: sp.Expr, least: float = STEEP) -> sp.Expr | None:
        """``expr`` polished with its exponents from ``least`` on free, None if it has none: messages tell r^-12.5 from
        r^-13 no better than their own error, and the search has rounded what it found.
        """
        free = with_free_exponents(expr, least)
        if free == expr:
            return None
        expr, score = self.fit.fit(with_scales(free))
        return self.canonical(round_exponents(expr, self.fit, score)[0])

    def judged(self, expr: sp.Expr, repaired: bool = False) -> Candidate:
        return Candidate(expr, receiver_errors(expr, self.check, self.dim), repaired)

    def mended(self, expr: sp.Expr, rounds: int) -> Candidate:
        """``expr`` pruned, its structure repaired where that leaves something to gain, pruned again."""
        expr = self.canonical(prune(expr, self.fit, 0.05)[0])
        expr, _ = mend(expr, self.fit, rounds)
        return self.judged(self.canonical(prune(self.polished(expr), self.fit, 0.05)[0]), True)


def with_free_exponents(expr: sp.Expr, least: float = STEEP) -> sp.Expr:
    """``expr`` with its exponents from ``least`` on as constants."""
    steep = [p for p in expr.atoms(sp.Pow) if p.exp.is_Rational and abs(p.exp) >= least and p.base.free_symbols]
    return expr.xreplace({p: sp.Pow(p.base, sp.Float(p.exp), evaluate=False) for p in steep})


def of_data(refined: Refined, ground: Ground, units: Units) -> Refined:
    """``refined``, found within ``units``, for the data of ``ground`` as they are."""
    if units == ONE:
        return refined

    def back(expr):
        return ground.canonical(units.pair_of_data(expr))

    law, second = refined.law, refined.runner_up
    node = {name: value * TERMS[name].unit(units) for name, value in law.node.items()}
    if second is not None:
        second = second | {"expr": (expr := back(second["expr"])), "complexity": complexity(expr)}
    candidates = [Candidate(back(c.expr), c.errors, c.repaired) for c in refined.candidates]
    found = replace(law, pair=back(law.pair), node=node)
    return replace(refined, law=found, candidates=candidates, runner_up=second, data=ground.many)


def refine_on_accelerations(rows: Sequence[Row], ground: Ground, chain: bool, rounds: int = 3) -> Refined:
    """Refit every formula of ``rows`` on accelerations, repair the most promising,
    choose one, and fit it on more receivers. All in the units of the data of ``ground``.

    Raises nothing for formulas that cannot be evaluated: they lose.
    """
    cpu = time.process_time()
    found, chosen = tried_out(rows, ground, rounds)
    law = Law(*final_fit(found[chosen].expr, ground), chain, properties=ground.properties)
    network = float(ground.network.mean())
    return Refined(
        law,
        law_error(law, ground.held),
        network,
        len(ground.held.acc),
        found,
        chosen,
        why(found, chosen, ground),
        runner_up(found, chosen, ground),
        stability(found, chosen, ground),
        ground.many,
        time.process_time() - cpu,
    )


def tried_out(rows: Sequence[Row], ground: Ground, rounds: int = 3) -> tuple[list[Candidate], int]:
    """(all formulas that ``rows`` lead to, refitted and repaired; the number of the one chosen)."""
    tried: dict[sp.Expr, Candidate] = {}

    def add(candidate):
        form = parametrise(candidate.expr)[0]  # the same form twice is one candidate, with its best constants
        known = tried.get(form)
        if known is None or candidate.error < known.error:
            tried[form] = candidate

    for row in rows:
        if complexity(row.expr) <= LARGEST_ROW and row.expr.free_symbols:
            add(ground.judged(ground.polished(row.expr)))
            freed = ground.freed(row.expr)
            if freed is not None:
                add(ground.judged(freed))
    if not tried:  # nothing but constants: the law is a constant force
        add(ground.judged(ground.polished(rows[0].expr)))
    for expr in _worth_repair(list(tried.values()), ground):
        if min(c.error for c in tried.values()) <= ground.check.tiny:
            break
        add(ground.mended(expr, rounds))
        freed = ground.freed(expr, 1)
        if freed is not None:
            add(ground.judged(freed, True))
    found = list(tried.values())
    best = found[choose(found, ground)]
    add(ground.judged(ground.polished(prune(best.expr, ground.fit, 0.05)[0]), best.repaired))
    found = list(tried.values())
    return found, choose(found, ground)


def _worth_repair(candidates, ground) -> list[sp.Expr]:
    """Formulas to repair, most promising first: the choice so far, the simplest that is far better than the
    network, the simplest near the best, the best of the simple ones. What lacks one factor looks poor, so it
    is not enough to repair the best.
    """
    by_size = sorted(candidates, key=lambda c: (c.complexity, c.error))
    best = min(c.error for c in candidates)
    bars = (SHARE_OF_NETWORK * float(ground.network.mean()), 1.1 * best, 2 * best)
    picks = [candidates[choose(candidates, ground)]]
    picks += [next((c for c in by_size if c.error <= bar), None) for bar in bars]
    simple = [c for c in by_size if c.complexity <= 9]
    picks += sorted(simple, key=lambda c: c.error)[:2]
    return list(dict.fromkeys(c.expr for c in picks if c is not None))


def final_fit(expr: sp.Expr, ground: Ground, most: int = MAX_CONSTANTS) -> tuple[sp.Expr, dict]:
    """(pair law, node terms) fitted on ``ground.many``, twice: the second time weighted by what the first
    law predicts instead of by the accelerations themselves, which may be noisy. Of more than ``most`` constants none.
    """
    size, node = None, {}
    expr = with_scales(expr)
    for _ in range(2):
        objective = acceleration_objective(ground.many, ground.node_terms, size)
        expr, _ = objective.fit(expr, most=most)
        expr, _ = refine_thresholds(expr, objective)
        expr = ground.canonical(round_exponents(expr, objective)[0])
        expr, _ = objective.fit(expr, most=most)
        node = fit_node_terms(expr, ground.many, ground.node_terms)
        size = np.linalg.norm(law_acceleration(Law(expr, node, properties=ground.properties), ground.many), axis=1)
        if not np.isfinite(size).all():
            break
    return expr, node


# ---------------------------------------------------------------- the choice


def choose(candidates: Sequence[Candidate], ground: Ground) -> int:
    """Index of the simplest candidate that is not significantly worse than the best."""
    sums, counts = _by_trajectory([c.errors for c in candidates], ground.held.trajectory)
    return int(_picks(candidates, sums, counts, np.ones((1, len(counts))), ground.check.tiny)[0])


def stability(candidates, chosen, ground) -> float:
    """Share of bootstrap draws of the held-out trajectories in which the same formula is chosen."""
    sums, counts = _by_trajectory([c.errors for c in candidates], ground.held.trajectory)
    rng = np.random.default_rng(29)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=DRAWS)
    return float(np.mean(_picks(candidates, sums, counts, drawn, ground.check.tiny) == chosen))


def _by_trajectory(errors, trajectory):
    """Sums of the errors [candidate, trajectory] and numbers of receivers [trajectory]."""
    _, group = np.unique(trajectory, return_inverse=True)
    return np.stack([np.bincount(group, np.minimum(e, 1e6)) for e in errors]), np.bincount(group)


def _picks(candidates, sums, counts, weights, tiny) -> np.ndarray:
    """The choice for every row of ``weights`` [draw, trajectory]."""
    total = weights @ counts
    means = weights @ sums.T / total[:, None]  # [draw, candidate]
    best = means.argmin(1)
    order = sorted(range(len(candidates)), key=lambda k: (candidates[k].complexity, candidates[k].error))
    out = best.copy()
    for d, b in enumerate(best):
        worse = means[d] - means[d, b]
        spread = (sums - sums[b]) - worse[:, None] * counts  # the paired difference of each trajectory
        error = np.sqrt((weights[d] * spread**2).sum(1)) / total[d]
        alike = (worse <= SIGNIFICANT * error) & (worse <= AT_MOST * means[d, b])
        fine = (worse <= WORTHLESS * means[d, b]) | alike | (means[d] <= tiny)
        out[d] = next(k for k in order if fine[k])
    return out


def why(candidates, chosen, ground) -> str:
    one = candidates[chosen]
    text = (
        f"simplest of {len(candidates)} formulas that is not significantly worse than the best on"
        f" {len(ground.held.acc)} receivers of trajectories left out: mean relative error {one.error:.3g},"
        f" lowest {min(c.error for c in candidates):.3g}, network {ground.network.mean():.3g}"
    )
    return text + ("; its structure was repaired on accelerations" if one.repaired else "")


def runner_up(candidates, chosen, ground) -> dict | None:
    """The formula that would have been chosen without the winner, and why it lost."""
    rest = [k for k in range(len(candidates)) if k != chosen]
    if not rest:
        return None
    second, first = candidates[rest[choose([candidates[k] for k in rest], ground)]], candidates[chosen]
    about = {"held_out": second.error, "why_it_lost": why_it_lost(second, first)}
    return {"expr": second.expr, "complexity": second.complexity} | about


def why_it_lost(second, first) -> str:
    """Of two candidates, in words."""
    nodes = second.complexity - first.complexity
    if second.error > first.error and not np.isclose(second.error, first.error, rtol=0.01):
        ratio = second.error / max(first.error, 1e-300)
        times = f"{ratio:.3g} times" if ratio < 1e4 else "more than 10,000 times"
        reason = f"its error on receivers left out is {times} the law's"
    else:
        reason = "it fits receivers left out no better"
    which = "more" if nodes > 0 else "less"
    return reason + (f", with {abs(nodes)} node{'s' * (abs(nodes) > 1)} {which}" if nodes else "")


# ---------------------------------------------------------------- the control


def control(ground: Ground, chain: bool) -> Refined:
    """The same refit, repair and choice without messages: what accelerations alone give away (``CONTROL_IS``). Only a
    law that this does not find is evidence for the network.
    """
    cpu = time.process_time()
    found = refine_on_accelerations([Row(0, 0.0, "", e) for e in control_starts(ground)], ground, chain, rounds=5)
    return replace(found, cpu_seconds=time.process_time() - cpu)


def control_starts(ground: Ground) -> list[sp.Expr]:
    """Formulas from the accelerations alone, most promising last: products of properties times powers of r, each with
    its scale fitted, and what the families give.
    """
    objective = ground.fit
    r = objective.symbols[objective.names.index("r")]
    tried: list[tuple] = []
    for product, power in itertools.product(products(objective), CONTROL_SHAPES):
        expr, score = objective.fit(sp.Float(0.1) * product * r**power)
        tried.append((score, len(tried), expr))
    best = [expr for _, _, expr in sorted(tried)[:CONTROL_STARTS]]
    return [*best[::-1], *propose(objective)]
