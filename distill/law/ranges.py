"""Where a law is compared with the truth, and how far its accelerations are off there.

in            the configurations of the judged data themselves: the accelerations of their receivers
near          single pairs, from the closest pair that ten times as much data would meet to the 5 % quantile of
              the distances
extrapolated  single pairs, from the largest distance to ``FAR`` times it; where the force is cut off, from
              ``INWARDS`` of the smallest distance to it: where a hotter fluid goes

All errors are of accelerations, |a_law - a|/(c + |a|) of vectors, c the typical |a| of the data; that of a single
pair is f/m_i. ``a`` is made of the true law, never of labels, so that noise on these is no error of the law.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distill.files.properties import in_messages, of_edges, variables
from distill.messages.net_forces import node_design, state_of, weighted
from distill.physics.responses import Response
from distill.physics.terms import CONSTANT, ELIMINATION, State, direction
from distill.statistics.metrics import typical_size

FAR = 3.0
INWARDS = 0.9
LOW = 0.05  # quantile of the distances at which "near" ends
LONGER = 10.0  # the closest pair is that of data this many times as many
TAIL_SHARE = 0.01  # of the distances, the smallest: what the closest one of more data is estimated from
SAMPLES = 4000  # of a range of single pairs
STEPS = 8  # of distance, for the network's error near
MOST_EDGES = 300_000  # of the configurations
QUANTILE = 0.999  # of the errors, beside their mean: a wrong core is met rarely
NAMES = ("in", "near", "extrapolated")


@dataclass(frozen=True)
class Error:
    """Of accelerations in one range: mean and ``QUANTILE``; infinite where the law is not finite."""

    mean: float
    tail: float


def closest_distance(r: np.ndarray, longer: float = LONGER) -> float:
    """The closest pair expected in ``longer`` times as much data as the distances ``r`` [pair].

    For small x, P(r < x) is taken as proportional to x^k, k being estimated from the smallest ``TAIL_SHARE`` of
    the distances (at least 20; Hill's estimator): k is 2 and 3 for points spread evenly in two and three
    dimensions, less where particles attract each other, much more at a repulsive core. The smallest of N draws
    goes as N^(-1/k), so it is the one seen times ``longer``^(-1/k).
    """
    count = min(max(int(TAIL_SHARE * len(r)), 20), len(r) - 1)
    if count < 1:
        return float(r.min())
    smallest = np.sort(np.partition(r, count)[: count + 1])
    spread = float(np.mean(np.log(smallest[count] / smallest[:count])))  # 1/k
    return float(smallest[0] * longer**-spread)


def pairs(edges: dict, low: float, high: float, seed: int) -> dict:
    """Distances log-uniform in [low, high] with the properties of both ends drawn from the data."""
    rng = np.random.default_rng([seed, 77])
    pick = rng.integers(len(edges["r"]), size=SAMPLES)
    return of_edges(edges, pick) | {"r": np.exp(rng.uniform(np.log(low), np.log(high), SAMPLES))}


class Ranges:
    """The three ranges of the judged data with the true accelerations in them.

    ``truth(columns)``: the true f [pair] from variable -> [pair]. ``edges``: a messages table, of any split;
    ``true_node_force`` [edge, dim] or None, then only pair forces are compared. ``response``: of particles to their
    net force, None for a = F/m.
    """

    def __init__(
        self,
        truth: Callable,
        edges: dict,
        true_node_force,
        cutoff: float | None = None,
        seed: int = 0,
        response: Response | None = None,
    ):
        r = edges["r"].astype(float)
        self.closest, self.low, self.top = float(r.min()), float(np.quantile(r, LOW)), float(r.max())
        self.near = closest_distance(r)
        beyond = (self.top, FAR * self.top) if cutoff is None else (INWARDS * self.closest, self.closest)
        self.limits = {"in": (self.low, self.top), "near": (self.near, self.low), "extrapolated": beyond}
        # only the relation of the two formulas is asked at single pairs in range
        self.samples = {name: pairs(edges, *limit, seed) for name, limit in self.limits.items()}
        self.names = variables(in_messages(edges))
        self.truth, self.edges = truth, edges
        self._configurations(true_node_force, response)

    def _configurations(self, true_node_force, response) -> None:
        edges = self.edges
        numbers = edges["trajectory"].astype(np.int64), edges["frame"].astype(np.int64), edges["receiver"]
        sizes = [int(x.max()) + 1 for x in numbers]
        key = (numbers[0] * sizes[1] + numbers[1]) * sizes[2] + numbers[2]
        _, first, of_edge = np.unique(key, return_index=True, return_inverse=True)
        step = -(-len(key) // MOST_EDGES)
        kept = of_edge % step == 0
        self.pick = np.flatnonzero(kept)
        self.of = of_edge[self.pick] // step
        self.first = first[::step]
        self.columns = of_edges(edges, self.pick)
        self.unit = weighted(direction(edges["dx"][self.pick].astype(float), self.columns["r"]), edges, self.pick)
        self.state: State = state_of(edges, self.first)
        self.true_values = self.truth(self.columns)
        self.true_node = None if true_node_force is None else np.asarray(true_node_force, float)[self.first]
        self.net_force = self.net(self.true_values) + (0.0 if self.true_node is None else self.true_node)
        if response is None:
            self.true_acc = self.net_force / self.state.mass[:, None]
        else:
            self.true_acc = response.acceleration(self.net_force, self.state.vel, self.state.variables)
        self.size = np.linalg.norm(self.true_acc, axis=1)
        self.typical = typical_size(self.size)

    @property
    def receivers(self) -> int:
        return len(self.first)

    def net(self, values: np.ndarray) -> np.ndarray:
        """Sum of the pair forces of every receiver [receiver, dim], f being ``values`` [edge]."""
        pushed = (values[:, None] * self.unit).T
        return np.stack([np.bincount(self.of, column, len(self.first)) for column in pushed], 1)

    def errors(self, pair: Callable, respond: Callable) -> dict[str, Error]:
        """Range -> error of the pair force ``pair(columns)``; ``respond`` (net pair forces [receiver, dim], state) ->
        accelerations: what the law's particles do with these.
        """
        with np.errstate(all="ignore"):
            left = np.linalg.norm(respond(self.net(pair(self.columns)), self.state) - self.true_acc, axis=1)
            out = {"in": self.told(left / (self.typical + self.size))}
            for name in NAMES[1:]:
                columns = self.samples[name]
                true, mass = self.truth(columns), columns["m_i"]
                off = np.abs(pair(columns) - true) / mass
                out[name] = self.told(off / (self.typical + np.abs(true) / mass))
        return out

    @staticmethod
    def told(errors: np.ndarray) -> Error:
        errors = np.where(np.isfinite(errors), errors, np.inf)
        return Error(float(errors.mean()), float(np.quantile(errors, QUANTILE, method="higher")))

    def node_errors(self, node: np.ndarray) -> tuple[float, float | None]:
        """What the law's node force ``node`` [receiver, dim] has that no true term has, as an error of accelerations
        (mean), and the largest relative deviation of the value of a true term: None where there is none.

        A true force that none of the ``CONSTANT`` terms make is taken as one term. To be asked where all of the truth
        is known.
        """
        if (force := self.true_node) is None:
            raise ValueError("the true forces that no pair makes are not known")
        rows = np.sqrt(np.repeat(1 / (self.typical + self.size), force.shape[1]))
        true, left = ((v / self.state.mass[:, None]).reshape(-1) for v in (force, node - force))
        worst = None
        if true.any():
            terms = self._true_terms(true, rows)
            span, ends = np.hstack(terms), np.cumsum([t.shape[1] for t in terms])[:-1]
            off, value = (_solved(span, v, rows) for v in (left, true))
            parts = zip(np.split(off, ends), np.split(value, ends), strict=True)
            worst = float(max(np.linalg.norm(a) / np.linalg.norm(b) for a, b in parts))
            left = left - span @ off
        extra = np.linalg.norm(left.reshape(force.shape), axis=1)
        return float(np.mean(extra / (self.typical + self.size))), worst

    def _true_terms(self, true: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        """For every term that the true node accelerations ``true`` consist of, columns [receiver x dim, number]."""

        def missed(names):
            design = node_design(self.state, names)
            return np.linalg.norm(rows * (true - design @ _solved(design, true, rows)))

        names, small = list(CONSTANT), 1e-6 * np.linalg.norm(rows * true)
        if missed(names) > small:
            return [true[:, None]]
        for name in ELIMINATION:
            rest = [n for n in names if n != name]
            if rest and missed(rest) <= small:
                names = rest
        return [node_design(self.state, [name]) for name in names]

    def network_errors(self) -> dict[str, float]:
        """Range -> the network's error (mean), nothing where the table has no predictions.

        Against the true law where all of that is known, against the labels where node forces are not. Near, that of
        the receivers whose closest pair is there, averaged over distances as the single pairs are, log-uniformly.
        Nothing is known of it beyond; it is taken as in range, which is the most that can be asked of a law.
        """
        if "acc_pred_i" not in self.edges:
            return {}
        labels = self.edges["acc_i"][self.first].astype(float)
        true = labels if self.true_node is None else self.true_acc
        size = np.linalg.norm(true, axis=1)
        off = np.linalg.norm(self.edges["acc_pred_i"][self.first].astype(float) - true, axis=1)
        off /= typical_size(size) + size
        everywhere = float(off.mean())
        nearest = np.full(len(self.first), np.inf)
        np.minimum.at(nearest, self.of, self.columns["r"])
        step = np.digitize(nearest, np.geomspace(self.closest, self.low, STEPS + 1)[1:])
        close = [off[step == k].mean() for k in range(STEPS) if (step == k).any()]
        return dict.fromkeys(NAMES, everywhere) | ({"near": float(np.mean(close))} if close else {})

    def change_at_closest(self, pair: Callable) -> float:
        """Median relative change of the true force at the closest pair seen, were it ``pair``."""
        columns = self.samples["near"] | {"r": np.full(SAMPLES, self.closest)}
        with np.errstate(all="ignore"):
            true = self.truth(columns)
            return float(np.median(np.abs(pair(columns) - true) / np.abs(true)))


def _solved(design: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients of the columns of ``design`` [row, column] that fit ``values`` [row] best, rows weighted."""
    return np.linalg.lstsq(weights[:, None] * design, weights * values, rcond=None)[0]
