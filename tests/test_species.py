"""Categories of particles, such as species: read and stored, told apart in splines, in laws, in what is exported."""

import types

import numpy as np
import pytest
import sympy as sp
from scripts import undigested
from test_tracks import moving, table, write_csv

from distill.export import numpy_module
from distill.files.arrays import coded, indicators
from distill.files.dataset import load_dataset
from distill.files.properties import level_names, of_edges
from distill.formulas.tree import parametrise
from distill.law import constants
from distill.law.levels.refine import refined_by_group
from distill.law.selection import Ground
from distill.law.verdict import relation_of
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law, law_of_system
from distill.physics.system import net_force
from distill.physics.systems import SYSTEMS, initial_conditions
from distill.physics.terms.cases import Case, Group, coefficients_in
from distill.physics.user_system import read_system
from distill.pipeline.import_tracks import import_tracks
from distill.search.front import Row
from distill.shell import paths
from distill.shell.errors import UserError
from distill.splines.dependence import COEFFICIENTS, GIVEN, LEVELS
from distill.splines.fit import fit_pair_force

R = sp.Symbol("r", positive=True)
NAMES = ("mass", "charge", "species__A", "species__B")


@pytest.fixture(autouse=True)
def datasets(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATASETS", tmp_path / "datasets")


def edges(law: Law, noise=0.0, frames=200, n=5, seed=0, masses=False) -> dict:
    """Places at random in the fields of a messages file, with the accelerations of ``law``, written out by hand."""
    rng = np.random.default_rng([seed, 7])
    pos, species = rng.normal(0, 1, (frames, n, 2)), rng.integers(0, 2, (frames, n))
    mass = np.exp(0.5 * rng.standard_normal((frames, n))) if masses else np.ones((frames, n))
    own = {"mass": mass, "charge": np.zeros((frames, n))} | indicators("species", ("A", "B"), species)
    k, i, j = np.nonzero(np.tile(~np.eye(n, dtype=bool), (frames, 1, 1)))
    dx = pos[k, i] - pos[k, j]
    r = np.linalg.norm(dx, axis=1)
    out = {"receiver": i, "sender": j, "trajectory": k // 10, "frame": k % 10, "dx": dx, "r": r, "vel_i": 0 * dx}
    out |= {f"{name}_{end}": value[k, e] for name, value in own.items() for end, e in (("i", i), ("j", j))}
    f = law.radial(**of_edges(out))
    acc = np.zeros_like(pos)
    np.add.at(acc, (k, i), f[:, None] * dx / r[:, None])
    acc = acc / mass[..., None] * (1 + noise * rng.standard_normal(acc.shape))
    return out | {"vel_j": 0 * dx, "acc_i": acc[k, i], "acc_pred_i": acc[k, i], "f": f}


def law(name: str) -> Law:
    return law_of_system(SYSTEMS[name], 2)


def gravity() -> Law:
    return Law(-1 / (sp.Symbol("r", positive=True) + sp.Float(0.1)), properties=NAMES)


# ---------------------------------------------------------------- files


def test_words_and_chosen_numbers_are_categories_and_other_numbers_stay(tmp_path):
    data = moving(trajectories=12, n=3)
    columns = table(data, properties=("mass", "spin"))
    columns |= {
        "species": np.array(["wolf", "hare", "big wolf"])[columns["particle"]],
        "type": columns["particle"] % 2 + 3,
    }
    path = write_csv(tmp_path / "a.csv", columns)
    found = load_dataset(str(import_tracks(path, categories=["type"]).path))
    assert found.categories == {"species": ("big_wolf", "hare", "wolf"), "type": ("3", "4")}
    assert found.species.dtype.kind == "i" and (found.species == [2, 1, 0]).all() and (found.type == [0, 1, 0]).all()
    assert found.meta.categories == {name: list(levels) for name, levels in found.categories.items()}
    own = found.properties
    assert (own["species__hare"] == [0, 1, 0]).all() and np.array_equal(own["spin"], data["spin"])
    with pytest.raises(UserError, match="no property 'sort' to take as a category"):
        import_tracks(path, name="b", categories=["sort"])
    with pytest.raises(UserError, match="different numbers.*at most 20 whole numbers"):
        import_tracks(path, name="b", categories=["spin"])


def test_arrays_of_words_are_read_by_whoever_takes_them(tmp_path):
    data = moving(trajectories=4, n=2)
    np.savez(tmp_path / "own.npz", **{k: data[k] for k in ("pos", "vel", "acc")}, sort=np.array([["b", "a"]] * 4))
    for found in (load_dataset(str(tmp_path / "own.npz")), load_dataset(str(import_tracks(tmp_path / "own.npz").path))):
        assert found.categories == {"sort": ("a", "b")} and (found.sort == [1, 0]).all()
    side = paths.DATASETS / "own.json"
    undigested(side, categories={"sort": ["a", "0"]})
    with pytest.raises(UserError, match="the levels of 'sort' are a, 0"):
        load_dataset("own")


def test_levels_have_names_that_formulas_can_hold():
    assert level_names(["A", "a b", "a-b", "!", "x" * 40]) == ("A", "a_b", "a_b_2", "other", "x" * 12)
    arrays, levels = coded({"mass": np.ones(3)} | indicators("species", ("A", "B"), [1, 0, 1]))
    assert levels == {"species": ["A", "B"]} and arrays["species"].tolist() == [1, 0, 1] and len(arrays) == 2


# ---------------------------------------------------------------- systems


@pytest.mark.parametrize(("name", "closed"), [("two_species", True), ("mixture", True), ("predator_prey", False)])
def test_forces_of_species_add_up_to_zero_where_action_is_reaction(name, closed):
    system = SYSTEMS[name]
    pos, vel, own = initial_conditions(system, np.random.default_rng(3), 6, 2)
    assert {*(own[system.properties[2]] + own[system.properties[3]])} == {1.0}
    total = np.abs(net_force(system, pos, 0 * vel, own).sum(0)).max()
    assert bool(total < 1e-12) is closed is system.reciprocal


def test_a_system_file_gives_a_law_for_every_pair(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text('law = {("a", "a"): "1/r^2", ("a", "b"): "-1/r"}\n')
    own = {"r": 2.0, "m_i": 1, "m_j": 1, "q_i": 0, "q_j": 0}
    found = law_of_system(read_system(path), 2)
    for one, other, force in (("a", "a", 0.25), ("a", "b", -0.5), ("b", "a", -0.5), ("b", "b", 0.0)):
        ends = {f"species__{s}_{e}": float(s == at) for e, at in (("i", one), ("j", other)) for s in "ab"}
        assert found.radial(**{k: np.array([float(v)]) for k, v in (own | ends).items()}) == [force]
    path.write_text('law = {"a": "1/r^2"}\n')
    with pytest.raises(UserError, match="law is a dict, expected the text for pairs of names"):
        read_system(path)


# ---------------------------------------------------------------- splines


@pytest.mark.parametrize(
    ("of", "kind", "names", "noise"),
    [
        (gravity, GIVEN, ["1"], 0.05),
        (lambda: law("mixture"), COEFFICIENTS, None, 0.0),
        (lambda: law("mixture"), COEFFICIENTS, None, 0.05),
        (lambda: law("two_species"), LEVELS, ["[AA]", "[AB, BA]", "[BB]"], 0.05),
    ],
)
def test_held_out_forces_decide_how_species_enter(of, kind, names, noise):
    seen = edges(of(), noise)
    fit = fit_pair_force(seen, nodes_of(seen), kinds=(GIVEN,))
    assert fit.about["dependence"] == kind and names in (None, fit.dependence.names)
    off = np.abs(fit.radial(seen) - seen["f"]) / (0.1 + np.abs(seen["f"]))
    assert np.median(off) < (0.002 if noise == 0 else 0.06)
    if kind == COEFFICIENTS:
        (group,) = fit.dependence.groups
        c = {case.name: value for of, value in group.parts for case in of}
        assert c["AB"] == c["BA"]
        assert np.allclose([c["AB"] / c["AA"], c["BB"] / c["AA"]], [-2 / 3, 1 / 3], rtol=1e-3 if noise == 0 else 0.05)


def test_numbers_enter_beside_species():
    m_i, m_j = (sp.Symbol(name, positive=True) for name in ("m_i", "m_j"))
    a, b = (sp.Symbol(f"species__A_{end}", real=True) for end in "ij")
    true = Law((2 * a * b - a - b) * m_i * m_j / (R + sp.Float(0.2)), properties=NAMES)
    seen = edges(true, masses=True)
    fit = fit_pair_force(seen, nodes_of(seen), kinds=(GIVEN,))
    assert fit.dependence.names == ["[AB, BA] m_i*m_j"]  # nothing between two of a kind
    assert np.median(np.abs(fit.radial(seen) - seen["f"])) < 1e-5


# ---------------------------------------------------------------- laws


def case(a: str, b: str) -> Case:
    return Case((f"species__{a}",), (f"species__{b}",))


APART = tuple(Group(((of, 1.0),)) for of in ((case("A", "A"),), (case("A", "B"), case("B", "A")), (case("B", "B"),)))
SHARED = Group((((case("A", "A"),), 1.4), ((case("A", "B"), case("B", "A")), -1.1), ((case("B", "B"),), 0.6)))


def test_formulas_of_pairs_of_levels_are_fitted_together():
    seen, true = edges(law("two_species")), law("two_species")
    ground = Ground(seen, nodes_of(seen), (), small=200, large=400, held_out=200)
    starts = {"AA": 0.9 / (R + 0.2) ** 2, "AB": -1.1 / (R + 0.2), "BB": 0.9 * R * sp.exp(-0.3 * R**2)}
    rows = {name: [Row(0, 0.0, "", expr)] for name, expr in starts.items()}
    found = refined_by_group(APART, starts, rows, ground, False).law
    told = relation_of(found.pair, true.pair, {"in": of_edges(seen)})
    assert told["relation"] == "same", told["text"]
    wrong = found.pair.xreplace({s: sp.S.Zero for s in found.pair.free_symbols if s.name == "species__B_j"})
    assert relation_of(wrong, true.pair, {"in": of_edges(seen)})["relation"] == "different"


def test_a_form_that_one_group_shows_is_tried_in_all():
    """By itself no group can tell: each is seen beside others whose formulas are wrong."""
    pairs = {"AA": 1.5 / (R + 0.2) ** 3, "AB": -0.7 / (R + 0.4) ** 3, "BB": 0.3 / (R + 0.3) ** 3}
    true = Law(sp.Add(*[g.whole(pairs[g.name]) for g in APART]), properties=NAMES)
    seen = edges(true)
    ground = Ground(seen, nodes_of(seen), (), small=200, large=400, held_out=200)
    wrong = {"AA": 2.0 - 0.8 * R, "AB": 0.5 - 0.3 * R, "BB": 0.9 * R * sp.exp(-0.3 * R**2)}
    rows = {name: [Row(0, 0.0, "", expr)] for name, expr in wrong.items()}
    rows["AB"].append(Row(0, 0.0, "", -0.3 / (R + 0.1) ** 3))
    refined = refined_by_group(APART, wrong, rows, ground, False)
    told = relation_of(refined.law.pair, true.pair, {"in": of_edges(seen)})
    assert told["relation"] == "same", told["text"]
    assert refined.why.startswith("one form for all, constants of their own: simplest of ")
    assert "0.1" not in refined.why.split("AA: ")[1]  # errors of formulas that are in the law, beside the others of it


OTHER = {"AA": 1.5 / (R + 0.2) ** 3, "AB": -0.7 / (R + 0.4) ** 3, "BB": 0.3 * R * sp.exp(-R)}


def test_what_is_told_is_told_of_the_law():
    """Noise, and a group of another form: what all groups were fitted to together is left again."""
    true = Law(sp.Add(*[g.whole(OTHER[g.name]) for g in APART]), properties=NAMES)
    seen = edges(true, noise=0.02)
    ground = Ground(seen, nodes_of(seen), (), small=200, large=400, held_out=200)
    wrong = {"AA": 2.0 - 0.8 * R, "AB": 0.5 - 0.3 * R, "BB": 0.9 * R * sp.exp(-0.3 * R**2)}
    rows = {name: [Row(0, 0.0, "", expr)] for name, expr in wrong.items()}
    rows["AB"].append(Row(0, 0.0, "", -0.3 / (R + 0.1) ** 3))
    rows["BB"].append(Row(0, 0.0, "", 0.2 * R * sp.exp(-0.8 * R)))
    refined = refined_by_group(APART, wrong, rows, ground, False)
    one, other = (group.of(refined.law.pair) for group in (APART[0], APART[2]))
    alike = parametrise(one)[0] == parametrise(other)[0]
    assert refined.why.startswith("one form for all") == alike
    assert refined.law.cases[case("A", "B")] == refined.law.cases[case("B", "A")]
    assert refined.held_out < 0.03


def test_round_constants_stay_with_their_pairs():
    """SymPy orders the terms of a sum by their constants: with others of about that size they change places."""
    indicators_of = {name: group.factor for name, group in zip(("AA", "AB", "BB"), APART, strict=True)}
    near = {"AA": -1.0003, "AB": 2.0003, "BB": -0.5003}
    true = Law(sp.Add(*[round(c, 2) * indicators_of[k] for k, c in near.items()]) / (R + 0.2) ** 2, properties=NAMES)
    seen = edges(true, noise=0.05)
    ground = Ground(seen, nodes_of(seen), (), small=200, large=400, held_out=200)
    start = sp.Add(*[sp.Float(c) * indicators_of[k] for k, c in near.items()]) / (R + sp.Float(0.2003)) ** 2
    law_found, told = constants.examine(start, ground.many)
    found = Law(law_found, properties=NAMES)
    for name, c in near.items():
        value = found.cases[case(*name)].subs(R, 1.0)
        assert float(value) == pytest.approx(c / 1.2**2, rel=0.15), (name, told["form"])
    errors = [c["standard_error"] / abs(c["value"]) for c in told["constants"]]
    assert max(errors) < 0.1, told["constants"]


def test_a_shared_constant_stays_one():
    """Two cases of a group have one function, whatever it is."""
    flat = {"AA": sp.Float(0.4), "AB": sp.Float(-0.6), "BB": sp.Float(0.2)}
    true = Law(sp.Add(*[g.whole(flat[g.name]) for g in APART]), properties=NAMES)
    seen = edges(true, noise=0.05)
    ground = Ground(seen, nodes_of(seen), (), small=200, large=400, held_out=200)
    start = {name: f * (1 + 0.1 * R) for name, f in flat.items()}
    found = refined_by_group(APART, start, {k: [Row(0, 0.0, "", f)] for k, f in start.items()}, ground, False).law
    assert found.cases[case("A", "B")] == found.cases[case("B", "A")]


def test_coefficients_and_their_function_are_fitted_together():
    seen = edges(law("mixture"))
    ground = Ground(seen, nodes_of(seen), (), small=200, large=400, held_out=200)
    start = 0.9 / (R + 0.2) ** 2
    found = refined_by_group((SHARED,), {"all": start}, {"all": [Row(0, 0.0, "", start)]}, ground, False).law
    values, function = coefficients_in(found.pair)
    assert {c.name: round(v, 6) for c, v in values.items()} == {"AA": 1.5, "AB": -1.0, "BA": -1.0, "BB": 0.5}
    assert relation_of(found.pair, law("mixture").pair, {"in": of_edges(seen)})["relation"] == "same"
    assert abs(float(function.subs(R, 0.9)) - 1) < 1e-6
    text = found.equation()["text"]
    assert "f = c g" in text and "c_AB = c_BA = -1" in text


def test_an_exported_law_takes_numbers_or_names_of_species():
    pos, vel = np.random.default_rng(5).normal(0, 1, (2, 4, 6, 2))
    numbers = np.array([0, 1, 1, 0, 1, 0])
    for name in ("two_species", "mixture", "predator_prey"):
        one, levels = law(name), [k.partition("__")[2] for k in law(name).properties[2:]]
        module = types.ModuleType("law")
        exec(numpy_module.source(one, 2, "a test"), module.__dict__)
        own = {"mass": np.ones(6)} | indicators("species", levels, numbers)
        true = one.acceleration(pos, vel, own | {"charge": np.zeros(6)})
        for given in (numbers, np.array(levels)[numbers]):
            found = module.acceleration(pos, vel, mass=np.ones(6), species=given)
            assert np.abs(found - true).max() < 1e-12 * np.abs(true).max()
        with pytest.raises(TypeError, match="depends on species"):
            module.acceleration(pos, vel, mass=np.ones(6))
