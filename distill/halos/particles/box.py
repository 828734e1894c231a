"""A box of dark matter at z = 0 by the particle-mesh method: particles, and their power spectrum.

The simulation is that of ``pmpp`` (an optional package; ``requirements-halos.txt``): second-order Lagrangian
perturbation theory to a = 1/64, then leapfrog steps of 1/64 in the scale factor with forces from a mesh, whose blur is
partly compensated. What is
measured in it is measured here. Lengths in Mpc/h (comoving), velocities in km/s (peculiar), masses in Msun/h.
"""

from dataclasses import dataclass

import numpy as np

from distill.halos.particles.cosmology import Cosmology
from distill.shell.errors import UserError

HUBBLE = 100.0  # km/s per Mpc/h


@dataclass(frozen=True)
class Box:
    """``particles``^3 particles in a box of ``side`` Mpc/h, forces from a mesh ``mesh`` times as fine."""

    side: float = 250.0
    particles: int = 128
    mesh: float = 2.0
    seed: int = 0
    cosmology: Cosmology = Cosmology()

    @property
    def mass(self) -> float:
        """Of a particle."""
        return self.cosmology.density * (self.side / self.particles) ** 3

    @property
    def nyquist(self) -> float:
        """Of the lattice that particles start from."""
        return np.pi * self.particles / self.side


@dataclass
class Particles:
    """``pos``, ``vel`` [particle, dim] float32 at z = 0; ``linear``: (k, power) of the initial modes, grown linearly to
    z = 0.
    """

    pos: np.ndarray
    vel: np.ndarray
    linear: tuple[np.ndarray, np.ndarray]


def simulate(box: Box) -> Particles:
    """The box at z = 0; the same seed gives the same box. ``UserError`` without ``pmpp``."""
    try:
        from pmpp import Configuration
        from pmpp.corrections import init_pm_window_compensation_correction
        from pmpp.cosmology import Cosmology as Model
        from pmpp.cosmology import boltzmann
        from pmpp.initial_conditions import linear_modes, lpt, white_noise
        from pmpp.nbody import nbody
    except ImportError:
        raise UserError("boxes of dark matter need the package pmpp", "pip install -r requirements-halos.txt") from None

    shape, c = (box.particles,) * 3, box.cosmology
    conf = Configuration(ptcl_spacing=box.side / box.particles, ptcl_grid_shape=shape, mesh_shape=box.mesh)
    given = dict(n_s=c.n_s, Omega_m=c.omega_m, Omega_b=c.omega_b, h=c.h)
    cosmo = boltzmann(Model.from_sigma8(conf, c.sigma8, **given), conf)
    modes = linear_modes(white_noise(box.seed, conf), cosmo, conf)
    today = np.asarray(linear_modes(white_noise(box.seed, conf), cosmo, conf, a=1.0, real=True))
    linear = spectrum(today / (box.side / box.particles) ** 3, box.side)  # pmpp's modes are those times a volume
    ptcl = lpt(modes, cosmo, conf)
    # clouds in cells blur forces: half of that is undone, as pmpp's authors chose it against Quijote
    ptcl = nbody(ptcl, cosmo, conf, correction=init_pm_window_compensation_correction())
    pos = np.asarray(ptcl.pmid, np.float32) * conf.cell_size + np.asarray(ptcl.disp, np.float32)
    pos = np.mod(pos.astype(float), box.side).astype(np.float32)
    pos[pos >= box.side] = 0.0  # single precision rounds up to the side itself
    return Particles(pos, HUBBLE * np.asarray(ptcl.vel, np.float32), linear)


def deposit(pos: np.ndarray, side: float, cells: int) -> np.ndarray:
    """Overdensity [cell, cell, cell] of ``pos`` [particle, 3] by clouds in cells."""
    place = np.asarray(pos, float) * (cells / side)
    low = np.floor(place).astype(np.int64)
    part = place - low
    out = np.zeros(cells**3)
    for corner in np.ndindex(2, 2, 2):
        at = np.mod(low + corner, cells)
        weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part), axis=1)
        out += np.bincount((at[:, 0] * cells + at[:, 1]) * cells + at[:, 2], weight, cells**3)
    return (out / (len(pos) / cells**3) - 1).reshape((cells,) * 3)


def spectrum(overdensity: np.ndarray, side: float, window: int = 0, shot: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(k, P(k)) [bin] in shells of the fundamental wave number, up to the Nyquist frequency of the mesh.

    ``window``: power of the sinc in the assignment of masses to cells that is divided out (2: clouds in cells);
    ``shot``: of the particles, taken off (a lattice that was only displaced has less than a Poisson one).
    """
    cells = len(overdensity)
    modes = np.fft.rfftn(overdensity) * (side / cells) ** 3
    line, last = np.fft.fftfreq(cells, 1 / cells), np.fft.rfftfreq(cells, 1 / cells)
    if window:
        sinc = [np.sinc(a / cells) ** window for a in (line, line, last)]
        modes = modes / (sinc[0][:, None, None] * sinc[1][None, :, None] * sinc[2][None, None, :])
    k = np.sqrt(line[:, None, None] ** 2 + line[None, :, None] ** 2 + last**2)
    twice = np.full(k.shape, 2.0)  # modes that the real transform leaves out
    twice[:, :, 0] = 1.0
    twice[:, :, -1] = 1.0 if cells % 2 == 0 else 2.0
    shell = np.rint(k).astype(int).ravel()
    inside = (shell >= 1) & (shell <= cells // 2)
    weight, power = twice.ravel()[inside], (np.abs(modes) ** 2).ravel()[inside] / side**3
    sums = [
        np.bincount(shell[inside], w, cells // 2 + 1)[1:] for w in (weight, weight * k.ravel()[inside], weight * power)
    ]
    return 2 * np.pi / side * sums[1] / sums[0], sums[2] / sums[0] - shot
