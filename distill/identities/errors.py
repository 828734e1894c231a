"""Covariances of learnt values that do not believe in independent residuals: sums of scores over whole trajectories.

The sandwich of M. Arellano (Oxford Bulletin of Economics and Statistics 49, 431, 1987): H^-1 (sum_c g_c g_c^T) H^-1
with the gradient g_c of a cluster c. Windows overlap, frames follow one another, and what a law misses repeats itself
along a trajectory: the spread of scores between trajectories holds all of that, and none of it has to be modelled.
"""

import numpy as np
from scipy.stats import t as student

from distill.identities.bilinear import BOTH, RESPONSE, SAME, Problem, Values
from distill.identities.pairs import CHUNK, design
from distill.splines.normal_equations import Table

LEVEL = 0.95


def clusters_of(data: Table, fewest: int = 20) -> np.ndarray:
    """Numbers of the clusters [receiver]: trajectories."""
    return np.unique(data.trajectory, return_inverse=True)[1]


def covariance(problem: Problem, v: Values, data: Table, curves, node_terms=(), weight=None) -> tuple[np.ndarray, int]:
    """(of all unknowns [unknown, unknown], clusters); the scales that forces leave free are held: the mean of the
    logarithms of the values that are far from zero.
    """
    weight = np.ones(len(data)) if weight is None else weight
    cluster = clusters_of(data)
    count = int(cluster.max()) + 1
    scores = np.zeros((count, problem.size))
    for one in problem.pairs.receivers:
        index = np.flatnonzero(data.who.receiver == one.identity)
        j, where = problem.derivatives(v, one), problem.unknowns(one)
        c = v.coefficients(one, problem.products_of(one))
        for part in np.split(index, range(CHUNK, len(index), CHUNK)):
            x = design(data.of(part), one.partners, curves, node_terms)
            left = (data.target[part].reshape(-1) - x @ c) * np.repeat(weight[part], data.dim)
            rows = (x @ j) * left[:, None]
            own = np.repeat(cluster[part], data.dim)
            for k, number in enumerate(where):
                scores[:, number] += np.bincount(own, rows[:, k], count)
    matrix, _ = problem.normal(v)
    free = np.flatnonzero(problem.free)
    basis = _allowed(problem, v)[free]  # directions that keep the scales
    inner = basis.T @ matrix[np.ix_(free, free)] @ basis
    size = np.sqrt(np.maximum(np.diag(inner), 1e-300))
    inverse = np.linalg.pinv(inner / np.outer(size, size), rcond=1e-13, hermitian=True) / np.outer(size, size)
    move = scores[:, free] @ basis @ inverse @ basis.T  # what leaving a cluster out would change, roughly
    out = np.zeros((problem.size, problem.size))
    out[np.ix_(free, free)] = move.T @ move * count / max(count - 1, 1)
    return out, count


def _allowed(problem: Problem, v: Values) -> np.ndarray:
    """Basis [unknown, direction] of the steps that leave every free scale where it is."""
    held = []
    for name, values, scale_free in (
        ("source", v.source, problem.acts and not problem.known),
        ("response", v.response, problem.role in (RESPONSE, BOTH)),
    ):
        if not scale_free:
            continue
        row = np.zeros(problem.size)
        size = np.abs(values)
        far = (size > 0.1 * size.max()) & problem.free[problem.at[name]]
        block = np.zeros(len(values))
        block[far] = 1 / values[far]
        row[problem.at[name]] = block
        held.append(row)
    if not held:
        return np.eye(problem.size)
    _, _, right = np.linalg.svd(np.array(held))
    return right[len(held) :].T


def quantile(clusters: int, level: float = LEVEL) -> float:
    """Of Student's t: half-widths of intervals in standard errors."""
    return float(student.ppf((1 + level) / 2, max(clusters - 1, 1)))


def standard_errors(problem: Problem, matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Of "source" and "response" [identity], as far as they are fitted."""
    sd = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    out = {}
    if problem.acts:
        out["source"] = sd[problem.at["source"]]
    if problem.role == SAME:
        out["response"] = out["source"]
    elif problem.role in (RESPONSE, BOTH):
        out["response"] = sd[problem.at["response"]]
    return out
