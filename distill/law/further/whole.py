"""A law as a whole tried in other ways than term by term, with all constants fitted together.

Formulas that are found one after the other imitate each other's faults: neither of two functions of pairs need be of a
simple form while the other is not. So both are tried in one form at once (``in_one_form``): a source that is seen at
two places, as a body and its wake or its image, acts from both in one way. And how a force on a body alone is in
proportion to its properties, which a small term does not tell while others are still curves, is asked again at the end
(``recoupled``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import sympy as sp

from distill.files.properties import property_named
from distill.formulas.families import FAMILIES, products
from distill.formulas.program import compile_numpy
from distill.formulas.text import symbols_for
from distill.law.further.slots import OfPairs
from distill.law.further.starts import RADIUS
from distill.law.further.trimming import PRUNED, as_good, multiplied_out
from distill.law.joint import LOST, fitted, numbers_of
from distill.law.receivers import Receivers, law_error, weights_of
from distill.law.selection import Ground
from distill.physics.law import RADIAL, Law
from distill.physics.terms.values import About, is_number

# starts of a family that are fitted to a few receivers, and how many of all fits, of errors up to so many times the
# least, are fitted to all
STARTED, KEPT, NEAR = 4, 8, 1.1
ROUNDS, SETTLED = 8, 0.95  # of fits, and what the error has to come down to for another
(_R,) = symbols_for([RADIUS])


def in_one_form(law: Law, of_pairs: Sequence[OfPairs], ground: Ground) -> Law:
    """``law`` with one of the ``FAMILIES`` in all functions of pairs that may be ``alike``, in proportion to the same
    product of properties and each with constants of its own, where that is better, or as good with fewer of them; as it
    is where there are fewer than two such.
    """
    alike = [slot.of_law(law) for slot in of_pairs if slot.taken(law) is not None and slot.alike(law)]
    if len(alike) < 2:
        return law
    rest = law
    for slot in alike:
        if (taken := slot.taken(rest)) is not None:
            rest, _ = taken
    few, _, held = ground.sets
    trials: list[tuple[float, int, Law]] = []
    for coupling, forms in _promising(alike, rest, ground):
        trial = rest
        for slot, form in zip(alike, forms, strict=True):
            trial = slot.put(trial, ground.canonical(coupling * form))
        trial = settled(trial, few, held)
        trials.append((law_error(trial, held), len(trials), trial))
    near = [trial for error, _, trial in sorted(trials)[:KEPT] if error <= NEAR * min(trials)[0]]
    for trial in (settled(one, ground.many, held) for one in near):
        less = _constants(trial) < _constants(law) and as_good(trial, law, ground, PRUNED)
        if less or law_error(trial, held) * LOST < law_error(law, held):
            law = trial
    return law


def settled(law: Law, data: Receivers, held: Receivers) -> Law:
    """As ``joint.fitted``, as often as that brings something: a form in place of another begins far from its best."""
    for _ in range(ROUNDS):
        before, law = law, fitted(law, data, held)
        if law_error(law, held) > SETTLED * law_error(before, held):
            break
    return law


def _constants(law: Law) -> int:
    return len(numbers_of(law).start)


class _Alike:
    """What functions of pairs at several places make of ``data`` beside the ``rest`` of a law, whose own constants are
    free in first order.
    """

    def __init__(self, places: Sequence[OfPairs], rest: Law, data: Receivers):
        self.data, self.seen = data, [place.features(data.in_motion) for place in places]
        self.vectors = [place.vectors(data.in_motion, rest) for place in places]
        self.weight = weights_of(data, np.linalg.norm(data.acc, axis=1))[:, None]
        numbers = numbers_of(rest)
        told, slopes = numbers.accelerations(numbers.start, data)
        own = [k for one in numbers.opened if one.term != RADIAL for k in range(one.at.start, one.at.stop)]
        self.left = ((data.acc - told) * self.weight).reshape(-1)
        self.beside = (slopes[..., own] * self.weight[..., None]).reshape(len(self.left), -1)

    def values(self, shape: sp.Expr) -> list[np.ndarray]:
        """Of a function of r, at every place [edge]."""
        program = compile_numpy(shape, [RADIUS])
        return [np.broadcast_to(program(seen[RADIUS]), len(seen[RADIUS])) for seen in self.seen]

    def factors(self, coupling: sp.Expr) -> list[np.ndarray]:
        """A product of properties, at every place [edge]."""
        names = [s.name for s in coupling.free_symbols]
        program = compile_numpy(coupling, names)
        return [np.broadcast_to(program(*(seen[n] for n in names)), len(seen[RADIUS])) for seen in self.seen]

    def fit(self, shapes: Sequence[Sequence[np.ndarray]], factors: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
        """(mean residual, linear constants [place, shape]) with the ``values`` of every shape times the ``factors``."""
        columns = []
        for place, (vectors, factor) in enumerate(zip(self.vectors, factors, strict=True)):
            for values in shapes:
                summed = self.data.sum(vectors * (factor * values[place])[:, None])
                columns.append((summed / self.data.state.mass[:, None] * self.weight).reshape(-1))
        x = np.column_stack([*columns, self.beside])
        if not np.isfinite(x).all():
            return np.inf, np.zeros((len(self.vectors), len(shapes)))
        size = np.maximum(np.linalg.norm(x, axis=0), 1e-300)
        g = np.linalg.lstsq(x / size, self.left, rcond=1e-10)[0] / size
        return float(np.abs(x @ g - self.left).mean()), g[: len(columns)].reshape(len(self.vectors), -1)


def _promising(places: Sequence[OfPairs], rest: Law, ground: Ground) -> Iterator[tuple[sp.Expr, list[sp.Expr]]]:
    """Of every family from the starts that leave least beside the ``rest`` of the law, linear constants fitted, with
    whatever product of properties: the product, and the form for every place.
    """
    few = ground.sets[0]
    alike, typical = _Alike(places, rest, few), float(np.median(few.in_motion.r))
    couplings = [(coupling, alike.factors(coupling)) for coupling in products(ground.fit)]
    for family in FAMILIES:
        tried: list[tuple] = []
        for start in family.starts(typical):
            unit = np.eye(family.linear)
            shapes = [family.form(_R, list(map(sp.Float, one)), list(map(sp.Float, start))) for one in unit]
            values = [alike.values(shape) for shape in shapes]
            for coupling, factors in couplings:
                missed, linear = alike.fit(values, factors)
                tried.append((missed, len(tried), coupling, start, linear))
        for missed, _, coupling, start, linear in sorted(tried, key=lambda one: one[:2])[:STARTED]:
            if np.isfinite(missed):
                yield coupling, [family.form(_R, list(map(sp.Float, a)), list(map(sp.Float, start))) for a in linear]


def recoupled(law: Law, ground: Ground) -> Law:
    """``law`` with additive parts of the functions of a body alone in proportion to another of its properties, or to
    none, where that is better: a trap is by charges and gravity by masses, and either may have been taken for a part of
    the other.
    """
    names = [property_named(name).variables[0] for name in ("mass", *ground.properties)]
    own = {name: value for name in names if np.ptp(value := ground.many.in_motion.ends[name]) > 0}
    factors: dict[sp.Expr, float] = {sp.Integer(1): 1.0}
    factors |= {symbols_for([name])[0]: float(np.median(np.abs(value))) for name, value in own.items()}
    for name in law.node:
        for _ in range(ROUNDS):
            better = _recoupled_once(law, name, factors, ground)
            if better is law:
                break
            law = better
    return law


def _recoupled_once(law: Law, name: str, factors: dict[sp.Expr, float], ground: Ground) -> Law:
    """The best law with one part of the term ``name`` changed; the same where none is better."""
    few, many, held = ground.sets
    value = law.node[name]
    tried: list[tuple[float, int, Law]] = []
    if isinstance(value, np.ndarray):  # a uniform force in proportion to a property is a term of its own
        return law
    for there, instead in permutations(factors, 2):
        for changed in _changed(value, there, instead, factors[there] / factors[instead]):
            trial = settled(replace(law, node=law.node | {name: changed}), few, held)
            tried.append((law_error(trial, held), len(tried), trial))
    if not tried:
        return law
    best = settled(min(tried)[2], many, held)
    return best if law_error(best, held) * LOST < law_error(law, held) else law


def _changed(value, there: sp.Expr, instead: sp.Expr, scale: float) -> Iterator:
    """``value`` with one of its additive parts that are in proportion to ``there`` in proportion to ``instead``; of
    several components in one of them.
    """
    if isinstance(value, About):
        yield from (About(value.centre, one) for one in _changed(value.strength, there, instead, scale))
    elif isinstance(value, tuple):
        for k, own in enumerate(value):
            yield from ((*value[:k], one, *value[k + 1 :]) for one in _changed(own, there, instead, scale))
    else:
        parts = sp.Add.make_args(multiplied_out(sp.Float(value) if is_number(value) else value))
        for k, part in enumerate(parts):
            if (one := _recoupled(part, there, instead, scale)) is not None:
                yield sp.Add(*parts[:k], one, *parts[k + 1 :])


def _recoupled(part: sp.Expr, there: sp.Expr, instead: sp.Expr, scale: float) -> sp.Expr | None:
    """``part`` in proportion to ``instead`` and not to ``there``; None where it is not in proportion to that, or holds
    the other already.
    """
    if there != 1 and there not in sp.Mul.make_args(part):
        return None
    bare = part / there
    if bare.has(instead) or (there == 1 and any(s.name.endswith("_i") for s in bare.free_symbols)):
        return None
    return sp.Float(scale) * bare * instead
