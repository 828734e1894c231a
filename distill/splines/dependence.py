"""How the pair force may depend on the properties of both ends: functions [edge, function] that multiply curves of r.

``products`` gives the symmetrised monomials, 1, m_i m_j, m_i + m_j, q_i q_j, ...: what the laws of nature are made of,
and nothing else; the third law is built in. ``tensor`` gives products of a few functions of each end's properties that
can bend to anything smooth, third law or not, at the price of many more unknowns. Where particles are of categories,
``by_levels`` gives every pair of levels functions of its own, and ``Weighted`` is one function for all of them, times a
coefficient each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.interpolate import BSpline

from distill.files.properties import categories, category_of, property_named
from distill.physics.terms.cases import Case, Group, cases
from distill.statistics.metrics import typical_size

GIVEN, FREE, ANY = "given", "free", "any"
LEVELS, COEFFICIENTS = "levels", "coefficients"
MOST_PROPERTIES = 2  # with all their products; of more, at most two enter a product
FEW_VALUES = 3  # a property with so many values at most is a kind, not a number


@dataclass(frozen=True)
class Product:
    """One symmetrised monomial: the sum over ``terms``, each the variables (``m_i``, ...) that are multiplied, over
    ``scale``, its typical size.
    """

    terms: tuple[tuple[str, ...], ...]
    scale: float = 1.0

    @property
    def name(self) -> str:
        return " + ".join("*".join(term) or "1" for term in self.terms)

    @property
    def numbers(self) -> "Product":
        """Without the indicators of categories."""
        left = {tuple(v for v in term if category_of(v) is None): None for term in self.terms}
        return Product(tuple(left))

    def __call__(self, ends: Mapping) -> np.ndarray:
        out = 0.0
        for term in self.terms:
            value = np.full(len(ends["r"]), 1 / self.scale)
            for variable in term:
                value = value * ends[variable]
            out = out + value
        return out


@dataclass(frozen=True)
class OfLevels(Product):
    """The product of ``cases``, an ordered pair of levels or both orders of one."""

    cases: tuple[Case, ...] = ()

    @property
    def name(self) -> str:
        by = self.numbers.name
        return f"[{', '.join(case.name for case in self.cases)}]" + (f" {by}" if by != "1" else "")


@dataclass(frozen=True)
class Weighted:
    """A sum of functions that share one curve: their ``weights`` are the coefficients of pairs of levels."""

    functions: tuple[OfLevels, ...]
    weights: tuple[float, ...]
    scale: float = 1.0

    @property
    def coefficients(self) -> dict[Case, float]:
        return {c: w / f.scale for f, w in zip(self.functions, self.weights, strict=True) for c in f.cases}

    @property
    def numbers(self) -> Product:
        return self.functions[0].numbers

    @property
    def name(self) -> str:
        told = ", ".join(f"{case.name}: {weight:.4g}" for case, weight in self.coefficients.items())
        by = self.numbers.name
        return f"c {{{told}}}" + (f" {by}" if by != "1" else "")

    def __call__(self, ends: Mapping) -> np.ndarray:
        return sum(weight * f(ends) for f, weight in zip(self.functions, self.weights, strict=True))


@dataclass(frozen=True)
class Ends:
    """A product of a function of the receiver's and one of the sender's properties: of each property ``name`` the
    functions ``of[name] = (k, l)`` of the two that ``bases[name]`` has, one for each end.
    """

    bases: dict
    of: dict

    @property
    def name(self) -> str:
        return "*".join(f"{name}[{k},{m}]" for name, (k, m) in self.of.items()) or "1"

    def __call__(self, ends: Mapping) -> np.ndarray:
        out = np.ones(len(ends["r"]))
        for name, numbers in self.of.items():
            for variable, basis, k in zip(property_named(name).variables, self.bases[name], numbers, strict=True):
                out = out * basis(ends[variable], k)
        return out


@dataclass(frozen=True)
class Dependence:
    """``functions`` of a pair's properties, all of them with one curve of r each."""

    kind: str
    functions: tuple

    def __call__(self, ends: Mapping) -> np.ndarray:
        """[edge, function], from variable -> [edge]."""
        return np.stack([f(ends) for f in self.functions], 1)

    def only(self, keep: Sequence[int]) -> "Dependence":
        return Dependence(self.kind, tuple(self.functions[k] for k in keep))

    @property
    def names(self) -> list[str]:
        return [f.name for f in self.functions]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The pairs of levels that have one function of distance and numbers; none where all have the same."""
        if len(self.functions) == 1 and isinstance(self.functions[0], Weighted):
            one = self.functions[0]
            return (Group(tuple((f.cases, c / f.scale) for f, c in zip(one.functions, one.weights, strict=True))),)
        parts = [g for f in self.functions for g in (f.functions if isinstance(f, Weighted) else (f,))]
        known = [f.cases for f in parts if isinstance(f, OfLevels)]
        both = {case: of for of in sorted(known, key=len, reverse=True) for case in of}  # the fewest together
        return tuple(Group(((of, 1.0),)) for of in dict.fromkeys(both.values()))


def varying(properties: Mapping) -> list[str]:
    """Names of the properties that are not the same in all rows, to rounding."""
    return [k for k, v in properties.items() if np.ptp(v) > 1e-9 * np.abs(v).max()]


def products(ends: Mapping, names: Sequence[str]) -> Dependence:
    """All symmetrised monomials, of power 0 or 1 in each end, of the properties ``names`` on the edges ``ends``.

    Of more than ``MOST_PROPERTIES`` properties, those products of the sums p_i + p_j and the products p_i p_j that two
    of them make. One that is a combination of others on these data brings nothing and is left out.
    """
    both = {name: property_named(name).variables for name in names}
    orbits = {}
    if len(names) <= MOST_PROPERTIES:
        for powers in product((0, 1), repeat=2 * len(names)):
            flat = [v for name in names for v in both[name]]
            term = tuple(v for v, power in zip(flat, powers, strict=True) if power)
            swap = {v: w for own, other in both.values() for v, w in ((own, other), (other, own))}
            mirrored = tuple(v for v in flat if v in {swap[t] for t in term})
            orbits[tuple(sorted({term, mirrored}))] = None
    else:
        letters = [[((own,), (other,)), ((own, other),)] for own, other in both.values()]
        orbits[((),)] = None
        for count in (1, 2):
            for some in combinations(letters, count):
                for chosen in product(*some):
                    terms = tuple(sorted(sum(parts, ()) for parts in product(*chosen)))
                    orbits[terms] = None
    found = [Product(terms) for terms in sorted(orbits, key=lambda o: (sum(map(len, o)) / len(o), len(o), o))]
    found = [Product(f.terms, typical_size(f(ends))) for f in found]
    return Dependence(GIVEN, _independent(found, ends))


def one_sided(ends: Mapping, names: Sequence[str]) -> Dependence:
    """All monomials of power 0 or 1 in each end, not symmetrised: action need not be reaction. Of more than
    ``MOST_PROPERTIES`` properties those of at most two variables.
    """
    flat = [variable for name in names for variable in property_named(name).variables]
    most = len(flat) if len(names) <= MOST_PROPERTIES else 2
    found = [Product((some,)) for count in range(most + 1) for some in combinations(flat, count)]
    return Dependence(ANY, _independent([Product(f.terms, typical_size(f(ends))) for f in found], ends))


def by_levels(ends: Mapping, names: Sequence[str], of: Sequence[str], ordered: bool, kind=LEVELS) -> Dependence:
    """Every product of the numbers ``names`` times that of the indicators ``of`` of every pair of levels; unless
    ``ordered``, symmetrised.
    """
    numbers = (one_sided if ordered else products)(ends, names).functions
    known = [c for c in cases(of) if ordered or c.receiver <= c.sender]
    pairs = [(c,) if ordered or c.mirrored == c else (c, c.mirrored) for c in known]
    found = []
    for number in numbers:
        for both in pairs:
            terms = tuple((*term, *case.variables) for case in both for term in number.terms)
            found.append(OfLevels(terms, number.scale, both))
    return Dependence(kind, _independent(found, ends))


def levels_in(names: Sequence[str]) -> tuple[str, ...]:
    """The indicators among ``names`` of categories of which more than one level is there."""
    return tuple(one for of in categories(names).values() if len(of) > 1 for one in of)


def _independent(found: Sequence[Product], ends: Mapping) -> tuple[Product, ...]:
    """Those that are no combination of the ones before them."""
    columns = np.stack([f(ends) for f in found], 1)
    keep, basis = [], np.empty((len(columns), 0))
    for k, column in enumerate(columns.T):
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)
        if np.linalg.norm(left) > 1e-6 * np.linalg.norm(column):
            keep.append(k)
            basis = np.column_stack([basis, left / np.linalg.norm(left)])
    return tuple(found[k] for k in keep)


@dataclass(frozen=True)
class _Kinds:
    """A property of few values: which of them it is."""

    values: tuple

    def __len__(self):
        return len(self.values)

    def __call__(self, x, k):
        return (np.abs(x[:, None] - np.array(self.values)).argmin(1) == k).astype(float)


@dataclass(frozen=True)
class _Numbers:
    """A property with any values: quadratic B-splines in it, or in its logarithm times ``power`` of it."""

    low: float
    high: float
    pieces: int
    log: bool
    power: float
    unit: float

    def __len__(self):
        return self.pieces + 2

    def __call__(self, x, k):
        at = np.log(x / self.unit) if self.log else x / self.unit
        breaks = np.linspace(self.low, self.high, self.pieces + 1)
        knots = np.r_[[breaks[0]] * 2, breaks, [breaks[-1]] * 2]
        value = BSpline.basis_element(knots[k : k + 4], extrapolate=False)
        spline = np.nan_to_num(value(np.clip(at, self.low, self.high - 1e-12 * (self.high - self.low))))
        return spline * (x / self.unit) ** self.power if self.log else spline


def tensor(ends: Mapping, names: Sequence[str], powers: Mapping, pieces: int = 1) -> Dependence:
    """Products of functions of each end's properties ``names``: indicators where there are few values, else quadratic
    splines of ``pieces`` pieces in the property, or in its logarithm times the ``powers`` (variable -> power) of it
    where it is positive.
    """
    functions = [{}]
    own_bases = {}
    for name in names:
        own, other = property_named(name).variables
        values = np.unique(np.r_[ends[own], ends[other]])
        if len(values) <= FEW_VALUES:
            bases = (_Kinds(tuple(values.tolist())),) * 2
        else:
            unit, log = typical_size(ends[own]), property_named(name).positive
            both = np.log(np.r_[ends[own], ends[other]] / unit) if log else np.r_[ends[own], ends[other]] / unit
            low, high = np.quantile(both, [0.005, 0.995]) if log else (both.min(), both.max())
            bases = tuple(
                _Numbers(float(low), float(high), pieces, log, powers.get(v, 0.0), unit) for v in (own, other)
            )
        own_bases[name] = bases
        functions = [f | {name: (k, m)} for f in functions for k in range(len(bases[0])) for m in range(len(bases[1]))]
    return Dependence(FREE, tuple(Ends(own_bases, of) for of in functions))
