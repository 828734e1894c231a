"""The node function searched, not assumed: a_i = g(R, v_i, p_i) beside the composed (R - gamma v + ...)/m.

R_i = sum_j F_ij is the read-out's net force, its gauge undone. One formula serves all axes: a row is one
receiver on one axis. Uniform fields differ from axis to axis; those the read-out found necessary are fitted
first, taken off the target and reported beside the formula. The read-out was fitted so that R and the node
terms make m a, so R/m is no surprise; the search shows what else velocity, properties p or a curved function
of R explain. Dimensionless units. The network's node model is phi_v of Cranmer et al. 2020.
"""

from dataclasses import dataclass

import numpy as np

from distill.formulas.improve import prune, round_exponents
from distill.formulas.objective import Objective
from distill.formulas.text import parse, to_text
from distill.formulas.tree import canonical, complexity
from distill.messages.net_forces import fit_terms, state_of
from distill.physics import terms
from distill.physics.law import Law
from distill.physics.terms import State
from distill.shell.errors import UserError
from distill.statistics import trees
from distill.statistics.metrics import typical_size

MAX_COMPLEXITY = 15  # of the search: (R - gamma v)/m has 7, and longer rows fit the errors of the read-out
SIMPLEST_WITHIN = 1.1  # of the lowest held-out error: a simpler formula is preferred up to this factor,
BELOW_NETWORK = 1.3  # up to this one if it is no worse than the network (R is as wrong as the network is),
SHARE_OF_NETWORK = 0.05  # or up to this share of the network's own error
AGREES = 0.02  # searched and composed function count as one up to this mean relative difference
SMALL, LARGE = 1000, 4000  # receivers of the fits that choose; of the last fit and of those held out
EXPLAINED, NOTICEABLE = 0.1, 0.005  # held-out R^2, and size, from which a dependence on position is reported


@dataclass
class NodeData:
    """Receivers with the read-out's net force ``net`` [receiver, dim]; the other arrays alike.

    ``field`` [receiver, dim] is the acceleration by the fitted ``fields``, name of a uniform term -> [dim];
    ``held`` [receiver] marks those left out of every fit; ``at`` is (trajectory, frame, particle).
    """

    net: np.ndarray
    state: State
    acc: np.ndarray
    predicted: np.ndarray  # the network's accelerations
    at: tuple
    held: np.ndarray
    fields: dict
    field: np.ndarray

    def features(self, pick) -> dict:
        """R, v and the receiver's properties by variable -> [row]; rows are the receivers ``pick`` times the axes."""
        repeated = {k: np.repeat(v[pick], self.acc.shape[1]) for k, v in self.state.variables.items()}
        return {"R": self.net[pick].reshape(-1), "v": self.state.vel[pick].reshape(-1)} | repeated

    def target(self, pick) -> np.ndarray:
        """Accelerations less the fitted fields [row], rows as in ``features``."""
        return (self.acc - self.field)[pick].reshape(-1)

    def weights(self) -> np.ndarray:
        """1 / (c + |a|) [receiver], c = median |a|: the weights of the law's fit to accelerations."""
        size = np.linalg.norm(self.acc, axis=1)
        return 1 / (typical_size(size) + size)

    def draw(self, held: bool, count: int) -> np.ndarray:
        """The first ``count`` receivers, in a random order that is always the same, of those held out or not."""
        left = np.flatnonzero(self.held == held)
        return np.random.default_rng(len(left)).permutation(left)[:count]


def node_data(messages: dict, nodes, read, force: np.ndarray, seed: int = 0, key: str = "acc_pred_i") -> NodeData:
    """The receivers of a messages file; a third of the trajectories held out (of the receivers, if there are
    fewer than three trajectories).

    ``read`` is the ``read_out.ReadOut`` that gave ``force`` [edge, dim]. Its uniform fields are fitted here
    beside the net force, together with its drags: those stay in the target, for the search to find. The target is what
    the network predicts, so that the search sees no label; or (``key`` "acc_i") the data's accelerations.
    """
    first = nodes.first
    get = lambda key: messages[key][first].astype(float)  # noqa: E731
    net, state, acc = nodes.sum(force), state_of(messages, first), get(key)
    at = tuple(messages[k][first] for k in ("trajectory", "frame", "receiver"))
    groups = at[0] if len(np.unique(at[0])) > 2 else np.arange(len(first))
    held = held_out(groups, seed)
    left = acc - net / state.mass[:, None]
    found = fit_terms(left[~held], np.linalg.norm(acc[~held], axis=1), state.of(~held), read.node_terms)
    fields = {k: v for k, v in found.items() if terms.TERMS[k].by_axis}
    field = terms.force(fields, state) / state.mass[:, None]
    return NodeData(net, state, acc, get("acc_pred_i"), at, held, fields, field)


def held_out(groups: np.ndarray, seed: int) -> np.ndarray:
    """[row] true for the rows of a random third of the ``groups`` [row]; one group at least."""
    return trees.some_groups(groups, np.random.default_rng([seed, 43]), round(len(np.unique(groups)) / 3))


def composed(law: Law, data: NodeData) -> np.ndarray:
    """(R + the law's node terms)/m [receiver, dim]: the node function of the composed law."""
    return law.respond(data.net, data.state)


def compare_with_composed(front, law: Law, data: NodeData) -> dict:
    """The node function searched against the composed one, on trajectories left out of search and refit.

    Every row of ``front`` (formulas in the ``features``) is refitted by relative error, as it is and pruned. The
    simplest formula counts whose held-out error is within ``SIMPLEST_WITHIN`` of the lowest (or
    ``BELOW_NETWORK``, or ``SHARE_OF_NETWORK``), refitted on more receivers. Errors and
    ``relative_difference`` are means of |difference| / (c + |a|), c = median |a|. JSON-ready.
    """
    few, many, unseen = data.draw(False, SMALL), data.draw(False, LARGE), data.draw(True, LARGE)
    dim, weights = data.acc.shape[1], data.weights()

    def objective(pick):
        return Objective(
            data.features(pick),
            data.target(pick),
            np.repeat(weights[pick], dim),
            loss="soft_l1",
            f_scale=0.01,
            metric="relative",
        )

    fit, whole, check = objective(few), objective(many), objective(unseen)
    unit = bool(np.all(np.abs(data.state.properties["charge"]) == 1))

    def polished(expr, by):
        expr = canonical(expr, unit)
        expr, score = by.fit(expr)
        return canonical(round_exponents(expr, by, score)[0], unit)

    tried = {}
    for row in front.rows:
        whole_row = polished(row.expr, fit)
        for expr in (whole_row, polished(prune(whole_row, fit, BELOW_NETWORK - 1)[0], fit)):
            if np.isfinite(score := check.score(expr)):
                tried.setdefault(expr, score)
    if not tried:
        raise UserError("no formula of the node target has a finite value", "search again with --overwrite")
    network = mean_error(data.predicted[unseen] - data.acc[unseen], weights[unseen])
    lowest = min(tried.values())
    bar = max(SIMPLEST_WITHIN * lowest, min(BELOW_NETWORK * lowest, network), SHARE_OF_NETWORK * network)
    chosen = min((e for e in tried if tried[e] <= bar), key=lambda e: (complexity(e), tried[e]))
    refitted = polished(chosen, whole)
    chosen = refitted if np.isfinite(check.score(refitted)) else chosen
    values = check.values(chosen).reshape(-1, dim) + data.field[unseen]
    other = composed(law, data)[unseen]
    shown = canonical(parse(to_text(chosen, 4), check.names), unit)  # a factor that reads 1.0 is none
    out = {
        "equation": to_text(shown, 4),
        "complexity": complexity(shown),
        "fields": {k: v.tolist() for k, v in data.fields.items()},
        "relative_difference": mean_error(values - other, weights[unseen]),
        "held_out_searched": check.score(chosen),
        "held_out_composed": mean_error(other - data.acc[unseen], weights[unseen]),
        "network_error": network,
        "receivers": len(unseen),
    }
    out["agrees"] = out["relative_difference"] <= AGREES
    return out | {"text": _sentence(out)}


def mean_error(difference: np.ndarray, weights: np.ndarray) -> float:
    """Mean of |difference| [receiver, dim] times ``weights`` [receiver]."""
    return float(np.mean(np.abs(difference) * weights[:, None]))


def _sentence(found) -> str:
    text = f"searched: a = {found['equation']}"
    for name, value in found["fields"].items():
        text += f" + ({', '.join(f'{v:.4g}' for v in value)}){terms.TERMS[name].per_mass}"
    own, other = found["held_out_searched"], found["held_out_composed"]
    share = f"{100 * found['relative_difference']:.2g} %"
    if found["agrees"]:
        return f"{text}; the composed node function agrees within {share}"
    return (
        f"{text}; it differs from the composed node function by {share}, and the"
        f" {'searched' if own < other else 'composed'} one is better: errors on {found['receivers']} receivers"
        f" left out {own:.3g} searched, {other:.3g} composed"
    )


def left_over(law: Law, data: NodeData) -> np.ndarray:
    """What the composed node function leaves of the accelerations, (a - composed)/(c + |a|) [receiver, dim]."""
    return (data.acc - composed(law, data)) * data.weights()[:, None]


def position_dependence(pos, residual, seed: int = 0, groups=None, vel=None) -> dict:
    """Does ``residual`` [row, dim] (relative, see ``left_over``) depend on the position ``pos`` [row, dim]?

    Boosted trees (scikit-learn) on two thirds of the ``groups`` [row] (rows of one trajectory: they are alike
    and must not stand on both sides; each row its own if None), judged on the rest. ``r2_held_out`` is
    against the mean; ``size`` the mean of what position explains, in the residual's units. A dependence is
    reported from R^2 = ``EXPLAINED`` and ``size`` = ``NOTICEABLE`` on. It is a hint and no proof: errors of
    the pair forces that grow with distance from the others look like it. What a missing term in the velocity makes does
    not: fast particles are where they can be, so with ``vel`` [row, dim] what v, |v| v and |v|^2 v fit is taken off.
    """
    pos = np.asarray(pos, dtype=float)
    residual = np.clip(np.asarray(residual, dtype=float), -1, 1)  # a few close encounters must not decide
    test = held_out(np.arange(len(pos)) if groups is None else np.asarray(groups), seed)
    if vel is not None:
        residual = residual - _by_velocity(np.asarray(vel, dtype=float), residual, ~test)
    wrong = total = explained = 0.0
    for y in residual.T:
        found = trees.predicted(pos, y, test, seed, 60, min_samples_leaf=30)
        wrong += np.sum((y[test] - found) ** 2)
        total += np.sum((y[test] - y[~test].mean()) ** 2)
        explained += np.mean(np.abs(found - y[~test].mean())) / residual.shape[1]
    r2 = float(1 - wrong / total) if total > 0 else 0.0
    found = bool(r2 >= EXPLAINED and explained >= NOTICEABLE)
    text = (
        f"what the composed law leaves depends on position (held-out R2 {r2:.2f}, {100 * explained:.2g} % of the"
        " accelerations): a field that depends on place, for which the law has no term, or wrong pair forces"
        if found
        else f"what the composed law leaves does not depend on position (held-out R2 {r2:.2f})"
    )
    return {"r2_held_out": r2, "size": float(explained), "depends": found, "n": int(test.sum()), "text": text}


def _by_velocity(vel: np.ndarray, residual: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """What v, |v| v and |v|^2 v explain of ``residual`` [row, dim], by least squares on the rows ``fitted`` [row]."""
    speed = np.linalg.norm(vel, axis=1, keepdims=True)
    scale = typical_size(speed[:, 0]) or 1.0
    columns = np.stack([vel / scale * np.minimum(speed / scale, 5.0) ** k for k in range(3)], -1)  # [row, dim, column]
    used = columns[fitted].reshape(-1, columns.shape[-1])
    return columns @ np.linalg.lstsq(used, residual[fitted].reshape(-1), rcond=1e-10)[0]
