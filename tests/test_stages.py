"""All six stages by subprocess with --quick, in order, then again; and what each says of bad input."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import save_file
from scripts import ok, refused, run, undigested

from distill.files.tensors import load_tensors, save_tensors

DATASET, RUN = "r2_n4_d2_s0", "r2_n4_d2_s0__l1-newton__s0"
STAGES = (
    ("simulate.py", "--system", "r2", "--n-trajectories", "60"),
    ("train.py", "--dataset", DATASET, "--epochs", "40"),
    ("extract_messages.py", "--run", RUN),
    ("fit_linear.py", "--run", RUN),
    ("symbolic_reg.py", "--run", RUN, "--engine", "operon"),
    ("test_generalization.py", "--run", RUN),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the whole pipeline run in it, and what each stage printed."""
    folder = tmp_path_factory.mktemp("pipeline")
    printed = {stage[0]: ok(run(folder, *stage, "--quick", start=True)) for stage in STAGES}
    return folder, printed


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it to break."""
    shutil.copytree(whole[0], tmp_path / "copy")
    return tmp_path / "copy"


def content(folder, *path):
    return json.loads((folder.joinpath(*path)).read_text())


def test_every_stage_ends_in_one_line_that_names_it_and_its_output(whole):
    folder, printed = whole
    for script, out in printed.items():
        last = out.strip().splitlines()[-1]
        assert last.startswith(script.removesuffix(".py")) and "-> " in last
        assert (folder / last.split("-> ")[1]).exists(), last


def test_a_dataset_alone_gives_a_law_by_splines(folder):
    out = f"{DATASET}__splines"
    words = ("symbolic_reg.py", "--dataset", DATASET, "--engine", "operon", "--quick")
    assert out in ok(run(folder, *words, "--rivals"))
    law = content(folder, "outputs", out, "law.json")
    assert law["source"] == "splines" and law["read_out"]["gauge"] == "splines"
    assert law["acceleration_error"]["gnn"] is None and law["acceleration_error"]["splines"] < 0.02
    assert list(law["targets"]) == ["radial"] and not law["rivals"]
    written, data = {}, np.load(folder / "datasets" / f"{DATASET}.npz")
    exec((folder / "outputs" / out / "law.py").read_text(), written)
    found = written["acceleration"](data["pos"], data["vel"], **{k: data[k][:, None] for k in ("mass", "charge")})
    assert np.median(np.abs(found - data["acc"]) / np.abs(data["acc"])) < 0.02
    report = folder / "outputs" / out / "report.html"
    page = report.read_text()
    report.unlink()  # as after an interrupt
    assert "already done" in ok(run(folder, *words, "--rivals")) and report.is_file()
    assert law["pair"]["latex"] and "The search for the formula" in page
    refused(run(folder, "test_generalization.py", "--run", out), "without a network", "python train.py")
    refused(run(folder, *words, "--targets", "radial", "shared"), "--targets shared needs a trained network")
    refused(run(folder, *words, "--force-from", "both"), "needs a trained network")
    refused(run(folder, *words, "--node", "function"), "reads the messages of a network")


def test_splines_stand_beside_the_messages(whole):
    splines = content(whole[0], "outputs", RUN, "linear_fit.json")["splines"]
    assert splines["functions"] == ["m_i*m_j"] and splines["r2_trim90"] > 0.99


def test_files_say_where_they_come_from_and_that_they_are_quick(whole):
    folder, _ = whole
    made = [folder / "outputs" / RUN / name for name in ("messages_test", "linear_fit", "law", "generalization")]
    made += [folder / "datasets" / DATASET, folder / "model_weights" / RUN / "config"]
    for path in (p.with_suffix(".json") for p in made):
        about = json.loads(path.read_text())
        assert about["quick"] is True and about["seconds"] >= 0, path
        assert {"arguments", "inputs", "git", "versions", "python"} <= about.keys(), path


def test_linear_fit_holds_the_numbers_promised(whole):
    fit = content(whole[0], "outputs", RUN, "linear_fit.json")
    assert {"r2_all", "r2_trim90", "best_target", "n_edges", "top_share", "channel_map_r2", "read_out"} <= fit.keys()
    assert fit["r2_all"] <= 1 and fit["best_target"] in fit["targets"] and fit["n_edges"] == 12 * fit["n_graphs"]
    assert len(fit["importance"]) == 100 and len(fit["top_components"]) == 2
    assert (whole[0] / "outputs" / RUN / "linear_fit.png").read_bytes()[:4] == b"\x89PNG"


def test_law_and_generalization_hold_the_numbers_promised(whole):
    law = content(whole[0], "outputs", RUN, "law.json")
    assert isinstance(law["verdict"]["recovered"], bool)
    assert law["verdict"]["relative_error_in_range"] >= 0 and law["verdict"]["relative_error_extrapolated"] >= 0
    assert law["pair"]["latex"] and law["pair"]["text"] and law["truth"]["text"]
    for target in law["targets"].values():
        table = (whole[0] / "outputs" / RUN / target["hall_of_fame"]).read_text().splitlines()
        assert table[0] == "Complexity,Loss,Equation" and len(table) == len(target["rows"]) + 1
    sets = content(whole[0], "outputs", RUN, "generalization.json")["sets"]
    assert {"interpolation", "more_particles", "wide", "heavy", "close", "longer"} == sets.keys()
    for entry in sets.values():
        for who in ("gnn", "law"):
            assert {"mae", "median_relative_error", "r2", "n"} <= entry[who].keys()
    page = (whole[0] / "outputs" / RUN / "report.html").read_text()
    assert "<html" in page and 'src="http' not in page


def test_a_second_call_does_nothing(whole):
    folder, _ = whole
    for stage in STAGES:
        assert "already done" in ok(run(folder, *stage, "--quick")), stage


def test_only_targets_that_are_missing_are_searched_and_the_same_seed_gives_the_same_law(whole, folder):
    """In a process with other hashes of strings than the first."""
    out = folder / "outputs" / RUN
    (out / "law.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.glob("symbolic/*/hall_of_fame.csv")}
    radial = out / "symbolic" / "radial" / "hall_of_fame.csv"
    table = radial.read_bytes()
    shutil.rmtree(radial.parent)
    ok(run(folder, "symbolic_reg.py", "--run", RUN, "--engine", "operon", "--quick"))
    assert radial.read_bytes() == table and len(before) > 2
    assert {path for path, stamp in before.items() if path.stat().st_mtime_ns != stamp} == {radial}
    a, b = (content(place, "outputs", RUN, "law.json") for place in (whole[0], folder))
    assert a["pair"] == b["pair"] and a["verdict"] == b["verdict"]


def test_a_hostile_hall_of_fame_is_never_run(folder):
    out, canary = folder / "outputs" / RUN, folder / "canary"
    (out / "law.json").unlink()
    evil = f"__import__('os').system('touch {canary}')"
    (out / "symbolic" / "radial" / "hall_of_fame.csv").write_text(f'Complexity,Loss,Equation\n1,0.1,"{evil}"\n')
    refused(run(folder, "symbolic_reg.py", "--run", RUN, "--engine", "operon", "--quick"), "hall_of_fame.csv")
    assert not canary.exists()


def test_a_run_may_be_given_as_a_path_and_writes_to_outputs_alone(folder):
    weights, out = folder / "model_weights" / RUN, folder / "outputs" / RUN
    before = set(weights.iterdir())
    shutil.rmtree(folder / "outputs")
    ok(run(folder, "extract_messages.py", "--run", f"{weights}/", "--quick"))
    assert {p.name for p in out.iterdir()} == {f"messages_{s}.{e}" for s in ("train", "test") for e in ("npz", "json")}
    ok(run(folder, "fit_linear.py", "--run", f"outputs/{RUN}/", "--quick"))
    assert "already done" in ok(run(folder, "fit_linear.py", "--run", RUN, "--quick"))
    refused(run(folder, "extract_messages.py", "--run", f"../model_weights/{RUN}"), "not the name of a run")
    assert set(weights.iterdir()) == before


def test_weights_of_another_run_or_with_other_bits_are_refused(folder):
    weights, stage = folder / "model_weights" / RUN / "model.safetensors", ("extract_messages.py", "--run", RUN)
    stage, whole = (*stage, "--overwrite", "--quick"), weights.read_bytes()
    tensors, header, _ = load_tensors(weights)
    first = next(iter(tensors))
    weights.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    refused(run(folder, *stage), "damaged", "digest")
    save_tensors(weights, tensors, header | {"run": "another"})
    refused(run(folder, *stage), "'another'", RUN)
    save_tensors(weights, tensors | {first: tensors[first] + 1}, header)
    refused(run(folder, *stage), "other weights than config.json", "train.py")
    save_file(tensors, weights)  # made elsewhere
    undigested(weights.with_name("config.json"))
    result = run(folder, *stage)
    assert "no digest" in result.stderr and len(result.stderr.splitlines()) == 1
    ok(result)


def test_missing_inputs_name_the_command_that_makes_them(folder):
    out, weights = folder / "outputs" / RUN, folder / "model_weights" / RUN
    (out / "law.json").unlink()
    refused(run(folder, "test_generalization.py", "--run", RUN), "law.json", "python symbolic_reg.py")
    (out / "messages_train.npz").unlink()
    refused(run(folder, "symbolic_reg.py", "--run", RUN), "messages_train.npz", "python extract_messages.py --run")
    (out / "messages_test.npz").unlink()
    refused(run(folder, "fit_linear.py", "--run", RUN), "does not exist", "python extract_messages.py --run")
    (folder / "datasets" / f"{DATASET}.npz").unlink()
    refused(run(folder, "extract_messages.py", "--run", RUN, "--overwrite"), "does not exist", "python simulate.py")
    (weights / "model.safetensors").unlink()
    refused(run(folder, "extract_messages.py", "--run", RUN, "--overwrite"), "model.safetensors", "train.py")
    (weights / "config.json").unlink()
    for script in ("extract_messages.py", "fit_linear.py", "symbolic_reg.py", "test_generalization.py"):
        refused(run(folder, script, "--run", RUN), "does not exist", "python train.py")


@pytest.mark.parametrize(
    "script", ["extract_messages.py", "fit_linear.py", "symbolic_reg.py", "test_generalization.py"]
)
def test_unknown_runs_suggest_the_near_miss(whole, script):
    refused(run(whole[0], script, "--run", RUN.replace("l1", "l2")), f"did you mean '{RUN}'")
    refused(run(whole[0], script, "--run", "../" + RUN), "not the name of a run")
    refused(run(whole[0], script), "--run", code=2)


def test_messages_of_one_trajectory_judge_no_law(folder):
    path = folder / "outputs" / RUN / "messages_train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    of_one = arrays["trajectory"] == arrays["trajectory"][0]
    np.savez(path, **{k: v[of_one] if len(v) == len(of_one) else v for k, v in arrays.items()})
    undigested(path.with_suffix(".json"))
    result = run(folder, "symbolic_reg.py", "--run", RUN, "--quick")
    assert result.returncode == 1 and "of one trajectory, expected at least 2" in result.stderr.splitlines()[-1]


def test_damaged_files_are_named(folder):
    out, weights = folder / "outputs" / RUN, folder / "model_weights" / RUN
    for stage, path in (
        (("fit_linear.py", "--run", RUN, "--quick"), out / "messages_test.npz"),
        (("symbolic_reg.py", "--run", RUN, "--quick"), out / "messages_train.npz"),
        (("test_generalization.py", "--run", RUN, "--quick", "--overwrite"), out / "law.json"),
        (("extract_messages.py", "--run", RUN, "--overwrite"), weights / "model.safetensors"),
        (("extract_messages.py", "--run", RUN, "--overwrite"), weights / "config.json"),
        (("train.py", "--dataset", DATASET, "--tag", "x"), folder / "datasets" / f"{DATASET}.npz"),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        refused(run(folder, *stage), path.name)
        path.write_bytes(whole)


def test_nan_in_messages_and_weights(folder):
    path = folder / "outputs" / RUN / "messages_test.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["message"][5, 0] = np.nan
    np.savez(path, **arrays)
    refused(run(folder, "fit_linear.py", "--run", RUN, "--overwrite"), "'message'", "1 NaN", "--overwrite")


def test_a_run_trained_on_another_dataset_is_refused(folder):
    ok(run(folder, "simulate.py", "--system", "r2", "--n-trajectories", "50", "--quick", "--overwrite"))
    refused(run(folder, "extract_messages.py", "--run", RUN, "--overwrite"), "another dataset", "train.py")
    refused(run(folder, "symbolic_reg.py", "--run", RUN, "--quick", "--overwrite"), "another dataset")


def test_messages_older_than_the_run_are_refused(folder):
    ok(run(folder, *STAGES[1], "--quick", "--overwrite"))
    config = folder / "model_weights" / RUN / "config.json"
    config.write_text(config.read_text().replace('"seconds": ', '"seconds":  '))  # as if trained at another time
    refused(run(folder, "fit_linear.py", "--run", RUN, "--overwrite"), "trained again", "extract_messages.py")
    other = RUN.replace("s0__l1", "s0__kl")
    shutil.copytree(folder / "model_weights" / RUN, folder / "model_weights" / other)
    shutil.copytree(folder / "outputs" / RUN, folder / "outputs" / other)
    refused(run(folder, "fit_linear.py", "--run", other), f"of run '{RUN}'")


@pytest.mark.parametrize("script", ["extract_messages.py", "test_generalization.py"])
def test_a_device_that_is_not_there_is_refused(folder, script):
    result = run(folder, script, "--run", RUN, "--device", "cuda", "--overwrite", CUDA_VISIBLE_DEVICES="")
    refused(result, "no CUDA device")


def test_unwritable_output(folder):
    shutil.rmtree(folder / "outputs")
    (folder / "outputs").write_text("a file where a folder is wanted")
    refused(run(folder, "extract_messages.py", "--run", RUN), "outputs")


def test_help_is_quick_and_complete():
    import time

    for script, *_ in STAGES:
        start = time.perf_counter()
        out = ok(run(None, script, "--help", cwd=".", start=True))
        assert time.perf_counter() - start < 10, script  # a fifth of a second on an idle machine
        assert "reads" in out and "writes" in out and "example" in out and "--overwrite" in out
