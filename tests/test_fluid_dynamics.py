"""Dynamics in a periodic box: the list of pairs, velocity Verlet, BAOAB, and the network's edges."""

import numpy as np
import pytest
import torch

from distill.files.dataset import Dataset
from distill.fluid import md
from distill.fluid.dynamics import BlewUp, NetworkAcceleration, PairAcceleration, VerletList, move
from distill.fluid.lennard_jones import BOLTZMANN, box_length, lattice, lennard_jones, maxwell, temperatures
from distill.fluid.rollouts import true_energy
from distill.network.edges import CutoffEdges
from distill.network.evaluation import network_acceleration
from distill.physics.law import Law
from distill.physics.neighbours import close_pairs, radius_graph
from distill.physics.system import radial_force
from distill.physics.terms import State
from models import GNN, ModelConfig

SYSTEM = lennard_jones(cutoff=5.5)
MASS, N, T = SYSTEM.mass, 32, 100.0
BOX = np.full(3, box_length(N, SYSTEM.sigma, 0.5))
HEAT = BOLTZMANN * T / MASS


def truth():
    return PairAcceleration(lambda r, i, j: radial_force(SYSTEM, r, SYSTEM.ends(N, i, j)), MASS, BOX, SYSTEM.cutoff)


def start(seed=0):
    rng = np.random.default_rng(seed)
    pos = BOX * lattice(rng, N) + 0.05 * rng.normal(size=(N, 3))
    return pos, maxwell(rng, N, 3, MASS, T)


@pytest.fixture(scope="module")
def warm():
    """A state of the fluid: pos, vel [particle, dim]."""
    found = move(truth(), *start(), 0.002, 500, 2, HEAT, 1.0, seed=1)
    return found.pos[-1], found.vel[-1]


def test_forces_from_the_list_are_those_of_brute_force_while_particles_wander(warm):
    acceleration = truth()
    found = move(acceleration, *warm, 0.002, 40, 11, HEAT, 1.0, seed=2)
    assert 2 < acceleration.list.made < 60  # made again on the way, but not at every step
    assert np.abs(found.pos[-1] - found.pos[0]).max() > 2 * acceleration.list.half_skin
    for pos in found.pos:
        wanted = md.pair_sums(SYSTEM, pos, BOX)[0] / MASS
        np.testing.assert_allclose(acceleration(pos, None), wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


def test_the_list_is_made_again_in_time_and_has_no_skin_where_the_box_leaves_none():
    rng = np.random.default_rng(0)
    pos = rng.random((N, 3)) * BOX
    pairs = VerletList(BOX, 4.0)
    assert pairs.update(pos) and not pairs.update(pos + 0.49 / np.sqrt(3)) and pairs.update(pos + 0.51 / np.sqrt(3))
    tight = VerletList(BOX, float(BOX[0]) / 2)
    assert tight.half_skin == 0 and tight.update(pos) and tight.update(pos)
    i, j, dx, r = close_pairs(pos, BOX, BOX[0] / 2)
    found_dx, found_r = tight.distances(pos + 3 * BOX)  # whole boxes away
    np.testing.assert_allclose(found_dx, dx, atol=1e-12)
    np.testing.assert_allclose(found_r, r)
    with pytest.raises(BlewUp, match="finite"):
        tight.update(pos * np.nan)
    with pytest.raises(ValueError, match="half"):
        VerletList(BOX, 0.51 * BOX[0]).update(pos)


def test_velocity_verlet_keeps_energy_and_momentum_and_its_error_falls_with_the_square_of_the_step(warm):
    pos, vel = warm[0], warm[1] - warm[1].mean(0)
    worst = []
    for dt, every in ((0.004, 25), (0.002, 50)):
        found = move(truth(), pos, vel, dt, every, 11, HEAT)
        energy, kinetic = true_energy(SYSTEM, found, BOX)
        worst.append(np.abs(energy - energy[0]).max() / kinetic[0])
        assert np.abs(found.vel.sum(1)).max() < 1e-10 and found.steps == 10 * every and not found.failed
    assert worst[1] < 2e-3 and worst[1] < worst[0]


def test_velocity_verlet_goes_back_the_way_it_came(warm):
    there = move(truth(), *warm, 0.002, 100, 2, HEAT)
    back = move(truth(), there.pos[-1], -there.vel[-1], 0.002, 100, 2, HEAT)
    np.testing.assert_allclose(back.pos[-1], warm[0], atol=1e-8)


def test_baoab_samples_a_harmonic_well_without_bias_in_position_at_any_step():
    """Leimkuhler and Matthews 2013: positions of a harmonic oscillator have the exact variance, for any time step."""
    stiffness, n = 4.0, 400
    found = move(lambda x, v: -stiffness * x, np.zeros((n, 3)), np.zeros((n, 3)), 0.4, 10, 201, HEAT, 1.0, seed=3)
    variance = (found.pos[20:] ** 2).mean() / (HEAT / stiffness)
    assert abs(variance - 1) < 5 * np.sqrt(2 / (3 * n * 180))  # frames 4 ps apart know nothing of each other
    kinetic = (found.vel[20:] ** 2).mean() / HEAT
    assert kinetic < 0.98  # velocities do have a bias: (1 - stiffness dt^2 / 4) here, 0.84
    assert abs(kinetic - (1 - stiffness * 0.4**2 / 4)) < 0.02


def test_a_bath_holds_the_fluid_at_its_temperature_and_a_seed_repeats(warm):
    one, again, other = (move(truth(), *warm, 0.002, 100, 21, HEAT, 10.0, seed=s) for s in (4, 4, 5))
    assert np.array_equal(one.pos, again.pos) and not np.array_equal(one.pos, other.pos)
    t = temperatures(np.concatenate([one.vel[5:], other.vel[5:]]), MASS, 3 * N)
    assert abs(t.mean() - T) < 5 * T * np.sqrt(2 / (3 * N * len(t)))


def test_a_run_that_blows_up_says_so_and_returns_what_it_had(warm):
    hot = move(lambda x, v: 50 * v, *warm, 0.002, 10, 21, HEAT)
    assert "kinetic temperature" in hot.failed and 1 < len(hot.pos) < 21
    bad = PairAcceleration(lambda r, i, j: np.where(r < 4.0, np.inf, 0.0) - np.inf, MASS, BOX, 5.0)
    found = move(bad, *warm, 0.002, 10, 21, HEAT)
    assert found.failed and len(found.pos) == 1


def test_the_clock_ends_a_run_and_that_is_no_failure(warm):
    found = move(truth(), *warm, 0.002, 5, 21, HEAT, seconds=0.0)
    assert found.stopped and not found.failed and len(found.pos) == 2 and found.steps == 5


def test_node_terms_of_a_law_act_beside_its_pairs(warm):
    law = Law(__import__("sympy").Float(0.0), {"drag": 2.0}, cutoff=5.5)
    acceleration = PairAcceleration(
        lambda r, i, j: law.radial(r),
        MASS,
        BOX,
        5.5,
        lambda vel: law.node_force(State(vel, {"mass": np.full(N, MASS)})),
    )
    np.testing.assert_allclose(acceleration(*warm), -2.0 * warm[1] / MASS)


def test_the_network_sees_the_edges_of_a_fresh_search_and_predicts_the_same(warm):
    torch.manual_seed(0)
    model = GNN(
        ModelConfig(
            dim=3,
            message_dim=3,
            hidden=8,
            translation_invariant=True,
            geometric_inputs=True,
            antisymmetric=True,
            periodic=True,
            r_mean=4.5,
            r_spread=0.7,
        )
    ).eval()
    acceleration = NetworkAcceleration(model, SYSTEM.particles(N), BOX, 5.0)
    acceleration(*warm)
    moved = warm[0] + 0.2 * np.random.default_rng(0).uniform(-1, 1, size=(N, 3))
    found, wanted = acceleration.edges(moved), radius_graph(moved, BOX, 5.0)
    assert acceleration.list.made == 1 and len(wanted.r) > 100
    for name in ("sender", "receiver", "reverse"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    np.testing.assert_allclose(found.dx, wanted.dx, atol=1e-12)
    dataset = Dataset("", None, {"cutoff": np.float64(5.0)})
    state = moved[None], warm[1][None], {"mass": np.full((1, N), MASS), "charge": np.zeros((1, N))}
    whole = network_acceleration(model, dataset)(*state, BOX)[0]
    np.testing.assert_allclose(acceleration(moved, warm[1]), whole, rtol=1e-4, atol=1e-5)
    assert CutoffEdges(moved[None], BOX, 5.0).neighbours(0).r.size == found.r.size
