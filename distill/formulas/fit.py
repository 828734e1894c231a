"""The least-squares fit of a formula's constants: the only one, under every search, repair and comparison."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares, leastsq

from distill.formulas.program import Fixed, Program

BAD = 1e6  # residual of a row that is not finite: repels the fit


@dataclass
class Problem:
    """Weighted residuals of ``program``, whose first inputs are ``fixed``, the constants to fit being the others.

    ``target``, ``weights`` [residual]; ``apply``: linear map from row values [row] or [row, k] to [residual] or
    [residual, k]; ``rows`` their number. ``f_scale``: None for squares, else that of the soft l1 loss.
    """

    program: Program
    fixed: list
    target: np.ndarray
    weights: np.ndarray
    rows: int
    apply: Callable = lambda values: values
    f_scale: float | None = None

    def __post_init__(self):
        self.run, self.at, self.slots, self.J = Fixed(self.program, self.fixed), None, None, None

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

    def solve(self, start: np.ndarray, scale: np.ndarray, max_nfev: int, tolerances: tuple) -> tuple | None:
        """(constants [k], residuals [residual]) of the best fit from ``start``; None if it is no better.

        ``scale``: typical sizes [k]. ``tolerances``: of loss, constants and gradient. Call it with numpy's warnings
        off: a formula may be undefined somewhere.
        """
        if not np.isfinite(start).all():  # a power of constants may overflow
            return None
        before = self.cost(self.residual(start))
        ftol, xtol, gtol = tolerances
        try:
            if self.f_scale is None:
                # the MINPACK routine of least_squares, without what that does around it
                options = dict(ftol=ftol, xtol=xtol, gtol=gtol, maxfev=max_nfev, diag=1 / scale)
                with warnings.catch_warnings():  # that it ended at max_nfev is no news
                    warnings.simplefilter("ignore")
                    x = leastsq(self.residual, start, Dfun=self.jacobian, **options)[0]
            else:
                options = dict(ftol=ftol, xtol=xtol, gtol=gtol, max_nfev=max_nfev, x_scale=scale)
                options |= {"loss": "soft_l1", "f_scale": self.f_scale}
                x = least_squares(self.residual, start, self.jacobian, **options).x
        except (ValueError, np.linalg.LinAlgError):  # no finite step from here
            return None
        if not np.isfinite(x).all():
            return None
        last = self.residual(x)
        return (x, last) if self.cost(last) <= before else None


def full(value, rows: int) -> np.ndarray:
    """A column as [row]: a formula without variables gives a single number."""
    return value if np.shape(value) == (rows,) else np.full(rows, value, dtype=float)
