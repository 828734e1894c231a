"""The recipe for open systems: what its networks may see, the gauge of their messages, and terms read from them."""

import json

import numpy as np
import pytest
import torch
from planted import write_dataset
from test_blocks import world

import distill
from distill.messages.gauges import own_shares, senders, settled
from distill.network.data import Inputs
from distill.network.edges import all_pairs
from distill.network.recipes import doubted
from distill.shell import paths
from distill.splines.blocks import with_motion
from distill.splines.observations import observations
from distill.splines.of_messages import fit_terms_of_messages
from distill.survey.assumptions import ASSUMPTIONS
from distill.survey.recipes import advice
from models import GNN, ModelConfig

N = 4
OPEN = dict(geometric_inputs=True, exp_gate=True, linear_node=True, log_mass=True, activation="silu")
OPEN |= dict(relative_messages=True, additive_node=True)


def network(seed=0, **options):
    torch.manual_seed(seed)
    options = OPEN | dict(message_dim=2, hidden=16, clock=(1.0, 2.0)) | options
    return GNN(ModelConfig(dim=2, **options)).double().eval()


def states(seed=0, graphs=3, clock=True):
    x = torch.randn(graphs * N, 6 + clock, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, 5] = x[:, 5].exp()
    return x, all_pairs(N, graphs)


def test_a_network_of_the_recipe_is_a_sum_of_pair_forces_and_one_of_its_own():
    model, (x, edges) = network(), states()
    acc, message, _ = model(x, edges)
    mass = x[:, 5:6]
    alone = model.node_mlp(model.features(x))
    assert torch.allclose(mass * acc, message.view(len(x), N - 1, 2).sum(1) + alone, rtol=1e-12)
    moved = x.clone()
    moved[:, :2] += 3.0
    assert torch.allclose(model(moved, edges)[1], message, rtol=1e-9)  # pairs do the same everywhere
    assert not torch.allclose(model(moved, edges)[0], acc, rtol=1e-3)  # what acts on one alone need not be the same
    for column in (2, 5, 6):  # messages see velocities, properties and the time
        other = x.clone()
        other[:, column] += 0.5
        assert not torch.allclose(model(other, edges)[1], message, rtol=1e-3), column
    reverse = message[edges.reverse]
    assert not torch.allclose(reverse, -message, rtol=1e-2)


def test_shares_do_not_change_with_the_gauge_of_a_network():
    model, (x, edges) = network(exp_gate=False), states()
    before, (acc, message, _) = model.acceleration_shares(x, edges), model(x, edges)
    b = torch.tensor([0.7, -0.2], dtype=torch.float64)
    with torch.no_grad():
        model.edge_mlp[-1].bias += b
        model.node_mlp[-1].bias -= (N - 1) * b
    again, sent, _ = model(x, edges)
    assert torch.allclose(sent, message + b) and torch.allclose(again, acc, rtol=1e-10)
    assert torch.allclose(model.acceleration_shares(x, edges), before, rtol=1e-9, atol=1e-9)


def random_field(rng):
    """A smooth function of place and velocity."""
    k, phase, size = rng.normal(0, 0.8, (4, 4)), rng.uniform(0, 6, 4), rng.normal(0, 1.5, (4, 2))
    return lambda pos, vel: np.cos(np.hstack([pos, vel]) @ k.T + phase) @ size


@pytest.fixture(scope="module")
def planted():
    """Exact messages of springs, friction between particles and a trap, in two gauges: (arrays, pair force, node)."""
    data = world(n=N, count=40, frames=9)
    edges = with_motion(observations(data), data)
    motion, r, m_j = edges["motion"], edges["r"], edges["mass_j"]
    radial = -m_j * np.exp(-r) / (r + 0.3)  # of the sender's mass alone: action is not reaction
    pair = radial[:, None] * motion.unit - 0.5 * np.exp(-r)[:, None] * motion.dv
    own = -0.8 * (motion.pos - np.array([0.4, -0.3]))
    b = random_field(np.random.default_rng(5))(motion.pos, motion.vel)
    _, k = senders(edges)
    message, node = pair + b, own - k[:, None] * b
    share = (message + node / k[:, None]) / edges["mass_i"][:, None]
    return edges | {"acc_share": share, "message": message, "active": np.ones(2)}, radial, pair, own, b


def test_the_gauge_is_settled_exactly_where_the_terms_of_the_pair_are_known(planted):
    edges, _, pair, _, b = planted
    assert np.abs(edges["message"] - pair).mean() > 0.5  # messages are not the pair force
    found = settled(own_shares(edges), pair, *senders(edges))
    assert np.abs(found - pair).max() < 1e-12
    # with other pair terms than the true ones, differences between senders are still those of the messages
    found = settled(own_shares(edges), 0 * pair, *senders(edges))
    number, _ = senders(edges)
    first = np.unique(number, return_index=True)[1][number]
    assert np.abs((found - found[first]) - (pair - pair[first])).max() < 1e-12
    assert np.abs(np.stack([np.bincount(number, c) for c in found.T])).max() < 1e-10


def test_planted_terms_are_read_back_whatever_the_gauge(planted):
    edges, radial, pair, own, _ = planted
    read = fit_terms_of_messages(edges)
    names = {one.block.name for one in read.further}
    assert names == {"relative_velocity, 1", "field, 1, of the place"} and not read.node_values
    r = np.array([0.4, 0.8, 1.5, 2.5])
    friction = next(one for one in read.further if one.block.term == "relative_velocity")
    g = friction.block.basis.values(friction.coefficients, friction.block.basis.log(r)) / friction.block.scale
    assert np.abs(g / (0.5 * np.exp(-r)) - 1).max() < 1e-3
    assert np.abs(read.radial(edges) - radial).mean() < 1e-3 * np.abs(radial).mean()
    assert np.abs(read.whole(edges) - pair).mean() < 1e-3 * np.abs(pair).mean()
    assert read.said(edges) > 0.999 and read.one_sided(edges) > 0.1


def test_only_networks_with_a_clock_see_the_time():
    pos, vel = np.random.default_rng(0).normal(size=(2, 5, N, 2))
    t, own = np.linspace(100, 104, 5), {"mass": np.ones((5, N)), "charge": np.ones((5, N))}
    seen, blind = (Inputs(clock=clock).features(pos, vel, own, ("charge", "mass"), t) for clock in ((102.0, 0.5), ()))
    assert np.array_equal(seen[..., :-1], blind) and blind.shape[-1] == 6
    assert np.allclose(seen[..., -1], 2 * (t - 102)[:, None] + np.zeros(N))


def test_what_no_stage_may_assume_of_its_messages():
    assert doubted("newton", {}) == [] and doubted("newton", {"antisymmetric": False}) == ["antisymmetric"]
    assert doubted("open", {}) == ["antisymmetric", "translation_invariant"]
    assert doubted("open", {"antisymmetric": True}) == ["translation_invariant"]
    assert doubted("somebody's", {"linear_node": False}) == ["linear_node"]


def looked(**why):
    return {name: {"holds": name not in why, "why": [why[name]] if name in why else []} for name in ASSUMPTIONS}


@pytest.mark.parametrize("name", ["central", "reciprocal", "velocity-free", "homogeneous", "stationary"])
def test_a_recipe_is_proposed_where_another_assumes_what_is_not_so(name):
    found = looked(**{name: "this is why (median)"})
    told = advice("newton", found)
    assert told.startswith("recipe newton assumes") and told.endswith(": --recipe open")
    assert told.endswith(", which these data violate (this is why (median)): --recipe open")
    assert advice("open", found) is None and advice("newton", looked()) is None


def test_no_recipe_is_proposed_that_assumes_as_much():
    assert advice("open", looked(superposing="what is left")).endswith("no recipe assumes less")
    assert "--recipe open" in advice("newton", looked(superposing="what is left", reciprocal="so it is"))


@pytest.mark.slow
def test_a_law_of_two_terms_goes_through_a_network_to_the_law_file(tmp_path, monkeypatch):
    for name in ("datasets", "model_weights", "outputs"):
        monkeypatch.setattr(paths, name.upper(), tmp_path / name)
    write_dataset(tmp_path / "datasets", "alignment_n4_d2_s0", "alignment", trajectories=120, frames=40)
    run = "alignment_n4_d2_s0__bottleneck-open__s0"
    distill.train("alignment_n4_d2_s0", variant="bottleneck", recipe="open", hidden=32, epochs=60, lr=1e-2)
    distill.extract_messages(run)
    distill.fit_linear(run)
    scores = json.loads((tmp_path / "outputs" / run / "linear_fit.json").read_text())["read_out"]
    assert scores["gauge"] == "pair_terms" and scores["r2_all"] > 0.99
    assert scores["terms"]["radial"] > 0.999 and scores["terms"]["relative_velocity"] > 0.99
    distill.search_law(run, rivals=("control", "untrained"), quick=True)
    law = json.loads((tmp_path / "outputs" / run / "law.json").read_text())
    assert "relative_velocity" in law["pairs"] and "relative_velocity" in law["from_messages"]["pairs"]
    assert "relative_velocity" in law["rivals"]["control"]["pairs"]
    assert law["acceleration_error"]["law"] < 0.1 * law["acceleration_error"]["gnn"]
