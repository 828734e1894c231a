"""Argon as a Lennard-Jones fluid in a periodic box: units, parameters, pair law, lattice and velocities to start from.

Units of every dataset of this system: length A, time ps, mass 10 g/mol. What the pipeline calls a force,
mass * acc, is then in kJ/mol/nm, and so are the laws it finds; an energy is in 0.1 kJ/mol, (kJ/mol/nm) A. The
parameters are told in the usual units: sigma and the cutoff in A, epsilon in kJ/mol, the mass of an atom in g/mol.

The pair force acts where r < cutoff and is cut there, without a switching function; the energy is shifted so
that it is continuous. Parameters and units of the labels are those of the argon set of GAMD (Z. Li, K. Meidani,
P. Yadav, A. Barati Farimani, arXiv:2112.03383), which takes them from openmmtools' LennardJonesFluid.
"""

from dataclasses import dataclass

import numpy as np

from distill.files.kinds import SystemRecord
from distill.files.properties import of_pairs
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
REDUCED_DENSITY, TEMPERATURE = 0.5, 100.0  # of GAMD's set; kelvin
_BASES = {  # points of a cell of side 1
    "simple cubic": [[0, 0, 0]],
    "body-centred": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "face-centred": [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
}


@dataclass(frozen=True)
class LennardJones(System):
    """A ``System`` that acts through the nearest image and within ``cutoff`` only; made by ``lennard_jones``.

    ``potential`` and ``law`` are those of the uncut pair: the cutoff is for those who sum over pairs.
    """

    sigma: float = 0.0  # A
    epsilon: float = 0.0  # kJ/mol
    cutoff: float = 0.0  # A
    atom_mass: float = 0.0  # g/mol

    @property
    def parameters(self) -> dict:
        return {name: getattr(self, name) for name in ARGON}

    @property
    def mass(self) -> float:
        """Of an atom, in 10 g/mol."""
        return self.atom_mass * GRAM_PER_MOL

    @property
    def ends(self) -> dict:
        """Of every pair: what its law takes beside r."""
        return of_pairs(*[{"mass": self.mass, "charge": 0.0}] * 2)

    def describe(self) -> dict:
        return {
            "parameters": self.parameters,
            "parameter_units": PARAMETER_UNITS,
            "cutoff": self.cutoff,
            "law_holds": "through the nearest image where r < cutoff; no force beyond, no switching function",
            "units": UNITS,
            "periodic": True,
        }

    def as_described(self, about: SystemRecord) -> "LennardJones | None":
        told = about.parameters
        usable = told.keys() == self.parameters.keys() and all(v > 0 for v in told.values())
        return lennard_jones(**told) if usable else None


def lennard_jones(
    sigma: float = ARGON["sigma"],
    epsilon: float = ARGON["epsilon"],
    cutoff: float = ARGON["cutoff"],
    atom_mass: float = ARGON["atom_mass"],
) -> LennardJones:
    """The system of these parameters (A, kJ/mol, A, g/mol): V = 4 epsilon ((sigma/r)^12 - (sigma/r)^6)."""
    depth = float(f"{epsilon * KJ_PER_MOL:.12g}")  # the digits of the law's text, in both

    def potential(r, m_i, m_j, q_i, q_j, xp):
        sixth = (sigma / r) ** 6
        return 4 * depth * (sixth * sixth - sixth)

    return LennardJones(
        "lj",
        potential,
        law=f"24*{depth!r}/{sigma!r}*(2*({sigma!r}/r)^13 - ({sigma!r}/r)^7)",
        dt=0.002,
        masses="equal",
        charges="none",
        initial=_initial(atom_mass * GRAM_PER_MOL, sigma),
        summary="a Lennard-Jones fluid in a periodic box, argon unless told otherwise",
        source="arXiv:2112.03383 (GAMD), after openmmtools' LennardJonesFluid",
        sigma=sigma,
        epsilon=epsilon,
        cutoff=cutoff,
        atom_mass=atom_mass,
    )


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


def _initial(mass, sigma):
    def initial(rng, n, dim):
        """On a lattice at GAMD's density and temperature: what a ``System`` asks for, not yet a fluid."""
        pos = box_length(n, sigma, REDUCED_DENSITY, dim) * lattice(rng, n, dim)
        return pos, maxwell(rng, n, dim, mass, TEMPERATURE), np.full(n, mass), np.zeros(n)

    return initial


SYSTEMS = [lennard_jones()]  # argon
