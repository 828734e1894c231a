"""model_weights/<run>/config.json: a network and how it was trained."""

import math

from distill.files.kinds.bodies import TrainedValues
from distill.files.kinds.datasets import SystemRecord
from distill.files.kinds.origin import Made, none
from distill.files.records import Part


class Start(Part):
    sha256: str  # of masses, charges, first frames and split
    frames: int  # of a trajectory
    t: list[float]  # first and last time


class Skill(Part):
    network: float  # mean |a - a_data| / (c + |a_data|) of acceleration components, c the typical |a_data|
    zero: float  # the same of predicting 0
    mean: float  # the same of predicting the mean of the training accelerations
    noise: float | None = None  # of windows, whose targets are noisy: the same of predicting the truth
    motion: float | None = None  # of networks of energies: the same of velocities dq/dt = dH/dp


class Stopped(Part):
    why: str  # patience: nothing improved any more; epochs: those asked for were made
    epochs_asked: float  # at most
    epochs_made: float  # with those of the cool-down
    cooled_from: int  # step from which the learning rate fell
    follows: str  # column of history.csv that patience looked at
    error: float | None  # its last value; null: there was none


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
    stopped: Stopped | None = None  # of a training with patience: when it ended, and why; null: it had none
    stacked_runs: int  # runs trained together, of which this was one
    train_graphs: int  # frames of the training split
    edges_a_frame: float | None = None  # mean in a box, of a window in all its frames; null: all pairs, or a chain
    window: int | None = None  # frames of the windows it was trained on; null: on accelerations of single frames
    cpu_seconds: float  # of the training
    polish_cpu_seconds: float = 0.0  # of these, after the last step
    validation_mae: float  # mean absolute error of an acceleration component
    validation_loss: float  # of the loss trained on
    validation_graphs: int  # frames these are over
    skill: Skill | None = None  # the network against predicting nothing, on these frames; null: made elsewhere
    active: int  # message components left at the end
    learnt: TrainedValues | None = None  # of bodies with unknown properties; null: there are none
    weights_sha256: str | None = None  # digest in the header of model.safetensors; null: made elsewhere

    STAGE, FORMAT = "train", 2
    RANGES = {"n": (1, math.inf), "dim": (1, 3), "steps": (1, math.inf), "window": (2, math.inf)}
    COMMAND = "python train.py with the flags of {run}"
