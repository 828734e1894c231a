"""Where a file came from: arguments, inputs with digests, commit, versions, machine; and whether it is up to date."""

import contextlib
import functools
import hashlib
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from distill.files.kinds import format_of, kinds_of
from distill.files.records import Record, Wrong, build, edited, is_whole
from distill.files.storage import is_there, load_json, parse_json, plain
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.paths import relative

SETTLED = 2.0  # seconds after which a file that is written once more has another time


def sha256(path: Path) -> str:
    """Of a file, read once: several checks of a stage ask for that of the same gigabyte."""
    about = os.stat(path)
    if time.time() - max(about.st_mtime, about.st_ctime) < SETTLED:
        return _sha256(path)
    return _known_sha256(path, about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return sha256_of(file)


@functools.lru_cache(maxsize=256)
def _known_sha256(path: Path, *which) -> str:
    return _sha256(path)


def sha256_of(file: BinaryIO) -> str:
    """Of all that an open file holds; it is left at its end."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(1 << 22):
        digest.update(block)
    return digest.hexdigest()


def digested(path: Path) -> bool:
    """Whether a file, or the JSON beside its arrays, holds a digest of its content: one that was made elsewhere, or by
    a former version, has none.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            return load_json(path.with_suffix(".json")).get("arrays_sha256") is not None
        if path.suffix == ".json":
            return load_json(path).get("content_sha256") is not None
        if path.suffix == ".safetensors":
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                return size < MOST_HEADER and "sha256" in parse_json(file.read(size)).get("__metadata__", {})
    except (UserError, OSError, ValueError, AttributeError):
        pass
    return False


MOST_HEADER = 100_000_000  # bytes of a safetensors file's, as its own library allows


def provenance(stage: str, arguments: dict, inputs: dict, seconds: float, device: str = "cpu") -> dict:
    """Where a file came from: goes first into every JSON. ``inputs``: name -> path."""
    return plain(
        {
            "stage": stage,
            "format": format_of(stage),
            "arguments": arguments,
            "inputs": {
                k: {"path": relative(p), "sha256": sha256(p), "digested": digested(p)} for k, p in inputs.items()
            },
            "git": _git(),
            "python": platform.python_version(),
            "versions": _versions(),
            "device": device,
            "machine": platform.machine(),
            "seconds": round(seconds, 2),
            "quick": bool(arguments.get("quick", False)),
        }
    )


# What no measurement depends on: what they write into the repository, texts, tests, and what makes pages of results.
# Changes of it do not make the code of the next measurement another. What measures faults lies in tests/, and is code.
TEXTS = ("results", "docs", "*.md", "CITATION.cff", "LICENSE", "notebooks")
CHECKS = ("tests/test_*.py", "conftest.py", ".ci", ".github", "Makefile", "requirements-test.txt")
PAGES = ("experiments/pages.py", "experiments/page_*.py", "experiments/*_parts.py", "experiments/frozen.*")
NOT_CODE = tuple(f":(exclude){name}" for name in (*TEXTS, *CHECKS, *PAGES))


def same_code(made: dict) -> bool:
    """Whether ``made``, the "git" of a provenance, is of the code as it is here: of this commit, or of one that differs
    in what measurements write alone, and nothing uncommitted then or now.
    """
    commit, now = made.get("commit"), _git()
    if not commit or made.get("dirty") is not False or now["dirty"] is not False:
        return False
    if commit == now["commit"]:
        return True
    try:
        return _ask("diff", "--quiet", commit, "HEAD", "--", ".", *NOT_CODE).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _ask(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, timeout=10)


def _git() -> dict:
    try:
        head = _ask("rev-parse", "HEAD")
        if head.returncode:
            return {"commit": None, "dirty": None}
        return {
            "commit": head.stdout.strip(),
            "dirty": bool(_ask("status", "--porcelain", "-uno", "--", ".", *NOT_CODE).stdout.strip()),
        }
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _versions() -> dict:
    names = ("numpy", "jax", "torch", "torch_geometric", "pysr", "pyoperon", "openmm", "sympy", "scipy")
    loaded = {n: n for n in names if n.split(".")[0] in sys.modules}
    found = {}
    for name in loaded:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _record(content: dict) -> Record | None:
    """What the ``content`` of a file that ends a stage is, if it is that."""
    for kind in kinds_of(content.get("stage")):
        with contextlib.suppress(Wrong):
            return build(kind, content)
    return None


IGNORED_ARGUMENTS = ("overwrite", "threads", "resume", "device", "wandb", "track", "stack", "capture")


def _flat(arguments: dict) -> dict:
    """Arguments that matter for the result, those of nested dictionaries among them."""
    nested = {k: v for name, inner in arguments.items() if isinstance(inner, dict) for k, v in inner.items()}
    own = {k: v for k, v in arguments.items() if not isinstance(v, dict) and k not in IGNORED_ARGUMENTS}
    return own | nested


def already_done(path: Path, arguments: dict, inputs: dict, overwrite: bool) -> bool:
    """True if ``path`` (a JSON that ends a stage) came from the same arguments and inputs.

    Raises ``UserError`` naming the first difference if it came from others and ``overwrite`` is off.
    """
    if overwrite or not is_there(path):
        return False
    try:
        old = load_json(path)
    except UserError:
        return False  # damaged: make it again
    if not is_whole(old, _record(old)):
        raise edited(path, "add --overwrite to replace it")
    wanted, had = _flat(plain(arguments)), _flat(old.get("arguments", {}))
    version = format_of(old.get("stage"))
    difference = [] if old.get("format") == version else [f"format was {old.get('format')!r}, now {version}"]
    difference += [f"{k} was {had.get(k)!r}, now {v!r}" for k, v in wanted.items() if had.get(k) != v]
    for name, source in inputs.items():
        if old.get("inputs", {}).get(name, {}).get("sha256") != sha256(source):
            difference.append(f"{relative(source)} has changed since")
    if difference:
        raise UserError(
            f"{relative(path)} exists and was made otherwise ({difference[0]})",
            "add --overwrite to replace it" + (", or --tag to keep both" if "tag" in arguments else ""),
        )
    return True
