"""Tables in Markdown: of the pages, the benchmarks and the experiments."""

from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; an empty entry in ``head`` is a column without a name."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def shown(value) -> str:
    """A number with three digits, a dash for None."""
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
