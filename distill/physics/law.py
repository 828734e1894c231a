"""A composed law: pair forces, and what each particle does with the sum of its forces.

    m_i a_i = sum_j [ f (x_i - x_j)/r + g (v_j - v_i) + ... ] - gamma v_i + F_0 + ...

The terms are those of ``physics.terms``: of a pair the radial force f and, if need be, others, functions of r, of any
properties of both particles (``files.properties``) and of the time; of a node gamma drag, F_0 a constant force and so
on, each a number, a vector or functions. Nothing is assumed of f as i and j are exchanged. Where a particle does not
respond by a_i = S_i/m_i to the net force S_i on the right, the law has a ``response`` (``physics.responses``):
a_i = alpha S_i + beta v_i.
Numpy only; equations are read by ``distill.formulas.tree``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp

from distill.files.kinds import FunctionLaw, LawRecord
from distill.files.properties import USUAL, at, category_of, of_pairs, ordered, variables, with_symbol
from distill.formulas.latex import to_latex
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.formulas.tree import complexity
from distill.physics import terms
from distill.physics.neighbours import close_pairs
from distill.physics.responses import Response
from distill.physics.terms import NODE, PAIR, TERMS, About, Given, Pairs, State
from distill.physics.terms.cases import alike, by_case, coefficients_in
from distill.physics.terms.state import AXES, DISTANCE, TIME
from distill.physics.terms.values import is_constant, is_nothing, is_number, names_in, part_latex, part_text, parts
from distill.shell.errors import UserError

RADIAL = "radial"


@dataclass
class Law:
    """``pair`` is f, the function of the radial term, in ``variables`` and the time ``t``, positive where repulsive;
    ``pairs`` maps further terms of a pair to their functions, ``node`` those of a node to their values
    (``physics.terms``). Pairs further apart than ``cutoff`` do not act on each other. ``properties``: those of a
    particle.
    """

    pair: sp.Expr
    node: dict = field(default_factory=dict)
    chain: bool = False  # neighbours only
    cutoff: float | None = None
    properties: tuple[str, ...] = USUAL
    response: Response | None = None  # to the net force; None: a = S/m
    pairs: dict = field(default_factory=dict)

    def __post_init__(self):
        known = {symbol.name for symbol in self.pair.free_symbols}
        self._used = [name for name in (*self.variables, TIME) if name in known]
        self._radial = compile_numpy(self.pair, self._used)
        if bad := [name for name in self.pairs if name == RADIAL or not TERMS[name].of_pair]:
            raise ValueError(f"{bad[0]!r} is no further term of a pair, expected some of {PAIR[1:]}")

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

    @property
    def pair_functions(self) -> dict:
        """Name of a pair's term -> its function, the radial one first."""
        return {RADIAL: self.pair} | self.pairs

    @property
    def in_time(self) -> bool:
        """Whether a force depends on the time."""
        return any(TIME in names_in(v) for v in (*self.pair_functions.values(), *self.node.values()))

    @property
    def moving_pairs(self) -> bool:
        """Whether pair forces depend on velocities."""
        return any("vel" in TERMS[name].needs for name in self.pairs)

    def acceleration(self, pos, vel, properties, box=None, t=0.0) -> np.ndarray:
        """Accelerations [..., particle, dim]; pos, vel [..., particle, dim], properties name -> [..., particle], the
        time ``t`` a number or [...]. Particles whose position is NaN are not there: they pull nowhere.

        ``box`` [dim]: sides of a periodic box, in which a law with a cutoff acts through the nearest image.
        ``ValueError`` for a box without a cutoff.
        """
        pos, vel = np.asarray(pos, float), np.asarray(vel, float)
        n = pos.shape[-2]
        properties = {k: np.broadcast_to(np.asarray(v, float), pos.shape[:-1]) for k, v in properties.items()}
        t = t if np.ndim(t) == 0 else np.broadcast_to(np.asarray(t, float), pos.shape[:-2])[..., None]
        state = State(vel, properties, pos, t)
        if self.cutoff is not None:
            return self.respond(self._within_cutoff(state, box), state)
        if box is not None:
            raise ValueError("a law in a periodic box needs a cutoff")
        i, j = np.nonzero(
            ~np.eye(n, dtype=bool) if not self.chain else abs(np.subtract.outer(*[np.arange(n)] * 2)) == 1
        )
        dx = pos[..., i, :] - pos[..., j, :]
        r = np.linalg.norm(dx, axis=-1)
        there = np.isfinite(r)  # particles at NaN are not there
        dx, r = np.where(there[..., None], dx, 0.0), np.where(there, r, 1.0)
        dv = vel[..., i, :] - vel[..., j, :] if self.moving_pairs else None
        pair = self.pair_force(Pairs(dx, r, of_pairs(at(properties, i), at(properties, j)), dv, t), there)
        receivers = (i[None, :] == np.arange(n)[:, None]).astype(float)
        return self.respond(receivers @ pair, state)

    def pair_force(self, pairs: Pairs, there=True) -> np.ndarray:
        """Forces on the receivers [..., pair, dim]; none where ``there`` [..., pair] is false."""
        f = self.radial(pairs.r, **pairs.ends, t=pairs.variable(TIME))
        out = pairs.dx * (f / np.where(pairs.r > 0, pairs.r, 1.0))[..., None]
        if not self.pairs:
            return out
        return np.where(np.expand_dims(there, -1), out + terms.pair_force(self.pairs, pairs), 0.0)

    def respond(self, pairs, state: State) -> np.ndarray:
        """Accelerations [..., particle, dim] of particles on which pair forces ``pairs`` act, of that shape."""
        force = pairs + self.node_force(state)
        if self.response is None:
            return force / state.mass[..., None]
        return self.response.acceleration(force, state.vel, state.variables)

    def _within_cutoff(self, state: State, box) -> np.ndarray:
        """Sum of the pair forces on every particle [..., particle, dim], a frame at a time."""
        pos, vel, properties = state.pos, state.vel, state.properties
        out = np.zeros_like(pos)
        for frame in np.ndindex(pos.shape[:-2]):
            there = np.flatnonzero(np.isfinite(pos[frame]).all(1))
            i, j, dx, r = close_pairs(pos[frame][there], box, self.cutoff)
            i, j = there[i], there[j]
            here = {k: v[frame] for k, v in properties.items()}
            dv = vel[frame][i] - vel[frame][j] if self.moving_pairs else None
            t = state.t if np.ndim(state.t) == 0 else state.t[frame]
            both = Pairs(dx, r, of_pairs(at(here, i), at(here, j)), dv, t)
            np.add.at(out[frame], i, self.pair_force(both))
            np.add.at(out[frame], j, self.pair_force(both.swapped))
        return out

    def node_force(self, state: State) -> np.ndarray:
        """The part of m_i a_i that no pair makes [..., particle, dim]."""
        return terms.force(self.node, state)

    def pair_json(self) -> dict:
        return {
            "text": to_text(self.pair),
            "latex": to_latex(self.pair),
            "variables": self._named(self.pair),
            "complexity": complexity(self.pair),
            "convention": "F_i = f (x_i - x_j)/r, f > 0 repels",
        } | self.cases_json()

    @property
    def cases(self) -> dict:
        """f of every pair of levels of categories, ``Case`` -> formula; nothing where it depends on none."""
        return by_case(self.pair, self.properties)

    def cases_json(self) -> dict:
        """The radial force pair of levels by pair of levels, and as coefficients of one function where it is that."""
        if not self.cases:
            return {}
        each = told_by_case(self.cases)
        names = [rf"f_{{\mathrm{{{pair.replace('_', ',')}}}}}" for one in each for pair in one["pairs"]]
        own = [one["latex"] for one in each for _ in one["pairs"]]
        rows = r" \\ ".join(f"{name} &= {f}" for name, f in zip(names, own, strict=True))
        out = {"cases": each, "latex": rf"\begin{{aligned}} {rows} \end{{aligned}}"}
        if (shared := coefficients_in(self.pair)) is None:
            return out
        values, function = shared
        told = {"coefficients": {case.name: value for case, value in values.items()}}
        return out | told | {"function": to_text(function), "function_latex": to_latex(function)}

    def _cases_words(self) -> list[str]:
        """What f is for every pair of levels, a phrase each."""
        return case_words(self.cases_json()) if self.cases else []

    def _named(self, function) -> list[str]:
        return [*self.variables, *(name for name in (DISTANCE, TIME) if name in names_in(function))]

    def pairs_json(self) -> dict:
        """Of the further terms of a pair, by name, what ``pair_json`` says of the radial one."""
        return {
            name: {
                "text": to_text(parts(function)[0]),
                "latex": to_latex(parts(function)[0]),
                "variables": self._named(function),
                "complexity": complexity(parts(function)[0]),
                "convention": TERMS[name].convention(function),
                "centre": list(map(float, function.centre)) if isinstance(function, About) else None,
            }
            for name, function in self.pairs.items()
        }

    def equation(self) -> dict:
        """The law as one vector equation, term by term: ``text`` and ``latex``; without the ``response``."""
        told = self.pair_functions | ({RADIAL: sp.Symbol("f")} if self.cases else {})
        pair = [(TERMS[name], f) for name, f in told.items() if not is_nothing(f)] or [(TERMS[RADIAL], self.pair)]
        text = f"sum_j [{' + '.join(term.text(function) for term, function in pair)}]"
        latex = rf"\sum_j \left[{' + '.join(term.latex(function) for term, function in pair)}\right]"
        text = " ".join([text, *(TERMS[k].text(v) for k, v in self.node.items())])
        latex = " ".join([latex, *(TERMS[k].latex(v) for k, v in self.node.items())])
        where = dict.fromkeys(
            [*(word for term, f in pair for word in term.letters(f)), *self._where(), *self._cases_words()]
        )
        return {"text": ", ".join([f"m_i a_i = {text}", *where]), "latex": rf"m_i \mathbf{{a}}_i = {latex}"}

    def _where(self) -> list[str]:
        return [word for name, value in self.node.items() for word in TERMS[name].where(value)]

    def node_json(self, dim: int) -> dict:
        """The node law as text, LaTeX and numbers; ``dim`` is the number of space dimensions."""
        words = [TERMS[k].text(v) for k, v in self.node.items()]
        text = " ".join(["sum_j F_ij", *words])
        latex = " ".join([r"\sum_j \mathbf{F}_{ij}", *(TERMS[k].latex(v) for k, v in self.node.items())])
        if self.response is None:
            whole = {
                "text": ", ".join([f"a_i = ({text})/m_i", *self._where()]),
                "latex": rf"\mathbf{{a}}_i = \frac{{1}}{{m_i}}\left({latex}\right)",
            }
        else:
            net = rf",\quad \mathbf{{S}}_i = {latex}"
            whole = {
                "text": f"a_i = {self.response.text}, S = {text}, s = |S|, v = |v_i|, sv = S.v_i",
                "latex": rf"\mathbf{{a}}_i = {self.response.latex}{net}",
                "response": self.response.account(),
            }
        constants = {k: v for k, v in self.node.items() if is_constant(v)}
        functions = {k: _function_json(v) for k, v in self.node.items() if k not in constants}
        return whole | {"terms": constants, "functions": functions, "dim": dim}


def told_by_case(cases: Mapping) -> list[dict]:
    """``text`` and ``latex`` of the functions of ``cases``, once for those alike, with the names of ``pairs``."""
    return [
        {"pairs": [case.name for case in some], "text": to_text(f), "latex": to_latex(f)} for some, f in alike(cases)
    ]


def case_words(pair: Mapping, shorter: Callable = str, letter: str = "f") -> list[str]:
    """``f_AA = ..``, ``f_AB = f_BA = ..``, or ``f = c g``, ``g = ..``, ``c_AA = ..``, from what ``pair_json`` says of a
    law with cases; ``shorter``: what is done to each formula, ``letter``: what the function is called.
    """
    if not pair.get("coefficients"):
        return [
            f"{' = '.join(f'{letter}_{p}' for p in one['pairs'])} = {shorter(one['text'])}" for one in pair["cases"]
        ]
    values: dict[float, list[str]] = {}
    for name, value in pair["coefficients"].items():
        values.setdefault(value, []).append(f"c_{name}")
    told = [f"{' = '.join(names)} = {value:.6g}" for value, names in values.items()]
    return ["f = c g", f"g = {shorter(pair['function'])}", *told]


def words_by_case(formula: str, known: Sequence[str], letter: str) -> list[str]:
    """What ``formula`` in the variables ``known`` is for every pair of levels; nothing where it depends on none."""
    cases = by_case(parse(formula, known), sorted({name[:-2] for name in known if category_of(name)}))
    return case_words({"cases": told_by_case(cases)}, letter=letter) if cases else []


def _function_json(value) -> dict:
    """A value of a node's term that is made of functions."""
    return {
        "text": [repr(float(part)) if is_number(part) else part_text(part) for part in parts(value)],
        "latex": [part_latex(part) for part in parts(value)],
        "variables": list(names_in(value)),
        "centre": list(map(float, value.centre)) if isinstance(value, About) else None,
    }


def _value_of(name: str, function: FunctionLaw, properties):
    """The value that ``_function_json`` wrote."""
    known = TERMS[name].variables(properties, len(AXES))
    read = tuple(parse(text, known) for text in function.text)
    if function.centre is not None:
        return About(tuple(function.centre), read[0])
    return read if len(read) > 1 else read[0]


def law_of_system(system, dim: int) -> Law | None:
    """The law that ``system`` (``physics.system.System``) is simulated by, in ``dim`` dimensions: None where a force of
    it is no formula, or a term acts twice.
    """
    values = {acting.term: acting.read(system.properties) for acting in system.terms}
    functions = [part for value in values.values() for part in parts(value)]
    whole = len(values) == len(system.terms) and not any(part is None or isinstance(part, Given) for part in functions)
    if system.formula is None or not whole:
        return None
    pairs = {name: value for name, value in values.items() if TERMS[name].of_pair}
    node = {name: _cut(name, value, dim) for name, value in values.items() if name not in pairs}
    cutoff = system.cutoff if np.isfinite(system.cutoff) else None
    return Law(
        system.formula, node, system.neighbours_only, cutoff, system.properties, system.response, _formulas(pairs)
    )


def _cut(name, value, dim):
    """A value with as many components as there are in ``dim`` dimensions."""
    width = TERMS[name].width(dim)
    if isinstance(value, About):
        return About((*value.centre, *[0.0] * dim)[:dim], value.strength)
    if TERMS[name].by_axis:
        cut = (*parts(value), *[0.0] * width)[:width]
        return np.array(cut, float) if is_constant(cut) else cut
    return value


def _formulas(functions: dict) -> dict:
    return {name: sp.Float(value) if is_number(value) else value for name, value in functions.items()}


def _function_of(name: str, found, known) -> sp.Expr | About:
    """Of a further term of a pair, from what ``pairs_json`` says of it (a ``PairLaw``)."""
    if not TERMS[name].displaced:
        return parse(found.text, known)
    if not found.centre:
        raise UserError(f"law.json has no 'centre' of the term '{name}'", "it is not one of ours: search the law again")
    return About(tuple(map(float, found.centre)), parse(found.text, (DISTANCE, *known)))


def law_of(record: LawRecord) -> Law:
    """The law of a ``law.json``; raises ``UserError`` if there is a term that it cannot have."""
    node = {k: np.asarray(v, float) if isinstance(v, list) else float(v) for k, v in record.node.terms.items()}
    for what, found, expected in (
        ("node terms", {*node, *record.node.functions}, NODE),
        ("terms of a pair", set(record.pairs), PAIR[1:]),
    ):
        if unknown := found - set(expected):
            raise UserError(f"law.json has unknown {what} {sorted(unknown)}, expected some of {expected}")
    properties = ordered(with_symbol(name[:-2]).name for name in record.pair.variables if name[-2:] in ("_i", "_j"))
    known = (*variables(properties), TIME)
    pair, response = parse(record.pair.text, known), None
    pairs = {name: _function_of(name, further, known) for name, further in record.pairs.items()}
    node |= {name: _value_of(name, function, properties) for name, function in record.node.functions.items()}
    if record.node.response is not None:
        known = ordered({*USUAL, *(with_symbol(n[:-2]).name for n in record.node.response.variables if n[-2:] == "_i")})
        response = Response(
            record.node.response.name, record.node.response.alpha, record.node.response.beta, properties=known
        )
    return Law(pair, node, record.chain, record.cutoff, properties, response, pairs)
