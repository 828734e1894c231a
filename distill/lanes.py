"""Many initial-value problems at once with adaptive steps, in lanes that refill from a queue (JAX, float64).

``vmap`` over an adaptive solver makes every trajectory wait for the worst close encounter of its batch.
Here each lane steps with its own step size, and takes the next trajectory from the queue when it is done.
Steps are cut so that one ends exactly on every saved frame: nothing is interpolated.

Method: Dormand and Prince 8(5,3) with the step control of E. Hairer, S. Norsett, G. Wanner, Solving
Ordinary Differential Equations I, section II.5 and II.10; the coefficients are those of
``scipy.integrate.DOP853``.
"""

from functools import partial

import numpy as np

from distill.physics import import_jax

DONE, NOT_FINITE, UNDERFLOW, BUDGET = 0, 1, 2, 3
STATUS = {
    DONE: "done",
    NOT_FINITE: "values not finite",
    UNDERFLOW: "step size vanished",
    BUDGET: "step budget used up",
}
LANES = 32  # a multiple of the SIMD width; more do each step cheaper, but idle longer behind the last trajectory
ITERATIONS = 128  # steps of every lane between two looks at the results
ROOM = 512  # shortest queue: shorter ones share what was compiled
OPTIONS = {"xla_cpu_prefer_vector_width": "512"}  # XLA's 256 leaves half of each AVX-512 register empty
SMALLEST_STEP = 1e-14  # of the time between two frames


def make_solver(rhs, lanes: int = LANES, iterations: int = ITERATIONS, positions: int = 0):
    """A solver for ``y' = rhs(y, p)``, autonomous, compiled once for given sizes.

    ``rhs`` takes the states ``y [state, lane]`` and the parameters ``p [parameter, lane]``, lanes last so
    that the arithmetic runs along them. The first ``positions`` states must be positions and as many after them
    their velocities: the step then forms positions from accelerations, at half the arithmetic. Returns

        solve(y0 [trajectory, state], p [trajectory, parameter], spacing, frames, rtol, atol,
              max_steps, on_done=None) -> y [trajectory, frame, state], status, steps [trajectory]

    Frame 0 is ``y0``; frames are ``spacing`` apart. ``status`` is one of ``STATUS``; the frames of a
    trajectory that is not ``DONE`` are NaN from the failure on. ``steps`` counts tried steps.
    ``on_done(k)`` is called as k more trajectories come to their end.
    """
    (advance, difficulty), room = _compile(rhs, lanes, iterations, positions), ROOM

    def solve(y0, p, spacing, frames, rtol, atol, max_steps, on_done=None):
        total, size = y0.shape
        y = np.full((total, frames, size), np.nan)
        y[:, 0] = y0
        status, steps = np.zeros(total, dtype=np.int8), np.zeros(total, dtype=np.int64)
        if frames == 1:
            return y, status, steps
        # The queue keeps the length of the longest one so far: another length would be compiled again.
        nonlocal room
        room = max(room, lanes, total)
        y_queue, p_queue = np.zeros((room, size)), np.ones((room, p.shape[1]))
        y_queue[:total], p_queue[:total] = y0, p
        y_queue[total:], p_queue[total:] = y0[0], p[0]
        # The hardest first, or the last lane to end keeps all others idle; no trajectory knows its place.
        order = np.argsort(-difficulty(y_queue, p_queue)[:total], kind="stable")
        y_queue[:total], p_queue[:total] = y0[order], p[order]
        limits = (total, spacing, frames - 1, rtol, atol, max_steps)
        carry, left = None, total
        while left:
            carry, log = advance(carry, y_queue, p_queue, limits)
            owner, frame, state, code, count = (np.asarray(a) for a in log)
            saved, ended = np.nonzero(frame > 0), np.nonzero(code >= 0)
            y[order[owner[saved]], frame[saved]] = state[saved]
            whose = order[owner[ended]]
            status[whose], steps[whose] = code[ended], count[ended]
            left -= len(ended[0])
            if on_done is not None and len(ended[0]):
                on_done(len(ended[0]))
        return y, status, steps

    return solve


def _compile(rhs, lanes, iterations, positions):
    jax = import_jax()
    jnp, lax = jax.numpy, jax.lax

    def start(carry, y_queue, p_queue, limits):
        """Give every idle lane the next trajectory of the queue and a cautious first step."""
        total, spacing, _, rtol, atol, _ = limits
        rank = jnp.cumsum(carry["idle"]) - 1
        owner = jnp.where(carry["idle"], carry["next"] + rank, carry["owner"])
        row = jnp.minimum(owner, y_queue.shape[0] - 1)
        y, p = y_queue[row].T, p_queue[row].T
        f = rhs(y, p)
        scale = atol + rtol * jnp.abs(y)
        guess = 0.01 * jnp.sqrt(((y / scale) ** 2).sum(0) / (((f / scale) ** 2).sum(0) + 1e-300))
        new = {
            "y": y,
            "p": p,
            "f": f,
            "h": jnp.minimum(jnp.where(jnp.isfinite(guess), guess, spacing), spacing),
            "since": jnp.zeros(lanes),
            "frame": jnp.zeros(lanes, jnp.int64),
            "steps": jnp.zeros(lanes, jnp.int64),
        }
        out = {k: jnp.where(carry["idle"], v, carry[k]) for k, v in new.items()}
        out |= {"owner": owner, "next": carry["next"] + carry["idle"].sum(), "idle": owner >= total}
        return out

    def iterate(carry, y_queue, p_queue, limits):
        total, spacing, last_frame, rtol, atol, max_steps = limits
        waiting = (carry["idle"] & (carry["next"] < total)).any()
        carry = lax.cond(waiting, lambda c: start(c, y_queue, p_queue, limits), lambda c: c, carry)
        rest = spacing - carry["since"]
        # Two equal steps to the frame where one does not reach it, instead of a long and a tiny one.
        cut = carry["h"] >= rest
        h = jnp.where(cut, rest, jnp.where(2 * carry["h"] > rest, 0.5 * rest, carry["h"]))
        y, error = _step(rhs, carry["y"], carry["p"], carry["f"], h, rtol, atol, positions, jnp)
        f = rhs(y, carry["p"])
        finite = jnp.isfinite(error) & jnp.isfinite(f).all(0)
        good = finite & (error < 1) & ~carry["idle"]
        root = jnp.sqrt(jnp.sqrt(jnp.sqrt(jnp.where(finite, error, 1e9))))  # pow is far slower
        factor = jnp.clip(0.9 / root, 0.2, 10.0)
        # A step shortened to meet a frame says nothing against the longer one that was planned.
        h_next = jnp.where(good, jnp.maximum(h * factor, carry["h"]), h * jnp.minimum(factor, 1.0))
        h_next = jnp.where(good & (h == carry["h"]), h * factor, h_next)
        arrived = good & cut
        frame = carry["frame"] + arrived
        steps = carry["steps"] + 1
        code = jnp.where(frame == last_frame, DONE, -1)
        code = jnp.where((code < 0) & (steps >= max_steps), BUDGET, code)
        vanished = (code < 0) & (h_next < SMALLEST_STEP * spacing)
        code = jnp.where(vanished, jnp.where(finite, UNDERFLOW, NOT_FINITE), code)
        code = jnp.where(carry["idle"], -1, code)
        log = (
            carry["owner"],
            jnp.where(arrived, frame, -1),
            y.T,
            code.astype(jnp.int8),
            steps,
        )
        carry = carry | {
            "y": jnp.where(good, y, carry["y"]),
            "f": jnp.where(good, f, carry["f"]),
            "h": h_next,
            "since": jnp.where(arrived, 0.0, jnp.where(good, carry["since"] + h, carry["since"])),
            "frame": frame,
            "steps": steps,
            "idle": carry["idle"] | (code >= 0),
        }
        return carry, log

    @partial(jax.jit, compiler_options=OPTIONS)
    def run(carry, y_queue, p_queue, limits):
        return lax.scan(lambda c, _: iterate(c, y_queue, p_queue, limits), carry, None, length=iterations)

    @jax.jit
    def slopes(y_queue, p_queue):
        return jnp.abs(rhs(y_queue.T, p_queue.T)).max(0)

    def difficulty(y_queue, p_queue):
        """Largest rate of change at the start of each trajectory ``[queue]``: close pairs have it."""
        return np.nan_to_num(np.asarray(slopes(y_queue, p_queue)))

    def advance(carry, y_queue, p_queue, limits):
        total, spacing, last_frame, rtol, atol, max_steps = limits
        limits = (np.int64(total), float(spacing), np.int64(last_frame))
        limits += (float(rtol), float(atol), np.int64(max_steps))
        if carry is None:
            size, properties = y_queue.shape[1], p_queue.shape[1]
            zeros, whole = np.zeros(lanes), np.zeros(lanes, dtype=np.int64)
            carry = {
                "y": np.zeros((size, lanes)),
                "p": np.ones((properties, lanes)),
                "f": np.zeros((size, lanes)),
                "h": zeros,
                "since": zeros,
                "frame": whole,
                "steps": whole,
                "owner": whole + total,
                "next": np.int64(0),
                "idle": np.ones(lanes, dtype=bool),
            }
        return run(carry, y_queue, p_queue, limits)

    return advance, difficulty


def _tables():
    """Weights of the stages by which DOP853 forms rates and, through them, positions ``[13 + 2, 12]``.

    With x' = v the stages of x are sums of those of v, so that position = x + c h v + h^2 (A A) accelerations:
    the same method, without its stages of x. The last rows are the result and the two error estimates.
    """
    from scipy.integrate import DOP853

    count = DOP853.n_stages
    rates = np.stack([*DOP853.A[:count, :count], DOP853.B, DOP853.E5[:count], DOP853.E3[:count]])
    places = rates @ DOP853.A[:count, :count]
    places[np.abs(places) < 1e-12] = 0.0  # zero but for rounding
    nodes = rates.sum(1)
    nodes[-2:] = 0.0
    return rates, places, nodes


def _step(rhs, y, p, f, h, rtol, atol, positions, jnp):
    """One tried step: new state ``[state, lane]`` and its error in units of the tolerance ``[lane]``."""
    rates, places, nodes = _tables()
    v, stages = y[positions : 2 * positions], [f[positions:]]
    blocks = [y[:positions], y[positions:]] if positions else [y]

    def change(k):
        """What row k of the tables adds to each block."""
        fast = h * _combine(rates[k], stages)
        if not positions:
            return [fast]
        return [h * (float(nodes[k]) * v + h * _combine(places[k], [stage[:positions] for stage in stages])), fast]

    def moved(k):  # by blocks, so that XLA can leave out what the right-hand side makes no use of
        return [block + part for block, part in zip(blocks, change(k), strict=True)]

    for k in range(1, len(rates) - 3):
        stages.append(rhs(jnp.concatenate(moved(k)), p)[positions:])
    new = moved(-3)
    scales = [atol + rtol * jnp.maximum(jnp.abs(a), jnp.abs(b)) for a, b in zip(blocks, new, strict=True)]

    def squared(k):
        parts = [(part / scale) ** 2 for part, scale in zip(change(k), scales, strict=True)]
        # The barrier: fused with the sums over stages, the sum over states is not vectorised.
        return sum(part.sum(0) for part in import_jax().lax.optimization_barrier(parts))

    fifth, third = squared(-2), squared(-1)
    both = jnp.where(fifth > 0, fifth + 0.01 * third, 1.0)
    return jnp.concatenate(new), fifth / jnp.sqrt(both * y.shape[0])


def _combine(weights, stages):
    terms = [float(w) * k for w, k in zip(weights, stages, strict=False) if w]
    return sum(terms[1:], terms[0]) if terms else 0.0
