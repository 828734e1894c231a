"""The read-out on a fixed sample, as a network is trained: against sums of extracted messages and planted ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import write_argon, write_dataset
from scripts import ROOT
from test_steps import trainer
from test_window_networks import circling

from distill.files.dataset import load_dataset
from distill.messages.extraction import extraction_of
from distill.messages.following import METRICS, MOST_BODIES, READ_OUT, SAMPLES, Following, Watch, metrics
from distill.messages.linear import Sums
from distill.network.learning.fit import fit
from distill.network.learning.training import Trainer
from distill.network.recipes import BOX_NEEDS, box_changes, defaults
from distill.shell.trackers import TRACKERS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # on a slow machine a trainer comes to write its checkpoint


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(str(write_dataset(tmp_path_factory.mktemp("data"), trajectories=60)))


def of(dataset, **options):
    own = defaults("newton", "bottleneck", dataset.dim) | dict(hidden=8, batch_size=16, epochs=1, augment=0.0) | options
    return Trainer(dataset, "bottleneck", own, 0, "cpu", "float32", Path("unused"), {}, False)


def extracted(member, dataset, graphs):
    """Sums of messages by loops [graph, particle, component], of the frames (trajectory, frame) ``graphs``."""
    out, place = None, {graph: k for k, graph in enumerate(zip(*map(np.ndarray.tolist, graphs), strict=True))}
    for part in extraction_of(member.model, dataset).parts(*graphs):
        if out is None:
            out = np.zeros((len(place), dataset.n, part["message"].shape[1]))
        weight = part.get("weight", np.ones(len(part["receiver"])))
        rows = zip(*(part[k].tolist() for k in ("trajectory", "frame", "receiver")), strict=True)
        for (trajectory, frame, i), w, message in zip(rows, weight, part["message"], strict=True):
            out[place[trajectory, frame], i] += w * message
    return out


def frames_of(found, dataset):
    """(trajectory, frame) of both samples."""
    numbers = [
        dataset.frames(split)[sample.graphs]
        for split, sample in zip(("train", "validation"), found.samples, strict=True)
    ]
    return tuple(np.divmod(np.concatenate(numbers), dataset.pos.shape[1]))


@pytest.mark.parametrize("variant, recipe", [("l1", "newton"), ("kl", "paper")])
def test_it_adds_up_what_is_extracted_against_net_forces_of_the_data(dataset, variant, recipe):
    member = trainer(dataset, recipe, variant, 3)
    found = Following.of(member)
    sums = found.sums()
    graphs = frames_of(found, dataset)
    true = extracted(member, dataset, graphs)
    assert sums.sent == pytest.approx(true.reshape(len(sums.sent), -1), abs=1e-5 * np.abs(true).max())
    assert sums.acc == pytest.approx(dataset.acc[graphs].reshape(-1, 2), rel=1e-5)
    assert sums.state.vel == pytest.approx(dataset.vel[graphs].reshape(-1, 2), rel=1e-5)
    for name in ("mass", "charge"):
        assert sums.state.properties[name] == pytest.approx(dataset.arrays[name][graphs[0]].ravel(), rel=1e-5)
    split = dataset.split[sums.body[0]]
    assert (split == sums.held_out).all() and 0 < split.sum() < len(split)  # 1: validation
    assert sums.body.T.tolist() == [[k, i] for k in graphs[0].tolist() for i in range(dataset.n)]


@pytest.mark.parametrize("gauge", ["force", "acceleration", "charge_force"])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_planted_messages_are_told_as_what_they_are(tmp_path, gauge, noise):
    """Sums of messages that are the net force, mixed, in one gauge. Where the accelerations are those with a share s of
    noise, which no message tells, R^2 is 1/(1 + s^2).
    """
    dataset = load_dataset(str(write_dataset(tmp_path, trajectories=400, system="charge", seed=5)))
    found = Following.of(of(dataset))
    sums, rng = found.sums(), np.random.default_rng(7)
    size = np.linalg.norm(sums.acc, axis=1)
    keep = size < 4 * np.median(size)  # R^2 is that of the bulk, not of one close encounter
    state, acc = sums.state.of(keep), sums.acc[keep]
    factor = {"acceleration": np.ones(len(acc)), "force": state.mass}
    factor["charge_force"] = state.mass * state.properties["charge"]
    true = acc * factor[gauge][:, None]
    spread = noise * true.std(0) * rng.normal(size=true.shape)
    noisy = acc + spread / factor[gauge][:, None]
    mixed = true @ np.array([[1.0, 0.4], [-0.3, 2.0]])
    planted = Sums(mixed, noisy, state, sums.body[:, keep], sums.held_out[keep])
    found.sums = lambda: planted
    told = found()
    assert told.gauge == gauge
    if noise:
        assert told.r2 == pytest.approx(1 / (1 + noise**2), abs=0.05) and told.error > 0.05
    else:
        assert told.r2 > 1 - 1e-9 and told.error < 1e-5


def test_windows_are_summed_as_they_are_extracted():
    dataset, _ = circling(trajectories=8)
    dataset.arrays["split"] = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    member = of(dataset, velocities=False, close_sampling=0.0)
    found = Following.of(member)
    extraction, frames = extraction_of(member.model, dataset), dataset.pos.shape[1]
    for split, sample in zip(("train", "validation"), found.samples, strict=True):
        graphs = extraction.graphs(split)
        true, middle = extracted(member, dataset, graphs), extraction.window // 2
        place = {(t, f - middle): k for k, (t, f) in enumerate(zip(*map(np.ndarray.tolist, graphs), strict=True))}
        first = sample.labels.windows().numpy()
        start = zip(sample.of.trajectory[sample.graphs][first].tolist(), (first % frames).tolist(), strict=True)
        both = [(n, place[row]) for n, row in enumerate(start) if row in place]
        assert len(both) > 10 and sample.there.all()
        mean = sample.seen(member.model, 2)[:, 4:].reshape(len(first), dataset.n, -1)
        for n, k in both:
            assert mean[n] == pytest.approx(true[k], abs=1e-5 * np.abs(true).max())
    assert 0 < found().error < 2


def test_in_a_box(tmp_path):
    argon = load_dataset(str(write_argon(tmp_path)))
    options = defaults("newton", "bottleneck", 3) | BOX_NEEDS
    options |= box_changes("newton", "l1", options, argon.n, 27 * 20)
    member = Trainer(
        argon, "bottleneck", options | dict(hidden=8, batch_size=4), 0, "cpu", "float32", tmp_path / "c", {}, True
    )
    found = Following.of(member)
    true = extracted(member, argon, frames_of(found, argon))
    assert found.sums().sent == pytest.approx(true.reshape(-1, 3), abs=1e-4 * np.abs(true).max())
    assert 0 < found().error < 2


def test_energies_and_messages_that_are_not_finite(dataset):
    assert Following.of(trainer(dataset, "newton", "hamiltonian", 0)) is None
    member = of(dataset)
    found = Following.of(member)
    with torch.no_grad():
        for parameter in member.model.edge_mlp.parameters():
            parameter.fill_(float("nan"))
    told = found()
    assert not told.error < 1e9 and set(metrics(dict.fromkeys(METRICS, 1.0), told)) == set(METRICS)


@pytest.mark.parametrize("variants", [("bottleneck",), ("kl", "kl")])
def test_a_training_that_is_followed_ends_with_the_same_bits(dataset, variants):
    """Alone and as a stack; alone it comes to tell forces better, which is what is followed."""
    ends, size = [], {"message_dim": 2, "epochs": 2}
    for followed in (False, True):
        members = [trainer(dataset, "newton", variants[0], 0, **size)]
        members += [trainer(dataset, "newton", v, k + 1, members[0], **size) for k, v in enumerate(variants[1:])]
        logged, before = [Logged() for _ in members], torch.get_rng_state()
        fit(members, watch=Watch(members, logged) if followed else None)
        assert torch.equal(before, torch.get_rng_state())
        ends.append([(m.model.state_dict(), m.history) for m in members])
    for (plain, rows), (other, again), one in zip(*ends, logged, strict=True):
        assert rows == again and all(torch.equal(plain[name], other[name]) for name in plain)
        assert [step for step, _ in one.rows] == [row["step"] for row in rows]
        for (_, told), row in zip(one.rows, rows, strict=True):
            assert {name: told[name] for name in METRICS} == {name: row[name] for name in METRICS}
    if len(variants) == 1:
        assert logged[0].rows[-1][1]["read_out_error"] < logged[0].rows[0][1]["read_out_error"]


class Logged:
    def __init__(self):
        self.rows = []

    def log(self, numbers, step):
        self.rows.append((step, numbers))


def test_rows_before_a_checkpoint_come_first(dataset):
    member = of(dataset)
    member.history = [dict.fromkeys((*METRICS, "step"), 1.0), dict.fromkeys((*METRICS, "step"), 2.0)]
    run_of = Logged()
    watch = Watch([member], [run_of])
    assert [step for step, _ in run_of.rows] == [1.0, 2.0] and "read_out_r2" not in run_of.rows[0][1]
    member.history.append(dict.fromkeys((*METRICS, "step"), 3.0))
    shown = watch(True)
    assert run_of.rows[2][1]["read_out_error"] == pytest.approx(float(shown["read_out"]), rel=0.01)


def test_nothing_is_computed_that_nobody_sees(dataset, monkeypatch):
    monkeypatch.setattr(Following, "of", lambda member: pytest.fail("asked for"))
    assert Watch([of(dataset)])(False) == {}


def test_values_of_bodies_are_told_by_name():
    row = dict.fromkeys(METRICS, 0.5)
    told = metrics(row, None, {"mass": np.array([1.0, 2.5])}, ("sun", "earth"))
    assert told == row | {"learnt/mass/sun": 1.0, "learnt/mass/earth": 2.5}


def test_the_bar_shows_it(dataset, monkeypatch, capsys):
    monkeypatch.setenv("DISTILL_PROGRESS", "1")
    member = of(dataset)
    fit([member], watch=Watch([member]))
    shown = capsys.readouterr().err
    assert "mae=" in shown and f"read_out={Following.of(member)().error:.3g}" in shown


def test_the_page_names_all_that_is_logged():
    page = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    page = page.partition("## Following a training")[2].partition("\n## ")[0]
    assert not [name for name in (*METRICS, *READ_OUT, "learnt/") if f"`{name}" not in page]
    assert all(f"({most:,} receivers" in page for most, _ in SAMPLES) and f"{MOST_BODIES} bodies at most" in page
    assert all(f"`--{flag}`" in page and tracker.package in page for flag, tracker in TRACKERS.items())
