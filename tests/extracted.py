"""Messages of a network in memory, for the tests: all parts of an extraction put together."""

import numpy as np

from distill.messages.extraction import Extraction


def edges_of(model, dataset, trajectory, frame, batch=1024) -> dict:
    """Arrays of ``MESSAGE_FIELDS`` for the frames ``(trajectory[k], frame[k])``, ``batch`` graphs at a time."""
    extraction = Extraction(model, dataset)
    extraction.edges_at_once = batch * extraction.source.count([0])
    parts = list(extraction.parts(np.asarray(trajectory), np.asarray(frame)))
    assert sum(len(p["r"]) for p in parts) == extraction.edges(trajectory, frame)
    joined = {k: np.concatenate([p[k] for p in parts]) for k in parts[0] if k != "active"}
    return joined | {"active": parts[0]["active"]}
