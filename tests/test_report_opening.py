"""The first screen of the report: it says what the files of the run say, and names what no stage has made."""

import re

import numpy as np
import pytest
from filled import filled
from reported import RUN, checked, compared, examined, law_json, law_record, relation, rollouts, set_json, write

from distill.files import kinds, records
from distill.files.dataset import Dataset
from distill.report import document
from distill.report.material import Material
from distill.report.opening import added, limits, met, screen, trust

UNKNOWN = {"recovered": None, "why": "the true law is not known here"}


def material(compared_with=None, **changes) -> Material:
    """Of a run with a network whose stages after the training are the law, and ``compared_with`` where it is given."""
    record = records.build(kinds.Generalization, compared_with) if compared_with else None
    return Material(RUN, law=law_record(**changes), generalization=record)


def lines(told) -> dict[str, str]:
    """Label -> what is said, of sentences."""
    out = {one.label: one.said for one in told}
    assert len(out) == len(told)
    return out


def rival(label, recovered, error) -> dict:
    verdict = None if recovered == "unknown" else {"recovered": recovered, "why": "x"}
    errors = filled(kinds.AccelerationErrors, law=error)
    return filled(kinds.Rival, label=label, verdict=verdict, acceleration_error=errors)


def test_the_first_screen_comes_before_any_figure_and_answers_four_questions(places):
    write(places, law=examined(), generalization=compared())
    page, _ = checked(document.write_report(RUN))
    top = page[page.index("<header") : page.index("</header>")]
    assert "could not be shown" not in top and "<img" not in top
    where = [top.index(asked) for asked in (screen.FOUND, screen.TRUST, screen.ADDED, screen.LIMITS)]
    assert where == sorted(where)
    assert "1.002 * q_i * q_j / (r + 0.0101)^2" in top[: where[1]] and "q_i*q_j/(r + 0.01)^2" in top[: where[1]]


def test_held_out_errors_carry_their_n():
    error = filled(kinds.AccelerationErrors, law=0.0123, gnn=0.2, n=4321, split="test", noise=0.01)
    skill = filled(kinds.Skill, zero=0.33)
    said = lines(trust.told(material(acceleration_error=error, data_verdict=filled(kinds.DataVerdict, skill=skill))))
    held = said["Held-out error"]
    assert "0.0123" in held and "n = 4,321 receivers of test trajectories" in held
    assert "predicting zero is off by 0.33" in held and "noise alone makes 0.01" in held
    rounding = filled(kinds.AccelerationErrors, law=3e-17, n=5)
    assert "rounding (3.00×10⁻¹⁷)" in lines(trust.told(material(acceleration_error=rounding)))["Held-out error"]
    lost = filled(kinds.AccelerationErrors, law=None)
    assert lines(trust.told(material(acceleration_error=lost)))["Held-out error"].startswith("Not finite")


def test_the_verdict_names_its_receivers_or_why_there_is_none():
    judged = {"recovered": True, "why": "long story", "equivalence": relation(), "allowed_errors": {"in": 0.01}}
    judged |= {"relative_error_in_range": 0.002, "n_receivers": 9600, "split": "test"}
    said = lines(trust.told(material(verdict=judged)))["Against the true law"]
    assert said.startswith(
        "Recovered: same functional form, constants off by 1 %. In range its accelerations are off by"
    )
    assert "0.2 % (1 % allowed; n = 9,600 receivers of test trajectories)" in said and "long story" not in said
    said = lines(trust.told(material(verdict=judged | {"recovered": False})))["Against the true law"]
    assert said == "Not recovered: long story (n = 9,600 receivers of test trajectories)."
    assert lines(trust.told(material(verdict=UNKNOWN, truth=None)))["Truth"] == "The true law is not known here."


def test_tests_without_the_truth_say_why_a_law_is_not_to_be_trusted():
    doubt = filled(kinds.DataVerdict, trusted=False, why="it leaves structure", n=77)
    left = doubt["residuals"] | {"text": "it follows the time", "n": 55}
    told = material(data_verdict=doubt | {"why": "it is worse; it follows the time", "residuals": left})
    said = lines(trust.told(told))["Tests without the truth"]  # told once, with its own n
    assert said == "Not to be trusted: it is worse; what it leaves is not noise, see the limits (n = 77 receivers)."
    assert lines(limits.told(told))["What it leaves"] == "It follows the time (n = 55 accelerations)."
    better = {"label": "splines", "text": "1/r", "error": 0.1}
    said = lines(trust.told(material(data_verdict=doubt | {"better": better})))["Tests without the truth"]
    assert said == "Not to be trusted: it leaves structure (n = 77 receivers). The better law: f = 1/r."
    good = filled(kinds.DataVerdict, trusted=True, n=77)
    assert lines(trust.told(material(data_verdict=good)))["Tests without the truth"].startswith("Trusted: held-out")


def test_properties_that_were_learnt_are_not_told_as_measured():
    values = {"bodies": ["a", "b", "c"], "values": {"mass": [1.0, 2.0, 3.0]}, "gauge": {"mass": "mean 1"}}
    config = filled(kinds.RunConfig, learnt=filled(kinds.TrainedValues, **values))
    told = Material(RUN, law=law_record(), config=records.build(kinds.RunConfig, config))
    said = lines(trust.told(told))["Learnt"]
    assert said == "Mass of n = 3 bodies was learnt beside the weights, not measured; mass: mean 1."
    assert "Learnt" not in lines(trust.told(material()))


def test_a_long_law_has_the_width_of_the_page():
    long = law_json()["pair"] | {"text": " + ".join(f"{k}.5*q_i/r^{k}" for k in range(2, 9))}
    assert "laws long" in screen.found(material(pair=long)) and "laws long" not in screen.found(material())


def test_the_constants_told_are_those_known_least():
    known = [(1.0, 1e-9), (2.0, 0.5), (4.0, 0.1), (3.0, 0.2), (5.0, None)]
    listed = [{"symbol": f"c{k}", "value": v, "standard_error": e} for k, (v, e) in enumerate(known)]
    said = lines(trust.told(material(constants=listed)))["Constants"]
    assert re.findall(r"c\d = \S+ ± \S+", said) == ["c1 = 2 ± 0.5,", "c3 = 3 ± 0.2,", "c2 = 4 ± 0.1"]


@pytest.mark.parametrize(
    "recovered, others, said",
    [
        (
            True,
            {"control": (True, 0.1), "splines": (False, 0.1)},
            "not needed for this law: the same data give it by",
        ),
        (True, {"control": (False, 0.1)}, "The law came by the network: the same data do not give it by “control”."),
        (False, {"control": (False, 0.1), "splines": (True, 0.1)}, "added nothing: the same data give the true law by"),
        (False, {"control": (False, 0.1)}, "neither by the network nor without it"),
        (True, {}, "Not known: nothing without the trained network"),
        (True, {"linear_node": (True, 0.1)}, "Not known: nothing without the trained network"),  # it is that network
        (None, {"control": ("unknown", 0.09)}, "No clear gain: the law by “control” predicts"),
        (None, {"control": ("unknown", 0.05)}, "added nothing: the law by “control” predicts"),
        (
            None,
            {"control": ("unknown", 0.5), "splines": ("unknown", 0.3)},
            "than the best without it, by “splines”",
        ),
        (None, {"control": ("unknown", None)}, "Not known: the errors"),
    ],
)
def test_what_the_network_added_is_what_verdicts_and_errors_say(recovered, others, said):
    verdict = {"recovered": recovered, "why": "x"}
    own = filled(kinds.AccelerationErrors, law=0.1, gnn=0.2, n=50)
    rivals = {name: rival(name, *found) for name, found in others.items()}
    told = lines(added.told(material(verdict=verdict, acceleration_error=own, rivals=rivals)))
    assert said in told["In short"]


def test_errors_of_rivals_stand_beside_that_of_the_law():
    own = filled(kinds.AccelerationErrors, law=0.1, gnn=0.2, n=50)
    rivals = {"control": rival("the control", True, 0.3), "splines": rival("the splines", False, 0.4)}
    told = lines(added.told(material(acceleration_error=own, rivals=rivals)))
    assert told["Held-out errors on the same data"] == (
        "This law, from the messages: 0.1; the control: 0.3 (recovered); the splines: 0.4 (not recovered);"
        " the network itself: 0.2 (n = 50 receivers)."
    )
    assert "untrained" in told["Not asked"] and "splines" not in told["Not asked"]


def test_what_is_lacking_before_a_law_is_named_in_order():
    page = screen.opening(Material(RUN))
    commands = re.findall(r"<code>python (\w+).py [^<]*</code>", page)
    assert commands == ["train", "extract_messages", "symbolic_reg"]
    config = records.build(kinds.RunConfig, filled(kinds.RunConfig))
    assert "train.py" not in screen.opening(Material(RUN, config=config))


def test_a_law_of_splines_says_that_no_network_took_part(places):
    write(places, law=law_json(source="splines") | {"arguments": {"dataset": "mine"}})
    page, _ = checked(document.write_report(RUN))
    assert screen.WITHOUT in page and screen.ADDED not in page and "python train.py --dataset mine</code>" in page


def test_close_and_far_pairs_are_told_with_their_distances_and_n():
    verdict = {"recovered": False, "why": "x", "relative_error_near": 0.05, "relative_error_extrapolated": None}
    verdict |= {"ranges": {"near": [0.01, 0.5], "extrapolated": [5.0, 15.0]}, "tails": {"near": 0.1}, "n_samples": 4000}
    verdict |= {"allowed_errors": {"near": 0.01}, "not_judged": ["not judged: the softening"]}
    said = lines(limits.told(material(verdict=verdict)))
    assert said["Close encounters"] == (
        "Off by 5 % in the mean at r = 0.01 to 0.5 (n = 4,000 single pairs), 1 % allowed. Not tested closer."
    )
    assert said["Out of range"].startswith("The law is not finite somewhere at r = 5 to 15")
    assert said["Not judged"] == "The softening."
    said = lines(limits.told(material(verdict=verdict, cutoff=9.0)))  # beyond is closer in then
    assert said["Close encounters"].endswith("1 % allowed.") and "Out of range" not in said
    assert said["Closer than any pair"].endswith("Not tested closer.")
    said = lines(limits.told(material(verdict=UNKNOWN, truth=None)))
    assert "closer or further apart than the data are not tested" in said["Close encounters"]


def test_sets_where_the_law_fails_are_named():
    sets = {"interpolation": set_json(), "wide": set_json(1e-4), "close": set_json(0.5), "heavy": set_json(bad=3)}
    said = lines(limits.told(material(compared(sets=sets))))["Unlike the training data"]
    assert said.startswith("Fails on 2 of 3 kinds: “close” (the law is off by 50 %, the network by 1 %; n = 400)")
    assert "“heavy” not finite for 3 of 403" in said and "wide" not in said
    good = {"interpolation": set_json(0.5), "wide": set_json(1e-4), "close": set_json(2e-3)}
    said = lines(limits.told(material(compared(sets=good))))["Unlike the training data"]
    assert said.startswith("No failure on 2 kinds; the largest median error is on “close”")
    told = lines(
        limits.told(material(compared(sets={"interpolation": set_json()}, truth=None, rollouts={"skipped": "x"})))
    )
    assert "nothing can be simulated anew" in told["Unlike the training data"] and "In time" not in told
    assert limits.elsewhere(material())[0].command == f"python test_generalization.py --run {RUN}"


def test_rollouts_say_how_long_and_how_many():
    said = lines(limits.told(material(compared(rollouts=rollouts()))))["In time"]
    assert "for 1 of 3 time units" in said and "n = 2 starts" in said and "1 of them failed under the law" in said


# ---------------------------------------------------------------- what the data met


def dataset(pos, **more) -> Dataset:
    pos = np.asarray(pos, dtype=float)
    arrays = {"pos": pos, "split": np.zeros(len(pos), dtype=int), "mass": np.ones((len(pos), pos.shape[2]))}
    return Dataset("made", None, arrays | {"charge": np.zeros_like(arrays["mass"])} | more)


def test_distances_met_are_those_of_training_pairs_that_act():
    line = [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]]
    both = dataset([[line], [np.multiply(line, 10)]], split=np.array([0, 2]))
    found = met.distances(both)
    assert (found.low, found.high, found.n, found.step) == (1.0, 3.0, 3, 1)  # those of the test split are not met
    assert (met.distances(both, chain=True).high, met.distances(both, chain=True).n) == (2.0, 2)
    gone = dataset([[line, [[0.0, 0.0], [0.5, 0.0], [np.nan, np.nan]]]])
    assert (met.distances(gone).low, met.distances(gone).n) == (0.5, 4)
    assert met.distances(dataset([[[[0.0, 0.0], [np.nan, np.nan]]]])) is None


def test_distances_in_a_box_are_those_of_nearest_images_within_the_cutoff():
    boxed = dataset([[[[0.5, 5.0], [9.5, 5.0], [5.0, 5.0]]]], box=np.array([10.0, 10.0]))
    found = met.distances(boxed, cutoff=4.0)
    assert found.n == 1 and found.low == found.high == pytest.approx(1.0)


def test_many_pairs_are_looked_at_in_some_frames(monkeypatch):
    monkeypatch.setattr(met, "MOST", 10)
    pos = np.random.default_rng(0).normal(size=(2, 10, 3, 2))
    found = met.distances(dataset(pos))
    assert found.step == 6 and found.n == 3 * len(range(0, 20, 6))


def test_properties_met_are_listed_or_spanned():
    mass = np.array([[0.2, 5.0, 1.0, 2.0, 3.0]])
    one = dataset(np.zeros((1, 1, 5, 2)), mass=mass, charge=np.array([[1.0, -1.0, 1.0, 1.0, -1.0]]))
    assert met.properties(one) == ["mass 0.2 to 5", "charge -1, 1"]
    assert met.properties(one, {"mass": [1.0]}) == ["charge -1, 1"]  # learnt: what the file has was not seen
    assert met.properties(dataset(np.zeros((1, 1, 5, 2)))) == ["mass 1"]  # no charge: nothing is said of it


def test_the_true_response_is_told_where_none_was_looked_for():
    system = kinds.SystemRecord(name="made", response={"alpha": "1/(m_i + s)", "beta": "0"})
    config = records.build(kinds.RunConfig, filled(kinds.RunConfig))
    config.system = system
    told = screen.found(Material(RUN, law=law_record(), config=config))
    assert "and a = (1/(m_i + s)) S" in told and "a = (" not in screen.found(material())
