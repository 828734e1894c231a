"""Writes that are whole or not there, whatever happens to the process, and JSON without surprises."""

import errno
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from distill.files import storage
from distill.files.storage import atomic, load_json, save_json, save_together
from distill.shell.errors import UserError


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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e999}', "1e999"),
        ('{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}', "'c' is given twice"),
        ('{"a": ' + "[" * 100_000, "deep"),
        ('{"a": 1', "line 1"),
        ("[]", "expected an object"),
    ],
)
def test_json_that_is_refused(tmp_path, text, why):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"a.json.*{why}"):
        load_json(path)


def test_temporary_files_of_killed_runs_are_swept(tmp_path):
    with atomic(tmp_path / "a.json") as file:
        mine = Path(file.name).name if isinstance(file.name, str) else os.listdir(tmp_path)[0]
        save_json(tmp_path / "b.json", {})  # leaves that of a process that is alive
        assert mine in os.listdir(tmp_path)
    dead = subprocess.Popen(["true"])
    dead.wait()
    here, _, _ = mine.removeprefix(".a.json.").removesuffix(".tmp").partition(".")
    gone = here.rsplit("-", 1)[0] + f"-{dead.pid}"
    for name in (f".x.npz.{gone}.abc.tmp", ".y.elsewhere-1.abc.tmp"):  # new
        (tmp_path / name).write_text("")
    for name in (".x.npz.elsewhere-1.abc.tmp", ".vim.tmp", ".x.npz.abcdefgh.tmp", "notes.tmp"):  # old
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, 0))
    save_json(tmp_path / "b.json", {})
    left = {".y.elsewhere-1.abc.tmp", ".vim.tmp", ".x.npz.abcdefgh.tmp", "notes.tmp", "a.json", "b.json"}
    assert set(os.listdir(tmp_path)) == left


@pytest.mark.parametrize("failing", ["write", "fsync", "replace", "unlink"])
@pytest.mark.parametrize("count", range(6))
def test_files_that_belong_together_are_all_old_or_all_new(tmp_path, monkeypatch, failing, count):
    """Whatever fails whenever: a full disk while writing changes nothing, and nothing is lost."""
    first, last = tmp_path / "weights", tmp_path / "config.json"
    old, new = ({first: text + b" weights", last: text + b" config"} for text in (b"old", b"new"))
    save_together(old)
    left = [count]

    def sometimes(call):
        def once(*args, **options):
            left[0] -= 1
            if left[0] == -1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return call(*args, **options)

        return once

    if failing == "write":
        new = {k: (lambda file, v=v: sometimes(file.write)(v)) for k, v in new.items()}
    else:
        owner = Path if failing == "unlink" else storage.os
        monkeypatch.setattr(owner, failing, sometimes(getattr(owner, failing)))
    try:
        save_together(new)
    except OSError as exc:
        assert failing == "unlink" or exc.filename in map(str, old)
    monkeypatch.undo()
    found = {p: p.read_bytes() for p in (first, last) if p.exists()}
    litter = set(os.listdir(tmp_path)) - {p.name for p in found}
    assert not litter or (failing == "unlink" and not [name for name in litter if name.endswith(".tmp")])
    complete = [{k: v for k, v in zip(old, (b"old weights", b"old config"), strict=True)}]
    complete += [{k: v for k, v in zip(old, (b"new weights", b"new config"), strict=True)}]
    assert found in complete[: 1 if failing in ("write", "fsync") and count < 2 else 2]


def step_by_step(step: int, kill) -> None:
    """From here on this process is killed before the ``step``-th file is put in place or goes."""
    seen = []

    def counted(call):
        def once(path, *args, **options):
            names = [os.path.basename(p) for p in (path, *args)]
            seen.extend(names[-1:] if len(names) == 1 or not names[-1].startswith(".") else [])
            return kill() if len(seen) == step else call(path, *args, **options)

        return once

    storage.os.replace, Path.unlink = counted(os.replace), counted(Path.unlink)


@pytest.mark.parametrize("step", range(1, 5))  # the old mark goes, weights are renamed, the new mark is, the plan goes
def test_what_a_killed_process_had_whole_is_put_in_place(tmp_path, step):
    """Among the renames neither the old nor the new file has its name; a process that looks for it finds the new."""
    first, last = tmp_path / "weights", tmp_path / "config.json"
    save_together({first: b"old", last: b'{"say": "old"}'})
    child = os.fork()
    if not child:
        step_by_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        save_together({first: b"new", last: b'{"say": "new"}'})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert last.is_file() == (step in (1, 4))
    assert storage.is_there(last) and (first.read_bytes(), load_json(last)["say"]) == (b"new", "new")
    assert set(os.listdir(tmp_path)) == {"weights", "config.json"}


def test_a_plan_that_somebody_else_wrote_moves_nothing_out_of_its_folder(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "precious").write_text("kept")
    for text in ('{"../precious": "mine"}', '{"mine": "../precious"}', "[1]", "no JSON", '{"mine": 3}'):
        (inside / "mine").write_text("x")
        plan = inside / ".config.json.elsewhere-1.together"
        plan.write_text(text)
        os.utime(plan, (0, 0))
        assert not storage.is_there(inside / "config.json")
        assert (tmp_path / "precious").read_text() == "kept"


def test_an_error_names_the_file_and_a_size_is_never_zero(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError) as caught:
        patch.setattr(storage.os, "fsync", full)
        save_json(tmp_path / "a.json", {})
    assert caught.value.filename == str(tmp_path / "a.json") and not os.listdir(tmp_path)
    assert [storage.size_text(n) for n in (7, 1200, 3.4e6, 5.6e9)] == ["7 bytes", "1 kB", "3 MB", "5.6 GB"]
