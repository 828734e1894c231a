"""Force laws of interacting particles, distilled from graph neural networks.

The six stages as calls, with the flags of the scripts as keywords; every one returns ``distill.shell.stage.Done``,
``train`` and ``extract_messages`` a list of them:

    import distill

    if __name__ == "__main__":  # some stages start processes, which import your script
        distill.simulate(system="r2", n=4, seed=0)
        distill.train("r2_n4_d2_s0", variant="l1", recipe="newton")
        distill.extract_messages("r2_n4_d2_s0__l1-newton__s0")
        distill.fit_linear("r2_n4_d2_s0__l1-newton__s0")
        distill.search_law("r2_n4_d2_s0__l1-newton__s0")
        distill.compare("r2_n4_d2_s0__l1-newton__s0")

A stage is imported when it is first asked for: importing ``distill`` costs nothing, and threads can still be set.
"""

import importlib
import os
import sys

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


def __getattr__(name: str):
    if name not in STAGES:
        raise AttributeError(f"module 'distill' has no attribute {name!r}")
    return getattr(importlib.import_module(f"distill.pipeline.{name}"), name)


def __dir__():
    return sorted([*globals(), *STAGES])


def _interrupted(kind, value, trace) -> None:
    """Ctrl-C while a script is still importing, before ``shell.stage.run_script`` can take it: one line."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, value, trace)
        return
    print("\ninterrupted before it began", file=sys.stderr, flush=True)


_started = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0].endswith(".py") else ""
if os.path.dirname(_started) == os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    sys.excepthook = _interrupted  # of the scripts beside this folder, not of a program that uses it
