"""Values of bodies that nobody measured, fitted once more: together with the constants of the law that was found.

The splines that values are learnt with first take hundreds of unknowns; a formula takes a few, so that the same data
say more of the values. Gauss and Newton on accelerations, as ``joint`` fits constants alone; the errors of values are
those of the sandwich over stretches, with the errors of all constants in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from distill.files.properties import of_pairs, property_named
from distill.identities.errors import LEVEL
from distill.law.joint import FAR, LOST, SOFT, STEPS, Numbers, known_covariance, numbers_of
from distill.law.receivers import Receivers, law_acceleration, law_error, weights_of
from distill.physics.law import Law
from distill.physics.terms import TERMS
from distill.splines.blocks import Seen
from distill.splines.normal_equations import stretches


@dataclass
class Refitted:
    """``values``: property -> [body]; ``covariance`` [value, value] of all free ones, which ``free`` names: (property,
    body) each. ``gained``: the error on what was left out over that before.
    """

    law: Law
    values: dict[str, np.ndarray]
    free: list[tuple[str, int]]
    covariance: np.ndarray
    stretches: int
    gained: float

    @property
    def half_width(self) -> float:
        """Of 95 % intervals, in standard errors: Student's t."""
        return float(student.ppf((1 + LEVEL) / 2, max(self.stretches - 1, 1)))

    def matrix(self, name: str, count: int) -> np.ndarray:
        """Covariances of the values of a property [body, body]; 0 of those that were held."""
        out = np.zeros((count, count))
        places = [k for k, (own, _) in enumerate(self.free) if own == name]
        at = [self.free[k][1] for k in places]
        out[np.ix_(at, at)] = self.covariance[np.ix_(places, places)]
        return out


def refitted(
    law: Law, values: Mapping[str, np.ndarray], held: Mapping[str, Sequence[int]], data: Receivers, unseen: Receivers
) -> Refitted | None:
    """Constants of ``law`` and the ``values`` of bodies (property -> [body]) fitted together to ``data``, from where
    they are; ``held``: property -> bodies whose value stays, one at least, which fixes the scale. None where the law is
    not finite, or foretells ``unseen`` worse afterwards.
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
    gained = law_error(better, with_values(unseen, told)) / max(law_error(law, with_values(unseen, values)), 1e-300)
    if gained > LOST:
        return None
    _, r, slopes = at(found.x)
    soft = (1 + (r / scale) ** 2) ** -0.25  # squares of residuals count less the larger they are
    cluster = stretches(data.trajectory, _times(data))
    everything = known_covariance(slopes * soft[:, None], r * soft, np.repeat(cluster, data.acc.shape[1]))
    own = slice(len(numbers.start), None)
    matrix = (everything * np.outer(unit, unit))[own, own]
    return Refitted(better, told, free, matrix, len(np.unique(cluster)), float(gained))


def _met(data: Receivers) -> np.ndarray:
    """Whether a body is in the data [body]."""
    out = np.zeros(data.who.count, dtype=bool)
    out[data.who.receiver] = out[data.who.sender] = True
    return out


def _times(data: Receivers) -> np.ndarray:
    return data.seen.motion.t[data.start]


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
