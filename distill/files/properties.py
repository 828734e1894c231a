"""Properties of particles by name: mass, charge, and any further column of a dataset.

One definition for all stages. A property is an array ``[trajectory, particle]`` of a dataset; it enters the network
as one more input, stands in a messages file as ``<name>_i`` and ``<name>_j`` (receiver and sender), and is a
variable of formulas as ``<symbol>_i`` and ``<symbol>_j``. Adding a column to a dataset is all it takes; an entry of
``KNOWN`` gives it a shorter symbol, a sign or a default.

A category, such as the species of a particle, is no number. A dataset holds it as whole numbers with the names of the
levels that they stand for; to all that computes it is as many properties as it has levels, its ``indicator``s
``<category>__<level>``, which are 1 for particles of that level and 0 for others.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
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
USUAL = tuple(KNOWN)
# names and symbols of the known, and what formulas and messages call something else
TAKEN = {*KNOWN, *(p.symbol for p in KNOWN.values())} | set("r x y z dx dy dz vx vy vz vel acc acc_pred".split())
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}", re.ASCII)
OF_LEVEL = "__"  # between a category and one of its levels
LONGEST = 12  # letters of a level's name in formulas
MOST_LEVELS = 20  # of a category


def usable(name: str) -> bool:
    """Whether a further column may bear that name: letters, digits and _, and nothing in formulas has it. An indicator
    may if its category may.
    """
    own = category_of(name)
    level = own is None or bool(re.fullmatch(rf"[A-Za-z0-9_]{{1,{LONGEST}}}", level_of(name), re.ASCII))
    return bool(_NAME.fullmatch(own or name)) and (own or name) not in TAKEN and level


def property_named(name: str) -> Property:
    """The property of that name; one that is not ``KNOWN`` has its own name as symbol."""
    return KNOWN.get(name) or Property(name, name)


def with_symbol(symbol: str) -> Property:
    """The property that formulas know by that symbol."""
    return next((p for p in KNOWN.values() if p.symbol == symbol), None) or Property(symbol, symbol)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of formulas: mass, charge, then any others by alphabet."""
    names = set(names)
    return (*(name for name in KNOWN if name in names), *sorted(names - set(KNOWN)))


def variables(names: Iterable[str] = USUAL) -> tuple[str, ...]:
    """The variables of a pair law, ``r`` first: ``("r", "m_i", "m_j", "q_i", "q_j")`` for mass and charge."""
    return ("r", *(v for name in ordered(names) for v in property_named(name).variables))


VARIABLES = variables()


def message_fields(names: Iterable[str] = USUAL) -> dict[str, str]:
    """Variable of a pair law -> its name in a messages file, in the order of ``variables``."""
    out = {"r": "r"}
    for name in ordered(names):
        out |= dict(zip(property_named(name).variables, property_named(name).fields, strict=True))
    return out


def in_messages(messages: Mapping) -> tuple[str, ...]:
    """Names of the properties that the arrays of a messages file hold, ``ordered``."""
    both = {k[:-2] for k in messages if k.endswith("_i")} & {k[:-2] for k in messages if k.endswith("_j")}
    return ordered(name for name in both if messages[f"{name}_i"].ndim == 1)


def of_edges(messages: Mapping, pick=slice(None)) -> dict:
    """Variable of a pair law -> its values on the edges ``pick`` of a messages file, in 64 bits."""
    return {v: messages[k][pick].astype(float) for v, k in message_fields(in_messages(messages)).items()}


def of_receivers(messages: Mapping, pick=slice(None)) -> dict:
    """Name -> the receiver's value on the edges ``pick`` of a messages file, in 64 bits."""
    return {name: messages[f"{name}_i"][pick].astype(float) for name in in_messages(messages)}


def of_pairs(receivers: Mapping, senders: Mapping) -> dict:
    """Variable of a pair law (``r`` apart) -> its values, from those of both ends by name of the property."""
    out: dict = {}
    for name in receivers:
        own, other = property_named(name).variables
        out |= {own: receivers[name], other: senders[name]}
    return out


def at(properties: Mapping, index) -> dict:
    """``properties`` (name -> [..., particle]) of the particles ``index``."""
    return {name: value[..., index] for name, value in properties.items()}


# ---------------------------------------------------------------- categories


def indicator(category: str, level: str) -> str:
    """The property that is 1 where the ``category`` has that ``level``, and else 0."""
    return f"{category}{OF_LEVEL}{level}"


def category_of(name: str) -> str | None:
    """The category whose indicator the property ``name`` is; None for a number."""
    category, _, level = name.partition(OF_LEVEL)
    return category if category and level else None


def level_of(name: str) -> str:
    """The level that an indicator stands for."""
    return name.partition(OF_LEVEL)[2]


def categories(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Category -> its indicators among the properties ``names``, in their order."""
    out: dict[str, tuple[str, ...]] = {}
    for name in names:
        if (category := category_of(name)) is not None:
            out[category] = (*out.get(category, ()), name)
    return out


def numerical(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the properties that are no indicators."""
    return tuple(name for name in names if category_of(name) is None)


def level_names(labels: Sequence) -> tuple[str, ...]:
    """Names of levels as formulas can hold them, all different: letters, digits and single _."""
    out: list[str] = []
    for one in labels:
        bare = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]+", "_", str(one))).strip("_")[:LONGEST].strip("_") or "other"
        name, number = bare, 1
        while name in out:
            number += 1
            name = f"{bare[: LONGEST - 3]}_{number}"
        out.append(name)
    return tuple(out)


def by_levels(category: str, functions: Mapping) -> str:
    """The text of a pair function from that of every pair of levels, (receiver's, sender's) -> text; of a pair that is
    not there in either order the function is zero, and one order stands for both where the other is not there.
    """
    both = {(b, a): text for (a, b), text in functions.items()} | dict(functions)
    ends = {(a, b): (f"{indicator(category, a)}_i", f"{indicator(category, b)}_j") for a, b in both}
    return " + ".join(f"{i}*{j}*({both[pair]})" for pair, (i, j) in sorted(ends.items()))
