"""The terms of a law: each a known vector times an unknown number, vector or function.

    m_i a_i = sum_j [ f e_ij + g (v_j - v_i) + h ((v_j - v_i).e_ij) e_ij + k e_ij_perp ] + F(x_i, v_i, p_i, t)

f, g, h, k are functions of r, the properties p_i, p_j of both ends and of time: the terms of a pair (``terms.pair``).
F is a sum of the terms of a node, which belong to the receiver and to no pair (``terms.node``): their unknown is a
value that is fitted, or a function. Read-out, fit, law, systems, text and LaTeX take what they need from here: adding
a term is one entry of ``TERMS``, and a class where its vector is of a new kind.
"""

import numpy as np

from distill.physics.terms import node, pair
from distill.physics.terms.node import Term
from distill.physics.terms.pair import PairTerm
from distill.physics.terms.state import Pairs, State, direction
from distill.physics.terms.values import About, Given

__all__ = ["About", "CONSTANT", "ELIMINATION", "Given", "NODE", "PAIR", "PairTerm", "Pairs", "State", "TERMS", "Term"]
__all__ += ["direction", "force", "node_term", "pair_force", "pair_term"]

TERMS: dict[str, Term | PairTerm] = {t.name: t for t in (*pair.ENTRIES, *node.ENTRIES)}
PAIR = tuple(name for name, term in TERMS.items() if term.of_pair)
NODE = tuple(name for name, term in TERMS.items() if not term.of_pair)
# those that a read-out tries, with numbers for values, and the order in which it tries to do without
CONSTANT = tuple(name for name in NODE if TERMS[name].dropped is not None)
ELIMINATION = tuple(sorted(CONSTANT, key=lambda name: TERMS[name].dropped))


def pair_term(name: str) -> PairTerm:
    """The pair's term of that name; ``KeyError`` where there is none."""
    if not isinstance(term := TERMS[name], PairTerm):
        raise KeyError(name)
    return term


def node_term(name: str) -> Term:
    """The node's term of that name; ``KeyError`` where there is none."""
    if not isinstance(term := TERMS[name], Term):
        raise KeyError(name)
    return term


def force(values: dict, state: State) -> np.ndarray:
    """The part of m_i a_i that no pair makes [..., particle, dim], from name of a term -> value."""
    out = np.zeros_like(state.vel, dtype=float)
    for name, value in values.items():
        out = out + TERMS[name].force(value, state)
    return out


def pair_force(functions: dict, pairs: Pairs) -> np.ndarray:
    """Forces on the receivers [..., pair, dim], from name of a pair's term -> function."""
    out = np.zeros(np.shape(pairs.dx))
    for name, function in functions.items():
        out = out + TERMS[name].force(function, pairs)
    return out
