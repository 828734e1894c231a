"""Molecular dynamics with OpenMM (optional: requirements-md.txt): one simulation of a Lennard-Jones fluid.

P. Eastman et al., PLoS Comput. Biol. 13, e1005659 (2017). Its CPU platform computes forces in 32 bits and adds
them up in a fixed order, so that a seed repeats. All three integrators keep their velocities half a time step
behind the positions; half a kick brings them there: for the Langevin "middle" scheme (Z. Zhang et al., J. Phys.
Chem. A 123, 6056 (2019)) these are the velocities of BAOAB.
"""

import numpy as np
import openmm
from openmm import unit

from distill.fluid.settings import EQUILIBRATION_FRICTION, Settings
from distill.physics.neighbours import wrap
from distill.shell.errors import UserError

NM = 0.1  # an A in nm
CHAIN, MTS, YOSHIDA_SUZUKI = 10, 5, 5  # of the Nose-Hoover chain, as in GAMD's set
MINIMISED = 10.0  # kJ/mol/nm, root mean square of the forces
MOST_ITERATIONS = 1000
AT_ONCE = 5000  # time steps of the equilibration between two looks at whether to stop
FORCE = unit.kilojoule_per_mole / unit.nanometer


def version() -> str:
    return f"openmm {openmm.__version__}, CPU platform"


def run(settings: Settings, k: int, tick) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``pos`` (wrapped)``, vel`` and OpenMM's own forces ``[frame, particle, dim]`` of simulation k.

    A, A/ps and kJ/mol/nm. ``tick(frames)`` is called as frames are there, and may raise to stop. ``UserError`` for
    what OpenMM refuses, a simulation that blew up above all.
    """
    try:
        return _run(settings, k, tick)
    except openmm.OpenMMException as exc:
        why = (str(exc).splitlines() or ["no reason given"])[0][:150]
        raise UserError(
            f"OpenMM gave up simulation {k}: {why}", f"use a smaller --dt than {settings.dt:g} ps"
        ) from None


def _run(settings, k, tick):
    pos, vel, seed = settings.start(k)
    bath = openmm.LangevinMiddleIntegrator(settings.temperature, EQUILIBRATION_FRICTION, settings.dt)
    bath.setRandomNumberSeed(seed)
    context = _context(settings, bath, pos)
    openmm.LocalEnergyMinimizer.minimize(context, MINIMISED, MOST_ITERATIONS)
    context.setVelocities(vel * NM)
    for left in range(settings.equilibration_steps, 0, -AT_ONCE):
        bath.step(min(left, AT_ONCE))
        tick(0)
    integrator = bath
    if settings.thermostat == "langevin":
        bath.setFriction(settings.friction)
    else:
        pos, vel, _ = _state(context)
        if settings.thermostat == "nose-hoover":
            integrator = openmm.NoseHooverIntegrator(
                settings.temperature, settings.friction, settings.dt, CHAIN, MTS, YOSHIDA_SUZUKI
            )
        else:
            integrator = openmm.VerletIntegrator(settings.dt)
        context = _context(settings, integrator, pos)
        context.setVelocities((vel - vel.mean(axis=0)) * NM)
    frames = []
    for frame in range(settings.frames):
        if frame:
            integrator.step(settings.every)
        pos, vel, force = _state(context)
        vel = vel + 0.5 * settings.dt * force / settings.system.mass
        frames.append((wrap(pos, settings.box), vel, force))
        tick()
    pos, vel, force = (np.array(a) for a in zip(*frames, strict=True))
    return pos, vel, force


def _equal_pairs(system, n):
    """Forces of OpenMM's own between particles of one species."""
    forces = openmm.NonbondedForce()
    forces.setUseDispersionCorrection(False)
    for _ in range(n):
        forces.addParticle(0.0, system.sigma * NM, system.epsilon)
    return forces


def _any_pairs(system, n):
    """Forces with sigma and epsilon by the species of both particles, which no rule of combination need give.

    Written as one polynomial in ones and zeros of the species.
    """
    twelfth, sixth = [], []
    for a, b, *_ in system.mixture.ratios:
        width, depth = system.pair(a, b)
        share = f"{a}1*{b}2" if a == b else f"({a}1*{b}2 + {b}1*{a}2)"
        for power, terms in ((12, twelfth), (6, sixth)):
            terms.append(f"{4 * depth * (width * NM) ** power!r}*{share}")
    text = f"(twelfth*far - sixth)*far; far = 1/r^6; twelfth = {' + '.join(twelfth)}; sixth = {' + '.join(sixth)}"
    forces = openmm.CustomNonbondedForce(text)
    for level in system.mixture.levels:
        forces.addPerParticleParameter(level)
    for kind in system.mixture.of(n):
        forces.addParticle([float(kind == k) for k in range(len(system.mixture.levels))])
    return forces


def _context(settings, integrator, pos):
    system = openmm.System()
    for _ in range(settings.n):
        system.addParticle(settings.system.atom_mass)
    forces = (_any_pairs if settings.system.mixture.indicators else _equal_pairs)(settings.system, settings.n)
    forces.setNonbondedMethod(forces.CutoffPeriodic)
    forces.setCutoffDistance(settings.system.cutoff * NM)
    forces.setUseSwitchingFunction(False)
    system.addForce(forces)
    if settings.thermostat == "nose-hoover" and not isinstance(integrator, openmm.LangevinMiddleIntegrator):
        system.addForce(openmm.CMMotionRemover())  # or the chain counts the momentum among what it heats
    system.setDefaultPeriodicBoxVectors(*np.diag(settings.box * NM))
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": "1", "DeterministicForces": "true"})
    context.setPositions(pos * NM)
    return context


def _state(context):
    state = context.getState(positions=True, velocities=True, forces=True)
    pos = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    vel = state.getVelocities(asNumpy=True).value_in_unit(unit.angstrom / unit.picosecond)
    return np.array(pos), np.array(vel), np.array(state.getForces(asNumpy=True).value_in_unit(FORCE))
