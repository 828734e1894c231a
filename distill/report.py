"""One self-contained HTML page of a run: the answer first, then what it rests on, stage by stage.

``write_report(run)`` reads whatever files of the run there are; a stage that has not been run is named with
its command. Nothing in the page points outside of it. The detailed sections are in ``distill.report_sections``.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from distill import cli, findings, formats
from distill.cli import UserError
from distill.findings import answer, ratio_words, verdict_word, worst_extrapolation
from distill.report_page import code, details, formula, missing, page, percent, section, shown, table, text, tile

LEAST, UNLIKE = "where the law gains least", "on data unlike it"
STAGES = ("dataset", "config", "messages_train", "messages_test", "linear_fit", "law", "generalization")


@dataclass
class Material:
    """Everything the page is made of: JSONs by name ({} where missing), figures by path."""

    run: str
    folder: Path  # outputs/<run>
    weights: Path  # model_weights/<run>
    json: dict = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    dataset_path: Path | None = None

    def __getattr__(self, name):
        if name in STAGES:
            return self.json.get(name, {})
        raise AttributeError(name)


def sources(run: str) -> dict[str, Path]:
    """The files of a run that the report is made of, whether they exist or not."""
    out, weights = formats.OUTPUTS / run, formats.MODEL_WEIGHTS / run
    found = {name: out / f"{name}.json" for name in STAGES[2:]} | {"config": weights / "config.json"}
    return found | {"history": weights / "history.csv"}


def is_stale(run: str) -> bool:
    """Whether report.html is missing or older than one of its sources."""
    path = formats.OUTPUTS / run / "report.html"
    if not path.is_file():
        return True
    made = path.stat().st_mtime
    return any(p.is_file() and p.stat().st_mtime > made for p in sources(run).values())


def gather(run: str) -> Material:
    """Read the files of ``run``; a damaged one becomes a line under ``problems``."""
    material = Material(run, formats.OUTPUTS / run, formats.MODEL_WEIGHTS / run)

    def read(name, path):
        if path.is_file():
            try:
                material.json[name] = formats.load_json(path)
            except UserError as exc:
                material.problems.append(str(exc))

    for name, path in sources(run).items():
        if name != "history":
            read(name, path)
    where = material.config.get("dataset_path") or f"{run.split('__')[0]}"
    for path in (formats.dataset_path(where), cli.ROOT / where):
        if path.is_file():
            material.dataset_path = path
            read("dataset", path.with_suffix(".json"))
            break
    return material


def history_columns(path: Path) -> dict:
    """Columns of history.csv as lists of floats; {} where missing or damaged."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {k: [float(r[k]) for r in rows] for k in ("epoch", "train_loss", "validation_loss", "validation_mae")}
    except (OSError, KeyError, ValueError, TypeError):
        return {}


def write_report(run: str) -> Path:
    """Write outputs/<run>/report.html and return its path. Missing stages do not fail it."""
    from distill import report_sections as parts

    m = gather(run)
    titles = (
        ("The law", law_section),
        ("What was simulated", parts.simulation),
        ("The network", parts.training),
        ("Messages and forces", parts.messages),
        ("The search for the formula", parts.search),
        ("Beyond the training data", parts.generalization),
        ("Rollouts", parts.rollouts),
        ("How this was made", parts.provenance),
    )
    body = f"<header>{header(m)}{guarded(headline, m)}</header>"
    for number, (title, function) in enumerate(titles, 1):
        body += section(number, title, guarded(function, m))
    path = m.folder / "report.html"
    formats.save_text(path, page(f"Force law of {run}", body + parts.footer(m)))
    return path


# ---------------------------------------------------------------- the top of the page


def heading(m: Material) -> str:
    system = (m.dataset.get("system") or m.config.get("system") or {}).get("name") or m.config.get("dataset") or m.run
    return f"The force law of “{system}”, distilled from a graph network"


def guarded(function, m: Material) -> str:
    """What ``function`` makes of the material, or why it cannot: a file edited by hand or of another
    version must not cost the rest of the page."""
    try:
        return function(m)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, UserError) as exc:
        return f'<p class="missing">This part could not be shown: {text(type(exc).__name__)}: {text(exc)}</p>'


def header(m: Material) -> str:
    size = f"{m.config['n']} particles in {m.config['dim']} dimensions · " if "n" in m.config else ""
    parts = [f'<p class="kicker">{text(size)}run {code(m.run)}</p><h1>{text(heading(m))}</h1>']
    if any(stage.get("quick") for stage in m.json.values()):
        parts.append('<p class="open"><strong>Made with --quick:</strong> tiny sizes, numbers mean nothing.</p>')
    parts += [f'<p class="missing">{text(p)}</p>' for p in m.problems]
    return "".join(parts)


def headline(m: Material) -> str:
    """The answer, the verdict, the law beside the truth and the numbers that carry the answer."""
    if not m.law:
        what = "There is no law yet: the search for a formula has not been run."
        return missing(what, f"python symbolic_reg.py --run {m.run}")
    verdict, parts = m.law.get("verdict") or {}, []
    colour = {"recovered": "good", "not recovered": "bad"}.get(verdict_word(verdict), "open")
    parts.append(f'<p class="answer">{text(answer(m.law, m.generalization or None))}</p>')
    parts.append(f'<p><span class="badge {colour}">{verdict_word(verdict)}</span>')
    if verdict.get("softening_recovered") is not None:
        good = verdict["softening_recovered"]
        parts.append(
            f'<span class="badge {"good" if good else "open"}">softening {"" if good else "not "}recovered</span>'
        )
    parts.append(f'</p><p class="note">{text(verdict["why"])}</p>' if verdict.get("why") else "</p>")
    pair, truth = m.law.get("pair") or {}, m.law.get("truth") or {}
    terms = (m.law.get("node") or {}).get("terms") or {}
    extra = ", ".join(f"{k.replace('_', ' ')} {_numbers(v)}" for k, v in terms.items())
    parts.append('<div class="laws">' + law_card("Law found", pair, "found", extra=extra))
    if truth.get("text"):
        known = [f"drag {findings.shown(truth['drag'])}"] if truth.get("drag") else []
        known += [f"outside field: {truth['external']}"] if truth.get("external") else []
        parts.append(law_card("True law", truth, extra="; ".join(known)) + "</div>")
    else:
        why = text(findings.truth_words(m.law, m.generalization))
        parts.append(f'<div class="law"><h3>True law</h3><p class="note">{why}</p></div></div>')
    return "".join(parts) + f'<div class="tiles">{tiles(m)}</div>'


def _numbers(value) -> str:
    """A number or a vector; components that are rounding beside the largest are 0."""
    if not isinstance(value, list):
        return findings.shown(value)
    largest = max(abs(v) for v in value)
    return f"({', '.join(findings.shown(v if abs(v) > findings.ROUNDING * largest else 0.0) for v in value)})"


def law_card(title: str, law: dict, kind: str = "", size: float = 31.0, extra: str = "") -> str:
    """A law in large type with its text below; ``law`` holds "text" and perhaps "latex"."""
    plain = str(law.get("text", "")).removeprefix("f = ")
    latex = "f = " + str(law.get("latex") or "").removeprefix("f = ")
    big = formula(latex, size, f"f = {plain}", 360) if law.get("latex") else code(plain)
    more = f'<p class="note">and {text(extra)}</p>' if extra else ""
    return f'<div class="law {kind}"><h3>{text(title)}</h3><div class="big">{big}</div>{code(plain)}{more}</div>'


def tiles(m: Material) -> str:
    """The headline numbers, each with what it is over."""
    verdict, out = m.law.get("verdict") or {}, []
    if verdict.get("relative_error_in_range") is not None:
        beyond = findings.percent(verdict.get("relative_error_extrapolated"))
        out.append(tile(findings.percent(verdict["relative_error_in_range"]), "off the true pair force, within range",
                        f"{beyond} beyond the range of the data"))  # fmt: skip
    if "r2_all" in m.linear_fit:
        fit = m.linear_fit
        out.append(tile(findings.r2_text(fit["r2_trim90"]), "R² of messages with true forces, best 90 % of edges",
                        f"{findings.r2_text(fit['r2_all'])} over all {fit['n_edges']:,} edges"))  # fmt: skip
    sets = m.generalization.get("sets") or {}
    worst = worst_extrapolation(sets)
    for name, label in (("interpolation", "on new data like the training data"), (worst, LEAST)):
        if name in sets:
            one = sets[name]
            value = ratio_words(one).removesuffix(" smaller").removesuffix(" larger")
            kind = ratio_words(one).removeprefix(value).strip()
            if name != "interpolation":
                label = f"{label}: {name.replace('_', ' ')}"
            off = f"the network is off by {findings.percent(one['gnn']['median_relative_error'])} (median)"
            what = f"{kind} error than the network’s, {label}" if kind else f"{label.replace(LEAST, UNLIKE)}; {off}"
            value = value.removesuffix(" to rounding")
            law_mae, gnn_mae = (findings.shown(one[k]["mae"]) for k in ("law", "gnn"))
            note = f"MAE {law_mae} against {gnn_mae}, n {one['law']['n']:,}"
            out.append(tile(value, what, note))
    return "".join(out)


def law_section(m: Material) -> str:
    """The law before and after refinement, its node part, and how it was read from the network."""
    if not m.law:
        return missing("The law has not been searched for.", f"python symbolic_reg.py --run {m.run}")
    law, pair, node = m.law, m.law.get("pair") or {}, m.law.get("node") or {}
    convention = pair.get("convention", "F_i = f (x_i - x_j)/r, f > 0 repels")
    lead = (
        "The force on particle i from particle j lies along the line between them. "
        f"Convention: {code(convention)}; r is the distance, m masses, q charges; units are dimensionless."
    )
    cards = ""
    if (law.get("from_messages") or {}).get("text"):
        early = law["from_messages"].get("verdict") or {}
        about = ""
        if early.get("relative_error_in_range") is not None:
            inside, far = (findings.percent(early.get(f"relative_error_{k}")) for k in ("in_range", "extrapolated"))
            about = (
                f" The first alone: {verdict_word(early)}; off the true force by {inside} within range, {far} beyond."
            )
        cards += law_card("From the messages alone", law["from_messages"], "", 21)
        cards += law_card("Constants refitted on accelerations", pair, "found", 21)
        cards = f'<div class="laws">{cards}</div>'
        cards += (
            '<p class="note" style="margin-top:10px">The first is what the network’s messages say. The second has no'
            " network in between: its constants were fitted directly on the accelerations of the training data."
            f"{text(about)} The law of a simple system can follow from accelerations without any network, so the first"
            " is what shows that the network had it.</p>"
        )
    if node.get("latex"):
        cards += (
            f"<h3>What a particle does with its forces</h3><p>{formula(node['latex'], 19, node.get('text', ''))}</p>"
        )
    rows, read = [], law.get("read_out") or {}
    if read:
        errors = read.get("held_out_errors") or {}
        others = ", ".join(f"{text(k.replace('_', ' '))} {shown(v)}" for k, v in errors.items())
        gauge = text(str(read.get("gauge")).replace("_", " "))
        error = others or shown(read.get("held_out_error"))
        rows.append(["Gauge of the messages", f"{gauge} (held-out errors: {error})"])
        if read.get("tangential_share") is not None:
            rows.append(["Part of the read-out force that is not central", f"{percent(read['tangential_share'])}"
                         f" of its square, median {percent(read.get('tangential_median'))}"])  # fmt: skip
    error = law.get("acceleration_error") or {}
    if error.get("law") is not None:
        rows.append(["Mean relative error of held-out accelerations", f"law {shown(error['law'])}, network"
                     f" {shown(error.get('gnn'))}; n {shown(error.get('n'))}"])  # fmt: skip
    verdict = law.get("verdict") or {}
    if verdict.get("scale") is not None:
        rows.append(["Factor that brings the law closest to the truth", shown(verdict["scale"], 6)])
    ranges = verdict.get("ranges") or {}
    if {"in", "extrapolated"} <= ranges.keys():
        spans = [f"{shown(a)} to {shown(b)}" for a, b in (ranges["in"], ranges["extrapolated"])]
        rows.append(["Distances r compared with the truth", f"{spans[0]} within range, {spans[1]} beyond;"
                     f" n {shown(verdict.get('n_samples'))} each"])  # fmt: skip
    rows.append(["Complexity (nodes)", shown(pair.get("complexity"))])
    reason = f" ({text(law['engine_reason'])})" if law.get("engine_reason") else ""
    rows.append(["Search engine", text(law.get("engine", "unknown")) + reason])
    body = f'<p class="lead">{lead}</p>' + cards + table([], rows)
    if candidates := (law.get("refinement") or {}).get("candidates"):
        listed = [[shown(c.get("complexity")), shown(c.get("held_out")), code(c.get("equation"))] for c in candidates]
        body += details("Formulas that were refitted on accelerations",
                        f'<p class="note">{text(law["refinement"].get("why", ""))}</p>'
                        + table(["complexity", "held-out error", "formula"], listed))  # fmt: skip
    if pair.get("latex"):
        body += details("LaTeX", f"<pre>{text('f = ' + pair['latex'])}</pre>")
    return body
