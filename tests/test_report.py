"""The report: self-contained, escaped, whole without some stages; and the words it is made of."""

import importlib
import os
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pytest
from figures import draw_front
from filled import filled

from distill.files import kinds, records
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.physics.law import Law
from distill.physics.responses import Response
from distill.report import document, page, plots, provenance, words
from distill.report.law import against_the_truth, before_and_after, residuals, ways
from distill.report.material import is_stale
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
    target["pysr_best"] = {"equation": rows[2][2]}
    control = filled(kinds.Rival, pair=law.pair_json(), what="without a network", cpu_seconds=6.5)
    control["before_refit"] = filled(kinds.BeforeRefit, **law.pair_json())  # which a rival with a force of its own has
    verdict = {
        "recovered": True,
        "softening_recovered": False,
        "relative_error_in_range": 0.0021,
        "relative_error_extrapolated": 0.0034,
        "why": "within tolerance",
    }
    early = {"text": "0.97*q_i*q_j/r^2", "latex": r"0.97\frac{q_i q_j}{r^2}"}
    known = {
        "run": RUN,
        "engine": "operon",
        "pair": law.pair_json(),
        "node": law.node_json(2),
        "targets": {"radial": filled(kinds.TargetRecord, **target)},
        "truth": filled(kinds.Truth, text="q_i*q_j/(r + 0.01)^2", latex=r"\frac{q_i q_j}{(r + 0.01)^2}"),
        "from_messages": filled(kinds.BeforeRefit, **law.pair_json() | early),
        "rivals": {"control": control},
        "verdict": verdict,
    }
    return filled(kinds.LawRecord, **known | changes)


def law_record(**changes) -> kinds.LawRecord:
    return records.build(kinds.LawRecord, law_json(**changes))


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
    return filled(kinds.Equivalence, **known | said | changes)


def examined() -> dict:
    """``law.json`` with everything that a search may add."""
    law = law_json()
    law["verdict"]["equivalence"] = relation()
    law["rivals"]["control"]["pair"]["text"] = "q_i*q_j/(r + 0.0107)^2"
    other = relation("different", text="different: 7 % off")
    law["rivals"]["control"]["verdict"] = {"recovered": False, "why": "wrong: scale", "equivalence": other}
    second = {"equation": "q_i*q_j/(r + 0.02)^1.9", "complexity": 12, "held_out": 0.2, "why_it_lost": "twice the error"}
    tried = [{"complexity": 3, "held_out": 0.5, "equation": "q_i/r", "repaired": False}]
    law["refinement"] |= {"runner_up": second, "chosen_share": 0.97, "candidates": tried}
    law["form"], law["constants_note"] = "c0*q_i*q_j/(r + c1)^2", "by jackknife"
    law["constants"] = [
        {"symbol": "c0", "value": 1.002, "standard_error": 0.0012},
        {"symbol": "c1", "value": 0.0101, "standard_error": None, "snapped_from": 0.010098765},
        {"symbol": "threshold of r", "value": 1.99, "standard_error": None, "gap": [1.9871, 1.9932]},
    ]
    law["leftover"]["text"] = "nothing is left over"
    law["data_verdict"] |= {"trusted": True, "why": "it leaves nothing to predict"}
    lost = {"equation": "q_i/r", "complexity": 3, "held_out": 0.4, "why_it_lost": "far worse"}
    law["from_messages"] |= {"runner_up": lost, "chosen_share": 0.8, "restarts": 4, "restarts_with_chosen": 3}
    errors = {"held_out_error": 0.41, "law_error": 1e-5, "network_error": 0.002}
    law["sr_on_inputs"] = filled(kinds.InputsBaseline, equation="q_1*dx_1", complexity=21, what="raw inputs", **errors)
    law["node_search"] = filled(kinds.NodeSearch, equation="(R - 0.5*v)/m_i", text="agrees with the composed one")
    return law


def set_json(law=1e-4, gnn=1e-2, bad=0) -> dict:
    def numbers(mae, bad=0):
        both = {"mae": mae, "mae_trim90": mae, "median_relative_error": mae}
        return both | {"r2": 0.99, "n": 400, "n_not_finite": bad}

    return filled(kinds.SetErrors, what="made up", gnn=numbers(gnn), law=numbers(law, bad))


def one_set(*numbers) -> kinds.SetErrors:
    return records.build(kinds.SetErrors, set_json(*numbers))


def compared(**changes) -> dict:
    sets = {"interpolation": set_json(), "wide": set_json(2e-4), "close": set_json(bad=3)}
    known = {"sets": sets, "rollouts": rollouts(), "truth": {"system": "charge", "law": None}}
    return filled(kinds.Generalization, **known | changes)


def generalization(truth=None, **sets) -> kinds.Generalization:
    return records.build(kinds.Generalization, compared(sets=sets, truth=truth))


def rollouts(**more) -> dict:
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
    told = {"n": 2, "particles": 4, "training_time": 1.0, "horizon": 3.0, "time": t.tolist()}
    models = {k: model | more for k in ("truth", "law", "truth_loose", "gnn")}
    return filled(kinds.Rollouts, **told, models=models)


KINDS = {"law": kinds.LawRecord, "generalization": kinds.Generalization, "linear_fit": kinds.LinearFit}
KINDS |= {"messages_train": kinds.MessagesRecord}


def write(places, **stages):
    for name, content in stages.items():
        records.save(KINDS[name], places / "outputs" / RUN / f"{name}.json", content)


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
        assert (f"python {command} --run {RUN}" in page) == (stage not in stages)


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


GIVEN = {  # script -> flags away from their defaults
    "simulate": ["--system", "r2", "--n", "4", "--quick", "--tag", "a b"],
    "train": ["--dataset", "my data/x.npz", "--no-antisymmetric", "--exp-gate", "--lr", "0.01", "--no-capture"],
    "extract_messages": ["--run", "x", "--split", "train", "test", "--max-graphs", "5"],
    "fit_linear": ["--run", "x; rm -rf y"],
    "symbolic_reg": ["--run", "x", "--operators", "+", "-", "*", "--no-guesses", "--sr-on-inputs", "--raw-inputs"],
    "test_generalization": ["--run", "x", "--rollouts", "0"],
}


@pytest.mark.parametrize("script", GIVEN)
@pytest.mark.parametrize("given", [True, False])
def test_the_command_told_is_the_command_given(script, given):
    """Pasted into a shell, it gives the flags that were given, to the parser of the script itself."""
    module = importlib.import_module(script)
    parse = module.parse if hasattr(module, "parse") else module.parser().parse_args
    argv = GIVEN[script] if given else GIVEN[script][: 4 if script == "simulate" else 2]
    arguments = vars(parse(argv))
    told = provenance.command(f"{script}.py", arguments | {"options": {"a": 1}, "frames_sha256": "0"})
    python, name, *words = shlex.split(told)
    assert (python, name) == ("python", f"{script}.py") and vars(parse(words)) == arguments


def test_a_command_leaves_out_what_is_about_one_call():
    given = {"run": "x", "split": ["train", "test"], "quick": True, "overwrite": True, "resume": True, "hidden": None}
    assert provenance.command("s.py", given) == "python s.py --run x --split train test --quick"


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


def test_the_numbers_below_an_axis_do_not_overlap():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    values = np.random.default_rng(0).uniform(-0.0123, 0.0123, (100, 2))
    splines = {"splines": (values[:, 0], values[:, 1], {"r2_all": 1.0, "r2_trim90": 1.0})}
    figure = plots.linear_fit(values, values, ["", ""], [(1, 1), (1, 1)], splines, "")
    FigureCanvasAgg(figure).draw()
    for axis in figure.axes:
        low, high = axis.get_xlim()
        shown = [t.get_window_extent() for t in axis.get_xticklabels() if low <= t.get_position()[0] <= high]
        assert len(shown) > 2 and all(a.x1 < b.x0 for a, b in zip(shown, shown[1:], strict=False))


def test_complexities_are_whole_numbers_on_the_axis():
    figure = plots.pareto({"radial": (np.array([1, 3, 14]), np.array([1, 0.1, 0.01]), 2)}, "")
    target = {"rows": [[1, 1.0, "r"], [3, 0.1, "r"], [14, 0.01, "r"]], "chosen": 2}
    draw_front(
        of_the_readme := plots.Figure((3.8, 3.6)).subplots(), {"targets": {"radial": target}, "pair": {"latex": "r"}}
    )
    for axis in (figure.axes[0], of_the_readme):
        assert all(tick == int(tick) for tick in axis.get_xticks())


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
    assert "the network" not in top and ">not to be trusted<" in top and top.lower().count("not known here") == 2


def test_what_predicts_the_residuals_is_listed_best_first():
    clues = {"time": {"z": 1.25, "r2": -0.001}, "velocity": {"z": 21.0, "r2": 0.31}}
    known = {"clues": clues, "autocorrelation": 0.9, "autocorrelation_error": 0.01, "n": 8000}
    out = residuals(records.build(kinds.Residuals, filled(kinds.Residuals, **known)))
    assert out.index("velocity") < out.index("time") and "0.31" in out and "21" in out and "8,000" in out
    assert "correlated by 0.9 ± 0.01" in out and "-0.001" not in out
    assert residuals(records.build(kinds.Residuals, filled(kinds.Residuals))) == ""


def test_the_constants_of_the_messages_law_are_not_those_of_the_search():
    assert "constants fitted to the messages of all pairs" in before_and_after(law_record())
