"""Cells of ``recovery.py``: run once, kept as small files, found again. Also what a cell of the pipeline does.

A cell is a kind, a name and arguments; its result is ``outputs/recovery/<kind>/<name>.json``, written whole when
it ends. A cell is done if that file was made from the same arguments, tells no error, and what it was collected
from has not changed since; the commit is recorded and not compared, so that a change elsewhere in the repository
does not throw hours away.
"""

import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from stages import Children, in_threads, names_of, run_words, simulate_words

from distill.files.provenance import provenance, sha256
from distill.files.storage import load_json, plain, save_json
from distill.report.numbers import files_of, hardware, numbers
from distill.shell import paths
from distill.shell.errors import UserError

SCRIPT = Path(__file__).with_name("recovery.py")


@dataclass(frozen=True)
class Cell:
    kind: str  # "planted", "near-misses" or "pipeline"
    name: str
    arguments: dict

    @property
    def path(self) -> Path:
        return paths.OUTPUTS / "recovery" / self.kind / f"{self.name}.json"

    def stored(self) -> dict | None:
        """What a former run wrote for the same arguments, failed or not; None if there is no such file."""
        try:
            content = load_json(self.path)
        except UserError:
            return None  # missing or damaged: run it
        same = content.get("arguments") == json.loads(json.dumps(plain(self.arguments)))
        return content if same and isinstance(content.get("row"), dict) else None

    def inputs(self) -> dict[str, Path]:
        """Files that the row of a pipeline is collected from, those there are."""
        found = files_of(self.arguments["run"]) if self.kind == "pipeline" else {}
        return {name: path for name, path in found.items() if path.is_file()}

    def done(self) -> dict | None:
        """The stored content if the cell has finished without an error and is up to date."""
        content = self.stored()
        if content is None or content["row"].get("error") is not None:
            return None
        known = {name: entry.get("sha256") for name, entry in content.get("inputs", {}).items()}
        return content if known == {name: sha256(path) for name, path in self.inputs().items()} else None


def run_all(cells: list[Cell], jobs: int, overwrite: bool = False) -> list[dict]:
    """The stored contents of all cells, those missing run first, ``jobs`` at a time.

    A cell that fails says so in its row ("error": last line on stderr) and is tried again by the next call.
    """
    children, locks, lock = Children(), {}, threading.Lock()
    found = {c.name: None if overwrite else c.done() for c in cells}
    todo = [c for c in cells if found[c.name] is None]
    print(f"{len(cells) - len(todo)} of {len(cells)} cells are done, {len(todo)} to run", flush=True)
    ended = 0

    def work(cell):
        nonlocal ended
        start = time.perf_counter()
        row = pipeline(cell, children, locks, lock) if cell.kind == "pipeline" else measured(cell, children)
        seconds = time.perf_counter() - start
        made = provenance(f"benchmarks/recovery {cell.kind}", cell.arguments, cell.inputs(), seconds)
        made |= {"versions": row.pop("versions", made["versions"])}
        content = made | {"cell": cell.name, "hardware": hardware(), "date": time.strftime("%Y-%m-%d"), "row": row}
        save_json(cell.path, content)
        with lock:
            ended += 1
            print(f"{ended}/{len(todo)}  {cell.name}  {row['error'] or 'done'}  {made['seconds']:.1f} s", flush=True)
        return load_json(cell.path)

    found |= {c.name: content for c, content in zip(todo, in_threads(work, todo, jobs, children), strict=True)}
    return [found[c.name] for c in cells]


def measured(cell: Cell, children: Children) -> dict:
    """Run a cell that is one process (``recovery.py cell``): its row and what it cost."""
    outcome = children.run([sys.executable, SCRIPT, "cell", cell.kind, json.dumps(plain(cell.arguments))])
    row = {"error": outcome.error, "cpu_s": round(outcome.cpu_s, 2), "peak_mb": round(outcome.peak_mb, 1)}
    named = {k: v for k, v in cell.arguments.items() if isinstance(v, str | int | float)}
    return named | row | (json.loads(outcome.stdout.splitlines()[-1]) if outcome.error is None else {})


# ---------------------------------------------------------------- the pipeline


def pipeline_cells(systems, dims, variants, noises, seeds, recipe, n, targets) -> list[Cell]:
    """Cells of the pipeline: seed k makes dataset seed k and training seed k."""
    out = []
    for k in seeds:
        # systems innermost: neighbouring cells do not wait for the same dataset
        for variant, dim, noise, system in (
            (v, d, x, s) for x in noises for v in variants for d in dims for s in systems
        ):
            dataset, run, _ = names_of(system, n, dim, k, variant, recipe, k, noise)
            rest = run_words(
                dataset, run, variant, recipe, k, symbolic=("--targets", *targets), generalization=("--rollouts", 0)
            )
            out.append(
                Cell(
                    "pipeline",
                    run,
                    {
                        "system": system,
                        "dim": dim,
                        "variant": variant,
                        "noise": noise,
                        "seed": k,
                        "recipe": recipe,
                        "n": n,
                        "dataset": dataset,
                        "run": run,
                        "stages": [simulate_words(system, n, dim, k, noise), *rest],
                    },
                )
            )
    return out


def pipeline(cell: Cell, children: Children, locks: dict, lock) -> dict:
    """Run the six stages, each measured, and collect what they wrote.

    A stage that finds its output there keeps the cost that a former call of this cell measured, if there was one;
    the training's CPU seconds are those its ``config.json`` tells, whoever ran it.
    """
    a = cell.arguments
    row = {k: a[k] for k in ("system", "dim", "variant", "noise", "seed", "recipe", "run")}
    before = ((cell.stored() or {}).get("row") or {}).get("stages", {})
    row |= {"error": None, "stages": {}}
    for words in a["stages"]:
        if words[0] == "simulate.py":
            with lock:
                own = locks.setdefault(a["dataset"], threading.Lock())
            with own:  # variants share a dataset
                outcome = children.script(*words)
        else:
            outcome = children.script(*words)
        costs = outcome.costs()
        row["stages"][words[0]] = before.get(words[0], costs) if outcome.done_before else costs
        if outcome.error:
            row["error"] = f"{words[0]}: {outcome.error}"
            break
    made = [load_json(path).get("versions", {}) for path in cell.inputs().values()]
    return row | numbers(a["run"]) | {"versions": {k: v for versions in made for k, v in versions.items()}}
