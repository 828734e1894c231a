"""Writing files whole or not at all, and JSON without surprises."""

import contextlib
import dataclasses
import json
import math
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from distill.shell.errors import UserError
from distill.shell.paths import relative

PLANS = "together"  # end of the name of a file that says which temporary files are whole, and what they are to be
STALE_SECONDS = 86_400.0  # after which a temporary file of another machine is nobody's


@contextlib.contextmanager
def atomic(path: Path):
    """Open a temporary file beside ``path`` and rename it to ``path`` if the block succeeds.

    What killed processes left in the folder is put in place where it was whole, and swept away where not.
    """
    with _under_way(Path(path)) as (file, name):
        yield file
        _to_disk(file)
        os.replace(name, path)


@contextlib.contextmanager
def _under_way(path: Path):
    """(open temporary file beside ``path``, its name), which is removed in the end unless it has another name then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    name = str(path)  # named in an error
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{_owner()}.", suffix=".tmp")
        with os.fdopen(handle, "w+b") as file:
            os.chmod(name, 0o666 & ~_umask())
            yield file, name
    except BaseException as exc:
        if name != str(path):
            with contextlib.suppress(OSError):
                os.unlink(name)
        if isinstance(exc, OSError) and exc.filename in (None, name):
            exc.filename = str(path)  # a full disk does not say where
        raise


def _to_disk(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _owner() -> str:
    return f"{re.sub('[^A-Za-z0-9]', '-', os.uname().nodename)[:60]}-{os.getpid()}"


def _sweep(folder: Path) -> None:
    """Of what killed processes left in ``folder``, rename what was whole (``save_together``) and remove the rest."""
    for plan in _left_behind(folder, PLANS):
        _put_in_place(plan)
    for file in _left_behind(folder, "tmp"):
        with contextlib.suppress(OSError):
            file.unlink()


def _left_behind(folder: Path, ending: str) -> Iterator[Path]:
    """Files that ``_under_way`` or ``save_together`` named, a day old, or whose process was here and is gone."""
    here = _owner().rsplit("-", 1)[0]
    for file in folder.glob(f".*.{ending}"):
        if found := re.fullmatch(rf"\..+\.([A-Za-z0-9-]+)-(\d+)(\.\w+)?\.{ending}", file.name):
            with contextlib.suppress(OSError):
                old = time.time() - file.stat().st_mtime > STALE_SECONDS
                if old or (found.group(1) == here and not _alive(int(found.group(2)))):
                    yield file


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_together(files: Mapping[Path, bytes | Callable]) -> None:
    """Write several files of one folder that are complete once the last of them is there: it goes first, comes last.

    ``files``: path -> its bytes, or a function that writes into the open file. All are written to temporary names
    before anything is touched, and with them a plan of what is to be renamed: a full disk changes nothing, and what a
    process that is killed from there on has not renamed, ``is_there`` and the next one that writes in the folder do.
    """
    paths = [Path(path) for path in files]
    if len({path.parent for path in paths}) > 1:
        raise ValueError("files that belong together lie in one folder")
    plan = paths[-1].with_name(f".{paths[-1].name}.{_owner()}.{PLANS}")
    with contextlib.ExitStack() as stack:
        names = {}
        for path in reversed(paths):
            file, names[path] = stack.enter_context(_under_way(path))
            content = files[path]
            file.write(content) if isinstance(content, bytes) else content(file)
            _to_disk(file)
        try:
            save_json(plan, {Path(names[path]).name: path.name for path in paths})
            paths[-1].unlink(missing_ok=True)  # from here on no room is needed
            for path in paths:
                _rename(names[path], path)
        except BaseException as exc:
            _put_in_place(plan)
            if isinstance(exc, OSError) and exc.filename == str(plan):
                exc.filename = str(paths[-1])
            raise
        finally:
            with contextlib.suppress(OSError):
                plan.unlink()


def is_there(path: Path) -> bool:
    """Whether there is a file at ``path``, once what a killed process was about to put there is in place."""
    path = Path(path)
    for plan in _left_behind(path.parent, PLANS):
        _put_in_place(plan)
    return path.is_file()


def _put_in_place(plan: Path) -> None:
    """Do what is left of a plan of ``save_together``; where nothing can be written, nothing is done."""
    with contextlib.suppress(OSError, UserError, ValueError):
        content = parse_json(read_file(plan))
        for name, final in content.items() if isinstance(content, dict) else ():
            _rename(plan.with_name(Path(name).name), plan.with_name(Path(str(final)).name))
        plan.unlink()


def _rename(name, path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process has done it
        os.replace(name, path)


def size_text(size: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def require_disk(path: Path, size: int, fix: str | None = None) -> None:
    """``UserError`` if ``size`` bytes for a file at ``path`` are more than is free there; makes its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    disk = os.statvfs(path.parent)
    if size > (free := disk.f_bavail * disk.f_frsize):
        told = f"{relative(path)} would take {size_text(size)}, more than the {size_text(free)} free on its disk"
        raise UserError(told, fix)


def free_memory() -> int:
    """Bytes that can be had without writing others to disk; what the machine has where it does not say."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        if found := re.search(r"^MemAvailable: +(\d+) kB", text, re.MULTILINE):
            return 1024 * int(found[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require_memory(size: float, what: str, fix: str | None = None) -> None:
    """``UserError`` if the arrays of ``what`` are more than memory holds, before any is made."""
    if size > (free := free_memory()):
        told = f"{what} would take {size_text(size)} of memory, more than the {size_text(free)} there are"
        raise UserError(told, fix)


def save_text(path: Path, text: str) -> None:
    save_bytes(path, text.encode())


def save_json(path: Path, content: dict) -> None:
    """Write ``content`` as JSON; NaN and infinity are refused (``ValueError``)."""
    save_text(path, json_text(content))


def save_bytes(path: Path, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)


def plain(value):
    """JSON-ready copy: numpy scalars and arrays, paths, tuples and dataclasses become plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
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


def json_text(content) -> str:
    """``content`` as our JSON files hold it; ``ValueError`` for NaN and infinity."""
    return json.dumps(plain(content), indent=1, allow_nan=False) + "\n"


def parse_json(text: str | bytes):
    """The value of a JSON text; ``ValueError`` also for numbers that are not finite and for names given twice."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list) -> dict:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(n for n in names if names.count(n) > 1)}' is given twice")
    return out


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no finite number")
    return value


def read_file(path: Path) -> bytes:
    """What a file holds; ``UserError`` at once for a pipe or a device, which might never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UserError(f"{relative(path)} is a pipe or a device, expected a file", "put a file there")
        return file.read()


def load_json(path: Path, fix: str | None = None) -> dict:
    path = Path(path)
    is_there(path)
    try:
        content = parse_json(read_file(path))
    except FileNotFoundError:
        raise UserError(f"{relative(path)} does not exist", fix) from None
    except ValueError as exc:
        why = f"half-written or edited by hand? {str(exc)[:80]}"
        raise UserError(f"{relative(path)} is not valid JSON ({why})", fix) from None
    if not isinstance(content, dict):
        raise UserError(f"{relative(path)} holds a JSON {type(content).__name__}, expected an object", fix)
    return content
