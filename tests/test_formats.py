"""Files between the stages: what is refused, in which words, and that nothing is ever half-written."""

import json
import os
import zipfile

import numpy as np
import pytest
from planted import messages, states, write_dataset

from distill.files import npz
from distill.files.arrays import load_npz, save_npz, stream_npz
from distill.files.dataset import dataset_of_run, load_dataset, make_split, start_of
from distill.files.fields import DATASET_FIELDS, MESSAGE_FIELDS
from distill.files.messages import load_messages
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import atomic, save_json
from distill.shell import paths
from distill.shell.errors import UserError


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path, trajectories=10)


def broken(path, **changes):
    """The dataset at ``path`` written again without any check, with fields replaced (None: left out)."""
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def fails(path, *words):
    with pytest.raises(UserError) as caught:
        load_dataset(str(path))
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def test_round_trip(dataset):
    loaded = load_dataset(str(dataset))
    for key, value in states(trajectories=10).items():
        assert np.array_equal(loaded.arrays[key], value)
    assert loaded.n == 4 and loaded.dim == 2 and loaded.meta["system"]["name"] == "r2"


def test_a_dataset_somebody_else_made_needs_five_fields_only(tmp_path):
    data = {k: v.astype(np.float32) for k, v in states(trajectories=10).items() if k in "pos vel acc mass".split()}
    np.savez(tmp_path / "theirs.npz", **data)
    loaded = load_dataset(str(tmp_path / "theirs.npz"))
    assert (loaded.charge == 0).all() and loaded.meta == {}
    assert np.bincount(loaded.split).tolist() == [8, 1, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_positions(dataset, bad):
    pos = states(trajectories=10)["pos"]
    pos[3, 1, 2, 0] = bad
    fails(broken(dataset, pos=pos), "'pos'", "1 NaN or infinite")


@pytest.mark.parametrize("mass", [0.0, -1.0])
def test_masses_that_are_not_positive(dataset, mass):
    fails(broken(dataset, mass=np.full((10, 4), mass)), "mass", "40", "not positive")


def test_one_particle(dataset):
    data = states(trajectories=10)
    one = {k: data[k][:, :, :1] for k in ("pos", "vel", "acc")} | {k: data[k][:, :1] for k in ("mass", "charge")}
    fails(broken(dataset, **one), "1 particle", "at least 2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vel": np.zeros((10, 5, 3, 2))}, ("'vel' has 3 along 'particle'", "'pos' has 4")),
        ({"mass": np.ones((10, 4, 1))}, ("'mass' has shape (10, 4, 1)", "2 axes")),
        ({"acc": None}, ("not a dataset", "lacks acc")),
        ({"mass": np.array([["a"] * 4] * 10)}, ("'mass' has type",)),
        ({"split": np.full(10, 7)}, ("'split' holds values other",)),
    ],
)
def test_shapes_and_kinds_that_disagree(dataset, change, words):
    fails(broken(dataset, **change), *words)


def test_missing_damaged_and_wrong_kind(dataset, tmp_path):
    fails(tmp_path / "r2_n4_d2_s1.npz", "does not exist", "did you mean 'r2_n4_d2_s0'", "python simulate.py")
    whole = dataset.read_bytes()
    dataset.write_bytes(whole[: len(whole) // 2])
    fails(dataset, "damaged or half-written")
    dataset.write_bytes(b"")
    fails(dataset, "damaged or half-written")
    dataset.write_bytes(b"not a zip at all" * 100)
    fails(dataset, "damaged or half-written")
    save_npz(dataset, messages(trajectories=3), MESSAGE_FIELDS)
    fails(dataset, "not a dataset file", "lacks pos")


def test_pickled_objects_are_never_loaded(dataset):
    np.savez(dataset, pos=np.array([{"a": 1}], dtype=object), **{k: np.ones(1) for k in ("vel", "acc", "mass")})
    fails(dataset, "damaged")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    save_json(path, {"x": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        save_json(path, {"x": float("nan")})
    with pytest.raises(RuntimeError), atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_written_arrays_are_checked_too(tmp_path):
    data = states(trajectories=4)
    data["acc"][0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="acc"):
        save_npz(tmp_path / "x.npz", data, DATASET_FIELDS)
    assert not os.listdir(tmp_path)


def test_split_is_by_trajectory_and_repeats():
    split = make_split(100, 3)
    assert np.bincount(split).tolist() == [80, 10, 10]
    assert np.array_equal(split, make_split(100, 3))
    assert not np.array_equal(split, make_split(100, 4))


def test_already_done_names_what_differs(tmp_path, dataset):
    out, inputs = tmp_path / "x.json", {"dataset": dataset}
    arguments = {"seed": 0, "threads": 1}
    assert not already_done(out, arguments, inputs, False)
    save_json(out, provenance("x", arguments, inputs, 1.0))
    assert already_done(out, {"seed": 0, "threads": 2}, inputs, False)  # threads change nothing
    assert not already_done(out, {"seed": 1}, inputs, True)
    with pytest.raises(UserError, match="seed was 0, now 1.*--overwrite"):
        already_done(out, {"seed": 1}, inputs, False)
    broken(dataset, t=np.arange(5.0))
    with pytest.raises(UserError, match="has changed since"):
        already_done(out, arguments, inputs, False)


def parts_of(arrays, rows):
    """The arrays of a messages file in pieces of ``rows`` edges."""
    for start in range(0, len(arrays["r"]), rows):
        yield {k: v if k == "active" else v[start : start + rows] for k, v in arrays.items()}


def test_streamed_arrays_are_those_of_a_file_written_at_once(tmp_path):
    arrays = messages(trajectories=5)
    at_once, streamed = tmp_path / "a.npz", tmp_path / "b.npz"
    save_npz(at_once, arrays, MESSAGE_FIELDS)
    stream_npz(streamed, parts_of(arrays, 77), {"edge": len(arrays["r"])}, MESSAGE_FIELDS)
    with np.load(at_once, allow_pickle=False) as a, np.load(streamed, allow_pickle=False) as b:
        assert a.files == b.files
        for name in a.files:
            assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name
    with zipfile.ZipFile(streamed) as file:
        assert file.testzip() is None and len(file.infolist()) == len(arrays)
        assert all(m.compress_type == zipfile.ZIP_STORED for m in file.infolist())
    assert abs(streamed.stat().st_size - at_once.stat().st_size) < 100 * len(arrays)
    one = streamed.read_bytes()
    stream_npz(streamed, parts_of(arrays, 1000), {"edge": len(arrays["r"])}, MESSAGE_FIELDS)
    assert streamed.read_bytes() == one  # whatever the pieces


def test_a_damaged_streamed_file_is_noticed(tmp_path):
    arrays, path = messages(trajectories=5), tmp_path / "b.npz"
    stream_npz(path, parts_of(arrays, 77), {"edge": len(arrays["r"])}, MESSAGE_FIELDS)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1  # within the messages
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_npz(path, MESSAGE_FIELDS, "messages")


def test_streaming_checks_every_part_and_leaves_no_litter(tmp_path):
    arrays, path = messages(trajectories=5), tmp_path / "b.npz"
    edges = {"edge": len(arrays["r"])}
    path.write_bytes(b"old")

    def fails_with(error, match, parts, sizes=edges):
        with pytest.raises(error, match=match):
            stream_npz(path, parts, sizes, MESSAGE_FIELDS, "free some")
        assert os.listdir(tmp_path) == ["b.npz"] and path.read_bytes() == b"old"

    bad = {k: v.copy() for k, v in arrays.items()}
    bad["message"][-3, 1] = np.inf
    fails_with(UserError, "'message' holds 1 NaN or infinite", parts_of(bad, 50))
    fails_with(UserError, "'force' has 49 along 'edge'", (p | {"force": p["force"][:49]} for p in parts_of(arrays, 50)))
    fails_with(ValueError, "are missing", parts_of(arrays, 50), {"edge": edges["edge"] + 1})
    fails_with(ValueError, "more than", parts_of(arrays, 50), {"edge": edges["edge"] - 1})
    fails_with(
        ValueError,
        "'r': rows float32",
        ({**p, "r": p["r"].astype("f4" if k else "f8")} for k, p in enumerate(parts_of(arrays, 50))),
    )
    fails_with(
        UserError, "b.npz would take 20000.* GB, more than the .* free some", parts_of(arrays, 50), {"edge": 10**15}
    )


def write_messages(tmp_path, monkeypatch, **options):
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", tmp_path / "model_weights")
    config = tmp_path / "model_weights" / "some_run" / "config.json"
    save_json(config, {})
    path, arrays = tmp_path / "messages_train.npz", messages(**options)
    save_npz(path, arrays, MESSAGE_FIELDS)
    graphs = options["trajectories"] * 5
    inputs = {"config": {"sha256": sha256(config)}}
    about = {"run": "some_run", "graphs": graphs, "edges": len(arrays["r"]), "inputs": inputs}
    save_json(path.with_suffix(".json"), about)
    return path, arrays


def test_of_many_messages_whole_graphs_are_read_always_the_same(tmp_path, monkeypatch, capsys):
    path, arrays = write_messages(tmp_path, monkeypatch, trajectories=10)
    all_of_it, meta = load_messages(path, "some_run")
    assert meta["graphs"] == 50 and np.array_equal(all_of_it["message"], arrays["message"])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(npz, "BLOCK", 1000)  # more than one block
    some, meta = load_messages(path, "some_run", most=130)
    assert meta["graphs"] == 10 and len(some["r"]) == 120  # 12 edges a graph
    assert "holds 50 graphs; 10 of them" in capsys.readouterr().err
    graph = arrays["trajectory"] * 1000 + arrays["frame"]
    kept = np.isin(graph, some["trajectory"] * 1000 + some["frame"])
    assert kept.sum() == 120 and len(np.unique(some["trajectory"])) > 4
    for name, values in arrays.items():
        assert np.array_equal(some[name], values if name == "active" else values[kept]), name
    again, _ = load_messages(path, "some_run", most=130)
    assert np.array_equal(again["trajectory"], some["trajectory"])


def test_damage_is_noticed_also_where_a_part_is_read(tmp_path, monkeypatch):
    path, arrays = write_messages(tmp_path, monkeypatch, trajectories=10)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_messages(path, "some_run", most=130)
    np.savez(path, **arrays | {"r": arrays["r"][:-1]})
    with pytest.raises(UserError, match="damaged.*'r' has shape"):
        load_messages(path, "some_run", most=130)
    np.savez(path, **arrays | {"dx": np.asfortranarray(arrays["dx"])})
    some, _ = load_messages(path, "some_run", most=130)
    assert np.allclose(np.linalg.norm(some["dx"], axis=1), some["r"])


def test_a_dataset_simulated_again_is_known_by_its_start(tmp_path, monkeypatch, capsys):
    """Another machine's integration ends in other bits; another start is another dataset."""
    data = states(trajectories=4)
    path = tmp_path / "x.npz"
    save_npz(path, data, DATASET_FIELDS)
    first = load_dataset(str(path))
    config = {
        "dataset_path": str(path),
        "inputs": {"dataset": {"sha256": sha256(path)}},
        "dataset_start": start_of(first),
    }
    assert dataset_of_run("run", config).path == path and capsys.readouterr().err == ""
    later = data | {"pos": data["pos"].copy()}
    later["pos"][:, 1:] *= 1 + 1e-9
    save_npz(path, later, DATASET_FIELDS)
    assert dataset_of_run("run", config).path == path
    assert "its start is the same" in capsys.readouterr().err
    for other in (
        data | {"mass": data["mass"] * 1.5},
        data | {"pos": data["pos"] + 1e-9},
        data | {"t": 2 * first.t},
        {k: v[:, :2] if v.ndim == 4 else v for k, v in data.items() if k != "t"},
    ):
        save_npz(path, other, DATASET_FIELDS)
        with pytest.raises(UserError, match="trained on another dataset"):
            dataset_of_run("run", config)
    del config["dataset_start"]  # runs of former versions
    save_npz(path, later, DATASET_FIELDS)
    with pytest.raises(UserError, match="trained on another dataset"):
        dataset_of_run("run", config)
