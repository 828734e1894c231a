"""Integration against independent answers, its refusals, and the command line of ``simulate.py``."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scripts
from scripts import ROOT

from distill.files.dataset import load_dataset
from distill.physics import lanes
from distill.physics.integrate import draw, integrate
from distill.physics.seeding import generators, starts
from distill.physics.system import System, acceleration, energy
from distill.physics.systems import SYSTEMS, initial_conditions
from distill.pipeline import simulate as simulation
from distill.shell.errors import UserError


def run(system, trajectories=12, n=4, dim=2, frames=20, every=5, **kwargs):
    return integrate(system, n, dim, trajectories, frames, every, **kwargs)


def every_frame(found):
    return {name: found[name][:, None] for name in ("mass", "charge")}


# ---------------------------------------------------------------- against independent answers


@pytest.mark.parametrize("name", ["charge", "damped", "string"])
def test_agrees_with_scipy(name):
    """Other code on both sides: scipy's solver, and the numpy acceleration instead of the lanes' own."""
    from scipy.integrate import solve_ivp

    system, n = SYSTEMS[name], 4
    found = run(system, trajectories=4, frames=11, rtol=1e-12, atol=1e-12)
    for k in range(4):
        properties = {name: found[name][k] for name in ("mass", "charge")}

        def slope(t, y, properties=properties):
            pos, vel = y.reshape(2, n, 2)
            return np.concatenate([vel.ravel(), acceleration(system, pos, vel, properties).ravel()])

        start = np.concatenate([found["pos"][k, 0].ravel(), found["vel"][k, 0].ravel()])
        answer = solve_ivp(slope, (0, found["t"][-1]), start, "DOP853", found["t"], rtol=1e-12, atol=1e-12)
        pos, vel = np.moveaxis(answer.y.reshape(2, n, 2, -1), -1, 1)
        np.testing.assert_allclose(found["pos"][k], pos, atol=1e-8)
        np.testing.assert_allclose(found["vel"][k], vel, atol=1e-7)


ALWAYS = ("spring", "charge", "discontinuous", "string_ball", "trap", "alignment", "modulated")  # one of each kind
OF_PAIRS = [name for name, system in SYSTEMS.items() if system.cutoff == np.inf]  # fluids are not integrated here


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in ALWAYS else pytest.mark.slow) for n in OF_PAIRS])
def test_energy_and_stored_acceleration(name):
    found = run(SYSTEMS[name], trajectories=8)
    assert found["energy_drift"].max() < 1e-6 and found["report"]["dropped"] == 0
    assert found["pos"].dtype == np.float64 and found["pos"].shape == (8, 20, 4, 2)
    acc = acceleration(SYSTEMS[name], found["pos"], found["vel"], every_frame(found), found["t"])
    np.testing.assert_allclose(found["acc"], acc, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found["t"], 5 * SYSTEMS[name].dt * np.arange(20))
    if SYSTEMS[name].held:
        np.testing.assert_array_equal(found["pos"][:, :, 0], found["pos"][:, :1, 0].repeat(20, 1))


def test_frames_are_good_across_jumps_of_the_force():
    system = SYSTEMS["discontinuous"]
    found, tight = (run(system, trajectories=30, rtol=tol, atol=tol) for tol in (5e-9, 1e-13))
    free = (np.abs(found["acc"]).max(axis=(2, 3)) == 0).any(axis=1) & (np.abs(found["acc"]).max(axis=(1, 2, 3)) > 0)
    assert free.sum() > 0  # some do cross the jump
    assert np.quantile(np.abs(found["pos"] - tight["pos"]).max(axis=(1, 2, 3)), 0.9) < 1e-6


def test_momentum_is_conserved():
    for name, dim in (("spring", 2), ("charge", 3)):
        found = run(SYSTEMS[name], dim=dim)
        momentum = (found["mass"][:, None, :, None] * found["vel"]).sum(axis=2)
        size = (found["mass"][:, :, None] * np.abs(found["vel"][:, 0])).sum(axis=(1, 2))[:, None, None]
        assert np.abs((momentum - momentum[:, :1]) / size).max() < 1e-8


def test_drag_takes_energy_at_the_stated_rate():

    system = SYSTEMS["damped"]
    found = run(system, frames=400, every=1)
    total = energy(system, found["pos"], found["vel"], every_frame(found))
    assert (np.diff(total, axis=1) < 0).all()
    power = (system.drag * found["vel"] ** 2).sum(axis=(2, 3))
    spacing = found["t"][1]
    simpson = spacing / 3 * (power[:, :-2:2] + 4 * power[:, 1::2][:, :199] + power[:, 2::2]).sum(axis=1)
    np.testing.assert_allclose(total[:, 0] - total[:, 398], simpson, rtol=1e-3)


def test_tighter_tolerance_moves_the_answer_by_no_more_than_the_looser_one_allows():
    # Frames far apart, or the steps are cut to them and much better than asked.
    size = {"frames": 3, "every": 100, "drift_bound": 1.0}
    loose = run(SYSTEMS["spring"], rtol=1e-6, atol=1e-6, **size)
    middle = run(SYSTEMS["spring"], rtol=1e-8, atol=1e-8, **size)
    tight = run(SYSTEMS["spring"], rtol=1e-12, atol=1e-12, **size)
    far, near = (np.median(np.abs(a["pos"] - tight["pos"]).max((1, 2, 3))) for a in (loose, middle))
    assert near < 1e-5 and near < 0.1 * far


# ---------------------------------------------------------------- what may not matter, and failures


def test_same_seed_same_data_whatever_the_company():
    system = SYSTEMS["r2"]
    one, two = run(system, trajectories=40, seed=3), run(system, trajectories=40, seed=3)
    np.testing.assert_array_equal(one["pos"], two["pos"])
    few = run(system, trajectories=5, seed=3)
    np.testing.assert_array_equal(one["mass"][:5], few["mass"])
    np.testing.assert_array_equal(one["pos"][:5], few["pos"])
    others = run(system, trajectories=40, seed=3, lane_count=8)
    np.testing.assert_allclose(one["pos"], others["pos"], rtol=1e-6, atol=1e-6)
    assert not np.array_equal(one["pos"], run(system, trajectories=40, seed=4)["pos"])


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**70])
@pytest.mark.parametrize("name", ["spring", "charge", "damped", "string"])
def test_draws_are_those_of_numpy_s_generator(name, seed):
    """Bit for bit: what is made from a seed stays what it was."""
    system = SYSTEMS[name]
    y, p = draw(system, 3, 2, seed, [0, 5, 70_000], 1)
    for row, k in enumerate([0, 5, 70_000]):
        rng = np.random.default_rng([seed, k, 1])
        if name == "string":
            pos, vel, properties = initial_conditions(system, rng, 3, 2)
            mass, charge = properties["mass"], properties["charge"]
        else:
            pos, vel = rng.standard_normal((2, 3, 2))
            mass, charge = np.exp(rng.standard_normal(3)), rng.standard_normal(3)
        charge = np.where(charge < 0, -1.0, 1.0) if name == "charge" else charge
        work = [[0.0]] * system.works
        np.testing.assert_array_equal(y[row], np.concatenate([pos.ravel(), vel.ravel(), *work]))
        np.testing.assert_array_equal(p[row], np.concatenate([mass, charge]))


def test_seeds_are_hashed_as_numpy_does():
    rng = np.random.default_rng(3)
    for length in (1, 3, 4, 6):
        rows = rng.integers(0, 2**32, size=(20, length))
        expected = [np.random.SeedSequence([int(k) for k in row]).generate_state(4, np.uint64) for row in rows]
        np.testing.assert_array_equal(starts(rows), expected)
    same = [g.integers(1 << 40) for g in generators(rows)]
    assert same == [np.random.default_rng([int(k) for k in row]).integers(1 << 40) for row in rows]


def test_an_exhausted_step_budget_is_redone_or_dropped_but_never_data():
    found = run(SYSTEMS["charge"], trajectories=60, frames=10, max_steps=20)
    report = found["report"]
    assert report["redone"] > 0 and report["dropped"] > 0
    assert report["reasons"][lanes.STATUS[lanes.BUDGET]] >= report["redone"]
    assert report["steps_max"] <= 20 * 4
    assert np.isfinite(found["pos"]).all() and (found["energy_drift"] < 1e-6).all()
    exact = run(SYSTEMS["charge"], trajectories=60, frames=10)
    kept = (found["mass"] == exact["mass"]).all(axis=1)
    assert 0 < kept.sum() < 60
    np.testing.assert_allclose(found["pos"][kept], exact["pos"][kept], atol=1e-6)


def test_energy_drift_alone_is_reason_enough():
    found = run(SYSTEMS["spring"], rtol=1e-4, atol=1e-4, drift_bound=1e-6)
    assert found["report"]["redone"] > 0 and "energy drift" in found["report"]["reasons"]
    assert (found["energy_drift"] <= 1e-6).all()


def test_small_units_are_followed_as_well_as_others():
    """Colloids in SI units: micrometres, seconds, femtogrammes; a tolerance for metres would drop most of them."""

    def initial(rng, n, dim):
        pos, vel = 1e-6 * rng.standard_normal((2, n, dim))
        return pos, vel, 1e-15 * np.ones(n), np.ones(n)

    colloids = System("colloids", lambda r, m_i, m_j, q_i, q_j, xp: -1e-33 / (r + 1e-7), dt=0.01, initial=initial)
    report = run(colloids, frames=50)["report"]
    assert report["dropped"] == report["redone"] == 0 and report["energy_drift_max"] < 1e-7


def test_hopeless_trajectories_end_in_one_error():
    with pytest.raises(UserError, match="could not be integrated.*step budget"):
        run(SYSTEMS["spring"], trajectories=3, max_steps=1)


def test_one_frame_is_the_initial_condition():
    found = run(SYSTEMS["spring"], frames=1)
    assert found["pos"].shape[1] == 1 and (found["energy_drift"] == 0).all()


# ---------------------------------------------------------------- the command line


def script(tmp_path, *words, **environment):
    return scripts.run(tmp_path, "simulate.py", *words, **environment)


def test_writes_a_dataset_once(tmp_path):
    words = "--system r1 --dim 3 --n 3 --quick --seed 7 --tag t".split()
    done = script(tmp_path, *words, "--plot", "--animate")
    assert done.returncode == 0, done.stderr
    name = "r1_n3_d3_s7_t"
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"simulate  {name}  trajectories 60  frames 20") and last.endswith(".npz")
    dataset = load_dataset(str(tmp_path / "datasets" / f"{name}.npz"))
    assert dataset.pos.shape == (60, 20, 3, 3) and np.bincount(dataset.split).tolist() == [48, 6, 6]
    assert dataset.meta.quick and dataset.meta.system.law == "-m_i*m_j/(r + 0.01)"
    assert dataset.meta.report["energy_drift_max"] == dataset.energy_drift.max()
    for suffix, magic in (("png", b"\x89PNG"), ("gif", b"GIF8")):
        assert (tmp_path / "outputs" / name / f"trajectories.{suffix}").read_bytes()[:4] == magic
    before = dataset.path.stat().st_mtime_ns
    again = script(tmp_path, *words)
    assert again.returncode == 0 and "already done" in again.stdout
    other = script(tmp_path, *words, "--every", 7)
    assert other.returncode == 1 and "every was 5, now 7" in other.stderr and "--overwrite" in other.stderr
    assert dataset.path.stat().st_mtime_ns == before
    dataset.path.with_suffix(".json").unlink()
    alone = script(tmp_path, *words)
    assert alone.returncode == 1 and "without its .json" in alone.stderr
    replaced = script(tmp_path, *words, "--overwrite", "--n-frames", 3)
    assert replaced.returncode == 0, replaced.stderr
    assert load_dataset(str(dataset.path)).pos.shape == (60, 3, 3, 3)
    assert not list((tmp_path / "datasets").glob(".*"))


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_cut_off_at_the_end_it_can_be_repeated_by_the_same_command(tmp_path, options, count):
    """Killed before the plan of its files, or the first or the second of them, has its name: from the plan on all of
    them are there, and without former ones nothing is left to do.
    """
    words = ["--system", "r1", "--quick", "--n-trajectories", "10", "--n-frames", "3", *options]
    if options:
        assert script(tmp_path, *words, "--rtol", "1e-8").returncode == 0
    code = (
        "import os, sys, signal, distill.files.storage as s, simulate; from distill.shell.stage import run_script\n"
        "left, replace = [int(sys.argv.pop())], os.replace\n"
        "def killed(a, b):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    replace(a, b)\n"
        "s.os.replace = killed\nrun_script(simulate.main)"
    )
    (tmp_path / "cut.py").write_text(code)
    cut = scripts.run(tmp_path, tmp_path / "cut.py", *words, count)
    assert cut.returncode == -signal.SIGKILL
    again = script(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert ("already done" in again.stdout) == (count > 0 and not options)
    assert load_dataset(str(tmp_path / "datasets" / "r1_n4_d2_s0.npz")).pos.shape == (10, 3, 4, 2)
    assert "already done" in script(tmp_path, *words[: len(words) - len(options)]).stdout
    assert len(os.listdir(tmp_path / "datasets")) == 2


def test_noise_is_on_the_accelerations_only(tmp_path):
    words = "--system r2 --quick --n-trajectories 40".split()
    for tag, share in (("clean", 0), ("noisy", 0.05)):
        done = script(tmp_path, *words, "--tag", tag, "--acceleration-noise", share)
        assert done.returncode == 0, done.stderr
    clean, noisy = (load_dataset(str(tmp_path / "datasets" / f"r2_n4_d2_s0_{t}.npz")) for t in ("clean", "noisy"))
    assert np.array_equal(clean.pos, noisy.pos) and np.array_equal(clean.split, noisy.split)
    relative = noisy.acc / clean.acc - 1
    assert abs(relative.mean()) < 0.005 and abs(relative.std() - 0.05) < 0.002
    assert noisy.meta.acceleration_noise == 0.05


def test_additive_noise_is_the_same_for_weak_and_strong_accelerations(tmp_path):
    words = "--system r2 --quick --n-trajectories 40".split()
    for flags in (("--tag", "clean"), ("--tag", "noisy", "--additive-noise", 0.05)):
        done = script(tmp_path, *words, *flags)
        assert done.returncode == 0, done.stderr
    clean, noisy = (load_dataset(str(tmp_path / "datasets" / f"r2_n4_d2_s0_{t}.npz")) for t in ("clean", "noisy"))
    assert np.array_equal(clean.pos, noisy.pos) and np.array_equal(clean.split, noisy.split)
    size = np.linalg.norm(clean.acc, axis=-1)
    unit = 0.05 * np.median(size)
    weak, strong = (((noisy.acc - clean.acc) / unit)[pick] for pick in (size < np.median(size), size > np.median(size)))
    assert abs(weak.std() - 1) < 0.03 and abs(strong.std() - 1) < 0.03 and abs(weak.mean()) < 0.03
    assert (noisy.meta.additive_noise, noisy.meta.acceleration_noise) == (0.05, 0)
    # both kinds at once: streams of their own
    both = simulation.noisy(clean.acc, 0, 0.1, 0.05)
    assert both == pytest.approx(simulation.noisy(clean.acc, 0, 0.1, 0) + noisy.acc - clean.acc)


def test_user_file_makes_a_dataset(tmp_path):
    file = tmp_path / "soft.py"
    file.write_text("def potential(r, m_i, m_j, q_i, q_j):\n    return (r * r + 1) ** -0.5 * q_i * q_j\n")
    done = script(tmp_path, "--system-file", file, "--quick", "--n", 2)
    assert done.returncode == 0, done.stderr
    meta = json.loads((tmp_path / "datasets" / "soft_n2_d2_s0.json").read_text())
    assert meta["system"]["file_sha256"] == meta["inputs"]["system_file"]["sha256"]
    file.write_text(file.read_text() + "drag = 1.0\n")
    changed = script(tmp_path, "--system-file", file, "--quick", "--n", 2)
    assert changed.returncode == 1 and "has changed since" in changed.stderr


@pytest.mark.parametrize(
    "words, code, told",
    [
        ("--system sprng", 2, "did you mean 'spring'?"),
        ("--system spring --n 1", 2, "at least 2"),
        ("--system spring --dim 4", 2, "invalid choice: 4"),
        ("--quick", 2, "--system"),
        ("--system spring --tag a/b", 1, "letters"),
        ("--system spring --dt -1", 2, "not a positive"),
        ("--system spring --acceleration-noise 5", 2, "not between 0 and 1"),
        ("--system-file none.py", 1, "none.py does not exist"),
        ("--system spring --n-trajectories 999999999", 1, "fewer --n-trajectories"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(tmp_path, words, code, told):
    done = script(tmp_path, *words.split())
    assert done.returncode == code and told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and done.stdout == ""


def test_unwritable_folders_are_told_before_the_work(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "below", Path("/proc/nothing")):
        done = script(tmp_path, "--system", "spring", "--quick", DISTILL_DATASETS=str(place))
        assert done.returncode == 1 and done.stderr.startswith("error: ")
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["simulate", "symbolic_reg", "test_generalization"])
def test_help_is_quick_and_loads_nothing_heavy(tmp_path, name):
    heavy = {"jax", "torch", "scipy", "matplotlib", "sympy", "openmm"}
    heavy -= {"sympy"} if name == "symbolic_reg" else set()  # it knows the functions of a search
    parse = "try: s.main(['--help'])\nexcept SystemExit: pass\n"
    code = f"import sys, {name} as s\n{parse}sys.exit(bool({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0 and f"python {name}.py" in done.stdout, done.stderr
