"""Search for the equations behind the messages and compose the force law.

reads   outputs/<run>/messages_train.npz  and the run's dataset
writes  outputs/<run>/symbolic/<target>/hall_of_fame.csv  front.json
        outputs/<run>/pareto.png  law.json

example:  python symbolic_reg.py --run r2_n4_d2_s0__l1-newton__s0

Targets: "radial", the radial force f(r, m_i, m_j, q_i, q_j) from the read-out of all components that
was fitted on net forces; "components", the most important message components in dx, dy, r, m, q as in
the paper; "shared", one radial function behind these components, their mixture found with it; "node",
the node function from the read-out's net force. The law is composed from the radial target: every
formula on its front is refitted on training accelerations, the best is kept.

engines: pysr needs Julia (make pysr); operon is installed with the requirements.
"""

import argparse
import json
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from distill.files.dataset import dataset_of_run
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import load_json, save_bytes, save_json
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, add_run_flags, positive_float, positive_int
from distill.shell.processes import workers
from distill.shell.stage import Stage, progress, run_script, warn
from distill.shell.threads import set_threads

TARGETS = ("radial", "components", "shared", "node")
DEFAULT_TARGETS = ("radial", "components", "node")
USUAL = ("+", "-", "*", "/", "square")
OPERATORS = ("+", "-", "*", "/", "square", "cube", "sqrt", "inv", "exp", "log", "abs", "sin", "cos", "tanh", "pow")


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="name (or path) of a folder in model_weights/")
    add(
        "--targets",
        nargs="+",
        choices=TARGETS,
        default=list(DEFAULT_TARGETS),
        help="what to search; the law needs radial",
    )
    add("--engine", choices=("auto", "pysr", "operon"), default="auto", help="auto: pysr if Julia is ready here")
    add(
        "--sr-on-inputs",
        action="store_true",
        help="also search on the whole system's inputs: the baseline without"
        " a network, with distances and nearest-first order given; see distill/whole_system.py",
    )
    add("--raw-inputs", action="store_true", help="with --sr-on-inputs: positions of all particles as they are")
    search = parser.add_argument_group("search")
    search.add_argument("--operators", nargs="+", choices=OPERATORS, help="(+ - * / square; in a box pow as well)")
    search.add_argument(
        "--inverse-powers",
        action="store_true",
        default=None,
        help="radial, components: inputs (c/r)^6, (c/r)^12, c the 5 %% quantile of r",
    )
    search.add_argument("--loss", choices=("relative", "mse"), default="relative", help="what a row is fitted to")
    search.add_argument("--rows", type=positive_int, default=4000, help="edges (or particles) drawn for a search")
    search.add_argument("--max-complexity", type=positive_int, default=30, help="nodes of a formula")
    search.add_argument("--restarts", type=positive_int, default=8, help="operon: at most this many")
    search.add_argument("--min-restarts", type=positive_int, default=4, help="operon: at least this many")
    search.add_argument("--niterations", type=positive_int, default=100, help="pysr: iterations")
    search.add_argument(
        "--guesses",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pysr: start from formulas of the embedded engine, where both are installed",
    )
    search.add_argument("--time-limit", type=positive_float, help="seconds for each target's search")
    search.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pysr: same result for the same seed, on one thread",
    )
    add_run_flags(parser, "seed of the search and of the rows drawn")
    args = parser.parse_args(argv)
    if args.raw_inputs and not args.sr_on_inputs:
        parser.error("argument --raw-inputs: only with --sr-on-inputs")
    return args


def main(argv=None) -> int:
    args = parse(argv)
    args.run = run_name_of(args.run)
    set_threads(1)
    folder, path = paths.OUTPUTS / args.run, messages_path(args.run, "train")
    config = load_json(run_dir(args.run) / "config.json")
    messages, meta = load_messages(path, args.run)
    stage, out, inputs = (
        Stage("symbolic_reg", args.run),
        folder / "law.json",
        {"messages": path, "config": run_dir(args.run) / "config.json"},
    )
    if args.quick:
        args.restarts = args.min_restarts = 1
        args.rows = min(args.rows, 500)
    if "radial" not in args.targets:
        raise UserError("the law is composed from the radial target", "add radial to --targets")
    from distill.search.available import resolve_engine

    engine, reason = resolve_engine(args.engine)
    in_a_box = bool(config.get("model", {}).get("periodic"))
    if in_a_box and args.sr_on_inputs:
        raise UserError("--sr-on-inputs does not know periodic boxes", "leave it out")
    # from distances alone, whole powers up to the 13th do not come out of products
    args.operators = args.operators or [*USUAL, *(["pow"] if in_a_box else [])]
    arguments = vars(args) | {"engine": engine}
    if already_done(out, arguments, inputs, args.overwrite):
        print(stage.already_done(out), flush=True)
        return 0
    print(f"engine {engine}: {reason}", flush=True)
    dataset = dataset_of_run(args.run, config)

    from distill.messages import assumptions, read_out
    from distill.messages.net_forces import nodes_of

    nodes = nodes_of(messages)
    read = read_out.read_out(messages, nodes, meta["antisymmetric"], args.seed)
    force = read.force(messages, nodes)
    radial = read_out.centrality(force, messages["dx"], messages["r"])["radial"]
    left = assumptions.leftover(force, messages, args.seed)
    if not (left["central"] and left["velocity_free"]):
        warn(f"the radial law leaves out part of the read-out force ({left['text']})")
    from distill.search.targets import searches, without_powers

    todo = searches(args, messages, nodes, read, force, radial)
    fronts = run_searches(todo, args, engine, folder, path)

    from distill.law import account
    from distill.report import plots

    powers = next(t.powers for t in todo if t.name == "radial")
    radial = without_powers(fronts["radial"], powers)
    shown = {k: without_powers(f, powers if k.startswith("component") else {}) for k, f in fronts.items()}
    law, content = account.compose(radial, messages, nodes, read, dataset, args.seed, args.quick)
    if "node" in fronts:
        content["node_search"] = account.node_json(
            fronts["node"], law, messages, nodes, read, force, dataset, args.seed
        )
    if args.sr_on_inputs:
        content["sr_on_inputs"] = on_inputs(args, engine, dataset, law, folder)

    columns = {
        name: (np.array([r.complexity for r in f.rows]), np.array([r.loss for r in f.rows]), f.chosen)
        for name, f in fronts.items()
    }
    save_bytes(folder / "pareto.png", plots.save_bytes(plots.pareto(columns, args.run)))
    share = {k: left[k] for k in ("tangential_share", "tangential_median")}
    save_json(
        out,
        provenance("symbolic_reg", arguments, inputs, stage.seconds)
        | {
            "run": args.run,
            "engine": engine,
            "engine_reason": reason,
            "chain": law.chain,
            "cutoff": law.cutoff,
            "read_out": read.account() | share,
            "leftover": left,
            "inverse_powers": {k: f"({c:g}/r)^{n}" for k, (c, n) in powers.items()},
            "targets": {name: account.target_json(name, f) for name, f in shown.items()},
        }
        | content,
    )
    verdict, error = content["verdict"], content["acceleration_error"]
    told = (
        {}
        if verdict["recovered"] is None
        else {
            "recovered": verdict["recovered"],
            "in_range": verdict["relative_error_in_range"],
            "extrapolated": verdict["relative_error_extrapolated"],
        }
    )
    print(
        stage.done(
            out,
            law=f"f = {content['pair']['short']}",
            **told,
            error_law=error["law"],
            error_gnn=error["gnn"],
            receivers=error["n"],
        ),
        flush=True,
    )
    return 0


def search_options(args, engine: str) -> dict:
    """Keywords of ``distill.search.engine.search``."""
    return dict(
        engine=engine,
        loss=args.loss,
        operators=args.operators,
        niterations=args.niterations,
        max_complexity=args.max_complexity,
        restarts=args.restarts,
        min_restarts=args.min_restarts,
        seed=args.seed,
        time_limit=args.time_limit,
        deterministic=args.deterministic,
        guesses=args.guesses,
    )


def on_inputs(args, engine, dataset, law, folder) -> dict:
    """The baseline without a network, judged on the receivers of the test messages where they are there."""
    from distill.search import whole_system

    options, test = search_options(args, engine), messages_path(args.run, "test")
    messages = load_messages(test, args.run)[0] if test.is_file() else None
    identity = json.loads(json.dumps(options | {"rows": args.rows, "dataset": sha256(dataset.path)}))
    place = folder / "symbolic" / ("inputs_raw" if args.raw_inputs else "inputs")
    return whole_system.baseline(
        dataset,
        law,
        options,
        place,
        identity,
        args.overwrite,
        args.seed,
        raw=args.raw_inputs,
        rows=args.rows,
        messages=messages,
    )


def run_searches(todo, args, engine, folder, messages_file) -> dict:
    """Fronts by target name; finished ones are read back, the rest run in ``--threads`` processes."""
    from distill.search.targets import load_front, save_front, search_target

    options = search_options(args, engine)
    identity = json.loads(json.dumps(options | {"rows": args.rows, "messages": sha256(messages_file)}))
    options["resume"] = not args.overwrite  # an interrupted search of PySR goes on
    fronts, left = {}, []
    for target in todo:
        place = folder / "symbolic" / target.name
        front = None if args.overwrite else load_front(place, target, identity)
        if front is not None:
            fronts[target.name] = front
        else:
            left.append((target, place))
    count = min(args.threads, len(left))
    if count <= 1:
        for target, place in left:
            fronts[target.name] = save_front(place, search_target(target, options, str(place), True), target, identity)
    else:
        try:
            with workers(count) as pool:
                running = {pool.submit(search_target, t, options, str(p), False): (t, p) for t, p in left}
                bar = progress(as_completed(running), total=len(running), desc="symbolic search", unit="target")
                for future in bar:
                    target, place = running[future]
                    fronts[target.name] = save_front(place, future.result(), target, identity)
        except BrokenProcessPool:
            raise UserError("a search process died (out of memory?)", "try --threads 1 or fewer --rows") from None
    return {t.name: fronts[t.name] for t in todo}


if __name__ == "__main__":
    run_script(main)
