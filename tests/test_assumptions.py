"""Forces that are not central or that depend on velocities are noticed; those that are not, are not."""

import numpy as np
import pytest
from planted import messages

from distill.messages.assumptions import leftover


@pytest.fixture(scope="module", params=[2, 3])
def planted(request):
    m = messages("r1", trajectories=500, dim=request.param, components=4)
    unit = m["dx"] / m["r"][:, None]
    scatter = 0.05 * np.linalg.norm(m["force"], axis=1)[:, None] * np.random.default_rng(3).normal(size=unit.shape)
    return m, m["force"] + scatter, unit, m["vel_i"] - m["vel_j"]


def test_a_central_force_with_scatter_passes(planted):
    m, force, *_ = planted
    found = leftover(force, m)
    assert found["central"] and found["velocity_free"], found["text"]
    assert found["tangential_share"] > 1e-3  # the scatter is there, only nothing predicts it


def test_friction_along_the_line_is_velocity_dependent(planted):
    m, force, unit, v = planted
    found = leftover(force - 0.2 * (v * unit).sum(1)[:, None] * unit, m)
    assert found["central"] and not found["velocity_free"] and "NOT free of velocities" in found["text"]


def test_friction_across_the_line_is_not_central(planted):
    m, force, unit, v = planted
    found = leftover(force - 0.2 * (v - (v * unit).sum(1)[:, None] * unit), m)
    assert not found["central"] and found["velocity_free"], found["text"]


def test_a_swirl_without_velocities_is_not_central():
    m = messages("r1", trajectories=300)
    swirl = 0.3 * np.column_stack([-m["dx"][:, 1], m["dx"][:, 0]]) / m["r"][:, None]
    found = leftover(m["force"] + swirl, m)
    assert not found["central"] and found["velocity_free"]
    assert found == leftover(m["force"] + swirl, m)


def test_on_a_line_nothing_acts_across():
    m = messages("spring", trajectories=30)
    flat = {k: v[:, :1] if v.ndim == 2 and k in ("dx", "vel_i", "vel_j") else v for k, v in m.items()}
    flat["r"] = np.abs(flat["dx"][:, 0])
    found = leftover((flat["r"] * np.sign(flat["dx"][:, 0]))[:, None], flat)
    assert found["central"] and found["sideways_share"] == 0.0
