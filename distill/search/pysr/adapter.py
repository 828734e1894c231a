"""Adapter for PySR (1.5 or later), which needs Julia. PySR searches; its csv file is read by our parser.

PySR is imported only here and only when it is asked for: the import starts Julia, and downloads it where it
is missing, which ``PYTHON_JULIAPKG_OFFLINE=yes`` (set below unless the user set it) prevents. Around the search:
guesses from the embedded engine (``guesses.py``) and the rows of an interrupted search (``resume.py``). One law behind
several components is in ``template.py``.
"""

import inspect
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distill.formulas.functions import FUNCTIONS
from distill.formulas.improve import prune
from distill.formulas.tree import tidy, with_scales
from distill.search.engine import CannotStartError, SearchOptions, objective_for, relative_weights
from distill.search.front import Row
from distill.search.hall_of_fame import read_hall_of_fame
from distill.search.pysr.guesses import embedded_front, guess_texts
from distill.search.pysr.julia import julia_versions
from distill.search.pysr.resume import begin, finish, identity
from distill.shell.errors import UserError
from distill.shell.stage import warn
from distill.statistics.metrics import typical_size

MAX_ROWS = 10_000  # rows given to PySR; above BATCH_ABOVE members are compared on batches, winners on all rows
BATCH_ABOVE = 1000
EMBEDDED_SHARE = 0.2  # of a time limit, for the guesses
NO_NEWS = ("large maxsize", "using the `^` operator", "search was interrupted")  # among PySR's warnings
REMEDY = "run  make pysr  or use  --engine operon"


@dataclass
class Job:
    """What ``run`` needs: the arguments of PySR's fit, how to read its formulas and how to start them."""

    X: np.ndarray  # [row, feature]
    y: np.ndarray  # [row]
    weights: np.ndarray | None
    names: Sequence[str]  # of the columns of X
    variables: Sequence[str]  # of the formulas
    guess: Callable  # (formulas, operators, size) -> PySR's guesses
    embedded: tuple  # X, y and names for ``embedded_front``
    template: dict | None = None  # arguments of ``TemplateExpressionSpec``


def find(X, y, names, options: SearchOptions) -> tuple[list, dict]:
    """Formulas of PySR's hall of fame for y [row] of X [row, feature], and how they were found.

    ``options.guesses``: one restart of the embedded engine first; its formulas start PySR's search (where its version
    takes guesses) and are returned with PySR's. ``options.resume``: so are the rows that an interrupted search of the
    same data and options left in ``output_directory``/pysr, where PySR's own files stay; nothing stays if that
    is None. Raises ``CannotStartError`` if PySR or Julia cannot be started, ``KeyboardInterrupt`` after Ctrl-C, which
    PySR itself would take as the end of the search.
    """
    rows = np.random.default_rng([options.seed, 7]).permutation(len(y))[:MAX_ROWS]
    scale = float(np.std(y[rows])) or 1.0 if options.loss == "mse" else typical_size(y[rows])
    target = y[rows] / scale
    weights = relative_weights(y / scale)[rows] ** 2 if options.loss == "relative" else None
    job = Job(X[rows], target, weights, names, names, guess_texts, (X[rows], target, names))
    found, info = run(job, options)
    return refitted(found, scale, objective_for(X[rows], y[rows], names, options.loss)), info


def refitted(found, scale: float, objective) -> list:
    """The formulas in double precision and the units of the objective, and again without needless terms.

    Every term gets a factor to fit, which also carries the scale; constants that PySR left near zero
    (3.97e-8 - m_j) go, where they change nothing.
    """
    found = [objective.fit(tidy(scale * with_scales(expr)))[0] for expr in found]
    return found + [prune(expr, objective)[0] for expr in found]


def run(job: Job, options: SearchOptions) -> tuple[list, dict]:
    """One search: (formulas of the hall of fame and of all guesses, in the units of ``job.y``; info)."""
    pysr = _load(options.threads)
    arguments, extra, why = regressor_options(options, len(job.y)), [], "none: not asked for"
    started, limit = time.perf_counter(), options.time_limit
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(options.output_directory or scratch)
        folder = base / "pysr"
        who = identity(arguments, job.names, (job.X, job.y, job.weights), template=job.template)
        earlier = begin(folder, who, job.variables, lambda: read_result(folder, job.variables), options.resume)
        if options.guesses:
            share = None if limit is None else EMBEDDED_SHARE * limit
            extra, why = embedded_front(*job.embedded, replace(options, time_limit=share))
        extra = [row.expr for row in earlier] + extra
        if job.template is not None:
            arguments["expression_spec"] = pysr.TemplateExpressionSpec(**job.template)
        if limit is not None:
            arguments["timeout_in_seconds"] = max(1.0, limit - (time.perf_counter() - started))
        arguments |= {"output_directory": str(base), "run_id": "pysr"}
        texts = []
        if "guesses" in inspect.signature(pysr.PySRRegressor.__init__).parameters:
            operators = [*arguments["binary_operators"], *arguments["unary_operators"]]
            texts = job.guess(extra, operators, arguments["maxsize"])
        elif extra:
            why += f"; PySR {pysr.__version__} takes no guesses"
        if options.progress and sys.stderr.isatty():
            about = f"{len(job.y)} rows, {options.niterations} iterations asked for; Ctrl-C: what it has found is kept"
            print(f"PySR searches: {about}", file=sys.stderr, flush=True)
        try:
            _fit(pysr, arguments | ({"guesses": texts} if texts else {}), job)
        except Exception as exc:  # Julia reads the guesses before the search starts
            if not texts or list(folder.glob("hall_of_fame*")):
                raise _told(exc) from None
            warn(f"PySR refused the guesses ({_first_line(exc)}); it searches without them")
            texts, why = [], f"refused: {_first_line(exc)}"
            try:
                _fit(pysr, arguments, job)
            except Exception as again:
                raise _told(again) from None
        found = [row.expr for row in read_result(folder, job.variables)]
        finish(folder, who)
    info = {"pysr": pysr.__version__, **julia_versions(), "iterations_asked": options.niterations, "rows": len(job.y)}
    info |= {"batch_size": arguments["batch_size"] if arguments["batching"] else None}
    info |= {"guesses": len(texts), "guesses_why": why, "resumed_rows": len(earlier)}
    return found + extra, info | {"search_seconds": time.perf_counter() - started}


def _fit(pysr, arguments: dict, job: Job) -> None:
    """PySR's search; its files stay where ``arguments`` say. ``KeyboardInterrupt`` if Ctrl-C ended it."""
    with _our_warnings():
        regressor = pysr.PySRRegressor(**arguments)
        try:
            regressor.fit(job.X, job.y, weights=job.weights, variable_names=list(job.names))
        except Exception as exc:
            # before the first csv it looks like any other failure
            if getattr(regressor, "interrupted_", False) or "InterruptException" in str(exc):
                raise KeyboardInterrupt from None
            raise
        if getattr(regressor, "interrupted_", False):
            raise KeyboardInterrupt


def _told(exc: Exception) -> Exception:
    """Julia's errors, which carry a backtrace of Julia's, as one line; others as they are."""
    if type(exc).__name__ != "JuliaError":
        return exc
    return UserError(f"PySR's search failed: {_first_line(exc)}", REMEDY)


@contextmanager
def _our_warnings():
    """What PySR warns of, in our words and once; without what its user here cannot change."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    texts = [_first_line(w.message) for w in caught if issubclass(w.category, UserWarning | RuntimeWarning)]
    for text in dict.fromkeys(texts):
        if not any(known in text for known in NO_NEWS):
            warn(f"PySR: {text}")


def regressor_options(options: SearchOptions, rows: int = 1) -> dict:
    """Arguments of ``PySRRegressor`` for so many ``rows``; only names that exist from 1.5 to 2.7.

    Given explicitly is what differs in its defaults between them and changes the result, the weights of the
    mutations apart: those of either version belong to its own set of mutations.
    """
    used, threads = [FUNCTIONS[o] for o in options.operators], options.threads
    repeatable = options.deterministic and threads == 1
    return dict(
        model_selection="best",
        binary_operators=list(dict.fromkeys(f.pysr for f in used if f.arity == 2)),
        unary_operators=[f.pysr for f in used if f.arity == 1],
        niterations=options.niterations,
        populations=max(31, 3 * threads),  # PySR's guide: three for each thread
        population_size=27,
        ncycles_per_iteration=380,
        maxsize=max(options.max_complexity, 7),  # PySR refuses less
        parsimony=0.0,
        elementwise_loss="L2DistLoss()",  # with weights PySR takes the weighted mean
        batching=rows > BATCH_ABOVE,
        batch_size=128 if rows < 5000 else 256,  # what 2.7 takes by itself
        precision=32,
        annealing=True,
        crossover_probability=0.2,
        deterministic=repeatable,
        parallelism="serial" if threads == 1 else "multithreading",
        random_state=options.seed if repeatable else None,
        timeout_in_seconds=options.time_limit,
        temp_equation_file=False,
        delete_tempfiles=True,
        update=False,
        verbosity=0,  # its table is of scaled data, and tells of a key that a batch job must not wait for
        progress=False,
        input_stream="devnull",
    )


def _load(threads):
    """The module ``pysr``; starts Julia, with so many threads where this is its first start."""
    os.environ.setdefault("PYTHON_JULIAPKG_OFFLINE", "yes")
    os.environ.setdefault("PYTHON_JULIACALL_THREADS", str(threads))  # else all cores
    if threads == 1:
        os.environ.setdefault("JULIA_NUM_GC_THREADS", "1,1")
    try:
        with warnings.catch_warnings(), _kept_interrupts():
            warnings.simplefilter("ignore")
            import pysr
    except Exception as exc:  # whatever Julia's start raises, the user's way out is the same
        raise CannotStartError(f"PySR cannot start: {_first_line(exc)}", REMEDY) from None
    return pysr


@contextmanager
def _kept_interrupts():
    """Ctrl-C stays Python's: Julia takes it when it starts, and would lose it or write pages."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _first_line(exc):
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]


def read_result(folder: Path, names) -> list[Row]:
    """The hall of fame of a finished run; its backup where the file itself was cut off in writing."""
    path = folder / "hall_of_fame.csv"
    try:
        return read_hall_of_fame(path, names)
    except UserError:
        backup = path.with_name(path.name + ".bak")
        if not backup.is_file():
            raise
        return read_hall_of_fame(backup, names)
