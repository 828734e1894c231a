"""Force laws of interacting particles, distilled from graph neural networks.

The stages as calls, with the flags of the scripts as keywords; each returns what it has made, ``train`` and
``extract_messages`` a list. What was made tells its numbers, draws itself (``plot``), shows itself in a notebook, and
is taken by the next stage in place of its name (docs/api.md):

    import distill

    if __name__ == "__main__":  # some stages start processes, which import your script
        data = distill.simulate(system="r2", n=4, seed=0)
        (run,) = distill.train(data, variant="l1", recipe="newton")
        train, test = distill.extract_messages(run)
        fit = distill.fit_linear(run)
        law = distill.search_law(run)
        comparison = distill.compare(run)

What was made before is loaded by name: ``load_dataset``, ``load_run``, ``load_messages``, ``load_fit``, ``load_law``,
``load_comparison``. What a user can put right raises ``UserError``.

A stage is imported when it is first asked for: importing ``distill`` costs nothing, and threads can still be set.
"""

import importlib
import os
import sys
from operator import attrgetter

STAGES = (
    "simulate",
    "import_tracks",
    "learn_properties",
    "look",
    "train",
    "extract_messages",
    "fit_linear",
    "search_law",
    "compare",
)
# name -> its module and where it is in that
PUBLIC = {name: (f"distill.pipeline.{name}", name) for name in STAGES}
PUBLIC |= {
    "load_dataset": ("distill.results.datasets", "DatasetResult.load"),
    "load_run": ("distill.results.runs", "RunResult.load"),
    "load_messages": ("distill.results.messages", "MessagesResult.load"),
    "load_fit": ("distill.results.fits", "FitResult.load"),
    "load_law": ("distill.results.laws", "LawResult.load"),
    "load_comparison": ("distill.results.comparisons", "ComparisonResult.load"),
    "UserError": ("distill.shell.errors", "UserError"),
}


def __getattr__(name: str):
    if name not in PUBLIC:
        raise AttributeError(f"module 'distill' has no attribute {name!r}")
    module, place = PUBLIC[name]
    return attrgetter(place)(importlib.import_module(module))


def __dir__():
    return sorted([*globals(), *PUBLIC])


def _interrupted(kind, value, trace) -> None:
    """Ctrl-C while a script is still importing, before ``shell.stage.run_script`` can take it: one line."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, value, trace)
        return
    print("\ninterrupted before it began", file=sys.stderr, flush=True)


_started = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0].endswith(".py") else ""
if os.path.dirname(_started) == os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    sys.excepthook = _interrupted  # of the scripts beside this folder, not of a program that uses it
