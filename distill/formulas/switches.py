"""Piecewise laws: find where a part of a formula acts and where it does not.

A switch is ``greater(z, c)``: 1 where z > c, else 0. Its derivative with respect to the threshold c is zero
wherever there is one, so no least-squares fit can move it: thresholds are scanned. All thresholds of a feature
are ranked at once to first order, as ``improve.repair`` ranks its changes, and the best are fitted with the
threshold refined to the gap between two neighbouring values of z, which is all that data can tell.
"""

import numpy as np
import sympy as sp

from distill.formulas.functions import greater
from distill.formulas.improve import prune, repair
from distill.formulas.objective import Objective
from distill.formulas.tree import tidy

GAIN = 0.5  # a switch must halve the score: it costs four nodes and can always mend a few rows
COARSE = 1.5  # times as much is good enough before the threshold is refined
QUANTILES = 31
KEPT, GRID = 2, 9  # switches that are fitted; places of a threshold that are tried at once
DISTINCT = 32  # a feature with fewer values (a charge of +-1) has no threshold to find


def switch(expr: sp.Expr, objective: Objective) -> tuple[sp.Expr, float]:
    """``expr`` with one of its terms (or the whole of it) switched by a feature, constants and threshold
    refitted, if that lowers the score to ``GAIN`` times its value or less; else ``expr`` as it was.
    """
    score = objective.score(expr)
    best = expr, score
    if score <= objective.tiny:
        return best
    for trial in _switched(expr, objective):
        trial, new = objective.fit(tidy(trial), 20)
        if new < COARSE * GAIN * score:  # the threshold is still a coarse one
            trial, new = refine_thresholds(trial, objective)
            if new < best[1]:
                best = trial, new
    return best if best[1] <= GAIN * score else (expr, score)


def _switched(expr, objective):
    """The most promising formulas with one switch more than ``expr``."""
    found = []
    with np.errstate(all="ignore"):
        if (linear := objective.linearised(expr)) is None:
            return []
        program, slots, weights, missing = linear
        for node in dict.fromkeys((expr, *sp.Add.make_args(expr))):
            slot = program.nodes.get(node)
            if slot is None or node.has(greater):
                continue
            value = objective.full(slots[slot])  # terms of the outer sum: their derivative is 1
            for symbol, column in zip(objective.symbols, objective.columns, strict=True):
                found += _ranked(node, symbol, column, value, weights, missing, objective)
    found.sort(key=lambda c: -c[0])
    return [expr.xreplace({node: node * new}) for _, node, new in found[:KEPT]]


def _ranked(node, symbol, column, value, weights, missing, objective):
    """(first-order fall of the squared residuals, node, switch) for the best threshold on either side."""
    if len(np.unique(column)) < DISTINCT:
        return []
    at = np.unique(np.quantile(column, np.linspace(0, 1, QUANTILES + 2)[1:-1]))
    above = weights[:, None] * objective.apply(value[:, None] * (column[:, None] > at))
    whole = weights * objective.apply(value)
    rest = missing + whole  # what is to be explained once the node is gone
    sides = ((above, lambda c: greater(symbol, c)), (whole[:, None] - above, lambda c: greater(c, symbol)))
    out = []
    for columns, make in sides:
        size, along = np.einsum("ij,ij->j", columns, columns), rest @ columns
        gain = np.where(size > 0, along**2 / np.where(size > 0, size, 1.0), -np.inf)
        k = int(np.argmax(gain))
        if np.isfinite(gain[k]):
            out.append((float(missing @ missing - rest @ rest + gain[k]), node, make(sp.Float(float(at[k])))))
    return out


def plain(expr: sp.Expr) -> sp.Expr:
    """With ``greater(k z, c)`` as the comparison of the feature z, for k > 0."""
    for e in expr.atoms(greater):
        number = next((a for a in e.args if a.is_number), None)
        scaled = next((a.as_coeff_Mul() for a in e.args if not a.is_number), None)
        if number is None or scaled is None:
            continue
        k, quantity = scaled
        if quantity.is_Symbol and k > 0:
            expr = expr.xreplace({e: greater(*(number / k if a is number else quantity for a in e.args))})
    return expr


def thresholds(expr: sp.Expr) -> list[tuple[sp.Expr, sp.Symbol, float]]:
    """(the switch, its feature, its threshold) of every ``greater`` of a feature and a number, in fixed order."""
    out = []
    for e in sorted(expr.atoms(greater), key=sp.default_sort_key):
        symbols = [a for a in e.args if a.is_Symbol]
        numbers = [a for a in e.args if a.is_number]
        if len(symbols) == 1 and len(numbers) == 1:
            out.append((e, symbols[0], float(numbers[0])))
    return out


def with_threshold(expr: sp.Expr, switched: sp.Expr, value: float) -> sp.Expr:
    """``expr`` with the number in ``switched`` replaced."""
    args = [sp.Float(float(value)) if a.is_number else a for a in switched.args]
    return expr.xreplace({switched: greater(*args)})


def gap(values: np.ndarray, threshold: float) -> tuple[float, float]:
    """The neighbouring values between which a threshold lies: anywhere in it the data see the same law."""
    ordered = np.unique(values)
    k = int(np.searchsorted(ordered, threshold, side="right"))
    return float(ordered[max(k - 1, 0)]), float(ordered[min(k, len(ordered) - 1)])


def refine_thresholds(expr: sp.Expr, objective: Objective) -> tuple[sp.Expr, float]:
    """Every threshold moved to the gap between data where the refitted score is lowest, one after the other.

    The bracket starts at a quantile step to either side and shrinks round the best of ``GRID`` places.
    """
    score = objective.score(expr)
    for number in range(len(thresholds(expr))):
        switched, symbol, at = thresholds(expr)[number]
        ordered = np.unique(objective.columns[objective.symbols.index(symbol)])
        if len(ordered) < 3:
            continue
        middle = 0.5 * (ordered[1:] + ordered[:-1])
        step = len(middle) // QUANTILES + 2
        centre = int(np.clip(np.searchsorted(middle, at), 0, len(middle) - 1))
        low, high = max(centre - step, 0), min(centre + step, len(middle) - 1)
        best = expr, score
        tried: dict[int, float] = {}
        while True:
            places = np.unique(np.linspace(low, high, GRID).round().astype(int))
            for k in places:
                if k not in tried:
                    trial, new = objective.fit(with_threshold(expr, switched, middle[k]), 8)
                    tried[k] = new
                    if new < best[1]:
                        best = trial, new
            k = min(places, key=lambda p: (tried[p], p))
            if high - low < GRID:
                break
            near = int(np.searchsorted(places, k))
            low, high = int(places[max(near - 1, 0)]), int(places[min(near + 1, len(places) - 1)])
        # the order of the switches is that of their text and may change with the threshold: one is refined
        # at a time, and a law with two switches on one feature is refined again from where it got to
        expr, score = best
    return expr, score


def mend(expr: sp.Expr, objective: Objective, rounds: int = 3) -> tuple[sp.Expr, float]:
    """``improve.repair`` with switches: tried first, because repairs of a formula that lacks its switch only
    approximate it, and once more at the end.
    """
    expr, _ = switch(expr, objective)
    expr, score = repair(expr, objective, rounds)
    again, new = switch(expr, objective)
    return prune(again, objective) if new < score else (expr, score)
