"""Splines of every term of a law, against worlds in which each of them acts beside gravity."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill.files.dataset import Dataset
from distill.files.kinds import DatasetRecord, SystemRecord
from distill.files.scales import Scales
from distill.formulas.text import parse, to_text
from distill.formulas.units import Units
from distill.law.further.composition import composed
from distill.law.further.slots import slots
from distill.law.receivers import law_error
from distill.law.selection import Ground
from distill.law.verdict import of_terms
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law
from distill.splines.blocks import candidates, pointed_to, with_motion
from distill.splines.dependence import ANY, GIVEN
from distill.splines.fit import fit_pair_force
from distill.splines.normal_equations import table
from distill.splines.observations import observations
from distill.splines.pair_spline import Further


def world(extra=None, gravity=lambda own, other: own * other, n=3, count=60, frames=20, seed=0, noise=0.0, dim=2):
    """States at random, whose forces are those of ``gravity`` over (r + 0.2)^2 and ``extra(e, r, dv, pos, vel, t)``."""
    rng = np.random.default_rng([seed, 17])
    t = np.linspace(0, 6, frames)
    pos, vel = rng.normal(0, 1.2, (2, count, frames, n, dim))
    mass = np.exp(0.5 * rng.standard_normal((count, n)))
    dx, dv = (a[..., :, None, :] - a[..., None, :, :] for a in (pos, vel))
    r = np.linalg.norm(dx, axis=-1) + np.eye(n)
    e, apart = dx / r[..., None], 1 - np.eye(n)
    own, other = np.broadcast_arrays(mass[:, None, :, None], mass[:, None, None, :])
    force = (-apart * gravity(own, other) / (r + 0.2) ** 2)[..., None] * e
    if extra is not None:
        force = force + apart[..., None] * extra(e, r[..., None], dv, pos[..., :, None, :], vel[..., :, None, :], t)
    acc = force.sum(-2) / mass[:, None, :, None]
    acc *= 1 + noise * rng.standard_normal(acc.shape)
    split = np.where(np.arange(count) % 6, 0, 2)
    arrays = {"pos": pos, "vel": vel, "acc": acc, "mass": mass, "charge": 0 * mass, "split": split, "t": t}
    return Dataset("x", Path("x.npz"), arrays, DatasetRecord(system=SystemRecord(), n=n, dim=dim))


def turned(e):
    return e[..., ::-1] * np.array([-1.0, 1.0])


def shared(vector, n=3):
    """A force on a particle, in parts for each of the others."""
    return vector / (n - 1)


def driven(t):
    return np.stack([np.cos(2 * t), 0 * t], -1)[:, None, None]


WORLDS = {
    "relative_velocity, 1": lambda e, r, dv, pos, vel, t: -0.5 * np.exp(-r) * dv,
    "approach, 1": lambda e, r, dv, pos, vel, t: -np.exp(-r) * (dv * e).sum(-1, keepdims=True) * e,
    "transverse, 1": lambda e, r, dv, pos, vel, t: 0.5 / (r + 0.3) * turned(e),
    "magnetic, 1": lambda e, r, dv, pos, vel, t: shared(-0.8 * turned(vel)),
    "field, 1, of the place": lambda e, r, dv, pos, vel, t: shared(-0.8 * (pos - np.array([0.4, -0.3]))),
    "drag, 1, of the speed": lambda e, r, dv, pos, vel, t: shared(
        -0.3 * vel * np.linalg.norm(vel, axis=-1, keepdims=True)
    ),
    "constant_force, 1, of time": lambda e, r, dv, pos, vel, t: shared(driven(t) + 0 * pos),
    "radial, of time": lambda e, r, dv, pos, vel, t: -0.5 * np.cos(2 * t)[:, None, None, None] / (r + 0.2) ** 2 * e,
}


def fitted(data: Dataset, kinds=(GIVEN, ANY)):
    edges = with_motion(observations(data, "train"), data)
    return fit_pair_force(edges, nodes_of(edges), 0, kinds)


def error(found, data: Dataset) -> float:
    edges = with_motion(observations(data, "test"), data)
    nodes = nodes_of(edges)
    true = edges["acc_i"][nodes.first]
    off = np.linalg.norm(found.accelerations(edges, nodes)[nodes.first] - true, axis=1)
    return float(np.median(off / np.linalg.norm(true, axis=1)))


@pytest.mark.slow  # the relative velocity is found below
@pytest.mark.parametrize("name", WORLDS)
def test_each_term_is_found_alone(name):
    alike = (lambda own, other: 1.0 + 0 * own) if name == "radial, of time" else (lambda own, other: own * other)
    data = world(WORLDS[name], alike)
    found = fitted(data)
    assert [one.block.name for one in found.further] == [name]
    assert error(found, data) < 2e-3
    assert error(fitted(data, (GIVEN,)), data) > 0.02


def test_a_force_that_does_not_answer_is_one_sided():
    data = world(gravity=lambda own, other: other)
    found = fitted(data)
    assert (found.dependence.names, found.further) == (["m_j"], [])
    edges = observations(data, "test")
    assert found.one_sided(edges) > 0.1 > fitted(world(), (GIVEN,)).one_sided(edges)
    assert error(found, data) < 1e-4


def test_noise_alone_is_no_term():
    found = fitted(world(noise=0.1))
    assert (found.dependence.names, found.further) == (["m_i*m_j"], [])


def test_without_motion_no_term_is_tried():
    data = world(WORLDS["relative_velocity, 1"])
    edges = observations(data, "train")
    assert fit_pair_force(edges, nodes_of(edges), 0, (GIVEN, ANY)).further == []


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("push, uniform", [(lambda s: -2 * s, 0.0), (lambda s: np.exp(-s), 0.0), (np.cos, 3.0)])
def test_the_point_of_a_field_is_found_beside_a_uniform_force(push, uniform, dim):
    pos, centre = np.random.default_rng(3).normal(0, 2, (400, dim)), np.arange(1.0, dim + 1)
    away = pos - centre
    s = np.linalg.norm(away, axis=1, keepdims=True)
    force = push(s) * away / s + uniform * np.eye(dim)[0]
    np.testing.assert_allclose(pointed_to(pos, force), centre, atol=1e-9)


@pytest.mark.slow
def test_a_magnetic_field_in_space_has_a_direction():
    field = np.array([0.5, 0.0, -1.2])
    data = world(lambda e, r, dv, pos, vel, t: shared(np.cross(vel, field)), dim=3)
    edges = with_motion(observations(data, "train"), data)
    nodes = nodes_of(edges)
    found = fit_pair_force(edges, nodes, 0, (GIVEN, ANY))
    assert [one.block.name for one in found.further] == ["magnetic, 1"]
    edges["acc_pred_i"] = found.accelerations(edges, nodes)
    law, _, errors = composed(
        Law(parse("-m_i*m_j/(r + 0.2)^2", ("r", "m_i", "m_j"))), found.further, Ground(edges, nodes, ())
    )
    np.testing.assert_allclose(law.node["gyration"], field, atol=1e-9)
    assert len(errors["gyration"]) == 3


WALL = "central, 1, of the distance from a point"


@pytest.mark.parametrize(
    "names, unit",
    [
        pytest.param([WALL], 1.0, marks=pytest.mark.slow),
        ([WALL, "field, 1, of the place", "constant_force, 1, of time"], 1e-13),
        pytest.param([WALL, "field, 1, of the place", "constant_force, 1, of time"], 1e6, marks=pytest.mark.slow),
    ],
)
def test_a_wall_about_a_point_is_one_however_splines_tell_it(names, unit):
    centre = np.array([1.5, -2.0])

    def wall(e, r, dv, pos, vel, t):
        s = np.linalg.norm(pos - centre, axis=-1, keepdims=True)
        return shared(20 / (1 + np.exp((s - 1) / 0.1)) * (pos - centre) / s - np.array([0.0, 1.0]))

    data = world(wall)
    data.arrays["acc"] *= unit
    edges = with_motion(observations(data, "train"), data)
    nodes = nodes_of(edges)
    edges["acc_pred_i"] = edges["acc_i"]
    units = Units.of_scales(Scales(1.0, unit**-0.5))
    ground = Ground(edges, nodes, (), 0, units=units)
    start = Law(unit * parse("-m_i*m_j/(r + 0.2)^2", ("r", "m_i", "m_j")))
    start = replace(start, node={"constant_force": unit * np.array([0.1, -1.2])})
    seen = table(edges, nodes, 0)
    left = seen.target - seen.sum(start.radial(**seen.ends)[:, None] * seen.unit)
    terms = [block for block in candidates(seen, (), [], 1.0, left=left) if block.name in names]
    law, known, _ = composed(
        start, [Further(block, np.full(block.size, 0.01 * unit)) for block in terms], ground, units
    )
    assert law_error(law, ground.held) < 1e-9
    np.testing.assert_allclose(law.node["central"].centre, centre, atol=1e-6)
    np.testing.assert_allclose(law.node["constant_force"], [0, -unit], atol=1e-9 * unit)
    assert set(law.node) == {"central", "constant_force"}
    (function,) = known["functions"]
    assert [c["symbol"] for c in function["constants"]][-2:] == ["centre, x", "centre, y"]


@pytest.mark.parametrize(
    "dim, central, names", [(2, True, ["central"]), (2, False, ["field, x", "field, y"]), (1, True, ["field, x"])]
)
def test_one_function_stands_for_blocks_that_differ_by_a_property(dim, central, names):
    data = world(dim=dim)
    edges = with_motion(observations(data, "train"), data) | {"acc_pred_i": observations(data, "train")["acc_i"]}
    ground = Ground(edges, nodes_of(edges), (), 0)
    of_place = [b for b in candidates(table(edges, nodes_of(edges), 0), (), [], 1.0) if b.name.startswith("field")]
    assert [block.by for block in of_place] == [None, "mass"]
    at = np.meshgrid(*(np.linspace(-1, 1, axis.size) for axis in of_place[0].basis.axes), indexing="ij")
    values = np.concatenate([(along if central else 1 + 0 * along).ravel() for along in at])
    assert [slot.name for slot in slots([Further(block, values) for block in of_place], ground)] == names


def test_formulas_take_the_place_of_splines():
    data = world(WORLDS["relative_velocity, 1"])
    edges = with_motion(observations(data, "train"), data)
    nodes = nodes_of(edges)
    found = fit_pair_force(edges, nodes, 0, (GIVEN, ANY))
    edges["acc_pred_i"] = found.accelerations(edges, nodes)
    units = Units.of_scales(Scales(2.0, 0.5, {"mass": 3.0}))
    ground = Ground(edges, nodes, (), 0, units=units)
    start = Law(parse("-1.02*m_i*m_j/(r + 0.21)^2", ("r", "m_i", "m_j")))
    law, known, _ = composed(start, found.further, ground, units)
    (function,) = known["functions"]
    assert (function["term"], function["form"]) == ("relative_velocity", "c0 * exp(-r)")
    assert [c["value"] for c in function["constants"]] == pytest.approx([0.5], rel=1e-9)
    assert all(0 <= c["standard_error"] < 1e-9 for c in function["constants"])
    assert to_text(law.pair) == "-m_i * m_j / (r + 0.2)^2"
    assert {name: to_text(f) for name, f in law.pairs.items()} == {"relative_velocity": "0.5 * exp(-r)"}
    assert law_error(law, ground.held) < 1e-12
    names = ("r", "m_i", "m_j")
    truth = Law(parse("-m_i*m_j/(r + 0.2)^2", names), pairs={"relative_velocity": parse("0.5*exp(-r)", names)})
    assert of_terms(law, truth, ground.held)["recovered"]
    for wrong, why in (
        ({"relative_velocity": parse("0.51*exp(-r)", names)}, "constants"),
        ({"relative_velocity": parse("0.5/(1 + r)", names)}, "form"),
        ({}, "form"),
        (law.pairs | {"transverse": parse("0.001/r", names)}, "form"),
    ):
        assert why in of_terms(replace(law, pairs=wrong), truth, ground.held)["failed"]
    dragged = of_terms(replace(law, node={"drag": 0.01}), truth, ground.held)
    assert "node terms" in dragged["failed"] and not dragged["recovered"]
