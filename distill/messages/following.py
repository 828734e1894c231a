"""What is followed of a network while it is trained: losses, its bodies, and how well its messages tell net forces.

The last is the *read-out's held-out error on a fixed sample*: whenever the network is validated, the summed messages of
always the same training graphs are fitted to the net forces m_i a_i of the data, in the gauge that does best, and the
fit is judged on always the same validation graphs. A network may predict well long before its messages are linear in
forces, and only this says so. (The read-out that a law is searched in, ``messages.read_out``, is the same fit to the
net forces that the network predicts, and sees no label.)
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from distill.messages.gauges import gauges
from distill.messages.linear import Sums
from distill.network.data import Graphs
from distill.network.edges import spread_over
from distill.network.learning.training import HISTORY, Trainer
from distill.physics.terms import CONSTANT, State
from distill.shell.trackers import Run

# of training graphs, which the read-out is fitted to, and of validation graphs, which judge it: receivers and edges at
# most (but for one graph, or one trajectory of windows)
SAMPLES = (1000, 50_000), (400, 20_000)
ROUNDS = 4  # of the fit
MOST_BODIES = 100  # whose values are told one by one

# of a row of the history, by the same names; the read-out's, where there is one; ``learnt/<property>/<body>``
METRICS = tuple(name for name in HISTORY if name != "step")
READ_OUT = ("read_out_error", "read_out_r2")


@dataclass(frozen=True)
class Followed:
    """How well summed messages tell net forces, on receivers left out: ``error``, mean |residual| / (c + |T|) of T as
    accelerations, and ``r2`` of T itself, T the net force in the ``gauge``, by name.
    """

    error: float
    r2: float
    gauge: str


class Sample:
    """Always the same receivers of a split, evenly spread over its ``graphs``: at most so many, with so many edges.

    Of windows whole trajectories, with some of their windows as receivers. ``acc`` [receiver, dim]: what the data say
    of them; ``body`` [2, receiver]: trajectory and particle. Particles that are held are none.
    """

    def __init__(self, graphs: Graphs, free: Sequence[int], receivers: int, edges: int):
        frames, n = graphs.labels.frames, graphs.x.shape[1]
        some = np.arange(min(len(graphs.x), 4))
        a_graph = max(1.0, graphs.edges.count(some) / len(some))
        most = max(frames, min(receivers // len(free), int(edges / a_graph)))
        whole = len(graphs.x) // frames  # graphs, or trajectories
        chosen = spread_over(whole, min(whole, most // frames))
        self.of, self.graphs = graphs, (chosen[:, None] * frames + np.arange(frames)).ravel()
        self.labels = graphs.labels.some(torch.as_tensor(self.graphs, device=graphs.x.device))
        first = self.labels.windows()
        there = np.ones((len(first), n), bool)
        if self.labels.there is not None:
            there = (self.labels.there[first] > 0).cpu().numpy()
        there[:, [k for k in range(n) if k not in set(free)]] = False
        self.there, self.acc = there, self.labels.acc[first].double().cpu().numpy()[there]
        row, particle = np.nonzero(there)
        self.body = np.stack([graphs.trajectory[self.graphs][first.cpu().numpy()][row], particle])

    @torch.no_grad()
    def seen(self, model, dim: int) -> np.ndarray:
        """[receiver, column]: velocity and properties of every receiver, and the sum of its messages, as ``model`` has
        them now; of windows the weighted means over their frames.
        """
        parts, end = [], 2 * dim + len(model.config.properties)
        for graphs in self.of.edges.batches(self.graphs):
            x, who = self.of.x[graphs].flatten(0, 1), None
            if self.of.who is not None:
                who = self.of.who[graphs].flatten()
                x = model.bodies(x, who)
            total, _, _ = model.summed_messages(x, self.of.edges(graphs), None, model.active_components(), who)
            parts.append(torch.cat([x[:, dim:end], total.float()], 1))
        values = torch.cat(parts).view(len(self.graphs), self.of.x.shape[1], -1)
        return self.labels.means(values).double().cpu().numpy()[self.there]


class Following:
    """The linear read-out of one network's messages on fixed samples of its graphs; calling it fits anew.

    It draws no random number and changes nothing of the ``trainer``: the training goes on as it would without.
    """

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        splits = zip(trainer.data.splits, SAMPLES, strict=True)
        self.samples = [Sample(graphs, trainer.free, *most) for graphs, most in splits]

    @classmethod
    def of(cls, trainer: Trainer) -> "Following | None":
        """None where messages are energies or add up to something else than forces, and where a sample is empty."""
        if trainer.in_parts or trainer.model.config.energies:
            return None
        found = cls(trainer)
        return found if all(len(sample.acc) for sample in found.samples) else None

    def __call__(self) -> Followed:
        """As the network is now; an infinite error where nothing can be fitted to its messages."""
        sums = self.sums()
        properties = sums.state.properties
        known = [gauge for gauge in gauges(properties).values() if gauge.told_apart(properties)]
        try:
            fits = [(gauge, *sums.fit(gauge, CONSTANT, ROUNDS)) for gauge in known]
        except np.linalg.LinAlgError:  # messages beyond what numbers hold
            return Followed(float("inf"), float("-inf"), "")
        gauge, weights, error = min(fits, key=lambda fit: fit[2])
        return Followed(error, sums.r_squared(gauge, CONSTANT, weights), gauge.name)

    def sums(self) -> Sums:
        """The receivers of both samples with what the network sends them now; those of validation are held out."""
        dim, names = self.trainer.dim, self.trainer.model.config.properties
        seen = np.concatenate([sample.seen(self.trainer.model, dim) for sample in self.samples])
        state = State(seen[:, :dim], {name: seen[:, dim + k] for k, name in enumerate(names)})
        acc = np.concatenate([sample.acc for sample in self.samples])
        body = np.concatenate([sample.body for sample in self.samples], axis=1)
        held_out = np.repeat([False, True], [len(sample.acc) for sample in self.samples])
        return Sums(seen[:, dim + len(names) :], acc, state, body, held_out)


class Watch:
    """Trainings while they go on, for ``training.fit``: what trackers log of them, and what their progress bar says.

    ``runs``: of every trainer, where its numbers go; none where nothing is tracked. ``bodies``: names, where properties
    of them are learnt. Of a training that goes on from a checkpoint the rows before it are logged first, with what they
    hold of read-outs.
    """

    def __init__(self, trainers: Sequence[Trainer], runs: Sequence[Run] = (), bodies: Sequence[str] = ()):
        self.trainers, self.runs, self.bodies = trainers, runs, bodies
        for trainer, run in zip(trainers, runs, strict=False):
            for row in trainer.history:
                run.log(metrics(row), row["step"])

    @functools.cached_property
    def following(self) -> list[Following | None]:
        """The read-out of every trainer; only where somebody looks. One with patience has its own."""
        return [None if trainer.patience else Following.of(trainer) for trainer in self.trainers]

    def __call__(self, shown: bool) -> dict[str, str]:
        """The trainers have been validated: log it, and say what a bar that is ``shown`` has of the first."""
        if not (self.runs or shown):
            return {}
        count = len(self.trainers) if self.runs else 1
        pairs = zip(self.trainers[:count], self.following, strict=False)
        read = [trainer.followed if trainer.patience else follow and follow() for trainer, follow in pairs]
        for trainer, run, found in zip(self.trainers, self.runs, read, strict=False):
            row = trainer.history[-1]
            run.log(metrics(row, found, trainer.values(), self.bodies), row["step"])
        return {} if read[0] is None else {"read_out": f"{read[0].error:.3g}"}


def metrics(row: dict, found: Followed | None = None, learnt: dict | None = None, bodies: Sequence[str] = ()) -> dict:
    """Name -> number, for a tracker: a ``row`` of the history, the read-out, and values ``learnt`` [body] by property;
    what is not finite is left out.
    """
    out = {name: row[name] for name in METRICS}
    out |= {name: row[name] for name in READ_OUT if row.get(name) is not None}  # where patience has followed it
    if found is not None:
        out |= dict(zip(READ_OUT, (found.error, found.r2), strict=True))
    for name, values in (learnt or {}).items():
        out |= {f"learnt/{name}/{body}": float(v) for body, v in zip(bodies[:MOST_BODIES], values, strict=False)}
    return {name: value for name, value in out.items() if np.isfinite(value)}
