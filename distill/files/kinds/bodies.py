"""outputs/<learnt dataset>/properties.json: values of bodies that nobody measured."""

from distill.files.kinds.origin import Made
from distill.files.records import Part


class LearntValue(Part):
    body: str  # its name
    value: float  # in the gauge of the file; 0 where the data say nothing
    error: float | None  # standard error, from the spread of trajectories; 0: given; null: the data say nothing
    half_width: float | None  # of the 95 % interval
    determined: bool  # whether the interval keeps away from zero
    known: float | None = None  # what the dataset had, in the same gauge, to compare with; nothing was fitted to it


class LearntRecord(Made):
    """outputs/<learnt dataset>/properties.json: values of bodies that nobody measured, or that were not looked at."""

    dataset: str  # that they were learnt from
    learnt: str  # that holds them
    unknown: str  # the property
    role: str  # source: acts; response: answers; same: both by one value; both: by two
    says: list[str]  # what that means, in sentences
    gauge: str  # what fixes the scale
    values: dict[str, list[LearntValue]]  # property -> every body's
    hypotheses: dict[str, float]  # -> relative error on trajectories left out, or of the fit where it is far worse
    error: float  # relative, of accelerations or of windows' targets, on trajectories left out
    stretches: int  # trajectories, or parts of few long ones, that the standard errors are taken over
    receivers: int  # accelerations or windows fitted
    window: int | None  # frames; null: accelerations were measured
    alike: float | None  # spread of the bodies' responses where they may differ; null: not asked
    kinds: list[int] | None  # number of each body's kind; null: every body has a value of its own
    kinds_errors: dict[str, float]  # number of kinds -> error on trajectories left out; "own": values of their own
    distance: list[float]  # at which the curve is told
    curve: list[float]  # the force that the values multiply

    STAGE, FORMAT = "learn_properties", 1
    COMMAND = "python learn_properties.py with the flags of the dataset"
