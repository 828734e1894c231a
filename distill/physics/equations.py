"""Equations of motion and energies of many trajectories side by side, for ``lanes`` (JAX).

The physics is that of ``physics.system``, laid out ``[state, lane]``, lanes last: state = positions, velocities and,
where energy leaves the particles (drag, driving), what has left so far; last, where forces depend on it, the time;
parameter = the properties one after the other, ``[parameter, lane]``.
"""

import numpy as np

from distill.files.properties import of_pairs
from distill.physics.system import (
    System,
    arguments,
    further_force,
    kinetic_energy,
    node_force,
    outside_energy,
    radial_force,
    receiver_variables,
)
from distill.physics.terms import Pairs, State
from distill.physics.terms.arrays import import_jax
from distill.physics.terms.state import exchanged

ONE_BY_ONE = 30  # pairs


def right_hand_side(system: System, n: int, dim: int):
    """``rhs(y [state, lane], p [parameter, lane])`` for ``distill.physics.lanes``.

    state and parameter as in the module.
    """
    jnp = import_jax().numpy
    summed = _one_by_one if len(system.pairs(n)[0]) <= ONE_BY_ONE or system.neighbours_only else _in_rounds
    # asked here, for both are found by evaluating the forces, which cannot be done while JAX traces them
    mutual = {Radial: system.radial_reciprocal, Further: system.further_reciprocal}
    free = np.ones((n, 1, 1))
    free[list(system.held)] = 0.0
    half = n * dim

    def rhs(y, p):
        lanes = y.shape[-1]
        x, v, properties = _split(system, n, dim, y, p)
        t = y[-1] if system.in_time else 0.0
        moving = {"x": x, "v": v} if system.moving_pairs else {"x": x}
        force = summed(system, Radial(system, t, mutual[Radial]), moving, properties)
        mass, driven = properties["mass"], force if system.potential is None else 0.0
        if system.further:
            others = summed(system, Further(system, t, mutual[Further]), moving, properties)
            force, driven = force + others, driven + others
        if system.of_nodes:
            state = _state(x, v, properties, t)
            for conserves in {acting.conserves(system.properties) for acting in system.of_nodes}:
                own = node_force(system, state, lambda acting, c=conserves: acting.conserves(system.properties) is c)
                own = jnp.moveaxis(own, 0, -1)
                force, driven = force + own, driven if conserves else driven + own
        if system.response is None:
            a = free * force / mass[:, None]
        else:
            a = free * system.response.acceleration(force, v, receiver_variables(properties), jnp, axis=1)
        parts = [v.reshape(half, lanes), a.reshape(half, lanes)]
        if system.works:
            lost = -(driven * v)
            if system.response is not None and system.response.kinetic is None:
                lost = lost + free * force * v - mass[:, None] * a * v
            parts.append(lost.sum((0, 1))[None])
        if system.in_time:
            parts.append(jnp.ones((1, lanes)))
        return jnp.concatenate(parts)

    return rhs


def _state(x, v, properties, t) -> State:
    """Of all lanes, ``[lane, particle, dim]``."""
    pos, vel = (_lanes_first(a) for a in (x, v))
    return State(vel, {name: a.T for name, a in properties.items()}, pos, _alongside(t))


def _alongside(t):
    """A time, or those of lanes, beside ``[lane, particle]``."""
    return t if np.ndim(t) == 0 else t[:, None]


def _lanes_first(array):
    """``[..., lane]`` with lanes first."""
    return import_jax().numpy.moveaxis(array, -1, 0)


class Radial:
    """The radial pair force: on the first of each pair ``[pair, dim, lane]``."""

    def __init__(self, system, t, reciprocal):
        self.system, self.t, self.reciprocal = system, t, reciprocal

    def __call__(self, moved: dict, ends: dict):
        """``moved``: "x" -> x_i - x_j ``[pair, dim, lane]``; ``ends``: variable -> ``[pair, lane]``."""
        jnp, dx = import_jax().numpy, moved["x"]
        r2 = _square(dx)
        r = jnp.sqrt(jnp.where(r2 > 0, r2, 1.0))
        return jnp.where(r2 > 0, radial_force(self.system, r, ends, jnp, self.t) / r, 0.0)[:, None] * dx


class Further:
    """The other terms of pairs: on the first of each pair ``[pair, dim, lane]``."""

    def __init__(self, system, t, reciprocal):
        self.system, self.t, self.reciprocal = system, t, reciprocal

    def __call__(self, moved: dict, ends: dict):
        """``moved``: "x" and, where they are needed, "v" -> differences ``[pair, dim, lane]``; ``ends`` as above."""
        jnp, dx = import_jax().numpy, moved["x"]
        r2 = _square(dx).T
        dx, dv = (None if k not in moved else _lanes_first(moved[k]) for k in ("x", "v"))
        pairs = Pairs(
            dx, jnp.sqrt(jnp.where(r2 > 0, r2, 1.0)), {k: a.T for k, a in ends.items()}, dv, _alongside(self.t)
        )
        return jnp.moveaxis(jnp.where(r2[..., None] > 0, further_force(self.system, pairs), 0.0), 0, -1)


def _reaction(force, moved: dict, ends: dict):
    """On the second of each pair, where it is more than the force on the first with its sign changed."""
    return force({k: -a for k, a in moved.items()}, {exchanged(name): a for name, a in ends.items()})


def _one_by_one(system, force, moving, properties):
    """Sum of the pair forces ``[particle, dim, lane]``, each sum written out: fast, but long to compile for many."""
    jnp = import_jax().numpy
    n = len(moving["x"])
    i, j = system.pairs(n)
    moved, ends = {k: _differences(system, a, jnp) for k, a in moving.items()}, _ends(properties, i, j)
    pair = force(moved, ends)
    back = None if force.reciprocal else _reaction(force, moved, ends)
    terms = [
        [pair[k] for k in np.flatnonzero(i == one)]
        + [-pair[k] if back is None else back[k] for k in np.flatnonzero(j == one)]
        for one in range(n)
    ]
    return jnp.stack([sum(each[1:], each[0]) for each in terms])


def _in_rounds(system, force, moving, properties):
    """The same: in round k every particle i meets i + k, cyclically, and both are given their force."""
    jax = import_jax()
    jnp, x = jax.numpy, moving["x"]
    n = len(x)
    twice = {k: jnp.concatenate([a, a]) for k, a in (moving | properties).items()}

    def meet(k, total):
        other = {name: jax.lax.dynamic_slice_in_dim(a, k, n) for name, a in twice.items()}
        moved, ends = {name: a - other[name] for name, a in moving.items()}, of_pairs(properties, other)
        halved = jnp.where(2 * k == n, 0.5, 1.0)  # halfway round every pair meets twice
        pair = halved * force(moved, ends)
        total = total.at[:n].add(pair)
        reaction = jax.lax.dynamic_slice_in_dim(total, k, n)
        reaction = reaction - pair if force.reciprocal else reaction + halved * _reaction(force, moved, ends)
        return jax.lax.dynamic_update_slice_in_dim(total, reaction, k, 0)

    total = jax.lax.fori_loop(1, n // 2 + 1, meet, jnp.zeros((2 * n, *x.shape[1:])))
    return total[:n] + total[n:]


def energies(system: System, n: int, dim: int, y, p):
    """Energy with what has left the particles, and the sum of the terms' sizes ``[lane]``; ``y``, ``p`` as above.

    Terms: kinetic energies, pair energies, energies in the outside field.
    """
    jnp = import_jax().numpy
    i, j = system.pairs(n)
    x, v, properties = _split(system, n, dim, y, p)
    terms = [kinetic_energy(system, (v * v).sum(1), properties["mass"], properties, jnp)]
    if system.potential is not None:
        r2 = _square(_differences(system, x, jnp))
        terms.append(system.potential(*arguments(system, jnp.sqrt(r2), _ends(properties, i, j)), jnp))
    if system.of_nodes:
        terms.append(outside_energy(system, _state(x, v, properties, 0.0)).T)
    total, size = sum(t.sum(0) for t in terms), sum(jnp.abs(t).sum(0) for t in terms)
    return total + y[2 * n * dim] if system.works else total, size


def _split(system, n, dim, y, p):
    half = n * dim
    x, v = (part.reshape(n, dim, -1) for part in (y[:half], y[half : 2 * half]))
    return x, v, {name: p[k * n : (k + 1) * n] for k, name in enumerate(system.properties)}


def _ends(properties, i, j):
    return of_pairs({k: a[i] for k, a in properties.items()}, {k: a[j] for k, a in properties.items()})


def _differences(system, x, jnp):
    """``x_i - x_j [pair, dim, lane]``, in the order of ``System.pairs``."""
    if system.neighbours_only:
        return x[:-1] - x[1:]
    return jnp.concatenate([x[k : k + 1] - x[k + 1 :] for k in range(len(x) - 1)])


def _square(dx):
    return sum(dx[:, k] * dx[:, k] for k in range(dx.shape[1]))
