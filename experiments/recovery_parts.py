"""How often the law is found: the tables of README.md and docs/results.md, from the rows of benchmarks/recovery.py.

What stands before the refit on accelerations measures the network; what stands after it measures the refit. A column
is there if its measure is in some row, and says in half a sentence what it measures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from table_cells import r2

from distill.network.recipes import PRIORS
from distill.report.markdown import markdown
from distill.report.numbers import clustered, rate, shown_rate

NONE = "–"


@dataclass(frozen=True)
class Column:
    head: str
    what: str  # it measures, in half a sentence
    entry: Callable[[list[dict]], str]  # of a line's rows; NONE where they do not tell


def found(key: str, interval: bool = False) -> Callable[[list[dict]], str]:
    """ "found/tried" of the networks, or of the datasets where no trained network is needed."""

    def entry(rows):
        counted = rate(rows, key)
        return shown_rate(counted) if interval else f"{counted['successes']}/{counted['n']}" if counted["n"] else NONE

    return entry


def middle(key: str) -> Callable[[list[dict]], str]:
    def entry(rows):
        known = [r[key] for r in rows if r.get(key) is not None]
        return r2(median(known)) if known else NONE

    return entry


def error(key: str) -> Callable[[list[dict]], str]:
    def entry(rows):
        known = [r[key] for r in rows if r.get(key) is not None]
        return f"{median(known):.2g}" if known else NONE

    return entry


def largest(inside: bool) -> Callable[[list[dict]], str]:
    """The largest of errors of laws over those of their networks."""

    def entry(rows):
        sets = [(name, value) for r in rows for name, value in (r.get("law_over_gnn_mae") or {}).items()]
        known = [v for name, v in sets if v is not None and (name == "interpolation") == inside]
        return NONE if not known else "0" if max(known) < 1e-9 else f"{max(known):.1g}"

    return entry


def priors(rows) -> str:
    recipes = {r.get("recipe") for r in rows}
    return {frozenset({"newton"}): "yes", frozenset({"paper"}): "no"}.get(frozenset(recipes), NONE)


LISTED = ", ".join(PRIORS.values())


def costs(rows) -> str:
    """CPU-seconds, medians: the training, and all that stands beside it."""
    keys = {"training": "train_cpu_s"} | {k: f"{k}_cpu_s" for k in ("splines", "untrained", "control")}
    known = {k: [r[key] for r in rows if r.get(key) is not None] for k, key in keys.items()}
    return " · ".join(f"{k} {median(v):.3g}" for k, v in known.items() if v) or NONE


SIZE = Column(
    "networks (data sets)",
    "networks trained, and the data sets that they were trained on",
    lambda rows: f"{len(rows)} ({len(clustered(rows))})",
)
OF_PRIORS = Column(
    "priors",
    f"whether the network has the priors of the newton recipe, which buy its R² ({LISTED})",
    priors,
)
R2 = Column("R² of the messages", "with the true pair force on all held-out edges, median", middle("r2_all"))
R2_SPLINES = Column(
    "R² of splines", "the same of a spline fit to the accelerations, no network", middle("splines_r2_all")
)
ERRORS = (
    Column(
        "largest error law / network",
        "of accelerations simulated anew, after the refit; 0 where constants were rounded to those of the truth, which"
        " have few digits",
        largest(True),
    ),
    Column("... beyond the training range", "on data unlike those of the training", largest(False)),
)
COSTS = Column("CPU-s", "of the training, and of every rival with its search and refit, median", costs)


def verdicts(interval: bool) -> list[Column]:
    """Counts of laws, before and after the refit, with intervals in per cent if asked."""

    def column(head, what, key):
        return Column(head, what, found(key, interval))

    return [
        column("**from the messages**", "laws right before any refit: measures the network", "from_messages_recovered"),
        column(
            "... form within 1 %",
            "those of the right form with constants within 1 %, whether or not they are ten times as good as the"
            " network that they were read from",
            "from_messages_same_form",
        ),
        column("untrained network", "the same read-out and search, no training", "untrained_before_refit_recovered"),
        column("splines", "the same search in the spline fit, no network", "splines_before_refit_recovered"),
        column("after the refit", "constants fitted to the accelerations: measures the refit", "recovered"),
        column("untrained, after the refit", "the same refit behind the untrained network", "untrained_recovered"),
        column("splines, after the refit", "the same refit behind the splines", "splines_recovered"),
        column(
            "control, after the refit",
            "the same refit of formulas that are listed beforehand, nothing read",
            "control_recovered",
        ),
    ]


NETWORK = Column(
    "network's error",
    "mean relative error of the network's accelerations on data left out, median",
    error("acceleration_error_gnn"),
)


def of_network() -> list[Column]:
    """What a network is without any refit, and after it."""
    trimmed = Column("... best 90 %", "the same of the 90 % that fit best", middle("r2_trim90"))
    kept = [c for c in verdicts(False) if c.head in ("**from the messages**", "after the refit")]
    return [SIZE, NETWORK, R2, trimmed, *kept]


def table(lines: list[tuple[str, list[dict]]], columns: list[Column]) -> tuple[str, list[Column]]:
    """(Markdown, the columns that have something to tell)."""
    entries = {c.head: [c.entry(rows) for _, rows in lines] for c in columns}
    told = [c for c in columns if set(entries[c.head]) != {NONE}]
    body = [[label, *(entries[c.head][k] for c in told)] for k, (label, _) in enumerate(lines)]
    return markdown(["", *(c.head for c in told)], body), told


def legend(columns: list[Column]) -> str:
    return "; ".join(f"*{c.head.strip('*.').strip()}*: {c.what}" for c in columns) + "."


def with_rivals(rows: list[dict]) -> bool:
    """Whether these rows are of the benchmark that runs rivals, beside one network of each data set: it tells what
    noise is, too.
    """
    return any("noise_is" in r for r in rows)


def constants_of_argon(rows: list[dict]) -> str:
    """How far sigma and epsilon are from the true ones, in a sentence; nothing without such rows."""
    told = []
    for prefix, when in (("from_messages_", "from the messages, before the refit"), ("", "after it")):
        off = {k: [abs(r[f"{prefix}{k}_off"]) for r in rows if f"{prefix}{k}_off" in r] for k in ("sigma", "epsilon")}
        if off["sigma"]:
            entries = [
                f"{k} {100 * median(v):.2g} % in the median, {100 * max(v):.2g} % at most" for k, v in off.items() if v
            ]
            told.append(f"{when}: the form in {len(off['sigma'])} of {len(rows)} networks, {', '.join(entries)}")
    return f"Argon's constants are off by, {'; '.join(told)}." if told else ""
