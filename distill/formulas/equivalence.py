"""Is the law found the true one, the true one up to a factor, one of the same form, or another?

``compare`` gives the errors on which the verdict rests. ``equivalence`` says in which of four relations the
two laws stand, whatever their spelling: the numbers of the TRUTH's form become free, that form is fitted to
the values of the LAW over all ranges of distance at once, and if it meets them everywhere the law is of
that form, its constants being those found. There is no noise in this fit, so that ``TOLERANCE`` can be far
below any error that a wrong form hides over decades of distance, and still be far above the rounding of a
law's text (ten digits).
"""

import math
from collections.abc import Collection, Mapping

import numpy as np
import sympy as sp

from distill.files.storage import finite_or_none
from distill.formulas.forms import Fit, form_of, typical
from distill.formulas.functions import greater
from distill.formulas.program import compile_numpy
from distill.formulas.tree import complexity

TOLERANCE = 1e-5  # largest relative error, anywhere, of two laws that are called the same
KEPT = 10.0  # a constant off by more than this factor, gone, or of the other sign makes another form
ROWS = 400  # of each range, for a fit; whatever it finds is then held to all rows
MOST_CONSTANTS = 12
NEGLIGIBLE = 1e-6  # a coefficient over the largest, variables in units of their typical sizes
RELATIONS = ("same", "same up to a constant factor", "same functional form", "different")
ERROR_IS = "|law - truth| / (0.05 median |truth| + |truth|), the median over the samples of the range"


def compare(
    law: sp.Expr, truth, samples_in: dict, samples_far: dict, tolerance: float = 0.03, symbolic: bool = True
) -> dict:
    """How far ``law`` is from ``truth`` (a formula, or a function of the samples' columns), up to a scale.

    ``samples_in`` / ``samples_far``: variable name -> array [sample]. The scale is fitted in range. The error
    is the RMS of min(\\|c f - F\\| / (0.05 median\\|F\\| + \\|F\\|), 3). Returns ``scale``,
    ``relative_error_in_range``, ``relative_error_extrapolated`` and ``symbolic_equal``: both are the same
    rational function, every coefficient within ``tolerance``, the scale set aside (False where undecided, and
    where ``symbolic`` is False: then it is not asked).
    """
    names = list(samples_in)
    known = isinstance(truth, sp.Expr)  # else a function of the columns, where only a potential is known
    f, g = compile_numpy(law, names), compile_numpy(truth, names) if known else truth

    def evaluate(samples):
        columns = [samples[n] for n in names]
        value, target = f(*columns), g(*columns)
        size = np.abs(target)
        return value, target, 1 / (0.05 * typical(size) + size)

    def error(value, target, weight):
        bad = np.minimum(np.abs(scale * value - target) * weight, 3.0)
        return float(np.sqrt(np.mean(np.where(np.isfinite(bad), bad, 3.0) ** 2)))

    value, target, weight = evaluate(samples_in)
    ok = np.isfinite(value)
    norm = np.sum((weight * value)[ok] ** 2)
    scale = float(np.sum((weight**2 * value * target)[ok]) / norm) if norm > 0 else 0.0
    result = {"scale": scale, "relative_error_in_range": error(value, target, weight)}
    result["relative_error_extrapolated"] = error(*evaluate(samples_far))
    asked = symbolic and known and scale != 0
    result["symbolic_equal"] = asked and same_rational(sp.Float(scale) * law, truth, tolerance, sizes_of(samples_in))
    return result


def sizes_of(columns: Mapping) -> dict[str, float]:
    """Variable -> its typical size in ``columns`` (variable -> [sample])."""
    return {name: typical(np.abs(np.asarray(values, dtype=float))) for name, values in columns.items()}


def same_rational(a: sp.Expr, b: sp.Expr, tolerance: float = 0.03, sizes: Mapping[str, float] | None = None) -> bool:
    """True if both are the same quotient of polynomials, every coefficient within ``tolerance`` relative
    (those below ``NEGLIGIBLE`` of the largest are taken as 0). False if not rational or too large to decide cheaply.

    ``sizes``: variable -> its typical size, 1 where none is given: coefficients of different powers are compared in
    size for variables in these units.
    """
    sizes = sizes or {}
    if max(complexity(a), complexity(b)) > 45:
        return False
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    if not symbols:
        return math.isclose(float(a), float(b), rel_tol=tolerance)
    try:
        (n1, d1), (n2, d2) = (sp.fraction(sp.together(e)) for e in (a, b))
        if max(sp.Poly(p, *symbols).total_degree() for p in (n1, d1, n2, d2)) > 30:
            return False
        left, right = (dict(sp.Poly(x * y, *symbols).terms()) for x, y in ((n1, d2), (n2, d1)))
    except sp.PolynomialError:
        return False
    logs = [math.log(sizes.get(s.name, 1.0)) for s in symbols]
    # by logarithms: in some units products of sizes are no floating-point numbers
    size = {
        power: math.log(most) + sum(k * log for k, log in zip(power, logs, strict=True))
        for power in left.keys() | right.keys()
        if (most := max(abs(float(left.get(power, 0))), abs(float(right.get(power, 0))))) > 0
    }
    least = max(size.values(), default=0.0) + math.log(NEGLIGIBLE)
    for power in (k for k, log in size.items() if log > least):
        p, q = float(left.get(power, 0)), float(right.get(power, 0))
        if abs(p - q) > tolerance * max(abs(p), abs(q)):
            return False
    return True


# ---------------------------------------------------------------- the relation


def equivalence(law: sp.Expr, truth, samples: dict, unseen: Collection[int] = ()) -> dict:
    """In which of ``RELATIONS`` the pair law ``law`` stands to ``truth``, JSON-ready.

    ``truth``: a formula, or a function of the columns (then its form is not known and the third relation is
    not looked for). ``samples``: name of a range -> columns (variable name -> [sample]). ``unseen``: numbers of
    the constants of ``form_of(truth)`` that no data reach; they may have any value, and may be gone. Keys:
    ``relation``; ``factor`` (law over truth, for the first two, else null); ``constants`` [{name, role, true,
    found, off, judged}] and ``off`` (the largest deviation of those that are judged) wherever the law has the
    true form; ``symbolic``: whether
    algebra confirms what the samples say; ``variables``: r and those that either formula has; ``worst``: the
    sample where the law is furthest off (``ERROR_IS``; null error: the law is not finite there); ``text``: one
    sentence.
    """
    known = isinstance(truth, sp.Expr)
    names = list(next(iter(samples.values())))
    f, g = compile_numpy(law, names), compile_numpy(truth, names) if known else truth
    columns = {n: np.concatenate([np.asarray(s[n], dtype=float) for s in samples.values()]) for n in names}
    counts = [len(s[names[0]]) for s in samples.values()]
    ends = np.cumsum(counts)
    parts = [slice(e - c, e) for e, c in zip(ends, counts, strict=True)]
    value, target = f(*columns.values()), np.asarray(g(*columns.values()), dtype=float)

    def weights(values):
        size = np.abs(values)
        return np.concatenate([1 / (0.05 * typical(size[p]) + size[p]) for p in parts])

    weight = weights(target)
    with np.errstate(all="ignore"):
        off = np.abs(value - target) * weight
        finite = bool(np.isfinite(value).all() and np.isfinite(target).all())
        worst = _worst(off, value, target, columns, ends, list(samples))
        factor = float(np.sum(weight**2 * value * target) / np.sum((weight * target) ** 2)) if finite else 0.0
        scaled_off = np.abs(value - factor * target) * weight / factor if factor > 0 else np.array([np.inf])
    relation, fitted = "different", None
    constants: list[dict] = []
    if finite and off.max() <= TOLERANCE:
        relation = "same"
    elif scaled_off.max() <= TOLERANCE:
        relation = "same up to a constant factor"
    if known and finite and factor > 0:
        rows = np.concatenate([np.unique(np.linspace(p.start, p.stop - 1, ROWS).astype(int)) for p in parts])
        constants, fitted = _constants(law, truth, columns, value, weights(value), factor, rows, unseen)
        if relation == "different" and constants:
            relation = "same functional form"
    symbolic = None
    if known and relation != "different":
        other = {"same": truth, "same functional form": fitted}.get(relation, sp.Float(factor) * truth)
        symbolic = _same_symbolically(law, other, sizes_of(columns))
    result = {
        "relation": relation,
        "factor": factor if relation in RELATIONS[:2] else None,
        "constants": constants,
        "off": max((c["off"] for c in constants if c["judged"]), default=None),
        "symbolic": symbolic,
        "worst": worst,
        "relative_error_is": ERROR_IS,
        "tolerance": TOLERANCE,
    }
    used = {"r", *(s.name for s in law.free_symbols | truth.free_symbols)} if known else names
    result["variables"] = [n for n in names if n in used]
    return result | {"text": _sentence(result)}


def _worst(off, value, target, columns, ends, ranges) -> dict:
    k = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
    return {
        "range": ranges[int(np.searchsorted(ends, k, side="right"))],
        "point": {n: float(c[k]) for n, c in columns.items()},
        "law": finite_or_none(value[k]),
        "truth": finite_or_none(target[k]),
        "relative_error": finite_or_none(off[k]),
    }


def _constants(law, truth, columns, value, weights, factor, rows, unseen) -> tuple[list[dict], sp.Expr | None]:
    """The constants of the true form in the law and that form with them, or nothing where it is another."""
    try:
        form = form_of(truth)
        if len(form.constants) > MOST_CONSTANTS:
            return [], None
        with np.errstate(all="ignore"):
            fit = Fit(form, columns, value, weights, rows)
            hints = [c.value for c in form_of(law).constants if c.compared is not None] if law.has(greater) else []
            at = fit.best(factor, TOLERANCE, hints)
            if fit.error(at).max() > TOLERANCE:
                return [], None
    except (ValueError, TypeError, OverflowError):  # a function that cannot be evaluated or differentiated
        return [], None
    out: list[dict] = []
    for k, c in enumerate(form.constants):
        if k not in fit.free and c.compared is None:
            continue
        found = float(at[k])
        if k not in unseen and not 1 / KEPT <= found / c.value / (factor if c.outer else 1.0) <= KEPT:
            return [], None
        about = {"true": c.value, "found": found, "off": abs(found / c.value - 1), "judged": k not in unseen}
        out.append({"name": f"c{len(out)}", "role": c.role} | about)
    return out, form.expr.xreplace({c.symbol: sp.Float(float(v)) for c, v in zip(form.constants, at, strict=True)})


def _same_symbolically(a: sp.Expr, b: sp.Expr, sizes: Mapping[str, float]) -> bool:
    """Whether algebra finds both to be one formula: one rational function, or of one form (``form_of``)."""
    if same_rational(a, b, TOLERANCE, sizes):
        return True
    try:
        one, other = form_of(a), form_of(b)
    except ValueError:  # a function that has no text
        return False
    values, others = ([c.value for c in form.constants] for form in (one, other))
    return one.expr == other.expr and bool(np.allclose(values, others, rtol=TOLERANCE, atol=0))


def _sentence(result: dict) -> str:
    relation, worst = result["relation"], result["worst"]
    if relation == "same":
        return f"same law, within {_percent(TOLERANCE)} wherever they were compared"
    if relation == "same up to a constant factor":
        return f"{relation} {result['factor']:.5g}"
    if relation == "same functional form":
        return relation if result["off"] is None else f"{relation}, constants off by {_percent(result['off'])}"
    at = ", ".join(f"{n} = {worst['point'][n]:.3g}" for n in result["variables"])
    wrong = "not finite" if worst["relative_error"] is None else f"{_percent(worst['relative_error'])} off"
    return f"different: {wrong} at {at}"


def _percent(x: float) -> str:
    return f"{100 * x:,.0f} %" if x >= 0.995 else f"{100 * x:.2g} %"
