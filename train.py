"""Train a graph network to predict the accelerations of a dataset.

reads   datasets/<dataset>.npz
writes  model_weights/<run>/  model.safetensors  config.json  history.csv  (checkpoint.safetensors)

example:  python train.py --dataset r2_n4_d2_s0 --variant l1 --recipe newton

A variant is a message head with its penalty (distill/network/variants.py); a recipe is a set of options, each of
which is a flag of its own below. What an option assumes about nature stands in models.py (ModelConfig). Several
variants and seeds make a run each: one after the other, or stacked into one network (--stack), as on a GPU.
"""

import argparse

import distill
from distill.network.learning.losses import LOSSES
from distill.network.learning.patience import DEFAULTS as PATIENCE
from distill.network.recipes import EDGE_MODELS, LR_SCHEDULES, PRUNE_SCHEDULES, RECIPES
from distill.network.variants import VARIANTS
from distill.shell.flags import Parser, add_run_flags, fraction, non_negative_int, positive_float, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads

ASSUMPTIONS = {
    "antisymmetric": "e_ij = -e_ji (Newton's third law)",
    "translation-invariant": "positions only as differences",
    "geometric-inputs": "edge model also sees d/r and log r",
    "exp-gate": "messages scaled by exp(s)",
    "linear-node": "acceleration linear in the summed messages",
    "log-mass": "log m as input",
    "scale-output": "output in units of the median acceleration",
    "relative-messages": "edges see positions only as differences, whatever nodes see",
    "additive-node": "a_i = (sum of messages + F(x_i, ...))/m_i: messages are forces, where the node is linear",
    "clock": "networks see the time",
    "radial": "of a target: directions are not seen, only distances and speeds",
    "pair-momenta": "of energies: those of pairs see the momenta of both ends",
    "self-position": "of energies: those of particles alone see the place",
    "velocities": "networks see velocities (default; on positions alone where something depends on them)",
    "wide-masses": "masses over many decades: a gate at nodes too, gates with powers of m and r, errors by body"
    " (newton: where log m has a standard deviation above 1.75)",
}


def parse(argv):
    parser = Parser(__doc__)
    add, switch = parser.add_argument, argparse.BooleanOptionalAction
    add("--dataset", required=True, help="name in datasets/ or path of an .npz")
    add("--variant", nargs="+", choices=VARIANTS, default=["l1"], help="message head and penalty; several: a run each")
    add("--recipe", choices=sorted(RECIPES), default="newton", help="defaults for everything below")
    add("--tag", default="", help="added to the run's name")
    add = parser.add_argument_group("model (default: the recipe's)").add_argument
    add("--hidden", type=positive_int, help="width of the hidden layers")
    add("--message-dim", type=positive_int, help="components of a message")
    add("--activation", choices=("relu", "silu", "softplus", "tanh"))
    add("--edge-model", choices=EDGE_MODELS, help="its layers: mlp (the paper's, default), pm or cust")
    for name, what in ASSUMPTIONS.items():
        add(f"--{name}", action=switch, help=what)
    add = parser.add_argument_group("training (default: the recipe's)").add_argument
    add("--loss", choices=tuple(LOSSES))
    add("--epochs", type=positive_float, help="passes over the training graphs")
    add("--batch-size", type=positive_int, help="graphs a step; in a box by their edges")
    add("--lr", type=positive_float, help="peak learning rate of Adam")
    add("--schedule", choices=tuple(LR_SCHEDULES), help="learning-rate schedule")
    what = "stop when the read-out of messages has not improved for N evaluations (50 or more make --epochs); the rate"
    add("--patience", type=positive_int, metavar="N", help=f"{what} is held, then falls (docs/method.md#training)")
    told = {name: f"(with --patience; default: {value:g})" for name, value in PATIENCE.items()}
    what = "share of its error by which the read-out has to improve"
    add("--patience-gain", type=fraction, metavar="SHARE", help=f"{what} {told['patience_gain']}")
    what = "steps of the cool-down, as a share of those made before"
    add("--cool-down", type=fraction, metavar="SHARE", help=f"{what} {told['cool_down']}")
    add("--motion-weight", type=float, help="of the loss of dq/dt = dH/dp beside that of accelerations (of energies)")
    add("--polish", type=non_negative_int, help="evaluations of the loss by L-BFGS after training (of energies)")
    add("--augment", type=float, help="sigma of the random translation of each batch")
    add("--close-sampling", type=float, help="power of max|a| by which training graphs are drawn; 0 = uniformly")
    for variant in VARIANTS.values():
        if variant.penalty:
            add(f"--{variant.name}-weight", type=float, help=f"of {variant.penalised} (variant {variant.name})")
    relaxed = ", ".join(v.name for v in VARIANTS.values() if v.schedule == "relax")
    what = f"share of training after which {relaxed} keep the top D components and drop the penalty; 0 = never"
    add("--relax-at", type=fraction, help=what)
    add("--prune-start", type=fraction, help="share of training; paper: an epoch at least, or half way")
    add("--prune-end", type=fraction, help="share of training when D components are left")
    add("--prune-schedule", choices=tuple(PRUNE_SCHEDULES))
    add = parser.add_argument_group("bodies of which something is unknown (docs/bodies.md)").add_argument
    add("--unknown", nargs="+", metavar="NAME", help="properties that are learnt with the weights: mass, charge, ...")
    what = "bodies whose value is known, is held and gives the scale (without: a geometric mean of 1, or a mean square)"
    add("--reference", nargs="+", metavar="BODY=VALUE", help=what)
    add("--latent", type=positive_int, metavar="K", help="numbers of every body of which nothing is known beforehand")
    add = parser.add_argument_group("device").add_argument
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--precision", choices=("float32", "bf16"), default="float32")
    add("--resume", action="store_true", help="go on from the run's checkpoint")
    what = "train runs with equal message heads at once (experimental); auto: on a GPU"
    add("--stack", choices=("auto", "on", "off"), default="auto", help=what)
    what = "on a GPU, record a training step once and replay it (a CUDA graph; experimental)"
    add("--capture", action=switch, default=True, help=what)
    what = "(docs/method.md#following-a-training)"
    add("--wandb", action="store_true", help=f"log to Weights & Biases: pip install wandb {what}")
    add("--track", action="store_true", help="log to trackio on this machine: pip install -r requirements-track.txt")
    add_run_flags(parser, "seed of weights, batches and noise; several: a run each", seeds=True)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    distill.train(**vars(args), each=lambda done: print(done, flush=True))
    return 0


if __name__ == "__main__":
    run_script(main)
