"""Run the whole pipeline for systems x variants x training seeds and collect the numbers of its runs.

reads   nothing, or what an interrupted call left behind: every stage skips what is done
writes  results/pipeline_<recipe>.json, and a Markdown table on stdout

example:  python benchmarks/pipeline.py --systems spring r1 r2 charge --variants l1 bottleneck --seeds 1 2 3

One process a core, one thread each. Datasets are made with --data-seed; training, search and sampling
use the run's seed. A stage that fails is reported in its cell and does not stop the others.
"""

import statistics
import time
from os import cpu_count

import sections

from distill.files.storage import save_json
from distill.network.recipes import RECIPES
from distill.network.variants import VARIANTS
from distill.pipeline.runs.cells import STAGES, Cell, Children
from distill.report.markdown import markdown, shown
from distill.report.numbers import numbers
from distill.shell import paths
from distill.shell.flags import Parser, positive_int
from distill.shell.stage import run_script


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--systems", nargs="+", default=["spring", "r1", "r2", "charge"])
    add("--variants", nargs="+", choices=VARIANTS, default=["l1", "bottleneck"])
    add("--recipe", choices=sorted(RECIPES), default="newton")
    add("--seeds", nargs="+", type=int, default=[1, 2, 3], help="training seeds")
    add("--data-seed", type=int, default=1)
    add("--dim", type=int, default=2)
    add("--n", type=int, default=4)
    add("--epochs", help="for train.py (default: the recipe's)")
    add("--only-train", action="store_true", help="stop after the linear fit")
    add("--jobs", type=positive_int, default=cpu_count(), help="processes at a time")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args, start, children = parse(argv), time.time(), Children()
    more = {"train": ("--epochs", args.epochs) if args.epochs else (), "data_seed": args.data_seed}
    more |= {"n": args.n, "targets": (), "compare": ()}
    names = [(k, s, v) for k in args.seeds for s in args.systems for v in args.variants]
    cells = [Cell(s, args.dim, v, args.recipe, k, **more) for k, s, v in names]
    stages = [s for s in STAGES if not args.only_train or s not in ("law", "compare")]

    def row(cell: Cell) -> dict:
        named = {k: getattr(cell, k) for k in ("system", "variant", "seed", "run")}
        return named | children.stages(cell, stages) | numbers(cell.run)

    rows = children.map(row, cells, args.jobs)
    groups = dict.fromkeys((s, v) for s in args.systems for v in args.variants)
    medians = {" ".join(g): summarise([r for r in rows if (r["system"], r["variant"]) == g]) for g in groups}
    made = sections.about("pipeline", args, start) | {"rows": rows, "medians": medians}
    save_json(paths.ROOT / "results" / f"pipeline_{args.recipe}.json", made)
    print(table(medians))
    return 0


def summarise(rows) -> dict:
    """Medians over seeds; ``recovered`` is the number of seeds, None where no run got as far as a verdict."""

    def known(key):
        return [r[key] for r in rows if r.get(key) is not None]

    def middle(values):
        return statistics.median(values) if values and None not in values else None

    ratios = known("law_over_gnn_mae")
    beyond = [max((v for k, v in r.items() if k != "interpolation" and v is not None), default=None) for r in ratios]
    counts = {"recovered": known("recovered"), "recovered_from_messages": known("from_messages_recovered")}
    return {
        "seeds": len(rows),
        "errors": sum(r["error"] is not None for r in rows),
        **{k: middle(known(k)) for k in ("r2_all", "r2_trim90", "train_cpu_s", "symbolic_s", "n_graphs")},
        **{k: sum(map(bool, values)) if values else None for k, values in counts.items()},
        "law_over_gnn_interpolation": middle([r["interpolation"] for r in ratios]),
        "law_over_gnn_worst_extrapolation": middle(beyond),
    }


def table(medians: dict) -> str:
    columns = "r2_all r2_trim90 train_cpu_s recovered recovered_from_messages law_over_gnn_interpolation"
    columns = [*columns.split(), "law_over_gnn_worst_extrapolation", "seeds", "errors"]
    return markdown(["run", *columns], [[name, *(shown(one[c]) for c in columns)] for name, one in medians.items()])


if __name__ == "__main__":
    run_script(main)
