"""Recordings to trajectories: whole ones, or blocks of long ones, with frames left out between the splits.

Few recordings cannot be split by recordings. Each is then split in time, its first part to train, its end to test, with
``gap`` frames between that belong to nobody, and the parts are cut into blocks of equal length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from distill.files.dataset import make_split
from distill.shell.errors import UserError

FEWEST = 10  # recordings that are split whole
SPLITS = ("auto", "recordings", "time")
SHORTEST, LONGEST = 10, 200  # frames of a block, unless told otherwise
BLOCKS = 22  # of one recording: 16 to train, 2 and 2 to validate and test, and the gaps
BLOCKS_OF_WINDOWS = 16  # the same where windows have to lie within blocks, and longer ones lose less at their ends
WINDOW = 25  # frames that a block of positions alone has at least: windows of 21 fit
HELD_OUT = 0.12  # of the blocks, to validate and to test each: two of the fewest
SPARSE = 3.0  # most padding that recordings of different lengths may need, in their own number of frames


@dataclass(frozen=True)
class Block:
    recording: int
    start: int  # frame of the recording
    stop: int
    split: int


@dataclass
class Plan:
    """``blocks`` in order; ``lines`` say what was done."""

    blocks: list[Block]
    lines: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        return max(b.stop - b.start for b in self.blocks)


@dataclass(frozen=True)
class Cut:
    """The flags: ``split``, ``block_frames`` and ``gap`` (None: found out), ``seed`` of a split by recordings.

    ``shortest``: frames that a block has at least, of which windows can be made.
    """

    split: str = "auto"
    block_frames: int | None = None
    gap: int | None = None
    seed: int = 0
    shortest: int = 1

    def for_windows(self) -> "Cut":
        """The same for positions alone, of which windows are to be made."""
        return replace(self, shortest=WINDOW)


def plan(lengths: Sequence[int], cut: Cut, where: str) -> Plan:
    """Blocks of recordings with these numbers of frames; ``UserError`` where there are too few frames to split."""
    lengths = np.asarray(lengths)
    count = len(lengths)
    in_time = cut.split == "time" or (cut.split == "auto" and count < FEWEST and _long_enough(lengths, cut, count))
    if in_time:
        return _in_time(lengths, cut, where)
    if count < 3:
        raise UserError(
            f"{where} holds {count} recording{'s' * (count > 1)} of {int(lengths.max())} frames: too few to train,"
            " validate and test",
            "record more frames, or with --split time set --block-frames and --gap smaller",
        )
    split = make_split(count, cut.seed)
    frames = cut.block_frames
    if frames is None and len(lengths) * lengths.max() > SPARSE * lengths.sum():
        frames = max(cut.shortest, SHORTEST, int(np.median(lengths)))
    if frames is None or frames >= lengths.max():
        short = int((lengths < lengths.max()).sum())
        lines = [f"{short} of {count} recordings are shorter than {lengths.max()} frames: the rest of them is not seen"]
        return Plan([Block(k, 0, int(n), int(split[k])) for k, n in enumerate(lengths)], lines * (short > 0))
    blocks = []
    for k, length in enumerate(lengths):
        starts = range(0, max(1, length - frames + 1), frames)
        blocks += [Block(k, s, min(s + frames, int(length)), int(split[k])) for s in starts]
    lost = int(lengths.sum() - sum(b.stop - b.start for b in blocks))
    rest = f"; {lost:,} frames at their ends are left out" if lost else ""
    told = f"{count} recordings are cut into {len(blocks)} blocks of {frames} frames{rest}"
    return Plan(blocks, [told + "; the split is by recordings"])


def _long_enough(lengths: np.ndarray, cut: Cut, count: int) -> bool:
    """Whether the recordings are split in time where nobody said so: they must be, or they are long."""
    return count < 3 or int(lengths.min()) >= 6 * max(SHORTEST, cut.shortest)


def _in_time(lengths: np.ndarray, cut: Cut, where: str) -> Plan:
    longest = int(lengths.max())
    blocks = BLOCKS if cut.shortest < WINDOW else BLOCKS_OF_WINDOWS
    frames = cut.block_frames or int(
        np.clip(longest // blocks, min(max(SHORTEST, cut.shortest), longest // 6), LONGEST)
    )
    frames = max(frames, min(cut.shortest, longest // 5), 1)
    gap = frames if cut.gap is None else cut.gap
    if cut.gap is None and longest < 3 * frames + 2 * gap:
        gap = max(0, (longest - 3 * frames) // 2)
    blocks = []
    for k, length in enumerate(lengths):
        whole = (int(length) - 2 * gap) // frames
        if whole < 3:
            continue
        held_out = max(1, round(HELD_OUT * whole))
        at = 0
        for split, number in enumerate((whole - 2 * held_out, held_out, held_out)):
            blocks += [Block(k, at + b * frames, at + (b + 1) * frames, split) for b in range(number)]
            at += number * frames + gap
    if not blocks:
        raise UserError(
            f"{where}: {longest} frames are too few for three blocks of {frames} with gaps of {gap}",
            "record more, or set --block-frames and --gap smaller",
        )
    used, number = sum(b.stop - b.start for b in blocks), np.bincount([b.split for b in blocks])
    one = len(lengths) == 1
    told = f"{'one recording' if one else f'{len(lengths)} recordings'} of {longest:,} frames: cut into {len(blocks)}"
    told += (
        f" blocks of {frames} frames, in time {number[0]} to train, {number[1]} to validate and {number[2]} to test,"
    )
    told += f" {gap} frames left out between these; {int(lengths.sum()) - used:,} frames are not used"
    return Plan(blocks, [told])
