"""Levenberg and Marquardt's method against closed forms, MINPACK's, and itself."""

import numpy as np
import pytest
from scipy.optimize import leastsq

from distill.statistics import levenberg
from distill.statistics.levenberg import minimised

CLOSE = (1e-12, 1e-12, 1e-12)
T = np.linspace(0, 4, 300)


def decays(true, noise=0.0, seed=0):
    y = noise * np.random.default_rng(seed).normal(size=len(T))
    y = y + true[0] * np.exp(-true[1] * T) + true[2] * np.exp(-true[3] * T)

    def residual(p):
        return p[0] * np.exp(-p[1] * T) + p[2] * np.exp(-p[3] * T) - y

    def jacobian(p):
        a, b = np.exp(-p[1] * T), np.exp(-p[3] * T)
        return np.stack([a, -p[0] * T * a, b, -p[2] * T * b], 1)

    return residual, jacobian


def valley(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def slope_of_valley(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def test_the_end_of_rosenbrocks_valley_is_found():
    found = minimised(valley, slope_of_valley, np.array([-1.2, 1.0]), np.ones(2), CLOSE, 200)
    assert found == pytest.approx([1, 1], abs=1e-10)


@pytest.mark.parametrize("start", [(1.0, 1.0, 1.0, 0.1), (10.0, 3.0, 1.0, 0.01), (0.1, 2.0, 3.0, 0.5)])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_it_ends_where_minpack_does_in_as_few_steps(start, noise):
    residual, jacobian = decays((2.0, 1.3, 0.5, 0.2), noise)
    start, size, asked = np.array(start), np.abs(start), [0, 0]

    def counted(k):
        def of(p):
            asked[k] += 1
            return residual(p)

        return of

    ours = minimised(counted(0), jacobian, start, size, CLOSE, 200)
    options = dict(ftol=1e-12, xtol=1e-12, gtol=1e-12, maxfev=200, diag=1 / size)
    theirs = leastsq(counted(1), start, Dfun=jacobian, **options)[0]
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert asked[0] <= 1.3 * asked[1]


def test_columns_that_depend_on_each_other_do_not_stop_it():
    """(a x)(b + c x^2) has a scale that no data know."""
    x = np.linspace(-1, 2, 50)
    y = 3 * x * (1 + 0.5 * x * x)

    def residual(p):
        return p[0] * x * (p[1] + p[2] * x * x) - y

    def jacobian(p):
        return np.stack([x * (p[1] + p[2] * x * x), p[0] * x, p[0] * x**3], 1)

    start = np.array([1.0, 1.0, 1.0])
    found = minimised(residual, jacobian, start, np.ones(3), CLOSE, 100)
    assert found[0] * found[1] == pytest.approx(3, rel=1e-8)
    assert found[0] * found[2] == pytest.approx(1.5, rel=1e-8)
    held = []
    for k in range(200):  # with memory laid out otherwise each time
        held = [*held[-20:], np.empty(37 * k % 5001)]
        assert (minimised(residual, jacobian, start.copy(), np.ones(3), CLOSE, 100) == found).all()


def test_units_of_constants_do_not_matter():
    residual, jacobian = decays((2.0, 1.3, 0.5, 0.2), 0.01)
    start, unit = np.array([1.0, 1.0, 1.0, 0.1]), np.array([1e6, 1e-3, 4.0, 1e5])
    one = minimised(residual, jacobian, start, start, CLOSE, 200)

    def in_units(p):
        return residual(p * unit)

    def slope(p):
        return jacobian(p * unit) * unit

    other = minimised(in_units, slope, start / unit, start / unit, CLOSE, 200)
    assert other * unit == pytest.approx(one, rel=1e-9)


@pytest.mark.parametrize("big", [1e3, 1e8, 1e12])
def test_columns_of_very_different_length_are_all_fitted(big):
    y = 2 * big * T + 3
    slope = np.stack([big * T, np.ones(len(T))], 1)
    found = minimised(lambda p: slope @ p - y, lambda p: slope, np.ones(2), np.ones(2), CLOSE, 60)
    assert found == pytest.approx([2, 3], rel=1e-6 if big < 1e9 else 1e-2)


@pytest.mark.parametrize("origin", [1e2, 1e4, 1e6])
def test_a_variable_may_be_far_from_its_origin(origin):
    """p0 t + p1 about a distant zero, as times since an epoch: columns are all but parallel."""
    slope = np.stack([T + origin, np.ones(len(T))], 1)
    y = slope @ np.array([2.0, 3 - 2 * origin])
    found = minimised(lambda p: slope @ p - y, lambda p: slope, np.ones(2), np.ones(2), CLOSE, 200)
    assert found[0] == pytest.approx(2, rel=1e-4)
    assert found[1] + found[0] * origin == pytest.approx(3, rel=1e-3)


def test_derivatives_that_overflow_are_refused():
    with pytest.raises(np.linalg.LinAlgError), np.errstate(over="ignore"):
        minimised(lambda p: p, lambda p: np.array([[1e200, 1.0], [0.0, 1.0]]), np.ones(2), np.ones(2), CLOSE, 9)


def test_steps_so_short_that_their_squares_are_nothing_have_an_end():
    gram, gradient = np.diag([1e300, 1e280]), np.array([1e150, 1e130])
    inverse = np.diag([1e-300, 1e-280])
    step, damping = levenberg._step(gram, gradient, inverse, True, 1e-152, 0.0)
    assert np.isfinite(step).all() and np.isfinite(damping)


def test_it_asks_no_more_often_than_it_may():
    asked = []

    def counted(x):
        asked.append(x)
        return valley(x)

    minimised(counted, slope_of_valley, np.array([-1.2, 1.0]), np.ones(2), CLOSE, 5)
    assert len(asked) == 5
