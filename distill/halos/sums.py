"""Laws of sums over neighbours, delta_i = N(s_i, m_i, v_i) with s_i = sum_j e_ij, on catalogues of haloes.

e_ij is a formula of the distance r, the masses m_i, m_j, the speeds v_i, v_j and the relative speed v = |v_i - v_j|; N
of s, m_i and v_i. A factor may move from e to N: e has the leading coefficient 1. Both halves are linear in their
effect (N given e is a regression, the first-order effect of e_ij on delta_i is N's slope times a sum), and all
constants are fitted together end to end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from scipy.optimize import least_squares

from distill.formulas.fit import BAD, full, value_of
from distill.formulas.objective import MAX_CONSTANTS
from distill.formulas.program import Fixed, Program
from distill.formulas.text import parse, symbols_for, to_text
from distill.formulas.tree import canonical, complexity, parametrise, with_constants
from distill.halos.catalogue import Catalogue
from distill.physics.neighbours import Neighbours, radius_graph
from distill.search.shared import leading_one
from distill.shell.errors import UserError

PAIR = ("r", "m_i", "m_j", "v_i", "v_j", "v")
OWN = ("m_i", "v_i")
EDGES_AT_ONCE = 600_000
BOXES = 2  # a part, from which on boxes are not cut
TYPICAL = 0.4  # of the cutoff: the unit of length
F_SCALE = 0.3  # of the soft l1 loss, in units of the mean absolute error at the start: nearly least absolute errors


@dataclass(frozen=True)
class SumLaw:
    """``message``: e of ``PAIR``; ``node``: N of s and ``OWN``."""

    message: sp.Expr
    node: sp.Expr

    @classmethod
    def of(cls, message: str, node: str) -> "SumLaw":
        return cls(parse(message, PAIR), parse(node, ("s", *OWN)))

    @property
    def texts(self) -> dict[str, str]:
        return {"message": to_text(self.message), "node": to_text(self.node)}

    @property
    def complexity(self) -> int:
        return complexity(self.message) + complexity(self.node)

    def normalised(self) -> "SumLaw":
        """The same law, the leading coefficient of e being 1."""
        factor, message = leading_one(canonical(self.message))
        s = symbols_for(["s"])[0]
        node = self.node if factor == 1 else self.node.xreplace({s: sp.Float(factor) * s})
        return SumLaw(canonical(message), canonical(node))


@dataclass(frozen=True)
class Units:
    """Length, mass and speed in which fits and searches work: what they find does not depend on the catalogue's."""

    length: float
    mass: float
    speed: float

    @classmethod
    def of(cls, boxes: Sequence[Catalogue], cutoff: float) -> "Units":
        speeds = np.concatenate([np.linalg.norm(b.vel, axis=1) for b in boxes])
        mass = float(np.median(np.concatenate([b.mass for b in boxes])))
        return cls(TYPICAL * cutoff, mass, float(np.median(speeds)) or 1.0)

    def factor(self, name: str) -> float:
        """The unit of a variable of a formula; s has none."""
        return {"r": self.length, "m": self.mass, "v": self.speed}.get(name[0], 1.0)

    def in_data(self, law: SumLaw) -> SumLaw:
        """A law of scaled variables, as one of those of the catalogue."""
        return self._scaled(law, lambda name: 1 / self.factor(name))

    def scaled(self, law: SumLaw) -> SumLaw:
        """A law of the catalogue's variables, as one of scaled ones."""
        return self._scaled(law, self.factor)

    def _scaled(self, law, factor) -> SumLaw:
        symbols = {s: sp.Float(factor(s.name)) * s for s in symbols_for(PAIR)}
        return SumLaw(law.message.xreplace(symbols), law.node.xreplace(symbols)).normalised()


@dataclass
class Rows:
    """Receivers with their edges one after the other: ``pair`` name -> [edge], ``own`` name -> [receiver], the number
    of edges of each ``count`` [receiver] (0 too), and ``delta`` [receiver].
    """

    pair: dict[str, np.ndarray]
    own: dict[str, np.ndarray]
    count: np.ndarray
    delta: np.ndarray

    def __post_init__(self):
        self._ends = np.concatenate([[0], np.cumsum(self.count)])

    def __len__(self) -> int:
        return len(self.delta)

    def first(self, count: int) -> "Rows":
        """The first ``count`` receivers of an order that is always the same, if there are more."""
        if len(self) <= count:
            return self
        return self.of(np.random.default_rng(len(self)).permutation(len(self))[:count])

    def of(self, chosen: np.ndarray) -> "Rows":
        """The receivers of these numbers."""
        count = self.count[chosen]
        new = np.cumsum(count) - count
        edge = np.repeat(self._ends[:-1][chosen] - new, count) + np.arange(count.sum())
        pair, own = ({k: v[at] for k, v in part.items()} for part, at in ((self.pair, edge), (self.own, chosen)))
        return Rows(pair, own, count, self.delta[chosen])

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sums [receiver, ...] over the edges of ``values`` [edge, ...]."""
        out, some = np.zeros((len(self), *values.shape[1:])), self.count > 0
        if some.any():  # each sum by itself: differences of a running one lose what is small beside what came before
            out[some] = np.add.reduceat(values, self._ends[:-1][some], axis=0, dtype=float)
        return out


def rows_of(catalogue: Catalogue, cutoff: float, units: Units, chosen=None, graph: Neighbours | None = None) -> Rows:
    """The haloes ``chosen`` (numbers or a mask; None: all) as receivers, all haloes within ``cutoff`` being senders; in
    ``units``. ``graph``: the edges of the whole catalogue, where they are known already.
    """
    graph = graph or radius_graph(catalogue.pos, catalogue.side, cutoff)
    n = len(catalogue)
    wanted = np.ones(n, dtype=bool)
    if chosen is not None:
        wanted = np.zeros(n, dtype=bool)
        wanted[chosen] = True
    keep = wanted[graph.receiver]
    i, j, r = graph.receiver[keep], graph.sender[keep], graph.r[keep]
    speed, mass = np.linalg.norm(catalogue.vel, axis=1) / units.speed, catalogue.mass / units.mass
    relative = np.linalg.norm(catalogue.vel[i] - catalogue.vel[j], axis=1) / units.speed
    pair = {"r": r / units.length, "m_i": mass[i], "m_j": mass[j]}
    pair |= {"v_i": speed[i], "v_j": speed[j], "v": relative}
    own = {"m_i": mass[wanted], "v_i": speed[wanted]}
    return Rows(pair, own, np.bincount(i, minlength=n)[wanted], catalogue.delta[wanted])


def together(parts: Sequence[Rows]) -> Rows:
    """Rows of several boxes as one."""

    def joined(name):
        return {k: np.concatenate([getattr(p, name)[k] for p in parts]) for k in getattr(parts[0], name)}

    counts, deltas = (np.concatenate([getattr(p, k) for p in parts]) for k in ("count", "delta"))
    return Rows(joined("pair"), joined("own"), counts, deltas)


def rows_from(boxes: Sequence[Catalogue], cutoff: float, units: Units, chosen: Sequence[np.ndarray]) -> Rows:
    """The haloes ``chosen`` [box][halo] (numbers) of the boxes."""
    some = [(box, np.sort(numbers)) for box, numbers in zip(boxes, chosen, strict=True) if len(numbers)]
    # of nothing chosen, rows without a receiver
    return together([rows_of(box, cutoff, units, numbers) for box, numbers in some or [(boxes[0], chosen[0])]])


def drawn(boxes: Sequence[Catalogue], cutoff: float, units: Units, receivers: int, seed: int, masks=None) -> Rows:
    """At most ``receivers`` haloes, drawn evenly from the boxes; of those in ``masks`` [box][halo] where given."""
    each = -(-receivers // len(boxes))
    return rows_from(boxes, cutoff, units, [numbers[:each] for numbers in in_random_order(boxes, seed, masks)])


def in_random_order(boxes: Sequence[Catalogue], seed: int, masks=None) -> list[np.ndarray]:
    """Numbers [box][halo] of all haloes, or of those in ``masks``, each box's in a random order."""
    allowed = [np.arange(len(box)) if masks is None else np.flatnonzero(masks[k]) for k, box in enumerate(boxes)]
    return [np.random.default_rng([seed, 71, k]).permutation(numbers) for k, numbers in enumerate(allowed)]


def parted(boxes: Sequence[Catalogue], counts: Sequence[int], seed: int, masks=None) -> list[list[np.ndarray]]:
    """Numbers [part][box][halo] of parts of at most about so many haloes each that have none in common (of those in
    ``masks``): whole boxes where there are ``BOXES`` a part, as haloes of one box share neighbours; else every box is
    cut, in proportion to ``counts``. ``UserError`` where that leaves a part without haloes.
    """
    order = in_random_order(boxes, seed, masks)
    filled = np.array([k for k, numbers in enumerate(order) if len(numbers)], dtype=int)
    out = [[numbers[:0] for numbers in order] for _ in counts]
    if len(filled) >= BOXES * len(counts):
        groups = np.array_split(np.random.default_rng([seed, 74]).permutation(filled), len(counts))
        for part, group, count in zip(out, groups, counts, strict=True):
            for k in group:
                part[k] = order[k][: -(-count // len(group))]
    else:
        wanted = -(-np.array(counts) // max(len(filled), 1))
        for k in filled:
            share = wanted * min(1.0, len(order[k]) / wanted.sum())
            ends = np.concatenate([[0], np.rint(np.cumsum(share)).astype(int)])
            for part, low, high in zip(out, ends[:-1], ends[1:], strict=True):
                part[k] = order[k][low:high]
    if not all(any(map(len, part)) for part in out):
        found = (
            f"{sum(map(len, order))} haloes with an overdensity, of which one half would choose the law of the other"
        )
        raise UserError(found, "take more haloes")
    return out


def in_pieces(boxes: Sequence[Catalogue], cutoff: float, units: Units, masks=None) -> Iterator[Rows]:
    """All haloes (or those in ``masks``), a piece of a box at a time: memory is that of a piece."""
    for k, box in enumerate(boxes):
        allowed = np.arange(len(box)) if masks is None else np.flatnonzero(masks[k])
        graph = radius_graph(box.pos, box.side, cutoff)
        size = max(1, int(EDGES_AT_ONCE * len(box) / max(len(graph.r), 1)))
        yield from (rows_of(box, cutoff, units, allowed[a : a + size], graph) for a in range(0, len(allowed), size))


def predicted(law: SumLaw, rows: Rows) -> np.ndarray:
    """delta [receiver] by the law."""
    total = rows.sum(value_of(law.message, rows.pair, len(rows.pair["r"])))
    return value_of(law.node, {"s": total} | rows.own, len(rows))


def mean_error(law: SumLaw, rows: Rows) -> float:
    """Mean absolute error; infinite where the law has no value."""
    found = float(np.abs(predicted(law, rows) - rows.delta).mean())
    return found if np.isfinite(found) else np.inf


def fit(law: SumLaw, rows: Rows, max_nfev: int = 60) -> SumLaw:
    """``law`` with all its constants fitted to delta by nearly least absolute errors; as it was where that is no better
    or where it has none, or more than ``MAX_CONSTANTS``.
    """
    law = law.normalised()
    before = mean_error(law, rows)
    exprs, starts = [], []
    for k, part in enumerate((law.message, law.node)):
        pexpr, symbols, start = parametrise(part)
        names = [sp.Symbol(f"#{'en'[k]}{c}", real=True) for c in range(len(start))]
        exprs.append((pexpr.xreplace(dict(zip(symbols, names, strict=True))), names))
        starts.append(start)
    start = np.concatenate(starts)
    if not 0 < len(start) <= MAX_CONSTANTS or not np.isfinite(before):
        return law
    first, edges, count = len(starts[0]), len(rows.pair["r"]), len(rows)
    try:
        pair = Fixed(Program(exprs[0][0], [*symbols_for(PAIR), *exprs[0][1]]), [rows.pair[k] for k in PAIR])
        own = Fixed(
            Program(exprs[1][0], [*symbols_for(OWN), *symbols_for(["s"]), *exprs[1][1]]), [rows.own[k] for k in OWN]
        )
    except (ValueError, TypeError, OverflowError):
        return law
    last: dict = {}

    def evaluate(p):
        if last.get("at") is None or not np.array_equal(last["at"], p):
            slots = pair.values(p[:first].tolist())
            total = rows.sum(full(slots[pair.program.output], edges))
            nodes = own.values([total, *p[first:].tolist()])
            last.update(at=p.copy(), slots=slots, nodes=nodes, value=full(nodes[own.program.output], count))

    def residual(p):
        evaluate(p)
        r = last["value"] - rows.delta
        return np.where(np.isfinite(r), r, BAD)

    def jacobian(p):
        evaluate(p)
        slope, *others = (full(0.0 if g is None else g, count) for g in own.gradients(last["nodes"]))
        J = np.zeros((count, len(p)))
        for k, g in enumerate(pair.gradients(last["slots"])):
            if g is not None:
                J[:, k] = slope * rows.sum(full(g, edges))
        for k, g in enumerate(others):
            J[:, first + k] = g
        return np.where(np.isfinite(J), J, 0.0)

    size = np.maximum(np.abs(start), 1e-3)
    with np.errstate(all="ignore"):
        try:
            found = least_squares(
                residual, start, jacobian, loss="soft_l1", f_scale=max(F_SCALE * before, 1e-12),
                max_nfev=max_nfev, x_scale=size, ftol=1e-10, xtol=1e-10, gtol=1e-14,
            )  # fmt: skip
        except (ValueError, np.linalg.LinAlgError):
            return law
    if not np.isfinite(found.x).all():
        return law
    parts = (found.x[:first], found.x[first:])
    new = SumLaw(*(with_constants(e, names, x) for (e, names), x in zip(exprs, parts, strict=True))).normalised()
    return new if mean_error(new, rows) <= before else law
