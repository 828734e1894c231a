"""Equations of motion and energies of many trajectories side by side, as ``distill.lanes`` wants them (JAX).

The physics is that of ``distill.physics``, laid out ``[state, lane]``, lanes last: state = positions, velocities and,
with drag, the energy dissipated so far; parameter = masses, charges ``[parameter, lane]``.
"""

import numpy as np

from distill.physics import System, external_force, import_jax, radial_force

UNROLLED = 15  # pairs


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

    def rhs(y, p):
        lanes = y.shape[-1]
        x, v, mass, charge = _split(n, dim, y, p)
        dx, r2 = _differences(system, x, jnp)
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


def energies(system: System, n: int, dim: int, y, p):
    """Energy with the work against drag, and the sum of the terms' sizes ``[lane]``; ``y``, ``p`` as in the module.

    Terms: kinetic energies, pair energies, energies in the outside field.
    """
    jnp = import_jax().numpy
    i, j = system.pairs(n)
    x, v, mass, charge = _split(n, dim, y, p)
    _, r2 = _differences(system, x, jnp)
    terms = [
        0.5 * mass * (v * v).sum(1),
        system.potential(jnp.sqrt(r2), mass[i], mass[j], charge[i], charge[j], jnp),
    ]
    if system.external is not None:
        terms.append(system.external(jnp.moveaxis(x, -1, 0), mass.T, jnp).T)
    total, size = sum(t.sum(0) for t in terms), sum(jnp.abs(t).sum(0) for t in terms)
    return total + y[-1] if system.drag else total, size


def _split(n, dim, y, p):
    half = n * dim
    x, v = (part.reshape(n, dim, -1) for part in (y[:half], y[half : 2 * half]))
    return x, v, p[:n], p[n:]


def _differences(system, x, jnp):
    """``x_i - x_j [pair, dim, lane]`` and its square ``[pair, lane]``, in the order of ``System.pairs``."""
    if system.neighbours_only:
        dx = x[:-1] - x[1:]
    else:
        dx = jnp.concatenate([x[k : k + 1] - x[k + 1 :] for k in range(len(x) - 1)])
    return dx, sum(dx[:, k] * dx[:, k] for k in range(x.shape[1]))
