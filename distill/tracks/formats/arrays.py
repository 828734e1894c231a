"""Arrays by name or by place: ``.npz`` and ``.npy``, and what HDF5 holds, to ``Tracks``.

Names are those of ``names.ARRAYS``. ``data`` [simulation, time, particle, (x, y, vx, vy, q, m)] with its ``accel`` is
the layout of the paper's repository. A recording may have arrays of its own: ``pos_0``, ``pos_1``, ... or groups.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from distill.files.arrays import DAMAGE, array_of, arrays_of
from distill.files.properties import KNOWN, MOST_LEVELS
from distill.files.storage import require_memory
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.tracks import names
from distill.tracks.blocks import plan
from distill.tracks.rows import CONSTANT
from distill.tracks.tracks import Asked, Tracks

VECTORS = ("pos", "vel", "acc", "force")
WIDTHS = {4: 2, 6: 2}  # columns of ``data`` without and with charge and mass: dimensions
FIX = "see docs/own_data.md"


def read_npz(paths: Sequence[Path], asked: Asked) -> Tracks:
    """One ``.npz``."""
    path = _one(paths)
    try:
        arrays = arrays_of(path, leave_out=asked.leave_out)
    except DAMAGE as exc:
        if "holds Python objects" in str(exc):
            raise UserError(
                f"{relative(path)}: {exc}, as a list of arrays of unequal shapes does; these are never loaded",
                "write one array a recording:  numpy.savez('mine.npz', **{f'pos_{k}': x for k, x in enumerate(pos)})",
            ) from None
        raise UserError(f"{relative(path)} is damaged or no .npz file ({str(exc)[:80]})", "copy it again") from None
    return from_arrays(arrays, asked, relative(path))


def read_npy(paths: Sequence[Path], asked: Asked) -> Tracks:
    """``data.npy`` and, beside it or given too, ``accel.npy`` (or ``acc``, ``a``) with the accelerations."""
    data, *others = paths
    if len(others) > 1:
        raise UserError(f"{len(paths)} .npy files were given", "expected data.npy and its accel.npy")
    beside = [data.with_name(data.name.replace("data", word)) for word in ("accel", "acc", "accelerations")]
    others = others or [p for p in beside if p != data and p.is_file()][:1]
    arrays = {"data": _load(data)} | ({"acc": _load(others[0])} if others else {})
    out = from_arrays(arrays, asked, relative(data))
    if others:
        out.lines.insert(0, f"the accelerations are those of {others[0].name}")
    return out


def companions(paths: Sequence[Path]) -> list[Path]:
    """The files that ``read_npy`` would read."""
    if len(paths) == 1:
        data = paths[0]
        beside = [data.with_name(data.name.replace("data", word)) for word in ("accel", "acc", "accelerations")]
        return [data, *[p for p in beside if p != data and p.is_file()][:1]]
    return list(paths)


def _load(path: Path) -> np.ndarray:
    try:
        return array_of(path)
    except DAMAGE as exc:
        why = "it holds Python objects, which are never loaded" if "Python objects" in str(exc) else str(exc)[:80]
        raise UserError(f"{relative(path)} cannot be read as .npy ({why})", "save it as an array of numbers") from None


def read_hdf5(paths: Sequence[Path], asked: Asked) -> Tracks:
    """One HDF5 file, by ``h5py``, which is no requirement: arrays by name, or a group a recording."""
    try:
        import h5py
    except ImportError:
        raise UserError(f"{relative(paths[0])}: HDF5 is read by the package h5py", "pip install h5py") from None
    path = _one(paths)
    try:
        with h5py.File(path, "r") as file:
            require_memory(_size(file, h5py, asked.leave_out), relative(path))
            arrays = {k: v[()] for k, v in file.items() if isinstance(v, h5py.Dataset) and k not in asked.leave_out}
            groups = {k: v for k, v in file.items() if isinstance(v, h5py.Group)}
            if not arrays and len(groups) == 1:
                arrays, groups = _datasets(next(iter(groups.values())), h5py), {}
            for number, (_, group) in enumerate(sorted(groups.items(), key=lambda kv: _natural(kv[0]))):
                inside = _datasets(group, h5py)
                arrays |= {f"{k}_{number}": v for k, v in inside.items() if k not in asked.leave_out}
    except OSError as exc:
        raise UserError(f"{relative(path)} is damaged or no HDF5 file ({str(exc)[:80]})", "copy it again") from None
    return from_arrays(arrays, asked, relative(path))


def _size(file, h5py, leave_out) -> int:
    """Bytes in memory of all arrays but those that are left out: a file of few bytes may have many of them."""
    sizes = [0]

    def add(name, item) -> None:
        if isinstance(item, h5py.Dataset) and name.split("/")[-1] not in leave_out:
            sizes.append((item.size or 0) * item.dtype.itemsize)  # one without values has no size

    file.visititems(add)
    return sum(sizes)


def _datasets(group, h5py) -> dict:
    """Arrays below a group by the last part of their names."""
    found = {}

    def take(name, item) -> None:  # what is returned would end the visit
        if isinstance(item, h5py.Dataset):
            found.setdefault(name.split("/")[-1], item[()])

    group.visititems(take)
    return found


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _one(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise UserError(f"{len(paths)} files were given, expected one of this kind", "import them one after the other")
    return paths[0]


# ---------------------------------------------------------------- from names to Tracks


def from_arrays(arrays: dict, asked: Asked, where: str) -> Tracks:
    """Arrays by foreign names to ``Tracks``; ``UserError`` for what cannot be understood."""
    arrays, words = _with_numbers(arrays)
    out = _from_numbers(arrays, asked, where)
    out.categories |= {name: levels for name, levels in words.items() if name in out.properties}
    return out


def _with_numbers(arrays: dict) -> tuple[dict, dict[str, list[str]]]:
    """(``arrays`` with numbers in place of words, name -> the words that these count); arrays of recordings, whose
    names end in numbers, have the same words.
    """
    words: dict[str, set] = {}
    texts = {k: np.asarray(v).astype(str) for k, v in arrays.items() if np.asarray(v).dtype.kind in "US"}
    stem = {k: re.sub(r"_?\d+$", "", k) for k in texts}
    for name, value in texts.items():
        words.setdefault(stem[name], set()).update(np.unique(value).tolist())
    known = {k: sorted(v) for k, v in words.items() if 1 < len(v) <= MOST_LEVELS}
    numbers = {k: np.searchsorted(known[stem[k]], v).astype(float) for k, v in texts.items() if stem[k] in known}
    return dict(arrays) | numbers, {names.property_name(k): v for k, v in known.items()}


def _from_numbers(arrays: dict, asked: Asked, where: str) -> Tracks:
    arrays = {k: v for k, v in arrays.items() if np.asarray(v).dtype.kind in "fiub"}
    if "observed" in arrays:  # a dataset of ours: what was seen, not what was made of it
        arrays = {k: v for k, v in arrays.items() if k not in ("pos", "vel", *names.OF_OURS)}
        arrays["pos"] = arrays.pop("observed")
    arrays = {k: v for k, v in arrays.items() if k not in names.OF_OURS}
    if numbered := _numbered(arrays):
        return _of_recordings(numbered, asked, where)
    found = names.of_arrays(list(arrays), asked.columns, where)
    ours = {name: np.asarray(arrays[theirs]) for name, theirs in found.items()}
    lines = [
        f"'{theirs}' is taken as '{name}'" for name, theirs in found.items() if name in names.ARRAYS and name != theirs
    ]
    if "pos" not in ours and "data" in ours:
        ours, told = _columns_of(ours, found["data"], where)
        lines += told
    if "pos" not in ours:
        held = ", ".join(f"{k} {v.shape}" for k, v in list(arrays.items())[:8]) or "no arrays of numbers"
        fix = "say which array holds the positions [trajectory, frame, particle, dim]:  --columns pos=NAME"
        raise UserError(f"{where}: no array is known as the positions; it holds {held}", fix)
    return _built(ours, asked, where, lines)


def _numbered(arrays: dict) -> list[dict]:
    """Arrays of each recording where names end in numbers (``pos_0``, ``pos_1``, ...), else nothing."""
    found: dict[int, dict] = {}
    for name, value in arrays.items():
        if match := re.fullmatch(r"(.*[A-Za-z])_?(\d+)", name):
            found.setdefault(int(match[2]), {})[match[1]] = value
    known = {w.lower() for key in ("pos", "data") for w in (key, *names.ARRAYS[key].split())}
    good = {k: v for k, v in found.items() if any(name.lower() in known and np.ndim(a) == 3 for name, a in v.items())}
    if not good or any(name.lower() in known for name in arrays):
        return []
    common = {k: v for k, v in arrays.items() if not re.fullmatch(r"(.*[A-Za-z])_?(\d+)", k)}
    return [common | good[k] for k in sorted(good)]


def _of_recordings(parts: list[dict], asked: Asked, where: str) -> Tracks:
    """Recordings with arrays of their own, of different numbers of frames and particles, as one."""
    whole = [_from_numbers(part, replace(asked, cut=None), f"{where}, recording {k}") for k, part in enumerate(parts)]
    n, dims = max(w.size[2] for w in whole), {w.size[3] for w in whole}
    if len(dims) > 1:
        raise UserError(f"{where}: recordings have {sorted(dims)} dimensions, expected the same everywhere")
    frames = max(w.size[1] for w in whole)
    shape = (len(whole), frames, n, dims.pop())
    out = Tracks(np.full(shape, np.nan), np.empty(shape[:2]), lines=list(whole[0].lines), spaced=whole[0].spaced)
    lengths = []
    for name in VECTORS[1:]:
        if all(getattr(w, name) is not None for w in whole):
            setattr(out, name, np.full(shape, np.nan))
    for k, w in enumerate(whole):
        lengths.append(w.size[1])
        for name in out.vectors():
            getattr(out, name)[k, : w.size[1], : w.size[2]] = getattr(w, name)[0]
        own = w.times[0]
        step = np.median(np.diff(own)) if len(own) > 1 else 1.0
        out.t[k, : len(own)] = own
        out.t[k, len(own) :] = own[-1] + step * np.arange(1, frames - len(own) + 1)
    for name in set.intersection(*(set(w.properties) for w in whole)):
        out.properties[name] = np.full((len(whole), n), np.nan)
        for k, w in enumerate(whole):
            out.properties[name][k, : w.size[2]] = w.properties[name][0]
    out.box, out.cutoff = whole[0].box, whole[0].cutoff
    return cut(out, asked, where, lengths)


def _columns_of(ours: dict, theirs: str, where: str) -> tuple[dict, list[str]]:
    """``data`` [..., column] taken apart."""
    ours = dict(ours)
    data = ours.pop("data")
    if data.ndim not in (3, 4):
        raise UserError(
            f"{where}: '{theirs}' has shape {data.shape}, expected [simulation, time, particle, column]", FIX
        )
    width = data.shape[-1]
    labels = next((ours[k] for k in ("acc", "force") if k in ours), None)
    dim = labels.shape[-1] if labels is not None and labels.ndim == data.ndim else None
    if width in (1, 2, 3) and dim in (None, width):
        return ours | {"pos": data}, [f"'{theirs}' has {width} columns: positions alone"]
    if dim is None:
        dim = 3 if width == 6 and not _steady(data[..., 4:]) else WIDTHS.get(width, (width - 2) // 2)
    rest = width - 2 * dim
    if rest not in (0, 1, 2) or (dim not in (1, 2, 3)):
        raise UserError(
            f"{where}: '{theirs}' has {width} columns in {dim} dimensions, expected positions, velocities and if you"
            " like charge and mass (x, y, vx, vy, q, m)",
            "save them as arrays of their own: pos, vel, mass, charge",
        )
    out = ours | {"pos": data[..., :dim], "vel": data[..., dim : 2 * dim]}
    if rest:
        out |= {"mass": data[..., -1]} | ({"charge": data[..., -2]} if rest == 2 else {})
    columns = [*names.AXES[:dim], *(f"v{a}" for a in names.AXES[:dim]), *{0: "", 1: "m", 2: "qm"}[rest]]
    return out, [f"the columns of '{theirs}' are taken as ({', '.join(columns)})"]


def _steady(values: np.ndarray) -> bool:
    """Whether columns [..., time, particle, column] do not change in time."""
    return bool((np.abs(values - values[..., :1, :, :]) <= CONSTANT * np.abs(values[..., :1, :, :])).all())


def _built(ours: dict, asked: Asked, where: str, lines: list[str]) -> Tracks:
    pos = _float(ours.pop("pos"), "pos", where)
    if pos.ndim not in (3, 4):
        raise UserError(
            f"{where}: the positions have shape {pos.shape}, expected [trajectory, frame, particle, dim]", FIX
        )
    single = pos.ndim == 3
    if single:
        lines = [*lines, f"the positions {pos.shape} are taken as one recording [frame, particle, dim]"]
        pos = pos[None]
    count, frames, n, dim = pos.shape
    if not pos.size:
        raise UserError(f"{where}: the positions {pos.shape} are empty", FIX)
    if dim not in (1, 2, 3):
        fix = "expected the last axis to be x, y (, z)"
        raise UserError(f"{where}: the positions {pos.shape} have {dim} space dimensions", fix)
    dt = _positive(ours.pop("dt", None), "dt", where) if "t" not in ours else None
    dt = asked.dt or dt
    out = Tracks(pos, np.arange(frames) * (dt or 1.0), lines=lines, spaced=dt is not None, recordings=count)
    out.cutoff = _positive(ours.pop("cutoff", None), "cutoff", where)
    for name in VECTORS[1:]:
        if name in ours:
            value = _float(ours.pop(name), name, where)
            value = value[None] if single and value.ndim == 3 else value
            if value.shape != pos.shape:
                told = f"{where}: '{name}' has shape {value.shape}, the positions have {pos.shape}"
                raise UserError(told, f"leave it out:  --leave-out {name}, or save it in the shape of the positions")
            setattr(out, name, value)
    if "t" in ours:
        t = _float(ours.pop("t"), "t", where)
        if t.shape not in ((frames,), (count, frames)):
            told = f"{where}: 't' has shape {t.shape}, expected {(frames,)} or {(count, frames)}"
            raise UserError(told, "leave it out:  --leave-out t, and give --dt")
        if not (np.diff(t, axis=-1) > 0).all():
            raise UserError(f"{where}: 't' does not increase from frame to frame", "leave it out:  --leave-out t")
        out.t, out.spaced = t, True
    if "box" in ours:
        out.box = _box_of(_float(ours.pop("box"), "box", where), dim, where)
    if "seen" in ours:
        seen = ours.pop("seen")
        seen = seen[None] if single and seen.ndim == 2 else seen
        if seen.shape != pos.shape[:3]:
            raise UserError(f"{where}: the mask has shape {seen.shape}, expected {pos.shape[:3]}", "--leave-out it")
        pos[seen == 0] = np.nan
    who = ours.get("id")
    if who is not None and who.dtype.kind in "iu" and who.shape == (count, out.size[2]) and who.min() >= 0:
        out.who = ours.pop("id").astype(float)
    split = ours.pop("split", None)
    if split is not None and split.shape == (count,) and np.isin(split, (0, 1, 2)).all():
        out.split = split.astype(np.int8)
    ours.pop("dt", None)
    for name, value in ours.items():
        found, why = _property_of(_float(value, name, where), out.size, single)
        if why and name in KNOWN:
            raise UserError(f"{where}: '{name}' cannot be used: {why}", f"mend it, or go without:  --leave-out {name}")
        if why:
            out.lines.append(f"'{name}' is left out: {why}")
        else:
            name = name if name in ("mass", "charge") else names.property_name(name, out.properties)
            out.properties[name] = found
    return out if asked.cut is None else cut(out, asked, where)


def _float(value: np.ndarray, name: str, where: str) -> np.ndarray:
    """Numbers as they are computed with, with NaN for what is infinite."""
    value = np.array(value, dtype=np.float32 if value.dtype == np.float32 else np.float64)
    value[~np.isfinite(value)] = np.nan
    return value


def _positive(value: np.ndarray | None, name: str, where: str) -> float | None:
    """The one positive number that an array holds; None where there is no array."""
    if value is None:
        return None
    if value.size != 1 or not 0 < (number := float(np.squeeze(value))) < np.inf:
        told = value.tolist() if value.size == 1 else f"of shape {value.shape}"
        raise UserError(f"{where}: '{name}' is {told}, expected one positive number", f"--leave-out {name}")
    return number


def _box_of(value: np.ndarray, dim: int, where: str) -> np.ndarray:
    value = np.squeeze(value)
    if value.ndim == 2 and value.shape == (dim, dim) and not (value - np.diag(np.diag(value))).any():
        value = np.diag(value)
    if value.shape not in ((), (dim,)) or not (value > 0).all():
        raise UserError(f"{where}: the box has shape {value.shape}, expected {dim} side lengths", "--leave-out it")
    return np.broadcast_to(value, (dim,)).astype(float)


def _property_of(value: np.ndarray, size: tuple, single: bool) -> tuple[np.ndarray | None, str | None]:
    """(an array as a property [trajectory, particle]; why it cannot be one)."""
    count, frames, n, _ = size
    value = value[..., 0] if value.ndim and value.shape[-1] == 1 and n > 1 else value
    if value.shape == ():
        return np.full((count, n), float(value)), None
    if value.shape == (n,):
        return np.tile(value, (count, 1)), None
    if value.shape == (count, n):
        return value, None
    if value.shape in ((count, frames, n), (frames, n)):
        value = value.reshape(count, frames, n)
        return (value[:, 0], None) if _steady(value[..., None]) else (None, "it changes in time for the same particle")
    return None, f"its shape {value.shape} is neither [particle] nor [trajectory, particle]"


def cut(tracks: Tracks, asked: Asked, where: str, lengths: list[int] | None = None) -> Tracks:
    """``tracks`` cut into blocks (``blocks.plan``); ``lengths``: frames of every recording, where these differ."""
    count, frames = tracks.size[:2]
    tracks.recordings = count
    if tracks.split is not None and asked.cut.split == "auto" and asked.cut.block_frames is None:
        tracks.film = np.arange(count)
        return tracks
    if tracks.who is None and (count == 1 or asked.same_bodies):
        tracks.who = np.tile(np.arange(tracks.size[2], dtype=float), (count, 1))
    cutting_by = asked.cut if tracks.acc is not None or tracks.force is not None else asked.cut.for_windows()
    cutting = plan(lengths or [frames] * count, cutting_by, where)
    blocks, longest = cutting.blocks, cutting.frames
    film = np.array([b.recording for b in blocks])
    times = tracks.times
    if len(blocks) != count or longest != frames or any(b.stop - b.start != frames for b in blocks):
        for name, value in tracks.vectors().items():
            new = np.full((len(blocks), longest, *value.shape[2:]), np.nan, value.dtype)
            for k, b in enumerate(blocks):
                new[k, : b.stop - b.start] = value[b.recording, b.start : b.stop]
            setattr(tracks, name, new)
        t = np.stack([_going_on(times[b.recording, b.start : b.stop], longest) for b in blocks])
        tracks.t = t[0] if len(blocks) > 1 and (t == t[0]).all() else t
        tracks.properties = {k: v[film] for k, v in tracks.properties.items()}
        tracks.who = None if tracks.who is None else tracks.who[film]
    tracks.film, tracks.split = film, np.array([b.split for b in blocks], dtype=np.int8)
    tracks.lines += cutting.lines
    return tracks


def _going_on(own: np.ndarray, frames: int) -> np.ndarray:
    step = np.median(np.diff(own)) if len(own) > 1 else 1.0
    return np.concatenate([own, own[-1] + step * np.arange(1, frames - len(own) + 1)])


READERS = {".npz": read_npz, ".npy": read_npy, ".h5": read_hdf5, ".hdf5": read_hdf5, ".hdf": read_hdf5}
