"""Records of a made-up run, and the page that its report is, for the tests of the report."""

import re
from html.parser import HTMLParser

import numpy as np
from filled import filled

from distill.files import kinds, records
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.physics.law import Law

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
