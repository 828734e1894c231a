"""Trackers: packages that stand in for Weights & Biases and trackio, with what these do to runs open at once."""

import contextlib
import contextvars
import json
import sqlite3
import sys
import types

import numpy as np
import pytest
from planted import write_dataset
from scripts import ok, run
from test_identities import BODIES, values, world

import distill
from distill.messages.following import METRICS, READ_OUT
from distill.shell import paths, trackers
from distill.shell.errors import UserError

QUICK = {"quick": True, "hidden": 8, "epochs": 1, "message_dim": 2}
RUN = "r2_n4_d2_s0__l1-newton__s0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    paths.DATASETS.mkdir()
    write_dataset(paths.DATASETS, trajectories=40)
    monkeypatch.setenv("DISTILL_PROGRESS", "0")
    return tmp_path


class Opened:
    """A run of a stand-in; it refuses rows that come once it is finished, and steps that go back."""

    def __init__(self, **about):
        self.about, self.rows, self.ended = about, [], None

    def log(self, numbers, step=None):
        assert self.ended is None, "the run is finished"
        assert not self.rows or step > self.rows[-1][0]
        assert all(isinstance(v, int | float) and np.isfinite(v) for v in numbers.values())
        self.rows.append((step, numbers))

    def finish(self, exit_code=0):
        print("Run finished. Uploading ...")
        self.ended = exit_code


class StandIn(types.ModuleType):
    """``init`` ends the run that is current in this context, as trackio does."""

    def __init__(self, name):
        super().__init__(name)
        self.runs, self.current = [], contextvars.ContextVar("current", default=None)

    def init(self, **about):
        print("tracker initialized")
        if self.current.get() is not None:
            self.current.get().finish()
        self.runs.append(Opened(**about))
        self.current.set(self.runs[-1])
        return self.runs[-1]


@pytest.fixture(params=["wandb", "track"])
def flag(request):
    return request.param


@pytest.fixture
def package(flag, monkeypatch):
    module = StandIn(trackers.TRACKERS[flag].package)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_a_training_is_logged_and_ends_with_the_same_bits(folder, flag, package, monkeypatch, capsys):
    done = distill.train("r2_n4_d2_s0", **QUICK, **{flag: True})
    assert "initialized" in (said := capsys.readouterr()).err and not said.out  # stdout is for the last line
    files = {p.name: p.read_bytes() for p in done[0].path.iterdir()}
    (one,) = package.runs
    assert one.about["name"] == RUN and one.about["project"] == "force-law-distillation" and one.ended == 0
    assert one.about["config"]["hidden"] == 8 and one.about["config"]["variant"] == "l1"
    history = [line.split(",") for line in files["history.csv"].decode().splitlines()]
    assert [str(step) for step, _ in one.rows] == [row[0] for row in history[1:]]
    for (_, told), row in zip(one.rows, history[1:], strict=True):
        assert set(told) == {*METRICS, *READ_OUT}
        assert {name: told[name] for name in METRICS} == dict(zip(history[0][1:], map(float, row[1:]), strict=True))
    assert distill.train("r2_n4_d2_s0", **QUICK)[0].before  # it is no other training for having been tracked
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", folder / "again")
    plain = distill.train("r2_n4_d2_s0", **QUICK)[0].path
    assert len(package.runs) == 1
    for name in ("model.safetensors", "history.csv"):
        assert (plain / name).read_bytes() == files[name], name


@pytest.mark.parametrize("stack", ["on", "off"])
def test_several_runs_of_one_command_are_runs_of_their_own(folder, flag, package, stack):
    distill.train("r2_n4_d2_s0", variant=["l1", "standard"], seed=1, stack=stack, **QUICK, **{flag: True})
    names = [f"r2_n4_d2_s0__{variant}-newton__s1" for variant in ("l1", "standard")]
    assert [one.about["name"] for one in package.runs] == names and {one.ended for one in package.runs} == {0}
    for one in package.runs:
        assert one.about["name"] == f"r2_n4_d2_s0__{one.about['config']['variant']}-newton__s1"
        last = (paths.MODEL_WEIGHTS / one.about["name"] / "history.csv").read_text().splitlines()[-1].split(",")
        step, numbers = one.rows[-1]
        assert [str(step), *(str(numbers[name]) for name in METRICS)] == last  # its own numbers
    assert len({one.rows[-1][1]["read_out_error"] for one in package.runs}) == 2


def test_both_trackers_at_once(folder, monkeypatch):
    modules = [StandIn(tracker.package) for tracker in trackers.TRACKERS.values()]
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    distill.train("r2_n4_d2_s0", **QUICK, wandb=True, track=True)
    assert modules[0].runs[0].rows == modules[1].runs[0].rows and modules[0].runs[0].rows


def test_a_package_that_is_missing_is_one_line_before_any_work(folder, flag, monkeypatch):
    monkeypatch.setitem(sys.modules, trackers.TRACKERS[flag].package, None)
    with pytest.raises(UserError, match=f"^--{flag} needs the package .*; pip install "):
        distill.train("no dataset", **{flag: True})
    distill.train("r2_n4_d2_s0", **QUICK)  # and nobody else needs it


def test_a_run_that_cannot_be_opened_is_one_line(folder, flag, package, monkeypatch):
    def init(**about):
        raise RuntimeError("no account\nand more")

    monkeypatch.setattr(package, "init", init)
    with pytest.raises(UserError, match=rf"--{flag}: {package.__name__} opens no run \(no account\); .*--{flag} out"):
        distill.train("r2_n4_d2_s0", **QUICK, **{flag: True})
    assert not list(paths.MODEL_WEIGHTS.rglob("*.safetensors"))


def test_a_tracker_that_fails_on_the_way_ends_no_training(folder, flag, package, monkeypatch, capsys):
    def log(self, numbers, step=None):
        self.rows.append(step)
        raise OSError("no space left")

    monkeypatch.setattr(Opened, "log", log)
    done = distill.train("r2_n4_d2_s0", **QUICK, **{flag: True})
    assert (done[0].path / "config.json").is_file() and len(package.runs[0].rows) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if "logs" in line]
    assert told == [f"warning: --{flag}: {package.__name__} logs {RUN} no further (no space left)"]


def test_a_training_that_ends_early_is_finished_as_one_that_failed(folder, flag, package, monkeypatch):
    def stop(self, numbers, step=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(Opened, "log", stop)
    with pytest.raises(KeyboardInterrupt):
        distill.train("r2_n4_d2_s0", seed=[0, 1], stack="on", **QUICK, **{flag: True})
    assert [one.ended for one in package.runs] == [1 if flag == "wandb" else 0] * 2


def test_of_several_runs_one_that_cannot_be_opened_ends_the_others(flag, package, monkeypatch):
    plain = package.init
    monkeypatch.setattr(package, "init", lambda **about: plain(**about) if about["name"] == "a" else 1 / 0)
    with pytest.raises(UserError, match="opens no run"), trackers.opened([trackers.TRACKERS[flag]], {"a": {}, "b": {}}):
        pytest.fail("nothing is trained then")
    assert package.runs[0].ended is not None


def test_values_of_bodies_are_logged_as_they_are_learnt(folder, flag, package):
    rng = np.random.default_rng(3)
    world(paths.DATASETS / "w.npz", values(rng), np.ones(BODIES))
    distill.train("w", variant="bottleneck", unknown=["mass"], hidden=8, epochs=1, quick=True, **{flag: True})
    first, last = (package.runs[0].rows[k][1] for k in (0, -1))
    names = {f"learnt/mass/{body}" for body in range(BODIES)}
    assert names <= set(first) and {k for k in last if k.startswith("learnt/")} == names
    assert np.prod([last[name] for name in names]) == pytest.approx(1, rel=1e-4)  # their gauge
    assert all(last[name] != first[name] for name in names)


@pytest.mark.slow
def test_trackio_itself_keeps_two_runs_that_are_open_at_once(folder):
    """In a folder of its own, without network; what it has kept is read by SQLite."""
    pytest.importorskip("trackio")
    small = ["--dataset", "r2_n4_d2_s0", "--seed", 0, 1, "--stack", "on", "--quick", "--hidden", 8, "--track"]
    said = ok(run(folder, "train.py", *small, start=True, TRACKIO_DIR=str(folder / "tracked"), HF_HUB_OFFLINE="1"))
    assert [line.split()[0] for line in said.splitlines()] == ["train", "train"]
    with contextlib.closing(sqlite3.connect(folder / "tracked" / f"{trackers.PROJECT}.db")) as file:
        rows = file.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step").fetchall()
    for name in (RUN, RUN.replace("newton__s0", "newton__s1")):
        kept = [(step, json.loads(numbers)) for one, step, numbers in rows if one == name]
        history = [
            line.split(",") for line in (folder / "model_weights" / name / "history.csv").read_text().splitlines()
        ]
        assert [[str(step), *(numbers[k] for k in METRICS)] for step, numbers in kept] == [
            [row[0], *map(float, row[1:])] for row in history[1:]
        ]
        assert all(set(READ_OUT) <= set(numbers) for _, numbers in kept)
