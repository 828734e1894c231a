"""One training step of one network, or of several equal ones at once as one stacked network.

Everything a step needs lies on the device: data, the order in which graphs are drawn, the position in training, the
learning rates. So a step never waits for the host, and on CUDA the whole of it (drawing, translation, forward,
backward, penalty, Adam, schedule) is captured once and replayed. On a CPU the same function is simply called.

Stacked networks (``torch.func``, matrix products in batches) have the same architecture and options; seeds differ,
and so may variants with the same message head. Their parameters are views into stacked tensors, so that each member
evaluates, prunes and saves itself as if it trained alone. It then ends with the weights that it would have had
alone, up to rounding.
"""

from dataclasses import replace

import torch
from torch.func import functional_call

from models import Components

WARM_UP = 3  # steps on a side stream before a capture, as PyTorch asks for


class Stepper:
    """Steps of the ``members`` (``training.Trainer``), all with the same options, data and position in training.

    ``capture``: on CUDA, replay the step as a graph. ``sums`` [member, 2] adds up losses and penalties.
    """

    def __init__(self, members: list, capture: bool = True):
        first = members[0]
        self.members, self.options, self.device = members, first.options, first.device
        self.stacked = len(members) > 1
        if self.stacked and not first.data.edges.constant:
            raise ValueError("graphs with edges of their own cannot be stacked")
        # a captured step has the same edges every time
        self.capture = capture and str(self.device).startswith("cuda") and first.data.edges.constant
        self.parameters = self._stack() if self.stacked else list(first.model.parameters())
        # a learning rate that is a tensor can change inside a captured step
        self.lr = torch.zeros((), device=self.device)
        of_bodies = [] if first.model.bodies is None else list(first.model.bodies.parameters())
        last = len(self.parameters) - len(of_bodies)  # nothing draws values of bodies to zero
        groups = [{"params": self.parameters[:last]}, {"params": self.parameters[last:], "weight_decay": 0.0}]
        self.optimizer = torch.optim.Adam(
            [group for group in groups if group["params"]],
            lr=self.lr,
            weight_decay=1e-8,
            fused=True,
            capturable=self.capture,
        )
        self.rates = torch.zeros(first.total, device=self.device)
        self.rated()
        self.at = torch.zeros(1, dtype=torch.long, device=self.device)  # steps done
        self.sums = torch.zeros(len(members), 2, device=self.device)
        self.order = torch.zeros(len(members), len(first.order(0)), dtype=torch.long, device=self.device)
        self.offsets = torch.arange(first.drawn, device=self.device)
        self._epoch, self._graph, self._eager_left = -1, None, 0
        self.changed()

    # ------------------------------------------------------------ the members' parameters

    def _stack(self) -> list[torch.Tensor]:
        """One tensor [member, ...] for each parameter; the members' parameters become views of it."""
        every = [list(m.model.parameters()) for m in self.members]
        stacked = [torch.stack([p.detach() for p in same]).requires_grad_() for same in zip(*every, strict=True)]
        for k, own in enumerate(every):
            for whole, parameter in zip(stacked, own, strict=True):
                parameter.data = whole.data[k]
        return stacked

    def adam_state(self, member: int) -> dict:
        """Adam's state of one member by parameter index, as if it had trained alone."""
        state = self.optimizer.state_dict()["state"]
        if not self.stacked:
            return state
        return {i: {k: v if k == "step" else v[member] for k, v in entry.items()} for i, entry in state.items()}

    def restore(self, states: list[dict], step: int, sums: list[torch.Tensor]) -> None:
        """Go on after ``step`` steps with the members' ``adam_state``; weights are restored by the members."""
        whole = states[0]
        if self.stacked:
            whole = {
                i: {k: v if k == "step" else torch.stack([s[i][k] for s in states]) for k, v in entry.items()}
                for i, entry in whole.items()
            }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": whole, "param_groups": groups})
        self.lr = self.optimizer.param_groups[0]["lr"]  # loading makes a copy
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        self.at.fill_(step)
        self.sums.copy_(torch.stack([s.to(self.device) for s in sums]))
        self.changed()

    def rated(self) -> None:
        """To be called when the learning rate takes another course: a captured step finds it in the same place."""
        first = self.members[0]
        self.rates.copy_(torch.tensor([first.rate(k) for k in range(first.total)]))

    def changed(self) -> None:
        """To be called when a mask or a penalty has changed: what was captured holds no longer."""
        self._graph, self._eager_left = None, WARM_UP
        paying = [m.variant if m.penalised and m.variant.penalty else None for m in self.members]
        self.penalised = list(dict.fromkeys(v for v in paying if v))  # variants whose penalties are computed
        weights = [
            [m.options[v.weight] if v == own else 0.0 for v in self.penalised]
            for m, own in zip(self.members, paying, strict=True)
        ]
        self.weights = torch.tensor(weights, device=self.device)
        active = torch.stack([m.model.active for m in self.members])
        counts = sorted({int(count) for count in active.sum(1)})
        self.components, self.width = self.members[0].model.active_components(), counts[-1]
        if self.stacked:
            self.components = Components()
            if len(counts) > 1:
                self.components, self.width = Components(mask=active), active.size(1)
            elif counts != [active.size(1)]:  # the same number each: masked ones cost nothing
                self.components = Components(torch.stack([row.nonzero().squeeze(1) for row in active]))

    # ------------------------------------------------------------ one step

    def step(self, done: int) -> None:
        """Update all members; ``done`` is the number of steps before, which ``at`` holds on the device."""
        first = self.members[0]
        if self._epoch != done // first.steps_per_epoch:
            self._epoch = done // first.steps_per_epoch
            for k, member in enumerate(self.members):
                self.order[k].copy_(member.order(self._epoch))
        if not self.capture:
            return self._step()
        if self._graph is None and self._eager_left == 0:
            self._record()
        if self._graph is not None:
            return self._graph.replay()
        self._eager_left -= 1
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._step()
        torch.cuda.current_stream().wait_stream(side)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        for member in self.members:
            graph.register_generator_state(member.noise)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self._step()
        self._graph = graph

    def _step(self) -> None:
        options, first = self.options, self.members[0]
        self.lr.copy_(self.rates.index_select(0, self.at)[0])  # indexing by a tensor would wait for its value
        start = (self.at % first.steps_per_epoch) * first.drawn
        stretch = self.order.index_select(1, start + self.offsets)
        graphs = first.labels.graphs(stretch)
        x, wanted = first.x[graphs], first.wanted(stretch)  # [member, graph, particle, ...]
        receivers = first.receivers()
        if first.in_parts:
            return self._accumulate(x, wanted, graphs[0], receivers)
        edges = first.data.edges(graphs[0], receivers)
        who = None if first.data.who is None else first.data.who[graphs]  # [member, graph, particle]
        if options["augment"]:
            dim = first.dim
            shift = torch.stack([torch.randn(dim, generator=m.noise, device=self.device) for m in self.members])
            x = torch.cat([x[..., :dim] + options["augment"] * shift[:, None, None], x[..., dim:]], -1)
        normal = None
        if first.model.config.gaussian:
            shape = edges.index.size(1), self.width
            normal = torch.stack([torch.randn(shape, generator=m.noise, device=self.device) for m in self.members])
        if self.stacked:
            losses = self._together(x, wanted, edges, normal, who)
        else:
            normal = None if normal is None else normal[0]
            wanted = [{name: values[0] for name, values in of.items()} for of in wanted]
            batch = x[0], wanted, edges, normal, self.components, self.weights[0], None if who is None else who[0]
            losses = self._losses(first.model, *batch, receivers)[None]
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        self.sums += losses.detach()
        self.at += 1

    def _accumulate(self, x, wanted: list[dict], graphs, receivers) -> None:
        """The step of one member whose gradients are added up over parts of the receivers: memory is that of a part."""
        first, whole = self.members[0], torch.zeros(1, 2, device=self.device)
        wanted = [{name: values[0] for name, values in of.items()} for of in wanted]
        there = wanted[0].get("there")
        there = torch.ones(wanted[0]["acc"].shape[:2], device=self.device) if there is None else there
        self.optimizer.zero_grad()
        for part in first.parts(receivers, there):
            edges = replace(first.data.edges(graphs, part), nodes=part)
            normal = None
            if first.model.config.gaussian:
                normal = torch.randn(edges.index.size(1), self.width, generator=first.noise, device=self.device)
            batch = x[0], wanted, edges, normal, self.components, self.weights[0], None
            losses = self._losses(first.model, *batch, part)[None]
            losses.sum().backward()
            whole += losses.detach()
        self.optimizer.step()
        self.sums += whole
        self.at += 1

    def _losses(self, model, x, wanted, edges, normal, components, weight, who, receivers=None) -> torch.Tensor:
        """Loss and weighted penalty [2] of one member on one batch; ``wanted``: see ``Trainer.wanted``; ``who``: bodies
        [graph, particle] or None; ``receivers``: whose errors count, if not all.
        """
        first, graphs = self.members[0], self.members[0].batch
        # weights are used once a step, and a cache of their casts would be captured with it
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, first.bf16, cache_enabled=False):
            bodies = None if who is None else who.flatten()
            pred, message, logvar, *motion = model(x.flatten(0, 1), edges, normal, components, bodies)
        loss = first.losses(pred.float(), wanted, receivers)
        for velocities in motion:  # of networks that do not take them as they are
            loss = loss + first.motion_loss(velocities, x)
        penalty = torch.zeros((), device=self.device)
        sent = message.float(), None if logvar is None else logvar.float()
        for k, variant in enumerate(self.penalised):
            penalty = penalty + weight[k] * variant.penalty(*sent, first.n, graphs, first.outputs)
        return torch.stack([loss, penalty])

    def _together(self, x, wanted, edges, normal, who) -> torch.Tensor:
        """``_losses`` of every member [member, 2], the matrix products of all in one call each."""
        template = self.members[0].model
        names = [name for name, _ in template.named_parameters()]
        batched = (*self.components, normal, who)

        def one(parameters, x, wanted, weight, kept, mask, normal, who):
            call = lambda *inputs: functional_call(template, parameters, inputs)  # noqa: E731
            return self._losses(call, x, wanted, edges, normal, Components(kept, mask), weight, who)

        return torch.vmap(one, (0, 0, 0, 0, *(None if a is None else 0 for a in batched)))(
            dict(zip(names, self.parameters, strict=True)), x, wanted, self.weights, *batched
        )
