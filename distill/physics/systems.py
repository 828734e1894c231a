"""The physics, once: the table of systems, their potentials, closed-form forces and initial conditions.

Dimensionless (G = k = 1, rest length 1), but for the systems that extensions bring. ``System.potential`` is the pair
potential V and ``System.law`` the radial force f = -dV/dr as text, both functions of the true distance r with the
softening in them. The text is the only closed form there is, and a test holds it to the autodiff of V.
Adding a system is one entry of ``SYSTEMS``; a user adds one from outside with
``simulate.py --system-file`` (see ``distill.physics.user_system``). Nothing here imports JAX.

Source of the systems: M. Cranmer et al., arXiv:2006.11287, appendix on simulations, and the authors'
published simulation code; where we depart from the latter, ``source`` or ``original_form`` says so.
"""

from dataclasses import replace

import numpy as np

from distill.physics.system import System, acceleration, energy, net_force, pair_force
from distill.shell import extensions
from distill.shell.errors import UserError, near_miss

__all__ = [
    "SYSTEMS",
    "System",
    "acceleration",
    "energy",
    "initial_conditions",
    "load_system",
    "net_force",
    "original_form",
    "pair_force",
]
SOFTENING = 0.01  # added to r in the potentials of the paper
PAPER = "arXiv:2006.11287"


# ---------------------------------------------------------------- fields and initial conditions

GRAVITY = 1.0
BALL_CENTRE, BALL_RADIUS, BALL_FORCE, BALL_WIDTH = (5.0, -15.0), 4.0, 100.0, 0.1


def _gravity(pos, mass, xp):
    return GRAVITY * mass * pos[..., 1]


def _gravity_force(pos, mass, xp):
    return xp.stack([-GRAVITY * mass if k == 1 else 0 * mass for k in range(pos.shape[-1])], axis=-1)


def _all_but_last(mass, xp):
    return mass * xp.asarray([1.0] * (mass.shape[-1] - 1) + [0.0])


def _from_ball(pos, xp):
    centre = xp.asarray(BALL_CENTRE + (0.0,) * (pos.shape[-1] - 2))
    d = pos - centre
    return d, xp.sqrt((d * d).sum(axis=-1))


def _ball(pos, mass, xp):
    _, r = _from_ball(pos, xp)
    return BALL_FORCE * BALL_WIDTH * xp.logaddexp(0.0, (BALL_RADIUS - r) / BALL_WIDTH)


def _ball_force(pos, mass, xp):
    d, r = _from_ball(pos, xp)
    # 1 / (1 + exp(-z)) written with tanh, which cannot overflow
    size = BALL_FORCE * 0.5 * (1 + xp.tanh((BALL_RADIUS - r) / (2 * BALL_WIDTH)))
    return (size / xp.where(r > 0, r, 1.0))[..., None] * d


def _chain(rng, n, dim):
    """A chain along the first axis, at rest: x = index + N(0, 0.5), other axes N(0,1), unit masses."""
    pos = rng.standard_normal((n, dim))
    pos[:, 0] = np.arange(n) + 0.5 * pos[:, 0]
    return pos, np.zeros((n, dim)), np.ones(n), rng.standard_normal(n)


def _original_chain(rng, n, dim):
    """As ``_chain``, with the velocities that the original sets: only the first component is zero."""
    pos, vel, mass, charge = _chain(rng, n, dim)
    vel[:, 1:] = rng.standard_normal((n, dim - 1))
    return pos, vel, mass, charge


def initial_conditions(system: System, rng: np.random.Generator, n: int, dim: int):
    """``pos, vel [particle, dim], mass, charge [particle]``: pos, vel ~ N(0,1) unless the system differs.

    Where the force does not depend on the charge it is carried along as a distractor, as in the paper.
    """
    if system.initial is None:
        return initial_conditions_from(system, rng.standard_normal(2 * n * (dim + 1)), n, dim)
    pos, vel, mass, charge = (np.array(a, dtype=float) for a in system.initial(rng, n, dim))
    vel[list(system.held)] = 0.0
    return pos, vel, mass, charge


def initial_conditions_from(system: System, normal: np.ndarray, n: int, dim: int):
    """The default ones of many trajectories, from N(0,1) numbers ``[..., 2 n (dim + 1)]``; leading axes stay."""
    pos, vel = (
        normal[..., k * n * dim : (k + 1) * n * dim].reshape(*normal.shape[:-1], n, dim).copy() for k in range(2)
    )
    mass, charge = np.exp(normal[..., -2 * n : -n]), normal[..., -n:].copy()
    if system.masses == "unit":
        mass = np.ones_like(mass)
    if system.charges == "sign":
        charge = np.where(charge < 0, -1.0, 1.0)
    vel[..., list(system.held), :] = 0.0
    return pos, vel, mass, charge


# ---------------------------------------------------------------- the table


def _spring(r, m_i, m_j, q_i, q_j, xp):
    return (r + SOFTENING - 1) ** 2


def _stretched_spring(r, m_i, m_j, q_i, q_j, xp):
    # Lowered by 1, the value at the onset, so that V is continuous; the force is the original's.
    return xp.maximum((r + SOFTENING - 1) ** 2 - 1, 0.0) * (r + SOFTENING > 2)


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
        drag=0.5,
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
        external=_gravity,
        external_force=_gravity_force,
        external_law="-m_i along the second axis",
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
        external=lambda pos, mass, xp: _gravity(pos, mass, xp) + _ball(pos, mass, xp),
        external_force=lambda pos, mass, xp: _gravity_force(pos, mass, xp) + _ball_force(pos, mass, xp),
        external_law=(
            "-m_i along the second axis, and away from the ball's centre (5, -15):"
            " 100/(1 + exp((s - 4)/0.1)) at distance s from it"
        ),
        masses="unit",
        initial=_chain,
        summary="a free chain of springs that falls on a smooth repelling ball",
        source="the authors' simulation code; the ball's potential, which overflowed there, is ours",
    ),
)
# An extension defines ``SYSTEMS``, a list of its own: they may have other units and other simulations.
_ALL = [*_ENTRIES, *(system for module in extensions.modules("systems") for system in module.SYSTEMS)]
SYSTEMS: dict[str, System] = {s.name: s for s in _ALL}


def original_form(system: System) -> System:
    """``system`` with the slips of the authors' code that change its physics, to compare with their data.

    - damped: the drag on particle i is (n - 1 - i)/n (none on the last), because the damping sat in the
      pair potential.
    - string, string_ball: the last particle feels neither gravity nor ball, nothing is held, and only the
      first component of the velocities starts at zero. The ball's potential stays the smooth one.
    - Everywhere else only the time grid differs: a step is dt N/(N - 1) for N steps (``simulate.py``).
    """
    changes: dict = {"variant": "original"}
    if system.drag:
        changes |= {"drag": 1.0, "drag_by_index": True}
    if system.neighbours_only and system.external is not None:
        energy, force = system.external, system.external_force
        changes |= {
            "held": (),
            "initial": _original_chain,
            "external": lambda pos, mass, xp: _all_but_last(xp.ones_like(mass), xp) * energy(pos, mass, xp),
            "external_force": lambda pos, mass, xp: (
                _all_but_last(xp.ones_like(mass), xp)[..., None] * force(pos, mass, xp)
            ),
            "external_law": f"{system.external_law}; not on the last particle",
        }
    return replace(system, **changes)


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
