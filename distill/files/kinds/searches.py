"""What a search found, how a row was chosen, and what stands beside it."""

from distill.files.kinds.forces import NodeLaw, PairLaw
from distill.files.kinds.origin import none
from distill.files.kinds.verdicts import Verdict
from distill.files.records import Part


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
