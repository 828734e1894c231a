"""Run a script that is stopped at one of its steps on the disk: ``under.py HOW STEP PLACE SCRIPT FLAGS...``.

Steps are the calls that change files: made, written through to the disk, renamed, removed. ``HOW``: count, writes their
number to the file ``PLACE``; kill, ends the process as SIGKILL does before step ``STEP``; full, the disk is full then;
TERM or INT, the signal comes then.
"""

import atexit
import errno
import os
import runpy
import signal
import sys
import tempfile
from pathlib import Path

STEPS = ((os, "replace"), (os, "unlink"), (os, "fsync"), (os, "mkdir"), (tempfile, "mkstemp"))


def main() -> None:
    how, step, place, script, *flags = sys.argv[1:]
    seen, own = 0, os.getpid()

    def stepping(function):
        def called(*given, **named):
            nonlocal seen
            if os.getpid() == own:
                seen += 1
                if seen == int(step):
                    stop(function.__name__, given)
            return function(*given, **named)

        return called

    def stop(name: str, given) -> None:
        if how == "kill":
            os.kill(own, signal.SIGKILL)
        elif how == "full" and name in ("fsync", "mkstemp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        elif how in ("TERM", "INT"):
            os.kill(own, getattr(signal, f"SIG{how}"))

    for module, name in STEPS:
        setattr(module, name, stepping(getattr(module, name)))
    if how == "count":
        atexit.register(lambda: Path(place).write_text(str(seen)))
    sys.argv = [script, *flags]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
