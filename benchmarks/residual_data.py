"""Small data sets with and without physics that the fitted law lacks: what ``residual_test.py`` measures.

Everything is simulated here, with forces written for this purpose in numpy, so that no formula of the project stands
on both sides. Open space: gravity, charges or springs of 2 to 30 particles. Box: a fluid of 64 to 250 particles with
Lennard-Jones forces, cut off. Dimensionless units.

missing   what acts beside or in place of the force that the law has, its strength drawn so that its median is a given
          share of the median force
complete  the law has the right form; only its constants are fitted
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.files.dataset import Dataset, make_split
from distill.files.kinds import DatasetRecord

SOFT = 0.2
MISSING = (
    "yukawa_by_rational",
    "alignment",
    "trap",
    "magnetic",
    "drag",
    "gaussian_by_power",
    "three_body",
    "exponent",
    "field",
    "time",
)
COMPLETE = ("springs", "r1", "r2", "charges", "superposition", "yukawa", "gaussian", "with_drag", "with_field", "fluid")
IN_A_BOX = ("alignment", "drag", "three_body", "exponent", "field", "time", "yukawa_by_rational", "fluid")
NOISE = (("multiplicative", 0.05), ("additive", 0.05), ("none", 0.0), ("multiplicative", 0.01), ("additive", 0.02))
SHARES = {"field": (0.02, 0.1)}  # of the median force, the lowest and the highest; else:
SHARE = (0.03, 0.3)
FASTEST = 5.0  # rate at which a force that depends on velocity may change it
OPEN_SIZES = ((4, 2), (2, 3), (3, 2), (10, 3), (30, 2), (6, 3))  # particles, dimensions
BOX_SIZES = (64, 125, 250)


@dataclass
class Case:
    """``forms``: pair laws to start the fit from, the best is kept; ``terms``: node terms that it may use."""

    dataset: Dataset
    forms: list[str]
    terms: tuple[str, ...]
    about: dict


# ---------------------------------------------------------------- forces


def lennard_jones(r, p):
    return 48 * r**-13.0 - 24 * r**-7.0


def steep(r, p):
    return 40 * r**-11.5 - 24 * r**-7.0


def screened(r, p):
    s = r + SOFT
    return p["q_i"] * p["q_j"] * np.exp(-s) * (1 / s + 1) / s


def screened_fluid(r, p):
    return 60 * np.exp(-2 * r) * (1 / r + 2) / r


def gaussian(r, p):
    return 4 * r * np.exp(-(r**2) / 2)


PAIRS = {
    "springs": (lambda r, p: -2 * (r - 1), ["-1.8*(r - 1.1)"]),
    "r1": (lambda r, p: -p["m_i"] * p["m_j"] / (r + SOFT), ["-0.9*m_i*m_j/(r + 0.25)"]),
    "r2": (lambda r, p: -p["m_i"] * p["m_j"] / (r + SOFT) ** 2, ["-0.9*m_i*m_j/(r + 0.25)^2"]),
    "charges": (lambda r, p: p["q_i"] * p["q_j"] / (r + SOFT) ** 2, ["0.9*q_i*q_j/(r + 0.25)^2"]),
    "superposition": (
        lambda r, p: (p["q_i"] * p["q_j"] - p["m_i"] * p["m_j"]) / (r + SOFT) ** 2,
        ["(0.9*q_i*q_j - 1.1*m_i*m_j)/(r + 0.25)^2"],
    ),
    "yukawa": (screened, ["0.9*q_i*q_j*exp(-0.9*(r + 0.21))*(1/(r + 0.21) + 0.9)/(r + 0.21)"]),
    "gaussian": (gaussian, ["3.8*r*exp(-0.52*r^2)"]),
    "fluid": (lennard_jones, ["44.0/r^13 - 26.0/r^7"]),
}
WRONG = {
    "yukawa_by_rational": (
        screened,
        ["q_i*q_j*0.9/(r + 0.2)^2", "0.03*q_i*q_j*(r - 6.0)^2/(r + 0.2)^2", "1.5*q_i*q_j/(r + 0.5)^3"],
    ),
    "gaussian_by_power": (gaussian, ["5.0/(r + 0.9)^2", "20.0*r/(r + 1.0)^4", "50.0*r/(r + 1.1)^6"]),
}
WRONG_IN_A_BOX = {
    "yukawa_by_rational": (screened_fluid, ["60.0/r^6 - 1.0/r^2", "40.0/(r + 0.1)^5", "10.0*(r - 2.5)^2/r^3"]),
    "exponent": (steep, ["44.0/r^13 - 26.0/r^7"]),
}


class World:
    """Forces on all particles of many copies at once: pos, vel [copy, particle, dim]."""

    def __init__(self, pair, mass, charge, box=None, cutoff=None):
        self.pair, self.mass, self.charge, self.box, self.cutoff = pair, mass, charge, box, cutoff
        n = mass.shape[1]
        self.other = ~np.eye(n, dtype=bool)
        m, q = mass, charge
        self.ends = {"m_i": m[:, :, None], "m_j": m[:, None], "q_i": q[:, :, None], "q_j": q[:, None]}

    def lines(self, pos):
        """(x_i - x_j)/r [copy, i, j, dim], r [copy, i, j], and where pairs act [copy, i, j]."""
        d = pos[:, :, None] - pos[:, None]
        if self.box is not None:
            d -= self.box * np.round(d / self.box)
        r = np.linalg.norm(d, axis=-1)
        acts = self.other & (True if self.cutoff is None else r < self.cutoff)
        r = np.where(self.other, r, 1.0)
        return d / r[..., None], r, acts

    def force(self, pos, lines=None):
        unit, r, acts = lines or self.lines(pos)
        return ((self.pair(r, self.ends) * acts)[..., None] * unit).sum(2)


def extra_force(kind: str, world: World, pos, vel, t: float, lines, omega: float):
    """The missing force with strength 1 [copy, particle, dim]; t may be an array [copy]."""
    unit, r, acts = lines
    m, q = world.mass[..., None], world.charge[..., None]
    if kind == "alignment":
        near = np.exp(-r) * acts
        return (near[..., None] * (vel[:, None] - vel[:, :, None])).sum(2)
    if kind == "trap":
        return -pos
    if kind == "magnetic":
        return q * np.concatenate([vel[..., 1:2], -vel[..., :1], 0 * vel[..., 2:]], -1)
    if kind == "drag":
        return -vel
    if kind == "field":
        k = 1.0 if world.box is None else 2 * np.pi / world.box[0]
        return m * np.eye(pos.shape[-1])[0] * np.sin(k * pos[..., 1:2])
    if kind == "time":
        return world.force(pos, lines) * np.cos(omega * t)
    if kind == "three_body":  # U = sum_i sum_(j<k) h(r_ij) h(r_ik) cos(jik), h = exp(-r)
        h = np.exp(-r) * acts
        a = (h[..., None] * unit).sum(2)
        difference = a[:, :, None] - a[:, None]
        along = (difference * unit).sum(-1, keepdims=True) * unit
        across = difference - along
        slope = -h[..., None]
        return -(slope * along + (h / r)[..., None] * across).sum(2) + (2 * (h * -h)[..., None] * unit).sum(2)
    raise ValueError(kind)


# ---------------------------------------------------------------- simulation


def run(world: World, extra, pos, vel, dt: float, every: int, frames: int) -> dict:
    """Velocity Verlet with the velocity at the start of a step in forces that depend on it. The labels are the exact
    accelerations at the states reached, whatever the step."""
    mass, out = world.mass[..., None], {"pos": [], "vel": [], "acc": []}

    def acceleration(x, v, t):
        lines = world.lines(x)
        return (world.force(x, lines) + (extra(x, v, t, lines) if extra else 0.0)) / mass

    a = acceleration(pos, vel, 0.0)
    for step in range(every * (frames - 1) + 1):
        if step % every == 0:
            for name, value in (("pos", pos), ("vel", vel), ("acc", acceleration(pos, vel, step * dt))):
                out[name].append(value)
        pos = pos + dt * vel + 0.5 * dt**2 * a
        new = acceleration(pos, vel + dt * a, (step + 1) * dt)
        vel, a = vel + 0.5 * dt * (a + new), new
    return {k: np.stack(v, 1) for k, v in out.items()} | {"t": dt * every * np.arange(frames)}


def case(kind: str, missing: bool, index: int, seed: int, noise=None, size=None) -> Case:
    """The case number ``index`` of ``kind``. ``noise``: (what, size), the next of ``NOISE`` if None; ``size``:
    (particles, dimensions), drawn if None.
    """
    rng = np.random.default_rng([seed, index, (MISSING + COMPLETE).index(kind), int(missing)])
    boxed = kind == "fluid" or (kind in IN_A_BOX and index % 4 == 3)
    noise = noise or NOISE[(index + (MISSING + COMPLETE).index(kind)) % len(NOISE)]
    if boxed:
        n, dim, trajectories, frames, every, dt = BOX_SIZES[rng.integers(3)], 3, 6, 20, 4, 0.004
        n = size[0] if size else n
    else:
        n, dim = OPEN_SIZES[rng.integers(len(OPEN_SIZES))]
        n, dim = size or (n, dim)
        n = max(n, 3) if kind == "three_body" else n
        trajectories, frames, every, dt = (100 if n < 10 else 30), 40, 20, 0.0025
    mass = np.exp(0.5 * rng.standard_normal((trajectories, n)))
    charge = rng.choice([-1.0, 1.0], (trajectories, n))
    box = cutoff = None
    if boxed:
        mass, charge = np.ones_like(mass), np.zeros_like(charge)
        side = (n / 0.6) ** (1 / 3)
        box, cutoff = np.full(3, side), min(2.5, side / 2)
        k = int(np.ceil(n ** (1 / 3)))
        sites = np.stack(np.meshgrid(*[np.arange(k)] * 3, indexing="ij"), -1).reshape(-1, 3) * side / k
        sites = np.stack([rng.permutation(sites)[:n] for _ in range(trajectories)])
        pos, vel = sites + 0.03 * rng.standard_normal(sites.shape), 1.2 * rng.standard_normal(sites.shape)
    else:
        pos = 1.2 * (n / 4) ** (1 / dim) * rng.standard_normal((trajectories, n, dim))
        vel = 0.7 * rng.standard_normal((trajectories, n, dim))
    base, terms, added = None, (), kind
    if missing:
        base = ("springs", "r2", "charges")[index % 3] if not boxed else "fluid"
        pair, forms = PAIRS[base]
        wrong = WRONG_IN_A_BOX if boxed else WRONG
        if kind in wrong:
            (pair, forms), added = wrong[kind], None
        elif kind == "exponent":
            off = float(rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.1), np.log(0.5))))
            pair, forms, added = _power(2 + off), ["-0.9*m_i*m_j/(r + 0.25)^2"], None
    elif kind in ("with_drag", "with_field"):
        pair, forms = PAIRS["r2"]
        added, terms = {"with_drag": ("drag", ("drag",)), "with_field": ("uniform", ("constant_acceleration",))}[kind]
    else:
        (pair, forms), added = PAIRS[kind], None
    world = World(pair, mass, charge, box, cutoff)
    if boxed:
        melted = run(world, None, pos, vel, dt, 1, 150)
        pos, vel = melted["pos"][:, -1], melted["vel"][:, -1]
    share, extra = None, None
    if added:
        omega = 2 * np.pi * rng.uniform(0.7, 2.5) / (dt * every * (frames - 1))
        low, high = SHARES.get(kind, SHARE)
        share = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        if added == "uniform":
            strength, unit = 0.5, lambda x, v, t, lines: mass[..., None] * np.eye(dim)[0]
        else:
            unit = lambda x, v, t, lines: extra_force(added, world, x, v, t, lines, omega)  # noqa: E731
            lines = world.lines(pos)
            sizes = [
                np.median(np.linalg.norm(f, axis=-1)) for f in (world.force(pos, lines), unit(pos, vel, 0.0, lines))
            ]
            strength = share * sizes[0] / sizes[1]
            if kind in ("alignment", "magnetic", "drag"):
                rate = np.linalg.norm(unit(pos, vel, 0.0, lines), axis=-1) / np.linalg.norm(vel, axis=-1) / mass
                strength = min(strength, FASTEST / np.quantile(rate, 0.99))
        extra = lambda *state: strength * unit(*state)  # noqa: E731
    made = run(world, extra, pos, vel, dt, every, frames)
    if added:
        share = _share(world, extra, made)
    made = measured(made, noise, rng)
    arrays = made | {"mass": mass, "charge": charge, "split": make_split(trajectories, seed)}
    if trajectories < 20:
        arrays["split"][: trajectories // 3] = 2
    if boxed:
        arrays |= {"box": box, "cutoff": np.float64(cutoff)}
    name = f"{kind}_{'missing' if missing else 'complete'}_{index}_s{seed}"
    about = {"kind": kind, "missing": missing, "index": index, "seed": seed, "noise": noise[0], "size": noise[1]}
    about |= {"n": n, "dim": dim, "box": boxed, "base": base, "share": share}
    return Case(Dataset(name, Path(name), arrays, DatasetRecord()), forms, terms, about)


def _share(world: World, extra, made: dict) -> float:
    """Median size of the extra force over that of the others, over all frames."""
    sizes = []
    for f, t in enumerate(made["t"]):
        pos, vel = made["pos"][:, f], made["vel"][:, f]
        lines = world.lines(pos)
        sizes.append([np.linalg.norm(g, axis=-1) for g in (extra(pos, vel, t, lines), world.force(pos, lines))])
    own, others = (np.median(np.stack(part)) for part in zip(*sizes, strict=True))
    return float(own / others)


def _power(exponent: float):
    return lambda r, p: -p["m_i"] * p["m_j"] / (r + SOFT) ** exponent


def measured(made: dict, noise: tuple[str, float], rng) -> dict:
    """``made`` with noise on its accelerations; "positions": accelerations and velocities by finite differences of
    positions that are off by ``size`` times the median step between frames.
    """
    how, size = noise
    if how == "positions":
        h = made["t"][1] - made["t"][0]
        step = np.median(np.linalg.norm(np.diff(made["pos"], axis=1), axis=-1))
        x = made["pos"] + size * step * rng.standard_normal(made["pos"].shape)
        acc = (x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2]) / h**2
        return {"pos": x[:, 1:-1], "vel": (x[:, 2:] - x[:, :-2]) / (2 * h), "acc": acc, "t": made["t"][1:-1]}
    normal = rng.standard_normal(made["acc"].shape)
    if how == "multiplicative":
        return made | {"acc": made["acc"] * (1 + size * normal)}
    typical = np.median(np.linalg.norm(made["acc"], axis=-1))
    return made | {"acc": made["acc"] + size * typical * normal}
