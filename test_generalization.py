"""Compare the law with the network it came from, on data unlike the training data, and write the report.

reads   outputs/<run>/law.json  model_weights/<run>/  and the dataset the run was trained on
writes  outputs/<run>/generalization.json  generalization.png  report.html

example:  python test_generalization.py --run r2_n4_d2_s0__l1-newton__s0

Sets, each labelled by the true accelerations: interpolation (simulated anew), more_particles (twice as
many), longer (frames after the training time), wide (positions x 3), heavy (masses x 3), close (positions
x 0.3). Then truth, law and network are integrated from the same starts for 3 training times. Where the
true law is not known here, only the dataset's own test split is used.
"""

import numpy as np

from distill import cli, formats
from distill.cli import Parser, Stage, UserError, run_script

FRESH_SEED = 1_000_003
QUICK = {"n_trajectories": 6, "rollouts": 2, "max_graphs": 200}


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="name of a folder in model_weights/ with a law.json in outputs/")
    add("--n-trajectories", type=cli.positive_int, default=100, help="new trajectories a set")
    add("--max-graphs", type=cli.positive_int, default=4000, help="frames drawn at random from each set")
    add("--rollouts", type=cli.non_negative_int, default=16, help="starts that are integrated; 0 = none")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    cli.add_run_flags(parser, "seed of the new trajectories; must differ from the dataset's")
    parser.set_defaults(seed=FRESH_SEED)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    cli.set_threads(args.threads)
    if args.quick:
        for name, size in QUICK.items():
            setattr(args, name, min(getattr(args, name), size))
    folder, out = formats.run_dir(args.run), formats.OUTPUTS / args.run
    law_path = out / "law.json"
    from distill.law import law_from_json

    content = formats.load_json(law_path, f"run this first:  python symbolic_reg.py --run {args.run}")
    check_law(content, law_path, args.run, folder)
    law = law_from_json(content, cli.relative(law_path))
    config = formats.load_json(folder / "config.json", "train again:  python train.py --overwrite")
    dataset = formats.dataset_of_run(args.run, config)
    if "box" in dataset.arrays:
        raise UserError(f"{cli.relative(dataset.path)} has a periodic box, which this stage does not support",
                        f"the law of {args.run} is in {cli.relative(law_path)}")  # fmt: skip
    inputs = {"law": law_path, "weights": folder / "model.safetensors", "config": folder / "config.json",
              "dataset": dataset.path}  # fmt: skip
    if not inputs["weights"].is_file():
        raise UserError(f"{cli.relative(inputs['weights'])} does not exist", "train again:  python train.py --resume")
    stage, result_path = Stage("test_generalization", args.run), out / "generalization.json"
    report = out / "report.html"
    from distill.report import is_stale, write_report

    if formats.already_done(result_path, vars(args), inputs, args.overwrite):
        if is_stale(args.run):
            write_report(args.run)
        stage.already_done(report)
        return 0

    from distill.checkpoints import load_run
    from distill.graphs import is_chain

    device = cli.pick_device(args.device, args.threads)
    model, _ = load_run(args.run, device)
    result = measure(args, dataset, model, law, is_chain(dataset.meta))

    from distill import plots, plots_generalization

    figure = plots_generalization.generalization(result["sets"], result["rollouts"], args.run)
    formats.save_bytes(out / "generalization.png", plots.save_bytes(figure))
    formats.save_json(result_path, formats.provenance(
        "test_generalization", vars(args), inputs, stage.seconds, device) | {"run": args.run} | result)  # fmt: skip
    report = write_report(args.run)
    for line in summary(content, result, out):
        print(line)
    shown = {f"mae_{k}": result["sets"]["interpolation"][k]["mae"] for k in ("law", "gnn")}
    stage.done(report, **shown, n=result["sets"]["interpolation"]["law"]["n"], sets=len(result["sets"]))
    return 0


def check_law(content: dict, path, run: str, folder) -> None:
    """Refuse a law of another run, or one whose network or messages have been made again since."""
    again = f"python symbolic_reg.py --run {run} --overwrite"
    if content.get("run") != run:
        raise UserError(f"{cli.relative(path)} is the law of run '{content.get('run')}', expected '{run}'", again)
    current = {"config": folder / "config.json", "weights": folder / "model.safetensors"}
    current["messages"] = formats.messages_path(run, "train")
    recorded = content.get("inputs")
    for name, entry in (recorded if isinstance(recorded, dict) else {}).items():
        source = current.get(name)
        if source and source.is_file() and entry.get("sha256") != formats.sha256(source):
            raise UserError(
                f"{cli.relative(path)} is older than {cli.relative(source)}, which has changed since", again
            )
    # The law came from messages: they in turn must be of these weights.
    side = formats.messages_path(run, "train").with_suffix(".json")
    if side.is_file():
        made_from = formats.load_json(side).get("inputs", {}).get("config", {}).get("sha256")
        if made_from not in (None, formats.sha256(current["config"])):
            raise UserError(
                f"{cli.relative(path)} is older than the run: '{run}' has been trained again since",
                f"python extract_messages.py --run {run} --overwrite, then {again}",
            )


def measure(args, dataset, model, law, chain: bool) -> dict:
    """Everything in ``generalization.json`` but its provenance."""
    from distill import extrapolation, rollout
    from distill.system_record import system_of

    system = system_of(dataset.meta)
    network = extrapolation.network_acceleration(model, chain)
    frames, starts = dataset.pos.shape[1], None
    if system is None:
        sets = extrapolation.own_test_set(dataset, args.max_graphs, args.seed)
    else:
        if args.seed == dataset.meta.get("arguments", {}).get("seed"):
            raise UserError(f"--seed {args.seed} is the dataset's own: its trajectories were trained on",
                            "give another --seed")  # fmt: skip
        spacing = float(dataset.t[1] - dataset.t[0]) if frames > 1 else system.dt
        sets, starts = extrapolation.fresh_sets(
            dataset.meta, n=dataset.n, dim=dataset.dim, frames=frames, spacing=spacing,
            trajectories=max(args.n_trajectories, args.rollouts), limit=args.max_graphs, seed=args.seed)  # fmt: skip
    result = {
        "truth": None if system is None else {"system": system.name, "law": system.law},
        "simulations": {k: s.report for k, s in sets.items() if k in ("interpolation", "more_particles") and s.report},
        "sets": {k: extrapolation.compare(s, network, law.acceleration) for k, s in sets.items()},
    }  # fmt: skip
    if system is None:
        result["rollouts"] = {"skipped": extrapolation.NOTHING_KNOWN}
    elif not args.rollouts or frames < 2:
        why = "asked for none (--rollouts 0)" if frames > 1 else "the training data are single frames"
        result["rollouts"] = {"skipped": why}
    else:
        first = {k: np.array(v[: args.rollouts]) for k, v in starts.items()}
        result["rollouts"] = rollout.compare(
            system, law.acceleration, extrapolation.network_acceleration(model, chain, double=True), **first,
            training_time=spacing * (frames - 1), times=extrapolation.LONGER)  # fmt: skip
    return result


def summary(law: dict, result: dict, folder) -> list[str]:
    """The few lines a user reads on the terminal."""
    from distill import findings
    from distill.findings import ratio_words, shown, truth_words, verdict_word, worst_extrapolation

    fit_path = folder / "linear_fit.json"
    fit = formats.load_json(fit_path) if fit_path.is_file() else {}
    truth, verdict = law.get("truth") or {}, law.get("verdict") or {}
    lines = [f"law found        f = {law['pair']['text']}",
             f"true law         {'f = ' + truth['text'] if truth.get('text') else truth_words(law, result)}",
             f"verdict          {verdict_word(verdict)}: {verdict.get('why', 'no reason recorded')}"]  # fmt: skip
    lines += findings.verdict_lines(law)
    if "r2_all" in fit:
        lines.append(f"messages         R2 with true forces {fit['r2_all']:.4f} (all), {fit['r2_trim90']:.4f}"
                     f" (best 90 %), {fit['n_edges']} edges")  # fmt: skip
    worst = worst_extrapolation(result["sets"])
    for label, name in (("interpolation", "interpolation"), ("worst elsewhere", worst)):
        if name in result["sets"]:
            one = result["sets"][name]
            lines.append(f"{label:<16} MAE {shown(one['law']['mae'])} (law), {shown(one['gnn']['mae'])} (network):"
                         f" the law's is {ratio_words(one)}; {name}, {one['law']['n']} accelerations")  # fmt: skip
    models = result["rollouts"].get("models")
    if models:
        lines.append(f"rollouts         the law follows the truth for {models['law']['followed_for']:.3g} time units,"
                     f" the network for {models['gnn']['followed_for']:.3g}"
                     f" (horizon {result['rollouts']['horizon']:.3g}, n {result['rollouts']['n']})")  # fmt: skip
    return lines + findings.momentum_lines(result["rollouts"])


if __name__ == "__main__":
    run_script(main)
