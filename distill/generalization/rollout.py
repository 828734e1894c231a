"""Trajectories under the truth, the law and the network from the same initial conditions.

All three are integrated by the steps of ``distill.physics.dormand_prince``, all trajectories at once, each with its
own step. Where particles meet closely, solutions that differ in the last digits part
exponentially: the truth is therefore also followed at a looser tolerance, as a reference for what a
position error can still say. Dimensionless units.
"""

import functools
import time
from dataclasses import dataclass

import numpy as np

from distill.files.scales import ONE, Scales
from distill.files.storage import finite_or_none
from distill.generalization import symplectic
from distill.physics import dormand_prince
from distill.physics.system import acceleration, energy, energy_terms, power_lost, receiver_variables
from distill.physics.terms import TERMS

TOLERANCE = 1e-6  # rtol of law and network alike, and of a second truth, which says what it is good for
TOLERANCES = {"truth": 1e-9, "law": TOLERANCE, "truth_loose": TOLERANCE, "gnn": TOLERANCE}  # atol is a tenth of it
FRAMES = 121
MAX_STEPS = 20_000  # of one trajectory
SECONDS = 1800.0  # of one model: against hanging alone, for what a clock decides is not the same again
FOLLOWED = 0.1  # a model follows the truth while its position error is below this share of the size
SIZE = "root mean square distance of the particles from their centre of mass at the start of each trajectory"
ENERGY_SCALE = "kinetic energy + sum of |pair energies| + sum of |outside-field energies| at the start"
MOMENTUM_IS = "|sum of m v - start| / mean over the truth's frames of the sum of m |v|"
ANGULAR_IS = (
    "|sum of m x cross v - start| / mean over the truth's frames of the sum of m |x| |v|, x from the centre of mass"
    " at the start"
)


@dataclass
class Paths:
    """y [trajectory, frame, state], NaN from a failure on; steps [trajectory]; failed: a reason or ""."""

    y: np.ndarray
    steps: np.ndarray
    failed: list[str]
    seconds: float


def solve(rhs, y0, t, rtol, atol, max_steps: int = MAX_STEPS, seconds: float = SECONDS) -> Paths:
    """y' = rhs(y [lane, state], lanes), autonomous, from y0 [trajectory, state] at the times t [frame].

    ``lanes`` are the indices of the trajectories still under way. Steps end exactly on frames. Never
    raises for a bad ``rhs``: the trajectory is given up with a reason.
    """
    clock = time.perf_counter()
    y0, t = np.asarray(y0, dtype=float), np.asarray(t, dtype=float)
    count, size = y0.shape
    y = np.full((count, len(t), size), np.nan)
    y[:, 0] = y0
    now, steps, frame = y0.copy(), np.zeros(count, dtype=int), np.zeros(count, dtype=int)
    since, failed = np.zeros(count), [""] * count
    flipped = lambda y, lanes: rhs(y.T, lanes).T  # noqa: E731  # lanes last, as there
    live = np.arange(count) if len(t) > 1 else np.arange(0)
    with np.errstate(all="ignore"):
        slope = rhs(now, np.arange(count))
        h = dormand_prince.first_step(now.T, slope.T, rtol, atol, t[-1] - t[0] or 1.0)
        while len(live):
            rest = t[frame[live] + 1] - t[frame[live]] - since[live]
            step, cut = dormand_prince.cut_to(h[live], rest)
            new, norm, _ = dormand_prince.step(flipped, now[live].T, live, slope[live].T, step, rtol, atol, 0)
            new = new.T
            end = rhs(new, live)
            finite = np.isfinite(norm) & np.isfinite(end).all(1)
            good = finite & (norm < 1)
            longer = dormand_prince.next_step(step, norm, finite, good)
            # A step cut short to meet a frame says nothing against the longer one that was planned.
            h[live] = np.where(good & (step < h[live]), np.maximum(longer, h[live]), longer)
            steps[live] += 1
            done = live[good]
            now[done], slope[done] = new[good], end[good]
            since[done] += step[good]
            arrived = live[good & cut]
            frame[arrived] += 1
            since[arrived] = 0.0
            y[arrived, frame[arrived]] = now[arrived]
            late = time.perf_counter() - clock > seconds
            ended = frame[live] == len(t) - 1
            for k in live[~ended]:
                if h[k] < 1e-14 * (t[-1] - t[0]):
                    failed[k] = "step size vanished"
                elif steps[k] >= max_steps:
                    failed[k] = f"more than {max_steps} steps"
                elif late:
                    failed[k] = f"more than {seconds:g} s"
            live = live[~ended & np.array([not failed[k] for k in live])]
    return Paths(y, steps, failed, time.perf_counter() - clock)


def roll(system, function, pos, vel, properties, t, rtol, scales: Scales = ONE, timed=False, **limits) -> dict:
    """Trajectories under ``function(pos, vel, properties) -> accelerations``; held particles stay. ``timed``: whether
    it takes the time too, ``t`` [trajectory].

    pos, vel [trajectory, particle, dim]; properties name -> [trajectory, particle]. Returns ``pos, vel
    [trajectory, frame, particle, dim]``, ``work [trajectory, frame]`` (the energy that truly leaves on these
    paths: drag) and ``paths``. ``scales``: what is small beside them, small numbers are let go.
    """
    count, n, dim = pos.shape
    half = n * dim
    held = list(system.held)
    energy_unit = scales.of("mass") * scales.speed**2
    clock = timed or system.in_time
    unit = np.r_[np.full(half, scales.length), np.full(half, scales.speed), energy_unit, [scales.time] * clock]

    def rhs(y, lanes):
        y = y * unit
        x, v = y[:, :half].reshape(-1, n, dim), y[:, half : 2 * half].reshape(-1, n, dim)
        now, own = y[:, -1] if clock else 0.0, {k: p[lanes] for k, p in properties.items()}
        a = np.array(function(x, v, own, **{"t": now} if timed else {}), dtype=float)
        a[:, held] = 0.0
        lost = power_lost(system, x, v, own, now)[:, None]
        return np.concatenate([v.reshape(-1, half), a.reshape(-1, half), lost, np.ones((len(y), int(clock)))], 1) / unit

    start = np.full((count, int(clock)), t[0])
    y0 = np.concatenate([pos.reshape(count, -1), vel.reshape(count, -1), np.zeros((count, 1)), start], 1)
    paths = solve(rhs, y0 / unit, t, rtol, 0.1 * rtol, **limits)
    paths.y *= unit
    shape = (count, len(t), n, dim)
    return {
        "pos": paths.y[..., :half].reshape(shape),
        "vel": paths.y[..., half : 2 * half].reshape(shape),
        "work": paths.y[..., 2 * half],
        "paths": paths,
    }


def compare(
    system,
    law,
    network,
    pos,
    vel,
    properties,
    training_time,
    times,
    frames: int = FRAMES,
    max_steps: int = MAX_STEPS,
    scales: Scales = ONE,
    timed: bool = False,
    network_timed: bool = False,
    flows: dict[str, symplectic.Flow] | None = None,
    no_flow: dict[str, str] | None = None,
) -> dict:
    """JSON-ready comparison over ``times`` training times: position errors and energy drifts.

    ``law`` and ``network`` are functions (pos, vel, properties) -> accelerations; ``timed``: the law takes the time
    ``t`` too, ``network_timed``: so does the network; ``max_steps``: of each of both, in one trajectory. Position
    error: root mean square over the particles against the truth, over ``SIZE``. Energy drift: |H + W - H(0)| over
    ``ENERGY_SCALE`` with H the true energy of the state reached and W what truly leaves on the way (drag). Momentum
    drifts: as in ``momentum_drifts``, null where the truth does not conserve momentum. Curves are medians and quartiles
    over the trajectories; one that failed counts as infinitely far off. ``flows``: those of the models that have an
    energy of their own, for the same by a symplectic integrator; ``no_flow``: why others have none.
    """
    t = np.linspace(0.0, times * training_time, frames)
    truth = functools.partial(acceleration, system), system.in_time
    functions = {"truth": truth, "law": (law, timed), "truth_loose": truth, "gnn": (network, network_timed)}
    most = dict.fromkeys(functions, MAX_STEPS) | {"law": max_steps, "gnn": max_steps}
    rolled = {
        k: roll(system, f, pos, vel, properties, t, TOLERANCES[k], scales, of, max_steps=most[k])
        for k, (f, of) in functions.items()
    }
    mass = properties["mass"]
    weight = mass[..., None] / mass.sum(1)[:, None, None]
    centre = (weight * pos).sum(1, keepdims=True)
    size = np.sqrt(((pos - centre) ** 2).sum(-1).mean(-1))
    terms = energy_terms(system, pos, vel, properties)
    scale = sum(np.abs(term).sum(-1) for term in terms)
    scale = np.where(scale > 0, scale, 1.0)
    momenta, momenta_are = momentum_drifts(system, rolled, properties, centre)
    judge = functools.partial(_judged, system, properties, rolled["truth"]["pos"], size, scale)
    models = {name: _of_model(name, found, t, *judge(found), momenta) for name, found in rolled.items()}
    further = {}
    for name, flow in (flows or {}).items():
        found = symplectic.roll(flow, pos, vel, properties, t, scale) | {"work": 0.0}
        further[name] = _of_flow(found, *judge(found))
    return {
        "n": len(pos),
        "particles": pos.shape[1],
        "training_time": training_time,
        "horizon": float(t[-1]),
        "method": "DOP853, atol = rtol / 10",
        "position_error_is": f"RMS over particles / size; size: {SIZE}",
        "energy_drift_is": f"|true energy (+ work against drag) - start| / ({ENERGY_SCALE})",
        **{f"{key}_is": what for key, what in momenta_are.items()},
        "followed_while": f"median position error < {FOLLOWED}",
        "time": t.tolist(),
        "models": models,
        **({} if not flows else {"symplectic": further, "symplectic_method": symplectic.METHOD}),
        "symplectic_without": no_flow or {},
    }


def _judged(system, properties, truth, size, scale, found) -> tuple[np.ndarray, np.ndarray]:
    """Position errors and energy drifts [trajectory, frame]."""
    every_frame = {k: p[:, None] for k, p in properties.items()}
    with np.errstate(all="ignore"):
        gap = ((found["pos"] - truth) ** 2).sum(-1).mean(-1)
        total = energy(system, found["pos"], found["vel"], every_frame) + found["work"]
        return np.sqrt(gap) / size[:, None], np.abs(total - total[:, :1]) / scale[:, None]


def _final(drift: np.ndarray) -> float | None:
    """The median at the end of drifts [trajectory, frame]."""
    return quartiles(drift[:, -1:])["median"][0]


def _of_model(name: str, found: dict, t, distance, drift, momenta: dict) -> dict:
    """What is told of a model's rollouts."""
    paths, middle = found["paths"], quartiles(distance)
    reached = np.isfinite(found["pos"][:, :, 0, 0]).sum(1) - 1
    return {
        "rtol": TOLERANCES[name],
        "position_error": middle,
        "energy_drift": quartiles(drift),
        "followed_for": _followed(middle["median"], t),
        "final_energy_drift_median": _final(drift),
        **{key: drifts and quartiles(drifts[name]) for key, drifts in momenta.items()},
        **{f"final_{key}_median": drifts and _final(drifts[name]) for key, drifts in momenta.items()},
        "failed": [
            {"trajectory": k, "at_time": float(t[reached[k]]), "why": why} for k, why in enumerate(paths.failed) if why
        ],
        "steps_max": int(paths.steps.max()),
        "seconds": round(paths.seconds, 2),
    }


def _of_flow(found: dict, distance, drift) -> dict:
    """What is told of rollouts by the symplectic integrator."""
    return {
        "own_energy_drift": quartiles(found["drift"]),
        "energy_drift": quartiles(drift),
        "position_error": quartiles(distance),
        "final_own_energy_drift_median": _final(found["drift"]),
        "final_energy_drift_median": _final(drift),
        "steps": found["steps"].tolist(),
        "seconds": round(found["seconds"], 2),
    }


def _no_inertia(system) -> bool:
    return system.response is not None and system.response.inertia is None


def momentum_drifts(system, rolled: dict, properties: dict, centre) -> tuple[dict, dict]:
    """How far each model changes the total momentum and angular momentum that the truth conserves.

    ``rolled``: name -> what ``roll`` returned, "truth" among them; properties [trajectory, particle] by name; centre
    [trajectory, 1, dim], the point about which angular momentum is taken. Returns (drifts, what they are):
    ``momentum_drift`` and ``angular_momentum_drift`` -> {name: [trajectory, frame]}, or None where the law is not
    a law of conservation: an outside field or a held particle takes up momentum, drag takes it away, and some
    responses have no momentum. Drag alone
    takes gamma (x_i - x_i at the start), which is added back; its torque has no such closed form.
    """
    dim = centre.shape[-1]
    outside = "an outside field acts" if system.external else ""
    outside = outside or ("" if system.reciprocal else "action is not reaction")
    outside = outside or ("a particle is held" if system.held else "")
    response = system.response
    outside = outside or (
        f"particles respond otherwise than by a = F/m ({response.name})" if _no_inertia(system) else ""
    )
    drifts: dict = {"momentum_drift": None, "angular_momentum_drift": None}
    about = {key: f"not conserved: {outside}" for key in drifts}
    if outside:
        return drifts, about

    def inertia(found):  # [trajectory, frame, particle]
        if response is None:
            return mass
        variables = {k: p[:, None] for k, p in receiver_variables(properties).items()}
        return response.value("inertia", {"v": length(found["vel"])}, variables)

    def drift(moment, size):
        with np.errstate(all="ignore"):
            mean = np.nanmean(size(rolled["truth"]), axis=1)  # at rest at the start it would be 0 there
            change = {k: moment(found) - moment(found)[:, :1] for k, found in rolled.items()}
            return {k: np.linalg.norm(v, axis=-1) / np.where(mean > 0, mean, 1.0)[:, None] for k, v in change.items()}

    def length(vectors):
        return np.linalg.norm(vectors, axis=-1)

    mass, around = properties["mass"][:, None], centre[:, None]
    drifts["momentum_drift"] = drift(
        lambda f: (inertia(f)[..., None] * f["vel"] + system.drag * f["pos"]).sum(2),
        lambda f: (inertia(f) * length(f["vel"])).sum(2),
    )
    about["momentum_drift"] = MOMENTUM_IS + ("; what drag took is added" if system.drag else "")
    if not all(TERMS[acting.term].central for acting in system.further):
        about["angular_momentum_drift"] = "not conserved: pairs act on each other across the line between them"
    elif system.drag:
        about["angular_momentum_drift"] = "not conserved: drag"
    elif dim not in (2, 3):
        about["angular_momentum_drift"] = f"not defined here in {dim} dimension{'s' * (dim > 1)}"
    else:
        drifts["angular_momentum_drift"] = drift(
            lambda f: (inertia(f)[..., None] * _cross(f["pos"] - around, f["vel"])).sum(2),
            lambda f: (inertia(f) * length(f["pos"] - around) * length(f["vel"])).sum(2),
        )
        about["angular_momentum_drift"] = ANGULAR_IS
    return drifts, about


def _cross(x, v):
    """x cross v over the last axis: [..., 3] in three dimensions, [..., 1] in two."""
    return np.cross(x, v) if x.shape[-1] == 3 else x[..., :1] * v[..., 1:] - x[..., 1:] * v[..., :1]


def quartiles(values: np.ndarray) -> dict:
    """Median and quartiles over trajectories of values [trajectory, frame]; null where infinite."""
    filled = np.where(np.isfinite(values), values, np.inf)
    rows = np.quantile(filled, [0.25, 0.5, 0.75], axis=0, method="nearest")
    return {k: [finite_or_none(v) for v in row] for k, row in zip(("lower", "median", "upper"), rows, strict=True)}


def _followed(median: list, t: np.ndarray) -> float:
    """The last time before the median error first reaches ``FOLLOWED``."""
    bad = [k for k, v in enumerate(median) if v is None or v >= FOLLOWED]
    return float(t[max(bad[0] - 1, 0)] if bad else t[-1])
