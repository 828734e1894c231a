"""Rates with intervals that count independent clusters: networks trained on one dataset are no independent trials."""

import math
from collections.abc import Sequence
from statistics import NormalDist

CONFIDENCE = 0.95


def effective(sizes: Sequence[int]) -> float:
    """Number of independent trials that clusters of ``sizes`` trials are worth if all trials of a cluster end alike:
    (sum s)^2 / sum s^2, the number of clusters where all are of one size (L. Kish, Survey Sampling, 1965, ch. 5: the
    design effect 1 + (s - 1) rho at the intraclass correlation rho = 1).
    """
    return sum(sizes) ** 2 / sum(s * s for s in sizes) if any(sizes) else 0.0


def wilson(successes: float, sizes: Sequence[int], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a rate over clusters of ``sizes`` trials; (0, 1) where nothing was tried.

    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209, with the effective number of trials in place of their number,
    as for rates of clustered surveys (N. Dean, M. Pagano, J. Surv. Stat. Methodol. 3 (2015) 484). rho is set to 1 and
    not estimated: with few clusters its estimate is poor, and where all trials end alike (0 of n, n of n) there is
    none; nor can a cluster bootstrap draw anything there but the rate itself. So the interval is never too narrow for
    want of a guess, and too wide where trials of a cluster differ. Trials that are all independent: sizes of 1.
    """
    n, total = effective(sizes), sum(sizes)
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, spread = successes / total, z**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    # at the ends the bound is 0 or 1 exactly, not rounding beside it
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == total else centre + half)
