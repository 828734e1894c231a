"""Formulas for the terms beside the radial force that splines have found to be needed.

One after the other, on what the others leave of the accelerations: the function of each ``Slot`` is looked for as the
control looks for a pair force, from families of forms and products of the properties, repaired and chosen on
accelerations that were left out. At last all constants are fitted together (``law.joint``).

Forces that depend on the place or the time alone share a uniform one in any way, and stand in for each other where
motion is alike everywhere: where splines have several of these, each is tried alone, and all of them are kept only if
they predict better. What is known to act is not asked.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import sympy as sp
from scipy.linalg import block_diag

from distill.formulas.tree import complexity, with_scales
from distill.formulas.units import ONE, Units, times, with_units
from distill.law.further.slots import UNIFORM, OfAxis, OfPairs, Radial, Slot, slots
from distill.law.further.starts import RADIUS
from distill.law.further.trimming import as_good, trimmed, without_unsure
from distill.law.further.whole import in_one_form, recoupled
from distill.law.joint import LOST, examined, fitted, spelt
from distill.law.receivers import (
    Receivers,
    acceleration_objective,
    law_acceleration,
    law_error,
    pair_forces_of,
    weights_of,
)
from distill.law.selection import Ground, tried_out
from distill.messages.net_forces import node_design
from distill.physics.law import RADIAL, Law
from distill.physics.terms import TERMS, About
from distill.physics.terms.state import DISTANCE, TIME
from distill.physics.terms.values import is_constant, is_number
from distill.search.front import Row
from distill.splines.blocks import PLACE, POINT, NodeBlock, Seen, about_point, columns_of, of_typical_size
from distill.splines.normal_equations import solve
from distill.splines.pair_spline import Further

REPAIRS = 3  # rounds of repair
# over all functions of pairs, and share of the error that one has to come down to for the next
PASSES, BETTER = 3, 0.98
TOGETHER = 3  # forms of a function that are fitted together with all other terms
FELT = 50  # receivers at least have to feel a term, in as many as formulas are tried on
RESTING = ("central", "field", "constant_force")  # further terms of the place or the time alone
SMOOTH = 10.0 ** np.arange(-12, 0, 2)  # strengths of the penalty on curves


def composed(law: Law, further: Sequence[Further], ground: Ground, units: Units = ONE) -> tuple[Law, dict, dict]:
    """``law``, whose radial force and constant node terms were found beside the splines ``further``, with formulas in
    their place, and what ``joint.examined`` says of it: all constants are fitted together. ``ground``: of all
    accelerations; ``units`` to look for formulas in.
    """
    every, ground = ground, ground.resolved_by(_pairs_by_splines(law, further))
    whole, others = (law, further), [alone(law, own, further, ground) for own in _resting(law, further, ground)]
    best, least = law, np.inf
    for base, some in (*others, whole) if len(others) > 1 else (whole, *others):
        found = _composed(base, some, every, units)
        error = law_error(found, ground.held)
        if error * LOST < least:
            best, least = found, error
        if least <= ground.check.tiny:
            break
    ground = every.resolved_by(_pairs_of(best))
    return examined(best, ground.many, ground.held, ground.canonical)


def _pairs_of(law: Law) -> Callable[[Seen], np.ndarray]:
    return lambda seen: pair_forces_of(law, seen)


def _pairs_by_splines(law: Law, further: Sequence[Further]) -> Callable[[Seen], np.ndarray]:
    """The forces of pairs by the radial one of ``law`` and splines."""
    pairs = [one for one in further if not isinstance(one.block, NodeBlock)]
    return lambda seen: pair_forces_of(law, seen) + sum(one.forces(seen) for one in pairs)


def _composed(law: Law, further: Sequence[Further], ground: Ground, units: Units) -> Law:
    """The law of ``composed``, one way: term by term, then as a whole, then the functions of pairs once more. Which
    windows frames resolve is asked by splines, and again by formulas, which are steeper in close encounters.
    """
    every, ground = ground, ground.resolved_by(_pairs_by_splines(law, further))
    inside, places = ground if units == ONE else ground.within(units), slots(further, ground)
    made = {s.name: [_by_splines(s, further, data) / units.acceleration for data in ground.sets] for s in places}
    found = with_formulas(in_units(law, units), [slot.within(units) for slot in places], made, inside)
    law = fitted(of_data(found, units, ground.canonical), ground.many, ground.held)
    of_pairs = [Radial(RADIAL, ground.properties), *(slot for slot in places if isinstance(slot, OfPairs))]
    if law_error(law, ground.held) > ground.check.tiny:
        law = in_one_form(law, of_pairs, ground)
    ground = every.resolved_by(_pairs_of(law))
    law = spelt(fitted(trimmed(law, ground), ground.many, ground.held), ground.canonical)
    sure = without_unsure(law, ground)
    if law_error(sure, ground.held) > ground.check.tiny:
        sure = without_unsure(recoupled(in_one_form(sure, of_pairs, ground), ground), ground)
    if sure is not law and law_error(sure, ground.held) > ground.check.tiny:
        sure = in_one_form(again(sure, of_pairs, ground, units), of_pairs, ground)
    return spelt(sure, ground.canonical)


def again(law: Law, of_pairs: Sequence[OfPairs], ground: Ground, units: Units) -> Law:
    """``law`` with the functions ``of_pairs`` looked for once more beside the formulas of all others, as long as that
    brings something: what splines had taken for part of one term may have been that of another.
    """
    inside = ground if units == ONE else ground.within(units)
    for _ in range(PASSES):
        before, error = law, law_error(law, ground.held)
        for slot in of_pairs:
            if (taken := slot.taken(law)) is not None:
                law = _replaced(law, *taken, slot.of_law(law), ground, inside, units)
        if law is before or law_error(law, ground.held) > BETTER * error or error <= ground.check.tiny:
            break
    return law


def _replaced(law: Law, rest: Law, own: sp.Expr, slot: OfPairs, ground: Ground, inside: Ground, units: Units) -> Law:
    """``law`` with another function of ``slot`` in place of its ``own`` beside the ``rest``, or as it is. Forms that
    explain most of what the rest leaves are fitted together with the constants of all other terms.
    """
    there, name = slot.within(units), slot.name
    left = [(data.acc - law_acceleration(rest, data)) / units.acceleration for data in ground.sets]
    view = inside.viewed(lambda data, k: there.view(data, law, left[k]), _inputs(there, inside.many))
    alike = [per_units(expr, name, units) for expr in slot.alike(law)]
    starts = [*there.starts(view), *alike, per_units(own, name, units)]
    candidates, chosen = tried_out([Row(0, 0.0, "", start) for start in starts], view, REPAIRS)
    best = sorted(candidates, key=lambda candidate: candidate.error)[:TOGETHER]
    forms = dict.fromkeys([candidates[chosen].expr, *(candidate.expr for candidate in best), *alike])
    for form in forms:
        expr = of_units(form, name, units, ground.canonical)
        trial = fitted(slot.put(rest, expr), ground.many, ground.held)
        now = slot.taken(law)
        simpler = now is not None and complexity(expr) < complexity(now[1]) and as_good(trial, law, ground, LOST)
        if simpler or law_error(trial, ground.held) * LOST < law_error(law, ground.held):
            law = trial
    return without_unsure(law, ground)


def _kind(one: Further) -> tuple | None:
    """What a function of the place or the time alone is of; None of other terms."""
    block = one.block
    return (block.term, block.over) if isinstance(block, NodeBlock) and block.term in RESTING else None


def _resting(law: Law, further: Sequence[Further], ground: Ground) -> list[list]:
    """Blocks of every kind of function of the place or the time alone, if there are several, or some of the place:
    steep walls about a point are hard to tell for curves with a few knots, and one may hide in a field. None where it
    was known which of these act.
    """
    kinds: dict[tuple, list] = {}
    for one in further:
        if kind := _kind(one):
            if one.known:
                return []
            kinds.setdefault(kind, []).append(one.block.finer())
    over = {over for _, over in kinds}
    if PLACE in over and POINT not in over and ground.dim > 1:
        data = ground.many
        left = (data.acc - law_acceleration(law, data)) * data.state.mass[:, None]
        left = left - _force_of((one for one in further if not _kind(one)), data)
        motion, degree = data.in_motion.motion, np.diff(np.r_[data.start, len(data.unit)])
        around = about_point(motion, data.sum(motion.share[:, None] * motion.pos), left, degree)
        kinds["central", POINT] = [of_typical_size(around, data.in_motion).finer()]
    return list(kinds.values()) if len(kinds) > 1 or POINT in over else []


def alone(law: Law, own: Sequence, further: Sequence[Further], ground: Ground) -> tuple[Law, list[Further]]:
    """``law`` and ``further`` without functions of the place or the time, but for the blocks ``own`` of one kind and a
    uniform force, fitted again to what the other terms leave.
    """
    others = [one for one in further if not _kind(one)]
    law = replace(law, node={name: value for name, value in law.node.items() if name not in UNIFORM.values()})
    uniform = list(UNIFORM.values()) if np.ptp(ground.many.state.mass) > 0 else [UNIFORM[None]]
    width = sum(block.size for block in own)
    rough = np.zeros((width + ground.dim * len(uniform),) * 2)
    rough[:width, :width] = block_diag(*(block.roughness() for block in own))

    def rows(data: Receivers) -> tuple[np.ndarray, np.ndarray]:
        """(columns [residual, column], accelerations that are left [residual]), weighted."""
        mass = data.state.mass[:, None]
        seen, edges = data.in_motion, data.edges
        made = sum((one.force_of(seen, edges) / mass for one in others), np.zeros(data.acc.shape))
        left = data.acc - law_acceleration(law, data) - made
        curves = np.concatenate([columns_of(block, seen, edges) for block in own], 2) / mass[:, :, None]
        columns = np.hstack([curves.reshape(-1, width), node_design(data.state, uniform)])
        weight = np.repeat(weights_of(data, np.linalg.norm(data.acc, axis=1)), ground.dim)
        return columns * weight[:, None], left.reshape(-1) * weight

    (x, y), (other, there) = rows(ground.many), rows(ground.held)
    ends = np.cumsum([block.size for block in own])[:-1]
    of_block = np.split(np.arange(width), ends)
    size = np.sqrt((x**2).mean(0))  # of columns, one for all of a block, so that no unit matters
    for columns in of_block:
        size[columns] = np.sqrt((size[columns] ** 2).mean())
    size = np.where(size > 0, size, 1.0)
    gram, moment = (x / size).T @ (x / size), (x / size).T @ y
    tried = [solve(gram, moment, rough, smooth, len(y)) / size for smooth in SMOOTH]
    best = min(tried, key=lambda g: float(((other @ g - there) ** 2).sum()))
    curves = np.split(best[:width], ends)
    node = dict(zip(uniform, best[width:].reshape(len(uniform), -1), strict=True))
    return replace(law, node=law.node | node), [*others, *map(Further, own, curves)]


def in_units(law: Law, units: Units) -> Law:
    """A law of a radial force and constant node terms, of data divided by ``units``."""
    node = {name: value / TERMS[name].unit(units) for name, value in law.node.items()}
    return replace(law, pair=units.pair(law.pair), node=node)


def _units_of_variables(units: Units) -> dict[str, float]:
    length = units.of.get(RADIUS, 1.0)
    return {**units.of, DISTANCE: length, TIME: length / units.speed}


def per_units(expr: sp.Expr, name: str, units: Units) -> sp.Expr:
    """A function of the term ``name`` of data, as one of data divided by ``units``."""
    return times(1 / TERMS[name].unit(units), with_units(expr, _units_of_variables(units)))


def of_units(expr: sp.Expr, name: str, units: Units, canonical: Callable) -> sp.Expr:
    """The other way; ``canonical``: how formulas are spelt."""
    back = {variable: 1 / unit for variable, unit in _units_of_variables(units).items()}
    return canonical(times(TERMS[name].unit(units), with_units(expr, back)))


def of_data(law: Law, units: Units, canonical: Callable) -> Law:
    """A law of data divided by ``units`` as one of the data; ``canonical``: how formulas are spelt."""
    length = units.of.get(RADIUS, 1.0)

    def back(part, name):
        if is_number(part):
            return float(part) * TERMS[name].unit(units)
        return of_units(part, name, units, canonical)

    def value(found, name):
        if isinstance(found, About):
            return About(tuple(length * c for c in found.centre), back(found.strength, name))
        if isinstance(found, tuple):
            return tuple(back(part, name) for part in found)
        return found * TERMS[name].unit(units) if is_constant(found) else back(found, name)

    pairs = {name: value(found, name) for name, found in law.pairs.items()}
    node = {name: value(found, name) for name, found in law.node.items()}
    return replace(law, pair=back(law.pair, RADIAL), pairs=pairs, node=node)


def with_formulas(law: Law, places: Sequence[Slot], made: dict, ground: Ground) -> Law:
    """``law`` with a formula in each of the ``places``, constants fitted one term after the other; ``made``: name of a
    place -> accelerations by splines [receiver, dim] of each of the ``sets`` of ``ground``, to begin with.
    """
    sets, made = ground.sets, dict(made)
    base = [law_acceleration(law, data) for data in sets]
    found: dict[str, sp.Expr] = {}
    for last in (False, True):
        for slot in places:
            others = [name for name in made if name != slot.name]
            left = [data.acc - base[k] - sum(made[name][k] for name in others) for k, data in enumerate(sets)]
            seen = list(zip(sets, left, strict=True))
            if (felt := _felt(*made[slot.name][:2])) is not None:
                seen[0] = sets[1].subset(felt), left[1][felt]
            view = ground.viewed(_as_seen(slot, law, seen), _inputs(slot, sets[1]))
            if last:
                expr = found[slot.name]
            else:
                alike = slot.alike(law) if isinstance(slot, OfPairs) else []
                rows = [Row(0, 0.0, "", start) for start in (*slot.starts(view), *alike)]
                candidates, chosen = tried_out(rows, view, REPAIRS)
                expr = candidates[chosen].expr
            found[slot.name] = view.canonical(acceleration_objective(view.many).fit(with_scales(expr))[0])
            made[slot.name] = [
                _by_formula(found[slot.name], slot.view(data, law, rest)) for data, rest in zip(sets, left, strict=True)
            ]
    for slot in places:
        law = slot.put(law, found[slot.name])
    return law


def _as_seen(slot: Slot, law: Law, sets: Sequence[tuple]) -> Callable[[Receivers, int], Receivers]:
    """``sets`` as the term of ``slot`` sees them, each with what is left for it [receiver, dim], for
    ``Ground.viewed``.
    """
    return lambda _, k: slot.view(sets[k][0], law, sets[k][1])


def _felt(few: np.ndarray, many: np.ndarray) -> np.ndarray | None:
    """Which of the ``many`` receivers formulas are tried on in place of the ``few``, hardly one of which feels a term,
    by the accelerations [receiver, dim] that it makes: as many, half of them those that feel it most.
    """
    strength, square = (many**2).sum(1), (few**2).sum(1)
    if square.sum() ** 2 >= FELT * (square**2).sum():
        return None
    order, half = np.argsort(-strength, kind="stable"), len(few) // 2
    felt, rest = np.zeros(len(many), dtype=bool), np.sort(order[half:])
    felt[order[:half]] = True
    felt[rest[np.linspace(0, len(rest) - 1, min(half, len(rest))).astype(int)]] = True
    return felt


def _inputs(slot: Slot, data: Receivers) -> list[str]:
    """What the function may depend on, but for what does not vary."""
    found = slot.features(data.in_motion)
    return [name for name, value in found.items() if np.ptp(value) > 0] or list(found)[:1]


def _force_of(some: Iterable[Further], data: Receivers) -> np.ndarray:
    """The force of all of them together [receiver, dim]."""
    return sum((one.force_of(data.in_motion, data.edges) for one in some), np.zeros(data.acc.shape))


def _by_splines(slot: Slot, further: Sequence[Further], data: Receivers) -> np.ndarray:
    """Accelerations [receiver, dim] by the splines that the formula of ``slot`` will stand for."""
    force = _force_of((one for one in further if slot.stands_for(one.block)), data)
    if isinstance(slot, OfAxis):
        force = force * np.eye(slot.dim)[slot.axis]
    return force / data.state.mass[:, None]


def _by_formula(expr: sp.Expr, view: Receivers) -> np.ndarray:
    plain = acceleration_objective(view)
    with np.errstate(all="ignore"):
        return plain.apply(plain.values(expr)).reshape(view.acc.shape)
