"""Values of bodies that nobody measured: outputs/<learnt dataset>/properties.json, and those of a network."""

from distill.files.kinds.origin import Made, none
from distill.files.records import Part


class LearntValue(Part):
    body: str  # its name
    value: float  # in the gauge of the file; 0 where the data say nothing
    error: float | None  # standard error, from the spread of trajectories; 0: given; null: the data say nothing
    half_width: float | None  # of the 95 % interval
    determined: bool  # whether the interval keeps away from zero
    known: float | None = None  # what the dataset had, in the same gauge, to compare with; nothing was fitted to it


class LearntTerm(Part):
    """What acts beside the radial force of pairs whose strengths are learnt."""

    name: str  # of the block of splines: its term, what it is in proportion to, what it is a function of
    scaling: str  # how bodies differ in it, in words
    share: float  # of the accelerations, of forces where masses are known: typical sizes
    centre: list[float] | None = None  # of forces from displaced points: by how much


class LearntLaw(Part):
    """What a law that was given made of the values (``--law``)."""

    equation: str  # with the constants that were fitted together with the values
    error: float  # relative, of accelerations on the validation split, by the law with these
    error_of_splines: float  # the same of the splines
    taken: bool  # whether the values are those that go with the law; else they are those of the splines


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
    beside: list[LearntTerm] = none(list)  # what acts beside the radial force
    tests: dict[str, list[float]] = none(dict)  # of a law of nature: relative spread, and what errors make of it
    law: LearntLaw | None = None  # everything else but the values is of the splines
    groups: list[int] | None = None  # of bodies that never meet those of another group: its number; null: all meet

    STAGE, FORMAT = "learn_properties", 1
    COMMAND = "python learn_properties.py with the flags of the dataset"


class TrainedValues(Part):
    """Values of bodies that were trained beside the weights of a network (``train.py --unknown``)."""

    bodies: list[str]  # names, in the order of the values
    values: dict[str, list[float]]  # property -> every body's, in the unit of the data
    given: dict[str, list[str]]  # property -> the bodies whose value was given, and held
    gauge: dict[str, str]  # property -> what fixes its scale
    says: list[str]  # what a value is, in sentences


class TrainedRecord(Made):
    """outputs/<run>/properties.json: what a network learnt of bodies; everything after it takes them as known."""

    run: str  # whose weights they go with
    dataset: str  # that they were learnt from
    learnt: TrainedValues  # as in config.json
    network_error: float | None = None  # ``skill.network`` of config.json
    # property -> what the dataset had, in the same scale, to compare with; nothing was fitted to it
    known: dict[str, list[float]]
    correlation: dict[str, float]  # of these with the learnt values

    STAGE, FORMAT = "extract_messages", 1
    COMMAND = "python extract_messages.py --run {run}"
