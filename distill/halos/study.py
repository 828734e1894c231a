"""Which haloes are learnt from, and on which the errors of networks, laws and formulas are compared.

A share of the haloes may be held out by their overdensity, as in Cranmer et al. 2020, who left out those above 1. What
was left out is judged in fresh boxes, whose haloes nobody has seen; the densities of haloes there are changed too.
"""

from collections.abc import Callable, Sequence

import numpy as np

from distill.files.storage import finite_or_none
from distill.halos.catalogue import Catalogue
from distill.halos.sums import Rows, SumLaw, Units, drawn, in_pieces, predicted

HOLDS = ("none", "above 1", "densest 20 %")
DENSE, SHARE = 1.0, 0.2
RECEIVERS = 5000  # of the fits of formulas and baselines


def limit_of(hold: str, train: Sequence[Catalogue]) -> float:
    """Overdensity from which on haloes are held out."""
    if hold == "none":
        return np.inf
    return DENSE if hold == "above 1" else float(np.quantile(np.concatenate([b.delta for b in train]), 1 - SHARE))


def masks(boxes: Sequence[Catalogue], limit: float, below: bool = True) -> list[np.ndarray]:
    """[box][halo]: those up to ``limit``, or those beyond it."""
    return [(b.delta <= limit) == below for b in boxes]


def thinner(box: Catalogue, share: float) -> Catalogue:
    """The heaviest ``share`` of the haloes."""
    return box.of(np.sort(np.argsort(-box.mass, kind="stable")[: round(share * len(box))]))


def judged(predict: Callable[[Catalogue], np.ndarray], sets: dict[str, tuple]) -> dict[str, dict]:
    """Of every set, (boxes, masks): the mean over boxes, each counting once, of their mean absolute errors, with its
    standard error, and the numbers of boxes, of haloes, and of those where ``predict`` has no value: where there are
    any, there is no error either. Boxes of several sets are predicted once.
    """
    known: dict[int, np.ndarray] = {}
    out = {}
    for name, (boxes, chosen) in sets.items():
        off = []
        for box, mask in zip(boxes, chosen, strict=True):
            if id(box) not in known:
                known[id(box)] = np.abs(predict(box) - box.delta)
            if mask.any():
                off.append(known[id(box)][mask])
        if off:
            means = np.array([o.mean() for o in off])
            error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.nan
            whole = np.concatenate(off)
            out[name] = {"mae": finite_or_none(means.mean()), "error": finite_or_none(error), "boxes": len(off)}
            out[name] |= {"haloes": len(whole), "undefined": int((~np.isfinite(whole)).sum())}
    return out


def sets_of(test: Sequence[Catalogue], dense: Sequence[Catalogue], limit: float) -> dict[str, tuple]:
    """Sets for ``judged``: fresh boxes, below and beyond ``limit``; with half the haloes, and the boxes ``dense`` with
    about twice as many.
    """
    everything = [np.ones(len(b), dtype=bool) for b in test]
    out = {"fresh boxes": (test, masks(test, limit) if np.isfinite(limit) else everything)}
    if np.isfinite(limit):
        return out | {"beyond": (test, masks(test, limit, below=False))}
    half = [thinner(b, 0.5) for b in test]
    return out | {
        "half the haloes": (half, [np.ones(len(b), dtype=bool) for b in half]),
        "twice the haloes": (dense, [np.ones(len(b), dtype=bool) for b in dense]),
    }


def by_law(law: SumLaw, cutoff: float, units: Units) -> Callable[[Catalogue], np.ndarray]:
    return by_rows(lambda rows: predicted(law, rows), cutoff, units)


def by_rows(predict: Callable[[Rows], np.ndarray], cutoff: float, units: Units) -> Callable[[Catalogue], np.ndarray]:
    """A function of catalogues, of one of rows, a piece at a time."""
    return lambda box: np.concatenate([predict(rows) for rows in in_pieces([box], cutoff, units)])


def rows_to_fit(boxes, cutoff: float, units: Units, seen: Sequence[np.ndarray], seed: int) -> Rows:
    """Of the haloes in the masks ``seen`` [box][halo], those that formulas and baselines are fitted to."""
    return drawn(boxes, cutoff, units, RECEIVERS, seed, seen)
