"""Figures: arrays in, a matplotlib ``Figure`` out. No files are opened here, and the settings that others draw by are
left as they are.
"""

import functools
import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import matplotlib.figure
import numpy as np

from distill.files.kinds import LearntValue, Rollouts, SetErrors, Skipped, TargetRecord
from distill.physics.law import AXES
from distill.report import parts
from distill.report.palette import ACCENT, INK, LAW, MUTED, NETWORK, REFERENCE, SERIES, series
from distill.shell.errors import printable

FLOOR = 1e-17  # where errors of exactly zero are drawn on a logarithmic axis
PANELS = 3  # in a row: more are too small to read
MOST_LETTERS = 32  # of a name
ROUNDING = 1e-15  # of rollouts: below is rounding only
IMPORTANCE = ("importance_is", "importance", "top_components", "top_share")  # of ``linear_fit.json``, as bars
MODELS = {"law": "law", "gnn": "network", "truth_loose": "truth, looser tolerance", "truth": "truth"}
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "mathtext.fontset": "cm",
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "axes.titlesize": 10,
    "figure.titlesize": 10,
    "legend.frameon": False,
    "svg.fonttype": "path",
}
SHOWN = 96 / STYLE["savefig.dpi"]  # CSS pixels for one of a figure's: text of one size throughout a page


def styled(draw: Callable) -> Callable:
    """A function that draws, by ``STYLE`` whatever matplotlib is set to otherwise."""

    @functools.wraps(draw)
    def drawn(*arguments, **options):
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn


class Figure(matplotlib.figure.Figure):
    """Matplotlib's, drawn by ``STYLE``. A notebook shows it without pyplot."""

    draw = styled(matplotlib.figure.Figure.draw)

    def _repr_png_(self) -> tuple[bytes, dict]:
        content = save_bytes(self)
        return content, {"width": round(width_of(content) * SHOWN)}


def save_bytes(figure: Figure, kind: str = "png") -> bytes:
    """The figure as PNG or SVG; no date inside, so equal figures are equal files."""
    out = io.BytesIO()
    meta = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, format=kind, bbox_inches="tight", metadata=meta)
    return out.getvalue()


def width_of(png: bytes) -> int:
    """Pixels across."""
    return int.from_bytes(png[16:20], "big")


def literal(text: str) -> str:
    """``text`` of a file as matplotlib shows it: no formula is read in it, and it is not long."""
    return printable(text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}...").replace("$", r"\$")


@styled
def linear_fit(message, fitted, labels, scores, forces, title) -> Figure:
    """Standardised message components against their best linear combination of true forces; then pair forces along
    the line of centres, estimated against true, by the messages and without a network.

    message, fitted [edge, D]; labels: x label of each panel; scores: (r2_all, r2_trim90) of each; ``forces``: label ->
    (estimated [edge], true [edge], scores by name).
    """
    panels = [
        (fitted[:, k], message[:, k], labels[k], f"message component {k + 1}", scores[k])
        for k in range(message.shape[1])
    ]
    panels += [
        (true, force, "true pair force", label, (said["r2_all"], said["r2_trim90"]))
        for label, (force, true, said) in forces.items()
    ]
    rows = 1 if len(panels) <= PANELS else 2
    across_page = -(-len(panels) // rows)
    figure = Figure(figsize=(3.9 * across_page, 3.9 * rows), layout="constrained")
    axes = figure.subplots(rows, across_page, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, (x, y, across, up, (all_of, trimmed)) in zip(axes, panels, strict=False):
        lim = np.quantile(np.abs(x), 0.9) * 1.5 or 1.0  # a few encounters would hide all the rest
        inside = (np.abs(x) < lim) & (np.abs(y) < lim)
        low, high = _ends(x, lim)
        axis.plot([low, high], [low, high], color=ACCENT, lw=1, zorder=3)
        axis.scatter(x[inside], y[inside], s=3, alpha=0.25, color=INK, lw=0, rasterized=True)
        axis.set(xlim=(low, high), ylim=(low, high), xlabel=across, ylabel=up)
        told = f"$R^2$ = {all_of:.4f} (all)\n$R^2$ = {trimmed:.4f} (best 90 %)"
        axis.text(0.04, 0.96, told, transform=axis.transAxes, va="top")
        if outside := len(x) - int(inside.sum()):
            axis.set_title(f"{outside} of {len(x)} points lie outside", fontsize=8)
        axis.locator_params(axis="x", nbins=4)  # more of "-0.015" do not fit beside each other
    figure.suptitle(title)
    return figure


def _ends(x, lim: float) -> tuple[float, float]:
    """Of axes about 0 as far as ``lim``: of forces that only attract, or only repel, one side is empty."""
    empty = 0.1 * lim
    return (-lim if (x < -empty).any() else -empty), (lim if (x > empty).any() else empty)


@styled
def importance_bars(importance_is, importance, top_components, top_share, title) -> Figure:
    """Importance of every component, largest first, the top ones coloured; as in ``linear_fit.json``."""
    values = np.asarray(importance)
    order = np.argsort(-values, kind="stable")
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axis = figure.subplots()
    chosen = np.isin(order, top_components)
    shown = values[order] / max(values.max(), 1e-300)
    axis.bar(np.arange(len(order)), shown, color=np.where(chosen, INK, MUTED), width=0.85)
    axis.xaxis.get_major_locator().set_params(integer=True)
    what = {"std": "standard deviation", "mean_kl": "mean KL"}[importance_is]
    axis.set(xlabel="message component, by importance", ylabel=f"{what} / largest", title=title)
    axis.text(
        0.98,
        0.92,
        f"top {len(top_components)} hold {100 * top_share:.1f} % of the variance",
        transform=axis.transAxes,
        ha="right",
        va="top",
    )
    return figure


@styled
def training_curve(history: dict, title: str) -> Figure:
    """Training loss and validation error against epochs; ``history``: columns of history.csv."""
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history["epoch"], history["train_loss"], color=INK, label="training loss")
    left.plot(history["epoch"], history["validation_loss"], "--", color=ACCENT, label="validation loss")
    right.plot(history["epoch"], history["validation_mae"], "--", color=ACCENT)
    for axis, label in ((left, "loss"), (right, "validation MAE of a component")):
        axis.set(yscale="log", xlabel="epoch", ylabel=label)
    left.legend(fontsize=8)
    figure.suptitle(title)
    return figure


def fronts_of(targets: Mapping[str, TargetRecord]) -> dict[str, tuple]:
    """What ``pareto`` draws of the searches of a law."""
    return {
        name.replace("_", " "): ([row[0] for row in one.rows], [float(row[1]) for row in one.rows], one.chosen)
        for name, one in targets.items()
    }


@styled
def pareto(fronts: dict, title: str) -> Figure:
    """Loss against complexity: ``fronts`` maps a target to (complexity, loss, index of the chosen row)."""
    figure = Figure(figsize=(max(4.2, 3.4 * len(fronts)), 3.2), layout="constrained")
    for axis, (name, (complexity, loss, chosen)) in zip(
        np.atleast_1d(figure.subplots(1, len(fronts))), fronts.items(), strict=True
    ):
        loss = np.maximum(loss, 1e-16)
        axis.step(complexity, loss, where="post", color=MUTED, lw=1)
        axis.plot(complexity, loss, "o", color=INK, ms=4)
        axis.plot(complexity[chosen], loss[chosen], "o", color=ACCENT, ms=9, mfc="none", mew=2, label="chosen")
        axis.set(yscale="log", xlabel="complexity", ylabel="loss", title=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(fontsize=8)
    figure.suptitle(title)
    return figure


@styled
def generalization(sets: dict[str, SetErrors], rollouts, title: str, unit: str | None = None) -> Figure:
    """Errors of every set above, rollouts below (where there are any): ``generalization.png``. ``unit``: as below."""
    curves, extension = not isinstance(rollouts, Skipped), parts.of_rollouts(rollouts)
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


@styled
def set_errors(sets: dict[str, SetErrors], unit: str | None = None) -> Figure:
    """Mean absolute error of network and law on every set; of forces in ``unit``, or of accelerations."""
    figure = Figure(figsize=(6.8, 0.5 * len(sets) + 1.0), layout="constrained")
    _draw_sets(figure.subplots(), sets, unit)
    return figure


@styled
def rollout_curves(rollouts: Rollouts) -> Figure:
    """Position error and energy drift against time."""
    figure = Figure(figsize=(7.6, 3.3), layout="constrained")
    _draw_rollouts(figure.subplots(1, 2), rollouts)
    return figure


def _draw_sets(axis, sets, unit):
    what = f"a force component, {literal(unit)}" if unit else "an acceleration component"
    names = list(sets)
    for row, name in enumerate(names):
        values = {"gnn": sets[name].gnn.mae, "law": sets[name].law.mae}
        shown = {k: max(v, FLOOR) for k, v in values.items() if v is not None}
        if len(shown) == 2:
            axis.plot(list(shown.values()), [row, row], color=MUTED, lw=1, zorder=1)
        for key, marker, colour in (("gnn", "s", NETWORK), ("law", "o", LAW)):
            if key in shown:
                axis.plot(shown[key], row, marker, color=colour, ms=7, label=MODELS[key] if row == 0 else None)
    axis.set(xscale="log", xlabel=f"mean absolute error of {what}", ylim=(len(names) - 0.4, -0.6))
    axis.set_yticks(range(len(names)), [n.replace("_", " ") for n in names])
    axis.grid(axis="x", color=MUTED, alpha=0.25, lw=0.6)
    axis.margins(x=0.08)
    axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.1)


def _draw_rollouts(axes, rollouts):
    t, end = np.array(rollouts.time), rollouts.training_time
    styles = {"gnn": (NETWORK, "--"), "law": (LAW, "-"), "truth_loose": (REFERENCE, "-."), "truth": (INK, ":")}
    for axis, key in zip(axes, ("position_error", "energy_drift"), strict=True):
        for name, (colour, style) in styles.items():
            if name == "truth" and key == "position_error":
                continue
            model = rollouts.models[name]
            curve = {k: np.array(v, dtype=float) for k, v in vars(getattr(model, key)).items()}
            rows = {k: np.maximum(v[1:], ROUNDING) for k, v in curve.items()}
            label = f"{MODELS[name]} (rtol $10^{{{round(np.log10(model.rtol))}}}$)"
            axis.plot(t[1:], rows["median"], style, color=colour, lw=1.6, label=label)
            if name in ("gnn", "law"):
                axis.fill_between(t[1:], rows["lower"], rows["upper"], color=colour, alpha=0.15, lw=0)
        axis.axvline(end, color=INK, lw=0.8, alpha=0.6)
        axis.set(yscale="log", xlabel="time")
        above = dict(xycoords=("data", "axes fraction"), xytext=(3, 0), textcoords="offset points", va="bottom")
        axis.annotate("training ends", (end, 1.0), fontsize=7, color=INK, **above)
    axes[0].set(ylabel="position error / size")
    axes[1].set(ylabel="relative energy drift")
    handles, labels = axes[1].get_legend_handles_labels()
    axes[0].figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=4, columnspacing=1.4)


@styled
def trajectories(pos: np.ndarray, mass: np.ndarray, t: np.ndarray, titles: list[str]) -> Figure:
    """Paths of a few trajectories: pos [trajectory, frame, particle, dim], mass [trajectory, particle].

    The first two axes are drawn; a marker, larger for heavier particles, is at the last frame. In one
    dimension the path is drawn against time.
    """
    figure = Figure(figsize=(2.8 * len(pos), 2.9), layout="constrained")
    for k, axis in enumerate(np.atleast_1d(figure.subplots(1, len(pos)))):
        size = 14 + 60 * mass[k] / mass[k].max()
        for i in range(pos.shape[2]):
            path = pos[k, :, i]
            x, y = (t, path[:, 0]) if pos.shape[3] == 1 else (path[:, 0], path[:, 1])
            colour, style, marker = series(i)
            axis.plot(x, y, style, color=colour, lw=1)
            axis.scatter(x[-1:], y[-1:], s=size[i], marker=marker, color=colour, zorder=3, lw=0)
        if pos.shape[3] == 1:
            axis.set(xlabel="time", ylabel="x")
        else:
            axis.set_aspect("equal", adjustable="datalim")
            axis.set(xlabel=AXES[0], ylabel=AXES[1])
        axis.tick_params(labelsize=8)
        axis.set_title(titles[k], fontsize=8)
    return figure


@styled
def first_look(fit, edges: dict, held, found: np.ndarray, told: dict, title: str) -> Figure:
    """The curves of a ``splines.PairSpline`` with the distances met, accelerations found against seen on trajectories
    left out (``held``, a ``law.remains.scene.Scene``), and how predictable what is left is by each clue (``told``).
    """
    left = bool(told["clues"])  # else there is nothing that could follow something
    figure = Figure(figsize=(12.4 if left else 8.6, 4.0), layout="constrained")
    curve, scatter, *clues = figure.subplots(1, 2 + left, width_ratios=[1.25, 1, 1][: 2 + left])
    low, high = np.quantile(edges["r"], [1e-3, 1 - 1e-3])
    r = np.geomspace(max(low, 1e-6 * high), high, 300)
    values = fit.curves(r)
    for k, function in enumerate(fit.dependence.functions[: len(SERIES)]):
        colour, _, marker = series(k)
        y = values[:, k] / getattr(function, "scale", 1.0)
        for part, style in ((y > 0, "-"), (y < 0, "--")):
            if part.any():
                of = "every pair" if function.name == "1" else function.name.replace("*", " ")
                label = f"{of} ({'repels' if style == '-' else 'attracts'})"
                some = {"marker": marker, "markevery": (7 * k, 40), "ms": 5}
                curve.plot(r, np.where(part, np.abs(y), np.nan), style, color=colour, lw=1.8, label=label, **some)
    curve.set(xscale="log", yscale="log", xlabel="distance r", ylabel="|f| per product of the properties")
    curve.legend(fontsize=8)
    below = curve.twinx()
    below.hist(edges["r"], bins=np.geomspace(r[0], r[-1], 40), color=MUTED, alpha=0.3, lw=0)
    below.set(yticks=[], ylim=(0, 4 * max(np.histogram(edges["r"], np.geomspace(r[0], r[-1], 40))[0].max(), 1)))
    below.spines["left"].set_visible(False)
    curve.set_title("pair force (grey: distances met)")
    there = held.acc.any(1)
    x, y = found[there].reshape(-1), held.acc[there].reshape(-1)
    lim = 1.5 * np.quantile(np.abs(y), 0.9) or 1.0
    inside = (np.abs(x) < lim) & (np.abs(y) < lim)
    scatter.plot([-lim, lim], [-lim, lim], color=ACCENT, lw=1, zorder=3)
    scatter.scatter(x[inside], y[inside], s=3, alpha=0.3, color=INK, lw=0, rasterized=True)
    scatter.locator_params(nbins=5)
    scatter.set(xlim=(-lim, lim), ylim=(-lim, lim), xlabel="acceleration by the splines", ylabel="seen, left out")
    scatter.set_title(f"{100 * told['left']:.2g} % left")
    for axis in clues:
        names = list(told["clues"])
        z = np.array([told["clues"][name]["z"] for name in names])
        axis.barh(np.arange(len(names)), z, color=np.where(z >= 4, ACCENT, MUTED))
        axis.axvline(4, color=INK, lw=0.8, ls=":")
        words = [name.replace(", or ", ",\nor ").replace("distance and", "distance,\n") for name in names]
        axis.set_yticks(np.arange(len(names)), words, fontsize=8)
        axis.invert_yaxis()
        axis.set(xlabel="standard errors", title="what is left follows ...")
    figure.suptitle(title)
    return figure


@styled
def learnt(values: Mapping[str, Sequence[LearntValue]], distance, curve, title: str) -> Figure:
    """Values of bodies with 95 % intervals, by property, beside what the dataset had where that compares, and the
    ``curve`` at every ``distance`` that they multiply.
    """
    figure = Figure(figsize=(4.4 * (len(values) + 1), 4.0), layout="constrained")
    *axes, last = figure.subplots(1, len(values) + 1)
    for axis, (key, told) in zip(axes, values.items(), strict=True):
        told = sorted(told, key=lambda one: one.value)
        y, half = np.array([one.value for one in told]), np.array([one.half_width or 0.0 for one in told])
        sure, at = np.array([one.determined for one in told]), np.arange(len(told))
        wide = (y > 0).sum() > 2 and np.ptp(np.log10(y[y > 0])) > 1.5 and (y[sure] > 0).all()
        for mask, colour, marker, label in ((sure, INK, "o", "learnt"), (~sure, MUTED, "s", "not determined")):
            if mask.any():
                low = np.minimum(half[mask], 0.999 * np.abs(y[mask])) if wide else half[mask]
                shown = np.abs(y[mask]) if wide else y[mask]
                axis.errorbar(at[mask], shown, [low, half[mask]], fmt=marker, ms=4, lw=1.2, color=colour, label=label)
        if told[0].known is not None:
            axis.plot(at, [one.known for one in told], "_", ms=11, mew=1.6, color=ACCENT, label="in the dataset")
        axis.set(yscale="log" if wide else "linear", ylabel=key, title=f"{len(y)} bodies, 95 % intervals")
        few = len(y) <= 24
        labels = [literal(one.body) for one in told]
        axis.set_xticks(at if few else [], labels if few else [], rotation=60, fontsize=8)
        axis.legend(fontsize=8)
    distance, curve = np.asarray(distance), np.asarray(curve)
    for part, style, word in ((curve > 0, "-", "repels"), (curve < 0, "--", "attracts")):
        if part.any():
            last.plot(distance, np.where(part, np.abs(curve), np.nan), style, color=INK, lw=1.8, label=word)
    last.set(xscale="log", yscale="log", xlabel="distance r", ylabel="|f|", title="the force that they multiply")
    last.legend(fontsize=8)
    figure.suptitle(title)
    return figure
