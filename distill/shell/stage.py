"""What a stage says while it runs and at its end."""

import errno
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from distill.shell.errors import EXIT_ERROR, EXIT_INTERRUPTED, UserError, printable
from distill.shell.paths import relative
from distill.shell.processes import not_lost, on_ending


def progress(iterable=None, *, total=None, desc="", unit="it"):
    """A ``tqdm`` bar on stderr; silent in a pipe or a log, unless ``DISTILL_PROGRESS=1``."""
    from tqdm import tqdm

    disable = False if os.environ.get("DISTILL_PROGRESS") == "1" else None
    return tqdm(iterable, total=total, desc=desc, unit=unit, disable=disable, dynamic_ncols=True, mininterval=0.5)


@dataclass(frozen=True)
class Done:
    """What a stage has made: where it lies, its headline numbers, and whether it was there before.

    As text it is what a script prints: ``lines``, and the stage's last line.
    """

    stage: str
    subject: str
    path: Path
    seconds: float
    numbers: dict = field(default_factory=dict)
    before: bool = False  # the same arguments and inputs had made it already
    lines: list[str] = field(default_factory=list)  # what a reader at the terminal wants to know beside

    @property
    def name(self) -> str:
        """By which other stages take what was made."""
        return self.subject

    def __str__(self) -> str:
        shown = "  ".join(f"{k} {_short(v)}" for k, v in self.numbers.items())
        shown = "already done with the same arguments and inputs" if self.before else shown
        last = f"{self.stage}  {self.subject}  {shown}  {self.seconds:.1f} s  -> {relative(self.path)}"
        return printable("\n".join([*self.lines, last]))


Made = TypeVar("Made", bound=Done)


def name_of(given):
    """The name of what a stage has made, where that is given; anything else as it is."""
    return given.name if isinstance(given, Done) else given


class Stage(Generic[Made]):
    """Name and clock of one stage, and what kind of ``Done`` it makes.

    >>> stage = Stage("fit_linear", run, FitResult); ...; return stage.done(path, r2_all=0.99, edges=1200)
    """

    def __init__(self, name: str, subject: str, result: type[Made] = Done):
        self.name, self.subject, self.result, self.start = name, subject, result, time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def done(self, path, lines=(), **numbers) -> Made:
        return self.result(self.name, self.subject, Path(path), self.seconds, numbers, lines=list(lines))

    def already_done(self, path, lines=()) -> Made:
        return self.result(self.name, self.subject, Path(path), self.seconds, before=True, lines=list(lines))


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def warn(text: str) -> None:
    print(printable("warning: " + " ".join(text.split())), file=sys.stderr, flush=True)


# what a user can put right: a folder that is not there or not writable, a full disk, a directory in place of a file
_OF_THE_USER = {
    getattr(errno, f"E{name}")
    for name in ("EXIST NOENT NOSPC ACCES ROFS PERM DQUOT NOTDIR ISDIR LOOP NAMETOOLONG FBIG".split())
}


def run_script(main) -> None:
    """Call ``main()`` and turn what a user can cause into one line on stderr and an exit code.

    SIGTERM and SIGHUP end it as Ctrl-C does: by a ``KeyboardInterrupt``, so that children end and nothing is half done.
    """
    try:
        # afterwards all is said and done: a signal that comes while the interpreter tidies up ends it at once
        with not_lost(), on_ending(signal.default_int_handler, signal.SIG_DFL):
            code = main()
        sys.stdout.flush()
        raise SystemExit(code or 0)
    except UserError as exc:
        print(f"error: {exc}", file=sys.stderr)
        raise SystemExit(exc.exit_code) from None
    except BrokenPipeError:
        sys.stderr.close()
    except KeyboardInterrupt as exc:
        why = str(exc) or "interrupted; what was complete is kept, run the same command again"
        print(f"\n{why}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None
    except MemoryError:
        print("error: out of memory; use fewer trajectories or a smaller batch", file=sys.stderr)
    except OSError as exc:
        if exc.errno not in _OF_THE_USER:
            raise
        where = relative(exc.filename) if exc.filename else "the output"
        places = "(DISTILL_DATASETS, DISTILL_MODEL_WEIGHTS, DISTILL_OUTPUTS)"
        told = f"error: cannot use {where}: {exc.strerror}; free space or choose a writable folder {places}"
        print(printable(told), file=sys.stderr)
    raise SystemExit(EXIT_ERROR)
