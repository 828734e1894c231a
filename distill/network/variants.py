"""The variants: a message head with its penalty and its schedule, an entry of ``VARIANTS`` each.

To add one, add an entry: trainer, stepper, command lines and the network's head read this table. Tensors are used by
their methods alone and torch is not imported, so that a command line can list the variants at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

MESSAGE_DIM = 100  # components of a message of every variant but a bottleneck


@dataclass(frozen=True, eq=False)
class Variant:
    """One variant, named as ``--variant`` is.

    bottleneck  as many components as there are dimensions, in place of ``MESSAGE_DIM``
    gaussian    messages are sampled from N(mean, exp(logvar)) in training
    penalty     added to the loss times the option ``<name>_weight``: a function of (message, logvar, n, graphs, dim),
                the first two as ``models.GNN`` returns them [edge, component] (logvar None unless gaussian), for
                ``graphs`` graphs of ``n`` particles
    weights     recipe -> default of that option; ``penalised`` says in words what it multiplies
    schedule    "relax": at ``relax_at`` keep the ``dim`` most important components and drop the penalty;
                "prune": mask components between ``prune_start`` and ``prune_end`` until ``dim`` are left
    """

    name: str
    bottleneck: bool = False
    gaussian: bool = False
    penalty: Callable | None = None
    penalised: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    schedule: str | None = None

    @property
    def weight(self) -> str:
        """Name of the option that multiplies the penalty."""
        return f"{self.name}_weight"


def l1_penalty(message, logvar, n: int, graphs: int, dim: int):
    """(1/n) sum over edges and components of |e|, averaged over ALL graphs of the batch.

    The original code evaluates this sum on the first graph of each batch only.
    """
    return message.abs().sum() / (n * graphs)


def kl_divergence(mean, logvar, exp=lambda tensor: tensor.exp()):
    """KL(N(mean, s^2) || N(0, 1)) = (s^2 + mean^2 - log s^2 - 1)/2, s^2 = exp(logvar), element by element.

    For tensors, or for numpy arrays with ``exp=np.exp``.
    """
    return 0.5 * (exp(logvar) + mean**2 - logvar - 1)


def kl_penalty(message, logvar, n: int, graphs: int, dim: int):
    """(1/n) sum over edges and components of the KL divergence, averaged over the batch."""
    return kl_divergence(message, logvar).sum() / (n * graphs)


def std_penalty(message, logvar, n: int, graphs: int, dim: int):
    """n times the mean standard deviation over edges of all components but the first ``dim``.

    n, because the loss is a sum over a graph's particles: per particle this is the penalty of gamd_sr, which
    trains GAMD (arXiv:2112.03383) on argon. 0 where a message has no further component.
    """
    if message.size(1) <= dim:
        return message.new_zeros(())
    return n * (message[:, dim:].var(0) + 1e-12).sqrt().mean()  # 1e-12: a masked component has a gradient, 0


def message_importance(message, logvar=None, **exp):
    """Importance of each component [component] of messages [edge, component]: standard deviation, or mean KL.

    For tensors, or for numpy arrays with ``exp=np.exp`` (and n in place of n - 1 in the standard deviation).
    """
    return message.std(0) if logvar is None else kl_divergence(message, logvar, **exp).mean(0)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("standard"),
        Variant("bottleneck", bottleneck=True),
        Variant(
            "l1", False, False, l1_penalty, "(1/n) sum |e|", {"paper": 1e-2, "newton": 0.03, "open": 0.03}, "relax"
        ),
        Variant("kl", False, True, kl_penalty, "(1/n) sum KL", {"paper": 1.0, "newton": 0.01, "open": 0.01}, "relax"),
        Variant("pruning", schedule="prune"),
        Variant(  # 0.1 is that of gamd_sr
            "std",
            False,
            False,
            std_penalty,
            "the mean std of all but D components",
            {"paper": 0.1, "newton": 1, "open": 1},
            "relax",
        ),
    )
}
