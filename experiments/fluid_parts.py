"""Memory of trainings on a fluid, for docs/argon.md: results/fluid_memory.json as tables, with its bars."""

from evidence_parts import made

from distill.report.markdown import markdown

MOST = 1500.0  # MB resident, of argon's demo size
FLAT = 0.05  # of the peak: by how much the second half of a training may grow


def memory(found: dict) -> str:
    about = found["sections"]["argon newton"]
    lines, bars = [], []
    for variant, pair in about["rows"].items():
        for when, r in pair.items():
            begun, grown = r["course_mb"][0][1], r["growth_second_half_mb"]
            cells = (r["kernels"], f"{begun:.0f}", f"{r['peak_mb']:.0f}", f"{grown:+.0f}", f"{cost(r):.1f}")
            lines.append([f"`{variant}`, {when}", *map(str, cells)])
        after, before = pair["after"], pair["before"]
        flat = after["growth_second_half_mb"] <= FLAT * after["peak_mb"]
        measured = f"{after['peak_mb']:.0f} MB, {after['growth_second_half_mb']:+.0f} MB in the second half"
        kept = after["peak_mb"] <= MOST and flat
        bars.append([f"`{variant}`: memory", measured, f"<= {MOST:.0f} MB, flat", yes(kept)])
        ratio = cost(after) / cost(before)
        bars.append([f"`{variant}`: CPU time, after / before", f"{ratio:.3f}", "<= 1.03", yes(ratio <= 1.03)])
    head = ["", "kernels kept", "resident at the start, MB", "at most, MB", "second half, MB", "CPU-ms a step"]
    some = next(iter(about["rows"].values()))["after"]
    told = f"{some['steps']} steps of a frame each, {some['frames']} frames, {some['edges_a_frame']:.0f} edges a frame."
    table = markdown(["bar", "measured", "wanted", "met"], bars)
    return "\n\n".join([markdown(head, lines), table, f"{told} {made(about, 'fluid_memory')}"])


def cost(row: dict) -> float:
    """CPU-ms of a step, the rows of the history with it."""
    return 1e3 * row["cpu_seconds"] / row["steps"]


def yes(met: bool) -> str:
    return "yes" if met else "**no**"
