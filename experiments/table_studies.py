"""The studies of the reproductions beside ours: yl2063's two, eszt2's pruning, the fork's networks, 8 particles."""

from published import ESZT2_PRUNING, PRUNING_ENDS, PRUNING_SCHEDULES, TABLES
from table_cells import ORDER, SHORT, TRIMMED, Cells, markdown, name, r2


def yl2063(cells: Cells) -> str:
    """Force against acceleration on r1, and channel by channel."""
    lines = []
    for variant in ("standard", "bottleneck", "l1", "kl"):
        line = [variant]
        for target, table in (("force", "yl2063_r2"), ("acceleration", "yl2063_r2_acceleration")):
            theirs = TABLES[table].values.get(("r1", 2, variant))
            ours = [
                cells.median(("messages", "r2", target, "ols", "components"), "r1", 2, variant, r)
                for r in ("paper", "newton")
            ]
            line.append(" · ".join(r2(v) for v in (theirs, *ours)))
        for recipe in ("paper", "newton"):
            found = cells.get("r1", 2, variant, recipe)[:1]
            line.append(
                "; ".join(
                    f"{t}: " + " / ".join(r2(row) for row in c["messages"]["r2"][t]["one_to_one"])
                    for c in found
                    for t in ("force", "acceleration")
                )
                or "–"
            )
        lines.append(line)
    text = (
        "r1 in 2-D. The two top components against force and against acceleration, least squares over all edges: "
        + ORDER.format("yl2063")
        + " Then channel by channel (first seed): the squared correlation of each "
        "component with x "
        "and y alone; a row that is not (1, 0) or (0, 1) means that the channels are turned against the axes, "
        "as nothing keeps them from being."
    )
    head = ["", "force", "acceleration", "channels, paper recipe", "channels, newton recipe"]
    return f"### Force or acceleration, and channel by channel (yl2063)\n\n{text}\n\n{markdown(head, lines)}"


def pruning(cells: Cells) -> str:
    lines = []
    for schedule in PRUNING_SCHEDULES:
        for end in PRUNING_ENDS:
            ours = [
                cells.median(path, "charge", 2, "pruning", "paper", tag=f"{schedule}-{end}")
                for path in (
                    TRIMMED,
                    (*TRIMMED[:-1], "r2_ols"),
                    ("messages", "r2", "acceleration", "trimmed", "r2"),
                    ("read_out", "r2_trim90"),
                )
            ]
            found = cells.get("charge", 2, "pruning", "paper", tag=f"{schedule}-{end}")
            theirs = [" / ".join(r2(v) for v in ESZT2_PRUNING[k][schedule, end]) for k in ("earlier", "later")]
            lines.append(
                [
                    f"{schedule}, {end}",
                    *theirs,
                    f"{r2(ours[0])} / {r2(ours[1])}",
                    r2(ours[2]),
                    ", ".join(SHORT[c["best_target"]] for c in found) or "–",
                    r2(ours[3]),
                ]
            )
    text = (
        "Charge in 2-D, paper recipe, 100 to 2 components; the share of training after which 2 are left. Best "
        "90 % / all edges, one seed each, in all three studies."
    )
    head = [
        "schedule, end",
        "eszt2, first",
        "eszt2, later",
        "here, force",
        "here, F/m, best 90 %",
        "encodes",
        "read-out of force",
    ]
    return f"### Pruning schedules (eszt2)\n\n{text}\n\n{markdown(head, lines)}"


def fork(cells: Cells) -> str:
    losses = ("mae", "huber", "mse")
    networks = (("bottleneck", "mlp"), ("l1", "mlp"), ("kl", "mlp"), ("l1", "pm"), ("l1", "cust"))
    lines = []
    for system in ("r1", "r2", "spring", "charge"):
        for variant, edge in networks:
            line = [system, variant if edge == "mlp" else edge.upper()]
            for loss in losses:
                network = variant if edge == "mlp" else edge
                theirs = TABLES["fork_acpcr"].values.get((system, 2, f"{network}-{loss}"))
                where = (system, 2, variant, "paper")
                tag = f"fork-{edge}-{loss}"
                share = cells.median(("messages", "acpcr", "all"), *where, tag=tag)
                fit = cells.median(("messages", "r2", "force", "trimmed", "r2"), *where, tag=tag)
                other = cells.median(("messages", "r2", "acceleration", "trimmed", "r2"), *where, tag=tag)
                known = theirs is not None or share is not None
                line.append(f"{r2(theirs)} · {r2(share)} · {r2(fit)} / {r2(other)}" if known else "")
            if any(line[2:]):
                lines.append(line)
    text = (
        "Share of accelerations that are off by less than 0.02: fork (read off its figures) · here · then R² of "
        "the top two components here with force / F/m, best 90 %. 2-D, paper recipe, a small part of the fork's "
        "budget: the order of the losses and networks can be compared, the shares cannot."
    )
    return f"### Edge models and losses (the fork)\n\n{text}\n\n{markdown(['system', 'network', *losses], lines)}"


def eight(cells: Cells) -> str:
    lines = []
    for system in ("charge", "r1", "r2", "spring"):
        for variant in ("bottleneck", "l1"):
            line = [name(system, 3, 8), variant]
            for target in ("force", "acceleration"):
                theirs = TABLES[f"vj279_r2_{target}"].values.get((system, 3, variant))
                ours = [
                    cells.median(("messages", "r2", target, "correlation", "r2"), system, 3, variant, r, n=8)
                    for r in ("paper", "newton")
                ]
                line.append(" · ".join(r2(v) for v in (theirs, *ours)))
            found = cells.get(system, 3, variant, "newton", n=8)
            line.append(
                " · ".join(
                    [
                        r2(cells.median(("fit", "force", k), system, 3, variant, "newton", n=8))
                        for k in ("r2_trim90", "r2_all")
                    ]
                )
            )
            line.append(
                ", ".join(
                    ("yes: `{}`" if c["law"]["recovered"] else "no: `{}`").format(c["law"]["law"])
                    for c in found
                    if c["law"]
                )
                or "–"
            )
            lines.append(line)
    head = [
        "",
        "variant",
        "force, as vj279",
        "acceleration, as vj279",
        "newton, force, best 90 % · all edges",
        "newton, law found",
    ]
    return f"### Eight particles in 3-D\n\n{ORDER.format('vj279')}\n\n{markdown(head, lines)}"
