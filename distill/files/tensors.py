"""Tensors on disk: safetensors with a JSON header and a digest of both, never a pickle."""

import hashlib
import json
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, save

from distill.files.storage import atomic, parse_json, plain, read_file
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn


def digest_of(tensors: dict, text: str = "") -> str:
    """SHA-256 of the names, types, shapes and bytes of tensors, whatever their order, and of the header's text."""
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def tensor_bytes(tensors: dict, header: dict) -> tuple[bytes, str]:
    """The content of a file of named tensors with a JSON-able header, and the digest that stands in it."""
    ready = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    text = json.dumps(plain(header))
    digest = digest_of(ready, text)
    return _ordered(save(ready, {"json": text, "sha256": digest})), digest


def _ordered(content: bytes) -> bytes:
    """The same file with its header in one order: safetensors writes metadata in another one every time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def save_tensors(path: Path, tensors: dict, header: dict | None = None) -> None:
    """Write named tensors and a JSON-able header to one file, whole or not at all."""
    with atomic(path) as file:
        file.write(tensor_bytes(tensors, header or {})[0])


def load_tensors(path: Path, fix: str | None = None) -> tuple[dict, dict, str]:
    """``(tensors, header, digest)`` of a file; ``UserError`` if it is damaged.

    A file made elsewhere may have no digest: a warning says that nobody can tell whether it is whole.
    """
    path = Path(path)
    try:
        content = read_file(path)
        tensors = load(content)
        about = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
        text = about.get("json", "{}")
        header = parse_json(text)
    except FileNotFoundError:
        raise UserError(f"{relative(path)} does not exist", fix) from None
    except (safetensors.SafetensorError, ValueError) as exc:
        raise UserError(f"{relative(path)} is damaged or half-written ({str(exc)[:80]})", fix) from None
    digest = digest_of(tensors, text)
    if not isinstance(header, dict):
        raise UserError(f"{relative(path)} has a header that is no JSON object", fix)
    if "sha256" not in about:
        warn(f"{relative(path)} holds no digest of its tensors: whether they are those once written is not known")
    elif about["sha256"] != digest:
        raise UserError(f"{relative(path)} is damaged: its tensors are not those of the digest in its header", fix)
    return tensors, header, digest
