"""The constants of a law, fitted to accelerations and to positions."""

from distill.files.kinds.origin import none
from distill.files.records import Part


class Constant(Part):
    symbol: str  # in ``form``, or the threshold of a variable
    value: float  # in the law
    standard_error: float | None  # null: too few trajectories
    snapped_from: float | None = None  # what was fitted, where it was rounded
    gap: list[float] | None = None  # of a threshold: the data leave it open between these


class FunctionOfTerm(Part):
    """A function of a term beside the radial force."""

    term: str  # of ``pairs`` or ``node``
    component: str | None = None  # of a vector, along x, y or z
    form: str  # with c0, c1, ... for its constants
    constants: list[Constant]  # their values and errors, and those of the point that it is about


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
