"""Families of radial forms: each is found from its curve, with and without scatter, in any unit."""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp

from distill.formulas.families import FAMILIES, Curves, products, propose
from distill.formulas.latex import to_latex
from distill.formulas.objective import Objective
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.formulas.tree import complexity

NAMES = ("r", "m_i", "m_j", "q_i", "q_j")
CURVES = {
    "softened r^-3": "-m_i*m_j/(r+0.1)^3",
    "Yukawa": "q_i*q_j*exp(-r/1.5)*(1/r+1/1.5)/r",
    "Plummer": "-m_i*m_j*r/(r^2+0.04)^1.5",
    "Gaussian": "3.0*r*exp(-r^2/2)",
    "Morse": "2.0*(exp(-2.4*(r-1.0))-exp(-1.2*(r-1.0)))",
    "charges and spring": "q_i*q_j/(r+0.01)^2-1.0*(r-1.0)",
    "screened gravity": "-m_i*m_j*exp(-r/2.0)/r^2",
    "Lennard-Jones": "24.0*(2/r^13-1/r^7)",
    "superposition": "(q_i*q_j-m_i*m_j)/(r+0.01)^2",
    "stretched spring": "-2.0*(r-0.99)*greater(r,1.99)",
    "gravity within": "-m_i*m_j*greater(2.5,r)/r^2",
}


def features(law, seed=910, rows=700, unit=1.0):
    rng = np.random.default_rng(seed)
    r = np.linalg.norm(rng.normal(0, 1.5, (rows, 3)), axis=1)
    if law == "Lennard-Jones":
        r = rng.uniform(0.9, 2.5, rows)
    ends = np.exp(rng.normal(size=(2, rows))), rng.choice([-1.0, 1.0], (2, rows))
    return dict(zip(NAMES, (unit * r, *ends[0], *ends[1]), strict=True))


def objective_of(law, noise=0.0, unit=1.0, seed=910):
    X = features(law, seed, unit=unit)
    exact = compile_numpy(parse(CURVES[law], NAMES), NAMES)(X["r"] / unit, *list(X.values())[1:])
    y = exact * (1 + noise * np.random.default_rng(seed).normal(size=len(exact)))
    weights = 1 / (0.3 * np.median(np.abs(y)) + np.abs(y))
    return Objective(X, y, weights, metric="relative"), exact


@pytest.mark.parametrize("law", CURVES)
def test_every_form_is_met_without_scatter(law):
    objective, _ = objective_of(law)
    found = propose(objective)
    assert objective.score(found[-1]) < 1e-6, [to_text(e, 4) for e in found]
    assert all(parse(to_text(e, 17), NAMES).free_symbols == e.free_symbols and to_latex(e) for e in found)


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e-4])
@pytest.mark.parametrize("law", ["superposition", "softened r^-3"])
def test_no_term_is_added_to_fit_rounding_in_any_unit(law, unit):
    objective, _ = objective_of(law, unit=unit)
    found = propose(objective)
    assert sum(objective.score(e) <= objective.tiny for e in found) == 1, [to_text(e, 4) for e in found]


@pytest.mark.parametrize("noise", [0.01, 0.05])
@pytest.mark.parametrize("law", ["Lennard-Jones", "Yukawa", "Morse", "superposition"])
def test_scatter_does_not_hide_a_form(law, noise):
    """The best formula is nearer to the law than a third of the scatter, which no wrong form of the list is."""
    objective, exact = objective_of(law, noise)
    off = np.abs(objective.values(propose(objective)[-1]) - exact) * objective.weights
    assert np.mean(off) < noise / 3


def test_lennard_jones_has_its_exponents():
    for seed in range(910, 916):
        objective, _ = objective_of("Lennard-Jones", 0.01, seed=seed)
        (text,) = [to_text(e, 3) for e in propose(objective)[-1:]]
        powers = sorted(float(t.split("^")[1].split(" ")[0].strip("()")) for t in text.split("/ r")[1:])
        np.testing.assert_allclose(powers, [7, 13], atol=0.3)


def test_forms_do_not_depend_on_the_unit():
    for law in ("Yukawa", "Lennard-Jones", "softened r^-3"):
        for unit in (1e-9, 1e6):
            objective, _ = objective_of(law, unit=unit)
            assert objective.score(propose(objective)[-1]) < 1e-6


def test_a_message_component_has_its_direction():
    rng = np.random.default_rng(911)
    d = rng.normal(0, 1.5, (700, 2))
    X = {"dx": d[:, 0], "dy": d[:, 1]} | features("Yukawa", 911) | {"r": np.linalg.norm(d, axis=1)}
    y = X["q_i"] * X["q_j"] * (0.3 * X["dx"] - 0.8 * X["dy"]) / (X["r"] * (X["r"] + 0.1) ** 2) + 0.25
    objective = Objective(X, y)
    assert objective.score(propose(objective)[-1]) < 1e-10 * np.var(y)
    objective = Objective(X, (0.3 * X["dx"] - 0.8 * X["dy"]) * (X["r"] - 0.99) / X["r"] + 0.25)
    assert objective.score(propose(objective)[-1]) < 1e-10


def test_nothing_is_proposed_without_a_distance():
    X = features("Yukawa")
    assert propose(Objective({k: v for k, v in X.items() if k != "r"}, X["m_i"])) == []
    assert propose(Objective(X | {"r": X["r"] - 1.0}, X["m_i"])) == []


def test_constant_properties_make_no_products():
    X = features("Yukawa") | {"q_i": np.ones(700), "q_j": np.ones(700)}
    assert {str(p) for p in products(Objective(X, X["r"]))} == {"1", "m_i", "m_j", "m_i*m_j"}


def test_families_are_short_and_named_once():
    assert len({f.name for f in FAMILIES}) == len(FAMILIES)
    objective, _ = objective_of("Yukawa")
    sizes = [complexity(e) for e in propose(objective)]
    assert sizes == sorted(sizes) and max(sizes) <= 30


def test_a_product_is_the_same_number_in_every_process():
    """Sets of symbols have another order in each, and products of three numbers are rounded by their order."""
    values, rng = object.__new__(Curves), np.random.default_rng(0)
    values.objective = SimpleNamespace(full=lambda found: found)
    for k in range(40):
        names = [f"{letter}{k}" for letter in "abcd"]
        values.columns = {sp.Symbol(name): rng.normal(size=50) for name in names}
        expected = np.prod([values.columns[sp.Symbol(name)] for name in names], axis=0)
        assert (values._values(sp.Mul(*map(sp.Symbol, names))) == expected).all()
