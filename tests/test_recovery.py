"""The whole pipeline at a real, if small, size: the law has to come out. Minutes, hence slow."""

import json

import pytest
from scripts import ok, run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "variant", "dim"),
    [
        ("spring", "bottleneck", 2),
        ("r2", "l1", 3),
        ("damped", "pruning", 2),
        ("charge", "kl", 2),
        ("r1", "standard", 2),
    ],
)
def test_the_law_is_recovered(tmp_path, system, variant, dim):
    dataset = f"{system}_n4_d{dim}_s7"
    name = f"{dataset}__{variant}-newton__s7"
    seed = ("--seed", 7)
    ok(run(tmp_path, "simulate.py", "--system", system, "--dim", dim, "--n-trajectories", 2000, *seed))
    ok(run(tmp_path, "train.py", "--dataset", dataset, "--variant", variant, "--epochs", 6, *seed))
    ok(run(tmp_path, "extract_messages.py", "--run", name, *seed))
    ok(run(tmp_path, "fit_linear.py", "--run", name, *seed))
    ok(run(tmp_path, "symbolic_reg.py", "--run", name, "--targets", "radial", "--engine", "operon", *seed))
    ok(run(tmp_path, "test_generalization.py", "--run", name))
    out = tmp_path / "outputs" / name
    law, fit = (json.loads((out / f"{stem}.json").read_text()) for stem in ("law", "linear_fit"))
    assert law["verdict"]["recovered"], law["verdict"]
    assert fit["read_out"]["r2_trim90"] > 0.999
    for entry in json.loads((out / "generalization.json").read_text())["sets"].values():
        assert entry["law_over_gnn_mae"] < 0.1
