"""Values of bodies from a dataset: which part they play, how large they are, how sure, of how many kinds."""

from dataclasses import dataclass, field

import numpy as np

from distill.files.dataset import Dataset
from distill.files.properties import of_pairs
from distill.identities import errors as intervals
from distill.identities.bilinear import BOTH, RESPONSE, SAME, SOURCE, Problem, Values
from distill.identities.choice import Chosen, choose, hypotheses
from distill.identities.kinds import Kinds, kinds
from distill.identities.pairs import compress
from distill.identities.window import window_length
from distill.messages.net_forces import nodes_of
from distill.shell.errors import UserError
from distill.splines import dependence as dependences
from distill.splines.curves import Space, envelope, space
from distill.splines.normal_equations import Table, table
from distill.splines.observations import observations
from distill.statistics.metrics import typical_size
from distill.windows.of_dataset import positions_alone

GRAPHS, QUICK_GRAPHS = 16_000, 1000
COARSE, FINE = 12, 32  # intervals of the curves: to choose what the values do, and at the end
MOST_BODIES = 300
ROUNDS = 2  # of the envelope, which a first curve tells better than net forces
RANGE = 100.0  # of the weights of bodies
FAR = 0.1  # of the largest value: those far from zero give the scale


@dataclass
class Learnt:
    """``values`` and ``errors`` (standard errors) by ``source`` or ``response`` [body]; ``role`` in ``bilinear.ROLES``
    and the held-out errors of all roles. ``half_width``: of 95 % intervals, in standard errors.
    """

    role: str
    values: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    gauge: str
    half_width: float
    clusters: int
    receivers: int
    error: float  # held out, relative
    roles: dict[str, float]
    distance: np.ndarray
    curve: np.ndarray
    alike: float | None  # spread of the responses where they may differ from body to body, relative
    kinds: Kinds | None = None
    window: int | None = None  # frames, where only positions were observed
    lines: list[str] = field(default_factory=list)

    def determined(self, name: str) -> np.ndarray:
        """[body] whether a value's interval keeps away from zero."""
        return np.abs(self.values[name]) > self.half_width * self.errors[name]


def bodies(dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """(number of the body [trajectory, particle], names). ``UserError`` where nobody knows who is who."""
    if "id" in dataset.arrays:
        found, number = np.unique(dataset.arrays["id"], return_inverse=True)
        names = dataset.meta.bodies
        told = [names[k] if 0 <= k < len(names) else str(k) for k in found.tolist()]
        return number.reshape(dataset.arrays["id"].shape), told
    film = dataset.arrays.get("film")
    if len(dataset.pos) == 1 or (film is not None and len(np.unique(film)) == 1):
        return np.broadcast_to(np.arange(dataset.n), dataset.pos[:, 0, :, 0].shape), list(map(str, range(dataset.n)))
    raise UserError(
        f"{dataset.name}: nothing says which particles of different trajectories are the same bodies",
        "give an array 'id' [trajectory, particle]; import_tracks.py --same-bodies takes a table's names for it;"
        " simulate.py --bodies N makes such data",
    )


def learn(
    dataset: Dataset, unknown: str, reference: dict[int, float] | None = None, seed: int = 0, quick: bool = False
) -> Learnt:
    """The values of ``unknown``: "mass", whose values in the dataset are then not looked at, or any other property,
    with masses as they are. ``reference``: body -> value that is known; without any the geometric mean of the values
    far from zero is 1. ``UserError`` for too many bodies or too few data.
    """
    number, names = bodies(dataset)
    if len(names) > MOST_BODIES:
        raise UserError(
            f"{dataset.name} has {len(names)} bodies, expected at most {MOST_BODIES} that come again",
            "values of bodies that are met once or twice are not learnt",
        )
    plain = without(dataset, unknown)
    plain.arrays["id"] = number.astype(np.int32)
    products = known_products(plain, number, len(names))
    if positions_alone(plain):
        plain.arrays["window"] = np.int64(window_length(plain, hypotheses(products), weights, seed)[0])
    edges = observations(plain, "train", QUICK_GRAPHS if quick else GRAPHS, seed)
    nodes = nodes_of(edges)
    data = table(edges, nodes, seed)
    if len(data) < 50:
        raise UserError(f"{len(data)} receivers are too few to learn values from (at least 50)")
    size = np.linalg.norm(data.target, axis=1)
    scale = typical_size(size)
    unit = float(np.median(data.r))
    shape = envelope(np.log(data.nearest() / unit), size / scale)
    weight = weights(data)
    x = np.log(data.r / unit)
    tried, chosen = hypotheses(products), None
    for _ in range(ROUNDS):
        curves = space(x, COARSE, shape, unit)
        rough = curves.roughness()
        pairs = compress(data, _of(curves), (), weight)
        chosen = choose(pairs, tried, rough.T @ rough, None, seed)
        weight = weight * of_bodies(chosen)[data.who.receiver]
        tried = [one for one, _, _ in chosen.fits.values()]
        shape = _envelope(curves, chosen.values)
    curves = space(x, FINE, shape, unit)
    rough = curves.roughness()
    pairs = compress(data, _of(curves), (), weight)
    role = chosen.hypothesis.role
    last = choose(pairs, [chosen.hypothesis], rough.T @ rough, _known(role, reference), seed)
    problem, v = last.problem, last.values
    matrix, clusters = intervals.covariance(problem, v, data, _of(curves), (), weight)
    told = intervals.standard_errors(problem, matrix)
    values, errors, gauge = _scaled(problem, v, matrix, reference or {}, names)
    found = kinds(problem, v, told)
    grid = np.linspace(x.min(), x.max(), 60)
    return Learnt(
        role=role,
        values=values,
        errors=errors,
        gauge=gauge,
        half_width=intervals.quantile(clusters),
        clusters=clusters,
        receivers=len(data),
        error=float(np.sqrt(data.dim * last.errors[last.hypothesis.name])),
        roles={k: float(np.sqrt(data.dim * e)) for k, e in chosen.errors.items()},
        distance=np.exp(grid) * unit,
        curve=curves.values(v.curve, grid),
        alike=_alike(chosen),
        kinds=found,
        window=int(plain.arrays["window"]) if positions_alone(plain) else None,
    )


def weights(data: Table) -> np.ndarray:
    """Of squared residuals [receiver] before any fit: relative to the size of the acceleration and to what is typical
    of that body, and less where noise is known to be large.
    """
    size = np.linalg.norm(data.target, axis=1)
    own = np.zeros(data.who.count)
    for identity in np.unique(data.who.receiver):
        own[identity] = typical_size(size[data.who.receiver == identity])
    size = size + np.where(own > 0, own, typical_size(size))[data.who.receiver]
    return 1 / (size**2 + data.dim * data.noise**2)


def of_bodies(chosen: Chosen) -> np.ndarray:
    """Weight [identity] of each body's squared residuals by how large they are, within limits: a body whose motion is
    told badly must not decide what the others' values are.
    """
    cost = chosen.problem.costs(chosen.values)
    middle = float(np.median(cost))
    return middle / np.clip(cost, middle / RANGE, middle * RANGE)


def without(dataset: Dataset, unknown: str) -> Dataset:
    """The same data that do not know this property."""
    arrays = dict(dataset.arrays)
    if unknown == "mass":
        arrays["mass"] = np.ones_like(arrays["mass"])
    elif unknown == "charge":
        arrays["charge"] = np.zeros_like(arrays["charge"])
    else:
        arrays.pop(unknown, None)
    return Dataset(dataset.name, dataset.path, arrays, dataset.meta, dataset.assumed)


def known_products(dataset: Dataset, number: np.ndarray, count: int) -> np.ndarray:
    """Products of the properties that are known and vary [product, body, body], receiver first; 1 among them where
    there are any. ``UserError`` where a body's property is not the same in all trajectories.
    """
    own = {}
    for name, values in dataset.properties.items():
        of_body = np.zeros(count)
        of_body[number] = values
        if np.abs(of_body[number] - values).max() > 1e-6 * np.abs(values).max():
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


def _of(curves: Space):
    return lambda r: curves.matrix(curves.log(r))


def _envelope(curves: Space, v: Values):
    """Of the curve that was found, over the distances where there is one."""
    grid = np.linspace(*curves.breaks[[0, -1]], 400)
    size = np.abs(curves.values(v.curve, grid))
    return envelope(grid, size / np.median(size))


def _known(role: str, reference) -> dict[int, float]:
    """Values that fits hold: more than one can be known of sources only."""
    return dict(reference or {}) if role in (SOURCE, SAME) else {}


def _alike(chosen: Chosen) -> float | None:
    """Relative spread of the responses in the fit in which they may differ: 0 says that all bodies answer alike."""
    if chosen.hypothesis.role != SOURCE or BOTH not in chosen.fits:
        return None
    w = chosen.fits[BOTH][2].response
    return float(np.std(w) / abs(np.mean(w)))


def _scaled(problem: Problem, v: Values, matrix: np.ndarray, reference: dict, names) -> tuple[dict, dict, str]:
    """(values, standard errors, the gauge in words): errors are those of what is told, with the scale fixed."""
    values, errors, told = {}, {}, []
    parts = ["source"] * problem.acts + ["response"] * (problem.role in (RESPONSE, BOTH))
    for name in parts:
        own, cov = getattr(v, name), matrix[problem.at[name], problem.at[name]]
        if problem.known and name == "source":
            values[name], errors[name] = own, np.sqrt(np.maximum(np.diag(cov), 0))
            told.append("known values: " + ", ".join(f"{names[k]} = {x:g}" for k, x in problem.known.items()))
            continue
        if problem.role in (RESPONSE,) and reference:
            body, value = next(iter(reference.items()))
            scale, slope = own[body] * value, np.zeros(len(own))  # 1/m: the response times the mass is 1
            slope[body] = value
            told.append(f"{names[body]} = {value:g}")
        else:
            far = np.abs(own) > FAR * np.abs(own).max()
            size = np.exp(np.mean(np.log(np.abs(own[far]))))
            sign = 1.0 if problem.role == SAME else np.sign(np.sum(np.sign(own)) or own[0])
            scale, slope = size * sign, np.zeros(len(own))
            slope[far] = size * sign / (own[far] * far.sum())
            told.append(f"geometric mean of the {int(far.sum())} values above {FAR:g} of the largest is 1")
        jacobian = np.eye(len(own)) / scale - np.outer(own, slope) / scale**2
        values[name] = own / scale
        errors[name] = np.sqrt(np.maximum(np.diag(jacobian @ cov @ jacobian.T), 0))
    return values, errors, "; ".join(dict.fromkeys(told))


def properties_of(found: Learnt, unknown: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name of a property -> (values, standard errors) [body] with which an ordinary pair law says what was learnt.

    An unknown mass that acts is m_j in a_i = sum_j m_j f; one that answers is 1/w_i; where both differ, action and
    reaction are equal for the inertial mass s_i / w_i and the strength s_i, kept as a charge.
    """
    v, e = found.values, found.errors
    if unknown != "mass":
        if found.role == BOTH:
            return {f"{unknown}_{part}": (v[part], e[part]) for part in ("source", "response")}
        part = "response" if found.role == RESPONSE else "source"
        return {unknown: (v[part], e[part])}
    if found.role == SOURCE:
        return {"mass": (v["source"], e["source"])}
    if found.role == RESPONSE:
        return {"mass": (1 / v["response"], e["response"] / v["response"] ** 2)}
    if found.role == SAME:
        return {"charge": (v["source"], e["source"])}
    mass = v["source"] / v["response"]
    relative = np.hypot(e["source"] / v["source"], e["response"] / v["response"])
    return {"mass": (mass, np.abs(mass) * relative), "charge": (v["source"], e["source"])}
