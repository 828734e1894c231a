"""On a GPU: are captured and stacked training steps the plain ones, and is a resumed network the uninterrupted one?

weights     networks trained captured, plain, stacked and interrupted from the same seeds: differences of their weights
summary     one file from that and from the networks that benchmarks/gpu.sh has trained, beside what was measured before

reads   nothing; summary: weights*.json in --out, config.json and linear_fit.json of the runs *-paper__s221_full
writes  weights.json in --out; summary: results/gpu.json (--quick: gpu.json in --out)

example:  python benchmarks/gpu_check.py weights --out outputs/gpu

Few steps, because training is chaotic: a sum in another order changes the sign of an error or of a unit's input that
is nearly 0. After 300 steps the plain way differs from itself by up to 0.3 on a GPU, where sums have no fixed order,
and stacks from single networks by as much on a CPU. ``plain against plain, again`` tells how much of it there is.
"""

import contextlib
import json
import signal
import tempfile
import time
from pathlib import Path

from distill.files.dataset import Dataset
from distill.files.provenance import provenance
from distill.files.storage import load_json, save_json
from distill.network.recipes import defaults
from distill.report.numbers import hardware
from distill.shell import paths
from distill.shell.flags import Parser, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads

TOLERANCE = 1e-3  # of ||difference|| / ||weights|| of a whole network
RUNS = "*-paper__s221_full"  # as benchmarks/gpu.sh names them
TRAINED = (  # what is kept of a network's config.json
    "run variant seed n dim steps graphs_seen stacked_runs validation_mae validation_loss validation_graphs seconds"
    " cpu_seconds device python versions git arguments"
)


def parse(argv):
    parser = Parser(__doc__)
    commands = parser.add_subparsers(dest="kind", metavar="command", required=True)
    for name in ("weights", "summary"):
        sub = commands.add_parser(name, description=__doc__)
        sub.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where numbers go")
        sub.add_argument("--quick", action="store_true", help="tiny sizes through the same code")
        if name == "weights":
            sub.add_argument("--steps", type=positive_int, default=20, help="training steps of each network")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(1)  # before anything numerical is imported
    args.out.mkdir(parents=True, exist_ok=True)
    return {"weights": weights, "summary": summary}[args.kind](args)


def about(seconds: float) -> dict:
    """Versions, hardware, commit and date of a measurement."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, to test the code"
    found = {"device": name, "hardware": hardware(), "torch": torch.__version__, "cuda": torch.version.cuda}
    made = provenance("benchmarks/gpu_check weights", {}, {}, seconds)
    return found | {k: made[k] for k in ("seconds", "git", "python", "versions")} | {"date": time.strftime("%Y-%m-%d")}


# ---------------------------------------------------------------- weights


def weights(args) -> int:
    """Train the same networks in several ways and compare what they end with."""
    import torch

    from distill.network.learning.fit import fit

    start = time.perf_counter()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    steps = 12 if args.quick else args.steps
    data = springs(64 * (5 if args.quick else 100))
    rows = []
    with tempfile.TemporaryDirectory() as folder:

        def untrained(*cells, recipe="paper", noise=0):
            group: list = []
            for k, (variant, seed) in enumerate(cells):
                like, checkpoint = group[0] if group else None, Path(folder) / f"checkpoint{k}"
                group.append(member(data, recipe, variant, seed, device, steps, checkpoint, like, args.quick))
                group[-1].noise.manual_seed(seed + 1 + noise)
            return group

        def made(*cells, recipe="paper", capture=False, noise=0):
            """Networks (variant, seed) trained as one stack; ``noise`` shifts the seed of what is random in a step."""
            group = untrained(*cells, recipe=recipe, noise=noise)
            before = [flat(m) for m in group]
            fit(group, capture)
            return group, before

        def resumed(*cells, recipe="paper"):
            """The same, captured, interrupted half way and read from the checkpoints that this leaves."""
            group = untrained(*cells, recipe=recipe)
            with contextlib.suppress(KeyboardInterrupt):
                fit(interrupted(group, steps // 2), True)
            if (reached := group[0].step) >= steps:
                raise RuntimeError("training was not interrupted")
            group = untrained(*cells, recipe=recipe)
            for one in group:
                one.restore()
            if group[0].step != reached:
                raise RuntimeError(f"interrupted at step {reached}, resumed at {group[0].step}")
            fit(group, True)
            return group

        def compare(what, reached, wanted, start_weights, judged=True):
            row = {"what": what, "relative_difference": distance(flat(reached), flat(wanted))}
            row |= {"largest_of_a_tensor": largest(reached, wanted), "moved": distance(flat(wanted), start_weights)}
            row["same_components"] = bool(torch.equal(reached.model.active, wanted.model.active))
            row |= {k: m.history[-1]["train_loss"] for k, m in (("loss", reached), ("loss_wanted", wanted))}
            if judged:
                row["passed"] = row["relative_difference"] <= TOLERANCE and row["same_components"]
            rows.append(row)
            print(f"{what}: {row['relative_difference']:.2e}", flush=True)

        alone = {}
        for recipe, variant in (("paper", "l1"), ("paper", "kl"), ("paper", "pruning"), ("newton", "l1")):
            (plain,), (begin,) = made((variant, 0), recipe=recipe)
            (again,), _ = made((variant, 0), recipe=recipe)
            alone[recipe, variant] = plain
            name = f"{recipe} recipe, {variant}"
            compare(f"{name}: plain against plain, again", again, plain, begin, judged=False)
            for way, again in (
                ("captured", lambda: made((variant, 0), recipe=recipe, capture=True)[0]),  # noqa: B023
                ("captured, interrupted and resumed,", lambda: resumed((variant, 0), recipe=recipe)),  # noqa: B023
            ):
                try:
                    (captured,) = again()
                except RuntimeError as exc:  # what a step must not do while captured; the others are still compared
                    print(f"FAIL  {name}: {exc}", flush=True)
                    rows.append({"what": f"{name}: {way} against plain", "passed": False, "error": str(exc)})
                else:
                    compare(f"{name}: {way} against plain", captured, plain, begin)
        (other,), (begin,) = made(("l1", 0), noise=7)
        what = "paper recipe, l1: plain with other random translations, what a fault would look like"
        compare(what, other, alone["paper", "l1"], begin, judged=False)
        cells = [("l1", 0), ("l1", 1), ("standard", 2), ("pruning", 3), ("l1", 4)]
        plain = [made(cell) for cell in cells]
        for way in ("plain", "captured", "captured, interrupted and resumed"):
            group = resumed(*cells) if "resumed" in way else made(*cells, capture=way == "captured")[0]
            for (variant, seed), reached, ((wanted,), (begin,)) in zip(cells, group, plain, strict=True):
                what = f"paper recipe, {variant}, seed {seed}: {way} stack of {len(cells)} against alone"
                compare(what, reached, wanted, begin)
    judged = [row["passed"] for row in rows if "passed" in row]
    for row in (row for row in rows if "error" not in row):
        verdict = {True: "PASS", False: "FAIL", None: ""}[row.get("passed")]
        more = f"(of a tensor {row['largest_of_a_tensor']:.2e}, moved {row['moved']:.2f})  {row['what']}"
        print(f"{verdict:5s} {row['relative_difference']:.2e} {more}")
    good = all(judged)
    print(f"{'PASS' if good else 'FAIL'}: {len(judged)} comparisons, tolerance {TOLERANCE:g}, {steps} steps")
    what = "relative difference ||w - w'|| / ||w'|| of all weights after training in two ways"
    found = {"what": what, "steps": steps, "precision": "float32", "batch": 64, "tolerance": TOLERANCE}
    save_json(args.out / "weights.json", about(time.perf_counter() - start) | found | {"passed": good, "rows": rows})
    return 0 if good else 1


def springs(graphs: int):
    """A ``Dataset`` of four particles with springs between them, one frame a trajectory: states at random."""
    import numpy as np
    from speed_training import DIM, states

    from distill.physics.system import acceleration
    from distill.physics.systems import SYSTEMS

    x = states(graphs, 4)[0].astype(float)
    pos, vel, properties = x[..., :DIM], x[..., DIM : 2 * DIM], {"charge": x[..., -2], "mass": x[..., -1]}
    acc = acceleration(SYSTEMS["spring"], pos, vel, properties)
    frames = {"pos": pos[:, None], "vel": vel[:, None], "acc": acc[:, None]}
    split = (np.arange(graphs) < graphs // 10).astype(int)
    return Dataset("springs", Path("springs"), frames | properties | {"split": split})


def member(dataset, recipe, variant, seed, device, steps, checkpoint, like, quick):
    """A ``Trainer`` whose whole schedule has ``steps`` steps of 64 graphs, so that all of it is gone through."""
    from distill.network.learning.training import Trainer

    epochs = steps / (len(dataset.arrays["split"]) * 9 // 10 // 64)
    options = defaults(recipe, variant, dataset.dim) | {"batch_size": 64, "epochs": epochs}
    options |= {"hidden": 30} if quick else {}
    return Trainer(dataset, variant, options, seed, device, "float32", checkpoint, {}, False, like)


def interrupted(group: list, step: int) -> list:
    """The same members, of which the first is sent what Ctrl-C sends when it has made ``step`` steps."""
    first, own = group[0], group[0].constrain

    def constrain() -> bool:
        if first.step == step - 1:
            signal.raise_signal(signal.SIGINT)
        return own()

    first.constrain = constrain
    return group


def flat(trainer):
    import torch

    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).clone()


def distance(reached, wanted) -> float:
    return float((reached - wanted).norm() / wanted.norm())


def largest(reached, wanted) -> float:
    """The largest relative difference of a single tensor, a weight matrix or a bias."""
    pairs = zip(reached.model.parameters(), wanted.model.parameters(), strict=True)
    return max(distance(a.detach(), b.detach()) for a, b in pairs)


# ---------------------------------------------------------------- summary


def summary(args) -> int:
    """``results/gpu.json``: what ``weights`` found, one entry a measurement, newest first, and a row a trained network.

    What is there stays, but for rows of networks that are measured again.
    """
    target = args.out / "gpu.json" if args.quick else paths.ROOT / "results" / "gpu.json"
    before = load_json(target, "move it away") if target.is_file() and not args.quick else {}
    found = [load_json(path, "run: gpu_check.py weights") for path in sorted(args.out.glob("weights*.json"))]
    former = before.get("weights", [])
    checks = sorted([f for f in found if f not in former] + former, key=lambda w: w["date"], reverse=True)
    cells = {row["run"]: row for row in before.get("cells", [])}
    for path in sorted(paths.MODEL_WEIGHTS.glob(f"{RUNS}/config.json")):
        config = load_json(path, "train it again")
        if bool(config["quick"]) == args.quick and not (path.parent / "checkpoint.safetensors").exists():
            cells[config["run"]] = trained(config)
    save_json(target, {"benchmark": "gpu", "weights": checks, "cells": list(cells.values())})
    shown = ("run", "validation_mae", "r2_all", "r2_trim90", "read_out_r2_all")
    for row in cells.values():
        print(json.dumps({k: row.get(k) for k in shown}))
    print(f"-> {relative(target)}")
    return 0


def trained(config: dict) -> dict:
    """The row of a network: of its config.json, and of its linear_fit.json where that is there."""
    row = {k: config.get(k) for k in TRAINED.split()} | {"system": config["system"]["name"]}
    fit = paths.OUTPUTS / config["run"] / "linear_fit.json"
    if fit.is_file():
        fitted = load_json(fit, "run: fit_linear.py")
        row |= {k: fitted[k] for k in ("r2_all", "r2_trim90", "best_target", "top_share", "n_graphs", "n_edges")}
        others = {k: v for k, v in fitted["targets"].items() if k != "force"}  # what a free node model may ask for
        row |= {f"{score}_{k}": v[score] for k, v in others.items() for score in ("r2_all", "r2_trim90")}
        row["read_out_r2_all"], row["read_out_gauge"] = fitted["read_out"]["r2_all"], fitted["read_out"]["gauge"]
    return row


if __name__ == "__main__":
    run_script(main)
