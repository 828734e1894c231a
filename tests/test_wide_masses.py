"""Masses over many decades: what changes in networks, in training and in read-outs, and that nothing else does."""

import sys

import numpy as np
import pytest
import torch
from planted import messages, states, write_dataset
from scripts import ROOT
from test_models import NEWTON, network, state

import distill
from distill.files import records
from distill.files.dataset import Dataset
from distill.files.kinds import MessagesRecord, RunConfig
from distill.messages import read_out
from distill.messages.net_forces import nodes_of, third_law_residual, typical_sizes
from distill.network.data import typical_sizes as sizes_of_bodies
from distill.network.edges import all_pairs, graphs_of
from distill.network.learning.losses import prediction_loss
from distill.pipeline.train import resolve
from distill.shell import paths
from distill.shell.errors import UserError
from distill.splines.dependence import FREE, GIVEN
from distill.splines.fit import kinds_where
from distill.statistics.metrics import spans_decades
from models import POWER_RATE

WIDE = NEWTON | {"wide_masses": True}


def wide_network(**options):
    model = network(**(WIDE | options))
    with torch.no_grad():
        model.node_powers.fill_(-1.0 / POWER_RATE)
        model.edge_powers.copy_(torch.tensor([1.0, 1.0, -2.0, 0.5]) / POWER_RATE)
    return model


def dataset_with(mass, tmp_path):
    arrays = states(trajectories=len(mass), n=mass.shape[1]) | {"mass": mass}
    arrays["charge"] = np.zeros_like(mass)
    return Dataset("wide", tmp_path / "wide.npz", arrays)


def log_uniform(decades, trajectories=400):
    return 10 ** np.random.default_rng(1).uniform(-decades / 2, decades / 2, (trajectories, 4))


# ---------------------------------------------------------------- when it is on


def test_masses_of_the_paper_change_nothing_and_four_decades_do(tmp_path):
    ordinary = dataset_with(np.exp(np.random.default_rng(0).standard_normal((400, 4))), tmp_path)
    wide = dataset_with(log_uniform(4), tmp_path)
    assert "wide_masses" not in resolve(ordinary, "l1", "newton", {}, False)
    assert resolve(wide, "l1", "newton", {}, False)["wide_masses"] is True
    assert "wide_masses" not in resolve(wide, "l1", "paper", {}, False)
    for asked in ({"wide_masses": False}, {"exp_gate": False}, {"geometric_inputs": False}):
        assert "wide_masses" not in resolve(wide, "l1", "newton", asked, False)
    with pytest.raises(UserError, match="exp-gate"):
        resolve(wide, "l1", "newton", {"wide_masses": True, "exp_gate": False}, False)


def test_the_unit_of_mass_does_not_decide():
    mass = log_uniform(4).ravel()
    assert all(spans_decades(mass * unit) for unit in (1e-20, 1.0, 1e20))
    assert not any(spans_decades(mass**0.25 * unit) for unit in (1e-20, 1.0, 1e20))


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("options", [{}, {"gaussian": True}])
def test_gates_scale_by_powers_of_mass_and_distance(options):
    """Where the MLPs see no masses and distances, sums scale exactly as the powers say: a ~ m_j / r^2."""
    model, edges, x = wide_network(antisymmetric=False, **options), all_pairs(4), state(1, 4, 2)
    assert model.edge_in.position is None  # lengths enter by their logarithms
    with torch.no_grad():
        for layer in (model.edge_in.receiver, model.edge_in.sender, model.node_mlp[0].weight):
            layer.zero_()
        model.edge_in.geometry.weight[:, -1] = 0.0
    before = model.messages(x, edges)[0]
    heavier, apart = x.clone(), x.clone()
    heavier[:, -1] *= 1e4
    apart[:, :2] *= 10
    assert torch.allclose(model.messages(heavier, edges)[0], 1e8 * before)
    assert torch.allclose(model.messages(apart, edges)[0], 1e-2 * before)
    weights, alone = model.linear_node(x, None)
    scaled, _ = model.linear_node(heavier, None)
    assert torch.allclose(scaled, 1e-4 * weights) and alone.shape == (4, 2)


def test_a_network_of_wide_masses_does_not_see_the_unit_of_mass():
    x, edges = state(2, 4, 2), all_pairs(4, 2)
    model, other = wide_network(log_mass_mean=0.3), wide_network(log_mass_mean=0.3 + np.log(1e20))
    other.load_state_dict(model.state_dict())
    heavy = x.clone()
    heavy[:, -1] *= 1e20
    assert torch.allclose(model(x, edges)[0], other(heavy, edges)[0], rtol=1e-9)
    assert not torch.allclose(model(x, edges)[0], model(heavy, edges)[0], rtol=1e-2)


@pytest.mark.parametrize("options", [{}, {"linear_node": False}, {"antisymmetric": False}])
def test_shares_add_up_with_a_gate_at_the_node(options):
    model, edges, x = wide_network(**options), all_pairs(4, 3), state(3, 4, 2)
    share = model.acceleration_shares(x, edges)
    total = torch.zeros(len(x), 2, dtype=share.dtype).index_add(0, edges.index[1], share)
    assert torch.allclose(total, model(x, edges)[0], rtol=1e-8, atol=1e-10)


def test_without_velocities_nothing_depends_on_them():
    blind, seeing, edges, x = network(**NEWTON, velocities=False), network(**NEWTON), all_pairs(4), state(1, 4, 2)
    moved = x.clone()
    moved[:, 2:4] += 1.0
    assert torch.equal(blind(x, edges)[0], blind(moved, edges)[0])
    assert not torch.allclose(seeing(x, edges)[0], seeing(moved, edges)[0])


def test_every_body_is_weighed_on_its_own_scale(tmp_path):
    dataset = dataset_with(log_uniform(4, 40), tmp_path)
    size = np.linalg.norm(dataset.acc, axis=-1)
    typical = sizes_of_bodies(dataset, "train", graphs_of(dataset, "train"))
    rows = dataset.trajectories("train")
    assert typical.shape == (len(rows) * 5, 4)
    assert np.allclose(typical.reshape(len(rows), 5, 4), np.median(size[rows], axis=1)[:, None], rtol=1e-5)


def test_the_loss_of_sizes_by_hand():
    pred, true = torch.tensor([[3.0, 4.0], [0.0, 1e-3]]), torch.tensor([[0.0, 5.0], [0.0, 0.0]])
    scale = torch.tensor([1.0, 2.0])
    relative = 10**0.5 / 6 + 1e-3 / 2
    log_sizes = 0.0 + np.log(3e-3) - np.log(2e-3)
    assert prediction_loss(pred, true, "sized", 2, scale).item() == pytest.approx(relative + log_sizes, rel=1e-5)
    small = torch.tensor([[1e-2, 0.0]], requires_grad=True)  # has to grow by two decades, and knows it
    prediction_loss(small, torch.tensor([[1.0, 0.0]]), "sized", 1, torch.ones(1)).backward()
    assert -(small.grad * small).sum().item() > 0.9


# ---------------------------------------------------------------- the read-out


def hidden_by_the_node(system="r2", loss=0.0):
    """Messages of a network with a linear node that no fixed mixture reads: with h a function of the mass,

        e_ij = (F (1 + h_i h_j), F (h_i + h_j)),   M = (1, -h_i) / (m_i (1 - h_i^2)),   M_i e_ij = F_ij / m_i

    Antisymmetric, and every prediction right.
    """
    m = messages(system)
    nodes = nodes_of(m)
    h = {end: 0.9 * np.tanh(2 * np.log(m[f"mass_{end}"])) for end in "ij"}
    force = m["force"]
    sent = force * (1 + h["i"] * h["j"])[:, None], force * (h["i"] + h["j"])[:, None]
    field = m["acc_i"] - (nodes.sum(force) / m["mass_i"][nodes.first][:, None])[nodes.of_edge]
    senders = np.bincount(nodes.of_edge)[nodes.of_edge][:, None]
    scale = 1 / (m["mass_i"] * (1 - h["i"] ** 2))
    share = (sent[0] - h["i"][:, None] * sent[1]) * scale[:, None] + field / senders
    assert np.allclose(nodes.sum(share), m["acc_i"][nodes.first])
    m |= {"message": np.hstack(sent), "acc_share": share, "acc_alone_i": field, "acc_pred_i": m["acc_i"]}
    return m, nodes


@pytest.mark.parametrize("system", ["r2", "damped"])
def test_a_mixture_that_loses_what_the_network_knows_gives_way_to_the_jacobian(system):
    m, nodes = hidden_by_the_node(system)
    linear = read_out.read_out({k: v for k, v in m.items() if k not in ("acc_share", "acc_alone_i")}, nodes, True)
    assert linear.lost > 0.05 and linear.loses
    assert read_out.score_forces(linear.force(m, nodes), m["force"])["median_relative_error"] > 0.05
    read = read_out.read_out(m, nodes, True, network=0.01)
    assert read.gauge == "jacobian" and read.loses and read.lost == linear.lost
    assert np.allclose(read.force(m, nodes), m["force"], rtol=1e-6, atol=1e-9)
    assert read.node_terms == (("drag",) if system == "damped" else ())
    assert read.account()["linear_loses"] == linear.lost and read.account()["network_error"] == 0.01
    poor = read_out.read_out(m, nodes, True, network=0.9)  # a network that is wrong by more than the mixture loses
    assert poor.gauge != "jacobian" and not poor.loses


def test_where_the_mixture_reads_all_shares_change_nothing():
    m = messages()
    nodes = nodes_of(m)
    shares = {"acc_share": m["force"] / m["mass_i"][:, None], "acc_alone_i": 0 * m["acc_i"]}
    m["acc_pred_i"] = m["acc_i"]
    one, other = (read_out.read_out(of, nodes, True) for of in (m, m | shares))
    assert one.gauge == other.gauge == "force" and np.array_equal(one.weights, other.weights)


def test_a_flag_that_doubts_the_third_law_is_honoured():
    """A force that breaks it is bent by a read-out that imposes it; by one that does not, it is as it is."""
    m = messages()
    nodes = nodes_of(m)
    broken = m["force"] / m["mass_i"][:, None]  # acts on i as if i had the mass 1
    acc = (nodes.sum(broken) / m["mass_i"][nodes.first][:, None])[nodes.of_edge]
    m |= {"message": np.hstack([broken, broken**2]), "acc_i": acc, "acc_pred_i": acc}
    free = read_out.read_out(m, nodes, False, doubted=["antisymmetric"])
    imposed = read_out.read_out(m, nodes, False)
    assert not free.antisymmetrise and imposed.antisymmetrise
    assert np.allclose(free.force(m, nodes), broken, rtol=1e-4, atol=1e-4 * np.abs(broken).max())
    assert free.third_law[free.gauge] == pytest.approx(third_law_residual(broken, nodes), rel=1e-3)
    assert free.third_law[free.gauge] > 0.1
    assert np.abs(imposed.force(m, nodes) - broken).max() > 0.1 * np.abs(broken).max()
    shares = {"acc_share": broken / m["mass_i"][:, None]}
    by_shares = read_out.read_out(m | shares, nodes, False, doubted=["antisymmetric"])
    assert not by_shares.antisymmetrise
    assert np.allclose(by_shares.force(m, nodes), broken, rtol=1e-4, atol=1e-4 * np.abs(broken).max())


def test_splines_do_not_build_in_a_law_that_is_doubted():
    m = messages()
    assert kinds_where(["antisymmetric"], m) == (FREE,)
    assert kinds_where([], m) == kinds_where(["linear_node"], m) == (GIVEN, FREE)
    same = {k: np.ones_like(v) if k.startswith(("mass_", "charge_")) else v for k, v in m.items()}
    assert GIVEN in kinds_where(["antisymmetric"], same)  # there is nothing that functions could be of


def test_typical_sizes_are_by_body_where_masses_are_wide():
    m = messages()
    nodes = nodes_of(m)
    acc = m["acc_i"][nodes.first]
    assert np.ndim(typical_sizes(m, nodes, acc)) == 0
    m["mass_i"] = 10.0 ** (4 * np.sin(1.0 + 7 * m["trajectory"] + 3 * m["receiver"]))
    found, size = typical_sizes(m, nodes, acc), np.linalg.norm(acc, axis=1)
    at = nodes.first
    for k in (0, 17, 101):
        same = (m["trajectory"][at] == m["trajectory"][at[k]]) & (m["receiver"][at] == m["receiver"][at[k]])
        assert found[k] == np.sort(size[same])[(same.sum() - 1) // 2]


# ---------------------------------------------------------------- the ephemeris


def test_accelerations_are_second_derivatives_of_the_series():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from masses_data import accelerations

    first, last, pieces, omega = 10.0, 26.0, 8, 1.3
    edges, out = np.linspace(first, last, pieces + 1), []
    for a, b in zip(edges, edges[1:], strict=False):
        nodes = np.cos(np.pi * (np.arange(20) + 0.5) / 20)
        t = a + (nodes + 1) * (b - a) / 2
        curve = np.stack([np.sin(omega * t), np.cos(omega * t), t**3], 1)
        out.append(np.polynomial.chebyshev.chebfit(nodes, curve, 15).T)
    t = np.linspace(first + 0.01, last - 0.01, 57)
    found = accelerations(np.stack(out), first, last, t)
    true = np.stack([-(omega**2) * np.sin(omega * t), -(omega**2) * np.cos(omega * t), 6 * t], 1)
    assert np.allclose(found, true, rtol=1e-6, atol=1e-7)


# ---------------------------------------------------------------- from flag to record


def test_messages_say_what_was_doubted_and_how_good_the_network_is(tmp_path, monkeypatch):
    for name in ("datasets", "model_weights", "outputs"):
        monkeypatch.setattr(paths, name.upper(), tmp_path / name)
    write_dataset(tmp_path / "datasets", trajectories=20)
    for recipe, asked, doubted in (
        ("newton", {}, []),
        ("newton", {"antisymmetric": False}, ["antisymmetric"]),
        ("paper", {}, []),  # made without a prior, which is no doubt
    ):
        options = {"recipe": recipe, "tag": "x".join([recipe, *asked]), "quick": True, "threads": 1}
        run = distill.train("r2_n4_d2_s0", **options, **asked)[0].path.name
        distill.extract_messages(run, split="train", quick=True)
        about = records.load(MessagesRecord, tmp_path / "outputs" / run / "messages_train.json")
        config = records.load(RunConfig, tmp_path / "model_weights" / run / "config.json")
        assert about.doubted == doubted
        assert about.network_error == config.skill.network > 0
