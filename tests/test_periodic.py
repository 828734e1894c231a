"""Graphs with edges of their own: frames in a periodic box, from neighbour lists to the trained network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CUTOFF, SIDE, write_argon

from distill.files.dataset import Dataset, load_dataset
from distill.network.data import dataset_features
from distill.network.edges import EDGES_AT_ONCE, CutoffEdges, FrameEdges, cutoff_of, graphs_of
from distill.network.learning import training
from distill.network.learning.fit import fit
from distill.network.learning.training import Trainer
from distill.network.recipes import RECIPES
from distill.network.variants import kl_divergence, message_importance
from distill.physics.neighbours import radius_graph
from distill.pipeline.train import resolve
from distill.shell.errors import UserError
from models import GNN, ModelConfig

BOX = np.full(3, SIDE)
NEWTON = dict(antisymmetric=True, exp_gate=True, linear_node=True, log_mass=True, activation="silu")


@pytest.fixture(scope="module")
def argon(tmp_path_factory):
    return load_dataset(str(write_argon(tmp_path_factory.mktemp("argon"))))


def network(dtype=torch.float64, **options):
    torch.manual_seed(0)
    config = ModelConfig(
        dim=3,
        message_dim=5,
        hidden=12,
        translation_invariant=True,
        geometric_inputs=True,
        periodic=True,
        r_mean=4.5,
        r_spread=0.7,
        **options,
    )
    return GNN(config).to(dtype)


def graph(dataset, frames=(0, 1)):
    """Features [node, ...] and the edges, in float64, of frames of the training split."""
    x = torch.as_tensor(dataset_features(dataset, graphs_of(dataset, "train"))).double()
    pos = dataset.pos[dataset.trajectories("train")].reshape(-1, dataset.n, 3)
    source = CutoffEdges(pos, dataset.box, cutoff_of(dataset))
    return x[list(frames)].flatten(0, 1), precise(source, frames)


def precise(source: FrameEdges, frames):
    return replace(source(frames), dx=torch.as_tensor(source.arrays(frames)[0].dx))


@pytest.mark.parametrize("options", [{}, NEWTON], ids=["paper", "newton"])
def test_wrapping_and_moving_the_whole_box_changes_no_prediction(argon, options):
    model, pos = network(**options), argon.pos[0, :1]
    shift, images = np.array([3.7, -20.1, 5.5]), np.random.default_rng(0).integers(-2, 3, pos.shape) * SIDE
    x, _ = graph(argon, (0,))
    found = []
    for moved in (pos, pos + images, np.mod(pos + shift, SIDE)):
        edges = precise(CutoffEdges(moved, BOX, CUTOFF), [0])
        x = torch.cat([torch.as_tensor(moved[0]), x[:, 3:]], 1)
        found.append(model(x, edges)[0].detach())
    assert found[0].abs().max() > 1e-3
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


def test_the_frames_of_a_batch_do_not_see_each_other(argon):
    model = network(**NEWTON)
    x, edges = graph(argon, (0, 3))
    together = model(x, edges)[0].split(argon.n)
    for part, frame in zip(together, (0, 3), strict=True):
        torch.testing.assert_close(model(*graph(argon, (frame,)))[0], part)


def test_antisymmetric_messages_cancel_in_pairs_and_shares_add_up_to_the_prediction(argon):
    model = network(**NEWTON)
    x, edges = graph(argon)
    message, _ = model.messages(x, edges)
    torch.testing.assert_close(message, -message[edges.reverse])
    other = network()
    acc = other(x, edges)[0]
    shares = other.acceleration_shares(x, edges)
    torch.testing.assert_close(torch.zeros_like(acc).index_add(0, edges.index[1], shares), acc)


def test_the_geometry_is_the_unit_vector_towards_the_sender_and_the_scaled_distance():
    layer = network().edge_in
    assert layer.position is None
    d = torch.tensor([[0.0, 3.0, 4.0]], dtype=torch.float64)
    wanted = torch.tensor([[0, 0.6, 0.8, (5 - 4.5) / 0.7]], dtype=torch.float64) @ layer.geometry.weight.T
    torch.testing.assert_close(layer.geometric(d), wanted, rtol=1e-3, atol=1e-4)


def test_a_network_refuses_differences_that_it_would_not_use_and_asks_for_those_it_needs(argon):
    x, edges = graph(argon)
    with pytest.raises(ValueError, match="dx"):
        network().messages(x, replace(edges, dx=None))
    torch.manual_seed(0)
    plain = GNN(ModelConfig(dim=3, message_dim=5, hidden=12)).double()
    with pytest.raises(ValueError, match="dx"):
        plain(x, edges)
    with pytest.raises(ValueError, match="translation_invariant"):
        GNN(ModelConfig(dim=3, message_dim=5, hidden=12, periodic=True))


def test_neighbour_lists_are_kept_up_to_the_memory_allowed_and_are_the_same_either_way(argon):
    pos = argon.pos[:2].reshape(-1, argon.n, 3)
    one = radius_graph(pos[0], BOX, CUTOFF)
    size = len(one.r) * (3 * 4 + 4 * 8)
    kept, none = CutoffEdges(pos, BOX, CUTOFF, memory=3 * size), CutoffEdges(pos, BOX, CUTOFF, memory=0)
    for k in range(len(pos)):
        for name in ("sender", "receiver", "reverse", "dx", "r"):
            first = getattr(kept.neighbours(k), name)
            assert np.array_equal(first, getattr(kept.neighbours(k), name))
            assert np.array_equal(first, getattr(none.neighbours(k), name))
    assert 1 <= len(kept._kept) <= 3 and not none._kept


def test_no_pair_within_the_cutoff_or_no_cutoff_is_said(argon):
    with pytest.raises(UserError, match="no pair"):
        CutoffEdges(argon.pos[0], BOX, 0.01).sample()
    arrays = {k: v for k, v in argon.arrays.items() if k != "cutoff"}
    with pytest.raises(UserError, match="no 'cutoff'"):
        cutoff_of(Dataset(argon.name, argon.path, arrays))


def options_of(argon, variant="bottleneck", recipe="newton", **asked):
    return resolve(argon, variant, recipe, asked, quick=True)


def trained(argon, folder, variant, seed=1, **changes):
    options = options_of(argon, variant) | dict(epochs=3, batch_size=4, hidden=8, message_dim=4) | changes
    trainer = Trainer(argon, variant, options, seed, "cpu", "float32", folder / f"{variant}.safetensors", {}, True)
    fit([trainer])
    return trainer


def test_in_a_box_positions_are_differences_and_a_step_has_graphs_by_their_edges(argon):
    pos = argon.pos[argon.trajectories("train")].reshape(-1, argon.n, 3)
    edges = CutoffEdges(pos, BOX, CUTOFF).sample()[2]
    for recipe in ("paper", "newton"):
        options = options_of(argon, "l1", recipe)
        assert options["translation_invariant"] and options["geometric_inputs"] and options["augment"] == 0
        assert options["batch_size"] == round(RECIPES[recipe].edges_a_step / edges) > 1
    assert options_of(argon, "l1", batch_size=3)["batch_size"] == 3
    for asked, flag in ((dict(geometric_inputs=False), "--no-geometric-inputs"), (dict(augment=2.0), "--augment 2")):
        with pytest.raises(UserError, match=f"periodic box.*leave {flag} out"):
            options_of(argon, "l1", **asked)


def test_training_in_a_box_learns_forces_through_the_nearest_image(argon, tmp_path):
    trainer = trained(argon, tmp_path, "bottleneck", epochs=100, hidden=24, message_dim=3, lr=1e-2)
    first, last = trainer.history[0]["validation_loss"], trainer.history[-1]["validation_loss"]
    assert last < 0.5 * first
    r = radius_graph(trainer.data.edges.pos[0], BOX, CUTOFF).r
    assert abs(trainer.model.config.r_mean - r.mean()) < 0.2 and abs(trainer.model.config.r_spread - r.std()) < 0.2


def test_errors_of_some_receivers_need_the_edges_to_them_alone(argon):
    model, n = network(torch.float32), argon.n
    pos = argon.pos[:2].reshape(-1, n, 3)
    frames = CutoffEdges(pos, BOX, CUTOFF)
    x = torch.as_tensor(dataset_features(argon, np.arange(2 * argon.pos.shape[1])))[[0, 3]].flatten(0, 1)
    some = np.array([2, 5, n + 1])
    whole, part = frames([0, 3]), frames([0, 3], torch.as_tensor(some))
    assert part.index.size(1) < 0.2 * whole.index.size(1) and set(part.index[1].tolist()) == set(some.tolist())
    torch.testing.assert_close(model(x, part)[0][some], model(x, whole)[0][some])


def test_the_paper_recipe_takes_some_receivers_a_step_and_starts_without_messages(argon, tmp_path):
    options = options_of(argon, "l1", "paper") | dict(hidden=8, message_dim=4, receivers=5, batch_size=3)
    assert options["silent_start"] and options["l1_weight"] == pytest.approx(0.01 * argon.n)
    trainer = Trainer(argon, "l1", options, 0, "cpu", "float32", tmp_path / "a", {}, True)
    drawn = trainer.receivers()
    assert len(drawn) == 15 and all(len(set(d.tolist())) == 5 for d in drawn.split(5))
    assert torch.equal(drawn // argon.n, torch.arange(3).repeat_interleave(5))
    assert not torch.equal(trainer.receivers(), drawn)
    pred = torch.zeros(3, argon.n, 3)
    found = float(trainer.loss({"pred": pred, "acc": pred + 1}, drawn))
    assert found == pytest.approx(5 * 3)  # summed over five receivers a graph
    x, edges = trainer.x_val[0], trainer.data.edges_val([0])
    message, _ = trainer.model.messages(x, edges)
    assert not message.any() and trainer.model.config.r_power == -3
    options = options_of(argon, "l1", "paper", antisymmetric=True)
    assert options["receivers"] == 0  # their messages need those of the other direction


def test_sampled_messages_are_ranked_frame_by_frame_to_the_same_bits(argon, tmp_path, monkeypatch):
    options = options_of(argon, "kl") | dict(hidden=8, message_dim=4)
    trainer = Trainer(argon, "kl", options, 1, "cpu", "float32", tmp_path / "k", {}, True)
    monkeypatch.setitem(EDGES_AT_ONCE, "cpu", 1)  # a frame at a time, as fluids of more atoms are
    rows = []
    monkeypatch.setattr(training, "kl_divergence", lambda m, v: rows.append(len(m)) or kl_divergence(m, v))
    found = trainer.importance()
    x, edges = trainer.x_val, trainer.data.edges_val
    with torch.no_grad():
        parts = [trainer.model.messages(x[k], edges([k])) for k in range(len(x))]
    assert rows == [len(m) for m, _ in parts] and len(rows) > 1
    assert torch.equal(found, message_importance(*(torch.cat(whole) for whole in zip(*parts, strict=True))))


def test_a_seed_repeats_and_a_resumed_run_ends_with_the_same_bits(argon, tmp_path):
    whole = trained(argon, tmp_path / "a", "kl").model.state_dict()
    options = options_of(argon, "kl") | dict(epochs=3, batch_size=4, hidden=8, message_dim=4)
    make = lambda: Trainer(argon, "kl", options, 1, "cpu", "float32", tmp_path / "c", {}, True)  # noqa: E731
    from distill.network.learning.steps import Stepper

    half = make()
    stepper = Stepper([half])
    for k in range(3):
        stepper.step(k)
        half.step += 1
        half.history += [half.evaluate(0.0, 0.0)] if half.step % half.every == 0 else []
    half.save(stepper.adam_state(0), stepper.sums[0])
    rest = make()
    rest.restore()
    fit([rest])
    for name, value in rest.model.state_dict().items():
        assert torch.equal(value, whole[name]), name


@pytest.mark.parametrize("variant", ["l1", "pruning", "std"])
def test_components_are_ranked_and_left_on_validation_frames(argon, tmp_path, variant):
    trainer = trained(argon, tmp_path, variant)
    assert int(trainer.model.active.sum()) == 3


def test_runs_in_a_box_are_not_stacked(argon, tmp_path):
    options = options_of(argon) | dict(batch_size=4, hidden=8)
    one = Trainer(argon, "bottleneck", options, 0, "cpu", "float32", tmp_path / "a", {}, True)
    two = Trainer(argon, "bottleneck", options, 1, "cpu", "float32", tmp_path / "b", {}, True, one)
    assert two.data.edges is one.data.edges and two.model.config == one.model.config
    with pytest.raises(ValueError, match="stacked"):
        fit([one, two])
