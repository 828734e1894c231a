"""Figures: arrays in, a matplotlib ``Figure`` out. No files are opened here and no global state used."""

import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure

INK, ACCENT, SOFT, MUTED = "#1b2a41", "#d1495b", "#2e86ab", "#9aa5b1"
matplotlib.rcParams.update(
    {
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
        "legend.frameon": False,
        "svg.fonttype": "path",
    }
)


def save_bytes(figure: Figure, kind: str = "png") -> bytes:
    """The figure as PNG or SVG; no date inside, so equal figures are equal files."""
    out = io.BytesIO()
    meta = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(out, format=kind, bbox_inches="tight", metadata=meta)
    return out.getvalue()


def linear_fit(message, fitted, labels, scores, title) -> Figure:
    """Standardised message components against their best linear combination of true forces.

    message, fitted [edge, D]; labels: x label of each panel; scores: (r2_all, r2_trim90) of each.
    """
    count = message.shape[1]
    figure = Figure(figsize=(3.9 * count, 3.9), layout="constrained")
    for k, axis in enumerate(np.atleast_1d(figure.subplots(1, count))):
        lim = np.quantile(np.abs(fitted[:, k]), 0.9) * 1.5 or 1.0  # a few encounters would hide all the rest
        inside = (np.abs(fitted[:, k]) < lim) & (np.abs(message[:, k]) < lim)
        axis.plot([-lim, lim], [-lim, lim], color=ACCENT, lw=1, zorder=3)
        axis.scatter(fitted[inside, k], message[inside, k], s=3, alpha=0.25, color=INK, lw=0, rasterized=True)
        axis.set(xlim=(-lim, lim), ylim=(-lim, lim), xlabel=labels[k], ylabel=f"message component {k + 1}")
        axis.text(
            0.04,
            0.96,
            f"$R^2$ = {scores[k][0]:.4f} (all)\n$R^2$ = {scores[k][1]:.4f} (best 90 %)",
            transform=axis.transAxes,
            va="top",
        )
        outside = len(message) - int(inside.sum())
        if outside:
            axis.set_title(f"{outside} of {len(message)} points lie outside", fontsize=8, color=MUTED)
    figure.suptitle(title)
    return figure


def importance_bars(values, top, share, what, title) -> Figure:
    """Importance of every component, largest first, the top ones coloured."""
    order = np.argsort(-values, kind="stable")
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axis = figure.subplots()
    chosen = np.isin(order, top)
    shown = values[order] / max(values.max(), 1e-300)
    axis.bar(np.arange(len(order)), shown, color=np.where(chosen, ACCENT, MUTED), width=0.85)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(xlabel="message component, by importance", ylabel=f"{what} / largest", title=title)
    axis.text(
        0.98,
        0.92,
        f"top {len(top)} hold {100 * share:.1f} % of the variance",
        transform=axis.transAxes,
        ha="right",
        va="top",
    )
    return figure


def training_curve(history: dict, title: str) -> Figure:
    """Training loss and validation error against epochs; ``history``: columns of history.csv."""
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history["epoch"], history["train_loss"], color=INK, label="training loss")
    left.plot(history["epoch"], history["validation_loss"], color=ACCENT, label="validation loss")
    right.plot(history["epoch"], history["validation_mae"], color=ACCENT, label="validation MAE of a component")
    for axis in (left, right):
        axis.set(yscale="log", xlabel="epoch")
        axis.legend(fontsize=8)
    figure.suptitle(title)
    return figure


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
        axis.legend(fontsize=8)
    figure.suptitle(title)
    return figure
