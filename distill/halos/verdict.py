"""Whether the law of a planted catalogue was found: its form, its constants, and what it predicts elsewhere."""

from collections.abc import Sequence

import numpy as np

from distill.files.storage import finite_or_none
from distill.formulas.equivalence import equivalence
from distill.formulas.fit import value_of
from distill.halos.catalogue import Catalogue
from distill.halos.study import by_law, thinner
from distill.halos.sums import OWN, PAIR, SumLaw, Units, rows_of

CLOSE = 0.01  # mean error of a law without the noise, over the standard deviation of the overdensities
CONSTANTS = 0.1  # by which a constant may be off: noise of 5 % tells no more


def verdict(law: SumLaw, truth: SumLaw, fresh: Sequence[tuple[Catalogue, np.ndarray]], cutoff: float, units: Units):
    """JSON-ready: ``recovered`` where both halves have the true form with every constant within ``CONSTANTS`` and fresh
    boxes (catalogue, overdensities without noise) are predicted within ``CLOSE``; and why not. Laws in ``units``.
    """
    law, truth = law.normalised(), truth.normalised()
    rows = rows_of(fresh[0][0], cutoff, units)
    sums = rows.sum(value_of(truth.message, rows.pair, len(rows.pair["r"])))
    some = np.random.default_rng(0).permutation(len(rows.pair["r"]))[:4000]
    samples = {"message": {k: rows.pair[k][some] for k in PAIR}, "node": {"s": sums} | {k: rows.own[k] for k in OWN}}
    forms = {}
    for half, columns in samples.items():
        found = equivalence(getattr(law, half), getattr(truth, half), {"in range": columns})
        forms[half] = {k: found[k] for k in ("relation", "off", "constants")}
    predict = by_law(law, cutoff, units)
    spread = float(np.concatenate([clean for _, clean in fresh]).std())
    close = float(np.mean([np.abs(predict(box) - clean).mean() for box, clean in fresh]) / spread)
    truly = by_law(truth, cutoff, units)
    half = [thinner(box, 0.5) for box, _ in fresh]
    thin = float(np.mean([np.abs(predict(b) - truly(b)).mean() for b in half]) / spread)
    why = []
    for name, form in forms.items():
        if form["relation"] == "different":
            why.append(f"the {name} has another form")
        elif (form["off"] or 0.0) > CONSTANTS:
            why.append(f"a constant of the {name} is off by {form['off']:.2g}")
    if not close <= CLOSE:
        why.append(f"fresh boxes are off by {close:.2g} standard deviations")
    errors = {
        "error": finite_or_none(close),
        "error_half": finite_or_none(thin),
    }  # None: the law has no value somewhere
    return {"recovered": not why, "why": "; ".join(why)} | errors | {"forms": forms}
