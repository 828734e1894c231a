"""One step of Dormand and Prince's 8(5,3) method for many trajectories side by side, and what lies within it (JAX).

E. Hairer, S. Norsett, G. Wanner, Solving Ordinary Differential Equations I, sections II.5, II.6 and II.10; the
coefficients are those of ``scipy.integrate.DOP853``. The polynomial within a step is of order 7 and takes three
more stages.

Arrays are ``[state, lane]``, lanes last so that the arithmetic runs along them. The first ``positions`` states must
be positions and as many after them their velocities: with x' = v the stages of x are sums of those of v, so that
position = x + c h v + h^2 (A A) accelerations, the same method without its stages of x, at half the arithmetic.
"""

import functools

import numpy as np

from distill.physics import import_jax

STAGES, EXTRA = 12, 3
NEW, FIFTH, THIRD, INNER = 12, 16, 17, 18  # rows of the tables, see ``_tables``
COEFFICIENTS = 8  # of the polynomial of each state within a step


@functools.cache
def _tables():
    """Weights of the stages by which the method forms rates and, through them, positions ``[22, 16]``.

    Rows: 12 stages, the result, 3 stages more, the two error estimates, 4 coefficients of the polynomial. Columns:
    the stages, the slope of the result being the 13th. Last, the sum of each row's weights ``[22]``.
    """
    from scipy.integrate import DOP853

    rates = np.zeros((INNER + 4, STAGES + 1 + EXTRA))
    rates[:STAGES, :STAGES], rates[NEW, :STAGES] = DOP853.A, DOP853.B
    rates[NEW + 1 : FIFTH] = DOP853.A_EXTRA
    rates[FIFTH, : NEW + 1], rates[THIRD, : NEW + 1] = DOP853.E5, DOP853.E3
    rates[INNER:] = DOP853.D
    places = rates @ rates[:FIFTH]
    places[np.abs(places) < 1e-12] = 0.0  # zero but for rounding
    nodes = rates.sum(1)
    nodes[FIFTH:] = 0.0
    return rates, places, nodes


def _combine(weights, stages):
    terms = [float(w) * k for w, k in zip(weights, stages, strict=False) if w]
    return sum(terms[1:], terms[0]) if terms else 0.0


def _change(k, y, stages, h, positions):
    """What row k of the tables adds to positions (if told apart) and to all else, a list of blocks."""
    rates, places, nodes = _tables()
    fast = h * _combine(rates[k], stages)
    if not positions:
        return [fast]
    v = y[positions : 2 * positions]
    return [h * (float(nodes[k]) * v + h * _combine(places[k], [stage[:positions] for stage in stages])), fast]


def _blocks(y, positions):
    return [y[:positions], y[positions:]] if positions else [y]


def _moved(k, y, stages, h, positions):  # by blocks, so that XLA can leave out what the right-hand side has no use for
    change = _change(k, y, stages, h, positions)
    return [block + part for block, part in zip(_blocks(y, positions), change, strict=True)]


def _slope(rhs, k, y, p, stages, h, positions):
    """Stage k: all that changes faster than positions."""
    jax = import_jax()
    moved = _moved(k, y, stages, h, positions)
    # The barriers: fused with what uses them, sums over stages are done again for every use.
    place = jax.lax.optimization_barrier(moved[0])
    return rhs(jax.numpy.concatenate([place, *moved[1:]]), p)[positions:]


def step(rhs, y, p, f, h, rtol, atol, positions):
    """One tried step of length ``h [lane]`` from ``y``, where the slope is ``f``.

    Returns the new state, its error in units of the tolerance ``[lane]`` and the 12 stages, for ``within``.
    """
    jax = import_jax()
    jnp = jax.numpy
    stages = [f[positions:]]
    for k in range(1, STAGES):
        stages.append(_slope(rhs, k, y, p, stages, h, positions))
    new = _moved(NEW, y, stages, h, positions)
    scales = [
        atol + rtol * jnp.maximum(jnp.abs(a), jnp.abs(b)) for a, b in zip(_blocks(y, positions), new, strict=True)
    ]

    def squared(k):
        parts = [(part / scale) ** 2 for part, scale in zip(_change(k, y, stages, h, positions), scales, strict=True)]
        # The barrier: fused with the sums over stages, the sum over states is not vectorised.
        return sum(part.sum(0) for part in jax.lax.optimization_barrier(parts))

    fifth, third = squared(FIFTH), squared(THIRD)
    both = jnp.where(fifth > 0, fifth + 0.01 * third, 1.0)
    return jnp.concatenate(new), fifth / jnp.sqrt(both * y.shape[0]), stages


def within(rhs, y, p, f, h, stages, y_new, f_new, positions):
    """What ``read`` needs of a step to find the states within it ``[number, lane]``: positions, then polynomials.

    Positions are read as the integral of the velocities' polynomial and so take no coefficients of their own.
    """
    jnp = import_jax().numpy
    stages = [*stages, f_new[positions:]]
    for k in range(NEW + 1, FIFTH):
        stages.append(_slope(rhs, k, y, p, stages, h, positions))
    start = y[positions:]
    gain = y_new[positions:] - start
    inner = [h * _combine(_tables()[0][k], stages) for k in range(INNER, INNER + 4)]
    slopes = f[positions:], f_new[positions:]
    poly = jnp.stack([start, gain, h * slopes[0] - gain, 2 * gain - h * (slopes[0] + slopes[1]), *inner])
    return jnp.concatenate([y[:positions], poly.reshape(-1, h.shape[0])])


def numbers(size, positions):
    """Length of ``within`` for ``size`` states."""
    return positions + COEFFICIENTS * (size - positions)


@functools.cache
def _basis():
    """Polynomials of which ``within`` holds the coefficients, and their integrals from 0 ``[8, 9]``, by powers.

    1, x, x(1-x), x(1-x)x and so on.
    """
    from numpy.polynomial import polynomial

    values, integrals = np.zeros((2, COEFFICIENTS, COEFFICIENTS + 1))
    product = np.ones(1)
    for k in range(COEFFICIENTS):
        values[k, : len(product)], integrals[k, : len(product) + 1] = product, polynomial.polyint(product)
        product = polynomial.polymul(product, [1.0, -1.0] if k % 2 else [0.0, 1.0])
    return values, integrals


def read(inside, share, h, positions):
    """States ``[time, state]`` from ``inside [time, number]`` of steps ``h [time]`` at ``share [time]``, 0 to 1."""
    jnp = import_jax().numpy
    coefficients = inside[:, positions:].reshape(len(inside), COEFFICIENTS, -1)
    powers = [jnp.ones_like(share)]
    for _ in range(COEFFICIENTS):
        powers.append(powers[-1] * share)

    def polynomial(basis, coefficients):
        parts = [_combine(row, powers)[:, None] * coefficients[:, k] for k, row in enumerate(basis)]
        return sum(parts[1:], parts[0])

    values, integrals = _basis()
    fast = polynomial(values, coefficients)
    if not positions:
        return fast
    way = h[:, None] * polynomial(integrals, coefficients[..., :positions])
    return jnp.concatenate([inside[:, :positions] + way, fast], axis=1)
