"""The section of the report on the law: how it came about, how it stands to the truth, how sure it is.

Every entry of ``law.json`` shown here but the pair law itself may be missing: older files lack many.
"""

from distill.files.properties import VARIABLES
from distill.formulas.text import parse, to_text
from distill.report import words
from distill.report.page import code, details, formula, guarded, missing, percent, shown, table, text
from distill.report.parts import added
from distill.report.words import verdict_word, worst_point
from distill.shell.errors import UserError


def law_card(title: str, law: dict, kind: str = "", size: float = 31.0, extra: str = "") -> str:
    """A law in large type with its text below; ``law`` holds "text" and perhaps "latex"."""
    plain = str(law.get("text", "")).removeprefix("f = ")
    latex = "f = " + str(law.get("latex") or "").removeprefix("f = ")
    big = formula(latex, size, f"f = {plain}", 360) if law.get("latex") else code(plain)
    more = f'<p class="note">and {text(extra)}</p>' if extra else ""
    return f'<div class="law {kind}"><h3>{text(title)}</h3><div class="big">{big}</div>{code(plain)}{more}</div>'


def law_section(m) -> str:
    """The law before and after refinement, what it was compared with, and how sure it is."""
    if not m.law:
        return missing("The law has not been searched for.", f"python symbolic_reg.py --run {m.run}")
    convention = (m.law.get("pair") or {}).get("convention", "F_i = f (x_i - x_j)/r, f > 0 repels")
    units = "; ".join(f"{k} {v}" for k, v in m.units.items())
    units = f"units: {text(units)}" if units else "units are dimensionless"
    lead = (
        "The force on particle i from particle j lies along the line between them. "
        f"Convention: {code(convention)}; r is the distance, m masses, q charges; {units}."
    )
    parts = (of_extensions, before_and_after, ways, against_the_truth, constants, choice, node, facts)
    return f'<p class="lead">{lead}</p>' + "".join(guarded(part, m) for part in parts)


def of_extensions(m) -> str:
    return "".join(added("law_parts", m))


def before_and_after(m) -> str:
    """The law of the messages alone beside the one refitted on accelerations."""
    early = m.law.get("from_messages") or {}
    if not early.get("text"):
        return ""
    cards = law_card("From the messages alone", early, "", 21)
    cards += law_card("Constants refitted on accelerations", m.law.get("pair") or {}, "found", 21)
    about, verdict = "", early.get("verdict") or {}
    if verdict.get("relative_error_in_range") is not None:
        inside, far = (words.percent(verdict.get(f"relative_error_{k}")) for k in ("in_range", "extrapolated"))
        about = f" The first alone: {verdict_word(verdict)}; off the true force by {inside} within range, {far} beyond"
        factor = verdict.get("scale")  # the errors are told after the factor that fits best
        about += "." if not isinstance(factor, int | float) else f", once multiplied by the best factor, {factor:.5g}."
    return (
        f'<div class="laws">{cards}</div><p class="note" style="margin-top:10px">The first is what the network’s'
        " messages say. The second has no network in between: its constants were fitted directly on the accelerations"
        f" of the training data.{text(about)} The law of a simple system can follow from accelerations without any"
        " network, so the first is what shows that the network had it.</p>"
    )


def brief(formula_text: str, variables, digits: int = 4) -> str:
    """A pair law with fewer digits; what cannot be read as one is left as it is."""
    try:
        return to_text(parse(formula_text, variables), digits)
    except UserError:
        return formula_text


def ways(m) -> str:
    """What the same data give by other ways: without any network, and by a search on the raw inputs."""
    law, rows, notes = m.law, [], []
    control, inputs = law.get("control") or {}, law.get("sr_on_inputs") or {}
    if not control and not inputs:
        return ""
    error, names = law.get("acceleration_error") or {}, (law.get("pair") or {}).get("variables", VARIABLES)

    def row(label, found, verdict, score):
        relation = text((verdict.get("equivalence") or {}).get("text", "—"))
        said = code(brief(found, names))
        return [label, said, verdict_word(verdict), relation, "—" if score is None else shown(score)]

    early = law.get("from_messages") or {}
    if early.get("text"):
        rows.append(row("messages alone", early["text"], early.get("verdict") or {}, None))
    marked = len(rows)
    rows.append(
        row(
            "messages, then accelerations",
            (law.get("pair") or {}).get("text", ""),
            law.get("verdict") or {},
            error.get("law"),
        )
    )
    if control:
        found, score = (control.get("pair") or {}).get("text", ""), control.get("acceleration_error") or {}
        rows.append(row("accelerations, no network", found, control.get("verdict") or {}, score.get("law")))
        seconds = f", {shown(control['cpu_seconds'])} s of CPU time" if control.get("cpu_seconds") is not None else ""
        notes.append(f"No network: {text(control.get('what', ''))}{seconds}.")
    body = table(["from", "law", "verdict", "compared with the true law", "held-out error"], rows, "", marked)
    if inputs:
        errors = [
            ["formula", inputs.get("held_out_error")],
            ["law", inputs.get("law_error")],
            ["network", inputs.get("network_error")],
        ]
        told = ", ".join(f"{who} {shown(value)}" for who, value in errors if value is not None)
        body += table(
            [],
            [
                [
                    "Search on the inputs of the whole system",
                    f"{code(inputs.get('equation', ''))} (complexity {shown(inputs.get('complexity'))})",
                ],
                ["Errors on held-out data", told],
            ],
        )
        notes.append(f"Inputs: {text(inputs.get('what', ''))}.")
    note = f'<p class="note">{" ".join(notes)}</p>'
    return f"<h3>The same data without the network</h3>{body}{note}"


def against_the_truth(m) -> str:
    """In which relation the law stands to the true one, constant by constant where it has its form."""
    verdict = m.law.get("verdict") or {}
    rows, equal = [], verdict.get("equivalence") or {}
    if equal:
        how = {True: "; algebra confirms it", False: "; seen on samples, algebra does not decide"}
        said = "different" if equal["relation"] == "different" else equal["text"]  # its worst point follows
        rows.append(["Relation", text(said) + how.get(equal.get("symbolic"), "")])
        where, point = worst_point(equal).split(": ", 1)
        rows.append([text(where), text(point)])
    if verdict.get("scale") is not None:
        rows.append(["Factor that brings the law closest to the truth", shown(verdict["scale"], 6)])
    ranges = verdict.get("ranges") or {}
    if {"in", "extrapolated"} <= ranges.keys():
        spans = [f"{shown(a)} to {shown(b)}" for a, b in (ranges["in"], ranges["extrapolated"])]
        close = f", {shown(ranges['near'][0])} to {shown(ranges['near'][1])} close by" if "near" in ranges else ""
        rows.append(
            [
                "Distances r compared",
                f"{spans[0]} within range, {spans[1]} beyond{close}; n {shown(verdict.get('n_samples'))} each",
            ]
        )
    if not rows:
        return ""
    body = f"<h3>Compared with the true law</h3>{table([], rows)}"
    if equal.get("constants"):
        listed = [
            [text(c["role"]), shown(c["true"], 6), shown(c["found"], 6), percent(c["off"])] for c in equal["constants"]
        ]
        body += table(["constant of the true form", "true", "found", "off by"], listed)
    return body


def constants(m) -> str:
    """The constants of the law with their standard errors, and which were rounded."""
    known = m.law.get("constants") or []
    if not known:
        return ""
    rows = []
    for c in known:
        error = "not known" if c.get("standard_error") is None else shown(c["standard_error"], 2)
        gap = f"between {shown(c['gap'][0], 5)} and {shown(c['gap'][1], 5)}" if c.get("gap") else error
        rounded = "—" if c.get("snapped_from") is None else shown(c["snapped_from"], 8)
        rows.append([code(c.get("symbol")), shown(c.get("value"), 8), gap, rounded])
    form = f"<p>{code(m.law['form'])}</p>" if m.law.get("form") else ""
    note = f'<p class="note">{text(m.law["constants_note"])}.</p>' if m.law.get("constants_note") else ""
    return (
        f"<h3>How well the data know its constants</h3>{form}"
        + table(["constant", "value", "standard error", "rounded from"], rows)
        + note
    )


def choice(m) -> str:
    """What was left out: the runner-up, how often the same formula wins, what no central law can say."""
    refined, rows = m.law.get("refinement") or {}, []
    second = refined.get("runner_up") or {}
    if second.get("equation"):
        why = f": {text(second['why_it_lost'])}" if second.get("why_it_lost") else ""
        rows.append(
            [
                "Runner-up",
                f"{code(second['equation'])}<br>complexity {shown(second.get('complexity'))},"
                f" held-out error {shown(second.get('held_out'))}{why}",
            ]
        )
    if refined.get("chosen_share") is not None:
        what = text(refined.get("chosen_share_is") or "of bootstrap resamples pick the same formula")
        rows.append(["Chosen again", f"{percent(refined['chosen_share'])} ({what})"])
    early = m.law.get("from_messages") or {}
    if lost := (early.get("runner_up") or {}).get("equation"):
        rows.append(
            [
                "Runner-up from the messages alone",
                f"{code(lost)}<br>{text(early['runner_up'].get('why_it_lost') or '')}",
            ]
        )
    if early.get("chosen_share") is not None:
        met = early.get("restarts_with_chosen")
        seen = text(f"; {met} of {early.get('restarts')} restarts met its form") if met is not None else ""
        rows.append(
            [
                "Row chosen again from the messages alone",
                f"{percent(early['chosen_share'])} of bootstrap draws of held-out rows{seen}",
            ]
        )
    if trust := (m.law.get("data_verdict") or {}).get("why"):
        word = "can be trusted" if m.law["data_verdict"].get("trusted") else "is not to be trusted"
        rows.append(["By the data alone, without the truth", f"{word}: {text(trust)}"])
    if left := (m.law.get("leftover") or {}).get("text"):
        rows.append(["What a central law without velocities leaves out", text(left)])
    body = f"<h3>How sure the choice is</h3>{table([], rows)}" if rows else ""
    if candidates := refined.get("candidates"):
        listed = [[shown(c.get("complexity")), shown(c.get("held_out")), code(c.get("equation"))] for c in candidates]
        body += details(
            "Formulas that were refitted on accelerations",
            f'<p class="note">{text(refined.get("why", ""))}</p>'
            + table(["complexity", "held-out error", "formula"], listed),
        )
    return body


def node(m) -> str:
    """What a particle does with the sum of its forces, composed and searched."""
    composed, searched, body = m.law.get("node") or {}, m.law.get("node_search") or {}, ""
    if composed.get("latex"):
        body = f"<p>{formula(composed['latex'], 19, composed.get('text', ''))}</p>"
    if searched.get("equation"):
        body += table(
            [], [["Searched instead of assumed", f"{code(searched['equation'])}<br>{text(searched.get('text') or '')}"]]
        )
    return f"<h3>What a particle does with its forces</h3>{body}" if body else ""


def facts(m) -> str:
    """How the law was read from the network and searched."""
    law, rows, read = m.law, [], m.law.get("read_out") or {}
    if read:
        errors = {k: v for k, v in (read.get("held_out_errors") or {}).items() if k != "jacobian"}
        others = ", ".join(f"{text(k.replace('_', ' '))} {shown(v)}" for k, v in errors.items())
        gauge = text(str(read.get("gauge")).replace("_", " "))
        error = others or shown(read.get("held_out_error"))
        rows.append(["Gauge of the messages", f"{gauge} (held-out errors of linear read-outs: {error})"])
        if read.get("third_law"):
            rows.append(["Why this read-out", text(read.get("why") or "")])
        if read.get("tangential_share") is not None:
            rows.append(
                [
                    "Part of the read-out force that is not central",
                    f"{percent(read['tangential_share'])}"
                    f" of its square, median {percent(read.get('tangential_median'))}",
                ]
            )
    error, pair = law.get("acceleration_error") or {}, law.get("pair") or {}
    if error.get("law") is not None:
        rows.append(
            [
                "Mean relative error of held-out accelerations",
                f"law {shown(error['law'])}, network {shown(error.get('gnn'))}; n {shown(error.get('n'))}",
            ]
        )
    rows.append(["Complexity (nodes)", shown(pair.get("complexity"))])
    reason = f" ({text(law['engine_reason'])})" if law.get("engine_reason") else ""
    rows.append(["Search engine", text(law.get("engine", "unknown")) + reason])
    body = f"<h3>How it was read from the network</h3>{table([], rows)}"
    return body + (details("LaTeX", f"<pre>{text('f = ' + pair['latex'])}</pre>") if pair.get("latex") else "")
