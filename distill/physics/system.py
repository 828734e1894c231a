"""What a system is, and the forces and energies that follow from it. The table is ``distill.physics.systems``.

The force on receiver i from sender j is minus the gradient of the pair potential V, softening included:

    F_ij = f(r, p_i, p_j) d / r,   d = x_i - x_j,   r = |d|,   f = -dV/dr  (positive: repulsive)

p are the properties of a particle: mass, charge and whatever else the system says it depends on. ``properties`` is a
dict name -> [..., particle], ``ends`` a dict variable (``m_i``, ``m_j``, ...) -> [..., pair].
Numpy throughout; JAX is imported only where a system has no closed form and needs autodiff.
"""

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from distill.files.kinds import SystemRecord
from distill.files.properties import USUAL, at, of_pairs, ordered, property_named, variables
from distill.physics.responses import Response, response_of

LOOPS_WHOLE = (
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000,xla_cpu_disable_loop_unrolling=true"
)


@dataclass(frozen=True)
class System:
    """One force law with all that is needed to simulate it. Dimensionless.

    ``potential(r, m_i, m_j, q_i, q_j, xp)``, in general ``potential(*variables, xp)``, is the energy of one
    unordered pair, softening included, written with the array module ``xp`` (numpy or jax.numpy) and symmetric under
    exchange of i and j.
    ``external(pos, mass, xp) -> [..., particle]`` is the energy of each particle in an outside field and
    ``external_force(pos, mass, xp) -> [..., particle, dim]`` minus its gradient.
    ``initial(rng, n, dim)`` replaces the default initial conditions, see ``systems.initial_conditions``.
    """

    name: str
    potential: Callable
    law: str | None = None  # radial pair force f in ``variables``; None: autodiff of the potential
    dt: float = 0.01  # the paper's time step; frames are saved every few of them
    summary: str = ""
    source: str = ""
    softening: float = 0.0  # for the record: ``potential`` and ``law`` already contain it
    neighbours_only: bool = False  # a chain: i interacts with i - 1 and i + 1 only
    drag: float = 0.0  # gamma in the force -gamma v_i
    response: Response | None = None  # or its name; to the net force, where that is not Newton's a = F/m
    external: Callable | None = None
    external_force: Callable | None = None
    external_law: str | None = None  # in words or as a formula, for reports
    charges: str = "normal"  # "normal": N(0,1); "sign": +1 or -1
    masses: str = "lognormal"  # "lognormal": log m ~ N(0,1); "unit": 1
    held: tuple[int, ...] = ()  # particles that never move
    initial: Callable | None = None
    properties: tuple[str, ...] = USUAL  # of a particle; those beyond mass and charge are drawn from N(0,1)
    file: str | None = None  # the user's file it came from, and its digest
    file_sha256: str | None = field(default=None, repr=False)
    cutoff: ClassVar[float] = math.inf  # the pair force acts where r < cutoff; a subclass may make it a field

    def __post_init__(self):
        object.__setattr__(self, "properties", ordered({*USUAL, *self.properties}))
        object.__setattr__(self, "response", response_of(self.response))

    @property
    def conserves_energy(self) -> bool:
        return not self.works

    @property
    def works(self) -> bool:
        """Whether energy leaves the particles: by drag, or by a response that has no energy of motion."""
        return bool(self.drag) or (self.response is not None and self.response.kinetic is None)

    def describe(self) -> dict:
        """What a dataset's JSON says of this system beyond what it says of all: for subclasses."""
        return {}

    def as_described(self, about: SystemRecord) -> "System | None":
        """This system with the parameters of a dataset's JSON, or None where they make none: for subclasses."""
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """Of the pair law: ``r`` and the properties of both ends."""
        return variables(self.properties)

    @functools.cached_property
    def formula(self):
        """``law`` as a sympy expression; None where there is none."""
        from distill.formulas.text import parse  # loads SymPy, which those who only ask for --help do not wait for

        return None if self.law is None else parse(self.law, self.variables)

    @property
    def jumps(self) -> bool:
        """Whether the law is known to jump somewhere."""
        return self.formula is not None and _holds(self.formula, "greater", "sign")

    @property
    def far_reaching(self) -> bool:
        """Whether the force is sure to be felt from afar and without jumps: then no long step misses any of it."""
        known = self.file is None and self.external is None and self.formula is not None
        return known and not self.jumps and not _holds(self.formula, "exp", "tanh")

    def pairs(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices (i, j) of the unordered pairs that interact, i < j."""
        if self.neighbours_only:
            return np.arange(n - 1), np.arange(1, n)
        return np.triu_indices(n, 1)


def _holds(formula, *functions: str) -> bool:
    """Whether one of these functions, by name, is part of the formula."""
    return formula.func.__name__ in functions or any(_holds(part, *functions) for part in formula.args)


# ---------------------------------------------------------------- pair forces


@functools.lru_cache(maxsize=128)
def _compiled(system: System, xp) -> Callable:
    from distill.formulas.program import compile_with

    return compile_with(system.formula, system.variables, xp)


def arguments(system: System, r, ends: dict) -> list:
    """What ``potential`` and the compiled ``law`` take: r and the variables of this system out of ``ends``."""
    return [r, *(ends[name] for name in system.variables[1:])]


def radial_force(system: System, r, ends: dict, xp=np):
    """f = -dV/dr for arrays of one shape, with ``xp`` numpy or jax.numpy; positive where repulsive."""
    arrays = arguments(system, r, ends)
    if system.law is not None:
        return _compiled(system, xp)(*arrays)
    if xp is np:
        jnp = import_jax().numpy
        return np.asarray(_differentiated(system)(*(jnp.asarray(np.asarray(a, dtype=float)) for a in arrays)))
    return _differentiated(system)(*arrays)


@functools.lru_cache(maxsize=16)
def _differentiated(system: System) -> Callable:
    jax = import_jax()

    # Every element's V depends on its own r only, so the gradient of the sum is the list of derivatives.
    def total(r, *ends):
        return -system.potential(r, *ends, jax.numpy).sum()

    return jax.jit(jax.grad(total))


def import_jax():
    """JAX with 64-bit floats on: close encounters leave nothing of 32 bits.

    Loops are compiled whole, as ``lanes`` needs: XLA would call each of their parts by itself, at a cost
    above that of its arithmetic, and unroll what is as short as a vector before it could become one.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_extra_options" not in flags:  # read by XLA when it first compiles
        os.environ["XLA_FLAGS"] = f"{LOOPS_WHOLE} {flags}".strip()
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def pair_force(system: System, dx, r, ends: dict) -> np.ndarray:
    """Force on each receiver ``[edge, dim]`` from ``dx = x_i - x_j [edge, dim]``, ``r [edge]`` and ``ends``.

    ``ends`` may hold more than the variables of the system. Zero where two particles coincide, for the potential has
    no gradient there, and from the system's cutoff on. For a chain it is the caller who passes neighbours only. Any
    leading axes may stand in for ``edge``.
    """
    dx, r = np.asarray(dx, dtype=float), np.asarray(r, dtype=float)
    r, *ends = np.broadcast_arrays(*arguments(system, r, ends))
    apart = np.where(r > 0, r, 1.0)
    f = radial_force(system, apart, dict(zip(system.variables[1:], ends, strict=True)))
    return np.where((r > 0) & (r < system.cutoff), f / apart, 0.0)[..., None] * dx


def pair_potential(system: System, r, ends: dict) -> np.ndarray:
    """Energy of each pair, for arrays of one shape."""
    if system.file is not None:
        import_jax()  # a user's potential may be written with jax.numpy
    return np.asarray(system.potential(*arguments(system, r, ends), np), dtype=float)


def _pairs(system, pos, properties):
    i, j = system.pairs(pos.shape[-2])
    dx = pos[..., i, :] - pos[..., j, :]
    return (i, j), dx, np.sqrt((dx * dx).sum(axis=-1)), of_pairs(at(properties, i), at(properties, j))


def _as_floats(pos, vel, properties):
    pos, vel = np.asarray(pos, dtype=float), np.asarray(vel, dtype=float)
    return pos, vel, {k: np.broadcast_to(np.asarray(v, dtype=float), pos.shape[:-1]) for k, v in properties.items()}


# ---------------------------------------------------------------- many particles


def net_force(system: System, pos, vel, properties: dict) -> np.ndarray:
    """Total force ``[..., particle, dim]``: pairs, outside field and drag; zero on held particles.

    ``pos, vel [..., particle, dim]``; the properties ``[..., particle]`` are broadcast over the leading axes
    (give them the axes of ``pos``, or 1 for those that are missing).
    """
    pos, vel, properties = _as_floats(pos, vel, properties)
    n = pos.shape[-2]
    (i, j), dx, r, ends = _pairs(system, pos, properties)
    # Each pair's force enters with +1 for i and -1 for j, so that the third law is exact.
    incidence = np.zeros((n, len(i)))
    incidence[i, np.arange(len(i))], incidence[j, np.arange(len(j))] = 1.0, -1.0
    force = incidence @ pair_force(system, dx, r, ends)
    force = force + node_force(system, pos, vel, properties["mass"])
    force[..., list(system.held), :] = 0.0
    return force


def node_force(system: System, pos, vel, mass) -> np.ndarray:
    """The part of the force that no pair makes ``[..., particle, dim]``: outside field and drag."""
    force = np.zeros(np.shape(pos))
    if system.external is not None:
        force = force + external_force(system, np.asarray(pos), np.asarray(mass))
    return force - system.drag * np.asarray(vel) if system.drag else force


def external_force(system: System, pos, mass, xp=np):
    """Force of the outside field ``[..., particle, dim]``; by autodiff where the system states none."""
    if system.external_force is not None:
        return system.external_force(pos, mass, xp)
    jax = import_jax()
    total = lambda p: -system.external(p, jax.numpy.asarray(mass), jax.numpy).sum()  # noqa: E731
    force = jax.grad(total)(jax.numpy.asarray(pos))
    return np.asarray(force) if xp is np else force


def acceleration(system: System, pos, vel, properties: dict) -> np.ndarray:
    """What particles do with their ``net_force``, ``/ mass`` as a rule; shapes as there: what a network is to learn and
    a rollout integrates.
    """
    force = net_force(system, pos, vel, properties)
    if system.response is None:
        return force / np.asarray(properties["mass"], dtype=float)[..., None]
    _, vel, properties = _as_floats(pos, vel, properties)
    acc = system.response.acceleration(force, vel, receiver_variables(properties))
    acc[..., list(system.held), :] = 0.0
    return acc


def receiver_variables(properties: dict) -> dict:
    """The properties as formulas name those of a receiver: ``m_i``, ``q_i``, ... -> array."""
    return {property_named(name).variables[0]: value for name, value in properties.items()}


def power_lost(system: System, pos, vel, properties: dict) -> np.ndarray:
    """The rate [...] at which energy leaves the particles (``energy`` with its sign changed), shapes as in
    ``net_force``; zero where energy is conserved.
    """
    pos, vel, properties = _as_floats(pos, vel, properties)
    lost = system.drag * (vel * vel).sum((-2, -1))
    if system.response is None or system.response.kinetic is not None:
        return lost
    force = net_force(system, pos, vel, properties)
    change = properties["mass"][..., None] * acceleration(system, pos, vel, properties)
    return lost + ((force - change) * vel).sum((-2, -1))


def energy_terms(system: System, pos, vel, properties: dict):
    """Kinetic ``[..., particle]``, pair ``[..., pair]`` and outside-field ``[..., particle]`` energies."""
    pos, vel, properties = _as_floats(pos, vel, properties)
    mass = properties["mass"]
    square = (vel * vel).sum(axis=-1)
    kinetic = kinetic_energy(system, square, mass, properties)
    pair = pair_potential(system, *_pairs(system, pos, properties)[2:])
    outside = np.zeros_like(kinetic) if system.external is None else system.external(pos, mass, np)
    return kinetic, pair, np.asarray(outside, dtype=float)


def kinetic_energy(system: System, square, mass, properties: dict, xp=np):
    """Of particles with squared speeds ``square``, an array of the shape of ``mass``."""
    if system.response is None or system.response.kinetic is None:
        return 0.5 * mass * square
    return system.response.value("kinetic", {"v": xp.sqrt(square)}, receiver_variables(properties), xp)


def energy(system: System, pos, vel, properties: dict) -> np.ndarray:
    """Kinetic plus potential energy ``[...]``, shapes as in ``net_force``."""
    return sum(term.sum(axis=-1) for term in energy_terms(system, pos, vel, properties))
