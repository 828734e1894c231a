"""What was measured of haloes, as tables for pages: heads and rows of text.

Every number is of own particle-mesh boxes, not of Quijote; what the paper had on Quijote stands in columns of its own.
"""

from collections.abc import Sequence

from distill.halos.published import PUBLISHED, PUBLISHED_BEYOND

OWN, PAPERS = "own particle-mesh boxes, not Quijote", "Cranmer et al. 2020, on Quijote"
BASELINES = ("neighbour sums", "spline kernel")
# hold and set of a column, and its head
COLUMNS = {
    ("none", "fresh boxes"): "fresh boxes",
    ("none", "half the haloes"): "the heavier half of the haloes",
    ("none", "twice the haloes"): "twice the haloes",
    ("above 1", "fresh boxes"): "learnt up to 1: up to 1",
    ("above 1", "beyond"): "... above 1",
    ("densest 20 %", "fresh boxes"): "learnt from the sparser 80 %: these",
    ("densest 20 %", "beyond"): "... the densest 20 %",
}
DASH = "\u2013"


def of_kind(rows: Sequence[dict], kind: str) -> list[dict]:
    return [r for r in rows if r["kind"] == kind and "error" not in r]


def errors(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Mean absolute errors of every model (rows) in every set (columns)."""
    found: dict[str, dict] = {}
    for row in of_kind(rows, "formulas"):
        for name, one in row["formulas"].items():
            found.setdefault(name, {})[row["hold"]] = one["errors"]
    for row in of_kind(rows, "network"):
        recipe = row["recipe"]
        for name, key in ((f"network, {recipe} recipe", "network"), (f"law of it, {recipe}", "law")):
            found.setdefault(name, {})[row["hold"]] = row[key]["errors"] if key == "law" else row[key]
        before = row["law"]["errors_before"]
        found.setdefault(f"law before the refit, {recipe}", {})[row["hold"]] = before
        without = row["law_without_steps"]["errors"]
        found.setdefault(f"law without soft steps, {recipe}", {})[row["hold"]] = without
    order = [*PUBLISHED, *BASELINES]
    names = [n for n in order if n in found] + sorted(n for n in found if n not in order)
    lines = []
    for name in names:
        cells = [shown(found[name].get(hold, {}).get(where)) for hold, where in COLUMNS]
        lines.append([name, *cells, *papers(name)])
    head = [f"mean absolute error of delta; {OWN}", *COLUMNS.values()]
    return [*head, f"{PAPERS}: all", "paper: up to 1", "paper: above 1"], lines


def papers(name: str) -> list[str]:
    """The paper's three numbers for a row of ours."""
    whole = f"{PUBLISHED[name]:g}" if name in PUBLISHED else DASH
    key = "law" if name == "with mass" else "network" if name == "network, paper recipe" else None
    return [whole, *(f"{v:g}" for v in PUBLISHED_BEYOND[key])] if key else [whole, DASH, DASH]


def shown(one: dict | None) -> str:
    """An error with the standard error of its mean over boxes."""
    if one is None:
        return DASH
    return f"{one['mae']:.4f}" + ("" if one["error"] is None else f" \u00b1 {one['error']:.4f}")


def formulas(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """The formulas with their constants, of what was learnt from all haloes."""
    lines = []
    for row in of_kind(rows, "network"):
        if row["hold"] == "none":
            for name, texts in (("law", row["law"]["texts"]), ("before the refit", row["law"]["texts_before"])):
                lines.append([f"{name}, {row['recipe']} recipe", *(f"`{texts[k]}`" for k in ("message", "node"))])
    for row in of_kind(rows, "formulas"):
        if row["hold"] == "none":
            named = {name: one for name, one in row["formulas"].items() if "texts" in one and name != "constant"}
            lines += [[name, *(f"`{one['texts'][k]}`" for k in ("message", "node"))] for name, one in named.items()]
    return ["", "e_ij", "delta_i of s = sum e_ij"], lines


def boxes(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """What each box is like, and how far its power spectrum is from theory."""
    lines = [
        [
            r["name"],
            str(r["haloes"]),
            f"{r['delta']['mean']:.3f}",
            f"{r['delta']['std']:.3f}",
            f"{100 * r['delta']['above_1']:.1f} %",
            f"{100 * r['power_off']['mean']:+.1f} %",
            f"{100 * r['power_off']['largest']:.0f} %",
            f"{r['cpu_seconds']:.0f} / {r['seconds']:.0f} s",
            f"{r['gigabytes']:.1f} GB",
        ]
        for r in of_kind(rows, "box")
    ]
    head = ["seed", "haloes", "mean of delta", "its spread", "above 1", "P(k) off, mean", "worst bin"]
    return [*head, "CPU time / time", "memory"], lines


def planted(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """The law found in each planted catalogue, with and without the soft steps, beside the truth."""
    lines = []
    for r in of_kind(rows, "planted"):
        for key, what in (("law", "with soft steps"), ("law_without_steps", "without")):
            one, verdict = r[key], r[key]["verdict"]
            lines.append(
                [
                    r["name"],
                    what,
                    f"`{one['texts']['message']}`",
                    f"`{one['texts']['node']}`",
                    "yes" if verdict["recovered"] else f"no: {verdict['why']}",
                    f"{verdict['error']:.2g}",
                ]
            )
    return ["seed", "search", "e_ij", "delta_i", "recovered", "error without noise, over the spread of delta"], lines
