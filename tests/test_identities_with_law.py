"""Values of bodies fitted together with a law's constants: against differences of the law, and planted values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill.files.dataset import Dataset, bodies, load_dataset, save_dataset
from distill.files.kinds import DatasetRecord, SystemRecord
from distill.formulas.text import parse
from distill.identities.learn import learn
from distill.identities.with_law import accelerations, refitted, with_law, with_values
from distill.law.joint import numbers_of
from distill.law.receivers import law_acceleration, law_error, receivers
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law
from distill.physics.terms import About
from distill.pipeline.learn_properties import arrays_with
from distill.shell import paths
from distill.shell.errors import UserError
from distill.splines.blocks import with_motion
from distill.splines.observations import edges_of_frames

KNOWN = ("r", "m_i", "m_j", "q_i", "q_j", "t", "s", "v", "x", "y")
BODIES, TRAJECTORIES, FRAMES, N = 7, 24, 8, 4
NOISE = 0.02


def f(text):
    return parse(text, KNOWN)


LAW = Law(
    f("1.5*q_i*q_j/(r + 0.1)^2"),
    {"drag": f("0.3*m_i*v + 0.1"), "field": (f("-1.1*q_i*x"), f("-0.7*q_i*y")), "magnetic": 0.8},
    pairs={"displaced": About((0.1, -0.4), f("-0.6*q_i*q_j/(s + 0.3)^2"))},
)


def world(law, noise=0.0, trajectories=TRAJECTORIES):
    """(receivers of bodies at random states under ``law``, property -> true values [body])."""
    rng = np.random.default_rng(6)
    mass, charge = (
        np.exp(0.4 * rng.normal(size=BODIES)),
        rng.choice([-1, 1], BODIES) * np.exp(rng.normal(size=BODIES) / 3),
    )
    which = np.array([rng.permutation(BODIES)[:N] for _ in range(trajectories)])
    pos, vel = rng.normal(size=(2, trajectories, FRAMES, N, 2))
    t = np.linspace(0, 3, FRAMES)
    each = zip(pos, vel, mass[which], charge[which], strict=True)
    acc = np.stack([law.acceleration(x, v, {"mass": m, "charge": q}, t=t) for x, v, m, q in each])
    acc = acc + noise * np.median(np.abs(acc)) * rng.standard_normal(acc.shape)
    arrays = {"pos": pos, "vel": vel, "acc": acc, "mass": mass[which], "charge": charge[which], "t": t}
    arrays |= {"id": which.astype(np.int32), "split": np.zeros(trajectories, int)}
    data = Dataset("x", Path("x.npz"), arrays, DatasetRecord(system=SystemRecord(), n=N, dim=2))
    edges = with_motion(edges_of_frames(data, np.arange(trajectories * FRAMES)), data)
    nodes, edges = nodes_of(edges), edges | {"acc_pred_i": edges["acc_i"]}
    return receivers(edges, nodes, np.arange(len(nodes.first))), {"mass": mass, "charge": charge}


def test_what_moves_nothing_is_not_determined():
    """Masses where forces are in proportion to them, and charges that no force knows."""
    gravity = Law(f("-1.3*m_i*m_j/(r + 0.2)"), {"constant_acceleration": np.array([0.1, 0.2])})
    data, true = world(gravity, NOISE)
    found = refitted(gravity, true, {"mass": [0], "charge": [0]}, data, data)
    assert found.matrix("charge")[1][1:].all() and not found.matrix("mass")[1].any()
    alone = Law(f("0"), {"constant_acceleration": np.array([0.1, 0.2])})
    found = refitted(alone, true, {"mass": [0], "charge": [0]}, world(alone, NOISE)[0], data)
    assert found is None or found.matrix("mass")[1][1:].all()


def test_a_law_that_foretells_worse_than_splines_tells_no_values(tmp_path, monkeypatch):
    """Charges of one kind of world: the law of that world makes their errors smaller, another one is refused."""
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    rng = np.random.default_rng(8)
    charge = rng.choice([-1, 1], BODIES) * np.exp(rng.normal(size=BODIES) / 3)
    which = np.array([rng.permutation(BODIES)[:N] for _ in range(40)])
    pos, vel = rng.normal(size=(2, 40, FRAMES, N, 2))
    right, wrong = (Law(f(text)) for text in ("1.5*q_i*q_j/(r + 0.3)", "1.5*q_i*q_j/(r + 0.3)^3"))
    known = {"mass": np.ones((40, N)), "charge": charge[which]}
    each = zip(pos, vel, known["charge"], strict=True)
    acc = np.stack([right.acceleration(x, v, {"mass": np.ones(N), "charge": q}) for x, v, q in each])
    acc *= 1 + 0.03 * rng.standard_normal(acc.shape)
    split = np.where(np.arange(40) % 5, 0, 1).astype(np.int8)
    save_dataset(
        tmp_path / "w.npz",
        {"pos": pos, "vel": vel, "acc": acc, "id": which.astype(np.int32)} | known | {"split": split},
        {},
    )
    source = load_dataset("w")
    reference = {0: float(charge[0])}
    found = learn(source, "charge", reference, quick=True)
    data = replace(source, arrays=arrays_with(source, bodies(source)[0], "charge", found))
    better, other = (with_law(found, law, source, data, "charge", reference, quick=True) for law in (right, wrong))
    assert better.law.taken and not other.law.taken
    assert other.law.error > 1.3 * other.law.error_of_splines
    assert other.told["charge"] is found.told["charge"]
    before, after = (one.told["charge"] for one in (found, better))
    assert np.median(after.half[1:]) < np.median(before.half[1:]) and after.half[0] == 0
    assert (np.abs(after.values - charge) <= 1.5 * after.half + 1e-12).all()
    with pytest.raises(UserError, match="takes no charge"):
        with_law(found, Law(f("-m_i*m_j/r")), source, data, "charge", reference, quick=True)


def test_derivatives_by_values_are_those_of_differences():
    data, true = world(LAW)
    numbers, free = numbers_of(LAW), [(name, body) for name in true for body in range(BODIES)]
    found, slopes = accelerations(numbers, numbers.start, with_values(data, true), free)
    np.testing.assert_allclose(found, data.acc, atol=1e-11)
    for k, (name, body) in enumerate(free, len(numbers.start)):
        moved = []
        for step in (1e-6, -1e-6):
            values = {own: v.copy() for own, v in true.items()}
            values[name][body] += step
            moved.append(law_acceleration(LAW, with_values(data, values)))
        expected = (moved[0] - moved[1]) / 2e-6
        assert np.abs(slopes[..., k] - expected).max() < 1e-6 * np.abs(expected).max()


def test_values_and_constants_are_found_together_and_intervals_hold_them():
    data, true = world(LAW, NOISE)
    unseen = world(LAW)[0]
    rng = np.random.default_rng(7)
    start = {name: own * rng.uniform(0.9, 1.1, BODIES) for name, own in true.items()}
    start = {name: own * (true[name][0] / own[0]) for name, own in start.items()}  # the first one is known
    numbers = numbers_of(LAW)
    law = numbers.at(numbers.start * rng.uniform(0.95, 1.05, len(numbers.start)))
    found = refitted(law, start, {"mass": [0], "charge": [0]}, data, unseen)
    assert found.error < 0.5 * law_error(law, with_values(unseen, start))
    inside, largest = 0, 0.0
    for name, own in true.items():
        matrix, unknown = found.matrix(name)
        error = np.sqrt(np.diag(matrix))
        assert found.values[name][0] == own[0] and error[0] == 0 and not unknown.any()
        inside += int((np.abs(found.values[name] - own)[1:] <= found.half_width * error[1:]).sum())
        largest = max(largest, float(np.abs(found.values[name] / own - 1).max()))
    assert largest < 0.02 and inside >= 9  # of 12
    assert numbers_of(found.law).start == pytest.approx(numbers.start, rel=0.05, abs=0.02)


def test_values_that_foretell_worse_are_not_taken():
    data, true = world(LAW, NOISE)
    other = world(Law(f("-0.4*q_i*q_j/(r + 0.5)")))[0]
    wrong = {name: own * np.linspace(1, 1.3, BODIES) for name, own in true.items()}
    assert refitted(LAW, true, {"mass": [0], "charge": [0]}, world(Law(f("2*q_i*q_j*r")))[0], other) is None
    assert refitted(LAW, wrong, {"mass": [0], "charge": [0]}, data, data) is not None
