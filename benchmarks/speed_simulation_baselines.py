"""Other ways to the trajectories of ``simulate.py``, for ``speed.py simulation``: same initial conditions and frames.

The original way (arXiv:2006.11287, appendix on simulations): one compiled call of ``jax.experimental.ode.odeint`` a
trajectory at its default tolerance in 32 bits, the force the gradient of the potential by autodiff, every time step
sampled. XLA compiles its loop whole at default options too, so those of ``import_jax``, which hold for
the process, make no difference to it. And heyoka.py (F. Biscani, D. Izzo, Revisiting high-order Taylor methods for
astrodynamics and celestial mechanics, MNRAS 504, 2021): Taylor series compiled for the SIMD width, one trajectory in
each place of it.

States are positions, then velocities ``[state]``, parameters masses, then charges ``[parameter]``, as in
``distill.physics.integrate``. Systems with pair forces only.
"""

import numpy as np

from distill.physics.system import radial_force
from distill.physics.terms.arrays import import_jax

TOLERANCE = 1.4e-8  # rtol and atol, odeint's defaults


def original(system, n: int, dim: int, frames: int, every: int, precision: str):
    """``run(y0 [trajectory, state], p [trajectory, parameter]) -> pos [trajectory, frame, particle, dim]``.

    A Python loop of compiled calls, each sampling ``frames * every`` times of which every ``every``-th is kept;
    ``precision`` is "float32" (the original) or "float64".
    """
    jax = import_jax()
    from jax.experimental.ode import odeint

    jnp = jax.numpy
    i, j = system.pairs(n)

    def potential(x, mass, charge):
        d = x[i] - x[j]
        return system.potential(jnp.sqrt((d * d).sum(-1)), mass[i], mass[j], charge[i], charge[j], jnp).sum()

    def slope(y, t, p):
        x, v = y.reshape(2, n, dim)
        mass, charge = p.reshape(2, n)
        force = -jax.grad(potential)(x, mass, charge)
        return jnp.stack([v, force / mass[:, None]]).ravel()

    @jax.jit
    def one(y0, t, p):
        return odeint(slope, y0, t, p, rtol=TOLERANCE, atol=TOLERANCE)

    times = (system.dt * np.arange(frames * every)).astype(precision)

    def run(y0, p):
        y0, p = y0.astype(precision), p.astype(precision)
        kept = [np.asarray(one(start, times, values))[::every] for start, values in zip(y0, p, strict=True)]
        return np.stack(kept)[..., : n * dim].reshape(len(y0), frames, n, dim)

    return run


def taylor(system, n: int, dim: int, frames: int, every: int, tolerance: float):
    """The same ``run`` by heyoka.py at ``tolerance`` (0: the rounding of 64 bits), or None where it is not installed.

    Batches take the trajectories in their order; what is left over of the last batch repeats its last trajectory.
    """
    try:
        import heyoka
    except ImportError:
        return None
    width = heyoka.recommended_simd_size()
    names = np.array([[f"{i}_{k}" for k in range(dim)] for i in range(n)])
    x, v = (np.array([[heyoka.make_vars(letter + s) for s in row] for row in names]) for letter in "xv")
    mass, charge = ([heyoka.par[k + shift] for k in range(n)] for shift in (0, n))
    force = np.full((n, dim), heyoka.expression(0.0))
    for i, j in zip(*system.pairs(n), strict=True):
        d = x[i] - x[j]
        r = heyoka.sqrt(heyoka.sum(list(d * d)))
        ends = {"m_i": mass[i], "m_j": mass[j], "q_i": charge[i], "q_j": charge[j]}
        pair = radial_force(system, r, ends, heyoka) / r * d
        force[i], force[j] = force[i] + pair, force[j] - pair
    equations = [*zip(x.ravel(), v.ravel(), strict=True)]
    equations += [(v[i, k], force[i, k] / mass[i]) for i in range(n) for k in range(dim)]
    solver = heyoka.taylor_adaptive_batch(equations, np.zeros((2 * n * dim, width)), tol=tolerance)
    grid = np.repeat(every * system.dt * np.arange(frames)[:, None], width, axis=1)

    def run(y0, p):
        pos = np.empty((len(y0), frames, n * dim))
        for start in range(0, len(y0), width):
            rows = np.minimum(np.arange(start, start + width), len(y0) - 1)
            solver.set_time(0.0)
            solver.state[:] = y0[rows].T
            solver.pars[:] = p[rows].T[: len(solver.pars)]  # as many as the equations name
            found = solver.propagate_grid(grid)[-1]  # [frame, state, batch]
            length = min(width, len(y0) - start)
            pos[start : start + length] = found[:, : n * dim, :length].transpose(2, 0, 1)
        return pos.reshape(len(y0), frames, n, dim)

    return run
