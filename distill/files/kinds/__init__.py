"""The kinds of JSON files that stages hand on, field by field; ``records`` reads, checks and writes them.

The comment beside a field is its line in docs/formats.md. ``dict`` without more is a place for what others define:
flags, options of a recipe, what an engine reports.
"""

from distill.files.kinds.bodies import LearntRecord, LearntValue, TrainedRecord, TrainedValues
from distill.files.kinds.constants import Constant, FunctionOfTerm, Polish, PolishedConstant, PolishedTerm
from distill.files.kinds.datasets import ActingRecord, BesideRecord, DatasetRecord, SystemRecord
from distill.files.kinds.forces import CaseLaw, DroppedTerm, FunctionLaw, NodeLaw, OfLevels, PairLaw, ResponseLaw
from distill.files.kinds.fronts import FrontRecord
from distill.files.kinds.generalization import (
    Curve,
    Errors,
    Failed,
    Generalization,
    RolloutModel,
    Rollouts,
    SetErrors,
    Skipped,
    SymplecticModel,
)
from distill.files.kinds.laws import Hamiltonian, LawRecord, ReadEnergy, Rival, Truth
from distill.files.kinds.looks import LookCurve, LookRecord
from distill.files.kinds.messages import MessagesRecord
from distill.files.kinds.origin import Git, Input, Made, format_of, kinds_of
from distill.files.kinds.read_out import LinearFit, Potential, ReadOutRecord, ReadOutScores, Scores, SplineScores
from distill.files.kinds.runs import RunConfig, Skill, Start, Stopped
from distill.files.kinds.searches import (
    BeforeRefit,
    Candidate,
    InputsBaseline,
    NodeChoice,
    NodeSearch,
    Refinement,
    RunnerUp,
    TargetRecord,
    Trajectories,
)
from distill.files.kinds.verdicts import (
    AccelerationErrors,
    BetterLaw,
    Clue,
    ConstantPair,
    DataVerdict,
    Equivalence,
    ForceScores,
    Leftover,
    Residuals,
    ResponseVerdict,
    Verdict,
    Worst,
)

# in the order of docs/formats.md
HANDED_ON = (
    DatasetRecord,
    RunConfig,
    MessagesRecord,
    LinearFit,
    LookRecord,
    LearntRecord,
    TrainedRecord,
    FrontRecord,
    LawRecord,
    Generalization,
)

__all__ = ["HANDED_ON"]
__all__ += ["LearntRecord", "LearntValue", "TrainedRecord", "TrainedValues"]
__all__ += ["Constant", "FunctionOfTerm", "Polish", "PolishedConstant", "PolishedTerm"]
__all__ += ["ActingRecord", "BesideRecord", "DatasetRecord", "SystemRecord"]
__all__ += ["CaseLaw", "DroppedTerm", "FunctionLaw", "NodeLaw", "OfLevels", "PairLaw", "ResponseLaw"]
__all__ += ["FrontRecord"]
__all__ += ["Curve", "Errors", "Failed", "Generalization", "RolloutModel", "Rollouts", "SetErrors", "Skipped"]
__all__ += ["SymplecticModel"]
__all__ += ["Hamiltonian", "LawRecord", "ReadEnergy", "Rival", "Truth"]
__all__ += ["LookCurve", "LookRecord"]
__all__ += ["MessagesRecord"]
__all__ += ["Git", "Input", "Made", "format_of", "kinds_of"]
__all__ += ["LinearFit", "Potential", "ReadOutRecord", "ReadOutScores", "Scores", "SplineScores"]
__all__ += ["RunConfig", "Skill", "Start", "Stopped"]
__all__ += ["BeforeRefit", "Candidate", "InputsBaseline", "NodeChoice", "NodeSearch", "Refinement", "RunnerUp"]
__all__ += ["TargetRecord", "Trajectories"]
__all__ += ["AccelerationErrors", "BetterLaw", "Clue", "ConstantPair", "DataVerdict", "Equivalence"]
__all__ += ["ForceScores", "Leftover", "Residuals", "ResponseVerdict", "Verdict", "Worst"]
