"""Equations of motion and energies of many trajectories side by side, for ``lanes`` (JAX).

The physics is that of ``physics.system``, laid out ``[state, lane]``, lanes last: state = positions, velocities and,
where energy leaves the particles (drag), what has left so far; parameter = the properties one after
the other, ``[parameter, lane]``.
"""

import numpy as np

from distill.files.properties import of_pairs
from distill.physics.system import (
    System,
    arguments,
    external_force,
    import_jax,
    kinetic_energy,
    radial_force,
    receiver_variables,
)

ONE_BY_ONE = 30  # pairs


def right_hand_side(system: System, n: int, dim: int):
    """``rhs(y [state, lane], p [parameter, lane])`` for ``distill.physics.lanes``.

    state and parameter as in the module.
    """
    jnp = import_jax().numpy
    pair_forces = _one_by_one if len(system.pairs(n)[0]) <= ONE_BY_ONE or system.neighbours_only else _in_rounds
    free = np.ones((n, 1, 1))
    free[list(system.held)] = 0.0
    half = n * dim

    def rhs(y, p):
        lanes = y.shape[-1]
        x, v, properties = _split(system, n, dim, y, p)
        force, mass = pair_forces(system, x, properties), properties["mass"]
        if system.external is not None:
            outside = external_force(system, jnp.moveaxis(x, -1, 0), mass.T, jnp)
            force = force + jnp.moveaxis(outside, 0, -1)
        if system.drag:
            force = force - system.drag * v
        if system.response is None:
            a = free * force / mass[:, None]
        else:
            a = free * system.response.acceleration(force, v, receiver_variables(properties), jnp, axis=1)
        parts = [v.reshape(half, lanes), a.reshape(half, lanes)]
        if system.works:
            lost = system.drag * v * v
            if system.response is not None and system.response.kinetic is None:
                lost = lost + free * force * v - mass[:, None] * a * v
            parts.append(lost.sum((0, 1))[None])
        return jnp.concatenate(parts)

    return rhs


def _pair_force(system, dx, r2, ends):
    """Force on the first of each pair ``[pair, dim, lane]``; ``ends``: variable -> ``[pair, lane]``."""
    jnp = import_jax().numpy
    r = jnp.sqrt(jnp.where(r2 > 0, r2, 1.0))
    return jnp.where(r2 > 0, radial_force(system, r, ends, jnp) / r, 0.0)[:, None] * dx


def _one_by_one(system, x, properties):
    """Sum of the pair forces ``[particle, dim, lane]``, each sum written out: fast, but long to compile for many."""
    jnp = import_jax().numpy
    i, j = system.pairs(len(x))
    dx, r2 = _differences(system, x, jnp)
    pair = _pair_force(system, dx, r2, _ends(properties, i, j))
    terms = [
        [pair[k] for k in np.flatnonzero(i == one)] + [-pair[k] for k in np.flatnonzero(j == one)]
        for one in range(len(x))
    ]
    return jnp.stack([sum(each[1:], each[0]) for each in terms])


def _in_rounds(system, x, properties):
    """The same: in round k every particle i meets i + k, cyclically, and both are given their force."""
    jax = import_jax()
    jnp, n = jax.numpy, len(x)
    twice = {k: jnp.concatenate([a, a]) for k, a in ({"x": x} | properties).items()}

    def meet(k, force):
        other = {name: jax.lax.dynamic_slice_in_dim(a, k, n) for name, a in twice.items()}
        dx = x - other["x"]
        pair = _pair_force(system, dx, _square(dx), of_pairs(properties, other))
        pair = jnp.where(2 * k == n, 0.5, 1.0) * pair  # halfway round every pair meets twice
        force = force.at[:n].add(pair)
        reaction = jax.lax.dynamic_slice_in_dim(force, k, n) - pair
        return jax.lax.dynamic_update_slice_in_dim(force, reaction, k, 0)

    force = jax.lax.fori_loop(1, n // 2 + 1, meet, jnp.zeros((2 * n, *x.shape[1:])))
    return force[:n] + force[n:]


def energies(system: System, n: int, dim: int, y, p):
    """Energy with what has left the particles, and the sum of the terms' sizes ``[lane]``; ``y``, ``p`` as above.

    Terms: kinetic energies, pair energies, energies in the outside field.
    """
    jnp = import_jax().numpy
    i, j = system.pairs(n)
    x, v, properties = _split(system, n, dim, y, p)
    mass, (_, r2) = properties["mass"], _differences(system, x, jnp)
    pair = arguments(system, jnp.sqrt(r2), _ends(properties, i, j))
    kinetic = kinetic_energy(system, (v * v).sum(1), mass, properties, jnp)
    terms = [kinetic, system.potential(*pair, jnp)]
    if system.external is not None:
        terms.append(system.external(jnp.moveaxis(x, -1, 0), mass.T, jnp).T)
    total, size = sum(t.sum(0) for t in terms), sum(jnp.abs(t).sum(0) for t in terms)
    return total + y[-1] if system.works else total, size


def _split(system, n, dim, y, p):
    half = n * dim
    x, v = (part.reshape(n, dim, -1) for part in (y[:half], y[half : 2 * half]))
    return x, v, {name: p[k * n : (k + 1) * n] for k, name in enumerate(system.properties)}


def _ends(properties, i, j):
    return of_pairs({k: a[i] for k, a in properties.items()}, {k: a[j] for k, a in properties.items()})


def _differences(system, x, jnp):
    """``x_i - x_j [pair, dim, lane]`` and its square ``[pair, lane]``, in the order of ``System.pairs``."""
    if system.neighbours_only:
        dx = x[:-1] - x[1:]
    else:
        dx = jnp.concatenate([x[k : k + 1] - x[k + 1 :] for k in range(len(x) - 1)])
    return dx, _square(dx)


def _square(dx):
    return sum(dx[:, k] * dx[:, k] for k in range(dx.shape[1]))
