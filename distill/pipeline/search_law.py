"""The equations behind the messages and the law composed of them: the stage ``symbolic_reg``."""

import inspect
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distill.export import programs
from distill.files import records
from distill.files.dataset import Dataset
from distill.files.kinds import LawRecord
from distill.files.messages import load_messages
from distill.files.names import messages_path
from distill.files.properties import of_edges
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import finite_or_none, save_bytes
from distill.law import account, trust
from distill.law.potential import is_mutual
from distill.law.receivers import beyond_radial
from distill.law.sources import LINEAR_NODE, Source
from distill.messages import assumptions, read_out, roles
from distill.messages.net_forces import third_law_residual
from distill.physics.law import Law
from distill.physics.terms import direction
from distill.pipeline.forces import MORE, Forces, NoDataset, OfDataset
from distill.pipeline.search_plan import Plan, planned
from distill.report.material import is_stale
from distill.report.words import pair_words, response_short, trust_words
from distill.response import account as response_account
from distill.response import behind
from distill.results.laws import LawResult
from distill.search import given as given_formulas
from distill.search import whole_system
from distill.search.engine import CannotStartError, SearchOptions
from distill.search.front import Front
from distill.search.registry import DEFAULT_RIVALS, MESSAGES, load_engine, resolve_engine
from distill.search.targets import Target, load_front, of_group, radial_targets, save_front, search_target, searches
from distill.shell import extensions, paths
from distill.shell.errors import UserError, about
from distill.shell.paths import relative
from distill.shell.processes import GUARD, alone_making, workers
from distill.shell.stage import Done, Stage, name_of, progress, warn
from distill.shooting import account as shooting_account
from distill.survey.labels import against_tracks

LINEAR = {"label": "messages, a = S/m", "what": "the same network read as if every particle responded by a = S/m"}
SHARES = ("tangential_share", "tangential_median")


def search_law(
    run: str | Done | None = None,
    *,
    dataset: str | Done | None = None,
    messages: str | Path | None = None,
    name: str | None = None,
    force_from: str | None = None,
    targets: tuple | None = None,
    engine: str = "auto",
    rivals: tuple = DEFAULT_RIVALS,
    node: str = "auto",
    hall_of_fame: str | Path | None = None,
    names: Sequence[str] = (),
    sr_on_inputs: bool = False,
    raw_inputs: bool = False,
    operators: tuple | None = None,
    loss: str = "relative",
    rows: int = 4000,
    max_complexity: int = 30,
    restarts: int = 8,
    min_restarts: int = 3,
    niterations: int = 100,
    guesses: bool = True,
    time_limit: float | None = None,
    deterministic: bool = True,
    seed: int = 0,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
    export: Sequence[str] = (),
) -> LawResult:
    """Search the ``targets`` of ``run`` with ``engine`` and compose the law; writes law.json, law.py, pareto.png and a
    folder for each target.

    In place of a trained ``run``: a ``dataset``, without a network; or a file of ``messages`` made elsewhere, whose
    law goes to outputs/``name``/ (None: what the file is called).
    ``force_from``: the pair force that is searched, "messages", "splines" fitted to accelerations, or "both", the
    splines as a rival; None for messages, or for splines of a ``dataset``.
    ``targets``: None for ``DEFAULT_TARGETS``, those among them that need no network.
    ``rivals``: other ways to a law, names of ``search.registry.RIVALS``, each searched and refitted alike.
    ``node``: "linear", every particle responds by a = S/m to its net force S; "function", the response is searched too
    (``distill.response``); "auto": where the network was trained without a linear node but with the third law.
    ``hall_of_fame``: a file of formulas that are refitted and judged in place of a search, ``names``: what its names
    are here (``search.given.read_front``).
    ``sr_on_inputs``: the baseline without a network too, on ``raw_inputs`` or ordered ones (``whole_system``).
    ``operators``: + - * / square exp where None, and pow in a box. The other options are those of ``SearchOptions``.
    ``threads``: targets searched side by side, or threads of an engine that has its own. Where "auto" takes an engine
    that then cannot start, the next one searches.
    ``export``: names of ``export.registry.PROGRAMS``, for which the law is written too. Of a finished run of which
    nothing else is asked, it is the law that is there.
    """
    run, dataset = name_of(run), name_of(dataset)
    asked = dict(locals())
    asked.pop("export")
    plan = planned(asked)
    run, out, stage = plan.run, plan.folder / "law.json", Stage("symbolic_reg", plan.run, LawResult)
    with alone_making(out):
        there = bool(export) and out.is_file() and not overwrite and _as_it_is(asked)
        if not there and not already_done(out, plan.arguments, plan.inputs, overwrite):
            return _made(plan, stage, out, threads, export)
        if plan.given.config is None and is_stale(run):
            _write_report(run)
        programs.brought_up(plan.folder)
        if not export:
            return stage.already_done(out)
        return stage.done(out, _exported(plan, export), **_headline(records.load(LawRecord, out)))


def _made(plan: Plan, stage: Stage, out: Path, threads: int, export: Sequence[str]) -> LawResult:
    """Search, compose the law and write all that is told of it."""
    if sys.stderr.isatty():
        print(f"engine {plan.options.engine}: {plan.reason}", file=sys.stderr, flush=True)
    from distill.report import plots  # matplotlib takes a second, which a refusal above need not wait for

    found = searched(plan, threads)
    law, content = composed(plan, found)
    columns = {
        name: (np.array([r.complexity for r in f.rows]), np.array([r.loss for r in f.rows]), f.chosen)
        for name, f in found.fronts.items()
    }
    save_bytes(plan.folder / "pareto.png", plots.save_bytes(plots.pareto(columns, plan.run)))
    made = provenance("symbolic_reg", plan.arguments, plan.inputs, stage.seconds)
    made["versions"] |= load_engine(found.options.engine).versions()
    made |= {"run": plan.run, "engine": found.options.engine, "engine_reason": found.reason}
    record = records.save(LawRecord, out, made | content)
    if found.forces.config is None:  # no later stage writes it
        _write_report(plan.run)
    programs.brought_up(plan.folder, record)
    lines = [law.equation()["text"]] if beyond_radial(law) else []
    lines += _exported(plan, export)
    lines += [f"verdict  {trust_words(record)}"] if record.verdict.recovered is None else []
    return stage.done(out, lines, **_headline(record))


def _exported(plan: Plan, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    alone = isinstance(plan.given, OfDataset)
    data = programs.of_dataset(plan.given.dataset) if alone else programs.of_messages(plan.given.messages)
    return programs.export(plan.folder, names, data)


def _as_it_is(asked: dict) -> bool:
    """Whether nothing is asked of the search but where its law lies."""
    where = {"run", "dataset", "messages", "name", "threads"}
    usual = {name: one.default for name, one in inspect.signature(search_law).parameters.items()}
    return not any(
        tuple(value) != tuple(usual[name]) if isinstance(value, list | tuple) and usual[name] else value != usual[name]
        for name, value in asked.items()
        if name not in where and (value or usual[name])
    )


# ---------------------------------------------------------------- what is found


@dataclass
class Searched:
    """``fronts`` by target, those of ``others`` in ``of_rivals``; ``behind``: the forces behind a response, None for
    a = F/m; ``left``: what the read-out has that no radial law does; ``options`` and ``reason`` of the engine that
    searched.
    """

    forces: Forces
    others: list[Source]
    behind: behind.Read | None
    left: dict
    fronts: dict
    of_rivals: dict
    options: SearchOptions
    reason: str


def searched(plan: Plan, threads: int) -> Searched:
    """The forces of ``plan`` and the formulas of every target."""
    seed, rows, quick = (plan.arguments[k] for k in ("seed", "rows", "quick"))
    options, reason = plan.options, plan.reason
    source = next(iter(plan.inputs.values()))
    with about(relative(source), MORE):
        forces = plan.given.forces(seed, quick)
    messages, nodes, read, main = forces.messages, forces.nodes, forces.read, forces.main
    behind_it = _read_behind(plan.arguments["node"], forces, seed) if _looks_behind(plan, forces) else None
    left = assumptions.leftover(main.force if behind_it is None else behind_it.force, messages, seed)
    plain = read.plain_force(messages, nodes) if behind_it is None else behind_it.force  # the one whose rest is told
    left["third_law"] = finite_or_none(third_law_residual(plain, nodes))
    if not (left["central"] and left["velocity_free"]):
        warn(f"the radial law leaves out part of the read-out force ({left['text']})")
    others = [forces.rival(name, seed) for name in plan.arguments["rivals"]]
    if plan.formulas is not None:
        same = {k: float(v[0]) for k, v in of_edges(messages).items() if np.ptp(v) == 0}
        options = replace(options, formulas=given_formulas.with_values(plan.formulas, same))
    left_of = forces.less(main.further) if main.further else messages
    with about(relative(source), MORE):
        todo = searches(
            plan.arguments["targets"], left_of, nodes, read, main.force, rows, seed, forces.units, main.groups
        )
    some = [o for o in others if o.force is not None]
    todo += [t for o in some for t in radial_targets(o.name, messages, o.force, o.groups, rows, seed, forces.units)]
    if behind_it is not None:
        todo += behind.searches(messages, nodes, behind_it, rows, seed, quick, forces.units)
    place, digest = plan.folder / "symbolic", sha256(source)
    try:
        fronts = run_searches(todo, options, threads, place, digest)
    except CannotStartError as exc:
        if not plan.other:
            raise
        options, reason = instead(options, exc)
        fronts = run_searches(todo, options, threads, place, digest)
    of_rivals = {o.name: _front_of(o.name, o, fronts.pop) for o in others}
    forces.tell(behind_it is not None)
    return Searched(forces, others, behind_it, left, fronts, of_rivals, options, reason)


def _front_of(name: str, source: Source, take: Callable) -> Front | dict[str, Front] | None:
    """The front of a source's radial target, or those of its groups of pairs of levels; ``take(name, None)`` has one by
    the name of the target.
    """
    if not source.groups:
        return take(name, None)
    found = {group.name: take(of_group(name, group), None) for group in source.groups}
    return found if all(found.values()) else None


def composed(plan: Plan, found: Searched) -> tuple[Law, dict]:
    """The law and what ``law.json`` says of it but for where and when it was made."""
    asked, forces, fronts, left = plan.arguments, found.forces, found.fronts, found.left
    seed, quick = asked["seed"], asked["quick"]
    data, messages, nodes, read, main = forces.dataset, forces.messages, forces.nodes, forces.read, forces.main
    ground = account.ground_of(messages, nodes, data, seed, quick, forces.units)

    def rest(terms):
        less = forces.less(terms)
        return less, account.ground_of(less, nodes, data, seed, quick, forces.units)

    front, alone = _front_of("radial", main, fronts.get), not forces.network
    own = account.found_by(main, front, messages, ground, rest, data, families=alone)
    compared = [account.found_by(o, found.of_rivals[o.name], messages, ground, rest, data) for o in found.others]
    polish, doubts = None, against_tracks(data)
    if "observed" in data.arrays and found.behind is None and not main.further:
        own, polish, more = shooting_account.polished(own, data, seed, ground.unit_charges, quick)
        doubts += more
    test = forces.test(seed)
    judge = account.Judge(messages, ground, data, seed, test, forces.network, doubts)
    if found.behind is None:
        law, content = own.law, account.compose(own, compared, judge)
    else:
        law, content = _composed_behind(found, own, compared, judge)
    if "node" in fronts:
        told = (forces.less(main.further), account.without_further(law)) if main.further else (messages, law)
        content["node_search"] = account.node_json(fronts["node"], *told[::-1], nodes, read, main.force, data, seed)
    for further in extensions.modules("law accounts"):
        content[further.NAME] = further.account(forces, fronts, law, own, judge)
    position = content.get("node_search", {}).get("position")
    broken = left["third_law"]
    if (broken or 0) > trust.THIRD_LAW and not is_mutual(law.pair, law.properties):
        broken = None  # the law does not assume it
    content["data_verdict"]["violations"] = trust.violations(left, broken, position)
    if asked["sr_on_inputs"]:
        content["sr_on_inputs"] = on_inputs(plan.run, data, law, found.options, asked["rows"], asked["raw_inputs"])
    content |= {
        "source": main.name,
        "chain": law.chain,
        "cutoff": law.cutoff,
        "trajectories": roles.account(messages, test, seed),
        "read_out": read.account() | {k: left[k] for k in SHARES},
        "leftover": left,
        "targets": {name: account.target_json(name, f) for name, f in fronts.items()},
        "polish": polish,
    }
    if not forces.network:  # what "network" stands for in the choice is the splines
        content["acceleration_error"] |= {"gnn": None, "splines": content["acceleration_error"]["gnn"]}
        content["refinement"]["why"] = content["refinement"]["why"].replace("network", "splines")
    if isinstance(data, NoDataset) and "force" in messages:
        content["force_in_file"] = _against_forces(law, messages)
    return law, content


def _composed_behind(found: Searched, own, compared: list, judge: account.Judge) -> tuple[Law, dict]:
    """As ``composed`` where the messages have the forces behind a response, which the law has or has not."""
    receivers = behind.Ground(found.forces.messages, found.forces.nodes, judge.seed)
    made = behind.compose(found.fronts, receivers)
    # whatever is chosen: where it tells more than the network, that has to be seen
    alone = response_account.rival(behind.control(receivers), judge, own.law.chain)
    law, content = own.law, account.compose(own, compared, judge, [response_account.other(alone)])
    content["node_choice"] = response_account.choice(made, own, found.behind)
    content["rivals"]["response_control"] = alone
    if content["node_choice"]["chosen"] == "function":
        content["rivals"][LINEAR_NODE] = account.rival_json(own, judge) | LINEAR
        law, instead_of = response_account.replaced(made, found.fronts, own, judge, compared, alone)
        content |= instead_of
    return law, content


def _against_forces(law: Law, messages: dict) -> dict:
    """How far the law's pair forces are those that a messages file names."""
    unit = direction(messages["dx"].astype(float), messages["r"].astype(float))
    with np.errstate(all="ignore"):
        found = np.nan_to_num(law.radial(**of_edges(messages)))[:, None] * unit
    return read_out.score_forces(found, messages["force"].astype(float)) | {"n": len(unit)}


def _write_report(run: str) -> None:
    from distill.report.document import write_report  # matplotlib takes a second

    write_report(run)


def _looks_behind(plan: Plan, forces: Forces) -> bool:
    """Whether a response is looked for: not in windows, whose mean response is not that to the mean force."""
    node = plan.arguments["node"]
    if node == "linear" or forces.config is None or plan.arguments["force_from"] != MESSAGES or plan.given.windows:
        return False
    if plan.given.energies:  # whose momenta are m v
        return False
    model = forces.config.model
    free = not model.get("linear_node") and model.get("antisymmetric") and not model.get("periodic")
    return node == "function" or bool(free)


def _read_behind(node: str, forces: Forces, seed: int) -> behind.Read | None:
    """None, and a warning, where nothing can be read and that was not asked for."""
    try:
        return behind.read(forces.messages, forces.nodes, seed)
    except UserError as exc:
        if node != "auto":
            raise
        warn(f"{exc.message}; read as a linear node")
        return None


def _headline(record: LawRecord) -> dict:
    """What the last line of the stage says of the law."""
    verdict, error, told = record.verdict, record.acceleration_error, {"trusted": record.data_verdict.trusted}
    if verdict.recovered is not None:
        told = {"recovered": verdict.recovered}
        told |= {"relation": verdict.equivalence.text} if verdict.equivalence else {}
        told |= {"in_range": verdict.relative_error_in_range, "near": verdict.relative_error_near}
        told |= {"extrapolated": verdict.relative_error_extrapolated}
        told |= {"not_judged": len(verdict.not_judged)} if verdict.not_judged else {}
    if response := record.node.response:  # without it the pair law alone would look like a = F/m
        told = {"response": response_short(response)} | told
    told |= {"force_r2": record.force_in_file.r2_all} if record.force_in_file else {}
    told["error_law"] = error.law
    told |= {"error_splines": error.splines} if error.gnn is None else {"error_gnn": error.gnn}
    told |= {} if error.noise is None else {"noise": error.noise}
    told |= {"receivers": error.n, "engine": record.engine}
    told |= {"chi2": record.polish.chi2} if record.polish and record.polish.chi2 else {}
    if better := record.data_verdict.better:
        told |= {"better": f"f = {better.text} ({better.label})"}
    return {"law": pair_words(record)} | told


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
