"""Net accelerations as linear functions of one curve for every ordered pair of identities: normal equations of each
receiving identity.

They hold all that any law of the form

    a_i = sum_j [ sum_p phi_p(p_i, p_j) c_p(r) + w_i s_j f(r) ] (x_i - x_j)/r + node terms

can be asked about the data, whatever the values w and s of the identities are, and are made in one pass. Every
hypothesis about the values, every fold left out and every step of a fit is then algebra on small matrices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from distill.physics.terms import TERMS, State
from distill.shell.errors import UserError
from distill.splines.normal_equations import FOLDS, Table

CHUNK = 4096  # receivers at once
MOST = 1500  # columns of one identity: the partners it meets times the functions of the distance


@dataclass
class Receiver:
    """What is known of the accelerations of one identity: ``partners`` [partner] are the identities it meets; sums of
    w x x^T [fold, column, column], w x y [fold, column] and w y^2 [fold] over the ``rows`` [fold] of each fold.
    Columns: for every partner the functions of the distance, then those of the node.
    """

    identity: int
    partners: np.ndarray
    gram: np.ndarray
    moment: np.ndarray
    square: np.ndarray
    rows: np.ndarray

    def without(self, fold: int | None) -> tuple[np.ndarray, np.ndarray, float]:
        """(gram, moment, square) of all folds but one, or of all."""
        keep = [k for k in range(len(self.rows)) if k != fold]
        return self.gram[keep].sum(0), self.moment[keep].sum(0), float(self.square[keep].sum())


@dataclass
class Pairs:
    """``receivers`` of ``count`` identities; ``functions`` of the distance (K) and ``nodes`` columns of a node."""

    receivers: list[Receiver]
    count: int
    functions: int
    nodes: int
    dim: int

    @property
    def rows(self) -> np.ndarray:
        """[fold]"""
        return np.sum([one.rows for one in self.receivers], axis=0)

    @property
    def square(self) -> float:
        return float(sum(one.square.sum() for one in self.receivers))


def compress(data: Table, curves, node_terms=(), weight: np.ndarray | None = None) -> Pairs:
    """``curves``: r [edge] -> functions [edge, K] (array or sparse); ``node_terms``: names in ``physics.terms``;
    ``weight`` [receiver] of squared residuals. ``data`` knows who is who (``Table.who``).
    """
    weight = np.ones(len(data)) if weight is None else weight
    found = [
        _receiver(data, identity, index, curves, node_terms, weight)
        for identity, index in _by_identity(data.who.receiver)
    ]
    functions = curves(data.r[:1]).shape[1]
    nodes = found[0].gram.shape[1] - functions * len(found[0].partners)
    return Pairs(found, data.who.count, functions, nodes, data.dim)


def _by_identity(receiver: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    order = np.argsort(receiver, kind="stable")
    cuts = np.flatnonzero(np.diff(receiver[order])) + 1
    for index in np.split(order, cuts):
        yield int(receiver[index[0]]), index


def _receiver(data: Table, identity: int, index: np.ndarray, curves, node_terms, weight) -> Receiver:
    met = np.unique(np.concatenate([data.who.sender[a:b] for a, b in _edges(data, index)]))
    width = len(met) * curves(data.r[:1]).shape[1] + node_columns(data.state.of(index[:1]), node_terms).shape[2]
    if width > MOST:
        raise UserError(
            f"a body meets {len(met)} others, expected at most {MOST * len(met) // width}: too many unknown curves",
            "learn from recordings of fewer bodies",
        )
    out = Receiver(
        identity, met, np.zeros((FOLDS, width, width)), np.zeros((FOLDS, width)), np.zeros(FOLDS), np.zeros(FOLDS)
    )
    for part in np.split(index, range(CHUNK, len(index), CHUNK)):
        x = design(data.of(part), met, curves, node_terms)
        root = np.repeat(np.sqrt(weight[part]), data.dim)
        x, y, fold = x * root[:, None], data.target[part].reshape(-1) * root, np.repeat(data.fold[part], data.dim)
        for k in np.unique(fold):
            own = fold == k
            out.gram[k] += x[own].T @ x[own]
            out.moment[k] += y[own] @ x[own]
            out.square[k] += y[own] @ y[own]
            out.rows[k] += own.sum()
    return out


def _edges(data: Table, index: np.ndarray) -> Iterator[tuple[int, int]]:
    return zip(data.start[index], data.start[index + 1], strict=True)


def node_columns(state: State, names) -> np.ndarray:
    """[receiver, dim, column] of the node terms ``names``."""
    shape = state.vel.shape
    columns = [np.broadcast_to(c, shape) for name in names for c in TERMS[name].columns(state)]
    return np.stack(columns, -1) if columns else np.empty((*shape, 0))


def design(data: Table, partners: np.ndarray, curves, node_terms) -> np.ndarray:
    """Columns of receivers of one identity [receiver x dim, column]."""
    values = curves(data.r)
    values = np.asarray(values.todense()) if hasattr(values, "todense") else np.asarray(values)
    number = np.repeat(np.arange(len(data)), np.diff(data.start))
    at = np.searchsorted(partners, data.who.sender)
    out = np.zeros((len(data), data.dim, len(partners), values.shape[1]))
    for k in range(data.dim):  # a partner may be met in several frames of one window
        np.add.at(out[:, k], (number, at), data.unit[:, k, None] * values)
    out = out.reshape(len(data), data.dim, -1)
    return np.concatenate([out, node_columns(data.state, node_terms)], 2).reshape(len(data) * data.dim, -1)
