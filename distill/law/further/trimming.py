"""What a law of many terms can do without: terms, and parts of functions that data do not tell from nothing.

Terms may stand in for each other. A spring between all pairs and its opposite from displaced points are a uniform
force; noise then decides how much there is of either, and each alone seems to be needed as long as the other stays.
So a part is judged with all constants free: by how much worse the fit becomes without it, the others fitted again.
Terms that are numbers alone stay; ``trimmed`` asks for these as a whole.
"""

from dataclasses import replace

import numpy as np
import sympy as sp

from distill.formulas.improve import prune
from distill.law.joint import FEWEST, LOST, Numbers, fitted, numbers_of, residuals_of, spelt, vectors_of
from distill.law.receivers import Receivers, acceleration_objective, law_acceleration, law_error, nearer
from distill.law.selection import Ground
from distill.law.trust import SURE
from distill.physics.law import RADIAL, Law
from distill.physics.terms.values import is_constant, is_nothing

PRUNED = 1.02  # times the error on receivers left out that a part of a function is dropped for
MOST_PARTS = 16  # of a function, each judged by itself
ROUNDING = 1e-9  # of residuals, relative: how well what others stand in for is made by them


def trimmed(law: Law, ground: Ground) -> Law:
    """``law`` without terms, and parts of functions, that are not needed on the receivers of ``ground`` beside all the
    others; constants are fitted as they go, those of the others kept.
    """
    few, _, held = ground.sets
    for name in (*law.pairs, *law.node):
        pairs, node = ({n: v for n, v in some.items() if n != name} for some in (law.pairs, law.node))
        less = replace(law, pairs=pairs, node=node)
        # a uniform force beside a trap is a trap about another point: constants move far
        if as_good(less, law, ground, LOST) or as_good(less := fitted(less, few, held), law, ground, LOST):
            law = less
    for k in range(len(numbers_of(law).opened)):
        numbers = numbers_of(law)
        one, before = numbers.opened[k], numbers.start
        if not isinstance(expr := one.value(before), sp.Expr) or not expr.free_symbols:
            continue
        own = replace(numbers, opened=[one]).accelerations(before, few)[0]
        left = few.acc - numbers.accelerations(before, few)[0] + own
        kernel, weight, variable = vectors_of(one, few.in_motion, tuple(before[one.centre]))
        view = replace(few, features={n: variable(n) for n in one.names}, unit=kernel * weight[:, None], acc=left)
        objective = acceleration_objective(view, size=np.linalg.norm(few.acc, axis=1))
        shorter = ground.canonical(prune(ground.canonical(expr), objective)[0])
        trial = numbers.at(before, {k: shorter})
        law = trial if as_good(trial, law, ground, PRUNED) else law
    return law


def as_good(less: Law, law: Law, ground: Ground, lost: float) -> bool:
    """Whether ``less`` is as good as ``law`` on receivers left out, up to the factor ``lost`` and what noise says."""
    held = ground.held
    if law_error(less, held) > max(law_error(law, held) * lost, ground.check.tiny):
        return False
    found, other = (law_acceleration(one, held) for one in (law, less))
    return held.noise is None or nearer(found, other, held) < SURE


def without_unsure(law: Law, ground: Ground) -> Law:
    """``law``, whose constants are fitted, without the parts of functions that are not ``SURE`` with all others free:
    the least sure first, and after each all constants fitted again.
    """
    whole = law
    kept: set[str] = set()  # parts that were asked for, by how they are written
    while True:
        numbers = numbers_of(spelt(law, multiplied_out))
        parts = [one for one in unsure(numbers, ground.many) if _name(numbers, *one[1:]) not in kept]
        if not parts:
            return law
        _, k, shorter = min(parts, key=lambda part: part[0])
        kept.add(_name(numbers, k, shorter))
        less = _made_up_for(_put(law, numbers, k, shorter), ground)
        less = fitted(less, ground.many, ground.held)
        law = less if as_good(less, whole, ground, PRUNED) else law


def multiplied_out(expr: sp.Expr) -> sp.Expr:
    """A sum of parts that each have a constant of their own, where it is not too long for that."""
    out = sp.expand(expr, power_base=False, power_exp=False, log=False)
    return out if len(sp.Add.make_args(out)) <= MOST_PARTS else expr


def _name(numbers: Numbers, k: int, shorter: sp.Expr) -> str:
    return f"{k} {numbers.opened[k].form} {shorter}"


def unsure(numbers: Numbers, data: Receivers) -> list[tuple[float, int, sp.Expr]]:
    """(how many standard errors it is from nothing with all others free, number among ``opened``, the function's form
    without it) of every additive part of a function that is not ``SURE``.
    """
    residuals = residuals_of(numbers, data)
    if residuals is None or not len(numbers.start):
        return []
    left, slopes = residuals(numbers.start)
    if not (np.isfinite(left).all() and np.isfinite(slopes).all()):
        return []
    size = np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    slopes, cluster, out = slopes / size, np.repeat(data.trajectory, data.acc.shape[1]), []
    for k, one in enumerate(numbers.opened):
        parts = sp.Add.make_args(one.form)
        if is_constant(one.value(numbers.start)) or (one.term == RADIAL and len(parts) == 1):
            continue
        for part in parts:
            own = [s for s in one.symbols if part.has(s)]
            if not own or any(other.has(s) for s in own for other in parts if other is not part):
                continue
            scale = next((s for s in own if sp.Mul.make_args(part).count(s) == 1), None)
            if scale is None:
                continue
            at = [one.at.start + one.symbols.index(s) for s in own]  # what shapes it goes with it
            at += range(one.centre.start, one.centre.stop) if len(parts) == 1 else ()
            number = one.at.start + one.symbols.index(scale)
            gone = slopes[:, number] * size[number] * numbers.start[number]
            others = np.delete(slopes, at, axis=1)
            missed = gone - others @ np.linalg.lstsq(others, gone, rcond=1e-12)[0]
            square = float(missed @ missed)
            far = square / max(_scatter(missed * left, cluster), ROUNDING * np.sqrt(square), 1e-300)
            if far < SURE:
                out.append((far, k, one.form - part))
    return out


def _scatter(scores: np.ndarray, cluster: np.ndarray) -> float:
    """Standard deviation of the sum of ``scores`` [residual], counting clusters; with few of them, residuals."""
    known, number = np.unique(cluster, return_inverse=True)
    sums = np.bincount(number, scores) if len(known) >= FEWEST else scores
    return float(np.sqrt((sums**2).sum()))


def _put(law: Law, multiplied: Numbers, k: int, shorter: sp.Expr) -> Law:
    """``law`` with a shorter form of one of its functions, at the constants that the ``multiplied`` ones have: what its
    parts have in common is one again. Without a term of which nothing is left.
    """
    one, numbers = multiplied.opened[k], numbers_of(law)
    values = dict(zip(one.symbols, map(sp.Float, multiplied.start[one.at]), strict=True))
    law = numbers.at(numbers.start, {k: sp.factor_terms(shorter.xreplace(values))})
    return replace(law, pairs=_without_nothing(law.pairs), node=_without_nothing(law.node))


def _made_up_for(law: Law, ground: Ground) -> Law:
    """``law``, which has lost a part, with the constants of all others where plain least squares put them, if that is
    better: where parts stand in for each other many have to move far at once, which takes a robust fit many steps.
    """
    numbers = numbers_of(law)
    residuals = residuals_of(numbers, ground.many)
    if residuals is None or not len(numbers.start):
        return law
    left, slopes = residuals(numbers.start)
    if not (np.isfinite(left).all() and np.isfinite(slopes).all()):
        return law
    size = np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    step = np.linalg.lstsq(slopes / size, -left, rcond=1e-12)[0] / size
    moved = numbers.at(numbers.start + step)
    return min(law, moved, key=lambda one: np.nan_to_num(law_error(one, ground.held), nan=np.inf))


def _without_nothing(functions: dict) -> dict:
    return {name: value for name, value in functions.items() if not is_nothing(value)}
