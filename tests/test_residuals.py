"""What laws leave of the accelerations: rounding or noise for right ones, structure for wrong ones."""

import numpy as np
import pytest
from planted import messages

from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.law import selection, trust
from distill.law.residuals import structure
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law


@pytest.fixture(scope="module")
def gravity():
    return messages("r2", trajectories=500)


def held(m):
    return selection.Ground(m, nodes_of(m), ()).held


def fitted(text, m):
    ground = selection.Ground(m, nodes_of(m), ())
    return Law(ground.fit.fit(parse(text, VARIABLES))[0])


def test_the_right_law_leaves_rounding_or_noise(gravity):
    law = Law(parse("-m_i*m_j/(r+0.01)^2", VARIABLES))
    assert structure(law, held(gravity))["text"].startswith("the law leaves nothing")
    noise = np.random.default_rng(1).normal(size=gravity["acc_i"].shape)
    noisy = gravity | {"acc_i": gravity["acc_i"] * (1 + 0.05 * noise)}
    found = structure(law, held(noisy))
    assert not found["structured"] and 0.02 < found["left"] < 0.06 and "noise" in found["text"]


@pytest.mark.parametrize("wrong", ["-0.9*m_i*m_j/(r+0.01)^(19/10)", "-0.9*m_j/(r+0.01)^2", "-1.0*m_i*m_j/(r+0.05)^2"])
def test_wrong_laws_leave_structure(gravity, wrong):
    law = fitted(wrong, gravity) if "0.05" not in wrong else Law(parse(wrong, VARIABLES))
    found = structure(law, held(gravity))
    assert found["structured"] and found["r2_held_out"] > 0.1, found


def test_a_law_as_good_as_its_network_is_not_trusted_while_it_leaves_structure(gravity):
    ground = selection.Ground(gravity, nodes_of(gravity), ())
    law = fitted("-0.9*m_i*m_j/(r+0.01)^(19/10)", gravity)

    class Refined:
        held_out, network, receivers, chosen_share = 0.005, 0.01, 100, 1.0

    found = trust.without_truth(Refined, structure(law, ground.held))
    assert found["law_predicts_as_well_as_network"] and not found["trusted"] and "predictable" in found["why"]
    right = trust.without_truth(Refined, structure(Law(parse("-m_i*m_j/(r+0.01)^2", VARIABLES)), ground.held))
    assert right["trusted"]
    Refined.chosen_share = 0.3
    assert "30 % of draws" in trust.without_truth(Refined, right["residuals"])["why"]


def test_a_law_that_is_not_finite_is_not_trusted(gravity):
    assert structure(Law(parse("log(r - 100)", VARIABLES)), held(gravity))["structured"]


def test_particles_that_feel_nothing_are_no_fault_of_the_law():
    """Most accelerations of a force of short range are exactly zero."""
    m = messages("discontinuous", trajectories=200, n=2)
    m["acc_i"] = np.where(m["r"][:, None] < np.quantile(m["r"], 0.7), 0.0, m["acc_i"])
    data = held(m)
    assert np.median(np.abs(data.acc)) == 0
    assert structure(Law(parse("0*r", VARIABLES)), data)["left"] is not None
