"""Folders of the hand-off files, and paths as the user would type them."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATASETS = Path(os.environ.get("DISTILL_DATASETS", ROOT / "datasets"))
MODEL_WEIGHTS = Path(os.environ.get("DISTILL_MODEL_WEIGHTS", ROOT / "model_weights"))
OUTPUTS = Path(os.environ.get("DISTILL_OUTPUTS", ROOT / "outputs"))


def relative(path) -> str:
    """``path`` as the user would type it: relative to the working directory where it lies below."""
    parent, name = os.path.split(os.path.abspath(path))
    path = Path(os.path.realpath(parent), name)  # a link is called by its own name, also one that leads nowhere
    for base in (Path.cwd(), ROOT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)
