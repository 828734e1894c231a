"""What no term of a law can say is refused, for the reason that there is; what terms can say is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import outside
import outside_data
import pytest

from distill.files.dataset import Dataset
from distill.files.kinds import DatasetRecord
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.law import trust
from distill.law.receivers import ahead
from distill.law.remains import clues
from distill.law.remains.residuals import structure, told_of_left
from distill.law.remains.scene import of_dataset
from distill.physics.law import Law
from distill.survey.labels import against_tracks
from distill.survey.tell import doubt_lines, doubts_of
from distill.windows.doubts import exchanged, inertia
from distill.windows.of_dataset import from_positions

LAWS = {"springs": "-0.5*(r-1)", "gravity": "-m_i*m_j/(r+0.2)^2", "charges": "q_i*q_j/(r+0.2)^2"}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(outside_data, "TRAJECTORIES", 30)
    monkeypatch.setattr(outside_data, "FRAMES", 30)
    monkeypatch.setattr(outside_data, "TOLERANCE", 1e-5)


def dataset(arrays: dict) -> Dataset:
    """All of it left out of any fit."""
    arrays = arrays | {"split": np.full(len(arrays["mass"]), 2, np.int8)}
    return Dataset("planted", Path("planted"), arrays, DatasetRecord(n=arrays["mass"].shape[1], dim=2))


def windows(arrays: dict, seed: int) -> Dataset:
    seen = outside_data.positions_alone(arrays, seed)
    seen["observed"] = seen.pop("pos")
    return dataset(seen | from_positions(seen) | {"window": np.int64(7)})


def left(made, data: Dataset) -> dict:
    """What the pair force that is there leaves, the missing one not in it."""
    law = Law(parse(LAWS[made.about["pair"]], VARIABLES))
    return structure(law, of_dataset(data, law), 10**6)


# ---------------------------------------------------------------- what is left of the accelerations


@pytest.mark.parametrize(
    ("kind", "seed", "follows", "called"),
    [
        ("three_body", 930, clues.OF_TRIANGLES, "three-body forces?"),
        ("retarded", 930, clues.OF_PAST, "retardation?"),
        ("hidden", 932, clues.OF_A_SOURCE, "a source that was not recorded?"),
    ],
)
def test_the_cause_is_named(small, kind, seed, follows, called):
    made = outside_data.made(kind, seed)
    found = left(made, dataset(made.arrays))
    assert found["structured"] and found["follows"][0] == follows and called in found["text"], found


def test_noise_alone_follows_nothing_and_more_than_noise_is_no_noise(small):
    made = outside_data.made("springs", 930)
    found = left(made, windows(made.arrays, 930))
    assert not found["structured"] and 0.8 < found["over_noise"] < 1.2, found
    force = np.random.default_rng(1).standard_normal(made.arrays["pos"].shape) * 0.5
    shaken = windows(made.arrays | {"pos": made.arrays["pos"] + np.cumsum(np.cumsum(force, 1), 1) * 0.06**2}, 930)
    shaken.arrays["noise"] = windows(made.arrays, 930).noise
    found = left(made, shaken)
    assert found["structured"] and found["over_noise"] > 1.5 and "what noise alone leaves" in found["text"], found


def test_a_source_that_nothing_foretells_is_called_one_where_it_lasts():
    lasts = {"lag_1": 0.9, "error": 0.01, "lasts": True}
    assert "(a source that was not recorded?)" in told_of_left(0.1, {}, lasts, None)
    assert "recorded" not in told_of_left(0.1, {clues.OF_VELOCITY: {"z": 9.0, "r2": 0.5}}, lasts, None)
    assert told_of_left(0.1, {}, lasts | {"lasts": False}, None) == ""


# ---------------------------------------------------------------- tracks


def test_exchanged_labels_are_found_and_none_where_there_are_none(small):
    made = outside_data.made("identities", 930)
    assert 0.6 * made.about["swaps"] < len(exchanged(made.arrays["pos"], made.arrays["t"])) <= made.about["swaps"]
    assert "identities swapped?" in against_tracks(windows(made.arrays, 930))[0]
    rng = np.random.default_rng(930)
    right = outside_data.made("springs", 930).arrays
    assert against_tracks(windows(right, 930)) == [] == against_tracks(dataset(right))
    walk = np.cumsum(rng.standard_normal((20, 50, 4, 2)), 1)
    assert not len(exchanged(walk, np.arange(50.0)))


def test_a_bounce_is_no_exchange():
    """Two that swap velocities between frames are where the other would be, but for their labels."""
    t = np.arange(-10.3, 10.0)
    x = np.zeros((1, len(t), 2, 2))
    x[0, :, 0, 0], x[0, :, 1, 0] = -np.abs(t) - 0.01, np.abs(t) + 0.01
    assert not len(exchanged(x + 1e-4 * np.sin(np.arange(x.size)).reshape(x.shape), t))
    through = x.copy()
    through[0, t > 4] = x[0, t > 4][:, ::-1]
    assert exchanged(through + 1e-4 * np.sin(np.arange(x.size)).reshape(x.shape), t).tolist() == [[0, 15, 0, 1]]


def test_what_has_no_inertia_is_noise():
    rng = np.random.default_rng(5)
    white = rng.standard_normal((50, 40, 3, 2))
    walk = np.cumsum(white, 1)
    assert all(abs(inertia(x)[0]) < 0.05 for x in (white, walk))
    smooth = np.cumsum(np.cumsum(white, 1), 1)
    assert inertia(smooth)[0] > 0.9
    assert inertia(smooth + 0.5 * np.std(np.diff(smooth, axis=1)) * white)[0] > 0.5
    arrays = {"pos": walk, "t": np.arange(40.0), "mass": np.ones((50, 3)), "charge": np.zeros((50, 3))}
    assert "no inertia" in against_tracks(windows(arrays, 5))[0]


# ---------------------------------------------------------------- verdicts


def test_noise_is_not_told_from_no_force_by_luck(small):
    """Of accelerations whose noise nobody knows."""
    from planted import messages

    from distill.law.selection import Ground
    from distill.messages.net_forces import nodes_of

    m = messages("r2", trajectories=200)
    held = Ground(m, nodes_of(m), ()).held
    size = np.linalg.norm(held.acc, axis=1, keepdims=True)
    assert ahead(held.acc, 0 * held.acc, held) > 5
    rng = np.random.default_rng(7)
    for _ in range(20):
        noise = replace(held, acc=rng.standard_normal(held.acc.shape))
        assert (
            abs(ahead(0.02 * rng.standard_normal(size.shape) * noise.acc[::-1], 0 * noise.acc, noise)) < trust.SURE + 1
        )


@pytest.mark.parametrize(("pairs", "zero", "noise"), [(1.0, 0.3, True), (30.0, 0.301, False), (1.0, 0.6, False)])
def test_the_words_for_noise(pairs, zero, noise):
    class Refined:
        held_out, network, receivers, chosen_share = 0.3, 0.3, 100, 1.0

    told = trust.without_truth(
        Refined,
        {"structured": False, "text": "noise"},
        known={"network": 0.3, "zero": zero, "mean": 1.0},
        noise=trust.Noise(pairs=pairs),
    )
    assert ("foretells the accelerations" in told["why"]) == noise
    assert told["trusted"] or zero <= 0.3 or noise


def test_the_outlook_of_a_look():
    told = {"finds_force": True, "text": "", "left": 0.3}
    assert doubts_of(told, []) == [] and "nothing seen" in doubt_lines([])[0]
    assert doubts_of(told | {"text": "it lasts"}, ["swapped"]) == ["swapped", "it lasts"]
    assert doubts_of(told | {"text": "it lasts", "left": 0.001}, []) == []  # for want of knots
    assert "noise?" in doubts_of(told | {"finds_force": False}, [])[0]
    assert all("NO LAW TO BE TRUSTED" in line for line in doubt_lines(["a", "b"]))


# ---------------------------------------------------------------- the benchmark and its data


def test_three_body_forces_are_a_gradient_and_turn_nothing():
    rng = np.random.default_rng(3)
    pos = rng.standard_normal((2, 4, 2))

    def energy(x):
        total = 0.0
        for i in range(4):
            for j in range(i):
                for k in range(j):
                    a, b, c = x[i] - x[j], x[j] - x[k], x[k] - x[i]
                    p, q, s = ((d**2).sum() + outside_data.SOFT_TRIANGLE for d in (a, b, c))
                    product = (p + s - q) * (p + q - s) * (q + s - p)
                    total += (1 + 0.375 * product / (p * q * s)) / (p * q * s) ** 1.5
        return total

    force, h = outside_data.axilrod_teller(pos), 1e-6
    for copy in range(2):
        for i, axis in np.ndindex(4, 2):
            step = np.zeros((4, 2))
            step[i, axis] = h
            slope = (energy(pos[copy] + step) - energy(pos[copy] - step)) / (2 * h)
            assert force[copy, i, axis] == pytest.approx(-slope, rel=1e-5, abs=1e-8)
    assert np.abs(force.sum(1)).max() < 1e-12
    assert np.abs((pos[..., 0] * force[..., 1] - pos[..., 1] * force[..., 0]).sum(1)).max() < 1e-12


def test_a_delay_that_vanishes_is_none(small, monkeypatch):
    """Steps with delays against scipy without any."""
    monkeypatch.setattr(outside_data, "LATE", (1e-6, 2e-6))
    rng = np.random.default_rng(8)
    pos, vel, mass, charge = outside_data.start(rng, 4, "")
    world = outside_data.World(outside_data.springs, mass, charge)
    made, _ = outside_data.retarded(rng, world, pos, vel, 0)
    right = outside_data.integrated(lambda x, v, t: world.force(x), pos, vel, mass)
    off = np.linalg.norm(made["pos"] - right["pos"], axis=-1)
    assert np.median(off) < 1e-4 and np.isfinite(made["acc"]).all()


def test_the_benchmark_counts(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(outside.paths, "OUTPUTS", tmp_path)
    told = {"why": "it does", "seconds": {}}

    def measured(children, module, key, *_):
        return told | {"trusted": key["kind"] == "gravity"}

    monkeypatch.setattr(outside.cell_files, "in_own_process", measured)
    call = ["--seeds", "930", "931", "--kinds", "noise", "gravity", "fish", "--development"]
    assert outside.main(call) == 0
    monkeypatch.setattr(outside.cell_files, "in_own_process", None)  # what is finished is found done
    assert outside.main(call) == 0
    counts = outside.cell_files.sections.read(tmp_path / "outside.json")["outside"]["counts"]
    assert counts["outside"]["positions"] | {"interval": 0} == {"trusted": 0, "n": 3, "errors": 0, "interval": 0}
    assert counts["inside"]["accelerations"]["trusted"] == 2
    with pytest.raises(SystemExit):
        outside.main(call[:-1])
    assert "are those of the development" in capsys.readouterr().err
