"""Large data: what is made of a part of the frames at a time is what all of them at once make, in less memory; and
what the page of scale says of its measurements.
"""

import tracemalloc

import numpy as np
import pytest
import scale_parts

from distill.files import gaps
from distill.files.dataset import Dataset
from distill.files.kinds import DatasetRecord
from distill.files.scales import scales_of
from distill.network import labels
from distill.network.data import Inputs, dataset_features
from distill.network.labels import labels_of
from distill.windows import doubts


def made(trajectories=40, frames=25, n=3, dim=2, gap=False) -> Dataset:
    """Random motion; with ``gap`` a particle that is not there in some frames."""
    rng = np.random.default_rng(7)
    arrays = {name: rng.normal(size=(trajectories, frames, n, dim)) for name in ("pos", "vel", "acc")}
    arrays |= {"mass": rng.lognormal(size=(trajectories, n)), "charge": rng.normal(size=(trajectories, n))}
    arrays |= {"t": 0.1 * np.arange(frames), "split": (np.arange(trajectories) % 5 == 0).astype(int)}
    if gap:
        for name in ("pos", "vel", "acc"):
            arrays[name][3:5, 7, 1] = np.nan
        arrays["seen"] = np.isfinite(arrays["pos"][..., 0]).astype(np.int8)
    return Dataset("made", None, arrays, DatasetRecord())


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("n, dim", [(3, 2), (5, 1), (20, 3)])
@pytest.mark.parametrize("at_once", [1, 64, 333])
def test_features_and_labels_in_parts_are_those_of_all_at_once(monkeypatch, n, dim, gap, at_once):
    data, graphs = made(n=n, dim=dim, gap=gap), np.arange(3, 900, 2)
    for inputs in (Inputs(scales_of(data), invariant=True), Inputs(centre=(0.3,) * dim, clock=(1.2, 0.7))):
        monkeypatch.setattr(labels, "PARTICLES_AT_ONCE", 1 << 30)
        whole, all_labels = dataset_features(data, graphs, inputs), labels_of(data, graphs, "cpu", 0.37)
        monkeypatch.setattr(labels, "PARTICLES_AT_ONCE", at_once)
        parts, some = dataset_features(data, graphs, inputs), labels_of(data, graphs, "cpu", 0.37)
        assert whole.dtype == parts.dtype == np.float32 and whole.tobytes() == parts.tobytes()
        assert some.acc.numpy().tobytes() == all_labels.acc.numpy().tobytes()
        assert (some.there is None) == (all_labels.there is None) == (not gap)
        assert not gap or some.there.numpy().tobytes() == all_labels.there.numpy().tobytes()


def test_on_the_way_to_features_and_labels_there_is_little_beside_them(monkeypatch):
    """All at once they take nearly seven and six times what is kept."""
    monkeypatch.setattr(labels, "PARTICLES_AT_ONCE", 1000)
    data = made(trajectories=200, frames=100, n=4)
    graphs = np.arange(20_000)
    for make in (lambda: dataset_features(data, graphs), lambda: labels_of(data, graphs, "cpu").acc.numpy()):
        size, most = peak_of(make)
        assert most < 1.6 * size


def test_bad_frames_are_found_in_parts_as_in_all_at_once(monkeypatch, capsys):
    def found(at_once):
        monkeypatch.setattr(gaps, "NUMBERS_AT_ONCE", at_once)
        arrays = made().arrays
        arrays["pos"][4, 9, 1] = np.nan  # a number is missing
        arrays["pos"][11, 3, 2] = arrays["pos"][11, 3, 0]  # two at the same place
        arrays["pos"][39, 12, 0] += 1e9  # a jump in the last trajectory
        gaps.leave_out_bad_frames(arrays, "data")
        return arrays, capsys.readouterr().err

    (whole, told), (parts, same) = found(1 << 30), found(400)
    assert told == same and "3 of 1000 frames are left out" in told
    for name in ("pos", "vel", "acc", "seen"):
        assert whole[name].tobytes() == parts[name].tobytes()


def test_looking_for_bad_frames_takes_little_beside_them(monkeypatch):
    monkeypatch.setattr(gaps, "NUMBERS_AT_ONCE", 1000)
    arrays = made(trajectories=500, frames=50, n=4).arrays
    _, most = peak_of(lambda: gaps.leave_out_bad_frames(arrays, "data"))
    assert most < 0.75 * arrays["pos"].nbytes  # three bytes a particle, once and while they are joined


def test_exchanges_are_found_in_parts_as_in_all_at_once(monkeypatch):
    def found(at_once):
        monkeypatch.setattr(doubts, "PLACES", at_once)
        t = np.linspace(0, 1, 30)
        start = np.random.default_rng(3).normal(size=(50, 1, 4, 2))
        pos = start + np.sin(t)[:, None, None] * start[..., ::-1]
        pos[17, 12:, [0, 2]] = pos[17, 12:, [2, 0]]
        pos[49, 20:, [1, 3]] = pos[49, 20:, [3, 1]]
        return doubts.exchanged(pos, t).tolist()

    assert found(1 << 30) == found(300) == [[17, 12, 0, 2], [49, 20, 1, 3]]


def peak_of(make) -> tuple[int, int]:
    """(bytes of what ``make`` returns, most bytes that were allocated meanwhile)."""
    tracemalloc.start()
    try:
        found = make()
        return getattr(found, "nbytes", 0), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- the page


def row(cell: str, trajectories: int, frames: int, n: int, peaks: dict) -> dict:
    stages = {s: {"cpu_s": 12.0, "seconds": 30.0, "peak_mb": mb, "bytes": 5_000_000} for s, mb in peaks.items()}
    training = {"graphs": 800, "graphs_seen": 400, "edges_a_frame": 12.0, "edges_a_cpu_s": 2e5}
    training |= {"error": 0.2, "error_of_zero": 0.4}
    about = {"cell": cell, "trajectories": trajectories, "frames": frames, "n": n, "stages": stages}
    about |= {"training": training, "messages": {"train": {"edges": 1200}}, "read_out_r2_all": None}
    return about | {"hardware": "2 cores", "date": "2026-11-28", "git": {"commit": "abcdef012345", "dirty": False}}


@pytest.fixture
def planted(monkeypatch):
    """Peaks on straight lines: 300 MB and 20 MB for 1,000 trajectories in training, none elsewhere."""
    found = [row(f"r2_{k}", k, 100, 4, {"train.py": 300 + 0.02 * k, "fit_linear.py": 500.0}) for k in (10_000, 100_000)]
    monkeypatch.setattr(scale_parts, "stored", lambda name: {"sections": {"scale": {"rows": found}}})
    return found


def test_what_fits_into_a_machine_is_read_from_the_straight_line(planted):
    table = scale_parts.growth()
    assert "| `train.py` | 200.0 |" in table and "| `fit_linear.py` | 0.0 |" in table
    # (7000 - 300)/0.02, (15000 - 300)/0.02 and (63000 - 300)/0.02, rounded down
    assert "| 330,000 | 730,000 | 3,100,000 |" in table


def test_the_bar_is_met_or_not_and_what_is_missing_is_named(planted):
    told = scale_parts.costs()
    assert "Largest peak: 2300 MB (`train.py`" in told and "6000 MB: met." in told
    assert "Not measured: argon, n = 250; argon, n = 1,000; argon, n = 1,000, more frames." in told
    planted[1]["stages"]["train.py"]["peak_mb"] = 6001.0
    assert "**not met**" in scale_parts.costs()


def test_a_cell_that_failed_says_so_and_is_in_no_line(planted):
    planted[1] = {k: planted[1][k] for k in ("cell", "hardware", "date", "git")} | {"error": "train.py: no room"}
    assert "ended with: train.py: no room." in scale_parts.costs()
    assert scale_parts.growth() == scale_parts.NONE and "100,000" not in scale_parts.training()


def test_without_measurements_the_page_says_so(monkeypatch):
    monkeypatch.setattr(scale_parts, "stored", lambda name: None)
    assert {part() for part in scale_parts.PARTS.values()} == {scale_parts.NONE}
