"""Laws tried as a whole: two functions of pairs in one form, and what forces on a body are in proportion to."""

import numpy as np
import pytest
import sympy as sp
from test_joint import f, moved_by

from distill.law.further.slots import FromDisplaced, Radial
from distill.law.further.whole import _coupling, _recoupled, in_one_form, recoupled
from distill.law.receivers import law_acceleration, law_error
from distill.law.selection import Ground
from distill.messages.net_forces import nodes_of
from distill.physics.law import RADIAL, Law
from distill.physics.terms import About

CENTRE = (0.4, -0.2)
YUKAWA = "q_i*q_j*({0} + 0.7)*exp(-1.4*{0})/{0}^2"
TRUE = Law(
    f(YUKAWA.format("r")),
    {"drag": 0.3, "field": (f("-0.5*q_i*x"), f("-0.8*q_i*y"))},
    pairs={"displaced": About(CENTRE, -0.4 * f(YUKAWA.format("s")))},
)


@pytest.fixture(scope="module")
def ground():
    edges, _ = moved_by(TRUE)
    return Ground(edges, nodes_of(edges), (), small=40, large=60, held_out=40)


def test_two_functions_that_imitate_each_others_faults_have_one_form(ground):
    first = Law(
        f("0.7*q_i*q_j/r^2 - 0.2*q_i*q_j*exp(-0.5*r)"),
        TRUE.node,
        pairs={"displaced": About((0.38, -0.17), f("-0.3*q_i*q_j/s^1.8"))},
    )
    places = [Radial(RADIAL, ground.properties), FromDisplaced("displaced", ground.properties, (0.0, 0.3))]
    law = in_one_form(first, places, ground)
    assert law_acceleration(law, ground.held) == pytest.approx(ground.held.acc, rel=1e-5, abs=1e-7)
    assert law.pairs["displaced"].centre == pytest.approx(CENTRE, abs=1e-6)
    assert in_one_form(law, places, ground) is law  # nothing is better
    alone = Law(law.pair, law.node)
    assert in_one_form(alone, places[:1], ground) is alone


def test_what_a_force_is_in_proportion_to_is_asked_again(ground):
    wrong = {"drag": f("0.25*m_i"), "field": (f("-0.5*m_i*x"), f("-0.8*m_i*y"))}
    before = Law(TRUE.pair, wrong, pairs=TRUE.pairs)
    law = recoupled(before, ground)
    assert law_error(law, ground.held) < 0.02 * law_error(before, ground.held)
    assert law.node["drag"] == pytest.approx(0.3, rel=0.01)
    assert [part.coeff(f("q_i*x")) + part.coeff(f("q_i*y")) for part in law.node["field"]] == pytest.approx(
        [-0.5, -0.8], rel=0.01
    )
    assert recoupled(TRUE, ground) is TRUE


def test_only_what_is_in_proportion_can_be_in_proportion_to_something_else():
    one, mass, charge = f("1"), f("m_i"), f("q_i")
    assert _recoupled(0.5, one, mass, 2.0) == f("1.0*m_i")
    assert sp.expand(_recoupled(f("3*m_i*v + 2*m_i"), mass, charge, 1.0) - f("q_i*(3*v + 2)")) == 0
    assert _recoupled(f("3*m_i*v + 2"), mass, charge, 1.0) is None  # only a part of it
    assert _recoupled(f("3*m_i*v"), one, charge, 1.0) is None
    assert _recoupled((f("m_i*x"), f("y")), mass, one, 1.0) is None
    about = _recoupled(About(CENTRE, f("m_i*s")), mass, one, 3.0)
    assert about == About(CENTRE, f("3.0*s"))
    assert _coupling(f("2*q_i*q_j*r + q_i*q_j/r")) == f("q_i*q_j") and _coupling(f("q_i*r + m_i*r^2")) is None
    assert np.isfinite(float(_coupling(f("3/r"))))
