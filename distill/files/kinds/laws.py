"""outputs/<run>/law.json: the law, with all that was said of it."""

from distill.files.kinds.constants import Constant, FunctionOfTerm, Polish
from distill.files.kinds.forces import NodeLaw, OfLevels, PairLaw
from distill.files.kinds.origin import Made, none
from distill.files.kinds.read_out import ReadOutRecord
from distill.files.kinds.searches import (
    BeforeRefit,
    InputsBaseline,
    NodeChoice,
    NodeSearch,
    Refinement,
    TargetRecord,
    Trajectories,
)
from distill.files.kinds.verdicts import AccelerationErrors, DataVerdict, ForceScores, Leftover, Verdict
from distill.files.records import Part


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


class ReadEnergy(Part):
    """A part of the energy as a formula, read from a network of energies before any refit; terms that forces do not
    know are left out.
    """

    text: str  # of a pair, or of a particle by its momentum p, as it was searched
    latex: str  # the same
    complexity: int  # nodes
    searched_verdict: Verdict | None = None  # on minus its derivative by r as it stands; null: truth not known
    force: str | None = None  # minus its derivative by r, constants fitted to the network's F_ij and their sums
    from_force: str | None = None  # the potential that this force has; null: no formula
    verdict: Verdict | None = None  # on this force; null where the truth is not known
    factor: float | None = None  # of p^2/(2 m): median of the ratio over the receivers searched
    off: float | None = None  # 95 % quantile of |ratio - 1|, of p^2/(2 m)
    recovered: bool | None = None  # the verdict's, or whether it is p^2/(2 m) within 1 %; null: not known


class Hamiltonian(Part):
    text: str | None  # H of the law with T = p^2/2m, what is lost and what acts beside it; null: there is none
    latex: str | None  # the same
    why_not: str | None = None  # why there is none
    potential: str | None  # of a pair, of the law; null: no formula has the pair force as its slope
    potential_latex: str | None  # the same
    per_edge: float  # of the potential of a pair in the message of each of its two edges
    reference: float  # distance from which energies of pairs are counted
    rayleigh: str | None  # function whose slope by the velocity is what is lost; null: nothing is
    energy: ReadEnergy | None  # of a pair, as the network has it; null: not searched
    kinetic: ReadEnergy | None  # of a particle, as the network has it; null: not searched


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
    functions: list[FunctionOfTerm] = none(list)  # the same of every other function of the law
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
    lennard_jones: dict | None = None  # sigma and epsilon with errors, where it has that form; of a mixture ``pairs``
    hamiltonian: Hamiltonian | None = None  # of networks of energies: the law as one
    node_search: NodeSearch | None = None  # where the target node was searched
    node_choice: NodeChoice | None = None  # where a response was looked for
    sr_on_inputs: InputsBaseline | None = None  # where it was asked for

    STAGE, FORMAT = "symbolic_reg", 2
    COMMAND = "python symbolic_reg.py --run {run}"
