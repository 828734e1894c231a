"""The simulation section of the speed benchmark: other ways to the same trajectories, and what the section says."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import speed_simulation as section
from speed_simulation_baselines import original, taylor

from distill.physics.integrate import integrate
from distill.physics.system import System
from distill.physics.systems import SYSTEMS

# a law without close encounters: every method has to agree on it to its own tolerance
SOFT = System(
    "soft", lambda r, m_i, m_j, q_i, q_j, xp: -m_i * m_j * q_i * q_j / (r + 1), law="-m_i*m_j*q_i*q_j/(r+1)^2", dt=0.01
)


@pytest.fixture(scope="module")
def ours():
    return integrate(SOFT, 3, 2, 5, 6, 5, seed=1)


def start_of(found):
    state = np.concatenate([found["pos"][:, 0].reshape(5, -1), found["vel"][:, 0].reshape(5, -1)], axis=1)
    return state, np.concatenate([found["mass"], found["charge"]], axis=1)


def test_the_original_way_has_the_same_trajectories_to_its_precision(ours):
    single = original(SOFT, 3, 2, 6, 5, "float32")(*start_of(ours))
    double = original(SOFT, 3, 2, 6, 5, "float64")(*start_of(ours))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert single.shape == double.shape == ours["pos"].shape
    moved = np.abs(ours["pos"][:, -1] - ours["pos"][:, 0]).max()
    coarse, fine = (np.abs(a - ours["pos"]).max() for a in (single, double))
    assert fine < 1e-7 < coarse < 1e-4 < 0.1 < moved


def test_heyoka_has_the_same_trajectories_whatever_the_batch(ours):
    pytest.importorskip("heyoka")
    run = taylor(SOFT, 3, 2, 6, 5, 1e-14)
    np.testing.assert_allclose(run(*start_of(ours)), ours["pos"], atol=1e-9)
    y0, p = start_of(ours)
    many = run(np.tile(y0, (3, 1)), np.tile(p, (3, 1)))  # 15: more than a batch, and no multiple of one
    np.testing.assert_allclose(many, np.tile(ours["pos"], (3, 1, 1, 1)), atol=1e-9)


def test_without_heyoka_there_is_no_row(monkeypatch):
    monkeypatch.setitem(sys.modules, "heyoka", None)
    assert taylor(SOFT, 3, 2, 6, 5, 1e-9) is None
    assert section.same_accuracy(SOFT, 6, None, None, None, None, None) == {}


def test_errors_are_relative_and_the_largest_over_frames():
    reference = np.ones((4, 3, 2, 2))  # norm 2
    pos = reference.copy()
    pos[:, 1, 0, 0] += [0.2, 0.02, 0.02, 0.02]
    pos[:, 2, 0, 0] += 0.002
    np.testing.assert_allclose(section.errors(pos, reference), [0.01, np.quantile([0.1, 0.01, 0.01, 0.01], 0.9)])


def test_only_the_planted_trajectory_meets_head_on():
    system, plant = section.with_head_on_pair(SYSTEMS["charge"], 2)
    plain, clean = (integrate(s, 4, 2, 4, 1, 1, seed=3) for s in (SYSTEMS["charge"], system))
    np.testing.assert_array_equal(plain["pos"], clean["pos"])
    plant["on"] = True
    planted = integrate(system, 4, 2, 4, 1, 1, seed=3)
    others = [0, 1, 3]
    np.testing.assert_array_equal(planted["pos"][others], plain["pos"][others])
    gap = planted["pos"][2, 0, 1] - planted["pos"][2, 0, 0]
    np.testing.assert_allclose(gap, section.PLANTED)
    assert planted["charge"][2, :2].tolist() == [1, -1]


def row(method, ratio, median, ninety, **more):
    return {
        "system": "r2",
        "method": method,
        "ratio": ratio,
        "trajectories": 9,
        "ms": 1.0,
        "error_median": median,
        "error_90": ninety,
        "compile_s": 1.0,
    } | more


@pytest.mark.parametrize(
    "ratio, ninety, rise, met",
    [
        (6.0, 1e-9, 1.05, [True, True, False, True]),
        (4.9, 1e-9, 1.05, [False, False, False, True]),  # too slow, for heyoka's 12x too
        (6.0, 1e-4, 1.05, [False, True, False, True]),  # fast but less accurate than the original
        (6.0, 1e-9, 1.2, [True, True, False, False]),
    ],
)
def test_bars_are_judged_on_speed_and_accuracy(ratio, ninety, rise, met):
    rows = [
        row("original way, float32", None, 1e-6, 1e-5),
        row("simulate.py", ratio, 1e-12, ninety),
        row("simulate.py, integration alone", 2 * ratio, 1e-12, ninety),
        row("heyoka.py, as accurate in both", 12.0, 1e-12, 1e-9),
        row("heyoka.py, as accurate in the 90 % quantile", 15.0, 1e-12, 1e-9),
        row("simulate.py with a head-on pair", None, 0, 0, cost_ratio=rise, steps_max=5000),
    ]
    found = section.bars(rows)
    assert [bar["met"] for bar in found] == met
    assert found[0]["measured"].startswith(f"{ratio:.2f}x")
    without = section.bars([r for r in rows if "heyoka" not in r["method"]])
    assert [bar["met"] for bar in without] == [met[0], None, None, met[3]]
    text = section.table(rows).splitlines()
    assert len(text) == 2 + len(rows) and len({line.count("|") for line in text}) == 1


@pytest.mark.slow
def test_the_whole_section_in_small():
    result = section.measure(SimpleNamespace(threads=1, rounds=1, quick=True))
    rows = {r["method"]: r for r in result["rows"]}
    mine, base = rows["simulate.py"], rows["original way, float32"]
    assert mine["error_90"] < 1e-7 < 1e-6 < base["error_90"] < 1e-3
    assert mine["reference"]["gap_90"] < 1e-11
    for r in rows.values():
        np.testing.assert_allclose(r["ms"], 1e3 / r["per_s"])
    assert base["ratio"] is None and mine["ratio"] > 0
    # one timing of each: the ratio is to the mean of the neighbouring baselines, so only its order is known
    assert 0.2 < mine["ratio"] / (base["ms"] / mine["ms"]) < 5
    assert mine["compile_s"] > 0.2 and rows["simulate.py with a head-on pair"]["steps_max"] > mine["steps_max"]
    assert len(result["bars"]) == 4
