"""The variants: a message head with its penalty and its schedule, an entry of ``VARIANTS`` each.

To add one, add an entry: trainer, stepper, command lines and the network's head read this table. Tensors are used by
their methods alone and torch is not imported, so that a command line can list the variants at once.
"""

from collections.abc import Callable, Mapping
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
    adds_up     whether the penalty is 1/n times a sum over edges: then it, and its gradient, are the sums of those of
                parts of the edges, and networks of a ``target``, trained part by part, can have it
    weights     recipe -> default of that option; ``penalised`` says in words what it multiplies
    schedule    "relax": at ``relax_at`` keep the ``dim`` most important components and drop the penalty;
                "prune": mask components between ``prune_start`` and ``prune_end`` until ``dim`` are left
    network     the kind of its networks (``architectures``)
    own         recipe -> options that its networks have beside those of the recipe, or in their place; a recipe that
                is not named has no such networks (none named: all recipes have)
    in_a_box    recipe -> options in a periodic box, in place of those of the recipe
    without     options of recipes and flags that its networks do not have
    needs       arrays that data have to have for it, and ``why``
    """

    name: str
    bottleneck: bool = False
    gaussian: bool = False
    penalty: Callable | None = None
    penalised: str = ""
    adds_up: bool = field(default=False, kw_only=True)
    weights: dict[str, float] = field(default_factory=dict)
    schedule: str | None = None
    network: str = "messages"
    own: Mapping[str, dict] = field(default_factory=dict)
    in_a_box: Mapping[str, dict] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    why: str = ""

    @property
    def weight(self) -> str:
        """Name of the option that multiplies the penalty."""
        return f"{self.name}_weight"

    def of(self, recipe: str) -> bool:
        """Whether there are such networks by this recipe."""
        return not self.own or recipe in self.own


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


def square_penalty(message, logvar, n: int, graphs: int, dim: int):
    """sum over edges of the square of messages of one component, averaged over the graphs of the batch."""
    return message.square().sum() / graphs


def message_importance(message, logvar=None, **exp):
    """Importance of each component [component] of messages [edge, component]: standard deviation, or mean KL.

    For tensors, or for numpy arrays with ``exp=np.exp`` (and n in place of n - 1 in the standard deviation).
    """
    return message.std(0) if logvar is None else kl_divergence(message, logvar, **exp).mean(0)


# FlatHGN (Cranmer et al. 2020) with its softplus. As published H sees everything everywhere, dq/dt is not trained on,
# and the paper's penalty keeps energies small (its code takes those of nodes, beside rows of a gradient that were to
# be columns). ``newton``: pairs by their distance, motion by its momentum, and both of Hamilton's equations.
_PUBLISHED = dict(activation="softplus", pair_momenta=True, self_position=True, motion_weight=0.0, polish=0)
# It starts without forces: from those that PyTorch's usual weights make, far too large, the first steps run into the
# silence of a gate that is shut, through which next to no gradient comes back (Kob-Andersen, springs that jump)
_OURS = dict(activation="softplus", pair_momenta=False, self_position=False, motion_weight=1.0, epochs=6, polish=200)
_OURS["silent_start"] = True
_ENERGIES = dict(
    network="hamiltonian",
    penalty=square_penalty,
    penalised="sum H_pair^2",
    weights={"paper": 1e-6, "newton": 0.0},
    without=("message_dim", "linear_node", "antisymmetric", "relax_at", "edge_model", "velocities", "wide_masses")
    + ("relative_messages", "additive_node", "clock", "precision"),
    # by inverse cubes of distances, which part the few close pairs from the many far ones
    in_a_box={"newton": {"r_power": -3.0, "silent_start": True, "lr": 0.01, "polish": 60}},
    needs=("vel", "acc"),
    why="momenta are m v, and Hamilton's equations give accelerations of single frames",
)

VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("standard"),
        Variant("bottleneck", bottleneck=True),
        Variant(
            "l1",
            False,
            False,
            l1_penalty,
            "(1/n) sum |e|",
            {"paper": 1e-2, "newton": 0.03, "open": 0.03},
            "relax",
            adds_up=True,
        ),
        Variant(
            "kl",
            False,
            True,
            kl_penalty,
            "(1/n) sum KL",
            {"paper": 1.0, "newton": 0.01, "open": 0.01},
            "relax",
            adds_up=True,
        ),
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
        Variant("hamiltonian", own={"paper": _PUBLISHED, "newton": _OURS}, **_ENERGIES),
        Variant(  # ours: beside H a Rayleigh function, by which energy is lost
            "dissipative",
            own={"paper": _PUBLISHED | {"dissipative": True}, "newton": _OURS | {"dissipative": True}},
            **_ENERGIES,
        ),
    )
}
