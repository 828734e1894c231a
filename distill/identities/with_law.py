"""Values of bodies that nobody measured, fitted once more: together with the constants of the law that was found.

The splines that values are learnt with first take hundreds of unknowns; a formula takes a few, so that the same data
say more of the values. Gauss and Newton on accelerations, as ``joint`` fits constants alone; the errors of values are
those of the sandwich over stretches, with the errors of all constants in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.special import stdtrit

from distill.files.dataset import Dataset, bodies
from distill.files.properties import of_edges, of_pairs, property_named, with_symbol
from distill.identities.errors import FEWEST, LEVEL, LOADS, NOTHING
from distill.identities.learn import GRAPHS, QUICK_GRAPHS, Learnt, Told, WithLaw, foretold, scale_of, without
from distill.law.joint import FAR, LEAST, LOST, SOFT, STEPS, Numbers, known_covariance, numbers_of
from distill.law.receivers import (
    Receivers,
    law_acceleration,
    law_error,
    network_error,
    pair_forces_of,
    receivers,
    weights_of,
)
from distill.messages.net_forces import missed_between, nodes_of
from distill.physics.law import Law
from distill.physics.terms import TERMS
from distill.physics.terms.values import names_in
from distill.shell.errors import UserError
from distill.splines.blocks import Seen, with_motion
from distill.splines.normal_equations import stretches
from distill.splines.observations import observations

WORSE = 1.02  # times the splines' error that a law with which values are told may have


def properties_in(law: Law) -> set[str]:
    """Names of all properties that accelerations by a law depend on; masses always are, as what resists."""
    names = set().union(*(names_in(value) for value in (*law.pair_functions.values(), *law.node.values())))
    ends = {with_symbol(name[:-2]).name for name in names if name[-2:] in ("_i", "_j")}
    return {"mass", *ends, *filter(None, (TERMS[term].of for term in law.node))}


def with_law(
    found: Learnt,
    law: Law,
    source: Dataset,
    data: Dataset,
    unknown: str,
    known: Mapping[int, float],
    seed: int = 0,
    quick: bool = False,
) -> Learnt:
    """``found`` from the dataset ``source``, whose copy ``data`` holds its values, with values fitted together with the
    constants of a law; as it is where the splines foretell better. ``UserError`` for a law that does not take what was
    found.
    """
    names = list(found.told)
    if missing := [name for name in names if name not in properties_in(law)]:
        raise UserError(f"the law takes no {' and no '.join(missing)}, which the motion tells of", "leave --law out")
    number, labels = bodies(source)
    start, held = {}, {}
    for name, told in found.told.items():
        start[name] = of_bodies(data, number, name, len(told.values))
        held[name] = [surest(told)]
        if name == unknown and known:
            start[name][list(known)], held[name] = list(known.values()), list(known)
    in_scale = np.all([np.isfinite(told.errors) for told in found.told.values()], axis=0)
    plain = without(source, unknown)
    plain.arrays |= {k: data.arrays[k] for k in ("id", "window") if k in data.arrays}
    train, unseen = (
        receivers_of(data, law, split, seed, quick, in_scale, foretell)
        for split, foretell in (("train", None), ("validation", (found, plain)))
    )
    better = refitted(law, start, held, train, unseen)
    by_splines = network_error(unseen)
    equation = (better.law if better else law).equation()["text"]
    if better is None or better.error > WORSE * by_splines:
        error = better.error if better else law_error(law, with_values(unseen, start))
        return replace(found, law=WithLaw(equation, error, by_splines, False))
    out = {}
    for name, told in found.told.items():
        values, (matrix, lost) = better.values[name], better.matrix(name)
        free = np.isfinite(told.errors) & ~lost
        reference = known if name == unknown else {}
        scale, slope, _ = scale_of(values, free, reference, labels)
        inner = np.eye(len(values)) / scale - np.outer(values, slope) / scale**2
        errors = np.where(free, np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", inner, matrix, inner), 0.0)), np.inf)
        errors = np.maximum(errors, LEAST * np.abs(values / scale))
        if reference:
            errors[list(reference)] = 0.0
        out[name] = Told(values / scale, errors, np.where(errors > 0, better.half_width * errors, 0.0))
    return replace(found, told=out, law=WithLaw(equation, better.error, by_splines, True))


def receivers_of(
    data: Dataset, law: Law, split: str, seed: int, quick: bool, some: np.ndarray, by: tuple[Learnt, Dataset] | None
) -> Receivers:
    """Those bodies of a split that are among ``some`` [body], with what frames miss of the accelerations by the ``law``
    as errors where there are windows. ``by``: splines, and the dataset that they know, whose predictions stand in the
    place of a network's.
    """

    def seen(dataset: Dataset) -> dict:
        return observations(dataset, split, QUICK_GRAPHS if quick else GRAPHS, seed)

    edges = with_motion(seen(data), data)
    nodes = nodes_of(edges)
    if "between" in edges:
        at_place = replace(edges["motion"], weight=np.ones_like(edges["motion"].weight))
        force = pair_forces_of(law, Seen(edges["r"].astype(float), of_edges(edges), at_place))
        edges |= {"acc_missed": missed_between(edges, nodes, force)}
    edges |= {"acc_pred_i": edges["acc_i"]}
    if by is not None:
        found, plain = by
        of_plain = seen(plain) if plain.periodic else with_motion(seen(plain), plain)
        edges |= {"acc_pred_i": foretold(found, of_plain, nodes_of(of_plain))[nodes.of_edge]}
    out = receivers(edges, nodes, np.arange(len(nodes.first)))
    out = replace(out, who=replace(out.who, count=len(some)))
    return out.subset(some[out.who.receiver])


def surest(told: Told) -> int:
    """The body whose value is known best, of its own size."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(told.values != 0, told.errors / np.abs(told.values), np.inf)
    return int(np.argmin(np.nan_to_num(share, nan=np.inf)))


def of_bodies(data: Dataset, number: np.ndarray, name: str, count: int) -> np.ndarray:
    """What the dataset has of a property [body]."""
    out, there = np.zeros(count), data.there.any(1)
    out[number[there]] = data.arrays[name][there]
    return out


@dataclass
class Refitted:
    """``values``: property -> [body]; ``covariance`` [value, value] of all free ones, which ``free`` names: (property,
    body) each; ``unknown`` [value]: of no known error. ``error``: of accelerations that were left out, relative.
    """

    law: Law
    values: dict[str, np.ndarray]
    free: list[tuple[str, int]]
    covariance: np.ndarray
    unknown: np.ndarray
    stretches: int
    error: float

    @property
    def half_width(self) -> float:
        """Of 95 % intervals, in standard errors: Student's t."""
        return float(stdtrit(max(self.stretches - 1, 1), (1 + LEVEL) / 2))

    def matrix(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(covariances of the values of a property [body, body], 0 of those that were held; whether a value's error is
        not known [body]).
        """
        count = len(self.values[name])
        out, unknown = np.zeros((count, count)), np.zeros(count, dtype=bool)
        places = [k for k, (own, _) in enumerate(self.free) if own == name]
        at = [self.free[k][1] for k in places]
        out[np.ix_(at, at)] = self.covariance[np.ix_(places, places)]
        unknown[at] = self.unknown[places]
        return out, unknown


def refitted(
    law: Law, values: Mapping[str, np.ndarray], held: Mapping[str, Sequence[int]], data: Receivers, unseen: Receivers
) -> Refitted | None:
    """Constants of ``law`` and the ``values`` of bodies (property -> [body]) fitted together to ``data``, from where
    they are; ``held``: property -> bodies whose value stays, one at least, which fixes the scale. None where the law is
    not finite, or foretells ``unseen`` worse afterwards than before.
    """
    numbers, met = numbers_of(law), _met(data)
    free = [(name, b) for name, own in values.items() for b in range(len(own)) if met[b] and b not in held[name]]
    start = np.r_[numbers.start, [values[name][b] for name, b in free]]
    unit = np.where(start != 0, np.abs(start), 1.0)
    for name, own in values.items():  # a value next to zero moves as far as others do
        typical = float(np.median(np.abs(own[own != 0]))) if own.any() else 1.0
        at = [len(numbers.start) + k for k, (other, _) in enumerate(free) if other == name]
        unit[at] = np.maximum(unit[at], 0.01 * typical)

    def split(x) -> dict[str, np.ndarray]:
        out = {name: np.array(own, float) for name, own in values.items()}
        for (name, body), value in zip(free, x[len(numbers.start) :], strict=True):
            out[name][body] = value
        return out

    first = with_values(data, values)
    size = np.linalg.norm(law_acceleration(law, first), axis=1)
    if not np.isfinite(size).all():
        return None
    weights = np.repeat(weights_of(first, size), data.acc.shape[1])
    last: list = [None, None, None]

    def at(u):
        if last[0] is None or (u != last[0]).any():
            x = u * unit
            with np.errstate(all="ignore"):
                found, slopes = accelerations(numbers, x[: len(numbers.start)], with_values(data, split(x)), free)
            r = np.clip(np.nan_to_num(weights * (found - data.acc).reshape(-1), nan=FAR), -FAR, FAR)
            slopes = weights[:, None] * slopes.reshape(len(r), -1) * unit
            last[:] = u.copy(), r, np.nan_to_num(slopes, posinf=0, neginf=0)
        return last

    scale = max(max(float(np.median(np.abs(at(start / unit)[1]))), 1e-12), SOFT * 1e-3)
    options = {"loss": "soft_l1", "f_scale": scale, "x_scale": "jac", "max_nfev": STEPS}
    found = least_squares(lambda u: at(u)[1], start / unit, jac=lambda u: at(u)[2], **options)
    x = found.x * unit
    better, told = numbers.at(x[: len(numbers.start)]), split(x)
    error, before = law_error(better, with_values(unseen, told)), law_error(law, with_values(unseen, values))
    if error > LOST * before:
        return None
    _, r, slopes = at(found.x)
    soft = (1 + (r / scale) ** 2) ** -0.25  # squares of residuals count less the larger they are
    slopes, r = slopes * soft[:, None], r * soft
    cluster = np.repeat(stretches(data.trajectory, data.seen.motion.t[data.start]), data.acc.shape[1])
    own = slice(len(numbers.start), None)
    matrix = (known_covariance(slopes, r, cluster) * np.outer(unit, unit))[own, own]
    unknown = undetermined(slopes, cluster)[own] | ~np.isfinite(np.diag(matrix))
    return Refitted(better, told, free, np.nan_to_num(matrix), unknown, len(np.unique(cluster)), float(error))


def undetermined(slopes: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Whether the data do not tell a number at all [number]: it moves nothing, in fewer than ``FEWEST`` stretches
    something, or along a direction in which others make up for it.
    """
    size = np.linalg.norm(slopes, axis=0)
    there = size > 0
    out = ~there
    met = [len(np.unique(cluster[column != 0])) for column in slopes.T]
    out |= np.array(met) < FEWEST
    scaled = slopes[:, there] / size[there]
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    out[there] |= (np.abs(vectors[:, values <= NOTHING * values[-1]]) > LOADS).any(1)
    return out


def _met(data: Receivers) -> np.ndarray:
    """Whether a body is in the data [body]."""
    out = np.zeros(data.who.count, dtype=bool)
    out[data.who.receiver] = out[data.who.sender] = True
    return out


def with_values(data: Receivers, values: Mapping[str, np.ndarray]) -> Receivers:
    """``data`` in which every body has these values, property -> [body]."""
    who = data.who
    number = np.repeat(who.receiver, np.diff(np.r_[data.start, len(data.unit)]))
    of_ends = of_pairs({k: v[number] for k, v in values.items()}, {k: v[who.sender] for k, v in values.items()})
    properties = data.state.properties | {k: v[who.receiver] for k, v in values.items()}
    return replace(
        data,
        features=data.features | of_ends,
        seen=Seen(data.seen.r, data.seen.ends | of_ends, data.seen.motion),
        state=replace(data.state, properties=properties),
    )


def accelerations(
    numbers: Numbers, x: np.ndarray, data: Receivers, free: Sequence[tuple[str, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """([receiver, dim], derivatives by the numbers ``x`` of a law and by the values ``free``, (property, body) each
    [receiver, dim, number + value]). ``data`` has the values.
    """
    rows, dim, who = len(data.acc), data.acc.shape[1], data.who
    names = list(dict.fromkeys(name for name, _ in free))
    out, slopes = np.zeros((rows, dim)), np.zeros((rows, dim, len(x)))
    by_body = {name: np.zeros((rows, dim, who.count)) for name in names}
    row = np.repeat(np.arange(rows), np.diff(np.r_[data.start, len(data.unit)]))
    every = np.arange(rows)
    for term in numbers.parts(x, data):
        out += term.force
        slopes[..., term.at] += term.by_number
        for name in names:
            own, other = property_named(name).variables
            by_body[name][every, :, who.receiver] += term.sum(term.vector(own))
            if TERMS[term.name].of_pair:
                along, place = term.vector(other), row * who.count + who.sender
                for axis in range(dim):
                    sums = np.bincount(place, along[:, axis], rows * who.count)
                    by_body[name][:, axis] += sums.reshape(rows, who.count)
            elif TERMS[term.name].of == name:
                by_body[name][every, :, who.receiver] += term.force / data.state.properties[name][:, None]
    mass = data.state.mass[:, None]
    out, slopes = out / mass, slopes / mass[..., None]
    values = {name: found / mass[..., None] for name, found in by_body.items()}
    if "mass" in values:
        values["mass"][every, :, who.receiver] -= out / mass
    columns = [values[name][..., body] for name, body in free]
    return out, np.concatenate([slopes, np.stack(columns, -1)], -1) if columns else slopes
