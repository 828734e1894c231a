"""One law behind all components: the mixing from directions alone, and the law with the embedded engine."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from planted import messages

from distill.formulas.equivalence import compare
from distill.formulas.text import parse, to_text
from distill.physics.systems import SYSTEMS
from distill.search import operon, shared
from distill.search.engine import SearchOptions
from distill.search.mixing import central_mixing
from distill.shell.errors import UserError

NAMES = ["r", "m_i", "m_j", "q_i", "q_j"]
LAWS = ["spring", "r1", "r2", "charge"]
CASES = [(law, dim, noise) for law in LAWS for dim in (2, 3) for noise in (0.005, 0.02)]


def planted_components(law, dim, noise, seed=0, trajectories=60):
    """Y [row, dim] = A (u f) + b with noise on every entry, half of it relative, half of the typical size."""
    rng = np.random.default_rng([seed, dim, 5])
    A, b = rng.normal(size=(dim, dim)), rng.normal(size=dim)
    m = messages(law, mixing=A.T, noise=noise, dim=dim, seed=seed, trajectories=trajectories)
    Y = m["message"][:, :dim]
    Y = Y + b + noise * np.median(np.abs(Y), axis=0) * rng.normal(size=Y.shape)
    X = np.column_stack([m["r"], m["mass_i"], m["mass_j"], m["charge_i"], m["charge_j"]])
    return Y, m["dx"] / m["r"][:, None], X, A, b


def distance(A, B):
    """|A / |A| -+ B / |B||: how far two mixings are from each other, their scales set aside."""
    A, B = A / np.linalg.norm(A), B / np.linalg.norm(B)
    return min(np.linalg.norm(A - B), np.linalg.norm(A + B))


def against_truth(expr, law, X):
    rng = np.random.default_rng(1)
    low, high, top = np.quantile(X[:, 0], 0.05), np.quantile(X[:, 0], 0.95), X[:, 0].max()
    ends = X[rng.integers(len(X), size=2000), 1:].T

    def at(near, far):
        return dict(zip(NAMES, [rng.uniform(near, far, 2000), *ends], strict=True))

    found = compare(expr, parse(SYSTEMS[law].law, NAMES), at(low, high), at(top, 3 * top))
    return max(found["relative_error_in_range"], found["relative_error_extrapolated"])


# ---------------------------------------------------------------- the mixing


@pytest.mark.parametrize(("law", "dim", "noise"), CASES)
def test_directions_give_the_mixing(law, dim, noise):
    Y, unit, X, A, b = planted_components(law, dim, noise)
    mixing = central_mixing(Y, unit)
    assert distance(mixing.A, A) < 0.2 * noise
    assert np.linalg.norm(mixing.b - b) < 0.2 * noise * (np.linalg.norm(b) + np.median(np.abs(Y)))
    assert mixing.across < 4 * noise**2


def test_heavy_tails_do_not_mislead():
    """The few closest pairs of r2 in 2-D are 10^5 times the typical force; any subset has other ones."""
    Y, unit, X, A, b = planted_components("r2", 2, 0.02)
    for seed in range(6):
        rows = np.random.default_rng(seed).permutation(len(Y))[: 2000 + 200 * seed]
        assert distance(central_mixing(Y[rows], unit[rows]).A, A) < 0.004


def test_an_ill_conditioned_mixing():
    Y, unit, X, A, b = planted_components("r2", 3, 0.005)
    squeeze = np.array([[1.0, 0.5, 0.2], [0.5, 0.27, 0.1], [0.2, 0.1, 0.05]])
    rng = np.random.default_rng(3)
    Y = (Y - b) @ squeeze.T
    Y = Y + 0.005 * np.median(np.abs(Y), axis=0) * rng.normal(size=Y.shape)
    assert np.linalg.cond(squeeze @ A) > 100
    assert distance(central_mixing(Y, unit).A, squeeze @ A) < 0.01


def test_more_components_than_dimensions():
    Y, unit, X, A, b = planted_components("charge", 2, 0.01)
    wide = np.random.default_rng(4).normal(size=(5, 2))
    mixing = central_mixing(Y @ wide.T + np.arange(5), unit)
    assert mixing.A.shape == (5, 2) and distance(mixing.A, wide @ A) < 0.005
    assert np.allclose(mixing.b, wide @ b + np.arange(5), atol=0.02)


def test_what_does_not_follow_the_unit_vector_is_seen(capsys, monkeypatch):
    Y, unit, X, A, b = planted_components("r1", 2, 0.005)
    noise = np.random.default_rng(5).normal(size=Y.shape)
    assert central_mixing(noise, unit).across > 0.3
    one = replace(operon.ENGINE, find=lambda *a: ([sp.Symbol("r", positive=True)], {}))
    monkeypatch.setattr(operon, "ENGINE", one)
    shared.search_shared(noise, unit, X, NAMES)
    assert "no image of one central force" in capsys.readouterr().err


# ---------------------------------------------------------------- formulas on the components


@pytest.mark.parametrize(("law", "dim", "noise"), CASES)
def test_constants_and_mixing_are_fitted_together(law, dim, noise):
    start = {
        "spring": "3.0 - 0.7*r",
        "r1": "2.0*m_i*m_j/(r + 0.3)",
        "r2": "2.0*m_i*m_j/(r + 0.2)^2",
        "charge": "-q_i*q_j/(r + 0.2)^2",
    }[law]
    Y, unit, X, A, b = planted_components(law, dim, noise)
    held = np.arange(len(Y)) < len(Y) // 5
    mixing = central_mixing(Y[~held], unit[~held])
    row, mixing = shared.fit_shared(parse(start, NAMES), Y, unit, X, NAMES, held, mixing)
    assert against_truth(row.expr, law, X) < 0.02, row.equation
    assert distance(mixing.A, A) < 0.2 * noise
    assert 0.7 < row.loss < 1.5 and 0.7 < row.held_out < 1.5  # in units of the noise
    factor = np.vdot(mixing.A, A) / np.vdot(mixing.A, mixing.A)
    truth = {"spring": -2.0, "r1": -1.0, "r2": -1.0, "charge": 1.0}[law]
    assert np.isclose(1 / factor, truth, rtol=0.03)  # the scale is in A: f has the leading coefficient 1


@pytest.mark.parametrize(
    ("text", "factor", "rest"),
    [
        ("-2.0*r + 1.98", -2.0, "r - 0.99"),
        ("3.0*r/m_i", 3.0, "r/m_i"),
        ("m_i*r", 1.0, "m_i*r"),
        ("-0.5", -0.5, "1.0"),
        ("0.5*r - 4.0*m_i + 2.0", -4.0, "m_i - 0.125*r - 0.5"),
    ],
)
def test_the_leading_coefficient_goes_to_the_mixing(text, factor, rest):
    found, expr = shared.leading_one(parse(text, NAMES))
    assert found == factor and sp.simplify(expr - parse(rest, NAMES)) == 0


def test_bad_data_is_refused():
    Y, unit, X, *_ = planted_components("r1", 2, 0.01, trajectories=5)
    for bad, found in [
        ((Y[:-1], unit, X), "unit vectors"),
        ((Y[:, :1], unit, X), "1 components in 2"),
        ((Y[:9], unit[:9], X[:9]), "9 rows"),
        ((Y * np.nan, unit, X), "NaN"),
        ((Y, 2 * unit, X), "length 1"),
        ((Y * [1, 0], unit, X), "component 1"),
        ((Y, unit[:, :1], X), "1 dimensions"),
        ((Y, 0 * unit + [1, 0], X), "span 2"),
        ((Y, unit, X[:, :3]), "features"),
    ]:
        with pytest.raises(UserError, match=found):
            shared.search_shared(*bad, NAMES)
    for options in ({"engine": "gplearn"}, {"loss": "mae"}):
        with pytest.raises(UserError, match="unknown"):
            shared.search_shared(Y, unit, X, NAMES, SearchOptions(**options))


# ---------------------------------------------------------------- the search


@pytest.fixture(scope="module")
def pyoperon():
    if problem := operon.operon_problem():
        pytest.skip(problem)


def searched(law, dim, noise, trajectories=60, **options):
    Y, unit, X, A, b = planted_components(law, dim, noise, trajectories=trajectories)
    front, A1, b1 = shared.search_shared(Y, unit, X, NAMES, SearchOptions(loss="relative", progress=False, **options))
    assert against_truth(front.expr, law, X) < 0.02, to_text(front.expr)
    assert distance(A1, A) < 0.2 * noise and np.linalg.norm(b1 - b) < 0.02
    return front, A1


def test_the_embedded_engine_finds_the_law_behind_the_components(pyoperon):
    options = dict(trajectories=20, restarts=1, min_restarts=1, seed=1, evaluations=30_000)
    front, A = searched("spring", 2, 0.02, niterations=3, resume=True, **options)
    again, B = searched("spring", 2, 0.02, **options)
    assert to_text(again.expr, 6) == to_text(front.expr, 6) and np.allclose(A, B, rtol=1e-6)
    assert front.engine == "operon" and front.rows[front.chosen].complexity <= 5
    assert {"across", "condition", "chosen_share", "runner_up", "noise_floor", "restarts"} <= set(front.info)
    assert "forms" not in front.info


@pytest.mark.slow
@pytest.mark.parametrize(("law", "dim", "noise"), CASES)
def test_the_embedded_engine_finds_all_laws(pyoperon, law, dim, noise):
    searched(law, dim, noise)
