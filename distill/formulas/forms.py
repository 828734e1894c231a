"""The form of a law, its numbers set free, and its fit to the values of another law.

Used to ask whether a law has the form of the truth, however it is spelt: see ``distill.formulas.equivalence``. The fit
is to values without noise, so it either meets them to rounding or the form is another.
"""

import functools
from dataclasses import dataclass, field

import numpy as np
import sympy as sp

from distill.formulas.fit import Problem
from distill.formulas.functions import greater
from distill.formulas.program import Program, compile_numpy
from distill.formulas.text import to_text
from distill.formulas.tree import canonical

TOLERANCES = (1e-14, 1e-14, 1e-14)  # of loss, constants and gradient


def typical(size: np.ndarray) -> float:
    """Median of ``size`` [sample], or the mean, or 1: a law may be 0 nearly everywhere."""
    return float(np.median(size) or np.mean(size) or 1.0)


# ---------------------------------------------------------------- the numbers of a form


@dataclass
class Constant:
    """One number of a form. ``rank``: which of several that do the same job stays free (lowest first)."""

    symbol: sp.Symbol
    value: float
    role: str
    rank: int
    outer: bool = False  # multiplies the whole form or a term of its outermost sum
    compared: sp.Expr | None = None  # of a threshold in ``greater``: what is compared with it


@dataclass
class Form:
    """A formula whose numbers are symbols; exponents that are whole or rational are structure and stay."""

    expr: sp.Expr
    constants: list[Constant] = field(default_factory=list)


@functools.lru_cache(maxsize=64)
def form_of(truth: sp.Expr) -> Form:
    """The form of a formula: canonical, with every number free, 1 and -1 in front of a term included."""
    constants: list[Constant] = []

    def new(value, role, rank, **about):
        # "#" can't be in a variable's name, so nothing collides
        constants.append(Constant(sp.Symbol(f"#{len(constants)}", real=True), float(value), role, rank, **about))
        return constants[-1].symbol

    def scaled(e, rank, outer=False, where=""):
        """``e`` with a free coefficient; one that is written out goes first."""
        number, rest = e.as_coeff_Mul()
        role = f"coefficient of {to_text(rest, 4)}{where}"
        return new(number, role, 0 if abs(number) != 1 else rank, outer=outer) * walk(rest)

    def walk(e, outer=False):
        if e.is_Add:
            plain = [t for t in e.args if t.is_number]
            rest = sp.Add(*[t for t in e.args if not t.is_number])
            # in (r + c) it is the factor before the bracket that stays free, in (a x + b y) both a and b
            terms = [scaled(t, 4 if plain else 1, outer) for t in sp.Add.make_args(rest)]
            role = f"added to {to_text(rest.as_coeff_Mul()[1], 4)}"
            return sp.Add(*terms, *[new(t, role, 0, outer=outer) for t in plain])
        if e.is_Mul:
            number, rest = e.as_coeff_Mul()
            return scaled(e, 3) if number != 1 else sp.Mul(*[walk(a) for a in e.args])
        if e.is_Pow:
            base, exponent = e.args
            if exponent.is_Float:
                exponent = new(exponent, f"exponent of {to_text(base, 4)}", 0)
            elif base.is_Float:
                return new(base, f"to the power {to_text(exponent, 4)}", 0) ** exponent
            return (base if base.is_number else walk(base)) ** (exponent if exponent.is_Atom else walk(exponent))
        if e.func is greater:
            return _threshold(e, new)
        if e.is_Atom:
            return e
        # a factor within a logarithm would be a new term, not a constant of the form
        free = e.func in (sp.exp, sp.sin, sp.cos, sp.tanh) and not e.args[0].is_Add
        return e.func(*[scaled(a, 3, where=f" in {e.func.__name__}") if free else walk(a) for a in e.args])

    expr = canonical(truth)
    if expr.is_Add:
        return Form(walk(expr, True), constants)
    number, rest = expr.as_coeff_Mul()
    factors, sums = [new(number, "overall factor", 0 if abs(number) != 1 else 2, outer=True)], 0
    for factor in sp.Mul.make_args(rest):
        whole = factor.is_Add and not any(t.is_number for t in factor.args)  # its terms share the overall factor
        factors.append(walk(factor, whole and not sums))
        sums += whole
    return Form(sp.Mul(*factors), constants)


def _threshold(e, new):
    """``greater(a, b)`` as the comparison of one quantity with one free number, where there is one."""
    gap = sp.expand(e.args[0] - e.args[1])
    number, rest = gap.as_coeff_Add()
    scale = sp.Add.make_args(rest)[0].as_coeff_Mul()[0]
    if number == 0 or rest.is_number:
        return e
    compared = sp.expand(rest / scale)
    at = new(-number / scale, f"threshold of {to_text(compared, 4)}", 0, compared=compared)
    return greater(compared, at) if scale > 0 else greater(at, compared)


# ---------------------------------------------------------------- the fit of a form to a law


class Fit:
    """``form`` fitted to the ``values`` [row] of a law at the ``columns`` (variable name -> [row]).

    ``weights`` [row]: one over the size against which an error counts. ``rows``: those used for fitting; what is
    found is then held to all. Call it with numpy's warnings off: a form may be undefined somewhere.
    """

    def __init__(self, form: Form, columns: dict, values: np.ndarray, weights: np.ndarray, rows):
        self.form, self.values, self.weights = form, values, weights
        by_name = {s.name: s for s in form.expr.free_symbols}
        inputs = [by_name.get(n, sp.Symbol(n)) for n in columns]
        self.columns = list(columns.values())
        self.names = list(columns)
        self.program = Program(form.expr, [*inputs, *(c.symbol for c in form.constants)])
        self.at = np.array([c.value for c in form.constants])
        self.rows = rows
        self.free = self._independent()
        symbols = [c.symbol for c in form.constants]
        kept = [s for k, s in enumerate(symbols) if k not in self.free]
        self.free_last = Program(form.expr, [*inputs, *kept, *(symbols[k] for k in self.free)])

    def model(self, at, rows=slice(None)) -> np.ndarray:
        """The form with the constants ``at`` [constant] at some rows."""
        return self._slots(at, rows)[self.program.output] + 0.0 * self.values[rows]

    def _slots(self, at, rows):
        return self.program.values([*(c[rows] for c in self.columns), *map(float, at)])

    def _jacobian(self, at, rows, which):
        grads = self.program.gradients(self._slots(at, rows))
        shape, first = self.values[rows].shape, len(self.columns)
        parts = [grads[first + k] for k in which]
        return np.stack([np.zeros(shape) if g is None else np.broadcast_to(g, shape) for g in parts], 1)

    def _independent(self) -> list[int]:
        """Constants to fit: those whose effect, as the form stands, no others before them have (Gram-Schmidt)."""
        order = [k for k, c in enumerate(self.form.constants) if c.compared is None]
        order.sort(key=lambda k: self.form.constants[k].rank)
        basis = np.zeros((len(self.rows), 0))
        kept: list[int] = []
        size = np.abs(self.model(self.at, self.rows))
        weights = 1 / (0.05 * typical(size) + size)
        for k in order:
            column = weights * self._jacobian(self.at, self.rows, [k])[:, 0]
            rest = column - basis @ (basis.T @ column)
            rest = rest - basis @ (basis.T @ rest)
            if np.isfinite(rest).all() and np.linalg.norm(rest) > 1e-6 * np.linalg.norm(column):
                basis, kept = np.column_stack([basis, rest / np.linalg.norm(rest)]), [*kept, k]
        return sorted(kept)

    def solve(self, start: np.ndarray, rows) -> np.ndarray:
        """Least squares over the free constants from ``start`` [constant]."""
        if not self.free or len(self.values[rows]) < len(self.free):
            return start
        kept = [start[k] for k in range(len(start)) if k not in self.free]
        fixed = [*(c[rows] for c in self.columns), *map(float, kept)]
        target, first = self.values[rows], start[self.free]
        problem = Problem(self.free_last, fixed, target, self.weights[rows], len(target))
        found = problem.solve(first, np.abs(first) + 1e-9, 60, TOLERANCES)
        if found is None:
            return start
        at = start.copy()
        at[self.free] = found[0]
        return at

    def error(self, at, rows=slice(None)) -> np.ndarray:
        """Relative error [row] of the form against the law; infinite where it is not finite."""
        left = np.abs(self.weights[rows] * (self.model(at, rows) - self.values[rows]))
        return np.where(np.isfinite(left), left, np.inf)

    def best(self, scale: float, enough: float, hints=()) -> np.ndarray:
        """Constants [constant] of the best fit, ``enough`` being the error at which to stop.

        ``scale``: size of the law over that of the form as it stands, for a first start. Thresholds are located
        one after the other; one of the ``hints`` is taken where no sample tells it from others.
        """
        starts = [self.at]
        if scale > 0 and scale != 1:
            outer = np.array([c.outer and k in self.free for k, c in enumerate(self.form.constants)])
            starts.insert(0, np.where(outer, scale * self.at, self.at))
        tried = []
        for start in starts:
            tried.append(self.solve(start, self.rows))
            if self.error(tried[-1], self.rows).max() <= enough:
                break
        at = min(tried, key=lambda p: self.error(p, self.rows).max())
        for k, constant in enumerate(self.form.constants):
            if constant.compared is not None and self.error(at).max() > enough:
                at = self._locate(k, starts[0], hints)
        return at

    def _locate(self, k, start, hints) -> np.ndarray:
        """``start`` with threshold ``k`` where the law's jump is, and the other constants refitted.

        No derivative tells of a threshold. It is scanned over a factor of 2 either way, the rest fitted to
        rows well away from it; then each row close by says on which side of the jump it lies.
        """
        quantity = compile_numpy(self.form.constants[k].compared, self.names)(*self.columns)
        best = (np.inf, start)
        for trial in self.at[k] * np.geomspace(0.5, 2.0, 41):  # steps of 3.5 %, less than the gap left
            at = start.copy()
            at[k] = trial
            away = self.rows[np.abs(quantity[self.rows] - trial) > 0.05 * abs(trial)]
            if len(away) > len(self.free):
                at = self.solve(at, away)
                best = min(best, (float(np.minimum(self.error(at, away), 1.0).mean()), at), key=lambda b: b[0])
        at = best[1]
        close = np.flatnonzero(np.abs(quantity - at[k]) <= 0.1 * abs(at[k]))
        close = close[np.argsort(quantity[close], kind="stable")]
        if not len(close):
            return at
        sides = []
        for side in (-np.inf, np.inf):  # every row above the threshold, every row below
            there = at.copy()
            there[k] = side
            sides.append(np.minimum(self.error(there, close), 1.0))
        above = np.r_[np.cumsum(sides[0][::-1])[::-1], 0.0]  # of a threshold just below row n
        cut = int(np.argmin(above + np.r_[0.0, np.cumsum(sides[1])]))
        edges = quantity[close]
        low, high = edges[max(cut - 1, 0)], edges[min(cut, len(close) - 1)]
        at[k] = next((v for v in (self.at[k], *hints) if low <= v < high), 0.5 * (low + high))
        return at
