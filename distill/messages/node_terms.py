"""Node terms (drag, uniform fields) fitted to what pair forces leave of the accelerations."""

import numpy as np

from distill.physics.law import node_term
from distill.statistics.metrics import typical_size


def _node_design(vel, mass, terms) -> np.ndarray:
    """Accelerations by the node terms [receiver x dim, parameter]: a column for a drag, one an axis for a field."""
    columns = []
    for name in terms:
        value = np.broadcast_to(node_term(name, vel, mass) / mass[:, None], vel.shape)
        for axis in [np.ones(vel.shape[1])] if name.startswith("drag") else np.eye(vel.shape[1]):
            columns.append((value * axis).reshape(-1))
    return np.stack(columns, 1)


def fit_terms(left, size, vel, mass, terms) -> dict:
    """Values of node terms that explain the accelerations ``left`` over: a number for a drag, a vector [dim] for
    a field.

    ``left``, ``vel`` [receiver, dim], ``mass`` [receiver]; ``size`` [receiver] is |a|, for relative weights.
    """
    if not terms:
        return {}
    dim = left.shape[1]
    weights = np.repeat(1 / (typical_size(size) + size), dim)
    y, design = weights * left.reshape(-1), weights[:, None] * _node_design(vel, mass, terms)
    error = np.ones_like(y)
    for _ in range(8):  # towards least absolute deviations: a few close encounters must not decide
        root = 1 / np.sqrt(error)
        found = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        error = np.maximum(np.abs(y - design @ found), 1e-9)
    out, at = {}, 0
    for name in terms:
        width = 1 if name.startswith("drag") else dim
        values = found[at : at + width]
        out[name], at = (float(values[0]) if width == 1 else values.copy()), at + width
    return out
