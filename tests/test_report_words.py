"""What the report says of numbers in words, and the lines for the terminal."""

import pytest
from filled import filled
from reported import examined, generalization, law_json, law_record, one_set, relation, rollouts, set_json

from distill.files import kinds, records
from distill.report import words
from distill.report.law import ways


@pytest.mark.parametrize(
    "value, expected",
    [
        (0.0123, "0.0123"),
        (4.56e-8, "4.56×10⁻⁸"),
        (12345, "12,345"),
        (12345.6, "12,346"),
        (None, "n/a"),
        (float("nan"), "n/a"),
        (0.0, "0"),
        (True, "True"),
    ],
)
def test_numbers_as_shown(value, expected):
    assert words.shown(value) == expected


def test_answers_say_what_the_numbers_say():
    good = generalization(interpolation=set_json(), wide=set_json(1e-4), close=set_json(1e-3))
    assert "at least 10 times smaller" in words.answer(law_record(), good)
    bad = generalization(interpolation=set_json(), wide=set_json(1.0), close=set_json())
    said = words.answer(law_record(verdict={"recovered": False, "why": "x"}), bad)
    assert said.startswith("Not found") and "better than the network on 1 of 2" in said and "not on: wide" in said
    unknown, known = {"recovered": None, "why": "x"}, {"system": "mine", "law": None}
    said = words.answer(law_record(truth=None, verdict=unknown), generalization(interpolation=set_json()))
    assert "The true law is not known here." in said and "100 times smaller" in said
    potential = generalization(known, interpolation=set_json())
    assert "only as the gradient" in words.answer(law_record(truth=None, verdict=unknown), potential)
    trusted = filled(kinds.DataVerdict, trusted=True, why="all fits", law_predicts_as_well_as_network=True)
    said = words.answer(law_record(truth=None, verdict=unknown, data_verdict=trusted), None)
    assert said.endswith("at least as well as the network. It can be trusted: all fits.")


def test_answers_say_in_which_relation_the_law_stands():
    def said(recovered, why="x", **verdict):
        return words.answer(law_record(verdict={"recovered": recovered, "why": why, **verdict}), None)

    assert "is the true one (same functional form, constants off by 1 %)" in said(True, equivalence=relation())
    assert said(True, equivalence=relation("same")) == "Found: the distilled law is the true one."
    assert "though its form is another" in said(True, equivalence=relation("different"))
    assert said(False, equivalence=relation("different")) == "Not found: the distilled law is not the true one."
    assert "the true form but other constants" in said(False, equivalence=relation(), failed=["constants"])
    missing = said(False, equivalence=relation("same"), failed=["node terms", "in"])
    assert "the true pair force, but not what acts beside it" in missing


def test_what_the_network_had_to_do_with_it():
    """Every claim of the sentence is that of a verdict: turn one round and the claim goes."""

    def said(messages, law, splines=(None, None), untrained=(None, None), errors=(0.1, 0.1, 0.1), first="splines"):
        def rival(label, found, error):
            one = filled(kinds.Rival, label=label, verdict={"recovered": found[1], "why": "x"})
            one["before_refit"] = filled(kinds.BeforeRefit, verdict={"recovered": found[0], "why": "x"})
            return one | {"acceleration_error": filled(kinds.AccelerationErrors, law=error)}

        record = law_json(verdict={"recovered": law, "why": "x"})
        record["from_messages"]["verdict"] = None if messages is None else {"recovered": messages, "why": "x"}
        record["acceleration_error"]["law"] = errors[0]
        record["rivals"] = {
            first: rival("splines", splines, errors[1]),
            "untrained": rival("the untrained", untrained, errors[2]),
        }
        return words.owed(records.build(kinds.LawRecord, record))

    assert said(True, True, (False, True)) == (
        "The messages had the law before any refit; no rival had that was read alike. After the refit it is found"
        " without the trained network too: splines."
    )
    assert "and so had: splines." in said(True, True, (True, False)) and "none of the rivals" in said(True, True)
    assert "without the trained" not in said(True, True, (True, True), first="linear_node")  # it is that network
    assert "did not have the law: the refit" in said(False, True)
    assert "Neither the messages nor the refit have" in said(False, False)
    assert "too: splines; the untrained." in said(False, False, (False, True), (False, True))
    assert "better than by this law by that of: the untrained." in said(True, True, errors=(0.1, 0.09, 0.01))
    assert "better" not in said(True, True, errors=(1e-16, 1e-17, 0.1))  # rounding
    assert said(None, None).startswith("No rival predicts")


def test_lines_for_the_terminal():
    law = records.build(kinds.LawRecord, examined())
    fit = records.build(kinds.LinearFit, filled(kinds.LinearFit, r2_all=0.9, r2_trim90=0.99, n_edges=77))
    lines = words.summary(
        law,
        generalization(interpolation=set_json(), wide=set_json(1e-3)),
        fit,
        kinds.Skill(network=0.01, zero=0.4, mean=0.3),
    )
    assert lines[0] == "network          error 0.01 of the accelerations left out (predicting zero 0.4, the mean 0.3)"
    lines = lines[1:]
    assert lines[0].startswith("law found        f = 1.002 * q_i") and lines[2] == (
        "verdict          recovered: within tolerance"
    )
    assert lines[3] == "compared         same functional form, constants off by 1 %"
    assert "0.44 % off at r = 0.02, q_i = 1" in lines[4] and "closer than nearly all data" in lines[4]
    assert lines[5] == "by other ways    control not recovered"
    assert lines[6].endswith("0.9000 (all), 0.9900 (best 90 %), 77 edges")
    assert lines[7].endswith("the law's is 100 times smaller; interpolation, 400 accelerations")
    assert lines[8].startswith("worst elsewhere  MAE 0.001 (law)") and "rollouts         the law follows" in lines[9]
    assert len(lines) == 10
    worst = relation()["worst"] | {"relative_error": None, "law": None}
    assert "not finite at r = 0.02" in words.worst_point(records.build(kinds.Equivalence, relation(worst=worst)))
    curve = {k: [0.0] for k in ("lower", "median", "upper")}
    drifting = records.build(kinds.Rollouts, rollouts(momentum_drift=curve, final_momentum_drift_median=1e-12))
    drifting.models["gnn"].final_momentum_drift_median = None
    assert words.rollout_lines(drifting)[1:] == [
        "momentum         drifts by 1.00×10⁻¹² of its scale under the law, n/a under the network (medians at the end)"
    ]


def test_a_law_without_a_known_truth_is_judged_in_the_last_line():
    data = {
        "trusted": False,
        "why": "what the law leaves lasts from frame to frame",
        "violations": ["not central (9 %)"],
    }
    data |= {"better": {"label": "accelerations, no network", "text": "1/r", "error": 0.003}, "skill": None}
    unknown = {"recovered": None, "why": "the true law is not known here"}
    law = law_record(truth=None, verdict=unknown, data_verdict=filled(kinds.DataVerdict, **data))
    lines = words.summary(
        law, generalization(interpolation=set_json()), None, kinds.Skill(network=0.5, zero=0.4, mean=0.6)
    )
    assert lines[0].endswith("no better than predicting zero, it has learned nothing")
    said = (
        "by the data alone the law is not to be trusted: what the law leaves lasts from frame to frame; the better law,"
    )
    said += " from accelerations, no network: f = 1/r; the force that was read out breaks what the law assumes:"
    said += " not central (9 %)"
    assert lines[-1] == f"verdict          {said}"
    assert sum(line.startswith("verdict") for line in lines) == 1


def test_exactness_is_the_laws_own():
    """A network that has diverged makes no law exact."""
    far = set_json(1e-3)
    far["gnn"]["mae"], far["law"]["mae_relative"] = 1e12, 1e-3
    one = records.build(kinds.SetErrors, far)
    assert not words.exact(one) and "exact" not in words.ratio_words(one)
    assert "exact" not in words.compared({"interpolation": one, "wide": one})
    far["law"]["mae_relative"] = 1e-15
    one = records.build(kinds.SetErrors, far)
    assert words.ratio_words(one) == "exact to rounding" and "exact to rounding" in words.compared({"wide": one})


def test_ratios_and_the_worst_set():
    assert words.ratio_words(one_set(1e-2, 1e-3)) == "10 times larger"
    assert words.ratio_words(one_set(0.0)) == "exact to rounding"
    assert words.ratio_words(one_set(None)) == "n/a"
    sets = {"interpolation": one_set(9.0), "wide": one_set(1e-3), "close": one_set(1e-4)}
    assert words.worst_extrapolation(sets) == "wide"
    assert words.worst_extrapolation({"interpolation": one_set()}) is None


def test_a_law_of_the_true_form_that_is_not_recovered_says_what_it_misses():
    early = {"recovered": False, "why": "x", "same_form": True, "failed": ["near"], "equivalence": relation()}
    early |= {"relative_error_near": 0.0013, "tails": {"near": 0.03}, "allowed_errors": {"near": 0.0012}}
    before = law_json()["from_messages"]
    law = law_record(from_messages=before | {"verdict": early})
    said = "same functional form, constants off by 1 %; accelerations close by off by 0.13 %, allowed 0.12 %"
    assert said in words.owed(law) and "had the form of the law" in words.owed(law)
    assert said in ways(law)
    early |= {"allowed_errors": {"near": 0.002}, "tails": {"near": 0.07}}
    assert "off by 7 % in one of a thousand, allowed 6 %" in ways(law_record(from_messages=before | {"verdict": early}))
