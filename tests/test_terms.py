"""Terms of a law and gauges of messages: vectors, fitted values and texts of every entry of their tables."""

import json

import numpy as np
import pytest

from distill.files import records
from distill.files.kinds import LawRecord, NodeLaw, PairLaw
from distill.files.storage import plain
from distill.formulas.text import parse
from distill.messages.gauges import gauge_named, gauges
from distill.messages.net_forces import fit_terms, node_columns
from distill.physics.law import Law, law_of
from distill.physics.terms import CONSTANT, ELIMINATION, NODE, PAIR, TERMS, About, Pairs, State, direction, force
from distill.physics.terms.arrays import import_jax
from distill.physics.terms.node import Uniform
from distill.shell.errors import UserError

RNG = np.random.default_rng(0)
MASS, CHARGE = np.exp(RNG.normal(size=40)), RNG.normal(size=40)
STATE = State(RNG.normal(size=(40, 2)), {"mass": MASS, "charge": CHARGE})


@pytest.mark.parametrize("name", CONSTANT)
def test_a_term_is_its_columns_times_its_numbers_and_is_found_again(name):
    term = TERMS[name]
    columns = term.columns(STATE)
    value = term.value(np.arange(1.0, len(columns) + 1))
    given = force({name: value}, STATE)
    np.testing.assert_allclose(given, sum(k * column for k, column in enumerate(columns, start=1)) + 0 * STATE.vel)
    found = fit_terms(given / MASS[:, None], np.ones(40), STATE, (name,))
    np.testing.assert_allclose(found[name], value, rtol=1e-9)
    assert np.ndim(value) == term.by_axis and len(node_columns(STATE, MASS, (name,)).T) == (1 if term.by_axis else 2)


def test_every_term_has_its_turn_to_go():
    assert sorted(ELIMINATION) == sorted(CONSTANT)
    assert ELIMINATION == ("constant_force", "drag_per_mass", "constant_acceleration", "drag")


def test_texts_of_terms():
    assert TERMS["drag"].text(0.5) == "- 0.5 v_i" and TERMS["drag_per_mass"].text(-0.5) == "+ 0.5 m_i v_i"
    assert TERMS["constant_acceleration"].text(np.array([1e-12, -1.0])) == "+ m_i (0, -1)"
    assert [TERMS[k].per_mass for k in ("constant_acceleration", "constant_force")] == ["", "/m_i"]
    pull = Uniform("charge_field", "charge", 4)
    assert pull.text(np.array([1.0, 2.0])) == "+ q_i (1, 2)" and pull.per_mass == " q_i/m_i"
    np.testing.assert_allclose(pull.vector(STATE)[:, 0], CHARGE)


# ---------------------------------------------------------------- vectors, functions, symmetry

SIZE = (30,)


def pairs(dim, seed=1):
    rng = np.random.default_rng(seed)
    dx, dv = rng.normal(size=(2, *SIZE, dim))
    ends = {name: np.exp(rng.normal(size=SIZE)) for name in ("m_i", "m_j", "q_i", "q_j")}
    return Pairs(dx, np.linalg.norm(dx, axis=-1), ends, dv, rng.uniform(size=SIZE))


def moving(dim, seed=2):
    rng = np.random.default_rng(seed)
    properties = {"mass": np.exp(rng.normal(size=SIZE)), "charge": rng.normal(size=SIZE)}
    return State(rng.normal(size=(*SIZE, dim)), properties, rng.normal(size=(*SIZE, dim)), 0.3)


def rotation(dim, seed=3):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]
    return turn * np.where(np.linalg.det(turn) < 0, np.r_[-1.0, np.ones(dim - 1)], 1.0)


RECIPROCAL = [name for name in PAIR if not TERMS[name].displaced]


@pytest.mark.parametrize("name", RECIPROCAL)
def test_vectors_of_pairs_turn_with_space_and_change_sign_with_the_ends(name):
    term = TERMS[name]
    for dim in set(term.dims) & {2, 3}:
        p, turn = pairs(dim), rotation(dim)
        found = term.vector(p.dx, p.r, p.dv)
        assert found.shape == p.dx.shape
        np.testing.assert_allclose(term.vector(p.dx @ turn, p.r, p.dv @ turn), found @ turn, atol=1e-12)
        mirror = np.r_[-1.0, np.ones(dim - 1)]
        there = term.vector(p.dx * mirror, p.r, p.dv * mirror)
        np.testing.assert_allclose(there, term.mirror * found * mirror, atol=1e-12)
        np.testing.assert_allclose(term.vector(p.dx, p.r, -p.dv), term.reversal * found, atol=1e-12)
        np.testing.assert_allclose(term.vector(-p.dx, p.r, -p.dv), -found, atol=1e-12)
        across = found - (found * p.unit).sum(-1)[:, None] * p.unit
        assert (np.abs(across).max() < 1e-12) == term.central
    with pytest.raises(ValueError, match="velocities|dimensions"):
        if term.in_speed:
            term.vector(p.dx, p.r)
        else:
            term.vector(np.ones((3, 5)), np.ones(3))


def test_vectors_of_pairs_by_hand():
    dx, dv, r = np.array([[3.0, 4.0]]), np.array([[1.0, 2.0]]), np.array([5.0])
    found = {name: TERMS[name].vector(dx, r, dv)[0].tolist() for name in PAIR}
    radial = (3 + 8) / 5
    assert found == {
        "radial": [0.6, 0.8],
        "relative_velocity": [-1, -2],
        "approach": pytest.approx([-radial * 0.6, -radial * 0.8]),
        "transverse": [-0.8, 0.6],
        "displaced": [0.6, 0.8],  # of points displaced by nothing
    }
    assert not direction(0 * dx, 0 * r).any()


@pytest.mark.parametrize("name", RECIPROCAL)
def test_action_is_reaction_where_the_function_is_symmetric_and_only_there(name):
    p = pairs(2)
    for text, mutual in (("m_i*m_j*exp(-r)*(1 + t)", True), ("m_j*exp(-r)", False)):
        function = parse(text, TERMS[name].variables(("mass", "charge")))
        there, back = TERMS[name].force(function, p), TERMS[name].force(function, p.swapped)
        assert np.allclose(there, -back) == mutual


def functions_of(name, dim):
    """A value that is made of functions."""
    term = TERMS[name]
    known = term.variables(("mass", "charge"), dim)
    if name == "central":
        return About((0.5, -1.0), parse("q_i*s*exp(-s^2)*cos(t)", known))
    texts = ["0.3*v^2 + m_i*x*t", "q_i*y - vx", "x*y"][: term.width(dim)]
    read = tuple(parse(text, known) for text in texts)
    return read if len(read) > 1 else read[0]


@pytest.mark.parametrize("name", NODE)
def test_forces_of_functions_are_their_values_times_the_vectors_in_numpy_and_in_jax(name):
    term, jnp = TERMS[name], import_jax().numpy
    for dim in set(term.dims) & {2, 3}:
        state, value = moving(dim), functions_of(name, dim)
        (x, y), (vx, _) = (a.T[:2] for a in (state.pos, state.vel))
        v, t, m, q = np.linalg.norm(state.vel, axis=1), state.t, *state.properties.values()
        centre = value.centre if name == "central" else ()
        s = np.linalg.norm(state.pos - [0.5, -1.0, 0.0][:dim], axis=1)
        numbers = [0.3 * v**2 + m * x * t, q * y - vx, x * y]
        numbers = [q * s * np.exp(-(s**2)) * np.cos(t)] if name == "central" else numbers
        columns = term.columns(state, centre)
        assert len(columns) == term.width(dim)
        expected = sum(n[:, None] * c for n, c in zip(numbers, columns, strict=False))
        found = term.force(value, state)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        there = State(*(jnp.asarray(a) for a in (state.vel,)), {k: jnp.asarray(a) for k, a in state.properties.items()})
        there = State(there.vel, there.properties, jnp.asarray(state.pos), state.t)
        np.testing.assert_allclose(term.force(value, there), found, rtol=1e-12, atol=1e-12)
        works = np.abs((found * state.vel).sum(-1)).max() > 1e-9
        assert works != (term.work == "none")


@pytest.mark.parametrize("name", [name for name in NODE if TERMS[name].work != "power" and name != "central"])
def test_constant_forces_are_minus_the_gradient_of_their_potential(name):
    term, jax = TERMS[name], import_jax()
    state = moving(3)
    value = np.array([0.7, -0.2, 0.4])[: term.width(3)]
    total = lambda x: term.potential(value, State(state.vel, state.properties, x)).sum()  # noqa: E731
    slope = -np.asarray(jax.grad(total)(jax.numpy.asarray(state.pos)))
    np.testing.assert_allclose(slope + 0 * state.vel, term.force(value, state) * (term.work != "none"), atol=1e-12)


def test_magnetic_forces_are_v_cross_b_and_in_the_plane_those_of_a_field_across_it():
    state, term = moving(3), TERMS["magnetic"]
    b, q = np.array([0.3, -1.0, 2.0]), state.properties["charge"][:, None]
    np.testing.assert_allclose(term.force(b, state), q * np.cross(state.vel, b))
    np.testing.assert_allclose(term.force(2.0, state), q * np.cross(state.vel, [0, 0, 2.0]))
    plane = State(state.vel[:, :2], state.properties)
    np.testing.assert_allclose(term.force(2.0, plane), q * np.cross(state.vel * [1, 1, 0], [0, 0, 2.0])[:, :2])


def test_what_a_state_lacks_is_named():
    state = State(np.ones((3, 2)), {"mass": np.ones(3)})
    place = parse("x^2", TERMS["field"].variables(("mass",), 2))
    with pytest.raises(ValueError, match="needs positions"):
        force({"field": (place, place)}, state)
    with pytest.raises(ValueError, match="needs positions"):
        force({"central": About((0.0, 0.0), 1.0)}, state)
    with pytest.raises(ValueError, match="q_i, which is not known"):
        force({"drag": parse("q_i", ("q_i",))}, state)


# ---------------------------------------------------------------- laws made of them


def law_of_everything(dim=2):
    known = TERMS["radial"].variables(("mass", "charge", "spin"))
    further = {"relative_velocity": "0.5*exp(-r)", "approach": "spin_j*r", "transverse": "m_j/(r + 0.5)"}
    further = {k: parse(text, known) for k, text in further.items() if dim == 2 or k != "transverse"}
    further["displaced"] = About((0.1, 0.0, -0.3)[:dim], parse("q_i*spin_j*exp(-s)", (*known, "s")))
    node = {"drag": functions_of("drag", dim), "constant_force": np.array([1.0, 2.0, 3.0])[:dim]}
    node |= {name: functions_of(name, dim) for name in ("field", "central", "magnetic")}
    radial = parse("-m_i*spin_j*(1 + 0.5*cos(4*t))/(r + 0.1)", known)
    return Law(radial, node, properties=("mass", "charge", "spin"), pairs=further)


def crowd(dim=2, shape=(6,), n=5, seed=4):
    rng = np.random.default_rng(seed)
    pos, vel = rng.normal(size=(2, *shape, n, dim))
    properties = {name: np.exp(rng.normal(size=(*shape, n))) for name in ("mass", "charge", "spin")}
    return pos, vel, properties, rng.uniform(size=shape)


def test_a_law_adds_up_its_terms_pair_by_pair():
    law = law_of_everything()
    pos, vel, properties, t = crowd()
    found = law.acceleration(pos, vel, properties, t=t)
    for k in range(len(pos)):
        for i in range(5):
            total = np.zeros(2)
            for j in set(range(5)) - {i}:
                dx, dv = pos[k, i] - pos[k, j], vel[k, i] - vel[k, j]
                r = np.linalg.norm(dx)
                e = dx / r
                mi, mj, sj = properties["mass"][k, i], properties["mass"][k, j], properties["spin"][k, j]
                total += -mi * sj * (1 + 0.5 * np.cos(4 * t[k])) / (r + 0.1) * e
                total += -0.5 * np.exp(-r) * dv - sj * r * (dv @ e) * e
                total += mj / (r + 0.5) * np.array([-e[1], e[0]])
                away = dx - [0.1, 0.0]
                s = np.linalg.norm(away)
                total += properties["charge"][k, i] * sj * np.exp(-s) * away / s
            own = {name: value[k, i] for name, value in properties.items()}
            total += force(law.node, State(vel[k, i], own, pos[k, i], t[k]))
            np.testing.assert_allclose(found[k, i], total / mi, rtol=1e-10)
    once = law.acceleration(pos[0], vel[0], {k: v[0] for k, v in properties.items()}, t=t[0])
    np.testing.assert_allclose(once, found[0], rtol=1e-12)
    assert law.in_time and law.moving_pairs


def test_a_law_within_its_cutoff_is_the_same_law():
    law = law_of_everything()
    pos, vel, properties, t = crowd()
    near = Law(law.pair, law.node, cutoff=100.0, properties=law.properties, pairs=law.pairs)
    expected = law.acceleration(pos, vel, properties, t=t)
    np.testing.assert_allclose(near.acceleration(pos, vel, properties, t=t), expected, rtol=1e-9, atol=1e-12)
    pos[2, 1] = np.nan  # not there
    gone = np.delete(np.arange(5), 1)
    some = {k: v[2, gone] for k, v in properties.items()}
    one = law.acceleration(pos, vel, properties, t=t)[2, gone]
    np.testing.assert_allclose(one, law.acceleration(pos[2, gone], vel[2, gone], some, t=t[2]), rtol=1e-10)


def test_momentum_is_that_of_reciprocal_terms_and_not_of_others():
    pos, vel, properties, _ = crowd()
    known = TERMS["radial"].variables(("mass", "charge"))
    both = {name: parse("m_i*m_j*exp(-r)", known) for name in RECIPROCAL}
    properties = {k: properties[k] for k in ("mass", "charge")}

    def total(name, function):
        radial, further = (function, {}) if name == "radial" else (parse("0", known), {name: function})
        acc = Law(radial, pairs=further).acceleration(pos, vel, properties)
        force = properties["mass"][..., None] * acc
        torque = pos[..., 0] * force[..., 1] - pos[..., 1] * force[..., 0]
        return np.abs(force.sum(1)).max() > 1e-9, np.abs(torque.sum(1)).max() > 1e-9

    for name, function in both.items():
        assert total(name, function) == (False, not TERMS[name].central)
        assert total(name, parse("m_j*exp(-r)", known))[0]


@pytest.mark.parametrize("dim", [2, 3])
def test_a_law_comes_back_from_its_file(dim):
    law = law_of_everything(dim)
    content = {"pair": law.pair_json(), "pairs": law.pairs_json(), "node": law.node_json(dim)}
    record = LawRecord.__new__(LawRecord)
    record.pair = records.build(PairLaw, json.loads(json.dumps(content["pair"])), strict=True)
    record.pairs = {k: records.build(PairLaw, v, strict=True) for k, v in content["pairs"].items()}
    record.node = records.build(NodeLaw, plain(content["node"]), strict=True)
    record.chain, record.cutoff = False, None
    again = law_of(record)
    pos, vel, properties, t = crowd(dim)
    expected = law.acceleration(pos, vel, properties, t=t)
    np.testing.assert_array_equal(again.acceleration(pos, vel, properties, t=t), expected)
    record.pairs["sideways"] = record.pair
    with pytest.raises(UserError, match="unknown terms of a pair .'sideways'."):
        law_of(record)


def test_a_law_is_told_term_by_term():
    simple = Law(parse("-m_i*m_j/r^2", ("r", "m_i", "m_j")), {"drag": 0.5})
    assert simple.equation()["text"] == "m_i a_i = sum_j [(-m_i * m_j / r^2) e] - 0.5 v_i, e = (x_i - x_j)/r"
    assert simple.node_json(2)["text"] == "a_i = (sum_j F_ij - 0.5 v_i)/m_i"
    assert simple.node_json(2)["terms"] == {"drag": 0.5} and simple.node_json(2)["functions"] == {}
    whole = law_of_everything().equation()
    for part in (
        "(0.5 * exp(-r)) (v_j - v_i)",
        "e_perp = (-e_y, e_x)",
        "- (0.3 * v^2 + t * x * m_i) v_i",
        "s = |x_i - (",
    ):
        assert part in whole["text"], whole["text"]
    assert whole["latex"].count(r"\left(") == whole["latex"].count(r"\right)")
    assert TERMS["magnetic"].text(1.5) == "+ 1.5 q_i v_i x z" and TERMS["magnetic"].text(-1.5)[0] == "-"
    assert TERMS["magnetic"].text(np.array([0, 0, 2.0])) == "+ q_i v_i x (0, 0, 2)"


# ---------------------------------------------------------------- gauges


def test_gauges_are_undone_and_told_apart():
    both = gauges(("mass", "charge", "spin"))
    assert [g.symbol for g in both.values()] == ["F", "F/m", "qF", r"\mathrm{spin}\,F"]
    assert [g.label for g in both.values()] == ["F (pair force)", "F / m_i", "q_i F", "spin_i F"]
    F, properties = RNG.normal(size=(40, 2)), STATE.properties | {"spin": np.ones(40)}
    for name, gauge in both.items():
        assert gauge == gauge_named(name)
        np.testing.assert_allclose(gauge.to_force(gauge.from_force(F, properties), properties), F)
    np.testing.assert_allclose(both["acceleration"].from_force(MASS, properties), 1.0)
    assert [g.told_apart(properties) for g in both.values()] == [True, True, True, False]
