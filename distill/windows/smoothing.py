"""Positions and velocities from noisy observations with gaps, each with its error, as input of a law or a network.

A particle's motion is taken as smooth with a jerk that is white noise of some strength, so that the best estimate is a
Kalman filter with its smoother, the quintic smoothing spline of the track (G. Wahba, J. R. Statist. Soc. B 40, 364,
1978; J. Durbin, S. J. Koopman, Time Series Analysis by State Space Methods, 2nd ed., 4.4). The strength is not the same
in a close encounter as on a quiet stretch: at every frame it is the one, of a grid, with which the observations about
it were foretold best. Times may be uneven; in a gap the estimate goes on with a growing error.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from distill.windows.noise import compact, coordinate_noise, tracks

STRENGTHS = 10.0 ** np.arange(-6, 13, 2)  # of the jerk's variance times the step's fifth power, over the noise's
NEAR = 4  # frames to each side whose observations choose a strength
LEAST_NOISE = 1e-5  # of a step: observations with less are kept as they are
LONGEST_GAP = 8  # frames at most that are filled,
COSTS = 3.0  # with a standard error of at most so many times that of an observation, or
SHARE = 0.5  # of a typical step
AT_ONCE = 2000  # tracks
WIDE = 100.0  # variance of position, velocity and acceleration before any observation, over the mean square step


@dataclass
class Smoothed:
    """``pos`` and ``vel`` [trajectory, frame, particle, dim], NaN where unknown, and standard errors of a component,
    ``pos_error`` and ``vel_error`` [trajectory, frame, particle]; ``noise`` that was taken for an observation's.
    """

    pos: np.ndarray
    vel: np.ndarray
    pos_error: np.ndarray
    vel_error: np.ndarray
    noise: float


@dataclass(frozen=True)
class Typical:
    """``step``: way of a particle from one observation to the next (median); ``size``: the same, or where nothing moves
    the largest coordinate; ``spacing``: time between frames (median).
    """

    step: float
    size: float
    spacing: float


def typical(parts: Iterable[tuple]) -> Typical:
    """Of all ``parts``, each the arguments ``observed``, ``seen``, ``t`` of ``smoothed``."""
    steps, spacings, largest = [], [], 0.0
    for observed, seen, t in parts:
        x, there, times = tracks(observed, seen, t)
        place, count = compact(there)
        step = np.linalg.norm(np.diff(np.take_along_axis(x, place[..., None], 1), axis=1), axis=2)
        steps.append(step[np.arange(1, there.shape[1]) < count[:, None]])
        spacings.append(np.diff(np.broadcast_to(t, observed.shape[:2]), axis=1).ravel())
        largest = max(largest, float(np.abs(x[there]).max(initial=0.0)))
    steps, spacings = np.concatenate(steps), np.concatenate(spacings)
    step = float(np.median(steps)) if len(steps) else 0.0
    return Typical(step, step or largest or 1.0, float(np.median(spacings)) if len(spacings) else 1.0)


def smoothed(
    observed: np.ndarray,
    seen: np.ndarray | None,
    t: np.ndarray,
    noise: float | None = None,
    scale: Typical | None = None,
) -> Smoothed:
    """Of ``observed`` [trajectory, frame, particle, dim] with ``noise``, the standard deviation of a coordinate; None:
    it is estimated (``coordinate_noise``).

    NaN or not ``seen`` [trajectory, frame, particle]: not observed; gaps of at most ``LONGEST_GAP`` frames between
    observations are filled in where that is known well enough. ``t`` [frame] or [trajectory, frame]. Positions must not
    jump: unwrap those in a periodic box first. ``scale``: that of a whole of which these are a part.
    """
    if noise is None:
        noise = coordinate_noise(observed, seen, t)
    x, there, times = tracks(observed, seen, t)
    scale = scale or typical([(observed, seen, t)])
    shape, step, unit = there.shape, scale.step, scale.spacing
    taken = max(noise, LEAST_NOISE * scale.size)
    out = [np.full((*shape, x.shape[2]), np.nan) for _ in range(2)] + [np.full(shape, np.nan) for _ in range(2)]
    for low in range(0, len(x), AT_ONCE):
        part = slice(low, low + AT_ONCE)
        for whole, found in zip(out, _smooth(x[part], there[part], times[part] / unit, taken), strict=True):
            whole[part] = found
    pos, vel, pos_error, vel_error = out
    vel, vel_error = vel / unit, vel_error / unit
    gone = ~there & ~_short_gaps(there)
    gone |= ~there & (pos_error > max(COSTS * taken, SHARE * step))
    pos[gone], vel[gone], pos_error[gone], vel_error[gone] = (np.nan,) * 4
    if noise <= LEAST_NOISE * scale.size:
        pos[there] = x[there]

    def back(values):
        return np.moveaxis(values.reshape(len(observed), -1, *values.shape[1:]), 1, 2)

    return Smoothed(*map(back, (pos, vel, pos_error, vel_error)), noise)


def _short_gaps(there: np.ndarray) -> np.ndarray:
    """Frames [track, frame] between two observations at most ``LONGEST_GAP`` frames without one apart."""
    number = np.arange(there.shape[1])
    before = np.maximum.accumulate(np.where(there, number, -there.shape[1] - LONGEST_GAP), 1)
    after = np.minimum.accumulate(np.where(there, number, 2 * there.shape[1] + LONGEST_GAP)[:, ::-1], 1)[:, ::-1]
    return after - before - 1 <= LONGEST_GAP


def _smooth(x, there, t, noise: float) -> tuple:
    """(positions, velocities, their errors) of tracks [track, frame, dim] at times ``t`` [track, frame]."""
    first = np.take_along_axis(x, there.argmax(1)[:, None, None], 1)
    y = np.where(there[..., None], (x - first) / noise, 0.0)  # in units of the noise, about the first observation
    h = np.diff(t, axis=1)
    few = np.repeat(np.arange(len(x)), len(STRENGTHS))
    grid = np.tile(STRENGTHS, len(x))[:, None] * np.ones(y.shape[1])
    fit = _filtered(y[few], there[few], h[few], grid).likelihood.reshape(len(x), len(STRENGTHS), -1)
    near = np.cumsum(np.pad(fit, ((0, 0), (0, 0), (NEAR + 1, NEAR))), 2)
    near = near[..., 2 * NEAR + 1 :] - near[..., : -2 * NEAR - 1]
    strength = STRENGTHS[near.argmax(1)]
    state, covariance = _smoothed(_filtered(y, there, h, strength), there, h)
    errors = noise * np.sqrt(np.maximum(covariance[..., [0, 1], [0, 1]], 0.0))
    return noise * state[..., 0, :] + first, noise * state[..., 1, :], errors[..., 0], errors[..., 1]


@dataclass
class _Filtered:
    """Predictions [track, frame, ...] of state (position, velocity, acceleration) and covariance, innovations and their
    variance, gains, and the log likelihood of every observation given those before it.
    """

    state: np.ndarray
    covariance: np.ndarray
    innovation: np.ndarray
    variance: np.ndarray
    gain: np.ndarray
    likelihood: np.ndarray


def _transition(h: np.ndarray) -> np.ndarray:
    out = np.zeros((len(h), 3, 3))
    out[:, 0, 0] = out[:, 1, 1] = out[:, 2, 2] = 1.0
    out[:, 0, 1] = out[:, 1, 2] = h
    out[:, 0, 2] = h * h / 2
    return out


def _left(gain: np.ndarray) -> np.ndarray:
    out = np.broadcast_to(np.eye(3), (len(gain), 3, 3)).copy()
    out[:, :, 0] -= gain
    return out


def _driven(h: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Covariance that white jerk makes during ``h``."""
    powers = h[:, None] ** np.arange(1, 6)
    out = np.empty((len(h), 3, 3))
    out[:, 0, 0], out[:, 1, 1], out[:, 2, 2] = powers[:, 4] / 20, powers[:, 2] / 3, powers[:, 0]
    out[:, 0, 1] = out[:, 1, 0] = powers[:, 3] / 8
    out[:, 0, 2] = out[:, 2, 0] = powers[:, 2] / 6
    out[:, 1, 2] = out[:, 2, 1] = powers[:, 1] / 2
    return out * strength[:, None, None]


def _filtered(y, there, h, strength) -> _Filtered:
    """Kalman filter of ``y`` [track, frame, dim] whose noise is 1; ``strength`` [track, frame] of the jerk after it."""
    count, frames, dim = y.shape
    state, covariance = np.zeros((count, 3, dim)), np.zeros((count, 3, 3))
    moved = np.diff(y, axis=1) ** 2 * (there[:, 1:] & there[:, :-1])[..., None]
    wide = 10 + WIDE * moved.sum((1, 2)) / np.maximum((there[:, 1:] & there[:, :-1]).sum(1), 1)
    covariance[:, [0, 1, 2], [0, 1, 2]] = wide[:, None]  # what is not known yet; wider would cost digits
    out = _Filtered(
        np.empty((count, frames, 3, dim)),
        np.empty((count, frames, 3, 3)),
        np.empty((count, frames, dim)),
        np.empty((count, frames)),
        np.empty((count, frames, 3)),
        np.zeros((count, frames)),
    )
    known = np.zeros(count)
    for k in range(frames):
        seen = there[:, k].astype(float)
        innovation = (y[:, k] - state[:, 0]) * seen[:, None]
        variance = np.maximum(covariance[:, 0, 0], 0.0) + 1.0  # a jump of many orders of magnitude costs all digits
        gain = covariance[:, :, 0] * (seen / variance)[:, None]
        out.state[:, k], out.covariance[:, k] = state, covariance
        out.innovation[:, k], out.variance[:, k], out.gain[:, k] = innovation, variance, gain
        fit = -0.5 * seen * (dim * np.log(variance) + (innovation**2).sum(1) / variance)
        out.likelihood[:, k] = np.where(known >= 3, fit, 0.0)  # the first three are what a state is made of
        known += seen
        if k + 1 < frames:
            state = state + gain[:, :, None] * innovation[:, None]
            left = _left(gain)
            covariance = left @ covariance @ left.swapaxes(1, 2) + gain[:, :, None] * gain[:, None]  # Joseph's form
            move = _transition(h[:, k])
            state = move @ state
            covariance = move @ covariance @ move.swapaxes(1, 2) + _driven(h[:, k], strength[:, k])
    return out


def _smoothed(f: _Filtered, there, h) -> tuple[np.ndarray, np.ndarray]:
    """State and covariance of every frame given all observations (Durbin and Koopman, 4.4)."""
    count, frames, _, dim = f.state.shape
    r, n = np.zeros((count, 3, dim)), np.zeros((count, 3, 3))
    state, covariance = np.empty_like(f.state), np.empty_like(f.covariance)
    for k in range(frames - 1, -1, -1):
        if k + 1 < frames:
            move = _transition(h[:, k])
            r, n = move.swapaxes(1, 2) @ r, move.swapaxes(1, 2) @ n @ move
        seen = there[:, k].astype(float)
        left = _left(f.gain[:, k])
        r, n = left.swapaxes(1, 2) @ r, left.swapaxes(1, 2) @ n @ left
        r[:, 0] += seen[:, None] * f.innovation[:, k] / f.variance[:, k][:, None]
        n[:, 0, 0] += seen / f.variance[:, k]
        own = f.covariance[:, k]
        state[:, k] = f.state[:, k] + own @ r
        covariance[:, k] = own - own @ n @ own
    return state, covariance
