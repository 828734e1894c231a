"""Tracks from files of others: every kind of file, in any order, with gaps, to one dataset."""

import numpy as np
import pytest
from planted import states

from distill.files.dataset import load_dataset
from distill.pipeline.import_tracks import import_tracks
from distill.shell import paths
from distill.shell.errors import UsageError, UserError


@pytest.fixture(autouse=True)
def datasets(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATASETS", tmp_path / "datasets")
    return tmp_path / "datasets"


def moving(trajectories=12, frames=30, n=3, dim=2, seed=0, dt=0.1):
    """Smooth motion with known velocities and accelerations: sums of sines; arrays of a dataset."""
    rng = np.random.default_rng(seed)
    size, w, phase = rng.uniform(0.5, 1.5, (3, trajectories, 1, n, dim)) * np.reshape([1, 1, 4], (3, 1, 1, 1, 1))
    t = (dt * np.arange(frames))[:, None, None]
    pos = size * np.sin(w * t + phase)
    arrays = {"pos": pos, "vel": size * w * np.cos(w * t + phase), "acc": -w * w * pos, "t": dt * np.arange(frames)}
    return arrays | {"mass": np.exp(rng.normal(size=(trajectories, n))), "spin": rng.normal(size=(trajectories, n))}


def table(arrays, vectors=("pos",), properties=(), names=None):
    """A long table {column: values [row]} of arrays of a dataset, without rows of what is NaN."""
    count, frames, n, dim = arrays["pos"].shape
    k, f, i = (a.ravel() for a in np.indices((count, frames, n)))
    out = {"trajectory": k, "t": arrays["t"][f] if arrays["t"].ndim == 1 else arrays["t"][k, f], "particle": i}
    for name in vectors:
        letter = {"pos": "", "vel": "v", "acc": "a", "force": "f"}[name]
        out |= {letter + axis: arrays[name][k, f, i, d] for d, axis in enumerate("xyz"[:dim])}
    out |= {name: arrays[name][k, i] for name in properties}
    there = np.isfinite(out["x"])
    return {(names or {}).get(name, name): value[there] for name, value in out.items()}


def write_csv(path, columns, delimiter=",", order=None, header=True):
    values = [np.asarray(v)[order] if order is not None else np.asarray(v) for v in columns.values()]
    rows = zip(*(v.tolist() for v in values), strict=True)
    lines = [delimiter.join(columns)] * header + [delimiter.join(map(str, row)) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def imported(path, **options):
    done = import_tracks(path, **options)
    return load_dataset(str(done.path)), "\n".join(done.lines)


def refused(path, *words, **options):
    with pytest.raises(UserError) as caught:
        import_tracks(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "simulate.py" not in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", " ", "|"])
def test_a_table_in_any_order_is_the_dataset(tmp_path, delimiter):
    data = moving()
    columns = table(data, ("pos", "vel", "acc"), ("mass", "spin"))
    order = np.random.default_rng(0).permutation(len(columns["x"]))
    found, told = imported(write_csv(tmp_path / "mine.csv", columns, delimiter, order))
    for name in ("pos", "vel", "acc", "mass", "spin", "t"):
        assert np.array_equal(getattr(found, name), data[name]), name
    assert found.meta.measured == ["pos", "vel", "acc", "mass", "spin", "t"] and found.meta.derived == {}
    assert found.meta.inputs["file"].path == "mine.csv" and len(found.meta.inputs["file"].sha256) == 64
    assert "12 trajectories of 30 frames, 3 particles, 2-D" in told and "no charges" in told


def test_positions_alone_with_missing_rows(tmp_path):
    data = moving()
    gone = np.random.default_rng(1).uniform(size=data["pos"].shape[:3]) < 0.15
    gone[:, :, 2] = False  # a frame without a row is none
    rows = table(data | {"pos": np.where(gone[..., None], np.nan, data["pos"])})
    found, told = imported(write_csv(tmp_path / "mine.csv", rows))
    assert "acc" not in found.arrays and (found.was_seen == ~gone).all()
    assert np.array_equal(found.observed, np.where(gone[..., None], np.nan, data["pos"]), equal_nan=True)
    filled = found.there & gone
    assert filled.sum() > 0.9 * gone.sum()
    np.testing.assert_allclose(found.pos[filled], data["pos"][filled], atol=0.01)  # a cubic over .1 of a radian or so
    assert "no masses: equal ones" in told and (found.mass == 1).all() and found.meta.derived["mass"] == "equal ones"
    assert f"missing: {100 * gone.mean():.3g} %" in told


def test_a_dataset_that_is_not_ours_is_never_replaced(tmp_path, datasets):
    path = write_csv(tmp_path / "mine.csv", table(moving()))
    datasets.mkdir()
    np.savez(datasets / "mine.npz", **states())
    before = (datasets / "mine.npz").read_bytes()
    refused(path, "was not made by import_tracks.py", "--name", overwrite=True)
    refused(datasets / "mine.npz", "is the file that is to be imported", overwrite=True)
    assert (datasets / "mine.npz").read_bytes() == before
    assert not import_tracks(path, name="other").before and import_tracks(path, name="other").before
    path.write_text(path.read_text() + "\n")
    refused(path, "has changed since", name="other")
    assert not import_tracks(path, name="other", overwrite=True).before
    refused(write_csv(tmp_path / "new.csv", table(moving())), "was made from mine.csv", name="other")


def test_columns_by_other_names_and_by_the_users_word(tmp_path):
    data = moving()
    names = {"trajectory": "Movie", "t": "Time [s]", "particle": "TRACK_ID", "x": "Position X (um)", "y": "pos_y"}
    found, _ = imported(write_csv(tmp_path / "a.csv", table(data, names=names)))
    assert np.array_equal(found.pos, data["pos"])
    names = {"trajectory": "one", "t": "two", "particle": "three", "x": "four", "y": "five"}
    path = write_csv(tmp_path / "b.csv", table(data, names=names))
    refused(path, "no column is known as the positions", "one, two, three, four, five", "--columns")
    asked = [f"{ours}={theirs}" for ours, theirs in names.items()]
    assert np.array_equal(imported(path, columns=asked)[0].pos, data["pos"])
    refused(path, "has no column 'fours'; did you mean 'four'", columns=[*asked[:3], "x=fours"], overwrite=True)
    with pytest.raises(UsageError, match="OURS=THEIRS"):
        import_tracks(path, columns=["four"])


def test_a_bad_cell_is_named_by_its_line(tmp_path):
    path = write_csv(tmp_path / "a.csv", table(moving()))
    lines = path.read_text().splitlines()
    lines[500] = lines[500].replace(lines[500].split(",")[3], "oops")
    path.write_text("# a comment\n\n" + "\n".join(lines) + "\n")
    refused(path, "a.csv, line 503", "'oops'", "'x'")
    lines[500] = lines[499] + ",1,2"
    path.write_text("# a comment\n\n" + "\n".join(lines) + "\n")
    refused(path, "a.csv, line 503", "7 columns where the header has 5")
