"""Folders of the hand-off files, and paths as the user would type them."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATASETS = Path(os.environ.get("DISTILL_DATASETS", ROOT / "datasets"))
MODEL_WEIGHTS = Path(os.environ.get("DISTILL_MODEL_WEIGHTS", ROOT / "model_weights"))
OUTPUTS = Path(os.environ.get("DISTILL_OUTPUTS", ROOT / "outputs"))


def relative(path) -> str:
    """``path`` as the user would type it: relative to the working directory where it lies below."""
    path = Path(path).resolve()
    for base in (Path.cwd(), ROOT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)
