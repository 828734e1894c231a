"""Rollouts by a symplectic integrator, of what has an energy: networks of energies, and laws with a potential.

Leapfrog steps where H = T(p) + V(q), else those of the implicit midpoint rule, composed of nine to sixth order (W.
Kahan, R.-C. Li, Math. Comp. 66, 1089, 1997). Time goes slower in close encounters without the loss of symplecticity: of
H = T + V the leapfrog follows x0 [asinh((T - T_0)/x0) - asinh((V_0 - V)/x0)], whose paths are those of H at another
pace, dt = ds/sqrt(1 + x^2/x0^2) with x = T - T_0 = V_0 - V (M. Preto, S. Tremaine, Astron. J. 118, 2532, 1999). The
step in s never changes on the way. It is chosen before: halved until the energy that is integrated, the model's own,
drifts by less than a tolerance. What a model's energy lacks of the true one then shows in the true energy alone.
Between two steps a frame is reached by a step aside. Units are those of the data.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

COEFFICIENTS = (
    0.39216144400731413928,
    0.33259913678935943860,
    -0.70624617255763935981,
    0.082213596293550800230,
    0.79854399093482996340,
)
STAGES = (*COEFFICIENTS, *COEFFICIENTS[-2::-1])
METHOD = (
    "nine leapfrog steps in a time that slows down in close encounters (the implicit midpoint rule, in time itself,"
    " where H is not T(p) + V(q)), composed to order 6; steps that do not change on the way"
)
ITERATIONS, CONVERGED = 60, 1e-13  # of the implicit midpoint rule
LEVELS = 9  # a frame takes 2^8 steps, or more where time is slow
SLOWEST = 20  # times as many steps as at the usual pace: then a start is given up
IMPLICIT = 10  # stages of leapfrog that one of the implicit rule costs, roughly


@dataclass(frozen=True)
class Flow:
    """H as functions of places and momenta [lane, particle, dim] and properties, name -> [lane, particle].

    ``motion(q, p, properties)`` is (dH/dp, T), ``force(q, p, properties)`` (-dH/dq, V), with energies T + V = H [lane].
    ``separable``: the first does not depend on q, nor the second on p. ``tolerance``: of the energy's drift;
    ``most``: stages of leapfrog at the usual pace, of all levels of steps together.
    """

    motion: Callable
    force: Callable
    separable: bool = True
    tolerance: float = 1e-9
    most: int = 600_000

    def stages(self, steps: int) -> int:
        """What so many steps cost, in stages of leapfrog."""
        return steps * len(STAGES) * (1 if self.separable else IMPLICIT)

    def energy(self, q, p, properties) -> np.ndarray:
        return self.motion(q, p, properties)[1] + self.force(q, p, properties)[1]


def step(flow: Flow, q, p, properties, h, pace=None):
    """One step of size ``h`` [lane]: (q, p, the time that it took [lane]). ``pace(T, V)`` [lane], one of them None: dt
    over ds; None: 1.
    """
    spent = 0.0 * h
    if not flow.separable:
        for share in STAGES:
            q, p = _midpoint(flow, q, p, properties, share * h[:, None, None])
        return q, p, spent + h
    pace = pace or (lambda kinetic, potential: 1.0)
    velocity, kinetic = flow.motion(q, p, properties)  # at the end of a stage, it is that at the beginning of the next
    for share in STAGES:
        half = 0.5 * share * h * pace(kinetic, None)
        q = q + half[:, None, None] * velocity
        force, potential = flow.force(q, p, properties)
        p = p + (share * h * pace(None, potential))[:, None, None] * force
        velocity, kinetic = flow.motion(q, p, properties)
        other = 0.5 * share * h * pace(kinetic, None)
        q = q + other[:, None, None] * velocity
        spent = spent + half + other
    return q, p, spent


def _midpoint(flow, q, p, properties, h):
    dq, dp = flow.motion(q, p, properties)[0], flow.force(q, p, properties)[0]
    for _ in range(ITERATIONS):
        at = q + 0.5 * h * dq, p + 0.5 * h * dp
        new = flow.motion(*at, properties)[0], flow.force(*at, properties)[0]
        off = max(np.abs(h * (a - b)).max(initial=0.0) for a, b in zip(new, (dq, dp), strict=True))
        dq, dp = new
        if not off > CONVERGED * max(np.abs(q).max(), np.abs(p).max()):
            break
    return q + h * dq, p + h * dp


def follow(flow: Flow, q, p, properties: dict, t, steps: int, scale):
    """Places and momenta at the times ``t`` [frame], equal spans apart, with some ``steps`` steps from one to the next:
    [lane, frame, particle, dim] each, NaN where a lane was given up; ``q`` and ``p`` are used up. ``scale`` [lane]: x0,
    an energy.
    """
    lanes, frames = len(q), len(t)
    places, momenta = (np.full((lanes, frames, *q.shape[1:]), np.nan) for _ in range(2))
    places[:, 0], momenta[:, 0] = q, p
    h, now = np.full(lanes, (t[1] - t[0]) / steps), np.full(lanes, float(t[0]))
    frame, live, way = np.ones(lanes, dtype=int), np.arange(lanes), np.sign(t[1] - t[0])
    some = lambda at: {k: v[at] for k, v in properties.items()}  # noqa: E731
    with np.errstate(all="ignore"):
        start = flow.motion(q, p, properties)[1], flow.force(q, p, properties)[1]
        for _ in range(SLOWEST * steps * frames):

            def pace(kinetic, potential, live=live):
                x = kinetic - start[0][live] if potential is None else start[1][live] - potential
                return 1 / np.sqrt(1 + (x / scale[live]) ** 2)

            q[live], p[live], spent = step(flow, q[live], p[live], some(live), h[live], pace)
            now[live] += spent
            over = live[way * (now[live] - t[frame[live]]) >= 0]
            while len(over):
                aside = step(flow, q[over], p[over], some(over), t[frame[over]] - now[over])
                places[over, frame[over]], momenta[over, frame[over]] = aside[:2]
                frame[over] += 1
                over = over[frame[over] < frames]
                over = over[way * (now[over] - t[frame[over]]) >= 0]
            live = live[(frame[live] < frames) & np.isfinite(now[live])]
            if not len(live):
                break
    return places, momenta


def roll(flow: Flow, pos, vel, properties: dict, t, scale) -> dict:
    """``pos, vel [lane, frame, particle, dim]``, ``drift`` [lane, frame] of the own energy over ``scale`` [lane],
    ``steps`` [lane] from frame to frame at the usual pace, ``seconds``.

    Every lane has the first step that keeps the drift below ``flow.tolerance``; where none does with ``flow.most``
    stages, the one with the smallest.
    """
    clock, mass = time.perf_counter(), properties["mass"][..., None]
    lanes, frames = len(pos), len(t)
    q, p = (np.full((lanes, frames, *pos.shape[1:]), np.nan) for _ in range(2))
    drift, steps = np.full((lanes, frames), np.inf), np.zeros(lanes, dtype=int)
    left, spent = np.arange(lanes), 0
    for level in range(LEVELS):
        spent += flow.stages(2**level * (frames - 1))
        own = {k: v[left] for k, v in properties.items()}
        found = follow(flow, pos[left].copy(), (mass * vel)[left], own, t, 2**level, scale[left])
        with np.errstate(all="ignore"):
            energy = np.stack([flow.energy(found[0][:, k], found[1][:, k], own) for k in range(frames)], 1)
            off = np.abs(energy - energy[:, :1]) / scale[left, None]
        off = np.where(np.isfinite(off), off, np.inf)
        better = (off.max(1) < drift[left].max(1)) | (level == 0)
        at = left[better]
        q[at], p[at], drift[at], steps[at] = found[0][better], found[1][better], off[better], 2**level
        left = left[~(off.max(1) < flow.tolerance)]
        if not len(left) or spent + flow.stages(2 ** (level + 1) * (frames - 1)) > flow.most:
            break
    return {"pos": q, "vel": p / mass[:, None], "drift": drift, "steps": steps, "seconds": time.perf_counter() - clock}
