"""Responses to the net force that are not Newton's: forces, energies, files, laws."""

import json

import numpy as np
import pytest
from filled import filled
from scipy.integrate import solve_ivp

from distill.files import records
from distill.files.kinds import LawRecord, NodeLaw, PairLaw, SystemRecord
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.generalization import rollout
from distill.physics.integrate import integrate
from distill.physics.law import Law, law_of
from distill.physics.record import describe, system_of
from distill.physics.responses import LIGHT, RESPONSES, Response, response_of
from distill.physics.system import energy, power_lost
from distill.physics.systems import SYSTEMS, load_system
from distill.physics.terms.arrays import import_jax
from distill.shell.errors import UserError

NAMES = tuple(RESPONSES)
every_one = pytest.mark.parametrize("name", NAMES)


def independent(name, x, v, m, q):
    """Accelerations [particle, dim], written out once more: particle by particle, nothing shared with the code."""
    out = np.zeros_like(x)
    for i in range(len(x)):
        force = np.zeros(x.shape[1])
        for j in range(len(x)):
            if i != j:
                d = x[i] - x[j]
                r = np.sqrt(d @ d)
                size = {
                    "saturating": -m[i] * m[j] / (r + 0.01),
                    "relativistic": q[i] * q[j] / (r + 0.01) ** 2,
                    "mond": -m[i] * m[j] / (r + 0.01) ** 2,
                }[name]
                force += size * d / r
        s = np.sqrt(force @ force)
        if name == "saturating":
            out[i] = force / (1 + s / 5) / m[i]
        elif name == "mond":
            out[i] = np.sqrt(1.5 / m[i] / (s + 0.01)) * force
        else:
            gamma = 1 / np.sqrt(1 - v[i] @ v[i] / 4)
            out[i] = (force - v[i] * (v[i] @ force) / 4) / (gamma * m[i])
    return out


def few(name, trajectories=6, frames=12):
    return integrate(SYSTEMS[name], 4, 2, trajectories, frames, 5, seed=17)


@every_one
def test_trajectories_are_those_of_another_integrator_with_other_forces(name):
    found = few(name)
    for k in range(6):
        m, q = found["mass"][k], found["charge"][k]

        def rhs(t, y, m=m, q=q):
            x, v = y.reshape(2, 4, 2)
            return np.concatenate([v.ravel(), independent(name, x, v, m, q).ravel()])

        start = np.concatenate([found["pos"][k, 0].ravel(), found["vel"][k, 0].ravel()])
        exact = solve_ivp(rhs, (0, found["t"][-1]), start, "DOP853", found["t"], rtol=1e-12, atol=1e-12).y
        pos, vel = exact.T.reshape(12, 2, 4, 2).swapaxes(0, 1)
        np.testing.assert_allclose(found["pos"][k], pos, atol=2e-6)
        labels = [independent(name, x, v, m, q) for x, v in zip(found["pos"][k], found["vel"][k], strict=True)]
        np.testing.assert_allclose(found["acc"][k], labels, rtol=1e-9, atol=1e-11)


@every_one
def test_energy_and_what_leaves_it_add_up(name):
    found = few(name, trajectories=20)
    assert found["energy_drift"].max() < 1e-6
    every = {k: found[k][:, None] for k in ("mass", "charge")}
    system = SYSTEMS[name]
    total = energy(system, found["pos"], found["vel"], every)
    lost = power_lost(system, found["pos"], found["vel"], every)
    if name == "relativistic":  # sum of gamma m c^2 + V, written out
        gamma = 1 / np.sqrt(1 - (found["vel"] ** 2).sum(-1) / LIGHT**2)
        i, j = np.triu_indices(4, 1)
        r = np.linalg.norm(found["pos"][:, :, i] - found["pos"][:, :, j], axis=-1)
        pairs = (found["charge"][:, i] * found["charge"][:, j])[:, None] / (r + 0.01)
        own = ((gamma - 1) * found["mass"][:, None] * LIGHT**2).sum(-1) + pairs.sum(-1)
        np.testing.assert_allclose(total, own, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(total, total[:, :1].repeat(12, 1), atol=1e-5)
        momentum = (gamma[..., None] * found["mass"][:, None, :, None] * found["vel"]).sum(2)
        np.testing.assert_allclose(momentum, momentum[:, :1].repeat(12, 1), atol=1e-6)
        assert np.median(gamma) > 1.1 and gamma.max() > 2 and not lost.any()
    else:
        assert system.works and np.ptp(total, axis=1).max() > 0.1 and np.abs(lost).max() > 0.1


@every_one
def test_energy_of_motion_and_inertia_fit_the_response(name):
    """dT/dt = S . v and d(inertia v)/dt = S along a = alpha S + beta v, by autodiff."""
    response, jnp = RESPONSES[name], import_jax().numpy
    rng = np.random.default_rng(1)
    force, vel = rng.normal(size=(2, 30, 2))
    vel *= 0.6
    mass = {"m_i": np.exp(rng.normal(size=30))}
    acc = response.acceleration(force, vel, mass)
    if response.kinetic is None:
        assert response.inertia is None
        assert not np.allclose(mass["m_i"] * (acc * vel).sum(1), (force * vel).sum(1))
        return

    def along(part, vector):
        def at(v):
            value = response.value(part, {"v": jnp.sqrt((v * v).sum(-1))}, mass, jnp)
            return value[:, None] * v if vector else value

        return np.asarray(import_jax().jvp(at, (jnp.asarray(vel),), (jnp.asarray(acc),))[1])

    np.testing.assert_allclose(along("kinetic", False), (force * vel).sum(1), rtol=1e-9)
    np.testing.assert_allclose(along("inertia", True), force, rtol=1e-9)


def test_limits():
    mass, still = {"m_i": np.array([2.0])}, np.zeros((1, 2))
    size = lambda name, s: RESPONSES[name].acceleration(np.array([[s, 0.0]]), still, mass)[0, 0]  # noqa: E731
    assert size("saturating", 1e-6) == pytest.approx(5e-7) and size("saturating", 1e9) == pytest.approx(2.5, rel=1e-6)
    assert size("relativistic", 3.0) == pytest.approx(1.5)
    assert size("mond", 400.0) == pytest.approx(np.sqrt(1.5 * 400 / 2), rel=1e-4) and size("mond", 0.0) == 0


@every_one
def test_systems_with_a_response_come_back_from_json(name):
    about = json.loads(json.dumps(describe(SYSTEMS[name])))
    assert system_of(records.build(SystemRecord, about, strict=True)) is SYSTEMS[name]
    assert system_of(records.build(SystemRecord, about | {"response": None}, strict=True)) is None


PAIR = "def potential(r, m_i, m_j, q_i, q_j):\n    return r\n"


def test_a_user_s_file_may_have_a_response(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PAIR + "response = 'saturating'\n")
    assert load_system(system_file=file).response is RESPONSES["saturating"]
    file.write_text(PAIR + "response = {'alpha': '1/(m_i + s)', 'beta': '-0.1*v*spin_i'}\n")
    system = load_system(system_file=file)
    assert system.response.properties == system.properties == ("mass", "charge", "spin") and system.works
    assert integrate(system, 3, 2, 2, 3, 5)["spin"].shape == (2, 3)
    file.write_text(PAIR + "response = {'alpha': '1/(m_i*(1 + s))', 'properties': 'spin'}\n")
    assert load_system(system_file=file).properties == ("mass", "charge", "spin")
    file.write_text(PAIR + "response = {'alpha': '1/m_i', 'beta': '-0.1*v'}\n")
    system = load_system(system_file=file)
    drawn = integrate(system, 3, 2, 4, 6, 5)
    assert drawn["energy_drift"].max() < 1e-6
    assert system_of(records.build(SystemRecord, json.loads(json.dumps(describe(system))))) is not None


@pytest.mark.parametrize(
    "text, told",
    [
        ("response = 'saturated'", "did you mean 'saturating'"),
        ("response = 3", "expected a name"),
        ("response = {'alpha': '1/(m_i + w)'}", "w"),
        ("response = {'alpha': '1/m_i', 'kinetic': 'm_i*v^2'}", "kinetic is not the energy of motion"),
        ("response = {'alpha': '1/m_i', 'kinetic': 's'}", "kinetic of the response holds s or sv"),
        ("response = {'alpha': '1/m_i', 'speed_limit': -1}", "speed_limit of the response is -1"),
        ("response = {'alpha': '1/m_i', 'speed_limit': 'fast'}", "broken.py: speed_limit of the response is 'fast'"),
        ("response = {'beta': 'v'}", "broken.py: the response is"),
        (
            "import numpy as np\nresponse = 'relativistic'\ndef initial(rng, n, dim):\n"
            "    x = rng.normal(size=(n, dim))\n    return x, 3 + 0 * x, np.ones(n), np.ones(n)",
            "speeds of 2 or more",
        ),
    ],
)
def test_a_broken_response_is_one_line(tmp_path, text, told):
    file = tmp_path / "broken.py"
    file.write_text(PAIR + text)
    with pytest.raises(UserError, match=told):
        integrate(load_system(system_file=file), 3, 2, 1, 2, 5)


# ---------------------------------------------------------------- laws


def law_like(name):
    return Law(parse(SYSTEMS[name].law, VARIABLES), response=RESPONSES[name])


@every_one
def test_a_law_with_a_response_accelerates_as_the_system_does_and_comes_back_from_json(name):
    found, law = few(name), law_like(name)
    state = found["pos"], found["vel"], {k: found[k][:, None] for k in ("mass", "charge")}
    np.testing.assert_allclose(law.acceleration(*state), found["acc"], rtol=1e-9, atol=1e-11)
    assert not np.allclose(Law(law.pair).acceleration(*state), found["acc"], rtol=0.01)
    node, pair = (json.loads(json.dumps(part)) for part in (law.node_json(2), law.pair_json()))
    record = records.build(LawRecord, filled(LawRecord), strict=True)
    record.node, record.pair, record.cutoff, record.chain = (
        records.build(NodeLaw, node, strict=True),
        records.build(PairLaw, pair, strict=True),
        None,
        False,
    )
    back = law_of(record)
    np.testing.assert_array_equal(back.acceleration(*state), law.acceleration(*state))
    assert "S = sum_j F_ij" in node["text"] and r"\mathbf{S}_i" in node["latex"]


def test_newton_s_response_spelt_out_is_the_one_that_costs_nothing():
    found = few("saturating")
    state = found["pos"], found["vel"], {k: found[k][:, None] for k in ("mass", "charge")}
    pair = parse("-m_i*m_j/r", VARIABLES)
    plain, spelt = (Law(pair, {"drag": 0.3}, response=r) for r in (None, Response("newton", "1/m_i")))
    np.testing.assert_allclose(plain.acceleration(*state), spelt.acceleration(*state), rtol=1e-12, atol=1e-14)
    assert response_of(None) is None


def test_rollouts_know_what_is_conserved():
    for name in ("relativistic", "saturating"):
        found, law = few(name), law_like(name)
        wrong = Law(law.pair)
        state = [found[k][:, 0] for k in ("pos", "vel")] + [{k: found[k] for k in ("mass", "charge")}]
        out = rollout.compare(SYSTEMS[name], law.acceleration, wrong.acceleration, *state, 0.1, 1, frames=4)
        energies = {k: one["final_energy_drift_median"] for k, one in out["models"].items()}
        assert energies["truth"] < 1e-7 and energies["law"] < 1e-7 and energies["gnn"] > 1e-4
        if name == "relativistic":
            assert out["models"]["law"]["final_momentum_drift_median"] < 1e-8
        else:
            assert "saturating" in out["momentum_drift_is"] and out["models"]["law"]["momentum_drift"] is None
