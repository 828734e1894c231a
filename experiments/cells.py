"""What the tables consist of: sections of cells, a cell being one trained network and what is measured on it.

A section is a part of the published work that is set beside ours. Its cells are the product of systems, dimensions,
particle numbers, variants, recipes and seeds; seed k makes dataset k and training k. Cells that two sections share
are run once. Nothing heavy is imported: the workflow and the tests read this.
"""

from dataclasses import dataclass, field, replace

from distill.files.names import dataset_name, run_name
from distill.shell.errors import UserError, near_miss

PAIR_SYSTEMS = ("charge", "r1", "r2", "spring")  # tables 1 and 5 of the paper
ALL_SYSTEMS = ("charge", "damped", "discontinuous", "r1", "r2", "spring")  # table 3
VARIANTS = ("standard", "bottleneck", "l1", "kl", "pruning")
OF_TABLE_3 = ("standard", "bottleneck", "l1", "kl")  # it has no pruning
SEEDS = (201, 202, 203)  # none was looked at while settings were chosen
LAPTOP = ("--epochs", "1", "--precision", "bf16")  # 0.4 million graphs
ARGON_ROLLOUTS = (("bottleneck", "newton"), ("l1", "newton"))
BUDGETS = {
    "laptop": "what 2 CPU cores do overnight; the paper recipe on 0.1 to 0.8 million graphs a network",
    "full": "the paper recipe on the paper's 64 million graphs a network: for GPUs",
}


@dataclass(frozen=True)
class Cell:
    """One run: its dataset, its network, and whether its law is searched."""

    system: str
    dim: int
    variant: str
    recipe: str
    seed: int = SEEDS[0]
    n: int = 4
    tag: str = ""
    train: tuple = ()  # flags of train.py beside variant, recipe and seed
    law: bool = True
    data: tuple = ()  # flags of simulate.py beside system, n, dim and seed
    data_tag: str = ""
    targets: tuple = ("radial", "node")  # of symbolic_reg.py
    compare: tuple = ("--rollouts", "0")  # flags of test_generalization.py

    @property
    def dataset(self) -> str:
        return dataset_name(self.system, self.n, self.dim, self.seed, self.data_tag)

    @property
    def run(self) -> str:
        return run_name(self.dataset, self.variant, self.recipe, self.seed, self.tag)

    @property
    def simulate_words(self) -> list[str]:
        words = ["--system", self.system, "--n", self.n, "--dim", self.dim, "--seed", self.seed, *self.data]
        return [str(w) for w in words + (["--tag", self.data_tag] if self.data_tag else [])]

    @property
    def train_words(self) -> list[str]:
        words = ["--dataset", self.dataset, "--variant", self.variant, "--recipe", self.recipe, "--seed", self.seed]
        return [str(w) for w in [*words, *(("--tag", self.tag) if self.tag else ()), *self.train]]


@dataclass(frozen=True)
class Section:
    """``cells`` of the budget "laptop"; ``full`` tells which of them also have a full budget."""

    what: str
    cells: list = field(default_factory=list)
    full: bool = False


def newton() -> Section:
    made = [
        Cell(system, dim, variant, "newton", seed)
        for seed in SEEDS
        for variant in ("bottleneck", "l1", "pruning", "kl", "standard")
        for dim in (2, 3)
        for system in PAIR_SYSTEMS
    ]
    return Section("tables 1, 3 and 5, newton recipe: the four pair laws, three seeds", made)


def newton_errors() -> Section:
    made = [
        Cell(system, dim, variant, "newton", law=False)
        for variant in OF_TABLE_3
        for dim in (2, 3)
        for system in ("damped", "discontinuous")
    ]
    return Section("table 3, newton recipe: damped and discontinuous", made)


def paper() -> Section:
    made = [
        Cell(system, dim, variant, "paper", train=LAPTOP, law=system in PAIR_SYSTEMS)
        for variant in VARIANTS
        for dim in (2, 3)
        for system in ALL_SYSTEMS
        if system in PAIR_SYSTEMS or variant in OF_TABLE_3
    ]
    return Section("tables 1, 3 and 5, paper recipe", made, full=True)


def eight_particles() -> Section:
    made = [
        Cell(system, 3, variant, recipe, n=8, train=train, law=recipe == "newton")
        for recipe, train in (("newton", ("--epochs", "0.5")), ("paper", ("--epochs", "0.25", "--precision", "bf16")))
        for variant in ("bottleneck", "l1")
        for system in PAIR_SYSTEMS
    ]
    return Section("8 particles in 3-D, as vj279", made, full=True)


def pruning() -> Section:
    made = [
        Cell(
            "charge",
            2,
            "pruning",
            "paper",
            tag=f"{schedule}-{end}",
            law=False,
            data=("--n-trajectories", "1250"),
            data_tag="1250",  # short epochs: pruning begins after the first
            train=("--epochs", "8", "--precision", "bf16", "--prune-schedule", schedule, "--prune-end", end),
        )
        for schedule in ("exponential", "linear", "cosine")
        for end in ("0.65", "0.75", "0.85")
    ]
    return Section("pruning schedules and end points on charge, as eszt2", made, full=True)


def fork() -> Section:
    networks = (("bottleneck", "mlp"), ("l1", "mlp"), ("kl", "mlp"), ("l1", "pm"), ("l1", "cust"))
    of_r1 = [("r1", *network, loss) for loss in ("mae", "huber", "mse") for network in networks]
    rest = [
        (system, *cell)
        for system in ("r2", "spring", "charge")
        for cell in (("bottleneck", "mlp", "mae"), ("l1", "cust", "huber"))
    ]
    made = [
        Cell(
            system,
            2,
            variant,
            "paper",
            tag=f"fork-{edge}-{loss}",
            law=False,
            train=("--epochs", "0.25", "--precision", "bf16", "--edge-model", edge, "--loss", loss),
        )
        for system, variant, edge, loss in of_r1 + rest
    ]
    return Section(
        "edge models PM and CUST, losses MAE, Huber and MSE, the cells of the fork's figures", made, full=True
    )


def argon() -> Section:
    """Rollouts for two networks: a step of the dynamics costs a network a hundred times what it costs a law."""
    made = [
        Cell(
            "lj",
            3,
            variant,
            recipe,
            n=258,
            train=train,
            targets=("radial", "components", "node"),
            compare=() if (variant, recipe) in ARGON_ROLLOUTS else ("--rollouts", "0"),
        )
        for recipe, train in (("newton", ()), ("paper", ("--precision", "bf16")))
        for variant in ("bottleneck", "l1", "standard", "kl", "pruning", "std")
    ]
    return Section("Lennard-Jones argon, the data set of GAMD; has a page of its own", made)


def smoke() -> Section:
    small = {"data": ("--n-trajectories", "200", "--n-frames", "50"), "data_tag": "smoke", "seed": 7}
    made = [
        Cell(system, 2, variant, "newton", train=("--epochs", "6"), **small)
        for variant in ("bottleneck", "l1")
        for system in ("spring", "r2")
    ]
    return Section("four small cells that try the workflow out, in no table", made)


SECTIONS = {
    "newton": newton(),
    "newton-errors": newton_errors(),
    "paper": paper(),
    "eight": eight_particles(),
    "pruning": pruning(),
    "fork": fork(),
    "argon": argon(),
    "smoke": smoke(),
}
IN_THE_TABLES = tuple(name for name in SECTIONS if name not in ("argon", "smoke"))
FULL_EPOCHS = 160  # of 400,000 graphs


def full_budget(cell: Cell) -> Cell:
    """The same cell of the paper recipe on 64 million graphs, under a name of its own."""
    train, rest = [], list(cell.train)
    while rest:
        word = rest.pop(0)
        value = rest.pop(0)
        train += [] if word in ("--epochs", "--precision") else [word, value]
    tag = "-".join(part for part in (cell.tag, "full") if part)
    return replace(
        cell, tag=tag, data=(), data_tag="", train=("--epochs", str(FULL_EPOCHS), "--precision", "bf16", *train)
    )


def select(sections=None, budget: str = "laptop") -> dict[str, Cell]:
    """Run name -> cell of the named ``sections`` (None: those of the tables); ``UserError`` for unknown names."""
    if budget not in BUDGETS:
        raise UserError(
            f"unknown budget '{budget}'{near_miss(budget, list(BUDGETS))}", "choose among " + " ".join(BUDGETS)
        )
    chosen: dict[str, Cell] = {}
    for name in sections or IN_THE_TABLES:
        if name not in SECTIONS:
            raise UserError(
                f"unknown section '{name}'{near_miss(name, list(SECTIONS))}", "choose among " + " ".join(SECTIONS)
            )
        for cell in section_cells(name, budget):
            if chosen.setdefault(cell.run, cell) != cell:
                raise ValueError(f"two different cells are called {cell.run}")
    return chosen


def section_cells(name: str, budget: str = "laptop") -> list[Cell]:
    """The cells of a section at ``budget``: with "full" those of the paper recipe alone."""
    section = SECTIONS[name]
    if budget == "laptop":
        return section.cells
    return [full_budget(c) for c in section.cells if c.recipe == "paper"] if section.full else []
