"""Trained networks, read back from ``model_weights/<run>/``."""

import torch

from distill.files import records
from distill.files.kinds import RunConfig
from distill.files.names import run_dir
from distill.files.tensors import load_tensors
from distill.network.architectures import architecture_of, network_of
from distill.shell.errors import UserError
from distill.shell.paths import relative
from models import ModelConfig

LATER = (
    "wide_masses",
    "log_mass_mean",
    "velocities",
    "length",
    "time",
    "units",
    "centre",
    "relative_messages",
    "additive_node",
    "clock",
    "strengths",
    "outputs",
    "target",
    "radial",
)  # options that came after published weights


def load_run(run: str, device: str = "cpu"):
    """``(network, RunConfig)``: the trained network of ``run`` in evaluation mode, and its ``config.json``."""
    folder = run_dir(run)
    fix = "train it again:  python train.py --overwrite"
    config = records.load(RunConfig, folder / "config.json", fix)
    try:
        model = network_of(model_config(config.model))
    except (TypeError, ValueError) as exc:
        raise UserError(f"{relative(folder / 'config.json')} does not describe a network ({exc})", fix) from None
    where = relative(folder / "model.safetensors")
    tensors, header, digest = load_tensors(folder / "model.safetensors", fix)
    for file, found in (("model.safetensors", header.get("run", run)), ("config.json", config.run)):
        if found != run:
            named = f"{relative(folder / file)} is of run '{found}', expected '{run}'"
            raise UserError(named, "give the folder its former name, or train again")
    if header.get("dataset_sha256") not in (None, config.digest_of("dataset")):
        raise UserError(f"{where} was trained on another dataset than config.json tells", fix)
    if config.weights_sha256 not in (None, digest):
        raise UserError(f"{where} holds other weights than config.json was written with", fix)
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise UserError(f"{where}: '{name}' is {found}, expected {tuple(tensor.shape)} from config.json", fix)
        if not torch.isfinite(tensors[name]).all():
            raise UserError(f"{where}: '{name}' holds NaN or infinity", fix)
    model.load_state_dict({k: tensors[k] for k in expected})
    return model.to(device).eval(), config


def model_config(content: dict) -> ModelConfig:
    """The network that a ``config.json`` describes: every option has to be there, for one that is not would be another
    network with the same weights. ``ValueError`` or ``TypeError`` if it describes none.
    """
    kind_of_config = architecture_of(content).config
    for name, like in kind_of_config(dim=1, message_dim=1).as_dict().items():
        if name not in content and name not in LATER:
            raise ValueError(f"'model.{name}' is missing")
        value, kind = content.get(name, like), {tuple: list | tuple, float: int | float}.get(type(like), type(like))
        if not isinstance(value, kind) or isinstance(value, bool) != isinstance(like, bool):
            raise ValueError(f"'model.{name}' is {value!r}")
    return kind_of_config(**content)
