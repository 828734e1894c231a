"""Writing files whole or not at all, and JSON without surprises."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np

from distill.shell.errors import UserError
from distill.shell.paths import relative

FORMAT_VERSION = 1


@contextlib.contextmanager
def atomic(path: Path, mode: str = "wb"):
    """Open a temporary file beside ``path`` and rename it to ``path`` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def require_disk(path: Path, size: int, fix: str | None = None) -> None:
    """``UserError`` if ``size`` bytes for a file at ``path`` are more than is free there; makes its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    if size > free:
        raise UserError(
            f"{relative(path)} would take {size / 1e9:.1f} GB, more than the {free / 1e9:.1f} GB free on its disk", fix
        )


def save_text(path: Path, text: str) -> None:
    with atomic(path, "w") as file:
        file.write(text)


def save_json(path: Path, content: dict) -> None:
    """Write ``content`` as JSON; NaN and infinity are refused (``ValueError``)."""
    save_text(path, json.dumps(plain(content), indent=1, allow_nan=False) + "\n")


def save_bytes(path: Path, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)


def plain(value):
    """JSON-ready copy: numpy scalars and arrays, paths and tuples become plain values."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return relative(value)
    return value


def finite_or_none(value: float):
    """``value`` as a float, or None where JSON has no number for it."""
    return float(value) if math.isfinite(value) else None


def load_json(path: Path, fix: str | None = None) -> dict:
    path = Path(path)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        raise UserError(f"{relative(path)} does not exist", fix) from None
    except (ValueError, RecursionError):
        raise UserError(f"{relative(path)} is not valid JSON (half-written or edited by hand?)", fix) from None
    if not isinstance(content, dict):
        raise UserError(f"{relative(path)} holds a JSON {type(content).__name__}, expected an object", fix)
    return content
