"""The eight rows of gamd_sr on messages with known contents."""

from types import SimpleNamespace

import gamd_sr
import numpy as np
import pytest
from planted import messages

META = SimpleNamespace(antisymmetric=True)
LAW = "m_i*m_j/(r*(r + 0.01)^2)"  # of r2 but for its sign, as a factor of dx


@pytest.fixture(scope="module")
def both():
    return messages(mixing=np.diag([1.0, 0.5]), seed=1), messages(mixing=np.diag([1.0, 0.5]), seed=2)


def record(**fields) -> SimpleNamespace:
    """The fields of a record that the rows read."""
    return SimpleNamespace(**fields)


def errors(ratio: float) -> SimpleNamespace:
    return record(gnn=record(mae=0.4), law=record(mae=0.1), law_over_gnn_mae=ratio)


def contents(equation=None):
    fit = record(targets={"force": record(r2_all=0.99)}, potential=record(r2_all=0.02))
    searched = equation and record(equation=equation)
    law = record(arguments={"seed": 0}, targets={}, from_messages=record(text=f"-r*{LAW}"), node_search=searched)
    return fit, law, record(sets={"interpolation": errors(0.25), "hotter": errors(0.5)})


def test_rows_are_taken_from_the_stages_and_absent_searches_are_none(both):
    found = gamd_sr.rows(*both, META, *contents())
    assert found["gnn_mae"] == 0.4 and found["potential_r2"] == 0.02 and found["force_r2"] == 0.99
    assert found["interpolation"] == {"law_mae": 0.1, "gnn_mae": 0.4, "law_over_gnn": 0.25}
    assert found["extrapolation"] == {"hotter": {"law_mae": 0.1, "gnn_mae": 0.4, "law_over_gnn": 0.5}}
    assert found["message_sr"] is None and found["net_force_sr"] is None


def test_a_formula_of_a_message_is_scored_on_its_own_component(both):
    train, test = both
    targets = {"component_1": record(equation=f"-dx*{LAW}"), "component_2": record(equation=f"-0.25*dy*{LAW}")}
    first, second = gamd_sr.message_errors(test, targets)
    assert first["mae"] < 1e-12 * np.abs(test["message"]).mean()
    assert second["relative"] == pytest.approx(0.5, rel=1e-9)  # half the message is left
    assert gamd_sr.message_errors(test, {"radial": targets["component_1"]}) is None


def test_one_radial_formula_predicts_all_messages_up_to_their_mixture(both):
    first, second = gamd_sr.one_law_errors(*both, f"-r*{LAW}")
    assert first["relative"] < 1e-9 and second["relative"] < 1e-9
    assert np.abs(first["constants"]) == pytest.approx([1, 0], abs=1e-9)
    assert np.abs(second["constants"]) == pytest.approx([0, 0.5], abs=1e-9)
    assert all(one["relative"] > 0.1 for one in gamd_sr.one_law_errors(*both, "-m_i*m_j/r"))


def test_summed_messages_tell_the_net_force_where_they_are_forces_and_only_there(both):
    assert gamd_sr.aggregate_r2(*both) == pytest.approx(1, abs=1e-9)
    noise = [m | {"message": np.random.default_rng(0).normal(size=m["message"].shape)} for m in both]
    assert gamd_sr.aggregate_r2(*noise) < 0.1


def test_the_node_function_is_scored_as_a_net_force(both):
    found = gamd_sr.rows(*both, META, *contents("R/m_i"))["net_force_sr"]
    test = both[1]
    size = np.abs(test["acc_i"] * test["mass_i"][:, None]).mean()
    # what is read is fitted to a network's predictions, each off by its own noise
    assert found["equation"] == "R/m_i" and found["mae"] < 1e-3 * size
    double = gamd_sr.rows(*both, META, *contents("2*R/m_i"))["net_force_sr"]
    assert double["mae"] == pytest.approx(size, rel=1e-3)
