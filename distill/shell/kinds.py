"""Stages that can do their work in several ways: each way has flags and defaults of its own.

A flag of another kind is a usage error that names those of this one, rather than being ignored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from distill.shell.errors import UsageError
from distill.shell.flags import Parser


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way. Flags are named as attributes are: ``n_frames``."""

    name: str  # as messages call it
    defaults: dict  # flag -> default; None: found out from the others, or done without
    quick: dict = field(default_factory=dict)  # flag -> its most with --quick
    add_flags: Callable[[Parser], None] | None = None  # those it alone has, None unless given

    def words(self, names: Sequence[str] | None = None) -> str:
        """Its flags, or those among ``names``, with their defaults, as the user types them."""
        shown = {k: v for k, v in self.defaults.items() if v is not None and (names is None or k in names)}
        return " ".join(f"{spelt(name)} {value}" for name, value in shown.items())


def spelt(name: str) -> str:
    return "--" + name.replace("_", "-")


def resolve(kind: Kind, kinds: Sequence[Kind], given: dict, quick: bool) -> dict:
    """All flags of ``kind``, one of ``kinds``, from those ``given`` (None: not given) and its defaults.

    ``UsageError`` for a flag of another kind; ``TypeError`` for one that no kind has.
    """
    if unknown := [name for name in given if not any(name in k.defaults for k in kinds)]:
        raise TypeError(f"unexpected keyword argument '{unknown[0]}'")
    given = {name: value for name, value in given.items() if value is not None}
    for name in given.keys() - kind.defaults.keys():
        theirs = " and ".join(k.name for k in kinds if name in k.defaults)
        own = " ".join(spelt(name) for name in kind.defaults if not all(name in k.defaults for k in kinds))
        raise UsageError(f"argument {spelt(name)}: only with {theirs}; {kind.name}: {own or 'none of its own'}")
    flags = kind.defaults | given
    return flags | ({name: min(flags[name], most) for name, most in kind.quick.items()} if quick else {})
