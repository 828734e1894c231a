"""How much receivers count in a fit of unknown values."""

from types import SimpleNamespace

import numpy as np
import pytest

from distill.identities import weights as counting
from distill.identities.weights import by_a_first, limited, weights
from distill.splines.selection import EXACT, HUBER


def test_residuals_far_off_count_by_their_size_and_not_its_square():
    left = np.r_[np.full(99, 0.1), 50.0]
    weight = limited(np.full(100, 4.0), left)
    assert (weight[:99] == 4.0).all()
    assert weight[99] == pytest.approx(4.0 * HUBER * 0.1 / 50.0)  # limit over error, both times the root of the weight
    assert (limited(np.ones(3), np.zeros(3)) == 1).all()
    tiny = np.r_[np.zeros(9), 10 * HUBER * EXACT]
    assert limited(np.ones(10), tiny)[9] == pytest.approx(0.1)


def test_what_counts_for_nothing_does_not_set_the_limit():
    weight = limited(np.r_[np.zeros(60), np.ones(40)], np.r_[np.full(60, 100.0), np.full(40, 0.1)])
    assert (weight[60:] == 1).all() and (weight[:60] == 0).all()


def windows(missed):
    """Ten windows of one body with targets of 1, and what frames miss by a first fit that tells them exactly."""
    target = np.tile([1.0, 0.0], (10, 1))
    who = SimpleNamespace(receiver=np.zeros(10, dtype=int), count=1)
    return Fake(target, np.full(10, 1e-3), who), Fake(np.outer(missed, [1.0, 1.0]), np.zeros(10), who), target


class Fake:
    dim = 2

    def __init__(self, target, noise, who):
        self.target, self.noise, self.who = target, noise, who


def test_windows_that_frames_do_not_resolve_count_for_nothing(monkeypatch):
    data, between, told = windows(np.r_[np.full(8, 1e-3), 0.5, 5.0])
    made = {id(data): told, id(between): between.target}
    monkeypatch.setattr(counting, "predicted", lambda problem, values, one: made[id(one)])
    monkeypatch.setattr(counting, "replace", lambda one, noise: Fake(one.target, noise, one.who))
    chosen = SimpleNamespace(problem=None, values=None)
    found, by = by_a_first(chosen, data, between)
    assert found.noise[:8] == pytest.approx(np.hypot(1e-3, 1e-3)) and np.isinf(found.noise[8:]).all()
    weight = weights(found, by)
    assert (weight[8:] == 0).all() and (weight[:8] > 0).all()
    made[id(between)] = np.full((10, 2), 5.0)
    assert np.isfinite(by_a_first(chosen, data, between)[0].noise).all()  # then it is the fit that is wrong
