"""Does a law leave anything behind that could still be predicted? A test that needs no truth.

What a right law leaves of the accelerations is measurement noise: nothing predicts it. A wrong exponent may
predict accelerations as well as a network and still leaves errors that follow the distance to the nearest
particle. Boosted trees (scikit-learn) look for that on trajectories left out.
"""

import numpy as np

from distill.files.properties import property_named
from distill.law.receivers import Receivers
from distill.physics.law import Law
from distill.statistics import trees
from distill.statistics.metrics import typical_size

STRUCTURE = 0.05  # held-out R^2 from which the residuals are said to have structure
ROUNDING = 1e-6  # mean relative error below which there is nothing left to predict


def structure(law: Law, data: Receivers, seed: int = 0) -> dict:
    """``r2_held_out`` of the residual along the line to the nearest particle, predicted from distances and
    properties of the two nearest; ``left``: mean |a - a_law| / (c + |a|); ``structured``; ``text``. JSON-ready.
    """
    size = np.linalg.norm(data.acc, axis=1)
    with np.errstate(all="ignore"):
        residual = (data.acc - law_acceleration(law, data)) / (typical_size(size) + size)[:, None]
    left = float(np.mean(np.linalg.norm(residual, axis=1))) if np.isfinite(residual).all() else None

    def told(r2, structured, text):
        return {"r2_held_out": r2, "left": left, "structured": structured, "n": len(size), "text": text}

    if left is None:
        return told(None, True, "the law is not finite everywhere")
    if left < ROUNDING:
        return told(0.0, False, f"the law leaves nothing: {left:.1g} of the accelerations is rounding")
    X, nearest = _neighbours(data)
    y = (residual * data.unit[nearest]).sum(1)
    y = np.clip(y, *np.quantile(y, [0.01, 0.99]))  # a few close encounters must not decide
    count = len(np.unique(data.trajectory)) // 3
    held = trees.some_groups(data.trajectory, np.random.default_rng([seed, 59]), count)
    r2 = _held_out_r2(X, y, held, seed)
    found = bool(r2 >= STRUCTURE)
    what = "is predictable: the law is incomplete" if found else "looks like noise"
    return told(
        r2, found, f"what the law leaves ({100 * left:.2g} % of the accelerations) {what} (held-out R2 {r2:.2f})"
    )


def law_acceleration(law: Law, data: Receivers) -> np.ndarray:
    """The law's accelerations [receiver, dim]."""
    f = law.radial(**data.features)
    pair = np.add.reduceat(f[:, None] * data.unit, data.start, axis=0)
    return law.respond(pair, data.state)


def _neighbours(data: Receivers) -> tuple[np.ndarray, np.ndarray]:
    """(features [receiver, ...] of the two nearest senders and of the receiver, edge of the nearest [receiver])."""
    f, count = data.features, np.diff(np.r_[data.start, len(data.unit)])
    order = np.lexsort((f["r"], np.repeat(np.arange(len(count)), count)))
    first, second = order[data.start], order[data.start + np.minimum(1, count - 1)]
    both = [property_named(name).variables for name in data.state.properties]
    columns = [f[own][first] for own, _ in both]
    for edge in (first, second):
        columns += [f["r"][edge], *(f[other][edge] for _, other in both)]
    return np.column_stack([*columns, (data.unit[first] * data.unit[second]).sum(1)]), first


def _held_out_r2(X, y, held, seed) -> float:
    if held.all() or not held.any():
        return 0.0
    wrong = trees.predicted(X, y, held, seed, 100) - y[held]
    total = float(((y[held] - y[~held].mean()) ** 2).sum())
    return float(1 - (wrong**2).sum() / total) if total > 0 else 0.0
