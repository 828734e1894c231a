"""Families of radial forms fitted straight to the data: what is common in physics is not left to the luck of a search.

    y = sum over one or two products P of the properties of  P S(r)

A family is a form S of the distance with constants that enter linearly and at most two that do not. Which products
the data prefer is asked first, with a radial dependence that is free (piecewise linear in log r, with and without
1/r^2). Each family is then fitted by variable projection from the best of a few fixed starts, which scale with the
distances, so that units do not matter. The list is a prior: a law that is in it is found at once, one that is not has
to be found by the search as before.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy as sp

from distill.formulas.functions import greater
from distill.formulas.improve import round_exponents
from distill.formulas.objective import SOFT, SQUARES, Objective
from distill.formulas.switches import plain, refine_thresholds, thresholds
from distill.formulas.tree import canonical, complexity

RADIUS, DIRECTIONS = "r", ("dx", "dy", "dz")
MOST_FACTORS = 6  # properties of both ends: from more on, products of two of them only
KNOTS = 8
STARTED, EVALUATIONS = 2, 60  # starts of a family that are followed, for each nonlinear constant, and how far
GAIN = 0.3  # share of the loss that a second product has to take away
NEAR = 1.5  # products whose loss is within this factor of the best one's are tried too
ENOUGH = 1.1  # times the loss of a pair with free radial dependences: one form for both is not worse than that
KEPT = 10  # formulas returned
ROUNDED = 4  # ... of the best families whose exponents are rounded


@dataclass(frozen=True)
class Family:
    """``form(r, a, t)``: S with the ``linear`` constants a and the others t; ``starts(x)``: values of t, x being a
    typical distance.
    """

    name: str
    linear: int
    form: Callable
    starts: Callable = lambda x: [()]


def _screens(x):
    return [s / x for s in (0.2, 0.6, 1.7, 5.0)]


def _soft(x):
    return [s * x for s in (0.003, 0.03, 0.3)]


def _pairs(a, b):
    return list(itertools.product(a, b))


EXPONENTS = (-12.0, -7.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0)
FEW = (-3.0, -2.0, -1.0, 1.0)
FAMILIES = (
    Family("power", 1, lambda r, a, t: a[0] * r ** t[0], lambda x: [(p,) for p in EXPONENTS]),
    Family("line", 2, lambda r, a, t: a[0] * r + a[1]),
    Family("power and constant", 2, lambda r, a, t: a[0] * r ** t[0] + a[1], lambda x: [(p,) for p in EXPONENTS]),
    Family(
        "two powers",
        2,
        lambda r, a, t: a[0] * r ** t[0] + a[1] * r ** t[1],
        lambda x: list(itertools.combinations((-13.0, -7.0, -4.0, -3.0, -2.0, -1.0, 1.0, 3.0), 2)),
    ),
    Family(
        "softened power", 1, lambda r, a, t: a[0] * (r + t[1]) ** t[0], lambda x: _pairs((*FEW[:3], -4.0), _soft(x))
    ),
    Family(
        "Plummer",
        1,
        lambda r, a, t: a[0] * r * (r**2 + t[1]) ** t[0],
        lambda x: _pairs((-0.5, -1.0, -1.5, -2.5), [e**2 for e in (0.03 * x, 0.2 * x, x)]),
    ),
    Family(
        "softened square",
        1,
        lambda r, a, t: a[0] * (r**2 + t[1]) ** t[0],
        lambda x: _pairs((-0.5, -1.0, -1.5), [e**2 for e in (0.03 * x, 0.2 * x, x)]),
    ),
    Family(
        "soft sphere",
        1,
        lambda r, a, t: a[0] * (t[0] - r) * greater(t[0], r),
        lambda x: [(s * x,) for s in (0.1, 0.2, 0.4, 0.7, 1.0, 1.5)],
    ),
    Family("exponential", 1, lambda r, a, t: a[0] * sp.exp(-t[0] * r), lambda x: [(k,) for k in _screens(x)]),
    Family("Gaussian", 1, lambda r, a, t: a[0] * sp.exp(-t[0] * r**2), lambda x: [(k / x,) for k in _screens(x)]),
    Family(
        "Gaussian force", 1, lambda r, a, t: a[0] * r * sp.exp(-t[0] * r**2), lambda x: [(k / x,) for k in _screens(x)]
    ),
    Family(
        "screened power",
        1,
        lambda r, a, t: a[0] * sp.exp(-t[0] * r) * r ** t[1],
        lambda x: _pairs(_screens(x), FEW),
    ),
    Family(
        "softened, screened inverse square",
        1,
        lambda r, a, t: a[0] * sp.exp(-t[0] * r) * (r + t[1]) ** -2,
        lambda x: _pairs(_screens(x), _soft(x)),
    ),
    Family(
        "Yukawa",
        2,
        lambda r, a, t: (a[0] * r + a[1]) * sp.exp(-t[0] * r) / r**2,
        lambda x: [(k,) for k in _screens(x)],
    ),
    Family(
        "softened Yukawa",
        2,
        lambda r, a, t: (a[0] * r + a[1]) * sp.exp(-t[0] * r) / (r + t[1]) ** 2,
        lambda x: _pairs(_screens(x), _soft(x)),
    ),
    Family(
        "Morse",
        2,
        lambda r, a, t: a[0] * sp.exp(-t[0] * r) + a[1] * sp.exp(-t[1] * r),
        lambda x: [(k, f * k) for k in (0.2 / x, 0.6 / x, 1.7 / x, 5.0 / x) for f in (2.0, 4.0)],
    ),
    Family(
        "exponential and power",
        2,
        lambda r, a, t: a[0] * sp.exp(-t[0] * r) + a[1] * r ** t[1],
        lambda x: _pairs(_screens(x), (-6.0, *FEW)),
    ),
)

# what acts only beyond a distance, or only within it, with a jump there: t[0], for which the distances of the data are
# tried in place of the start
SWITCHED = tuple(
    Family(f"{name} {where}", linear, lambda r, a, t, f=form, c=condition: f(r, a, t[1:]) * c(r, t[0]), starts)
    for where, condition in (("beyond", greater), ("within", lambda r, t: greater(t, r)))
    for name, linear, form, starts in (
        ("line", 2, lambda r, a, t: a[0] * r + a[1], lambda x: [(x,)]),
        ("power", 1, lambda r, a, t: a[0] * r ** t[0], lambda x: [(x, p) for p in FEW]),
    )
)
PLACES = 31  # quantiles of the distances that are tried for a threshold, and
FAR_OFF = 4.0  # times the loss of the best other fit, from which on a threshold there is not refined

# beside the direction of a message component there is one linear constant a direction: the line's offset is not linear
SHIFTED = Family("shifted line", 1, lambda r, a, t: a[0] * (r + t[0]), lambda x: [(-3 * x,), (-x,), (-0.3 * x,), (x,)])


def propose(objective: Objective) -> list[sp.Expr]:
    """Formulas of the families for the best products of properties, from simple to complex, each with a lower loss than
    those before it, at most ``KEPT``; none where there is no distance ``r`` > 0 among the features.

    With dx, dy (and dz) among them ``objective`` is a message component, (a dx + b dy) S(r)/r and a constant.
    """
    if RADIUS not in objective.names:
        return []
    with np.errstate(all="ignore"):
        curves = Curves(objective)
        return curves.found() if curves.usable else []


def products(objective: Objective) -> list[sp.Expr]:
    """Every product of different properties among the features that are not constant, 1 first; of more than
    ``MOST_FACTORS`` properties the products of two.
    """
    known = zip(objective.symbols, objective.names, objective.columns, strict=True)
    properties = [s for s, n, c in known if n not in (RADIUS, *DIRECTIONS) and np.ptp(c) > 0]
    most = len(properties) if len(properties) <= MOST_FACTORS else 2
    return [sp.Mul(*c) for k in range(most + 1) for c in itertools.combinations(properties, k)]


class Curves:
    """The fits of the families to one objective."""

    def __init__(self, objective: Objective):
        self.objective = objective
        by_name = dict(zip(objective.names, objective.symbols, strict=True))
        self.r = by_name[RADIUS]
        distance = objective.columns[objective.names.index(RADIUS)]
        self.usable = bool((distance > 0).all()) and np.ptp(distance) > 0
        self.d = [by_name[n] for n in DIRECTIONS if n in by_name]
        self.families = [*(f for f in FAMILIES if f.linear == 1), SHIFTED] if self.d else FAMILIES
        self.products = products(objective)
        if not self.usable:
            return
        self.typical = float(np.median(distance))
        self.x = sp.Symbol("#x", real=True)  # r in units of the typical one: fits do not depend on the unit
        self.hats = self._free_radial(distance)
        self.places = np.unique(np.quantile(distance, np.linspace(0, 1, PLACES + 2)[1:-1])) / self.typical
        self.columns = {s: c for s, c in zip(objective.symbols, objective.columns, strict=True)}

    def _free_radial(self, distance) -> np.ndarray:
        """[row, function]: any reasonable dependence on the distance is near a linear combination of them."""
        x = np.log(distance)
        knots = np.unique(np.quantile(x, np.linspace(0, 1, KNOTS)))
        hats = np.stack([np.interp(x, knots, e) for e in np.eye(len(knots))], axis=1)
        return np.hstack([hats, hats * (self.typical / distance[:, None]) ** 2])

    def _values(self, product) -> np.ndarray:
        return self.objective.full(
            np.prod([self.columns[s] for s in sorted(product.free_symbols, key=str)], axis=0, dtype=float)
        )

    def _span(self, product) -> np.ndarray:
        """[row, function]: ``product`` times free functions of the distance (and of the direction)."""
        span = self._values(product)[:, None] * self.hats
        return np.hstack([span * (self.columns[s] / self.columns[self.r])[:, None] for s in self.d]) if self.d else span

    def _loss(self, columns) -> float:
        """The loss of the best linear combination of ``columns`` [row, k]; soft l1 by reweighting."""
        o = self.objective
        H = o.weights[:, None] * o.apply(np.hstack([columns, np.ones((o.rows, 1))]) if self.d else columns)
        y = o.weights * o.target
        weights: float | np.ndarray = 1.0
        size = np.maximum(np.linalg.norm(H, axis=0), 1e-300)
        for _ in range(1 if o.loss == "linear" else 3):
            scaled = (H / size) * (weights[:, None] if isinstance(weights, np.ndarray) else weights)
            r = H @ (np.linalg.lstsq(scaled, weights * y, rcond=1e-12)[0] / size) - y
            weights = 1.0 if o.loss == "linear" else (1 + (r / o.f_scale) ** 2) ** -0.25
        loss = np.sum(r**2) if o.loss == "linear" else np.sum(np.sqrt(1 + (r / o.f_scale) ** 2) - 1)
        return float(loss) if np.isfinite(loss) else np.inf

    def preferred(self) -> tuple[list, tuple | None, float]:
        """(products, best first, that alone explain nearly as much as the best; the best pair or None; its loss)."""
        spans = {p: self._span(p) for p in self.products}
        losses = {p: self._loss(s) for p, s in spans.items()}
        order = sorted(self.products, key=lambda p: losses[p])
        best = order[0]
        single = [p for p in order if losses[p] <= NEAR * losses[best]][:2]
        pairs = {p: self._loss(np.hstack([spans[best], spans[p]])) for p in self.products if p != best}
        second = min(pairs, key=pairs.__getitem__, default=None)
        if second is None or not pairs[second] < (1 - GAIN) * losses[best]:
            return single, None, np.inf
        return single, (best, second), pairs[second]

    def found(self) -> list[sp.Expr]:
        single, pair, enough = self.preferred()
        fits = []
        for product in single:
            fits += [self._one(product, f) for f in self.families]
        fits += self._jumps(single, min((f[0] for f in fits if f is not None), default=np.inf))
        if pair is not None:
            shared = [self._shared(pair, f) for f in self.families if f.linear == 1]
            fits += shared
            if not self.d and min((f[0] for f in shared if f is not None), default=np.inf) > ENOUGH * enough:
                fits += self._separate(pair)
        fits = sorted((f for f in fits if f is not None), key=lambda f: f[0])
        objective, out = self.objective, []
        for k, (_, expr, _) in enumerate(fits):
            score = objective.score(expr)
            out.append((complexity(expr), score, expr))
            if k < ROUNDED:
                rounded = canonical(round_exponents(expr, objective, score)[0])
                out.append((complexity(rounded), objective.score(rounded), rounded))
        front, lowest = [], np.inf
        for _, score, expr in sorted(out, key=lambda o: o[:2]):
            if score < lowest * (1 - 1e-6) and lowest > objective.tiny:  # below it a term more fits rounding
                front.append(expr)
                lowest = score
        return front[-KEPT:]

    def _one(self, product, family: Family):
        a, t = _symbols("a", family.linear), _symbols("t", _count(family))
        if not self.d:
            return self._fit(product * family.form(self.x, a, t), a, t, family.starts(1.0))
        along, offset = _symbols("a", len(self.d)), _symbols("b", 1)
        direction = sp.Add(*[c * d for c, d in zip(along, self.d, strict=True)])
        form = product * direction * family.form(self.x, (sp.S.One,), t) / self.r + offset[0]
        return self._fit(form, (*along, *offset), t, family.starts(1.0))

    def _jumps(self, products, least: float):
        """Fits with a jump at a distance, as good as the data can tell it; those that are not hopeless."""
        out = []
        for product, family in itertools.product(products if not self.d else (), SWITCHED):
            a, t = _symbols("a", family.linear), _symbols("t", _count(family))
            form = product * family.form(self.x, a, t)
            starts = [(place, *start[1:]) for place in self.places for start in family.starts(1.0)]
            coarse = self._fit(form, a, t, starts)
            if coarse is None or coarse[0] > FAR_OFF * least:
                continue
            known = thresholds(refine_thresholds(plain(coarse[1]), self.objective)[0])
            fine = self._fit(form, a, t, [(known[0][2] / self.typical, *coarse[2][1:])]) if known else None
            out.append(coarse if fine is None else (fine[0], plain(fine[1]), fine[2]))
        return out

    def _shared(self, pair, family: Family):
        """One form of the distance for two products, each with a factor of its own."""
        t = _symbols("t", _count(family))
        shape = family.form(self.x, (sp.S.One,), t)
        if not self.d:
            a = _symbols("a", 2)
            return self._fit((a[0] * pair[0] + a[1] * pair[1]) * shape, a, t, family.starts(1.0))
        a, offset = _symbols("a", 2 * len(self.d)), _symbols("b", 1)
        terms = [c * p * d for c, (p, d) in zip(a, itertools.product(pair, self.d), strict=True)]
        return self._fit(sp.Add(*terms) * shape / self.r + offset[0], (*a, *offset), t, family.starts(1.0))

    def _separate(self, pair):
        """A form of the distance for each of two products: each is chosen beside a free one of the other, then both are
        fitted together.
        """
        chosen = []
        for product, other in (pair, pair[::-1]):
            extra = self._span(other)
            free, a = _symbols("h", extra.shape[1]), _symbols("a", 2)
            coefficients = _symbols("b", len(free))
            rest = sp.Add(*[c * h for c, h in zip(coefficients, free, strict=True)])
            tried: list[tuple] = []
            for family in (f for f in FAMILIES if _count(f) <= 1):
                t, own = _symbols("t", _count(family)), a[: family.linear]
                form = product * family.form(self.x, own, t) + rest
                fit = self._fit(
                    form, (*own, *coefficients), t, family.starts(1.0), dict(zip(free, extra.T, strict=True))
                )
                if fit is not None:
                    tried.append((fit[0], len(tried), family, fit[2]))
            chosen.append([(family, t) for _, _, family, t in sorted(tried, key=lambda x: x[:2])[:2]])
        out = []
        for (one, t1), (two, t2) in itertools.product(*chosen):
            soft1, soft2 = self._softened(one, t1), self._softened(two, t2)
            for (f, s1), (g, s2) in itertools.product(soft1, soft2):
                a, t = _symbols("a", f.linear + g.linear), _symbols("t", len(s1) + len(s2))
                form = pair[0] * f.form(self.x, a[: f.linear], t[: len(s1)])
                form += pair[1] * g.form(self.x, a[f.linear :], t[len(s1) :])
                out.append(self._fit(form, a, t, [(*s1, *s2)]))
        return out

    def _softened(self, family: Family, t):
        """The family as it is, and, where it is a power, softened too."""
        if family.name not in ("power", "power and constant") or t[0] >= 0:
            return [(family, t)]
        soft = next(f for f in FAMILIES if f.name == "softened power")
        return [(family, t), (soft, (t[0], 0.01))]

    def _fit(self, form, linear, nonlinear, starts, extra=None):
        """(loss, formula, nonlinear constants) of the best fit of ``form``, or None.

        ``extra``: columns [row] by symbol, for free functions that are no part of a formula.
        """
        o, columns = self.objective, {self.x: self.columns[self.r] / self.typical} | (extra or {})
        program = o.compiled(form, (*columns, *linear, *nonlinear))
        if program is None:
            return None
        problem = o.problem(program, range(len(linear)), columns.values())
        size = np.maximum(np.abs(np.array(starts, dtype=float)).mean(0), 1e-12) if nonlinear else np.zeros(0)
        scale, tolerances = np.r_[np.ones(len(linear)), size], SQUARES if problem.f_scale is None else SOFT
        screened = []
        for k, start in enumerate(starts):
            p = np.r_[np.ones(len(linear)), start]
            at, r, _ = problem.projected(p)
            if np.isfinite(at).all():
                screened.append((problem.cost(r), k, at))
        best = None
        for cost, _, at in sorted(screened, key=lambda s: s[:2])[: STARTED * max(1, len(nonlinear))]:
            found = problem.solve(at, scale, EVALUATIONS, tolerances) if nonlinear or problem.f_scale else None
            at, cost = (at, cost) if found is None else (found[0], problem.cost(found[1]))
            if np.isfinite(at).all() and np.isfinite(cost) and (best is None or cost < best[0]):
                best = float(cost), at
        if best is None:
            return None
        symbols = (*linear, *nonlinear)
        expr = form.xreplace({s: sp.Float(float(v)) for s, v in zip(symbols, best[1], strict=True)})
        expr = canonical(expr.xreplace({self.x: self.r / sp.Float(self.typical)}))
        if not extra and (expr.has(sp.zoo, sp.nan, sp.oo, sp.I) or not np.isfinite(o.score(expr))):
            return None
        return best[0], expr, tuple(float(v) for v in best[1][len(linear) :])


def _count(family: Family) -> int:
    return len(family.starts(1.0)[0])


def _symbols(stem: str, count: int) -> tuple:
    # "#" can't be in a variable's name, so nothing collides
    return tuple(sp.Symbol(f"#{stem}{k}", real=True) for k in range(count))
