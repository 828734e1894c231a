"""Many initial-value problems at once with adaptive steps, in lanes that refill from a queue (JAX, float64).

``vmap`` over an adaptive solver makes every trajectory wait for the worst close encounter of its batch.
Here each lane steps with its own step size, and takes the next trajectory from the queue when it is done.
Steps are cut so that one ends exactly on every saved frame: nothing is interpolated.

Method: Dormand and Prince 8(5,3) with the step control of E. Hairer, S. Norsett, G. Wanner, Solving
Ordinary Differential Equations I, section II.5 and II.10; the coefficients are those of
``scipy.integrate.DOP853``.
"""

import numpy as np

from distill.physics import import_jax

DONE, NOT_FINITE, UNDERFLOW, BUDGET = 0, 1, 2, 3
STATUS = {
    DONE: "done",
    NOT_FINITE: "values not finite",
    UNDERFLOW: "step size vanished",
    BUDGET: "step budget used up",
}
LANES = 32  # a multiple of the SIMD width; more lanes idle longer behind the last trajectory
ITERATIONS = 128  # steps of every lane between two looks at the results
ROOM = 512  # shortest queue: shorter ones share what was compiled
SMALLEST_STEP = 1e-14  # of the time between two frames


def make_solver(rhs, lanes: int = LANES, iterations: int = ITERATIONS):
    """A solver for ``y' = rhs(y, p)``, autonomous, compiled once for given sizes.

    ``rhs`` takes the states ``y [state, lane]`` and the parameters ``p [parameter, lane]``, lanes last so
    that the arithmetic runs along them. Returns

        solve(y0 [trajectory, state], p [trajectory, parameter], spacing, frames, rtol, atol,
              max_steps, on_done=None) -> y [trajectory, frame, state], status, steps [trajectory]

    Frame 0 is ``y0``; frames are ``spacing`` apart. ``status`` is one of ``STATUS``; the frames of a
    trajectory that is not ``DONE`` are NaN from the failure on. ``steps`` counts tried steps.
    ``on_done(k)`` is called as k more trajectories come to their end.
    """
    advance, room = _compile(rhs, lanes, iterations), ROOM

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
        limits = (total, spacing, frames - 1, rtol, atol, max_steps)
        carry, left = None, total
        while left:
            carry, log = advance(carry, y_queue, p_queue, limits)
            owner, frame, state, code, count = (np.asarray(a) for a in log)
            saved = np.nonzero(frame > 0)
            y[owner[saved], frame[saved]] = np.moveaxis(state, 1, -1)[saved]
            ended = np.nonzero(code >= 0)
            status[owner[ended]], steps[owner[ended]] = code[ended], count[ended]
            left -= len(ended[0])
            if on_done is not None and len(ended[0]):
                on_done(len(ended[0]))
        return y, status, steps

    return solve


def _compile(rhs, lanes, iterations):
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
        y, error = _step(rhs, carry["y"], carry["p"], carry["f"], h, rtol, atol, jnp)
        f = rhs(y, carry["p"])
        finite = jnp.isfinite(error) & jnp.isfinite(f).all(0)
        good = finite & (error < 1) & ~carry["idle"]
        factor = jnp.clip(0.9 * jnp.where(finite, error, 1e9) ** -0.125, 0.2, 10.0)
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
            y,
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

    @jax.jit
    def run(carry, y_queue, p_queue, limits):
        return lax.scan(lambda c, _: iterate(c, y_queue, p_queue, limits), carry, None, length=iterations)

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

    return advance


def _step(rhs, y, p, f, h, rtol, atol, jnp):
    """One tried step: new state ``[state, lane]`` and its error in units of the tolerance ``[lane]``."""
    from scipy.integrate import DOP853

    stages = [f]
    for row in DOP853.A[1 : DOP853.n_stages]:
        stages.append(rhs(y + h * _combine(row, stages), p))
    new = y + h * _combine(DOP853.B, stages)
    scale = atol + rtol * jnp.maximum(jnp.abs(y), jnp.abs(new))
    fifth = ((_combine(DOP853.E5, stages) / scale) ** 2).sum(0)
    third = ((_combine(DOP853.E3, stages) / scale) ** 2).sum(0)
    both = jnp.where(fifth > 0, fifth + 0.01 * third, 1.0)
    return new, jnp.abs(h) * fifth / jnp.sqrt(both * y.shape[0])


def _combine(weights, stages):
    terms = [float(w) * k for w, k in zip(weights, stages, strict=False) if w]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
