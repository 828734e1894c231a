"""Shares of the acceleration by the node model's Jacobian: sums, invariance, and the true force where planted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from extracted import edges_of
from planted import write_dataset
from test_models import CASES, NEWTON, network, state

from distill.files.arrays import check_fields
from distill.files.dataset import load_dataset
from distill.files.fields import MESSAGE_FIELDS
from distill.messages.net_forces import nodes_of
from distill.messages.read_out import JACOBIAN
from distill.network.data import node_features
from distill.network.edges import all_pairs
from distill.pipeline.forces import Forces
from models import keep_top

FREE = NEWTON | dict(antisymmetric=False)


def sums(share, edges, nodes):
    return torch.zeros(nodes, share.shape[1], dtype=share.dtype).index_add(0, edges.index[1], share)


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize(("dim", "chain"), [(2, False), (3, False), (2, True)])
def test_shares_of_a_receiver_add_up_to_its_prediction(options, dim, chain):
    model, edges, x = network(dim=dim, **options), all_pairs(4, 3, chain), state(3, 4, dim)
    share = model.acceleration_shares(x, edges)
    assert share.shape == (edges.index.shape[1], dim) and not share.requires_grad
    assert torch.allclose(sums(share, edges, len(x)), model(x, edges)[0], atol=1e-10)


@pytest.mark.parametrize("options", CASES)
def test_jacobian_is_the_derivative_of_the_node_model(options):
    model, edges, x = network(activation="silu", **options), all_pairs(3, 2), state(2, 3, 2)
    message, _ = model.messages(x, edges)
    total = sums(message, edges, len(x))
    k, step = 7, 1e-6  # edge k: move its receiver's sum along e_k - mean e
    i = edges.index[1, k]
    way = message[k] - total[i] / 2
    moved = total.clone()
    moved[i] += step * way
    derivative = (model.node_model(x, moved)[i] - model.node_model(x, total)[i]) / step
    expected = derivative + model.node_model(x, total)[i] / 2
    assert torch.allclose(model.acceleration_shares(x, edges)[k], expected, atol=1e-4)


def test_shares_of_a_linear_node_do_not_depend_on_the_gauge():
    model, edges, x = network(**FREE), all_pairs(4, 2), state(2, 4, 2)
    before = model.acceleration_shares(x, edges)
    generator = torch.Generator().manual_seed(3)
    turn, shift = torch.randn(5, 5, generator=generator).double(), torch.randn(8, 5, generator=generator).double()
    matrix = turn[None] * (1 + x[:, -1, None, None])  # A(x_i), b(x_i)
    plain, receiver, sent = model.linear_node, edges.index[1], model.messages(x, edges)[0]

    def node(x, kept):  # undoes A and b, as a node model that sees x_i can
        weights, alone = plain(x, kept)
        weights = weights @ torch.linalg.inv(matrix)
        return weights, alone - (weights @ (3 * shift)[:, :, None]).squeeze(2)

    model.linear_node = node
    other = (matrix[receiver] @ sent[:, :, None]).squeeze(2) + shift[receiver]
    assert not torch.allclose(model.acceleration_shares(x, edges, sent), before, atol=1e-2)
    assert torch.allclose(model.acceleration_shares(x, edges, other), before, atol=1e-9)


def test_masked_components_have_no_share():
    model, edges, x = network(gaussian=True), all_pairs(4), state(1, 4, 2)
    keep_top(model, torch.tensor([3.0, 0, 2, 0, 0]), 2)
    share = model.acceleration_shares(x, edges)
    assert torch.allclose(sums(share, edges, 4), model(x, edges)[0], atol=1e-12)
    with torch.no_grad():  # the rows of the mean and the log variance of component 1, which is masked
        model.edge_mlp[-1].bias[2:4] += 5.0
    assert torch.equal(model.acceleration_shares(x, edges), share)


def test_parameters_keep_no_gradient():
    model, edges, x = network(), all_pairs(4), state(1, 4, 2)
    with torch.no_grad():
        model.acceleration_shares(x, edges)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("options", [NEWTON, FREE, NEWTON | dict(linear_node=False), dict(gaussian=True)])
def test_shares_are_extracted_of_every_network(options, tmp_path):
    dataset = load_dataset(write_dataset(tmp_path, trajectories=6))
    model = network(**options).float()
    frames = np.arange(6), np.zeros(6, dtype=int)
    arrays = edges_of(model, dataset, *frames, batch=4)
    check_fields(arrays, MESSAGE_FIELDS, "extracted")
    nodes = nodes_of(arrays)
    assert arrays["acc_share"].dtype == arrays["acc_pred_i"].dtype
    assert np.allclose(nodes.sum(arrays["acc_share"]), arrays["acc_pred_i"][nodes.first], rtol=1e-4, atol=1e-4)
    assert ("acc_alone_i" in arrays) == options.get("linear_node", False)
    if "acc_alone_i" in arrays:  # what is left of the prediction where no message comes
        x = node_features(dataset.pos[:6, 0], dataset.vel[:6, 0], {k: v[:6] for k, v in dataset.properties.items()})
        x = torch.as_tensor(x).float().flatten(0, 1)
        silent = model.node_model(x, torch.zeros(len(x), model.config.message_dim))
        assert np.allclose(arrays["acc_alone_i"][nodes.first], silent.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_what_a_linear_read_out_misses_is_told_in_shares_with_what_is_done_instead(capsys):
    read = SimpleNamespace(loses=True, gauge=JACOBIAN, network=0.0015, lost=0.0028, third_law={})
    own = SimpleNamespace(read=read, meta=SimpleNamespace(doubted=()))
    Forces.tell(own)
    said = capsys.readouterr().err
    assert "misses 0.28 % of the network's net forces, which are off by 0.15 % themselves; forces are read with" in said
    assert "response" not in said
    Forces.tell(own, response=True)
    assert said.strip() + "; a response to the net force is looked for beside it" in capsys.readouterr().err
