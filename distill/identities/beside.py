"""What acts on bodies beside the pairs whose strengths are learnt: traps, friction, uniform, timed and magnetic fields.

All are blocks of ``splines.blocks``, linear in their coefficients. At first every body has coefficients of its own, so
that nothing is assumed of how a field grips bodies that differ; what foretells no better with them is left out. Then a
block's coefficients are those of all bodies, in proportion to powers of the values that are learnt, where such a
``Scaling`` foretells as much.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from distill.identities.bilinear import BOTH, LEFT, OWN, RESPONSE, ROUGHLY, SAME, SOURCE, Scaling, minimise, with_nodes
from distill.identities.choice import BETTER, ENOUGH, Chosen, Hypothesis, better, choose, held_out
from distill.identities.pairs import MOST, Basis, compress, most_partners, width_of
from distill.splines.blocks import (
    NOTHING,
    PLACE,
    SPEED,
    SPEEDS,
    TIME,
    NodeBlock,
    displaced,
    line,
    of_typical_size,
    polynomials,
)
from distill.splines.curves import Space
from distill.splines.dependence import Product
from distill.splines.displacement import INTERVALS, displacement
from distill.splines.normal_equations import Table, typical

# of the penalty on curves, while it is chosen what acts: of one film a fold is a stretch of time, and functions of the
# time that bend freely say anything there
STRENGTHS = (1e-10, 1e-7, 1e-4, 1e-2)
TURNS = 3  # of values and of where displaced forces come from
STEPS = 12  # of the first fit with blocks, from that without
DEGREE = 3  # of a field in the place
MOMENTS = 8  # intervals of functions of the time
NEARLY = 0.01  # relative error below which curves that are too coarse may be all that is wrong,
FAR_BETTER = 0.5  # and what finer ones must bring it down to
ALIKE = 1 - 1e-4  # of the held-out error of coefficients of all that those of each body's own must come down to
WORTH = 3e-3  # share of the held-out squared error that a block has to be worth
EQUALLY, AS_FORCES, AS_STRENGTHS, PER_SOURCE = Scaling(), Scaling(1, -1), Scaling(1, 0), Scaling(0, -1)
SCALINGS = {  # by role, the simplest first
    SOURCE: (EQUALLY, PER_SOURCE),
    RESPONSE: (EQUALLY, AS_STRENGTHS),
    SAME: (EQUALLY, AS_STRENGTHS),
    BOTH: (EQUALLY, AS_STRENGTHS, AS_FORCES),
}


def node_blocks(data: Table) -> tuple[NodeBlock, ...]:
    """All that may act on a body by itself; none where the motion is not known. Forces may be in proportion to known
    properties.
    """
    motion, dim = data.motion, data.dim
    if motion is None:
        return ()
    known = [name for name, values in data.state.properties.items() if np.ptp(values) > 0]
    out = []
    for by in (None, *known):
        out.append(NodeBlock("constant_force", by, NOTHING, None, dim))
        out.append(NodeBlock("field", by, PLACE, polynomials(motion.pos, DEGREE), dim))
        if motion.vel.any():
            out.append(NodeBlock("drag", by, SPEED, line(np.linalg.norm(motion.vel, axis=1), SPEEDS), dim))
            if dim > 1:
                out.append(NodeBlock("gyration", by, NOTHING, None, dim))
        if np.ptp(motion.t) > 0:
            out.append(NodeBlock("constant_force", by, TIME, line(motion.t, MOMENTS), dim))
    return tuple(of_typical_size(block, data.seen) for block in out)


def with_what_acts_beside(
    data: Table,
    basis: Basis,
    tried: Sequence[Hypothesis],
    weight: np.ndarray,
    seed: int,
    met: int | None = None,
    finer: Space | None = None,
) -> tuple[Chosen, Basis]:
    """The choice among hypotheses of pair forces alone, or beside what else acts where that is clearly needed: with
    what is needed of it, with coefficients of every body's own. ``met``: most others that a body meets, where it is
    more than in the ``data``. ``finer``: curves that are tried first where pair forces miss less than ``NEARLY``, and
    kept if they bring that down by ``FAR_BETTER``: what acts beside pairs would make up for curves that are too coarse.
    """
    pairs = compress(data, basis, weight)
    alone = choose(pairs, tried, seed)
    if foretells(alone, ENOUGH):
        return alone, basis
    if finer is not None and foretells(alone, NEARLY):
        wider = replace(basis, curves=finer)
        more = choose(compress(data, wider, weight), tried, seed)
        if better(more.folds, alone.folds, FAR_BETTER):
            alone, basis = more, wider
            if foretells(alone, ENOUGH):
                return alone, basis
    blocks = node_blocks(data)
    blocks, untried = with_room(blocks, basis, met or most_partners(data))
    alone.untried = untried
    if not blocks:
        return alone, basis
    wider = Basis(basis.curves, basis.pair, blocks)
    pairs = compress(data, wider, weight)
    own = (OWN,) * len(blocks)
    first = (alone.problem.with_(pairs=pairs, scalings=own, smooth=strength) for strength in STRENGTHS)
    trials = [held_out(one, minimise(one, alone.values, STEPS, ROUGHLY)) for one in first]
    if not better(min(trials, key=typical), alone.folds):
        return alone, basis
    found = choose(pairs, tried, seed, scalings=own, strengths=STRENGTHS)
    problem, v, errors = found.problem, found.values, found.folds
    while True:
        trials = {}
        for k, scaling in enumerate(problem.scalings):
            if scaling == OWN:
                fewer = problem.with_(scalings=(*problem.scalings[:k], LEFT, *problem.scalings[k + 1 :]))
                trials[k] = fewer, held_out(fewer, v)
        if not trials:
            break
        fewer, without = min(trials.values(), key=lambda trial: typical(trial[1]))
        if typical(without) > (1 + WORTH) * typical(errors):
            break
        problem, errors = fewer, without
        v = minimise(problem, v, STEPS, ROUGHLY)
    needed = [k for k, scaling in enumerate(problem.scalings) if scaling == OWN]
    if not needed:
        return alone, basis
    basis = Basis(basis.curves, basis.pair, tuple(blocks[k] for k in needed))
    own = (OWN,) * len(needed)
    return replace(choose(compress(data, basis, weight), tried, seed, scalings=own), untried=untried), basis


def foretells(found: Chosen, error: float) -> bool:
    """Whether the relative error of what is left out is at most ``error``."""
    return bool(np.sqrt(found.problem.pairs.dim * typical(found.folds)) <= error)


def with_further(
    data: Table, found: Chosen, basis: Basis, weight: np.ndarray, seed: int, met: int | None = None
) -> tuple[Chosen, Basis]:
    """The same beside those terms of a node that were left out while the choice foretold less well than it does now:
    one after the other, as long as the next one is worth it.
    """
    there = {block.name for block in basis.node}
    blocks, _ = with_room([b for b in node_blocks(data) if b.name not in there], basis, met or most_partners(data))
    wider = replace(basis, node=(*basis.node, *blocks))
    scalings = (*found.problem.scalings, *(LEFT,) * len(blocks))
    problem, v, errors = found.problem.with_(pairs=compress(data, wider, weight), scalings=scalings), found.values, None
    while True:
        trials, cost = [], minimise(problem, v, STEPS, ROUGHLY).cost
        left = [k for k, scaling in enumerate(problem.scalings) if scaling == LEFT]
        for k, scaling, strength in product(left, (*SCALINGS[problem.role], OWN), {problem.smooth, STRENGTHS[-2]}):
            more = (*problem.scalings[:k], scaling, *problem.scalings[k + 1 :])
            more = problem.with_(scalings=more, smooth=strength)
            begun = minimise(more, with_nodes(more, v), STEPS, ROUGHLY)
            if begun.cost < (1 - WORTH) * cost:  # what the fit itself hardly gains by foretells nothing
                trials.append((held_out(more, begun), more, begun))
        best = min(trials, key=lambda trial: typical(trial[0]), default=None)
        if best is None or not better(best[0], found.folds if errors is None else errors, np.sqrt(1 - WORTH)):
            break
        errors, problem, v = best
    if errors is None:
        return found, basis
    needed = [k for k, scaling in enumerate(problem.scalings) if scaling != LEFT]
    basis = replace(basis, node=tuple(wider.node[k] for k in needed))
    scalings, tried = tuple(problem.scalings[k] for k in needed), [one for one, _, _ in found.fits.values()]
    again = choose(compress(data, basis, weight), tried, seed, scalings=scalings, strengths=STRENGTHS)
    return replace(again, untried=found.untried), basis


def with_room(blocks: Sequence[NodeBlock], basis: Basis, met: int) -> tuple[tuple[NodeBlock, ...], tuple[str, ...]]:
    """(those of the ``blocks`` that fit, the first of them first, beside the curves of a body that meets so many; names
    of the others).
    """
    fit, left = (), []
    for block in blocks:
        if width_of(met, Basis(basis.curves, basis.pair, (*basis.node, *fit, block))) <= MOST:
            fit = (*fit, block)
        else:
            left.append(block.name)
    return fit, tuple(left)


def with_displaced(
    data: Table,
    found: Chosen,
    basis: Basis,
    tried: Sequence[Hypothesis],
    weight: np.ndarray,
    seed: int,
    met: int | None = None,
) -> tuple[Chosen, Basis]:
    """The same beside forces that come from points displaced from the senders, as those of wakes, in proportion to the
    same values: where the choice leaves such, and foretells clearly more with them.
    """
    if foretells(found, ENOUGH):
        return found, basis
    for turn in range(TURNS):
        strength, left = left_by(found, data)
        centre = displacement(data, strength, left, weight, seed)
        if centre is None:
            break
        curves = basis.curves
        intervals = max(INTERVALS, (len(curves.breaks) - 1) // 2)  # not fewer than it was looked for with
        block = displaced(data.seen, Product(((),)), intervals, curves.unit, centre)
        wider = Basis(curves, (block,), basis.node)
        if width_of(met or most_partners(data), wider) > MOST:
            return replace(found, untried=(*found.untried, block.name)), basis
        pairs = compress(data, wider, weight)
        same = ([found.hypothesis], seed, found.values) if turn else (tried, seed)  # what values do is asked once
        more = choose(pairs, *same, scalings=found.problem.scalings, strengths=STRENGTHS)
        if not better(more.folds, found.folds, 1.0 if turn else BETTER):
            break
        found, basis = replace(more, untried=found.untried), wider
    return found, basis


def left_by(found: Chosen, data: Table) -> tuple[np.ndarray, np.ndarray]:
    """(w_i s_j [edge], what the choice leaves of the targets but for its displaced forces [receiver, dim])."""
    problem, v, left = found.problem, found.values, data.target.copy()
    basis = problem.pairs.basis
    for k, one in enumerate(problem.pairs.receivers):
        index = np.flatnonzero(data.who.receiver == one.identity)
        c = problem.coefficients(v, k).copy()
        width = len(one.partners) * basis.functions
        c[:width].reshape(len(one.partners), -1)[:, basis.curves.size :] = 0.0
        left[index] -= basis.columns(data.of(index), one.partners) @ c
    number = np.repeat(np.arange(len(data)), np.diff(data.start))
    return v.response[data.who.receiver[number]] * v.source[data.who.sender], left


def scaled_alike(found: Chosen) -> Chosen:
    """With the coefficients of all bodies where these foretell as well as each body's own: as there are fewer of them,
    they foretell better where they are right, however large the noise. Fields first: beside one that is a body's own
    uniform forces of all are not told.
    """
    problem, v, errors = found.problem, found.values, found.folds
    for k in sorted(range(len(problem.scalings)), key=lambda k: -problem.pairs.basis.node[k].size):
        trials = []
        for scaling in SCALINGS[problem.role]:
            one = problem.with_(scalings=(*problem.scalings[:k], scaling, *problem.scalings[k + 1 :]))
            begun = minimise(one, with_nodes(one, v))  # to the end: it begins far from its least
            trials.append((held_out(one, begun), one, begun))
        best = min(trials, key=lambda trial: typical(trial[0]))
        if not better(errors, best[0], ALIKE):
            errors, problem, v = best
    return replace(found, problem=problem, values=v, folds=errors)
