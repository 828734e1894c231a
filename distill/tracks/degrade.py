"""A worse copy of a dataset, to find out how good data must be: noise, gaps, fewer frames, other units."""

import re
from dataclasses import dataclass, field

import numpy as np

from distill.files.dataset import Dataset
from distill.files.kinds import SystemRecord
from distill.files.properties import USUAL, property_named
from distill.physics.system import System
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.tracks.said import displacement, distances
from distill.tracks.tracks import Tracks

UNITS = ("length", "time", "mass", "charge")


@dataclass(frozen=True)
class Worse:
    """What is done, in this order. ``noise``: standard deviation of a coordinate, in units of the median displacement
    between the frames that are left. ``drop_frames``, ``drop_rows``: shares. ``jitter_times``: frames are taken up to
    half of this share of a step earlier or later. ``rescale``: factors of ``UNITS``. ``shift``: of all positions, in
    median distances of pairs.
    """

    trajectories: int | None = None
    frames: int | None = None
    keep_every: int = 1
    jitter_times: float = 0.0
    drop_frames: float = 0.0
    noise: float = 0.0
    drop_rows: float = 0.0
    velocities: bool = True
    accelerations: bool = True
    shift: float = 0.0
    rescale: dict[str, float] = field(default_factory=dict)
    seed: int = 0

    def factor(self, unit: str) -> float:
        return self.rescale.get(unit, 1.0)


def degraded(dataset: Dataset, how: Worse) -> tuple[Tracks, dict]:
    """(what is left of ``dataset``, numbers that say what was done). Seeded: equal calls give equal tracks."""
    rng = np.random.default_rng([how.seed, 2311])
    of = slice(None, how.trajectories), slice(None, how.frames and how.frames * how.keep_every, how.keep_every)
    vectors = {k: dataset.arrays[k][of].astype(float) for k in ("pos", "vel", "acc") if k in dataset.arrays}
    t = dataset.times[of].astype(float)
    if how.jitter_times:
        vectors, t = _jittered(vectors, t, how.jitter_times, rng, relative(dataset.path))
    if how.drop_frames:
        vectors, t = _without_frames(vectors, t, how.drop_frames, rng)
    if min(vectors["pos"].shape[:2]) < 1:
        raise UserError(f"nothing is left of {relative(dataset.path)}", "keep more frames or trajectories")
    if not how.velocities:
        vectors.pop("vel", None)
    if not how.accelerations:
        vectors.pop("acc", None)
    pos = vectors["pos"]
    size = how.noise * displacement(pos)
    if how.noise:
        pos += size * rng.standard_normal(pos.shape)
    if how.drop_rows:
        gone = rng.uniform(size=pos.shape[:3]) < how.drop_rows
        for value in vectors.values():
            value[gone] = np.nan
    box = dataset.arrays.get("box")
    if how.shift:
        pos += how.shift * float(np.median(distances(pos, box)))
    length, time, mass, charge = (how.factor(unit) for unit in UNITS)
    for name, factor in {"pos": length, "vel": length / time, "acc": length / time**2}.items():
        if name in vectors:
            vectors[name] *= factor
    scales = {"mass": mass, "charge": charge}
    properties = {k: v[of[0]].astype(float) * scales.get(k, 1.0) for k, v in dataset.columns.items()}
    if "charge" in dataset.assumed:
        del properties["charge"]
    t = t[0] if (t == t[0]).all() else t
    kinds = {name: list(levels) for name, levels in dataset.categories.items()}
    out = Tracks(
        t=t * time, properties=properties, categories=kinds, box=None if box is None else box * length, **vectors
    )
    out.split = dataset.split[of[0]].astype(np.int8)
    out.film = dataset.arrays["film"][of[0]] if "film" in dataset.arrays else None
    out.recordings = len(pos)
    out.who = dataset.arrays["id"][of[0]].astype(float) if "id" in dataset.arrays else None
    out.bodies = list(dataset.meta.bodies)
    return out, {"noise_put_on": size * length}


def _without_frames(vectors: dict, t: np.ndarray, share: float, rng) -> tuple[dict, np.ndarray]:
    """As many frames left out of every trajectory, others in each."""
    count, frames = t.shape
    left = max(1, round((1 - share) * frames))
    keep = np.sort(rng.permuted(np.tile(np.arange(frames), (count, 1)), axis=1)[:, :left], axis=1)
    row = np.arange(count)[:, None]
    return {k: v[row, keep] for k, v in vectors.items()}, t[row, keep]


def _jittered(vectors: dict, t: np.ndarray, share: float, rng, where: str) -> tuple[dict, np.ndarray]:
    """Vectors at times moved at random, by the polynomials of fifth degree that have the places, velocities and
    accelerations of the frames on either side.
    """
    if "vel" not in vectors or "acc" not in vectors:
        raise UserError(f"{where}: --jitter-times needs velocities and accelerations", "drop frames instead")
    at = t + share * np.diff(t, axis=1).mean() * rng.uniform(-0.5, 0.5, t.shape)
    at = np.clip(at, t[:, :1], t[:, -1:])
    k = np.clip((t[:, None, :] <= at[:, :, None]).sum(2) - 1, 0, t.shape[1] - 2)
    row = np.arange(len(t))[:, None]
    h = (t[row, k + 1] - t[row, k])[..., None, None]
    s = ((at - t[row, k])[..., None, None]) / h
    (x0, v0, a0), (x1, v1, a1) = ([vectors[n][row, k + side] for n in ("pos", "vel", "acc")] for side in (0, 1))
    v0, v1, a0, a1 = h * v0, h * v1, h * h * a0, h * h * a1
    dx, dv, da = x1 - x0 - v0 - a0 / 2, v1 - v0 - a0, a1 - a0  # what a constant acceleration leaves at the other end
    c3, c4, c5 = 10 * dx - 4 * dv + da / 2, -15 * dx + 7 * dv - da, 6 * dx - 3 * dv + da / 2
    pos = x0 + s * (v0 + s * (a0 / 2 + s * (c3 + s * (c4 + s * c5))))
    vel = v0 + s * (a0 + s * (3 * c3 + s * (4 * c4 + s * 5 * c5)))
    acc = a0 + s * (6 * c3 + s * (12 * c4 + s * 20 * c5))
    return {"pos": pos, "vel": vel / h, "acc": acc / h**2}, at


# ---------------------------------------------------------------- the truth, in other units


def still_true(about: SystemRecord, how: Worse) -> bool:
    """Whether the system on record is still that of the data: the same units, and no field that knows the origin."""
    moved = bool(how.shift) and about.external
    return not moved and all(how.factor(unit) == 1 for unit in UNITS)


def system_file(system: System, how: Worse) -> str | None:
    """The text of a file, as ``user_system`` reads it, with ``system`` in the units of the rescaled data; None where
    it depends on more than masses, charges and distances.
    """
    only_drag = not (system.external or system.further or system.in_time)
    plain = system.response is None and only_drag and system.file is None and not system.describe()
    if not plain or set(system.properties) - set(USUAL):
        return None
    length, time, mass, charge = (how.factor(unit) for unit in UNITS)
    scale = {"r": length}
    for name, factor in (("mass", mass), ("charge", charge)):
        scale |= {variable: factor for variable in property_named(name).variables}
    values = ", ".join(f"{v} / {factor!r}" for v, factor in scale.items())
    lines = [
        f'"""The system {system.name} in other units."""',
        "",
        "import jax.numpy as jnp",
        "",
        "from distill.physics.systems import SYSTEMS, initial_conditions",
        "",
        f"OF = SYSTEMS[{system.name!r}]",
        f"name = {system.name + '_rescaled'!r}",
        f"dt = {system.dt * time!r}",
        f"summary = {system.summary + ', in other units'!r}",
        f"drag = {system.drag * mass / time!r}",
        f"held = {system.held!r}",
        f"neighbours_only = {system.neighbours_only!r}",
        f"charges, masses = {system.charges!r}, {system.masses!r}",
    ]
    if system.law is not None:
        force = mass * length / time**2
        law = re.sub(r"\b(r|[mq]_[ij])\b", lambda m: f"({m[1]}/{scale[m[1]]!r})", system.law)
        lines.append(f"law = {f'{force!r}*({law})'!r}")
    lines += [
        "",
        "",
        f"def potential({', '.join(scale)}):",
        f"    return {mass * (length / time) ** 2!r} * OF.potential({values}, jnp)",
        "",
        "",
        "def initial(rng, n, dim):",
        "    pos, vel, properties = initial_conditions(OF, rng, n, dim)",
        f"    mass, charge = {mass!r} * properties['mass'], {charge!r} * properties['charge']",
        f"    return {length!r} * pos, {length / time!r} * vel, mass, charge",
    ]
    return "\n".join(lines) + "\n"
