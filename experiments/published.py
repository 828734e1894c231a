"""Numbers that the paper and its reproductions have published, to be put beside ours: read from published.ini."""

import configparser
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """One published table. ``values``: (system, dim, variant) -> number, tuple of numbers, text or bool; ``ours``:
    keys, one within the other, of the number of ``reproductions.scores`` that is defined alike.
    """

    source: str
    what: str
    definition: str
    values: dict
    ours: tuple[str, ...] | None = None


def _entry(text: str):
    try:
        numbers = tuple(float(part) for part in text.split(","))
        return numbers if len(numbers) > 1 else numbers[0]
    except ValueError:
        return {"yes": True, "no": False}.get(text, text)


def _read() -> dict[str, Table]:
    file = configparser.ConfigParser(interpolation=None, delimiters="=")
    file.read_string(Path(__file__).with_suffix(".ini").read_text(encoding="utf-8"))
    tables = {}
    for name in file.sections():
        section = dict(file[name])
        about = {k: section.pop(k) for k in ("source", "what", "definition")}
        ours = tuple(section.pop("ours", "").split()) or None
        variants, *rows = ([part.strip() for part in text.split("|")] for text in section.values())
        places = [(system, int(dim)) for system, dim in map(str.split, list(section)[1:])]
        values = {
            (*place, variant): _entry(text)
            for place, row in zip(places, rows, strict=True)
            for variant, text in zip(variants, row, strict=True)
            if text != "-"
        }
        tables[name] = Table(**about, values=values, ours=ours)
    return tables


TABLES = _read()

# successes of symbolic regression and trials by variant, where only totals were published or to check the cells
SR_TOTALS = {
    "paper_sr": {"standard": (0, 8), "bottleneck": (8, 8), "l1": (6, 8), "kl": (4, 8)},
    "eszt2_sr": {"standard": (4, 8), "bottleneck": (8, 8), "l1": (5, 8), "kl": (1, 8), "pruning": (8, 8)},
    "eszt2_sr_later": {"standard": (4, 8), "bottleneck": (8, 8), "l1": (6, 8), "kl": (4, 8), "pruning": (8, 8)},
    "vj279_edge_sr": {"standard": (8, 20), "bottleneck": (19, 20), "l1": (12, 20), "kl": (6, 20)},
    "vj279_node_sr": {"standard": (16, 20), "bottleneck": (15, 20), "l1": (12, 20), "kl": (3, 20)},
}

# eszt2's pruning of charge messages in 2-D, 100 -> 2 components, one seed each: (schedule, share of training at which
# it ends) -> (trimmed R2, ordinary R2 over all edges); the original repository's grid and that of its port to SymTorch
PRUNING_SCHEDULES = ("exponential", "linear", "cosine")
PRUNING_ENDS = (0.65, 0.75, 0.85)


def _pruning(trimmed: str, ols: str) -> dict:
    keys = [(schedule, end) for schedule in PRUNING_SCHEDULES for end in PRUNING_ENDS]
    pairs = zip(trimmed.split(), ols.split(), strict=True)
    return {key: (float(a), float(b)) for key, (a, b) in zip(keys, pairs, strict=True)}


ESZT2_PRUNING = {
    "earlier": _pruning(
        "0.991 0.995 0.973 0.987 0.994 0.471 0.998 0.995 0.970", "0.672 0.674 0.470 0.668 0.612 0.131 0.687 0.730 0.576"
    ),
    "later": _pruning(
        "0.901 0.992 0.975 0.997 0.989 0.976 0.994 0.984 0.883", "0.010 0.659 0.499 0.698 0.641 0.361 0.657 0.613 0.591"
    ),
}
