"""What stands around the code: how it is cited, worked on and checked, and that these files say the same."""

import re

import pytest
from scripts import ROOT

from distill.files.kinds import RunConfig, Skill
from distill.files.storage import plain

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def lines(key: str, text: str = CITATION) -> list[str]:
    """What stands behind ``key:`` anywhere in a YAML text, in order."""
    return re.findall(rf"^[ -]*{key}: *(.+?) *$", text, re.MULTILINE)


def test_the_citation_is_of_this_version_and_of_the_paper():
    """Its schema was checked by cffconvert; here that it says what README.md and pyproject.toml say."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert lines("cff-version") == ["1.2.0"]
    assert [f'version = "{lines("version")[0]}"'] == re.findall(r"^version = .*$", PROJECT, re.MULTILINE)
    assert lines("license")[0] in (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()[0]
    paper = CITATION.partition("preferred-citation:")[2].partition("references:")[0]
    assert lines("title", paper)[0] in readme
    (number,) = re.findall(r"arXiv:(\S+)", paper)
    assert number == "2006.11287" and f"arXiv:{number}" in readme and f"arxiv.org/abs/{number}" in paper
    names = zip(lines("given-names", paper), lines("family-names", paper), strict=True)
    assert ", ".join(f"{first[0]}. {last}" for first, last in names) in readme


def test_every_python_that_is_promised_is_tried():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (tried,) = re.findall(r"python: \[(.*)\]", workflow)
    assert tuple(re.findall(r"[\d.]+", tried)) == PYTHONS
    assert "run: .ci/run" in workflow
    assert f'requires-python = ">={PYTHONS[0]}"' in PROJECT
    told = f"Python {PYTHONS[0]} to {PYTHONS[-1]}"
    for name in ("README.md", "CONTRIBUTING.md", "requirements.txt", "Makefile"):
        assert told in (ROOT / name).read_text(encoding="utf-8"), name


def test_what_contributing_names_is_there():
    text, make = ((ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "Makefile"))
    for path in {*re.findall(r"\]\(([^)#]+)", text), *re.findall(r"`((?:\.\w+|distill|docs|tests)/[\w./]*)`", text)}:
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE))
    assert {"test", "lint", "slow"} <= targets and targets <= set(re.findall(r"^(\w+):", make, re.MULTILINE))


def test_types_are_checked_where_contributing_says():
    (folders,) = re.findall(r"\[tool\.mypy\]\nfiles = \[(.*)\]", PROJECT)
    for folder in re.findall(r'"(.+?)"', folders):
        assert (ROOT / folder).is_dir(), folder
        for path in (ROOT / folder).rglob("*.py"):  # an error is mended, or one kind of it left out with a reason
            for ignored in re.findall(r"# type: ignore.*|# mypy: .*", path.read_text(encoding="utf-8")):
                assert re.match(r"# type: ignore\[[\w-]+\] +# \w+", ignored), f"{path}: {ignored}"
    assert "ignore_errors" not in PROJECT
    assert "-m mypy" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_what_tells_a_type_checker_of_records_leaves_them_as_they_are():
    skill = Skill(network=0.1, zero=0.4, mean=0.5)
    assert plain(skill) == {"network": 0.1, "zero": 0.4, "mean": 0.5, "noise": None, "motion": None}
    with pytest.raises(TypeError, match="zero"):
        Skill(network=0.1, mean=0.5)
    assert plain(RunConfig) is RunConfig  # a class is no value
