"""outputs/<run>/linear_fit.json: what messages say of the pair force."""

from distill.files.kinds.origin import Made, none
from distill.files.records import Part


class Scores(Part):
    r2_all: float  # least squares over all edges
    r2_trim90: float  # the paper's trimmed fit, scored on the 90 % of edges it fits best
    r2_all_components: list[float]  # the first, component by component
    r2_trim90_components: list[float]  # the second
    coefficients: list[list[float]]  # of the trimmed fit: a row a component, the constant last
    same_as_force: str | None = None  # why these scores are those of the force


class Potential(Scores):
    what: str  # the vector
    read_out_r2_all: float  # of the read-out's force against it
    read_out_r2_trim90: float  # the same, over the best 90 %


class ReadOutRecord(Part):
    """The pair force read from all message components by means of the net forces that the network predicts, or from
    those of the data by splines.
    """

    gauge: str  # what the messages are: force, acceleration (F/m_i), charge_force (q F), jacobian, pair_terms, splines
    why: str  # the choice in a sentence
    held_out_error: float  # mean relative difference from these net forces, particles left out
    held_out_errors: dict[str, float | None]  # the same by gauge
    linear_loses: float | None = None  # the same of a linear read-out's against the network's own predictions
    network_error: float | None = None  # of the network, beside which that is small or not
    net_errors: dict[str, float | None] = none(dict)  # the same of the antisymmetrised force, where compared
    sideways: dict[str, float | None] = none(dict)  # median share of the force across the line, where compared
    third_law: dict[str, float | None] = none(dict)  # |F_ij + F_ji| relative, where compared
    node_terms: list[str]  # terms beside the pair force that the fit needs
    further: list[str] = none(list)  # all others, by name, property and what they depend on
    said: float | None = None  # R2 of the pair terms in how the messages of two senders to one receiver differ
    terms: dict[str, float] = none(dict)  # R2 of each term against the true one, where the law is known
    antisymmetrised: bool  # whether F_ij = -F_ji was imposed
    tangential_share: float  # of the squared force that is not central
    tangential_median: float  # of |F_t|/|F|


class ReadOutScores(ReadOutRecord):
    r2_all: float  # over all edges
    r2_trim90: float  # over the 90 % of edges with the smallest error
    median_relative_error: float  # |F - F_true| / |F_true|


class SplineScores(Part):
    """The pair force as splines, fitted to the net forces of the frames whose messages are read; no network."""

    r2_all: float  # of its force against the true pair force, over all edges
    r2_trim90: float  # over the 90 % of edges with the smallest error
    median_relative_error: float  # |F - F_true| / |F_true|
    held_out_error: float  # relative error of net forces on trajectories left out
    dependence: str  # on properties: given, products of them; free, any smooth functions
    functions: list[str]  # of the properties that multiply a curve each
    held_out_by_dependence: dict[str, float]  # what ``dependence`` was chosen by
    why: str  # the choice in a sentence
    node_values: dict[str, float | list[float]]  # of the terms beside the pair force that the fit needs
    intervals: int  # of each curve in log r
    smoothness: float  # strength of the penalty on second differences
    range: list[float]  # smallest and largest distance of the data
    tails: list[dict]  # of each function: where its curve is not known any more, and the powers it goes on by
    receivers: int  # whose net forces it is fitted to
    edges: int  # of these
    cpu_seconds: float  # of the fit


class LinearFit(Made):
    """outputs/<run>/linear_fit.json."""

    run: str  # whose messages
    split: str  # which were scored
    variant: str  # as in config.json
    recipe: str  # as in config.json
    n_edges: int  # that the scores are over
    n_graphs: int  # frames these are from
    r2_all: float  # of the most important components against the true pair force, all edges
    r2_trim90: float  # the same, trimmed fit on the best 90 %
    r2_all_components: list[float]  # component by component
    r2_trim90_components: list[float]  # component by component
    best_target: str  # the one of ``targets`` with the highest r2_trim90
    targets: dict[str, Scores]  # against F, F/m_i and q_i F
    importance_is: str  # std, or mean_kl
    importance: list[float]  # of every component
    top_components: list[int]  # the dim most important
    top_share: float  # of the variance of all messages that these hold
    active_components: int  # that pruning or relaxation kept
    channel_map_r2: list[list[float]]  # R^2 of each top component with each component of the best target
    read_out: ReadOutScores  # the force from all components, by net forces alone
    splines: SplineScores | None = None  # the baseline without a network; null: made by a former version
    potential: Potential | None = None  # against the pair potential; null where the system is not known

    STAGE, FORMAT = "fit_linear", 2
    COMMAND = "python fit_linear.py --run {run}"
