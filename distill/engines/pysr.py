"""Adapter for PySR (1.5 or later), which needs Julia. PySR searches; its csv file is read by our parser.

PySR is imported only here and only when it is asked for: the import starts Julia, and downloads it where it
is missing, which ``PYTHON_JULIAPKG_OFFLINE=yes`` (set below unless the user set it) prevents.
"""

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from distill.cli import UserError, near_miss
from distill.engines import objective_for, relative_weights
from distill.engines.files import Row, read_hall_of_fame
from distill.expressions import tidy, with_scales
from distill.refine import prune

BINARY = {"+": "+", "-": "-", "*": "*", "/": "/", "^": "^", "pow": "^", "greater": "greater"}
UNARY = ("square", "cube", "sqrt", "neg", "inv", "exp", "log", "abs", "sin", "cos", "tanh")
MAX_ROWS = 4000  # rows given to PySR: without batching its cost grows with them


def find(X, y, names, *, loss="mse", seed=0, output_directory=None, **options):
    """Formulas of PySR's hall of fame for y [row] of X [row, feature], and how they were found.

    PySR's own files stay in ``output_directory``/pysr, or are removed if that is None. Raises ``UserError``
    if PySR or Julia cannot be started.
    """
    options = regressor_options(loss=loss, seed=seed, **options)
    regressor_class, version = _load(options["parallelism"])
    rows = np.random.default_rng([seed, 7]).permutation(len(y))[:MAX_ROWS]
    scale = float(np.std(y[rows]) if loss == "mse" else np.median(np.abs(y[rows]))) or 1.0
    weights = None
    if loss == "relative":
        weights = relative_weights(y / scale)[rows] ** 2
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(output_directory or scratch)
        for old in (folder / "pysr").glob("hall_of_fame*"):
            old.unlink()  # never read the result of an earlier run
        started = time.perf_counter()
        regressor = regressor_class(**options, output_directory=str(folder), run_id="pysr")
        regressor.fit(X[rows], y[rows] / scale, weights=weights, variable_names=list(names))
        found = read_result(folder / "pysr", names)
        info = {"pysr": version, "iterations": options["niterations"], "search_seconds": time.perf_counter() - started}
    # every term gets a factor to fit, which also carries the scale of y; constants that PySR left near zero
    # (3.97e-8 - m_j) go, where they change nothing
    objective = objective_for(X[rows], y[rows], names, loss)
    found = [objective.fit(tidy(scale * with_scales(row.expr)))[0] for row in found]
    return found + [prune(expr, objective)[0] for expr in found], info


def regressor_options(
    *,
    loss="mse",
    operators=("+", "-", "*", "/", "square"),
    niterations=100,
    max_complexity=30,
    seed=0,
    time_limit=None,
    threads=1,
    deterministic=True,
    progress=True,
) -> dict:
    """Arguments of ``PySRRegressor``; only names that exist from 1.5 to 2.7, and explicitly those whose
    defaults differ between them and change the result.
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
        populations=31,
        population_size=27,
        ncycles_per_iteration=380,
        maxsize=max(max_complexity, 7),  # PySR refuses less
        parsimony=0.0,
        elementwise_loss="L2DistLoss()",  # with weights PySR takes the weighted mean
        batching=False,
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


def _load(parallelism):
    """(``PySRRegressor``, version of PySR); starts Julia."""
    os.environ.setdefault("PYTHON_JULIAPKG_OFFLINE", "yes")
    if parallelism == "serial":
        os.environ.setdefault("JULIA_NUM_GC_THREADS", "1,1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pysr
    except Exception as exc:  # whatever Julia's start raises, the user's way out is the same
        what = (str(exc).splitlines() or [type(exc).__name__])[0][:200]
        raise UserError(f"PySR cannot start: {what}", "run  make pysr  or use  --engine operon") from None
    return pysr.PySRRegressor, pysr.__version__


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
