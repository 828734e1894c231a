"""Compare the law with the network it came from, on data unlike the training data, and write the report.

reads   outputs/<run>/law.json  model_weights/<run>/  and the dataset the run was trained on
writes  outputs/<run>/generalization.json  generalization.png  report.html

example:  python test_generalization.py --run r2_n4_d2_s0__l1-newton__s0

Sets, each labelled by the true accelerations: interpolation (simulated anew), more_particles (twice as
many), longer (frames after the training time), wide (positions x 3), heavy (masses x 3), close (positions
x 0.3). Then truth, law and network are integrated from the same starts for 3 training times. Where the
true law is not known here, only the dataset's own test split is used.

In a periodic box (argon): forces in kJ/mol/nm; sets simulated anew like the dataset, at two and three times its
temperature, dilute, dense, and with four times as many atoms. Then truth, law and network drive the fluid: g(r) and
temperature at the dataset's temperature, drifts of energy and momentum at constant energy.
"""

import numpy as np

from distill.files.dataset import dataset_of_run
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.provenance import already_done, provenance, sha256
from distill.files.storage import load_json, save_bytes, save_json
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, add_run_flags, non_negative_int, positive_float, positive_int
from distill.shell.paths import relative
from distill.shell.stage import Stage, progress, run_script
from distill.shell.threads import pick_device, set_threads

FRESH_SEED = 1_000_003
SIZES = {  # flag -> default, by whether the dataset has a periodic box
    False: {"n_trajectories": 100, "max_graphs": 4000, "rollouts": 16},
    True: {
        "n_trajectories": 4,
        "max_graphs": 40,
        "rollouts": 6,
        "rollout_time": 20.0,
        "particles": None,
        "network_seconds": 100.0,
    },
}
QUICK = {
    False: {"n_trajectories": 6, "rollouts": 2, "max_graphs": 200},
    True: {"n_trajectories": 2, "rollouts": 3, "max_graphs": 6, "rollout_time": 1.0, "network_seconds": 10.0},
}
SHORTEST = 0.2  # ps, of a rollout
REFERENCES = 6  # simulations at least whose g(r) tell what seeds alone do; half as many with --quick


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="name (or path) of a folder in model_weights/ with a law.json in outputs/")
    add("--n-trajectories", type=positive_int, help="new trajectories a set (100; 4 in a periodic box)")
    add("--max-graphs", type=positive_int, help="frames drawn at random from each set (4000; 40 in a box)")
    add("--rollouts", type=non_negative_int, help="starts that are integrated; 0 = none (16; 6 in a box)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add = parser.add_argument_group("periodic box").add_argument
    add(
        "--rollout-time",
        type=positive_float,
        metavar="PS",
        help="length of a rollout and of the simulations it is compared with; half of it at constant energy (20)",
    )
    add("--particles", type=positive_int, metavar="N", help="of the set with more (4 n, rounded to one digit)")
    add(
        "--network-seconds",
        type=positive_float,
        metavar="S",
        help="CPU time of all rollouts of the network; what it does not reach is left out and recorded (100)",
    )
    add_run_flags(parser, "seed of the new trajectories; must differ from the dataset's")
    parser.set_defaults(seed=FRESH_SEED)
    return parser.parse_args(argv)


def resolve(args, boxed: bool, where: str) -> None:
    """Fill in the sizes that were not given; ``UserError`` for a flag that needs a periodic box."""
    for name in SIZES[True]:
        given = getattr(args, name)
        if name in SIZES[boxed]:
            setattr(args, name, SIZES[boxed][name] if given is None else given)
            continue
        if given is not None:
            raise UserError(
                f"--{name.replace('_', '-')} is for data in a periodic box, {where} has none", "leave it out"
            )
        delattr(args, name)
    if boxed and args.rollout_time < SHORTEST:
        raise UserError(
            f"--rollout-time is {args.rollout_time:g} ps, expected at least {SHORTEST:g}: frames are 0.1 ps apart"
        )
    if args.quick:
        for name, size in QUICK[boxed].items():
            setattr(args, name, min(getattr(args, name), size))


def main(argv=None) -> int:
    args = parse(argv)
    args.run = run_name_of(args.run)
    set_threads(args.threads)
    folder, out = run_dir(args.run), paths.OUTPUTS / args.run
    law_path = out / "law.json"
    from distill.physics.law import law_from_json

    content = load_json(law_path, f"run this first:  python symbolic_reg.py --run {args.run}")
    check_law(content, law_path, args.run, folder)
    law = law_from_json(content, relative(law_path))
    config = load_json(folder / "config.json", "train again:  python train.py --overwrite")
    dataset = dataset_of_run(args.run, config)
    boxed = "box" in dataset.arrays
    resolve(args, boxed, relative(dataset.path))
    inputs = {
        "law": law_path,
        "weights": folder / "model.safetensors",
        "config": folder / "config.json",
        "dataset": dataset.path,
    }
    if not inputs["weights"].is_file():
        raise UserError(f"{relative(inputs['weights'])} does not exist", "train again:  python train.py --resume")
    stage, result_path = Stage("test_generalization", args.run), out / "generalization.json"
    report = out / "report.html"
    from distill.report.document import is_stale, write_report

    if already_done(result_path, vars(args), inputs, args.overwrite):
        if is_stale(args.run):
            write_report(args.run)
        print(stage.already_done(report), flush=True)
        return 0

    from distill.network.edges import is_chain
    from distill.network.weights import load_run

    device = pick_device(args.device, args.threads)
    model, _ = load_run(args.run, device)
    if boxed:
        result = measure_fluid(args, dataset, model, law)
    else:
        result = measure(args, dataset, model, law, is_chain(dataset.meta))

    from distill.fluid import figures
    from distill.report import plots, plots_generalization

    shown = result["sets"], result["rollouts"], args.run
    if boxed:
        figure = figures.generalization(*shown, result["force_unit"])
    else:
        figure = plots_generalization.generalization(*shown)
    save_bytes(out / "generalization.png", plots.save_bytes(figure))
    save_json(
        result_path,
        provenance("test_generalization", vars(args), inputs, stage.seconds, device) | {"run": args.run} | result,
    )
    report = write_report(args.run)
    for line in summary(content, result, out):
        print(line)
    shown = {f"mae_{k}": result["sets"]["interpolation"][k]["mae"] for k in ("law", "gnn")}
    print(
        stage.done(report, **shown, n=result["sets"]["interpolation"]["law"]["n"], sets=len(result["sets"])), flush=True
    )
    return 0


def check_law(content: dict, path, run: str, folder) -> None:
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


def check_seed(args, dataset) -> None:
    if args.seed == dataset.meta.get("arguments", {}).get("seed"):
        raise UserError(
            f"--seed {args.seed} is the dataset's own: its trajectories were trained on", "give another --seed"
        )


def measure(args, dataset, model, law, chain: bool) -> dict:
    """Everything in ``generalization.json`` but its provenance."""
    from distill.generalization import extrapolation, rollout
    from distill.network.evaluation import network_acceleration
    from distill.physics.record import system_of

    system = system_of(dataset.meta)
    network = network_acceleration(model, chain)
    frames, starts = dataset.pos.shape[1], None
    if system is None:
        sets = extrapolation.own_test_set(dataset, args.max_graphs, args.seed)
    else:
        check_seed(args, dataset)
        spacing = float(dataset.t[1] - dataset.t[0]) if frames > 1 else system.dt
        sets, starts = extrapolation.fresh_sets(
            dataset.meta,
            n=dataset.n,
            dim=dataset.dim,
            frames=frames,
            spacing=spacing,
            trajectories=max(args.n_trajectories, args.rollouts),
            limit=args.max_graphs,
            seed=args.seed,
        )
    result = {
        "truth": None if system is None else {"system": system.name, "law": system.law},
        "simulations": {k: s.report for k, s in sets.items() if k in ("interpolation", "more_particles") and s.report},
        "sets": {k: extrapolation.compare(s, network, law.acceleration) for k, s in sets.items()},
    }
    if system is None:
        result["rollouts"] = {"skipped": extrapolation.NOTHING_KNOWN}
    elif not args.rollouts or frames < 2:
        why = "asked for none (--rollouts 0)" if frames > 1 else "the training data are single frames"
        result["rollouts"] = {"skipped": why}
    else:
        first = {k: np.array(v[: args.rollouts]) for k, v in starts.items()}
        result["rollouts"] = rollout.compare(
            system,
            law.acceleration,
            network_acceleration(model, chain, double=True),
            **first,
            training_time=spacing * (frames - 1),
            times=extrapolation.LONGER,
        )
    return result


def measure_fluid(args, dataset, model, law) -> dict:
    """As ``measure``, of data in a periodic box."""
    from distill.fluid import conditions
    from distill.generalization import extrapolation
    from distill.network.edges import cutoff_of
    from distill.network.evaluation import network_acceleration
    from distill.physics.lennard_jones import LennardJones
    from distill.physics.record import system_of

    if law.cutoff is None:
        raise UserError(
            f"the law of {args.run} has no cutoff, which a periodic box needs",
            f"python symbolic_reg.py --run {args.run} --overwrite",
        )
    system, cutoff = system_of(dataset.meta), cutoff_of(dataset)
    made = {"skipped": {}, "simulations": {}}
    known = isinstance(system, LennardJones)
    if known:
        check_seed(args, dataset)
        settings, engine = conditions.settings_like(dataset, system, args.seed, args.quick)
        references = max(args.rollouts, REFERENCES // (2 if args.quick else 1)) if args.rollouts else 0
        plan = conditions.Plan(
            settings,
            engine,
            args.n_trajectories,
            args.max_graphs,
            args.particles or conditions.four_times(dataset.n),
            references,
            args.rollout_time,
        )
        made |= conditions.fresh_sets(dataset.meta, plan, cutoff, args.threads)
    else:
        made["sets"] = conditions.own_test_set(dataset, args.max_graphs, args.seed, cutoff)
    network = network_acceleration(model)
    unit = conditions.FORCE_UNIT if known else conditions.OWN_UNIT
    result = {
        "truth": {"system": system.name, "law": system.law} if known else None,
        "force_unit": unit,
        "errors_are": f"of forces, mass * acc, in {unit}; mae: mean over components; n: particles times frames",
        "simulations": made["simulations"],
        "sets": {
            k: conditions.compare(s, network, law.acceleration)
            for k, s in progress(made["sets"].items(), desc="errors of law and network", unit="set")
        },
        "skipped_sets": made["skipped"],
    }
    if not known:
        return result | {"rollouts": {"skipped": extrapolation.NOTHING_KNOWN}}
    if not args.rollouts:
        return result | {"rollouts": {"skipped": "asked for none (--rollouts 0)"}}
    from distill.fluid import rollouts

    reference = made["reference"]
    bath = rollouts.bath_of(settings, reference["spacing"], reference["pos"].shape[1])
    return result | {
        "rollouts": rollouts.compare(system, law, model, reference, bath, args.rollouts, cutoff, args.network_seconds)
    }


def summary(law: dict, result: dict, folder) -> list[str]:
    """The few lines a user reads on the terminal."""
    from distill.fluid import section
    from distill.report import words
    from distill.report.words import ratio_words, shown, truth_words, verdict_word, worst_extrapolation

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
    unit = f" {result['force_unit']}" if "force_unit" in result else ""
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
    return lines + words.momentum_lines(result["rollouts"]) + section.lines(law, result)


if __name__ == "__main__":
    run_script(main)
