"""The command line's common parts: parser, user errors, threads, seeds, progress and the last line.

Nothing heavy is imported here, so that every script answers ``--help`` at once.
"""

import argparse
import difflib
import errno
import os
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATASETS = Path(os.environ.get("DISTILL_DATASETS", ROOT / "datasets"))
MODEL_WEIGHTS = Path(os.environ.get("DISTILL_MODEL_WEIGHTS", ROOT / "model_weights"))
OUTPUTS = Path(os.environ.get("DISTILL_OUTPUTS", ROOT / "outputs"))

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


class UserError(Exception):
    """Something the user can put right: told in one line on stderr, exit code 1, no traceback.

    ``fix`` is the command (or the change) that makes it right.
    """

    def __init__(self, message: str, fix: str | None = None):
        super().__init__(message)
        self.message, self.fix = message, fix

    def __reduce__(self):
        return type(self), (self.message, self.fix)  # so that it survives the way from another process

    def __str__(self) -> str:
        text = self.message if self.fix is None else f"{self.message}; {self.fix}"
        return " ".join(text.split())


def near_miss(name: str, known) -> str:
    """``"; did you mean 'x'?"`` for the known name closest to ``name``, or nothing."""
    close = difflib.get_close_matches(name, [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` with defaults shown, no abbreviations and one-line usage errors."""

    def __init__(self, description: str, **kwargs):
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(description=description, allow_abbrev=False, **kwargs)

    def error(self, message: str):
        if found := re.search(r"invalid choice: '?([^'\s]*)'? \(choose from (.*)\)", message):
            choices = [c.strip(" '") for c in found.group(2).split(",")]
            message += near_miss(found.group(1), choices)
        elif found := re.search(r"unrecognized arguments: (--[\w-]+)", message):
            options = [o for a in self._actions for o in a.option_strings]
            message += near_miss(found.group(1), options)
        line = " ".join(f"error: {message}; see  python {self.prog} --help".split())
        print(line, file=sys.stderr)
        raise SystemExit(EXIT_USAGE)


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action):
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def positive_int(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def non_negative_int(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def positive_float(text: str) -> float:
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive finite number")
    return value


def fraction(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_run_flags(parser: Parser, seed_help: str = "random seed", seeds: bool = False) -> None:
    """The flags that mean the same thing in every stage; ``seeds`` lets --seed take several."""
    group = parser.add_argument_group("run")
    several = {"nargs": "+", "default": [0]} if seeds else {"default": 0}
    group.add_argument("--seed", type=non_negative_int, help=seed_help, **several)
    group.add_argument("--threads", type=positive_int, default=1, help="CPU threads to use")
    group.add_argument("--overwrite", action="store_true", help="replace existing output")
    group.add_argument("--quick", action="store_true", help="tiny sizes through the same code, marked in the output")


def set_threads(n: int) -> None:
    """Limit the numerical libraries to ``n`` threads; only works before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):  # the last is XLA's
        os.environ[name] = str(n)
    flags = os.environ.get("XLA_FLAGS", "")
    if n == 1 and "xla_cpu_multi_thread_eigen" not in flags:
        extra = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{flags} {extra}".strip()


def pick_device(name: str, threads: int) -> str:
    """ "cuda" or "cpu" for ``--device``, with torch limited to ``threads``; ``UserError`` if asked in vain."""
    import torch

    torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device", "use --device cpu or auto")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def progress(iterable=None, *, total=None, desc="", unit="it"):
    """A ``tqdm`` bar on stderr; silent in a pipe or a log, unless ``DISTILL_PROGRESS=1``."""
    from tqdm import tqdm

    disable = False if os.environ.get("DISTILL_PROGRESS") == "1" else None
    return tqdm(iterable, total=total, desc=desc, unit=unit, disable=disable, dynamic_ncols=True, mininterval=0.5)


def relative(path) -> str:
    """``path`` as the user would type it: relative to the working directory where it lies below."""
    path = Path(path).resolve()
    for base in (Path.cwd(), ROOT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


class Stage:
    """Name, clock and last line of one stage.

    >>> stage = Stage("fit_linear", run); ...; stage.done(path, r2_all=0.99, edges=1200)
    """

    def __init__(self, name: str, subject: str):
        self.name, self.subject, self.start = name, subject, time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def done(self, path, **numbers) -> None:
        shown = "  ".join(f"{k} {_short(v)}" for k, v in numbers.items())
        print(f"{self.name}  {self.subject}  {shown}  {self.seconds:.1f} s  -> {relative(path)}", flush=True)

    def already_done(self, path) -> None:
        print(
            f"{self.name}  {self.subject}  already done with the same arguments and inputs"
            f"  {self.seconds:.1f} s  -> {relative(path)}",
            flush=True,
        )


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def warn(text: str) -> None:
    print("warning: " + " ".join(text.split()), file=sys.stderr, flush=True)


def run_script(main) -> None:
    """Call ``main()`` and turn what a user can cause into one line on stderr and an exit code."""
    try:
        code = main()
        sys.stdout.flush()
        raise SystemExit(code or 0)
    except UserError as exc:
        print(f"error: {exc}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    except KeyboardInterrupt as exc:
        why = str(exc) or "interrupted; what was complete is kept, run the same command again"
        print(f"\n{why}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None
    except MemoryError:
        print("error: out of memory; use fewer trajectories or a smaller batch", file=sys.stderr)
    except OSError as exc:
        if exc.errno not in (
            errno.EEXIST,
            errno.ENOENT,
            errno.ENOSPC,
            errno.EACCES,
            errno.EROFS,
            errno.EPERM,
            errno.EDQUOT,
            errno.ENOTDIR,
        ):
            raise
        where = relative(exc.filename) if exc.filename else "the output"
        print(
            f"error: cannot use {where}: {exc.strerror}; free space or choose a writable folder"
            " (DISTILL_DATASETS, DISTILL_MODEL_WEIGHTS, DISTILL_OUTPUTS)",
            file=sys.stderr,
        )
    raise SystemExit(EXIT_ERROR)
