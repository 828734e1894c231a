"""The page of a run: self-contained, escaped, whole without some stages."""

import os
import re

import pytest
from filled import filled
from reported import (
    HOSTILE,
    RUN,
    checked,
    compared,
    examined,
    generalization,
    law_json,
    law_record,
    relation,
    rollouts,
    set_json,
    write,
)

from distill.files import kinds, records
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.physics.law import Law
from distill.physics.responses import Response
from distill.report import document, page, words
from distill.report.material import is_stale


def test_full_report_holds_the_law_and_stands_alone(places):
    write(places, law=law_json(), generalization=compared())
    page, checker = checked(document.write_report(RUN))
    assert "1.002 * q_i * q_j / (r + 0.0101)^2" in page and "q_i*q_j/(r + 0.01)^2" in page
    assert "Found: the distilled law is the true one" in page and "softening not recovered" in page
    assert len(checker.alts) >= 3 and "svg" in checker.tags
    assert "not finite for 3 of 403" in page and "step size vanished" in page
    assert "could not be shown" not in page


def test_everything_a_search_may_say_is_shown(places):
    drift = {"momentum_drift": {k: [0.0] for k in ("lower", "median", "upper")}, "final_momentum_drift_median": 0.00345}
    drifting = rollouts(**drift)
    drifting |= {"momentum_drift_is": "of m v", "angular_momentum_drift_is": "not conserved: drag"}
    write(places, law=examined(), generalization=compared(rollouts=drifting))
    page, _ = checked(document.write_report(RUN))
    assert "could not be shown" not in page
    for said in (
        "Worst of all points compared: 0.44 % off at r = 0.02, q_i = 1, q_j = -1 (law -1106, truth -1111;",
        "the true one (same functional form, constants off by 1 %)",
        *("added to r", "algebra confirms it", "q_i * q_j / (r + 0.0107)^2", "another form"),
        *("6.5 s of CPU time", "without a network", "q_i*q_j/(r + 0.02)^1.9", "twice the error", "97 %"),
        *("0.0012", "0.010098765", "By jackknife", "between 1.9871 and 1.9932", "c0*q_i*q_j/(r + c1)^2"),
        *("nothing is left over", "q_1*dx_1", "formula 0.41, law 1.00×10⁻⁵, network 0.002", "raw inputs"),
        *("(R - 0.5*v)/m_i", "agrees with the composed one", "0.00345"),
        *("can be trusted: it leaves nothing to predict", "far worse", "80 %", "3 of 4 restarts met its form"),
        "Drift of the angular momentum: not conserved: drag",
    ):
        assert said in page, said
    assert "momentum</th>" in page and "angular momentum</th>" not in page


@pytest.mark.parametrize("name", ["sr_on_inputs", "node_search", "truth"])
def test_what_a_search_may_leave_out_is_optional(places, name):
    write(places, law=examined() | {name: None})
    page, _ = checked(document.write_report(RUN))
    assert "could not be shown" not in page and "How it was read from the network" in page


@pytest.mark.parametrize("stages", [[], ["law"], ["generalization"], ["linear_fit"], ["messages_train"]])
def test_missing_stages_name_their_command(places, stages):
    scored = {k: filled(kinds.Scores) for k in ("force", "acceleration")}
    contents = {"law": law_json(), "generalization": compared(rollouts={"skipped": "no"})}
    contents["linear_fit"] = filled(kinds.LinearFit, targets=scored, best_target="force")
    contents["messages_train"] = filled(kinds.MessagesRecord)
    write(places, **{k: contents[k] for k in stages})
    page, _ = checked(document.write_report(RUN))
    assert "could not be shown" not in page
    for stage, command in (("law", "symbolic_reg.py"), ("generalization", "test_generalization.py")):
        assert (f"python {command} --run {RUN}</code>" in page) == (stage not in stages)


def hostile(value):
    """``value`` with every text replaced, keys of tables too; what is chosen from a list is left."""
    if isinstance(value, dict):
        return {k: v if k in ("relation", "range", "best_target") else hostile(v) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


def test_text_from_files_is_escaped(places):
    law = hostile(examined())
    other = law["rivals"]["control"]
    for found in (law["pair"], law["from_messages"], other["pair"], other["before_refit"]):
        found |= {"text": "q_i/r", "variables": ["r", "q_i"]}  # is read as a formula
    law["node"]["terms"] = {HOSTILE: 0.5}
    law["targets"][HOSTILE] = law["targets"]["radial"]
    law |= {"arguments": {HOSTILE: HOSTILE, "seed": HOSTILE}, "versions": {HOSTILE: HOSTILE}, "device": HOSTILE}
    law |= {"git": {"commit": HOSTILE}, "inputs": {HOSTILE: {"path": HOSTILE, "sha256": HOSTILE}}, "python": HOSTILE}
    law["read_out"]["held_out_errors"] = {HOSTILE: 0.5}
    against = compared(sets={HOSTILE: hostile(set_json())}, rollouts={"skipped": HOSTILE}, skipped_sets={HOSTILE: "x"})
    write(places, law=law, generalization=against)
    page, _ = checked(document.write_report(RUN))
    assert "<script" not in page and page.count("&lt;script") > 30 and "could not be shown" not in page


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "not valid JSON"),
        ('{"stage": "fit_linear", "format": 0}', "linear_fit.json is of another version"),
        ('{"stage": "fit_linear", "format": 2}', "linear_fit.json: &#x27;run&#x27; is missing; make it again:"),
    ],
)
def test_a_file_that_cannot_be_read_costs_its_part_only(places, text, told):
    write(places, law=law_json())
    (places / "outputs" / RUN / "linear_fit.json").write_text(text, encoding="utf-8")
    page, _ = checked(document.write_report(RUN))
    assert told in page and "knee" in page and f"fit_linear.py --run {RUN} --overwrite" in page


def test_a_law_that_cannot_be_parsed_costs_its_part_only(places):
    law = law_json()
    law["pair"]["text"] = "q_i +/ r"
    write(places, law=law)
    page, _ = checked(document.write_report(RUN))
    assert page.count("This part could not be shown") == 1 and "How it was read from the network" in page


def test_report_is_stale_when_a_source_is_newer(places):
    assert is_stale(RUN)
    write(places, law=law_json())
    path = document.write_report(RUN)
    assert not is_stale(RUN)
    os.utime(path, (1, 1))
    assert is_stale(RUN)


def test_same_files_give_the_same_page(places):
    write(places, law=law_json(), generalization=compared())
    first = document.write_report(RUN).read_bytes()
    assert document.write_report(RUN).read_bytes() == first


def test_table_marks_a_row_and_formats_numbers():
    out = page.table(["a", "b"], [["x", 1e-9], ["y", None]], marked=1)
    assert "1.00×10⁻⁹" in out and "<tr class=marked>" in out and "n/a" in out


def test_a_response_stands_beside_the_pair_law_wherever_that_is_shown(places):
    law = Law(parse("-m_i*m_j/r", VARIABLES), response=Response("found", "1/(m_i + s)", "-sv/2"))
    both = {"pair": law.pair_json(), "node": law.node_json(2)}
    changes = both | {"from_messages": filled(kinds.BeforeRefit, **law.pair_json(), node=both["node"])}
    truth = {"alpha": "1/m_i", "beta": "0"}
    judged = filled(kinds.ResponseVerdict, truth=truth)
    verdict = {"recovered": False, "why": "different", "response": judged, "equivalence": relation("different")}
    same = {"recovered": True, "why": "same law, within 0.001 %; off by 0 %"}
    same |= {"equivalence": relation("same", text="same law, within 0.001 %")}
    told = "a = (1/(m_i + s)) S + (-sv/2) v; S the net force, s its size, sv S.v"
    write(places, law=law_json(**changes | {"verdict": verdict}))
    page, _ = checked(document.write_report(RUN))
    assert page.count(told) == 3 and "a = (1/m_i) S; S the net force<" in page  # law, truth, before and after the refit
    assert re.search(r"alpha = <code>1 / \(m_i \+ s\)</code><br>beta = <code>-sv / 2", page)
    lines = words.summary(law_record(**changes | {"verdict": verdict}), generalization(), None)
    assert lines[1].strip() == told
    long = filled(kinds.ResponseLaw, alpha="1.2247448714/m_i", beta="0", variables=["s", "v", "sv", "m_i"])
    assert words.response_short(records.build(kinds.ResponseLaw, long)) == "a = (1.225/m_i) S"
    lines = words.summary(law_record(**changes | {"verdict": same}), generalization(), None)
    assert not any(line.startswith("compared") for line in lines)  # the verdict has said it


def test_a_law_of_a_dataset_without_a_truth_speaks_of_splines_and_is_named_after_the_data(places):
    splines = {"law": 0.2, "splines": 0.3}
    unknown = {"recovered": None, "why": "the true law is not known here"}
    doubt = filled(kinds.DataVerdict, trusted=False, why="it leaves structure", law_predicts_as_well_as_network=True)
    law = law_json(verdict=unknown, truth=None, source="splines", acceleration_error=splines, data_verdict=doubt)
    write(places, law=law | {"arguments": {"dataset": "mine"}})
    page, _ = checked(document.write_report(RUN))
    assert (
        "units are those of the data" in page
        and "“mine”, found by splines" in page
        and "as well as the splines" in page
    )
    top = page[: page.index("<section")]
    assert "the network" not in top and ">✗ not to be trusted<" in top and top.lower().count("not known here") == 2
