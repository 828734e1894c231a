"""The linear map A and offset b of Y = A (u f) + b, found without knowing f: u are unit vectors, f one number a row.

A row without A and b, W (Y - b) with W = A^-1, has to point along u. "The part across u vanishes" is linear
and homogeneous in W and W b: the smallest generalised singular vector starts a least-squares fit of the lines
A u to the rows, which is weighted by the noise that the fit itself shows. The scale of A, and its sign, belong
to f as well and cannot be known.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import least_squares, minimize

from distill.shell.errors import UserError

ROUNDS = 3  # of lines and weights in turns


@dataclass
class Mixing:
    """A [component, dim] and b [component] of Y = A (u f) + b, and the noise of Y / spread about it."""

    A: np.ndarray
    b: np.ndarray
    spread: np.ndarray  # [component], typical size of each component
    across: float  # share of the squares of Y - b that no f can reach
    noise: tuple[float, float] = (1.0, 0.0)  # variance of a component of Y / spread: at zero, and a squared length

    def lines(self, unit):
        """A u / spread [row, component]: the direction in which f moves the components."""
        return unit @ (self.A / self.spread[:, None]).T

    def weights(self, Y, unit) -> np.ndarray:
        """1 / standard deviation [row] of the noise of a component of Y / spread."""
        along = _split((Y - self.b) / self.spread, self.lines(unit))[0]
        return (self.noise[0] + self.noise[1] * along) ** -0.5

    def project(self, Y, unit) -> np.ndarray:
        """The f [row] that fits each row best."""
        g, d = self.lines(unit), (Y - self.b) / self.spread
        return (g * d).sum(1) / np.maximum((g * g).sum(1), 1e-300)


def central_mixing(Y, unit) -> Mixing:
    """A and b from the directions alone: Y [row, component], ``unit`` [row, dim], two or three dimensions.

    More components than dimensions are first reduced to their leading principal components. The variance of
    a row's noise is taken as alpha + beta |Y - b|^2, fitted to what lies across A u: noise may be additive,
    relative or both. Raises ``UserError`` if the unit vectors do not span the space.
    """
    if np.linalg.cond(unit.T @ unit) > 1e6:
        raise UserError(f"the unit vectors of the shared search do not span {unit.shape[1]} dimensions")
    centre, dim = Y.mean(0), unit.shape[1]
    spread = np.median(np.abs(Y - np.median(Y, axis=0)), axis=0)
    spread = np.where(spread > 0, spread, Y.std(0))
    Z, basis = (Y - centre) / spread, np.eye(dim)
    if Z.shape[1] > dim:
        basis = np.linalg.svd(Z, full_matrices=False)[2][:dim].T  # [component, dim]
    scores = Z @ basis
    size = np.linalg.norm(scores - np.median(scores, axis=0), axis=1)
    # all rows alike suits additive noise, lengths evened out suits heavy tails: the likelier one is kept
    tries = [_from_start(scores, unit, w) for w in (np.ones(len(Z)), 1 / (0.3 * np.median(size) + size))]
    _, A, b = min(tries, key=lambda t: t[0])
    A *= np.sqrt(dim) / np.linalg.norm(A)
    along, across = _split(Z - basis @ b, unit @ (basis @ A).T)
    share = float(across.sum() / max(along.sum() + across.sum(), 1e-300))
    noise = _noise(along, across / (Z.shape[1] - 1))
    return Mixing(spread[:, None] * (basis @ A), centre + spread * (basis @ b), spread, share, noise)


def _from_start(Z, unit, weights) -> tuple[float, np.ndarray, np.ndarray]:
    """(-log likelihood a row, A, b): lines fitted with the ``weights`` [row], then with those of the noise."""
    A, b = _start(Z, unit, weights)
    for _ in range(ROUNDS):
        A, b = _fit_lines(Z, unit, A, b, weights)
        along, across = _split(Z - b, unit @ A.T)
        across = across / (Z.shape[1] - 1)
        alpha, beta = _noise(along, across)
        weights = (alpha + beta * along) ** -0.5
    return float(np.mean(across * weights**2 - 2 * np.log(weights))), A, b


def _start(Z, unit, weights):
    """A, b with W (Z - b) parallel to u for W = A^-1: the smallest generalised singular vector.

    The sum over rows of the squared part of W Z - c across u, c = W b, is compared with what noise of equal
    size in every component would make of it; without that, noise would favour a W of small rank.
    """
    n, dim = Z.shape
    across = (np.eye(dim) - unit[:, :, None] * unit[:, None, :]) * (weights**2)[:, None, None]
    design = np.column_stack([Z, -np.ones(n)])
    M = np.einsum("nab,nk,nl->akbl", across, design, design)
    WW = M[:, :dim, :, :dim].reshape(dim * dim, dim * dim)
    Wc, cc = M[:, :dim, :, dim].reshape(dim * dim, dim), M[:, dim, :, dim]
    best_c = np.linalg.solve(cc, Wc.T)  # c = -best_c W
    noise = np.einsum("ab,kl->akbl", across.sum(0), np.eye(dim)).reshape(dim * dim, dim * dim)
    W = eigh(WW - Wc @ best_c, noise, subset_by_index=[0, 0])[1][:, 0]
    c = -best_c @ W
    A = np.linalg.pinv(W.reshape(dim, dim), rcond=1e-8)
    return A / np.linalg.norm(A), A @ c


def _split(D, lines):
    """Squared lengths [row] of ``D`` [row, component] along and across ``lines`` [row, component]."""
    along = (D * lines).sum(1) ** 2 / np.maximum((lines**2).sum(1), 1e-300)
    return along, np.maximum((D**2).sum(1) - along, 0.0)


def _fit_lines(Z, unit, A, b, weights):
    """A and b with the smallest weighted squared distances of the rows Z - b from the lines A u."""
    k = A.size

    def residual(p):
        g, D = unit @ p[:k].reshape(A.shape).T, Z - p[k:]
        f = (g * D).sum(1) / np.maximum((g * g).sum(1), 1e-300)
        return ((D - f[:, None] * g) * weights[:, None]).ravel()

    p = least_squares(residual, np.concatenate([A.ravel(), b]), x_scale="jac", max_nfev=40).x
    return p[:k].reshape(A.shape) / np.linalg.norm(p[:k]), p[k:]


def _noise(along, squares) -> tuple[float, float]:
    """alpha, beta of the variance alpha + beta ``along`` [row] that makes ``squares`` [row] of normal errors
    most likely.
    """
    middle = np.median(along) + 1e-300
    least = 1e-10 * middle + 1e-300  # below this it is rounding

    def cost(p):
        variance = np.exp(p[0]) + np.exp(p[1]) * along
        share = squares / variance
        slope = (1 - share) / variance
        gradient = [np.mean(slope) * np.exp(p[0]), np.mean(slope * along) * np.exp(p[1])]
        return np.mean(np.log(variance) + share), np.array(gradient)

    start = max(np.median(squares), least) / 2
    limits = [np.log([least, max(squares.max(), 2 * least)]), np.log([1e-14, 1e4])]
    found = minimize(cost, np.log([start, start / middle]).clip(*zip(*limits, strict=True)), jac=True, bounds=limits)
    alpha, beta = np.exp(found.x)
    return float(alpha), float(beta)
