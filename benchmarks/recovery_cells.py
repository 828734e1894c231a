"""What ``recovery.py`` runs: measurements, each kept as a small file and found again.

A measurement is a kind, a name and arguments; its result is ``outputs/recovery/<kind>/<name>.json``, written whole
when it ends. It is done if that file was made from the same arguments, tells no error, and what it was collected from
has not changed since; the commit is recorded and not compared, so that a change elsewhere in the repository does not
throw hours away.
"""

import itertools
import json
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from distill.files.provenance import provenance, sha256
from distill.files.storage import load_json, plain, save_json
from distill.network.recipes import NEWTON, PRIORS
from distill.pipeline.runs.cells import STAGES, Cell, Children
from distill.report.numbers import files_of, hardware, numbers
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.stage import warn

SCRIPT = Path(__file__).with_name("recovery.py")
NOISE = {"multiplied": ("--acceleration-noise", "noise"), "added": ("--additive-noise", "added")}  # flag, name of data
WITHOUT = {"": ()} | {  # of the priors of the newton recipe: flags of train.py
    name: (f"--no-{name.replace('_', '-')}",) if NEWTON.options[name] is True else (f"--{name.replace('_', '-')}", "0")
    for name in PRIORS
}
WITHOUT["all"] = tuple(word for flags in WITHOUT.values() for word in flags)
NAMED = "system dim n variant noise noise_is without seed recipe dataset run".split()  # in every row


@dataclass(frozen=True)
class Measurement:
    kind: str  # "planted", "near-misses" or "pipeline"
    name: str
    arguments: dict
    cell: Cell | None = None  # of a pipeline

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
        found = files_of(self.cell.run) if self.cell else {}
        return {name: path for name, path in found.items() if path.is_file()}

    def done(self) -> dict | None:
        """The stored content if the measurement has finished without an error and is up to date."""
        content = self.stored()
        if content is None or content["row"].get("error") is not None:
            return None
        known = {name: entry.get("sha256") for name, entry in content.get("inputs", {}).items()}
        return content if known == {name: sha256(path) for name, path in self.inputs().items()} else None


def run_all(todo: list[Measurement], jobs: int, overwrite: bool = False) -> list[dict]:
    """The stored contents of all measurements, those missing run first, ``jobs`` at a time.

    One that fails says so in its row ("error": last line on stderr) and is tried again by the next call.
    """
    children, lock, ended = Children(), threading.Lock(), 0
    found = {m.name: None if overwrite else m.done() for m in todo}
    missing = [m for m in todo if found[m.name] is None]
    print(f"{len(todo) - len(missing)} of {len(todo)} cells are done, {len(missing)} to run", flush=True)

    def work(one: Measurement) -> dict:
        nonlocal ended
        start = time.perf_counter()
        row = (pipeline if one.cell else measured)(one, children)
        made = provenance(f"benchmarks/recovery {one.kind}", one.arguments, one.inputs(), time.perf_counter() - start)
        made |= {"versions": row.pop("versions", made["versions"]), "cell": one.name}
        save_json(one.path, made | {"hardware": hardware(), "date": time.strftime("%Y-%m-%d"), "row": row})
        with lock:
            ended += 1
            print(f"{ended}/{len(missing)}  {one.name}  {row['error'] or 'done'}  {made['seconds']:.1f} s", flush=True)
        return load_json(one.path)

    found |= {m.name: content for m, content in zip(missing, children.map(work, missing, jobs), strict=True)}
    commits = {str(content["git"]["commit"])[:7] for content in found.values()}
    if len(commits) > 1:
        warn(f"these cells are of {len(commits)} commits: {' '.join(sorted(commits))}; --overwrite repeats them")
    return [found[m.name] for m in todo]


def measured(one: Measurement, children: Children) -> dict:
    """Run what is one process (``recovery.py cell``): its row and what it cost."""
    outcome = children.run([sys.executable, SCRIPT, "cell", one.kind, json.dumps(plain(one.arguments))])
    row = {"error": outcome.error, "cpu_s": round(outcome.cpu_s, 2), "peak_mb": round(outcome.peak_mb, 1)}
    named = {k: v for k, v in one.arguments.items() if isinstance(v, str | int | float)}
    return named | row | (json.loads(outcome.stdout.splitlines()[-1]) if outcome.error is None else {})


# ---------------------------------------------------------------- the pipeline


def pipelines(
    systems, dims, variants, noise, seeds, recipe, n, targets, noise_is="multiplied", without=("",), rivals=()
) -> list[Measurement]:
    """Seed k makes dataset seed k and training seed k. ``noise_is``: a key of ``NOISE``; ``without``: keys of
    ``WITHOUT``, priors of the newton recipe that are switched off; ``rivals``: of symbolic_reg.py, run beside the
    first network of each dataset: they are the same for the others.
    """
    known = set()
    # systems innermost: neighbours do not wait for the same dataset
    out = []
    for seed, x, gone, variant, dim, system in itertools.product(seeds, noise, without, variants, dims, systems):
        flag, tag = NOISE[noise_is]
        more = {"data": (flag, x), "data_tag": f"{tag}{x:g}"} if x else {}
        more |= {"train": WITHOUT[gone], "tag": f"without-{gone.replace('_', '-')}"} if gone else {}
        cell = Cell(system, dim, variant, recipe, seed, n, targets=tuple(targets), **more)
        cell = replace(cell, law_flags=("--rivals", *(rivals if cell.dataset not in known else ())))
        known.add(cell.dataset)
        about = {"system": system, "dim": dim, "variant": variant, "noise": x, "noise_is": noise_is if x else None}
        about |= {"seed": seed, "recipe": recipe, "without": gone or None}
        stages = [cell.words(stage) for stage in STAGES]
        about |= {"n": n, "dataset": cell.dataset, "run": cell.run, "stages": stages}
        out.append(Measurement("pipeline", cell.run, about, cell))
    return out


def pipeline(one: Measurement, children: Children) -> dict:
    """Run the six stages, each measured, and collect what they wrote.

    A stage that finds its output there keeps the cost that a former call measured, if there was one; the training's
    CPU seconds are those its ``config.json`` tells, whoever ran it.
    """
    named = {k: one.arguments[k] for k in NAMED}
    former = ((one.stored() or {}).get("row") or {}).get("stages")
    row = named | children.stages(one.cell, STAGES, former)
    made = [load_json(path).get("versions", {}) for path in one.inputs().values()]
    return row | numbers(one.cell.run) | {"versions": {k: v for versions in made for k, v in versions.items()}}
