"""Which row of a Pareto front is reported, how sure that is, and why the next one lost.

A node has to pay: the chosen row has the lowest log(held-out squared error) + price x complexity. Against plain
noise ``NODE_PRICE`` is enough. What networks get wrong they get wrong everywhere, so it passes every held-out test:
in the messages of trained networks such terms gained 6 to 16 % of squared error a node, the parts of true laws more
(development runs), hence ``NETWORK_PRICE``. PySR's own rule (the steepest fall among rows near the lowest loss) is
computed beside it.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from distill.search.front import Front, Row
from distill.shell.errors import UserError

NODE_PRICE = 0.05
NETWORK_PRICE = 0.17
FLOOR = 1e-10  # squared errors below this share of the constant row's are rounding: all equal
DRAWS = 200


def pareto(rows: Sequence[Row]) -> list[Row]:
    """The rows that beat (in loss) every row of at most their complexity, from simple to complex."""
    out, lowest = [], math.inf
    ordered = sorted(rows, key=lambda r: (r.complexity, r.loss))
    for (_, loss), alike in itertools.groupby(ordered, key=lambda r: (r.complexity, r.loss)):
        if loss < lowest * (1 - 1e-6):
            alike = list(alike)  # writing formulas is slow, and needed for ties only
            out.append(alike[0] if len(alike) == 1 else min(alike, key=lambda r: r.equation or str(r.expr)))
            lowest = loss
    return out


def pysr_best(rows: Sequence[Row]) -> int:
    """PySR's ``model_selection="best"``: the steepest fall of log loss a node, among rows with a loss within
    1.5 times the lowest.
    """
    tiny = 1e-300
    limit = 1.5 * min(r.loss for r in rows)
    scores = [0.0] + [
        math.log(max(a.loss, tiny) / max(b.loss, tiny)) / max(b.complexity - a.complexity, 1)
        for a, b in zip(rows, rows[1:], strict=False)
    ]
    allowed = [i for i, r in enumerate(rows) if r.loss <= limit]
    return max(allowed, key=lambda i: (scores[i], -i))


def costs(rows: Sequence[Row], loss: str = "mse", price: float = NODE_PRICE) -> list[float]:
    """log(loss) + price x complexity of every row; the held-out loss where known, as a squared error."""
    power = 1 if loss == "mse" else 2
    losses = [r.judged**power for r in rows]
    floor = max(FLOOR * max((v for v in losses if math.isfinite(v)), default=1.0), 1e-300)
    return [math.log(max(v, floor)) + price * r.complexity for v, r in zip(losses, rows, strict=True)]


def choose(rows: Sequence[Row], loss: str = "mse", price: float = NODE_PRICE) -> tuple[int, int, str]:
    """(index of the row to report, index of PySR's "best", why in one sentence).

    Chosen is the row with the lowest log(held-out loss) + price x complexity, losses as squares: each node
    has to lower the error by ``price``, so rows that fit noise, or the last systematic errors of a network,
    lose to the simple row before them. Rows without a held-out loss are judged by their loss.
    """
    if not rows:
        raise UserError("symbolic regression found no formula; try more iterations or another loss")
    cost = costs(rows, loss, price)
    chosen = min(range(len(rows)), key=lambda i: (cost[i], i))
    best = pysr_best(rows)
    kind = "loss" if rows[chosen].held_out is None else "held-out loss"
    shown, lowest = rows[chosen].judged, min(r.judged for r in rows)
    why = (
        f"complexity {rows[chosen].complexity} has {kind} {shown:.3g} (lowest {lowest:.3g}), and no other row"
        f" gains {100 * price:.0f} % of squared error a node"
    )
    why += "; PySR's rule picks it too" if best == chosen else f"; PySR's rule picks complexity {rows[best].complexity}"
    return chosen, best, why


def reported(rows: list[Row], errors: np.ndarray, engine: str, info: dict, loss: str, price: float) -> Front:
    """The front of ``rows`` with one chosen, and in its ``info`` how sure that is.

    ``errors`` [row of the front, held-out row]: weighted residuals; ``loss`` and ``price`` as in ``choose``.
    """
    chosen, best, why = choose(rows, loss, price)
    info |= {"chosen_share": choice_share(rows, errors, chosen, loss, price)}
    info |= {"runner_up": runner_up(rows, chosen, loss, price), "best_pysr": best}
    info |= {"noise_floor": min(r.held_out for r in rows), "rows_held_out": errors.shape[1]}
    return Front(rows, engine, chosen, why, info)


def choice_share(rows: Sequence[Row], errors: np.ndarray, chosen: int, loss: str, price: float = NODE_PRICE) -> float:
    """Share of bootstrap draws of the held-out rows in which the same row of the front is chosen.

    ``errors`` [row of the front, held-out row]: weighted residuals.
    """
    size = np.abs(errors) if loss == "relative" else errors**2
    size = np.where(np.isfinite(size), size, 1e30)
    count = size.shape[1]
    drawn = np.random.default_rng(31).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    means = drawn @ size.T / count
    squares = means if loss == "mse" else means**2
    floor = np.maximum(FLOOR * squares.max(1, keepdims=True), 1e-300)
    cost = np.log(np.maximum(squares, floor)) + price * np.array([r.complexity for r in rows])
    return float(np.mean(cost.argmin(1) == chosen))


def runner_up(rows: Sequence[Row], chosen: int, loss: str, price: float = NODE_PRICE) -> dict | None:
    """The row that would be chosen if the winner were not there, and why it lost; None for a single row."""
    if len(rows) < 2:
        return None
    cost = costs(rows, loss, price)
    second = min((k for k in range(len(rows)) if k != chosen), key=lambda k: (cost[k], k))
    one, two = rows[chosen].judged, rows[second].judged
    nodes = rows[second].complexity - rows[chosen].complexity
    change = abs(two / one - 1) if one > 0 else math.inf
    by = f"{100 * change:.3g} %" if change < 10 else f"a factor of {two / max(one, 1e-300):.3g}"
    if nodes > 0:
        reason = (
            f"its {nodes} more nodes lower the held-out error by {by}, too little"
            if two < one
            else (f"{nodes} more nodes and no lower held-out error")
        )
    else:
        reason = f"its held-out error is higher by {by}, too much for {-nodes} node{'s' * (nodes < -1)} less"
    lost = {"equation": rows[second].equation, "complexity": rows[second].complexity, "why_it_lost": reason}
    return lost | {"held_out": two if math.isfinite(two) else None}
