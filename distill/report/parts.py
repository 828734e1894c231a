"""What extensions add to the report and to the lines on the terminal, each empty for runs that are none of theirs.

A module of the role "report" defines ``law_parts(m)``, which gives HTML from the ``Material`` of a run, ``trust(m)``,
pairs of a label and a sentence on how far the law can be trusted, ``simulation_rows(m)`` for the table of what was
simulated, ``lines(law, result)`` for the terminal, and, of rollouts, dicts whose "kind" is its ``KIND``,
``rollouts(r)``, which gives HTML, and ``draw_rollouts(axes, r)``, which fills two panels.
"""

from distill.shell import extensions


def added(name: str, *arguments) -> list:
    """What the function ``name`` of every extension gives, one after the other."""
    return [item for module in extensions.modules("report") for item in getattr(module, name)(*arguments)]


def of_rollouts(rollouts):
    """The extension's module whose rollouts these are, or None for the core's (``kinds.Rollouts``, ``Skipped``)."""
    kind = rollouts["kind"] if isinstance(rollouts, dict) else None
    return next((m for m in extensions.modules("report") if m.KIND == kind), None)
