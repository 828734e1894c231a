"""The pipeline section of the speed benchmark: the stages are the Makefile's, and the arithmetic of its bars."""

import argparse
import re

import pytest
import speed_pipeline
from scripts import ROOT
from stages import Children, Outcome

from distill.shell.errors import UserError


def makefile_stages() -> list[str]:
    """The six commands of ``make demo``, with the Makefile's defaults and names put in."""
    text = (ROOT / "Makefile").read_text()
    values = dict(re.findall(r"^(\w+) \?= (\w+)$", text, re.MULTILINE))
    values |= {"data": "r2_n4_d2_s0", "run": "r2_n4_d2_s0__l1-newton__s0", "quick": "", "resume": ""}
    commands = re.findall(r"\$\(PY\) (\w+\.py .*?); \\$", text, re.MULTILINE)
    return [re.sub(r"\$+\(?(\w+)\)?", lambda m: values[m.group(1)], c).split() for c in commands]


def test_the_demo_is_the_makefiles():
    own = [[str(w) for w in words] for words in speed_pipeline.demo_words(speed_pipeline.DEMO, False)]
    assert own == makefile_stages() and len(own) == 6
    assert [w[0] for w in own] == list(speed_pipeline.SCRIPTS)
    assert all(w[-1] == "--quick" for w in speed_pipeline.demo_words(speed_pipeline.DEMO, True))


def test_the_large_dataset_goes_whole_through_the_stages():
    words = [" ".join(map(str, w)) for w in speed_pipeline.large_words(speed_pipeline.LARGE, False)]
    assert "--system charge --n 4 --dim 2 --seed 216 --n-trajectories 10000 --n-frames 100" in words[0]
    assert words[1].endswith("--epochs 1") and words[2].endswith("--max-graphs 0")
    assert all("charge_n4_d2_s216" in w for w in words[1:]) and words[-1].startswith("symbolic_reg.py")


def costs(seconds, peak_mb):
    return {"seconds": seconds, "cpu_s": seconds / 2, "peak_mb": peak_mb, "done_before": False}


@pytest.mark.parametrize(
    ("help_s", "seconds", "peak_mb", "met"),
    [
        (0.4, 29, 5999, [True, True, True]),
        (0.6, 31, 6001, [False, False, False]),
    ],
)
def test_bars(help_s, seconds, peak_mb, met):
    starts = {s: [0.1, 0.2, 0.3] for s in speed_pipeline.SCRIPTS} | {"train.py": [help_s, 9.0, 0.0]}
    demo = {s: costs(seconds, 100) for s in speed_pipeline.SCRIPTS}
    big = {s: costs(1, 10) for s in speed_pipeline.SCRIPTS[:5]} | {"fit_linear.py": costs(1, peak_mb)}
    found = speed_pipeline.summary(starts, demo, big, 1000)
    assert [b["met"] for b in found["bars"]] == met
    assert f"{help_s:.2f} s" in found["bars"][0]["measured"] and "train.py" in found["bars"][0]["what"]
    assert f"{6 * seconds} s" in found["bars"][1]["measured"]
    assert f"{peak_mb} MB" in found["bars"][2]["measured"] and "fit_linear.py" in found["bars"][2]["what"]
    assert found["demo"] == {"seconds": 6 * seconds, "cpu_s": 3 * seconds, "peak_mb": 100}
    lines = found["table"].splitlines()
    assert len(lines) == 9 and {line.count("|") for line in lines} == {9}


def test_a_stage_that_fails_ends_the_benchmark(monkeypatch):
    outcome = Outcome("error: no such run", "", 1.0, 1.0, 10.0)
    monkeypatch.setattr(Children, "script", lambda *_: outcome)
    with pytest.raises(UserError, match="a stage failed: error: no such run"):
        speed_pipeline.stages(Children(), speed_pipeline.demo_words(speed_pipeline.DEMO, True))


def test_help_is_timed_in_a_process_of_its_own():
    seconds = speed_pipeline.help_seconds(Children(), "extract_messages.py")
    assert 0.02 < seconds < 30


@pytest.mark.slow
def test_the_section_from_end_to_end():
    found = speed_pipeline.measure(argparse.Namespace(threads=1, rounds=2, quick=True))
    assert found["large_graphs"] == 1200 and found["bars"][2]["met"]  # times are the machine's
    assert found["demo"]["seconds"] == pytest.approx(sum(row["demo"]["seconds"] for row in found["rows"]))
    for row in found["rows"]:
        assert len(row["help_s"]) == 2 and row["demo"]["seconds"] > 0 and not row["demo"]["done_before"]
    assert found["rows"][-1]["large"] is None
