"""Truth, law and network drive the fluid: is it the same fluid, at its temperature, with its energy kept?

Two-body correlations g(r) and temperature come from runs at the dataset's temperature (Langevin with its friction;
without a thermostat where the dataset has none), drifts of energy and momentum from runs at constant energy. All are
integrated by ``distill.fluid.dynamics`` from the first frames of simulations made anew by the dataset's own engine,
which also are the reference for g(r). Units: A, ps, kelvin, kJ/mol.
"""

from dataclasses import replace

import numpy as np

from distill.files.properties import at, of_pairs
from distill.files.storage import finite_or_none
from distill.fluid import md
from distill.fluid.dynamics import Motion, NetworkAcceleration, PairAcceleration, move
from distill.fluid.lennard_jones import BOLTZMANN, KJ_PER_MOL, LennardJones, temperatures
from distill.fluid.settings import EQUILIBRATION_FRICTION, Settings
from distill.fluid.structure import (
    BIN,
    DEVIATION_IS,
    ERRORS_IS,
    P_IS,
    WITHIN_IS,
    bin_edges,
    compare_g,
    leave_one_out,
    pair_counts,
    radial_distribution,
)
from distill.generalization.rollout import quartiles
from distill.physics.system import radial_force
from distill.physics.terms import State
from distill.shell.stage import progress

CONSTANT_ENERGY_STARTS = 3
NETWORK_STARTS = 2  # its steps cost a hundred times those of a formula
SHARE = 0.5  # of the rollout time: the length of the runs at constant energy
METHOD = "BAOAB (Langevin), velocity Verlet where there is no friction; Verlet list; 64 bits, the network in 32"
ENERGY_IS = (
    "(true kinetic + shifted pair energy - start) / kinetic energy at the start, after the total momentum was taken out"
)
MOMENTUM_IS = "|sum of m v - start| / sum of m |v| at the start, at the end"


def bath_of(settings: Settings, spacing: float, frames: int) -> Settings:
    """``settings`` as they drive the rollouts: the friction where the thermostat is langevin, 1/ps for nose-hoover,
    whose rate is another quantity, and none for none.
    """
    friction = {"langevin": settings.friction, "nose-hoover": EQUILIBRATION_FRICTION, "none": 0.0}[settings.thermostat]
    every, thermostat = round(spacing / settings.dt), "langevin" if friction else "none"
    return replace(settings, thermostat=thermostat, friction=friction, every=every, frames=frames)


# ---------------------------------------------------------------- temperature and energy


def mean_and_error(values) -> dict:
    """Mean over runs and its standard error, null of a single one."""
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": float(values.mean()) if len(values) else None, "standard_error": error, "n": len(values)}


def true_energy(system: LennardJones, motion: Motion, box) -> tuple[np.ndarray, np.ndarray]:
    """Total (kinetic and shifted pair) and kinetic energy ``[frame]`` in kJ/mol; infinite where it overflows."""
    with np.errstate(all="ignore"):
        pair = np.array([md.pair_sums(system, x, box)[1] for x in motion.pos])
        kinetic = 0.5 * system.mass * (motion.vel**2).sum((1, 2)) / KJ_PER_MOL
    total = pair + kinetic
    return np.where(np.isfinite(total), total, np.inf), kinetic


# ---------------------------------------------------------------- the runs


def accelerations(system: LennardJones, law, model, n: int, box, cutoff: float) -> dict:
    """name -> function that makes a fresh acceleration (pos, vel) -> [particle, dim] of ``n`` particles."""
    mass, own = system.mass, system.particles(n)

    def ends(i, j):
        return of_pairs(at(own, i), at(own, j))

    node = (lambda vel: law.node_force(State(vel, own))) if law.node else None
    mutual = all(f == law.cases[case.mirrored] for case, f in law.cases.items())
    return {
        "truth": lambda: PairAcceleration(
            lambda r, i, j: radial_force(system, r, ends(i, j)), mass, box, system.cutoff
        ),
        "law": lambda: PairAcceleration(
            lambda r, i, j: law.radial(r, **ends(i, j)), mass, box, law.cutoff, node, mutual
        ),
        "gnn": lambda: NetworkAcceleration(model, own, box, cutoff),
    }


def compare(law, model, reference: dict, bath: Settings, starts: int, cutoff: float, network_seconds: float) -> dict:
    """JSON-ready comparison of the fluid under truth, law and network.

    ``starts`` simulations of ``reference`` (``comparison.make_sets``) are gone on from; ``cutoff`` is the network's.
    Its runs end early once they have taken ``network_seconds`` of CPU time together (60 % at constant temperature),
    which is recorded, as is the reason where a run blows up.
    """
    pos, vel, box = (reference[k] for k in ("pos", "vel", "box"))
    system, mass, n = bath.system, bath.system.mass, pos.shape[2]
    makers = accelerations(system, law, model, n, box, cutoff)
    heat = BOLTZMANN * bath.temperature / mass
    short = max(2, round(SHARE * (bath.frames - 1)) + 1)
    motions: dict = {"warm": {}, "isolated": {}}
    plans = {
        (kind, name): min(starts, NETWORK_STARTS if name == "gnn" else most)
        for kind, most in (("warm", starts), ("isolated", CONSTANT_ENERGY_STARTS))
        for name in makers
    }
    total = sum(count * ((bath.frames if kind == "warm" else short) - 1) for (kind, _), count in plans.items())
    with progress(total=total, desc="rollouts", unit="frame") as bar:
        for (kind, name), count in plans.items():
            warm = kind == "warm"
            budget = network_seconds * (0.6 if warm else 0.4) / count if name == "gnn" else np.inf
            bar.set_postfix_str(f"{name}, constant {'temperature' if warm else 'energy'}")
            motions[kind][name] = [
                move(
                    makers[name](),
                    pos[k, 0],
                    vel[k, 0] if warm else vel[k, 0] - vel[k, 0].mean(0),
                    bath.dt,
                    bath.every,
                    bath.frames if warm else short,
                    heat,
                    bath.friction if warm else 0.0,
                    [bath.seed, k, 89],
                    budget,
                    bar.update,
                )
                for k in range(count)
            ]
    spacing = bath.every * bath.dt
    return {
        "kind": "fluid",
        "n": starts,
        "particles": n,
        "temperature_K": bath.temperature,
        "thermostat": bath.thermostat,
        "friction_per_ps": bath.friction,
        "dt_ps": bath.dt,
        "spacing_ps": spacing,
        "method": METHOD,
        "network_cpu_seconds_allowed": network_seconds,
        "g_r": correlations(motions["warm"], reference, bath),
        "constant_temperature": {"time_ps": spacing * (bath.frames - 1)} | _warm(motions["warm"], mass, n, bath),
        "constant_energy": _isolated(motions["isolated"], system, box, mass, n, spacing, short),
    }


def _account(runs: list[Motion], spacing: float) -> dict:
    """What every model's entry says of its runs."""
    return {
        "n": len(runs),
        "ran_ps": [spacing * (len(m.pos) - 1) for m in runs],
        "steps": [m.steps for m in runs],
        "cpu_ms_a_step": 1e3 * sum(m.seconds for m in runs) / max(1, sum(m.steps for m in runs)),
        "stopped_by_the_clock": sum(m.stopped for m in runs),
        "failed": [
            {"start": k, "at_ps": spacing * (len(m.pos) - 1), "why": m.failed} for k, m in enumerate(runs) if m.failed
        ],
    }


def correlations(warm: dict, reference: dict, bath: Settings) -> dict:
    """g(r) of every model against the reference's, over as much time as the model has run."""
    box, n = reference["box"], reference["pos"].shape[2]
    edges = bin_edges(box)
    counts = np.array([pair_counts(x, box, edges) for x in reference["pos"]])

    def g(rows):  # [..., frame, bin]
        return radial_distribution(rows.mean(-2), n, box, edges)

    whole, models = g(counts), {}
    for name, runs in warm.items():
        own = np.array([k for k, m in enumerate(runs) if not m.failed], dtype=int)
        models[name] = {"within_spread": False, "mean": None}
        if len(own):
            frames = min(len(runs[k].pos) for k in own)
            found = g(np.array([pair_counts(runs[k].pos[:frames], box, edges) for k in own]))
            models[name] = {
                "n": len(own),
                "time_ps": bath.every * bath.dt * (frames - 1),
                "mean": found.mean(0).tolist(),
            }
            models[name] |= compare_g(found, own, g(counts[:, :frames]), bath.seed)
            models[name]["within_spread"] &= len(own) == len(runs)
    return {
        "r_A": (0.5 * (edges[1:] + edges[:-1])).tolist(),
        "reference": {
            "n": len(whole),
            "mean": whole.mean(0).tolist(),
            "low": whole.min(0).tolist(),
            "high": whole.max(0).tolist(),
            "deviations": leave_one_out(whole).tolist(),
        },
        "models": models,
        "deviation_is": DEVIATION_IS,
        "within_spread_is": WITHIN_IS,
        "p_value_is": P_IS,
        "mean_in_standard_errors_is": ERRORS_IS,
        "bin_A": BIN,
        "reference_is": "simulations by the engine of the dataset, one a seed; low and high: of all runs in each bin",
    }


def _warm(warm: dict, mass: float, n: int, bath: Settings) -> dict:
    """Temperatures, and how far particles have come, of the runs at constant temperature."""
    moving = 3 * n if bath.friction else 3 * n - 3
    models = {}
    for name, runs in warm.items():
        good = [m for m in runs if not m.failed and len(m.pos) > 1]
        t = [temperatures(m.vel[1:], mass, moving).mean() for m in good]
        models[name] = _account(runs, bath.every * bath.dt) | {"temperature_K": mean_and_error(t)}
    return {"models": models, "temperature_is": "mean over frames and runs; standard error over runs"}


def _isolated(isolated: dict, system, box, mass: float, n: int, spacing: float, frames: int) -> dict:
    models = {}
    for name, runs in isolated.items():
        curves = np.full((len(runs), frames), np.inf)
        momentum, temperature, absolute = [], [], []
        for k, m in enumerate(runs):
            energy, kinetic = true_energy(system, m, box)
            curves[k, : len(energy)] = (energy - energy[0]) / kinetic[0]
            absolute.append((energy[-1] - energy[0]) / n)
            size = np.linalg.norm(m.vel[0], axis=1).sum()
            momentum.append(np.linalg.norm((m.vel[-1] - m.vel[0]).sum(0)) / size)
            temperature.append(temperatures(m.vel, mass, 3 * n - 3).mean())
        reached = min(len(m.pos) for m in runs)
        models[name] = _account(runs, spacing) | {
            "energy_drift": quartiles(curves),
            "energy_drift_end": {
                "at_ps": spacing * (reached - 1),
                "median_size": finite_or_none(np.median(np.abs(curves[:, reached - 1]))),
                "largest_size": finite_or_none(np.abs(curves[:, :reached]).max()),
            },
            "energy_drift_per_atom_kJ_per_mol": finite_or_none(np.median(absolute)),
            "momentum_drift_median": finite_or_none(np.median(momentum)),
            "temperature_K": mean_and_error(temperature),
        }
    return {
        "time_ps": spacing * (frames - 1),
        "time": (spacing * np.arange(frames)).tolist(),
        "models": models,
        "energy_drift_is": ENERGY_IS,
        "momentum_drift_is": MOMENTUM_IS,
        "energy_drift_end_is": "at the end of the shortest run; largest: of all runs up to there",
    }
