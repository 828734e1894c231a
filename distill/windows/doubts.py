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
