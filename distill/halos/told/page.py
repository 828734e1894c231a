"""The report of what was measured of haloes: one page that loads nothing from elsewhere."""

import io
import re
from collections.abc import Sequence

from distill.halos.told import figures, tables
from distill.report.page import image, page, section, table, text
from distill.report.words import sentence

METHOD = (
    "The overdensity of dark matter in spheres of 20 Mpc/h around every halo, learnt from the haloes within 50 Mpc/h by"
    " a graph network, whose messages are searched for a formula; its constants are then fitted to the overdensities"
    " themselves. Errors are mean absolute ones, averaged over boxes, with the standard error of that mean."
)


def report(rows: Sequence[dict]) -> str:
    """HTML of the results' rows."""
    parts = []
    if tables.of_kind(rows, "network") or tables.of_kind(rows, "formulas"):
        parts.append(("Errors", made(tables.errors(rows))))
        parts.append(("Formulas", made(tables.formulas(rows))))
    if tables.of_kind(rows, "planted"):
        parts.append(("Planted catalogues, whose law is known", made(tables.planted(rows))))
    if tables.of_kind(rows, "box"):
        drawn = ""
        for setting, some in tables.by_setting(rows, "box").items():
            content = io.BytesIO()
            figures.of_boxes(some).savefig(content, format="png", dpi=160)
            told = f"{tables.OWN}: {setting}" if setting else tables.OWN
            told += f". n = {len(some)} boxes. Left: power spectrum over theory (no unit) against k in h/Mpc;"
            told += " right: number of haloes in a box and bin of mass, in Msun/h."
            drawn += image(content.getvalue(), "power spectra and mass functions", text(told))
        parts.append(("The boxes", drawn + made(tables.boxes(rows))))
    failed = [f"{r['kind']} {r['name']} {r['recipe']} {r['hold']}: {r['error']}" for r in rows if "error" in r]
    if failed:
        parts.append(("Cells without a result", "".join(f"<p>{text(one)}</p>" for one in failed)))
    body = f"<header><h1>Haloes</h1><p>{text(sentence(tables.OWN))}. {text(METHOD)}</p></header>"
    return page("Haloes", body + "".join(section(k, *part) for k, part in enumerate(parts, 1)))


def made(found: tuple[list[str], list[list[str]]]) -> str:
    head, lines = found
    return table([text(h) for h in head], [[_cell(c) for c in line] for line in lines])


def _cell(content: str) -> str:
    return re.sub(r"`(.*?)`", r"<code>\1</code>", text(content))
