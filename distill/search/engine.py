"""Symbolic regression behind one interface: ``search`` returns a ``Front`` whichever engine ran.

``operon`` (pyoperon, installed with pip) searches and repairs; ``pysr`` needs Julia. An engine proposes
formulas; what follows is common to both: constants refitted, a held-out loss for every row, one choice.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp

from distill.formulas.objective import Objective
from distill.formulas.text import to_text
from distill.formulas.tree import canonical, complexity, is_charge, parametrise
from distill.search.choice import NODE_PRICE, choice_share, choose, pareto, runner_up
from distill.search.hall_of_fame import Row
from distill.shell.errors import UserError
from distill.statistics.metrics import typical_size

MAX_ROWS = 20_000  # rows of the final refit


@dataclass
class Front:
    """Rows from simple to complex, each better than all before it, and the one to report."""

    rows: list[Row]
    engine: str
    chosen: int  # index of the row to report
    why: str  # in one sentence
    info: dict = field(default_factory=dict)  # restarts, evaluations, cpu_seconds, best_pysr, noise_floor

    @property
    def expr(self) -> sp.Expr:
        return self.rows[self.chosen].expr


def relative_weights(y) -> np.ndarray:
    """1 / (c + \\|y\\|) with c = 0.3 x the typical \\|y\\|: large values count by their relative error."""
    return 1 / (0.3 * typical_size(y) + np.abs(y))


def objective_for(X, y, names, loss: str) -> Objective:
    weights = relative_weights(y) if loss == "relative" else None
    return Objective.direct(X, y, names, weights, metric=loss)


def search(
    X,
    y,
    names: Sequence[str],
    *,
    engine: str = "operon",
    loss: str = "mse",
    operators: Sequence[str] = ("+", "-", "*", "/", "square"),
    niterations: int = 100,
    max_complexity: int = 30,
    restarts: int = 8,
    min_restarts: int | None = None,
    seed: int = 0,
    time_limit: float | None = None,
    threads: int = 1,
    deterministic: bool = True,
    output_directory=None,
    progress: bool = True,
    guesses: bool = True,
    resume: bool = True,
    node_price: float = NODE_PRICE,
) -> Front:
    """Search for formulas y = f(X).

    ``X`` [row, feature], ``y`` [row], finite; ``names`` one a feature. ``loss`` "mse" or "relative" (see
    ``relative_weights``). ``operators``: + - * / square cube sqrt inv exp log abs sin cos tanh pow.
    ``restarts`` and ``min_restarts`` are operon's: at most and at least so many (None: 4, fewer once a formula leaves
    nothing but noise, more while the best explains little, see ``noise.explained``); ``niterations``,
    ``deterministic``, ``output_directory``, ``guesses`` and ``resume`` PySR's (see ``pysr.find``); ``time_limit`` in
    seconds. A fifth of the rows is held out from the search and decides, at ``node_price`` (see ``choice``), which row
    is chosen; constants are then refitted on all rows. Raises ``UserError`` for data that cannot be used.
    """
    X, y = _check(X, y, names, loss)
    started, cpu = time.perf_counter(), time.process_time()
    order = np.random.default_rng([seed, 11]).permutation(len(y))[:MAX_ROWS]
    held = order[: len(order) // 5]
    train = order[len(order) // 5 :]
    options = dict(loss=loss, operators=tuple(operators), max_complexity=max_complexity, seed=seed)
    options.update(threads=threads, time_limit=time_limit, progress=progress)
    if engine == "operon":
        from distill.search.operon import find

        options.update(restarts=restarts, min_restarts=min_restarts, node_price=node_price)
        found, info = find(X[train], y[train], names, **options)
    elif engine == "pysr":
        from distill.search.pysr.adapter import find

        options.update(niterations=niterations, deterministic=deterministic, output_directory=output_directory)
        options.update(guesses=guesses, resume=resume)
        found, info = find(X[train], y[train], names, **options)
    else:
        raise UserError(f"unknown engine '{engine}'; choose operon or pysr")
    rows = score_rows(found, X, y, names, loss, train, held, max_complexity)
    chosen, best, why = choose(rows, loss, node_price)
    info |= _certainty(rows, chosen, X[held], y[held], names, loss, info.pop("forms", []), y, node_price)
    info |= {"best_pysr": best, "noise_floor": min(r.held_out for r in rows), "rows_held_out": len(held)}
    info |= {"cpu_seconds": time.process_time() - cpu, "seconds": time.perf_counter() - started}
    return Front(rows, engine, chosen, why, info)


def _check(X, y, names, loss):
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if X.ndim != 2 or y.shape != X.shape[:1] or X.shape[1] != len(names):
        raise UserError(f"symbolic regression got features {X.shape} named {list(names)} and a target {y.shape}")
    if len(y) < 20:
        raise UserError(f"{len(y)} rows are too few for symbolic regression (at least 20)")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise UserError("features or target of symbolic regression hold NaN or infinite values")
    if loss not in ("mse", "relative"):
        raise UserError(f"unknown loss '{loss}'; choose mse or relative")
    return X, y


def unit_charges(X, names) -> bool:
    """True if there are charges and all are +1 or -1: then q_i / q_j is q_i q_j."""
    charges = [k for k, name in enumerate(names) if is_charge(name)]
    return bool(charges) and bool((np.abs(X[:, charges]) == 1).all())


def score_rows(found, X, y, names, loss, train, held, max_complexity=30) -> list[Row]:
    """Formulas as front rows: loss held out after a fit on ``train``, then constants refitted on all rows."""
    fitted = objective_for(X[train], y[train], names, loss)
    full = np.concatenate([train, held])
    everything = objective_for(X[full], y[full], names, loss)
    unseen = Objective.direct(X[held], y[held], names, relative_weights(y)[held] if loss == "relative" else None)
    unseen.metric = loss
    constant = sp.Float(float(np.median(y) if loss == "relative" else np.mean(y)))
    unit = unit_charges(X, names)
    rows = []
    for expr in [constant, *found]:
        expr, _ = fitted.fit(canonical(expr, unit), 30)
        held_out = unseen.score(expr)
        # without the second canonical, a factor fitted to exactly 1 would be a node
        expr, score = everything.fit(expr, 30)
        expr = canonical(expr, unit)
        rows.append(Row(complexity(expr), score, to_text(expr), expr, held_out))
    return pareto([r for r in rows if r.complexity <= max(max_complexity, 1)])


def _certainty(rows, chosen, X, y, names, loss, forms, all_y, price) -> dict:
    """How stable the choice is over held-out rows and restarts, and the runner-up."""
    weights = 1.0
    if loss == "relative":
        weights = 1 / (0.3 * typical_size(all_y) + np.abs(y))
    residual = Objective.direct(X, y, names, np.broadcast_to(weights, y.shape)).residual
    with np.errstate(all="ignore"):
        errors = np.stack([residual(r.expr) for r in rows])
    form = parametrise(rows[chosen].expr)[0]
    out = {"chosen_share": choice_share(rows, errors, chosen, loss, price)}
    out["runner_up"] = runner_up(rows, chosen, loss, price)
    return out | ({"restarts_with_chosen": sum(form in found for found in forms)} if forms else {})
