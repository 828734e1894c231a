"""Haloes: what is found in particles, what files of others hold, the network of a number, and laws of sums."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import halos as benchmark
import numpy as np
import pytest
import torch
from planted import save_npz
from scipy.integrate import quad
from scipy.spatial.distance import cdist

import distill
from distill.files.dataset import load_dataset
from distill.files.fields import DATASET_FIELDS, TARGET_FIELDS, ends_of
from distill.files.messages import load_messages
from distill.files.names import messages_path
from distill.files.scales import scales_of
from distill.halos import distil, reading, study
from distill.halos.baselines import spline_kernel
from distill.halos.catalogue import MASS, Catalogue, catalogues_of, dataset_arrays
from distill.halos.particles import finding
from distill.halos.particles.box import deposit, spectrum
from distill.halos.particles.cosmology import Cosmology
from distill.halos.planted import Law, planted
from distill.halos.sums import (
    Rows,
    SumLaw,
    Units,
    drawn,
    fit,
    in_pieces,
    mean_error,
    parted,
    predicted,
    rows_from,
    rows_of,
    together,
)
from distill.halos.told import page, tables
from distill.halos.verdict import verdict
from distill.messages.extraction import extraction_of
from distill.network import evaluation
from distill.network.edges import Edges, edges_for, edges_of
from distill.network.learning import training
from distill.network.learning.steps import Stepper
from distill.network.learning.training import Trainer
from distill.network.variants import VARIANTS
from distill.network.weights import load_run
from distill.physics.neighbours import minimum_image, radius_graph
from distill.pipeline.train import resolve
from distill.shell import paths
from distill.shell.errors import UserError
from models import GNN, ModelConfig

SIDE, CUTOFF = 60.0, 18.0
LAW = Law(radius=8.0, c2=3.0)


@pytest.fixture(scope="module")
def boxes():
    return [planted(930 + k, 90 + 5 * k, SIDE, CUTOFF, LAW, noise=0.0)[0] for k in range(4)]


# ---------------------------------------------------------------- boxes


def periodic_distances(a, b, side):
    return np.linalg.norm(minimum_image(a[:, None] - b[None], side), axis=-1)


def test_friends_of_friends_are_those_of_all_pairs():
    pos, side, length = np.random.default_rng(1).random((400, 3)) * 10, 10.0, 0.7
    near = periodic_distances(pos, pos, side) < length
    reach = near.copy()
    for _ in range(9):  # paths of up to 2^9 steps
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    number = finding.labels(pos, side, length)
    assert ((number[:, None] == number) == reach).all() and 20 < len(set(number)) < 380


def test_a_halo_across_the_side_has_its_centre_there_and_does_not_depend_on_the_order():
    rng = np.random.default_rng(2)
    cloud = np.mod(rng.normal(0, 0.05, (60, 3)), 10.0)
    pos = np.concatenate([cloud, rng.random((300, 3)) * 10])
    vel = rng.normal(size=pos.shape)
    one = finding.groups(pos, vel, 10.0)
    assert one.count[0] >= 60 and np.abs(minimum_image(one.pos[0], 10.0)).max() < 0.2
    order = rng.permutation(len(pos))
    other = finding.groups(pos[order], vel[order], 10.0)
    np.testing.assert_allclose(other.pos[0], one.pos[0], atol=1e-9)
    np.testing.assert_allclose(other.vel[0], one.vel[0], atol=1e-9)
    moved = finding.groups(np.mod(pos + 3.0, 10.0), vel, 10.0)
    np.testing.assert_allclose(minimum_image(moved.pos[0] - one.pos[0] - 3.0, 10.0), 0, atol=1e-9)


def test_overdensities_count_particles():
    pos, places = np.random.default_rng(3).random((2, 500, 3)) * 10
    found = finding.overdensity(places[:40], pos, 10.0, 2.0)
    expected = (periodic_distances(places[:40], pos, 10.0) <= 2.0).sum(1) / (500 * 4 / 3 * np.pi * 8 / 1000) - 1
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_power_spectra_of_a_wave_and_of_random_points():
    side, cells, wave = 50.0, 32, 3
    x = np.arange(cells) / cells
    field = np.broadcast_to(np.cos(2 * np.pi * wave * x)[:, None, None], (cells,) * 3)
    k, power = spectrum(field, side)
    shell = np.arange(1, cells // 2 + 1)
    line = np.fft.fftfreq(cells, 1 / cells)
    size = np.rint(np.sqrt(line[:, None, None] ** 2 + line[:, None] ** 2 + line**2))
    # two modes of amplitude V/2 among those of its shell
    expected = np.where(shell == wave, side**3 / 2 / (size == wave).sum(), 0.0)
    np.testing.assert_allclose(power, expected, atol=1e-8 * power.max())
    assert abs(k[wave - 1] * side / (2 * np.pi) - wave) < 0.2
    pos = np.random.default_rng(4).random((20_000, 3)) * side
    density = deposit(pos, side, cells)
    assert abs(density.sum()) < 1e-8
    _, power = spectrum(density, side, 2)
    assert abs(power[:8].mean() / (side**3 / 20_000) - 1) < 0.1


def test_theory_is_what_it_is_in_its_limits():
    c = Cosmology()
    np.testing.assert_allclose(c.sigma([8.0]), c.sigma8, rtol=1e-12)
    low, high = np.array([1e-4, 1e-3]), np.array([0.3, 1.0])
    slope = np.log(c.linear_power(low[1:]) / c.linear_power(low[:1])) / np.log(10)
    assert abs(slope[0] - c.n_s) < 0.05
    np.testing.assert_allclose(c.nonlinear_power([0.01]), c.linear_power([0.01]), rtol=0.03)
    assert (c.nonlinear_power(high) > 1.3 * c.linear_power(high)).all()
    mass = np.array([1e13, 1e14, 1e15])
    radius = (3 * mass / (4 * np.pi * c.density)) ** (1 / 3)

    def integrand(log_k, radius):
        k = np.exp(log_k)
        x = k * radius
        return k**3 * c.linear_power(k) * (3 * (np.sin(x) - x * np.cos(x)) / x**3) ** 2 / (2 * np.pi**2)

    expected = [quad(integrand, np.log(1e-4), np.log(50 / r), (r,), limit=400)[0] ** 0.5 for r in radius]
    np.testing.assert_allclose(c.sigma(radius), expected, rtol=2e-3)
    assert (np.diff(np.log(c.mass_function(mass))) < -2).all()  # at least like 1/M, and faster


@pytest.mark.slow
def test_a_small_box_grows_as_theory_says_and_repeats():
    pmpp = pytest.importorskip("pmpp")
    from distill.halos.particles.box import Box, simulate

    assert pmpp
    box = Box(side=400.0, particles=32, mesh=1.0, seed=930)
    one, other = simulate(box), simulate(box)
    assert (one.pos == other.pos).all()
    k, power = spectrum(deposit(one.pos, box.side, 64), box.side, 2)
    early = slice(0, 2)  # nearly linear scales: the same modes, grown
    np.testing.assert_allclose(power[early], one.linear[1][early], rtol=0.2)
    np.testing.assert_allclose(one.linear[1][3:12], box.cosmology.linear_power(one.linear[0][3:12]), rtol=0.5)


# ---------------------------------------------------------------- files of others


def write_group_tab(folder, found: dict, files: int):
    """As P-FoF writes it; ``found``: as ``reading.GROUP``."""
    total = len(found["len"])
    for k, part in enumerate(np.array_split(np.arange(total), files)):
        head = np.array([(len(part), total, 0, 0, files)], reading.HEADER)
        body = b"".join(np.ascontiguousarray(found[n][part], kind).tobytes() for n, kind, _ in reading.GROUP)
        (folder / f"group_tab_004.{k}").write_bytes(head.tobytes() + body)


@pytest.fixture
def written(tmp_path):
    rng, n = np.random.default_rng(5), 37
    found = {"len": rng.integers(15, 90, n), "offset": np.arange(n), "mass": rng.random(n) * 9000 + 1000}
    found |= {"pos": rng.random((n, 3)) * 1e6, "vel": rng.normal(size=(n, 3)) * 300}
    found |= {"type_len": np.zeros((n, 6)), "type_mass": np.zeros((n, 6))}
    write_group_tab(tmp_path, found, 3)
    return tmp_path, found


def test_group_tab_files_are_read_as_written(written):
    folder, found = written
    keep = found["len"] >= 20
    for path in (folder, folder / "group_tab_004.0"):
        read = reading.read_group_tab(path, 1000.0)
        assert len(read) == keep.sum() < len(keep) and np.isnan(read.delta).all()
        np.testing.assert_allclose(read.pos, found["pos"][keep] / 1000, rtol=1e-6)
        np.testing.assert_allclose(read.mass, found["mass"][keep] * 1e-4, rtol=1e-6)
        np.testing.assert_allclose(read.vel, found["vel"][keep], rtol=1e-6)
    later = reading.read_group_tab(folder, 1000.0, redshift=0.5, least=0)
    np.testing.assert_allclose(later.vel, 1.5 * found["vel"], rtol=1e-6)
    whole = reading.with_delta(later, np.arange(len(later)))
    assert whole.delta[3] == 3
    with pytest.raises(UserError, match="36 numbers"):
        reading.with_delta(later, np.zeros(36))
    with pytest.raises(UserError, match="no overdensity"):
        dataset_arrays([later], [0])


def test_group_tab_files_that_are_none_are_refused(written):
    folder, _ = written
    with pytest.raises(UserError, match="expected 0 to 250"):
        reading.read_group_tab(folder, 250.0)
    second = folder / "group_tab_004.1"
    content = second.read_bytes()
    second.write_bytes(content[:-4])
    with pytest.raises(UserError, match="bytes, expected"):
        reading.read_group_tab(folder, 1000.0)
    second.unlink()
    with pytest.raises(UserError, match="does not exist"):
        reading.read_group_tab(folder, 1000.0)


def test_tables_of_haloes(tmp_path):
    path = tmp_path / "haloes.csv"
    path.write_text("# ours\nZ;x;y;Mass;Overdensity;Box;note\n3;1;2;0.5;0.1;7;9\n4;2;3;1.5;-0.2;8;9\n5;3;1;2;0.3;7;9\n")
    first, second = reading.read_table(path, 10.0, mass=1e13)
    assert (first.pos == [[1, 2, 3], [3, 1, 5]]).all() and (first.delta == [0.1, 0.3]).all()
    np.testing.assert_allclose(first.mass, [0.05, 0.2])
    assert len(second) == 1 and (second.vel == 0).all()
    path.write_text("# of numpy\n# z x y mass delta\n3 1 2 0.5 0.1\n5 3 1 2 0.3\n")
    (bare,) = reading.read_table(path, 10.0, mass=1e13)
    assert (bare.pos == first.pos).all() and (bare.delta == first.delta).all()
    for text, match in (
        ("x,y,mass\n1,2,3\n1,2,3\n", "no column z"),
        ("# a\n\nx,y,z,mass\n1,2,3,4\n# b\n1,2,many,4\n", "line 6: no number in the column of z"),
        ("x,y,z,mass\n1,2,3,4\n1,2,30,4\n", "reach from 1 to 30"),
        ("x,y,z,mass\n1,2,3,4\n1,2,3,-4\n", "not all positive"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=match):
            reading.read_table(path, 10.0)


# ---------------------------------------------------------------- the dataset, the network of a number


@pytest.fixture
def dataset(boxes, tmp_path, monkeypatch):
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    paths.DATASETS.mkdir()
    save_npz(paths.DATASETS / "haloes.npz", dataset_arrays(boxes, [0, 0, 1, 2], CUTOFF), DATASET_FIELDS)
    return load_dataset("haloes")


def test_the_scripts_read_a_table_and_say_what_is_missing(boxes, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    monkeypatch.syspath_prepend(paths.ROOT / "experiments" / "halos")
    monkeypatch.delitem(sys.modules, "read", raising=False)
    import read

    lines = ["x,y,z,vx,vy,vz,mass,delta"]
    for row in np.column_stack([boxes[0].pos, boxes[0].vel, boxes[0].mass, boxes[0].delta]):
        lines.append(",".join(map(repr, row.tolist())))
    table = tmp_path / "haloes.csv"
    table.write_text("\n".join(lines))
    given = ["--file", str(table), "--name", "mine", "--side", str(SIDE), "--cutoff", str(CUTOFF)]
    assert read.main(given) == 0
    found, seen = catalogues_of(load_dataset("mine"))
    octants = np.array([mask.sum() for mask in seen])
    assert octants.sum() == len(boxes[0]) and octants.min() > 0 and (np.sum(seen, axis=0) == 1).all()
    # all haloes are neighbours still: the true law has no error where it is judged, whatever is held out
    one = Units(1.0, 1.0, 1.0)
    of_law = study.judged(study.by_law(SumLaw.of(*LAW.texts), CUTOFF, one), {"all": (found, seen)})["all"]
    assert of_law["mae"] < 1e-9 and of_law["haloes"] == len(boxes[0])
    rows = study.rows_to_fit(found, CUTOFF, one, seen, 0)
    assert len(rows) == len(boxes[0]) and mean_error(SumLaw.of(*LAW.texts), rows) < 1e-9
    table.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
    with pytest.raises(UserError, match="no overdensities"):
        read.main(given)


def test_a_box_of_training_is_not_one_of_the_test(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATASETS", tmp_path)
    monkeypatch.syspath_prepend(paths.ROOT / "experiments" / "halos")
    monkeypatch.delitem(sys.modules, "make", raising=False)
    import make

    for validation, test in ((["4"], ["3"]), (["3"], ["5"]), (["4", "4"], ["5"])):
        with pytest.raises(
            UserError, match=f"the seeds {'4' if len(validation) > 1 else '3'} are given more than once"
        ):
            make.main(["--name", "mine", "--train", "2", "3", "--validation", *validation, "--test", *test])


def test_a_dataset_of_boxes_gives_them_back(boxes, dataset):
    assert dataset.outputs == 1 and dataset.learnt.shape == (4, 1, 105, 1) and dataset.there.sum() == 390
    for one, other in zip(boxes, catalogues_of(dataset)[0], strict=True):
        for name in ("pos", "vel", "mass", "delta"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name))
    with pytest.raises(UserError, match="more than half"):
        dataset_arrays(boxes, [0] * 4, 50.0)
    arrays = dataset_arrays(boxes, [0, 0, 1, 2], CUTOFF)
    arrays["target"][1, 0, 3] = np.nan
    save_npz(paths.DATASETS / "torn.npz", arrays, DATASET_FIELDS)
    with pytest.raises(UserError, match="'target' holds"):
        load_dataset("torn")


def test_the_stages_train_and_extract_and_those_of_forces_refuse(dataset, monkeypatch):
    """In parts as in one piece, whatever the number of haloes."""
    monkeypatch.setattr(training, "AT_ONCE", 300)
    done = distill.train("haloes", variant="l1", recipe="newton", seed=930, quick=True, epochs=3, message_dim=5)
    run = done[0].path.name
    distill.extract_messages(run)
    arrays, about = load_messages(messages_path(run, "test"), run, target=True)
    assert set(TARGET_FIELDS | ends_of(("mass", "charge"))) >= set(arrays) and about.target
    model, _ = load_run(run)
    assert model.config.outputs == 1 and model.config.radial and model.active.sum() == 1
    (test,), _ = catalogues_of(dataset, "test")
    assert about.edges == len(radius_graph(test.pos, test.side, CUTOFF).r)
    np.testing.assert_allclose(arrays["target_i"], test.delta[arrays["receiver"]], rtol=1e-6)
    monkeypatch.setattr(evaluation, "AT_ONCE", 200)
    found = extraction_of(model, dataset)
    again = found.part(found.number(*found.graphs("test")))
    for name in ("message", "target_pred_i"):
        np.testing.assert_allclose(again[name], arrays[name], atol=2e-5)
    with pytest.raises(UserError, match="halos"):
        distill.fit_linear(run)
    with pytest.raises(UserError, match="halos"):
        distill.search_law(run)


def test_edges_to_some_receivers_are_those_of_all(dataset):
    """Bit for bit, whether lists are kept or there is no room for them."""
    whole = edges_of(dataset)([1])
    chosen = torch.as_tensor([40, 3, 90])
    keep = torch.isin(whole.index[1], chosen)
    for memory in (10**6, 0):
        source = edges_for(dataset.pos[:, 0], box=dataset.box, cutoff=CUTOFF, memory=memory)
        for _ in range(2):
            some = source([1], chosen)
            assert torch.equal(some.index, whole.index[:, keep]) and torch.equal(some.dx, whole.dx[keep])


@pytest.mark.parametrize("variant", [v.name for v in VARIANTS.values() if v.adds_up])
def test_gradients_add_up_over_parts(variant, dataset, tmp_path, monkeypatch):
    """Those of loss and penalty, as Adam gets them: it does not see their scale, so weights tell nothing of it."""
    # samples would be others in parts: all are at the mean
    monkeypatch.setattr(torch, "randn", lambda *shape, **given: torch.zeros(*shape))
    options = resolve(dataset, variant, "newton", {"message_dim": 3, f"{variant}_weight": 100.0}, True)
    found, parts = [], []
    for at_once in (10**9, 150):
        monkeypatch.setattr(training, "AT_ONCE", at_once)
        given = "cpu", "float32", tmp_path / "checkpoint", {}, True
        trainer = Trainer(dataset, variant, options, 930, *given, scales=scales_of(dataset))
        stepper = Stepper([trainer])
        stepper.optimizer.step = lambda: None
        stepper.step(0)
        parts.append(len(trainer.parts(None, torch.ones(1, dataset.n))))
        found.append([stepper.sums[0], *(p.grad for p in trainer.model.parameters())])
    loss, penalty = found[0][0]
    assert parts[0] == 1 < parts[1] and 0.1 < penalty / loss < 10, (parts, loss, penalty)  # neither is small
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_what_networks_of_a_number_cannot_have_is_refused(boxes, dataset):
    with pytest.raises(UserError, match="penalty of the variant 'std' is no sum over edges"):
        resolve(dataset, "std", "newton", {}, True)
    arrays = dataset_arrays(boxes, [0, 0, 1, 2], CUTOFF)
    for key in ("target", "seen"):
        del arrays[key]
    arrays["acc"] = arrays["vel"]
    for name, missing in (("boxed", ()), ("open", ("box", "cutoff"))):
        # of as many particles in every frame
        few = {k: v[:, :, :90] if v.ndim == 4 else v[:, :90] if k == "mass" else v for k, v in arrays.items()}
        save_npz(paths.DATASETS / f"{name}.npz", {k: v for k, v in few.items() if k not in missing}, DATASET_FIELDS)
        with pytest.raises(UserError, match="--radial is for a 'target'"):
            resolve(load_dataset(name), "l1", "newton", {"radial": True}, True)


def test_a_radial_network_does_not_see_directions(dataset):
    """Turned by a right angle a box is a box again; a network that sees directions tells the difference."""
    graph, n = edges_of(dataset), dataset.n
    edges = graph([0])
    for radial in (True, False):
        torch.manual_seed(0)
        given = dict(translation_invariant=True, geometric_inputs=True, periodic=True, outputs=1, radial=radial)
        model = GNN(ModelConfig(3, 4, hidden=8, **given))
        x = torch.randn(n, 8).abs()
        turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
        turned = torch.cat([x[:, :3], x[:, 3:6] @ turn.T, x[:, 6:]], 1)
        other = Edges(edges.index, None, edges.dx @ turn.T)
        same = torch.allclose(model(x, edges)[0], model(turned, other)[0], atol=1e-5)
        assert model(x, edges)[0].shape == (n, 1) and same == radial
    with pytest.raises(ValueError, match="periodic"):
        ModelConfig(3, 4, radial=True)


# ---------------------------------------------------------------- laws of sums


def test_sums_and_units(boxes):
    units = Units.of(boxes, CUTOFF)
    rows = rows_of(boxes[0], CUTOFF, units)
    values = np.random.default_rng(6).normal(size=len(rows.pair["r"]))
    graph = radius_graph(boxes[0].pos, SIDE, CUTOFF)
    np.testing.assert_allclose(rows.sum(values), np.bincount(graph.receiver, values, len(boxes[0])), atol=1e-12)
    truth = SumLaw.of(*LAW.texts)
    np.testing.assert_allclose(predicted(units.scaled(truth), rows), boxes[0].delta, atol=1e-9)
    back = units.in_data(units.scaled(truth))
    one = Units(1.0, 1.0, 1.0)
    np.testing.assert_allclose(predicted(back, rows_of(boxes[0], CUTOFF, one)), boxes[0].delta, atol=1e-9)
    whole = together(list(in_pieces(boxes, CUTOFF, units)))
    assert len(whole) == sum(map(len, boxes))
    np.testing.assert_allclose(cdist([whole.delta], [np.concatenate([b.delta for b in boxes])]), 0)


def test_sums_of_a_receiver_do_not_depend_on_those_before_it():
    rows = Rows({"r": np.arange(3.0)}, {}, np.array([0, 1, 0, 2, 0]), np.arange(5.0))
    assert rows.sum(np.array([1e20, 1.0, 1.0])).tolist() == [0, 1e20, 0, 2, 0]
    assert rows.of(np.array([3, 2, 1])).pair["r"].tolist() == [1, 2, 0]
    nothing = rows.of(np.array([], dtype=int))
    assert len(nothing) == 0 and nothing.sum(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("count", [1, 4])
def test_haloes_that_choose_a_law_are_not_those_that_it_was_fitted_to(boxes, count):
    """Of one box parts of it, of many whole boxes; never a halo twice, and none whose overdensity is held out."""
    allowed = [box.delta < np.quantile(box.delta, 0.8) for box in boxes[:count]]
    parts = parted(boxes[:count], (30, 60), 0, allowed)
    for k, mask in enumerate(allowed):
        used = np.concatenate([part[k] for part in parts])
        assert len(set(used)) == len(used) and mask[used].all()
        assert count == 1 or sum(len(part[k]) > 0 for part in parts) == 1
    sizes = [sum(map(len, part)) for part in parts]
    assert sizes == ([24, 48] if count == 1 else [30, 60])
    again = parted(boxes[:count], (30, 60), 1, allowed)
    assert not any(np.array_equal(a[0], b[0]) for a in parts for b in again if len(a[0]))
    with pytest.raises(UserError, match="1 haloes with an overdensity"):
        parted(boxes[:1], (30, 60), 0, [np.arange(90) == 3])


def test_the_fit_end_to_end_finds_the_planted_constants(boxes):
    units = Units.of(boxes, CUTOFF)
    rows = drawn(boxes, CUTOFF, units, 300, 0)
    start = SumLaw.of("(1.3 + 1.0*m_j)/(1.0 + (1.2*r)^6.3)", "-0.1 + s/(9.0 + 1.5*m_i)")
    found = fit(start, rows, 300)
    assert mean_error(start, rows) > 0.02 and mean_error(found, rows) < 1e-5
    others = planted(940, 120, SIDE, CUTOFF, LAW, noise=0.0)[0]
    np.testing.assert_allclose(predicted(found, rows_of(others, CUTOFF, units)), others.delta, atol=2e-4)


def test_splines_are_near_a_law_that_is_linear_in_them(boxes):
    units = Units.of(boxes, CUTOFF)
    rows = together(list(in_pieces(boxes, CUTOFF, units)))
    law = SumLaw.of("(0.5 + m_j)*exp(-4.0*r*r)", "0.1 + s")
    rows = dataclasses.replace(rows, delta=predicted(law, rows))
    found = spline_kernel(CUTOFF / units.length).fit(rows)
    assert np.abs(found.predicted(rows) - rows.delta).mean() < 0.01 * rows.delta.std()


def test_messages_that_do_not_differ_are_refused_and_live_ones_are_counted():
    message = np.random.default_rng(7).normal(size=(500, 4)) * [1e-9, 1.0, 0.5, 0.0]
    assert distil.live_components(message).tolist() == [1, 2]
    assert not len(distil.live_components(np.ones((500, 4))))


@pytest.mark.slow
def test_a_planted_law_is_distilled_from_its_messages(dataset, boxes):
    """Messages are the true ones times a number with 1 % noise, and what is predicted is the truth."""
    units = Units.of(boxes, CUTOFF)
    extracted = [rows_of(b, CUTOFF, units) for b in boxes[:2]]
    rng, parts = np.random.default_rng(8), []
    for k, (box, rows) in enumerate(zip(boxes, extracted, strict=False)):
        graph = radius_graph(box.pos, SIDE, CUTOFF)
        sent = LAW.message(graph.r, box.mass[graph.sender])
        sent = -3.0 * sent * (1 + 0.01 * rng.normal(size=sent.shape))
        ends = {
            f"{n}_{e}": getattr(box, n)[i]
            for n in ("mass", "vel")
            for e, i in zip("ij", (graph.receiver, graph.sender), strict=True)
        }
        part = {"message": np.stack([1e-6 * sent, sent], 1), "r": graph.r, "receiver": graph.receiver} | ends
        part |= {
            "trajectory": np.full(len(sent), k),
            "frame": np.zeros(len(sent)),
            "target_pred_i": box.delta[graph.receiver],
        }
        parts.append(part)
        assert len(rows) == len(box)
    arrays = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    found = distil.from_messages(arrays, boxes[:3], CUTOFF, units, 0)
    fresh, _ = planted(941, 120, SIDE, CUTOFF, LAW, noise=0.0)
    rows = rows_of(fresh, CUTOFF, units)
    assert found.live == 1 and mean_error(found.law, rows) < 0.005 * fresh.delta.std()


def test_a_planted_law_is_judged(boxes):
    """The truth respelt is recovered; with one constant or one half off it is not, and why is said."""
    units = Units.of(boxes, CUTOFF)
    fresh = [planted(941, 110, SIDE, CUTOFF, LAW, noise=0.0)]
    truth = units.scaled(SumLaw.of(*LAW.texts))
    respelt = units.scaled(SumLaw.of("2.0*(0.5 + m_j)/(1.0 + (r/8.0)^8)", "0.5*s/(3.0 + m_i) - 0.2"))
    assert verdict(respelt, truth, fresh, CUTOFF, units)["recovered"]
    for message, node, why in (
        ("(0.7 + m_j)/(1.0 + (r/8.0)^8)", "s/(3.0 + m_i) - 0.2", "a constant of the message"),
        ("(0.5 + m_j)*exp(-r*r/50.0)", "s/(3.0 + m_i) - 0.2", "the message has another form"),
        (LAW.texts[0], "0.25*s - 0.2", "the node has another form"),
    ):
        found = verdict(units.scaled(SumLaw.of(message, node)), truth, fresh, CUTOFF, units)
        assert not found["recovered"] and why in found["why"]


def test_the_choice_asks_how_a_law_goes_on(boxes):
    """Two responses that are alike within the data: the one that is right beyond them is preferred."""
    units = Units.of(boxes, CUTOFF)
    seen, left_out = (rows_from(boxes, CUTOFF, units, part) for part in parted(boxes, (200, 200), 0))
    judge = distil.Judge(seen, left_out)
    message = units.scaled(SumLaw.of(*LAW.texts)).message
    right = judge.fitted(dataclasses.replace(SumLaw.of("1.0*m_j", "-0.2 + s/(9.0 + 1.5*m_i)"), message=message), 60)
    bent = judge.fitted(
        dataclasses.replace(SumLaw.of("1.0*m_j", "0.1 - 1.0*exp(-0.5*s - 0.1*m_i)"), message=message), 60
    )
    assert right.cost < bent.cost and judge.beyond.delta.min() > judge.below.delta.max()
    judge = distil.Judge(seen, left_out.of(np.flatnonzero(left_out.delta < np.median(seen.delta))))
    assert not len(judge.beyond) and np.isfinite(judge.fitted(right.law, 5).cost)


def test_numbers_of_the_paper_stand_in_columns_of_their_own():
    one = {"mae": 0.05, "haloes": 9, "boxes": 2, "error": 0.001}
    formulas = {name: {"errors": {"fresh boxes": one}} for name in ("with mass", "spline kernel")}
    rows = [{"kind": "formulas", "hold": "none", "formulas": formulas, "setting": "{}"}]
    rows.append({"kind": "formulas", "error": "none"})
    told = {"errors": {"beyond": one}, "errors_before": {}}
    network = {"kind": "network", "recipe": "paper", "hold": "above 1", "setting": "{}", "network": {"beyond": one}}
    head, lines = tables.errors([*rows, network | {"law": told, "law_without_steps": told}])
    found = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    assert head[0].endswith("own particle-mesh boxes, not Quijote") and "Quijote" in head[-3]
    assert found["with mass"]["fresh boxes"] == "0.0500 \u00b1 0.0010"
    assert [*found["with mass"].values()][-3:] == ["0.0882", "0.0811", "0.0892"]
    assert [*found["spline kernel"].values()][-3:] == ["\u2013"] * 3
    network = found["network, paper recipe"]
    assert network["... above 1"] == "0.0500 \u00b1 0.0010" and network["paper: above 1"] == "0.142"


def test_a_thinned_catalogue_keeps_its_overdensities(boxes):
    half = boxes[0].thinned(0.5, 0)
    assert isinstance(half, Catalogue) and len(half) == 45 and set(half.delta) <= set(boxes[0].delta)


def test_numbers_of_several_settings_are_not_put_together(monkeypatch):
    one = {"mae": 0.05, "haloes": 9, "undefined": 0, "error": None}
    none = one | {"mae": None, "undefined": 2}
    rows = []
    for particles, errors in ((64, one), (128, none)):
        box = {"box": {"particles": particles, "side": 250.0}}
        formulas = {"with mass": {"errors": {"fresh boxes": errors}}}
        setting = json.dumps(box | {"label": f"{particles}_1"})
        rows.append({"kind": "formulas", "hold": "none", "formulas": formulas, "setting": setting})
        rows.append({"kind": "box", "name": "2", "setting": json.dumps(box), "haloes": 5, "cpu_seconds": 1.0})
        rows[-1] |= {"spectrum": {name: np.ones(particles) for name in ("power", "theory", "own_modes")}}
        rows[-1] |= {"seconds": 1.0, "gigabytes": 1.0}
        rows[-1] |= {"delta": {"mean": 0.1, "std": 1.0, "above_1": 0.1}, "power_off": {"mean": 0.1, "largest": 0.2}}
    lines = tables.errors(rows)[1]
    assert [line[1] for line in lines] == ["0.0500", "no value at 2 of 9 haloes"] and "64_1" in lines[0][0]
    assert len(benchmark.summary(rows[1::2])["power_off_mean_of_boxes"]) == 2
    drawn = []
    figure = SimpleNamespace(savefig=lambda content, **_: content.write(b"drawn"))
    monkeypatch.setattr(page.figures, "of_boxes", lambda some: drawn.append(some) or figure)
    told = page.report(rows)
    assert list(map(len, drawn)) == [1, 1]
    assert told.count("<img") == 2 and "2 (128\u00b3 particles in 250 Mpc/h)" in told
    assert "Own particle-mesh boxes, not Quijote." in told


def test_a_law_without_a_value_somewhere_is_told_so(boxes):
    """And every box counts once, whatever the number of its haloes."""
    off = dict(zip(map(id, boxes), (1.0, 2.0, 3.0, np.nan), strict=True))
    masks = [np.arange(len(box)) < 3 + 9 * k for k, box in enumerate(boxes)]
    sets = {"some": (boxes[:2], masks[:2]), "all": (boxes, masks)}
    found = study.judged(lambda box: box.delta + off[id(box)], sets)
    assert found["some"] == {"mae": 1.5, "error": 0.5, "boxes": 2, "haloes": 15, "undefined": 0}
    assert found["all"] == {"mae": None, "error": None, "boxes": 4, "haloes": 66, "undefined": 30}


def test_the_benchmark_of_haloes(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    particle = 6.4e11 / 3
    edges = benchmark.mass_edges(particle)
    for count in range(finding.LEAST, 200):  # as catalogues hold them
        mass = count * particle / MASS * 1e14
        assert np.histogram([mass], edges)[0].sum() == 1
    args = ["--train", "930:933", "--test", "933", "--development", "--holds", "none", "--recipes", "paper"]
    ones = [
        benchmark.cells_of(benchmark.parse(args + more)) for more in ([], ["--side", "300"], ["--epochs", "paper=2"])
    ]
    names = [[key[1] for key in cells.values() if key[0] == "network"][0] for cells in ones]
    assert len(set(names)) == 3
    cells = {name: key for name, key in ones[0].items() if key[0] != "box"}
    absent = benchmark.without_boxes(cells)
    assert {cells[name][0] for name in absent} == {"network", "formulas"} and [930, 931, 932, 933] in absent.values()
    path = benchmark.box_path(930, {"particles": 128, "side": 250.0})
    path.parent.mkdir(parents=True)
    path.touch()
    assert [931, 932, 933] in benchmark.without_boxes(cells).values()
    made = {name: key for name, key in ones[0].items() if key[0] == "box"}
    for name in made:
        benchmark.file_of("halos", name).touch()
    benchmark.forget_lost(made)
    assert [key[1] for name, key in made.items() if benchmark.file_of("halos", name).is_file()] == ["930"]
