"""What a formula is fitted to, and the fit of its constants.

Everything works on an ``Objective``: features, a target and a LINEAR map from the formula's row values to
the residuals. With the identity map that is ordinary regression; with "multiply by the unit vector, add up
over the senders, divide by the mass" it is the fit of a pair force to accelerations. Linear matters: the
derivative of every residual is the same map applied to the derivative of the rows, so the Jacobian and the
first-order effect of any change to the formula cost one backward sweep (``program.py``).

All functions are deterministic and never raise for a formula that cannot be evaluated: its score is infinite.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import sympy as sp

from distill.formulas.fit import Problem, full
from distill.formulas.program import Program
from distill.formulas.text import symbols_for
from distill.formulas.tree import linear_constants, parametrise, with_constants

MAX_CONSTANTS = 20
LEAST = 1e-3
SQUARES, SOFT = (1e-10, 1e-10, 1e-8), (1e-12, 1e-8, 1e-14)  # tolerances of loss, constants and gradient


class Objective:
    """What a formula is fitted to.

    ``features``: name -> array [row]; ``target``, ``weights`` [residual]; ``apply``: linear map from row values
    [row] or [row, k] to [residual] or [residual, k] (identity if None). ``loss`` of the fit: "linear" (squares)
    or "soft_l1" with ``f_scale``. ``metric`` of ``score``: "mse" (mean squared weighted residual) or
    "relative" (mean absolute weighted residual, for weights like 1 / (c + |target|)). ``least``: a constant that starts
    smaller may be of that size too; right for data of order one, 0 where constants may be of any size and are near
    their best already.
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
        least: float = LEAST,
    ):
        self.names = list(features)
        self.symbols = symbols_for(self.names)
        self.columns = [np.asarray(features[n], dtype=float) for n in self.names]
        self.target = np.asarray(target, dtype=float)
        self.weights = np.ones_like(self.target) if weights is None else np.asarray(weights, dtype=float)
        self.apply = apply or (lambda values: values)
        self.loss, self.f_scale, self.metric = loss, f_scale, metric
        self.least = least
        self.rows = len(self.columns[0])
        # scores below this are the rounding of float32 data: no reason to change a formula
        zero = self.score_of(-self.weights * self.target)
        self.tiny = zero * (2e-7 if metric == "relative" else 2e-7**2)

    @classmethod
    def direct(cls, X, y, names: Sequence[str], weights=None, **options) -> "Objective":
        """Ordinary regression of ``y`` [row] on the columns of ``X`` [row, feature]."""
        return cls(dict(zip(names, np.asarray(X, dtype=float).T, strict=True)), y, weights, **options)

    def compiled(self, expr: sp.Expr, constants=()) -> Program | None:
        """``expr`` as a program of the features and the symbols ``constants``; None if it cannot be evaluated."""
        try:
            return Program(expr, [*self.symbols, *constants])
        except (ValueError, TypeError, OverflowError):
            return None

    def problem(self, program: Program, linear: Sequence[int] = (), extra: Iterable = ()) -> Problem:
        """The fit of a ``program`` of the features, of further columns ``extra`` [row] and of constants, linear in
        those with the numbers ``linear``.
        """
        f_scale = None if self.loss == "linear" else self.f_scale
        return Problem(
            program, [*self.columns, *extra], self.target, self.weights, self.rows, self.apply, f_scale, linear
        )

    def linearised(self, expr: sp.Expr) -> tuple | None:
        """(program, its slots, weights [residual], what is missing [residual]): what is missing should be
        ``weights`` times the effect of a change, ``loss`` taken as squares near the current formula. None if that is
        not finite. Call it with numpy's warnings off.
        """
        program = self.compiled(expr)
        if program is None:
            return None
        slots = program.values(self.columns)
        r = self.weights * (self.apply(self.full(slots[program.output])) - self.target)
        factor = np.ones_like(r) if self.loss == "linear" else (1 + (r / self.f_scale) ** 2) ** -0.25
        missing = -r * factor
        return (program, slots, self.weights * factor, missing) if np.isfinite(missing).all() else None

    def values(self, expr: sp.Expr) -> np.ndarray:
        """Row values [row] of ``expr``; NaN where it cannot be evaluated."""
        program = self.compiled(expr)
        if program is None:
            return np.full(self.rows, np.nan)
        with np.errstate(all="ignore"):
            return self.full(program.values(self.columns)[program.output])

    def full(self, value):
        """A column as [row]: a formula without variables gives a single number."""
        return full(value, self.rows)

    def residual(self, expr: sp.Expr) -> np.ndarray:
        """Weighted residuals [residual]."""
        return self.weights * (self.apply(self.values(expr)) - self.target)

    def score(self, expr: sp.Expr) -> float:
        return self.score_of(self.residual(expr))

    def score_of(self, residual) -> float:
        with np.errstate(all="ignore"):
            value = np.mean(np.abs(residual)) if self.metric == "relative" else np.mean(residual**2)
        return float(value) if np.isfinite(value) else np.inf

    def constants(
        self, pexpr: sp.Expr, params: Sequence[sp.Symbol], start: np.ndarray, max_nfev: int = 60
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """(values of the constants ``params`` of ``pexpr``, in their order, fitted from ``start``; residual); None
        where there is nothing to fit, or too little to fit it to. Once values are put into a formula its constants have
        no order that stays: SymPy sorts by them.
        """
        program = self.compiled(pexpr, params) if 0 < len(params) <= len(self.target) else None
        if program is None:
            return None
        with np.errstate(all="ignore"):
            problem = self.problem(program, linear_constants(pexpr, params))
            scale = np.maximum(np.abs(start), self.least)
            scale = np.where(scale > 0, scale, LEAST)
            return problem.solve(start, scale, max_nfev, SQUARES if problem.f_scale is None else SOFT)

    def fit(
        self, expr: sp.Expr, max_nfev: int = 60, above: float = np.inf, most: int = MAX_CONSTANTS
    ) -> tuple[sp.Expr, float]:
        """(``expr`` with its free constants refitted, score). Unchanged if it has none or more than ``most``, or if the
        fit does not lower the loss. A fit whose score is clearly higher than ``above`` is of no use to the caller: then
        ``expr`` as it was and infinity.
        """
        pexpr, params, start = parametrise(expr)
        found = self.constants(pexpr, params, start, max_nfev) if len(params) <= most else None
        if found is None:
            return expr, self.score(expr)
        x, residual = found
        # putting numbers into a formula and compiling it again costs as much as the fit
        if self.score_of(residual) > above * (1 + 1e-6):
            return expr, np.inf
        fitted = with_constants(pexpr, params, x)
        after = self.score(fitted)
        return (fitted, after) if np.isfinite(after) else (expr, self.score(expr))
