"""Figures of the tables."""

import io

from published import ESZT2_PRUNING, PRUNING_ENDS, PRUNING_SCHEDULES, TABLES
from table_cells import ROWS, Cells, name

SHOWN = ("bottleneck", "l1", "kl", "pruning")


def _png(figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=130)
    return out.getvalue()


def draw_r2(cells: Cells) -> bytes:
    """R2 with the true force by row and variant: paper, paper recipe here, newton recipe here."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, len(SHOWN), sharey=True)
    places = range(len(ROWS))
    for ax, variant in zip(axes, SHOWN, strict=True):
        sets = [("paper (Table 1)", "s", "0.55", [TABLES["paper_r2"].values.get((*row, variant)) for row in ROWS])]
        sets += [
            (
                f"{recipe} recipe here",
                mark,
                colour,
                [cells.median(("fit", "force", "r2_trim90"), *row, variant, recipe) for row in ROWS],
            )
            for recipe, mark, colour in (("paper", "o", "tab:orange"), ("newton", "D", "tab:blue"))
        ]
        for label, mark, colour, values in sets:
            known = [(v, k) for k, v in zip(places, values, strict=True) if v is not None]
            if known:
                ax.plot(*zip(*known, strict=True), mark, color=colour, label=label, alpha=0.85)
        ax.set_title(variant)
        ax.set_xlim(-0.05, 1.05)
        ax.grid(axis="y", alpha=0.3)
        ax.set_xlabel("R² with the force, best 90 %")
    axes[0].set_yticks(list(places), [name(*row) for row in ROWS])
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return _png(figure)


def draw_pruning(cells: Cells) -> bytes:
    """R2 by pruning schedule and end point: both of eszt2's grids and ours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, len(PRUNING_SCHEDULES), sharey=True)
    for ax, schedule in zip(axes, PRUNING_SCHEDULES, strict=True):
        for which, style in (("earlier", "s--"), ("later", "^--")):
            values = [ESZT2_PRUNING[which][schedule, end][0] for end in PRUNING_ENDS]
            ax.plot(PRUNING_ENDS, values, style, color="0.55", label=f"eszt2, {which} grid")
        for target, style in (("force", "o-"), ("acceleration", "D-")):
            values = [
                cells.median(
                    ("messages", "r2", target, "trimmed", "r2"),
                    "charge",
                    2,
                    "pruning",
                    "paper",
                    tag=f"{schedule}-{end}",
                )
                for end in PRUNING_ENDS
            ]
            known = [(e, v) for e, v in zip(PRUNING_ENDS, values, strict=True) if v is not None]
            if known:
                ax.plot(*zip(*known, strict=True), style, label=f"here, {target}")
        ax.set_title(schedule)
        ax.set_xticks(PRUNING_ENDS)
        ax.set_xlabel("share of training when 2 are left")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("R², best 90 % of the edges")
    axes[0].set_ylim(-0.02, 1.02)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return _png(figure)
