"""Values of bodies trained beside a network's weights: against worlds written down here, and the same in all stages."""

import numpy as np
import pytest
import torch
from test_identities import BODIES, folder, values, world  # noqa: F401
from test_steps import Watch

import distill
from distill.files import records
from distill.files.dataset import load_dataset, save_dataset
from distill.files.kinds import RunConfig, TrainedRecord
from distill.files.of_run import dataset_of_run
from distill.network.bodies import LATENT, Bodies, Unknown, Values, nearest_product
from distill.network.edges import all_pairs
from distill.network.evaluation import network_acceleration
from distill.network.learning.fit import fit
from distill.network.learning.steps import Stepper
from distill.network.learning.training import Trainer
from distill.network.weights import load_run
from distill.pipeline import unknowns
from distill.pipeline.train import resolve
from distill.report import stages
from distill.shell import paths
from distill.shell.errors import UsageError, UserError
from models import GNN, ModelConfig

SMALL = {"hidden": 16, "batch_size": 32, "lr": 0.01}


def trainer(data, asked, seed=0, *, checkpoint, like=None, **options):
    found = unknowns.asked_bodies(data, asked)
    plain = unknowns.without(data, found)
    chosen = resolve(plain, "bottleneck", "newton", SMALL | options, False, found)
    return Trainer(plain, "bottleneck", chosen, seed, "cpu", "float32", checkpoint, {}, False, like, None, found)


def test_gauges_hold_and_what_is_given_is_held():
    number = np.array([[0, 1, 2, 3]])
    own = Unknown.named("mass"), Unknown.named("charge"), Unknown.named("mass", {2: 5.0, 1: 2.0})
    own = (*own, Unknown("latent", LATENT))
    table = Values(Bodies(number, tuple("abcd"), own, np.ones((4, 4), bool)), [0, 1, 2, 3], 3)
    with torch.no_grad():
        table.raw += torch.linspace(-1, 2, 16).view(4, 4)
        mass, charge, given, latent = table.table().numpy().T
    for positive in (mass, given):
        assert np.log(positive).mean() == pytest.approx(0, abs=1e-6) and np.ptp(positive) > 0.1
    assert (charge**2).mean() == pytest.approx(1) and charge.min() < 0 < charge.max()
    assert given[2] / given[1] == pytest.approx(2.5)
    assert latent.mean() == pytest.approx(0, abs=1e-6) and latent.var() == pytest.approx(1)
    values, unit = table.told()["mass"]  # the last of that name
    assert values[2] == 5 and values[1] == 2 and values == pytest.approx(unit * given)
    x = torch.zeros(3, 5)
    out = table(x, torch.tensor([3, 0, 3])).detach()
    assert out[0, 0] == out[2, 0] == pytest.approx(mass[3]) and out[1, 1] == pytest.approx(charge[0])
    assert (out[:, 4] == 0).all() and (x == 0).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_product_nearest_to_factors_of_pairs(sign):
    rng = np.random.default_rng(3)
    true = rng.normal(size=7)
    met = np.triu(rng.uniform(size=(7, 7)) < 0.8, 1)
    met = met | met.T
    factors = np.where(met, sign * np.outer(true, true), rng.normal(size=(7, 7)))
    found, own = nearest_product(factors, met)
    assert found == sign
    np.testing.assert_allclose(own * np.sign(own[0] * true[0]), true, rtol=1e-3)


def test_strengths_are_a_factor_of_both_ends_and_nothing_else():
    torch.manual_seed(0)
    options = dict.fromkeys(("antisymmetric", "translation_invariant", "geometric_inputs", "exp_gate"), True)
    options |= dict(linear_node=True, additive_node=True, log_mass=True, strengths=("charge",), hidden=8)
    model = GNN(ModelConfig(dim=2, message_dim=3, **options)).double()
    for parameter in model.edge_mlp[-1].parameters():
        torch.nn.init.normal_(parameter)
    x, edges = torch.randn(4, 6, dtype=torch.float64), all_pairs(4)
    x[:, 5] = x[:, 5].exp()

    def message(p):
        return model.messages(torch.cat([x[:, :4], p[:, None], x[:, 5:]], 1), edges)[0]

    sender, receiver = edges.index
    zero, one, p = message(torch.zeros(4).double()), message(torch.ones(4).double()), torch.randn(4).double()
    expected = zero + (p[sender] * p[receiver])[:, None] * (one - zero)
    assert torch.allclose(message(p), expected) and (one - zero).abs().max() > 1e-3
    heavier = torch.cat([x[:, :4], torch.ones(4, 1).double(), 2 * x[:, 5:]], 1)
    without = torch.cat([x[:, :4], torch.zeros(4, 1).double(), 2 * x[:, 5:]], 1)
    by = model.messages(heavier, edges)[0] - model.messages(without, edges)[0]
    assert torch.allclose(by, one - zero)  # whatever the masses


def test_masses_are_learnt_and_every_later_stage_takes_them_as_known(folder, monkeypatch):  # noqa: F811
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", folder.parent / "model_weights")
    rng = np.random.default_rng(930)
    true = values(rng)
    world(folder / "w.npz", true, np.ones(BODIES), known={"mass": true})
    run = "w__bottleneck-newton__s0"
    done = distill.train("w", variant="bottleneck", unknown=["mass"], reference={"2": 2.0}, epochs=20, **SMALL)[0]
    config = records.load(RunConfig, paths.MODEL_WEIGHTS / run / "config.json")
    own = np.array(config.learnt.values["mass"])
    assert own[2] == 2.0 and config.learnt.given == {"mass": ["2"]}
    np.testing.assert_allclose(own * true[2] / 2.0, true, rtol=0.2)
    assert any("correlation" in line for line in done.lines)
    model, _ = load_run(run)
    data = dataset_of_run(run, config)
    assert "bodies.raw" not in model.state_dict() and (data.mass == own[data.id]).all()
    pos, vel, mass = (a[data.trajectories("validation")][:, 0] for a in (data.pos, data.vel, data.mass[:, None]))
    acc = network_acceleration(model, data)(pos, vel, {"mass": mass, "charge": 0 * mass})
    truth = data.acc[data.trajectories("validation")][:, 0]
    error = np.linalg.norm(acc - truth) / np.linalg.norm(truth)
    assert error < 0.3 and config.skill.network < 0.2  # what was validated in training is what is stored
    told = paths.OUTPUTS / run / "properties.json"
    told.parent.mkdir(parents=True)
    told.write_text('{"of": "somebody else"}')
    with pytest.raises(UserError, match="properties.json was written by no stage"):
        distill.extract_messages(run, split="test")
    assert "somebody else" in told.read_text()
    told.unlink()
    distill.extract_messages(run, split="test")
    found = records.load(TrainedRecord, paths.OUTPUTS / run / "properties.json")
    assert found.correlation["mass"] > 0.99 and found.learnt == config.learnt
    with np.load(paths.OUTPUTS / run / "messages_test.npz") as messages:
        assert set(messages["mass_i"]) <= set(own)
    with pytest.raises(UserError, match="unknown was .*'mass'.*, now None"):
        distill.train("w", variant="bottleneck", epochs=20, **SMALL)
    assert "2 (given)" in stages.learnt(config.learnt)
    arrays = dict(load_dataset("w").arrays)
    config.learnt.bodies[4] = "somebody"
    with pytest.raises(UserError, match="body '4' that run .* has never seen"):
        dataset_of_run(run, config)
    assert (arrays["mass"] == true[arrays["id"]]).all()


def test_signs_of_charges_are_found_from_a_start_that_has_others(folder):  # noqa: F811
    rng = np.random.default_rng(931)
    true = np.where(np.arange(BODIES) % 2, 1.0, -1.0) * rng.uniform(0.5, 1.5, BODIES)
    data = world(folder / "w.npz", true, true, force=lambda r: 1 / (r + 0.3))
    one = trainer(data, {"unknown": ["charge"]}, checkpoint=folder / "checkpoint.safetensors", epochs=16)
    start = one.values()["charge"]
    assert (np.sign(start * start[0]) != np.sign(true * true[0])).any()
    fit([one])
    own = one.values()["charge"]
    assert own[0] > 0 and np.corrcoef(own, true * np.sign(true[0]))[0, 1] > 0.95
    assert (np.sign(own) == np.sign(true * true[0])).all()


def test_resumed_and_stacked_runs_end_as_they_would_alone(folder):  # noqa: F811
    rng = np.random.default_rng(932)
    data = world(folder / "w.npz", values(rng), np.ones(BODIES))
    asked, options = {"unknown": ["mass", "strength"], "latent": 1}, {"epochs": 3}

    def stop(shown):
        if cut.step == 10:
            raise KeyboardInterrupt
        return {}

    options |= {"checkpoint": folder / "checkpoint.safetensors"}
    whole = trainer(data, asked, **options)
    fit([whole])
    cut = trainer(data, asked, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distill.network.learning.fit.CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            fit([cut], watch=stop)
    again = trainer(data, asked, **options)
    again.restore()
    assert 0 < again.step < again.total
    fit([again])
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    (folder / "other").mkdir()
    together = [trainer(data, asked, **options)]
    options["checkpoint"] = folder / "other" / "checkpoint.safetensors"
    together.append(trainer(data, asked, 1, like=together[0], **options))
    fit(together)
    for name, own in whole.values().items():
        np.testing.assert_allclose(together[0].values()[name], own, rtol=1e-3)
        assert np.abs(together[1].values()[name] - own).max() > 1e-3
    stepper = Stepper([whole])
    assert [group["weight_decay"] for group in stepper.optimizer.param_groups] == [1e-8, 0.0]
    stepper.step(0)
    with Watch() as watch:
        stepper.step(1)
    assert watch.count > 50 and not watch.found  # nor does the host wait


def test_what_does_not_go_together_is_refused_in_one_line(folder):  # noqa: F811
    data = world(folder / "w.npz", np.ones(BODIES), np.ones(BODIES))
    for wrong, words in (
        ({"reference": ["1=2"]}, "--reference is for the one property"),
        ({"unknown": "pos"}, "no property can be called that"),
        ({"unknown": ["mass"], "recipe": "paper"}, "needs --linear-node"),
        ({"unknown": ["mass"], "recipe": "open"}, "needs --antisymmetric"),
        ({"unknown": ["mass"], "wide_masses": True}, "--wide-masses does not go with --unknown"),
    ):
        with pytest.raises(UsageError, match=words):
            distill.train("w", **wrong)
    with pytest.raises(UserError, match="--reference who=1: expected body=number"):
        distill.train("w", unknown=["mass"], reference=["who=1"])
    arrays = dict(data.arrays)
    arrays["split"] = np.where((data.id == 5).any(1), 2, data.split).astype(np.int8)
    save_dataset(folder / "few.npz", arrays, {})
    with pytest.raises(UserError, match="body '5' is in no trajectory of the training split"):
        distill.train("few", unknown=["mass"])
    del arrays["id"]
    save_dataset(folder / "nobody.npz", arrays, {})
    with pytest.raises(UserError, match="nothing says which particles .* are the same bodies"):
        distill.train("nobody", unknown=["mass"])
