"""Are masses and charges that a network learns beside its weights right, and the law that is read from its messages?

The data sets of benchmarks/bodies.py: 16 bodies of which every one of 300 trajectories of 40 frames has four, the value
of one body told. Every cell: train (bottleneck, newton recipe, --unknown), extract_messages and symbolic_reg on its
messages; and learn_properties, which has no network, with symbolic_reg on splines.

values     the largest error, of the true value or of a tenth of the typical one where that is more; the correlation
           with the true values; every sign
law        recovered: the true form, every constant within 2 %

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  results/bodies_network.json (--development: to outputs/)

example:  python benchmarks/bodies_network.py --seeds 930 --systems r2 --data clean --development
"""

import time
from itertools import product

import bodies
import cell_files
import numpy as np

import distill
from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.kinds import LawRecord, RunConfig
from distill.files.names import run_name
from distill.report.markdown import markdown
from distill.shell import paths
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import run_script

SYSTEMS = ("r1", "r2", "charge", "superposition")  # pairs act on each other alike
VARIANT, RECIPE = "bottleneck", "newton"


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="of simulations, noise and fits")
    add("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    add("--data", nargs="+", choices=(bodies.CLEAN, bodies.NOISY), default=[bodies.CLEAN, bodies.NOISY])
    cell_files.add_flags(parser)
    return cell_files.parse(parser, argv)


def measured(system: str, seed: int, data: str) -> dict:
    """A cell: values and law of both ways, and how far they are from the true ones."""
    start, unknown, name = time.process_time(), bodies.UNKNOWN[system], bodies.given(system, seed, data)
    clean = load_dataset(bodies.simulated(system, seed))
    true = np.zeros(bodies.BODIES)
    true[clean.id] = clean.arrays[unknown]
    told = int(np.abs(true).argmax())
    reference = [f"{told}={float(true[told])!r}"]
    run = run_name(name, VARIANT, RECIPE, seed)
    distill.train(
        name, variant=VARIANT, recipe=RECIPE, seed=seed, unknown=[unknown], reference=reference, overwrite=True
    )
    learnt = time.process_time() - start
    config = records.load(RunConfig, paths.MODEL_WEIGHTS / run / "config.json")
    found = np.array(config.learnt.values[unknown])
    out = {"network": values(found, true[np.unique(clean.id)]) | {"error": config.skill.network}}
    distill.extract_messages(run, seed=seed, overwrite=True)
    distill.search_law(run, rivals=(), seed=seed, overwrite=True)
    record = records.load(LawRecord, paths.OUTPUTS / run / "law.json")
    out["network"] |= bodies.law(record, bodies.SYSTEMS[system])
    out["network"] |= {"cpu_seconds": [round(learnt, 1), round(time.process_time() - start - learnt, 1)]}
    return out | {"splines": bodies.measured(system, seed, data)}


def values(found: np.ndarray, true: np.ndarray) -> dict:
    """Of learnt values [body] against the true ones, which are in the same scale by the body that was told."""
    off = np.abs(found - true) / np.maximum(np.abs(true), 0.1 * np.median(np.abs(true[true != 0])))
    out = {"largest_off": float(off.max()), "values_right": bool(off.max() <= bodies.WITHIN)}
    out |= {"correlation": float(np.corrcoef(found, true)[0, 1])}
    return out | {"signs_right": bool((np.sign(found) == np.sign(true))[true != 0].all())}


def table(rows: list[dict]) -> str:
    """System by system, both ways beside each other."""
    lines = []
    for system, data in product(SYSTEMS, (bodies.CLEAN, bodies.NOISY)):
        some = [r for r in rows if (r["system"], r["data"]) == (system, data)]
        if some:
            lines.append([system, data, bodies.UNKNOWN[system], *cells(some, "network"), *cells(some, "splines")])
    head = ["system", "data", "unknown"]
    for way in ("network", "splines"):
        head += [f"{way}: largest error", "least correlation", "law", "CPU-s"]
    return markdown(head, lines)


def cells(rows: list[dict], way: str) -> list[str]:
    found = [r.get(way, {}) for r in rows]
    off = [f["largest_off"] for f in found if f.get("largest_off") is not None]
    cpu = [sum(f["cpu_seconds"]) for f in found if "cpu_seconds" in f]
    return [
        f"{100 * max(off):.2g} %" if len(off) == len(rows) else "-",
        f"{min(f.get('correlation', 0) for f in found):.6f}",
        f"{sum(bool(f.get('recovered')) for f in found)}/{len(found)}",
        f"{max(cpu):.0f}" if cpu else "-",
    ]


def told(row: dict) -> str:
    shown = ("largest_off", "correlation", "error", "recovered", "law", "cpu_seconds")
    return str({way: {k: row[way].get(k) for k in shown} for way in ("network", "splines")})


CELLS = cell_files.Benchmark(
    "bodies_network",
    ("system", "seed", "data"),
    place=lambda row: (SYSTEMS.index(row["system"]), row["seed"], row["data"]),
    summary=lambda rows: {"table": table(rows)},
    told=told,
)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    wanted = product(args.systems, args.seeds, args.data)
    content = CELLS.run({f"{system}_{data}_s{seed}": (system, seed, data) for system, seed, data in wanted}, args)
    print(f"\n{content['table']}\n\n-> {relative(CELLS.results(args))}")
    return 0


if __name__ == "__main__":
    run_script(main)
