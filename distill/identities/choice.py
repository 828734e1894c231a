"""Which hypothesis about the values the data want: the simplest that held-out stretches do not clearly speak against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.identities.bilinear import RESPONSE, Problem, Values, fit, minimise
from distill.identities.pairs import Pairs
from distill.splines.normal_equations import typical

BETTER = 0.98  # of the held-out error that a hypothesis of more values must come down to, and in most folds
SMOOTH = 10.0 ** np.arange(-13, -1.9, 3.0)  # strengths of the penalty that are tried
FAR = 4.0  # times the least cost
FLOOR = 1e-10  # of the square of what is fitted: below, all fit


@dataclass
class Chosen:
    """``errors``: role -> held-out mean weighted squared error; ``why`` in words; ``problem`` and ``values`` of it."""

    role: str
    errors: dict[str, float]
    problem: Problem
    values: Values
    fits: dict[str, tuple[Problem, Values]]

    @property
    def why(self) -> str:
        told = ", ".join(f"{name} {np.sqrt(error):.3g}" for name, error in self.errors.items())
        return f"held-out errors: {told}"


def choose(
    pairs: Pairs, products: np.ndarray, rough: np.ndarray, roles: Sequence[str], known: Mapping | None = None, seed=0
) -> Chosen:
    """``roles`` in the order of simplicity; ``rough``: squared second differences, their strength is found. Roles that
    fit far worse than the best one are not asked for what they foretell: it is no better.
    """
    known = dict(known or {})
    fits = {}
    for role in roles:
        problem = Problem(pairs, role, products, rough * SMOOTH[2], known if role != RESPONSE else {})
        fits[role] = (problem, fit(problem, seed))
    least = min(v.cost for _, v in fits.values())
    errors = {role: v.cost / pairs.rows.sum() for role, (_, v) in fits.items()}
    folds = {}
    for role, (problem, first) in fits.items():
        if first.cost > FAR * max(least, FLOOR * pairs.square):
            continue
        tried = []
        for smooth in SMOOTH:
            own = with_rough(problem, rough * smooth)
            start = minimise(own, first, 12)
            tried.append((held_out(own, start), own, start))
        folds[role], *fits[role] = min(tried, key=lambda t: typical(t[0]))
        errors[role] = typical(folds[role])
    role = next(r for r in roles if r in folds)
    for other in roles:
        if other in folds and errors[other] < BETTER**2 * errors[role] and (folds[other] < folds[role]).mean() > 0.5:
            role = other
    problem, start = fits[role]
    return Chosen(role, errors, problem, minimise(problem, start), fits)


def with_rough(problem: Problem, rough: np.ndarray) -> Problem:
    return Problem(problem.pairs, problem.role, problem.products, rough, problem.known, problem.fold)


def held_out(problem: Problem, start: Values) -> np.ndarray:
    """Mean weighted squared error of every fold by the fit to the others, begun at ``start`` [fold]."""
    rows, out = problem.pairs.rows, []
    for k in np.flatnonzero(rows):
        without = Problem(problem.pairs, problem.role, problem.products, problem.rough, problem.known, int(k))
        v = minimise(without, start, 12)
        total = 0.0
        for one in problem.pairs.receivers:
            c = v.coefficients(one, problem.products_of(one))
            total += one.square[k] - 2 * c @ one.moment[k] + c @ one.gram[k] @ c
        out.append(max(total, 0.0) / rows[k])
    return np.array(out)
