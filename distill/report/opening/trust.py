"""How far a law can be trusted: against the truth where that is known, and by held-out data alone."""

from distill.report import parts, words
from distill.report.material import Material
from distill.report.opening.told import Told, counted, small
from distill.report.words import percent, sentence, shown

MOST_CONSTANTS = 3  # that are listed


def told(m: Material) -> list[Told]:
    law = m.law
    out = [truth(m), *errors(law), alone(law)]
    refined = law.refinement
    if len(refined.candidates) > 1:
        again = f"{percent(refined.chosen_share)} of bootstrap draws choose this formula again"
        out.append(Told("Choice", f"{again} among {len(refined.candidates)} that were refitted."))
    out += constants(law) + learnt(m)
    return out + [Told(*one) for one in parts.added("trust", m)]


def truth(m: Material) -> Told:
    """The verdict; what is closer and further than the data is told as a limit."""
    verdict = m.law.verdict
    if verdict.recovered is None:
        return Told("Truth", words.truth_words(m.law, m.generalization))
    said, n = sentence(words.verdict_word(verdict)), verdict.n_receivers
    over = f"n = {n:,} receivers of {verdict.split or 'held-out'} trajectories" if n else ""
    if not verdict.recovered or not verdict.equivalence or "in" not in verdict.allowed_errors:
        return Told("Against the true law", f"{said}: {verdict.why}{f' ({over})' if over else ''}.")
    about = "; ".join(filter(None, [f"{percent(verdict.allowed_errors['in'])} allowed", over]))
    inside = f"In range its accelerations are off by {percent(verdict.relative_error_in_range)} ({about})"
    return Told("Against the true law", f"{said}: {verdict.equivalence.text}. {inside}.")


def errors(law) -> list[Told]:
    """The error of held-out accelerations beside those of guesses, and of noise where that is known."""
    error, skill = law.acceleration_error, law.data_verdict.skill
    if error.law is None:
        return [Told("Held-out error", "Not finite: the law cannot be evaluated on all held-out data.")]
    n = counted(error.n, f"receivers of {error.split or 'held-out'} trajectories") if error.n else ""
    said = f"Accelerations are off by {small(error.law)} of their size in the mean {n}".strip()
    others = [f"predicting zero is off by {shown(skill.zero)}"] if skill else []
    others += [f"noise alone makes {shown(error.noise)}"] if error.noise is not None else []
    return [Told("Held-out error", "; ".join([said, *others]) + ".")]


def alone(law) -> Told:
    """What the tests say that need no truth."""
    data = law.data_verdict
    n = counted(data.n, "receivers")
    if data.trusted:
        whose = "network" if law.acceleration_error.splines is None else "splines"
        said = f"Trusted: held-out accelerations are predicted as well as by the {whose} and better than by zero {n}; "
        said += "no law found in another way is better; what it leaves is told under the limits."
        return Told("Tests without the truth", said)
    why = data.why.replace(data.residuals.text, "what it leaves is not noise, see the limits")
    said = f"Not to be trusted: {why} {n}."
    if data.better:
        said += f" The better law: f = {data.better.text}."
    return Told("Tests without the truth", said)


def constants(law) -> list[Told]:
    """Those of the pair law that the data know least."""
    known = [c for c in law.constants if c.standard_error is not None]
    if not known:
        return []

    def share(c) -> float:
        return c.standard_error / abs(c.value) if c.value else c.standard_error

    least = sorted(known, key=share, reverse=True)[:MOST_CONSTANTS]
    listed = ", ".join(f"{c.symbol} = {shown(c.value, 5)} ± {shown(c.standard_error, 2)}" for c in least)
    some = "least known of them " if len(known) > len(least) else ""
    return [Told("Constants", f"{some}{listed} in {law.form} (standard errors).")]


def learnt(m: Material) -> list[Told]:
    """Properties that nobody measured, which the law takes as known."""
    if not m.config or not (values := m.config.learnt):
        return []
    names = ", ".join(name.replace("_", " ") for name in values.values)
    said = f"{sentence(names)} of n = {len(values.bodies):,} bodies was learnt beside the weights, not measured"
    return [Told("Learnt", f"{said}; {'; '.join(f'{name}: {how}' for name, how in values.gauge.items())}.")]
