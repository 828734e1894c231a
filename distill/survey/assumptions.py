"""What the data say against the assumptions that laws and recipes make: central, reciprocal, free of velocities, alike
everywhere and at all times, a sum over pairs.
"""

import numpy as np

from distill.files.dataset import Dataset
from distill.law.remains.clues import OF_A_SOURCE, OF_MANY, OF_PLACE, OF_TIME, OF_TRIANGLES, OF_VELOCITY, SIDEWAYS
from distill.law.remains.scene import Scene
from distill.physics import terms
from distill.physics.terms import State
from distill.splines.blocks import TIME, NodeBlock
from distill.splines.pair_spline import PairSpline
from distill.survey.fit import WITHIN, follows, summed
from distill.windows.of_dataset import common_windows, positions_alone

CANCELS = 0.01  # sum of the forces over all particles, over that of their sizes: masses are given in a few digits
UNTOLD = 0.2  # the same, made by noise: from there on it shows nothing
ONE_SIDED = 0.03  # median |F_ij + F_ji| over |F_ij| + |F_ji| of curves: from there on they differ
MATTERS = 2e-3  # of an acceleration: what follows something and is less may be what splines are too coarse for
ASSUMPTIONS = ("central", "reciprocal", "velocity-free", "homogeneous", "stationary", "superposing")
BREAKS = {  # what a term does to them
    "relative_velocity": ("velocity-free", "central"),
    "approach": ("velocity-free",),
    "transverse": ("central",),
    "drag": ("velocity-free",),
    "drag_per_mass": ("velocity-free",),
    "magnetic": ("velocity-free",),
    "field": ("homogeneous",),
    "central": ("homogeneous",),
}
CLUES = {  # what is left that follows this speaks against that
    OF_PLACE: "homogeneous",
    OF_A_SOURCE: "homogeneous",
    OF_VELOCITY: "velocity-free",
    OF_TIME: "stationary",
    SIDEWAYS: "central",
    OF_MANY: "superposing",
    OF_TRIANGLES: "superposing",
}


def assumptions(fit: PairSpline, edges: dict, told: dict) -> dict[str, dict]:
    """Each of ``ASSUMPTIONS`` -> ``holds`` and ``why`` not: terms that the data need, and what follows something that
    no term tells. ``told``: of ``left_over`` and ``momentum``.
    """
    against: dict[str, list[str]] = {name: [] for name in ASSUMPTIONS}
    for term in [*fit.node_values, *(one.block.term for one in fit.further)]:
        for broken in BREAKS.get(term, ()):
            against[broken].append(term.replace("_", " "))
    against["stationary"] += [one.block.name for one in fit.further if one.block.over == TIME]
    if (apart := fit.one_sided(edges)) > ONE_SIDED:
        against["reciprocal"].append(f"|F_ij + F_ji| is {apart:.2g} of |F_ij| + |F_ji| (median)")
    elif told["action_is_reaction"] is False:
        against["reciprocal"].append("the forces of a frame do not add up to zero")
    for clue, name in CLUES.items():
        test = told["clues"].get(clue)
        if test and follows(test) and np.sqrt(test["r2"]) * told["left"] > MATTERS:
            against[name].append(f"what is left follows {clue}")
    return {name: {"holds": not why, "why": why} for name, why in against.items()}


def momentum(data: Dataset, fit: PairSpline, held: Scene, found: np.ndarray, told: dict) -> dict:
    """``third_law``: size of the sum of all forces on the particles of a frame over the sum of their sizes (medians),
    node terms taken off; ``third_law_noise``: what noise alone would make of it: that of the positions, or all that is
    left of measured accelerations unless it lasts (``told``, of ``left_over``). Both None where no frame has all
    particles, or fields act on windows. ``action_is_reaction``: None where noise hides it, where no force is found, or
    particles are held.
    """
    outside = any(isinstance(one.block, NodeBlock) for one in fit.further)
    if outside and positions_alone(data):
        third_law, noise = None, None
    elif positions_alone(data):
        third_law, noise = _of_windows(data, fit, held)
    else:
        third_law, noise = _of_frames(fit, held, found, told)
    holds = None
    if third_law is not None and told["finds_force"] and not data.meta.system.held:
        holds = third_law <= max(CANCELS, WITHIN * noise)
        holds = None if holds and noise > UNTOLD else holds
    return {"third_law": third_law, "third_law_noise": noise, "action_is_reaction": holds}


def _of_windows(data: Dataset, fit: PairSpline, held: Scene) -> tuple[float | None, float | None]:
    of = common_windows(data, np.unique(held.trajectory))
    if not len(of):
        return None, None
    own = {name: v[of.trajectory, of.particle].astype(float) for name, v in data.properties.items()}
    force = own["mass"][:, None] * of.target - terms.force(fit.node_values, State(of.mean(data.vel), own))
    _, group = np.unique(of.trajectory.astype(np.int64) * data.pos.shape[1] + of.start, return_inverse=True)
    whole = np.stack([np.bincount(group, column) for column in force.T], 1)
    made = np.bincount(group, force.shape[1] * (own["mass"] * of.noise) ** 2)
    sizes = np.bincount(group, np.linalg.norm(force, axis=1))
    return _shares(np.linalg.norm(whole, axis=1), np.sqrt(made), sizes)


def _shares(whole: np.ndarray, noise: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Medians of the first two over that of the third: some frames in which a place is wrong must not decide."""
    size = float(np.median(sizes)) or 1.0
    return float(np.median(whole)) / size, float(np.median(noise)) / size


def _of_frames(fit: PairSpline, held: Scene, found: np.ndarray, told: dict) -> tuple:
    force = held.state.mass[:, None] * held.acc - terms.force(fit.node_values, held.state)
    force = force - sum(summed(one, held) for one in fit.further if isinstance(one.block, NodeBlock))
    left = held.state.mass[:, None] * (held.acc - found)
    there = held.acc.any(1).reshape(-1, held.shape[2]).all(1)
    if not there.any():
        return None, None
    whole, noise = (v.reshape(-1, held.shape[2], v.shape[1])[there] for v in (force, left))
    made = np.sqrt((noise**2).sum((1, 2))) * (not (told["lasts"] and told["lasts"]["lasts"]))
    return _shares(np.linalg.norm(whole.sum(1), axis=1), made, np.linalg.norm(whole, axis=2).sum(1))
