"""The network before its first step: as the seed starts it, on the edges of a messages file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from extracted import edges_of
from filled import filled
from planted import write_dataset

from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.kinds import MessagesRecord, RunConfig
from distill.hamiltonian.network import HamiltonianConfig, HamiltonianNetwork
from distill.messages import read_out
from distill.messages.net_forces import nodes_of
from distill.messages.untrained import initial_network, untrained_messages
from distill.pipeline.rivals import Material, untrained
from models import GNN, ModelConfig

FRAMES = np.array([3, 0, 5, 1]), np.array([0, 2, 1, 4])


def made(tmp_path, **options):
    model = ModelConfig(dim=2, message_dim=20, hidden=32, linear_node=True, antisymmetric=True, geometric_inputs=True)
    about = {"model": json.loads(json.dumps(model.as_dict())), "seed": 7, "options": options}
    config = records.build(RunConfig, filled(RunConfig, **about))
    dataset = load_dataset(write_dataset(tmp_path, trajectories=20))
    torch.manual_seed(7)
    return config, dataset, GNN(model)


def material(config, dataset, messages):
    meta = records.build(MessagesRecord, filled(MessagesRecord, antisymmetric=True))
    return Material(config, dataset, messages, meta, nodes_of(messages), None, 0)


def test_weights_are_those_that_the_seed_starts_from(tmp_path):
    config, _, model = made(tmp_path)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    found = initial_network(config).state_dict()
    assert torch.equal(torch.rand(1), expected)  # and nobody's random numbers are used up
    assert all(torch.equal(found[k], v) for k, v in model.state_dict().items())


def test_messages_stand_on_the_edges_of_the_file_whatever_their_order(tmp_path):
    config, dataset, model = made(tmp_path)
    own = edges_of(model, dataset, *FRAMES, batch=4)
    mixed = np.random.default_rng(0).permutation(len(own["r"]))
    asked = {k: v[mixed] for k, v in own.items() if k != "active"}
    found = untrained_messages(config, dataset, asked)
    for key in ("receiver", "sender", "trajectory", "frame", "dx"):
        np.testing.assert_array_equal(found[key], asked[key])
    np.testing.assert_allclose(found["message"], asked["message"], rtol=1e-4, atol=1e-5)


def test_its_force_is_read_from_what_it_predicts_and_is_not_the_true_one(tmp_path):
    config, dataset, model = made(tmp_path)
    t, f = np.divmod(np.arange(100), 5)
    messages = edges_of(model, dataset, t, f, batch=100)
    one, again = untrained(material(config, dataset, messages)), untrained(material(config, dataset, messages))
    assert one.name == "untrained" and one.cpu_seconds > 0 and np.array_equal(one.force, again.force)
    assert read_out.score_forces(one.force, messages["force"])["r2_trim90"] < 0.5
    other = untrained(material(config, dataset, messages | {"acc_i": 0 * messages["acc_i"]}))
    assert np.array_equal(other.force, one.force)  # no label here either


def test_constant_messages_leave_nothing_to_search(tmp_path):
    config, dataset, model = made(tmp_path, silent_start=True)
    source = untrained(material(config, dataset, edges_of(model, dataset, *FRAMES, batch=4)))
    assert source.force is None and "constant" in source.what and "the refit starts as" in source.what


@pytest.mark.parametrize("silent", [True, False])
def test_energies_that_start_without_forces_leave_nothing_to_search(tmp_path, silent):
    config, dataset, _ = made(tmp_path)
    own = HamiltonianConfig(dim=2, hidden=16, activation="softplus", translation_invariant=True, dissipative=True)
    about = {"model": json.loads(json.dumps(own.as_dict())), "seed": 7, "options": {"silent_start": silent}}
    config = records.build(RunConfig, filled(RunConfig, **about))
    torch.manual_seed(3)  # what was trained in its place
    m = material(config, dataset, edges_of(HamiltonianNetwork(own), dataset, *FRAMES, batch=4))
    source = untrained(replace(m, meta=records.build(MessagesRecord, filled(MessagesRecord, reference=1.0))))
    assert (source.force is None) == silent and ("it starts without forces" in source.what) == silent
