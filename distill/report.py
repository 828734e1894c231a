"""One self-contained HTML page of a run: the answer first, then what it rests on, stage by stage.

``write_report(run)`` reads whatever files of the run there are; a stage that has not been run is named with
its command. Nothing in the page points outside of it. The detailed sections are in ``distill.report_sections``.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from distill import cli, formats
from distill.cli import UserError
from distill.findings import answer, factor, percent, r2_text, shown, times, verdict_word, worst_extrapolation
from distill.report_page import code, details, formula, missing, page, section, table, text, tile

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
        ("What was simulated", parts.simulation),
        ("The network", parts.training),
        ("Messages and forces", parts.messages),
        ("The search for the formula", parts.search),
        ("Beyond the training data", parts.generalization),
        ("Rollouts", parts.rollouts),
        ("How this was made", parts.provenance),
    )
    body = header(m) + section(1, "The law", law_section(m))
    for number, (title, function) in enumerate(titles, 2):
        try:
            content = function(m)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, UserError) as exc:
            # A file edited by hand or of another version must not cost the rest of the page.
            content = f'<p class="missing">This part could not be shown: {text(type(exc).__name__)}: {text(exc)}</p>'
        body += section(number, title, content)
    path = m.folder / "report.html"
    formats.save_text(path, page(f"Force law of {run}", body + parts.footer(m)))
    return path


# ---------------------------------------------------------------- the top of the page


def heading(m: Material) -> str:
    system = (m.dataset.get("system") or m.config.get("system") or {}).get("name") or m.config.get("dataset") or m.run
    return f"The force law of “{system}”, distilled from a graph network"


def header(m: Material) -> str:
    size = f"{m.config['n']} particles in {m.config['dim']} dimensions · " if "n" in m.config else ""
    parts = [f'<header><p class="kicker">{text(size)}run {code(m.run)}</p><h1>{text(heading(m))}</h1>']
    if any(stage.get("quick") for stage in m.json.values()):
        parts.append('<p class="open"><strong>Made with --quick:</strong> tiny sizes, numbers mean nothing.</p>')
    parts += [f'<p class="missing">{text(p)}</p>' for p in m.problems]
    if not m.law:
        what = "There is no law yet: the search for a formula has not been run."
        return "".join(parts) + missing(what, f"python symbolic_reg.py --run {m.run}") + "</header>"
    verdict = m.law.get("verdict") or {}
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
    parts.append('<div class="laws">' + law_card("Law found", pair, "found"))
    if truth.get("text"):
        parts.append(law_card("True law", truth) + "</div>")
    else:
        parts.append('<div class="law"><h3>True law</h3><p class="note">Not known to this program.</p></div></div>')
    return "".join(parts) + f'<div class="tiles">{tiles(m)}</div></header>'


def law_card(title: str, law: dict, kind: str = "", size: float = 31.0) -> str:
    """A law in large type with its text below; ``law`` holds "text" and perhaps "latex"."""
    plain = str(law.get("text", "")).removeprefix("f = ")
    shrink = size if len(plain) < 40 else 0.75 * size
    big = (
        formula("f = " + str(law["latex"]).removeprefix("f = "), shrink, f"f = {plain}")
        if law.get("latex")
        else code(plain)
    )
    return f'<div class="law {kind}"><h3>{text(title)}</h3><div class="big">{big}</div>{code(plain)}</div>'


def tiles(m: Material) -> str:
    """The headline numbers, each with what it is over."""
    verdict, out = m.law.get("verdict") or {}, []
    if verdict.get("relative_error_in_range") is not None:
        beyond = percent(verdict.get("relative_error_extrapolated"))
        out.append(tile(percent(verdict["relative_error_in_range"]), "off the true pair force, within range",
                        f"{beyond} beyond the range of the data"))  # fmt: skip
    if "r2_all" in m.linear_fit:
        fit = m.linear_fit
        out.append(tile(r2_text(fit["r2_trim90"]), "R² of messages with true forces, best 90 % of edges",
                        f"{r2_text(fit['r2_all'])} over all {fit['n_edges']:,} edges"))  # fmt: skip
    sets = m.generalization.get("sets") or {}
    worst = worst_extrapolation(sets)
    for name, label in (("interpolation", "on new data like the training data"), (worst, "where the law gains least")):
        if name in sets:
            one, ratio = sets[name], factor(sets[name])
            value = "n/a" if ratio is None else "exact" if ratio == float("inf") else times(max(ratio, 1 / ratio))
            better = "" if ratio is None or ratio == float("inf") else "smaller" if ratio >= 1 else "larger"
            note = f"MAE {shown(one['law']['mae'])} against {shown(one['gnn']['mae'])}, n {one['law']['n']:,}"
            about = label if name == "interpolation" else f"{label}: {name.replace('_', ' ')}"
            out.append(tile(value, f"{better} error than the network’s, {text(about)}".strip(), text(note)))
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
        cards += law_card("From the messages alone", law["from_messages"], size=21)
        cards += law_card("Constants refitted on accelerations", pair, "found", 21)
        cards = f'<div class="laws">{cards}</div>'
        cards += (
            '<p class="note" style="margin-top:10px">The first is what the network’s messages say. The second has no'
            " network in between: its constants were fitted directly on the accelerations of the training data.</p>"
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
        rows.append(["Overall factor between law and truth", shown(verdict["scale"], 6)])
    rows.append(["Complexity (nodes)", shown(pair.get("complexity"))])
    reason = f" ({text(law['engine_reason'])})" if law.get("engine_reason") else ""
    rows.append(["Search engine", text(law.get("engine", "unknown")) + reason])
    body = f'<p class="lead">{lead}</p>' + cards + table([], rows)
    if pair.get("latex"):
        body += details("LaTeX", f"<pre>{text('f = ' + pair['latex'])}</pre>")
    return body
