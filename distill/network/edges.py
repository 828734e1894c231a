"""Edges of graphs, who sends to whom in the frames of a batch: all pairs, chains, and cutoffs in a periodic box.

Whatever evaluates a network asks an ``EdgeSource`` for the ``Edges`` of some frames; which kind of source there has
to be is decided in ``edges_for`` and ``edges_of`` alone. Edges are sorted by receiver; lengths are in the dataset's
unit.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill.files.dataset import Dataset
from distill.physics.neighbours import Neighbours, batch, minimum_image, radius_graph
from distill.shell.errors import UserError
from distill.shell.paths import relative

# of frames evaluated together, measured with the paper's network: fewer pay for calls, more for memory beyond the cache
EDGES_AT_ONCE = {"cpu": 4096, "cuda": 100_000}
# of neighbour lists kept: about 200 frames of 258 atoms with 60 neighbours each. Of thousands of frames, drawn at
# random, twice as many would serve one step in forty more, and be resident all the time
CACHE_BYTES = 128 << 20
SAMPLE_FRAMES = 16  # for the mean distance and the mean number of edges


@dataclass(frozen=True)
class Edges:
    """The edges of a batch of frames as one graph; particle i of frame f is node f n + i."""

    index: Tensor  # [2, edge] (sender, receiver)
    reverse: Tensor | None  # [edge], where the edge i -> j of the same pair stands; None: not there
    dx: Tensor | None = None  # [edge, dim], x_i - x_j through the nearest image; None: networks take it from positions
    degree: int = 0  # senders of every receiver, 0 if their numbers differ
    nodes: Tensor | None = None  # [node], all that predictions are wanted of; None: of every node


class EdgeSource:
    """The edges of frames of ``n`` particles, on ``device``. ``constant``: they are the same in every frame."""

    constant = False

    def __init__(self, n: int, device="cpu"):
        self.n, self.device = n, torch.device(device)

    def __call__(self, frames: Sequence[int], receivers: Tensor | None = None) -> Edges:
        """The edges of several frames as one graph; those to the nodes ``receivers``, if given, are enough."""
        raise NotImplementedError

    def arrays(self, frames: Sequence[int]) -> tuple[Neighbours, np.ndarray]:
        """The same edges with their geometry in 64 bits, and the number of edges of each frame."""
        raise NotImplementedError

    def count(self, frames: Sequence[int]) -> int:
        """Edges that these frames have together."""
        raise NotImplementedError

    def senders(self, frames: Sequence[int]) -> np.ndarray:
        """How many senders every particle has in these frames [frame, particle]."""
        graph, _ = self.arrays(frames)
        return np.bincount(graph.receiver, minlength=len(frames) * self.n).reshape(len(frames), self.n)

    def batches(self, frames: np.ndarray, edges: int | None = None) -> Iterator[np.ndarray]:
        """``frames`` in parts of about so many edges, a frame at least."""
        edges = edges or EDGES_AT_ONCE[self.device.type]
        size = max(1, edges // max(1, self.count(frames[:1])))
        return (frames[k : k + size] for k in range(0, len(frames), size))


class PairEdges(EdgeSource):
    """Every pair, or of a chain the neighbours k, k + 1. ``pos`` [frame, particle, dim] is for ``arrays`` alone."""

    constant = True

    def __init__(self, n: int, chain: bool = False, device="cpu", pos: np.ndarray | None = None):
        super().__init__(n, device)
        self.chain, self.pos = chain, pos
        self.a_frame = 2 * (n - 1) if chain else n * (n - 1)
        self._made: dict[int, Edges] = {}  # a step captured on a GPU holds on to them

    def __call__(self, frames, receivers=None):
        graphs = len(frames)
        if graphs not in self._made:
            self._made[graphs] = all_pairs(self.n, graphs, self.chain, self.device)
        return self._made[graphs]

    def arrays(self, frames):
        sender, receiver, reverse = _pairs(self.n, len(frames), self.chain)
        pos = self.pos[frames].reshape(-1, self.pos.shape[2])
        dx = pos.take(receiver, 0) - pos.take(sender, 0)
        return Neighbours(sender, receiver, reverse, dx, np.linalg.norm(dx, axis=1)), np.full(len(frames), self.a_frame)

    def count(self, frames):
        return self.a_frame * len(frames)

    def senders(self, frames):
        each = np.full(self.n, self.n - 1)
        if self.chain:
            each = np.r_[1, np.full(self.n - 2, 2), 1]
        return np.broadcast_to(each, (len(frames), self.n))


@functools.lru_cache(maxsize=8)
def _pairs(n: int, graphs: int, chain: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sender, receiver and position of the reverse [edge] of every pair in ``graphs`` equal graphs."""
    receiver, sender = np.nonzero(~np.eye(n, dtype=bool))
    if chain:
        near = np.abs(receiver - sender) == 1
        receiver, sender = receiver[near], sender[near]
    place = np.zeros((n, n), dtype=np.int64)
    place[receiver, sender] = np.arange(len(receiver))
    start = np.arange(graphs)[:, None]
    return tuple(
        (one + size * start).ravel()
        for one, size in ((sender, n), (receiver, n), (place[sender, receiver], len(sender)))
    )


@functools.lru_cache(maxsize=8)
def all_pairs(n: int, graphs: int = 1, chain: bool = False, device="cpu") -> Edges:
    """The constant edges of a batch of equal graphs of ``n`` particles."""
    sender, receiver, reverse = _pairs(n, graphs, chain)
    index = torch.as_tensor(np.stack([sender, receiver])).to(device)
    return Edges(index, torch.as_tensor(reverse).to(device), degree=n - 1 if not chain or n == 2 else 0)


class PresentEdges(PairEdges):
    """The same among the particles that are there: ``pos`` of others is NaN, and they have no edges."""

    constant = False

    def __init__(self, n: int, chain: bool, device, pos: np.ndarray):
        super().__init__(n, chain, device, pos)
        self.there = np.isfinite(pos).all(2)
        self._there = torch.as_tensor(self.there).to(self.device)

    def __call__(self, frames, receivers=None):
        every = super().__call__(frames)
        there = self._there[torch.as_tensor(frames, device=self.device)].flatten()
        keep = there[every.index].all(0)
        place = keep.cumsum(0) - 1
        return Edges(every.index[:, keep], place[every.reverse[keep]])

    def arrays(self, frames):
        sender, receiver, reverse = _pairs(self.n, len(frames), self.chain)
        there = self.there[frames].reshape(-1)
        keep = there[sender] & there[receiver]
        sender, receiver, reverse = sender[keep], receiver[keep], (np.cumsum(keep) - 1)[reverse[keep]]
        pos = self.pos[frames].reshape(-1, self.pos.shape[2])
        dx = pos.take(receiver, 0) - pos.take(sender, 0)
        counts = keep.reshape(len(frames), -1).sum(1)
        return Neighbours(sender, receiver, reverse, dx, np.linalg.norm(dx, axis=1)), counts

    def count(self, frames):
        return int(self.senders(frames).sum())

    def senders(self, frames):
        there = self.there[frames].astype(int)
        if not self.chain:
            return there * (there.sum(1, keepdims=True) - 1)
        around = np.pad(there, ((0, 0), (1, 1)))
        return there * (around[:, 2:] + around[:, :-2])


class FrameEdges(EdgeSource):
    """Frames with edges of their own: ``neighbours(frame)`` gives those of one."""

    def __init__(self, neighbours: Callable[[int], Neighbours], n: int, device="cpu"):
        super().__init__(n, device)
        self.neighbours = neighbours

    def __call__(self, frames, receivers=None):
        graph, _ = self.arrays(frames)
        index, dx, reverse = np.stack([graph.sender, graph.receiver]), graph.dx, graph.reverse
        if receivers is not None:
            chosen = np.zeros(len(frames) * self.n, dtype=bool)
            chosen[receivers.cpu().numpy()] = True
            keep = chosen[graph.receiver]
            index, dx, reverse = index[:, keep], dx[keep], None
        tensor = lambda array, kind: torch.as_tensor(array.astype(kind)).to(self.device)  # noqa: E731
        reverse = None if reverse is None else tensor(reverse, np.int64)
        return Edges(tensor(index, np.int64), reverse, tensor(dx, np.float32))

    def arrays(self, frames):
        return batch([self.neighbours(int(k)) for k in frames], self.n)

    def count(self, frames):
        return sum(len(self.neighbours(int(k)).r) for k in frames)


class CutoffEdges(FrameEdges):
    """The pairs with r <= ``cutoff`` in ``pos [frame, particle, dim]``, in the periodic box ``box [dim]``.

    Neighbour lists are made in float64 when a frame is asked for and kept as long as there is room, ``memory`` bytes:
    frames are drawn at random in training, so that those kept first serve as well as those used last. Where some
    receivers of one frame are asked for, only the numbers of the senders are kept, as many bytes again: a frame of
    thousands of particles has a million edges.
    """

    def __init__(self, pos: np.ndarray, box, cutoff: float, device="cpu", memory: int = CACHE_BYTES):
        super().__init__(self._neighbours, pos.shape[1], device)
        self.pos, self.box, self.cutoff = pos, np.asarray(box, dtype=float), float(cutoff)
        self._kept: dict[int, Neighbours] = {}
        self._of: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._room = self._room_of = memory

    def __call__(self, frames, receivers=None):
        if receivers is None or len(frames) != 1:
            return super().__call__(frames, receivers)
        start, senders = self._senders(frame := int(frames[0]))
        nodes = np.sort(receivers.cpu().numpy())
        count = start[nodes + 1] - start[nodes]
        i = np.repeat(nodes, count)
        j = senders[np.arange(len(i)) + np.repeat(start[nodes] - (np.cumsum(count) - count), count)].astype(np.int64)
        pos = np.asarray(self.pos[frame], dtype=float)
        dx = minimum_image(pos[i] - pos[j], self.box).astype(np.float32)
        index, dx = (torch.as_tensor(array).to(self.device) for array in (np.stack([j, i]), dx))
        return Edges(index, None, dx)

    def _senders(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Of one frame, where the senders of every particle start [particle + 1], and who they are [edge]."""
        found = self._of.get(frame)
        if found is None:
            graph = self._kept.get(frame) or self._edges(frame)
            start = np.concatenate([[0], np.cumsum(np.bincount(graph.receiver, minlength=self.n))])
            found = start, graph.sender.astype(np.int32)
            size = sum(a.nbytes for a in found)
            if size <= self._room_of:
                self._of[frame], self._room_of = found, self._room_of - size
        return found

    def _edges(self, frame: int) -> Neighbours:
        there = np.flatnonzero(np.isfinite(self.pos[frame]).all(1))
        found = radius_graph(self.pos[frame][there], self.box, self.cutoff)
        whole = (a.astype(np.int32) for a in (there[found.sender], there[found.receiver], found.reverse))
        return Neighbours(*whole, found.dx, found.r)

    def _neighbours(self, frame: int) -> Neighbours:
        """The edges of one frame: indices int32, ``dx`` and ``r`` float64."""
        found = self._kept.get(frame)
        if found is None:
            found = self._edges(frame)
            size = sum(a.nbytes for a in vars(found).values())
            if size <= self._room:
                self._kept[frame], self._room = found, self._room - size
        return found

    def sample(self, power: float = 1.0, unit: float = 1.0) -> tuple[float, float, float]:
        """Mean and standard deviation of (r/unit)^power over the edges of a few frames, and the mean number of edges a
        frame.

        ``UserError`` if there are no pairs within the cutoff.
        """
        some = np.unique(np.linspace(0, len(self.pos) - 1, SAMPLE_FRAMES).astype(int))
        r = [self.neighbours(k).r for k in some]
        count, r = float(np.mean([len(a) for a in r])), np.concatenate(r)
        if not len(r):
            raise UserError(f"no pair of particles comes within the cutoff {self.cutoff:g}", "use a larger 'cutoff'")
        scaled = (r / unit) ** power
        return float(scaled.mean()), float(scaled.std()) or 1.0, count


def edges_for(
    pos: np.ndarray, chain: bool = False, box=None, cutoff: float | None = None, device="cpu", memory: int = CACHE_BYTES
) -> EdgeSource:
    """The edges of ``pos [frame, particle, dim]``: within ``cutoff`` in a box, of a chain, or all pairs."""
    if box is None:
        kind = PairEdges if np.isfinite(pos).all() else PresentEdges
        return kind(pos.shape[1], chain, device, pos)
    return CutoffEdges(pos, box, cutoff, device, memory)


def graphs_of(dataset: Dataset, split: str = "all", limit: int | None = None) -> np.ndarray:
    """Numbers (trajectory x frames + frame) of the frames of a split that hold a pair, by trajectory and then frame; of
    ``limit``, if there are more, spread evenly. Where only positions are known, whole trajectories: windows need them.
    """
    if dataset.learnt is not None:
        every = dataset.frames(split)
        return every[spread_over(len(every), limit)] if limit and len(every) > limit else every
    trajectories, frames = dataset.trajectories(split), dataset.pos.shape[1]
    few = max(1, limit // frames) if limit else len(trajectories)
    trajectories = trajectories[spread_over(len(trajectories), few)] if len(trajectories) > few else trajectories
    return (trajectories[:, None] * frames + np.arange(frames)).ravel()


def edges_of(dataset: Dataset, graphs: np.ndarray | None = None, device="cpu") -> EdgeSource:
    """The edges of a dataset's frames by trajectory and then frame, or of the ``graphs`` of these numbers alone."""
    chain, pos = dataset.meta.system.neighbours_only, dataset.pos.reshape(-1, *dataset.pos.shape[2:])
    if not dataset.periodic and graphs is not None and np.isfinite(pos[graphs]).all():
        return PairEdges(dataset.n, chain, device)  # needs no copy of the positions
    pos = pos if graphs is None else pos[graphs]
    box = dataset.arrays.get("box")
    return edges_for(pos, chain, box, None if box is None else cutoff_of(dataset), device)


def cutoff_of(dataset: Dataset) -> float:
    """The cutoff of a dataset with a box; ``UserError`` if it has none."""
    if "cutoff" not in dataset.arrays:
        raise UserError(
            f"{relative(dataset.path)} has a periodic box and no 'cutoff': which pairs interact is not known",
            "add 'cutoff', at most half the shortest side, to the arrays",
        )
    return float(dataset.cutoff)


def spread_over(count: int, limit: int) -> np.ndarray:
    """``limit`` indices spread evenly over ``count``."""
    return torch.linspace(0, count - 1, limit).long().numpy()
