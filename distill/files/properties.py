"""Properties of particles by name: mass, charge, and any further column of a dataset.

One definition for all stages. A property is an array ``[trajectory, particle]`` of a dataset; it enters the network
as one more input, stands in a messages file as ``<name>_i`` and ``<name>_j`` (receiver and sender), and is a
variable of formulas as ``<symbol>_i`` and ``<symbol>_j``. Adding a column to a dataset is all it takes; an entry of
``KNOWN`` gives it a shorter symbol, a sign or a default.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Property:
    """``symbol``: its letter in formulas. ``positive``: masses are, and then powers of it merge. ``default``: its
    value where a dataset does not have it (None: nothing, it is then no property of these particles).
    """

    name: str
    symbol: str
    positive: bool = False
    default: float | None = None

    @property
    def variables(self) -> tuple[str, str]:
        """Names in formulas: of the receiver's and of the sender's."""
        return f"{self.symbol}_i", f"{self.symbol}_j"

    @property
    def fields(self) -> tuple[str, str]:
        """Names in a messages file: of the receiver's and of the sender's."""
        return f"{self.name}_i", f"{self.name}_j"


KNOWN = {p.name: p for p in (Property("mass", "m", positive=True), Property("charge", "q", default=0.0))}


def property_named(name: str) -> Property:
    """The property of that name; one that is not ``KNOWN`` has its own name as symbol."""
    return KNOWN.get(name) or Property(name, name)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of formulas: mass, charge, then any others by alphabet."""
    names = set(names)
    return (*(name for name in KNOWN if name in names), *sorted(names - set(KNOWN)))


def variables(names: Iterable[str] = tuple(KNOWN)) -> tuple[str, ...]:
    """The variables of a pair law, ``r`` first: ``("r", "m_i", "m_j", "q_i", "q_j")`` for mass and charge."""
    return ("r", *(v for name in ordered(names) for v in property_named(name).variables))


def message_fields(names: Iterable[str] = tuple(KNOWN)) -> dict[str, str]:
    """Variable of a pair law -> its name in a messages file, in the order of ``variables``."""
    out = {"r": "r"}
    for name in ordered(names):
        out |= dict(zip(property_named(name).variables, property_named(name).fields, strict=True))
    return out
