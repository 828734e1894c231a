"""Rollouts by a symplectic integrator, of what has an energy: networks of energies, and laws with a potential.

A step of second order (leapfrog where H = T(p) + V(q), else the implicit midpoint rule), composed of nine to sixth
order: W. Kahan, R.-C. Li, Math. Comp. 66, 1089, 1997. The step of a trajectory never changes on its way, or it would
not be symplectic. It is chosen before: halved until the energy that is integrated, the model's own, drifts by less than
a tolerance. What a model's energy lacks of the true one then shows in the true energy alone. Units are those of the
data.
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
METHOD = "composition of nine leapfrog steps (implicit midpoint where H is not T(p) + V(q)), order 6, fixed steps"
ITERATIONS, CONVERGED = 60, 1e-13  # of the implicit midpoint rule
LEVELS = 9  # a frame takes up to 2^8 steps
IMPLICIT = 10  # stages of leapfrog that one of the implicit rule costs, roughly


@dataclass(frozen=True)
class Flow:
    """H as functions of places and momenta [lane, particle, dim] and properties, name -> [lane, particle].

    ``drift(q, p, properties)`` is dH/dp, ``kick(q, p, properties)`` -dH/dq, ``energy(q, p, properties)`` [lane].
    ``separable``: the first does not depend on q, nor the second on p. ``tolerance``: of the energy's drift; ``most``:
    stages of leapfrog, of all levels of steps together.
    """

    drift: Callable
    kick: Callable
    energy: Callable
    separable: bool = True
    tolerance: float = 1e-9
    most: int = 600_000

    def stages(self, steps: int) -> int:
        """What so many steps cost, in stages of leapfrog."""
        return steps * len(STAGES) * (1 if self.separable else IMPLICIT)


def step(flow: Flow, q, p, properties, h):
    """One step of size ``h`` [lane, 1, 1]: (q, p)."""
    if not flow.separable:
        for share in STAGES:
            q, p = _midpoint(flow, q, p, properties, share * h)
        return q, p
    velocity = flow.drift(q, p, properties)  # at the end of a stage, it is that at the beginning of the next
    for share in STAGES:
        q = q + 0.5 * share * h * velocity
        p = p + share * h * flow.kick(q, p, properties)
        velocity = flow.drift(q, p, properties)
        q = q + 0.5 * share * h * velocity
    return q, p


def _midpoint(flow, q, p, properties, h):
    dq, dp = flow.drift(q, p, properties), flow.kick(q, p, properties)
    for _ in range(ITERATIONS):
        at = q + 0.5 * h * dq, p + 0.5 * h * dp
        new = flow.drift(*at, properties), flow.kick(*at, properties)
        off = max(np.abs(h * (a - b)).max(initial=0.0) for a, b in zip(new, (dq, dp), strict=True))
        dq, dp = new
        if not off > CONVERGED * max(np.abs(q).max(), np.abs(p).max()):
            break
    return q + h * dq, p + h * dp


def follow(flow: Flow, q, p, properties: dict, t, steps: int):
    """Places and momenta at the times ``t`` [frame], with ``steps`` steps from one to the next: [lane, frame, particle,
    dim] each.
    """
    places, momenta = [q], [p]
    with np.errstate(all="ignore"):
        for span in np.diff(t):
            h = np.full((len(q), 1, 1), span / steps)
            for _ in range(steps):
                q, p = step(flow, q, p, properties, h)
            places.append(q)
            momenta.append(p)
    return np.stack(places, 1), np.stack(momenta, 1)


def own_energy(flow: Flow, q, p, properties: dict) -> np.ndarray:
    """[lane, frame] of places and momenta [lane, frame, particle, dim]."""
    with np.errstate(all="ignore"):
        return np.stack([flow.energy(q[:, k], p[:, k], properties) for k in range(q.shape[1])], 1)


def roll(flow: Flow, pos, vel, properties: dict, t, scale) -> dict:
    """``pos, vel [lane, frame, particle, dim]``, ``drift`` [lane, frame] of the own energy over ``scale`` [lane],
    ``steps`` [lane] from frame to frame, ``seconds``.

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
        found = follow(flow, pos[left], (mass * vel)[left], own, t, 2**level)
        energy = own_energy(flow, *found, own)
        off = np.abs(energy - energy[:, :1]) / scale[left, None]
        off = np.where(np.isfinite(off), off, np.inf)
        better = off.max(1) < drift[left].max(1)
        if level == 0:
            better[:] = True
        at = left[better]
        q[at], p[at], drift[at], steps[at] = found[0][better], found[1][better], off[better], 2**level
        left = left[~(off.max(1) < flow.tolerance)]
        if not len(left) or spent + flow.stages(2 ** (level + 1) * (frames - 1)) > flow.most:
            break
    return {"pos": q, "vel": p / mass[:, None], "drift": drift, "steps": steps, "seconds": time.perf_counter() - clock}
