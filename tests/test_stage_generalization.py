"""The last stage: sets beyond the training data, errors, and the script on a tiny random network."""

import json

import numpy as np
import pytest
from filled import write
from planted import save_npz
from scripts import undigested

from distill.files import records
from distill.files.dataset import make_split
from distill.files.fields import DATASET_FIELDS
from distill.files.kinds import DatasetRecord, LawRecord, MessagesRecord, RunConfig, SystemRecord
from distill.files.properties import VARIABLES
from distill.files.provenance import sha256
from distill.files.storage import load_json, save_bytes, save_json
from distill.formulas.text import parse
from distill.generalization import extrapolation
from distill.generalization.extrapolation import States
from distill.physics.law import Law
from distill.physics.record import describe
from distill.physics.system import acceleration
from distill.physics.systems import SYSTEMS
from distill.shell import paths
from distill.shell.errors import UserError

CHARGE = SYSTEMS["charge"]


def exact_law(system):
    return Law(parse(system.law, VARIABLES), {}, system.neighbours_only)


def random_states(system, graphs=30, n=4, dim=2, seed=0):
    rng = np.random.default_rng(seed)
    pos, vel = rng.standard_normal((2, graphs, n, dim))
    mass, charge = np.exp(rng.standard_normal((graphs, n))), np.sign(rng.standard_normal((graphs, n)))
    properties = {"mass": mass, "charge": charge}
    return States("random states", pos, vel, properties, acceleration(system, pos, vel, properties))


def fake_simulation(system, n, dim, trajectories, frames, every, seed=0, dt=None):
    """Stands in for ``distill.physics.integrate.integrate``: uniform motion, so that times can be read off."""
    rng = np.random.default_rng([seed, n])
    start, vel = rng.standard_normal((2, trajectories, 1, n, dim))
    t = every * dt * np.arange(frames)
    vel = np.broadcast_to(vel, (trajectories, frames, n, dim))
    pos = start + t[:, None, None] * vel
    mass, charge = np.ones((trajectories, n)), np.ones((trajectories, n))
    acc = acceleration(system, pos, vel, {"mass": mass[:, None], "charge": charge[:, None]})
    return {"pos": pos, "vel": vel, "acc": acc, "mass": mass, "charge": charge, "t": t, "report": {"dropped": 0}}


# ---------------------------------------------------------------- sets


def distances(states):
    return np.linalg.norm(states.pos[:, :, None] - states.pos[:, None], axis=-1)


@pytest.mark.parametrize("name, factor", [("wide", 3.0), ("close", 0.3)])
def test_positions_are_scaled_about_the_centre_of_mass(name, factor):
    states = random_states(CHARGE)
    new = extrapolation.transformed(states, name, CHARGE)
    np.testing.assert_allclose(distances(new), factor * distances(states), rtol=1e-12)

    def centre(s):
        mass = s.properties["mass"]
        return (mass[..., None] * s.pos).sum(1) / mass.sum(1)[:, None]

    np.testing.assert_allclose(centre(new), centre(states), atol=1e-12)
    np.testing.assert_allclose(new.acc, acceleration(CHARGE, *new.state))
    assert not np.allclose(new.acc, states.acc)


def test_heavy_scales_masses_only_and_labels_again():
    states = random_states(SYSTEMS["spring"])
    new = extrapolation.transformed(states, "heavy", SYSTEMS["spring"])
    np.testing.assert_array_equal(new.pos, states.pos)
    np.testing.assert_allclose(new.properties["mass"], 3 * states.properties["mass"])
    np.testing.assert_allclose(new.acc, states.acc / 3)  # springs do not depend on mass


def test_sets_of_a_simulation_have_the_sizes_and_times_they_name():
    frames, spacing = 6, 0.5
    made = extrapolation.make_sets(CHARGE, 3, 2, frames, spacing, 5, 1000, 9, simulate=fake_simulation)
    sets, starts = made.sets, made.starts
    assert list(sets) == ["interpolation", "more_particles", "longer", "wide", "heavy", "close"]
    assert {k: s.pos.shape for k, s in sets.items()} == {
        "interpolation": (30, 3, 2),
        "more_particles": (30, 6, 2),
        "longer": (50, 3, 2),
        "wide": (30, 3, 2),
        "heavy": (30, 3, 2),
        "close": (30, 3, 2),
    }
    # Motion is uniform, so the distance from the start over the speed is the time.
    start = starts["pos"][np.repeat(np.arange(5), 10)]
    times = np.linalg.norm(sets["longer"].pos - start, axis=-1) / np.linalg.norm(sets["longer"].vel, axis=-1)
    assert times.min() == pytest.approx(frames * spacing)
    assert times.max() == pytest.approx(3 * (frames - 1) * spacing)


def test_sets_are_cut_to_the_limit_and_reproducible():
    arguments = (CHARGE, 3, 2, 6, 0.5, 5, 7, 9)
    first, again = (extrapolation.make_sets(*arguments, simulate=fake_simulation).sets for _ in range(2))
    assert {len(s) for s in first.values()} == {7}
    np.testing.assert_array_equal(first["longer"].pos, again["longer"].pos)


def test_single_frames_have_no_longer_set():
    sets = extrapolation.make_sets(CHARGE, 3, 2, 1, 0.5, 5, 100, 9, simulate=fake_simulation).sets
    assert "longer" not in sets and len(sets["interpolation"]) == 5


# ---------------------------------------------------------------- errors


def test_a_law_equal_to_the_truth_has_ratio_zero():
    states = random_states(CHARGE)
    law = exact_law(CHARGE)
    out = extrapolation.compare(states, lambda *s: 1.1 * acceleration(CHARGE, *s), law.acceleration)
    assert out["law"]["mae"] < 1e-12 and out["law_over_gnn_mae"] < 1e-11
    assert out["gnn"]["median_relative_error"] == pytest.approx(0.1)
    assert out["law"]["n"] == 30 * 4


def test_predictions_that_are_not_finite_are_counted_not_averaged():
    states = random_states(CHARGE)

    def half_bad(*state):
        out = np.array(states.acc)
        out[:15] = np.nan
        return out

    out = extrapolation.compare(states, half_bad, lambda *s: np.full_like(states.acc, np.inf))
    assert out["gnn"]["n_not_finite"] == 60 and out["gnn"]["n"] == 60 and out["gnn"]["mae"] == 0
    assert out["law"]["mae"] is None and out["law_over_gnn_mae"] is None
    json.dumps(out, allow_nan=False)


def test_held_particles_are_left_out_of_errors():
    true = np.ones((5, 3, 2))
    pred = true.copy()
    pred[:, 0] = 99.0
    assert extrapolation.errors(pred, true, held=(0,)) | {} == {
        "mae": 0.0,
        "mae_trim90": 0.0,
        "mae_relative": 0.0,
        "median_relative_error": 0.0,
        "r2": 0.0,
        "n": 10,
        "n_not_finite": 0,
    }
    assert extrapolation.errors(pred, true)["mae"] > 1


def test_no_force_anywhere_leaves_the_absolute_error():
    out = extrapolation.errors(np.full((4, 2, 2), 0.5), np.zeros((4, 2, 2)))
    assert out["mae"] == 0.5 and out["median_relative_error"] is None and out["r2"] is None


def test_forces_that_have_died_out_have_no_relative_error():
    """A force of 1e-144 is none: whoever predicts 1e-9 there is not off by 135 orders of magnitude."""
    true = np.full((10, 3, 2), 1e-144)
    true[:4] = 1.0
    out = extrapolation.errors(true + 1e-9, true, typical=1.0)
    assert out["median_relative_error"] == pytest.approx(1e-9)
    out = extrapolation.errors(true[4:] + 1e-9, true[4:], typical=1.0)
    assert out["median_relative_error"] is None and out["mae"] == pytest.approx(1e-9)
    json.dumps(out, allow_nan=False)


# ---------------------------------------------------------------- the script


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with a tiny random network on an equally tiny dataset, and the true law as its law.json."""
    import torch

    from distill.files.tensors import tensor_bytes
    from models import GNN, ModelConfig

    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    run, rng = "tiny__bottleneck-newton__s0", np.random.default_rng(0)
    pos, vel = rng.standard_normal((2, 10, 4, 3, 2))
    mass, charge = np.ones((10, 3)), np.sign(rng.standard_normal((10, 3)))
    acc = acceleration(CHARGE, pos, vel, {"mass": mass[:, None], "charge": charge[:, None]})
    data = {"pos": pos, "vel": vel, "acc": acc, "mass": mass, "charge": charge, "t": 0.01 * np.arange(4.0)}
    path = tmp_path / "datasets" / "tiny.npz"
    save_npz(path, data | {"split": make_split(10, 0)}, DATASET_FIELDS)
    write(DatasetRecord, path.with_suffix(".json"), system=describe(CHARGE), arguments={"seed": 0})
    torch.manual_seed(0)
    config = ModelConfig(dim=2, message_dim=2, hidden=8)
    folder = tmp_path / "model_weights" / run
    weights, digest = tensor_bytes(GNN(config).state_dict(), {"run": run})
    save_bytes(folder / "model.safetensors", weights)
    inputs = {"dataset": {"path": str(path), "sha256": sha256(path)}}
    own = {"run": run, "dataset": "tiny", "dataset_path": str(path), "model": config.as_dict(), "n": 3, "dim": 2}
    write(
        RunConfig,
        folder / "config.json",
        variant="bottleneck",
        recipe="newton",
        inputs=inputs,
        weights_sha256=digest,
        **own,
    )
    write_law(tmp_path, run)
    return run


def write_law(tmp_path, run, **changes):
    law = exact_law(CHARGE)
    known = {"run": run, "pair": law.pair_json(), "node": law.node_json(2), "cutoff": None}
    known["truth"] = {k: known["pair"][k] for k in ("text", "latex", "complexity")}
    known["verdict"] = {"recovered": True, "why": "by construction"}
    write(LawRecord, tmp_path / "outputs" / run / "law.json", **known | changes)


def simulated_here(about, **arguments):
    from distill.physics.record import system_of

    return extrapolation.make_sets(system_of(about), **arguments, simulate=fake_simulation)


def test_script_end_to_end(run, tmp_path, monkeypatch, capsys):
    import test_generalization as script

    monkeypatch.setattr(extrapolation, "fresh_sets", simulated_here)
    assert script.main(["--run", run, "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("test_generalization") and "report.html" in lines[-1]
    assert any("recovered: by construction" in line for line in lines)
    folder = tmp_path / "outputs" / run
    result = load_json(folder / "generalization.json")
    assert set(result["sets"]) == {"interpolation", "more_particles", "longer", "wide", "heavy", "close"}
    assert all(one["law_over_gnn_mae"] < 1e-9 for one in result["sets"].values())
    assert result["rollouts"]["n"] == 2 and result["quick"]
    assert (folder / "generalization.png").stat().st_size > 1000
    assert "q_i * q_j" in (folder / "report.html").read_text(encoding="utf-8")
    script.main(["--run", run, "--quick"])
    assert "already done" in capsys.readouterr().out
    with pytest.raises(UserError, match="seed was 1000003, now 5"):
        script.main(["--run", run, "--quick", "--seed", "5"])
    with pytest.raises(UserError, match="dataset's own"):
        script.main(["--run", run, "--quick", "--seed", "0", "--overwrite"])


def test_unknown_truth_uses_the_datasets_own_test_split(run, tmp_path, monkeypatch, capsys):
    import test_generalization as script

    (tmp_path / "datasets" / "tiny.json").unlink()
    write_law(tmp_path, run, truth=None, verdict={"recovered": None, "why": "not known"})
    assert script.main(["--run", run, "--quick"]) == 0
    result = load_json(tmp_path / "outputs" / run / "generalization.json")
    assert result["truth"] is None and list(result["sets"]) == ["interpolation"]
    assert result["rollouts"]["skipped"] and result["sets"]["interpolation"]["law"]["n"] == 4 * 3
    assert "not known here" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda law: law.unlink(), "symbolic_reg.py --run tiny"),
        (lambda law: law.write_text("{"), "not valid JSON"),
        (
            lambda law: law.write_text('{"run": "tiny__bottleneck-newton__s0"}'),
            "no stage of this project, not symbolic",
        ),
        (lambda law: law.write_text('{"stage": "symbolic_reg", "format": 2}'), "'run' is missing"),
        (lambda law: undigested(law, run="another__run"), "law of run 'another__"),
        (lambda law: law.write_text(law.read_text().replace('"tiny__', '"another__')), "damaged or was edited"),
    ],
)
def test_bad_laws_are_told_in_one_line(run, tmp_path, damage, message):
    import test_generalization as script

    damage(tmp_path / "outputs" / run / "law.json")
    with pytest.raises(UserError, match=message) as caught:
        script.main(["--run", run])
    assert "\n" not in str(caught.value)


def test_newer_weights_or_dataset_are_noticed(run, tmp_path):
    import test_generalization as script

    config = tmp_path / "model_weights" / run / "config.json"
    write_law(tmp_path, run, inputs={"config": {"path": "x", "sha256": "0" * 64}})
    with pytest.raises(UserError, match=r"older than .*config.json"):
        script.main(["--run", run])
    inputs = {"config": {"sha256": "1" * 64}}
    write(MessagesRecord, tmp_path / "outputs" / run / "messages_train.json", inputs=inputs)
    write_law(tmp_path, run)
    with pytest.raises(UserError, match="trained again since"):
        script.main(["--run", run])
    (tmp_path / "outputs" / run / "messages_train.json").unlink()
    content = load_json(config)
    content["inputs"]["dataset"]["sha256"] = "2" * 64
    save_json(config, content | {"content_sha256": None})
    with pytest.raises(UserError, match="has changed since"):
        script.main(["--run", run])


@pytest.mark.slow
def test_simulation_in_a_process_of_its_own():
    about = records.build(SystemRecord, describe(SYSTEMS["spring"]))
    made = extrapolation.fresh_sets(about, n=2, dim=2, frames=3, spacing=0.05, trajectories=4, limit=50, seed=3)
    assert made.starts["pos"].shape == (4, 2, 2) and made.sets["more_particles"].pos.shape[1] == 4
    with pytest.raises(AttributeError):  # what goes wrong there is raised here
        extrapolation.fresh_sets(SystemRecord(), n=2, dim=2, frames=2, spacing=0.1, trajectories=1, limit=5, seed=3)
