"""Where, when and from which commit results come: what every part of the pages says of them, in the same words."""

from collections.abc import Iterable, Mapping

PARTLY = "partly"  # "dirty" of results some of which were measured with changes that were not committed


def several(values: Iterable) -> str:
    """Each once, in order."""
    return ", ".join(map(str, sorted(set(values))))


def commit(git: Mapping) -> str:
    """In short, and whether something was changed beside it; ``git`` is that of a provenance."""
    if not git.get("commit"):
        return "–"
    changes = {True: " with changes", PARTLY: " partly with changes"}
    return f"`{git['commit'][:7]}`" + changes.get(git.get("dirty"), "")


def commits(gits: Iterable[Mapping]) -> str:
    """With the word before them."""
    told = sorted({commit(git) for git in gits})
    return f"commit{'s' * (len(told) > 1)} {', '.join(told)}"


def made(measured: Iterable[Mapping], file: str, seeds: Iterable[int] = (), more: str = "") -> str:
    """A sentence: seeds, machines, dates, commits and results/``file``.json, from what each of ``measured`` (rows or
    sections) keeps under hardware, date and git; ``more`` stands before the file.
    """
    measured, seeds = list(measured), set(seeds)
    parts = [f"Seed{'s' * (len(seeds) > 1)} {several(seeds)}"] if seeds else []
    parts += [several(one[key] for one in measured) for key in ("hardware", "date")]
    parts += [commits(one["git"] for one in measured), *([more] if more else [])]
    return "; ".join([*parts, f"[`results/{file}.json`](../results/{file}.json)"]) + "."
