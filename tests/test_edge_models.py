"""The edge models PM and CUST: layers as published, every message head, stacks, and runs from before they existed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import write_dataset
from test_steps import Watch
from torch.nn.functional import linear

import distill
import train
from distill.files.dataset import load_dataset
from distill.files.storage import load_json, save_json
from distill.messages.extraction import Extraction
from distill.network.data import node_features
from distill.network.edges import all_pairs
from distill.network.learning.fit import fit
from distill.network.learning.steps import Stepper
from distill.network.learning.training import Trainer
from distill.network.recipes import defaults
from distill.network.weights import load_run
from distill.pipeline.train import Job
from distill.shell import paths
from distill.shell.errors import UserError
from models import GNN, ModelConfig, keep_top

NEWTON = dict(
    antisymmetric=True,
    translation_invariant=True,
    geometric_inputs=True,
    exp_gate=True,
    linear_node=True,
    log_mass=True,
    activation="silu",
)
CASES = [dict(), dict(gaussian=True), NEWTON, NEWTON | dict(gaussian=True)]
RUN = "r2_n4_d2_s0__l1-paper__s0"
SMALL = "--dataset r2_n4_d2_s0 --recipe paper --hidden 12 --batch-size 32 --epochs 2".split()


def network(edge_model, components=6, seed=0, **options):
    torch.manual_seed(seed)
    return GNN(ModelConfig(dim=2, message_dim=components, hidden=20, edge_model=edge_model, **options)).double().eval()


def state(graphs=1, n=4, seed=0):
    x = torch.randn(graphs * n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, -1] = x[:, -1].exp()
    return x


def published_edge(model, pair):
    """The edge models as their author writes them, on the concatenation of receiver and sender [edge, 12]."""
    w = dict(model.named_parameters())
    layer = lambda h, name: linear(h, w[f"{name}.weight"], w[f"{name}.bias"])  # noqa: E731
    first = torch.cat([w["edge_in.receiver"], w["edge_in.sender"]], 1)
    x = linear(pair, first, w["edge_in.bias"]).relu()
    if model.config.edge_model == "pm":
        for k in (0, 2, 4, 6):
            x = layer(x, f"edge_mlp.{k}").relu()
        return layer(x, "edge_mlp.8")
    a = layer(1 / (x + 1), "edge_mlp.0.inverse")
    b = layer(1 / (x + 1) ** 2, "edge_mlp.0.square")
    return layer(torch.cat([a, b], 1), "edge_mlp.1")


@pytest.mark.parametrize("edge_model", ["pm", "cust"])
def test_forward_is_the_published_one(edge_model):
    model, edges, x = network(edge_model), all_pairs(4, 2), state(2)
    j, i = edges.index
    message = published_edge(model, torch.cat([x[i], x[j]], 1))
    assert torch.allclose(model.messages(x, edges)[0], message, atol=1e-12)
    total = torch.stack([message[i == k].sum(0) for k in range(8)])
    acc = torch.cat([x, total], 1)
    for k in (0, 2, 4):
        acc = linear(acc, model.node_mlp[k].weight, model.node_mlp[k].bias).relu()
    acc = linear(acc, model.node_mlp[6].weight, model.node_mlp[6].bias)
    assert torch.allclose(model(x, edges)[0], acc, atol=1e-12)


def test_widths_are_the_published_ones():
    widths = {
        name: [
            (m.in_features, m.out_features)
            for m in GNN(ModelConfig(dim=2, message_dim=100, edge_model=name)).edge_mlp.modules()
            if isinstance(m, torch.nn.Linear)
        ]
        for name in ("mlp", "pm", "cust")
    }
    assert widths["mlp"] == [(300, 300), (300, 300), (300, 100)]
    assert widths["pm"] == [(300, 450), (450, 600), (600, 450), (450, 300), (300, 100)]
    assert widths["cust"] == [(300, 300), (300, 300), (600, 100)]
    with pytest.raises(ValueError, match="unknown edge model 'resnet'"):
        ModelConfig(dim=2, message_dim=2, edge_model="resnet") and network("resnet")


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("edge_model", ["pm", "cust"])
def test_heads_masks_and_gradients_work_as_with_the_mlp(edge_model, options):
    model, edges, x = network(edge_model, **options), all_pairs(4, 2), state(2)
    before = model.messages(x, edges)[0]
    assert torch.isfinite(before).all() and before.std() > 0
    if options.get("antisymmetric"):
        assert torch.allclose(before, -before[edges.reverse], atol=1e-12)
    keep_top(model, before.std(0), 2)
    after = model.messages(x, edges)[0]
    kept = model.active.bool()
    assert torch.allclose(after[:, kept], before[:, kept], atol=1e-12) and (after[:, ~kept] == 0).all()
    acc, sent, _ = model(x, edges)
    assert sent.shape == (24, 2)
    acc.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    shares = model.acceleration_shares(x, edges)
    assert torch.allclose(torch.zeros(8, 2).double().index_add(0, edges.index[1], shares), acc, atol=1e-10)


@pytest.mark.parametrize("edge_model", ["mlp", "pm", "cust"])
def test_bf16_is_the_same_network(edge_model):
    model, edges, x = network(edge_model).float(), all_pairs(4, 2), state(2).float()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x, edges)[0].float()
    exact = model(x, edges)[0]
    assert rough.dtype == torch.float32 and (rough - exact).abs().max() < 0.05 * exact.abs().max()
    assert not torch.equal(rough, exact)


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(str(write_dataset(tmp_path_factory.mktemp("data"), trajectories=40)))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # on a slow machine a trainer comes to write its checkpoint


def trainer(dataset, recipe, variant, seed, edge_model, like=None, **more):
    small = dict(hidden=12, epochs=3, batch_size=16, rank_graphs=32, edge_model=edge_model)
    options = defaults(recipe, variant, 2) | small | more
    return Trainer(dataset, variant, options, seed, "cpu", "float32", Path("unused"), {}, False, like)


@pytest.mark.parametrize("edge_model", ["pm", "cust"])
@pytest.mark.parametrize(
    ("recipe", "variants"), [("paper", ("l1", "pruning")), ("newton", ("l1", "l1")), ("paper", ("kl", "kl"))]
)
def test_stacked_runs_end_as_they_would_alone(dataset, recipe, variants, edge_model):
    alone = [trainer(dataset, recipe, v, k, edge_model) for k, v in enumerate(variants)]
    for member in alone:
        fit([member])
    together = [trainer(dataset, recipe, variants[0], 0, edge_model)]
    together += [trainer(dataset, recipe, v, k + 1, edge_model, together[0]) for k, v in enumerate(variants[1:])]
    fit(together)
    for a, b in zip(alone, together, strict=True):
        assert a.model.config.edge_model == edge_model and torch.equal(a.model.active, b.model.active)
        for name in ("train_loss", "penalty", "validation_mae"):
            assert b.history[-1][name] == pytest.approx(a.history[-1][name], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("edge_model", ["pm", "cust"])
@pytest.mark.parametrize("variants", [("l1",), ("kl", "kl")])
def test_a_step_never_waits_for_the_host(dataset, edge_model, variants):
    stepper = Stepper([trainer(dataset, "paper", v, k, edge_model) for k, v in enumerate(variants)])
    stepper.step(0)
    with Watch() as watch:
        stepper.step(1)
    assert watch.count > 50 and not watch.found


@pytest.mark.parametrize("edge_model", ["pm", "cust"])
def test_it_learns_springs(tmp_path, edge_model):
    springs = load_dataset(str(write_dataset(tmp_path, "springs", "spring", trajectories=100)))
    member = trainer(springs, "newton", "l1", 0, edge_model, epochs=15, hidden=24)
    fit([member])
    errors = [row["validation_mae"] for row in member.history]
    assert errors[-1] < 0.6 * errors[0]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Datasets and weights of this process below ``tmp_path``, with a dataset to train on."""
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    write_dataset(tmp_path / "datasets", trajectories=40)
    return tmp_path / "model_weights"


def test_from_the_command_line_to_messages(here, capsys):
    more = [*SMALL, "--tag", "fork-cust", "--edge-model", "cust", "--loss", "huber"]
    train.main(more)
    name = f"{RUN}_fork-cust"
    config = load_json(here / name / "config.json")
    assert config["model"]["edge_model"] == config["arguments"]["edge_model"] == "cust"
    assert config["options"]["loss"] == "huber"
    train.main(more)
    assert "already done" in capsys.readouterr().out
    model, _ = load_run(name)
    data = load_dataset("r2_n4_d2_s0")
    part = Extraction(model, data).part(np.array([3 * data.pos.shape[1] + 1]))
    x = torch.as_tensor(
        node_features(data.pos[3, 1], data.vel[3, 1], {"mass": data.mass[3], "charge": data.charge[3]})
    ).float()
    j, i = all_pairs(4).index
    expected = published_edge(model, torch.cat([x[i], x[j]], 1))
    assert torch.allclose(torch.as_tensor(part["message"]), expected, atol=1e-4)


def test_the_mlp_is_what_runs_are_that_ask_for_nothing(here, capsys):
    train.main(SMALL)
    path = here / RUN / "config.json"
    config = load_json(path)
    assert config["model"]["edge_model"] == "mlp" and config["arguments"].pop("edge_model") is None
    save_json(path, config | {"content_sha256": None})
    for choice in ([], ["--edge-model", "mlp"]):
        capsys.readouterr()
        train.main([*SMALL, *choice])
        assert "already done" in capsys.readouterr().out
    with pytest.raises(UserError, match="edge_model was None, now 'pm'.*--tag"):
        train.main([*SMALL, "--edge-model", "pm"])
    assert load_run(RUN)[0].config.edge_model == "mlp"


def test_a_run_with_another_edge_model_is_not_taken_for_the_mlp(here, capsys):
    train.main([*SMALL, "--edge-model", "pm"])
    with pytest.raises(UserError, match="edge_model was 'pm'.*--overwrite"):
        train.main(SMALL)
    with pytest.raises(SystemExit):
        train.main([*SMALL, "--edge-model", "pn"])
    assert "did you mean 'pm'" in capsys.readouterr().err


def test_a_checkpoint_is_known_by_what_was_asked_for_and_so_by_no_option_that_came_later(dataset, tmp_path):
    def at(identity):
        member = trainer(dataset, "paper", "l1", 0, "mlp")
        member.checkpoint, member.identity = tmp_path / "checkpoint.safetensors", identity
        return member

    given = {"variant": "l1", "tag": ""}
    old = at({"arguments": given, "dataset_sha256": "0"})
    stepper = Stepper([old])
    stepper.step(0)
    old.step, old.history = 1, [old.evaluate(0.0, 0.0) | {"step": 1}] if old.every == 1 else []
    old.save(stepper.adam_state(0), stepper.sums[0])
    job = Job("x", given | {"edge_model": None, "options": {}, "seed": 0, "precision": "float32", "quick": False})
    assert None not in job.identity("0")["arguments"].values()
    new = at({"arguments": given, "dataset_sha256": "0"})
    new.restore()
    assert new.step == 1
    for other in ({"edge_model": "pm"}, {"lr": 0.1}, {"tag": "x"}):
        with pytest.raises(UserError, match="other arguments"):
            at({"arguments": given | other, "dataset_sha256": "0"}).restore()


def test_the_call_takes_one_name_or_several_and_refuses_what_it_does_not_know(here):
    small, seen = dict(recipe="paper", hidden=12, batch_size=32, epochs=1), []
    (one,) = distill.train("r2_n4_d2_s0", variant="l1", seed=0, each=seen.append, **small)
    assert seen == [one] and one.path == here / RUN and not one.before
    again, other = distill.train("r2_n4_d2_s0", variant=("l1", "standard", "l1"), lr=None, each=seen.append, **small)
    assert again.before and not other.before and seen == [one, again, other]
    for wrong, words in (
        ({"variant": "l2"}, "variant 'l2'.*'l1'"),
        ({"recipe": "papr"}, "'paper'"),
        ({"hiden": 3}, "'hidden'"),
    ):
        with pytest.raises(UserError, match=words):
            distill.train("r2_n4_d2_s0", **wrong)
