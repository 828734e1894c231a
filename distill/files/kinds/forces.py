"""The forces of a law as formulas, numbers and text."""

from distill.files.kinds.origin import none
from distill.files.records import Part


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
    centre: list[float] | None = None  # by which senders are displaced, of the term that is about such points


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
