"""Are there kinds of bodies: do held-out stretches prefer few values over one a body?

Bodies are joined from below (J. H. Ward, Journal of the American Statistical Association 58, 236, 1963) by their values
in standard errors. For every number of kinds the values for a fold are those of its kinds, learnt from the other folds.
The fewest kinds are taken whose errors are not clearly above the least, as folds differ in that.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import stdtrit

from distill.identities.bilinear import ROUGHLY, SAME, Problem, Values, minimise
from distill.identities.choice import error_of
from distill.splines.normal_equations import LEAST, typical

MOST = 8
LEVEL = 0.05  # of the test whether held-out errors of fewer kinds are larger than the least
MATTERS = 2e-3  # difference of these errors, relative, that never counts


@dataclass
class Kinds:
    """``number`` [body] of its kind; ``errors``: number of kinds -> held-out error; of single values ``own``."""

    number: np.ndarray
    errors: dict[int, float]
    own: float


def kinds(problem: Problem, v: Values, errors: dict[str, np.ndarray]) -> Kinds | None:
    """None where one value a body foretells more, where a body's value is not known at all, or nothing is gained:
    with more kinds than ``MOST`` or half the bodies. Who is of which kind is told by all data, the values of kinds by
    the folds that are not left out.

    ``errors``: standard errors of ``source`` and ``response``, as far as they are fitted.
    """
    values, count = {name: getattr(v, name) for name in errors}, problem.pairs.count
    if not np.all([np.isfinite(sd) for sd in errors.values()]):
        return None
    pooled = {name: _usual(sd) + 1e-6 * float(np.abs(values[name]).max()) for name, sd in errors.items()}
    features = np.column_stack([values[name] / pooled[name] for name in values])
    if count < 4:
        return None
    tree = linkage(features, "ward")
    rows = problem.pairs.rows
    folds = []
    for k in np.flatnonzero(rows):
        without = problem.with_(fold=int(k))
        folds.append((int(k), without, minimise(without, v, 12, ROUGHLY)))
    own = np.array([error_of(without, found, k) for k, without, found in folds])
    tried, number = {}, {}
    for some in range(1, min(MOST, count // 2) + 1):
        number[some] = fcluster(tree, some, "maxclust") - 1
        tied = [error_of(without, _tied(found, number[some], errors), k) for k, without, found in folds]
        tried[some] = np.array(tied)
    fewest = next(
        (some for some in tried if not clearly_worse(tried[some], min([own, *tried.values()], key=typical))), 0
    )
    errors = {some: typical(folds) for some, folds in tried.items()}
    return Kinds(number[fewest], errors, typical(own)) if fewest else None


def clearly_worse(one: np.ndarray, least: np.ndarray) -> bool:
    """Whether the errors ``one`` [fold] are above the ``least``, by Student's t of the logarithms of their ratios over
    the folds. What is not a number is worse.
    """
    ratio = np.log(np.maximum(one, LEAST) / np.maximum(least, LEAST)) / 2
    mean, error = ratio.mean(), ratio.std(ddof=1) / np.sqrt(len(ratio)) if len(ratio) > 1 else 0.0
    return not (mean <= MATTERS or mean <= stdtrit(max(len(ratio) - 1, 1), 1 - LEVEL) * error)


def _usual(sd: np.ndarray) -> float:
    """Of standard errors, of which those of values that are held are 0."""
    return float(np.median(sd[sd > 0])) if (sd > 0).any() else 0.0


def _tied(v: Values, number: np.ndarray, errors: dict[str, np.ndarray]) -> Values:
    """With the mean of each kind, bodies weighted by what their values are worth, those that are held next to alone."""
    out = {}
    for name, sd in errors.items():
        least = 1e-3 * _usual(sd)
        weight = 1 / np.maximum(sd, least) ** 2 if least > 0 else np.ones(len(sd))
        values = getattr(v, name)
        mean = np.bincount(number, weight * values) / np.bincount(number, weight)
        out[name] = mean[number]
    if v.role == SAME:
        out["response"] = out["source"]
    return replace(v, **out)
