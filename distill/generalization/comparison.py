"""Law against network on data unlike the training data: what is compared, and how, for each kind of data.

The core has one kind, ``OPEN``: few particles in open space. An extension's module of the role "comparisons" defines
``COMPARISONS``, a list of others. ``measure`` is the way they all go.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distill.files.dataset import Dataset
from distill.files.properties import at, of_pairs
from distill.formulas.program import compile_numpy
from distill.generalization import extrapolation, rollout, symplectic
from distill.generalization.extrapolation import INTERPOLATION, WINDOWS, Made
from distill.law import potential
from distill.physics.record import system_of
from distill.physics.system import System
from distill.shell import extensions
from distill.shell.errors import UserError
from distill.shell.kinds import Kind
from distill.shell.stage import progress
from distill.statistics.metrics import typical_size

FRESH_SEED = 1_000_003  # unlike that of any dataset
NETWORKS_DRIFT = 1e-7  # of its own energy: steps of a network are dear, and what it lacks of the truth is more
NETWORKS_STAGES = 60_000
ANYWHERE = (0.1, 10.0)  # distances at which an energy is checked to be one
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
    from distill.network.evaluation import network_acceleration

    frames = dataset.pos.shape[1]
    if frames < 2:
        return {"skipped": "the training data are single frames"}
    network = network_acceleration(model, dataset, double=True)
    starts = {name: made.starts[name][: args.rollouts] for name in ("pos", "vel")}
    starts["properties"] = {name: values[: args.rollouts] for name, values in made.starts["properties"].items()}
    time = _spacing(dataset, system) * (frames - 1)
    functions = {"training_time": time, "times": extrapolation.LONGER, "timed": law.in_time}
    functions["network_timed"] = bool(model.config.clock)
    functions["flows"] = _flows(dataset, system, law, model) if model.config.energies else None
    return rollout.compare(system, law.acceleration, network, **starts, **functions, scales=model.config.scales)


def _flows(dataset: Dataset, system: System, law, model) -> dict[str, symplectic.Flow]:
    """Of law and network, where they have an energy and nothing is held or lost."""
    from distill.network.evaluation import canonical

    out = {}
    if system.held:
        return out
    if (energy := _energy(law)) is not None:
        out["law"] = symplectic.Flow(
            lambda q, p, own: (p / own["mass"][..., None], 0.5 * ((p * p).sum(-1) / own["mass"]).sum(1)),
            lambda q, p, own: (own["mass"][..., None] * law.acceleration(q, 0 * p, own), energy(q, own)),
        )
    if (whole := canonical(model, dataset)) is not None:
        mixed = model.config.pair_momenta or model.config.self_position  # H is not T(p) + V(q) then
        out["gnn"] = symplectic.Flow(*whole, not mixed, NETWORKS_DRIFT, NETWORKS_STAGES)
    return out


def _energy(law):
    """Potential energy [lane] as a function of places [lane, particle, dim] and properties; None where no formula of
    the law has it.
    """
    if law.node or law.pairs or law.cutoff is not None or law.response is not None:
        return None
    if not potential.is_mutual(law.pair, law.properties):
        return None
    found, left = potential.energy(law.pair, *ANYWHERE)
    if left != 0:
        return None
    names = sorted(symbol.name for symbol in found.free_symbols)
    value = compile_numpy(found, names)

    def energy(q, properties):
        i, j = np.triu_indices(q.shape[1], 1)
        near = j - i == 1 if law.chain else slice(None)
        i, j = i[near], j[near]
        ends = of_pairs(at(properties, i), at(properties, j))
        ends["r"] = np.linalg.norm(q[:, i] - q[:, j], axis=-1)
        return (value(*(ends[name] for name in names)) + 0 * ends["r"]).sum(1)

    return energy


OPEN = Comparison(
    name="data in open space",
    defaults={"n_trajectories": 100, "max_graphs": 4000, "rollouts": 16},
    quick={"n_trajectories": 6, "max_graphs": 200, "rollouts": 2},
    takes=lambda dataset: True,
    check=lambda args, law: None,
    unit=lambda system: None,
    knows=lambda system: True,
    fresh=_fresh,
    rollouts=_rollouts,
)
