"""What the stages of a run have written, as flat rows of numbers for tables, their rates, and the machine."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from distill.files import records
from distill.files.kinds import LawRecord, Verdict
from distill.report.material import history, sources
from distill.search.registry import CONTROL
from distill.statistics.rates import wilson


def files_of(run: str) -> dict[str, Path]:
    """What ``numbers`` reads, by stage."""
    return {kind.STAGE: path for name, (kind, path) in sources(run).items() if not name.startswith("messages")}


def numbers(run: str) -> dict:
    """What the stages of a run wrote, as far as they got; None where a number was not found out."""
    found = {name: records.load(kind, path) for name, (kind, path) in sources(run).items() if path.is_file()}
    row: dict = {}
    if c := found.get("config"):
        mae = history(run)["validation_mae"]
        row |= {"train_cpu_s": c.cpu_seconds, "steps": c.steps, "graphs_seen": c.graphs_seen}
        row["validation_mae_first_last"] = [mae[0], mae[-1]]
    if f := found.get("linear_fit"):
        row |= {k: getattr(f, k) for k in FIT}
        row |= {f"{k}_{t}": getattr(v, k) for k in ("r2_trim90", "r2_all") for t, v in f.targets.items()}
        row |= {"read_out_gauge": f.read_out.gauge, "read_out_r2_trim90": f.read_out.r2_trim90}
        if f.splines:
            row |= {f"splines_{k}": getattr(f.splines, k) for k in ("r2_all", "r2_trim90", "median_relative_error")}
    if law := found.get("law"):
        row |= law_numbers(law) | {"data_verdict": asdict(law.data_verdict)}
    if against := found.get("generalization"):
        row["law_over_gnn_mae"] = {k: v.law_over_gnn_mae for k, v in against.sets.items()}
    return row


FIT = ("r2_all", "r2_trim90", "best_target", "top_share", "n_graphs", "n_edges")
VERDICT = (
    *("recovered", "softening_recovered", "relative_error_in_range", "relative_error_extrapolated"),
    *("relative_error_near", "same_form", "node_error"),
)


def law_numbers(law: LawRecord) -> dict:
    """The part of a row that is from ``law.json``: the verdicts after the refit on accelerations, on the law
    from the messages alone (``from_messages_...``) and on every rival by its name, before its refit
    (``untrained_before_refit_...``) and after (``control_...``).
    """
    alone = law.from_messages.verdict
    row = {"law": law.pair.text, "from_messages": law.from_messages.text, "engine": law.engine}
    row |= {k: getattr(law.verdict, k) for k in VERDICT} | {"equivalence": _relation(law.verdict)}
    row |= {f"from_messages_{k}": getattr(alone, k, None) for k in VERDICT}
    row["from_messages_equivalence"] = _relation(alone)
    errors = [row[f"from_messages_relative_error_{k}"] for k in ("in_range", "extrapolated")]
    row["from_messages_within_5"] = None if None in errors else max(errors) < 0.05
    row["control_recovered"] = None  # where it was not asked for
    for name, rival in law.rivals.items():
        row |= {name: rival.pair.text, f"{name}_recovered": getattr(rival.verdict, "recovered", None)}
        row |= {f"{name}_cpu_s": rival.cpu_seconds, f"{name}_acceleration_error": rival.acceleration_error.law}
        if early := rival.before_refit:
            row |= {f"{name}_before_refit": early.text}
            row |= {f"{name}_before_refit_recovered": getattr(early.verdict, "recovered", None)}
        elif name != CONTROL and rival.verdict:  # nothing could be read: that is no law
            row[f"{name}_before_refit_recovered"] = False
    for prefix, found in (("", law.lennard_jones), ("from_messages_", law.from_messages.lennard_jones)):
        pairs = list((found or {}).get("pairs", {"": found or {}}).values())  # of a mixture, or the only one
        for name in ("sigma", "epsilon"):
            known = [one[name] for one in pairs if one and (one.get(name) or {}).get("true")]
            if known and len(known) == len(pairs):  # the worst pair; none where one has no such parameter
                row[f"{prefix}{name}_off"] = max((one["value"] / one["true"] - 1 for one in known), key=abs)
    row["chosen_share"] = law.refinement.chosen_share
    row |= {f"acceleration_error_{k}": getattr(law.acceleration_error, k) for k in ("law", "gnn")}
    return row | {"symbolic_s": law.seconds}


def _relation(verdict: Verdict | None) -> str | None:
    return verdict.equivalence.relation if verdict and verdict.equivalence else None


def hardware() -> str:
    """Number of cores and the processor's name."""
    model = "unknown CPU"
    if Path("/proc/cpuinfo").is_file():
        found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":")[1].strip() if found else model
    return f"{os.cpu_count()} cores, {model}"


# ---------------------------------------------------------------- rates over rows

# measures that need no trained network, by the rival's name: the same for all networks of a dataset; a cell that
# failed says nothing of them
OF_DATASETS = ("control_", "untrained_", "splines_")


def dataset_of(row: dict) -> tuple:
    """What rows share that were made from one dataset: networks of all variants, and all levels of noise, whose
    positions are the same. Planted data are drawn anew for every row.
    """
    if "path" in row:
        return tuple(row[k] for k in ("path", "law", "dim", "noise", "seed"))
    return row["system"], row.get("n", 4), row["dim"], row["seed"]


def rate(rows: Iterable[dict], key: str) -> dict:
    """``successes`` of ``n`` rows with the interval ``low``, ``high`` that counts their ``datasets``. A cell that
    failed counts as no success; a value that is unknown in a cell that did not fail is left out.

    A measure ``OF_DATASETS`` is told by one network of a dataset, or by each the same, and counts once.
    """
    once = key.startswith(OF_DATASETS)
    known = [r for r in rows if r.get(key) is not None or (not once and r.get("error") is not None)]
    if once:
        known = list({(*dataset_of(r), r.get("noise"), r.get("noise_is")): r for r in known}.values())
    found = [[bool(r.get(key)) for r in part] for part in clustered(known)]
    sizes, successes = [len(values) for values in found], sum(map(sum, found))
    low, high = wilson(successes, sizes)
    counts = {"successes": successes, "n": sum(sizes), "datasets": len(sizes)}
    return counts | {"rate": successes / sum(sizes) if sizes else None, "low": low, "high": high}


def clustered(rows: Iterable[dict]) -> list[list[dict]]:
    """Rows by the dataset they were made from."""
    out: dict[tuple, list[dict]] = {}
    for row in rows:
        out.setdefault(dataset_of(row), []).append(row)
    return list(out.values())


def shown_rate(found: dict) -> str:
    """ "6/6 [61, 100]": successes, n and the interval in per cent, which counts datasets."""
    if not found["n"]:
        return "–"
    return f"{found['successes']}/{found['n']} [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"
