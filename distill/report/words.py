"""What the numbers of a run amount to, in words: used by the lines on the terminal and by the report."""

import math
import re
from collections.abc import Mapping

from distill.files.kinds import (
    BeforeRefit,
    Equivalence,
    Generalization,
    LawRecord,
    LinearFit,
    PairLaw,
    ResponseLaw,
    Rival,
    RolloutModel,
    Rollouts,
    SetErrors,
    Skill,
    Stopped,
    Truth,
    Verdict,
)
from distill.formulas.text import parse, to_text
from distill.generalization.extrapolation import INTERPOLATION, LIKE_TRAINING
from distill.law.sources import LINEAR_NODE
from distill.law.trust import NO_PAIRS
from distill.law.verdict import TAIL
from distill.report import parts
from distill.search.registry import GIVEN

ROUNDING = 1e-12  # relative errors below are those of floating-point arithmetic
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shown(value, digits: int = 3) -> str:
    """A number for a reader: ``0.0123``, ``4.56×10⁻⁸``, ``n/a`` for None."""
    if value is None:
        return "n/a"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "infinite" if value > 0 else "n/a"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        return f"{value:,.0f}" if "e" in text else text
    mantissa, exponent = f"{value:.{max(digits - 1, 1)}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPT)}"


def numbers(value) -> str:
    """A number or a vector; components that are rounding beside the largest are 0."""
    if not isinstance(value, list):
        return shown(value)
    largest = max(abs(v) for v in value)
    return f"({', '.join(shown(v if abs(v) > ROUNDING * largest else 0.0) for v in value)})"


def power(value: float) -> str:
    """A tolerance as a power of ten: ``10⁻⁹``."""
    return f"10{str(round(math.log10(value))).translate(SUPERSCRIPT)}"


def percent(value) -> str:
    """A fraction as a percentage; ``n/a`` for None."""
    if value is None:
        return "n/a"
    if 0 < abs(value) < ROUNDING:
        return "< 10⁻¹⁰ %"
    return f"{100 * value:.3g} %" if value == 0 or abs(value) >= 1e-5 else f"{shown(100 * value, 2)} %"


def sentence(said: str) -> str:
    """``said`` with a capital, but for a formula or a name that it begins with."""
    return said[:1].upper() + said[1:] if said[:2].isalpha() else said


def verdict_word(verdict: Verdict | None) -> str:
    """By the truth; where that is not known (None, or ``recovered`` null), what the data say is another matter."""
    return {True: "recovered", False: "not recovered", None: "truth not known"}[verdict and verdict.recovered]


MISSED = {"in": "within range", "near": "close by", "extrapolated": "beyond"}


def missed(verdict: Verdict) -> list[str]:
    """What a law that has the true form is not recovered for, in a few words each."""
    out = [name for name in verdict.failed if name not in (*MISSED, "form", "constants")]
    out = [f"wrong: {', '.join(out)}"] if out else []
    for name, where in MISSED.items():
        if name in verdict.failed:
            off = getattr(verdict, f"relative_error_{'in_range' if name == 'in' else name}")
            told = "not finite" if off is None else f"off by {percent(off)}"
            bar = verdict.allowed_errors.get(name)
            if bar is not None and off is not None and off <= bar:  # then it is the tail
                told, bar = f"off by {percent(verdict.tails.get(name))} in one of a thousand", TAIL * bar
            out.append(f"accelerations {where} {told}, allowed {percent(bar)}")
    return out


RESPONSE_SYMBOLS = {"s": "its size", "v": "the speed", "sv": "S.v"}  # of a = alpha S + beta v
RANGES = {
    "in": "within the range of the data",
    "extrapolated": "beyond the range of the data",
    "near": "closer than nearly all data",
}


def worst_point(equivalence: Equivalence) -> str:
    """Where a law is furthest off the true one: ``Worst of all points compared: 57 % off at r = 0.02 ...``."""
    worst, used = equivalence.worst, equivalence.variables
    at = ", ".join(f"{name} = {shown(value)}" for name, value in worst.point.items() if name in used)
    values = f"law {shown(worst.law, 4)}, truth {shown(worst.truth, 4)}"
    off = "not finite" if worst.relative_error is None else f"{percent(worst.relative_error)} off"
    return f"Worst of all points compared: {off} at {at} ({values}; {RANGES[worst.range]})"


# ---------------------------------------------------------------- trust, and the network's quality


def skill_words(skill: Skill) -> str:
    """How good the network is beside no network at all, in a sentence without its full stop."""
    nothing = min((skill.zero, "zero"), (skill.mean, "the mean"))
    good = skill.network < nothing[0]
    how = f"error {shown(skill.network)} of the accelerations left out"
    others = f"predicting zero {shown(skill.zero)}, the mean {shown(skill.mean)}"
    return f"{how} ({others})" + ("" if good else f": no better than predicting {nothing[1]}, it has learned nothing")


FOLLOWED = {"read_out_error": "the read-out of the messages", "validation_loss": "the validation loss"}


def stopped_words(stopped: Stopped) -> str:
    """When and why a training with patience ended, in a sentence without its full stop."""
    what = FOLLOWED.get(stopped.follows, stopped.follows)
    why = f"{what} improved no longer" if stopped.why == "patience" else f"{what} still improved, or its time was short"
    made = f"{shown(stopped.epochs_made)} of at most {shown(stopped.epochs_asked)} epochs"
    at = "unknown" if stopped.error is None else shown(stopped.error)
    fell = f"step {shown(stopped.cooled_from)}, where the rate began to fall"
    return f"stopped after {made}: {why} at {fell}; error {at} at the end"


def trust_words(law: LawRecord, subject: str = "by the data alone the law") -> str:
    """How far the law can be trusted by the data alone, in a sentence without its full stop."""
    data = law.data_verdict
    said = f"{subject} {'can be trusted' if data.trusted else 'is not to be trusted'}: {data.why}"
    if data.better:
        said += f"; the better law, from {data.better.label}: f = {data.better.text}"
    if data.violations:
        said += f"; the force that was read out breaks what the law assumes: {', '.join(data.violations)}"
    return said


def pair_short(pair: PairLaw) -> str:
    """``f = ..`` with four digits, or what it is for every pair of levels of a category."""
    return pair.short if pair.cases else f"f = {pair.short}"


def pair_rounded(pair: PairLaw) -> str:
    """f with four digits, of any law: only that which was found has them with it. What f is for pairs of levels has all
    digits.
    """
    return pair_full(pair) if pair.cases else to_text(parse(pair.text, pair.variables), 4)


def pair_full(pair: PairLaw | Truth) -> str:
    """The same with all digits."""
    if not pair.cases:
        return f"f = {pair.text}"
    if not pair.coefficients:
        return ", ".join(f"{' = '.join(f'f_{p}' for p in one.pairs)} = {one.text}" for one in pair.cases)
    told = [f"c_{name} = {value:.10g}" for name, value in pair.coefficients.items()]
    return ", ".join(["f = c g", f"g = {pair.function}", *told])


def pair_words(law: LawRecord) -> str:
    """The pair law in a line; that there is none where what it does is nothing beside the accelerations."""
    share = law.data_verdict.pair_share
    if share is None or share >= NO_PAIRS:
        return ", ".join([pair_short(law.pair), *further_terms(law)])
    return f"no pair force ({pair_short(law.pair)} makes {shown(share, 2)} of the accelerations)"


def is_whole(text: str) -> bool:
    """Whether the text of a law is that of all its terms, and not of the radial force alone."""
    return text.startswith("m_i a_i")


def further_terms(law: LawRecord | BeforeRefit | Rival) -> list[str]:
    """Every term beside the radial force that is a function, in a few words each."""

    def at(centre, where: str) -> str:
        return f" {where} ({', '.join(f'{c:.4g}' for c in centre)})" if centre else ""

    pairs = [
        f"{name.replace('_', ' ')} {one.text.replace(' ', '')}{at(one.centre, 'from x_j +')}"
        for name, one in law.pairs.items()
    ]
    fields = [
        f"{name.replace('_', ' ')} {' '.join(part.replace(' ', '') for part in one.text)}{at(one.centre, 'about')}"
        for name, one in (law.node.functions.items() if law.node else ())
    ]
    return pairs + fields


# ---------------------------------------------------------------- lines for the terminal


def response_short(response: ResponseLaw) -> str:
    """``a = (alpha) S`` with four digits, for a line."""
    parts = {k: to_text(parse(getattr(response, k), response.variables), 4) for k in ("alpha", "beta")}
    return response_words({k: part.replace(" ", "") for k, part in parts.items()}).partition(";")[0]


def response_words(response: ResponseLaw | Mapping) -> str:
    """``a = (alpha) S``, and what S is."""
    alpha, beta = (response[k] if isinstance(response, Mapping) else getattr(response, k) for k in ("alpha", "beta"))
    along = "" if beta == "0" else f" + ({beta}) v"
    used = {name: what for name, what in RESPONSE_SYMBOLS.items() if re.search(rf"\b{name}\b", f"{alpha} {beta}")}
    return f"a = ({alpha}) S{along}; S the net force" + "".join(f", {name} {what}" for name, what in used.items())


def summary(law: LawRecord, result: Generalization, fit: LinearFit | None, skill: Skill | None = None) -> list[str]:
    """The few lines a user reads at the end: the network's quality first, and the verdict last where it is by the data
    alone. ``skill``: on the validation split; None: as law.json has it.
    """
    true = pair_full(law.truth) if law.truth else truth_words(law, result)
    skill, judged = skill or law.data_verdict.skill, law.verdict.recovered is not None
    lines = [f"network          {skill_words(skill)}"] if skill else []
    lines += [found := f"law found        {pair_full(law.pair)}", f"true law         {true}"]
    lines += [f"verdict          {verdict_word(law.verdict)}: {law.verdict.why}"] if judged else []
    if equal := law.verdict.equivalence:
        compared = [] if equal.text in law.verdict.why else [equal.text]
        compared += [worst_point(equal)] if equal.relation != "same" else []
        lines += [f"{label:<16} {one}" for label, one in zip(("compared", ""), compared, strict=False)]
    if response := law.node.response:
        lines.insert(lines.index(found) + 1, f"{'':<16} {response_words(response)}")
    if law.rivals and law.truth:
        others = [f"{name} {verdict_word(rival.verdict)}" for name, rival in law.rivals.items()]
        lines.append(f"by other ways    {', '.join(others)}")
    if fit:
        r2 = f"{fit.r2_all:.4f} (all), {fit.r2_trim90:.4f} (best 90 %)"
        lines.append(f"messages         R2 with true forces {r2}, {fit.n_edges} edges")
    unit, what = (f" {result.force_unit}", "forces") if result.force_unit else ("", "accelerations")
    for label, name in ((INTERPOLATION, INTERPOLATION), ("worst elsewhere", worst_extrapolation(result.sets))):
        if name in result.sets:
            one = result.sets[name]
            both = f"MAE {shown(one.law.mae)} (law), {shown(one.gnn.mae)} (network){unit}"
            lines.append(f"{label:<16} {both}: the law's is {ratio_words(one)}; {name}, {one.law.n} {what}")
    if isinstance(result.rollouts, Rollouts):
        lines += rollout_lines(result.rollouts)
    lines += parts.added("lines", law, result)
    return lines if judged else [*lines, f"verdict          {trust_words(law)}"]


def _tolerances(*models: RolloutModel) -> str:
    """The relative tolerances that the models were integrated at: one, unless a file says otherwise."""
    return " and ".join(power(value) for value in dict.fromkeys(m.rtol for m in models))


def rollout_lines(r: Rollouts) -> list[str]:
    """How long the rollouts follow the truth, and drifts of the momenta at their end where these are conserved."""
    law, gnn = r.models["law"], r.models["gnn"]
    lines = [
        f"rollouts         the law follows the truth for {law.followed_for:.3g} time units,"
        f" the network for {gnn.followed_for:.3g} (horizon {r.horizon:.3g}, n {r.n}, rtol {_tolerances(law, gnn)})"
    ]
    for name, one in r.symplectic.items():
        ends = [shown(d) for d in (one.final_own_energy_drift_median, one.final_energy_drift_median)]
        whose = {"law": "law's", "gnn": "network's"}[name]
        lines.append(
            f"symplectic       the {whose} own energy drifts by {ends[0]}, the true one by {ends[1]} of its scale"
        )
    for key, label in (("momentum", "momentum"), ("angular_momentum", "angular momentum")):
        if getattr(law, f"{key}_drift"):
            ends = [shown(getattr(one, f"final_{key}_drift_median")) for one in (law, gnn)]
            drifts = f"drifts by {ends[0]} of its scale under the law, {ends[1]} under the network"
            lines.append(f"{label:<16} {drifts} (medians at the end)")
    return lines


# ---------------------------------------------------------------- what the law owes to the network


def owed(law: LawRecord) -> str:
    """What the rivals say of the network's part in the law, in sentences; only of laws that can be judged."""
    early = law.from_messages.verdict
    better = [one.label for one in law.rivals.values() if _better(one.acceleration_error.law, law)]
    said = f"Held-out accelerations are predicted better than by this law by that of: {_listed(better)}." * bool(better)
    if early is None or early.recovered is None:
        return said or "No rival predicts held-out accelerations clearly better than the law."
    without = [one for name, one in law.rivals.items() if name != LINEAR_NODE]  # that is the trained network too
    before = [one.label for one in without if one.before_refit and _right(one.before_refit.verdict)]
    after = [one.label for one in without if _right(one.verdict)]
    if early.recovered:
        alone = "The messages had the law before any refit"
        if law.engine in GIVEN:
            alone = "Of the formulas that a file gave the messages chose the law before any refit"
        told = f"{alone}, and so had: {_listed(before)}." if before else f"{alone}; no rival had that was read alike."
    elif _right(law.verdict):
        told = "The messages did not have the law: the refit on accelerations found it."
        if early.same_form and early.equivalence:
            short = "; ".join([early.equivalence.text, *missed(early)])
            told = f"The messages had the form of the law, but not as closely as is asked for ({short});"
            told += " the refit on accelerations did the rest."
        told += f" It is read without the trained network from: {_listed(before)}." if before else ""
    else:
        told = "Neither the messages nor the refit have the law."
        told += f" It is read without the trained network from: {_listed(before)}." if before else ""
    if after:
        told += f" After the refit it is found without the trained network too: {_listed(after)}."
    elif _right(law.verdict) and law.rivals:
        told += " After the refit none of the rivals has it."
    return f"{told} {said}".strip()


def _better(error: float | None, law: LawRecord) -> bool:
    """Whether a rival's held-out error is clearly below the law's, and that is more than rounding."""
    own = law.acceleration_error.law
    return error is not None and (own is None or (own > ROUNDING and error < 0.8 * own))


def _right(verdict: Verdict | None) -> bool:
    return bool(verdict and verdict.recovered)


def _listed(names: list[str]) -> str:
    return "; ".join(names)


# ---------------------------------------------------------------- law against network


def factor(one: SetErrors) -> float | None:
    """Network's mean absolute error over the law's on one set; None where that says nothing."""
    if one.gnn.mae is None or one.law.mae is None or one.law.n_not_finite:
        return None
    return math.inf if one.law.mae == 0 else one.gnn.mae / one.law.mae


def exact(one: SetErrors) -> bool:
    """Whether the law's own error is rounding; how large the network's is says nothing of it."""
    law = one.law
    if law.mae is None or law.n_not_finite:
        return False
    return law.mae == 0 or (law.mae_relative is not None and law.mae_relative < ROUNDING)


def ratio_words(one: SetErrors) -> str:
    """The law's error on one set against the network's: ``12 times smaller``."""
    ratio = factor(one)
    if ratio is None:
        bad = one.law.n_not_finite
        return f"not finite for {bad:,} of {bad + one.law.n:,}" if bad else "n/a"
    if exact(one):
        return "exact to rounding"
    return f"{times(ratio)} smaller" if ratio >= 1 else f"{times(1 / ratio)} larger"


def r2_text(value) -> str:
    """R² to four decimals, to more where these would say 1."""
    if value is None or value == 1:
        return "n/a" if value is None else "1"
    return next((f"{value:.{d}f}" for d in range(4, 7) if f"{value:.{d}f}"[0] != "1"), "> 0.999999")


def times(ratio: float) -> str:
    """``3.2 times``; rounded down to a power of ten where only the order of magnitude means something."""
    if ratio >= 1e4:
        power = int(math.log10(ratio))
        return "over 10,000 times" if power == 4 else f"over 10{str(power).translate(SUPERSCRIPT)} times"
    return f"{ratio:.3g} times" if ratio < 1000 else f"{ratio:,.0f} times"


def worst_extrapolation(sets: dict) -> str | None:
    """The set beyond interpolation where the law does worst against the network."""
    beyond = [k for k in sets if k not in LIKE_TRAINING]

    def gain(name):
        ratio = factor(sets[name])
        error = sets[name].gnn.median_relative_error or 0.0
        return (-1.0 if ratio is None else math.inf if exact(sets[name]) else ratio), -error

    return min(beyond, key=gain, default=None)


def answer(law: LawRecord, generalization: Generalization | None) -> str:
    """Did I find the law, and does it extrapolate better than the network? Plain text."""
    verdict, truth = law.verdict, law.truth
    inside, outside = verdict.relative_error_in_range, verdict.relative_error_extrapolated
    deviation = ""
    if inside is not None:
        deviation = f"its accelerations deviate from the truth by {percent(inside)} within the range of the data"
        deviation += f" and by {percent(outside)} beyond it" if outside is not None else ""
        if max(inside, outside or 0) < ROUNDING:
            beyond = "" if outside is None else " and beyond it"
            deviation = f"the two agree to rounding, within the range of the data{beyond}"
    relation = verdict.equivalence.relation if verdict.equivalence else None
    near = verdict.equivalence.text if relation not in (None, "same", "different") else ""
    if verdict.recovered:
        what = f"is the true one ({near})" if near else "is the true one"
        if relation == "different":
            what = "agrees with the true one, though its form is another"
        said = f"Found: the distilled law {what}" + (f"; {deviation}." if deviation else ".")
        if not truth:
            said = "Found: a law that passes every test possible without knowing the truth."
    elif verdict.recovered is False:
        what = f"has the true form but other constants ({near})" if near else "is not the true one"
        if verdict.failed and "node terms" in verdict.failed and not {"form", "constants"} & set(verdict.failed):
            what = f"has the true pair force{f' ({near})' if near else ''}, but not what acts beside it"
        said = f"Not found: the distilled law {what}" + (f"; {deviation}." if deviation else ".")
        if not truth:
            said = "Not found: the distilled law does not pass the tests possible without knowing the truth."
    else:
        data = law.data_verdict
        whose = "the network" if law.acceleration_error.splines is None else "the splines"
        well = f"at least as well as {whose}" if data.law_predicts_as_well_as_network else f"worse than {whose}"
        said = f"{truth_words(law, generalization)} The distilled law predicts held-out accelerations {well}."
        said += f" {trust_words(law, 'It')}."
        one = generalization and generalization.sets.get(INTERPOLATION)
        if one and one.law.median_relative_error is not None:
            said += f" Its median error on new data is {percent(one.law.median_relative_error)}."
    return f"{said} {compared(generalization.sets)}" if generalization else said


def truth_words(law: LawRecord, generalization: Generalization | None) -> str:
    """Why no true formula stands beside the law: a known system may have a potential and no formula."""
    if not law.truth and generalization and generalization.truth:
        return "The true force is known here only as the gradient of its potential, with no formula to compare."
    return "The true law is not known here."


def compared(sets: dict) -> str:
    """One sentence on law against network over all sets."""
    beyond = {k: factor(v) for k, v in sets.items() if k not in LIKE_TRAINING}
    if not beyond:
        return f"On held-out data {_against(sets.get(INTERPOLATION))}."
    lost = [k.replace("_", " ") for k, v in beyond.items() if v is None or v < 1]
    if not lost:
        reached = {w: [getattr(sets[k], w).median_relative_error for k in beyond] for w in ("law", "gnn")}
        worst = {w: percent(max(v)) if None not in v else "n/a" for w, v in reached.items()}
        network = f" (median errors reach {worst['law']}, the network’s {worst['gnn']})"
        least = max((sets[k] for k in beyond), key=lambda one: (not exact(one), -(factor(one) or 0.0)))
        if exact(least):
            network = f" (the network’s median error reaches {worst['gnn']})"
        kinds = f"On {_count(len(beyond))} kinds of data unlike the training data"
        return f"{kinds} {_against(least, 'at least ')}{network}."
    if len(lost) == len(beyond):
        return "On no kind of data unlike the training data is it better than the network."
    kept = len(beyond) - len(lost)
    return (
        f"It is better than the network on {kept} of {len(beyond)} kinds of data unlike the training data,"
        f" but not on: {', '.join(lost)}."
    )


def _against(one: SetErrors | None, least: str = "") -> str:
    ratio = one and factor(one)
    if ratio is None:
        return "it cannot be compared with the network"
    if exact(one):
        return "it is exact to rounding"
    if ratio < 1:
        return f"its error is {times(1 / ratio)} larger than the network’s"
    told = times(ratio)
    return f"its error is {'' if told.startswith('over') else least}{told} smaller than the network’s"


def _count(n: int) -> str:
    return {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}.get(n, str(n))
