"""JSON files as dataclasses: what is refused, in which words, and that every field is described."""

import dataclasses
import json
from dataclasses import field

import pytest
from filled import filled, write

from distill.files import kinds
from distill.files.kinds import DatasetRecord, FrontRecord, Generalization, LinearFit, MessagesRecord, RunConfig
from distill.files.records import Part, Record, Wrong, build, describe, load, save
from distill.shell.errors import UserError

ALL = [k for k in vars(kinds).values() if isinstance(k, type) and issubclass(k, Record) and "STAGE" in vars(k)]


def test_every_kind_that_is_handed_on_is_described():
    assert set(ALL) == set(kinds.HANDED_ON)


class Wheel(Part):
    """A part."""

    size: float  # in metres
    names: list[str] = field(default_factory=list)  # of its owners

    RANGES = {"size": (0, 10)}


class Toy(Record):
    """A file kind."""

    count: int  # how many
    part: Wheel  # the one
    # a comment that is
    # longer than a line
    others: dict[str, Wheel] = field(default_factory=dict)
    either: str | list[float] | None = None  # of two kinds
    free: dict = field(default_factory=dict)  # anything

    STAGE, FORMAT, COMMAND = "toy", 3, "python toy.py --run {run}"


GOOD = {"count": 2, "part": {"size": 1, "names": ["a"]}, "others": {"b": {"size": 2.5}}, "either": [1, 2.0]}


@pytest.fixture
def path(tmp_path):
    out = tmp_path / "some_run" / "toy.json"
    save(Toy, out, GOOD)
    return out


class Spoke(Wheel):
    """What a wheel may become."""

    wood: str | None = None  # that it is of


class Later(Toy):
    """The same file kind, of a later version with further fields that may be missing."""

    part: Spoke  # the one
    shade: str | None = None  # of its paint
    owners: list[str] = field(default_factory=list)  # who they were

    STAGE, FORMAT, COMMAND = "toy", 3, "python toy.py --run {run}"


def test_files_with_notes_are_whole_when_their_kind_has_new_fields(path):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"note": "mine", "part": content["part"] | {"note": "mine too"}}))
    assert load(Toy, path).count == 2 and load(Later, path).owners == []
    for changed in (content | {"count": 3, "note": "mine"}, content | {"part": {"size": 1.0}, "note": "mine"}):
        path.write_text(json.dumps(changed))
        with pytest.raises(UserError, match="damaged or was edited"):
            load(Later, path)


def test_what_is_written_is_read_back(path):
    toy = load(Toy, path)
    assert toy.part.names == ["a"] and toy.others["b"].size == 2.5 and toy.either == [1, 2.0] and toy.free == {}
    content = json.loads(path.read_text())
    assert (content["stage"], content["format"]) == ("toy", 3) and content["others"]["b"]["names"] == []
    before = path.read_bytes()
    save(Toy, path, content)
    assert path.read_bytes() == before
    save(Toy, path, dataclasses.asdict(toy) | {"part": Wheel(size=4.0)})  # parts may be dataclasses already
    assert load(Toy, path).part.size == 4.0


@pytest.mark.parametrize(
    "change, told",
    [
        ({"format": 2}, r"toy.json is of another version \(format 2, expected 3\); make it again: .*some_run --over"),
        ({"stage": "other"}, "was written by other, not toy; make it again"),
        ({"stage": None}, "was written by no stage of this project, not toy"),
        ({"count": "two"}, """'count' is "two", expected whole number"""),
        ({"count": True}, "'count' is true, expected whole number"),
        ({"count": None}, "'count' is null, expected whole number"),
        ({"part": {"names": []}}, "'part.size' is missing"),
        ({"part": {"size": [1]}}, r"'part.size' is \[1\], expected number"),
        ({"others": {"b": {"size": 1, "names": ["a", 2]}}}, r"'others.b.names\[1\]' is 2, expected text"),
        ({"either": [1, "x"]}, r"'either\[1\]' is \"x\", expected number"),
        ({"either": 3}, "'either' is 3, expected text or list of number or null"),
        ({"part": {"size": -1}}, "'part.size' is -1, expected 0 to 10"),
        ({"free": list(range(99))}, r"'free' is \[0, 1, .* \.\.\., expected object"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_command(path, change, told):
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=told) as caught:
        load(Toy, path)
    assert "\n" not in str(caught.value) and "python toy.py --run some_run --overwrite" in str(caught.value)


def test_missing_half_written_or_not_a_number(path):
    path.write_text(path.read_text().replace("2.5", "NaN"))
    with pytest.raises(UserError, match="toy.json is not valid JSON"):
        load(Toy, path)
    path.unlink()
    with pytest.raises(UserError, match="does not exist; run this first: python toy.py --run some_run$"):
        load(Toy, path)
    with pytest.raises(Wrong, match="'part.size' is NaN, expected number"):
        save(Toy, path, GOOD | {"part": {"size": float("nan")}})
    assert not path.exists()


def test_an_unknown_key_is_ignored_when_read_and_refused_when_written(path):
    more = json.loads(path.read_text()) | {"note": "mine", "part": {"size": 1, "names": ["a"], "colour": "red"}}
    path.write_text(json.dumps(more))
    assert load(Toy, path).part.size == 1
    for key, content in (("note", GOOD | {"note": 1}), ("part.colour", GOOD | {"part": {"size": 1, "colour": 2}})):
        with pytest.raises(Wrong, match=f"'{key}' is no field"):
            save(Toy, path, content)


@pytest.mark.parametrize(
    "change", [{"count": 3}, {"part": {"size": 1.5, "names": ["a"]}}, {"content_sha256": "0" * 64}]
)
def test_a_number_that_was_changed_since_is_noticed(path, change):
    """By the file's own digest, which depends neither on blanks nor on the order of keys."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items())), indent=3))
    assert load(Toy, path).count == 2
    path.write_text(json.dumps(content | change))
    with pytest.raises(
        UserError, match="toy.json is damaged or was edited.*'content_sha256'.*--run some_run --overwrite"
    ):
        load(Toy, path)
    path.write_text(json.dumps(content | change | {"content_sha256": None}))  # of a former version, or somebody else's
    assert load(Toy, path).content_sha256 is None


def test_null_stands_for_a_default(path):
    assert build(Toy, GOOD | {"others": None, "free": None}).others == {}


def test_a_dataset_of_somebody_else_need_say_nothing(tmp_path):
    path = tmp_path / "mine.json"
    for text in ("{}", '{"comment": "from the lab", "system": null}', '{"system": {"name": "pendulum"}, "n": 4}'):
        path.write_text(text)
        assert load(DatasetRecord, path).system.held == []
    path.write_text('{"system": "pendulum"}')
    with pytest.raises(UserError, match="""'system' is "pendulum", expected object; correct it, or take it away"""):
        load(DatasetRecord, path)
    path.write_text('{"stage": "simulate", "format": 0}')
    with pytest.raises(UserError, match="another version .format 0, expected 1.; make it again"):
        load(DatasetRecord, path)


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_is_written_and_read_and_its_fields_are_described(kind, tmp_path):
    path = tmp_path / "run" / "x_test.json"
    assert write(kind, path) == load(kind, path)
    table = describe(kind)
    for line in table.splitlines()[2:]:
        name, what, meaning = (part.strip() for part in line.strip("|").split(" | "))
        assert meaning and what, line
    for name in filled(kind):
        assert f"| `{name}` |" in table


def test_a_description_goes_down_to_the_last_field():
    assert describe(Toy).splitlines()[2:] == [
        "| `stage` | text, optional | the stage that wrote the file |",
        "| `format` | whole number, optional | of the file; another number is refused with the command that makes the"
        " file again |",
        "| `content_sha256` | text or null, optional | digest of the rest, as one line of JSON with its keys in order;"
        " null: none |",
        "| `count` | whole number | how many |",
        "| `part` | object | the one |",
        "| `part.size` | number | in metres |",
        "| `part.names` | list of text, optional | of its owners |",
        "| `others` | object of object, optional | a comment that is longer than a line (fields as of `part` above) |",
        "| `either` | text or list of number or null, optional | of two kinds |",
        "| `free` | object, optional | anything |",
    ]
    assert "| `rollouts` | object | " in describe(Generalization)  # one of three kinds of object
    assert "`targets.*.r2_all`" in describe(LinearFit) and {RunConfig, MessagesRecord, FrontRecord} < set(ALL)
