"""The pipeline section of the speed benchmark: its stages, the arithmetic of its bars; and ``make demo``."""

import argparse
import re
import subprocess
import sys

import pytest
import speed_pipeline
from scripts import ROOT, environment

from distill.pipeline.runs import demo
from distill.pipeline.runs.cells import Children, Outcome
from distill.shell import paths
from distill.shell.errors import UserError

RUN = "r2_n4_d2_s0__l1-newton__s0"


def commands(*words) -> list[str]:
    return [" ".join(c) for c in demo.commands(demo.parse(list(words)))]


def test_the_demo_is_what_a_user_would_type(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", tmp_path)
    wanted = [
        "simulate.py --system r2 --n 4 --dim 2 --seed 0",
        "train.py --dataset r2_n4_d2_s0 --variant l1 --recipe newton --seed 0",
        f"extract_messages.py --run {RUN}",
        f"fit_linear.py --run {RUN}",
        f"symbolic_reg.py --run {RUN} --threads 2",
        f"test_generalization.py --run {RUN}",
    ]
    assert commands() == wanted
    assert commands("--quick") == [w + " --quick" for w in wanted]
    # an interrupted training goes on, wherever the weights lie
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "checkpoint.safetensors").touch()
    assert commands()[1] == wanted[1] + " --resume"
    assert "--resume" not in commands("--seed", "1")[1]


def test_the_makefile_passes_what_the_demo_takes():
    text = (ROOT / "Makefile").read_text()
    values = dict(re.findall(r"^(\w+) \?= (\w*)$", text, re.MULTILINE)) | {"QUICK": ""}
    (recipe,) = re.findall(r"-m distill.pipeline.runs.demo ((?:.*\\\n)*.*)", text)
    words = re.sub(r"\$\((\w+)\)", lambda m: values[m.group(1)], recipe.replace("$(if $(QUICK),--quick)", ""))
    assert demo.parse(words.replace("\\", "").split()) == demo.parse([])


def test_the_demo_stops_at_the_first_stage_that_fails(tmp_path):
    words = [sys.executable, "-m", "distill.pipeline.runs.demo", "--quick", "--system", "nothing"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment(tmp_path))
    assert done.returncode == 2 and done.stdout == "== 1/6 simulate\n" and "nothing" in done.stderr


def test_the_large_dataset_goes_whole_through_the_stages():
    words = [" ".join(w) for w in speed_pipeline.large(10_000, 100, False)]
    assert "--system charge --n 4 --dim 2 --seed 216 --n-trajectories 10000 --n-frames 100" in words[0]
    assert words[1].endswith("--epochs 1") and words[2].endswith("--max-graphs 0")
    assert all("charge_n4_d2_s216" in w for w in words[1:]) and words[-1].startswith("symbolic_reg.py")
    assert [w.split()[0] for w in words] == list(speed_pipeline.SCRIPTS[:5])


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
        speed_pipeline.costs(Children(), demo.commands(demo.parse([])))


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
