"""datasets/<dataset>.json: what was simulated, measured or derived."""

import math

from distill.files.kinds.origin import Made, none
from distill.files.records import Part


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


class BesideRecord(Part):
    """What was found to act beside central pair forces while the values of bodies were learnt."""

    term: str  # of ``physics.terms``
    over: str  # what it is a function of
    centre: list[float] | None = None  # of forces from displaced points: by how much


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
    beside: list[BesideRecord] = none(list)  # what acts beside central pair forces, which a law takes up unasked
    arrays_sha256: str | None = None  # digest of the .npz; null: of a former version, or made elsewhere

    STAGE, FORMAT, ELSEWHERE = "simulate", 1, True
    ALSO = ("import_tracks", "degrade", "learn_properties", "halos")
    RANGES = {"n": (1, math.inf), "dim": (1, 3)}
    COMMAND = "python simulate.py with the flags of the dataset"
