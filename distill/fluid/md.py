"""Molecular dynamics of Lennard-Jones fluids: independent simulations, labelled with the analytic pair law.

An engine (``md_openmm``, ``md_jax``) only moves the atoms. The accelerations that a dataset holds
are computed here in 64 bits from the positions as stored, by ``System.law`` through the nearest image, and the
report says how far the engine's own forces lie from them. Units as in ``distill.fluid.lennard_jones``.
"""

import importlib.util
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import numpy as np

from distill.files.storage import finite_or_none
from distill.fluid.lennard_jones import BAR, BOLTZMANN, KJ_PER_MOL, LennardJones, temperatures
from distill.fluid.settings import Settings
from distill.physics.neighbours import close_pairs
from distill.physics.system import pair_potential, radial_force
from distill.shell.errors import UserError
from distill.shell.stage import progress, warn

ENGINES = ("auto", "openmm", "jax")
HOT = 2.0  # times the temperature asked for, and more where few atoms let it vary: the time step is too long
DRIFT = 1e-3  # of the energy without a thermostat, in units of the kinetic energy, before a warning
TOLERANCE = 1e-3  # of the largest force: difference between the forces of others and the law's


class Stopped(Exception):
    """Raised in a simulation's thread once the others were told to stop."""


def engine_named(name: str, thermostat: str) -> str:
    """The engine, "openmm" or "jax", that ``--md-engine`` asks for; ``UserError`` if it is missing or lacks the
    thermostat.
    """
    here = importlib.util.find_spec("openmm") is not None
    get = "pip install -r requirements-md.txt"
    if name == "openmm" and not here:
        raise UserError("--md-engine openmm: the package openmm is not installed", f"{get}, or use --md-engine jax")
    if thermostat == "nose-hoover" and (name == "jax" or not here):
        raise UserError(
            "--thermostat nose-hoover needs OpenMM, the engine in JAX has langevin and none",
            "add --md-engine openmm" if here else get,
        )
    return "openmm" if here and name != "jax" else "jax"


def check(settings: Settings) -> None:
    """``UserError`` for a box too small for the cutoff, or one too dense to start from a lattice."""
    half = settings.box[0] / 2
    if settings.system.cutoff > half:
        raise UserError(
            f"the cutoff of {settings.system.cutoff:g} A is more than half the box of {2 * half:.4g} A, in which"
            f" {settings.n} atoms have the reduced density {settings.reduced_density:g}",
            f"use --cutoff {np.floor(100 * half) / 100:g} or less, more --n, or a smaller --reduced-density",
        )
    if settings.reduced_density > (most := settings.system.mixture.densest):
        raise UserError(
            f"--reduced-density is {settings.reduced_density:g}, expected at most {most:g}: the fluid is solid there"
        )


# ---------------------------------------------------------------- the analytic law


def pair_sums(system: LennardJones, pos, box) -> tuple[np.ndarray, float, float, float]:
    """Of one frame ``pos [particle, dim]``: forces ``[particle, dim]``, energy, virial and smallest distance.

    Forces in kJ/mol/nm, the energy (shifted to zero at the cutoff) in kJ/mol, the virial sum r f in (kJ/mol/nm) A.
    """
    i, j, dx, r = close_pairs(pos, box, system.cutoff)
    n = len(pos)
    ends = system.ends(n, i, j)
    f = radial_force(system, r, ends)
    pair = (f / r)[:, None] * dx
    force = np.stack([np.bincount(i, p, n) - np.bincount(j, p, n) for p in pair.T], axis=1)
    above, shift = (pair_potential(system, at, ends) for at in (r, system.cutoff))
    energy = (above - shift).sum() / KJ_PER_MOL
    return force, float(energy), float((r * f).sum()), float(r.min(initial=np.inf))


def labelled(system: LennardJones, pos, box, engine_force=None) -> dict:
    """Of one trajectory ``pos [frame, particle, dim]``: ``acc`` likewise and ``energy, virial [frame]`` (units as in
    ``pair_sums``), ``closest``, ``largest`` (of a force's components) and ``deviation``, the largest difference
    from ``engine_force``, in kJ/mol/nm.
    """
    rows = [pair_sums(system, x, box) for x in pos]
    force, energy, virial, closest = (np.array(a) for a in zip(*rows, strict=True))
    off = 0.0 if engine_force is None else float(np.abs(force - engine_force).max())
    return {
        "acc": force / system.mass,
        "energy": energy,
        "virial": virial,
        "closest": float(closest.min()),
        "largest": float(np.abs(force).max()),
        "deviation": off,
    }


def closest_of(rows: list[dict]) -> float | None:
    """Smallest distance in several results of ``labelled``; None if no pair ever came within the cutoff."""
    return finite_or_none(min(row["closest"] for row in rows))


# ---------------------------------------------------------------- many simulations


def simulate(settings: Settings, trajectories: int, engine: str, threads: int = 1) -> dict:
    """Run ``trajectories`` independent simulations, ``threads`` of them at a time; the number changes no bit.

    Returns ``pos`` (wrapped into the box)``, vel, acc [trajectory, frame, particle, dim]``, the properties
    ``[trajectory, particle]``, ``t [frame]``, ``box [dim]``, ``cutoff`` and ``report`` (a dict); float64.
    Frame 0 comes after the equilibration. ``UserError`` if a simulation blows up.
    """
    check(settings)
    if engine == "openmm":
        from distill.fluid import md_openmm as integrator
    else:
        from distill.fluid import md_jax as integrator
    shape, stop = (trajectories, settings.frames, settings.n, 3), threading.Event()
    arrays = {name: np.empty(shape) for name in ("pos", "vel", "acc")}
    rows = []
    with progress(total=trajectories * settings.frames, desc=f"{engine}: {settings.system.name}", unit="frame") as bar:

        def tick(frames=1):
            if stop.is_set():
                raise Stopped
            bar.update(frames)

        def one(k):
            pos, vel, force = integrator.run(settings, k, tick)
            _check_stable(settings, k, pos, vel)
            found = labelled(settings.system, pos, settings.box, force)
            arrays["pos"][k], arrays["vel"][k], arrays["acc"][k] = pos, vel, found.pop("acc")
            return found

        pool = ThreadPoolExecutor(min(threads, trajectories))  # both engines let go of the interpreter's lock
        jobs = [pool.submit(one, k) for k in range(trajectories)]
        try:
            waiting = set(jobs)
            while waiting:  # the first failure ends all
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for job in done:
                    job.result()
            rows = [job.result() for job in jobs]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    system = settings.system
    report = _report(settings, integrator.version(), arrays["vel"], rows)
    return arrays | {
        **{name: np.tile(value, (trajectories, 1)) for name, value in system.particles(settings.n).items()},
        "t": settings.every * settings.dt * np.arange(settings.frames),
        "box": settings.box,
        "cutoff": np.float64(system.cutoff),
        "report": report,
    }


def _check_stable(settings, k, pos, vel):
    """``UserError`` where too long a time step has given atoms speeds that no bath would."""
    mass = settings.system.mass
    hottest = temperatures(vel, mass, settings.moving).max() if np.isfinite(pos).all() else np.inf
    if not hottest < HOT * settings.temperature * (1 + 5 * np.sqrt(2 / settings.moving)):
        raise UserError(
            f"simulation {k} blew up: it reached {hottest:.3g} K, expected about {settings.temperature:g} K",
            f"use a smaller --dt than {settings.dt:g} ps",
        )


def _report(settings, engine, vel, rows) -> dict:
    n = settings.n
    temperature = temperatures(vel, settings.system.mass, settings.moving)  # [trajectory, frame]
    kinetic = 0.5 * settings.moving * BOLTZMANN / KJ_PER_MOL * temperature
    energy, virial = (np.stack([row[name] for row in rows]) for name in ("energy", "virial"))
    volume = float(np.prod(settings.box))
    pressure = (n * BOLTZMANN * temperature + virial / 3) / volume / BAR
    half = settings.frames // 2 or 1
    largest, deviation = (max(row[name] for row in rows) for name in ("largest", "deviation"))
    report = {
        "engine": engine,
        "positions": "wrapped into [0, box)",
        "velocities": "at the time of the positions",
        "labels": "acc: the pair law in 64 bits at the stored positions, not the engine's own forces",
        "largest_force_kJ_per_mol_nm": largest,
        "largest_deviation_from_the_engine_kJ_per_mol_nm": deviation,
        "largest_deviation_relative_to_largest_force": deviation / largest if largest else 0.0,
        "smallest_distance_A": closest_of(rows),
        "temperature_K": {"target": settings.temperature, "mean": temperature.mean(), "std": temperature.std()},
        "potential_energy_per_atom_kJ_per_mol": {
            "first_half_of_the_frames": energy[:, :half].mean() / n,
            "second_half": energy[:, half:].mean() / n if settings.frames > 1 else energy.mean() / n,
        },
        "pressure_bar": pressure.mean(),
        "spacing_ps": settings.every * settings.dt,
    }
    if settings.thermostat == "none":
        total = kinetic + energy
        report["energy_drift_max"] = np.abs(total - total[:, :1]).max() / kinetic[:, 0].min()
        report["energy_scale"] = "kinetic energy at the first frame"
        if report["energy_drift_max"] > DRIFT:
            warn(f"the energy drifts by {report['energy_drift_max']:.2g} of the kinetic energy: use a smaller --dt")
    if deviation > TOLERANCE * largest:
        warn(f"the forces of {report['engine']} differ by up to {deviation:.2g} kJ/mol/nm from the law of the labels")
    return report
