"""docs/extending.md: the examples, run as they stand on the page."""

import linecache
import re
import sys
import types
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest
from page_parts import results
from scripts import ROOT

import distill
from distill.export import numpy_module
from distill.files.dataset import load_dataset
from distill.files.messages import load_messages
from distill.files.names import messages_path
from distill.files.properties import of_edges
from distill.files.storage import load_json
from distill.network.variants import VARIANTS
from distill.physics.systems import SYSTEMS
from distill.physics.terms import TERMS
from distill.search.registry import ENGINES
from distill.shell import paths
from distill.shell.extensions import ROLES

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
MOST_FILES = 3


def example(title: str) -> str:
    """The first block of Python below a title."""
    section = next(part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if part.startswith(f"{title}\n"))
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """Runs the example below a title, in folders of its own; the tables it adds to are as before after the test."""
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    with ExitStack() as stack:
        for table in (SYSTEMS, VARIANTS, TERMS, ENGINES, ROLES):
            stack.enter_context(patch.dict(table))

        def run(title: str, name: str = "example") -> types.ModuleType:
            module = types.ModuleType(name)
            monkeypatch.setitem(sys.modules, name, module)
            text, where = example(title), f"docs/extending.md, {title}"
            monkeypatch.setitem(linecache.cache, where, (len(text), None, text.splitlines(True), where))  # a source
            exec(compile(text, where, "exec"), module.__dict__)
            return module

        yield run


def test_a_system(run_example):
    from distill.physics.system import acceleration, pair_potential, radial_force

    run_example("System")
    system = SYSTEMS["yukawa"]
    ends = {"m_i": np.ones(3), "m_j": np.ones(3), "q_i": np.array([1, -1, 1.0]), "q_j": np.array([1, 1, 1.0])}
    r, h = np.array([0.1, 0.5, 2.0]), 1e-6
    slope = (pair_potential(system, r + h, ends) - pair_potential(system, r - h, ends)) / (2 * h)
    assert np.allclose(radial_force(system, r, ends), -slope, rtol=1e-6)
    x, v, at_rest = np.array([[0.5, -1.0], [50.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]), np.zeros((2, 2))
    properties = {"mass": np.ones(2), "charge": np.ones(2)}  # far from each other: the trap and the drag alone
    np.testing.assert_allclose(acceleration(system, x, v, properties)[0], [-1 - 0.1 * 5 * 3, 8 - 0.1 * 5 * 4])
    close = np.array([[0.0, 0.0], [1.0, 0.0]])
    across = [acceleration(system, close, at_rest, properties, t)[0, 1] for t in (0.0, np.pi / 4)]
    np.testing.assert_allclose(across, [0.0, -0.3 * np.exp(-1)], atol=1e-12)
    made = load_dataset(distill.simulate("yukawa", quick=True).path)
    assert made.meta.system.name == "yukawa" and np.isfinite(made.arrays["acc"]).all()


def test_a_variant(run_example):
    run_example("Property")  # writes a dataset
    run_example("Variant")
    (done,) = distill.train("spins", variant="l2", quick=True)
    config = load_json(done.path / "config.json")
    assert config["variant"] == "l2" and config["options"]["l2_weight"] == VARIANTS["l2"].weights["newton"]


def test_an_engine(run_example):
    from distill.search.direct import search
    from distill.search.engine import SearchOptions

    run_example("Engine", "distill.search.powers")
    ENGINES["powers"] = "distill.search.powers"
    X = np.exp(np.random.default_rng(0).normal(size=(200, 3)))
    front = search(X, -3 * X[:, 1] * X[:, 2] / X[:, 0] ** 2, ["r", "m_i", "m_j"], SearchOptions(engine="powers"))
    assert front.rows[front.chosen].equation.replace(" ", "") in ("-3.0*m_i*m_j/r^2", "-3*m_i*m_j/r^2")


def test_a_property(run_example):
    run_example("Property")
    (trained,) = distill.train("spins", variant="l1", quick=True)
    run = trained.path.name
    distill.extract_messages(run, split="train", quick=True)
    messages, _ = load_messages(messages_path(run, "train"), run)
    assert {"spin_i", "spin_j"} <= set(messages)
    assert list(of_edges(messages)) == ["r", "m_i", "m_j", "q_i", "q_j", "spin_i", "spin_j"]  # variables of a formula


def test_a_law_term(run_example):
    from distill.formulas.text import parse
    from distill.messages.net_forces import fit_terms
    from distill.physics.law import Law
    from distill.physics.terms import State, force

    run_example("Law term")
    rng = np.random.default_rng(0)
    vel, properties = rng.normal(size=(300, 2)), {"mass": np.exp(rng.normal(size=300)), "charge": rng.normal(size=300)}
    state = State(vel, properties)
    ahead = vel / np.linalg.norm(vel, axis=1, keepdims=True)
    pull = 0.7 * properties["charge"][:, None] * ahead - 0.2 * vel
    acc = pull / state.mass[:, None]
    found = fit_terms(acc, np.linalg.norm(acc, axis=1), state, ["drag", "propulsion"])
    assert found["propulsion"] == pytest.approx(0.7) and found["drag"] == pytest.approx(0.2)
    assert np.allclose(force(found, state), pull)
    assert "q_i" in TERMS["propulsion"].text(0.7) and "q_i" in TERMS["propulsion"].latex(0.7)
    law = Law(parse("0", ("r",)), {"propulsion": parse("1 + v", ("v",))}, pairs={"glancing": parse("3/r", ("r",))})
    pos, vel = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])
    found = law.acceleration(pos, vel, {"mass": np.ones(2), "charge": np.array([2.0, 0.0])})
    np.testing.assert_allclose(found, [[2 * 6 * 0.6, 2 * 6 * 0.8 - 1.5 * 3], [0, 1.5 * 3]])
    assert "(3 / r) w_ij" in law.equation()["text"]
    written = {}
    exec(numpy_module.source(law, 2, ""), written)  # and nothing was to be done for it
    theirs = written["acceleration"](pos, vel, mass=np.ones(2), charge=np.array([2.0, 0.0]))
    np.testing.assert_allclose(theirs, found, rtol=1e-14)


def test_a_reader(run_example, tmp_path):
    import simulate

    run_example("Reader", "distill.physics.tables")
    ROLES["simulations"] = (*ROLES["simulations"], "distill.physics.tables")
    rng, keys = np.random.default_rng(0), np.indices((10, 3, 4)).reshape(3, -1)  # trajectories, frames, particles
    table = np.vstack([keys, np.ones(keys.shape[1]), rng.normal(size=(6, keys.shape[1]))]).T
    path, names = tmp_path / "tracks.csv", "trajectory,frame,particle,mass,x,y,vx,vy,ax,ay"
    np.savetxt(path, table, delimiter=",", header=names, comments="")
    assert simulate.parser().parse_args(["--from-csv", str(path)]).from_csv == path
    made = load_dataset(distill.simulate(from_csv=path).path)
    assert made.arrays["pos"].shape == (10, 3, 4, 2) and made.meta.inputs["table"].sha256
    assert np.allclose(made.arrays["acc"][2, 1, 3], table[2 * 12 + 1 * 4 + 3, -2:])


def test_every_task_has_its_section_its_files_and_few_of_them():
    rows = results("extending")["rows"]
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert [row["task"] for row in rows] == titles and len(rows) == 16
    for row in rows:
        assert len(row["files"] + row["new"]) <= MOST_FILES and row["guesses"] <= 2, row["task"]
        assert not [name for name in row["files"] if not (ROOT / name).exists()]
