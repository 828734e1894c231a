"""What frames miss of the accelerations between them, where these change too fast: in encounters between two frames."""

import numpy as np

from distill.statistics.metrics import typical_size

RESOLVED = 0.01  # of an acceleration, missed between frames, at most
SMOOTH = 4  # coefficients of the polynomial in time that is no sign of anything missed


def resolved(missed: np.ndarray, noise: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Whether frames miss no more than the ``noise`` of a component of accelerations, or than ``RESOLVED`` of them, by
    what they are ``missed`` (root mean square of a component) and by their ``size``; all [window], in one unit.
    """
    return missed**2 <= noise**2 + (RESOLVED * (typical_size(size) + size)) ** 2


def alternating(omega: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Weights of accelerations [window, frame] whose sum is by how much the weighted means over every other frame and
    over the rest differ.

    ``omega`` [window, frame] are the weights of the mean over all frames, at the times ``t`` [window, frame]. The signs
    of the frames alternate, less the cubic polynomial in time that fits them best under |omega|: what accelerations
    that are smooth make of them where times are uneven. Where accelerations change little from frame to frame the sum
    is far smaller than the noise; in an encounter between two frames, of which one sees a part of the peak, it is about
    as large as the error of the mean. On simulated tracks (charges and 1/r^2 in 2-D, 1 and 10 % of noise) errors of
    windows are at most 2.1 times the root of the squared sum and noise in 99 of 100, and thousands of times the noise
    alone.
    """
    used = omega != 0
    sign = np.where(used, 1.0 - 2.0 * ((np.cumsum(used, 1) - 1) % 2), 0.0)
    weight = np.abs(omega)
    middle = (weight * t).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    spread = np.where(used, np.abs(t - middle), 0.0).max(1, keepdims=True)
    powers = ((t - middle) / np.where(spread > 0, spread, 1.0))[..., None] ** np.arange(SMOOTH)
    weighted = weight[..., None] * powers
    gram = np.einsum("wkp,wkq->wpq", weighted, powers) + 1e-10 * np.eye(SMOOTH)  # a few frames have no cubic
    fit = np.linalg.solve(gram, np.einsum("wkp,wk->wp", weighted, sign)[..., None])
    return omega * np.where(used, sign - (powers @ fit)[..., 0], 0.0)
