"""Training that ends when it has learnt: a learning rate that can be cut short, and when it is.

A rate that falls towards an end known beforehand (``recipes.LR_SCHEDULES``) leaves good weights at that end alone. With
patience it rises, holds, and falls from wherever a training is when what is followed of it improves no longer: warm-up,
stable, decay, with a fall as 1 - sqrt (Haegele et al. 2024, arXiv:2405.18392).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distill.network.recipes import anneal
from distill.shell.errors import UserError

HELD = "held"  # such a schedule, among the options of a run
WARM_UP = (0.1, 500)  # the rate rises over this share of the most steps that there may be, and no more steps than these
START, LAST = 0.04, 1e-4  # of the peak: where the rate starts, and where it ends
DEFAULTS = {"patience_gain": 0.05, "cool_down": 0.2}
OPTIONS = ("patience", *DEFAULTS)


@dataclass(frozen=True)
class Patience:
    """``evaluations``: rows of the history without an improvement after which a training cools down; ``gain``: the
    share by which the best error has to fall to be one; ``cool_down``: over how many steps, as a share of those made.
    """

    evaluations: int
    gain: float = DEFAULTS["patience_gain"]
    cool_down: float = DEFAULTS["cool_down"]

    @classmethod
    def of(cls, options: Mapping) -> "Patience | None":
        """That of the options of a run; None where there is none."""
        return cls(*(options[name] for name in OPTIONS)) if "patience" in options else None

    def warm_up(self, total: int) -> int:
        """Steps over which the rate rises, of ``total`` at most."""
        share, most = WARM_UP
        return min(round(share * total), most)

    def latest(self, total: int) -> int:
        """The step at which to cool down to be done after ``total``."""
        return int(total / (1 + self.cool_down))

    def end(self, total: int, cooled_from: int | None) -> int:
        """The last step of a training that cools down from the step ``cooled_from``, or does not yet (None)."""
        if cooled_from is None or cooled_from >= self.latest(total):
            return total
        return cooled_from + max(1, round(self.cool_down * cooled_from))

    def factor(self, step: int, total: int, cooled_from: int | None) -> float:
        """Learning rate of the step after ``step`` steps over its peak."""
        at, rise = step if cooled_from is None else min(step, cooled_from), self.warm_up(total)
        held = anneal(START, 1.0, at / rise) if at < rise else 1.0
        if cooled_from is None or step < cooled_from:
            return held
        q = (step - cooled_from) / (self.end(total, cooled_from) - cooled_from)
        return held * (LAST + (1 - LAST) * (1 - math.sqrt(min(q, 1.0))))

    def exhausted(self, errors: Sequence[float | None]) -> bool:
        """Whether the last ``evaluations`` of these ``errors``, in the order of time, are no improvement; None: of
        what could not be evaluated, which is none either.
        """
        best, waited = math.inf, 0
        for error in errors:
            if error is not None and error < (1 - self.gain) * best:
                best, waited = error, 0
            else:
                waited += 1
        return waited >= self.evaluations


def options_for(asked: Mapping) -> dict:
    """Options of a run with the patience that is ``asked`` for, in place of its schedule; {} where none is.

    ``UserError`` for values that make no sense, and for what says nothing without patience, or against it.
    """
    if "patience" not in asked:
        for name in (name for name in DEFAULTS if name in asked):
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} says nothing without --patience", "add --patience N, or leave it out")
        return {}
    if "schedule" in asked:
        found = f"--schedule {asked['schedule']} ends at a time known beforehand, and with --patience there is none"
        raise UserError(found, "leave one of them out")
    chosen = {"patience": asked["patience"]} | {name: asked.get(name, usual) for name, usual in DEFAULTS.items()}
    count, gain, share = chosen.values()
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UserError(f"--patience is {count}, expected a whole number of evaluations, 1 or more")
    if not 0 <= gain < 1:
        raise UserError(f"--patience-gain is {gain}, expected a share of the error from 0 to less than 1")
    if not 0 < share <= 1:
        raise UserError(f"--cool-down is {share}, expected a share of the steps made, more than 0 and at most 1")
    return chosen | {"schedule": HELD}
