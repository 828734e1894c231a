"""The loop of training: steps of one network or of a stack, rows of the history, checkpoints, and what ends it.

Interrupted, it leaves checkpoints from which a resumed run ends with the weights of an uninterrupted one (bit for bit
on CPU).
"""

import contextlib
import time
from collections.abc import Callable

from distill.network.learning.polish import Polish
from distill.network.learning.steps import Stepper
from distill.network.learning.training import Trainer
from distill.shell.paths import relative
from distill.shell.processes import on_ending
from distill.shell.stage import progress

CHECKPOINT_SECONDS = 10.0


def fit(members: list[Trainer], capture: bool = True, watch: Callable[[bool], dict] | None = None) -> None:
    """Train to the end, several runs as one stack; Ctrl-C and SIGTERM keep checkpoints and raise ``KeyboardInterrupt``.

    With patience a stack has one learning rate: it cools down when that of all its members is exhausted at once.

    The members have to be at the same step, new or restored. ``watch`` is called when the members have a further row of
    their history, with whether a progress bar is shown, and returns what that says beside losses.
    """
    first, asked = members[0], []
    stepper = Stepper(members, capture)
    if first.restored:
        stepper.restore([m.restored[0] for m in members], first.step, [m.restored[1] for m in members])
    variants = " ".join(dict.fromkeys(m.variant.name for m in members))
    bar = progress(total=first.end, desc=f"train {variants}", unit="step")
    bar.update(first.step)
    saved, cpu, since = time.monotonic(), time.process_time(), [m.cpu_seconds for m in members]
    last = first.history[-1]["step"] if first.history else 0
    with on_ending(lambda *_: asked.append(True)), contextlib.closing(bar):
        while first.step < first.end:
            if any([m.constrain() for m in members]):
                stepper.changed()
            if cools_down(members):
                stepper.rated()
                bar.total = first.end
            stepper.step(first.step)
            for member in members:
                member.step += 1
            bar.update()
            if first.step % first.every == 0 or first.step == first.end:
                means = (stepper.sums / (first.step - last)).tolist()
                for member, pair in zip(members, means, strict=True):
                    member.history.append(member.evaluate(*pair))
                last = first.step
                stepper.sums.zero_()
                row, beside = first.history[-1], watch(not bar.disable) if watch else {}
                bar.set_postfix(loss=f"{row['train_loss']:.3g}", mae=f"{row['validation_mae']:.3g}", **beside)
            share = (time.process_time() - cpu) / len(members)
            for member, before in zip(members, since, strict=True):
                member.cpu_seconds = before + share
            if asked or time.monotonic() - saved > CHECKPOINT_SECONDS:
                for k, member in enumerate(members):
                    member.save(stepper.adam_state(k), stepper.sums[k])
                saved = time.monotonic()
            if asked:
                raise _interrupted(members, f"at step {first.step} of {first.end}")
        if first.options.get("polish"):
            for k, member in enumerate(members):
                member.save(stepper.adam_state(k), stepper.sums[k])
            for member in members:
                _polish(member, members, asked)


def _interrupted(members: list[Trainer], where: str) -> KeyboardInterrupt:
    kept = " ".join(relative(m.checkpoint) for m in members)
    return KeyboardInterrupt(f"interrupted {where}; kept {kept}: run the same command with --resume to go on")


def _polish(member: Trainer, members: list[Trainer], asked: list) -> None:
    """Polish the weights of a ``member`` that has made its last step, of which its checkpoint tells; the last row of
    its history then has its errors.
    """
    most, cpu = member.options["polish"], time.process_time()
    with progress(total=most, desc="polish", unit="evaluation") as bar:

        def each(loss: float) -> None:
            bar.update()
            bar.set_postfix(loss=f"{loss:.3g}")
            if asked:
                raise _interrupted(members, "while weights were polished")

        if Polish(member).run(most, each):
            row = member.history[-1]
            member.history[-1] = member.evaluate(row["train_loss"], row["penalty"])
    member.polish_seconds = time.process_time() - cpu
    member.cpu_seconds += member.polish_seconds


def cools_down(members: list[Trainer]) -> bool:
    """Whether the learning rate of the ``members``, which have the same one, falls from this step on."""
    first = members[0]
    if first.patience is None or first.cooled_from is not None:
        return False
    if first.step < first.patience.latest(first.total) and not all(member.exhausted() for member in members):
        return False
    for member in members:
        member.cooled_from = first.step
    return True
