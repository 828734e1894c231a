"""What all results have: a line, a card for a notebook, a figure."""

from collections.abc import Mapping
from typing import ClassVar

from distill.shell.errors import printable
from distill.shell.stage import Done

QUICK = "made with quick: tiny sizes, numbers mean nothing"


class Result(Done):
    """A ``Done`` that reads the files of its stage when it is asked, so that what was made before, or in another
    session, tells as much. ``print`` shows what a script prints of a stage; ``path`` is where it lies.

    A subclass gives its ``KIND`` in words, ``facts``, ``brief`` and ``plot``, and ``load``, by name.
    """

    KIND: ClassVar[str]

    def facts(self) -> Mapping[str, str]:
        """What there is to know, by label."""
        raise NotImplementedError

    def brief(self) -> str:
        """The most important of it, in a few words."""
        raise NotImplementedError

    def plot(self):
        """A matplotlib ``Figure``."""
        raise NotImplementedError

    @property
    def quick(self) -> bool:
        """Whether it was made with ``quick``."""
        return False

    def above(self) -> str:
        """HTML that stands above the facts."""
        return ""

    def __str__(self) -> str:
        return super().__str__() if self.numbers or self.before else repr(self)  # loaded: no stage has run

    def __repr__(self) -> str:
        said = f"{self.brief()}, {QUICK}" if self.quick else self.brief()
        return printable(" ".join(f"<{self.KIND} {self.name}: {said}>".split()))

    def _repr_html_(self) -> str:
        from distill.report.page import card  # matplotlib and PyTorch take seconds

        facts = self.facts() | ({"Beware": QUICK} if self.quick else {})
        return card(self.KIND, self.name, facts, self.above())
