"""Run a script that something happens to at steps on the disk: ``under.py PLACE STEPS SCRIPT FLAGS...``.

Steps are what a process does to the files below the working directory: a file or folder made, a part of it written and
written through to the disk, renamed, removed. ``STEPS``, a JSON object, says before which something happens, "all" or
a list of numbers from 1 for each of

- KILL: what is on the disk is kept, as ``PLACE/KILL 7``. SIGKILL changes no file: so a process killed there leaves it.
- TERM, INT, HUP: a child, forked there, gets the signal and goes on from that step.
- full: to such a child the disk is full from that step on.

What a child leaves is kept as ``PLACE/full 7``, what it says as ``PLACE/full 7.said`` and its exit code as ``.code``;
then all is put back, and the script goes on. ``PLACE/steps`` has a line a step. Files are only ever renamed into
place, so links keep them.
"""

import errno
import io
import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
import weakref
from pathlib import Path

BY_NAME = ((os, "replace"), (os, "unlink"), (os, "mkdir"), (os, "rmdir"))
NEEDS_ROOM = ("mkdir", "mkstemp", "write", "flush", "fsync")
SECONDS = 60  # that a child may take


class Steps:
    """Counts the steps of this process, and does at them what is asked."""

    def __init__(self, place: Path, asked: dict):
        self.place, self.asked = place, {how: steps if steps == "all" else set(steps) for how, steps in asked.items()}
        self.own, self.seen, self.busy, self.became = os.getpid(), 0, False, ""
        self.folder, self.files = os.path.realpath(os.getcwd()), weakref.WeakSet()

    def at(self, name: str, path=None) -> None:
        """Before step ``name`` on ``path`` (None: a file that is open)."""
        inside = path is None or os.path.realpath(path).startswith(self.folder + os.sep)
        if self.busy or not inside or os.getpid() != self.own:
            return
        self.seen, self.busy = self.seen + 1, True
        try:
            if not self.became:
                with open(self.place / "steps", "a") as file:
                    file.write(f"{name}\n")
                for how, steps in self.asked.items():
                    if (steps == "all" or self.seen in steps) and not self.became:
                        self._happens(how)
        finally:
            self.busy = False
        if self.became == "full" and name in NEEDS_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _happens(self, how: str) -> None:
        kept = self.place / f"{how} {self.seen}"
        if how == "KILL":
            linked(self.folder, kept)
            return
        linked(self.folder, self.place / "as it was")
        numbers = [file.fileno() for file in self.files if not file.closed]
        writing = [(k, os.readlink(f"/proc/self/fd/{k}"), os.lseek(k, 0, os.SEEK_CUR)) for k in numbers]
        child = os.fork()
        if not child:
            self.own, self.became = os.getpid(), how
            os.dup2(os.open(f"{kept}.said", os.O_WRONLY | os.O_CREAT), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            signal.alarm(SECONDS)
            if how != "full":
                os.kill(self.own, getattr(signal, f"SIG{how}"))
            return
        _, status = os.waitpid(child, 0)
        Path(f"{kept}.code").write_text(str(os.waitstatus_to_exitcode(status)))
        os.rename(self.folder, kept)
        os.rename(self.place / "as it was", self.folder)
        os.chdir(self.folder)
        for number, path, at in writing:  # what the child wrote there is its own
            again = os.open(path, os.O_RDWR)
            os.lseek(again, at, os.SEEK_SET)
            os.dup2(again, number, inheritable=False)
            os.close(again)


def linked(folder, to: Path) -> None:
    """A copy of a folder whose files, but for those under way, are links to the same content."""
    to.mkdir()
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            linked(entry.path, to / entry.name)
        elif entry.name.endswith(".tmp"):
            shutil.copyfile(entry.path, to / entry.name)
        else:
            os.link(entry.path, to / entry.name, follow_symlinks=False)


def main() -> None:
    place, asked, script, *flags = sys.argv[1:]
    steps = Steps(Path(place).resolve(), json.loads(asked))

    class File(io.BufferedRandom):
        def __init__(self, raw):
            super().__init__(raw)
            steps.files.add(self)

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
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException as exc:
        if not steps.became:
            raise
        if not isinstance(exc, SystemExit):
            sys.excepthook(type(exc), exc, exc.__traceback__)
        sys.stdout.flush()
        os._exit(exc.code if isinstance(exc, SystemExit) else 1)  # threads of libraries did not come along


if __name__ == "__main__":
    main()
