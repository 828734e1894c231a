"""The parts of docs/scale.md, of results/scale.json (``benchmarks/scale.py``)."""

import math

from evidence_parts import stored
from page_stamps import made

from distill.report.markdown import markdown

NONE = "Not measured yet: `python benchmarks/scale.py` makes this table."
CELLS = {
    "r2_10000": "`r2`, n = 4, 10,000 trajectories",
    "r2_100000": "`r2`, n = 4, 100,000 trajectories",
    "lj_250": "argon, n = 250",
    "lj_1000": "argon, n = 1,000",
    "lj_1000_frames": "argon, n = 1,000, more frames",
}
MOST_MB = 6000
MACHINES = (8, 16, 64)  # GB of memory
OTHERS = 1000  # MB of it that are left to everything else


def rows() -> dict[str, dict]:
    """Cell -> its row, of those that were measured."""
    found = stored("scale")
    return {row["cell"]: row for row in found["sections"]["scale"]["rows"]} if found else {}


def frames(row: dict) -> int:
    return row["trajectories"] * row["frames"]


# ---------------------------------------------------------------- costs


def costs() -> str:
    """CPU time, memory and disk of every stage of every cell."""
    if not (found := rows()):
        return NONE
    lines, failed = [], []
    for cell, row in found.items():
        if "error" in row:
            failed.append(f"{CELLS[cell]} ended with: {row['error']}.")
            continue
        size = f"{CELLS[cell]}, {row['trajectories']:,} x {row['frames']} frames"
        for script, one in row["stages"].items():
            numbers = (one["cpu_s"], one["peak_mb"], one["bytes"] / 1e6)
            lines.append([size, f"`{script}`", *(f"{value:.0f}" for value in numbers)])
            size = ""
    table = markdown(["data", "stage", "CPU-s", "peak MB", "MB on disk"], lines)
    return "\n\n".join(
        [table, " ".join([bar(found), *failed, *unmeasured(found)]), made(found.values(), "scale", [216])]
    )


def bar(found: dict[str, dict]) -> str:
    """The largest peak of all against what was wanted."""
    peaks = {(one["peak_mb"], s, k) for k, row in found.items() for s, one in row.get("stages", {}).items()}
    if not peaks:
        return ""
    most, script, cell = max(peaks)
    met = "met" if most <= MOST_MB else "**not met**"
    return f"Largest peak: {most:.0f} MB (`{script}`, {CELLS[cell]}); wanted at most {MOST_MB} MB: {met}."


def unmeasured(found: dict[str, dict]) -> list[str]:
    left = [told for cell, told in CELLS.items() if cell not in found]
    return [f"Not measured: {'; '.join(left)}."] if left else []


def training() -> str:
    """Edges a second of CPU time, and R2 where the network has learnt enough for one to say anything."""
    if not (found := {cell: row for cell, row in rows().items() if "error" not in row}):
        return NONE
    lines = []
    for cell, row in found.items():
        one, r2 = row["training"], row["read_out_r2_all"]
        edges = sum(k["edges"] for k in row["messages"].values())
        share = one["graphs_seen"] / one["graphs"]
        lines.append(
            [CELLS[cell], f"{one['graphs']:,}", f"{share:.2g}", f"{one['edges_a_frame']:,.0f}"]
            + [f"{one['edges_a_cpu_s']:.3g}", f"{one['error'] / one['error_of_zero']:.2g}", f"{edges:,}"]
            + ["–" if r2 is None else f"{r2:.4f}"]
        )
    head = "data|training frames|epochs|edges a frame|edges a CPU-s|error / that of zero|edges extracted|R² read out"
    return markdown(head.split("|"), lines)


# ---------------------------------------------------------------- growth


def slopes(low: dict, high: dict, size) -> dict[str, float]:
    """Stage -> MB by which its peak grows for 1 more of ``size`` (row -> number) from one cell to another."""
    more = size(high) - size(low)
    return {
        script: (high["stages"][script]["peak_mb"] - one["peak_mb"]) / more for script, one in low["stages"].items()
    }


def fitting(memory: float, high: dict, grows: dict[str, float], size) -> float:
    """So many of ``size`` fit into ``memory`` MB in every stage, along straight lines through the cell ``high``."""
    left = {script: memory - one["peak_mb"] for script, one in high["stages"].items()}
    most = [size(high) + left[script] / slope for script, slope in grows.items() if slope > 0]
    return max(0.0, min(most, default=math.inf))


PAIRS = {  # what grows: (cells, size of a row, unit, so many in a column)
    "10,000 trajectories of 100 frames, `r2`": ("r2_10000", "r2_100000", lambda row: row["trajectories"], 10_000),
    "250 atoms, 500 frames": ("lj_250", "lj_1000", lambda row: row["n"], 250),
    "1,000 frames of 1,000 atoms": ("lj_1000", "lj_1000_frames", frames, 1000),
}


def growth() -> str:
    """MB by which the peak of each stage grows with the data, and how much of them fits into a machine."""
    found = {cell: row for cell, row in rows().items() if "error" not in row}
    known = {what: pair for what, pair in PAIRS.items() if {pair[0], pair[1]} <= set(found)}
    if not known:
        return NONE
    grows = {what: slopes(found[low], found[high], size) for what, (low, high, size, _) in known.items()}
    scripts = list(next(iter(grows.values())))
    lines = [[f"`{s}`", *(f"{grows[what][s] * known[what][3]:.1f}" for what in known)] for s in scripts]
    first = markdown(["peak MB more for each", *known], lines)
    lines = [
        [what.split(" ", 1)[1] if what[0] == "1" else "atoms, 500 frames"]
        + [_count(fitting(1000 * gb - OTHERS, found[pair[1]], grows[what], pair[2])) for gb in MACHINES]
        for what, pair in known.items()
    ]
    second = markdown(["so many fit into", *(f"{gb} GB" for gb in MACHINES)], lines)
    return f"{first}\n\n{second}"


def _count(value: float) -> str:
    """Rounded down to two digits."""
    if not math.isfinite(value):
        return "any"
    unit = 10 ** max(0, math.floor(math.log10(value)) - 1) if value >= 1 else 1
    return f"{int(value // unit * unit):,}"


PARTS = {"scale-costs": costs, "scale-training": training, "scale-growth": growth}
