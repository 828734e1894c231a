"""No label before the refit: what is said to come from the messages does not change when labels do."""

import json

import numpy as np
import pytest
from filled import write
from planted import messages, save_npz, write_dataset
from test_alignment import through_a_node
from test_windows import as_windows

from distill.files.fields import MESSAGE_FIELDS, ends_of
from distill.files.kinds import MessagesRecord, RunConfig
from distill.files.provenance import sha256
from distill.messages import assumptions, read_out
from distill.messages.net_forces import node_values, nodes_of
from distill.pipeline.search_law import search_law
from distill.search import operon, targets
from distill.shell import paths

RUN = "damped_n4_d2_s0__l1-newton__s0"
LABELS = ("acc_i", "force", "acc_noise")


def linear():
    m = messages("damped", trajectories=60)
    return m, nodes_of(m)


def by_jacobian():
    return through_a_node("turned", system="damped")


def of_windows():
    m, _ = linear()
    m = as_windows(m)
    m["acc_noise"] = 0.01 * np.linalg.norm(m["acc_i"], axis=1)
    return m, nodes_of(m)


@pytest.mark.parametrize("made, gauge", [(linear, "force"), (by_jacobian, "jacobian"), (of_windows, "force")])
def test_read_out_and_targets_do_without_labels(made, gauge):
    m, nodes = made()
    m = {k: v for k, v in m.items() if k not in LABELS}  # touching one would be a KeyError
    read = read_out.read_out(m, nodes, antisymmetric=gauge == "force")
    assert read.gauge == gauge and read.node_terms == ("drag",)
    force = read.force(m, nodes)
    assert assumptions.leftover(force, m)["central"]
    assert node_values(force, m, nodes, read.node_terms)["drag"] == pytest.approx(0.5, abs=0.01)
    found = targets.searches(("radial", "components", "shared", "node"), m, nodes, read, force, 200)
    assert {"radial", "shared", "node"} <= {t.name for t in found}


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """A function of a messages file's arrays: law.json of the search in them, and digests of what was searched."""
    if problem := operon.operon_problem():
        pytest.skip(problem)
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    (tmp_path / "datasets").mkdir()
    data = write_dataset(tmp_path / "datasets", "damped_n4_d2_s0", "damped", trajectories=60)
    config = tmp_path / "model_weights" / RUN / "config.json"
    read = {"dataset": {"path": str(data), "sha256": sha256(data)}}
    write(RunConfig, config, run=RUN, dataset="damped_n4_d2_s0", dataset_path=data.stem, inputs=read, n=4, dim=2)

    def search(m):
        folder = tmp_path / "outputs" / RUN
        save_npz(folder / "messages_train.npz", m, MESSAGE_FIELDS | ends_of(("mass", "charge")))
        about = {
            "run": RUN,
            "split": "train",
            "n": 4,
            "dim": 2,
            "edges": len(m["r"]),
            "inputs": {"config": {"path": "", "sha256": sha256(config)}},
        }
        write(MessagesRecord, folder / "messages_train.json", antisymmetric=False, **about)
        search_law(RUN, targets=("radial", "node"), engine="operon", rivals=(), quick=True, overwrite=True)
        law = json.loads((folder / "law.json").read_text())
        law["from_messages"].pop("verdict")  # compares with the truth, which is a label
        fronts = [json.loads(path.read_text()) for path in sorted(folder.glob("symbolic/*/front.json"))]
        return law, [front["identity"]["data"] for front in fronts]

    return search


def permuted(m: dict, nodes, *keys) -> dict:
    """``m`` with ``keys`` handed from receiver to receiver at random."""
    other = np.random.default_rng(1).permutation(len(nodes.first))[nodes.of_edge]
    return m | {k: m[k][nodes.first][other] for k in keys if k in m}


@pytest.mark.parametrize(
    "made", [linear, *(pytest.param(made, marks=pytest.mark.slow) for made in (by_jacobian, of_windows))]
)
def test_labels_permuted_after_training_leave_what_the_messages_say(searched, made):
    m, nodes = made()
    (law, digests), (other, again) = searched(m), searched(permuted(m, nodes, *LABELS))
    for key in ("from_messages", "read_out", "leftover"):
        assert other[key] == law[key]  # to the bit: JSON holds every digit
    assert again == digests and len(digests) == 2
    assert other["pair"] != law["pair"] and other["acceleration_error"] != law["acceleration_error"]
    # the comparison can fail: whatever a read-out is fitted on shows in what is searched
    wrong = permuted(m, nodes, "acc_pred_i")
    read = read_out.read_out(wrong, nodes, False)
    found = targets.searches(("node", "radial"), wrong, nodes, read, read.force(wrong, nodes), 500)
    assert not {t.digest() for t in found} & set(digests)
