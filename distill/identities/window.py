"""How long windows should be where only positions were observed, as ``survey.window_length`` with unknown values."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

import numpy as np

from distill.files.dataset import Dataset
from distill.identities.beside import with_what_acts_beside
from distill.identities.bilinear import Problem, Values, minimise
from distill.identities.choice import SMOOTH, Chosen, Hypothesis
from distill.identities.pairs import Basis, compress, most_partners
from distill.identities.weights import limited, predicted
from distill.messages.net_forces import nodes_of
from distill.network.edges import edges_of
from distill.shell.errors import UserError
from distill.splines.blocks import with_motion
from distill.splines.curves import envelope, space
from distill.splines.normal_equations import Table, table
from distill.splines.observations import edges_of_windows, pairs_of
from distill.statistics.metrics import typical_size
from distill.survey.window_length import LENGTHS, MOST

INTERVALS = 12
PAIRS = 600_000  # in the frames of the trajectories that are looked at, at most: with a third of these, a trap that
# every body of 15 may feel in its own way was not told from chance
EXACT = 1e-6  # of an acceleration: errors below do not matter beside noise
HELD = 0  # fold


def window_length(
    dataset: Dataset, hypotheses: list[Hypothesis], bodies: int, seed: int = 0
) -> tuple[int, dict[int, float]]:
    """(frames K, K -> score: mean of log(1 + squared error over what noise makes expected)). For every K values and
    curves are fitted to windows of K frames; on trajectories left out the accelerations so found are compared with
    windows of every length: those of bodies that are seen long enough for every K. Lengths so large that there are none
    of these are not asked.
    """
    frames, trajectories = dataset.pos.shape[1], dataset.trajectories("train")
    lengths = [k for k in LENGTHS if k <= max(MOST * frames, 3)] or [min(3, frames)]
    if len(lengths) == 1:
        return lengths[0], {}
    source = edges_of(dataset)
    count = max(10, PAIRS // max(1, source.count(trajectories[:1] * frames) * frames))
    if count < len(trajectories):
        trajectories = np.sort(np.random.default_rng([seed, 92]).choice(trajectories, count, replace=False))
    pairs = pairs_of(dataset, trajectories, source)
    moving = not dataset.periodic
    tables = {}
    for k in lengths:
        edges = edges_of_windows(dataset, trajectories, pairs, window=k)
        if len(edges["r"]):
            edges = with_motion(edges, dataset) if moving else edges
            one = table(edges, nodes_of(edges), seed)
            tables[k] = replace(one, who=replace(one.who, count=bodies))
    if not tables:
        raise UserError(f"{dataset.name}: no particle is seen often enough for a window of {lengths[0]} frames")
    while not (shared := _in_all(tables.values())).size and len(tables) > 1:
        del tables[max(tables)]
    middle = tables[sorted(tables)[len(tables) // 2]]
    unit = float(np.median(middle.r))
    size = np.linalg.norm(middle.target, axis=1)
    if not size.max() > 0:
        raise UserError("all accelerations are zero: there is no force to learn from")
    scale = typical_size(size)
    tables = {k: replace(one, target=one.target / scale, noise=one.noise / scale) for k, one in tables.items()}
    shape = envelope(np.log(middle.nearest() / unit), size / scale)
    curves = space(np.log(np.concatenate([one.r for one in tables.values()]) / unit), INTERVALS, shape, unit)

    def weights(one):  # relative where noise is small
        size = np.linalg.norm(one.target, axis=1)
        return 1 / ((typical_size(size) + size) ** 2 + one.dim * one.noise**2)

    yardsticks, scores, best = [], {}, None
    for k in sorted(tables, key=lambda k: abs(k - lengths[len(lengths) // 2])):
        if best is None:
            met = max(map(most_partners, tables.values()))
            best, basis = with_what_acts_beside(tables[k], Basis(curves), hypotheses, weights(tables[k]), seed, met)
            counted = {k: _counted(best, one) for k, one in tables.items()}
            yardsticks = [held for one in tables.values() if len(held := _held(one, shared))]
        if not yardsticks:  # nothing was left out to compare with
            return min(tables), {}
        own = compress(tables[k], basis, counted[k] * weights(tables[k]))
        problem = best.problem.with_(pairs=own, smooth=SMOOTH[1], fold=HELD)
        found = minimise(problem, best.values)
        scores[k] = float(np.mean([_score(problem, found, one) for one in yardsticks]))
    return min(scores, key=scores.get), dict(sorted(scores.items()))


def _held(data: Table, some: np.ndarray) -> Table:
    """What is left out of the fits, of the bodies ``some``."""
    return data.of(np.flatnonzero((data.fold == HELD) & np.isin(data.who.receiver, some)))


def _score(problem: Problem, values: Values, data: Table) -> float:
    left = ((predicted(problem, values, data) - data.target) ** 2).mean(1)
    return float(np.mean(np.log1p(left / _expected(data))))


def _counted(best: Chosen, data: Table) -> np.ndarray:
    """How much each receiver counts [receiver], by how far off a first fit is, in units of what noise makes of it."""
    expected = 1 / _expected(data)
    left = np.linalg.norm(data.target - predicted(best.problem, best.values, data), axis=1)
    return limited(expected, left) / expected


def _in_all(tables: Iterable[Table]) -> np.ndarray:
    """Bodies that receive forces in each of the tables."""
    return reduce(np.intersect1d, [one.who.receiver for one in tables])


def _expected(data) -> np.ndarray:
    """Square of what noise makes of a target [receiver]."""
    size = np.linalg.norm(data.target, axis=1)
    return (EXACT * (typical_size(size) + size)) ** 2 + data.noise**2
