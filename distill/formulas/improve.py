"""Make a formula better: round exponents, drop terms, repair its structure.

All functions are deterministic and never raise for a formula that cannot be evaluated: its score is infinite.
"""

from collections import Counter

import numpy as np
import sympy as sp

from distill.formulas.objective import Objective
from distill.formulas.tree import complexity, opened, parametrise, replaced, tidy

TOLERANCE = 0.02  # by which a score may rise for a simpler formula
DROPPED, STEPS = 6, 8  # terms at most, of ``prune`` and of ``descent``
NEARLY_LOG = 0.2  # exponents below it
KEPT, GAIN = 8, 0.1  # changes of either kind that ``repair`` tries; by how much one must lower the score


def polish(expr: sp.Expr, objective: Objective, max_nfev: int = 60) -> tuple[sp.Expr, float]:
    """Tidy, refit, round exponents; returns (formula, score)."""
    expr, score = objective.fit(tidy(expr), max_nfev)
    return round_exponents(expr, objective, score)


def round_exponents(expr, objective, score=None) -> tuple[sp.Expr, float]:
    """Replace fitted exponents by the nearest multiple of 1/2 where the score rises by at most ``TOLERANCE``."""
    score, failed = objective.score(expr) if score is None else score, Counter[tuple]()
    while power := _to_round(expr, failed):
        exponent = _rounding(power)[1]
        if abs(float(exponent) - float(power.exp)) <= 0.3:
            trial, new = objective.fit(tidy(expr.xreplace({power: power.base**exponent})))
            if new <= max(score * (1 + TOLERANCE), objective.tiny):
                expr, score = trial, min(score, new)
                continue
        failed[_rounding(power)] += 1
    return expr, score


def _to_round(expr, failed: Counter) -> sp.Pow | None:
    """A power with a fitted exponent that was not tried yet. A refit changes the other exponents too, so they are
    looked up again: of those alike as many as have ``failed`` are left.
    """
    seen = Counter[tuple]()
    for power in sorted((p for p in expr.atoms(sp.Pow) if p.exp.is_Float), key=str):
        if seen[_rounding(power)] >= failed[_rounding(power)]:
            return power
        seen[_rounding(power)] += 1
    return None


def _rounding(power) -> tuple:
    """(form of the base, nearest multiple of 1/2) of a power with a fitted exponent."""
    return parametrise(power.base)[0], sp.Rational(round(2 * float(power.exp)), 2)


def logarithms(expr, objective) -> list[sp.Expr]:
    """``expr`` with logarithms in place of powers whose fitted exponents e are near zero, b^e = 1 + e log(b) + ...:
    once log(b), and once log(b + s), whose fit begins at s = e times the median of |b|. The second order of e stands in
    for such an s, and that change is too small to be found by ``repair``.
    """
    powers = [p for p in expr.atoms(sp.Pow) if p.exp.is_Float and abs(p.exp) < NEARLY_LOG]
    out = []
    for shift in (0, 1) if powers else ():
        instead = {}
        for p in powers:
            typical = float(np.median(np.abs(objective.values(p.base))))
            instead[p] = 1 + p.exp * sp.log(p.base + (sp.Float(typical) * p.exp if shift else 0))
        out.append(objective.fit(tidy(expr.xreplace(instead)))[0])
    return out


def open_up(expr, objective) -> tuple[sp.Expr, float]:
    """``expr`` fitted; where a product of sums stands above a line and its products with a free factor each fit
    clearly better (``tree.opened``: they are linear in their constants), these, without those that are not needed.
    """
    expr, score = objective.fit(expr)
    if score > objective.tiny and (wide := opened(expr)) is not None:
        trial, new = objective.fit(wide)
        if new < (1 - GAIN) * score:
            return prune(trial, objective)
    return expr, score


def prune(expr, objective, tolerance: float = TOLERANCE) -> tuple[sp.Expr, float]:
    """Drop terms of sums and factors of products, one a round, while that costs at most ``tolerance`` of the
    score; of the candidates the one that leaves the simplest formula goes first.
    """
    score = objective.score(expr)
    hopeless = max(3 * score, 0.05 * objective.score(sp.S.Zero))  # not worth a fit
    for _ in range(DROPPED):
        size, best = complexity(expr), None
        for trial in shorter(expr):
            if complexity(trial) >= size or not trial.free_symbols or objective.score(trial) > hopeless:
                continue
            allowed = max(score * (1 + tolerance), objective.tiny)
            trial, new = objective.fit(trial, 20, allowed)
            if new <= allowed and (best is None or complexity(trial) < complexity(best[0])):
                best = trial, new
        if best is None:
            break
        expr, score = best[0], min(score, best[1])  # the bound must not drift upwards round by round
    return expr, objective.score(expr)


def shorter(expr):
    """Formulas with one term or one factor less, with two unlike factors made alike, or with an exponential made its
    first two terms, each once.
    """
    found: dict[sp.Expr, None] = {}
    for node in sp.preorder_traversal(expr):
        if node.is_Add:
            trials = [node.func(*_others(node, a)) for a in node.args]
        elif node.is_Mul:
            trials = [node.func(*_others(node, a)) for a in node.args if not a.is_number]
            trials += _alike(node)
        elif isinstance(node, sp.exp):
            trials = [1 + node.args[0]]  # exp(u) - 1 where u is small is u, spelt with an error
        else:
            continue
        for new in trials:
            trial = replaced(expr, node, new)
            if trial is not None and not (trial := tidy(trial)).has(sp.zoo, sp.nan, sp.oo):
                found[trial] = None
    return list(found)


def _others(node, a):
    return [b for b in node.args if b is not a]


def _alike(node):
    """``1/(r (r + c))`` as ``1/(r + c)**2``, ``(r + a)/(r + b)**3`` too: powers of bases in the same variables made
    one power, those on both sides of the line only where both are sums.
    """
    powers = [a.as_base_exp() for a in node.args if not a.is_number]
    out = []
    for k, (base, exponent) in enumerate(powers):
        for other, same in powers[k + 1 :]:
            known = exponent.is_Rational and same.is_Rational
            sums = base.is_Add + other.is_Add >= (1 if exponent * same > 0 else 2) if known else False
            if sums and base.free_symbols == other.free_symbols:
                rest = node / (base**exponent * other**same)
                out += [rest * kept ** (exponent + same) for kept in (base, other) if kept.is_Add]
    return out


def descent(expr, objective, met: set) -> list[sp.Expr]:
    """Backward elimination: the formulas met when the term, factor or difference that costs least is dropped
    again and again, refitted each time, whatever it costs. Which of them is worth its nodes the front decides.
    Ends at a form in ``met``, to which those passed are added: from there on the way is known.
    """
    out = []
    for _ in range(STEPS):
        size, best = complexity(expr), None
        for trial in shorter(expr):
            if complexity(trial) < size and trial.free_symbols:
                trial, score = objective.fit(trial, 10, np.inf if best is None else best[1])
                if best is None or (score, complexity(trial)) < (best[1], complexity(best[0])):
                    best = trial, score
        if best is None or not np.isfinite(best[1]):
            break
        expr = best[0]
        out.append(expr)
        form = parametrise(expr)[0]
        if form in met:
            break
        met.add(form)
    return out


def repair(expr, objective, rounds: int = 3) -> tuple[sp.Expr, float]:
    """Change the structure where that helps: at every node A try A + p, A + p z, A z and A / z for every
    feature z and for z_i z_j of a property of both ends, which may matter where neither does alone. All are ranked
    to first order, the best ``KEPT`` sums and as many products are refitted, and the best is accepted if the score
    falls by more than ``GAIN``; up to ``rounds`` changes. Terms that a later change made useless are dropped at the
    end.
    """
    score, before = objective.score(expr), expr
    for _ in range(rounds):
        if score <= objective.tiny:
            break
        best = None
        for trial in _changed(expr, objective):
            trial, new = objective.fit(tidy(trial), 15, np.inf if best is None else best[1])
            if best is None or new < best[1]:
                best = trial, new
        if best is None or not best[1] < (1 - GAIN) * score:
            break
        expr, score = objective.fit(best[0], 60)
    return (expr, score) if expr == before else prune(expr, objective)


def _changed(expr, objective):
    """The most promising single changes of ``expr``, as formulas."""
    with np.errstate(all="ignore"):
        if (found := objective.linearised(expr)) is None:
            return []
        program, slots, weights, missing = found
        grads = program.gradients(slots)
        sums: list[tuple] = []
        products: list[tuple] = []
        features = [*objective.symbols, *_pair_products(objective)]
        Z = np.column_stack([*objective.columns, *(objective.values(z) for z in features[len(objective.symbols) :])])
        one = np.ones((objective.rows, 1))
        nodes = [n for n in sp.preorder_traversal(expr) if n.is_Symbol or n.is_Add or n.is_Mul]
        for node in dict.fromkeys(nodes):
            slot = program.nodes.get(node)
            if slot is None or grads[slot] is None:
                continue
            g, a = objective.full(grads[slot])[:, None], objective.full(slots[slot])[:, None]
            H = weights[:, None] * objective.apply(np.hstack([g * one, g * Z, g * a, g * a * Z, g * a / Z]))
            _rank(node, H, missing, features, sums, products)
    # sorted by gain; ties keep the order of the walk, so the result is reproducible
    sums.sort(key=lambda c: -c[0])
    products.sort(key=lambda c: -c[0])
    return [expr.xreplace({node: new(node)}) for _, node, new in sums[:KEPT] + products[:KEPT]]


def _pair_products(objective) -> list[sp.Expr]:
    """z_i z_j of every property that both ends have among the features."""
    named = dict(zip(objective.names, objective.symbols, strict=True))
    stems = [n[:-2] for n in objective.names if n.endswith("_i") and f"{n[:-2]}_j" in named]
    return [named[f"{stem}_i"] * named[f"{stem}_j"] for stem in stems]


def _rank(node, H, missing, symbols, sums, products):
    """Append (first-order fall of the loss, node, function that makes the change) for every change at ``node``.

    ``H`` [residual, 3 k + 2]: effect of adding 1 and each z, of scaling the node, of z and of 1 / z times it.
    """
    k = len(symbols)
    hh, hr = np.einsum("ij,ij->j", H, H), missing @ H
    for i in range(k + 1):
        if np.isfinite(hh[i]) and hh[i] > 0 and not (i and symbols[i - 1] == node):
            sums.append((hr[i] ** 2 / hh[i], node, _added(hr[i] / hh[i] or 0.1, symbols[i - 1] if i else None)))
    scale = H[:, k + 1]
    for i in range(2 * k):
        h, j = H[:, k + 2 + i], k + 2 + i
        # two columns together, z times the node and the node itself: 2 x 2 normal equations
        cross = h @ scale
        det = hh[j] * hh[k + 1] - cross**2
        if np.isfinite(det) and det > 1e-12 * hh[j] * hh[k + 1]:
            fall = (hh[k + 1] * hr[j] ** 2 - 2 * cross * hr[j] * hr[k + 1] + hh[j] * hr[k + 1] ** 2) / det
            products.append((fall, node, _times(symbols[i % k], i >= k)))


def _added(p, z):
    return lambda node: node + (sp.Float(p) * z if z is not None else sp.Float(p))


def _times(z, inverse):
    return lambda node: sp.Float(1.0) * node * (1 / z if inverse else z)
