"""g(r) and its test of equality, sets and settings of a fluid, and rollouts under truth, law and network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from filled import filled
from planted import CUTOFF, write_argon

from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.kinds import Generalization, LawRecord
from distill.files.properties import VARIABLES
from distill.files.storage import plain
from distill.fluid import comparison, rollouts, section
from distill.fluid.comparison import Plan, four_times, settings_like
from distill.fluid.lennard_jones import lennard_jones
from distill.fluid.structure import bin_edges, compare_g, pair_counts, permutation_p, radial_distribution
from distill.formulas.text import parse
from distill.generalization import extrapolation
from distill.network import edges
from distill.network.evaluation import network_acceleration
from distill.physics.law import Law
from distill.shell.errors import UserError
from models import GNN, ModelConfig

SYSTEM = lennard_jones(cutoff=CUTOFF)
LAW = Law(parse(SYSTEM.law, VARIABLES), {}, cutoff=CUTOFF)


def network():
    torch.manual_seed(0)
    return GNN(
        ModelConfig(
            dim=3,
            message_dim=3,
            hidden=4,
            translation_invariant=True,
            geometric_inputs=True,
            periodic=True,
            r_mean=4.5,
            r_spread=0.7,
            acc_scale=5.0,
        )
    ).eval()


@pytest.fixture(scope="module")
def argon(tmp_path_factory):
    return load_dataset(str(write_argon(tmp_path_factory.mktemp("argon"))))


def plan_of(dataset, **changes):
    settings, engine = settings_like(dataset, SYSTEM, 7, True)
    settings = replace(settings, equilibration=0.1)
    return Plan(
        **{
            "settings": settings,
            "engine": "jax",
            "trajectories": 2,
            "limit": 4,
            "particles": 30,
            "references": 2,
            "time": 0.2,
        }
        | changes
    )


# ---------------------------------------------------------------- g(r)


def test_g_of_particles_that_know_nothing_of_each_other_is_one():
    rng, box = np.random.default_rng(0), np.array([12.0, 14.0, 16.0])
    edges = bin_edges(box)
    assert edges[-1] == 6.0 and len(edges) == 61
    g = radial_distribution(pair_counts(rng.random((200, 40, 3)) * box, box, edges).mean(0), 40, box, edges)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    expected = 200 * 40 * 39 / 2 * shells / box.prod()  # pairs in a bin: their noise is that of counts
    assert (np.abs(g - 1) < 5 / np.sqrt(expected))[expected > 20].all()
    assert abs((g * shells).sum() / shells.sum() - 1) < 0.01


def test_g_of_a_lattice_has_its_shells():
    """Simple cubic, side a: 6, 12 and 8 neighbours at a, sqrt(2) a and sqrt(3) a."""
    a, k = 3.17, 4
    sites = a * np.stack(np.meshgrid(*[np.arange(k)] * 3, indexing="ij"), -1).reshape(-1, 3)
    box = np.full(3, k * a)
    edges = bin_edges(box)
    counts = pair_counts(sites[None], box, edges)[0]
    shells = {round(float(edges[b]), 6): 2 * counts[b] / k**3 for b in np.flatnonzero(counts)}
    assert list(shells.values()) == [6, 12, 8]
    for low, d in zip(shells, a * np.sqrt([1, 2, 3]), strict=True):
        assert low <= d < low + 0.1 + 1e-9
    g = radial_distribution(counts, k**3, box, edges)
    number = (g * 4 / 3 * np.pi * np.diff(edges**3)).sum() * (k**3 - 1) / box.prod()
    assert number == pytest.approx(26)


def curves(rng, runs, shift=0.0):
    return 1 + 0.02 * rng.normal(size=(runs, 50)) + shift * np.sin(np.arange(50))


def test_runs_of_the_same_fluid_lie_within_the_spread_and_those_of_another_do_not():
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(60):
        reference = curves(rng, 6)
        outcomes.append(compare_g(curves(rng, 6), np.arange(6), reference))
    assert np.mean([not one["within_spread"] for one in outcomes]) < 0.2
    p = np.array([one["p_value"] for one in outcomes])
    assert (p < 0.05).mean() < 0.2 and 0.3 < p.mean() < 0.7  # uniform if nothing differs
    assert np.mean([one["mean_in_standard_errors"] for one in outcomes]) == pytest.approx(1.1, abs=0.15)
    other = compare_g(curves(rng, 6, 0.05), np.arange(6), curves(rng, 6))
    assert not other["within_spread"] and other["p_value"] < 0.01 and other["mean_in_standard_errors"] > 3
    assert len(other["deviations"]) == len(other["reference_deviations"]) == 6


def test_a_single_run_has_no_test_of_the_means_and_many_runs_draw_their_splits():
    rng = np.random.default_rng(1)
    one = compare_g(curves(rng, 1), np.array([2]), curves(rng, 4))
    assert one["p_value"] is None and one["mean_in_standard_errors"] is None and len(one["deviations"]) == 1
    many, shifted = curves(rng, 10), curves(rng, 10, 0.05)
    assert permutation_p(many, shifted) < 0.001 < 0.05 < permutation_p(many, curves(rng, 10))
    assert permutation_p(many, shifted, 3) == permutation_p(many, shifted, 3)


def test_own_runs_are_left_out_of_what_a_run_is_held_to():
    reference = np.zeros((3, 4))
    reference[1] = 9.0
    found = compare_g(np.zeros((2, 4)), np.array([1, 0]), reference)
    assert found["deviations"] == [0.0, 4.5] and found["reference_deviations"] == [4.5, 9.0, 4.5]


# ---------------------------------------------------------------- sets


def test_more_particles_are_four_times_as_many_in_one_digit():
    assert [four_times(n) for n in (258, 32, 27, 2, 500)] == [1000, 100, 100, 8, 2000]


def test_settings_come_from_the_dataset_or_from_what_is_in_it(argon):
    settings, _ = settings_like(argon, SYSTEM, 7)
    assert settings.temperature == pytest.approx(94, rel=0.1) and settings.friction == 1.0 and settings.dt == 0.002
    assert settings.reduced_density == pytest.approx(27 * 3.4**3 / 12**3)
    np.testing.assert_allclose(settings.box, argon.box)
    told = {
        "reduced_density": 0.3,
        "temperature": 120.0,
        "thermostat": "none",
        "friction": 0.0,
        "dt": 0.001,
        "equilibration": 3.0,
    }
    meta = replace(argon.meta, arguments=told, report={"engine": "jax 0.0"})
    settings, engine = settings_like(replace(argon, meta=meta), SYSTEM, 7)
    assert engine == "jax" and {k: getattr(settings, k) for k in told} == told
    assert rollouts.bath_of(settings, 0.1, 3).thermostat == "none"
    told |= {"thermostat": "nose-hoover", "friction": 25.0}
    settings, _ = settings_like(replace(argon, meta=replace(meta, arguments=told)), SYSTEM, 7, True)
    assert (settings.thermostat, settings.friction, settings.equilibration) == ("langevin", 1.0, 1.0)


@pytest.fixture(scope="module")
def made(argon):
    """Sets simulated in this process: there is no torch to be kept from JAX in what they do."""
    return comparison.make_sets(SYSTEM, plan_of(argon))


def test_sets_are_what_they_say_and_labelled_by_the_law(argon, made):
    assert made.skipped.keys() == {"dense"} and "more than half the box" in made.skipped["dense"]
    t = settings_like(argon, SYSTEM, 7)[0].temperature
    assert list(made.sets) == [
        "interpolation",
        f"hotter_{2 * t:.0f}K",
        f"hotter_{3 * t:.0f}K",
        "dilute",
        "more_particles",
    ]
    for name, states in made.sets.items():
        assert len(states) <= 4 and states.pos.shape[1] == (30 if name == "more_particles" else 27)
        found = LAW.acceleration(*states.state, states.box)
        np.testing.assert_allclose(found, states.acc, rtol=1e-6, atol=1e-6 * np.abs(states.acc).max())
    volume = made.sets["dilute"].box.prod()
    assert 27 * 3.4**3 / volume == pytest.approx(0.05)
    assert made.starts["pos"].shape == (2, 3, 27, 3) and made.starts["spacing"] == pytest.approx(0.1)


def test_a_set_like_the_dataset_itself_is_not_made_twice(argon, monkeypatch):
    asked = []

    def simulate(settings, trajectories, engine, threads):
        asked.append(settings)
        shape = (trajectories, settings.frames, settings.n, 3)
        if settings.temperature > 250:
            raise UserError("simulation 0 blew up")
        return {k: np.zeros(shape) for k in ("pos", "vel", "acc")} | {
            "mass": np.ones(shape[::2]),
            "charge": np.zeros(shape[::2]),
            "box": settings.box,
            "report": {},
        }

    monkeypatch.setattr(comparison.md, "simulate", simulate)
    plan = plan_of(argon, references=0)
    plan = replace(plan, settings=replace(plan.settings, reduced_density=0.052))
    assert plan.frames == 2
    found = comparison.make_sets(SYSTEM, plan)
    t = plan.settings.temperature
    hottest = f"hotter_{3 * t:.0f}K"
    assert "0.052 itself" in found.skipped["dilute"] and found.skipped[hottest] == "simulation 0 blew up"
    assert list(found.sets) == ["interpolation", f"hotter_{2 * t:.0f}K", "dense", "more_particles"]
    assert found.starts["pos"].shape[:2] == (0, 11)  # 1 ps, every tenth frame of which is in the set
    assert [(s.n, s.frames, s.every) for s in asked][::4] == [(27, 11, 50), (30, 2, 500)]


def test_errors_are_those_of_forces_and_memory_does_not_change_them(argon, made, monkeypatch):
    states, model = made.sets["interpolation"], network()
    function = network_acceleration(model, argon)
    found = extrapolation.compare(states, function, LAW.acceleration, forces=True)
    acc = function(*states.state, states.box)
    assert found["gnn"]["mae"] == pytest.approx(SYSTEM.mass * np.abs(acc - states.acc).mean(), rel=1e-6)
    assert found["law"]["mae"] < 1e-6 < found["law_over_gnn_mae"] * 1e3 + 1 and found["law"]["r2"] > 0.999999
    assert found["mean_absolute_force"] == pytest.approx(SYSTEM.mass * np.abs(states.acc).mean())
    monkeypatch.setitem(edges.EDGES_AT_ONCE, "cpu", 1)
    np.testing.assert_allclose(function(*states.state, states.box), acc, rtol=1e-4, atol=1e-5)


def test_where_the_truth_is_unknown_the_dataset_s_own_test_split_is_left(argon):
    sets = extrapolation.own_test_set(argon, 3, 0)
    assert list(sets) == ["interpolation"] and len(sets["interpolation"]) == 3
    function = network_acceleration(network(), argon)
    found = extrapolation.compare(sets["interpolation"], function, LAW.acceleration, forces=True)
    assert found["law"]["mae"] < 1e-6 < found["gnn"]["mae"] and found["box"] == [12.0] * 3


# ---------------------------------------------------------------- rollouts


@pytest.fixture(scope="module")
def rolled(argon, made):
    bath = rollouts.bath_of(plan_of(argon).settings, 0.1, 3)
    wrong = Law(parse(f"2*({SYSTEM.law})", VARIABLES), {}, cutoff=CUTOFF)
    both = [rollouts.compare(law, network(), made.starts, bath, 2, CUTOFF, 100.0) for law in (LAW, wrong)]
    return [json.loads(json.dumps(plain(one), allow_nan=False)) for one in both]


def test_the_true_law_moves_the_fluid_as_the_truth_does(rolled):
    good, wrong = rolled
    g, warm, still = (good[k]["models"] for k in ("g_r", "constant_temperature", "constant_energy"))
    for part in (g, warm, still):
        assert part.keys() == {"truth", "law", "gnn"}
    np.testing.assert_allclose(g["law"]["mean"], g["truth"]["mean"], atol=0.05)
    assert warm["law"]["ran_ps"] == [pytest.approx(0.2)] * 2 and not warm["law"]["failed"]
    assert warm["law"]["temperature_K"]["mean"] == pytest.approx(warm["truth"]["temperature_K"]["mean"], rel=1e-3)
    assert still["law"]["energy_drift_end"]["median_size"] < 0.02 and still["law"]["momentum_drift_median"] < 1e-12
    assert len(still["law"]["energy_drift"]["median"]) == len(good["constant_energy"]["time"]) == 2
    off = wrong["constant_energy"]["models"]["law"]["energy_drift_end"]["median_size"]
    assert off > 5 * still["law"]["energy_drift_end"]["median_size"]


def test_a_law_that_blows_up_is_reported_and_no_exception(argon, made):
    bath = rollouts.bath_of(plan_of(argon).settings, 0.1, 3)
    attracts = Law(parse("-1.0e9/r^8", VARIABLES), {}, cutoff=CUTOFF)
    found = rollouts.compare(attracts, network(), made.starts, bath, 2, CUTOFF, 0.0)
    found = plain(found)
    json.dumps(found, allow_nan=False)
    warm, still = (found[k]["models"] for k in ("constant_temperature", "constant_energy"))
    assert len(warm["law"]["failed"]) == 2 and warm["law"]["temperature_K"]["mean"] is None
    assert found["g_r"]["models"]["law"] == {"within_spread": False, "mean": None}
    assert still["law"]["energy_drift"]["median"][-1] is None
    assert warm["gnn"]["stopped_by_the_clock"] == 2 and warm["gnn"]["ran_ps"] == [pytest.approx(0.1)] * 2
    law, told = (records.build(k, filled(k, **v)) for k, v in ((LawRecord, {}), (Generalization, {"rollouts": found})))
    words = " ".join(section.lines(law, told))
    assert "every run blew up" in words and "failed at" in words
    page = section.rollouts(found)
    assert "Failed: law, start 0" in page and "nan" not in page.lower().split("base64")[0]
