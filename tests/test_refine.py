import numpy as np
import pytest
import sympy as sp
from scipy.optimize import least_squares, minimize

from distill.formulas import fit as fits
from distill.formulas import improve
from distill.formulas.improve import logarithms, polish, prune, repair, round_exponents, shorter
from distill.formulas.objective import Objective
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.formulas.tree import canonical, linear_constants, parametrise

NAMES = ["r", "m_i", "m_j", "q_i", "q_j"]


def features(n=600, seed=0):
    rng = np.random.default_rng(seed)
    r = np.linalg.norm(rng.normal(0, 2.1, (n, 2)), axis=1)
    return np.column_stack([r, np.exp(rng.normal(size=(n, 2))), rng.choice([-1.0, 1.0], (n, 2))])


def objective(law, noise=0.005, metric="relative", **options):
    X = features()
    y = compile_numpy(parse(law, NAMES), NAMES)(*X.T)
    y = y * (1 + noise * np.random.default_rng(1).normal(size=len(y)))
    weights = 1 / (0.3 * np.median(np.abs(y)) + np.abs(y)) if metric == "relative" else None
    return Objective.direct(X, y, NAMES, weights, metric=metric, **options)


def accelerations(law, n=4, graphs=120, **options):
    """Fit to accelerations: rows are ordered pairs, residuals the components of every particle."""
    rng = np.random.default_rng(3)
    i, j = (a.ravel() for a in np.nonzero(~np.eye(n, dtype=bool)))
    receiver = (np.arange(graphs)[:, None] * n + i).ravel()
    sender = (np.arange(graphs)[:, None] * n + j).ravel()
    pos, mass = rng.normal(0, 1.5, (graphs * n, 2)), np.exp(rng.normal(size=graphs * n))
    d = pos[receiver] - pos[sender]
    r = np.linalg.norm(d, axis=1)

    def apply(values):
        values = values[:, None] if values.ndim == 1 else values
        out = np.zeros((graphs * n, 2, values.shape[1]))
        np.add.at(out, receiver, (d / r[:, None])[:, :, None] * values[:, None, :])
        out = (out / mass[:, None, None]).reshape(-1, values.shape[1])
        return out[:, 0] if out.shape[1] == 1 else out

    rows = {"r": r, "m_i": mass[receiver], "m_j": mass[sender]}
    target = apply(compile_numpy(parse(law, list(rows)), list(rows))(*rows.values()))
    weights = 1 / (np.median(np.abs(target)) + np.abs(target))
    return Objective(rows, target, weights, apply, metric="relative", **options)


def text(expr, digits=2):
    return to_text(canonical(expr), digits)


@pytest.mark.parametrize("loss", ["linear", "soft_l1"])
def test_fit_recovers_constants(loss):
    o = objective("-2.0*m_i*m_j/(r+0.05)^2", noise=0, loss=loss)
    expr, score = o.fit(parse("-0.7*m_i*m_j/(r+0.3)^2", NAMES))
    assert text(expr, 6) == "-2.0 * m_i * m_j / (r + 0.05)^2" and score < 1e-8


def test_fit_end_to_end_through_the_linear_map():
    o = accelerations("-1.5*m_i*m_j/(r+0.05)", loss="soft_l1")
    expr, score = o.fit(parse("-0.7*m_i*m_j/(r+0.3)", ["r", "m_i", "m_j"]))
    assert text(expr, 5) == "-1.5 * m_i * m_j / (r + 0.05)" and score < 1e-6
    repaired, score = repair(parse("-0.7*m_j/r", ["r", "m_i", "m_j"]), o)
    assert text(repaired, 4) == "-1.5 * m_i * m_j / (r + 0.05)" and score < 1e-6


@pytest.mark.parametrize("start", ["-2.0*r + 1.98", "-1.99*r + 1.97", "-5.0*r + 0.1", "0.1*r + 1.0", "-2.0*(r - 0.99)"])
def test_robust_constants_are_the_same_from_every_start(start):
    """Also from one that is better than the least squares that outliers draw away: there it once stayed."""
    rng = np.random.default_rng(6)
    r = rng.uniform(0.1, 3, 2000)
    y = 1.98 - 2 * r + 1e-3 * rng.standard_normal(2000) + (rng.random(2000) < 0.05) * rng.exponential(0.3, 2000)
    o = Objective({"r": r}, y, np.ones(2000), loss="soft_l1", f_scale=1e-3, metric="relative")

    def loss(p):
        return np.sum(np.sqrt(1 + ((p[0] * r + p[1] - y) / 1e-3) ** 2) - 1)

    least = minimize(loss, [-2.0, 1.98], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9})
    found = sp.Poly(sp.expand(o.fit(parse(start, ["r"]))[0]), parse("r", ["r"])).all_coeffs()
    assert [float(c) for c in found] == pytest.approx(list(least.x), rel=1e-6)


@pytest.mark.parametrize("softening", [0.0, 0.01])
def test_a_power_that_hardly_bends_is_a_logarithm(softening):
    o = objective(f"1.5*m_i*m_j*log(r + {softening})", noise=1e-4)
    power, worse = o.fit(parse("150*m_i*m_j*(r^0.01 - 1.0)", NAMES))
    assert any(p.exp.is_Float for p in power.atoms(sp.Pow)) and worse > 2e-4
    found = min(logarithms(power, o), key=o.score)
    assert o.score(found) < 1.5e-4
    slope = compile_numpy(found.diff(parse("r", NAMES)), NAMES)(*features().T)
    true = compile_numpy(parse(f"1.5*m_i*m_j/(r + {softening})", NAMES), NAMES)(*features().T)
    assert np.median(np.abs(slope / true - 1)) < 1e-3
    assert logarithms(parse("-2.0*m_i*m_j/(r+0.05)^2", NAMES), o) == []


@pytest.mark.parametrize("loss", ["linear", "soft_l1"])
def test_jacobian_matches_differences(monkeypatch, loss):
    seen = {}

    def capture(problem, start, *_):
        seen["J"], step = problem.jacobian(start), 1e-6
        columns = [problem.residual(start + step * e) - problem.residual(start - step * e) for e in np.eye(len(start))]
        seen["numeric"] = np.stack(columns, axis=1) / (2 * step)

    monkeypatch.setattr(fits.Problem, "solve", capture)
    accelerations("-1.0*m_i*m_j/(r+0.05)", loss=loss).fit(parse("-0.7*m_i*m_j^0.9/(r+0.3) + 0.2", ["r", "m_i", "m_j"]))
    np.testing.assert_allclose(seen["J"], seen["numeric"], rtol=1e-4, atol=1e-6 * np.abs(seen["J"]).max())


# ---------------------------------------------------------------- variable projection


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2.0*r + 3.0*m_i + 4.0", 3),
        ("2.0*m_i/(r + 0.1)^2 + 1.0*exp(-3.0*r)", 2),
        ("(2.0*m_i + m_j*(3.0*r + 0.5))/(r + 0.1)", 3),
        ("(r + 0.5)*(m_i + 0.25)*q_i", 1),
        ("m_i/(2.0*r + 3.0*m_j)", 0),
        ("r^1.5", 0),
    ],
)
def test_the_linear_constants_are_those_of_which_no_second_derivative_is_left(text, expected):
    pexpr, symbols, _ = parametrise(parse(text, NAMES))
    linear = [symbols[k] for k in linear_constants(pexpr, symbols)]
    assert len(linear) == expected
    assert all(sp.simplify(sp.diff(pexpr, a, b)) == 0 for a in linear for b in linear)


@pytest.mark.parametrize("loss", ["linear", "soft_l1"])
def test_projected_fit_is_the_best_of_scipy_from_many_starts(loss):
    """Against scipy on all constants together, from starts near the optimum: the same loss, or better."""
    X = features(300)
    y = 2.0 * X[:, 1] * np.exp(-X[:, 0] / 1.7) + 0.3 / X[:, 0] + 0.02 * np.random.default_rng(3).standard_t(2, 300)
    o = Objective.direct(X, y, NAMES, loss=loss, f_scale=0.02)
    expr, _ = o.fit(parse("1.0*m_i*exp(-1.0*r) + 1.0/r", NAMES))
    fitted = o.residual(expr)

    def residual(p):
        return p[0] * X[:, 1] * np.exp(p[1] * X[:, 0]) + p[2] / X[:, 0] - y

    known = least_squares(residual, [2.0, -1 / 1.7, 0.3], loss=loss, f_scale=0.02, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    cost = 0.5 * np.sum(fitted**2) if loss == "linear" else 0.02**2 * np.sum(np.sqrt(1 + (fitted / 0.02) ** 2) - 1)
    assert cost == pytest.approx(known.cost, rel=1e-6)


def test_the_far_start_of_a_linear_constant_does_not_matter():
    o = objective("-2.0*m_i*m_j*exp(-0.7*r)", noise=0)
    for factor in ("1e-9", "-3e7"):
        expr, score = o.fit(parse(f"{factor}*m_i*m_j*exp(-2.0*r)", NAMES))
        assert text(expr, 6) == "-2.0 * m_i * m_j * exp(-0.7 * r)" and score < 1e-8


def wide(law, decades=9, n=600):
    """Accelerations of single pairs whose masses span many ``decades``."""
    rng = np.random.default_rng(4)
    rows = {"r": np.exp(rng.normal(size=n)), "m_i": 10 ** rng.uniform(-decades, 0, n)}
    rows["m_j"] = 10 ** rng.uniform(-decades, 0, n)
    target = compile_numpy(parse(law, list(rows)), list(rows))(*rows.values()) / rows["m_i"]
    weights = 1 / (np.median(np.abs(target)) + np.abs(target))
    return Objective(rows, target, weights, lambda v: (v.T / rows["m_i"]).T, loss="soft_l1", metric="relative")


def test_masses_over_nine_decades_leave_gravity_only():
    """What stood on the front of a solar system, and ended 21 % off in a fit of all constants together."""
    o = wide("-39.476926*m_i*m_j/r^2")
    start = parse("(-0.5*m_j + m_i*(m_j - 0.1))/r^2", list(o.names))
    expr, score = improve.open_up(start, o)
    assert score < 1e-6
    assert to_text(expr, 7) == "-39.47693 * m_i * m_j / r^2"


def test_factors_that_are_alike_are_merged():
    o = objective("-2.0*m_i/(r+0.1)^2", noise=0)
    for start in ("-2.0*m_i/((r+0.1000001)*(r+0.0999999))", "-2.0*m_i/((r+0.11)*(r+0.09))"):
        assert text(prune(parse(start, NAMES), o)[0], 6) == "-2.0 * m_i / (r + 0.1)^2"
    o = objective("-2.0*m_i/(r+0.1)^3", noise=0)
    assert text(prune(parse("-2.0*m_i/((r+0.1000001)*(r+0.0999999)^2)", NAMES), o)[0], 6) == "-2.0 * m_i / (r + 0.1)^3"
    o = objective("-2.0*m_i/((r+0.1)*(r+0.2))", noise=0)  # unlike factors stay
    kept, score = prune(parse("-2.0*m_i/((r+0.1)*(r+0.2))", NAMES), o)
    assert len(kept.atoms(sp.Add)) == 2 and score < 1e-9
    o = objective("-2.0*m_i/(r+0.1)^2", noise=0)  # one above the line, three below
    assert text(prune(parse("-2.0*m_i*(r+0.0999999)/(r+0.1)^3", NAMES), o)[0], 6) == "-2.0 * m_i / (r + 0.1)^2"
    o = objective("-2.0*m_i*(r+0.3)/(r+0.1)^3", noise=0)
    kept, score = prune(parse("-2.0*m_i*(r+0.3)/(r+0.1)^3", NAMES), o)
    assert len(kept.atoms(sp.Add)) == 2 and score < 1e-9


def test_an_exponential_of_little_is_its_argument():
    o = objective("-2.0*m_i/(r+0.1)", noise=0)
    law, score = prune(parse("1e7*(exp(-2.0e-7*m_i/(r+0.1)) - 1.0)", NAMES), o)
    assert text(law, 6) == "-2.0 * m_i / (r + 0.1)" and score < 1e-6
    o = objective("exp(-2.0*r) - 1.0", noise=0)  # one of much stays
    assert prune(parse("exp(-2.0*r) - 1.0", NAMES), o)[0].has(sp.exp)


def test_a_fit_that_cannot_win_is_not_written_out():
    o = objective("-1.0*m_i*m_j/(r+0.05)^2")
    start = parse("-0.7*m_i*m_j/(r+0.3)", NAMES)
    fitted, score = o.fit(start)
    assert o.fit(start, above=0.5 * score) == (start, np.inf)
    assert o.fit(start, above=score) == (fitted, score)  # ties are the caller's to break


def test_round_exponents_and_polish():
    o = objective("-1.0*m_i*m_j/(r+0.05)^2")
    expr, _ = polish(parse("-0.9*m_i*m_j/(r+0.1)^1.93", NAMES), o)
    assert text(expr) == "-1.0 * m_i * m_j / (r + 0.05)^2"
    kept, _ = round_exponents(o.fit(parse("-0.9*m_i^1.3*m_j/r^2", NAMES))[0], objective("m_i^1.3*m_j/r^2"))
    assert kept.atoms(sp.Float)


def test_all_exponents_are_rounded_though_each_refit_moves_the_others():
    o = objective("2.0/r^3 - 1.0/r")
    expr, _ = round_exponents(o.fit(parse("1.9*r^-2.95 - 1.1*r^-1.05", NAMES))[0], o)
    assert not [p for p in expr.atoms(sp.Pow) if p.exp.is_Float] and o.score(expr) < 0.006, expr


@pytest.mark.parametrize(
    "start", ["-0.8*m_j/(r+0.2)^2", "-0.5*m_i*m_j/r^2", "-0.5*m_i/r^2"], ids=["mass", "softening", "both"]
)
def test_repair_inserts_what_is_missing(start):
    o = objective("-1.0*m_i*m_j/(r+0.05)^2")
    before, _ = o.fit(parse(start, NAMES))
    expr, score = repair(before, o)
    assert text(expr) == "-1.0 * m_i * m_j / (r + 0.05)^2" and score < 0.006


def test_repair_leaves_a_good_law_alone():
    o = objective("-1.0*m_i*m_j/(r+0.05)^2")
    expr, _ = o.fit(parse("-0.9*m_i*m_j/(r+0.04)^2", NAMES))
    assert repair(expr, o)[0] == expr


def test_prune_drops_what_is_not_needed():
    o = objective("-1.0*m_i*m_j/(r+0.05)^2")
    expr, _ = o.fit(parse("-0.9*m_i*m_j/(r+0.04+1e-4*q_i)^2*(1.0+1e-3*q_j) + 1e-3*q_i", NAMES))
    assert text(prune(expr, o)[0]) == "-1.0 * m_i * m_j / (r + 0.05)^2"
    law, _ = o.fit(parse("-0.9*m_i*m_j/(r+0.04)^2", NAMES))
    assert prune(law, o)[0] == law


def test_broken_formulas_score_infinity():
    o = objective("1.0*r", metric="mse")
    for bad in (parse("log(q_i)*2.0", NAMES), sp.Float(2.0) * sp.Symbol("z")):
        assert o.score(bad) == np.inf
        assert o.fit(bad) == (bad, np.inf)
        assert repair(bad, o)[1] == np.inf
    constant, score = o.fit(sp.Float(1.0))
    assert float(constant) == pytest.approx(o.target.mean()) and np.isfinite(score)


def test_a_constant_beyond_all_floats_is_no_start_of_a_fit():
    expr = sp.Float("1e400") * parse("r", NAMES)
    assert objective("m_i*m_j/r").fit(expr) == (expr, np.inf)


def test_no_number_is_worked_out_that_no_double_holds():
    """exp(exp(3e14)) has 10^14 digits before its point, and took all memory."""
    for text in (
        "exp(exp(3.0e14*r))",
        "exp(3.0e14*r*(r - 1.5)) + r",
        "exp(exp(70.0*r - 30.0)*(r - 1.5)) + 3.0^(1e14*r)",
    ):
        trials = shorter(parse(text, ["r"]))
        sizes = [abs(number) for trial in trials for number in trial.atoms(sp.Float)]
        assert trials and all(1e-300 < size < 1e300 for size in sizes)
