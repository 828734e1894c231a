"""The original way of training, written anew from the description of Cranmer et al. 2020 and its code's settings.

Per-graph objects in a ``DataLoader``, concatenated features into the edge model, PyTorch Geometric's gather and
scatter, plain Adam with weight decay 1e-8 and a one-cycle schedule, a random translation of each batch, summed
absolute errors, and the loss read back after every step. No penalty: the ``standard`` variant.
"""

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import MessagePassing


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Three hidden ReLU layers, as in the authors' code."""
    sizes = (inputs, width, width, width)
    hidden = [layer for a, b in zip(sizes, sizes[1:], strict=False) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


class OriginalNetwork(MessagePassing):
    """Messages from the two ends' features; accelerations from a particle's features and its summed messages."""

    def __init__(self, dim: int, message_dim: int = 100, hidden: int = 300):
        super().__init__(aggr="add")
        features = 2 * dim + 2
        self.edge_model = mlp(2 * features, hidden, message_dim)
        self.node_model = mlp(features + message_dim, hidden, dim)

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x, size=(x.size(0), x.size(0)))

    def message(self, x_i, x_j):
        return self.edge_model(torch.cat([x_i, x_j], 1))

    def update(self, total, x):
        return self.node_model(torch.cat([x, total], 1))


class OriginalTraining:
    """``steps(k)`` trains k batches. ``x`` [graph, particle, 2 dim + 2], ``acc`` [graph, particle, dim]."""

    def __init__(self, x, acc, dim: int, batch: int, hidden: int = 300, message_dim: int = 100, total: int = 100_000):
        n = x.shape[1]
        self.dim, self.batch = dim, batch
        pairs = [(j, i) for i in range(n) for j in range(n) if i != j]
        edge_index = torch.tensor(pairs).T.contiguous()
        graphs = [
            Data(x=torch.as_tensor(a), y=torch.as_tensor(b), edge_index=edge_index) for a, b in zip(x, acc, strict=True)
        ]
        self.loader = DataLoader(graphs, batch_size=batch, shuffle=True, drop_last=True)
        self.network = OriginalNetwork(dim, message_dim, hidden)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, weight_decay=1e-8)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, 1e-3, total_steps=total, final_div_factor=1e5
        )
        self.total_loss, self._batches = 0.0, iter(())

    def _next(self):
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.loader)
            batch = next(self._batches)
        return batch

    def steps(self, count: int) -> float:
        """Train ``count`` batches; the mean loss of a graph over them."""
        self.total_loss = 0.0
        for _ in range(count):
            graphs = self._next()
            shift = 3 * torch.randn(1, self.dim)
            x = torch.cat([graphs.x[:, : self.dim] + shift, graphs.x[:, self.dim :]], 1)
            self.optimizer.zero_grad()
            loss = (self.network(x, graphs.edge_index) - graphs.y).abs().sum() / self.batch
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            self.total_loss += loss.item()
        return self.total_loss / count
