"""The short form of the tables for README.md."""

from cells import SECTIONS
from published import SR_TOTALS, TABLES
from table_cells import (
    ROWS,
    ROWS_OF_ERRORS,
    VARIANTS,
    VERDICTS,
    Cells,
    conditions,
    error,
    laws_with,
    markdown,
    name,
    papers_best,
    r2,
    worst_law_error,
)

SHOWN = ("bottleneck", "l1", "kl", "pruning")


def summary(cells: Cells) -> str:
    """R2, test errors and laws: the paper's and those of both recipes."""
    return "\n\n".join([r2_table(cells), error_table(cells), law_table(cells), told(cells)])


def r2_table(cells: Cells) -> str:
    lines = []
    for system, dim in ROWS:
        line = [name(system, dim)]
        for variant in SHOWN:
            theirs = TABLES["paper_r2"].values.get((system, dim, variant))
            paper = cells.median(("fit", "force", "r2_trim90"), system, dim, variant, "paper")
            newton = cells.median(("fit", "force", "r2_trim90"), system, dim, variant, "newton")
            worst = min(cells.values(("fit", "force", "r2_all"), system, dim, variant, "newton"), default=None)
            line.append(f"{r2(theirs)} · {r2(paper)} · **{r2(newton)}** ({r2(worst)})")
        lines.append(line)
    return (
        "**R² of the messages with the true force (Table 1)**: paper · paper recipe here · **newton recipe** "
        "here, on the best 90 % of the edges, median over seeds (in brackets: on all edges, worst seed).\n\n"
        + markdown(["", *SHOWN], lines)
    )


def error_table(cells: Cells) -> str:
    lines = []
    for system, dim in ROWS_OF_ERRORS:
        line = [name(system, dim), error(papers_best(system, dim))]
        for recipe, per in (
            ("paper", "per_component"),
            ("newton", "per_component"),
            ("newton", "per_particle"),
            ("newton", "per_graph"),
        ):
            values = [cells.median(("messages", "mae", "all", per), system, dim, v, recipe) for v in VARIANTS]
            line.append(error(min((v for v in values if v is not None), default=None)))
        line.append(error(worst_law_error(cells, system, dim)))
        lines.append(line)
    head = [
        "",
        "paper's best",
        "paper recipe",
        "newton, mean over components",
        "summed over components",
        "summed over particles too",
        "law found, worst",
    ]
    return (
        "**Test error (Table 3)**, mean absolute error of the accelerations of the best variant; the paper does "
        "not say which of the three means it took.\n\n" + markdown(head, lines)
    )


def law_table(cells: Cells) -> str:
    rows = [("paper", SR_TOTALS["paper_sr"])]
    for recipe in ("paper", "newton"):
        rows += [
            (f"{recipe} recipe here" + ("" if key == "recovered" else f", {what}"), laws_with(cells, recipe, key))
            for what, key in VERDICTS.items()
        ]
    lines = [[who] + ["{}/{}".format(*counts[v]) if v in counts else "–" for v in VARIANTS] for who, counts in rows]
    return (
        "**The law found (Table 5)**, runs of runs, eight systems; from the messages alone: before the refit on "
        "accelerations; without any network: the same refit, repair and choice, the control.\n\n"
        + markdown(["", *VARIANTS], lines)
    )


def told(cells: Cells) -> str:
    return "\n".join(f"- {k} recipe: {conditions(cells.of(SECTIONS[k].cells))}" for k in ("newton", "paper"))
