"""Fluids in a periodic box unlike the one trained on, simulated anew, and the errors of law and network on them.

Every set is labelled by the analytic pair law at its own states. Molecular dynamics needs JAX or OpenMM, which are
kept apart from torch: ``fresh_sets`` runs ``make_sets`` in a process of its own. Units as in
``distill.physics.lennard_jones``: A, ps, and mass * acc in kJ/mol/nm.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from distill.files.dataset import Dataset
from distill.fluid import md
from distill.fluid.flags import FRICTION
from distill.fluid.md import Settings
from distill.generalization import extrapolation
from distill.generalization.extrapolation import INTERPOLATION, States, pick
from distill.physics.lennard_jones import BOLTZMANN, LennardJones
from distill.shell.errors import UserError

HOTTER = (2, 3)  # times the dataset's temperature
DENSITIES = {"dilute": 0.05, "dense": 0.8}  # atoms per sigma^3
LIKE = 0.2  # a set whose density is that close to the dataset's own, relatively, says nothing new
EQUILIBRATION = 25.0  # ps at most: forces lose their memory in a few
SPACING = 1.0  # ps between the frames of a set
FINE = 0.1  # ps between the frames from which pair distances are counted
FORCE_UNIT = "kJ/mol/nm"
OWN_UNIT = "mass * acc in the units of the dataset"


@dataclass
class FluidStates(States):
    """``States`` of one periodic box: ``box [dim]`` and the network's ``cutoff``, in A."""

    box: np.ndarray = field(default_factory=lambda: np.zeros(3))
    cutoff: float = 0.0


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
    told = dataset.meta.get("arguments") or {}
    told = told if "reduced_density" in told else {}
    vel, mass = dataset.vel[dataset.trajectories("train")], dataset.mass[dataset.trajectories("train")]
    measured = float((mass[:, None, :, None] * vel**2).mean() / BOLTZMANN)
    engine = md.engine_named("auto", "langevin")
    made_by = str((dataset.meta.get("report") or {}).get("engine", engine))
    engine = "jax" if made_by.startswith("jax") else engine
    thermostat = told.get("thermostat", "langevin")
    if thermostat == "nose-hoover" and engine == "jax":
        thermostat = "langevin"
    same = thermostat == told.get("thermostat")
    settings = Settings(
        system=system,
        n=dataset.n,
        reduced_density=told.get("reduced_density", dataset.n * system.sigma**3 / float(np.prod(dataset.box))),
        temperature=told.get("temperature", measured),
        thermostat=thermostat,
        friction=told["friction"] if same else FRICTION[thermostat],
        dt=told.get("dt", system.dt),
        every=1,
        frames=1,
        equilibration=min(told.get("equilibration", EQUILIBRATION), 1.0 if quick else EQUILIBRATION),
        seed=seed,
    )
    return settings, engine


def variants(plan: Plan) -> dict[str, tuple[Settings, str]]:
    """Of every set beyond interpolation: its simulation and a sentence. Frames every ``SPACING``."""
    base = spaced(plan.settings, SPACING, plan.frames)
    out = {}
    for factor in HOTTER:
        t = factor * base.temperature
        out[f"hotter_{t:.0f}K"] = replace(base, temperature=t), f"at {t:.4g} K in place of {base.temperature:.4g} K"
    for name, density in DENSITIES.items():
        what = f"at the reduced density {density:g} in place of {base.reduced_density:.4g}"
        out[name] = replace(base, reduced_density=density), what
    out["more_particles"] = replace(base, n=plan.particles), f"of {plan.particles} atoms in place of {base.n}"
    return out


def spaced(settings: Settings, spacing: float, frames: int) -> Settings:
    """``settings`` with ``frames`` frames, ``spacing`` ps apart."""
    return replace(settings, every=max(1, round(spacing / settings.dt)), frames=frames)


def fresh_sets(meta: dict, plan: Plan, cutoff: float, threads: int = 1) -> dict:
    """``make_sets`` in a process of its own; ``meta``: the dataset's JSON, of whose system ``plan`` is."""
    settings = replace(plan.settings, system=None)  # functions do not travel: it is made again there
    return extrapolation.fresh_sets(
        meta, make_sets, plan=replace(plan, settings=settings), cutoff=cutoff, threads=threads
    )


def make_sets(system: LennardJones, plan: Plan, cutoff: float, threads: int = 1) -> dict:
    """Simulate all sets: ``{"sets", "skipped", "simulations", "reference"}``.

    ``sets`` are ``FluidStates``; ``skipped`` says of each set that could not be made why; ``simulations`` are the
    reports of ``md.simulate``. ``reference``: pos (wrapped), vel ``[simulation, frame, particle, dim]``, mass
    ``[particle]``, box, ``spacing`` in ps, from which rollouts start and g(r) is taken. ``UserError`` if the set like
    the dataset fails.
    """
    plan = replace(plan, settings=replace(plan.settings, system=system))
    base, time = plan.settings, plan.time if plan.references else SPACING * (plan.frames - 1)
    fine = spaced(base, FINE, round(time / FINE) + 1)
    count = max(plan.trajectories, plan.references)
    found = md.simulate(fine, count, plan.engine, threads)
    told = f"{count} simulations anew, like the dataset in everything but the seed"
    every = round(SPACING / FINE)
    sets = {INTERPOLATION: _states(found, slice(None, None, every), plan, told, cutoff)}
    reference = {k: found[k][: plan.references] for k in ("pos", "vel")} | {
        "mass": found["mass"][0],
        "box": found["box"],
        "spacing": fine.every * fine.dt,
    }
    skipped, simulations = {}, {INTERPOLATION: found["report"]}
    for name, (settings, what) in variants(plan).items():
        density = settings.reduced_density
        if name in DENSITIES and abs(density / base.reduced_density - 1) < LIKE:
            skipped[name] = f"the dataset has the reduced density {base.reduced_density:.4g} itself"
            continue
        try:
            found = md.simulate(settings, plan.trajectories, plan.engine, threads)
        except UserError as exc:  # a box too small for the cutoff, a time step too long when hot
            skipped[name] = exc.message
            continue
        told = f"{plan.trajectories} simulations anew {what}, otherwise like the dataset"
        sets[name], simulations[name] = _states(found, slice(None), plan, told, cutoff), found["report"]
    return {"sets": sets, "skipped": skipped, "simulations": simulations, "reference": reference}


def _states(found, frames, plan, what, cutoff) -> FluidStates:
    states = pick(found, frames, plan.limit, plan.settings.seed, what)
    return FluidStates(**vars(states), box=found["box"], cutoff=cutoff)


def own_test_set(dataset: Dataset, limit: int, seed: int, cutoff: float) -> dict:
    """The only set there is where the truth is unknown: the dataset's test split with its own labels."""
    found = extrapolation.own_test_set(dataset, limit, seed)
    return {k: FluidStates(**vars(s), box=np.asarray(dataset.box, float), cutoff=cutoff) for k, s in found.items()}


# ---------------------------------------------------------------- errors


def compare(states: FluidStates, network, law) -> dict:
    """As ``extrapolation.compare``, of forces mass * acc in place of accelerations.

    network: function (pos, vel, mass, charge, box, cutoff) -> accelerations; law: the same without ``cutoff``.
    """
    mass = states.mass[..., None]
    forces = replace(states, acc=mass * states.acc)
    found = extrapolation.compare(
        forces,
        lambda *state: mass * network(*state, states.box, states.cutoff),
        lambda *state: mass * law(*state, states.box),
    )
    return found | {"box": states.box.tolist(), "mean_absolute_force": float(np.abs(forces.acc).mean())}
