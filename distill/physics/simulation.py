"""Kinds of simulation: the ways in which ``simulate.py`` can make a dataset, each with flags and defaults of its own.

The core has one, ``SMALL``: trajectories of few particles, integrated by ``distill.physics.integrate``. An extension's
module of the role "simulations" defines ``SIMULATIONS``, a list of others.
"""

import math
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field

from distill.physics.integrate import ATOL, DRIFT_BOUND, MAX_STEPS, RTOL, integrate
from distill.physics.system import System
from distill.physics.systems import load_system
from distill.shell import extensions
from distill.shell.errors import UsageError, UserError
from distill.shell.kinds import Kind
from distill.shell.paths import relative


@dataclass
class Job:
    """What a kind of simulation needs of the common way from flags to files."""

    system: System
    size: tuple[int, int, int, int]  # trajectories, frames, particles, dimensions
    make: Callable[[], dict]  # the arrays, and "report"
    shown: dict  # name on the last line -> name in the report
    inputs: dict = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Simulation(Kind):
    """One way to make a dataset."""

    takes: Callable[[dict], bool]  # whether these flags, None where not given, are for it
    job: Callable[[Namespace], Job]  # of all its flags and the common ones; ``UsageError`` for what makes no sense


def simulations() -> list[Simulation]:
    """All there are; ``SMALL``, which takes what nobody else does, comes first."""
    return [SMALL, *(kind for module in extensions.modules("simulations") for kind in module.SIMULATIONS)]


def _small(args: Namespace) -> Job:
    if args.n < 2:
        raise UsageError("argument --n: one particle feels no pair force, give at least 2")
    if args.system is None and args.system_file is None:
        raise UsageError("one of --system, --system-file or the files of another simulation is required")
    system = load_system(args.system, args.system_file)
    if system.cutoff < math.inf:
        raise UserError(f"{relative(args.system_file)}: its pair force has a cutoff", "simulate a --system that has")
    args.dt = args.dt or system.dt
    size = (args.n_trajectories, args.n_frames, args.n, args.dim)
    same = {name: getattr(args, name) for name in ("seed", "rtol", "atol", "dt", "max_steps", "drift_bound", "bodies")}
    inputs = {} if args.system_file is None else {"system_file": args.system_file}
    shown = {"drift": "energy_drift_max", "redone": "redone", "dropped": "dropped"}
    return Job(system, size, lambda: integrate(system, args.n, args.dim, *size[:2], args.every, **same), shown, inputs)


_ACCURACY = {"rtol": RTOL, "atol": ATOL, "drift_bound": DRIFT_BOUND, "max_steps": MAX_STEPS}
_SIZE = {"n": 4, "dim": 2, "dt": None, "every": 5, "n_trajectories": 5000, "n_frames": 100, "bodies": None}
SMALL = Simulation(
    name="the small systems",
    takes=lambda flags: True,
    defaults=_SIZE | _ACCURACY,
    job=_small,
    quick={"n_trajectories": 60, "n_frames": 20},
)
