"""The end-to-end refit on accelerations and the verdict, on planted laws and on wrong ones."""

from dataclasses import dataclass

import numpy as np
import pytest
from filled import filled
from planted import messages

from distill.files import records
from distill.files.kinds import LawRecord
from distill.files.properties import VARIABLES, of_edges
from distill.formulas.text import parse
from distill.law import selection, verdict
from distill.law.receivers import acceleration_objective, receivers
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law, law_of
from distill.physics.systems import load_system
from distill.shell.errors import UserError


@dataclass
class Row:
    expr: object
    loss: float = 0.0


def rows(*texts):
    return [Row(parse(t, VARIABLES)) for t in texts]


@pytest.fixture(scope="module")
def gravity():
    return messages("r2", trajectories=300)


def refine(m, *texts, terms=()):
    ground = selection.Ground(m, nodes_of(m), terms)
    return selection.refine_on_accelerations(rows(*texts), ground, False)


def test_objective_is_the_acceleration_error_of_the_law(gravity):
    nodes = nodes_of(gravity)
    data = receivers(gravity, nodes, np.arange(50))
    law = Law(parse("-0.9*m_i*m_j/(r+0.05)^2", VARIABLES))
    objective = acceleration_objective(data)
    direct = law.radial(**of_edges(gravity))
    force = nodes.sum(direct[:, None] * gravity["dx"] / gravity["r"][:, None])[:50]
    error = force / gravity["mass_i"][nodes.first[:50]][:, None] - gravity["acc_i"][nodes.first[:50]]
    assert np.allclose(objective.residual(law.pair), objective.weights * error.reshape(-1))


def test_refit_on_accelerations_finds_constants_and_repairs_structure(gravity):
    found = refine(gravity, "-0.8*m_i*m_j/(r+0.03)^2", "0.5", "-1.1*m_i/r")
    truth = parse("-m_i*m_j/(r+0.01)^2", VARIABLES)
    result = verdict.against_truth(found.law, truth, gravity, np.zeros_like(gravity["acc_i"]))
    assert result["recovered"] and result["softening_recovered"] and not found.repaired
    mended = refine(gravity, "-0.8*m_j/(r+0.03)^2")
    assert mended.repaired
    assert verdict.against_truth(mended.law, truth, gravity, np.zeros_like(gravity["acc_i"]))["recovered"]


def test_drag_is_fitted_beside_the_pair_law():
    m = messages("damped", trajectories=200)
    found = refine(m, "-1.7*r + 1.5", terms=("drag",))
    assert found.law.node["drag"] == pytest.approx(0.5, rel=1e-4)
    node = -0.5 * m["vel_i"]
    assert verdict.against_truth(found.law, parse(load_system("damped").law, VARIABLES), m, node)["recovered"]
    alone = verdict.against_truth(Law(found.law.pair), parse(load_system("damped").law, VARIABLES), m, None)
    assert alone["recovered"] and alone["node_error"] is None and "node terms" not in alone["why"]
    undamped = Law(found.law.pair)
    result = verdict.against_truth(undamped, parse(load_system("damped").law, VARIABLES), m, node)
    assert not result["recovered"] and "node terms" in result["why"]


@pytest.mark.parametrize(
    "wrong",
    [
        "-m_i*m_j/(r+0.01)^2.1",
        "-m_i*m_j/(r+0.01)^1.9",
        "-m_i*m_j/(r+0.01)",
        "-m_j/(r+0.01)^2",
        "m_i*m_j/(r+0.01)^2",
        "-m_i*m_j/(r+0.01)^2 - 0.05",
        "-1.05*m_i*m_j/(r+0.01)^2",
        "-m_i*m_j*exp(-r/10)/(r+0.01)^2",
    ],
)
def test_near_misses_are_not_called_recovered(gravity, wrong):
    truth = parse("-m_i*m_j/(r+0.01)^2", VARIABLES)
    none = np.zeros_like(gravity["acc_i"])
    assert not verdict.against_truth(Law(parse(wrong, VARIABLES)), truth, gravity, none)["recovered"]
    assert verdict.against_truth(Law(truth), truth, gravity, none)["recovered"]


def test_missing_softening_is_told_apart(gravity):
    truth = parse("-m_i*m_j/(r+0.01)^2", VARIABLES)
    wide = Law(parse("-m_i*m_j/(r+0.05)^2", VARIABLES))
    assert not verdict.against_truth(wide, truth, gravity, np.zeros_like(gravity["acc_i"]))["softening_recovered"]


def test_law_json_round_trip_and_damage():
    law = Law(parse("-2*(r-0.99)", VARIABLES), {"drag": 0.5, "constant_acceleration": np.array([0.0, -1.0])}, True)
    node = law.node_json(2) | {"terms": {"drag": 0.5, "constant_acceleration": [0.0, -1.0]}}
    record = records.build(LawRecord, filled(LawRecord, pair=law.pair_json(), node=node, chain=True, cutoff=None))
    again = law_of(record)
    pos, vel = np.random.default_rng(0).normal(size=(2, 3, 5, 2))
    properties = dict.fromkeys(("mass", "charge"), np.ones((3, 5)))
    assert np.allclose(again.acceleration(pos, vel, properties), law.acceleration(pos, vel, properties), rtol=1e-8)
    record.pair.text = "__import__('os')"
    with pytest.raises(UserError):
        law_of(record)
    record.pair.text, record.node.terms = "r", {"lift": 1.0}
    with pytest.raises(UserError, match="unknown node terms .'lift'"):
        law_of(record)
