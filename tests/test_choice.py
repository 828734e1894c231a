"""How sure the choice of a row is, and what it says of the row that lost."""

import numpy as np
import sympy as sp

from distill.search.choice import NODE_PRICE, choice_share, choose, runner_up
from distill.search.direct import search
from distill.search.engine import SearchOptions
from distill.search.front import Row


def front_of(*rows):
    return [Row(c, held, f"f{c}", sp.Float(c), held) for c, held in rows]


def test_the_runner_up_and_why_it_lost():
    rows = front_of((1, 1.0), (5, 0.1), (9, 0.09))
    chosen, _, _ = choose(rows, price=0.17)
    second = runner_up(rows, chosen, "mse", 0.17)
    assert chosen == 1 and second["complexity"] == 9
    assert second["why_it_lost"] == "its 4 more nodes lower the held-out error by 10 %, too little"
    rows = front_of((5, 1.0), (7, 0.01))
    assert "higher by a factor of 100" in runner_up(rows, 1, "mse")["why_it_lost"]
    assert runner_up(front_of((1, 1.0)), 0, "mse") is None


def test_choice_share_is_one_where_it_is_clear_and_less_where_it_is_not():
    rng = np.random.default_rng(0)
    rows, noise = front_of((1, 1.0), (5, 0.1)), rng.normal(size=(2, 400))
    clear = choice_share(rows, noise * [[1.0], [0.1]], 1, "mse")
    even = choice_share(rows, noise * [[np.exp(NODE_PRICE * 2)], [1.0]], 1, "mse")
    assert clear == 1.0 and 0.1 < even < 0.9


def test_the_search_says_how_stable_its_choice_is():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.uniform(0.2, 3, 400), np.exp(rng.normal(size=400))])
    y = -X[:, 1] / X[:, 0] * (1 + 0.01 * rng.normal(size=400))
    short = dict(restarts=2, min_restarts=2, evaluations=30_000, progress=False)
    front = search(X, y, ["r", "m_j"], SearchOptions(loss="relative", **short))
    assert front.info["chosen_share"] > 0.9 and front.info["restarts_with_chosen"] == 2
    assert front.info["runner_up"]["complexity"] != front.rows[front.chosen].complexity
    assert "forms" not in front.info
