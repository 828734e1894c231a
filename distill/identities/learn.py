"""Values of bodies from a dataset: which part they play, how large they are, how sure, of how many kinds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from distill.files.dataset import Dataset, bodies, of_one_film
from distill.files.fields import DATASET_FIELDS
from distill.files.kinds import SystemRecord
from distill.files.properties import of_pairs
from distill.identities.beside import scaled_alike, with_displaced, with_further, with_what_acts_beside
from distill.identities.bilinear import BOTH, RESPONSE, SAME, SOURCE, Problem, Values, minimise
from distill.identities.choice import Chosen, choose, hypotheses
from distill.identities.errors import Covariance, covariance
from distill.identities.kinds import Kinds, kinds
from distill.identities.pairs import MOST, Basis, compress, groups_of, most_partners, refuse_too_many
from distill.identities.weights import by_a_first, of_bodies, predicted, weights
from distill.identities.window import window_length
from distill.messages.net_forces import Nodes, nodes_of
from distill.shell.errors import UserError
from distill.splines import dependence as dependences
from distill.splines.blocks import with_motion
from distill.splines.curves import Space, envelope, space
from distill.splines.normal_equations import Table, drawn, table
from distill.splines.observations import observations
from distill.statistics.metrics import typical_size
from distill.windows.of_dataset import positions_alone

GRAPHS, QUICK_GRAPHS = 16_000, 1000
COARSE, FINE = 12, 32  # intervals of the curves: to choose what the values do, and at the end
MOST_BODIES = 300
CHOOSE = 12_000  # receivers that choose what the values do and what acts beside
ROUNDS = 2  # of the envelope, which a first curve tells better than net forces
EQUIVALENCE, THIRD_LAW = "equivalence", "third law"
SHOWN = 200  # receivers of each body that shares are told of
FAR = 0.1  # of the largest value: those far from zero give the scale


@dataclass
class Told:
    """One property: ``values`` [body] in the scale that is told, ``errors`` standard errors: 0 where a value gives the
    scale, infinite where the data say nothing. ``half`` [body]: half-widths of 95 % intervals.
    """

    values: np.ndarray
    errors: np.ndarray
    half: np.ndarray

    @property
    def determined(self) -> np.ndarray:
        """Whether a value's interval keeps away from zero [body]."""
        return np.abs(self.values) > self.half


@dataclass
class Learnt:
    """``role`` in ``bilinear.ROLES``; ``told``: property -> its values; ``gauge``: what fixes the scales, in words;
    ``roles``: hypothesis -> its error on what was left out.
    """

    role: str
    told: dict[str, Told]
    gauge: str
    half_width: float
    stretches: int
    receivers: int
    error: float
    roles: dict[str, float]
    distance: np.ndarray
    curve: np.ndarray
    alike: float | None
    tests: dict[str, tuple[float, float]]  # of a law of nature: relative spread, and what errors make of it
    kinds: Kinds | None
    window: int | None
    values: Values
    basis: Basis  # what was fitted,
    scalings: tuple  # and how its terms of a node differ from body to body
    shares: list[float]  # of the blocks of ``basis``, the node's after the pair's, in the typical acceleration
    groups: np.ndarray | None  # [body] of bodies that never meet those of another; None: there is one
    untried: tuple[str, ...]  # names of what was not asked for, as there are too many unknowns
    kept: float | None  # by how much several given values are off what the motion alone says, relatively, at most
    problem: Problem  # that was fitted
    scale: float  # of its targets
    expected: float  # what noise makes of ``error``
    law: "WithLaw | None" = None  # what the law that was given made of the values


@dataclass
class WithLaw:
    """What ``with_law`` made of the values: relative errors of accelerations that were left out, by the law with them
    and by the splines; whether these values are told, as they are where the law foretells as well.
    """

    equation: str
    error: float
    error_of_splines: float
    taken: bool


def learn(
    dataset: Dataset, unknown: str, reference: Mapping[int, float] | None = None, seed: int = 0, quick: bool = False
) -> Learnt:
    """The values of ``unknown``: "mass", whose values in the dataset are then not looked at, or any other property,
    with masses as they are. ``reference``: number of a body -> its value, which fixes the scale (of several in the mean
    of squares); without any the geometric mean of the values far from zero is 1. ``UserError`` for too many bodies, too
    few data, or a reference that fixes nothing.
    """
    number, names = bodies(dataset)
    if len(names) > MOST_BODIES:
        raise UserError(
            f"{dataset.name} has {len(names)} bodies, expected at most {MOST_BODIES} that come again",
            "values of bodies that are met once or twice are not learnt",
        )
    if unknown in DATASET_FIELDS and unknown not in ("mass", "charge"):
        raise UserError(f"'{unknown}' is no property of particles", "--unknown mass, charge or a name of your own")
    if unknown in dataset.categories:
        raise UserError(f"'{unknown}' is a category, which has no value to be learnt", "leave --unknown out for masses")
    plain = without(dataset, unknown)
    plain.arrays["id"] = number.astype(np.int32)
    products = known_products(plain, number, len(names))
    if positions_alone(plain):
        plain.arrays["window"] = np.int64(window_length(plain, hypotheses(products), len(names), seed)[0])
    edges = observations(plain, "train", QUICK_GRAPHS if quick else GRAPHS, seed)
    edges = edges if plain.periodic else with_motion(edges, plain)
    data, scale = scaled(table(edges, nodes_of(edges), seed, of_one_film(plain)), len(names))
    between = None
    if "between" in edges:
        those = edges | {"weight": edges["between"]}
        those = those if plain.periodic else with_motion(those, plain)
        between = table(those, nodes_of(those), seed, of_one_film(plain))
    if len(data) < 50:
        raise UserError(f"{len(data)} receivers are too few to learn values from (at least 50)")
    size = np.linalg.norm(data.target, axis=1)
    unit = float(np.median(data.r))
    x = np.log(data.r / unit)
    if np.ptp(x) < 1e-6:
        raise UserError(f"all pairs are {unit:g} apart: nothing says how a force depends on the distance")
    shape, weight = envelope(np.log(data.nearest() / unit), size), weights(data)
    some, met = drawn(len(data), CHOOSE, seed), most_partners(data)
    few, curves = data.of(some), space(x, COARSE, shape, unit)
    refuse_too_many(met, Basis(curves))
    finer = space(x, fine(Basis(curves), met), shape, unit)
    chosen, basis = with_what_acts_beside(few, Basis(curves), hypotheses(products), weight[some], seed, met, finer)
    chosen, basis = with_displaced(few, chosen, basis, hypotheses(products), weight[some], seed, met)
    if basis.pair:  # what is left is less now
        chosen, basis = with_further(few, chosen, basis, weight[some], seed, met)
    errors, untried = chosen.errors, chosen.untried
    badly = np.ones(len(names))
    for _ in range(1, ROUNDS):
        weight = weights(*by_a_first(chosen, data, between))
        badly = badly * of_bodies(chosen)
        weight = weight * badly[data.who.receiver]
        shape = _envelope(basis.curves, chosen.values)
        basis = replace(basis, curves=space(x, len(basis.curves.breaks) - 1, shape, unit))
        tried = [one for one, _, _ in chosen.fits.values()]
        chosen = choose(compress(few, basis, weight[some]), tried, seed, scalings=chosen.problem.scalings)
        errors |= chosen.errors
    told_of_laws = tested(chosen, few, weight[some], unknown)
    weight = weights(*by_a_first(chosen, data, between))
    badly = badly * of_bodies(chosen)
    weight = weight * badly[data.who.receiver]
    shape = _envelope(basis.curves, chosen.values)
    chosen = scaled_alike(chosen)
    basis = replace(basis, curves=space(x, fine(basis, met), shape, unit))
    last = choose(compress(data, basis, weight), [chosen.hypothesis], seed, scalings=chosen.problem.scalings)
    problem, v, kept = holding(last.problem, last.values, unknown, dict(reference or {}))
    cov = covariance(problem, v, data, weight)
    told, gauge = properties_of(problem, v, cov, unknown, dict(reference or {}), names)
    grid = np.linspace(x.min(), x.max(), 60)
    return Learnt(
        role=chosen.hypothesis.role,
        told=told,
        gauge=gauge,
        half_width=cov.half_width,
        stretches=cov.stretches,
        receivers=len(data),
        error=float(np.sqrt(data.dim * last.errors[last.hypothesis.name])),
        roles={k: float(np.sqrt(data.dim * e)) for k, e in errors.items()},
        distance=np.exp(grid) * unit,
        curve=scale * basis.curves.values(v.curve[: basis.curves.size], grid),
        alike=told_of_laws.get(EQUIVALENCE, (None,))[0],
        tests=told_of_laws,
        kinds=kinds(problem, v, _errors(problem, cov)),
        window=int(plain.arrays["window"]) if positions_alone(plain) else None,
        values=v,
        basis=basis,
        scalings=problem.scalings,
        shares=shares_of(problem, v, data),
        groups=groups_of(problem.pairs),
        kept=kept,
        untried=untried,
        problem=problem,
        scale=scale,
        expected=float(np.sqrt(data.dim * np.mean(weight * data.noise**2))),
    )


def foretold(found: Learnt, edges: dict, nodes: Nodes) -> np.ndarray:
    """Accelerations [node, dim] by the splines and values of ``found``. ``edges``: of the dataset without the unknown
    property (``without``), with their motion but in a box.
    """
    data = table(edges, nodes)
    data = replace(data, who=replace(data.who, count=found.problem.pairs.count))
    out = np.empty_like(data.target)
    out[data.node] = predicted(found.problem, found.values, data) * found.scale / data.state.mass[:, None]
    return out


def fine(basis: Basis, met: int) -> int:
    """Intervals of the last curves where a body meets as many others: as many as there may be, up to ``FINE``."""
    others = basis.functions - basis.curves.size
    room = (MOST - basis.nodes) // max(met, 1) - others
    return int(np.clip(room - (basis.curves.size - (len(basis.curves.breaks) - 1)), COARSE, FINE))


def scaled(data: Table, count: int) -> tuple[Table, float]:
    """(the same of ``count`` bodies with targets of typical size 1, what they were divided by), so that no choice
    depends on units. ``UserError`` where nothing accelerates.
    """
    size = np.linalg.norm(data.target, axis=1)
    if not size.max(initial=0.0) > 0:
        raise UserError("all accelerations are zero: there is no force to learn from")
    scale = typical_size(size)
    who = replace(data.who, count=count)  # some may be met nowhere
    return replace(data, target=data.target / scale, noise=data.noise / scale, who=who), scale


def without(dataset: Dataset, unknown: str) -> Dataset:
    """The same data that do not know this property, nor what law they obey."""
    arrays = dict(dataset.arrays)
    if unknown == "mass":
        arrays["mass"] = np.ones_like(arrays["mass"])
    elif unknown == "charge":
        arrays["charge"] = np.zeros_like(arrays["charge"])
    else:
        arrays.pop(unknown, None)
    system = replace(SystemRecord(), held=dataset.meta.system.held, neighbours_only=dataset.meta.system.neighbours_only)
    meta = replace(dataset.meta, system=system)
    return replace(dataset, arrays=arrays, meta=meta)


def known_products(dataset: Dataset, number: np.ndarray, count: int) -> np.ndarray:
    """Products of the properties that are known and vary [product, body, body], receiver first; 1 among them where
    there are any. ``UserError`` where a body's property is not the same in all trajectories.
    """
    own, there = {}, dataset.there.any(1)
    for name, values in dataset.properties.items():
        of_body = np.zeros(count)
        of_body[number[there]] = values[there]
        if np.abs(of_body[number[there]] - values[there]).max() > 1e-6 * np.abs(values).max():
            raise UserError(
                f"{dataset.name}: '{name}' of the same body is not the same in all trajectories",
                f"leave it out, or learn it:  --unknown {name}",
            )
        own[name] = of_body
    names = dependences.varying(own)
    if not names:
        return np.zeros((0, count, count))
    i, j = (a.ravel() for a in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
    ends = of_pairs({k: own[k][i] for k in names}, {k: own[k][j] for k in names}) | {"r": np.ones(count**2)}
    return dependences.products(ends, names)(ends).T.reshape(-1, count, count)


def _envelope(curves: Space, v: Values):
    """Of the curve that was found, over the distances where there is one."""
    grid = np.linspace(*curves.breaks[[0, -1]], 400)
    size = np.abs(curves.values(v.curve[: curves.size], grid))
    return envelope(grid, size / (np.median(size) or 1.0))


def holding(
    problem: Problem, v: Values, unknown: str, reference: dict[int, float]
) -> tuple[Problem, Values, float | None]:
    """The fit with several given values of ``reference`` held in one scale, where what is given is one of the values
    themselves; and by how much they are off what the motion alone says, relatively, at most.
    """
    part = "response" if problem.role == RESPONSE else "source"
    direct = problem.role in (SOURCE, RESPONSE) or (problem.role == SAME and unknown != "mass")
    if len(reference) < 2 or not direct:
        return problem, v, None
    at, known = np.array(list(reference)), np.array(list(reference.values()))
    known = 1 / known if problem.role == RESPONSE and unknown == "mass" else known
    values = getattr(v, part).copy()
    scale = (values[at] @ known) / (known @ known)
    if scale == 0:
        return problem, v, None
    off = float(np.abs(values[at] / scale / known - 1).max())
    values[at] = scale * known
    held = problem.with_(held=tuple(map(int, at)))
    begun = replace(v, **{part: values} | ({"response": values} if problem.role == SAME else {}))
    return held, minimise(held, begun), off


def shares_of(problem: Problem, v: Values, data: Table) -> list[float]:
    """Typical size of the accelerations by each block over that of all (``Learnt.shares``)."""
    basis = problem.pairs.basis
    sizes = [block.size for block in (*basis.pair, *basis.node)]
    parts = [[] for _ in sizes]
    for k, one in enumerate(problem.pairs.receivers):
        index = np.flatnonzero(data.who.receiver == one.identity)
        index = index[np.unique(np.linspace(0, len(index) - 1, SHOWN).astype(int))]  # of all folds and frames
        x, c = basis.columns(data.of(index), one.partners), problem.coefficients(v, k)
        width = len(one.partners) * basis.functions
        low, at = basis.curves.size, width
        for number, size in enumerate(sizes):
            some = np.zeros(len(c), dtype=bool)
            if number < len(basis.pair):
                some[:width].reshape(len(one.partners), -1)[:, low : low + size] = True
                low += size
            else:
                some[at : at + size] = True
                at += size
            parts[number].append(np.linalg.norm(x[:, :, some] @ c[some], axis=1))
    return [float(typical_size(np.concatenate(one))) for one in parts]


def _errors(problem: Problem, cov: Covariance) -> dict[str, np.ndarray]:
    """Standard errors of ``source`` and ``response``, as far as they are fitted, in the scale of the fit."""
    out = {}
    for name in ("source", "response"):
        at = problem.at[name]
        if at.stop > at.start:
            out[name] = cov.of(np.zeros(at.stop - at.start), np.eye(problem.size)[at])
    return out


def tested(chosen: Chosen, data: Table, weight: np.ndarray, unknown: str) -> dict[str, tuple[float, float]]:
    """What a fit in which every body has two values says of laws of nature, (relative spread, what errors make of it):
    ``EQUIVALENCE``, how bodies answer, where they act by one value; ``THIRD_LAW``, how they answer over how they act,
    where masses are known.
    """
    if BOTH not in chosen.fits:
        return {}
    _, problem, v = chosen.fits[BOTH]
    cov, eye = covariance(problem, v, data, weight), np.eye(problem.size)
    far = np.abs(v.source) > FAR * np.abs(v.source).max()
    there = problem.free[problem.at["response"]]
    response, source = eye[problem.at["response"]], eye[problem.at["source"]]
    out = {}
    if chosen.hypothesis.role == SOURCE:
        out[EQUIVALENCE] = _spread(v.response[there], response[there], cov)
    elif chosen.hypothesis.role in (SAME, BOTH) and unknown != "mass":
        s, w = v.source[:, None], v.response[:, None]
        with np.errstate(all="ignore"):
            ratio, slope = (w / s)[:, 0], response / s - w * source / s**2
        out[THIRD_LAW] = _spread(ratio[there & far], slope[there & far], cov)
    return {name: found for name, found in out.items() if found is not None}


def _spread(values: np.ndarray, jacobian: np.ndarray, cov: Covariance) -> tuple[float, float] | None:
    errors = cov.of(values, jacobian)
    good = np.isfinite(errors)
    if good.sum() < 2:
        return None
    mean = abs(np.mean(values[good]))
    return float(np.std(values[good]) / mean), float(np.sqrt(np.mean(errors[good] ** 2)) / mean)


def properties_of(
    problem: Problem, v: Values, cov: Covariance, unknown: str, reference: dict[int, float], names
) -> tuple[dict[str, Told], str]:
    """(name of a property -> what is told of it, the gauge in words): with them an ordinary pair law says what was
    learnt.

    An unknown mass that acts is m_j in a_i = sum_j m_j f; one that answers is 1/w_i; where both differ, action and
    reaction are equal for the inertial mass s_i / w_i and the strength s_i, kept as a charge. ``UserError`` for a
    ``reference`` that has no such property, or whose value the data do not determine.
    """
    eye = np.eye(problem.size)
    source, response = eye[problem.at["source"]], eye[problem.at["response"]]
    s, w = v.source, v.response
    with np.errstate(divide="ignore", invalid="ignore"):
        if problem.role == RESPONSE:
            raw = {unknown: (w, response)} if unknown != "mass" else {"mass": (1 / w, -response / w[:, None] ** 2)}
        elif problem.role == BOTH and unknown == "mass":
            inertia = source / w[:, None] - s[:, None] * response / w[:, None] ** 2
            raw = {"mass": (s / w, inertia), "charge": (s, source)}
        elif problem.role == BOTH:
            raw = {f"{unknown}_source": (s, source), f"{unknown}_response": (w, response)}
        else:  # of equal masses, one and the same value is a charge
            raw = {"charge" if problem.role != SOURCE and unknown == "mass" else unknown: (s, source)}
    if reference and unknown not in raw:
        raise UserError(
            f"no {unknown} was found to act alone, but {' and '.join(raw)}: a reference fixes no scale of these",
            "leave --reference out",
        )
    out, said, groups = {}, [], groups_of(problem.pairs)
    for name, (p, jacobian) in raw.items():
        free = np.isfinite(p) & np.isfinite(cov.of(p, np.nan_to_num(jacobian)))
        if groups is not None and problem.role == BOTH:  # nothing ties the scales of other groups to that of this one
            largest = int(np.bincount(groups, free).argmax())
            free &= groups == (groups[next(iter(reference))] if reference else largest)
        p, jacobian = np.where(free, p, 0.0), np.where(free[:, None], np.nan_to_num(jacobian), 0.0)
        given = reference if name == unknown else {}
        scale, slope, words = scale_of(p, free, given, names)
        inner = jacobian / scale - np.outer(p, slope @ jacobian) / scale**2
        errors = np.where(free, cov.of(p, inner), np.inf)
        values = p / scale
        if len(given) == 1 or (given and problem.held):
            values[list(given)], errors[list(given)] = list(given.values()), 0.0
        out[name] = Told(values, errors, np.where(errors > 0, cov.half_width * errors, 0.0))
        said.append(words)
    return out, "; ".join(dict.fromkeys(said))


def scale_of(p: np.ndarray, free: np.ndarray, reference: dict[int, float], names) -> tuple[float, np.ndarray, str]:
    """(what values are divided by, its slope by each of them, in words)."""
    slope = np.zeros(len(p))
    if reference:
        at, known = np.array(list(reference)), np.array(list(reference.values()))
        if not (free[at] & (p[at] != 0)).all():
            lost = names[int(at[~(free[at] & (p[at] != 0))][0])]
            raise UserError(f"the data say nothing of {lost}: it fixes no scale", "give another --reference")
        slope[at] = known / (known @ known)
        return float(slope @ p), slope, "known: " + ", ".join(f"{names[k]} = {x:g}" for k, x in reference.items())
    far = free & (np.abs(p) > FAR * np.abs(p).max())
    if not far.any():
        return 1.0, slope, "no value is determined"
    size = float(np.exp(np.mean(np.log(np.abs(p[far])))))
    scale = size * (np.sign(np.sum(np.sign(p[far]))) or 1.0)
    slope[far] = scale / (p[far] * far.sum())
    return scale, slope, f"geometric mean of the {int(far.sum())} values above {FAR:g} of the largest is 1"
