"""What the user said about foreign files, for all readers."""

from dataclasses import dataclass, field

from distill.tracks.blocks import Cut


@dataclass(frozen=True)
class Asked:
    """``columns``: {ours: theirs}. ``leave_out``: columns or arrays that are not read. ``dt``: time from one number of
    a frame to the next, where a file has no times. ``box``: side lengths, where a file has none.
    """

    columns: dict[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    dt: float | None = None
    box: tuple[float, ...] | None = None
    cut: Cut = Cut()
