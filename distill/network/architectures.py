"""The kinds of networks that variants have: ``messages``, the graph network of ``models.py``, and those of extensions.

An extension's module of the role "networks" defines ``NETWORKS``, name -> ``Architecture``. All of them are trained,
stored, extracted and evaluated by the same code, which takes of a network what ``models.GNN`` has: ``config``,
``forward``, ``messages``, ``told``, ``active`` and ``bodies``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from distill.shell import extensions
from models import GNN, ModelConfig


@dataclass(frozen=True)
class Architecture:
    """``network``, built of a ``config``; ``options``: of a run, which are fields of the config by the same names
    (that have a default, where a run may lack them); ``measured``: fields that the training data give.
    """

    config: type
    network: type
    options: tuple[str, ...]
    measured: tuple[str, ...] = ("acc_scale",)

    def configured(self, options: Mapping, measured: Mapping, **given):
        """The config of a run with these ``options``; ``given``: further fields."""
        own = {name: options[name] for name in self.options if name in options}
        return self.config(**own, **{name: measured[name] for name in self.measured}, **given)


MESSAGES = "messages"
OF_A_GNN = "antisymmetric translation_invariant geometric_inputs exp_gate linear_node log_mass hidden".split()
OF_A_GNN += "activation message_dim edge_model velocities relative_messages additive_node radial".split()


def architectures() -> dict[str, Architecture]:
    found = {MESSAGES: Architecture(ModelConfig, GNN, tuple(OF_A_GNN))}
    for module in extensions.modules("networks"):
        found |= module.NETWORKS
    return found


def architecture_of(model: Mapping) -> Architecture:
    """Of a network that ``config.json`` describes (``RunConfig.model``); ``ValueError`` for one that is not there."""
    name, known = model.get("network", MESSAGES), architectures()
    if name not in known:
        raise ValueError(f"'model.network' is {name!r}, expected one of {', '.join(known)}")
    return known[name]


def network_of(config):
    """A network of this config, with random weights."""
    return next(one for one in architectures().values() if type(config) is one.config).network(config)
