"""The committed cells and how numbers are drawn from them: medians over seeds, and their text in Markdown."""

from functools import reduce
from operator import getitem
from pathlib import Path
from statistics import median

from cells import ALL_SYSTEMS, PAIR_SYSTEMS, VARIANTS
from page_stamps import several
from published import TABLES

from distill.files.storage import load_json
from distill.network.recipes import PRIORS
from distill.pipeline.runs.cells import Cell
from distill.shell.errors import UserError
from distill.shell.paths import relative

ROWS = [(system, dim) for system in PAIR_SYSTEMS for dim in (2, 3)]
ROWS_OF_ERRORS = [(system, dim) for system in ALL_SYSTEMS for dim in (2, 3)]
SHORT = {"force": "F", "acceleration": "F/m", "charge_force": "qF"}
TRIMMED = ("messages", "r2", "force", "trimmed", "r2")
ORDER = (
    "Entries: {} · paper recipe here (a network without priors) · newton recipe here (with its priors), median over"
    " seeds. –: not published, or not run."
)
BOUGHT = (
    "**What the newton columns measure.** The paper recipe is the network without priors. The newton recipe knows "
    f"beforehand: {', '.join(PRIORS.values())}. Its R² is bought by these, and is no reproduction of the paper's: the "
    "paper's numbers belong beside the paper recipe's."
)


class Cells:
    """All cells in a folder, found by what they are."""

    def __init__(self, contents: list[dict]):
        self.contents = contents
        self._found: dict = {}
        for c in contents:
            key = tuple(c[k] for k in ("system", "dim", "n", "variant", "recipe", "tag"))
            self._found.setdefault(key, []).append(c)

    def get(self, system, dim, variant, recipe, n=4, tag="") -> list[dict]:
        """The cells of all seeds, ordered by seed."""
        return sorted(self._found.get((system, dim, n, variant, recipe, tag), []), key=lambda c: c["seed"])

    def values(self, path, *where, **also) -> list:
        """The entry ``path`` (keys one within the other) of every seed."""
        return [reduce(getitem, path, c) for c in self.get(*where, **also)]

    def median(self, path, *where, **also) -> float | None:
        """Median over seeds of a number, or of each of a list's; None if there is no cell."""
        values = self.values(path, *where, **also)
        if not values:
            return None
        if isinstance(values[0], list):
            return [median(v) for v in zip(*values, strict=True)]
        return median(values)

    def beside(self, published, path, *where, text=None, **also) -> str:
        """ "published · paper recipe here · newton recipe here" of the entry ``path``, medians over seeds."""
        ours = [self.median(path, *where, recipe, **also) for recipe in ("paper", "newton")]
        return " · ".join((text or r2)(v) for v in (published, *ours))

    def of(self, cells: list[Cell]) -> list[dict]:
        """Those of the cells planned that are there."""
        wanted = {c.run for c in cells}
        return [c for c in self.contents if c["run"] in wanted]


def load(folder: Path) -> Cells:
    """``UserError`` if the folder holds no cell or a damaged one."""
    paths = sorted(Path(folder).glob("*.json"))
    contents = [load_json(path) for path in paths]
    for path, content in zip(paths, contents, strict=True):
        if content.get("stage") != "evaluate" or content.get("run") != path.stem:
            raise UserError(
                f"{relative(path)} is not the cell of a run of that name",
                f"remove it and run  make tables  (stage {content.get('stage')})",
            )
    if not contents:
        raise UserError(f"{relative(folder)} holds no cells", "make tables")
    return Cells(contents)


VERDICTS = {
    "**all**, after the refit (measures the refit)": "recovered",
    "from the messages alone (measures the network)": "from_messages_recovered",
    "without any network (measures what the refit needs none for)": "control_recovered",
}


def laws_with(cells: Cells, recipe: str, key: str) -> dict:
    """{variant: (laws of the eight rows with the verdict ``key``, laws)}, of variants that have any."""
    out = {}
    for variant in VARIANTS:
        laws = [c["law"] for row in ROWS for c in cells.get(*row, variant, recipe) if c["law"]]
        if laws:
            out[variant] = (sum(bool(law[key]) for law in laws), len(laws))
    return out


def papers_best(system: str, dim: int) -> float:
    """The smallest test error of the paper's graph networks (Table 3), FlatHGN left out."""
    published = TABLES["paper_mae"].values
    return min(published[system, dim, v] for v in VARIANTS if (system, dim, v) in published)


def worst_law_error(cells: Cells, system: str, dim: int) -> float | None:
    """The largest test error of the laws found, newton recipe, all variants and seeds; None if none was sought."""
    found = [c["generalization"] for v in VARIANTS for c in cells.get(system, dim, v, "newton")]
    return max((sets["interpolation"]["law_mae"] for sets in found if sets), default=None)


# ---------------------------------------------------------------- text


def r2(value) -> str:
    """A coefficient of determination, or several: three decimals, a fourth where the third would say 1."""
    if value is None:
        return "–"
    if isinstance(value, tuple | list):
        return ", ".join(r2(v) for v in value)
    return f"{value:.4f}" if 0.9995 <= value < 1 else f"{value:.3f}"


def error(value) -> str:
    """An error with three digits."""
    if value is None:
        return "–"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def name(system: str, dim: int, n: int = 4) -> str:
    return f"{system}, {dim}-D" + (f", {n} particles" if n != 4 else "")


def conditions(cells: list[dict]) -> str:
    """One sentence: seeds, budget, machine, dates and commits of these cells."""
    if not cells:
        return "No cell of this part has been run."

    trained = [c["training"] for c in cells]
    graphs = sorted({round(t["graphs_seen"] / 1e6, 2) for t in trained})
    span = f"{graphs[0]:g}" if len(graphs) == 1 else f"{graphs[0]:g} to {graphs[-1]:g}"
    hours = sum(t["cpu_seconds"] for t in trained) / 3600
    return (
        f"{len(cells)} networks, seeds {several(c['seed'] for c in cells)}, {span} million graphs each, "
        f"{several(t['precision'] for t in trained)}, {several(t['device'] for t in trained)}, "
        f"{hours:.1f} CPU-h of training; scored on {several(c['messages']['graphs']['all'] for c in cells)} graphs "
        f"of test trajectories. {several(c['hardware'] for c in cells)}; {several(c['date'] for c in cells)}; "
        f"trained at commits {several('`' + (t['commit'] or 'unknown')[:7] + '`' for t in trained)}."
    )
