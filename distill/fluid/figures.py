"""Figures of a fluid: g(r), drift of the energy, pair force; dicts of ``generalization.json``."""

import numpy as np

from distill.report.palette import INK, LAW, MUTED, NETWORK
from distill.report.plots import Figure, styled

NAMES = {"truth": "truth", "law": "law", "gnn": "network"}
STYLES = {"truth": (INK, ":"), "law": (LAW, "-"), "gnn": (NETWORK, "--")}
SMALLEST = 1e-8  # of an energy drift, on a logarithmic axis: rounding


@styled
def rollouts(axes, rollouts: dict) -> None:
    """g(r) and the drift of the energy, in two panels."""
    _draw_g(axes[0], rollouts["g_r"])
    _draw_energy(axes[1], rollouts["constant_energy"])


@styled
def structure(g_r: dict) -> Figure:
    """g(r) with the range of the reference's runs, and what is left after its mean is taken off."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_g(left, g_r)
    _draw_g(right, g_r, True)
    return figure


def _draw_g(axis, g_r, difference=False):
    r, reference = np.array(g_r["r_A"]), {k: np.array(g_r["reference"][k]) for k in ("mean", "low", "high")}
    off = reference["mean"] if difference else 0.0
    axis.fill_between(
        r,
        reference["low"] - off,
        reference["high"] - off,
        color=MUTED,
        alpha=0.45,
        lw=0,
        label=f"reference, {g_r['reference']['n']} seeds",
    )
    for name, (colour, style) in STYLES.items():
        one = g_r["models"].get(name) or {}
        if one.get("mean") is not None:
            label = f"{NAMES[name]}, {one['n']} x {one['time_ps']:.3g} ps"
            axis.plot(r, np.array(one["mean"]) - off, style, color=colour, lw=1.3, label=label)
    axis.set(xlabel="r, A", ylabel="g(r) - mean of the reference" if difference else "g(r)", xlim=(2.0, r[-1]))
    if not difference:
        axis.legend(fontsize=7)


@styled
def energy(constant_energy: dict) -> Figure:
    """Drift of the true energy against time."""
    figure = Figure(figsize=(5.6, 3.0), layout="constrained")
    _draw_energy(figure.subplots(), constant_energy)
    return figure


def _draw_energy(axis, constant_energy):
    t = np.array(constant_energy["time"])
    for name, (colour, style) in STYLES.items():
        curve = constant_energy["models"][name]["energy_drift"]
        middle = np.abs(np.array(curve["median"], dtype=float))
        axis.plot(t[1:], np.maximum(middle[1:], SMALLEST), style, color=colour, lw=1.4, label=NAMES[name])
    axis.set(yscale="log", xlabel="time, ps", ylabel="|drift of the energy| / kinetic energy")
    axis.legend(fontsize=7)


@styled
def pair_forces(r, curves: dict, unit: str) -> Figure:
    """f(r) of the law and of the truth over ``r [sample]`` for every pair of species: the well, and the difference.

    ``curves``: name of the pair -> f of law and truth [sample], the latter None where it is not known. The first panel
    ends a few well depths up: over all distances of a fluid only the wall would be seen.
    """
    wide = 1 if any(true is None for _, true in curves.values()) else 2
    figure = Figure(figsize=(3.8 * wide + 0.8, 3.2 * len(curves)), layout="constrained")
    for (name, (found, true)), axes in zip(
        curves.items(), figure.subplots(len(curves), wide, squeeze=False), strict=True
    ):
        _draw_force(axes, r, found, true, f"pair force f{f'_{name}' if name else ''}(r), {unit}")
    return figure


def _draw_force(axes, r, found, true, label: str) -> None:
    found = np.asarray(found, dtype=float)
    finite = found[np.isfinite(found)]
    depth = -float(finite.min(initial=0.0)) or float(np.abs(finite).max(initial=1.0))
    axes[0].axhline(0, color=MUTED, lw=0.8)
    if true is not None:
        axes[0].plot(r, true, color=MUTED, lw=3.2, label="truth")
    axes[0].plot(r, found, "--", color=LAW, lw=1.4, label="law")
    axes[0].set(xlabel="r, A", ylabel=label, ylim=(-1.4 * depth, 2.5 * depth))
    axes[0].legend(fontsize=8)
    if true is not None:
        off = np.abs(found - np.asarray(true))
        same = "" if (off > 0).any() else ": 0 everywhere"
        axes[1].plot(r, np.where(off > 0, off, np.nan), color=LAW, lw=1.4, label=f"|law - truth|{same}")
        axes[1].plot(r, np.abs(true), ":", color=INK, lw=1.2, label="|truth|")
        axes[1].set(yscale="log", xlabel="r, A", ylabel=label)
        axes[1].legend(fontsize=8)
