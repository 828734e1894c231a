"""A law of its own, springs, and what forces of OpenMM are made with: ``openmm_module`` puts others above the line.

Runs as it stands here, so that what every exported law has can be read, checked and tested as any other module.
"""

import numpy as np
import openmm

DIM = 2  # space dimensions of the data; OpenMM has three, and what is left of positions and velocities is to be 0
CHAIN = False  # whether only neighbours in the order of the particles act on each other
CUTOFF = None  # distance up to which pairs act on each other, in nm; None: any
PROPERTIES = {"mass": "m"}  # that acceleration depends on, and what the formulas call them
TIMED = False  # whether ENERGY depends on the time t, a parameter of the Context that the integrator keeps
ENERGY = "0.5 * (r - 1.0)^2"  # of a pair, in kJ/mol, m1 and m2 being properties of its ends
FIELD = ""  # energy of a particle, in kJ/mol; "": there is no field
FORCE = ""  # on a particle beside these, a vector of place, velocity and time t that no energy gives; "": there is none
RESPONSE = "S / m"  # acceleration of a particle under the sum S of all forces on it
LOW = 1e-3  # shortest distance of the TABLES, in nm; pairs that are closer feel no force from these
HIGH = 1e2  # the longest, in nm
TABLES = {}  # name -> the part of the pair force that it is the energy of, over distance; ENERGY has it of log(r)

# ---------------------------------------------------------------- the same for every law

POINTS = 8192  # of a table
IMPLICIT = 4  # iterations for velocities at the end of a step
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


def forces(mass, box=None, **properties):
    """The forces of this law between particles with these masses and properties, each [particle]: openmm.Force, a list.

    box: sides of a periodic box, in nm, only for a law with a CUTOFF. Positions are in nm, times in ps, masses in
    dalton: the numbers of the data as they are, whatever their units were, for 1 dalton nm/ps^2 is 1 kJ/mol/nm.
    Where there is a FORCE or another RESPONSE they are not the whole law: the integrator below has the rest.
    """
    if missing := sorted(set(PROPERTIES) - {"mass", *properties}):
        raise TypeError(f"the law depends on {', '.join(missing)}: give {missing[0]}=[particle]")
    if box is not None and CUTOFF is None:
        raise ValueError("a law in a box needs a cutoff")
    properties["mass"] = mass
    columns = np.broadcast_arrays(*(np.asarray(properties[name], float) for name in PROPERTIES))
    rows = np.stack(columns, axis=1).tolist()
    out = []
    if ENERGY:
        out.append(chain_force(rows) if CHAIN else pair_force(rows, box))
    if FIELD:
        field = openmm.CustomExternalForce(FIELD)
        for name in PROPERTIES.values():
            field.addPerParticleParameter(name)
        for k, row in enumerate(rows):
            field.addParticle(k, row)
        out.append(field)
    return out


def pair_force(rows, box):
    force = openmm.CustomNonbondedForce(ENERGY)
    if TIMED:
        force.addGlobalParameter("t", 0.0)
    for name in PROPERTIES.values():
        force.addPerParticleParameter(name)
    for name, f in TABLES.items():
        force.addTabulatedFunction(name, table(f))
    for row in rows:
        force.addParticle(row)
    method = openmm.CustomNonbondedForce.NoCutoff
    if CUTOFF is not None:
        force.setCutoffDistance(CUTOFF)
        periodic = openmm.CustomNonbondedForce.CutoffPeriodic
        method = openmm.CustomNonbondedForce.CutoffNonPeriodic if box is None else periodic
    force.setNonbondedMethod(method)
    return force


def chain_force(rows):
    force = openmm.CustomBondForce(ENERGY)
    if TIMED:
        force.addGlobalParameter("t", 0.0)
    for end in "12":
        for name in PROPERTIES.values():
            force.addPerBondParameter(name + end)
    for k in range(len(rows) - 1):
        force.addBond(k, k + 1, [*rows[k], *rows[k + 1]])
    return force


def table(f):
    """The energy of the force f(r) between LOW and HIGH as a function of log(r)."""
    x = np.linspace(np.log(LOW), np.log(HIGH), POINTS)
    r = np.exp(x)
    half = (r[1:] - r[:-1]) / 2
    at = (r[1:] + r[:-1])[:, None] / 2 + half[:, None] * NODES
    with np.errstate(all="ignore"):
        steps = half * (WEIGHTS * (f(at) + 0.0 * at)).sum(1)
    energies = np.r_[np.cumsum(steps[::-1])[::-1], 0.0]
    return openmm.Continuous1DFunction(np.nan_to_num(energies, posinf=0.0, neginf=0.0).tolist(), x[0], x[-1])


def system(mass, box=None, **properties):
    """An openmm.System of particles with these masses [particle] and further properties, and the law's forces."""
    out = openmm.System()
    for one in np.asarray(mass, float):
        out.addParticle(one)
    if box is not None:
        out.setDefaultPeriodicBoxVectors(*np.diag(np.asarray(box, float)).tolist())
    for force in forces(mass, box, **properties):
        out.addForce(force)
    return out


def integrator(dt, **properties):
    """Steps of dt, in ps: velocity Verlet. Where there is a FORCE or the RESPONSE is not S / m, it knows of these, and
    no other integrator does: the second half of a step is then implicit in the velocities, which keeps its order, two.

    properties: as for forces; mass is not needed.
    """
    out, known = openmm.CustomIntegrator(dt), RESPONSE == "S / m" and not FORCE
    for name, symbol in PROPERTIES.items():
        if name != "mass" and not known:  # mass is what every integrator knows
            out.addPerDofVariable(symbol, 0.0)
            out.setPerDofVariableByName(symbol, [openmm.Vec3(v, v, v) for v in np.asarray(properties[name], float)])
    if not TIMED:
        out.addGlobalVariable("t", 0.0)
    for name in ("S", "before"):
        out.addPerDofVariable(name, 0.0)

    def kick():
        out.addComputePerDof("S", f"f + {FORCE}" if FORCE else "f")
        out.addComputePerDof("S", RESPONSE)
        out.addComputePerDof("v", "before + 0.5 * dt * S")

    out.addUpdateContextState()
    out.addComputePerDof("before", "v")
    kick()
    out.addComputePerDof("x", "x + dt * v")
    out.addComputeGlobal("t", "t + dt")
    out.addComputePerDof("before", "v")
    for _ in range(1 if known else IMPLICIT):
        kick()
    return out
