"""The four formulas of Cranmer et al. 2020 for the overdensity of haloes, to be refitted on other data.

Their constants belong to their units and their catalogue (Quijote, which cannot be had here): starts below are ours.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from distill.halos.catalogue import SMOOTHING
from distill.halos.sums import Rows, SumLaw, Units, fit, mean_error

# mean absolute errors in their table: on all haloes; and of the formula with mass and of the network, trained on
# overdensities up to 1, below and above that
PUBLISHED = {"constant": 0.421, "simple": 0.121, "without mass": 0.120, "with mass": 0.0882}
PUBLISHED_BEYOND = {"network": (0.0634, 0.142), "law": (0.0811, 0.0892)}


@dataclass(frozen=True)
class Published:
    """``message`` and ``node`` of scaled variables, with {R} and {P} for a radius and a power to start from and {S} for
    the smoothing length.
    """

    name: str
    message: str
    node: str
    radii: Sequence[float] = ()
    powers: Sequence[float] = ()

    def starts(self, smoothing: float) -> list[SumLaw]:
        pairs = itertools.product(self.radii or (1.0,), self.powers or (1.0,))
        return [SumLaw.of(self.message.format(R=r, P=p, S=smoothing), self.node) for r, p in pairs]


FEW = 1000  # receivers, by which the start is chosen
RADII, POWERS = (0.6, 1.0, 1.5), (4.3, 11.7)  # powers that are whole numbers would stay as they are
FORMULAS = (
    Published("constant", "1/r", "0.3"),
    # their sum within 20 Mpc/h, a radius that is not fitted
    Published("simple", "m_j*greater({S}, r)", "-0.1 + s*(0.1 + 0.01*m_i)"),
    Published("without mass", "(1.0 + v)/(1 + (r/{R})^{P})", "-0.2 + s/(10.0 + 0.1*s*v_i)", RADII, POWERS),
    Published("with mass", "(1.0 + m_j)/(1 + (r/{R})^{P})", "-0.2 + s/(10.0 + 1.0*m_i)", RADII, POWERS),
)


def refitted(formula: Published, rows: Rows, units: Units, smoothing: float = SMOOTHING) -> SumLaw:
    """The formula with constants fitted to ``rows``, from the best of its starts."""
    few = rows.first(FEW)
    found = [fit(start, few, 25) for start in formula.starts(smoothing / units.length)]
    return fit(min(found, key=lambda law: mean_error(law, few)), rows, 100)
