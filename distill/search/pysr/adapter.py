"""Adapter for PySR (1.5 or later), which needs Julia. PySR searches; its csv file is read by our parser.

PySR is imported only here and only when it is asked for: the import starts Julia, and downloads it where it
is missing, which ``PYTHON_JULIAPKG_OFFLINE=yes`` (set below unless the user set it) prevents. Around the search:
guesses from the embedded engine (``pysr_guesses.py``) and the rows of an interrupted search
(``pysr_resume.py``). One law behind several components is in ``pysr_shared.py``.
"""

import inspect
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.formulas.improve import prune
from distill.formulas.tree import tidy, with_scales
from distill.search.engine import objective_for, relative_weights
from distill.search.hall_of_fame import Row, read_hall_of_fame
from distill.search.pysr.guesses import embedded_front, guess_texts
from distill.search.pysr.resume import begin, finish, identity
from distill.shell.errors import UserError, near_miss
from distill.shell.stage import warn
from distill.statistics.metrics import typical_size

BINARY = {"+": "+", "-": "-", "*": "*", "/": "/", "^": "^", "pow": "^", "greater": "greater"}
UNARY = ("square", "cube", "sqrt", "neg", "inv", "exp", "log", "abs", "sin", "cos", "tanh")
MAX_ROWS = 10_000  # rows given to PySR; above BATCH_ABOVE members are compared on batches, winners on all rows
BATCH_ABOVE = 1000
EMBEDDED_SHARE = 0.2  # of a time limit, for the guesses


@dataclass
class Job:
    """What ``run`` needs: the arguments of PySR's fit, how to read its formulas and how to start them."""

    X: np.ndarray  # [row, feature]
    y: np.ndarray  # [row]
    weights: np.ndarray | None
    names: Sequence[str]  # of the columns of X
    variables: Sequence[str]  # of the formulas
    regressor: dict  # ``regressor_options``
    guess: Callable  # (formulas, operators, size) -> PySR's guesses
    embedded: dict | None  # arguments of ``embedded_front``; None: not asked for
    threads: int = 1
    template: dict | None = None  # arguments of ``TemplateExpressionSpec``


def find(
    X, y, names, *, loss="mse", seed=0, output_directory=None, guesses=True, resume=True, time_limit=None, **options
):
    """Formulas of PySR's hall of fame for y [row] of X [row, feature], and how they were found.

    ``guesses``: one restart of the embedded engine first; its formulas start PySR's search (where its version
    takes guesses) and are returned with PySR's. ``resume``: so are the rows that an interrupted search of the
    same data and options left in ``output_directory``/pysr, where PySR's own files stay; nothing stays if that
    is None. ``options`` are those of ``regressor_options``. Raises ``UserError`` if PySR or Julia cannot be
    started, ``KeyboardInterrupt`` after Ctrl-C, which PySR itself would take as the end of the search.
    """
    rows = np.random.default_rng([seed, 7]).permutation(len(y))[:MAX_ROWS]
    regressor = regressor_options(seed=seed, time_limit=time_limit, rows=len(rows), **options)
    scale = float(np.std(y[rows])) or 1.0 if loss == "mse" else typical_size(y[rows])
    target = y[rows] / scale
    weights = relative_weights(y / scale)[rows] ** 2 if loss == "relative" else None
    embedded = dict(X=X[rows], y=target, names=names, loss=loss, seed=seed, **options) if guesses else None
    job = Job(X[rows], target, weights, names, names, regressor, guess_texts, embedded, options.get("threads", 1))
    found, info = run(job, output_directory, resume)
    return refitted(found, scale, objective_for(X[rows], y[rows], names, loss)), info


def refitted(found, scale: float, objective) -> list:
    """The formulas in double precision and the units of the objective, and again without needless terms.

    Every term gets a factor to fit, which also carries the scale; constants that PySR left near zero
    (3.97e-8 - m_j) go, where they change nothing.
    """
    found = [objective.fit(tidy(scale * with_scales(expr)))[0] for expr in found]
    return found + [prune(expr, objective)[0] for expr in found]


def run(job: Job, output_directory, resume: bool) -> tuple[list, dict]:
    """One search: (formulas of the hall of fame and of all guesses, in the units of ``job.y``; info)."""
    pysr = _load(job.threads)
    options, extra, why = dict(job.regressor), [], "none: not asked for"
    started, limit = time.perf_counter(), options["timeout_in_seconds"]
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(output_directory or scratch)
        folder = base / "pysr"
        who = identity(options, job.names, (job.X, job.y, job.weights), template=job.template)
        earlier = begin(folder, who, job.variables, lambda: read_result(folder, job.variables), resume)
        if job.embedded is not None:
            share = None if limit is None else EMBEDDED_SHARE * limit
            extra, why = embedded_front(**job.embedded, time_limit=share)
        extra = [row.expr for row in earlier] + extra
        if job.template is not None:
            options["expression_spec"] = pysr.TemplateExpressionSpec(**job.template)
        if limit is not None:
            options["timeout_in_seconds"] = max(1.0, limit - (time.perf_counter() - started))
        options |= {"output_directory": str(base), "run_id": "pysr"}
        texts = []
        if "guesses" in inspect.signature(pysr.PySRRegressor.__init__).parameters:
            operators = [*options["binary_operators"], *options["unary_operators"]]
            texts = job.guess(extra, operators, options["maxsize"])
        elif extra:
            why += f"; PySR {pysr.__version__} takes no guesses"
        data = dict(weights=job.weights, variable_names=list(job.names))
        try:
            regressor = pysr.PySRRegressor(**options, **({"guesses": texts} if texts else {}))
            regressor.fit(job.X, job.y, **data)
        except Exception as exc:  # Julia reads the guesses before the search starts
            if not texts or list(folder.glob("hall_of_fame*")):
                raise
            warn(f"PySR refused the guesses ({_first_line(exc)}); it searches without them")
            texts, why = [], f"refused: {_first_line(exc)}"
            regressor = pysr.PySRRegressor(**options)
            regressor.fit(job.X, job.y, **data)
        if getattr(regressor, "interrupted_", False):
            raise KeyboardInterrupt
        found = [row.expr for row in read_result(folder, job.variables)]
        finish(folder, who)
    info = {"pysr": pysr.__version__, "iterations": options["niterations"], "rows": len(job.y)}
    info |= {"batch_size": options["batch_size"] if options["batching"] else None}
    info |= {"guesses": len(texts), "guesses_why": why, "resumed_rows": len(earlier)}
    return found + extra, info | {"search_seconds": time.perf_counter() - started}


def regressor_options(
    *,
    operators=("+", "-", "*", "/", "square"),
    niterations=100,
    max_complexity=30,
    seed=0,
    time_limit=None,
    threads=1,
    deterministic=True,
    progress=True,
    rows=1,
) -> dict:
    """Arguments of ``PySRRegressor`` for so many ``rows``; only names that exist from 1.5 to 2.7.

    Given explicitly is what differs in its defaults between them and changes the result, the weights of the
    mutations apart: those of either version belong to its own set of mutations.
    """
    unknown = [o for o in operators if o not in BINARY and o not in UNARY]
    if unknown:
        raise UserError(f"engine pysr has no operator '{unknown[0]}'{near_miss(unknown[0], [*BINARY, *UNARY])}")
    repeatable = deterministic and threads == 1
    terminal = progress and sys.stderr.isatty()
    return dict(
        model_selection="best",
        binary_operators=list(dict.fromkeys(BINARY[o] for o in operators if o in BINARY)),
        unary_operators=[o for o in operators if o in UNARY],
        niterations=niterations,
        populations=max(31, 3 * threads),  # PySR's guide: three for each thread
        population_size=27,
        ncycles_per_iteration=380,
        maxsize=max(max_complexity, 7),  # PySR refuses less
        parsimony=0.0,
        elementwise_loss="L2DistLoss()",  # with weights PySR takes the weighted mean
        batching=rows > BATCH_ABOVE,
        batch_size=128 if rows < 5000 else 256,  # what 2.7 takes by itself
        precision=32,
        annealing=True,
        crossover_probability=0.2,
        deterministic=repeatable,
        parallelism="serial" if threads == 1 else "multithreading",
        random_state=seed if repeatable else None,
        timeout_in_seconds=time_limit,
        temp_equation_file=False,
        delete_tempfiles=True,
        update=False,
        verbosity=1 if terminal else 0,
        progress=terminal,
        input_stream="devnull",  # a batch job must not wait for keys
    )


def _load(threads):
    """The module ``pysr``; starts Julia, with so many threads where this is its first start."""
    os.environ.setdefault("PYTHON_JULIAPKG_OFFLINE", "yes")
    os.environ.setdefault("PYTHON_JULIACALL_THREADS", str(threads))  # else all cores
    if threads == 1:
        os.environ.setdefault("JULIA_NUM_GC_THREADS", "1,1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pysr
    except Exception as exc:  # whatever Julia's start raises, the user's way out is the same
        raise UserError(f"PySR cannot start: {_first_line(exc)}", "run  make pysr  or use  --engine operon") from None
    return pysr


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
