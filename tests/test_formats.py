"""Files between the stages: what is refused, in which words, and that nothing is ever half-written."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from filled import filled, write
from planted import messages, save_npz, states, write_dataset
from safetensors.torch import save_file

from distill.files import npz, records, storage
from distill.files.arrays import load_npz, stream_npz
from distill.files.dataset import load_dataset, make_split, save_dataset
from distill.files.fields import DATASET_FIELDS, MESSAGE_FIELDS
from distill.files.kinds import DatasetRecord, MessagesRecord, RunConfig
from distill.files.messages import load_messages
from distill.files.names import dataset_name, run_name, run_name_of
from distill.files.of_run import dataset_of_run, start_of
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import load_json, save_json
from distill.files.tensors import digest_of, load_tensors, save_tensors
from distill.physics.system import System
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
    assert loaded.n == 4 and loaded.dim == 2 and loaded.meta.system.name == "r2"


def test_a_dataset_somebody_else_made_needs_five_fields_only(tmp_path):
    data = {k: v.astype(np.float32) for k, v in states(trajectories=10).items() if k in "pos vel acc mass".split()}
    np.savez(tmp_path / "theirs.npz", **data)
    loaded = load_dataset(str(tmp_path / "theirs.npz"))
    assert (loaded.charge == 0).all() and loaded.meta == DatasetRecord()
    assert np.bincount(loaded.split).tolist() == [8, 1, 1]


@pytest.mark.parametrize("kind", ["u1", "u2", "u8", "i2", ">i4", ">f8", "f2", "g"])
def test_differences_of_positions_are_right_in_every_type(dataset, kind):
    """Pixels: the difference of two unsigned integers would wrap around."""
    pos = np.random.default_rng(0).integers(0, 100, (10, 5, 4, 2))
    loaded = load_dataset(str(broken(dataset, pos=pos.astype(kind), charge=np.ones((10, 4), kind))))
    assert np.array_equal(loaded.pos[:, :, 0] - loaded.pos[:, :, 1], (pos[:, :, 0] - pos[:, :, 1]).astype(float))
    assert loaded.pos.dtype == loaded.charge.dtype == np.float64


def test_whole_numbers_are_signed_and_their_type_does_not_matter_to_the_start(dataset):
    before = start_of(load_dataset(str(dataset)))
    split = load_dataset(str(dataset)).split
    loaded = load_dataset(str(broken(dataset, split=split.astype(np.uint8))))
    assert loaded.split.dtype == np.int64 and start_of(loaded) == before
    assert load_dataset(str(broken(dataset, charge=np.ones((10, 4), bool)))).charge.dtype == np.float64


@pytest.mark.parametrize(
    ("field", "factor"), [("mass", 1e300), ("mass", 1e-300), ("acc", 1e80), ("pos", 1e-200), ("charge", 1e-70)]
)
def test_numbers_whose_products_64_bits_cannot_hold(dataset, field, factor):
    arrays = states(trajectories=10)
    values = np.ones((10, 4)) if field == "charge" else arrays[field]
    fails(broken(dataset, **{field: values * factor}), f"'{field}' holds magnitudes like", "units")


def test_numbers_of_other_units(dataset):
    arrays = states(trajectories=10)
    arrays["mass"][0, 0] *= 1e-9
    arrays |= {"pos": arrays["pos"] * 1e11, "mass": arrays["mass"] * 1e25, "charge": arrays["charge"] * 0}
    assert load_dataset(str(broken(dataset, **arrays))).pos.max() > 1e10


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_positions(dataset, bad):
    pos = states(trajectories=10)["pos"]
    pos[3, 1, 2, 0] = bad
    if np.isinf(bad):
        fails(broken(dataset, pos=pos), "'pos'", "1 NaN or infinite")
    pos[3, 1, 2] = bad
    seen = np.ones((10, 5, 4))
    seen[3, 1, 2] = 0
    if np.isnan(bad):
        assert load_dataset(str(broken(dataset, pos=pos))).there.sum() == 49 * 4  # a frame less
        assert load_dataset(str(broken(dataset, pos=pos, seen=seen.astype(bool)))).there.sum() == 10 * 5 * 4 - 1


def test_a_particle_that_is_not_there(dataset):
    """NaN is allowed in all components of what was not seen, and in every frame two particles have to be left."""
    arrays = states(trajectories=10)
    seen, observed = np.ones((10, 5, 4), bool), arrays["pos"].copy()
    seen[2, 3, 1] = seen[4, :, 0] = False
    observed[~seen] = np.nan
    gone = arrays["pos"].copy()
    gone[4, :, 0] = np.nan  # it never was there; the other is filled in
    gaps = {"pos": gone, "seen": seen, "observed": observed, "vel": None, "acc": None, "noise": 0.1, "window": 7}
    loaded = load_dataset(str(broken(dataset, **gaps)))
    assert (loaded.was_seen == seen).all() and (loaded.there == seen).sum() == 10 * 5 * 4 - 1
    acc = np.where(seen[..., None], arrays["acc"], np.nan)
    fails(broken(dataset, pos=arrays["pos"], observed=None, acc=acc, seen=~seen), "'acc' holds")
    half = observed.copy()
    half[2, 3, 1, 0] = 1.0
    fails(broken(dataset, **gaps | {"observed": half}), "trajectory 2, frame 3, particle 1", "some components")
    gone[6, :, 1:] = np.nan
    seen[6, :, 1:] = False
    observed[6, :, 1:] = np.nan
    fails(broken(dataset, **gaps | {"observed": observed}), "trajectory 6", "two particles")


def test_positions_alone_are_a_dataset_and_a_stage_that_needs_more_says_so(dataset, capsys):
    loaded = load_dataset(str(broken(dataset, vel=None, acc=None, mass=None, charge=None)))
    assert (loaded.mass == 1).all() and (loaded.charge == 0).all() and loaded.assumed == ("mass", "charge")
    assert capsys.readouterr().err.count("\n") == 1
    for name in ("vel", "acc"):
        with pytest.raises(UserError, match=f"holds no .*'{name}'.*import_tracks.py"):
            getattr(loaded, name)
    assert start_of(loaded)["frames"] == 5


def test_times_of_every_trajectory(dataset):
    t = np.cumsum(np.random.default_rng(0).uniform(0.1, 1, (10, 5)), axis=1)
    assert (load_dataset(str(broken(dataset, t=t))).times == t).all()
    assert (load_dataset(str(broken(dataset, t=t[0]))).times == t[0]).all()


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
        ({"pos": None}, ("not a dataset", "lacks pos")),
        ({"t": np.ones((9, 5))}, ("'t' has 9 along 'trajectory'",)),
        ({"t": np.ones((1, 10, 5))}, ("'t' has shape (1, 10, 5)", "2 axes")),
        ({"observed": np.ones((10, 5, 4, 2)), "t": np.zeros(5)}, ("'t' does not increase",)),
        ({"observed": np.ones((10, 5, 4, 2)), "window": 0}, ("'window' is 0",)),
        ({"mass": np.array([["a"] * 4] * 10)}, ("'mass' has type",)),
        ({"split": np.full(10, 7)}, ("'split' holds values other",)),
    ],
)
def test_shapes_and_kinds_that_disagree(dataset, change, words):
    fails(broken(dataset, **change), *words)


def test_missing_damaged_and_wrong_kind(dataset, tmp_path):
    fails(tmp_path / "r2_n4_d2_s1.npz", "does not exist", "did you mean 'r2_n4_d2_s0'", "python simulate.py")
    fails(tmp_path / "mine.npz", "does not exist", "datasets that are there: r2_n4_d2_s0")
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
    fails(dataset, "damaged", "holds Python objects")
    dataset.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError) as caught:
        load_dataset(str(dataset))
    assert "damaged" in str(caught.value) and "unsafe" not in str(caught.value)


@pytest.mark.parametrize("tag", ["../x", "a/b", "a b", "<script>", "a\nb", "\u202egpj", "x" * 100, "é", "\0"])
def test_tags_that_cannot_be_names(tag):
    for make in (lambda: dataset_name("r2", 4, 2, 0, tag), lambda: run_name("r2_n4_d2_s0", "l1", "newton", 0, tag)):
        with pytest.raises(UserError, match="cannot be the name") as caught:
            make()
        assert str(caught.value).isascii() and "--tag" in str(caught.value)
    assert dataset_name("r2", 4, 2, 0, "a.b-c_1") == "r2_n4_d2_s0_a.b-c_1"


def test_a_run_is_named_by_its_name_or_by_its_folder(tmp_path, monkeypatch):
    for name in ("MODEL_WEIGHTS", "OUTPUTS"):
        (tmp_path / name / "good").mkdir(parents=True)
        monkeypatch.setattr(paths, name, tmp_path / name)
    (tmp_path / "other" / "good").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    inside = ("good", "MODEL_WEIGHTS/good", "OUTPUTS/good/", f"{tmp_path}/OUTPUTS/good", "other/../OUTPUTS/good")
    assert [run_name_of(text) for text in inside] == ["good"] * len(inside)
    for text in ("other/good", "../good", "..", "", "/", ".", "MODEL_WEIGHTS/good/.."):
        with pytest.raises(UserError, match="not the name of a run"):
            run_name_of(text)
    for text in (".hidden", "-x", "a b"):
        with pytest.raises(UserError, match="cannot be the name"):
            run_name_of(text)
    monkeypatch.chdir(tmp_path / "MODEL_WEIGHTS" / "good")
    assert run_name_of(".") == "good"


def test_tensors_are_those_that_were_written(tmp_path, capsys):
    path, weights = tmp_path / "w.safetensors", {"b": torch.ones(2, 3), "a": torch.tensor(3, dtype=torch.bfloat16)}
    save_tensors(path, weights, {"run": "x", "step": 7})
    tensors, header, digest = load_tensors(path)
    assert header == {"run": "x", "step": 7} and torch.equal(tensors["b"], weights["b"])
    assert capsys.readouterr().err == ""
    content = path.read_bytes()
    assert digest.encode() in content
    for at in (content.index(b'\\"step\\": 7') + 10, len(content) - 1, content.index(digest.encode())):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(UserError, match="w.safetensors is damaged.*again"):
            load_tensors(path, "make it again")
    save_file(weights, path)
    assert load_tensors(path)[1] == {} and "no digest" in capsys.readouterr().err
    changed = [{**weights, "b": torch.ones(3, 2)}, {**weights, "c": torch.ones(1)}, {"b": weights["b"]}]
    assert len({digest_of(w) for w in (weights, *changed)}) == 4


def test_written_arrays_are_checked_too(tmp_path):
    data = states(trajectories=4)
    data["acc"][0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="acc"):
        save_dataset(tmp_path / "x.npz", data, {})
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
    about = {"run": "some_run", "graphs": graphs, "edges": len(arrays["r"]), "inputs": inputs, "split": "train"}
    about |= {"n": 4, "arrays_sha256": sha256(path)}
    write(MessagesRecord, path.with_suffix(".json"), **about)
    return path, arrays


def test_of_many_messages_whole_graphs_are_read_always_the_same(tmp_path, monkeypatch, capsys):
    path, arrays = write_messages(tmp_path, monkeypatch, trajectories=10)
    all_of_it, meta = load_messages(path, "some_run")
    assert meta.graphs == 50 and np.array_equal(all_of_it["message"], arrays["message"])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(npz, "BLOCK", 1000)  # more than one block
    some, meta = load_messages(path, "some_run", most=130)
    assert meta.graphs == 10 and len(some["r"]) == 120  # 12 edges a graph
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
    with pytest.raises(UserError, match="messages_train.npz holds other arrays than .*messages_train.json was written"):
        load_messages(path, "some_run", most=130)
    side = json.loads(path.with_suffix(".json").read_text())
    save_json(path.with_suffix(".json"), side | {"arrays_sha256": None, "content_sha256": None})
    some, _ = load_messages(path, "some_run", most=130)
    assert np.allclose(np.linalg.norm(some["dx"], axis=1), some["r"])


def test_a_dataset_simulated_again_is_known_by_its_start(tmp_path, monkeypatch, capsys):
    """Another machine's integration ends in other bits; another start is another dataset."""
    data = states(trajectories=4)
    path = tmp_path / "x.npz"
    save_npz(path, data, DATASET_FIELDS)
    first = load_dataset(str(path))
    inputs = {"dataset": {"sha256": sha256(path)}}
    own = {"dataset_path": str(path), "inputs": inputs, "dataset_start": start_of(first)}
    config = records.build(RunConfig, filled(RunConfig, **own))
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
    config.dataset_start, config.inputs = None, {}  # edited by hand
    save_npz(path, later, DATASET_FIELDS)
    with pytest.raises(UserError, match="trained on another dataset"):
        dataset_of_run("run", config)


def test_a_further_column_is_a_property(dataset):
    spin = np.random.default_rng(0).normal(size=(10, 4))
    loaded = load_dataset(
        str(broken(dataset, spin=spin, aaa=spin, per_frame=np.ones((10, 5)), kind=np.full((10, 4), "a")))
    )
    assert list(loaded.properties) == ["mass", "charge", "aaa", "spin"]
    assert np.array_equal(loaded.properties["spin"], spin)
    spin[2, 1] = np.nan
    fails(broken(dataset, spin=spin), "'spin'", "1 NaN or infinite")


@pytest.mark.parametrize("name", ["q", "acc_pred", "2nd", "a b"])
def test_a_column_that_no_formula_can_name_is_left_out_and_said(dataset, name, capsys):
    loaded = load_dataset(str(broken(dataset, **{name: np.ones((10, 4))})))
    assert list(loaded.properties) == ["mass", "charge"]
    assert f"'{name}' is left out" in capsys.readouterr().err


def test_the_start_of_a_dataset_holds_further_properties(dataset):
    before = start_of(load_dataset(str(dataset)))
    assert start_of(load_dataset(str(broken(dataset, spin=np.ones((10, 4)))))) != before


def test_a_column_of_whole_numbers_is_a_property_too(dataset):
    shape = load_dataset(str(dataset)).mass.shape
    kinds = {"small": np.uint8, "switch": bool, "ahead": np.int16}
    whole = {name: (np.arange(np.prod(shape)).reshape(shape) % 2).astype(kind) for name, kind in kinds.items()}
    broken(dataset, **whole)
    found = load_dataset(str(dataset)).properties
    for name, values in whole.items():
        assert found[name].dtype == np.float64 and (found[name] == values).all()


def test_a_property_that_float32_cannot_hold(dataset):
    broken(dataset, spin=np.full(load_dataset(str(dataset)).mass.shape, 1e300))
    fails(dataset, "'spin'", "1e+300", "other units")


def test_a_property_that_the_system_has_and_the_file_lacks(tmp_path):
    spins = System("spins", lambda *values: 0.0 * values[0], properties=("spin",))
    made = write_dataset(tmp_path, "spins", spins)
    with np.load(made) as file:
        np.savez(made, **{k: file[k] for k in file.files if k != "spin"})
    fails(made, "lacks 'spin'", "'spins'", "put it back")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"receiver": 4}, "'receiver' holds .*, expected numbers of 4 particles"),
        ({"frame": -9}, "'frame' holds -9, expected numbers from 0"),
        ({"mass_j": -2.0}, "'mass_j' holds values that are not positive"),
        ({"r": 1.0}, "'r' is not the length of 'dx'"),
        ({"acc_i": 1.0}, "messages_train.npz holds other arrays than .*messages_train.json was written with"),
    ],
)
def test_messages_that_cannot_be_are_refused(tmp_path, monkeypatch, change, why):
    """Their indices, masses and distances, and whatever else was changed."""
    path, arrays = write_messages(tmp_path, monkeypatch, trajectories=10)
    np.savez(path, **arrays | {k: arrays[k] + np.asarray(v, arrays[k].dtype) for k, v in change.items()})
    with pytest.raises(UserError, match=why):
        load_messages(path, "some_run")
    side = path.with_suffix(".json")
    os.rename(side, path.with_name("messages_test.json"))
    os.rename(path, path.with_name("messages_test.npz"))
    with pytest.raises(UserError, match="messages_test.json is of the split 'train', as its name is not"):
        load_messages(path.with_name("messages_test.npz"), "some_run")


def test_a_dataset_knows_its_arrays(dataset):
    """Those of somebody else are welcome; those that were put in the place of ours are told."""
    with np.load(dataset) as file:
        arrays = dict(file)
    about = {"stage": "simulate", "n": 4, "dim": 2}
    save_dataset(dataset, arrays, about)
    assert load_dataset(str(dataset)).meta.arrays_sha256 == sha256(dataset)
    np.savez(dataset, **arrays | {"acc": arrays["acc"] * 1.001})
    fails(dataset, dataset.name, "holds other arrays than", dataset.with_suffix(".json").name, "take", "away")
    dataset.with_suffix(".json").unlink()
    assert load_dataset(str(dataset)).meta.arrays_sha256 is None


def test_a_file_says_whether_what_it_was_made_of_had_digests(tmp_path, dataset):
    own, theirs = tmp_path / "own.safetensors", tmp_path / "theirs.safetensors"
    save_tensors(own, {"w": torch.ones(2)})
    save_file({"w": torch.ones(2)}, theirs)
    foreign = broken(dataset).rename(tmp_path / "foreign.npz")
    inputs = {"own": own, "theirs": theirs, "foreign": foreign, "side": dataset.with_suffix(".json")}
    told = provenance("train", {}, inputs, 0.0)["inputs"]
    assert {k: v["digested"] for k, v in told.items()} == {"own": True, "theirs": False, "foreign": False, "side": True}


def test_a_file_that_changes_has_another_digest_at_once(tmp_path):
    path = tmp_path / "x"
    for old in (False, True):
        path.write_bytes(b"one")
        if old:
            os.utime(path, (1e9, 1e9))
        first = sha256(path)
        path.write_bytes(b"two")
        assert len({first, sha256(path), sha256(path)}) == 2


def with_member(path, name, shape, content, kind="<f8"):
    """The ``.npz`` at ``path`` with one array more, or in the place of another: a header, and ``content``."""
    with zipfile.ZipFile(path) as file:
        members = {k: file.read(k) for k in file.namelist() if k != f"{name}.npy"}
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for key, value in (members | {f"{name}.npy": out.getvalue() + content}).items():
            file.writestr(key, value)
    return path


def test_what_no_stage_wants_is_not_read(dataset, capsys, monkeypatch):
    """Neither what a header promises nor what a zip holds is made before it is known to be of use."""
    arrays = states(trajectories=10)
    with_member(dataset, "movie", (3_000_000,), bytes(24_000_000))
    read = []
    monkeypatch.setattr(zipfile.ZipExtFile, "read", _counted(zipfile.ZipExtFile.read, read))
    assert "movie" not in load_dataset(str(dataset)).arrays and sum(read) < 1_000_000
    assert "'movie' [3000000] (float64) left out" in capsys.readouterr().err
    fails(with_member(dataset, "pos", (10**9, 5, 4, 2), arrays["pos"].tobytes()), "damaged", "header says 32000000")
    fails(
        with_member(dataset, "pos", (10, 5, 4, 2), arrays["pos"].tobytes() + b"more"), "damaged", "'pos' is 3332 bytes"
    )


def _counted(function, sizes):
    def counted(*given):
        out = function(*given)
        sizes.append(len(out))
        return out

    return counted


def test_arrays_that_memory_cannot_hold_are_not_read(dataset, monkeypatch):
    assert storage.free_memory() > 1e6
    monkeypatch.setattr(storage, "free_memory", lambda: 10_000)
    fails(dataset, f"{dataset.name} would take ", "kB of memory, more than the 10 kB there are")


def test_two_arrays_of_one_name_are_refused(dataset):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(dataset, "a") as file:
        file.writestr("mass.npy", file.read("mass.npy"))
    fails(dataset, "damaged", "'mass' is there twice")


def test_what_is_no_file_is_told_at_once(tmp_path):
    pipe, loop = tmp_path / "pipe.json", tmp_path / "loop.json"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="pipe.json is a pipe or a device"):
        load_json(pipe)
    with pytest.raises(UserError, match="pipe.json is a pipe or a device"):
        load_tensors(pipe)
    with pytest.raises(OSError, match="symbolic links"):
        load_json(loop)
    assert paths.relative(loop).endswith("loop.json")
