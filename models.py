"""The graph network and its message heads.

One ``GNN`` on PyG's ``MessagePassing``; a *variant* is its message head and penalty, a *recipe*
(``distill/recipes.py``) is the set of options it is built and trained with. No files, no argparse.

Conventions: node features ``x`` are ``[pos, vel, charge, mass]`` (``2 dim + 2`` columns, the order
of Cranmer et al. 2020); ``edge_index[0]`` is the sender j, ``edge_index[1]`` the receiver i, as in
PyG; the network predicts the acceleration of every particle.
"""

from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing

from distill.network.layers import Antisymmetric, FirstLayer, activation_layer, after_first, mlp, mlp_rows


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build a ``GNN``. The options and what each assumes:

    antisymmetric          e_ij = -e_ji: Newton's third law. It also removes the gauge freedom by which
                           a network may send A(x_i) F_ij + b(x_i) and undo A and b in the node model.
    translation_invariant  positions enter only as x_j - x_i, and not in the node model.
    geometric_inputs       the edge model also sees d/r and log r: forces along the line of centres.
    exp_gate               one factor exp(s) scales all components: forces span orders of magnitude.
    linear_node            a_i = M(x_i) sum_j e_ij + c(x_i): forces superpose.
    log_mass               log m in place of m: masses are positive and span orders of magnitude.
    acc_scale              typical acceleration, a unit for the output (1 in the paper).
    periodic               a periodic box, where a position by itself means nothing: the edge model sees d/r and
                           (r^p - r_mean)/r_spread of the nearest image in place of positions and of log r, p =
                           ``r_power``, the node model no positions. Goes with translation_invariant and
                           geometric_inputs.
    edge_model             layers of the edge model, H = ``hidden``; github.com/BernardoRicci/symbolic_deep_learning
                           has the last two, with H = 300 and 100 components:
                           mlp   ``depth`` hidden layers of H units (the paper);
                           pm    "Plus-Minus": hidden layers of H, 3 H/2, 2 H, 3 H/2 and H units;
                           cust  "Custom": x = ReLU(Lin(inputs)) of H units, then Lin([Lin(1/(x + 1)),
                                 Lin(1/(x + 1)^2)]): forces that fall with a power of the distance.
    """

    dim: int
    message_dim: int
    hidden: int = 300
    depth: int = 3  # hidden layers of each MLP; the paper says two, its code has three
    activation: str = "relu"
    edge_model: str = "mlp"
    gaussian: bool = False  # the kl head: messages are sampled from N(mean, exp(logvar)) in training
    antisymmetric: bool = False
    translation_invariant: bool = False
    geometric_inputs: bool = False
    exp_gate: bool = False
    linear_node: bool = False
    log_mass: bool = False
    acc_scale: float = 1.0
    periodic: bool = False
    r_power: float = 1.0  # with ``periodic`` only, as the next two
    r_mean: float = 0.0  # mean of r^p over the pairs in the training data, r in their unit
    r_spread: float = 1.0  # its standard deviation

    def as_dict(self) -> dict:
        return asdict(self)


class GNN(MessagePassing):
    """Graph network of Cranmer et al. 2020 (eqs. 1-3): edge model, sum over senders, node model.

    The MLPs have ``depth`` hidden layers of ``hidden`` units. ``active`` [message_dim] masks
    components; pruning and relaxation clear entries of it and a cleared entry never returns.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(aggr="add", flow="source_to_target")
        self.config = config
        c, dim, width = config, config.dim, config.hidden
        outputs = config.message_dim * (2 if c.gaussian else 1) + int(c.exp_gate)
        properties = dim + 2  # velocity, charge, mass
        if c.periodic and not (c.translation_invariant and c.geometric_inputs):
            raise ValueError("a network for a periodic box needs translation_invariant and geometric_inputs")
        scale = (c.r_power, c.r_mean, c.r_spread) if c.periodic else None
        self.edge_in = FirstLayer(dim, properties, width, c.translation_invariant, c.geometric_inputs, scale)
        self.edge_mlp = after_first(c.edge_model, width, c.depth, outputs, c.activation)
        node_inputs = properties if c.translation_invariant else properties + dim
        if c.linear_node:
            self.node_mlp = mlp(node_inputs, [width] * c.depth, dim * (c.message_dim + 1), c.activation)
        else:
            self.node_mlp = mlp(node_inputs + c.message_dim, [width] * c.depth, dim, c.activation)
        self.activation = activation_layer("relu" if c.edge_model == "cust" else c.activation)
        self.register_buffer("active", torch.ones(c.message_dim))
        self._kept_at: tuple = (None, None)

    def features(self, x: Tensor) -> Tensor:
        """Node features as the MLPs see them: ``x`` with log m in the last column if asked for."""
        return torch.cat([x[:, :-1], x[:, -1:].log()], 1) if self.config.log_mass else x

    def messages(self, x: Tensor, edge_index: Tensor, reverse: Tensor | None = None, dx: Tensor | None = None):
        """Messages of every edge: ``(message [edge, component], logvar or None)``, 0 where masked.

        ``reverse[k]`` is the position of edge (j <- i) for edge k = (i <- j); needed when
        ``antisymmetric``. For ``kl`` the message is the mean; noise is added in ``forward``.
        ``dx`` [edge, dim], x_i - x_j through the nearest image, is needed when ``periodic``, and only then:
        ``ValueError`` otherwise.
        """
        message, logvar = self._kept_messages(x, edge_index, reverse, dx)
        return tuple(None if part is None else self.spread(part) for part in (message, logvar))

    def _kept_messages(self, x, edge_index, reverse, dx=None):
        """As ``messages`` for the active components alone: masked ones cost nothing."""
        if (dx is not None) != self.config.periodic:
            raise ValueError("dx of every edge is what a network for a periodic box needs, and no other")
        h = self.features(x)
        receiver, sender = self.edge_in.parts(h)
        position = x[:, : self.config.dim] if dx is None else None
        out = self.edge_updater(edge_index, receiver=receiver, sender=sender, position=position, dx=dx)
        logvar = None
        if self.config.exp_gate:
            out, gate = out[:, :-1], out[:, -1:].clamp(-15, 15).exp()
        if self.config.gaussian:
            # logvar is clamped only against overflow of exp
            out, logvar = out[:, 0::2], out[:, 1::2].clamp(-30, 30)
        if self.config.exp_gate:
            out = out * gate
        if self.config.antisymmetric:
            if reverse is None:
                raise ValueError("an antisymmetric network needs the index of each edge's reverse")
            out = Antisymmetric.apply(out, reverse)
        if self._given is not None and self._given[1] is not None:
            out = out * self._given[1]
        return out, logvar

    def spread(self, kept: Tensor) -> Tensor:
        """[edge, kept component] -> [edge, component] with zeros at masked components."""
        if kept.size(1) == self.config.message_dim:
            return kept
        full = kept.new_zeros(kept.size(0), self.config.message_dim)
        return full.index_add(1, self._kept(), kept)

    @contextmanager
    def components(self, kept: Tensor | None, mask: Tensor | None):
        """Within the block, compute the components ``kept`` [active component] (None: all) times ``mask``.

        For a stack of networks under ``torch.vmap``, where ``active`` differs and cannot be looked at.
        """
        self._given = kept, mask
        try:
            yield
        finally:
            self._given = None

    _given: tuple | None = None

    def _kept(self) -> Tensor | None:
        """Indices of the active components, None if all are; remembered until the mask changes."""
        if self._given is not None:
            return self._given[0]
        state = (self.active._version, self.active.data_ptr(), self.active.device)
        if self._kept_at[0] != state:
            kept = self.active.nonzero().squeeze(1)
            self._kept_at = (state, None if len(kept) == len(self.active) else kept)
        return self._kept_at[1]

    def _edge_rows(self) -> Tensor | None:
        """Rows of the edge model's last layer that are needed (None: all)."""
        kept = self._kept()
        if kept is None:
            return None
        rows = torch.stack([2 * kept, 2 * kept + 1], 1).flatten() if self.config.gaussian else kept
        last = self.edge_mlp[-1].out_features
        return torch.cat([rows, rows.new_tensor([last - 1])]) if self.config.exp_gate else rows

    def edge_update(self, receiver_i: Tensor, sender_j: Tensor, position_i, position_j, dx):
        """The edge model on every edge: first layer (in two parts, added), then the rest.

        Either positions [edge, dim] or ``dx`` = x_i - x_j [edge, dim] are given; the other is None.
        """
        hidden = receiver_i + sender_j
        if self.edge_in.geometry is not None:
            hidden = hidden + self.edge_in.geometric(position_j - position_i if dx is None else -dx)
        if torch.is_autocast_enabled(hidden.device.type):  # only now: differences of positions need all digits
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        return mlp_rows(self.edge_mlp, self.activation(hidden), self._edge_rows())

    def message(self, e: Tensor) -> Tensor:
        return e

    def aggregate(self, inputs: Tensor, index: Tensor, dim_size=None) -> Tensor:
        """Sum over senders; edges come sorted by receiver, so equal degrees need no scatter."""
        if self._degree and inputs.size(0) == dim_size * self._degree:
            return inputs.view(dim_size, self._degree, -1).sum(1)
        return super().aggregate(inputs, index, dim_size=dim_size)

    _degree = 0  # set by ``forward`` from ``Edges``

    def forward(self, x: Tensor, edges: "Edges", normal: Tensor | None = None):
        """Predicted acceleration ``[node, dim]`` and what the penalties need.

        Returns ``(acc, message, logvar)``, the latter two ``[edge, active component]``. Given standard normal
        numbers ``normal`` of that shape, a ``kl`` network samples its messages; else their means are sent.
        """
        message, logvar = self._kept_messages(x, edges.index, edges.reverse, edges.dx)
        sent = message
        if logvar is not None and normal is not None:
            sent = message + normal * (0.5 * logvar).exp()
        self._degree = edges.degree
        total = self.propagate(edges.index, e=sent, size=(x.size(0), x.size(0)))
        return self.node_model(x, total), message, logvar

    def node_model(self, x: Tensor, total: Tensor) -> Tensor:
        """Acceleration [node, dim] from node features and summed messages [node, active component]."""
        c, kept = self.config, self._kept()
        h = self.features(x)
        if c.translation_invariant:
            h = h[:, c.dim :]
        if c.linear_node:
            rows = None
            if kept is not None:  # rows of M(x) for the active components, and of c(x)
                columns = torch.cat([kept, kept.new_tensor([c.message_dim])])
                start = torch.arange(c.dim, device=kept.device)[:, None] * (c.message_dim + 1)
                rows = (start + columns).flatten()
            weights = mlp_rows(self.node_mlp, h, rows).view(len(h), c.dim, -1)
            # many tiny products: on a CPU a product and a sum are several times faster than bmm
            acc = (weights[..., :-1] * total.unsqueeze(1)).sum(-1) + weights[..., -1]
        else:
            acc = self.node_mlp(torch.cat([h, total if kept is None else self.spread(total)], 1))
        return c.acc_scale * acc

    def acceleration_shares(self, x: Tensor, edges: "Edges", message: Tensor | None = None) -> Tensor:
        """What each edge contributes to its receiver's predicted acceleration [edge, dim].

        ``message`` saves the edge model's work where ``forward`` has already returned it (in evaluation mode).

        a_ij = a_i / k_i + J_i (e_ij - mean_j e_ij), with k_i the number of senders and J_i = d a_i / d S_i the
        Jacobian of the node model at the summed messages S_i (kl: at the means). The shares of a receiver add up
        to its prediction; where the node is linear in S they do not change under e_ij -> A(x_i) e_ij + b(x_i).
        """
        receiver = edges.index[1]
        with torch.no_grad():
            if message is None:
                message, _ = self._kept_messages(x, edges.index, edges.reverse, edges.dx)
            senders = receiver.bincount(minlength=len(x)).to(x)[:, None]
            total = message.new_zeros(len(x), message.size(1)).index_add_(0, receiver, message)
            message = message - (total / senders)[receiver]
        with torch.enable_grad():
            acc = self.node_model(x, total.requires_grad_())
            # a row of J for every receiver at once: none depends on the messages to another
            rows = [torch.autograd.grad(a.sum(), total, retain_graph=True)[0] for a in acc.unbind(1)]
        turned = torch.stack([(row[receiver] * message).sum(1) for row in rows], 1)
        return (acc.detach() / senders)[receiver] + turned


class Edges:
    """The constant edges of a batch of equal graphs, sorted by receiver.

    index [2, edge] (sender, receiver), reverse [edge] (or None where an edge has no reverse),
    degree = senders of every receiver (0 if unequal). ``chain``: neighbours k, k+1 only.
    In a periodic box edges differ from frame to frame: ``distill.network.periodic.CutoffEdges`` stands in for these.
    """

    dx = None  # the network takes differences from its positions

    def __init__(self, n: int, graphs: int = 1, chain: bool = False, device="cpu"):
        pairs = [(j, i) for i in range(n) for j in range(n) if i != j and (not chain or abs(i - j) == 1)]
        place = {pair: k for k, pair in enumerate(pairs)}
        one = torch.tensor(pairs).T
        back = torch.tensor([place[i, j] for j, i in pairs])
        start = torch.arange(graphs)
        self.n, self.graphs = n, graphs
        self.index = (one[:, None, :] + n * start[None, :, None]).reshape(2, -1).to(device)
        self.reverse = (back[None, :] + len(pairs) * start[:, None]).reshape(-1).to(device)
        self.degree = n - 1 if not chain or n == 2 else 0


def keep_top(model: GNN, importance: Tensor, count: int) -> None:
    """Mask all but the ``count`` most important of the components that are still active."""
    ranked = torch.where(model.active > 0, importance, torch.full_like(importance, -torch.inf))
    keep = ranked.topk(min(count, int(model.active.sum()))).indices
    mask = torch.zeros_like(model.active)
    mask[keep] = 1.0
    model.active.copy_(mask)
