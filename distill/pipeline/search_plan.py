"""What a search for a law is asked for, checked and completed before anything is read or fitted."""

from dataclasses import dataclass
from pathlib import Path

from distill.files.properties import variables
from distill.pipeline.forces import OF_DATASET, OF_MESSAGES, OfDataset, OfMessages, OfRun, where_from
from distill.search import given as given_formulas
from distill.search.engine import USUAL, SearchOptions
from distill.search.front import Row
from distill.search.registry import (
    BOTH,
    DEFAULT_TARGETS,
    ENERGIES,
    MESSAGES,
    OF_ENERGIES,
    SPLINES,
    load_engine,
    resolve_engine,
)
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.paths import relative

QUICK_ROWS = 500
OPTIONS = ("engine", "loss", "operators", "niterations", "max_complexity", "restarts", "min_restarts")
OPTIONS += ("seed", "time_limit", "deterministic", "guesses")  # of the search that are a stage's


@dataclass
class Plan:
    """What was asked for, checked and completed. ``arguments``: of the stage, as its record has them; ``formulas``: of
    a file in place of a search; ``reason``: of the engine, ``other``: whether another may stand in for it.
    """

    given: OfRun | OfDataset | OfMessages
    inputs: dict[str, Path]
    arguments: dict
    options: SearchOptions
    reason: str
    other: bool
    formulas: list[Row] | None = None

    @property
    def run(self) -> str:
        return self.given.run

    @property
    def folder(self) -> Path:
        return paths.OUTPUTS / self.run


def planned(asked: dict) -> Plan:
    """From the arguments of ``search_law``; ``UserError`` for what does not go together."""
    arguments = dict(asked)
    run, dataset, messages, quick = (arguments[k] for k in ("run", "dataset", "messages", "quick"))
    force_from = arguments["force_from"] or (MESSAGES if dataset is None else SPLINES)
    main, rivals = force_from, tuple(arguments["rivals"])
    if force_from == BOTH:
        main, rivals = MESSAGES, (*rivals, SPLINES)
    rivals = tuple(name for name in dict.fromkeys(rivals) if name != main)
    if (hall_of_fame := arguments["hall_of_fame"]) is not None:
        _check_given(**{k: arguments[k] for k in ("engine", "targets", "node", "sr_on_inputs")})
        hall_of_fame = str(hall_of_fame)
        arguments |= {"targets": OF_DATASET, "node": "linear", "hall_of_fame": hall_of_fame}
    elif arguments["names"]:
        raise UserError("--names says what the names of a file are", "give it with --hall-of-fame FILE")
    targets = arguments["targets"]
    if targets is None:
        usual = DEFAULT_TARGETS if messages is None else OF_MESSAGES
        targets = usual if dataset is None else OF_DATASET
    if arguments["node"] == "function" and (run is None or main != MESSAGES):
        raise UserError("--node function reads the messages of a network", "give --run, and not --force-from splines")
    if arguments["sr_on_inputs"] and messages is not None:
        raise UserError("--sr-on-inputs searches positions, which messages alone do not have", "leave it out")
    given = where_from(run, dataset, messages, arguments["name"], force_from, targets, rivals)
    targets = _of_energies(given, arguments, main, targets)
    _check_windows(given, arguments)
    arguments |= {
        "run": given.run,
        "dataset": None if dataset is None else given.dataset.name,
        "messages": None if messages is None else str(messages),
        "name": None if messages is None else given.run,
        "force_from": main,
        "names": list(arguments["names"]),
    }
    inputs, formulas = given.inputs, None
    if hall_of_fame:
        if (paths.OUTPUTS / given.run / "symbolic").resolve() in Path(hall_of_fame).resolve().parents:
            found = f"{relative(hall_of_fame)} lies where this stage writes its own"
            raise UserError(found, "move it elsewhere, and give it from there")
        most, here = arguments["max_complexity"], variables(given.properties)
        formulas = given_formulas.read_front(hall_of_fame, here, arguments["names"], most)
    if "radial" not in targets:
        raise UserError("the law is composed from the radial target", "add radial to --targets")
    if hall_of_fame:
        inputs["hall_of_fame"] = Path(hall_of_fame)
        chosen, reason = given_formulas.NAME, f"the formulas of {relative(hall_of_fame)}"
    else:
        chosen, reason = resolve_engine(arguments["engine"])
    if given.periodic and arguments["sr_on_inputs"]:
        raise UserError("--sr-on-inputs does not know periodic boxes", "leave it out")
    # from distances alone, whole powers up to the 13th do not come out of products
    operators = tuple(arguments["operators"] or (*USUAL, *(("pow",) if given.periodic else ())))
    arguments |= {"operators": operators, "engine": chosen, "targets": list(targets), "rivals": list(rivals)}
    if quick:
        arguments |= {"restarts": 1, "min_restarts": 1, "rows": min(arguments["rows"], QUICK_ROWS)}
    options = SearchOptions(**{k: arguments[k] for k in OPTIONS}, resume=not arguments["overwrite"])
    load_engine(chosen).check(options)
    return Plan(given, inputs, arguments, options, reason, asked["engine"] == "auto", formulas)


def _of_energies(given, arguments: dict, main: str, targets):
    """The ``targets``, or the usual ones where messages are energies and none were asked for; ``UserError`` for what
    there is not.
    """
    there = given.energies and main == MESSAGES
    for name in (k for k in targets if k in ENERGIES and not there):
        found = f"--targets {name} needs messages that are energies, and these are none"
        raise UserError(found, "leave it out, or train:  python train.py --variant hamiltonian")
    if given.energies and arguments["node"] == "function":
        found = "--node function asks what particles do with their forces, and these energies have p = m v"
        raise UserError(found, "leave it out")
    return OF_ENERGIES if there and arguments["targets"] is None else targets


def _check_windows(given, arguments: dict) -> None:
    """``UserError`` for what needs accelerations of single frames where there are means over windows."""
    flags = {"--node function": arguments["node"] == "function", "--sr-on-inputs": arguments["sr_on_inputs"]}
    for name in (k for k, there in flags.items() if there and given.windows):
        found = f"{name} needs accelerations of single frames, and here are means over windows of frames"
        raise UserError(found, "leave it out, or measure accelerations")


def _check_given(engine: str, targets, node: str, sr_on_inputs: bool) -> None:
    """``UserError`` for flags of a search where a file gives the formulas."""
    flags = {"--engine": engine != "auto", "--targets": targets not in (None, [*OF_DATASET], OF_DATASET)}
    flags |= {"--node function": node == "function", "--sr-on-inputs": sr_on_inputs}
    for name in (k for k, there in flags.items() if there):
        raise UserError(
            f"--hall-of-fame gives formulas of the radial force, and {name} asks for a search", "leave it out"
        )
