"""Symplectic rollouts: order, reversibility, steps chosen by the energy, against a closed form."""

from dataclasses import replace

import numpy as np
import pytest

from distill.generalization.symplectic import STAGES, Flow, follow, roll


def oscillator(separable=True, tolerance=1e-9):
    """H = sum p^2/(2 m) + q^2/2, or with a term q p in it."""
    mix = 0.0 if separable else 0.3
    return Flow(
        lambda q, p, properties: p / properties["mass"][..., None] + mix * q,
        lambda q, p, properties: -q - mix * p,
        lambda q, p, properties: 0.5 * (p**2 / properties["mass"][..., None] + q**2 + 2 * mix * q * p).sum((1, 2)),
        separable,
        tolerance,
    )


START = np.array([[[1.0, 0.3]]]), np.array([[[0.2, -0.5]]]), {"mass": np.array([[2.0]])}


@pytest.mark.parametrize("separable", [True, False])
def test_halved_steps_err_by_the_sixth_power(separable):
    flow, (q, p, own) = oscillator(separable), START
    t, mix = np.array([0.0, 2.0]), 0.0 if separable else 0.3
    matrix = np.array([[mix, 1 / 2.0], [-1.0, -mix]])
    values, vectors = np.linalg.eig(matrix * 2.0)
    true = (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real @ np.stack([q[0, 0], p[0, 0]])
    errors = [np.abs(follow(flow, q, p, own, t, n)[0][0, -1, 0] - true[0]).max() for n in (2, 4)]
    assert 40 < errors[0] / errors[1] < 90 and sum(STAGES) == pytest.approx(1)


def test_it_runs_back_to_where_it_began():
    flow, (q, p, own) = oscillator(False), START
    there = follow(flow, q, p, own, np.array([0.0, 3.0]), 3)
    back = follow(flow, there[0][:, -1], there[1][:, -1], own, np.array([3.0, 0.0]), 3)
    assert np.allclose(back[0][:, -1], q, atol=1e-10) and np.allclose(back[1][:, -1], p, atol=1e-10)


def test_every_start_has_the_step_that_it_needs_and_energy_does_not_wander():
    """A slow and a fast oscillator, in turns of 300 periods: errors stay where they are."""
    own = {"mass": np.array([[1.0], [0.002]])}
    q, v = np.array([[[1.0]], [[1.0]]]), np.zeros((2, 1, 1))
    t = np.linspace(0, 60, 121)
    found = roll(oscillator(), q, v, own, t, np.array([0.5, 0.5]))
    assert found["steps"][0] < found["steps"][1] and (found["drift"].max(1) < 1e-9).all()
    half = found["drift"][1, 1:61].max(), found["drift"][1, 61:].max()
    assert half[1] < 2 * half[0]
    assert np.allclose(found["pos"][0, :, 0, 0], np.cos(t), atol=1e-6)
    again = roll(replace(oscillator(tolerance=0.0), most=60), q, v, own, t[:3], np.array([0.5, 0.5]))
    assert (again["steps"] == 2).all()  # two tries each: of 18 and 36 stages
