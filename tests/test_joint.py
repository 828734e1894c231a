"""All constants of a law together: accelerations and their derivatives against the law itself and differences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill.files.dataset import Dataset
from distill.files.kinds import DatasetRecord, SystemRecord
from distill.formulas.text import parse
from distill.formulas.units import ONE
from distill.law.further.composition import again
from distill.law.further.slots import Drive, FromDisplaced, Radial
from distill.law.further.trimming import trimmed, without_unsure
from distill.law.joint import examined, fitted, numbers_of
from distill.law.receivers import law_acceleration, receivers
from distill.law.selection import Ground
from distill.messages.net_forces import nodes_of
from distill.physics.law import RADIAL, Law
from distill.physics.terms import About
from distill.splines import blocks
from distill.splines.blocks import NodeBlock, with_motion
from distill.splines.observations import edges_of_frames

KNOWN = ("r", "m_i", "m_j", "q_i", "q_j", "t", "s", "v", "x", "y")


def f(text):
    return parse(text, KNOWN)


LAW = Law(
    f("-1.5*q_i*q_j*(1 + 0.3*cos(2.1*t))/(r + 0.1)^2.2"),
    {
        "drag": f("0.3*v + 0.1"),
        "central": About((0.3, -0.2), f("-1.4*s*exp(-0.5*s^2)*(1 + 0.1*m_i)")),
        "magnetic": 1.2,
        "constant_acceleration": np.array([0.1, -0.2]),
        "field": (f("0.3*x*y - 0.2*cos(t)"), f("0.1*sin(1.3*y)")),
    },
    pairs={"transverse": f("0.8/(r + 0.5)"), "relative_velocity": f("0.5*exp(-1.1*r)*cos(t)")},
)


def moved_by(law: Law):
    """(edges of a dataset that moves by ``law`` at random states, its receivers)."""
    rng = np.random.default_rng(5)
    pos, vel = rng.normal(size=(2, 12, 10, 4, 2))
    t, mass, charge = np.linspace(0, 3, 10), np.exp(0.5 * rng.normal(size=(12, 4))), rng.choice([-1.0, 1.0], (12, 4))
    each = zip(pos, vel, mass, charge, strict=True)
    acc = np.stack([law.acceleration(x, v, {"mass": m, "charge": q}, t=t) for x, v, m, q in each])
    arrays = {"pos": pos, "vel": vel, "acc": acc, "mass": mass, "charge": charge, "split": np.zeros(12, int), "t": t}
    data = Dataset("x", Path("x.npz"), arrays, DatasetRecord(system=SystemRecord(), n=4, dim=2))
    edges = with_motion(edges_of_frames(data, np.arange(120)), data)
    nodes, edges = nodes_of(edges), edges | {"acc_pred_i": edges["acc_i"]}
    return edges, receivers(edges, nodes, np.arange(len(nodes.first)))


@pytest.fixture(scope="module")
def seen():
    return moved_by(LAW)


def test_accelerations_of_receivers_are_those_of_the_law_at_every_time(seen):
    assert law_acceleration(LAW, seen[1]) == pytest.approx(seen[1].acc, abs=1e-11)


def test_derivatives_by_all_constants_are_those_of_differences(seen):
    numbers = numbers_of(LAW)
    found, slopes = numbers.accelerations(numbers.start, seen[1])
    assert found == pytest.approx(seen[1].acc, abs=1e-11)
    for k in range(len(numbers.start)):
        up, down = ([*numbers.start[:k], numbers.start[k] + step, *numbers.start[k + 1 :]] for step in (1e-6, -1e-6))
        both = [law_acceleration(numbers.at(np.array(x)), seen[1]) for x in (up, down)]
        expected = (both[0] - both[1]) / 2e-6
        assert np.abs(slopes[..., k] - expected).max() < 1e-6 * np.abs(expected).max()


def test_all_constants_are_found_together(seen):
    numbers = numbers_of(LAW)
    start = numbers.start * np.random.default_rng(3).uniform(0.9, 1.1, len(numbers.start))
    law = fitted(numbers.at(start), seen[1], seen[1])
    assert numbers_of(law).start == pytest.approx(numbers.start, rel=1e-6)


def test_what_is_not_needed_is_left_out(seen):
    ground = Ground(seen[0], nodes_of(seen[0]), ())
    more = replace(
        LAW,
        pair=LAW.pair + f("30*exp(-40000*r)"),
        pairs=LAW.pairs | {"approach": f("1e-9*exp(-r)")},
        node=LAW.node | {"field": (LAW.node["field"][0], LAW.node["field"][1] + f("1e-11*x"))},
    )
    law = trimmed(more, ground)
    assert list(law.pairs) == list(LAW.pairs)
    assert len(numbers_of(law).start) == len(numbers_of(LAW).start)
    assert law_acceleration(law, seen[1]) == pytest.approx(seen[1].acc, abs=1e-9)


@pytest.mark.parametrize("spring", [LAW.pair + f("0.3*r"), f("r") * (LAW.pair / f("r") + f("0.3"))])
def test_terms_that_stand_in_for_each_other_are_not_needed(seen, spring):
    """A spring, its opposite from displaced points and a uniform force, which together are nothing: no data tell. Nor
    do they where the spring stands in a bracket.
    """
    rng = np.random.default_rng(1)
    noisy = seen[0] | {"acc_noise": np.full(len(seen[0]["r"]), 0.02)}
    node = nodes_of(noisy)
    off = 0.02 * rng.normal(size=(len(node.first), 2))
    noisy |= {"acc_i": noisy["acc_i"] + off[node.of_edge]}
    ground = Ground(noisy, node, ())
    more = replace(
        LAW,
        pair=spring,
        pairs=LAW.pairs | {"displaced": About((0.2, -0.1), f("-0.3*s"))},
        node=LAW.node | {"constant_force": np.array([-0.18, 0.09])},
    )
    assert law_acceleration(more, seen[1]) == pytest.approx(seen[1].acc, abs=1e-11)
    numbers = numbers_of(more)
    start = numbers.at(numbers.start * rng.uniform(0.98, 1.02, len(numbers.start)))
    law = without_unsure(fitted(start, ground.many, ground.held), ground)
    assert list(law.pairs) == list(LAW.pairs)
    assert len(numbers_of(law).opened[0].symbols) == len(numbers_of(LAW).opened[0].symbols)
    size = np.linalg.norm(seen[1].acc, axis=1)
    assert np.median(np.linalg.norm(law_acceleration(law, seen[1]) - seen[1].acc, axis=1) / size) < 0.02


@pytest.mark.slow
def test_functions_of_pairs_are_looked_for_again_beside_those_of_others():
    """What splines had taken for a spring between bodies was the other side of one from their wakes."""
    centre = (0.4, -0.2)
    true = Law(f("q_i*q_j/(r + 0.3)^2"), {}, pairs={"displaced": About(centre, f("-0.4*q_i*q_j/(s + 0.3)^2"))})
    edges, data = moved_by(true)
    ground = Ground(edges, nodes_of(edges), (), small=40, large=60, held_out=40)
    first = Law(f("1.3*q_i*q_j/(r + 0.2)"), {}, pairs={"displaced": About(centre, f("-0.2*q_i*q_j/s"))})
    slot = FromDisplaced("displaced", ground.properties, (0.0, 0.3))  # where splines had it, before the fit
    law = again(first, [Radial(RADIAL, ground.properties), slot], ground, ONE)
    assert law_acceleration(law, data) == pytest.approx(data.acc, rel=1e-5, abs=1e-7)
    assert law.pairs["displaced"].centre == pytest.approx(centre, abs=1e-6)


def test_standard_errors_tell_how_far_constants_are_off(seen):
    data = seen[1]
    off = []
    for seed in range(8):
        noise = 0.1 * np.random.default_rng(seed).normal(size=data.acc.shape)
        noisy = replace(data, acc=data.acc + noise, noise=np.full(len(noise), 0.1))
        law = fitted(LAW, noisy, noisy)
        _, told, node = examined(law, noisy, noisy, lambda expr: expr)
        off.append((law.node["magnetic"] - LAW.node["magnetic"]) / node["magnetic"])
        assert len(told["constants"]) == numbers_of(LAW).opened[0].at.stop
    assert 0.4 < np.sqrt(np.mean(np.square(off))) < 1.8


@pytest.mark.parametrize("by", [None, "mass", "charge"])
def test_a_drive_acts_by_what_its_splines_are_of(seen, by):
    block = NodeBlock("constant_force", by, blocks.TIME, None, 2)
    slot, data, u = Drive(block, (), 1, 2), seen[1], f("0.4*cos(3*t)")
    before = replace(LAW, node={k: v for k, v in LAW.node.items() if k != slot.term})
    made = law_acceleration(slot.put(before, u), data) - law_acceleration(before, data)
    wave = 0.4 * np.cos(3 * slot.features(data.seen)["t"])
    expected = data.sum(wave[:, None] * slot.vectors(data.seen, before)) / data.state.mass[:, None]
    assert made == pytest.approx(expected, abs=1e-12)
    assert np.ptp(made[:, 1] * data.state.mass / (data.state.properties[by] if by else 1)) > 0.1
