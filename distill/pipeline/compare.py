"""The law against the network it came from, on data unlike the training data: the stage ``test_generalization``."""

from argparse import Namespace
from pathlib import Path

from distill.files import records
from distill.files.kinds import Generalization, LawRecord, MessagesRecord, RunConfig
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.of_run import dataset_of_run
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import save_bytes
from distill.generalization.comparison import FRESH_SEED, comparisons, measure
from distill.generalization.extrapolation import INTERPOLATION
from distill.physics.law import law_of
from distill.report.material import gather
from distill.report.words import summary
from distill.results.comparisons import ComparisonResult
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.kinds import resolve
from distill.shell.paths import relative
from distill.shell.processes import alone_making
from distill.shell.stage import Done, Stage, name_of
from distill.shell.threads import pick_device


def compare(
    run: str | Done,
    *,
    device: str = "auto",
    seed: int = FRESH_SEED,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
    **flags,
) -> ComparisonResult:
    """Compare law and network of ``run``; writes generalization.json, generalization.png and report.html.

    ``flags``: those of the kind of data (``distill.generalization.comparison``), None for its default. ``UserError``
    where there is no law, or one of another network than there is now.
    """
    run = run_name_of(name_of(run))
    common = {k: v for k, v in locals().items() if k != "flags"}
    out = paths.OUTPUTS / run
    law_path, result_path, report = (out / name for name in ("law.json", "generalization.json", "report.html"))
    if law_path.is_file() and not (paths.MODEL_WEIGHTS / run / "config.json").is_file():
        given, alone = (
            records.load(LawRecord, law_path).arguments,
            "without a network: there is none to compare it with",
        )
        if data := given.get("dataset"):
            fix = f"see its report.html, or train:  python train.py --dataset {data}"
            raise UserError(f"{relative(law_path)} is the law of a dataset {alone}", fix)
        if theirs := given.get("messages"):
            raise UserError(f"{relative(law_path)} is the law of messages, {theirs}, {alone}", "see its report.html")
    folder = run_dir(run)
    found = records.load(LawRecord, law_path)
    check_law(found, law_path, run, folder)
    law = law_of(found)
    inputs = {"law": law_path, "weights": folder / "model.safetensors", "config": folder / "config.json"}
    config = records.load(RunConfig, inputs["config"])
    dataset = dataset_of_run(run, config)
    inputs["dataset"] = dataset.path
    kind = next(k for k in reversed(comparisons()) if k.takes(dataset))
    args = Namespace(**common, **resolve(kind, comparisons(), flags, quick))
    kind.check(args, law)
    if not inputs["weights"].is_file():
        raise UserError(f"{relative(inputs['weights'])} does not exist", "train again:  python train.py --resume")
    stage, arguments = Stage("test_generalization", run, ComparisonResult), vars(args)
    with alone_making(result_path):
        if already_done(result_path, arguments, inputs, overwrite):
            from distill.report.document import report_of

            return stage.already_done(report_of(run))
        # torch and matplotlib take seconds, which a refusal above need not wait for
        from distill.network.weights import load_run
        from distill.report import plots
        from distill.report.document import write_report

        device = pick_device(device, threads)
        model, _ = load_run(run, device)
        measured = measure(kind, args, dataset, model, law)
        made = provenance("test_generalization", arguments, inputs, stage.seconds, device)
        content = made | {"run": run} | measured
        result = records.checked(Generalization, content)
        figure = plots.generalization(result.sets, result.rollouts, run, result.force_unit)
        save_bytes(out / "generalization.png", plots.save_bytes(figure))
        records.save(Generalization, result_path, content)  # last: where it is there, the stage is done
        report = write_report(run)
    first = result.sets[INTERPOLATION]
    told = {"mae_law": first.law.mae, "mae_gnn": first.gnn.mae, "n": first.law.n, "sets": len(result.sets)}
    return stage.done(report, summary(found, result, gather(run).linear_fit, config.skill), **told)


def check_law(law: LawRecord, path: Path, run: str, folder: Path) -> None:
    """Refuse a law of another run, or one whose network or messages have been made again since."""
    again = f"python symbolic_reg.py --run {run} --overwrite"
    if law.run != run:
        raise UserError(f"{relative(path)} is the law of run '{law.run}', expected '{run}'", again)
    current = {"config": folder / "config.json", "weights": folder / "model.safetensors"}
    current["messages"] = messages_path(run, "train")
    for name, entry in law.inputs.items():
        source = current.get(name)
        if source and source.is_file() and entry.sha256 != sha256(source):
            raise UserError(f"{relative(path)} is older than {relative(source)}, which has changed since", again)
    # The law came from messages: they in turn must be of these weights.
    side = messages_path(run, "train").with_suffix(".json")
    if side.is_file():
        if records.load(MessagesRecord, side).digest_of("config") != sha256(current["config"]):
            raise UserError(
                f"{relative(path)} is older than the run: '{run}' has been trained again since",
                f"python extract_messages.py --run {run} --overwrite, then {again}",
            )
