"""Collect everything measured on one run in a small JSON: a cell of the tables.

reads   model_weights/<run>/config.json  outputs/<run>/messages_test.npz  linear_fit.json, and where they exist
        law.json  generalization.json  messages_train.npz (in a periodic box)
writes  the file given by --out

example:  python experiments/evaluate.py --run r2_n4_d2_s0__l1-newton__s0 --out cell.json

The scores of the messages are in every definition that a published table uses (reproductions.py). "law" and
"generalization" are null where no law was searched or compared. The file names no folder, only files with digests:
it can be committed.
"""

import time
from pathlib import Path

import gamd_sr
import reproductions

from distill.files import records
from distill.files.kinds import Generalization, LawRecord, LinearFit, RunConfig
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import save_json
from distill.report.material import sources
from distill.report.numbers import hardware, law_numbers
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script
from distill.shell.threads import set_threads

KINDS = {"config": RunConfig, "linear_fit": LinearFit, "law": LawRecord, "generalization": Generalization}
MADE_FROM = (
    ("linear_fit", "messages_test"),
    ("law", "config"),
    ("generalization", "config"),
    ("generalization", "law"),
)
OF_CONFIG = "graphs_seen steps train_graphs cpu_seconds seconds device validation_mae active".split()
FITS = ("r2_all", "r2_trim90", "r2_all_components", "r2_trim90_components")
READ_OUT = (
    "gauge why held_out_error node_terms antisymmetrised r2_all r2_trim90 median_relative_error tangential_median"
)


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True, help="name of a folder in model_weights/")
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace existing output")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(1)
    stage = Stage("evaluate", args.run)
    run_dir(args.run)
    inputs, found = inputs_of(args.run)
    arguments = {"run": args.run, "overwrite": args.overwrite}
    if already_done(args.out, arguments, inputs, args.overwrite):
        print(stage.already_done(args.out), flush=True)
        return 0
    cell = describe(found["config"]) | measure(args.run, inputs, found)
    made = provenance("evaluate", arguments, inputs, stage.seconds)
    for name, entry in made["inputs"].items():
        entry["path"] = inputs[name].name  # folders differ from machine to machine
    made |= {"quick": found["config"].quick, "hardware": hardware(), "date": time.strftime("%Y-%m-%d")}
    save_json(args.out, made | cell)
    scores, law = cell["messages"], cell["law"]
    shown = {f"r2_{target}": scores["r2"][target]["trimmed"]["r2"] for target in ("force", "acceleration")}
    shown |= {"best_target": cell["best_target"], "mae": scores["mae"]["all"]["per_component"]}
    shown |= {"recovered": law["recovered"], "from_messages": law["from_messages_recovered"]} if law else {}
    print(stage.done(args.out, **shown, edges=scores["edges"]["all"]), flush=True)
    return 0


def inputs_of(run: str) -> tuple[dict[str, Path], dict]:
    """Paths of what is read and records of the JSONs among it, by name; ``UserError`` if something that is needed
    is missing or was made from another state of the run.
    """
    needed, paths = ("config", "linear_fit"), {"messages_test": messages_path(run, "test")}
    paths |= {k: p for k, (_, p) in sources(run).items() if k in needed or (k in KINDS and p.is_file())}
    if not paths["messages_test"].is_file():
        raise UserError(
            f"{relative(paths['messages_test'])} does not exist",
            f"run this first:  python extract_messages.py --run {run}",
        )
    found = {name: records.load(kind, paths[name]) for name, kind in KINDS.items() if name in paths}
    train = messages_path(run, "train")
    if found["config"].model["periodic"] and train.is_file():
        paths["messages_train"] = train  # for the rows of ``gamd_sr``
    for name, source in MADE_FROM:
        if name in found and source in paths:
            if found[name].digest_of(source) != sha256(paths[source]):
                raise UserError(
                    f"{relative(paths[name])} was made from another {paths[source].name} than is there now",
                    KINDS[name].fix(paths[name]),
                )
    return paths, found


def describe(config: RunConfig) -> dict:
    """Which cell it is and what its network was trained with."""
    training = {k: getattr(config, k) for k in OF_CONFIG} | vars(config.git)
    training |= {"epochs": config.options["epochs"], "precision": config.arguments["precision"]}
    training |= {"torch": config.versions["torch"], "stacked_runs": config.stacked_runs}
    return {
        **{k: getattr(config, k) for k in ("run", "dataset", "variant", "recipe", "seed", "n", "dim")},
        "system": config.system.name or None,
        "original_form": config.system.variant == "original",
        "tag": config.arguments["tag"],
        "edge_model": config.model["edge_model"],
        "loss": config.options["loss"],
        "training": training | {"model": config.model, "options": config.options},
    }


def measure(run: str, inputs: dict[str, Path], found: dict) -> dict:
    """The numbers of a cell: messages under every definition, the stages' own fits, the law and its errors."""
    messages, meta = load_messages(inputs["messages_test"], run)
    law, against = found.get("law"), found.get("generalization")
    cell = {"messages": reproductions.scores(messages, meta.run), **fit_of(found["linear_fit"])}
    cell |= {"law": law and law_of(law), "generalization": against and errors_of(against)}
    if law and against and "messages_train" in inputs:
        cell["fluid"] = fluid_of(run, inputs, found, messages)
    return cell


def fluid_of(run: str, inputs: dict[str, Path], found: dict, test: dict) -> dict:
    """What is asked of a fluid beyond other cells: gamd_sr's rows, sigma and epsilon, the rollouts."""
    train, meta = load_messages(inputs["messages_train"], run)
    fit, law, against = (found[name] for name in ("linear_fit", "law", "generalization"))
    return {
        "gamd_sr": gamd_sr.rows(train, test, meta, fit, law, against),
        "lennard_jones": law.lennard_jones,
        "lennard_jones_from_messages": law.from_messages.lennard_jones,
        "rollouts": against.rollouts,
    }


def fit_of(fit: LinearFit) -> dict:
    """What ``fit_linear.py`` found: which target the messages are, fits to each target, the read-out."""
    return {
        **{k: getattr(fit, k) for k in ("best_target", "top_share", "importance_is")},
        "fit": {target: {k: getattr(v, k) for k in FITS} for target, v in fit.targets.items()},
        **({"potential": fit.potential} if fit.potential else {}),
        "read_out": {k: getattr(fit.read_out, k) for k in READ_OUT.split()},
    }


def law_of(law: LawRecord) -> dict:
    """The verdicts of ``law.json`` (``report.numbers.law_numbers``), the truth, and what the data alone say."""
    row = law_numbers(law) | {"trusted": law.data_verdict.trusted, "truth": law.truth and law.truth.text}
    return row | {"why": law.verdict.why, "targets": {k: t.equation for k, t in law.targets.items()}}


def errors_of(against: Generalization) -> dict:
    """Mean absolute error (per component) of network and law on each set of ``generalization.json``."""

    def one(s) -> dict:
        found = {"gnn_mae": s.gnn.mae, "law_mae": s.law.mae, "law_over_gnn": s.law_over_gnn_mae}
        return found | {"graphs": s.graphs, "particles": s.particles}

    return {name: one(s) for name, s in against.sets.items()}


if __name__ == "__main__":
    run_script(main)
