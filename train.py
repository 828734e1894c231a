"""Train a graph network to predict the accelerations of a dataset.

reads   datasets/<dataset>.npz
writes  model_weights/<run>/  model.safetensors  config.json  history.csv  (checkpoint.safetensors)

example:  python train.py --dataset r2_n4_d2_s0 --variant l1 --recipe newton

A variant is a message head with its penalty; a recipe is a set of options, each of which is a flag
of its own below. What an option assumes about nature stands in models.py (ModelConfig).
"""

import argparse

from distill import cli, formats
from distill.cli import Parser, Stage, UserError, relative, run_script
from distill.recipes import (
    LOSSES,
    MESSAGE_DIM,
    PRUNE_SCHEDULES,
    RECIPES,
    VARIANTS,
    paper_batch_size,
)


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, help="name in datasets/ or path of an .npz")
    add("--variant", choices=VARIANTS, default="l1", help="message head and penalty")
    add("--recipe", choices=sorted(RECIPES), default="newton", help="defaults for everything below")
    add("--tag", default="", help="added to the run's name")
    model = parser.add_argument_group("model (default: the recipe's)")
    model.add_argument("--hidden", type=cli.positive_int, help="width of the hidden layers")
    model.add_argument("--message-dim", type=cli.positive_int, help="components of a message")
    model.add_argument("--activation", choices=("relu", "silu", "softplus", "tanh"))
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
    train.add_argument("--epochs", type=cli.positive_float, help="passes over the training graphs")
    train.add_argument("--batch-size", type=cli.positive_int, help="graphs a step")
    train.add_argument("--lr", type=cli.positive_float, help="peak learning rate of Adam")
    train.add_argument("--schedule", choices=("onecycle", "cosine"), help="learning-rate schedule")
    train.add_argument("--augment", type=float, help="sigma of the random translation of each batch")
    train.add_argument(
        "--close-sampling",
        type=float,
        help="power of max|a| by which training graphs are drawn; 0 = uniformly",
    )
    train.add_argument("--l1-weight", type=float, help="of (1/n) sum |e| (variant l1)")
    train.add_argument("--kl-weight", type=float, help="of (1/n) sum KL (variant kl)")
    train.add_argument(
        "--relax-at",
        type=cli.fraction,
        help="share of training after which l1 and kl keep the top D components and drop the penalty; 0 = never",
    )
    train.add_argument("--prune-start", type=cli.fraction, help="share of training; at least one epoch in paper")
    train.add_argument("--prune-end", type=cli.fraction, help="share of training when D components are left")
    train.add_argument("--prune-schedule", choices=PRUNE_SCHEDULES)
    run = parser.add_argument_group("device")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    run.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    run.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    run.add_argument("--wandb", action="store_true", help="log to Weights & Biases (pip install wandb)")
    cli.add_run_flags(parser, "seed of weights, batches and noise")
    return parser.parse_args(argv)


def resolve(args, dataset) -> dict:
    """The options of this run: the recipe's, overridden by the flags that were given."""
    options = dict(RECIPES[args.recipe])
    if args.recipe == "paper":
        options["batch_size"] = paper_batch_size(dataset.n)
    options["message_dim"] = dataset.dim if args.variant == "bottleneck" else MESSAGE_DIM
    if args.quick:
        options |= dict(epochs=2, batch_size=32, hidden=min(options["hidden"], 32), rank_graphs=64)
    options |= {k: v for k, v in vars(args).items() if k in options and v is not None}
    for name in ("augment", "close_sampling", "l1_weight", "kl_weight"):
        if not 0 <= options[name] < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} is {options[name]}, expected 0 or a positive number")
    if options["message_dim"] < dataset.dim:
        raise UserError(f"--message-dim is {options['message_dim']}, expected at least {dataset.dim}")
    if options["prune_end"] < options["prune_start"]:
        raise UserError("--prune-end lies before --prune-start")
    return options


def main(argv=None) -> int:
    args = parse(argv)
    cli.set_threads(args.threads)
    dataset = formats.load_dataset(args.dataset)
    options = resolve(args, dataset)
    run = formats.run_name(dataset.name, args.variant, args.recipe, args.seed, args.tag)
    stage = Stage("train", run)
    folder = formats.MODEL_WEIGHTS / run
    arguments = {k: v for k, v in vars(args).items()} | {"options": options}
    inputs = {"dataset": dataset.path}
    checkpoint = folder / "checkpoint.safetensors"
    resuming = args.resume and checkpoint.exists() and not args.overwrite
    if not resuming and formats.already_done(folder / "config.json", arguments, inputs, args.overwrite):
        if (folder / "model.safetensors").is_file() and not checkpoint.exists():
            stage.already_done(folder)
            return 0

    device = cli.pick_device(args.device, args.threads)
    if checkpoint.exists() and not args.overwrite and not resuming:
        raise UserError(
            f"{relative(checkpoint)} is an unfinished run",
            "add --resume to go on, or --overwrite to start again",
        )
    identity = {"arguments": {k: v for k, v in arguments.items() if k not in formats.IGNORED_ARGUMENTS},
                "dataset_sha256": formats.sha256(dataset.path)}  # fmt: skip
    from distill.training import Trainer, history_text

    trainer = Trainer(dataset, args.variant, options, args.seed, device, args.precision, checkpoint,
                      identity, args.quick)  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    if resuming:
        trainer.restore()
    elif args.resume and not checkpoint.exists():
        cli.warn(f"no checkpoint in {relative(folder)}: starting from the beginning")
    else:  # --overwrite: the former result stays until there is a new one
        checkpoint.unlink(missing_ok=True)
    log = _wandb(args, run, options)
    trainer.fit(log)

    from distill.checkpoints import save_tensors

    last = trainer.history[-1]
    own = dataset.path.resolve().parent == formats.DATASETS.resolve()
    where = dataset.name if own else str(dataset.path.resolve())  # a name moves with its folder
    (folder / "config.json").unlink(missing_ok=True)  # a run is complete only while its config.json is there
    save_tensors(folder / "model.safetensors", trainer.model.state_dict(), {"run": run})
    formats.save_text(folder / "history.csv", history_text(trainer.history))
    formats.save_json(folder / "config.json", formats.provenance(
        "train", arguments, inputs, stage.seconds, device) | {
        "run": run, "dataset": dataset.name, "dataset_path": where,
        "variant": args.variant, "recipe": args.recipe, "seed": args.seed,
        "model": trainer.model.config.as_dict(), "options": options,
        "system": dataset.meta.get("system"), "chain": trainer.chain, "n": dataset.n, "dim": dataset.dim,
        "steps": trainer.total, "graphs_seen": trainer.total * options["batch_size"],
        "train_graphs": len(trainer.x), "cpu_seconds": round(trainer.cpu_seconds, 2),
        "validation_mae": last["validation_mae"], "validation_loss": last["validation_loss"],
        "validation_graphs": len(trainer.x_val), "active": last["active"]})  # fmt: skip
    checkpoint.unlink(missing_ok=True)
    stage.done(
        folder,
        validation_mae=last["validation_mae"],
        graphs=len(trainer.x_val),
        steps=trainer.total,
        active=last["active"],
        cpu_s=round(trainer.cpu_seconds, 1),
    )
    return 0


def _wandb(args, run, options):
    if not args.wandb:
        return None
    try:
        import wandb
    except ImportError:
        raise UserError("--wandb needs the package wandb", "pip install wandb") from None
    return wandb.init(project="force-law-distillation", name=run, config=options | vars(args))


if __name__ == "__main__":
    run_script(main)
