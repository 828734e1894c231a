"""The flags of ``simulate.py`` that depend on what is simulated: which take part, and with which defaults.

Three kinds: ``toys`` (the small systems and the user's own), ``md`` (molecular dynamics, ``--system lj``) and
``gamd`` (files of another simulation, ``--from-gamd``). A flag of another kind is a usage error that names those
of this one, rather than being ignored.
"""

import argparse

from distill.fluid.md import ENGINES, THERMOSTATS, Settings
from distill.physics.integrate import ATOL, DRIFT_BOUND, MAX_STEPS, RTOL
from distill.physics.lennard_jones import ARGON, REDUCED_DENSITY, TEMPERATURE, LennardJones, lennard_jones
from distill.shell.flags import Parser, positive_float

_LAW = {"sigma": ARGON["sigma"], "epsilon": ARGON["epsilon"], "atom_mass": ARGON["atom_mass"], "cutoff": None}
FLAGS = {  # kind: flag -> default; None: depends on others, see ``resolve``
    "toys": {
        "n": 4,
        "dim": 2,
        "dt": None,
        "every": 5,
        "n_trajectories": 5000,
        "n_frames": 100,
        "original_form": False,
        "rtol": RTOL,
        "atol": ATOL,
        "drift_bound": DRIFT_BOUND,
        "max_steps": MAX_STEPS,
    },
    "md": {
        "n": 258,
        "dim": 3,
        "dt": 0.002,
        "every": 50,
        "n_trajectories": 10,
        "n_frames": 1000,
        **_LAW,
        "reduced_density": REDUCED_DENSITY,
        "temperature": TEMPERATURE,
        "thermostat": "langevin",
        "friction": None,
        "equilibration": 100.0,
        "md_engine": "auto",
    },
    "gamd": {"box": None, "dt": 0.002, "every": 50, **_LAW},
}
NAMES = {"toys": "the small systems", "md": "--system lj", "gamd": "--from-gamd"}
QUICK = {
    "toys": {"n_trajectories": 60, "n_frames": 20},
    "md": {"n_trajectories": 3, "n_frames": 20, "equilibration": 2.0},
    "gamd": {},  # the first frames only, see ``QUICK_FRAMES``
}
QUICK_FRAMES = 20
FRICTION = {"langevin": 1.0, "nose-hoover": 25.0, "none": 0.0}  # per ps; 25: GAMD's


def non_negative_float(text: str) -> float:
    if not 0 <= (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not 0 or a positive finite number")
    return value


def add_md_flags(parser: Parser) -> None:
    """The flags of molecular dynamics, all None unless given."""
    add = parser.add_argument_group("molecular dynamics (--system lj; units A, ps, kJ/mol, K)").add_argument
    add("--sigma", type=positive_float, metavar="A", help="where the pair potential is zero (3.4, argon)")
    add("--epsilon", type=positive_float, metavar="KJ", help="its depth, kJ/mol (0.995792)")
    add("--atom-mass", type=positive_float, metavar="G", help="g/mol (39.9)")
    add("--cutoff", type=positive_float, metavar="A", help="the pair force is cut there (3 sigma)")
    add("--reduced-density", type=positive_float, metavar="RHO", help="atoms per sigma^3; sets the box (0.5)")
    add("--temperature", type=positive_float, metavar="K", help="(100)")
    add("--thermostat", choices=THERMOSTATS, help="none: constant energy after the equilibration (langevin)")
    add(
        "--friction",
        type=positive_float,
        metavar="RATE",
        help="per ps: langevin's (1), or how often nose-hoover's chain collides (25)",
    )
    add("--equilibration", type=non_negative_float, metavar="PS", help="before the first frame, with langevin (100)")
    add(
        "--md-engine",
        choices=ENGINES,
        help="auto: OpenMM (pip install -r requirements-md.txt) if it is there, else"
        " the slower path in JAX; the last line says which (auto)",
    )
    add("--box", type=positive_float, nargs="+", metavar="A", help="with --from-gamd: side of the box, or three")


def resolve(parser: Parser, args: argparse.Namespace) -> str:
    """The kind of ``args``; its flags filled in with their defaults and those of the other kinds taken out.

    Ends in a usage error (exit code 2) for a flag of another kind, or values that exclude each other.
    """
    kind = "gamd" if args.from_gamd is not None else "md" if args.system == "lj" else "toys"
    own = FLAGS[kind]
    for name in dict.fromkeys(name for flags in FLAGS.values() for name in flags):
        given = getattr(args, name)
        if name in own:
            setattr(args, name, own[name] if given is None else given)
            continue
        if given is not None:
            theirs = " and ".join(NAMES[k] for k in FLAGS if name in FLAGS[k])
            have = "have" if kind == "toys" else "has"
            parser.error(f"argument {_flag(name)}: only with {theirs}; {NAMES[kind]} {have} {_own(kind)}")
        delattr(args, name)
    if kind != "toys" and args.cutoff is None:
        args.cutoff = round(3 * args.sigma, 9)
    if kind == "md":
        if args.dim != 3:
            parser.error("argument --dim: --system lj has 3 dimensions")
        if args.thermostat == "none" and args.friction is not None:
            parser.error("argument --friction: --thermostat none has none, give langevin or nose-hoover")
        args.friction = FRICTION[args.thermostat] if args.friction is None else args.friction
    if kind == "gamd":
        if args.box is None:
            parser.error("--from-gamd needs --box: the side of the box in A, which the files do not hold")
        if len(args.box) not in (1, 3):
            parser.error(f"argument --box: {len(args.box)} values, expected 1 or 3")
    if args.quick:
        for name, size in QUICK[kind].items():
            setattr(args, name, min(getattr(args, name), size))
    return kind


def _flag(name):
    return "--" + name.replace("_", "-")


def _own(kind):
    """The flags that not all kinds have, as the user types them."""
    return " ".join(_flag(name) for name in FLAGS[kind] if not all(name in flags for flags in FLAGS.values()))


def law_of(args: argparse.Namespace) -> LennardJones:
    """The system of resolved flags."""
    return lennard_jones(args.sigma, args.epsilon, args.cutoff, args.atom_mass)


def settings_of(args: argparse.Namespace) -> Settings:
    """The simulation of resolved flags of kind ``md``."""
    return Settings(
        system=law_of(args),
        n=args.n,
        reduced_density=args.reduced_density,
        temperature=args.temperature,
        thermostat=args.thermostat,
        friction=args.friction,
        dt=args.dt,
        every=args.every,
        frames=args.n_frames,
        equilibration=args.equilibration,
        seed=args.seed,
    )
