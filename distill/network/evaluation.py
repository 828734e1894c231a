"""A trained network as a function of states: what everything outside training evaluates it by."""

import copy
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from distill.files.dataset import Dataset
from distill.network.data import Inputs
from distill.network.edges import Edges, EdgeSource, PairEdges, cutoff_of, edges_for

AT_ONCE = 65_536  # edges of a graph that are evaluated at once, where it has more than there may be memory for


@torch.no_grad()
def accelerations(model, source: EdgeSource, pos, vel, properties, t=0.0) -> np.ndarray:
    """Predicted accelerations in the unit of the data, shaped as ``pos, vel [frame, particle, dim]``, a few frames at
    a time.

    ``source``: the edges of these frames; ``properties``: name -> [frame, particle], the network's at least; ``t``: the
    time, a number or [frame].
    """
    parameter = next(model.parameters())
    inputs = Inputs.of(model.config)
    x = torch.as_tensor(inputs.features(pos, vel, properties, model.config.properties, t)).to(parameter)
    parts = source.batches(np.arange(len(x)))
    out = [model(x[part].flatten(0, 1), source(part))[0] for part in parts]
    return inputs.scales.output * torch.cat(out).reshape(pos.shape).double().cpu().numpy()


def told_in_parts(model, nodes: torch.Tensor, edges: Edges) -> dict[str, torch.Tensor]:
    """``models.GNN.told`` without shares of a graph with many edges, some receivers at a time: memory is that of
    ``AT_ONCE`` edges, or of one receiver's.
    """
    receiver, parts = edges.index[1], []
    ends = receiver[AT_ONCE - 1 :: AT_ONCE].unique().tolist()
    for low, high in itertools.pairwise(sorted({0, *ends, len(nodes)})):
        bounds = torch.tensor([low, high], device=receiver.device)
        a, b = torch.searchsorted(receiver, bounds).tolist()
        own = torch.arange(low, high, device=receiver.device)
        parts.append(model.told(nodes, Edges(edges.index[:, a:b], None, edges.dx[a:b], nodes=own), False))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


class Canonical(NamedTuple):
    """A network's H, as functions of places and momenta [frame, particle, dim] and properties, in the units of the data
    and in float64: (dH/dp, T [frame]) and (-dH/dq, V [frame]), T + V = H.
    """

    motion: Callable
    force: Callable


def canonical(model, dataset: Dataset) -> Canonical | None:
    """None for a network without energies, for one that loses them, and in a box."""
    if not model.config.energies or model.config.dissipative or dataset.periodic:
        return None
    model = copy.deepcopy(model).double()
    inputs, device = Inputs.of(model.config), next(model.parameters()).device
    scales, source = inputs.scales, PairEdges(dataset.n, dataset.meta.system.neighbours_only, device)

    def function(what: Callable, unit: float):
        @torch.no_grad()
        def of(q, p, properties):
            vel = p / np.asarray(properties["mass"])[..., None]
            x = torch.as_tensor(inputs.features(q, vel, properties, model.config.properties)).to(device).flatten(0, 1)
            slope, energy = (
                values.reshape(*q.shape[:2], -1).cpu().numpy() for values in what(x, source(range(len(q))))
            )
            return unit * slope, model.config.message_unit * energy.sum((1, 2))

        return of

    force = scales.of("mass") * scales.acceleration
    return Canonical(function(model.motions, scales.speed), function(model.forces, force))


def network_acceleration(model, dataset: Dataset, double: bool = False):
    """The network as a function (pos, vel, properties, box=None, t=0.0) -> accelerations, shapes as there.

    Its edges are as in the ``dataset`` that it learnt from: a chain's, all pairs, or in a box those within the cutoff,
    of which a ``UserError`` says that it is missing. ``double``: computed in float64, so that the step control of a
    rollout does not see rounding.
    """
    if double:
        model = copy.deepcopy(model).double()
    device, chain = next(model.parameters()).device, dataset.meta.system.neighbours_only

    def function(pos, vel, properties, box=None, t=0.0):
        cutoff = None if box is None else cutoff_of(dataset)
        source = edges_for(pos, chain, box, cutoff, device, memory=0)
        return accelerations(model, source, pos, vel, properties, t)

    return function
