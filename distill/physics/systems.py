"""The physics, once: the table of systems, their potentials, closed-form forces and initial conditions.

Dimensionless (G = k = 1, rest length 1), but for the systems that extensions bring. ``System.potential`` is the pair
potential V and ``System.law`` the radial force f = -dV/dr as text, both functions of the true distance r with the
softening in them. The text is the only closed form there is, and a test holds it to the autodiff of V.
Adding a system is one entry of ``SYSTEMS``; a user adds one from outside with
``simulate.py --system-file`` (see ``distill.physics.user_system``). Nothing here imports JAX.

Source of the systems: M. Cranmer et al., arXiv:2006.11287, appendix on simulations, and the authors'
published simulation code; where we depart from the latter, ``source`` says so.
"""

from dataclasses import replace

import numpy as np

from distill.files.arrays import indicators
from distill.files.properties import USUAL, by_levels, categories, level_of
from distill.physics.acting import Acting
from distill.physics.responses import RESPONSES
from distill.physics.system import System
from distill.shell import extensions
from distill.shell.errors import UserError, near_miss

SOFTENING = 0.01  # added to r in the potentials of the paper
PAPER = "arXiv:2006.11287"


# ---------------------------------------------------------------- initial conditions


def _chain(rng, n, dim):
    """A chain along the first axis, at rest: x = index + N(0, 0.5), other axes N(0,1), unit masses."""
    pos = rng.standard_normal((n, dim))
    pos[:, 0] = np.arange(n) + 0.5 * pos[:, 0]
    return pos, np.zeros((n, dim)), np.ones(n), rng.standard_normal(n)


def initial_conditions(system: System, rng: np.random.Generator, n: int, dim: int):
    """``pos, vel [particle, dim]`` and ``properties``, name -> [particle]: N(0,1) unless the system differs.

    Levels of a category are drawn with equal chances. A system's own ``initial`` returns ``pos, vel, mass, charge`` or
    ``pos, vel, properties`` (a dict that holds mass and charge, and of a category the number of the level); what it
    does not give is drawn from N(0,1) after it.
    Where the force does not depend on the charge it is carried along as a distractor, as in the paper.
    """
    if system.initial is None:
        return initial_conditions_from(system, rng.standard_normal(count(system, n, dim)), n, dim)
    pos, vel, *rest = system.initial(rng, n, dim)
    given = dict(rest[0]) if len(rest) == 1 else dict(zip(USUAL, rest, strict=True))
    pos, vel = (np.array(a, dtype=float) for a in (pos, vel))
    vel[list(system.held)] = 0.0
    for name in categories(system.properties).keys() & given.keys():
        given |= indicators(name, [level_of(k) for k in categories(system.properties)[name]], given.pop(name))
    drawn = {k: given[k] if k in given else rng.standard_normal(n) for k in system.properties}
    return pos, vel, of_one_level({k: np.array(v, dtype=float) for k, v in drawn.items()})


def of_one_level(properties: dict) -> dict:
    """With ones and zeros for the indicators of every category: the largest number is the level's."""
    for names in categories(properties).values():
        level = np.stack([properties[name] for name in names]).argmax(0)
        properties |= {name: (level == k).astype(float) for k, name in enumerate(names)}
    return properties


def count(system: System, n: int, dim: int) -> int:
    """Random numbers that the default initial conditions of one trajectory take."""
    return n * (2 * dim + len(system.properties))


def initial_conditions_from(system: System, normal: np.ndarray, n: int, dim: int):
    """The default ones of many trajectories, from N(0,1) numbers ``[..., count]``; leading axes stay."""
    states, drawn = normal[..., : 2 * n * dim], normal[..., 2 * n * dim :]
    pos, vel = (a.reshape(*normal.shape[:-1], n, dim).copy() for a in np.split(states, 2, axis=-1))
    if system.response is not None and system.response.speed_limit:
        vel /= np.sqrt(1 + (vel**2).sum(-1, keepdims=True) / system.response.speed_limit**2)  # N(0,1): gamma v
    vel[..., list(system.held), :] = 0.0
    each = np.split(drawn, len(system.properties), axis=-1)
    properties = {k: a.copy() for k, a in zip(system.properties, each, strict=True)}
    mass, charge = properties["mass"], properties["charge"]
    properties["mass"] = np.ones_like(mass) if system.masses == "unit" else np.exp(mass)
    properties["charge"] = np.where(charge < 0, -1.0, 1.0) if system.charges == "sign" else charge
    return pos, vel, of_one_level(properties)


# ---------------------------------------------------------------- the table


def _spring(r, m_i, m_j, q_i, q_j, xp):
    return (r + SOFTENING - 1) ** 2


def _stretched_spring(r, m_i, m_j, q_i, q_j, xp):
    # Lowered by 1, the value at the onset, so that V is continuous; the force is the original's.
    return xp.maximum((r + SOFTENING - 1) ** 2 - 1, 0.0) * (r + SOFTENING > 2)


GRAVITY = Acting("constant_acceleration", (0.0, -1.0))
BALL = Acting(  # a smooth step of height 100 and width 0.1 at the distance 4 from its centre
    "central", "50*(1 + tanh((4 - s)/0.2))", centre=(5.0, -15.0), potential="10*log(1 + exp((4 - s)/0.1))"
)

_ENTRIES = (
    System(
        "spring",
        _spring,
        law="-2*(r - 0.99)",
        dt=0.01,
        softening=SOFTENING,
        summary="springs of rest length 1 between all pairs",
        source=PAPER,
    ),
    System(
        "r1",
        lambda r, m_i, m_j, q_i, q_j, xp: m_i * m_j * xp.log(r + SOFTENING),
        law="-m_i*m_j/(r + 0.01)",
        dt=0.005,
        softening=SOFTENING,
        summary="attraction as 1/r: gravity in two dimensions",
        source=PAPER,
    ),
    System(
        "r2",
        lambda r, m_i, m_j, q_i, q_j, xp: -m_i * m_j / (r + SOFTENING),
        law="-m_i*m_j/(r + 0.01)^2",
        dt=0.001,
        softening=SOFTENING,
        summary="attraction as 1/r^2: Newton's gravity",
        source=PAPER,
    ),
    System(
        "charge",
        lambda r, m_i, m_j, q_i, q_j, xp: q_i * q_j / (r + SOFTENING),
        law="q_i*q_j/(r + 0.01)^2",
        dt=0.001,
        softening=SOFTENING,
        charges="sign",
        summary="Coulomb's force between charges of +1 and -1",
        source=PAPER,
    ),
    System(
        "damped",
        _spring,
        law="-2*(r - 0.99)",
        dt=0.02,
        softening=SOFTENING,
        terms=(Acting("drag", 0.5),),
        summary="springs between all pairs and a drag of -0.5 v on every particle",
        source=f"{PAPER}; drag 0.5 is the mean over the particles of the original's, for many particles",
    ),
    System(
        "discontinuous",
        _stretched_spring,
        law="-2*(r - 0.99)*greater(r, 1.99)",
        dt=0.01,
        softening=SOFTENING,
        summary="springs that act only where stretched to twice their rest length",
        source=PAPER,
    ),
    System(
        "superposition",
        lambda r, m_i, m_j, q_i, q_j, xp: (q_i * q_j - m_i * m_j) / (r + SOFTENING),
        law="(q_i*q_j - m_i*m_j)/(r + 0.01)^2",
        dt=0.001,
        softening=SOFTENING,
        charges="sign",
        summary="Newton's gravity and Coulomb's force together",
        source="the authors' simulation code, not in the paper's tables",
    ),
    System(
        "string",
        _spring,
        law="-2*(r - 0.99)",
        dt=0.01,
        softening=SOFTENING,
        neighbours_only=True,
        terms=(GRAVITY,),
        masses="unit",
        initial=_chain,
        held=(0,),  # with nothing held the chain only falls, and gravity drops out of its motion
        summary="a chain of springs that hangs from its first particle in uniform gravity",
        source="the authors' simulation code; holding the first particle is ours",
    ),
    System(
        "string_ball",
        _spring,
        law="-2*(r - 0.99)",
        dt=0.02,  # twice the string's: at 0.01 the usual 500 steps end as the chain reaches the ball
        softening=SOFTENING,
        neighbours_only=True,
        terms=(GRAVITY, BALL),
        masses="unit",
        initial=_chain,
        summary="a free chain of springs that falls on a smooth repelling ball",
        source="the authors' simulation code; the ball's potential, which overflowed there, is ours",
    ),
)
WIDE = 0.1  # softening of the systems below, which are ours
CHARGES = {
    "potential": lambda r, m_i, m_j, q_i, q_j, xp: q_i * q_j / (r + WIDE),
    "law": "q_i*q_j/(r + 0.1)^2",
    "charges": "sign",
    "softening": WIDE,
}
MASSES = {
    "potential": lambda r, m_i, m_j, q_i, q_j, xp: m_i * m_j * xp.log(r + WIDE),
    "law": "-m_i*m_j/(r + 0.1)",
    "softening": WIDE,
}
SPRINGS = {"potential": _spring, "law": "-2*(r - 0.99)", "softening": SOFTENING}

_BESIDE = (  # a term each beside a pair force, or a pair force of another kind
    System(
        "trap",
        **CHARGES,
        terms=(Acting("field", potential="x^2 + y^2 + z^2"),),
        dt=0.005,
        summary="charges of +1 and -1 in a harmonic trap, -2 x on every particle",
    ),
    System(
        "off_centre_well",
        **SPRINGS,
        terms=(Acting("central", "-4*s*exp(-s^2/2)", centre=(1.0, -0.5), potential="-4*exp(-s^2/2)"),),
        dt=0.01,
        summary="springs between all pairs in a smooth well of width 1 about a point that is not the origin",
    ),
    System(
        "quadratic_drag",
        **MASSES,
        terms=(Acting("drag", "0.3*v"),),
        dt=0.005,
        summary="attraction as 1/r and a drag on every particle that grows with the square of its speed",
    ),
    System(
        "magnetic",
        **CHARGES,
        terms=(Acting("magnetic", 1.5),),
        dt=0.01,
        summary="charges of +1 and -1 in a uniform magnetic field across the first two axes",
    ),
    System(
        "uniform",
        **MASSES,
        terms=(Acting("constant_force", (0.8, -0.4)),),
        dt=0.005,
        summary="attraction as 1/r in a uniform field, the same force on every particle",
    ),
    System(
        "non_reciprocal",
        None,
        law="-m_j/(r + 0.1)",
        dt=0.005,
        softening=WIDE,
        summary="attraction as 1/r by the mass of the sender alone: action is not reaction",
    ),
    System(
        "alignment",
        **SPRINGS,
        terms=(Acting("relative_velocity", "0.5*exp(-r)"),),
        dt=0.01,
        summary="springs between all pairs and friction between them, exp(-r)/2 times the relative velocity",
    ),
    System(
        "transverse",
        **SPRINGS,
        terms=(Acting("transverse", "0.8/(r + 0.5)"),),
        dt=0.01,
        summary="springs between all pairs and a force across the line of centres, to the left of it",
    ),
    System(
        "modulated",
        None,
        law="-m_i*m_j*(1 + 0.5*cos(4*t))/(r + 0.1)",
        dt=0.005,
        softening=WIDE,
        summary="attraction as 1/r whose strength swings in time by half, 4 radians in a unit of it",
    ),
    System(
        "screened",
        lambda r, m_i, m_j, q_i, q_j, xp: 2 * q_i * q_j * xp.exp(-r) / (r + WIDE),
        law="2*q_i*q_j*exp(-r)*(1/(r + 0.1) + 1/(r + 0.1)^2)",
        dt=0.005,
        softening=WIDE,
        charges="sign",
        summary="a screened Coulomb (Yukawa) force between charges of +1 and -1",
    ),
    System(
        "finite_range",
        lambda r, m_i, m_j, q_i, q_j, xp: 3 * xp.maximum(1.5 - r, 0.0) ** 2,
        law="6*(1.5 - r)*greater(1.5, r)",
        dt=0.003,
        summary="soft spheres: a repulsion that falls linearly to nothing at a distance of 1.5",
    ),
)
A_AND_B = ("species__A", "species__B")


def _of_species(aa, ab, bb):
    """The potential of pairs from those of two of A, of A and B, of two of B: functions of (r, xp)."""

    def potential(r, m_i, m_j, q_i, q_j, a_i, a_j, b_i, b_j, xp):
        return a_i * a_j * aa(r, xp) + (a_i * b_j + b_i * a_j) * ab(r, xp) + b_i * b_j * bb(r, xp)

    return potential


_SPECIES = (  # the pair force depends on what the particles are
    System(
        "two_species",
        _of_species(
            lambda r, xp: 1 / (r + WIDE), lambda r, xp: xp.log(r + WIDE), lambda r, xp: 2 * xp.exp(-((r / 2) ** 2))
        ),
        law=by_levels(
            "species", {("A", "A"): "1/(r + 0.1)^2", ("A", "B"): "-1/(r + 0.1)", ("B", "B"): "r*exp(-(r/2)^2)"}
        ),
        dt=0.005,
        softening=WIDE,
        masses="unit",
        properties=A_AND_B,
        summary="two species: A repels A as 1/r^2, B repels B softly, A and B attract each other as 1/r",
    ),
    System(
        "mixture",
        _of_species(lambda r, xp: 1.5 / (r + WIDE), lambda r, xp: -1 / (r + WIDE), lambda r, xp: 0.5 / (r + WIDE)),
        law=by_levels(
            "species", {("A", "A"): "1.5/(r + 0.1)^2", ("A", "B"): "-1/(r + 0.1)^2", ("B", "B"): "0.5/(r + 0.1)^2"}
        ),
        dt=0.005,
        softening=WIDE,
        properties=A_AND_B,
        summary="two species and one function of the distance, 1/r^2, times 1.5, -1 and 0.5 for the pairs of them",
    ),
    System(
        "predator_prey",
        None,
        law=by_levels(
            "species",
            {
                ("predator", "predator"): "1/(r + 0.5)",
                ("predator", "prey"): "-2/(r + 0.5)",
                ("prey", "predator"): "4*exp(-r)",
                ("prey", "prey"): "-r*exp(-r)",
            },
        ),
        terms=(Acting("drag", 0.5),),
        dt=0.02,
        masses="unit",
        properties=("species__predator", "species__prey"),
        summary="predators that follow prey which flees from them, with a drag: action is not reaction",
    ),
)
_PAIRS = {s.name: s for s in _ENTRIES}
_RESPONDING = tuple(
    replace(
        _PAIRS[pair],
        name=name,
        response=RESPONSES[name],
        summary=f"{what}: {RESPONSES[name].summary}",
        source=f"ours: forces that superpose behind accelerations that do not{more}",
    )
    for name, pair, what, more in (
        ("saturating", "r1", "attraction as 1/r of particles whose response saturates", ""),
        ("relativistic", "charge", "charges of +1 and -1 that move at relativistic speeds", "; nothing is retarded"),
        ("mond", "r2", "Newton's gravity behind the response of deep MOND", ""),
    )
)
# An extension defines ``SYSTEMS``, a list of its own: they may have other units and other simulations.
_ALL = [
    *_ENTRIES,
    *_RESPONDING,
    *(replace(s, source="ours") for s in (*_BESIDE, *_SPECIES)),
    *(system for module in extensions.modules("systems") for system in module.SYSTEMS),
]
SYSTEMS: dict[str, System] = {s.name: s for s in _ALL}


def load_system(name: str | None = None, system_file=None) -> System:
    """The system of that name, or the one in a user's file; exactly one of the two must be given.

    Raises ``UserError`` for an unknown name (with the nearest one) or for a file that does not define a
    working system.
    """
    if (name is None) == (system_file is None):
        raise UserError("give either the name of a system or a system file", f"systems: {', '.join(SYSTEMS)}")
    if system_file is not None:
        from distill.physics.user_system import read_system

        return read_system(system_file)
    if name not in SYSTEMS:
        raise UserError(f"there is no system '{name}'{near_miss(name, SYSTEMS)}", f"known: {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
