"""Draw initial conditions, integrate them (``distill.lanes``), and accept a trajectory only on its energy.

A trajectory whose integration fails or whose energy drifts too far is done again at tighter tolerance; if
that does not help it is dropped and a fresh one is drawn in its place. Both are counted in the report, for
dropping prefers easy initial conditions.
"""

import functools

import numpy as np

from distill import lanes
from distill.cli import UserError, progress
from distill.physics import (
    System,
    acceleration,
    energy_terms,
    external_force,
    import_jax,
    radial_force,
)
from distill.systems import initial_conditions

RTOL = ATOL = 1e-10
DRIFT_BOUND = 1e-6
MAX_STEPS = 50_000
TIGHTER = (1e-2, 1e-3)  # factors on rtol and atol when a trajectory is done again
TIGHTEST = 5e-14  # below, rounding governs and the step control only wastes steps
MORE_STEPS = 4  # factor on the step budget then
ROUNDS = 10  # draws for one place in the dataset before giving up
UNROLLED = 15  # pairs
CHUNK = 100_000  # pairs evaluated at once: what the processor's cache holds
SCALE = "kinetic energy + sum of |pair energy| + sum of |outside-field energy|, all at t = 0"


def right_hand_side(system: System, n: int, dim: int):
    """``rhs(y [state, lane], p [parameter, lane])`` for ``distill.lanes``.

    state = positions, velocities and, with drag, the energy dissipated so far; parameter = masses, charges.
    """
    jnp = import_jax().numpy
    i, j = system.pairs(n)
    incidence = np.zeros((n, len(i)))
    incidence[i, np.arange(len(i))], incidence[j, np.arange(len(j))] = 1.0, -1.0
    free = np.ones((n, 1, 1))
    free[list(system.held)] = 0.0
    drags = system.drags(n)[:, None, None]
    half = n * dim

    def difference(a):
        if system.neighbours_only:
            return a[:-1] - a[1:]
        return jnp.concatenate([a[k : k + 1] - a[k + 1 :] for k in range(n - 1)])

    def rhs(y, p):
        lanes = y.shape[-1]
        x, v = y[:half].reshape(n, dim, lanes), y[half : 2 * half].reshape(n, dim, lanes)
        mass, charge = p[:n], p[n:]
        dx = difference(x)
        r2 = sum(dx[:, k] * dx[:, k] for k in range(dim))
        r = jnp.sqrt(jnp.where(r2 > 0, r2, 1.0))
        f = radial_force(system, r, mass[i], mass[j], charge[i], charge[j], jnp)
        pair = jnp.where(r2 > 0, f / r, 0.0)[:, None] * dx
        if len(i) > UNROLLED:
            force = jnp.einsum("np,pdl->ndl", incidence, pair)
        else:  # on few lanes the product's overhead is larger than its arithmetic
            signed = [[pair[q] if w > 0 else -pair[q] for q, w in enumerate(row) if w] for row in incidence]
            force = jnp.stack([sum(terms[1:], terms[0]) for terms in signed])
        if system.external is not None:
            outside = external_force(system, jnp.moveaxis(x, -1, 0), mass.T, jnp)
            force = force + jnp.moveaxis(outside, 0, -1)
        if system.drag:
            force = force - drags * v
        a = free * force / mass[:, None]
        parts = [v.reshape(half, lanes), a.reshape(half, lanes)]
        if system.drag:
            parts.append((drags * v * v).sum((0, 1))[None])
        return jnp.concatenate(parts)

    return rhs


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
) -> dict:
    """Simulate ``trajectories`` systems of ``n`` particles in ``dim`` dimensions; float64.

    Returns ``pos, vel, acc [trajectory, frame, particle, dim]``, ``mass, charge [trajectory, particle]``,
    ``t [frame]``, ``energy_drift [trajectory]`` and ``report`` (a dict). Frame 0 is the initial condition
    and frames are ``every * dt`` apart (the system's dt unless given). ``acc`` is the acceleration at the
    stored ``pos`` and ``vel``. ``energy_drift`` is max over the frames of |E(t) + W(t) - E(0)| / scale
    with W the work done against drag and the scale ``SCALE``.

    Trajectory k depends on ``seed`` and k only, not on how many there are. Raises ``UserError`` where
    ``ROUNDS`` draws in a row cannot be integrated.
    """
    if bad := [k for k in system.held if not -n <= k < n]:
        raise UserError(f"{system.name} holds particle {bad[0]}, but there are {n}")
    spacing = every * (system.dt if dt is None else dt)
    if system.variant == "original" and frames * every > 1:
        spacing *= frames * every / (frames * every - 1)  # its linspace(0, dt N, N)
    solver = _solver(system, n, dim, lane_count)
    size = 2 * n * dim + bool(system.drag)
    y = np.empty((trajectories, frames, size))
    p = np.empty((trajectories, 2 * n))
    drift, steps = np.full(trajectories, np.inf), np.zeros(trajectories, dtype=np.int64)
    report = {"redone": 0, "dropped": 0, "reasons": {}}

    def attempt(todo, tighter, on_done=None):
        """Integrate the initial conditions in ``y[todo, 0]``; returns which of them were not accepted."""
        nonlocal y
        r, a = (max(tolerance * tighter, TIGHTEST) for tolerance in (rtol, atol))
        budget = max_steps * (1 if tighter == 1 else MORE_STEPS)
        found, status, steps[todo] = solver(y[todo, 0], p[todo], spacing, frames, r, a, budget, on_done)
        if len(todo) == trajectories:
            y = found
        else:
            y[todo] = found
        drift[todo] = energy_drift(system, n, dim, found, p[todo])
        drift[todo[status != lanes.DONE]] = np.inf
        rejected = ~(drift[todo] <= drift_bound)
        for code in status[rejected]:
            reason = "energy drift" if code == lanes.DONE else lanes.STATUS[int(code)]
            report["reasons"][reason] = report["reasons"].get(reason, 0) + 1
        return todo[rejected]

    todo = np.arange(trajectories)
    with progress(total=trajectories, desc=f"integrating {system.name}", unit="trajectory") as bar:
        for again in range(ROUNDS):
            for k in todo:
                y[k, 0], p[k] = _draw(system, n, dim, seed, int(k), again)
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
    mass, charge = p[:, :n].copy(), p[:, n:].copy()
    acc = np.empty_like(pos)
    for part in _chunks(trajectories, frames * n * n):
        state = (_lanes_last(a[part]) for a in (pos, vel, mass[:, None], charge[:, None]))
        acc[part] = acceleration(system, *state)
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
    t = spacing * np.arange(frames)
    arrays = {"pos": pos, "vel": vel, "acc": acc, "mass": mass, "charge": charge, "t": t}
    return arrays | {"energy_drift": drift, "report": report}


@functools.lru_cache(maxsize=16)
def _solver(system, n, dim, lane_count):
    # kept because compiling it takes seconds
    return lanes.make_solver(right_hand_side(system, n, dim), lanes=lane_count, positions=n * dim)


def _draw(system, n, dim, seed, trajectory, again):
    rng = np.random.default_rng([seed, trajectory, again])
    pos, vel, mass, charge = initial_conditions(system, rng, n, dim)
    if pos.shape != (n, dim) or vel.shape != (n, dim) or mass.shape != (n,) or charge.shape != (n,):
        raise UserError(
            f"the initial conditions of {system.name} have shapes {pos.shape}, {vel.shape}, {mass.shape},"
            f" {charge.shape}, expected ({n}, {dim}) twice and ({n},) twice"
        )
    work = [[0.0]] if system.drag else []
    return np.concatenate([pos.ravel(), vel.ravel(), *work]), np.concatenate([mass, charge])


def energy_drift(system: System, n: int, dim: int, y, p) -> np.ndarray:
    """max over frames of |E(t) + W(t) - E(0)| / scale ``[trajectory]``; see ``integrate``."""
    drift = np.empty(len(y))
    half = n * dim
    for part in _chunks(len(y), y.shape[1] * n * n):
        state = _lanes_last(y[part])
        pos = state[..., :half].reshape(*state.shape[:2], n, dim)
        vel = state[..., half : 2 * half].reshape(*state.shape[:2], n, dim)
        with np.errstate(all="ignore"):
            properties = _lanes_last(p[part, None])
            terms = energy_terms(system, pos, vel, properties[..., :n], properties[..., n:])
            total = sum(term.sum(axis=-1) for term in terms)
            if system.drag:
                total = total + state[..., -1]
            scale = sum(np.abs(term[:, 0]).sum(axis=-1) for term in terms)
            # A start with no energy at all has no scale: then the drift is absolute.
            scale = np.where(scale > 0, scale, 1.0)
            drift[part] = np.abs(total - total[:, :1]).max(axis=1) / scale
    return drift


def _lanes_last(array):
    """The same ``[trajectory, frame, ...]``, with these two innermost in memory: numpy's loops over them are long."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, (0, 1), (-2, -1))), (-2, -1), (0, 1))


def _chunks(count, size):
    length = max(1, CHUNK // size)
    return [slice(k, min(k + length, count)) for k in range(0, count, length)]
