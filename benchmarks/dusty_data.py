"""A simulated dusty plasma: unequal grains that repel each other through a screening plasma, above wakes of their own.

    m_i a_i = sum_j q_i q_j [ Y(r) e - share Y(s) (x_i - x_j - c)/s ] - q_i k x_i - gamma v_i - m_i g z

with Y(r) = exp(-r/lambda) (1/r^2 + 1/(lambda r)), r = |x_i - x_j|, s = |x_i - x_j - c|: the positive wake of a grain is
a point below it (c = -depth z) that attracts others and is not pushed by them. What wakes do pumps energy into the
grains, and friction takes it out. k differs from axis to axis. The model of arXiv 2310.05273, in three dimensions.
"""

from dataclasses import dataclass

import numpy as np

from distill.files.dataset import save_dataset
from distill.files.provenance import provenance

GRAINS = 15


@dataclass(frozen=True)
class Plasma:
    """What is to be found; lengths in units of about the screening length, masses and charges of about 1."""

    screening: float = 1.0
    share: float = 0.4
    depth: float = 0.3
    trap: tuple[float, float, float] = (1.0, 1.4, 6.0)
    drag: float = 0.02
    gravity: float = 0.8

    def yukawa(self, r: np.ndarray) -> np.ndarray:
        return np.exp(-r / self.screening) * (1 / r**2 + 1 / (self.screening * r))

    def pair_forces(self, pos: np.ndarray, charge: np.ndarray) -> np.ndarray:
        """On the first from the second [grain, grain, 3], of positions [grain, 3]."""
        apart = pos[:, None] - pos[None]
        r = np.sqrt((apart**2).sum(-1))
        np.fill_diagonal(r, np.inf)
        below = apart + np.array([0.0, 0.0, self.depth])
        s = np.sqrt((below**2).sum(-1))
        np.fill_diagonal(s, np.inf)
        each = (self.yukawa(r) / r)[..., None] * apart - (self.share * self.yukawa(s) / s)[..., None] * below
        return charge[:, None, None] * charge[None, :, None] * each

    def acceleration(self, pos, vel, mass, charge) -> np.ndarray:
        """[grain, 3]"""
        force = self.pair_forces(pos, charge).sum(1) - charge[:, None] * np.array(self.trap) * pos - self.drag * vel
        return force / mass[:, None] - np.array([0.0, 0.0, self.gravity])


def grains(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(masses, charges): the larger a grain the more of both, but not in one proportion."""
    rng = np.random.default_rng([seed, 1])
    mass = np.exp(0.35 * rng.standard_normal(GRAINS))
    return mass, mass ** (1 / 3) * np.exp(0.1 * rng.standard_normal(GRAINS))


def start(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 2])
    return rng.standard_normal((GRAINS, 3)) * [2.0, 2.0, 0.3], rng.standard_normal((GRAINS, 3))


def film(plasma: Plasma, mass, charge, pos, vel, frames: int, dt: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and velocities [frame, grain, 3], ``dt`` apart, by ``steps`` steps of the classical Runge-Kutta method of
    fourth order from frame to frame.
    """
    h, out = dt / steps, np.empty((2, frames, *pos.shape))
    for k in range(frames):
        out[:, k] = pos, vel
        for _ in range(steps):
            a = plasma.acceleration(pos, vel, mass, charge)
            v2 = vel + h / 2 * a
            b = plasma.acceleration(pos + h / 2 * vel, v2, mass, charge)
            v3 = vel + h / 2 * b
            c = plasma.acceleration(pos + h / 2 * v2, v3, mass, charge)
            v4 = vel + h * c
            d = plasma.acceleration(pos + h * v3, v4, mass, charge)
            pos, vel = pos + h / 6 * (vel + 2 * v2 + 2 * v3 + v4), vel + h / 6 * (a + 2 * b + 2 * c + d)
    return out[0], out[1]


def save_exact(path, pos, vel, acc, t, blocks: int, seed: int) -> None:
    """One film with its accelerations [frame, grain, 3] as a dataset of ``blocks`` stretches, the last ones left out;
    masses and charges are not in it.
    """
    length = len(t) // blocks
    arrays = {
        name: values[: blocks * length].reshape(blocks, length, GRAINS, 3)
        for name, values in (("pos", pos), ("vel", vel), ("acc", acc))
    }
    split = np.zeros(blocks, dtype=np.int8)
    split[-2 * (blocks // 10) :], split[-(blocks // 10) :] = 1, 2
    arrays |= {"id": np.tile(np.arange(GRAINS, dtype=np.int32), (blocks, 1)), "split": split}
    arrays |= {"film": np.zeros(blocks, dtype=np.int32), "t": t[: blocks * length].reshape(blocks, length)}
    arrays |= {"mass": np.ones((blocks, GRAINS))}
    about = provenance("simulate", {"seed": seed}, {}, 0.0) | {"n": GRAINS, "dim": 3}
    about |= {"derived": {"mass": "equal ones"}, "bodies": [f"g{k}" for k in range(GRAINS)]}
    save_dataset(path, arrays, about)
