"""CPU seconds until the messages are the force: newton recipe against paper recipe, charges, 2-D, on the same core.

``r2_all`` is that of ``fit_linear.py``: the two most important message components against the true pair force, every
edge of 10,000 frames of the test trajectories. The clock counts training alone: simulation, start-up and the
scoring itself are left out. The newton recipe trains ``EPOCHS`` passes instead of its default 4, chosen on seeds 0 to
2; the paper recipe gets about ``PATIENCE`` times the time that newton took, its schedule annealed over it.
"""

import copy
import statistics
import time
from pathlib import Path

import numpy as np
from speed_timing import bar

from distill.files.dataset import load_dataset
from distill.pipeline.runs.cells import Cell, Children
from distill.report.markdown import markdown
from distill.shell.errors import UserError

SYSTEM, TARGET, BAR = "charge", 0.99, 30.0
EPOCHS = 2.5
PATIENCE = 3
SCORES = 12  # a run is scored so many times
GRAPHS = 10_000


def dataset_of(system: str, seed: int, quick: bool = False):
    """The dataset of a seed, simulated if it is not there."""
    cell = Cell(system, 2, "l1", "newton", seed, data_tag="quick" if quick else "")
    outcome = Children().script(*cell.words("simulate", *(["--quick"] if quick else [])))
    if outcome.error:
        raise UserError(f"simulate.py failed: {outcome.error}")
    return load_dataset(cell.dataset)


class Scorer:
    """R^2 of a network's messages on test trajectories."""

    def __init__(self, dataset):
        self.dataset = dataset
        trajectories, frames = dataset.trajectories("test"), dataset.pos.shape[1]
        total = len(trajectories) * frames
        pick = np.sort(np.random.default_rng(0).choice(total, min(GRAPHS, total), replace=False))
        self.where = trajectories[pick // frames], pick % frames

    def __call__(self, model) -> dict:
        from distill.messages import read_out
        from distill.messages.extraction import Extraction
        from distill.statistics import metrics

        extraction = Extraction(copy.deepcopy(model), self.dataset)  # it freezes its network
        extraction.with_shares = False
        parts = list(extraction.parts(*self.where))
        names = ("message", "force") + (("logvar",) if "logvar" in parts[0] else ())
        messages = {k: np.concatenate([p[k] for p in parts]) for k in names} | {"active": parts[0]["active"]}
        top = read_out.top_components(read_out.importance(messages), self.dataset.dim)
        scores = metrics.score_components(messages["message"][:, top].astype(float), messages["force"])
        return {k: float(scores[k]) for k in ("r2_all", "r2_trim90")}


def train(dataset, recipe, seed, epochs, scores, precision="float32", quick=False) -> list[dict]:
    """Train an l1 network and score it on the way: rows of cpu_s, step, r2_all, r2_trim90, the last at the end."""
    from distill.network.learning.steps import Stepper
    from distill.network.learning.training import Trainer
    from distill.network.recipes import defaults

    options = defaults(recipe, "l1", dataset.dim) | {"epochs": epochs}
    if quick:
        options |= {"batch_size": 16, "hidden": 16, "rank_graphs": 64}
    member = Trainer(dataset, "l1", options, seed, "cpu", precision, Path("unused"), {}, quick)
    stepper, score, rows, used = Stepper([member]), Scorer(dataset), [], 0.0
    every = max(1, member.total // scores)
    start = time.process_time()
    while member.step < member.total:
        if member.constrain():
            stepper.changed()
        stepper.step(member.step)
        member.step += 1
        if member.step % every == 0 or member.step == member.total:
            used += time.process_time() - start
            rows.append({"cpu_s": round(used, 2), "step": member.step, **score(member.model)})
            start = time.process_time()
    return rows


def train_to_the_end(dataset, seed: int, precision: str, quick: bool) -> dict:
    """The last scores of the newton recipe with its default budget."""
    from distill.network.recipes import RECIPES

    epochs = 2 if quick else RECIPES["newton"].options["epochs"]
    return train(dataset, "newton", seed, epochs, 1, precision=precision, quick=quick)[-1]


def reached(rows: list[dict]) -> float | None:
    """CPU seconds at the first score from which ``TARGET`` holds to the end; None if it does not hold at the end."""
    at = None
    for row in reversed(rows):
        if row["r2_all"] < TARGET:
            break
        at = row["cpu_s"]
    return at


def measure(args) -> dict:
    import torch

    torch.set_num_threads(args.threads)
    epochs, rows = (2 if args.quick else EPOCHS), []
    for seed in args.seeds:
        dataset = dataset_of(SYSTEM, seed, args.quick)
        newton = train(dataset, "newton", seed, epochs, SCORES, quick=args.quick)
        # the paper's one-cycle schedule, annealed over the budget that it gets here
        trial = train(dataset, "paper", seed, 0.01, 1, quick=args.quick)[-1]
        longer = max(1.0, PATIENCE * newton[-1]["cpu_s"] / max(trial["cpu_s"], 0.01))  # as it is rounded
        paper = train(dataset, "paper", seed, 0.01 * longer, SCORES, quick=args.quick)
        rows.append({"seed": seed, "newton": newton, "paper": paper})
        rows[-1] |= {f"{recipe}_reached_s": reached(rows[-1][recipe]) for recipe in ("newton", "paper")}
        print(f"seed {seed}: newton {newton[-1]}, paper {paper[-1]}", flush=True)
    times = [float("inf") if r["newton_reached_s"] is None else r["newton_reached_s"] for r in rows]
    median, whole = statistics.median(times), statistics.median(r["newton"][-1]["cpu_s"] for r in rows)
    what = f"newton recipe, CPU-s to r2_all >= {TARGET} and no lower after, median of {len(rows)} seeds"
    bars = [bar(what, None if median == float("inf") else median, f"<= {BAR:g}", median <= BAR)]
    bars.append(bar("the whole run of it, annealed, CPU-s, median", whole, "reported", None))
    return {"rows": rows, "table": table(rows), "epochs": epochs, "bars": bars}


def table(rows: list[dict]) -> str:
    lines = []
    for row, recipe in ((row, recipe) for row in rows for recipe in ("newton", "paper")):
        at, last = row[f"{recipe}_reached_s"], row[recipe][-1]
        numbers = f"{last['cpu_s']:.1f}", f"{last['r2_all']:.4f}", f"{last['r2_trim90']:.4f}"
        lines.append([str(row["seed"]), recipe, "not reached" if at is None else f"{at:.1f}", *numbers])
    head = f"seed|recipe|CPU-s to r2_all >= {TARGET}|CPU-s, whole run|r2_all at its end|best 90 %"
    return markdown(head.split("|"), lines)
