"""The linear read-out: net forces as a linear map of summed messages, fitted on some receivers and judged on others."""

from dataclasses import dataclass

import numpy as np

from distill.messages.gauges import ACCELERATION, Gauge
from distill.messages.net_forces import ROUNDS, node_columns, relative_l1, ridge, sizes_by_body
from distill.physics.terms import State
from distill.statistics.metrics import r_squared


@dataclass
class Sums:
    """Receivers as a linear read-out sees them: their summed messages ``sent`` [node, component], the accelerations
    ``acc`` [node, dim] that these are to tell, their ``state``, which ``body`` each is [2, node] (``bodies_of``), and
    which are ``held_out`` [node] of fits.
    """

    sent: np.ndarray
    acc: np.ndarray
    state: State
    body: np.ndarray
    held_out: np.ndarray

    def fit(self, gauge: Gauge, terms, rounds: int = ROUNDS) -> tuple[np.ndarray, float]:
        """(weights [component and column of the node ``terms``, dim], mean |residual| / (c + |T|) held out) of T in
        that gauge. Errors are those of accelerations, which networks learn: T = F is divided by m_i, or light bodies
        would not count. ``rounds`` as in ``net_forces.ridge``.
        """
        design, target, _ = self._rows(gauge, terms)
        c = sizes_by_body(target, self.state.mass, self.body) * np.ones(len(target))
        fitted, left = ~self.held_out, self.held_out
        weights = ridge(design[fitted], target[fitted], c[fitted], rounds)
        return weights, relative_l1(design[left] @ weights, target[left], c[left])

    def r_squared(self, gauge: Gauge, terms, weights: np.ndarray) -> float:
        """Of T in that gauge, held out, by the ``weights`` of ``fit``."""
        design, target, scale = (values[self.held_out] for values in self._rows(gauge, terms))
        return r_squared(target / scale, design @ weights / scale)

    def _rows(self, gauge: Gauge, terms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(messages and columns of the node ``terms`` [node, column], T [node, dim], what both have been multiplied by
        [node, 1]), so that T = F is an acceleration.
        """
        mass = self.state.mass
        scale = (np.ones_like(mass) / (1.0 if gauge.name == ACCELERATION.name else mass))[:, None]
        factor = gauge.from_force(mass, self.state.properties) * scale[:, 0]
        return (
            np.hstack([self.sent * scale, node_columns(self.state, factor, terms)]),
            self.acc * factor[:, None],
            scale,
        )
