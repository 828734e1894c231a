"""Small data sets of systems that no term of a law can say, and of some that terms can: what ``outside.py`` measures.

Everything is simulated here, with forces written for this purpose and integrated by scipy, so that no formula of the
project stands on both sides. Four to six particles in two dimensions, dimensionless units.

outside   three_body  beside a pair force, an Axilrod-Teller force or couplings that a third particle's distance changes
          hidden      a source on an orbit, or a particle like the others, is left out of the data
          retarded    pairs feel where the other was: some time ago, or as a signal of finite speed brings it
          identities  labels of two particles are exchanged from some frame on, anywhere or where they meet
          noise       accelerations are random; places do a random walk, or velocities do
inside    springs  gravity  charges  and gravity with drag, charges in a trap
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

OUTSIDE = ("three_body", "hidden", "retarded", "identities", "noise")
INSIDE = ("springs", "gravity", "charges", "gravity_with_drag", "charges_in_a_trap")
TRAJECTORIES, FRAMES, STEP = 200, 50, 0.06
SOFT, SOFT_TRIANGLE = 0.2, 0.5
SIZES = (4, 5)
SHARE = (0.2, 0.8)  # median of the missing force over that of the pair force, lowest and highest
TOLERANCE = 1e-7
LATE = (0.15, 0.4)  # delays, in time units
NOISE = 0.01  # of positions, in median steps between frames
KNOT = STEP / 5  # step of the integration with delays, and of what is remembered of the past


@dataclass
class Made:
    """Arrays ``pos, vel, acc [trajectory, frame, particle, 2]``, ``t [frame]``, ``mass, charge [trajectory,
    particle]``, and what was drawn.
    """

    arrays: dict
    about: dict


# ---------------------------------------------------------------- pair forces


def springs(r, w):
    return -0.5 * (r - 1)


def gravity(r, w):
    return -w.mass[:, :, None] * w.mass[:, None] / (r + SOFT) ** 2


def charges(r, w):
    return w.charge[:, :, None] * w.charge[:, None] / (r + SOFT) ** 2


PAIRS = {"springs": springs, "gravity": gravity, "charges": charges}


class World:
    """Many copies of one system: ``pair(r, world)`` [copy, i, j], positions [copy, particle, 2]."""

    def __init__(self, pair: Callable, mass: np.ndarray, charge: np.ndarray):
        self.pair, self.mass, self.charge = pair, mass, charge
        self.other = ~np.eye(mass.shape[1], dtype=bool)

    def lines(self, pos: np.ndarray, senders: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(x_i - x_j)/r, and r (1 of a particle with itself); ``senders`` [copy, i, j, 2]: where i sees j."""
        d = pos[:, :, None] - (pos[:, None] if senders is None else senders)
        r = np.where(self.other, np.linalg.norm(d, axis=-1), 1.0)
        return d / r[..., None], r

    def force(self, pos: np.ndarray, senders: np.ndarray | None = None) -> np.ndarray:
        unit, r = self.lines(pos, senders)
        return ((self.pair(r, self) * self.other)[..., None] * unit).sum(2)


def start(rng, n: int, kind: str) -> tuple[np.ndarray, ...]:
    """pos, vel [copy, particle, 2], mass, charge [copy, particle]."""
    pos = 1.2 * np.sqrt(n / 4) * rng.standard_normal((TRAJECTORIES, n, 2))
    vel = 0.7 * rng.standard_normal((TRAJECTORIES, n, 2))
    mass = np.exp(0.5 * rng.standard_normal((TRAJECTORIES, n)))
    return pos, vel, mass, rng.choice([-1.0, 1.0], (TRAJECTORIES, n))


def integrated(force: Callable, pos, vel, mass) -> dict:
    """Frames under ``force(pos, vel, t)`` [copy, particle, 2] with the exact accelerations there."""
    shape, half, t = pos.shape, pos.size, STEP * np.arange(FRAMES)

    def rate(time, y):
        x, v = y[:half].reshape(shape), y[half:].reshape(shape)
        return np.r_[y[half:], (force(x, v, time) / mass[..., None]).ravel()]

    found = solve_ivp(rate, (0, t[-1]), np.r_[pos.ravel(), vel.ravel()], "DOP853", t, rtol=TOLERANCE, atol=TOLERANCE)
    x, v = (part.T.reshape(FRAMES, *shape) for part in (found.y[:half], found.y[half:]))
    acc = np.stack([force(*state) / mass[..., None] for state in zip(x, v, t, strict=True)])
    return {name: np.moveaxis(value, 0, 1) for name, value in (("pos", x), ("vel", v), ("acc", acc))} | {"t": t}


def comparable(rng, extra: Callable, world: World, pos, vel) -> tuple[float, float]:
    """(factor that makes ``extra(pos, vel, t)`` a share of the pair force, medians, the share)."""
    share = float(np.exp(rng.uniform(*np.log(SHARE))))
    sizes = [np.median(np.linalg.norm(f, axis=-1)) for f in (world.force(pos), extra(pos, vel, 0.0))]
    return share * sizes[0] / sizes[1], share


# ---------------------------------------------------------------- outside the terms


def axilrod_teller(pos: np.ndarray) -> np.ndarray:
    """-grad of sum over triples (1 + 3 cos a cos b cos c) / (pqs)^(3/2), a, b, c the angles of the triangle of squared
    sides p, q, s, each softened (Axilrod and Teller, J. Chem. Phys. 11, 299, 1943) [copy, particle, 2].
    """
    out = np.zeros_like(pos)
    for i in range(pos.shape[1]):
        for j in range(i):
            for k in range(j):
                sides = [pos[:, a] - pos[:, b] for a, b in ((i, j), (j, k), (k, i))]
                p, q, s = ((d**2).sum(-1) + SOFT_TRIANGLE for d in sides)
                for which, (a, b, c) in enumerate(((p, q, s), (q, s, p), (s, p, q))):
                    slope = _slope(a, b, c)[:, None] * 2 * sides[which]
                    one, two = ((i, j), (j, k), (k, i))[which]
                    out[:, one] -= slope
                    out[:, two] += slope
    return out


def _slope(p, q, s):
    """d/dp of (1 + 3/8 N/T) T^(-3/2), T = pqs, N = (p + s - q)(p + q - s)(q + s - p)."""
    a, b, c = p + s - q, p + q - s, q + s - p
    whole, product = p * q * s, a * b * c
    changes = b * c + a * c - a * b
    return -1.5 * whole**-2.5 * q * s + 0.375 * (changes * whole**-2.5 - 2.5 * product * whole**-3.5 * q * s)


def three_body(rng, world: World, pos, vel, index: int) -> tuple[dict, dict]:
    if index % 2 == 0:
        name, extra = "Axilrod-Teller", lambda x, v, t: axilrod_teller(x)
    else:

        def extra(x, v, t):
            """Pair forces times what the others' nearness to the two makes of them."""
            unit, r = world.lines(x)
            near = np.exp(-r) * world.other
            company = near.sum(2)
            company = company[:, :, None] + company[:, None] - 2 * near
            return ((world.pair(r, world) * world.other * company)[..., None] * unit).sum(2)

        name = "couplings changed by third particles"
    factor, share = comparable(rng, extra, world, pos, vel)
    made = integrated(lambda x, v, t: world.force(x) + factor * extra(x, v, t), pos, vel, world.mass)
    return made, {"what": name, "share": share}


def hidden(rng, world: World, pos, vel, index: int) -> tuple[dict, dict]:
    count = len(pos)
    if index % 2 == 0:  # on a circle, of another phase in every trajectory
        radius, phase = rng.uniform(1.0, 2.0), rng.uniform(0, 2 * np.pi, count)
        rate = 2 * np.pi / (FRAMES * STEP) * rng.uniform(0.5, 1.5)

        def extra(x, v, t):
            angle = phase + rate * t
            d = x - radius * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]
            r = np.linalg.norm(d, axis=-1, keepdims=True)
            return -world.mass[..., None] * d / (r + SOFT) ** 3

        factor, share = comparable(rng, extra, world, pos, vel)
        made = integrated(lambda x, v, t: world.force(x) + factor * extra(x, v, t), pos, vel, world.mass)
        return made, {"what": "a source on an orbit", "share": share}
    n = pos.shape[1]  # a particle like the others, three times as heavy and as charged as they are
    pos, vel = (
        np.concatenate([value, scale * rng.standard_normal((count, 1, 2))], 1)
        for value, scale in ((pos, 1.2), (vel, 0.7))
    )
    mass, charge = (np.concatenate([value, np.full((count, 1), 3.0)], 1) for value in (world.mass, world.charge))
    whole = World(world.pair, mass, charge)
    made = integrated(lambda x, v, t: whole.force(x), pos, vel, mass)
    return {k: v if k == "t" else v[:, :, :n] for k, v in made.items()}, {"what": "a particle left out", "share": None}


def retarded(rng, world: World, pos, vel, index: int) -> tuple[dict, dict]:
    """Runge-Kutta steps of fourth order; before they begin all moved uniformly."""
    late = float(rng.uniform(*LATE))
    speed = 1.5 / late  # a signal over a typical distance takes as long
    finite = index % 2 == 1
    steps, past = round(STEP / KNOT), int(np.ceil(40 * LATE[1] / KNOT))
    times = KNOT * np.arange(-past, (FRAMES - 1) * steps + 1)
    xs, vs = np.zeros((2, len(times), *pos.shape))
    xs[: past + 1] = pos + times[: past + 1, None, None, None] * vel
    vs[: past + 1] = vel
    copies, particles = np.arange(len(pos))[:, None, None], np.arange(pos.shape[1])[None, None]

    def places(known: int):
        """When [copy, i, j] -> places of j then [copy, i, j, 2], cubics between ``known`` knots."""

        def at(when):
            k = np.clip(((when - times[0]) / KNOT).astype(int), 0, known - 2)
            s = ((when - times[k]) / KNOT)[..., None]
            (x0, v0), (x1, v1) = ((xs[m, copies, particles], KNOT * vs[m, copies, particles]) for m in (k, k + 1))
            into, out = s * (1 - s) ** 2 * v0 - s**2 * (1 - s) * v1, s**2 * (3 - 2 * s)
            return (1 - out) * x0 + out * x1 + into

        return at

    def force(x, t, known):
        at, shape = places(known), (len(x), x.shape[1], x.shape[1])
        when = np.full(shape, t - late)
        if finite:
            when = np.full(shape, t)
            for _ in range(4):  # |x_i(t) - x_j(t')| = c (t - t'), slow particles: it converges
                delay = np.linalg.norm(x[:, :, None] - at(when), axis=-1) / speed
                when = t - np.maximum(delay, KNOT) * world.other - KNOT * ~world.other
        return world.force(x, at(when)) / world.mass[..., None]

    frames = {"pos": [pos], "vel": [vel], "acc": [force(pos, 0.0, past + 1)]}
    x, v = pos, vel
    for step in range((FRAMES - 1) * steps):
        known, t, h = past + step + 1, step * KNOT, KNOT
        a1 = force(x, t, known)
        a2 = force(x + h / 2 * v, t + h / 2, known)
        a3 = force(x + h / 2 * v + h * h / 4 * a1, t + h / 2, known)
        a4 = force(x + h * v + h * h / 2 * a2, t + h, known)
        x, v = x + h * v + h * h / 6 * (a1 + a2 + a3), v + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        xs[known], vs[known] = x, v
        if (step + 1) % steps == 0:
            for name, value in (("pos", x), ("vel", v), ("acc", force(x, (step + 1) * h, known + 1))):
                frames[name].append(value)
    made = {k: np.stack(v, 1) for k, v in frames.items()} | {"t": STEP * np.arange(FRAMES)}
    return made, {"what": f"signals of speed {speed:.2f}" if finite else f"{late:.2f} late", "share": None}


def identities(rng, world: World, pos, vel, index: int) -> tuple[dict, dict]:
    made = integrated(lambda x, v, t: world.force(x), pos, vel, world.mass)
    swaps = []
    for k in range(len(pos)):
        for _ in range(max(1, rng.poisson(1.0)) if index % 2 == 0 else 1):
            if index % 2 == 0:
                frame, (i, j) = int(rng.integers(5, FRAMES - 5)), rng.permutation(pos.shape[1])[:2]
            else:
                r = np.linalg.norm(made["pos"][k, :, :, None] - made["pos"][k, :, None], axis=-1)
                r[:5], r[-5:] = np.inf, np.inf
                frame, i, j = np.unravel_index(np.argmin(np.where(np.eye(pos.shape[1]), np.inf, r)), r.shape)
            for name in ("pos", "vel", "acc"):
                made[name][k, frame:, [i, j]] = made[name][k, frame:, [j, i]]
            swaps.append((k, int(frame), *sorted((int(i), int(j)))))
    return made, {"what": "labels exchanged" + (" where two meet" if index % 2 else ""), "swaps": len(swaps)}


def noise(rng, world: World, pos, vel, index: int) -> tuple[dict, dict]:
    t, shape = STEP * np.arange(FRAMES), (TRAJECTORIES, FRAMES, *pos.shape[1:])
    acc = rng.standard_normal(shape)
    if index % 2 == 0:
        steps = STEP * 0.7 * rng.standard_normal(shape)
        x = pos[:, None] + np.cumsum(steps, 1)
        return {"pos": x, "vel": 0.7 * rng.standard_normal(shape), "acc": acc, "t": t}, {"what": "places walk"}
    v = vel[:, None] + np.sqrt(STEP) * np.cumsum(rng.standard_normal(shape), 1)
    x = pos[:, None] + STEP * np.cumsum(v, 1)
    return {"pos": x, "vel": v, "acc": acc, "t": t}, {"what": "velocities walk"}


# ---------------------------------------------------------------- inside the terms


def inside(kind: str, rng, world: World, pos, vel) -> dict:
    strength = float(rng.uniform(0.2, 0.5))
    beside = {
        "gravity_with_drag": lambda x, v: -strength * v,
        "charges_in_a_trap": lambda x, v: -strength * x,
    }.get(kind, lambda x, v: 0.0)
    return integrated(lambda x, v, t: world.force(x) + beside(x, v), pos, vel, world.mass)


MAKERS = {f.__name__: f for f in (three_body, hidden, retarded, identities, noise)}


def made(kind: str, seed: int) -> Made:
    """The system ``kind`` of ``seed``; what is next to it (pair force, variant, size) goes with the seed too."""
    number = (OUTSIDE + INSIDE).index(kind)
    rng = np.random.default_rng([seed, number, 17])
    n = int(SIZES[rng.integers(len(SIZES))])
    base = kind.split("_")[0] if kind in INSIDE else list(PAIRS)[(seed // 2 + number) % len(PAIRS)]
    pos, vel, mass, charge = start(rng, n, kind)
    world = World(PAIRS[base], mass, charge)
    about: dict = {"pair": base, "n": n}
    if kind in INSIDE:
        arrays = inside(kind, rng, world, pos, vel)
    else:
        arrays, told = MAKERS[kind](rng, world, pos, vel, seed)
        about |= told
    return Made(arrays | {"mass": mass, "charge": charge}, about)


def positions_alone(arrays: dict, seed: int) -> dict:
    """The same as noisy positions."""
    pos = arrays["pos"]
    step = np.median(np.linalg.norm(np.diff(pos, axis=1), axis=-1))
    x = pos + NOISE * step * np.random.default_rng([seed, 29]).standard_normal(pos.shape)
    return {"pos": x, "t": arrays["t"], "mass": arrays["mass"], "charge": arrays["charge"]}
