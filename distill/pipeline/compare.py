"""The law against the network it came from, on data unlike the training data: the stage ``test_generalization``."""

from argparse import Namespace
from pathlib import Path

from distill.files.dataset import dataset_of_run
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import load_json, save_bytes, save_json
from distill.generalization.comparison import FRESH_SEED, comparisons, measure
from distill.network.weights import load_run
from distill.physics.law import law_from_json
from distill.report import parts, plots, plots_generalization, words
from distill.report.document import is_stale, write_report
from distill.report.words import ratio_words, shown, truth_words, verdict_word, worst_extrapolation
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.kinds import resolve
from distill.shell.paths import relative
from distill.shell.stage import Done, Stage
from distill.shell.threads import pick_device


def compare(
    run: str,
    *,
    device: str = "auto",
    seed: int = FRESH_SEED,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
    **flags,
) -> Done:
    """Compare law and network of ``run``; writes generalization.json, generalization.png and report.html.

    ``flags``: those of the kind of data (``distill.generalization.comparison``), None for its default. ``UserError``
    where there is no law, or one of another network than there is now.
    """
    run = run_name_of(run)
    common = {k: v for k, v in locals().items() if k != "flags"}
    folder, out = run_dir(run), paths.OUTPUTS / run
    law_path, result_path, report = (out / name for name in ("law.json", "generalization.json", "report.html"))
    content = load_json(law_path, f"run this first:  python symbolic_reg.py --run {run}")
    check_law(content, law_path, run, folder)
    law = law_from_json(content, relative(law_path))
    inputs = {"law": law_path, "weights": folder / "model.safetensors", "config": folder / "config.json"}
    config = load_json(inputs["config"], "train again:  python train.py --overwrite")
    dataset = dataset_of_run(run, config)
    inputs["dataset"] = dataset.path
    kind = next(k for k in reversed(comparisons()) if k.takes(dataset))
    args = Namespace(**common, **resolve(kind, comparisons(), flags, quick))
    kind.check(args, law)
    if not inputs["weights"].is_file():
        raise UserError(f"{relative(inputs['weights'])} does not exist", "train again:  python train.py --resume")
    stage, arguments = Stage("test_generalization", run), vars(args)
    if already_done(result_path, arguments, inputs, overwrite):
        if is_stale(run):
            write_report(run)
        return stage.already_done(report)
    device = pick_device(device, threads)
    model, _ = load_run(run, device)
    result = measure(kind, args, dataset, model, law)
    figure = plots_generalization.generalization(result["sets"], result["rollouts"], run, result["force_unit"])
    save_bytes(out / "generalization.png", plots.save_bytes(figure))
    made = provenance("test_generalization", arguments, inputs, stage.seconds, device)
    save_json(result_path, made | {"run": run} | result)
    report = write_report(run)
    first = result["sets"]["interpolation"]
    errors = {f"mae_{k}": first[k]["mae"] for k in ("law", "gnn")}
    return stage.done(report, summary(content, result, out), **errors, n=first["law"]["n"], sets=len(result["sets"]))


def check_law(content: dict, path: Path, run: str, folder: Path) -> None:
    """Refuse a law of another run, or one whose network or messages have been made again since."""
    again = f"python symbolic_reg.py --run {run} --overwrite"
    if content.get("run") != run:
        raise UserError(f"{relative(path)} is the law of run '{content.get('run')}', expected '{run}'", again)
    current = {"config": folder / "config.json", "weights": folder / "model.safetensors"}
    current["messages"] = messages_path(run, "train")
    recorded = content.get("inputs")
    for name, entry in (recorded if isinstance(recorded, dict) else {}).items():
        source = current.get(name)
        if source and source.is_file() and entry.get("sha256") != sha256(source):
            raise UserError(f"{relative(path)} is older than {relative(source)}, which has changed since", again)
    # The law came from messages: they in turn must be of these weights.
    side = messages_path(run, "train").with_suffix(".json")
    if side.is_file():
        made_from = load_json(side).get("inputs", {}).get("config", {}).get("sha256")
        if made_from not in (None, sha256(current["config"])):
            raise UserError(
                f"{relative(path)} is older than the run: '{run}' has been trained again since",
                f"python extract_messages.py --run {run} --overwrite, then {again}",
            )


def summary(law: dict, result: dict, folder) -> list[str]:
    """The few lines a user reads on the terminal."""
    fit_path = folder / "linear_fit.json"
    fit = load_json(fit_path) if fit_path.is_file() else {}
    truth, verdict = law.get("truth") or {}, law.get("verdict") or {}
    lines = [
        f"law found        f = {law['pair']['text']}",
        f"true law         {'f = ' + truth['text'] if truth.get('text') else truth_words(law, result)}",
        f"verdict          {verdict_word(verdict)}: {verdict.get('why', 'no reason recorded')}",
    ]
    lines += words.verdict_lines(law)
    if "r2_all" in fit:
        lines.append(
            f"messages         R2 with true forces {fit['r2_all']:.4f} (all), {fit['r2_trim90']:.4f}"
            f" (best 90 %), {fit['n_edges']} edges"
        )
    worst = worst_extrapolation(result["sets"])
    unit = f" {result['force_unit']}" if result["force_unit"] else ""
    what = "forces" if unit else "accelerations"
    for label, name in (("interpolation", "interpolation"), ("worst elsewhere", worst)):
        if name in result["sets"]:
            one = result["sets"][name]
            lines.append(
                f"{label:<16} MAE {shown(one['law']['mae'])} (law), {shown(one['gnn']['mae'])} (network)"
                f"{unit}: the law's is {ratio_words(one)}; {name}, {one['law']['n']} {what}"
            )
    models = result["rollouts"].get("models")
    if models:
        lines.append(
            f"rollouts         the law follows the truth for {models['law']['followed_for']:.3g} time units,"
            f" the network for {models['gnn']['followed_for']:.3g}"
            f" (horizon {result['rollouts']['horizon']:.3g}, n {result['rollouts']['n']})"
        )
    return lines + words.momentum_lines(result["rollouts"]) + parts.added("lines", law, result)
