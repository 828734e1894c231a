"""Terms of a law and gauges of messages: vectors, fitted values and texts of every entry of their tables."""

import numpy as np
import pytest

from distill.messages.gauges import gauge_named, gauges
from distill.messages.net_forces import fit_terms, node_columns
from distill.physics.terms import ELIMINATION, TERMS, State, Uniform, force

RNG = np.random.default_rng(0)
MASS, CHARGE = np.exp(RNG.normal(size=40)), RNG.normal(size=40)
STATE = State(RNG.normal(size=(40, 2)), {"mass": MASS, "charge": CHARGE})


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_its_columns_times_its_numbers_and_is_found_again(name):
    term = TERMS[name]
    columns = term.columns(STATE)
    value = term.value(np.arange(1.0, len(columns) + 1))
    given = force({name: value}, STATE)
    np.testing.assert_allclose(given, sum(k * column for k, column in enumerate(columns, start=1)) + 0 * STATE.vel)
    found = fit_terms(given / MASS[:, None], np.ones(40), STATE, (name,))
    np.testing.assert_allclose(found[name], value, rtol=1e-9)
    assert np.ndim(value) == term.by_axis and len(node_columns(STATE, MASS, (name,)).T) == (1 if term.by_axis else 2)


def test_every_term_has_its_turn_to_go():
    assert sorted(ELIMINATION) == sorted(TERMS)
    assert ELIMINATION == ("constant_force", "drag_per_mass", "constant_acceleration", "drag")


def test_texts_of_terms():
    assert TERMS["drag"].text(0.5) == "- 0.5 v_i" and TERMS["drag_per_mass"].text(-0.5) == "+ 0.5 m_i v_i"
    assert TERMS["constant_acceleration"].text(np.array([1e-12, -1.0])) == "+ m_i (0, -1)"
    assert [TERMS[k].per_mass for k in ("constant_acceleration", "constant_force")] == ["", "/m_i"]
    pull = Uniform("charge_field", "charge", 4)
    assert pull.text(np.array([1.0, 2.0])) == "+ q_i (1, 2)" and pull.per_mass == " q_i/m_i"
    np.testing.assert_allclose(pull.vector(STATE)[:, 0], CHARGE)


def test_gauges_are_undone_and_told_apart():
    both = gauges(("mass", "charge", "spin"))
    assert [g.symbol for g in both.values()] == ["F", "F/m", "qF", "spinF"]
    assert [g.label for g in both.values()] == ["F (pair force)", "F / m_i", "q_i F", "spin_i F"]
    F, properties = RNG.normal(size=(40, 2)), STATE.properties | {"spin": np.ones(40)}
    for name, gauge in both.items():
        assert gauge == gauge_named(name)
        np.testing.assert_allclose(gauge.to_force(gauge.from_force(F, properties), properties), F)
    np.testing.assert_allclose(both["acceleration"].from_force(MASS, properties), 1.0)
    assert [g.told_apart(properties) for g in both.values()] == [True, True, True, False]
