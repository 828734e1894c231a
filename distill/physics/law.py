"""A composed law: a radial pair force and what each particle does with the sum of its forces.

    m_i a_i = sum_j f(r, m_i, m_j, q_i, q_j) (x_i - x_j)/r - gamma v_i + F_0 + m_i (g - kappa v_i)

The node part is the linear read-out of a receiver: gamma drag, F_0 a constant force, g a constant
acceleration, kappa a drag per mass. Numpy only; equations are read by ``distill.formulas.tree``.
"""

from dataclasses import dataclass, field

import numpy as np
import sympy as sp

from distill.formulas.latex import number_latex, to_latex
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.formulas.tree import complexity
from distill.physics.neighbours import close_pairs
from distill.shell.errors import UserError

VARIABLES = ("r", "m_i", "m_j", "q_i", "q_j")
NODE_TERMS = ("drag", "drag_per_mass", "constant_force", "constant_acceleration")
AXES = "xyz"


@dataclass
class Law:
    """``pair`` is f in ``VARIABLES``, positive where repulsive; ``node`` maps some of ``NODE_TERMS`` to
    a number (drags) or a vector [dim] (fields). Pairs further apart than ``cutoff`` do not act on each other."""

    pair: sp.Expr
    node: dict = field(default_factory=dict)
    chain: bool = False  # neighbours only
    cutoff: float | None = None

    def __post_init__(self):
        self._radial = compile_numpy(self.pair, VARIABLES)

    def radial(self, r, m_i, m_j, q_i, q_j) -> np.ndarray:
        """f of every edge, arrays of one shape; non-finite values of a bad law are returned as they are."""
        with np.errstate(all="ignore"):
            return np.asarray(self._radial(r, m_i, m_j, q_i, q_j), dtype=float) + np.zeros(np.shape(r))

    def acceleration(self, pos, vel, mass, charge, box=None) -> np.ndarray:
        """Accelerations [..., particle, dim]; pos, vel [..., particle, dim], mass, charge [..., particle].

        ``box`` [dim]: sides of a periodic box, in which a law with a cutoff acts through the nearest image.
        ``ValueError`` for a box without a cutoff.
        """
        pos, vel = np.asarray(pos, float), np.asarray(vel, float)
        n = pos.shape[-2]
        mass, charge = (np.broadcast_to(np.asarray(a, float), pos.shape[:-1]) for a in (mass, charge))
        if self.cutoff is not None:
            pair = self._within_cutoff(pos, mass, charge, box)
            return (pair + self.node_force(vel, mass)) / mass[..., None]
        if box is not None:
            raise ValueError("a law in a periodic box needs a cutoff")
        i, j = np.nonzero(
            ~np.eye(n, dtype=bool) if not self.chain else abs(np.subtract.outer(*[np.arange(n)] * 2)) == 1
        )
        dx = pos[..., i, :] - pos[..., j, :]
        r = np.linalg.norm(dx, axis=-1)
        f = self.radial(r, mass[..., i], mass[..., j], charge[..., i], charge[..., j])
        pair = dx * (f / np.where(r > 0, r, 1.0))[..., None]
        receivers = (i[None, :] == np.arange(n)[:, None]).astype(float)
        return (receivers @ pair + self.node_force(vel, mass)) / mass[..., None]

    def _within_cutoff(self, pos, mass, charge, box) -> np.ndarray:
        """Sum of the pair forces on every particle [..., particle, dim], a frame at a time."""
        out = np.zeros_like(pos)
        for at in np.ndindex(pos.shape[:-2]):
            i, j, dx, r = close_pairs(pos[at], box, self.cutoff)
            for one, other, sign in ((i, j, 1.0), (j, i, -1.0)):
                f = self.radial(r, mass[at][one], mass[at][other], charge[at][one], charge[at][other])
                np.add.at(out[at], one, sign * dx * (f / np.where(r > 0, r, 1.0))[:, None])
        return out

    def node_force(self, vel, mass) -> np.ndarray:
        """The part of m_i a_i that no pair makes [..., particle, dim]."""
        out = np.zeros_like(vel)
        for name, value in self.node.items():
            out = out + np.asarray(value) * node_term(name, vel, mass)
        return out

    def pair_json(self) -> dict:
        return {
            "text": to_text(self.pair),
            "latex": to_latex(self.pair),
            "variables": list(VARIABLES),
            "complexity": complexity(self.pair),
            "convention": "F_i = f (x_i - x_j)/r, f > 0 repels",
        }

    def node_json(self, dim: int) -> dict:
        """The node law as text, LaTeX and numbers; ``dim`` is the number of space dimensions."""
        text, latex = ["sum_j F_ij"], [r"\sum_j \mathbf{F}_{ij}"]
        for name, value in self.node.items():
            mass = "m_i " if name in ("drag_per_mass", "constant_acceleration") else ""
            if name.startswith("drag"):
                sign = "-" if value >= 0 else "+"
                text.append(f"{sign} {abs(value):.6g} {mass}v_i")
                latex.append(rf"{sign} {number_latex(abs(value))}\,{mass}\mathbf{{v}}_i")
            else:
                value = np.where(np.abs(value) < 1e-9 * np.abs(value).max(), 0.0, value)  # rounding
                text.append(f"+ {mass}({', '.join(f'{v:.6g}' for v in value)})")
                shown = r",\,".join(number_latex(float(v)) for v in value)
                latex.append(rf"+ {mass}\left({shown}\right)")
        return {
            "text": f"a_i = ({' '.join(text)})/m_i",
            "terms": self.node,
            "dim": dim,
            "latex": rf"\mathbf{{a}}_i = \frac{{1}}{{m_i}}\left({' '.join(latex)}\right)",
        }


def node_term(name: str, vel, mass) -> np.ndarray:
    """What multiplies a node term in m_i a_i: [..., particle, dim] or broadcastable to it."""
    m = np.asarray(mass, float)[..., None]
    return {
        "drag": -np.asarray(vel, float),
        "drag_per_mass": -m * vel,
        "constant_force": np.ones_like(m),
        "constant_acceleration": m,
    }[name]


def law_from_json(content: dict, where: str) -> Law:
    """The law of a ``law.json``; raises ``UserError`` if it does not describe one."""
    try:
        terms = content["node"]["terms"]
        node = {k: np.asarray(terms[k], float) if isinstance(terms[k], list) else float(terms[k]) for k in terms}
        if unknown := set(node) - set(NODE_TERMS):
            raise UserError(f"{where}: unknown node terms {sorted(unknown)}, expected some of {NODE_TERMS}")
        cutoff = content.get("cutoff")
        pair = parse(content["pair"]["text"], VARIABLES)
        return Law(pair, node, bool(content.get("chain", False)), None if cutoff is None else float(cutoff))
    except (KeyError, TypeError, ValueError) as exc:
        raise UserError(
            f"{where} does not describe a law ({type(exc).__name__}: {exc})",
            "run this first:  python symbolic_reg.py --run <run>",
        ) from None
