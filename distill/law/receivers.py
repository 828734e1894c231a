"""From pair-force formulas to one law, fitted end to end on accelerations.

    a_i = (1/m_i) (sum_j f(r, p_i, p_j) (x_i - x_j)/r + node terms)

The map from f to the accelerations is linear, so ``Objective`` fits, prunes and repairs f on the
true accelerations as it does on any target. Node terms are linear too: they are projected out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
from scipy.sparse import csr_array

from distill.files.properties import of_edges, property_named, with_symbol
from distill.formulas.objective import Objective
from distill.formulas.units import Units
from distill.messages.net_forces import Nodes, fit_terms, node_design, state_of, weighted
from distill.physics.law import Law
from distill.physics.terms import Pairs, State, direction
from distill.physics.terms.values import is_constant
from distill.splines.blocks import Seen, frames_of
from distill.splines.normal_equations import Who, who_of
from distill.statistics.metrics import typical_size
from distill.windows.unresolved import resolved

FEW_TRAJECTORIES = 30  # with fewer of them every receiver counts by itself
EXACT = 0.01  # of an acceleration: residuals below are squared, noise below does not matter


@dataclass
class Receivers:
    """Some receivers with all their edges, edges ordered by receiver."""

    features: dict  # variables of a pair law -> [edge]
    unit: np.ndarray  # (x_i - x_j)/r [edge, dim], of windows times the weight of the pair
    start: np.ndarray  # first edge of each receiver
    acc: np.ndarray  # [receiver, dim]
    predicted: np.ndarray  # the network's [receiver, dim]
    state: State  # vel [receiver, dim], properties [receiver]
    trajectory: np.ndarray  # [receiver]
    noise: np.ndarray | None = None  # standard deviation of a component of ``acc`` [receiver], where it is known
    seen: Seen | None = None  # the edges with their motion, where it is known
    who: Who | None = None  # bodies of receivers and of the edges' senders, where they come again
    between: np.ndarray | None = None  # [edge], of windows: weights of ``windows.unresolved.alternating``

    def subset(self, keep: np.ndarray) -> "Receivers":
        """The receivers where ``keep`` [receiver] is true."""
        count = np.diff(np.r_[self.start, len(self.unit)])
        edges, left = np.repeat(keep, count), count[keep]
        return Receivers(
            {k: v[edges] for k, v in self.features.items()},
            self.unit[edges],
            np.cumsum(left) - left,
            self.acc[keep],
            self.predicted[keep],
            self.state.of(keep),
            self.trajectory[keep],
            None if self.noise is None else self.noise[keep],
            None if self.seen is None else self.seen.of(edges),
            None if self.who is None else Who(self.who.receiver[keep], self.who.sender[edges], self.who.count),
            None if self.between is None else self.between[edges],
        )

    def resolved_by(self, force: Callable[[Seen], np.ndarray]) -> "Receivers":
        """Those windows in which frames do not miss more of the accelerations by the pair forces ``force`` [edge, dim]
        than noise is, or ``RESOLVED`` of them; what they miss counts as noise. All of them where more than half would
        go: then it is the force that is wrong.
        """
        if self.between is None or self.noise is None or self.seen is None:
            return self
        seen = self.in_motion
        at_place = Seen(seen.r, seen.ends, replace(seen.motion, weight=np.ones(len(self.unit))))
        part = force(at_place) * self.between[:, None]
        missed = np.sqrt((self.sum(part) ** 2).mean(1)) / self.state.mass
        keep = resolved(missed, self.noise, np.linalg.norm(self.acc, axis=1))
        if not keep.mean() > 0.5:
            return self
        return replace(self.subset(keep), noise=np.hypot(self.noise, missed)[keep])

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Over each receiver's edges: [edge, dim] -> [receiver, dim]."""
        return np.add.reduceat(values, self.start, axis=0)

    @property
    def in_motion(self) -> Seen:
        """The edges with their motion; ``ValueError`` where that is not known."""
        if self.seen is None:
            raise ValueError("the motion of these edges is not known")
        return self.seen

    @property
    def edges(self) -> np.ndarray:
        """First edge of each receiver, and the end [receiver + 1]."""
        return np.r_[self.start, len(self.unit)]

    def frames(self) -> tuple[Seen, np.ndarray]:
        """One edge for every frame of every receiver, which is all that a node's terms see; where each begins."""
        return self.in_motion.once(frames_of, lambda: frames_of(self.in_motion, self.edges))


def receivers(messages: dict, nodes: Nodes, pick: np.ndarray) -> Receivers:
    """The receivers ``pick`` (numbers in ``nodes``) of a messages file, but for those that coincide with another
    particle: of a force without a direction no law says anything, and one that is singular would be refused for it.
    """
    chosen = np.zeros(len(nodes.first), dtype=bool)
    chosen[pick] = True
    together = np.unique(nodes.of_edge[messages["r"] <= 0])
    if chosen.sum() > chosen[together].sum():
        chosen[together] = False
    edges = np.flatnonzero(chosen[nodes.of_edge])
    edges = edges[np.argsort(nodes.of_edge[edges], kind="stable")]
    of = nodes.of_edge[edges]
    start = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    first = edges[start]
    features = of_edges(messages, edges)
    unit = weighted(direction(messages["dx"][edges].astype(float), features["r"]), messages, edges)
    acc, predicted = (messages[k][first].astype(float) for k in ("acc_i", "acc_pred_i"))
    noise = messages["acc_noise"][first].astype(float) if "acc_noise" in messages else None
    if noise is not None and "acc_missed" in messages:
        noise = np.hypot(noise, messages["acc_missed"][first])
    trajectory = messages["trajectory"][first]
    seen = Seen(features["r"], features, messages["motion"][edges]) if "motion" in messages else None
    who = who_of(messages, first, edges)
    between = messages["between"][edges].astype(float) if "between" in messages else None
    state = state_of(messages, first)
    return Receivers(features, unit, start, acc, predicted, state, trajectory, noise, seen, who, between)


def in_units(data: Receivers, units: Units) -> Receivers:
    """``data`` divided by ``units``."""
    properties = {
        name: value / units.of.get(property_named(name).variables[0], 1.0)
        for name, value in data.state.properties.items()
    }
    return replace(
        data,
        features=units.columns(data.features),
        acc=data.acc / units.acceleration,
        predicted=data.predicted / units.acceleration,
        noise=None if data.noise is None else data.noise / units.acceleration,
        seen=None if data.seen is None else data.seen.within(units),
        state=State(data.state.vel / units.speed, properties),
    )


def acceleration_objective(data: Receivers, node_terms=(), size=None, inputs=None, **options) -> Objective:
    """Fit of f to the accelerations of ``data``; residuals relative, (a_pred - a)/(c + |a|), c = median |a|.

    With ``node_terms`` both sides are projected on what those terms cannot explain. ``size`` [receiver]
    replaces |a| in the weights: noisy accelerations in their own weights pull a fit towards larger ones. Where the
    noise is known, receivers count as it says (``weights_of``).
    ``inputs``: the variables that a formula may have, and that a repair may bring in; all by default. ``options``:
    further ones of ``Objective``.
    """
    size = np.linalg.norm(data.acc, axis=1) if size is None else size
    dim = data.acc.shape[1]
    weights = np.repeat(weights_of(data, size), dim)
    basis = None
    if node_terms:
        basis, _ = np.linalg.qr(weights[:, None] * node_design(data.state, node_terms))

    def project(values):  # [residual] or [residual, k]
        if basis is None:
            return values
        scaled = (weights * values.T).T
        return ((scaled - basis @ (basis.T @ scaled)).T / weights).T

    ends, edges = np.r_[data.start, len(data.unit)], np.arange(len(data.unit))
    along = np.ascontiguousarray((data.unit / np.repeat(data.state.mass, np.diff(ends))[:, None]).T)
    sums = [csr_array((one, edges, ends), shape=(len(data.start), len(edges))) for one in along]

    def apply(values):
        return project(np.stack([one @ values for one in sums], 1).reshape(-1, *values.shape[1:]))

    features = {name: data.features[name] for name in inputs or data.features}
    scale = max(EXACT, noise_share(data, size))
    usual: dict = {"loss": "soft_l1", "f_scale": scale, "metric": "relative"}
    return Objective(features, project(data.acc.reshape(-1)), weights, apply, **(usual | options))


def weights_of(data: Receivers, size: np.ndarray) -> np.ndarray:
    """Weight [receiver] of residuals of accelerations of the ``size`` [receiver]: 1/(c + size), or the inverse of what
    noise and ``EXACT`` of c + size make together, where the noise is known; in the same unit.
    """
    relative = 1 / (typical_size(size) + size)
    if data.noise is None or not (data.noise > 0).any():
        return relative
    expected = np.hypot(EXACT / relative, data.noise)
    return np.median(relative * expected) / expected


def noise_share(data: Receivers, size: np.ndarray | None = None) -> float:
    """What noise makes of a typical residual, as a share of c + |a|; 0 where it is not known."""
    if data.noise is None:
        return 0.0
    size = np.linalg.norm(data.acc, axis=1) if size is None else size
    return float(np.median(data.noise / (typical_size(size) + size)))


def noise_error(data: Receivers) -> float:
    """What ``law_error`` of the true law is expected to be because of noise alone; 0 where that is not known."""
    if data.noise is None:
        return 0.0
    size = np.linalg.norm(data.acc, axis=1)
    return float(np.mean(data.noise / (typical_size(size) + size)) * np.sqrt(2 / np.pi))


def nearer(one: np.ndarray, other: np.ndarray, data: Receivers) -> float:
    """By how many standard errors, at least, the accelerations ``one`` [receiver, dim] are nearer to the data than the
    ``other``, the noise of the data being what makes errors uncertain; infinite where noise is not known.

    Of sum w (|other - a| - |one - a|) over all components, whose terms have under noise in a a standard deviation of at
    most |one - other|, and of twice that of the noise. The weights w = 1/(c + the size of both) have no noise in them:
    those of ``law_error`` have, and would favour accelerations that are too small. Windows count as independent: the
    noise of those that overlap by half has a correlation of -0.44, and adds up to less.
    """
    if data.noise is None or not (data.noise > 0).any() or not np.isfinite(other).all():
        return np.inf
    if not np.isfinite(one).all():
        return -np.inf
    size = 0.5 * (np.linalg.norm(one, axis=1) + np.linalg.norm(other, axis=1))
    weight = (1 / (typical_size(np.linalg.norm(data.acc, axis=1)) + size))[:, None]
    gain = (weight * (np.abs(other - data.acc) - np.abs(one - data.acc))).sum()
    error = np.linalg.norm(weight * np.minimum(np.abs(one - other), 2 * data.noise[:, None]))
    return float(gain / error) if error > 0 else 0.0


def ahead(one: np.ndarray, other: np.ndarray, data: Receivers) -> float:
    """The same where the noise of the data is not known: the scatter of what trajectories say, or receivers where there
    are few trajectories, is what makes errors uncertain.
    """
    if not np.isfinite(other).all():
        return np.inf
    if not np.isfinite(one).all():
        return -np.inf
    size = 0.5 * (np.linalg.norm(one, axis=1) + np.linalg.norm(other, axis=1))
    weight = 1 / (typical_size(np.linalg.norm(data.acc, axis=1)) + size)
    gain = (np.abs(other - data.acc) - np.abs(one - data.acc)).sum(1) * weight
    known, of = np.unique(data.trajectory, return_inverse=True)
    parts = np.bincount(of, gain) if len(known) >= FEW_TRAJECTORIES else gain
    size = np.linalg.norm(parts)
    return float(parts.sum() / size) if size > 0 else 0.0


def _relative(data: Receivers) -> Objective:
    """The objective by which errors are told: relative to c + |a|, whatever the noise."""
    return acceleration_objective(replace(data, noise=None))


def fit_node_terms(pair: sp.Expr, data: Receivers, terms) -> dict:
    """Values of the node terms beside the pair law, as in ``fit_terms``."""
    plain = acceleration_objective(data)
    left = plain.target - plain.apply(plain.values(pair))
    return fit_terms(left.reshape(data.acc.shape), np.linalg.norm(data.acc, axis=1), data.state, terms)


def receiver_errors(expr, objective: Objective, dim: int) -> np.ndarray:
    """Mean over the components of |a_law - a|/(c + |a|) [receiver]; infinite where the formula is not finite."""
    with np.errstate(all="ignore"):
        errors = np.abs(objective.residual(expr)).reshape(-1, dim).mean(1)
    return np.where(np.isfinite(errors), errors, np.inf)


def network_error(data: Receivers) -> float:
    """Mean over components of |a_network - a|/(c + |a|), as ``law_error``."""
    plain = _relative(data)
    return float(np.mean(np.abs(plain.weights * ((data.predicted - data.acc).reshape(-1)))))


def law_error(law: Law, data: Receivers) -> float:
    """Mean over components of |a_law - a|/(c + |a|), the score of ``acceleration_objective``."""
    plain = _relative(data)
    with np.errstate(all="ignore"):
        r = law_acceleration(law, data).reshape(-1) - plain.target
        value = float(np.mean(np.abs(plain.weights * r)))
    return value if np.isfinite(value) else 1e300


def error_without_pairs(law: Law, data: Receivers) -> float:
    """As ``law_error``, of the law without its pair force."""
    plain = _relative(data)
    with np.errstate(all="ignore"):
        r = law_acceleration(without_pairs(law), data).reshape(-1) - plain.target
        value = float(np.mean(np.abs(plain.weights * r)))
    return value if np.isfinite(value) else 1e300


def pair_share(law: Law, data: Receivers) -> float | None:
    """Typical size of the accelerations that the law's pair forces make, over that of the data's; None where they are
    not finite.
    """
    with np.errstate(all="ignore"):
        made = law_acceleration(law, data) - law_acceleration(without_pairs(law), data)
    size, typical = np.linalg.norm(made, axis=1), typical_size(np.linalg.norm(data.acc, axis=1))
    if not np.isfinite(size).all():
        return None
    return float(np.median(size) / typical) if typical > 0 else 0.0


def without_pairs(law: Law) -> Law:
    """What is left of ``law`` where no pair acts."""
    return replace(law, pair=sp.Float(0.0), pairs={})


def law_acceleration(law: Law, data: Receivers) -> np.ndarray:
    """The law's accelerations [receiver, dim]."""
    if beyond_radial(law) and data.seen is not None:
        seen, start = data.frames()
        of_pairs = data.sum(pair_forces_of(law, data.seen))
        return (of_pairs + np.add.reduceat(node_forces_of(law, seen), start[:-1], axis=0)) / data.state.mass[:, None]
    f = law.radial(**data.features)
    return law.respond(data.sum(f[:, None] * data.unit), data.state)


def beyond_radial(law: Law) -> bool:
    """Whether there is more in it than a radial force and constant node terms."""
    return bool(law.pairs or law.in_time or not all(map(is_constant, law.node.values())))


def forces_of(law: Law, seen: Seen) -> np.ndarray:
    """[edge, dim], whose plain sum over a receiver's edges is the force on it."""
    return pair_forces_of(law, seen) + node_forces_of(law, seen)


def pair_forces_of(law: Law, seen: Seen) -> np.ndarray:
    """[edge, dim], whose plain sum over a receiver's edges is the force of all pairs on it."""
    motion = seen.motion
    ends = {name: _one(value) for name, value in seen.ends.items() if name != "r"}
    pairs = Pairs(_one(motion.unit * seen.r[:, None]), _one(seen.r), ends, _one(motion.dv), _one(motion.t))
    return law.pair_force(pairs)[:, 0] * motion.weight[:, None]


def node_forces_of(law: Law, seen: Seen) -> np.ndarray:
    """[edge, dim], whose plain sum over a receiver's edges is what acts on it by itself: each has its share of the mean
    over frames.
    """
    motion = seen.motion
    own = {with_symbol(name[:-2]).name: _one(value) for name, value in seen.ends.items() if name.endswith("_i")}
    state = State(_one(motion.vel), own, _one(motion.pos), _one(motion.t))
    return law.node_force(state)[:, 0] * motion.share[:, None]


def _one(values):
    """Every edge is a frame of one pair, or of one particle."""
    return values[:, None]
