"""How many frames a window should have: the length whose fit foretells windows of every length best.

Short windows are noisy, long ones smear close encounters, and what is best depends on noise and motion. For each length
the same simple model (all products of the properties, a few splines, all node terms) is fitted to windows of that
length on some trajectories. One yardstick serves all of them: on other trajectories the accelerations so found are
compared with the targets of windows of *every* length, each in units of what its noise makes expected.
"""

from collections.abc import Sequence

import numpy as np

from distill.files.dataset import Dataset
from distill.files.properties import of_receivers
from distill.messages.net_forces import nodes_of
from distill.network.edges import edges_of
from distill.physics.terms import CONSTANT
from distill.shell.errors import UserError
from distill.splines import dependence as dependences
from distill.splines.curves import envelope, space
from distill.splines.normal_equations import Model, Table, model, normal_equations, penalty, solve, table
from distill.splines.observations import edges_of_windows, pairs_of
from distill.splines.selection import predicted_by, weights_of
from distill.statistics.metrics import typical_size
from distill.windows.of_dataset import positions_alone

LENGTHS = (5, 9, 15, 25, 41, 61)  # frames that are tried,
MOST = 0.62  # of the frames of a trajectory at most
PAIRS = 72_000  # in the frames of the trajectories that are looked at, at most
INTERVALS, SMOOTH, ROUNDS = 12, 1e-6, 2  # of the curves, the strength of their penalty, and of robust weights
HELD = 3  # every third trajectory
EXACT = 0.01  # of an acceleration: errors below do not matter beside noise


def window_length(dataset: Dataset, lengths: Sequence[int] = LENGTHS, seed: int = 0) -> tuple[int, dict]:
    """(frames of a window, frames -> mean score of its fit: log(1 + squared error over what is expected)).

    Of the training trajectories. ``UserError`` where these have no windows.
    """
    frames, trajectories = dataset.pos.shape[1], dataset.trajectories("train")
    lengths = [k for k in lengths if k <= max(MOST * frames, 3)] or [min(3, frames)]
    if len(lengths) == 1:
        return lengths[0], {}
    source = edges_of(dataset)
    every = trajectories[:, None] * frames + np.linspace(0, frames - 1, 3).astype(int)
    count = int(max(2 * HELD, PAIRS // max(1, source.count(every.ravel()) * frames / every.size)))
    if count < len(trajectories):
        trajectories = np.sort(np.random.default_rng([seed, 91]).choice(trajectories, count, replace=False))
    held = np.zeros(len(trajectories), dtype=bool)
    held[::HELD] = len(trajectories) > 1
    groups = trajectories[~held], trajectories[held]
    seen = [(some, pairs_of(dataset, some, source)) for some in groups]
    parts = {}
    for k in lengths:
        edges = [edges_of_windows(dataset, *some, window=k) for some in seen]
        if all(len(e["r"]) for e in edges):
            parts[k] = *(table(e, nodes_of(e), seed) for e in edges), edges[0]
    if not parts:
        raise UserError(f"{dataset.name}: no particle is seen often enough for a window of {lengths[0]} frames")
    if not any(part.target.any() for part, *_ in parts.values()):
        return min(parts), {}  # nothing moves: a fit says so
    scores = {k: _score(*fit(part, edges), [p[1] for p in parts.values()]) for k, (part, _, edges) in parts.items()}
    return min(scores, key=scores.get), scores


def with_window(dataset: Dataset, seed: int = 0) -> int | None:
    """Frames of the windows of a dataset of positions alone, chosen and put into its arrays where it has none; None for
    a dataset with accelerations.
    """
    if not positions_alone(dataset):
        return None
    if "window" not in dataset.arrays:
        dataset.arrays["window"] = np.int64(window_length(dataset, seed=seed)[0])
    return int(dataset.window)


def fit(data: Table, edges: dict) -> tuple[Model, np.ndarray, float]:
    """The simple model, its coefficients and the scale of net forces."""
    scale = typical_size(np.linalg.norm(data.target, axis=1))
    unit = float(np.median(data.r))
    x = np.log(data.r / unit)
    shape = envelope(np.log(data.nearest() / unit), np.linalg.norm(data.target, axis=1) / scale)
    ways = dependences.products(data.ends, dependences.varying(of_receivers(edges)))
    of = model(space(x, INTERVALS, shape, unit), ways, CONSTANT, data)
    predicted = None
    for _ in range(ROUNDS):
        normal = normal_equations(of, data, weights_of(data, predicted, scale), scale)
        rough = penalty(of, normal.moment.shape[1])
        g = solve(normal.gram.sum(0), normal.moment.sum(0), rough, SMOOTH, normal.rows.sum())
        predicted = predicted_by(of, g, data) * scale
    return of, g, scale


def _score(of: Model, g: np.ndarray, scale: float, held: Sequence[Table]) -> float:
    out = []
    for data in held:
        error = np.linalg.norm(predicted_by(of, g, data) * scale - data.target, axis=1)
        size = np.linalg.norm(data.target, axis=1)
        expected = np.hypot(EXACT * (typical_size(size) + size), np.sqrt(data.dim) * data.noise)
        out.append(float(np.mean(np.log1p((error / expected) ** 2))))
    return float(np.mean(out))
