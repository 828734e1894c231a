"""What every reader takes, ``Asked``, and hands on, ``Tracks``: the arrays of a dataset as far as a file had them."""

from dataclasses import dataclass, field

import numpy as np

from distill.tracks.blocks import Cut


@dataclass
class Tracks:
    """Arrays as in ``files.fields.DATASET_FIELDS``, and ``force``; NaN in ``pos`` where a particle was not seen.

    ``properties``: name -> [trajectory, particle] (mass and charge among them); of ``categories`` (name -> what the
    file calls the levels) the numbers of the levels, from 0. ``t`` [frame] or [trajectory, frame].
    ``film`` [trajectory]: the recording that each was cut from; ``split`` [trajectory] or None. ``lines``: what was
    noticed, a sentence each. ``recordings``: how many the files held.
    """

    pos: np.ndarray
    t: np.ndarray
    vel: np.ndarray | None = None
    acc: np.ndarray | None = None
    force: np.ndarray | None = None
    properties: dict[str, np.ndarray] = field(default_factory=dict)
    categories: dict[str, list] = field(default_factory=dict)
    box: np.ndarray | None = None
    cutoff: float | None = None
    film: np.ndarray | None = None
    split: np.ndarray | None = None
    spaced: bool = True  # whether ``t`` was in the file; else it is the number of the frame
    recordings: int = 0
    who: np.ndarray | None = None  # number of the body [trajectory, particle], NaN where there is none
    bodies: list[str] = field(default_factory=list)  # their names by these numbers
    lines: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # rows read, doubled, without a place, ...

    VECTORS = ("pos", "vel", "acc", "force")

    @property
    def size(self) -> tuple[int, int, int, int]:
        return self.pos.shape

    @property
    def seen(self) -> np.ndarray:
        """Whether a particle has a place [trajectory, frame, particle]."""
        return np.isfinite(self.pos).all(-1)

    @property
    def times(self) -> np.ndarray:
        return np.broadcast_to(self.t, self.pos.shape[:2])

    def vectors(self) -> dict[str, np.ndarray]:
        return {name: a for name in self.VECTORS if (a := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Asked:
    """What the user said. ``columns``: {ours: theirs}. ``leave_out``: columns or arrays that are not read. ``dt``: time
    from one number of a frame to the next, where a file has no times. ``box``: side lengths, where it has none.
    ``categories``: columns of numbers that are names.
    """

    columns: dict[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    dt: float | None = None
    box: tuple[float, ...] | None = None
    categories: tuple[str, ...] = ()
    same_bodies: bool = False  # whether a particle's name means the same body in every recording
    cut: Cut | None = Cut()  # None: for a part of what is cut later
