"""Simulate many small systems of interacting particles, or argon, and save their motion and accelerations.

reads    nothing, the Python file of your own force law (--system-file), or frames of GAMD (--from-gamd)
writes   datasets/<system>_n<n>_d<dim>_s<seed>[_<tag>].npz and .json;
         with --plot or --animate outputs/<dataset>/trajectories.png or .gif
example  python simulate.py --system spring --n 4 --dim 2 --n-trajectories 5000 --seed 0

Small systems. Units: dimensionless, G = k = 1. Positions and velocities start from N(0,1), masses from a lognormal.
Integrated in 64 bits with adaptive steps; a trajectory whose energy drifts by more than 1e-6 is done again
more tightly or replaced, and both are counted. Frame 0 is the initial condition.

Argon (--system lj). A Lennard-Jones fluid in a periodic box; length A, time ps, mass 10 g/mol, so that mass * acc is
the force in kJ/mol/nm. Every trajectory is an equilibrated simulation of its own. The accelerations are those of
the analytic pair law in 64 bits. --from-gamd makes the same file from GAMD's data_{seed}_{t}.npz.

The split into training, validation and test (80/10/10) is by whole trajectories.
"""

import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distill.files.dataset import load_dataset, make_split, save_dataset
from distill.files.names import dataset_name
from distill.files.provenance import already_done, provenance
from distill.files.storage import atomic
from distill.fluid import flags, gamd, md
from distill.physics.integrate import ATOL, DRIFT_BOUND, MAX_STEPS, RTOL
from distill.physics.lennard_jones import LennardJones
from distill.physics.neighbours import unwrap
from distill.physics.record import describe
from distill.physics.system import System
from distill.physics.systems import SYSTEMS, load_system, original_form
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, add_run_flags, fraction, positive_float, positive_int
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script, warn
from distill.shell.threads import set_threads

COPIES = 8  # of the positions in memory at the worst moment, roughly


def parser() -> Parser:
    p = Parser(__doc__, prog="simulate.py")
    physics = p.add_argument_group("physics")
    which = physics.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--system",
        choices=list(SYSTEMS),
        help="force law: " + "; ".join(f"{s.name}: {s.summary}" for s in SYSTEMS.values()),
    )
    which.add_argument(
        "--system-file",
        type=Path,
        metavar="FILE",
        help="your own force law: a Python file with a function potential(r, m_i, m_j, q_i, q_j) in"
        " jax.numpy and, if you like, name, dt, law, drag, external, ... (see distill/user_system.py)",
    )
    which.add_argument(
        "--from-gamd",
        type=Path,
        metavar="FOLDER",
        help="argon that GAMD's script simulated: data_{seed}_{t}.npz; needs --box, and --dt and --every if not"
        " 0.002 ps and 50; every seed becomes a trajectory",
    )
    # No defaults here: they depend on what is simulated, and stand in distill/md_flags.py.
    physics.add_argument("--n", type=positive_int, help="particles, at least 2 (4; lj: 258)")
    physics.add_argument("--dim", type=int, choices=(2, 3), help="space dimensions (2; lj: 3)")
    physics.add_argument("--dt", type=positive_float, help="time step (the system's; lj: 0.002 ps)")
    physics.add_argument("--every", type=positive_int, help="time steps between two saved frames (5; lj: 50)")
    physics.add_argument(
        "--original-form",
        action="store_true",
        default=None,
        help="the physics and time grid of the authors' code, slips included, to compare with its data",
    )
    physics.add_argument(
        "--acceleration-noise",
        type=fraction,
        default=0.0,
        metavar="SHARE",
        help="measurement noise: every component of every saved acceleration is multiplied by 1 + SHARE N(0,1)",
    )
    flags.add_md_flags(p)
    sizes = p.add_argument_group("size and accuracy")
    sizes.add_argument("--n-trajectories", type=positive_int, help="independent systems (5000; lj: 10)")
    sizes.add_argument("--n-frames", type=positive_int, help="saved frames a trajectory (100; lj: 1000)")
    sizes.add_argument("--rtol", type=positive_float, help=f"relative tolerance of a step ({RTOL:g}; not lj)")
    sizes.add_argument("--atol", type=positive_float, help=f"absolute tolerance of a step ({ATOL:g}; not lj)")
    sizes.add_argument(
        "--drift-bound", type=positive_float, help=f"largest accepted relative energy drift ({DRIFT_BOUND:g}; not lj)"
    )
    sizes.add_argument(
        "--max-steps", type=positive_int, help=f"integrator steps before giving a trajectory up ({MAX_STEPS}; not lj)"
    )
    output = p.add_argument_group("output")
    output.add_argument("--tag", default="", help="added to the dataset's name")
    output.add_argument("--plot", action="store_true", help="draw some trajectories (.png)")
    output.add_argument("--animate", action="store_true", help="draw them moving (.gif)")
    add_run_flags(p, "seed of the initial conditions and of the split; names the dataset")
    return p


@dataclass
class Job:
    """What a kind of simulation needs of the common way from flags to files."""

    system: System
    size: tuple[int, int, int, int]  # trajectories, frames, particles, dimensions
    make: Callable[[], dict]  # the arrays, and "report"
    shown: dict  # name on the last line -> name in the report
    inputs: dict = field(default_factory=dict)


def main(argv=None) -> int:
    p = parser()
    args = p.parse_args(argv)
    set_threads(args.threads)
    kind = flags.resolve(p, args)
    if kind != "gamd" and args.n < 2:
        p.error("argument --n: one particle feels no pair force, give at least 2")
    job = {"toys": _toys, "md": _fluid, "gamd": _gamd}[kind](args)
    trajectories, frames, n, dim = job.size
    name = dataset_name(job.system.name, n, dim, args.seed, args.tag)
    path, side = paths.DATASETS / f"{name}.npz", paths.DATASETS / f"{name}.json"
    stage = Stage("simulate", name)
    # Drawing changes no data, so a finished dataset can still be drawn.
    arguments = {k: v for k, v in vars(args).items() if k not in ("plot", "animate")}
    if path.is_file() and not side.is_file() and not args.overwrite:
        raise UserError(f"{relative(path)} exists without its .json", "add --overwrite to replace it, or --tag")
    if path.is_file() and already_done(side, arguments, job.inputs, args.overwrite):
        _draw(args, name, job.system)
        print(stage.already_done(path), flush=True)
        return 0
    _check_room(8 * math.prod(job.size), path)
    try:
        arrays = job.make()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; nothing was written") from None
    report = arrays.pop("report")
    if count := report.get("dropped"):
        warn(f"{count} trajectories could not be integrated and were replaced by others: see {relative(side)}")
    arrays["split"] = make_split(trajectories, args.seed)
    if args.acceleration_noise:
        # a stream of its own, so that positions and split are those of the noise-free dataset
        normal = np.random.default_rng([args.seed, 61]).standard_normal(arrays["acc"].shape)
        arrays["acc"] = arrays["acc"] * (1 + args.acceleration_noise * normal)
    about = provenance("simulate", arguments, job.inputs, stage.seconds)
    about |= {
        "system": describe(job.system),
        "n": n,
        "dim": dim,
        "report": report,
        "acceleration_noise": args.acceleration_noise,
    }
    save_dataset(path, arrays, about)
    _draw(args, name, job.system)
    shown = {label: report[key] for label, key in job.shown.items()}
    print(stage.done(path, trajectories=trajectories, frames=frames, **shown), flush=True)
    return 0


def _toys(args) -> Job:
    system = load_system(args.system, args.system_file)
    if isinstance(system, LennardJones):
        raise UserError(f"{relative(args.system_file)} is a fluid", "use --system lj with --sigma, --epsilon, ...")
    args.dt = args.dt or system.dt
    if args.original_form:
        system = original_form(system)
    size = (args.n_trajectories, args.n_frames, args.n, args.dim)

    def make():
        from distill.physics.integrate import integrate

        return integrate(
            system,
            args.n,
            args.dim,
            args.n_trajectories,
            args.n_frames,
            args.every,
            seed=args.seed,
            rtol=args.rtol,
            atol=args.atol,
            dt=args.dt,
            max_steps=args.max_steps,
            drift_bound=args.drift_bound,
        )

    inputs = {} if args.system_file is None else {"system_file": args.system_file}
    return Job(system, size, make, {"drift": "energy_drift_max", "redone": "redone", "dropped": "dropped"}, inputs)


def _fluid(args) -> Job:
    settings = flags.settings_of(args)
    md.check(settings)
    engine = md.engine_named(args.md_engine, args.thermostat)
    size = (args.n_trajectories, args.n_frames, args.n, 3)
    shown = {"engine": "engine", "deviation": "largest_deviation_relative_to_largest_force"}
    return Job(settings.system, size, lambda: md.simulate(settings, size[0], engine, args.threads), shown)


def _gamd(args) -> Job:
    system, folder, spacing = flags.law_of(args), args.from_gamd, args.dt * args.every
    most = flags.QUICK_FRAMES if args.quick else None
    size = gamd.size_of(folder, most)
    args.from_gamd_sha256 = gamd.digest(folder)  # so that other frames in the folder are other arguments
    args.tag = args.tag or "gamd"
    shown = {"deviation": "largest_deviation_relative_to_largest_force"}
    return Job(system, size, lambda: gamd.read(folder, args.box, system, spacing, most), shown)


def _check_room(size, path):
    """Fail now rather than after the work: a folder to write to, disk and memory enough."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{relative(path.parent)} is a file, expected a folder for the datasets") from None
    except FileNotFoundError:  # what /proc and the like answer
        raise UserError(f"cannot make the folder {relative(path.parent)}", "choose another DISTILL_DATASETS") from None
    with tempfile.TemporaryFile(dir=path.parent):
        pass
    shrink = "use fewer --n-trajectories or --n-frames"
    disk = os.statvfs(path.parent)
    if 3 * size > disk.f_bavail * disk.f_frsize:
        wanted = f"{relative(path)} would take {3 * size / 1e9:.1f} GB"
        raise UserError(f"{wanted}, more than is free on its disk", shrink)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if COPIES * size > memory:
        raise UserError(
            f"{COPIES * size / 1e9:.1f} GB of memory would be needed, the machine has {memory / 1e9:.1f}",
            shrink,
        )


def _draw(args, name, system):
    if not (args.plot or args.animate):
        return
    from distill.report.animate import animate_trajectories, plot_trajectories

    dataset = load_dataset(paths.DATASETS / f"{name}.npz")
    if "box" in dataset.arrays:  # without jumps across the drawing
        dataset.arrays["pos"] = np.stack([unwrap(pos, dataset.box) for pos in dataset.pos])
    folder = paths.OUTPUTS / name
    if args.plot:
        with atomic(folder / "trajectories.png") as file:
            plot_trajectories(dataset, system).savefig(file, format="png", dpi=150)
    if args.animate:
        with atomic(folder / "trajectories.gif") as file:
            file.write(animate_trajectories(dataset, system))
    for suffix in ("png",) * args.plot + ("gif",) * args.animate:
        print(f"drawn  {relative(folder / f'trajectories.{suffix}')}")


if __name__ == "__main__":
    run_script(main)
