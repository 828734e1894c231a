"""A law as a whole tried in other ways than term by term, with all constants fitted together.

Formulas that are found one after the other imitate each other's faults: neither of two functions of pairs need be of a
simple form while the other is not. So both are tried in one form at once (``in_one_form``): a source that is seen at
two places, as a body and its wake or its image, acts from both in one way. And how a force on a body alone is in
proportion to its properties, which a small term does not tell while others are still curves, is asked again at the end
(``recoupled``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from distill.files.properties import property_named
from distill.formulas.families import FAMILIES
from distill.formulas.program import compile_numpy
from distill.formulas.text import symbols_for
from distill.formulas.tree import complexity
from distill.law.further.slots import OfPairs
from distill.law.further.starts import RADIUS
from distill.law.further.trimming import PRUNED, as_good
from distill.law.joint import LOST, fitted
from distill.law.receivers import Receivers, law_acceleration, law_error, weights_of
from distill.law.selection import Ground
from distill.physics.law import Law
from distill.physics.terms.values import About, is_number

# starts of a family, forms of all that are fitted to a few receivers, and of these to all
STARTED, FORMS, KEPT = 2, 10, 2
ROUNDS, SETTLED = 8, 0.95  # of fits, and what the error has to come down to for another
SIMPLER = 0.75  # of the complexity: then a form need not be better
(_R,) = symbols_for([RADIUS])


def in_one_form(law: Law, of_pairs: Sequence[OfPairs], ground: Ground) -> Law:
    """``law`` with one of the ``FAMILIES`` in all functions of pairs that may be ``alike``, each with constants of its
    own, where that is better, or simpler and as good; as it is where there are fewer than two such, or the properties
    of the first are no factor of it.
    """
    alike = [slot.of_law(law) for slot in of_pairs if slot.taken(law) is not None and slot.alike(law)]
    first = alike[0].taken(law) if len(alike) > 1 else None
    if first is None or (coupling := _coupling(first[1])) is None:
        return law
    rest = law
    for slot in alike:
        if (taken := slot.taken(rest)) is not None:
            rest, _ = taken
    places = [_Place(slot, coupling, rest) for slot in alike]
    few, _, held = ground.sets
    trials = []
    for forms in _promising(places, rest, few):
        trial = rest
        for place, form in zip(places, forms, strict=True):
            trial = place.slot.put(trial, ground.canonical(coupling * form))
        trials.append(settled(trial, few, held))
    for trial in sorted(trials, key=lambda one: law_error(one, held))[:KEPT]:
        trial = settled(trial, ground.many, held)
        less = _size(trial) <= SIMPLER * _size(law) and as_good(trial, law, ground, PRUNED)
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


def _size(law: Law) -> int:
    return sum(complexity(v.strength if isinstance(v, About) else v) for v in law.pair_functions.values())


def _coupling(expr: sp.Expr) -> sp.Expr | None:
    """The product of properties that a function of pairs is a multiple of; None where it is not one."""
    factors = sp.Mul.make_args(sp.factor_terms(expr))
    own = [one for one in factors if one.free_symbols and _R not in one.free_symbols]
    rest = sp.Mul(*[one for one in factors if one not in own])
    return sp.Mul(*own) if rest.free_symbols <= {_R} else None


@dataclass
class _Place:
    """Where a function S(r) times the properties ``coupling`` acts."""

    slot: OfPairs
    coupling: sp.Expr
    law: Law

    def columns(self, shapes: Sequence[sp.Expr], data: Receivers) -> np.ndarray:
        """Accelerations by each of the ``shapes`` [receiver, dim, shape]."""
        seen = self.slot.features(data.in_motion)
        names = [s.name for s in self.coupling.free_symbols]
        factor = compile_numpy(self.coupling, names)(*(seen[name] for name in names)) if names else 1.0
        vectors = self.slot.vectors(data.in_motion, self.law) * np.reshape(factor, (-1, 1))
        values = (np.broadcast_to(compile_numpy(one, [RADIUS])(seen[RADIUS]), len(vectors)) for one in shapes)
        sums = [data.sum(vectors * value[:, None]) / data.state.mass[:, None] for value in values]
        return np.stack(sums, -1)


def _promising(places: Sequence[_Place], rest: Law, data: Receivers) -> Iterator[list[sp.Expr]]:
    """Of the families that leave least beside the ``rest`` of the law, from their best starts with linear constants
    fitted, the form for every place.
    """
    left = data.acc - law_acceleration(rest, data)
    weight = weights_of(data, np.linalg.norm(data.acc, axis=1))[:, None]
    typical = float(np.median(data.in_motion.r))
    found: list[tuple] = []
    for family in FAMILIES:
        unit = np.eye(family.linear)
        tried = []
        for start in family.starts(typical):
            shapes = [family.form(_R, list(map(sp.Float, one)), list(map(sp.Float, start))) for one in unit]
            columns = np.concatenate([place.columns(shapes, data) for place in places], -1) * weight[..., None]
            columns, y = columns.reshape(-1, columns.shape[-1]), (left * weight).reshape(-1)
            if not np.isfinite(columns).all():
                continue
            scale = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
            g = np.linalg.lstsq(columns / scale, y, rcond=1e-10)[0] / scale
            tried.append((float(np.abs(columns @ g - y).mean()), start, g.reshape(len(places), -1)))
        for missed, start, linear in sorted(tried, key=lambda one: one[0])[:STARTED]:
            found.append((missed, len(found), family, start, linear))
    for _, _, family, start, linear in sorted(found, key=lambda one: one[:2])[:FORMS]:
        yield [family.form(_R, list(map(sp.Float, a)), list(map(sp.Float, start))) for a in linear]


def recoupled(law: Law, ground: Ground) -> Law:
    """``law`` with every function of a body alone in proportion to another of its properties, or to none, where that is
    better.
    """
    names = [property_named(name).variables[0] for name in ("mass", *ground.properties)]
    own = {name: value for name in names if np.ptp(value := ground.many.in_motion.ends[name]) > 0}
    factors: dict[sp.Expr, float] = {sp.Integer(1): 1.0}
    factors |= {symbols_for([name])[0]: float(np.median(np.abs(value))) for name, value in own.items()}
    for name, value in law.node.items():
        if isinstance(value, np.ndarray):  # a uniform force in proportion to a property is a term of its own
            continue
        best = law
        for there, size in factors.items():
            for instead, other in factors.items():
                changed = _recoupled(value, there, instead, size / other) if there != instead else None
                if changed is None:
                    continue
                trial = settled(replace(law, node=law.node | {name: changed}), ground.sets[0], ground.held)
                if law_error(trial, ground.held) < law_error(law, ground.held):
                    trial = settled(trial, ground.many, ground.held)
                    best = min(best, trial, key=lambda one: law_error(one, ground.held))
        law = best if law_error(best, ground.held) * LOST < law_error(law, ground.held) else law
    return law


def _recoupled(value, there: sp.Expr, instead: sp.Expr, scale: float):
    """``value`` in proportion to ``instead`` and not to ``there``; None where it is not in proportion to that, or holds
    the other already.
    """
    if isinstance(value, About):
        found = _recoupled(value.strength, there, instead, scale)
        return None if found is None else About(value.centre, found)
    if isinstance(value, tuple):
        found = tuple(_recoupled(one, there, instead, scale) for one in value)
        return None if None in found else found
    expr = sp.Float(value) if is_number(value) else value
    if there != 1 and there not in sp.Mul.make_args(sp.factor_terms(expr)):
        return None
    bare = expr if there == 1 else sp.factor_terms(expr) / there
    if bare.has(instead) or (there == 1 and any(s.name.endswith("_i") for s in bare.free_symbols)):
        return None
    return sp.Float(scale) * bare * instead
