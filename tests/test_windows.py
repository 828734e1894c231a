"""Windows of observed positions: exact where they have to be, and weighted edges for everything downstream."""

import json
from pathlib import Path

import numpy as np
import pytest
from planted import messages

import distill
from distill.files import records
from distill.files.dataset import Dataset, make_split, save_dataset
from distill.files.kinds import DatasetRecord, LookRecord
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.law.receivers import law_error, noise_error, receivers
from distill.messages.net_forces import nodes_of
from distill.physics.integrate import integrate
from distill.physics.law import Law
from distill.physics.record import describe
from distill.physics.systems import load_system
from distill.physics.terms import direction
from distill.shell import paths
from distill.shell.errors import UserError
from distill.splines.fit import fit_pair_force
from distill.splines.normal_equations import table
from distill.splines.observations import observations
from distill.windows import of_dataset
from distill.windows.noise import noise_of
from distill.windows.of_dataset import from_positions
from distill.windows.smoothing import smoothed
from distill.windows.weak_form import windows

LENGTHS = (3, 5, 11, 21)


def frames(uneven, count=40):
    """(times [trajectory, frame], seen [trajectory, frame, particle]); uneven ones have gaps."""
    rng = np.random.default_rng(4)
    if not uneven:
        return np.tile(0.05 * np.arange(count), (6, 1)), np.ones((6, count, 3), bool)
    seen = rng.random((6, count, 3)) > 0.12
    return 0.05 * np.cumsum(rng.uniform(0.5, 1.5, (6, count)), 1), seen


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_rest_and_constant_velocity_drop_out_exactly(uneven, length):
    t, seen = frames(uneven)
    rest = np.broadcast_to(np.random.default_rng(0).normal(size=(6, 1, 3, 2)), (6, 40, 3, 2))
    known = np.ones_like(seen)
    found = windows(rest, seen, known, t, length)
    assert len(found) > 20 and not found.target.any()
    moving = windows(rest + 3.0 * t[:, :, None, None], seen, known, t, length)
    step = np.diff(t).min()
    assert np.abs(moving.target).max() < 1e-14 * 10 / step**2


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_target_is_the_mean_acceleration_of_a_polynomial(uneven, length):
    """Of degree 4 for three frames, whose stencil is a parabola; 6 where there are five frames."""
    t, seen = frames(uneven)
    known = np.ones_like(seen)
    degree = 4 if length == 3 else 6
    if uneven:  # no more observations than frames in which accelerations are known
        seen = known
    one = np.polynomial.Polynomial(np.random.default_rng(1).normal(size=degree + 1))
    x = np.broadcast_to(one(t)[:, :, None, None], (6, 40, 3, 1))
    acc = np.broadcast_to(one.deriv(2)(t)[:, :, None, None], x.shape)
    found = windows(x, seen, known, t, length)
    size = np.abs(acc).max()
    assert np.abs(found.omega.sum(1) - 1).max() < 1e-12
    assert np.abs(found.mean(acc) - found.target).max() < 1e-9 * size


def test_a_harmonic_motion_is_met_to_the_order_of_the_quadrature():
    errors = []
    for count in (100, 200):
        t = np.linspace(0, 10, count + 1)[None]
        x = np.sin(t)[:, :, None, None]
        seen = np.ones(x.shape[:3], bool)
        found = windows(x, seen, seen, t, 11)
        errors.append(np.abs(found.mean(-x) - found.target).max())
    assert errors[0] < 1e-7 and errors[0] / errors[1] > 2**4


def test_the_noise_of_a_target_is_what_is_told():
    t, seen = frames(True)
    x = np.random.default_rng(2).normal(size=(6, 40, 3, 2))
    found = windows(x, seen, np.ones_like(seen), t, 5)
    z = found.target / found.noise[:, None]
    assert np.mean(z**2) == pytest.approx(1, abs=0.15)


def test_windows_end_where_a_position_is_not_known():
    t, seen = frames(False)
    known = seen.copy()
    known[:, 17:23, 1] = seen[:, 17:23, 1] = False
    found = windows(np.zeros((6, 40, 3, 2)), seen, known, t, 11)
    inside = (found.particle == 1)[:, None] & (found.frames >= 17) & (found.frames < 23)
    assert (found.particle == 1).any() and not found.omega[inside].any()
    assert len(found) < len(windows(np.zeros((6, 40, 3, 2)), known | True, known | True, t, 11))


@pytest.mark.parametrize("level", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("uneven", [False, True])
def test_planted_noise_is_found(level, uneven):
    """In units of the median step of circles and lines, with a sharp turn here and there."""
    t, seen = frames(uneven, 100)
    rng = np.random.default_rng(7)
    phase, rate = rng.uniform(0, 6, (6, 1, 3)), rng.uniform(0.3, 2, (6, 1, 3))
    angle = phase + rate * t[..., None]
    x = np.stack([np.cos(angle) + t[..., None], np.sin(angle) + np.abs(t[..., None] - 2)], -1)
    step = np.median(np.linalg.norm(np.diff(x, axis=1), axis=-1))
    found = noise_of(x + 1e3 + level * step * rng.normal(size=x.shape), seen, t)
    assert found == pytest.approx(level * step, rel=0.15)


def as_windows(m):
    """Every receiver as a window of two frames that are the same: its edges twice, with weights .3 and .7."""
    arrays = {k: np.concatenate([v, v]) for k, v in m.items() if k != "active"}
    count = len(m["r"])
    return arrays | {
        "active": m["active"],
        "weight": np.repeat([0.3, 0.7], count),
        "at": np.r_[2 * m["frame"], 2 * m["frame"] + 1],
    }


def test_weighted_edges_sum_to_what_single_frames_do():
    m = messages(trajectories=6)
    nodes = nodes_of(m)
    twice = as_windows(m)
    both = nodes_of(twice)
    assert len(both.first) == len(nodes.first)
    assert both.sum(twice["force"]) == pytest.approx(nodes.sum(m["force"]), rel=1e-12)
    assert both.senders() == pytest.approx(nodes.senders())
    assert (twice["at"][both.reverse] == twice["at"]).all()
    assert (twice["receiver"][both.reverse] == twice["sender"]).all()
    one, two = table(m, nodes), table(twice, both)
    assert two.sum(two.unit) == pytest.approx(one.sum(one.unit), rel=1e-12)
    assert two.target == pytest.approx(one.target)


@pytest.mark.parametrize("level", [0.0, 0.01, 0.3])
def test_smoothing_knows_its_errors(level):
    """Circles and lines with a kink in some: better than what was seen, exact without noise, gaps filled."""
    t, _ = frames(False, 100)
    rng = np.random.default_rng(8)
    angle = rng.uniform(0, 6, (6, 1, 3)) + rng.uniform(0.3, 2, (6, 1, 3)) * t[..., None]
    x = np.stack([np.cos(angle) + t[..., None], np.sin(angle) + np.abs(t[..., None] - 2)], -1)
    rate = np.gradient(angle, t[0], axis=1)[..., None]
    v = np.stack([-np.sin(angle), np.cos(angle)], -1) * rate + np.stack(
        [1 + 0 * angle, np.sign(t[..., None] - 2) + 0 * angle], -1
    )
    step = np.median(np.linalg.norm(np.diff(x, axis=1), axis=-1))
    noisy = x + level * step * rng.normal(size=x.shape)
    seen = rng.random(x.shape[:3]) > 0.1
    seen[0, 50:60, 0] = False
    found = smoothed(np.where(seen[..., None], noisy, np.nan), seen, 1e3 + t)
    assert np.isnan(found.pos[0, 53:57, 0]).all() and np.isfinite(found.pos[seen]).all()
    filled = ~seen & np.isfinite(found.pos[..., 0])
    assert filled.sum() > 0.9 * (~seen).sum() - 10
    if level == 0:
        assert (found.pos[seen] == x[seen]).all()
        assert np.quantile(np.abs(found.pos - x)[filled], 0.9) < 0.01 * step
        assert np.nanquantile(np.abs(found.vel - v), 0.9) < 0.02
        return
    z = (found.pos - x)[seen] / found.pos_error[seen][:, None]
    assert 0.8 < np.median(np.abs(z)) / 0.6745 < 1.2
    assert np.median(np.abs(found.pos - x)[seen]) < 0.8 * np.median(np.abs(noisy - x)[seen])
    z = (found.vel - v)[seen] / found.vel_error[seen][:, None]
    assert 0.6 < np.median(np.abs(z)) / 0.6745 < 1.4


@pytest.fixture(scope="module")
def springs():
    """Positions alone of a simulated spring system, with some not seen; the true system beside it."""
    system = load_system("spring")
    made = integrate(system, 3, 2, 8, 60, 2, seed=1, dt=0.01)
    seen = np.random.default_rng(3).random(made["pos"].shape[:3]) > 0.05
    arrays = {k: made[k] for k in ("mass", "charge", "t")} | {"seen": seen.astype(int)}
    arrays |= {"observed": np.where(seen[..., None], made["pos"], np.nan), "split": make_split(8, 0)}
    arrays |= from_positions(arrays)
    meta = records.build(DatasetRecord, json.loads(json.dumps({"system": describe(system)})))
    return Dataset("springs", Path("springs.npz"), arrays, meta), made


@pytest.mark.parametrize("length", [5, 21])
def test_the_true_forces_of_the_edges_make_the_targets(springs, length):
    dataset, made = springs
    edges = observations(dataset, "all", window=length)
    nodes = nodes_of(edges)
    found = nodes.sum(edges["force"]) / edges["mass_i"][nodes.first, None]
    target = edges["acc_i"][nodes.first]
    size = np.linalg.norm(target, axis=1)
    off = np.linalg.norm(found - target, axis=1) / (np.median(size) + size)
    assert np.median(off) < 1e-5 and np.quantile(off, 0.95) < 1e-2
    assert (np.abs(edges["at"] - edges["frame"]) <= length // 2 + 1).all()
    mean = made["vel"][edges["trajectory"], edges["frame"], edges["receiver"]]
    assert np.median(np.abs(edges["vel_i"] - mean)) < 0.2 * np.abs(mean).mean()


def test_the_network_is_not_needed_to_find_the_curve(springs):
    dataset, _ = springs
    seen = dataset.observed + 2e-4 * np.random.default_rng(5).normal(size=dataset.observed.shape)
    arrays = dataset.arrays | {"observed": seen}
    own = Dataset(dataset.name, dataset.path, arrays | from_positions(arrays), dataset.meta)
    assert own.noise == pytest.approx(2e-4, rel=0.2)
    edges = observations(own, "all", window=21)
    nodes = nodes_of(edges)
    spline = fit_pair_force(edges, nodes)
    assert spline.node_terms == ()
    true = (edges["force"] * direction(edges["dx"], edges["r"])).sum(1)
    assert np.median(np.abs(spline.radial(edges) - true)) < 0.02 * np.median(np.abs(true))


def test_a_first_look_finds_springs_and_nothing_else(springs, tmp_path, monkeypatch):
    dataset, _ = springs
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    arrays = {k: v for k, v in dataset.arrays.items() if k != "window"} | {"window": np.int64(15)}
    save_dataset(tmp_path / "springs.npz", arrays, {})
    done = distill.look("springs", quick=True)
    text = str(done)
    assert "positions alone" in text and "sum of 1 times a curve" in text and "no drag, no uniform field" in text
    assert "action is reaction" in text and "FOLLOWS" not in text
    assert done.path.read_bytes()[:4] == b"\x89PNG"
    assert done.numbers["left"] < 0.03
    record = records.load(LookRecord, done.path.with_suffix(".json"))
    assert record.window == 15 and record.finds_force and record.action_is_reaction and record.left < 0.03
    assert record.third_law < 1e-9, "what pairs do cancels exactly, whoever is missing where"
    (curve,) = record.curves
    r, f = np.array(curve.r), np.array(curve.force)
    assert curve.function == "1" and np.median(np.abs(f + 2 * (r - 1))) < 0.05
    arrays["mass"] = arrays["mass"] * [1.0, 1.5, 1.0]
    save_dataset(tmp_path / "springs.npz", arrays, {"derived": {"mass": "equal ones"}})
    text = str(distill.look("springs", quick=True))
    assert "action is NOT reaction" in text and "masses differ" in text


def test_a_look_at_nothing_says_so(springs, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    t, rng = 0.05 * np.arange(40), np.random.default_rng(2)
    ends = rng.normal(size=(2, 20, 1, 3, 2))
    straight = ends[0] + ends[1] * t[:, None, None]
    for name, observed in (
        ("still", np.repeat(ends[0], 40, 1)),
        ("free", straight + 0.01 * rng.normal(size=straight.shape)),
    ):
        arrays = {"observed": observed, "t": t, "mass": np.ones((20, 3)), "charge": np.zeros((20, 3))}
        save_dataset(tmp_path / f"{name}.npz", arrays | from_positions(arrays) | {"split": make_split(20, 0)}, {})
    with pytest.raises(UserError, match="still.npz: all accelerations are zero.*a law needs"):
        distill.look("still", quick=True)
    done = distill.look("free", quick=True)
    record = records.load(LookRecord, done.path.with_suffix(".json"))
    assert not record.finds_force and "NO PAIR FORCE IS FOUND" in str(done)
    assert record.action_is_reaction is None and record.left == pytest.approx(record.left_by_noise, rel=0.1)


def test_smoothing_in_parts_is_that_of_the_whole(monkeypatch):
    rng = np.random.default_rng(7)
    size = np.array([1.0, 1.0, 100.0, 100.0, 100.0])[:, None, None, None]  # parts would have steps of their own
    arrays = {"observed": size * np.cumsum(np.cumsum(rng.normal(size=(5, 20, 2, 2)), 1), 1), "t": np.arange(20.0)}
    arrays["observed"][:, 9, 0] = np.nan
    whole = from_positions(arrays, 0.5)
    monkeypatch.setattr(of_dataset, "PLACES", 80)
    for name, value in from_positions(arrays, 0.5).items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-9)
    back = from_positions({"observed": arrays["observed"][::-1], "t": arrays["t"]}, 0.5)
    np.testing.assert_allclose(back["pos"][::-1], whole["pos"], rtol=1e-9)


def test_rounding_is_noise_where_motion_is_slower_than_it_shows():
    t = np.arange(200.0)
    x = np.random.default_rng(3).normal(size=(4, 1, 3, 2)) + 0.02 * t[:, None, None] * [1.0, -0.7]
    assert noise_of(np.round(x), None, t) == pytest.approx([12**-0.5] * 2, rel=1e-9)
    assert noise_of(0.25 * np.round(x / 0.25) + 1000.0, None, t) == pytest.approx([0.25 * 12**-0.5] * 2, rel=1e-9)
    assert noise_of(x, None, t).max() < 1e-12


def test_few_frames_asked_for_still_give_receivers_enough(springs):
    dataset, _ = springs
    edges = observations(dataset, "all", graphs=100, window=21)
    assert len(nodes_of(edges).first) == len(nodes_of(observations(dataset, "all", window=21)).first)


def test_the_error_of_the_true_law_is_what_noise_makes(springs):
    dataset, made = springs
    noisy = made["pos"] + 3e-3 * np.random.default_rng(6).normal(size=made["pos"].shape)
    arrays = {k: dataset.arrays[k] for k in ("mass", "charge", "t", "seen", "split")} | {"observed": noisy}
    own = Dataset(dataset.name, dataset.path, arrays | from_positions(arrays), dataset.meta)
    edges = observations(own, "all", window=11)
    nodes = nodes_of(edges)
    data = receivers(edges | {"acc_pred_i": edges["acc_i"]}, nodes, np.arange(len(nodes.first)))
    law = Law(parse(load_system("spring").law, VARIABLES))
    assert noise_error(data) > 0.02
    assert law_error(law, data) == pytest.approx(noise_error(data), rel=0.15)
