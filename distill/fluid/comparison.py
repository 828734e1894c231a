"""Law and network compared on fluids unlike the one trained on, simulated anew.

Every set is labelled by the analytic pair law at its own states. Molecular dynamics needs JAX or OpenMM, which are
kept apart from torch: ``fresh_sets`` runs ``make_sets`` in a process of its own. Units as in
``distill.fluid.lennard_jones``: A, ps, and mass * acc in kJ/mol/nm.
"""

from argparse import Namespace
from dataclasses import dataclass, replace

import numpy as np

from distill.files.dataset import Dataset
from distill.files.kinds import SystemRecord
from distill.fluid import md
from distill.fluid.lennard_jones import BOLTZMANN, LennardJones
from distill.fluid.settings import FRICTION, Settings
from distill.generalization import extrapolation
from distill.generalization.comparison import Comparison
from distill.generalization.extrapolation import INTERPOLATION, Made, pick
from distill.shell.errors import UserError
from distill.shell.flags import Parser, positive_float, positive_int

HOTTER = (2, 3)  # times the dataset's temperature
LIKE = 0.2  # a set whose density is that close to the dataset's own, relatively, says nothing new
EQUILIBRATION = 25.0  # ps at most: forces lose their memory in a few
SPACING = 1.0  # ps between the frames of a set
FINE = 0.1  # ps between the frames from which pair distances are counted
FORCE_UNIT = "kJ/mol/nm"
OWN_UNIT = "mass * acc in the units of the dataset"


@dataclass(frozen=True)
class Plan:
    """What is to be simulated. Times in ps."""

    settings: Settings  # as the dataset, but for seed, frames and equilibration
    engine: str  # of ``md``: "openmm" or "jax"
    trajectories: int  # of each set
    limit: int  # frames of each set at most
    particles: int  # of the set "more_particles"
    references: int  # simulations from which g(r) is to be taken, and rollouts start
    time: float  # length of each

    @property
    def frames(self) -> int:
        """Of a simulation that is not a reference."""
        return -(-self.limit // self.trajectories)


# ---------------------------------------------------------------- what to simulate


def four_times(n: int) -> int:
    """4 n rounded to one digit: 1000 for the 258 atoms of GAMD's set."""
    size = 10 ** (len(str(4 * n)) - 1)
    return max(n + 1, round(4 * n / size) * size)


def settings_like(dataset: Dataset, system: LennardJones, seed: int, quick: bool = False) -> tuple[Settings, str]:
    """``Settings`` of the dataset with a new seed, and the engine to use: the dataset's where it is installed.

    What the JSON does not tell (frames of others) is taken from the data: the density from the box, the temperature
    from the velocities of the training split; thermostat langevin. A Nose-Hoover dataset without OpenMM gets
    langevin too, which has the same distribution.
    """
    told = dataset.meta.arguments if "reduced_density" in dataset.meta.arguments else {}
    vel, mass = dataset.vel[dataset.trajectories("train")], dataset.mass[dataset.trajectories("train")]
    measured = float((mass[:, None, :, None] * vel**2).mean() / BOLTZMANN)
    engine = md.engine_named("auto", "langevin")
    made_by = str(dataset.meta.report.get("engine", engine))
    engine = "jax" if made_by.startswith("jax") else engine
    thermostat = told.get("thermostat", "langevin")
    if thermostat == "nose-hoover" and engine == "jax":
        thermostat = "langevin"
    same = thermostat == told.get("thermostat")
    density = dataset.n * system.sigma**3 / float(np.prod(dataset.box))
    same = {"friction": told["friction"] if same else FRICTION[thermostat], "thermostat": thermostat, "seed": seed}
    same |= {k: told.get(k, v) for k, v in (("reduced_density", density), ("temperature", measured), ("dt", system.dt))}
    ends = min(told.get("equilibration", EQUILIBRATION), 1.0 if quick else EQUILIBRATION)
    settings = Settings(system=system, n=dataset.n, every=1, frames=1, equilibration=ends, **same)
    return settings, engine


def variants(plan: Plan) -> dict[str, tuple[Settings, str]]:
    """Of every set beyond interpolation: its simulation and a sentence. Frames every ``SPACING``."""
    base = spaced(plan.settings, SPACING, plan.frames)
    out = {}
    for factor in HOTTER:
        t = factor * base.temperature
        out[f"hotter_{t:.0f}K"] = replace(base, temperature=t), f"at {t:.4g} K in place of {base.temperature:.4g} K"
    for name, density in base.system.mixture.elsewhere:
        what = f"at the reduced density {density:g} in place of {base.reduced_density:.4g}"
        out[name] = replace(base, reduced_density=density), what
    out["more_particles"] = replace(base, n=plan.particles), f"of {plan.particles} atoms in place of {base.n}"
    return out


def spaced(settings: Settings, spacing: float, frames: int) -> Settings:
    """``settings`` with ``frames`` frames, ``spacing`` ps apart."""
    return replace(settings, every=max(1, round(spacing / settings.dt)), frames=frames)


def fresh_sets(about: SystemRecord, plan: Plan, threads: int = 1) -> Made:
    """``make_sets`` in a process of its own; ``about``: the system that ``plan`` is of."""
    settings = replace(plan.settings, system=None)  # functions do not travel: it is made again there
    return extrapolation.fresh_sets(about, make_sets, plan=replace(plan, settings=settings), threads=threads)


def make_sets(system: LennardJones, plan: Plan, threads: int = 1) -> Made:
    """Simulate all sets. ``UserError`` if the one like the dataset fails; of the others it is told why they lack.

    ``starts``, from which rollouts start and g(r) is taken: pos (wrapped), vel ``[simulation, frame, particle, dim]``,
    mass ``[particle]``, box, ``spacing`` in ps.
    """
    plan = replace(plan, settings=replace(plan.settings, system=system))
    base, time = plan.settings, plan.time if plan.references else SPACING * (plan.frames - 1)
    fine = spaced(base, FINE, round(time / FINE) + 1)
    count = max(plan.trajectories, plan.references)
    found = md.simulate(fine, count, plan.engine, threads)
    told = f"{count} simulations anew, like the dataset in everything but the seed"
    every = round(SPACING / FINE)
    sets = {INTERPOLATION: pick(found, system.properties, slice(None, None, every), plan.limit, base.seed, told)}
    reference = {k: found[k][: plan.references] for k in ("pos", "vel")} | {
        "mass": found["mass"][0],
        "box": found["box"],
        "spacing": fine.every * fine.dt,
    }
    skipped = {}
    for name, (settings, what) in variants(plan).items():
        density = settings.reduced_density
        if name in dict(base.system.mixture.elsewhere) and abs(density / base.reduced_density - 1) < LIKE:
            skipped[name] = f"the dataset has the reduced density {base.reduced_density:.4g} itself"
            continue
        try:
            found = md.simulate(settings, plan.trajectories, plan.engine, threads)
        except UserError as exc:  # a box too small for the cutoff, a time step too long when hot
            skipped[name] = exc.message
            continue
        told = f"{plan.trajectories} simulations anew {what}, otherwise like the dataset"
        sets[name] = pick(found, system.properties, slice(None), plan.limit, base.seed, told)
    return Made(sets, skipped, reference)


# ---------------------------------------------------------------- the kind of comparison

SHORTEST = 0.2  # ps, of a rollout
REFERENCES = 6  # simulations at least whose g(r) tell what seeds alone do; half as many with --quick


def _add_flags(parser: Parser) -> None:
    add = parser.add_argument_group("periodic box", f"with one {BOX.words()} unless given").add_argument
    what = "length of a rollout and of the simulations it is compared with; half of it at constant energy"
    add("--rollout-time", type=positive_float, metavar="PS", help=what)
    add("--particles", type=positive_int, metavar="N", help="of the set with more (4 n, rounded to one digit)")
    what = "CPU time of all rollouts of the network; what it does not reach is left out and recorded"
    add("--network-seconds", type=positive_float, metavar="S", help=what)


def _check(args: Namespace, law) -> None:
    if args.rollout_time < SHORTEST:
        told = f"--rollout-time is {args.rollout_time:g} ps, expected at least {SHORTEST:g}"
        raise UserError(f"{told}: frames are 0.1 ps apart")
    if law.cutoff is None:
        told = f"the law of {args.run} has no cutoff, which a periodic box needs"
        raise UserError(told, f"python symbolic_reg.py --run {args.run} --overwrite")


def _fresh(args, dataset, system) -> Made:
    settings, engine = settings_like(dataset, system, args.seed, args.quick)
    references = max(args.rollouts, REFERENCES // (2 if args.quick else 1)) if args.rollouts else 0
    plan = Plan(
        settings,
        engine,
        trajectories=args.n_trajectories,
        limit=args.max_graphs,
        particles=args.particles or four_times(dataset.n),
        references=references,
        time=args.rollout_time,
    )
    return fresh_sets(dataset.meta.system, plan, args.threads)


def _rollouts(args, dataset, system, law, model, made) -> dict:
    from distill.fluid import rollouts  # scipy, which --help has no need of

    settings, _ = settings_like(dataset, system, args.seed, args.quick)
    bath = rollouts.bath_of(settings, made.starts["spacing"], made.starts["pos"].shape[1])
    cutoff, seconds = float(dataset.cutoff), args.network_seconds
    return rollouts.compare(law, model, made.starts, bath, args.rollouts, cutoff, seconds)


_TIMES = {"rollout_time": 20.0, "particles": None, "network_seconds": 100.0}
BOX = Comparison(
    name="data in a periodic box",
    defaults={"n_trajectories": 4, "max_graphs": 40, "rollouts": 6} | _TIMES,
    quick={"n_trajectories": 2, "max_graphs": 6, "rollouts": 3, "rollout_time": 1.0, "network_seconds": 10.0},
    add_flags=_add_flags,
    takes=lambda dataset: "box" in dataset.arrays,
    check=_check,
    unit=lambda system: OWN_UNIT if system is None else FORCE_UNIT,
    knows=lambda system: isinstance(system, LennardJones),
    fresh=_fresh,
    rollouts=_rollouts,
)
COMPARISONS = [BOX]
