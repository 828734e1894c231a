"""What the network added: the law beside what the same data give without it."""

from distill.law.sources import LINEAR_NODE
from distill.report import words
from distill.report.material import Material
from distill.report.opening.told import Told, counted, small
from distill.report.words import r2_text, shown, verdict_word
from distill.search.registry import CONTROL, RIVALS, SPLINES, UNTRAINED

WAYS = {CONTROL: "the refit alone", UNTRAINED: "the untrained network", SPLINES: "splines"}
CLOSE = 0.8  # times the law's error: a smaller one is a better law, as in ``words.owed``


def told(m: Material) -> list[Told]:
    if m.elsewhere:
        return [Told("In short", in_short(m.law)), *rivals(m)]
    if m.alone:
        return [without(m), *rivals(m)]
    return [Told("In short", in_short(m.law)), *rivals(m), *messages(m), *not_asked(m)]


def without(m: Material) -> Told:
    dataset = m.law.arguments["dataset"]
    said = "No network took part: the force was read from splines fitted to accelerations. One is trained by this:"
    return Told("In short", said, f"python train.py --dataset {dataset}")


def in_short(law) -> str:
    """Whether the law is found without the trained network too, by the verdicts, or by errors where there are none."""
    others = {name: one for name, one in law.rivals.items() if name != LINEAR_NODE}
    if not others:
        return "Not known: nothing without the trained network was asked for a law."
    if law.verdict.recovered is None:
        return _by_errors(law, others)
    found = [one.label for one in others.values() if one.verdict and one.verdict.recovered]
    if law.verdict.recovered:
        if found:
            return f"The network was not needed for this law: the same data give it by {_and(found)}."
        asked = _and([one.label for one in others.values()])
        return f"The law came by the network: the same data do not give it by {asked}."
    if found:
        return f"The network added nothing: the same data give the true law by {_and(found)}, its messages do not."
    return "The true law came neither by the network nor without it."


def _by_errors(law, others) -> str:
    own = law.acceleration_error.law
    known = {o.label: o.acceleration_error.law for o in others.values() if o.acceleration_error.law is not None}
    if own is None or not known:
        return "Not known: the errors of the laws are not finite."
    label = min(known, key=known.get)
    both = f"(error {shown(known[label])} against {shown(own)})"
    if max(own, known[label]) < words.ROUNDING:
        return f"The network was not needed: the law by “{label}” predicts held-out accelerations to rounding too."
    if known[label] < CLOSE * own:
        return f"The network added nothing: the law by “{label}” predicts held-out accelerations better {both}."
    if own < CLOSE * known[label]:
        return f"Its law predicts held-out accelerations better than the best without it, by “{label}” {both}."
    return f"No clear gain: the law by “{label}” predicts held-out accelerations about as well {both}."


def rivals(m: Material) -> list[Told]:
    """Held-out errors on the same receivers, and verdicts."""
    law = m.law
    if not law.rivals:
        return []
    error = law.acceleration_error
    own = "splines" if law.source == SPLINES else "messages"
    said = [f"This law, from the {own}: {small(error.law)}"]
    for one in law.rivals.values():
        judged = f" ({verdict_word(one.verdict)})" if one.verdict and one.verdict.recovered is not None else ""
        said.append(f"{one.label}: {small(one.acceleration_error.law)}{judged}")
    if not m.alone:
        said.append(f"the network itself: {shown(error.gnn)}")
    n = f" {counted(error.n, 'receivers')}" if error.n else ""
    return [Told("Held-out errors on the same data", f"{'; '.join(said)}{n}.")]


def messages(m: Material) -> list[Told]:
    """How well the messages know the true pair force, beside splines."""
    if not (fit := m.linear_fit):
        if m.law.truth is None:
            return []  # there are no true forces
        return [Told("Messages", "Not compared with true forces.", f"python fit_linear.py --run {m.run}")]
    said = f"R² {r2_text(fit.read_out.r2_all)} with the true pair force, read out of all components"
    if fit.splines:
        said += f"; splines without a network {r2_text(fit.splines.r2_all)}"
    return [Told("Messages", f"{said} {counted(fit.n_edges, 'edges')}.")]


def not_asked(m: Material) -> list[Told]:
    """Rivals that this run was not asked for."""
    lacking = [name for name in RIVALS if name not in m.law.rivals]
    if not lacking or m.law.source == SPLINES:
        return []
    command = f"python symbolic_reg.py --run {m.run} --rivals {' '.join(RIVALS)} --overwrite"
    return [
        Told(
            "Not asked",
            f"A law by: {', '.join(WAYS[name] for name in lacking)}. This asks, and searches anew:",
            command,
        )
    ]


def _and(names: list[str]) -> str:
    return " and ".join(f"“{name}”" for name in names)
