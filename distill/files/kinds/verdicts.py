"""How a law stands against the truth, and against the data alone."""

from distill.files.kinds.origin import none
from distill.files.kinds.runs import Skill
from distill.files.records import Part


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


class AccelerationErrors(Part):
    law: float | None  # of the law
    gnn: float | None = None  # of the network
    splines: float | None = None  # of the splines that the law is from, where there is no network
    noise: float | None = None  # what noise alone makes of it, where that is known: of windows of positions
    beyond_noise: float | None = None  # what is left of the law's error without it
    n: int | None = None  # receivers
    split: str | None = None  # test; training: there were no messages of test trajectories
    what: str = ""  # definition


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


class ForceScores(Part):
    r2_all: float  # of the pair force, over all edges
    r2_trim90: float  # over the 90 % of edges with the smallest error
    median_relative_error: float  # |F - F_file| / |F_file|
    n: int  # edges
