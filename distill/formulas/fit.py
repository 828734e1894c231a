"""The least-squares fit of a formula's constants: the only one, under every search, repair and comparison.

Constants in which the formula is linear are not searched for: at any value of the others they follow from a linear
least-squares problem with scaled columns (variable projection: G. Golub, V. Pereyra, SIAM J. Numer. Anal. 10, 413,
1973; its Jacobian without the second term: L. Kaufman, BIT 15, 49, 1975). For the soft l1 loss that is repeated with
weights taken from the residuals, and a fit of all constants together ends it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from scipy.linalg import solve_triangular
from scipy.optimize import least_squares

from distill.formulas.program import Fixed, Program
from distill.formulas.text import symbols_for
from distill.statistics.levenberg import minimised

BAD = 1e6  # residual of a row that is not finite: repels the fit
# rounds of the soft l1 loss where all constants are linear, and the fall that ends them
REWEIGHTED, CONVERGED = 40, 1e-13
ROUNDS = 2  # of weights where some are not, before the fit of all
THOROUGH = 60  # evaluations allowed: from here on the linear constants follow at every step, else at the start only
RANK = 1e-10  # singular values of the scaled columns below this share are none
GONE = 1e-8  # share of a column that the linear constants leave: below it they do all that it does


@dataclass
class Problem:
    """Weighted residuals of ``program``, whose first inputs are ``fixed``, the constants to fit being the others.

    ``target``, ``weights`` [residual]; ``apply``: linear map from row values [row] or [row, k] to [residual] or
    [residual, k]; ``rows`` their number. ``f_scale``: None for squares, else that of the soft l1 loss. ``linear``:
    numbers of the constants in which the program is linear, all of them together (``tree.linear_constants``).
    """

    program: Program
    fixed: list
    target: np.ndarray
    weights: np.ndarray
    rows: int
    apply: Callable = lambda values: values
    f_scale: float | None = None
    linear: Sequence[int] = ()

    def __post_init__(self):
        self.run, self.at, self.slots, self.J = Fixed(self.program, self.fixed), None, None, None
        self.linear = list(self.linear)
        self.gradients_linear = self.run.gradients_of(self.linear)

    def _evaluate(self, p):
        if self.at is None or not np.array_equal(p, self.at):
            self.at, self.slots, self.J = p.copy(), self.run.values(p.tolist()), None
        return self.slots

    def residual(self, p) -> np.ndarray:
        """[residual], finite."""
        r = self.weights * (self.apply(full(self._evaluate(p)[self.program.output], self.rows)) - self.target)
        return r if np.isfinite(r).all() else np.where(np.isfinite(r), r, BAD)

    def jacobian(self, p) -> np.ndarray:
        """[residual, constant], finite."""
        slots = self._evaluate(p)
        if self.J is None:
            grads = self.run.gradients(slots)
            rows = np.stack([full(0.0 if g is None else g, self.rows) for g in grads], axis=1)
            J = self.weights[:, None] * self.apply(rows)
            self.J = J if np.isfinite(J).all() else np.where(np.isfinite(J), J, 0.0)
        return self.J

    def cost(self, r) -> float:
        """The loss of residuals ``r``."""
        if self.f_scale is None:
            return np.sum(r**2)
        return np.sum(np.sqrt(1 + (r / self.f_scale) ** 2) - 1)

    def row_weights(self, r) -> np.ndarray:
        """[residual]: times these, the squares change as the soft l1 loss does near the residuals ``r``."""
        return (1 + (r / self.f_scale) ** 2) ** -0.25

    def projected(self, p, weights=None) -> tuple:
        """(constants [k], residuals [residual], Q [rank, residual]): ``p`` with its linear constants at least squares
        of the residuals, and orthonormal rows that span what the linear constants reach. With ``weights``
        [residual] residuals and reach are multiplied by them. A constant that does only what others before it do
        stays as it is.
        """
        B, r = self._reach(p), self.residual(p)
        if weights is not None:
            B, r = B * weights, weights * r
        Q, R = np.empty_like(B), np.zeros((len(B), len(B)))
        kept: list[int] = []
        for k, column in enumerate(B):  # Gram-Schmidt, twice: few columns are faster so than by a library
            size = math.sqrt(column @ column)
            if not size > 0:
                continue
            n, rest = len(kept), column / size
            for _ in range(2 if n else 0):
                along = Q[:n] @ rest
                rest = rest - along @ Q[:n]
                R[:n, n] += along
            left = math.sqrt(rest @ rest)
            if left > RANK:
                Q[n], R[n, n] = rest / left, left
                R[: n + 1, n] *= size
                kept.append(self.linear[k])
            else:
                R[:n, n] = 0.0
        n = len(kept)
        Q, along = Q[:n], Q[:n] @ r
        at = p.copy()
        if n:
            at[kept] -= solve_triangular(R[:n, :n], along) if n > 1 else along / R[0, 0]
        return at, r - along @ Q, Q

    def _reach(self, p) -> np.ndarray:
        """Weighted effect of each linear constant [constant, residual]: it depends on none of them."""
        slots = self._evaluate(p)
        rows = [full(0.0 if g is None else g, self.rows) for g in self.gradients_linear(slots)]
        B = self.weights * self.apply(np.stack(rows, axis=1)).reshape(len(self.target), -1).T
        return B if np.isfinite(B).all() else np.where(np.isfinite(B), B, 0.0)

    def solve(self, start: np.ndarray, scale: np.ndarray, max_nfev: int, tolerances: tuple) -> tuple | None:
        """(constants [k], residuals [residual]) of the best fit from ``start``; None if it is no better.

        ``scale``: typical sizes [k]. ``tolerances``: of loss, constants and gradient. Call it with numpy's warnings
        off: a formula may be undefined somewhere.
        """
        if not np.isfinite(start).all():  # a power of constants may overflow
            return None
        before = self.cost(self.residual(start))
        fit = self._squares if self.f_scale is None else self._robust
        try:
            x = fit(start, scale, max_nfev, tolerances)
        except (ValueError, np.linalg.LinAlgError):  # no finite step from here
            return None
        if not np.isfinite(x).all():
            return None
        last = self.residual(x)
        return (x, last) if self.cost(last) <= before else None

    def _squares(self, start, scale, max_nfev, tolerances, weights=None) -> np.ndarray:
        """Constants [k] of the least squares from ``start``; of the residuals times ``weights`` if these are given."""
        others = [k for k in range(len(start)) if k not in self.linear]
        if not others:
            return self.projected(start, weights)[0]
        if self.linear and max_nfev < THOROUGH:
            start = self.projected(start, weights)[0]
        last = {"p": start}

        def complete(theta):  # all constants, the linear ones as they follow from the others
            if "theta" not in last or not np.array_equal(theta, last["theta"]):
                p = last["p"].copy()
                p[others] = theta
                last["p"], last["r"], last["Q"] = self.projected(p, weights)
                last["theta"] = theta.copy()
            return last

        def residual(theta):
            return complete(theta)["r"]

        def jacobian(theta):
            found = complete(theta)
            J = self.jacobian(found["p"])[:, others]
            J = J if weights is None else weights[:, None] * J
            rest = J - found["Q"].T @ (found["Q"] @ J)
            rest[:, np.einsum("ij,ij->j", rest, rest) <= GONE**2 * np.einsum("ij,ij->j", J, J)] = 0.0
            return rest

        if self.linear and max_nfev >= THOROUGH:
            found = minimised(residual, jacobian, start[others], scale[others], tolerances, max_nfev)
            return complete(found)["p"]
        if weights is None:
            return minimised(self.residual, self.jacobian, start, scale, tolerances, max_nfev)
        scaled = (lambda p: weights * self.residual(p)), (lambda p: weights[:, None] * self.jacobian(p))
        return minimised(*scaled, start, scale, tolerances, max_nfev)

    def _robust(self, start, scale, max_nfev, tolerances) -> np.ndarray:
        """Constants [k] of the least soft l1 loss from ``start``."""
        p, cost = start, self.cost(self.residual(start))
        if len(self.linear) == len(start):
            weights = None
            for _ in range(REWEIGHTED):
                trial = self.projected(p, weights)[0]
                r = self.residual(trial)
                fall = cost - self.cost(r)
                if weights is None and not fall > 0:  # the start is better than least squares: from there
                    weights = self.row_weights(self.residual(p))
                    continue
                weights = self.row_weights(r)
                if fall > 0:
                    p, cost = trial, cost - fall
                if fall <= CONVERGED * cost:
                    return p
        elif self.linear:
            weights, trial, size = None, p, scale
            for _ in range(ROUNDS):
                trial = self._squares(trial, size, max_nfev, tolerances, weights)
                if not np.isfinite(trial).all():
                    break
                r = self.residual(trial)
                if self.cost(r) < cost:
                    p, cost = trial, self.cost(r)
                weights, size = self.row_weights(r), np.maximum(np.abs(trial), 1e-3 * scale)
            if p is not start:
                scale = np.maximum(np.abs(p), 1e-3 * scale)
                columns = np.linalg.norm(self._reach(p), axis=1)
                reach = np.linalg.norm(self.weights * self.target) / np.maximum(columns, 1e-300)
                scale[self.linear] = np.maximum(np.abs(p[self.linear]), 1e-3 * reach)
        ftol, xtol, gtol = tolerances
        options = dict(ftol=ftol, xtol=xtol, gtol=gtol, max_nfev=max_nfev, x_scale=scale)
        options |= {"loss": "soft_l1", "f_scale": self.f_scale}
        return least_squares(self.residual, p, self.jacobian, **options).x


def full(value, rows: int) -> np.ndarray:
    """A column as [row]: a formula without variables gives a single number."""
    return value if np.shape(value) == (rows,) else np.full(rows, value, dtype=float)


def value_of(expr: sp.Expr, columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """``expr`` [row] at the ``columns``, variable -> [row]; NaN where it cannot be evaluated."""
    try:
        program = Program(expr, symbols_for(list(columns)))
    except (ValueError, TypeError, OverflowError):
        return np.full(rows, np.nan)
    with np.errstate(all="ignore"):
        return full(program.values(list(columns.values()))[program.output], rows)
