"""Training steps: several runs as one stack end as they would alone, and a step never waits for the host."""

from pathlib import Path

import pytest
import torch
from planted import write_dataset
from scripts import ok, refused, run
from torch.utils._python_dispatch import TorchDispatchMode

from distill.files.dataset import load_dataset
from distill.files.storage import load_json
from distill.network.learning.fit import fit
from distill.network.learning.steps import Stepper
from distill.network.learning.training import Trainer
from distill.network.recipes import RECIPES, defaults
from distill.network.variants import VARIANTS, Variant
from distill.shell import paths


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # on a slow machine a trainer comes to write its checkpoint


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(str(write_dataset(tmp_path_factory.mktemp("data"), trajectories=40)))


def trainer(dataset, recipe, variant, seed, like=None, **options):
    options = defaults(recipe, variant, 2) | dict(hidden=12, batch_size=16, epochs=4, rank_graphs=32) | options
    return Trainer(dataset, variant, options, seed, "cpu", "float32", Path("unused"), {}, False, like)


@pytest.mark.parametrize("variants", [("l1", "standard", "pruning"), ("l1", "l1"), ("kl", "kl"), ("bottleneck",) * 2])
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_stacked_runs_end_as_they_would_alone(dataset, recipe, variants):
    alone = [trainer(dataset, recipe, v, k) for k, v in enumerate(variants)]
    for member in alone:
        fit([member])
    together = [trainer(dataset, recipe, variants[0], 0)]
    together += [trainer(dataset, recipe, v, k + 1, together[0]) for k, v in enumerate(variants[1:])]
    start = torch.cat([p.detach().flatten() for p in together[0].model.parameters()])
    fit(together)
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a.model.active, b.model.active)
        assert [r["active"] for r in a.history] == [r["active"] for r in b.history]
        for name in ("train_loss", "penalty", "validation_mae"):
            assert b.history[-1][name] == pytest.approx(a.history[-1][name], rel=1e-3, abs=1e-6)
    end = torch.cat([p.detach().flatten() for p in together[0].model.parameters()])
    assert (end - start).abs().max() > 1e-3  # they have moved at all
    assert alone[0].history[-1]["validation_mae"] != alone[1].history[-1]["validation_mae"]


@pytest.mark.parametrize("recipe", ["newton", "paper"])
def test_so_do_networks_of_energies_and_no_step_waits(dataset, recipe):
    one = dict(epochs=2, hidden=8, polish=0)  # which makes much of the rounding that a stack differs by
    alone = [trainer(dataset, recipe, "dissipative", k, **one) for k in range(2)]
    for member in alone:
        fit([member])
    together = [trainer(dataset, recipe, "dissipative", 0, **one)]
    together.append(trainer(dataset, recipe, "dissipative", 1, together[0], **one))
    stepper = Stepper(together)
    stepper.step(0)
    with Watch() as watch:
        stepper.step(1)
    assert watch.count > 50 and not watch.found
    together[0] = trainer(dataset, recipe, "dissipative", 0, **one)
    together[1] = trainer(dataset, recipe, "dissipative", 1, together[0], **one)
    fit(together)
    for a, b in zip(alone, together, strict=True):
        for name in ("train_loss", "penalty", "validation_mae"):
            assert b.history[-1][name] == pytest.approx(a.history[-1][name], rel=1e-3, abs=1e-6)
        assert a.skill()["motion"] == pytest.approx(b.skill()["motion"], rel=1e-3)


class Watch(TorchDispatchMode):
    """Records the operations by which the host would wait for a device, or shapes depend on data."""

    def __init__(self):
        super().__init__()
        self.found, self.count = [], 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = str(function)
        self.count += 1
        if any(part in name for part in ("_local_scalar_dense", "nonzero", "masked_select", "unique", "lift_fresh")):
            self.found.append(name)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize("variants", [("l1",), ("pruning",), ("kl",), ("kl", "kl"), ("l1", "pruning")])
def test_a_step_never_waits_for_the_host(dataset, recipe, variants):
    members = [trainer(dataset, recipe, v, k) for k, v in enumerate(variants)]
    stepper = Stepper(members)
    stepper.step(0)
    with Watch() as watch:
        stepper.step(1)
    assert watch.count > 50 and not watch.found
    with Watch() as watch:
        stepper.sums.sum().item()
    assert watch.found  # the watch would have seen it


def test_learning_rate_and_order_follow_the_position_on_the_device(dataset):
    member = trainer(dataset, "paper", "standard", 3)
    stepper = Stepper([member])
    for k in range(member.steps_per_epoch + 2):
        stepper.step(k)
        assert float(stepper.lr) == pytest.approx(member.rate(k), rel=1e-6)
        assert int(stepper.at) == k + 1
    assert torch.equal(stepper.order[0], member.order(1)) and not torch.equal(member.order(0), member.order(1))


def test_one_entry_of_the_table_is_all_that_a_variant_takes(tmp_path, monkeypatch, capsys):
    import train

    for name in ("DATASETS", "MODEL_WEIGHTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    write_dataset(tmp_path / "datasets", trajectories=40)
    l2 = Variant("l2", False, False, lambda message, *_: message.square().mean(), "mean e^2", {"newton": 0.5}, "relax")
    monkeypatch.setitem(VARIANTS, "l2", l2)
    with pytest.raises(SystemExit):
        train.main(["--help"])
    assert "--l2-weight" in capsys.readouterr().out
    small = ["--dataset", "r2_n4_d2_s0", "--variant", "l2", "--hidden", "12", "--epochs", "30"]
    train.main([*small, "--l2-weight", "2"])
    place = tmp_path / "model_weights" / "r2_n4_d2_s0__l2-newton__s0"
    config, history = load_json(place / "config.json"), (place / "history.csv").read_text().splitlines()
    penalties = [float(line.split(",")[history[0].split(",").index("penalty")]) for line in history[1:]]
    assert config["options"]["l2_weight"] == 2 and config["active"] == 2
    assert penalties[0] > 0 and penalties[-1] == 0  # paid, then relaxed


def test_several_variants_and_seeds_are_a_run_each(tmp_path):
    write_dataset(tmp_path / "datasets", trajectories=40)
    more = ("--dataset", "r2_n4_d2_s0", "--hidden", 12, "--batch-size", 32, "--epochs", 2)
    several = (*more, "--variant", "l1", "standard", "bottleneck", "--seed", 0, 1)
    out = ok(run(tmp_path, "train.py", *several, "--stack", "on"))
    runs = [f"r2_n4_d2_s0__{v}-newton__s{k}" for v in ("l1", "standard", "bottleneck") for k in (0, 1)]
    folder = tmp_path / "model_weights"
    assert sorted(p.name for p in folder.iterdir()) == sorted(runs)
    assert len(out.strip().splitlines()) == 6
    config = [load_json(folder / name / "config.json") for name in runs]
    assert [c["stacked_runs"] for c in config] == [4, 4, 4, 4, 2, 2]
    assert config[1]["seed"] == 1 and config[1]["arguments"]["variant"] == "l1"
    # each is what a command of its own would have made, and is known as such
    again = ok(run(tmp_path, "train.py", *more, "--variant", "standard", "--seed", 1))
    assert "already done" in again
    refused(run(tmp_path, "train.py", *several, "--lr", 1e-4), "lr", "--overwrite")
