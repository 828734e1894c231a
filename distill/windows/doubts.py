"""What in tracks looks like no motion at all: single places off their track, places that repeat, jumps through a box.

Trackers lose particles and find something else for a frame, films have frames twice, and positions in a periodic box
are often written wrapped. Nothing here knows the physics: a place is called off its track where everything about it is
smooth without it.
"""

import numpy as np

from distill.windows.noise import compact, coordinate_noise, tracks
from distill.windows.smoothing import typical

BEYOND_NOISE = 8.0  # times its standard deviation,
BEYOND_OTHERS = 20.0  # and times what its neighbours are off when it is left out, a place has to be off its track
OF_A_STEP = 0.5
ROUNDS, PLACES = 3, 200_000  # places are looked at at once; two lost places close to each other hide one another
REPEATED = 0.01  # share of places equal to the one before from which it is said
WIDE, USUAL = 0.6, 0.2  # of the extent: a step through the side of a box is longer than the one, others are shorter
FEWEST = 3  # such steps
JUMP = 3.0  # times the longest of the steps around it is a step that no motion makes
UNFORETOLD = 20.0  # times what is usual its place after it is off, and before it
AS_GOOD = 0.2  # of that is what is left where two particles are exchanged
OFTEN = 0.3  # share of such steps that lead to another's track


def off_track(observed: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Whether a place of ``observed`` [trajectory, frame, particle, dim] (NaN: not seen) is off its track, with those
    before and after on it: [trajectory, frame, particle].

    The cubic through two places on either side foretells one between. A place is off its track if it is further from
    that than ``BEYOND_NOISE`` of the noise, than ``OF_A_STEP`` of the usual step, and than ``BEYOND_OTHERS`` times its
    neighbours are from theirs without it.
    A sharp turn is none: its neighbours are not foretold either.
    """
    out = np.zeros(observed.shape[:3], dtype=bool)
    if observed.shape[1] < max(map(max, _FRAMES.values())) + 1:
        return out
    at_once = max(1, PLACES // max(1, observed[0, ..., 0].size))
    parts = [slice(low, low + at_once) for low in range(0, len(observed), at_once)]
    times = np.broadcast_to(t, observed.shape[:2])
    least = OF_A_STEP * typical((observed[p], None, times[p]) for p in parts).size
    for _ in range(ROUNDS):
        noise = BEYOND_NOISE * np.sqrt(observed.shape[3]) * coordinate_noise(observed, ~out, times)
        found = 0
        for part in parts:
            off = _off(np.where(out[part, ..., None], np.nan, observed[part]), times[part], max(noise, least))
            found += int((off & ~out[part]).sum())
            out[part] |= off
        if not found:
            break
    return out


# frame of a track -> which frames, counted from it, foretell it, and which foretell its neighbours without it
_OWN = {0: (1, 2, 3, 4), 1: (-1, 1, 2, 3), 2: (-2, -1, 1, 2), 3: (-2, -1, 1, 2)}
_OTHERS = {
    0: {1: (2, 3, 4, 5), 2: (1, 3, 4, 5)},
    1: {1: (-1, 2, 3, 4), 2: (-1, 1, 3, 4)},
    2: {-1: (-2, 1, 2, 3), 1: (-2, -1, 2, 3)},
    3: {-1: (-3, -2, 1, 2), 1: (-2, -1, 2, 3)},  # and all that are further from both ends
}
_FRAMES = {k: [k + at for one in _OTHERS[k].values() for at in one] for k in _OTHERS}


def _off(observed: np.ndarray, t: np.ndarray, least: float) -> np.ndarray:
    x, there, times = tracks(observed, None, t)
    place, count = compact(there)
    s = np.take_along_axis(times, place, 1)
    y = np.take_along_axis(x, place[..., None], 1).astype(float)
    enough = count > max(map(max, _FRAMES.values()))
    bad = np.zeros(there.shape, dtype=bool)
    last = (count[:, None] - 1 - np.arange(x.shape[1])) % x.shape[1]  # the same, from the end of each track
    for k in _OWN:
        at = np.arange(k, x.shape[1] - 3) if k == 3 else np.array([k])
        bad[:, at] |= _of_frames(y, s, at, k, least) & (enough[:, None] & (at + 3 < count[:, None]))
        if k < 3:
            back = _of_frames(np.take_along_axis(y, last[..., None], 1), np.take_along_axis(s, last, 1), at, k, least)
            bad[np.arange(len(bad)), last[:, k]] |= back[:, 0] & enough
    found = np.zeros(there.shape, dtype=bool)
    row, k = np.nonzero(bad)
    found[row, place[row, k]] = True
    trajectories, frames, n, _ = observed.shape
    return np.moveaxis(found.reshape(trajectories, n, frames), 1, 2)


def _of_frames(y, s, at, k: int, least: float) -> np.ndarray:
    """Whether the frames ``at`` are off, foretold as the frame ``k`` is: [track, one of at]."""
    own = _missed(y, s, at, 0, _OWN[k])
    bad = own > least
    for neighbour, others in _OTHERS[k].items():
        if bad.any():
            bad &= own > BEYOND_OTHERS * _missed(y, s, at, neighbour, others)
    return bad


def _missed(y: np.ndarray, s: np.ndarray, at: np.ndarray, which: int, others: tuple) -> np.ndarray:
    """How far ``y`` [track, frame, dim], ``which`` frames after the frames ``at``, is from the cubic through those
    ``others`` frames after these, in standard deviations of a prediction from noisy places: [track, one of at].
    """
    with np.errstate(all="ignore"):
        error, total = y[:, at + which], np.ones((len(y), len(at)))
        for a in others:
            weight = np.ones((len(y), len(at)))
            for b in others:
                if b != a:
                    weight *= (s[:, at + which] - s[:, at + b]) / (s[:, at + a] - s[:, at + b])
            error = error - weight[..., None] * y[:, at + a]
            total += weight**2
        return np.linalg.norm(error, axis=2) / np.sqrt(total)


def exchanged(observed: np.ndarray, t: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Where two particles of ``observed`` [trajectory, frame, particle, dim] (NaN: not seen) change their places for
    good: rows of (trajectory, first frame, particle, particle).

    Both make a step ``JUMP`` times as long as those before and after it, parabolas through the three places on either
    side foretell the other side ``UNFORETOLD`` times worse than is usual, and by more than ``BEYOND_NOISE`` of the
    ``noise`` of a coordinate explains, but foretell the other's place there. Particles that bounce off each other
    between two frames make no long step. Where most of such steps lead to nobody's track, as in orbits that frames do
    not resolve, those that do are chance.
    """
    frames = observed.shape[1]
    out, strange = [], 0
    if frames < 6:
        return np.empty((0, 4), int)
    times, at_once = np.broadcast_to(t, observed.shape[:2]), max(1, PLACES // max(1, observed[0, ..., 0].size))
    parts = [slice(low, low + at_once) for low in range(0, len(observed), at_once)]
    off = np.concatenate([_across(observed[p], times[p])[2] for p in parts])
    if not np.isfinite(off).any():
        return np.empty((0, 4), int)
    least = max(UNFORETOLD * np.nanmedian(off), 4 * BEYOND_NOISE * np.sqrt(observed.shape[3]) * noise)
    with np.errstate(invalid="ignore"):
        odd = np.concatenate([(off[p] > least) & _long(observed[p]) for p in parts])
    for k in np.flatnonzero(odd.any((1, 2))):
        ahead, behind, _ = (v[0] for v in _across(observed[k : k + 1], times[k : k + 1]))
        for f in np.flatnonzero(odd[k].any(1)):
            who = np.flatnonzero(odd[k, f])
            strange += len(who)
            x, y = observed[k, f + 2], observed[k, f + 3]
            for a, i in enumerate(who):
                for j in who[a + 1 :]:
                    missed = [ahead[f, i] - y[j], ahead[f, j] - y[i], behind[f, i] - x[j], behind[f, j] - x[i]]
                    if max(map(np.linalg.norm, missed)) < AS_GOOD * min(off[k, f, i], off[k, f, j]):
                        out.append((k, f + 3, int(i), int(j)))
    return np.array(out if 2 * len(out) >= OFTEN * strange else [], int).reshape(-1, 4)


def _long(observed: np.ndarray) -> np.ndarray:
    """Which of the steps that have two before and after them are ``JUMP`` times as long as those around them
    [trajectory, step, particle].
    """
    step = np.linalg.norm(np.diff(observed, axis=1), axis=-1)
    return step[:, 2:-2] > JUMP * np.maximum(step[:, 1:-3], step[:, 3:-1])


def _across(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every step that has three places of its particle before and after it [trajectory, step, particle, ...]: the
    place after it foretold by those before, the place before it by those after, and how far both are off, the mean.
    """
    before = _parabola(x[:, :-5], x[:, 1:-4], x[:, 2:-3], t[:, :-5], t[:, 1:-4], t[:, 2:-3], t[:, 3:-2])
    after = _parabola(x[:, 5:], x[:, 4:-1], x[:, 3:-2], t[:, 5:], t[:, 4:-1], t[:, 3:-2], t[:, 2:-3])
    off = np.linalg.norm(before - x[:, 3:-2], axis=-1) + np.linalg.norm(after - x[:, 2:-3], axis=-1)
    return before, after, off / 2


def _parabola(a, b, c, s, t, u, at):
    """At the times ``at`` what goes through ``a``, ``b``, ``c`` at ``s``, ``t``, ``u``."""
    one = (at - t) * (at - u) / ((s - t) * (s - u))
    two = (at - s) * (at - u) / ((t - s) * (t - u))
    three = (at - s) * (at - t) / ((u - s) * (u - t))
    return sum(w[..., None, None] * x for w, x in ((one, a), (two, b), (three, c)))


def inertia(observed: np.ndarray) -> tuple[float, float]:
    """Correlation of the steps of ``observed`` [trajectory, frame, particle, dim] with those two frames later, which
    share no place with them and so no noise, and its standard error if steps are independent.

    Of a motion that frames resolve it is near 1, of a random walk and of places that are nothing but noise 0.
    """
    steps = np.diff(observed, axis=1)
    product = (steps[:, :-2] * steps[:, 2:]).sum(-1)
    power = (steps**2).sum(-1)
    known = np.isfinite(product)
    if not known.any() or not np.nansum(power) > 0:
        return 1.0, 0.0
    scale = np.sqrt(power[:, :-2][known].sum() * power[:, 2:][known].sum())
    return float(product[known].sum() / scale), float(np.sqrt((product[known] ** 2).sum()) / scale)


def repeated(pos: np.ndarray, held: list[int]) -> list[str]:
    """A line where places ``pos`` [trajectory, frame, particle, dim] of particles not ``held`` are those of the frame
    before too often, or everywhere.
    """
    steps = np.diff(np.delete(pos, held, axis=2), axis=1)
    known = np.isfinite(steps).all(-1)
    still = float((steps[known] == 0).all(-1).mean()) if known.any() else 0.0
    if still <= REPEATED:
        return []
    if still == 1:
        return ["nothing moves"]
    return [
        f"{100 * still:.2g} % of the places are exactly those of the frame before: frames that are there twice,"
        " particles that were lost and left where they were, or places rounded to more than a step?"
    ]


def wrapped(pos: np.ndarray) -> list[str]:
    """A line for every axis along which the places ``pos`` [trajectory, frame, particle, dim] jump as through the sides
    of a periodic box.
    """
    lines = []
    for axis, name in enumerate("xyz"[: pos.shape[3]]):
        steps = np.abs(np.diff(pos[..., axis], axis=1))
        steps = steps[np.isfinite(steps)]
        extent = float(np.nanmax(pos[..., axis]) - np.nanmin(pos[..., axis])) if len(steps) else 0.0
        through = steps > WIDE * extent
        if through.sum() >= FEWEST and not (~through & (steps > USUAL * extent)).any():
            lines.append(
                f"{int(through.sum()):,} steps along {name} are nearly as long as the data are wide ({extent:.3g}) and"
                f" none is half as long: if the box is periodic, give its sides:  --box {float(f'{extent:.2g}'):g}"
            )
    return lines
