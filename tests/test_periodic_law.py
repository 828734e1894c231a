"""The law of a fluid in a periodic box: cutoff and nearest image, sigma and epsilon, verdict, choice of exponents."""

import numpy as np
import pytest
import sympy as sp
import torch
from extracted import edges_of
from filled import filled
from planted import write_argon

from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.kinds import LawRecord
from distill.files.properties import VARIABLES
from distill.fluid import sigma_epsilon
from distill.fluid.lennard_jones import ARGON, lennard_jones
from distill.formulas.text import parse
from distill.law import selection, verdict
from distill.law.receivers import receivers
from distill.messages import read_out
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law, law_of
from distill.physics.system import pair_potential
from distill.search.front import Row
from models import GNN, ModelConfig

SYSTEM = lennard_jones()
TRUTH = parse(SYSTEM.law, VARIABLES)


@pytest.fixture(scope="module")
def argon(tmp_path_factory):
    return load_dataset(str(write_argon(tmp_path_factory.mktemp("argon"))))


@pytest.fixture(scope="module")
def messages(argon):
    """Messages that are a mixture of the true force, of all frames; geometry and truth as extracted."""
    torch.manual_seed(0)
    model = GNN(
        ModelConfig(
            dim=3,
            message_dim=5,
            hidden=4,
            translation_invariant=True,
            geometric_inputs=True,
            periodic=True,
            r_mean=4.5,
            r_spread=0.7,
        )
    ).eval()
    found = edges_of(model, argon, *(k.reshape(-1) for k in np.indices(argon.pos.shape[:2])))
    rng = np.random.default_rng(0)
    mixed = found["force"] @ (rng.normal(size=(3, 3)) + 2 * np.eye(3))
    found["message"] = np.hstack([mixed, 1e-3 * rng.normal(size=(len(mixed), 2))])
    found["acc_pred_i"] = found["acc_i"] * (1 + 0.01 * rng.normal(size=found["acc_i"].shape))
    del found["acc_share"]
    return found


def test_a_law_with_a_cutoff_gives_the_accelerations_of_the_fluid(argon):
    law = Law(TRUTH, {}, cutoff=float(argon.cutoff))
    state = argon.pos[:2], argon.vel[:2], {k: v[:2, None] for k, v in argon.properties.items()}
    np.testing.assert_allclose(law.acceleration(*state, box=argon.box), argon.acc[:2], rtol=1e-9, atol=1e-9)
    outside = law.acceleration(*state)
    assert np.abs(outside - argon.acc[:2]).max() > 1
    content = filled(LawRecord, pair=law.pair_json(), node=law.node_json(3), cutoff=law.cutoff)
    again = law_of(records.build(LawRecord, content)).acceleration(*state, box=argon.box)
    np.testing.assert_allclose(again, argon.acc[:2], rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="cutoff"):
        Law(TRUTH).acceleration(*state, box=argon.box)


@pytest.mark.parametrize(
    "text",
    ["1.2e9/r^13 - 3.5e5/r^7", "(1.2e9/r^6 - 3.5e5)/r^7", "24.0*9.9*(2.0*(3.1/r)^13 - (3.1/r)^7)/3.1"],
)
def test_sigma_and_epsilon_come_from_any_spelling_of_the_form(text):
    a, b = sigma_epsilon.amplitudes(parse(text, VARIABLES))
    sigma, epsilon = sigma_epsilon.parameters(a, b)
    r = np.array([3.0, 4.0, 7.0])
    wanted = Law(parse(text, VARIABLES)).radial(r)
    np.testing.assert_allclose(24 * epsilon / sigma * (2 * (sigma / r) ** 13 - (sigma / r) ** 7), wanted, rtol=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "1.0/r^12 - 1.0/r^7",
        "1.0/r^13 + 1.0/r^7",
        "m_i/r^13 - 1.0/r^7",
        "1.0/r^13 - 1.0/r^7 + 0.1",
        "1.0/r^13",
        "1.0/r^13.2 - 1.0/r^7",
    ],
)
def test_laws_of_another_form_have_no_sigma(text):
    assert sigma_epsilon.amplitudes(parse(text, VARIABLES)) is None
    assert sigma_epsilon.account(parse(text, VARIABLES), None) is None


def test_sigma_and_epsilon_have_jackknife_errors_that_cover_the_truth(messages):
    noisy = messages | {"acc_i": messages["acc_i"] + 0.0}
    nodes = nodes_of(noisy)
    noise = 0.3 * np.random.default_rng(1).normal(size=(len(nodes.first), 3))
    noisy["acc_i"] += noise[nodes.of_edge]
    from distill.law.receivers import acceleration_objective

    for source, low, high in ((messages, 0, 1e-6), (noisy, 1e-6, 0.05)):
        data = receivers(source, nodes, np.arange(len(nodes.first)))
        pair, _ = acceleration_objective(data).fit(parse("1.0e9/r^13 - 3.0e5/r^7", VARIABLES))
        found = sigma_epsilon.account(pair, data, (), SYSTEM)
        for name in ("sigma", "epsilon"):
            one, true = found[name], ARGON[name]
            assert one["true"] == true and one["unit"] in ("A", "kJ/mol")
            assert low <= one["standard_error"] / true < high
            assert abs(one["value"] - true) < max(4 * one["standard_error"], 1e-6 * true)


def test_with_one_mass_the_gauge_is_the_force_and_nothing_else_is_asked(messages):
    assert list(read_out.distinct_gauges(messages)) == ["force"]
    nodes = nodes_of(messages)
    read = read_out.read_out(messages, nodes, True)
    assert read.gauge == "force" and list(read.errors) == ["force"] and not read.node_terms
    assert read_out.score_forces(read.force(messages, nodes), messages["force"])["r2_all"] > 0.999
    heavier = messages | {"mass_i": messages["mass_i"] * (1 + messages["receiver"] % 2)}
    assert list(read_out.distinct_gauges(heavier)) == ["force", "acceleration"]


def test_the_potential_times_the_unit_vector_is_no_force(messages):
    vectors = read_out.potential_vectors(messages, SYSTEM)
    size = np.abs(pair_potential(SYSTEM, messages["r"], SYSTEM.ends(2, 0, 1)))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), size)
    deep = np.argmin(np.abs(messages["r"] - 2 ** (1 / 6) * ARGON["sigma"]))
    assert abs(size[deep] / (10 * ARGON["epsilon"]) - 1) < 0.05
    assert np.linalg.norm(messages["force"][deep]) < 0.2 * size[deep]


def test_the_verdict_looks_closer_in_where_the_force_is_cut_off(messages, argon):
    cutoff, node = float(argon.cutoff), np.zeros((len(messages["r"]), 3))
    right = verdict.against_truth(Law(TRUTH), TRUTH, messages, node, 0, cutoff)
    low, high = right["ranges"]["extrapolated"]
    assert right["recovered"] and right["equivalence"]["relation"] == "same"
    assert np.isclose(low, 0.9 * messages["r"].min()) and np.isclose(high, messages["r"].min())
    # right wherever there are pairs, soft below
    soft = TRUTH * (1 - sp.Float(0.2) * parse("exp(-8.0*(r - 2.6))", VARIABLES))
    wrong = verdict.against_truth(Law(soft), TRUTH, messages, node, 0, cutoff)
    assert not wrong["recovered"] and {"form", "extrapolated"} <= set(wrong["failed"])


@pytest.mark.parametrize(
    "text", ["4.0e8*r^-12.2 - 1.2e5*r^-6.4", "2.1e9/r^(27/2) - 3.5e5/r^7", "3.0e8/r^12 - 1.0e5/r^6"]
)
def test_exponents_near_the_true_ones_are_refitted_and_rounded_on_accelerations(messages, text):
    nodes = nodes_of(messages)
    ground = selection.Ground(messages, nodes, (), small=60, large=120, held_out=120)
    assert ground.fit.names == ["r"]  # masses and charges are constant
    refined = selection.refine_on_accelerations([Row(11, 0.0, "", parse(text, VARIABLES))], ground, False)
    sigma, epsilon = sigma_epsilon.parameters(*sigma_epsilon.amplitudes(refined.law.pair))
    assert abs(sigma / ARGON["sigma"] - 1) < 1e-6 and abs(epsilon / 10 / ARGON["epsilon"] - 1) < 1e-6


def test_only_steep_exponents_are_set_free(messages):
    ground = selection.Ground(messages, nodes_of(messages), (), small=60, large=120, held_out=120)
    assert ground.freed(parse("1.5/r^2 - 0.3*r", VARIABLES)) is None
