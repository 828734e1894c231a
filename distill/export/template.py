"""A law of its own, springs, and what an exported law is made with: ``numpy_module`` puts others above the line.

Runs as it stands here, so that what every exported law has can be read, checked and tested as any other module.
"""

import argparse
import sys

import numpy as np

DIM = 2  # space dimensions
CHAIN = False  # whether only neighbours in the order of the particles act on each other
CUTOFF = None  # distance up to which pairs act on each other; None: any
PROPERTIES = {"mass": ("m_i", "m_j")}  # of the particles, and what formulas call those of both ends
CATEGORIES = {}  # of the particles, and the names of their levels, which are 0, 1, ... in arrays of numbers
C0 = 1.0


def radial_vector(unit, dv):
    return unit


def pair_force(unit, r, dv, t, m_i, m_j):
    """The force on i by j [..., dim]; unit = (x_i - x_j)/r and dv = v_i - v_j [..., dim], all others [...]."""
    f = -r + C0
    force = times(f, radial_vector(unit, dv))
    return force


def own_force(pos, vel, t, m_i):
    """The force on i that no other particle makes [..., dim]; pos, vel [..., dim], all others [...]."""
    return np.zeros_like(pos)


def response(force, vel, m_i):
    """The acceleration [..., dim] that the sum of all forces on i gives it; force, vel [..., dim], all others [...]."""
    return times(1 / m_i, force)


# ---------------------------------------------------------------- the same for every law

PAIRS = 1_000_000  # at once: what is computed in one go
A = (  # of the method of Dormand and Prince, order 5 with an estimate of the error of order 4
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def acceleration(pos, vel, t=0.0, box=None, **properties):
    """Accelerations [..., particle, dim]; pos, vel [..., particle, dim], t a number or [...].

    properties: those of PROPERTIES by name, each [..., particle] or a number; any others are not looked at. Of a
    category, such as species, the numbers or the names of its levels.
    box: sides of a periodic box [dim], only for a law with a CUTOFF. A particle whose position is NaN is not there.
    """
    pos, vel = np.asarray(pos, float), np.asarray(vel, float)
    if pos.shape[-1:] != (DIM,) or pos.shape != vel.shape or pos.ndim < 2:
        raise ValueError(f"pos {pos.shape} and vel {vel.shape} are to be [..., particle, {DIM}]")
    if box is not None and (CUTOFF is None or 2 * CUTOFF > np.min(box)):
        raise ValueError(f"in a box {box} a law needs a cutoff of at most half its shortest side, not {CUTOFF}")
    properties = by_level(properties)
    if missing := sorted({name.partition("__")[0] for name in set(PROPERTIES) - set(properties)}):
        raise TypeError(f"the law depends on {', '.join(missing)}: give {missing[0]}=[..., particle]")
    own = {name: np.broadcast_to(np.asarray(properties[name], float), pos.shape[:-1]) for name in PROPERTIES}
    t = np.broadcast_to(np.asarray(t, float), pos.shape[:-2])[..., None]
    receiver = {PROPERTIES[name][0]: value for name, value in own.items()}
    with np.errstate(all="ignore"):
        force = pair_sum(pos, vel, t, own, box) + own_force(pos, vel, t, **receiver)
        return response(force, vel, **receiver)


def by_level(properties):
    """properties with 1 or 0 for every level of a category, <category>__<level>, in place of its numbers or names."""
    out = dict(properties)
    for category in set(CATEGORIES) & set(out):
        value = np.asarray(out.pop(category))
        for k, level in enumerate(CATEGORIES[category]):
            out[f"{category}__{level}"] = (value == (level if value.dtype.kind == "U" else k)).astype(float)
    return out


def pair_sum(pos, vel, t, own, box=None):
    """The sum of the pair forces on every particle [..., particle, dim], PAIRS at a time."""
    n, out = pos.shape[-2], np.zeros_like(pos)
    rows = max(1, PAIRS * DIM // max(1, pos.size))
    for first in range(0, n, rows):
        i = np.arange(first, min(first + rows, n))
        d = pos[..., i, None, :] - pos[..., None, :, :]
        if box is not None:
            d = d - np.asarray(box) * np.round(d / np.asarray(box))
        r = norm(d)
        apart = np.abs(i[:, None] - np.arange(n))
        acts = np.isfinite(r) & (apart == 1 if CHAIN else apart > 0)
        if CUTOFF is not None:
            acts &= r <= CUTOFF
        apart = np.where(acts & (r > 0), r, 1.0)
        unit = np.where(acts[..., None], d, 0.0) / apart[..., None]
        dv = vel[..., i, None, :] - vel[..., None, :, :]
        ends = {}
        for name, (receiver, sender) in PROPERTIES.items():
            ends |= {receiver: own[name][..., i, None], sender: own[name][..., None, :]}
        force = pair_force(unit, apart, dv, t[..., None], **ends)
        out[..., i, :] = np.where(acts[..., None], force, 0.0).sum(-2)
    return out


def stacked(*components):
    """Components [...] of a vector, one an axis, as [..., dim]."""
    return np.stack(np.broadcast_arrays(*(np.asarray(c, float) for c in components)), axis=-1)


def times(number, vector):
    """number [...] times vector [..., dim]."""
    return np.asarray(number, float)[..., None] * vector


def norm(vector):
    """The length [...] of vector [..., dim]."""
    return np.sqrt((vector * vector).sum(-1))


def integrate(pos, vel, t, box=None, held=(), rtol=1e-9, max_steps=100_000, **properties):
    """Positions and velocities [..., frame, particle, dim] at the times t [frame] or [..., frame].

    pos, vel [..., particle, dim]: those at the first time; properties and box as in acceleration; held: numbers of
    particles that never move. Every trajectory has steps of its own, by the method of Dormand and Prince with an error
    of rtol a step. One that needs more than max_steps, or whose forces are not finite, is NaN from there on.
    """
    pos, vel = np.broadcast_arrays(np.asarray(pos, float), np.asarray(vel, float))
    lead, (n, dim) = pos.shape[:-2], pos.shape[-2:]
    properties = by_level(properties)
    t = np.broadcast_to(np.asarray(t, float), (*lead, np.shape(t)[-1])).reshape(-1, np.shape(t)[-1])
    own = {k: np.broadcast_to(np.asarray(properties[k], float), (*lead, n)).reshape(-1, n) for k in PROPERTIES}
    moves = np.isin(np.arange(n), held, invert=True)[:, None]

    def slope(y, when, lanes):
        a = acceleration(y[:, 0], y[:, 1], when, box, **{k: v[lanes] for k, v in own.items()})
        return np.stack([np.where(moves, y[:, 1], 0.0), np.where(moves, a, 0.0)], 1)

    y = np.stack([pos.reshape(-1, n, dim), vel.reshape(-1, n, dim)], 1)  # [trajectory, 2, particle, dim]
    out = np.full((len(y), t.shape[1], 2, n, dim), np.nan)
    out[:, 0] = y
    frame, steps, now = np.zeros(len(y), int), np.zeros(len(y), int), t[:, 0].copy()
    live = np.arange(len(y) if t.shape[1] > 1 else 0)
    rate = slope(y, now, np.arange(len(y)))
    there = np.isfinite(y)
    with np.errstate(all="ignore"):  # what is small beside the size of a trajectory and its speeds is let go
        length = spread(y[:, 0] - np.nanmean(y[:, 0], axis=1, keepdims=True))
        speed = spread(y[:, 1]) + np.sqrt(length * spread(rate[:, 1]))
        small = rtol * np.stack([length, np.where(speed > 0, speed, 1.0)], 1)[..., None, None]
        h = 1e-3 * np.where(speed > 0, length / speed, np.inf)
        while len(live):
            rest = t[live, frame[live] + 1] - now[live]
            whole = h[live] >= rest
            step = np.where(whole, rest, h[live])
            k = [rate[live]]
            for row, node in zip(A, NODES, strict=True):
                move = sum(a * part for a, part in zip(row, k, strict=True))
                new = y[live] + step[:, None, None, None] * move
                k.append(slope(new, now[live] + node * step, live))
            error = step[:, None, None, None] * sum(e * part for e, part in zip(ERROR, k, strict=True))
            error = error / (small[live] + rtol * np.maximum(np.abs(y[live]), np.abs(new)))
            worst = np.where(there[live], np.abs(error), 0.0).max((1, 2, 3))
            good = worst <= 1  # not where it is NaN
            change = np.clip(0.9 * np.where(np.isfinite(worst), np.maximum(worst, 1e-10), 1e9) ** -0.2, 0.2, 5.0)
            h[live] = np.where(good & whole, np.maximum(h[live], step * change), step * change)
            steps[live] += 1
            done = live[good]
            y[done], rate[done] = new[good], k[-1][good]
            now[done] += step[good]
            arrived = live[good & whole]
            frame[arrived] += 1
            now[arrived] = t[arrived, frame[arrived]]
            out[arrived, frame[arrived]] = y[arrived]
            going = (frame[live] + 1 < t.shape[1]) & (steps[live] < max_steps)
            live = live[going & (h[live] > 1e-14 * np.ptp(t[live], axis=1))]
    out = out.reshape(*lead, *out.shape[1:])
    return out[..., 0, :, :], out[..., 1, :, :]


def spread(vectors):
    """Root mean square length [trajectory] of vectors [trajectory, particle, dim]."""
    return np.sqrt(np.nanmean((vectors * vectors).sum(-1), axis=1))


def main(argv=None):
    """python law.py data.npz: the accelerations in a file against this law's, and the law's motion from its starts."""
    about = argparse.ArgumentParser(description="Hold a file of trajectories against this law, and integrate it.")
    about.add_argument("data", help="an .npz: pos, vel [trajectory, frame, particle, dim], t [frame], properties")
    about.add_argument("--out", default="rollout.npz", help="t, pos, vel and acc of the law (%(default)s)")
    about.add_argument("--trajectories", type=int, help="the first so many (all)")
    about.add_argument("--rtol", type=float, default=1e-9, help="error of a step (%(default)s)")
    about.add_argument("--held", type=int, nargs="+", default=[], help="numbers of particles that never move")
    args = about.parse_args(argv)
    with np.load(args.data) as file:
        data = {name: file[name] for name in file.files}
    for name, value in (("mass", 1.0), ("charge", 0.0)):  # as everywhere where a file has none
        data.setdefault(name, np.full(np.delete(np.shape(data.get("pos", np.zeros((0, 0, 0)))), 1)[:2], value))
    data = by_level(data)
    if missing := sorted({name.partition("__")[0] for name in {"pos", "vel", *PROPERTIES} - set(data)}):
        about.error(f"{args.data} holds no {', '.join(missing)}")
    first = slice(args.trajectories)
    pos, vel = (np.asarray(data[name][first], float) for name in ("pos", "vel"))
    if pos.ndim != 4 or pos.shape != vel.shape or pos.shape[-1] != DIM:
        about.error(f"pos {pos.shape} and vel {vel.shape} are to be [trajectory, frame, particle, {DIM}]")
    t = np.asarray(data.get("t", np.arange(pos.shape[1])), float)
    t = np.broadcast_to(t[first] if t.ndim == 2 else t, pos.shape[:2])
    own = {name: np.asarray(data[name][first], float) for name in PROPERTIES}
    box, every_frame = data.get("box"), {name: value[:, None] for name, value in own.items()}
    if "acc" in data:
        acc = np.asarray(data["acc"][first], float)
        free = np.isin(np.arange(pos.shape[2]), args.held, invert=True)
        off = norm(acceleration(pos, vel, t, box, **every_frame) - acc)[..., free]
        size = np.nanmedian(norm(acc))
        share = np.nanmean(off / (size + norm(acc)[..., free]))
        print(
            f"accelerations  mean |a - a_data| / (c + |a_data|) {share:.3g}, c {size:.3g}, n {np.isfinite(off).sum()}"
        )
    x, v = integrate(pos[:, 0], vel[:, 0], t, box, args.held, args.rtol, **own)
    gap = x - pos
    if box is not None:
        gap = gap - box * np.round(gap / box)
    off = np.sqrt(np.nanmean(gap**2, axis=(2, 3)) * DIM)
    size = spread(pos[:, 0] - np.nanmean(pos[:, 0], axis=1, keepdims=True))
    lost = int((~np.isfinite(x).any((2, 3))).any(1).sum())
    share = np.nanmedian(off[:, -1] / size) if lost < len(x) else np.nan
    print(f"positions      median distance at the end {share:.3g} of the size of a trajectory, n {len(x)}, lost {lost}")
    np.savez(args.out, t=t, pos=x, vel=v, acc=acceleration(x, v, t, box, **every_frame))
    print(f"written        {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
