"""Values of identities and curves of the distance from the normal equations of ``pairs``: damped Gauss-Newton steps.

Four hypotheses about what one value a particle does (``ROLES``): it acts (``source``: the accelerations that it causes
are proportional to it, as the mass in gravity), it answers (``response``: its own accelerations are, as 1/m where
forces do not know the mass), it does both with two values, or with one and the same (a charge where masses are given).
The product w_i s_j f(r) is bilinear, so one scale of each value is free: ``gauge``.
"""

from dataclasses import dataclass, replace

import numpy as np

from distill.identities.pairs import Pairs, Receiver

SOURCE, RESPONSE, SAME, BOTH = ROLES = ("source", "response", "same", "both")
STEPS, CONVERGED = 100, 1e-10
STARTS = 6  # random ones beside those from the data
RIDGE = 1e-9


@dataclass(frozen=True)
class Values:
    """``response`` w and ``source`` s [identity], ``curve`` f [K], ``given`` [product, K] of the products of known
    properties, ``node`` [column]. ``cost``: sum of weighted squared residuals.
    """

    role: str
    response: np.ndarray
    source: np.ndarray
    curve: np.ndarray
    given: np.ndarray
    node: np.ndarray
    cost: float = np.inf

    def coefficients(self, one: Receiver, products: np.ndarray) -> np.ndarray:
        """Of the columns of a receiver [column]; ``products`` [product, partner]."""
        curves = np.outer(self.response[one.identity] * self.source[one.partners], self.curve)
        return np.concatenate([(curves + products.T @ self.given).ravel(), self.node])


@dataclass
class Problem:
    """``pairs`` under a ``role``. ``products`` [product, identity, identity]: of known properties, receiver first;
    ``rough`` [K, K]: penalty on curves for each row of data.
    """

    pairs: Pairs
    role: str
    products: np.ndarray
    rough: np.ndarray
    fold: int | None = None  # left out

    def __post_init__(self):
        p = self.pairs
        self._sums = [one.without(self.fold) for one in p.receivers]
        self._rows = p.rows.sum() - (0 if self.fold is None else p.rows[self.fold])
        n, k = p.count, p.functions
        self.answers, self.acts = self.role in (RESPONSE, BOTH, SAME), self.role in (SOURCE, BOTH, SAME)
        blocks = {"response": n * (self.role in (RESPONSE, BOTH)), "source": n * self.acts}
        blocks |= {"curve": k, "given": k * len(self.products), "node": p.nodes}
        self.at, low = {}, 0
        for name, size in blocks.items():
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

    def products_of(self, one: Receiver) -> np.ndarray:
        return self.products[:, one.identity][:, one.partners]

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
        total = self._rows * sum(c @ self.rough @ c for c in (v.curve, *v.given))
        for one, (gram, moment, square) in zip(self.pairs.receivers, self._sums, strict=True):
            c = v.coefficients(one, self.products_of(one))
            total += square - 2 * c @ moment + c @ gram @ c
        return float(max(total, 0.0))

    def costs(self, v: Values) -> np.ndarray:
        """Mean squared residual of each receiving body [identity]; of those that receive nothing the mean of all."""
        out = np.full(self.pairs.count, np.nan)
        for one, (gram, moment, square) in zip(self.pairs.receivers, self._sums, strict=True):
            c = v.coefficients(one, self.products_of(one))
            out[one.identity] = max(square - 2 * c @ moment + c @ gram @ c, 0.0) / one.rows.sum()
        return np.where(np.isnan(out), np.nanmean(out), out)

    def unknowns(self, one: Receiver) -> np.ndarray:
        """Numbers of the unknowns that a receiver's columns depend on, in the order of ``_left``."""
        parts = []
        if self.answers:
            at = self.at["source" if self.role == SAME else "response"].start
            parts.append([at + one.identity])
        if self.acts:
            parts.append(self.at["source"].start + one.partners)
        parts += [np.arange(self.at[name].start, self.at[name].stop) for name in ("curve", "given", "node")]
        return np.concatenate(parts)

    def _left(self, v: Values, one: Receiver, x: np.ndarray) -> np.ndarray:
        """J^T x of the columns' derivatives J [column, unknown] and x [column, ...], without making J."""
        x = x.reshape(len(x), -1)
        k, n = self.pairs.functions, len(one.partners)
        w, s = v.response[one.identity], v.source[one.partners]
        pairs = x[: n * k].reshape(n, k, x.shape[1])
        along = np.einsum("bkq,k->bq", pairs, v.curve)
        parts = [(s @ along)[None]] if self.answers else []
        parts += [w * along] if self.acts else []
        parts.append(w * np.einsum("bkq,b->kq", pairs, s))
        parts += [np.einsum("bkq,b->kq", pairs, product) for product in self.products_of(one)]
        return np.concatenate([*parts, x[n * k :]])

    def derivatives(self, v: Values, one: Receiver) -> np.ndarray:
        """J [column, unknown] of a receiver's columns by ``unknowns``."""
        columns = len(one.partners) * self.pairs.functions + self.pairs.nodes
        return self._left(v, one, np.eye(columns)).T

    def normal(self, v: Values) -> tuple[np.ndarray, np.ndarray]:
        """(Gauss-Newton matrix, minus half the gradient) of all unknowns."""
        matrix, slope = np.zeros((self.size, self.size)), np.zeros(self.size)
        for one, (gram, moment, _) in zip(self.pairs.receivers, self._sums, strict=True):
            where = self.unknowns(one)
            left = moment - gram @ v.coefficients(one, self.products_of(one))
            np.add.at(slope, where, self._left(v, one, left[:, None])[:, 0])
            half = self._left(v, one, gram).T  # G is symmetric: G J
            np.add.at(matrix, (where[:, None], where[None]), self._left(v, one, half))
        for name, curves in (("curve", v.curve[None]), ("given", v.given)):
            low, k = self.at[name].start, self.pairs.functions
            for curve in curves:
                matrix[low : low + k, low : low + k] += self._rows * self.rough
                slope[low : low + k] -= self._rows * self.rough @ curve
                low += k
        return matrix, slope


def minimise(problem: Problem, v: Values, steps: int = STEPS) -> Values:
    """Levenberg-Marquardt from ``v``; scales are evened out after every step, which changes no force."""
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
            tried = problem.moved(v, step)
            if tried.cost <= v.cost:
                v, damping = tried, max(damping / 10, 1e-14)
                break
            damping *= 10
        if v is before:
            break
        if before.cost - v.cost <= CONVERGED * v.cost:
            break
        v = balanced(problem, v)
    return v


def balanced(problem: Problem, v: Values) -> Values:
    """The same forces with values of mean square 1, where the scale is free."""
    source, response, curve = v.source, v.response, v.curve
    if problem.acts:
        size = np.sqrt(np.mean(source**2)) or 1.0
        source = source / size
        curve = curve * size ** (2 if problem.role == SAME else 1)
    if problem.role == SAME:
        response = source
    elif problem.role in (RESPONSE, BOTH):
        size = np.sqrt(np.mean(response**2)) or 1.0
        response, curve = response / size, curve * size
    out = replace(v, source=source, response=response, curve=curve)
    return replace(out, cost=problem.cost(out))  # the penalty knows the scale


def fit(problem: Problem, seed: int = 0, start: Values | None = None) -> Values:
    """The lowest cost from several starts, or from ``start`` alone."""
    if start is not None:
        return minimise(problem, start)
    tried = [minimise(problem, v, 8) for v in starts(problem, seed)]
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
    p = problem.pairs
    empty = np.zeros((len(problem.products), p.functions))
    v = Values(problem.role, response, source, np.zeros(p.functions), empty, np.zeros(p.nodes))
    matrix, slope = problem.normal(v)
    own = np.arange(problem.at["curve"].start, problem.size)
    matrix, slope = matrix[np.ix_(own, own)], slope[own]
    size = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    step = np.zeros(problem.size)
    scaled = matrix / np.outer(size, size) + 1e-13 * np.eye(len(own))
    step[own] = np.linalg.lstsq(scaled, slope / size, rcond=1e-14)[0] / size
    return problem.moved(v, step)


def _of_single_pairs(problem: Problem) -> list[tuple[np.ndarray, np.ndarray]]:
    """(response, source) of the best product in the strengths of all ordered pairs, each fitted with its own curve."""
    p, k = problem.pairs, problem.pairs.functions
    curves, strength = np.zeros((p.count, p.count, k)), np.zeros((p.count, p.count))
    for one, (gram, moment, _) in zip(p.receivers, problem._sums, strict=True):
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
