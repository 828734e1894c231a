"""Lennard-Jones fluids in a periodic box, of one species or several: units, parameters, pair law, where they start.

Units of every dataset of these systems: length A, time ps, mass 10 g/mol. What the pipeline calls a force,
mass * acc, is then in kJ/mol/nm, and so are the laws it finds; an energy is in 0.1 kJ/mol, (kJ/mol/nm) A. The
parameters are told in the usual units: sigma and the cutoff in A, epsilon in kJ/mol, the mass of an atom in g/mol.
Of a mixture they are those of two particles of the first species, and argon's unless told otherwise: what is published
in reduced units stands here as ratios to them, so that one set of units serves all.

The pair force acts where r < cutoff and is cut there, without a switching function; the energy is shifted so
that it is continuous. The cutoff is one for all pairs: W. Kob and H. C. Andersen cut every pair at 2.5 times its own
sigma, which would make three laws that end at three distances. Parameters and units of argon's labels are those of the
set of GAMD (Z. Li, K. Meidani, P. Yadav, A. Barati Farimani, arXiv:2112.03383), which takes them from openmmtools'
LennardJonesFluid.
"""

from dataclasses import dataclass

import numpy as np

from distill.files.arrays import indicators
from distill.files.kinds import SystemRecord
from distill.files.properties import at, by_levels, indicator, of_pairs
from distill.physics.system import System

KJ_PER_MOL = 10.0  # in (kJ/mol/nm) A
GRAM_PER_MOL = 0.1  # in 10 g/mol
BOLTZMANN = 0.00831446261815324 * KJ_PER_MOL  # a kelvin, in (kJ/mol/nm) A; the CODATA 2018 value
BAR = 6.02214076e-4  # in (kJ/mol/nm) / A^2
UNITS = {
    "pos": "A",
    "vel": "A/ps",
    "acc": "A/ps^2",
    "t": "ps",
    "mass": "10 g/mol",
    "box": "A",
    "cutoff": "A",
    "force": "kJ/mol/nm, of mass * acc and of the law",
    "energy": "0.1 kJ/mol, of mass * vel^2 and of the law's integral over r",
}
ARGON = {"sigma": 3.4, "epsilon": 0.995792, "cutoff": 10.2, "atom_mass": 39.9}
PARAMETER_UNITS = {"sigma": "A", "epsilon": "kJ/mol", "cutoff": "A", "atom_mass": "g/mol"}
SPECIES = "species"  # the category of a mixture's particles
_BASES = {  # points of a cell of side 1
    "simple cubic": [[0, 0, 0]],
    "body-centred": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "face-centred": [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
}


@dataclass(frozen=True)
class Mixture:
    """The species of a fluid, of which there may be one, and the state that it is simulated in unless told otherwise.

    ``ratios``: two levels -> sigma and epsilon of their pair over those of two particles of the first.
    """

    name: str  # of its system
    levels: tuple[str, ...]  # of the species
    shares: tuple[float, ...]  # of the particles that are of each
    ratios: tuple[tuple[str, str, float, float], ...]
    summary: str
    source: str
    n: int = 250
    reach: float = 3.0  # of the force, over sigma
    reduced_density: float = 0.5  # particles per sigma^3
    temperature: float = 100.0  # K
    equilibration: float = 100.0  # ps
    densest: float = 1.2  # reduced density from which on it is a solid
    elsewhere: tuple[tuple[str, float], ...] = (("dilute", 0.05), ("dense", 0.8))  # densities of further sets

    @property
    def indicators(self) -> tuple[str, ...]:
        """The properties that tell species apart; none where there is one."""
        return tuple(indicator(SPECIES, level) for level in self.levels) if len(self.levels) > 1 else ()

    def ratio(self, one: str, other: str) -> tuple[float, float]:
        """Of sigma and epsilon of the pair of two levels, in either order."""
        return next((s, e) for a, b, s, e in self.ratios if (a, b) in ((one, other), (other, one)))

    def of(self, n: int) -> np.ndarray:
        """The number of the level of each of ``n`` particles, in the order of levels."""
        return np.searchsorted(np.rint(n * np.cumsum(self.shares)), np.arange(n), side="right")


PURE = Mixture(
    "lj",
    levels=("A",),
    shares=(1.0,),
    ratios=(("A", "A", 1.0, 1.0),),
    summary="a Lennard-Jones fluid in a periodic box, argon unless told otherwise",
    source="arXiv:2112.03383 (GAMD), after openmmtools' LennardJonesFluid",
    n=258,
)
KOB_ANDERSEN = (
    Mixture(  # a liquid at 180 K, 1.5 in reduced units, 3.5 times the temperature at which it becomes a glass
        "kob_andersen",
        levels=("A", "B"),
        shares=(0.8, 0.2),
        ratios=(("A", "A", 1.0, 1.0), ("A", "B", 0.8, 1.5), ("B", "B", 0.88, 0.5)),
        summary="the Kob-Andersen mixture: 80 % A, 20 % B, Lennard-Jones pairs of three kinds in a periodic box",
        source="W. Kob, H. C. Andersen, Phys. Rev. E 51, 4626 (1995), in units of argon; one cutoff",
        reach=2.5,
        reduced_density=1.2,
        temperature=180.0,
        equilibration=40.0,
        densest=1.6,
        elsewhere=(("dilute", 0.05), ("dense", 1.45)),
    )
)
FLUIDS = (PURE, KOB_ANDERSEN)


@dataclass(frozen=True)
class LennardJones(System):
    """A ``System`` that acts through the nearest image and within ``cutoff`` only; made by ``lennard_jones``.

    ``potential`` and ``law`` are those of the uncut pair: the cutoff is for those who sum over pairs. ``sigma`` and
    ``epsilon`` are those of two particles of the first species of its ``mixture``.
    """

    mixture: Mixture = PURE
    sigma: float = 0.0  # A
    epsilon: float = 0.0  # kJ/mol
    cutoff: float = 0.0  # A
    atom_mass: float = 0.0  # g/mol

    @property
    def parameters(self) -> dict:
        """Those that it is made of by name, and sigma and epsilon of the other pairs: ``sigma_AB``, ..."""
        told = {name: getattr(self, name) for name in ARGON}
        for a, b, *_ in self.mixture.ratios[1:]:
            told |= dict(zip((f"sigma_{a}{b}", f"epsilon_{a}{b}"), self.pair(a, b), strict=True))
        return told

    def pair(self, one: str, other: str) -> tuple[float, float]:
        """Sigma in A and epsilon in kJ/mol of two levels of the species."""
        return tuple(
            _digits(k * v) for k, v in zip(self.mixture.ratio(one, other), (self.sigma, self.epsilon), strict=True)
        )

    @property
    def mass(self) -> float:
        """Of an atom, in 10 g/mol."""
        return self.atom_mass * GRAM_PER_MOL

    def particles(self, n: int) -> dict[str, np.ndarray]:
        """Name -> [particle]: the properties of ``n`` of them, indicators of their species among these."""
        same = {"mass": np.full(n, self.mass), "charge": np.zeros(n)}
        return same | (indicators(SPECIES, self.mixture.levels, self.mixture.of(n)) if self.mixture.indicators else {})

    def ends(self, n: int, i, j) -> dict:
        """Of the pairs of particles ``i, j [...]`` among ``n``: what their law takes beside r."""
        own = self.particles(n)
        return of_pairs(at(own, i), at(own, j))

    def describe(self) -> dict:
        return {
            "parameters": self.parameters,
            "parameter_units": {name: _unit(name) for name in self.parameters},
            "cutoff": self.cutoff,
            "law_holds": "through the nearest image where r < cutoff; no force beyond, no switching function",
            "units": UNITS,
            "periodic": True,
        }

    def as_described(self, about: SystemRecord) -> "LennardJones | None":
        told = about.parameters
        usable = told.keys() == self.parameters.keys() and all(v > 0 for v in told.values())
        return lennard_jones(**{k: told[k] for k in ARGON}, mixture=self.mixture) if usable else None


def lennard_jones(
    sigma: float = ARGON["sigma"],
    epsilon: float = ARGON["epsilon"],
    cutoff: float | None = None,
    atom_mass: float = ARGON["atom_mass"],
    mixture: Mixture = PURE,
) -> LennardJones:
    """The system of these parameters (A, kJ/mol, A, g/mol): V = 4 epsilon ((sigma/r)^12 - (sigma/r)^6), sigma and
    epsilon being those of a pair of the first species times the ratios of the ``mixture``. ``cutoff``: None for the
    mixture's.
    """
    pairs = {(a, b): (_digits(s * sigma), _digits(e * epsilon * KJ_PER_MOL)) for a, b, s, e in mixture.ratios}

    def potential(r, m_i, m_j, q_i, q_j, *species_and_xp):
        *species, _ = species_and_xp
        own, other = (dict(zip(mixture.levels, species[k::2] or (1.0,), strict=True)) for k in (0, 1))
        total = 0.0
        for (a, b), (width, depth) in pairs.items():
            sixth = (width / r) ** 6
            share = own[a] * other[b] if a == b else own[a] * other[b] + own[b] * other[a]
            total = total + share * (4 * depth * (sixth * sixth - sixth))
        return total

    laws = {k: f"24*{depth!r}/{s!r}*(2*({s!r}/r)^13 - ({s!r}/r)^7)" for k, (s, depth) in pairs.items()}
    return LennardJones(
        mixture.name,
        potential,
        law=by_levels(SPECIES, laws) if mixture.indicators else laws[mixture.levels * 2],
        dt=0.002,
        masses="equal",
        charges="none",
        initial=_initial(atom_mass * GRAM_PER_MOL, sigma, mixture),
        properties=mixture.indicators,
        summary=mixture.summary,
        source=mixture.source,
        mixture=mixture,
        sigma=sigma,
        epsilon=epsilon,
        cutoff=_digits(mixture.reach * sigma) if cutoff is None else cutoff,
        atom_mass=atom_mass,
    )


def _unit(parameter: str) -> str:
    return PARAMETER_UNITS.get(parameter) or PARAMETER_UNITS[parameter.partition("_")[0]]  # sigma_AB: as sigma


def _digits(value: float) -> float:
    """As many digits as the text of a law has, so that a product is told as people write it."""
    return float(f"{value:.12g}")


def box_length(n: int, sigma: float, reduced_density: float, dim: int = 3) -> float:
    """Side of the cubic box in which n atoms have that density, in atoms per sigma^dim."""
    return float((n * sigma**dim / reduced_density) ** (1 / dim))


def lattice(rng: np.random.Generator, n: int, dim: int = 3) -> np.ndarray:
    """``n`` sites ``[particle, dim]`` in a box of side 1: drawn from the cubic lattice with the furthest neighbours."""
    best = (0.0, None)
    for basis in _BASES.values():
        basis = np.array(basis)[:, :dim] if len(basis) == 1 or dim == 3 else None
        if basis is None:
            continue
        cells = int(np.ceil((n / len(basis)) ** (1 / dim) - 1e-9))
        corners = np.stack(np.meshgrid(*[np.arange(cells)] * dim, indexing="ij"), -1).reshape(-1, 1, dim)
        nearest = min([1.0, *np.linalg.norm(basis[1:], axis=1)]) / cells
        if nearest > best[0]:
            best = nearest, ((corners + basis) / cells).reshape(-1, dim)
    sites = best[1]
    return sites[rng.permutation(len(sites))[:n]]


def maxwell(rng: np.random.Generator, n: int, dim: int, mass: float, temperature: float) -> np.ndarray:
    """Velocities ``[particle, dim]`` in A/ps at that temperature in kelvin, without total momentum."""
    vel = np.sqrt(BOLTZMANN * temperature / mass) * rng.standard_normal((n, dim))
    return vel - vel.mean(axis=0)


def temperatures(vel, mass: float, moving: int) -> np.ndarray:
    """Kinetic temperature in kelvin of every frame of ``vel [..., particle, dim]``; ``moving``: degrees of freedom."""
    return mass * (vel**2).sum((-2, -1)) / (moving * BOLTZMANN)


def _initial(mass, sigma, mixture):
    def initial(rng, n, dim):
        """On a lattice at the mixture's own density and temperature: what a ``System`` asks for, not yet a fluid."""
        pos = box_length(n, sigma, mixture.reduced_density, dim) * lattice(rng, n, dim)
        own = {"mass": np.full(n, mass), "charge": np.zeros(n)}
        own |= {SPECIES: mixture.of(n)} if mixture.indicators else {}
        return pos, maxwell(rng, n, dim, mass, mixture.temperature), own

    return initial


SYSTEMS = [lennard_jones(mixture=fluid) for fluid in FLUIDS]
