"""Frames in a periodic box as graphs: every frame has its own edges, the pairs within the cutoff.

Neighbour lists are made in float64 when a frame is asked for and kept as long as there is
room: frames are drawn at random in training, so that those kept first serve as well as those used last. Lengths are
in the dataset's unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill.files.dataset import Dataset
from distill.physics.neighbours import Neighbours, batch, radius_graph
from distill.shell.errors import UserError
from distill.shell.paths import relative

CACHE_BYTES = 256 << 20  # of neighbour lists kept: about 600 frames of 258 atoms with 60 neighbours each
SAMPLE_FRAMES = 16  # for the mean distance and the mean number of edges


@dataclass(frozen=True)
class CutoffEdges:
    """Edges of a batch of frames, sorted by receiver; what ``models.Edges`` is for equal graphs, with ``dx``."""

    index: Tensor  # [2, edge] (sender, receiver), particle i of frame f is node f n + i
    reverse: Tensor | None  # [edge]
    dx: Tensor  # [edge, dim] float32, x_i - x_j through the nearest image, i the receiver
    degree: int = 0  # receivers have different numbers of senders


def cutoff_of(dataset: Dataset) -> float:
    """The cutoff of a dataset with a box; ``UserError`` if it has none."""
    if "cutoff" not in dataset.arrays:
        raise UserError(
            f"{relative(dataset.path)} has a periodic box and no 'cutoff': which pairs interact is not known",
            "add 'cutoff', at most half the shortest side, to the arrays",
        )
    return float(dataset.cutoff)


class FrameGraphs:
    """The graphs of ``pos [frame, particle, dim]`` in ``box [dim]``, pairs with r <= ``cutoff``.

    ``memory``: bytes of neighbour lists kept at most.
    """

    def __init__(self, pos: np.ndarray, box: np.ndarray, cutoff: float, device="cpu", memory: int = CACHE_BYTES):
        self.pos, self.box, self.cutoff, self.device = pos, np.asarray(box, dtype=float), float(cutoff), device
        self._kept: dict[int, Neighbours] = {}
        self._room = memory

    def neighbours(self, frame: int) -> Neighbours:
        """The edges of one frame: indices int32, ``dx`` and ``r`` float64."""
        found = self._kept.get(frame)
        if found is None:
            found = radius_graph(self.pos[frame], self.box, self.cutoff)
            found = Neighbours(
                *(a.astype(np.int32) for a in (found.sender, found.receiver, found.reverse)), found.dx, found.r
            )
            size = sum(a.nbytes for a in vars(found).values())
            if size <= self._room:
                self._kept[frame], self._room = found, self._room - size
        return found

    def edges(self, frames: Sequence[int], receivers: np.ndarray | None = None) -> CutoffEdges:
        """The edges of several frames as one graph, as tensors on the device; of the nodes ``receivers`` alone, if
        given: then no edge knows its reverse.
        """
        graph = self.joined(frames)[0]
        if receivers is None:
            return as_tensors(graph, self.device)
        chosen = np.zeros(len(frames) * self.pos.shape[1], dtype=bool)
        chosen[receivers] = True
        return as_tensors(graph, self.device, chosen[graph.receiver])

    def joined(self, frames: Sequence[int]) -> tuple[Neighbours, np.ndarray]:
        """As ``edges``, in arrays, with the number of edges of each frame."""
        return batch([self.neighbours(int(f)) for f in frames], self.pos.shape[1])

    def sample(self, power: float = 1.0) -> tuple[float, float, float]:
        """Mean and standard deviation of r^power over the edges of a few frames, and the mean number of edges a frame.

        ``UserError`` if there are no pairs within the cutoff.
        """
        some = np.unique(np.linspace(0, len(self.pos) - 1, SAMPLE_FRAMES).astype(int))
        r = [self.neighbours(k).r for k in some]
        count, r = float(np.mean([len(a) for a in r])), np.concatenate(r)
        if not len(r):
            raise UserError(f"no pair of particles comes within the cutoff {self.cutoff:g}", "use a larger 'cutoff'")
        scaled = r**power
        return float(scaled.mean()), float(scaled.std()) or 1.0, count


def graphs_of_split(dataset: Dataset, split: str, limit: int | None = None, device="cpu") -> FrameGraphs:
    """The graphs of a split, by trajectory and then frame; of ``limit`` frames as in ``spread_over``, if given."""
    pos = dataset.pos[dataset.trajectories(split)]
    pos = pos.reshape(-1, *pos.shape[2:])
    if limit and len(pos) > limit:
        pos = pos[spread_over(len(pos), limit)]
    return FrameGraphs(pos, dataset.box, cutoff_of(dataset), device)


def spread_over(count: int, limit: int) -> np.ndarray:
    """``limit`` indices spread evenly over ``count``."""
    return torch.linspace(0, count - 1, limit).long().numpy()


def as_tensors(graph: Neighbours, device="cpu", keep: np.ndarray | None = None) -> CutoffEdges:
    """``Neighbours`` (of one frame or joined) for the network; of the edges ``keep`` [edge] alone, if given."""
    index, dx = np.stack([graph.sender, graph.receiver]), graph.dx
    if keep is not None:
        index, dx = index[:, keep], dx[keep]
    reverse = None if keep is not None else torch.as_tensor(graph.reverse.astype(np.int64)).to(device)
    return CutoffEdges(
        torch.as_tensor(index.astype(np.int64)).to(device), reverse, torch.as_tensor(dx.astype(np.float32)).to(device)
    )
