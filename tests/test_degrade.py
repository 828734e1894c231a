"""A worse copy of a dataset: worse by what was asked, and by nothing else; the truth goes with it."""

import numpy as np
import pytest
from planted import known, states
from scripts import ok, run

from distill.files import records
from distill.files.dataset import Dataset, load_dataset, save_dataset
from distill.files.kinds import DatasetRecord
from distill.formulas.text import parse
from distill.physics.record import describe, system_of
from distill.physics.system import acceleration, pair_force, radial_force
from distill.physics.systems import SYSTEMS
from distill.pipeline.degrade import degrade
from distill.pipeline.import_tracks import import_tracks
from distill.shell import paths
from distill.shell.errors import UserError
from distill.tracks.degrade import Worse, degraded


def waves(trajectories=20, frames=40, n=3, dim=2, dt=0.1):
    """Sums of sines with their exact velocities and accelerations."""
    rng = np.random.default_rng(0)
    size, w, phase = rng.uniform(0.5, 1.5, (3, trajectories, 1, n, dim))

    def at(t):
        s = w * t[..., None, None] + 4 * phase
        return size * np.sin(s), size * w * np.cos(s), -size * w * w * np.sin(s)

    t = np.broadcast_to(dt * np.arange(frames), (trajectories, frames))
    pos, vel, acc = at(t)
    return at, {"pos": pos, "vel": vel, "acc": acc, "t": t[0], "mass": rng.uniform(1, 2, (trajectories, n))}


def in_memory(arrays, path):
    count = len(arrays["pos"])
    whole = {"charge": np.zeros_like(arrays["mass"]), "split": np.zeros(count, int), **arrays}
    return Dataset("waves", path / "waves.npz", whole, DatasetRecord())


def test_noise_is_that_share_of_the_displacement_between_frames(tmp_path):
    _, data = waves(trajectories=60)
    tracks, told = degraded(in_memory(data, tmp_path), Worse(noise=0.1, keep_every=2, velocities=False, seed=1))
    off = tracks.pos - data["pos"][:, ::2]
    step = np.median(np.linalg.norm(np.diff(data["pos"][:, ::2], axis=1), axis=-1))
    assert abs(off.std() / (0.1 * step) - 1) < 0.03 and abs(off.mean()) < 0.005 * step
    assert told["noise_put_on"] == pytest.approx(0.1 * step)
    assert tracks.vel is None and np.array_equal(tracks.acc, data["acc"][:, ::2])
    again, _ = degraded(in_memory(data, tmp_path), Worse(noise=0.1, keep_every=2, velocities=False, seed=1))
    other, _ = degraded(in_memory(data, tmp_path), Worse(noise=0.1, keep_every=2, velocities=False, seed=2))
    assert np.array_equal(again.pos, tracks.pos) and not np.array_equal(other.pos, tracks.pos)
    assert np.array_equal(data["pos"], waves(trajectories=60)[1]["pos"])  # the source is as it was


def test_uneven_times_are_those_of_the_motion(tmp_path):
    at, data = waves()
    tracks, _ = degraded(in_memory(data, tmp_path), Worse(jitter_times=0.8))
    assert tracks.t.shape == (20, 40) and np.diff(tracks.t).min() > 0 and np.diff(tracks.t).std() > 0.02
    for found, true, near in zip((tracks.pos, tracks.vel, tracks.acc), at(tracks.t), (1e-9, 1e-7, 1e-5), strict=True):
        np.testing.assert_allclose(found, true, atol=near)
    tracks, _ = degraded(in_memory(data, tmp_path), Worse(drop_frames=0.3, drop_rows=0.2))
    assert tracks.size[1] == 28 and abs(1 - tracks.seen.mean() - 0.2) < 0.03
    np.testing.assert_array_equal(tracks.pos[tracks.seen], at(tracks.t)[0][tracks.seen])


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    return tmp_path


def saved(folder, system="r2"):
    path = folder / f"{system}.npz"
    save_dataset(path, states(system, trajectories=12, frames=6), {"system": describe(known(system))})
    return path


@pytest.mark.parametrize("system", ["charge", "damped"])
def test_the_law_in_other_units_is_that_of_the_rescaled_data(datasets, system):
    saved(datasets, system)
    scales = dict(zip(("length", "time", "mass", "charge"), (1e7, 1e-3, 1e-9, 1e5), strict=True))
    degrade(system, Worse(rescale=scales), name="scaled")
    found = load_dataset("scaled")
    law = system_of(found.meta.system)
    assert law is not None and law.name == f"{system}_rescaled"
    properties = {k: v[:, None] for k, v in found.properties.items()}
    np.testing.assert_allclose(acceleration(law, found.pos, found.vel, properties), found.acc, rtol=1e-9)
    before = load_dataset(system)
    assert np.allclose(found.pos, 1e7 * before.pos, rtol=1e-14) and np.allclose(found.mass, 1e-9 * before.mass)
    if law.law is not None:  # the text is the force too
        r, ends = 1e7 * np.linspace(0.2, 3, 9), {"m_i": 2e-9, "m_j": 3e-9, "q_i": 1e5, "q_j": -2e5}
        one = {"m_i": 2.0, "m_j": 3.0, "q_i": 1.0, "q_j": -2.0}
        ends, one = ({k: np.full(9, v) for k, v in e.items()} for e in (ends, one))
        force = radial_force(law, r, ends) / radial_force(SYSTEMS[system], r / 1e7, one)
        np.testing.assert_allclose(force, 1e-9 * 1e7 / 1e-6, rtol=1e-9)
        assert parse(law.law, law.variables).free_symbols == parse(SYSTEMS[system].law, law.variables).free_symbols
    assert pair_force(law, np.ones((1, 2)), np.ones(1), {k: np.ones(1) for k in law.variables}).shape == (1, 2)


def test_the_truth_is_carried_along_where_it_holds(datasets):
    saved(datasets)
    degrade("r2", Worse(noise=0.01, accelerations=False, velocities=False, shift=1e3), name="a")
    a = load_dataset("a")
    assert a.meta.system.name == "r2" and system_of(a.meta.system) is not None and "acc" not in a.arrays
    assert a.meta.stage == "degrade" and a.meta.inputs["dataset"].path == "r2.npz"
    assert a.meta.report["noise_put_on"] > 0 and np.abs(a.pos).min() > 100


def test_the_table_is_the_copy(datasets, tmp_path):
    """What is written as CSV and read again is what was written as a dataset."""
    saved(datasets)
    table = tmp_path / "a.csv"
    degrade("r2", Worse(noise=0.05, drop_rows=0.2), name="a", csv=table)
    import_tracks(table, name="b")
    a, b = load_dataset("a"), load_dataset("b")
    for name in ("acc", "mass", "charge"):
        np.testing.assert_array_equal(a.arrays[name], b.arrays[name])
    assert (a.was_seen == b.was_seen).all() and np.array_equal(a.pos, b.pos, equal_nan=True)


def test_nothing_else_is_replaced(datasets):
    saved(datasets)
    with pytest.raises(UserError, match="was made by simulate.*--name"):
        degrade("r2", Worse(), name="r2", overwrite=True)
    degrade("r2", Worse(), name="a")
    assert degrade("r2", Worse(), name="a").before
    with pytest.raises(UserError, match="noise was 0.0, now 0.1"):
        degrade("r2", Worse(noise=0.1), name="a")
    assert records.load(DatasetRecord, datasets / "a.json").arguments["noise"] == 0


def test_the_script(tmp_path):
    (tmp_path / "datasets").mkdir()
    saved(tmp_path / "datasets")
    words = "--dataset r2 --name worse --noise 0.1 --drop-rows 0.1 --rescale 10 1 1 1 --frames 5".split()
    told = ok(run(tmp_path, "experiments/degrade.py", *words))
    assert "the true system, in the units of the data" in told and told.splitlines()[-1].startswith("degrade  worse")
