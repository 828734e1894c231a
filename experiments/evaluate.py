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

from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import load_json, save_json
from distill.report.numbers import files_of, hardware, law_numbers
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script
from distill.shell.threads import set_threads

MADE_BY = {"linear_fit": "fit_linear.py", "law": "symbolic_reg.py", "generalization": "test_generalization.py"}
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
    made |= {"quick": found["config"].get("quick", False), "hardware": hardware(), "date": time.strftime("%Y-%m-%d")}
    save_json(args.out, made | cell)
    scores, law = cell["messages"], cell["law"]
    shown = {f"r2_{target}": scores["r2"][target]["trimmed"]["r2"] for target in ("force", "acceleration")}
    shown |= {"best_target": cell["best_target"], "mae": scores["mae"]["all"]["per_component"]}
    shown |= {"recovered": law["recovered"], "from_messages": law["from_messages_recovered"]} if law else {}
    print(stage.done(args.out, **shown, edges=scores["edges"]["all"]), flush=True)
    return 0


def inputs_of(run: str) -> tuple[dict[str, Path], dict[str, dict]]:
    """Paths of what is read and contents of the JSONs among it, by name; ``UserError`` if something that is needed
    is missing or was made from another state of the run.
    """
    files = files_of(run)
    paths = {"config": files["train"], "messages_test": messages_path(run, "test"), "linear_fit": files["fit_linear"]}
    if not paths["messages_test"].is_file():
        raise UserError(
            f"{relative(paths['messages_test'])} does not exist",
            f"run this first:  python extract_messages.py --run {run}",
        )
    for name, stage in (("law", "symbolic_reg"), ("generalization", "test_generalization")):
        if files[stage].is_file():
            paths[name] = files[stage]
    found = {}
    for name in ("config", "linear_fit", "law", "generalization"):
        if name in paths:
            fix = f"run this first:  python {MADE_BY.get(name, 'train.py')} --run {run}"
            found[name] = load_json(paths[name], fix if name in MADE_BY else None)
    train = messages_path(run, "train")
    if found["config"].get("model", {}).get("periodic") and train.is_file():
        paths["messages_train"] = train  # for the rows of ``gamd_sr``
    for name, source in MADE_FROM:
        if name in found and source in paths:
            entry = found[name].get("inputs", {}).get(source)
            if entry is None or entry.get("sha256") != sha256(paths[source]):
                raise UserError(
                    f"{relative(paths[name])} was made from another {paths[source].name} than is there now",
                    f"python {MADE_BY[name]} --run {run} --overwrite",
                )
    return paths, found


def describe(config: dict) -> dict:
    """Which cell it is and what its network was trained with, from ``config.json``; ``UserError`` if it lacks them."""
    try:
        model, options, arguments = config["model"], config["options"], config["arguments"]
        system = config["system"] or {}
        training = {k: config[k] for k in OF_CONFIG} | {k: config["git"][k] for k in ("commit", "dirty")}
        training |= {"epochs": options["epochs"], "precision": arguments.get("precision", "float32")}
        training |= {"torch": config["versions"].get("torch"), "stacked_runs": config.get("stacked_runs", 1)}
        return {
            **{k: config[k] for k in ("run", "dataset", "variant", "recipe", "seed", "n", "dim")},
            "system": system.get("name"),
            "original_form": system.get("variant") == "original",
            "tag": arguments.get("tag", ""),
            "edge_model": model.get("edge_model", "mlp"),
            "loss": options["loss"],
            "training": training | {"model": model, "options": options},
        }
    except (KeyError, TypeError, AttributeError) as exc:
        raise UserError(
            f"config.json of this run lacks {exc}", "train it again:  python train.py --overwrite"
        ) from None


def measure(run: str, inputs: dict[str, Path], found: dict) -> dict:
    """The numbers of a cell: messages under every definition, the stages' own fits, the law and its errors."""
    import reproductions

    messages, meta = load_messages(inputs["messages_test"], run)
    own = {
        name: _read(run, name, reader, found.get(name))
        for name, reader in (("linear_fit", fit_of), ("law", law_of), ("generalization", errors_of))
    }
    cell = {"messages": reproductions.scores(messages, meta), **own.pop("linear_fit"), **own}
    if {"law", "generalization", "messages_train"} <= set(inputs):
        cell["fluid"] = _read(run, "generalization", lambda _: fluid_of(run, inputs, found, messages), found)
    return cell


def fluid_of(run: str, inputs: dict[str, Path], found: dict, test: dict) -> dict:
    """What is asked of a fluid beyond other cells: gamd_sr's rows, sigma and epsilon, the rollouts."""
    import gamd_sr

    train, meta = load_messages(inputs["messages_train"], run)
    fit, law, against = (found[name] for name in ("linear_fit", "law", "generalization"))
    return {
        "gamd_sr": gamd_sr.rows(train, test, meta, fit, law, against),
        "lennard_jones": law["lennard_jones"],
        "lennard_jones_from_messages": law["from_messages"]["lennard_jones"],
        "rollouts": against["rollouts"],
    }


def _read(run: str, name: str, reader, content: dict | None):
    """``reader(content)``, None if there is no content; ``UserError`` if it lacks what is read."""
    try:
        return None if content is None else reader(content)
    except (KeyError, TypeError, AttributeError) as exc:
        raise UserError(
            f"{name}.json of run '{run}' lacks {exc}: it is of another version or was edited",
            f"python {MADE_BY[name]} --run {run} --overwrite",
        ) from None


def fit_of(fit: dict) -> dict:
    """What ``fit_linear.py`` found: which target the messages are, fits to each target, the read-out."""
    return {
        "best_target": fit["best_target"],
        "fit": {target: {k: v[k] for k in FITS} for target, v in fit["targets"].items()},
        **({"potential": fit["potential"]} if fit.get("potential") else {}),
        "top_share": fit["top_share"],
        "importance_is": fit["importance_is"],
        "read_out": {k: fit["read_out"].get(k) for k in READ_OUT.split()},
    }


def law_of(law: dict) -> dict:
    """The verdicts of ``law.json`` (``report.numbers.law_numbers``), the truth, and what the data alone say."""
    row = law_numbers(law)
    said = row.pop("data_verdict") or {}
    row |= {"trusted": said.get("trusted"), "truth": (law.get("truth") or {}).get("text")}
    equations = {k: v.get("equation") for k, v in law.get("targets", {}).items()}
    return row | {"why": law["verdict"].get("why"), "targets": equations}


def errors_of(against: dict) -> dict:
    """Mean absolute error (per component) of network and law on each set of ``generalization.json``."""

    def one(s: dict) -> dict:
        found = {"gnn_mae": s["gnn"]["mae"], "law_mae": s["law"]["mae"], "law_over_gnn": s["law_over_gnn_mae"]}
        return found | {k: s[k] for k in ("graphs", "particles")}

    return {name: one(s) for name, s in against["sets"].items()}


if __name__ == "__main__":
    run_script(main)
