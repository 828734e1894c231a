"""Rollouts: the solver against Kepler and scipy, and what is said of trajectories under a law."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.generalization import rollout
from distill.physics.law import Law
from distill.physics.system import acceleration, energy
from distill.physics.systems import SYSTEMS

CHARGE = SYSTEMS["charge"]


def random_states(graphs, n=4, dim=2, seed=0):
    """pos, vel [graph, particle, dim]; properties [graph, particle]."""
    rng = np.random.default_rng(seed)
    pos, vel = rng.standard_normal((2, graphs, n, dim))
    mass, charge = np.exp(rng.standard_normal((graphs, n))), np.sign(rng.standard_normal((graphs, n)))
    return pos, vel, {"mass": mass, "charge": charge}


def test_solver_follows_kepler_as_scipy_does():
    def kepler(y):
        r = np.linalg.norm(y[:, :2], axis=1)[:, None]
        return np.concatenate([y[:, 2:], -y[:, :2] / r**3], 1)

    eccentricity = np.array([0.0, 0.3, 0.8])
    y0 = np.zeros((3, 4))
    y0[:, 0], y0[:, 3] = 1 - eccentricity, np.sqrt((1 + eccentricity) / (1 - eccentricity))
    t = np.linspace(0, 2 * np.pi, 9)
    found = rollout.solve(lambda y, lanes: kepler(y), y0, t, 1e-10, 1e-10)
    np.testing.assert_allclose(found.y[:, -1], y0, atol=1e-7)  # the period is 2 pi whatever the eccentricity
    for k in range(3):
        reference = solve_ivp(lambda _, y: kepler(y[None])[0], (0, t[-1]), y0[k], "DOP853", t, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.y[k], reference.y.T, atol=1e-7)
    assert found.failed == ["", "", ""] and found.steps[2] > found.steps[0]


def test_solver_gives_up_with_a_reason_instead_of_hanging():
    t = np.linspace(0, 2.0, 5)
    blow_up = rollout.solve(lambda y, lanes: y**2, np.array([[1.0], [0.1]]), t, 1e-8, 1e-8)  # pole at t = 1
    assert blow_up.failed[0] and not blow_up.failed[1]
    assert np.isnan(blow_up.y[0, -1]).all() and blow_up.y[1, -1, 0] == pytest.approx(0.1 / 0.8)
    nan = rollout.solve(lambda y, lanes: np.nan * y, np.ones((1, 1)), t, 1e-8, 1e-8)
    assert nan.failed == ["step size vanished"]
    budget = rollout.solve(lambda y, lanes: 1e6 * np.cos(1e6 * y), np.ones((1, 1)), t, 1e-8, 1e-8, max_steps=20)
    assert budget.failed == ["more than 20 steps"]


def test_law_and_network_are_given_up_by_steps_and_the_truth_is_not():
    """Whatever the clock says: the same on every machine."""
    system, rng = SYSTEMS["spring"], np.random.default_rng(0)
    pos, vel, own = (
        rng.normal(size=(2, 3, 2)),
        np.zeros((2, 3, 2)),
        {"mass": np.ones((2, 3)), "charge": np.ones((2, 3))},
    )
    truth = functools.partial(rollout.acceleration, system)
    found = rollout.compare(system, truth, truth, pos, vel, own, 1.0, 3, frames=5, max_steps=2)["models"]
    for name in ("law", "gnn"):
        assert [one["why"] for one in found[name]["failed"]] == ["more than 2 steps"] * 2 and found[name][
            "steps_max"
        ] == 2
    assert not found["truth"]["failed"] and not found["truth_loose"]["failed"]


@pytest.mark.parametrize("name", ["spring", "damped", "string"])
def test_a_true_law_follows_the_truth_and_keeps_the_energy(name):
    system = SYSTEMS[name]
    node = {"drag": system.drag} if system.drag else {}
    node |= {"constant_acceleration": np.array([0.0, -1.0])} if system.external else {}
    law = Law(parse(system.law, VARIABLES), node, system.neighbours_only)
    pos, vel, properties = random_states(3)
    vel[:, list(system.held)] = 0.0
    pos = pos + 3 * np.arange(4)[:, None]  # no close encounters
    wrong = Law(parse(f"1.3*({system.law})", VARIABLES), node, system.neighbours_only)
    out = rollout.compare(system, law.acceleration, wrong.acceleration, pos, vel, properties, 0.5, 2, frames=21)
    models = out["models"]
    assert max(models["law"]["position_error"]["median"]) < 1e-4  # at the tolerance of both
    assert models["law"]["final_energy_drift_median"] < 1e-5
    assert models["truth"]["final_energy_drift_median"] < 1e-8  # with drag: energy and work against it
    assert models["gnn"]["final_energy_drift_median"] > 1e-3
    assert models["law"]["rtol"] == models["gnn"]["rtol"] == rollout.TOLERANCE
    assert models["law"]["followed_for"] == 1.0 and not models["law"]["failed"]
    json.dumps(out, allow_nan=False)


def test_held_particles_stay_in_rollouts():
    system = SYSTEMS["string"]
    pos, vel, properties = random_states(2)
    vel[:, 0] = 0.0
    ones = lambda *state: np.ones(state[0].shape)  # noqa: E731
    found = rollout.roll(system, ones, pos, vel, properties, np.linspace(0, 1, 3), 1e-6)
    np.testing.assert_array_equal(found["pos"][:, -1, 0], pos[:, 0])
    np.testing.assert_allclose(found["pos"][:, -1, 1:], pos[:, 1:] + vel[:, 1:] + 0.5)


def test_position_error_and_energy_drift_are_what_they_say():
    pos, vel, properties = random_states(1)
    rest = lambda *state: 0 * state[0]  # noqa: E731
    truth = lambda *state: acceleration(CHARGE, *state)  # noqa: E731
    out = rollout.compare(CHARGE, rest, rest, pos, vel, properties, 0.1, 1, frames=2)["models"]["law"]
    t = np.array([0.0, 0.1])
    reached = rollout.roll(CHARGE, truth, pos, vel, properties, t, 1e-9)["pos"][:, -1]
    moved = pos + 0.1 * vel
    mass = properties["mass"]
    centre = (mass[..., None] * pos).sum(1, keepdims=True) / mass.sum()
    size = np.sqrt(((pos - centre) ** 2).sum(-1).mean())
    expected = np.sqrt(((moved - reached) ** 2).sum(-1).mean()) / size
    assert out["position_error"]["median"][-1] == pytest.approx(expected, rel=1e-6)
    i, j = np.triu_indices(4, 1)
    r = np.linalg.norm(pos[:, i] - pos[:, j], axis=-1)
    scale = (0.5 * mass * (vel**2).sum(-1)).sum() + (1 / (r + 0.01)).sum()
    change = energy(CHARGE, moved, vel, properties) - energy(CHARGE, pos, vel, properties)
    assert out["energy_drift"]["median"][-1] == pytest.approx(abs(change[0]) / scale, rel=1e-6)


# ---------------------------------------------------------------- momentum and angular momentum

SPRING = SYSTEMS["spring"]


def rolled_out(system, law, wrong, dim=2, graphs=2, horizon=0.6):
    """``rollout.compare`` of a law and, in place of the network, a wrong one; particles well apart."""
    pos, vel, properties = random_states(graphs, dim=dim)
    vel[:, list(system.held)] = 0.0
    pos = pos + 3 * np.arange(4)[:, None]
    return rollout.compare(system, law, wrong, pos, vel, properties, horizon, 1, frames=7), (
        pos,
        vel,
        properties["mass"],
    )


@pytest.mark.parametrize("dim", [2, 3])
def test_pair_forces_along_the_line_of_centres_conserve_both_momenta(dim):
    law = Law(parse("-1.7*r + 1.2", VARIABLES))  # not the true law: conserved all the same
    uneven = Law(parse("-2*m_i*(r - 0.99)", VARIABLES))  # action is not reaction
    out, _ = rolled_out(SPRING, law.acceleration, uneven.acceleration, dim)
    for key in ("momentum_drift", "angular_momentum_drift"):
        found = {k: one[f"final_{key}_median"] for k, one in out["models"].items()}
        assert max(found["truth"], found["law"]) < 1e-8 and found["gnn"] > 1e-3
        assert out["models"]["law"][key]["median"][0] == 0 and len(out["models"]["law"][key]["upper"]) == 7
    assert out["momentum_drift_is"] == rollout.MOMENTUM_IS
    json.dumps(out, allow_nan=False)


def test_momentum_drifts_are_those_of_the_closed_form():
    """Two bodies: a "law" that pushes both alike and a "network" that turns them, scaled by the true motion."""
    pos = np.array([[[0.0, 0.0], [2.0, 0.0]]])
    vel = np.array([[[0.0, 1.0], [0.0, -1.0]]])
    mass = np.array([[1.0, 3.0]])
    properties = {"mass": mass, "charge": np.ones((1, 2))}
    push = lambda *state: np.broadcast_to([0.3, 0.0], state[0].shape)  # noqa: E731
    turn = lambda x, v, p: np.array([0.0, 0.2]) * np.array([[1.0], [-1.0]]) / p["mass"][..., None]  # noqa: E731
    t = np.linspace(0, 0.5, 3)
    out = rollout.compare(SPRING, push, turn, pos, vel, properties, t[-1], 1, frames=3)
    truth = rollout.roll(SPRING, lambda *s: acceleration(SPRING, *s), pos, vel, properties, t, 1e-9)
    speed = np.linalg.norm(truth["vel"][0], axis=-1)  # [frame, particle]
    momentum = (mass * speed).sum(1).mean()
    away = truth["pos"][0] - (mass[..., None] * pos).sum(1) / mass.sum()
    angular = (mass * np.linalg.norm(away, axis=-1) * speed).sum(1).mean()
    law, gnn = out["models"]["law"], out["models"]["gnn"]
    # a common acceleration of 0.3 along x: M g t; and the centre of mass, of height -0.5 t, feels -M g y
    assert law["final_momentum_drift_median"] == pytest.approx(4 * 0.3 * 0.5 / momentum, rel=1e-6)
    assert law["final_angular_momentum_drift_median"] == pytest.approx(0.3 * 0.5**2 / angular, rel=1e-6)
    # equal and opposite forces across the line of centres: momentum stays, the torque is -0.2 times the distance 2
    assert gnn["final_momentum_drift_median"] < 1e-9
    assert gnn["final_angular_momentum_drift_median"] == pytest.approx(0.4 * 0.5 / angular, rel=1e-6)


def test_what_drag_takes_of_the_momentum_is_added_back():
    system = SYSTEMS["damped"]
    law = Law(parse(system.law, VARIABLES), {"drag": 0.5})
    undamped = Law(parse(system.law, VARIABLES))
    out, (pos, vel, mass) = rolled_out(system, law.acceleration, undamped.acceleration)
    found = {k: one["final_momentum_drift_median"] for k, one in out["models"].items()}
    assert found["truth"] < 1e-8 and found["law"] < 1e-8 and found["gnn"] > 1e-2
    assert all(one["angular_momentum_drift"] is None for one in out["models"].values())
    assert "drag" in out["angular_momentum_drift_is"] and "added" in out["momentum_drift_is"]


@pytest.mark.parametrize("name, why", [("string", "outside field"), ("string_ball", "outside field")])
def test_momenta_that_are_not_conserved_are_null(name, why):
    rest = lambda *state: 0 * state[0]  # noqa: E731
    out, _ = rolled_out(SYSTEMS[name], rest, rest, graphs=1, horizon=0.1)
    for key in ("momentum_drift", "angular_momentum_drift"):
        assert why in out[f"{key}_is"]
        for one in out["models"].values():
            assert one[key] is None and one[f"final_{key}_median"] is None
    held = replace(SPRING, held=(0,))
    assert "held" in rolled_out(held, rest, rest, graphs=1, horizon=0.1)[0]["momentum_drift_is"]
