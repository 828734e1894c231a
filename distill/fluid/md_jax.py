"""Molecular dynamics in JAX, 64 bits, all pairs through the nearest image: small fluids without OpenMM.

Moved by ``dynamics.baoab``. The work of a step grows as the square of the number of atoms.
"""

import functools

import numpy as np

from distill.fluid.dynamics import baoab
from distill.fluid.lennard_jones import BOLTZMANN
from distill.fluid.settings import EQUILIBRATION_FRICTION, Settings
from distill.physics.neighbours import wrap
from distill.physics.system import radial_force
from distill.physics.terms.arrays import import_jax

DESCENT, LONGEST = 300, 0.05  # steps down the forces to take overlaps apart, and the furthest an atom goes in one, A
GENTLE = 500.0  # kJ/mol/nm: below this force the steps shrink with it
AT_ONCE = 2000  # time steps of the equilibration between two looks at whether to stop


def version() -> str:
    return f"jax {import_jax().__version__}, all pairs"


def run(settings: Settings, k: int, tick) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``md_openmm.run``: ``pos`` (wrapped)``, vel`` and forces ``[frame, particle, dim]`` of simulation k."""
    jax = import_jax()
    start, advance, relax = _compiled(settings.system, settings.n, float(settings.box[0]))
    pos, vel, seed = settings.start(k)
    heat = BOLTZMANN * settings.temperature / settings.system.mass
    state = start(relax(pos), vel, jax.random.PRNGKey(seed))
    for left in range(settings.equilibration_steps, 0, -AT_ONCE):
        state = advance(state, min(left, AT_ONCE), settings.dt, EQUILIBRATION_FRICTION, heat)
        state[0].block_until_ready()
        tick(0)
    friction = settings.friction
    if settings.thermostat == "none":
        friction = 0.0
        state = (state[0], state[1] - state[1].mean(axis=0), *state[2:])
    frames = []
    for frame in range(settings.frames):
        if frame:
            state = advance(state, settings.every, settings.dt, friction, heat)
        pos, vel, acc = (np.asarray(a) for a in state[:3])
        frames.append((wrap(pos, settings.box), vel, acc * settings.system.mass))
        tick()
    pos, vel, force = (np.array(a) for a in zip(*frames, strict=True))
    return pos, vel, force


@functools.lru_cache(maxsize=4)
def _compiled(system, n, length):
    jax = import_jax()
    jnp = jax.numpy
    number = np.arange(n)
    ends = system.ends(n, number[:, None], number[None, :])

    def acceleration(pos, vel=None):
        columns = [pos[:, None, k] - pos[None, :, k] for k in range(3)]
        columns = [d - length * jnp.round(d / length) for d in columns]
        r2 = sum(d * d for d in columns)
        near = (r2 > 0) & (r2 <= system.cutoff**2)
        r = jnp.sqrt(jnp.where(near, r2, 1.0))
        f = radial_force(system, r, ends, jnp)
        weight = jnp.where(near, f / r, 0.0)
        return jnp.stack([(weight * d).sum(axis=1) for d in columns], axis=1) / system.mass

    @jax.jit
    def start(pos, vel, key):
        return jnp.asarray(pos), jnp.asarray(vel), acceleration(jnp.asarray(pos)), key

    @jax.jit
    def relax(pos):
        def down(_, x):
            force = acceleration(x) * system.mass
            return x + LONGEST * force / jnp.maximum(jnp.sqrt((force**2).sum(1)).max(), GENTLE)

        return jax.lax.fori_loop(0, DESCENT, down, jnp.asarray(pos))

    @jax.jit
    def advance(state, steps, dt, friction, heat):
        kept = jnp.exp(-friction * dt)
        kick = jnp.sqrt(heat * (1 - kept**2))

        def step(_, state):
            pos, vel, acc, key = state
            key, noise = jax.random.split(key)

            def kicked(v):
                return kept * v + kick * jax.random.normal(noise, v.shape, v.dtype)

            def bath(v):
                return jax.lax.cond(friction > 0, kicked, lambda v: v, v)

            return *baoab(pos, vel, acc, dt, acceleration, bath), key

        return jax.lax.fori_loop(0, steps, step, state)

    return start, advance, relax
