"""Rates with intervals that count datasets, medians and Markdown tables from the rows of ``recovery.py``."""

import statistics
from collections.abc import Sequence

from distill.report.markdown import markdown, shown
from distill.report.numbers import clustered, rate, shown_rate

INTERPOLATION = "interpolation"
# what is counted in the rows of a pipeline: key, heading
PIPELINE = {
    "from_messages_recovered": "from the messages, before the refit",
    "from_messages_same_form": "... the form, constants within 1 %",
    "from_messages_within_5": "... within 5 %",
    "from_messages_softening_recovered": "... softening",
    "untrained_before_refit_recovered": "untrained network, before the refit",
    "splines_before_refit_recovered": "splines, no network, before the refit",
    "recovered": "law after the refit",
    "softening_recovered": "... softening",
    "untrained_recovered": "untrained network, after the refit",
    "splines_recovered": "splines, after the refit",
    "control_recovered": "control, no network",
    "as_well_as_network": "as good as network",
}
PLANTED = {"chosen": "reported row right", "on_front": "right row on front"}
PIPELINE_GROUPS = (("system", "dim", "variant", "noise"), ("system", "noise"), ("dim",), ("variant",), ("noise",), ())
PLANTED_GROUPS = (("path", "law", "dim", "noise"), ("path", "law"), ("path", "dim"), ("path", "noise"), ("path",))
PIPELINE_COLUMNS = {
    "datasets": "datasets",
    **PIPELINE,
    "law_over_gnn_interpolation": "MAE law / network: interpolation",
    "law_over_gnn_median": "median of extrapolations",
    "law_over_gnn_worst": "worst extrapolation",
    "median_train_cpu_s": "training, CPU-s",
    "symbolic_cpu_s": "search, CPU-s",
    "errors": "errors",
}
PLANTED_COLUMNS = PLANTED | {
    "cpu_s_median": "CPU-s, median",
    "cpu_s_max": "CPU-s, largest",
    "peak_mb_max": "peak MB",
    "errors": "errors",
}


def groups(rows: Sequence[dict], keys: Sequence[str]) -> dict[tuple, list[dict]]:
    """Rows by their values of ``keys``, in the order of their first appearance."""
    out: dict[tuple, list[dict]] = {}
    for row in rows:
        out.setdefault(tuple(row.get(k) for k in keys), []).append(row)
    return out


def middle(values, pick=statistics.median):
    """``pick`` of the values that are known, or None."""
    known = [v for v in values if v is not None]
    return pick(known) if known else None


def ratios(row: dict) -> dict:
    """Error of the law / error of its network (mean absolute errors): in interpolation, and the worst and the
    median of the other sets. None where some set has no number, as a law that is not finite there gives none.
    """
    sets = dict(row.get("law_over_gnn_mae") or {})
    inside = sets.pop(INTERPOLATION, None)
    known = sets and None not in sets.values()
    return {
        INTERPOLATION: inside,
        "worst": max(sets.values()) if known else None,
        "median": statistics.median(sets.values()) if known else None,
    }


def summarise(kind: str, rows: list[dict]) -> dict:
    """``rows``, ``rates`` (a list, one entry a group) and the Markdown ``table`` of a section."""
    if kind == "near-misses":
        return near_misses(rows)
    if kind == "planted":
        keys, head, columns, of = PLANTED_GROUPS, "messages", PLANTED_COLUMNS, planted_group
    else:
        keys, head, columns, of = PIPELINE_GROUPS, "runs", PIPELINE_COLUMNS, pipeline_group
        if any(row.get("without") for row in rows):
            keys = (("system", "without"), *keys[1:])
        for row in rows:
            row["as_well_as_network"] = (row.get("data_verdict") or {}).get("law_predicts_as_well_as_network")
    rates = []
    for names in keys:
        for values, part in groups(rows, names).items():
            about = {"group": dict(zip(names, values, strict=True)), "cells": len(part)}
            about["datasets"] = len(clustered(part))
            about["errors"] = sum(r.get("error") is not None for r in part)
            rates.append(about | of(part))
    asked = [k for k in columns if any(not isinstance(g[k], dict) or g[k]["n"] for g in rates)]
    columns = {k: columns[k] for k in asked}  # a rival that nobody asked for has no column
    lines = [[label(g["group"]), *(shown_entry(g[k]) for k in columns)] for g in distinct(rates)]
    return {"rows": rows, "rates": rates, "table": markdown([head, *columns.values()], lines)}


def pipeline_group(rows) -> dict:
    found = [ratios(r) for r in rows]
    out = {key: rate(rows, key) for key in PIPELINE}
    out |= {f"law_over_gnn_{k}": middle(f[k] for f in found) for k in (INTERPOLATION, "median")}
    out["law_over_gnn_worst"] = middle((f["worst"] for f in found), max)
    out |= {f"median_{k}": middle(r.get(k) for r in rows) for k in ("r2_all", "r2_trim90", "train_cpu_s")}
    measured = [s.get("symbolic_reg.py") for s in (r.get("stages") or {} for r in rows)]
    measured = [s for s in measured if s and not s["done_before"]]
    out["symbolic_cpu_s"] = middle(s["cpu_s"] for s in measured)
    return out | {"symbolic_peak_mb": middle((s["peak_mb"] for s in measured), max)}


def planted_group(rows) -> dict:
    cpu, memory = ([r.get(k) for r in rows] for k in ("cpu_s", "peak_mb"))
    costs = {"cpu_s_median": middle(cpu), "cpu_s_max": middle(cpu, max), "peak_mb_max": middle(memory, max)}
    return {key: rate(rows, key) for key in PLANTED} | costs


def near_misses(cells: list[dict]) -> dict:
    from recovery_near_misses import summarise

    rows = [r for cell in cells for r in cell.get("rows", [])]
    failed = [cell for cell in cells if cell.get("error") is not None]
    rates = {"all": summarise(rows)}
    rates |= {group: summarise(part) for (group,), part in groups(rows, ("group",)).items()}
    head = list(rates["all"]["given"])
    lines = [
        [f"{group}, {stage}", *map(shown_entry, found[stage].values())]
        for stage in ("given", "refitted")
        for group, found in rates.items()
        if found[stage]["judged"]
    ]
    note = f"\n\ncells failed: {len(failed)} ({failed[0]['error']})" if failed else ""
    table = markdown(["laws, stage", *(h.replace("_", " ") for h in head)], lines) + note
    cells = [{k: v for k, v in cell.items() if k != "rows"} for cell in cells]
    return {"cells": cells, "rows": rows, "rates": rates, "table": table}


# ---------------------------------------------------------------- text


def shown_entry(value) -> str:
    return shown_rate(value) if isinstance(value, dict) else shown(value)


def label(group: dict) -> str:
    words = {"dim": lambda v: f"{v}-D", "noise": lambda v: f"{100 * v:g} % noise", "without": lambda v: f"without {v}"}
    parts = [words.get(k, str)(v) for k, v in group.items() if v]
    return " ".join(parts) or ("no noise" if group else "all")


def distinct(rates: list[dict]) -> list[dict]:
    """Groups that say something of their own: not the whole once more under another name."""
    total = max((g["cells"] for g in rates), default=0)
    return [g for g in rates if g["cells"] < total or not g["group"] or list(g["group"]) == ["path"]] or rates
