"""Constants of the row from an estimate of the force, fitted on all edges."""

import numpy as np
import pytest
import sympy as sp

from distill.formulas.text import parse
from distill.law.sources import sharpened


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
