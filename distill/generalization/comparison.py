"""Law against network on data unlike the training data: what is compared, and how, for each kind of data.

The core has one kind, ``OPEN``: few particles in open space. An extension's module of the role "comparisons" defines
``COMPARISONS``, a list of others. ``measure`` is the way they all go.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distill.files.dataset import Dataset
from distill.generalization import extrapolation, rollout
from distill.generalization.extrapolation import INTERPOLATION, WINDOWS, Made
from distill.physics.record import system_of
from distill.physics.system import System
from distill.shell import extensions
from distill.shell.errors import UserError
from distill.shell.kinds import Kind
from distill.shell.stage import progress
from distill.statistics.metrics import typical_size

FRESH_SEED = 1_000_003  # unlike that of any dataset
ERRORS_ARE = "mae: mean over components; n: particles times frames"


@dataclass(frozen=True, kw_only=True)
class Comparison(Kind):
    """One kind of data."""

    takes: Callable[[Dataset], bool]
    check: Callable[..., None]  # (args, law): ``UserError`` for flags or a law that will not do
    unit: Callable[[System | None], str | None]  # of forces m a, where these are compared in place of accelerations
    knows: Callable[[System], bool]  # whether data of this system can be simulated anew
    fresh: Callable[[Namespace, Dataset, System], Made]
    rollouts: Callable[..., dict]  # (args, dataset, system, law, model, made): a part of generalization.json


def comparisons() -> list[Comparison]:
    """All there are; ``OPEN``, which takes what nobody else does, comes first."""
    return [OPEN, *(kind for module in extensions.modules("comparisons") for kind in module.COMPARISONS)]


def measure(kind: Comparison, args: Namespace, dataset: Dataset, model, law) -> dict:
    """Everything in ``generalization.json`` but its provenance."""
    from distill.network.evaluation import network_acceleration  # torch, which simulations are kept apart from

    system = system_of(dataset.meta.system)
    system = system if system is not None and kind.knows(system) else None
    if system is None:
        made = Made(extrapolation.own_test_set(dataset, args.max_graphs, args.seed))
    else:
        if args.seed == dataset.meta.arguments.get("seed"):
            whose = f"--seed {args.seed} is the dataset's own: its trajectories were trained on"
            raise UserError(whose, "give another --seed")
        made = kind.fresh(args, dataset, system)
        if "acc" not in dataset.arrays:
            made.sets[WINDOWS] = extrapolation.own_windows(dataset, args.max_graphs, args.seed)
    unit, network = kind.unit(system), network_acceleration(model, dataset)
    clocks = law.in_time, bool(model.config.clock)
    like = made.sets[INTERPOLATION]
    inertia = like.inertia if unit else 1.0
    typical = typical_size(np.linalg.norm(inertia * like.acc, axis=-1))
    sets = progress(made.sets.items(), desc="errors of law and network", unit="set")
    result = {
        "truth": None if system is None else {"system": system.name, "law": system.law},
        "force_unit": unit,
        "errors_are": f"of {f'forces, mass * acc, in {unit}' if unit else 'accelerations'}; {ERRORS_ARE}",
        "simulations": {name: states.report for name, states in made.sets.items() if states.report},
        "sets": {
            name: extrapolation.compare(s, network, law.acceleration, bool(unit), typical, *clocks) for name, s in sets
        },
        "skipped_sets": made.skipped,
    }
    if system is None:
        return result | {"rollouts": {"skipped": extrapolation.NOTHING_KNOWN}}
    if not args.rollouts:
        return result | {"rollouts": {"skipped": "asked for none (--rollouts 0)"}}
    return result | {"rollouts": kind.rollouts(args, dataset, system, law, model, made)}


# ---------------------------------------------------------------- few particles in open space


def _spacing(dataset: Dataset, system: System) -> float:
    """Time between two frames, the usual one where times are uneven."""
    if dataset.pos.shape[1] < 2:
        return system.dt
    steps = np.diff(dataset.times, axis=1)
    return float(steps[0, 0] if np.ptp(steps) < 1e-6 * steps[0, 0] else np.median(steps))


def _fresh(args, dataset, system) -> Made:
    return extrapolation.fresh_sets(
        dataset.meta.system,
        n=dataset.n,
        dim=dataset.dim,
        frames=dataset.pos.shape[1],
        spacing=_spacing(dataset, system),
        trajectories=max(args.n_trajectories, args.rollouts),
        limit=args.max_graphs,
        seed=args.seed,
    )


def _rollouts(args, dataset, system, law, model, made) -> dict:
    from distill.generalization.flows import flows
    from distill.network.evaluation import network_acceleration

    frames = dataset.pos.shape[1]
    if frames < 2:
        return {"skipped": "the training data are single frames"}
    network = network_acceleration(model, dataset, double=True)
    starts = {name: made.starts[name][: args.rollouts] for name in ("pos", "vel")}
    starts["properties"] = {name: values[: args.rollouts] for name, values in made.starts["properties"].items()}
    time = _spacing(dataset, system) * (frames - 1)
    functions = {"training_time": time, "times": extrapolation.LONGER, "timed": law.in_time}
    functions["max_steps"] = args.max_steps
    functions["network_timed"] = bool(model.config.clock)
    if model.config.energies:
        functions["flows"], functions["no_flow"] = flows(dataset, system, law, model, starts)
    return rollout.compare(system, law.acceleration, network, **starts, **functions, scales=model.config.scales)


OPEN = Comparison(
    name="data in open space",
    # smooth networks of four particles take 130 to 480 steps; one whose force has kinks all over takes any number
    defaults={"n_trajectories": 100, "max_graphs": 4000, "rollouts": 16, "max_steps": 2000},
    quick={"n_trajectories": 6, "max_graphs": 200, "rollouts": 2, "max_steps": 150},
    takes=lambda dataset: True,
    check=lambda args, law: None,
    unit=lambda system: None,
    knows=lambda system: True,
    fresh=_fresh,
    rollouts=_rollouts,
)
