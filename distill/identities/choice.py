"""What the values of bodies do: the simplest hypothesis that held-out stretches do not clearly speak against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distill.identities.bilinear import BOTH, RESPONSE, ROLES, ROUGHLY, SAME, SOURCE, Problem, Values, fit, minimise
from distill.identities.pairs import Pairs
from distill.splines.normal_equations import typical

BETTER = 0.98  # of the held-out error that a hypothesis of more values must come down to, and in most folds
SMOOTH = 10.0 ** np.arange(-13, -1.9, 3.0)  # strengths of the penalty that are tried
FAR_WORSE = 4.0  # times the least cost
ENOUGH = 1e-5  # relative error that asks for no further values
MATTERS = 2e-3  # how far values of two parts must differ, relatively
FLOOR = 1e-10  # of the square of what is fitted: below, all fit


@dataclass(frozen=True)
class Hypothesis:
    """A ``role`` of the values, alone or beside curves for ``products`` of known properties."""

    role: str
    beside: bool
    products: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.role}{' beside known properties' * self.beside}"


def hypotheses(products: np.ndarray) -> list[Hypothesis]:
    """The simplest first. ``products`` [product, body, body] of known properties, receiver first; where a value acts or
    answers alone, a product that is the same for all pairs would let it be shifted by any amount: it is left out.
    """
    out = [Hypothesis(role, False, products[:0]) for role in ROLES]
    varying = products[[np.ptp(p) > 0 for p in products]] if len(products) else products
    for role in ROLES if len(varying) else ():
        out.append(Hypothesis(role, True, products if role == SAME else varying))
    return sorted(out, key=lambda h: (ROLES.index(h.role), h.beside))


@dataclass
class Chosen:
    """``errors``: name of a hypothesis -> mean weighted squared error, held out where it was asked for."""

    hypothesis: Hypothesis
    errors: dict[str, float]
    problem: Problem
    values: Values
    fits: dict[str, tuple[Hypothesis, Problem, Values]]
    folds: np.ndarray  # error of each
    untried: tuple[str, ...] = ()  # what may act beside but was not asked for: there are too many unknowns


def choose(
    pairs: Pairs,
    tried: Sequence[Hypothesis],
    seed: int = 0,
    start: Values | None = None,
    scalings: tuple = (),
    strengths: Sequence[float] = SMOOTH,
) -> Chosen:
    """The simplest of the hypotheses ``tried``, in their order, that the others are not clearly better than. The
    strength of the penalty on curves is found. What fits far worse than the best is not asked for what it
    foretells: it is no better. ``start``: of every fit, where there is one; ``scalings``: of what acts beside pairs
    (``Problem``).
    """
    fits = {}
    for one in tried:
        problem = Problem(pairs, one.role, one.products, strengths[len(strengths) // 2], None, scalings)
        fits[one.name] = (one, problem, fit(problem, seed, start))
    least = min(v.cost for _, _, v in fits.values())
    errors = {name: v.cost / pairs.rows.sum() for name, (_, _, v) in fits.items()}
    folds = {}
    for name, (one, problem, first) in fits.items():
        if first.cost > FAR_WORSE * max(least, FLOOR * pairs.square):
            continue
        tries = []
        for smooth in strengths:
            own = problem.with_(smooth=smooth)
            begun = minimise(own, first, 12, ROUGHLY)
            tries.append((held_out(own, begun), own, begun))
        folds[name], *rest = min(tries, key=lambda t: typical(t[0]))
        fits[name] = (one, *rest)
        errors[name] = typical(folds[name])
    best = next(name for name in fits if name in folds)
    for other in folds:
        if errors[best] <= ENOUGH**2 / pairs.dim:
            break
        clearly = better(folds[other], folds[best])
        if clearly and not same_in_effect(fits[best][0].role, fits[other][2]):
            best = other
    one, problem, begun = fits[best]
    own = {name: fits[name] for name in folds}
    return Chosen(one, errors, problem, minimise(problem, begun), own, folds[best])


def better(one: np.ndarray, other: np.ndarray, bar: float = BETTER) -> bool:
    """Whether errors ``one`` [fold] are clearly below the ``other``: in the mean by ``bar``, and in most folds."""
    return typical(one) < bar**2 * typical(other) and bool((one < other).mean() > 0.5)


def same_in_effect(role: str, v: Values) -> bool:
    """Whether the two values a body that ``v`` has are those of the simpler ``role``, but for less than ``MATTERS`` in
    all but a fifth of the bodies: more values also make up for curves that are too coarse.
    """
    if v.role != BOTH:
        return False
    size = np.abs(v.source)
    ratio = {SOURCE: v.response, RESPONSE: v.source}.get(role)
    if ratio is None:  # by one and the same value: bodies with next to none tell nothing
        far = size > 0.1 * np.median(size)
        ratio = v.response[far] / v.source[far]
    return bool(np.quantile(np.abs(ratio / np.median(ratio) - 1), 0.8) < MATTERS)


def held_out(problem: Problem, start: Values, steps: int = 12) -> np.ndarray:
    """Mean weighted squared error of every fold by the fit to the others, begun at ``start`` [fold]."""
    out = []
    for k in np.flatnonzero(problem.pairs.rows):
        without = problem.with_(fold=int(k))
        out.append(error_of(without, minimise(without, start, steps, ROUGHLY), int(k)))
    return np.array(out)


def error_of(problem: Problem, v: Values, fold: int) -> float:
    """Mean weighted squared error of the values ``v`` of a problem on a fold."""
    total, data = 0.0, problem.pairs
    for one in data.receivers:
        c = problem.coefficients_of(v, one)
        total += one.square[fold] - 2 * c @ one.moment[fold] + c @ one.gram[fold] @ c
    return max(float(total), 0.0) / data.rows[fold]
