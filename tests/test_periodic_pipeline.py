"""Argon through the scripts as a user runs them, small: from training to the report; and what is refused."""

import json
import shutil

import pytest
from planted import write_argon
from scripts import ok, refused, run

RUN = "lj_n27_d3_s0__bottleneck-newton__s0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the stages run in it, and what each printed."""
    folder = tmp_path_factory.mktemp("argon")
    write_argon(folder / "datasets", trajectories=30)
    train = ("--dataset", "lj_n27_d3_s0", "--variant", "bottleneck", "--epochs", 150, "--batch-size", 8, "--lr", 0.01)
    printed = {"train": ok(run(folder, "train.py", *train, "--quick"))}
    for script in ("extract_messages.py", "fit_linear.py"):
        printed[script] = ok(run(folder, script, "--run", RUN))
    search = ("--run", RUN, "--targets", "radial", "--engine", "operon")
    printed["search"] = ok(run(folder, "symbolic_reg.py", *search, "--quick"))
    return folder, printed


def content(folder, *path):
    return json.loads(folder.joinpath("outputs", RUN, *path).read_text())


def test_messages_and_their_fits_have_every_edge_and_one_gauge(whole):
    folder, printed = whole
    config = json.loads((folder / "model_weights" / RUN / "config.json").read_text())
    model = config["model"]
    assert model["periodic"] and 4 < model["r_mean"] * model["length"] < 5 and config["edges_a_frame"] > 100
    about, fit = content(folder, "messages_test.json"), content(folder, "linear_fit.json")
    assert about["graphs"] == 12 and about["edges"] == fit["n_edges"] > 12 * 100
    assert fit["read_out"]["gauge"] == "force" and list(fit["read_out"]["held_out_errors"]) == ["force"]
    force, acceleration = (fit["targets"][k] for k in ("force", "acceleration"))
    assert force["r2_all"] == acceleration["r2_all"] and fit["best_target"] == "force"
    # over all edges the few closest decide, where the potential is steep as well
    assert fit["r2_trim90"] > 0.8 and fit["r2_trim90"] > fit["potential"]["r2_trim90"]
    assert fit["read_out"]["r2_trim90"] > 0.8 and 0 <= fit["potential"]["read_out_r2_trim90"] <= 1
    assert "already done" in ok(run(folder, "extract_messages.py", "--run", RUN))


def test_the_law_knows_its_cutoff_and_its_verdict_looks_inwards(whole):
    law = content(whole[0], "law.json")
    assert law["cutoff"] == 5.5
    assert isinstance(law["verdict"]["recovered"], bool)
    low, high = law["verdict"]["ranges"]["extrapolated"]
    assert abs(low - 0.9 * high) < 1e-9
    assert "m_i" not in law["pair"]["text"] and "q_i" not in law["pair"]["text"]
    if law["lennard_jones"] is not None:
        assert law["lennard_jones"]["sigma"]["true"] == 3.4


def test_law_and_network_are_compared_in_other_fluids_and_in_motion(whole):
    folder, _ = whole
    stage = ("test_generalization.py", "--run", RUN, "--quick", "--particles", 40, "--rollout-time", 0.4)
    printed = ok(run(folder, *stage))
    made = content(folder, "generalization.json")
    dataset_temperature = made["rollouts"]["temperature_K"]
    assert dataset_temperature == pytest.approx(94, abs=8)  # of velocities with standard deviation 1.4 A/ps
    assert made["skipped_sets"].keys() == {"dense"} and "half the box" in made["skipped_sets"]["dense"]
    hotter = [f"hotter_{k * dataset_temperature:.0f}K" for k in (2, 3)]
    assert list(made["sets"]) == ["interpolation", *hotter, "dilute", "more_particles"]
    assert made["force_unit"] == "kJ/mol/nm" and made["sets"]["more_particles"]["particles"] == 40
    for one in made["sets"].values():
        assert one["gnn"]["mae"] > 0 and one["law"]["n"] == one["graphs"] * one["particles"]
    rollouts = made["rollouts"]
    truth, law = (rollouts["constant_energy"]["models"][k] for k in ("truth", "law"))
    assert truth["energy_drift_end"]["median_size"] < 0.01 and truth["momentum_drift_median"] < 1e-9
    assert law["momentum_drift_median"] < 1e-9  # its forces are those of pairs
    assert rollouts["constant_temperature"]["models"]["truth"]["failed"] == []
    assert rollouts["g_r"]["models"]["truth"]["deviation_mean"] > 0 and rollouts["g_r"]["reference"]["n"] == 3
    page = (folder / "outputs" / RUN / "report.html").read_text()
    for word in ("kJ/mol/nm", "g(r)", "not simulated", "As a pair potential", "Drift of the true energy"):
        assert word in page, word
    assert "could not be shown" not in page and "dimensionless" not in page and "time units" not in page
    assert "not simulated" in printed and "fluid, law" in printed
    assert "already done" in ok(run(folder, *stage))
    refused(run(folder, *stage[:-1], 0.1), "--rollout-time", "at least 0.2")


def test_data_of_a_fluid_whose_law_is_not_known_are_their_own_test(whole, tmp_path):
    folder = tmp_path / "unknown"
    shutil.copytree(whole[0], folder)
    (folder / "datasets" / "lj_n27_d3_s0.json").unlink()
    (folder / "outputs" / RUN / "generalization.json").unlink(missing_ok=True)
    ok(run(folder, "test_generalization.py", "--run", RUN, "--quick"))
    made = content(folder, "generalization.json")
    assert made["truth"] is None and "not known" in made["rollouts"]["skipped"]
    assert list(made["sets"]) == ["interpolation"] and made["sets"]["interpolation"]["graphs"] == 6
    assert made["force_unit"] == "mass * acc in the units of the dataset"
    assert "could not be shown" not in (folder / "outputs" / RUN / "report.html").read_text()


def test_what_does_not_know_boxes_says_so(whole):
    folder, _ = whole
    refused(run(folder, "symbolic_reg.py", "--run", RUN, "--sr-on-inputs"), "periodic")
    refused(run(folder, "train.py", "--dataset", "lj_n27_d3_s0", "--no-geometric-inputs"), "periodic box")
