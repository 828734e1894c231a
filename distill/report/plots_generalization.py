"""Figures of the last stage: errors set by set, rollouts, an example trajectory. Arrays in, ``Figure`` out."""

import numpy as np
from matplotlib.figure import Figure

from distill.physics.law import AXES
from distill.report import parts
from distill.report.plots import ACCENT, INK, MUTED, SOFT

NETWORK, LAW, REFERENCE = ACCENT, SOFT, MUTED
FLOOR = 1e-17  # where errors of exactly zero are drawn on a logarithmic axis
ROUNDING = 1e-15  # of rollouts: below is rounding only
_LABELS = {"gnn": "network", "law": "law", "truth_loose": "truth, looser tolerance", "truth": "truth"}


def generalization(sets: dict, rollouts: dict, title: str, unit: str | None = None) -> Figure:
    """Errors of every set above, rollouts below (where there are any): ``generalization.png``. ``unit``: as below."""
    curves, extension = "skipped" not in rollouts, parts.of_rollouts(rollouts)
    figure = Figure(figsize=(8.4, 0.55 * len(sets) + 1.3 + 3.1 * curves), layout="constrained")
    if curves:
        grid = figure.add_gridspec(2, 2, height_ratios=[0.5 * len(sets) + 0.9, 2.9])
        _draw_sets(figure.add_subplot(grid[0, :]), sets, unit)
        draw = extension.draw_rollouts if extension else _draw_rollouts
        draw([figure.add_subplot(grid[1, k]) for k in (0, 1)], rollouts)
    else:
        _draw_sets(figure.subplots(), sets, unit)
    figure.suptitle(title)
    return figure


def set_errors(sets: dict, unit: str | None = None) -> Figure:
    """Mean absolute error of network and law on every set; of forces in ``unit``, or of accelerations."""
    figure = Figure(figsize=(8.4, 0.5 * len(sets) + 1.0), layout="constrained")
    _draw_sets(figure.subplots(), sets, unit)
    return figure


def rollout_curves(rollouts: dict) -> Figure:
    """Position error and energy drift against time."""
    figure = Figure(figsize=(8.4, 3.3), layout="constrained")
    _draw_rollouts(figure.subplots(1, 2), rollouts)
    return figure


def _draw_sets(axis, sets, unit):
    what = f"a force component, {unit}" if unit else "an acceleration component"
    names = list(sets)
    for row, name in enumerate(names):
        values = {k: sets[name][k]["mae"] for k in ("gnn", "law")}
        shown = {k: max(v, FLOOR) for k, v in values.items() if v is not None}
        if len(shown) == 2:
            axis.plot(list(shown.values()), [row, row], color=MUTED, lw=1, zorder=1)
        for key, marker, colour in (("gnn", "s", NETWORK), ("law", "o", LAW)):
            if key in shown:
                axis.plot(shown[key], row, marker, color=colour, ms=7, label=_LABELS[key] if row == 0 else None)
    axis.set(xscale="log", xlabel=f"mean absolute error of {what}", ylim=(len(names) - 0.4, -0.6))
    axis.set_yticks(range(len(names)), [n.replace("_", " ") for n in names])
    axis.grid(axis="x", color=MUTED, alpha=0.25, lw=0.6)
    axis.margins(x=0.08)
    axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.1)


def _draw_rollouts(axes, rollouts):
    t = np.array(rollouts["time"])
    styles = {"gnn": (NETWORK, "-"), "law": (LAW, "-"), "truth_loose": (REFERENCE, "--"), "truth": (INK, ":")}
    for axis, key in zip(axes, ("position_error", "energy_drift"), strict=True):
        for name, (colour, style) in styles.items():
            if name not in rollouts["models"] or (name == "truth" and key == "position_error"):
                continue
            curve = {k: np.array(v, dtype=float) for k, v in rollouts["models"][name][key].items()}
            rows = {k: np.maximum(v[1:], ROUNDING) for k, v in curve.items()}
            tolerance = round(np.log10(rollouts["models"][name]["rtol"]))
            label = f"{_LABELS[name]} (rtol $10^{{{tolerance}}}$)"
            axis.plot(t[1:], rows["median"], style, color=colour, lw=1.6, label=label)
            if name in ("gnn", "law"):
                axis.fill_between(t[1:], rows["lower"], rows["upper"], color=colour, alpha=0.15, lw=0)
        axis.axvline(rollouts["training_time"], color=INK, lw=0.8, alpha=0.6)
        axis.set(yscale="log", xlabel="time")
        axis.annotate(
            "training ends",
            (rollouts["training_time"], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7,
            color=INK,
            va="bottom",
        )
    axes[0].set(ylabel="position error / size")
    axes[1].set(ylabel="relative energy drift")
    handles, labels = axes[1].get_legend_handles_labels()
    axes[0].figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=4, columnspacing=1.4)


def trajectories(pos: np.ndarray, mass: np.ndarray, t: np.ndarray, titles: list[str]) -> Figure:
    """Paths of a few trajectories: pos [trajectory, frame, particle, dim], mass [trajectory, particle].

    The first two axes are drawn; a dot, larger for heavier particles, marks the last frame. In one
    dimension the path is drawn against time.
    """
    figure = Figure(figsize=(2.8 * len(pos), 2.9), layout="constrained")
    colours = [INK, ACCENT, SOFT, "#e0a030", "#5b8c5a", "#8e6c8a", "#c8793a", MUTED]
    for k, axis in enumerate(np.atleast_1d(figure.subplots(1, len(pos)))):
        size = 14 + 60 * mass[k] / mass[k].max()
        for i in range(pos.shape[2]):
            path = pos[k, :, i]
            x, y = (t, path[:, 0]) if pos.shape[3] == 1 else (path[:, 0], path[:, 1])
            colour = colours[i % len(colours)]
            axis.plot(x, y, color=colour, lw=1, alpha=0.8)
            axis.scatter(x[-1:], y[-1:], s=size[i], color=colour, zorder=3, lw=0)
        if pos.shape[3] == 1:
            axis.set(xlabel="time", ylabel="x")
        else:
            axis.set_aspect("equal", adjustable="datalim")
            axis.set(xlabel=AXES[0], ylabel=AXES[1])
        axis.tick_params(labelsize=8)
        axis.set_title(titles[k], fontsize=8)
    return figure
