"""A first answer in seconds, without any network or search: the stage ``look``."""

from math import gamma

import numpy as np
import sympy as sp

from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import LookRecord
from distill.files.names import splines_name
from distill.files.provenance import provenance
from distill.files.storage import finite_or_none, save_bytes
from distill.law import residuals, scene
from distill.law.clues import OF_MANY, OF_PAIRS
from distill.law.scene import Scene
from distill.messages.net_forces import nodes_of
from distill.physics import terms
from distill.physics.law import Law
from distill.physics.terms import TERMS, State
from distill.pipeline.forces import MORE
from distill.shell import paths
from distill.shell.errors import about
from distill.shell.paths import relative
from distill.shell.stage import Done, Stage
from distill.splines.dependence import FREE, GIVEN
from distill.splines.fit import fit_pair_force
from distill.splines.observations import observations
from distill.splines.pair_spline import PairSpline
from distill.splines.window_length import with_window
from distill.statistics.metrics import typical_size
from distill.tracks.said import displacement
from distill.windows.of_dataset import common_windows, noise_in, positions_alone

GRAPHS, QUICK_GRAPHS = 16_000, 1000  # frames that are fitted
INNER = (0.02, 0.98)  # quantiles of the distances between which the curve is told
WITHIN = 2.0  # times what noise makes: no more than that
SMALL = 0.01  # held-out error that needs no more functions
CANCELS = 0.01  # sum of the forces over all particles, over that of their sizes: masses are given in a few digits
UNTOLD = 0.2  # the same, made by noise: from there on it shows nothing
FINDS = 0.95  # held-out error over that of predicting zero: above, no force is found
POINTS = 60  # of a curve in the record


def look(dataset: str, *, seed: int = 0, threads: int = 1, overwrite: bool = False, quick: bool = False) -> Done:
    """Splines of the pair force and node terms, fitted to the accelerations of ``dataset`` or to the windows of its
    positions; what they leave, and which assumptions that speaks against. Writes outputs/<dataset>__splines/look.json
    and look.png again each time: ``threads`` and ``overwrite`` are taken as other stages take them, and change nothing.
    ``UserError`` where there are too few particles, frames or motions for a fit.
    """
    arguments = dict(locals())
    data, stage = load_dataset(dataset), Stage("look", dataset)
    with about(relative(data.path), MORE):
        length = with_window(data, seed)
        edges = observations(data, "train", QUICK_GRAPHS if quick else GRAPHS, seed)
        nodes = nodes_of(edges)
        fit = fit_pair_force(edges, nodes, seed, (GIVEN,))
    cutoff = float(data.cutoff) if "cutoff" in data.arrays else None
    law = Law(sp.Integer(0), {}, data.meta.system.neighbours_only, cutoff, tuple(data.properties))
    held = scene.of_dataset(data, law, seed)
    found = accelerations(fit, held)
    told = left_over(held, found)
    if not quick and fit.error > WITHIN * max(SMALL, noise_share(edges, nodes)) and not acts_beside(told["clues"]):
        fit = fit_pair_force(edges, nodes, seed, (GIVEN, FREE))  # products of the properties miss it
        found = accelerations(fit, held)
        told = left_over(held, found)
    told |= momentum(data, fit, held, found, told)
    told |= _data(data, length, edges, nodes)
    lines = [*_data_lines(told), *_fit_lines(fit, edges), *_left_lines(told)]
    from distill.report import plots  # matplotlib takes a second

    out = paths.OUTPUTS / splines_name(data.name) / "look.png"
    save_bytes(out, plots.save_bytes(plots.first_look(fit, edges, held, found, told, data.name)))
    made = provenance("look", arguments, {"dataset": data.path}, stage.seconds) | told | _curves(fit, edges)
    records.save(LookRecord, out.with_suffix(".json"), made | {"dataset": data.name, "receivers": len(nodes.first)})
    shown = {"functions": len(fit.dependence.functions), "node_terms": len(fit.node_terms), "left": told["left"]}
    return stage.done(out, lines, **shown, receivers=len(nodes.first))


def noise_share(edges: dict, nodes) -> float:
    """What noise makes of a target, over c + |a| (mean); 0 where it is not known."""
    if "acc_noise" not in edges:
        return 0.0
    size = np.linalg.norm(edges["acc_i"][nodes.first], axis=1)
    noise = np.sqrt(edges["acc_i"].shape[1]) * edges["acc_noise"][nodes.first]
    return float(np.mean(noise / (typical_size(size) + size)))


def acts_beside(clues: dict) -> bool:
    """Whether what is left follows something that no pair force knows more than distances and properties: then it is
    not for lack of functions of these that splines miss it.
    """
    sure = {name: test["r2"] for name, test in clues.items() if follows(test)}
    return bool(sure) and max(sure, key=sure.get) not in (OF_PAIRS, OF_MANY)


def follows(test: dict) -> bool:
    return test["z"] >= residuals.SIGNIFICANT and test["r2"] >= residuals.MATERIAL


def accelerations(fit: PairSpline, held: Scene) -> np.ndarray:
    """By the splines [row, dim]."""
    pairs = held.sum(fit.radial_of(held.features)[:, None] * held.unit)
    return (pairs + terms.force(fit.node_values, held.state)) / held.state.mass[:, None]


def left_over(held: Scene, found: np.ndarray) -> dict:
    """How much the splines leave of the accelerations on trajectories that they were not fitted to, and what of that
    can be foretold (``law.residuals``): ``left`` and ``left_by_noise``, ``clues`` name -> (z, r2), ``lasts``; ``error``
    of the splines and of predicting ``zero``, relative to c + |a|, and whether the splines foretell anything
    (``finds_force``).
    """
    size = np.linalg.norm(found, axis=1)
    weight = 1 / (typical_size(np.linalg.norm(held.acc, axis=1)) + size)
    left = (held.acc - found) * weight[:, None]
    there = held.acc.any(1)
    out = {"left": _mean(np.linalg.norm(left[there], axis=1)), "left_by_noise": None}
    if held.noise is not None:
        dim = held.acc.shape[1]
        mean = np.sqrt(2) * gamma((dim + 1) / 2) / gamma(dim / 2)  # length of a vector of standard normal numbers
        out["left_by_noise"] = _mean(mean * held.noise[there] * weight[there])
    size = np.linalg.norm(held.acc[there], axis=1)
    relative_to = typical_size(size) + size if len(size) else size
    out["error"] = _mean(np.linalg.norm((held.acc - found)[there], axis=1) / relative_to)
    out["zero"] = _mean(size / relative_to)
    out["finds_force"] = out["error"] < FINDS * out["zero"]
    bar = np.quantile(np.abs(left), residuals.CLIPPED)
    u = np.clip(left, -bar, bar)
    if out["left"] < residuals.NOTHING or not u.any():
        return out | {"clues": {}, "lasts": None}
    clues = residuals.following(held, u, weight, found)
    return out | {"clues": clues, "lasts": residuals.lasting(u.reshape(*held.shape, -1))}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def momentum(data: Dataset, fit: PairSpline, held: Scene, found: np.ndarray, told: dict) -> dict:
    """``third_law``: size of the sum of all forces on the particles of a frame over the sum of their sizes (medians),
    node terms taken off; ``third_law_noise``: what noise alone would make of it: that of the positions, or all that is
    left of measured accelerations unless it lasts (``told``, of ``left_over``). Both None where no frame has all
    particles. ``action_is_reaction``: None where noise hides it, where no force is found, or particles are held.
    """
    third_law, noise = _of_windows(data, fit, held) if positions_alone(data) else _of_frames(fit, held, found, told)
    holds = None
    if third_law is not None and told["finds_force"] and not data.meta.system.held:
        holds = third_law <= max(CANCELS, WITHIN * noise)
        holds = None if holds and noise > UNTOLD else holds
    return {"third_law": third_law, "third_law_noise": noise, "action_is_reaction": holds}


def _of_windows(data: Dataset, fit: PairSpline, held: Scene) -> tuple[float | None, float | None]:
    of = common_windows(data, np.unique(held.trajectory))
    if not len(of):
        return None, None
    own = {name: v[of.trajectory, of.particle].astype(float) for name, v in data.properties.items()}
    force = own["mass"][:, None] * of.target - terms.force(fit.node_values, State(of.mean(data.vel), own))
    _, group = np.unique(of.trajectory.astype(np.int64) * data.pos.shape[1] + of.start, return_inverse=True)
    whole = np.stack([np.bincount(group, column) for column in force.T], 1)
    made = np.bincount(group, force.shape[1] * (own["mass"] * of.noise) ** 2)
    sizes = np.bincount(group, np.linalg.norm(force, axis=1))
    return _shares(np.linalg.norm(whole, axis=1), np.sqrt(made), sizes)


def _shares(whole: np.ndarray, noise: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Medians of the first two over that of the third: some frames in which a place is wrong must not decide."""
    size = float(np.median(sizes)) or 1.0
    return float(np.median(whole)) / size, float(np.median(noise)) / size


def _of_frames(fit: PairSpline, held: Scene, found: np.ndarray, told: dict) -> tuple:
    force = held.state.mass[:, None] * held.acc - terms.force(fit.node_values, held.state)
    left = held.state.mass[:, None] * (held.acc - found)
    there = held.acc.any(1).reshape(-1, held.shape[2]).all(1)
    if not there.any():
        return None, None
    whole, noise = (v.reshape(-1, held.shape[2], v.shape[1])[there] for v in (force, left))
    made = np.sqrt((noise**2).sum((1, 2))) * (not (told["lasts"] and told["lasts"]["lasts"]))
    return _shares(np.linalg.norm(whole.sum(1), axis=1), made, np.linalg.norm(whole, axis=2).sum(1))


def _data(data: Dataset, length: int | None, edges: dict, nodes) -> dict:
    """What of the data ``LookRecord`` has."""
    count, frames, n, dim = data.pos.shape
    out = {"trajectories": count, "frames": frames, "n": n, "dim": dim, "window": length}
    out |= {"noise": None, "noise_of_step": None, "noise_of_acceleration": None}
    out["masses_known"] = "mass" not in data.meta.derived
    if length is None:
        return out
    target = np.linalg.norm(edges["acc_i"][nodes.first], axis=1)
    out["noise"] = noise_in(data)
    with np.errstate(all="ignore"):
        share = np.sqrt(dim) * np.median(edges["acc_noise"][nodes.first]) / np.median(target)
        out["noise_of_step"] = finite_or_none(np.divide(noise_in(data), displacement(data.pos)))
    return out | {"noise_of_acceleration": finite_or_none(share)}


def _curves(fit: PairSpline, edges: dict) -> dict:
    """What of the fit ``LookRecord`` has."""
    r = np.geomspace(*np.quantile(_met(edges), INNER), POINTS)
    curves, functions = fit.curves(r), fit.dependence.functions
    told = [
        {"function": f.name, "r": r.tolist(), "force": (curves[:, k] / getattr(f, "scale", 1.0)).tolist()}
        for k, f in enumerate(functions)
    ]
    node = {name: np.asarray(value).tolist() for name, value in fit.node_values.items()}
    return {"dependence": fit.dependence.kind, "curves": told, "node_values": node}


def _met(edges: dict) -> np.ndarray:
    """Distances of pairs that are not at the same place."""
    return edges["r"][edges["r"] > 0]


def _percent(share: float | None) -> str:
    """``7.6 %``, ``120 %``, without exponents for what is large."""
    if share is None:
        return "an unknown part"
    return f"{100 * share:.0f} %" if share >= 1 else f"{100 * share:.2g} %"


def _data_lines(told: dict) -> list[str]:
    size = f"{told['trajectories']:,} trajectories x {told['frames']} frames x {told['n']} particles, {told['dim']}-D"
    if told["window"] is None:
        return [f"data      {size}", "          accelerations were measured"]
    return [
        f"data      {size}",
        f"          positions alone, noise {told['noise']:.3g} ({_percent(told['noise_of_step'])} of a step between"
        f" frames); windows of {told['window']} frames, in which noise is"
        f" {_percent(told['noise_of_acceleration'])} of an acceleration",
    ]


def _fit_lines(fit: PairSpline, edges: dict) -> list[str]:
    lines = [f"force     f = sum of {', '.join(fit.dependence.names)} times a curve of r each"]
    if fit.dependence.kind == FREE:
        lines = [
            f"force     smooth functions of {', '.join(fit.dependence.functions[0].of)} of both ends, times curves"
        ]
    r = np.quantile(_met(edges), [INNER[0], 0.25, 0.5, 0.75, INNER[1]])
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
    noise = told["left_by_noise"]
    made = f", noise alone would leave {_percent(noise)}" if noise is not None else ""
    lines = [f"left      {_percent(told['left'])} of the accelerations of trajectories left out{made}"]
    if not told["finds_force"]:
        against = f"error {told['error']:.2g} against {told['zero']:.2g}"
        lines.append(f"          NO PAIR FORCE IS FOUND: predicting no acceleration at all is as good ({against})")
    if told["lasts"]:
        word = "lasts from frame to frame" if told["lasts"]["lasts"] else "does not last"
        lines.append(f"          {word} (autocorrelation {told['lasts']['lag_1']:.2f} +- {told['lasts']['error']:.2f})")
    for name, test in told["clues"].items():
        word = "FOLLOWS" if follows(test) else "no sign of"
        lines.append(f"          {word} {name}: R2 {test['r2']:.3f}, {test['z']:.1f} standard errors")
    if told["third_law"] is not None:
        both = f"{_percent(told['third_law'])} of their sizes, noise alone to {_percent(told['third_law_noise'])}"
        not_so = "action is NOT reaction, or something acts from outside"
        not_so += "" if told["masses_known"] else ", or masses differ"
        words = {True: "action is reaction", False: not_so, None: "whether action is reaction is not seen"}
        lines.append(f"          {words[told['action_is_reaction']]}: all forces of a frame add up to {both}")
    return lines
