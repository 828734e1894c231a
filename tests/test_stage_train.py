"""train.py as a user runs it: resume after Ctrl-C and kill -9, refusals, other people's datasets."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from planted import states, write_dataset
from scripts import ROOT, environment, ok, refused, run

from distill.files.dataset import load_dataset
from distill.files.tensors import load_tensors, save_tensors
from distill.pipeline.train import resolve

SMALL = ("--dataset", "r2_n4_d2_s0", "--batch-size", 16, "--hidden", 16)
RUN = "r2_n4_d2_s0__l1-newton__s0"


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "datasets", trajectories=40)
    return tmp_path


def start(folder, *arguments, run=RUN):
    """Start train.py with checkpoints after every step and return the process once there is one."""
    command = [
        sys.executable,
        "-c",
        "import distill.network.learning.fit as t, train;"
        "from distill.shell.stage import run_script;"
        "t.CHECKPOINT_SECONDS = 0; run_script(train.main)",
        *map(str, arguments),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    checkpoint = folder / "model_weights" / run / "checkpoint.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[1]
    return process


def weights(folder, run=RUN):
    return (folder / "model_weights" / run / "model.safetensors").read_bytes()


@pytest.mark.parametrize("variant", ["l1", "kl"])
def test_killed_and_resumed_ends_with_the_same_bits(folder, tmp_path_factory, variant):
    more, name = (*SMALL, "--variant", variant, "--epochs", 40), RUN.replace("l1", variant)
    other = tmp_path_factory.mktemp("whole")
    write_dataset(other / "datasets", trajectories=40)
    ok(run(other, "train.py", *more))
    process = start(folder, *more, run=name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    refused(run(folder, "train.py", *more), "unfinished run", "--resume")
    assert not (folder / "model_weights" / name / "config.json").exists()
    ok(run(folder, "train.py", *more, "--resume"))
    assert weights(folder, name) == weights(other, name)
    histories = [(place / "model_weights" / name / "history.csv").read_text() for place in (folder, other)]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_a_checkpoint_and_says_how_to_go_on(folder, number):
    process = start(folder, *SMALL, "--epochs", 2000)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "--resume" in err and "checkpoint.safetensors" in err
    refused(run(folder, "train.py", *SMALL, "--epochs", 3000, "--resume"), "other arguments")
    checkpoint = folder / "model_weights" / RUN / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    refused(run(folder, "train.py", *SMALL, "--epochs", 2000, "--resume"), "damaged", "--overwrite")


def test_a_checkpoint_that_is_not_whole_is_refused(folder):
    process = start(folder, *SMALL, "--epochs", 2000)
    process.kill()
    process.communicate()
    path, resume = folder / "model_weights" / RUN / "checkpoint.safetensors", (*SMALL, "--epochs", 2000, "--resume")
    whole, (tensors, header, _) = path.read_bytes(), load_tensors(path)
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    refused(run(folder, "train.py", *resume), "damaged", "digest", "--overwrite")
    for changed_tensors, changed_header in (
        ({k: v for k, v in tensors.items() if k != "adam.3.exp_avg"}, header),
        (tensors, header | {"step": 10**9}),
        (tensors, header | {"history": [{"step": 1}]}),
    ):
        save_tensors(path, changed_tensors, changed_header)
        refused(run(folder, "train.py", *resume), "does not fit this run", "--overwrite")


def test_seeded_runs_repeat_and_seeds_differ(folder, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    write_dataset(again / "datasets", trajectories=40)
    for place in (folder, again):  # one of them with other hashes of strings
        ok(run(place, "train.py", *SMALL, "--epochs", 2, start=place == again))
    assert weights(folder) == weights(again)
    ok(run(folder, "train.py", *SMALL, "--epochs", 2, "--seed", 1))
    assert (folder / "model_weights" / RUN.replace("__s0", "__s1") / "model.safetensors").read_bytes() != weights(again)


@pytest.mark.parametrize("recipe", ["paper", "newton"])
def test_every_variant_of_every_recipe_learns(folder, recipe):
    extra = () if recipe == "newton" else ("--lr", 0.003)
    variants = ("standard", "bottleneck", "l1", "kl", "pruning")
    ok(run(folder, "train.py", *SMALL, "--variant", *variants, "--recipe", recipe, "--epochs", 30, *extra))
    for variant in variants:
        learnt(folder, recipe, variant)


def learnt(folder, recipe, variant):
    place = folder / "model_weights" / f"r2_n4_d2_s0__{variant}-{recipe}__s0"
    config = json.loads((place / "config.json").read_text())
    rows = [line.split(",") for line in (place / "history.csv").read_text().splitlines()]
    column = rows[0].index("train_loss")
    losses = [float(r[column]) for r in rows[1:]]
    assert np.mean(losses[-5:]) < np.mean(losses[:3])
    final = 2 if variant in ("bottleneck", "pruning") or (recipe == "newton" and variant in ("l1", "kl")) else 100
    assert config["active"] == final
    assert config["model"]["antisymmetric"] == (recipe == "newton")


def test_a_network_is_measured_against_predicting_nothing(folder):
    result = run(folder, "train.py", *SMALL, "--lr", 1, "--epochs", 4)  # far too fast to learn anything
    last = ok(result).splitlines()[-1].split()
    config = json.loads((folder / "model_weights" / RUN / "config.json").read_text())
    arrays = np.load(folder / "datasets" / "r2_n4_d2_s0.npz")
    train, held = (arrays["acc"][arrays["split"] == k].astype(float) for k in (0, 1))
    size = np.linalg.norm(held, axis=-1, keepdims=True)
    weight, mean = 1 / (np.median(size) + size), train.mean((0, 1, 2))
    assert config["skill"]["zero"] == pytest.approx((np.abs(held) * weight).mean(), rel=1e-5)
    assert config["skill"]["mean"] == pytest.approx((np.abs(held - mean) * weight).mean(), rel=1e-5)
    assert config["skill"]["network"] > config["skill"]["zero"]
    assert "no better than nothing" in result.stderr and len(result.stderr.splitlines()) == 1
    for name, key in (("error", "network"), ("of_zero", "zero"), ("of_mean", "mean")):
        assert float(last[last.index(name) + 1]) == pytest.approx(config["skill"][key], rel=1e-3)


def test_few_graphs_are_trained_for_longer_unless_told(folder):
    data = load_dataset(str(folder / "datasets" / "r2_n4_d2_s0.npz"))
    a_epoch = len(data.trajectories("train")) * data.pos.shape[1] // 16
    chosen = lambda asked, quick: resolve(data, "l1", "newton", {"batch_size": 16} | asked, quick)["epochs"]  # noqa: E731
    assert 3000 <= chosen({}, False) * a_epoch < 3000 + a_epoch
    assert chosen({"epochs": 0.5}, False) == 0.5
    assert chosen({}, True) == 2


def test_a_run_of_less_than_an_epoch_is_pruned_too(folder):
    ok(run(folder, "train.py", *SMALL, "--variant", "pruning", "--recipe", "paper", "--epochs", 0.9, "--tag", "short"))
    config = json.loads((folder / "model_weights" / "r2_n4_d2_s0__pruning-paper__s0_short" / "config.json").read_text())
    assert config["active"] == 2


def test_a_dataset_of_somebody_else_trains(tmp_path):
    data = {k: v.astype(np.float32) for k, v in states(trajectories=10).items() if k in "pos vel acc mass".split()}
    np.savez(tmp_path / "theirs.npz", **data)
    out = ok(run(tmp_path, "train.py", "--dataset", tmp_path / "theirs.npz", "--quick", "--epochs", 1))
    assert "theirs__l1-newton__s0" in out.splitlines()[-1]
    out = ok(run(tmp_path, "extract_messages.py", "--run", "theirs__l1-newton__s0"))
    refused(run(tmp_path, "fit_linear.py", "--run", "theirs__l1-newton__s0"), "no true forces", "symbolic_reg.py")


def test_second_call_is_a_no_op_and_other_arguments_are_refused(folder):
    ok(run(folder, "train.py", *SMALL, "--epochs", 1))
    stamp = os.stat(folder / "model_weights" / RUN / "model.safetensors").st_mtime_ns
    assert "already done" in ok(run(folder, "train.py", *SMALL, "--epochs", 1))
    refused(run(folder, "train.py", *SMALL, "--epochs", 2), "epochs", "--overwrite")
    assert os.stat(folder / "model_weights" / RUN / "model.safetensors").st_mtime_ns == stamp


def test_refusals(folder):
    refused(run(folder, "train.py", "--dataset", "r2_n4_d2_s9"), "did you mean 'r2_n4_d2_s0'", "simulate.py")
    refused(run(folder, "train.py", *SMALL, "--variant", "l2"), "did you mean 'l1'", code=2)
    refused(run(folder, "train.py", *SMALL, "--recipe", "newtn"), "did you mean 'newton'", code=2)
    refused(run(folder, "train.py", *SMALL, "--hiden", 3), "--hidden", code=2)
    refused(run(folder, "train.py", *SMALL, "--message-dim", 1), "at least 2")
    refused(run(folder, "train.py", *SMALL, "--l1-weight", "nan"), "--l1-weight")
    refused(run(folder, "train.py", *SMALL, "--epochs", 0), "positive", code=2)
    for name in ("../../precious", "exp/1", "x" * 90):
        refused(run(folder, "train.py", *SMALL, "--tag", name), "cannot be the name", "--tag")
    assert {p.name for p in folder.iterdir()} == {"datasets"}
    refused(
        run(folder, "train.py", *SMALL, "--lr", 1e6, "--epochs", 5, "--recipe", "paper", "--loss", "mse"), "diverged"
    )
    assert not (folder / "model_weights").exists() or not list((folder / "model_weights").glob("*/config.json"))


def test_a_failed_overwrite_leaves_the_former_run(folder):
    ok(run(folder, "train.py", *SMALL, "--epochs", 1))
    before = weights(folder)
    bad = ("--lr", 1e6, "--epochs", 5, "--loss", "mse", "--no-exp-gate", "--close-sampling", 0)
    refused(run(folder, "train.py", *SMALL, *bad, "--overwrite"), "diverged")
    assert weights(folder) == before
    assert "already done" in ok(run(folder, "train.py", *SMALL, "--epochs", 1))


def test_unwritable_output_is_one_line(folder):
    (folder / "model_weights").write_text("a file where a folder is wanted")
    refused(run(folder, "train.py", *SMALL, "--epochs", 1), "model_weights")


def test_disk_full_is_one_line(folder):
    code = (
        "import errno, os, distill.files.storage as s, train; from distill.shell.stage import run_script\n"
        "def full(*_): raise OSError(errno.ENOSPC, 'No space left on device', 'model.safetensors')\n"
        "s.os.fsync = full\nrun_script(train.main)"
    )
    (folder / "full.py").write_text(code)
    result = run(folder, folder / "full.py", *SMALL, "--epochs", 1)
    *warned, result.stderr = result.stderr.splitlines()  # after one epoch it may predict no better than nothing
    assert all(line.startswith("warning: ") for line in warned)
    refused(result, "No space left")
    assert not list((folder / "model_weights" / RUN).glob("*"))


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_of_an_overwrite_leaves_the_former_run(folder):
    ok(run(folder, "train.py", *SMALL, "--epochs", 1))
    place = folder / "model_weights" / RUN
    before = {p.name: p.read_bytes() for p in place.iterdir()}
    code = (
        "import errno, os, sys, distill.files.storage as s, train; from distill.shell.stage import run_script\n"
        "left, sync = [int(sys.argv.pop())], os.fsync\n"
        "def full(file):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    sync(file)\n"
        "s.os.fsync = full\nrun_script(train.main)"
    )
    (folder / "full.py").write_text(code)
    for count in range(3):
        result = run(folder, folder / "full.py", *SMALL, "--epochs", 2, "--overwrite", count)
        refused(result, "No space left", RUN)
        assert {p.name: p.read_bytes() for p in place.iterdir()} == before
    assert "already done" in ok(run(folder, "train.py", *SMALL, "--epochs", 1))
