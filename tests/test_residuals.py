"""What laws leave of the accelerations: rounding or noise for right ones, structure for wrong ones."""

from dataclasses import replace

import numpy as np
import pytest
import residual_data as data
import residual_test as benchmark
from planted import messages, write_dataset

from distill.files.dataset import load_dataset
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.law import selection
from distill.law.remains import residuals
from distill.law.remains.residuals import structure
from distill.law.remains.scene import of_dataset, of_receivers
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law


@pytest.fixture(scope="module")
def gravity():
    return messages("r2", trajectories=500)


def held(m):
    return of_receivers(selection.Ground(m, nodes_of(m), ()).held)


def fitted(text, m):
    ground = selection.Ground(m, nodes_of(m), ())
    return Law(ground.fit.fit(parse(text, VARIABLES))[0])


# ---------------------------------------------------------------- single frames


def test_the_right_law_leaves_rounding_or_noise(gravity):
    law = Law(parse("-m_i*m_j/(r+0.01)^2", VARIABLES))
    found = structure(law, held(gravity))
    assert found["left"] < 1e-12 and not found["structured"] and "leaves less than" in found["text"]
    noise = np.random.default_rng(1).normal(size=gravity["acc_i"].shape)
    noisy = gravity | {"acc_i": gravity["acc_i"] * (1 + 0.05 * noise)}
    found = structure(law, held(noisy))
    assert not found["structured"] and 0.02 < found["left"] < 0.06 and "noise" in found["text"]
    assert found["autocorrelation"] is None and "single frames" in found["text"]
    assert f"none of {len(found['clues'])} clues predicts 1 % of it at 4 standard errors" in found["text"]  # not more


@pytest.mark.parametrize("wrong", ["-0.9*m_i*m_j/(r+0.01)^(19/10)", "-0.9*m_j/(r+0.01)^2", "-1.0*m_i*m_j/(r+0.05)^2"])
def test_wrong_laws_leave_structure(gravity, wrong):
    law = fitted(wrong, gravity) if "0.05" not in wrong else Law(parse(wrong, VARIABLES))
    found = structure(law, held(gravity))
    assert found["structured"] and found["r2_held_out"] > 0.1, found


def test_a_law_that_is_not_finite_is_not_trusted(gravity):
    assert structure(Law(parse("log(r - 100)", VARIABLES)), held(gravity))["structured"]


def test_particles_that_feel_nothing_are_no_fault_of_the_law():
    """Most accelerations of a force of short range are exactly zero."""
    m = messages("discontinuous", trajectories=200, n=2)
    m["acc_i"] = np.where(m["r"][:, None] < np.quantile(m["r"], 0.7), 0.0, m["acc_i"])
    scene = held(m)
    assert np.median(np.abs(scene.acc)) == 0
    assert structure(Law(parse("0*r", VARIABLES)), scene)["left"] is not None


# ---------------------------------------------------------------- along trajectories


def judged(kind, missing, noise, index=1, size=(4, 2)):
    case = data.case(kind, missing, index, 910, noise, size)
    law, numbers = benchmark.fitted(case, 910)
    return structure(law, of_dataset(case.dataset, law), numbers), case


FOLLOWS = {
    "yukawa_by_rational": "distance",
    "alignment": "velocity of the others",
    "trap": "position",
    "magnetic": "velocity",
    "drag": "velocity",
    "gaussian_by_power": "distance",
    "three_body": "",
    "exponent": "distance",
    "field": "position",
    "time": "time",
}


@pytest.mark.parametrize("kind", FOLLOWS)
def test_missing_physics_is_structure_and_named(kind):
    found, case = judged(kind, True, ("multiplicative", 0.03))
    assert found["structured"], found["text"]
    assert found["autocorrelation"] > 5 * found["autocorrelation_error"] > 0
    assert any(FOLLOWS[kind] in name for name in found["follows"]), found


@pytest.mark.parametrize("noise", [("multiplicative", 0.05), ("additive", 0.05), ("none", 0.0)])
@pytest.mark.parametrize("kind", ["springs", "charges", "with_drag"])
def test_noise_is_called_noise(kind, noise):
    found, _ = judged(kind, False, noise)
    assert not found["structured"], found["text"]
    assert (found["left"] < 1e-6) == (noise[0] == "none")


def test_in_a_box():
    found, case = judged("fluid", False, ("multiplicative", 0.05), size=(64, 3))
    assert case.dataset.periodic and not found["structured"], found["text"]
    found, case = judged("field", True, ("multiplicative", 0.05), 3, (64, 3))
    assert case.dataset.periodic and found["structured"] and found["follows"][0] == "position", found["text"]


def test_particles_that_are_not_there_leave_nothing_and_are_not_asked(tmp_path):
    """One of four is missing in every third trajectory, and in single frames of another."""
    dataset = load_dataset(str(write_dataset(tmp_path, trajectories=24, frames=8)))
    gone = np.zeros(dataset.pos.shape[:3], dtype=bool)
    gone[::3, :, 3] = gone[1, 2:4, 0] = True
    arrays = {k: np.where(gone[..., None], np.nan, dataset.arrays[k]) for k in ("pos", "vel", "acc")}
    right = Law(parse("-m_i*m_j/(r + 0.01)^2", VARIABLES))
    own = {name: np.repeat(values[:, None], 8, 1) for name, values in dataset.properties.items()}
    with np.errstate(all="ignore"):  # of those that are left, not of those that are gone
        acc = right.acceleration(arrays["pos"], arrays["vel"], own)
    arrays["acc"] = np.where(gone[..., None], np.nan, acc)
    there = replace(dataset, arrays=dataset.arrays | arrays | {"seen": (~gone).astype(np.int8)})
    found = structure(right, scene := of_dataset(there, right))
    assert found["left"] < 1e-5 and not found["structured"]
    assert np.isfinite(scene.acc).all() and np.isfinite(scene.state.vel).all() and np.isfinite(scene.unit).all()
    assert not scene.acc.reshape(*scene.shape, -1)[scene.trajectory % 3 == 0][:, :, 3].any()
    wrong = structure(Law(parse("-m_i*m_j/(r + 0.01)", VARIABLES)), of_dataset(there, right))
    assert wrong["structured"] and np.isfinite(wrong["left"])


def test_a_hanging_chain_with_a_particle_held(tmp_path):
    write_dataset(tmp_path, "string", "string", trajectories=60, frames=8, n=5)
    dataset = load_dataset(str(tmp_path / "string.npz"))
    normal = np.random.default_rng(77).standard_normal(dataset.acc.shape)
    dataset.arrays["acc"] = dataset.acc * (1 + 0.05 * normal)
    right = Law(parse("-2.0*(r - 0.99)", ("r",)), {"constant_acceleration": np.array([0.0, -1.0])}, chain=True)
    assert not (found := structure(right, of_dataset(dataset, right)))["structured"], found["text"]
    found = structure(replace(right, node={}), of_dataset(dataset, right))
    assert found["structured"] and found["follows"][0] == "position", found  # a field, here a uniform one


def test_constants_that_are_off_are_no_noise():
    """The residuals of a right form with a wrong constant are those that another constant would take away."""
    case = data.case("charges", False, 1, 910, ("multiplicative", 0.05))
    law, numbers = benchmark.fitted(case, 910)
    off = Law(1.05 * law.pair)
    found = structure(off, of_dataset(case.dataset, off), numbers)
    assert found["structured"] and found["follows"] == ["its own terms, with other constants"], found


# ---------------------------------------------------------------- the two statistics by themselves


def test_the_null_of_white_noise_holds_whatever_its_size():
    """Heavy tails and a scale that follows the state: still no more than chance allows."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        scale = np.exp(rng.standard_normal((10, 30, 4, 1)))
        assert not residuals.lasting(rng.standard_normal((10, 30, 4, 2)) * scale)["lasts"]


def test_autocorrelation_against_closed_forms():
    rng = np.random.default_rng(4)
    white = rng.standard_normal((200, 52, 2, 2))
    second = white[:, 2:] - 2 * white[:, 1:-1] + white[:, :-2]  # -4/6 between neighbours
    found = residuals.lasting(second)
    assert abs(found["lag_1"] + 2 / 3) < 0.02 and not found["lasts"]
    mean = (white[:, 1:] + white[:, :-1]) / 2  # 1/2
    found = residuals.lasting(mean)
    assert abs(found["lag_1"] - 0.5) < 0.02 and found["lasts"]


def test_slow_structure_below_the_noise_of_differences_is_seen():
    rng = np.random.default_rng(5)
    white = rng.standard_normal((50, 52, 4, 2))
    second = white[:, 2:] - 2 * white[:, 1:-1] + white[:, :-2]
    slow = np.sin(np.arange(50)[:, None, None] / 8 + rng.uniform(0, 2 * np.pi, (50, 1, 4, 2)))
    found = residuals.lasting(second + slow)
    assert found["lag_1"] < -0.3 and found["lasts"]


def test_origin_and_units_change_nothing():
    case = data.case("trap", True, 0, 911, ("multiplicative", 0.05))
    law, numbers = benchmark.fitted(case, 911)
    first = structure(law, of_dataset(case.dataset, law), numbers)
    moved = case.dataset.arrays | {"pos": case.dataset.pos + 1000.0, "t": 1e3 * case.dataset.t + 5}
    shifted = structure(law, of_dataset(replace(case.dataset, arrays=moved), law), numbers)
    assert shifted["follows"] == first["follows"]
    assert shifted["r2_held_out"] == pytest.approx(first["r2_held_out"], rel=1e-6)


# ---------------------------------------------------------------- the benchmark


def test_the_benchmark_counts_right_calls(monkeypatch, tmp_path, capsys):
    whole = benchmark.todo(1, benchmark.EACH)
    groups = [name.split("_")[0] for name in whole]
    assert (groups.count("missing"), groups.count("complete"), groups.count("differences")) == (40, 40, 19)
    rows = {f"missing_trap_{k}": {"missing": True, "structured": k > 0} for k in range(4)}
    rows["complete_r1_0"] = {"missing": False, "structured": False}
    found = benchmark.counted(rows)
    assert (found["missing"]["right"], found["missing"]["n"], found["complete"]["right"]) == (3, 4, 1)
    monkeypatch.setattr(benchmark.paths, "OUTPUTS", tmp_path)
    monkeypatch.setattr(benchmark, "measure", lambda arguments: rows["complete_r1_0"] | {"n": 9, "text": "noise"})
    call = ["--seed", "910", "--each", "1", "--kinds", "springs", "--development"]
    assert benchmark.main(call) == 0
    monkeypatch.setattr(benchmark, "measure", None)  # what is finished is found done
    assert benchmark.main(call) == 0
    assert "complete                 1 of 1" in capsys.readouterr().out
    stored = benchmark.sections.read(tmp_path / "residual_test.json")["s910"]
    assert stored["counts"]["complete"]["n"] == 1 and stored["hardware"] and stored["date"] and "git" in stored


def test_noise_that_particles_share_is_noise():
    """As of a camera that shakes: no physics lasts in it."""
    rng = np.random.default_rng(0)
    for shape in ((20, 50, 30, 2), (11, 40, 30, 2)):
        shaken = (0.3 * rng.normal(size=shape) + rng.normal(size=(*shape[:2], 1, 2)) for _ in range(10))
        assert not any(residuals.lasting(u)["lasts"] for u in shaken)
    slow = np.repeat(rng.normal(size=(20, 5, 30, 2)), 10, axis=1)  # what lasts is still seen
    assert residuals.lasting(slow + 3 * rng.normal(size=slow.shape))["lasts"]
