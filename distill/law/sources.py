"""Where an estimate of the pair force may come from, for a formula to be searched in it.

The trained network's messages are one source; a rival is another, which the same search, refit, choice and verdict
follow (``law.account.finding``). The control has no estimate at all: its refit starts from fixed formulas.
"""

from dataclasses import dataclass, field

import numpy as np

MESSAGES, CONTROL, UNTRAINED, SPLINES = "messages", "control", "untrained", "splines"


@dataclass(frozen=True)
class Source:
    """``force`` [edge, dim]: the estimate of F_ij on the edges of the messages file, None for none.

    ``label``: its name in tables, ``what``: one sentence, both for law.json and the report. ``node_terms``: names of
    the ``physics.terms`` that the receivers need beside it, ``node`` their values where they are known before any
    refit (name -> value of the term). ``cpu_seconds``: that the estimate took.
    """

    name: str
    label: str
    what: str
    force: np.ndarray | None = None
    node_terms: tuple[str, ...] = ()
    node: dict = field(default_factory=dict)
    cpu_seconds: float = 0.0
