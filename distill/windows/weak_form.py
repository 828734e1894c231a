"""Windows: what observed positions say of accelerations without being differentiated.

The second difference of three neighbouring observations of one particle is the mean of its acceleration under a hat,

    (x_{k+1} - x_k)/h_k - (x_k - x_{k-1})/h_{k-1} = integral hat_k(t) x''(t) dt        h_k = t_{k+1} - t_k,

exactly, whatever happens between the frames and however uneven the times are. A sum of such differences with the
weights w_k = (1 - tau_k^2)^2 of a bump over K frames is therefore integral W(t) x''(t) dt, W the piecewise linear
function through the w_k: a rest and a constant velocity drop out exactly, and noise by far more than in a second
difference. That is the **target**. A law's side is the same integral of a(x(t), v(t)): the share of each hat
comes from the polynomial through the accelerations in five neighbouring frames, which gives every frame a weight
**omega** (three frames, evenly spaced: Numerov's 1, 10, 1 over 12). Both sides are divided by integral W dt, so that
the omegas add up to 1 and a target is an acceleration. A frame whose acceleration was measured is a window of one frame
with omega 1.

Weak form: D. A. Messenger, D. M. Bortz, J. Comput. Phys. 443, 110525 (2021); bump (1 - tau^2)^2: W. Yu et al.,
arXiv:2310.05273; three-frame formula: B. V. Numerov, Mon. Not. R. Astron. Soc. 84, 592 (1924).
"""

from dataclasses import dataclass

import numpy as np

from distill.windows.noise import compact

FEWEST = 3  # observations in a window
SEEN = 0.6  # of the frames of a window, at least, have to be observed
STENCIL = 5  # frames that accelerations under a hat are interpolated from
CHUNK = 20_000  # windows at once
_GAUSS = np.polynomial.legendre.leggauss(3)  # of a line times a cubic: exact


@dataclass
class Windows:
    """``target`` [window, dim] = sum over frames k of ``omega`` [window, frame] times the acceleration of ``particle``
    in the frame ``start`` + k of ``trajectory`` (all [window]), with errors of standard deviation ``noise`` [window]
    times that of a coordinate observed.
    """

    trajectory: np.ndarray
    particle: np.ndarray
    start: np.ndarray
    omega: np.ndarray
    target: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def frames(self) -> np.ndarray:
        """[window, frame] numbers of the frames."""
        return self.start[:, None] + np.arange(self.omega.shape[1])

    @property
    def middle(self) -> np.ndarray:
        return self.start + (self.omega.shape[1] - 1) // 2

    def of(self, pick) -> "Windows":
        parts = (self.trajectory, self.particle, self.start, self.omega, self.target, self.noise)
        return Windows(*(a[pick] for a in parts))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means of ``values`` [trajectory, frame, particle, ...] of every window's particle over its frames."""
        of = values[self.trajectory[:, None], self.frames, self.particle[:, None]]
        used = (self.omega != 0).reshape(*self.omega.shape, *[1] * (of.ndim - 2))
        return np.einsum("wk,wk...->w...", self.omega, np.where(used, of, 0.0))


def windows(
    observed: np.ndarray,
    seen: np.ndarray,
    known: np.ndarray,
    t: np.ndarray,
    length: int,
    trajectories: np.ndarray | None = None,
    step: int | None = None,
    box: np.ndarray | None = None,
) -> Windows:
    """All windows of ``length`` frames of the ``trajectories`` (all of them where None), overlapping by half, or each
    ``step`` frames after the one before.

    ``observed`` [trajectory, frame, particle, dim], where ``seen`` [trajectory, frame, particle]; ``t`` [frame] or
    [trajectory, frame]. ``known``, like ``seen``: where a particle's position may be used by a law, interpolated ones
    included. A window reaches from its first to its last observation; it needs ``FEWEST`` of them, ``SEEN`` of its
    frames, and a known position in every frame between. In a periodic ``box`` steps are to the nearest image.
    """
    count, frames, n, dim = observed.shape
    length = min(length, frames)
    starts = _starts(frames, length, step or max(1, (length - 1) // 2))
    which = np.arange(count) if trajectories is None else np.asarray(trajectories)
    every = np.broadcast_to(np.asarray(t, float), (count, frames))
    number = np.arange(len(which) * len(starts) * n)
    parts = []
    for low in range(0, len(number), CHUNK):
        some = number[low : low + CHUNK]
        trajectory = which[some // (len(starts) * n)]
        start, particle = starts[some // n % len(starts)], some % n
        at = start[:, None] + np.arange(length)
        where = trajectory[:, None], at, particle[:, None]
        times = every[trajectory[:, None], at]
        found = _weak_form(observed[where], seen[where] != 0, known[where], times, box)
        ok = found[0]
        parts.append([trajectory[ok], particle[ok], start[ok], *(a[ok] for a in found[1:])])
    return Windows(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _starts(frames: int, length: int, step: int) -> np.ndarray:
    """First frames of the windows; the last one ends with the last frame."""
    starts = np.arange(0, frames - length + 1, step)
    return starts if starts[-1] == frames - length else np.r_[starts, frames - length]


def _weak_form(x, seen, known, t, box) -> tuple:
    """(which windows are good [window], omega, target, noise) from their frames [window, frame]."""
    count, frames = seen.shape
    place, number = compact(seen)
    valid = np.arange(frames) < number[:, None]
    s = np.take_along_axis(t, place, 1)
    y = np.take_along_axis(x, place[..., None], 1).astype(float)
    row, last = np.arange(count), np.maximum(number - 1, 0)
    first_time, last_time = s[:, 0], s[row, last]
    half = np.where(last_time > first_time, (last_time - first_time) / 2, 1.0)
    tau = (s - ((first_time + last_time) / 2)[:, None]) / half[:, None]
    w = np.where(valid, np.clip(1 - tau**2, 0.0, None) ** 2, 0.0)
    w[:, 0] = 0.0  # by rounding it may not be
    w[row, last] = 0.0
    both = valid[:, 1:]
    h = np.where(both, np.diff(s, axis=1), 1.0)
    slope = np.where(both, np.diff(w, axis=1) / h, 0.0)
    moved = np.diff(y, axis=1)
    if box is not None:
        moved = moved - box * np.round(moved / box)
    moved = np.where(both[..., None], moved, 0.0)
    total = np.where(both, h * (w[:, 1:] + w[:, :-1]) / 2, 0.0).sum(1)
    good = (number >= max(FEWEST, int(np.ceil(SEEN * frames)))) & (total > 0)
    total = np.where(total > 0, total, 1.0)
    target = -(slope[..., None] * moved).sum(1) / total[:, None]
    on_positions = np.diff(np.pad(slope, ((0, 0), (1, 1))), axis=1)
    noise = np.linalg.norm(on_positions, axis=1) / total
    # W in every frame, also in those between that were not seen
    begin, end = place[:, 0], place[row, last]
    inside = (np.arange(frames) >= begin[:, None]) & (np.arange(frames) <= end[:, None])
    good &= (known | ~inside).all(1)
    if seen.all():
        whole = w
    else:
        before = np.clip(np.cumsum(seen, 1) - 1, 0, frames - 1)  # the observation at or before each frame
        after = np.minimum(before + 1, last[:, None])
        left, right = (np.take_along_axis(s, k, 1) for k in (before, after))
        share = np.where(right > left, (t - left) / np.where(right > left, right - left, 1.0), 0.0)
        low, high = (np.take_along_axis(w, k, 1) for k in (before, after))
        whole = np.where(inside, low + np.clip(share, 0, 1) * (high - low), 0.0)
    omega = _omega(whole, t, begin, end) / total[:, None]
    return good, np.where(inside, omega, 0.0), target, noise


def _omega(whole: np.ndarray, t: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Weights of accelerations in the frames [window, frame] for the integral of W times them, W linear between its
    values ``whole`` in the frames; only frames from ``begin`` to ``end`` [window] are used.
    """
    count, frames = whole.shape
    size = min(STENCIL, frames)
    out = np.zeros((count, frames))
    nodes, weights = (_GAUSS[0] + 1) / 2, _GAUSS[1] / 2
    rows, points = np.arange(count)[:, None], np.minimum(size, end - begin + 1)
    there = np.arange(size) < points[:, None]
    for k in range(1, frames - 1):
        use = (k > begin) & (k < end) & (whole[:, k] > 0)
        if not use.any():
            continue
        lowest = np.clip(k - size // 2, begin, np.maximum(end - size + 1, begin))
        at = np.clip(lowest[:, None] + np.arange(size), 0, frames - 1)
        left, right = t[:, k] - t[:, k - 1], t[:, k + 1] - t[:, k]
        scale = np.maximum(left, right)
        own = (np.take_along_axis(t, at, 1) - t[:, k : k + 1]) / scale[:, None]
        for h, sign in ((left, -1), (right, 1)):
            for node, weight in zip(nodes, weights, strict=True):
                values = _lagrange(own, there, sign * node * h / scale)
                hat = np.where(use, weight * h * (1 - node) * whole[:, k], 0.0)
                np.add.at(out, (rows, at), hat[:, None] * values)
    return out


def _lagrange(points: np.ndarray, there: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values at ``x`` [row] of the polynomials that are 1 at one of the ``points`` [row, point] and 0 at the others."""
    out = np.where(there, 1.0, 0.0)
    for j in range(points.shape[1]):
        for k in range(points.shape[1]):
            if j != k:
                apart = points[:, j] - points[:, k]
                factor = (x - points[:, k]) / np.where(apart != 0, apart, 1.0)
                out[:, j] *= np.where(there[:, k], factor, 1.0)
    return out
