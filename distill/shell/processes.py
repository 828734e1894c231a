"""Signals that ask a stage to end, and child processes that end with it."""

import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

from distill.shell.errors import UserError
from distill.shell.paths import relative

# Ctrl-C; what batch systems send before they kill; what a closed terminal sends
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SOON = 0.05  # seconds until a signal is sent again
ATTEMPTS = 100  # at a folder that others take away
LOCK = ".lock"  # end of the name of a folder that is there while a file is made
# a new process imports the script it was started from, and would run its calls again
GUARD = "in a script of your own, call distill below 'if __name__ == \"__main__\":'"


@contextlib.contextmanager
def on_ending(handler, after=None) -> Iterator[None]:
    """Call ``handler(number, frame)`` at a signal of ``ENDING``, but for those that are ignored, as below nohup.

    ``after``: what handles them then; None: what did before.
    """
    former = {}
    if threading.current_thread() is threading.main_thread():  # no other can set handlers
        former = {number: signal.getsignal(number) for number in ENDING}
        former = {k: v for k, v in former.items() if v not in (signal.SIG_IGN, None)}
    for number in former:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in former.items():
            signal.signal(number, handler_before if after is None else after)


@contextlib.contextmanager
def not_lost() -> Iterator[None]:
    """A ``KeyboardInterrupt`` that is raised where nobody can catch it, as while memory is tidied up, comes again.

    Python prints exceptions of callbacks and destructors and goes on: the process would not end.
    """
    former = sys.unraisablehook

    def again(unraisable) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            handled = (number for number in ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None))
            threading.Timer(SOON, os.kill, (os.getpid(), next(handled, signal.SIGTERM))).start()
        else:
            former(unraisable)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = former


@contextlib.contextmanager
def alone(folder: Path, what: Path | None = None, passing: bool = False) -> Iterator[None]:
    """Keep other processes from the block with the same ``folder``; ``UserError`` where one is in it, at work on
    ``what`` (the folder). Folders that are made for it and stay empty go again; one that is ``passing`` goes also where
    a process that was killed has left it.

    The system forgets a lock when its process ends, however that was, and a file system that knows none has none.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists() or (passing and path == folder)]
    handle = _locked(folder, what or folder)
    try:
        yield
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def alone_making(file: Path) -> Iterator[None]:
    """``alone`` for a block that makes ``file``, by a folder beside it that is there as long."""
    place = file.with_name(f".{file.name}{LOCK}")
    with alone(place, file, passing=True):
        yield


def _locked(folder: Path, what: Path) -> int | None:
    """The open ``folder``, which no other process has locked now; None where nothing can be made or locked."""
    for _ in range(ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # whoever was in the block has taken the folder away
        except OSError:
            return None  # where results are there they can be found; where not, writing them will tell
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                return handle
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(handle)
            fix = "wait for it to end, or end it, then run the same command again"
            raise UserError(f"another process is at work in {relative(what)}", fix) from None
        except OSError:
            return handle
        os.close(handle)
    return None


def follow_parent() -> None:
    """In a child process: leave Ctrl-C to the parent, and end when it does, however that was."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes, which are ended if the block is left by an exception."""
    before = set(active_children())
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=follow_parent) as pool:
        try:
            yield pool
        except BaseException:
            for child in set(active_children()) - before:
                child.kill()  # on SIGTERM Julia writes pages
            raise
