"""The constants of a law by maximum likelihood over whole observed trajectories, and how far they can be believed.

Every position seen is the law's plus noise that is equal and independent in every coordinate. Standard errors are the
larger of two: from the information that positions hold at the noise they show, and robust ones from the scatter of the
trajectories' own slopes (the sandwich; to first order the jackknife over trajectories). Whether the law is right is
told by the squares left: those of motion followed as far as it is seen, over those of the same law in runs of
``SHORT`` frames, where hardly anything but noise is left.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from distill.files.storage import finite_or_none
from distill.formulas.text import to_text
from distill.formulas.tree import canonical, parametrise, with_constants, with_scales
from distill.law.constants import round_number
from distill.law.trust import not_followed
from distill.physics.law import Law
from distill.physics.terms import TERMS
from distill.shooting.fit import Batch, Fit, fit, in_short_runs, refit
from distill.shooting.motion import Form, Motion
from distill.shooting.pieces import Observed, Pieces, pieces, typical_step

MOST = 24_000  # stretches between frames of four particles in two dimensions: more take minutes and gain little
FEWEST = 5  # pieces that are taken however large they are
SHORT = 8  # frames of a run in which only noise is left
CLUSTERS = 10  # trajectories from which on their scatter tells an error
UNKNOWN = 0.5  # standard error over the value of a constant from where it is not determined


@dataclass
class Polished:
    """``law``: with the constants polished. ``constants``, ``node``: as in ``kinds.Polish``. ``why_not``: in words,
    where nothing was done and ``law`` is as it was.
    """

    law: Law
    constants: list[dict]
    node: list[dict]
    form: str
    noise: float | None
    noise_before: float | None
    chi2: float | None
    excess: float | None  # squares over those of short runs, a degree of freedom each
    excess_error: float | None
    freedom: int
    trajectories: int
    left_out: int
    pieces: int
    cuts: int
    stretches: int
    converged: bool
    cpu_seconds: float
    step: float | None = None  # typical, between frames
    recordings: int = 0  # that the trajectories were cut from
    why_not: str | None = None

    @property
    def structured(self) -> bool:
        """Whether the squares show more than noise."""
        return bool(self.doubts)

    @property
    def doubts(self) -> list[str]:
        """What the squares say against the law."""
        left = self.noise / self.step if self.step else np.inf
        return not_followed(self.excess, self.excess_error, self.cuts / max(self.stretches, 1), left)


def polish(
    law: Law,
    seen: Observed,
    seed: int = 0,
    held: tuple[int, ...] = (),
    unit_charges: bool = False,
    most: int = MOST,
    rounding: bool = True,
) -> Polished:
    """``law`` with its constants and the values of its node terms fitted to what was ``seen``.

    ``held``: particles that do not move. ``seed`` draws the trajectories where there are more than are needed. A
    constant that is not determined (``UNKNOWN``) stays as it was, and says so; ``rounding``: to round numbers, as in
    ``law.constants``.
    """
    clock = time.process_time()
    expr, symbols, values = parametrise(with_scales(law.pair))
    form = Form(expr, tuple(symbols), tuple(law.node), law.chain, law.properties, held)
    found = pieces(seen)
    if law.chain or held:
        found = [one for one in found if one.observed.shape[2] == seen.observed.shape[2]]
    reason = _cannot(law, found, values, form)
    if reason:
        return _untouched(law, reason, time.process_time() - clock)
    length, unit = typical_step(found)
    noise = seen.noise
    if not (np.isfinite(noise) and noise > 0 and length > 0):
        return _untouched(law, "positions show no noise, or nothing moves", time.process_time() - clock)
    found = _some(found, seed, most)
    dim = seen.observed.shape[3]
    batches = [Batch(one, Motion(form, one.properties, dim, length, unit), noise / length) for one in found]
    start = np.concatenate([values, *(np.atleast_1d(law.node[name]) for name in form.terms)])
    numbers = _numbers(batches, start, len(symbols), rounding)
    if numbers is None:
        return _untouched(law, "no motion under the law is near what was seen", time.process_time() - clock)
    best, final = numbers.best, numbers.final
    squares, excess, spread = _squares(best)
    pair = canonical(with_constants(expr, symbols, final[: len(symbols)]), unit_charges)
    shown = expr.xreplace({s: type(s)(f"c{k}") for k, s in enumerate(symbols)})
    node, terms = _node(law, form, numbers)
    settled = [one.settled for one in batches]
    used = {int(k) for one, good in zip(found, settled, strict=True) for k in one.trajectory[good]}
    return Polished(
        replace(law, pair=pair, node=node),
        [_constant(k, numbers) for k in range(len(symbols))],
        terms,
        to_text(shown, 6),
        float(noise * np.sqrt(squares)),
        float(noise),
        float(squares),
        None if excess is None else finite_or_none(excess),
        spread,
        best.freedom,
        len(used),
        len({int(k) for one in found for k in one.trajectory}) - len(used),
        int(sum(good.sum() for good in settled)),
        int(sum((~one.tied[one.settled]).sum() for one in batches)),
        int(sum(one.real[one.settled].sum() for one in batches)),
        best.converged,
        time.process_time() - clock,
        float(length),
        len({int(k) for one, good in zip(found, settled, strict=True) for k in one.film[good]}),
    )


@dataclass
class _Numbers:
    """Constants of the pair law, ``count`` of them, then values of node terms [number]: where they started, as
    ``fitted``, and ``final``, rounded; ``unknown``: left as they were.
    """

    best: Fit
    count: int
    start: np.ndarray
    fitted: np.ndarray
    final: np.ndarray
    errors: np.ndarray
    unknown: np.ndarray


def _numbers(batches: list[Batch], start: np.ndarray, count: int, rounding: bool) -> _Numbers | None:
    """None where nothing is near what was seen. What is not determined, and then what is rounded, is held while the
    others are fitted again.
    """
    best = fit(batches, start)
    errors = standard_errors(best)
    if best.freedom <= 0 or not np.isfinite(best.values).all():
        return None
    unknown = ~(errors < UNKNOWN * np.abs(best.values))
    unknown[count:] = ~np.isfinite(errors[count:])  # a node term may be near zero in one axis
    if unknown.any():
        best = refit(best, np.where(unknown, start, best.values), ~unknown)
    final, fitted = _rounded(best, errors, unknown, count) if rounding else (best.values, best.values)
    if (final != fitted).any():
        snapped = (final != fitted) & (np.arange(len(final)) < count)
        kept = ~unknown & ~snapped
        best = refit(best, final, kept)
        final = np.where(kept, best.values, final)
    return _Numbers(best, count, start, fitted, final, errors, unknown)


def _squares(best: Fit) -> tuple[float, float | None, float]:
    """(squares a degree of freedom, those over the same of short runs or None, standard error of that ratio).

    What short runs leave is a part of what whole ones do, where the law is right and nearly linear, the rest being
    independent of it: the variance of the ratio is the difference of theirs, 2 over the degrees of freedom each.
    """
    squares = best.squares / best.freedom
    short, freedom = in_short_runs(best, SHORT)
    if not (freedom > 0 and short > 0):
        return squares, None, float(np.sqrt(2 / best.freedom + 2))
    spread = np.sqrt(max(2 / freedom - 2 / best.freedom, 0.0))
    return squares, squares / (short / freedom), float(spread)


def _constant(k: int, of: _Numbers) -> dict:
    """``kinds.PolishedConstant`` as JSON."""
    value, fitted, error, unknown = (a[k] for a in (of.final, of.fitted, of.errors, of.unknown))
    return {
        "symbol": f"c{k}",
        "before": float(of.start[k]),
        "value": float(value),
        "standard_error": finite_or_none(error),
        "determined": bool(not unknown and error < UNKNOWN * abs(fitted)),
        "snapped_from": None if value == fitted or unknown else float(fitted),
    }


def _node(law: Law, form: Form, of: _Numbers) -> tuple[dict, list[dict]]:
    """(values of the node terms by name, ``kinds.PolishedTerm`` of each as JSON)."""
    node, terms, at = {}, [], of.count
    for name in form.terms:
        size = np.size(law.node[name])
        mine = slice(at, at + size)
        node[name] = TERMS[name].value(of.final[mine])
        terms.append(
            {
                "name": name,
                "before": _plain(law.node[name]),
                "value": _plain(node[name]),
                "standard_error": _plain(of.errors[mine] if size > 1 else of.errors[at]),
            }
        )
        at += size
    return node, terms


def standard_errors(best: Fit) -> np.ndarray:
    """Of all numbers [number]: the larger of what the information and the scatter of the trajectories give; infinite
    where nothing is known.
    """
    scale = np.sqrt(np.diag(best.information))
    known = scale > 0
    out = np.full(len(scale), np.inf)
    if not known.any() or best.freedom <= 0:
        return out
    N = best.information[np.ix_(known, known)] / np.outer(scale[known], scale[known])
    try:
        inverse = np.linalg.inv(N)
    except np.linalg.LinAlgError:
        return out
    plain = np.diag(inverse) * best.squares / best.freedom
    _, whose = np.unique(best.film, return_inverse=True)
    clusters = whose.max(initial=-1) + 1
    robust = np.zeros_like(plain)
    if clusters >= CLUSTERS:
        sums = np.zeros((clusters, known.sum()))
        np.add.at(sums, whose, best.scores[:, known] / scale[known])
        half = sums @ inverse
        robust = (half**2).sum(0) * clusters / (clusters - 1)
    variance = np.maximum(plain, robust)
    good = np.isfinite(variance) & (plain > 0)
    out[known] = np.where(good, np.sqrt(np.where(good, variance, 1.0)) / scale[known], np.inf)
    return out


def _rounded(best: Fit, errors, unknown, count) -> tuple[np.ndarray, np.ndarray]:
    """(numbers with round ones where the data allow it, numbers as fitted): the most certain first, the others moved as
    the information says.
    """
    fitted, values = best.values.copy(), best.values.copy()
    held = unknown.copy()
    order = np.argsort(np.where(unknown, np.inf, errors / np.maximum(np.abs(fitted), 1e-300)), kind="stable")
    for k in order:
        number = None if held[k] or k >= count else round_number(values[k], errors[k])
        if number is None:
            continue
        rest = ~held
        rest[k] = False
        if rest.any():
            part = best.information[np.ix_(rest, rest)]
            values[rest] -= np.linalg.lstsq(part, best.information[rest, k] * (number - values[k]), rcond=None)[0]
        values[k] = number
        held[k] = True
    rounded = held & ~unknown
    return np.where(rounded, values, np.where(unknown, values, fitted)), fitted


def _cannot(law: Law, found: list[Pieces], values, form: Form) -> str | None:
    if law.response is not None:
        return "the law has a response"
    if law.cutoff is not None:
        return "particles are in a periodic box"
    if not found:
        return "there are no stretches of frames in which the same particles are there"
    if not len(values) and not form.terms:
        return "the law has no constants"
    return None


def _untouched(law: Law, reason: str, seconds: float) -> Polished:
    nothing = (None,) * 5
    return Polished(law, [], [], to_text(law.pair, 6), *nothing, 0, 0, 0, 0, 0, 0, False, seconds, why_not=reason)


def _some(found: list[Pieces], seed: int, most: int) -> list[Pieces]:
    """Pieces drawn at random, as many as a fit takes in about a minute."""
    rng, out = np.random.default_rng([seed, 89]), []
    each = [one.frames * max(1.0, one.observed[0, 0].size / 8) ** 2.5 for one in found]
    share = most / max(most, sum(c.sum() for c in each))
    for one in found:
        count = len(one.frames) if share == 1 else max(min(FEWEST, len(one.frames)), int(share * len(one.frames)))
        out.append(one if count == len(one.frames) else one.of(np.sort(rng.permutation(len(one.frames))[:count])))
    return out


def _plain(value):
    if np.ndim(value) == 0:
        return finite_or_none(float(value))
    return [finite_or_none(float(v)) for v in value]
