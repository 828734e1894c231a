"""The parts of docs/tables.md, each from the cells and the published numbers."""

from cells import IN_THE_TABLES, SECTIONS
from published import SR_TOTALS, TABLES
from table_cells import (
    ORDER,
    ROWS,
    ROWS_OF_ERRORS,
    SHORT,
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
from table_studies import eight, fork, pruning, yl2063

PER = ("per_component", "per_particle", "per_graph")


def against(cells: Cells, table: str, who: str, rows=ROWS, variants=VARIANTS, text=r2) -> str:
    """A published table with the numbers that are defined alike on our networks beside each of its own."""
    published = TABLES[table]
    path = ("messages", *published.ours)
    rows = [row for row in rows if any((*row, v) in published.values for v in variants)]
    lines = []
    for system, dim in rows:
        line = [name(system, dim)]
        for variant in variants:
            ours = [cells.median(path, system, dim, variant, recipe) for recipe in ("paper", "newton")]
            entries = [published.values.get((system, dim, variant)), *ours]
            line.append(" · ".join(text(v) for v in entries))
        lines.append(line)
    about = f"{published.what} ({published.source}). Definition: {published.definition}. {ORDER.format(who)}"
    return f"{about}\n\n{markdown(['', *variants], lines)}"


def table_1(cells: Cells) -> str:
    parts = [
        "### R² of the messages, as the paper (Table 1)",
        against(cells, "paper_r2", "paper"),
        bars_of_r2(cells),
        "### As eszt2",
        against(cells, "eszt2_r2", "eszt2"),
        against(cells, "eszt2_r2_ols", "eszt2"),
        "### As vj279",
        "Theirs in 3-D have 8 particles, ours 4 (8 are further down).",
        against(cells, "vj279_r2_force", "vj279"),
        against(cells, "vj279_r2_acceleration", "vj279"),
        "### As yl2063",
        against(cells, "yl2063_r2", "yl2063"),
    ]
    return "\n\n".join(parts)


def bars_of_r2(cells: Cells) -> str:
    """Newton recipe against the force: best 90 % and all edges, median and worst seed."""
    lines = []
    for system, dim in ROWS:
        line = [name(system, dim)]
        for variant in ("bottleneck", "l1", "pruning", "kl"):
            for path in (("fit", "force", "r2_trim90"), ("fit", "force", "r2_all")):
                values = cells.values(path, system, dim, variant, "newton")
                middle = cells.median(path, system, dim, variant, "newton")
                line.append(f"{r2(middle)} ({r2(min(values))})" if values else "–")
        lines.append(line)
    head = [f"{v}, {w}" for v in ("bottleneck", "l1", "pruning", "kl") for w in ("best 90 %", "all edges")]
    return (
        "Newton recipe against the true force, median over seeds (worst seed): fitted and scored on the best 90 "
        f"% of the edges, and by least squares on all edges.\n\n{markdown(['', *head], lines)}"
    )


def gauge(cells: Cells) -> str:
    """Which quantity the two or three top components of every network encode."""
    lines = []
    for system, dim in ROWS:
        line = [name(system, dim)]
        for variant in VARIANTS:
            found = cells.get(system, dim, variant, "paper")
            entries = []
            for c in found:
                best = max(c["fit"], key=lambda t: c["fit"][t]["r2_trim90"])
                said = c["read_out"]
                entries.append(
                    f"{SHORT[best]} {r2(c['fit'][best]['r2_trim90'])} · "
                    f"{SHORT.get(said['gauge'], said['gauge'])} {r2(said['r2_trim90'])}"
                )
            line.append("; ".join(entries) or "–")
        lines.append(line)
    text = (
        "Paper recipe: the target that the D top components encode best, with its R² on the best 90 % of the edges "
        "· the gauge that the read-out of all components found from net forces alone (jacobian: through the node "
        "model), with the R² of the force so read. A node model that sees x_i can undo any A(x_i) F + b(x_i), so "
        "which of force, F/m and qF a network of this recipe sends is not determined by its task: a low R² with "
        "the force need not mean that it has learnt nothing. With the third law built in (newton recipe) every "
        "network sends the force."
    )
    return f"### What the messages encode\n\n{text}\n\n{markdown(['', *VARIANTS], lines)}"


def table_3(cells: Cells) -> str:
    lines, verdicts, below = [], [], dict.fromkeys(PER, 0)
    published = TABLES["paper_mae"].values
    for system, dim in ROWS_OF_ERRORS:
        line, best = [name(system, dim)], {}
        for variant in VARIANTS:
            ours = {
                r: cells.median(("messages", "mae", "all", "per_component"), system, dim, variant, r)
                for r in ("paper", "newton")
            }
            theirs = published.get((system, dim, variant))
            line.append(" · ".join(error(v) for v in (theirs, ours["paper"], ours["newton"])))
        lines.append(line)
        theirs = papers_best(system, dim)
        row = [name(system, dim), error(theirs)]
        for per in PER:
            values = {v: cells.median(("messages", "mae", "all", per), system, dim, v, "newton") for v in VARIANTS}
            values = {v: x for v, x in values.items() if x is not None}
            if not values:
                row.append("–")
                continue
            best = min(values, key=values.get)
            below[per] += values[best] < theirs
            row.append(f"{error(values[best])} ({best})" + (" **below**" if values[best] < theirs else ""))
        tails = [
            cells.median(("messages", "mae", "tails_cut", "per_component"), system, dim, v, "newton") for v in VARIANTS
        ]
        tails = [t for t in tails if t is not None]
        verdicts.append([*row, error(min(tails, default=None)), error(worst_law_error(cells, system, dim))])
    first = (
        "The paper does not say whether its test loss is summed over particles and components (as its code's "
        "training loss is) or averaged, so both are given. Entries: paper · paper recipe here · newton recipe "
        "here, mean over particles and components (median over seeds)."
    )
    second = (
        "The best of the newton variants, by name, against the paper's best graph network (FlatHGN left out) in "
        "three conventions: "
        f"below it in {below['per_component']} of 12 rows as a mean over components, {below['per_particle']} "
        f"summed over components, {below['per_graph']} summed over particles and components. The mean of so "
        "heavy a tail is that of a few close encounters: without the graphs in the 0.01 % tails (as vj279) it "
        "is the next column. The last is the largest error, over all variants and seeds, of the law "
        "found."
    )
    head = ["", "paper's best", *(p.replace("_", " ") for p in PER), "per component, tails cut", "the law found"]
    return "\n\n".join(
        [
            "### Test error (Table 3)",
            first,
            markdown(["", *VARIANTS], lines),
            second,
            markdown(head, verdicts),
            "As vj279 (0.01 % tails cut, summed over components):",
            against(cells, "vj279_mae", "vj279", text=error),
            "As yl2063 (summed over components):",
            against(cells, "yl2063_mae", "yl2063", text=error),
        ]
    )


def table_5(cells: Cells) -> str:
    lines, said = [], TABLES["paper_sr"].values
    for system, dim in ROWS:
        line = [name(system, dim)]
        for variant in VARIANTS:
            entries = ["–" if (system, dim, variant) not in said else "yes" if said[system, dim, variant] else "no"]
            for recipe in ("paper", "newton"):
                laws = [c["law"] for c in cells.get(system, dim, variant, recipe) if c["law"]]
                entries.append(f"{sum(bool(law['recovered']) for law in laws)}/{len(laws)}" if laws else "–")
            line.append(" · ".join(entries))
        lines.append(line)
    for what, key in VERDICTS.items():
        ours = [laws_with(cells, recipe, key) for recipe in ("paper", "newton")]
        theirs = SR_TOTALS["paper_sr"] if key == "recovered" else {}
        lines.append(
            [what] + [" · ".join("{}/{}".format(*c[v]) if v in c else "–" for c in (theirs, *ours)) for v in VARIANTS]
        )
    text = (
        "Is the law found? The paper's judgement of an equation of the top message against ours: relative error "
        "below 2 % in range and to three times the largest distance, constants within 3 % and the node terms "
        "right. Entries: paper · paper recipe here · newton recipe here, runs with the law of runs. Then the same "
        "verdict on the law before its refit on accelerations, which is what the network alone has told, and on "
        "the refit, repair and choice started without any network: what that finds too is no evidence for the "
        "network."
    )
    totals = "; ".join(
        f"{who}: " + ", ".join(f"{v} {a}/{b}" for v, (a, b) in SR_TOTALS[key].items())
        for who, key in (("eszt2", "eszt2_sr"), ("eszt2 later", "eszt2_sr_later"), ("vj279 (edges)", "vj279_edge_sr"))
    )
    return (
        f"### The law (Table 5)\n\n{text}\n\n{markdown(['', *VARIANTS], lines)}\n\nThe reproductions count "
        f"components, a right equation anywhere on the front: {totals}."
    )


def of_missing(missing: list[str]) -> str:
    """Which planned cells are not there: by name, or by section where there are many."""
    if not missing:
        return "Every cell that was planned is here."
    if len(missing) <= 20:
        return f"**Missing cells ({len(missing)}):** " + ", ".join(f"`{run}`" for run in missing)
    of = {k: {c.run for c in SECTIONS[k].cells} for k in IN_THE_TABLES}
    counts = {k: len(runs & set(missing)) for k, runs in of.items()}
    return f"**Missing cells ({len(missing)}):** " + ", ".join(
        f"{count} of {len(of[k])} of {k}" for k, count in counts.items() if count
    )


def page(cells: Cells, missing: list[str]) -> str:
    """docs/tables.md below its title."""
    parts = [
        "## Conditions",
        "\n".join(f"- **{k}** ({SECTIONS[k].what}): {conditions(cells.of(SECTIONS[k].cells))}" for k in IN_THE_TABLES),
    ]
    parts.append(of_missing(missing))
    parts += [
        "## Tables",
        "![R² published and here](tables.png)",
        table_1(cells),
        gauge(cells),
        table_3(cells),
        table_5(cells),
        yl2063(cells),
        pruning(cells),
        "![Pruning](pruning.png)",
        fork(cells),
        eight(cells),
    ]
    return "\n\n".join(parts)
