"""Files and names made to do harm: what is in them is never run, unpacked without measure, or put elsewhere."""

import gzip
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from filled import filled
from planted import states

import distill
from distill.files import kinds, records, storage
from distill.files.dataset import load_dataset, save_dataset
from distill.files.messages import load_made_elsewhere
from distill.files.tensors import load_tensors
from distill.fluid.gamd import read_frame
from distill.physics.law import law_of
from distill.report import plots
from distill.search import given
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.stage import Done
from distill.tracks.read import read
from distill.tracks.tracks import Asked

NAMES = ("../x", "a/b", "/x", "..", ".", "a b", "<b>", "a\nb", "\u202egpj", "x" * 101, "é", "a\0b", "-rf", "$(id)")


class Canary:
    """Makes a file where somebody unpickles it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / "in" / name.lower())
    about = {"stage": "simulate", "arguments": {}, "inputs": {}, "n": 4, "dim": 2}
    save_dataset(paths.DATASETS / "good.npz", states(trajectories=4), about)
    (tmp_path / "t.csv").write_text(
        "id,t,x,y\n" + "".join(f"{b},{t},{t + b},{t * b}\n" for t in range(9) for b in (1, 2))
    )
    return tmp_path


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_its_folder(folder, name):
    before = sorted(folder.rglob("*"))
    table = folder / "t.csv"
    arrays = {"message": np.zeros((12, 2)), "dx": np.ones((12, 2)), "acc_i": np.ones((12, 2))}
    arrays |= {k: np.arange(12) % 2 for k in ("receiver", "trajectory", "frame")} | {"sender": (np.arange(12) + 1) % 2}
    np.savez(folder / "messages.npz", **arrays)
    calls = [
        lambda: distill.simulate("spring", tag=name, n_trajectories=3, n_frames=3),
        lambda: distill.import_tracks(table, name=name),
        lambda: distill.learn_properties("good", name=name),
        lambda: distill.train("good", tag=name, quick=True),
        lambda: distill.extract_messages(name),
        lambda: distill.fit_linear(name),
        lambda: distill.fit_linear(messages=folder / "messages.npz", name=name),
        lambda: distill.search_law(name),
        lambda: distill.search_law(messages=folder / "messages.npz", name=name),
        lambda: distill.compare(name),
    ]
    for call in calls:
        with pytest.raises(UserError) as told:
            call()
        assert str(told.value).isprintable() and len(str(told.value)) < 700
    assert sorted(p for p in folder.rglob("*") if p.name != "messages.npz") == before


@pytest.mark.parametrize("name", ["../x", "a b", "<b>", "x__y", "r"])
def test_a_category_has_a_name_that_formulas_and_folders_can_have(folder, name):
    arrays = states(trajectories=4)
    about = {"stage": "simulate", "arguments": {}, "inputs": {}, "categories": {name: ["a", "b"]}}
    save_dataset(
        folder / "c.npz", arrays | {name: np.arange(arrays["mass"].size).reshape(arrays["mass"].shape) % 2}, about
    )
    with pytest.raises(UserError, match="no category can be called"):
        load_dataset(str(folder / "c.npz"))


def test_words_of_files_do_not_move_the_cursor_nor_hide(capsys):
    evil = "a\x1b[2J\x1b[1;31m\u202eb\r"
    assert str(Done("look", "x", Path("x"), 0.0, {"law": evil}, lines=[evil, "next"])).count("\n") == 2
    for text in (str(UserError(evil, evil)), str(Done("look", "x", Path("x"), 0.0, {"law": evil}, lines=[evil]))):
        assert all(line.isprintable() for line in text.splitlines()) and r"a\x1b[2J" in text


def test_names_of_bodies_are_drawn_as_they_are():
    """Matplotlib would read $...$ as a formula, and fail where it is none."""
    rest = {"error": None, "half_width": 1.0, "determined": True}
    told = [
        kinds.LearntValue(body=name, value=1.0 + k, **rest) for k, name in enumerate(["$\\frac$", "<b>$x$", "y" * 5000])
    ]
    figure = plots.learnt({"mass": told}, np.arange(1.0, 4), np.ones(3), "x")
    assert plots.save_bytes(figure).startswith(b"\x89PNG") and figure.get_tightbbox().width < 30


# ---------------------------------------------------------------- what is never run


@pytest.mark.parametrize("how", ["plain", "array", "member", "torch"])
def test_nothing_is_unpickled(folder, how):
    canary, path = folder / "canary", folder / "evil.npz"
    objects = np.array([Canary(canary)], dtype=object)
    if how == "plain":
        path.write_bytes(pickle.dumps(Canary(canary)))
    elif how == "array":
        with open(path, "wb") as file:
            np.save(file, objects, allow_pickle=True)
    elif how == "member":
        np.savez(path, pos=objects, message=objects, vel=objects, forces=objects, receiver=objects)
    else:
        torch.save({"pos": Canary(canary)}, path)
    (folder / "evil.npy").write_bytes(path.read_bytes())
    reads = [
        lambda: load_dataset(str(path)),
        lambda: load_made_elsewhere(path, "evil"),
        lambda: read([path], Asked()),
        lambda: read([folder / "evil.npy"], Asked()),
        lambda: read_frame(path),
        lambda: load_tensors(path),
        lambda: given.read_front(path, ("r",), (), 30),
    ]
    for call in reads:
        with pytest.raises(UserError):
            call()
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists(), "it would have been seen"


PLACES = {
    "the pair force": lambda law, text: law["pair"].update(text=text),
    "a further force": lambda law, text: law.update(
        pairs={"displaced": law["pair"] | {"text": text, "centre": [0.1, 0]}}
    ),
    "a field": lambda law, text: law["node"].update(
        functions={"field": {"text": [text, "x"], "latex": [], "variables": []}}
    ),
    "the response": lambda law, text: law["node"].update(response=filled(kinds.ResponseLaw) | {"alpha": text}),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_formula_of_a_law_is_run(tmp_path, place):
    canary, path = tmp_path / "canary", tmp_path / "law.json"
    for text in (f"__import__('os').system('touch {canary}')", "9^9^9^9", "(" * 50_000, "r.__class__", "lambda: r"):
        law = filled(kinds.LawRecord)
        law["pair"] |= {"text": "r", "variables": ["r"]}
        PLACES[place](law, text)
        records.save(kinds.LawRecord, path, law)
        with pytest.raises(UserError):
            law_of(records.load(kinds.LawRecord, path)).acceleration(
                np.ones((2, 2)), np.ones((2, 2)), {"mass": np.ones(2)}
            )
    assert not canary.exists()


# ---------------------------------------------------------------- what is never unpacked


def bomb(path: Path, name: str, shape: tuple) -> None:
    """An ``.npz`` with one array of zeros, a thousandth as long on the disk: what is packed is one block, repeated."""
    block = bytes(1 << 24)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(block)
    packer.flush(zlib.Z_FULL_FLUSH)  # the first holds a table
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    header += f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    size = len(header) + 8 * int(np.prod(shape))
    first = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = first.compress(header) + first.flush(zlib.Z_FULL_FLUSH)
    data = start + again * (8 * int(np.prod(shape)) // len(block)) + b"\x03\x00"
    member = f"{name}.npy".encode()
    common = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0x21, 0, len(data), size, len(member), 0)
    local = b"PK\3\4" + common + member
    central = b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + member
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    path.write_bytes(local + data + central + end)


def test_arrays_that_are_small_on_the_disk_only_are_not_unpacked(folder, monkeypatch):
    monkeypatch.setattr(storage, "free_memory", lambda: 1 << 30)
    path = folder / "bomb.npz"
    bomb(path, "pos", (1 << 17, 1 << 5, 1 << 5, 2))
    assert path.stat().st_size < 5 << 20
    with np.load(path) as file:  # it is what it says: the first row can be read
        assert file.zip.open("pos.npy").read(200).endswith(bytes(60))
    for call in (lambda: read([path], Asked()), lambda: read_frame(path), lambda: load_dataset(str(path))):
        with pytest.raises(UserError) as told:
            call()
        assert "2.1 GB of memory" in str(told.value) or "lacks" in str(told.value)
    bomb(path, "message", (1 << 20, 1 << 8))
    with pytest.raises(UserError, match="lacks"):
        load_made_elsewhere(path, "bomb")


def test_a_header_that_lies_of_an_array_is_not_believed(folder):
    path = folder / "data.npy"
    np.save(path, np.zeros((3, 4, 2, 4)))
    content = path.read_bytes()
    for now, why in (
        (b"(3000000, 4, 2, 4), }", "bytes long where its header says"),
        (b"(3, 4, 2, 4),  (", "cannot be"),
    ):
        path.write_bytes(content.replace(b"(3, 4, 2, 4), }".ljust(len(now)), now))
        with pytest.raises(UserError, match=why):
            read([path], Asked())


@pytest.mark.parametrize("suffix", ["csv", "xyz", "dump"])
def test_a_line_without_end_is_not_read_to_it(folder, suffix):
    path = folder / f"a.{suffix}.gz"
    start = {"csv": b"t,x,y\n0,1,2\n", "xyz": b"1\n\n", "dump": b"ITEM: TIMESTEP\n"}[suffix]
    path.write_bytes(gzip.compress(start + b"7" * 21_000_000, 1))
    with pytest.raises(UserError, match="a line of more than 20,000,000 characters"):
        read([path], Asked())
