"""The figure of ``recovery.py``: rows in, a matplotlib ``Figure`` out."""

from collections.abc import Sequence

import numpy as np
import recovery_summary as summary

from distill.report.palette import ACCENT, INK, MUTED, SERIES, SOFT
from distill.report.plots import Figure, styled

BROWN, TEAL = SERIES[1:3]
MEASURES = {
    "from_messages_recovered": ("messages, before any refit", ACCENT, "s"),
    "untrained_before_refit_recovered": ("untrained, before a refit", MUTED, "v"),
    "splines_before_refit_recovered": ("splines, before a refit", TEAL, "^"),
    "recovered": ("after the refit", SOFT, "o"),
    "control_recovered": ("the refit, no network", BROWN, "D"),
}
FLOOR = 1e-18  # where a ratio of exactly 0 is drawn
BAND = "#f1f4f7"


@styled
def recovery(runs: dict[str, list[dict]]) -> Figure:
    """Rates, errors of law against network, and noise.

    ``runs``: section of the pipeline's results -> its rows (``report.numbers`` and the names of the run). The
    rates are over dimensions and seeds, of all sections but "noise"; noise is of 2-D ``l1`` runs.
    """
    clean = [r for section, rows in runs.items() if section != "noise" for r in rows if not r["noise"]]
    noisy = [r for rows in runs.values() for r in rows if r["noise"]]
    parts = summary.groups(clean, ("system", "variant"))
    names = sorted(parts, key=lambda k: list(summary.groups(clean, ("system",))).index(k[:1]))
    height = max(3.2, 0.27 * len(names) + 1.2)
    figure = Figure(figsize=(11, height + 3.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(height, 3.6))
    measures = {k: v for k, v in MEASURES.items() if summary.rate(clean + noisy, k)["n"]}
    if names:
        _rates(np.atleast_1d(upper.subplots(1, len(measures), sharey=True)), names, parts, measures)
        what = f"runs found / runs, 95 % intervals that count data sets; {_pooled(clean)}"
        upper.suptitle(f"How often the law is found ({what})", fontsize=11)
    left, *right = np.atleast_1d(lower.subplots(1, 2, width_ratios=(1.5, 1)) if noisy else lower.subplots())
    _ratios(left, clean)
    for axis in right:
        _noise(axis, [r for r in clean if r["dim"] == 2 and r["variant"] == "l1"], noisy, measures)
    return figure


def _pooled(rows) -> str:
    seeds, dims = (sorted({r[k] for r in rows}) for k in ("seed", "dim"))
    return f"{' and '.join(f'{d}-D' for d in dims)}, seeds {' '.join(map(str, seeds))}"


def _interval(axis, found: dict, at: float, colour, marker, vertical=False):
    """A rate with its interval; nothing where nothing was counted."""
    if not found["n"]:
        return
    value = found["rate"]
    error = np.clip([[value - found["low"]], [found["high"] - value]], 0, None)
    place = {"x": at, "y": value, "yerr": error} if vertical else {"x": value, "y": at, "xerr": error}
    axis.errorbar(**place, fmt=marker, color=colour, ms=6, lw=2.2, capsize=0, zorder=3, clip_on=False)


def _rates(axes: Sequence, names, parts, measures):
    systems = list(dict.fromkeys(s for s, _ in names))
    for axis, (key, (title, colour, marker)) in zip(axes, measures.items(), strict=True):
        for at, name in enumerate(names):
            found = summary.rate(parts[name], key)
            if systems.index(name[0]) % 2 == 0:
                axis.axhspan(at - 0.5, at + 0.5, color=BAND, lw=0, zorder=0)
            _interval(axis, found, at, colour, marker)
            text = f"{found['successes']}/{found['n']}" if found["n"] else "–"
            axis.text(1.06, at, text, va="center", fontsize=8, color=INK if found["n"] else MUTED)
        axis.set(xlim=(-0.03, 1.24), ylim=(len(names) - 0.5, -0.5), title=title)
        axis.title.set_fontsize(9)
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        axis.grid(axis="x", color=MUTED, alpha=0.3, lw=0.6)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(names)), [v for _, v in names], fontsize=8)
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center", "annotation_clip": False}
    for system in systems:
        middle = np.mean([k for k, name in enumerate(names) if name[0] == system])
        axes[0].annotate(system, (-0.5, middle), weight="bold", **place)
    axes[len(axes) // 2].set_xlabel("share of networks, or of data sets where no trained network is needed")


def _ratios(axis, rows):
    """Error of the law / error of the network, one point a run."""
    parts = summary.groups(rows, ("system",)).items()
    found = {system: [summary.ratios(r) for r in part] for (system,), part in parts}
    found = {
        system: values for system, values in found.items() if any(v is not None for r in values for v in r.values())
    }
    kinds = {summary.INTERPOLATION: ("interpolation", SOFT, "o", -0.2)}
    kinds["worst"] = ("worst extrapolation", ACCENT, "s", 0.2)
    largest, zeros = 1.0, 0
    for key, (label, colour, marker, shift) in kinds.items():
        x, y = [], []
        for at, values in enumerate(found.values()):
            known = [v[key] for v in values if v[key] is not None]
            x += known
            y += list(at + shift + (np.linspace(-0.13, 0.13, len(known)) if len(known) > 1 else np.zeros(len(known))))
        zeros += sum(v == 0 for v in x)
        largest = max([largest, *x])
        axis.plot(np.maximum(x, FLOOR), y, marker, color=colour, ms=4.5, alpha=0.75, mew=0, label=label)
    for at in range(0, len(found), 2):
        axis.axhspan(at - 0.5, at + 0.5, color=BAND, lw=0, zorder=0)
    axis.axvline(1, color=INK, lw=0.9)
    axis.set(xscale="log", xlim=(FLOOR / 5, 10 * largest), ylim=(len(found) - 0.5, -0.5))
    axis.set(title="law against network, one point a run (left of 1: the law is better)")
    axis.set(xlabel="mean absolute error of the law / of its network")
    ticks = [10.0**k for k in range(-15, int(np.log10(largest)) + 1, 3)]
    axis.set_xticks([FLOOR, *ticks], ["0"] + [f"$10^{{{round(np.log10(t))}}}$" for t in ticks])
    axis.minorticks_off()
    axis.get_xticklabels()[0].set_weight("bold")
    if zeros:
        axis.axvspan(FLOOR / 5, FLOOR * 5, color=MUTED, alpha=0.18, lw=0, zorder=0)
    axis.set_yticks(range(len(found)), list(found))
    axis.tick_params(axis="y", length=0)
    axis.legend(fontsize=8, loc="center right", bbox_to_anchor=(0.93, 0.5), frameon=True, edgecolor="none")


def _level(row) -> tuple[bool, float]:
    """Whether its noise is added, the same for all forces, and how much."""
    return row.get("noise_is") == "added", row["noise"]


def _noise(axis, clean, noisy, measures):
    """Rates against noise, over all systems that were run with noise."""
    systems = list(dict.fromkeys(r["system"] for r in noisy))
    rows = [r for r in clean if r["system"] in systems] + noisy
    levels = sorted({_level(r) for r in rows})
    width = 0.8 / max(len(measures), 1)
    for k, (key, (_, colour, marker)) in enumerate(measures.items()):
        for at, level in enumerate(levels):
            place = at + width * (k - (len(measures) - 1) / 2)
            found = summary.rate([r for r in rows if _level(r) == level], key)
            _interval(axis, found, place, colour, marker, True)
            text = f"{found['successes']}/{found['n']}" if found["n"] else "–"
            axis.text(place, -0.03, text, fontsize=7.5, ha="center", va="top", color=colour)
    axis.set(ylim=(-0.14, 1.05), xlim=(-0.5, max(len(levels), 1) - 0.5), ylabel="share of runs")
    axis.set(title=f"with noise: {', '.join(systems)}; 2-D, l1")
    axis.set(xlabel="noise on every acceleration of the dataset")
    axis.set_xticks(range(len(levels)), [f"{100 * x:g} %" + "\nadded" * added for added, x in levels])
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axis.grid(axis="y", color=MUTED, alpha=0.3, lw=0.6)
