"""Weights polished after training: what is minimised, what is kept, and what an interruption leaves."""

import copy

import numpy as np
import pytest
import torch
from planted import write_argon, write_dataset

from distill.files.dataset import load_dataset
from distill.network.learning import polish
from distill.network.learning.fit import fit
from distill.network.learning.losses import prediction_loss
from distill.network.learning.polish import Polish
from distill.network.learning.training import Trainer
from distill.pipeline.train import resolve
from distill.shell.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, trajectories=40)
    return load_dataset(str(next(folder.glob("*.npz"))))


def trainer(data, checkpoint, variant="hamiltonian", **options):
    own = resolve(data, variant, "newton", {"hidden": 8, "epochs": 3.0, "batch_size": 32} | options, False)
    return Trainer(data, variant, own, 0, "cpu", "float32", checkpoint, {}, False)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    one = trainer(data, tmp_path_factory.mktemp("one") / "checkpoint.safetensors", polish=0)
    fit([one])
    return one


def test_weights_are_better_afterwards(trained):
    one = copy.copy(trained)
    one.model, losses = copy.deepcopy(trained.model), []
    before = one.validation_loss(), one.skill()
    assert Polish(one).run(60, losses.append)
    after = one.validation_loss(), one.skill()
    assert len(losses) <= 60 and losses[-1] < losses[0] and after[0] < 0.8 * before[0]
    assert after[1]["network"] < before[1]["network"] and after[1]["motion"] < before[1]["motion"]
    assert all(p.dtype == torch.float32 for p in one.model.parameters())


def test_a_fluid_in_a_box_is_polished_too(tmp_path):
    """Its edges have single precision, and the polish double."""
    data, options = load_dataset(str(write_argon(tmp_path))), {"epochs": 100.0, "hidden": 24, "lr": 0.01, "polish": 0}
    one = trainer(data, tmp_path / "c.safetensors", **options)
    fit([one])
    before, losses, skill = one.validation_loss(), [], one.skill()
    assert skill["network"] < 0.1 * skill["zero"]  # .05, and .36 by distances in place of their inverse cubes
    assert Polish(one).run(20, losses.append) and one.validation_loss() < before and losses[-1] < losses[0]


def test_the_newton_recipe_starts_without_forces_and_leaves_that(data, tmp_path):
    """A gate that the first steps shut, away from forces far too large, lets no gradient through again."""
    for variant in ("hamiltonian", "dissipative"):
        one = trainer(data, tmp_path / "c.safetensors", variant=variant, polish=0, epochs=6.0)
        x, edges = one.x_val[0], one.data.edges_val([0])
        assert not one.model(x, edges)[0].any() and not one.model.told(x, edges)["message"].any()
        fit([one])
        assert one.model.told(x, edges)["message"].any() and one.skill()["network"] < one.skill()["zero"]


EVERY_PART = dict(pair_momenta=True, self_position=True, translation_invariant=False, dissipative_weight=0.1)


@pytest.mark.parametrize("variant, options", [("hamiltonian", {}), ("dissipative", EVERY_PART)])
def test_the_loss_has_a_slope_that_differences_confirm(data, tmp_path, variant, options):
    """By all weights of all parts at once."""
    one = Polish(trainer(data, tmp_path / "c.safetensors", variant, **options))
    parameters = list(one.model.parameters())
    slopes = torch.autograd.grad(one.loss(), parameters)
    generator = torch.Generator().manual_seed(1)
    step = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters]
    said = float(sum((s * d).sum() for s, d in zip(slopes, step, strict=True)))

    def along(t):
        with torch.no_grad():
            for parameter, d in zip(parameters, step, strict=True):
                parameter += t * d
            value = one.loss()
            for parameter, d in zip(parameters, step, strict=True):
                parameter -= t * d
        return float(value)

    h = 1e-6
    assert said == pytest.approx((along(h) - along(-h)) / (2 * h), rel=1e-5)


def test_a_penalty_is_paid_by_what_is_polished_too(data, tmp_path):
    """Energies of pairs have a number that no error knows: without the penalty it goes anywhere."""
    sizes = {}
    for weight in (10.0, 0.0):
        one = trainer(data, tmp_path / f"{weight}.safetensors", polish=0, hamiltonian_weight=weight)
        fit([one])
        before, polished = Polish(one).cost(), Polish(one)
        assert polished.run(60) and (before > 0) == (polished.paid > 0) == (weight > 0)
        sent = polished.model.messages(polished.x.flatten(0, 1), polished.edges)[0]
        sizes[weight] = float(sent.detach().square().sum()) / len(polished.x)
        assert weight == 0 or polished.cost() == pytest.approx(weight * sizes[weight])
    assert sizes[10.0] < 0.1 * sizes[0.0]


def test_small_errors_count_by_their_squares(trained):
    true = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    scale, off = 5.0, torch.tensor([[1e-5, 0.0]], dtype=torch.float64)
    one = Polish.__new__(Polish)
    noise = one._soft(true, scale)
    size = (scale + 5.0) * (1 + polish.SOFT**2) ** 0.5  # of what errors are divided by

    def loss(error):
        return float(prediction_loss(true + error, true, "relative", 1, scale, noise))

    soft = polish.SOFT * (scale + 5.0)
    assert loss(off) == pytest.approx(1e-10 / (2 * soft) / size, rel=1e-5)
    assert loss(1e6 * off) == pytest.approx((10.0 - soft) / size, rel=1e-5)  # and large ones by themselves


def test_what_foretells_validation_graphs_no_better_is_not_kept(trained, monkeypatch):
    one = copy.copy(trained)
    one.model = copy.deepcopy(trained.model)
    told = iter([1.0, 1.0])
    monkeypatch.setattr(one, "validation_loss", lambda: next(told), raising=False)
    assert not Polish(one).run(5)
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, trained.model.state_dict()[name])


def test_an_interruption_is_taken_up_with_the_same_result(data, tmp_path, monkeypatch):
    whole = trainer(data, tmp_path / "whole.safetensors", polish=12)
    fit([whole])
    part = trainer(data, tmp_path / "part.safetensors", polish=12)
    run = Polish.run

    def stopped(self, evaluations, each):
        def told(loss, count=[]):  # noqa: B006
            count.append(loss)
            if len(count) == 5:
                raise KeyboardInterrupt
            each(loss)

        return run(self, evaluations, told)

    monkeypatch.setattr(Polish, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        fit([part])
    monkeypatch.undo()
    again = trainer(data, tmp_path / "part.safetensors", polish=12)
    again.restore()
    assert again.step == again.total
    fit([again])
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert again.history == whole.history
    errors = [row["validation_mae"] for row in whole.history[-2:]]
    assert np.isfinite(errors).all() and errors[1] < errors[0]


def test_other_networks_have_none(data):
    with pytest.raises(UserError, match="--polish says nothing of networks of the variant 'l1'"):
        resolve(data, "l1", "newton", {"polish": 5}, False)
    assert resolve(data, "hamiltonian", "paper", {}, True)["polish"] == 0
