"""Networks on positions alone: the loss on windows, particles that are not there, and messages of windows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import states
from test_models import NEWTON, network

import distill
from distill.files import records
from distill.files.arrays import check_fields
from distill.files.dataset import Dataset, load_dataset, save_dataset
from distill.files.fields import MESSAGE_FIELDS
from distill.files.kinds import Generalization, LawRecord, RunConfig
from distill.messages.extraction import extraction_of
from distill.messages.net_forces import missed_between, nodes_of
from distill.messages.untrained import _Order
from distill.network.data import load
from distill.network.edges import edges_for, edges_of, graphs_of
from distill.network.evaluation import accelerations
from distill.network.labels import Labels, labels_of
from distill.network.learning.fit import fit
from distill.network.learning.losses import prediction_loss
from distill.network.learning.training import Trainer
from distill.network.recipes import defaults
from distill.search import operon
from distill.shell import paths
from distill.shell.errors import UserError
from distill.windows.of_dataset import from_positions
from distill.windows.unresolved import alternating


def circling(trajectories=6, frames=30, n=3, seed=0, gaps=False):
    """Positions of particles on circles, each with a radius and a rate of its own, as a dataset of positions alone."""
    rng = np.random.default_rng(seed)
    t = 0.05 * (np.arange(frames) + gaps * rng.uniform(-0.2, 0.2, frames))
    phase, rate = rng.uniform(0, 6, (trajectories, 1, n)), rng.uniform(0.5, 1.5, (trajectories, 1, n))
    angle = phase + rate * t[:, None]
    pos = np.stack([np.cos(angle), np.sin(angle)], -1) + 3 * rng.normal(size=(trajectories, 1, n, 2))
    acc = -(rate**2)[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    seen = np.ones(pos.shape[:3], dtype=np.int8)
    if gaps:
        seen[:, 4::7, 1] = 0
    arrays = {"pos": pos, "observed": np.where(seen[..., None] > 0, pos, np.nan), "seen": seen, "t": t}
    arrays |= {"vel": np.gradient(pos, t, axis=1), "mass": rng.uniform(1, 2, (trajectories, n))}
    arrays |= {"charge": np.ones((trajectories, n)), "noise": np.float64(1e-3), "window": np.int64(7)}
    arrays["split"] = np.array([0] * (trajectories - 2) + [1, 2])
    return Dataset("circling", Path("circling.npz"), arrays), acc


def all_windows(labels, pred):
    """Weighted means [graph, particle, dim] of ``pred`` by loops, 0 where there is no window."""
    out = torch.zeros_like(labels.acc)
    for g, i in torch.argwhere(labels.there > 0).tolist():
        omega = labels.omega if labels.omega.dim() == 1 else labels.omega[g, i]
        out[g, i] = sum(w * pred[g + k, i] for k, w in enumerate(omega))
    return out


@pytest.mark.parametrize("gaps", [False, True])
def test_windows_of_a_stretch_are_weighted_means_of_its_predictions(gaps):
    dataset, acc = circling(gaps=gaps)
    graphs = graphs_of(dataset, "train")
    labels = labels_of(dataset, graphs, "cpu")
    assert labels.omega.dim() == (3 if gaps else 1) and labels.length == 14
    true = torch.as_tensor(acc.reshape(-1, *acc.shape[2:])[graphs]).float()
    means = all_windows(labels, true)
    assert (means - labels.acc).abs().max() < 2e-3  # the targets are what the motion does
    assert labels.there.sum() > (100 if gaps else 280) and not labels.acc[labels.there == 0].any()
    stretches = labels.stretches()
    assert set(torch.argwhere(labels.there.amax(1) > 0).flatten().tolist()) <= set(labels.first(stretches).tolist())
    for some in (stretches[:1], stretches[[0, 3, -1]]):
        of, pred = labels.of(some), true[labels.graphs(some)].flatten(0, 1)
        found, there = labels.combine(pred, of), of["there"] > 0
        assert torch.allclose(found["pred"][there], means[labels.first(some)][there])
    whole = labels.whole(true)
    rows = [torch.arange(k, k + labels.frames - 6) for k in range(0, len(labels.acc), labels.frames)]
    there = whole["there"] > 0
    assert torch.allclose(whole["pred"][there], all_windows(labels, true)[torch.cat(rows)][there], atol=1e-6)
    assert there.sum() > 0.8 * (labels.there > 0).sum()
    # what frames miss of a smooth motion is nothing, and of an acceleration in one of them alone it is all
    of = labels.of(stretches[:4])
    pred = true[labels.graphs(stretches[:4])].flatten(0, 1)
    there = of["there"] > 0
    assert (labels.combine(pred, of)["noise"] - of["noise"])[there].max() < 0.02
    alone = torch.zeros_like(pred)
    alone[labels.length // 2 * 3 : labels.length // 2 * 3 + 3] = 1000.0
    found = labels.combine(alone, of)
    size = found["pred"][: len(labels.offsets)].norm(dim=-1)
    some = there[: len(labels.offsets)] & (size > 50)
    assert some.any() and (found["noise"][: len(labels.offsets)][some] > 0.2 * size[some]).all()


def test_a_known_acceleration_is_a_window_of_one_frame():
    acc = torch.arange(24.0).view(4, 3, 2)
    labels = Labels(acc)
    pick = torch.tensor([2, 0])
    assert labels.stretches().tolist() == [0, 1, 2, 3] and labels.graphs(pick) is pick
    one = Labels(acc, 1, torch.ones(4, 3), torch.ones(1), torch.zeros(1), torch.zeros(4, 3))
    pred = torch.randn(6, 2)
    assert torch.equal(labels.combine(pred, labels.of(pick))["pred"], one.combine(pred, one.of(pick))["pred"])
    flat = pred, acc[pick].flatten(0, 1)
    for kind in ("mae", "mse", "huber", "relative", "sized"):
        known = prediction_loss(*flat, kind, 3, 0.7)
        there = torch.ones(6)
        assert torch.allclose(prediction_loss(*flat, kind, 3, 0.7, torch.zeros(6), there), known)
        # half of them are not there, whatever is predicted of them
        there[::2] = 0
        half = prediction_loss(*(a[1::2] for a in flat), kind, 3, 0.7)
        assert torch.allclose(prediction_loss(*flat, kind, 3, 0.7, torch.zeros(6), there), half)


def test_what_is_mostly_noise_decides_little():
    true = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    pred = true.clone().requires_grad_()
    noise = torch.tensor([0.01, 100.0])
    prediction_loss(pred + torch.tensor([0.1, 0.0]), true, "relative", 1, 1.0, noise).backward()
    assert pred.grad[1].norm() < 0.02 * pred.grad[0].norm()


def test_a_network_learns_from_positions_alone(tmp_path):
    """A spring between two particles, from its motion: accelerations were never seen."""
    rng = np.random.default_rng(1)
    trajectories, t = 40, 0.1 * np.arange(40)
    amplitude, phase = rng.uniform(0.5, 1.5, (2, trajectories, 1))
    turn = rng.uniform(0, 6, (trajectories, 1))
    apart = amplitude * np.cos(np.sqrt(2) * t + 4 * phase)  # x'' = -2 x between unit masses
    half = 0.5 * np.stack([apart * np.cos(turn), apart * np.sin(turn)], -1)
    pos = np.stack([half, -half], 2)
    arrays = {"pos": pos, "observed": pos + 1e-3 * rng.normal(size=pos.shape), "t": t, "noise": np.float64(1e-3)}
    arrays |= {"mass": np.ones((trajectories, 2)), "charge": np.ones((trajectories, 2)), "window": np.int64(9)}
    arrays["split"] = np.arange(trajectories) % 10 // 8 * (1 + np.arange(trajectories) % 2)
    dataset = Dataset("spring", Path("spring.npz"), arrays)
    options = defaults("newton", "bottleneck", 2) | dict(hidden=16, batch_size=128, epochs=40, velocities=False)
    trainer = Trainer(dataset, "bottleneck", options, 0, "cpu", "float32", tmp_path / "checkpoint", {}, False)
    fit([trainer])
    skill = trainer.skill()
    assert skill["network"] < 0.05 < 0.2 < skill["zero"] and skill["noise"] < skill["network"]
    found = accelerations(
        trainer.model, edges_for(pos[3]), pos[3], None, {k: arrays[k][[3] * 40] for k in ("mass", "charge")}
    )
    assert np.abs(found + pos[3] * 2).max() < 0.1


@pytest.mark.parametrize("gaps", [False, True])
def test_stacked_runs_on_windows_end_as_they_would_alone(tmp_path, gaps):
    dataset, _ = circling(trajectories=12, n=2)
    if gaps:  # weights of every window by itself
        dataset.arrays["t"] = dataset.t + 0.01 * np.sin(5 * np.arange(30))
    options = defaults("newton", "bottleneck", 2) | dict(hidden=12, batch_size=64, epochs=4, velocities=False)
    make = lambda seed, like=None: Trainer(  # noqa: E731
        dataset, "bottleneck", options, seed, "cpu", "float32", tmp_path / "checkpoint", {}, False, like
    )
    alone = [make(0), make(1)]
    for member in alone:
        fit([member])
    together = [make(0)]
    together.append(make(1, together[0]))
    fit(together)
    for a, b in zip(alone, together, strict=True):
        assert b.history[-1]["validation_mae"] == pytest.approx(a.history[-1]["validation_mae"], rel=1e-3)
    assert alone[0].history[-1]["validation_mae"] != alone[1].history[-1]["validation_mae"]


# ---------------------------------------------------------------- particles that are not there


def padded(dataset):
    """The same with two more particles, which are nowhere, between the others."""
    arrays = dict(dataset.arrays)
    for name in ("pos", "vel", "acc"):
        if name in arrays:
            arrays[name] = np.insert(arrays[name], [1, 2], np.nan, axis=2)
    for name in ("mass", "charge"):
        arrays[name] = np.insert(arrays[name], [1, 2], 1.0, axis=1)
    return Dataset(dataset.name, dataset.path, arrays, dataset.meta)


@pytest.mark.parametrize("options", [NEWTON, dict(activation="relu", gaussian=True)])
def test_particles_that_are_nowhere_change_nothing(options):
    arrays = states("r2", trajectories=10, frames=4, n=3)
    whole = Dataset("r2", Path("r2.npz"), arrays)
    more, real = padded(whole), [0, 2, 4]
    model = network(**options).double()
    found = []
    for dataset in (whole, more):
        graphs = graphs_of(dataset, "train")
        labels, source = labels_of(dataset, graphs, "cpu"), edges_of(dataset, graphs)
        x = torch.as_tensor(load(dataset, "cpu", False).x).double()
        pick = np.arange(5)
        pred, message, _ = model(x[pick].flatten(0, 1), source(pick))
        of = labels.of(torch.as_tensor(pick))
        flat = pred, of["acc"].flatten(0, 1).double()
        there = {k: v.flatten() for k, v in of.items() if k == "there"}
        loss = prediction_loss(*flat, "relative", 3, 1.0, **there)
        model.zero_grad()
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append((pred.view(5, dataset.n, 2), message, loss, gradients, source))
    (pred, message, loss, gradients, source), (pred_2, message_2, loss_2, gradients_2, source_2) = found
    assert torch.allclose(pred_2[:, real], pred) and torch.allclose(message_2, message)
    assert torch.allclose(loss_2, loss) and source_2.count([0, 1]) == source.count([0, 1]) == 12
    assert all(torch.allclose(a, b) for a, b in zip(gradients, gradients_2, strict=True))
    with torch.no_grad():  # the comparison can fail
        every = edges_for(np.nan_to_num(more.pos[0]))(np.arange(4))
        features = torch.as_tensor(load(more, "cpu", False).x).double()[:4].flatten(0, 1)
        assert not torch.allclose(model(features, every)[0].view(4, 5, 2)[:, real], pred[:4])


def test_edges_are_among_those_that_are_there():
    pos = np.random.default_rng(0).normal(size=(6, 5, 2))
    pos[1, 2], pos[3, [0, 4]], pos[4] = np.nan, np.nan, np.nan
    for chain in (False, True):
        source = edges_for(pos, chain)
        frames = np.array([3, 1, 0, 4])
        edges, (graph, counts) = source(frames), source.arrays(frames)
        expected = [
            (5 * k + j, 5 * k + i)
            for k, f in enumerate(frames)
            for i in range(5)
            for j in range(5)
            if i != j and (not chain or abs(i - j) == 1) and np.isfinite(pos[f, [i, j]]).all()
        ]
        assert list(map(tuple, edges.index.T.tolist())) == expected
        assert list(zip(graph.sender, graph.receiver, strict=True)) == expected
        back = [expected.index((i, j)) for j, i in expected]
        assert edges.reverse.tolist() == graph.reverse.tolist() == back
        assert counts.sum() == source.count(frames) == len(expected)
        assert np.array_equal(source.senders(frames).reshape(-1), np.bincount(graph.receiver, minlength=20))


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("gaps", [False, True])
def test_messages_of_windows_are_those_of_their_frames(gaps):
    dataset, _ = circling(gaps=gaps)
    if gaps:
        dataset.arrays["pos"][:, -3:, 2] = np.nan  # it has left
        dataset.arrays["observed"][:, -3:, 2] = np.nan
    model = network(**NEWTON)
    extraction = extraction_of(model.float(), dataset)
    trajectory, frame = (a[[0, 3, 4]] for a in extraction.graphs("train"))
    parts = [extraction.part(w) for w in extraction.batches(trajectory, frame)]
    found = {k: parts[0][k] if k == "active" else np.concatenate([p[k] for p in parts]) for k in parts[0]}
    assert len(found["r"]) == extraction.edges(trajectory, frame)
    check_fields(found, MESSAGE_FIELDS, "messages")
    nodes = nodes_of(found)
    assert np.allclose(nodes.sum(np.ones((len(found["r"]), 1))), 2, atol=1e-6) or gaps
    assert np.allclose(nodes.sum(found["acc_share"]), found["acc_pred_i"][nodes.first], rtol=1e-4, atol=1e-5)
    # every edge by the network on its frame alone
    for e in np.random.default_rng(0).permutation(len(found["r"]))[:20]:
        t, f, i, j = (int(found[k][e]) for k in ("trajectory", "at", "receiver", "sender"))
        number = extraction.number(np.array([t]), np.array([f]))
        alone = extraction._sent(number)
        (own,) = np.flatnonzero((alone.receiver == i) & (alone.sender == j))
        assert np.allclose(alone.arrays["message"][own], found["message"][e], rtol=1e-4, atol=1e-6)
        assert np.allclose(found["dx"][e], dataset.pos[t, f, i] - dataset.pos[t, f, j])
    windows = extraction.windows
    which = {
        (t, f, i): k
        for k, (t, f, i) in enumerate(zip(windows.trajectory, windows.middle, windows.particle, strict=True))
    }
    for k in nodes.first:
        own = which[tuple(int(found[key][k]) for key in ("trajectory", "frame", "receiver"))]
        frames = windows.frames[own]
        state = dataset.pos[found["trajectory"][k], frames], dataset.vel[found["trajectory"][k], frames]
        properties = {name: v[[found["trajectory"][k]] * len(frames)] for name, v in dataset.properties.items()}
        acc = accelerations(model, edges_for(state[0]), *state, properties)[:, found["receiver"][k]]
        used = windows.omega[own] != 0
        assert np.allclose(windows.omega[own][used] @ acc[used], found["acc_pred_i"][k], rtol=1e-4, atol=1e-5)
        assert np.array_equal(found["acc_i"][k], windows.target[own])
    order = np.random.default_rng(1).permutation(len(found["r"]))
    shuffled = {k: v if k == "active" else v[order] for k, v in found.items()}
    back = _Order.of(found).to(_Order.of(shuffled))
    assert np.array_equal(found["weight"][back], shuffled["weight"])
    part = found["between"][:, None] * found["acc_share"]
    by_hand = [np.sqrt((part[nodes.of_edge == k].sum(0) ** 2).mean()) for k in range(3)]
    missed = missed_between(found, nodes, found["mass_i"][:, None] * found["acc_share"])
    assert np.allclose(missed[nodes.first[:3]], by_hand, rtol=1e-5)


@pytest.mark.parametrize("length", [7, 21])
def test_what_frames_miss_is_seen_where_accelerations_have_a_peak_between_them(length):
    rng = np.random.default_rng(3)
    t = np.arange(length) + rng.uniform(-0.2, 0.2, (50, length))
    tau = (t - t.mean(1, keepdims=True)) / length * 2
    omega = np.clip(1 - tau**2, 0.01, None) ** 2
    omega /= omega.sum(1, keepdims=True)
    between = alternating(omega, t)
    for power in range(4):  # accelerations that are cubic in time are seen whole
        assert np.abs((between * t**power).sum(1)).max() < 1e-6 * np.abs(omega * t**power).sum(1).max()
    assert np.abs((between * np.sin(t * 6 / length)).sum(1)).max() < 0.03
    peak = 1 / (0.01 + (t - t[:, length // 2, None]) ** 2)  # narrower than the frames are apart
    assert (np.abs((between * peak).sum(1)) > 0.5 * (omega * peak).sum(1)).all()


# ---------------------------------------------------------------- from positions to a law


def test_what_needs_single_frames_is_refused_before_anything_is_searched(tmp_path):
    dataset, _ = circling()
    save_dataset(tmp_path / "circling.npz", dataset.arrays, {})
    with pytest.raises(UserError, match="--sr-on-inputs needs accelerations of single frames"):
        distill.search_law(dataset=str(tmp_path / "circling.npz"), sr_on_inputs=True)


@pytest.mark.slow
def test_positions_alone_go_through_all_stages(tmp_path, monkeypatch):
    """A spring from noisy positions: the constants come back, and nothing asks for accelerations."""
    if problem := operon.operon_problem():
        pytest.skip(problem)
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    made = distill.simulate(system="spring", n=3, dim=2, n_trajectories=60, n_frames=60, seed=930).path
    arrays = dict(np.load(made))
    step = np.median(np.linalg.norm(np.diff(arrays["pos"], axis=1), axis=-1))
    noise = np.random.default_rng(0).normal(size=arrays["pos"].shape)
    seen = {"observed": arrays["pos"] + 0.01 * step * noise, "t": arrays["t"]}
    kept = {k: arrays[k] for k in ("mass", "charge", "split")}
    save_dataset(made, seen | from_positions(seen) | kept, {"system": load_dataset(str(made)).meta.system})
    run = distill.train(made.stem, variant="bottleneck", quick=True, epochs=20)[0].path.name
    config = records.load(RunConfig, tmp_path / "model_weights" / run / "config.json")
    assert config.window == 21 and config.options["velocities"] is False and config.skill.noise < 0.01
    distill.extract_messages(run, quick=True)
    distill.fit_linear(run)
    for refused in ({"sr_on_inputs": True}, {"node": "function"}):  # at once, not after the search
        with pytest.raises(UserError, match="needs accelerations of single frames"):
            distill.search_law(run, **refused)
    law = records.load(LawRecord, distill.search_law(run, engine="operon", quick=True).path)
    assert law.verdict.same_form and law.acceleration_error.law < 0.1 * law.acceleration_error.gnn
    found = records.load(
        Generalization, distill.compare(run, quick=True, rollouts=0).path.parent / "generalization.json"
    )
    assert found.sets["windows"].law.mae < found.sets["windows"].gnn.mae
    assert found.sets["interpolation"].law.mae < 0.1 * found.sets["interpolation"].gnn.mae
