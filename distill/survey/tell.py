"""What a look says, as lines of a terminal and as numbers of ``look.json``."""

import numpy as np

from distill.files.dataset import Dataset
from distill.files.storage import finite_or_none
from distill.law.remains.scene import Scene
from distill.physics.terms import TERMS
from distill.splines.dependence import COEFFICIENTS, FREE, GIVEN, LEVELS
from distill.splines.pair_spline import PairSpline
from distill.survey.fit import follows, summed
from distill.tracks.said import displacement
from distill.windows.of_dataset import noise_in

INNER = (0.02, 0.98)  # quantiles of the distances between which the curve is told
POINTS = 60  # of a curve in the record
COARSE = 0.02  # of the accelerations: what splines leave and is less may be for want of knots


def of_data(data: Dataset, length: int | None, edges: dict, nodes) -> dict:
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


def of_fit(fit: PairSpline, edges: dict) -> dict:
    """What of the fit ``LookRecord`` has."""
    r = np.geomspace(*np.quantile(_met(edges), INNER), POINTS)
    curves, functions = fit.curves(r), fit.dependence.functions
    told = [
        {"function": f.name, "r": r.tolist(), "force": (curves[:, k] / getattr(f, "scale", 1.0)).tolist()}
        for k, f in enumerate(functions)
    ]
    node = {name: np.asarray(value).tolist() for name, value in fit.node_values.items()}
    return {"dependence": fit.dependence.kind, "curves": told, "node_values": node}


def shares(fit: PairSpline, held: Scene) -> dict[str, float]:
    """Name of every further term -> its share of the forces, root mean squares."""
    size = np.sqrt(((held.state.mass[:, None] * held.acc) ** 2).sum(1).mean()) or 1.0
    return {one.block.name: float(np.sqrt((summed(one, held) ** 2).sum(1).mean()) / size) for one in fit.further}


def _met(edges: dict) -> np.ndarray:
    """Distances of pairs that are not at the same place."""
    return edges["r"][edges["r"] > 0]


def _percent(share: float | None) -> str:
    """``7.6 %``, ``120 %``, without exponents for what is large."""
    if share is None:
        return "an unknown part"
    return f"{100 * share:.0f} %" if share >= 1 else f"{100 * share:.2g} %"


def data_lines(told: dict) -> list[str]:
    size = f"{told['trajectories']:,} trajectories x {told['frames']} frames x {told['n']} particles, {told['dim']}-D"
    if told["window"] is None:
        return [f"data      {size}", "          accelerations were measured"]
    return [
        f"data      {size}",
        f"          positions alone, noise {told['noise']:.3g} ({_percent(told['noise_of_step'])} of a step between"
        f" frames); windows of {told['window']} frames, in which noise is"
        f" {_percent(told['noise_of_acceleration'])} of an acceleration",
    ]


def fit_lines(fit: PairSpline, edges: dict, further: dict) -> list[str]:
    lines = [f"force     f = sum of {', '.join(fit.dependence.names)} times a curve of r each"]
    if fit.dependence.groups:
        lines = _of_levels(fit)
    if fit.dependence.kind == FREE:
        lines = [
            f"force     smooth functions of {', '.join(fit.dependence.functions[0].of)} of both ends, times curves"
        ]
    r = np.quantile(_met(edges), [INNER[0], 0.25, 0.5, 0.75, INNER[1]])
    if fit.dependence.kind != FREE:
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
    return lines + [f"          {name}: {_percent(share)} of the forces" for name, share in further.items()]


def _of_levels(fit: PairSpline) -> list[str]:
    """What the pair force is for particles of different levels, and by what that was decided."""
    errors = fit.about["held_out_by_dependence"]
    told = {COEFFICIENTS: "one curve times coefficients", LEVELS: "a curve for each pair", GIVEN: "one for all"}
    held = ", ".join(f"{word} {_percent(errors[k])}" for k, word in told.items() if k in errors)
    if fit.dependence.kind == COEFFICIENTS:
        what = "one curve of r for all pairs, times a coefficient c for receiver and sender"
    else:
        what = "a curve of r for each pair of receiver and sender"
    return [f"force     {what}", f"          of net forces held out are missed: {held}"]


def assumption_lines(found: dict[str, dict]) -> list[str]:
    lines = [f"{name}: {'yes' if one['holds'] else 'NO, ' + '; '.join(one['why'])}" for name, one in found.items()]
    return [f"{'' if k else 'tests':10}{line}" for k, line in enumerate(lines)]


def left_lines(told: dict) -> list[str]:
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
        word, when = "FOLLOWS" if follows(test) else "no sign of", f" by {test['lag']:.3g}" if "lag" in test else ""
        lines.append(f"          {word} {name}{when}: R2 {test['r2']:.3f}, {test['z']:.1f} standard errors")
    if told["third_law"] is not None:
        both = f"{_percent(told['third_law'])} of their sizes, noise alone to {_percent(told['third_law_noise'])}"
        not_so = "action is NOT reaction, or something acts from outside"
        not_so += "" if told["masses_known"] else ", or masses differ"
        words = {True: "action is reaction", False: not_so, None: "whether action is reaction is not seen"}
        lines.append(f"          {words[told['action_is_reaction']]}: all forces of a frame add up to {both}")
    return lines


def doubts_of(told: dict, of_tracks: list[str]) -> list[str]:
    """Why a law of these data will not be trusted, as far as tracks and splines show it."""
    if not told["finds_force"]:
        return [*of_tracks, "nothing that was recorded foretells the accelerations (noise?)"]
    return [*of_tracks, *([told["text"]] if told["text"] and told["left"] > COARSE else [])]


def doubt_lines(doubts: list[str]) -> list[str]:
    if not doubts:
        return ["outlook   nothing seen here speaks against a law of these terms"]
    return [f"{'' if k else 'outlook':10}NO LAW TO BE TRUSTED: {one}" for k, one in enumerate(doubts)]
