"""outputs/<run>/generalization.json: law and network beyond the training data."""

from distill.files.kinds.origin import Made, none
from distill.files.records import Part


class Errors(Part):
    mae: float | None  # mean absolute error of a component; null: nothing is finite
    mae_trim90: float | None  # of the best 90 % of vectors
    mae_relative: float | None = None  # mae over the mean size of a true component; null: no force at all
    median_relative_error: float | None  # of vectors that are not negligible beside those of interpolation
    r2: float | None  # over components
    n: int  # vectors that are finite
    n_not_finite: int  # and that are not


class SetErrors(Part):
    what: str  # the set is
    graphs: int  # frames
    particles: int  # in each
    gnn: Errors  # of the network
    law: Errors  # of the law
    law_over_gnn_mae: float | None  # ratio
    law_over_gnn_relative_error: float | None  # ratio of the medians
    box: list[float] | None = None  # sides of a periodic box
    mean_absolute_force: float | None = None  # of a component, in a box


class Curve(Part):
    lower: list[float | None]  # first quartile
    median: list[float | None]  # of the starts
    upper: list[float | None]  # third quartile


class Failed(Part):
    trajectory: int  # start
    at_time: float  # last frame reached
    why: str  # it stopped


class RolloutModel(Part):
    rtol: float  # tolerance of the integration
    position_error: Curve  # against the truth
    energy_drift: Curve  # of the true energy
    followed_for: float  # time until the median position error is large
    final_energy_drift_median: float | None  # at the end
    momentum_drift: Curve | None = None  # null: not conserved by the truth
    angular_momentum_drift: Curve | None = None  # null: not conserved by the truth
    final_momentum_drift_median: float | None = None  # at the end
    final_angular_momentum_drift_median: float | None = None  # at the end
    failed: list[Failed]  # with the time reached
    steps_max: int  # of a start
    seconds: float = 0.0  # all starts


class SymplecticModel(Part):
    """By a symplectic integrator, of what has an energy of its own."""

    own_energy_drift: Curve  # of the energy that was integrated, over the same scale as the true one's
    energy_drift: Curve  # of the true energy
    position_error: Curve  # against the truth
    final_own_energy_drift_median: float | None  # at the end
    final_energy_drift_median: float | None  # at the end
    steps: list[int]  # of every start, from frame to frame
    seconds: float  # all starts


class Rollouts(Part):
    n: int  # starts
    particles: int  # in each
    training_time: float  # length of a trajectory of the dataset
    horizon: float  # length of a rollout
    method: str  # of integration
    position_error_is: str  # definition
    energy_drift_is: str  # definition
    momentum_drift_is: str | None = None  # definition, or why it is not conserved
    angular_momentum_drift_is: str | None = None  # definition, or why it is not conserved
    followed_while: str  # definition
    time: list[float]  # of the frames
    models: dict[str, RolloutModel]  # truth, law, truth_loose (a looser tolerance), gnn
    symplectic: dict[str, SymplecticModel] = none(dict)  # law and gnn, of networks of energies
    symplectic_method: str | None = None  # of integration; what has no energy is not in it
    symplectic_without: dict[str, str] = none(dict)  # law and gnn, of networks of energies: why one is not in it


class Skipped(Part):
    skipped: str  # why


class Generalization(Made):
    """outputs/<run>/generalization.json."""

    run: str  # whose law and network
    truth: dict | None  # what labels the sets: system, law; null: only the dataset's own test split is used
    simulations: dict[str, dict]  # reports of the simulations made anew
    sets: dict[str, SetErrors]  # interpolation and what lies beyond
    skipped_sets: dict[str, str] = none(dict)  # sets that could not be made -> why
    force_unit: str | None = None  # where the errors are of forces, not of accelerations
    errors_are: str | None = None  # definition, there
    rollouts: Rollouts | Skipped | dict  # of an extension's systems: with its "kind"

    STAGE, FORMAT = "test_generalization", 1
    COMMAND = "python test_generalization.py --run {run}"
