"""The figure of the boxes: power spectra and mass functions beside theory."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from distill.halos.told.tables import OWN, of_kind
from distill.report.palette import ACCENT, INK, MUTED, SOFT
from distill.report.plots import Figure, styled

TICKS = (0.03, 0.05, 0.1, 0.2, 0.3, 0.5)
TOLERANCE = 0.1  # of the power spectrum, drawn as a band


@styled
def of_boxes(rows: Sequence[dict]) -> Figure:
    """P(k) over the revised halofit, each box with the power of its own initial modes taken out, and n(M), of boxes of
    one setting.
    """
    found = of_kind(rows, "box")
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    k = np.array(found[0]["spectrum"]["k"])
    ratio = np.array([np.divide(r["spectrum"]["power"], r["spectrum"]["theory"]) for r in found])
    own = ratio / [r["spectrum"]["own_modes"] for r in found]
    left.axhspan(1 - TOLERANCE, 1 + TOLERANCE, color=MUTED, alpha=0.2, lw=0)
    left.plot(k, own.T, color=SOFT, lw=0.6, alpha=0.6)
    left.plot(k, own.mean(0), color=ACCENT, lw=2, label="mean of the boxes")
    left.plot(k, ratio.mean(0), color=INK, lw=1, ls=":", label="... with the power of their initial modes left in")
    linear = np.divide(found[0]["spectrum"]["linear"], found[0]["spectrum"]["theory"])
    left.plot(k, linear, color=MUTED, lw=1, ls="--", label="linear theory")
    left.set(
        xscale="log",
        xlim=(k[0], k[-1]),
        ylim=(0.5, 1.5),
        xlabel="k in h/Mpc",
        ylabel="P(k) / halofit (Takahashi et al. 2012)",
    )
    left.xaxis.set_major_locator(FixedLocator(TICKS))
    left.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.xaxis.set_minor_formatter(NullFormatter())
    left.legend(frameon=False, fontsize=8)
    mass = np.array(found[0]["mass_function"]["mass"])
    counts = np.array([r["mass_function"]["found"] for r in found])
    right.plot(mass, found[0]["mass_function"]["theory"], color=INK, lw=1.5, label="Warren et al. 2006")
    mean, error = counts.mean(0), np.sqrt(np.maximum(counts.sum(0), 1)) / len(found)
    right.errorbar(
        mass, np.where(mean > 0, mean, np.nan), error, fmt="o", ms=4, color=ACCENT, label="mean of the boxes"
    )
    right.set(xscale="log", yscale="log", xlabel="mass in Msun/h", ylabel="haloes a box and bin")
    right.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{len(found)} boxes: {OWN}", fontsize=10)
    return figure
