"""Figures of the tables."""

import io

from matplotlib.figure import Figure
from published import ESZT2_PRUNING, PRUNING_ENDS, PRUNING_SCHEDULES, TABLES
from table_cells import ROWS, TRIMMED, Cells, name

SHOWN = ("bottleneck", "l1", "kl", "pruning")
GREY, ORANGE, BLUE = "0.55", "tab:orange", "tab:blue"


def _panels(size, titles):
    """(figure, axes): panels side by side with one vertical axis."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(titles), sharey=True)
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title)
        ax.grid(alpha=0.3)
    return figure, axes


def _png(figure, axis, columns: int) -> bytes:
    """With one legend above, of the marks of ``axis``."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=columns, frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=130)
    return out.getvalue()


def draw_r2(cells: Cells) -> bytes:
    """R2 with the true force by row and variant: paper, paper recipe here, newton recipe here."""
    figure, axes = _panels((11, 3.6), SHOWN)
    for ax, variant in zip(axes, SHOWN, strict=True):
        sets = [("paper (Table 1)", "s", GREY, [TABLES["paper_r2"].values.get((*row, variant)) for row in ROWS])]
        for recipe, mark, colour in (("paper", "o", ORANGE), ("newton", "D", BLUE)):
            values = [cells.median(("fit", "force", "r2_trim90"), *row, variant, recipe) for row in ROWS]
            sets.append((f"{recipe} recipe here", mark, colour, values))
        for label, mark, colour, values in sets:
            known = [(v, k) for k, v in enumerate(values) if v is not None]
            if known:
                ax.plot(*zip(*known, strict=True), mark, color=colour, label=label, alpha=0.85)
        ax.set(xlim=(-0.05, 1.05), xlabel="R² with the force, best 90 %")
        ax.grid(visible=False, axis="x")
    axes[0].set_yticks(range(len(ROWS)), [name(*row) for row in ROWS])
    axes[0].invert_yaxis()
    return _png(figure, axes[0], 3)


def draw_pruning(cells: Cells) -> bytes:
    """R2 by pruning schedule and end point: both of eszt2's grids and ours."""
    figure, axes = _panels((9, 3.2), PRUNING_SCHEDULES)
    where = ("charge", 2, "pruning", "paper")
    for ax, schedule in zip(axes, PRUNING_SCHEDULES, strict=True):
        for which, style in (("earlier", "s--"), ("later", "^--")):
            values = [ESZT2_PRUNING[which][schedule, end][0] for end in PRUNING_ENDS]
            ax.plot(PRUNING_ENDS, values, style, color=GREY, label=f"eszt2, {which} grid")
        for target, style in (("force", "o-"), ("acceleration", "D-")):
            path = (*TRIMMED[:2], target, *TRIMMED[3:])
            values = {end: cells.median(path, *where, tag=f"{schedule}-{end}") for end in PRUNING_ENDS}
            known = [(end, v) for end, v in values.items() if v is not None]
            if known:
                ax.plot(*zip(*known, strict=True), style, label=f"here, {target}")
        ax.set_xticks(PRUNING_ENDS)
        ax.set_xlabel("share of training when 2 are left")
    axes[0].set(ylabel="R², best 90 % of the edges", ylim=(-0.02, 1.02))
    return _png(figure, axes[-1], 4)
