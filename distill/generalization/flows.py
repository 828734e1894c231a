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

NETWORKS_DRIFT = 1e-6  # of its own energy: steps of a network are dear, and what it lacks of the truth is far more
NETWORKS_STAGES = 60_000
MOVES = 0.1  # of the velocity: a network whose dH/dp is further off it, and was not trained to be it, moves elsewhere
ANYWHERE = (0.1, 10.0)  # distances at which an energy is checked to be one


def flows(
    dataset: Dataset, system: System, law: Law, model, starts: dict
) -> tuple[dict[str, symplectic.Flow], dict[str, str]]:
    """(flows of law and network, why there is none), a name in one of both. ``starts``: pos and vel [lane, particle,
    dim] and properties, name -> [lane, particle], in which the network's dH/dp has to be the velocity.
    """
    out, why = {}, {}
    if system.held:
        return out, dict.fromkeys(("law", "gnn"), "particles are held")
    if isinstance(force := force_of(law, dataset.n), str):
        why["law"] = force
    else:
        out["law"] = symplectic.Flow(
            lambda q, p, own: (p / own["mass"][..., None], 0.5 * ((p * p).sum(-1) / own["mass"]).sum(1)),
            lambda q, p, own: force(q, own),
        )
    if (whole := canonical(model, dataset)) is None:
        why["gnn"] = "it loses energy, or is in a periodic box"
        return out, why
    mixed = model.config.pair_momenta or model.config.self_position  # H is not T(p) + V(q) then
    if not (off := motion_off(whole.motion, **starts)) <= MOVES:
        why["gnn"] = f"its dH/dp is off the velocity by {100 * off:.0f} %, the median: was it trained on dq/dt?"
    else:
        out["gnn"] = symplectic.Flow(*whole, not mixed, NETWORKS_DRIFT, NETWORKS_STAGES)
    return out, why


def motion_off(motion, pos: np.ndarray, vel: np.ndarray, properties: dict) -> float:
    """By how much dH/dp differs from velocities, over their size; the median over particles."""
    mass = np.asarray(properties["mass"], float)[..., None]
    off = np.linalg.norm(motion(pos, mass * vel, properties)[0] - vel, axis=-1)
    return float(np.median(off / np.maximum(np.linalg.norm(vel, axis=-1), 1e-300)))


def force_of(law: Law, n: int):
    """(-dV/dq [lane, particle, dim], V [lane]) as a function of places [lane, particle, dim] of ``n`` particles and
    properties; in words, why there is none where no formula of the law has its energy.
    """
    for there, why in (
        (law.node or law.pairs, "more acts than radial forces of pairs"),
        (law.cutoff is not None, "its forces end at a cutoff"),
        (law.response is not None, "particles do not respond by a = F/m"),
        (not potential.is_mutual(law.pair, law.properties), "its pair forces are not mutual"),
    ):
        if there:
            return why
    found, left = potential.energy(law.pair, *ANYWHERE)
    if left != 0:
        return "no formula is the integral of its pair force"
    names = sorted(symbol.name for symbol in found.free_symbols | law.pair.free_symbols)
    slope, value = (compile_numpy(formula, names) for formula in (law.pair, found))
    i, j = np.triu_indices(n, 1)
    near = j - i == 1 if law.chain else slice(None)
    i, j = i[near], j[near]
    # by it a sum over the pairs of every particle is one product, of many short steps the fastest
    ends = np.subtract(*(each[:, None] == np.arange(n) for each in (i, j)), dtype=float)  # [pair, particle]
    beside = [name for name in names if name != "r"]

    def force(q, properties):
        apart = ends @ q
        r = np.sqrt(np.einsum("lpd,lpd->lp", apart, apart))
        known = of_pairs(at(properties, i), at(properties, j)) if beside else {}
        known["r"] = r
        every = [known[name] for name in names]
        along = (slope(*every) + 0 * r) / np.where(r > 0, r, 1.0)
        return ends.T @ (along[..., None] * apart), (value(*every) + 0 * r).sum(1)

    return force
