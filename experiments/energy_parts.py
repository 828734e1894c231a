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


def energies(stored: dict) -> str:
    """What networks of energies know of forces and energies, what rollouts keep, and the errors of Table 3."""
    found = stored["sections"]["hamiltonian"]["rows"]
    groups = _groups(found)
    own = {key: rows for key, rows in groups.items() if "potential_r2_all" in rows[0]}
    what = (
        "*Force*: minus the slope of the energies against the true pair force, nothing fitted. *Potential*, *kinetic"
        " term*: read from the energies before any refit and recovered; *its form*: the true form, constants within"
        " 1 %. *Drift*: of the true energy at the end of rollouts by the network, the median; of the network's own"
        " energy; of rollouts by an l1 network of the same recipe on the same data; of the law's energy, symplectic."
    )
    about = f"`python benchmarks/hamiltonian.py`. {of_rows(found, 'hamiltonian')}"
    return "\n\n".join([what, _known(own, groups), *_beside_table_3(own), about])


def _known(own: dict, groups: dict) -> str:
    """Forces, energies and drift, a line for every group of ``own``; drift of l1 from its ``groups``."""
    lines = []
    for (system, dim, variant, recipe, epochs), rows in own.items():
        other = [row for key, some in groups.items() if key[:4] == (system, dim, "l1", recipe) for row in some]
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
                shown(_median(other, "drift")),
                shown(_median(rows, "own_law")),
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
    head += ["kinetic term", "drift", "of its own energy", "drift of l1", "drift of the law", "most CPU-s"]
    return markdown(head, lines)


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
