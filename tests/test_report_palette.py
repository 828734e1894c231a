"""Series of one figure are told apart in grey, by colour-blind readers, and by more than their colour."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from filled import filled
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from reported import compared, one_set, rollouts, set_json

from distill.files import kinds, records
from distill.fluid import figures
from distill.report import palette, plots

LIGHTER = 12.0  # CIE L* of 100 by which any two differ on a grey print
APART = 20.0  # CIE 1976 colour difference, as seen by all of these eyes; a just noticeable one is 2
EYES = {  # linear RGB as seen, by Machado, Oliveira and Fernandes (2009), nothing of one kind of cone left
    "all cones": np.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def lab(colour, eye="all cones") -> np.ndarray:
    """CIE L*, a*, b* of an sRGB colour as ``eye`` sees it."""
    c = np.array(to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(EYES[eye]) @ linear, 0, 1) / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def confused(colours) -> list[tuple]:
    """Pairs of different colours that are too alike, and how."""
    out = []
    for a, b in itertools.combinations(sorted(set(map(to_hex, colours))), 2):
        out += [(a, b, "grey")] if abs(lab(a)[0] - lab(b)[0]) < LIGHTER else []
        out += [(a, b, eye) for eye in EYES if np.linalg.norm(lab(a, eye) - lab(b, eye)) < APART]
    return out


def test_lightness_and_eyes_are_what_the_standard_says():
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=0.02) and lab("#777777")[0] == pytest.approx(50.0, abs=0.2)
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.2], abs=0.05)
    for eye in EYES:  # grey is grey to all
        assert lab("#777777", eye) == pytest.approx([50.0, 0, 0], abs=0.5)


def test_colours_that_are_too_alike_are_found():
    assert ("#2e86ab", "#d1495b", "grey") in confused(["#1b2a41", "#d1495b", "#2e86ab"])  # equally light
    assert ("#00a000", "#b46400", "no red cones") in confused(["#b46400", "#00a000"]) or confused(
        ["#b46400", "#00a000"]
    )


@pytest.mark.parametrize(
    "colours", [palette.SERIES, (palette.INK, palette.SOFT, palette.ACCENT, palette.MUTED)], ids=["series", "roles"]
)
def test_colours_are_apart_and_seen_on_white(colours):
    assert confused(colours) == []
    light = [lab(colour)[0] for colour in colours]
    assert light == sorted(light) and light[-1] < 78


def test_many_series_differ_in_colour_or_style():
    assert len({palette.series(k)[:2] for k in range(20)}) == 20
    assert len({palette.series(k) for k in range(60)}) == 60


def drawn_of(handle) -> tuple[str, tuple]:
    """Colour, and what else tells a series in a legend: its kind, line style and marker."""
    if isinstance(handle, Line2D):
        return to_hex(handle.get_color()), ("line", handle.get_linestyle(), str(handle.get_marker()))
    if hasattr(handle, "lines"):  # of an errorbar
        return to_hex(handle.lines[0].get_color()), ("points", "", str(handle.lines[0].get_marker()))
    return to_hex(handle.get_facecolor()[0]), ("area", "", "")


def first_look():
    functions = [SimpleNamespace(name=name) for name in ("1", "m_i*m_j", "q_i*q_j")]
    fit = SimpleNamespace(
        dependence=SimpleNamespace(functions=functions),
        curves=lambda r: np.column_stack([1 - r, 1 / r, -2 / r]),
    )
    acc = np.random.default_rng(0).normal(size=(50, 2))
    told = {"left": 0.1, "clues": {"velocity": {"z": 9.0}, "time": {"z": 1.0}}}
    return plots.first_look(fit, {"r": np.linspace(0.1, 3, 200)}, SimpleNamespace(acc=acc), acc, told, "made")


def learnt():
    told = [filled(kinds.LearntValue, body=f"b{k}", value=k + 1.0, determined=k < 3, known=1.1) for k in range(6)]
    r = np.linspace(0.5, 2, 9)
    values = {"mass": [records.build(kinds.LearntValue, one) for one in told]}
    return plots.learnt(values, r, 1 - r, "made")


def of_fluid(name):
    r = [2.0, 3.0, 4.0]
    mean = {"mean": [0.0, 2.0, 1.0], "n": 3, "time_ps": 5.0}
    g = {"r_A": r, "reference": {"mean": r, "low": r, "high": r, "n": 4}, "models": dict.fromkeys(figures.NAMES, mean)}
    curve = {"energy_drift": {"median": [0.0, 1e-3, 1e-2]}}
    drift = {"time": [0.0, 1.0, 2.0], "models": dict.fromkeys(figures.NAMES, curve)}
    force = {"": (np.array([3.0, -1, -0.1]), np.array([3.1, -1, -0.1]))}
    given = {"structure": (g,), "energy": (drift,), "pair_forces": (np.array(r), force, "kJ/mol/nm")}
    return getattr(figures, name)(*given[name])


def training_curve():
    return plots.training_curve(dict.fromkeys(("epoch", "train_loss", "validation_loss", "validation_mae"), [1, 2]), "")


def comparison():
    made = records.build(kinds.Generalization, compared(sets={"wide": set_json()}))
    return plots.generalization(made.sets, made.rollouts, "")


def linear_fit():
    x = np.random.default_rng(0).normal(size=(90, 2))
    force = {"read-out": (x[:, 0], x[:, 1], {"r2_all": 1.0, "r2_trim90": 1.0})}
    return plots.linear_fit(x, x, ["", ""], [(1, 1)] * 2, force, "")


FIGURES = {
    "training": training_curve,
    "front": lambda: plots.pareto({"radial": ([1, 3], [1.0, 0.1], 1)}, ""),
    "sets": lambda: plots.set_errors({"interpolation": one_set(), "wide": one_set(1e-3)}),
    "rollouts": lambda: plots.rollout_curves(records.build(kinds.Rollouts, rollouts())),
    "comparison": comparison,
    "importance": lambda: plots.importance_bars("std", [1.0, 0.5, 0.1], [0], 0.9, ""),
    "messages": linear_fit,
    "first look": first_look,
    "learnt": learnt,
    "g(r)": lambda: of_fluid("structure"),
    "energy of a fluid": lambda: of_fluid("energy"),
    "force of a fluid": lambda: of_fluid("pair_forces"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_drawn_in_one_panel_is_told_apart(name):
    for axis in FIGURES[name]().axes:
        lines = [to_hex(one.get_color()) for one in axis.lines]
        areas = [to_hex(c) for one in axis.collections for c in one.get_facecolor()]
        bars = [to_hex(one.get_facecolor()) for one in axis.patches]
        assert confused([*lines, *areas, *bars]) == []
        handles, labels = axis.get_legend_handles_labels()
        looks = dict(zip(labels, map(drawn_of, handles), strict=True))
        for (a, one), (b, other) in itertools.combinations(looks.items(), 2):
            assert one[1] != other[1], f"{a} and {b} differ in colour only"


def test_particles_are_told_apart_by_more_than_colour():
    pos = np.random.default_rng(0).normal(size=(1, 5, 12, 2))
    (axis,) = plots.trajectories(pos, np.ones((1, 12)), np.arange(5.0), ["one"]).axes
    assert len({(to_hex(one.get_color()), one.get_linestyle()) for one in axis.lines}) == 12
    assert confused([one.get_color() for one in axis.lines]) == []
    shapes = [one.get_paths()[0].vertices.tobytes() for one in axis.collections]
    assert len(set(shapes)) == len(palette.MARKERS)
