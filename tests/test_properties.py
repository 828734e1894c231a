"""A property that is neither mass nor charge, from a column of a dataset or a potential's arguments to the law."""

import json

import numpy as np
import pytest
import sympy as sp
from filled import filled
from planted import messages, write_dataset
from scripts import ok, run

from distill.files import properties, records
from distill.files.dataset import load_dataset
from distill.files.kinds import LawRecord
from distill.formulas.text import parse, symbols_for
from distill.law import account
from distill.law.sources import Source
from distill.messages import read_out
from distill.messages.net_forces import nodes_of
from distill.physics.law import law_of
from distill.physics.system import System
from distill.search import node_function, operon, targets
from distill.search.engine import SearchOptions
from distill.shell import paths

SPINS = System(
    "spins",
    lambda r, m_i, m_j, q_i, q_j, spin_i, spin_j, xp: spin_i * spin_j / (r + 0.1),
    law="spin_i*spin_j/(r + 0.1)^2",
    properties=("spin",),
)
SOFT = System(
    "soft",
    lambda r, m_i, m_j, q_i, q_j, spin_i, spin_j, xp: 0.5 * spin_i * spin_j * r**2,
    law="-spin_i*spin_j*r",
    properties=("spin",),
)
FILE = """
dt = 0.01
def potential(r, spin_i, spin_j):
    return spin_i * spin_j / (r + 0.1)
"""


def holds_the_spins(law: dict) -> bool:
    """Whether the pair law is the product of both spins times something that has neither."""
    names = law["pair"]["variables"]
    expr, both = parse(law["pair"]["text"], names), parse("spin_i*spin_j", names)
    return not (both.free_symbols & sp.simplify(expr / both).free_symbols)


def test_names_of_variables_and_fields():
    assert properties.variables(("spin", "charge", "mass")) == ("r", "m_i", "m_j", "q_i", "q_j", "spin_i", "spin_j")
    assert properties.message_fields(("spin",)) == {"r": "r", "spin_i": "spin_i", "spin_j": "spin_j"}
    assert properties.in_messages(messages(SPINS, trajectories=3)) == ("mass", "charge", "spin")
    assert [properties.usable(k) for k in ("spin", "q", "mass", "vel", "a-b")] == [True, False, False, False, False]


def test_the_law_of_planted_messages_is_one_of_spins(tmp_path, monkeypatch):
    """Read-out, search, refit, control and verdict on messages that are linear in a force between spins."""
    if problem := operon.operon_problem():
        pytest.skip(problem)
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    dataset = load_dataset(write_dataset(tmp_path, "spins", SPINS, trajectories=120))
    m = messages(SPINS, trajectories=120)
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, True)
    assert read.gauge == "force" and list(read.errors) == ["force", "acceleration", "charge_force", "spin_force"]
    force = read.force(m, nodes)
    target, node = targets.searches(("radial", "node"), m, nodes, read, force, 400, 0)
    assert list(target.features) == ["r", "m_i", "m_j", "q_i", "q_j", "spin_i", "spin_j"]
    assert list(node.features) == ["R", "v", "m_i", "q_i", "spin_i"]
    short = SearchOptions(restarts=1, min_restarts=1, evaluations=30_000, progress=False)
    front = targets.search_target(target, short)
    ground = account.ground_of(m, nodes, dataset, 0, quick=True)
    found, control = (
        account.finding(Source(name, name, name, force, read.node_terms), rows, ground, m, dataset)
        for name, rows in (("messages", front), ("control", None))
    )
    content = account.compose(found, [control], account.Judge(m, ground, dataset))
    assert content["rivals"]["control"]["before_refit"] is None
    assert holds_the_spins({"pair": content["from_messages"]})
    assert holds_the_spins(content)
    some = {k: content[k] for k in ("pair", "node")} | {"chain": False, "cutoff": None}
    again = law_of(records.build(LawRecord, filled(LawRecord, **some)))
    state = dataset.pos, dataset.vel, {k: v[:, None] for k, v in dataset.properties.items()}
    np.testing.assert_allclose(again.acceleration(*state), dataset.acc, rtol=1e-3, atol=1e-3)


def test_what_is_sent_may_be_the_force_times_a_spin():
    """A gauge of the receiver's spin is undone as one of its charge is."""
    m = messages(SPINS, trajectories=80)
    m["message"] = m["message"] * m["spin_i"][:, None]
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, True)
    assert read.gauge == "spin_force"
    assert read_out.score_forces(read.force(m, nodes), m["force"])["r2_all"] > 0.999


def test_the_node_function_knows_the_spins():
    m = messages(SPINS, trajectories=30)
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, True)
    data = node_function.node_data(m, nodes, read, read.force(m, nodes))
    assert np.array_equal(data.features(np.arange(5))["spin_i"], np.repeat(m["spin_i"][nodes.first[:5]], 2))


def stages(folder, name, *of_training):
    found = f"{name}__bottleneck-newton__s0"
    ok(run(folder, "train.py", "--dataset", name, "--variant", "bottleneck", *of_training))
    scripts = ("extract_messages.py", "fit_linear.py", "symbolic_reg.py", "test_generalization.py")
    for script in scripts if (folder / "datasets" / f"{name}.json").is_file() else (scripts[0], *scripts[2:]):
        more = ("--engine", "operon", "--targets", "radial") if script == "symbolic_reg.py" else ()
        ok(run(folder, script, "--run", found, *more, *([] if of_training[0] == "--epochs" else ["--quick"])))
    out = folder / "outputs" / found
    with np.load(out / "messages_test.npz") as arrays:
        assert {"spin_i", "spin_j"} <= set(arrays)
    assert json.loads((out / "messages_test.json").read_text())["properties"] == ["mass", "charge", "spin"]
    return out, json.loads((out / "law.json").read_text())


@pytest.mark.slow
def test_a_column_of_somebody_s_own_file_goes_through_all_stages(tmp_path):
    """No simulation, no charge, no true forces: positions, velocities, accelerations, masses and spins alone."""
    (tmp_path / "datasets").mkdir()
    made = write_dataset(tmp_path / "datasets", "theirs", SOFT, trajectories=100)
    with np.load(made) as file:
        arrays = {k: file[k] for k in ("pos", "vel", "acc", "mass", "spin")}
    np.savez(made, **arrays)
    made.with_suffix(".json").unlink()
    _, law = stages(tmp_path, "theirs", "--quick")
    assert law["pair"]["variables"] == ["r", "m_i", "m_j", "q_i", "q_j", "spin_i", "spin_j"]
    assert holds_the_spins(law), law["pair"]["text"]


@pytest.mark.slow
def test_a_force_between_spins_is_found(tmp_path):
    """A user's potential, all six stages: the law is the simulated one."""
    (tmp_path / "spins.py").write_text(FILE)
    size = ("--n", 4, "--n-trajectories", 2000, "--seed", 0)
    ok(run(tmp_path, "simulate.py", "--system-file", tmp_path / "spins.py", *size))
    assert load_dataset(str(tmp_path / "datasets" / "spins_n4_d2_s0.npz")).properties["spin"].std() > 0.9
    out, law = stages(tmp_path, "spins_n4_d2_s0", "--epochs", 6)
    assert law["verdict"]["recovered"] and holds_the_spins(law), law["verdict"]
    assert holds_the_spins({"pair": law["from_messages"]})
    sets = json.loads((out / "generalization.json").read_text())["sets"]
    assert max(entry["law_over_gnn_mae"] for entry in sets.values()) < 0.1


def test_a_property_known_as_positive_is_so_in_formulas(monkeypatch):
    names = ["r", "m_i", "m1", "mass_j", "q_i", "s_i", "size_j", "spin_i", "small"]
    assert [s.is_positive for s in symbols_for(names)] == [True] * 4 + [None] * 5
    monkeypatch.setitem(properties.KNOWN, "size", properties.Property("size", "s", positive=True))
    assert [s.is_positive for s in symbols_for(names)] == [True] * 4 + [None, True, True, None, None]
