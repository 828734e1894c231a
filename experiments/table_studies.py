"""The studies of the reproductions beside ours: yl2063's two, eszt2's pruning, the fork's networks, 8 particles; and
how far a tenth of the paper's budget takes its recipe.
"""

from cells import LOSSES, NETWORKS, PAIR_SYSTEMS, PAPER_TENTH
from published import ESZT2_PRUNING, TABLES
from table_cells import ORDER, SHORT, TRIMMED, Cells, error, name, r2

from distill.report.markdown import markdown

CHANNELS = (
    "r1 in 2-D. The two top components against force and against acceleration, least squares over all edges: "
    + ORDER.format("yl2063")
    + " Then channel by channel (first seed): the squared correlation of each component with x and y alone; a row "
    "that is not (1, 0) or (0, 1) means that the channels are turned against the axes, as nothing keeps them from "
    "being."
)
PRUNED = (
    "Charge in 2-D, paper recipe, 100 to 2 components; the share of training after which 2 are left. Best "
    "90 % / all edges, one seed each, in all three studies."
)
FORKED = (
    "Share of accelerations that are off by less than 0.02: fork (read off its figures) · here · then R² of "
    "the top two components here with force / F/m, best 90 %. 2-D, paper recipe, a small part of the fork's "
    "budget: the order of the losses and networks can be compared, the shares cannot."
)
TENTH = (
    "Paper recipe, no priors, one seed each: R² of the top components with the true force on the best 90 % of the edges"
    " and absolute error of accelerations (mean over components), of the paper (64 million graphs) · here on 0.4 ·"
    " here on 6.4 million graphs. Then, on 6.4 million, the read-out's R² with the force, and the law."
)
F_OVER_M = ("messages", "r2", "acceleration", "trimmed", "r2")
ERROR = ("messages", "mae", "all", "per_component")


def yl2063(cells: Cells) -> str:
    """Force against acceleration on r1, and channel by channel."""
    lines = []
    for variant in ("standard", "bottleneck", "l1", "kl"):
        where, line = ("r1", 2, variant), [variant]
        for target, table in (("force", "yl2063_r2"), ("acceleration", "yl2063_r2_acceleration")):
            path = ("messages", "r2", target, "ols", "components")
            line.append(cells.beside(TABLES[table].values.get(where), path, *where))
        for recipe in ("paper", "newton"):
            first = [c["messages"]["r2"] for c in cells.get(*where, recipe)[:1]]
            told = [
                f"{t}: " + " / ".join(r2(row) for row in scores[t]["one_to_one"])
                for scores in first
                for t in ("force", "acceleration")
            ]
            line.append("; ".join(told) or "–")
        lines.append(line)
    head = ["", "force", "acceleration", "channels, paper recipe", "channels, newton recipe"]
    return f"### Force or acceleration, and channel by channel (yl2063)\n\n{CHANNELS}\n\n{markdown(head, lines)}"


def tenth(cells: Cells) -> str:
    """The paper recipe on .4 and on 6.4 million graphs beside the paper's numbers."""
    columns = [("paper_r2", ("messages", *TABLES["paper_r2"].ours), r2), ("paper_mae", ERROR, error)]
    lines = []
    for where in dict.fromkeys((c.system, c.dim, c.variant) for c in PAPER_TENTH):
        line = [f"{name(*where[:2])}, {where[2]}"]
        for table, path, text in columns:
            ours = (cells.median(path, *where, "paper", tag=tag) for tag in ("", "tenth"))
            line.append(" · ".join(text(v) for v in (TABLES[table].values.get(where), *ours)))
        laws = [c["law"] for c in cells.get(*where, "paper", tag="tenth") if c["law"]]
        found = [f"{'yes' if law['from_messages_recovered'] else 'no'}: `{law['from_messages']}`" for law in laws]
        line += [r2(cells.median(("read_out", "r2_trim90"), *where, "paper", tag="tenth")), ", ".join(found) or "–"]
        lines.append(line)
    head = ["", "R² of the messages", "error", "read-out of force", "law from the messages alone"]
    return f"### A tenth of the paper's budget\n\n{TENTH}\n\n{markdown(head, lines)}"


def pruning(cells: Cells) -> str:
    lines = []
    for schedule, end in ESZT2_PRUNING["earlier"]:
        where, tag = ("charge", 2, "pruning", "paper"), f"{schedule}-{end}"
        paths = TRIMMED, (*TRIMMED[:-1], "r2_ols"), F_OVER_M, ("read_out", "r2_trim90")
        trimmed, ols, other, read_out = (r2(cells.median(path, *where, tag=tag)) for path in paths)
        theirs = [" / ".join(r2(v) for v in ESZT2_PRUNING[k][schedule, end]) for k in ("earlier", "later")]
        encodes = ", ".join(SHORT[c["best_target"]] for c in cells.get(*where, tag=tag)) or "–"
        lines.append([f"{schedule}, {end}", *theirs, f"{trimmed} / {ols}", other, encodes, read_out])
    head = "schedule, end|eszt2, first|eszt2, later|here, force|here, F/m, best 90 %|encodes|read-out of force"
    return f"### Pruning schedules (eszt2)\n\n{PRUNED}\n\n{markdown(head.split('|'), lines)}"


def fork(cells: Cells) -> str:
    lines = []
    for system in ("r1", "r2", "spring", "charge"):
        for variant, edge in NETWORKS:
            network, line = variant if edge == "mlp" else edge, []
            for loss in LOSSES:
                theirs = TABLES["fork_acpcr"].values.get((system, 2, f"{network}-{loss}"))
                share, force, other = (
                    cells.median(path, system, 2, variant, "paper", tag=f"fork-{edge}-{loss}")
                    for path in (("messages", "acpcr", "all"), TRIMMED, F_OVER_M)
                )
                known = theirs is not None or share is not None
                line.append(f"{r2(theirs)} · {r2(share)} · {r2(force)} / {r2(other)}" if known else "")
            if any(line):
                lines.append([system, network if edge == "mlp" else network.upper(), *line])
    return f"### Edge models and losses (the fork)\n\n{FORKED}\n\n{markdown(['system', 'network', *LOSSES], lines)}"


def eight(cells: Cells) -> str:
    lines = []
    for system, variant in ((s, v) for s in PAIR_SYSTEMS for v in ("bottleneck", "l1")):
        where, line = (system, 3, variant), [name(system, 3, 8), variant]
        for target in ("force", "acceleration"):
            theirs = TABLES[f"vj279_r2_{target}"].values.get(where)
            line.append(cells.beside(theirs, ("messages", "r2", target, "correlation", "r2"), *where, n=8))
        fits = [cells.median(("fit", "force", k), *where, "newton", n=8) for k in ("r2_trim90", "r2_all")]
        laws = [c["law"] for c in cells.get(*where, "newton", n=8) if c["law"]]
        found = ", ".join(f"{'yes' if law['recovered'] else 'no'}: `{law['law']}`" for law in laws)
        lines.append([*line, " · ".join(map(r2, fits)), found or "–"])
    head = (
        "|variant|force, as vj279|acceleration, as vj279|newton, force, best 90 % · all edges|newton, law found".split(
            "|"
        )
    )
    return f"### Eight particles in 3-D\n\n{ORDER.format('vj279')}\n\n{markdown(head, lines)}"
