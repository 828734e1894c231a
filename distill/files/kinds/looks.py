"""outputs/<dataset>__splines/look.json: a first look at data."""

from distill.files.kinds.origin import Made, none
from distill.files.records import Part


class LookCurve(Part):
    function: str  # of the properties that the curve multiplies
    r: list[float]  # distances
    force: list[float]  # positive where it repels


class LookRecord(Made):
    """outputs/<dataset>__splines/look.json, beside look.png: splines of the pair force, and what they leave."""

    dataset: str  # looked at
    trajectories: int  # of the dataset
    frames: int  # of a trajectory
    n: int  # particles
    dim: int  # space dimensions
    masses_known: bool  # false: equal ones were taken
    window: int | None  # frames; null: accelerations were measured
    noise: float | None  # standard deviation of a coordinate of the positions
    noise_of_step: float | None  # the same, over the median way between frames
    noise_of_acceleration: float | None  # noise of a window's target over its size, medians
    receivers: int  # that the splines were fitted to
    dependence: str  # on properties: given, products of them; free, any smooth functions
    curves: list[LookCurve]  # the pair force is the sum of function times curve
    node_values: dict[str, float | list[float]]  # of the terms beside the pair force
    left: float  # mean |a - a_splines| / (c + |a_splines|) on trajectories left out, c the typical |a|
    left_by_noise: float | None  # what noise alone would leave; null: not known
    error: float  # mean |a - a_splines| / (c + |a|)
    zero: float  # the same of predicting no acceleration
    finds_force: bool  # whether the first is smaller than the second
    clues: dict[str, dict[str, float]]  # what is left followed by: standard errors z, held-out r2
    lasts: dict[str, float | bool] | None  # from frame to frame: autocorrelation lag_1, its error, lasts
    third_law: float | None  # sum of all forces of a frame over that of their sizes; null: no frame has all particles
    third_law_noise: float | None  # what noise alone would make of it
    action_is_reaction: bool | None  # null: noise hides it, or particles are held
    further: dict[str, float] = none(dict)  # other terms that the data need -> their share of the forces
    assumptions: dict[str, dict[str, bool | list[str]]] = none(dict)  # each -> whether it holds, and why not
    over_noise: float | None = None  # median of what is left over that which noise alone leaves; null: not known
    against: list[str] = none(list)  # why no law of these data is to be trusted, as far as is seen

    STAGE, FORMAT = "look", 1
    COMMAND = "python look.py --dataset {dataset}"
