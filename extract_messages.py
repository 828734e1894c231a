"""Run a trained network over a split of its dataset and store what every edge sends.

reads   model_weights/<run>/  and the dataset it was trained on
writes  outputs/<run>/messages_<split>.npz  (+ .json)

example:  python extract_messages.py --run r2_n4_d2_s0__l1-newton__s0

One row an edge: message, receiver and sender, geometry and properties of both ends, the true and
predicted acceleration of the receiver, and the true pair force where the system is known. Networks whose
messages need not be forces (not antisymmetric, or a node model that is not linear in them) also get each
edge's share of the predicted acceleration, by the Jacobian of the node model. Rows go to the file as they come:
memory does not grow with --max-graphs, and of a file too large for memory the next stages draw whole graphs.
"""

import numpy as np

from distill.files.arrays import stream_npz
from distill.files.dataset import dataset_of_run
from distill.files.fields import MESSAGE_FIELDS, SPLITS
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.provenance import already_done, provenance
from distill.files.storage import load_json, save_json
from distill.shell.errors import UserError
from distill.shell.flags import Parser, add_run_flags, non_negative_int
from distill.shell.paths import relative
from distill.shell.stage import Stage, progress, run_script
from distill.shell.threads import pick_device, set_threads

SPLITS_TO_WRITE = ("train", "test")
GRAPHS, EDGES = 10_000, 600_000  # drawn unless told otherwise; edges count where frames have thousands


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True, help="name (or path) of a folder in model_weights/")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=(*SPLITS, "all"),
        default=list(SPLITS_TO_WRITE),
        help="which trajectories; train is what symbolic_reg.py fits, test what scores are from",
    )
    parser.add_argument(
        "--max-graphs",
        type=non_negative_int,
        help="frames drawn at random from the split (10000; in a periodic box as many as have about 600,000 edges,"
        " 38 of 258 atoms); 0 = all",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add_run_flags(parser, "seed of the draw of frames")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    args.run = run_name_of(args.run)
    set_threads(args.threads)
    folder = run_dir(args.run)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{relative(weights)} does not exist", "train again:  python train.py --resume ...")
    if args.max_graphs is None:
        args.max_graphs = usual_graphs(load_json(folder / "config.json"))
    todo, inputs = [], {"weights": weights, "config": folder / "config.json"}
    for split in args.split:
        path = messages_path(args.run, split)
        arguments = vars(args) | {"split": split}
        stage = Stage("extract_messages", f"{args.run} {split}")
        if already_done(path.with_suffix(".json"), arguments, inputs, args.overwrite) and path.is_file():
            print(stage.already_done(path), flush=True)
        else:
            todo.append((split, path, arguments))
    if not todo:
        return 0

    from distill.messages.extraction import Extraction
    from distill.network.graphs import is_chain
    from distill.network.weights import load_run

    device = pick_device(args.device, args.threads)
    model, config = load_run(args.run, device)
    dataset = dataset_of_run(args.run, config)
    extraction = Extraction(model, dataset, is_chain(dataset.meta))
    for split, path, arguments in todo:
        stage = Stage("extract_messages", f"{args.run} {split}")
        trajectories = dataset.trajectories(split)
        frames = dataset.pos.shape[1]
        total = len(trajectories) * frames
        limit = min(args.max_graphs or total, 200 if args.quick else total)
        pick = np.arange(total)
        if limit < total:
            pick = np.sort(np.random.default_rng(args.seed).choice(total, limit, replace=False))
        about = write(path, extraction, trajectories[pick // frames], pick % frames)
        save_json(
            path.with_suffix(".json"),
            provenance("extract_messages", arguments, inputs | {"dataset": dataset.path}, stage.seconds, device)
            | {
                "run": args.run,
                "split": split,
                "graphs": len(pick),
                "edges": about["edges"],
                "mae": about["mae"],
                "variant": config["variant"],
                "recipe": config["recipe"],
                "n": dataset.n,
                "dim": dataset.dim,
                "antisymmetric": config["model"]["antisymmetric"],
                "dataset": dataset.name,
                "dataset_path": config["dataset_path"],
                "system": dataset.meta.get("system"),
            },
        )
        print(stage.done(path, graphs=len(pick), **about), flush=True)
    return 0


def usual_graphs(config: dict) -> int:
    """Frames to draw by default for the run of this ``config.json``."""
    edges = config.get("edges_a_frame")
    return GRAPHS if not isinstance(edges, int | float) else max(1, min(GRAPHS, int(EDGES / edges)))


def write(path, extraction, trajectory, frame) -> dict:
    """Stream the messages of the frames ``(trajectory[k], frame[k])`` to ``path``; returns edges, components, mae."""
    edges, missed, components = extraction.edges(trajectory, frame), 0.0, 0

    def parts():
        nonlocal missed, components
        batches = -(-len(frame) // extraction.batch)
        for part in progress(extraction.parts(trajectory, frame), total=batches, desc="extract", unit="batch"):
            missed += float(np.abs(part["acc_pred_i"] - part["acc_i"]).sum())
            components = part["message"].shape[1]
            yield part
        path.with_suffix(".json").unlink(missing_ok=True)  # the old one must not stand beside new arrays

    fix = "use fewer --max-graphs, or another disk for DISTILL_OUTPUTS"
    stream_npz(path, parts(), {"edge": edges}, MESSAGE_FIELDS, fix)
    return {"edges": edges, "components": components, "mae": missed / (edges * extraction.dataset.dim)}


if __name__ == "__main__":
    run_script(main)
