"""The report: self-contained, escaped, whole without some stages; and the words it is made of."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from distill.files.properties import VARIABLES
from distill.files.storage import save_json
from distill.formulas.text import parse
from distill.physics.law import Law
from distill.report import document, page, words
from distill.report.page import display_fractions, formula
from distill.shell import paths

RUN = "charge_n4_d2_s0__l1-newton__s0"
HOSTILE = '<script>alert("x")</script>&\'"'
VOID = {"meta", "img", "br", "path", "hr"}


class Checker(HTMLParser):
    """Collects tags, attributes and text, and sees that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.tags, self.alts = [], [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        given = dict(attributes)
        self.links += [given[k] for k in ("src", "href", "data", "action", "srcset") if k in given]
        if tag == "img":
            self.alts.append(given.get("alt"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(path) -> tuple[str, Checker]:
    page = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert all(link.startswith("data:image/png;base64,") for link in checker.links)
    assert all(checker.alts)
    assert not checker.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?://|url\(|@import", page)
    return page, checker


@pytest.fixture
def places(tmp_path, monkeypatch):
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


def law_json(**changes) -> dict:
    law = Law(parse("1.002*q_i*q_j/(r + 0.0101)^2", VARIABLES))
    rows = [[1, 0.5, "q_i"], [7, 0.02, "q_i*q_j/r^2"], [10, 1e-5, "q_i*q_j/(r + 0.0101)^2"]]
    target = {"chosen": 2, "equation": rows[2][2], "latex": law.pair_json()["latex"], "rows": rows, "why": "knee"}
    return {
        "run": RUN,
        "engine": "operon",
        "pair": law.pair_json(),
        "node": law.node_json(2),
        "targets": {"radial": target},
        "truth": {"text": "q_i*q_j/(r + 0.01)^2", "latex": r"\frac{q_i q_j}{(r + 0.01)^2}"},
        "from_messages": {"text": "0.97*q_i*q_j/r^2", "latex": r"0.97\frac{q_i q_j}{r^2}"},
        "verdict": {
            "recovered": True,
            "softening_recovered": False,
            "relative_error_in_range": 0.0021,
            "relative_error_extrapolated": 0.0034,
            "scale": 1.001,
            "why": "within tolerance",
        },
    } | changes


def relation(kind="same functional form", **changes) -> dict:
    """An equivalence as ``distill.formulas.equivalence`` gives it, of the law above to its truth."""
    worst = {
        "range": "near",
        "point": {"r": 0.02, "m_i": 1.5, "m_j": 2.5, "q_i": 1.0, "q_j": -1.0},
        "law": -1106.2,
        "truth": -1111.1,
        "relative_error": 0.0044,
    }
    constants = [
        {"name": "c0", "role": "overall factor", "true": 1.0, "found": 1.002, "off": 0.002},
        {"name": "c1", "role": "added to r", "true": 0.01, "found": 0.0101, "off": 0.01},
    ]
    known = {"relation": kind, "factor": None, "constants": constants, "off": 0.01, "symbolic": True, "worst": worst}
    said = {"variables": ["r", "q_i", "q_j"], "text": "same functional form, constants off by 1 %"}
    return known | said | changes


def examined(**changes) -> dict:
    """``law.json`` with everything that newer searches add."""
    law = law_json()
    law["verdict"]["equivalence"] = relation()
    law["control"] = {
        "pair": {"text": "q_i*q_j/(r + 0.0107)^2"},
        "acceleration_error": {"law": 0.0123},
        "cpu_seconds": 6.5,
        "what": "without a network",
        "verdict": {"recovered": False, "equivalence": relation("different", text="different: 7 % off")},
    }
    second = {"equation": "q_i*q_j/(r + 0.02)^1.9", "complexity": 12, "held_out": 0.2, "why_it_lost": "twice the error"}
    tried = [{"complexity": 3, "held_out": 0.5, "equation": "q_i/r"}]
    law["refinement"] = {"runner_up": second, "chosen_share": 0.97, "candidates": tried}
    law["form"], law["constants_note"] = "c0*q_i*q_j/(r + c1)^2", "by jackknife"
    law["constants"] = [
        {"symbol": "c0", "value": 1.002, "standard_error": 0.0012, "snapped_from": None},
        {"symbol": "c1", "value": 0.0101, "standard_error": None, "snapped_from": 0.010098765},
        {"symbol": "threshold of r", "value": 1.99, "gap": [1.9871, 1.9932]},
    ]
    law["leftover"] = {"text": "nothing is left over"}
    law["data_verdict"] = {"trusted": True, "why": "it leaves nothing to predict"}
    law["from_messages"] = {
        "text": "q_i*q_j/r^2",
        "runner_up": {"equation": "q_i/r", "why_it_lost": "far worse"},
        "chosen_share": 0.8,
        "restarts": 4,
        "restarts_with_chosen": 3,
    }
    errors = {"held_out_error": 0.41, "law_error": 1e-5, "network_error": 0.002}
    law["sr_on_inputs"] = {"equation": "q_1*dx_1", "complexity": 21, "what": "raw inputs", **errors}
    law["node_search"] = {"equation": "(R - 0.5*v)/m_i", "text": "agrees with the composed one"}
    return law | changes


def one_set(law=1e-4, gnn=1e-2, bad=0) -> dict:
    def numbers(mae):
        return {"mae": mae, "mae_trim90": mae, "median_relative_error": mae, "r2": 0.99, "n": 400, "n_not_finite": 0}

    return {"what": "made up", "gnn": numbers(gnn), "law": numbers(law) | {"n_not_finite": bad}}


def rollouts() -> dict:
    t = np.linspace(0, 3, 7)
    curve = {k: [None if v > 2.6 else 1e-6 + v for v in t] for k in ("lower", "median", "upper")}
    model = {
        "rtol": 1e-9,
        "position_error": curve,
        "energy_drift": curve,
        "followed_for": 1.0,
        "steps_max": 9,
        "final_energy_drift_median": None,
        "failed": [{"trajectory": 1, "at_time": 2.5, "why": "step size vanished"}],
    }
    return {
        "n": 2,
        "particles": 4,
        "training_time": 1.0,
        "horizon": 3.0,
        "method": "DOP853",
        "time": t.tolist(),
        "position_error_is": "RMS",
        "energy_drift_is": "drift",
        "followed_while": "small",
        "models": {k: model for k in ("truth", "law", "truth_loose", "gnn")},
    }


def write(places, **stages):
    for name, content in stages.items():
        save_json(places / "outputs" / RUN / f"{name}.json", content)


def test_full_report_holds_the_law_and_stands_alone(places):
    sets = {"interpolation": one_set(), "wide": one_set(2e-4), "close": one_set(bad=3)}
    write(places, law=law_json(), generalization={"sets": sets, "rollouts": rollouts(), "truth": {"system": "charge"}})
    page, checker = checked(document.write_report(RUN))
    assert "1.002 * q_i * q_j / (r + 0.0101)^2" in page and "q_i*q_j/(r + 0.01)^2" in page
    assert "Found: the distilled law is the true one" in page and "softening not recovered" in page
    assert len(checker.alts) >= 3 and "svg" in checker.tags
    assert "not finite for 3 of 403" in page and "step size vanished" in page
    assert "could not be shown" not in page


def test_everything_newer_searches_say_is_shown(places):
    drifting = rollouts()
    drifting |= {"momentum_drift_is": "of m v", "angular_momentum_drift_is": "not conserved: drag"}
    for model in drifting["models"].values():
        model |= {
            "momentum_drift": model["energy_drift"],
            "final_momentum_drift_median": 0.00345,
            "angular_momentum_drift": None,
            "final_angular_momentum_drift_median": None,
        }
    write(places, law=examined(), generalization={"sets": {"interpolation": one_set()}, "rollouts": drifting})
    page, _ = checked(document.write_report(RUN))
    assert "could not be shown" not in page
    for said in (
        "Worst of all points compared: 0.44 % off at r = 0.02, q_i = 1, q_j = -1 (law -1106, truth -1111;",
        "the true one (same functional form, constants off by 1 %)",
        *("added to r", "algebra confirms it", "q_i * q_j / (r + 0.0107)^2", "different: 7 % off"),
        *("6.5 s of CPU time", "without a network", "q_i*q_j/(r + 0.02)^1.9", "twice the error", "97 %"),
        *("0.0012", "0.010098765", "by jackknife", "between 1.9871 and 1.9932", "c0*q_i*q_j/(r + c1)^2"),
        *("nothing is left over", "q_1*dx_1", "formula 0.41, law 1.00×10⁻⁵, network 0.002", "raw inputs"),
        *("(R - 0.5*v)/m_i", "agrees with the composed one", "0.00345"),
        *("can be trusted: it leaves nothing to predict", "far worse", "80 %", "3 of 4 restarts met its form"),
        "Drift of the angular momentum: not conserved: drag",
    ):
        assert said in page, said
    assert "momentum</th>" in page and "angular momentum</th>" not in page


@pytest.mark.parametrize("name", ["control", "refinement", "constants", "leftover", "sr_on_inputs", "node_search"])
def test_newer_entries_are_optional_and_a_damaged_one_costs_its_part_only(places, name):
    law = examined()
    del law[name]
    write(places, law=law)
    page, _ = checked(document.write_report(RUN))
    assert "could not be shown" not in page
    write(places, law=examined(**{name: [3]}))
    page, _ = checked(document.write_report(RUN))
    assert page.count("This part could not be shown") == 1 and "How it was read from the network" in page


@pytest.mark.parametrize("stages", [[], ["law"], ["generalization"], ["linear_fit"], ["messages_train"]])
def test_missing_stages_name_their_command(places, stages):
    compared = {"sets": {"interpolation": one_set()}, "rollouts": {"skipped": "no"}}
    contents = {"law": law_json(), "generalization": compared, "linear_fit": {}, "messages_train": {"edges": 10}}
    write(places, **{k: contents[k] for k in stages})
    page, _ = checked(document.write_report(RUN))
    assert "could not be shown" not in page
    for stage, command in (("law", "symbolic_reg.py"), ("generalization", "test_generalization.py")):
        assert (f"python {command} --run {RUN}" in page) == (stage not in stages)


def test_text_from_files_is_escaped(places):
    law = law_json(engine=HOSTILE, verdict={"recovered": False, "why": HOSTILE}, run=HOSTILE)
    law["pair"] = {"text": HOSTILE, "latex": HOSTILE, "convention": HOSTILE, "complexity": HOSTILE}
    law["truth"] = {"text": HOSTILE, "latex": r"\nonsense{", "external": HOSTILE}
    law["node"] = {"text": HOSTILE, "latex": HOSTILE, "terms": {HOSTILE: HOSTILE}}
    law["targets"]["radial"] |= {"why": HOSTILE, "rows": [[1, 0.5, HOSTILE]], "pysr_best": {"equation": HOSTILE}}
    law["targets"][HOSTILE] = law["targets"]["radial"]
    law |= {
        "arguments": {HOSTILE: HOSTILE, "seed": HOSTILE},
        "versions": {HOSTILE: HOSTILE},
        "device": HOSTILE,
        "git": {"commit": HOSTILE},
        "inputs": {HOSTILE: {"path": HOSTILE, "sha256": HOSTILE}},
        "python": HOSTILE,
        "read_out": {"gauge": HOSTILE, "held_out_errors": {HOSTILE: HOSTILE}},
        "seconds": HOSTILE,
    }
    law |= {
        "control": {"pair": {"text": HOSTILE}, "what": HOSTILE, "cpu_seconds": HOSTILE, "verdict": {}},
        "refinement": {
            "runner_up": {"equation": HOSTILE, "why_it_lost": HOSTILE, "complexity": HOSTILE},
            "chosen_share_is": HOSTILE,
            "chosen_share": 0.5,
        },
        "constants": [{"symbol": HOSTILE, "value": HOSTILE, "standard_error": HOSTILE, "snapped_from": HOSTILE}],
        "constants_note": HOSTILE,
        "form": HOSTILE,
        "leftover": {"text": HOSTILE},
        "sr_on_inputs": {"equation": HOSTILE, "complexity": HOSTILE, "what": HOSTILE, "law_error": HOSTILE},
        "node_search": {"equation": HOSTILE, "text": HOSTILE},
        "data_verdict": {"why": HOSTILE},
        "from_messages": {
            "text": HOSTILE,
            "runner_up": {"equation": HOSTILE, "why_it_lost": HOSTILE},
            "chosen_share": 0.5,
            "restarts_with_chosen": HOSTILE,
            "restarts": HOSTILE,
        },
    }
    odd = relation("different", text=HOSTILE, symbolic=HOSTILE, variables=[HOSTILE])
    odd["worst"] |= {"range": HOSTILE, "point": {HOSTILE: HOSTILE}, "law": HOSTILE}
    odd["constants"] = [{"role": HOSTILE, "true": HOSTILE, "found": HOSTILE, "off": 1.0}]
    law["verdict"]["equivalence"] = odd
    sets = {HOSTILE: one_set() | {"what": HOSTILE}}
    write(places, law=law, generalization={"sets": sets, "rollouts": {"skipped": HOSTILE}})
    page, _ = checked(document.write_report(RUN))
    assert "<script" not in page and page.count("&lt;script") > 30 and "could not be shown" not in page


def test_a_damaged_file_costs_its_part_only(places):
    write(places, law=law_json(), generalization={"sets": {"interpolation": {"what": "no numbers"}}})
    (places / "outputs" / RUN / "linear_fit.json").write_text("{", encoding="utf-8")
    page, _ = checked(document.write_report(RUN))
    assert "not valid JSON" in page and "could not be shown" in page and "knee" in page


def test_report_is_stale_when_a_source_is_newer(places):
    import os

    assert document.is_stale(RUN)
    write(places, law=law_json())
    path = document.write_report(RUN)
    assert not document.is_stale(RUN)
    os.utime(path, (1, 1))
    assert document.is_stale(RUN)


def test_same_files_give_the_same_page(places):
    write(places, law=law_json(), generalization={"sets": {"interpolation": one_set()}, "rollouts": rollouts()})
    first = document.write_report(RUN).read_bytes()
    assert document.write_report(RUN).read_bytes() == first


# ---------------------------------------------------------------- formulas and words


def test_formula_is_an_svg_of_paths_with_its_text():
    svg = formula(r"f = \frac{q_i \, q_j}{\left(r + 0.01\right)^{2}}", 24, "q_i*q_j/(r + 0.01)^2")
    assert svg.startswith("<svg") and 'd="M' in svg and "q_i*q_j/(r + 0.01)^2" in svg and "id=" not in svg
    narrow = formula("x" * 200, 24, limit=100)
    wide = formula("x" * 200, 24, limit=1e9)
    ratio = [float(re.search(r' width="([\d.]+)"', s).group(1)) for s in (narrow, wide)]
    assert ratio[0] == pytest.approx(0.6 * ratio[1], rel=1e-2)


def test_formula_that_cannot_be_set_is_shown_as_code():
    assert formula(r"\nonsense{", plain="a < b") == "<code>a &lt; b</code>"
    assert formula("", plain="empty") == "<code>empty</code>"


@pytest.mark.parametrize(
    "latex, expected",
    [
        (r"\frac{a}{b}", r"\dfrac{a}{b}"),
        (r"-\frac{\frac{1}{2} r}{b} + \frac{1}{r}", r"-\dfrac{\frac{1}{2} r}{b} + \dfrac{1}{r}"),
        (r"\sqrt{\frac{1}{r}}", r"\sqrt{\dfrac{1}{r}}"),
        (r"a \left\{\frac{1}{2}\right\}", r"a \left\{\dfrac{1}{2}\right\}"),
    ],
)
def test_outer_fractions_are_displayed(latex, expected):
    assert display_fractions(latex) == expected


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
    good = {"sets": {"interpolation": one_set(), "wide": one_set(1e-4), "close": one_set(1e-3)}}
    assert "at least 10 times smaller" in words.answer(law_json(), good)
    bad = {"sets": {"interpolation": one_set(), "wide": one_set(1.0), "close": one_set()}}
    said = words.answer(law_json(verdict={"recovered": False}), bad)
    assert said.startswith("Not found") and "better than the network on 1 of 2" in said and "not on: wide" in said
    unknown = words.answer(law_json(truth=None, verdict={"recovered": None}), {"sets": {"interpolation": one_set()}})
    assert "cannot be judged" in unknown and "100 times smaller" in unknown
    potential = {"sets": {"interpolation": one_set()}, "truth": {"system": "mine", "law": None}}
    law = law_json(truth=None, verdict={}, data_verdict={"law_predicts_as_well_as_network": True})
    assert "only as the gradient" in words.answer(law, potential)
    assert words.answer(law_json(), None).count(".") >= 1


def test_answers_say_in_which_relation_the_law_stands():
    def said(recovered, **verdict):
        return words.answer(law_json(verdict={"recovered": recovered, **verdict}), None)

    assert "is the true one (same functional form, constants off by 1 %)" in said(True, equivalence=relation())
    assert said(True, equivalence=relation("same")) == "Found: the distilled law is the true one."
    assert "though its form is another" in said(True, equivalence=relation("different"))
    assert said(False, equivalence=relation("different")) == "Not found: the distilled law is not the true one."
    assert "the true form but other constants" in said(False, equivalence=relation(), why="wrong: scale")
    missing = said(False, equivalence=relation("same"), why="wrong: node terms")
    assert "the true pair force, but not what acts beside it" in missing


def test_lines_for_the_terminal():
    lines = words.verdict_lines(examined())
    assert lines[0] == "compared         same functional form, constants off by 1 %"
    assert "0.44 % off at r = 0.02, q_i = 1" in lines[1] and "closer than nearly all data" in lines[1]
    assert lines[2].endswith("from accelerations alone: not recovered")
    worst = relation()["worst"] | {"relative_error": None, "law": None}
    assert "not finite at r = 0.02" in words.worst_point(relation(worst=worst))
    assert words.verdict_lines(law_json()) == [] and words.verdict_lines({"verdict": None}) == []
    assert words.momentum_lines(rollouts()) == [] and words.momentum_lines({"skipped": "no"}) == []
    one = {"momentum_drift": {"median": [0.0]}, "final_momentum_drift_median": 1e-12}
    lines = words.momentum_lines({"models": {"law": one, "gnn": one | {"final_momentum_drift_median": None}}})
    assert lines == [
        "momentum         drifts by 1.00×10⁻¹² of its scale under the law, n/a under the network (medians at the end)"
    ]


def test_ratios_and_the_worst_set():
    assert words.ratio_words(one_set(1e-2, 1e-3)) == "10 times larger"
    assert words.ratio_words(one_set(0.0)) == "exact to rounding"
    assert words.ratio_words(one_set(None)) == "n/a"
    sets = {"interpolation": one_set(9.0), "wide": one_set(1e-3), "close": one_set(1e-4)}
    assert words.worst_extrapolation(sets) == "wide"
    assert words.worst_extrapolation({"interpolation": one_set()}) is None


def test_command_lines_are_rebuilt():
    from distill.report.provenance import command

    given = {
        "run": "x",
        "split": ["train", "test"],
        "max_graphs": 5,
        "quick": True,
        "overwrite": True,
        "resume": False,
        "antisymmetric": False,
        "tag": "",
        "hidden": None,
        "options": {"a": 1},
    }
    expected = "python s.py --run x --split train test --max-graphs 5 --quick --no-antisymmetric"
    assert command("s.py", given) == expected


def test_the_command_of_a_search_can_be_repeated():
    """Its flags exist, and a shell leaves the operators alone."""
    import shlex

    import symbolic_reg
    from distill.report.provenance import command

    for more in ([], ["--sr-on-inputs", "--raw-inputs", "--no-guesses", "--no-deterministic"]):
        words = ["--run", "x", "--operators", "+", "*", "pow", *more]
        line = command("symbolic_reg.py", vars(symbolic_reg.parse(words)))
        assert "'*'" in line and symbolic_reg.parse(shlex.split(line)[2:]) == symbolic_reg.parse(words)


def test_table_marks_a_row_and_formats_numbers():
    out = page.table(["a", "b"], [["x", 1e-9], ["y", None]], marked=1)
    assert "1.00×10⁻⁹" in out and "<tr class=marked>" in out and "n/a" in out


def test_errors_of_the_law_from_the_messages_name_the_factor_they_are_told_after():
    from types import SimpleNamespace

    from distill.report.law import before_and_after

    verdict = {"recovered": True, "relative_error_in_range": 2.5e-5, "relative_error_extrapolated": 4e-5, "scale": 0.97}
    law = {"from_messages": {"text": "q_i*q_j/r^2", "verdict": verdict}, "pair": {"text": "q_i*q_j/r^2"}}
    assert "multiplied by the best factor, 0.97." in before_and_after(SimpleNamespace(law=law))
