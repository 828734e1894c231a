"""What a simulation of a fluid is told, and where it starts from. Units as in ``distill.fluid.lennard_jones``."""

from dataclasses import dataclass

import numpy as np

from distill.fluid.lennard_jones import LennardJones, box_length, lattice, maxwell

THERMOSTATS = ("langevin", "nose-hoover", "none")
EQUILIBRATION_FRICTION = 1.0  # per ps
FRICTION = {"langevin": 1.0, "nose-hoover": 25.0, "none": 0.0}  # per ps; 25: GAMD's
JITTER = 0.01  # A, off the lattice, where the forces of many neighbours cancel
STREAM = 2112  # keeps these draws apart from those of the other systems


@dataclass(frozen=True)
class Settings:
    """One simulation, but for its number. Times in ps, temperature in kelvin, friction per ps."""

    system: LennardJones
    n: int
    reduced_density: float  # atoms per sigma^3
    temperature: float
    thermostat: str  # of ``THERMOSTATS``; "none": constant energy
    friction: float  # langevin: the friction; nose-hoover: the collision frequency
    dt: float
    every: int  # time steps between two frames
    frames: int
    equilibration: float  # before the first frame; always with langevin
    seed: int

    @property
    def box(self) -> np.ndarray:
        """Side lengths ``[dim]`` in A."""
        return np.full(3, box_length(self.n, self.system.sigma, self.reduced_density))

    @property
    def equilibration_steps(self) -> int:
        return round(self.equilibration / self.dt)

    @property
    def moving(self) -> int:
        """Degrees of freedom: a Langevin bath gives the whole fluid momentum, nothing else does."""
        return 3 * self.n if self.thermostat == "langevin" else 3 * self.n - 3

    def start(self, k: int) -> tuple[np.ndarray, np.ndarray, int]:
        """``pos, vel [particle, dim]`` and the noise's seed of simulation k; of the seed and k only."""
        rng = np.random.default_rng([self.seed, k, STREAM])
        pos = self.box * lattice(rng, self.n) + JITTER * rng.standard_normal((self.n, 3))
        vel = maxwell(rng, self.n, 3, self.system.mass, self.temperature)
        return pos, vel, int(rng.integers(1, 2**31 - 1))
