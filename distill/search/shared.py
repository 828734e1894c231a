"""One radial law behind all message components: Y = A (u f) + b with u the unit vector dx / r.

The mixing A and the offset b need no formula (``mixing.py``). What is left is one number a row, f, to search for
as a formula, or PySR's template search does both at once (``pysr/template.py``). Then A, b and the constants of
every formula are refitted in turns on the components themselves. The scale is shared between A and f and cannot
be known: f has the leading coefficient 1, A carries the rest.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sympy as sp

from distill.formulas.objective import Objective
from distill.formulas.text import sorted_terms, to_text
from distill.formulas.tree import canonical, complexity, with_scales
from distill.search.choice import pareto, reported
from distill.search.engine import SearchOptions, cpu_seconds, unit_charges
from distill.search.front import Front, Row
from distill.search.mixing import Mixing, central_mixing
from distill.search.registry import load_engine
from distill.shell.errors import UserError
from distill.shell.stage import warn

MAX_ROWS = 4000  # rows of the fits: mixing and constants need no more
ACROSS = 0.05  # share of the squared components across A u above which the model is in doubt
ROUNDS = 3  # of A and b, and the constants of the formula, in turns
SHORT = 0.5  # rows with |A u| below this share of the largest are left out of the search: f is noisy there


def search_shared(
    Y, unit, X, names: Sequence[str], options: SearchOptions | None = None
) -> tuple[Front, np.ndarray, np.ndarray]:
    """(front of formulas for f, A [component, dim], b [component]) of Y = A (u f(X)) + b.

    ``Y`` [row, component], at least as many components as dimensions; ``unit`` [row, dim] unit vectors, 2 or
    3 dimensions; ``X`` [row, feature] named ``names``. A and b belong to the chosen row. ``options.loss`` is that of
    the search for f; the losses of the rows are mean squared errors of the components in units of their noise, the
    noise taken from what lies across A u. ``front.info`` holds ``across``, the share of the squares of Y - b across
    A u (0: one central force; a warning above 5 %), and ``condition``, the condition number of A. Raises ``UserError``
    for data that cannot be used.
    """
    options = options or SearchOptions()
    engine = load_engine(options.engine)
    engine.check(options)
    Y, unit, X = check(Y, unit, X, names)
    started, cpu = time.perf_counter(), cpu_seconds()
    order = np.random.default_rng([options.seed, 13]).permutation(len(Y))[:MAX_ROWS]
    Y, unit, X = Y[order], unit[order], X[order]
    held = np.arange(len(Y)) < len(Y) // 5
    mixing = central_mixing(Y[~held], unit[~held])
    if mixing.across > ACROSS:
        warn(
            f"{100 * mixing.across:.0f} % of the squared components do not follow the unit vector through any"
            " linear map: they are no image of one central force"
        )
    f = mixing.project(Y, unit)
    length = np.linalg.norm(mixing.lines(unit), axis=1)
    use = np.flatnonzero(~held & (length >= SHORT * length.max()))
    if engine.find_shared is None:
        found, info = engine.find(X[use], f[use], names, options)
    else:
        found, info = engine.find_shared(Y[use], unit[use], X[use], names, mixing, options)
    info.pop("forms", None)
    scored = [fit_shared(e, Y, unit, X, names, held, mixing) for e in [sp.Float(1.0), *found]]
    scored = [(row, at) for row, at in scored if np.isfinite(row.loss) and row.complexity <= options.max_complexity]
    rows = pareto([row for row, _ in scored])
    mixings = [next(at for row, at in scored if row is r) for r in rows]
    here = Y[held], unit[held], X[held]
    errors = np.stack(
        [np.linalg.norm(_errors(r.expr, at, *here, names), axis=1) for r, at in zip(rows, mixings, strict=True)]
    )
    front = reported(rows, errors, engine.name, info, "mse", options.node_price)
    A, b = mixings[front.chosen].A, mixings[front.chosen].b
    info |= {"across": mixing.across, "condition": float(np.linalg.cond(A / mixing.spread[:, None]))}
    info |= {"cpu_seconds": cpu_seconds() - cpu, "seconds": time.perf_counter() - started}
    return front, A, b


def check(Y, unit, X, names):
    """The arrays as floats; ``UserError`` with what was found where they cannot be used."""
    Y, unit, X = (np.asarray(a, dtype=float) for a in (Y, unit, X))
    if not (Y.ndim == unit.ndim == X.ndim == 2 and len(Y) == len(unit) == len(X) and X.shape[1] == len(names)):
        raise UserError(
            f"the shared search got components {Y.shape}, unit vectors {unit.shape} and features"
            f" {X.shape} named {list(names)}; expected [row, ...] with as many rows each"
        )
    dim = unit.shape[1]
    if dim not in (2, 3) or Y.shape[1] < dim:
        raise UserError(
            f"{Y.shape[1]} components in {dim} dimensions: the shared search needs 2 or 3 dimensions"
            " and a component for each"
        )
    if len(Y) < 20:
        raise UserError(f"{len(Y)} rows are too few for symbolic regression (at least 20)")
    if not all(np.isfinite(a).all() for a in (Y, unit, X)):
        raise UserError("components, unit vectors or features of the shared search hold NaN or infinite values")
    if not np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-3):
        raise UserError("the unit vectors of the shared search are not of length 1; divide dx by r")
    constant = np.flatnonzero(np.ptp(Y, axis=0) == 0)
    if len(constant):
        raise UserError(f"component {constant[0]} of the shared search is the same in all rows; leave it out")
    return Y, unit, X


# ---------------------------------------------------------------- a formula on the components


def fit_shared(expr, Y, unit, X, names, held, mixing: Mixing) -> tuple[Row, Mixing]:
    """A formula for f as a front row, with its own A and b.

    ``held`` [row] marks the rows left out of the first fit, which give ``Row.held_out``; ``Row.loss`` and the
    mixing returned are of the fit to all rows.
    """
    signs = unit_charges(X, names)
    expr = canonical(expr, signs)
    expr, first = _alternate(expr, Y[~held], unit[~held], X[~held], names, mixing)
    held_out = _loss(expr, first, Y[held], unit[held], X[held], names)
    expr, last = _alternate(expr, Y, unit, X, names, first)
    factor, expr = leading_one(expr)
    expr, last = canonical(expr, signs), replace(last, A=last.A * factor)
    return Row(complexity(expr), _loss(expr, last, Y, unit, X, names), to_text(expr), expr, held_out), last


def _alternate(expr, Y, unit, X, names, mixing):
    """Fit A and b to the values of ``expr`` (linear), then its constants to the projected rows, in turns."""
    for k in range(ROUNDS):
        f = Objective.direct(X, np.zeros(len(X)), names).values(expr)
        if not np.isfinite(f).all() or not np.any(f):
            break
        weights = mixing.weights(Y, unit)
        design = np.column_stack([unit * f[:, None], np.ones(len(f))]) * weights[:, None]
        found = np.linalg.lstsq(design, Y / mixing.spread * weights[:, None], rcond=None)[0].T
        mixing = replace(mixing, A=found[:, :-1] * mixing.spread[:, None], b=found[:, -1] * mixing.spread)
        if k + 1 < ROUNDS:
            # given A and b, squares over the components are squares over the projected rows, |A u| as weights
            weights = weights * np.linalg.norm(mixing.lines(unit), axis=1)
            # a factor on every term: with the scale of f held, constants and A would creep to their best
            expr, _ = Objective.direct(X, mixing.project(Y, unit), names, weights).fit(with_scales(expr), 30)
    return expr, mixing


def _errors(expr, mixing, Y, unit, X, names):
    """Errors [row, component] in units of the noise of the components."""
    f = Objective.direct(X, np.zeros(len(X)), names).values(expr)
    with np.errstate(all="ignore"):
        error = (Y - mixing.b) / mixing.spread - f[:, None] * mixing.lines(unit)
        return error * mixing.weights(Y, unit)[:, None]


def _loss(*arguments):
    with np.errstate(all="ignore"):
        value = np.mean(_errors(*arguments) ** 2)
    return float(value) if np.isfinite(value) else np.inf


def leading_one(expr: sp.Expr) -> tuple[float, sp.Expr]:
    """(factor, expr / factor) with the leading coefficient of ``expr / factor`` 1: 2 r - 4 is 2 (r - 2)."""
    if expr.is_number:
        return (float(expr), sp.Float(1.0)) if expr != 0 else (1.0, expr)
    terms = [t for t in sorted_terms(expr) if not t.is_number] if expr.is_Add else [expr]
    factor = max((t.as_coeff_Mul()[0] for t in terms), key=abs)  # max takes the first of equals
    return float(factor), sp.Add(*[t / factor for t in sp.Add.make_args(expr)])
