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
from distill.physics.terms import TERMS
from distill.shell.errors import UserError
from distill.splines import dependence as dependences
from distill.splines.blocks import CURVE, DisplacedBlock, Modulated, candidates, displaced
from distill.splines.coefficients import held_out_errors, of_one_curve
from distill.splines.curves import envelope, space
from distill.splines.dependence import ANY, COEFFICIENTS, FREE, GIVEN, LEVELS, Dependence, OfLevels, Product
from distill.splines.displacement import displacement
from distill.splines.known import Known
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
from distill.splines.selection import (
    EXACT,
    FIRST_SIZES,
    GAINED,
    SMOOTH,
    choose_terms,
    intervals_of,
    predicted_by,
    weights_of,
)
from distill.splines.tails import tails
from distill.statistics.metrics import typical_size

FIRST = 8000  # receivers that choose functions and terms
SIZES = (16, 128, 320)  # and at the end
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
    known: Known | None = None,
) -> PairSpline:
    """Fit to the net forces of all receivers of ``edges`` (``observations`` or a messages file; ``acc_i`` is read).

    ``kinds``: how properties may enter, the best by held-out trajectories: "given" in products, "free" in smooth
    functions of each end's, "any" in products of one end's or of both beside every other term, where the edges have a
    ``motion``. Where particles are of categories, given products are also tried with a curve for every pair of levels
    ("levels"), and with one curve for all times a coefficient each ("coefficients"). ``worth``: share of the held-out
    squared error that a function or term has to be worth; ``among``: names of the further terms that are tried, None
    for all; ``known``: what acts, which "any" takes up unasked. Of windows the fit is made twice: the second one knows
    what frames miss of them by the first. ``UserError`` with fewer than 50 receivers or without any force.
    """
    asked = (kinds, worth, among, known)
    out = _fit(edges, nodes, seed, *asked)
    if "between" in edges:
        noise = np.hypot(edges["acc_noise"], missed_between(edges, nodes, out.force(edges)))
        first, out = out, _fit(edges | {"acc_noise": noise}, nodes, seed, *asked)
        out.about["cpu_seconds"] += first.about["cpu_seconds"]
    return out


def _fit(edges: dict, nodes: Nodes, seed: int, kinds, worth: float, among, known) -> PairSpline:
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
        blocks = _blocks(few, names, unit, central, scale, among, known) if kind == ANY else ()
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
            unasked = known if kind == ANY else None
            tried, missed = choose_terms(ways, x, shape, unit, few, scale, goal, blocks, worth, unasked)
            if any(isinstance(block, Modulated) for block in tried[-1].blocks):  # now the force is known better
                blocks = _blocks(few, names, unit, tried, scale, among, known)
                tried, missed = choose_terms(ways, x, shape, unit, few, scale, goal, blocks, worth, unasked)
            if kind == ANY and not known and (more := _displaced(few, tried, unit, scale, among, seed)):
                more = [*blocks, *more]
                tried, missed = choose_terms(ways, x, shape, unit, few, scale, goal, more, worth, unasked)
            if blocks and found:
                simpler = _best(errors) if _by_levels(errors) else GIVEN
                missed = errors[simpler] * _against(tried, found[simpler], few, scale)
            if missed < (1 - GAINED) * errors.get(kind, np.inf):
                found[kind], errors[kind] = tried, missed * learnt
    best = _best(errors)
    ways, terms, coefficients, first = found[best]
    intervals = intervals_of(SIZES[2], len(ways.functions), SIZES[:2])
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


def _blocks(data: Table, names, unit: float, found: tuple, scale: float, among, known: Known | None) -> list:
    """What is tried beside central forces without a clock, of which ``found`` has the best that there are; where it is
    ``known`` what acts, nothing else.
    """
    if data.motion is None:
        return []
    ways, _, g, of = found
    curves = g[: of.space.size * len(ways.functions)].reshape(len(ways.functions), -1).T

    def radial(ends):
        return (ways(ends) * of.space.values(curves, of.space.log(ends["r"]))).sum(1)

    left = data.target / scale - predicted_by(of, g, data)
    products = dependences.products(data.ends, names).functions
    every = candidates(data, products, names, unit, radial, left)
    if known:
        every = [block for block in every if known.says(block)] + known.displaced(data, products, unit)
    return every if among is None else [block for block in every if block.name in among]


def _displaced(data: Table, found: tuple, unit: float, scale: float, among, seed: int) -> list[DisplacedBlock]:
    """Forces from displaced points, times the products of the radial force in ``found``, if what that leaves asks for
    them.
    """
    ways, _, g, of = found
    left = data.target / scale - predicted_by(of, g, data)
    weight, products = weights_of(data, scale * (data.target / scale - left), scale), ways.functions
    products = [by for by in products if isinstance(by, Product) and not isinstance(by, OfLevels)]
    there = any(isinstance(block, DisplacedBlock) for block in of.blocks)
    if (
        there
        or data.motion is None
        or not products
        or not (among is None or any(n.startswith("displaced") for n in among))
    ):
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
