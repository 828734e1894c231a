import json
import time
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from distill.formulas.equivalence import same_rational
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.formulas.tree import canonical, complexity
from distill.search import available, engine, hall_of_fame, noise
from distill.search.available import resolve_engine
from distill.search.choice import choose, pareto
from distill.search.hall_of_fame import Row, read_hall_of_fame, write_hall_of_fame
from distill.shell.errors import UserError

DATA = Path(__file__).parent / "data"
HALLS = ["hall_of_fame_1.5.10.csv", "hall_of_fame_2.0.0a2.csv"]
NAMES = ["r", "m_i", "m_j", "q_i", "q_j"]
PYSR_NAMES = ["dx", "dy", "r", "m1", "m2"]


def radial(law, noise=0.01, n=1500, seed=0):
    rng = np.random.default_rng(seed)
    r = np.linalg.norm(rng.normal(0, 2.1, (n, 2)), axis=1)
    X = np.column_stack([r, np.exp(rng.normal(size=(n, 2))), rng.choice([-1.0, 1.0], (n, 2))])
    y = compile_numpy(parse(law, NAMES), NAMES)(*X.T)
    return X, y * (1 + noise * rng.normal(size=n))


def row(size, loss, held_out=None, text="r"):
    return Row(size, loss, text, parse(text, ["r"]), held_out)


# ---------------------------------------------------------------- hall-of-fame files


@pytest.mark.parametrize("name", HALLS)
def test_real_pysr_files_hold_the_law(name):
    rows = read_hall_of_fame(DATA / name, PYSR_NAMES)
    chosen, best, why = choose(rows)
    assert rows[chosen].complexity == rows[best].complexity == 12 and "complexity 12" in why
    assert same_rational(rows[chosen].expr, parse("-m1*m2*dx/r^3", PYSR_NAMES))
    assert [r.complexity for r in rows] == sorted(r.complexity for r in rows)


def test_hall_of_fame_survives_writing(tmp_path):
    rows = read_hall_of_fame(DATA / HALLS[0], PYSR_NAMES)
    path = tmp_path / "new" / "hall_of_fame.csv"
    write_hall_of_fame(path, rows)
    assert path.read_text() == (DATA / HALLS[0]).read_text()
    assert [p.name for p in path.parent.iterdir()] == ["hall_of_fame.csv"]


@pytest.mark.parametrize(
    "content, names_it",
    [
        (b"", "nothing"),
        (b"a,b\n1,2\n", "columns"),
        (b"Complexity,Loss,Equation\n", "0 formulas"),
        (b'Complexity,Loss,Equation\n1,0.5,"r"\n3,0.1\n', "row 3"),
        (b'Complexity,Loss,Equation\n1,0.5,"r', "damaged"),
        (b'Complexity,Loss,Equation\nx,0.5,"r"\n', "row 2"),
        (b'Complexity,Loss,Equation\n1,nan,"r"\n', "row 2"),
        (b"Complexity,Loss,Equation\n1,1,\"__import__('os').system('touch CANARY')\"\n", "row 2"),
        (b'Complexity,Loss,Equation\n1,1,"9**9**9**9"\n', "row 2"),
        (b'Complexity,Loss,Equation\n1,1,"r + unknown"\n', "unknown"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "damaged"),
        (b"Complexity,Loss,Equation\n" + b'1,1,"r"\n' * 2000, "2000 formulas"),
        (b"Complexity,Loss,Equation\n1,1," + b"(" * 3_000_000, "too large"),
        (b'Complexity,Loss,Equation\n1,1,"' + b"r+" * 200_000 + b'r"\n', "hall.csv"),
    ],
    ids=range(14),
)
def test_damaged_files_are_named(tmp_path, monkeypatch, content, names_it):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hall.csv").write_bytes(content)
    started = time.perf_counter()
    with pytest.raises(UserError) as caught:
        read_hall_of_fame("hall.csv", ["r"])
    assert names_it in str(caught.value) and "hall.csv" in str(caught.value)
    assert "\n" not in str(caught.value) and time.perf_counter() - started < 20
    assert not (tmp_path / "CANARY").exists()


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_hall_of_fame(tmp_path / "none.csv", ["r"])


# ---------------------------------------------------------------- the choice


def test_rows_that_fit_noise_lose():
    front = [row(1, 1.0, 1.0), row(5, 0.3, 0.3), row(10, 1e-4, 1e-4), row(14, 9.5e-5, 9.6e-5), row(28, 8e-5, 2e-4)]
    chosen, best, why = choose(front)
    assert front[chosen].complexity == 10 and front[best].complexity == 10 and "held-out" in why


def test_a_real_gain_wins_and_rounding_does_not():
    assert choose([row(1, 1.0), row(8, 4e-4), row(10, 2.5e-4)])[0] == 2
    assert choose([row(1, 1.0), row(8, 1e-14), row(9, 1e-17)])[0] == 1
    assert choose([row(1, 1.0), row(9, 0.99, 1.2)])[0] == 0
    assert choose([row(1, 1.0), row(9, 0.1, float("inf"))])[0] == 0
    with pytest.raises(UserError):
        choose([])


def test_pareto_keeps_what_improves():
    front = pareto([row(5, 0.2), row(1, 1.0), row(3, 1.0), row(5, 0.1), row(7, 0.1)])
    assert [(r.complexity, r.loss) for r in front] == [(1, 1.0), (5, 0.1)]


# ---------------------------------------------------------------- operon


@pytest.fixture(scope="module")
def operon():
    if problem := available.operon_problem():
        pytest.skip(problem)


def quick(X, y, names=NAMES, **options):
    return engine.search(X, y, names, restarts=2, min_restarts=1, progress=False, **options)


def test_operon_finds_a_softened_law_and_repeats_itself(operon):
    X, y = radial("-1.0*m_i*m_j/(r+0.01)^2")
    front = quick(X, y, loss="relative", seed=1)
    law = canonical(front.expr)
    assert complexity(law) <= 10 and front.rows[front.chosen].loss < 0.02, to_text(law)
    assert same_rational(law, parse("-1.0*m_i*m_j/(r+0.01)^2", NAMES), 0.2), to_text(law)
    again = quick(X, y, loss="relative", seed=1)
    assert [r.equation for r in again.rows] == [r.equation for r in front.rows]
    assert again.chosen == front.chosen and front.engine == "operon"
    assert {"restarts", "evaluations", "cpu_seconds", "noise_floor", "best_pysr"} <= set(front.info)
    for r in front.rows:
        assert same_rational(parse(r.equation, NAMES), r.expr, 1e-6) or r.complexity > 25


def test_operon_finds_a_component(operon):
    rng = np.random.default_rng(5)
    d = rng.normal(0, 1.5, (1500, 2))
    r = np.linalg.norm(d, axis=1)
    m = np.exp(rng.normal(size=(1500, 2)))
    X, names = np.column_stack([d, r, m]), ["dx", "dy", "r", "m_i", "m_j"]
    y = -m[:, 0] * m[:, 1] * (0.8 * d[:, 0] + 0.6 * d[:, 1]) / r**3
    X, y = X[np.abs(y) < np.quantile(np.abs(y), 0.98)], y[np.abs(y) < np.quantile(np.abs(y), 0.98)]
    y = y + 0.3 + 0.01 * y.std() * rng.normal(size=len(y))
    front = quick(X, y, names)
    truth = parse("-1.0*m_i*m_j*(0.8*dx+0.6*dy)/r^3 + 0.3", names)
    assert same_rational(front.expr, truth, 0.05), to_text(front.expr)


LAW = "-1.0*m_i*m_j/(r+0.1)^2"


def noisy(share, rows=2000):
    X = radial("r", n=rows)[0]
    X[:, 0] = np.random.default_rng(1).uniform(0.5, 4, rows)
    y = compile_numpy(parse(LAW, NAMES), NAMES)(*X.T)
    return X, y + share * y.std() * np.random.default_rng(2).normal(size=rows)


@pytest.mark.parametrize(
    "formula, only",
    [
        (LAW, True),
        ("-0.9*m_i*m_j/(r+0.3)^2", True),  # constants are fitted
        ("-1.0*m_i*m_j/(r+0.1)^2 + 0.1*r", True),  # what is too much does not show
        ("-1.0*m_i*m_j/r^2", False),
        ("-1.0*m_i*m_j/(r+0.1)^2.0 * greater(r, 0.6)", False),
        ("-1.0*m_i*m_j*(1.0/r^2 - 0.2/r + 0.1*r)", False),
        ("-1.0*m_i/(r+0.1)^2", False),
        ("0.5", False),
    ],
)
def test_noise_is_told_from_what_a_wrong_formula_leaves(formula, only):
    X, y = noisy(0.02)
    assert noise.explained(parse(formula, NAMES), engine.objective_for(X, y, NAMES, "mse"))[1] is only


def test_little_explained_is_never_only_noise():
    X, y = noisy(1.0)
    objective = engine.objective_for(X, y, NAMES, "mse")
    assert noise.explained(parse(LAW, NAMES), objective) == (False, False)
    assert noise.largest_score(objective.fit(parse(LAW, NAMES))[0], objective) < noise.STANDARD_ERRORS**2


def test_scores_of_noise_are_squares_of_normal_numbers():
    rng, X = np.random.default_rng(3), noisy(0.0, 500)[0]
    found = []
    for _ in range(40):
        objective = engine.objective_for(X, rng.normal(size=len(X)), NAMES, "mse")
        found.append(noise.largest_score(objective.fit(parse("0.1*r/m_i + 0.1", NAMES))[0], objective))
    assert np.mean(np.array(found) > noise.STANDARD_ERRORS**2) <= 0.1 and 2 < np.median(found) < 16
    assert noise.largest_score(parse("log(q_i)", NAMES), objective) == np.inf


@pytest.mark.parametrize("least, restarts", [(None, 1), (2, 2)])
def test_restarts_end_when_only_noise_is_left_unless_more_are_asked_for(operon, least, restarts):
    X, y = noisy(0.02, 1500)
    front = engine.search(X, y, NAMES, restarts=3, min_restarts=least, progress=False)
    assert same_rational(front.expr, parse(LAW, NAMES), 0.1), to_text(front.expr)
    assert front.info["restarts"] == restarts and front.info["only_noise_left"] == (True if least is None else None)


@pytest.mark.parametrize("nodes, restarts", [(30, 1), (11, 3)])
def test_a_row_too_long_to_be_reported_ends_no_search(monkeypatch, nodes, restarts):
    from distill.search import operon

    law = parse("-0.9*m_i*m_j/(r+0.1)^2 + 0.001*r*r*r", NAMES)
    rows = [Row(complexity(e), v, "", e) for e, v in ((parse("0.9*m_i*m_j", NAMES), 1.0), (law, 0.01))]
    assert 11 < rows[1].complexity <= 21
    monkeypatch.setattr(operon, "_evolve", lambda *_: ([], 7))
    monkeypatch.setattr(operon, "_improve", lambda *_: rows)
    X, y = noisy(0.02, 500)
    front = engine.search(X, y, NAMES, restarts=3, max_complexity=nodes, progress=False)
    assert front.info["restarts"] == restarts and front.info["only_noise_left"] is (restarts == 1)


@pytest.mark.parametrize("least, restarts", [(None, 6), (2, 2)])
def test_restarts_that_agree_on_a_constant_agree_on_nothing(monkeypatch, least, restarts):
    from distill.search import operon

    monkeypatch.setattr(operon, "_evolve", lambda *_: ([parse("1.0", NAMES)], 7))
    monkeypatch.setattr(operon, "_improve", lambda trees, *_: [Row(1, 1.0, "", trees[0])])
    X, y = noisy(0.02, 200)
    front = engine.search(X, y, NAMES, restarts=6, min_restarts=least, progress=False)
    assert front.info["restarts"] == restarts and front.info["evaluations"] == 7 * restarts


@pytest.mark.parametrize("loss", ["mse", "relative"])
def test_pure_noise_gives_no_law(operon, loss):
    X, _ = radial("r")
    y = np.random.default_rng(8).normal(size=len(X))
    front = engine.search(X, y, NAMES, restarts=1, min_restarts=1, loss=loss, progress=False)
    chosen = front.rows[front.chosen]
    assert chosen.complexity <= 3 and chosen.held_out > 0.9 * front.rows[0].held_out


def test_operon_keeps_to_its_time_limit(operon):
    X, y = radial("-1.0*m_i*m_j/(r+0.01)^2")
    front = engine.search(X, y, NAMES, time_limit=1, min_restarts=4, progress=False)
    assert front.info["restarts"] == 1


def test_search_refuses_bad_data():
    X, y = radial("r")
    for bad in ((X, y[:-1]), (X[:5], y[:5]), (X, y * np.nan), (X[:, :2], y)):
        with pytest.raises(UserError):
            engine.search(*bad, NAMES)
    for options in ({"loss": "mae"}, {"engine": "gplearn"}, {"operators": ("+", "sqr")}):
        with pytest.raises(UserError):
            engine.search(X, y, NAMES, **options)


# ---------------------------------------------------------------- which engine


@pytest.fixture
def julia(tmp_path, monkeypatch):
    """A juliapkg project as it looks once PySR is installed; the executable does nothing."""
    executable = tmp_path / "julia"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    (tmp_path / "pyjuliapkg").mkdir()
    (tmp_path / "pyjuliapkg" / "meta.json").write_text(json.dumps({"executable": str(executable)}))
    (tmp_path / "Manifest.toml").write_text("[[deps.SymbolicRegression]]\n")
    monkeypatch.setenv("PYTHON_JULIAPKG_PROJECT", str(tmp_path))
    monkeypatch.delenv("PYTHON_JULIAPKG_EXE", raising=False)
    monkeypatch.setattr(available.util, "find_spec", lambda name: object())
    return tmp_path


def test_pysr_is_used_where_julia_is_ready(julia):
    assert resolve_engine("auto") == ("pysr", "PySR and Julia are ready")
    assert resolve_engine("pysr")[0] == "pysr"


@pytest.mark.parametrize("missing", ["julia", "Manifest.toml", "pyjuliapkg/meta.json"])
def test_anything_missing_means_operon(julia, monkeypatch, missing):
    (julia / missing).unlink()
    monkeypatch.setattr(available, "operon_problem", lambda: "")
    name, why = resolve_engine("auto")
    assert name == "operon" and "PySR cannot run" in why and "\n" not in why
    with pytest.raises(UserError, match="make pysr"):
        resolve_engine("pysr")


def test_neither_engine(julia, monkeypatch):
    (julia / "julia").unlink()
    monkeypatch.setattr(available, "operon_problem", lambda: "killed by signal 4 (a CPU without AVX2?)")
    for name in ("auto", "operon"):
        with pytest.raises(UserError, match="AVX2"):
            resolve_engine(name)
    with pytest.raises(UserError, match="unknown engine"):
        resolve_engine("julia")


def test_rows_know_their_formula():
    assert hall_of_fame.Row(1, 0.0, "r", sp.Symbol("r")).held_out is None
