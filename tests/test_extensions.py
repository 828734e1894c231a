"""Extensions: what is plugged in by role, on one that is made up here, and what a module of each role has to define."""

import sys
from types import ModuleType

import numpy as np
import pytest

import distill
from distill.files.dataset import load_dataset
from distill.physics.simulation import Job, Simulation
from distill.physics.systems import SYSTEMS
from distill.shell import extensions, paths
from distill.shell.errors import UsageError

DEFINED = {
    "networks": {"NETWORKS"},
    "law accounts": {"NAME", "account"},
    "systems": {"SYSTEMS"},
    "simulations": {"SIMULATIONS"},
    "comparisons": {"COMPARISONS"},
    "law forms": {"NAME", "account", "values"},
    "report": {"KIND", "law_parts", "trust", "simulation_rows", "lines", "rollouts", "draw_rollouts"},
}


def at_rest(args):
    """Particles on a line, 1 / ``args.density`` apart, which never move."""
    system, shape = SYSTEMS["spring"], (args.n_trajectories, 2, args.n, 2)

    def make():
        arrays = {name: np.zeros(shape) for name in ("pos", "vel", "acc")}
        arrays["pos"][..., 0] = np.arange(args.n) / args.density
        ones = np.ones((args.n_trajectories, args.n))
        return arrays | {"mass": ones, "charge": ones, "t": np.arange(2.0), "report": {"engine": "none"}}

    return Job(system, shape, make, {"engine": "engine"})


@pytest.fixture
def plugged_in(monkeypatch, tmp_path):
    """An extension with a kind of simulation for those who give ``--density``."""
    module = ModuleType("extension_of_a_test")
    module.SIMULATIONS = [
        Simulation(
            name="particles at rest",
            defaults={"n": 5, "n_trajectories": 3, "density": 1.0},
            takes=lambda flags: flags.get("density") is not None,
            job=at_rest,
            add_flags=lambda parser: parser.add_argument("--density", type=float),
        )
    ]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    roles = extensions.ROLES | {"simulations": (*extensions.ROLES["simulations"], module.__name__)}
    monkeypatch.setattr(extensions, "ROLES", roles)
    monkeypatch.setattr(paths, "DATASETS", tmp_path)


def test_modules_define_what_their_role_asks_for():
    assert extensions.ROLES.keys() == DEFINED.keys()
    for role, names in DEFINED.items():
        for module in extensions.modules(role):
            assert names <= vars(module).keys(), (role, module.__name__)


def test_an_extension_brings_flags_defaults_and_a_way_to_make_data(plugged_in):
    import simulate

    assert simulate.parser().parse_args(["--system", "spring", "--density", "2"]).density == 2.0
    done = distill.simulate(density=2.0, n_trajectories=4)
    assert done.subject == "spring_n5_d2_s0" and done.numbers["engine"] == "none"
    made = load_dataset(str(done.path))
    assert made.pos[3, 1, :, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0] and made.meta.arguments["density"] == 2.0
    assert "rtol" not in made.meta.arguments and distill.simulate(density=2.0, n_trajectories=4).before
    with pytest.raises(
        UsageError, match="--rtol: only with the small systems; particles at rest: --n --n-trajectories --density"
    ):
        distill.simulate(density=2.0, rtol=1e-3)


def test_a_flag_that_nobody_has_is_a_type_error():
    with pytest.raises(TypeError, match="'densty'"):
        distill.simulate("spring", densty=2.0)
