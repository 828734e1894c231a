"""Systems with every term: closed forms, independent integration, conservation, and the law that they are."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from distill.files import records
from distill.files.kinds import SystemRecord
from distill.generalization import rollout
from distill.physics.acting import Acting
from distill.physics.equations import right_hand_side
from distill.physics.integrate import integrate
from distill.physics.law import law_of_system
from distill.physics.record import describe, system_of
from distill.physics.system import System, acceleration, energy, power_lost
from distill.physics.systems import SYSTEMS, load_system
from distill.physics.terms import Given
from distill.physics.terms.arrays import import_jax
from distill.shell.errors import UserError

FREE = "0*r"  # no force between particles


def state(n=5, dim=2, graphs=3, seed=0):
    """pos, vel [graph, particle, dim] and properties [graph, particle]."""
    rng = np.random.default_rng(seed)
    pos, vel = rng.standard_normal((2, graphs, n, dim))
    return (
        pos,
        vel,
        {"mass": np.exp(0.5 * rng.standard_normal((graphs, n))), "charge": rng.standard_normal((graphs, n))},
    )


def followed(system, pos, vel, properties, t):
    """By the steps of the rollouts: what ``rollout.roll`` returns."""
    function = lambda *now, **time: acceleration(system, *now, **time)  # noqa: E731
    return rollout.roll(system, function, pos, vel, properties, t, 1e-10, timed=system.in_time)


# ---------------------------------------------------------------- closed forms


def test_charges_circle_in_a_magnetic_field():
    system = System("cyclotron", lambda r, *_: 0 * r, law=FREE, terms=(Acting("magnetic", 1.5),))
    pos, vel, properties = state()
    mass, charge = (properties[k][..., None] for k in ("mass", "charge"))
    t = np.linspace(0, 2.0, 5)
    found = followed(system, pos, vel, properties, t)
    turn = charge * 1.5 / mass  # a = turn (v_y, -v_x): clockwise for a positive charge
    for k, now in enumerate(t):
        c, s = np.cos(turn * now)[..., 0], np.sin(turn * now)[..., 0]
        expected = np.stack([c * vel[..., 0] + s * vel[..., 1], c * vel[..., 1] - s * vel[..., 0]], -1)
        np.testing.assert_allclose(found["vel"][:, k], expected, atol=1e-8)
    # about the centre of its circle every charge stays at its radius
    centre = pos + np.stack([vel[..., 1], -vel[..., 0]], -1) / turn
    radius = np.linalg.norm(found["pos"] - centre[:, None], axis=-1)
    np.testing.assert_allclose(radius, np.broadcast_to(radius[:, :1], radius.shape), rtol=1e-6)
    assert system.conserves_energy and not np.any(power_lost(system, pos, vel, properties))


def test_a_damped_driven_oscillator_is_that_of_the_textbook():
    """m x'' = -k x - c x' + A cos(w t) along the first axis, as much below critical damping as it is."""
    k, c, a, w = 2.0, 0.3, 0.7, 1.7
    terms = (
        Acting("field", potential="x^2 + y^2 + z^2"),
        Acting("drag", c),
        Acting("constant_force", ("0.7*cos(1.7*t)", 0.0)),
    )
    system = System("driven", None, law=FREE, terms=terms)
    pos, vel, properties = state()
    t = np.linspace(0, 4.0, 9)
    found = followed(system, pos, vel, properties, t)
    m = properties["mass"]
    x, y = pos[..., 0], vel[..., 0]
    # the particular solution, and what is left at the start swings freely and dies away
    amplitude = a / (k - m * w**2 + 1j * w * c)
    left, speed = x - amplitude.real, y - (1j * w * amplitude).real
    fade, swing = c / (2 * m), np.sqrt(k / m - (c / (2 * m)) ** 2)
    for number, now in enumerate(t):
        free = left * np.cos(swing * now) + (speed + fade * left) / swing * np.sin(swing * now)
        expected = (amplitude * np.exp(1j * w * now)).real + np.exp(-fade * now) * free
        np.testing.assert_allclose(found["pos"][:, number, :, 0], expected, atol=1e-8)
    total = energy(system, found["pos"], found["vel"], {name: p[:, None] for name, p in properties.items()})
    np.testing.assert_allclose(total + found["work"], np.broadcast_to(total[:, :1], total.shape), atol=1e-7)
    assert np.ptp(total, axis=1).min() > 0.01 and not system.conserves_energy


def test_quadratic_drag_slows_as_it_should():
    system = System("slow", None, law=FREE, terms=(Acting("drag", "0.3*v"),))
    pos, vel, properties = state()
    t = np.linspace(0, 3.0, 4)
    found = followed(system, pos, vel, properties, t)
    speed = np.linalg.norm(vel, axis=-1)
    for k, now in enumerate(t):
        expected = speed / (1 + 0.3 * speed * now / properties["mass"])
        np.testing.assert_allclose(np.linalg.norm(found["vel"][:, k], axis=-1), expected, atol=1e-8)


# ---------------------------------------------------------------- written out by hand, and scipy


def by_hand(name, t, x, v, m, q):
    """Forces [particle, 2] of a system of the table, in plain loops."""
    n, out = len(x), np.zeros_like(x)
    pair = {
        "trap": lambda r, i, j: q[i] * q[j] / (r + 0.1) ** 2,
        "quadratic_drag": lambda r, i, j: -m[i] * m[j] / (r + 0.1),
        "magnetic": lambda r, i, j: q[i] * q[j] / (r + 0.1) ** 2,
        "uniform": lambda r, i, j: -m[i] * m[j] / (r + 0.1),
        "non_reciprocal": lambda r, i, j: -m[j] / (r + 0.1),
        "modulated": lambda r, i, j: -m[i] * m[j] * (1 + 0.5 * np.cos(4 * t)) / (r + 0.1),
        "screened": lambda r, i, j: 2 * q[i] * q[j] * np.exp(-r) * (1 / (r + 0.1) + 1 / (r + 0.1) ** 2),
        "finite_range": lambda r, i, j: 6 * max(1.5 - r, 0.0),
    }.get(name, lambda r, i, j: -2 * (r - 0.99))
    for i in range(n):
        for j in set(range(n)) - {i}:
            d = x[i] - x[j]
            r = np.sqrt(d @ d)
            out[i] += pair(r, i, j) * d / r
            if name == "alignment":
                out[i] += 0.5 * np.exp(-r) * (v[j] - v[i])
            if name == "transverse":
                out[i] += 0.8 / (r + 0.5) * np.array([-d[1], d[0]]) / r
        if name == "trap":
            out[i] += -2 * x[i]
        if name == "off_centre_well":
            away = x[i] - [1.0, -0.5]
            out[i] += -4 * np.exp(-(away @ away) / 2) * away
        if name == "quadratic_drag":
            out[i] += -0.3 * np.sqrt(v[i] @ v[i]) * v[i]
        if name == "magnetic":
            out[i] += 1.5 * q[i] * np.array([v[i, 1], -v[i, 0]])
        if name == "uniform":
            out[i] += [0.8, -0.4]
    return out


BESIDE = "trap off_centre_well quadratic_drag magnetic uniform non_reciprocal alignment transverse modulated".split()
BESIDE += ["screened", "finite_range"]


@pytest.mark.parametrize("name", BESIDE)
def test_a_system_is_what_its_equations_say_and_so_is_its_law(name):
    system, (pos, vel, properties) = SYSTEMS[name], state()
    t = np.array([0.0, 0.3, 0.9])
    found = acceleration(system, pos, vel, properties, t)
    mass, charge = properties["mass"], properties["charge"]
    for k in range(3):
        expected = by_hand(name, t[k], pos[k], vel[k], mass[k], charge[k]) / mass[k][:, None]
        np.testing.assert_allclose(found[k], expected, rtol=1e-12, atol=1e-12)
    law = law_of_system(system, 2)
    np.testing.assert_allclose(law.acceleration(pos, vel, properties, t=t), found, rtol=1e-12, atol=1e-12)
    assert law.in_time == system.in_time == (name == "modulated") and law.moving_pairs == system.moving_pairs
    if 3 in system.dims:
        states = state(dim=3)
        deep = law_of_system(system, 3).acceleration(*states, t=t)
        np.testing.assert_allclose(deep, acceleration(system, *states, t), rtol=1e-12, atol=1e-12)


def compare_with_scipy(name, trajectories, frames):
    system = SYSTEMS[name]
    found = integrate(system, 3, 2, trajectories, frames, 10, seed=11)
    assert found["energy_drift"].max() < 1e-6 and found["report"]["dropped"] == 0
    for k in range(trajectories):
        m, q = found["mass"][k], found["charge"][k]

        def rhs(t, y, m=m, q=q):
            x, v = y.reshape(2, 3, 2)
            return np.concatenate([v.ravel(), (by_hand(name, t, x, v, m, q) / m[:, None]).ravel()])

        start = np.concatenate([found["pos"][k, 0].ravel(), found["vel"][k, 0].ravel()])
        exact = solve_ivp(rhs, (0, found["t"][-1]), start, "DOP853", found["t"], rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(found["pos"][k].reshape(frames, 6), exact.y[:6].T, atol=2e-6)
        np.testing.assert_allclose(found["vel"][k].reshape(frames, 6), exact.y[6:].T, atol=2e-5)


def test_a_force_of_the_time_is_integrated_as_scipy_does():
    compare_with_scipy("modulated", 2, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BESIDE if name != "modulated"])
def test_systems_are_integrated_as_scipy_does(name):
    compare_with_scipy(name, 4, 20)


# ---------------------------------------------------------------- momentum


def test_momentum_is_kept_where_action_is_reaction_and_said_where_not():
    pos, vel, properties = state(graphs=2)
    wanted = {"alignment": (True, False), "transverse": (True, False), "non_reciprocal": (False, False)}
    for name, (momentum, angular) in wanted.items():
        system = SYSTEMS[name]
        law = law_of_system(system, 2).acceleration
        out = rollout.compare(system, law, lambda x, v, p: 0 * x, pos, vel, properties, 0.3, 1, frames=3)
        assert out["models"]["law"]["final_energy_drift_median"] < 1e-5
        assert (out["models"]["law"]["momentum_drift"] is not None) == momentum
        assert (out["models"]["law"]["angular_momentum_drift"] is not None) == angular
        if momentum:
            assert out["models"]["truth"]["final_momentum_drift_median"] < 1e-8
            assert "across" in out["angular_momentum_drift_is"]
        else:
            assert out["momentum_drift_is"] == "not conserved: action is not reaction"


def test_a_law_of_the_time_follows_its_system_and_one_without_does_not():
    pos, vel, properties = state(graphs=2, seed=3)
    system, network = SYSTEMS["modulated"], lambda x, v, p: 0 * x
    law = law_of_system(system, 2)
    out = rollout.compare(system, law.acceleration, network, pos, vel, properties, 0.4, 1, frames=3, timed=law.in_time)
    assert out["models"]["law"]["position_error"]["median"][-1] < 1e-4
    frozen = law_of_system(SYSTEMS["quadratic_drag"], 2).acceleration
    out = rollout.compare(system, frozen, network, pos, vel, properties, 0.4, 1, frames=3)
    assert out["models"]["law"]["position_error"]["median"][-1] > 1e-3


# ---------------------------------------------------------------- a user's own


def load(tmp_path, text):
    file = tmp_path / "own.py"
    file.write_text("import jax.numpy as jnp\n" + text)
    return load_system(system_file=file)


FILES = {
    "trap": "def potential(r, q_i, q_j, m_i, m_j): return q_i * q_j / (r + 0.1)\ncharges = 'sign'\n"
    "def external(pos): return (pos**2).sum(-1)\n",
    "off_centre_well": "law = '-2*(r - 0.99)'\ncentre = (1.0, -0.5)\n"
    "def central(s): return -4 * s * jnp.exp(-s**2 / 2)\n",
    "quadratic_drag": "def force(r, m_i, m_j): return -m_i * m_j / (r + 0.1)\ndef drag(v): return 0.3 * v\n",
    "magnetic": "def force(r, q_i, q_j): return q_i * q_j / (r + 0.1) ** 2\nmagnetic = 1.5\n",
    "uniform": "law = '-m_i*m_j/(r + 0.1)'\nconstant_force = (0.8, -0.4)\n",
    "non_reciprocal": "def force(r, m_j): return -m_j / (r + 0.1)\n",
    "alignment": "law = '-2*(r - 0.99)'\ndef relative_velocity(r): return 0.5 * jnp.exp(-r)\n",
    "transverse": "law = '-2*(r - 0.99)'\ntransverse = '0.8/(r + 0.5)'\n",
    "modulated": "def force(r, m_i, m_j, t): return -m_i * m_j * (1 + 0.5 * jnp.cos(4 * t)) / (r + 0.1)\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_from_a_user_s_file(tmp_path, name):
    system, (pos, vel, properties) = load(tmp_path, FILES[name]), state()
    system = replace(system)  # knows nothing yet of its forces
    y = np.ones((20 + system.works + system.in_time, 3))
    assert import_jax().eval_shape(right_hand_side(system, 5, 2), y, np.ones((10, 3))).shape == y.shape
    t = np.array([0.0, 0.3, 0.9])
    expected = acceleration(SYSTEMS[name], pos, vel, properties, t)
    np.testing.assert_allclose(acceleration(system, pos, vel, properties, t), expected, rtol=1e-9, atol=1e-9)
    assert system.reciprocal == SYSTEMS[name].reciprocal and system.in_time == SYSTEMS[name].in_time
    about = records.build(SystemRecord, json.loads(json.dumps(describe(system))), strict=True)
    assert system_of(about).file_sha256 == system.file_sha256
    assert (system.external_law is None) == (SYSTEMS[name].external_law is None)


def test_a_system_on_record_is_known_by_its_terms():
    about = json.loads(json.dumps(describe(SYSTEMS["string_ball"])))
    assert system_of(records.build(SystemRecord, about, strict=True)) is SYSTEMS["string_ball"]
    former = {k: v for k, v in about.items() if k != "terms"}  # as older datasets have it
    assert system_of(records.build(SystemRecord, former)) is SYSTEMS["string_ball"]
    about["terms"][1]["centre"] = [5.0, -14.0]
    assert system_of(records.build(SystemRecord, about, strict=True)) is None


def test_a_field_in_components_may_know_properties_of_its_own(tmp_path):
    text = "law = '0*r'\ndef field(x, y, spin_i, t): return -spin_i * y, x * t\n"
    system = load(tmp_path, text)
    assert system.properties == ("mass", "charge", "spin")
    pos, vel, properties = state(graphs=2)
    properties["spin"] = properties["charge"] + 1
    force = properties["mass"][..., None] * acceleration(system, pos, vel, properties, np.array([0.5, 2.0]))
    np.testing.assert_allclose(force[..., 0], -properties["spin"] * pos[..., 1])
    np.testing.assert_allclose(force[..., 1], pos[..., 0] * np.array([[0.5], [2.0]]))
    assert isinstance(system.terms[0].value, Given) and system.external


@pytest.mark.parametrize(
    "text, told",
    [
        ("def potential(r, m_i, m_j): return m_i * r\n", "exchanged"),
        ("def potential(r, m_i, m_j): return r\ndef force(r): return r\n", "a potential and a force"),
        ("def force(r, x): return r\n", "force has the argument x"),
        ("law = 'r'\ndef drag(r): return r\n", "drag has the argument r"),
        ("law = 'r'\ncentral = 's'\n", "centre is None"),
        ("law = 'r'\nmagnetic = [1, None]\n", "magnetic is"),
        ("law = 'r'\ndrag = '1/(x'\n", "cannot read the formula"),
        ("law = 'r'\ndef field(x): return jnp.log(x)\n", "field gives"),
        ("law = 'r'\nexternal = 3\n", "expected a function"),
    ],
)
def test_what_is_wrong_with_a_force_is_one_line(tmp_path, text, told):
    with pytest.raises(UserError, match=told) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value) and "own.py" in str(caught.value)


def test_a_force_across_the_line_of_centres_needs_two_dimensions():
    with pytest.raises(UserError, match="not defined in 3 dimensions"):
        integrate(SYSTEMS["transverse"], 3, 3, 1, 2, 1)
