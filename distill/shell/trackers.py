"""Where the numbers of a training are logged while it goes on: trackers with the interface of Weights & Biases.

A tracker is a package of its own, imported when it is asked for. What it does, or fails to do, changes no training.
"""

import contextlib
import contextvars
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.shell.errors import UserError
from distill.shell.stage import warn

PROJECT = "force-law-distillation"


@dataclass(frozen=True)
class Tracker:
    """A package with ``init(project=, name=, config=)``, which opens a run; a run has ``log(numbers, step=)`` and
    ``finish()``. ``options``: further ones of ``init``, so that several runs can be open; ``failed``: of ``finish``, of
    a run that did not come to its end. ``install`` gets the package, ``fix`` helps where a run cannot be opened.
    """

    flag: str
    package: str
    install: str
    fix: str
    options: Mapping[str, Any] = field(default_factory=dict)
    failed: Mapping[str, Any] = field(default_factory=dict)

    def module(self):
        """The package; ``UserError`` where it is not installed."""
        try:
            return importlib.import_module(self.package)
        except ImportError:
            raise UserError(f"--{self.flag} needs the package {self.package}", self.install) from None

    def open(self, name: str, config: dict):
        """A run of that name; ``UserError`` where the package cannot open one."""
        module = self.module()
        # what packages say goes where progress is told: a stage ends in one line of its own on stdout. A context of its
        # own, for a tracker may know one current run and end it when the next is opened
        with contextlib.redirect_stdout(sys.stderr):
            try:
                asked = {"project": PROJECT, "name": name, "config": config, **self.options}
                return contextvars.copy_context().run(lambda: module.init(**asked))
            except Exception as exc:  # of whatever kind the package has for no network, no account, no disk
                why = (str(exc).splitlines() or [type(exc).__name__])[0]
                raise UserError(f"--{self.flag}: {self.package} opens no run ({why})", self.fix) from None


TRACKERS = {
    tracker.flag: tracker
    for tracker in (
        Tracker(
            "wandb",
            "wandb",
            "pip install wandb",
            "log in (wandb login), set WANDB_MODE=offline, or leave --wandb out",
            {"reinit": "create_new"},
            {"exit_code": 1},
        ),
        Tracker(
            "track",
            "trackio",
            "pip install -r requirements-track.txt",
            "set TRACKIO_DIR to a folder that can be written, or leave --track out",
        ),
    )
}


def asked_for(flags: Mapping[str, bool]) -> list[Tracker]:
    """The trackers whose flag is set; ``UserError`` before any work is done where a package is missing."""
    found = [tracker for name, tracker in TRACKERS.items() if flags[name]]
    for tracker in found:
        tracker.module()
    return found


class Run:
    """One training in all trackers that are asked for; one that fails is told once and left out from then on."""

    def __init__(self, trackers: Sequence[Tracker], name: str, config: dict):
        self.name, self.open = name, []
        try:
            for tracker in trackers:
                self.open.append((tracker, tracker.open(name, config)))
        except BaseException:
            self.finish(False)
            raise

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._each(lambda tracker, run: run.log(dict(numbers), step=step))

    def finish(self, whole: bool) -> None:
        """``whole``: whether the training came to its end."""
        self._each(lambda tracker, run: run.finish(**({} if whole else tracker.failed)))
        self.open = []

    def _each(self, call) -> None:
        for entry in list(self.open):
            tracker, run = entry
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    call(tracker, run)
            except Exception as exc:
                self.open.remove(entry)
                why = (str(exc).splitlines() or [type(exc).__name__])[0]
                warn(f"--{tracker.flag}: {tracker.package} logs {self.name} no further ({why})")


@contextlib.contextmanager
def opened(trackers: Sequence[Tracker], configs: Mapping[str, dict]) -> Iterator[list[Run]]:
    """A run for each of the ``configs``, by name, all open at once, none where there are no trackers; finished when the
    block is left.
    """
    runs: list[Run] = []
    whole = False
    try:
        for name, config in configs.items() if trackers else ():
            runs.append(Run(trackers, name, config))
        yield runs
        whole = True
    finally:
        for run in runs:
            run.finish(whole)
