"""Distil a law of sums over neighbours from the messages of a network of overdensities, beside what needs no network.

reads    model_weights/<run>/, outputs/<run>/messages_train.npz, its dataset
writes   outputs/<run>/halo_law.json
example  python experiments/halos/law.py --run halos__l1-newton__s0

The live component of the messages is searched as a formula e_ij of r, masses and speeds, what the network predicts as
N(sum e_ij, m_i, v_i); all constants are then fitted together on the overdensities. Errors are those of the test split
(validation, where there is none): network, law, the formulas of Cranmer et al. 2020 refitted, least squares, splines.
"""

from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.kinds import RunConfig
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.provenance import provenance
from distill.files.storage import save_json
from distill.halos import baselines, distil, study
from distill.halos.catalogue import SMOOTHING, catalogues_of
from distill.halos.network import network_delta
from distill.halos.published import FORMULAS, refitted
from distill.halos.sums import Units
from distill.network.edges import cutoff_of
from distill.network.weights import load_run
from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int, positive_float
from distill.shell.stage import Stage, run_script, warn


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True, help="name of a folder in model_weights/")
    parser.add_argument("--seed", type=non_negative_int, default=0, help="of the search and of the draws")
    parser.add_argument("--smoothing", type=positive_float, default=SMOOTHING, help="of the overdensities, Mpc/h")
    parser.add_argument("--no-steps", action="store_true", help="only what the engine finds, no soft steps beside it")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    run = run_name_of(args.run)
    stage = Stage("halo_law", run)
    config = records.load(RunConfig, run_dir(run) / "config.json")
    dataset = load_dataset(config.dataset_path)
    arrays, _ = load_messages(messages_path(run, "train"), run, target=True)
    cutoff, split = cutoff_of(dataset), dataset.arrays["split"]
    learnt, seen = catalogues_of(dataset, "train")
    judged = "test" if (split == 2).any() else "validation"
    sets = {judged: catalogues_of(dataset, judged)}
    units = Units.of(learnt, cutoff)
    found = distil.from_messages(arrays, learnt, cutoff, units, args.seed, not args.no_steps, masks=seen)
    model, _ = load_run(run)
    errors = {"network": study.judged(lambda box: network_delta(model, box, cutoff), sets)}
    errors["law"] = study.judged(study.by_law(found.law, cutoff, units), sets)
    rows = study.rows_to_fit(learnt, cutoff, units, seen, args.seed)
    texts = {"law": units.in_data(found.law).texts, "before the refit": units.in_data(found.before).texts}
    for formula in FORMULAS:
        law = refitted(formula, rows, units, args.smoothing)
        texts[formula.name] = units.in_data(law).texts
        errors[formula.name] = study.judged(study.by_law(law, cutoff, units), sets)
    for kind in (baselines.neighbour_sums, baselines.spline_kernel):
        linear = kind(cutoff / units.length).fit(rows)
        errors[linear.name] = study.judged(study.by_rows(linear.predicted, cutoff, units), sets)
    path = paths.OUTPUTS / run / "halo_law.json"
    inputs = {"dataset": dataset.path, "messages": messages_path(run, "train")}
    content = {"run": run, "live": found.live, "r2_message": found.r2, "texts": texts, "errors": errors}
    save_json(path, provenance("halo_law", vars(args), inputs, stage.seconds) | content)
    lines = [f"delta_i = {texts['law']['node']},  s = sum_j {texts['law']['message']}"]
    maes = {name.replace(" ", "_"): one[judged]["mae"] for name, one in errors.items()}
    if maes["network"] is None or maes["network"] >= maes["constant"]:
        warn(f"{run} predicts no better than a constant: a law that is read from it says nothing of the haloes")
    print(stage.done(path, lines, live=found.live, **maes), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
