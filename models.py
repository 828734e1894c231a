"""The graph network and its message heads.

One ``GNN`` on PyG's ``MessagePassing``; a *variant* is its message head and penalty (the table in
``distill/network/variants.py``, which a command line reads without torch), a *recipe* (``recipes.py`` beside it) is
the set of options it is built and trained with. No files, no argparse.

Conventions: node features ``x`` are ``[pos, vel, *properties]``, the properties in the order of the configuration
(charge and mass first, as in Cranmer et al. 2020); ``edge_index[0]`` is the sender j, ``edge_index[1]`` the receiver
i, as in PyG; the network predicts the acceleration of every particle.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from distill.files.scales import Scales, scales_of_model
from distill.network.bodies import Values
from distill.network.data import FIRST_INPUTS
from distill.network.edges import Edges
from distill.network.layers.messages import (
    Antisymmetric,
    FirstLayer,
    activation_layer,
    after_first,
    mlp,
    mlp_rows,
    silence,
)
from distill.network.recipes import NEEDED_BY_WIDE_MASSES

POWER_RATE = 10.0  # a step of Adam moves all parameters alike, and powers have further to go than weights


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
    velocities             networks see velocities; without, forces do not depend on them. Where every body always moves
                           the same way round, its velocity and mass alone tell its acceleration, and no pair need to.
    wide_masses            masses span many decades: a factor exp(s) scales the node model too, and every exponent s
                           has a part linear in log m, and at edges in log r, so that powers of them need not be pieced
                           together by an MLP. log m is counted from its mean ``log_mass_mean`` in the training data,
                           and positions enter as d/r and log r alone, for where masses span decades distances do.
                           Goes with exp_gate, log_mass, translation_invariant and geometric_inputs.
    periodic               a periodic box, where a position by itself means nothing: the edge model sees d/r and
                           (r^p - r_mean)/r_spread of the nearest image in place of positions and of log r, p =
                           ``r_power``, the node model no positions. Goes with translation_invariant and
                           geometric_inputs.
    length, time, units    what the inputs are in units of (``Scales``): positions and distances, times, and each of the
                           properties (none: 1). Accelerations come out in the same: the model knows no other units,
                           but for ``Edges.dx``, which is in that of the data.
    centre                 where positions are counted from, without translation_invariant; none: from the origin.
    relative_messages      positions enter messages only as x_j - x_i, whatever the node model sees: pairs do the same
                           everywhere, what acts on one alone need not be the same.
    additive_node          of a linear node: a_i = (W sum_j e_ij + F(x_i, ...))/m_i, with numbers W, the unit matrix
                           where there are as many components as dimensions: a = F/m. Edges see all that nodes see but
                           for the place, so that M(x_i) would say nothing more; messages are forces, and all that is
                           left open is e_ij + b(v_i, p_i, t) for e_ij and as much less in F (``messages.gauges``).
    strengths              properties that enter forces as a factor of both ends alone: messages are A_ij + sum_p p_i
                           p_j B_ij, where A sees all other properties, B none, and nodes do not see p. What a value is
                           then is told by what it does, but for the scale; an MLP of p would take any function of it
                           as well. A is zero to begin with. Goes with additive_node.
    clock                  (mean, spread) of the times in the training data, by which all networks see the time; none:
                           they see no time.
    outputs, target        what is predicted of every node where it is not its acceleration: so many numbers, in units
                           of ``target`` (0: those of an acceleration).
    radial                 directions are not seen: the edge model sees the distance of the nearest image alone, and
                           all see speeds in place of velocities. For numbers that do not turn with the axes. Goes with
                           ``periodic``.
    edge_model             layers of the edge model, H = ``hidden``; github.com/BernardoRicci/symbolic_deep_learning
                           has the last two, with H = 300 and 100 components:
                           mlp   ``depth`` hidden layers of H units (the paper);
                           pm    "Plus-Minus": hidden layers of H, 3 H/2, 2 H, 3 H/2 and H units;
                           cust  "Custom": x = ReLU(Lin(inputs)) of H units, then Lin([Lin(1/(x + 1)),
                                 Lin(1/(x + 1)^2)]): forces that fall with a power of the distance.
    """

    dim: int
    message_dim: int
    properties: tuple[str, ...] = FIRST_INPUTS  # of the particles, in the order of the node features
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
    wide_masses: bool = False
    log_mass_mean: float = 0.0  # with ``wide_masses`` only
    velocities: bool = True
    length: float = 1.0
    time: float = 1.0
    units: tuple[float, ...] = ()
    centre: tuple[float, ...] = ()
    relative_messages: bool = False
    additive_node: bool = False
    clock: tuple[float, ...] = ()
    strengths: tuple[str, ...] = ()
    outputs: int = 0
    target: float = 0.0
    radial: bool = False

    def __post_init__(self):
        for name in ("properties", "units", "centre", "clock", "strengths"):  # lists where they come from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not all(unit > 0 for unit in (self.length, self.time, *self.units)):
            raise ValueError("units are positive")
        if len(self.units) not in (0, len(self.properties)) or len(self.centre) not in (0, self.dim):
            raise ValueError("a unit for each property, and a centre for each axis, or none")
        if min(self.dim, self.message_dim, self.hidden, self.depth) < 1 or not self.acc_scale > 0:
            raise ValueError("dimensions, components, widths, depths and the unit of accelerations are positive")
        if self.wide_masses and not all(getattr(self, name) for name in NEEDED_BY_WIDE_MASSES):
            raise ValueError(f"wide_masses needs {', '.join(NEEDED_BY_WIDE_MASSES)}")
        if self.log_mass and "mass" not in self.properties:
            raise ValueError("log_mass is for particles with a mass")
        if len(self.clock) not in (0, 2) or any(not spread > 0 for spread in self.clock[1:]):
            raise ValueError("a clock is a mean and a positive spread")
        if self.additive_node and (self.wide_masses or not self.linear_node or "mass" not in self.properties):
            raise ValueError("additive_node is for a linear node and particles with a mass, and not for wide_masses")
        if self.strengths and not (self.additive_node and {*self.strengths} <= {*self.properties} - {"mass"}):
            raise ValueError("strengths are properties beside the mass, of a network with an additive_node")
        if self.periodic and not (self.translation_invariant and self.geometric_inputs):
            raise ValueError("a network for a periodic box needs translation_invariant and geometric_inputs")

        if self.radial and not self.periodic:
            raise ValueError("radial is for a periodic box")
        if self.outputs and self.additive_node:
            raise ValueError("additive_node is for accelerations")

    energies: ClassVar[bool] = False  # messages are what the node model makes of them, in no unit
    message_unit: ClassVar[float] = 1.0

    @property
    def scales(self) -> Scales:
        return scales_of_model(vars(self))

    @property
    def predicted(self) -> int:
        """Numbers that are predicted of every node."""
        return self.outputs or self.dim

    def as_dict(self) -> dict:
        return asdict(self)


class Components(NamedTuple):
    """The components of messages that are computed: ``kept`` [active component], None for all, times ``mask``
    [active component], None for 1. In a stack under ``torch.vmap`` networks differ in them.
    """

    kept: Tensor | None = None
    mask: Tensor | None = None


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
        seen = [name for name in c.properties if name not in c.strengths]
        own = dim + len(seen) + bool(c.clock)  # velocity, properties and the time
        scale = (c.r_power, c.r_mean, c.r_spread) if c.periodic else None
        self.edge_in = FirstLayer(
            dim,
            own,
            width,
            c.translation_invariant or c.relative_messages,
            c.geometric_inputs,
            scale,
            not c.wide_masses,
            c.radial,
        )
        self.edge_mlp = after_first(c.edge_model, width, c.depth, outputs, c.activation)
        if c.strengths:
            for parameter in self.edge_mlp[-1].parameters():
                nn.init.zeros_(parameter)
            invariant = c.translation_invariant or c.relative_messages
            self.strength_in = FirstLayer(dim, dim + bool(c.clock), width, invariant, c.geometric_inputs, scale)
            outputs = c.message_dim * len(c.strengths) + int(c.exp_gate)
            self.strength_mlp = after_first(c.edge_model, width, c.depth, outputs, c.activation)
        node_inputs = own if c.translation_invariant else own + dim
        gate = int(c.wide_masses)
        if c.additive_node:
            self.node_mlp = mlp(node_inputs, [width] * c.depth, dim, c.activation)
            self.mixture = None
            if c.message_dim != dim:
                self.mixture = nn.Parameter(torch.randn(dim, c.message_dim) / c.message_dim**0.5)
        elif c.linear_node:
            outputs = c.predicted * (c.message_dim + 1) + gate
            self.node_mlp = mlp(node_inputs, [width] * c.depth, outputs, c.activation)
        else:
            inputs = node_inputs + c.message_dim
            self.node_mlp = mlp(inputs, [width] * c.depth, c.predicted + gate, c.activation)
        if gate:  # powers of m_i at nodes; of m_i, m_j and r and a factor's logarithm at edges; times POWER_RATE
            self.node_powers, self.edge_powers = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(4))
        self.activation = activation_layer("relu" if c.edge_model == "cust" else c.activation)
        self.register_buffer("active", torch.ones(c.message_dim))
        self.bodies: Values | None = None  # in training, where properties are unknown: the last of the parameters

    def silence(self) -> None:
        """Start without messages (``layers.silence``)."""
        silence(self.edge_mlp, self.node_mlp)

    def forward(
        self,
        x: Tensor,
        edges: Edges,
        normal: Tensor | None = None,
        components: Components | None = None,
        who: Tensor | None = None,
    ):
        """Predicted acceleration ``[node, dim]`` (0 of those that are not wanted) and what the penalties need.

        Returns ``(acc, message, logvar)``, the latter two ``[edge, active component]``. Given standard normal
        numbers ``normal`` of that shape, a gaussian network samples its messages; else their means are sent.
        ``components``: those that are active, unless given. ``who`` [node]: bodies, whose values ``bodies`` knows.
        """
        x = x if who is None else self.bodies(x, who)
        components = components or self.active_components()
        total, message, logvar = self.summed_messages(x, edges, normal, components, who)
        if edges.nodes is None:
            return self.node_model(x, total, components), message, logvar
        wanted = self.node_model(x[edges.nodes], total[edges.nodes], components)
        return wanted.new_zeros(len(x), wanted.size(1)).index_copy(0, edges.nodes, wanted), message, logvar

    def summed_messages(
        self, x: Tensor, edges: Edges, normal: Tensor | None, components: Components, who: Tensor | None = None
    ):
        """``(total [node, active component], message, logvar)``: PyG gives ``message`` the values of both ends of
        every edge, and ``aggregate`` what it returns.

        ``ValueError`` if ``dx`` is there for a network that is not ``periodic``, or is not there for one that is.
        """
        if (edges.dx is not None) != self.config.periodic:
            raise ValueError("dx of every edge is what a network for a periodic box needs, and no other")
        h = self.features(x)
        receiver, sender = self.edge_in.parts(h)
        position = x[:, : self.config.dim] if self.config.geometric_inputs and edges.dx is None else None
        return self.propagate(
            edges.index,
            size=(len(x), len(x)),
            receiver=receiver,
            sender=sender,
            position=position,
            log_mass=self._log_mass(h) if self.config.wide_masses else None,
            dx=None if edges.dx is None else edges.dx.to(x) / self.config.length,
            **self._strengths(x),
            who=None if who is None else who[:, None],
            reverse=edges.reverse,
            components=components,
            normal=normal,
            degree=edges.degree,
        )

    def features(self, x: Tensor) -> Tensor:
        """Node features as the MLPs see them: ``x`` with log m in place of m and 0 for velocities if asked for, and
        without strengths.
        """
        if not self.config.velocities:
            dim = self.config.dim
            x = torch.cat([x[:, :dim], torch.zeros_like(x[:, :dim]), x[:, 2 * dim :]], 1)
        elif self.config.radial:
            dim = self.config.dim
            speed = x[:, dim : 2 * dim].norm(dim=1, keepdim=True)
            x = torch.cat([x[:, :dim], speed, torch.zeros_like(x[:, : dim - 1]), x[:, 2 * dim :]], 1)
        if self.config.log_mass:
            x = self._with_log_mass(x)
        if self.config.strengths:
            x = torch.stack([column for k, column in enumerate(x.unbind(1)) if k not in self._columns()], 1)
        return x

    def _columns(self) -> list[int]:
        """Of the strengths, in node features."""
        c = self.config
        return [2 * c.dim + c.properties.index(name) for name in c.strengths]

    def _strengths(self, x: Tensor) -> dict[str, Tensor | None]:
        """What their parts of messages see of nodes: the values [node, strength], and both parts of a first layer."""
        if not self.config.strengths:
            return dict.fromkeys(("strength", "strong_receiver", "strong_sender"))
        h, own, clock = self.features(x), 2 * self.config.dim, bool(self.config.clock)
        h = torch.cat([h[:, :own], h[:, -1:]], 1) if clock else h[:, :own]
        receiver, sender = self.strength_in.parts(h)
        strength = torch.stack([x[:, k] for k in self._columns()], 1)  # a list as an index would wait for the host
        return {"strength": strength, "strong_receiver": receiver, "strong_sender": sender}

    def _with_log_mass(self, x: Tensor) -> Tensor:
        k = 2 * self.config.dim + self.config.properties.index("mass")
        log_mass = x[:, k : k + 1].log()
        if self.config.wide_masses:
            log_mass = log_mass - self.config.log_mass_mean
        return torch.cat([x[:, :k], log_mass, x[:, k + 1 :]], 1)

    def _log_mass(self, h: Tensor) -> Tensor:
        """Column [node, 1] of ``features``."""
        k = 2 * self.config.dim + self.config.properties.index("mass")
        return h[:, k : k + 1]

    def message(
        self,
        receiver_i: Tensor,
        sender_j: Tensor,
        position_i,
        position_j,
        log_mass_i,
        log_mass_j,
        strength_i,
        strength_j,
        strong_receiver_i,
        strong_sender_j,
        who_i,
        who_j,
        dx,
        reverse,
        components,
        normal=None,
    ):
        """The edge model: what every edge sends, the message (without noise) and its logvar or None.

        The first layer comes in two parts [node, hidden], which are added; its geometry sees positions [node, dim]
        or ``dx`` = x_i - x_j [edge, dim].
        """
        c, hidden = self.config, receiver_i + sender_j
        if position_i is not None or dx is not None:
            apart = position_j - position_i if dx is None else -dx
        if c.geometric_inputs:
            hidden = hidden + self.edge_in.geometric(apart)
        if torch.is_autocast_enabled(hidden.device.type):  # only now: differences of positions need all digits
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        message, logvar = mlp_rows(self.edge_mlp, self.activation(hidden), self.edge_rows(components.kept)), None
        if c.exp_gate:
            message, gate = message[:, :-1], message[:, -1:].clamp(-15, 15)
            if c.wide_masses:
                r = apart.norm(dim=1, keepdim=True) + self.edge_in.least
                logs = torch.cat([log_mass_i, log_mass_j, r.log()], 1)
                powers = (logs * self.edge_powers[:3]).sum(1, keepdim=True) + self.edge_powers[3]
                gate = (gate + POWER_RATE * powers).clamp(-30, 30)
            gate = gate.exp()
        if c.gaussian:
            # logvar is clamped only against overflow of exp
            message, logvar = message[:, 0::2], message[:, 1::2].clamp(-30, 30)
        if c.exp_gate:
            message = message * gate
        if c.strengths:
            product = strength_i * strength_j
            product = product if who_i is None else self.bodies.products(product, who_i[:, 0], who_j[:, 0])
            hidden = strong_receiver_i + strong_sender_j
            hidden = hidden + self.strength_in.geometric(apart) if c.geometric_inputs else hidden
            message = message + self._of_strengths(hidden, product, components.kept)
        if c.antisymmetric:
            if reverse is None:
                raise ValueError("an antisymmetric network needs the index of each edge's reverse")
            message = Antisymmetric.apply(message, reverse)
        if components.mask is not None:
            message = message * components.mask
        sampled = logvar is not None and normal is not None
        return message + normal * (0.5 * logvar).exp() if sampled else message, message, logvar

    def _of_strengths(self, hidden: Tensor, product: Tensor, kept: Tensor | None) -> Tensor:
        """sum_p p_i p_j B_ij [edge, active component] of the products p_i p_j [edge, strength]."""
        c, rows = self.config, None
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        if kept is not None:
            rows = torch.cat([kept + k * c.message_dim for k in range(len(c.strengths))])
            gate = torch.full_like(kept[:1], c.message_dim * len(c.strengths))
            rows = torch.cat([rows, gate]) if c.exp_gate else rows
        parts = mlp_rows(self.strength_mlp, self.activation(hidden), rows)
        if c.exp_gate:
            parts = parts[:, :-1] * parts[:, -1:].clamp(-15, 15).exp()
        return (product[:, :, None] * parts.unflatten(1, (len(c.strengths), -1))).sum(1)

    @torch.no_grad()
    def settle(self) -> None:
        """``Values.settle``, the messages' parts of strengths in the same scale."""
        width, last = self.config.message_dim, self.strength_mlp[-1]
        for k, factor in enumerate(self.bodies.settle()):
            last.weight[k * width : (k + 1) * width] *= factor
            last.bias[k * width : (k + 1) * width] *= factor

    def aggregate(self, inputs: tuple, index: Tensor, degree, dim_size=None):
        """Sum of what is sent over senders; edges come sorted by receiver, so equal degrees need no scatter."""
        sent, message, logvar = inputs
        if degree:
            return sent.view(dim_size, degree, -1).sum(1), message, logvar
        return super().aggregate(sent, index, dim_size=dim_size), message, logvar

    def node_model(self, x: Tensor, total: Tensor, components: Components | None = None) -> Tensor:
        """Acceleration [node, dim] (or what is predicted in its place) from node features and summed messages [node,
        active component].
        """
        c, kept = self.config, (components or self.active_components()).kept
        if c.linear_node:
            weights, alone = self.linear_node(x, kept)
            # many tiny products: on a CPU a product and a sum are several times faster than bmm
            acc = (weights * total.unsqueeze(1)).sum(-1) + alone
        else:
            features = self.features(x)
            h = features[:, c.dim :] if c.translation_invariant else features
            acc = self._gated(self.node_mlp(torch.cat([h, self.spread(total, kept)], 1)), features)
        return c.acc_scale * acc

    def linear_node(self, x: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """M(x_i) [node, dim, active component] and c(x_i) [node, dim] of a linear node, in units of ``acc_scale``."""
        c, rows = self.config, None
        features = self.features(x)
        if c.additive_node:
            own = features[:, c.dim :] if c.translation_invariant else features
            k = 2 * c.dim + c.properties.index("mass")
            mass = x[:, k : k + 1]
            mixture = torch.eye(c.dim).to(x) if self.mixture is None else self.mixture
            mixture = mixture if kept is None else mixture[:, kept]
            return mixture / mass[:, :, None], self.node_mlp(own) / mass
        if kept is not None:  # rows of M(x) for the active components, of c(x), and of the gate
            columns = torch.cat([kept, torch.full_like(kept[:1], c.message_dim)])
            start = torch.arange(c.predicted, device=kept.device)[:, None] * (c.message_dim + 1)
            rows = (start + columns).flatten()
            if c.wide_masses:
                rows = torch.cat([rows, torch.full_like(kept[:1], self.node_mlp[-1].out_features - 1)])
        out = mlp_rows(self.node_mlp, features[:, c.dim :] if c.translation_invariant else features, rows)
        weights = self._gated(out, features).view(len(x), c.predicted, -1)
        return weights[..., :-1], weights[..., -1]

    def _gated(self, out: Tensor, features: Tensor) -> Tensor:
        """What the node MLP says [node, column], times exp of its last column where there is a gate."""
        if not self.config.wide_masses:
            return out
        exponent = out[:, -1:].clamp(-15, 15) + self._log_mass(features) * (POWER_RATE * self.node_powers)
        return out[:, :-1] * exponent.clamp(-30, 30).exp()

    # ------------------------------------------------------------ components and what they send

    def active_components(self) -> Components:
        """The components that ``active`` has left."""
        kept = self.active.nonzero().squeeze(1)
        return Components(None if len(kept) == len(self.active) else kept)

    def edge_rows(self, kept: Tensor | None) -> Tensor | None:
        """Rows of the edge model's last layer that are needed (None: all)."""
        if kept is None:
            return None
        rows = torch.stack([2 * kept, 2 * kept + 1], 1).flatten() if self.config.gaussian else kept
        gate = torch.full_like(rows[:1], self.edge_mlp[-1].out_features - 1)
        return torch.cat([rows, gate]) if self.config.exp_gate else rows

    def spread(self, values: Tensor, kept: Tensor | None) -> Tensor:
        """[row, kept component] -> [row, component] with zeros at masked components."""
        if kept is None:
            return values
        return values.new_zeros(values.size(0), self.config.message_dim).index_add(1, kept, values)

    def messages(self, x: Tensor, edges: Edges, who: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Messages of every edge: ``(message [edge, component], logvar or None)``, 0 where masked; means, no noise.
        ``who`` as in ``forward``.
        """
        x = x if who is None else self.bodies(x, who)
        components = self.active_components()
        _, *parts = self.summed_messages(x, edges, None, components, who)
        return tuple(None if part is None else self.spread(part, components.kept) for part in parts)

    def told(self, x: Tensor, edges: Edges, shares: bool = True, reference: float | None = None) -> dict[str, Tensor]:
        """What is stored of a trained network, in its units: ``acc_pred`` and of a linear node ``acc_alone`` [node,
        dim], of those that are wanted; over edges ``message``, ``logvar`` of a gaussian network and, if asked for,
        ``acc_share``. ``reference``: a distance, from which networks of energies count these.
        """
        node, out = None, {}
        with torch.no_grad():
            components = self.active_components()
            total, message, logvar = self.summed_messages(x, edges, None, components)
            if edges.nodes is not None:
                x, total = x[edges.nodes], total[edges.nodes]
            if self.config.linear_node:  # evaluated once, for the prediction and for the shares
                node = weights, alone = self.linear_node(x, components.kept)
                out["acc_pred"] = self.config.acc_scale * ((weights * total.unsqueeze(1)).sum(-1) + alone)
                out["acc_alone"] = self.config.acc_scale * alone
            else:
                out["acc_pred"] = self.node_model(x, total, components)
            out["message"] = self.spread(message, components.kept)
            if logvar is not None:
                out["logvar"] = self.spread(logvar, components.kept)
        if shares:
            out["acc_share"] = self.acceleration_shares(x, edges, message, node)
        return out

    def acceleration_shares(
        self, x: Tensor, edges: Edges, message: Tensor | None = None, node: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """What each edge contributes to its receiver's predicted acceleration [edge, dim].

        ``message`` saves the edge model's work where ``forward`` has already returned it (in evaluation mode), and
        ``node``, what ``linear_node`` returned, that of a linear node model.

        a_ij = a_i / k_i + J_i (e_ij - mean_j e_ij), with k_i the number of senders and J_i = d a_i / d S_i the
        Jacobian of the node model at the summed messages S_i (gaussian: at the means). The shares of a receiver add up
        to its prediction; where the node is linear in S they do not change under e_ij -> A(x_i) e_ij + b(x_i).
        """
        receiver = edges.index[1]
        with torch.no_grad():
            if message is None:
                _, message, _ = self.summed_messages(x, edges, None, self.active_components())
            senders = receiver.bincount(minlength=len(x)).to(x)[:, None]
            if self.config.linear_node:  # J_i is M(x_i), and a_i / k_i - J_i mean_j e_ij is c(x_i) / k_i
                weights, alone = node or self.linear_node(x, self.active_components().kept)
                if edges.degree:  # sorted by receiver: no row of weights has to be repeated
                    each = message.view(len(x), edges.degree, -1)
                    turned = torch.bmm(each, weights.transpose(1, 2)).flatten(0, 1)
                else:
                    turned = (weights[receiver] * message.unsqueeze(1)).sum(-1)
                return self.config.acc_scale * (turned + (alone / senders)[receiver])
            total = message.new_zeros(len(x), message.size(1)).index_add_(0, receiver, message)
            message = message - (total / senders)[receiver]
        with torch.enable_grad():
            acc = self.node_model(x, total.requires_grad_())
            # a row of J for every receiver at once: none depends on the messages to another
            rows = [torch.autograd.grad(a.sum(), total, retain_graph=True)[0] for a in acc.unbind(1)]
        turned = torch.stack([(row[receiver] * message).sum(1) for row in rows], 1)
        return (acc.detach() / senders)[receiver] + turned


def keep_top(model: GNN, importance: Tensor, count: int) -> None:
    """Mask all but the ``count`` most important of the components that are still active."""
    ranked = torch.where(model.active > 0, importance, torch.full_like(importance, -torch.inf))
    keep = ranked.topk(min(count, int(model.active.sum()))).indices
    mask = torch.zeros_like(model.active)
    mask[keep] = 1.0
    model.active.copy_(mask)
