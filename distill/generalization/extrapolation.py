"""Data unlike the training data, simulated anew, and what the network and the law make of it.

Every set is labelled by the true accelerations at its states. The simulation needs JAX, so ``fresh_sets``
makes the sets in a process of its own and the caller is free to hold torch. Dimensionless units, G = k = 1.
"""

import multiprocessing
from dataclasses import dataclass, field, replace

import numpy as np

from distill.files.dataset import Dataset
from distill.files.kinds import SystemRecord
from distill.files.storage import finite_or_none
from distill.physics.record import system_of
from distill.physics.system import acceleration
from distill.shell.errors import UserError
from distill.shell.processes import GUARD, follow_parent
from distill.statistics import metrics
from distill.windows.of_dataset import windows_of
from distill.windows.weak_form import Windows

FACTORS = {"wide": 3.0, "heavy": 3.0, "close": 0.3}
LONGER = 3  # "longer" and the rollouts run for this many training times
INTERPOLATION, WINDOWS = "interpolation", "windows"
LIKE_TRAINING = (INTERPOLATION, WINDOWS)  # the others are beyond
NO_FORCE = 1e-9  # times the typical force of interpolation
NOTHING_KNOWN = "the true law is not known here, so nothing beyond the dataset can be labelled"


@dataclass
class States:
    """States with their true accelerations: pos, vel, acc [graph, particle, dim]; properties, name -> [graph,
    particle]. ``what`` says in one sentence what they are; ``held`` are particles that never move; ``box [dim]``: sides
    of a periodic box. Where only positions are known ``acc`` [window, 1, dim] is what ``seen`` says of windows.
    """

    what: str
    pos: np.ndarray
    vel: np.ndarray
    properties: dict
    acc: np.ndarray
    held: tuple[int, ...] = ()
    report: dict = field(default_factory=dict)  # of the simulation it is from, if it is the first from there
    box: np.ndarray | None = None
    windows: Windows | None = None
    node: np.ndarray | None = None  # of windows: number of their particle in every frame [window, frame]
    t: np.ndarray | float = 0.0  # times of the graphs [graph]

    def seen(self, values: np.ndarray) -> np.ndarray:
        """What of accelerations in these states [graph, particle, dim] is compared with ``acc``."""
        if self.windows is None:
            return values
        omega, of = self.windows.omega, values.reshape(-1, values.shape[-1])[self.node]
        return np.einsum("wk,wkd->wd", omega, np.where(omega[..., None] != 0, of, 0.0))[:, None]

    @property
    def inertia(self) -> np.ndarray:
        """Masses of what ``acc`` is of [..., 1]."""
        mass = self.properties["mass"]
        return mass[..., None] if self.windows is None else mass.reshape(-1)[self.node[:, :1]][..., None]

    def __len__(self) -> int:
        return len(self.pos)

    @property
    def state(self) -> tuple:
        return self.pos, self.vel, self.properties


@dataclass
class Made:
    """What was simulated anew: named sets, why those that lack do, and arrays from which rollouts start."""

    sets: dict[str, States]
    skipped: dict[str, str] = field(default_factory=dict)
    starts: dict = field(default_factory=dict)


# ---------------------------------------------------------------- the sets


def transformed(states: States, name: str, system) -> States:
    """``states`` made "wide" or "close" (positions scaled about each centre of mass) or "heavy" (masses
    scaled) by ``FACTORS[name]``, and labelled again by ``system``."""
    factor, mass = FACTORS[name], states.properties["mass"]
    if name == "heavy":
        new = replace(states, properties=states.properties | {"mass": mass * factor})
        what = f"the interpolation states with all masses x {factor:g}"
        if (mass == mass[0, 0]).all():
            what += "; in training all masses were the same, so that no network can know of mass"
    else:
        centre = (mass[..., None] * states.pos).sum(1, keepdims=True) / mass.sum(1)[:, None, None]
        new = replace(states, pos=centre + factor * (states.pos - centre))
        what = f"the interpolation states with all positions x {factor:g} about the centre of mass"
    return replace(new, what=what, report={}, acc=acceleration(system, *new.state, new.t))


def pick(simulated: dict, names, frames: slice, limit: int, seed: int, what: str, held=()) -> States:
    """At most ``limit`` states drawn without replacement from the ``frames`` of a simulation's arrays; ``names``:
    those of the properties.
    """
    index = np.arange(simulated["pos"].shape[1])[frames]
    total = len(simulated["pos"]) * len(index)
    chosen = np.arange(total)
    if limit < total:
        chosen = np.sort(np.random.default_rng([seed, 7]).choice(total, limit, replace=False))
    k, f = chosen // len(index), index[chosen % len(index)]
    arrays = {name: simulated[name][k, f] for name in ("pos", "vel", "acc")}
    arrays["properties"] = {name: simulated[name][k] for name in names}
    about = {"report": simulated.get("report", {}), "box": simulated.get("box")}
    about["t"] = np.broadcast_to(simulated.get("t", 0.0), simulated["pos"].shape[:2])[k, f]
    return States(what=what, held=tuple(held), **about, **arrays)


def make_sets(system, n, dim, frames, spacing, trajectories, limit, seed, simulate=None) -> Made:
    """The named ``States`` and the initial conditions for rollouts.

    ``frames`` and ``spacing`` (time between frames) are the training data's; ``starts`` holds pos, vel
    [trajectory, particle, dim] and ``properties``, name -> [trajectory, particle]. ``simulate`` stands in for
    ``distill.physics.integrate.integrate``, which needs JAX.
    """
    if simulate is None:
        from distill.physics.integrate import integrate as simulate

    def run(count, length):
        return simulate(system, count, dim, trajectories, length, 1, seed=seed, dt=spacing)

    long = run(n, LONGER * (frames - 1) + 1 if frames > 1 else 1)
    span = spacing * (frames - 1)
    held, names = tuple(k % n for k in system.held), system.properties
    what = f"{trajectories} trajectories simulated anew, like the training data in everything but the seed"
    sets = {INTERPOLATION: pick(long, names, slice(0, frames), limit, seed, what, held)}
    what = f"{trajectories} trajectories simulated anew with {2 * n} particles in place of {n}"
    sets["more_particles"] = pick(run(2 * n, frames), names, slice(None), limit, seed, what, system.held)
    if frames > 1:
        what = f"frames between {span:.4g} and {LONGER * span:.4g} of the new trajectories; training ends at {span:.4g}"
        sets["longer"] = replace(pick(long, names, slice(frames, None), limit, seed, what, held), report={})
    for name in FACTORS:
        sets[name] = transformed(sets[INTERPOLATION], name, system)
    starts = {k: long[k][:, 0] for k in ("pos", "vel")} | {"properties": {k: long[k] for k in names}}
    return Made(sets, {}, starts)


def own_test_set(dataset: Dataset, limit: int, seed: int) -> dict:
    """The only set there is where the truth is unknown: the dataset's test split with its own labels."""
    if "acc" not in dataset.arrays:
        return {INTERPOLATION: own_windows(dataset, limit, seed)}
    index = dataset.trajectories("test")
    arrays = {k: getattr(dataset, k)[index] for k in ("pos", "vel", "acc")}
    arrays |= {k: v[index] for k, v in dataset.properties.items()}
    arrays |= {"box": dataset.arrays.get("box"), "t": dataset.times[index]}
    held = dataset.meta.system.held
    what = "the dataset's test trajectories with the accelerations stored there"
    drawn = pick(arrays, dataset.properties, slice(None), limit, seed, what, held)
    if not (whole := np.isfinite(drawn.pos).all((1, 2))).all():  # what is not there has no acceleration
        some = {k: v[whole] for k, v in drawn.properties.items()}
        arrays = {k: getattr(drawn, k)[whole] for k in ("pos", "vel", "acc")}
        drawn = replace(drawn, properties=some, t=drawn.t[whole], **arrays)
    return {INTERPOLATION: drawn}


def own_windows(dataset: Dataset, limit: int, seed: int) -> States:
    """Windows of the dataset's test split, of at most ``limit`` frames, where only positions are known."""
    found = windows_of(dataset, dataset.trajectories("test"))
    found, across = found.of(~np.isin(found.particle, dataset.meta.system.held)), found.omega.shape[1]
    run = np.unique(np.stack([found.trajectory, found.start]), axis=1, return_inverse=True)[1].reshape(-1)
    chosen = np.random.default_rng([seed, 7]).permutation(run.max() + 1)[: max(1, limit // across)]
    found = found.of(np.isin(run, chosen))
    number = found.trajectory[:, None] * dataset.pos.shape[1] + found.frames
    frames, place = np.unique(number, return_inverse=True)
    trajectory, frame = np.divmod(frames, dataset.pos.shape[1])
    pos = dataset.pos[trajectory, frame]
    vel = np.nan_to_num(dataset.arrays["vel"][trajectory, frame]) if "vel" in dataset.arrays else np.zeros_like(pos)
    return States(
        f"windows of {across} frames of the dataset's test trajectories: what the observed positions say of mean"
        " accelerations, noise included",
        pos,
        vel,
        {name: values[trajectory] for name, values in dataset.properties.items()},
        found.target[:, None],
        box=dataset.arrays.get("box"),
        t=dataset.times[trajectory, frame],
        windows=found,
        node=place.reshape(number.shape) * dataset.n + found.particle[:, None],
    )


# ---------------------------------------------------------------- a process of its own


def fresh_sets(about: SystemRecord, maker=make_sets, **arguments):
    """``maker(system, **arguments)`` for a system on record, in a new process; what it returns.

    Raises what the simulation raises (``UserError`` where it cannot be done).
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_make_and_send, args=(send, about, maker, arguments), daemon=True)
    process.start()
    send.close()
    try:
        outcome = receive.recv()
    except EOFError:
        process.join()
        killed = process.exitcode < 0
        raise UserError(
            f"the simulation of new data ended with exit code {process.exitcode}{' (out of memory?)' * killed}",
            "use fewer --n-trajectories" if killed else GUARD,
        ) from None
    finally:
        if process.is_alive():
            process.join(1)
        process.terminate()
        receive.close()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _make_and_send(send, about, maker, arguments):
    import threading

    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own is a semaphore, left behind if this process is ended
    follow_parent()
    try:
        outcome = maker(system_of(about), **arguments)
    except Exception as exc:
        outcome = exc
    send.send(outcome)
    send.close()


# ---------------------------------------------------------------- errors


def errors(pred: np.ndarray, true: np.ndarray, held=(), typical: float = 0.0) -> dict:
    """Errors of accelerations [graph, particle, dim] of the particles that are free.

    ``metrics.prediction_errors`` over the finite predictions, the MAE of the best 90 % of them, and the
    numbers of those that are not finite; null where there is nothing to average. Vectors below ``NO_FORCE`` times
    ``typical`` have no relative error: far away from each other some forces are 1e-144.
    """
    free = ~np.isin(np.arange(true.shape[1]), held)
    pred, true = (np.asarray(a, dtype=float)[:, free].reshape(-1, true.shape[2]) for a in (pred, true))
    finite = np.isfinite(pred).all(-1)
    out = {
        "mae": None,
        "mae_trim90": None,
        "mae_relative": None,
        "median_relative_error": None,
        "r2": None,
        "n": int(finite.sum()),
    }
    out["n_not_finite"] = int((~finite).sum())
    if not out["n"]:
        return out
    pred, true = pred[finite], true[finite]
    if (true != 0).any():
        with np.errstate(over="ignore"):
            found = metrics.prediction_errors(pred, true, NO_FORCE * typical)
            found["mae_relative"] = found["mae"] / float(np.abs(true).mean())
        out |= {k: finite_or_none(v) for k, v in found.items() if k != "n"}
    else:  # no force at all: only the absolute error means something
        out["mae"] = finite_or_none(np.abs(pred - true).mean())
    error = np.abs(pred - true).mean(-1)
    out["mae_trim90"] = finite_or_none(error[error <= np.quantile(error, 0.9)].mean())
    return out


def compare(
    states: States,
    network,
    law,
    forces: bool = False,
    typical: float = 0.0,
    timed: bool = False,
    network_timed: bool = False,
) -> dict:
    """Errors of two functions (pos, vel, properties[, box]) -> accelerations on one set, and their ratio; ``timed``:
    the law takes the times ``t`` [graph] too, ``network_timed``: so does the network.

    ``forces``: of mass * acc in place of accelerations. ``typical``: their size in the data that the law is from.
    """
    out = {"what": states.what, "graphs": len(states), "particles": states.pos.shape[1]}
    box = {} if states.box is None else {"box": states.box}
    scale = states.inertia if forces else 1.0
    with np.errstate(all="ignore"):
        for name, function, clock in (("gnn", network, network_timed), ("law", law, timed)):
            more = {"t": states.t} if clock else {}
            found = scale * states.seen(function(*states.state, **box, **more))
            out[name] = errors(found, scale * states.acc, states.held, typical)
    gnn, law_mae = out["gnn"]["mae"], out["law"]["mae"]
    usable = gnn and law_mae is not None and not out["law"]["n_not_finite"]
    out["law_over_gnn_mae"] = finite_or_none(law_mae / gnn) if usable else None
    gnn, law_error = (out[k]["median_relative_error"] for k in ("gnn", "law"))
    out["law_over_gnn_relative_error"] = finite_or_none(law_error / gnn) if gnn and law_error is not None else None
    if forces:
        out["mean_absolute_force"] = float(np.abs(scale * states.acc).mean())
    return out | {k: v.tolist() for k, v in box.items()}
