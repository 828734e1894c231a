"""Formulas of data in other units: every variable times its unit, exactly but for rounding.

What fits and searches has constants of its own in it, sizes from which a number is taken as small or where one starts;
they are right for data of order one. So data are divided by ``Units`` before, and what is found is turned back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from distill.files.scales import Scales
from distill.formulas.functions import greater
from distill.formulas.text import symbols_for
from distill.formulas.tree import rebuild

AXES = "xyz"


@dataclass(frozen=True)
class Units:
    """``of``: variable of a formula -> its unit, 1 where it is not there; ``acceleration``, ``force``: those of what
    formulas are of.
    """

    of: Mapping = field(default_factory=dict)
    acceleration: float = 1.0
    force: float = 1.0

    @classmethod
    def of_scales(cls, scales: Scales) -> "Units":
        """For pair laws, node functions and responses of a dataset with these scales: distances and differences,
        velocities, net forces ``s`` and ``R``, ``sv`` = S . v, and the properties of both ends.
        """
        if scales == Scales():
            return cls()
        of = scales.variables | {"s": scales.force, "R": scales.force, "sv": scales.force * scales.speed}
        for axis in AXES:
            of |= {axis: scales.length, f"d{axis}": scales.length, f"v{axis}": scales.speed}
        return cls(of, scales.acceleration, scales.force)

    @property
    def speed(self) -> float:
        return self.of.get("v", 1.0)

    @property
    def energy(self) -> float:
        return self.force * self.of.get("r", 1.0)

    @property
    def momentum(self) -> float:
        return self.energy / self.speed

    def columns(self, features: Mapping) -> dict:
        """Variable -> values, in these units."""
        return {k: v / self.of.get(k, 1.0) for k, v in features.items()}

    def formula(self, expr: sp.Expr, unit: float = 1.0) -> sp.Expr:
        """A formula of the data, for what has the ``unit``, as one of data in these units."""
        return times(1 / unit, with_units(expr, self.of))

    def of_data(self, expr: sp.Expr, unit: float = 1.0) -> sp.Expr:
        """A formula of data in these units as one of the data."""
        return times(unit, with_units(expr, {name: 1 / own for name, own in self.of.items()}))

    def pair(self, expr: sp.Expr) -> sp.Expr:
        """A pair law of the data as one of data in these units."""
        return self.formula(expr, self.force)

    def pair_of_data(self, expr: sp.Expr) -> sp.Expr:
        return self.of_data(expr, self.force)


ONE = Units()


def times(number: float, expr: sp.Expr) -> sp.Expr:
    if number == 1 or expr == 0:
        return expr
    return sp.Add(*[sp.Float(number) * term for term in sp.Add.make_args(expr)])


def with_units(expr: sp.Expr, of: Mapping) -> sp.Expr:
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
