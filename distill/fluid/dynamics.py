"""Dynamics of a fluid of particles of one mass in a periodic box under any force: pair law, true law or network.

The Langevin splitting BAOAB (B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34); without friction it is
velocity Verlet, at constant energy. Pairs come from a Verlet list: those within the cutoff
and a skin, found again once a particle has moved half the skin (M. P. Allen, D. J. Tildesley, Computer Simulation of
Liquids, section 5.3). Lengths A, times ps, other units as in ``distill.fluid.lennard_jones``; 64 bits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from distill.physics.neighbours import Neighbours, close_pairs, directed

SKIN = 1.0  # A
HOTTEST = 20.0  # times the temperature asked for: no bath and no exchange of energies makes that


class BlewUp(Exception):
    """The dynamics left everything physical; the message says how."""


class VerletList:
    """Pairs with r <= ``cutoff + SKIN`` when the list was made; valid for positions that are not wrapped since.

    ``SKIN`` is narrower where the box leaves no room for it. ``i, j [pair]``; ``made``: how many lists so far.
    ``ValueError`` if the cutoff is more than half the box.
    """

    def __init__(self, box, cutoff: float):
        self.box = np.asarray(box, dtype=float)
        self.reach = max(cutoff, min(cutoff + SKIN, float(self.box.min()) / 2))
        self.half_skin = (self.reach - cutoff) / 2
        self.made, self._at = 0, None

    def update(self, pos) -> bool:
        """Make the list for ``pos [particle, dim]`` if the last one does not hold there; whether it did."""
        if self._at is not None:
            step = pos - self._at
            moved = np.einsum("ij,ij->i", step, step).max()
            if moved < self.half_skin**2:
                return False
        if not np.isfinite(pos).all():
            raise BlewUp("positions are not finite")
        self.i, self.j, dx, _ = close_pairs(pos, self.box, self.reach)
        self._shift = pos[self.i] - pos[self.j] - dx
        count = len(self.i)
        ends, signs = np.stack([self.i, self.j], axis=1).ravel(), np.tile([1.0, -1.0], count)
        self._difference = csr_matrix((signs, ends, 2 * np.arange(count + 1)), shape=(count, len(pos)))
        self._sum = self._difference.T.tocsr()
        self._at, self.made = pos.copy(), self.made + 1
        return True

    def distances(self, pos) -> tuple[np.ndarray, np.ndarray]:
        """``dx [pair, dim]`` = x_i - x_j through the image of the list, and ``r [pair]``."""
        dx = self._difference @ pos - self._shift
        return dx, np.sqrt(np.einsum("ij,ij->i", dx, dx))

    def sums(self, pair, other=None) -> np.ndarray:
        """Of ``pair [pair, dim]``, a force on i: the sums over pairs [particle, dim]. j feels ``other [pair, dim]``, or
        where there is none the opposite.
        """
        if other is None:
            return self._sum @ pair
        return 0.5 * (self._sum @ (pair - other) + abs(self._sum) @ (pair + other))


class PairAcceleration:
    """Accelerations [particle, dim] of (pos, vel) under ``radial(r, i, j) -> f [pair]`` on i, zero beyond ``cutoff``.

    ``mass``: of every particle; ``node``: function vel -> force [particle, dim] that no pair makes, or None;
    ``mutual``: whether f is the same for j, so that it need not be asked.
    """

    def __init__(
        self, radial: Callable, mass: float, box, cutoff: float, node: Callable | None = None, mutual: bool = True
    ):
        self.radial, self.mass, self.cutoff, self.node, self.mutual = radial, mass, cutoff, node, mutual
        self.list = VerletList(box, cutoff)

    def __call__(self, pos, vel) -> np.ndarray:
        self.list.update(pos)
        dx, r = self.list.distances(pos)
        near = np.flatnonzero((r <= self.cutoff) & (r > 0))
        i, j, weight = self.list.i[near], self.list.j[near], np.zeros((2, len(r)))
        with np.errstate(all="ignore"):  # what is not finite ends the run
            weight[0, near] = self.radial(r[near], i, j) / r[near]
            if not self.mutual:
                weight[1, near] = self.radial(r[near], j, i) / r[near]
        own = weight[0][:, None] * dx
        force = self.list.sums(own, None if self.mutual else -weight[1][:, None] * dx)
        return (force if self.node is None else force + self.node(vel)) / self.mass


class NetworkAcceleration:
    """Accelerations [particle, dim] of (pos, vel) as the network predicts them, on the pairs within ``cutoff``.

    ``properties``: name -> [particle].
    """

    def __init__(self, model, properties: dict, box, cutoff: float):
        self.model, self.cutoff = model, cutoff
        self.properties = {name: np.asarray(value, dtype=float)[None] for name, value in properties.items()}
        self.device = next(model.parameters()).device
        self.list = VerletList(box, cutoff)

    def edges(self, pos) -> Neighbours:
        """As ``neighbours.radius_graph``, from the list: its order holds until the next one."""
        if self.list.update(pos):
            self._directed = directed(self.list.i, self.list.j, len(pos))
        dx, r = self.list.distances(pos)
        sender, receiver, reverse, pair, sign = self._directed
        near = (r <= self.cutoff)[pair]
        kept = np.flatnonzero(near)
        number = np.cumsum(near) - 1
        pair = pair[kept]
        return Neighbours(sender[kept], receiver[kept], number[reverse[kept]], sign[kept, None] * dx[pair], r[pair])

    def __call__(self, pos, vel) -> np.ndarray:
        from distill.network.edges import FrameEdges
        from distill.network.evaluation import accelerations

        found, n = self.edges(pos), len(pos)
        source = FrameEdges(lambda _: found, n, self.device)
        return accelerations(self.model, source, pos[None], vel[None], self.properties)[0]


def baoab(pos, vel, acc, dt, acceleration: Callable, bath: Callable):
    """One step of length ``dt`` from ``pos, vel`` where the acceleration is ``acc``: the three of them at its end.

    ``acceleration(pos, vel)`` of velocities half a kick before the end; ``bath(vel)`` is what the heat bath leaves of
    velocities in that time: with none this is velocity Verlet. Arrays of numpy or JAX.
    """
    vel = vel + 0.5 * dt * acc
    pos = pos + 0.5 * dt * vel
    vel = bath(vel)
    pos = pos + 0.5 * dt * vel
    acc = acceleration(pos, vel)
    return pos, vel + 0.5 * dt * acc, acc


@dataclass
class Motion:
    """``pos`` (not wrapped)``, vel [frame, particle, dim]``: frames as far as it went; ``failed``: why not further, or
    ""; ``steps``, CPU ``seconds`` and ``stopped``: whether the clock ended it."""

    pos: np.ndarray
    vel: np.ndarray
    failed: str
    stopped: bool
    steps: int
    seconds: float


def move(
    acceleration,
    pos,
    vel,
    dt: float,
    every: int,
    frames: int,
    heat: float,
    friction: float = 0.0,
    seed=0,
    seconds: float = np.inf,
    tick=lambda: None,
) -> Motion:
    """Integrate from ``pos, vel [particle, dim]``, a frame every ``every`` steps of ``dt``, frame 0 the start.

    acceleration: function (pos, vel) -> [particle, dim]; one that depends on velocities sees those half a kick before
    the end of the step. heat: k T / m in (A/ps)^2; friction per ps, 0 for constant energy; ``seed`` of the noise.
    ``tick()`` is called at every frame. Whatever the acceleration does, this returns: see ``Motion``.
    """
    clock, rng = time.process_time(), np.random.default_rng(seed)
    pos, vel = np.array(pos, dtype=float), np.array(vel, dtype=float)
    kept = np.exp(-friction * dt)
    kick = np.sqrt(heat * (1 - kept**2))
    bath = (lambda v: kept * v + kick * rng.standard_normal(v.shape)) if friction else lambda v: v
    seen, steps, failed, stopped = [(pos, vel)], 0, "", False
    try:
        acc = acceleration(pos, vel)
        while len(seen) < frames and not stopped:
            for _ in range(every):
                pos, vel, acc = baoab(pos, vel, acc, dt, acceleration, bath)
                steps += 1
            hot = float((vel**2).mean() / heat)
            if not hot < HOTTEST:
                raise BlewUp(f"the kinetic temperature is {hot:.3g} times the one it started from or was held at")
            seen.append((pos, vel))
            tick()
            stopped = len(seen) < frames and time.process_time() - clock > seconds
    except BlewUp as exc:
        failed = str(exc)
    pos, vel = (np.array(a) for a in zip(*seen, strict=True))
    return Motion(pos, vel, failed, stopped, steps, time.process_time() - clock)
