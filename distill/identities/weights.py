"""How much each receiver counts in a fit of unknown values, and each body."""

from dataclasses import replace

import numpy as np

from distill.identities.bilinear import Problem, Values
from distill.identities.choice import Chosen
from distill.identities.pairs import CHUNK
from distill.splines.normal_equations import Table
from distill.splines.selection import EXACT, HUBER
from distill.statistics.metrics import typical_size
from distill.windows.unresolved import resolved

LEAST = 1e-20  # of a mean squared residual: below is rounding
RANGE = 100.0  # of the weights of bodies


def weights(data: Table, told: np.ndarray | None = None) -> np.ndarray:
    """Of squared residuals [receiver]: relative to the size of the acceleration and to what is typical of that body,
    and less where noise is known to be large. ``told`` [receiver, dim]: accelerations by a first fit. Where there is
    noise their size counts: that of what was measured would give noise that adds to it less weight than noise that
    takes from it, which makes all forces too small.
    """
    size = np.linalg.norm(data.target, axis=1)
    if told is not None:
        size = np.where(data.noise > 0, np.linalg.norm(told, axis=1), size)
    own = np.zeros(data.who.count)
    for identity in np.unique(data.who.receiver):
        own[identity] = typical_size(size[data.who.receiver == identity])
    size = size + np.where(own > 0, own, typical_size(size))[data.who.receiver]
    weight = 1 / (size**2 + data.dim * data.noise**2)
    if told is None or not data.noise.any():
        return weight
    return limited(weight, np.linalg.norm(data.target - told, axis=1))


def limited(weight: np.ndarray, left: np.ndarray) -> np.ndarray:
    """``weight`` [receiver] of squared residuals of the sizes ``left``, less for those that are far off: of windows in
    which others pass closely errors of places make any acceleration, and a few of these would outweigh all others.
    """
    error = np.sqrt(weight) * left
    limit = HUBER * max(float(np.median(error[weight > 0])), EXACT)
    return weight * np.minimum(1.0, limit / np.maximum(error, 1e-300))


def by_a_first(chosen: Chosen, data: Table, between: Table | None) -> tuple[Table, np.ndarray | None]:
    """(the data with what frames miss of the accelerations by the choice as noise beside that of positions, without
    bound where that is more than may be (``windows.unresolved``: a few such windows would outweigh all others); these
    accelerations [receiver, dim]; None where there is no noise). ``between``: the data with the weights of
    ``windows.unresolved``; None: nothing is missed.
    """
    if between is None and not data.noise.any():
        return data, None
    told = predicted(chosen.problem, chosen.values, data)
    if between is not None:
        missed = np.sqrt((predicted(chosen.problem, chosen.values, between) ** 2).mean(1))
        there = resolved(missed, data.noise, np.linalg.norm(told, axis=1))
        noise = np.hypot(data.noise, missed)
        data = replace(data, noise=np.where(there, noise, np.inf) if there.mean() > 0.5 else noise)
    return data, told


def predicted(problem: Problem, v: Values, data: Table) -> np.ndarray:
    """Targets by a fit [receiver, dim], of data that may know more receivers and more pairs: those pull nowhere."""
    out = np.zeros_like(data.target)
    for number, one in enumerate(problem.pairs.receivers):
        index, c = np.flatnonzero(data.who.receiver == one.identity), problem.coefficients(v, number)
        for part in np.split(index, range(CHUNK, len(index), CHUNK)) if len(index) else ():
            out[part] = problem.pairs.basis.columns(data.of(part), one.partners) @ c
    return out


def of_bodies(chosen: Chosen) -> np.ndarray:
    """Weight [identity] of each body's squared residuals by how large they are, within limits: a body whose motion is
    told badly must not decide what the others' values are.
    """
    cost = np.maximum(chosen.problem.costs(chosen.values), LEAST)
    middle = float(np.median(cost))
    return middle / np.clip(cost, middle / RANGE, middle * RANGE)
