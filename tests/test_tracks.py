"""Tracks from files of others: every kind of file, in any order, with gaps, to one dataset."""

import bz2
import gzip
import lzma
import warnings

import numpy as np
import pytest
from planted import states

from distill.files.dataset import load_dataset
from distill.pipeline.import_tracks import import_tracks
from distill.shell import paths
from distill.shell.errors import UsageError, UserError
from distill.tracks.formats import atoms
from distill.windows.doubts import off_track


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


def of(found):
    """Positions as they were given."""
    return found.arrays.get("observed", found.pos)


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
    np.testing.assert_allclose(found.pos[filled], data["pos"][filled], atol=0.01)
    np.testing.assert_allclose(found.pos[~gone], data["pos"][~gone], atol=1e-3)
    assert found.meta.measured == ["observed", "t"] and "smooth" in found.meta.derived["vel"]
    assert np.median(np.abs(found.vel - data["vel"])[~gone]) < 0.02 and found.noise < 1e-3
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
    assert np.array_equal(of(found), data["pos"])
    names = {"trajectory": "one", "t": "two", "particle": "three", "x": "four", "y": "five"}
    path = write_csv(tmp_path / "b.csv", table(data, names=names))
    refused(path, "no column is known as the positions", "one, two, three, four, five", "--columns")
    asked = [f"{ours}={theirs}" for ours, theirs in names.items()]
    assert np.array_equal(of(imported(path, columns=asked)[0]), data["pos"])
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


def test_tables_without_a_header_packed_or_with_units_below_it(tmp_path):
    data = moving(trajectories=10, frames=12)
    columns = table(data)
    path = write_csv(tmp_path / "a.csv", columns, header=False)
    refused(path, "does not name its 5 columns", "--columns t=1")
    asked = ["trajectory=1", "t=2", "particle=3", "x=4", "y=5"]
    assert np.array_equal(of(imported(path, columns=asked)[0]), data["pos"])
    text = write_csv(tmp_path / "b.csv", columns).read_text().split("\n", 1)
    (tmp_path / "head.tsv").write_bytes(b"\xef\xbb\xbf" + "# made by hand\n".join(["", text[0]]).encode())
    (tmp_path / "c.csv").write_text(text[0] + "\n,(s),,(um),(um)\n" + text[1])
    found, told = imported(tmp_path / "c.csv")
    assert np.array_equal(of(found), data["pos"]) and "1 lines of words below the header" in told
    with gzip.open(tmp_path / "d.csv.gz", "wt") as file:
        file.write("# " + " ".join(columns) + "\n" + text[1].replace(",", " "))
    assert np.array_equal(of(imported(tmp_path / "d.csv.gz")[0]), data["pos"])
    decimal = "\n".join([text[0].replace(",", ";"), text[1].replace(",", ";").replace(".", ",")])
    (tmp_path / "e.csv").write_text(decimal)
    assert np.array_equal(of(imported(tmp_path / "e.csv")[0]), data["pos"])
    refused(tmp_path / "head.tsv", "head.tsv holds no row")


def test_labels_of_any_kind_and_files_that_are_recordings(tmp_path):
    data = moving(trajectories=10)
    columns = table(data)
    words = np.array(["b", "a", "C-3"])[columns["particle"]]
    files = []
    for k in range(10):
        own = columns["trajectory"] == k
        part = {name: value[own] for name, value in (columns | {"particle": words}).items() if name != "trajectory"}
        files.append(write_csv(tmp_path / f"film_{k}.csv", part))
    found, _ = imported(files, name="films")
    assert np.array_equal(of(found), data["pos"][:, :, [2, 1, 0]])  # in the order of the words
    assert [found.meta.inputs[f"file_{k}" if k else "file"].path for k in range(10)] == [p.name for p in files]


def test_dates_are_seconds_and_other_words_are_refused(tmp_path):
    data = moving(trajectories=10, frames=12)
    columns = table(data)
    stamp = np.datetime64("2024-05-01T12:00:00.000") + (1000 * columns["t"]).round().astype("timedelta64[ms]")
    found, told = imported(write_csv(tmp_path / "a.csv", columns | {"t": stamp.astype(str)}))
    np.testing.assert_allclose(found.t, data["t"], atol=1e-6)
    assert np.array_equal(of(found), data["pos"]) and "times are dates" in told
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zoned = write_csv(tmp_path / "c.csv", columns | {"t": np.char.add(stamp.astype(str), "+02:00")})
        np.testing.assert_allclose(imported(zoned)[0].t, data["t"], rtol=1e-14, atol=1e-14)  # no digit is lost
    path = write_csv(tmp_path / "b.csv", columns | {"t": np.array(["noon"] * len(stamp))})
    refused(path, "line 2", "'noon' in the column of 't' is no number", "dates as")


def test_doubled_rows_are_left_out_and_contradictions_refused(tmp_path):
    data = moving(trajectories=10)
    columns = table(data)
    few = {name: np.concatenate([value, value[:7]]) for name, value in columns.items()}
    found, told = imported(write_csv(tmp_path / "a.csv", few))
    assert (
        np.array_equal(of(found), data["pos"]) and "7 rows doubled" in told and found.meta.report["rows_doubled"] == 7
    )
    del columns["trajectory"]
    refused(write_csv(tmp_path / "b.csv", columns), "line 2 and line 92", "two places", "--columns trajectory=NAME")


def test_columns_that_are_no_properties_are_left_out_with_a_word(tmp_path):
    data = moving(trajectories=10)
    columns = table(data, properties=("mass", "spin"))
    more = {"drift": columns["mass"] * (1 + columns["t"]), "kind": np.array(["A", "B", "A"])[columns["particle"]]}
    more |= {"radius (um)": columns["spin"] ** 2, "same": 0 * columns["t"] + 5, "note": columns["t"].astype("U9")}
    more["note"][5:] = "words"
    more["sort"] = np.array(["A", "", "B"])[columns["particle"]]
    found, told = imported(write_csv(tmp_path / "a.csv", columns | more))
    assert list(found.properties) == ["mass", "charge", "kind__A", "kind__B", "radius", "spin"]
    assert (found.kind == [0, 1, 0]).all() and np.array_equal(found.radius, data["spin"] ** 2)
    for words in (
        "'drift' is left out: it changes in time",
        "'sort' is left out: it holds words in some rows only, like 'A'",
        "'same' is 5 for every",
        "'note' is left out: it holds words",
    ):
        assert words in told, told
    columns["mass"] = columns["mass"] * (1 + columns["t"])  # a force needs to know
    refused(write_csv(tmp_path / "b.csv", columns), "'mass' cannot be used: it changes in time", "--leave-out")
    assert "equal ones" in imported(tmp_path / "b.csv", leave_out=["mass"])[1]


def test_one_long_recording_is_cut_with_gaps_between_the_splits(tmp_path):
    data = moving(trajectories=1, frames=1000)
    columns = table(data, ("pos", "vel", "acc"))
    del columns["trajectory"]
    found, told = imported(write_csv(tmp_path / "a.csv", columns))
    assert "one recording of 1,000 frames: cut into 20 blocks of 45 frames, in time 16 to train" in told
    assert np.bincount(found.split).tolist() == [16, 2, 2] and (found.film == 0).all() and found.t.shape == (20, 45)
    frame = np.rint(found.t / 0.1).astype(int)
    assert np.array_equal(found.pos, data["pos"][0][frame])
    of = [set(frame[found.split == k].ravel()) for k in range(3)]
    assert max(of[0]) + 45 < min(of[1]) and max(of[1]) + 45 < min(of[2])
    own, _ = imported(tmp_path / "a.csv", block_frames=100, gap=20, overwrite=True)
    assert own.pos.shape[:2] == (9, 100) and own.t[-2, 0] > own.t[-3, -1] + 20 * 0.1
    refused(
        tmp_path / "a.csv", "1000 frames are too few for three blocks of 400", block_frames=400, gap=1, overwrite=True
    )
    refused(tmp_path / "a.csv", "1 recording of 1000 frames", split="recordings", overwrite=True)


def test_tracks_that_come_and_go_need_no_room_for_all_of_them(tmp_path):
    """A film in which every particle is seen for a while: blocks know their own particles alone."""
    rng = np.random.default_rng(0)
    rows = {name: [] for name in ("frame", "track", "x", "y")}
    for track in range(160):
        first, length = rng.integers(0, 800), int(rng.integers(20, 60))
        frames = np.arange(first, min(first + length, 800))
        x, v = rng.normal(size=(2, 2))
        place = x + v * 0.01 * (frames - first)[:, None]
        for name, value in zip(rows, (frames, np.full(len(frames), track), *place.T), strict=True):
            rows[name].append(value)
    columns = {name: np.concatenate(v) for name, v in rows.items()}
    found, told = imported(write_csv(tmp_path / "a.csv", columns), dt=0.5)
    assert found.n < 40 and "particles in a frame" in told
    seen = int(found.was_seen.sum())
    assert 0.75 * len(columns["x"]) < seen <= len(columns["x"])  # gaps between splits are not used
    k, f, i = np.argwhere(found.was_seen)[::97].T
    for frame, place in zip(np.rint(found.times[k, f] / 0.5), found.observed[k, f, i], strict=True):
        at = columns["frame"] == frame
        assert (place == np.stack([columns["x"], columns["y"]], 1)[at]).all(1).sum() == 1


def test_recordings_of_different_numbers_of_particles_and_frames(tmp_path):
    data = moving(trajectories=12, frames=40, n=5)
    keep = np.ones((12, 40, 5), bool)
    keep[3, :, 4] = keep[5, :, 2:] = keep[7, 25:] = False
    columns = table(data | {"pos": np.where(keep[..., None], data["pos"], np.nan)}, ("pos", "acc"), ("mass",))
    found, told = imported(write_csv(tmp_path / "a.csv", columns))
    assert found.pos.shape == (12, 40, 5, 2) and (found.was_seen == keep).all() and (found.there == keep).all()
    assert np.array_equal(found.acc[keep], data["acc"][keep]) and np.isnan(found.acc[~keep]).all()
    assert (found.mass > 0).all() and np.array_equal(found.mass[0], data["mass"][0])
    assert "1 of 12 recordings are shorter than 40 frames" in told
    v, true = found.vel[keep], data["vel"][keep]  # from places and accelerations
    assert np.abs(v - true).max() < 0.05 * np.abs(true).max() and np.median(np.abs(v - true)) < 2e-3


# ---------------------------------------------------------------- arrays


def test_arrays_that_miss_the_format_by_a_little(tmp_path):
    data = moving()
    named = {"positions": data["pos"], "velocity": data["vel"], "forces": data["acc"] * data["mass"][:, None, :, None]}
    np.savez(tmp_path / "a.npz", **named, m=data["mass"], time=data["t"], spin=data["spin"])
    found, told = imported(tmp_path / "a.npz")
    np.testing.assert_allclose(found.acc, data["acc"], rtol=1e-14)
    assert np.array_equal(found.vel, data["vel"]) and np.array_equal(found.spin, data["spin"])
    assert found.meta.derived == {"acc": "force over mass"} and "'forces' is taken as 'force'" in told
    np.savez(tmp_path / "b.npz", pos=data["pos"], vel=data["vel"], acc=data["acc"], mass=data["mass"][0])
    assert (imported(tmp_path / "b.npz")[0].mass == data["mass"][0]).all()
    acc = data["acc"].copy()
    acc[3, 4:7] = np.nan
    np.savez(tmp_path / "c.npz", **data | {"acc": acc})
    found, told = imported(tmp_path / "c.npz")
    assert "18 values of 'acc' are no numbers: trajectory 3 left out" in told and len(found.pos) == 11
    assert np.array_equal(found.pos, np.delete(data["pos"], 3, 0))
    np.savez(tmp_path / "d.npz", **{f"pos_{k}": x[: 40 - k] for k, x in enumerate(moving(frames=40)["pos"])})
    assert imported(tmp_path / "d.npz")[0].was_seen.sum((1, 2)).tolist() == [3 * (40 - k) for k in range(12)]
    np.savez(tmp_path / "e.npz", pos=np.array([np.ones((3, 2)), np.ones((4, 2))], dtype=object))
    refused(tmp_path / "e.npz", "'pos' holds Python objects", "pos_{k}")
    np.savez(tmp_path / "f.npz", where=data["pos"])
    refused(tmp_path / "f.npz", "where (12, 30, 3, 2)", "--columns pos=NAME")
    assert np.array_equal(of(imported(tmp_path / "f.npz", columns=["pos=where"])[0]), data["pos"])


@pytest.mark.parametrize(("dim", "columns"), [(2, 6), (2, 4), (3, 8), (3, 6), (2, 2)])
def test_the_layout_of_the_paper(tmp_path, dim, columns):
    data = moving(dim=dim)
    rest = [np.broadcast_to(data[k][:, None, :, None], (12, 30, 3, 1)) for k in ("spin", "mass")]
    parts = [data["pos"]] + [data["vel"]] * (columns > dim) + rest * (columns > 2 * dim)
    np.save(tmp_path / "r2_data.npy", np.concatenate(parts, -1))
    found, told = imported(tmp_path / "r2_data.npy")
    assert np.array_equal(of(found), data["pos"]) and "acc" not in found.arrays
    if columns > 2 * dim:
        assert np.array_equal(found.mass, data["mass"]) and np.array_equal(found.charge, data["spin"])
    np.save(tmp_path / "r2_accel.npy", data["acc"])
    found, told = imported(tmp_path / "r2_data.npy", overwrite=True)
    assert np.array_equal(found.acc, data["acc"]) and "those of r2_accel.npy" in told
    assert [found.meta.inputs[k].path for k in ("file", "file_1")] == ["r2_data.npy", "r2_accel.npy"]


def test_hdf5_by_name_and_by_group(tmp_path):
    h5py = pytest.importorskip("h5py")
    data = moving()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for k in range(12):
            group = file.create_group(f"{k:05d}")
            group["position"], group["particle_type"] = data["pos"][k], [1, 2, 1]
    found, _ = imported(tmp_path / "a.h5")
    assert np.array_equal(of(found), data["pos"]) and (found.particle_type == [1, 2, 1]).all()
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"], file["t"] = data["pos"], data["t"]
    assert np.array_equal(of(imported(tmp_path / "b.h5")[0]), data["pos"])


def test_parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    data = moving()
    columns = table(data) | {"particle": np.array(["b", "a", "c"])[table(data)["particle"]]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert np.array_equal(of(imported(tmp_path / "a.parquet")[0]), data["pos"][:, :, [1, 0, 2]])


# ---------------------------------------------------------------- frames of molecular dynamics


def lammps(path, pos, force, box=None, wrapped=False, steps=10):
    """A dump of positions [frame, particle, 3], atoms in another order in every frame."""
    rng, lines = np.random.default_rng(0), []
    for f, x in enumerate(pos):
        bounds = ["ITEM: BOX BOUNDS " + ("ff ff ff" if box is None else "pp pp pp")]
        bounds += [f"0 {50 if box is None else box}"] * 3
        lines += ["ITEM: TIMESTEP", str(steps * f), "ITEM: NUMBER OF ATOMS", str(len(x)), *bounds]
        lines += ["ITEM: ATOMS id type x y z fx fy fz mass"]
        place = np.mod(x, box) if wrapped else x
        for i in rng.permutation(len(x)).tolist():
            lines.append(" ".join(map(repr, [i + 1, 1 + i % 2, *place[i].tolist(), *force[f, i].tolist(), 2.0])))
    path.write_text("\n".join(lines) + "\n")
    return path


def extxyz(path, pos, force, box=None, dt=0.1):
    lines = []
    for f, x in enumerate(pos):
        lattice = "" if box is None else f'Lattice="{box} 0 0 0 {box} 0 0 0 {box}" pbc="T T T" '
        lines += [str(len(x)), lattice + f"Properties=species:S:1:pos:R:3:forces:R:3 Time={dt * f!r}"]
        lines += [" ".join(["Ar", *map(repr, [*x[i].tolist(), *force[f, i].tolist()])]) for i in range(len(x))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_dumps_of_lammps_and_extended_xyz(tmp_path):
    data = moving(trajectories=1, frames=300, n=4, dim=3)
    pos, acc = data["pos"][0], data["acc"][0]
    found, told = imported(lammps(tmp_path / "a.lammpstrj", pos, 2 * acc), dt=0.01)
    frame = np.rint(found.t / 0.1).astype(int)
    assert np.array_equal(found.pos, pos[frame]) and "box" not in found.arrays
    np.testing.assert_allclose(found.acc, acc[frame], rtol=1e-14)
    assert (found.type == [1, 2, 1, 2]).all() and (found.mass == 2).all() and "t" in found.meta.measured
    wrapped, _ = imported(lammps(tmp_path / "b.lammpstrj", pos + 1.4, 2 * acc, 3.0, wrapped=True), dt=0.01)
    shift = wrapped.pos - (pos + 1.4)[frame]
    np.testing.assert_allclose(shift, np.rint(shift / 3) * 3, atol=1e-12)  # whole boxes
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1], shift.shape), atol=1e-12)  # the same all along
    assert wrapped.box.tolist() == [3, 3, 3]
    other, told = imported(extxyz(tmp_path / "c.extxyz", pos, acc))
    assert np.array_equal(other.pos, found.pos) and np.array_equal(other.acc, acc[frame])
    np.testing.assert_allclose(other.t, found.t, rtol=1e-12)
    text = (tmp_path / "c.extxyz").read_text()
    (tmp_path / "d.extxyz").write_text(text[:-200])
    refused(tmp_path / "d.extxyz", "d.extxyz, frame 299", "cut off")
    (tmp_path / "e.extxyz").write_text("5\n" + text.split("\n", 1)[1].replace("\nAr", "\nAr 1 2 3 4 5 6\nAr", 1))
    refused(tmp_path / "e.extxyz", "frame 1 has 4 particles, the first has 5", "no column 'id'")


def test_flat_frames_are_two_dimensional(tmp_path):
    data = moving(trajectories=1, frames=300, n=4, dim=3)
    pos, acc = (np.array([1.0, 1.0, 0.0]) * data[k][0] for k in ("pos", "acc"))
    found, told = imported(extxyz(tmp_path / "a.xyz", pos, acc, box=40.0))
    assert found.dim == 2 and found.box.tolist() == [40, 40] and "z is the same everywhere" in told


def test_ase_agrees_about_the_files_it_knows(tmp_path):
    """Independent readers of the same two formats."""
    io = pytest.importorskip("ase.io")
    data = moving(trajectories=1, frames=5, n=4, dim=3)
    pos, acc = data["pos"][0] + 2, data["acc"][0]
    for path, kind, frames in (
        (lammps(tmp_path / "a.lammpstrj", pos, acc, 9.0), "lammps-dump-text", atoms.lammps_frames),
        (extxyz(tmp_path / "a.extxyz", pos, acc, 9.0), "extxyz", atoms.extxyz_frames),
    ):
        theirs, ours = io.read(path, index=":", format=kind), list(frames(path))
        assert len(theirs) == len(ours) == 5
        for one, (_, _, box, columns) in zip(theirs, ours, strict=True):
            order = np.argsort(columns.get("id", np.arange(4)))
            place = np.stack([columns[a] for a in "xyz"], 1)[order]
            np.testing.assert_allclose(one.get_positions(), place)
            np.testing.assert_allclose(np.diag(one.cell), box)
            force = np.stack([columns["f" + a] for a in "xyz"], 1)[order]
            np.testing.assert_allclose(one.get_forces(), force)


def test_frames_of_gamd_that_are_missing(tmp_path):
    data = moving(trajectories=10, frames=6, n=3, dim=3)
    for k in range(10):
        for f in range(6 - (k == 4)):
            force = 4 * data["acc"][k, f]
            np.savez(
                tmp_path / f"data_{k}_{2 * f}.npz", pos=data["pos"][k, f], vel=100 * data["vel"][k, f], forces=force
            )
    refused(tmp_path, "give its side: --box", name="g")
    found, told = imported(tmp_path, name="g", box=[30.0], mass=4.0)
    assert "seeds 4 have fewer frames than the 6 of others" in told and found.box.tolist() == [30, 30, 30]
    assert found.was_seen.sum((1, 2)).tolist() == [18, 18, 18, 18, 15, 18, 18, 18, 18, 18]
    np.testing.assert_allclose(found.acc[0], data["acc"][0], rtol=1e-14)
    np.testing.assert_allclose(found.vel[0], data["vel"][0], rtol=1e-14)
    np.testing.assert_allclose(np.diff(found.t), 0.2)


# ---------------------------------------------------------------- what is noticed, what is refused


def test_held_and_coincident_particles_are_told(tmp_path):
    data = moving(trajectories=10)
    data["pos"][:, :, 2], data["acc"][:, :, 2], data["vel"][:, :, 2] = [0.5, 0.25], 0, 0
    data["pos"][3, 7, 0] = data["pos"][3, 7, 1]
    np.savez(tmp_path / "a.npz", **data)
    found, told = imported(tmp_path / "a.npz")
    assert "particles 2 never move: taken as held" in told and found.meta.system.held == [2]
    assert "particles 0 and 1 of trajectory 3, frame 7 are at the same place (1 of 300 frames" in told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.xlsx", ("a spreadsheet", "export it as CSV")),
        ("a.pth", ("a pickle", "write a CSV or .npz")),
        ("a.npz", ("damaged or no .npz", "copy it again")),
        ("a.npy", ("cannot be read as .npy",)),
        ("a.parquet", ("Parquet",)),
        ("a.csv", ("have 1 column:", "trajectory,frame,particle,x,y")),
        ("a.lammpstrj", ("no dump of LAMMPS",)),
        ("a.xyz", ("expected the number of atoms",)),
    ],
)
def test_files_that_cannot_be_read_are_named_with_what_to_do(tmp_path, name, words):
    (tmp_path / name).write_text("nothing\nof\nuse\n")
    refused(tmp_path / name, name, *words[:-1], words[-1])
    (tmp_path / name).write_text("")
    refused(tmp_path / name, f"{name} is empty")


@pytest.mark.parametrize(
    ("changed", "options", "words"),
    [
        ({"pos": np.zeros((0, 9, 3, 2))}, {}, ("(0, 9, 3, 2) are empty",)),
        ({"pos": 1e200 * moving()["pos"]}, {}, ("magnitudes like 1", "other units")),
        ({"pos": moving()["pos"][:, :2]}, {}, ("more than 2 frames", "expected 3")),
        ({"pos": moving(trajectories=1)["pos"][:, :6]}, {}, ("more than 1 frame ",)),
        ({"cutoff": np.ones(2)}, {}, ("'cutoff' is of shape (2,)", "--leave-out cutoff")),
        ({"dt": np.nan}, {}, ("'dt' is nan, expected one positive number",)),
        ({"mass": np.ones(5)}, {}, ("'mass' cannot be used: its shape (5,)", "--leave-out mass")),
        ({}, {"cutoff": 1.0}, ("no box is known", "--box L")),
        ({}, {"box": [5.0], "cutoff": 3.0}, ("reach 3, expected at most half", "--cutoff 2.5")),
        ({}, {"columns": ["pos=pos", "t=pos"]}, ("each name once",)),
    ],
)
def test_what_makes_no_dataset_is_refused_before_anything_is_written(tmp_path, datasets, changed, options, words):
    np.savez(tmp_path / "a.npz", **({"pos": moving()["pos"]} | changed))
    refused(tmp_path / "a.npz", *words, **options)
    assert not datasets.exists()


def test_how_far_forces_reach_in_a_box_is_half_its_shortest_side(tmp_path):
    np.savez(tmp_path / "a.npz", pos=moving()["pos"])
    found, told = imported(tmp_path / "a.npz", box=[7.0, 5.0])
    assert found.cutoff == 2.5 and "reach is not known: half the shortest side of the box, 2.5" in told
    assert imported(tmp_path / "a.npz", box=[7.0, 5.0], cutoff=2.0, overwrite=True)[0].cutoff == 2.0


def test_places_off_their_tracks_are_taken_as_not_seen(tmp_path):
    data, rng = moving(trajectories=12, frames=40), np.random.default_rng(1)
    data["pos"] += 1e-4 * rng.normal(size=data["pos"].shape)
    clean = data["pos"].copy()
    off = rng.random(clean.shape[:3]) < 0.01
    off[0, :2, 0], off[1, -1, 2] = [False, True], True  # at the ends of a track too
    data["pos"][off] += rng.choice([-3.0, 3.0], (int(off.sum()), 2))
    found, told = imported(write_csv(tmp_path / "a.csv", table(data)))
    assert (found.was_seen & off).sum() <= 0.2 * off.sum() and (found.was_seen | off).all()
    assert "are off their track for one frame" in told and found.noise < 2e-4
    turn = np.abs(data["t"] - 2.05)[:, None, None] * [1.0, -0.5]  # a sharp one is none
    bounced = clean + turn
    assert not off_track(bounced, data["t"]).any() and not off_track(0 * clean, data["t"]).any()


def test_places_that_repeat_or_jump_through_a_box_are_told(tmp_path):
    data = moving(trajectories=10)
    assert not any(word in imported(write_csv(tmp_path / "a.csv", table(data)))[1] for word in ("exactly", "--box"))
    twice = data | {"pos": np.repeat(data["pos"][:, :15], 2, 1)}
    assert "52 % of the places are exactly those" in imported(write_csv(tmp_path / "b.csv", table(twice)))[1]
    data["pos"] = np.mod(data["pos"] + data["t"][:, None, None], 3.0)
    told = imported(write_csv(tmp_path / "c.csv", table(data)))[1]
    assert "steps along x are nearly as long as the data are wide" in told and told.count("--box 3\n") == 2
    assert "off their track" not in told
    assert "--box 3" not in imported(tmp_path / "c.csv", box=[3.0], overwrite=True)[1]


def test_a_packed_table_that_is_cut_off_is_said_to_be(tmp_path):
    text = write_csv(tmp_path / "a.csv", table(moving())).read_bytes()
    for packer in (gzip, bz2, lzma):
        name = f"b.csv.{ {gzip: 'gz', bz2: 'bz2', lzma: 'xz'}[packer] }"
        (tmp_path / name).write_bytes(packer.compress(text)[:-900])
        refused(tmp_path / name, f"{name} is damaged or cut off", "copy it again")
    (tmp_path / "c.csv.gz").write_bytes(text)
    refused(tmp_path / "c.csv.gz", "c.csv.gz is damaged", "gzip")


def test_files_that_are_not_there_or_of_different_kinds(tmp_path):
    refused(tmp_path / "no.csv", "no.csv does not exist")
    refused(tmp_path, "is a folder", "folder/*.csv", name="x")
    a, b = write_csv(tmp_path / "a.csv", table(moving())), tmp_path / "b.npz"
    np.savez(b, **moving())
    refused([a, b], "files of different kinds")


def test_all_particles_beside_each_other(tmp_path):
    """A row a frame, with columns x1, y1, x2, y2, ... or named after the particle."""
    data = moving(trajectories=10, frames=12)
    columns = {"run": np.repeat(np.arange(10), 12), "time": np.tile(data["t"], 10)}
    flat = data["pos"].reshape(120, 3, 2)
    wide = columns | {f"{a}{i + 1}": flat[:, i, d] for i in range(3) for d, a in enumerate("xy")}
    found, told = imported(write_csv(tmp_path / "a.csv", wide))
    assert np.array_equal(found.observed, data["pos"]) and "columns of 3 particles beside each other" in told
    wide = columns | {f"{who}_{a}": flat[:, i, d] for i, who in enumerate(("a", "b", "c")) for d, a in enumerate("xy")}
    path = write_csv(tmp_path / "b.csv", wide)
    assert np.array_equal(imported(path)[0].observed, data["pos"])
    lines = path.read_text().splitlines()
    lines[50] = lines[50].rsplit(",", 1)[0] + ",oops"
    path.write_text("\n".join(lines) + "\n")
    refused(path, "b.csv, line 51", "'oops'", overwrite=True)


def test_a_dataset_of_ours_is_read_again(tmp_path):
    data = moving()
    path = write_csv(tmp_path / "a.csv", table(data))
    first, _ = imported(path, name="first")
    again, told = imported(first.path, name="again")
    assert np.array_equal(again.observed, first.observed) and np.array_equal(again.pos, first.pos), told
