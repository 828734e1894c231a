"""What every engine of symbolic regression has in common: its options, its interface, what it minimises."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from distill.formulas.functions import OPERATORS
from distill.formulas.objective import Objective
from distill.formulas.tree import is_charge
from distill.search.choice import NODE_PRICE
from distill.search.registry import LOSSES
from distill.shell.errors import UserError, near_miss
from distill.statistics.metrics import typical_size

USUAL = ("+", "-", "*", "/", "square", "exp")
EVALUATIONS = 150_000
HOW = ("threads", "output_directory", "progress", "resume", "node_price")  # these do not change what is searched


@dataclass(frozen=True)
class SearchOptions:
    """How to search. Every engine is given all of it and takes what it knows."""

    engine: str = "operon"
    loss: str = "mse"  # or "relative", see ``relative_weights``
    operators: tuple[str, ...] = USUAL  # of ``distill.formulas.functions``
    niterations: int = 100  # PySR
    max_complexity: int = 30  # nodes of a formula
    restarts: int = 8  # operon: at most
    evaluations: int = EVALUATIONS  # operon: of formulas in a restart, in every third twice as many
    # operon: at least; None: 3, fewer once a formula leaves nothing but noise (``noise.explained``), more while the
    # best explains little
    min_restarts: int | None = None
    seed: int = 0
    time_limit: float | None = None  # seconds
    threads: int = 1
    deterministic: bool = True  # PySR: on one thread, repeatable
    output_directory: str | Path | None = None  # PySR's own files; none stay without it
    progress: bool = True
    guesses: bool = True  # PySR starts from formulas of the embedded engine
    resume: bool = True  # PySR goes on from what an interrupted search left in ``output_directory``
    node_price: float = NODE_PRICE  # of the choice, see ``choice``
    formulas: tuple[str, ...] = ()  # engine "file": those that it gives, see ``given``

    def __post_init__(self):
        object.__setattr__(self, "operators", tuple(self.operators))
        if self.loss not in LOSSES:
            raise UserError(f"unknown loss '{self.loss}'; choose {' or '.join(LOSSES)}")
        for name in self.operators:
            if name not in OPERATORS:
                raise UserError(f"unknown operator '{name}' of the search{near_miss(name, OPERATORS)}")

    def identity(self) -> dict:
        """What makes two searches of the same data the same, JSON-ready."""
        unsaid = {"formulas": (), "evaluations": EVALUATIONS}  # younger than searches on disk, which had these
        kept = {k: v for k, v in asdict(self).items() if k not in HOW and not (k in unsaid and v == unsaid[k])}
        return kept | {k: list(kept[k]) for k in ("operators", "formulas") if k in kept}


@dataclass(frozen=True)
class Engine:
    """One engine: it proposes formulas; refits, held-out losses and the choice are common to all.

    ``problem()``: why it cannot run here, in a few words, or "". ``find(X, y, names, options)`` with ``X`` [row,
    feature] and ``y`` [row]: (formulas for y, how they were found, JSON-ready but for "forms", sets of the forms that
    each of several restarts met). ``find_shared(Y, unit, X, names, mixing, options)``: the same for f of
    Y = A (u f(X)) + b; an engine without it is given f [row] as ``mixing`` reads it from Y. Raise ``CannotStartError``
    where it turns out only then that it cannot run.
    """

    name: str
    title: str  # as its makers write it
    remedy: str  # what to do where it cannot run
    operators: tuple[str, ...]
    problem: Callable[[], str]
    find: Callable
    find_shared: Callable | None = None
    versions: Callable[[], dict] = dict  # of what it runs on, for provenance
    own_threads: bool = False  # it uses ``threads`` itself unless ``deterministic``; else targets run side by side

    def check(self, options: SearchOptions) -> None:
        """``UserError`` for operators that it does not know, if it has any to search with."""
        for name in options.operators if self.operators else ():
            if name not in self.operators:
                raise UserError(f"engine {self.name} has no operator '{name}'{near_miss(name, self.operators)}")


class CannotStartError(UserError):
    """An engine that seemed ready cannot be started."""


def relative_weights(y, typical: float | None = None) -> np.ndarray:
    """1 / (c + \\|y\\|) with c = 0.3 x the typical \\|y\\|: large values count by their relative error."""
    return 1 / (0.3 * (typical_size(y) if typical is None else typical) + np.abs(y))


def objective_for(X, y, names, loss: str, typical: float | None = None) -> Objective:
    """The search's objective; ``typical`` size of y where that of the rows given is not the one to take."""
    return Objective.direct(X, y, names, relative_weights(y, typical) if loss == "relative" else None, metric=loss)


def unit_charges(X, names) -> bool:
    """True if there are charges and all are +1 or -1: then q_i / q_j is q_i q_j."""
    charges = [k for k, name in enumerate(names) if is_charge(name)]
    return bool(charges) and bool((np.abs(X[:, charges]) == 1).all())


def cpu_seconds() -> float:
    """CPU seconds of this process and of those it has started and waited for."""
    return sum(os.times()[:4])
