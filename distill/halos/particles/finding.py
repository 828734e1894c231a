"""Haloes in a periodic box of particles: friends of friends, and the overdensity around a place.

Two particles closer than ``linking`` times the mean spacing are friends, and so are the friends of a friend (M. Davis
et al., ApJ 292, 371, 1985). Lengths in the unit of the positions.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from distill.physics.neighbours import minimum_image, wrap

LINKING = 0.2  # of the mean spacing
LEAST = 20  # particles of a halo
AT_ONCE = 2000  # places whose neighbours are counted at once


@dataclass(frozen=True)
class Groups:
    """Friends of friends, the largest first: ``count`` [group] particles, ``pos``, ``vel`` [group, dim] of their
    centres of mass, ``pos`` in the box.
    """

    count: np.ndarray
    pos: np.ndarray
    vel: np.ndarray


def labels(pos, side: float, length: float) -> np.ndarray:
    """Number [particle] of the group of every particle of ``pos`` [particle, dim], friends within ``length``."""
    tree = cKDTree(wrap(pos, side), boxsize=side, balanced_tree=False, compact_nodes=False)
    pairs = tree.query_pairs(length, output_type="ndarray")
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(pos), len(pos)))
    return connected_components(graph, directed=False)[1]


def groups(pos, vel, side: float, linking: float = LINKING, least: int = LEAST) -> Groups:
    """The groups of at least ``least`` of the particles ``pos``, ``vel`` [particle, dim] in a cube of this ``side``."""
    spacing = side / len(pos) ** (1 / pos.shape[1])
    number = labels(pos, side, linking * spacing)
    count = np.bincount(number)
    large = np.flatnonzero(count >= least)
    # ties by the place of the first particle: numbers of components mean nothing
    order = large[np.argsort(-count[large], kind="stable")]
    place = np.full(len(count), -1)
    place[order] = np.arange(len(order))
    inside = np.flatnonzero(place[number] >= 0)
    group = place[number[inside]]
    first = np.full(len(order), len(pos))
    np.minimum.at(first, group, inside)
    apart = minimum_image(pos[inside].astype(float) - pos[first[group]].astype(float), side)
    size = count[order].astype(float)

    def mean(values):
        return np.stack([np.bincount(group, v, len(order)) / size for v in values.T], axis=1)

    return Groups(count[order], wrap(pos[first].astype(float) + mean(apart), side), mean(vel[inside].astype(float)))


def overdensity(places, pos, side: float, radius: float) -> np.ndarray:
    """Overdensity [place] in spheres of ``radius`` around ``places`` [place, dim]: particles there over those expected,
    less 1.
    """
    tree = cKDTree(wrap(pos, side), boxsize=side, balanced_tree=False, compact_nodes=False)
    places = wrap(places, side)
    parts = [places[k : k + AT_ONCE] for k in range(0, len(places), AT_ONCE)]
    found = np.concatenate([tree.query_ball_point(p, radius, return_length=True) for p in parts])
    expected = len(pos) * 4 / 3 * np.pi * radius**3 / side**3
    return found / expected - 1
