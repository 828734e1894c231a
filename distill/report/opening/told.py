"""Sentences under a question, as the first screen of the report shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from distill.report.page import code, text, whole_numbers
from distill.report.words import ROUNDING, shown


@dataclass(frozen=True)
class Told:
    """``said`` of what ``label`` names, plain text; ``command``: what tells that which is missing."""

    label: str
    said: str
    command: str = ""

    @property
    def html(self) -> str:
        made = f"<br>{code(self.command)}" if self.command else ""
        kind = " class=missing" if self.command else ""
        return f"<li{kind}><b>{text(self.label)}.</b> {whole_numbers(text(self.said))}{made}</li>"


def block(question: str, told: Sequence[Told], above: str = "", wide: bool = False) -> str:
    """The answers to one question; ``above``: HTML before them."""
    kind = "ask wide" if wide else "ask"
    return f'<div class="{kind}"><h2>{text(question)}</h2>{above}<ul>{"".join(one.html for one in told)}</ul></div>'


def counted(n: int, what: str) -> str:
    """``(n = 4,000 receivers)``."""
    return f"(n = {n:,} {what})"


def small(error: float | None) -> str:
    """A relative error; one that is that of floating-point numbers says so."""
    return f"rounding ({shown(error)})" if error is not None and 0 < error < ROUNDING else shown(error)


def span(low, high) -> str:
    """Two numbers as a range, or as the one number that both are."""
    from distill.report.words import shown

    return shown(low) if low == high else f"{shown(low)} to {shown(high)}"
