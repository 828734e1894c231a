"""Where an estimate of the pair force may come from, for a formula to be searched in it.

The trained network's messages are one source; a rival is another, which the same search, refit, choice and verdict
follow (``law.account.finding``). The control has no estimate at all: its refit starts from fixed formulas.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import sympy as sp

from distill.files.properties import in_messages, message_fields, numerical, of_edges
from distill.formulas.objective import Objective
from distill.formulas.tree import with_scales
from distill.formulas.units import ONE, Units
from distill.law.receivers import acceleration_objective, in_units, receivers
from distill.law.selection import Ground
from distill.physics.terms import direction
from distill.physics.terms.cases import Group
from distill.splines.pair_spline import Further
from distill.statistics.metrics import typical_size

READ = ("r", "dx")  # of edges, beside numbers of both ends, by which formulas are sharpened
SHARPENED = 2  # fits, the second with the residuals of a formula that fits
LEAST = 1e-12  # of a relative residual that is the limit of squares
LINEAR_NODE = "linear_node"  # the trained network once more, beside a law with a response


@dataclass(frozen=True)
class Source:
    """``force`` [edge, dim]: the estimate of F_ij on the edges of the messages file, None for none.

    ``label``: its name in tables, ``what``: one sentence, both for law.json and the report. ``node_terms``: names of
    the ``physics.terms`` that the receivers need beside it, ``node`` their values where they are known before any
    refit (name -> value of the term). ``further``: all other terms beside the radial force, in splines.
    ``cpu_seconds``: that the estimate took. ``groups``: pairs of levels of categories that have a formula each; none
    where all have the same.
    """

    name: str
    label: str
    what: str
    force: np.ndarray | None = None
    node_terms: tuple[str, ...] = ()
    node: dict = field(default_factory=dict)
    further: Sequence[Further] = ()
    cpu_seconds: float = 0.0
    groups: tuple[Group, ...] = ()

    @property
    def estimate(self) -> np.ndarray:
        """``force``; ``ValueError`` for a source that has none."""
        if self.force is None:
            raise ValueError(f"{self.name} estimates no force")
        return self.force


def sharpened_for(group: Group | None, expr: sp.Expr, force: np.ndarray, messages: dict, units: Units = ONE) -> sp.Expr:
    """``sharpened`` on the pairs of the ``group``, whose coefficients times ``expr`` are their force; None: on all."""
    if group is None:
        return sharpened(expr, force, messages, units)
    share = group(of_edges(messages))
    edges = np.flatnonzero(share)
    names = (*READ, *message_fields(numerical(in_messages(messages))).values())
    of = {name: messages[name][edges] for name in names}
    return sharpened(expr, force[edges] / share[edges, None], of, units)


def sharpened(expr: sp.Expr, force: np.ndarray, messages: dict, units: Units = ONE) -> sp.Expr:
    """``expr`` with its constants fitted to the estimate ``force`` on ALL edges, a factor of each term included.

    A search sees a few thousand edges, of which few are close pairs, and minimises squares. An estimate's errors have
    heavy tails, and close pairs are what tells a softening from none: hence all edges and a loss that is linear beyond
    the median residual. The fit is made in ``units``. No acceleration is looked at that the estimate has not looked at
    before.
    """
    features = of_edges(messages)
    f = (force * direction(messages["dx"].astype(float), features["r"])).sum(1) / units.force
    features = units.columns(features)
    weights = 1 / (0.3 * typical_size(f) + np.abs(f))
    expr = with_scales(units.pair(expr))
    expr = robustly(expr, Objective(features, f, weights, loss="soft_l1", metric="relative"))
    return units.pair_of_data(expr)


def sharpened_in_sums(expr: sp.Expr, force: np.ndarray, messages: dict, ground: Ground) -> sp.Expr:
    """``expr`` with its constants fitted to the sums of the estimate ``force`` [edge, dim] over the senders of a
    receiver, of the receivers ``ground.fitted``; as accelerations, relative to their size.

    What is trained, or fitted, sees net forces only: what it has wrong in single pairs and makes up for in others
    cancels in the sums. The loss is that of ``sharpened``. No acceleration is looked at that the estimate has not
    looked at before.
    """
    nodes, units = ground.nodes, ground.units
    net = nodes.sum(force)[nodes.of_edge] / messages["mass_i"].astype(float)[:, None]
    data = receivers(messages | {"acc_i": net}, nodes, ground.fitted)
    data = replace(data, noise=None)  # that of the data is not the estimate's
    data = data if units == ONE else in_units(data, units)
    return units.pair_of_data(robustly(units.pair(expr), acceleration_objective(data)))


def robustly(expr: sp.Expr, objective: Objective) -> sp.Expr:
    """``expr`` with the constants of the least soft l1 loss, which is linear beyond the median residual."""
    for _ in range(SHARPENED):
        left = np.abs(objective.residual(expr))
        if not np.isfinite(left).all():
            break
        objective.f_scale = max(float(np.median(left)), LEAST)
        expr, _ = objective.fit(expr)
    return expr
