"""The stage ``symbolic_reg`` on a network with a free node: what law.json says beside the law with a response."""

import json

import pytest
from filled import write
from planted import messages, save_npz, write_dataset

from distill.files.fields import MESSAGE_FIELDS, ends_of
from distill.files.kinds import MessagesRecord, RunConfig
from distill.files.provenance import sha256
from distill.pipeline.search_law import search_law
from distill.search import operon
from distill.shell import paths

RUN = "saturating_n4_d2_s0__bottleneck-newton__s0"


@pytest.mark.slow
@pytest.mark.parametrize("system", ["saturating", "r1"])
def test_the_control_with_a_response_stands_beside_whatever_is_chosen(system, tmp_path, monkeypatch):
    if problem := operon.operon_problem():
        pytest.skip(problem)
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    (tmp_path / "datasets").mkdir()
    data = write_dataset(tmp_path / "datasets", "saturating_n4_d2_s0", system, trajectories=60)
    config = tmp_path / "model_weights" / RUN / "config.json"
    about = {"run": RUN, "dataset": "saturating_n4_d2_s0", "dataset_path": data.stem, "n": 4, "dim": 2}
    read = {"dataset": {"path": str(data), "sha256": sha256(data)}}
    model = {"linear_node": False, "antisymmetric": True, "periodic": False}
    write(RunConfig, config, inputs=read, model=model, **about)
    m, folder = messages(system, trajectories=60, components=2, off=0.001), tmp_path / "outputs" / RUN
    save_npz(folder / "messages_train.npz", m, MESSAGE_FIELDS | ends_of(("mass", "charge")))
    about = {"run": RUN, "edges": len(m["r"]), "inputs": {"config": {"path": "", "sha256": sha256(config)}}}
    write(MessagesRecord, folder / "messages_train.json", antisymmetric=True, **about)
    search_law(RUN, targets=("radial",), engine="operon", rivals=(), quick=True)
    law = json.loads((folder / "law.json").read_text())
    assert law["node_choice"]["chosen"] == {"saturating": "function", "r1": "linear"}[system]
    assert law["rivals"]["response_control"]["acceleration_error"]["n"] == law["acceleration_error"]["n"]
    assert law["leftover"]["third_law"] < 1e-6 and not law["data_verdict"]["violations"]
