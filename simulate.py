"""Simulate many small systems of interacting particles, or a fluid, and save their motion and accelerations.

reads    nothing, the Python file of your own force law (--system-file), or frames of GAMD (--from-gamd)
writes   datasets/<system>_n<n>_d<dim>_s<seed>[_<tag>].npz and .json;
         with --plot or --animate outputs/<dataset>/trajectories.png or .gif
example  python simulate.py --system spring --n 4 --dim 2 --n-trajectories 5000 --seed 0

Small systems. Units: dimensionless, G = k = 1. Positions and velocities start from N(0,1), masses from a lognormal.
Integrated in 64 bits with adaptive steps; a trajectory whose energy drifts by more than 1e-6 is done again
more tightly or replaced, and both are counted; forces without energy are held to the balance of energy and work.
Frame 0 is the initial condition.

Fluids (--system lj: argon; kob_andersen: two species). Lennard-Jones pairs in a periodic box; length A, time ps, mass
10 g/mol, so that mass * acc is the force in kJ/mol/nm. Every trajectory is an equilibrated simulation of its own. The
accelerations are those of the analytic pair law in 64 bits. --from-gamd makes the same file from GAMD's
data_{seed}_{t}.npz. The pairs A and A of the mixture are argon's, one cutoff serves all pairs.

The split into training, validation and test (80/10/10) is by whole trajectories.
"""

from pathlib import Path

import distill
from distill.physics.integrate import ATOL, DRIFT_BOUND, MAX_STEPS, RTOL
from distill.physics.simulation import simulations
from distill.physics.systems import SYSTEMS
from distill.shell.flags import Parser, add_run_flags, fraction, positive_float, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads


def parser() -> Parser:
    p = Parser(__doc__, prog="simulate.py")
    physics = p.add_argument_group("physics")
    which, add = physics.add_mutually_exclusive_group(), physics.add_argument
    known = "; ".join(f"{s.name}: {s.summary}" for s in SYSTEMS.values()).replace("%", "%%")
    which.add_argument("--system", choices=list(SYSTEMS), help=f"force law: {known}")
    own = (
        "your own force law: a Python file with a function potential(r, m_i, m_j, q_i, q_j) in jax.numpy, or force"
        " where there is none, and, if you like, name, dt, law, drag, field, ... (see distill/physics/user_system.py)"
    )
    which.add_argument("--system-file", type=Path, metavar="FILE", help=own)
    # No defaults here: they depend on what is simulated, and stand in distill/physics/simulation.py.
    add("--n", type=positive_int, help="particles, at least 2 (4)")
    add("--dim", type=int, choices=(2, 3), help="space dimensions (2)")
    add("--bodies", type=positive_int, metavar="N", help="particles are N bodies that come again (new ones each time)")
    add("--dt", type=positive_float, help="time step (the system's)")
    add("--every", type=positive_int, help="time steps between two saved frames (5)")
    noise = "measurement noise: every component of every saved acceleration is multiplied by 1 + SHARE N(0,1)"
    add("--acceleration-noise", type=fraction, default=0.0, metavar="SHARE", help=noise)
    noise = "the same for weak and strong forces: SHARE N(0,1) times the median acceleration is added (none)"
    add("--additive-noise", type=fraction, metavar="SHARE", help=noise)
    for kind in simulations():
        if kind.add_flags:
            kind.add_flags(p)
    add = p.add_argument_group("size and accuracy").add_argument
    add("--n-trajectories", type=positive_int, help="independent systems (5000)")
    add("--n-frames", type=positive_int, help="saved frames a trajectory (100)")
    add("--rtol", type=positive_float, help=f"relative tolerance of a step ({RTOL:g})")
    add("--atol", type=positive_float, help=f"absolute tolerance of a step ({ATOL:g})")
    add("--drift-bound", type=positive_float, help=f"largest accepted relative energy drift ({DRIFT_BOUND:g})")
    add("--max-steps", type=positive_int, help=f"integrator steps before giving a trajectory up ({MAX_STEPS})")
    add = p.add_argument_group("output").add_argument
    add("--tag", default="", help="added to the dataset's name")
    add("--plot", action="store_true", help="draw some trajectories (.png)")
    add("--animate", action="store_true", help="draw them moving (.gif)")
    add_run_flags(p, "seed of the initial conditions and of the split; names the dataset")
    return p


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    set_threads(args.threads)
    print(distill.simulate(**vars(args)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
