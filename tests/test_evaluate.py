"""experiments/evaluate.py as the workflow runs it: one JSON of a cell from the files of a run."""

import json
import shutil

import pytest
from filled import filled, write
from planted import write_dataset
from scripts import ok, refused, run, undigested

from distill.files import kinds
from distill.files.provenance import sha256
from distill.files.storage import save_json

RUN = "r2_n4_d2_s0__l1-newton__s0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny run with messages and linear fit, made by the scripts."""
    folder = tmp_path_factory.mktemp("made")
    write_dataset(folder / "datasets", trajectories=40)
    ok(run(folder, "train.py", "--dataset", "r2_n4_d2_s0", "--quick", "--precision", "bf16"))
    ok(run(folder, "extract_messages.py", "--run", RUN))
    ok(run(folder, "fit_linear.py", "--run", RUN))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def evaluate(folder, *more):
    return run(folder, "experiments/evaluate.py", "--run", RUN, "--out", folder / "cell.json", *more)


def load(folder, name):
    return json.loads((folder / "outputs" / RUN / name).read_text())


def add_law(folder, recovered=True):
    """Files as the two last stages write them, with the parts that are read."""
    out, digest = folder / "outputs" / RUN, sha256(folder / "model_weights" / RUN / "config.json")
    said = {"recovered": recovered, "relative_error_in_range": 0.001, "relative_error_extrapolated": 0.002, "why": "w"}
    law = {
        "inputs": {"config": {"path": "x", "sha256": digest}},
        "pair": filled(kinds.PairLaw, text="-m_i*m_j/r^2"),
        "from_messages": filled(kinds.BeforeRefit, text="-0.5*m_i/r", verdict=said | {"recovered": False}),
        "verdict": said,
        "truth": filled(kinds.Truth, text="-m_i*m_j/(r+0.01)^2"),
        "data_verdict": filled(kinds.DataVerdict, trusted=True),
        "targets": {"radial": filled(kinds.TargetRecord, equation="-0.5*m_i/r")},
    }
    write(kinds.LawRecord, out / "law.json", **law)
    gnn, own = (filled(kinds.Errors, mae=mae) for mae in (0.4, 0.1))
    errors = filled(kinds.SetErrors, gnn=gnn, law=own, law_over_gnn_mae=0.25)
    inputs = {"config": {"sha256": digest}, "law": {"sha256": sha256(out / "law.json")}}
    write(kinds.Generalization, out / "generalization.json", inputs=inputs, sets={"interpolation": errors})


def test_a_cell_holds_scores_fit_and_training_and_no_folder(folder):
    assert "r2_force" in ok(evaluate(folder))
    text = (folder / "cell.json").read_text()
    assert str(folder) not in text and "/" not in "".join(e["path"] for e in json.loads(text)["inputs"].values())
    cell, fit = json.loads(text), load(folder, "linear_fit.json")
    assert (cell["system"], cell["dim"], cell["variant"], cell["recipe"], cell["seed"]) == ("r2", 2, "l1", "newton", 0)
    assert (cell["edge_model"], cell["loss"], cell["quick"]) == ("mlp", "relative", True)
    for target in ("force", "acceleration"):  # two ways to the same numbers
        assert cell["messages"]["r2"][target]["trimmed"]["r2"] == pytest.approx(fit["targets"][target]["r2_trim90"])
        assert cell["fit"][target]["r2_all"] == fit["targets"][target]["r2_all"]
    assert cell["best_target"] == fit["best_target"] and cell["read_out"]["gauge"] == fit["read_out"]["gauge"]
    mae = json.loads((folder / "outputs" / RUN / "messages_test.json").read_text())["mae"]
    assert cell["messages"]["mae"]["all"]["per_component"] == pytest.approx(mae, rel=1e-5)
    assert cell["messages"]["sparsity"]["variance_share"] == pytest.approx(fit["top_share"], rel=1e-5)
    config = json.loads((folder / "model_weights" / RUN / "config.json").read_text())
    training = cell["training"]
    assert training["graphs_seen"] == config["graphs_seen"] > 0 and training["precision"] == "bf16"
    assert training["commit"] == config["git"]["commit"] and training["epochs"] == 2
    assert cell["law"] is None and cell["generalization"] is None
    assert cell["hardware"] and len(cell["date"]) == 10 and cell["inputs"]["linear_fit"]["sha256"]


def test_the_law_and_its_errors_are_taken_where_they_are(folder):
    add_law(folder)
    assert "recovered True" in ok(evaluate(folder))
    cell = json.loads((folder / "cell.json").read_text())
    assert cell["law"]["recovered"] is True and cell["law"]["from_messages_recovered"] is False
    assert cell["law"]["law"] == "-m_i*m_j/r^2" and cell["law"]["trusted"] is True
    assert cell["law"]["targets"] == {"radial": "-0.5*m_i/r"}
    assert cell["generalization"]["interpolation"]["law_over_gnn"] == 0.25


def test_a_second_call_does_nothing_and_new_files_are_not_ignored(folder):
    ok(evaluate(folder))
    before = (folder / "cell.json").read_text()
    assert "already done" in ok(evaluate(folder))
    assert (folder / "cell.json").read_text() == before
    add_law(folder)
    refused(evaluate(folder), "law.json has changed", "--overwrite")
    ok(evaluate(folder, "--overwrite"))
    assert json.loads((folder / "cell.json").read_text())["law"]["recovered"] is True


def test_what_is_missing_or_stale_is_told_in_one_line(folder):
    refused(run(folder, "experiments/evaluate.py", "--run", "r2_n4", "--out", "x"), "does not exist", "train.py")
    out = folder / "outputs" / RUN
    add_law(folder)
    undigested(out / "law.json", seconds=3.0)
    refused(evaluate(folder), "generalization.json was made from another law.json", "test_generalization.py")
    law = load(folder, "law.json")
    save_json(out / "law.json", law | {"inputs": {"config": {"sha256": "0"}}})
    refused(evaluate(folder), "law.json was made from another config.json", "symbolic_reg.py", "--overwrite")
    del law["pair"]
    (out / "generalization.json").unlink()
    save_json(out / "law.json", law)
    refused(evaluate(folder), "law.json: 'pair' is missing", "symbolic_reg.py", "--overwrite")
    (out / "law.json").unlink()
    undigested(out / "linear_fit.json", inputs={})
    refused(evaluate(folder), "linear_fit.json was made from another messages_test.npz", "fit_linear.py")
    (out / "linear_fit.json").write_text("{")
    refused(evaluate(folder), "not valid JSON", "fit_linear.py")
    (out / "linear_fit.json").unlink()
    refused(evaluate(folder), "linear_fit.json does not exist", "fit_linear.py")
    (out / "messages_test.npz").unlink()
    refused(evaluate(folder), "messages_test.npz does not exist", "extract_messages.py")
    assert not (folder / "cell.json").exists()
