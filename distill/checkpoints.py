"""Weights on disk: safetensors with a JSON header, never a pickle."""

import json
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes

from distill.cli import UserError, relative
from distill.formats import atomic, load_json, plain, run_dir
from models import GNN, ModelConfig


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


def load_run(run: str, device: str = "cpu") -> tuple[GNN, dict]:
    """The trained network of ``run`` in evaluation mode, and its ``config.json``."""
    folder = run_dir(run)
    fix = "train it again:  python train.py --overwrite"
    config = load_json(folder / "config.json", fix)
    try:
        model = GNN(ModelConfig(**config["model"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise UserError(f"{relative(folder / 'config.json')} does not describe a network ({exc})", fix) from None
    tensors, _ = load_tensors(folder / "model.safetensors", fix)
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise UserError(
                f"{relative(folder / 'model.safetensors')}: '{name}' is {found}, expected {tuple(tensor.shape)}"
                " from config.json",
                fix,
            )
        if not torch.isfinite(tensors[name]).all():
            raise UserError(f"{relative(folder / 'model.safetensors')}: '{name}' holds NaN or infinity", fix)
    model.load_state_dict({k: tensors[k] for k in expected})
    return model.to(device).eval(), config
