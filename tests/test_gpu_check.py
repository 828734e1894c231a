"""benchmarks/gpu.sh and gpu_check.py without a GPU, and the pages that are made of what they write."""

import json
import shutil
import subprocess
import sys
import tarfile

import gpu_check
import page_parts
import pytest
import torch
from scripts import ROOT, environment

from distill.files.tensors import load_tensors
from distill.shell import paths

RUN = "spring_n4_d2_s221_quick__l1-paper__s221_full"


def gpu(folder, *parts, machine="here", **settings) -> subprocess.CompletedProcess:
    """``benchmarks/gpu.sh`` with one tiny system; what a machine holds lies in a folder of its own, OUT beside it."""
    more = {"QUICK": "1", "SYSTEMS": "spring", "VARIANTS": "l1", "RESERVE": "4", "PYTHON": sys.executable}
    env = environment(folder / machine) | more | {"OUT": str(folder / "out")} | {k: str(v) for k, v in settings.items()}
    words = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), *parts]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=600)


def checkpoint(folder, machine="here") -> dict:
    """The header of that of the network, {} if there is none."""
    path = folder / machine / "model_weights" / RUN / "checkpoint.safetensors"
    return load_tensors(path)[1] if path.is_file() else {}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("timeout"), reason="timeout of the GNU tools is not installed")
def test_a_network_that_runs_out_of_time_is_resumed_by_the_next_call(tmp_path):
    """On another machine too, which gets the file that the first one leaves."""
    done, seconds = gpu(tmp_path, "simulate"), 16
    assert done.returncode == 0, done.stderr
    while not checkpoint(tmp_path):  # where much else runs, a start takes longer than that
        assert seconds < 200, done.stderr
        done, seconds = gpu(tmp_path, "networks", EPOCHS=1000, LIMIT=seconds), 2 * seconds
    assert done.returncode == 0 and f"the next call goes on: {RUN}" in done.stdout, done.stdout
    assert "interrupted at step" in done.stderr
    before = checkpoint(tmp_path)
    with tarfile.open(tmp_path / "out" / "networks.tar") as tar:
        assert f"./{RUN}/checkpoint.safetensors" in tar.getnames()
    (tmp_path / "there").mkdir()
    shutil.copytree(tmp_path / "here" / "datasets", tmp_path / "there" / "datasets")
    again = gpu(tmp_path, "networks", machine="there", EPOCHS=1000, LIMIT=seconds)
    after = checkpoint(tmp_path, "there")
    assert again.returncode == 0 and "starting from the beginning" not in again.stderr, again.stderr
    assert after["step"] > before["step"] > 0
    assert after["history"][: len(before["history"])] == before["history"]


@pytest.mark.slow
def test_all_parts_go_through_and_leave_results_alone(tmp_path):
    results = {p: p.read_bytes() for p in (ROOT / "results").glob("*.json")}
    done = gpu(tmp_path, LIMIT=400)
    assert done.returncode == 0 and "FAILED" not in done.stdout, done.stdout + done.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"weights.json", "gpu.json", "networks.tar"}
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert found["weights"][0]["passed"] and [row["run"] for row in found["cells"]] == [RUN]
    assert {"r2_all", "r2_trim90_acceleration", "read_out_r2_all"} <= found["cells"][0].keys()
    assert results == {p: p.read_bytes() for p in (ROOT / "results").glob("*.json")}
    again = gpu(tmp_path, "networks", LIMIT=60)
    assert again.returncode == 0 and f"{RUN}: done before" in again.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_without_a_gpu_nothing_is_measured(tmp_path):
    done = gpu(tmp_path, QUICK="")
    assert done.returncode == 1 and "no GPU is at hand" in done.stderr


def test_a_part_for_which_no_time_is_left_is_named(tmp_path):
    done = gpu(tmp_path, "weights", LIMIT=1)
    assert done.returncode == 1 and "== weights: no time is left" in done.stdout and "FAILED: weights" in done.stdout


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """The file that the script leaves of a check of small networks."""
    folder = tmp_path_factory.mktemp("check")
    done = gpu(folder, "weights", LIMIT=300, LIMIT_WEIGHTS=250)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((folder / "out" / "gpu.json").read_text())["cells"] == []
    return folder / "out" / "weights.json"


def test_interrupted_networks_are_compared_with_uninterrupted_ones(check):
    found = json.loads(check.read_text())
    rows = [row for row in found["rows"] if "interrupted and resumed" in row["what"]]
    assert len(rows) == 4 + 5 and all(row["passed"] for row in rows)
    assert {"commit", "dirty"} == found["git"].keys() and "torch" in found["versions"]


@pytest.mark.slow
def test_a_network_that_is_resumed_wrongly_is_seen(tmp_path, monkeypatch):
    """A fault planted: Adam's moments are not read from the checkpoint."""
    from distill.network.learning.steps import Stepper

    monkeypatch.setattr(gpu_check, "set_threads", lambda n: None)  # not of this process
    monkeypatch.setattr(Stepper, "restore", lambda self, states, step, sums: self.at.fill_(step))
    assert gpu_check.main(["weights", "--quick", "--out", str(tmp_path)]) == 1
    rows = json.loads((tmp_path / "weights.json").read_text())["rows"]
    failed = {row["what"] for row in rows if row.get("passed") is False}
    assert failed and all("interrupted and resumed" in what for what in failed)


@pytest.fixture
def summarised(check, places, monkeypatch):
    """results/gpu.json as ``summary`` makes it of that check and of a network, or of the check alone."""
    monkeypatch.setattr(gpu_check, "set_threads", lambda n: None)

    def of(*networks: dict, fitted=True) -> dict:
        out = places / "out"
        out.mkdir(exist_ok=True)
        shutil.copy(check, out / "weights.json")
        for network in networks:
            folder = paths.MODEL_WEIGHTS / network["run"]
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps(network))
            if fitted:
                (paths.OUTPUTS / network["run"]).mkdir(parents=True)
                (paths.OUTPUTS / network["run"] / "linear_fit.json").write_text(json.dumps(FIT))
        assert gpu_check.main(["summary", "--out", str(out)]) == 0
        return json.loads((places / "results" / "gpu.json").read_text())

    return of


NETWORK = {"run": "spring_n4_d2_s221__l1-paper__s221_full", "variant": "l1", "system": {"name": "spring"}}
NETWORK |= {"graphs_seen": 64_000_000, "stacked_runs": 1, "validation_mae": 0.02, "quick": False}
FIT = {"r2_all": 0.5, "r2_trim90": 0.25, "best_target": "acceleration", "top_share": 0.9, "n_graphs": 1, "n_edges": 12}
FIT |= {"targets": {"force": {"r2_all": 0.5, "r2_trim90": 0.25}, "acceleration": {"r2_all": 0.75, "r2_trim90": 0.875}}}
FIT |= {"read_out": {"r2_all": 0.625, "gauge": "acceleration"}}


def pages_of(content: dict, monkeypatch) -> tuple[str, str]:
    known = page_parts.results
    monkeypatch.setattr(page_parts, "results", lambda file: content if file == "gpu" else known(file))
    return page_parts.gpu(), page_parts.gpu_check()


def test_pages_of_a_summary_that_the_code_made(summarised, monkeypatch):
    short, long = pages_of(summarised(NETWORK), monkeypatch)
    assert "left the tolerance: 0 of 23 after 12 steps (CPU, to test the code" in short
    assert "spring l1 0.250, 0.8750" in short and "| 0.250 | 0.8750 | 0.6250 |" in long
    assert "interrupted and resumed" in long and "l1 of r1, r2, charge" in long


def test_pages_of_a_check_without_networks_and_of_networks_without_fits(summarised, monkeypatch):
    short, long = pages_of(summarised(), monkeypatch)
    assert "budget, of four particles in 2-D: standard of" in long and "million graphs in the paper's" not in short
    short, long = pages_of(summarised(NETWORK, fitted=False), monkeypatch)
    assert "spring l1 –, –" in short and "| 0.02 | – | – | – | – |" in long


def test_pages_of_nothing(monkeypatch):
    short, long = pages_of({"weights": [], "cells": []}, monkeypatch)
    assert "none was made" in short and "Not measured" in long


def test_a_summary_keeps_what_was_measured_before(summarised, places):
    former = json.loads((ROOT / "results" / "gpu.json").read_text(encoding="utf-8"))
    (places / "results").mkdir()
    (places / "results" / "gpu.json").write_text(json.dumps(former))
    found = summarised(NETWORK)
    assert [w for w in found["weights"] if w in former["weights"]] == former["weights"]
    assert len(found["weights"]) == len(former["weights"]) + 1
    assert {row["run"]: row for row in former["cells"]}.keys() == {row["run"] for row in found["cells"]}
    assert next(row for row in found["cells"] if row["run"] == NETWORK["run"])["r2_all"] == 0.5
    assert summarised()["weights"] == found["weights"]  # the same files again


def test_every_check_is_told_the_newest_first():
    checks = page_parts.newest_first(page_parts.results("gpu")["weights"])
    told = page_parts.gpu()
    assert [c["date"] for c in checks] == sorted((c["date"] for c in checks), reverse=True)
    for check in checks:
        failed = sum(row.get("passed") is False for row in check["rows"])
        assert f"{failed} of " in told and page_parts.commit_of(check) in told
    assert any("with changes" in page_parts.commit_of(check) for check in checks)
