"""Run the whole pipeline for systems x variants x training seeds and collect the numbers of the README.

reads   nothing, or what an interrupted call left behind: every stage skips what is done
writes  results/pipeline_<recipe>.json, and a Markdown table on stdout

example:  python benchmarks/pipeline.py --systems spring r1 r2 charge --variants l1 bottleneck --seeds 1 2 3

One process a core, one thread each. Datasets are made with --data-seed; training, search and sampling
use the run's seed. A stage that fails is reported in its cell and does not stop the others.
"""

import statistics
import time
from os import cpu_count

# puts the repository on the path, hence before distill
from stages import ROOT, Children, in_threads, names_of, run_words, simulate_words

from distill.files.provenance import provenance
from distill.files.storage import save_json
from distill.network.recipes import RECIPES
from distill.network.variants import VARIANTS
from distill.report.numbers import hardware, numbers
from distill.shell.errors import UserError
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
    args = parse(argv)
    start, children = time.time(), Children()
    made = in_threads(
        lambda s: children.script(*simulate_words(s, args.n, args.dim, args.data_seed)).error,
        args.systems,
        args.jobs,
        children,
    )
    for system, error in zip(args.systems, made, strict=True):
        if error:
            raise UserError(f"simulate.py --system {system} failed: {error}")
    cells = [(s, v, k) for k in args.seeds for s in args.systems for v in args.variants]
    rows = in_threads(lambda c: pipeline(args, children, *c), cells, args.jobs, children)
    summary = {
        f"{s} {v}": summarise([r for r in rows if (r["system"], r["variant"]) == (s, v)])
        for s in args.systems
        for v in args.variants
    }
    out = ROOT / "results" / f"pipeline_{args.recipe}.json"
    made = provenance("benchmarks/pipeline", vars(args), {}, time.time() - start)
    save_json(out, made | {"hardware": hardware(), "date": time.strftime("%Y-%m-%d"), "rows": rows, "medians": summary})
    print(table(summary))
    return 0


def pipeline(args, children, system, variant, seed) -> dict:
    dataset, run, _ = names_of(system, args.n, args.dim, args.data_seed, variant, args.recipe, seed)
    epochs = ["--epochs", args.epochs] if args.epochs else []
    row = {"system": system, "variant": variant, "seed": seed, "run": run, "error": None}
    for words in run_words(dataset, run, variant, args.recipe, seed, train=epochs)[: 3 if args.only_train else None]:
        if error := children.script(*words).error:
            row["error"] = f"{words[0]}: {error}"
            break
    return row | numbers(run)


def summarise(rows) -> dict:
    """Medians over seeds; ``recovered`` is the number of seeds."""

    def median(key):
        values = [r[key] for r in rows if r.get(key) is not None]
        return statistics.median(values) if values else None

    def count(key):
        values = [bool(r[key]) for r in rows if r.get(key) is not None]
        return sum(values) if values else None  # None: no run got as far as a verdict

    ratios = [r["law_over_gnn_mae"] for r in rows if r.get("law_over_gnn_mae")]
    beyond = [
        max((v for k, v in one.items() if k != "interpolation" and v is not None), default=None) for one in ratios
    ]
    return {
        "seeds": len(rows),
        "errors": sum(r["error"] is not None for r in rows),
        **{k: median(k) for k in ("r2_all", "r2_trim90", "train_cpu_s", "symbolic_s")},
        "n_graphs": median("n_graphs"),
        "recovered": count("recovered"),
        "recovered_from_messages": count("from_messages_recovered"),
        "law_over_gnn_interpolation": statistics.median([o["interpolation"] for o in ratios]) if ratios else None,
        "law_over_gnn_worst_extrapolation": statistics.median(beyond) if beyond and None not in beyond else None,
    }


def table(summary) -> str:
    columns = (
        "r2_all",
        "r2_trim90",
        "train_cpu_s",
        "recovered",
        "recovered_from_messages",
        "law_over_gnn_interpolation",
        "law_over_gnn_worst_extrapolation",
        "seeds",
        "errors",
    )
    shown = lambda v: "–" if v is None else f"{v:.4g}" if isinstance(v, float) else str(v)  # noqa: E731
    lines = ["| run | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(shown(one[c]) for c in columns) + " |" for name, one in summary.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
