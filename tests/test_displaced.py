"""Forces from points displaced from the senders: against arithmetic written down here, finite differences and scipy."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from distill.export import numpy_module
from distill.files.properties import of_pairs
from distill.formulas.text import parse
from distill.law.joint import numbers_of
from distill.law.receivers import Receivers, law_acceleration
from distill.physics.law import Law
from distill.physics.terms import About, State
from distill.report.words import further_terms
from distill.splines.blocks import Motion, Seen, displaced
from distill.splines.dependence import Product
from distill.splines.displacement import displacement
from distill.splines.normal_equations import Table

KNOWN = ("s", "r", "m_i", "m_j", "q_i", "q_j", "t")
CENTRE = (0.1, 0.0, -0.3)


def law():
    wake = About(CENTRE, parse("-0.4*q_i*q_j*exp(-1.2*s)*(1/s^2 + 1/s)", KNOWN))
    return Law(parse("q_i*q_j*exp(-r)/r^2", KNOWN), {"drag": 0.02}, pairs={"displaced": wake})


def plainly(pos, vel, mass, charge, centre=CENTRE):
    """The same law, pair by pair."""
    out = np.zeros_like(pos)
    for i in range(len(pos)):
        for j in set(range(len(pos))) - {i}:
            d, q = pos[i] - pos[j], charge[i] * charge[j]
            r = np.linalg.norm(d)
            out[i] += q * np.exp(-r) / r**2 * d / r
            d = d - np.array(centre)
            s = np.linalg.norm(d)
            out[i] -= 0.4 * q * np.exp(-1.2 * s) * (1 / s**2 + 1 / s) * d / s
    return (out - 0.02 * vel) / mass[:, None]


def state(seed=951, n=5):
    rng = np.random.default_rng(seed)
    return *rng.normal(size=(2, n, 3)), np.exp(rng.normal(size=n)), rng.normal(size=n)


def test_a_law_and_its_module_are_the_arithmetic(tmp_path):
    pos, vel, mass, charge = state()
    true = plainly(pos, vel, mass, charge)
    np.testing.assert_allclose(law().acceleration(pos, vel, {"mass": mass, "charge": charge}), true, rtol=1e-12)
    (tmp_path / "law.py").write_text(numpy_module.source(law(), 3, "a test"))
    spec = importlib.util.spec_from_file_location("law_displaced", tmp_path / "law.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    np.testing.assert_allclose(module.acceleration(pos, vel, 0.0, mass=mass, charge=charge), true, rtol=1e-12)
    told = law().pairs_json()["displaced"]
    assert (
        told["centre"] == list(CENTRE) and parse(told["text"], told["variables"]) == law().pairs["displaced"].strength
    )
    assert told["convention"].endswith("s = |x_i - x_j - c|, c = (0.1, 0, -0.3)")
    one = SimpleNamespace(text=told["text"], centre=told["centre"])
    said = further_terms(SimpleNamespace(pairs={"displaced": one}, node=None))
    assert said[0].startswith("displaced ") and said[0].endswith(" from x_j + (0.1, 0, -0.3)")


def test_distances_from_two_points_have_two_letters():
    """As in a wake inside a trap."""
    trap = About((1.0, 2.0, 0.0), parse("-3*s", KNOWN))
    both = replace(law(), node={"central": trap})
    text = both.equation()["text"]
    assert "exp(-1.2 * s_ij)" in text and "(x_i - x_j - (0.1, 0, -0.3))/s_ij" in text
    assert "s_ij = |x_i - x_j - (0.1, 0, -0.3)|" in text and "s = |x_i - (1, 2, 0)|" in text
    assert "-3 * s (x_i" in text.replace("(-3 * s)", "-3 * s") and "s_{ij}" in both.equation()["latex"]


def receivers():
    pos, vel, mass, charge = state()
    n = len(pos)
    i, j = np.nonzero(~np.eye(n, dtype=bool))
    dx = pos[i] - pos[j]
    r = np.linalg.norm(dx, axis=1)
    ends = of_pairs({"mass": mass[i], "charge": charge[i]}, {"mass": mass[j], "charge": charge[j]})
    ones = np.ones(len(r))
    motion = Motion(dx / r[:, None], vel[i] - vel[j], pos[i], vel[i], 0 * ones, ones / (n - 1), ones)
    seen, at = Seen(r, ends, motion), State(vel, {"mass": mass, "charge": charge}, pos)
    acc = plainly(pos, vel, mass, charge)
    return Receivers(ends | {"r": r}, motion.unit, np.arange(n) * (n - 1), acc, acc, at, np.zeros(n, int), None, seen)


def test_derivatives_by_all_constants_are_differences():
    data, numbers = receivers(), numbers_of(law())
    np.testing.assert_allclose(law_acceleration(law(), data), data.acc, rtol=1e-12)
    found, slopes = numbers.accelerations(numbers.start, data)
    np.testing.assert_allclose(found, data.acc, rtol=1e-12)
    moved = False
    for k in range(len(numbers.start)):
        step = 1e-6 * np.eye(len(numbers.start))[k]
        both = [law_acceleration(numbers.at(numbers.start + sign * step), data) for sign in (1, -1)]
        difference = (both[0] - both[1]) / 2e-6
        np.testing.assert_allclose(slopes[..., k], difference, atol=1e-7 * np.abs(difference).max() + 1e-9)
        moved |= bool(np.allclose(numbers.start[k], CENTRE[2]))
    assert moved  # the centre is among them


def table_of(share: float, seed=952, frames=60, n=6):
    """What a displaced force of that share leaves beside a central one: (table, left)."""
    rng = np.random.default_rng(seed)
    pos = rng.normal(size=(frames, n, 3))
    frame, i, j = np.nonzero(np.broadcast_to(~np.eye(n, dtype=bool), (frames, n, n)))
    dx = pos[frame, i] - pos[frame, j]
    r = np.linalg.norm(dx, axis=1)
    d = dx - [0.0, 0.25, -0.3]
    s = np.linalg.norm(d, axis=1)
    force = (np.exp(-r) / r)[:, None] * dx - share * (np.exp(-s) / s)[:, None] * d
    start, ones = np.arange(frames * n + 1) * (n - 1), np.ones(len(r))
    left = np.add.reduceat(force, start[:-1], axis=0)
    left = left + 0.01 * rng.normal(size=left.shape)
    motion = Motion(dx / r[:, None], 0 * dx, pos[frame, i], 0 * dx, 0 * ones, ones / (n - 1), ones)
    at = State(np.zeros((frames * n, 3)), {"mass": np.ones(frames * n)})
    zero = np.zeros(frames * n)
    return Table(start, r, dx / r[:, None], {"r": r}, left, at, zero.astype(int), zero, motion), left


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_where_forces_come_from_is_found(share):
    data, left = table_of(share)
    found = displacement(data, np.ones(len(data.r)), left, np.ones(len(left)))
    if share:
        np.testing.assert_allclose(found, [0.0, 0.25, -0.3], atol=0.03)
    else:
        assert found is None


def test_curves_of_a_displaced_force_reach_over_the_distances_from_there():
    data, _ = table_of(0.5)
    centre = (0.0, 2.5, -3.0)  # so far that distances of pairs are none of these
    block = displaced(data.seen, Product(((),)), 6, 0.5, centre)
    s = np.linalg.norm(data.r[:, None] * data.motion.unit - centre, axis=1)
    np.testing.assert_allclose(block.basis.breaks[[0, -1]], np.log(np.array([s.min(), s.max()]) / 0.5), rtol=1e-12)
    assert (block.values(data.seen)[0].toarray() > 1e-6).any(0).all()  # no function that no pair has


def test_the_dusty_plasma_moves_as_scipy_says(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1] / "benchmarks"), *sys.path])
    from dusty_data import GRAINS, Plasma, film, grains, start

    plasma, (mass, charge), (pos, vel) = Plasma(), grains(953), start(953)
    ours = film(plasma, mass, charge, pos, vel, 9, 0.05, 10)

    def right(t, y):
        x, v = y.reshape(2, GRAINS, 3)
        return np.concatenate([v, plasma.acceleration(x, v, mass, charge)]).ravel()

    end = solve_ivp(right, (0, 0.4), np.concatenate([pos, vel]).ravel(), "DOP853", rtol=1e-10, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(np.concatenate([a[-1] for a in ours]).ravel(), end, atol=2e-6)
    force = plasma.pair_forces(pos, charge)
    assert np.abs(force + force.transpose(1, 0, 2)).max() > 0.1 * np.abs(force).max()  # no third law
    free = Plasma(share=0.0, drag=0.0)  # energy is kept where nothing takes or gives it

    def energy(x, v):
        r = np.linalg.norm(x[:, None] - x, axis=2)[np.triu_indices(GRAINS, 1)]
        both = (charge[:, None] * charge)[np.triu_indices(GRAINS, 1)]
        of_place = (charge[:, None] * np.array(free.trap) * x**2).sum() / 2 + (mass * free.gravity * x[:, 2]).sum()
        return (mass[:, None] * v**2).sum() / 2 + (both * np.exp(-r / free.screening) / r).sum() + of_place

    x, v = film(free, mass, charge, pos, vel, 9, 0.05, 10)
    assert energy(x[-1], v[-1]) == pytest.approx(energy(x[0], v[0]), rel=1e-6)
