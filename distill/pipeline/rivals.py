"""Other ways to a law from the same data, which show what the trained network adds: ``symbolic_reg --rivals``.

A rival is one entry of ``RIVALS``, a function of ``Material`` that gives a ``Source``. Its force, where it has one, is
searched, refitted, chosen and judged as that of the messages is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from distill.files.dataset import Dataset
from distill.files.kinds import MessagesRecord, RunConfig
from distill.law import selection
from distill.law.sources import CONTROL, Source
from distill.messages.net_forces import Nodes
from distill.messages.read_out import ReadOut


@dataclass(frozen=True)
class Material:
    """What a rival may use: messages and what they are from. ``read``: what was read from the network's own."""

    config: RunConfig
    dataset: Dataset
    messages: dict
    meta: MessagesRecord
    nodes: Nodes
    read: ReadOut
    seed: int


def control(m: Material) -> Source:
    what = (
        f"the same refit, repair and choice on accelerations from {' and '.join(selection.CONTROL_STARTS)}, without a"
        " network"
    )
    return Source(CONTROL, "accelerations, no network", what, node_terms=m.read.node_terms)


RIVALS: dict[str, Callable[[Material], Source]] = {CONTROL: control}
DEFAULT = (CONTROL,)
