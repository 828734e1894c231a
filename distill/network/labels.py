"""What predicted accelerations are compared with: known ones, frame by frame, or windows of frames.

A window (``distill.windows``) is a weighted mean of one particle's accelerations over K frames, of which the positions
that were seen tell the value with a known noise. To compare windows a network needs stretches of neighbouring frames:
it predicts every frame of a stretch once, and all the windows in it are combined from the same predictions. A known
acceleration is a window of one frame, and a stretch of one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from distill.files.dataset import Dataset

STRETCH = 2  # lengths of a window: of windows one after the other every prediction would serve one only
ALL_OF_THEM = 4  # of all windows, that many begin in the length of one
AT_ONCE = 2048


@dataclass
class Labels:
    """Labels of whole trajectories of ``frames`` frames, or of single frames (1) where accelerations are known: graph g
    is frame g % frames of trajectory g // frames. A window is known by the graph that it begins with, and its particle.

    ``acc`` [graph, particle, dim]: known accelerations, or targets of windows; 0 where there is none. ``there`` [graph,
    particle]: 0 there; None: there is none such. ``omega`` [K], or [graph, particle, K]: weights of a window's frames,
    which add up to 1; None: accelerations are known. ``noise`` [graph, particle]: standard deviation of a component of
    ``acc``; None: not known.
    """

    acc: Tensor
    frames: int = 1
    there: Tensor | None = None
    omega: Tensor | None = None
    noise: Tensor | None = None

    def __post_init__(self):
        device = self.acc.device
        self.across = 1 if self.omega is None else self.omega.shape[-1]  # frames of a window
        self.length = min(STRETCH * self.across, self.frames)  # frames of a stretch
        self.frame = torch.arange(self.length, device=device)
        self.offsets = torch.arange(self.length - self.across + 1, device=device)  # of the windows in a stretch
        place = self.frame - self.offsets[:, None]  # in a window, of every frame of its stretch
        self.place = torch.where((place >= 0) & (place < self.across), place, self.across)

    # ------------------------------------------------------------ stretches

    def stretches(self) -> Tensor:
        """Graphs [stretch] that a stretch may begin with, as often as each is to be drawn.

        Windows near the ends of a trajectory lie in few stretches: the first and the last are drawn more often.
        """
        starts = torch.arange(0, len(self.acc), self.frames, device=self.acc.device)
        if self.omega is None:
            return starts
        last, beyond = self.frames - self.length, (len(self.offsets) - 1) // 2
        start = torch.arange(-beyond, last + beyond + 1, device=starts.device).clamp(0, last)
        every = (starts[:, None] + start).flatten()
        return every[self.largest(self.there.amax(1), every) > 0]

    def graphs(self, stretch: Tensor) -> Tensor:
        """The frames of stretches [..., stretch] one after the other [..., graph]."""
        return stretch if self.length == 1 else (stretch[..., None] + self.frame).flatten(-2)

    def first(self, stretch: Tensor) -> Tensor:
        """The graphs [..., window] that the windows of stretches [..., stretch] begin with."""
        return stretch if self.length == 1 else (stretch[..., None] + self.offsets).flatten(-2)

    def largest(self, values: Tensor, stretch: Tensor) -> Tensor:
        """Of ``values`` [graph] of windows, the largest in each stretch [stretch]."""
        if self.length == 1:
            return values[stretch]
        return torch.cat([values[part[:, None] + self.offsets].amax(1) for part in stretch.split(AT_ONCE)])

    def of(self, stretch: Tensor) -> dict[str, Tensor]:
        """The windows of stretches [..., stretch], by name of the field: [..., window, particle, ...]."""
        first = self.first(stretch)
        return {name: values[first] for name, values in self._tables().items()}

    def _tables(self) -> dict[str, Tensor]:
        fields = {"acc": self.acc, "there": self.there, "noise": self.noise}
        if self.omega is not None and self.omega.dim() > 1:
            fields["omega"] = self.omega
        return {name: values for name, values in fields.items() if values is not None}

    def combine(self, pred: Tensor, of: dict[str, Tensor]) -> Tensor:
        """What ``pred`` [node, dim] on the ``graphs`` of some stretches makes of their windows, ``of`` them: [window,
        particle, dim].
        """
        n = of["acc"].shape[-2]
        if self.omega is None:
            return pred.view(-1, n, pred.shape[-1])
        pred = pred.view(-1, self.length, n, pred.shape[-1])
        if "omega" not in of:
            return torch.einsum("wl,slnd->swnd", pad(self.omega, (0, 1))[self.place], pred).flatten(0, 1)
        omega = pad(of["omega"], (0, 1)).view(len(pred), len(self.offsets), n, self.across + 1)
        place = self.place[None, :, None].expand(len(pred), -1, n, -1)
        return torch.einsum("swnl,slnd->swnd", omega.gather(-1, place), pred).flatten(0, 1)

    # ------------------------------------------------------------ all of them

    def whole(self, pred: Tensor, **beside: Tensor) -> dict[str, Tensor]:
        """All labels by name as in ``of``, beside them ``pred``, what predictions [graph, particle, dim] of all graphs
        make of them, and tables [graph, particle] like theirs. Of windows, which overlap, some.
        """
        tables = self._tables() | beside
        if self.omega is None:
            return tables | {"pred": pred}
        step = max(1, self.across // ALL_OF_THEM)
        start = torch.arange(0, self.frames - self.across + 1, step, device=pred.device)
        first = (torch.arange(0, len(pred), self.frames, device=pred.device)[:, None] + start).flatten()
        out = {name: values[first] for name, values in tables.items() if name != "omega"}
        return out | {"pred": torch.cat([self._window(pred, part) for part in first.split(AT_ONCE)])}

    def _window(self, pred: Tensor, first: Tensor) -> Tensor:
        of_frames = pred[first[:, None] + torch.arange(self.across, device=pred.device)]
        if self.omega.dim() == 1:
            return torch.einsum("k,wknd->wnd", self.omega, of_frames)
        return torch.einsum("wnk,wknd->wnd", self.omega[first], of_frames)

    def present(self) -> Tensor:
        """``acc`` [row, dim] where there is one."""
        return self.acc.flatten(0, 1) if self.there is None else self.acc[self.there > 0]

    def mean(self, particles: list[int]) -> Tensor:
        """Mean of ``acc`` [dim] over these particles."""
        acc = self.acc[:, particles].double()
        return acc.mean((0, 1)) if self.there is None else acc[self.there[:, particles] > 0].mean(0)

    def sizes(self) -> Tensor:
        """Components of ``acc`` [graph, particle, dim] without their signs, and without what is noise of them."""
        if self.noise is None:
            return self.acc.abs()
        return (self.acc.square() - self.noise.square()[..., None]).clamp(min=0).sqrt()


def labels_of(dataset: Dataset, graphs: np.ndarray, device, unit: float = 1.0) -> Labels:
    """The labels, in units of ``unit``, of the frames of these numbers (``edges.graphs_of``): known accelerations, or
    windows of whole trajectories.
    """
    if "acc" in dataset.arrays:
        acc = dataset.acc.reshape(-1, *dataset.acc.shape[2:])[graphs] / unit
        there = np.isfinite(acc).all(-1)
        tables = [np.nan_to_num(acc), None if there.all() else there]
        acc, there = (None if a is None else torch.as_tensor(a.astype(np.float32)).to(device) for a in tables)
        return Labels(acc, there=there)
    raise NotImplementedError
