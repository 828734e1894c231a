"""What the data alone say of a law: rivals, the network's skill, broken assumptions, node terms and their errors."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from planted import messages

from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.law import node_terms, selection, trust
from distill.law.receivers import law_acceleration, law_error, nearer, noise_error, pair_share, receivers
from distill.law.remains.residuals import structure
from distill.law.remains.scene import of_receivers
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law
from distill.report import words
from distill.statistics.metrics import beyond_noise

NOISE = {"structured": False, "text": "what the law leaves looks like noise"}
SKILL = {"network": 0.01, "zero": 0.4, "mean": 0.3}


def judged(left=NOISE, others=(), skill=SKILL, against=(), noise=trust.WITHOUT_NOISE, **changes):
    numbers = {"held_out": 0.005, "network": 0.01, "receivers": 100, "chosen_share": 1.0}
    return trust.without_truth(SimpleNamespace(**numbers | changes), left, others, skill, against=against, noise=noise)


def test_a_law_is_trusted_if_nothing_speaks_against_it():
    found = judged()
    assert found["trusted"] and found["law_predicts_as_well_as_network"]
    assert "looks like noise" in found["why"] and "predicting zero 0.4" in found["why"]


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ({"held_out": 0.02}, "predicts worse than the network"),
        ({"chosen_share": 0.3}, "30 % of draws"),
        ({"against": ["it was chosen on one trajectory"]}, "it was chosen on one trajectory"),
        ({"left": {"structured": True, "text": "what the law leaves lasts"}}, "what the law leaves lasts"),
        ({"skill": SKILL | {"network": 0.35}, "network": 0.35}, "the network predicts no better than the mean"),
        ({"skill": SKILL | {"zero": 0.004}}, "the network predicts no better than zero"),
        ({"others": [trust.Other("splines", "1/r", 0.0005)]}, "the law from splines predicts better"),
    ],
)
def test_whatever_speaks_against_it_is_named(against, said):
    found = judged(**against)
    assert not found["trusted"] and said in found["why"]


def test_what_the_data_cannot_say():
    r = np.array([1.0, 2.0])
    assert trust.not_told(0.01, 0.3, r, 5) == []
    assert "without any pair force" in trust.not_told(0.01, 0.01, r, 5)[0]
    assert "without any pair force" in trust.not_told(1e-16, 2e-16, r, 5)[0]  # both are rounding
    assert "all distances are 2" in trust.not_told(0.01, 0.3, r[1:], 5)[0]
    assert "one trajectory" in trust.not_told(0.01, 0.3, r, 1)[0]


def test_the_better_law_is_reported_and_rounding_is_no_reason():
    others = [trust.Other("control", "1/r", 0.003), trust.Other("splines", "1/r^2", 0.0005)]
    assert judged(others=others)["better"] == {"label": "splines", "text": "1/r^2", "error": 0.0005}
    assert judged(others=others[:1], held_out=0.00301)["trusted"]  # as good is not better
    exact = judged(others=[trust.Other("control", "1/r", 1e-12)], held_out=1e-10)
    assert exact["trusted"] and exact["better"] is None


def test_broken_assumptions_come_with_a_number_each():
    fine = {"central": True, "velocity_free": True, "sideways_share": 0.0, "velocity_share": 0.0}
    assert trust.violations(fine, 0.01, {"depends": False, "r2_held_out": 0.0}) == []
    assert trust.violations(fine) == []
    bad = {"central": False, "velocity_free": False, "sideways_share": 0.12, "velocity_share": 0.3}
    found = trust.violations(bad, 0.91, {"depends": True, "r2_held_out": 0.4})
    assert found == [
        "not central (12 % sideways)",
        "depends on velocity (30 %)",
        "action is not reaction (off by 0.91)",
        "depends on place (R2 0.40)",
    ]


def test_skill_is_that_of_the_relative_error():
    m = messages("r2", trajectories=60)
    ground = selection.Ground(m, nodes_of(m), ())
    found = trust.skill(ground.held, ground.many)
    assert found["network"] == pytest.approx(ground.network.mean(), rel=1e-9)  # the error that laws are judged by
    assert 0.002 < found["network"] < 0.01 < 0.2 < found["zero"] < 0.5


def test_a_law_as_good_as_its_network_is_not_trusted_while_it_leaves_structure():
    m = messages("r2", trajectories=500)
    ground = selection.Ground(m, nodes_of(m), ())
    wrong = Law(ground.fit.fit(parse("-0.9*m_i*m_j/(r+0.01)^(19/10)", VARIABLES))[0])
    found = judged(structure(wrong, of_receivers(ground.held)))
    assert found["law_predicts_as_well_as_network"] and not found["trusted"] and "incomplete" in found["why"]
    assert judged(structure(Law(parse("-m_i*m_j/(r+0.01)^2", VARIABLES)), of_receivers(ground.held)))["trusted"]


# ---------------------------------------------------------------- node terms


def ground_with(acceleration, terms, noise=0.02, trajectories=150):
    """Springs with ``acceleration(m)`` added to that of every receiver, and 2 % noise."""
    m = messages("spring", trajectories=trajectories)
    rng = np.random.default_rng(8)
    nodes = nodes_of(m)
    added = (m["acc_i"] + acceleration(m))[nodes.first]
    added = added * (1 + noise * rng.standard_normal(added.shape))
    m["acc_i"] = added[nodes.of_edge]
    return selection.Ground(m, nodes, terms)


def fitted(ground):
    pair, node = selection.final_fit(parse("-1.9*(r - 0.95)", ("r",)), ground)
    return Law(pair, node, properties=ground.properties)


def test_a_drag_that_is_there_stays_and_its_error_covers_the_truth():
    ground = ground_with(lambda m: -0.5 * m["vel_i"] / m["mass_i"][:, None], ("drag",))
    law, errors, dropped = node_terms.needed(fitted(ground), ground)
    assert not dropped and set(law.node) == {"drag"} == set(errors)
    assert 0 < errors["drag"] < 0.05 and abs(law.node["drag"] - 0.5) < 4 * errors["drag"]


def test_terms_that_are_not_there_go():
    ground = ground_with(lambda m: 0.0, ("drag", "constant_force"))
    law, errors, dropped = node_terms.needed(fitted(ground), ground)
    assert law.node == {} == errors and {d["name"] for d in dropped} == {"drag", "constant_force"}
    assert all(d["why"] for d in dropped)


def test_without_noise_what_is_fitted_beside_the_truth_goes_too():
    ground = ground_with(lambda m: 0.0, ("drag",), noise=0.0)
    law, _, dropped = node_terms.needed(fitted(ground), ground)
    assert law.node == {} and abs(dropped[0]["value"]) < 1e-6


def test_where_there_is_no_pair_force_that_is_said():
    m = messages("r2", trajectories=20)
    nodes = nodes_of(m)
    data = receivers(m, nodes, np.arange(200))
    true, none = (Law(parse(f, VARIABLES)) for f in ("-m_i*m_j/(r+0.01)^2", "1e-16*m_j/r"))
    assert pair_share(true, data) == pytest.approx(1, abs=0.3) and pair_share(none, data) < 1e-12
    assert pair_share(Law(true.pair, {"drag": 0.5}), data) == pytest.approx(pair_share(true, data))
    assert pair_share(replace(true, pair=parse("log(r - 99)", VARIABLES)), data) is None

    def told(share, short="-1e-16*m_j/r"):
        pair, known = SimpleNamespace(short=short, cases=[]), SimpleNamespace(pair_share=share)
        node = SimpleNamespace(functions={})
        return words.pair_words(SimpleNamespace(pair=pair, pairs={}, node=node, data_verdict=known))

    assert (
        told(1e-15).startswith("no pair force (f = -1e-16*m_j/r makes 1.0×10⁻¹⁵ of") and told(0.9) == "f = -1e-16*m_j/r"
    )
    assert told(None) == "f = -1e-16*m_j/r"  # made by a former version


def test_an_exact_law_is_no_worse_than_an_exact_network():
    assert judged(held_out=3e-17, network=0.0, skill=SKILL | {"network": 0.0})["trusted"]
    assert not judged(held_out=1e-9, network=0.0)["trusted"]


def test_errors_are_compared_beyond_the_noise_of_the_data():
    """Half as much noise as accelerations: errors of a right and of a wrong law differ by less than 5 %."""
    data = messages("r2", trajectories=60, frames=20)
    nodes = nodes_of(data)
    clean = receivers(data | {"acc_pred_i": data["acc_i"]}, nodes, np.arange(len(nodes.first)))
    sigma = 0.5 * np.median(np.linalg.norm(clean.acc, axis=1)) * np.ones(len(clean.acc))
    texts = ("-m_i*m_j/(r+0.01)^2", "-0.9*m_i*m_j/(r+0.01)^2", "-1.0001*m_i*m_j/(r+0.01)^2")
    laws = [Law(parse(text, VARIABLES)) for text in texts]
    rng, better, scores = np.random.default_rng(2), [], []
    for _ in range(40):
        noisy = replace(clean, acc=clean.acc + sigma[:, None] * rng.standard_normal(clean.acc.shape), noise=sigma)
        right, *found = (law_acceleration(law, noisy) for law in laws)
        least, *errors = (law_error(law, noisy) for law in laws)
        assert least > trust.BETTER * errors[0]  # without a word on noise the wrong one would be as good
        noise = trust.Noise(noise_error(noisy))
        scores.append([nearer(right, one, noisy) for one in found])
        for error, score in zip(errors, scores[-1], strict=True):
            other = trust.Other("control", "1/r^2", least, score)
            better.append(judged(others=[other], held_out=error, network=error, noise=noise)["better"])
    assert abs(np.mean(scores, axis=0)[1]) < 0.5  # the score has mean zero, and a spread of at most one, where
    assert 0.4 < np.std(scores, axis=0)[1] < 1.2  # nothing but noise tells the two laws apart
    assert all(better[::2]) and not any(better[1::2])
    nowhere = np.full_like(right, np.nan)
    assert nearer(right, nowhere, noisy) == np.inf and nearer(nowhere, right, noisy) == -np.inf
    assert nearer(found[0], right, clean) == np.inf  # without noise every difference is one


def test_a_law_that_is_not_finite_has_no_error_beyond_the_noise():
    assert beyond_noise(1e300, 0.1) == pytest.approx(1e300)
    assert beyond_noise(0.05, 0.1) == 0 and beyond_noise(0.5, 0.3) == pytest.approx(0.4) and beyond_noise(0.5, 0) == 0.5
