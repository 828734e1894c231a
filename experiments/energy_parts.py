"""The measured part of docs/hamiltonian.md: ``benchmarks/hamiltonian.py``."""

from statistics import median

from evidence_parts import below_one
from own_data_parts import of_rows

from distill.report.markdown import markdown, shown

SUMS = {"mae_component": "components", "mae_particle": "particles", "mae_graph": "graphs"}


def _median(rows: list[dict], key: str) -> float | None:
    known = [row[key] for row in rows if row.get(key) is not None]
    return median(known) if known else None


def _count(rows: list[dict], key: str) -> str:
    known = [row[key] for row in rows if row.get(key) is not None]
    return f"{sum(known)}/{len(known)}" if known else "–"


def _groups(rows: list[dict]) -> dict:
    """(system, dim, variant, recipe, epochs) -> its finished rows."""
    out: dict = {}
    for row in rows:
        if "run" in row:
            out.setdefault(tuple(row[k] for k in ("system", "dim", "variant", "recipe", "trained_epochs")), []).append(
                row
            )
    return out


def _name(system: str, dim: int, variant: str) -> str:
    return f"{system}, {dim}-D" + ("" if variant == "hamiltonian" else f", {variant}")


FLUIDS = ("lj", "kob_andersen")


def energies(stored: dict) -> str:
    """What networks of energies know of forces and energies, what rollouts keep, and the errors of Table 3."""
    found = stored["sections"]["hamiltonian"]["rows"]
    groups = _groups(found)
    own = {key: rows for key, rows in groups.items() if "potential_r2_all" in rows[0]}
    few = {key: rows for key, rows in own.items() if key[0] not in FLUIDS}
    what = (
        "*Force*: minus the slope of the energies against the true pair force, nothing fitted. *Potential*, *kinetic"
        " term*: read from the energies before any refit and recovered; *its form*: the true form, constants within"
        " 1 %. *Drift*: of the true energy at the end of rollouts by the network, the median; of the network's own"
        " energy; of rollouts by an l1 network of the same recipe on the same data; of the law's energy, symplectic."
        " *Speed*: graphs a second in the training over those of that l1 network, median."
    )
    about = f"`python benchmarks/hamiltonian.py`. {of_rows(found, 'hamiltonian')}"
    parts = [what, _known(few, groups), _in_all(few, groups), *_read(own), *_fluids(own), *_beside_table_3(own)]
    return "\n\n".join([*filter(None, parts), about])


def _beside(key: tuple, groups: dict) -> list[dict]:
    """Rows of l1 networks of the same recipe on the data of a group."""
    system, dim, _, recipe, _ = key
    return [row for k, some in groups.items() if k[:4] == (system, dim, "l1", recipe) for row in some]


def _over(rows: list[dict], others: list[dict], key: str, own: str) -> list[float]:
    """``own`` of rows over ``key`` of those of ``others`` with the same data."""
    known = {row["seed"]: row.get(key) for row in others}
    return [row[own] / known[row["seed"]] for row in rows if known.get(row["seed"]) and row.get(own) is not None]


def _known(own: dict, groups: dict) -> str:
    """Forces, energies, drift and speed, a line for every group of ``own``; those of l1 from its ``groups``."""
    lines = []
    for key, rows in own.items():
        (system, dim, variant, _, epochs), others = key, _beside(key, groups)
        speeds = _over(rows, others, "graphs_a_second", "graphs_a_second")
        lines.append(
            [
                _name(system, dim, variant),
                f"{epochs:g}",
                str(len(rows)),
                below_one(median(r["force_r2_trim90"] for r in rows)),
                below_one(min(r["force_r2_all"] for r in rows)),
                _count(rows, "potential_recovered"),
                _count(rows, "potential_form"),
                _count(rows, "kinetic_recovered"),
                shown(_median(rows, "drift_gnn")),
                shown(_median(rows, "own_gnn")),
                shown(_median(others, "drift")),
                shown(_median(rows, "own_law")),
                shown(median(speeds)) if speeds else "–",
                f"{max(r['cpu_seconds'] for r in rows):.0f}",
            ]
        )
    head = [
        "",
        "epochs",
        "data sets",
        "R² of the force, best 90 %, median",
        "all pairs, worst",
        "potential",
        "its form",
    ]
    head += ["kinetic term", "drift", "of its own energy", "drift of l1", "drift of the law", "speed", "most CPU-s"]
    return markdown(head, lines)


def _in_all(own: dict, groups: dict) -> str:
    """Counts over the systems that an l1 network was trained on too."""
    both = {key: rows for key, rows in own.items() if _beside(key, groups)}
    rows = [row for some in both.values() for row in some]
    if not rows:
        return ""
    drifts = [x for key, some in both.items() for x in _over(some, _beside(key, groups), "drift", "drift_gnn")]
    counts = ", ".join(
        f"{name} {_count(rows, key)}"
        for name, key in (
            ("the force", "force_recovered"),
            ("the potential", "potential_recovered"),
            ("its form", "potential_form"),
            ("the kinetic term", "kinetic_recovered"),
            ("after the refit, the force", "recovered"),
        )
    )
    data = {(*key[:2], row["seed"]) for key, some in both.items() for row in some}
    systems = len({key[:2] for key in both})
    said = f"**{len(rows)} networks on {len(data)} data sets** of {systems} systems that l1 learnt too: {counts}."
    if drifts:
        said += f" The network's rollouts drift {shown(median(drifts))} times as much as those of l1, the median."
    return said


def _read(own: dict) -> list[str]:
    """The formulas that were read before any refit, of the first data set of every group."""
    lines = []
    for key, rows in own.items():
        first = min(rows, key=lambda row: row["seed"])
        if first.get("potential"):
            lines.append([_name(*key[:3]), f"`{first['potential']}`", f"`{first.get('kinetic', '–')}`"])
    if not lines:
        return []
    what = (
        "Read from the energies before any refit, on the first data set of each. A message H_pair holds half the"
        " potential of a pair, and an offset that forces do not know. The paper reads, for charge, H_pair ="
        " .0019 q1 q2/r - .0112 - .00143 q1 - .00112 q1 q2, whose last three terms are such offsets, and does not say"
        " what .0019 is in units of the true 1/2."
    )
    return [what, markdown(["", "potential of a pair", "kinetic term"], lines)]


def _fluids(own: dict) -> list[str]:
    """Constants of fluids, a line for every data set."""
    lines = [
        [
            f"{key[0].replace('_', ' ')}, {row['seed']}",
            below_one(row["force_r2_trim90"]),
            below_one(row["force_r2_all"]),
            *("–" if row.get(k) is None else "yes" if row[k] else "no" for k in ("force_form", "recovered")),
            *(percent(row.get(k)) for k in ("read_sigma_off", "read_epsilon_off", "sigma_off", "epsilon_off")),
            f"{row['cpu_seconds']:.0f}",
        ]
        for key, rows in own.items()
        if key[0] in FLUIDS
        for row in rows
    ]
    if not lines:
        return []
    head = ["", "R² of the force, best 90 %", "all pairs", "form before the refit", "law after it"]
    head += ["sigma off", "epsilon off", "sigma off, refitted", "epsilon off, refitted", "CPU-s"]
    what = "Fluids, 250 particles in a periodic box; sigma and epsilon are those of the pair of species that is worst."
    return [what, markdown(head, lines)]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2g} %"


def _beside_table_3(own: dict) -> list[str]:
    """Errors of accelerations beside those that were published, or nothing."""
    compared = {key: rows for key, rows in own.items() if rows[0].get("published") is not None}
    if not compared:
        return []
    lines = [
        [_name(*key[:3]), f"{rows[0]['published']:g}", *(shown(_median(rows, of)) for of in SUMS)]
        for key, rows in compared.items()
    ]
    below = "; ".join(
        f"over {label} {sum(_median(rows, key) < rows[0]['published'] for rows in compared.values())}"
        for key, label in SUMS.items()
    )
    return [
        "Absolute errors of accelerations on test data beside Table 3 of Cranmer et al. 2020, medians over data"
        " sets. The paper does not say over what its error is summed, so it stands beside all three sums.",
        markdown(["", "FlatHGN, as published", *(f"ours: {label}" for label in SUMS.values())], lines),
        f"Below the published error, of {len(compared)} rows: {below}.",
    ]
