"""What a network may send in place of the pair force: it sees the receiver's properties beside the sum of messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from distill.files.properties import USUAL, numerical, property_named


@dataclass(frozen=True)
class Gauge:
    """T = F times ``power`` (1 or -1; 0: nothing) of the receiver's property ``of``."""

    name: str
    of: str | None = None
    power: int = 0

    @property
    def symbol(self) -> str:
        """In figures: ``F``, ``F/m``, ``qF``."""
        if self.of is None:
            return "F"
        letter = property_named(self.of).symbol
        if len(letter) > 1:  # a word, whose _ would be a subscript
            letter = rf"\mathrm{{{letter.replace('_', '-')}}}\,"
        return f"F/{letter}" if self.power < 0 else f"{letter}F"

    @property
    def label(self) -> str:
        """In tables: ``F (pair force)``, ``F / m_i``, ``q_i F``."""
        if self.of is None:
            return "F (pair force)"
        own = property_named(self.of).variables[0]
        return f"F / {own}" if self.power < 0 else f"{own} F"

    def from_force(self, force, properties: Mapping) -> np.ndarray:
        """T [row, ...] from F, or T/a from m."""
        return self._times(force, properties, self.power)

    def to_force(self, target, properties: Mapping) -> np.ndarray:
        """F from T [row, ...]; 0 where T says nothing of it."""
        return self._times(target, properties, -self.power)

    def _times(self, values, properties, power):
        if not power:
            return values
        scale = properties[self.of].reshape(-1, *[1] * (values.ndim - 1))
        return values * scale if power > 0 else values / np.where(scale == 0, np.inf, scale)

    def told_apart(self, properties: Mapping) -> bool:
        """Whether T is more than F times one number: the property must differ among the rows."""
        return self.of is None or np.ptp(properties[self.of]) > 0


FORCE, ACCELERATION = Gauge("force"), Gauge("acceleration", "mass", -1)


def gauges(properties: Iterable[str] = USUAL) -> dict[str, Gauge]:
    """By name: F, F/m_i, and p_i F for every other number p. The indicator of a species is none of them: messages that
    are nothing for all other species could not move these.
    """
    names = (FORCE.name, ACCELERATION.name, *(f"{name}_force" for name in numerical(properties) if name != "mass"))
    return {name: gauge_named(name) for name in names}


def gauge_named(name: str) -> Gauge:
    known = {g.name: g for g in (FORCE, ACCELERATION)}
    return known.get(name) or Gauge(name, name.removesuffix("_force"), 1)


# ---------------------------------------------------------------- between messages and an additive node
#
# A network m_i a_i = sum_j e_ij + F_i predicts the same with e_ij + b_i in place of e_ij and F_i - k_i b_i in place of
# F_i, whatever b is of the receiver's own state; k_i counts its senders. Nothing in the predictions says which of these
# it is. Two things do not change: a sender's share S_ij = e_ij + F_i/k_i of the force on i, and so the differences
# between what two senders do to one receiver. What is fixed by convention is the mean over the senders of one receiver:
# that of the pair's terms (``physics.terms``), which depend on the sender, is the pair's, and the rest is the node's.
# So a part of a pair force that is the same whoever the sender is, -c v_i from every neighbour, is told as a part of
# the node's, k c times -v_i.


def own_shares(messages: Mapping) -> np.ndarray:
    """S_ij [edge, dim], a force: what does not depend on the gauge of a network with an additive node."""
    return messages["mass_i"].astype(float)[:, None] * messages["acc_share"]


def senders(messages: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """(number of its receiver in its frame [edge], k_i there [edge]); of windows, frame by frame."""
    at = messages.get("at", messages["frame"])
    key = np.stack([messages["trajectory"], at, messages["receiver"], messages["frame"]]).astype(np.int64)
    key -= key.min(1, keepdims=True)
    number = np.ravel_multi_index(tuple(key), tuple(key.max(1) + 1))
    _, number, count = np.unique(number, return_inverse=True, return_counts=True)
    return number, count[number].astype(float)


def settled(shares: np.ndarray, pair: np.ndarray, number: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The pair forces [edge, dim] of a network with these ``shares``, in the gauge in which their mean over the senders
    of a receiver (``senders``) is that of the forces ``pair`` by the pair's terms.
    """
    left = shares - pair
    mean = np.stack([np.bincount(number, column) for column in left.T], 1)[number] / count[:, None]
    return pair + left - mean
