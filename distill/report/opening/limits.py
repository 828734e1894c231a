"""Where a law fails, or was not tested: range of the data, close encounters, what it leaves, data unlike them."""

from distill.files.dataset import load_dataset
from distill.files.kinds import Rollouts
from distill.generalization.extrapolation import LIKE_TRAINING
from distill.report import words
from distill.report.material import Material
from distill.report.opening import met
from distill.report.opening.told import Told, counted, span
from distill.report.words import percent, sentence, shown

WELL = 0.01  # median relative error up to which a law is said to hold on a set


def told(m: Material) -> list[Told]:
    law = m.law
    out = [*of_data(m), *single_pairs(law, m.cut_off), *worst(law)]
    out += [*elsewhere(m), *followed(m), left_over(law), *assumed(law)]
    unknown = [sentence(one.removeprefix("not judged: ")) for one in law.verdict.not_judged]
    return out + [Told("Not judged", f"{one}.") for one in unknown]


def of_data(m: Material) -> list[Told]:
    """Distances and properties that the training data met."""
    if m.elsewhere:
        return [Told("Range of the data", "Not known here: the messages were made elsewhere.")]
    if m.dataset_path is None:
        return [Told("Range of the data", "Not known: the dataset is not here.")]
    dataset = load_dataset(str(m.dataset_path))
    if not (r := met.distances(dataset, m.law.chain, m.law.cutoff)):
        return [Told("Range of the data", "No pair of particles is in the training frames.")]
    unit = f" {m.units['pos']}" if "pos" in m.units else ""
    frames = "all training frames" if r.step == 1 else f"one of {r.step} training frames"
    said = f"Trained on distances of {span(r.low, r.high)}{unit} (n = {r.n:,} pairs, {frames})"
    further = met.properties(dataset, m.config.learnt.values if m.config and m.config.learnt else ())
    said += f", {', '.join(further)}" if further else ""
    return [Told("Range of the data", f"{said}. Other values were not seen.")]


FAR = {"near": ("Close encounters", " Not tested closer."), "extrapolated": ("Out of range", " Not tested further.")}
INWARDS = {"near": ("Close encounters", ""), "extrapolated": ("Closer than any pair", " Not tested closer.")}


def single_pairs(law, cut_off: bool) -> list[Told]:
    """Closer and further than the data, where the true law says what is right there; a force that is ``cut_off`` is
    tested closer in both (``law.ranges``).
    """
    verdict, out = law.verdict, []
    for key, (label, end) in (INWARDS if cut_off else FAR).items():
        off = getattr(verdict, f"relative_error_{key}")
        if key not in verdict.ranges or not verdict.tails:
            continue
        low, high = verdict.ranges[key]
        n = f" {counted(verdict.n_samples, 'single pairs')}" if verdict.n_samples else ""
        said = f"Off by {percent(off)} in the mean at r = {span(low, high)}{n}"
        if off is None:
            said = f"The law is not finite somewhere at r = {span(low, high)}{n}"
        allowed = verdict.allowed_errors.get(key)
        said += f", {percent(allowed)} allowed" if allowed is not None else ""
        out.append(Told(label, f"{said}.{end}"))
    if not out:
        out.append(Told("Close encounters", "Accelerations closer or further apart than the data are not tested."))
    return out


def worst(law) -> list[Told]:
    """The one point where the law is furthest off the true one."""
    equal = law.verdict.equivalence
    if not equal or equal.relation == "same":
        return []
    return [Told("Off most", f"{words.worst_point(equal)}.")]


def elsewhere(m: Material) -> list[Told]:
    """Data unlike those of the training, simulated anew."""
    if m.alone:
        said = "Not tested on data simulated anew: that is done beside a network."
        return [Told("Unlike the training data", said)]
    if not (compared := m.generalization):
        return [Told("Unlike the training data", "Not tested.", f"python test_generalization.py --run {m.run}")]
    beyond = {name: one for name, one in compared.sets.items() if name not in LIKE_TRAINING}
    out = [of_sets(beyond)] if beyond else []
    if not beyond and compared.truth is None:
        out.append(Told("Unlike the training data", "Not tested: without the true law nothing can be simulated anew."))
    for name, why in compared.skipped_sets.items():
        out.append(Told(f"Not tested on “{name.replace('_', ' ')}”", f"{sentence(why)}."))
    return out


def of_sets(beyond: dict) -> Told:
    """The sets where the law fails, or its largest error."""
    known = {k: one.law.median_relative_error for k, one in beyond.items()}
    bad = [k for k, v in known.items() if v is None or v > WELL or beyond[k].law.n_not_finite]
    if bad:
        listed = "; ".join(_of_set(k, beyond[k]) for k in bad)
        return Told("Unlike the training data", f"Fails on {len(bad)} of {len(beyond)} kinds: {listed}.")
    most = max(known, key=known.get)
    said = f"No failure on {len(beyond)} kinds; the largest median error is on {_of_set(most, beyond[most])}."
    return Told("Unlike the training data", said)


def _of_set(name: str, one) -> str:
    label = f"“{name.replace('_', ' ')}”"
    if one.law.n_not_finite:
        return f"{label} {words.ratio_words(one)}"
    both = f"the law is off by {percent(one.law.median_relative_error)}, the network by"
    return f"{label} ({both} {percent(one.gnn.median_relative_error)}; n = {one.law.n:,})"


def followed(m: Material) -> list[Told]:
    """How long rollouts follow the truth."""
    if not m.generalization or not isinstance(r := m.generalization.rollouts, Rollouts):
        return []
    law, gnn = r.models["law"], r.models["gnn"]
    said = f"The law follows the truth for {shown(law.followed_for)} of {shown(r.horizon)} time units, the network for"
    said += f" {shown(gnn.followed_for)} {counted(r.n, 'starts')}"
    failed = f"; {len(law.failed)} of them failed under the law" if law.failed else ""
    return [Told("In time", f"{said}{failed}.")]


def left_over(law) -> Told:
    """Whether what the law leaves is noise."""
    left = law.data_verdict.residuals
    return Told("What it leaves", f"{sentence(left.text)} {counted(left.n, 'accelerations')}.")


def assumed(law) -> list[Told]:
    """What the force that was read out does and no central law without velocities can."""
    broken = law.data_verdict.violations
    return [Told("Assumptions", f"The force that was read out breaks them: {'; '.join(broken)}.")] if broken else []
