"""Catalogues with a known law: what finds laws of haloes is first held against these.

Places are clustered (a lognormal field), masses fall steeply, and the overdensity is the planted law of the neighbours
within the cutoff with noise of some percent of its standard deviation. Nothing here says anything of the universe.
"""

from dataclasses import dataclass

import numpy as np

from distill.halos.catalogue import Catalogue
from distill.physics.neighbours import radius_graph

MEDIAN_MASS, SPREAD = 0.25, 0.8  # 1e14 Msun/h, and of its logarithm
SPEED = 300.0  # km/s, of one component
CLUSTERED, CORRELATED = 1.0, 8.0  # standard deviation of the logarithm of the density, and the length of its field


@dataclass(frozen=True)
class Law:
    """delta = c1 + e/(c2 + c3 M_i), e = sum over neighbours j of (c4 + M_j)/(1 + (r/radius)^power)."""

    c1: float = -0.2
    c2: float = 8.0
    c3: float = 1.0
    c4: float = 0.5
    radius: float = 15.0
    power: float = 8.0

    def message(self, r, mass_j) -> np.ndarray:
        return (self.c4 + mass_j) / (1 + (r / self.radius) ** self.power)

    def node(self, total, mass_i) -> np.ndarray:
        return self.c1 + total / (self.c2 + self.c3 * mass_i)

    @property
    def texts(self) -> tuple[str, str]:
        """e_ij and N, as formulas of r, m_j and s, m_i."""
        message = f"({self.c4} + m_j)/(1.0 + (r/{self.radius})^{self.power})"
        return message, f"{self.c1} + s/({self.c2} + {self.c3}*m_i)"


def planted(
    seed: int, haloes: int, side: float, cutoff: float, law: Law = Law(), noise: float = 0.05
) -> tuple[Catalogue, np.ndarray]:
    """A box of ``haloes`` haloes, and their overdensities [halo] without noise."""
    rng = np.random.default_rng([seed, 67])
    cells = 32
    k = 2 * np.pi * np.fft.fftfreq(cells, side / cells)
    square = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2
    field = np.fft.ifftn(np.fft.fftn(rng.normal(size=(cells,) * 3)) * np.exp(-square * CORRELATED**2 / 4)).real
    weight = np.exp(CLUSTERED * field / field.std()).ravel()
    cell = rng.choice(cells**3, size=haloes, p=weight / weight.sum())
    corner = np.stack(np.unravel_index(cell, (cells,) * 3), axis=1)
    pos = (corner + rng.random((haloes, 3))) * side / cells
    mass = MEDIAN_MASS * np.exp(SPREAD * rng.normal(size=haloes))
    vel = SPEED * rng.normal(size=(haloes, 3))
    graph = radius_graph(pos, side, cutoff)
    total = np.bincount(graph.receiver, law.message(graph.r, mass[graph.sender]), haloes)
    clean = law.node(total, mass)
    delta = clean + noise * clean.std() * rng.normal(size=haloes)
    return Catalogue(side, pos, vel, mass, delta), clean
