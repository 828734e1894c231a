"""The extraction section of the speed benchmark: operations counted, the plain way, and the arithmetic of its bars."""

import argparse
import os

import numpy as np
import pytest
import speed_extraction
import torch
from extracted import edges_of
from planted import write_dataset
from torch.utils.flop_counter import FlopCounterMode

from distill.files.dataset import load_dataset
from distill.network.edges import all_pairs
from distill.shell.errors import UserError
from models import GNN, ModelConfig, keep_top


@pytest.fixture
def counted(monkeypatch):
    """Counters of floating-point operations; they do not know oneDNN's, so torch has to do without."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield lambda: FlopCounterMode(display=False)


NEWTON = dict(
    antisymmetric=True,
    translation_invariant=True,
    geometric_inputs=True,
    exp_gate=True,
    linear_node=True,
    log_mass=True,
    activation="silu",
)


@pytest.mark.parametrize(
    "options",
    [
        dict(hidden=300),
        dict(hidden=300, gaussian=True),
        NEWTON | dict(hidden=64),
        dict(hidden=20, depth=2, linear_node=True),
        dict(hidden=20, translation_invariant=True),
    ],
)
@pytest.mark.parametrize(("n", "dim", "kept"), [(4, 2, 100), (5, 3, 7)])
def test_operations_are_those_that_torch_counts(options, n, dim, kept, counted):
    model = GNN(ModelConfig(dim=dim, message_dim=100, **options)).eval()
    keep_top(model, torch.arange(100.0), kept)
    x = torch.rand(n, 2 * dim + 2) + 0.1
    with torch.no_grad(), counted() as counter:
        model(x, all_pairs(n))
    wanted = speed_extraction.forward_flops(model.config, n, kept)
    own = counter.get_total_flops()
    by_hand = 2 * n * dim * kept if model.config.linear_node else 0  # where models.py multiplies without a product
    assert wanted in (own, own + by_hand) and wanted > 1000


def test_the_papers_network_by_hand():
    edge = 2 * 300 * 300 + 300 * 100  # two further hidden layers and the messages, on 12 edges
    node = 2 * 6 * 300 + 106 * 300 + 2 * 300 * 300 + 300 * 2  # both parts of the first layer, then the node model
    assert speed_extraction.forward_flops(ModelConfig(dim=2, message_dim=100), 4, 100) == 2 * (12 * edge + 4 * node)


def test_operations_of_the_shares(counted):
    model = GNN(ModelConfig(dim=2, message_dim=100)).eval()
    x, edges = torch.rand(4, 6), all_pairs(4)
    with torch.no_grad(), counted() as forward:
        message = model(x, edges)[1]
        model.node_model(x, torch.zeros(4, 100))  # done once more for the shares, which need not be
    with counted() as node:
        model.requires_grad_(False).acceleration_shares(x, edges, message)
    twice = forward.get_total_flops() - speed_extraction.forward_flops(model.config, 4, 100)
    # torch also goes from the accelerations back through the last layer and to the node's own features
    ends = 2 * 4 * 2 * (300 * 2 + 6 * 300)
    assert node.get_total_flops() - twice == speed_extraction.share_flops(model.config, 4) + ends


def test_the_plain_way_sends_the_same_messages(tmp_path):
    torch.manual_seed(1)
    dataset = load_dataset(write_dataset(tmp_path, trajectories=20))
    model = GNN(ModelConfig(dim=2, message_dim=100, hidden=40)).eval()
    trajectory, frame = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)  # more than one batch
    plain = speed_extraction.PlainNetwork(model).all_messages(dataset, trajectory, frame)
    own = edges_of(model, dataset, trajectory, frame)
    assert plain.shape == (80 * 12, 100) and plain.std() > 0.01
    assert np.allclose(plain, own["message"], rtol=1e-4, atol=1e-5)


def costs(seconds, cpu_s, peak_mb):
    return {"seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb, "done_before": False}


@pytest.mark.parametrize(("rate", "peak_mb", "met"), [(1.7e4, 2000, [True, True]), (1.6e4, 2001, [False, False])])
def test_rates_fractions_and_bars(rate, peak_mb, met):
    cpu_s = 100
    rows = {"paper": {"graphs": 1_000_000, **costs(400, cpu_s, peak_mb)}}
    rates = {"baseline": {"per_s": 1e3}, speed_extraction.WITHOUT: {"per_s": rate}}
    part = {
        "flops": 6e6,
        "share_flops": 3e6,
        "peaks": {"best": 2e11, "mm": 1e11},
        "graphs": 10,
        "largest_difference": 1e-6,
        "baseline_is": "plain",
        "rows": rates,
    }
    plain = {"graphs": 1000, "per_s": 1000.0, **costs(1, 1, 100)}
    found = speed_extraction.summary(rows, {"paper": part}, plain, argparse.Namespace(threads=1))
    per_s = 1e6 / cpu_s
    assert found["rows"][0]["per_s"] == pytest.approx(per_s)
    assert found["rows"][0]["fraction"] == pytest.approx({"best": 0.3, "mm": 0.6})
    assert found["rows"][0]["fraction_by_wall_clock"]["mm"] == pytest.approx(2500 * 6e6 / 1e11)
    assert found["ratio_to_baseline"] == pytest.approx(per_s / 1000)
    assert [b["met"] for b in found["bars"]] == met
    assert found["bars"][1]["measured"].startswith(f"{rate * 6e6 / 2e11:.2f} (")
    assert "with the shares 0.30, 0.45 where their operations count" in found["bars"][1]["measured"]
    wall = speed_extraction.summary(rows, {"paper": part}, plain, argparse.Namespace(threads=2))
    assert wall["rows"][0]["per_s"] == pytest.approx(2500)


def test_a_full_disk_is_told_before_anything_runs(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = dict(os.environ)
    with pytest.raises(UserError, match="free on its disk; name a larger disk with TMPDIR"):
        with speed_extraction.workplace("x", 1e18):
            raise AssertionError
    with speed_extraction.workplace("x", 1e3):
        assert str(tmp_path) in os.environ["DISTILL_OUTPUTS"]
    assert dict(os.environ) == before and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_section_from_end_to_end():
    found = speed_extraction.measure(argparse.Namespace(threads=1, rounds=1, quick=True))
    paper, newton = found["rows"]
    assert paper["graphs"] == newton["graphs"] == 1200 and paper["edges"] == 14400
    assert 4800 < paper["bytes"] / 1200 < speed_extraction.FILE_BYTES
    assert found["bars"][0]["met"]  # the other one says nothing at this size
    assert found["parts"]["paper"]["largest_difference"] < 1e-4
    assert found["parts"]["newton"]["components"] == 2 and found["parts"]["newton"]["flops"] < 2e6
    rates = {k: v["per_s"] for k, v in found["parts"]["paper"]["rows"].items()}
    assert rates["forward pass alone"] > rates[speed_extraction.WITHOUT] > rates["all, written"]
    assert found["table"].count("\n| ") == 10
