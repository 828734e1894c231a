"""The verdict where the truth is known: form first, then accelerations in range, near and beyond."""

import json

import numpy as np
import pytest
from planted import messages

from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.law import ranges, verdict
from distill.law.ranges import Ranges, closest_distance
from distill.physics.law import Law
from distill.physics.systems import load_system

GRAVITY = "-m_i*m_j/(r + 0.01)^2"


@pytest.fixture(scope="module")
def gravity():
    return messages("r2", trajectories=200)


def judged(edges, text, truth=GRAVITY, node=None, true_node=0.0, **options):
    true_node = true_node * np.ones_like(edges["acc_i"])
    law = Law(parse(text, VARIABLES), node or {})
    truth = parse(truth, VARIABLES) if isinstance(truth, str) else truth
    found = verdict.against_truth(law, truth, edges, true_node, **options)
    json.dumps(found, allow_nan=False)
    return found


# ---------------------------------------------------------------- where laws are compared


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_closest_pair_of_ten_times_as_much_data(dim):
    """Points spread evenly in a ball: P(r < x) = x^dim, so the smallest of 10 N is 10^(-1/dim) of that of N."""
    rng = np.random.default_rng(dim)
    ratios, true = [], []
    for _ in range(200):
        r = rng.uniform(size=20_000) ** (1 / dim)
        ratios.append(closest_distance(r) / r.min())
        true.append((rng.uniform(size=200_000) ** (1 / dim)).min() / r.min())
    assert np.median(ratios) == pytest.approx(10 ** (-1 / dim), rel=0.03)
    assert np.median(ratios) == pytest.approx(np.median(true), rel=0.25)
    assert closest_distance(np.array([0.7])) == 0.7
    assert closest_distance(3 * r) == pytest.approx(3 * closest_distance(r)), "no unit"
    assert closest_distance(r[::-1]) == closest_distance(r)


def test_ranges_meet_and_go_beyond_the_data(gravity):
    r = gravity["r"]
    found = judged(gravity, GRAVITY)["ranges"]
    assert found["near"][0] < r.min() < found["near"][1] == found["in"][0] == pytest.approx(np.quantile(r, 0.05))
    assert found["in"][1] == found["extrapolated"][0] == r.max() and found["extrapolated"][1] == 3 * r.max()
    cut = judged(gravity, GRAVITY, cutoff=float(r.max()))["ranges"]
    assert cut["extrapolated"] == [0.9 * r.min(), r.min()]


def test_errors_in_range_are_of_summed_accelerations(gravity):
    """A law with a false factor is off by it: |a/(c + |a|)| of the labels that the simulator's own forces made."""
    law, key = Law(parse(f"1.2*{GRAVITY}", VARIABLES)), ("trajectory", "frame", "receiver")
    compared = Ranges(lambda c: Law(parse(GRAVITY, VARIABLES)).radial(**c), gravity, np.zeros_like(gravity["acc_i"]))
    _, first = np.unique(np.stack([gravity[k] for k in key]), axis=1, return_index=True)
    acc = gravity["acc_i"][first]
    assert np.allclose(compared.true_acc, acc, rtol=1e-9, atol=1e-12)
    size = np.linalg.norm(acc, axis=1)
    error = compared.errors(lambda c: law.radial(**c), law.respond)["in"]
    assert error.mean == pytest.approx(np.mean(0.2 * size / (np.median(size) + size)))
    assert error.tail == pytest.approx(0.2 * size.max() / (np.median(size) + size.max()), rel=0.02)


# ---------------------------------------------------------------- right laws


@pytest.mark.parametrize(
    "text",
    [
        GRAVITY,
        "-m_i*m_j/(r^2 + 0.02*r + 0.0001)",
        "-m_i/(r + 0.01)*m_j/(abs(r) + 0.01)",
        "-exp(-2*log(r + 0.01))*m_i*m_j",
        "-q_i^2*m_i*m_j/(q_j*q_j)/(r + 0.01)^2",  # charges of +1 and -1
        "-1.000001*m_i*m_j/(r + 0.01000001)^2",
        "-1.0002*m_i*m_j/(r + 0.009999)^2",  # within a tenth of the network's 1 %
    ],
)
def test_right_laws_are_recovered(gravity, text):
    found = judged(gravity, text)
    assert found["recovered"] and found["same_form"] and not found["failed"], found["why"]
    assert found["why"].startswith(found["equivalence"]["text"]) and "a tenth of the network's error" in found["why"]


# ---------------------------------------------------------------- wrong laws


@pytest.mark.parametrize(
    "text, failed",
    [
        (f"{GRAVITY}*greater(r, 0.03)", {"form", "near"}),  # no force in the core
        (f"{GRAVITY} - 0.0002*m_i*m_j/r^5", {"form", "near"}),
        (f"{GRAVITY} + 1.0e-7*m_i*m_j/r^6", {"form", "near"}),
        ("-m_i*m_j/(r^2 + 0.002)", {"form", "near"}),  # Plummer's
        ("-m_i*m_j/(r + 0.01)^2.005", {"form"}),
        ("-(m_i*m_j)^1.01/(r + 0.01)^2", {"form"}),
        ("-m_i^1.005*m_j^0.995/(r + 0.01)^2", {"form"}),  # breaks the third law
        (f"{GRAVITY}*(1 + 0.015*q_i)", {"form"}),
        (f"{GRAVITY}*exp(-r/2000)", {"form"}),
        (f"{GRAVITY}*greater(12, r)", {"form", "extrapolated"}),  # cut off beyond the data
        (f"{GRAVITY} - 0.0005", {"form"}),
        ("-1.029*m_i*m_j/(r + 0.01)^2", {"constants", "in", "near"}),
        ("-1.011*m_i*m_j/(r + 0.01)^2", {"constants", "in", "near"}),
        ("-1.005*m_i*m_j/(r + 0.01)^2", {"in", "near"}),  # the form is right, its errors are not
        ("-m_i*m_j/(r + 0.0103)^2", {"constants", "near"}),
        ("-m_i*m_j/r^2", {"form", "near"}),
        ("log(r - 1)", {"form", "in", "near", "extrapolated"}),  # not finite
    ],
)
def test_wrong_laws_are_refused(gravity, text, failed):
    found = judged(gravity, text)
    assert not found["recovered"] and failed <= set(found["failed"]), found["why"]
    assert found["same_form"] is not bool({"form", "constants"} & failed)
    # beside a network that knows next to nothing, form and constants still decide
    if failed & {"form", "constants"}:
        assert not judged(gravity, text, network_error=10.0)["recovered"]


def test_what_acts_beside_the_pairs_is_judged(gravity):
    extra = judged(gravity, GRAVITY, node={"drag": 0.02})
    assert extra["failed"][0] == "node terms" and "a node term too many" in extra["why"] and not extra["same_form"]
    assert judged(gravity, GRAVITY, node={"drag": 1e-6})["recovered"]  # too small for any acceleration to tell
    assert not judged(gravity, GRAVITY, node={"drag": 0.02}, network_error=10.0)["recovered"]
    damped = messages("damped", trajectories=100)
    law, true = load_system("damped").law, -0.5 * damped["vel_i"]
    for drag, good in ((0.5, True), (0.5002, True), (0.51, False), (0.0, False), (-0.5, False)):
        found = judged(damped, law, law, {"drag": drag}, true)
        assert found["recovered"] is good, (drag, found["why"])
    for drag, field in ((0.5, 0.005), (0.501, 0.005)):  # small beside the drag, but no part of it
        found = judged(damped, law, law, {"drag": drag, "constant_force": np.array([0.0, field])}, true)
        assert "node terms" in found["failed"] and "too many" in found["why"]
    both = true + damped["mass_i"][:, None] * np.array([0.0, -1.0])
    for drag, gravity_off, good in ((0.5, 0, True), (0.503, 0, True), (0.503, 0.003, True), (0.5, 0.012, False)):
        node = {"drag": drag, "constant_acceleration": np.array([0.0, -1.0 - gravity_off])}
        assert judged(damped, law, law, node, both)["same_form"] is good
    assert judged(damped, law, law, {}, true)["failed"] == ["node terms", "in"]
    pair = verdict.against_truth(Law(parse(law, VARIABLES), {"drag": 3.0}), parse(law, VARIABLES), damped, None)
    assert pair["recovered"] and pair["node_error"] is None


# ---------------------------------------------------------------- what data reach


def test_a_softening_that_no_data_reach_is_not_judged(gravity):
    apart = gravity | {k: gravity[k] * 400.0 for k in ("dx", "r")}
    for text in (GRAVITY, "-m_i*m_j/r^2", "-m_i*m_j/(r + 0.003)^2", "-m_i*m_j/(r - 0.001)^2"):
        found = judged(apart, text, network_error=0.2)
        assert found["recovered"] and found["softening_recovered"] is None, found["why"]
        (said,) = found["not_judged"]
        closest = apart["r"].min()
        assert f"r = {closest:.3g}" in said and said in found["why"] and "0.01 added to r" in said
        change = 100 * abs((closest / (closest + 0.01)) ** -2 - 1)
        assert f"{change:.2g} %" in said
    # it is not carte blanche: a larger one is seen, and so is another form
    assert not judged(apart, "-m_i*m_j/(r + 1)^2", network_error=0.2)["recovered"]
    assert not judged(apart, "-m_i*m_j/r^2.01", network_error=0.2)["recovered"]
    # where data reach it, it has to be there
    near = judged(gravity, "-m_i*m_j/r^2")
    assert not near["not_judged"] and near["softening_recovered"] is False and not near["recovered"]


# ---------------------------------------------------------------- how exact a law has to be


def test_errors_are_held_against_the_network(gravity):
    text = "-1.0005*m_i*m_j/(r + 0.01)^2"
    without = {k: v for k, v in gravity.items() if k != "acc_pred_i"}
    good = judged(gravity, text)
    assert good["allowed_errors"]["in"] == pytest.approx(0.1 * good["network_errors"]["in"])
    assert good["network_errors"]["in"] == pytest.approx(0.0044, rel=0.1)  # the planted 1 %
    assert good["recovered"] and not judged(gravity, text, network_error=1e-3)["recovered"]
    alone = judged(without, text)
    assert alone["recovered"] and "no network to compare with" in alone["why"] and not alone["network_errors"]
    assert not judged(without, "-1.003*m_i*m_j/(r + 0.01)^2")["recovered"]
    assert judged(gravity, text, network_error=0.0)["allowed_errors"]["in"] == verdict.ROUNDING
    assert judged(gravity, GRAVITY, network_error=0.0)["recovered"]
    assert judged(gravity, text, network_error=9.0)["allowed_errors"]["near"] == verdict.CONSTANTS


def test_a_truth_without_a_formula_is_judged_by_its_values(gravity):
    def truth(r, m_i, m_j, q_i, q_j):
        return -m_i * m_j / (r + 0.01) ** 2

    for text, good in (
        (GRAVITY, True),
        ("-1.0004*m_i*m_j/(r + 0.01)^2", True),
        ("-m_i*m_j/(r + 0.0102)^2", False),
        (f"{GRAVITY}*greater(r, 0.02)", False),
        ("-m_i*m_j/(r + 0.01)^2.005", False),
    ):
        found = judged(gravity, text, truth)
        assert found["recovered"] is good and not found["not_judged"], found["why"]


def test_the_response_to_the_net_force_is_part_of_it():
    system = load_system("saturating")
    edges = messages("saturating", trajectories=100)
    pair, nothing = parse(system.law, VARIABLES), np.zeros_like(edges["acc_i"])
    known = {"response": system.response}
    right = verdict.against_truth(Law(pair, response=system.response), pair, edges, nothing, **known)
    assert right["recovered"], right["why"]
    newton = verdict.against_truth(Law(pair), pair, edges, nothing, **known)
    assert newton["failed"] == ["in"] and not newton["recovered"]


def test_what_is_found_does_not_depend_on_order_or_unit(gravity):
    order = np.random.default_rng(0).permutation(len(gravity["r"]))
    shuffled = {k: v[order] if len(v) == len(order) else v for k, v in gravity.items()}
    text = "-1.0007*m_i*m_j/(r + 0.01004)^2"
    one, other = judged(gravity, text), judged(shuffled, text)
    assert one["relative_error_in_range"] == pytest.approx(other["relative_error_in_range"], rel=1e-9)
    assert one["recovered"] == other["recovered"] and one["failed"] == other["failed"]
    scaled = (
        gravity | {k: gravity[k] * 100 for k in ("dx", "r")} | {k: gravity[k] / 1e4 for k in ("acc_i", "acc_pred_i")}
    )
    again = judged(scaled, "-1.0007*m_i*m_j/(r + 1.004)^2", "-m_i*m_j/(r + 1.0)^2")
    for key in ("relative_error_in_range", "relative_error_near", "relative_error_extrapolated"):
        assert again[key] == pytest.approx(one[key], rel=1e-6)


def test_large_tables_are_thinned_by_whole_receivers(gravity, monkeypatch):
    whole = judged(gravity, "-1.0007*m_i*m_j/(r + 0.01)^2")
    monkeypatch.setattr(ranges, "MOST_EDGES", len(gravity["r"]) // 3)
    part = judged(gravity, "-1.0007*m_i*m_j/(r + 0.01)^2")
    assert part["n_receivers"] == -(-whole["n_receivers"] // 3) and part["closest"] == whole["closest"]
    assert part["relative_error_in_range"] == pytest.approx(whole["relative_error_in_range"], rel=0.1)
