"""What one network learns from and how: data held as tensors on the device, losses, schedules, its checkpoint.

Everything random comes from (seed, epoch) or from one generator whose state is in the checkpoint,
so a resumed run ends with the same weights as an uninterrupted one (bit for bit on CPU).
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from distill.files.scales import ONE, Scales, centre_of
from distill.files.tensors import load_tensors, save_tensors
from distill.network.architectures import architectures
from distill.network.bodies import SETTLED, Bodies, Values
from distill.network.data import Inputs, clock_of, load
from distill.network.labels import typical_size
from distill.network.learning.losses import BY_BODY, prediction_loss
from distill.network.learning.patience import Patience
from distill.network.recipes import components_kept, lr_factor
from distill.network.variants import VARIANTS, kl_divergence, message_importance
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.statistics.metrics import acceleration_error
from models import POWER_RATE, ModelConfig, keep_top

HISTORY = ("step", "epoch", "lr", "train_loss", "penalty", "validation_loss", "validation_mae", "active")
FOLLOWED, FALLBACK = "read_out_error", "validation_loss"  # what patience is for, and where messages are not followed
EVALUATIONS = 50
AT_ONCE = 65_536  # edges that are evaluated at once where a graph has more of them than there is memory for
JUDGED = 60_000  # edges to the receivers of such graphs that are validated on


class Trainer:
    """Trains one network on one dataset; see ``recipes`` for the ``options``.

    ``identity`` (JSON-able) says which run a checkpoint belongs to; ``checkpoint`` is its file; ``like`` is a
    ``Trainer`` on the same dataset whose tensors are shared. ``scales``: the units that it works in, None: as the data
    are, from where they are. ``bodies``: those with properties that are unknown, whatever the dataset holds of these.

    With patience (``patience.py``) the training ends at ``end``, before the ``total`` of its steps or there. Whoever
    has a network's messages followed (``messages.following``) sets ``follow``, before ``restore``.
    """

    def __init__(
        self,
        dataset,
        variant,
        options,
        seed,
        device,
        precision,
        checkpoint: Path,
        identity,
        quick,
        like=None,
        scales: Scales | None = None,
        bodies: Bodies | None = None,
    ):
        self.variant, self.options, self.seed, self.device = VARIANTS[variant], options, seed, device
        self.bf16, self.checkpoint, self.identity = precision == "bf16", checkpoint, identity
        self.n, self.dim, self.chain = dataset.n, dataset.dim, dataset.meta.system.neighbours_only
        self.outputs = dataset.outputs  # of messages as many components suffice
        held = set(dataset.meta.system.held)  # what holds them is no pair force
        self.free = [k for k in range(self.n) if k not in held]
        self.in_parts = dataset.has_target  # a graph has more edges than there is memory for at once
        invariant = options["translation_invariant"]
        centre = () if scales is None or invariant else tuple(centre_of(dataset).tolist())
        inputs = Inputs(scales or ONE, invariant, centre, clock_of(dataset) if options.get("clock") else ())
        self.unit = inputs.scales.output  # of all accelerations here, or of what stands in their place
        data = (
            like.data
            if like
            else load(
                dataset,
                device,
                quick,
                options.get("r_power"),
                options.get("wide_masses", False),
                inputs,
                None if bodies is None else bodies.number,
            )
        )
        self.data, self.x, self.x_val, self.labels = data, data.x, data.x_val, data.labels[0]
        typical = self.labels.typical()
        self.scale = typical if options["scale_output"] else 1.0
        kind = architectures()[self.variant.network]
        self.speed = 1.0
        if options["scale_output"] and "speed" in kind.measured:
            speeds = torch.linalg.vector_norm(self.x[..., self.dim : 2 * self.dim], dim=-1)
            self.speed = typical_size(speeds)
        torch.manual_seed(seed)
        given = {"dim": dataset.dim, "gaussian": self.variant.gaussian} | data.told
        strengths = () if bodies is None else bodies.strengths
        measured = {"acc_scale": self.scale, "speed": self.speed}
        self.model = kind.network(kind.configured(options, measured, strengths=strengths, **given)).to(device)
        if data.powers is not None:
            with torch.no_grad():
                for own, start in zip((self.model.node_powers, self.model.edge_powers), data.powers, strict=True):
                    own.copy_(torch.tensor(start) / POWER_RATE)
        if self.options.get("silent_start"):
            self.model.silence()
        if bodies is not None:
            columns = [2 * self.dim + data.told["properties"].index(one.name) for one in bodies.unknowns]
            self.model.bodies = Values(bodies, columns, seed).to(device)
        self.noise = torch.Generator(device).manual_seed(seed + 1)
        self.stretches, self.cumulative = self.labels.stretches(), None
        if options["close_sampling"]:  # close encounters more often: they decide the worst errors
            size, least = self.labels.sizes(), 1e-3 * typical
            if data.typical is not None:
                size, least = size / data.typical[..., None], 1e-3
            size = self.labels.largest(size.amax((1, 2)), self.stretches)
            self.cumulative = (size.clamp(min=least) ** options["close_sampling"]).double().cumsum(0)
        # accelerations of light and heavy bodies differ as their masses: each is seen on its own scale
        by_body = data.typical is not None and options["loss"] in BY_BODY
        self.typical, self.typical_val = (data.typical, data.typical_val) if by_body else (None, None)
        length = self.labels.length
        if self.in_parts:
            self._judge_some()
        self.drawn = max(1, min(options["batch_size"], len(self.x)) // length)  # stretches a step
        self.batch = self.drawn * length
        self.steps_per_epoch = max(1, len(self.x) // self.batch)
        self.total = max(1, round(options["epochs"] * self.steps_per_epoch))
        self.every = max(1, self.total // EVALUATIONS)  # steps between two rows of the history
        self.patience, self.cooled_from = Patience.of(options), None
        self.since = 0  # the step at which what is paid or what is left of the messages has changed last
        self.follow: Callable | None = None  # the read-out of the messages as they are, as ``following.Followed``
        self.followed = None  # what it said last
        self.step, self.history, self.penalised, self.cpu_seconds = 0, [], True, 0.0
        self.polish_seconds = 0.0  # of these
        self.restored = None  # Adam's state and sums of a checkpoint, for the ``Stepper``
        self._order = (-1, None)

    def stacks_with(self, other: "Trainer") -> bool:
        """Whether both can train as one stack, at the same pace from here."""
        own, others = ((t.model.config, t.batch, t.step, t.cooled_from) for t in (self, other))
        return own == others

    # ------------------------------------------------------------ what a step needs (steps.py)

    def order(self, epoch: int) -> torch.Tensor:
        """Where the stretches begin that are drawn in ``epoch`` [stretch]: a permutation, or with replacement."""
        if self._order[0] != epoch:
            generator = torch.Generator(self.device).manual_seed(1_000_003 * (self.seed + 1) + epoch)
            count = len(self.stretches)
            if self.cumulative is None:
                drawn = torch.randperm(count, generator=generator, device=self.device)
            else:
                u = torch.rand(count, generator=generator, device=self.device, dtype=torch.float64)
                drawn = torch.searchsorted(self.cumulative, u * self.cumulative[-1])
                drawn.clamp_(max=count - 1)
            needed = self.steps_per_epoch * self.drawn
            self._order = (epoch, self.stretches[drawn.repeat(-(-needed // count))[:needed]])
        return self._order[1]

    def wanted(self, stretch: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """What the loss needs of the stretches that begin at ``stretch`` [..., stretch]: ``Labels.of`` for each."""
        out = [labels.of(stretch) for labels in self.data.labels]
        if self.typical is None:
            return out
        sizes = (self.typical[labels.first(stretch)] for labels in self.data.labels)
        return [of | {"typical": size} for of, size in zip(out, sizes, strict=True)]

    def losses(self, pred, wanted: list[dict], nodes=None):
        """Sum of the losses of ``pred`` [node, dim], on the frames of some stretches, against all that is ``wanted``
        of them; ``nodes`` as in ``loss``.
        """
        pairs = zip(self.data.labels, wanted, strict=True)
        return sum(self.loss(labels.combine(pred, of), nodes) for labels, of in pairs)

    def motion_loss(self, motion: torch.Tensor, x: torch.Tensor, noise: torch.Tensor | None = None):
        """Loss of velocities dq/dt [node, dim] that a network says of its states ``x`` [graph, particle, column];
        ``noise`` [node]: as of ``prediction_loss``.
        """
        true = x[..., self.dim : 2 * self.dim].flatten(0, 1)
        loss = prediction_loss(motion, true, self.options["loss"], self.n, self.speed, noise)
        return self.options["motion_weight"] * loss

    def rate(self, step: int) -> float:
        """Learning rate of the step after ``step`` steps."""
        if self.patience:
            return self.options["lr"] * self.patience.factor(step, self.total, self.cooled_from)
        return self.options["lr"] * lr_factor(self.options["schedule"], step / self.total)

    def receivers(self) -> torch.Tensor | None:
        """Nodes [node] of a batch whose errors count in this step, drawn in every graph; None: all of them.

        In a periodic box a frame has hundreds of receivers: some of them a step make more steps of as many edges.
        """
        count = self.options.get("receivers", 0)
        if not 0 < count < self.n:
            return None
        drawn = [torch.randperm(self.n, generator=self.noise, device=self.device)[:count] for _ in range(self.batch)]
        return torch.cat([k * self.n + nodes for k, nodes in enumerate(drawn)])

    def parts(self, receivers: torch.Tensor | None, there: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Receivers [node] of a step that are evaluated at once: of ``receivers`` (None: all) those that are ``there``
        [graph, particle].
        """
        there = there.flatten() > 0
        every = there.nonzero().squeeze(1) if receivers is None else receivers[there[receivers]]
        return every.split(max(1, int(AT_ONCE * self.n / self.data.edges_a_frame)))

    def _judge_some(self) -> None:
        """Of validation graphs with more edges than ``JUDGED``, some receivers drawn at random, always the same."""
        labels, generator = self.data.labels_val, torch.Generator().manual_seed(20061128)
        share = JUDGED / (self.data.edges_a_frame * len(self.x_val))
        there = torch.ones(labels.acc.shape[:2], device=self.device) if labels.there is None else labels.there.float()
        chosen = (torch.rand(there.shape, generator=generator) < share).to(self.device)
        self.data.labels_val = replace(labels, there=there * chosen)

    def loss(self, of: dict, nodes=None):
        """``prediction_loss`` of what there is by name: pred and acc [row, particle, dim] and, where there are such,
        typical (scales of accelerations, in place of one for all), noise and there [row, particle]. Of free particles,
        or of ``nodes``.
        """
        pred = of["pred"]
        rows, n = pred.shape[:2]
        if nodes is not None:
            n, at = len(nodes) / rows, lambda values: values.flatten(0, 1)[nodes]
        elif len(self.free) < self.n:
            n, at = len(self.free), lambda values: values[:, self.free].flatten(0, 1)
        else:
            at = lambda values: values.flatten(0, 1)  # noqa: E731
        scale = at(of["typical"]) if "typical" in of else self.scale
        beside = {name: at(of[name]) for name in ("noise", "there") if name in of}
        return prediction_loss(at(pred), at(of["acc"]), self.options["loss"], n, scale, **beside)

    # ------------------------------------------------------------ pruning, relaxation, evaluation

    def constrain(self) -> bool:
        """Prune, or relax the penalty, where the variant's schedule says so, and settle strengths; whether it did.

        All at shares of the ``total``; patience that is exhausted while a penalty is paid relaxes it before that.
        """
        options, p = self.options, self.step / self.total
        if self.model.config.strengths and self.step == int(SETTLED * self.total):
            self.model.settle()
        due = 0 < options.get("relax_at", 0) and (options["relax_at"] <= p or self.exhausted())
        if self.variant.schedule == "relax" and self.penalised and due:
            keep_top(self.model, self.importance(), self.outputs)
            self.penalised, self.since = False, self.step
            return True
        every = min(options["rank_every"] or self.steps_per_epoch, max(1, self.total // 20))
        if self.variant.schedule == "prune" and self.step % every == 0:
            # the paper recipe's after an epoch, but early enough for a run of few epochs to prune at all
            first = 0.0 if options["rank_every"] else min(1 / options["epochs"], options["prune_end"] / 2)
            start = max(options["prune_start"], first)
            target = components_kept(
                p,
                start,
                max(options["prune_end"], start),
                options["message_dim"],
                self.outputs,
                options["prune_schedule"],
            )
            if target < int(self.model.active.sum()):
                keep_top(self.model, self.importance(), target)
                self.since = self.step
                return True
        return False

    @property
    def end(self) -> int:
        """The last step, as far as it is known."""
        return self.patience.end(self.total, self.cooled_from) if self.patience else self.total

    @property
    def follows(self) -> str:
        """The column of the history that patience looks at."""
        return FOLLOWED if self.follow else FALLBACK

    def exhausted(self) -> bool:
        """Whether, at the last row of the history, what is followed has not improved for as long as patience lasts.

        Only rows count that came after the warm-up and after what the network was made to do last; none while it is
        still pruned. So it is a function of what a checkpoint holds.
        """
        if self.patience is None or self.cooled_from is not None or self.step % self.every:
            return False
        if self.variant.schedule == "prune" and int(self.model.active.sum()) > self.outputs:
            return False
        settled = int(SETTLED * self.total) if self.model.config.strengths else 0
        since = max(self.since, settled, self.patience.warm_up(self.total))
        return self.patience.exhausted([row[self.follows] for row in self.history if row["step"] > since])

    def stopped(self) -> dict | None:
        """When and why a training with patience has ended (``kinds.Stopped``); None without."""
        if self.patience is None:
            return None
        learnt = self.cooled_from is not None and self.cooled_from < self.patience.latest(self.total)
        return {
            "why": "patience" if learnt else "epochs",
            "epochs_asked": self.options["epochs"],
            "epochs_made": round(self.step / self.steps_per_epoch, 3),
            "cooled_from": self.cooled_from,
            "follows": self.follows,
            "error": self.history[-1][self.follows],
        }

    @torch.no_grad()
    def importance(self) -> torch.Tensor:
        """Importance of each component on validation graphs, never on the test split."""
        count = min(self.options["rank_graphs"], self.data.rank_most)
        frames = np.arange(len(self.x_val))[:: max(1, len(self.x_val) // count)][:count]
        parts = (self.model.messages(x, edges, who) for x, edges, who in self._validation(frames))
        if self.variant.gaussian:  # as ``message_importance``, whose memory would be seven times that of the messages
            return torch.cat([kl_divergence(m, logvar) for m, logvar in parts]).mean(0)
        message = torch.cat([m for m, _ in parts])
        if self.model.config.wide_masses:  # by its share of every message, whatever their sizes
            message = message / message.norm(dim=1, keepdim=True).clamp(min=1e-30)
        return message_importance(message)

    def _validation(self, frames: np.ndarray):
        """Features [node, column], edges and bodies [node] (or None) of these validation graphs, some at a time."""
        who = self.data.who_val
        for part in self.data.edges_val.batches(frames):
            judged = None
            if self.in_parts:
                judged = (self.data.labels_val.there[part].flatten() > 0).nonzero().squeeze(1)
            edges = self.data.edges_val(part, judged)
            yield (
                self.x_val[part].flatten(0, 1),
                edges if judged is None else replace(edges, nodes=judged),
                None if who is None else who[part].flatten(),
            )

    @torch.no_grad()
    def evaluate(self, train_loss: float, penalty: float) -> dict:
        """One row of the history: means over the steps since the last one, and validation errors.

        validation_mae is the mean over particles and components, in the unit of the data; the paper's test loss sums
        them.
        """
        of = self._predicted()
        loss, there = self.loss(of), of.get("there")
        error = (of["pred"] - of["acc"])[:, self.free]
        error = error if there is None else error[there[:, self.free] > 0]
        row = dict(
            step=self.step,
            epoch=round(self.step / self.steps_per_epoch, 3),
            lr=self.rate(self.step - 1),
            train_loss=train_loss,
            penalty=penalty,
            validation_loss=float(loss),
            validation_mae=self.unit * float(error.abs().mean()),
            active=int(self.model.active.sum()),
        )
        if not all(abs(v) < float("inf") for v in row.values()):
            raise UserError(
                f"training diverged at step {self.step} (loss {train_loss})",
                "try a lower --lr or a smaller penalty weight; nothing was written",
            )
        return row | self._followed()

    def _followed(self) -> dict:
        """The read-out's error, of a training whose patience follows it; None where nothing can be fitted."""
        if not (self.patience and self.follow):
            return {}
        self.followed = self.follow()
        return {FOLLOWED: self.followed.error if np.isfinite(self.followed.error) else None}

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the history."""
        return (*HISTORY, FOLLOWED) if self.patience and self.follow else HISTORY

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Of predicted accelerations, and of velocities where the network predicts these, on the validation graphs."""
        loss = self.loss(self._predicted())
        if "motion_weight" in self.options:
            loss = loss + self.motion_loss(self._motion(), self.x_val)
        return float(loss)

    def _predicted(self) -> dict[str, torch.Tensor]:
        """Labels of the validation graphs, ``Labels.whole``, with what the network makes of them."""
        frames = self._validation(np.arange(len(self.x_val)))
        pred = torch.cat([self.model(x, edges, who=who)[0] for x, edges, who in frames]).view(*self.x_val.shape[:2], -1)
        typical = {} if self.typical_val is None else {"typical": self.typical_val}
        return self.data.labels_val.whole(pred, **typical)

    @torch.no_grad()
    def skill(self) -> dict:
        """Errors (``metrics.acceleration_error``) over the free particles of the validation graphs: the network's, that
        of predicting zero and that of predicting the mean of the training accelerations. Of noisy labels also, as
        ``noise``, that of predicting the truth.
        """
        of = {name: values[:, self.free].double().cpu() for name, values in self._predicted().items()}
        there = of["there"] > 0 if "there" in of else torch.ones(of["acc"].shape[:2], dtype=torch.bool)
        true, pred = of["acc"][there].numpy(), of["pred"][there].numpy()
        mean = self.labels.mean(self.free).cpu().numpy()
        said = {"network": pred, "zero": 0.0 * true, "mean": mean}
        out = {name: acceleration_error(values, true) for name, values in said.items()}
        if "noise" in of:
            off = np.random.default_rng(0).normal(size=true.shape) * of["noise"][there].numpy()[:, None]
            out["noise"] = acceleration_error(true + off, true)
        if "motion_weight" in self.options:
            out["motion"] = self._motion_error()
        return out

    def _motion_error(self) -> float:
        """That of velocities dq/dt over the free particles of the validation graphs."""
        found, true = self._motion().view(*self.x_val.shape[:2], -1), self.x_val[..., self.dim : 2 * self.dim]
        pred, true = (values[:, self.free].double().cpu().numpy().reshape(-1, self.dim) for values in (found, true))
        return acceleration_error(pred, true)

    def _motion(self) -> torch.Tensor:
        """Velocities [node, dim] that the network predicts on the validation graphs."""
        graphs = self._validation(np.arange(len(self.x_val)))
        return torch.cat([self.model(x, edges)[3] for x, edges, _ in graphs])

    def values(self) -> dict[str, np.ndarray]:
        """Unknown property -> its values [body] as they are now, in the unit of the data."""
        return {} if self.model.bodies is None else {k: v for k, (v, _) in self.model.bodies.told().items()}

    def stored_config(self) -> ModelConfig:
        """That of the network as it is stored, to which values of bodies are properties in the unit of the data."""
        config = self.model.config
        if self.model.bodies is None:
            return config
        units = dict(zip(config.properties, config.units or [1.0] * len(config.properties), strict=True))
        units |= {name: unit for name, (_, unit) in self.model.bodies.told().items()}
        return replace(config, units=tuple(units.values()))

    # ------------------------------------------------------------ the checkpoint

    def save(self, adam: dict, sums: torch.Tensor) -> None:
        """Write the checkpoint: ``adam`` as ``Stepper.adam_state`` gives it, ``sums`` of loss and penalty [2]."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"adam.{i}.{k}": v for i, entry in adam.items() for k, v in entry.items()}
        tensors |= {"noise": self.noise.get_state(), "sums": sums}
        header = {k: getattr(self, k) for k in ("identity", "step", "penalised", "cpu_seconds", "history")}
        header |= {k: getattr(self, k) for k in ("since", "cooled_from")} if self.patience else {}
        save_tensors(self.checkpoint, tensors, header)

    def restore(self) -> None:
        """Continue from ``checkpoint``; ``UserError`` if it is damaged or of another run."""
        fix = "add --overwrite to start again"
        tensors, header, _ = load_tensors(self.checkpoint, fix)
        if header.get("identity") != json.loads(json.dumps(self.identity)):
            raise UserError(f"{relative(self.checkpoint)} is of a run with other arguments or data", fix)
        try:
            self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
            adam = {
                i: {"step": tensors[f"adam.{i}.step"]}
                | {k: tensors[f"adam.{i}.{k}"].view_as(p) for k in ("exp_avg", "exp_avg_sq")}
                for i, p in enumerate(self.model.parameters())
            }
            self.restored = adam, tensors["sums"].view(2)
            self.noise.set_state(tensors["noise"])
            self.step, self.penalised = int(header["step"]), bool(header["penalised"])
            self.cpu_seconds, self.history = float(header["cpu_seconds"]), header["history"]
            if self.patience:
                self.since, cooled_from = int(header["since"]), header["cooled_from"]
                self.cooled_from = None if cooled_from is None else int(cooled_from)
                if not all(0 <= at <= self.step for at in (self.since, self.cooled_from or 0)):
                    raise ValueError(f"step {self.step}, changed at {self.since}, cooling down from {cooled_from}")
            if not 0 <= self.step <= self.end or int(adam[0]["step"]) != self.step:
                raise ValueError(f"step {self.step} of {self.end}, {int(adam[0]['step'])} steps of Adam")
            due = {*range(self.every, self.step + 1, self.every), *([self.end] if self.step == self.end else [])}
            rows = [row["step"] if row.keys() == set(self.columns) else None for row in self.history]
            if rows != sorted(due):
                raise ValueError(f"expected {len(due)} rows of its history, found {len(self.history)}")
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as exc:
            raise UserError(f"{relative(self.checkpoint)} does not fit this run ({exc})", fix) from None


def history_text(history: list[dict], columns: Sequence[str] = HISTORY) -> str:
    """The training history as CSV text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return out.getvalue()
