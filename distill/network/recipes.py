"""Recipes (named sets of options), learning-rate and pruning schedules; tables, without torch.

``paper``: the architecture, loss and schedule of Cranmer et al. 2020 as their code has them.
``newton``: our stronger prior; what every option assumes stands in ``models.ModelConfig``.
``open``: for systems in which action need not be reaction, and fields, friction or the time may act.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from distill.network.variants import MESSAGE_DIM, VARIANTS

ASSUMPTIONS = ("antisymmetric", "translation_invariant", "linear_node")  # about nature, of networks
NEEDED_BY_WIDE_MASSES = ("exp_gate", "log_mass", "translation_invariant", "geometric_inputs")
EDGE_MODELS = ("mlp", "pm", "cust")


@dataclass(frozen=True)
class Recipe:
    """``options`` of a run, and what a periodic box changes in them.

    batch_size    function of the number of particles, in place of the option
    least_steps   of the optimiser, whatever the size of the data: a few passes over few graphs train nothing
    edges_a_step  a frame in a box has hundreds of receivers with tens of senders each: a step has so many edges
    in_a_box      options that differ there
    times_n       options that are multiplied by the number of particles there: weights of penalties summed over
                  edges that stand beside a loss summed over particles
    of_a_target   options that differ where a number of every particle is learnt in place of its acceleration
    wide_masses   whether masses over many decades (``metrics.spans_decades``) change the network
    scaled        whether networks work in units of their training data (``files.scales``), from its centre
    doubts        ``ASSUMPTIONS`` that nothing read from its networks may make either
    assumes       of nature, by the name that a look (``survey.assumptions``) has for it, in words: what its networks,
                  or what is read from them, cannot say
    """

    options: dict
    least_steps: int
    edges_a_step: int
    batch_size: Callable[[int], int] | None = None
    in_a_box: dict = field(default_factory=dict)
    times_n: tuple[str, ...] = ()
    of_a_target: dict = field(default_factory=dict)
    wide_masses: bool = False
    scaled: bool = False
    doubts: tuple[str, ...] = ()
    assumes: dict[str, str] = field(default_factory=dict)


def paper_batch_size(n: int) -> int:
    """64 (4/n)^2 graphs, about equal edges a batch; at least 1 (the original's is 0 from n = 33)."""
    return max(1, int(64 * (4 / n) ** 2))


# option: (paper, newton)
OPTIONS = {
    "hidden": (300, 64),
    "activation": ("relu", "silu"),
    "loss": ("mae", "relative"),
    "lr": (1e-3, 3e-3),
    "schedule": ("onecycle", "cosine"),
    "batch_size": (64, 256),
    "epochs": (30, 4),
    "antisymmetric": (False, True),
    "translation_invariant": (False, True),
    "geometric_inputs": (False, True),
    "exp_gate": (False, True),
    "linear_node": (False, True),
    "log_mass": (False, True),
    "scale_output": (False, True),
    "augment": (3.0, 0.0),
    "close_sampling": (0.0, 0.5),
    "relax_at": (0.0, 0.4),
    "prune_start": (0.0, 0.02),
    "prune_end": (0.65, 0.65),
    "prune_schedule": ("cosine", "cosine"),
    "rank_graphs": (10_000, 500),
    "rank_every": (0, 50),
}
# what the newton recipe knows beforehand and the paper's does not: option, in words
PRIORS = {
    "antisymmetric": "antisymmetric messages",
    "translation_invariant": "positions as differences",
    "geometric_inputs": "geometric inputs",
    "exp_gate": "exp gate",
    "linear_node": "linear node",
    "log_mass": "log mass",
    "close_sampling": "close sampling",
}
SUPERPOSING = {"superposing": "that forces add up"}
RADIAL = SUPERPOSING | {  # what is read from messages as radial forces, beside constants of a node, assumes
    "reciprocal": "that action is reaction",
    "central": "forces along the line of centres",
    "velocity-free": "forces that do not depend on velocities",
    "homogeneous": "the same forces everywhere",
    "stationary": "the same forces at all times",
}
PAPER = Recipe(
    {name: paper for name, (paper, _) in OPTIONS.items()},
    8_000,
    4_000,
    paper_batch_size,
    # ``receivers`` of a frame a step, a start without messages, distances by their inverse cubes (which part the few
    # close pairs from the many far ones) and accelerations in units of their median: without these a network of its
    # kind stays at predicting nothing
    dict(epochs=1, r_power=-3.0, receivers=64, silent_start=True, scale_output=True),
    ("l1_weight",),
    dict(hidden=500, r_power=1.0, scale_output=False),  # as for dark matter in the paper
    assumes=RADIAL,
)
NEWTON = Recipe(
    {name: newton for name, (_, newton) in OPTIONS.items()},
    3_000,
    16_000,
    wide_masses=True,
    scaled=True,
    in_a_box=dict(epochs=1, r_power=1.0, receivers=0, silent_start=False),
    of_a_target=dict(radial=True, loss="mae"),
    assumes=RADIAL,
)
# nothing is said about action and reaction, nor that it is the same everywhere and at all times; what pairs do depends
# on where they are from each other alone, forces add up, and a = F/m, so that messages are forces
OPEN = replace(
    NEWTON,
    options=NEWTON.options
    | dict(antisymmetric=False, translation_invariant=False, epochs=8)
    | dict(relative_messages=True, additive_node=True, clock=True),
    least_steps=6_000,  # without the third law there is twice as much to learn
    wide_masses=False,
    doubts=("antisymmetric", "translation_invariant"),
    assumes=SUPERPOSING,
)
RECIPES = {"paper": PAPER, "newton": NEWTON, "open": OPEN}
# options that are off where a recipe does not name them
FURTHER = ("relative_messages", "additive_node", "clock", "radial")
BOX_NEEDS = {"translation_invariant": True, "geometric_inputs": True, "augment": 0.0}  # positions only as differences


def defaults(recipe: str, variant: str, dim: int, n: int = 4) -> dict:
    """The options of a run on ``n`` particles in ``dim`` dimensions that is told nothing else."""
    chosen, head = RECIPES[recipe], VARIANTS[variant]
    out = chosen.options | {"message_dim": dim if head.bottleneck else MESSAGE_DIM}
    if chosen.batch_size:
        out["batch_size"] = chosen.batch_size(n)
    out |= {head.weight: head.weights[recipe]} if head.penalty else {}
    return {k: v for k, v in out.items() if k not in head.without} | head.own.get(recipe, {})


def doubted(recipe: str, arguments: dict) -> list[str]:
    """The ``ASSUMPTIONS`` that a run was trained without, because its recipe doubts them or it was asked for."""
    own = RECIPES[recipe].doubts if recipe in RECIPES else ()
    return [name for name in ASSUMPTIONS if arguments.get(name) is False or (name in own and not arguments.get(name))]


def box_changes(recipe: str, variant: str, options: dict, n: int, edges: float) -> dict:
    """What differs from ``options`` for ``n`` particles in a periodic box with ``edges`` edges a frame."""
    chosen, own = RECIPES[recipe], VARIANTS[variant].in_a_box.get(recipe, {})
    if 0 < chosen.in_a_box["receivers"] < n:
        edges *= chosen.in_a_box["receivers"] / n
    scaled = {name: options[name] * n for name in chosen.times_n if name in options}
    return BOX_NEEDS | chosen.in_a_box | own | scaled | {"batch_size": max(1, round(chosen.edges_a_step / edges))}


# a sum over neighbours is no force: nothing says that e_ij = -e_ji, nor that they superpose behind the node model
TARGET = {"antisymmetric": False, "linear_node": False, "close_sampling": 0.0}


def target_changes(recipe: str, options: dict, n: int, edges: float) -> dict:
    """What differs from ``options`` where a number of each of ``n`` particles in a box is learnt, with ``edges`` edges
    a frame: so many receivers a step as have ``edges_a_step`` of them.

    A penalty that ``adds_up``, (1/n) times a sum over edges, stands beside a loss that is a sum over receivers: times
    n^2 over the edges of a frame its weight is that of a mean over edges beside a mean over receivers, as in the paper.
    """
    chosen = RECIPES[recipe]
    receivers = max(1, min(n, round(chosen.edges_a_step * n / edges)))
    own = {v.weight: v.weights[recipe] * n * n / edges for v in VARIANTS.values() if v.adds_up and v.weight in options}
    return TARGET | chosen.of_a_target | own | {"receivers": receivers, "batch_size": 1}


def enough_epochs(recipe: str, epochs: float, batch_size: int, graphs: int) -> float:
    """``epochs`` of so many training graphs, or as many more as make the recipe's ``least_steps``."""
    a_epoch = graphs // min(batch_size, graphs)  # steps, as ``training`` takes them
    return max(epochs, math.ceil(RECIPES[recipe].least_steps / a_epoch))


# name: (share of training that the rate rises, where it starts, where it ends), as parts of its peak. onecycle:
# torch's ``OneCycleLR`` with its defaults and the paper's ``final_div_factor`` 1e5
LR_SCHEDULES = {"onecycle": (0.3, 1 / 25, 1 / 25 / 1e5), "cosine": (0.1, 0.04, 1e-4)}


def anneal(start: float, end: float, q: float) -> float:
    """From ``start`` to ``end`` at progress ``q`` in [0, 1]: half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * q))


def lr_factor(schedule: str, p: float) -> float:
    """Learning rate over its peak at progress ``p`` in [0, 1]: a rise and a fall, both half a cosine."""
    rise, low, last = LR_SCHEDULES[schedule]
    return anneal(low, 1.0, p / rise) if p < rise else anneal(1.0, last, (p - rise) / (1 - rise))


# name: share of the components that are left at progress q in [0, 1] of pruning, from 1 to 0
PRUNE_SCHEDULES = {
    "linear": lambda q: 1 - q,
    "cosine": lambda q: 0.5 * (1 + math.cos(math.pi * q)),
    "exponential": lambda q: (math.exp(-5 * q) - math.exp(-5)) / (1 - math.exp(-5)),
}


def components_kept(p: float, start: float, end: float, total: int, final: int, schedule: str) -> int:
    """Components left at progress ``p`` when pruning ``total`` -> ``final`` from ``start`` to ``end``."""
    if p < start:
        return total
    q = min((p - start) / max(end - start, 1e-9), 1.0)
    return max(final, round(final + (total - final) * PRUNE_SCHEDULES[schedule](q)))
