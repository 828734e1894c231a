"""A composed law: a radial pair force and what each particle does with the sum of its forces.

    m_i a_i = sum_j f(r, m_i, m_j, q_i, q_j) (x_i - x_j)/r - gamma v_i + F_0 + m_i (g - kappa v_i)

The node part is the linear read-out of a receiver: gamma drag, F_0 a constant force, g a constant
acceleration, kappa a drag per mass; f may depend on any properties of the particles (``files.properties``), and the
terms are those of ``physics.terms``. Where a particle does not respond by a_i = S_i/m_i to the net force S_i on the
right, the law has a ``response`` (``physics.responses``): a_i = alpha S_i + beta v_i.
Numpy only; equations are read by ``distill.formulas.tree``.
"""

from dataclasses import dataclass, field

import numpy as np
import sympy as sp

from distill.files.kinds import LawRecord
from distill.files.properties import USUAL, at, of_pairs, ordered, variables, with_symbol
from distill.formulas.latex import to_latex
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.formulas.tree import complexity
from distill.physics import terms
from distill.physics.neighbours import close_pairs
from distill.physics.responses import Response
from distill.physics.terms import TERMS, State
from distill.shell.errors import UserError

AXES = "xyz"


@dataclass
class Law:
    """``pair`` is f in ``variables``, positive where repulsive; ``node`` maps some of ``terms.TERMS`` to their values.
    Pairs further apart than ``cutoff`` do not act on each other. ``properties``: those of a particle.
    """

    pair: sp.Expr
    node: dict = field(default_factory=dict)
    chain: bool = False  # neighbours only
    cutoff: float | None = None
    properties: tuple[str, ...] = USUAL
    response: Response | None = None  # to the net force; None: a = S/m

    def __post_init__(self):
        known = {symbol.name for symbol in self.pair.free_symbols}
        self._used = [name for name in self.variables if name in known]
        self._radial = compile_numpy(self.pair, self._used)

    @property
    def variables(self) -> tuple[str, ...]:
        return variables(self.properties)

    def radial(self, r, **ends) -> np.ndarray:
        """f of every edge, arrays of one shape; ``ends``: the other ``variables``, or more.

        Non-finite values of a bad law are returned as they are.
        """
        with np.errstate(all="ignore"):
            values = self._radial(*((ends | {"r": r})[name] for name in self._used))
            return np.asarray(values, dtype=float) + np.zeros(np.shape(r))

    def acceleration(self, pos, vel, properties, box=None) -> np.ndarray:
        """Accelerations [..., particle, dim]; pos, vel [..., particle, dim], properties name -> [..., particle].
        Particles whose position is NaN are not there: they pull nowhere.

        ``box`` [dim]: sides of a periodic box, in which a law with a cutoff acts through the nearest image.
        ``ValueError`` for a box without a cutoff.
        """
        pos, vel = np.asarray(pos, float), np.asarray(vel, float)
        n = pos.shape[-2]
        properties = {k: np.broadcast_to(np.asarray(v, float), pos.shape[:-1]) for k, v in properties.items()}
        state = State(vel, properties)
        if self.cutoff is not None:
            return self.respond(self._within_cutoff(pos, properties, box), state)
        if box is not None:
            raise ValueError("a law in a periodic box needs a cutoff")
        i, j = np.nonzero(
            ~np.eye(n, dtype=bool) if not self.chain else abs(np.subtract.outer(*[np.arange(n)] * 2)) == 1
        )
        dx = pos[..., i, :] - pos[..., j, :]
        r = np.linalg.norm(dx, axis=-1)
        there = np.isfinite(r)  # particles at NaN are not there
        dx, r = np.where(there[..., None], dx, 0.0), np.where(there, r, 1.0)
        f = self.radial(r, **of_pairs(at(properties, i), at(properties, j)))
        pair = dx * (f / np.where(r > 0, r, 1.0))[..., None]
        receivers = (i[None, :] == np.arange(n)[:, None]).astype(float)
        return self.respond(receivers @ pair, state)

    def respond(self, pairs, state: State) -> np.ndarray:
        """Accelerations [..., particle, dim] of particles on which pair forces ``pairs`` act, of that shape."""
        force = pairs + self.node_force(state)
        if self.response is None:
            return force / state.mass[..., None]
        return self.response.acceleration(force, state.vel, state.variables)

    def _within_cutoff(self, pos, properties, box) -> np.ndarray:
        """Sum of the pair forces on every particle [..., particle, dim], a frame at a time."""
        out = np.zeros_like(pos)
        for frame in np.ndindex(pos.shape[:-2]):
            there = np.flatnonzero(np.isfinite(pos[frame]).all(1))
            i, j, dx, r = close_pairs(pos[frame][there], box, self.cutoff)
            i, j = there[i], there[j]
            here = {k: v[frame] for k, v in properties.items()}
            for one, other, sign in ((i, j, 1.0), (j, i, -1.0)):
                f = self.radial(r, **of_pairs(at(here, one), at(here, other)))
                np.add.at(out[frame], one, sign * dx * (f / np.where(r > 0, r, 1.0))[:, None])
        return out

    def node_force(self, state: State) -> np.ndarray:
        """The part of m_i a_i that no pair makes [..., particle, dim]."""
        return terms.force(self.node, state)

    def pair_json(self) -> dict:
        return {
            "text": to_text(self.pair),
            "latex": to_latex(self.pair),
            "variables": list(self.variables),
            "complexity": complexity(self.pair),
            "convention": "F_i = f (x_i - x_j)/r, f > 0 repels",
        }

    def node_json(self, dim: int) -> dict:
        """The node law as text, LaTeX and numbers; ``dim`` is the number of space dimensions."""
        words = [TERMS[k].text(v) for k, v in self.node.items()]
        text = " ".join(["sum_j F_ij", *words])
        latex = " ".join([r"\sum_j \mathbf{F}_{ij}", *(TERMS[k].latex(v) for k, v in self.node.items())])
        if self.response is None:
            whole = {
                "text": f"a_i = ({text})/m_i",
                "latex": rf"\mathbf{{a}}_i = \frac{{1}}{{m_i}}\left({latex}\right)",
            }
        else:
            net = rf",\quad \mathbf{{S}}_i = {latex}"
            whole = {
                "text": f"a_i = {self.response.text}, S = {text}, s = |S|, v = |v_i|, sv = S.v_i",
                "latex": rf"\mathbf{{a}}_i = {self.response.latex}{net}",
                "response": self.response.account(),
            }
        return whole | {"terms": self.node, "dim": dim}


def law_of(record: LawRecord) -> Law:
    """The law of a ``law.json``; raises ``UserError`` if there is a term that it cannot have."""
    node = {k: np.asarray(v, float) if isinstance(v, list) else float(v) for k, v in record.node.terms.items()}
    if unknown := set(node) - set(TERMS):
        raise UserError(f"law.json has unknown node terms {sorted(unknown)}, expected some of {tuple(TERMS)}")
    properties = ordered(with_symbol(name[:-2]).name for name in record.pair.variables if name != "r")
    pair, response = parse(record.pair.text, variables(properties)), None
    if record.node.response is not None:
        known = ordered({*USUAL, *(with_symbol(n[:-2]).name for n in record.node.response.variables if n[-2:] == "_i")})
        response = Response(
            record.node.response.name, record.node.response.alpha, record.node.response.beta, properties=known
        )
    return Law(pair, node, record.chain, record.cutoff, properties, response)
