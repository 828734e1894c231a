"""One radial law behind all message components: Y = A (u f) + b with u the unit vector dx / r.

For a central force the mixing A and the offset b need no formula: a row without them, W (Y - b) with
W = A^-1, has to point along u, and "the part across u vanishes" is linear and homogeneous in W and W b. Its
smallest generalised singular vector starts a least-squares fit of the lines A u to the rows. What is left is
one number a row, f, to search for as a formula; A, b and the constants of every formula are then refitted in
turns on the components themselves.

The scale is shared between A and f and cannot be known: f has the leading coefficient 1, A carries the rest.
The idea of a function shared by the components is the template search of PySR's documentation; here it works
for both engines.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
from scipy.linalg import eigh
from scipy.optimize import least_squares, minimize

from distill import cli
from distill.cli import UserError
from distill.engines import Front, choice_share, choose, pareto, runner_up, unit_charges
from distill.engines.files import Row
from distill.expressions import canonical, complexity, sorted_terms, to_text, with_scales
from distill.refine import Objective

MAX_ROWS = 4000  # rows of the fits: mixing and constants need no more
ACROSS = 0.05  # share of the squared components across A u above which the model is in doubt
SHORT = 0.5  # rows with |A u| below this share of the largest are left out of the search: f is noisy there


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


def search_shared(
    Y,
    unit,
    X,
    names: Sequence[str],
    *,
    engine: str = "operon",
    loss: str = "mse",
    max_complexity: int = 30,
    seed: int = 0,
    **options,
) -> tuple[Front, np.ndarray, np.ndarray]:
    """(front of formulas for f, A [component, dim], b [component]) of Y = A (u f(X)) + b.

    ``Y`` [row, component], at least as many components as dimensions; ``unit`` [row, dim] unit vectors, 2 or
    3 dimensions; ``X`` [row, feature] named ``names``. ``options`` as in ``distill.engines.search``. A and b
    belong to the chosen row. ``loss`` is that of the search for f; the losses of the rows are mean squared
    errors of the components in units of their noise, the noise taken from what lies across A u.
    ``front.info`` holds ``across``, the share of the squares of Y - b across A u (0: one central force; a
    warning above 5 %), and ``condition``, the condition number of A. Raises ``UserError`` for data that cannot
    be used.
    """
    Y, unit, X = check(Y, unit, X, names, loss)
    started, cpu = time.perf_counter(), time.process_time()
    order = np.random.default_rng([seed, 13]).permutation(len(Y))[:MAX_ROWS]
    Y, unit, X = Y[order], unit[order], X[order]
    held = np.arange(len(Y)) < len(Y) // 5
    mixing = central_mixing(Y[~held], unit[~held])
    if mixing.across > ACROSS:
        cli.warn(f"{100 * mixing.across:.0f} % of the squared components do not follow the unit vector through any"
                 " linear map: they are no image of one central force")  # fmt: skip
    f = mixing.project(Y, unit)
    length = np.linalg.norm(mixing.lines(unit), axis=1)
    use = np.flatnonzero(~held & (length >= SHORT * length.max()))
    options |= {"loss": loss, "max_complexity": max_complexity, "seed": seed}
    if engine == "operon":
        from distill.engines.operon import find

        for name in ("niterations", "deterministic", "output_directory", "guesses", "resume"):
            options.pop(name, None)
        found, info = find(X[use], f[use], names, **options)
    elif engine == "pysr":
        from distill.engines.pysr_shared import find_shared

        for name in ("restarts", "min_restarts"):
            options.pop(name, None)
        found, info = find_shared(Y[use], unit[use], X[use], names, mixing, **options)
    else:
        raise UserError(f"unknown engine '{engine}'; choose operon or pysr")
    info.pop("forms", None)
    scored = [fit_shared(e, Y, unit, X, names, held, mixing) for e in [sp.Float(1.0), *found]]
    scored = [(row, at) for row, at in scored if np.isfinite(row.loss) and row.complexity <= max_complexity]
    rows = pareto([row for row, _ in scored])
    mixings = [next(at for row, at in scored if row is r) for r in rows]
    chosen, best, why = choose(rows)
    here = Y[held], unit[held], X[held]
    errors = np.stack(
        [np.linalg.norm(_errors(r.expr, at, *here, names), axis=1) for r, at in zip(rows, mixings, strict=True)]
    )
    A, b = mixings[chosen].A, mixings[chosen].b
    info |= {"chosen_share": choice_share(rows, errors, chosen, "mse"), "runner_up": runner_up(rows, chosen, "mse")}
    info |= {"best_pysr": best, "noise_floor": min(r.held_out for r in rows), "rows_held_out": int(held.sum())}
    info |= {"across": mixing.across, "condition": float(np.linalg.cond(A / mixing.spread[:, None]))}
    info |= {"cpu_seconds": time.process_time() - cpu, "seconds": time.perf_counter() - started}
    return Front(rows, engine, chosen, why, info), A, b


def check(Y, unit, X, names, loss):
    """The arrays as floats; ``UserError`` with what was found where they cannot be used."""
    Y, unit, X = (np.asarray(a, dtype=float) for a in (Y, unit, X))
    if not (Y.ndim == unit.ndim == X.ndim == 2 and len(Y) == len(unit) == len(X) and X.shape[1] == len(names)):
        raise UserError(f"the shared search got components {Y.shape}, unit vectors {unit.shape} and features"
                        f" {X.shape} named {list(names)}; expected [row, ...] with as many rows each")  # fmt: skip
    dim = unit.shape[1]
    if dim not in (2, 3) or Y.shape[1] < dim:
        raise UserError(f"{Y.shape[1]} components in {dim} dimensions: the shared search needs 2 or 3 dimensions"
                        " and a component for each")  # fmt: skip
    if len(Y) < 20:
        raise UserError(f"{len(Y)} rows are too few for symbolic regression (at least 20)")
    if not all(np.isfinite(a).all() for a in (Y, unit, X)):
        raise UserError("components, unit vectors or features of the shared search hold NaN or infinite values")
    if not np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-3):
        raise UserError("the unit vectors of the shared search are not of length 1; divide dx by r")
    constant = np.flatnonzero(np.ptp(Y, axis=0) == 0)
    if len(constant):
        raise UserError(f"component {constant[0]} of the shared search is the same in all rows; leave it out")
    if loss not in ("mse", "relative"):
        raise UserError(f"unknown loss '{loss}'; choose mse or relative")
    return Y, unit, X


# ---------------------------------------------------------------- the mixing, without any formula


def central_mixing(Y, unit) -> Mixing:
    """A and b from the directions alone: Y [row, component], ``unit`` [row, dim]; see the module's text.

    More components than dimensions are first reduced to their leading principal components. The variance of
    a row's noise is taken as alpha^2 + beta^2 |Y - b|^2, fitted to what lies across A u: noise may be
    additive, relative or both.
    """
    centre, dim = Y.mean(0), unit.shape[1]
    spread = np.median(np.abs(Y - np.median(Y, axis=0)), axis=0)
    spread = np.where(spread > 0, spread, Y.std(0))
    Z, basis = (Y - centre) / spread, np.eye(dim)
    if Z.shape[1] > dim:
        basis = np.linalg.svd(Z, full_matrices=False)[2][:dim].T  # [component, dim]
    scores, weights = Z @ basis, np.ones(len(Z))
    A, b = _start(scores, unit)
    for _ in range(3):
        A, b = _fit_lines(scores, unit, A, b, weights)
        along, across = _split(scores - b, unit @ A.T)
        alpha, beta = _noise(along, across / (dim - 1))
        weights = (alpha + beta * along) ** -0.5
    A *= np.sqrt(dim) / np.linalg.norm(A)
    along, across = _split(Z - basis @ b, unit @ (basis @ A).T)
    share = float(across.sum() / max(along.sum() + across.sum(), 1e-300))
    noise = _noise(along, across / (Z.shape[1] - 1))
    return Mixing(spread[:, None] * (basis @ A), centre + spread * (basis @ b), spread, share, noise)


def _start(Z, unit):
    """A, b with W (Z - b) parallel to u for W = A^-1: the smallest generalised singular vector.

    The sum over rows of the squared part of W Z - c across u, c = W b, is compared with what noise of equal
    size in every component would make of it; without that, noise would favour a W of small rank.
    """
    n, dim = Z.shape
    across = np.eye(dim) - unit[:, :, None] * unit[:, None, :]
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


def _alternate(expr, Y, unit, X, names, mixing, rounds=3):
    """Fit A and b to the values of ``expr`` (linear), then its constants to the projected rows, in turns."""
    for k in range(rounds):
        f = Objective.direct(X, np.zeros(len(X)), names).values(expr)
        if not np.isfinite(f).all() or not np.any(f):
            break
        weights = mixing.weights(Y, unit)
        design = np.column_stack([unit * f[:, None], np.ones(len(f))]) * weights[:, None]
        found = np.linalg.lstsq(design, Y / mixing.spread * weights[:, None], rcond=None)[0].T
        mixing = replace(mixing, A=found[:, :-1] * mixing.spread[:, None], b=found[:, -1] * mixing.spread)
        if k + 1 < rounds:
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
