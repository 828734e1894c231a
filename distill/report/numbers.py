"""What the stages of a run have written, as flat rows of numbers for tables, and the machine they ran on."""

import csv
import os
from pathlib import Path

from distill.files.storage import load_json
from distill.shell import paths


def files_of(run: str) -> dict[str, Path]:
    """What ``numbers`` reads, by stage."""
    out = paths.OUTPUTS / run
    return {
        "train": paths.MODEL_WEIGHTS / run / "config.json",
        "fit_linear": out / "linear_fit.json",
        "symbolic_reg": out / "law.json",
        "test_generalization": out / "generalization.json",
    }


def numbers(run: str) -> dict:
    """What the stages of a run wrote, as far as they got; a key whose file or entry is missing is left out
    or None.
    """
    files = files_of(run)
    found = {stage: load_json(path) for stage, path in files.items() if path.is_file()}
    row: dict = {}
    if c := found.get("train"):
        row |= {"train_cpu_s": c["cpu_seconds"], "steps": c["steps"], "graphs_seen": c["graphs_seen"]}
        with open(files["train"].with_name("history.csv"), encoding="utf-8") as file:
            history = list(csv.DictReader(file))
        row["validation_mae_first_last"] = [float(history[k]["validation_mae"]) for k in (0, -1)]
    if f := found.get("fit_linear"):
        row |= {k: f[k] for k in ("r2_all", "r2_trim90", "best_target", "top_share", "n_graphs", "n_edges")}
        row |= {f"r2_trim90_{t}": v["r2_trim90"] for t, v in f["targets"].items()}
        row |= {f"r2_all_{t}": v["r2_all"] for t, v in f["targets"].items()}
        row["read_out_gauge"], row["read_out_r2_trim90"] = f["read_out"]["gauge"], f["read_out"]["r2_trim90"]
    if law := found.get("symbolic_reg"):
        row |= law_numbers(law)
    if against := found.get("test_generalization"):
        row["law_over_gnn_mae"] = {k: v["law_over_gnn_mae"] for k, v in against["sets"].items()}
    return row


VERDICT = (
    "recovered",
    "softening_recovered",
    "relative_error_in_range",
    "relative_error_extrapolated",
    "relative_error_near",
    "scale",
    "node_error",
    "symbolic_equal",
)


def law_numbers(law: dict) -> dict:
    """The part of a row that is from ``law.json``: the verdicts after the refit on accelerations, on the law
    from the messages alone (``from_messages_...``) and on the control without a network (``control_...``).
    """
    row = {"law": law["pair"]["text"], "from_messages": law["from_messages"]["text"], "engine": law.get("engine")}
    verdict = law["verdict"]
    row |= {k: verdict.get(k) for k in VERDICT}
    row["equivalence"] = _within(verdict, "equivalence", "relation") or _within(law, "equivalence", "relation")
    alone = law["from_messages"].get("verdict") or {}
    row |= {f"from_messages_{k}": alone.get(k) for k in VERDICT}
    row["from_messages_equivalence"] = _within(alone, "equivalence", "relation")
    errors = [alone.get(f"relative_error_{k}") for k in ("in_range", "extrapolated")]
    row["from_messages_within_5"] = None if None in errors else max(errors) < 0.05
    control = law.get("control") or {}
    row["control"] = _within(control, "pair", "text") or control.get("text")
    row["control_recovered"] = _within(control, "verdict", "recovered")
    row["control_cpu_s"] = control.get("cpu_seconds")
    row["chosen_share"] = _within(law, "refinement", "chosen_share")
    row |= {f"acceleration_error_{k}": _within(law, "acceleration_error", k) for k in ("law", "gnn")}
    row |= {"data_verdict": law.get("data_verdict"), "symbolic_s": law["seconds"]}
    return row


def _within(content: dict, outer: str, inner: str):
    part = content.get(outer)
    return part.get(inner) if isinstance(part, dict) else None


def hardware() -> str:
    """Number of cores and the processor's name."""
    model = "unknown CPU"
    if Path("/proc/cpuinfo").is_file():
        found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":")[1].strip() if found else model
    return f"{os.cpu_count()} cores, {model}"
