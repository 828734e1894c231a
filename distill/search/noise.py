"""Is what a formula leaves of its target noise? Then no further search can make it better.

Score tests (Rao 1948): for every change that ``improve.repair`` knows (A + p, A + p z, A z, A / z at every node A, for
every feature z) and for products of features, the share of the residuals that it would explain to first order,
beyond what the formula's own constants already fit. Under noise each is the square of a standard normal number.
A wrong form, a missing softening or the smooth errors of a network show at many standard errors.
"""

import numpy as np
import sympy as sp

from distill.formulas.objective import Objective
from distill.formulas.tree import parametrise

STANDARD_ERRORS = 4.0  # the largest of some 400 normal numbers exceeds this in 2 of 100 cases
UNEXPLAINED = 0.1  # share of the target's squares that may be noise


def explained(expr: sp.Expr, objective: Objective) -> tuple[bool, bool]:
    """(does ``expr``, its constants fitted on ``objective``, explain most of the target; is what it leaves noise).

    Noise: no change of the formula shows in it. Where a formula explains little, a law of many factors may be several
    changes away, and nothing counts as noise.
    """
    expr, score = objective.fit(expr, 30)
    if score <= objective.tiny:
        return True, True
    residual, target = objective.residual(expr), objective.weights * objective.target
    most = bool(np.sum(residual**2) <= UNEXPLAINED * np.sum((target - target.mean()) ** 2))
    return most, most and largest_score(expr, objective) <= STANDARD_ERRORS**2


def largest_score(expr: sp.Expr, objective: Objective) -> float:
    """The largest fall of the squared residuals by a single change, to first order, in units of their variance;
    infinite where the formula or its derivatives are not finite. The constants of ``expr`` have to be fitted.
    """
    pexpr, params, at = parametrise(expr)
    program = objective.compiled(pexpr, params)
    if program is None:
        return np.inf
    first = len(objective.symbols)
    with np.errstate(all="ignore"):
        slots = program.values([*objective.columns, *at.tolist()])
        grads = [None if g is None else objective.full(g) for g in program.gradients(slots)]
        r = objective.weights * (objective.apply(objective.full(slots[program.output])) - objective.target)
        own = [g for g in grads[first : first + len(params)] if g is not None]
        Z = np.column_stack(objective.columns)
        changes = [_products(Z)]
        nodes = [n for n in sp.preorder_traversal(pexpr) if n in objective.symbols or n.is_Add or n.is_Mul]
        for slot in dict.fromkeys(program.nodes.get(n) for n in nodes):
            if slot is not None and grads[slot] is not None:
                g, a = grads[slot][:, None], objective.full(slots[slot])[:, None]
                changes.append(np.hstack([g, g * Z, g * a, g * a * Z, g * a / Z]))
        H = objective.weights[:, None] * objective.apply(np.hstack(changes))
        H = H[:, np.isfinite(H).all(0)]
        J = objective.weights[:, None] * objective.apply(np.stack(own, 1)) if own else np.zeros((len(r), 0))
        if not (np.isfinite(r).all() and np.isfinite(J).all()):
            return np.inf
        before = np.einsum("ij,ij->j", H, H)
        scale = np.sqrt(np.einsum("ij,ij->j", J, J))
        Q = np.linalg.qr(J[:, scale > 0] / scale[scale > 0])[0]
        H = H - Q @ (Q.T @ H)
        hh, hr = np.einsum("ij,ij->j", H, H), r @ H
        new = hh > 1e-6 * before  # the others are what the constants do already
        variance = r @ r / max(len(r) - Q.shape[1], 1)
        return float(np.max(hr[new] ** 2 / hh[new], initial=0.0) / variance) if variance > 0 else 0.0


def _products(Z) -> np.ndarray:
    """The columns of ``Z`` [row, feature], logarithm and inverse of the positive ones, and all products of two."""
    positive = Z[:, (Z > 0).all(0)]
    base = np.hstack([np.ones((len(Z), 1)), Z, np.log(positive), 1 / positive])
    i, j = np.triu_indices(base.shape[1])
    return base[:, i] * base[:, j]
