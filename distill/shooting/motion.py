"""Motion under a law from frame to frame, and how it changes with the state it starts from and with the constants.

States are followed by Dormand and Prince's 8(5,3) steps (``physics.dormand_prince``). Their derivatives obey the
variational equations, linear in them; they are followed by Nystrom's steps of order 4 with the same length (E. Hairer,
S. Norsett, G. Wanner, Solving Ordinary Differential Equations I, section II.14): what is fitted depends on the states,
while derivatives only have to be good to a few digits.

Arrays are ``[lane, ...]``, a lane being one stretch between two frames. Lengths and times of states are in units of a
typical ``length`` and ``time``, so that one tolerance serves positions and velocities; constants are in those of the
data.
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from distill.files.properties import USUAL, at, of_pairs, variables
from distill.formulas.program import Program
from distill.physics import dormand_prince
from distill.physics.terms import TERMS, State

CHUNK = 2000  # lanes at once: what the processor's cache holds
MOST_STEPS = 16  # between two frames


@dataclass(frozen=True)
class Form:
    """A law whose constants are open: ``pair`` has the ``symbols`` for them; ``terms``: names of its node terms."""

    pair: sp.Expr
    symbols: tuple[sp.Symbol, ...]
    terms: tuple[str, ...] = ()
    chain: bool = False
    properties: tuple[str, ...] = USUAL
    held: tuple[int, ...] = ()  # particles that do not move


class Motion:
    """Of particles with these ``properties`` (name -> [piece, particle]) in ``dim`` dimensions under laws of one
    ``form``. Numbers of a law: its constants, then those of its node terms, axis by axis.
    """

    def __init__(self, form: Form, properties: dict, dim: int, length: float = 1.0, time: float = 1.0):
        self.form, self.properties, self.dim, self.length, self.time = form, properties, dim, length, time
        self.n = next(iter(properties.values())).shape[1]
        self.names = [v for v in variables(form.properties) if v in {s.name for s in form.pair.free_symbols}]
        by_name = {s.name: s for s in form.pair.free_symbols}
        self.program = Program(form.pair, [*(by_name[v] for v in self.names), *form.symbols])
        self.mutual = _mutual(form)
        i, j = np.triu_indices(self.n, 1) if self.mutual else np.nonzero(~np.eye(self.n, dtype=bool))
        near = np.abs(i - j) == 1 if form.chain else np.ones(len(i), bool)
        self.i, self.j = i[near], j[near]
        self.mass = np.array(properties["mass"], float)
        self.mass[:, list(form.held)] = np.inf
        ends = of_pairs(at(properties, self.i), at(properties, self.j))
        self.ends = [ends[k] for k in self.names if k != "r"]  # [piece, pair]
        # sums over the pairs of each particle: [particle, pair]
        self.sum = (self.i == np.arange(self.n)[:, None]).astype(float)
        if self.mutual:
            self.sum -= self.j == np.arange(self.n)[:, None]
        # node terms are affine in a particle's velocity: known by their values at rest and along each axis
        rest = np.zeros((*self.mass.shape, dim))
        self.columns = [self._term_columns(name, rest) for name in form.terms]
        self.numbers = len(form.symbols) + sum(len(at_rest) for at_rest, _ in self.columns)

    def _term_columns(self, name, rest):
        """(force at rest [number, piece, particle, dim], its change with velocity [number, ..., dim, axis])."""
        term = TERMS[name]
        zero = [c + 0 * rest for c in term.columns(State(rest, self.properties))]
        slopes = []
        for axis in np.eye(self.dim):
            moved = term.columns(State(rest + axis, self.properties))
            slopes.append([c - z for c, z in zip(moved, zero, strict=True)])
        return np.stack(zero), np.stack([np.stack(s) for s in slopes], -1)

    def of(self, piece) -> "Lanes":
        """What lanes of these pieces [lane] need."""
        columns = [(at_rest[:, piece], by_velocity[:, piece]) for at_rest, by_velocity in self.columns]
        return Lanes(self, [end[piece] for end in self.ends], self.mass[piece], columns)

    def flow(self, x, v, piece, span, values, steps, tolerance, slopes: bool = True):
        """Where lanes come to from x, v [lane, particle, dim] after the times ``span`` [lane], in so many ``steps``
        [lane].

        Returns positions, then velocities [lane, 2 rows]; error [lane]: the largest of a step in units of
        ``tolerance``; and with ``slopes`` the derivatives of the former, by the state they started from [lane, 2 rows,
        2 rows] and by the numbers [lane, 2 rows, number], else None twice.
        """
        lanes, size = len(x), self.n * self.dim
        end, error = np.zeros((lanes, 2 * size)), np.zeros(lanes)
        by_state = np.zeros((lanes, 2 * size, 2 * size)) if slopes else None
        by_numbers = np.zeros((lanes, 2 * size, self.numbers)) if slopes else None
        order = np.argsort(-steps, kind="stable")
        with np.errstate(all="ignore"):
            for first in range(0, lanes, CHUNK):
                of = order[first : first + CHUNK]
                found = self._flow(x[of], v[of], self.of(piece[of]), span[of], steps[of], values, tolerance, slopes)
                end[of], error[of] = found[:2]
                if slopes:
                    by_state[of], by_numbers[of] = found[2][..., : 2 * size], found[2][..., 2 * size :]
        return end, error, by_state, by_numbers

    def _flow(self, x, v, lanes, span, steps, values, tolerance, slopes):
        """As ``flow`` for lanes in the order of their steps, most first."""
        count, n, dim = x.shape
        size = n * dim

        def parts(y):
            return (part.T.reshape(-1, n, dim) for part in (y[:size], y[size:]))

        y = np.concatenate([x.reshape(count, size).T, v.reshape(count, size).T])
        out, error = np.empty((count, 2 * size)), np.zeros(count)
        S = here = None
        if slopes:
            S = np.zeros((count, 2 * size, 2 * size + self.numbers))
            S[:, :, : 2 * size] = np.eye(2 * size)
            here = lanes.acceleration(*parts(y), values, slopes=True)[1:]
        h, f, going = span / steps, None, count

        def rhs(y, _):
            return np.concatenate([y[size:], lanes.acceleration(*parts(y), values).reshape(-1, size).T])

        def half(y, f):
            new, wrong, _ = dormand_prince.step(rhs, y, None, f, 0.5 * h, 0.0, tolerance, size)
            error[:going] = np.maximum(error[:going], np.where(np.isfinite(wrong), wrong, np.inf))
            return new, rhs(new, None)

        for taken in range(steps[0] if count else 0):
            left = np.searchsorted(-steps, -taken)  # lanes with more steps than taken
            if left < going:
                out[left:going] = y[:, left:].T
                y, h, f, going, lanes = y[:, :left], h[:left], f[:, :left], left, lanes.first(left)
                here = here and [None if one is None else one[:left] for one in here]
            f = rhs(y, None) if f is None else f
            mid, f = half(y, f)
            y, f = half(mid, f)
            if slopes:
                middle, last = (lanes.acceleration(*parts(one), values, slopes=True)[1:] for one in (mid, y))
                S[:going] = _nystrom(S[:going], here, middle, last, h, size)
                here = last
        out[:going] = y.T
        return out, np.where(np.isfinite(out).all(1), error, np.inf), S


@dataclass
class Lanes:
    """``motion`` of some lanes: properties of the ends of their pairs [lane, pair], mass [lane, particle], node terms
    as in ``Motion.columns``.
    """

    motion: Motion
    ends: list
    mass: np.ndarray
    columns: list

    def first(self, count: int) -> "Lanes":
        columns = [(at_rest[:, :count], by_velocity[:, :count]) for at_rest, by_velocity in self.columns]
        return Lanes(self.motion, [end[:count] for end in self.ends], self.mass[:count], columns)

    def acceleration(self, x, v, values, slopes: bool = False):
        """[lane, particle, dim] at x, v of that shape with the numbers ``values``. With ``slopes`` its derivatives too:
        by positions [lane, row, row], by velocities (None if it has none), by the numbers [lane, row, number]; rows are
        particles times dimensions.
        """
        whole, form = self.motion, self.motion.form
        lanes, n, dim = x.shape
        v = v * (whole.length / whole.time)
        dx = (x[:, whole.i] - x[:, whole.j]) * whole.length
        r = np.sqrt(np.einsum("lpd,lpd->lp", dx, dx))
        apart = np.where(r > 0, r, 1.0)
        columns = iter(self.ends)
        slots = whole.program.values(
            [*(r if k == "r" else next(columns) for k in whole.names), *values[: len(form.symbols)]]
        )
        f = slots[whole.program.output] + np.zeros_like(r)
        over_r = f / apart
        force = whole.sum @ (over_r[..., None] * dx)
        start, drag = len(form.symbols), None
        for at_rest, by_velocity in self.columns:
            numbers = np.asarray(values[start : start + len(at_rest)])
            force = force + np.tensordot(numbers, at_rest, 1)
            one = np.tensordot(numbers, by_velocity, 1)  # [lane, particle, dim, axis]
            force = force + (one @ v[..., None])[..., 0]
            drag = one if drag is None else drag + one
            start += len(at_rest)
        a = force * (whole.time**2 / whole.length) / self.mass[..., None]
        if not slopes:
            return a
        size, unit = n * dim, dx / apart[..., None]
        gradients = whole.program.gradients(slots)
        by_r = gradients[whole.names.index("r")] if "r" in whole.names else 0.0
        by_r = (0.0 if by_r is None else by_r) + np.zeros_like(r)
        block = (by_r - over_r)[..., None, None] * (unit[..., :, None] * unit[..., None, :])
        block += over_r[..., None, None] * np.eye(dim)
        K = np.zeros((lanes, n, dim, n, dim))
        for k, (one, other) in enumerate(zip(whole.i, whole.j, strict=True)):
            K[:, one, :, one] += block[:, k]
            K[:, one, :, other] -= block[:, k]
            if whole.mutual:
                K[:, other, :, other] += block[:, k]
                K[:, other, :, one] -= block[:, k]
        K *= whole.time**2 / self.mass[:, :, None, None, None]
        by_numbers = np.zeros((lanes, n, dim, whole.numbers))
        for k in range(len(form.symbols)):
            g = gradients[len(whole.names) + k]
            if g is not None:
                by_numbers[..., k] = whole.sum @ ((g + np.zeros_like(r))[..., None] * unit)
        start = len(form.symbols)
        for at_rest, by_velocity in self.columns:
            both = at_rest + (by_velocity @ v[None, ..., None])[..., 0]
            by_numbers[..., start : start + len(at_rest)] = np.moveaxis(both, 0, -1)
            start += len(at_rest)
        by_numbers *= (whole.time**2 / whole.length) / self.mass[..., None, None]
        D = None
        if drag is not None and drag.any():
            D = np.zeros((lanes, n, dim, n, dim))
            for k in range(n):
                D[:, k, :, k] = drag[:, k] * (whole.time / self.mass[:, k, None, None])
            D = D.reshape(lanes, size, size)
        return a, K.reshape(lanes, size, size), D, by_numbers.reshape(lanes, size, whole.numbers)


def _nystrom(S, here, middle, last, h, size):
    """``S`` = [dx; dv] by everything, a step ``h`` [lane] on: dx'' = K dx + D dv + P."""
    h = h[:, None, None]
    x, v = S[:, :size], S[:, size:]

    def rate(at, x, v):
        K, D, P = at
        out = K @ x
        if D is not None:
            out += D @ v
        out[..., 2 * size :] += P
        return out

    k1 = rate(here, x, v)
    half = x + 0.5 * h * v + 0.125 * h**2 * k1
    k2 = rate(middle, half, v + 0.5 * h * k1)
    k3 = k2 if middle[1] is None else rate(middle, half, v + 0.5 * h * k2)
    k4 = rate(last, x + h * v + 0.5 * h**2 * k3, v + h * k3)
    return np.concatenate([x + h * v + h**2 / 6 * (k1 + k2 + k3), v + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)], 1)


def _mutual(form: Form) -> bool:
    """Whether action is reaction whatever the properties: the formula does not change with its ends exchanged."""
    swap = {}
    by_name = {s.name: s for s in form.pair.free_symbols}
    for name in variables(form.properties)[1:]:
        other = name[:-2] + ("_j" if name.endswith("_i") else "_i")
        if name in by_name:
            swap[by_name[name]] = by_name.get(other, sp.Symbol(other, **by_name[name].assumptions0))
    return form.pair.xreplace(swap) == form.pair
