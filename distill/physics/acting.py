"""A term as it acts in a system: what multiplies its vector, as text, number or function, and its potential if any."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from distill.physics.terms import TERMS, About, Given, State
from distill.physics.terms.arrays import import_jax
from distill.physics.terms.state import AXES, DISTANCE, TIME
from distill.physics.terms.values import evaluated, is_constant, is_number, names_in


@dataclass(frozen=True)
class Acting:
    """The term ``term`` of ``physics.terms`` with ``value``: a number, the text of a formula, a ``Given`` function, or
    a tuple of these, component by component (those that are missing are 0).

    ``potential``, of a term that belongs to one particle: text of its energy U(x, y, z, m_i, ...), or U(s, ...) of a
    term about a ``centre``, or a ``Given``; the force is minus its gradient, stated (``value``) or found from it.
    Without a potential, what the force does to the energy is kept account of.
    """

    term: str
    value: object = None
    centre: tuple[float, ...] | None = None
    potential: str | Given | None = None

    @property
    def of_pair(self) -> bool:
        return TERMS[self.term].of_pair

    def read(self, properties: tuple[str, ...]):
        """The value as laws have it: numbers, formulas of particles with these ``properties``, ``Given``, ``About``;
        None where only autodiff of the potential says the force.
        """
        return _read(self, properties)

    def conserves(self, properties) -> bool:
        """Whether it has an energy, or does no work at all."""
        return not self.of_pair and (TERMS[self.term].work == "none" or self._energy(properties) is not None)

    def in_time(self, properties) -> bool:
        value, potential = self.read(properties), self._potential(properties)
        return TIME in names_in(() if value is None else value) or TIME in names_in(
            () if potential is None else potential
        )

    def force(self, state: State, properties):
        """On particles [..., particle, dim]."""
        value = self.read(properties)
        return self.by_autodiff(state, properties) if value is None else TERMS[self.term].force(value, state)

    def by_autodiff(self, state: State, properties):
        """Minus the gradient of the potential; an array of numpy where ``state`` is of such."""
        jax = import_jax()
        there = jax.tree_util.tree_map(jax.numpy.asarray, (state.vel, state.properties, state.pos, state.t))

        def total(pos):
            vel, own, _, t = there
            return -self.energy(State(vel, own, pos, t), properties).sum()

        found = jax.grad(total)(there[2])
        return np.asarray(found) if state.xp is np else found

    def _potential(self, properties):
        return _read(replace(self, value=self.potential, potential=None), properties) if self.potential else None

    def _energy(self, properties):
        """``energy`` as a function of the state alone; None: there is none."""
        if self.of_pair or self.in_time(properties):
            return None
        if self.potential is not None:
            potential = self._potential(properties)
            part = potential.strength if isinstance(potential, About) else potential
            return lambda state: evaluated(part, lambda name: state.variable(name, self.centre or ()), state.xp)
        value = self.read(properties)
        if is_constant(value) and TERMS[self.term].work == "potential":
            return lambda state: TERMS[self.term].potential(value, state)
        return None

    def energy(self, state: State, properties):
        """Of each particle [..., particle]; None where there is none."""
        energy = self._energy(properties)
        return None if energy is None else energy(state) + 0.0 * state.vel[..., 0]

    def text(self, properties) -> str:
        """With its sign, as it stands in a sum of forces."""
        value = self.read(properties)
        if value is None:
            return f"- grad U({', '.join(self.potential.names)})"
        return TERMS[self.term].text(value)

    def described(self) -> dict:
        """JSON-ready, functions of a user's file by their arguments only."""

        def told(part):
            if isinstance(part, tuple):
                return [told(p) for p in part]
            return f"a function of {', '.join(part.names)}" if isinstance(part, Given) else part

        return {
            "term": self.term,
            "value": told(self.value),
            "centre": None if self.centre is None else list(self.centre),
            "potential": told(self.potential),
        }


@functools.lru_cache(maxsize=512)
def _read(acting: Acting, properties: tuple[str, ...]):
    term = TERMS[acting.term]
    known = term.variables(properties) if term.of_pair else term.variables(properties, len(AXES))
    if acting.value is None:
        if not isinstance(acting.potential, str):
            return None
        value = _gradient(acting, _parsed(acting.potential, known))
    elif isinstance(acting.value, tuple):
        value = tuple(_parsed(part, known) for part in acting.value)
        value = np.array(value, float) if all(map(is_number, value)) else value
    else:
        value = _parsed(acting.value, known)
    return value if acting.centre is None else About(tuple(map(float, acting.centre)), value)


def _parsed(part, known):
    from distill.formulas.text import parse

    return parse(part, known) if isinstance(part, str) else part


def _gradient(acting, potential):
    """Minus the derivatives of a formula, along the distance from the centre or along all axes."""
    import sympy as sp

    by_name = {symbol.name: symbol for symbol in potential.free_symbols}
    if acting.centre is not None:
        return -sp.diff(potential, by_name[DISTANCE]) if DISTANCE in by_name else 0.0
    return tuple(-sp.diff(potential, by_name[axis]) if axis in by_name else 0.0 for axis in AXES)
