"""Covariances of learnt values that do not believe in independent residuals: sums of scores over whole stretches.

The sandwich of M. Arellano (Oxford Bulletin of Economics and Statistics 49, 431, 1987): H^-1 (sum_c g_c g_c^T) H^-1
with the gradient g_c of a cluster c. Windows overlap, frames follow one another, and what a law misses repeats itself
along a trajectory: the spread of scores between trajectories, or between stretches of few long ones, holds that. What
is missed in the same way everywhere it cannot see.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from distill.identities.bilinear import BOTH, RESPONSE, Problem, Values
from distill.identities.pairs import CHUNK, groups_of
from distill.splines.normal_equations import Table

LEVEL = 0.95
FEWEST = 3  # stretches that tell of a value: with fewer it has no error
NOTHING = 1e-11  # eigenvalue over the largest: a direction that changes no force
LOADS = 1e-3  # share of such a direction: a value with more is not determined by the data at all


@dataclass
class Covariance:
    """``matrix`` [unknown, unknown] with the free scales held somewhere; ``unknown`` [unknown]: of no known error."""

    matrix: np.ndarray
    unknown: np.ndarray
    stretches: int

    @property
    def half_width(self) -> float:
        """Of ``LEVEL`` intervals, in standard errors: Student's t."""
        return float(stdtrit(max(self.stretches - 1, 1), (1 + LEVEL) / 2))

    def of(self, values: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
        """Standard errors of ``values`` with that ``jacobian`` [value, unknown]; infinite where there is none."""
        sd = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", jacobian, self.matrix, jacobian), 0.0))
        size = np.abs(jacobian).max(1, initial=0.0)
        hangs = (np.abs(jacobian[:, self.unknown]) > 1e-12 * size[:, None]).any(1)
        return np.where(hangs | ~np.isfinite(values), np.inf, sd)


def covariance(problem: Problem, v: Values, data: Table, weight=None) -> Covariance:
    """Of all unknowns, from the same data and weights as the problem's normal equations. What is projected out of
    these is projected out of the scores too.
    """
    weight = np.ones(len(data)) if weight is None else weight
    cluster = np.unique(data.stretch, return_inverse=True)[1]
    count = int(cluster.max()) + 1
    scores = np.zeros((count, problem.size))
    for number, one in enumerate(problem.pairs.receivers):
        index = np.flatnonzero(data.who.receiver == one.identity)
        j, where = problem.reduced[number].of @ problem.derivatives(v, number), problem.unknowns(one)
        c = problem.coefficients(v, number)
        for part in np.split(index, range(CHUNK, len(index), CHUNK)):
            x = problem.pairs.basis.columns(data.of(part), one.partners).reshape(len(part) * data.dim, -1)
            left = (data.target[part].reshape(-1) - x @ c) * np.repeat(weight[part], data.dim)
            rows = (x @ j) * left[:, None]
            own = np.repeat(cluster[part], data.dim)
            for k, unknown in enumerate(where):
                scores[:, unknown] += np.bincount(own, rows[:, k], count)
    matrix, _ = problem.normal(v)
    free = np.flatnonzero(problem.free)
    size = np.sqrt(np.maximum(np.diag(matrix)[free], 1e-300))  # unknowns in units of what the data tell of each
    basis = _allowed(problem, v, free, size)
    values, vectors = np.linalg.eigh(basis.T @ (matrix[np.ix_(free, free)] / np.outer(size, size)) @ basis)
    there, vectors = values > NOTHING * values[-1], basis @ vectors
    inverse = (vectors[:, there] / values[there]) @ vectors[:, there].T / np.outer(size, size)
    move = scores[:, free] @ inverse  # what leaving a cluster out would change, roughly
    out = np.zeros((problem.size, problem.size))
    out[np.ix_(free, free)] = move.T @ move * count / max(count - 1, 1)
    unknown = ~problem.free
    if problem.held:
        unknown[problem.at["source" if problem.acts else "response"].start + np.array(problem.held)] = False
    unknown[free] |= ((scores[:, free] != 0).sum(0) < FEWEST) & (np.diag(matrix)[free] > 0)
    unknown[free] |= (np.abs(vectors[:, ~there]) > LOADS).any(1)
    return Covariance(out, unknown, count)


def _allowed(problem: Problem, v: Values, free: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Orthonormal basis [free, direction], in units of 1 / ``size``, of the steps that leave every free scale where it
    is.
    """
    held, groups = [np.zeros(len(free))], groups_of(problem.pairs)
    parts = [("source", v.source)] if problem.acts else []
    parts += [("response", v.response)] if problem.role in (RESPONSE, BOTH) else []
    if problem.role == BOTH and groups is not None:  # every group has a scale of its own
        parts[:1] = [("source", np.where(groups == k, v.source, 0.0)) for k in range(groups.max() + 1)]
    parts = parts[1:] if problem.held else parts  # given values hold theirs
    for name, values in parts:
        row = np.zeros(problem.size)
        row[problem.at[name]] = values  # of the sum of squares
        row = row[free] / size
        held.append(row / (np.linalg.norm(row) or 1.0))
    _, size, right = np.linalg.svd(np.array(held))
    return right[int((size > NOTHING).sum()) :].T
