"""What needs neither network nor search: least squares on simple sums over neighbours, and a kernel of splines.

Both are linear in their coefficients and fitted by nearly least absolute errors (weights from the residuals), so that
they compete for the mean absolute error that all are judged by.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import csr_matrix

from distill.halos.sums import Rows

RADII = (0.06, 0.1, 0.16, 0.24, 0.32, 0.4, 0.5, 0.6, 0.8, 1.0)  # of the cutoff
KNOTS = 12
ROUNDS = 12
RIDGE = 1e-8  # of the mean diagonal


@dataclass
class Linear:
    """``columns(rows)`` [receiver, column] times ``weights``."""

    name: str
    columns: Callable
    weights: np.ndarray | None = None

    def fit(self, rows: Rows) -> "Linear":
        return Linear(self.name, self.columns, least_absolute(self.columns(rows), rows.delta))

    def predicted(self, rows: Rows) -> np.ndarray:
        return self.columns(rows) @ self.weights


def least_absolute(A: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients [column] of nearly least absolute errors of A [row, column] x - y."""
    scale = np.maximum(np.abs(A).max(0), 1e-300)
    A, weight = A / scale, np.ones(len(y))
    for _ in range(ROUNDS):
        normal = (A * weight[:, None]).T @ A
        normal += RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
        x = np.linalg.solve(normal, A.T @ (weight * y))
        error = np.abs(A @ x - y)
        weight = 1 / np.maximum(error, 0.1 * np.median(error) + 1e-12)
    return x / scale


def neighbour_sums(cutoff: float) -> Linear:
    """Numbers and masses of the neighbours within some radii up to ``cutoff`` (in the unit of the rows), the own mass,
    and its products with the masses.
    """
    radii = [share * cutoff for share in RADII]

    def columns(rows: Rows) -> np.ndarray:
        r, mass = rows.pair["r"], rows.pair["m_j"]
        inside = np.stack([r < radius for radius in radii], axis=1).astype(float)
        numbers, masses = rows.sum(inside), rows.sum(inside * mass[:, None])
        own = rows.own["m_i"][:, None]
        return np.concatenate([np.ones_like(own), own, numbers, masses, own * masses], axis=1)

    return Linear("neighbour sums", columns)


def spline_kernel(cutoff: float) -> Linear:
    """sum_j a(r) + m_j b(r) + m_i m_j c(r), with cubic splines a, b, c that vanish at the cutoff, and the own mass."""
    inner = np.linspace(0, cutoff, KNOTS)
    knots = np.concatenate([[0.0] * 3, inner, [cutoff] * 3])
    count = len(knots) - 4 - 1  # without the last, which alone is not 0 at the cutoff

    def columns(rows: Rows) -> np.ndarray:
        r, mass = np.minimum(rows.pair["r"], cutoff * (1 - 1e-12)), rows.pair["m_j"]
        basis = BSpline.design_matrix(r, knots, 3).tocsr()[:, :count]
        receivers = np.repeat(np.arange(len(rows)), rows.count)

        def summed(values):
            ends = np.concatenate([[0], np.cumsum(rows.count)])
            chooser = csr_matrix((values, np.arange(len(receivers)), ends), shape=(len(rows), len(receivers)))
            return (chooser @ basis).toarray()

        plain, weighed = summed(np.ones(len(r))), summed(mass)
        own = rows.own["m_i"][:, None]
        return np.concatenate([np.ones_like(own), own, plain, weighed, own * weighed], axis=1)

    return Linear("spline kernel", columns)
