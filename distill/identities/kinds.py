"""Are there kinds of bodies: do held-out stretches prefer few values over one a body?

Bodies are joined from below (J. H. Ward, Journal of the American Statistical Association 58, 236, 1963) by their values
in standard errors. For every number of kinds
the values for a fold are those of its kinds, learnt from the other folds.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from distill.identities.bilinear import ROUGHLY, Problem, Values, minimise
from distill.identities.choice import error_of
from distill.splines.normal_equations import typical

MOST = 8
WORSE = 1.01  # of the least held-out error: the fewest kinds within it


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
    pooled = {name: float(np.median(sd)) + 1e-6 * float(np.abs(values[name]).max()) for name, sd in errors.items()}
    features = np.column_stack([values[name] / pooled[name] for name in values])
    if count < 4:
        return None
    tree = linkage(features, "ward")
    rows = problem.pairs.rows
    folds = []
    for k in np.flatnonzero(rows):
        without = problem.with_(fold=int(k))
        folds.append((int(k), without, minimise(without, v, 12, ROUGHLY)))
    own = typical(np.array([error_of(without, found, k) for k, without, found in folds]))
    tried, number = {}, {}
    for some in range(1, min(MOST, count // 2) + 1):
        number[some] = fcluster(tree, some, "maxclust") - 1
        tied = [error_of(without, _tied(found, number[some], errors), k) for k, without, found in folds]
        tried[some] = typical(np.array(tied))
    least = min(own, *tried.values())
    fewest = next((some for some, error in tried.items() if error <= WORSE**2 * least), None)
    return None if fewest is None else Kinds(number[fewest], tried, own)


def _tied(v: Values, number: np.ndarray, errors: dict[str, np.ndarray]) -> Values:
    """With the mean of each kind, bodies weighted by what their values are worth."""
    out = {}
    for name, sd in errors.items():
        weight = 1 / np.maximum(sd, 1e-3 * np.median(sd) + 1e-300) ** 2
        values = getattr(v, name)
        mean = np.bincount(number, weight * values) / np.bincount(number, weight)
        out[name] = mean[number]
    return replace(v, **out)
