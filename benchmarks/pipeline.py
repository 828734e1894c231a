"""Run the whole pipeline for systems x variants x training seeds and collect the numbers of the README.

reads   nothing, or what an interrupted call left behind: every stage skips what is done
writes  results/pipeline_<recipe>.json, and a Markdown table on stdout

example:  python benchmarks/pipeline.py --systems spring r1 r2 charge --variants l1 bottleneck --seeds 1 2 3

One process a core, one thread each. Datasets are made with --data-seed; training, search and sampling
use the run's seed. A stage that fails is reported in its cell and does not stop the others.
"""

import csv
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from distill import cli, formats  # noqa: E402
from distill.recipes import RECIPES, VARIANTS  # noqa: E402


def parse(argv):
    parser = cli.Parser(__doc__)
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
    add("--jobs", type=cli.positive_int, default=os.cpu_count(), help="processes at a time")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    start = time.time()
    with ThreadPoolExecutor(args.jobs) as pool:
        for error in pool.map(lambda s: simulate(args, s), args.systems):
            if error:
                raise cli.UserError(f"simulate.py failed: {error}")
        cells = [(s, v, k) for k in args.seeds for s in args.systems for v in args.variants]
        rows = list(cli.progress(pool.map(lambda c: pipeline(args, *c), cells), total=len(cells), unit="run"))
    summary = {f"{s} {v}": summarise([r for r in rows if (r["system"], r["variant"]) == (s, v)])
               for s in args.systems for v in args.variants}  # fmt: skip
    out = ROOT / "results" / f"pipeline_{args.recipe}.json"
    made = formats.provenance("benchmarks/pipeline", vars(args), {}, time.time() - start)
    formats.save_json(out, made | {"hardware": hardware(), "date": time.strftime("%Y-%m-%d"), "rows": rows,
                                   "medians": summary})  # fmt: skip
    print(table(summary))
    return 0


def call(script, *arguments) -> str | None:
    """Run a stage; returns its error line, or None."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(ROOT / script), *map(str, arguments)]
    result = subprocess.run(words, capture_output=True, text=True, env=environment)
    return None if result.returncode == 0 else (result.stderr.strip().splitlines() or ["no message"])[-1]


def simulate(args, system):
    return call("simulate.py", "--system", system, "--dim", args.dim, "--n", args.n, "--seed", args.data_seed)


def pipeline(args, system, variant, seed) -> dict:
    dataset = formats.dataset_name(system, args.n, args.dim, args.data_seed)
    run = formats.run_name(dataset, variant, args.recipe, seed)
    epochs = ["--epochs", args.epochs] if args.epochs else []
    stages = [
        ("train.py", "--dataset", dataset, "--variant", variant, "--recipe", args.recipe, "--seed", seed, "--resume",
         *epochs),
        ("extract_messages.py", "--run", run, "--seed", seed),
        ("fit_linear.py", "--run", run, "--seed", seed),
        ("symbolic_reg.py", "--run", run, "--seed", seed),
        ("test_generalization.py", "--run", run),
    ]  # fmt: skip
    row = {"system": system, "variant": variant, "seed": seed, "run": run, "error": None}
    for stage in stages[: 3 if args.only_train else None]:
        if error := call(*stage):
            row["error"] = f"{stage[0]}: {error}"
            break
    return row | numbers(run)


def numbers(run) -> dict:
    """What the stages of a run wrote, as far as they got."""
    out, config = formats.OUTPUTS / run, formats.MODEL_WEIGHTS / run / "config.json"
    row: dict = {}
    if config.is_file():
        c = formats.load_json(config)
        row |= {"train_cpu_s": c["cpu_seconds"], "steps": c["steps"], "graphs_seen": c["graphs_seen"]}
        with open(config.with_name("history.csv"), encoding="utf-8") as file:
            history = list(csv.DictReader(file))
        row["validation_mae_first_last"] = [float(history[k]["validation_mae"]) for k in (0, -1)]
    if (out / "linear_fit.json").is_file():
        f = formats.load_json(out / "linear_fit.json")
        row |= {k: f[k] for k in ("r2_all", "r2_trim90", "best_target", "top_share", "n_graphs", "n_edges")}
        row |= {f"r2_trim90_{t}": v["r2_trim90"] for t, v in f["targets"].items()}
        row |= {f"r2_all_{t}": v["r2_all"] for t, v in f["targets"].items()}
        row["read_out_gauge"], row["read_out_r2_trim90"] = f["read_out"]["gauge"], f["read_out"]["r2_trim90"]
    if (out / "law.json").is_file():
        law = formats.load_json(out / "law.json")
        row |= {"law": law["pair"]["text"], "from_messages": law["from_messages"]["text"]}
        row |= {k: law["verdict"].get(k) for k in (
            "recovered", "softening_recovered", "relative_error_in_range", "relative_error_extrapolated")}  # fmt: skip
        row["recovered_from_messages"] = law["from_messages"].get("verdict", {}).get("recovered")
        row["symbolic_s"] = law["seconds"]
    if (out / "generalization.json").is_file():
        sets = formats.load_json(out / "generalization.json")["sets"]
        row["law_over_gnn_mae"] = {k: v["law_over_gnn_mae"] for k, v in sets.items()}
    return row


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
        "seeds": len(rows), "errors": sum(r["error"] is not None for r in rows),
        **{k: median(k) for k in ("r2_all", "r2_trim90", "train_cpu_s", "symbolic_s")},
        "n_graphs": median("n_graphs"),
        "recovered": count("recovered"), "recovered_from_messages": count("recovered_from_messages"),
        "law_over_gnn_interpolation": statistics.median([o["interpolation"] for o in ratios]) if ratios else None,
        "law_over_gnn_worst_extrapolation": statistics.median(beyond) if beyond and None not in beyond else None,
    }  # fmt: skip


def table(summary) -> str:
    columns = ("r2_all", "r2_trim90", "train_cpu_s", "recovered", "recovered_from_messages",
               "law_over_gnn_interpolation", "law_over_gnn_worst_extrapolation", "seeds", "errors")  # fmt: skip
    shown = lambda v: "–" if v is None else f"{v:.4g}" if isinstance(v, float) else str(v)  # noqa: E731
    lines = ["| run | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(shown(one[c]) for c in columns) + " |" for name, one in summary.items()]
    return "\n".join(lines)


def hardware() -> str:
    model = "unknown CPU"
    if Path("/proc/cpuinfo").is_file():
        found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = found[0].split(":")[1].strip() if found else model
    return f"{os.cpu_count()} cores, {model}"


if __name__ == "__main__":
    cli.run_script(main)
