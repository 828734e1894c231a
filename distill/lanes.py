"""Many initial-value problems at once with adaptive steps, in lanes that refill from a queue (JAX, float64).

``vmap`` over an adaptive solver makes every trajectory wait for the worst close encounter of its batch.
Here each lane steps with its own step size, and takes the next trajectory from the queue when it is done.
Steps are as long as the error allows; the frames that one passes are read from the polynomial of order 7 within it.

Method: Dormand and Prince 8(5,3), ``distill.dormand_prince``, with the step control of E. Hairer, S. Norsett,
G. Wanner, Solving Ordinary Differential Equations I, section II.4.
"""

from functools import partial

import numpy as np

from distill import dormand_prince as method
from distill.physics import import_jax

DONE, NOT_FINITE, UNDERFLOW, BUDGET = 0, 1, 2, 3
STATUS = {
    DONE: "done",
    NOT_FINITE: "values not finite",
    UNDERFLOW: "step size vanished",
    BUDGET: "step budget used up",
}
LANES = 32  # a multiple of the SIMD width; more do each step cheaper, but idle longer behind the last trajectory
ITERATIONS = 128  # steps of every lane between two looks at the results, at most
LOGGED = 1 << 18  # numbers kept between two looks, roughly: what the processor's cache holds
READ = 4096  # frames read at once
ROOM = 512  # shortest queue: shorter ones share what was compiled
OPTIONS = {"xla_cpu_prefer_vector_width": "512"}  # XLA's 256 leaves half of each AVX-512 register empty
SMALLEST_STEP = 1e-14  # of the time between two frames


def make_solver(rhs, lanes: int = LANES, iterations: int = ITERATIONS, positions: int = 0, longest: float = np.inf):
    """A solver for ``y' = rhs(y, p)``, autonomous, compiled once for given sizes.

    ``rhs`` takes the states ``y [state, lane]`` and the parameters ``p [parameter, lane]``. ``positions`` of the
    states are told apart, see ``distill.dormand_prince``. No step passes more than ``longest`` frames, which
    keeps one from missing a short force. Returns

        solve(y0 [trajectory, state], p [trajectory, parameter], spacing, frames, rtol, atol,
              max_steps, on_done=None) -> y [trajectory, frame, state], status, steps [trajectory]

    Frame 0 is ``y0``; frames are ``spacing`` apart. ``status`` is one of ``STATUS``; the frames of a
    trajectory that is not ``DONE`` are NaN from the failure on. ``steps`` counts tried steps.
    ``on_done(k)`` is called as k more trajectories come to their end.
    """
    (advance, read, difficulty), room = _compile(rhs, lanes, iterations, positions, longest), ROOM

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
        flat = y.reshape(total * frames, size)
        carry, left = None, total
        while left:
            carry, log, inside = advance(carry, y_queue, p_queue, limits)
            owner, frame, passed, since, h, code, count = (np.asarray(a).ravel() for a in log)
            steps_with = np.flatnonzero(passed)
            number = passed[steps_with]
            row = np.repeat(steps_with, number)
            nth = 1 + np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
            place = np.repeat((order[owner[steps_with]] * frames + frame[steps_with]), number) + nth
            for part in range(0, len(row), READ):
                part = slice(part, part + READ)
                flat[place[part]] = read(inside, row[part], nth[part], since, h, spacing)
            ended = np.flatnonzero(code >= 0)
            whose = order[owner[ended]]
            status[whose], steps[whose] = code[ended], count[ended]
            left -= len(ended)
            if on_done is not None and len(ended):
                on_done(len(ended))
        return y, status, steps

    return solve


def _compile(rhs, lanes, iterations, positions, longest):
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
        # Several at once, for a start costs all lanes the time of a stage.
        several = jnp.minimum(max(1, lanes // 8), total - carry["next"])
        waiting = (several > 0) & (carry["idle"].sum() >= several)
        carry = lax.cond(waiting, lambda c: start(c, y_queue, p_queue, limits), lambda c: c, carry)
        old, p, idle = carry["y"], carry["p"], carry["idle"]
        left = last_frame - carry["frame"]
        rest = left * spacing - carry["since"]
        # Two equal steps to the end where one does not reach it, instead of a long and a tiny one.
        planned = jnp.minimum(carry["h"], longest * spacing)
        cut = planned >= rest
        h = jnp.where(cut, rest, jnp.where(2 * planned > rest, 0.5 * rest, planned))
        y, error, stages = method.step(rhs, old, p, carry["f"], h, rtol, atol, positions)
        f = rhs(y, p)
        finite = jnp.isfinite(error) & jnp.isfinite(f).all(0)
        good = finite & (error < 1) & ~idle
        root = jnp.sqrt(jnp.sqrt(jnp.sqrt(jnp.where(finite, error, 1e9))))  # pow is far slower
        factor = jnp.clip(0.9 / root, 0.2, 10.0)
        h_next = h * jnp.where(good, factor, jnp.minimum(factor, 1.0))
        now = carry["since"] + h
        passed = jnp.where(cut, left, jnp.floor(now / spacing).astype(jnp.int64))
        passed = jnp.where(good, passed, 0)
        inside = lax.cond(
            (passed > 0).any(),
            lambda *a: method.within(rhs, *a, positions),
            lambda *_: jnp.zeros((method.numbers(len(old), positions), lanes)),
            *(old, p, carry["f"], h, stages, y, f),
        )
        frame = carry["frame"] + passed
        steps = carry["steps"] + 1
        code = jnp.where(frame == last_frame, DONE, -1)
        code = jnp.where((code < 0) & (steps >= max_steps), BUDGET, code)
        vanished = (code < 0) & (h_next < SMALLEST_STEP * spacing)
        code = jnp.where(vanished, jnp.where(finite, UNDERFLOW, NOT_FINITE), code)
        code = jnp.where(idle, -1, code)
        log = (carry["owner"], carry["frame"], passed, carry["since"], h, code.astype(jnp.int8), steps)
        carry = carry | {
            "y": jnp.where(good, y, old),
            "f": jnp.where(good, f, carry["f"]),
            "h": h_next,
            "since": jnp.where(good, now - passed * spacing, carry["since"]),
            "frame": frame,
            "steps": steps,
            "idle": idle | (code >= 0),
        }
        return carry, (log, inside)

    @partial(jax.jit, compiler_options=OPTIONS)
    def run(carry, y_queue, p_queue, limits):
        logged = lanes * method.numbers(len(carry["y"]), positions)
        length = min(iterations, max(1, LOGGED // logged))
        carry, (log, inside) = lax.scan(lambda c, _: iterate(c, y_queue, p_queue, limits), carry, None, length=length)
        return carry, log, inside

    @partial(jax.jit, compiler_options=OPTIONS)
    def at(inside, row, nth, since, h, spacing):
        steps = jnp.moveaxis(inside, -1, 1).reshape(-1, inside.shape[1])
        share = (nth * spacing - since[row]) / h[row]
        # The barrier: gathered once for each step's numbers side by side, not once for each number.
        return method.read(lax.optimization_barrier(steps[row]), share, h[row], positions)

    def read(inside, row, nth, since, h, spacing):
        """States ``[frame, state]`` at the ``nth`` frames passed by the steps ``row`` of the log; at most ``READ``."""
        rest = (0, READ - len(row))
        return np.asarray(at(inside, np.pad(row, rest), np.pad(nth, rest), since, h, spacing))[: len(row)]

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

    return advance, read, difficulty
