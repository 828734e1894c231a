"""Planted data of ``recovery.py``: pairs and graphs whose law is known. Dimensionless units, G = k = 1.

Differences of positions ~ N(0, 1.5) in every component, log m ~ N(0, 1), q = +-1, forces from
``distill.physics.systems`` with their softening, or a form of ``FORMS``.
"""

import numpy as np

from distill.files.properties import VARIABLES
from distill.physics.integrate import integrate
from distill.physics.law import AXES
from distill.physics.system import System, acceleration, pair_force
from distill.physics.systems import SYSTEMS, load_system

SPREAD = 1.5  # standard deviation of a component of x_i - x_j
TRIM = 0.98  # share of pairs kept, those of the smallest force
PARTICLES = 4
STEPS = 500  # of the system's dt, in a trajectory
LARGEST_CONDITION = 10  # of the matrix that mixes the components of the force
SMALLEST_COEFFICIENT = 0.15

# radial forces beside those of the systems; all but the first are in the list of ``distill.formulas.families``
FORMS = {
    "rational": "m_i*m_j*(r - 1.0)/(r^3 + 0.5)",
    "cube": "-m_i*m_j/(r + 0.1)^3",
    "yukawa": "q_i*q_j*exp(-r/1.5)*(1/r + 1/1.5)/r",
    "screened": "-m_i*m_j*exp(-r/2.0)/(r + 0.1)^2",
    "plummer": "-m_i*m_j*r/(r^2 + 0.04)^1.5",
    "gaussian": "3.0*r*exp(-0.5*r^2)",
    "morse": "2.0*(exp(-2.4*(r - 1.0)) - exp(-1.2*(r - 1.0)))",
    "charged_spring": "q_i*q_j/(r + 0.1)^2 - 1.0*(r - 1.0)",
    "lennard_jones": "80.0*(2*(0.3/r)^13 - (0.3/r)^7)",
}


def planted_system(name: str) -> System:
    """A system of the table, or the one with that of ``FORMS``, which has a force and no potential."""
    return System(name, None, law=FORMS[name], charges="sign") if name in FORMS else load_system(name)


def generator(seed: int, *what) -> np.random.Generator:
    """A stream of its own for every seed and case: systems, dimensions and noises share no draw."""
    names = [*SYSTEMS, *FORMS]
    numbers = [names.index(w) if isinstance(w, str) else round(1e4 * w) for w in what]
    return np.random.default_rng([seed, 2006, *numbers])


def pairs_at(system: str, d: np.ndarray, rng) -> dict:
    """Pairs at the differences ``d`` [pair, dim]: ``VARIABLES`` [pair], d and force on i [pair, dim]."""
    r = np.linalg.norm(d, axis=1)
    mass, charge = np.exp(rng.standard_normal((2, len(d)))), rng.choice([-1.0, 1.0], (2, len(d)))
    ends = dict(zip(VARIABLES, (r, *mass, *charge), strict=True))
    return ends | {"d": d, "force": pair_force(planted_system(system), d, r, ends)}


def select(pairs: dict, index) -> dict:
    return {k: v[index] for k, v in pairs.items()}


def in_range(system: str, dim: int, count: int, rng, limit: float | None = None) -> tuple[dict, float]:
    """``count`` pairs with |F| at most ``limit`` (None: the 98 % quantile of those drawn), and the limit."""
    drawn = pairs_at(system, rng.normal(0, SPREAD, (int(count / TRIM * 1.1) + 10, dim)), rng)
    size = np.linalg.norm(drawn["force"], axis=1)
    limit = float(np.quantile(size, TRIM)) if limit is None else limit
    return select(drawn, np.flatnonzero(size <= limit)[:count]), limit


def far(system: str, dim: int, count: int, r: np.ndarray, rng) -> dict:
    """Pairs at distances uniform from half the median of ``r`` to 3 times its largest."""
    distance = rng.uniform(0.5 * np.median(r), 3 * r.max(), count)
    direction = rng.standard_normal((count, dim))
    return pairs_at(system, direction * (distance / np.linalg.norm(direction, axis=1))[:, None], rng)


def mixing(dim: int, rows: int, rng) -> np.ndarray:
    """Coefficients [row, dim] of ``rows`` message components: unit norm, each at least 0.15 in size, and no
    component nearly a combination of the others.
    """
    while True:
        c = rng.standard_normal((rows, dim))
        c /= np.linalg.norm(c, axis=1)[:, None]
        if np.abs(c).min() >= SMALLEST_COEFFICIENT and (rows < dim or np.linalg.cond(c) <= LARGEST_CONDITION):
            return c


def sent(force, coefficients, noise: float, rng, typical=None, noise_is: str = "added") -> np.ndarray:
    """Messages c . F + offset + noise [edge, component] of forces [edge, dim]; offset and noise in units of the
    standard deviation of c . F over ``typical`` forces [., dim] (``force`` if None), the offset 0.5 times a normal
    number. Noise that is "multiplied" has each message's own size for its unit instead.
    """
    clean = force @ coefficients.T
    spread = ((force if typical is None else typical) @ coefficients.T).std(0)
    offset = 0.5 * spread * rng.standard_normal(len(coefficients))
    size = np.abs(clean) if noise_is == "multiplied" else spread
    return clean + offset + noise * size * rng.standard_normal(clean.shape)


def graphs(system: str, dim: int, count: int, rng) -> dict:
    """``count`` graphs of 4 particles at rest as the arrays of a messages file, with ``force`` and without
    ``message``: every ordered pair an edge, one frame a trajectory.
    """
    pos = rng.normal(0, SPREAD / np.sqrt(2), (count, PARTICLES, dim))
    mass = np.exp(rng.standard_normal((count, PARTICLES)))
    charge = rng.choice([-1.0, 1.0], (count, PARTICLES))
    acc = acceleration(planted_system(system), pos, np.zeros_like(pos), {"mass": mass, "charge": charge})
    i, j = np.nonzero(~np.eye(PARTICLES, dtype=bool))
    k = np.repeat(np.arange(count), len(i))
    i, j = np.tile(i, count), np.tile(j, count)
    d = pos[k, i] - pos[k, j]
    ends = {"mass_i": mass[k, i], "mass_j": mass[k, j], "charge_i": charge[k, i], "charge_j": charge[k, j]}
    r = np.linalg.norm(d, axis=1)
    found = {"receiver": i, "sender": j, "trajectory": k, "frame": np.zeros_like(k), "dx": d, "r": r, **ends}
    found |= {"vel_i": np.zeros_like(d), "vel_j": np.zeros_like(d), "acc_i": acc[k, i], "acc_pred_i": acc[k, i]}
    named = dict(zip(VARIABLES, (r, *ends.values()), strict=True))
    return found | {"force": pair_force(planted_system(system), d, r, named)}


def simulated(system: str, dim: int, trajectories: int, frames: int, seed: int) -> dict:
    """``trajectories`` of 4 particles, ``frames`` of each over its usual time, as the arrays of a messages file without
    ``message``: every ordered pair an edge.
    """
    known = load_system(system)
    run = integrate(known, PARTICLES, dim, trajectories, frames, max(1, STEPS // frames), seed)
    i, j = np.nonzero(~np.eye(PARTICLES, dtype=bool))
    k, f, e = (a.reshape(-1) for a in np.indices((trajectories, frames, len(i))))
    i, j = i[e], j[e]
    d = run["pos"][k, f, i] - run["pos"][k, f, j]
    out = {"receiver": i, "sender": j, "trajectory": k, "frame": f, "dx": d, "r": np.linalg.norm(d, axis=1)}
    out |= {f"{name}_{end}": run[name][k, of] for name in ("mass", "charge") for end, of in (("i", i), ("j", j))}
    out |= {f"vel_{end}": run["vel"][k, f, of] for end, of in (("i", i), ("j", j))}
    return out | {"acc_i": run["acc"][k, f, i], "acc_pred_i": run["acc"][k, f, i]}


def axis_names(dim: int) -> list[str]:
    return [f"d{a}" for a in AXES[:dim]]
