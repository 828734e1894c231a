"""What becomes of a file that is changed somewhere: one change at a time, drawn by a seeded generator.

As a program it prints the table:  python tests/faults/mutations.py --seed 951 --each 150
"""

import argparse
import contextlib
import copy
import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

SECONDS = 120.0  # that reading may take, by the clock: on a machine that is busy a second of work may take twenty
OUTCOMES = ("refused", "same", "taken", "SILENT", "TRACEBACK", "HANG")


# ---------------------------------------------------------------- changes


def of_bytes(path: Path, rng: np.random.Generator) -> str:
    """Change the bytes of a file; returns how."""
    content = bytearray(path.read_bytes())
    size = len(content)
    at, length = int(rng.integers(size)), int(rng.integers(1, max(2, size // 4)))
    changes = {
        "a bit": lambda: content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :],
        "a byte": lambda: content[:at] + rng.bytes(1) + content[at + 1 :],
        "cut off": lambda: content[:at],
        "longer": lambda: content + rng.bytes(length),
        "a block gone": lambda: content[:at] + content[at + length :],
        "a block twice": lambda: content[: at + length] + content[at:],
        "zeros": lambda: content[:at] + bytes(min(length, size - at)) + content[at + length :],
        "empty": lambda: b"",
        "noise": lambda: rng.bytes(size),
        "a blank": lambda: content[:at] + b" " + content[at:],
    }
    how = str(rng.choice(list(changes)))
    path.write_bytes(bytes(changes[how]()))
    return how


def of_place(path: Path, rng: np.random.Generator) -> str:
    """Something else in the place of a file."""
    how = str(rng.choice(["folder", "pipe", "link to itself", "link to nothing", "other file"]))
    others = sorted(p for p in path.parent.iterdir() if p.is_file() and p != path)
    other = others[int(rng.integers(len(others)))].read_bytes() if others else b"{}"
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "other file":
        path.write_bytes(other)
    else:
        path.symlink_to(path if how == "link to itself" else path.with_name("nothing"))
    return how


VALUES = (None, True, False, -1, 0, 3, 10**30, 1.5, -1e300, "", "x", "../x", "<b>", [], [1], {}, {"a": 1}, [[0.5]])
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "[" * 20_000 + "]" * 20_000, '{"a": 1, "a": 2}', "01", "'x'")


def of_json(path: Path, rng: np.random.Generator) -> str:
    """Change a value, a key or an entry somewhere in a JSON."""
    content = json.loads(path.read_bytes())
    places: list[tuple] = []

    def walk(value):
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    walk(content)
    where, key = places[int(rng.integers(len(places)))]
    how = str(rng.choice(["value", "raw", "gone", "renamed", "nearly", "more"]))
    if how == "value":
        where[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
    elif how == "gone":
        del where[key]
    elif how == "renamed" and isinstance(where, dict):
        where[f"{key}_"] = where.pop(key)
    elif how == "nearly" and isinstance(where[key], int | float) and not isinstance(where[key], bool):
        where[key] = type(where[key])(where[key] * 1.01 + 1)
    elif how == "more" and isinstance(where, list):
        where.append(where[key])
    else:
        how, where[key] = "raw", "RAW"
    text = json.dumps(content, indent=1)
    if how == "raw":
        text = text.replace('"RAW"', RAW[int(rng.integers(len(RAW)))])
    path.write_text(text)
    return f"json: {how} at {key}"


def of_npz(path: Path, rng: np.random.Generator) -> str:
    """Change one array of an ``.npz``, or the file that holds it."""
    with np.load(path) as file:
        arrays = dict(file)
    name = str(rng.choice(list(arrays)))
    a = arrays[name]
    number = a.dtype.kind in "fiu" and a.size > 0
    at = tuple(int(rng.integers(s)) for s in a.shape)

    def one(value):
        out = a.astype(float) if isinstance(value, float) and not np.isfinite(value) else a.copy()
        out[at] = value
        return out

    types = ["u1", "i2", "i8", "f2", "f4", ">f8", "g", "c16", "U5", "?", "O", "M8[s]", "S3"]
    changes: dict[str, Callable] = {
        "gone": lambda: None,
        "type": lambda: a.astype(str(rng.choice(types))),
        "turned": lambda: a.T,
        "flat": lambda: a.reshape(-1),
        "an axis more": lambda: a[None],
        "rows gone": lambda: a[: len(a) // 2] if a.ndim else a,
        "rows mixed": lambda: rng.permutation(a) if a.ndim else a,
        "no rows": lambda: a[:0] if a.ndim else a,
        "nearly": lambda: a * 1.001,
        "negative": lambda: -a.astype(float),
        "zero": lambda: a * 0,
        "NaN": lambda: one(float("nan")),
        "infinite": lambda: one(float("inf")),
        "large": lambda: a.astype(float) * 1e200,
        "small": lambda: a.astype(float) * 1e-200,
        "one number": lambda: one(7),
        "Fortran": lambda: np.asfortranarray(a * 1.5),
    }
    how = str(rng.choice([*changes, "packed", "one more", "twice", "header"]))
    if how in changes:
        changed = changes[how]() if number or how == "gone" else np.array("x")
        arrays[name] = changed
        if changed is None:
            arrays.pop(name)
    if how == "one more":
        arrays[f"{name}_"] = a
    if how == "packed":
        np.savez_compressed(path, **arrays)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.savez(path, **arrays)
            if how in ("twice", "header"):
                _member(path, name, how, a)
    return f"npz: {how} of {name}"


def _member(path: Path, name: str, how: str, array: np.ndarray) -> None:
    out = io.BytesIO()
    about = np.lib.format.header_data_from_array_1_0(array) | {"shape": (10**9, *array.shape[1:])}
    np.lib.format.write_array_header_1_0(out, about)
    with zipfile.ZipFile(path) as file:
        members = {k: file.read(k) for k in file.namelist()}
    if how == "header":
        members[f"{name}.npy"] = out.getvalue() + array.tobytes()
    with zipfile.ZipFile(path, "w") as file:
        for key, value in members.items():
            file.writestr(key, value)
        if how == "twice":
            file.writestr(f"{name}.npy", members[f"{name}.npy"])


def changed(path: Path, rng: np.random.Generator) -> str:
    """Change the file at ``path`` in one way; returns how."""
    own = {".json": of_json, ".npz": of_npz}.get(path.suffix, of_bytes)
    function = [own, own, own, of_bytes, of_bytes, of_place][int(rng.integers(6))]
    return function(path, rng)


# ---------------------------------------------------------------- what becomes of them


def seen(value, digest=None) -> str:
    """SHA-256 of all that was read: arrays, tensors, records, formulas."""
    digest = digest or hashlib.sha256()
    if dataclasses.is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)} | {"content_sha256": None}
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            digest.update(f"\n{key}:".encode())
            seen(value[key], digest)
    elif isinstance(value, list | tuple):
        for entry in value:
            digest.update(b"\n-")
            seen(entry, digest)
    else:
        digest.update(repr(value).encode())
    return digest.hexdigest()


class Late(BaseException):
    """Reading took too long."""


def outcome(read: Callable, right: str, own: bool, names) -> tuple[str, str]:
    """(one of ``OUTCOMES``, what was said) of reading a changed file whose content was ``right``. One of the ``names``
    has to be told where it is refused.
    """
    from distill.shell.errors import UserError

    def late(*_):
        raise Late

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            found = seen(read())
        if found == right:
            return "same", ""
        return ("SILENT" if own else "taken"), ""
    except UserError as exc:
        named = not own or any(name in str(exc) for name in names)
        clear = "\n" not in str(exc) and len(str(exc)) < 700 and named
        return ("refused" if clear else "TRACEBACK"), str(exc)
    except OSError as exc:  # told by ``run_script``
        from distill.shell.stage import _OF_THE_USER

        return ("refused" if exc.errno in _OF_THE_USER and exc.filename else "TRACEBACK"), repr(exc)
    except Late:
        return "HANG", ""
    except Exception:
        return "TRACEBACK", traceback.format_exc(limit=-3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def mutated(files, seed: int, each: int) -> list[tuple[str, str, str, str]]:
    """(file, change, outcome, what was said) of ``each`` changes of every file, which are as before then."""
    out = []
    for number, file in enumerate(files):
        start = time.process_time()
        keep, right = file.path.read_bytes(), seen(file.read())
        for k in range(each):
            how = changed(file.path, np.random.default_rng([seed, number, k]))
            told = outcome(file.read, right, file.own, (file.path.stem, file.path.parent.name))
            out.append((file.name, how, *told))
            shutil.rmtree(file.path) if file.path.is_dir() and not file.path.is_symlink() else file.path.unlink()
            file.path.write_bytes(keep)
        seconds = time.process_time() - start
        print(f"{file.name:28} {seconds:6.2f} s of CPU", *wrong(out[-each:]), sep="\n  ", flush=True)
    return out


def counted(found) -> dict[str, Counter]:
    """File -> outcome -> how often."""
    counts: dict[str, Counter] = {}
    for name, _, what, _ in found:
        counts.setdefault(name, Counter())[what] += 1
    return counts


def table(found) -> str:
    counts = counted(found)
    lines = ["| file | n | " + " | ".join(OUTCOMES) + " |", "|---|" + "---|" * (len(OUTCOMES) + 1)]
    whole = sum(counts.values(), Counter())
    for name, own in [*counts.items(), ("all", whole)]:
        lines.append(f"| {name} | {own.total()} | " + " | ".join(str(own[what]) for what in OUTCOMES) + " |")
    return "\n".join(lines)


def wrong(found) -> list[tuple]:
    return [row for row in found if row[2] in ("SILENT", "TRACEBACK", "HANG")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--each", type=int, default=150, help="changes of every file")
    parser.add_argument("--files", help="only those with this in their names")
    parser.add_argument("--results", action="store_true", help="put the counts into results/faults.json")
    args, start = parser.parse_args(), time.time()
    sys.path[:0] = [str(Path(__file__).resolve().parents[k]) for k in (1, 2)]
    from distill.shell import paths

    with tempfile.TemporaryDirectory() as folder:
        for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
            setattr(paths, name, Path(folder, name.lower()))
        import base

        files = [f for f in base.made(Path(folder)) if (args.files or "") in f.name]
        found = mutated(files, args.seed, args.each)
    print(table(found))
    if args.results:
        import told

        told.save(
            "mutations", {"files": {k: [c[what] for what in OUTCOMES] for k, c in counted(found).items()}}, args, start
        )
    return bool(wrong(found))


if __name__ == "__main__":
    sys.exit(main())
