"""Constants of the row from an estimate of the force, fitted on all edges."""

import numpy as np
import pytest
import sympy as sp
from planted import messages

from distill.formulas.text import parse
from distill.law.selection import Ground
from distill.law.sources import sharpened, sharpened_in_sums
from distill.messages.net_forces import nodes_of


def edges(count: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    r = np.exp(rng.uniform(np.log(0.02), np.log(3), count))
    angle = rng.uniform(0, 2 * np.pi, count)
    dx = r[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    ends = {k: np.exp(rng.standard_normal(count)) for k in ("mass_i", "mass_j", "charge_i", "charge_j")}
    return {"dx": dx, "r": r} | ends


def test_constants_are_those_of_all_edges_and_outliers_do_not_decide():
    m = edges(20_000, 0)
    rng = np.random.default_rng(1)
    f = m["mass_i"] * m["mass_j"] / (m["r"] + 0.01) ** 2
    f = f * (1 + 0.002 * rng.standard_normal(len(f)))
    f[rng.random(len(f)) < 0.02] *= 1.5  # what a network has not learned
    start = parse("0.98*m_i*m_j/(r + 0.012)^2", ("r", "m_i", "m_j"))
    found = sharpened(start, f[:, None] * m["dx"] / m["r"][:, None], m)
    values = sorted(float(x) for x in found.atoms(sp.Float))
    assert values == pytest.approx([0.01, 1.0], rel=2e-3)


def test_a_formula_that_is_not_finite_stays_what_it_was():
    m = edges(500, 2)
    f = np.ones(500)
    expr = parse("1.5/greater(r, 100)", ("r", "q_i"))  # 1/0 for every pair
    assert sharpened(expr, f[:, None] * m["dx"] / m["r"][:, None], m) == expr


def test_constants_in_sums_do_not_see_what_pairs_make_up_for_among_each_other():
    """Errors of half a force that cancel in the net force of every receiver; the data's accelerations are wrong."""
    m = messages("r2", trajectories=300)
    nodes, rng = nodes_of(m), np.random.default_rng([3, 1])
    error = 0.5 * np.linalg.norm(m["force"], axis=1, keepdims=True) * rng.standard_normal(m["force"].shape)
    error -= (nodes.sum(error) / nodes.senders())[nodes.of_edge]
    estimate = 1.02 * m["force"] + error
    start = parse("-1.1*m_i*m_j/(r + 0.012)^2", ("r", "m_i", "m_j"))
    ground = Ground(m | {"acc_i": 3 * m["acc_i"]}, nodes, ())
    edges, sums = (
        sorted(abs(float(x)) for x in found.atoms(sp.Float))[::-1]
        for found in (sharpened(start, estimate, m), sharpened_in_sums(start, estimate, m, ground))
    )
    assert sums == pytest.approx([1.02, 0.01], rel=1e-6)
    assert abs(edges[0] / 1.02 - 1) > 1e-3
