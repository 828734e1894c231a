"""The section of the report on the law."""

import re

from filled import filled
from reported import law_json, law_record

from distill.files import kinds, records
from distill.report.law import against_the_truth, before_and_after, residuals


def test_errors_of_the_law_from_the_messages_are_told():
    verdict = {"recovered": True, "why": "x", "relative_error_in_range": 2.5e-5, "relative_error_extrapolated": 4e-5}
    early = law_json()["from_messages"] | {"verdict": verdict}
    assert "off by 0.0025 % within range and 0.004 % beyond." in before_and_after(law_record(from_messages=early))


def test_errors_and_what_was_not_judged_stand_beside_the_relation():
    errors = {"relative_error_in_range": 2e-4, "relative_error_near": 0.01, "relative_error_extrapolated": None}
    three = dict.fromkeys(("in", "near", "extrapolated"), 0.001)
    said = {"tails": three, "allowed_errors": three, "not_judged": ["not judged: the constant 0.01 added to r"]}
    page = against_the_truth(law_record(verdict={"recovered": False, "why": "x"} | errors | said))
    cells = re.sub(r"<[^>]*>", "|", page)
    assert re.search(r"within range\|+n/a to n/a\|+0.02 %\|+0.1 %\|+0.1 %\|+n/a\|", cells)
    assert re.search(r"closer\|+n/a to n/a\|+1 %\|", cells)
    assert "Not judged" in page and "the constant 0.01 added to r" in page


def test_what_predicts_the_residuals_is_listed_best_first():
    clues = {"time": {"z": 1.25, "r2": -0.001}, "velocity": {"z": 21.0, "r2": 0.31}}
    known = {"clues": clues, "autocorrelation": 0.9, "autocorrelation_error": 0.01, "n": 8000}
    out = residuals(records.build(kinds.Residuals, filled(kinds.Residuals, **known)))
    assert out.index("velocity") < out.index("time") and "0.31" in out and "21" in out and "8,000" in out
    assert "correlated by 0.9 ± 0.01" in out and "-0.001" not in out
    assert residuals(records.build(kinds.Residuals, filled(kinds.Residuals))) == ""


def test_the_constants_of_the_messages_law_are_not_those_of_the_search():
    told = before_and_after(law_record())
    assert "constants fitted to the messages of all pairs and then to their sums over the senders" in told
