"""The baseline without a network: symbolic regression straight on the inputs of the whole system.

Cranmer et al. 2020 report that it fails, and that the network's messages make the search tractable. Target:
the acceleration of one particle, the receiver, along the first axis. Features, two kinds:

- ordered (the default): receivers drawn at random; the others' positions relative to the receiver, nearest
  first, on every axis, with their distances and properties (mass, charge ...); the receiver's velocity and properties.
  This is kinder than what reproductions do: translations and exchanges of particles are taken care of and
  the distances are given. In a chain, who is whose neighbour cannot be told from these.
- raw: receiver is the first particle that is free, features are positions, velocities and properties of
  all particles in their fixed order, nothing made of them.

Same engine, options and budget as the radial target. Only the allowed complexity is larger, for the true law
is a sum over the others: see ``room``. Dimensionless units.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from distill.files.dataset import Dataset
from distill.files.properties import property_named
from distill.files.storage import finite_or_none
from distill.formulas.forms import typical
from distill.formulas.program import compile_numpy
from distill.formulas.tree import complexity
from distill.physics.law import AXES, Law
from distill.search import targets
from distill.search.choice import NODE_PRICE
from distill.search.engine import SearchOptions
from distill.shell.errors import UserError
from distill.shell.paths import relative

LEAST_ROOM = 60  # the true sums over three others have complexity 25 (spring) to 36 (charge)
SPARE = 1.5  # times the complexity of the true sum, where that is more
HELD_OUT = 4000  # receivers judged
WHY = "lowest held-out loss of the front, whatever its complexity: the kindest choice"
WHO = ("formula", "law", "network", "constant")


def room(law: Law, n: int) -> int:
    """Complexity allowed to a formula for ``n`` particles.

    Every other particle adds f dx/r (4 nodes beside f, with the sign between two terms one more), and the
    sum is divided by m_i: ``SPARE`` times that for the law at hand, ``LEAST_ROOM`` at least.
    """
    whole = (n - 1) * (complexity(law.pair) + 5) + 1
    return max(LEAST_ROOM, int(np.ceil(SPARE * whole)))


def draw(dataset: Dataset, split: str, count: int, rng, raw: bool) -> tuple:
    """(trajectory, frame, particle) [row] each: up to ``count`` different free receivers of a split."""
    trajectories, frames = dataset.trajectories(split), dataset.pos.shape[1]
    free = free_particles(dataset)[: 1 if raw else None]
    total = len(trajectories) * frames * len(free)
    pick = rng.choice(total, min(count, total), replace=False)
    t, f, i = np.unravel_index(pick, (len(trajectories), frames, len(free)))
    return trajectories[t], f, free[i]


def free_particles(dataset: Dataset) -> np.ndarray:
    """Indices of the particles that nothing holds in place; ``UserError`` if there is none."""
    held = dataset.meta.system.held
    free = np.setdiff1d(np.arange(dataset.n), held)
    if not len(free):
        raise UserError(f"all {dataset.n} particles of {relative(dataset.path)} are held: none is accelerated")
    return free


def features(dataset: Dataset, at: tuple, raw: bool = False) -> dict:
    """Name -> [row] for the receivers ``at`` = (trajectory, frame, particle); see the module for the two kinds.

    Ordered: d{axis}_k = x_i - x_j and r_k of the k-th nearest j with m_k, q_k ...; v{axis}, m_i, q_i ... Raw:
    {axis}_k, v{axis}_k, m_k, q_k ... of particle k. k counts from 1.
    """
    t, f, i = at
    state = {k: dataset.arrays[k][t, f].astype(float) for k in ("pos", "vel")}
    properties = {property_named(k).symbol: v[t].astype(float) for k, v in dataset.properties.items()}
    axes, row, out = AXES[: dataset.dim], np.arange(len(t)), {}
    if raw:
        for k in range(dataset.n):
            out |= {f"{a}_{k + 1}": state["pos"][:, k, d] for d, a in enumerate(axes)}
            out |= {f"v{a}_{k + 1}": state["vel"][:, k, d] for d, a in enumerate(axes)}
            out |= {f"{p}_{k + 1}": v[:, k] for p, v in properties.items()}
        return out
    dx = state["pos"][row, i][:, None] - state["pos"]
    r = np.linalg.norm(dx, axis=-1)
    r[row, i] = -1.0  # the receiver itself comes first and is left out
    order = np.argsort(r, axis=1, kind="stable")[:, 1:]
    for k, j in enumerate(order.T, start=1):
        out |= {f"d{a}_{k}": dx[row, j, d] for d, a in enumerate(axes)}
        out |= {f"r_{k}": r[row, j]} | {f"{p}_{k}": v[row, j] for p, v in properties.items()}
    out |= {f"v{a}": state["vel"][row, i, d] for d, a in enumerate(axes)}
    return out | {f"{p}_i": v[row, i] for p, v in properties.items()}


def baseline(
    dataset: Dataset,
    law: Law,
    options: SearchOptions,
    place: Path,
    identity: dict,
    overwrite: bool = False,
    seed: int = 0,
    *,
    raw: bool = False,
    rows: int = 4000,
    messages: dict | None = None,
) -> dict:
    """Search the first component of the acceleration on whole-system inputs, and judge it beside the law.

    ``options``: those of the radial target (``max_complexity`` is raised to
    ``room``, the rest is used as it is). The search has ``rows`` receivers of the train split; formula, law
    and network are judged on receivers of the test split, whose trajectories none of them was fitted to.
    ``messages``: arrays of a messages file of the test split; its receivers are then the ones judged, and the
    network's error comes from its ``acc_pred_i`` (else None). The front is kept in ``place``; with the same
    ``identity`` it is read back unless ``overwrite``.

    Returns ``held_out_error`` (the formula's), ``law_error``, ``network_error`` and ``constant_error``, each the
    mean of |a - a_true| / (c + |a_true|) of that component, c = median |a_true|, their medians in
    ``medians``, and what was searched; JSON-ready. An error is None where a prediction is not finite. The formula
    is the row with the lowest held-out loss: the choice of the other targets asks a price a node, which is for
    laws that are nearly exact, and would leave the baseline a constant. Raises ``UserError`` if the dataset
    has no test split or ``messages`` none of its receivers.
    """
    rng = np.random.default_rng([seed, 47])
    at = draw(dataset, "train", rows, rng, raw)
    test, network = judged(dataset, rng, raw, messages)  # before the search: it may refuse
    y = dataset.acc[at][:, 0].astype(float)
    name = "inputs_raw" if raw else "inputs"
    size = max(options.max_complexity, room(law, dataset.n))
    target = targets.Target(
        name, targets.varying(features(dataset, at, raw)), y, {"max_complexity": size, "node_price": NODE_PRICE}
    )
    identity = identity | {"target": name, "inputs_rows": rows, "inputs_seed": seed, "inputs_complexity": size}
    front = None if overwrite else targets.load_front(place, target, identity)
    if front is None:
        found = targets.search_target(target, replace(options, output_directory=str(place)))
        front = targets.save_front(place, found, target, identity)

    true = dataset.acc[test][:, 0].astype(float)
    columns = features(dataset, test, raw)
    state = {k: dataset.arrays[k][test[:2]].astype(float) for k in ("pos", "vel")}
    properties = {k: v[test[0]].astype(float) for k, v in dataset.properties.items()}
    row = min(front.rows, key=lambda r: r.judged)
    with np.errstate(all="ignore"):
        found = compile_numpy(row.expr, list(target.features))(*(columns[k] for k in target.features))
    whole = law.acceleration(state["pos"], state["vel"], properties)
    values = {
        "formula": found,
        "law": whole[np.arange(len(true)), test[2], 0],
        "network": network,
        "constant": best_constant(y),
    }
    scores = {k: (None, None) if v is None else relative_error(v, true) for k, v in values.items()}
    return {
        "equation": row.equation,
        "complexity": row.complexity,
        "features": list(target.features),
        "held_out_error": scores["formula"][0],
        "law_error": scores["law"][0],
        "network_error": scores["network"][0],
        "constant_error": scores["constant"][0],
        "medians": {k: scores[k][1] for k in WHO},
        "n": len(true),
        "rows": len(y),
        "max_complexity": size,
        "cpu_seconds": front.info.get("cpu_seconds"),
        "raw": raw,
        "why": WHY,
        "hall_of_fame": f"{place.parent.name}/{place.name}/hall_of_fame.csv",
        "what": _what(dataset, raw),
    }


def _what(dataset, raw) -> str:
    inputs = (
        "positions, velocities, masses and charges of all particles in fixed order"
        if raw
        else "positions relative to the receiver, distances, masses and charges of the others, nearest first"
    )
    return (
        f"acceleration of one of {dataset.n} particles along the first axis from {inputs}, no network;"
        " errors: mean |a - a_true| / (c + |a_true|) on trajectories left out, c = median |a_true|"
    )


def judged(dataset: Dataset, rng, raw: bool, messages: dict | None) -> tuple:
    """((trajectory, frame, particle) [row], the network's first component [row] or None): who is judged."""
    if messages is None:
        return draw(dataset, "test", HELD_OUT, rng, raw), None
    triple = np.stack([messages[k] for k in ("trajectory", "frame", "receiver")], 1).astype(np.int64)
    if (triple < 0).any() or (triple.max(0) >= dataset.pos.shape[:3]).any():
        raise UserError(f"the messages name frames that {relative(dataset.path)} does not have")
    wanted = np.isin(triple[:, 0], dataset.trajectories("test"))
    if raw:
        wanted &= triple[:, 2] == free_particles(dataset)[0]
    _, first = np.unique(triple, axis=0, return_index=True)
    first = first[wanted[first]]
    if not len(first):
        raise UserError(
            "the messages hold no receiver of the dataset's test split",
            "run this first:  python extract_messages.py --run <run> --split test",
        )
    first = rng.permutation(first)[:HELD_OUT]
    return tuple(triple[first].T), messages["acc_pred_i"][first, 0].astype(float)


def relative_error(found, true: np.ndarray) -> tuple:
    """(mean, median) of |found - true| / (c + |true|), c = median |true|; None where it is not finite."""
    size = np.abs(true)
    with np.errstate(all="ignore"):
        error = np.abs(found - true) / (typical(size) + size)
        return finite_or_none(np.mean(error)), finite_or_none(np.median(error))


def best_constant(y: np.ndarray) -> float:
    """The number with the least ``relative_error`` mean against ``y`` [row]: a weighted median."""
    size = np.abs(y)
    weights = 1 / (typical(size) + size)
    order = np.argsort(y)
    total = np.cumsum(weights[order])
    return float(y[order][np.searchsorted(total, 0.5 * total[-1])])
