"""Arrays by name in ``.npz`` files: checked against a table of fields when written and when read."""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from distill.files.npz import Header, NpzWriter, header_of, headers, layout_bytes, read_rows
from distill.files.properties import categories, indicator, level_names, level_of
from distill.files.provenance import sha256_of
from distill.files.storage import is_there, require_disk, require_memory, save_together
from distill.shell.errors import UserError
from distill.shell.paths import relative


def stream_npz(
    path: Path,
    parts: Iterable[dict],
    sizes: dict,
    fields: dict,
    fix: str | None = None,
    side: Callable[[str], bytes] | None = None,
) -> None:
    """Write an ``.npz`` from ``parts`` that come one after the other, in the memory of one of them.

    ``side`` gives, for the digest of the file, the JSON beside it, which is there before it.
    ``sizes``: axis of ``fields`` -> its size in the whole file. An array whose first axis is among them is the
    parts' rows one after the other; any other is taken from the first part. Every part is checked
    (``check_fields``). ``UserError`` for what is not allowed, and before anything is written if the disk is too full
    (``fix``: what to do then); ``ValueError`` if the parts do not add up to ``sizes``.
    """
    path, where = Path(path), f"what was to be written to {relative(path)}"
    parts = iter(parts)
    first = next(parts)
    check_fields(first, fields, where)
    rows = {k: sizes[fields[k][0][0]] for k in first if k in fields and fields[k][0][0] in sizes}
    layout = {k: (v.dtype, (rows.get(k, len(v)), *v.shape[1:])) for k, v in first.items()}
    require_disk(path, layout_bytes(layout), fix)

    def write_arrays(file):
        writer = NpzWriter(file, layout)
        for name, value in first.items():
            writer.append(name, value)
        for part in parts:
            check_fields(part, fields, where)
            for name in rows:
                writer.append(name, part[name])
        writer.finish()
        digest.append(sha256_of(file) if side else "")

    digest: list[str] = []
    beside = {path.with_suffix(".json"): lambda file: file.write(side(digest[0]))} if side else {}
    save_together(beside | {path: write_arrays})


def load_npz(
    path: Path,
    fields: dict,
    kind: str,
    fix: str | None = None,
    draw: Callable | None = None,
    further: Callable[[dict[str, Header]], Iterable[str]] = lambda found: (),
) -> dict:
    """Read and check an ``.npz``; raises ``UserError`` if missing, damaged, of another kind or larger than memory.

    ``draw(file)`` gives (axis, mask of its entries to read) from the open file, or None for all of it. Of the arrays
    that are no ``fields``, those are read which ``further`` names, from what is known of all before any is read.
    """
    path = Path(path)
    if not is_there(path):
        raise UserError(f"{relative(path)} does not exist", fix)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{relative(path)} is damaged or half-written (no .npz file)", fix)
    try:
        with np.load(path, allow_pickle=False) as file:
            found = headers(file)
            missing = [k for k, (_, _, required) in fields.items() if required and k not in found]
            if missing:
                raise UserError(
                    f"{relative(path)} is not a {kind} file: it lacks {', '.join(missing)}"
                    f" and holds {', '.join([*found][:8]) or 'nothing'}",
                    fix,
                )
            axis, keep = (draw(file) if draw else None) or ALL
            wanted = {*fields, *further(found)}
            of = {k: found[k] for k in found if k in wanted}
            part = {k for k in of if k in fields and fields[k][0][:1] == (axis,)}
            size = sum(_in_memory(h, float(np.mean(keep)) if k in part else 1.0) for k, h in of.items())
            require_memory(size, relative(path), fix)
            read = {k: read_rows(file, k, keep) if k in part else file[k] for k in of}
            arrays = {k: _own_kind(v, fields[k][1] if k in fields else v.dtype.kind) for k, v in read.items()}
    except DAMAGE as exc:
        raise UserError(f"{relative(path)} is damaged or half-written ({_first_line(exc)})", fix) from None
    check_fields(arrays, fields, relative(path), fix)
    return arrays


def arrays_of(path: Path, names: Iterable[str] | None = None, leave_out: Collection[str] = ()) -> dict:
    """Arrays of an ``.npz`` of somebody else as they are, those of these ``names`` or all that are not left out.

    Headers come first: ``UserError`` for more than memory holds. What a damaged file makes of it is raised as it is,
    ``ValueError`` that begins with the name in quotes for an array of Python objects.
    """
    with np.load(path, allow_pickle=False) as file:
        found = headers(file, leave_out)
        wanted = list(found) if names is None else list(names)
        require_memory(sum(_in_memory(found[name], 1.0) for name in wanted), relative(path))
        return {name: file[name] for name in wanted}


def array_of(path: Path) -> np.ndarray:
    """The array of an ``.npy`` of somebody else; errors as of ``arrays_of``."""
    with open(path, "rb") as file:
        found = header_of(file, path.name, path.stat().st_size)
    require_memory(_in_memory(found, 1.0), relative(path))
    return np.load(path, allow_pickle=False)


def not_of_its_json(path: Path, side: Path, fix: str) -> UserError:
    """What is said of arrays at ``path`` that are not those which their JSON ``side`` was written with."""
    found = f"{relative(path)} holds other arrays than {relative(side)} was written with"
    return UserError(found, f"put the right ones there; or, if these are, take {side.name} away; or {fix}")


# what zip, zlib and NumPy raise on files that are damaged, encrypted or made for something else
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, KeyError, AttributeError, TypeError),
    *(RuntimeError, SyntaxError, tokenize.TokenError),
)
ALL: tuple[str | None, np.ndarray] = None, np.ones(0, dtype=bool)  # no axis of which some entries are left out
_KINDS = {"f": "fiub", "g": "fiub", "i": "iub"}  # letter of a field -> NumPy's kinds that are taken for it


def _in_memory(header: Header, share: float) -> float:
    """Bytes of a ``share`` of the rows of an array as ``_own_kind`` makes it."""
    return math.prod(header.shape) * share * max(header.dtype.itemsize, 4 if header.dtype == np.float32 else 8)


def _first_line(exc: Exception) -> str:
    text = (str(exc).splitlines() or [type(exc).__name__])[0][:100]
    return "it holds Python objects" if "pickle" in text else text


def _own_kind(array: np.ndarray, kind: str) -> np.ndarray:
    """Numbers as we compute with them: whole ones signed with 64 bits, others with 32 or 64 bits. A difference of
    unsigned ones would wrap around, and half precision overflows.
    """
    if array.dtype.kind not in _KINDS.get(kind, ""):
        return array
    if kind == "i":
        return array.astype(np.int64)
    with np.errstate(over="ignore"):  # what is infinite then is told
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def check_fields(arrays: dict, fields: dict, where: str, fix: str | None = None) -> None:
    """Check names, numbers of axes, agreeing sizes, kinds and finiteness (``fields.DATASET_FIELDS``)."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, (axes, kind, required) in fields.items():
        if name not in arrays:
            if required:
                raise UserError(f"{where}: field '{name}' {list(axes)} is missing", fix)
            continue
        array = np.asarray(arrays[name])
        if array.dtype.kind not in _KINDS[kind]:
            raise UserError(f"{where}: '{name}' has type {array.dtype}, expected numbers ({kind})", fix)
        if axes and axes[0].startswith("("):
            axes = (axes[0].strip("()"), *axes[1:])
            axes = axes[len(axes) - array.ndim :] if array.ndim == len(axes) - 1 else axes
        if array.ndim != len(axes):
            raise UserError(f"{where}: '{name}' has shape {array.shape}, expected {len(axes)} axes {list(axes)}", fix)
        for axis, size in zip(axes, array.shape, strict=True):
            known, owner = sizes.setdefault(axis, (size, name))
            if size != known:
                raise UserError(f"{where}: '{name}' has {size} along '{axis}' where '{owner}' has {known}", fix)
        fine = np.isfinite(array) if kind != "g" else ~np.isinf(array)
        if not fine.all():
            bad = int((~fine).sum())
            raise UserError(f"{where}: '{name}' holds {bad} NaN or infinite values", fix)


# ---------------------------------------------------------------- categories


def numbered(labels: Sequence, codes) -> tuple[tuple[str, ...], np.ndarray]:
    """(names of the levels ``labels`` in the order of the alphabet; ``codes``, numbers of ``labels``, as numbers of
    these): everywhere the number of a level is its place in the alphabet, and no list is needed to tell.
    """
    names = level_names(labels)
    order = sorted(range(len(names)), key=names.__getitem__)
    return tuple(names[k] for k in order), np.argsort(order).astype(np.int8)[np.asarray(codes, dtype=int)]


def indicators(category: str, levels: Sequence[str], codes) -> dict[str, np.ndarray]:
    """Name of each indicator -> ones and zeros of the shape of ``codes``, numbers of ``levels``."""
    return {indicator(category, level): (np.asarray(codes) == k).astype(float) for k, level in enumerate(levels)}


def coded(arrays: Mapping) -> tuple[dict, dict[str, list[str]]]:
    """(``arrays`` with whole numbers in place of the indicators of every category, category -> its levels): what a file
    holds.
    """
    found = {c: names for c, names in categories(arrays).items() if all(n in arrays for n in names)}
    gone = {name for names in found.values() for name in names}
    out = {name: value for name, value in arrays.items() if name not in gone}
    for category, names in found.items():
        out[category] = np.stack([arrays[name] for name in names], -1).argmax(-1).astype(np.int8)
    return out, {category: [level_of(name) for name in names] for category, names in found.items()}
