"""Signals that ask a stage to end, and child processes that end with it."""

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

from distill.shell.errors import UserError
from distill.shell.paths import relative

# Ctrl-C; what batch systems send before they kill; what a closed terminal sends
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# a new process imports the script it was started from, and would run its calls again
GUARD = "in a script of your own, call distill below 'if __name__ == \"__main__\":'"


@contextlib.contextmanager
def on_ending(handler) -> Iterator[None]:
    """Call ``handler(number, frame)`` at a signal of ``ENDING``, but for those that are ignored, as below nohup."""
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
            signal.signal(number, handler_before)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from the block with the same ``folder``; ``UserError`` where one is in it. A folder that is
    made for it and stays empty goes again.

    The system forgets a lock when its process ends, however that was, and a file system that knows none has none.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = f"another process is at work in {relative(folder)}"
            raise UserError(found, "wait for it to end, or end it, then run the same command again") from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


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
