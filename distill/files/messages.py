"""Messages: ``outputs/<run>/messages_<split>.npz`` with the JSON beside it, see ``fields.MESSAGE_FIELDS``."""

from pathlib import Path

import numpy as np

from distill.files import records
from distill.files.arrays import load_npz
from distill.files.fields import MESSAGE_FIELDS, ends_of
from distill.files.kinds import MessagesRecord
from distill.files.names import run_dir
from distill.files.provenance import sha256
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn

MOST_EDGES = 1_500_000  # of a messages file in memory at once: 0.8 GB with 100 components in 2-D


def load_messages(path: Path, run: str, most: int = MOST_EDGES) -> tuple[dict, MessagesRecord]:
    """``(arrays, meta)`` of a messages file of ``run``; ``UserError`` if missing, damaged or of another run.

    Of a file with more than ``most`` edges, whole graphs drawn at random (always the same) with at most so many
    edges together are read, with a warning; ``meta.graphs`` is the number of graphs read.
    """
    path = Path(path)
    fix = MessagesRecord.fix(path)
    meta = records.load(MessagesRecord, path.with_suffix(".json"), fix)
    fields = MESSAGE_FIELDS | ends_of(meta.properties)
    arrays = load_npz(path, fields, "messages", fix, lambda file: _some_graphs(file, most))
    if meta.run != run:
        raise UserError(f"{relative(path)} holds messages of run '{meta.run}', expected '{run}'", fix)
    config = run_dir(run) / "config.json"
    if meta.digest_of("config") != sha256(config):
        raise UserError(
            f"{relative(path)} is older than the run: '{run}' has been trained again since",
            f"python extract_messages.py --run {run} --overwrite",
        )
    if len(arrays["r"]) < 10:
        raise UserError(f"{relative(path)} holds {len(arrays['r'])} edges, expected at least 10", fix)
    if len(arrays["r"]) < meta.edges:
        read = len(np.unique(np.stack([arrays[k] for k in ("trajectory", "frame")]), axis=1).T)
        warn(f"{relative(path)} holds {meta.graphs} graphs; {read} of them, drawn at random, are used")
        meta.graphs = read
    return arrays, meta


def _some_graphs(file, most: int) -> tuple[str, np.ndarray] | None:
    """``load_npz``'s draw of whole graphs with at most ``most`` edges together (but one graph at least)."""
    trajectory, frame = file["trajectory"], file["frame"]
    if len(trajectory) <= most or trajectory.ndim != 1 or trajectory.shape != frame.shape:
        return None  # all of it, or nothing that can be right: the checks will say what is wrong
    graph = trajectory.astype(np.int64) * (int(frame.max()) + 1) + frame
    _, number, edges = np.unique(graph, return_inverse=True, return_counts=True)
    order = np.random.default_rng(20061128).permutation(len(edges))
    chosen = np.zeros(len(edges), dtype=bool)
    chosen[order[: max(1, np.searchsorted(np.cumsum(edges[order]), most, "right"))]] = True
    return "edge", chosen[number]
