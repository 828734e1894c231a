"""What was measured of haloes, as tables for pages: heads and rows of text.

Every number is of own particle-mesh boxes, not of Quijote; what the paper had on Quijote stands in columns of its own.
"""

import itertools
import json
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


def by_setting(rows: Sequence[dict], *kinds: str) -> dict[str, list[dict]]:
    """The rows of these ``kinds`` by what they were measured with, boxes, seeds and epochs, in words: "" where that is
    one setting, as numbers of several are never put together.
    """
    settings: dict[str, list[dict]] = {}
    for row in (r for kind in kinds for r in of_kind(rows, kind)):
        settings.setdefault(row["setting"], []).append(row)
    if len(settings) < 2:
        return {"": next(iter(settings.values()))} if settings else {}
    words = {in_words(setting): found for setting, found in settings.items()}
    return words if len(words) == len(settings) else settings


def in_words(setting: str) -> str:
    """A setting, the JSON of a dict, as short as it can be told from others."""
    given = json.loads(setting)
    told = [given["label"]] if "label" in given else []
    if box := given.get("box"):
        told.append(f"{box['particles']}\u00b3 particles in {box['side']:g} Mpc/h")
    return ", ".join(told) or setting


def errors(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Mean absolute errors of every model (rows) in every set (columns), those of one setting after the other."""
    lines = []
    for setting, some in by_setting(rows, "formulas", "network").items():
        lines += named(setting, errors_of_one(some))
    head = [f"mean absolute error of delta; {OWN}", *COLUMNS.values()]
    return [*head, f"{PAPERS}: all", "paper: up to 1", "paper: above 1"], lines


def named(setting: str, lines: Sequence[list[str]]) -> list[list[str]]:
    """The lines, the first cell of each with the setting where there is more than one."""
    return [[f"{name} ({setting})" if setting else name, *cells] for name, *cells in lines]


def errors_of_one(rows: Sequence[dict]) -> list[list[str]]:
    """Lines of ``errors`` of rows of one setting."""
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
    return lines


def papers(name: str) -> list[str]:
    """The paper's three numbers for a row of ours."""
    whole = f"{PUBLISHED[name]:g}" if name in PUBLISHED else DASH
    key = "law" if name == "with mass" else "network" if name == "network, paper recipe" else None
    return [whole, *(f"{v:g}" for v in PUBLISHED_BEYOND[key])] if key else [whole, DASH, DASH]


def shown(one: dict | None) -> str:
    """An error with the standard error of its mean over boxes."""
    if one is None:
        return DASH
    if one["mae"] is None:
        return f"no value at {one['undefined']} of {one['haloes']} haloes"
    return f"{one['mae']:.4f}" + ("" if one["error"] is None else f" \u00b1 {one['error']:.4f}")


def formulas(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """The formulas with their constants, of what was learnt from all haloes."""
    lines = []
    for setting, some in by_setting(rows, "network", "formulas").items():
        for row in (r for r in some if r["hold"] == "none"):
            if row["kind"] == "network":
                texts = {"law": row["law"]["texts"], "before the refit": row["law"]["texts_before"]}
                texts = {f"{name}, {row['recipe']} recipe": of for name, of in texts.items()}
            else:
                texts = {name: one["texts"] for name, one in row["formulas"].items() if "texts" in one}
                texts.pop("constant", None)
            ours = [[name, *(f"`{of[k]}`" for k in ("message", "node"))] for name, of in texts.items()]
            lines += named(setting, ours)
    return ["", "e_ij", "delta_i of s = sum e_ij"], lines


def boxes(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """What each box is like, and how far its power spectrum is from theory."""
    lines = []
    for setting, some in by_setting(rows, "box").items():
        ours = [
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
            for r in some
        ]
        lines += named(setting, ours)
    head = ["seed", "haloes", "mean of delta", "its spread", "above 1", "P(k) off, mean", "worst bin"]
    return [*head, "CPU time / time", "memory"], lines


def planted(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """The law found in each planted catalogue, with and without the soft steps, beside the truth."""
    lines = []
    for setting, some in by_setting(rows, "planted").items():
        for r, (key, what) in itertools.product(some, (("law", "with soft steps"), ("law_without_steps", "without"))):
            one, verdict = r[key], r[key]["verdict"]
            ours = [
                r["name"],
                what,
                f"`{one['texts']['message']}`",
                f"`{one['texts']['node']}`",
                "yes" if verdict["recovered"] else f"no: {verdict['why']}",
                DASH if verdict["error"] is None else f"{verdict['error']:.2g}",
            ]
            lines += named(setting, [ours])
    return ["seed", "search", "e_ij", "delta_i", "recovered", "error without noise, over the spread of delta"], lines


def steps(rows: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """One step of the published network on the edges of a box: here, and by a plain loop of PyTorch Geometric."""
    lines = []
    for key, what in (("ours", "in parts, as here"), ("plain", "a plain loop of PyTorch Geometric")):
        for r in (row for row in of_kind(rows, "step") if f"{key}_edges" in row):
            edges, memory = r[f"{key}_edges"], r[f"{key}_gigabytes"]
            lines.append([what, f"{edges:,}", f"{r[f'{key}_edges_a_second']:,.0f}", f"{memory:.1f} GB"])
    return ["a step", "edges", "edges a second", "memory at most"], lines
