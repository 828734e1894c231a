"""Which functions and terms a fit of the pair force takes up, and how much each of the residuals counts.

Each time the one that the held-out error gains most by, from the products of properties, the terms of a node and the
further blocks that there are; with weights that know what the fit before predicts.
"""

from dataclasses import replace

import numpy as np

from distill.physics.terms import CONSTANT, ELIMINATION, TERMS
from distill.splines.blocks import finer, force_of
from distill.splines.curves import space
from distill.splines.dependence import FREE, Dependence, OfLevels
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
    typical,
)

SMOOTH = 10.0 ** np.arange(-14, 1)  # strengths of the penalty that are tried
# fewest and most intervals of a curve, and columns of all curves together, about: for the weights, for the choice
FIRST_SIZES = ((8, 24, 200), (8, 64, 640))
ROUNDS = 3  # of robust weights
MEDIAN_OF_NOISE = 0.7  # median over mean of the square of two or three Gaussian numbers, roughly
HUBER = 2.0  # residuals of more median residuals than that count less
EXACT = 1e-4  # relative error that no weight goes below and that no term is worth keeping for
ENOUGH = 5e-4  # the same where there are terms of all kinds
GAINED = 3e-3  # share of the held-out squared error that a function or term has to be worth, and in every fold


def intervals_of(columns: int, functions: int, limits) -> int:
    """Intervals of the curves, a multiple of 4: that many ``columns`` in all, within ``limits``."""
    return int(np.clip(columns // functions - 3, *limits)) // 4 * 4


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
        out = out + force_of(block, coefficients[at : at + block.size], data.seen, data.start)
        at += block.size
    return out


def choose_terms(
    ways: Dependence, x, shape, unit, data: Table, scale: float, goal: float, blocks=(), worth=GAINED, known=None
) -> tuple[tuple, float]:
    """As ``_selected``; what is taken up of ``blocks`` is asked again with more knots: a term may stand in for what
    the curves of another are too coarse to say.
    """
    found, error = _selected(ways, x, shape, unit, data, scale, goal, blocks, worth=worth, known=known)
    if chosen := found[-1].blocks:
        again = found[0], x, shape, unit, data, scale, goal, finer(chosen, data.seen), found[1]
        found, error = _selected(*again, worth=worth, known=known)
    return found, error


def _selected(
    ways: Dependence,
    x,
    shape,
    unit,
    data: Table,
    scale: float,
    goal: float,
    blocks=(),
    terms=CONSTANT,
    worth=GAINED,
    known: Known | None = None,
) -> tuple[tuple, float]:
    """((dependence, terms, coefficients, model), held-out relative error) of the functions, node terms and blocks that
    are taken up one after the other, each time the one that the held-out error gains most by. Free functions belong
    together; where they do not reach the error ``goal`` with all node terms, no choice among these is made. What is
    ``known`` to act is taken up first, and stays.
    """
    first, normal, rough = _of_all(ways, x, shape, unit, data, scale, blocks, terms)
    groups = _groups(first, data.dim)

    def error(names):
        at = np.concatenate([groups[n] for n in names])
        own, part = normal.columns(at), rough[np.ix_(at, at)]
        return min((held_out(own, part, s) for s in SMOOTH[4:13:4]), key=typical)

    all_of = [n for n in groups if n[0] == "function"] if ways.kind == FREE else []
    kept, floor = list(all_of), (ENOUGH if blocks else EXACT) ** 2 / data.dim
    best = error(kept) if kept else np.full(1, np.inf)
    taken: list = []
    if known:
        functions = [n for n in groups if n[0] == "function"]
        kept = _taken_up(functions, [[("block", k) for k in some] for some in known.ways(first.blocks)], error)
        taken, best = kept[1:], error(kept)
    elif kept and np.sqrt(data.dim * typical(error(list(groups)))) > goal:
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
    spared = [*all_of, *taken, *kept[:1]]
    if isinstance(first.dependence.functions[0], OfLevels):
        (groups, kept), spared = _one_by_one(first, groups, kept), taken
    kept = _needed(kept, spared, groups, error, best, worth, floor)
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


def _of_all(
    ways: Dependence, x, shape, unit, data: Table, scale: float, blocks, terms
) -> tuple[Model, Normal, np.ndarray]:
    """(all functions, terms and blocks together, their normal equations with robust weights, the penalty)."""
    count, predicted, rounds = len(ways.functions), None, 1 if ways.kind == FREE else ROUNDS
    for fewest, most, columns in (FIRST_SIZES[0],) * rounds + FIRST_SIZES[1:]:
        first = model(space(x, intervals_of(columns, count, (fewest, most)), shape, unit), ways, terms, data, blocks)
        normal = normal_equations(first, data, weights_of(data, predicted, scale), scale)
        rough = penalty(first, normal.moment.shape[1])
        if columns == FIRST_SIZES[0][2]:
            errors = [typical(held_out(normal, rough, s)) for s in SMOOTH[::3]]
            smooth = SMOOTH[::3][int(np.argmin(errors))]
            g = solve(normal.gram.sum(0), normal.moment.sum(0), rough, smooth, normal.rows.sum())
            predicted = predicted_by(first, g, data) * scale
    return first, normal, rough


def _one_by_one(first: Model, groups: dict, kept: list) -> tuple[dict, list]:
    """``groups`` and those ``kept`` of them with every function of pairs of levels by itself."""
    size = first.space.size
    each = {("function", (k,)): np.arange(k * size, (k + 1) * size) for k in range(len(first.dependence.functions))}
    kept = [one for n in kept for one in ([("function", (k,)) for k in n[1]] if n[0] == "function" else [n])]
    return {n: at for n, at in (groups | each).items() if n[0] != "function" or len(n[1]) == 1}, kept


def _needed(kept: list, spared: list, groups: dict, error, best: np.ndarray, worth: float, floor: float) -> list:
    """``kept``, less what others have made needless, the least missed first, but for what is ``spared`` and the last
    one; else with a constant where a function is no better.
    """
    while True:
        some = [n for n in kept if n not in spared] if len(kept) > 1 else []
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
            return kept
        kept, best = smaller, min(best, least, key=typical)


def _taken_up(functions: list, wanted: list[list], error) -> list:
    """One of the ``functions`` and one of each of the ``wanted``, which foretell best together: with each function the
    others are asked one after the other, twice.
    """
    found = []
    for own in functions:
        taken = [own]
        for some in wanted:
            taken.append(min(some, key=lambda n: typical(error([*taken, n]))))
        for k, some in enumerate(wanted, 1):
            others = taken[:k] + taken[k + 1 :]
            taken[k] = min(some, key=lambda n: typical(error([*others, n])))
        found.append((typical(error(taken)), len(found), taken))
    return min(found)[2]


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
