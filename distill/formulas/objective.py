"""Make a formula better: refit its constants, round exponents, drop terms, repair its structure.

Everything works on an ``Objective``: features, a target and a LINEAR map from the formula's row values to
the residuals. With the identity map that is ordinary regression; with "multiply by the unit vector, add up
over the senders, divide by the mass" it is the fit of a pair force to accelerations. Linear matters: the
derivative of every residual is the same map applied to the derivative of the rows, so the Jacobian and the
first-order effect of any change to the formula cost one backward sweep (``program.py``).

All functions are deterministic and never raise for a formula that cannot be evaluated: its score is infinite.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import sympy as sp
from scipy.optimize import least_squares, leastsq

from distill.formulas.program import Fixed, Program
from distill.formulas.text import symbols_for
from distill.formulas.tree import parametrise, with_constants

MAX_CONSTANTS = 20
_BAD = 1e6  # residual of a row that is not finite: repels the fit


class Objective:
    """What a formula is fitted to.

    ``features``: name -> array [row]; ``target``, ``weights`` [residual]; ``apply``: linear map from row values
    [row] or [row, k] to [residual] or [residual, k] (identity if None). ``loss`` of the fit: "linear" (squares)
    or "soft_l1" with ``f_scale``. ``metric`` of ``score``: "mse" (mean squared weighted residual) or
    "relative" (mean absolute weighted residual, for weights like 1 / (c + |target|)).
    """

    def __init__(
        self,
        features: dict,
        target,
        weights=None,
        apply: Callable | None = None,
        loss: str = "linear",
        f_scale: float = 0.01,
        metric: str = "mse",
    ):
        self.names = list(features)
        self.symbols = symbols_for(self.names)
        self.columns = [np.asarray(features[n], dtype=float) for n in self.names]
        self.target = np.asarray(target, dtype=float)
        self.weights = np.ones_like(self.target) if weights is None else np.asarray(weights, dtype=float)
        self.apply = apply or (lambda values: values)
        self.loss, self.f_scale, self.metric = loss, f_scale, metric
        self.rows = len(self.columns[0])
        # scores below this are the rounding of float32 data: no reason to change a formula
        zero = self.score_of(-self.weights * self.target)
        self.tiny = zero * (2e-7 if metric == "relative" else 2e-7**2)

    @classmethod
    def direct(cls, X, y, names: Sequence[str], weights=None, **options) -> "Objective":
        """Ordinary regression of ``y`` [row] on the columns of ``X`` [row, feature]."""
        return cls(dict(zip(names, np.asarray(X, dtype=float).T, strict=True)), y, weights, **options)

    def values(self, expr: sp.Expr) -> np.ndarray:
        """Row values [row] of ``expr``; NaN where it cannot be evaluated."""
        try:
            program = Program(expr, self.symbols)
        except (ValueError, TypeError, OverflowError):
            return np.full(self.rows, np.nan)
        with np.errstate(all="ignore"):
            return self.full(program.values(self.columns)[program.output])

    def full(self, value):
        """A column as [row]: a formula without variables gives a single number."""
        return value if np.shape(value) == (self.rows,) else np.full(self.rows, value, dtype=float)

    def residual(self, expr: sp.Expr) -> np.ndarray:
        """Weighted residuals [residual]."""
        return self.weights * (self.apply(self.values(expr)) - self.target)

    def score(self, expr: sp.Expr) -> float:
        return self.score_of(self.residual(expr))

    def score_of(self, residual) -> float:
        with np.errstate(all="ignore"):
            value = np.mean(np.abs(residual)) if self.metric == "relative" else np.mean(residual**2)
        return float(value) if np.isfinite(value) else np.inf

    def fit(self, expr: sp.Expr, max_nfev: int = 60, above: float = np.inf) -> tuple[sp.Expr, float]:
        """(``expr`` with its free constants refitted, score). Unchanged if it has none or more than
        ``MAX_CONSTANTS``, or if the fit does not lower the loss. A fit whose score is clearly higher than ``above``
        is of no use to the caller: then ``expr`` as it was and infinity.
        """
        pexpr, params, start = parametrise(expr)
        if not 0 < len(params) <= min(MAX_CONSTANTS, len(self.target)):
            return expr, self.score(expr)
        try:
            program = Program(pexpr, [*self.symbols, *params])
        except (ValueError, TypeError, OverflowError):
            return expr, self.score(expr)
        with np.errstate(all="ignore"):
            found = self._least_squares(program, start, max_nfev)
        if found is None:
            return expr, self.score(expr)
        x, residual = found
        # putting numbers into a formula and compiling it again costs as much as the fit
        if self.score_of(residual) > above * (1 + 1e-6):
            return expr, np.inf
        fitted = with_constants(pexpr, params, x)
        after = self.score(fitted)
        return (fitted, after) if np.isfinite(after) else (expr, self.score(expr))

    def _least_squares(self, program, start, max_nfev):
        """(constants [k], residuals [residual]) of the best fit from ``start``; None if it is no better."""
        if not np.isfinite(start).all():  # a power of constants may overflow
            return None
        run = Fixed(program, self.columns)
        state = {"at": None}

        def evaluate(p):
            if state["at"] is None or not np.array_equal(p, state["at"]):
                state.pop("J", None)
                state["at"], state["slots"] = p.copy(), run.values(p.tolist())
            return state["slots"]

        def residual(p):
            r = self.weights * (self.apply(self.full(evaluate(p)[program.output])) - self.target)
            return r if np.isfinite(r).all() else np.where(np.isfinite(r), r, _BAD)

        def jacobian(p):
            slots = evaluate(p)
            if "J" not in state:
                rows = np.stack([self.full(0.0 if g is None else g) for g in run.gradients(slots)], axis=1)
                J = self.weights[:, None] * self.apply(rows)
                state["J"] = J if np.isfinite(J).all() else np.where(np.isfinite(J), J, 0.0)
            return state["J"]

        scale = np.maximum(np.abs(start), 1e-3)
        before = self._cost(residual(start))
        try:
            if self.loss == "linear":
                # the same MINPACK routine as in least_squares, without what that does around it
                with warnings.catch_warnings():  # that it ended at max_nfev is no news
                    warnings.simplefilter("ignore")
                    x = leastsq(
                        residual,
                        start,
                        Dfun=jacobian,
                        ftol=1e-10,
                        xtol=1e-10,
                        gtol=1e-8,
                        maxfev=max_nfev,
                        diag=1 / scale,
                    )[0]
            else:
                options = {"f_scale": self.f_scale, "ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-14}
                x = least_squares(
                    residual, start, jacobian, x_scale=scale, max_nfev=max_nfev, loss=self.loss, **options
                ).x
        except (ValueError, np.linalg.LinAlgError):  # no finite step from here
            return None
        if not np.isfinite(x).all():
            return None
        last = residual(x)
        return (x, last) if self._cost(last) <= before else None

    def _cost(self, r):
        if self.loss == "linear":
            return np.sum(r**2)
        return np.sum(np.sqrt(1 + (r / self.f_scale) ** 2) - 1)

    def robust_weights(self, residual) -> np.ndarray:
        """Factors [residual] that make least squares behave like ``loss`` near the current formula."""
        if self.loss == "linear":
            return np.ones_like(residual)
        return (1 + (residual / self.f_scale) ** 2) ** -0.25
