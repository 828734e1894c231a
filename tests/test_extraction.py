"""Extraction against a plain evaluation of the same network, edge by edge; streaming and its interruption."""

import json
import os

import numpy as np
import pytest
import torch
from extracted import edges_of
from planted import write_dataset
from test_models import NEWTON, network

from distill.files.arrays import check_fields
from distill.files.dataset import load_dataset
from distill.files.fields import MESSAGE_FIELDS
from distill.files.properties import message_fields
from distill.files.provenance import sha256
from distill.messages import extraction
from distill.network.data import dataset_features, inputs_of, node_features
from distill.network.edges import Edges
from distill.physics.system import pair_force
from distill.physics.systems import load_system
from distill.pipeline.extract_messages import write
from models import keep_top

PAPER = dict(activation="relu")
CASES = [
    ("r2", 2, PAPER),
    ("charge", 3, PAPER | dict(gaussian=True)),
    ("r2", 2, NEWTON),
    ("string", 2, NEWTON),
    ("string", 2, PAPER),
    ("spring", 2, PAPER | dict(linear_node=True, activation="tanh")),
]


def plain(model, dataset, trajectory, frame) -> dict:
    """One row an edge, by loops over frames and pairs and the network's own layers, in double precision."""
    model = model.double()
    about = dataset.meta.system
    system, chain, held = load_system(about.name), about.neighbours_only, about.held
    rows = []
    for t, f in zip(trajectory, frame, strict=True):
        pos, vel, acc = (dataset.arrays[k][t, f] for k in ("pos", "vel", "acc"))
        mass, charge = dataset.mass[t], dataset.charge[t]
        x = torch.as_tensor(np.column_stack([pos, vel, charge, mass]))
        pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j and (not chain or abs(i - j) == 1)]
        index = torch.tensor([[j for _, j in pairs], [i for i, _ in pairs]])
        back = torch.tensor([pairs.index((j, i)) for i, j in pairs])
        with torch.no_grad():
            message, logvar = model.messages(x, Edges(index, back))
            total = torch.zeros(len(x), message.shape[1], dtype=x.dtype).index_add(0, index[1], message)
            kept = model.active.nonzero().squeeze(1)
            predicted = model.node_model(x, total[:, kept])
        for k, (i, j) in enumerate(pairs):
            if i in held:
                continue
            d = pos[i] - pos[j]
            row = {
                "message": message[k].numpy(),
                "receiver": i,
                "sender": j,
                "trajectory": t,
                "frame": f,
                "dx": d,
                "r": np.sqrt((d**2).sum()),
                "vel_i": vel[i],
                "vel_j": vel[j],
                "mass_i": mass[i],
                "mass_j": mass[j],
                "charge_i": charge[i],
                "charge_j": charge[j],
                "acc_i": acc[i],
                "acc_pred_i": predicted[i].numpy(),
            }
            row["force"] = pair_force(system, d, row["r"], {v: row[k] for v, k in message_fields().items()})
            rows.append(row if logvar is None else row | {"logvar": logvar[k].numpy()})
    return {k: np.array([row[k] for row in rows]) for k in rows[0]}


def load(tmp_path, system, dim):
    return load_dataset(write_dataset(tmp_path, system=system, trajectories=6, dim=dim, n=4))


@pytest.mark.parametrize(("system", "dim", "options"), CASES)
def test_every_field_is_that_of_a_plain_evaluation(system, dim, options, tmp_path):
    dataset = load(tmp_path, system, dim)
    model = network(dim=dim, **options).float().eval()
    keep_top(model, torch.arange(5.0), 3)
    trajectory, frame = np.array([0, 0, 2, 3, 3, 5]), np.array([0, 3, 1, 0, 4, 2])
    found = edges_of(model, dataset, trajectory, frame, batch=4)
    check_fields(found, MESSAGE_FIELDS, "extracted")
    wanted = plain(model, dataset, trajectory, frame)
    assert set(wanted) == set(found) - {"active", "acc_share", "acc_alone_i"}
    assert found["active"].tolist() == [0, 0, 1, 1, 1] and (found["message"][:, :2] == 0).all()
    of_network = ("message", "logvar", "acc_pred_i")
    for name, values in wanted.items():
        assert found[name].shape == values.shape, name
        if name in of_network:
            assert found[name].dtype == np.float32
            assert np.allclose(found[name], values, rtol=2e-4, atol=2e-4 * np.abs(values).max()), name
        elif name == "force":
            assert np.allclose(found[name], values, rtol=1e-12, atol=0)
        else:
            assert np.allclose(found[name], values, rtol=1e-15, atol=0), name
    whole = edges_of(model.float(), dataset, trajectory, frame)
    for name, values in whole.items():  # sizes of batches change nothing but rounding
        assert np.allclose(found[name], values, rtol=1e-4, atol=1e-5 * np.abs(values).max()), name


class Interrupted(extraction.Extraction):
    def parts(self, trajectory, frame):
        for k, part in enumerate(super().parts(trajectory, frame)):
            if k == 2:
                raise KeyboardInterrupt
            yield part


def record(told):
    return json.dumps(told).encode()


def test_an_interrupted_extraction_leaves_the_old_file_and_nothing_else(tmp_path):
    dataset = load(tmp_path, "r2", 2)
    path = tmp_path / "outputs" / "messages_test.npz"
    frames = np.arange(6), np.zeros(6, dtype=int)
    whole = extraction.Extraction(network(**PAPER).float(), dataset, 24)
    about = write(path, whole, *frames, record)
    assert about["edges"] == 72 and about["components"] == 5
    before, side = path.read_bytes(), path.with_suffix(".json")
    assert json.loads(side.read_text()) == {k: about[k] for k in ("edges", "mae")} | {"arrays_sha256": sha256(path)}
    side.write_text(json.dumps({"old": True}))
    with np.load(path, allow_pickle=False) as file:
        assert about["mae"] == pytest.approx(np.abs(file["acc_pred_i"] - file["acc_i"]).mean())
    with pytest.raises(KeyboardInterrupt):
        write(path, Interrupted(network(**NEWTON).float(), dataset, 24), *frames, record)
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["messages_test.json", "messages_test.npz"]
    write(path, whole, *frames, record)
    assert path.read_bytes() == before  # the same bytes again
    assert json.loads(side.read_text())["edges"] == 72  # the old JSON does not stand beside new arrays


@pytest.mark.parametrize("options", [PAPER, NEWTON])
def test_a_further_property_is_one_more_input_and_stands_at_both_ends_of_an_edge(options, tmp_path):
    dataset = load(tmp_path, "r2", 2)
    dataset.arrays["spin"] = np.random.default_rng(0).normal(size=dataset.mass.shape)
    order = inputs_of(dataset)
    assert order == ("charge", "mass", "spin")
    model, frames = network(**options, properties=order).float(), (np.array([2, 4]), np.array([1, 3]))
    found = edges_of(model, dataset, *frames)
    for end, particle in (("spin_i", "receiver"), ("spin_j", "sender")):
        assert np.array_equal(found[end], dataset.spin[found["trajectory"], found[particle]])
    x = dataset_features(dataset, 2 * dataset.pos.shape[1] + np.arange(2))
    assert np.allclose(x[0, :, 4:], np.stack([dataset.arrays[k][2] for k in order], -1))
    dataset.arrays["spin"] = dataset.spin + 1
    assert not np.allclose(edges_of(model, dataset, *frames)["acc_pred_i"], found["acc_pred_i"])
    with pytest.raises(KeyError, match="spin"):
        node_features(dataset.pos, dataset.vel, {"mass": 1.0, "charge": 1.0}, order)
    with pytest.raises(ValueError, match="log_mass"):
        network(log_mass=True, properties=("charge",))
