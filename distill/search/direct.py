"""One formula y = f(X): the engine proposes, and what follows is the same for all of them.

Constants are refitted, every row gets a loss on data held out from the search, one row is chosen.
"""

import time
from collections.abc import Sequence

import numpy as np
import sympy as sp

from distill.formulas.text import to_text
from distill.formulas.tree import canonical, complexity, parametrise
from distill.search.choice import pareto, reported
from distill.search.engine import SearchOptions, cpu_seconds, objective_for, unit_charges
from distill.search.front import Front, Row
from distill.search.registry import load_engine
from distill.shell.errors import UserError
from distill.statistics.metrics import typical_size

MAX_ROWS = 20_000  # rows of the final refit
LEAST_ROWS = 20


def search(X, y, names: Sequence[str], options: SearchOptions | None = None) -> Front:
    """Search for formulas y = f(X).

    ``X`` [row, feature], ``y`` [row], finite; ``names`` one a feature. A fifth of the rows is held out from the search
    and decides, at ``options.node_price`` (see ``choice``), which row is chosen; constants are then refitted on all
    rows. Raises ``UserError`` for data that cannot be used.
    """
    options = options or SearchOptions()
    X, y, engine = np.asarray(X, dtype=float), np.asarray(y, dtype=float), load_engine(options.engine)
    if X.ndim != 2 or y.shape != X.shape[:1] or X.shape[1] != len(names):
        raise UserError(f"symbolic regression got features {X.shape} named {list(names)} and a target {y.shape}")
    if len(y) < LEAST_ROWS:
        raise UserError(f"{len(y)} rows are too few for symbolic regression (at least {LEAST_ROWS})")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise UserError("features or target of symbolic regression hold NaN or infinite values")
    engine.check(options)
    started, cpu = time.perf_counter(), cpu_seconds()
    order = np.random.default_rng([options.seed, 11]).permutation(len(y))[:MAX_ROWS]
    held, train = np.split(order, [len(order) // 5])
    found, info = engine.find(X[train], y[train], names, options)
    rows = score_rows(found, X, y, names, train, held, options)
    unseen = objective_for(X[held], y[held], names, options.loss, typical_size(y))
    with np.errstate(all="ignore"):
        errors = np.stack([unseen.residual(r.expr) for r in rows])
    forms = info.pop("forms", None)
    front = reported(rows, errors, engine.name, info, options.loss, options.node_price)
    if forms:
        form = parametrise(front.expr)[0]
        info["restarts_with_chosen"] = sum(form in found for found in forms)
    info |= {"cpu_seconds": cpu_seconds() - cpu, "seconds": time.perf_counter() - started}
    return front


def score_rows(found, X, y, names, train, held, options: SearchOptions) -> list[Row]:
    """Formulas as front rows: loss held out after a fit on ``train``, then constants refitted on all rows."""
    full = np.concatenate([train, held])
    fitted, everything = (objective_for(X[k], y[k], names, options.loss) for k in (train, full))
    unseen = objective_for(X[held], y[held], names, options.loss, typical_size(y))
    constant = sp.Float(float(np.median(y) if options.loss == "relative" else np.mean(y)))
    unit = unit_charges(X, names)
    rows = []
    for expr in [constant, *found]:
        expr, _ = fitted.fit(canonical(expr, unit), 30)
        held_out = unseen.score(expr)
        # without the second canonical, a factor fitted to exactly 1 would be a node
        expr, score = everything.fit(expr, 30)
        expr = canonical(expr, unit)
        rows.append(Row(complexity(expr), score, to_text(expr), expr, held_out))
    return pareto([r for r in rows if r.complexity <= max(options.max_complexity, 1)])
