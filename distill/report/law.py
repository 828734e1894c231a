"""The section of the report on the law: how it came about, how it stands to the truth, how sure it is."""

from distill.formulas.text import parse, to_text
from distill.law.remains.residuals import MATERIAL, SIGNIFICANT
from distill.messages.read_out import JACOBIAN
from distill.physics.law import law_of, words_by_case
from distill.report import words
from distill.report.page import code, details, formula, guarded, missing, percent, r2, shown, table, text
from distill.report.parts import added
from distill.report.words import missed, numbers, response_words, sentence, trust_words, verdict_word, worst_point
from distill.search.registry import SPLINES

COLOURS = {True: "good", False: "bad", None: "open"}  # of verdicts


def law(m) -> str:
    """The law before and after refinement, what it was compared with, and how sure it is."""
    if not m.law:
        return missing("The law has not been searched for.", f"python symbolic_reg.py --run {m.run}")
    units = "; ".join(f"{k} {v}" for k, v in m.units.items())
    unknown = "units are dimensionless" if m.system.name else "units are those of the data"
    units = f"units: {text(units)}" if units else unknown
    whole = ""
    central = "The force on particle i from particle j lies along the line between them. "
    if words.further_terms(m.law):
        equation, central = (
            law_of(m.law).equation(),
            "f is the radial force, the part of the pair force along the line. ",
        )
        big = formula(equation["latex"], 21.0, equation["text"], 900)
        card = f'<h3>The whole law</h3><div class="big">{big}</div>{code(equation["text"])}'
        whole = f'<div class="law found" style="margin-bottom:14px">{card}</div>'
    lead = f"{central}Convention: {code(m.law.pair.convention)}; r is the distance, m masses, q charges; {units}."
    shown_parts = (before_and_after, hamiltonian, ways, against_the_truth, constants, choice, node, facts)
    return f'{whole}<p class="lead">{lead}</p>' + "".join(
        added("law_parts", m) + [guarded(part, m.law) for part in shown_parts]
    )


SHORT = 60  # letters of a law that stands beside another one; a longer one stands above it
BESIDE, ABOVE = 360.0, 880.0  # CSS pixels for a formula


def room(*laws) -> tuple[str, float]:
    """Class of the block that holds cards of ``laws`` (``PairLaw``, ``Truth``), and the width of a formula there."""
    return ("laws long", ABOVE) if any(len(one.text) > SHORT for one in laws) else ("laws", BESIDE)


def law_card(title: str, one, kind: str = "", size: float = 31.0, extra: str = "", width: float = BESIDE) -> str:
    """A law in large type with its text below; ``one``: a ``PairLaw`` or a ``Truth``; ``width``: what it may take."""
    plain, whole = one.text.removeprefix("f = "), words.is_whole(one.text)
    of = "" if whole else "f = "
    big = formula(of + one.latex.removeprefix("f = "), 16.0 if whole else size, of + plain, width)
    if one.cases:
        big, plain = by_levels(one), words.pair_full(one)
    more = f'<p class="note">and {text(extra)}</p>' if extra else ""
    return f'<div class="law {kind}"><h3>{text(title)}</h3><div class="big">{big}</div>{code(plain)}{more}</div>'


def by_levels(one) -> str:
    """The formulas of a law for every pair of levels, or its coefficients and their function, a line each."""
    lines = [f"f_{{{named(', '.join(case.pairs))}}} = {case.latex}" for case in one.cases]
    if one.coefficients:
        lines = [f"f = c\\,g, \\quad g = {one.function_latex}"]
        lines += [f"c_{{{named(name)}}} = {value:.6g}" for name, value in one.coefficients.items()]
    return "<br>".join(formula(line, 19.0, line, 360) for line in lines)


def named(pairs: str) -> str:
    """Pairs of levels below a letter."""
    return rf"\mathrm{{{pairs.replace('_', chr(92) + ',')}}}"


def of_source(law) -> str:
    """What the force was read from that was searched, in a word."""
    return "splines" if law.source == SPLINES else "messages"


def before_and_after(law) -> str:
    """The law of the messages alone beside the one refitted on accelerations."""
    name = of_source(law)
    early, after = (
        response_words(one.node.response) if one.node and one.node.response else "; ".join(words.further_terms(one))
        for one in (law.from_messages, law)
    )
    kind, width = room(law.from_messages, law.pair)
    cards = law_card(f"From the {name} alone", law.from_messages, "", 21, early, width)
    cards += law_card("Constants refitted on accelerations", law.pair, "found", 21, after, width)
    about = ""
    if not law.node.response:
        about = (
            f" The first is the formula ringed in the search below, its constants fitted to the {name} of all pairs and"
            " then to their sums over the senders of each receiver."
        )
    if verdict := law.from_messages.verdict:
        inside, far = (percent(getattr(verdict, f"relative_error_{k}")) for k in ("in_range", "extrapolated"))
        about += (
            f" The first alone: {verdict_word(verdict)}; its accelerations are off by {inside} within range and {far}"
            " beyond."
        )
    if law.source == SPLINES:
        return (
            f'<div class="{kind}">{cards}</div><p class="note" style="margin-top:10px">The first is what splines say'
            " that were fitted to the accelerations, without any network; the constants of the second were fitted"
            f" directly on the accelerations of the training data.{about}</p>"
        )
    return (
        f'<div class="{kind}">{cards}</div><p class="note" style="margin-top:10px">The first is what the network’s'
        " messages say. The second has no network in between: its constants were fitted directly on the accelerations"
        f" of the training data.{about} The law of a simple system can follow from accelerations without any"
        " network, so the first is what shows that the network had it.</p>"
    )


def raw(energy) -> str:
    """Whether minus the slope of an energy is the true force with the constants that it was searched with."""
    if energy.searched_verdict is None:
        return ""
    return "its force as it stands: " + judged(energy.searched_verdict)


def hamiltonian(law) -> str:
    """The law as one, and what the network of energies had of it before any refit."""
    if not (h := law.hamiltonian):
        return ""
    rows = []
    if h.energy:
        known = law.pair.variables
        rows.append(
            ["Energy of a pair, as it was searched", f"{pair_by_pair(h.energy.text, known, 'V')}<br>{raw(h.energy)}"]
        )
        if h.energy.from_force:
            fitted = pair_by_pair(h.energy.from_force, known, "V")
        else:
            fitted = f"of {pair_by_pair(to_text(parse(h.energy.force, known), 4), known, 'f')}"
        rows.append(["The same, constants fitted to the network’s forces and their sums over senders", fitted])
        rows.append(["Its force against the true one", judged(h.energy.verdict)])
    if h.kinetic:
        off = f"; within {percent(h.kinetic.off)} of p²/(2 m)" if h.kinetic.off is not None else ""
        rows.append(["Energy of a particle, of the network", f"{code(h.kinetic.text)}{off}"])
    told = f"{shown(h.per_edge)} of the energy of its pair, which is counted from r = {shown(h.reference)}"
    rows.append(["Message of an edge", told])
    lines = [formula(line, 19, line) for line in (h.latex or "").split(r",\quad ")]
    whole = f"<p>{'<br>'.join(lines)}</p>{code(h.text)}" if h.text else f"<p>There is none: {h.why_not}.</p>"
    body = whole + table([], rows)
    about = (
        "Energies are known up to a number for each pair, and for each particle: terms without r, or p, are left out."
    )
    return f'<h3>As a Hamiltonian</h3>{body}<p class="note">{about}</p>'


def pair_by_pair(formula: str, known, letter: str) -> str:
    """``formula`` in the variables ``known`` as it is, or for every pair of levels, a line each."""
    lines = words_by_case(formula, known, letter) or [formula if letter == "V" else f"{letter} = {formula}"]
    return "<br>".join(map(code, lines))


def ways(law) -> str:
    """What the network had to do with the law: the messages beside the rivals, before and after the same refit."""
    own = "splines, no network" if law.source == SPLINES else "messages of the trained network"
    rows = [way(own, law.from_messages, law, law)]
    rows += [way(other.label, other.before_refit, other, law) for other in law.rivals.values()]
    known = law.truth is not None
    groups = [("", 1), ("before the refit on accelerations", 1 + known), ("after it", 2 + known)]
    head = ["the force is from", "law", *(["verdict"] * known), "law", *(["verdict"] * known), "held-out error"]
    rows = [[cell for k, cell in enumerate(row) if known or k not in (2, 4)] for row in rows]
    body = f"<p>{text(words.owed(law))}</p>" if law.rivals and law.source != SPLINES else ""
    body += table(head, rows, "", 0, groups)
    others, error = law.rivals.values(), law.acceleration_error
    notes = [f"<b>{text(o.label)}</b>: {text(o.what)} ({shown(o.cpu_seconds)} s of CPU time)" for o in others]
    whose = (
        f"the network’s own is {shown(error.gnn)}" if error.splines is None else f"the splines’ {shown(error.splines)}"
    )
    notes.append(f"<b>held-out error</b>: {text(error.what)}; {whose}")
    body += f'<ul class="note">{"".join(f"<li>{note}.</li>" for note in notes)}</ul>'
    title = "The same data by other ways" if law.source == SPLINES else "What the network had to do with it"
    return f"<h3>{title}</h3>{body}{inputs(law.sr_on_inputs)}"


def way(label: str, before, after, law) -> list[str]:
    """A row: where the force is from, its law before the refit (``BeforeRefit`` or None) and after."""
    nothing = '<span class="note">nothing is read</span>'
    early = [nothing, "—"]
    if before:
        early = [brief(before, before.node, words.further_terms(before)), judged(before.verdict)]
    return [
        text(label),
        *early,
        brief(after.pair, after.node, words.further_terms(after)),
        judged(after.verdict),
        shown(after.acceleration_error.law),
    ]


def brief(pair, node=None, further=()) -> str:
    """The pair law with few digits, and the response and ``further`` terms below it where there are such."""
    said = code(words.pair_rounded(pair))
    said += "".join(f"<br>{code(one)}" for one in further)
    if node and node.response:
        own = node.response
        parts = {k: getattr(own, k) for k in ("alpha", "beta") if getattr(own, k) != "0"}
        said += "".join(f"<br>{k} = {code(to_text(parse(v, own.variables), 4))}" for k, v in parts.items())
    return f'<span class="brief">{said}</span>'


def judged(verdict) -> str:
    """The verdict in its colour, with the relation to the true law below it."""
    if not verdict:
        return "—"
    equal = verdict.equivalence
    relation = ""
    if equal and not verdict.recovered:
        relation = "another form" if equal.relation == "different" else "; ".join([equal.text, *missed(verdict)])
        relation = f'<br><span class="note">{text(relation)}</span>'
    return f'<span class="{COLOURS[verdict.recovered]}">{verdict_word(verdict)}</span>{relation}'


def inputs(found) -> str:
    """The search on the raw inputs of the whole system, where it was asked for."""
    if not found:
        return ""
    errors = {"formula": found.held_out_error, "law": found.law_error, "network": found.network_error}
    told = ", ".join(f"{who} {shown(value)}" for who, value in errors.items() if value is not None)
    formula_found = f"{code(found.equation)} (complexity {shown(found.complexity)})"
    body = table([], [["Search on the inputs of the whole system", formula_found], ["Errors on held-out data", told]])
    return f'{body}<p class="note">Inputs: {text(found.what)}.</p>'


def against_the_truth(law) -> str:
    """In which relation the law stands to the true one, constant by constant where it has its form."""
    verdict, equal, rows = law.verdict, law.verdict.equivalence, []
    if equal:
        how = {True: "; algebra confirms it", False: "; seen on samples, algebra does not decide", None: ""}
        said = "different" if equal.relation == "different" else equal.text  # its worst point follows
        where, point = worst_point(equal).split(": ", 1)
        rows += [["Relation", text(said) + how[equal.symbolic]], [text(where), text(point)]]
    rows += [["Not judged", text(said.removeprefix("not judged: "))] for said in verdict.not_judged]
    if not rows and not verdict.tails:
        return ""
    body = f"<h3>Compared with the true law</h3>{table([], rows) if rows else ''}{accelerations(verdict)}"
    if equal and equal.constants:
        listed = [[text(c.role), shown(c.true, 6), shown(c.found, 6), percent(c.off)] for c in equal.constants]
        body += table(["constant of the true pair law", "true", "found", "off by"], listed)
    return body


def accelerations(verdict) -> str:
    """A row for each range of distances: how far the law's accelerations are off, and what is allowed."""
    rows = []
    for key, where in {"near": "closer", "in": "within range", "extrapolated": "beyond"}.items():
        if key not in verdict.tails:
            continue
        low, high = verdict.ranges.get(key, (None, None))
        mean = getattr(verdict, f"relative_error_{'in_range' if key == 'in' else key}")
        others = (verdict.tails, verdict.allowed_errors, verdict.network_errors)
        errors = [f"<span class=line>{percent(e)}</span>" for e in (mean, *(each.get(key) for each in others))]
        n = verdict.n_receivers if key == "in" else verdict.n_samples
        rows.append([where, f"<span class=line>{shown(low)} to {shown(high)}</span>", *errors, n])
    if not rows:
        return ""
    head = ["accelerations", "distances r", "mean", "one in a thousand above", "allowed mean", "network’s mean", "n"]
    about = "Relative errors of accelerations; n: receivers within range, single pairs closer and beyond."
    return table(head, rows, about, groups=[("", 2), ("the law is off by", 2), ("", 3)])


def constants(law) -> str:
    """The constants of the law with their standard errors, and which were rounded."""
    if not law.constants and not law.functions:
        return ""
    parts = [f"<p>{code(law.form)}</p>", _of_constants(law.constants)] if law.constants else []
    for one in law.functions:
        name = one.term.replace("_", " ") + (f", along {one.component}" if one.component else "")
        parts += [f"<p>{text(name)}: {code(one.form)}</p>", _of_constants(one.constants)]
    parts.append(f'<p class="note">{text(sentence(law.constants_note))}.</p>')
    parts.append(f"<p>{text(sentence(law.polish.text))}.</p>" if law.polish else "")
    return "<h3>How well the data know its constants</h3>" + "".join(parts)


def _of_constants(found) -> str:
    rows = []
    for c in found:
        error = "not known" if c.standard_error is None else shown(c.standard_error, 2)
        error = f"between {shown(c.gap[0], 5)} and {shown(c.gap[1], 5)}" if c.gap else error
        rounded = "—" if c.snapped_from is None else shown(c.snapped_from, 8)
        rows.append([code(c.symbol), shown(c.value, 8), error, rounded])
    return table(["constant", "value", "standard error", "rounded from"], rows)


def choice(law) -> str:
    """What was left out: the runner-up, how often the same formula wins, what no central law can say."""
    refined, early, rows = law.refinement, law.from_messages, []
    if second := refined.runner_up:
        about = f"Complexity {shown(second.complexity)}, held-out error {shown(second.held_out)}"
        rows.append(["Runner-up", f"{code(second.equation)}<br>{about}: {text(second.why_it_lost)}"])
    rows.append(["Chosen again", f"{percent(refined.chosen_share)} ({text(refined.chosen_share_is)})"])
    if lost := early.runner_up:
        told = f"{code(lost.equation)}<br>{text(lost.why_it_lost)}"
        rows.append([f"Runner-up from the {of_source(law)} alone", told])
    if early.chosen_share is not None:
        met, tried = early.restarts_with_chosen, early.restarts
        seen = "" if met is None else f"; {met} of {tried} restarts met its form"
        told = f"{percent(early.chosen_share)} of bootstrap draws of held-out rows{seen}"
        rows.append([f"Row chosen again from the {of_source(law)} alone", told])
    said = trust_words(law).removeprefix("by the data alone the law ")
    rows.append(["By the data alone, without the truth", text(said)])
    rows.append(["What a central law without velocities leaves out", text(law.leftover.text)])
    listed = [[shown(c.complexity), shown(c.held_out), code(c.equation)] for c in refined.candidates]
    tried = f'<p class="note">{text(sentence(refined.why))}.</p>' + table(
        ["complexity", "held-out error", "formula"], listed
    )
    more = details("Formulas that were refitted on accelerations", tried) + residuals(law.data_verdict.residuals)
    return f"<h3>How sure the choice is</h3>{table([], rows)}{more}"


def residuals(left) -> str:
    """What was tried as a prediction of what the law leaves of the accelerations."""
    if not left.clues:
        return ""
    best = sorted(left.clues.items(), key=lambda one: -one[1].r2)
    rows = [
        [text(name), shown(max(clue.r2, 0.0), 2), "—" if clue.z is None else shown(clue.z, 2)] for name, clue in best
    ]
    about = (
        f"What the law leaves of {shown(left.n)} accelerations, predicted on trajectories left out: R² is the share of"
        f" its square, z its distance from nothing in standard errors (structure: z above {SIGNIFICANT:g}, R² above"
        f" {MATERIAL:g})."
    )
    if left.autocorrelation is not None:
        error = f" ± {shown(left.autocorrelation_error, 2)}" if left.autocorrelation_error is not None else ""
        about += f" From one frame to the next it is correlated by {shown(left.autocorrelation, 2)}{error}."
    return details("What predicts the residuals", table(["predicted from", "R²", "z"], rows, about))


def node(law) -> str:
    """What a particle does with the sum of its forces, composed and searched."""
    body = f"<p>{formula(law.node.latex, 19, law.node.text)}</p>"
    rows = [
        [text(k.replace("_", " ")), numbers(v), numbers(law.node.standard_errors.get(k))]
        for k, v in law.node.terms.items()
    ]
    body += table(["term", "value", "standard error"], rows) if rows else ""
    if law.node.dropped:
        told = "; ".join(f"{d.name.replace('_', ' ')} {numbers(d.value)}: {d.why}" for d in law.node.dropped)
        body += f'<p class="note">Not needed by the data: {text(told)}.</p>'
    if searched := law.node_search:
        body += table([], [["Searched instead of assumed", f"{code(searched.equation)}<br>{text(searched.text)}"]])
    if choice := law.node_choice:
        rows = [
            ["This response, or a = S/m?", f"{text(sentence(choice.why))}; the network {shown(choice.network_error)}"]
        ]
        if choice.chosen == "linear":
            parts = {"alpha": choice.alpha, "beta": choice.beta}
            rows[0][0] = "A response, or a = S/m?"
            rows.append(["Response that was not taken", text(response_words(parts))])
            rows.append(["with the pair law", code(choice.pair)])
        if (verdict := law.verdict) and verdict.response:
            one = verdict.response
            told = f"alpha: {text(one.alpha)}<br>beta: {text(one.beta)}"
            rows.append(["Compared with the true response", told])
        body += table([], rows) + f'<p class="note">{text(sentence(choice.what))}.</p>'
    return f"<h3>What a particle does with its forces</h3>{body}"


def facts(law) -> str:
    """How the law was read from the network and searched."""
    read, error = law.read_out, law.acceleration_error
    linear = {k: v for k, v in read.held_out_errors.items() if k != JACOBIAN}
    others = ", ".join(f"{text(k.replace('_', ' '))} {shown(v)}" for k, v in linear.items())
    gauge = "the node model’s Jacobian" if read.gauge == JACOBIAN else text(read.gauge.replace("_", " "))
    told = f"{gauge} (held-out errors of linear read-outs: {others or shown(read.held_out_error)})"
    if law.source == SPLINES:
        told = f"{text(read.why)}; mean relative error of held-out net forces {shown(read.held_out_error)}"
    rows = [["Splines" if law.source == SPLINES else "Read-out of the messages", told]]
    if read.third_law:
        rows.append(["Why this read-out", text(read.why)])
    share = f"{percent(read.tangential_share)} of its square, median {percent(read.tangential_median)}"
    rows.append(["Part of the read-out force that is not central", share])
    other = f"network {shown(error.gnn)}" if error.splines is None else f"splines {shown(error.splines)}"
    other += "" if error.noise is None else f", noise alone {shown(error.noise)}"
    told = f"law {shown(error.law)}, {other}; n {shown(error.n)}"
    rows.append(["Mean relative error of held-out accelerations", told])
    if named := law.force_in_file:
        told = (
            f"R² {r2(named.r2_all)}, median relative error {percent(named.median_relative_error)}; n {shown(named.n)}"
        )
        rows.append(["The law’s pair force against that in the file of the messages", told])
    rows.append(["Complexity (nodes)", shown(law.pair.complexity)])
    rows.append(["Search engine", f"{text(law.engine)} ({text(law.engine_reason)})"])
    latex = details("LaTeX", f"<pre>{text('f = ' + law.pair.latex)}</pre>")
    how = "fitted and searched" if law.source == SPLINES else "read from the network"
    return f"<h3>How it was {how}</h3>{table([], rows)}{latex}"
