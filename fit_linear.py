"""Fit the most important message components to the true forces, and say how linear they are.

reads   outputs/<run>/messages_<split>.npz and messages_train.npz
writes  outputs/<run>/linear_fit.json  linear_fit.png  importance.png

example:  python fit_linear.py --run r2_n4_d2_s0__l1-newton__s0

r2_all is least squares over all edges, r2_trim90 the paper's trimmed fit scored on the 90 % of edges
it fits best; both are means over the D most important components, against the true pair force.
The same against F/m_i and q_i F stands under "targets" (where all masses are equal, F/m_i is F but for a
factor), against the pair potential times the unit vector under "potential". "read_out" is the force read from
ALL components by means of net forces of the training split alone, scored on true pair forces.
"""

import numpy as np

from distill.files.fields import SPLITS
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir
from distill.files.provenance import already_done, provenance
from distill.files.storage import save_bytes, save_json
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, add_run_flags, positive_int
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script
from distill.shell.threads import set_threads


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True, help="name of a folder in model_weights/")
    parser.add_argument("--split", choices=(*SPLITS, "all"), default="test", help="edges that are scored")
    parser.add_argument("--cutoff", type=positive_int, default=5000, help="largest number of points drawn")
    add_run_flags(parser, "seed of the points drawn and of the read-out's split")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    folder = paths.OUTPUTS / args.run
    run_dir(args.run)
    files = {s: messages_path(args.run, s) for s in dict.fromkeys(("train", args.split))}
    loaded = {s: load_messages(p, args.run) for s, p in files.items()}
    out, stage = folder / "linear_fit.json", Stage("fit_linear", args.run)
    inputs = {f"messages_{s}": p for s, p in files.items()}
    if already_done(out, vars(args), inputs, args.overwrite):
        stage.already_done(out)
        return 0
    messages, meta = loaded[args.split]
    if "force" not in messages:
        raise UserError(
            f"{relative(files[args.split])} holds no true forces: the system is not known here",
            "skip this stage:  python symbolic_reg.py --run " + args.run,
        )
    result, drawn = measure(messages, loaded["train"], meta, args)

    from distill.report import plots

    title = f"{args.run}: messages against true {drawn['target']}"
    figure = plots.linear_fit(drawn["message"], drawn["fitted"], drawn["labels"], drawn["scores"], title)
    save_bytes(folder / "linear_fit.png", plots.save_bytes(figure))
    what = "mean KL" if "logvar" in messages else "standard deviation"
    figure = plots.importance_bars(
        np.array(result["importance"]), result["top_components"], result["top_share"], what, args.run
    )
    save_bytes(folder / "importance.png", plots.save_bytes(figure))
    save_json(out, provenance("fit_linear", vars(args), inputs, stage.seconds) | result)
    best = result["best_target"]
    shown = {} if best == "force" else {f"r2_trim90_{best}": result["targets"][best]["r2_trim90"]}
    stage.done(
        out,
        r2_all=result["r2_all"],
        r2_trim90=result["r2_trim90"],
        best_target=best,
        **shown,
        read_out_r2_all=result["read_out"]["r2_all"],
        edges=result["n_edges"],
    )
    return 0


def measure(messages: dict, train: tuple[dict, dict], meta: dict, args) -> tuple[dict, dict]:
    """All numbers of ``linear_fit.json`` and the points to draw."""
    from distill.messages import read_out
    from distill.messages.net_forces import nodes_of
    from distill.statistics import metrics

    dim = messages["dx"].shape[1]
    values = read_out.importance(messages)
    top = read_out.top_components(values, dim)
    chosen = messages["message"][:, top].astype(float)
    spread = messages["message"].astype(float).var(0)
    targets = read_out.target_forces(messages)
    distinct = read_out.distinct_gauges(messages)
    scores = {name: metrics.score_components(chosen, targets[name]) for name in distinct}
    best = max(scores, key=lambda name: scores[name]["r2_trim90"])
    if "acceleration" not in scores:
        scores["acceleration"] = per_mass(scores["force"], float(messages["mass_i"][0]))
    headline = scores["force"]

    nodes = nodes_of(train[0])
    read = read_out.read_out(train[0], nodes, train[1]["antisymmetric"], args.seed)
    estimated = read.force(messages, nodes_of(messages))
    central = read_out.centrality(estimated, messages["dx"], messages["r"])
    result = {
        "run": args.run,
        "split": args.split,
        "variant": meta["variant"],
        "recipe": meta["recipe"],
        "n_edges": len(messages["r"]),
        "n_graphs": meta["graphs"],
        "r2_all": headline["r2_all"],
        "r2_trim90": headline["r2_trim90"],
        "r2_all_components": headline["r2_all_components"],
        "r2_trim90_components": headline["r2_trim90_components"],
        "best_target": best,
        "targets": scores,
        "importance_is": "mean_kl" if "logvar" in messages else "std",
        "importance": values,
        "top_components": top,
        "top_share": float(spread[top].sum() / max(spread.sum(), 1e-300)),
        "active_components": int(messages["active"].sum()),
        "channel_map_r2": metrics.channel_map(chosen, targets[best]),
        "read_out": {
            **read.account(),
            "tangential_share": central["tangential_share"],
            "tangential_median": central["tangential_median"],
            **read_out.score_forces(estimated, targets["force"]),
        },
        "potential": potential_scores(messages, meta, chosen, estimated),
    }
    design = np.column_stack([targets[best], np.ones(len(chosen))])
    fitted = design @ np.array(scores[best]["coefficients"]).T
    pick = np.random.default_rng(args.seed).permutation(len(chosen))[: args.cutoff]
    symbol = {"force": "F", "acceleration": "F/m", "charge_force": "qF"}[best]
    from distill.physics.law import AXES

    labels = [
        " ".join(f"{c:+.2g} ${symbol}_{a}$" for c, a in zip(row[:dim], AXES, strict=False))
        for row in scores[best]["coefficients"]
    ]
    both = zip(scores[best]["r2_all_components"], scores[best]["r2_trim90_components"], strict=True)
    return result, {
        "message": metrics.standardise(chosen)[pick],
        "fitted": fitted[pick],
        "labels": labels,
        "scores": list(both),
        "target": best.replace("_", " "),
    }


def per_mass(force_scores: dict, mass: float) -> dict:
    """The scores against F/m where all masses are ``mass``, from those against F: only the coefficients differ."""
    rows = [[c * mass for c in row[:-1]] + [row[-1]] for row in force_scores["coefficients"]]
    return force_scores | {"coefficients": rows, "same_as_force": "all masses are equal"}


def potential_scores(messages: dict, meta: dict, chosen, estimated) -> dict | None:
    """How linear the messages ``chosen`` [edge, D] and the read-out's force [edge, dim] are in V(r) (x_i - x_j)/r,
    for those who expect a potential in the messages; None where the system is not known.
    """
    from distill.messages import read_out
    from distill.physics.record import system_of
    from distill.statistics import metrics

    system = system_of(meta)
    if system is None:
        return None
    target = read_out.potential_vectors(messages, system)
    read = metrics.score_components(estimated, target)
    return metrics.score_components(chosen, target) | {
        "what": "pair potential times the unit vector",
        "read_out_r2_all": read["r2_all"],
        "read_out_r2_trim90": read["r2_trim90"],
    }


if __name__ == "__main__":
    run_script(main)
