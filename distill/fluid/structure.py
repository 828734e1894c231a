"""The structure of a fluid: g(r) of its pairs, and whether two groups of runs have the same.

g(r) is the density of particles at a distance r from another over the mean density (M. P. Allen, D. J. Tildesley,
Computer Simulation of Liquids, section 2.6). Lengths in A.
"""

from itertools import combinations
from math import comb

import numpy as np

from distill.physics.neighbours import close_pairs

BIN, FURTHEST = 0.1, 12.0  # A: of pair distances
SPLITS = 20_000  # of a permutation test at most; drawn at random where there are more
DEVIATION_IS = (
    "root mean square over the bins of g(r) of one run minus the mean g(r) of all reference runs but the"
    " one that it starts from; for a reference run: all but itself"
)
WITHIN_IS = (
    "whether the mean deviation of the runs is at most the largest deviation of a reference run; false if a"
    " run blew up. Six runs of the same fluid against six would fail it about once in twenty times, three against"
    " three more often"
)
P_IS = (
    "share of all ways to split these runs and the reference's into two groups of their sizes whose means lie at"
    " least as far apart (RMS over the bins): below 0.05 the two differ by more than seeds do"
)
ERRORS_IS = (
    "RMS over the bins of (mean of the runs - mean of the reference) / standard error of that difference;"
    " about 1 if they are the same fluid"
)


def bin_edges(box) -> np.ndarray:
    """Edges ``[bin + 1]`` from 0 to half the box or ``FURTHEST``, whichever is less, ``BIN`` apart."""
    top = min(np.min(box) / 2, FURTHEST)
    return np.minimum(BIN * np.arange(int(top / BIN + 1e-9) + 1), top)


def pair_counts(pos, box, edges) -> np.ndarray:
    """Numbers of unordered pairs by distance ``[frame, bin]`` in ``pos [frame, particle, dim]``, nearest image."""
    return np.array([np.histogram(close_pairs(x, box, edges[-1])[3], edges)[0] for x in pos])


def radial_distribution(counts, n: int, box, edges) -> np.ndarray:
    """g(r) ``[..., bin]`` from mean ``counts [..., bin]`` of n particles in three dimensions: 1 for particles that
    know nothing of each other (n (n - 1)/2 pairs, evenly over the volume).
    """
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    return counts * np.prod(box) / (n * (n - 1) / 2 * shells)


def leave_one_out(reference) -> np.ndarray:
    """Deviation ``[run]`` of every g of ``reference [run, bin]`` from the mean of the others."""
    return deviations(reference, np.arange(len(reference)), reference)


def deviations(found, own, reference) -> np.ndarray:
    """Of every g of ``found [run, bin]`` from the mean of ``reference [run, bin]`` without its ``own [run]``."""
    others = (reference.sum(0) - reference[own]) / (len(reference) - 1)
    return np.sqrt(((found - others) ** 2).mean(1))


def compare_g(found, own, reference, seed: int = 0) -> dict:
    """Are the g(r) ``found [run, bin]`` those of the ``reference [run, bin]``? JSON-ready; see ``*_IS``.

    ``own [run]``: the reference run that each started from. Two reference runs at least.
    """
    spread, off = leave_one_out(reference), deviations(found, own, reference)
    out = {
        "deviations": off.tolist(),
        "deviation_mean": float(off.mean()),
        "reference_deviations": spread.tolist(),
        "within_spread": bool(off.mean() <= spread.max()),
        "p_value": None,
        "mean_in_standard_errors": None,
    }
    if len(found) < 2:
        return out
    error = np.sqrt(found.var(0, ddof=1) / len(found) + reference.var(0, ddof=1) / len(reference))
    seen = error > 0
    if seen.any():
        z = (found.mean(0) - reference.mean(0))[seen] / error[seen]
        out["mean_in_standard_errors"] = float(np.sqrt((z**2).mean()))
    return out | {"p_value": permutation_p(found, reference, seed)}


def permutation_p(one, other, seed: int = 0) -> float:
    """Two-sample permutation test of the distance between the means of ``one, other [run, bin]``."""
    runs, size = np.concatenate([one, other]), len(one)
    if comb(len(runs), size) <= SPLITS:
        chosen = np.array(list(combinations(range(len(runs)), size)))
    else:
        rng = np.random.default_rng([seed, 83])
        chosen = np.argsort(rng.random((SPLITS - 1, len(runs))), axis=1)[:, :size]
        chosen = np.concatenate([np.arange(size)[None], chosen])  # the split that was seen is one of them
    member = np.zeros((len(chosen), len(runs)))
    np.put_along_axis(member, chosen, 1.0, axis=1)
    gap = member @ runs / size - (1 - member) @ runs / (len(runs) - size)
    distance = (gap**2).mean(1)
    return float((distance >= distance[0] * (1 - 1e-9)).mean())
