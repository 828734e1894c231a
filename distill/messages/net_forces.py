"""The receivers of a messages file, their net forces, and fits to these.

A receiver (node) is one particle in one frame, or in one window of frames (``distill.windows``): then it has the pairs
of all of them as edges, each with a ``weight`` in what is summed. Beside the pair forces a net force m_i a_i may hold
node terms (drag, uniform fields; ``physics.terms``), which belong to the receiver and to no pair.
"""

from dataclasses import dataclass, replace

import numpy as np

from distill.files.properties import of_receivers
from distill.physics.terms import CONSTANT, ELIMINATION, TERMS, State
from distill.statistics.metrics import spans_decades, typical_size

ROUNDS = 8  # of weights, until sums of absolute values are least
NEGLIGIBLE = 1e-4  # relative error of a read-out that no term is worth keeping for


@dataclass
class Nodes:
    """Receivers of a messages file: one entry a particle and frame (or window). ``of_edge`` [edge] is its number."""

    of_edge: np.ndarray
    first: np.ndarray  # an edge of each node
    reverse: np.ndarray | None  # position of edge (j, i) for edge (i, j)
    pairs: tuple[np.ndarray, np.ndarray]  # the edges that have a reverse, and their reverses
    weight: np.ndarray | None = None  # [edge], None for ones

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Weighted sum over each receiver's edges: [edge, ...] -> [node, ...]."""
        columns = values.reshape(len(values), -1)
        columns = columns if self.weight is None else columns * self.weight[:, None]
        out = [np.bincount(self.of_edge, column, len(self.first)) for column in columns.T]
        return np.stack(out, -1).reshape(len(self.first), *values.shape[1:])

    def senders(self) -> np.ndarray:
        """Number of senders of each receiver [node, 1], of windows in the weighted mean over its frames."""
        return self.sum(np.ones((len(self.of_edge), 1)))


def nodes_of(messages: dict) -> Nodes:
    """Group edges by receiver and find each edge's reverse (None if some edge has none): the same pair in the same
    frame, seen from its other end. Of windows that overlap, any that has it.
    """
    seen = messages.get("at", messages["frame"])
    frames = int(max(messages["frame"].max(), seen.max())) + 1
    n = int(max(messages["receiver"].max(), messages["sender"].max())) + 1
    trajectory = messages["trajectory"].astype(np.int64) * frames
    graph = trajectory + messages["frame"]
    _, first, of_edge = np.unique(graph * n + messages["receiver"], return_index=True, return_inverse=True)
    graph = trajectory + seen
    key = (graph * n + messages["receiver"]) * n + messages["sender"]
    back = (graph * n + messages["sender"]) * n + messages["receiver"]
    order = np.argsort(key)
    place = np.searchsorted(key[order], back).clip(max=len(key) - 1)
    reverse = order[place]
    found = np.flatnonzero(key[reverse] == back)
    weight = messages.get("weight")
    weight = None if weight is None else weight.astype(float)
    return Nodes(of_edge, first, reverse if len(found) == len(key) else None, (found, reverse[found]), weight)


def weighted(values: np.ndarray, messages: dict, pick=slice(None)) -> np.ndarray:
    """``values`` [edge, dim] of the edges ``pick`` times their weights in what is summed over a receiver's edges."""
    return values * messages["weight"][pick].astype(float)[:, None] if "weight" in messages else values


def missed_between(messages: dict, nodes: Nodes, force: np.ndarray) -> np.ndarray:
    """What frames miss of the accelerations by ``force`` [edge, dim] (``windows.unresolved``): root mean square of a
    component, on every edge of its receiver [edge].
    """
    part = force * messages["between"].astype(float)[:, None]
    summed = np.stack([np.bincount(nodes.of_edge, column, len(nodes.first)) for column in part.T], 1)
    return (np.sqrt((summed**2).mean(1)) / messages["mass_i"][nodes.first])[nodes.of_edge]


def state_of(messages: dict, first: np.ndarray) -> State:
    """What node terms see of the receivers of the edges ``first``; of windows with a ``motion`` the place and the time
    are those of one of its frames.
    """
    state = State(messages["vel_i"][first].astype(float), of_receivers(messages, first))
    motion = messages.get("motion")
    return state if motion is None else replace(state, pos=motion.pos[first], t=motion.t[first])


def node_columns(state: State, factor: np.ndarray, terms) -> np.ndarray:
    """Columns [node, column] of the terms that belong to the receiver and to no pair, in units of T = factor a."""
    columns = [(factor / state.mass)[:, None] * TERMS[name].vector(state) for name in terms]
    return np.hstack(columns) if columns else np.empty((len(factor), 0))


def net_force(messages: dict, nodes: Nodes, key: str = "acc_pred_i") -> np.ndarray:
    """m_i a_i [node, dim] of the network, by which messages are read, or of another array of accelerations."""
    return messages["mass_i"][nodes.first].astype(float)[:, None] * messages[key][nodes.first]


def bodies_of(messages: dict, nodes: Nodes) -> np.ndarray:
    """Which particle of which trajectory every receiver is [2, node]."""
    return np.stack([messages[k][nodes.first] for k in ("trajectory", "receiver")])


def typical_sizes(messages: dict, nodes: Nodes, values: np.ndarray):
    """``sizes_by_body`` of the receivers of a messages file."""
    return sizes_by_body(values, messages["mass_i"][nodes.first].astype(float), bodies_of(messages, nodes))


def sizes_by_body(values: np.ndarray, mass: np.ndarray, body: np.ndarray):
    """The c of relative errors |dT| / (c + |T|) of ``values`` [node, dim]: the typical |T|. Where masses [node] span
    many decades, and with them |T|, it is that of each ``body`` [2, node], [node]: the median |T| of that particle in
    its trajectory.
    """
    size = np.linalg.norm(values, axis=1)
    typical = typical_size(size)
    if not spans_decades(mass):
        return typical
    _, number, count = np.unique(body, axis=1, return_inverse=True, return_counts=True)
    number = number.reshape(-1)
    order = np.lexsort([size, number])
    middle = np.cumsum(count) - count + (count - 1) // 2
    return np.maximum(size[order][middle][number], 1e-12 * typical)


def drop_terms(fit, found, error, negligible=NEGLIGIBLE) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """(weights, held-out error, terms) after dropping the node terms that the error does not miss.

    ``fit(terms)`` gives (weights, error); ``found, error`` are those of all ``CONSTANT`` ones. An error up to
    ``negligible`` is none.
    """
    terms = list(CONSTANT)
    for name in ELIMINATION:
        trial, without = fit([t for t in terms if t != name])
        if without <= max(1.05 * error, negligible):
            found, error, terms = trial, min(error, without), [t for t in terms if t != name]
    return found, error, tuple(terms)


def ridge(design, target, c, rounds: int = ROUNDS):
    """Columns of W minimising sum |T - design W| / (c + |T|), by reweighted ridge regression (strength 1e-8), weighted
    anew so many ``rounds``.

    ``c``: a number, or [row].
    """
    base = 1 / (c + np.linalg.norm(target, axis=1))
    weight = base**2
    # heavy tails: a column's plain std is that of a few encounters, its weighted norm is not
    scale = np.sqrt((design**2 * weight[:, None]).sum(0))
    scale[scale == 0] = 1.0
    x = design / scale
    for _ in range(rounds):
        gram = (x * weight[:, None]).T @ x
        gram[np.diag_indices_from(gram)] += 1e-8 * np.trace(gram) / len(gram) or 1.0  # columns of zeros get none
        w = np.linalg.solve(gram, (x * weight[:, None]).T @ target)
        error = np.linalg.norm(target - x @ w, axis=1) * base
        weight = base**2 / np.maximum(error, 1e-3 * np.median(error) + 1e-12)
    return w / scale[:, None]


def relative_l1(pred, target, c):
    """Mean of |pred - T| / (c + |T|) over rows [row, dim]."""
    return float((np.linalg.norm(pred - target, axis=1) / (c + np.linalg.norm(target, axis=1))).mean())


def terms_by_third_law(messages: dict, nodes: Nodes) -> tuple[tuple[str, ...], np.ndarray]:
    """Node terms (names, weights of ``node_columns``) from sums over graphs of the network's m_i a_i, where pair forces
    cancel.

    In a fit beside the messages a gauge b(x_i) may take the place of a drag or a field; here nothing can. With
    particles held, the sums run over the edges that have a reverse (by their ``acc_share``), with the node terms in
    proportion.
    """
    paired = np.zeros((len(nodes.of_edge), 1))
    paired[nodes.pairs[0]] = 1.0
    part = nodes.sum(paired) / nodes.senders()  # of a receiver's edges; 1 if nothing is held
    state, net = state_of(messages, nodes.first), net_force(messages, nodes)
    pull = nodes.sum(paired * messages["mass_i"][:, None] * messages["acc_share"])
    frame = np.stack([messages[k][nodes.first] for k in ("trajectory", "frame")])
    graph = np.unique(frame, axis=1, return_inverse=True)[1].reshape(-1)

    def total(values):
        return np.stack([np.bincount(graph, column) for column in values.T], 1)

    size = total(np.linalg.norm(net, axis=1)[:, None])
    size += typical_size(size)
    target = total(pull) / size
    left_out = np.arange(len(target)) % 5 == 4

    def fit(terms):
        design = total(part * node_columns(state, state.mass, terms)) / size if terms else None
        weights = ridge(design[~left_out], target[~left_out], 1.0) if terms else np.empty((0, net.shape[1]))
        missed = target - design @ weights if terms else target
        return weights, float(np.linalg.norm(missed, axis=1)[left_out].mean())

    weights, _, terms = drop_terms(fit, *fit(CONSTANT))
    return terms, weights


def terms_alone(messages: dict, nodes: Nodes, network: float) -> tuple[tuple[str, ...], np.ndarray]:
    """Node terms (names, weights of ``node_columns``) in what the network, of that error, predicts without messages."""
    state, acc = state_of(messages, nodes.first), messages["acc_pred_i"][nodes.first].astype(float)
    size = (typical_sizes(messages, nodes, acc) + np.linalg.norm(acc, axis=1))[:, None]
    target = messages["acc_alone_i"][nodes.first] / size
    left_out = np.arange(len(target)) % 5 == 4

    def fit(terms):
        design = node_columns(state, np.ones_like(state.mass), terms) / size
        weights = ridge(design[~left_out], target[~left_out], 1.0) if terms else np.empty((0, acc.shape[1]))
        return weights, float(np.linalg.norm(target - design @ weights, axis=1)[left_out].mean())

    weights, _, terms = drop_terms(fit, *fit(CONSTANT), network)
    return terms, weights


def third_law_residual(force: np.ndarray, nodes: Nodes) -> float:
    """Median of |F_ij + F_ji| / (|F_ij| + |F_ji|) over the edges with a force and a reverse; 0 to 1, nan without."""
    edge, reverse = nodes.pairs
    size = np.linalg.norm(force, axis=1)
    both = size[edge] + size[reverse]
    some = both > 0.02 * typical_size(size)
    if not some.any():
        return float("nan")
    return float(np.median(np.linalg.norm(force[edge] + force[reverse], axis=1)[some] / both[some]))


def node_design(state: State, terms) -> np.ndarray:
    """Accelerations by the node terms [receiver x dim, parameter]: a column for every number that they need."""
    columns = [column for name in terms for column in TERMS[name].columns(state)]
    return np.stack([(np.broadcast_to(c, state.vel.shape) / state.mass[:, None]).reshape(-1) for c in columns], 1)


def fit_terms(left, size, state: State, terms) -> dict:
    """Values of node terms, by name, that explain the accelerations ``left`` over [receiver, dim].

    ``state``: of these receivers; ``size`` [receiver] is |a|, for relative weights.
    """
    if not terms:
        return {}
    dim = left.shape[1]
    weights = np.repeat(1 / (typical_size(size) + size), dim)
    y, design = weights * left.reshape(-1), weights[:, None] * node_design(state, terms)
    error = np.ones_like(y)
    for _ in range(8):  # towards least absolute deviations: a few close encounters must not decide
        root = 1 / np.sqrt(error)
        found = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        error = np.maximum(np.abs(y - design @ found), 1e-9)
    out, at = {}, 0
    for name in terms:
        width = len(TERMS[name].columns(state))
        out[name], at = TERMS[name].value(found[at : at + width]), at + width
    return out


def node_values(force: np.ndarray, messages: dict, nodes: Nodes, terms, key: str = "acc_pred_i") -> dict:
    """Values of node terms, by name, beside the pair forces ``force`` [edge, dim]: from the network's accelerations,
    or (``key`` "acc_i") from those of the data.
    """
    state, acc = state_of(messages, nodes.first), messages[key][nodes.first].astype(float)
    left = acc - nodes.sum(force) / state.mass[:, None]
    return fit_terms(left, np.linalg.norm(acc, axis=1), state, terms)
