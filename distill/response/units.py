"""Units in which compositions are fitted, so that what is found does not depend on those of the data.

Powers of ten near the typical distance, speed, acceleration and size of each property. They are exact but for rounding,
and data that are of order one already, as those of the simulated systems, keep their own.
"""

from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from distill.files.properties import property_named
from distill.formulas.functions import greater
from distill.formulas.text import symbols_for
from distill.formulas.tree import rebuild
from distill.law.receivers import Receivers
from distill.physics.terms import State
from distill.response.composition import Composition
from distill.statistics.metrics import typical_size


@dataclass(frozen=True)
class Units:
    """``of``: variable of a pair law or a response -> its unit; ``acceleration``: that of a. Net forces have none: the
    scale of a pair law is free.
    """

    of: dict
    acceleration: float = 1.0

    @property
    def speed(self) -> float:
        return self.of.get("v", 1.0)

    def data(self, data: Receivers) -> Receivers:
        """``data`` in these units."""
        properties = {
            name: value / self.of.get(property_named(name).variables[0], 1.0)
            for name, value in data.state.properties.items()
        }
        return replace(
            data,
            features={k: v / self.of.get(k, 1.0) for k, v in data.features.items()},
            acc=data.acc / self.acceleration,
            predicted=data.predicted / self.acceleration,
            state=State(data.state.vel / self.speed, properties),
        )

    def pair(self, expr: sp.Expr) -> sp.Expr:
        """A pair law of the data as one of data in these units."""
        return _scaled(expr, self.of)

    def alpha(self, expr: sp.Expr) -> sp.Expr:
        return _times(1 / self.acceleration, _scaled(expr, self.of))

    def beta(self, expr: sp.Expr) -> sp.Expr:
        return _times(self.speed / self.acceleration, _scaled(expr, self.of))

    def share(self, expr: sp.Expr) -> sp.Expr:
        """beta/alpha."""
        return _times(self.speed, _scaled(expr, self.of))

    def undone(self, form: Composition) -> Composition:
        """A composition for data in these units as one of the data."""
        back = {name: 1 / unit for name, unit in self.of.items()}
        return Composition(
            _scaled(form.pair, back),
            _times(self.acceleration, _scaled(form.alpha, back)),
            _times(self.acceleration / self.speed, _scaled(form.beta, back)),
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


def _times(number: float, expr: sp.Expr) -> sp.Expr:
    return expr if number == 1 else sp.Float(number) * expr


def _scaled(expr: sp.Expr, of: dict) -> sp.Expr:
    """``expr`` with every variable times its unit; thresholds stay those of the variable itself."""
    units = {symbols_for((name,))[0]: unit for name, unit in of.items() if unit != 1}

    def change(e):
        if e.func is greater:
            parts = [a.as_coeff_Mul() for a in e.args]
            scales = [number for number, rest in parts if rest.is_Symbol]
            if len(scales) == 1 and scales[0] > 0 and all(rest.is_Symbol or rest is sp.S.One for _, rest in parts):
                return greater(*(r if r.is_Symbol else sp.Float(float(c) / float(scales[0])) for c, r in parts))
        return e

    if not units:
        return expr
    return rebuild(expr.xreplace({s: sp.Float(u) * s for s, u in units.items()}), change)
