"""The parts of docs/tables.md, each from the cells and the published numbers."""

from cells import IN_THE_TABLES, SECTIONS
from published import SR_TOTALS, TABLES
from table_cells import (
    BOUGHT,
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
    name,
    papers_best,
    r2,
    worst_law_error,
)
from table_studies import eight, fork, pruning, tenth, yl2063

from distill.network.recipes import PRIORS
from distill.report.markdown import markdown

PER = ("per_component", "per_particle", "per_graph")
ENCODED = (
    "Paper recipe: the target that the D top components encode best, with its R² on the best 90 % of the edges "
    "· the gauge that the read-out of all components found from net forces alone (jacobian: through the node "
    "model), with the R² of the force so read. A node model that sees x_i can undo any A(x_i) F + b(x_i), so "
    "which of force, F/m and qF a network of this recipe sends is not determined by its task: a low R² with "
    "the force need not mean that it has learnt nothing. With the third law built in (newton recipe) every "
    "network sends the force."
)
ERRORS = (
    "The paper does not say whether its test loss is summed over particles and components (as its code's "
    "training loss is) or averaged, so both are given. Entries: paper · paper recipe here · newton recipe "
    "here, mean over particles and components (median over seeds)."
)
BELOW = (
    "The best of the newton variants, by name, against the paper's best graph network (FlatHGN left out) in "
    "three conventions: below it in {} of 12 rows as a mean over components, {} summed over components, {} summed "
    "over particles and components. The mean of so heavy a tail is that of a few close encounters: without the "
    "graphs in the 0.01 % tails (as vj279) it is the next column. The last is the largest error, over all variants "
    "and seeds, of the law found."
)
FOUND = (
    "Is the law found? The paper's judgement of an equation of the top message against ours: relative error "
    "below 2 % in range and to three times the largest distance, constants within 3 % and the node terms "
    "right. Entries: paper · paper recipe here · newton recipe here, runs with the law of runs. Then the same "
    "verdict on the law before its refit on accelerations, which is what the network alone has told, and on "
    "the refit, repair and choice started without any network: what that finds too is no evidence for the "
    "network. What that does **not** find is none either, at these commits: it started from `0.1*r` and `0.1/r`, from "
    "which a product of two charges cannot be reached one factor at a time."
)


def against(cells: Cells, table: str, who: str, text=r2) -> str:
    """A published table with the numbers that are defined alike on our networks beside each of its own."""
    published = TABLES[table]
    path = ("messages", *published.ours)
    lines = [
        [name(*row), *(cells.beside(published.values.get((*row, v)), path, *row, v, text=text) for v in VARIANTS)]
        for row in ROWS
        if any((*row, v) in published.values for v in VARIANTS)
    ]
    about = f"{published.what} ({published.source}). Definition: {published.definition}. {ORDER.format(who)}"
    return f"{about}\n\n{markdown(['', *VARIANTS], lines)}"


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

    def entry(path, *where) -> str:
        values = cells.values(path, *where)
        return f"{r2(cells.median(path, *where))} ({r2(min(values))})" if values else "–"

    columns = [(v, what) for v in ("bottleneck", "l1", "pruning", "kl") for what in ("r2_trim90", "r2_all")]
    lines = [[name(*row), *(entry(("fit", "force", what), *row, v, "newton") for v, what in columns)] for row in ROWS]
    head = [f"{v}, {'best 90 %' if what == 'r2_trim90' else 'all edges'}" for v, what in columns]
    return (
        f"Newton recipe, with its priors ({', '.join(PRIORS.values())}), against the true force, median over seeds "
        "(worst seed): fitted and scored on the best 90 "
        f"% of the edges, and by least squares on all edges.\n\n{markdown(['', *head], lines)}"
    )


def gauge(cells: Cells) -> str:
    """Which quantity the two or three top components of every network encode."""

    def entry(c: dict) -> str:
        best, said = max(c["fit"], key=lambda t: c["fit"][t]["r2_trim90"]), c["read_out"]
        read = f"{SHORT.get(said['gauge'], said['gauge'])} {r2(said['r2_trim90'])}"
        return f"{SHORT[best]} {r2(c['fit'][best]['r2_trim90'])} · {read}"

    lines = [
        [name(*row), *("; ".join(map(entry, cells.get(*row, v, "paper"))) or "–" for v in VARIANTS)] for row in ROWS
    ]
    return f"### What the messages encode\n\n{ENCODED}\n\n{markdown(['', *VARIANTS], lines)}"


def table_3(cells: Cells) -> str:
    path = ("messages", "mae", "all")
    lines, verdicts, below = [], [], dict.fromkeys(PER, 0)
    published = TABLES["paper_mae"].values

    def newton(row, *which) -> dict:
        values = {v: cells.median(("messages", "mae", *which), *row, v, "newton") for v in VARIANTS}
        return {v: x for v, x in values.items() if x is not None}

    for row in ROWS_OF_ERRORS:
        entries = [cells.beside(published.get((*row, v)), (*path, PER[0]), *row, v, text=error) for v in VARIANTS]
        lines.append([name(*row), *entries])
        theirs = papers_best(*row)
        line = [name(*row), error(theirs)]
        for per in PER:
            values = newton(row, "all", per)
            best = min(values, key=values.get, default=None)
            lower = best is not None and values[best] < theirs
            below[per] += lower
            line.append("–" if best is None else f"{error(values[best])} ({best})" + " **below**" * lower)
        tails = min(newton(row, "tails_cut", PER[0]).values(), default=None)
        verdicts.append([*line, error(tails), error(worst_law_error(cells, *row))])
    head = ["", "paper's best", *(p.replace("_", " ") for p in PER), "per component, tails cut", "the law found"]
    parts = ["### Test error (Table 3)", ERRORS, markdown(["", *VARIANTS], lines)]
    parts += [BELOW.format(*below.values()), markdown(head, verdicts)]
    parts += ["As vj279 (0.01 % tails cut, summed over components):", against(cells, "vj279_mae", "vj279", text=error)]
    parts += ["As yl2063 (summed over components):", against(cells, "yl2063_mae", "yl2063", text=error)]
    return "\n\n".join(parts)


def table_5(cells: Cells) -> str:
    lines, said = [], TABLES["paper_sr"].values
    for row in ROWS:
        line = [name(*row)]
        for variant in VARIANTS:
            entries = [{True: "yes", False: "no"}.get(said.get((*row, variant)), "–")]
            for recipe in ("paper", "newton"):
                laws = [c["law"] for c in cells.get(*row, variant, recipe) if c["law"]]
                entries.append(f"{sum(bool(law['recovered']) for law in laws)}/{len(laws)}" if laws else "–")
            line.append(" · ".join(entries))
        lines.append(line)
    for what, key in VERDICTS.items():
        counts = [SR_TOTALS["paper_sr"] if key == "recovered" else {}]
        counts += [laws_with(cells, recipe, key) for recipe in ("paper", "newton")]
        lines.append([what] + [" · ".join("{}/{}".format(*c[v]) if v in c else "–" for c in counts) for v in VARIANTS])
    totals = "; ".join(
        f"{who}: " + ", ".join(f"{v} {a}/{b}" for v, (a, b) in SR_TOTALS[key].items())
        for who, key in (("eszt2", "eszt2_sr"), ("eszt2 later", "eszt2_sr_later"), ("vj279 (edges)", "vj279_edge_sr"))
    )
    return (
        f"### The law (Table 5)\n\n{FOUND}\n\n{markdown(['', *VARIANTS], lines)}\n\nThe reproductions count "
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
        BOUGHT,
        "![R² published and here](tables.png)",
        table_1(cells),
        gauge(cells),
        table_3(cells),
        table_5(cells),
        tenth(cells),
        yl2063(cells),
        pruning(cells),
        "![Pruning](pruning.png)",
        fork(cells),
        eight(cells),
    ]
    return "\n\n".join(parts)
