"""Symplectic rollouts: order, reversibility, area, steps chosen by the energy, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.generalization.flows import force_of
from distill.generalization.symplectic import STAGES, Flow, follow, roll, step
from distill.physics.law import Law


def oscillator(separable=True, tolerance=1e-9):
    """H = sum p^2/(2 m) + q^2/2, or with a term q p in it."""
    mix = 0.0 if separable else 0.3

    def motion(q, p, properties):
        mass = properties["mass"][..., None]
        return p / mass + mix * q, (0.5 * p**2 / mass + mix * q * p).sum((1, 2))

    return Flow(motion, lambda q, p, properties: (-q - mix * p, 0.5 * (q**2).sum((1, 2))), separable, tolerance)


START = np.array([[[1.0, 0.3]]]), np.array([[[0.2, -0.5]]]), {"mass": np.array([[2.0]])}
ONE = np.ones(1)


def copies(q, p, own):
    return q.copy(), p.copy(), own


@pytest.mark.parametrize("separable", [True, False])
def test_halved_steps_err_by_the_sixth_power(separable):
    flow, (q, p, _) = oscillator(separable), START
    t, mix = np.array([0.0, 2.0]), 0.0 if separable else 0.3
    values, vectors = np.linalg.eig(np.array([[mix, 1 / 2.0], [-1.0, -mix]]) * 2.0)
    true = (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real @ np.stack([q[0, 0], p[0, 0]])
    errors = [np.abs(follow(flow, *copies(*START), t, n, 1e9 * ONE)[0][0, -1, 0] - true[0]).max() for n in (2, 4)]
    assert 40 < errors[0] / errors[1] < 90 and sum(STAGES) == pytest.approx(1)


@pytest.mark.parametrize("separable", [True, False])
def test_a_step_keeps_areas_at_any_pace(separable):
    """The Jacobian of a step is symplectic, whatever the pace, on the surface of one energy or between several."""
    flow, size = oscillator(separable), 1e-5

    def pace(kinetic, potential):
        return 1 / np.sqrt(1 + (kinetic - 0.3 if potential is None else 0.4 - potential) ** 2)

    def mapped(state):
        q, p, spent = step(
            flow, state[None, None, :1], state[None, None, 1:], {"mass": np.array([[2.0]])}, 0.5 * ONE, pace
        )
        return np.array([q[0, 0, 0], p[0, 0, 0]]), spent[0]

    at, sides = np.array([0.7, -0.4]), np.eye(2) * size
    slope = np.stack([(mapped(at + side)[0] - mapped(at - side)[0]) / (2 * size) for side in sides], 1)
    assert np.linalg.det(slope) == pytest.approx(1, abs=1e-8)
    assert (mapped(at)[1] < 0.5) == separable


def test_it_runs_back_to_where_it_began():
    flow = oscillator(False)
    there = follow(flow, *copies(*START), np.array([0.0, 3.0]), 3, ONE)
    back = follow(flow, there[0][:, -1], there[1][:, -1], START[2], np.array([3.0, 0.0]), 3, ONE)
    assert np.allclose(back[0][:, -1], START[0], atol=1e-10) and np.allclose(back[1][:, -1], START[1], atol=1e-10)


def test_every_start_has_the_step_that_it_needs_and_energy_does_not_wander():
    """A slow and a fast oscillator, in turns of hundreds of periods: errors stay where they are."""
    own = {"mass": np.array([[1.0], [0.01]])}
    q, v = np.array([[[1.0]], [[1.0]]]), np.zeros((2, 1, 1))
    t = np.linspace(0, 30, 61)
    found = roll(oscillator(), q, v, own, t, np.array([0.5, 0.5]))
    assert found["steps"][0] < found["steps"][1] and (found["drift"].max(1) < 1e-9).all()
    assert found["drift"][1, 31:].max() < 3 * found["drift"][1, 1:31].max()
    assert np.allclose(found["pos"][0, :, 0, 0], np.cos(t), atol=1e-6)
    assert (q == 1).all()  # the starts are as they were
    again = roll(replace(oscillator(tolerance=0.0), most=60), q, v, own, t[:3], np.array([0.5, 0.5]))
    assert (again["steps"] <= 2).all()  # two tries each: of 18 and 36 stages


def test_close_encounters_cost_few_steps():
    """Kepler's orbit of eccentricity 0.999: at the usual pace the same steps lose it."""

    def force(q, p, own):
        r = np.linalg.norm(q, axis=-1)
        return -q / r[..., None] ** 3, -(1 / r).sum(1)

    flow = Flow(lambda q, p, own: (p.copy(), 0.5 * (p**2).sum((1, 2))), force)
    q, p, own = np.array([[[1.999, 0.0]]]), np.array([[[0.0, np.sqrt(2 / 1.999 - 1)]]]), {"mass": np.ones((1, 1))}
    t = np.linspace(0, 2 * np.pi, 9)
    slow, plain = (follow(flow, *copies(q, p, own), t, 16, size * ONE) for size in (0.5, 1e9))
    assert np.allclose(slow[0][0, -1], q[0], atol=1e-4) and not np.allclose(plain[0][0, -1], q[0], atol=1.0)


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize("text", ["-1.3*m_i*m_j/(r + 0.01)^2 + 0.2*q_i*q_j*exp(-r)", "1.98 - 2*r"])
def test_a_laws_force_is_the_slope_of_its_energy_and_what_it_does_to_bodies(text, chain):
    law = Law(parse(text, VARIABLES), chain=chain)
    rng, size = np.random.default_rng(3), 1e-6
    q = rng.normal(size=(2, 4, 3))
    own = {"mass": rng.uniform(0.5, 2.0, (2, 4)), "charge": rng.normal(size=(2, 4))}
    function = force_of(law, 4)
    force, energy = function(q, own)
    assert np.allclose(force, own["mass"][..., None] * law.acceleration(q, 0 * q, own), rtol=1e-12, atol=1e-13)
    for lane, particle, axis in np.ndindex(q.shape):
        aside = np.zeros_like(q)
        aside[lane, particle, axis] = size
        slope = (function(q + aside, own)[1] - function(q - aside, own)[1])[lane] / (2 * size)
        assert slope == pytest.approx(-force[lane, particle, axis], rel=1e-6, abs=1e-8)
    assert energy.shape == (2,) and abs(force.sum(1)).max() < 1e-12
