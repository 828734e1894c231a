"""One self-contained HTML page of a run: the answer first, then what it rests on, stage by stage.

``write_report(run)`` reads whatever files of the run there are; a stage that has not been run is named with
its command. Nothing in the page points outside of it. The law's section is in ``distill.report.law``, the
last in ``distill.report.provenance``, the others in ``distill.report.sections``.
"""

from dataclasses import dataclass, field
from pathlib import Path

from distill.files import names
from distill.files.storage import load_json, save_text
from distill.report import parts, provenance, sections, words
from distill.report.law import law_card, law_section
from distill.report.page import code, guarded, missing, page, section, text, tile
from distill.report.words import answer, ratio_words, verdict_word, worst_extrapolation, worst_point
from distill.shell import paths
from distill.shell.errors import UserError

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

    @property
    def system(self) -> dict:
        """What the dataset's JSON says of its system, {} where nothing."""
        return self.dataset.get("system") or self.config.get("system") or {}

    @property
    def units(self) -> dict:
        """Quantity -> unit, {} where the data's are not known or dimensionless."""
        return self.system.get("units") or {}

    @property
    def cut_off(self) -> bool:
        """Whether the pair force ends at a cutoff, as in a periodic box."""
        return bool(self.system.get("periodic") or self.law.get("cutoff"))


def sources(run: str) -> dict[str, Path]:
    """The files of a run that the report is made of, whether they exist or not."""
    out, weights = paths.OUTPUTS / run, paths.MODEL_WEIGHTS / run
    found = {name: out / f"{name}.json" for name in STAGES[2:]} | {"config": weights / "config.json"}
    return found | {"history": weights / "history.csv"}


def is_stale(run: str) -> bool:
    """Whether report.html is missing or older than one of its sources."""
    path = paths.OUTPUTS / run / "report.html"
    if not path.is_file():
        return True
    made = path.stat().st_mtime
    return any(p.is_file() and p.stat().st_mtime > made for p in sources(run).values())


def gather(run: str) -> Material:
    """Read the files of ``run``; a damaged one becomes a line under ``problems``."""
    material = Material(run, paths.OUTPUTS / run, paths.MODEL_WEIGHTS / run)

    def read(name, path):
        if path.is_file():
            try:
                material.json[name] = load_json(path)
            except UserError as exc:
                material.problems.append(str(exc))

    for name, path in sources(run).items():
        if name != "history":
            read(name, path)
    where = material.config.get("dataset_path") or f"{run.split('__')[0]}"
    for path in (names.dataset_path(where), paths.ROOT / where):
        if path.is_file():
            material.dataset_path = path
            read("dataset", path.with_suffix(".json"))
            break
    return material


def write_report(run: str) -> Path:
    """Write outputs/<run>/report.html and return its path. Missing stages do not fail it."""
    m = gather(run)
    titles = (
        ("The law", law_section),
        ("What was simulated", sections.simulation),
        ("The network", sections.training),
        ("Messages and forces", sections.messages),
        ("The search for the formula", sections.search),
        ("Beyond the training data", sections.generalization),
        ("Rollouts", sections.rollouts),
        ("How this was made", provenance.provenance),
    )
    body = f"<header>{header(m)}{guarded(headline, m)}</header>"
    for number, (title, function) in enumerate(titles, 1):
        body += section(number, title, guarded(function, m))
    path = m.folder / "report.html"
    save_text(path, page(f"Force law of {run}", body + provenance.footer(m)))
    return path


# ---------------------------------------------------------------- the top of the page


def heading(m: Material) -> str:
    system = m.system.get("name") or m.config.get("dataset") or m.run
    return f"The force law of “{system}”, distilled from a graph network"


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
        good, near = verdict["softening_recovered"], "close range" if m.cut_off else "softening"
        said = f"{near} {'' if good else 'not '}recovered"
        parts.append(f'<span class="badge {"good" if good else "open"}">{said}</span>')
    parts.append(f'</p><p class="note">{text(verdict["why"])}</p>' if verdict.get("why") else "</p>")
    if equal := verdict.get("equivalence"):
        parts.append(
            f'<p class="note">Compared with the true law: {text(equal["text"])}. {text(worst_point(equal))}.</p>'
        )
    pair, truth = m.law.get("pair") or {}, m.law.get("truth") or {}
    terms = (m.law.get("node") or {}).get("terms") or {}
    extra = ", ".join(f"{k.replace('_', ' ')} {_numbers(v)}" for k, v in terms.items())
    parts.append('<div class="laws">' + law_card("Law found", pair, "found", extra=extra))
    if truth.get("text"):
        known = [f"drag {words.shown(truth['drag'])}"] if truth.get("drag") else []
        known += [f"outside field: {truth['external']}"] if truth.get("external") else []
        parts.append(law_card("True law", truth, extra="; ".join(known)) + "</div>")
    else:
        why = text(words.truth_words(m.law, m.generalization))
        parts.append(f'<div class="law"><h3>True law</h3><p class="note">{why}</p></div></div>')
    return "".join(parts) + f'<div class="tiles">{tiles(m)}</div>'


def _numbers(value) -> str:
    """A number or a vector; components that are rounding beside the largest are 0."""
    if not isinstance(value, list):
        return words.shown(value)
    largest = max(abs(v) for v in value)
    return f"({', '.join(words.shown(v if abs(v) > words.ROUNDING * largest else 0.0) for v in value)})"


def tiles(m: Material) -> str:
    """The headline numbers, each with what it is over."""
    verdict, out = m.law.get("verdict") or {}, []
    if verdict.get("relative_error_in_range") is not None:
        beyond = words.percent(verdict.get("relative_error_extrapolated"))
        # the force is cut off where the data end: beyond is closer in
        where = "closer than any of its pairs" if m.cut_off else "beyond the range of the data"
        out.append(
            tile(
                words.percent(verdict["relative_error_in_range"]),
                "off the true pair force, within range",
                f"{beyond} {where}",
            )
        )
    if "r2_all" in m.linear_fit:
        fit = m.linear_fit
        out.append(
            tile(
                words.r2_text(fit["r2_trim90"]),
                "R² of messages with true forces, best 90 % of edges",
                f"{words.r2_text(fit['r2_all'])} over all {fit['n_edges']:,} edges",
            )
        )
    sets = m.generalization.get("sets") or {}
    worst = worst_extrapolation(sets)
    for name, label in (("interpolation", "on new data like the training data"), (worst, LEAST)):
        if name in sets:
            one = sets[name]
            value = ratio_words(one).removesuffix(" smaller").removesuffix(" larger")
            kind = ratio_words(one).removeprefix(value).strip()
            if name != "interpolation":
                label = f"{label}: {name.replace('_', ' ')}"
            off = f"the network is off by {words.percent(one['gnn']['median_relative_error'])} (median)"
            what = f"{kind} error than the network’s, {label}" if kind else f"{label.replace(LEAST, UNLIKE)}; {off}"
            value = value.removesuffix(" to rounding")
            law_mae, gnn_mae = (words.shown(one[k]["mae"]) for k in ("law", "gnn"))
            note = f"MAE {law_mae} against {gnn_mae}, n {one['law']['n']:,}"
            out.append(tile(value, what, note))
    return "".join(out + parts.added("tiles", m))
