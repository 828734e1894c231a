"""Does the test of residuals call noise noise and structure structure? Counts over small data sets.

missing      physics that the law lacks, which is fitted as well as it can be: structure has to be called
complete     the right form: what is left is noise (or nothing)
differences  both, with accelerations by finite differences of noisy positions

reads   nothing, or what an interrupted call left behind: a finished run is found done
writes  results/residual_test.json (--development: outputs/residual_test.json)

example:  python benchmarks/residual_test.py --seed 941
"""

import sys
import time

import numpy as np
import residual_data as data
import sections

from distill.files.properties import in_messages
from distill.files.storage import load_json, save_json
from distill.formulas.text import parse, to_text
from distill.law import selection
from distill.law.receivers import law_error
from distill.law.remains.residuals import structure
from distill.law.remains.scene import edges, of_dataset
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law
from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads
from distill.statistics.rates import wilson

EACH = 4  # runs of every kind
RECEIVERS = 4000  # that a law is fitted to
DIFFERENCES = ("positions", 0.003)  # of the median step


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seed", type=non_negative_int, default=941, help="of systems, strengths and noise")
    add("--each", type=positive_int, default=EACH, help="runs of every kind")
    add("--kinds", nargs="+", choices=data.MISSING + data.COMPLETE, help="instead of all")
    add("--development", action="store_true", help="writes to outputs instead of results")
    add("--overwrite", action="store_true", help="run finished runs again")
    return parser.parse_args(argv)


def todo(seed: int, each: int, kinds=None) -> dict[str, dict]:
    """Arguments of ``data.case`` by the name of the run."""
    out = {}
    for group, names in (("missing", data.MISSING), ("complete", data.COMPLETE)):
        for kind in names:
            for index in range(each):
                out[f"{group}_{kind}_{index}"] = {"kind": kind, "missing": group == "missing", "index": index}
            if group == "missing" or kind != "fluid":  # a box in steps of a frame: velocities are too coarse
                out[f"differences_{group}_{kind}"] = out[f"{group}_{kind}_0"] | {"noise": DIFFERENCES}
    return {k: v | {"seed": seed} for k, v in out.items() if kinds is None or v["kind"] in kinds}


def fitted(case: data.Case, seed: int) -> tuple[Law, int]:
    """The best law of the forms allowed, by the pipeline's own fit to training frames drawn at random, and the numbers
    that it was fitted to.
    """
    messages = messages_of(case, seed)
    nodes = nodes_of(messages)
    ground = selection.Ground(messages, nodes, case.terms, seed, 1000, RECEIVERS, RECEIVERS)
    cutoff = case.dataset.arrays.get("cutoff")
    laws = []
    for form in case.forms:
        pair, node = selection.final_fit(ground.polished(parse(form, ("r", "m_i", "m_j", "q_i", "q_j"))), ground)
        laws.append(Law(pair, node, cutoff=None if cutoff is None else float(cutoff), properties=in_messages(messages)))
    return min(laws, key=lambda law: law_error(law, ground.held)), ground.many.acc.size


def messages_of(case: data.Case, seed: int) -> dict:
    """Edges of training frames drawn at random, as in a messages file, without a network's part in it."""
    arrays, rng = case.dataset.arrays, np.random.default_rng([seed, 3])
    frames, n, dim = arrays["pos"].shape[1:]
    training = case.dataset.trajectories("train")
    count = min(len(training) * frames, max(20, 3 * RECEIVERS // n))
    chosen = rng.choice(len(training) * frames, count, replace=False)
    k, f = training[chosen // frames], chosen % frames
    cutoff = arrays.get("cutoff")
    law = Law(parse("1/r", ("r",)), cutoff=None if cutoff is None else float(cutoff))
    graph, i, j, dx = edges(arrays["pos"][k, f], law, arrays.get("box"))
    out = {"receiver": i, "sender": j, "trajectory": k[graph], "frame": f[graph], "dx": dx}
    out |= {"r": np.linalg.norm(dx, axis=1), "vel_i": arrays["vel"][k, f][graph, i]}
    for name in ("mass", "charge"):
        out |= {f"{name}_i": arrays[name][k[graph], i], f"{name}_j": arrays[name][k[graph], j]}
    acc = arrays["acc"][k, f][graph, i]
    return out | {"acc_i": acc, "acc_pred_i": acc}


def measure(arguments: dict) -> dict:
    """One run: simulate, fit, test."""
    clock = time.process_time()
    case = data.case(**arguments)
    law, numbers = fitted(case, arguments["seed"])
    fit_done = time.process_time()
    scene = of_dataset(case.dataset, law, arguments["seed"])
    found = structure(law, scene, numbers)
    took = {"cpu_s_before": round(fit_done - clock, 2), "cpu_s_test": round(time.process_time() - fit_done, 2)}
    return case.about | {"law": to_text(law.pair, 6)} | found | took


def counted(rows: dict[str, dict]) -> dict:
    """Right calls of every group, with Wilson intervals: each run is a data set of its own."""
    groups: dict[str, list] = {}
    for name, row in rows.items():
        whose = name.split("_")[0]
        whose = f"differences_{'missing' if row['missing'] else 'complete'}" if whose == "differences" else whose
        groups.setdefault(whose, []).append(row["structured"] == row["missing"])
    return {
        name: {"right": sum(right), "n": len(right), "interval": list(wilson(sum(right), [1] * len(right)))}
        for name, right in groups.items()
    }


def main(argv=None) -> int:
    args = parse_arguments(argv)
    set_threads(1)
    start = time.time()
    place = paths.OUTPUTS / "residual_test"
    rows = {}
    for name, arguments in todo(args.seed, args.each, args.kinds).items():
        path = place / f"s{args.seed}" / f"{name}.json"
        row = None if args.overwrite or not path.is_file() else load_json(path, "move it away")
        if row is None:
            row = measure(arguments)
            save_json(path, row)
        rows[name] = row
        wrong = "" if row["structured"] == row["missing"] else "   WRONG"
        print(f"{name:40} n {row['n']:6} {row['text'][:110]}{wrong}", file=sys.stderr, flush=True)
    content = sections.about("residual_test.py", args, start) | {"seed": args.seed, "counts": counted(rows)}
    path = place.with_suffix(".json") if args.development else paths.ROOT / "results" / "residual_test.json"
    sections.save(path, "residual_test", f"s{args.seed}", content | {"rows": rows})
    for name, one in content["counts"].items():
        print(f"{name:24} {one['right']} of {one['n']}")
    print(f"-> {relative(path)}")
    return 0


if __name__ == "__main__":
    run_script(main)
