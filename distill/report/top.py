"""The top of the page: the answer, the verdict, the law beside the truth, and the numbers that carry the answer."""

from distill.generalization.extrapolation import INTERPOLATION
from distill.report import parts, words
from distill.report.law import COLOURS, law_card
from distill.report.material import Material
from distill.report.page import code, missing, text, tile

LEAST, UNLIKE = "where the law gains least", "on data unlike it"


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


def headline(m: Material) -> str:
    if not (law := m.law):
        what = "There is no law yet: the search for a formula has not been run."
        return missing(what, f"python symbolic_reg.py --run {m.run}")
    verdict = law.verdict
    skill = (m.config and m.config.skill) or law.data_verdict.skill
    whose = "Network" if law.acceleration_error.splines is None else "Splines"
    out = f'<p class="note">{whose}: {text(words.skill_words(skill))}.</p>' if skill else ""
    out += f'<p class="answer">{text(words.answer(law, m.generalization))}</p>'
    out += "<p>"
    if verdict.recovered is not None:
        out += f'<span class="badge {COLOURS[verdict.recovered]}">{words.verdict_word(verdict)}</span>'
    if (good := verdict.softening_recovered) is not None:
        said = f"{'close range' if m.cut_off else 'softening'} {'' if good else 'not '}recovered"
        out += f'<span class="badge {"good" if good else "open"}">{said}</span>'
    data = law.data_verdict
    if verdict.recovered is None:
        said = "trusted by the data" if data.trusted else "not to be trusted"
        out += f'<span class="badge {COLOURS[data.trusted]}">{said}</span>'
    out += "".join(f'<span class="badge bad">{text(one)}</span>' for one in data.violations)
    if data.better:
        out += f'<span class="badge bad">{text(f"better without: {data.better.label}")}</span>'
    out += "</p>" if verdict.recovered is None else f'</p><p class="note">{text(words.sentence(verdict.why))}.</p>'
    if data.better:
        told = f"predicts held-out accelerations better (error {words.shown(data.better.error)}"
        told += f" against {words.shown(data.held_out_error)}): f = {data.better.text}"
        out += f'<p class="note">The law from {text(data.better.label)} {text(told)}.</p>'
    if equal := verdict.equivalence:
        said = "" if equal.text in verdict.why else f"Compared with the true law: {equal.text}. "
        said += f"{words.worst_point(equal)}." if equal.relation != "same" else ""
        out += f'<p class="note">{text(said)}</p>' if said else ""
    extra = [words.response_words(law.node.response)] if law.node.response else []
    extra += [words.pair_words(law)] if words.pair_words(law).startswith("no ") else []
    extra += [f"{k.replace('_', ' ')} {words.numbers(v)}" for k, v in law.node.terms.items()]
    extra += words.further_terms(law)
    out += '<div class="laws">' + law_card("Law found", law.pair, "found", extra=", ".join(extra))
    if truth := law.truth:
        known = [words.response_words(verdict.response.truth)] if verdict.response else []
        if not words.is_whole(truth.text):
            known += [f"drag {words.shown(truth.drag)}"] if truth.drag else []
            known += [f"beside it: {truth.external}"] if truth.external else []
        out += law_card("True law", truth, extra="; ".join(known)) + "</div>"
    else:
        why = text(words.truth_words(law, m.generalization))
        out += f'<div class="law"><h3>True law</h3><p class="note">{why}</p></div></div>'
    return out + f'<div class="tiles">{tiles(m)}</div>'


def tiles(m: Material) -> str:
    """The headline numbers, each with what it is over."""
    verdict, fit, out = m.law.verdict, m.linear_fit, []
    if verdict.relative_error_in_range is not None:
        # the force is cut off where the data end: beyond is closer in
        where = "closer than any of its pairs" if m.cut_off else "beyond the range of the data"
        far = verdict.relative_error_extrapolated
        beyond = "not compared beyond the data" if far is None else f"{words.percent(far)} {where}"
        inside = words.percent(verdict.relative_error_in_range)
        out.append(tile(inside, "off the true accelerations, within range", beyond))
    if fit:
        whole = f"{words.r2_text(fit.r2_all)} over all {fit.n_edges:,} edges"
        what = "R² of messages with true forces, best 90 % of edges"
        out.append(tile(words.r2_text(fit.r2_trim90), what, whole))
    sets = m.generalization.sets if m.generalization else {}
    worst = words.worst_extrapolation(sets)
    for name, label in ((INTERPOLATION, "on new data like the training data"), (worst, LEAST)):
        if name in sets:
            one = sets[name]
            value = words.ratio_words(one).removesuffix(" smaller").removesuffix(" larger")
            kind = words.ratio_words(one).removeprefix(value).strip()
            if name != INTERPOLATION:
                label = f"{label}: {name.replace('_', ' ')}"
            off = f"the network is off by {words.percent(one.gnn.median_relative_error)} (median)"
            what = f"{kind} error than the network’s, {label}" if kind else f"{label.replace(LEAST, UNLIKE)}; {off}"
            note = f"MAE {words.shown(one.law.mae)} against {words.shown(one.gnn.mae)}, n {one.law.n:,}"
            out.append(tile(value.removesuffix(" to rounding"), what, note))
    return "".join(out + parts.added("tiles", m))
