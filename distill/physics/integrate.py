"""Draw initial conditions, integrate them (``distill.physics.lanes``), and accept a trajectory only on its energy.

A trajectory whose integration fails or whose energy drifts too far is done again at tighter tolerance; if
that does not help it is dropped and a fresh one is drawn in its place. Both are counted in the report, for
dropping prefers easy initial conditions.
"""

import functools

import numpy as np

from distill.physics import lanes
from distill.physics.equations import energies, right_hand_side
from distill.physics.seeding import generators
from distill.physics.system import System
from distill.physics.systems import count, initial_conditions, initial_conditions_from
from distill.physics.terms.arrays import import_jax
from distill.shell.errors import UserError
from distill.shell.stage import progress

RTOL = ATOL = 5e-9  # positions are then within 1e-7 of the exact ones in nine trajectories of ten
ACROSS_JUMPS = 0.02  # factor on both where the force jumps: the error estimate expects a smooth one
DRIFT_BOUND = 1e-6
MAX_STEPS = 50_000
TIGHTER = (1e-2, 1e-3)  # factors on rtol and atol when a trajectory is done again
TIGHTEST = 5e-14  # below, rounding governs and the step control only wastes steps
SMALL = 1e-3  # typical positions or speeds below: the absolute tolerance is of them
MORE_STEPS = 4  # factor on the step budget then
ROUNDS = 10  # draws for one place in the dataset before giving up
BODIES_FROM = 1 << 30  # number of the draw that bodies have their properties from: no trajectory's
CHUNK = 40_000  # pairs evaluated at once: what the processor's cache holds
SCALE = "kinetic energy + sum of |pair energy| + sum of |outside-field energy|, all at t = 0"


def integrate(
    system: System,
    n: int,
    dim: int,
    trajectories: int,
    frames: int,
    every: int,
    seed: int = 0,
    rtol: float = RTOL,
    atol: float = ATOL,
    dt: float | None = None,
    max_steps: int = MAX_STEPS,
    drift_bound: float = DRIFT_BOUND,
    lane_count: int = lanes.LANES,
    bodies: int | None = None,
) -> dict:
    """Simulate ``trajectories`` systems of ``n`` particles in ``dim`` dimensions; float64.

    Returns ``pos, vel, acc [trajectory, frame, particle, dim]``, the properties ``[trajectory, particle]`` by name,
    ``t [frame]``, ``energy_drift [trajectory]`` and ``report`` (a dict). Frame 0 is the initial condition
    and frames are ``every * dt`` apart (the system's dt unless given). ``acc`` is the acceleration at the
    stored ``pos`` and ``vel``. ``energy_drift`` is max over the frames of |E(t) + W(t) - E(0)| / scale
    with W what has left the particles (drag, a response without an energy of motion) and the scale ``SCALE``.

    With ``bodies``, each trajectory has ``n`` of so many bodies, drawn once, whose properties they keep: ``id
    [trajectory, particle]`` says which.

    Where the force is known to jump, both tolerances are ``ACROSS_JUMPS`` times what is given; where initial positions
    or velocities are in units in which they are below ``SMALL``, ``atol`` is times their size. ``report`` has both.
    Trajectory k depends on ``seed`` and k only, not on how many there are. Raises ``UserError`` where
    ``ROUNDS`` draws in a row cannot be integrated.
    """
    if bad := [k for k in system.held if not -n <= k < n]:
        raise UserError(f"{system.name} holds particle {bad[0]}, but there are {n}")
    if dim not in system.dims:
        raise UserError(f"{system.name} is not defined in {dim} dimensions", f"simulate it with --dim {system.dims[0]}")
    spacing, unit = every * (system.dt if dt is None else dt), _unit(system, n, dim, seed)
    atol, least = atol * unit, np.array([TIGHTEST, TIGHTEST * unit])
    if system.jumps:
        rtol, atol = np.maximum(ACROSS_JUMPS * np.array([rtol, atol]), least).tolist()
    solver = _solver(system, n, dim, lane_count)
    size = 2 * n * dim + system.works + system.in_time
    start, y, acc = np.empty((trajectories, size)), None, None
    p = np.empty((trajectories, len(system.properties) * n))
    drift, steps = np.full(trajectories, np.inf), np.zeros(trajectories, dtype=np.int64)
    report = {"redone": 0, "dropped": 0, "reasons": {}}

    def attempt(todo, tighter, on_done=None):
        """Integrate the initial conditions ``start[todo]``, at first all; returns which of them were not accepted."""
        nonlocal y, acc
        r, a = np.maximum(tighter * np.array([rtol, atol]), least)
        budget = max_steps * (1 if tighter == 1 else MORE_STEPS)
        found, status, steps[todo] = solver(start[todo], p[todo], spacing, frames, r, a, budget, on_done)
        drift[todo], made = observe(system, n, dim, found, p[todo])
        if len(todo) == trajectories:  # taken as they are: copies would need as much memory again
            y, acc = found, made
        else:
            y[todo], acc[todo] = found, made
        drift[todo[status != lanes.DONE]] = np.inf
        rejected = ~(drift[todo] <= drift_bound)
        for code in status[rejected]:
            reason = "energy drift" if code == lanes.DONE else lanes.STATUS[int(code)]
            report["reasons"][reason] = report["reasons"].get(reason, 0) + 1
        return todo[rejected]

    if bodies is not None:
        pool, number_of = bodies_of(system, n, dim, seed, trajectories, bodies)
    todo = np.arange(trajectories)
    with progress(total=trajectories, desc=f"integrating {system.name}", unit="trajectory") as bar:
        for again in range(ROUNDS):
            start[todo], p[todo] = draw(system, n, dim, seed, todo, again)
            if bodies is not None:
                p[todo] = pool[:, number_of[todo]].transpose(1, 0, 2).reshape(len(todo), -1)
            todo = attempt(todo, 1, bar.update if again == 0 else None)
            for number, factor in enumerate(TIGHTER):
                if len(todo):
                    report["redone"] += len(todo) if number == 0 else 0
                    todo = attempt(todo, factor)
            if not len(todo):
                break
            report["dropped"] += len(todo)
    if len(todo):
        raise UserError(
            f"{len(todo)} of {trajectories} trajectories of {system.name} could not be integrated in {ROUNDS}"
            f" draws each ({', '.join(report['reasons'])})",
            "use a smaller --dt, fewer frames, or a potential without singularities",
        )
    half = n * dim
    pos = y[..., :half].reshape(trajectories, frames, n, dim)
    vel = y[..., half : 2 * half].reshape(trajectories, frames, n, dim)
    report |= {
        "energy_drift_max": float(drift.max()),
        "energy_drift_median": float(np.median(drift)),
        "energy_drift_bound": drift_bound,
        "energy_scale": SCALE,
        "steps_mean": float(steps.mean()),
        "steps_max": int(steps.max()),
        "rtol": rtol,
        "atol": atol,
        "spacing": spacing,
    }
    properties = {name: p[:, k * n : (k + 1) * n].copy() for k, name in enumerate(system.properties)}
    arrays = {"pos": pos, "vel": vel, "acc": acc} | properties | {"t": spacing * np.arange(frames)}
    arrays |= {} if bodies is None else {"id": number_of}
    return arrays | {"energy_drift": drift, "report": report}


def bodies_of(system: System, n: int, dim: int, seed: int, trajectories: int, count: int) -> tuple:
    """(properties of ``count`` bodies [property, body], which of them are in each trajectory [trajectory, particle]).

    Raises ``UserError`` where there are fewer bodies than particles.
    """
    if count < n:
        raise UserError(f"{count} bodies are too few for {n} different ones in a trajectory", f"--bodies {n}, or more")
    _, values = draw(system, count, dim, seed, np.array([BODIES_FROM]))
    rng = np.random.default_rng([seed, 137])
    return values.reshape(-1, count), np.array(
        [rng.permutation(count)[:n] for _ in range(trajectories)], dtype=np.int32
    )


@functools.lru_cache(maxsize=16)
def _solver(system, n, dim, lane_count):
    # kept because compiling it takes seconds
    rhs = right_hand_side(system, n, dim)
    return lanes.make_solver(rhs, lane_count, positions=n * dim, longest=lanes.PASSED if system.far_reaching else 1)


def draw(system: System, n: int, dim: int, seed: int, which, again: int = 0):
    """Initial states and parameters ``[trajectory, ...]`` of trajectories ``which`` of a seed, at the draw ``again``.

    Parameters are the properties of all particles, one after the other.
    Trajectory k is drawn from ``numpy.random.default_rng([seed, k, again])``. Raises ``UserError`` where a system's
    own initial conditions are not of the right shape.
    """
    if system.initial is None and seed < 2**32:
        entropy = [[seed, k, again] for k in which]
        normal = np.stack([rng.standard_normal(count(system, n, dim)) for rng in generators(entropy)])
        pos, vel, properties = initial_conditions_from(system, normal, n, dim)
    else:
        each = [_own(system, np.random.default_rng([seed, int(k), again]), n, dim) for k in which]
        pos, vel = (np.stack([one[k] for one in each]) for k in (0, 1))
        properties = {name: np.stack([one[2][name] for one in each]) for name in system.properties}
    rest = [np.zeros((len(which), 1))] * (system.works + system.in_time)  # what has left, and the time
    state = [pos.reshape(len(which), -1), vel.reshape(len(which), -1), *rest]
    return np.concatenate(state, axis=1), np.concatenate([properties[k] for k in system.properties], axis=1)


def _unit(system: System, n: int, dim: int, seed: int) -> float:
    """The smaller of typical positions and velocities that trajectory 0 starts with, 1 where that is no less than
    ``SMALL``, or zero.
    """
    start = np.abs(draw(system, n, dim, seed, [0])[0][0, : 2 * n * dim].reshape(2, -1))
    least = min((float(np.median(part[part > 0])) for part in start if (part > 0).any()), default=1.0)
    return least if least < SMALL else 1.0


def _own(system, rng, n, dim):
    pos, vel, properties = initial_conditions(system, rng, n, dim)
    shapes = [a.shape for a in (pos, vel, *properties.values())]
    if shapes != [(n, dim)] * 2 + [(n,)] * len(properties):
        found = ", ".join(map(str, shapes))
        raise UserError(
            f"the initial conditions of {system.name} have shapes {found}, expected ({n}, {dim}) twice and ({n},) for"
            f" {', '.join(properties)}"
        )
    limit = system.response and system.response.speed_limit
    if limit and not (np.linalg.norm(vel, axis=-1) < limit).all():
        raise UserError(
            f"the initial conditions of {system.name} have speeds of {limit:g} or more, which no particle has"
        )
    return pos, vel, properties


def observe(system: System, n: int, dim: int, y, p):
    """Energy drift ``[trajectory]``, see ``integrate``, and accelerations ``[trajectory, frame, particle, dim]``."""
    total, frames, size = y.shape
    drift, acc = np.empty(total), np.empty((total, frames, n, dim))
    length = max(1, CHUNK // (frames * n * n))
    run = _observer(system, n, dim)
    for start in range(0, total, length):
        part = slice(start, min(start + length, total))
        rest = (0, length - (part.stop - start)), (0, 0)
        # The last chunk is filled up: another length would be compiled again.
        states = y[part] if not rest[0][1] else np.pad(y[part], (rest[0], (0, 0), (0, 0)), mode="edge")
        found = run(states, np.pad(p[part], rest, mode="edge") if rest[0][1] else p[part])
        drift[part], acc[part] = (np.asarray(a)[: part.stop - start] for a in found)
    return drift, acc


@functools.lru_cache(maxsize=16)
def _observer(system, n, dim):
    jax = import_jax()
    jnp = jax.numpy
    rhs, half = right_hand_side(system, n, dim), n * dim

    @functools.partial(jax.jit, compiler_options=lanes.OPTIONS)
    def run(y, p):
        count, frames, size = y.shape
        # [state, trajectory and frame]: the arithmetic runs along the last axis
        flat = y.reshape(count * frames, size).T
        properties = jnp.repeat(p.T, frames, axis=1)
        acc = rhs(flat, properties)[half : 2 * half].T.reshape(count, frames, n, dim)
        energy, size = (a.reshape(count, frames) for a in energies(system, n, dim, flat, properties))
        # A start with no energy at all has no scale: then the drift is absolute.
        scale = jnp.where(size[:, 0] > 0, size[:, 0], 1.0)
        return jnp.abs(energy - energy[:, :1]).max(axis=1) / scale, acc

    return run
