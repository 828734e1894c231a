"""Values of identities and curves of the distance from the normal equations of ``pairs``: damped Gauss-Newton steps.

Four hypotheses about what one value a particle does (``ROLES``): it acts (``source``: the accelerations that it causes
are proportional to it, as the mass in gravity), it answers (``response``: its own accelerations are, as 1/m where
forces do not know the mass), it does both with two values, or with one and the same (a charge where masses are given).
The product w_i s_j f(r) is bilinear, so one scale of each value is free: ``gauge``. What acts on a body beside pairs
may be the same for all, in proportion to powers of its values (``Scaling``), or of its own: then it is projected out.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag

from distill.identities.pairs import Pairs, Receiver

SOURCE, RESPONSE, SAME, BOTH = ROLES = ("source", "response", "same", "both")
OWN, LEFT = "own", "left out"  # in place of a scaling
STEPS, CONVERGED, ROUGHLY = 100, 1e-10, 1e-5
STARTS = 6  # random ones beside those from the data
RIDGE = 1e-9


@dataclass(frozen=True)
class Scaling:
    """w^``response`` s^``source``: how the acceleration by a term of a node differs from body to body."""

    response: int = 0
    source: int = 0

    def __call__(self, w: float, s: float) -> float:
        return _power(w, self.response) * _power(s, self.source)

    def slopes(self, w: float, s: float) -> tuple[float, float]:
        """By w and by s."""
        by_w = self.response * _power(w, self.response - 1) * _power(s, self.source) if self.response else 0.0
        by_s = self.source * _power(w, self.response) * _power(s, self.source - 1) if self.source else 0.0
        return by_w, by_s


def _power(x: float, k: int) -> float:
    least = 1e-3  # of a value of typical size 1: nothing is divided by what is too small to be seen
    return x**k if k >= 0 else float(np.copysign(max(abs(x), least), x)) ** k


@dataclass(frozen=True)
class Values:
    """``response`` w and ``source`` s [identity], ``curve`` f [K], ``given`` [product, K] of the products of known
    properties, ``node`` [column] of the terms of a node that have a scaling. ``cost``: sum of weighted squared
    residuals.
    """

    role: str
    response: np.ndarray
    source: np.ndarray
    curve: np.ndarray
    given: np.ndarray
    node: np.ndarray
    cost: float = np.inf


@dataclass
class _Reduced:
    """Normal equations of a receiver without what is projected out: coefficients of all columns are ``of`` [column,
    left] times those that are left, plus ``at`` [column].
    """

    of: np.ndarray
    at: np.ndarray
    gram: np.ndarray
    moment: np.ndarray
    square: float


@dataclass
class Problem:
    """``pairs`` under a ``role``. ``products`` [product, identity, identity]: of known properties, receiver first;
    ``smooth``: strength of the penalty on curves for each row of data. ``scalings``: of every block of a node a
    ``Scaling``, ``OWN`` where every body has coefficients of its own, or ``LEFT``; all left out where there are none.
    """

    pairs: Pairs
    role: str
    products: np.ndarray
    smooth: float
    fold: int | None = None  # left out
    scalings: tuple = ()
    held: tuple[int, ...] = ()  # identities whose ``source``, or ``response`` where only that is fitted, stays

    def __post_init__(self):
        p = self.pairs
        blocks = p.basis.node
        self.scalings = self.scalings or (LEFT,) * len(blocks)
        self.rough = self.smooth * p.basis.rough()
        cuts = np.cumsum([0, *(block.size for block in blocks)])
        of_block = [np.arange(low, high) for low, high in zip(cuts[:-1], cuts[1:], strict=True)]
        self._own = [k for k, scaling in zip(of_block, self.scalings, strict=True) if scaling == OWN]
        shared = [
            (k, block, scaling)
            for k, block, scaling in zip(of_block, blocks, self.scalings, strict=True)
            if isinstance(scaling, Scaling)
        ]
        self._shared = np.concatenate([np.empty(0, int), *(k for k, _, _ in shared)])
        self._scaled, low = [], 0
        for _, block, scaling in shared:
            self._scaled.append((slice(low, low + block.size), scaling))
            low += block.size
        self.nodes = low
        self.rough_nodes = self.smooth * block_diag(np.zeros((0, 0)), *(block.roughness() for _, block, _ in shared))
        penalties = [block.roughness() for block, scaling in zip(blocks, self.scalings, strict=True) if scaling == OWN]
        self._rough_own = self.smooth * block_diag(np.zeros((0, 0)), *penalties)
        self.reduced = [self._reduce(one) for one in p.receivers]
        self._rows = p.rows.sum() - (0 if self.fold is None else p.rows[self.fold])
        n, k = p.count, p.functions
        self.answers, self.acts = self.role in (RESPONSE, BOTH, SAME), self.role in (SOURCE, BOTH, SAME)
        sizes = {"response": n * (self.role in (RESPONSE, BOTH)), "source": n * self.acts}
        sizes |= {"curve": k, "given": k * len(self.products), "node": self.nodes}
        self.at, low = {}, 0
        for name, size in sizes.items():
            self.at[name], low = slice(low, low + size), low + size
        self.size = low
        self.free = np.ones(low, dtype=bool)
        met = np.zeros(n, dtype=bool)
        for one in p.receivers:
            met[one.partners] = True
        seen = np.isin(np.arange(n), [one.identity for one in p.receivers])
        if self.role in (RESPONSE, BOTH):
            self.free[self.at["response"]] = seen
        if self.acts:
            self.free[self.at["source"]] = met | seen if self.role == SAME else met
        if self.held:
            low = self.at["source" if self.acts else "response"].start
            self.free[low + np.array(self.held)] = False

    def _reduce(self, one: Receiver) -> _Reduced:
        gram, moment, square = one.without(self.fold)
        wide = self.pairs.functions * len(one.partners)
        keep = np.r_[np.arange(wide), wide + self._shared]
        of, at = np.zeros((len(moment), len(keep))), np.zeros(len(moment))
        of[keep, np.arange(len(keep))] = 1.0
        if not self._own:
            return _Reduced(of, at, gram[np.ix_(keep, keep)], moment[keep], square)
        own = wide + np.concatenate(self._own)
        rows = one.rows.sum() - (0 if self.fold is None else one.rows[self.fold])
        inner = gram[np.ix_(own, own)] + rows * self._rough_own
        inner[np.diag_indices_from(inner)] += RIDGE * np.trace(inner) / len(inner) + 1e-300
        across = gram[np.ix_(own, keep)]
        solved = np.linalg.solve(inner, np.column_stack([across, moment[own]]))
        of[own], at[own] = -solved[:, :-1], solved[:, -1]
        less = across.T @ solved  # with the penalty on what is projected out
        moments = moment[keep] - less[:, -1]
        return _Reduced(of, at, gram[np.ix_(keep, keep)] - less[:, :-1], moments, float(square - moment[own] @ at[own]))

    def with_(self, **changed) -> "Problem":
        """The same with other ``smooth``, ``fold``, ``role``, ``products`` or ``scalings``."""
        now = {k: getattr(self, k) for k in ("pairs", "role", "products", "smooth", "fold", "scalings", "held")}
        return Problem(**(now | changed))

    def products_of(self, one: Receiver) -> np.ndarray:
        return self.products[:, one.identity][:, one.partners]

    def scale(self, v: Values, one: Receiver) -> np.ndarray:
        """Of the shared columns of a receiver's node [column]."""
        out = np.ones(self.nodes)
        for at, scaling in self._scaled:
            out[at] = scaling(v.response[one.identity], v.source[one.identity])
        return out

    def left(self, v: Values, one: Receiver) -> np.ndarray:
        """Coefficients of the columns of a receiver that are not projected out."""
        curves = np.outer(v.response[one.identity] * v.source[one.partners], v.curve)
        curves = curves + self.products_of(one).T @ v.given
        return np.concatenate([curves.ravel(), self.scale(v, one) * v.node])

    def coefficients(self, v: Values, k: int) -> np.ndarray:
        """Of all columns of the receiver of that number among ``pairs.receivers``."""
        reduced = self.reduced[k]
        return reduced.of @ self.left(v, self.pairs.receivers[k]) + reduced.at

    def coefficients_of(self, v: Values, other: Receiver) -> np.ndarray:
        """Of the columns of the same identity in other data, where it may meet others."""
        pairs = self.left(v, other)[: self.pairs.functions * len(other.partners)]
        k = next(k for k, one in enumerate(self.pairs.receivers) if one.identity == other.identity)
        wide = self.pairs.functions * len(self.pairs.receivers[k].partners)
        return np.concatenate([pairs, self.coefficients(v, k)[wide:]])

    def moved(self, v: Values, step: np.ndarray) -> Values:
        part = {name: step[at] for name, at in self.at.items()}
        source = v.source + part["source"] if self.acts else v.source
        response = source if self.role == SAME else v.response
        if self.role in (RESPONSE, BOTH):
            response = v.response + part["response"]
        out = replace(v, response=response, source=source, curve=v.curve + part["curve"])
        out = replace(out, given=v.given + part["given"].reshape(v.given.shape), node=v.node + part["node"])
        return replace(out, cost=self.cost(out))

    def cost(self, v: Values) -> float:
        total = self._rows * (sum(c @ self.rough @ c for c in (v.curve, *v.given)) + v.node @ self.rough_nodes @ v.node)
        for one, reduced in zip(self.pairs.receivers, self.reduced, strict=True):
            c = self.left(v, one)
            total += reduced.square - 2 * c @ reduced.moment + c @ reduced.gram @ c
        return float(max(total, 0.0))

    def costs(self, v: Values) -> np.ndarray:
        """Mean squared residual of each receiving body [identity]; of those that receive nothing the mean of all."""
        out = np.full(self.pairs.count, np.nan)
        for one, reduced in zip(self.pairs.receivers, self.reduced, strict=True):
            c = self.left(v, one)
            out[one.identity] = max(reduced.square - 2 * c @ reduced.moment + c @ reduced.gram @ c, 0) / one.rows.sum()
        return np.where(np.isnan(out), np.nanmean(out), out)

    def unknowns(self, one: Receiver) -> np.ndarray:
        """Numbers of the unknowns that a receiver's columns depend on, in the order of ``_left``."""
        parts = []
        if self.answers:
            at = self.at["source" if self.role == SAME else "response"].start
            parts.append([at + one.identity])
        if self.acts:
            parts.append(self.at["source"].start + one.partners)
            if self._scaled and self.role != SAME:
                parts.append([self.at["source"].start + one.identity])
        parts += [np.arange(self.at[name].start, self.at[name].stop) for name in ("curve", "given", "node")]
        return np.concatenate(parts)

    def _left(self, v: Values, one: Receiver, x: np.ndarray) -> np.ndarray:
        """J^T x of the left columns' derivatives J [column, unknown] and x [column, ...], without making J."""
        x = x.reshape(len(x), -1)
        k, n = self.pairs.functions, len(one.partners)
        w, s = v.response[one.identity], v.source[one.partners]
        pairs, nodes = x[: n * k].reshape(n, k, x.shape[1]), x[n * k :]
        along = np.einsum("bkq,k->bq", pairs, v.curve)
        by_w, by_s = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for at, scaling in self._scaled:
            slopes = scaling.slopes(w, v.source[one.identity])
            by_w, by_s = (
                total + slope * (v.node[at] @ nodes[at]) for total, slope in zip((by_w, by_s), slopes, strict=True)
            )
        parts = []
        if self.answers:
            parts.append((s @ along + by_w + (by_s if self.role == SAME else 0.0))[None])
        if self.acts:
            parts.append(w * along)
            if self._scaled and self.role != SAME:
                parts.append(by_s[None])
        parts.append(w * np.einsum("bkq,b->kq", pairs, s))
        parts += [np.einsum("bkq,b->kq", pairs, product) for product in self.products_of(one)]
        return np.concatenate([*parts, self.scale(v, one)[:, None] * nodes])

    def derivatives(self, v: Values, k: int) -> np.ndarray:
        """J [column, unknown] of the left columns of the receiver number ``k`` by ``unknowns``."""
        one = self.pairs.receivers[k]
        return self._left(v, one, np.eye(len(self.reduced[k].moment))).T

    def normal(self, v: Values) -> tuple[np.ndarray, np.ndarray]:
        """(Gauss-Newton matrix, minus half the gradient) of all unknowns."""
        matrix, slope = np.zeros((self.size, self.size)), np.zeros(self.size)
        for one, reduced in zip(self.pairs.receivers, self.reduced, strict=True):
            where = self.unknowns(one)
            left = reduced.moment - reduced.gram @ self.left(v, one)
            np.add.at(slope, where, self._left(v, one, left[:, None])[:, 0])
            half = self._left(v, one, reduced.gram).T  # G is symmetric: G J
            np.add.at(matrix, (where[:, None], where[None]), self._left(v, one, half))
        for name, curves in (("curve", v.curve[None]), ("given", v.given)):
            low, k = self.at[name].start, self.pairs.functions
            for curve in curves:
                matrix[low : low + k, low : low + k] += self._rows * self.rough
                slope[low : low + k] -= self._rows * self.rough @ curve
                low += k
        at = self.at["node"]
        matrix[at, at] += self._rows * self.rough_nodes
        slope[at] -= self._rows * self.rough_nodes @ v.node
        return matrix, slope


def minimise(problem: Problem, v: Values, steps: int = STEPS, enough: float = CONVERGED) -> Values:
    """Levenberg-Marquardt from ``v`` until the cost falls by less than a share ``enough``; scales are evened out after
    every step, which changes no force.
    """
    v, damping = replace(v, cost=problem.cost(v)), 1e-6
    free = np.flatnonzero(problem.free)
    for _ in range(steps):
        matrix, slope = (a[free] for a in problem.normal(v))
        matrix = matrix[:, free]
        size = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
        scaled, before = matrix / np.outer(size, size), v
        for _ in range(12):
            step = np.zeros(problem.size)
            solved = np.linalg.lstsq(scaled + damping * np.eye(len(free)), slope / size, rcond=1e-14)[0]
            step[free] = solved / size
            with np.errstate(over="ignore", invalid="ignore"):  # of a step far too long, which is not taken
                tried = problem.moved(v, step)
            if tried.cost <= v.cost:
                v, damping = tried, max(damping / 10, 1e-14)
                break
            damping *= 10
        if v is before:
            break
        if before.cost - v.cost <= enough * v.cost:
            break
        v = balanced(problem, v)
    return v


def balanced(problem: Problem, v: Values) -> Values:
    """The same forces with values of mean square 1, where the scale is free."""
    source, response, curve, node = v.source, v.response, v.curve, v.node
    if problem.acts:
        size = np.sqrt(np.mean(source**2)) or 1.0
        source = source / size
        curve = curve * size ** (2 if problem.role == SAME else 1)
    if problem.role == SAME:
        response = source
    elif problem.role in (RESPONSE, BOTH):
        size = np.sqrt(np.mean(response**2)) or 1.0
        response, curve = response / size, curve * size
    if problem._scaled:
        node = node.copy()
        both = (v.response, response), (v.source, source)
        by_w, by_s = (np.sqrt(np.mean(new**2) / np.mean(old**2)) for old, new in both)
        for at, scaling in problem._scaled:
            node[at] = node[at] / (by_w**scaling.response * by_s**scaling.source)
    out = replace(v, source=source, response=response, curve=curve, node=node)
    return replace(out, cost=problem.cost(out))  # the penalty knows the scale


def fit(problem: Problem, seed: int = 0, start: Values | None = None) -> Values:
    """The lowest cost from several starts, or from ``start`` alone."""
    if start is not None:
        return minimise(problem, start)
    tried = [minimise(problem, v, 8, ROUGHLY) for v in starts(problem, seed)]
    tried.sort(key=lambda v: v.cost)
    return min((minimise(problem, v) for v in tried[:2]), key=lambda v: v.cost)


def starts(problem: Problem, seed: int) -> list[Values]:
    """All values alike; the best product in the curves of every pair by themselves; random signs."""
    p, rng = problem.pairs, np.random.default_rng([seed, 131])
    ones = np.ones(p.count)
    guesses = [(ones, ones), *_of_single_pairs(problem)]
    if problem.role in (SAME, BOTH):
        for _ in range(STARTS):
            signs = rng.choice([-1.0, 1.0], p.count)
            guesses.append((signs, signs if problem.role == SAME else rng.choice([-1.0, 1.0], p.count)))
    out = []
    for response, source in guesses:
        response = source if problem.role == SAME else response if problem.answers else ones
        source = source if problem.acts else ones
        out.append(linear(problem, response, source))
    return out


def linear(problem: Problem, response: np.ndarray, source: np.ndarray) -> Values:
    """The best curves and node terms for these values."""
    functions = problem.pairs.functions
    empty = np.zeros((len(problem.products), functions))
    v = Values(problem.role, response, source, np.zeros(functions), empty, np.zeros(problem.nodes))
    return _solved(problem, v, slice(problem.at["curve"].start, problem.size))


def with_nodes(problem: Problem, v: Values) -> Values:
    """``v`` with the best coefficients of the terms of a node that have a scaling."""
    return _solved(problem, replace(v, node=np.zeros(problem.nodes)), problem.at["node"])


def _solved(problem: Problem, v: Values, own: slice) -> Values:
    """With the best of the unknowns ``own``, in which forces are linear."""
    matrix, slope = problem.normal(v)
    matrix, slope = matrix[own, own], slope[own]
    size = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    step = np.zeros(problem.size)
    scaled = matrix / np.outer(size, size) + 1e-13 * np.eye(len(size))
    step[own] = np.linalg.lstsq(scaled, slope / size, rcond=1e-14)[0] / size
    return problem.moved(v, step)


def _of_single_pairs(problem: Problem) -> list[tuple[np.ndarray, np.ndarray]]:
    """(response, source) of the best product in the strengths of all ordered pairs, each fitted with its own curve."""
    p, k = problem.pairs, problem.pairs.functions
    curves, strength = np.zeros((p.count, p.count, k)), np.zeros((p.count, p.count))
    for one, reduced in zip(p.receivers, problem.reduced, strict=True):
        gram, moment = reduced.gram, reduced.moment
        ridge = RIDGE * np.trace(gram) / len(gram)
        rough = np.zeros_like(gram)
        wide = k * len(one.partners)
        rough[:wide, :wide] = np.kron(np.eye(len(one.partners)), problem.rough * one.rows.sum())
        c = np.linalg.lstsq(gram + rough + ridge * np.eye(len(gram)), moment, rcond=1e-12)[0]
        for b, partner in enumerate(one.partners):
            own = slice(b * k, (b + 1) * k)
            curves[one.identity, partner] = c[own]
            strength[one.identity, partner] = max(c[own] @ gram[own, own] @ c[own], 0.0)
    if len(problem.products):  # what known products tell is no rank-one part
        flat = problem.products.reshape(len(problem.products), -1).T
        told = np.linalg.lstsq(flat, curves.reshape(-1, k), rcond=None)[0]
        curves = curves - (flat @ told).reshape(curves.shape)
    met = strength > 0
    _, _, shape = np.linalg.svd(curves[met], full_matrices=False)
    matrix = curves @ shape[0]
    return [_rank_one(matrix, met, problem.role)]


def _rank_one(matrix: np.ndarray, met: np.ndarray, role: str) -> tuple[np.ndarray, np.ndarray]:
    """w, s with w_i s_j near ``matrix`` where pairs ``met``, by alternating least squares."""
    filled = np.where(met, matrix, 0.0)
    if role == SAME:
        sym = filled + filled.T
        values, vectors = np.linalg.eigh(sym)
        v = vectors[:, np.argmax(np.abs(values))]
        return v * np.sqrt(len(v)), v * np.sqrt(len(v))
    left, _, right = np.linalg.svd(filled)
    w, s = left[:, 0], right[0]
    for _ in range(20):
        w = (filled @ s) / np.maximum(met @ s**2, 1e-300)
        s = (filled.T @ w) / np.maximum(met.T @ w**2, 1e-300)
    return w / (np.sqrt(np.mean(w**2)) or 1.0), s / (np.sqrt(np.mean(s**2)) or 1.0)
