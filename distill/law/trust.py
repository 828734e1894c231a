"""How far a law can be trusted where the truth is not known: what the data alone say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.law.receivers import Receivers
from distill.law.remains.residuals import NOTHING
from distill.statistics.metrics import acceleration_error, beyond_noise

AS_WELL = 1.05  # times the network's error: no worse
BETTER = 0.95  # times the law's error: another law is better
FORETELLS = 0.95  # times the error of predicting zero: no worse foretells something
ROUNDING = 1e-12  # error of the accelerations
SAME = 1.0001  # largest over smallest distance up to which there is one distance
SURE = 3.0  # standard errors by which one has to be nearer to noisy data to count as better
STABLE = 0.5  # share of draws that choose the same formula
NO_PAIRS = 1e-6  # typical size of what pair forces do, over that of the accelerations, below which there are none
THIRD_LAW = 0.1  # median |F_ij + F_ji| / (|F_ij| + |F_ji|) from which action and reaction are said to differ

OPEN = 0.25  # share of the time that may be left open: encounters too close to follow
FOLLOWED = 1e-4  # of a step between frames: positions so close are followed, whatever their noise
SQUARES, CLEAR = 0.02, 5.0  # by so much, and so many standard errors, squares may exceed what noise leaves


@dataclass(frozen=True)
class Other:
    """A law found in another way: ``label`` as in tables, ``text`` of its pair force, ``error`` as the law's.
    ``nearer``: by how many standard errors it is nearer to noisy data (``receivers.nearer``).
    """

    label: str
    text: str
    error: float
    nearer: float = math.inf


@dataclass(frozen=True)
class Noise:
    """What the noise of the data makes of an error (``receivers.noise_error``), and by how many standard errors the
    network is nearer to the data than the law, and the law than itself without pair forces (``receivers.nearer``, or
    ``ahead`` where the noise is not known).
    """

    error: float = 0.0
    network: float = math.inf
    pairs: float = math.inf


WITHOUT_NOISE = Noise()


def skill(held: Receivers, training: Receivers) -> dict:
    """Errors of the accelerations ``held``: the network's, and of predicting zero and the mean of ``training``."""
    mean = np.broadcast_to(training.acc.mean(0), held.acc.shape)
    guesses = {"network": held.predicted, "zero": np.zeros_like(held.acc), "mean": mean}
    return {name: acceleration_error(values, held.acc) for name, values in guesses.items()}


def violations(leftover: Mapping, third_law: float | None = None, position: Mapping | None = None) -> list[str]:
    """In a word and a number each: what the read-out force does that no central pair law without velocities can.

    ``leftover``: of ``assumptions.leftover``; ``position``: of ``node_function.position_dependence``.
    """
    out = []
    if not leftover["central"]:
        out.append(f"not central ({100 * leftover['sideways_share']:.2g} % sideways)")
    if not leftover["velocity_free"]:
        out.append(f"depends on velocity ({100 * leftover['velocity_share']:.2g} %)")
    if third_law is not None and third_law > THIRD_LAW:
        out.append(f"action is not reaction (off by {third_law:.2g})")
    if position is not None and position["depends"]:
        out.append(f"depends on place (R2 {position['r2_held_out']:.2f})")
    return out


def not_told(
    error: float, without_pairs: float, r: np.ndarray, choosers: int, noise: Noise = WITHOUT_NOISE
) -> list[str]:
    """What the data cannot say of a law, a reason each: ``error`` and ``without_pairs``, its error and that without its
    pair force; ``r``: distances of pairs; ``choosers``: trajectories that the formula was chosen on.
    """
    out, (low, high) = [], (float(f(r)) for f in (np.min, np.max))
    if without_pairs <= max(error, ROUNDING) or noise.pairs < SURE:
        out.append(f"without any pair force it predicts as well (error {without_pairs:.2g})")
    if high <= SAME * low:
        out.append(f"all distances are {low:.4g}: how the force depends on them is not known")
    if choosers < 2:
        out.append("it was chosen on one trajectory: whether others would choose the same formula is not known")
    return out


def not_followed(excess: float | None, error: float, left_open: float = 0.0, left: float = float("inf")) -> list[str]:
    """That no motion under the law follows the positions observed, as a reason against it. ``excess``: squares left by
    motion followed as far as it is seen over those of short runs, where noise alone is left; ``error``: standard error.
    ``left_open``: share of the stretches between frames over which no motion under the law was found. ``left``: root
    mean square of what is left, over the typical step between frames: where that is next to nothing, it is how exactly
    somebody simulated, and no doubt.
    """
    if left_open > OPEN:
        return [f"no motion under it follows the positions over {100 * left_open:.0f} % of the time"]
    if excess is None or excess - 1 <= max(SQUARES, CLEAR * error) or left < FOLLOWED:
        return []
    return [f"no motion under it follows the positions (squares {excess:.3g} times those that noise leaves)"]


def without_truth(
    refined,
    left: Mapping,
    others: Sequence[Other] = (),
    known: Mapping | None = None,
    source: str = "network",
    against: Sequence[str] = (),
    noise: Noise = WITHOUT_NOISE,
) -> dict:
    """What data alone say of a refined law (``held_out``, ``network``, ``receivers``, ``chosen_share``).

    ``trusted``: it predicts accelerations no worse than its network, and the network better than zero or the mean
    (``known`` from ``skill``); no law found in another way (``others``) predicts them better; what it leaves is noise
    (``left`` from ``residuals.structure``); other trajectories would have chosen the same formula. Wrong exponents pass
    the first of these, not the structure of what is left. ``source``: what forces were read from.
    ``against``: further reasons, those of ``not_told`` for instance.

    ``noise`` adds the same to every error and would hide all differences: errors are compared by what they have beyond
    it, and count as different only where it would hardly make the difference.
    """
    error, failed = refined.held_out, []
    floor = min([noise.error, error, refined.network, *(o.error for o in others)])  # noise is known to some per cent

    def own(error):
        return beyond_noise(error, floor)

    well = own(error) <= max(AS_WELL * own(refined.network), ROUNDING) or noise.network < SURE
    if not well:
        failed.append(f"it predicts worse than the {source} (error {error:.2g} against {refined.network:.2g})")
    lowest = min(known["zero"], known["mean"]) if known else math.inf
    if no_skill := known is not None and lowest <= max(known["network"], error):
        plural = "" if source.endswith("s") else "s"
        whose = f"the {source} predict{plural}" if lowest <= known["network"] else "it predicts"
        which = "zero" if known["zero"] <= known["mean"] else "the mean"
        worse = max(known["network"], error) if whose == "it predicts" else known["network"]
        failed.append(f"{whose} no better than {which} does (error {worse:.2g} against {lowest:.2g})")
    ahead = [o for o in others if own(o.error) < BETTER * own(error) and o.nearer >= SURE]
    better = min(ahead, key=lambda o: o.error, default=None)
    better = better if error > NOTHING else None
    if better is not None:
        failed.append(f"the law from {better.label} predicts better (error {better.error:.2g} against {error:.2g})")
    if (no_skill or noise.pairs < SURE) and known and own(min(error, refined.network)) > FORETELLS * own(lowest):
        failed.append("nothing that was recorded foretells the accelerations (noise?)")
    if left["structured"]:
        failed.append(left["text"])
    failed += against
    if refined.chosen_share < STABLE:
        failed.append(f"it is chosen in {100 * refined.chosen_share:.0f} % of draws of the trajectories only")
    against = f"the {source} {refined.network:.2g}"
    against += f", predicting zero {known['zero']:.2g}" if known else ""
    against += f", noise alone {noise.error:.2g}" if noise.error else ""
    good = f"it predicts trajectories left out (error {error:.2g}; {against}), {left['text']}, and the choice is stable"
    return {
        "trusted": not failed,
        "why": "; ".join(failed) or good,
        "law_predicts_as_well_as_network": well,
        "residuals": dict(left),
        "held_out_error": error,
        "network_error": refined.network,
        "n": refined.receivers,
        "skill": None if known is None else dict(known),
        "better": None if better is None else {"label": better.label, "text": better.text, "error": better.error},
    }
