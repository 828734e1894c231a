"""How noisy are observed positions? Standard deviation of a coordinate, from the observations themselves.

Divided differences of order p over p + 1 neighbouring observations, scaled so that independent noise of one size keeps
it, lose a smooth motion in proportion to the p-th power of the time between frames, and no noise at all. So the size
falls with p until noise is left: the smallest of the sizes is taken. It is a median, so that close encounters, jumps
and gaps do not decide, and times may be uneven (J. von Neumann, Ann. Math. Statist. 12, 367, 1941, for p = 1; robust
variants: F. R. Hampel, JASA 69, 383, 1974).
"""

import numpy as np

ORDERS = range(2, 11)
TO_SIGMA = 0.6744897501960817  # median of |N(0, 1)|
MOST = 60_000  # observations that are looked at
FEWEST = 20  # differences of an order
STILL = 0.05  # share of zeros
WHOLE = 1e-3  # off a whole number: what still is one


def compact(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(places of what is ``seen`` [row, frame] first, in their order: [row, frame]; how many in each row)."""
    return np.argsort(~seen, axis=1, kind="stable"), seen.sum(1)


def tracks(observed: np.ndarray, seen: np.ndarray | None, t: np.ndarray) -> tuple:
    """(positions [track, frame, dim], seen [track, frame], times [track, frame]): a track is one particle of one
    trajectory. ``observed`` [trajectory, frame, particle, dim], ``t`` [frame] or [trajectory, frame].
    """
    count, frames, n, dim = observed.shape
    there = np.isfinite(observed).all(-1)
    there = there if seen is None else there & (np.asarray(seen) != 0)
    times = np.broadcast_to(np.asarray(t, float), (count, frames))
    x = np.moveaxis(observed, 2, 1).reshape(-1, frames, dim)
    return x, np.moveaxis(there, 2, 1).reshape(-1, frames), np.repeat(times, n, 0)


def noise_of(observed: np.ndarray, seen: np.ndarray | None, t: np.ndarray) -> np.ndarray:
    """Standard deviation of the noise of each coordinate [dim] of ``observed`` [trajectory, frame, particle, dim].

    NaN or not ``seen`` [trajectory, frame, particle]: not observed. ``t`` [frame] or [trajectory, frame] rises. Zeros
    where there are fewer than ``FEWEST`` differences. Noise is taken as independent from frame to frame; it is at least
    that of the rounding, which differences do not show where motion is slow.
    """
    x, there, times = tracks(observed, seen, t)
    if len(x) * x.shape[1] > MOST:
        pick = np.random.default_rng(97).permutation(len(x))[: max(1, MOST // x.shape[1])]
        x, there, times = x[pick], there[pick], times[pick]
    place, count = compact(there)
    x = np.take_along_axis(x, place[..., None], 1).astype(float)
    times = np.take_along_axis(times, place, 1)
    valid = np.arange(x.shape[1]) < count[:, None]
    steps = np.diff(times, axis=1)[valid[:, 1:]]
    if len(steps) < FEWEST:
        return np.zeros(x.shape[2])
    times = times / np.median(steps)
    x, weights = x - x[:, :1], np.ones((*times.shape, 1))  # far from the origin digits would be lost
    least = rounding(np.diff(x, axis=1)[valid[:, 1:]])
    best = np.full(x.shape[2], np.inf)
    for order in range(1, min(ORDERS[-1], x.shape[1] - 1) + 1):
        span = times[:, order:] - times[:, : times.shape[1] - order]
        span = np.where(span > 0, span, 1.0)[..., None]
        x = np.diff(x, axis=1) / span
        later = np.pad(weights[:, 1:], ((0, 0), (0, 0), (1, 0)))
        weights = (later - np.pad(weights[:, :-1], ((0, 0), (0, 0), (0, 1)))) / span
        there = valid[:, order:]
        if order not in ORDERS or there.sum() < FEWEST:
            continue
        scaled = x[there] / np.linalg.norm(weights[there], axis=1, keepdims=True)
        best = np.minimum(best, np.median(np.abs(scaled), axis=0) / TO_SIGMA)
    return np.maximum(np.where(np.isfinite(best), best, 0.0), least)


def rounding(steps: np.ndarray) -> np.ndarray:
    """Standard deviation of the error of rounding [dim], from differences [difference, dim] of rounded numbers: where
    all are multiples of one, as those of pixels are, and many are zero, that one is the unit; else zero.
    """
    out = np.zeros(steps.shape[1])
    for axis, column in enumerate(np.abs(steps).T):
        still, column = (column == 0).mean() if len(column) else 0.0, column[column > 0]
        if still < STILL:  # the differences show it themselves
            continue
        unit = float(column.min(initial=np.inf))
        with np.errstate(all="ignore"):
            whole = column / unit
            if len(column) and (np.abs(whole - np.round(whole)) < WHOLE).all():
                out[axis] = unit / np.sqrt(12)
    return out


def coordinate_noise(observed: np.ndarray, seen: np.ndarray | None, t: np.ndarray) -> float:
    """One number for all coordinates: the root mean square of ``noise_of``."""
    return float(np.sqrt((noise_of(observed, seen, t) ** 2).mean()))
