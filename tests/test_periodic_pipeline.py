"""Argon through the scripts as a user runs them, small: train, extract, fit, search; and what is refused."""

import json

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
    search = ("--run", RUN, "--targets", "radial", "--inverse-powers", "--engine", "operon")
    printed["search"] = ok(run(folder, "symbolic_reg.py", *search, "--quick"))
    return folder, printed


def content(folder, *path):
    return json.loads(folder.joinpath("outputs", RUN, *path).read_text())


def test_messages_and_their_fits_have_every_edge_and_one_gauge(whole):
    folder, printed = whole
    config = json.loads((folder / "model_weights" / RUN / "config.json").read_text())
    assert config["model"]["periodic"] and 4 < config["model"]["r_mean"] < 5 and config["edges_a_frame"] > 100
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
    assert law["cutoff"] == 5.5 and law["inverse_powers"].keys() == {"s6", "s12"}
    assert isinstance(law["verdict"]["recovered"], bool)
    low, high = law["verdict"]["ranges"]["extrapolated"]
    assert abs(low - 0.9 * high) < 1e-9
    assert "m_i" not in law["pair"]["text"] and "q_i" not in law["pair"]["text"]
    if law["lennard_jones"] is not None:
        assert law["lennard_jones"]["sigma"]["true"] == 3.4


def test_what_does_not_know_boxes_says_so(whole):
    folder, _ = whole
    refused(run(folder, "test_generalization.py", "--run", RUN), "periodic box")
    refused(run(folder, "symbolic_reg.py", "--run", RUN, "--sr-on-inputs"), "periodic")
    refused(run(folder, "train.py", "--dataset", "lj_n27_d3_s0", "--no-geometric-inputs"), "periodic box")
