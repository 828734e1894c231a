"""PySR's search for one radial law behind all components: a template with the mixing as its parameters.

The rows are stacked, one for each component, with the component's number (from 1, as Julia counts) as a
feature that picks its parameters: Y_k = (sum_a mix_a[k] u_a) f(features) + offset[k]. This is the documented
form for parameters by category (PySR's guide, "Expression specifications"); only the nodes of f count.
"""

import re

import numpy as np

from distill.search.engine import SearchOptions, objective_for, relative_weights
from distill.search.pysr.adapter import MAX_ROWS, Job, refitted, run
from distill.search.pysr.guesses import guess_texts
from distill.shell.errors import UserError
from distill.statistics.metrics import typical_size

COMPONENT, OFFSET = "component", "offset"
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def template(names, dim: int, components: int) -> dict:
    """Arguments of ``TemplateExpressionSpec`` for f of the features ``names``, which come first in the data."""
    mixes, units = [f"mix_{a + 1}" for a in range(dim)], [f"u_{a + 1}" for a in range(dim)]
    own = ["f", COMPONENT, OFFSET, *mixes, *units]
    for name in names:
        if name in own or not _IDENTIFIER.fullmatch(name):
            raise UserError(f"the feature name '{name}' cannot be used in a template of PySR; rename it")
    line = " + ".join(f"{m}[{COMPONENT}] * {u}" for m, u in zip(mixes, units, strict=True))
    return dict(
        combine=f"({line}) * f({', '.join(names)}) + {OFFSET}[{COMPONENT}]",
        expressions=["f"],
        variable_names=[*names, *units, COMPONENT],
        parameters={m: components for m in mixes} | {OFFSET: components},
    )


def stack(Y, unit, X):
    """Rows for the template: features [row x component, feature + dim + 1] and y [row x component]."""
    n, components = Y.shape
    number = np.tile(np.arange(1.0, components + 1), n)
    return np.column_stack([np.repeat(X, components, 0), np.repeat(unit, components, 0), number]), Y.ravel()


def find_shared(Y, unit, X, names, mixing, options: SearchOptions) -> tuple[list, dict]:
    """Formulas for f of Y = A (u f(X)) + b, each up to a factor, and how they were found.

    ``Y`` [row, component], ``unit`` [row, dim], ``X`` [row, feature] named ``names``; ``mixing`` is a first
    A and b (``mixing.central_mixing``), which scales the data and starts the parameters of the guesses. The
    parameters PySR ends with are Float32 and not returned. ``options`` as in ``adapter.find``.
    """
    pick = np.random.default_rng([options.seed, 7]).permutation(len(Y))[: MAX_ROWS // Y.shape[1]]
    Y, unit, X = Y[pick], unit[pick], X[pick]
    f = mixing.project(Y, unit)
    scale = float(np.std(f)) or 1.0 if options.loss == "mse" else typical_size(f)
    spread = mixing.spread * scale * np.linalg.norm(mixing.A / mixing.spread[:, None]) / np.sqrt(unit.shape[1])
    A, b = mixing.A * scale / spread[:, None], mixing.b / spread
    features, y = stack(Y / spread, unit, X)
    weights = np.repeat(relative_weights(f / scale) ** 2, Y.shape[1]) if options.loss == "relative" else None
    form = template(names, unit.shape[1], Y.shape[1])
    parameters = {f"mix_{a + 1}": A[:, a].tolist() for a in range(unit.shape[1])} | {OFFSET: b.tolist()}
    arguments = {name: f"#{k}" for k, name in enumerate(names, start=1)}

    def guess(exprs, operators, size):
        return [{"f": text, **parameters} for text in guess_texts(exprs, operators, size, arguments)]

    job = Job(features, y, weights, form["variable_names"], names, guess, (X, f / scale, names), form)
    found, info = run(job, options)
    return refitted(found, scale, objective_for(X, f, names, options.loss)), info
