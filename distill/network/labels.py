"""What predicted accelerations are compared with: known ones, frame by frame, or windows of frames.

A window (``distill.windows``) is a weighted mean of one particle's accelerations over K frames, of which the positions
that were seen tell the value with a known noise. To compare windows a network needs stretches of neighbouring frames:
it predicts every frame of a stretch once, and all the windows in it are combined from the same predictions. A known
acceleration is a window of one frame, and a stretch of one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from distill.files.dataset import Dataset
from distill.windows.of_dataset import windows_of
from distill.windows.unresolved import RESOLVED, alternating

STRETCH = 2  # lengths of a window: of windows one after the other every prediction would serve one only
SHORTEST = 5  # frames of the shortest windows
ALL_OF_THEM = 4  # of all windows, that many begin in the length of one
AT_ONCE = 2048
ALIKE = 1e-6  # weights of windows that differ by less are the same
PARTICLES_AT_ONCE = 1 << 18  # of graphs whose tables are computed together


def typical_size(sizes: Tensor) -> float:
    """The median of those that are not 0, 1 where all are."""
    some = sizes[sizes > 0]
    return float(some.median()) if len(some) else 1.0


@dataclass
class Labels:
    """Labels of whole trajectories of ``frames`` frames, or of single frames (1) where accelerations are known: graph g
    is frame g % frames of trajectory g // frames. A window is known by the graph that it begins with, and its particle.

    ``acc`` [graph, particle, dim]: known accelerations, or targets of windows; 0 where there is none. ``there`` [graph,
    particle]: 0 there; None: there is none such. ``omega`` [K], or [graph, particle, K]: weights of a window's frames,
    which add up to 1, and ``between``, like it, those of ``windows.unresolved.alternating``; None: accelerations are
    known. ``noise`` [graph, particle]: standard deviation of a component of
    ``acc``; None: not known. ``length``: frames of a stretch, K at least.
    """

    acc: Tensor
    frames: int = 1
    there: Tensor | None = None
    omega: Tensor | None = None
    between: Tensor | None = None
    noise: Tensor | None = None
    length: int = 1

    def __post_init__(self):
        device = self.acc.device
        self.across = 1 if self.omega is None else self.omega.shape[-1]  # frames of a window
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
            fields |= {"omega": self.omega, "between": self.between}
        return {name: values for name, values in fields.items() if values is not None}

    def combine(self, pred: Tensor, of: dict[str, Tensor]) -> dict[str, Tensor]:
        """``of`` the windows of some stretches, with ``pred`` [window, particle, dim], what predictions [node, dim] on
        their ``graphs`` make of them, and ``noise`` with what frames miss of these (``windows.unresolved``).
        """
        n = of["acc"].shape[-2]
        if self.omega is None:
            return of | {"pred": pred.view(-1, n, pred.shape[-1])}
        pred = pred.view(-1, self.length, n, pred.shape[-1])
        mean = self._weighted(pred, of.get("omega", self.omega))
        missed = self._weighted(pred.detach(), of.get("between", self.between))
        return of | {"pred": mean, "noise": with_missed(of["noise"], missed)}

    def _weighted(self, pred: Tensor, weights: Tensor) -> Tensor:
        """Sums [window, particle, dim] of ``pred`` [stretch, frame, particle, dim] over windows."""
        weights = pad(weights, (0, 1))
        if weights.dim() == 1:
            return torch.einsum("wl,slnd->swnd", weights[self.place], pred).flatten(0, 1)
        weights = weights.view(len(pred), len(self.offsets), -1, self.across + 1)
        place = self.place[None, :, None].expand(len(pred), -1, weights.shape[2], -1)
        return torch.einsum("swnl,slnd->swnd", weights.gather(-1, place), pred).flatten(0, 1)

    # ------------------------------------------------------------ all of them

    def some(self, graphs: Tensor) -> "Labels":
        """Those of ``graphs`` [graph], whole trajectories where they are of windows."""
        tables = {name: values[graphs] for name, values in self._tables().items()}
        return replace(self, **tables)

    def windows(self) -> Tensor:
        """The graphs [row] that the windows of ``whole`` begin with: some of all, which overlap; known accelerations
        are windows of one frame.
        """
        step = max(1, self.across // ALL_OF_THEM)
        start = torch.arange(0, self.frames - self.across + 1, step, device=self.acc.device)
        return (torch.arange(0, len(self.acc), self.frames, device=self.acc.device)[:, None] + start).flatten()

    def means(self, values: Tensor) -> Tensor:
        """Of ``values`` [graph, particle, column] the weighted means [row, particle, column] over each of the
        ``windows``.
        """
        return values if self.omega is None else self._sums(values, self.windows(), self.omega)

    def whole(self, pred: Tensor, **beside: Tensor) -> dict[str, Tensor]:
        """All labels by name as ``combine`` has them of predictions [graph, particle, dim] of all graphs, and tables
        ``beside`` [graph, particle] like theirs. Of windows, which overlap, some; those are not there of which frames
        miss more than ``RESOLVED``, and than their noise is: nothing would be right about them.
        """
        tables = self._tables() | beside
        if self.omega is None:
            return tables | {"pred": pred}
        first = self.windows()
        out = {name: values[first] for name, values in tables.items() if name not in ("omega", "between")}
        found, rest = (self._sums(pred, first, w) for w in (self.omega, self.between))
        noise, size = with_missed(out["noise"], rest), out["acc"].norm(dim=-1)
        most = out["noise"].square() + (RESOLVED * (size + size[out["there"] > 0].median())).square()
        resolved = rest.square().mean(-1) <= most
        if (resolved & (out["there"] > 0)).any():
            out["there"] = out["there"] * resolved
        return out | {"pred": found, "noise": noise}

    def _sums(self, pred: Tensor, first: Tensor, weights: Tensor) -> Tensor:
        """Of [graph, particle, column] over the windows that begin with the graphs ``first`` [row]."""
        return torch.cat([self._sum(pred, part, weights) for part in first.split(AT_ONCE)])

    def _sum(self, pred: Tensor, first: Tensor, weights: Tensor) -> Tensor:
        of_frames = pred[first[:, None] + torch.arange(self.across, device=pred.device)]
        if weights.dim() == 1:
            return torch.einsum("k,wknd->wnd", weights, of_frames)
        return torch.einsum("wnk,wknd->wnd", weights[first], of_frames)

    def present(self) -> Tensor:
        """``acc`` [row, dim] where there is one."""
        return self.acc.flatten(0, 1) if self.there is None else self.acc[self.there > 0]

    def typical(self) -> float:
        """``typical_size`` of ``acc``. Where particles are often out of reach of all others, the median of all would be
        next to nothing, and a loss in units of it would ask for no force at all.
        """
        return typical_size(torch.linalg.vector_norm(self.present(), dim=1))

    def mean(self, particles: list[int]) -> Tensor:
        """Mean of ``acc`` [dim] over these particles."""
        acc = self.acc[:, particles].double()
        return acc.mean((0, 1)) if self.there is None else acc[self.there[:, particles] > 0].mean(0)

    def sizes(self) -> Tensor:
        """Components of ``acc`` [graph, particle, dim] without their signs, and without what is noise of them."""
        if self.noise is None:
            return self.acc.abs()
        return (self.acc.square() - self.noise.square()[..., None]).clamp(min=0).sqrt()


def with_missed(noise: Tensor, missed: Tensor) -> Tensor:
    """``noise`` [...] of a component together with what frames miss between them, ``missed`` [..., dim]."""
    return (noise.square() + missed.square().mean(-1)).sqrt()


def labels_of(dataset: Dataset, graphs: np.ndarray, device, unit: float = 1.0) -> Labels:
    """The labels, in units of ``unit``, of the frames of these numbers (``edges.graphs_of``): known accelerations (or
    the numbers that stand in their place, ``Dataset.learnt``), or windows of whole trajectories.
    """
    if dataset.learnt is not None:
        known = dataset.learnt.reshape(-1, dataset.n, dataset.outputs)
        there = in_parts(graphs, dataset.n, lambda part: np.isfinite(known[part] / unit).all(-1))
        acc = in_parts(graphs, dataset.n, lambda part: np.nan_to_num(known[part] / unit))
        tables = [acc, None if there.all() else there]
        acc, there = (None if a is None else torch.as_tensor(a).to(device) for a in tables)
        return Labels(acc, there=there)
    return _of_windows(dataset, graphs, device, unit)


def in_parts(graphs: np.ndarray, n: int, table: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``table(graphs)`` [graph, ...] as float32, made of a part of the graphs, of ``n`` particles each, at a time: what
    is computed in 64 bits on the way takes several times the memory of what is kept.
    """
    size = max(1, PARTICLES_AT_ONCE // n)
    first = table(graphs[:size]).astype(np.float32)
    if len(graphs) <= size:
        return first
    out = np.empty((len(graphs), *first.shape[1:]), np.float32)
    out[:size] = first
    for k in range(size, len(graphs), size):
        out[k : k + size] = table(graphs[k : k + size])
    return out


def finer_than(labels: Labels, dataset: Dataset, graphs: np.ndarray, device, unit: float = 1.0) -> list[Labels]:
    """The labels of the same frames by shorter windows, each about half as long as the one before.

    Noise buries what short windows say of most accelerations, but not of the large ones of close encounters, and there
    only short windows say when they were.
    """
    out, across = [], labels.across // 2 | 1
    while labels.omega is not None and SHORTEST <= across < labels.across:
        out.append(_of_windows(dataset, graphs, device, unit, across, labels.length))
        across = across // 2 | 1
    return out


def _of_windows(dataset: Dataset, graphs: np.ndarray, device, unit: float, across=None, length=None) -> Labels:
    """Windows as tables [graph, particle] by the graph that each begins with."""
    found = windows_of(dataset, np.unique(graphs // dataset.pos.shape[1]), across, step=1)
    frames, n = dataset.pos.shape[1:3]
    begin = np.searchsorted(graphs, found.trajectory * frames + found.start), found.particle
    times, length = dataset.times, length or min(STRETCH * found.omega.shape[1], frames)

    def table(values):
        out = np.zeros((len(graphs), n, *values.shape[1:]), np.float32)
        out[begin] = values
        return torch.as_tensor(out).to(device)

    weights = [found.omega, alternating(found.omega, times[found.trajectory[:, None], found.frames])]
    if (abs(found.omega - found.omega[:1]) <= ALIKE).all():  # evenly spaced, and nothing missing
        weights = [torch.as_tensor(w[0].astype(np.float32)).to(device) for w in weights]
    else:
        weights = [table(w) for w in weights]
    acc, noise = table(found.target / unit), table(found.noise / unit)
    return Labels(acc, frames, table(np.ones(len(found))), *weights, noise, length)
