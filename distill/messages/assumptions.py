"""What a central, velocity-free pair law leaves out, asked of the read-out force itself.

The law searched is f(r, m, q, ...) along the line of centres. Whether the messages carry more than that is decided
by held-out trajectories: gradient-boosted trees (scikit-learn) predict the sideways part of the force, and the
radial part with and without velocities. Only what can be predicted counts, not a network's scatter.
"""

import numpy as np

from distill.files.properties import of_edges
from distill.messages.read_out import centrality
from distill.physics.terms import direction
from distill.statistics import trees
from distill.statistics.metrics import typical_size

ROWS = 8000
NOTICED = 0.01  # of the squared force, each weighted by 1/(c + |F|): less is a network's own error
SIDEWAYS, MOVING = "sideways_share", "velocity_share"


def leftover(force: np.ndarray, messages: dict, seed: int = 0) -> dict:
    """``force`` [edge, dim] from the read-out, ``messages`` as in a messages file. JSON-ready:

    ``sideways_share``: share of the squared force that is across the line of centres and predictable from r,
    properties of both ends and velocities; ``velocity_share``: share of the variance of the radial force that only
    velocities predict; ``tangential_share`` and ``tangential_median`` of ``read_out.centrality``;
    ``central``, ``velocity_free``: each share below ``NOTICED``; ``text``: both in a sentence.
    """
    whole = centrality(force, messages["dx"], messages["r"])
    rng = np.random.default_rng([seed, 53])
    pick = rng.permutation(len(force))[:ROWS]
    wanted = (k for k, v in messages.items() if k not in ("active", "message", "logvar") and hasattr(v, "astype"))
    part = {k: messages[k][pick].astype(float) for k in wanted}
    trajectory = messages["trajectory"][pick]
    held = trees.some_groups(trajectory, rng, len(np.unique(trajectory)) // 4)
    still, moving, ways = _features(part)
    F = force[pick]
    weight = 1 / (typical_size(np.linalg.norm(F, axis=1)) + np.linalg.norm(F, axis=1))
    energy = float(((weight[:, None] * F) ** 2).sum(1)[held].mean()) or 1.0
    sideways = 0.0
    if held.any() and not held.all():
        for way in ways:
            y = weight * (F * way).sum(1)
            left = _held_out_error(np.hstack([still, moving]), y, held, seed)
            sideways += max(float((y[held] ** 2).mean()) - left, 0.0)
        f = whole["radial"][pick]
        y = f / (typical_size(f) + np.abs(f))  # by its own size: |F| may itself depend on velocities
        variance = float(y[held].var()) or 1.0
        gain = _held_out_error(still, y, held, seed) - _held_out_error(np.hstack([still, moving]), y, held, seed)
    else:
        variance, gain = 1.0, 0.0
    out = {SIDEWAYS: sideways / energy, MOVING: max(gain, 0.0) / variance}
    out |= {k: whole[k] for k in ("tangential_share", "tangential_median")}
    out |= {"central": out[SIDEWAYS] < NOTICED, "velocity_free": out[MOVING] < NOTICED, "n_edges": len(pick)}
    return out | {"text": _sentence(out)}


def _features(part):
    """(features of a pair at rest [edge, ...], its velocities [edge, 2], unit vectors across the line)."""
    unit = direction(part["dx"], part["r"])
    v = part["vel_i"] - part["vel_j"]
    along = (v * unit).sum(1)
    across = v - along[:, None] * unit
    speed = np.linalg.norm(across, axis=1)
    still = np.column_stack(list(of_edges(part).values()))
    if unit.shape[1] == 1:
        return still, along[:, None], []
    if unit.shape[1] == 2:  # a fixed turn, so that a swirl without velocities shows as well
        way = np.column_stack([-unit[:, 1], unit[:, 0]])
        return still, np.column_stack([along, (v * way).sum(1)]), [way]
    way = across / np.where(speed > 0, speed, 1.0)[:, None]
    return still, np.column_stack([along, speed]), [way, np.cross(unit, way)]


def _held_out_error(X, y, held, seed) -> float:
    """Mean squared error of boosted trees on the held-out rows."""
    return float(((trees.predicted(X, y, held, seed, 150) - y[held]) ** 2).mean())


def _sentence(out) -> str:
    share = lambda key: f"{100 * out[key]:.2g} %"  # noqa: E731
    central, how = ("central", "is predictable") if out["central"] else ("NOT central", "acts")
    first = f"{central}: {share(SIDEWAYS)} of the squared force {how} across the line of centres"
    free = "free" if out["velocity_free"] else "NOT free"
    return f"{first}; {free} of velocities: they predict {share(MOVING)} of the radial force's variance"
