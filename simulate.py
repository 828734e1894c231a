"""Simulate many small systems of interacting particles and save their motion and accelerations.

reads    nothing, or the Python file of your own force law (--system-file)
writes   datasets/<system>_n<n>_d<dim>_s<seed>[_<tag>].npz and .json;
         with --plot or --animate outputs/<dataset>/trajectories.png or .gif
example  python simulate.py --system spring --n 4 --dim 2 --n-trajectories 5000 --seed 0

Units: dimensionless, G = k = 1. Positions and velocities start from N(0,1), masses from a lognormal.
Integrated in 64 bits with adaptive steps; a trajectory whose energy drifts by more than 1e-6 is done again
more tightly or replaced, and both are counted. Frame 0 is the initial condition. The split into training,
validation and test (80/10/10) is by whole trajectories.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from distill import formats
from distill.cli import (
    DATASETS,
    OUTPUTS,
    Parser,
    Stage,
    UserError,
    add_run_flags,
    fraction,
    positive_float,
    positive_int,
    relative,
    run_script,
    set_threads,
    warn,
)
from distill.integrate import ATOL, DRIFT_BOUND, MAX_STEPS, RTOL
from distill.systems import SYSTEMS, describe, load_system, original_form

QUICK = {"n_trajectories": 60, "n_frames": 20}
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
    physics.add_argument("--n", type=positive_int, default=4, help="particles, at least 2")
    physics.add_argument("--dim", type=int, choices=(2, 3), default=2, help="space dimensions")
    physics.add_argument("--dt", type=positive_float, help="time step of the grid; the system's if not given")
    physics.add_argument("--every", type=positive_int, default=5, help="time steps between two saved frames")
    physics.add_argument(
        "--original-form",
        action="store_true",
        help="the physics and time grid of the authors' code, slips included, to compare with its data",
    )
    physics.add_argument(
        "--acceleration-noise",
        type=fraction,
        default=0.0,
        metavar="SHARE",
        help="measurement noise: every component of every saved acceleration is multiplied by 1 + SHARE N(0,1)",
    )
    sizes = p.add_argument_group("size and accuracy")
    sizes.add_argument("--n-trajectories", type=positive_int, default=5000, help="independent systems")
    sizes.add_argument("--n-frames", type=positive_int, default=100, help="saved frames a trajectory")
    sizes.add_argument("--rtol", type=positive_float, default=RTOL, help="relative tolerance of a step")
    sizes.add_argument("--atol", type=positive_float, default=ATOL, help="absolute tolerance of a step")
    sizes.add_argument(
        "--drift-bound",
        type=positive_float,
        default=DRIFT_BOUND,
        help="largest accepted relative energy drift",
    )
    sizes.add_argument(
        "--max-steps",
        type=positive_int,
        default=MAX_STEPS,
        help="integrator steps before giving a trajectory up",
    )
    output = p.add_argument_group("output")
    output.add_argument("--tag", default="", help="added to the dataset's name")
    output.add_argument("--plot", action="store_true", help="draw some trajectories (.png)")
    output.add_argument("--animate", action="store_true", help="draw them moving (.gif)")
    add_run_flags(p, "seed of the initial conditions and of the split; names the dataset")
    return p


def main(argv=None) -> int:
    p = parser()
    args = p.parse_args(argv)
    set_threads(args.threads)
    if args.n < 2:
        p.error("argument --n: one particle feels no pair force, give at least 2")
    if args.tag and not all(c.isalnum() or c in "-_." for c in args.tag):
        p.error(f"argument --tag: '{args.tag}' may hold letters, digits, - _ . only")
    if args.quick:
        for name, size in QUICK.items():
            setattr(args, name, min(getattr(args, name), size))
    system = load_system(args.system, args.system_file)
    args.dt = args.dt or system.dt
    if args.original_form:
        system = original_form(system)
    name = formats.dataset_name(system.name, args.n, args.dim, args.seed, args.tag)
    path, side = DATASETS / f"{name}.npz", DATASETS / f"{name}.json"
    stage = Stage("simulate", name)
    # Drawing changes no data, so a finished dataset can still be drawn.
    arguments = {k: v for k, v in vars(args).items() if k not in ("plot", "animate")}
    inputs = {} if args.system_file is None else {"system_file": args.system_file}
    if path.is_file() and not side.is_file() and not args.overwrite:
        raise UserError(f"{relative(path)} exists without its .json", "add --overwrite to replace it, or --tag")
    if path.is_file() and formats.already_done(side, arguments, inputs, args.overwrite):
        _draw(args, name, system)
        stage.already_done(path)
        return 0
    _check_room(args, path)

    from distill.integrate import integrate

    try:
        arrays = integrate(
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
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; nothing was written") from None
    report = arrays.pop("report")
    if report["dropped"]:
        count = report["dropped"]
        warn(f"{count} trajectories could not be integrated and were replaced by others: see {relative(side)}")
    arrays["split"] = formats.make_split(args.n_trajectories, args.seed)
    if args.acceleration_noise:
        # a stream of its own, so that positions and split are those of the noise-free dataset
        normal = np.random.default_rng([args.seed, 61]).standard_normal(arrays["acc"].shape)
        arrays["acc"] = arrays["acc"] * (1 + args.acceleration_noise * normal)
    side.unlink(missing_ok=True)  # the old one must not stand beside new arrays if we are cut off here
    formats.save_npz(path, arrays, formats.DATASET_FIELDS)
    about = formats.provenance("simulate", arguments, inputs, stage.seconds)
    about |= {"system": describe(system), "n": args.n, "dim": args.dim, "report": report,
              "acceleration_noise": args.acceleration_noise}  # fmt: skip
    formats.save_json(side, about)
    _draw(args, name, system)
    stage.done(
        path,
        trajectories=args.n_trajectories,
        frames=args.n_frames,
        drift=report["energy_drift_max"],
        redone=report["redone"],
        dropped=report["dropped"],
    )
    return 0


def _check_room(args, path):
    """Fail now rather than after the work: a folder to write to, disk and memory enough."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{relative(path.parent)} is a file, expected a folder for the datasets") from None
    except FileNotFoundError:  # what /proc and the like answer
        raise UserError(f"cannot make the folder {relative(path.parent)}", "choose another DISTILL_DATASETS") from None
    with tempfile.TemporaryFile(dir=path.parent):
        pass
    size = 8 * args.n_trajectories * args.n_frames * args.n * args.dim
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
    from distill.animate import animate_trajectories, plot_trajectories

    dataset = formats.load_dataset(DATASETS / f"{name}.npz")
    folder = OUTPUTS / name
    if args.plot:
        with formats.atomic(folder / "trajectories.png") as file:
            plot_trajectories(dataset, system).savefig(file, format="png", dpi=150)
    if args.animate:
        with formats.atomic(folder / "trajectories.gif") as file:
            file.write(animate_trajectories(dataset, system))
    for suffix in ("png",) * args.plot + ("gif",) * args.animate:
        print(f"drawn  {relative(folder / f'trajectories.{suffix}')}")


if __name__ == "__main__":
    run_script(main)
