"""The measured part of docs/hamiltonian.md: ``benchmarks/hamiltonian.py``."""

import re
from statistics import median

from evidence_parts import below_one
from own_data_parts import of_rows

from distill.files.properties import OF_LEVEL, VARIABLES
from distill.network.variants import VARIANTS
from distill.physics.law import words_by_case
from distill.report.markdown import markdown, shown

SUMS = {"mae_component": "components", "mae_particle": "particles", "mae_graph": "graphs"}
FLUIDS = ("lj", "kob_andersen")
VERDICTS = ("force_form", "recovered", "splines_recovered", "control_recovered")
GROUP = ("system", "dim", "variant", "recipe", "trained_epochs", "silent_start")
SAME = ("system", "dim", "recipe", "seed", "epochs", "rollouts")  # of an l1 network beside one of energies
Beside = list[tuple[dict, dict | None]]  # rows of networks of energies, each with that of its l1 network


def _median(rows: list[dict], key: str) -> float | None:
    known = [row[key] for row in rows if row.get(key) is not None]
    return median(known) if known else None


def _count(rows: list[dict], key: str) -> str:
    known = [row[key] for row in rows if row.get(key) is not None]
    return f"{sum(known)}/{len(known)}" if known else "–"


def _groups(rows: list[dict]) -> dict:
    """``GROUP`` -> finished rows of networks of energies."""
    out: dict = {}
    for row in rows:
        if "run" in row and VARIANTS[row["variant"]].network == "hamiltonian":
            row = {"silent_start": False} | row  # rows from before there was another
            out.setdefault(tuple(row[k] for k in GROUP), []).append(row)
    return out


def _name(key: tuple) -> str:
    system, dim, variant, recipe, epochs, silent = key
    parts = [system.replace("_", " "), f"{dim}-D", *([variant] if variant != "hamiltonian" else [])]
    told = [f"{epochs:g} epochs", *(["usual start"] if recipe == "newton" and not silent else [])]
    return ", ".join([*parts, *([recipe] if recipe != "newton" else []), *told])


def energies(stored: dict) -> str:
    """What networks of energies know of forces and energies, what rollouts keep, and the errors of Table 3."""
    found = stored["sections"]["hamiltonian"]["rows"]
    own = _groups(found)
    few = {key: rows for key, rows in own.items() if key[0] not in FLUIDS}
    beside = {key: _beside(rows, found) for key, rows in few.items()}
    about = f"`python benchmarks/hamiltonian.py`. {of_rows(found, 'hamiltonian')}"
    parts = [*_known(few), *_kept(beside), _in_all(beside), *_read(own), *_fluids(own), *_beside_table_3(own)]
    return "\n\n".join([*filter(None, parts), about])


def _known(own: dict) -> list[str]:
    """Forces and energies, a line for every group."""
    what = (
        "**Forces and energies.** *Force*: F_ij against the true pair force, nothing fitted. *Potential*: the form that"
        " was searched in the energies of pairs, its constants fitted through its slope to the network's own F_ij and"
        " their sums over senders. *As searched*: the formula of that search as it stands, nothing fitted, judged by"
        " minus its slope. Both are read before any refit on data. *Its form*: the true form, constants within 1 %."
    )
    lines = [
        [
            _name(key),
            str(len(rows)),
            below_one(median(r["force_r2_trim90"] for r in rows)),
            below_one(min(r["force_r2_all"] for r in rows)),
            *(_count(rows, f"{of}_{which}") for of in ("potential", "searched") for which in ("recovered", "form")),
            _count(rows, "kinetic_recovered"),
        ]
        for key, rows in own.items()
    ]
    head = ["", "data sets", "R² of the force, best 90 %, median", "all pairs, worst"]
    head += ["potential", "its form", "as searched", "its form", "kinetic term"]
    return [what, markdown(head, lines)] if lines else []


def _beside(rows: list[dict], found: list[dict]) -> Beside:
    """``rows``, each with that of the l1 network that is the ``SAME`` in all else, None where there is none."""
    known = {tuple(r.get(k) for k in SAME): r for r in found if "run" in r and r["variant"] == "l1"}
    return [(row, known.get(tuple(row.get(k) for k in SAME))) for row in rows]


def _over(pairs: Beside, own: str, other: str) -> list[float]:
    """``own`` of networks of energies over ``other`` of their l1 networks."""
    return [row[own] / l1[other] for row, l1 in pairs if l1 and l1.get(other) and row.get(own) is not None]


def _kept(beside: dict) -> list[str]:
    """Drift of the true energy, speed and seconds, a line for every group."""
    what = (
        "**Rollouts and cost.** *Drift*: of the TRUE energy at the end of rollouts, the median over starts, then over"
        " data sets; by DOP853 at a relative tolerance of 1e-6 for the network and for l1 alike, and by the symplectic"
        " method, which l1 has not. *l1*: the network of messages by the same recipe on the same data that was asked"
        " for as many epochs; where none were asked for, each has those that the recipe has for it; in brackets, on how"
        " many of the data sets, where not on all. *Speed*: graphs a"
        " second in the training without the polish over those of l1, the median. *CPU-s*: of the training without the"
        " polish, and of the polish, where both together are most."
    )
    lines = []
    for key, pairs in beside.items():
        rows, others = [row for row, _ in pairs], [l1 for _, l1 in pairs if l1]
        speeds = _over(pairs, "graphs_a_second", "graphs_a_second")
        lines.append(
            [
                _name(key),
                ", ".join(f"{k:g}" for k in sorted({l1["trained_epochs"] for l1 in others})) or "–",
                *(shown(_median(rows, k)) for k in ("drift", "drift_gnn")),
                shown(_median(others, "drift")) + _of(others, rows),
                shown(_median(rows, "drift_law")),
                shown(median(speeds)) if speeds else "–",
                _seconds(max(rows, key=lambda row: row["cpu_seconds"])),
            ]
        )
    head = ["", "epochs of l1", "drift, DOP853", "drift, symplectic", "drift of l1, DOP853"]
    head += ["drift of the law, symplectic", "speed", "CPU-s: training, polish"]
    return [what, markdown(head, lines)] if lines else []


def _of(some: list, every: list) -> str:
    return f" ({len(some)} of {len(every)})" if 0 < len(some) < len(every) else ""


def _seconds(row: dict) -> str:
    polish = row["polish_cpu_seconds"]
    return f"{row['cpu_seconds'] - polish:.0f}, {polish:.0f}"


def _in_all(beside: dict) -> str:
    """Counts over the data that an l1 network was trained on too."""
    pairs = [(row, l1) for some in beside.values() for row, l1 in some if l1]
    rows = [row for row, _ in pairs]
    if not rows:
        return ""
    counts = ", ".join(
        f"{name} {_count(rows, key)}"
        for name, key in (
            ("the force", "force_recovered"),
            ("the potential", "potential_recovered"),
            ("its form", "potential_form"),
            ("the potential as searched", "searched_recovered"),
            ("its form", "searched_form"),
            ("the kinetic term", "kinetic_recovered"),
            ("after the refit, the force", "recovered"),
        )
    )
    data = {(row["system"], row["dim"], row["seed"]) for row in rows}
    systems = len({key[:2] for key in data})
    said = f"**{len(rows)} networks on {len(data)} data sets** of {systems} systems that l1 learnt too: {counts}."
    if drifts := _over(pairs, "drift", "drift"):
        said += f" By DOP853 their rollouts drift {shown(median(drifts))} times as much as those of l1, the median."
    if drifts := _over(pairs, "drift_gnn", "drift"):
        said += f" By the symplectic method it is {shown(median(drifts))} times what l1 drifts by DOP853."
    return said


def _read(own: dict) -> list[str]:
    """The formulas that were read before any refit, of the first data set of every group."""
    lines = []
    for key, rows in own.items():
        first = min(rows, key=lambda row: row["seed"])
        if first.get("potential"):
            told = (first.get(name) for name in ("potential", "searched", "kinetic"))
            lines.append([_name(key), *map(_pair_by_pair, told)])
    if not lines:
        return []
    what = (
        "**Formulas**, read before any refit on data, on the first data set of each: the potential with constants from"
        " slopes (as searched, where no formula has that slope), then the potential and the kinetic term as they were"
        " searched."
    )
    head = ["", "potential of a pair, constants from slopes", "as searched", "kinetic term, as searched"]
    return [what, markdown(head, lines)]


def _pair_by_pair(text: str | None) -> str:
    """A formula of the energy of a pair, or what it is for every pair of species."""
    if not text:
        return "–"
    species = sorted(set(re.findall(rf"\w+{OF_LEVEL}\w+_[ij]\b", text)))
    lines = words_by_case(text, (*VARIABLES, *species), "V") if species else [text]
    return "<br>".join(f"`{line}`" for line in lines)


def _fluids(own: dict) -> list[str]:
    """Constants of fluids, a line for every data set."""
    lines = [
        [
            f"{key[0].replace('_', ' ')}, {row['seed']}",
            below_one(row["force_r2_trim90"]),
            below_one(row["force_r2_all"]),
            *("–" if row.get(k) is None else "yes" if row[k] else "no" for k in VERDICTS),
            *(percent(row.get(k)) for k in ("read_sigma_off", "read_epsilon_off", "sigma_off", "epsilon_off")),
            _seconds(row),
        ]
        for key, rows in own.items()
        if key[0] in FLUIDS
        for row in rows
    ]
    if not lines:
        return []
    head = ["", "R² of the force, best 90 %", "all pairs", "form before the refit", "law after it"]
    head += ["law of the splines", "of the control"]
    head += ["sigma off", "epsilon off", "sigma off, refitted", "epsilon off, refitted", "CPU-s: training, polish"]
    what = (
        "**Fluids**, 250 particles in a periodic box; sigma and epsilon are those of the pair of species that is worst."
        " Accelerations have no noise here: whoever finds the forms finds the constants, so that columns after the"
        " refit say which forms were found. What the network knew stands before it. *Splines*, *control*: what is found"
        " on the same data without a network."
    )
    return [what, markdown(head, lines)]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2g} %"


def _beside_table_3(own: dict) -> list[str]:
    """Errors of accelerations beside those that were published, or nothing."""
    compared = {key: rows for key, rows in own.items() if rows[0].get("published") is not None}
    if not compared:
        return []
    lines = [
        [_name(key), f"{rows[0]['published']:g}", *(shown(_median(rows, of)) for of in SUMS)]
        for key, rows in compared.items()
    ]
    below = "; ".join(
        f"over {label} {sum(_median(rows, key) < rows[0]['published'] for rows in compared.values())}"
        for key, label in SUMS.items()
    )
    return [
        "**Errors of accelerations** on test data beside Table 3 of Cranmer et al. 2020, absolute, medians over data"
        " sets. The paper does not say over what its error is summed, so it stands beside all three sums.",
        markdown(["", "FlatHGN, as published", *(f"ours: {label}" for label in SUMS.values())], lines),
        f"Below the published error, of {len(compared)} rows: {below}.",
    ]
