"""Energies of a law and of a network of energies, as flows that a symplectic integrator follows."""

import numpy as np

from distill.files.dataset import Dataset
from distill.files.properties import at, of_pairs
from distill.formulas.program import compile_numpy
from distill.generalization import symplectic
from distill.law import potential
from distill.network.evaluation import canonical
from distill.physics.law import Law
from distill.physics.system import System

NETWORKS_DRIFT = 1e-7  # of its own energy: steps of a network are dear, and what it lacks of the truth is more
NETWORKS_STAGES = 60_000
ANYWHERE = (0.1, 10.0)  # distances at which an energy is checked to be one


def flows(dataset: Dataset, system: System, law: Law, model) -> dict[str, symplectic.Flow]:
    """Of law and network, where they have an energy and nothing is held or lost."""
    out = {}
    if system.held:
        return out
    if (energy := energy_of(law)) is not None:
        out["law"] = symplectic.Flow(
            lambda q, p, own: (p / own["mass"][..., None], 0.5 * ((p * p).sum(-1) / own["mass"]).sum(1)),
            lambda q, p, own: (own["mass"][..., None] * law.acceleration(q, 0 * p, own), energy(q, own)),
        )
    if (whole := canonical(model, dataset)) is not None:
        mixed = model.config.pair_momenta or model.config.self_position  # H is not T(p) + V(q) then
        out["gnn"] = symplectic.Flow(*whole, not mixed, NETWORKS_DRIFT, NETWORKS_STAGES)
    return out


def energy_of(law: Law):
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
