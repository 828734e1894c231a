"""What a system is, and the forces and energies that follow from it. The table is ``distill.physics.systems``.

A system is a law with initial conditions: its forces are the terms of ``physics.terms``. The radial force on receiver i
from sender j is, where there is a pair potential V, minus its gradient, softening included:

    F_ij = f(r, p_i, p_j) d / r,   d = x_i - x_j,   r = |d|,   f = -dV/dr  (positive: repulsive)

and else what the system states, of which nothing is assumed as i and j are exchanged. p are the properties of a
particle: mass, charge and whatever else the system says it depends on. ``properties`` is a dict name ->
[..., particle], ``ends`` a dict variable (``m_i``, ``m_j``, ...) -> [..., pair].
Numpy throughout; JAX is imported only where a system has no closed form and needs autodiff.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from distill.files.kinds import SystemRecord
from distill.files.properties import USUAL, at, of_pairs, ordered, property_named, variables
from distill.physics.acting import Acting
from distill.physics.responses import Response, response_of
from distill.physics.terms import TERMS, Given, Pairs, State
from distill.physics.terms.arrays import import_jax
from distill.physics.terms.state import TIME
from distill.physics.terms.values import evaluated, is_number, names_in, parts


@dataclass(frozen=True)
class System:
    """One force law with all that is needed to simulate it. Dimensionless.

    ``potential(r, m_i, m_j, q_i, q_j, xp)``, in general ``potential(*variables, xp)``, is the energy of one
    unordered pair, softening included, written with the array module ``xp`` (numpy or jax.numpy) and symmetric under
    exchange of i and j. Without one the radial force is ``law``, or ``force`` where there is no formula for it.
    ``terms`` are all other forces, of pairs and of particles, see ``Acting``.
    ``initial(rng, n, dim)`` replaces the default initial conditions, see ``systems.initial_conditions``.
    """

    name: str
    potential: Callable | None
    law: str | None = None  # radial pair force f in ``variables`` and t; None: autodiff of the potential
    dt: float = 0.01  # the paper's time step; frames are saved every few of them
    summary: str = ""
    source: str = ""
    softening: float = 0.0  # for the record: ``potential`` and ``law`` already contain it
    neighbours_only: bool = False  # a chain: i interacts with i - 1 and i + 1 only
    force: Given | None = None  # the radial pair force, where it has neither formula nor potential
    terms: tuple[Acting, ...] = ()
    response: Response | None = None  # or its name; to the net force, where that is not Newton's a = F/m
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
        object.__setattr__(self, "terms", tuple(self.terms))

    @property
    def conserves_energy(self) -> bool:
        return not self.works

    @functools.cached_property
    def works(self) -> bool:
        """Whether energy leaves the particles or comes to them: by forces that have none (drag, ...), or by a response
        that has no energy of motion.
        """
        driven = self.potential is None and (self.law or self.force) is not None
        driven = driven or not all(acting.conserves(self.properties) for acting in self.terms)
        return driven or (self.response is not None and self.response.kinetic is None)

    @functools.cached_property
    def further(self) -> tuple[Acting, ...]:
        """Terms of pairs beside the radial force."""
        return tuple(acting for acting in self.terms if acting.of_pair)

    @functools.cached_property
    def of_nodes(self) -> tuple[Acting, ...]:
        """Terms that belong to one particle."""
        return tuple(acting for acting in self.terms if not acting.of_pair)

    @functools.cached_property
    def in_time(self) -> bool:
        """Whether a force depends on the time."""
        return self._radial_in_time or any(acting.in_time(self.properties) for acting in self.terms)

    @functools.cached_property
    def _radial_in_time(self) -> bool:
        radial = self.force if self.law is None else self.formula
        return radial is not None and TIME in names_in(radial)

    @functools.cached_property
    def moving_pairs(self) -> bool:
        """Whether pair forces depend on velocities."""
        return any("vel" in TERMS[acting.term].needs for acting in self.further)

    @functools.cached_property
    def dims(self) -> tuple[int, ...]:
        """Space dimensions in which all of its terms are defined."""
        return tuple(dim for dim in (2, 3) if all(dim in TERMS[acting.term].dims for acting in self.terms))

    @functools.cached_property
    def reciprocal(self) -> bool:
        """Whether action is reaction in all pair forces."""
        return self.radial_reciprocal and self.further_reciprocal

    @functools.cached_property
    def radial_reciprocal(self) -> bool:
        return self.potential is not None or _symmetric(self, lambda p: radial_force(self, p.r, p.ends, t=p.t))

    @functools.cached_property
    def further_reciprocal(self) -> bool:
        def size(acting):
            return lambda p: evaluated(acting.read(self.properties), p.variable) + 0.0 * p.r

        return all(_symmetric(self, size(acting)) for acting in self.further)

    @property
    def drag(self) -> float:
        """gamma in the forces -gamma v_i."""
        return float(sum(acting.value for acting in self.terms if _is_linear_drag(acting)))

    @property
    def external(self) -> bool:
        """Whether a field acts on particles: anything but linear drag that no pair makes."""
        return not all(_is_linear_drag(acting) for acting in self.of_nodes)

    @property
    def beside(self) -> str:
        """The forces beside the radial pair force, as a sum."""
        return " ".join(_told(acting, self.properties) for acting in self.terms).removeprefix("+ ")

    @property
    def external_law(self) -> str | None:
        """As ``beside`` without linear drag, which reports tell apart; None: nothing."""
        return replace(self, terms=[one for one in self.terms if not _is_linear_drag(one)]).beside or None

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

        return None if self.law is None else parse(self.law, (*self.variables, TIME))

    @property
    def formulas(self) -> list:
        """All formulas of its forces, as sympy expressions."""
        own = [] if self.formula is None else [self.formula]
        for acting in self.terms:
            read = acting.read(self.properties)
            own += [part for part in (() if read is None else parts(read)) if not is_number(part)]
        return [part for part in own if not isinstance(part, Given)]

    @property
    def jumps(self) -> bool:
        """Whether the law is known to jump somewhere."""
        return any(_holds(formula, "greater", "sign") for formula in self.formulas)

    @property
    def far_reaching(self) -> bool:
        """Whether the force is sure to be felt from afar and without jumps: then no long step misses any of it."""
        known = self.file is None and self.formula is not None and all(map(_is_linear_drag, self.terms))
        return known and not self._radial_in_time and not self.jumps and not _holds(self.formula, "exp", "tanh")

    def pairs(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices (i, j) of the unordered pairs that interact, i < j."""
        if self.neighbours_only:
            return np.arange(n - 1), np.arange(1, n)
        return np.triu_indices(n, 1)


def _holds(formula, *functions: str) -> bool:
    """Whether one of these functions, by name, is part of the formula."""
    return formula.func.__name__ in functions or any(_holds(part, *functions) for part in formula.args)


def _is_linear_drag(acting: Acting) -> bool:
    return acting.term == "drag" and is_number(acting.value)


def _told(acting: Acting, properties) -> str:
    """A term in a sum of forces."""
    text = acting.text(properties)
    return f"+ sum_j {text}" if acting.of_pair else text


def _symmetric(system: System, size: Callable) -> bool:
    """Whether ``size(pairs)`` is the same for both ends, on pairs drawn at random."""
    rng, count = np.random.default_rng(0), 64
    ends = {name: rng.standard_normal(count) for name in system.variables[1:]}
    ends |= {name: np.exp(ends[name]) for name in ("m_i", "m_j")}
    r = np.exp(0.5 * rng.standard_normal(count))
    pairs = Pairs(np.stack([r, 0 * r], 1), r, ends, t=0.7)
    return bool(np.allclose(size(pairs), size(replace(pairs, ends=pairs.swapped.ends)), rtol=1e-9, atol=1e-12))


# ---------------------------------------------------------------- pair forces


@functools.lru_cache(maxsize=128)
def _compiled(system: System, xp) -> Callable:
    from distill.formulas.program import compile_with

    return compile_with(system.formula, (*system.variables, *[TIME] * system._radial_in_time), xp)


def arguments(system: System, r, ends: dict) -> list:
    """What ``potential`` and the compiled ``law`` take: r and the variables of this system out of ``ends``."""
    return [r, *(ends[name] for name in system.variables[1:])]


def radial_force(system: System, r, ends: dict, xp=np, t=0.0):
    """f for arrays of one shape, with ``xp`` numpy or jax.numpy; positive where repulsive: -dV/dr where there is a
    potential. The time ``t`` is a number or broadcasts against ``r``.
    """
    arrays = arguments(system, r, ends)
    if system.law is not None:
        return _compiled(system, xp)(*arrays, *[t] * system._radial_in_time)
    if system.potential is None and system.force is not None:
        named = dict(zip(system.variables, arrays, strict=True)) | {TIME: t}
        found = system.force.function(*(named[name] for name in system.force.names)) + 0.0 * r
        return np.asarray(found) if xp is np else found
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


def further_force(system: System, pairs: Pairs):
    """Forces on the receivers [..., pair, dim] by the terms of pairs beside the radial one."""
    return sum(TERMS[acting.term].force(acting.read(system.properties), pairs) for acting in system.further)


def pair_force(system: System, dx, r, ends: dict, dv=None, t=0.0, radial: bool = True) -> np.ndarray:
    """Force on each receiver ``[edge, dim]`` from ``dx = x_i - x_j [edge, dim]``, ``r [edge]`` and ``ends``; where the
    system has ``moving_pairs``, ``dv = v_i - v_j [edge, dim]``. The time ``t``: a number, or ``[edge]``.

    ``ends`` may hold more than the variables of the system. Zero where two particles coincide, for the potential has
    no gradient there, and from the system's cutoff on. For a chain it is the caller who passes neighbours only. Any
    leading axes may stand in for ``edge``. Without ``radial``, only what acts beside the radial force.
    """
    dx, r = np.asarray(dx, dtype=float), np.asarray(r, dtype=float)
    r, *ends = np.broadcast_arrays(*arguments(system, r, ends))
    apart, ends = np.where(r > 0, r, 1.0), dict(zip(system.variables[1:], ends, strict=True))
    there, out = (r > 0) & (r < system.cutoff), np.zeros(dx.shape)
    if radial:
        f = radial_force(system, apart, ends, t=t)
        out = np.where(there, f / apart, 0.0)[..., None] * dx
    if not system.further:
        return out
    return out + np.where(there[..., None], further_force(system, Pairs(dx, apart, ends, dv, t)), 0.0)


def pair_potential(system: System, r, ends: dict) -> np.ndarray:
    """Energy of each pair, for arrays of one shape; 0 where the radial force has none."""
    if system.potential is None:
        return np.zeros(np.shape(r))
    if system.file is not None:
        import_jax()  # a user's potential may be written with jax.numpy
    return np.asarray(system.potential(*arguments(system, r, ends), np), dtype=float)


def _pairs(system, pos, vel, properties, t):
    i, j = system.pairs(pos.shape[-2])
    dx = pos[..., i, :] - pos[..., j, :]
    dv = vel[..., i, :] - vel[..., j, :] if system.moving_pairs else None
    ends = of_pairs(at(properties, i), at(properties, j))
    return (i, j), Pairs(dx, np.sqrt((dx * dx).sum(axis=-1)), ends, dv, t)


def state_of(pos, vel, properties, t=0.0) -> State:
    """A ``State`` of 64-bit arrays: ``pos, vel [..., particle, dim]``; the properties are broadcast to [...,
    particle], as are times [...] (a number stays one).
    """
    pos, vel = np.asarray(pos, dtype=float), np.asarray(vel, dtype=float)
    properties = {k: np.broadcast_to(np.asarray(v, dtype=float), pos.shape[:-1]) for k, v in properties.items()}
    t = t if np.ndim(t) == 0 else np.broadcast_to(np.asarray(t, dtype=float), pos.shape[:-2])[..., None]
    return State(vel, properties, pos, t)


# ---------------------------------------------------------------- many particles


def net_force(system: System, pos, vel, properties: dict, t=0.0) -> np.ndarray:
    """Total force ``[..., particle, dim]``: pairs, fields and drag; zero on held particles.

    ``pos, vel [..., particle, dim]``; the properties ``[..., particle]`` are broadcast over the leading axes
    (give them the axes of ``pos``, or 1 for those that are missing), as is the time ``t`` [...].
    """
    state = state_of(pos, vel, properties, t)
    force = pairs_force(system, state) + node_force(system, state)
    force[..., list(system.held), :] = 0.0
    return force


def pairs_force(system: System, state: State, radial: bool = True) -> np.ndarray:
    """Sum of the pair forces on every particle ``[..., particle, dim]``; ``radial`` as in ``pair_force``."""
    (i, j), pairs = _pairs(system, state.pos, state.vel, state.properties, state.t)
    n, number = state.pos.shape[-2], np.arange(len(i))
    there = pair_force(system, pairs.dx, pairs.r, pairs.ends, pairs.dv, pairs.t, radial)
    first = np.zeros((n, len(i)))
    first[i, number] = 1.0
    if system.reciprocal:
        # Each pair's force enters with +1 for i and -1 for j, so that the third law is exact.
        first[j, number] = -1.0
        return first @ there
    other, second = pairs.swapped, np.zeros((n, len(i)))
    second[j, number] = 1.0
    return first @ there + second @ pair_force(system, other.dx, other.r, other.ends, other.dv, other.t, radial)


def node_force(system: System, state: State, only=lambda acting: True):
    """The part of the force that no pair makes ``[..., particle, dim]``, by the terms of which ``only`` is true."""
    force = state.xp.zeros(state.vel.shape)
    for acting in system.of_nodes:
        if only(acting):
            force = force + acting.force(state, system.properties)
    return force


def acceleration(system: System, pos, vel, properties: dict, t=0.0) -> np.ndarray:
    """What particles do with their ``net_force``, ``/ mass`` as a rule; shapes as there: what a network is to learn and
    a rollout integrates.
    """
    force = net_force(system, pos, vel, properties, t)
    if system.response is None:
        return force / np.asarray(properties["mass"], dtype=float)[..., None]
    state = state_of(pos, vel, properties)
    acc = system.response.acceleration(force, state.vel, state.variables)
    acc[..., list(system.held), :] = 0.0
    return acc


def receiver_variables(properties: dict) -> dict:
    """The properties as formulas name those of a receiver: ``m_i``, ``q_i``, ... -> array."""
    return {property_named(name).variables[0]: value for name, value in properties.items()}


def power_lost(system: System, pos, vel, properties: dict, t=0.0) -> np.ndarray:
    """The rate [...] at which energy leaves the particles (``energy`` with its sign changed), shapes as in
    ``net_force``; zero where energy is conserved.
    """
    state = state_of(pos, vel, properties, t)
    vel = state.vel
    driven = node_force(system, state, lambda acting: not acting.conserves(system.properties))
    if system.potential is None or system.further:
        driven = driven + pairs_force(system, state, radial=system.potential is None)
    driven[..., list(system.held), :] = 0.0
    lost = -(driven * vel).sum((-2, -1))
    if system.response is None or system.response.kinetic is not None:
        return lost
    force = net_force(system, pos, vel, properties, t)
    change = state.properties["mass"][..., None] * acceleration(system, pos, vel, properties, t)
    return lost + ((force - change) * vel).sum((-2, -1))


def energy_terms(system: System, pos, vel, properties: dict):
    """Kinetic ``[..., particle]``, pair ``[..., pair]`` and outside-field ``[..., particle]`` energies."""
    state = state_of(pos, vel, properties)
    square = (state.vel * state.vel).sum(axis=-1)
    kinetic = kinetic_energy(system, square, state.properties["mass"], state.properties)
    pairs = _pairs(system, state.pos, state.vel, state.properties, 0.0)[1]
    return kinetic, pair_potential(system, pairs.r, pairs.ends), outside_energy(system, state)


def outside_energy(system: System, state: State):
    """Energy of each particle [..., particle] in the fields that have one."""
    out = state.xp.zeros(state.vel.shape[:-1])
    for acting in system.of_nodes:
        energy = acting.energy(state, system.properties)
        out = out if energy is None else out + energy
    return out


def kinetic_energy(system: System, square, mass, properties: dict, xp=np):
    """Of particles with squared speeds ``square``, an array of the shape of ``mass``."""
    if system.response is None or system.response.kinetic is None:
        return 0.5 * mass * square
    return system.response.value("kinetic", {"v": xp.sqrt(square)}, receiver_variables(properties), xp)


def energy(system: System, pos, vel, properties: dict) -> np.ndarray:
    """Kinetic plus potential energy ``[...]``, shapes as in ``net_force``."""
    return sum(term.sum(axis=-1) for term in energy_terms(system, pos, vel, properties))
