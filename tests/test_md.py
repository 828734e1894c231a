"""Argon: the pair law and its units, both engines, the dataset with a box, the reader of GAMD's frames, the flags."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from planted import save_npz
from scripts import ok, refused, run

from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.fields import DATASET_FIELDS
from distill.files.kinds import SystemRecord
from distill.fluid import gamd, md
from distill.fluid.lennard_jones import ARGON, BOLTZMANN, box_length, lattice, lennard_jones, maxwell
from distill.fluid.settings import Settings
from distill.physics.neighbours import minimum_image, unwrap
from distill.physics.record import describe, system_of
from distill.physics.systems import SYSTEMS
from distill.physics.terms.arrays import import_jax
from distill.shell.errors import UserError

needs_openmm = pytest.mark.skipif(importlib.util.find_spec("openmm") is None, reason="OpenMM is not installed")
ARGON_64 = lennard_jones(cutoff=8.0)  # 64 atoms at the usual density: a box of 17.1 A
ENGINES = ("jax", pytest.param("openmm", marks=needs_openmm))


def settings(**changes):
    usual = {
        "system": ARGON_64,
        "n": 64,
        "reduced_density": 0.5,
        "temperature": 100.0,
        "thermostat": "langevin",
        "friction": 1.0,
        "dt": 0.004,
        "every": 25,
        "frames": 3,
        "equilibration": 0.4,
        "seed": 0,
    }
    return Settings(**(usual | changes))


def fluid(n=64, seed=0):
    """Positions off a lattice in the box of ``settings``, some of them outside of it."""
    rng = np.random.default_rng(seed)
    box = np.full(3, box_length(n, 3.4, 0.5))
    return box * lattice(rng, n) + rng.normal(0, 0.25, (n, 3)) + box * rng.integers(-1, 2, (n, 3)), box


# ---------------------------------------------------------------- the law and its units


def test_the_law_in_the_usual_units():
    """At its minimum the force vanishes and the energy is -epsilon; the numbers of a textbook, not of the code."""
    system = SYSTEMS["lj"]
    bottom = 2 ** (1 / 6) * 3.4
    one = (system.mass, system.mass, 0.0, 0.0)
    ends = system.ends(2, 0, 1)
    assert system.potential(bottom, *one, np) / 10 == pytest.approx(-0.995792)  # 0.1 kJ/mol -> kJ/mol
    assert system.potential(3.4, *one, np) == pytest.approx(0)
    from distill.physics.system import radial_force

    r = np.array([bottom, 3.4])
    force = radial_force(system, r, ends)
    # f(sigma) = 24 epsilon/sigma, in kJ/mol and nm
    np.testing.assert_allclose(force, [0, 24 * 0.995792 / 0.34], atol=1e-9)


def test_mass_times_acceleration_is_kilojoules_per_mole_and_nanometre():
    """In SI: an atom that feels 1 kJ/mol/nm gains 1/mass A/ps in a ps."""
    system, avogadro, dalton = SYSTEMS["lj"], 6.02214076e23, 1.66053906660e-27
    newtons = 1e3 / avogadro / 1e-9
    metres_per_s2 = newtons / (39.9 * dalton)
    assert metres_per_s2 * 1e10 / 1e24 == pytest.approx(1 / system.mass, rel=1e-6)
    thermal = np.sqrt(1.380649e-23 * 100 / (39.9 * dalton)) * 1e10 / 1e12
    assert np.sqrt(BOLTZMANN * 100 / system.mass) == pytest.approx(thermal, rel=1e-6)


def test_pair_sums_against_differentiating_the_energy_of_all_pairs():
    """Another way throughout: all pairs, the nearest of 27 images, autodiff of the energy."""
    jnp = import_jax().numpy
    pos, box = fluid()
    pos[:, 2] *= 0.98  # not on lattice planes
    pos = pos % box
    i, j = np.triu_indices(64, 1)
    shifts = jnp.asarray(np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) * box)

    def energy(x):
        r = jnp.sqrt((((x[i] - x[j])[:, None] + shifts) ** 2).sum(-1).min(1))
        sixth = (3.4 / r) ** 6
        at_cutoff = (3.4 / 8.0) ** 12 - (3.4 / 8.0) ** 6
        return jnp.where(r <= 8.0, 4 * 0.995792 * (sixth**2 - sixth - at_cutoff), 0.0).sum()

    force, total, virial, closest = md.pair_sums(ARGON_64, pos, box)
    expected = -10 * np.asarray(import_jax().grad(energy)(pos))  # kJ/mol/A -> kJ/mol/nm
    assert np.abs(force - expected).max() < 1e-9 * np.abs(expected).max() and np.abs(expected).max() > 10
    assert total == pytest.approx(float(energy(pos)))
    np.testing.assert_allclose(force.sum(axis=0), 0, atol=1e-10)
    d = minimum_image(pos[i] - pos[j], box)
    assert closest == pytest.approx(np.linalg.norm(d, axis=1).min())
    # the virial is minus the change of the energy with the logarithm of all lengths
    wider, narrower = (
        md.pair_sums(replace(ARGON_64, cutoff=8.0 * s), pos * s, box * s)[1] for s in (1 + 1e-6, 1 - 1e-6)
    )
    no_shift = [-(ARGON_64.potential(8.0 * s, *[0.0] * 4, np) / 10) for s in (1 + 1e-6, 1 - 1e-6)]
    pairs = (np.linalg.norm(d, axis=1) <= 8.0).sum()
    slope = (wider - narrower - pairs * (no_shift[0] - no_shift[1])) / 2e-6
    assert virial / 10 == pytest.approx(-slope, rel=1e-5)


def test_the_json_is_enough_to_make_the_system_again():
    made = lennard_jones(sigma=3.0, epsilon=1.25, cutoff=7.5, atom_mass=20.0)
    about = json.loads(json.dumps(describe(made)))
    found = system_of(records.build(SystemRecord, about, strict=True))
    assert found.parameters == made.parameters == {"sigma": 3.0, "epsilon": 1.25, "cutoff": 7.5, "atom_mass": 20.0}
    assert found.law == made.law and about["units"]["force"].startswith("kJ/mol/nm")
    assert describe(SYSTEMS["lj"])["parameters"] == ARGON and "units" not in describe(SYSTEMS["r2"])
    assert system_of(records.build(SystemRecord, about | {"law": SYSTEMS["lj"].law})) is None
    for parameters in (
        None,
        {"sigma": 3.0},
        about["parameters"] | {"sigma": -1.0},
    ):
        assert system_of(records.build(SystemRecord, about | {"parameters": parameters})) is None
    with pytest.raises(records.Wrong, match="'parameters.sigma' is \"x\""):
        records.build(SystemRecord, about | {"parameters": {"sigma": "x"}})


@pytest.mark.parametrize("n", [2, 64, 108, 258])
def test_lattice_sites_are_distinct_and_apart(n):
    sites = lattice(np.random.default_rng(1), n)
    assert sites.shape == (n, 3) and (sites >= 0).all() and (sites < 1).all()
    d = minimum_image(sites[:, None] - sites[None], 1.0)
    r = np.linalg.norm(d, axis=-1)[~np.eye(n, dtype=bool)]
    # never closer than on the simple cubic lattice, which is one of those tried
    assert r.min() >= 1 / np.ceil(n ** (1 / 3) - 1e-9) - 1e-12


def test_velocities_have_the_temperature_and_no_momentum():
    vel = maxwell(np.random.default_rng(0), 20_000, 3, 3.99, 120.0)
    assert 3.99 * (vel**2).mean() / BOLTZMANN == pytest.approx(120, rel=0.02)
    assert np.abs(vel.sum(axis=0)).max() < 1e-9


# ---------------------------------------------------------------- the engines


@pytest.mark.parametrize("engine", ENGINES)
def test_constant_energy_and_momentum(engine):
    """4 ps without a thermostat; the energy is shifted at the cutoff, and the velocities are those of the frame."""
    found = md.simulate(settings(thermostat="none", friction=0.0, dt=0.002, every=40, frames=51), 1, engine)
    assert found["report"]["energy_drift_max"] < 1e-4
    path, vel = unwrap(found["pos"][0], found["box"]), found["vel"][0]
    assert np.abs(path[-1] - path[0]).max() > 1  # they did move
    assert np.abs(vel.sum(axis=1)).max() < (1e-10 if engine == "jax" else 1e-3)  # OpenMM: forces in 32 bits
    np.testing.assert_allclose(path.mean(axis=1), path[:1].mean(axis=1).repeat(51, 0), atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_positions_velocities_and_labels_belong_to_one_moment(engine):
    """One frame a step: the difference over two steps is the velocity, the second difference the acceleration."""
    found = md.simulate(settings(thermostat="none", friction=0.0, dt=0.001, every=1, frames=9), 1, engine)
    path, vel, acc = unwrap(found["pos"][0], found["box"]), found["vel"][0], found["acc"][0]
    np.testing.assert_allclose((path[2:] - path[:-2]) / 0.002, vel[1:-1], atol=2e-5)
    np.testing.assert_allclose((path[2:] - 2 * path[1:-1] + path[:-2]) / 1e-6, acc[1:-1], atol=0.02, rtol=1e-3)
    assert np.abs(acc).max() > 5


@pytest.mark.parametrize("engine", ENGINES)
def test_the_bath_has_its_temperature(engine):
    found = md.simulate(settings(temperature=150.0, friction=5.0, frames=120, every=20, equilibration=4.0), 2, engine)
    temperature = found["report"]["temperature_K"]
    # 240 frames 0.08 ps apart under a friction of 5/ps: 100 draws or more of a spread of 150 sqrt(2/192) K
    assert temperature["mean"] == pytest.approx(150, abs=4 * 15.3 / 10) and 8 < temperature["std"] < 25


@needs_openmm
def test_nose_hoover_has_its_temperature_and_no_momentum():
    found = md.simulate(settings(thermostat="nose-hoover", friction=25.0, frames=100, equilibration=2.0), 1, "openmm")
    assert found["report"]["temperature_K"]["mean"] == pytest.approx(100, abs=8)
    assert np.abs(found["vel"][0].mean(axis=1)).max() < 1e-3


@needs_openmm
def test_both_engines_make_the_same_fluid():
    """Mean energy, pressure and pair distribution agree within the spread between simulations."""
    means = {}
    for engine in ("jax", "openmm"):
        found = md.simulate(
            settings(temperature=140.0, frames=40, every=50, equilibration=6.0, reduced_density=0.45), 4, engine
        )
        rows = [md.labelled(ARGON_64, pos, found["box"]) for pos in found["pos"]]
        i, j = np.triu_indices(64, 1)
        r = np.linalg.norm(minimum_image(found["pos"][:, :, i] - found["pos"][:, :, j], found["box"]), axis=-1)
        edges = [3.0, 3.6, 4.2, 5.0, 6.0, 7.0, 8.0]
        g = [np.histogram(one, edges)[0] / one.size / np.diff(np.power(edges, 3)) for one in r]
        means[engine] = np.array(
            [[row["energy"].mean(), row["virial"].mean(), *x] for row, x in zip(rows, g, strict=True)]
        )
    a, b = means["jax"], means["openmm"]
    spread = np.sqrt((a.var(0, ddof=1) + b.var(0, ddof=1)) / 4)
    assert (np.abs(a.mean(0) - b.mean(0)) < 5 * spread + 0.01 * np.abs(b.mean(0))).all()
    assert (spread[[0, *range(2, 8)]] < 0.1 * np.abs(b.mean(0)[[0, *range(2, 8)]])).all()  # or nothing was compared


@needs_openmm
def test_openmm_s_own_forces_are_those_of_the_law():
    report = md.simulate(settings(frames=20), 2, "openmm")["report"]
    assert 0 < report["largest_deviation_relative_to_largest_force"] < 1e-4
    assert report["largest_force_kJ_per_mol_nm"] > 50


@pytest.mark.parametrize("engine", ENGINES)
def test_a_trajectory_depends_on_the_seed_and_its_number_only(engine):
    one, two = md.simulate(settings(), 3, engine), md.simulate(settings(), 2, engine, threads=2)
    for name in ("pos", "vel", "acc"):
        np.testing.assert_array_equal(one[name][:2], two[name])
    assert not np.allclose(one["pos"][0], one["pos"][1], atol=0.1)
    assert not np.allclose(one["pos"][0], md.simulate(settings(seed=1), 1, engine)["pos"][0], atol=0.1)
    assert (one["pos"] >= 0).all() and (one["pos"] < one["box"]).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_too_long_a_step_is_one_error(engine):
    with pytest.raises(UserError, match="smaller --dt than 0.4 ps") as caught:
        md.simulate(settings(dt=0.4, equilibration=80.0), 2, engine, threads=2)
    assert "\n" not in str(caught.value)


def test_atoms_that_never_meet_have_no_smallest_distance(tmp_path):
    words = "--system lj --n 2 --reduced-density 0.0005 --cutoff 7 --n-trajectories 1 --n-frames 2 --every 1"
    ok(run(tmp_path, "simulate.py", *words.split(), "--equilibration", 0, "--md-engine", "jax"))
    dataset = load_dataset(str(tmp_path / "datasets" / "lj_n2_d3_s0.npz"))
    assert dataset.meta.report["smallest_distance_A"] is None and (dataset.acc == 0).all()


def test_refused_before_the_work():
    with pytest.raises(UserError, match="more than half the box of 17.13 A.*--cutoff 8.56"):
        md.check(settings(system=SYSTEMS["lj"]))
    with pytest.raises(UserError, match="--reduced-density is 3"):
        md.check(settings(reduced_density=3.0, n=4000))


def test_the_engine_that_is_there(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(md.importlib.util, "find_spec", lambda name: None if name == "openmm" else find(name))
    assert md.engine_named("auto", "langevin") == md.engine_named("jax", "none") == "jax"
    with pytest.raises(UserError, match="not installed.*requirements-md.txt"):
        md.engine_named("openmm", "langevin")
    with pytest.raises(UserError, match="nose-hoover needs OpenMM.*pip install -r requirements-md.txt"):
        md.engine_named("auto", "nose-hoover")
    monkeypatch.setattr(md.importlib.util, "find_spec", lambda name: object())
    assert md.engine_named("auto", "langevin") == md.engine_named("auto", "nose-hoover") == "openmm"
    assert md.engine_named("jax", "langevin") == "jax"
    with pytest.raises(UserError, match="add --md-engine openmm"):
        md.engine_named("jax", "nose-hoover")


# ---------------------------------------------------------------- the dataset


def test_a_box_and_a_cutoff_that_cannot_be(tmp_path):
    good = md.simulate(settings(frames=2, equilibration=0.0), 3, "jax")
    good.pop("report")
    path = tmp_path / "lj.npz"
    save_npz(path, good, DATASET_FIELDS)
    loaded = load_dataset(str(path))
    assert loaded.box.shape == (3,) and float(loaded.cutoff) == 8.0
    for change, told in (
        ({"box": np.array([17.0, -1.0, 17.0])}, "'box' is .* expected positive"),
        ({"box": np.full(2, 17.0)}, "'box' has 2 along 'dim' where 'pos' has 3"),
        ({"cutoff": np.float64(8.6)}, "'cutoff' is 8.6, expected at most half the shortest side 17.1"),
        ({"cutoff": np.float64(0)}, "'cutoff' is 0.0, expected a positive"),
        ({"cutoff": np.full(2, 8.0)}, "'cutoff' has shape"),
        ({"box": None}, "a 'cutoff' without a 'box'"),
    ):
        arrays = {k: v for k, v in (good | change).items() if v is not None}
        np.savez(path, **arrays)
        with pytest.raises(UserError, match=told):
            load_dataset(str(path))


SMALL = "--system lj --n 64 --cutoff 8 --n-trajectories 3 --n-frames 4 --every 10 --equilibration 0.2 --md-engine jax"


def test_the_command_writes_a_dataset_whose_runs_are_not_stacked(tmp_path):
    last = ok(run(tmp_path, "simulate.py", *SMALL.split(), "--plot")).splitlines()[-1]
    assert last.startswith("simulate  lj_n64_d3_s0  trajectories 3  frames 4  engine jax")
    dataset = load_dataset(str(tmp_path / "datasets" / "lj_n64_d3_s0.npz"))
    assert dataset.pos.shape == (3, 4, 64, 3) and dataset.pos.dtype == dataset.acc.dtype == np.float64
    np.testing.assert_allclose(dataset.t, 0.02 * np.arange(4))
    assert np.bincount(dataset.split).tolist() == [1, 1, 1] and (dataset.mass == 3.99).all()
    system = system_of(dataset.meta.system)
    force = md.pair_sums(system, dataset.pos[1, 2], dataset.box)[0]
    np.testing.assert_allclose(dataset.mass[1][:, None] * dataset.acc[1, 2], force, atol=1e-12 * np.abs(force).max())
    assert dataset.meta.arguments["thermostat"] == "langevin" and "rtol" not in dataset.meta.arguments
    assert (tmp_path / "outputs" / "lj_n64_d3_s0" / "trajectories.png").is_file()
    assert "already done" in ok(run(tmp_path, "simulate.py", *SMALL.split()))
    refused(run(tmp_path, "simulate.py", *SMALL.split(), "--temperature", 90), "temperature was 100.0, now 90.0")
    refused(run(tmp_path, "train.py", "--dataset", "lj_n64_d3_s0", "--stack", "on"), "periodic box", "--stack")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("--system lj --rtol 1e-3", 2, ("--rtol: only with the small systems", "--temperature")),
        ("--system r2 --temperature 90", 2, ("--temperature: only with --system lj", "--rtol")),
        ("--system lj --box 20", 2, ("--box: only with --from-gamd", "--reduced-density")),
        ("--system lj --dim 2", 2, ("--dim: --system lj has 3 dimensions",)),
        ("--system lj --thermostat none --friction 2", 2, ("--friction: --thermostat none has none",)),
        ("--system lj --equilibration -1", 2, ("--equilibration",)),
        ("--system lj --n 1", 2, ("at least 2",)),
        ("--from-gamd . --box 20 --n 5", 2, ("--n: only with the small systems and --system lj", "--cutoff")),
        ("--from-gamd .", 2, ("--from-gamd needs --box",)),
        ("--from-gamd . --box 20 20", 2, ("--box: 2 values, expected 1 or 3",)),
        ("--from-gamd nowhere --box 20", 1, ("nowhere is not a folder",)),
        ("--system lj --n 64", 1, ("more than half the box of 17.13 A",)),
        ("--system lj --md-engine jax --thermostat nose-hoover", 1, ("nose-hoover needs OpenMM",)),
    ],
)
def test_flags_that_make_no_sense_are_one_line(tmp_path, words, code, told):
    refused(run(tmp_path, "simulate.py", *words.split()), *told, code=code)


# ---------------------------------------------------------------- GAMD's frames


@pytest.fixture
def frames(tmp_path):
    """A folder as GAMD's script writes it: 3 seeds, 4 frames, m/s, 32 bits."""
    found = md.simulate(settings(frames=4, equilibration=0.1), 3, "jax")
    folder = tmp_path / "lj_data"
    folder.mkdir()
    for k in range(3):
        for t in range(4):
            arrays = {"pos": found["pos"][k, t], "vel": 100 * found["vel"][k, t], "forces": 3.99 * found["acc"][k, t]}
            np.savez(folder / f"data_{k + 5}_{t}.npz", **{name: a.astype(np.float32) for name, a in arrays.items()})
    (folder / "log.txt").write_text("not a frame")
    return folder, found


def test_gamd_frames_become_a_dataset(tmp_path, frames):
    folder, found = frames
    words = ("--from-gamd", folder, "--box", found["box"][0], "--cutoff", 8, "--dt", 0.004, "--every", 25)
    last = ok(run(tmp_path, "simulate.py", *words)).splitlines()[-1]
    assert last.startswith("simulate  lj_n64_d3_s0_gamd  trajectories 3  frames 4  deviation ")
    dataset = load_dataset(str(tmp_path / "datasets" / "lj_n64_d3_s0_gamd.npz"))
    for name in ("pos", "vel", "acc"):
        np.testing.assert_allclose(dataset.arrays[name], found[name], rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(dataset.t, found["t"])
    np.testing.assert_array_equal(dataset.mass, found["mass"])
    assert (
        dataset.meta.report["seeds"] == [5, 6, 7] and system_of(dataset.meta.system).parameters == ARGON_64.parameters
    )
    assert 0 < dataset.meta.report["largest_deviation_relative_to_largest_force"] < 1e-4
    assert "already done" in ok(run(tmp_path, "simulate.py", *words))
    (folder / "data_6_2.npz").write_bytes((folder / "data_6_1.npz").read_bytes())
    refused(run(tmp_path, "simulate.py", *words), "from_gamd_sha256 was", "--overwrite")


def read(folder, box=17.13, **changes):
    with pytest.raises(UserError) as caught:
        gamd.read(folder, box, lennard_jones(cutoff=8.0, **changes), 0.1)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_gamd_frames_that_are_missing_damaged_or_of_another_shape(tmp_path, frames):
    folder, found = frames
    path, box = folder / "data_6_2.npz", found["box"]
    whole = path.read_bytes()
    path.unlink()
    assert "lacks data_6_2.npz: expected frames 0 to 3 of seeds 5, 6, 7" in read(folder, box)
    assert "--n-frames 2" in read(folder, box) and "import_tracks.py" in read(folder, box)
    assert gamd.size_of(folder, 2)[:2] == (3, 2)
    (folder / "data_7_3.npz").rename(folder / "away.npz")
    assert "lacks data_6_2.npz and 1 more" in read(folder, box)
    (folder / "away.npz").rename(folder / "data_7_3.npz")
    path.write_bytes(whole[:200])
    assert "data_6_2.npz is damaged or half-written" in read(folder, box)
    with np.load(folder / "data_6_1.npz") as file:
        arrays = dict(file)
    np.savez(path, pos=arrays["pos"], vel=arrays["vel"])
    assert "data_6_2.npz lacks forces; copy or make the files again" in read(folder, box)
    np.savez(path, **{name: a[:60] for name, a in arrays.items()})
    assert "data_6_2.npz: 'pos' has shape (60, 3), expected (64, 3)" in read(folder, box)
    np.savez(path, **(arrays | {"vel": arrays["vel"] * np.nan}))
    assert "data_6_2.npz: 'vel' holds what is not a finite number" in read(folder, box)
    np.savez(path, **(arrays | {"forces": arrays["forces"].astype(object)}))
    assert "data_6_2.npz is damaged" in read(folder, box)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no file named data_{seed}_{t}.npz" in read(empty, box)


def test_gamd_frames_that_do_not_follow_the_law_told(frames):
    folder, found = frames
    for box, changes in ((17.5, {}), (found["box"], {"epsilon": 1.01}), (found["box"], {"sigma": 3.42})):
        told = read(folder, box, **changes)
        assert "differ by up to" in told and "--box, --sigma, --epsilon and --cutoff" in told
    assert "half the shortest side of --box, 12 A" in read(folder, 12.0)
    assert gamd.read(folder, found["box"], ARGON_64, 0.1)["pos"].shape == (3, 4, 64, 3)
