"""Rollouts: the solver against Kepler and scipy, and what is said of trajectories under a law."""

import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from distill import rollout
from distill.expressions import parse
from distill.law import VARIABLES, Law
from distill.systems import SYSTEMS, acceleration, energy

CHARGE = SYSTEMS["charge"]


def random_states(graphs, n=4, dim=2, seed=0):
    """pos, vel [graph, particle, dim]; mass, charge [graph, particle]."""
    rng = np.random.default_rng(seed)
    pos, vel = rng.standard_normal((2, graphs, n, dim))
    return pos, vel, np.exp(rng.standard_normal((graphs, n))), np.sign(rng.standard_normal((graphs, n)))


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


@pytest.mark.parametrize("name", ["spring", "damped", "string"])
def test_a_true_law_follows_the_truth_and_keeps_the_energy(name):
    system = SYSTEMS[name]
    node = {"drag": system.drag} if system.drag else {}
    node |= {"constant_acceleration": np.array([0.0, -1.0])} if system.external else {}
    law = Law(parse(system.law, VARIABLES), node, system.neighbours_only)
    pos, vel, mass, charge = random_states(3)
    vel[:, list(system.held)] = 0.0
    pos = pos + 3 * np.arange(4)[:, None]  # no close encounters
    wrong = Law(parse(f"1.3*({system.law})", VARIABLES), node, system.neighbours_only)
    out = rollout.compare(system, law.acceleration, wrong.acceleration, pos, vel, mass, charge, 0.5, 2, frames=21)
    models = out["models"]
    assert max(models["law"]["position_error"]["median"]) < 1e-7
    assert models["law"]["final_energy_drift_median"] < 1e-8
    assert models["truth"]["final_energy_drift_median"] < 1e-8  # with drag: energy and work against it
    assert models["gnn"]["final_energy_drift_median"] > 1e-3
    assert models["law"]["followed_for"] == 1.0 and not models["law"]["failed"]
    json.dumps(out, allow_nan=False)


def test_held_particles_stay_in_rollouts():
    system = SYSTEMS["string"]
    pos, vel, mass, charge = random_states(2)
    vel[:, 0] = 0.0
    ones = lambda *state: np.ones(state[0].shape)  # noqa: E731
    found = rollout.roll(system, ones, pos, vel, mass, charge, np.linspace(0, 1, 3), 1e-6)
    np.testing.assert_array_equal(found["pos"][:, -1, 0], pos[:, 0])
    np.testing.assert_allclose(found["pos"][:, -1, 1:], pos[:, 1:] + vel[:, 1:] + 0.5)


def test_position_error_and_energy_drift_are_what_they_say():
    pos, vel, mass, charge = random_states(1)
    rest = lambda *state: 0 * state[0]  # noqa: E731
    truth = lambda *state: acceleration(CHARGE, *state)  # noqa: E731
    out = rollout.compare(CHARGE, rest, rest, pos, vel, mass, charge, 0.1, 1, frames=2)["models"]["law"]
    t = np.array([0.0, 0.1])
    reached = rollout.roll(CHARGE, truth, pos, vel, mass, charge, t, 1e-9)["pos"][:, -1]
    moved = pos + 0.1 * vel
    centre = (mass[..., None] * pos).sum(1, keepdims=True) / mass.sum()
    size = np.sqrt(((pos - centre) ** 2).sum(-1).mean())
    expected = np.sqrt(((moved - reached) ** 2).sum(-1).mean()) / size
    assert out["position_error"]["median"][-1] == pytest.approx(expected, rel=1e-6)
    i, j = np.triu_indices(4, 1)
    r = np.linalg.norm(pos[:, i] - pos[:, j], axis=-1)
    scale = (0.5 * mass * (vel**2).sum(-1)).sum() + (1 / (r + 0.01)).sum()
    change = energy(CHARGE, moved, vel, mass, charge) - energy(CHARGE, pos, vel, mass, charge)
    assert out["energy_drift"]["median"][-1] == pytest.approx(abs(change[0]) / scale, rel=1e-6)
