"""Many initial-value problems at once with adaptive steps, in lanes that refill from a queue (JAX, float64).

``vmap`` over an adaptive solver makes every trajectory wait for the worst close encounter of its batch.
Here each lane steps with its own step size, and takes the next trajectory from the queue when it is done.
Steps are as long as the error allows; the frames that one passes are read from the polynomial of order 7 within it.

Method: Dormand and Prince 8(5,3), ``distill.physics.dormand_prince``, with the step control of E. Hairer, S. Norsett,
G. Wanner, Solving Ordinary Differential Equations I, section II.4.
"""

from functools import partial

import numpy as np

from distill.physics import dormand_prince
from distill.physics.terms.arrays import import_jax

DONE, NOT_FINITE, UNDERFLOW, BUDGET = 0, 1, 2, 3
STATUS = {
    DONE: "done",
    NOT_FINITE: "values not finite",
    UNDERFLOW: "step size vanished",
    BUDGET: "step budget used up",
}
LANES = 8  # numbers in the widest SIMD register; more lanes gain little and idle longer behind the last trajectory
ITERATIONS = 1024  # steps of every lane between two looks at the results, at most
KEPT = 1 << 18  # numbers kept between two looks, roughly: what the processor's cache holds
PASSED = 12  # most frames in a step: all lanes wait while one reads its frames
ROOM = 512  # shortest queue: shorter ones share what was compiled
OPTIONS = {"xla_cpu_prefer_vector_width": "512"}  # XLA's 256 leaves half of each AVX-512 register empty
SMALLEST_STEP = 1e-14  # of the time between two frames


def make_solver(rhs, lanes: int = LANES, iterations: int = ITERATIONS, positions: int = 0, longest: int = PASSED):
    """A solver for ``y' = rhs(y, p)``, autonomous, compiled once for given sizes.

    ``rhs`` takes the states ``y [state, lane]`` and the parameters ``p [parameter, lane]``. ``positions`` of the
    states are told apart, see ``distill.physics.dormand_prince``. No step passes more than ``longest`` frames, which
    keeps one from missing a short force. Returns

        solve(y0 [trajectory, state], p [trajectory, parameter], spacing, frames, rtol, atol,
              max_steps, on_done=None) -> y [trajectory, frame, state], status, steps [trajectory]

    Frame 0 is ``y0``; frames are ``spacing`` apart. ``status`` is one of ``STATUS``; the frames of a
    trajectory that is not ``DONE`` are NaN from the failure on. ``steps`` counts tried steps.
    ``on_done(k)`` is called as k more trajectories come to their end.
    """
    (advance, difficulty, on_device), room = _compile(rhs, lanes, iterations, positions, longest), ROOM

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
        y_queue, p_queue, row = np.zeros((room, size)), np.ones((room, p.shape[1])), np.zeros(room, dtype=np.int64)
        y_queue[:total], p_queue[:total] = y0, p
        y_queue[total:], p_queue[total:] = y0[0], p[0]
        # The hardest first, or the last lane to end keeps all others idle; no trajectory knows its place.
        row[:total] = np.argsort(-difficulty(y_queue, p_queue)[:total], kind="stable")
        y_queue[:total], p_queue[:total] = y0[row[:total]], p[row[:total]]
        limits = np.int64(total), float(spacing), np.int64(frames), float(rtol), float(atol), np.int64(max_steps)
        queue, limits = on_device((y_queue, p_queue, row)), on_device(limits)
        flat = y.reshape(total * frames, size)
        carry, left = None, total
        while left:
            carry, (place, states), (whose, code, count) = advance(carry, queue, limits)
            read = place >= 0
            flat[place[read]] = states.swapaxes(1, 2)[read]
            ended = code >= 0
            status[whose[ended]], steps[whose[ended]] = code[ended], count[ended]
            number = int(ended.sum())
            left -= number
            del place, states, whose, code, count  # views of memory that the next call writes to
            if on_done is not None and number:
                on_done(number)
        return y, status, steps

    return solve


def _compile(rhs, lanes, iterations, positions, longest):
    """Functions ``advance`` and ``difficulty`` for ``solve``, compiled at their first call."""
    jax = import_jax()
    jnp, lax = jax.numpy, jax.lax
    most = longest + 1  # frames in a step, with one for rounding

    def start(carry, queue, limits):
        """Give every idle lane the next trajectory of the queue and a cautious first step."""
        total, spacing, _, rtol, atol, _ = limits
        rank = jnp.cumsum(carry["idle"]) - 1
        owner = jnp.where(carry["idle"], carry["next"] + rank, carry["owner"])
        place = jnp.minimum(owner, len(queue[0]) - 1)
        y, p, row = queue[0][place].T, queue[1][place].T, queue[2][place]
        f = rhs(y, p)
        new = {"y": y, "p": p, "f": f, "row": row, "since": jnp.zeros(lanes)}
        new |= {"h": dormand_prince.first_step(y, f, rtol, atol, spacing)}
        new |= {k: jnp.zeros(lanes, jnp.int64) for k in ("frame", "steps")}
        out = {k: jnp.where(carry["idle"], v, carry[k]) for k, v in new.items()}
        return carry | out | {"owner": owner, "next": carry["next"] + carry["idle"].sum(), "idle": owner >= total}

    def keep(carry, inside, h, passed, limits):
        """Read the frames that the steps ``h`` have ``passed``: one of every lane at a time."""
        _, spacing, frames, *_ = limits
        first = carry["row"] * frames + carry["frame"]

        def one(nth, kept):
            states, place, slot = kept
            share = jnp.minimum((nth * spacing - carry["since"]) / h, 1.0)
            states = lax.dynamic_update_index_in_dim(states, dormand_prince.read(inside, share, h, positions), slot, 0)
            place = lax.dynamic_update_index_in_dim(place, jnp.where(nth <= passed, first + nth, -1), slot, 0)
            return states, place, slot + 1

        kept = lax.fori_loop(1, passed.max() + 1, one, tuple(carry[k] for k in ("states", "place", "slot")))
        return dict(zip(("states", "place", "slot"), kept, strict=True))

    def iterate(carry, queue, limits):
        total, spacing, frames, rtol, atol, max_steps = limits
        # Several at once, for a start costs all lanes the time of a stage.
        several = jnp.minimum(max(1, lanes // 8), total - carry["next"])
        waiting = (several > 0) & (carry["idle"].sum() >= several)
        carry = lax.cond(waiting, lambda c: start(c, queue, limits), lambda c: c, carry)
        old, p, idle = carry["y"], carry["p"], carry["idle"]
        left = frames - 1 - carry["frame"]
        rest = left * spacing - carry["since"]
        h, cut = dormand_prince.cut_to(jnp.minimum(carry["h"], longest * spacing), rest)
        y, error, stages = dormand_prince.step(rhs, old, p, carry["f"], h, rtol, atol, positions)
        f = rhs(y, p)
        finite = jnp.isfinite(error) & jnp.isfinite(dormand_prince.total(f))
        good = finite & (error < 1) & ~idle
        h_next = dormand_prince.next_step(h, error, finite, good)
        now = carry["since"] + h
        passed = jnp.where(cut, left, jnp.floor(now / spacing).astype(jnp.int64))
        passed = jnp.where(good, passed, 0)
        inside = lax.cond(
            (passed > 0).any(),
            lambda *a: dormand_prince.within(rhs, *a, positions),
            lambda *_: jnp.zeros((dormand_prince.numbers(len(old), positions), lanes)),
            *(old, p, h, stages, f),
        )
        kept = keep(carry, inside, h, passed, limits)
        frame, steps = carry["frame"] + passed, carry["steps"] + 1
        code = jnp.where(frame == frames - 1, DONE, -1)
        code = jnp.where((code < 0) & (steps >= max_steps), BUDGET, code)
        vanished = (code < 0) & (h_next < SMALLEST_STEP * spacing)
        code = jnp.where(vanished, jnp.where(finite, UNDERFLOW, NOT_FINITE), code)
        code = jnp.where(idle, -1, code)
        ends = {"whose": carry["row"], "code": code.astype(jnp.int8), "count": steps}
        ends = {k: lax.dynamic_update_index_in_dim(carry[k], v, carry["done"], 0) for k, v in ends.items()}
        lane = {"y": jnp.where(good, y, old), "f": jnp.where(good, f, carry["f"]), "h": h_next, "frame": frame}
        lane |= {"since": jnp.where(good, now - passed * spacing, carry["since"]), "steps": steps}
        return carry | kept | ends | lane | {"idle": idle | (code >= 0), "done": carry["done"] + 1}

    def going(carry, total):
        room = (carry["done"] < iterations) & (carry["slot"] + most <= len(carry["place"]))
        return room & ((carry["next"] < total) | ~carry["idle"].all())

    @partial(jax.jit, compiler_options=OPTIONS, donate_argnums=0)
    def run(carry, queue, limits):
        carry |= {k: jnp.zeros_like(carry[k]) for k in ("done", "slot")}
        return lax.while_loop(lambda c: going(c, limits[0]), lambda c: iterate(c, queue, limits), carry)

    @jax.jit
    def slopes(y_queue, p_queue):
        return jnp.abs(rhs(y_queue.T, p_queue.T)).max(0)

    def difficulty(y_queue, p_queue):
        """Largest rate of change at the start of each trajectory ``[queue]``: close pairs have it."""
        return np.nan_to_num(np.asarray(slopes(y_queue, p_queue)))

    def advance(carry, queue, limits):
        """Go on with ``carry`` (None: begin) until so much is kept that it has to be fetched.

        Returns the new carry; for each frame read, its place in the result ``[slot, lane]`` (-1: none) and states
        ``[slot, state, lane]``; and for each step, its trajectory, status if it was the last (else -1) and number
        ``[step, lane]``. What is returned shares memory with the carry, which the next call overwrites.
        """
        carry = run(empty(queue, limits) if carry is None else carry, queue, limits)
        place, states = (np.asarray(carry[k])[: int(carry["slot"])] for k in ("place", "states"))
        ends = tuple(np.asarray(carry[k])[: int(carry["done"])] for k in ("whose", "code", "count"))
        return carry, (place, states), ends

    def empty(queue, limits):
        total, size, properties = np.int64(limits[0]), queue[0].shape[1], queue[1].shape[1]
        slots = max(2 * most, KEPT // (size * lanes))
        whole, table = np.zeros(lanes, dtype=np.int64), np.zeros((iterations, lanes), dtype=np.int64)
        states = {"y": np.zeros((size, lanes)), "f": np.zeros((size, lanes)), "p": np.ones((properties, lanes))}
        times = {"h": np.zeros(lanes), "since": np.zeros(lanes), "frame": whole, "steps": whole}
        names = {"owner": whole + total, "row": whole, "idle": np.ones(lanes, dtype=bool), "next": np.int64(0)}
        kept = {"place": np.zeros((slots, lanes), dtype=np.int64), "states": np.zeros((slots, size, lanes))}
        ends = {"whose": table, "code": table.astype(np.int8), "count": table}
        return jax.device_put(states | times | names | kept | ends | {"done": np.int64(0), "slot": np.int64(0)})

    return advance, difficulty, jax.device_put
