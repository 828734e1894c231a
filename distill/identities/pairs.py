"""Net accelerations as linear functions of one curve for every ordered pair of identities: normal equations of each
receiving identity.

They hold all that any law of the form

    a_i = sum_j [ sum_p phi_p(p_i, p_j) c_p + w_i s_j f ] + sum_b h_b(i) F_b(x_i, v_i, t)

can be asked about the data, whatever the values w and s of the identities and the scalings h_b are, and are made in one
pass. c_p and f are what ``Basis`` says of pairs: the radial force and, if need be, further blocks of
``splines.blocks``; F_b are its blocks of a node. Every hypothesis about the values, every fold left out and every step
of a fit is then algebra on small matrices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from distill.shell.errors import UserError
from distill.splines.blocks import Block, columns_of
from distill.splines.curves import Space
from distill.splines.normal_equations import FOLDS, Table

CHUNK = 4096  # receivers at once
MOST = 1500  # columns of one identity: the partners it meets times the functions of the distance


@dataclass(frozen=True)
class Basis:
    """What forces are linear in: ``curves`` of the distance along the line of centres and the blocks ``pair`` beside
    them, once for every partner; the blocks ``node``, once for a receiver.
    """

    curves: Space
    pair: tuple[Block, ...] = ()
    node: tuple[Block, ...] = ()

    @property
    def functions(self) -> int:
        """Of a pair."""
        return self.curves.size + sum(block.size for block in self.pair)

    @property
    def nodes(self) -> int:
        return sum(block.size for block in self.node)

    def rough(self) -> np.ndarray:
        """[function, function]: squared second differences of what is of pairs."""
        rough = self.curves.roughness()
        return block_diag(rough.T @ rough, *(block.roughness() for block in self.pair))

    def columns(self, data: Table, partners: np.ndarray) -> np.ndarray:
        """Of receivers of one identity [receiver, dim, column]; senders that are not among its ``partners``, of whom
        nothing is known, pull nowhere.
        """
        number = np.repeat(np.arange(len(data)), np.diff(data.start))
        at = np.minimum(np.searchsorted(partners, data.who.sender), len(partners) - 1)
        known = partners[at] == data.who.sender
        parts = [(self.curves.matrix(self.curves.log(data.r)), data.unit)]
        for block in self.pair:
            functions, vectors = block.values(data.seen)
            parts += [(functions, vector) for vector in vectors]
        row, edges = (
            number * len(partners) + at,
            np.arange(len(data.r)),
        )  # a partner may be in several frames of a window
        shape, out = (len(data) * len(partners), len(data.r)), []
        for functions, vector in parts:
            vectors = (vector * known[:, None]).T
            sums = [csr_array((along, (row, edges)), shape=shape) @ functions for along in vectors]
            out.append(np.stack([one.toarray().reshape(len(data), len(partners), -1) for one in sums], 1))
        out = np.concatenate(out, 3).reshape(len(data), data.dim, -1)
        if not self.node:
            return out
        return np.concatenate([out, *(columns_of(block, data.seen, data.start) for block in self.node)], 2)


@dataclass
class Receiver:
    """What is known of the accelerations of one identity: ``partners`` [partner] are the identities it meets; sums of
    w x x^T [fold, column, column], w x y [fold, column] and w y^2 [fold] over the ``rows`` [fold] of each fold.
    Columns: for every partner the functions of a pair, then those of the node.
    """

    identity: int
    partners: np.ndarray
    gram: np.ndarray
    moment: np.ndarray
    square: np.ndarray
    rows: np.ndarray

    @cached_property
    def whole(self) -> tuple[np.ndarray, np.ndarray, float]:
        """(gram, moment, square) of all folds."""
        return self.gram.sum(0), self.moment.sum(0), float(self.square.sum())

    def without(self, fold: int | None) -> tuple[np.ndarray, np.ndarray, float]:
        """(gram, moment, square) of all folds but one, or of all."""
        if fold is None:
            return self.whole
        own = self.gram[fold], self.moment[fold], float(self.square[fold])
        return tuple(every - one for every, one in zip(self.whole, own, strict=True))


@dataclass
class Pairs:
    """``receivers`` of ``count`` identities in the columns of ``basis``."""

    receivers: list[Receiver]
    count: int
    basis: Basis
    dim: int

    @property
    def functions(self) -> int:
        return self.basis.functions

    @property
    def rows(self) -> np.ndarray:
        """[fold]"""
        return np.sum([one.rows for one in self.receivers], axis=0)

    @property
    def square(self) -> float:
        return float(sum(one.square.sum() for one in self.receivers))


def compress(data: Table, basis: Basis, weight: np.ndarray | None = None) -> Pairs:
    """``weight`` [receiver] of squared residuals. ``data`` knows who is who (``Table.who``). ``UserError`` for bodies
    that meet too many others.
    """
    weight = np.ones(len(data)) if weight is None else weight
    found = [_receiver(data, identity, index, basis, weight) for identity, index in _by_identity(data.who.receiver)]
    return Pairs(found, data.who.count, basis, data.dim)


def _by_identity(receiver: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    order = np.argsort(receiver, kind="stable")
    cuts = np.flatnonzero(np.diff(receiver[order])) + 1
    for index in np.split(order, cuts):
        yield int(receiver[index[0]]), index


def _receiver(data: Table, identity: int, index: np.ndarray, basis: Basis, weight) -> Receiver:
    met = partners_of(data, index)
    refuse_too_many(len(met), basis)
    width = width_of(len(met), basis)
    out = Receiver(
        identity, met, np.zeros((FOLDS, width, width)), np.zeros((FOLDS, width)), np.zeros(FOLDS), np.zeros(FOLDS)
    )
    for part in np.split(index, range(CHUNK, len(index), CHUNK)):
        x = basis.columns(data.of(part), met).reshape(len(part) * data.dim, -1)
        root = np.repeat(np.sqrt(weight[part]), data.dim)
        x, y, fold = x * root[:, None], data.target[part].reshape(-1) * root, np.repeat(data.fold[part], data.dim)
        for k in np.unique(fold):
            own = fold == k
            out.gram[k] += x[own].T @ x[own]
            out.moment[k] += y[own] @ x[own]
            out.square[k] += y[own] @ y[own]
            out.rows[k] += own.sum()
    return out


def width_of(partners: int, basis: Basis) -> int:
    """Columns of a body that meets so many others."""
    return partners * basis.functions + basis.nodes


def refuse_too_many(partners: int, basis: Basis) -> None:
    """``UserError`` where there are more unknowns than can be solved for."""
    if width_of(partners, basis) > MOST:
        most = max(0, MOST - basis.nodes) // basis.functions
        raise UserError(
            f"a body meets {partners} others, expected at most {most}: too many unknown curves",
            "learn from recordings of fewer bodies",
        )


def most_partners(data: Table) -> int:
    """That any body meets."""
    return max(len(partners_of(data, index)) for _, index in _by_identity(data.who.receiver))


def groups_of(pairs: Pairs) -> np.ndarray | None:
    """Number of the group [identity] of those that meet, directly or by others; None where there is one group. Those
    that meet nobody are groups of their own.
    """
    met = np.zeros((pairs.count, pairs.count))
    for one in pairs.receivers:
        met[one.identity, one.partners] = 1.0
    number = connected_components(csr_array(met), directed=False)[1]
    return number if number.max() else None


def partners_of(data: Table, index: np.ndarray) -> np.ndarray:
    """Identities that the receivers ``index`` meet."""
    edges = zip(data.start[index], data.start[index + 1], strict=True)
    return np.unique(np.concatenate([data.who.sender[a:b] for a, b in edges]))
