"""How datasets of a fluid are made: molecular dynamics (``--system lj`` or ``kob_andersen``), or the frames of GAMD
(``--from-gamd``).
"""

import argparse
from argparse import Namespace
from pathlib import Path

from distill.fluid import gamd, md
from distill.fluid.lennard_jones import ARGON, FLUIDS, PURE, LennardJones, Mixture, lennard_jones
from distill.fluid.settings import FRICTION, THERMOSTATS, Settings
from distill.physics.simulation import SMALL, Job, Simulation
from distill.shell.errors import UsageError
from distill.shell.flags import Parser, positive_float

QUICK_FRAMES = 20  # of GAMD's, the first
DEVIATION = {"deviation": "largest_deviation_relative_to_largest_force"}


def non_negative_float(text: str) -> float:
    if not 0 <= (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not 0 or a positive finite number")
    return value


def law_of(args: Namespace, mixture: Mixture) -> LennardJones:
    """The system of the flags of any of these kinds; fills in the cutoff."""
    args.cutoff = round(mixture.reach * args.sigma, 9) if args.cutoff is None else args.cutoff
    return lennard_jones(args.sigma, args.epsilon, args.cutoff, args.atom_mass, mixture)


# ---------------------------------------------------------------- molecular dynamics


def _md_flags(parser: Parser) -> None:
    title = "molecular dynamics (units A, ps, kJ/mol, K)"
    told = "; ".join(f"with {kind.name} {kind.words(SMALL.defaults)}" for kind in MD)
    add = parser.add_argument_group(title, f"{told}, unless given").add_argument
    add(
        "--sigma", type=positive_float, metavar="A", help="where the pair potential, that of A and A, is 0 (3.4: argon)"
    )
    add("--epsilon", type=positive_float, metavar="KJ", help="its depth, kJ/mol (0.995792)")
    add("--atom-mass", type=positive_float, metavar="G", help="g/mol (39.9)")
    add("--cutoff", type=positive_float, metavar="A", help=f"all pair forces are cut there ({_each('reach')} sigma)")
    rho = f"atoms per sigma^3; sets the box ({_each('reduced_density')})"
    add("--reduced-density", type=positive_float, metavar="RHO", help=rho)
    add("--temperature", type=positive_float, metavar="K", help=f"({_each('temperature')})")
    add("--thermostat", choices=THERMOSTATS, help="none: constant energy after the equilibration (langevin)")
    friction = "per ps: langevin's (1), or how often nose-hoover's chain collides (25)"
    add("--friction", type=positive_float, metavar="RATE", help=friction)
    before = f"before the first frame, with langevin ({_each('equilibration')})"
    add("--equilibration", type=non_negative_float, metavar="PS", help=before)
    engine = "auto: OpenMM (pip install -r requirements-md.txt) if it is there, else the slower path in JAX;"
    add("--md-engine", choices=md.ENGINES, help=f"{engine} the last line says which (auto)")


def _each(what: str) -> str:
    """The default of every fluid."""
    return ", ".join(f"{fluid.name}: {getattr(fluid, what):g}" for fluid in FLUIDS)


def _md(args: Namespace) -> Job:
    mixture = next(fluid for fluid in FLUIDS if fluid.name == args.system)
    if args.dim != 3:
        raise UsageError(f"argument --dim: --system {mixture.name} has 3 dimensions")
    if args.n < 2:
        raise UsageError("argument --n: one particle feels no pair force, give at least 2")
    if missing := [name for k, name in enumerate(mixture.levels) if k not in mixture.of(args.n)]:
        least = next(n for n in range(args.n, 10_000) if len(set(mixture.of(n))) == len(mixture.levels))
        raise UsageError(f"argument --n: of {args.n} particles none is of {', '.join(missing)}, give at least {least}")
    if args.thermostat == "none" and args.friction is not None:
        raise UsageError("argument --friction: --thermostat none has none, give langevin or nose-hoover")
    args.friction = FRICTION[args.thermostat] if args.friction is None else args.friction
    same = "n reduced_density temperature thermostat friction dt every equilibration seed".split()
    settings = Settings(
        system=law_of(args, mixture), frames=args.n_frames, **{name: getattr(args, name) for name in same}
    )
    md.check(settings)
    engine, size = md.engine_named(args.md_engine, args.thermostat), (args.n_trajectories, args.n_frames, args.n, 3)
    make = lambda: md.simulate(settings, args.n_trajectories, engine, args.threads)  # noqa: E731
    return Job(settings.system, size, make, {"engine": "engine"} | DEVIATION)


_LAW = {"sigma": ARGON["sigma"], "epsilon": ARGON["epsilon"], "atom_mass": ARGON["atom_mass"], "cutoff": None}
_SIZE = {"dim": 3, "dt": 0.002, "every": 50, "n_trajectories": 10, "n_frames": 1000}


def _of_fluid(fluid: Mixture) -> Simulation:
    state = {name: getattr(fluid, name) for name in ("n", "reduced_density", "temperature", "equilibration")}
    return Simulation(
        name=f"--system {fluid.name}",
        takes=lambda flags: flags["system"] == fluid.name,
        defaults=_SIZE | state | _LAW | {"thermostat": "langevin", "friction": None, "md_engine": "auto"},
        job=_md,
        quick={"n_trajectories": 3, "n_frames": 20, "equilibration": 2.0},
        add_flags=_md_flags if fluid is PURE else None,
    )


MD = [_of_fluid(fluid) for fluid in FLUIDS]


# ---------------------------------------------------------------- the frames of another simulation


def _gamd_flags(parser: Parser) -> None:
    what = "argon that GAMD's script simulated: data_{seed}_{t}.npz; every seed becomes a trajectory; needs --box"
    add = parser.add_argument_group(
        "frames of GAMD", f"with them {GAMD.words(SMALL.defaults)} unless given"
    ).add_argument
    add("--from-gamd", type=Path, metavar="FOLDER", help=what)
    add("--box", type=positive_float, nargs="+", metavar="A", help="side of the box, or three")


def _gamd(args: Namespace) -> Job:
    if args.system or args.system_file:
        raise UsageError("argument --from-gamd: not allowed with --system or --system-file")
    if args.box is None:
        raise UsageError("--from-gamd needs --box: the side of the box in A, which the files do not hold")
    if len(args.box) not in (1, 3):
        raise UsageError(f"argument --box: {len(args.box)} values, expected 1 or 3")
    system, folder, spacing = law_of(args, PURE), args.from_gamd, args.dt * args.every
    most = min(args.n_frames or QUICK_FRAMES, QUICK_FRAMES) if args.quick else args.n_frames
    size = gamd.size_of(folder, most)
    args.from_gamd_sha256 = gamd.digest(folder, most)  # so that other frames in the folder are other arguments
    args.tag = args.tag or "gamd"
    return Job(system, size, lambda: gamd.read(folder, args.box, system, spacing, most), DEVIATION)


GAMD = Simulation(
    name="--from-gamd",
    takes=lambda flags: flags.get("from_gamd") is not None,
    defaults={"from_gamd": None, "box": None, "dt": 0.002, "every": 50, "n_frames": None} | _LAW,
    job=_gamd,
    add_flags=_gamd_flags,
)
SIMULATIONS = [*MD, GAMD]
