"""The generated parts of README.md and of the pages in docs/: a function each, from the results to Markdown."""

import re
from functools import cache
from statistics import median

import argon_tables
import body_parts
import energy_parts
import evidence_parts
import fault_parts
import fluid_parts
import halo_parts
import own_data_parts
import page_code
import page_stamps
import recovery_parts
import scale_parts
import table_parts
from cells import PAIR_SYSTEMS, select
from table_cells import VARIANTS, Cells, load, r2

from distill.files.storage import load_json
from distill.network.recipes import PRIORS
from distill.report.markdown import markdown
from distill.shell import paths
from distill.shell.errors import UserError

RESULTS = paths.ROOT / "results"
CELLS, ARGON = RESULTS / "cells", RESULTS / "argon"


@cache
def results(file: str) -> dict:
    return load_json(RESULTS / f"{file}.json")


@cache
def committed(folder) -> Cells:
    return load(folder)


def value(file: str, path: str):
    """What ``results/FILE.json`` holds under ``path``: keys parted by "/", "key=value" for the entry of a list."""
    found = results(file)
    for key in path.split("/"):
        name, is_entry, wanted = key.partition("=")
        try:
            if isinstance(found, list):
                found = next(v for v in found if str(v[name]) == wanted) if is_entry else found[int(key)]
            else:
                found = found[key]
        except (KeyError, IndexError, ValueError, StopIteration):
            raise UserError(f"results/{file}.json holds no {path} (looked for {key})", "mend the mark") from None
    return found


def shown(found, form: str) -> str:
    """A value in Python's format; "commit" is its first digits, "law" a formula with few of them."""
    short = {"commit": lambda text: f"`{text[:7]}`", "law": lambda text: f"`{argon_tables.shorter(text)}`"}
    return short[form](found) if form in short else format(found, form)


# ---------------------------------------------------------------- recovery: how often is the law found


def counted(rows: list[dict], key: str) -> str:
    """ "found/tried" of those where it is known."""
    known = [bool(r[key]) for r in rows if r.get(key) is not None]
    return f"{sum(known)}/{len(known)}" if known else "–"


def of_benchmark(section: str, **where) -> list[dict]:
    """Rows of a section of the benchmark; none if it has not been measured."""
    if section not in value("recovery_pipeline", "sections"):
        return []
    rows = value("recovery_pipeline", f"sections/{section}/rows")
    return [r for r in rows if all(r[k] in (v if isinstance(v, tuple) else (v,)) for k, v in where.items())]


def of_cells(cells: Cells, **where) -> list[dict]:
    """Cells with a law as rows of the same kind."""
    chosen = [c for c in cells.contents if c["law"] and all(c[k] in v for k, v in where.items())]
    named = "system n dim seed recipe variant".split()
    return [
        c["law"]
        | {k: c[k] for k in named}
        | {"r2_all": c["fit"]["force"]["r2_all"], "date": c["date"]}
        | {k: c["git"].get(k) for k in ("commit", "dirty")}
        | {"law_over_gnn_mae": {k: s["law_over_gnn"] for k, s in (c["generalization"] or {}).items()}}
        for c in chosen
    ]


FOUR, HARD = ("spring", "r1", "r2", "charge"), ("damped", "discontinuous", "superposition")
VARIANTS_OF_ARGON = ("l1", "bottleneck", "kl", "pruning", "std", "standard")
NOISES = {"noise": "noise", "added-noise": "added noise"}  # section: in words
BEFORE = (
    "**Measured before the comparisons were made strong** (seeds {seeds}; {commits}), and to be replaced: the"
    " read-out of the messages saw accelerations, the verdict did not judge the closest distances, no untrained network"
    " and no splines stood beside it, and the control had two starting formulas, `0.1*r` and `0.1/r`. The paper recipe"
    " had at most an eightieth of the paper's budget: its row shows a network without the priors, not its best."
)


def lines_of_recovery() -> list[tuple[str, list[dict]]]:
    """The short table: the newton recipe by system, then the other rates, one line each; those measured alone."""
    lines = [(f"`{s}`", of_benchmark("newton", system=s)) for s in FOUR]
    lines.append(("the same four, `standard`", of_benchmark("standard")))
    lines += [(f"`{s}`", of_benchmark("hard", system=s)) for s in HARD]
    lines += [
        (f"the four, {100 * x:g} % {words}", of_benchmark(section, noise=x))
        for section, words in NOISES.items()
        for x in (0.01, 0.05)
    ]
    lines.append(("argon", of_benchmark("argon")))
    in_table = {"system": PAIR_SYSTEMS, "n": (4,), "tag": ("",), "variant": VARIANTS}
    lines.append(("the four, paper recipe", of_cells(committed(CELLS), recipe=("paper",), **in_table)))
    lines += [(f"argon, {k} recipe", of_cells(committed(ARGON), recipe=(k,))) for k in ("newton", "paper")]
    return [(label, rows) for label, rows in lines if rows]


def recovery() -> str:
    """The short table, of what was measured beside all rivals where that is there, and what else was measured beside
    the networks, in plain sentences.
    """
    lines = lines_of_recovery()
    rivals = [line for line in lines if recovery_parts.with_rivals(line[1])]
    said = evidence_parts.sentences(of_benchmark("newton"))
    return table_of_recovery(rivals or lines, interval=False) + (f"\n\n{said}" if said else "")


def table_of_recovery(lines, interval: bool, more=()) -> str:
    """The table with its legend, seeds and commits; what was measured without the rivals says so first."""
    columns = [recovery_parts.SIZE, recovery_parts.OF_PRIORS, recovery_parts.R2, recovery_parts.R2_SPLINES]
    columns += [*recovery_parts.verdicts(interval), *more, *recovery_parts.ERRORS]
    body, told = recovery_parts.table(lines, columns)
    rows = [r for _, part in lines for r in part]
    seeds = page_stamps.several(r["seed"] for r in rows)
    commits = page_stamps.commits(rows)
    about = [] if recovery_parts.with_rivals(rows) else [BEFORE.format(seeds=seeds, commits=commits)]
    where = [] if about else [f"Seeds {seeds}; {commits}."]
    intervals = ["Brackets: 95 % intervals in per cent that count data sets, not networks."] if interval else []
    return "\n\n".join([*about, body, " ".join(["Columns:", recovery_parts.legend(told), *intervals, *where])])


def recovery_in_full() -> str:
    """A line for every system, dimension and level of noise of the benchmark, with intervals; below it the lines of
    README.md that were measured without the rivals, where others were measured with them.
    """
    lines = [(f"{s}, {d}-D", of_benchmark("newton", system=s, dim=d)) for s in FOUR for d in (2, 3)]
    lines += [("all of `l1`, `bottleneck`, `pruning`", of_benchmark("newton"))]
    lines += [("`standard`, the same systems", of_benchmark("standard"))]
    lines += [(s, of_benchmark("hard", system=s)) for s in HARD]
    lines += [(f"argon, {v}", of_benchmark("argon", variant=v)) for v in VARIANTS_OF_ARGON]
    lines += [
        (f"{s}, 2-D, `l1`, {100 * x:g} % {words}", of_benchmark(section, system=s, noise=x))
        for section, words in NOISES.items()
        for x in (0.01, 0.05)
        for s in FOUR
    ]
    lines = [line for line in lines if line[1]]
    rivals = [line for line in lines if recovery_parts.with_rivals(line[1])]
    parts = [table_of_recovery(rivals, True, [recovery_parts.NETWORK, recovery_parts.COSTS])] if rivals else []
    before = [line for line in lines + lines_of_recovery() * bool(rivals) if not recovery_parts.with_rivals(line[1])]
    parts += [table_of_recovery(before, True)] if before else []
    parts += [constants] if (constants := recovery_parts.constants_of_argon(of_benchmark("argon"))) else []
    sections = value("recovery_pipeline", "sections")
    parts += [f"{name.capitalize()}: {one['note']}." for name, one in sections.items() if "note" in one]
    lacking = [f"`{name}`" for name in ("standard", "hard", *NOISES, "priors", "argon") if name not in sections]
    parts += [f"Not measured yet: {', '.join(lacking)}."] if lacking else []
    return "\n\n".join([*parts, made("recovery_pipeline", *(k for k in sections if k != "custom"))])


def without_priors() -> str:
    """What each prior of the newton recipe buys: the benchmark with one switched off at a time."""
    if not (rows := of_benchmark("priors")):
        return "## What the priors buy\n\nNot measured yet (`python benchmarks/recovery.py pipeline --matrix priors`)."
    lines = []
    for system in dict.fromkeys(r["system"] for r in rows):
        for name in dict.fromkeys(r["without"] for r in rows):
            part = [r for r in rows if (r["system"], r["without"]) == (system, name)]
            lines.append((f"`{system}`, " + PRIORS.get(name, name or "nothing"), part))
    body, told = recovery_parts.table(lines, recovery_parts.of_network())
    what = "The newton recipe with one of its priors switched off at a time, and with none of them, `l1`, 2-D."
    told = f"Columns: {recovery_parts.legend(told)}"
    return "\n\n".join(["## What the priors buy", what, body, told, made("recovery_pipeline", "priors")])


def made(file: str, *sections: str) -> str:
    """Seeds, machine, dates and commits of sections of a benchmark."""
    found = [value(file, f"sections/{s}") for s in sections]
    seeds = (seed for f in found for seed in f["arguments"].get("seeds") or [])
    return page_stamps.made((f | {"git": git} for f in found for git in commits_of(f)), file, seeds)


def commits_of(section: dict) -> list[dict]:
    """As ``git`` of a provenance, the commits of a section of a benchmark, whose cells may be of several."""
    if not (of := section.get("cells_made")):
        return [section["git"]]
    dirty = {str(one) for one in of.get("dirty", [])}
    changes = page_stamps.PARTLY if len(dirty) > 1 else "True" in dirty
    return [{"commit": one, "dirty": changes} for one in of["commit"]]


def near_misses() -> str:
    rates = value("recovery_near_misses", "sections/all/rates")
    columns = {
        "near_misses": "laws",
        "became_true": "now the true law",
        "true_called_recovered": "... called recovered",
        "true_trusted_without_truth": "... trusted without the truth",
        "wrong": "wrong",
        "wrong_called_recovered": "... called recovered",
        "wrong_predicting_as_well_as_network": "... predict as well as a network with 1 % error",
        "wrong_trusted_without_truth": "... trusted without the truth",
        "right": "right laws, respelt or refitted",
        "right_refused": "... refused",
    }
    lines = [
        [f"{kind}, {stage}", *(told(found[stage].get(k)) for k in columns)]
        for stage in ("given", "refitted")
        for kind, found in rates.items()
    ]
    return markdown(["fault, stage", *columns.values()], lines) + "\n\n" + made("recovery_near_misses", "all")


def told(found) -> str:
    return "–" if found is None else f"{found['successes']}" if isinstance(found, dict) else f"{found}"


def planted() -> str:
    rows = value("recovery_planted", "sections/operon/rows")
    lines = []
    for path, law in [(p, s) for p in ("components", "radial") for s in (*("spring", "r1", "r2", "charge"), None)]:
        part = [r for r in rows if r["path"] == path and law in (r["law"], None)]
        cpu, memory = median(r["cpu_s"] for r in part), max(r["peak_mb"] for r in part)
        what = {"components": "one message component", "radial": "radial force of mixed messages"}[path]
        lines.append([f"{what}, {law or 'all'}", counted(part, "chosen"), f"{cpu:.1f}", f"{memory:.0f}"])
    head = ["searched", "reported row is the planted law", "CPU-s a formula, median", "largest memory, MB"]
    return markdown(head, lines) + "\n\n" + made("recovery_planted", "operon")


# ---------------------------------------------------------------- single measurements


def short_training() -> str:
    """The paper recipe on a small budget: results/pipeline_paper.json."""
    lines = []
    for r in results("pipeline_paper")["rows"]:
        first, last = r["validation_mae_first_last"]
        pairs = [f"{r2(r[f'r2_trim90_{k}'])} / {r2(r[f'r2_all_{k}'])}" for k in ("force", "acceleration")]
        read_out = f"{r2(r['read_out_r2_trim90'])} ({r['read_out_gauge']})"
        lines.append([r["variant"], f"{first:.2f} → {last:.2f}", *pairs, read_out, f"{r['train_cpu_s']:.0f}"])
    head = "variant|validation MAE, first → last|R² with force, best 90 % / all|R² with F/m, best 90 % / all"
    return markdown([*head.split("|"), "R² of the read-out, best 90 % (gauge)", "training, CPU-s"], lines)


def once() -> str:
    lines = []
    for r in results("single_runs")["rows"]:
        when = f"{r['date']}, " + (f"`{r['commit']}`" if r["commit"] else "not recorded")
        lines.append([r["what"], f"`{r['command']}`", r["result"], when])
    return markdown(["what", "command", "result", "date, commit"], lines)


def pysr() -> str:
    found = results("pysr")

    def cost(row, engine):
        c = row[engine]
        return f"{c['cpu_s']} / {c['seconds']} / {c['peak_gb']}"

    lines = [[r["run"], cost(r, "pysr"), cost(r, "operon"), r["law"]] for r in found["rows"]]
    head = ["run", "PySR: CPU-s / s / GB", "operon: CPU-s / s / GB", "law"]
    versions = ", ".join(f"{k} {v}" for k, v in found["versions"].items())
    where = f"{found['source']} Commit `{found['commit']}`; date {found['date']}."
    told = [f"{found['arguments']} {found['notes']}", f"Versions: {versions}. {found['versions_note']} {where}"]
    return "\n\n".join([markdown(head, lines), *told, f"Not verified: {found['not_verified']}"])


def demo() -> str:
    """The commands of ``make demo`` and the last line that each printed."""
    found = results("demo")
    lines = [line for step in found["steps"] for line in (f"$ {step['command']}", *step["last_lines"])]
    run = found["steps"][-1]["command"].split()[-1]
    return "\n".join(["```", *(line.replace(run, "…") for line in lines), "```"])


# ---------------------------------------------------------------- speed


def speed(section: str) -> str:
    found = value("speed", f"sections/{section}")
    met = {True: "yes", False: "**no**", None: "–"}
    bars = [[b["what"], str(b["measured"]), str(b["wanted"]), met[b["met"]]] for b in found["bars"]]
    table = re.sub(r"(?<=\|) - (?=\|)", " – ", found["table"])
    return "\n\n".join([table, markdown(["bar", "measured", "wanted", "met"], bars), made("speed", section)])


PAPER_GRAPHS = 64_000_000  # of a training of the paper: 200 epochs of 5,000 batches of 64
PAPER_VARIANTS = ("standard", "bottleneck", "l1", "kl", "pruning")


def newest_first(checks: list[dict]) -> list[dict]:
    """Checks of captured and stacked steps by date; of a day that of the fewest steps, which decides most, first."""
    return sorted(sorted(checks, key=lambda w: w["steps"]), key=lambda w: w["date"], reverse=True)


def commit_of(check: dict) -> str:
    """That of a check; before ``git`` was kept by it, the note said whether files had been changed."""
    git = check.get("git") or {"commit": check.get("commit"), "dirty": check.get("note", "").startswith("with ")}
    return page_stamps.commit(git)


def left_tolerance(check: dict) -> str:
    """How many comparisons of a check did, in words."""
    judged = [r for r in check["rows"] if "passed" in r]
    errors = sum("error" in r for r in judged)
    told = f"{sum(not r['passed'] for r in judged)} of {len(judged)}"
    return told + (f" ({errors} by an error in the step)" if errors else "")


def of_itself(check: dict) -> list[float]:
    """By how much repeats of the same plain training differ."""
    return [r["relative_difference"] for r in check["rows"] if r["what"].endswith("again")]


def number(row: dict, key: str, form: str) -> str:
    return "–" if row.get(key) is None else format(row[key], form)


def rate(row: dict) -> str:
    """Millions of graphs a second of a row of the benchmark, and how."""
    how = f"{row['precision']}, batch {row['batch']}" + (", captured" if row["captured"] else "")
    return f"{row['per_s'] / 1e6:.3g} ({how})"


def gpu() -> str:
    """What a GPU gives, and what every check of it did not pass, in a few lines of README.md."""
    rows = value("speed", "sections/gpu/rows")
    best = max(rows, key=lambda r: r["per_s"])
    alone = [r for r in rows if (r["precision"], r["batch"], r["stack"], r["captured"]) == ("float32", 64, 1, True)]
    told = [
        f"**A GPU**: `--device cuda`. One {value('speed', 'sections/gpu/device')} took the paper's network through "
        + " and ".join(rate(r) for r in [best, *alone])
        + " million graphs a second."
    ]
    checks = [
        f"{left_tolerance(c)} after {c['steps']} steps ({c['device']}, {c['date']}, {commit_of(c)}"
        + (", where plain training leaves it too)" if max(of_itself(c), default=0) > c["tolerance"] else ")")
        for c in newest_first(results("gpu")["weights"])
    ]
    told.append(
        "Captured steps and stacked networks are **experimental, and on by default on a GPU**; `--no-capture --stack"
        " off` switches them off. Comparisons with plain training that left the tolerance: "
        + ("; ".join(checks) or "none was made")
        + " ([docs/speed.md](docs/speed.md#on-a-gpu))."
    )
    networks = [c for c in results("gpu")["cells"] if c.get("graphs_seen") == PAPER_GRAPHS]
    if networks:
        stacked = sum((c.get("stacked_runs") or 1) > 1 for c in networks)
        found = [
            f"{c['system']} {c['variant']} {number(c, 'r2_trim90', '.3f')}"
            f", {number(c, 'r2_trim90_acceleration', '.4f')}"
            for c in networks
        ]
        told.append(
            f"After the paper's {PAPER_GRAPHS / 1e6:.0f} million graphs in the paper's recipe, in batches of 64"
            + (f" ({stacked} of {len(networks)} networks stacked)" if stacked else "")
            + ", R² of the messages on 90 % of the edges, against forces and against forces over m_i (–: not kept): "
            + f"{'; '.join(found)}."
        )
    return "\n".join(told)


def gpu_check() -> str:
    """Captured and stacked steps against plain ones, and the networks that saw as many graphs as the paper's."""
    checks, parts = newest_first(results("gpu")["weights"]), []
    verdict = {True: "yes", False: "**no**", None: "–"}
    if checks:
        last = checks[0]
        lines = [[r["what"], number(r, "relative_difference", ".1e"), verdict[r.get("passed")]] for r in last["rows"]]
        every = [
            [c["device"], c["torch"], c["date"], commit_of(c), str(c["steps"]), left_tolerance(c)]
            + [f"{min(of_itself(c)):.1g} to {max(of_itself(c)):.1g}", c.get("note", "–")]
            for c in checks
        ]
        head = ["card", "torch", "date", "commit", "steps", "left the tolerance", "plain training from itself", "note"]
        parts = [
            f"{last['what'][0].upper()}{last['what'][1:]}: {last['steps']} steps in {last['precision']}, batch "
            f"{last['batch']}, tolerance {last['tolerance']:g}. The newest check, {last['device']}, {last['date']}:",
            markdown(["trained in two ways", "difference", "within the tolerance"], lines),
            "Every check:",
            markdown(head, every),
        ]
    columns = {"graphs_seen": ",", "validation_mae": ".3g", "r2_all": ".3f", "r2_trim90": ".3f"}
    columns |= {"r2_trim90_acceleration": ".4f", "read_out_r2_all": ".4f"}
    cells = results("gpu")["cells"]
    networks = [[r["run"], *(number(r, k, form) for k, form in columns.items())] for r in cells]
    head = ["network", "graphs seen", "validation error", "R² all edges", "trimmed 90 %", "against F/m_i, trimmed"]
    parts += [markdown([*head, "read-out, all edges"], networks)] if networks else []
    there = {(c["variant"], c["system"]) for c in cells if c.get("graphs_seen") == PAPER_GRAPHS}
    lacking = {v: [s for s in FOUR if (v, s) not in there] for v in PAPER_VARIANTS}
    told = "; ".join(f"{v} of {', '.join(systems)}" for v, systems in lacking.items() if systems)
    without = f" Not measured on the paper's budget, of four particles in 2-D: {told}." if told else ""
    return "\n\n".join([*parts, f"`benchmarks/gpu.sh`; –: not kept.{without}"])


def tasks() -> str:
    """What each change of the code touches: results/extending.json, counted in copies."""
    found = results("extending")
    head = ["task", "files to touch", "files", "guesses", f"files, guesses at `{found['before']}`", "checked by"]
    lines = []
    for r in found["rows"]:
        files = ", ".join([f"`{f}`" for f in r["files"]] + [f"`{f}` (new)" for f in r["new"]]) or "none"
        lines.append(
            [r["task"], files, str(len(r["files"] + r["new"])), str(r["guesses"]), r["before"] or "–", r["check"]]
        )
    what = f"{found['what'][0].upper()}{found['what'][1:]}. {found['date']}, commit `{found['commit']}`."
    return f"{markdown(head, lines)}\n\n{what}"


# ---------------------------------------------------------------- the published tables, argon


def of_argon(cells: Cells) -> bool:
    return all(c["system"] == "lj" for c in cells.contents)


def missing(cells: Cells) -> list[str]:
    planned = select(["argon"]) if of_argon(cells) else select()
    return sorted(set(planned) - {c["run"] for c in cells.contents})


def page_of(cells: Cells) -> str:
    """The page of a folder of cells: argon's or that of the published tables."""
    return (argon_tables if of_argon(cells) else table_parts).page(cells, missing(cells)).rstrip()


PARTS = {
    "recovery": recovery,
    "recovery-in-full": recovery_in_full,
    "priors": without_priors,
    "splines": evidence_parts.of("splines", evidence_parts.splines),
    "nonlinear": evidence_parts.of("nonlinear", evidence_parts.nonlinear),
    "masses": evidence_parts.of("masses", evidence_parts.masses),
    "tracks": evidence_parts.of("tracks", own_data_parts.tracks),
    "units": evidence_parts.of("units", own_data_parts.units),
    "coverage": evidence_parts.of("coverage", own_data_parts.coverage),
    "outside": evidence_parts.of("outside", own_data_parts.outside),
    "terms": evidence_parts.of("terms", own_data_parts.terms),
    "solar-system": evidence_parts.of("solar_system", body_parts.solar_system),
    "bodies": evidence_parts.of("bodies", body_parts.bodies),
    "bodies-network": evidence_parts.of("bodies_network", body_parts.network, "Not measured yet."),
    "dusty-plasma": evidence_parts.of("dusty_plasma", body_parts.dusty, "Not measured yet."),
    "energies": evidence_parts.of("hamiltonian", energy_parts.energies, "Not measured yet."),
    "fluid-memory": evidence_parts.of("fluid_memory", fluid_parts.memory, "Not measured yet."),
    "faults": evidence_parts.of("faults", fault_parts.faults),
    "residual-test": evidence_parts.of("residual_test", evidence_parts.residual_test),
    "near-misses": near_misses,
    "planted": planted,
    "short-training": short_training,
    "single-runs": once,
    "pysr": pysr,
    "demo": demo,
    "gpu": gpu,
    "gpu-check": gpu_check,
    "tables": lambda: page_of(committed(CELLS)),
    "argon": lambda: page_of(committed(ARGON)),
    "systems": page_code.systems,
    "arrays": page_code.arrays,
    "json": page_code.json_files,
    "tasks": tasks,
    **halo_parts.PARTS,
    **scale_parts.PARTS,
} | {
    f"speed-{section.replace(', ', '-').replace(' ', '-')}": lambda section=section: speed(section)
    for section in results("speed")["sections"]
}
