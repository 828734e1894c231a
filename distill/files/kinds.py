"""The kinds of JSON files that stages hand on, field by field; ``records`` reads, checks and writes them.

The comment beside a field is its line in docs/formats.md. ``dict`` without more is a place for what others define:
flags, options of a recipe, what an engine reports.
"""

from dataclasses import field

from distill.files.properties import USUAL
from distill.files.records import Part, Record


def none(kind):
    """A field that is an empty ``kind`` where the file has nothing."""
    return field(default_factory=kind)


# ---------------------------------------------------------------- where a file came from


class Input(Part):
    path: str = ""  # where it was
    sha256: str = ""  # its digest


class Git(Part):
    commit: str | None = None  # null outside of a git repository
    dirty: bool | None = None  # whether files were changed since, results and pages apart


class Made(Record):
    """A file that ends a stage: provenance comes first."""

    arguments: dict = none(dict)  # every flag of the stage, defaults spelled out
    inputs: dict[str, Input] = none(dict)  # what was read, by name
    git: Git = none(Git)  # the commit of the code
    python: str = ""  # version
    versions: dict[str, str] = none(dict)  # of the packages that were loaded
    device: str = ""  # cpu or cuda
    machine: str = ""  # architecture
    seconds: float = 0.0  # wall-clock time of the stage
    quick: bool = False  # made with --quick: tiny sizes, numbers mean nothing

    def digest_of(self, name: str) -> str | None:
        """SHA-256 of the input ``name``; None where the file does not say that it was read."""
        return self.inputs[name].sha256 if name in self.inputs else None


def format_of(stage: str) -> int:
    """The format of the file that ends ``stage``; 1 for what is no hand-off."""
    formats = {name: kind.FORMAT for kind in Made.__subclasses__() for name in (kind.STAGE, *kind.ALSO)}
    return formats.get(stage, 1)


# ---------------------------------------------------------------- datasets


class ActingRecord(Part):
    """A force of a system beside the radial pair force, a term of ``physics.terms``."""

    term: str  # its name
    value: float | str | list[float | str] | None = None  # of its vector, or formulas; null: follows from ``potential``
    centre: list[float] | None = None  # of a force about a point
    potential: str | None = None  # energy of a particle, where there is one


class SystemRecord(Part):
    """The system simulated, as ``physics.record`` writes it and finds it again; empty where it is not known."""

    name: str = ""  # in the table of systems, or of the user's file
    variant: str = "standard"  # of former versions: "original" is the authors' code, which is not simulated any more
    summary: str | None = None  # a sentence
    source: str | None = None  # where it is from
    law: str | None = None  # the true pair force; null: the gradient of a potential
    external_law: str | None = None  # the forces beside ``law`` and ``drag``, as a formula
    dt: float | None = None  # step of the published data
    softening: float | None = None  # added to r in the law
    neighbours_only: bool = False  # a chain: only neighbours interact
    charges: str | None = None  # how they are drawn
    masses: str | None = None  # how they are drawn
    held: list[int] = none(list)  # particles that do not move
    variables: str | None = None  # what the law is a function of, and its sign
    properties: list[str] = none(list)  # that its particles have
    external: bool = False  # whether an outside field acts
    drag: float = 0.0  # coefficient of -v in m a
    terms: list[ActingRecord] | None = None  # all forces beside ``law``; null: written by a former version
    response: dict | None = None  # to the net force, as ``physics.responses``: formulas; null: Newton's a = F/m
    conserves_energy: bool = True  # without drag and driving
    file: str | None = None  # of a user's potential
    file_sha256: str | None = None  # its digest
    parameters: dict[str, float] = none(dict)  # of the pair law, by name
    parameter_units: dict[str, str] = none(dict)  # of these
    cutoff: float | None = None  # beyond it there is no force
    law_holds: str | None = None  # where the law is the force, in words
    units: dict[str, str] = none(dict)  # quantity -> unit; none: dimensionless
    periodic: bool = False  # in a box


class DatasetRecord(Made):
    """datasets/<dataset>.json, beside the arrays. All of it may be missing: a user's data need no JSON."""

    system: SystemRecord = none(SystemRecord)  # what was simulated
    n: int | None = None  # particles
    dim: int | None = None  # space dimensions
    report: dict = none(dict)  # of the simulation: trajectories redone and dropped, drifts of energy, steps
    acceleration_noise: float = 0.0  # relative noise put on the accelerations
    additive_noise: float = 0.0  # noise added to them, in units of their median length
    measured: list[str] = none(list)  # arrays that an imported file held; ``inputs`` names the file
    derived: dict[str, str] = none(dict)  # other arrays -> what they were made of
    categories: dict[str, list[str]] = none(dict)  # array of whole numbers, such as species -> the name of 0, 1, ...
    bodies: list[str] = none(list)  # names by the numbers in ``id``

    STAGE, FORMAT, ELSEWHERE = "simulate", 1, True
    ALSO = ("import_tracks", "degrade", "learn_properties")
    COMMAND = "python simulate.py with the flags of the dataset"


# ---------------------------------------------------------------- runs and their messages


class Start(Part):
    sha256: str  # of masses, charges, first frames and split
    frames: int  # of a trajectory
    t: list[float]  # first and last time


class Skill(Part):
    network: float  # mean |a - a_data| / (c + |a_data|) of acceleration components, c the typical |a_data|
    zero: float  # the same of predicting 0
    mean: float  # the same of predicting the mean of the training accelerations
    noise: float | None = None  # of windows, whose targets are noisy: the same of predicting the truth


class RunConfig(Made):
    """model_weights/<run>/config.json: a run is complete when it is there."""

    run: str  # name of the folder
    dataset: str  # name of the dataset
    dataset_path: str  # name, or path where it lies elsewhere
    dataset_start: Start | None = None  # by which the dataset is known when simulated again
    variant: str  # head and penalty of the messages
    recipe: str  # options it was trained with
    seed: int  # of weights and batches
    model: dict  # fields of models.ModelConfig
    options: dict  # of the training, all of them
    system: SystemRecord = none(SystemRecord)  # that of the dataset
    chain: bool = False  # edges between neighbours only
    n: int  # particles
    dim: int  # space dimensions
    steps: int  # of the optimiser
    graphs_seen: int  # frames, repetitions counted
    stacked_runs: int  # runs trained together, of which this was one
    train_graphs: int  # frames of the training split
    edges_a_frame: float | None = None  # mean in a box, of a window in all its frames; null: all pairs, or a chain
    window: int | None = None  # frames of the windows it was trained on; null: on accelerations of single frames
    cpu_seconds: float  # of the training
    validation_mae: float  # mean absolute error of an acceleration component
    validation_loss: float  # of the loss trained on
    validation_graphs: int  # frames these are over
    skill: Skill | None = None  # the network against predicting nothing, on these frames; null: made elsewhere
    active: int  # message components left at the end
    weights_sha256: str | None = None  # digest in the header of model.safetensors; null: made elsewhere

    STAGE, FORMAT = "train", 2
    COMMAND = "python train.py with the flags of {run}"


class MessagesRecord(Made):
    """outputs/<run>/messages_<split>.json, beside the arrays."""

    run: str  # whose network made them
    split: str  # of the dataset
    graphs: int  # frames
    edges: int  # ordered pairs over all frames
    mae: float  # of an acceleration component, over these frames
    variant: str  # as in config.json
    recipe: str  # as in config.json
    n: int  # particles
    dim: int  # space dimensions
    properties: list[str] = field(default_factory=lambda: list(USUAL))  # of particles, in the arrays
    antisymmetric: bool  # the network's messages obey e_ij = -e_ji
    network_error: float | None = None  # ``skill.network`` of config.json: the network's when it was trained
    window: int | None = None  # frames of a window, which a graph is then; null: of single frames
    doubted: list[str] = none(list)  # assumptions that flags of train.py switched off: later stages make none of them
    dataset: str  # name of the dataset
    dataset_path: str  # name, or path where it lies elsewhere
    system: SystemRecord = none(SystemRecord)  # that of the dataset

    STAGE, FORMAT = "extract_messages", 1
    COMMAND = "python extract_messages.py --run {run} --split {split}"


# ---------------------------------------------------------------- the linear fit


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


# ---------------------------------------------------------------- a first look


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


# ---------------------------------------------------------------- fronts of formulas


class FrontRecord(Record):
    """outputs/<run>/symbolic/<target>/front.json, beside hall_of_fame.csv."""

    target: str  # what was searched
    identity: dict  # options, rows and digests: the front is read back where these are the same
    features: list[str]  # variables of the formulas
    engine: str  # that searched
    chosen: int  # row of hall_of_fame.csv
    why: str  # the choice in a sentence
    info: dict  # what engine and choice report: restarts, runner-up, noise floor, seconds
    held_out: list[float | None]  # loss of each row on data left out
    front_sha256: str | None = None  # of hall_of_fame.csv: another one is not ours; null: made by a former version

    STAGE, FORMAT = "symbolic_reg", 1
    COMMAND = "python symbolic_reg.py --run {run}"

    @classmethod
    def fix(cls, path) -> str:
        return "add --overwrite to search again"


# ---------------------------------------------------------------- the law


class CaseLaw(Part):
    """The pair force of particles of given levels of a category, such as species."""

    pairs: list[str]  # receiver and sender, as in AB: the force on A by B
    text: str  # of f
    latex: str  # of f


class OfLevels(Part):
    """How a pair force f depends on categories; empty where it does not."""

    cases: list[CaseLaw] = none(list)  # f by pair of levels
    coefficients: dict[str, float] = none(dict)  # of ``function``, by pair of levels, where all share one
    function: str | None = None  # that one: f is a coefficient times it
    function_latex: str | None = None  # the same


class PairLaw(OfLevels):
    """A pair force f: F_ij = f (x_i - x_j)/r, or f times another vector of the pair, as ``convention`` says."""

    text: str  # of f; reads back to the same numbers
    latex: str  # of f
    variables: list[str]  # that f may have
    complexity: int | None  # nodes of the formula
    convention: str  # direction and sign
    short: str | None = None  # f with four digits


class ResponseLaw(Part):
    """a = alpha S + beta v of the net force S, where that is not a = S/m."""

    name: str  # in the table of responses, or "found"
    alpha: str  # formula
    beta: str  # formula; "0": the acceleration is along the force
    alpha_latex: str  # the same
    beta_latex: str  # the same
    variables: list[str]  # that they may have
    what: str  # what these mean


class DroppedTerm(Part):
    name: str  # of the term
    value: float | list[float]  # that was fitted
    standard_error: float | list[float | None] | None  # of it; null: too few trajectories
    why: str  # it was dropped


class FunctionLaw(Part):
    """What multiplies the vector of a term beside the pair forces, where that is no number: its components."""

    text: list[str]  # formulas, in x, y, z, v (the speed), s (the distance from ``centre``), m_i, q_i, ... and t
    latex: list[str]  # the same
    variables: list[str]  # that they have
    centre: list[float] | None = None  # of a force about a point


class NodeLaw(Part):
    text: str  # the acceleration
    latex: str  # the same
    dim: int  # space dimensions
    terms: dict[str, float | list[float]]  # of the net force (m_i a_i as a rule) beside the pair forces, by name
    functions: dict[str, FunctionLaw] = none(dict)  # those of them that are no numbers, by name
    response: ResponseLaw | None = None  # to the net force; null: a = S/m
    standard_errors: dict[str, float | list[float]] = none(dict)  # of the terms, where there are trajectories enough
    dropped: list[DroppedTerm] = none(list)  # terms that the data do not need


class Worst(Part):
    range: str  # in, extrapolated or near
    point: dict[str, float]  # variable -> value
    law: float | None  # f there; null: not finite
    truth: float | None  # the true f there
    relative_error: float | None  # null: not finite


class ConstantPair(Part):
    name: str  # c0, c1, ...
    role: str  # where it stands in the form
    true: float  # of the true law
    found: float  # of the law found
    off: float  # |found/true - 1|
    judged: bool = True  # whether data reach it


class Equivalence(Part):
    relation: str  # same, same up to a constant factor, same functional form, or different
    factor: float | None  # law over truth, for the first two
    constants: list[ConstantPair]  # where the law has the true form
    off: float | None  # the largest deviation of those judged
    symbolic: bool | None  # whether algebra confirms what samples say; null: not asked
    worst: Worst  # the sample where the law is furthest off
    relative_error_is: str  # definition
    tolerance: float  # of "same"
    variables: list[str]  # that either law has
    text: str  # one sentence


class ResponseVerdict(Part):
    """The response of the law against the true one, at the true net forces."""

    factor: float  # true pair law over the law's: what pair law and response share is taken off
    errors: dict[str, float]  # mean |a_law - a|/|a| in range (5 % to 95 % of |S|), near (below), extrapolated (above)
    alpha: str  # its relation to the true one
    beta: str  # the same
    truth: dict[str, str]  # the true formulas


class Verdict(Part):
    recovered: bool | None  # null: the truth is not known
    why: str  # in words
    same_form: bool | None = None  # form, constants within 1 % and node terms are right, whatever the errors
    failed: list[str] = none(list)  # of form, constants, node terms, in, near, extrapolated
    relative_error_in_range: float | None = None  # of accelerations, |a_law - a|/(c + |a|), mean; null: not finite
    relative_error_near: float | None = None  # of single pairs down to the closest that ten times the data meet
    relative_error_extrapolated: float | None = None  # to 3 times the largest distance; inwards with a cutoff
    tails: dict[str, float | None] = none(dict)  # 99.9 % quantiles of these errors
    allowed_errors: dict[str, float] = none(dict)  # of their means; their tails may be 30 times as large
    network_errors: dict[str, float] = none(dict)  # the network's, which set them; none where there is no network
    softening_recovered: bool | None = None  # form, constants and errors near are right; null: data do not reach it
    not_judged: list[str] = none(list)  # constants that no data reach, a sentence each
    node_error: float | None = None  # of a true node term's value, the largest; of |a| where there is no true one
    ranges: dict[str, list[float]] = none(dict)  # distances compared
    closest: float | None = None  # pair of the data judged on
    split: str | None = None  # of these
    n_receivers: int | None = None  # in range
    n_samples: int | None = None  # pairs in each of the other ranges
    equivalence: Equivalence | None = None  # the relation of the two formulas
    response: ResponseVerdict | None = None  # where either law has one


class RunnerUp(Part):
    equation: str  # as text
    complexity: int  # nodes
    held_out: float | None  # its error on data left out
    why_it_lost: str  # in words
    latex: str | None = None  # of the equation


class BeforeRefit(PairLaw):
    """The row of a front that was chosen before any refit on accelerations."""

    why: str  # the choice in a sentence
    pairs: dict[str, PairLaw] = none(dict)  # further forces of a pair
    node: NodeLaw | None = None  # what acts beside the pair forces, as read with them
    runner_up: RunnerUp | None = None  # the next best row
    chosen_share: float | None = None  # of bootstrap draws of held-out rows that pick the same row
    restarts: int | None = None  # of the search
    restarts_with_chosen: int | None = None  # that met its form
    lennard_jones: dict | None = None  # sigma and epsilon where it has that form
    verdict: Verdict | None = None  # on pair force and node terms; null where the truth is not known


class Constant(Part):
    symbol: str  # in ``form``, or the threshold of a variable
    value: float  # in the law
    standard_error: float | None  # null: too few trajectories
    snapped_from: float | None = None  # what was fitted, where it was rounded
    gap: list[float] | None = None  # of a threshold: the data leave it open between these


class PolishedConstant(Part):
    symbol: str  # in ``form``
    before: float  # as fitted to accelerations or windows
    value: float  # in the law
    standard_error: float | None  # null: nothing in the positions depends on it
    determined: bool  # the standard error is below half of the value; else the constant stays as it was
    snapped_from: float | None = None  # what was fitted, where it was rounded


class PolishedTerm(Part):
    name: str  # of a node term
    before: float | list[float]  # its value as fitted to accelerations or windows
    value: float | list[float]  # in the law
    standard_error: float | list[float | None] | None  # null: nothing in the positions depends on it


class Polish(Part):
    """Constants fitted to the observed positions of whole trajectories, by multiple shooting."""

    text: str  # in a sentence
    why_not: str | None = None  # it was not done; null: it was
    pair_before: str  # the pair force before
    form: str  # of the pair force, c0, c1, ... for its constants
    constants: list[PolishedConstant] = none(list)  # before and after
    node: list[PolishedTerm] = none(list)  # the node terms
    noise: float | None = None  # standard deviation of a coordinate, by what is left
    noise_before: float | None = None  # as estimated without the law
    chi2: float | None = None  # squares left over those of that estimate, a degree of freedom
    excess: float | None = None  # squares left over those of the law in short runs of frames; 1: the law is right
    excess_error: float | None = None  # standard error of it where only noise is left
    structured: bool = False  # the excess is clear: the law leaves structure
    freedom: int = 0  # positions less states and constants
    trajectories: int = 0  # that were fitted to
    left_out: int = 0  # that no motion was found for
    pieces: int = 0  # that the trajectories were cut into
    cuts: int = 0  # stretches between frames whose motion was left open: encounters too close to follow
    stretches: int = 0  # of which these are
    converged: bool = False  # the last step was small beside the standard errors
    cpu_seconds: float = 0.0  # of it


class Candidate(Part):
    complexity: int  # nodes
    held_out: float | None  # mean relative error on receivers left out
    repaired: bool  # its structure was changed there
    equation: str  # as text


class Refinement(Part):
    why: str  # in a sentence
    repaired: bool  # its structure was changed there
    runner_up: RunnerUp | None  # null: there was one candidate
    chosen_share: float  # of bootstrap draws that choose the same formula
    chosen_share_is: str  # definition
    cpu_seconds: float  # of refit, repair and choice
    candidates: list[Candidate]  # all that were compared


class AccelerationErrors(Part):
    law: float | None  # of the law
    gnn: float | None = None  # of the network
    splines: float | None = None  # of the splines that the law is from, where there is no network
    noise: float | None = None  # what noise alone makes of it, where that is known: of windows of positions
    beyond_noise: float | None = None  # what is left of the law's error without it
    n: int | None = None  # receivers
    split: str | None = None  # test; training: there were no messages of test trajectories
    what: str = ""  # definition


class Rival(Part):
    """Another way to a law from the same data, with the same search, refit, repair and choice: what it finds too is
    no evidence for the trained network.
    """

    label: str  # its name in tables
    what: str  # it is, in a sentence
    before_refit: BeforeRefit | None = None  # the row chosen in its force; null: it estimates none (the control)
    pair: PairLaw  # what it finds
    pairs: dict[str, PairLaw] = none(dict)  # further forces of a pair
    node: NodeLaw  # and what else acts
    acceleration_error: AccelerationErrors  # of it
    verdict: Verdict | None = None  # null where the truth is not known
    cpu_seconds: float  # of its estimate, search, refit and choice


class Truth(OfLevels):
    text: str  # the pair force, or that it is the gradient of a potential
    latex: str  # of it
    complexity: int | None  # nodes; null: no formula
    external: str | None = None  # outside field
    drag: float = 0.0  # coefficient of -v
    variables: list[str] = none(list)  # of the pair force


class Clue(Part):
    z: float | None  # sum of residual times cross-validated prediction over its standard error; null: other constants
    r2: float  # share of the square of the residuals that is predicted
    lag: float | None = None  # the time by which the others were seen earlier, where that is what was tried


class Residuals(Part):
    """What the law leaves on whole trajectories, those not trained on where there are enough."""

    structured: bool  # it lasts from frame to frame, or something predicts it: it is not noise
    left: float | None  # mean |a - a_law| / (c + |a_law|); null: the law is not finite everywhere
    n: int  # particles times frames
    r2_held_out: float | None  # of the clue that predicts best
    autocorrelation: float | None = None  # between neighbouring frames; null: there are none, or nothing is left
    autocorrelation_error: float | None = None  # its standard error if frames are independent
    clues: dict[str, Clue] = none(dict)  # what was tried as a prediction
    follows: list[str] = none(list)  # the clues that predict, best first
    over_noise: float | None = None  # median of what is left over that which noise alone leaves; null: not known
    text: str  # in a sentence


class BetterLaw(Part):
    label: str  # how it was found
    text: str  # its pair force
    error: float  # of accelerations, as the law's


class DataVerdict(Part):
    trusted: bool  # all of the following hold
    why: str  # or which do not
    law_predicts_as_well_as_network: bool  # on receivers left out
    residuals: Residuals  # what the law leaves
    held_out_error: float  # of the law
    network_error: float  # of the network
    n: int  # receivers
    skill: Skill | None = None  # of the network on these receivers
    better: BetterLaw | None = None  # found in another way, predicts them better
    violations: list[str] = none(list)  # what the read-out force does that no central pair law without velocities can
    # median of the accelerations by the law's pair forces over the typical one; below 1e-6 there is no pair force
    pair_share: float | None = None


class Leftover(Part):
    sideways_share: float  # of the squared force, predictable across the line of centres
    velocity_share: float  # of the radial force's variance, predicted by velocities
    tangential_share: float  # of the squared force that is not central, noise included
    tangential_median: float  # of |F_t|/|F|
    central: bool  # sideways_share is negligible
    velocity_free: bool  # velocity_share is negligible
    third_law: float | None = None  # median |F_ij + F_ji| / (|F_ij| + |F_ji|) as read out; null: no edge has a reverse
    n_edges: int  # that this was asked of
    text: str  # in a sentence


class TargetRecord(Part):
    equation: str  # of the row chosen
    complexity: int  # nodes
    loss: float  # on the rows searched
    hall_of_fame: str  # file of the front
    chosen: int  # index into ``rows``
    latex: str  # of the equation
    why: str  # the choice in a sentence
    pysr_best: dict  # what PySR's score picks: equation, complexity, loss
    rows: list[list]  # complexity, loss, equation
    info: dict  # what engine and choice report


class NodeSearch(Part):
    equation: str  # a as a function of the net force R, v, m_i, q_i
    complexity: int  # nodes
    fields: dict[str, list[float]]  # uniform fields that were taken off before
    relative_difference: float  # of the two functions
    held_out_searched: float  # mean relative error of accelerations
    held_out_composed: float  # of the composed law
    network_error: float  # of the network
    receivers: int  # left out
    agrees: bool  # the two do
    text: str  # in a sentence
    position: dict  # does what the composed law leaves depend on place: r2_held_out, size, depends, n, text


class InputsBaseline(Part):
    equation: str  # found for the first component of the acceleration
    complexity: int  # nodes
    features: list[str]  # inputs
    held_out_error: float | None  # of the formula
    law_error: float | None  # of the law
    network_error: float | None  # of the network
    constant_error: float | None  # of the best constant
    medians: dict[str, float | None]  # of the same errors
    n: int  # receivers they are over
    rows: int  # receivers searched on
    max_complexity: int  # allowed
    cpu_seconds: float | None  # of the search
    raw: bool  # positions as they are, in fixed order
    why: str  # how the row was chosen
    hall_of_fame: str  # file of the front
    what: str  # was searched


class NodeChoice(Part):
    """Newton's a = S/m, or a response found behind the messages: which of the two the data want."""

    chosen: str  # function or linear
    why: str  # in a sentence
    held_out_function: float | None  # mean relative error of accelerations left out, with the response found
    held_out_linear: float | None  # with a linear node
    network_error: float  # of the network on the same receivers
    n: int  # of these
    pair: str  # the pair law found with the response
    alpha: str  # of a = alpha S + beta v
    beta: str  # the same
    across: float  # share of the squared messages that no pair force along the line of centres explains
    sideways: float  # mean relative size of what the network's accelerations have across S
    cpu_seconds: float  # of composition, refit, repair and choice
    what: str  # is known and what is convention


class Trajectories(Part):
    """How many trajectories of the messages did what."""

    shared: bool  # too few to have some for each
    read_out: int  # to which the read-out was fitted, by the network's predictions
    search: int  # whose edges were searched
    fit: int | None  # on whose accelerations formulas were refitted; null: two thirds of all
    choice: int | None  # that chose among them; null: the other third
    test: int  # of the final errors; 0: those that chose
    text: str  # in a sentence


class ForceScores(Part):
    r2_all: float  # of the pair force, over all edges
    r2_trim90: float  # over the 90 % of edges with the smallest error
    median_relative_error: float  # |F - F_file| / |F_file|
    n: int  # edges


class LawRecord(Made):
    """outputs/<run>/law.json."""

    run: str  # whose law
    source: str = "messages"  # of the pair force that was searched; splines: fitted to accelerations, see ``read_out``
    engine: str  # that searched
    engine_reason: str  # why this one
    chain: bool  # only neighbours interact
    cutoff: float | None  # beyond it there is no force
    trajectories: Trajectories | None = None  # which did what
    read_out: ReadOutRecord  # the pair force from messages that was searched
    leftover: Leftover  # what a pair law of this kind cannot say
    targets: dict[str, TargetRecord]  # every search
    pair: PairLaw  # THE LAW: the pair force after the refit on accelerations
    pairs: dict[str, PairLaw] = none(dict)  # further forces of a pair, by name: along the relative velocity, ...
    node: NodeLaw  # and what else acts
    form: str  # the pair force with c0, c1, ... for its constants
    constants: list[Constant]  # their values and errors
    constants_note: str  # how these were found
    pair_unrounded: str  # the pair force before constants were rounded
    from_messages: BeforeRefit  # what the messages say without any refit
    refinement: Refinement  # how the refit chose
    rivals: dict[str, Rival] = none(dict)  # control (no estimate of the force), and others that were asked for
    acceleration_error: AccelerationErrors  # of law and network
    truth: Truth | None  # null: not known
    verdict: Verdict  # on the law
    data_verdict: DataVerdict  # without the truth
    polish: Polish | None = None  # where positions were observed
    force_in_file: ForceScores | None = None  # the law's pair force against the ``force`` of messages made elsewhere
    lennard_jones: dict | None = None  # sigma and epsilon with errors, where the law has that form
    node_search: NodeSearch | None = None  # where the target node was searched
    node_choice: NodeChoice | None = None  # where a response was looked for
    sr_on_inputs: InputsBaseline | None = None  # where it was asked for

    STAGE, FORMAT = "symbolic_reg", 2
    COMMAND = "python symbolic_reg.py --run {run}"


# ---------------------------------------------------------------- beyond the training data


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
