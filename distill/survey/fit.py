"""Splines of everything that acts, as far as the data want it, without a network or a formula: what a look shows and
what a law without a network is searched in.

Central forces and constant node terms are fitted first. What they leave on trajectories left out decides whether more
is asked for: functions of the properties that are no products, and every other term of a law.
"""

from math import gamma

import numpy as np
import sympy as sp

from distill.files.dataset import Dataset
from distill.law.remains import residuals, scene
from distill.law.remains.clues import OF_MANY, OF_PAIRS, OF_TRIANGLES
from distill.law.remains.scene import Scene
from distill.messages.net_forces import Nodes
from distill.physics import terms
from distill.physics.law import Law
from distill.splines.dependence import ANY, FREE, GIVEN
from distill.splines.fit import fit_pair_force
from distill.splines.known import Known
from distill.splines.pair_spline import Further, PairSpline
from distill.splines.selection import ENOUGH
from distill.statistics.metrics import typical_size

WITHIN = 2.0  # times what noise makes: no more than that
SMALL = 0.01  # held-out error that needs no more functions
FINDS = 0.95  # held-out error over that of predicting zero: above, no force is found


def unseen(data: Dataset, seed: int = 0, test: bool = True) -> Scene:
    """Stretches of the trajectories left out, those of the test split among them with ``test``."""
    cutoff = float(data.cutoff) if "cutoff" in data.arrays else None
    law = Law(sp.Integer(0), {}, data.meta.system.neighbours_only, cutoff, tuple(data.properties))
    return scene.of_dataset(data, law, seed, test)


def all_that_acts(
    edges: dict, nodes: Nodes, held: Scene, seed: int = 0, quick: bool = False, known: Known | None = None
) -> tuple:
    """(``PairSpline``, accelerations by it on ``held`` [row, dim], what they leave there: ``left_over``). ``edges``
    have a ``motion`` where more than central forces may be found. What is ``known`` to act beside them is taken up
    unasked.
    """
    if known and not quick and "motion" in edges:
        fit = fit_pair_force(edges, nodes, seed, (GIVEN, ANY), known=known)
        return fit, (found := accelerations(fit, held)), left_over(held, found)
    fit = fit_pair_force(edges, nodes, seed, (GIVEN,))
    told = left_over(held, found := accelerations(fit, held))
    missed = fit.error > WITHIN * max(SMALL, noise_share(edges, nodes))
    follow = told["left"] > ENOUGH and any(map(follows, told["clues"].values()))  # below, no term would be kept
    if not quick and (missed or follow):
        beside = acts_beside(told["clues"])
        kinds = (GIVEN, ANY) if beside else (GIVEN, FREE, ANY)
        more = fit_pair_force(edges, nodes, seed, kinds if "motion" in edges else (GIVEN, FREE))
        if more.about["dependence"] != GIVEN:
            fit = more
            told = left_over(held, found := accelerations(fit, held))
    return fit, found, told


def noise_share(edges: dict, nodes) -> float:
    """What noise makes of a target, over c + |a| (mean); 0 where it is not known."""
    if "acc_noise" not in edges:
        return 0.0
    size = np.linalg.norm(edges["acc_i"][nodes.first], axis=1)
    noise = np.sqrt(edges["acc_i"].shape[1]) * edges["acc_noise"][nodes.first]
    return float(np.mean(noise / (typical_size(size) + size)))


def acts_beside(clues: dict) -> bool:
    """Whether what is left follows something that no central force knows more than distances and properties: then it
    is not for lack of functions of these that splines miss it.
    """
    sure = {name: test["r2"] for name, test in clues.items() if follows(test)}
    return bool(sure) and max(sure, key=sure.get) not in (OF_PAIRS, OF_MANY, OF_TRIANGLES)


def follows(test: dict) -> bool:
    return test["z"] >= residuals.SIGNIFICANT and test["r2"] >= residuals.MATERIAL


def summed(one: Further, held: Scene) -> np.ndarray:
    """Forces of a further term [row, dim]."""
    return one.force_on(held.seen, held.receiver, len(held.acc))


def accelerations(fit: PairSpline, held: Scene) -> np.ndarray:
    """By the splines [row, dim]."""
    pairs = held.sum(fit.radial_of(held.features)[:, None] * held.unit)
    pairs = pairs + sum(summed(one, held) for one in fit.further)
    return (pairs + terms.force(fit.node_values, held.state)) / held.state.mass[:, None]


def left_over(held: Scene, found: np.ndarray) -> dict:
    """How much the splines leave of the accelerations on trajectories that they were not fitted to, and what of that
    can be foretold (``law.remains.residuals``): ``left`` and ``left_by_noise``, ``clues`` name -> (z, r2), ``lasts``;
    ``error`` of the splines and of predicting ``zero``, relative to c + |a|, and whether the splines foretell anything
    (``finds_force``).
    """
    size = np.linalg.norm(found, axis=1)
    weight = 1 / (typical_size(np.linalg.norm(held.acc, axis=1)) + size)
    left = (held.acc - found) * weight[:, None]
    there = held.acc.any(1)
    out = {"left": _mean(np.linalg.norm(left[there], axis=1)), "left_by_noise": None}
    if held.noise is not None:
        dim = held.acc.shape[1]
        mean = np.sqrt(2) * gamma((dim + 1) / 2) / gamma(dim / 2)  # length of a vector of standard normal numbers
        out["left_by_noise"] = _mean(mean * held.noise[there] * weight[there])
    size = np.linalg.norm(held.acc[there], axis=1)
    relative_to = typical_size(size) + size if len(size) else size
    out["error"] = _mean(np.linalg.norm((held.acc - found)[there], axis=1) / relative_to)
    out["zero"] = _mean(size / relative_to)
    out["finds_force"] = out["error"] < FINDS * out["zero"]
    bar = np.quantile(np.abs(left), residuals.CLIPPED)
    u = np.clip(left, -bar, bar)
    ratio, more = residuals.over_noise(held, held.acc - found)
    out |= {"over_noise": ratio, "text": ""}
    if out["left"] < residuals.NOTHING or not u.any():
        return out | {"clues": {}, "lasts": None}
    clues = residuals.following(held, u, weight, found)
    out |= {"clues": clues, "lasts": residuals.lasting(u.reshape(*held.shape, -1))}
    return out | {"text": residuals.told_of_left(out["left"], clues, out["lasts"], ratio if more else None)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
