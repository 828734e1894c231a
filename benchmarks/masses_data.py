"""Datasets whose masses span many decades, for ``masses.py``: gravity drawn over four, and the solar system.

The solar system is JPL's ephemeris DE421 (Folkner, Williams and Boggs 2009, IPN Progress Report 42-178), 1900 to 2050,
as the PyPI package ``de421`` holds it: positions are Chebyshev polynomials of time about the barycentre, of which
accelerations are the second derivatives. Lengths in AU, times in Julian years, masses in units of the Sun's by the
ephemeris' own constants, so that G is the Sun's GM: (0.01720209895 x 365.25)^2 = 39.4769 AU^3/yr^2.
"""

import importlib
from pathlib import Path

import numpy as np

from distill.files.dataset import save_dataset
from distill.files.provenance import provenance
from distill.physics.integrate import integrate
from distill.physics.record import describe
from distill.physics.systems import SYSTEMS
from distill.shell.errors import UserError

DECADES = 4
YEAR = 365.25  # days
# of the ephemeris: name of the series, name of its GM. The Earth and the Moon are one body, their barycentre
BODIES = {
    "sun": "GMS",
    "mercury": "GM1",
    "venus": "GM2",
    "earthmoon": "GMB",
    "mars": "GM4",
    "jupiter": "GM5",
    "saturn": "GM6",
    "uranus": "GM7",
    "neptune": "GM8",
    "pluto": "GM9",
}
BLOCKS, FRAMES = 100, 100  # trajectories that the one long trajectory is cut into
MARGIN = 1.0  # days left out at both ends of the ephemeris


def draw_masses(rng: np.random.Generator, n: int, dim: int) -> tuple:
    """Initial conditions as of every system, but log m uniform over ``DECADES`` decades about 1."""
    pos, vel = rng.standard_normal((2, n, dim))
    return pos, vel, 10 ** rng.uniform(-DECADES / 2, DECADES / 2, n), rng.standard_normal(n)


def blocks_to_splits(count: int) -> np.ndarray:
    """Every tenth block for validation and for test, spread over the whole time; 0, 1, 2 as in a dataset."""
    split = np.zeros(count, dtype=np.int8)
    split[4::10], split[9::10] = 1, 2
    return split


def gravity(path: Path, seed: int, trajectories: int, n: int = 4, dim: int = 2) -> None:
    """Write a dataset of the system ``r2`` with masses drawn by ``draw_masses``."""
    from dataclasses import replace

    system = replace(SYSTEMS["r2"], initial=draw_masses)
    arrays = integrate(system, n, dim, trajectories, 100, 5, seed, dt=system.dt)
    report = arrays.pop("report")
    arrays["split"] = blocks_to_splits(trajectories)
    about = {"system": describe(system) | {"masses": f"log-uniform over {DECADES} decades"}, "report": report}
    save_dataset(path, arrays, provenance("simulate", {"seed": seed}, {}, 0.0) | about | {"n": n, "dim": dim})


def ephemeris():
    """DE421; ``UserError`` without the packages."""
    try:
        return importlib.import_module("jplephem").Ephemeris(importlib.import_module("de421"))
    except ImportError as exc:
        raise UserError(f"the solar system needs the package {exc.name}", "pip install jplephem de421") from None


def accelerations(series: np.ndarray, first: float, last: float, t: np.ndarray) -> np.ndarray:
    """Second derivatives [time, 3] at ``t`` of positions that are Chebyshev polynomials, ``series`` [piece, 3,
    coefficient], on pieces of equal length from ``first`` to ``last``.
    """
    length = (last - first) / len(series)
    piece = np.clip(((t - first) // length).astype(int), 0, len(series) - 1)
    x = 2 * (t - first - piece * length) / length - 1
    second = np.polynomial.chebyshev.chebder(series[piece], 2, axis=2)  # [time, 3, coefficient]
    order = np.arange(second.shape[2])
    values = np.cos(order * np.arccos(np.clip(x, -1, 1))[:, None])  # T_k(x)
    return (second * values[:, None]).sum(2) * (2 / length) ** 2


def states(found, t: np.ndarray) -> dict:
    """pos, vel, acc [time, body, 3] and mass [body] of ``BODIES`` at the Julian dates ``t``."""
    pos, vel, acc = [], [], []
    for name in BODIES:
        where, speed = found.position_and_velocity(name, t)
        pos.append(where.T), vel.append(speed.T)
        acc.append(accelerations(found.load(name), found.jalpha, found.jomega, t))
    pos, vel, acc = (np.stack(kind, 1) / found.AU for kind in (pos, vel, acc))
    gm = np.array([getattr(found, name) for name in BODIES.values()])
    return {"pos": pos, "vel": vel * YEAR, "acc": acc * YEAR**2, "mass": gm / gm[0]}


def gravitational_constant(found) -> float:
    """G in AU^3/yr^2 and masses of the Sun, by the ephemeris."""
    return float(found.GMS * YEAR**2)


def solar_system(path: Path) -> None:
    """Write the ephemeris as a dataset: ``BLOCKS`` pieces of ``FRAMES`` frames, evenly spaced over all of it."""
    found = ephemeris()
    t = np.linspace(found.jalpha + MARGIN, found.jomega - MARGIN, BLOCKS * FRAMES)
    whole = states(found, t)
    arrays = {k: v.reshape(BLOCKS, FRAMES, len(BODIES), 3) for k, v in whole.items() if k != "mass"}
    arrays |= {"mass": np.tile(whole["mass"], (BLOCKS, 1)), "t": (t[:FRAMES] - t[0]) / YEAR}
    arrays["split"] = blocks_to_splits(BLOCKS)
    about = {"system": {"name": "solar", "summary": "the solar system by JPL's ephemeris DE421"}, "n": len(BODIES)}
    save_dataset(path, arrays, provenance("simulate", {}, {}, 0.0) | about | {"dim": 3})
