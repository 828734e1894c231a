"""A first answer in seconds, without any network or search: the stage ``look``."""

import numpy as np
import sympy as sp

from distill.files.dataset import Dataset, load_dataset
from distill.files.names import splines_name
from distill.files.storage import save_bytes
from distill.law import residuals, scene
from distill.law.scene import Scene
from distill.messages.net_forces import nodes_of
from distill.physics import terms
from distill.physics.law import Law
from distill.physics.terms import TERMS
from distill.shell import paths
from distill.shell.stage import Done, Stage
from distill.splines.dependence import FREE, GIVEN
from distill.splines.fit import fit_pair_force
from distill.splines.observations import observations
from distill.splines.pair_spline import PairSpline
from distill.splines.window_length import with_window
from distill.statistics.metrics import typical_size
from distill.windows.of_dataset import noise_in

GRAPHS, QUICK_GRAPHS = 16_000, 1000  # frames that are fitted
INNER = (0.02, 0.98)  # quantiles of the distances between which the curve is told
WITHIN = 2.0  # times what noise makes: no more than that
SMALL = 0.01  # held-out error that needs no more functions
CANCELS = 0.03  # sum of the forces over all particles, over that of their sizes: with gaps windows differ a little


def look(dataset: str, *, seed: int = 0, threads: int = 1, overwrite: bool = False, quick: bool = False) -> Done:
    """Splines of the pair force and node terms, fitted to the accelerations of ``dataset`` or to the windows of its
    positions; what they leave, and which assumptions that speaks against. Draws outputs/<dataset>__splines/look.png
    again each time: ``threads`` and ``overwrite`` are taken as other stages take them, and change nothing.
    """
    data, stage = load_dataset(dataset), Stage("look", dataset)
    length = with_window(data, seed)
    edges = observations(data, "train", QUICK_GRAPHS if quick else GRAPHS, seed)
    nodes = nodes_of(edges)
    fit = fit_pair_force(edges, nodes, seed, (GIVEN,))
    if not quick and fit.error > WITHIN * max(SMALL, noise_share(edges, nodes)):  # products of the properties miss it
        fit = fit_pair_force(edges, nodes, seed, (GIVEN, FREE))
    cutoff = float(data.cutoff) if "cutoff" in data.arrays else None
    law = Law(sp.Integer(0), {}, data.meta.system.neighbours_only, cutoff, tuple(data.properties))
    held = scene.of_dataset(data, law, seed)
    found = accelerations(fit, held)
    told = left_over(held, found) | momentum(fit, held, found)
    lines = [*_data_lines(data, length, edges, nodes), *_fit_lines(fit, edges), *_left_lines(told)]
    from distill.report import plots  # matplotlib takes a second

    out = paths.OUTPUTS / splines_name(data.name) / "look.png"
    save_bytes(out, plots.save_bytes(plots.first_look(fit, edges, held, found, told, data.name)))
    shown = {"functions": len(fit.dependence.functions), "node_terms": len(fit.node_terms), "left": told["left"]}
    return stage.done(out, lines, **shown, receivers=len(nodes.first))


def noise_share(edges: dict, nodes) -> float:
    """What noise makes of a target, over c + |a| (mean); 0 where it is not known."""
    if "acc_noise" not in edges:
        return 0.0
    size = np.linalg.norm(edges["acc_i"][nodes.first], axis=1)
    noise = np.sqrt(edges["acc_i"].shape[1]) * edges["acc_noise"][nodes.first]
    return float(np.mean(noise / (typical_size(size) + size)))


def accelerations(fit: PairSpline, held: Scene) -> np.ndarray:
    """By the splines [row, dim]."""
    pairs = held.sum(fit.radial_of(held.features)[:, None] * held.unit)
    return (pairs + terms.force(fit.node_values, held.state)) / held.state.mass[:, None]


def left_over(held: Scene, found: np.ndarray) -> dict:
    """How much the splines leave of the accelerations on trajectories that they were not fitted to, and what of that
    can be foretold (``law.residuals``): ``left``, ``clues`` name -> (z, r2), ``lasts``.
    """
    size = np.linalg.norm(found, axis=1)
    weight = 1 / (typical_size(np.linalg.norm(held.acc, axis=1)) + size)
    left = (held.acc - found) * weight[:, None]
    there = held.acc.any(1)
    out = {"left": float(np.linalg.norm(left[there], axis=1).mean()) if there.any() else 0.0}
    bar = np.quantile(np.abs(left), residuals.CLIPPED)
    u = np.clip(left, -bar, bar)
    if out["left"] < residuals.NOTHING or not u.any():
        return out | {"clues": {}, "lasts": None}
    clues = residuals.following(held, u, weight, found)
    return out | {"clues": clues, "lasts": residuals.lasting(u.reshape(*held.shape, -1))}


def momentum(fit: PairSpline, held: Scene, found: np.ndarray) -> dict:
    """``third_law``: size of the sum of all forces on the particles of a frame over the sum of their sizes (root mean
    squares), node terms taken off; ``third_law_noise``: what the residuals alone would make of it.
    """
    force = held.state.mass[:, None] * held.acc - terms.force(fit.node_values, held.state)
    left = held.state.mass[:, None] * (held.acc - found)
    there = held.acc.any(1).reshape(-1, held.shape[2]).all(1)
    if not there.any():
        return {"third_law": None, "third_law_noise": None}
    whole, noise = (v.reshape(-1, held.shape[2], v.shape[1])[there] for v in (force, left))
    size = np.sqrt((np.linalg.norm(whole, axis=2).sum(1) ** 2).mean()) or 1.0
    made = np.sqrt((noise**2).sum((1, 2)).mean())
    return {
        "third_law": float(np.sqrt((whole.sum(1) ** 2).sum(1).mean()) / size),
        "third_law_noise": float(made / size),
    }


def _data_lines(data: Dataset, length: int | None, edges: dict, nodes) -> list[str]:
    count, frames, n, dim = data.pos.shape
    lines = [f"data      {count:,} trajectories x {frames} frames x {n} particles, {dim}-D"]
    if length is None:
        return [*lines, "          accelerations were measured"]
    target = np.linalg.norm(edges["acc_i"][nodes.first], axis=1)
    noise = np.sqrt(dim) * np.median(edges["acc_noise"][nodes.first]) / np.median(target)
    step = np.nanmedian(np.linalg.norm(np.diff(data.observed, axis=1), axis=-1))
    share = f"{100 * noise_in(data) / step:.2g} % of a step between frames"
    return [
        *lines,
        f"          positions alone, noise {noise_in(data):.3g} ({share}); windows of {length} frames,"
        f" in which noise is {100 * noise:.2g} % of an acceleration",
    ]


def _fit_lines(fit: PairSpline, edges: dict) -> list[str]:
    lines = [f"force     f = sum of {', '.join(fit.dependence.names)} times a curve of r each"]
    if fit.dependence.kind == FREE:
        lines = [
            f"force     smooth functions of {', '.join(fit.dependence.functions[0].of)} of both ends, times curves"
        ]
    r = np.quantile(edges["r"], [INNER[0], 0.25, 0.5, 0.75, INNER[1]])
    if fit.dependence.kind == GIVEN:
        step = np.array([0.97, 1.03])
        for k, function in enumerate(fit.dependence.functions):
            value = fit.curves(r)[:, k] / function.scale
            around = np.array([fit.curves(step * one)[:, k] for one in r])
            with np.errstate(all="ignore"):
                slope = np.log(np.abs(around[:, 1] / around[:, 0])) / np.log(step[1] / step[0])
            parts = [f"{v:.3g} at {a:.3g} (r^{s:.2f})" for v, a, s in zip(value, r, slope, strict=True)]
            lines.append(f"          {function.name}: {', '.join(parts)}")
    beside = [TERMS[name].text(value) for name, value in fit.node_values.items()]
    lines.append(f"beside    {' '.join(beside) if beside else 'no drag, no uniform field'}")
    return lines


def _left_lines(told: dict) -> list[str]:
    lines = [f"left      {100 * told['left']:.2g} % of the accelerations of trajectories left out"]
    if told["lasts"]:
        word = "lasts from frame to frame" if told["lasts"]["lasts"] else "does not last"
        lines.append(f"          {word} (autocorrelation {told['lasts']['lag_1']:.2f} +- {told['lasts']['error']:.2f})")
    for name, test in told["clues"].items():
        sure = test["z"] >= residuals.SIGNIFICANT and test["r2"] >= residuals.MATERIAL
        seen = f"R2 {test['r2']:.3f}, {test['z']:.1f} standard errors"
        lines.append(f"          {'FOLLOWS' if sure else 'no sign of'} {name}: {seen}")
    if told["third_law"] is not None:
        both = (
            f"{100 * told['third_law']:.2g} % of their sizes, what is left alone {100 * told['third_law_noise']:.2g} %"
        )
        holds = told["third_law"] <= max(CANCELS, WITHIN * told["third_law_noise"])
        word = "action is reaction" if holds else "action is NOT reaction, or something acts from outside"
        lines.append(f"          {word}: all forces of a frame add up to {both}")
    return lines
