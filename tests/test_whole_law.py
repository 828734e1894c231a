"""Laws tried as a whole: two functions of pairs in one form, and what forces on a body are in proportion to."""

import copy
from dataclasses import replace

import pytest
import sympy as sp
from test_joint import f, moved_by

from distill.law.further.slots import FromDisplaced, Radial
from distill.law.further.whole import _changed, _recoupled, in_one_form, recoupled
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


def test_one_form_is_found_whatever_stands_there(ground):
    """Sums in proportion to nothing, and constants of other terms that are off."""
    wrong = {"drag": 0.25, "field": (f("-0.4*q_i*x + 0.1"), f("-0.9*q_i*y"))}
    displaced = About((0.38, -0.17), f("0.1*q_i + 0.2*s"))
    first = Law(f("0.3/r + 0.2*q_i*q_j*r - 0.1"), wrong, pairs={"displaced": displaced})
    places = [Radial(RADIAL, ground.properties), FromDisplaced("displaced", ground.properties, (0.0, 0.3))]
    law = in_one_form(first, places, ground)
    assert law_error(law, ground.held) < 1e-3 * law_error(first, ground.held)
    assert law.pairs["displaced"].centre == pytest.approx(CENTRE, abs=1e-3)


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


def test_parts_of_one_component_are_in_proportion_to_what_they_are(ground):
    """Gravity was taken for a trap about another point, and a trap by charges for one that all feel."""
    node = {"drag": 0.3, "field": (f("-0.5*q_i*x"), f("-0.8*q_i*y - 0.6*m_i"))}
    true = Law(TRUE.pair, node, pairs=TRUE.pairs)
    many = replace(ground.many, acc=law_acceleration(true, ground.many))
    other = copy.copy(ground)
    other._few, other.many = (replace(one, acc=law_acceleration(true, one)) for one in ground.sets[:2])
    other.held = replace(ground.held, acc=law_acceleration(true, ground.held))
    wrong = node | {"field": (f("-0.5*x"), f("-0.8*q_i*(y + 0.75)"))}
    law = recoupled(Law(TRUE.pair, wrong, pairs=TRUE.pairs), other)
    assert law_acceleration(law, many) == pytest.approx(many.acc, rel=1e-4, abs=1e-5)


def test_only_what_is_in_proportion_can_be_in_proportion_to_something_else():
    one, mass, charge = f("1"), f("m_i"), f("q_i")
    assert _recoupled(f("0.5"), one, mass, 2.0) == f("1.0*m_i")
    assert _recoupled(f("3*m_i*v"), mass, charge, 1.0) == f("3.0*q_i*v")
    assert _recoupled(f("3*v"), mass, charge, 1.0) is None
    assert _recoupled(f("3*m_i*v"), one, charge, 1.0) is None and _recoupled(f("m_i*q_i"), mass, charge, 1.0) is None
    several = {f("2*m_i*v + 3*q_i"), f("2*q_i*v + 3*m_i")}
    found = {one for pair in ((mass, charge), (charge, mass)) for one in _changed(f("2*m_i*v + 3*q_i"), *pair, 1.0)}
    assert {sp.expand(one) for one in found} == {f("2.0*q_i*v + 3*q_i"), f("2*m_i*v + 3.0*m_i")} and not found & several
    about = list(_changed(About(CENTRE, f("m_i*s")), mass, one, 3.0))
    assert about == [About(CENTRE, f("3.0*s"))]
    assert list(_changed((f("m_i*x"), f("y")), mass, one, 1.0)) == [(f("1.0*x"), f("y"))]
