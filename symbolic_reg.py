"""Search for the equations behind the messages and compose the force law.

reads   outputs/<run>/messages_train.npz  and the run's dataset
writes  outputs/<run>/symbolic/<target>/hall_of_fame.csv  front.json
        outputs/<run>/pareto.png  law.json

example:  python symbolic_reg.py --run r2_n4_d2_s0__l1-newton__s0

Targets: "radial", the radial force f(r, m_i, m_j, q_i, q_j) from the read-out of all components that
was fitted on net forces; "components", the most important message components in dx, dy, r, m, q as in
the paper; "node", the node function from the read-out's net force. The law is composed from the radial
target: every formula on its front is refitted on training accelerations, the best is kept.

engines: pysr needs Julia (make pysr); operon is installed with the requirements.
"""

import json
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context

import numpy as np

from distill import cli, formats
from distill.cli import Parser, Stage, UserError, run_script

TARGETS = ("radial", "components", "node")
OPERATORS = ("+", "-", "*", "/", "square", "cube", "sqrt", "inv", "exp", "log", "abs", "sin", "cos", "tanh", "pow")


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="name of a folder in model_weights/")
    add("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), help="what to search; the law needs radial")
    add("--engine", choices=("auto", "pysr", "operon"), default="auto", help="auto: pysr if Julia is ready here")
    search = parser.add_argument_group("search")
    search.add_argument("--operators", nargs="+", choices=OPERATORS, default=["+", "-", "*", "/", "square"])
    search.add_argument("--loss", choices=("relative", "mse"), default="relative", help="what a row is fitted to")
    search.add_argument("--rows", type=cli.positive_int, default=4000, help="edges (or particles) drawn for a search")
    search.add_argument("--max-complexity", type=cli.positive_int, default=30, help="nodes of a formula")
    search.add_argument("--restarts", type=cli.positive_int, default=8, help="operon: at most this many")
    search.add_argument("--min-restarts", type=cli.positive_int, default=4, help="operon: at least this many")
    search.add_argument("--niterations", type=cli.positive_int, default=100, help="pysr: iterations")
    search.add_argument("--time-limit", type=cli.positive_float, help="seconds for each target's search")
    search.add_argument(
        "--deterministic",
        action=cli.argparse.BooleanOptionalAction,
        default=True,
        help="pysr: same result for the same seed, on one thread",
    )
    cli.add_run_flags(parser, "seed of the search and of the rows drawn")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    cli.set_threads(1)
    folder, path = formats.OUTPUTS / args.run, formats.messages_path(args.run, "train")
    config = formats.load_json(formats.run_dir(args.run) / "config.json")
    messages, meta = formats.load_messages(path, args.run)
    stage, out, inputs = (
        Stage("symbolic_reg", args.run),
        folder / "law.json",
        {"messages": path, "config": formats.run_dir(args.run) / "config.json"},
    )
    if args.quick:
        args.restarts = args.min_restarts = 1
        args.rows = min(args.rows, 500)
    if "radial" not in args.targets:
        raise UserError("the law is composed from the radial target", "add radial to --targets")
    from distill.engines.available import resolve_engine

    engine, reason = resolve_engine(args.engine)
    arguments = vars(args) | {"engine": engine}
    if formats.already_done(out, arguments, inputs, args.overwrite):
        stage.already_done(out)
        return 0
    print(f"engine {engine}: {reason}", flush=True)
    dataset = formats.dataset_of_run(args.run, config)

    from distill import alignment

    nodes = alignment.nodes_of(messages)
    read = alignment.read_out(messages, nodes, meta["antisymmetric"], args.seed)
    force = read.force(messages, nodes)
    central = alignment.centrality(force, messages["dx"], messages["r"])
    if central["tangential_share"] > 0.05:
        cli.warn(f"{100 * central['tangential_share']:.0f} % of the squared read-out force is not central:"
                 " the radial law leaves it out")  # fmt: skip
    from distill.targets import searches

    todo = searches(args, messages, nodes, read, force, central["radial"])
    fronts = run_searches(todo, args, engine, folder, path)
    law, content = compose(args, messages, nodes, read, fronts, dataset)

    from distill import plots

    columns = {
        name: (np.array([r.complexity for r in f.rows]), np.array([r.loss for r in f.rows]), f.chosen)
        for name, f in fronts.items()
    }
    formats.save_bytes(folder / "pareto.png", plots.save_bytes(plots.pareto(columns, args.run)))
    share = {k: central[k] for k in ("tangential_share", "tangential_median")}
    formats.save_json(out, formats.provenance("symbolic_reg", arguments, inputs, stage.seconds) | {
        "run": args.run, "engine": engine, "engine_reason": reason, "chain": law.chain,
        "read_out": {"gauge": read.gauge, "held_out_error": read.error, "held_out_errors": read.errors,
                     "node_terms": read.node_terms, "antisymmetrised": read.antisymmetrise, **share},
        "targets": {name: target_json(name, f) for name, f in fronts.items()}} | content)  # fmt: skip
    verdict, error = content["verdict"], content["acceleration_error"]
    shown = {} if verdict["recovered"] is None else {
        "recovered": verdict["recovered"], "in_range": verdict["relative_error_in_range"],
        "extrapolated": verdict["relative_error_extrapolated"]}  # fmt: skip
    stage.done(out, law=f"f = {content['pair']['short']}", **shown, error_law=error["law"], error_gnn=error["gnn"],
               receivers=error["n"])  # fmt: skip
    return 0


def run_searches(todo, args, engine, folder, messages_file) -> dict:
    """Fronts by target name; finished ones are read back, the rest run in ``--threads`` processes."""
    from distill.targets import load_front, save_front, search_target

    options = dict(
        engine=engine, loss=args.loss, operators=args.operators, niterations=args.niterations,
        max_complexity=args.max_complexity, restarts=args.restarts, min_restarts=args.min_restarts,
        seed=args.seed, time_limit=args.time_limit, deterministic=args.deterministic,
    )  # fmt: skip
    identity = json.loads(json.dumps(options | {"rows": args.rows, "messages": formats.sha256(messages_file)}))
    fronts, left = {}, []
    for target in todo:
        place = folder / "symbolic" / target.name
        front = None if args.overwrite else load_front(place, target, identity)
        if front is not None:
            fronts[target.name] = front
        else:
            left.append((target, place))
    workers = min(args.threads, len(left))
    if workers <= 1:
        for target, place in left:
            fronts[target.name] = save_front(place, search_target(target, options, str(place), True), target, identity)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=leave_interrupts) as pool:
            try:
                running = {pool.submit(search_target, t, options, str(p), False): (t, p) for t, p in left}
                bar = cli.progress(as_completed(running), total=len(running), desc="symbolic search", unit="target")
                for future in bar:
                    target, place = running[future]
                    fronts[target.name] = save_front(place, future.result(), target, identity)
            except BrokenProcessPool:
                raise UserError("a search process died (out of memory?)", "try --threads 1 or fewer --rows") from None
            except BaseException:
                for child in active_children():
                    child.terminate()
                raise
    return {t.name: fronts[t.name] for t in todo}


def leave_interrupts() -> None:
    """In a search process: Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def compose(args, messages, nodes, read, fronts, dataset) -> tuple:
    """The law refitted on accelerations, and what ``law.json`` says of it."""
    from distill import composition, physics, systems, verdict
    from distill.expressions import to_text
    from distill.law import Law

    chain = bool(dataset.meta.get("system", {}).get("neighbours_only", False))
    front = fronts["radial"]
    refined = composition.refine_on_accelerations(
        front.rows, messages, nodes, read.node_terms, chain, args.seed,
        **({"small": 200, "large": 400} if args.quick else {}))  # fmt: skip
    law, before = refined.law, Law(front.expr, {}, chain)
    content = {
        "pair": law.pair_json() | {"short": to_text(law.pair, 4).replace(" ", "")},
        "node": law.node_json(dataset.dim),
        "from_messages": before.pair_json() | {"why": front.why},
        "refinement": {
            "why": refined.why, "repaired": refined.repaired,
            "candidates": [{"complexity": c["complexity"], "held_out": formats.finite_or_none(c["held_out"]),
                            "equation": to_text(c["expr"], 6)} for c in refined.candidates]},
        "acceleration_error": {"law": refined.held_out, "gnn": refined.network, "n": refined.receivers,
                               "what": "mean |a - a_true| / (c + |a_true|) of components, receivers left out"},
        "truth": None, "verdict": {"recovered": None, "relative_error_in_range": None,
                                   "relative_error_extrapolated": None, "why": "the true law is not known here"},
        "data_verdict": verdict.without_truth(refined),
    }  # fmt: skip
    system = systems.system_of(dataset.meta)
    truth = verdict.true_law(system)
    if truth is not None:
        at = tuple(messages[k] for k in ("trajectory", "frame"))
        states = {k: dataset.arrays[k][at].astype(float) for k in ("pos", "vel")}
        fixed = {k: dataset.arrays[k][at[0]].astype(float) for k in ("mass", "charge")}
        node_force = physics.node_force(system, states["pos"], states["vel"], fixed["mass"])
        true_node = node_force[np.arange(len(at[0])), messages["receiver"]]
        content["truth"] = verdict.describe_truth(system, truth)
        content["verdict"] = verdict.against_truth(law, truth, messages, true_node, args.seed)
        content["from_messages"]["verdict"] = verdict.against_truth(before, truth, messages, None, args.seed)
    return law, content


def target_json(name: str, front) -> dict:
    """One target's entry in ``law.json``."""
    from distill.expressions import to_latex

    row, best = front.rows[front.chosen], front.rows[front.info["best_pysr"]]
    return {
        "hall_of_fame": f"symbolic/{name}/hall_of_fame.csv", "chosen": front.chosen, "equation": row.equation,
        "latex": to_latex(row.expr), "complexity": row.complexity, "loss": row.loss, "why": front.why,
        "pysr_best": {"equation": best.equation, "complexity": best.complexity, "loss": best.loss},
        "rows": [[r.complexity, r.loss, r.equation] for r in front.rows], "info": front.info,
    }  # fmt: skip


if __name__ == "__main__":
    run_script(main)
