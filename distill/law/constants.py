"""How well the data know the constants of a law, and which of them are round numbers.

Standard errors are delete-group jackknife over trajectories (B. Efron, C. Stein, Ann. Statist. 9, 586, 1981):
no assumption about the noise, and frames of one trajectory stay together. A constant becomes a round number
only if the number lies within two standard errors and is so sparse at that precision that it would not lie
there by chance; what was fitted is kept beside it.
"""

import math
from dataclasses import replace

import numpy as np
import sympy as sp

from distill.files.storage import finite_or_none
from distill.formulas.switches import gap, thresholds, with_threshold
from distill.formulas.text import to_text
from distill.formulas.tree import canonical, parametrise, with_constants, with_scales
from distill.law.receivers import Receivers, acceleration_objective

GROUPS = 10
DIGITS = 4  # round numbers have at most this many significant digits
WITHIN = 2.0  # standard errors
CHANCE = 0.1  # of a round number lying that close by accident
RESOLUTION = 1e-9  # relative: below it a standard error is rounding
COST = 0.01  # relative rise of the score that rounding may cost


def examine(
    expr: sp.Expr, data: Receivers, node_terms=(), size=None, unit_charges=False, film: np.ndarray | None = None
) -> tuple[sp.Expr, dict]:
    """(the law with its round constants, JSON-ready report) for a pair law already fitted on ``data``.

    The report: ``form``, the law with c0, c1 ... for its constants, overall factors included; ``constants``, a
    list of symbol, value, standard_error, snapped_from (what was fitted, null where nothing was rounded);
    for a threshold also the ``gap`` between data in which it may lie. ``size`` as in ``acceleration_objective``.
    ``film`` [trajectory of the dataset]: the recording that each was cut from; None: each is one.
    """
    own = _independent(data.trajectory, film)
    objective = acceleration_objective(data, node_terms, size, least=0.0)  # constants in the unit of the data
    scaled, score = objective.fit(with_scales(expr))
    form, symbols, values = parametrise(scaled)
    fits = jackknife_fits(form, symbols, values, replace(data, trajectory=own), node_terms, size)
    spread = spread_of(np.array(fits), len(values))
    final = snap(form, symbols, values, spread, objective, score)
    report, shown = [], {}
    for k, (symbol, value, error) in enumerate(zip(symbols, values, spread, strict=True)):
        shown[symbol] = sp.Symbol(f"c{k}")
        report.append(
            {
                "symbol": f"c{k}",
                "value": float(final[k]),
                "standard_error": finite_or_none(error),
                "snapped_from": None if final[k] == value else float(value),
            }
        )
    law = with_constants(form, symbols, final)
    for switched, symbol, at in thresholds(law):
        low, high = gap(data.features[symbol.name], at)
        value = round_number(0.5 * (low + high), 0.25 * (high - low))
        value = at if value is None or not low <= value < high else value
        report.append(
            {
                "symbol": f"threshold of {symbol.name}",
                "value": value,
                "standard_error": None,
                "gap": [low, high],
                "snapped_from": None if value == at else at,
            }
        )
        law = with_threshold(law, switched, value)
    rounded = [c for c in report if c["snapped_from"] is not None]
    parts, rows = len(groups(own)), f"{len(data.acc)} receivers"
    what = f"standard errors: delete-group jackknife, {parts} groups of trajectories, {rows}{_blocks(own, film)}"
    if not parts:
        what = f"no standard errors: {rows} of one trajectory"
    told = ", ".join(_told(c) for c in rounded)
    note = f"{what}; rounded: {told}" if rounded else f"{what}; nothing was rounded"
    text = to_text(form.xreplace(shown), 6)
    return canonical(law, unit_charges), {"form": text, "constants": report, "constants_note": note}


def _independent(trajectory: np.ndarray, film: np.ndarray | None) -> np.ndarray:
    """What may have errors of its own, as numbers [row]: the recording, where there are enough, or the trajectory."""
    if film is None or len(np.unique(film[trajectory])) < GROUPS:
        return trajectory
    return film[trajectory]


def _blocks(own: np.ndarray, film: np.ndarray | None) -> str:
    """What errors leave out that are taken from the trajectories ``own`` where these are of few recordings."""
    count = 0 if film is None else len(np.unique(film))
    if not 0 < count < min(GROUPS, len(np.unique(own))):
        return ""
    whose = "one recording" if count == 1 else f"{count} recordings"
    return f", blocks of {whose}: errors that a recording has throughout, as of its scale, are not in these"


def spread_of(fits: np.ndarray, count: int) -> np.ndarray:
    """Jackknife standard error [count] of the values [group, count] of the fits that each leave a group out; NaN where
    there are fewer than two.
    """
    if len(fits) < 2:
        return np.full(count, np.nan)
    return np.sqrt((len(fits) - 1) / len(fits) * ((fits - fits.mean(0)) ** 2).sum(0))


def groups(trajectory: np.ndarray):
    """For each of ``GROUPS`` groups of trajectories in turn, which rows [row] are left without it; none of one."""
    known = np.unique(trajectory)
    if len(known) < 2:  # nothing would be left
        return []
    group = np.random.default_rng(17).permutation(len(known)) % GROUPS
    of = group[np.searchsorted(known, trajectory)]
    return [of != g for g in range(min(GROUPS, len(known)))]


def jackknife_fits(form, symbols, values, data: Receivers, node_terms=(), size=None) -> list:
    """The constants [k], in the order of ``symbols``, without each of ``GROUPS`` groups of trajectories in turn."""
    fits = []
    for keep in groups(data.trajectory):
        part = acceleration_objective(data.subset(keep), node_terms, None if size is None else size[keep], least=0.0)
        if (found := part.constants(form, symbols, values, 20)) is not None:
            fits.append(found[0])
    return fits


def snap(form, symbols, values, spread, objective, score) -> np.ndarray:
    """``values`` with round numbers where the data allow it; the others are refitted beside them.

    One constant a round, the most certain first; given up for a constant whose rounding costs more than
    ``COST`` of the score.
    """
    values = np.array(values, dtype=float)
    held: dict[int, float] = {}
    certainty = spread / np.maximum(np.abs(values), 1e-300)
    for k in np.argsort(np.where(np.isfinite(certainty), certainty, np.inf), kind="stable"):
        number = round_number(values[k], spread[k])
        if number is None:
            continue
        trial = held | {int(k): number}
        fixed = form.xreplace({symbols[i]: sp.Rational(repr(v)) for i, v in trial.items()})  # a Float would be fitted
        free = [i for i in range(len(values)) if i not in trial]
        others = [symbols[i] for i in free]
        if not set(others) <= fixed.free_symbols:  # a constant that became 0 may take others with it
            continue
        found = objective.constants(fixed, others, values[free])
        fitted = values[free] if found is None else found[0]
        if objective.score(with_constants(fixed, others, fitted)) <= max(score * (1 + COST), objective.tiny):
            held = trial
            values[free] = fitted
            values[list(trial)] = list(trial.values())
    return values


def round_number(value: float, error: float) -> float | None:
    """The number of fewest digits within ``WITHIN`` standard errors of ``value``, or None if there is none that
    means anything: numbers of that many digits must be so far apart that one lies there by chance in less than
    ``CHANCE`` of the cases.
    """
    if not (math.isfinite(error) and math.isfinite(value)) or value == 0:
        return None
    reach = WITHIN * max(error, RESOLUTION * abs(value))
    for digits in range(1, DIGITS + 1):
        spacing = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
        number = float(f"{value:.{digits - 1}e}")
        if abs(number - value) <= reach:
            return number if 2 * reach <= CHANCE * spacing else None
    return None


def _told(constant: dict) -> str:
    before, after = (f"{constant[k]:.6g}" for k in ("snapped_from", "value"))
    if before != after:
        return f"{constant['symbol']} from {before} to {after}"
    return f"{constant['symbol']} to {after} (by {constant['value'] - constant['snapped_from']:.1g})"
