"""What is known to act beside central pair forces before a fit is made, which the fit takes up unasked.

A stage that has learnt the values of bodies has found with them what else acts (``identities.beside``). Selection
term by term may miss it: forces from displaced points look like other functions of pairs as long as they are not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distill.files.kinds import BesideRecord
from distill.splines.blocks import CURVE, Block, DisplacedBlock, NodeBlock, displaced
from distill.splines.dependence import OfLevels, Product
from distill.splines.normal_equations import Table
from distill.splines.pair_spline import Further


@dataclass(frozen=True)
class Known:
    """``terms``: (term, what it is a function of) of a node; ``centre``: where displaced forces come from, or None."""

    terms: tuple[tuple[str, str], ...] = ()
    centre: tuple[float, ...] | None = None

    def displaced(self, data: Table, functions: Sequence, unit: float) -> list[DisplacedBlock]:
        """Forces from the ``centre`` times each of the products among ``functions``."""
        if self.centre is None or data.motion is None:
            return []
        by = [one for one in functions if isinstance(one, Product) and not isinstance(one, OfLevels)]
        return [displaced(data.seen, one, CURVE, unit, self.centre) for one in by]

    def ways(self, blocks: Sequence[Block]) -> list[list[int]]:
        """Numbers of those ``blocks`` that stand for each of what is known, by what they are in proportion to."""
        of = {term: [k for k, b in enumerate(blocks) if _is(b, *term)] for term in self.terms}
        of |= {"displaced": [k for k, block in enumerate(blocks) if isinstance(block, DisplacedBlock)]}
        return [some for some in of.values() if some]

    def marked(self, further: Sequence[Further]) -> list[Further]:
        """``further`` terms of a fit, those that are known as such."""
        return [replace(one, known=one.known or self.says(one.block)) for one in further]

    def says(self, block: Block) -> bool:
        """Whether the ``block`` stands for something that is known."""
        if isinstance(block, DisplacedBlock):
            return self.centre is not None
        return any(_is(block, *term) for term in self.terms)


def _is(block: Block, term: str, over: str) -> bool:
    return isinstance(block, NodeBlock) and block.basis is not None and (block.term, block.over) == (term, over)


def known_of(found: Sequence[BesideRecord]) -> Known | None:
    """Of what a dataset says of itself; None where that is nothing."""
    if not found:
        return None
    centre = next((tuple(one.centre) for one in found if one.centre), None)
    return Known(tuple((one.term, one.over) for one in found if not one.centre), centre)
