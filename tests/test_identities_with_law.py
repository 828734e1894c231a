"""Values of bodies fitted together with a law's constants: against differences of the law, and planted values."""

from pathlib import Path

import numpy as np
import pytest

from distill.files.dataset import Dataset
from distill.files.kinds import DatasetRecord, SystemRecord
from distill.formulas.text import parse
from distill.identities.with_law import accelerations, refitted, with_values
from distill.law.joint import numbers_of
from distill.law.receivers import law_acceleration, receivers
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law
from distill.physics.terms import About
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
    assert found.gained < 0.5
    inside, largest = 0, 0.0
    for name, own in true.items():
        error = np.sqrt(np.diag(found.matrix(name, BODIES)))
        assert found.values[name][0] == own[0] and error[0] == 0
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
