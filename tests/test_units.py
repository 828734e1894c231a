"""What is found does not depend on the unit or the origin of the data, and bad frames are left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import known, messages, states, write_dataset

from distill.files.dataset import Dataset, load_dataset
from distill.files.properties import VARIABLES
from distill.files.scales import ONE, Scales, far_from_one, over_decades, scales_of
from distill.formulas.text import parse, to_text
from distill.formulas.units import Units
from distill.law import account, node_terms, selection
from distill.law.sources import Source
from distill.messages.extraction import Extraction
from distill.messages.net_forces import nodes_of
from distill.network.data import Inputs, dataset_features
from distill.network.evaluation import network_acceleration
from distill.network.labels import typical_size
from distill.network.learning.fit import fit
from distill.network.learning.training import Trainer
from distill.physics.law import Law
from distill.pipeline.train import resolve
from distill.search.engine import SearchOptions
from distill.search.front import Front, Row
from distill.search.targets import radial_target, search_target
from distill.splines.fit import fit_pair_force

OTHERS = [Scales(3.7e11, 5.2e-6, {"mass": 8.1e24, "charge": 1.6e-19}), Scales(2.3e-12, 4.1e9, {"mass": 7.7e-11})]


def rescaled(arrays: dict, by: Scales, origin=0.0) -> dict:
    """A dataset's arrays in other units, lengths times ``by.length`` and so on, positions from another ``origin``, in
    lengths before.
    """
    unit = {"vel": by.speed, "acc": by.acceleration, "t": by.time, "mass": by.of("mass"), "charge": by.of("charge")}
    out = {k: v * unit.get(k, 1.0) if v.dtype.kind == "f" else v for k, v in arrays.items()}
    return out | {"pos": (arrays["pos"] + origin) * by.length}


def dataset_of(arrays: dict) -> Dataset:
    return Dataset("planted", Path("planted.npz"), arrays)


def in_other_units(m: dict, by: Scales) -> dict:
    """A messages table in other units."""
    unit = {"dx": by.length, "r": by.length} | dict.fromkeys(("vel_i", "vel_j"), by.speed)
    unit |= {f"{name}_{end}": by.of(name) for name in ("mass", "charge") for end in "ij"}
    unit |= dict.fromkeys(("acc_i", "acc_pred_i"), by.acceleration) | {"force": by.force}
    return {k: v.astype(float) * unit[k] if k in unit else v for k, v in m.items()}


@pytest.mark.parametrize("by", [replace(OTHERS[0], length=2.0**37, time=2.0**-18, properties={"mass": 2.0**80})])
def test_scaled_data_are_the_same_bit_for_bit_in_powers_of_two(by):
    arrays = states("r2", trajectories=8)
    own, other = dataset_of(arrays), dataset_of(rescaled(arrays, by))
    one, two = scales_of(own), scales_of(other)
    assert (two.length, two.time) == (one.length * by.length, one.time * by.time)
    graphs = own.frames("train")
    x = [dataset_features(d, graphs, Inputs(scales, True)) for d, scales in ((own, one), (other, two))]
    assert (x[0] == x[1]).all()
    assert 0.2 < np.median(np.abs(x[0][..., :2])) < 5


@pytest.mark.parametrize("by", OTHERS)
def test_scales_follow_the_unit_and_not_the_origin(by):
    arrays = states("charge", trajectories=8)
    one, two = scales_of(dataset_of(arrays)), scales_of(dataset_of(rescaled(arrays, by, 1e6)))
    assert two.length == pytest.approx(one.length * by.length) and two.time == pytest.approx(one.time * by.time)
    assert two.of("charge") == by.of("charge") * one.of("charge") == by.of("charge")  # +1 and -1 stay so
    far = far_from_one(dataset_of(rescaled(arrays, by, 1e6)), two)
    assert len(far) >= 3 and "from the origin" in far[-1] and far_from_one(dataset_of(arrays), one) == []


def test_ranges_over_many_decades_are_named():
    arrays = states("r2", trajectories=8)
    assert over_decades(dataset_of(arrays)) == []
    arrays["mass"] = 10 ** np.linspace(-5, 4, arrays["mass"].size).reshape(arrays["mass"].shape)
    assert over_decades(dataset_of(arrays)) == ["'mass' over 8.8 decades"]


def trained(dataset: Dataset, scales: Scales | None, tmp: Path, **asked):
    options = resolve(dataset, "bottleneck", "newton", {"epochs": 12.0, "batch_size": 32, "hidden": 16} | asked, False)
    trainer = Trainer(dataset, "bottleneck", options, 0, "cpu", "float32", tmp / "c", {}, False, None, scales)
    fit([trainer])
    return trainer


@pytest.mark.parametrize("invariant", [True, False])
def test_networks_do_not_depend_on_unit_or_origin(invariant, tmp_path):
    arrays = states("r2", trajectories=24, frames=20)
    own = dataset_of(arrays)
    by, shift = OTHERS[0], np.array([2.0**20, -(2.0**19)])  # exactly representable
    other = dataset_of(rescaled(arrays, by, shift))
    one, two = (trained(d, scales_of(d), tmp_path, translation_invariant=invariant) for d in (own, other))
    errors = [t.skill()["network"] for t in (one, two)]
    assert errors[1] == pytest.approx(errors[0], rel=0.02)
    assert errors[0] < (1.0 if not invariant else 0.9) * one.skill()["zero"]
    assert two.history[-1]["validation_mae"] == pytest.approx(
        by.acceleration * one.history[-1]["validation_mae"], rel=0.02
    )
    found = [
        next(Extraction(t.model.eval(), d).parts(np.zeros(2, int), np.arange(2))) for t, d in ((one, own), (two, other))
    ]
    size = np.abs(found[0]["acc_pred_i"]).max()
    np.testing.assert_allclose(found[1]["acc_pred_i"] / by.acceleration, found[0]["acc_pred_i"], atol=0.02 * size)
    np.testing.assert_allclose(found[1]["r"] / by.length, found[0]["r"], rtol=1e-6)
    function = network_acceleration(two.model, other)
    acc = function(other.pos[0, :2], other.vel[0, :2], {k: v[:1].repeat(2, 0) for k, v in other.properties.items()})
    np.testing.assert_allclose(acc.reshape(-1, 2)[0], found[1]["acc_pred_i"][0], rtol=1e-4)


def test_accelerations_of_particles_out_of_reach_do_not_make_the_unit_of_errors(tmp_path):
    """Springs that act only where stretched: of all accelerations, most of them 0, the median is no size."""
    data = load_dataset(str(write_dataset(tmp_path, system="discontinuous", trajectories=20)))
    acc = np.array(data.acc)
    size = np.linalg.norm(acc, axis=-1)
    acc[size < np.quantile(size, 0.7)] = 0.0
    for unit in (1.0, 1e4):
        one = replace(data, arrays=data.arrays | {"acc": unit * acc})
        options = resolve(one, "l1", "newton", {"hidden": 8}, True)
        trainer = Trainer(one, "l1", options, 0, "cpu", "float32", tmp_path / "c", {}, False)
        known = np.linalg.norm(trainer.labels.acc.numpy(), axis=-1)
        known = known[known > 0]
        assert known.size and abs(np.mean(known < trainer.scale) - 0.5) < 0.01
    assert typical_size(torch.zeros(3)) == 1.0


def test_extracted_accelerations_that_32_bits_cannot_hold_are_kept_in_64(tmp_path):
    arrays = states("r2", trajectories=12)
    other = dataset_of(rescaled(arrays, OTHERS[1]))
    part = next(
        Extraction(trained(other, scales_of(other), tmp_path).model, other).parts(np.zeros(1, int), np.zeros(1, int))
    )
    assert OTHERS[1].acceleration < 1e-25 and part["acc_pred_i"].dtype == np.float64 and np.all(part["acc_pred_i"] != 0)


@pytest.mark.parametrize("system", ["r2", "charge", "spring"])
@pytest.mark.parametrize("by", OTHERS)
def test_formulas_of_data_in_other_units(system, by):
    units, expr = Units.of_scales(by), known(system).formula
    there = units.pair_of_data(expr)
    m = messages(system, trajectories=6)
    one, two = (
        selection.Ground(a, nodes_of(a), (), small=40, large=60, held_out=40) for a in (m, in_other_units(m, by))
    )
    assert one.fit.score(expr) < 1e-5 and two.fit.score(there) < 1e-5
    assert two.within(units).fit.score(expr) < 1e-5


def found(m: dict, law: str):
    """The refit of a front of a constant, a wrong law and one with the right form, in the units of the data ``m``."""
    nodes, start = nodes_of(m), parse(law, VARIABLES)
    sizes = {"mass": np.median(m["mass_i"]), "charge": np.median(np.abs(m["charge_i"])) or 1.0}
    length, acc = np.median(m["r"]), np.median(np.linalg.norm(m["acc_i"], axis=1))
    units = Units.of_scales(
        Scales(float(length), float(np.sqrt(length / acc)), {k: float(v) for k, v in sizes.items()})
    )
    rows = [units.pair_of_data(parse(text, VARIABLES)) for text in ("0.3", "0.2*m_i*m_j/r")]
    rows = [Row(0, 1.0, "", e) for e in [*rows, start]]
    ground = selection.Ground(m, nodes, (), small=150, large=300, held_out=150, units=units)
    source, nothing = Source("x", "x", "x", m["force"].astype(float)), Dataset("planted", Path("planted.npz"), {})
    return account.finding(source, Front(rows, "none", 2, ""), ground, m, nothing)


@pytest.mark.parametrize("by", OTHERS)
def test_a_law_refitted_in_other_units_is_the_same(by):
    m = messages("r2", trajectories=30)
    there = in_other_units(m, by)
    one = found(m, "-0.8*m_i*m_j/(r + 0.02)^2")
    start = Units.of_scales(by).pair_of_data(parse("-0.8*m_i*m_j/(r + 0.02)^2", VARIABLES))
    two = found(there, str(start).replace("**", "^"))
    back = Units.of_scales(by).pair(two.law.pair)
    r = np.geomspace(0.01, 10, 50)
    ends = {"r": r, **{v: 1.3 * np.ones(50) for v in VARIABLES[1:]}}
    np.testing.assert_allclose(Law(back).radial(**ends), Law(one.law.pair).radial(**ends), rtol=1e-6)
    truth = known("r2").formula
    np.testing.assert_allclose(Law(back).radial(**ends), Law(truth).radial(**ends), rtol=1e-4)
    assert [c.complexity for c in one.refined.candidates] != [] and two.known["constants"][0][
        "standard_error"
    ] is not None


def test_splines_do_not_depend_on_the_unit():
    m = messages("charge", trajectories=30)
    reads = []
    for by in (ONE, *OTHERS):
        there = in_other_units(m, by)
        reads.append(fit_pair_force(there, nodes_of(there)).force(there) / by.force)
    size = np.abs(reads[0])
    for other in reads[1:]:
        np.testing.assert_allclose(other, reads[0], rtol=1e-4, atol=1e-6 * np.median(size))


def test_values_of_node_terms_are_turned_back():
    units = Units.of_scales(OTHERS[0])
    errors, dropped = node_terms.of_data(
        {"drag": 1.0, "constant_acceleration": [1.0, None]},
        [{"name": "drag_per_mass", "value": 2.0, "standard_error": None, "why": ""}],
        units,
    )
    by = OTHERS[0]
    assert errors["drag"] == pytest.approx(by.of("mass") / by.time)
    assert errors["constant_acceleration"] == [pytest.approx(by.acceleration), None]
    assert dropped[0]["value"] == pytest.approx(2.0 / by.time)


# ---------------------------------------------------------------- bad frames


def written(folder: Path, arrays: dict) -> str:
    np.savez(folder / "own.npz", **arrays)
    return str(folder / "own.npz")


def test_frames_that_cannot_be_are_left_out_and_named(tmp_path, capsys):
    arrays = states("r2", trajectories=10, frames=10)
    steps = np.cumsum(0.01 * arrays["vel"], axis=1)
    arrays["pos"] = arrays["pos"][:, :1] + steps
    clean = load_dataset(written(tmp_path, arrays))
    assert clean.there.all() and not capsys.readouterr().err
    arrays["pos"][0, 3, 1] = arrays["pos"][0, 3, 0]
    arrays["acc"][2, 5, 2, 0] = np.nan
    arrays["pos"][4, 6, 3] += 1e4
    loaded = load_dataset(written(tmp_path, arrays))
    said = capsys.readouterr().err
    assert "3 of 100 frames" in said and said.count("\n") == 1
    assert "the same place (trajectory 0, frame 3, particles 0 and 1)" in said
    assert (
        "missing (trajectory 2, frame 5, particles 2)" in said and "jump (trajectory 4, frame 6, particles 3)" in said
    )
    gone = {3, 2 * 10 + 5, 4 * 10 + 6}
    assert set(range(100)) - set(loaded.frames("all").tolist()) == gone


def test_particles_that_are_always_together_are_no_slip_but_told(tmp_path, capsys):
    arrays = states("r2", trajectories=6, frames=4)
    arrays["pos"][:, :, 1] = arrays["pos"][:, :, 0]
    assert load_dataset(written(tmp_path, arrays)).there.all()
    said = capsys.readouterr().err
    assert "in 24 of 24 frames particles are at the same place, the first trajectory 0, frame 0, particle 0" in said


# ---------------------------------------------------------------- searches


@pytest.mark.parametrize("by", OTHERS)
def test_a_front_is_searched_in_units_and_told_in_those_of_the_data(by):
    """The engine "file" gives formulas of the data: inside they are turned, fitted, and turned back."""
    m = in_other_units(messages("r2", trajectories=12), by)
    units = Units.of_scales(by)
    target = radial_target("radial", m, m["force"], 400, 0, units)
    start = units.pair_of_data(parse("-0.7*m_i*m_j/(r + 0.02)^2", VARIABLES))
    options = SearchOptions(engine="file", formulas=(to_text(start, 17),), loss="relative")
    front = search_target(target, options)
    back, truth = units.pair(front.expr), known("r2").formula
    x = {"r": np.geomspace(0.05, 5, 20), "m_i": 1.3 * np.ones(20), "m_j": 0.7 * np.ones(20)}
    np.testing.assert_allclose(Law(back).radial(**x), Law(truth).radial(**x), rtol=1e-3)
    told = parse(front.rows[front.chosen].equation, VARIABLES)  # what stands in hall_of_fame.csv
    np.testing.assert_allclose(Law(units.pair(told)).radial(**x), Law(back).radial(**x), rtol=1e-6)
