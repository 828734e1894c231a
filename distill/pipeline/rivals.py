"""Other ways to a law from the same data, which show what the trained network adds: ``symbolic_reg --rivals``.

A rival is one entry of ``RIVALS``, a function of ``Material`` that gives a ``Source``. Its force, where it has one, is
searched, refitted, chosen and judged as that of the messages is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from distill.files.dataset import Dataset
from distill.files.kinds import MessagesRecord, RunConfig
from distill.law import selection
from distill.law.sources import CONTROL, SPLINES, Source
from distill.messages.net_forces import Nodes
from distill.messages.read_out import ReadOut
from distill.splines.fit import fit_pair_force, kinds_where
from distill.splines.pair_spline import PairSpline


@dataclass(frozen=True)
class Material:
    """What a rival may use: messages and what they are from. ``read``: what was read from the network's own, or the
    splines where there is no network (``config`` and ``meta`` are None then).
    """

    config: RunConfig | None
    dataset: Dataset
    messages: dict
    meta: MessagesRecord | None
    nodes: Nodes
    read: ReadOut | PairSpline
    seed: int


def control(m: Material) -> Source:
    return Source(CONTROL, "accelerations, no network", selection.CONTROL_IS, node_terms=m.read.node_terms)


def of_splines(spline: PairSpline, messages: dict) -> Source:
    """The force of a spline fit as a source; the node terms come with it."""
    about = spline.description()
    if about["dependence"] == "given":
        how = "times products of the properties"
    else:
        how = "times smooth functions of each end's properties"
    what = f"splines in the distance {how}, fitted to the accelerations, without a network"
    force, terms = spline.force(messages), spline.node_terms
    return Source(SPLINES, "splines, no network", what, force, terms, spline.node_values, about["cpu_seconds"])


def splines(m: Material) -> Source:
    kinds = kinds_where(m.meta.doubted, m.messages)
    return of_splines(fit_pair_force(m.messages, m.nodes, m.seed, kinds), m.messages)


RIVALS: dict[str, Callable[[Material], Source]] = {CONTROL: control, SPLINES: splines}
DEFAULT = (CONTROL,)
NO_NETWORK = (CONTROL, SPLINES)  # those that need none
