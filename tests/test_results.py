"""Results as objects: what they tell of files that are made up here."""

from html.parser import HTMLParser

import numpy as np
import pytest
from filled import filled, write
from planted import messages, save_npz, write_dataset

from distill.files import kinds
from distill.files.fields import MESSAGE_FIELDS
from distill.files.names import messages_path
from distill.files.properties import by_levels, indicator
from distill.files.provenance import sha256
from distill.formulas.text import parse
from distill.physics.law import Law
from distill.report import page, plots
from distill.results.datasets import DatasetResult, LearntResult
from distill.results.laws import LawResult
from distill.results.messages import MessagesResult
from distill.results.runs import RunResult
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.stage import Stage

RUN, EVIL = "made__l1-newton__s0", '<script>alert(1)</script> & "x"'


@pytest.fixture
def places(tmp_path, monkeypatch):
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    return tmp_path


class Tags(HTMLParser):
    """Names of the elements that are there, and addresses that something would be loaded from."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.names, self.loaded = [], set(), []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.open.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data")]

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def found_law(places, law: Law, dim: int = 2, **changes) -> LawResult:
    """A law as it is read back from law.json."""
    pair = law.pair_json()
    told = {"run": RUN, "pair": pair | {"short": pair["text"].replace(" ", "")}, "node": law.node_json(dim)}
    told |= {"from_messages": filled(kinds.BeforeRefit, **pair), "targets": {}}
    told |= {"verdict": {"recovered": None, "why": ""}} | changes
    write(kinds.LawRecord, paths.OUTPUTS / RUN / "law.json", **told)
    return LawResult.load(RUN)


def test_cards_close_what_they_open_escape_all_and_load_nothing(places):
    law = Law(parse("-m_i*m_j/r^2", ("r", "m_i", "m_j")))
    refused = filled(kinds.DataVerdict, trusted=False, why=EVIL)
    results = [found_law(places, law, data_verdict=refused, engine=EVIL)]
    write(kinds.RunConfig, paths.MODEL_WEIGHTS / RUN / "config.json", variant=EVIL, model={"message_dim": 100})
    write_dataset(paths.DATASETS, "made")
    results += [DatasetResult.load("made")]
    shown = [one._repr_html_() for one in results] + [page.card(EVIL, EVIL, {EVIL: EVIL})]
    for html in shown:
        tags = Tags(html)
        assert not tags.open and not tags.loaded and "<script" not in html
        assert tags.names <= {"div", "p", "strong", "code", "table", "tbody", "tr", "th", "td", "svg", "title", "path"}
    assert "&lt;script&gt;" in shown[0] and "<svg" in shown[0] and "Not to be trusted" not in shown[0]
    assert "by the data alone the law is not to be trusted" in shown[0].lower()


def test_a_line_holds_no_other_lines(places):
    write(kinds.RunConfig, paths.MODEL_WEIGHTS / RUN / "config.json", variant="a\x1b[2J\nb", options={"hidden": 3})
    told = repr(RunResult.load(RUN))
    assert told.isprintable() and told.startswith(f"<run {RUN}: ")
    stage = Stage("look", "a\x1b[2J\nb", DatasetResult)
    assert stage.done("x", k=1).subject == stage.already_done("x").name == "a\x1b[2J\nb"


def test_forces_are_read_from_messages_without_the_true_ones(places):
    """The planted messages are a linear map of the force; what is read is held to the force itself."""
    config = paths.MODEL_WEIGHTS / RUN / "config.json"
    write(kinds.RunConfig, config, model={"linear_node": True, "antisymmetric": True}, options={})
    for split, seed in (("train", 0), ("test", 1)):
        arrays = messages(seed=0, off=0.0, trajectories=40 + seed)
        del arrays["force"]
        path = messages_path(RUN, split)
        path.parent.mkdir(exist_ok=True)
        save_npz(path, arrays, MESSAGE_FIELDS)
        told = {"run": RUN, "split": split, "n": 4, "dim": 2, "edges": len(arrays["r"]), "antisymmetric": True}
        told["inputs"] = {"config": {"path": "x", "sha256": sha256(config)}}
        write(kinds.MessagesRecord, path.with_suffix(".json"), **told)
    test = MessagesResult.load(RUN, "test")
    force = messages(seed=0, off=0.0, trajectories=41)["force"]
    assert "force" not in test.arrays and sorted(test.top_components) == [0, 1]
    np.testing.assert_allclose(test.read_force(), force, rtol=1e-3, atol=1e-3 * np.abs(force).max())
    test.record.target = True
    with pytest.raises(UserError, match="number of every particle"):
        test.read_force()


def test_a_law_of_species_takes_their_names_or_numbers(places):
    text = by_levels("species", {("A", "A"): "1/r^2", ("A", "B"): "-2/r", ("B", "B"): "r"})
    of = ("mass", indicator("species", "A"), indicator("species", "B"))
    law = Law(parse(text, [f"{name}_{end}" for name in of[1:] for end in "ij"] + ["r"]), properties=of)
    found = found_law(places, law)
    pos = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]])  # A, B, B
    right, up, apart = -2 / 2, -2 / 4, np.hypot(2.0, 4.0)
    along = (pos[1] - pos[2]) / apart * apart
    by_hand = np.array([[-right, -up], [right, 0] + along, [0, up] - along])
    for species in (["A", "B", "B"], [0, 1, 1]):
        np.testing.assert_allclose(found.acceleration(pos, mass=1.0, species=np.array(species)), by_hand)
    with pytest.raises(UserError, match="no species 'C'; known: A, B"):
        found.acceleration(pos, mass=1.0, species=["A", "B", "C"])
    with pytest.raises(UserError, match="depends on species__A"):
        found.acceleration(pos, mass=1.0)
    assert "f_AB = f_BA" in found.facts()["Law"]


def test_a_law_in_time_asks_for_the_time(places):
    found = found_law(places, Law(parse("q_i*q_j*sin(2*t)/r", ("r", "q_i", "q_j", "t"))))
    np.testing.assert_allclose(found.force(0.5, q_i=1.0, q_j=-1.0, t=np.array([0.0, 0.5])), [0.0, -2 * np.sin(1.0)])
    with pytest.raises(UserError, match="depends on t; give it"):
        found.force(0.5, q_i=1.0, q_j=-1.0)
    with pytest.raises(UserError, match="no fronts"):
        found.plot()


def test_learnt_values_are_told_by_body_and_drawn_from_their_file(places):
    write_dataset(paths.DATASETS, "made")
    told = [
        {"body": "sun", "value": 2.0, "error": 0.1, "half_width": 0.2, "determined": True, "known": 2.1},
        {"body": "dust", "value": 0.0, "error": None, "half_width": None, "determined": False, "known": 0.1},
    ]
    curve = {"distance": [1.0, 2.0], "curve": [-1.0, -0.25]}
    write(kinds.LearntRecord, paths.OUTPUTS / "made" / "properties.json", values={"mass": told}, **curve)
    found = LearntResult("learn_properties", "made", paths.DATASETS / "made.npz", 0.0)
    assert found.values == {"mass": {"sun": 2.0, "dust": 0.0}}
    assert found.half_widths == {"mass": {"sun": 0.2, "dust": None}}
    assert found.facts()["mass"] == "sun 2 ± 0.2, dust 0"
    values, force = found.plot().axes
    assert [label.get_text() for label in values.get_xticklabels()] == ["dust", "sun"]
    (line,) = force.get_lines()
    np.testing.assert_allclose(line.get_ydata(), [1.0, 0.25])


def test_a_figure_of_attraction_has_no_empty_half():
    force = -np.geomspace(0.1, 10, 200)
    both = np.stack([force, -force], 1)
    scores = {"r2_all": 1.0, "r2_trim90": 1.0}
    figure = plots.linear_fit(both, both, ["", ""], [(1, 1), (1, 1)], {"read": (force, force, scores)}, "")
    ends = [axis.get_xlim() for axis in figure.axes]
    assert ends[0][0] < -5 * ends[0][1] and ends[1][1] > -5 * ends[1][0] and ends[2] == ends[0]
