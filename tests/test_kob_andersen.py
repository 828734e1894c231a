"""The Kob-Andersen mixture: its three pairs, both engines, species in the dataset, sigma and epsilon of every pair."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from filled import filled

import distill
from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.kinds import Generalization, LawRecord, SystemRecord
from distill.files.properties import of_edges, variables
from distill.fluid import md, section, sigma_epsilon
from distill.fluid.dynamics import PairAcceleration
from distill.fluid.lennard_jones import KOB_ANDERSEN, lennard_jones
from distill.fluid.settings import Settings
from distill.formulas.text import parse
from distill.law.receivers import acceleration_objective, receivers
from distill.messages.gauges import gauges
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law, law_of_system
from distill.physics.neighbours import minimum_image
from distill.physics.record import describe, system_of
from distill.physics.system import pair_potential, radial_force
from distill.physics.systems import SYSTEMS
from distill.physics.terms.cases import groups_of_all
from distill.report.numbers import law_numbers
from distill.search.targets import searches
from distill.shell import paths
from distill.splines.observations import observations

# Kob and Andersen, Phys. Rev. E 51, 4626 (1995), below their equation (1): sigma and epsilon in units of those of AA
PUBLISHED = {"AA": (1.0, 1.0), "AB": (0.8, 1.5), "BB": (0.88, 0.5)}
WHOLE = SYSTEMS["kob_andersen"]
SMALL = lennard_jones(cutoff=5.4, mixture=KOB_ANDERSEN)  # 40 particles at the usual density: a box of 10.9 A
N = 40
ENGINES = ["jax"]
ENGINES += ["openmm"] if importlib.util.find_spec("openmm") else []


def settings(**changes):
    usual = {"system": SMALL, "n": N, "reduced_density": 1.2, "temperature": 180.0, "thermostat": "none"}
    usual |= {"friction": 0.0, "dt": 0.002, "every": 10, "frames": 21, "equilibration": 0.6, "seed": 0}
    return Settings(**(usual | changes))


@pytest.fixture(scope="module")
def made():
    return {engine: md.simulate(settings(), 2, engine) for engine in ENGINES}


def test_the_three_pairs_are_the_published_ones():
    """At the minimum of each pair the force vanishes and the energy is minus its epsilon."""
    found = WHOLE.particles(250)
    assert (WHOLE.sigma, WHOLE.epsilon, WHOLE.cutoff) == (3.4, 0.995792, 8.5)
    assert found["species__A"].sum() == 200 and found["species__B"].sum() == 50 and set(found["mass"]) == {3.99}
    a, b = 0, 249
    for i, j, name in ((a, 1, "AA"), (a, b, "AB"), (b, a, "AB"), (b, 248, "BB")):
        width, depth = PUBLISHED[name][0] * 3.4, PUBLISHED[name][1] * 0.995792
        ends = WHOLE.ends(250, i, j)
        bottom = 2 ** (1 / 6) * width
        energy = WHOLE.potential(bottom, *(ends[v] for v in WHOLE.variables[1:]), np)
        assert energy / 10 == pytest.approx(-depth)
        force = radial_force(WHOLE, np.array([bottom, width]), ends)
        np.testing.assert_allclose(force, [0, 240 * depth / width], atol=1e-9)


def test_the_json_is_enough_to_make_the_mixture_again():
    made = lennard_jones(sigma=3.0, epsilon=1.25, cutoff=7.5, mixture=KOB_ANDERSEN)
    about = json.loads(json.dumps(describe(made)))
    found = system_of(records.build(SystemRecord, about, strict=True))
    assert found.parameters == made.parameters and found.law == made.law
    assert found.parameters["sigma_AB"] == 2.4 and found.parameters["epsilon_BB"] == 0.625
    assert about["parameter_units"]["epsilon_AB"] == "kJ/mol" and about["parameter_units"]["atom_mass"] == "g/mol"
    assert system_of(records.build(SystemRecord, about | {"law": WHOLE.law})) is None


def test_forces_are_differences_of_the_energy_of_all_pairs(made):
    """All pairs by the published table, the nearest image, central differences."""
    pos, box = made["jax"]["pos"][0, -1], made["jax"]["box"]
    i, j = np.triu_indices(N, 1)
    kinds = ["".join(sorted("AB"[int(k >= 32)] for k in pair)) for pair in zip(i, j, strict=True)]
    width, depth = np.array([PUBLISHED[kind] for kind in kinds]).T * np.array([[3.4], [0.995792]])

    def energy(x):
        r = np.linalg.norm(minimum_image(x[i] - x[j], box), axis=1)
        sixth, last = (width / r) ** 6, (width / 5.4) ** 6
        return np.where(r <= 5.4, 4 * depth * (sixth**2 - sixth - last**2 + last), 0.0).sum()

    force, total, _, _ = md.pair_sums(SMALL, pos, box)
    steps = 1e-5 * np.eye(3 * N).reshape(-1, N, 3)
    expected = -10 * np.reshape([(energy(pos + h) - energy(pos - h)) / 2e-5 for h in steps], (N, 3))
    assert np.abs(force - expected).max() < 1e-6 * np.abs(expected).max() and np.abs(expected).max() > 50
    assert total == pytest.approx(energy(pos)) and set(kinds) == {"AA", "AB", "BB"}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engines_move_it_by_these_forces_and_keep_its_energy(made, engine):
    found = made[engine]
    # a pair at the cutoff may be in for 64 bits and out for 32: 0.5 kJ/mol/nm here
    assert found["report"]["largest_deviation_from_the_engine_kJ_per_mol_nm"] < (1e-9 if engine == "jax" else 0.6)
    assert found["report"]["energy_drift_max"] < 1e-3
    assert 100 < found["report"]["temperature_K"]["mean"] < 260
    assert found["report"]["smallest_distance_A"] < 3.0  # A and B come closer than A and A do
    path = found["pos"][:, 1:-1]
    step = minimum_image(found["pos"][:, 2:] - found["pos"][:, :-2], found["box"]) / (2 * 10 * 0.002)
    assert np.corrcoef(step.ravel(), found["vel"][:, 1:-1].ravel())[0, 1] > 0.999 and path.size


def test_a_law_that_tells_ends_apart_drives_each_by_its_own(made):
    found = made["jax"]
    pos, vel, own = found["pos"][0, 0], found["vel"][0, 0], SMALL.particles(N)
    pair = parse("species__A_i*species__B_j*100.0/r - species__B_i*species__A_j*30.0/r", SMALL.variables)
    law = Law(pair, cutoff=5.4, properties=SMALL.properties)
    force = PairAcceleration(
        lambda r, i, j: law.radial(r, **SMALL.ends(N, i, j)), SMALL.mass, found["box"], 5.4, mutual=False
    )
    wanted = law.acceleration(pos, vel, own, found["box"])
    np.testing.assert_allclose(force(pos, vel), wanted, atol=1e-9 * np.abs(wanted).max())
    assert np.abs(wanted.sum(0)).max() > 1


# ---------------------------------------------------------------- the dataset and its law


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    flags = {"n": N, "cutoff": 5.4, "n_trajectories": 4, "n_frames": 4, "equilibration": 0.4, "md_engine": ENGINES[-1]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "DATASETS", folder)
        done = distill.simulate("kob_andersen", **flags)
    assert "kob_andersen_n40_d3_s0" in str(done)
    return load_dataset(str(folder / "kob_andersen_n40_d3_s0.npz"))


def test_the_dataset_has_species_and_its_law_makes_its_accelerations(written):
    assert written.categories == {"species": ("A", "B")} and written.arrays["species"].sum() == 4 * 8
    system = system_of(written.meta.system)
    assert float(written.cutoff) == system.cutoff == 5.4
    law = law_of_system(system, 3)
    state = written.pos, written.vel, {k: v[:, None] for k, v in written.properties.items()}
    np.testing.assert_allclose(law.acceleration(*state, box=written.box), written.acc, rtol=1e-9, atol=1e-7)


def test_sigma_and_epsilon_of_every_pair_with_errors(written):
    system = system_of(written.meta.system)
    edges = observations(written, "train", 100, 0)
    edges["acc_pred_i"] = edges["acc_i"]
    nodes = nodes_of(edges)
    data = receivers(edges, nodes, np.arange(len(nodes.first)))
    near = parse("1.0e9/r^13 - 3.0e5/r^7", WHOLE.variables)
    start = sp.Add(*[group.whole(near) for group in groups_of_all(WHOLE.properties, ordered=False)])
    pair, _ = acceleration_objective(data).fit(start)
    found = sigma_epsilon.account(pair, data, (), system)
    assert list(found["pairs"]) == ["AA", "AB", "BB"]
    for name, (width, depth) in PUBLISHED.items():
        for parameter, true in (("sigma", width * 3.4), ("epsilon", depth * 0.995792)):
            one = found["pairs"][name][parameter]
            assert one["true"] == pytest.approx(true) and one["value"] == pytest.approx(true, rel=1e-4)
            assert one["standard_error"] < 1e-3 * true
    told = json.loads(json.dumps(found))
    law = Law(pair, cutoff=5.4, properties=system.properties)
    record = records.build(LawRecord, filled(LawRecord, pair=law.pair_json(), lennard_jones=told))
    words = section.lines(record, records.build(Generalization, filled(Generalization)))
    assert words[2].startswith("sigma AB") and "(true 2.72)" in words[2] and len(words) == 6
    r = np.linspace(3.0, 5.0, 5)
    curves = section.curves(replace(record, truth=None), r)
    assert list(curves) == ["AA", "AB", "BB"] and curves["AB"][1] is None
    wanted = 240 * 1.493688 / 2.72 * (2 * (2.72 / r) ** 13 - (2.72 / r) ** 7)
    np.testing.assert_allclose(curves["AB"][0], wanted, rtol=1e-3, atol=0.05)


def test_energies_are_searched_pair_by_pair(written):
    """Each target is the energy of one pair of species, whatever the others have."""
    edges = observations(written, "train", 100, 0)
    system, ends = system_of(written.meta.system), of_edges(edges)
    edges["energy_pair"] = pair_potential(system, ends["r"], ends) - pair_potential(system, 0 * ends["r"] + 5.0, ends)
    groups = groups_of_all(WHOLE.properties, ordered=False)
    found = searches(("potential",), edges, None, None, None, rows=300, groups=groups)
    assert [target.name for target in found] == ["potential_AA", "potential_AB", "potential_BB"]
    for target, (width, depth) in zip(found, PUBLISHED.values(), strict=True):
        (far, near), r = ((width * 3.4 / at) ** 6 for at in (5.0, target.features["r"])), target.features["r"]
        wanted = 4 * depth * 9.95792 * (near**2 - near - far**2 + far)
        np.testing.assert_allclose(target.y, wanted, atol=1e-4 * np.abs(wanted).max())
        assert list(target.features) == ["r"] and len(r) > 50
    whole = searches(("potential",), edges, None, None, None, rows=300)
    assert [target.name for target in whole] == ["potential"] and len(whole[0].y) == 300


def test_no_message_is_a_force_on_one_species_alone():
    assert list(gauges(WHOLE.properties)) == ["force", "acceleration", "charge_force"]
    assert gauges(("mass", "a_word"))["a_word_force"].symbol == r"\mathrm{a-word}\,F"


def test_pairs_of_another_form_have_no_sigma_and_the_others_keep_theirs():
    same = "(species__A_i*species__B_j + species__B_i*species__A_j)"
    text = (
        f"species__A_i*species__A_j*(2.0/r^13 - 1.0/r^7) + {same}*3.0/r + species__B_i*species__B_j*(4.0/r^13-2.0/r^7)"
    )
    found = sigma_epsilon.values(parse(text, variables(("species__A", "species__B"))))["pairs"]
    assert found["AB"] is None and found["AA"]["sigma"]["value"] == found["BB"]["sigma"]["value"] == 1.0
    assert found["BB"]["epsilon"] == {"value": pytest.approx(1 / 12), "unit": None, "true": None}
    everywhere = sigma_epsilon.values(parse("2.0/r^13 - 1.0/r^7", variables(("species__A", "species__B"))), WHOLE)
    assert [one["sigma"]["true"] for one in everywhere["pairs"].values()] == [3.4, 2.72, 2.992]
    law = records.build(LawRecord, filled(LawRecord, lennard_jones=everywhere))
    assert law_numbers(law)["sigma_off"] == pytest.approx(1 / 3.4 - 1)  # of the worst pair
    law.lennard_jones = {"pairs": found}
    assert "sigma_off" not in law_numbers(law)
