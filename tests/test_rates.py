"""Intervals of rates: against scipy, and where trials of one dataset are no independent trials."""

import numpy as np
import pytest
from scipy.stats import betabinom, binom, binomtest

from distill.statistics.rates import effective, wilson

CLUSTERS, EACH = 24, 3  # 24 datasets, three networks on each


@pytest.mark.parametrize(("k", "n"), [(0, 6), (1, 3), (3, 6), (6, 6), (199, 200), (1, 1)])
def test_independent_trials(k, n):
    low, high = wilson(k, [1] * n)
    known = binomtest(k, n).proportion_ci(0.95, "wilson")
    assert low == pytest.approx(known.low, abs=1e-12) and high == pytest.approx(known.high, abs=1e-12)
    z = 1.959963984540054
    for p in {low, high} - {0.0, 1.0}:  # the bounds are where the rate lies z standard deviations away
        assert abs(k / n - p) == pytest.approx(z * np.sqrt(p * (1 - p) / n), rel=1e-9)
    assert wilson(0, []) == (0.0, 1.0)
    assert np.diff(wilson(k, [1] * n, 0.5)) < high - low


@pytest.mark.parametrize("k", [0, 18, 24])
def test_networks_of_a_dataset_that_end_alike_count_once(k):
    assert wilson(EACH * k, [EACH] * CLUSTERS) == pytest.approx(wilson(k, [1] * CLUSTERS))
    assert effective([EACH] * CLUSTERS) == pytest.approx(CLUSTERS)
    assert 1 < effective([10, 1, 1]) < 3  # one large cluster outweighs the others


def coverage(law, interval, p: float) -> float:
    """Probability that ``interval`` of a number of successes holds ``p``; ``law`` is the distribution of that number,
    [probability of 0, 1, ...].
    """
    bounds = np.array([interval(k) for k in range(len(law))])
    return float(law[(bounds[:, 0] <= p) & (p <= bounds[:, 1])].sum())


def by_dataset(k: int) -> tuple[float, float]:
    return wilson(k, [EACH] * CLUSTERS)


def naive(k: int) -> tuple[float, float]:
    return wilson(k, [1] * EACH * CLUSTERS)


@pytest.mark.parametrize("rho", [1.0, 0.5, 0.2])
def test_coverage_of_rates_over_datasets(rho):
    """Exact probabilities, no draws: successes of a dataset's three networks are beta-binomial with the intraclass
    correlation ``rho``, those of 24 datasets the convolution. The naive interval holds the rate far too rarely.
    """
    found = {by_dataset: [], naive: []}
    for p in np.linspace(0.6, 0.95, 36):
        if rho == 1:
            one = np.array([1 - p, 0, 0, p])
        else:
            one = betabinom(EACH, p * (1 / rho - 1), (1 - p) * (1 / rho - 1)).pmf(np.arange(EACH + 1))
        law = np.ones(1)
        for _ in range(CLUSTERS):
            law = np.convolve(law, one)
        for interval, values in found.items():
            values.append(coverage(law, interval, p))
    assert np.mean(found[by_dataset]) > 0.945 and min(found[by_dataset]) > 0.88
    assert np.mean(found[naive]) < (0.8 if rho == 1 else 0.93)


def test_the_formula_of_the_coverage_is_that_of_independent_trials_too():
    """Independent networks: the naive interval is right there, as the literature says of Wilson's."""
    law = binom(72, 0.9).pmf(np.arange(73))
    assert 0.92 < coverage(law, naive, 0.9) < 0.98 <= coverage(law, by_dataset, 0.9)
