"""outputs/<run>/messages_<split>.json: what the arrays of messages are."""

import math
from dataclasses import field

from distill.files.kinds.datasets import SystemRecord
from distill.files.kinds.origin import Made, none
from distill.files.properties import USUAL


class MessagesRecord(Made):
    """outputs/<run>/messages_<split>.json, beside the arrays."""

    run: str  # whose network made them
    split: str  # of the dataset
    graphs: int  # frames
    edges: int  # ordered pairs over all frames
    mae: float  # of an acceleration component (or of the target), over these frames
    variant: str  # as in config.json
    recipe: str  # as in config.json
    n: int  # particles
    dim: int  # space dimensions
    properties: list[str] = field(default_factory=lambda: list(USUAL))  # of particles, in the arrays
    antisymmetric: bool  # the network's messages obey e_ij = -e_ji
    network_error: float | None = None  # ``skill.network`` of config.json: the network's when it was trained
    reference: float | None = None  # distance from which ``energy_pair`` counts; null: messages are no energies
    reference_speed: float | None = None  # speed from which ``energy_self_i`` counts; null: messages are no energies
    target: bool = False  # receivers have a ``target`` in place of an acceleration
    window: int | None = None  # frames of a window, which a graph is then; null: of single frames
    doubted: list[str] = none(list)  # assumptions that flags of train.py switched off: later stages make none of them
    dataset: str  # name of the dataset
    dataset_path: str  # name, or path where it lies elsewhere
    system: SystemRecord = none(SystemRecord)  # that of the dataset
    arrays_sha256: str | None = None  # digest of the .npz; null: of a former version, or made elsewhere

    STAGE, FORMAT = "extract_messages", 1
    RANGES = {"n": (1, math.inf), "dim": (1, 3), "graphs": (1, math.inf), "edges": (1, math.inf)}
    COMMAND = "python extract_messages.py --run {run} --split {split}"
