"""Units in which compositions are fitted, so that what is found does not depend on those of the data.

Powers of ten near the typical distance, speed, acceleration and size of each property. They are exact but for rounding,
and data that are of order one already, as those of the simulated systems, keep their own. The scale of a pair law is
free where a response follows it, so net forces have no unit here.
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from distill.files.properties import property_named
from distill.formulas.units import Units as FormulaUnits
from distill.formulas.units import times
from distill.law.receivers import Receivers, in_units
from distill.response.composition import Composition
from distill.statistics.metrics import typical_size


@dataclass(frozen=True)
class Units(FormulaUnits):
    """``of``: variable of a pair law or a response -> its unit; ``acceleration``: that of a."""

    def data(self, data: Receivers) -> Receivers:
        """``data`` in these units."""
        return in_units(data, self)

    def alpha(self, expr: sp.Expr) -> sp.Expr:
        return self.formula(expr, self.acceleration)

    def beta(self, expr: sp.Expr) -> sp.Expr:
        return times(self.speed, self.formula(expr, self.acceleration))

    def share(self, expr: sp.Expr) -> sp.Expr:
        """beta/alpha."""
        return times(self.speed, self.formula(expr))

    def undone(self, form: Composition) -> Composition:
        """A composition for data in these units as one of the data."""
        return Composition(
            self.pair_of_data(form.pair),
            self.of_data(form.alpha, self.acceleration),
            times(1 / self.speed, self.of_data(form.beta, self.acceleration)),
        )


ONE = Units({})


def units_of(data: Receivers) -> Units:
    """Powers of ten near what is typical of ``data``."""
    of = {name: _power(values) for name, values in data.features.items()}
    for name in data.state.properties:  # both ends of a pair in one unit
        own, other = property_named(name).variables
        of[other] = of[own]
    of["v"] = of["sv"] = _power(np.linalg.norm(data.state.vel, axis=1))
    return Units(of, _power(np.linalg.norm(data.acc, axis=1)))


def _power(values) -> float:
    size = typical_size(np.abs(values))
    return float(f"1e{round(np.log10(size))}") if size > 0 and np.isfinite(size) else 1.0
