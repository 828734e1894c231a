"""Networks of energies, FlatHGN of Cranmer et al. 2020: H = sum_i H_self(q_i, p_i) + sum over edges of H_pair(i, j).

    dq_i/dt = dH/dp_i,   dp_i/dt = -dH/dq_i - dR/dv_i,   p_i = m_i v_i,   a_i = (dp_i/dt)/m_i

Both functions are MLPs with one output. R = sum_i R(|v_i|, properties), a Rayleigh function, is ours, for what loses
energy; H alone is the published network. R knows no direction: R = -F.v would be a uniform force, which has an energy.
The *message* of an edge is its H_pair, a scalar; what is compared with pair forces is

    F_ij = -d(H_pair(i, j) + H_pair(j, i))/dq_i,

both directions of the edge together. An energy is known up to a number for each pair (a function g of the properties of
both ends), of which forces know nothing. That is all where H_pair sees differences of places and properties. Where it
sees places or momenta, any h(q_i, p_i)/(n - 1) may be moved from H_self into it: motions are the same, F_ij is another.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from distill.hamiltonian.layers import Length, Lengths, Scalar, weights
from distill.network.architectures import Architecture
from distill.network.edges import Edges
from distill.network.layers import onednn
from models import Components, ModelConfig

AT_REST = 0.01  # of the typical momentum: below it, its logarithm tells less and less


@dataclass(frozen=True)
class HamiltonianConfig(ModelConfig):
    """As ``models.ModelConfig``, of which these options count: dim, properties, hidden, depth, activation (a smooth
    one), translation_invariant, geometric_inputs, exp_gate, log_mass, acc_scale, those of a periodic box, of units and
    the centre. With ``geometric_inputs`` H_self sees log |p| too. And:

    pair_momenta   H_pair sees the momenta of both ends, as published. With p = m v and dq/dt = dH/dp for all states, H
                   is sum p^2/2m + V(q): no force can depend on velocities, and what this adds is gauge.
    self_position  H_self sees the place, as published: fields that have a potential. Without it there are none, not
                   even uniform ones.
    dissipative    there is a Rayleigh function R of speed and properties, of either sign.
    speed          typical speed, a unit for momenta and for H_self (1 in the paper).
    """

    energies: ClassVar[bool] = True

    message_dim: int = 1
    network: str = "hamiltonian"
    pair_momenta: bool = False
    self_position: bool = False
    dissipative: bool = False
    speed: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "antisymmetric", self.translation_invariant)  # then F_ij = -F_ji
        if "mass" not in self.properties:
            raise ValueError("momenta are for particles with a mass")
        if self.message_dim != 1 or not self.speed > 0:
            raise ValueError("an energy has one component, and a speed is positive")

    @property
    def message_unit(self) -> float:
        """Of energies, in the units of the data."""
        return self.scales.of("mass") * self.scales.speed**2


class HamiltonianNetwork(nn.Module):
    """The interface of ``models.GNN``, as far as training, extraction and evaluation use it."""

    bodies = None

    def __init__(self, config: HamiltonianConfig):
        super().__init__()
        self.config = c = config
        scale = (c.r_power, c.r_mean, c.r_spread) if c.periodic else None
        own = len(c.properties) + (c.dim if c.pair_momenta else 0) + (0 if c.translation_invariant else c.dim)
        self.apart = Lengths(c.dim, c.geometric_inputs, scale)
        # without the invariance positions of both ends stand in their own parts, and differences in none
        between = self.apart.columns - (0 if c.translation_invariant else c.dim)
        (self.receiver, self.sender, self.between), self.pair_bias = weights(c.hidden, (own, own, between))
        self.pair = Scalar(c.hidden, c.depth, c.activation, c.exp_gate)
        self.moving = Lengths(c.dim, c.geometric_inputs, least=AT_REST)
        beside = len(c.properties) + (c.dim if c.self_position else 0)
        (self.momentum, self.alone), self.self_bias = weights(c.hidden, (self.moving.columns, beside))
        self.own = Scalar(c.hidden, c.depth, c.activation, c.exp_gate)
        if c.dissipative:
            self.speeds = Length(AT_REST)
            columns = (self.speeds.columns, len(c.properties))
            (self.velocity, self.losing), self.loss_bias = weights(c.hidden, columns)
            self.rayleigh = Scalar(c.hidden, c.depth, c.activation, c.exp_gate)
        self.register_buffer("active", torch.ones(1))

    @torch.no_grad()
    def silence(self) -> None:
        """Start without energies of pairs and without losses, and so without forces of either."""
        for part in (self.pair, *([self.rayleigh] if self.config.dissipative else [])):
            for parameter in part.last.parameters():
                parameter.zero_()

    # ------------------------------------------------------------ states

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions, velocities, masses [node, 1] and properties as the MLPs see them."""
        dim, k = self.config.dim, self.config.properties.index("mass")
        pos, vel, properties = x[:, :dim], x[:, dim : 2 * dim], x[:, 2 * dim :]
        mass = properties[:, k : k + 1]
        if self.config.log_mass:
            properties = torch.cat([properties[:, :k], mass.log(), properties[:, k + 1 :]], 1)
        return pos, vel, mass, properties

    def _ends(self, pos: Tensor, momentum: Tensor, properties: Tensor) -> Tensor:
        """What an edge sees of each of its ends [node, column]: the place and momentum, where it sees these, first."""
        parts = [] if self.config.translation_invariant else [pos]
        parts += [momentum / self.config.speed] if self.config.pair_momenta else []
        return torch.cat([*parts, properties], 1)

    # ------------------------------------------------------------ energies and their slopes

    def _pairs(self, pos, momentum, properties, edges: Edges):
        """First hidden layer [edge, width] of H_pair, and x_j - x_i [edge, dim]. ``ValueError`` as ``models.GNN``."""
        if (edges.dx is not None) != self.config.periodic:
            raise ValueError("dx of every edge is what a network for a periodic box needs, and no other")
        j, i = edges.index
        if edges.dx is None:
            apart = pos.index_select(0, j) - pos.index_select(0, i)
        else:
            apart = -edges.dx.to(pos) / self.config.length  # edges have single precision, whatever the network has
        ends = self._ends(pos, momentum, properties)
        receiver = onednn.linear(ends, self.receiver, self.pair_bias)
        z = receiver.index_select(0, i) + onednn.linear(ends, self.sender, None).index_select(0, j)
        return z + self._between(apart), apart

    def _between(self, apart: Tensor) -> Tensor | float:
        seen = self.between.size(1)
        return onednn.linear(self.apart(apart)[:, self.apart.columns - seen :], self.between, None) if seen else 0.0

    def _pair_slopes(self, back: Tensor, apart: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of H_pair by the place of receiver and of sender [edge, dim] from those by the hidden layer."""
        dim, seen = self.config.dim, self.between.size(1)
        by_apart = torch.zeros_like(apart)
        if seen:
            slope = back @ self.between
            lacking = self.apart.columns - seen
            slope = torch.cat([slope.new_zeros(len(slope), lacking), slope], 1) if lacking else slope
            by_apart = self.apart.back(apart, slope)
        if self.config.translation_invariant:
            return -by_apart, by_apart
        return back @ self.receiver[:, :dim] - by_apart, back @ self.sender[:, :dim] + by_apart

    def _self(self, pos, momentum, properties) -> tuple[Tensor, Tensor]:
        """First hidden layer of H_self, and p in its unit."""
        seen = torch.cat([pos, properties], 1) if self.config.self_position else properties
        momentum = momentum / self.config.speed
        beside = onednn.linear(seen, self.alone, self.self_bias)
        return onednn.linear(self.moving(momentum), self.momentum, None) + beside, momentum

    def _sum(self, values: Tensor, edges: Edges, nodes: int) -> Tensor:
        """Sum over senders [node, ...]; edges come sorted by receiver, so equal degrees need no scatter."""
        if edges.degree:
            return values.view(nodes, edges.degree, -1).sum(1)
        return values.new_zeros(nodes, values.size(1)).index_add(0, edges.index[1], values)

    def of_pairs(self, x: Tensor, edges: Edges) -> tuple[Tensor, Tensor | None, Tensor]:
        """(F_ij [edge, dim], the part of pairs in dq/dt [node, dim] or None, H_pair [edge, 1]), in the units of the
        network. ``ValueError`` for edges without the index of their reverse.
        """
        if edges.reverse is None:
            raise ValueError("the energy of a pair is that of both of its edges: the index of the reverse is needed")
        c, motion = self.config, None
        pos, vel, mass, properties = self._split(x)
        z, apart = self._pairs(pos, mass * vel, properties, edges)
        energy, back = self.pair.with_slope(z)
        energy, back = c.acc_scale * energy, c.acc_scale * back
        of_receiver, of_sender = self._pair_slopes(back, apart)
        force = -(of_receiver + of_sender[edges.reverse])
        if c.pair_momenta:
            at = 0 if c.translation_invariant else c.dim
            of_receiver, of_sender = back @ self.receiver[:, at : at + c.dim], back @ self.sender[:, at : at + c.dim]
            motion = self._sum(of_receiver + of_sender[edges.reverse], edges, len(x)) / c.speed
        return force, motion, energy

    def of_one(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(force by H_self alone, dq/dt by H_self [node, dim], H_self [node, 1]), in the units of the network."""
        c = self.config
        pos, vel, mass, properties = self._split(x)
        z, seen = self._self(pos, mass * vel, properties)
        energy, own = self.own.with_slope(z)
        alone = -(c.speed**2) * (own @ self.alone[:, : c.dim]) if c.self_position else torch.zeros_like(vel)
        return alone, c.speed * self.moving.back(seen, own @ self.momentum), c.speed**2 * energy

    def lost(self, x: Tensor) -> Tensor | float:
        """-dR/dv of every particle [node, dim], in the units of the network."""
        if not self.config.dissipative:
            return 0.0
        _, vel, _, properties = self._split(x)
        z, seen = self._losses(vel, properties)
        _, slope = self.rayleigh.with_slope(z)
        return -self.config.acc_scale * self.speeds.back(seen, slope @ self.velocity)

    def derivatives(self, x: Tensor, edges: Edges) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(F_ij [edge, dim], force on each particle alone [node, dim], dq/dt [node, dim], H_pair [edge, 1]) of nodes
        [node, feature], in the units of the network.
        """
        with torch.autocast(x.device.type, enabled=False):  # differences of energies need all digits
            x = x.float() if x.dtype != torch.float64 else x
            force, motion, energy = self.of_pairs(x, edges)
            alone, own, _ = self.of_one(x)
            return force, alone + self.lost(x), own if motion is None else own + motion, energy

    def motions(self, x: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """dH/dp [node, dim], and H_self [node, 1], in the units of the network; with ``pair_momenta`` the energy is all
        of H.
        """
        _, motion, energy = self.of_one(x)
        if self.config.pair_momenta:
            _, of_pairs, pairs = self.of_pairs(x, edges)
            return motion + of_pairs, energy + self._sum(pairs, edges, len(x))
        return motion, energy

    def forces(self, x: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """-dH/dq [node, dim] without what is lost, and the energy of pairs [node, 1], in the units of the network; with
        ``pair_momenta``, whose energy is in the ``motions``, 0.
        """
        each, _, pairs = self.of_pairs(x, edges)
        force, energy = self._sum(each, edges, len(x)), self._sum(pairs, edges, len(x))
        if self.config.self_position:
            force = force + self.of_one(x)[0]
        return force, 0 * energy if self.config.pair_momenta else energy

    def _losses(self, vel: Tensor, properties: Tensor) -> tuple[Tensor, Tensor]:
        """First hidden layer of R, and v in its unit."""
        vel = vel / self.config.speed
        beside = onednn.linear(properties, self.losing, self.loss_bias)
        return onednn.linear(self.speeds(vel), self.velocity, None) + beside, vel

    def forward(
        self,
        x: Tensor,
        edges: Edges,
        normal: Tensor | None = None,
        components: Components | None = None,
        who: Tensor | None = None,
    ):
        """``(acc [node, dim], message, logvar, motion)`` as ``models.GNN.forward``: messages are H_pair [edge, 1], a
        logvar there is none, and ``motion`` is dq/dt [node, dim].
        """
        force, alone, motion, energy = self.derivatives(x, edges)
        return (self._sum(force, edges, len(x)) + alone) / self._split(x)[2], energy, None, motion

    def energies(self, x: Tensor, edges: Edges) -> Tensor:
        """H_self + sum over senders of H_pair [node, 1], in the units of the network: their sum is H."""
        pos, vel, mass, properties = self._split(x)
        momentum = mass * vel
        z, _ = self._pairs(pos, momentum, properties, edges)
        own, _ = self._self(pos, momentum, properties)
        pairs = self._sum(self.config.acc_scale * self.pair(z), edges, len(x))
        return pairs + self.config.speed**2 * self.own(own)

    # ------------------------------------------------------------ what others ask of a network

    def active_components(self) -> Components:
        return Components()

    def messages(self, x: Tensor, edges: Edges, who: Tensor | None = None) -> tuple[Tensor, None]:
        """H_pair of every edge [edge, 1], and no logvar."""
        pos, vel, mass, properties = self._split(x)
        return self.config.acc_scale * self.pair(self._pairs(pos, mass * vel, properties, edges)[0]), None

    def told(
        self,
        x: Tensor,
        edges: Edges,
        shares: bool = True,
        reference: float | None = None,
        usual: float | None = None,
    ) -> dict[str, Tensor]:
        """As ``models.GNN.told``, with the shares F_ij/m_i and what acts without pairs; ``message`` is the mean of
        H_pair of both directions, half the energy of the pair. And ``energy_pair`` [edge], the energy of the pair less
        that at the distance ``reference`` (in the unit of the network), and ``energy_self`` [node], H_self less that
        at the ``usual`` speed (None: that of the configuration), in the same direction: energies without the numbers
        that forces do not know. Rest would be no such place: few states are near it, and what a network has wrong there
        would stand in all energies.
        """
        c = self.config
        force, alone, _, energy = self.derivatives(x, edges)
        pos, vel, mass, properties = self._split(x)
        receiver = edges.index[1]
        acc, alone = (self._sum(force, edges, len(x)) + alone) / mass, alone / mass
        out = {"acc_pred": acc, "acc_alone": alone, "message": 0.5 * (energy + energy[edges.reverse])}
        if shares:
            senders = receiver.bincount(minlength=len(x)).to(x)[:, None]
            out["acc_share"] = force / mass[receiver] + (alone / senders)[receiver]
        z, apart = self._pairs(pos, mass * vel, properties, edges)
        further = apart * (reference or 1.0) / apart.norm(dim=1, keepdim=True).clamp(min=1e-30)
        z = z + self._between(further) - self._between(apart)
        if not c.translation_invariant:  # both ends are moved, so that both directions of the pair mean the same place
            z = z + 0.5 * (further - apart) @ (self.sender - self.receiver)[:, : c.dim].T
        pair = energy - c.acc_scale * self.pair(z)
        out["energy_pair"] = (pair + pair[edges.reverse])[:, 0]
        z, _ = self._self(pos, mass * vel, properties)
        size, along = vel.norm(dim=1, keepdim=True), torch.eye(c.dim).to(vel)[:1]
        typical = (usual or c.speed) * torch.where(size > 0, vel / size.clamp(min=1e-30), along)
        there, _ = self._self(pos, mass * typical, properties)
        out["energy_self"] = c.speed**2 * (self.own(z) - self.own(there))[:, 0]
        return out


OPTIONS = "translation_invariant geometric_inputs exp_gate log_mass hidden activation".split()
OPTIONS += "pair_momenta self_position dissipative".split()
NETWORKS = {
    "hamiltonian": Architecture(
        HamiltonianConfig,
        HamiltonianNetwork,
        tuple(OPTIONS),
        measured=("acc_scale", "speed"),
    )
}
