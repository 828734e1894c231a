"""Run a trained network over a split of its dataset and store what every edge sends.

reads   model_weights/<run>/  and the dataset it was trained on
writes  outputs/<run>/messages_<split>.npz  (+ .json)

example:  python extract_messages.py --run r2_n4_d2_s0__l1-newton__s0

One row an edge: message, receiver and sender, geometry and properties of both ends, the true and
predicted acceleration of the receiver, and the true pair force where the system is known. Networks whose
messages need not be forces (not antisymmetric, or a node model that is not linear in them) also get each
edge's share of the predicted acceleration, by the Jacobian of the node model.
"""

import numpy as np

from distill import cli, formats
from distill.cli import Parser, Stage, UserError, run_script

SPLITS_TO_WRITE = ("train", "test")


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True, help="name of a folder in model_weights/")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=(*formats.SPLITS, "all"),
        default=list(SPLITS_TO_WRITE),
        help="which trajectories; train is what symbolic_reg.py fits, test what scores are from",
    )
    parser.add_argument(
        "--max-graphs", type=cli.non_negative_int, default=10_000, help="frames drawn at random from the split; 0 = all"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    cli.add_run_flags(parser, "seed of the draw of frames")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    cli.set_threads(args.threads)
    folder = formats.run_dir(args.run)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{cli.relative(weights)} does not exist", "train again:  python train.py --resume ...")
    todo, inputs = [], {"weights": weights, "config": folder / "config.json"}
    for split in args.split:
        path = formats.messages_path(args.run, split)
        arguments = vars(args) | {"split": split}
        stage = Stage("extract_messages", f"{args.run} {split}")
        if formats.already_done(path.with_suffix(".json"), arguments, inputs, args.overwrite) and path.is_file():
            stage.already_done(path)
        else:
            todo.append((split, path, arguments))
    if not todo:
        return 0

    from distill.checkpoints import load_run
    from distill.graphs import is_chain

    device = cli.pick_device(args.device, args.threads)
    model, config = load_run(args.run, device)
    dataset = formats.dataset_of_run(args.run, config)
    chain = is_chain(dataset.meta)
    for split, path, arguments in todo:
        stage = Stage("extract_messages", f"{args.run} {split}")
        trajectories = dataset.trajectories(split)
        frames = dataset.pos.shape[1]
        total = len(trajectories) * frames
        limit = min(args.max_graphs or total, 200 if args.quick else total)
        pick = np.arange(total)
        if limit < total:
            pick = np.sort(np.random.default_rng(args.seed).choice(total, limit, replace=False))
        arrays = edges_of(model, dataset, trajectories[pick // frames], pick % frames, chain)
        error = float(np.abs(arrays["acc_pred_i"] - arrays["acc_i"]).mean())
        formats.save_npz(path, arrays, formats.MESSAGE_FIELDS)
        formats.save_json(path.with_suffix(".json"), formats.provenance(
            "extract_messages", arguments, inputs | {"dataset": dataset.path}, stage.seconds, device) | {
            "run": args.run, "split": split, "graphs": len(pick), "edges": len(arrays["r"]), "mae": error,
            "variant": config["variant"], "recipe": config["recipe"], "n": dataset.n, "dim": dataset.dim,
            "antisymmetric": config["model"]["antisymmetric"], "dataset": dataset.name,
            "dataset_path": config["dataset_path"], "system": dataset.meta.get("system")})  # fmt: skip
        stage.done(path, graphs=len(pick), edges=len(arrays["r"]), components=arrays["message"].shape[1], mae=error)
    return 0


def edges_of(model, dataset, trajectory, frame, chain, batch: int = 1024) -> dict:
    """Arrays of ``MESSAGE_FIELDS`` for the frames ``(trajectory[k], frame[k])``."""
    import torch

    from distill.graphs import EdgeCache, node_features
    from distill.systems import pair_force, system_of

    parameter = next(model.parameters())
    cache = EdgeCache(dataset.n, chain, parameter.device)
    columns: dict[str, list] = {}
    starts = range(0, len(trajectory), batch)
    for start in cli.progress(starts, desc="extract", unit="batch"):
        t, f = trajectory[start : start + batch], frame[start : start + batch]
        state = {k: dataset.arrays[k][t, f] for k in ("pos", "vel", "acc")}
        fixed = {k: dataset.arrays[k][t] for k in ("mass", "charge")}
        x = node_features(state["pos"], state["vel"], fixed["charge"], fixed["mass"])
        edges = cache(len(t))
        with torch.no_grad():
            nodes = torch.as_tensor(x).to(parameter).flatten(0, 1)
            acc_pred = model(nodes, edges)[0]
            message, logvar = model.messages(nodes, edges.index, edges.reverse)
        j, i = edges.index.cpu().numpy()
        flat = {k: v.reshape(-1, dataset.dim) for k, v in state.items()}
        flat |= {k: v.reshape(-1) for k, v in fixed.items()}
        dx = flat["pos"][i] - flat["pos"][j]
        part = {
            "message": message.cpu().numpy(), "receiver": (i % dataset.n).astype(np.int32),
            "sender": (j % dataset.n).astype(np.int32), "trajectory": t[i // dataset.n].astype(np.int32),
            "frame": f[i // dataset.n].astype(np.int32), "dx": dx, "r": np.linalg.norm(dx, axis=1),
            "vel_i": flat["vel"][i], "vel_j": flat["vel"][j], "mass_i": flat["mass"][i],
            "mass_j": flat["mass"][j], "charge_i": flat["charge"][i], "charge_j": flat["charge"][j],
            "acc_i": flat["acc"][i], "acc_pred_i": acc_pred.cpu().numpy()[i],
        }  # fmt: skip
        if logvar is not None:
            part["logvar"] = logvar.cpu().numpy()
        if not (model.config.antisymmetric and model.config.linear_node):  # there a fixed read-out is enough
            part["acc_share"] = model.acceleration_shares(nodes, edges).cpu().numpy()
        for key, value in part.items():
            columns.setdefault(key, []).append(value)
    arrays = {k: np.concatenate(v) for k, v in columns.items()}
    if held := dataset.meta.get("system", {}).get("held"):  # what holds them is no pair force
        free = ~np.isin(arrays["receiver"], held)
        arrays = {k: v[free] for k, v in arrays.items()}
    arrays["active"] = model.active.cpu().numpy().astype(np.int8)
    if (system := system_of(dataset.meta)) is not None:
        arrays["force"] = pair_force(system, *(arrays[k] for k in (
            "dx", "r", "mass_i", "mass_j", "charge_i", "charge_j")))  # fmt: skip
    return arrays


if __name__ == "__main__":
    run_script(main)
