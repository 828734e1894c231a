"""docs/api.md: its examples, run in order with small sizes; and what results tell, against the files they are of."""

import functools
import json
import re
import types

import matplotlib
import numpy as np
import pytest
import sympy as sp
from matplotlib.figure import Figure
from scripts import ROOT

import distill
from distill.shell import paths

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = {
    part.partition("\n")[0]: re.search(r"```python\n(.*?)```", part, re.DOTALL)[1]
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)
    if "```python" in part
}
DATASET, RUN, TRUTH = "r2_n4_d2_s0", "r2_n4_d2_s0__l1-newton__s0", "-m_i * m_j / (r + 0.01)^2"
# beside ``quick``; what a page says is said over it
SMALL = {
    "simulate": {"n_trajectories": 60},
    "train": {"epochs": 6},
    "search_law": {"engine": "operon", "targets": ("radial",), "rows": 200, "max_complexity": 10},
    "compare": {"rollouts": 2},
}


def write_table(path, seed=0):
    """Tracks of three particles with springs of stiffness 2 between them, solved exactly: no integrator is needed."""
    rng, rows = np.random.default_rng(seed), ["trajectory,t,particle,x,y"]
    for k in range(30):
        x, v = rng.normal(size=(2, 3, 2))
        centre, drift = x.mean(0), v.mean(0)
        w = np.sqrt(6.0)  # every particle is drawn to the centre of all by 3 springs
        for t in np.arange(40) * 0.05:
            at = centre + drift * t + (x - centre) * np.cos(w * t) + (v - drift) * np.sin(w * t) / w
            rows += [f"{k},{t:.2f},{i},{a!r},{b!r}" for i, (a, b) in enumerate(at.tolist())]
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the examples have been run, one after the other: (folder, title -> its variables)."""
    folder, patch = tmp_path_factory.mktemp("api"), pytest.MonkeyPatch()
    with patch.context() as at:
        at.chdir(folder)
        for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
            at.setattr(paths, name, folder / name.lower())
        for name in distill.STAGES:
            small = SMALL.get(name, {}) | {"quick": True}
            at.setattr(distill, name, functools.partial(getattr(distill, name), **small), raising=False)
        write_table(folder / "my.csv")
        found = {}
        for title, code in EXAMPLES.items():
            found[title] = {"__name__": "__main__"}
            exec(compile(code, f"docs/api.md, {title}", "exec"), found[title])
        yield folder, found


def content(folder, *path):
    return json.loads(folder.joinpath(*path).read_text())


@pytest.fixture
def chain(folder):
    """What the stages of the whole chain returned, by variable."""
    return types.SimpleNamespace(**folder[1]["The whole chain"])


def test_examples_are_short_and_all_are_run(folder):
    assert len(EXAMPLES) == PAGE.count("```python") and all(len(c.splitlines()) <= 20 for c in EXAMPLES.values())
    made = {"front.png", "losses.png", "look.png"}
    assert {path.name for path in folder[0].glob("*.png")} == made
    assert all((folder[0] / name).read_bytes()[:4] == b"\x89PNG" for name in made)


def test_a_dataset_is_its_file(folder, chain):
    with np.load(folder[0] / "datasets" / f"{DATASET}.npz") as file:
        held = dict(file)
    assert {k for k in chain.data.arrays} == held.keys()
    assert all(np.array_equal(chain.data.arrays[k], held[k]) for k in held)
    assert (chain.data.trajectories, chain.data.frames, chain.data.n, chain.data.dim) == held["pos"].shape
    assert list(chain.data.splits.values()) == np.bincount(held["split"]).tolist()
    assert chain.data.true_law == content(folder[0], "datasets", f"{DATASET}.json")["system"]["law"]


def test_numbers_are_those_of_the_files(folder, chain):
    out = ("outputs", RUN)
    config = content(folder[0], "model_weights", RUN, "config.json")
    assert (chain.run.error, chain.run.steps, chain.run.active) == tuple(
        value for value in (config["skill"]["network"], config["steps"], config["active"])
    )
    columns = (folder[0] / "model_weights" / RUN / "history.csv").read_text().splitlines()
    assert len(chain.run.history["epoch"]) == len(columns) - 1
    fit = content(folder[0], *out, "linear_fit.json")
    assert (chain.fit.r2_all, chain.fit.splines_r2_all) == (fit["r2_all"], fit["splines"]["r2_all"])
    assert chain.fit.coefficients == fit["targets"]["force"]["coefficients"]
    law = content(folder[0], *out, "law.json")
    assert (chain.law.text, chain.law.recovered) == (law["pair"]["text"], law["verdict"]["recovered"])
    assert law["verdict"]["why"] in chain.law.verdict and chain.law.rivals["control"] == TRUTH
    sets = content(folder[0], *out, "generalization.json")["sets"]
    assert chain.comparison.mae_gnn == sets["interpolation"]["gnn"]["mae"]
    assert chain.comparison.sets.keys() == sets.keys()
    assert any(line.startswith("law found") and chain.law.text in line for line in chain.comparison.summary)
    assert chain.law.report == chain.comparison.report == chain.run.report == folder[0].joinpath(*out, "report.html")


def test_messages_are_those_that_were_scored(chain):
    """R2 of each component, by least squares of our own with an intercept."""
    edges, top = chain.test.arrays, chain.test.top_components
    design = np.column_stack([edges["force"], np.ones(len(edges["r"]))]).astype(float)
    r2 = []
    for y in edges["message"][:, top].astype(float).T:
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        r2.append(1 - (left**2).sum() / ((y - y.mean()) ** 2).sum())
    np.testing.assert_allclose(chain.fit.record.r2_all_components, r2, atol=1e-6)
    np.testing.assert_allclose(chain.test.importance, edges["message"].std(0), rtol=1e-4)
    assert len(edges["r"]) == chain.test.edges == 12 * chain.test.graphs
    drawn = chain.fit.drawn["message"]
    assert drawn.shape == (len(drawn), 2) and chain.fit.drawn["forces"].keys() == {
        "read-out of the messages",
        "splines, no network",
    }


def test_a_law_computes_what_its_formula_says(folder):
    law = folder[1]["A law to compute with"]["law"]
    r, m, n = np.random.default_rng(0).uniform(0.1, 3.0, (3, 50))
    by_hand = -m * n / (r + 0.01) ** 2
    assert law.recovered and law.text == TRUTH
    np.testing.assert_allclose(law.force(r, m_i=m, m_j=n), by_hand, rtol=1e-12)
    assert law.force(1.0, m_i=2, m_j=3, q_i=9).shape == () and law.force(r[:, None], m_i=m, m_j=1.0).shape == (50, 50)
    np.testing.assert_allclose(sp.lambdify(sp.symbols("r m_i m_j"), law.sympy)(r, m, n), by_hand, rtol=1e-12)
    data = distill.load_dataset(DATASET).arrays
    found = law.acceleration(data["pos"], data["vel"], mass=data["mass"][:, None])
    np.testing.assert_allclose(found, data["acc"], rtol=1e-6, atol=1e-6 * np.abs(data["acc"]).max())
    written: dict = {}
    exec(law.export()[0].read_text(), written)
    again = written["acceleration"](data["pos"], data["vel"], mass=data["mass"][:, None])
    np.testing.assert_allclose(again, found, rtol=1e-10)
    openmm = folder[1]["A law in other programs"]["openmm_module"]
    assert openmm.name == "law_openmm.py" and "import openmm" in openmm.read_text()


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda law: law.force(1.0, m_i=1.0), "depends on m_j; give it"),
        (lambda law: law.force(1.0, m_i=1.0, mj=1.0), "'mj'; did you mean 'm_j'"),
        (lambda law: law.acceleration([[0.0, 0.0], [1.0, 0.0]]), "depends on mass"),
        (lambda law: law.export("gromacs"), "'gromacs'; known: openmm, lammps"),
        (lambda law: distill.load_law(RUN, dataset=DATASET), "give one of them"),
        (lambda law: distill.load_law(dataset="nothing"), "run search_law"),
        (lambda law: distill.load_run(RUN.replace("l1", "l2")), f"did you mean '{RUN}'"),
        (lambda law: distill.load_messages(RUN, "validation"), "python extract_messages.py"),
        (lambda law: distill.load_dataset("r2_n4_d2_s1"), f"did you mean '{DATASET}'"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(folder, call, said):
    with pytest.raises(distill.UserError) as told:
        call(folder[1]["A law to compute with"]["law"])
    assert said in str(told.value) and told.value._render_traceback_() == [f"error: {told.value}"]


def test_a_table_of_springs_gives_their_law(folder):
    found = folder[1]["Your own table"]
    data, law = found["mine"], found["law"]
    assert (data.trajectories, data.frames, data.n, data.dim) == (30, 40, 3, 2) and data.true_law is None
    assert law.recovered is None and law.trusted and law.verdict.startswith("By the data alone the law can be trusted")
    np.testing.assert_allclose(law.force(np.array([0.5, 2.0])), [-1.0, -4.0], rtol=1e-4)
    assert found["first"].finds_force and found["first"].assumptions["velocity-free"] is True


def test_what_is_loaded_tells_what_was_returned(folder, chain):
    run = distill.load_run(RUN)
    pairs = [(distill.load_dataset(DATASET), chain.data), (run, chain.run), (run.dataset, chain.data)]
    pairs += [(run.messages("train"), chain.train), (distill.load_messages(RUN), chain.test), (run.fit, chain.fit)]
    pairs += [(run.law, chain.law), (run.comparison, chain.comparison), (distill.load_run(chain.law), chain.run)]
    for loaded, made in pairs:
        assert type(loaded) is type(made) and (loaded.name, loaded.path) == (made.name, made.path)
        assert loaded.facts() == made.facts() and repr(loaded) == repr(made) == str(loaded) != str(made)
        assert repr(loaded).startswith(f"<{loaded.KIND} {loaded.name}: ") and repr(loaded).isprintable()
        assert "quick" in repr(loaded) and "Beware" in loaded._repr_html_()


def test_results_are_taken_in_place_of_names_and_leave_names_in_the_files(folder, chain):
    asked = content(folder[0], "model_weights", RUN, "config.json")["arguments"]
    assert asked["dataset"] == DATASET
    assert all(
        content(folder[0], "outputs", RUN, f"{name}.json")["arguments"]["run"] == RUN
        for name in ("messages_test", "linear_fit", "law", "generalization")
    )
    again = distill.fit_linear(RUN)
    assert again.before and again.r2_all == chain.fit.r2_all and "already done" in str(again)
    assert content(folder[0], "outputs", "mine__splines", "law.json")["arguments"]["dataset"] == "mine"


def test_every_figure_is_one_and_changes_no_settings_of_others(folder, chain):
    before, drawn = dict(matplotlib.rcParams), {}
    look = folder[1]["A law without a network"]["first"]
    for result in (chain.data, chain.run, chain.test, chain.fit, chain.law, chain.comparison, look):
        figure = drawn[result.KIND] = result.plot()
        content, how = figure._repr_png_()
        assert isinstance(figure, Figure) and content[:4] == b"\x89PNG" and 200 < how["width"] < 2000
    assert dict(matplotlib.rcParams) == before
    assert len(drawn["messages against forces"].axes) == 4 and len(drawn["dataset"].axes) == 3
