"""The targets of the searches and their files; the node function searched against the composed one."""

import json
import os

import numpy as np
import pytest
from planted import messages

from distill.files.properties import VARIABLES
from distill.formulas.text import parse, symbols_for
from distill.formulas.units import Units
from distill.messages import read_out
from distill.messages.net_forces import fit_terms, nodes_of
from distill.physics.law import Law
from distill.physics.systems import load_system
from distill.physics.terms import State
from distill.search import node_function, operon, targets
from distill.search.engine import SearchOptions
from distill.search.front import Front, Row
from distill.shell.errors import UserError

PULL = np.array([0.0, -1.0])


def planted(system="spring", field=None, **options):
    """(messages, nodes, read-out, its force) of a system; ``field`` [dim] is a uniform acceleration to add."""
    m = messages(system, trajectories=60, off=0, **options)
    if field is not None:
        m["acc_i"], m["acc_pred_i"] = m["acc_i"] + field, m["acc_pred_i"] + field
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, True)
    return m, nodes, read, read.force(m, nodes)


def law(system="spring", **node):
    return Law(parse(load_system(system).law, VARIABLES), node)


def front(*texts):
    rows = [Row(1, 1.0, t, parse(t, ("R", "v", "m_i", "q_i"))) for t in texts]
    return Front(rows, "operon", 0, "")


def searches(*wanted, given, rows=400):
    """The targets ``wanted`` of ``given`` = (messages, nodes, read-out, force), by name."""
    return {t.name: t for t in targets.searches(wanted, *given, rows)}


# ---------------------------------------------------------------- which rows and features


def test_radial_and_components_hold_the_edges_and_drop_what_is_constant():
    m, nodes, read, force = planted()
    m["charge_i"], m["charge_j"] = (np.ones_like(m["charge_i"]) for _ in range(2))
    found = searches("radial", "components", given=(m, nodes, read, force))
    assert list(found) == ["radial", "component_1", "component_2"]
    assert list(found["radial"].features) == ["r", "m_i", "m_j"] and len(found["radial"].y) == 400
    assert np.allclose(found["radial"].y, -2 * (found["radial"].features["r"] - 0.99), atol=0.02)
    assert list(found["component_1"].features) == ["dx", "dy", "r", "m_i", "m_j"]
    with pytest.raises(UserError, match="constant"):
        targets.varying({"r": np.ones(5)})


def test_node_rows_are_receivers_times_axes_and_leave_trajectories_out():
    m, nodes, read, force = planted("damped", dim=3)
    target = searches("node", given=(m, nodes, read, force), rows=300)["node"]
    assert target.name == "node" and list(target.features) == ["R", "v", "m_i", "q_i"] and len(target.y) == 300
    R, v, mass, _ = target.features.values()
    assert np.allclose(target.y, (R - 0.5 * v) / mass, atol=0.02)
    assert np.array_equal(mass[0::3], mass[1::3])
    data = node_function.node_data(m, nodes, read, force)
    left_out = np.unique(data.at[0][data.held])
    assert not np.isin(left_out, data.at[0][~data.held]).any() and 10 < len(left_out) < 30
    assert set(mass) <= set(m["mass_i"][nodes.first][~data.held])
    assert np.array_equal(m["acc_pred_i"][nodes.first], data.acc)
    seen = node_function.node_data(m | {"acc_i": m["acc_i"] + 1}, nodes, read, force, key="acc_i")
    assert np.array_equal(m["acc_i"][nodes.first] + 1, seen.acc) and np.array_equal(seen.predicted, data.acc)


def test_a_field_leaves_the_target_and_stays_on_record():
    m, nodes, read, force = planted("damped", field=PULL)
    assert set(read.node_terms) == {"drag", "constant_acceleration"}
    data = node_function.node_data(m, nodes, read, force)
    assert list(data.fields) == ["constant_acceleration"]
    assert np.allclose(data.fields["constant_acceleration"], PULL, atol=1e-3)
    everyone = np.arange(len(data.acc))
    R, v, mass, _ = data.features(everyone).values()
    assert np.allclose(data.target(everyone), (R - 0.5 * v) / mass, atol=0.01)  # the drag is left to be found


def test_terms_are_fitted_together_and_despite_outliers():
    rng = np.random.default_rng(0)
    net, vel = rng.normal(size=(2, 500, 2))
    mass = np.exp(rng.normal(size=500))
    acc = (net - 0.3 * vel + mass[:, None] * [0.1, -0.7] + [0.5, 0.0]) / mass[:, None]
    acc[:25] += 30 * rng.normal(size=(25, 2))
    left, size = acc - net / mass[:, None], np.linalg.norm(acc, axis=1)
    state = State(vel, {"mass": mass})
    found = fit_terms(left, size, state, ("drag", "constant_acceleration", "constant_force"))
    assert found["drag"] == pytest.approx(0.3, abs=1e-3)
    assert np.allclose(found["constant_acceleration"], [0.1, -0.7], atol=1e-3)
    assert np.allclose(found["constant_force"], [0.5, 0.0], atol=1e-3)
    assert fit_terms(left, size, state, ()) == {}


# ---------------------------------------------------------------- searched against composed


@pytest.mark.parametrize(
    "system, field, gauge, node, simple",
    [
        ("spring", None, "force", {}, 5),
        ("damped", None, "force", {"drag": 0.5}, 9),
        ("spring", PULL, "force", {"constant_acceleration": PULL}, 5),
        ("spring", None, "acceleration", {}, 5),
        ("charge", None, "charge_force", {}, 5),
    ],
    ids=["plain", "drag", "gravity", "F/m sent", "qF sent"],
)
def test_the_node_function_planted_is_found_and_agrees(system, field, gauge, node, simple):
    if problem := operon.operon_problem():
        pytest.skip(problem)
    m, nodes, read, force = planted(system, field, gauge=gauge)
    assert read.gauge == gauge
    target = searches("node", given=(m, nodes, read, force), rows=250)["node"]
    target.overrides |= {"restarts": 1, "min_restarts": 1}
    found = targets.search_target(target, SearchOptions(loss="relative", progress=False))
    data = node_function.node_data(m, nodes, read, force)
    result = node_function.compare_with_composed(found, law(system, **node), data)
    assert result["agrees"] and result["relative_difference"] < 0.005 and result["complexity"] <= simple, result
    assert result["held_out_searched"] < 0.01 and "agrees within" in result["text"]
    assert ("-1)" in result["text"]) == (field is not None) == bool(result["fields"])
    json.dumps(result, allow_nan=False)


def test_a_composed_law_without_the_drag_does_not_agree():
    data = node_function.node_data(*planted("damped"))
    result = node_function.compare_with_composed(front("R/m_i", "(R - 0.4*v)/m_i"), law("damped"), data)
    assert not result["agrees"] and result["held_out_searched"] < 0.01 < 0.03 < result["held_out_composed"]
    assert "the searched one is better" in result["text"]
    worse = node_function.compare_with_composed(front("1.0*R/m_i"), law("damped", drag=0.5), data)
    assert not worse["agrees"] and "the composed one is better" in worse["text"]


def test_rows_that_fit_the_read_outs_errors_lose_to_the_simple_one():
    data, rng = node_function.node_data(*planted()), np.random.default_rng(1)
    wrong = 0.02 * (data.state.mass - 1) + 0.015 * rng.normal(
        size=len(data.state.mass)
    )  # systematic and not, as networks are
    data.net = data.net * (1 + wrong)[:, None]
    data.predicted = data.acc * (1 + 0.05 * rng.normal(size=data.acc.shape))
    rows = front("1.0*R/m_i", "1.0*R/(m_i + 0.02*m_i^2 + 0.01)", "1.0*R/m_i + 0.01*v*R^2 + 0.003*v")
    result = node_function.compare_with_composed(rows, law(), data)
    assert result["equation"] == "R / m_i" and result["agrees"], result
    data.predicted = data.acc.copy()  # a network far better than R/m: now the correction counts
    result = node_function.compare_with_composed(rows, law(), data)
    assert "m_i^2" in result["equation"] and result["held_out_searched"] < 0.9 * result["held_out_composed"]


def test_formulas_that_cannot_be_evaluated_are_never_chosen():
    data = node_function.node_data(*planted())
    singular, imaginary = "1.0/(q_i - q_i^3)", "sqrt(-1.0 - R^2)"
    result = node_function.compare_with_composed(front(singular, imaginary, "1.0*R/m_i"), law(), data)
    assert result["equation"] == "R / m_i" and result["agrees"]
    with pytest.raises(UserError, match="no formula"):
        node_function.compare_with_composed(front(singular, imaginary), law(), data)


# ---------------------------------------------------------------- fields that depend on place


def test_a_trap_shows_as_a_dependence_on_position():
    rng = np.random.default_rng(0)
    trajectory = np.repeat(np.arange(200), 5)
    pos = 2 * rng.normal(size=(1000, 2))
    noise = 0.01 * rng.normal(size=pos.shape)
    found = node_function.position_dependence(pos, noise - 0.02 * pos, groups=trajectory)
    assert found["depends"] and found["r2_held_out"] > 0.8 and "depends on position (" in found["text"]
    assert not node_function.position_dependence(pos, noise, groups=trajectory)["depends"]
    assert not node_function.position_dependence(pos, noise + 0.05, groups=trajectory)["depends"]  # uniform
    assert found == node_function.position_dependence(pos, noise - 0.02 * pos, groups=trajectory)


def test_a_missing_drag_by_the_square_of_speed_is_no_dependence_on_position():
    rng = np.random.default_rng(1)
    trajectory = np.repeat(np.arange(200), 5)
    pos = 2 * rng.normal(size=(1000, 2))
    vel = -pos + 0.1 * rng.normal(size=pos.shape)  # they fall towards the middle: where they are tells how fast
    drag = -0.02 * np.linalg.norm(vel, axis=1, keepdims=True) * vel + 0.002 * rng.normal(size=pos.shape)
    assert node_function.position_dependence(pos, drag, groups=trajectory)["depends"]
    assert not node_function.position_dependence(pos, drag, groups=trajectory, vel=vel)["depends"]
    free = rng.normal(size=pos.shape)
    assert node_function.position_dependence(pos, -0.02 * pos + 0.1 * drag, groups=trajectory, vel=free)["depends"]


def test_a_particle_that_hardly_moves_is_no_dependence_on_position():
    rng = np.random.default_rng(0)
    trajectory = np.repeat(np.arange(100), 50)  # an error of each trajectory, in one place: memory, no field
    pos = 2 * rng.normal(size=(100, 2))[trajectory] + 0.02 * rng.normal(size=(5000, 2))
    residual = 0.05 * rng.normal(size=(100, 2))[trajectory] + 0.01 * rng.normal(size=(5000, 2))
    assert node_function.position_dependence(pos, residual)["depends"]  # what splitting by rows would say
    assert not node_function.position_dependence(pos, residual, groups=trajectory)["depends"]


def test_what_is_left_over_is_the_field_that_the_law_lacks():
    data = node_function.node_data(*planted(field=PULL))
    assert np.abs(node_function.left_over(law(constant_acceleration=PULL), data)).max() < 0.01
    left = node_function.left_over(law(), data)
    assert np.allclose(left[:, 1], -data.weights(), atol=0.01) and np.abs(left[:, 0]).max() < 0.01


# ---------------------------------------------------------------- fronts on disk


def test_fronts_are_read_back_only_where_they_belong(tmp_path):
    target = targets.Target("radial", {"r": np.arange(5.0), "m_i": np.arange(5.0)}, np.zeros(5))
    e = parse("2.718281828459045", ["r"])  # the csv has fewer digits of it and of its loss
    rows = [Row(1, 1 / 3, "2.718281828", e, 1.5), Row(3, 0.1, "m_i / r", parse("m_i/r", ["r", "m_i"]))]
    saved = Front(rows, "operon", 1, "because", {"cpu_seconds": 1.0, "noise_floor": float("inf")})
    assert targets.load_front(tmp_path, target, {"seed": 0}) is None
    written = targets.save_front(tmp_path, saved, target, {"seed": 0})
    again = targets.load_front(tmp_path, target, {"seed": 0})
    assert [(r.complexity, r.loss, r.expr, r.held_out) for r in again.rows] == [
        (r.complexity, r.loss, r.expr, r.held_out) for r in rows
    ]
    assert written == again and again.chosen == 1 and again.why == "because"
    assert again.info == {"cpu_seconds": 1.0, "noise_floor": None}
    assert targets.load_front(tmp_path, target, {"seed": 1}) is None
    other = targets.Target("radial", {"r": target.features["r"]}, target.y)
    assert targets.load_front(tmp_path, other, {"seed": 0}) is None
    hall = tmp_path / "hall_of_fame.csv"
    hall.write_text("".join(hall.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="cut off, edited or another file; add --overwrite"):
        targets.load_front(tmp_path, target, {"seed": 0})
    side = tmp_path / "front.json"
    former = {k: v for k, v in json.loads(side.read_text()).items() if "sha256" not in k}
    side.write_text(json.dumps(former))
    with pytest.raises(UserError, match="does not belong.*add --overwrite"):
        targets.load_front(tmp_path, target, {"seed": 0})
    hall.write_text(hall.read_text()[:-3])
    with pytest.raises(UserError, match="damaged.*add --overwrite"):
        targets.load_front(tmp_path, target, {"seed": 0})
    side.unlink()
    with pytest.raises(UserError, match="not written here.*--hall-of-fame FILE"):
        targets.load_front(tmp_path, target, {"seed": 0})


def test_formulas_that_cannot_be_written_in_the_unit_of_the_data_are_left_out():
    """(r^2 + 4)^-60 and a number before it that 64 bits do not hold where lengths are told in another unit."""
    r = symbols_for(["r"])[0]
    steep = 7e239 / (r**2 + 4.0) ** 60
    rows = [
        Row(k + 1, 1.0 - 0.1 * k, "", expr) for k, expr in enumerate((r * 0 + 0.5, steep, 2.0 / r**7, 3.0 / r - steep))
    ]
    front = Front(rows, "operon", 2, "it is", {"best_pysr": 3})
    features = {"r": np.linspace(1.0, 3.0, 5)}
    here = targets.of_data(front, targets.Target("radial", features, np.ones(5)))
    assert len(here.rows) == 4 and here.chosen == 2
    elsewhere = targets.Target("radial", features, np.ones(5), units=Units({"r": 4.2}, 1.0, 5.0), unit=5.0)
    found = targets.of_data(front, elsewhere)
    assert [row.complexity for row in found.rows] == [1, 3] and (found.chosen, found.info["best_pysr"]) == (1, 1)
    assert float(found.expr.subs(r, 8.4)) == pytest.approx(5 * 2 / 2**7)
    alone = Front([Row(1, 1.0, "", steep)], "operon", 0, "it is", {})
    with pytest.raises(UserError, match="target radial: none of the 1 formulas"):
        targets.of_data(alone, elsewhere)


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_front_is_never_without_its_digest(tmp_path, monkeypatch, last):
    """Ended before any of the renames, that of their plan first: the old front, or the new one."""
    target, rows = targets.Target("radial", {"r": np.arange(5.0)}, np.zeros(5)), [Row(1, 1.0, "2.5", parse("2.5", "r"))]
    other = [Row(1, 0.5, "3.5", parse("3.5", "r"))]
    real, count = os.replace, 0

    def killed(*paths):
        nonlocal count
        count += 1
        if count == last:
            raise KeyboardInterrupt
        real(*paths)

    targets.save_front(tmp_path, Front(rows, "operon", 0, "", {}), target, {"seed": 0})
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        targets.save_front(tmp_path, Front(other, "operon", 0, "", {}), target, {"seed": 1})
    there = [targets.load_front(tmp_path, target, {"seed": seed}) for seed in (0, 1)]
    assert [front is not None for front in there] == [last == 1, last > 1]


def test_the_shared_target_holds_the_top_components_and_the_directions():
    m = messages("charge", trajectories=20, components=4)
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, False)
    target = searches("shared", given=(m, nodes, read, m["force"]), rows=300)["shared"]
    sent, unit = target.components
    assert target.name == "shared" and sent.shape == unit.shape == (300, 2) and len(target.y) == 300
    assert np.allclose(np.linalg.norm(unit, axis=1), 1) and set(target.features) == {"r", "m_i", "m_j", "q_i", "q_j"}
    short = SearchOptions(restarts=1, min_restarts=1, evaluations=30_000, max_complexity=12, progress=False)
    found = targets.search_target(target, short)
    assert np.shape(found.info["mixing"]) == (2, 2) and "q_i * q_j" in found.rows[found.chosen].equation
