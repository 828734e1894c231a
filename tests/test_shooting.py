"""Constants fitted to observed trajectories: derivatives, motion, elimination, planted laws, what is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from distill.files.dataset import Dataset
from distill.files.kinds import DatasetRecord
from distill.formulas.text import parse
from distill.formulas.tree import parametrise, with_scales
from distill.law.trust import not_followed
from distill.physics.law import Law
from distill.shooting.account import note
from distill.shooting.motion import Form, Motion
from distill.shooting.pieces import Observed, observed_in, pieces
from distill.shooting.polish import Polished, polish
from distill.shooting.smoother import back, eliminate

VARIABLES = ("r", "m_i", "m_j", "q_i", "q_j")


def law(text, **node):
    return Law(parse(text, VARIABLES), node)


def form_of(one: Law) -> tuple[Form, list]:
    expr, symbols, values = parametrise(with_scales(one.pair))
    numbers = np.concatenate([values, *(np.atleast_1d(v) for v in one.node.values())])
    return Form(expr, tuple(symbols), tuple(one.node)), list(numbers)


def world(one: Law, trajectories=12, frames=24, dt=0.1, n=3, dim=2, seed=0, noise=0.0, times=None, missing=0.0):
    """What was seen of motion under a law by scipy's own integrator; positions have ``noise`` of the median step."""
    rng = np.random.default_rng(seed)
    t = dt * np.arange(frames) if times is None else times
    pos, mass = np.empty((trajectories, len(t), n, dim)), np.exp(0.3 * rng.standard_normal((trajectories, n)))
    charge = rng.choice([-1.0, 1.0], (trajectories, n))
    shape = (2, trajectories, n, dim)

    def rhs(_, y):
        x, v = y.reshape(shape)
        return np.concatenate([v.reshape(-1), one.acceleration(x, v, properties).reshape(-1)])

    properties = {"mass": mass, "charge": charge}
    start = np.array([1.5, 0.5])[:, None, None, None] * rng.standard_normal(shape)
    made = solve_ivp(rhs, (0, t[-1]), start.reshape(-1), "DOP853", t, rtol=1e-8, atol=1e-8).y
    pos[:] = np.moveaxis(made.T.reshape(-1, *shape)[:, 0], 0, 1)
    sigma = noise * np.median(np.linalg.norm(np.diff(pos, axis=1), axis=-1))
    seen = rng.random(pos.shape[:3]) >= missing
    observed = np.where(seen[..., None], pos + sigma * rng.standard_normal(pos.shape), np.nan)
    return Observed(observed, t, {"mass": mass, "charge": charge}, seen), sigma, pos


SPRING = law("-1.5*m_i*m_j*(r - 0.8)", drag=0.1, constant_acceleration=np.array([0.2, -0.3]))
NOT_MUTUAL = law("0.7*m_i*q_j/(r + 0.3)^1.5", drag_per_mass=0.2)


@pytest.mark.parametrize("one", [SPRING, NOT_MUTUAL])
def test_flow_and_its_derivatives_against_another_integrator_and_differences(one):
    rng = np.random.default_rng(3)
    form, numbers = form_of(one)
    n, dim, length, time = 3, 2, 0.4, 0.3
    properties = {"mass": np.exp(rng.standard_normal((2, n))), "charge": rng.standard_normal((2, n))}
    motion = Motion(form, properties, dim, length, time)
    assert motion.mutual == (one is SPRING)
    x, v = rng.standard_normal((2, 2, n, dim))
    x *= 5
    piece, span, steps = np.array([1, 0]), np.array([0.9, 1.3]), np.array([8, 16])
    end, _, by_state, by_numbers = motion.flow(x, v, piece, span, numbers, steps, 1e-9)
    for lane in range(2):
        own = {k: p[piece[lane]] for k, p in properties.items()}

        def rhs(_, y, own=own):
            pos, vel = y.reshape(2, n, dim)
            return np.concatenate([vel.reshape(-1), one.acceleration(pos, vel, own).reshape(-1)])

        start = np.concatenate([length * x[lane].reshape(-1), length / time * v[lane].reshape(-1)])
        other = solve_ivp(rhs, (0, time * span[lane]), start, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        other = other / np.repeat([length, length / time], n * dim)
        np.testing.assert_allclose(end[lane], other, atol=1e-8)

    def ends(x, v, numbers):
        return motion.flow(x, v, piece, span, numbers, steps, 1e-9, slopes=False)[0]

    for k in range(2 * n * dim):
        at = np.zeros((2, n * dim))
        at[k // (n * dim), k % (n * dim)] = 1e-5
        dx, dv = at.reshape(2, n, dim)
        change = (ends(x + dx, v + dv, numbers) - ends(x - dx, v - dv, numbers)) / 2e-5
        np.testing.assert_allclose(by_state[:, :, k], change, atol=2e-3)
    for k, value in enumerate(numbers):
        up, down = ([*numbers[:k], value + s, *numbers[k + 1 :]] for s in (1e-5, -1e-5))
        np.testing.assert_allclose(by_numbers[:, :, k], (ends(x, v, up) - ends(x, v, down)) / 2e-5, atol=2e-3)


def test_elimination_solves_the_whole_least_squares_problem():
    """Against one dense matrix over all states and numbers, a cut and unseen rows among them."""
    rng = np.random.default_rng(5)
    frames, rows, numbers = 9, 2, 3
    size = 2 * rows
    S = np.eye(size) + 0.3 * rng.standard_normal((1, frames - 1, size, size))
    G, jump = rng.standard_normal((1, frames - 1, size, numbers)), rng.standard_normal((1, frames - 1, size))
    weights, missing = rng.uniform(0.5, 2, (1, frames, rows)), rng.standard_normal((1, frames, rows))
    weights[0, 2] = 0.0
    tied = np.ones((1, frames - 1), bool)
    tied[0, 3] = False
    made = eliminate(weights, missing, S, G, jump, tied)
    change = np.linalg.solve(made.normal[0], made.right[0])
    step = back(made, change, S, G, jump, tied)[0]
    # every state as a linear function of the free ones (first, and behind the cut) and of the numbers
    free = 2 * size + numbers
    A, rest = np.zeros((frames, size, free)), np.zeros((frames, size))
    for k in range(frames):
        if k in (0, 4):
            A[k][:, (k > 0) * size : (k > 0) * size + size] = np.eye(size)
        else:
            A[k], rest[k] = S[0, k - 1] @ A[k - 1], S[0, k - 1] @ rest[k - 1] + jump[0, k - 1]
            A[k][:, 2 * size :] += G[0, k - 1]
    left = (weights[0][..., None] * A[:, :rows]).reshape(-1, free)
    right = (weights[0] * (missing[0] - rest[:, :rows])).reshape(-1)
    dense = np.linalg.lstsq(left, right, rcond=None)[0]
    np.testing.assert_allclose(change, dense[2 * size :], rtol=1e-4)
    np.testing.assert_allclose(step, A @ dense + rest, rtol=1e-3, atol=1e-4)
    information = np.linalg.inv(np.linalg.inv(left.T @ left)[2 * size :, 2 * size :])
    np.testing.assert_allclose(made.normal[0], information, rtol=1e-5, atol=1e-5)


def test_planted_constants_and_node_terms_are_found_within_their_errors():
    times = np.cumsum(np.random.default_rng(8).uniform(0.05, 0.15, 18))
    truth = law("-1.53*m_i*m_j/(r + 0.31)^1.23", drag=0.113)
    seen, sigma, _ = world(truth, trajectories=12, noise=0.02, times=times - times[0], missing=0.1, seed=2)
    start = law("-1.4*m_i*m_j/(r + 0.33)^1.3", drag=0.1)
    found = polish(start, seen)
    assert found.converged and not found.structured and found.why_not is None
    rows = {round(c["before"], 3): c for c in found.constants}
    for before, true in ((-1.4, -1.53), (0.33, 0.31), (-1.3, -1.23)):
        fitted = rows[before]["snapped_from"] or rows[before]["value"]
        assert rows[before]["determined"] and rows[before]["standard_error"] < 0.1 * abs(true)
        assert abs(fitted - true) < 3.5 * rows[before]["standard_error"]
    drag = found.node[0]
    assert drag["name"] == "drag" and abs(drag["value"] - 0.113) < 3.5 * drag["standard_error"] < 0.05
    assert found.noise == pytest.approx(sigma, rel=0.05)


def test_units_and_origin_do_not_matter():
    seen, _, _ = world(law("-1.0*m_i*m_j/(r + 0.2)"), trajectories=8, frames=16, noise=0.02, seed=4)
    once = polish(law("-1.1*m_i*m_j/(r + 0.19)"), seen)
    length, time, mass = 1e9, 1e-6, 1e-11
    properties = {"mass": mass * seen.properties["mass"], "charge": seen.properties["charge"]}
    other = Observed(length * (seen.observed + 1e3), time * seen.t, properties, seen.seen)
    factor = mass * length / time**2 / mass**2 * length
    again = polish(law(f"{-1.1 * factor!r}*m_i*m_j/(r + {0.19 * length!r})"), other)
    for one, two in zip(once.constants, again.constants, strict=True):
        unit = two["before"] / one["before"]
        fitted = [c["snapped_from"] or c["value"] for c in (one, two)]
        assert fitted[1] / unit == pytest.approx(fitted[0], abs=0.05 * one["standard_error"])
        assert two["standard_error"] / unit == pytest.approx(one["standard_error"], rel=1e-2)


def test_a_wrong_form_leaves_structure_and_a_right_one_does_not():
    seen, _, _ = world(law("-1.5*m_i*m_j*r/(r^2 + 1.0)"), trajectories=6, frames=20, dt=0.2, noise=0.01, seed=6)
    wrong = polish(law("-0.9*m_i*m_j/(r + 0.3)"), seen)
    right = polish(law("-1.4*m_i*m_j*r/(r^2 + 1.1)"), seen)
    assert wrong.structured and not right.structured
    assert right.excess == pytest.approx(1, abs=5 * right.excess_error)
    assert "no motion under it follows" in wrong.doubts[0] and right.doubts == []


def test_what_the_data_do_not_determine_is_said_and_stays():
    seen, _, _ = world(law("-1.0*m_i*m_j*r"), trajectories=6, frames=16, noise=0.05, seed=7)
    found = polish(law("-1.05*m_i*m_j*(r + 0.000001)"), seen)
    small = min(found.constants, key=lambda c: abs(c["before"]))
    assert not small["determined"] and small["standard_error"] > 100 * abs(small["before"])
    assert small["value"] == small["before"]


def test_laws_that_cannot_be_followed_are_left_as_they_were():
    seen, _, _ = world(law("-1.0*r"), trajectories=2, frames=8, noise=0.05)
    boxed = replace(law("-1.0*r"), cutoff=1.0)
    found = polish(boxed, seen)
    assert found.law is boxed and "periodic" in found.why_not and found.constants == []
    assert (
        "no stretches" in polish(law("r*m_i"), Observed(seen.observed[:, :2], seen.t[:, :2], seen.properties)).why_not
    )


def test_pieces_are_cut_where_particles_come_and_go():
    observed, there = np.random.default_rng(0).normal(size=(2, 40, 3, 2)), np.ones((2, 40, 3), bool)
    there[1, :25, 2] = False
    observed[1, :25, 2] = np.nan
    seen = Observed(observed, np.arange(40.0), {"mass": np.ones((2, 3))}, None, there, noise=1.0)
    two, three = pieces(seen, longest=20)
    assert two.observed.shape[2] == 2 and list(two.frames) == [12, 13]
    assert list(three.frames) == [20, 20, 15] and list(three.trajectory) == [0, 0, 1]
    assert np.isfinite(three.observed).all() and not three.seen[2, 15:].any()
    np.testing.assert_array_equal(two.observed[1, :13], observed[1, 12:25, :2])


def test_a_dataset_gives_its_training_trajectories():
    rng = np.random.default_rng(0)
    observed, split = rng.normal(size=(3, 8, 2, 2)), np.array([0, 2, 0])
    arrays = {"pos": observed, "observed": observed, "noise": np.float64(0.3), "split": split, "t": np.arange(8.0)}
    arrays |= {"mass": np.ones((3, 2)), "charge": np.zeros((3, 2))}
    seen = observed_in(Dataset("d", Path("d"), arrays, DatasetRecord()))
    assert len(seen.observed) == 2 and seen.noise == 0.3 and set(seen.properties) == {"mass", "charge"}


def test_a_note_says_what_errors_are_of():
    about = dict.fromkeys(("law", "form", "noise", "noise_before", "chi2", "excess", "excess_error"))
    about |= dict.fromkeys(("freedom", "left_out", "pieces", "cuts", "stretches", "cpu_seconds"), 0)
    about |= {"trajectories": 20, "constants": [], "node": [], "converged": True}
    assert "scatter between recordings" in note(Polished(**about, recordings=20))
    few = note(Polished(**about, recordings=1))
    assert "20 trajectories cut from 1 recording;" in few and "too few recordings" in few


def test_squares_beyond_noise_speak_against_a_law():
    assert not_followed(None, 0.01) == [] and not_followed(1.04, 0.01) == []
    assert "1.1 times" in not_followed(1.1, 0.01)[0]
    assert "40 % of the time" in not_followed(1.0, 0.01, 0.4)[0]
    assert not_followed(50.0, 0.1, left=1e-9) == [] and not_followed(50.0, 0.1, left=1e-2)
