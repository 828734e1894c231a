"""States and constants fitted together: from what was seen to the most likely motion under a law.

A linear step is trusted where the law is nearly linear over the errors of the states. Close encounters are not, at
first: stretches on which the force turns fast are cut, the rest is fitted, then they are tied again, from states that
the law has sharpened on both sides. A piece moves the constants only while its motion is continuous to a small part of
the noise (``SETTLED``); one that does not settle is cut for good where it breaks.
"""

from dataclasses import dataclass, field

import numpy as np

from distill.shooting.motion import MOST_STEPS, Motion
from distill.shooting.pieces import SHORTEST, Pieces, start_states
from distill.shooting.smoother import back, eliminate

TURNS = 0.1  # gradient of the acceleration times the square of the time between frames: from here on a stretch is cut
NEAR = 10.0  # times the noise: two particles that come closer meet in a way that positions do not tell
SETTLED = 0.1  # largest jump between stretches, in units of the noise (and of noise over the time between frames)
TOLERANCE = 1e-3  # of an integration step, in units of the noise
OUTLIER = 4.0  # standard deviations from which an observation weighs less (Huber)
FARTHEST = 0.3  # relative change of a constant in a step
PRIOR = 0.3  # relative standard deviation of constants about their start, while encounters are cut
HALVINGS = 4  # of a step that makes a piece jump more
ROUNDS = {"cut": 8, "tied": 6, "all": 8}
SHORT_ROUNDS = 3
CONVERGED = 0.05  # of the standard errors: a smaller step of the constants ends the fit
WRONG = 6.0  # standard deviations by which the squares of a piece may exceed their number


@dataclass
class Batch:
    """Pieces with the same number of particles, their states in scaled units, and what the last flow said."""

    pieces: Pieces
    motion: Motion
    sigma: float  # noise in scaled units
    z: np.ndarray = field(init=False)  # [piece, frame, row]
    seen: np.ndarray = field(init=False)
    s: np.ndarray = field(init=False)  # [piece, frame, 2 rows]
    span: np.ndarray = field(init=False)  # [piece, stretch]
    real: np.ndarray = field(init=False)  # [piece, stretch]: no padding
    tied: np.ndarray = field(init=False)
    steps: np.ndarray = field(init=False)
    settled: np.ndarray = field(init=False)  # [piece]

    def __post_init__(self):
        one, (length, time) = self.pieces, (self.motion.length, self.motion.time)
        count, frames, n, dim = one.observed.shape
        size = n * dim
        number = np.maximum(one.seen.sum((1, 2)), 1)
        centre = (one.observed * one.seen[..., None]).sum((1, 2)) / number[:, None]
        self.centre = centre[:, None, None]
        self.z = ((one.observed - self.centre) / length).reshape(count, frames, size)
        self.seen = np.repeat(one.seen, dim, axis=-1)
        pos, vel = start_states(one)
        pos, vel = (pos - self.centre) / length, vel * time / length
        self.s = np.concatenate([a.reshape(count, frames, size) for a in (pos, vel)], -1)
        self.span = np.diff(one.t, axis=1) / time
        self.real = self.span > 0
        self.tied = np.ones_like(self.real)
        self.steps = np.ones(self.span.shape, int)
        self.settled = np.ones(count, bool)

    @property
    def size(self) -> int:
        return self.z.shape[-1]

    def flow(self, s, values, which=None, slopes=True):
        """(jump of each stretch [piece, stretch, 2 rows], derivatives by the state and by the numbers, or None) from
        the states ``s``; of the pieces ``which``.
        """
        which = np.arange(len(self.z)) if which is None else which
        n, dim, size = self.motion.n, self.motion.dim, self.size
        real, lanes = self.real[which], s[which][:, :-1]
        at = np.nonzero(real)
        start = lanes[at]
        x, v = start[:, :size].reshape(-1, n, dim), start[:, size:].reshape(-1, n, dim)
        steps, piece, span = self.steps[which][at], which[at[0]], self.span[which][at]
        given = list(values), TOLERANCE * self.sigma, slopes
        found = self.motion.flow(x, v, piece, span, given[0], steps, *given[1:])
        end, error, by_state, by_numbers = found
        new = _steps(steps, error)
        for _ in range(2):
            again = np.flatnonzero((error > 1) & (new > steps))
            if not len(again):
                break
            better = self.motion.flow(x[again], v[again], piece[again], span[again], given[0], new[again], *given[1:])
            for whole, part in zip(found, better, strict=True):
                if whole is not None:
                    whole[again] = part
            steps = new.copy()
            new = _steps(steps, error)
        self.steps[piece, at[1]] = new
        jump = np.zeros((*real.shape, 2 * size))
        jump[at] = end - s[which][:, 1:][at]
        rough = np.zeros(real.shape, bool)
        rough[at] = ~(error <= 1)
        if not slopes:
            jump[rough] = np.inf
            return jump, None, None
        S = np.zeros((*real.shape, 2 * size, 2 * size))
        S[...] = np.eye(2 * size)
        G = np.zeros((*real.shape, 2 * size, self.motion.numbers))
        S[at], G[at] = by_state, by_numbers
        # what cannot be integrated is cut
        lost = rough | ~(np.isfinite(jump).all(-1) & np.isfinite(S).all((2, 3)) & np.isfinite(G).all((2, 3)))
        self.tied[which[:, None], np.arange(real.shape[1])] &= ~lost
        jump[lost], S[lost], G[lost] = 0.0, np.eye(2 * size), 0.0
        return jump, S, G

    def turning(self, values) -> np.ndarray:
        """[piece, frame]: the largest gradient of the acceleration, in units of the time between frames."""
        count, frames, _ = self.z.shape
        x, v = (
            part.reshape(-1, self.motion.n, self.motion.dim)
            for part in np.split(self.s.reshape(-1, 2 * self.size), 2, 1)
        )
        piece = np.repeat(np.arange(count), frames)
        out = np.empty(len(x))
        with np.errstate(all="ignore"):
            for first in range(0, len(x), 4000):
                of = slice(first, first + 4000)
                K = self.motion.of(piece[of]).acceleration(x[of], v[of], list(values), slopes=True)[1]
                out[of] = np.sqrt((K**2).sum((1, 2)))
        return np.where(np.isfinite(out), out, np.inf).reshape(count, frames)

    def meeting(self) -> np.ndarray:
        """[piece, stretch]: whether two particles come closer than ``NEAR`` times the noise on straight lines."""
        count, frames, _ = self.z.shape
        x = self.s[..., : self.size].reshape(count, frames, self.motion.n, self.motion.dim)
        d = x[:, :, self.motion.i] - x[:, :, self.motion.j]
        start, way = d[:, :-1], np.diff(d, axis=1)
        square = np.maximum((way**2).sum(-1), 1e-300)
        share = np.clip(-(start * way).sum(-1) / square, 0.0, 1.0)
        closest = np.linalg.norm(start + share[..., None] * way, axis=-1)
        return (closest < NEAR * self.sigma).any(-1)

    def weights(self, s) -> tuple[np.ndarray, np.ndarray]:
        """(weights, what is missing) [piece, frame, row] of positions."""
        missing = np.where(self.seen, self.z - s[..., : self.size], 0.0)
        away = np.abs(missing) / (OUTLIER * self.sigma)
        return np.where(self.seen, 1 / self.sigma / np.sqrt(np.maximum(away, 1.0)), 0.0), missing

    def jumps(self, jump, which) -> np.ndarray:
        """[which]: the largest of the tied stretches in units of the noise."""
        size = np.where(self.tied[which], np.abs(jump).max(-1), 0.0)
        return np.where(np.isfinite(size), size, np.inf).max(1, initial=0.0) / self.sigma

    def cut_short(self) -> None:
        """Cut every run of fewer than ``SHORTEST`` frames to single ones: they do not hold their own states."""
        for tied, real in zip(self.tied, self.real, strict=True):
            ends = np.flatnonzero(np.r_[True, ~tied, True])  # a run is what lies between two cuts
            for first, last in zip(ends[:-1], ends[1:], strict=True):
                if last - first < SHORTEST:
                    tied[first : last - 1] = ~real[first : last - 1]

    def squares(self) -> tuple[np.ndarray, np.ndarray]:
        """(sum of squared weighted residuals, degrees of freedom) [piece], the constants not counted."""
        weights, missing = self.weights(self.s)
        each = ((weights * missing) ** 2).sum(2)
        number = np.concatenate([np.zeros((len(self.s), 1), int), np.cumsum(~self.tied, axis=1)], 1)
        runs = number.max() + 1
        part = (number + runs * np.arange(len(self.s))[:, None]).reshape(-1)
        total = runs * len(self.s)
        seen = np.bincount(part, self.seen.sum(2).reshape(-1), total)
        sums = np.where(seen > 2 * self.size, np.bincount(part, each.reshape(-1), total), 0.0)
        left = np.maximum(seen - 2 * self.size, 0)
        return sums.reshape(-1, runs).sum(1), left.reshape(-1, runs).sum(1).astype(int)

    def excess(self) -> np.ndarray:
        """[piece]: squares over the most that noise makes of them."""
        squares, freedom = self.squares()
        return squares / (freedom + WRONG * np.sqrt(2.0 * np.maximum(freedom, 1)))

    def wrong(self) -> np.ndarray:
        """[piece]: whether no motion under the law is near what was seen, others being near."""
        excess = self.excess()
        return excess > max(1.0, 2 * np.median(excess))


def _steps(steps, error):
    """So many that an error of ``error`` times the tolerance in ``steps`` comes down to it, or so few."""
    more = np.where(np.isfinite(error), np.maximum(error, 1e-30) ** 0.125, 2.0)
    return np.clip(2 ** np.ceil(np.log2(steps * more) - 1e-9), 1, MOST_STEPS).astype(int)


@dataclass
class Fit:
    values: np.ndarray  # [number]
    information: np.ndarray  # [number, number], for noise of the size given
    scores: np.ndarray  # [piece, number]: slopes of each piece's half sum of squares at its best states
    film: np.ndarray  # [piece]: which recording
    squares: float  # sum of squared residuals over the noise given
    freedom: int
    batches: list[Batch]
    steps: int
    converged: bool


def fit(batches: list[Batch], start: np.ndarray, free: np.ndarray | None = None) -> Fit:
    """The numbers from ``start``, those with ``free`` false held."""
    values = np.array(start, float)
    free = np.ones(len(values), bool) if free is None else free
    everyone = [np.arange(len(one.s)) for one in batches]
    for one in batches:
        fast = one.turning(values) > TURNS
        one.tied = ~(fast[:, 1:] | fast[:, :-1] | one.meeting()) | ~one.real
        one.cut_short()
    # while encounters are cut they do not hold a softening, which would drift
    values, _, taken = _iterate(batches, everyone, values, free, ROUNDS["cut"], prior=PRIOR * np.abs(values))
    cut = [np.flatnonzero((~one.tied).any(1)) for one in batches]
    before = [(one.tied[which].copy(), one.s[which].copy()) for one, which in zip(batches, cut, strict=True)]
    for one, which in zip(batches, cut, strict=True):
        _tie_again(one, which, values, one.meeting())
    _, _, more = _iterate(batches, cut, values, np.zeros_like(free), ROUNDS["tied"])
    for one, which, (tied, s) in zip(batches, cut, before, strict=True):
        lost = ~one.settled[which]
        one.tied[which[lost]], one.s[which[lost]], one.settled[which[lost]] = tied[lost], s[lost], True
    values, _, last = _iterate(batches, everyone, values, free, ROUNDS["all"], mend=True)
    for one, which, (tied, s) in zip(batches, cut, before, strict=True):
        lost = one.wrong()[which]
        one.tied[which[lost]], one.s[which[lost]], one.settled[which[lost]] = tied[lost], s[lost], True
        one.cut_short()
    values, converged, end = _iterate(batches, everyone, values, free, ROUNDS["all"], mend=True)
    return _account(batches, values, taken + more + last + end, converged)


def refit(found: Fit, values: np.ndarray, free: np.ndarray) -> Fit:
    """From numbers near those ``found``, those with ``free`` false held; the states go on from where they are."""
    everyone = [np.arange(len(one.s)) for one in found.batches]
    values, converged, taken = _iterate(found.batches, everyone, np.array(values, float), free, ROUNDS["all"])
    return _account(found.batches, values, found.steps + taken, converged)


def in_short_runs(found: Fit, frames: int) -> tuple[float, int]:
    """(sum of squares, degrees of freedom) of the same law where motion is cut every so many ``frames``: what noise
    alone leaves, for over so few frames hardly any law is far off.
    """
    everyone, held = [], np.zeros(len(found.values), bool)
    kept = [(one.tied.copy(), one.s.copy(), one.settled.copy()) for one in found.batches]
    for one in found.batches:
        one.tied = one.tied & (np.arange(one.tied.shape[1]) % frames != frames - 1) | ~one.real
        one.cut_short()
        everyone.append(np.flatnonzero(one.settled))
    _iterate(found.batches, everyone, found.values, held, SHORT_ROUNDS)
    squares = freedom = 0
    for one, which in zip(found.batches, everyone, strict=True):
        each = one.squares()
        squares, freedom = squares + float(each[0][which].sum()), freedom + int(each[1][which].sum())
    for one, before in zip(found.batches, kept, strict=True):
        one.tied, one.s, one.settled = before
    return squares, freedom


def _iterate(batches, active, values, free, rounds, mend=False, prior=None):
    """``rounds`` steps at most of the pieces ``active`` of each batch: (numbers, whether they converged, steps)."""
    converged, anchor, number = False, values.copy(), 0
    for number in range(1, rounds + 1):
        linear = []
        for one, which in zip(batches, active, strict=True):
            jump, S, G = one.flow(one.s, values, which)
            weights, missing = one.weights(one.s)
            made = eliminate(weights[which], missing[which], S, G, jump, one.tied[which])
            linear.append((which, made, jump, S, G))
        change, spread = _change(batches, linear, values, free, prior, anchor)
        for one, (which, made, jump, S, G) in zip(batches, linear, strict=True):
            step = back(made, change, S, G, jump, one.tied[which])
            _advance(one, which, step, values + change, jump, mend and number > 2)
        values = values + change
        still = all(one.settled[which].all() for one, which in zip(batches, active, strict=True))
        if not free.any() and number > 1:  # each piece by itself
            active = [which[~one.settled[which]] for one, which in zip(batches, active, strict=True)]
        if still and np.all(np.abs(change) <= CONVERGED * spread):
            converged = True
            break
    return values, converged, number


def _change(batches, linear, values, free, prior, anchor) -> tuple[np.ndarray, np.ndarray]:
    """(step of the numbers, their standard errors) from the pieces that have settled."""
    change, spread = np.zeros(len(values)), np.zeros(len(values))
    if not free.any():
        return change, spread
    normal, right = 0.0, 0.0
    for one, (which, made, *_) in zip(batches, linear, strict=True):
        excess = one.excess()
        # a piece far from what was seen has found no motion yet; it must not drag the others
        share = one.settled[which] * np.minimum(1.0, max(1.0, np.median(excess)) / np.maximum(excess[which], 1e-300))
        normal = normal + np.tensordot(share, made.normal, 1)
        right = right + np.tensordot(share, made.right, 1)
    if prior is not None:
        tight = np.where(prior > 0, 1 / np.maximum(prior, 1e-300) ** 2, 0.0)
        normal, right = normal + np.diag(tight), right - tight * (values - anchor)
    scale = 1 / np.sqrt(np.maximum(np.diag(normal)[free], 1e-300))
    N = normal[np.ix_(free, free)] * np.outer(scale, scale)
    inverse = np.linalg.pinv(N, hermitian=True, rcond=1e-13)
    change[free] = scale * (inverse @ (scale * right[free]))
    spread[free] = scale * np.sqrt(np.maximum(np.diag(inverse), 0.0))
    limit = FARTHEST * np.abs(values)
    over = np.abs(change) / np.where(limit > 0, limit, np.inf)
    return change / max(1.0, over.max()), spread


def _advance(one: Batch, which, step, values, before, mend) -> None:
    """Move the states of the pieces ``which``, a piece by a shorter step where a whole one makes it jump more."""
    old, share = one.jumps(before, which), np.ones(len(which))
    new, todo = np.full(len(which), np.inf), np.arange(len(which))
    s = one.s.copy()
    for _ in range(HALVINGS):
        s[which[todo]] = one.s[which[todo]] + share[todo, None, None] * step[todo]
        jump = one.flow(s, values, which[todo], slopes=False)[0]
        new[todo] = one.jumps(jump, which[todo])
        if mend:
            for k in todo[(new[todo] > SETTLED) & (new[todo] > 0.5 * old[todo])]:
                size = np.where(one.tied[which[k]], np.abs(jump[todo == k][0]).max(-1), -1.0)
                one.tied[which[k], np.where(np.isfinite(size), size, np.inf).argmax()] = False
        todo = todo[new[todo] > np.maximum(SETTLED, old[todo])]
        if not len(todo):
            break
        share[todo] *= 0.5
    one.s = s
    one.settled[which] = (new <= SETTLED) & (share == 1.0)


def _tie_again(one: Batch, which, values, never) -> None:
    """Tie what was cut in the pieces ``which`` but for the stretches ``never`` [piece, stretch]; frames that were on
    their own start from where the law leads.
    """
    cut = ~one.tied[which]
    n, dim, size = one.motion.n, one.motion.dim, one.size
    for k in range(cut.shape[1] - 1):
        mine = np.flatnonzero(cut[:, k] & cut[:, k + 1])
        if not len(mine):
            continue
        pieces, start = which[mine], one.s[which[mine], k]
        x, v = start[:, :size].reshape(-1, n, dim), start[:, size:].reshape(-1, n, dim)
        steps = one.steps[pieces, k]
        tolerance = TOLERANCE * one.sigma
        end = one.motion.flow(x, v, pieces, one.span[pieces, k], list(values), steps, tolerance, slopes=False)[0]
        good = np.isfinite(end).all(1)
        one.s[pieces[good], k + 1] = end[good]
    one.tied[which], one.settled[which] = ~(cut & never[which]), False


def _account(batches, values, steps, converged) -> Fit:
    information, scores, film, squares, freedom = 0.0, [], [], 0.0, -len(values)
    for one in batches:
        jump, S, G = one.flow(one.s, values)
        weights, missing = one.weights(one.s)
        good, made = one.settled, eliminate(weights, missing, S, G, jump, one.tied)
        information = information + made.normal[good].sum(0)
        scores.append(made.right[good])
        film.append(one.pieces.film[good])
        each = one.squares()
        squares, freedom = squares + float(each[0][good].sum()), freedom + int(each[1][good].sum())
    scores, film = np.concatenate(scores), np.concatenate(film)
    return Fit(values, information, scores, film, squares, freedom, batches, steps, converged)
