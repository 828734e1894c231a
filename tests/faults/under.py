"""Run a script that something happens to at a step on the disk: ``under.py HOW STEP PLACE SCRIPT FLAGS...``.

Steps are what a process does to the files below the working directory: a file or folder made, a part of it written and
written through to the disk, renamed, removed. ``HOW``, before step ``STEP``:

- watch: every step leaves a copy of the working directory in the folder ``PLACE``, named by its number, beside the file
  ``steps`` with one line a step. SIGKILL changes no file, so a copy is what a process killed at that step leaves.
- full: the disk is full from then on.
- KILL, TERM, INT, HUP: the process gets that signal.
"""

import errno
import io
import os
import runpy
import shutil
import signal
import sys
import tempfile
from pathlib import Path

BY_NAME = ((os, "replace"), (os, "unlink"), (os, "mkdir"), (os, "rmdir"))
NEEDS_ROOM = ("mkdir", "mkstemp", "write", "flush", "fsync")


class Steps:
    """Counts the steps of this process, and does at one of them what is asked."""

    def __init__(self, how: str, step: int, place: Path):
        self.how, self.step, self.place = how, step, place
        self.own, self.seen, self.busy = os.getpid(), 0, False
        self.folder = os.path.realpath(os.getcwd()) + os.sep

    def at(self, name: str, path=None) -> None:
        """Before step ``name`` on ``path`` (None: a file that is open)."""
        inside = path is None or os.path.realpath(path).startswith(self.folder)
        if self.busy or not inside or os.getpid() != self.own:
            return
        self.seen, self.busy = self.seen + 1, True
        try:
            self._happens(name)
        finally:
            self.busy = False

    def _happens(self, name: str) -> None:
        if self.how == "watch":
            with open(self.place / "steps", "a") as file:
                file.write(f"{name}\n")
            shutil.copytree(self.folder, self.place / str(self.seen), symlinks=True)
        elif self.how == "full":
            if self.seen >= self.step and name in NEEDS_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        elif self.seen == self.step:
            os.kill(self.own, getattr(signal, f"SIG{self.how}"))


def main() -> None:
    how, step, place, script, *flags = sys.argv[1:]
    steps = Steps(how, int(step), Path(place))

    class File(io.BufferedRandom):
        def write(self, data):
            steps.at("write")
            return super().write(data)

        def flush(self):
            if not self.closed:
                steps.at("flush")
            super().flush()

    def stepping(function, name, path_of):
        def called(*given, **named):
            steps.at(name, path_of(*given, **named))
            return function(*given, **named)

        return called

    for module, name in BY_NAME:
        setattr(module, name, stepping(getattr(module, name), name, lambda path, *_, **__: path))
    os.fsync = stepping(os.fsync, "fsync", lambda file: None)
    tempfile.mkstemp = stepping(tempfile.mkstemp, "mkstemp", lambda *_, dir=None, **__: dir or tempfile.gettempdir())
    opened = os.fdopen
    os.fdopen = lambda file, mode="r", *more, **named: (
        File(io.FileIO(file, "w+b")) if mode == "w+b" and not steps.busy else opened(file, mode, *more, **named)
    )
    sys.argv = [script, *flags]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
