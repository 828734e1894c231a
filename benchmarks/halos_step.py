"""A step of the paper's network of haloes on many edges: seconds, edges a second and memory, ours and a plain one.

``ours`` is the stage of training itself, whose gradients add up over parts of the receivers; ``plain`` the edge model
on the concatenated features of both ends, on all edges at once, as a loop in PyG is usually written. The latter has a
tenth of the edges: its memory grows with them.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch_geometric.nn import MessagePassing

from distill.files.dataset import load_dataset
from distill.halos.catalogue import dataset_arrays
from distill.halos.planted import planted
from distill.network.learning.steps import Stepper
from distill.network.learning.training import Trainer
from distill.pipeline.train import resolve

HALOES, SIDE, CUTOFF = 6600, 270.0, 50.0  # about a million edges
HIDDEN, COMPONENTS, STEPS = 500, 100, 2
TENTH = 10


class Plain(MessagePassing):
    """The network of the paper as its code has it."""

    def __init__(self, inputs: int):
        super().__init__(aggr="add")

        def mlp(a, b):
            layers = [nn.Linear(a, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
            return nn.Sequential(*layers, nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, b))

        self.edge, self.node = mlp(2 * inputs, COMPONENTS), mlp(inputs + COMPONENTS, 1)

    def forward(self, x, index):
        return self.node(torch.cat([x, self.propagate(index, x=x, size=(len(x), len(x)))], 1))

    def message(self, x_i, x_j):
        return self.edge(torch.cat([x_i, x_j], 1))


def step(name: str) -> dict:
    """Measured in this process, whose memory is that of the step: a row for one of the two."""
    torch.manual_seed(0)
    before = memory()
    with tempfile.TemporaryDirectory() as folder:
        run, edges = ours(Path(folder)) if name == "ours" else plain()
        run()  # memory and caches are there
        start = time.perf_counter()
        for _ in range(STEPS):
            run()
    seconds = (time.perf_counter() - start) / STEPS
    out = {"edges": edges, "seconds": seconds, "edges_a_second": edges / seconds, "gigabytes": memory()}
    return {f"{name}_{k}": v for k, v in (out | {"gigabytes_before": before}).items()}


def ours(folder: Path):
    boxes = [planted(k, HALOES, SIDE, 10.0)[0] for k in (0, 1)]
    path = folder / "step.npz"
    np.savez(path, **dataset_arrays(boxes, [0, 1], CUTOFF))
    data = load_dataset(str(path))
    options = resolve(data, "l1", "paper", {}, False) | {"receivers": 0, "epochs": 10}
    trainer = Trainer(data, "l1", options, 0, "cpu", "float32", folder / "checkpoint", {}, False)
    stepper, done = Stepper([trainer]), iter(range(100))
    return lambda: stepper.step(next(done)), trainer.data.edges.count([0])


def plain():
    network, rng = Plain(8), np.random.default_rng(0)
    nodes, edges = HALOES // TENTH, 1_000_000 // TENTH
    x, y = (torch.as_tensor(rng.normal(size=(nodes, k)), dtype=torch.float32) for k in (8, 1))
    index = torch.as_tensor(rng.integers(0, nodes, (2, edges)))
    adam = torch.optim.Adam(network.parameters())

    def run():
        adam.zero_grad()
        (network(x, index) - y).abs().mean().backward()
        adam.step()

    return run, edges


def memory() -> float:
    """Largest so far, of this process, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
