"""Does anything in positions alone depend on velocities? What decides whether a network sees them.

Velocities derived from noisy positions are noisy themselves, and a network that sees what does not matter learns more
slowly: it gets them where accelerations depend on them.
"""

import numpy as np

from distill.files.dataset import Dataset
from distill.messages.net_forces import net_force, nodes_of, state_of, typical_sizes
from distill.physics.terms import CONSTANT
from distill.splines.fit import fit_pair_force
from distill.splines.observations import observations

GRAPHS = 10_000  # frames that are looked at
MOVING = tuple(name for name in CONSTANT if name.startswith("drag"))
MATERIAL = 0.02  # share of the squared residuals that velocities have to predict on trajectories left out
SIGNIFICANT = 4.0  # standard errors
CLIPPED = 0.99  # quantile of residuals beyond which one counts as one there


def velocities_matter(dataset: Dataset, seed: int = 0) -> tuple[bool, str]:
    """Whether accelerations of the training split depend on velocities, and how that was seen.

    Splines of the pair force with drag and fields are fitted (``fit_pair_force``). Velocities matter if a drag is among
    the terms that they need, or if what they leave follows velocities: a fit on half of the trajectories, of v_i, |v_i|
    v_i, both turned by a right angle (in 2-D), and of the mean of v_j - v_i, each times 1, 1/m_i and q_i/m_i, predicts
    the residuals of the other half.
    """
    edges = observations(dataset, "train", GRAPHS, seed)
    nodes = nodes_of(edges)
    spline = fit_pair_force(edges, nodes, seed)
    if found := [name for name in spline.node_terms if name in MOVING]:
        return True, f"splines need {found[0].replace('_', ' ')}"
    first = nodes.first
    state, mass = state_of(edges, first), edges["mass_i"][first].astype(float)[:, None]
    left = (net_force(edges, nodes, "acc_i") - nodes.sum(spline.force(edges)) - spline.node_force(edges, nodes)) / mass
    acc = edges["acc_i"][first].astype(float)
    size = typical_sizes(edges, nodes, acc) + np.linalg.norm(acc, axis=1)
    weight = 1 / np.hypot(size, edges["acc_noise"][first] if "acc_noise" in edges else 0.0)[:, None]
    u = left * weight
    u = np.clip(u, *np.quantile(u, [1 - CLIPPED, CLIPPED]))
    v = state.vel
    relative = nodes.sum(edges["vel_j"].astype(float)) / nodes.senders() - v
    ways = [v, np.linalg.norm(v, axis=1, keepdims=True) * v, relative]
    if v.shape[1] == 2:
        ways += [way[:, ::-1] * [-1, 1] for way in ways[:2]]
    scales = [np.ones_like(mass), 1 / mass, edges["charge_i"][first].astype(float)[:, None] / mass]
    columns = np.stack([weight * way * scale for way in ways for scale in scales], -1)
    spread = np.sqrt((columns**2).mean((0, 1)))
    columns = np.clip(columns[..., spread > 0] / spread[spread > 0], -5, 5)
    half = edges["trajectory"][first] % 2 == 0
    predicted = np.zeros_like(u)
    for part in (half, ~half):
        x, y = columns[part].reshape(-1, columns.shape[-1]), u[part].reshape(-1)
        gram = x.T @ x + len(x.T) * np.eye(x.shape[1])
        predicted[~part] = columns[~part] @ np.linalg.solve(gram, x.T @ y)
    product = np.bincount(edges["trajectory"][first], (u * predicted).sum(1))  # windows of one trajectory overlap
    error = np.sqrt((product**2).sum())
    r2 = 1 - ((u - predicted) ** 2).sum() / max((u**2).sum(), 1e-300)
    matter = bool(r2 >= MATERIAL and error > 0 and product.sum() >= SIGNIFICANT * error)
    return matter, f"velocities predict {100 * max(r2, 0.0):.2g} % of what splines without them leave"
