"""One step of Dormand and Prince's 8(5,3) method for many trajectories side by side, and what lies within it.

Of arrays of JAX, or of numpy for a right-hand side that JAX cannot see, like a network.

E. Hairer, S. Norsett, G. Wanner, Solving Ordinary Differential Equations I, sections II.5, II.6 and II.10; the
coefficients are those of ``scipy.integrate.DOP853``. The polynomial within a step is of order 7 and takes three
more stages.

Arrays are ``[state, lane]``, lanes last so that the arithmetic runs along them. The first ``positions`` states must
be positions and as many after them their velocities: with x' = v the stages of x are sums of those of v, so that
position = x + c h v + h^2 (A A) accelerations, the same method without its stages of x, at half the arithmetic.

Sums over stages are products of matrices: XLA fuses written-out sums with what uses them and does them again there.
"""

import functools

import numpy as np

from distill.physics.terms.arrays import array_module, import_jax

STAGES, EXTRA = 12, 3
NEW, FIFTH, THIRD, POWERS = 12, 16, 17, 18  # rows of the tables, see ``_tables``
DEGREE = 7  # of the polynomial of each rate's integral within a step


@functools.cache
def _tables():
    """Weights of the stages by which the method forms rates and, through them, positions ``[25, 16]``.

    Rows: 12 stages, the result, 3 stages more, the two error estimates, and the coefficients of the share x of the
    step, x^2, ..., x^7 in the polynomial within it. Columns: the stages, the slope of the result being the 13th.
    Last, the sum of each row's weights ``[25]``.
    """
    from scipy.integrate import DOP853

    rates = np.zeros((POWERS + DEGREE, STAGES + 1 + EXTRA))
    rates[:STAGES, :STAGES], rates[NEW, :STAGES] = DOP853.A, DOP853.B
    rates[NEW + 1 : FIFTH] = DOP853.A_EXTRA
    rates[FIFTH, : NEW + 1], rates[THIRD, : NEW + 1] = DOP853.E5, DOP853.E3
    first, last = np.eye(STAGES + 1 + EXTRA)[[0, NEW]]
    gain = rates[NEW]
    # Coefficients of x, x(1-x), x(1-x)x and so on.
    for k, row in enumerate([gain, first - gain, 2 * gain - first - last, *DOP853.D]):
        product = np.polynomial.Polynomial([0, 1]) ** (k // 2 + 1) * np.polynomial.Polynomial([1, -1]) ** ((k + 1) // 2)
        rates[POWERS : POWERS + k + 1] += product.coef[1:, None] * row
    places = rates @ rates[:FIFTH]
    places[np.abs(places) < 1e-12] = 0.0  # zero but for rounding
    nodes = rates.sum(1)
    nodes[FIFTH:] = 0.0
    return rates, places, nodes


def total(terms):
    """Sum over the first axis of ``terms [term, lane]``, as a product: plain sums XLA does lane by lane."""
    return np.ones(len(terms)) @ terms


def _sum(weights, stages):
    """Sum of ``stages [stage, rate, lane]`` with ``weights [stage]``."""
    return (weights @ stages.reshape(len(stages), -1)).reshape(stages.shape[1:])


def _change(row, y, stages, h, positions):
    """What a row of the tables adds to positions (if told apart) and to all else."""
    rates, places, node = row
    fast = h * _sum(rates, stages)
    if not positions:
        return [fast]
    return [h * (node * y[positions : 2 * positions] + h * _sum(places, stages[:, :positions])), fast]


def _blocks(y, positions):
    return [y[:positions], y[positions:]] if positions else [y]


def _with_stages(rhs, first, last, y, p, stages, h, positions):
    """The stages with those from ``first`` up to ``last``: the rates of all that changes faster than positions."""
    xp = array_module(y)

    def rates(row, stages):
        change = _change(row, y, stages, h, positions)
        # By blocks, so that XLA can leave out what the right-hand side has no use for.
        moved = [block + part for block, part in zip(_blocks(y, positions), change, strict=True)]
        return rhs(xp.concatenate(moved), p)[positions:]

    if xp is np:
        for k in range(first, last):
            stages[k] = rates([table[k] for table in _tables()], stages)
        return stages
    lax = import_jax().lax
    tables = [xp.asarray(table) for table in _tables()]

    def one(k, stages):
        row = [lax.dynamic_index_in_dim(table, k, 0, keepdims=False) for table in tables]
        return lax.dynamic_update_index_in_dim(stages, rates(row, stages), k, 0)

    return lax.fori_loop(first, last, one, stages)


def step(rhs, y, p, f, h, rtol, atol, positions):
    """One tried step of length ``h [lane]`` from ``y``, where the slope is ``f``.

    Returns the new state, its error in units of the tolerance ``[lane]`` and the stages, for ``within``.
    """
    xp = array_module(y)
    rest = xp.zeros((STAGES + EXTRA, len(y) - positions, len(h)))
    stages = xp.concatenate([f[None, positions:], rest])
    stages = _with_stages(rhs, 1, STAGES, y, p, stages, h, positions)
    change, *errors = (_change([table[k] for table in _tables()], y, stages, h, positions) for k in (NEW, FIFTH, THIRD))
    old = _blocks(y, positions)
    new = [block + part for block, part in zip(old, change, strict=True)]
    scales = [atol + rtol * xp.maximum(xp.abs(a), xp.abs(b)) for a, b in zip(old, new, strict=True)]
    fifth, third = (
        sum(total((part / scale) ** 2) for part, scale in zip(error, scales, strict=True)) for error in errors
    )
    both = xp.where(fifth > 0, fifth + 0.01 * third, 1.0)
    return xp.concatenate(new), fifth / xp.sqrt(both * y.shape[0]), stages


# ---------------------------------------------------------------- the lengths of steps, section II.4 there


def first_step(y, f, rtol, atol, longest):
    """A cautious one ``[lane]`` from states ``y [state, lane]`` with slopes ``f``."""
    xp = array_module(y)
    scale = atol + rtol * xp.abs(y)
    guess = 0.01 * xp.sqrt(((y / scale) ** 2).sum(0) / (((f / scale) ** 2).sum(0) + 1e-300))
    return xp.minimum(xp.where(xp.isfinite(guess) & (guess > 0), guess, longest), longest)


def cut_to(planned, rest):
    """Steps ``[lane]`` of the lengths ``planned`` that end on ``rest`` in two equal steps instead of a long and a tiny
    one, and whether they end there.
    """
    xp = array_module(planned)
    cut = planned >= rest
    return xp.where(cut, rest, xp.where(2 * planned > rest, 0.5 * rest, planned)), cut


def next_step(h, error, finite, good):
    """The length to try after a step ``h`` of this ``error`` that was ``good`` or not ``[lane]``."""
    xp = array_module(h)
    root = xp.sqrt(xp.sqrt(xp.sqrt(xp.where(finite, error, 1e9))))  # pow is far slower
    factor = xp.clip(0.9 / root, 0.2, 10.0)
    return h * xp.where(good, factor, xp.minimum(factor, 1.0))


# ---------------------------------------------------------------- within a step


def within(rhs, y, p, h, stages, f_new, positions):
    """What ``read`` needs of a step from ``y``, which ends with slope ``f_new``: ``[number, lane]``.

    Positions, then the coefficients of the polynomial of all else. Positions are read as the integral of the
    velocities' polynomial and so take no coefficients of their own.
    """
    jnp = import_jax().numpy
    stages = stages.at[NEW].set(f_new[positions:])
    stages = _with_stages(rhs, NEW + 1, FIFTH, y, p, stages, h, positions)
    return jnp.concatenate([y, *(h * _sum(row, stages) for row in _tables()[0][POWERS:])])


def numbers(size, positions):
    """Length of ``within`` for ``size`` states."""
    return size + DEGREE * (size - positions)


def read(inside, share, h, positions):
    """States ``[state, lane]`` at ``share [lane]``, 0 to 1, of steps ``h [lane]`` from ``inside [number, lane]``."""
    jnp = import_jax().numpy
    coefficients = inside[positions:].reshape(DEGREE + 1, -1, len(share))

    def horner(terms):
        value = terms[-1]
        for term in terms[-2::-1]:
            value = term + share * value
        return value

    fast = horner(list(coefficients))
    if not positions:
        return fast
    way = share * h * horner([c[:positions] / (k + 1) for k, c in enumerate(coefficients)])
    return jnp.concatenate([inside[:positions] + way, fast])
