"""The figure of ``tracks.py``: rows in, a matplotlib ``Figure`` out."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from distill.report.palette import ACCENT, INK, MUTED, SOFT
from distill.report.plots import Figure, styled

SHARE = LinearSegmentedColormap.from_list("share", ["#f3d9d3", "#f7f3e3", "#cfe8d5"])
ASKED = {0.01: 0.005, 0.1: 0.015}  # of the accelerations by splines, at that noise
FLOOR = 1e-7  # where errors below it are drawn: constants were rounded to those of the truth
WAYS = {"splines": ("law searched on splines", SOFT), "messages": ("law searched on messages", ACCENT)}


@styled
def draw(rows: list[dict], grid: dict, others: dict) -> Figure:
    """``rows``: those of results/tracks.json. ``grid``: (noise, spacing) -> condition; ``others``: condition -> what
    it is. Above: cells recovered by noise and spacing of frames, by system; below: errors of accelerations.
    """
    systems = list(dict.fromkeys(r["system"] for r in rows))
    figure = Figure(figsize=(11, 7.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1))
    seeds = " ".join(map(str, sorted({r["seed"] for r in rows})))
    upper.suptitle(f"Laws recovered from positions alone, either way (200 trajectories, seeds {seeds})", fontsize=11)
    axes = np.atleast_1d(upper.subplots(1, len(systems), sharey=True))
    for axis, system in zip(axes, systems, strict=True):
        _grid(axis, system, [r for r in rows if r["system"] == system], grid)
    axes[0].set_ylabel("frames kept: one of ...")
    left, right = lower.subplots(1, 2, width_ratios=(1.25, 1))
    _errors(left, rows, grid)
    _rates(right, rows, grid, others)
    return figure


def recovered(row: dict) -> bool:
    return any(_law(row, way).get("recovered", False) for way in WAYS)


def _law(row: dict, way: str) -> dict:
    return (row.get(way) or {}).get("after", {})


def _grid(axis, system: str, rows: list[dict], grid: dict):
    noises, spacings = (sorted({place[k] for place in grid}) for k in (0, 1))
    for (noise, every), name in grid.items():
        x, y = noises.index(noise), spacings.index(every)
        some = [r for r in rows if r["condition"] == name]
        if not some:
            axis.text(x, y, "–", ha="center", va="center", color=MUTED)
            continue
        good = sum(recovered(r) for r in some)
        axis.add_patch(_square(x, y, SHARE(good / len(some))))
        axis.text(x, y - 0.1, f"{good}/{len(some)}", ha="center", va="center", fontsize=10, color=INK)
        error = [law["accelerations"]["median"] for r in some for w in WAYS if (law := _law(r, w))]
        if error:
            axis.text(x, y + 0.25, _percent(np.median(error)), ha="center", va="center", fontsize=7, color=INK)
    axis.set(xlim=(-0.5, len(noises) - 0.5), ylim=(len(spacings) - 0.5, -0.5), title=system)
    axis.set_xticks(range(len(noises)), [f"{100 * n:g} %" for n in noises], fontsize=8)
    axis.set_yticks(range(len(spacings)), spacings)
    axis.set_xlabel("noise, of the step between frames", fontsize=8)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def _square(x, y, colour):
    return Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=colour, edgecolor="none")


def _errors(axis, rows: list[dict], grid: dict):
    """Errors of accelerations on clean fresh frames, at the frames as they are: fits and laws."""
    noises = sorted({noise for noise, every in grid if every == 1})
    curves = [
        ("splines", "fit", "splines, no formula", SOFT, "o", "-"),
        ("messages", "fit", "network", ACCENT, "s", "-"),
        ("splines", "after", "law found on splines", SOFT, "o", ":"),
        ("messages", "after", "law found on messages", ACCENT, "s", ":"),
    ]
    for k, (way, what, label, colour, marker, line) in enumerate(curves):
        x, y = [], []
        for noise in noises:
            for row in rows:
                found = (row.get(way) or {}).get(what) if row["condition"] == grid[noise, 1] else None
                if found:
                    x.append(noise * 1.07 ** (k - 1.5))
                    y.append(max((found if what == "fit" else found["accelerations"])["median"], FLOOR))
        if not x:
            continue
        hollow = {"mfc": "white"} if what == "after" else {}
        axis.plot(x, y, marker, color=colour, ms=4, alpha=0.7, **hollow)
        middle = [(n, np.median([b for a, b in zip(x, y, strict=True) if a == n])) for n in sorted(set(x))]
        axis.plot(*zip(*middle, strict=True), line, color=colour, lw=1.4, label=label)
    for noise, bar in ASKED.items():
        axis.plot([noise / 1.5, noise * 1.5], [bar, bar], color=INK, lw=1)
    axis.set(xscale="log", yscale="log", xlabel="noise, of the median step between frames")
    axis.set_xticks(noises, [f"{100 * n:g} %" for n in noises])
    axis.minorticks_off()
    axis.set(
        ylabel="|error| / |a|, median",
        title="accelerations on clean frames of other trajectories (bars: asked of splines; lowest: exact)",
    )
    axis.title.set_fontsize(9)
    axis.legend(fontsize=8, frameon=False)


def _rates(axis, rows: list[dict], grid: dict, others: dict):
    """Counts at the frames as they are and under the other conditions."""
    names = {grid[place]: f"{100 * place[0]:g} % noise" for place in grid if place[1] == 1}
    names |= {name: f"1 % noise, {what}" for name, what in others.items()}
    names = {name: label for name, label in names.items() if any(r["condition"] == name for r in rows)}
    axis.set_axis_off()
    axis.set(xlim=(0, 1), ylim=(len(names) + 0.5, -1.2), title="recovered, all systems")
    axis.title.set_fontsize(9)
    columns = {"splines": 0.72, "messages": 0.86, "either": 0.98}
    for way, x in columns.items():
        axis.text(x, -0.6, way, ha="center", fontsize=8, color=INK)
    for y, (name, label) in enumerate(names.items()):
        some = [r for r in rows if r["condition"] == name]
        axis.text(-0.08, y + 0.2, label, fontsize=8.5, color=INK)
        for way, x in columns.items():
            done = some if way == "either" else [r for r in some if r.get(way)]
            good = sum(recovered(r) if way == "either" else _law(r, way).get("recovered", False) for r in done)
            axis.text(x, y + 0.2, f"{good}/{len(done)}" if done else "–", ha="center", fontsize=9, color=INK)


def _percent(x: float) -> str:
    return "exact" if x < FLOOR else f"{100 * x:.2g} %"
