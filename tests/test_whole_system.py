"""The search without a network: its features, its errors against known ones, and what it refuses."""

import json

import numpy as np
import pytest
from planted import write_dataset

from distill.files.dataset import Dataset, load_dataset
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.formulas.tree import complexity
from distill.physics.law import Law
from distill.physics.systems import load_system
from distill.search import operon, targets, whole_system
from distill.search.engine import SearchOptions
from distill.search.front import Front, Row
from distill.shell.errors import UserError

SPRING = Law(parse(load_system("spring").law, VARIABLES))
PAIR_OF_TWO = "-2*(r_1 - 0.99)*dx_1/(r_1*m_i)"  # what the ordered features make of it with n = 2


@pytest.fixture
def dataset(tmp_path):
    return make(tmp_path, n=2)


def make(folder, system="spring", **options):
    return load_dataset(str(write_dataset(folder, system=system, **options)))


@pytest.fixture
def planted_search(monkeypatch):
    """``direct.search`` replaced by one that knows the answer; a list of its calls."""
    calls = []

    def search(X, y, names, options):
        calls.append({"X": X, "y": y, "names": names} | vars(options))
        known = ["0.7", PAIR_OF_TWO] if "dx_1" in names else ["sqrt(-1.0 - x_1^2)", "0.5*x_1"]
        rows = [Row(1 + k, 0.1, t, parse(t, names), 0.2 - 0.1 * k) for k, t in enumerate(known)]
        return Front(rows, "operon", 0, "chosen as for a law", {"cpu_seconds": 0.5})

    monkeypatch.setattr(targets, "search", search)
    return calls


def baseline(dataset, place, **options):
    return whole_system.baseline(dataset, SPRING, SearchOptions(progress=False), place, {"seed": 0}, **options)


def every(dataset, particle):
    """All frames of one particle, as (trajectory, frame, particle)."""
    t, f = np.indices(dataset.pos.shape[:2]).reshape(2, -1)
    return t, f, np.full(len(t), particle)


# ---------------------------------------------------------------- features


@pytest.mark.parametrize("dim", [2, 3])
def test_others_come_nearest_first_with_their_own_properties(tmp_path, dim):
    data = make(tmp_path, n=5, dim=dim)
    at = every(data, 3)
    found = whole_system.features(data, at)
    r = np.stack([found[f"r_{k}"] for k in range(1, 5)])
    assert (np.diff(r, axis=0) >= 0).all() and (r > 0).all() and "r_5" not in found and "r_0" not in found
    for k in range(1, 5):
        dx = np.stack([found[f"d{a}_{k}"] for a in "xyz"[:dim]], 1)
        assert np.allclose(np.linalg.norm(dx, axis=1), found[f"r_{k}"])
        sender = data.pos[at] - dx
        j = np.abs(data.pos[at[:2]] - sender[:, None]).sum(-1).argmin(1)
        assert (j != 3).all() and np.array_equal(found[f"m_{k}"], data.mass[at[0], j])
        assert np.array_equal(found[f"q_{k}"], data.charge[at[0], j])
    assert np.array_equal(found["m_i"], data.mass[at[0], 3]) and np.array_equal(found["vx"], data.vel[at][:, 0])


def test_ordered_features_do_not_see_translations_or_who_is_who_and_raw_ones_do(tmp_path):
    data = make(tmp_path, n=4)
    moved = Dataset("moved", data.path, dict(data.arrays), data.meta)
    order = [2, 0, 3, 1]
    moved.arrays |= {k: data.arrays[k][:, :, order] for k in ("vel", "acc")}
    moved.arrays["pos"] = data.pos[:, :, order] + 3.0
    moved.arrays |= {k: data.arrays[k][:, order] for k in ("mass", "charge")}
    a, b = whole_system.features(data, every(data, 2)), whole_system.features(moved, every(moved, 0))
    assert a.keys() == b.keys() and all(np.allclose(a[k], b[k]) for k in a)
    a, b = (whole_system.features(d, every(d, 0), raw=True) for d in (data, moved))
    assert list(a)[:6] == ["x_1", "y_1", "vx_1", "vy_1", "m_1", "q_1"] and len(a) == 24
    assert np.array_equal(a["x_3"], data.pos[..., 2, 0].reshape(-1)) and not np.allclose(a["x_3"], b["x_3"])


def test_the_room_holds_the_true_law_and_grows_with_the_particles():
    gravity = Law(parse(load_system("r2").law, VARIABLES))
    for n in (2, 4, 9):
        names = [f"{v}_{k}" for v in ("dx", "r", "m") for k in range(1, n)]
        true = parse(" - ".join(f"m_{k}*dx_{k}/(r_{k}*(r_{k}+0.01)^2)" for k in range(1, n)), names)
        assert complexity(true) <= whole_system.room(gravity, n)
    assert whole_system.room(gravity, 4) == 60 and whole_system.room(gravity, 9) > 100


# ---------------------------------------------------------------- errors


def test_the_truth_scores_zero_and_a_constant_does_not(dataset, tmp_path, planted_search):
    found = baseline(dataset, tmp_path / "inputs")
    assert found["held_out_error"] < 1e-9 and found["law_error"] < 1e-9 and found["network_error"] is None
    assert 0.3 < found["constant_error"] < 1 and found["medians"]["formula"] < 1e-9
    assert found["equation"] == PAIR_OF_TWO and "lowest" in found["why"]
    assert found["hall_of_fame"].endswith("/inputs/hall_of_fame.csv")
    assert found["features"][:3] == ["dx_1", "dy_1", "r_1"] and found["cpu_seconds"] == 0.5
    (call,) = planted_search
    assert call["max_complexity"] == found["max_complexity"] == 60
    train = dataset.acc[dataset.trajectories("train")][..., 0]
    assert np.isin(call["y"], train).all() and len(call["y"]) == found["rows"] == train.size
    assert found["n"] == dataset.acc[dataset.trajectories("test")][..., 0].size
    json.dumps(found, allow_nan=False)


def test_a_wrong_law_and_a_poor_network_show(dataset, tmp_path, planted_search):
    t, f = (a.reshape(-1) for a in np.indices(dataset.pos.shape[:2]))
    t, f, i = np.repeat(t, 2), np.repeat(f, 2), np.tile([0, 1], len(t))
    acc = dataset.acc[t, f, i]
    known = {"trajectory": t, "frame": f, "receiver": i, "acc_pred_i": 1.1 * acc}
    doubled = {k: np.concatenate([v, v]) for k, v in known.items()}  # an edge file names a receiver n - 1 times
    found = baseline(dataset, tmp_path / "inputs", messages=doubled)
    test = np.isin(t, dataset.trajectories("test"))
    size = np.abs(acc[test][:, 0])
    assert found["n"] == test.sum()
    assert found["network_error"] == pytest.approx(np.mean(0.1 * size / (np.median(size) + size)))
    wrong = Law(parse("-1.8*(r - 0.99)", VARIABLES))
    other = whole_system.baseline(dataset, wrong, SearchOptions(), tmp_path / "inputs", {"seed": 0}, messages=doubled)
    assert other["law_error"] == pytest.approx(found["network_error"]) and other["held_out_error"] < 1e-9


def test_raw_inputs_keep_one_receiver_in_fixed_order(dataset, tmp_path, planted_search):
    found = baseline(dataset, tmp_path / "inputs_raw", raw=True)
    assert found["raw"] and "x_2" in found["features"] and "r_1" not in found["features"]
    assert np.isin(planted_search[0]["y"], dataset.acc[:, :, 0, 0]).all()
    assert found["held_out_error"] > 0.1 and found["law_error"] < 1e-9
    dataset.meta.system.held = [0]
    baseline(dataset, tmp_path / "other", raw=True)
    assert np.isin(planted_search[1]["y"], dataset.acc[:, :, 1, 0]).all()


def test_the_best_constant_is_the_best():
    y = np.random.default_rng(0).normal(1, 2, 301) ** 3
    best = whole_system.relative_error(whole_system.best_constant(y), y)[0]
    assert all(best <= whole_system.relative_error(c, y)[0] + 1e-12 for c in np.quantile(y, np.linspace(0, 1, 101)))
    assert whole_system.relative_error(np.array([1.0, np.nan]), np.ones(2)) == (None, None)
    assert whole_system.relative_error(np.zeros(3), np.zeros(3)) == (0.0, 0.0)


# ---------------------------------------------------------------- files and refusals


def test_a_finished_search_is_read_back_and_another_is_not(dataset, tmp_path, planted_search):
    place = tmp_path / "inputs"
    first = baseline(dataset, place)
    assert (place / "hall_of_fame.csv").read_text().startswith("Complexity,Loss,Equation")
    again = baseline(dataset, place)
    assert len(planted_search) == 1 and again["held_out_error"] == pytest.approx(first["held_out_error"], abs=1e-9)
    baseline(dataset, place, overwrite=True)
    baseline(dataset, place, rows=30)
    assert len(planted_search) == 3 and len(planted_search[-1]["y"]) == 30
    baseline(dataset, place, raw=True)
    assert len(planted_search) == 4


def test_the_seed_decides_the_rows(dataset, tmp_path, planted_search):
    for seed in (0, 0, 1):
        baseline(dataset, tmp_path / "inputs", rows=30, seed=seed, overwrite=True)
    a, b, c = (call["y"] for call in planted_search)
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_what_cannot_be_judged_is_refused_in_one_line(dataset, tmp_path, planted_search):
    foreign = {"trajectory": np.array([999]), "frame": np.array([0]), "receiver": np.array([0])}
    with pytest.raises(UserError, match="does not have"):
        baseline(dataset, tmp_path / "inputs", messages=foreign | {"acc_pred_i": np.zeros((1, 2))})
    train = {"trajectory": dataset.trajectories("train")[:1], "frame": np.array([0]), "receiver": np.array([0])}
    with pytest.raises(UserError, match="extract_messages.py"):
        baseline(dataset, tmp_path / "inputs", messages=train | {"acc_pred_i": np.zeros((1, 2))})
    dataset.arrays["split"] = np.zeros_like(dataset.split)
    with pytest.raises(UserError, match="no trajectory in its test split"):
        baseline(dataset, tmp_path / "inputs")
    dataset.meta.system.held = [0, 1]
    with pytest.raises(UserError, match="held"):
        baseline(dataset, tmp_path / "inputs")


def test_two_particles_are_few_enough_for_a_real_search(tmp_path):
    if problem := operon.operon_problem():
        pytest.skip(problem)
    data = make(tmp_path, n=2, trajectories=100)
    options = SearchOptions(loss="relative", restarts=1, min_restarts=1, progress=False)
    found = whole_system.baseline(data, SPRING, options, tmp_path / "inputs", {}, rows=300)
    assert found["held_out_error"] < 0.5 * found["constant_error"], found
    assert (tmp_path / "inputs" / "hall_of_fame.csv").is_file()
