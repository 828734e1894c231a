"""The table of systems: closed forms against autodiff, conservation, drag, user files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from distill.files import records
from distill.files.kinds import SystemRecord
from distill.files.properties import at, of_pairs
from distill.physics.record import describe, system_of
from distill.physics.system import (
    System,
    acceleration,
    energy,
    energy_terms,
    net_force,
    node_force,
    outside_energy,
    pair_force,
    radial_force,
)
from distill.physics.systems import SYSTEMS, initial_conditions, load_system
from distill.physics.terms import State
from distill.physics.terms.arrays import import_jax
from distill.shell.errors import UserError

every_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


def state(system, n=5, dim=2, seed=0):
    return initial_conditions(system, np.random.default_rng(seed), n, dim)


def moving(system, n=5, dim=2, seed=0):
    """A state in which nothing is zero and, for the chains, the ball is near."""
    rng = np.random.default_rng(seed)
    pos, _, properties = state(system, n, dim, seed)
    if system.name == "string_ball":
        pos[:, 1] -= 11
    slow = 0.3 if system.response is not None and system.response.speed_limit else 1.0
    return pos, slow * rng.standard_normal((n, dim)), properties


def test_table_is_complete():
    expected = "spring r1 r2 charge damped discontinuous superposition string string_ball"
    expected += " saturating relativistic mond"
    expected += " trap off_centre_well quadratic_drag magnetic uniform non_reciprocal alignment transverse modulated"
    expected += " screened finite_range two_species mixture predator_prey lj kob_andersen"
    assert list(SYSTEMS) == expected.split()
    for name, system in SYSTEMS.items():
        assert system.name == name and system.summary and system.source and system.dt > 0
        assert json.loads(json.dumps(describe(system)))["law"] == system.law


@pytest.mark.parametrize("system", [s for s in SYSTEMS.values() if s.potential], ids=lambda s: s.name)
def test_law_is_minus_gradient_of_potential_in_and_out_of_the_softened_range(system):
    rng = np.random.default_rng(1)
    r = np.concatenate([np.geomspace(1e-5, 0.05, 60), rng.uniform(0.05, 6, 200)])
    m_i, m_j = np.exp(rng.standard_normal((2, len(r))))
    q_i, q_j = rng.standard_normal((2, len(r)))
    ends = {"m_i": m_i, "m_j": m_j, "q_i": q_i, "q_j": q_j}
    ends |= {name: rng.uniform(size=len(r)) for name in system.variables[5:]}
    closed, autodiff = radial_force(system, r, ends), radial_force(replace(system, law=None), r, ends)
    np.testing.assert_allclose(closed, autodiff, rtol=1e-12, atol=1e-12)


# forces that are gradients, but for linear drag
GRADIENTS = [
    s for s in SYSTEMS.values() if s.potential and {acting.term for acting in s.terms} <= {"central", "field", "drag"}
]


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("system", [s for s in GRADIENTS if s.name != "quadratic_drag"], ids=lambda s: s.name)
def test_net_force_is_minus_gradient_of_total_energy(system, dim):
    """Written out pair by pair and differentiated with respect to all the positions at once."""
    jax = import_jax()
    pos, vel, properties = moving(system, dim=dim)
    n, mass = len(pos), properties["mass"]

    def potential(x):
        total = 0.0
        for i in range(n):
            for j in range(i + 1, n):
                if not system.neighbours_only or j == i + 1:
                    r = jax.numpy.sqrt(((x[i] - x[j]) ** 2).sum())
                    ends = [value[k] for value in properties.values() for k in (i, j)]
                    total += system.potential(r, *ends, jax.numpy)
        state = State(jax.numpy.asarray(vel), {k: jax.numpy.asarray(v) for k, v in properties.items()}, x)
        return total + outside_energy(system, state).sum()

    expected = -np.asarray(jax.grad(potential)(jax.numpy.asarray(pos)))
    expected -= system.drag * vel
    expected[list(system.held)] = 0
    found = net_force(system, pos, vel, properties)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    if system.response is None:
        acc = acceleration(system, pos, vel, properties)
        np.testing.assert_allclose(acc, expected / mass[:, None], rtol=1e-10, atol=1e-10)


@every_system
def test_third_law_and_zero_total_force(system):
    pos, vel, properties = moving(system, n=6, dim=system.dims[-1])
    i, j = system.pairs(6)
    dx, dv = pos[i] - pos[j], vel[i] - vel[j]
    r = np.linalg.norm(dx, axis=-1)
    first, second = at(properties, i), at(properties, j)
    there = pair_force(system, dx, r, of_pairs(first, second), dv, 0.4)
    back = pair_force(system, -dx, r, of_pairs(second, first), -dv, 0.4)
    assert np.array_equal(there, -back) == system.reciprocal == (system.name not in ("non_reciprocal", "predator_prey"))
    inner = replace(system, terms=system.further, held=())
    total = np.abs(net_force(inner, pos, vel, properties).sum(axis=0)).max()
    assert (total < 1e-11 * max(1.0, np.abs(there).max())) == system.reciprocal


def test_leading_axes_are_batches():
    system, shape = SYSTEMS["superposition"], (3, 2)
    states = [moving(system, seed=k) for k in range(6)]
    pos, vel = (np.stack([one[k] for one in states]).reshape(*shape, 5, 2) for k in (0, 1))
    properties = {k: np.stack([one[2][k] for one in states]).reshape(*shape, 5) for k in ("mass", "charge")}
    acc, total = acceleration(system, pos, vel, properties), energy(system, pos, vel, properties)
    for k, one in enumerate(states):
        np.testing.assert_allclose(acc[divmod(k, 2)], acceleration(system, *one), rtol=1e-12)
        np.testing.assert_allclose(total[divmod(k, 2)], energy(system, *one), rtol=1e-12)
    # masses of a trajectory broadcast over its frames
    frames = acceleration(system, pos[0], vel[0], {k: v[0, :1] for k, v in properties.items()})
    np.testing.assert_allclose(frames[0], acc[0, 0], rtol=1e-12)


def test_coincident_particles_feel_nothing_and_nothing_is_nan():
    for system in SYSTEMS.values():
        ends, place = dict.fromkeys(system.variables[1:], np.ones(1)), np.zeros((1, 2))
        force = pair_force(system, place, np.zeros(1), ends, np.ones((1, 2)))
        np.testing.assert_array_equal(force, 0)


def test_discontinuous_potential_is_continuous():
    system = SYSTEMS["discontinuous"]
    r = np.array([0.5, 1.9899999, 1.9900001, 3.0])
    value = system.potential(r, 1.0, 1.0, 0.0, 0.0, np)
    np.testing.assert_allclose(value, [0, 0, 0, 2.01**2 - 1], atol=1e-6)


def test_ball_is_finite_everywhere():
    system = SYSTEMS["string_ball"]
    pos = np.array([[5.0, -15.0], [5.0, -14.9], [5.0, -11.0], [5.0, 1000.0]])
    at = State(0 * pos, {"mass": np.ones(4)}, pos)
    assert np.isfinite(outside_energy(system, at)).all()
    force = node_force(system, at)
    assert np.isfinite(force).all() and force[2, 1] > 10 and force[3, 1] == pytest.approx(-1)


def test_initial_conditions():
    many = [state(SYSTEMS["charge"], 50, 3, seed) for seed in range(20)]
    pos, vel, mass, charge = (np.stack(a) for a in zip(*((x, v, *p.values()) for x, v, p in many), strict=True))
    assert abs(pos.mean()) < 0.1 and abs(vel.std() - 1) < 0.1 and abs(np.log(mass).std() - 1) < 0.1
    assert set(np.unique(charge)) == {-1.0, 1.0}
    assert len(np.unique(state(SYSTEMS["r2"])[2]["charge"])) == 5
    pos, vel, properties = state(SYSTEMS["string"], 6)
    assert (properties["mass"] == 1).all() and (vel == 0).all() and abs(pos[:, 0] - np.arange(6)).max() < 2.5


def on_record(about: dict) -> SystemRecord:
    """As it comes back from a file; every key must be known."""
    return records.build(SystemRecord, json.loads(json.dumps(about)), strict=True)


@every_system
def test_system_comes_back_from_json(system):
    found = system_of(on_record(describe(system)))
    assert found is not None and found.name == system.name
    np.testing.assert_array_equal(net_force(found, *moving(system)), net_force(system, *moving(system)))


def test_unknown_system_in_json_is_none():
    about = describe(SYSTEMS["r2"])
    assert system_of(SystemRecord()) is None
    assert system_of(on_record(about | {"name": "r7"})) is None
    assert system_of(on_record(about | {"law": "-m_i*m_j/r^2"})) is None
    former = about | {"variant": "standard"}  # as older datasets have it
    assert system_of(on_record(former)) is SYSTEMS["r2"]
    assert system_of(on_record(former | {"variant": "original"})) is None


def test_load_system_names_the_near_miss():
    assert load_system("spring") is SYSTEMS["spring"]
    with pytest.raises(UserError, match="did you mean 'spring'"):
        load_system("sprung")
    with pytest.raises(UserError, match="either"):
        load_system(None)


# ---------------------------------------------------------------- the user's own file

SHORT = """
import jax.numpy as jnp
def potential(r, m_i, m_j, q_i, q_j):
    return -m_i * m_j * jnp.exp(-r) / (r + 0.1)
"""


def test_short_user_file(tmp_path):
    file = tmp_path / "yukawa.py"
    file.write_text(SHORT)
    system = load_system(system_file=file)
    assert system.name == "yukawa" and system.law is None
    pos, vel, properties = moving(system)
    step = 1e-6 * np.eye(10)[3].reshape(5, 2)
    slope = (energy(system, pos + step, vel, properties) - energy(system, pos - step, vel, properties)) / 2e-6
    assert net_force(system, pos, vel, properties)[1, 1] == pytest.approx(-slope, rel=1e-6)
    about = on_record(describe(system))
    assert system_of(about).file_sha256 == system.file_sha256
    file.write_text(SHORT + "\ndrag = 1\n")
    assert system_of(about) is None  # it is not the law of that dataset any more


def test_user_file_with_everything(tmp_path):
    file = tmp_path / "trap.py"
    file.write_text(
        "name, dt, drag, masses, held = 'trap', 0.02, 0.1, 'unit', [0]\n"
        "law = '2*q_i*q_j/r^3 - 1'\n"
        "def potential(r, m_i, m_j, q_i, q_j):\n    return q_i * q_j / r**2 + r\n"
        "def external(pos, mass):\n    return 0.5 * mass * (pos**2).sum(-1)\n"
    )
    system = load_system(system_file=file)
    pos, vel, properties = moving(system)
    _, _, outside = energy_terms(system, pos, vel, properties)
    np.testing.assert_allclose(outside, 0.5 * (pos**2).sum(-1))
    np.testing.assert_allclose(node_force(system, State(0 * vel, properties, pos)), -pos, rtol=1e-12)
    assert system.held == (0,) and not system.conserves_energy


SPIN = """
import jax.numpy as jnp
def potential(r, spin_i, spin_j, m_j, m_i):
    return spin_i * spin_j / (r + 0.1) + jnp.log(r) * m_i * m_j
"""


def test_a_user_file_makes_further_properties_known_by_naming_them(tmp_path):
    file = tmp_path / "spins.py"
    file.write_text(SPIN + "law = 'spin_i*spin_j/(r + 0.1)^2 - m_i*m_j/r'\n")
    system = load_system(system_file=file)
    assert system.variables == ("r", "m_i", "m_j", "q_i", "q_j", "spin_i", "spin_j")
    pos, vel, properties = moving(system)
    assert list(properties) == ["mass", "charge", "spin"] and len(np.unique(properties["spin"])) == 5
    as_ever = moving(SYSTEMS["r2"])  # what was drawn before the spins is what is drawn without them
    np.testing.assert_array_equal(pos, as_ever[0])
    np.testing.assert_array_equal(properties["charge"], as_ever[2]["charge"])
    twice = properties | {"spin": 2 * properties["spin"]}
    light = {"mass": 1e-9 * properties["mass"], "charge": properties["charge"]}
    weak, strong = (net_force(system, pos, vel, p | light | {"spin": p["spin"]}) for p in (properties, twice))
    np.testing.assert_allclose(strong, 4 * weak, rtol=1e-6)
    assert system_of(on_record(describe(system))).properties == system.properties


def test_initial_conditions_of_a_user_file_may_give_further_properties(tmp_path):
    start = "def initial(rng, n, dim):\n    x = rng.normal(size=(n, dim))\n    return x, 0 * x, "
    for given, spins in (("dict(mass=x[:, 0]**2, charge=x[:, 0], spin=x[:, 1])", None), ("x[:, 0]**2, x[:, 0]", 5)):
        file = tmp_path / "spins.py"
        file.write_text(SPIN + start + given)
        pos, _, properties = state(load_system(system_file=file))
        assert np.array_equal(properties["spin"], pos[:, 1]) == (spins is None)
        assert len(np.unique(properties["spin"])) == 5 and np.array_equal(properties["charge"], pos[:, 0])


def test_a_potential_may_name_its_five_arguments_as_it_likes(tmp_path):
    file = tmp_path / "any.py"
    file.write_text("def potential(r, a, b, c, d): return a * b * r")
    assert load_system(system_file=file).properties == ("mass", "charge")


def test_user_file_with_a_system_object(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from distill.physics.systems import System\n"
        "SYSTEM = System('mine', lambda r, m_i, m_j, q_i, q_j, xp: xp.log(r), law='-1/r', dt=0.5)\n"
    )
    assert isinstance(load_system(system_file=file), System)


@pytest.mark.parametrize(
    "text, told",
    [
        ("def potential(r, m_i, m_j, q_i, q_j) return r", "line 1: SyntaxError"),
        ("x = 1\nimport nothing_of_that_name", "line 2: ModuleNotFoundError"),
        ("def potentail(r, m_i, m_j, q_i, q_j): return r", "did you mean 'potential'|no function potential"),
        ("def potential(r, spin_i): return r", "has the arguments .r, spin_i., expected r and both ends"),
        ("def potential(r, mass_i, mass_j): return r", "has the arguments"),
        ("def potential(r, acc_i, acc_j): return r", "has the arguments"),
        ("def potential(r, m_i, m_j, q_i, q_j): return float(r)", "cannot be evaluated"),
        ("def potential(r, m_i, m_j, q_i, q_j): return r - 10 + 1e400", "not finite"),
        ("def potential(r, m_i, m_j, q_i, q_j): return m_i * r", "exchanged"),
        (
            "law = '-2e-11/r'\ndef potential(r, m_i, m_j, q_i, q_j): return -1e-11 / r",
            "the law gives .* where -dV/dr is",
        ),
        ("def potential(r, m_i, m_j, q_i, q_j): return 1e-15 * m_i / r", "changes when i and j are exchanged"),
        ("law = '-r'\ndef potential(r, m_i, m_j, q_i, q_j): return r**2", "the law gives .* where -dV/dr is"),
        ("law = '-2*z'\ndef potential(r, m_i, m_j, q_i, q_j): return r**2", "z"),
        ("dt = 0\ndef potential(r, m_i, m_j, q_i, q_j): return r", "dt is 0, expected"),
        ("name = '../x'\ndef potential(r, m_i, m_j, q_i, q_j): return r", "letters"),
        ("SYSTEM = 3", "expected a distill.physics.system.System"),
    ],
)
def test_broken_user_file_is_one_line(tmp_path, text, told):
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(UserError, match=told) as caught:
        load_system(system_file=file)
    assert "\n" not in str(caught.value) and "broken.py" in str(caught.value)


def test_missing_user_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_system(system_file=tmp_path / "none.py")
