"""Windows in which frames miss what a force does between them."""

import numpy as np
import pytest
from test_joint import f

from distill.law.receivers import Receivers, pair_forces_of
from distill.physics.law import Law
from distill.physics.terms import State
from distill.splines.blocks import Motion, Seen
from distill.windows.unresolved import RESOLVED, alternating

FRAMES, STEP, NOISE = 9, 0.05, 1e-3
APART = np.array([2.0, 1.0, 0.5, 0.02, 0.01])  # of the lines on which others pass, at speed 1
FORCE = Law(f("1/r^2"))


def passing(between: bool = True, fine: int = 1) -> Receivers:
    """Each of five receivers, of mass 2, in a window while another passes it; ``fine``: times as many frames."""
    count = (FRAMES - 1) * fine + 1
    t = np.linspace(-0.5, 0.5, count) * (FRAMES - 1) * STEP + 0.3 * STEP
    weight = np.maximum(0, 1 - (t / (0.5 * FRAMES * STEP)) ** 2)
    omega = np.tile(weight / weight.sum(), (len(APART), 1))
    dx = np.stack([np.tile(t, (len(APART), 1)), np.tile(APART[:, None], (1, count))], -1).reshape(-1, 2)
    r = np.linalg.norm(dx, axis=1)
    unit, w, edges, rows = dx / r[:, None], omega.ravel(), len(r), len(APART)
    motion = Motion(unit, 0 * dx, dx, 0 * dx, np.tile(t, rows), np.full(edges, 1 / count), w)
    ends = {"r": r, "m_i": np.full(edges, 2.0), "m_j": np.ones(edges)}
    seen, start = Seen(r, ends, motion), np.arange(rows) * count
    acc = np.add.reduceat(pair_forces_of(FORCE, seen), start) / 2.0
    weights = alternating(omega, np.tile(t, (rows, 1))).ravel() if between else None
    state = State(np.zeros((rows, 2)), {"mass": np.full(rows, 2.0)})
    noise = np.full(rows, NOISE)
    return Receivers(ends, unit * w[:, None], start, acc, acc, state, np.arange(rows), noise, seen, None, weights)


def forces(law):
    return lambda seen: pair_forces_of(law, seen)


def test_close_encounters_between_frames_are_left_out():
    kept = passing().resolved_by(forces(FORCE))
    assert len(kept.acc) == 3 and (kept.in_motion.r >= 0.5).all()
    assert kept.acc == pytest.approx(passing().acc[:3]) and len(kept.between) == len(kept.unit) == 3 * FRAMES
    assert (kept.noise >= NOISE).all() and (kept.noise < 2 * NOISE).all()


def test_what_is_left_out_is_what_frames_do_miss():
    few, many = passing(), passing(fine=400)
    missed = np.linalg.norm(few.acc - many.acc, axis=1) / np.linalg.norm(many.acc, axis=1)
    assert (missed[:3] < RESOLVED).all() and (missed[3:] > 10 * RESOLVED).all()


def test_a_force_that_would_leave_out_most_leaves_out_none():
    data = passing()
    assert data.resolved_by(forces(Law(f("1e4/r^9")))) is data


def test_known_accelerations_have_nothing_between_them():
    data = passing(between=False)
    assert data.resolved_by(forces(FORCE)) is data
