"""The pair force that net forces alone determine: ``fit_pair_force``.

    m_i a_i = sum_j sum_p phi_p(p_i, p_j) c_p(r) (x_i - x_j)/r + node terms + blocks

with the curves c_p in splines. All unknowns enter linearly. A few receivers choose the products phi_p, the node terms
and whether products are enough; all of them then determine the curves, as smooth as held-out trajectories want them.
Where it is known how particles move (``blocks.with_motion``) and central forces do not tell all, every other term of a
law is tried too.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from distill.files.properties import numerical, of_receivers, property_named
from distill.messages.net_forces import Nodes, missed_between, relative_l1
from distill.messages.read_out import THIRD_LAW
from distill.physics.terms import CONSTANT, ELIMINATION, TERMS
from distill.shell.errors import UserError
from distill.splines import dependence as dependences
from distill.splines.blocks import CURVE, DisplacedBlock, Modulated, candidates, displaced, finer, forces
from distill.splines.coefficients import held_out_errors, of_one_curve
from distill.splines.curves import envelope, space
from distill.splines.dependence import ANY, COEFFICIENTS, FREE, GIVEN, LEVELS, Dependence, OfLevels, Product
from distill.splines.displacement import displacement
from distill.splines.normal_equations import (
    Model,
    Normal,
    Table,
    held_out,
    model,
    normal_equations,
    penalty,
    solve,
    table,
    typical,
)
from distill.splines.pair_spline import Further, PairSpline
from distill.splines.tails import tails
from distill.statistics.metrics import typical_size

SMOOTH = 10.0 ** np.arange(-14, 1)  # strengths of the penalty that are tried
FIRST = 8000  # receivers that choose functions and terms
# fewest and most intervals of a curve, and columns of all curves together, about: for the weights, for the choice
FIRST_SIZES = ((8, 24, 200), (8, 64, 640))
SIZES = (16, 128, 320)  # and at the end
ROUNDS = 3  # of robust weights
MEDIAN_OF_NOISE = 0.7  # median over mean of the square of two or three Gaussian numbers, roughly
HUBER = 2.0  # residuals of more median residuals than that count less
EXACT = 1e-4  # relative error that no weight goes below and that no term is worth keeping for
ENOUGH = 5e-4  # the same where there are terms of all kinds
GAINED = 3e-3  # share of the held-out squared error that a function or term has to be worth, and in every fold
WEIGHED = 40_000  # receivers whose fit gives the weights of all
PAIRS = 40  # that stand for all where free functions are continued
HALVINGS = 3  # numbers of knots that are tried, each half the one before
POWERS = np.arange(-2, 3.01, 0.25)  # of a sender's positive property
# of the held-out error that coefficients for pairs of levels, and curves for them, must come down to
TOLD_APART = {COEFFICIENTS: 0.98, LEVELS: 0.9}
BETTER = 0.8  # of the given products' held-out error that free functions must come down to


def fit_pair_force(
    edges: dict,
    nodes: Nodes,
    seed: int = 0,
    kinds=(GIVEN, FREE),
    worth: float = GAINED,
    among: Collection[str] | None = None,
) -> PairSpline:
    """Fit to the net forces of all receivers of ``edges`` (``observations`` or a messages file; ``acc_i`` is read).

    ``kinds``: how properties may enter, the best by held-out trajectories: "given" in products, "free" in smooth
    functions of each end's, "any" in products of one end's or of both beside every other term, where the edges have a
    ``motion``. Where particles are of categories, given products are also tried with a curve for every pair of levels
    ("levels"), and with one curve for all times a coefficient each ("coefficients"). ``worth``: share of the held-out
    squared error that a function or term has to be worth; ``among``: names of the further terms that are tried, None
    for all. Of windows the fit is made twice: the second one knows what frames miss of them by the first. ``UserError``
    with fewer than 50 receivers or without any force.
    """
    out = _fit(edges, nodes, seed, kinds, worth, among)
    if "between" in edges:
        noise = np.hypot(edges["acc_noise"], missed_between(edges, nodes, out.force(edges)))
        first, out = out, _fit(edges | {"acc_noise": noise}, nodes, seed, kinds, worth, among)
        out.about["cpu_seconds"] += first.about["cpu_seconds"]
    return out


def _fit(edges: dict, nodes: Nodes, seed: int, kinds, worth: float, among) -> PairSpline:
    started = time.process_time()
    data = table(edges, nodes, seed)
    if len(data) < 50:
        raise UserError(f"{len(data)} receivers are too few for a fit of the pair force (at least 50)")
    size = np.linalg.norm(data.target, axis=1)
    if not size.max() > 0:
        raise UserError("all accelerations are zero: there is no force to fit")
    unit = float(np.median(data.r))
    scale = typical_size(size)
    near = np.log(data.nearest() / unit)
    shape = envelope(near, size / scale)
    x = np.log(data.r / unit)
    few = data.some(FIRST, seed)
    found, errors = {}, {}
    varied = dependences.varying(of_receivers(edges))
    names, levels = numerical(varied), dependences.levels_in(varied)
    kinds = [k for kind in kinds for k in ((kind, LEVELS, COEFFICIENTS) if kind == GIVEN and levels else (kind,))]
    for kind in kinds:
        if found and min(errors.values()) <= 10 * EXACT and kind != COEFFICIENTS:
            continue  # nothing is left to be found
        central = found.get(_best(errors) if _by_levels(errors) else GIVEN)
        blocks = _blocks(few, names, unit, central, scale, among) if kind == ANY else ()
        learnt = 1.0  # factor on the error for what all trajectories were used for
        if kind == COEFFICIENTS:
            tried_ways, learnt = _one_curve(found, few, scale)
        elif kind == LEVELS:
            tried_ways = _of_levels(found, few, names, levels)
        elif kind == ANY and _by_levels(errors):
            own = _numbers_in(found[LEVELS][0], names)
            tried_ways = [dependences.by_levels(few.ends, own, levels, True, ANY)]
        else:
            tried_ways = _ways(kind, few, names, shape, unit)
        for ways in tried_ways:
            if kind == LEVELS and errors.get(kind, np.inf) <= 10 * EXACT:
                continue  # action is reaction
            goal = BETTER * errors.get(GIVEN, np.inf)
            tried, missed = _chosen(ways, x, shape, unit, few, scale, goal, blocks, worth)
            if any(isinstance(block, Modulated) for block in tried[-1].blocks):  # now the force is known better
                blocks = _blocks(few, names, unit, tried, scale, among)
                tried, missed = _chosen(ways, x, shape, unit, few, scale, goal, blocks, worth)
            if kind == ANY and (more := _displaced(few, tried, unit, scale, among, seed)):
                tried, missed = _chosen(ways, x, shape, unit, few, scale, goal, [*blocks, *more], worth)
            if blocks and found:
                simpler = _best(errors) if _by_levels(errors) else GIVEN
                missed = errors[simpler] * _against(tried, found[simpler], few, scale)
            if missed < (1 - GAINED) * errors.get(kind, np.inf):
                found[kind], errors[kind] = tried, missed * learnt
    best = _best(errors)
    ways, terms, coefficients, first = found[best]
    intervals = _intervals(SIZES[2], len(ways.functions), SIZES[:2])
    fine = model(space(x, intervals, shape, unit), ways, terms, data, first.blocks)
    out, about = _smoothed(fine, data, (first, coefficients), scale, seed)
    about |= {
        "why": _why(best, errors),
        "dependence": best,
        "functions": ways.names,
        "held_out_by_dependence": errors,
        "receivers": len(data),
        "edges": len(data.r),
        "cpu_seconds": time.process_time() - started,
    }
    out.about = about
    return out


def _against(fit: tuple, other: tuple, data: Table, scale: float) -> float:
    """Held-out relative error of a fit over that of an ``other``, with the robust weights of the first: each takes for
    outliers what it can't say, such as a wall that few particles reach, and would be the better by its own.
    """
    weight, errors = weights_of(data, predicted_by(fit[-1], fit[2], data) * scale, scale), []
    for _, _, _, of in (fit, other):
        normal = normal_equations(of, data, weight, scale)
        rough = penalty(of, normal.moment.shape[1])
        errors.append(min(typical(held_out(normal, rough, s)) for s in SMOOTH[4:13:4]))
    return float(np.sqrt(errors[0] / errors[1]))


def _by_levels(errors: dict) -> bool:
    """Whether the force depends on the levels of categories."""
    return LEVELS in errors and _best(errors) in (LEVELS, COEFFICIENTS)


def _one_curve(found: dict, data: Table, scale: float) -> tuple[list[Dependence], float]:
    """(one curve for all pairs of levels, where these were found to have some of their own; how much larger held-out
    errors are where the coefficients too are of the other folds alone).
    """
    if LEVELS not in found:
        return [], 1.0
    _, _, g, of = found[LEVELS]
    normal = normal_equations(of, data, weights_of(data, predicted_by(of, g, data) * scale, scale), scale)
    rough = penalty(of, normal.moment.shape[1])
    smooth = min(SMOOTH[4:13:4], key=lambda s: typical(held_out(normal, rough, s)))
    one = of_one_curve(of, normal, g, smooth)
    if one is None:
        return [], 1.0
    together, apart = held_out_errors(of, normal, g, smooth)
    return [one], float(np.sqrt(max(1.0, typical(apart) / typical(together))))


def _best(errors: dict) -> str:
    """The simplest kind that others are not clearly better than. Of "any" and "levels" every function and term was
    asked for.
    """
    if LEVELS in errors:
        best = GIVEN
        for kind, bar in TOLD_APART.items():
            if kind in errors and errors[kind] < bar * errors[best] and errors[best] > 10 * EXACT:
                best = kind
        for kind, bar in ((FREE, BETTER), (ANY, 1 - GAINED)):
            if kind in errors and errors[kind] < bar * errors[best]:
                best = kind
        return best
    best = min(errors, key=errors.get)
    if best == FREE and ANY in errors and errors[FREE] > BETTER * errors[ANY]:
        best = ANY
    enough = 1 - GAINED if best == ANY else BETTER
    return GIVEN if GIVEN in errors and errors[best] > enough * errors[GIVEN] else best


def _blocks(data: Table, names, unit: float, found: tuple, scale: float, among) -> list:
    """What is tried beside central forces without a clock, of which ``found`` has the best that there are."""
    if data.motion is None:
        return []
    ways, _, g, of = found
    curves = g[: of.space.size * len(ways.functions)].reshape(len(ways.functions), -1).T

    def radial(ends):
        return (ways(ends) * of.space.values(curves, of.space.log(ends["r"]))).sum(1)

    left = data.target / scale - predicted_by(of, g, data)
    every = candidates(data, dependences.products(data.ends, names).functions, names, unit, radial, left)
    return every if among is None else [block for block in every if block.name in among]


def _displaced(data: Table, found: tuple, unit: float, scale: float, among, seed: int) -> list[DisplacedBlock]:
    """Forces from displaced points, times the products of the radial force in ``found``, if what that leaves asks for
    them.
    """
    ways, _, g, of = found
    left = data.target / scale - predicted_by(of, g, data)
    weight, products = weights_of(data, scale * (data.target / scale - left), scale), ways.functions
    products = [by for by in products if isinstance(by, Product) and not isinstance(by, OfLevels)]
    if data.motion is None or not products or not (among is None or any(n.startswith("displaced") for n in among)):
        return []
    for by in sorted(products, key=lambda by: -len(by.terms[0])):
        centre = displacement(data, by(data.ends), left, weight, seed)
        if centre is not None:
            return [displaced(data.seen, by, CURVE, unit, centre)]
    return []


def _why(best: str, errors: dict) -> str:
    words = {LEVELS: "those of each pair of levels", COEFFICIENTS: "one curve times coefficients"}
    told = [f"{100 * errors[k]:.3g} % by {words.get(k, f'{k} functions')}" for k in sorted(errors, key=best.__ne__)]
    note = "; the simpler ones, where the others are not clearly better" if errors[best] > min(errors.values()) else ""
    return f"held-out net forces missed: {', '.join(told)} of the properties{note}"


def kinds_where(doubted: Collection[str], edges: dict) -> tuple[str, ...]:
    """``kinds`` for data whose third law is among the ``doubted`` assumptions (``MessagesRecord``), or is not: given
    products have it built in. Without a property that varies there are no others.
    """
    free = THIRD_LAW in doubted and dependences.varying(of_receivers(edges))
    return (FREE,) if free else (GIVEN, FREE)


def _intervals(columns: int, functions: int, limits) -> int:
    """Intervals of the curves, a multiple of 4: that many ``columns`` in all, within ``limits``."""
    return int(np.clip(columns // functions - 3, *limits)) // 4 * 4


def _of_levels(found: dict, data: Table, names, levels) -> Iterator[Dependence]:
    """Functions of every pair of levels, action being reaction, and where it is not: these of the properties that the
    former were ``found`` to depend on, or there would be too many.
    """
    yield dependences.by_levels(data.ends, names, levels, False)
    if LEVELS in found:
        yield dependences.by_levels(data.ends, _numbers_in(found[LEVELS][0], names), levels, True)


def _numbers_in(ways: Dependence, names) -> list[str]:
    """Those of the properties ``names`` that products for pairs of levels hold."""
    held = {variable for f in ways.functions for term in f.terms for variable in term}
    return [name for name in names if held & set(property_named(name).variables)]


def _ways(kind: str, data: Table, names, shape, unit: float) -> list[Dependence]:
    """What is tried of this kind, fewest functions first: free functions of some of the properties or of all."""
    if kind == GIVEN:
        return [dependences.products(data.ends, names)]
    if kind == ANY:
        return [dependences.one_sided(data.ends, names)]
    powers, out = _powers(data, names, shape, unit), []
    for count in range(1, len(names) + 1):
        for some in combinations(names, count):
            ways = dependences.tensor(data.ends, some, powers, 2 if count == 1 else 1)
            if len(ways.functions) * (FIRST_SIZES[0][0] + 3) <= FIRST_SIZES[1][2]:
                out.append(ways)
    return out


def _powers(data: Table, names, shape, unit: float) -> dict:
    """Powers of positive properties of both ends in net forces, variable -> power, roughly: those with which the
    envelope of the force comes closest to the sizes of net forces. Free functions are then of order one.
    """
    size, out = np.linalg.norm(data.target, axis=1), {}
    use = size > 0
    pull = shape(np.log(data.r / unit))[:, None] * data.unit
    for name in (n for n in names if property_named(n).positive):
        own, other = property_named(name).variables
        receiver, best = np.log(data.ends[own][data.start[:-1]][use]), (np.inf, 0.0, 0.0)
        sender = data.ends[other] / typical_size(data.ends[other])
        for power in POWERS:
            sums = np.linalg.norm(data.sum(pull * sender[:, None] ** power), axis=1)
            some = sums[use] > 0
            x = np.log(sums[use][some])
            design = np.column_stack([np.ones(len(x)), x, x**2, receiver[some]])
            y, root = np.log(size[use][some]), np.ones(len(x))
            for _ in range(5):
                found = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
                error = np.abs(y - design @ found)
                root = 1 / np.sqrt(np.maximum(error, np.median(error) + 1e-9))
            if error.mean() < best[0]:
                best = (error.mean(), found[3], power)
        out |= {own: round(float(np.clip(best[1], -4, 4)), 2), other: float(best[2])}
        pull = pull * sender[:, None] ** best[2]
    return out


def weights_of(data: Table, predicted: np.ndarray | None, scale: float) -> np.ndarray:
    """Weight [receiver] of squared residuals: relative to the size predicted, as noise in the target must not decide
    its own weight, and less for those far off. What noise alone makes of a target, where it is known, is no less
    expected than an error in proportion to it. Before anything is ``predicted`` sizes are those of the targets.
    """
    size = scale + np.linalg.norm(data.target if predicted is None else predicted, axis=1)
    noise = np.sqrt(data.dim) * data.noise
    if predicted is None:
        return (scale / np.hypot(size, noise)) ** 2
    left = np.linalg.norm(data.target - predicted, axis=1)
    base = scale / size
    if noise.any():
        beside = noise / _relative_error(left, size, noise)
        base = np.hypot(scale, np.median(beside)) / np.hypot(size, beside)
    error = left / scale * base
    limit = HUBER * max(float(np.median(error)), EXACT)
    return base**2 * np.minimum(1.0, limit / np.maximum(error, 1e-300))


def _relative_error(left: np.ndarray, size: np.ndarray, noise: np.ndarray) -> float:
    """The share rho of ``size`` that, beside the ``noise``, the residuals ``left`` [receiver] have: the median of
    left^2 - noise^2 - (rho size)^2 is zero, or rho is ``EXACT``.
    """
    excess = np.median((left**2 / MEDIAN_OF_NOISE - noise**2) / size**2)
    return float(max(np.sqrt(max(excess, 0.0)), EXACT))


def predicted_by(of: Model, coefficients: np.ndarray, data: Table) -> np.ndarray:
    """Net forces over the scale [receiver, dim]."""
    size, count = of.space.size, len(of.dependence.functions)
    curves = coefficients[: size * count].reshape(count, size).T
    radial = np.empty(len(data.r))
    for low in range(0, len(radial), 100_000):
        part = slice(low, low + 100_000)
        values = of.space.values(curves, of.space.log(data.r[part]))
        radial[part] = (of.dependence({k: v[part] for k, v in data.ends.items()}) * values).sum(1)
    node, at = of.node_columns(data.state), size * count
    out = data.sum(radial[:, None] * data.unit) + node @ coefficients[at : at + node.shape[2]]
    at += node.shape[2]
    for block in of.blocks:
        out = out + data.sum(forces(block, coefficients[at : at + block.size], data.seen))
        at += block.size
    return out


def _chosen(
    ways: Dependence, x, shape, unit, data: Table, scale: float, goal: float, blocks=(), worth: float = GAINED
) -> tuple[tuple, float]:
    """As ``_selected``; what is taken up of ``blocks`` is asked again with more knots: a term may stand in for what
    the curves of another are too coarse to say.
    """
    found, error = _selected(ways, x, shape, unit, data, scale, goal, blocks, worth=worth)
    if chosen := found[-1].blocks:
        again = found[0], x, shape, unit, data, scale, goal, finer(chosen, data.seen), found[1]
        found, error = _selected(*again, worth=worth)
    return found, error


def _selected(
    ways: Dependence, x, shape, unit, data: Table, scale: float, goal: float, blocks=(), terms=CONSTANT, worth=GAINED
) -> tuple[tuple, float]:
    """((dependence, terms, coefficients, model), held-out relative error) of the functions, node terms and blocks that
    are taken up one after the other, each time the one that the held-out error gains most by. Free functions belong
    together; where they do not reach the error ``goal`` with all node terms, no choice among these is made.
    """
    count, predicted, rounds = len(ways.functions), None, 1 if ways.kind == FREE else ROUNDS
    for fewest, most, columns in (FIRST_SIZES[0],) * rounds + FIRST_SIZES[1:]:
        first = model(space(x, _intervals(columns, count, (fewest, most)), shape, unit), ways, terms, data, blocks)
        weight = weights_of(data, predicted, scale)
        normal = normal_equations(first, data, weight, scale)
        rough = penalty(first, normal.moment.shape[1])
        if columns == FIRST_SIZES[0][2]:
            errors = [typical(held_out(normal, rough, s)) for s in SMOOTH[::3]]
            smooth = SMOOTH[::3][int(np.argmin(errors))]
            g = solve(normal.gram.sum(0), normal.moment.sum(0), rough, smooth, normal.rows.sum())
            predicted = predicted_by(first, g, data) * scale
    groups, size = _groups(first, data.dim), first.space.size

    def error(names):
        at = np.concatenate([groups[n] for n in names])
        own, part = normal.columns(at), rough[np.ix_(at, at)]
        return min((held_out(own, part, s) for s in SMOOTH[4:13:4]), key=typical)

    all_of = [n for n in groups if n[0] == "function"] if ways.kind == FREE else []
    kept, floor = list(all_of), (ENOUGH if blocks else EXACT) ** 2 / data.dim
    best = error(kept) if kept else np.full(1, np.inf)
    if kept and np.sqrt(data.dim * typical(error(list(groups)))) > goal:
        groups = {n: groups[n] for n in kept}
    while typical(best) > floor:
        trials = {n: error([*kept, n]) for n in groups if n not in kept and (kept or n[0] == "function")}
        gains = {n: e for n, e in trials.items() if typical(e) < (1 - worth) * typical(best) and (e <= best).all()}
        if not gains:
            break
        # of terms that are the same here, with equal masses, the one that others drop last
        least = min(map(typical, gains.values()))
        add = max((n for n in gains if typical(gains[n]) <= max((1 + 1e-6) * least, floor)), key=_rank)
        kept, best = [*kept, add], gains[add]
    levels = isinstance(first.dependence.functions[0], OfLevels)
    if levels:  # now one by one
        groups |= {("function", (k,)): np.arange(k * size, (k + 1) * size) for k in range(count)}
        kept = [one for n in kept for one in ([("function", (k,)) for k in n[1]] if n[0] == "function" else [n])]
        groups = {n: at for n, at in groups.items() if n[0] != "function" or len(n[1]) == 1}
    while True:  # what others have made needless, the least missed first; else functions where a constant will do
        some = [n for n in kept if n not in all_of and (n != kept[0] or (levels and len(kept) > 1))]
        bar = max((1 + worth) * typical(best), floor)
        fewer = [[other for other in kept if other != n] for n in some]
        unused = [n for n in groups if n[0] == "term" and n not in kept]
        plainer = [[*rest, c] for n, rest in zip(some, fewer, strict=True) if n[0] == "block" for c in unused]
        for ways_out in (fewer, plainer):
            trials = [(error(names), names) for names in ways_out]
            least, smaller = min(trials, key=lambda trial: typical(trial[0]), default=(np.full(1, np.inf), kept))
            if typical(least) <= bar:
                break
        else:
            break
        kept, best = smaller, min(best, least, key=typical)
    kept = [n for n in groups if n in kept]
    at = np.concatenate([groups[n] for n in kept])
    own, part, rows = normal.columns(at), rough[np.ix_(at, at)], normal.rows.sum()
    smooth = min(SMOOTH[4:13:4], key=lambda s: typical(held_out(own, part, s)))
    g = solve(own.gram.sum(0), own.moment.sum(0), part, smooth, rows)
    chosen = first.dependence.only(sorted(k for kind, some in kept if kind == "function" for k in some))
    terms = tuple(n for kind, n in kept if kind == "term")
    left = tuple(first.blocks[k] for kind, k in kept if kind == "block")
    smaller = replace(first, dependence=chosen, terms=terms, blocks=left)
    return (chosen, terms, g, smaller), float(np.sqrt(data.dim * typical(held_out(own, part, smooth))))


def _groups(of: Model, dim: int) -> dict:
    """What may be taken up or dropped as a whole -> its columns: functions of given products, those of all pairs of
    levels together, node terms, blocks.
    """
    size, out, alike = of.space.size, {}, {}
    for k, function in enumerate(of.dependence.functions):
        alike.setdefault(function.numbers.name if isinstance(function, OfLevels) else k, []).append(k)
    for some in alike.values():
        out["function", tuple(some)] = np.concatenate([np.arange(k * size, (k + 1) * size) for k in some])
    at = size * len(of.dependence.functions)
    for name in of.terms:
        width = TERMS[name].width(dim)
        out["term", name] = np.arange(at, at + width)
        at += width
    for k, block in enumerate(of.blocks):
        out["block", k] = np.arange(at, at + block.size)
        at += block.size
    return out


def _rank(group) -> int:
    kind, name = group
    return ELIMINATION.index(name) if kind == "term" else -1


@dataclass(frozen=True)
class _Fit:
    """One fit: coefficients over ``scale``, and the normal equations and penalty that they solve."""

    of: Model
    normal: Normal
    rough: np.ndarray
    smooth: float
    error: float  # mean weighted squared error held out

    def coefficients(self, without: int | None = None) -> np.ndarray:
        """Of all folds, or of all but one."""
        n = self.normal
        gram, moment, rows = n.gram.sum(0), n.moment.sum(0), n.rows.sum()
        if without is not None:
            gram, moment, rows = gram - n.gram[without], moment - n.moment[without], rows - n.rows[without]
        return solve(gram, moment, self.rough, self.smooth, rows)

    def covariance(self) -> np.ndarray:
        matrix = self.normal.gram.sum(0) + self.normal.rows.sum() * self.smooth * self.rough
        matrix[np.diag_indices_from(matrix)] += 1e-13 * np.trace(matrix) / len(matrix)
        return np.linalg.pinv(matrix, hermitian=True) * self.error


def _smoothest(fine: Model, data: Table, predicted: np.ndarray, scale: float, strengths) -> _Fit:
    """With the smoothness among ``strengths`` and the number of knots that held-out trajectories want."""
    normal = normal_equations(fine, data, weights_of(data, predicted, scale), scale)
    at, functions, levels = fine, len(fine.dependence.functions), []
    while True:
        rough = penalty(at, normal.moment.shape[1])
        errors = [typical(held_out(normal, rough, s)) for s in strengths]
        levels.append(_Fit(at, normal, rough, float(strengths[int(np.argmin(errors))]), float(min(errors))))
        if len(levels) == HALVINGS or len(at.space.breaks) - 1 < 16 or len(at.space.breaks) % 2 == 0:
            return min(levels, key=lambda fit: fit.error)
        coarse, back = at.space.coarser()
        wide, narrow = functions * at.space.size, functions * coarse.size
        nodes = normal.moment.shape[1] - wide
        to = np.zeros((wide + nodes, narrow + nodes))
        to[:wide, :narrow], to[wide:, narrow:] = np.kron(np.eye(functions), back), np.eye(nodes)
        normal, at = normal.mapped(to), replace(at, space=coarse)


def _smoothed(fine: Model, data: Table, first: tuple[Model, np.ndarray], scale: float, seed: int) -> tuple:
    """(the fit of all receivers, what is told of it). ``first``: a model and coefficients that give its weights."""
    dim, some = data.dim, data.some(WEIGHED, seed)
    fit = _smoothest(fine, some, predicted_by(*first, some) * scale, scale, SMOOTH[2::4])
    fit = _smoothest(fine, data, predicted_by(fit.of, fit.coefficients(), data) * scale, scale, SMOOTH)
    at, g = fit.of, fit.coefficients()
    functions, size = len(at.dependence.functions), at.space.size
    curves = g[: size * functions].reshape(functions, size).T * scale
    sides = _tails(fit, curves, scale, data)
    values, k = {}, size * functions
    for name in at.terms:
        width = TERMS[name].width(dim)
        values[name], k = TERMS[name].value(g[k : k + width] * scale / at.sizes[name]), k + width
    further = []
    for block in at.blocks:
        further.append(Further(block, g[k : k + block.size] * scale))
        k += block.size
    about = {"intervals": len(at.space.breaks) - 1, "smoothness": fit.smooth}
    about |= {"range": [float(np.exp(v) * at.space.unit) for v in at.space.breaks[[0, -1]]]}
    error = _held_out_error(fit, data, scale)
    return PairSpline(at.space, at.dependence, curves, *sides, values, error, further=further), about


def _held_out_error(fit: _Fit, data: Table, scale: float) -> float:
    """Mean |residual| / (c + |T|) of net forces, each by the fit to the other folds."""
    folds, out = np.flatnonzero(fit.normal.rows), []
    for k in folds:
        held = data.of(np.flatnonzero(data.fold == k))
        out.append(relative_l1(predicted_by(fit.of, fit.coefficients(k), held) * scale, held.target, scale))
    return float(np.average(out, weights=fit.normal.rows[folds]))


def _tails(fit: _Fit, curves, scale: float, data: Table) -> tuple[list, list]:
    """Tails of every function; free ones, which mean something together only, have those of the force on some pairs."""
    of, covariance, noise = fit.of, fit.covariance(), float(np.sqrt(data.dim * fit.error))
    size, count = of.space.size, curves.shape[1]

    def both(factors):  # of the root mean square over rows of factors [pair, function]
        def value(x):
            forces = of.space.values(curves, x) @ factors.T
            return forces[:, 0] if len(factors) == 1 else np.sqrt((forces**2).mean(1))

        def error(x):
            rows, out = of.space.matrix(x).toarray(), 0.0
            for factor in factors:
                used = np.flatnonzero(factor)
                pick = np.concatenate([np.arange(k * size, (k + 1) * size) for k in used])
                columns = np.hstack([factor[k] * rows for k in used])
                out = out + np.maximum(((columns @ covariance[np.ix_(pick, pick)]) * columns).sum(1), 0.0)
            return scale * np.sqrt(out / len(factors))

        return tails(value, error, of.space.breaks, noise)

    if of.dependence.kind != FREE:
        sides = [both(one) for one in np.eye(count)[:, None]]
    else:
        some = np.linspace(0, len(data.r) - 1, PAIRS).astype(int)
        sides = [both(of.dependence({k: v[some] for k, v in data.ends.items()}))] * count
    return [inward for inward, _ in sides], [outward for _, outward in sides]
