"""PySR without Julia: what is handed to it, held against its installed source, and what it leaves behind."""

import ast
import json
import math
import os
import re
import signal
import sys
import warnings
from dataclasses import replace
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.search import direct, hall_of_fame, operon, shared
from distill.search.engine import CannotStartError, SearchOptions
from distill.search.pysr import adapter, guesses, resume, template
from distill.shell.errors import UserError

DATA = Path(__file__).parent / "data"
HALLS = ["hall_of_fame_1.5.10.csv", "hall_of_fame_2.0.0a2.csv"]
NAMES = ["dx", "dy", "r", "m1", "m2"]
HALL = (DATA / HALLS[0]).read_text()
ARITHMETIC = ("+", "-", "*", "/", "square")


def planted(n=500, seed=2):
    """Features [row, 5] named ``NAMES`` and y [row], the law that both real files hold, times 3."""
    rng = np.random.default_rng(seed)
    d = rng.normal(0, 1.5, (n, 2))
    X = np.column_stack([d, np.linalg.norm(d, axis=1) + 0.2, np.exp(rng.normal(size=(n, 2)))])
    return X, -3.0 * X[:, 3] * X[:, 4] * X[:, 0] / X[:, 2] ** 3


# ---------------------------------------------------------------- the installed source, read but not run


def source(name):
    spec = util.find_spec("pysr")
    if spec is None:
        pytest.skip("pysr is not installed")
    tree = ast.parse((Path(spec.origin).parent / name).read_text(encoding="utf-8"))
    return {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}


def test_every_argument_exists():
    regressor = source("sr.py")["PySRRegressor"]
    methods = {n.name: n.args for n in regressor.body if isinstance(n, ast.FunctionDef)}
    known = {a.arg for a in methods["__init__"].args + methods["__init__"].kwonlyargs}
    assert (
        set(adapter.regressor_options(SearchOptions())) | {"output_directory", "run_id", "guesses", "expression_spec"}
        <= known
    )
    assert {"weights", "variable_names"} <= {a.arg for a in methods["fit"].kwonlyargs}


def test_every_argument_of_the_template_exists():
    spec = source("expression_specs.py")["TemplateExpressionSpec"]
    fields = {n.target.id for n in spec.body if isinstance(n, ast.AnnAssign)}
    assert set(template.template(["r"], 2, 2)) <= fields


def options_for(rows=1, **options):
    return adapter.regressor_options(SearchOptions(**options), rows)


def test_options_follow_the_arguments():
    options = options_for(operators=("+", "pow", "square", "greater"), threads=1, seed=3)
    assert options["binary_operators"] == ["+", "^", "greater"] and options["unary_operators"] == ["square"]
    assert options["deterministic"] and options["parallelism"] == "serial" and options["random_state"] == 3
    several = options_for(threads=16)
    assert not several["deterministic"] and several["parallelism"] == "multithreading"
    assert several["random_state"] is None and several["populations"] == 48
    assert [options_for(n)["batching"] for n in (1000, 1001)] == [False, True]
    assert [options_for(n)["batch_size"] for n in (4999, 5000)] == [128, 256]
    assert options["verbosity"] == 0 and not options["progress"]  # its table and its hint would be wrong here
    with pytest.raises(UserError, match="square"):
        SearchOptions(operators=("squares",))


# ---------------------------------------------------------------- files


def test_a_template_row_gives_formula_and_parameters(tmp_path):
    path = tmp_path / "hall_of_fame.csv"
    path.write_text(
        "Complexity,Loss,Equation\n"
        '1,0.5,"f = -0.25; mix_1 = [0.1, -2.0]; offset = [1.0e-5, 3.0]"\n'
        '9,1.0e-7,"f = (#2 * (#3 * 1.5f-2)) / square(#1); mix_1 = [.5, 1.0f0]; offset = [0.0, -1.25f-3]"\n'
    )
    rows = hall_of_fame.read_hall_of_fame(path, ["r", "m_i", "m_j"])
    assert rows[1].expr == parse("m_i * (m_j * 1.5e-2) / r^2", ["r", "m_i", "m_j"])
    assert rows[1].parameters == {"mix_1": [0.5, 1.0], "offset": [0.0, -1.25e-3]}
    assert rows[0].equation == "-0.25" and rows[0].parameters["offset"] == [1e-5, 3.0]
    hall_of_fame.write_hall_of_fame(path, rows)  # as a plain file, which is read the same
    assert [r.expr for r in hall_of_fame.read_hall_of_fame(path, ["r", "m_i", "m_j"])] == [r.expr for r in rows]


@pytest.mark.parametrize(
    "equation, names_it",
    [
        ("f = #1; mix = [1.0, 2.0", "no vector"),
        ("f = #1; mix = [1.0, ", "no vector"),
        ("f = #1; mix = []", "something else"),
        ("f = #1; mix = [1.0, NaN]", "something else"),
        ("f = #1; mix = [1e999]", "something else"),
        ("f = #1; mix = [1_0]", "something else"),
        ("f = #1; mix = [exit()]", "something else"),
        ("f = #1; mix", "no part"),
        ("f = #1;", "no part"),
        ("mix = [1.0]", "0 sub-expressions"),
        ("f = #1; g = #2", "2 sub-expressions"),
        ("f = #1; f = #2", "twice"),
        ("f = #3", "#3"),
        ("f = #0", "#0"),
        ("f = #99999999999999999999", "#999999"),
        ("f = r#1", "unexpected"),
        ("f = #1#1", "unexpected"),
        ("f = __import__('os').system('touch CANARY')", "row 2"),
        ("f = 9.0^9.0^9.0^9.0; mix = [1.0]", "power"),
        ("f = ", "too early"),
        ("; ".join(["f = #1"] + [f"p{k} = [1.0]" for k in range(50)]), "51 parts"),
        ("f = #1; p = [" + ", ".join(["1.0"] * 5000) + "]", "no vector"),
        ("f == #1", "row 2"),
        ("= #1", "no part"),
    ],
    ids=range(24),
)
def test_damaged_template_rows_are_named(tmp_path, monkeypatch, equation, names_it):
    monkeypatch.chdir(tmp_path)
    Path("hall.csv").write_text(f'Complexity,Loss,Equation\n1,0.5,"{equation}"\n')
    with pytest.raises(UserError, match=re.escape(names_it)) as caught:
        hall_of_fame.read_hall_of_fame("hall.csv", ["r", "m_i"])
    assert "hall.csv, row 2" in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("CANARY").exists()


def test_the_backup_is_read_where_the_file_was_cut_off(tmp_path):
    path = tmp_path / "hall_of_fame.csv"
    path.write_text(HALL[:-30])
    with pytest.raises(UserError, match=r"hall_of_fame\.csv"):
        adapter.read_result(tmp_path, NAMES)
    path.with_name(path.name + ".bak").write_text(HALL)
    assert len(adapter.read_result(tmp_path, NAMES)) == 11
    path.unlink()
    assert len(adapter.read_result(tmp_path, NAMES)) == 11
    path.with_name(path.name + ".bak").write_text("half")
    with pytest.raises(UserError, match=r"hall_of_fame\.csv\.bak"):
        adapter.read_result(tmp_path, NAMES)


# ---------------------------------------------------------------- guesses

EVERYTHING = (*ARITHMETIC, "cube", "sqrt", "neg", "inv", "exp", "log", "abs", "sin", "cos", "tanh", "^", "greater")


@pytest.mark.parametrize(
    "operators", [ARITHMETIC, EVERYTHING, ("+", "-", "*", "/"), ("+", "*", "^"), ("+", "*", "inv")]
)
@pytest.mark.parametrize(
    "law",
    [
        "-1.0*m1*m2/(r + 0.01)^2",
        "-2.0*r + 1.98",
        "-m1 - m2*r",
        "3.97e-8 - m1",
        "-m1/(r*m2)",
        "1/r",
        "r^7 - 2*r^4/m1^3",
        "-0.5",
        "m1",
        "(m1 - m2)/(r - 1.5)",
        "(1/3)*m1",
    ],
)
def test_a_guess_reads_back_as_the_formula(law, operators):
    expr = parse(law, NAMES)
    text, nodes = guesses.guess_text(expr, operators)
    X = planted(50)[0]
    values = [compile_numpy(e, NAMES)(*X.T) for e in (expr, parse(text, NAMES))]
    assert np.allclose(*values, rtol=1e-12)
    tokens = re.findall(r"[A-Za-z_]\w*|\d+\.?\d*(?:e[-+]?\d+)?|[-+*/^]", re.sub(r"\(-", "(", text))
    assert nodes == len(tokens)  # every operator, constant and variable counts 1, as PySR counts
    assert {t for t in tokens if t not in NAMES and not t[0].isdigit()} <= set(operators)
    assert not re.search(r"-(?!\s|\d)|(?<![e(])-\d", text), text  # a minus is binary or in "(-1.5)", never unary


@pytest.mark.parametrize(
    ("law", "operators", "expected"),
    [
        ("sqrt(r) + r^1.5", ("+", "*", "sqrt"), "(sqrt(r) + (r * sqrt(r)))"),
        ("exp(-r)/r", ("*", "/", "exp"), "(exp(((-1.0) * r)) / r)"),
        ("-r*m1", ("*", "neg"), "neg((m1 * r))"),
        ("-1/r", ("/", "neg"), "((-1.0) / r)"),
        ("-1/r", ("*", "inv", "neg"), "((-1.0) * inv(r))"),
        ("-1.0/r^2", ("/", "square"), "((-1.0) / square(r))"),
        ("greater(r, 1.5)*m1", ("*", "greater"), "(m1 * greater(r, 1.5))"),
        ("abs(m1)^r", ("^", "abs"), "(m1 ^ r)"),
        ("square(r)", ("*",), "(r * r)"),
        ("r^2.5", ("^", "*", "sqrt", "square"), "(r ^ 2.5)"),
    ],
)
def test_spelling_of_guesses(law, operators, expected):
    assert guesses.guess_text(parse(law, NAMES), operators)[0] == expected


@pytest.mark.parametrize(
    ("law", "operators"),
    [
        ("sin(r)", ARITHMETIC),
        ("r^2.3", ARITHMETIC),
        ("sqrt(r)", ARITHMETIC),
        ("m1/r", ("+", "*")),
        ("m1 + r", ("*",)),
        ("1e-40*r", ARITHMETIC),
        ("1e40*r", ARITHMETIC),
        ("sign(dx)", EVERYTHING),
        ("r^40", ("*",)),
    ],
)
def test_what_the_search_cannot_write_is_no_guess(law, operators):
    assert guesses.guess_text(parse(law, NAMES), operators) is None


def test_guesses_are_short_enough_and_given_once():
    exprs = [parse(t, NAMES) for t in ("r", "r + m1", "r + m1", "sin(r)", "r*m1*m2*dx*dy")]
    assert guesses.guess_texts(exprs, ARITHMETIC, 7) == ["r", "(m1 + r)"]
    assert guesses.guess_texts(exprs[:2], ARITHMETIC, 7, {"r": "#1", "m1": "#2"}) == ["#1", "(#2 + #1)"]


def test_the_embedded_engine_gives_guesses():
    if problem := operon.operon_problem():
        pytest.skip(problem)
    r = np.random.default_rng(3).uniform(0.2, 3, (80, 1))
    y = 1.98 - 2 * r[:, 0]
    options = SearchOptions(operators=("+", "-", "*", "greater"), max_complexity=20, seed=1, time_limit=1)
    found, why = guesses.embedded_front(r, y, ["r"], options)
    errors = [np.mean((compile_numpy(e, ["r"])(*r.T) - y) ** 2) for e in found]
    assert min(errors) < 1e-6 and why == f"{len(found)} formulas of the embedded engine"
    assert guesses.guess_texts(found, ("+", "-", "*"), 25)


def test_without_pyoperon_there_are_none(monkeypatch):
    monkeypatch.setattr(operon, "ENGINE", replace(operon.ENGINE, problem=lambda: "it is not installed"))
    assert guesses.embedded_front(*planted(30), NAMES, SearchOptions()) == (
        [],
        "none: pyoperon cannot run (it is not installed)",
    )


# ---------------------------------------------------------------- a stand-in for the regressor


class FakeRegressor:
    """Writes what PySR wrote once, instead of running it; remembers what it was given."""

    text, fails, interrupted, warns, seen = HALL, None, False, (), []

    def __init__(self, output_directory, run_id, guesses=None, expression_spec=None, **options):
        self.folder = Path(output_directory) / run_id
        self.given = {"guesses": guesses, "spec": expression_spec, "options": options}
        self.interrupted_ = self.interrupted

    def fit(self, X, y, weights=None, variable_names=None):
        there = sorted(p.name for p in self.folder.iterdir()) if self.folder.is_dir() else []
        self.seen.append(self.given | {"X": X, "y": y, "weights": weights, "names": variable_names, "before": there})
        for warning in self.warns:
            warnings.warn(warning, stacklevel=1)
        if self.fails is not None and self.fails():
            raise RuntimeError("JULIA: ArgumentError: cannot read this\nlong story")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "hall_of_fame.csv").write_text(self.text[:-30])  # cut off: the backup is read
        (self.folder / "hall_of_fame.csv.bak").write_text(self.text)


class OldRegressor(FakeRegressor):
    """As before PySR took guesses."""

    def __init__(self, output_directory, run_id, expression_spec=None, **options):
        assert "guesses" not in options
        super().__init__(output_directory, run_id, expression_spec=expression_spec, **options)


@pytest.fixture
def fake(monkeypatch):
    """The class that stands in, fresh for every test; the embedded engine gives the law up to its constants."""

    class Fresh(FakeRegressor):
        seen = []

    module = SimpleNamespace(PySRRegressor=Fresh, TemplateExpressionSpec=SimpleNamespace, __version__="0.0")
    monkeypatch.setattr(adapter, "_load", lambda threads: module)
    embedded = lambda *_: ([parse("-1.0*m1*m2*dx/r^3", NAMES), parse("sin(r)", NAMES)], "2 formulas")  # noqa: E731
    monkeypatch.setattr(adapter, "embedded_front", embedded)
    Fresh.module = module
    return Fresh


def pysr_search(tmp_path, loss="mse", n=500, **options):
    options = SearchOptions(engine="pysr", loss=loss, output_directory=tmp_path, progress=False, **options)
    return direct.search(*planted(n), NAMES, options)


@pytest.mark.parametrize("loss", ["mse", "relative"])
def test_the_result_goes_the_same_way(fake, tmp_path, loss):
    front = pysr_search(tmp_path, loss)
    assert to_text(front.expr, 6) == "-3.0 * dx * m1 * m2 / r^3" and front.engine == "pysr"
    assert front.rows[0].expr.is_number and (tmp_path / "pysr" / "hall_of_fame.csv").is_file()
    given = fake.seen[0]
    assert given["guesses"] == ["(((((-1.0) * dx) * m1) * m2) / (square(r) * r))"]
    assert (given["weights"] is None) == (loss == "mse") and given["names"] == NAMES
    assert not given["options"]["batching"]
    assert {"guesses": 1, "resumed_rows": 0, "guesses_why": "2 formulas"}.items() <= front.info.items()
    assert json.dumps({k: v for k, v in front.info.items()}, default=str)


def test_many_rows_are_searched_in_batches(fake, tmp_path):
    front = pysr_search(tmp_path, n=2000)
    assert fake.seen[0]["options"]["batching"] and fake.seen[0]["options"]["batch_size"] == 128
    assert front.info["batch_size"] == 128 and front.info["rows"] == 1600


def test_guessed_formulas_are_returned(fake, tmp_path):
    fake.text = 'Complexity,Loss,Equation\n1,1.0,"0.5"\n'  # PySR found nothing
    front = pysr_search(tmp_path)
    assert to_text(front.expr, 6) == "-3.0 * dx * m1 * m2 / r^3"


def test_no_guesses_where_they_are_not_wanted(fake, tmp_path):
    front = pysr_search(tmp_path, guesses=False)
    assert fake.seen[0]["guesses"] is None and front.info["guesses_why"] == "none: not asked for"


def test_no_guesses_where_the_version_takes_none(fake, tmp_path):
    fake.module.PySRRegressor = OldRegressor
    front = pysr_search(tmp_path)
    assert front.info["guesses"] == 0 and "takes no guesses" in front.info["guesses_why"]
    assert to_text(front.expr, 6) == "-3.0 * dx * m1 * m2 / r^3"


def test_guesses_that_julia_cannot_read_end_no_search(fake, tmp_path, capsys):
    fake.fails = lambda self: self.given["guesses"]
    front = pysr_search(tmp_path)
    assert [s["guesses"] is None for s in fake.seen] == [False, True] and front.info["guesses"] == 0
    assert "refused the guesses (JULIA: ArgumentError: cannot read this)" in capsys.readouterr().err
    assert "refused" in front.info["guesses_why"]


def test_another_failure_is_not_hidden(fake, tmp_path):
    fake.fails = lambda self: True
    with pytest.raises(RuntimeError):
        pysr_search(tmp_path)
    assert len(fake.seen) == 2  # once with and once without guesses


class JuliaError(Exception):
    """As juliacall's."""


def test_an_error_of_julias_is_one_line(fake, tmp_path):
    def fail(self):
        raise JuliaError("MethodError: no method matching f\nStacktrace:\n [1] top-level scope")

    fake.fails = fail
    with pytest.raises(
        UserError, match="PySR's search failed: MethodError: no method matching f; run make pysr"
    ) as got:
        pysr_search(tmp_path)
    assert "Stacktrace" not in str(got.value)


def test_an_interruption_before_the_first_csv_is_none_of_the_guesses(fake, tmp_path, capsys):
    def interrupted(self):
        self.interrupted_ = True
        return True

    def julias(self):
        raise JuliaError("InterruptException:\nStacktrace:")

    for fake.fails in (interrupted, julias):
        with pytest.raises(KeyboardInterrupt):
            pysr_search(tmp_path)
    assert len(fake.seen) == 2 and "refused" not in capsys.readouterr().err


def test_warnings_of_pysr_are_ours_or_none(fake, tmp_path, capsys, recwarn):
    fake.warns = [
        "Note: Using a large maxsize for the search\nmore",
        "You are using the `^` operator",
        "Odd data\nmore",
    ]
    pysr_search(tmp_path)
    assert capsys.readouterr().err == "warning: PySR: Odd data\n"
    assert not [w for w in recwarn if "maxsize" in str(w.message)]


def test_what_is_told_is_what_was_asked_for_and_measured(fake, tmp_path, monkeypatch):
    """Iterations as asked for, the seconds, versions of Julia, and CPU time with that of children."""
    monkeypatch.setattr(adapter, "julia_versions", lambda: {"julia": "1.10.8", "SymbolicRegression": "2.7.4"})

    def embedded(*_):
        pid = os.fork()
        if pid == 0:  # as the embedded engine, a process of its own
            end = os.times().user + 0.3
            while os.times().user < end:
                pass
            os._exit(0)
        os.waitpid(pid, 0)
        return [parse("m1", NAMES)], "1 formula"

    monkeypatch.setattr(adapter, "embedded_front", embedded)
    info = pysr_search(tmp_path, niterations=7).info
    assert info["iterations_asked"] == 7 and "iterations" not in info and info["seconds"] >= info["search_seconds"] > 0
    assert (info["julia"], info["SymbolicRegression"]) == ("1.10.8", "2.7.4")
    assert info["cpu_seconds"] > 0.3


def test_pysr_that_cannot_start(monkeypatch):
    import builtins

    def refuse(name, *args, **kwargs):
        if name == "pysr":
            raise RuntimeError("no Julia\nlong story")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(CannotStartError) as caught:
        adapter._load(1)
    assert "make pysr" in str(caught.value) and "long story" not in str(caught.value)


def test_julia_starts_with_as_many_threads_as_asked_for(monkeypatch):
    monkeypatch.setattr(adapter.os, "environ", {"JULIA_NUM_GC_THREADS": "2,1"})
    monkeypatch.setitem(adapter.sys.modules, "pysr", SimpleNamespace())
    adapter._load(3)
    assert adapter.os.environ == {
        "JULIA_NUM_GC_THREADS": "2,1",
        "PYTHON_JULIACALL_THREADS": "3",
        "PYTHON_JULIAPKG_OFFLINE": "yes",
    }


def test_ctrl_c_stays_pythons(tmp_path, monkeypatch):
    """Julia takes SIGINT when it starts, and keeps it even where the start fails."""
    (tmp_path / "pysr.py").write_text(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nraise RuntimeError('no Julia')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pysr", raising=False)
    monkeypatch.setattr(adapter.os, "environ", dict(os.environ))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(CannotStartError, match="no Julia"):
        adapter._load(1)
    assert signal.getsignal(signal.SIGINT) is before is not signal.SIG_IGN


# ---------------------------------------------------------------- interrupted searches


def test_an_interrupted_search_goes_on(fake, tmp_path):
    """Ctrl-C, twice; the third call has all rows as guesses and candidates, and cleans up."""
    fake.interrupted = True
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            pysr_search(tmp_path)
    fake.interrupted, fake.text = False, 'Complexity,Loss,Equation\n1,1.0,"0.5"\n'
    front = pysr_search(tmp_path)
    assert front.info["resumed_rows"] == 11 and fake.seen[2]["before"] == ["earlier.csv", "search.json"]
    assert len(fake.seen[2]["guesses"]) > 8 and len(fake.seen[0]["guesses"]) == 1
    assert to_text(front.expr, 6) == "-3.0 * dx * m1 * m2 / r^3"
    assert not (tmp_path / "pysr" / "earlier.csv").exists()
    assert json.loads((tmp_path / "pysr" / "search.json").read_text())["finished"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"loss": "relative"},
        {"max_complexity": 20},
        {"n": 501},
        {"operators": ("+", "*", "/")},
        {"niterations": 7},
        {"resume": False},
    ],
)
def test_rows_of_another_search_are_never_used(fake, tmp_path, change):
    fake.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        pysr_search(tmp_path)
    fake.interrupted = False
    front = pysr_search(tmp_path, **change)
    assert front.info["resumed_rows"] == 0 and fake.seen[1]["before"] == ["search.json"]


def test_a_finished_search_starts_anew(fake, tmp_path):
    first, again = pysr_search(tmp_path), pysr_search(tmp_path)
    assert again.info["resumed_rows"] == 0 and [r.equation for r in again.rows] == [r.equation for r in first.rows]
    assert fake.seen[1]["before"] == ["search.json"]


@pytest.mark.parametrize("damage", ["search.json", "hall_of_fame.csv.bak", "earlier.csv"])
def test_damaged_leftovers_are_told_and_left(fake, tmp_path, capsys, damage):
    fake.interrupted = True
    for _ in range(2 if damage == "earlier.csv" else 1):
        with pytest.raises(KeyboardInterrupt):
            pysr_search(tmp_path)
    (tmp_path / "pysr" / damage).write_text('{"identity": ')
    fake.interrupted = False
    front = pysr_search(tmp_path)
    assert front.info["resumed_rows"] == (11 if damage == "earlier.csv" else 0)
    err = capsys.readouterr().err
    assert err.count("warning") == 1 and damage.removesuffix(".bak") in err
    assert to_text(front.expr, 6) == "-3.0 * dx * m1 * m2 / r^3"


def test_a_hall_of_fame_of_others_is_kept(fake, tmp_path):
    theirs = tmp_path / "pysr" / "hall_of_fame.csv"
    theirs.parent.mkdir()
    theirs.write_text(HALL)
    with pytest.raises(UserError, match="not written here: no search.json.*--overwrite.*with --hall-of-fame FILE"):
        pysr_search(tmp_path)
    assert theirs.read_text() == HALL and not fake.seen
    pysr_search(tmp_path, resume=False)
    assert theirs.read_text() != HALL  # asked for
    pysr_search(tmp_path)  # our own is
    theirs.write_text(HALL.replace("0.", "1."))
    with pytest.raises(UserError, match="was changed since"):
        pysr_search(tmp_path)


def test_nothing_valid_is_lost_on_the_way(tmp_path, monkeypatch):
    """Killed between any two steps of ``begin``, the rows are still there, and still nobody else's."""
    who = resume.identity({"niterations": 1}, NAMES, [np.ones(3)])
    other = resume.identity({"niterations": 1}, NAMES, [np.zeros(3)])

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    def begin(whose):
        return resume.begin(tmp_path, whose, NAMES, lambda: adapter.read_result(tmp_path, NAMES))

    for step in ("save_json", "write_hall_of_fame"):
        begin(other)
        begin(who)
        (tmp_path / "hall_of_fame.csv").write_text(HALL)
        with monkeypatch.context() as patch:
            patch.setattr(resume, step, killed)
            with pytest.raises(KeyboardInterrupt):
                begin(who)
        assert len(begin(who)) == 11
    with monkeypatch.context() as patch:
        patch.setattr(resume, "save_json", killed)
        with pytest.raises(KeyboardInterrupt):
            begin(other)
    assert begin(other) == [] and begin(who) == []


# ---------------------------------------------------------------- the template


def messages(dim=2, n=400, seed=0):
    rng = np.random.default_rng(seed)
    d = rng.normal(0, 2, (n, dim))
    r = np.linalg.norm(d, axis=1)
    X, unit = np.column_stack([r, np.exp(rng.normal(size=(n, 2)))]), d / r[:, None]
    A, b = rng.normal(size=(dim, dim)) + 2 * np.eye(dim), rng.normal(size=dim)
    f = X[:, 1] * X[:, 2] / (r + 0.1)
    return (unit * f[:, None]) @ A.T + b, unit, X, A, b, f


def julia_value(combine, columns, parameters, f):
    """The value of a template's ``combine``, parameters counted from 1 by a column of whole numbers."""

    class Parameter:
        def __init__(self, values):
            self.values = np.asarray(values)

        def __getitem__(self, index):
            return self.values[np.asarray(index).astype(int) - 1]

    scope = columns | {k: Parameter(v) for k, v in parameters.items()} | {"f": f}
    return eval(compile(ast.parse(combine, mode="eval"), "combine", "eval"), {"__builtins__": {}}, scope)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_template_says_what_the_components_are(dim):
    Y, unit, X, A, b, f = messages(dim)
    names = ["r", "m_i", "m_j"]
    form = template.template(names, dim, dim)
    features, y = template.stack(Y, unit, X)
    columns = dict(zip(form["variable_names"], features.T, strict=True))
    parameters = {f"mix_{a + 1}": A[:, a] for a in range(dim)} | {"offset": b}
    assert {k: len(v) for k, v in parameters.items()} == form["parameters"] and form["expressions"] == ["f"]
    value = julia_value(form["combine"], columns, parameters, lambda r, m_i, m_j: m_i * m_j / (r + 0.1))
    assert np.allclose(value, y)
    for bad in ("f", "component", "mix_1", "d x", "1r"):
        with pytest.raises(UserError, match=bad):
            template.template(["r", bad], dim, dim)


@pytest.mark.parametrize("loss", ["mse", "relative"])
def test_the_law_behind_all_components(fake, tmp_path, monkeypatch, loss):
    """PySR's f comes back in front of a mixing refitted by us; its Float32 parameters (here wrong) do not."""
    Y, unit, X, A, b, f = messages()
    names = ["r", "m_i", "m_j"]
    monkeypatch.setattr(adapter, "embedded_front", lambda *_: ([parse("0.5*m_i*m_j/r", names)], "1 formula"))
    fake.text = (
        "Complexity,Loss,Equation\n"
        '1,0.5,"f = 0.3; mix_1 = [1.0, 0.0]; mix_2 = [0.0, 1.0]; offset = [0.0, 0.0]"\n'
        '7,1.0e-3,"f = (#2 * #3) / (#1 + 0.12); mix_1 = [7.0, 7.0]; mix_2 = [7.0, 7.0]; offset = [7.0, 7.0]"\n'
    )
    options = SearchOptions(engine="pysr", loss=loss, output_directory=tmp_path, niterations=5, progress=False)
    front, A1, b1 = shared.search_shared(Y, unit, X, names, options)
    assert to_text(front.expr, 4) == "m_i * m_j / (r + 0.1)" and front.engine == "pysr"
    assert np.allclose(A1, A, rtol=1e-3) and np.allclose(b1, b, rtol=1e-3)
    given = fake.seen[0]
    assert given["spec"].expressions == ["f"] and given["names"] == given["spec"].variable_names
    guess = given["guesses"][0]
    assert guess["f"] == "(((0.5 * #2) * #3) / #1)" and set(guess) == {"f", *given["spec"].parameters}
    # with the parameters of the guess and the right f the template gives the data handed to PySR
    columns = dict(zip(given["names"], given["X"].T, strict=True))
    true = julia_value(
        given["spec"].combine,
        columns,
        {k: v for k, v in guess.items() if k != "f"},
        lambda r, m_i, m_j: m_i * m_j / (r + 0.1),
    )
    offset = np.tile(guess["offset"], len(true) // 2)
    ratio = (given["y"] - offset) / (true - offset)  # one number: the units of f
    assert np.allclose(ratio, ratio[0], rtol=1e-5)
    assert given["weights"] is None or len(given["weights"]) == len(given["y"])
    assert math.isfinite(front.info["condition"]) and front.info["across"] < 1e-9


def test_an_interrupted_template_search_goes_on(fake, tmp_path):
    Y, unit, X, *_ = messages()
    fake.text = 'Complexity,Loss,Equation\n5,0.1,"f = (#2 * #3) / #1; mix_1 = [1.0, 0.0]; offset = [0.0, 0.0]"\n'
    fake.interrupted = True
    options = SearchOptions(engine="pysr", output_directory=tmp_path, guesses=False, progress=False)
    with pytest.raises(KeyboardInterrupt):
        shared.search_shared(Y, unit, X, ["r", "m_i", "m_j"], options)
    fake.interrupted = False
    front, *_ = shared.search_shared(Y, unit, X, ["r", "m_i", "m_j"], options)
    assert front.info["resumed_rows"] == 1 and [g["f"] for g in fake.seen[1]["guesses"]] == ["((#2 * #3) / #1)"]
