"""What a network may send in place of the pair force: it sees the receiver's properties beside the sum of messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from distill.files.properties import USUAL, property_named


@dataclass(frozen=True)
class Gauge:
    """T = F times ``power`` (1 or -1; 0: nothing) of the receiver's property ``of``."""

    name: str
    of: str | None = None
    power: int = 0

    @property
    def symbol(self) -> str:
        """In figures: ``F``, ``F/m``, ``qF``."""
        if self.of is None:
            return "F"
        letter = property_named(self.of).symbol
        return f"F/{letter}" if self.power < 0 else f"{letter}F"

    @property
    def label(self) -> str:
        """In tables: ``F (pair force)``, ``F / m_i``, ``q_i F``."""
        if self.of is None:
            return "F (pair force)"
        own = property_named(self.of).variables[0]
        return f"F / {own}" if self.power < 0 else f"{own} F"

    def from_force(self, force, properties: Mapping) -> np.ndarray:
        """T [row, ...] from F, or T/a from m."""
        return self._times(force, properties, self.power)

    def to_force(self, target, properties: Mapping) -> np.ndarray:
        """F from T [row, ...]; 0 where T says nothing of it."""
        return self._times(target, properties, -self.power)

    def _times(self, values, properties, power):
        if not power:
            return values
        scale = properties[self.of].reshape(-1, *[1] * (values.ndim - 1))
        return values * scale if power > 0 else values / np.where(scale == 0, np.inf, scale)

    def told_apart(self, properties: Mapping) -> bool:
        """Whether T is more than F times one number: the property must differ among the rows."""
        return self.of is None or np.ptp(properties[self.of]) > 0


FORCE, ACCELERATION = Gauge("force"), Gauge("acceleration", "mass", -1)


def gauges(properties: Iterable[str] = USUAL) -> dict[str, Gauge]:
    """By name: F, F/m_i, and p_i F for every other property p."""
    names = (FORCE.name, ACCELERATION.name, *(f"{name}_force" for name in properties if name != "mass"))
    return {name: gauge_named(name) for name in names}


def gauge_named(name: str) -> Gauge:
    known = {g.name: g for g in (FORCE, ACCELERATION)}
    return known.get(name) or Gauge(name, name.removesuffix("_force"), 1)
