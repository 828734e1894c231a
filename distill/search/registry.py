"""The words of a search: its engines, targets, losses and sources of the pair force.

Adding an engine: its module, and a line in ``ENGINES``.
An engine is a module with an ``ENGINE`` (``distill.search.engine.Engine``). It is imported when it is asked for,
so that a command line knows the words before any numerical library is loaded.
"""

import importlib

from distill.shell.errors import UserError, near_miss

# "auto" takes the first that can run here
ENGINES = {"pysr": "distill.search.pysr.engine", "operon": "distill.search.operon"}
GIVEN = {"file": "distill.search.given"}  # none that searches: it gives the formulas of a file

ENERGIES = ("potential", "kinetic")  # targets of messages that are energies
TARGETS = ("radial", "components", "shared", "node", *ENERGIES)  # see ``distill.search.targets``
DEFAULT_TARGETS = ("radial", "components", "node")
OF_ENERGIES = ("radial", *ENERGIES)  # where messages are energies
LOSSES = ("relative", "mse")

# where the pair force comes from: see ``distill.law.sources``
MESSAGES, CONTROL, UNTRAINED, SPLINES = "messages", "control", "untrained", "splines"
BOTH = "both"
FORCE_FROM = (MESSAGES, SPLINES, BOTH)
RIVALS = (CONTROL, UNTRAINED, SPLINES)  # see ``distill.pipeline.rivals``
DEFAULT_RIVALS = (CONTROL,)


def load_engine(name: str):
    """The ``Engine`` of that name."""
    if name not in ENGINES | GIVEN:
        raise UserError(f"unknown engine '{name}'; choose {' or '.join(ENGINES)}{near_miss(name, ENGINES)}")
    return importlib.import_module((ENGINES | GIVEN)[name]).ENGINE


def resolve_engine(name: str = "auto", but: dict | None = None) -> tuple[str, str]:
    """(engine, reason in one line) for "auto" or an engine's name; ``UserError`` if it cannot run.

    ``but``: engines that are known not to start, and why.
    """
    if name != "auto":
        engine = load_engine(name)
        if problem := engine.problem():
            raise UserError(f"{engine.title} cannot run: {problem}", engine.remedy)
        return name, f"asked for; {engine.title} is ready"
    problems = []
    for engine in map(load_engine, ENGINES):
        problem = (but or {}).get(engine.name) or engine.problem()
        if not problem:
            return engine.name, "; ".join(problems) or f"{engine.title} is ready"
        problems.append(f"{engine.title} cannot run ({problem})")
    raise UserError("; ".join(problems), "install one: make pysr")
