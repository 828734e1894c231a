"""What the tables consist of: sections of cells, a cell being one trained network and what is measured on it.

A section is a part of the published work that is set beside ours. Its cells are the product of systems, dimensions,
particle numbers, variants, recipes and seeds; seed k makes dataset k and training k. Cells that two sections share
are run once. Nothing heavy is imported: the workflow and the tests read this.
"""

from dataclasses import dataclass, replace

from distill.pipeline.runs.cells import Cell
from distill.shell.errors import UserError, near_miss

PAIR_SYSTEMS = ("charge", "r1", "r2", "spring")  # tables 1 and 5 of the paper
ALL_SYSTEMS = ("charge", "damped", "discontinuous", "r1", "r2", "spring")  # table 3
VARIANTS = ("standard", "bottleneck", "l1", "kl", "pruning")
OF_TABLE_3 = ("standard", "bottleneck", "l1", "kl")  # it has no pruning
SEEDS = (201, 202, 203)  # none was looked at while settings were chosen
SEED = SEEDS[0]
LAPTOP = ("--epochs", "1", "--precision", "bf16")  # 0.4 million graphs
TENTH = ("--epochs", "16", "--precision", "bf16")  # of the paper's 64 million graphs
QUARTER = ("--epochs", "0.25", "--precision", "bf16")
ARGON_ROLLOUTS = (("bottleneck", "newton"), ("l1", "newton"))  # a step costs a network a hundred times a law's
BUDGETS = {
    "laptop": "what 2 CPU cores do overnight; the paper recipe on 0.1 to 0.8, ten networks on 6.4 million graphs each",
    "full": "the paper recipe on the paper's 64 million graphs a network: for GPUs",
}


@dataclass(frozen=True)
class Section:
    """``cells`` of the budget "laptop"; ``full`` tells which of them also have a full budget."""

    what: str
    cells: list
    full: bool = False


NEWTON = [
    Cell(system, dim, variant, "newton", seed)
    for seed in SEEDS
    for variant in ("bottleneck", "l1", "pruning", "kl", "standard")
    for dim in (2, 3)
    for system in PAIR_SYSTEMS
]
NEWTON_ERRORS = [
    Cell(system, dim, variant, "newton", SEED, law=False)
    for variant in OF_TABLE_3
    for dim in (2, 3)
    for system in ("damped", "discontinuous")
]
PAPER = [
    Cell(system, dim, variant, "paper", SEED, train=LAPTOP, law=system in PAIR_SYSTEMS)
    for variant in VARIANTS
    for dim in (2, 3)
    for system in ALL_SYSTEMS
    if system in PAIR_SYSTEMS or variant in OF_TABLE_3
]
PAPER_TENTH = [
    Cell(system, 2, variant, "paper", SEED, tag="tenth", train=TENTH)
    for variant in VARIANTS
    for system in ("spring", "r2")
]
EIGHT = [
    Cell(system, 3, variant, recipe, SEED, n=8, train=train, law=recipe == "newton")
    for recipe, train in (("newton", ("--epochs", "0.5")), ("paper", QUARTER))
    for variant in ("bottleneck", "l1")
    for system in PAIR_SYSTEMS
]


def pruned(schedule: str, end: str) -> Cell:
    train = ("--epochs", "8", "--precision", "bf16", "--prune-schedule", schedule, "--prune-end", end)
    data = {"data": ("--n-trajectories", "1250"), "data_tag": "1250"}  # short epochs: pruning begins after the first
    return Cell("charge", 2, "pruning", "paper", SEED, tag=f"{schedule}-{end}", train=train, law=False, **data)


PRUNING = [pruned(how, end) for how in ("exponential", "linear", "cosine") for end in ("0.65", "0.75", "0.85")]


def forked(system: str, variant: str, edge: str, loss: str) -> Cell:
    train = (*QUARTER, "--edge-model", edge, "--loss", loss)
    return Cell(system, 2, variant, "paper", SEED, tag=f"fork-{edge}-{loss}", train=train, law=False)


NETWORKS = (("bottleneck", "mlp"), ("l1", "mlp"), ("kl", "mlp"), ("l1", "pm"), ("l1", "cust"))  # of the fork
LOSSES = ("mae", "huber", "mse")
FORK = [forked("r1", *network, loss) for loss in LOSSES for network in NETWORKS] + [
    forked(system, *cell)
    for system in ("r2", "spring", "charge")
    for cell in (("bottleneck", "mlp", "mae"), ("l1", "cust", "huber"))
]


def argon(variant: str, recipe: str, train: tuple) -> Cell:
    compare = () if (variant, recipe) in ARGON_ROLLOUTS else ("--rollouts", 0)
    targets = ("radial", "components", "node")
    return Cell("lj", 3, variant, recipe, SEED, n=258, train=train, targets=targets, compare=compare)


ARGON = [
    argon(variant, recipe, train)
    for recipe, train in (("newton", ()), ("paper", ("--precision", "bf16")))
    for variant in ("bottleneck", "l1", "standard", "kl", "pruning", "std")
]
SMALL = {"data": ("--n-trajectories", "200", "--n-frames", "50"), "data_tag": "smoke", "train": ("--epochs", "6")}
SMOKE = [Cell(s, 2, v, "newton", 7, **SMALL) for v in ("bottleneck", "l1") for s in ("spring", "r2")]
SECTIONS = {
    "newton": Section("tables 1, 3 and 5, newton recipe: the four pair laws, three seeds", NEWTON),
    "newton-errors": Section("table 3, newton recipe: damped and discontinuous", NEWTON_ERRORS),
    "paper": Section("tables 1, 3 and 5, paper recipe", PAPER, full=True),
    "tenth": Section("the paper recipe on a tenth of the paper's budget: spring and r2 in 2-D", PAPER_TENTH),
    "eight": Section("8 particles in 3-D, as vj279", EIGHT, full=True),
    "pruning": Section("pruning schedules and end points on charge, as eszt2", PRUNING, full=True),
    "fork": Section(
        "edge models PM and CUST, losses MAE, Huber and MSE, the cells of the fork's figures", FORK, full=True
    ),
    "argon": Section("Lennard-Jones argon, the data set of GAMD; has a page of its own", ARGON),
    "smoke": Section("four small cells that try the workflow out, in no table", SMOKE),
}
IN_THE_TABLES = tuple(name for name in SECTIONS if name not in ("argon", "smoke"))
FULL = ("--epochs", "160", "--precision", "bf16")  # 160 x 400,000 graphs


def full_budget(cell: Cell) -> Cell:
    """The same cell of the paper recipe on 64 million graphs, under a name of its own."""
    pairs = zip(cell.train[::2], cell.train[1::2], strict=True)
    rest = [word for pair in pairs if pair[0] not in FULL for word in pair]
    tag = "-".join(part for part in (cell.tag, "full") if part)
    return replace(cell, tag=tag, data=(), data_tag="", train=(*FULL, *rest))


def known(word: str, what: str, words) -> str:
    if word not in words:
        raise UserError(f"unknown {what} '{word}'{near_miss(word, list(words))}", "choose among " + " ".join(words))
    return word


def select(sections=None, budget: str = "laptop") -> dict[str, Cell]:
    """Run name -> cell of the named ``sections`` (None: those of the tables) at ``budget``: with "full" those of the
    paper recipe alone. ``UserError`` for unknown names.
    """
    known(budget, "budget", BUDGETS)
    chosen: dict[str, Cell] = {}
    for name in sections or IN_THE_TABLES:
        section = SECTIONS[known(name, "section", SECTIONS)]
        cells = section.cells
        if budget == "full":
            cells = [full_budget(c) for c in cells if c.recipe == "paper"] if section.full else []
        for cell in cells:
            if chosen.setdefault(cell.run, cell) != cell:
                raise ValueError(f"two different cells are called {cell.run}")
    return chosen
