"""The equations behind the messages and the law composed of them: the stage ``symbolic_reg``."""

import sys
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np

from distill.files import records
from distill.files.dataset import Dataset, dataset_of_run
from distill.files.kinds import LawRecord, RunConfig
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import finite_or_none, save_bytes
from distill.law import account, trust
from distill.law.sources import MESSAGES, Source
from distill.messages import assumptions, read_out
from distill.messages.net_forces import node_values, nodes_of, third_law_residual
from distill.physics.law import Law
from distill.pipeline.rivals import DEFAULT as DEFAULT_RIVALS
from distill.pipeline.rivals import RIVALS, Material
from distill.report.words import trust_words
from distill.search import whole_system
from distill.search.engine import USUAL, CannotStartError, SearchOptions
from distill.search.registry import DEFAULT_TARGETS, load_engine, resolve_engine
from distill.search.targets import Target, load_front, radial_target, save_front, search_target, searches
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.processes import GUARD, workers
from distill.shell.stage import Done, Stage, progress, warn

QUICK_ROWS = 500
OPTIONS = ("engine", "loss", "operators", "niterations", "max_complexity", "restarts", "min_restarts")
OPTIONS += ("seed", "time_limit", "deterministic", "guesses")  # of the search that are a stage's
SHARES = ("tangential_share", "tangential_median")


def search_law(
    run: str,
    *,
    targets: tuple = DEFAULT_TARGETS,
    engine: str = "auto",
    rivals: tuple = DEFAULT_RIVALS,
    sr_on_inputs: bool = False,
    raw_inputs: bool = False,
    operators: tuple | None = None,
    loss: str = "relative",
    rows: int = 4000,
    max_complexity: int = 30,
    restarts: int = 8,
    min_restarts: int = 4,
    niterations: int = 100,
    guesses: bool = True,
    time_limit: float | None = None,
    deterministic: bool = True,
    seed: int = 0,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
) -> Done:
    """Search the ``targets`` of ``run`` with ``engine`` and compose the law; writes law.json, pareto.png and a folder
    for each target.

    ``rivals``: other ways to a law, names of ``pipeline.rivals.RIVALS``, each searched and refitted alike.
    ``sr_on_inputs``: the baseline without a network too, on ``raw_inputs`` or ordered ones (``whole_system``).
    ``operators``: + - * / square where None, and pow in a box. The other options are those of ``SearchOptions``.
    ``threads``: targets searched side by side, or threads of an engine that has its own. Where "auto" takes an engine
    that then cannot start, the next one searches.
    """
    run = run_name_of(run)
    arguments = dict(locals())
    folder, path, config_path = paths.OUTPUTS / run, messages_path(run, "train"), run_dir(run) / "config.json"
    config = records.load(RunConfig, config_path)
    messages, meta = load_messages(path, run)
    stage, out, inputs = Stage("symbolic_reg", run), folder / "law.json", {"messages": path, "config": config_path}
    test_path = messages_path(run, "test")  # laws are judged on it where it is there
    inputs |= {"messages_test": test_path} if test_path.is_file() else {}
    if len(np.unique(messages["trajectory"])) < 2:
        found = f"{relative(path)} is of one trajectory, expected at least 2: laws are judged on trajectories left out"
        raise UserError(found, f"python extract_messages.py --run {run} --split all, or train on more trajectories")
    if "radial" not in targets:
        raise UserError("the law is composed from the radial target", "add radial to --targets")
    chosen, reason = resolve_engine(engine)
    in_a_box = bool(config.model.get("periodic"))
    if in_a_box and sr_on_inputs:
        raise UserError("--sr-on-inputs does not know periodic boxes", "leave it out")
    # from distances alone, whole powers up to the 13th do not come out of products
    arguments["operators"] = tuple(operators or (*USUAL, *(("pow",) if in_a_box else ())))
    arguments |= {"engine": chosen, "targets": list(targets), "rivals": list(rivals)}
    if quick:
        arguments |= {"restarts": 1, "min_restarts": 1, "rows": min(rows, QUICK_ROWS)}
    rows = arguments["rows"]
    options = SearchOptions(**{k: arguments[k] for k in OPTIONS}, resume=not overwrite)
    load_engine(chosen).check(options)
    if already_done(out, arguments, inputs, overwrite):
        return stage.already_done(out)
    if sys.stderr.isatty():
        print(f"engine {chosen}: {reason}", file=sys.stderr, flush=True)
    from distill.report import plots  # matplotlib takes a second, which a refusal above need not wait for

    dataset = dataset_of_run(run, config)
    nodes = nodes_of(messages)
    read = read_out.read_out(messages, nodes, meta.antisymmetric, seed, meta.doubted, meta.network_error)
    force = read.force(messages, nodes)
    left = assumptions.leftover(force, messages, seed)
    left["third_law"] = finite_or_none(third_law_residual(read.plain_force(messages, nodes), nodes))
    if not (left["central"] and left["velocity_free"]):
        warn(f"the radial law leaves out part of the read-out force ({left['text']})")
    beside = node_values(force, messages, nodes, read.node_terms)
    main = Source(
        MESSAGES,
        "messages",
        "all messages of the trained network, mixed so that they add up to its net forces",
        force,
        read.node_terms,
        beside,
    )
    material = Material(config, dataset, messages, meta, nodes, read, seed)
    others = [RIVALS[name](material) for name in dict.fromkeys(rivals)]

    todo = searches(targets, messages, nodes, read, force, rows, seed)
    todo += [radial_target(o.name, messages, o.force, rows, seed) for o in others if o.force is not None]
    place, digest = folder / "symbolic", sha256(path)
    try:
        fronts = run_searches(todo, options, threads, place, digest)
    except CannotStartError as exc:
        if engine != "auto":
            raise
        options, reason = instead(options, exc)
        fronts = run_searches(todo, options, threads, place, digest)
    of_rivals = {o.name: fronts.pop(o.name, None) for o in others}
    tell(read, meta.doubted)

    ground = account.ground_of(messages, nodes, dataset, seed, quick)
    found = account.finding(main, fronts["radial"], ground, dataset)
    compared = [account.finding(o, of_rivals[o.name], ground, dataset) for o in others]
    test = load_messages(test_path, run)[0] if "messages_test" in inputs else None
    judge = account.Judge(messages, ground, dataset, seed, test)
    law, content = found.law, account.compose(found, compared, judge)
    if "node" in fronts:
        content["node_search"] = account.node_json(fronts["node"], law, messages, nodes, read, force, dataset, seed)
    position = content.get("node_search", {}).get("position")
    content["data_verdict"]["violations"] = trust.violations(left, left["third_law"], position)
    if sr_on_inputs:
        content["sr_on_inputs"] = on_inputs(run, dataset, law, options, rows, raw_inputs)

    columns = {
        name: (np.array([r.complexity for r in f.rows]), np.array([r.loss for r in f.rows]), f.chosen)
        for name, f in fronts.items()
    }
    save_bytes(folder / "pareto.png", plots.save_bytes(plots.pareto(columns, run)))
    made = provenance("symbolic_reg", arguments, inputs, stage.seconds)
    made["versions"] |= load_engine(options.engine).versions()
    made |= {
        "run": run,
        "engine": options.engine,
        "engine_reason": reason,
        "chain": law.chain,
        "cutoff": law.cutoff,
        "read_out": read.account() | {k: left[k] for k in SHARES},
        "leftover": left,
        "targets": {name: account.target_json(name, f) for name, f in fronts.items()},
    }
    record = records.save(LawRecord, out, made | content)
    verdict, error, told = record.verdict, record.acceleration_error, {"trusted": record.data_verdict.trusted}
    if verdict.recovered is not None:
        told = {"recovered": verdict.recovered}
        told |= {"relation": verdict.equivalence.text} if verdict.equivalence else {}
        told |= {"in_range": verdict.relative_error_in_range, "near": verdict.relative_error_near}
        told |= {"extrapolated": verdict.relative_error_extrapolated}
        told |= {"not_judged": len(verdict.not_judged)} if verdict.not_judged else {}
    told |= {"error_law": error.law, "error_gnn": error.gnn, "receivers": error.n, "engine": options.engine}
    lines = []
    if verdict.recovered is None:
        lines = [f"verdict  {trust_words(record)}"]
    if better := record.data_verdict.better:
        told |= {"better": f"f = {better.text} ({better.label})"}
    return stage.done(out, lines, law=f"f = {record.pair.short}", **told)


def tell(read: read_out.ReadOut, doubted: list[str]) -> None:
    """Warn where a linear read-out loses what the network knows, and of the third law where it was doubted."""
    if read.loses:
        taken = "its Jacobian is read" if read.gauge == read_out.JACOBIAN else "still the best there is"
        own = "not known" if read.network is None else f"{read.network:.2g}"
        lost = f"{read.lost:.2g} of the network's net forces (its own error: {own})"
        warn(f"the messages, mixed linearly, lose {lost}; {taken}")
    if read_out.THIRD_LAW in doubted and read.gauge in read.third_law:
        broken = read.third_law[read.gauge]
        warn(f"the third law is not imposed: |F_ij + F_ji| is {broken:.2g} of |F_ij| + |F_ji| (median)")


def on_inputs(run: str, dataset: Dataset, law: Law, options: SearchOptions, rows: int, raw: bool) -> dict:
    """The baseline without a network, judged on the receivers of the test messages where they are there."""
    test = messages_path(run, "test")
    messages = load_messages(test, run)[0] if test.is_file() else None
    identity = options.identity() | {"rows": rows, "dataset": sha256(dataset.path)}
    place = paths.OUTPUTS / run / "symbolic" / ("inputs_raw" if raw else "inputs")
    again, seed = not options.resume, options.seed
    return whole_system.baseline(
        dataset, law, options, place, identity, again, seed, raw=raw, rows=rows, messages=messages
    )


def instead(options: SearchOptions, exc: CannotStartError) -> tuple[SearchOptions, str]:
    """The same search by the first engine that can run where that of ``options`` cannot, and the reason; told."""
    chosen, reason = resolve_engine("auto", {options.engine: exc.message})
    warn(f"{exc.message}; {chosen} searches instead")
    return replace(options, engine=chosen), reason


def run_searches(todo: list[Target], options: SearchOptions, threads: int, folder: Path, digest: str) -> dict:
    """Fronts by target name; finished ones are read back unless ``options.resume`` is off, the rest searched in
    ``threads`` processes, or one after the other by an engine with threads of its own. ``digest``: of the messages.
    """
    identities = {t.name: options.identity() | {"messages": digest, "data": t.digest()} for t in todo}
    fronts, left = {}, []
    for target in todo:
        place = folder / target.name
        front = load_front(place, target, identities[target.name]) if options.resume else None
        if front is not None:
            fronts[target.name] = front
        else:
            left.append((target, place))
    count = min(threads, len(left))
    if load_engine(options.engine).own_threads and not options.deterministic:
        count, options = 1, replace(options, threads=threads)
    each = [replace(options, output_directory=str(place), progress=count <= 1) for _, place in left]
    if count <= 1:
        for (target, place), own in zip(left, each, strict=True):
            fronts[target.name] = save_front(place, search_target(target, own), target, identities[target.name])
    else:
        try:
            with workers(count) as pool:
                running = {pool.submit(search_target, t, own): (t, p) for (t, p), own in zip(left, each, strict=True)}
                bar = progress(as_completed(running), total=len(running), desc="symbolic search", unit="target")
                for future in bar:
                    target, place = running[future]
                    fronts[target.name] = save_front(place, future.result(), target, identities[target.name])
        except BrokenProcessPool:
            fix = f"try --threads 1 or fewer --rows; {GUARD}"
            raise UserError("a search process died (out of memory?)", fix) from None
    return {t.name: fronts[t.name] for t in todo}
