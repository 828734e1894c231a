"""Many trajectories in lanes, and the forces and energies that are integrated there, against independent answers."""

import os
from dataclasses import replace

import numpy as np
import pytest

from distill.physics import lanes
from distill.physics.acting import Acting
from distill.physics.equations import energies, right_hand_side
from distill.physics.integrate import draw
from distill.physics.system import System, acceleration, energy, power_lost
from distill.physics.systems import SYSTEMS, initial_conditions

KEPLER = System("kepler", lambda r, m_i, m_j, q_i, q_j, xp: -m_i * m_j / r, law="-m_i*m_j/r^2", dt=0.01)


def test_kepler_ellipse():
    """Two bodies, no softening: period and shape from Kepler's equation at every frame."""
    m, semi, e = np.array([1.0, 3.0]), 1.0, 0.6
    total, period = m.sum(), 2 * np.pi * np.sqrt(semi**3 / m.sum())
    frames = 41
    relative = np.array([semi * (1 - e), 0.0])
    speed = np.array([0.0, np.sqrt(total / semi * (1 + e) / (1 - e))])
    weights = np.array([m[1], -m[0]])[:, None] / total  # x_0 - x_1 = relative, centre of mass at rest
    y0 = np.concatenate([(weights * relative).ravel(), (weights * speed).ravel()])[None]
    solve = lanes.make_solver(right_hand_side(KEPLER, 2, 2))
    y, status, _ = solve(y0, np.array([[1.0, 3.0, 0, 0]]), 3 * period / (frames - 1), frames, 1e-12, 1e-12, 9999)
    assert status[0] == lanes.DONE
    pos = y[0, :, :4].reshape(frames, 2, 2)
    mean = 2 * np.pi / period * np.linspace(0, 3 * period, frames)
    eccentric = mean.copy()
    for _ in range(60):
        eccentric -= (eccentric - e * np.sin(eccentric) - mean) / (1 - e * np.cos(eccentric))
    x, z = semi * (np.cos(eccentric) - e), semi * np.sqrt(1 - e**2) * np.sin(eccentric)
    np.testing.assert_allclose(pos[:, 0] - pos[:, 1], np.stack([x, z], -1), atol=1e-9)


def stacked(states):
    return (np.stack(a) for a in zip(*((pos, vel, *p.values()) for pos, vel, p in states), strict=True))


def test_positions_from_accelerations_are_the_same_method():
    """``positions`` only saves arithmetic: the same steps as for a system of first order, the same answer."""
    for name in ("r2", "damped"):  # damped: a force of the velocities, and the work as a third kind of state
        system = SYSTEMS[name]
        drawn = [initial_conditions(system, np.random.default_rng(k), 3, 2) for k in range(6)]
        pos, vel, mass, charge = (a.reshape(6, -1) for a in stacked(drawn))
        y0 = np.concatenate([pos, vel, *[np.zeros((6, 1))] * system.works], axis=1)
        p = np.concatenate([mass, charge], axis=1)
        plain, quick = (
            lanes.make_solver(right_hand_side(system, 3, 2), lanes=8, positions=k)(y0, p, 0.05, 5, 1e-9, 1e-9, 9999)
            for k in (0, 6)
        )
        np.testing.assert_array_equal(plain[2], quick[2])
        np.testing.assert_allclose(plain[0], quick[0], atol=1e-9)
        assert np.abs(plain[0][:, -1] - y0).max() > 0.01


@pytest.mark.parametrize("n", [5, 10, 11])  # pairs one by one, in rounds of an even number and of an odd one
def test_the_lanes_force_is_the_table_s_in_three_dimensions(n):
    for name in ("superposition", "string", "discontinuous"):
        system = SYSTEMS[name]
        compare_with_the_table(system, n, 3)


def compare_with_the_table(system, n, dim):
    states = [initial_conditions(system, np.random.default_rng(k), n, dim) for k in range(3)]
    pos, vel, mass, charge = stacked(states)
    properties, t, half = {"mass": mass, "charge": charge}, np.array([0.0, 0.4, 1.1]), dim * n
    rest = [np.zeros((3, 1))] * system.works + [t[:, None]] * system.in_time
    y = np.concatenate([pos.reshape(3, -1), vel.reshape(3, -1), *rest], axis=1)
    slope = np.asarray(right_hand_side(system, n, dim)(y.T, np.concatenate([mass, charge], 1).T)).T
    expected = acceleration(system, pos, vel, properties, t)
    np.testing.assert_allclose(slope[:, half : 2 * half], expected.reshape(3, -1), rtol=1e-10, atol=1e-10)
    power = power_lost(system, pos, vel, properties, t)
    np.testing.assert_allclose(slope[:, 2 * half] if system.works else 0, power, rtol=1e-9, atol=1e-9)
    assert not system.in_time or (slope[:, -1] == 1).all()


BESIDE = "trap off_centre_well quadratic_drag magnetic non_reciprocal alignment transverse modulated".split()


@pytest.mark.parametrize("n", [5, pytest.param(10, marks=pytest.mark.slow)])
def test_the_lanes_force_is_the_table_s_for_every_term(n):
    terms = [acting for name in BESIDE for acting in SYSTEMS[name].terms]
    law = "-m_j*(1 + 0.5*cos(4*t))/(r + 0.1)"
    further = [Acting("approach", "0.3*m_j/r"), Acting("field", ("sin(t)*q_i", "0.1*x*vx"))]
    compare_with_the_table(System("all", None, law=law, terms=(*terms, *further), held=(0,)), n, 2)
    compare_with_the_table(replace(SYSTEMS["relativistic"], terms=(Acting("drag", 0.2), Acting("magnetic", 1.0))), n, 3)


def test_particles_in_one_place_feel_no_force_of_each_other():
    for n in (3, 12):
        pos, mass = np.zeros((1, n, 2)), np.ones((1, n))
        pos[0, 2:] = np.random.default_rng(0).normal(size=(n - 2, 2))
        y = np.concatenate([pos.reshape(1, -1), np.zeros((1, 2 * n))], axis=1)
        slope = np.asarray(right_hand_side(SYSTEMS["r2"], n, 2)(y.T, np.concatenate([mass, mass], 1).T)).T
        expected = acceleration(SYSTEMS["r2"], pos, 0 * pos, {"mass": mass, "charge": mass}).reshape(1, -1)
        assert np.isfinite(slope).all() and np.abs(expected).max() > 0
        np.testing.assert_allclose(slope[:, 2 * n :], expected, rtol=1e-12, atol=1e-12)


def test_the_lanes_energy_is_the_table_s():
    for name in ("superposition", "string_ball", "damped", "discontinuous"):
        system = SYSTEMS[name]
        y, p = draw(system, 5, 3, 0, range(3))
        y[:, :15] *= 2  # far enough for the springs that act where stretched
        total, size = (np.asarray(a) for a in energies(system, 5, 3, y.T, p.T))
        pos, vel = (a.reshape(3, 5, 3) for a in (y[:, :15], y[:, 15:30]))
        expected = energy(system, pos, vel, {"mass": p[:, :5], "charge": p[:, 5:]})
        np.testing.assert_allclose(total, expected, rtol=1e-10, atol=1e-10)
        assert (size >= np.abs(expected) - 1e-9).all()


@pytest.mark.parametrize("positions", [0, 1])
def test_frames_within_long_steps_are_as_good_as_the_steps(positions):
    """x'' = -x, a frame every 0.01: several dozen in a step, all on the cosine, velocities too."""
    from distill.physics.terms.arrays import import_jax

    jnp = import_jax().numpy
    solver = lanes.make_solver(lambda y, p: jnp.stack([y[1], -p[0] * y[0]]), positions=positions, longest=100)
    y, status, steps = solver(np.array([[1.0, 0.0]]), np.ones((1, 1)), 0.01, 1001, 1e-9, 1e-9, 9999)
    assert status[0] == lanes.DONE and steps[0] < 60
    times = 0.01 * np.arange(1001)
    np.testing.assert_allclose(y[0], np.stack([np.cos(times), -np.sin(times)], axis=-1), atol=2e-8)


def test_steps_pass_no_more_frames_than_allowed():
    """A push shorter than the steps that free flight allows is missed by those, felt by shorter ones."""
    from distill.physics.terms.arrays import import_jax

    jnp = import_jax().numpy

    def rhs(y, p):
        return jnp.stack([y[1], jnp.exp(-(((y[0] - 40.0) / 0.05) ** 2))])

    y0, p = np.array([[0.0, 1.0]]), np.ones((1, 1))
    free, bound = (
        lanes.make_solver(rhs, lanes=8, positions=1, longest=k)(y0, p, 0.1, 601, 1e-9, 1e-9, 9999) for k in (601, 1)
    )
    assert free[2][0] < 50 and bound[2][0] >= 600
    # energy: v^2 rises by twice the integral of the push
    np.testing.assert_allclose(bound[0][0, -1, 1] ** 2, 1 + 2 * 0.05 * np.sqrt(np.pi), rtol=1e-7)


def test_the_hardest_trajectory_starts_first():
    """x'' = -k x with one k far above the others, last in the queue: no more rounds than it needs alone."""
    from distill.physics.terms.arrays import import_jax

    jnp, order = import_jax().numpy, []

    def rhs(y, p):
        return jnp.stack([y[1], -p[0] * y[0]])

    solver = lanes.make_solver(rhs, lanes=2, iterations=8, positions=1)
    y0, p = np.tile([1.0, 0.0], (40, 1)), np.ones((40, 1))
    p[-1] = 1e4
    y, status, steps = solver(y0, p, 0.2, 6, 1e-9, 1e-9, 9999, order.append)
    assert (status == lanes.DONE).all() and steps[-1] > 10 * steps[0]
    times = 0.2 * np.arange(6)
    np.testing.assert_allclose(y[0, :, 0], np.cos(times), atol=1e-7)
    np.testing.assert_allclose(y[-1, :, 0], np.cos(100 * times), atol=1e-5)
    # Had it begun last, its steps would have come after all others: 2 lanes, 8 steps a round.
    assert len(order) < (steps[:-1].sum() / 2 + steps[-1]) / 8


@pytest.mark.parametrize("slope, code", [("blow", lanes.UNDERFLOW), ("nan", lanes.NOT_FINITE)])
def test_failures_are_told_apart(slope, code):
    from distill.physics.terms.arrays import import_jax

    jnp = import_jax().numpy
    # y' = y^2 from 1 is infinite at t = 1
    rhs = {"blow": lambda y, p: y * y, "nan": lambda y, p: jnp.where(y > 1.2, jnp.nan, y)}[slope]
    y0 = np.array([[1.0], [0.01]])
    y, status, steps = lanes.make_solver(rhs)(y0, np.ones((2, 1)), 0.25, 9, 1e-9, 1e-9, 5000)
    assert status[0] in (code, lanes.NOT_FINITE) and status[1] == lanes.DONE
    assert np.isnan(y[0, -1]).all() and np.isfinite(y[1]).all()
    assert np.isfinite(y[0, 0]).all()


def test_xla_is_asked_for_whole_loops_beside_what_the_user_asks(monkeypatch):
    from distill.physics.terms.arrays import LOOPS_WHOLE, import_jax

    for given, expected in {
        None: LOOPS_WHOLE,
        "--xla_cpu_enable_fast_math=true": f"{LOOPS_WHOLE} --xla_cpu_enable_fast_math=true",
        "--xla_backend_extra_options=a=b": "--xla_backend_extra_options=a=b",
    }.items():
        monkeypatch.delenv("XLA_FLAGS", raising=False) if given is None else monkeypatch.setenv("XLA_FLAGS", given)
        for _ in range(2):
            import_jax()
            assert os.environ["XLA_FLAGS"] == expected
