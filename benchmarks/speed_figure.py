"""Tables and the figure of ``speed.py`` from its results: what each stage gains, and how soon messages are forces."""

from pathlib import Path

from distill.files.storage import load_json, save_bytes
from distill.report import plots
from distill.report.palette import ACCENT, INK, MUTED, SOFT
from distill.report.plots import Figure, styled
from distill.shell import paths
from distill.shell.paths import relative

FIGURE = paths.ROOT / "docs" / "speed.png"


def summary(results: Path) -> int:
    """Print every section's table and bars; draw ``docs/speed.png``."""
    sections = load_json(results, "run a section first:  python benchmarks/speed.py training")["sections"]
    for name, section in sections.items():
        print(f"\n## {name} ({section['date']}, commit {section['git']['commit'][:9]}, {section['hardware']})\n")
        print(section["table"])
        for bar in section["bars"]:
            print(f"- {bar['what']}: {bar['measured']} (wanted {bar['wanted']})")
    save_bytes(FIGURE, plots.save_bytes(figure(sections)))
    print(f"\n-> {relative(FIGURE)}")
    return 0


@styled
def figure(sections: dict) -> Figure:
    """``sections``: of ``results/speed.json``, any of them missing."""
    gains = speed_ups(sections)
    drawn = Figure(figsize=(11, max(3.4, 0.27 * len(gains) + 1.2)), layout="constrained")
    left, right = drawn.subplots(1, 2, width_ratios=(1.25, 1))
    _gains(left, gains)
    _curves(right, sections.get("time-to-r2"))
    return drawn


def speed_ups(sections: dict) -> list[tuple[str, float, tuple[float, float] | None, str]]:
    """(label, times as fast as the original way, its range, who) of all timings against a baseline."""
    found = []
    for row in sections.get("simulation", {}).get("rows", []):
        who = {"simulate.py": "ours", "heyoka.py, as accurate in both": "heyoka.py, as accurate"}.get(row["method"])
        if who:
            found.append((f"simulation, {row['system']}", row["ratio"], row["ratio_range"], who))
    for name in ("training", "training, 2 threads", "sizes"):
        rows = [r for r in sections.get(name, {}).get("rows", []) if r["ratio"] is not None]
        threads = name.partition(", ")[2] or "1 thread"
        for n, precision in sorted({(r["n"], r["precision"]) for r in rows}, key=lambda k: (k[0], k[1] == "bf16")):
            best = max((r for r in rows if (r["n"], r["precision"]) == (n, precision)), key=lambda r: r["ratio"])
            found.append((f"training, n = {n}, {precision}, {threads}", best["ratio"], best["ratio_range"], "ours"))
    return found


def _gains(axis, gains) -> None:
    names = list(dict.fromkeys(name for name, *_ in gains))
    for who, style, colour in (("ours", "o", ACCENT), ("heyoka.py, as accurate", "D", MUTED)):
        own = [(names.index(name), value, span) for name, value, span, of in gains if of == who]
        if not own:
            continue
        at, values, spans = zip(*own, strict=True)
        error = [[abs(v - s[end]) for v, s in zip(values, spans, strict=True)] for end in (0, 1)]
        axis.errorbar(values, at, xerr=error, fmt=style, color=colour, ms=6, lw=1.6, label=who, zorder=3)
    axis.axvline(1, color=INK, lw=1)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="times as fast as the original way")
    axis.set_xticks([1, 2, 3, 5, 10, 20], ["1", "2", "3", "5", "10", "20"])
    axis.minorticks_off()
    axis.grid(axis="x", color=SOFT, alpha=0.25)
    axis.set_title("Speed (median and range of bracketed timings)", fontsize=11)
    if gains:
        axis.legend(loc="lower right", frameon=False, fontsize=9)


def _curves(axis, section: dict | None) -> None:
    for k, row in enumerate(section["rows"] if section else []):
        for recipe, colour in (("newton", ACCENT), ("paper", MUTED)):
            points = [(p["cpu_s"], max(1 - p["r2_all"], 1e-5)) for p in row[recipe]]
            axis.plot(*zip(*points, strict=True), color=colour, lw=1.6, marker=".", label=recipe if not k else None)
    axis.axhline(0.01, color=INK, lw=1, ls=":")
    axis.set(xscale="log", xlabel="CPU seconds of training")
    axis.set(yscale="log", ylabel="1 - R² of messages with forces, all edges")
    axis.invert_yaxis()
    axis.set_title("Charges in 2-D: how soon messages are forces", fontsize=11)
    if section:
        axis.legend(frameon=False, fontsize=9)
