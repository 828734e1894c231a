"""The parts of docs/halos.md, of results/halos.json (``benchmarks/halos.py``)."""

from page_stamps import made

from distill.files.storage import load_json
from distill.halos.told import tables
from distill.report.markdown import markdown
from distill.report.words import sentence
from distill.shell import paths

NONE = "Not measured yet: the boxes of these tables are still to be made (`python benchmarks/halos.py`)."


def rows() -> list[dict]:
    path = paths.ROOT / "results" / "halos.json"
    return load_json(path, "move it away")["sections"]["halos"]["rows"] if path.is_file() else []


def of(kinds: tuple[str, ...], table):
    """A part made by ``table`` of the rows, where there are any of these ``kinds``."""

    def part() -> str:
        found = rows()
        if not any(tables.of_kind(found, kind) for kind in kinds):
            return NONE
        told = [row for row in found if row["kind"] in kinds]
        command = f"`python benchmarks/halos.py`, {len(told)} cells."
        return f"{sentence(tables.OWN)}.\n\n{markdown(*table(found))}\n\n{command} {made(told, 'halos')}"

    return part


PARTS = {
    "halos-errors": of(("network", "formulas"), tables.errors),
    "halos-formulas": of(("network", "formulas"), tables.formulas),
    "halos-planted": of(("planted",), tables.planted),
    "halos-boxes": of(("box",), tables.boxes),
    "halos-step": of(("step",), tables.steps),
}
