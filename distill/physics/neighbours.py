"""Pairs within a cutoff, in a periodic box or without one: the edges of one frame, or of many as one graph.

Positions may be wrapped into the box or not. A pair is seen through its nearest image, x_i - x_j less the whole
number of box lengths that makes it shortest, which is unique only while the cutoff is at most half a box length:
a larger one is a ``ValueError`` here (M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, section 1.6).
The search is ``scipy.spatial.cKDTree``'s. Lengths are in the unit of the positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Neighbours:
    """Directed edges, sorted by receiver and then by sender; every pair is there in both directions."""

    sender: np.ndarray  # [edge], particle j
    receiver: np.ndarray  # [edge], particle i
    reverse: np.ndarray  # [edge], where the edge i -> j of the same pair stands
    dx: np.ndarray  # [edge, dim], x_i - x_j through the nearest image
    r: np.ndarray  # [edge], |dx|


def wrap(pos, box) -> np.ndarray:
    """``pos [..., dim]`` moved into [0, box) along every axis; ``box [dim]`` or one length."""
    pos, box = np.asarray(pos, dtype=float), np.asarray(box, dtype=float)
    inside = np.mod(pos, box)
    return np.where(inside >= box, 0.0, inside)  # the remainder of -1e-17 rounds to the whole box length


def minimum_image(dx, box) -> np.ndarray:
    """Differences ``dx [..., dim]`` through the nearest image; unchanged where ``box`` is None."""
    dx = np.asarray(dx, dtype=float)
    if box is None:
        return dx
    box = np.asarray(box, dtype=float)
    return dx - box * np.round(dx / box)


def unwrap(pos, box) -> np.ndarray:
    """Paths ``pos [frame, ..., dim]`` without jumps from one side of the box to the other.

    Every particle must move less than half a box length from one frame to the next.
    """
    pos = np.asarray(pos, dtype=float)
    return np.concatenate([pos[:1], pos[:1] + np.cumsum(minimum_image(np.diff(pos, axis=0), box), axis=0)])


def close_pairs(pos, box, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``i, j [pair]`` with i < j, ``dx [pair, dim]`` = x_i - x_j and ``r [pair]`` of the pairs with r <= cutoff.

    pos [particle, dim]; box [dim], or None for open boundaries. ``ValueError`` if ``cutoff`` is not positive or
    more than half the shortest box length.
    """
    from scipy.spatial import cKDTree

    pos = np.asarray(pos, dtype=float)
    if not cutoff > 0:
        raise ValueError(f"the cutoff is {cutoff}, expected a positive length")
    if box is not None:
        box = np.broadcast_to(np.asarray(box, dtype=float), pos.shape[-1:])
        if cutoff > box.min() / 2:
            raise ValueError(f"the cutoff {cutoff} is more than half the shortest box length {box.min()}")
    tree = cKDTree(pos if box is None else wrap(pos, box), boxsize=box, balanced_tree=False, compact_nodes=False)
    # A little further than asked: the tree's distances are rounded otherwise than those below, which decide.
    pairs = tree.query_pairs(cutoff * (1 + 1e-9), output_type="ndarray")
    dx = minimum_image(pos[pairs[:, 0]] - pos[pairs[:, 1]], box)
    r = np.sqrt((dx * dx).sum(axis=1))
    near = r <= cutoff
    return pairs[near, 0], pairs[near, 1], dx[near], r[near]


def radius_graph(pos, box, cutoff: float) -> Neighbours:
    """The edges of one frame ``pos [particle, dim]``; arguments and errors as in ``close_pairs``."""
    i, j, dx, r = close_pairs(pos, box, cutoff)
    *edges, pair, sign = directed(i, j, len(pos))
    return Neighbours(*edges, sign[:, None] * dx[pair], r[pair])


def directed(i, j, particles: int) -> tuple[np.ndarray, ...]:
    """Both edges of the pairs ``i, j [pair]`` in the order of ``Neighbours``: ``sender, receiver, reverse [edge]``, and
    of each its pair and the sign of that pair's dx ``[edge]``.
    """
    receiver, sender = np.concatenate([i, j]), np.concatenate([j, i])
    order = np.argsort(receiver * np.int64(particles) + sender, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    reverse = place[(order + len(i)) % max(1, len(order))]
    return sender[order], receiver[order], reverse, order % max(1, len(i)), np.where(order < len(i), 1.0, -1.0)


def batch(graphs: Sequence[Neighbours], particles: int) -> tuple[Neighbours, np.ndarray]:
    """Frames of ``particles`` particles each as one graph, and the number of edges of each ``[frame]``.

    Particle i of frame f is node f * particles + i, so the edges stay sorted by receiver.
    """
    counts = np.array([len(g.r) for g in graphs], dtype=np.int64)
    nodes = np.repeat(particles * np.arange(len(graphs)), counts)
    edges = np.repeat(np.cumsum(counts) - counts, counts)
    sender, receiver, reverse, dx, r = (
        np.concatenate([getattr(g, name) for g in graphs]) for name in ("sender", "receiver", "reverse", "dx", "r")
    )
    return Neighbours(sender + nodes, receiver + nodes, reverse + edges, dx, r), counts
