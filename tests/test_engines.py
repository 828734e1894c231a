import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import sympy as sp

from distill.formulas.equivalence import same_rational
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.formulas.tree import canonical, complexity
from distill.pipeline import search_law
from distill.search import direct, engine, noise, operon, registry, shared, targets
from distill.search.choice import choose, pareto
from distill.search.engine import CannotStartError, Engine, SearchOptions
from distill.search.front import Row
from distill.search.hall_of_fame import read_hall_of_fame, write_hall_of_fame
from distill.search.pysr import julia as juliapkg
from distill.search.registry import resolve_engine
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
def pyoperon():
    if problem := operon.operon_problem():
        pytest.skip(problem)


def search(X, y, names, **options):
    return direct.search(X, y, names, SearchOptions(progress=False, **options))


def quick(X, y, names=NAMES, **options):
    return search(X, y, names, restarts=2, min_restarts=1, **options)


def test_operon_finds_a_softened_law_and_repeats_itself(pyoperon):
    X, y = radial("-1.0*m_i*m_j/(r+0.01)^2")
    front = quick(X, y, loss="relative", seed=1, evaluations=50_000)
    law = canonical(front.expr)
    assert complexity(law) <= 10 and front.rows[front.chosen].loss < 0.02, to_text(law)
    assert same_rational(law, parse("-1.0*m_i*m_j/(r+0.01)^2", NAMES), 0.2), to_text(law)
    again = quick(X, y, loss="relative", seed=1, evaluations=50_000)
    assert [r.equation for r in again.rows] == [r.equation for r in front.rows]
    assert again.chosen == front.chosen and front.engine == "operon"
    assert {"restarts", "evaluations", "cpu_seconds", "noise_floor", "best_pysr"} <= set(front.info)
    for r in front.rows:
        values = [compile_numpy(e, NAMES)(*X.T) for e in (parse(r.equation, NAMES), r.expr)]
        np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-6 * np.abs(y).max())


def test_operon_finds_a_component(pyoperon):
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
def test_restarts_end_when_only_noise_is_left_unless_more_are_asked_for(pyoperon, least, restarts):
    X, y = noisy(0.02, 1500)
    front = search(X, y, NAMES, restarts=3, min_restarts=least, evaluations=20_000)
    assert same_rational(front.expr, parse(LAW, NAMES), 0.1), to_text(front.expr)
    assert front.info["restarts"] == restarts and front.info["only_noise_left"] == (True if least is None else None)


@pytest.mark.parametrize("nodes, restarts", [(30, 1), (11, 3)])
def test_a_row_too_long_to_be_reported_ends_no_search(monkeypatch, nodes, restarts):
    law = parse("-0.9*m_i*m_j/(r+0.1)^2 + 0.001*r*r*r", NAMES)
    rows = [Row(complexity(e), v, "", e) for e, v in ((parse("0.9*m_i*m_j", NAMES), 1.0), (law, 0.01))]
    assert 11 < rows[1].complexity <= 21
    monkeypatch.setattr(operon, "propose", lambda *_: [])
    monkeypatch.setattr(operon, "_evolve", lambda *_: ([], 7))
    monkeypatch.setattr(operon, "_improve", lambda *_: rows)
    X, y = noisy(0.02, 500)
    front = search(X, y, NAMES, restarts=3, max_complexity=nodes)
    assert front.info["restarts"] == restarts and front.info["only_noise_left"] is (restarts == 1)


@pytest.mark.parametrize("least, restarts", [(None, 6), (2, 2)])
def test_restarts_that_agree_on_a_constant_agree_on_nothing(monkeypatch, least, restarts):
    monkeypatch.setattr(operon, "propose", lambda *_: [])
    monkeypatch.setattr(operon, "_evolve", lambda *_: ([parse("1.0", NAMES)], 7))
    monkeypatch.setattr(operon, "_improve", lambda trees, *_: [Row(1, 1.0, "", trees[0])])
    X, y = noisy(0.02, 200)
    front = search(X, y, NAMES, restarts=6, min_restarts=least)
    assert front.info["restarts"] == restarts and front.info["evaluations"] == 7 * restarts


def test_families_enter_the_front_where_their_functions_may_be_used(monkeypatch):
    monkeypatch.setattr(operon, "_evolve", lambda *_: ([], 7))
    X, _ = noisy(0.0, 600)
    truth = parse("2.0*exp(-0.8*r)*m_i*m_j", NAMES)
    y = compile_numpy(truth, NAMES)(*X.T)
    options = dict(restarts=1, min_restarts=1, max_complexity=15)
    with_exp = search(X, y, NAMES, **options, operators=("+", "-", "*", "/", "exp"))
    assert with_exp.expr.has(sp.exp)
    front = search(X, y, NAMES, **options, operators=("+", "-", "*", "/"))
    assert not any(r.expr.has(sp.exp) for r in front.rows) and front.info["families"] > 0


@pytest.mark.parametrize("loss", ["mse", "relative"])
def test_pure_noise_gives_no_law(pyoperon, loss):
    X, _ = radial("r")
    y = np.random.default_rng(8).normal(size=len(X))
    front = search(X, y, NAMES, restarts=1, min_restarts=1, loss=loss)
    chosen = front.rows[front.chosen]
    assert chosen.complexity <= 3 and chosen.held_out > 0.9 * front.rows[0].held_out


def test_operon_keeps_to_its_time_limit(pyoperon):
    X, y = radial("-1.0*m_i*m_j/(r+0.01)^2")
    front = search(X, y, NAMES, time_limit=1, min_restarts=4)
    assert front.info["restarts"] == 1


def test_search_refuses_bad_data():
    X, y = radial("r")
    for bad in ((X, y[:-1]), (X[:5], y[:5]), (X, y * np.nan), (X[:, :2], y)):
        with pytest.raises(UserError):
            search(*bad, NAMES)
    for options in ({"loss": "mae"}, {"engine": "gplearn"}, {"operators": ("+", "sqr")}):
        with pytest.raises(UserError):
            search(X, y, NAMES, **options)


# ---------------------------------------------------------------- which engine


MANIFEST = """julia_version = "1.10.8"
manifest_format = "2.0"

[[deps.StatsBase]]
version = "0.34.9"

[[deps.SymbolicRegression]]
deps = ["Optim"]
uuid = "8254be44-1295-4e6a-a16d-46603ac705cb"
version = "2.7.4"

[[deps.Zlib_jll]]
version = "1.2.13+1"
"""


@pytest.fixture
def julia(tmp_path, monkeypatch):
    """A juliapkg project as it looks once PySR is installed; the executable does nothing."""
    executable = tmp_path / "julia"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    (tmp_path / "pyjuliapkg").mkdir()
    (tmp_path / "pyjuliapkg" / "meta.json").write_text(json.dumps({"executable": str(executable)}))
    (tmp_path / "Manifest.toml").write_text(MANIFEST)
    wanted = {"packages": {"SymbolicRegression": {"version": "~2.7.2"}}}
    (tmp_path / "juliapkg.json").write_text(json.dumps(wanted))
    monkeypatch.setenv("PYTHON_JULIAPKG_PROJECT", str(tmp_path))
    monkeypatch.delenv("PYTHON_JULIAPKG_EXE", raising=False)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(juliapkg, "util", SimpleNamespace(find_spec=lambda name: spec))
    return tmp_path


@pytest.fixture
def operon_is(monkeypatch):
    """Say whether pyoperon can run."""
    return lambda problem: monkeypatch.setattr(operon, "ENGINE", replace(operon.ENGINE, problem=lambda: problem))


def test_pysr_is_used_where_julia_is_ready(julia):
    assert resolve_engine("auto") == ("pysr", "PySR is ready")
    assert resolve_engine("pysr") == ("pysr", "asked for; PySR is ready")
    assert juliapkg.julia_versions() == {"julia": "1.10.8", "SymbolicRegression": "2.7.4"}


@pytest.mark.parametrize("missing", ["julia", "Manifest.toml", "pyjuliapkg/meta.json"])
def test_anything_missing_means_operon(julia, operon_is, missing):
    (julia / missing).unlink()
    operon_is("")
    name, why = resolve_engine("auto")
    assert name == "operon" and "PySR cannot run" in why and "\n" not in why
    with pytest.raises(UserError, match="make pysr"):
        resolve_engine("pysr")


def test_a_julia_environment_of_another_pysr_is_not_ready(julia, operon_is):
    operon_is("")
    (julia / "Manifest.toml").write_text(MANIFEST.replace("2.7.4", "1.11.3"))
    name, why = resolve_engine("auto")
    assert name == "operon" and "needs SymbolicRegression.jl ~2.7.2, its Julia environment has 1.11.3" in why
    with pytest.raises(UserError, match="make pysr"):
        resolve_engine("pysr")
    (julia / "juliapkg.json").write_text("{}")  # a version that does not say: Julia will
    assert resolve_engine("auto")[0] == "pysr"


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("2.7.4", "~2.7.2", True),
        ("2.8.0", "~2.7.2", False),
        ("2.7.1", "~2.7.2", False),
        ("2.0.0-alpha.10", "~2.7.2", False),
        ("1.12.0", "1.11.3", True),
        ("2.0.0", "^1.11", False),
        ("0.24.5", "0.24.1", True),
        ("0.25.0", "^0.24.1", False),
        ("1.10.3", "=1.10.0, 1.10.3", True),
        ("1.10.1", "=1.10.0, =1.10.3", False),
        ("1.0.0", ">= 2", True),  # not a way in which PySR writes it: Julia will say
    ],
)
def test_versions_are_compared_as_julia_does(version, wanted, fits):
    assert juliapkg.fits(version, wanted) is fits


def test_an_engine_known_not_to_start_is_passed_over(julia, operon_is):
    operon_is("")
    assert resolve_engine("auto", {"pysr": "no Julia"}) == ("operon", "PySR cannot run (no Julia)")


def test_neither_engine(julia, operon_is):
    (julia / "julia").unlink()
    operon_is("killed by signal 4 (a CPU without AVX2?)")
    for name in ("auto", "operon"):
        with pytest.raises(UserError, match="AVX2"):
            resolve_engine(name)
    with pytest.raises(UserError, match="unknown engine 'julia'; choose pysr or operon"):
        resolve_engine("julia")


@pytest.fixture
def plant(monkeypatch):
    """Add an engine of that name; returns its module."""

    def add(name, find, **about):
        module = ModuleType(name)
        module.ENGINE = Engine(name, name.capitalize(), "ask", ("+", "*", "/"), lambda: "", find, **about)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(registry.ENGINES, name, name)
        return module

    return add


def test_another_engine_is_a_module_and_a_name(plant):
    """A third engine, which knows one law, is found by its name, checked, refitted and chosen from like the others."""

    law = parse("0.5*m_i*m_j/(r + 0.3)^2", NAMES)

    def find(X, y, names, options):
        assert options.restarts == 3 and X.shape == (1200, 5) and len(y) == 1200
        return [law, parse("0.5*m_i/r", names)], {"guesses": 2}

    module = plant("knowing", find)
    X, y = radial("-1.0*m_i*m_j/(r+0.1)^2", noise=0)
    options = dict(engine="knowing", restarts=3, operators=("+", "*", "/"))
    front = search(X, y, NAMES, **options)
    assert to_text(front.expr, 6) == "-m_i * m_j / (r + 0.1)^2"
    assert front.engine == "knowing" and front.info["guesses"] == 2 and len(front.rows) > 1
    assert resolve_engine("knowing") == ("knowing", "asked for; Knowing is ready")
    with pytest.raises(UserError, match="knowing has no operator 'exp'"):
        search(X, y, NAMES, **options | {"operators": ("+", "exp")})
    angle = np.random.default_rng(0).uniform(0, 6.3, len(y))
    unit = np.column_stack([np.cos(angle), np.sin(angle)])
    Y = (y[:, None] * unit) @ np.array([[1.0, 0.3], [0.2, -2.0]]) + 0.5
    module.ENGINE = replace(
        module.ENGINE, find=lambda X, f, names, options: ([parse("m_i*m_j/(r + 0.3)^2", names)], {})
    )
    front, A, _ = shared.search_shared(Y, unit, X, NAMES, SearchOptions(**options))
    assert to_text(front.expr, 4) == "m_i * m_j / (r + 0.1)^2" and np.linalg.cond(A) < 10


def test_auto_goes_on_with_the_next_engine_where_one_cannot_start(plant, monkeypatch, capsys):
    def broken(*_):
        raise CannotStartError("Broken cannot start: no Julia", "make it")

    monkeypatch.setattr(registry, "ENGINES", {})
    plant("broken", broken)
    plant("knowing", lambda X, y, names, options: ([parse("0.5*r", names)], {}))
    options = SearchOptions(engine=resolve_engine("auto")[0], operators=("+",))
    with pytest.raises(CannotStartError) as caught:
        search(*radial("r"), NAMES, engine=options.engine, operators=("+",))
    options, reason = search_law.instead(options, caught.value)
    assert options.engine == "knowing" and reason == "Broken cannot run (Broken cannot start: no Julia)"
    assert capsys.readouterr().err == "warning: Broken cannot start: no Julia; knowing searches instead\n"


@pytest.mark.parametrize("deterministic, threads", [(True, 1), (False, 3)])
def test_threads_are_the_engines_own_where_it_has_them(plant, tmp_path, deterministic, threads):
    seen = []

    def find(X, y, names, options):
        seen.append(options.threads)
        return [parse("0.5*r", names)], {}

    plant("threaded", find, own_threads=True)
    X, y = radial("r")
    target = targets.Target("radial", dict(zip(NAMES, X.T, strict=True)), y)
    options = SearchOptions("threaded", operators=("+",), deterministic=deterministic, progress=False)
    found = search_law.run_searches([target], options, 3, tmp_path, "digest")
    assert seen == [threads] and to_text(found["radial"].expr, 2) in ("r", "1.0 * r")
    search_law.run_searches([target], options, 3, tmp_path, "digest")
    assert len(seen) == 1  # read back


def test_rows_know_their_formula():
    one = row(1, 0.5)
    assert one.held_out is None and one.judged == 0.5 and replace(one, held_out=0.7).judged == 0.7


@pytest.mark.parametrize("arguments", [[1.0, 0.0], [0.0], [0.0, 2.0, 0.0]])
def test_a_tree_that_divides_by_nothing_is_no_formula_and_ends_no_search(arguments):
    assert operon._apply("Div", [sp.Float(value) for value in arguments]).has(sp.zoo)
