"""Weights polished after training: many exact steps on a fixed sample of graphs, in double precision.

Adam on a few hundred graphs a step ends where the noise of its samples leaves it, some 1e-3 from the best scale of a
force, which is more than a law is to be off by. A quasi-Newton method on one large sample has no such noise (L-BFGS; D.
Liu and J. Nocedal, Mathematical Programming 45, 503, 1989), and in double precision it goes on where single
precision has no smaller step. The sample is drawn as training draws its own. A loss that is linear down to nothing has
a kink at every graph that is right, where a model of its curvature says nothing: errors below ``SOFT`` of what the loss
divides them by count by their squares.

The polish begins from the last step, of which a checkpoint is kept: interrupted, it is done again from there. Line
searches make much of rounding: runs of a stack, which differ from runs alone by rounding before it, end at other
weights.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

STATES = 8_000  # of particles in the sample, about
EDGES = 100_000  # of its graphs at most
SOFT = 1e-3
MEMORY = 50  # steps that the curvature is known from


class Polish:
    """Of the network of one ``training.Trainer``, whose steps are made; ``graphs``: of the sample."""

    def __init__(self, trainer):
        self.trainer, length = trainer, trainer.labels.length
        states, edges = trainer.n * length, trainer.data.edges.count(range(length))
        stretches = max(1, min(STATES // states, EDGES // max(edges, 1)))
        epoch = -(-trainer.total // trainer.steps_per_epoch)  # one that no step was made of
        drawn = trainer.order(epoch)
        stretch = drawn[torch.linspace(0, len(drawn) - 1, min(stretches, len(drawn)), device=drawn.device).long()]
        graphs = trainer.labels.graphs(stretch)
        self.model = copy.deepcopy(trainer.model).double()
        self.x = trainer.x[graphs].double()
        self.wanted = [self._wanted(of) for of in trainer.wanted(stretch)]
        self.edges = trainer.data.edges(graphs)

    def _wanted(self, of: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the loss needs, in double precision; where labels have no noise, that which makes it soft."""
        of = {name: values.double() if values.is_floating_point() else values for name, values in of.items()}
        if "noise" not in of:
            of["noise"] = self._soft(of["acc"], of.get("typical", self.trainer.scale))
        return of

    def _soft(self, true: Tensor, scale) -> Tensor:
        """Standard deviation of a component [..., particle] that makes errors of ``true`` [..., particle, dim] soft."""
        return SOFT * (scale + torch.linalg.vector_norm(true, dim=-1)) / true.shape[-1] ** 0.5

    def loss(self) -> Tensor:
        """The loss of training, with the penalty, if one is paid at the end."""
        own, x = self.trainer, self.x.flatten(0, 1)
        pred, sent, logvar, *motion = self.model(x, self.edges)
        loss = own.losses(pred, self.wanted)
        for velocities in motion:
            true = self.x[..., own.dim : 2 * own.dim].flatten(0, 1)
            loss = loss + own.motion_loss(velocities, self.x, self._soft(true, own.speed))
        return loss + self.penalty(sent, logvar, len(x) // own.n) if self.paid else loss

    @property
    def paid(self) -> float:
        """The weight of the penalty at the end of the training."""
        variant, own = self.trainer.variant, self.trainer
        return own.options[variant.weight] if own.penalised and variant.penalty else 0.0

    def penalty(self, sent: Tensor, logvar: Tensor | None, graphs: int) -> Tensor:
        """The weighted penalty of messages of so many graphs."""
        own = self.trainer
        return self.paid * own.variant.penalty(sent, logvar, own.n, graphs, own.outputs)

    @torch.no_grad()
    def cost(self) -> float:
        """The weighted penalty on the sample."""
        if not self.paid:
            return 0.0
        _, sent, logvar, *_ = self.model(self.x.flatten(0, 1), self.edges)
        return float(self.penalty(sent, logvar, self.x.flatten(0, 1).size(0) // self.trainer.n))

    def run(self, evaluations: int, each: Callable[[float], None] = lambda loss: None) -> bool:
        """At most so many evaluations of the loss, each of which is told. The network of the trainer has the weights
        from then on, if the loss on validation graphs, and the penalty on the sample, are lower with them; whether they
        were.
        """
        cost = self.cost()
        optimizer = torch.optim.LBFGS(
            self.model.parameters(),
            max_iter=evaluations,
            max_eval=evaluations,
            history_size=MEMORY,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def evaluated():
            optimizer.zero_grad(set_to_none=True)
            loss = self.loss()
            loss.backward()
            each(float(loss.detach()))
            return loss

        optimizer.step(evaluated)
        before = copy.deepcopy(self.trainer.model.state_dict())
        was = self.trainer.validation_loss() + cost
        self.trainer.model.load_state_dict(self.model.state_dict())
        better = self.trainer.validation_loss() + self.cost() < was  # a number that is none is not
        if not better:
            self.trainer.model.load_state_dict(before)
        return better
