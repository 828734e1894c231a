"""The network: equivariances, message heads, penalties and losses against hand-computed graphs."""

import itertools
from dataclasses import replace

import pytest
import torch

from distill.network.edges import all_pairs
from distill.network.learning.losses import prediction_loss
from distill.network.recipes import RECIPES
from distill.network.variants import kl_penalty, l1_penalty, message_importance
from distill.network.weights import LATER, model_config
from models import GNN, ModelConfig, keep_top

NEWTON = dict(
    antisymmetric=True,
    translation_invariant=True,
    geometric_inputs=True,
    exp_gate=True,
    linear_node=True,
    log_mass=True,
)
CASES = [dict(), NEWTON, dict(gaussian=True), NEWTON | dict(gaussian=True), dict(antisymmetric=True, exp_gate=True)]


def network(seed=0, dim=2, components=5, **options):
    torch.manual_seed(seed)
    return GNN(ModelConfig(dim=dim, message_dim=components, hidden=16, **options)).double().eval()


def state(graphs, n, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(graphs * n, 2 * dim + 2, generator=generator, dtype=torch.float64)
    x[:, -1] = x[:, -1].exp()
    return x


def test_edges_are_all_ordered_pairs_sorted_by_receiver():
    edges = all_pairs(3, graphs=2)
    j, i = edges.index
    expected = {(s + 3 * g, r + 3 * g) for g in range(2) for s, r in itertools.permutations(range(3), 2)}
    assert set(zip(j.tolist(), i.tolist(), strict=True)) == expected
    assert (i.diff() >= 0).all()
    assert torch.equal(edges.index[:, edges.reverse], edges.index.flip(0))
    chain = all_pairs(4, chain=True)
    assert all(abs(a - b) == 1 for a, b in chain.index.T.tolist()) and chain.index.shape[1] == 6


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("dim", [2, 3])
def test_permuting_the_particles_permutes_the_accelerations(options, dim):
    model, edges, x = network(dim=dim, **options), all_pairs(4), state(1, 4, dim)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(model(x[order], edges)[0], model(x, edges)[0][order], atol=1e-12)


@pytest.mark.parametrize("options", CASES)
def test_graphs_of_a_batch_do_not_see_each_other(options):
    model, x = network(**options), state(3, 4, 2)
    together = model(x, all_pairs(4, 3))[0]
    apart = torch.cat([model(part, all_pairs(4))[0] for part in x.split(4)])
    assert torch.allclose(together, apart, atol=1e-12)


def test_sum_over_equal_degrees_is_the_scatter_of_pyg():
    model, edges, x = network(), all_pairs(4, 3), state(3, 4, 2)
    fast = model(x, edges)[0]
    unequal = replace(edges, degree=0)  # PyG's own aggregation
    assert torch.allclose(fast, model(x, unequal)[0], atol=1e-12)


@pytest.mark.parametrize(("option", "moved"), [(False, True), (True, False)])
def test_translation_changes_the_prediction_only_without_the_invariance(option, moved):
    model, edges, x = network(translation_invariant=option), all_pairs(4), state(1, 4, 2)
    shifted = x.clone()
    shifted[:, :2] += torch.tensor([3.0, -7.0])
    assert (not torch.allclose(model(x, edges)[0], model(shifted, edges)[0], atol=1e-9)) == moved


@pytest.mark.parametrize("antisymmetric", [False, True])
def test_messages_obey_newtons_third_law_only_if_asked_to(antisymmetric):
    model, edges, x = network(antisymmetric=antisymmetric), all_pairs(4, 2), state(2, 4, 2)
    message, _ = model.messages(x, edges)
    assert torch.allclose(message, -message[edges.reverse], atol=1e-12) == antisymmetric


def test_first_layer_in_two_parts_is_a_linear_layer_on_both_ends():
    model, x = network(), state(1, 4, 2)
    receiver, sender = model.edge_in.parts(x)
    i, j = 1, 3
    weights = torch.cat([model.edge_in.receiver, model.edge_in.sender], 1)
    direct = torch.nn.functional.linear(torch.cat([x[i], x[j]]), weights, model.edge_in.bias)
    assert torch.allclose(receiver[i] + sender[j], direct)


def test_linear_node_superposes():
    model, x = network(**NEWTON), state(1, 4, 2)
    a, b = torch.randn(2, 4, 5, dtype=torch.float64)
    f = lambda s: model.node_model(x, s) - model.node_model(x, torch.zeros_like(s))  # noqa: E731
    assert torch.allclose(f(a + 2 * b), f(a) + 2 * f(b), atol=1e-10)


@pytest.mark.parametrize("options", CASES)
def test_masked_components_carry_nothing_and_the_rest_is_unchanged(options):
    model, edges, x = network(**options), all_pairs(4, 2), state(2, 4, 2)
    before, _ = model.messages(x, edges)
    keep_top(model, before.abs().mean(0), 2)
    after, _ = model.messages(x, edges)
    kept = model.active.bool()
    assert kept.sum() == 2
    assert torch.allclose(after[:, kept], before[:, kept], atol=1e-12)
    assert (after[:, ~kept] == 0).all()
    _, sent, _ = model(x, edges)
    assert sent.shape[1] == 2
    keep_top(model, torch.arange(5.0), 3)  # a masked component never returns
    assert torch.equal(model.active.bool(), kept)


def test_a_masked_network_predicts_what_its_masked_messages_say():
    model, edges, x = network(), all_pairs(4), state(1, 4, 2)
    keep_top(model, torch.tensor([3.0, 0, 2, 0, 0]), 2)
    message, _ = model.messages(x, edges)
    total = torch.zeros(4, 5, dtype=x.dtype).index_add(0, edges.index[1], message)
    direct = model.node_mlp(torch.cat([x, total], 1))
    assert torch.allclose(model(x, edges)[0], direct, atol=1e-12)


def test_kl_samples_where_normal_numbers_are_given_and_sends_means_otherwise():
    model, edges, x = network(gaussian=True), all_pairs(4), state(1, 4, 2)
    normal = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sampled, mean = model(x, edges, normal)[0], model(x, edges)[0]
    assert not torch.equal(sampled, mean)
    assert torch.equal(model(x, edges, 0 * normal)[0], mean)
    assert torch.equal(model(x, edges, normal)[0], sampled)


def test_gradient_through_antisymmetric_messages_is_the_true_one():
    model, edges, x = network(**NEWTON), all_pairs(4, 2), state(2, 4, 2)

    def predict(positions):
        return model(torch.cat([positions, x[:, 2:]], 1), edges)[0]

    assert torch.autograd.gradcheck(predict, x[:, :2].clone().requires_grad_(), atol=1e-5)


def test_penalties_on_a_graph_computed_by_hand():
    # one graph of 3 particles would have 6 edges; 2 graphs of 2 particles have 4, with 2 components
    message = torch.tensor([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0], [-1.0, 0.5]])
    assert l1_penalty(message, None, n=2, graphs=2, dim=2).item() == pytest.approx(9.0 / 2 / 2)
    logvar = torch.zeros_like(message)
    squares = 1 + 4 + 0.25 + 9 + 1 + 1 + 0.25
    assert kl_penalty(message, logvar, n=2, graphs=2, dim=2).item() == pytest.approx(0.5 * squares / 4)
    normal = torch.distributions.Normal
    spread = torch.tensor([[0.3, -1.0], [0.0, 2.0], [1.0, 0.1], [-0.4, 0.2]])
    reference = torch.distributions.kl_divergence(
        normal(message, (0.5 * spread).exp()), normal(torch.zeros(4, 2), torch.ones(4, 2))
    )
    assert kl_penalty(message, spread, 2, 2, 2).item() == pytest.approx(reference.sum().item() / 4, rel=1e-5)


def test_penalty_sees_every_graph_of_the_batch():
    message = torch.randn(24, 3)
    last = message.clone()
    last[-1] += 100  # the original looks at the first graph only
    assert l1_penalty(last, None, 4, 2, 2) > l1_penalty(message, None, 4, 2, 2)


def test_losses_by_hand():
    acc = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    pred = torch.tensor([[3.0, 3.0], [2.0, 0.0]])
    assert prediction_loss(pred, acc, "mae", n=2).item() == pytest.approx(3.0)
    assert prediction_loss(pred, acc, "mse", n=2).item() == pytest.approx(5.0)
    assert prediction_loss(pred, acc, "huber", n=2).item() == pytest.approx(0.5 + 1.5)
    assert prediction_loss(pred, acc, "relative", n=2, scale=1.0).item() == pytest.approx(1 / 6 + 2)
    assert prediction_loss(pred.repeat(3, 1), acc.repeat(3, 1), "mae", n=2).item() == pytest.approx(3.0)
    with pytest.raises(ValueError, match="unknown loss"):
        prediction_loss(pred, acc, "mean", n=2)


def test_importance_is_spread_or_divergence():
    message = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1], [-1.0, -0.1]])
    assert message_importance(message).argmax() == 0
    narrow = torch.tensor([[0.0, -9.0]]).expand(4, 2)  # a certain message is informative under kl
    assert message_importance(0 * message, narrow).argmax() == 1


def test_recipes_name_the_same_options():
    assert RECIPES["paper"].options.keys() == RECIPES["newton"].options.keys()


@pytest.mark.parametrize("name", ModelConfig(dim=2, message_dim=3).as_dict())
def test_a_network_is_described_whole_or_not_at_all(name):
    """Without one of its options the same weights would be another network."""
    whole = ModelConfig(dim=2, message_dim=3).as_dict() | {"properties": ["charge", "mass"]}
    assert model_config(whole) == ModelConfig(dim=2, message_dim=3)
    without = {k: v for k, v in whole.items() if k != name}
    if name in LATER:  # networks from before there was a choice
        assert model_config(without) == ModelConfig(dim=2, message_dim=3)
    else:
        with pytest.raises(ValueError, match=f"model.{name}"):
            model_config(without)
    for wrong in (None, {}, True if not isinstance(whole[name], bool) else 1):
        with pytest.raises(ValueError, match=f"model.{name}"):
            model_config(whole | {name: wrong})


@pytest.mark.parametrize("change", [{"hidden": -1}, {"depth": 0}, {"acc_scale": -1.0}, {"activation": "x"}])
def test_networks_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError):
        GNN(ModelConfig(**{"dim": 2, "message_dim": 3} | change))
