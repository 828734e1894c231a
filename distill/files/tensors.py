"""Tensors on disk: safetensors with a JSON header, never a pickle."""

import json
from pathlib import Path

import safetensors
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes

from distill.files.storage import atomic, plain
from distill.shell.errors import UserError
from distill.shell.paths import relative


def save_tensors(path: Path, tensors: dict, header: dict | None = None) -> None:
    """Write named tensors and a JSON-able header to one file, whole or not at all."""
    ready = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    with atomic(path) as file:
        file.write(save_bytes(ready, {"json": json.dumps(plain(header or {}))}))


def load_tensors(path: Path, fix: str | None = None) -> tuple[dict, dict]:
    """``(tensors, header)`` of a file written by ``save_tensors``; ``UserError`` if damaged."""
    path = Path(path)
    try:
        tensors = load_bytes(path.read_bytes())
        with safetensors.safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("json", "{}"))
    except FileNotFoundError:
        raise UserError(f"{relative(path)} does not exist", fix) from None
    except (safetensors.SafetensorError, ValueError) as exc:
        raise UserError(f"{relative(path)} is damaged or half-written ({str(exc)[:80]})", fix) from None
    return tensors, header
