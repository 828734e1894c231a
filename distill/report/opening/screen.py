"""The first screen of the report: the answer, then four questions that a reader has, answered before any figure."""

from distill.report import words
from distill.report.law import COLOURS, law_card, room
from distill.report.material import Material
from distill.report.opening import added, limits, trust
from distill.report.opening.told import Told, block
from distill.report.page import code, guarded, text
from distill.report.words import sentence

FOUND, TRUST, ADDED = "Which law was found?", "How far can it be trusted?", "What did the network add?"
WITHOUT, LIMITS = "What would a network add?", "Where does it fail, or was it not tested?"
SIGNS = {True: "✓ ", False: "✗ ", None: ""}  # beside the colours of verdicts, which a printer may not have


def header(m: Material) -> str:
    of_dataset = m.alone and not m.elsewhere
    system = m.system.name or (m.config.dataset if m.config else m.law.arguments["dataset"] if of_dataset else m.run)
    size = f"{m.config.n} particles in {m.config.dim} dimensions · " if m.config else ""
    parts = [f'<p class="kicker">{text(size)}run {code(m.run)}</p>']
    how = "found by splines, without a network" if of_dataset else "distilled from a graph network"
    how = "from messages made elsewhere" if m.elsewhere else how
    parts.append(f"<h1>{text(f'The force law of “{system}”, {how}')}</h1>")
    if any(record.quick for record in m.made().values()):
        parts.append('<p class="open"><strong>Made with --quick:</strong> tiny sizes, numbers mean nothing.</p>')
    return "".join(parts + [f'<p class="missing">{text(p)}</p>' for p in m.problems])


def opening(m: Material) -> str:
    """The answer in a sentence, the law, and what is to be said of it."""
    if not m.law:
        return no_law(m)
    lead = f'<p class="answer">{text(answer(m))}</p><p>{badges(m)}</p>'
    asked = ((TRUST, trust), (WITHOUT if m.alone and not m.elsewhere else ADDED, added), (LIMITS, limits))
    blocks = "".join(guarded(lambda m, q=q, part=part: block(q, part.told(m)), m) for q, part in asked)
    return f'{lead}{guarded(found, m)}<div class="answers">{blocks}</div>'


def no_law(m: Material) -> str:
    """Every stage up to the law that has not been run, by its command."""
    stages = (
        ("The network", "has not been trained", m.config, f"python train.py --dataset {m.run.split('__')[0]}"),
        ("Its messages", "have not been extracted", m.messages_train, f"python extract_messages.py --run {m.run}"),
        ("The formula", "has not been searched for", None, f"python symbolic_reg.py --run {m.run}"),
    )
    told = [Told(what, f"{sentence(lacks)}.", command) for what, lacks, there, command in stages if there is None]
    return block("There is no law yet", told, wide=True)


def answer(m: Material) -> str:
    """Whether the law was found, without what stands below it."""
    if m.law.verdict.recovered is not None:
        return words.answer(m.law, None)
    trusted = "can be trusted" if m.law.data_verdict.trusted else "is not to be trusted"
    whose = "the network" if m.law.acceleration_error.splines is None else "the splines"
    well = m.law.data_verdict.law_predicts_as_well_as_network
    predicts = f"at least as well as {whose}" if well else f"worse than {whose}"
    said = f"By the data alone the law {trusted}; it predicts held-out accelerations {predicts}."
    return f"{words.truth_words(m.law, m.generalization)} {said}"


def badges(m: Material) -> str:
    """The verdict in a word or two each, with a sign and a colour."""
    verdict, data, out = m.law.verdict, m.law.data_verdict, []
    if verdict.recovered is not None:
        out.append((verdict.recovered, words.verdict_word(verdict)))
    if (good := verdict.softening_recovered) is not None:
        said = f"{'close range' if m.cut_off else 'softening'} {'' if good else 'not '}recovered"
        out.append((good or None, said))
    if verdict.recovered is None:
        out.append((data.trusted, "trusted by the data" if data.trusted else "not to be trusted"))
    out += [(False, one) for one in data.violations]
    if data.better:
        out.append((False, f"better without: {data.better.label}"))
    return "".join(f'<span class="badge {COLOURS[good]}">{SIGNS[good]}{text(said)}</span>' for good, said in out)


def found(m: Material) -> str:
    """The law beside the true one, and how it was found."""
    law = m.law
    kind, width = room(law.pair, *([law.truth] if law.truth else []))
    cards = law_card("Law found", law.pair, "found", extra=", ".join(beside(law)), width=width)
    if truth := law.truth:
        cards += law_card("True law", truth, extra="; ".join(beside_truth(m)), width=width)
    return block(FOUND, [how(m)], f'<div class="{kind}">{cards}</div>', wide=True)


def how(m: Material) -> Told:
    """What was searched, and by what data the constants are known."""
    law = m.law
    if m.elsewhere:
        where = "in messages that were made elsewhere"
    elif m.alone:
        where = "in splines fitted to accelerations, without a network"
    else:
        where = f"in the messages of a graph network ({m.config.variant})" if m.config else "in messages of a network"
    said = f"Searched by {law.engine} {where}; constants refitted to accelerations of training trajectories."
    return Told("How", f"{said} r is the distance of a pair; {law.pair.convention}.")


def beside(law) -> list[str]:
    """What acts beside the radial force."""
    out = [words.response_words(law.node.response)] if law.node.response else []
    out += [words.pair_words(law)] if words.pair_words(law).startswith("no ") else []
    out += [f"{k.replace('_', ' ')} {words.numbers(v)}" for k, v in law.node.terms.items()]
    return out + words.further_terms(law)


def beside_truth(m: Material) -> list[str]:
    """The same of the true law, whose response is known where no response was looked for too."""
    truth, judged = m.law.truth, m.law.verdict.response
    response = judged.truth if judged else m.system.response
    out = [words.response_words(response)] if response else []
    if not words.is_whole(truth.text):
        out += [f"drag {words.shown(truth.drag)}"] if truth.drag else []
        out += [f"beside it: {truth.external}"] if truth.external else []
    return out
