"""Train a graph network to predict the accelerations of a dataset.

reads   datasets/<dataset>.npz
writes  model_weights/<run>/  model.safetensors  config.json  history.csv  (checkpoint.safetensors)

example:  python train.py --dataset r2_n4_d2_s0 --variant l1 --recipe newton

A variant is a message head with its penalty; a recipe is a set of options, each of which is a flag
of its own below. What an option assumes about nature stands in models.py (ModelConfig). Several variants
and seeds make a run each: one after the other, or stacked into one network (--stack), as on a GPU.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from distill.files.dataset import load_dataset, start_of
from distill.files.names import run_name
from distill.files.provenance import IGNORED_ARGUMENTS, already_done, provenance, sha256
from distill.files.storage import json_text, save_together
from distill.network.recipes import (
    EDGE_MODELS,
    EDGES_A_STEP,
    IN_A_BOX,
    LOSSES,
    MESSAGE_DIM,
    PRUNE_SCHEDULES,
    RECIPES,
    STD_WEIGHT,
    VARIANTS,
    paper_batch_size,
)
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, add_run_flags, fraction, positive_float, positive_int
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script, warn
from distill.shell.threads import pick_device, set_threads


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, help="name in datasets/ or path of an .npz")
    add("--variant", nargs="+", choices=VARIANTS, default=["l1"], help="message head and penalty; several: a run each")
    add("--recipe", choices=sorted(RECIPES), default="newton", help="defaults for everything below")
    add("--tag", default="", help="added to the run's name")
    model = parser.add_argument_group("model (default: the recipe's)")
    model.add_argument("--hidden", type=positive_int, help="width of the hidden layers")
    model.add_argument("--message-dim", type=positive_int, help="components of a message")
    model.add_argument("--activation", choices=("relu", "silu", "softplus", "tanh"))
    model.add_argument("--edge-model", choices=EDGE_MODELS, help="its layers: mlp (the paper's, default), pm or cust")
    for name, what in (
        ("antisymmetric", "e_ij = -e_ji (Newton's third law)"),
        ("translation-invariant", "positions only as differences"),
        ("geometric-inputs", "edge model also sees d/r and log r"),
        ("exp-gate", "messages scaled by exp(s)"),
        ("linear-node", "acceleration linear in the summed messages"),
        ("log-mass", "log m as input"),
        ("scale-output", "output in units of the median acceleration"),
    ):
        model.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=what)
    train = parser.add_argument_group("training (default: the recipe's)")
    train.add_argument("--loss", choices=LOSSES)
    train.add_argument("--epochs", type=positive_float, help="passes over the training graphs")
    train.add_argument("--batch-size", type=positive_int, help="graphs a step; in a box by their edges")
    train.add_argument("--lr", type=positive_float, help="peak learning rate of Adam")
    train.add_argument("--schedule", choices=("onecycle", "cosine"), help="learning-rate schedule")
    train.add_argument("--augment", type=float, help="sigma of the random translation of each batch")
    train.add_argument(
        "--close-sampling",
        type=float,
        help="power of max|a| by which training graphs are drawn; 0 = uniformly",
    )
    train.add_argument("--l1-weight", type=float, help="of (1/n) sum |e| (variant l1)")
    train.add_argument("--kl-weight", type=float, help="of (1/n) sum KL (variant kl)")
    train.add_argument("--std-weight", type=float, help="of the mean std of all but D components (variant std)")
    train.add_argument(
        "--relax-at",
        type=fraction,
        help="share of training after which l1, kl and std keep the top D components and drop the penalty; 0 = never",
    )
    train.add_argument(
        "--prune-start",
        type=fraction,
        help="share of training; paper: an epoch at least, or half way",
    )
    train.add_argument("--prune-end", type=fraction, help="share of training when D components are left")
    train.add_argument("--prune-schedule", choices=PRUNE_SCHEDULES)
    run = parser.add_argument_group("device")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    run.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    run.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    run.add_argument(
        "--stack",
        choices=("auto", "on", "off"),
        default="auto",
        help="train runs with equal message heads at once; auto: on a GPU",
    )
    run.add_argument(
        "--capture",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="on a GPU, record a training step once and replay it (a CUDA graph)",
    )
    run.add_argument("--wandb", action="store_true", help="log to Weights & Biases (pip install wandb)")
    add_run_flags(parser, "seed of weights, batches and noise; several: a run each", seeds=True)
    return parser.parse_args(argv)


def resolve(args, variant, dataset) -> dict:
    """The options of a run: the recipe's, overridden by the flags that were given."""
    options = dict(RECIPES[args.recipe])
    if args.recipe == "paper":
        options["batch_size"] = paper_batch_size(dataset.n)
    options["message_dim"] = dataset.dim if variant == "bottleneck" else MESSAGE_DIM
    if variant == "std":
        options["std_weight"] = STD_WEIGHT[args.recipe]
    if args.quick:
        options |= dict(epochs=2, batch_size=32, hidden=min(options["hidden"], 32), rank_graphs=64)
    if "box" in dataset.arrays:
        in_a_box(args, options, dataset)
    options |= {k: v for k, v in vars(args).items() if k in options and v is not None}
    if options["antisymmetric"] and "receivers" in options:
        options["receivers"] = 0  # messages need those of the other direction
    if args.edge_model not in (None, "mlp"):
        options["edge_model"] = args.edge_model  # not named for the MLP, as in runs from before there was a choice
    for name in ("augment", "close_sampling", "l1_weight", "kl_weight", "std_weight"):
        if name in options and not 0 <= options[name] < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} is {options[name]}, expected 0 or a positive number")
    if options["message_dim"] < dataset.dim:
        raise UserError(f"--message-dim is {options['message_dim']}, expected at least {dataset.dim}")
    if options["prune_end"] < options["prune_start"]:
        raise UserError("--prune-end lies before --prune-start")
    return options


def in_a_box(args, options: dict, dataset) -> None:
    """Set what a periodic box asks for: positions only as differences, graphs a step by their edges."""
    from distill.network.periodic import graphs_of_split

    asked = {"translation_invariant": True, "geometric_inputs": True, "augment": 0.0}
    for name, needed in asked.items():
        if (given := getattr(args, name)) not in (None, needed):
            flag = f"--{name.replace('_', '-')}"
            flag = f"{flag} {given:g}" if not isinstance(given, bool) else f"--no-{flag[2:]}"
            raise UserError(
                f"{relative(dataset.path)} has a periodic box, where absolute positions mean nothing",
                f"leave {flag} out",
            )
    own = dict(IN_A_BOX[args.recipe])
    if args.quick:
        own.pop("epochs")
    edges = graphs_of_split(dataset, "train").sample()[2]
    if 0 < own["receivers"] < dataset.n:
        edges *= own["receivers"] / dataset.n
    options |= asked | own | {"batch_size": max(1, round(EDGES_A_STEP[args.recipe] / edges))}
    if args.recipe == "paper":  # a penalty summed over edges stands beside a loss summed over n particles
        options["l1_weight"] *= dataset.n


@dataclass
class Run:
    """One variant with one seed: what it is to be trained with, and where it goes."""

    name: str
    variant: str
    seed: int
    arguments: dict  # as if it were the only run of the command
    resuming: bool
    stage: Stage

    @property
    def options(self) -> dict:
        return self.arguments["options"]

    @property
    def folder(self) -> Path:
        return paths.MODEL_WEIGHTS / self.name

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"


def to_do(args, dataset) -> list[Run]:
    """The runs that are not done; ``UserError`` if one is unfinished or was made otherwise."""
    runs = []
    for variant, seed in [(v, k) for v in dict.fromkeys(args.variant) for k in dict.fromkeys(args.seed)]:
        name = run_name(dataset.name, variant, args.recipe, seed, args.tag)
        options = resolve(args, variant, dataset)
        own = {"variant": variant, "seed": seed, "options": options, "edge_model": options.get("edge_model")}
        run = Run(name, variant, seed, vars(args) | own, False, Stage("train", name))
        started = run.checkpoint.exists() and not args.overwrite
        run.resuming = args.resume and started
        done = not run.resuming and already_done(
            run.folder / "config.json", run.arguments, {"dataset": dataset.path}, args.overwrite
        )
        if done and (run.folder / "model.safetensors").is_file() and not run.checkpoint.exists():
            print(run.stage.already_done(run.folder), flush=True)
            continue
        if started and not run.resuming:
            raise UserError(
                f"{relative(run.checkpoint)} is an unfinished run",
                "add --resume to go on, or --overwrite to start again",
            )
        runs.append(run)
    return runs


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    dataset = load_dataset(args.dataset)
    if "box" in dataset.arrays and args.stack == "on":
        raise UserError(
            f"{relative(dataset.path)} has a periodic box: every frame has edges of its own, and runs"
            " cannot be stacked",
            "leave --stack on out",
        )
    runs = to_do(args, dataset)
    if not runs:
        return 0
    device = pick_device(args.device, args.threads)
    digest = sha256(dataset.path)
    trainers: list = []
    for run in runs:
        trainers.append(prepare(args, run, dataset, digest, device, trainers[0] if trainers else None))
    waiting = list(zip(runs, trainers, strict=True))
    while waiting:
        group = waiting[:1]
        if args.stack == "on" or (args.stack == "auto" and device == "cuda" and "box" not in dataset.arrays):
            key = lambda t: (t.model.config, t.batch, t.step)  # noqa: E731
            group = [pair for pair in waiting if key(pair[1]) == key(waiting[0][1])]
        waiting = [pair for pair in waiting if pair not in group]
        train(args, group, dataset, device)
    return 0


def prepare(args, run: Run, dataset, digest: str, device: str, like):
    """The ``Trainer`` of a run, where its checkpoint left it."""
    from distill.network.training import Trainer

    identity = {
        "arguments": {k: v for k, v in run.arguments.items() if k not in IGNORED_ARGUMENTS},
        "dataset_sha256": digest,
    }
    trainer = Trainer(
        dataset, run.variant, run.options, run.seed, device, args.precision, run.checkpoint, identity, args.quick, like
    )
    run.folder.mkdir(parents=True, exist_ok=True)
    if run.resuming:
        trainer.restore()
    elif args.resume and not run.checkpoint.exists():
        warn(f"no checkpoint in {relative(run.folder)}: starting from the beginning")
    return trainer


def train(args, group: list, dataset, device: str) -> None:
    """Train one run, or several as a stack, and write what each has learnt."""
    from distill.network.training import fit

    for run, _ in group:
        run.stage = Stage("train", run.name)  # it starts now
        if not run.resuming:  # --overwrite: the former result stays until there is a new one
            run.checkpoint.unlink(missing_ok=True)
    log = _wandb(args, group)
    fit([trainer for _, trainer in group], args.capture, log)
    for run, trainer in group:
        write(run, trainer, dataset, device, len(group))


def write(run: Run, trainer, dataset, device: str, stacked: int) -> None:
    """The finished run to ``model_weights/<run>/``, and its last line."""
    from distill.files.tensors import tensor_bytes
    from distill.network.training import history_text

    folder, options, last = run.folder, run.options, trainer.history[-1]
    own = dataset.path.resolve().parent == paths.DATASETS.resolve()
    where = dataset.name if own else str(dataset.path.resolve())  # a name moves with its folder
    weights, digest = tensor_bytes(trainer.model.state_dict(), {"run": run.name})
    config = provenance("train", run.arguments, {"dataset": dataset.path}, run.stage.seconds, device) | {
        "run": run.name,
        "dataset": dataset.name,
        "dataset_path": where,
        "dataset_start": start_of(dataset),
        "variant": run.variant,
        "recipe": run.arguments["recipe"],
        "seed": run.seed,
        "model": trainer.model.config.as_dict(),
        "options": options,
        "system": dataset.meta.get("system"),
        "chain": trainer.chain,
        "n": dataset.n,
        "dim": dataset.dim,
        "steps": trainer.total,
        "graphs_seen": trainer.total * trainer.batch,
        "stacked_runs": stacked,
        "train_graphs": len(trainer.x),
        "edges_a_frame": trainer.edges_a_frame,
        "cpu_seconds": round(trainer.cpu_seconds, 2),
        "validation_mae": last["validation_mae"],
        "validation_loss": last["validation_loss"],
        "validation_graphs": len(trainer.x_val),
        "active": last["active"],
        "weights_sha256": digest,
    }
    save_together(  # a run is complete while its config.json is there
        {
            folder / "model.safetensors": weights,
            folder / "history.csv": history_text(trainer.history).encode(),
            folder / "config.json": json_text(config).encode(),
        }
    )
    run.checkpoint.unlink(missing_ok=True)
    print(
        run.stage.done(
            folder,
            validation_mae=last["validation_mae"],
            graphs=len(trainer.x_val),
            steps=trainer.total,
            active=last["active"],
            cpu_s=round(trainer.cpu_seconds, 1),
        ),
        flush=True,
    )


def _wandb(args, group):
    if not args.wandb:
        return None
    if len(group) > 1:
        raise UserError("--wandb logs one run at a time", "add --stack off")
    try:
        import wandb
    except ImportError:
        raise UserError("--wandb needs the package wandb", "pip install wandb") from None
    run = group[0][0]
    return wandb.init(
        project="force-law-distillation", name=run.name, config=run.options | run.arguments, reinit="finish_previous"
    )


if __name__ == "__main__":
    run_script(main)
