"""What a search returns: formulas from simple to complex, and the one to report."""

from dataclasses import dataclass, field

import sympy as sp


@dataclass
class Row:
    """One formula of a front; ``loss`` on all rows, ``held_out`` on rows no fit has seen (None: unknown)."""

    complexity: int
    loss: float
    equation: str
    expr: sp.Expr
    held_out: float | None = None
    parameters: dict[str, list[float]] = field(default_factory=dict)  # of a template: name -> vector

    @property
    def judged(self) -> float:
        """The loss by which the row is chosen: held out where that is known."""
        return self.loss if self.held_out is None else self.held_out


@dataclass
class Front:
    """Rows from simple to complex, each better than all before it, and the one to report."""

    rows: list[Row]
    engine: str
    chosen: int  # index of the row to report
    why: str  # in one sentence
    info: dict = field(default_factory=dict)  # restarts, evaluations, cpu_seconds, best_pysr, noise_floor

    @property
    def expr(self) -> sp.Expr:
        return self.rows[self.chosen].expr
