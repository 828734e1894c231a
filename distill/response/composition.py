"""A pair law behind a response, fitted end to end: a_i = alpha S_i + beta v_i with S_i = sum_j f (x_i - x_j)/r.

alpha and beta are functions of s = |S|, v = |v|, sv = S . v and the receiver's properties (``physics.responses``), f of
r and the properties of both ends. The scale of f is free: f -> c f goes with alpha(S) -> alpha(S/c)/c, so f has the
leading coefficient 1. A factor h(p_i) could move between f and the response too, but then F_ij is not -F_ji: the third
law, which the network was built with, fixes it.

The map from f to the accelerations is not linear, that from alpha or beta is; and once alpha and beta are known they
can be turned round: the net force that a measured acceleration asks for is linear in f again. So repairs of f, alpha
and beta each work on a linear ``Objective``, and all constants are fitted together afterwards.
"""

from dataclasses import dataclass, field

import numpy as np
import sympy as sp
from scipy.optimize import least_squares

from distill.formulas.fit import BAD, full, value_of
from distill.formulas.objective import MAX_CONSTANTS, Objective
from distill.formulas.program import Fixed, Program
from distill.formulas.text import symbols_for, to_text
from distill.formulas.tree import canonical, complexity, parametrise, rebuild, with_constants, with_scales
from distill.law.receivers import Receivers
from distill.physics.law import Law
from distill.physics.responses import Response
from distill.search.shared import leading_one
from distill.statistics.metrics import typical_size

F_SCALE = 0.01  # of the soft l1 loss, as in the fit of a law with Newton's response
WORST = 10.0  # relative error that a receiver can count for
NEWTON_STEPS = 30  # to turn a response round
S, SV = symbols_for(("s", "sv"))


@dataclass(frozen=True)
class Composition:
    """``pair``: f; ``alpha``, ``beta``: the response."""

    pair: sp.Expr
    alpha: sp.Expr
    beta: sp.Expr = sp.S.Zero

    @property
    def complexity(self) -> int:
        return sum(complexity(part) for part in self.parts if part != 0)

    @property
    def parts(self) -> tuple:
        return self.pair, self.alpha, self.beta

    def normalised(self, unit_charges: bool = False) -> "Composition":
        """The same law with the leading coefficient of f 1, the rest in the response."""
        pair = canonical(self.pair, unit_charges)
        factor, pair = leading_one(pair)
        if factor < 0:  # attraction stays attraction
            factor, pair = -factor, -pair
        pair = canonical(pair, unit_charges)
        if factor != 1:
            scaled = {S: sp.Float(factor) * S, SV: sp.Float(factor) * SV}
            alpha, beta = sp.Float(factor) * self.alpha.xreplace(scaled), self.beta.xreplace(scaled)
        else:
            alpha, beta = self.alpha, self.beta
        return Composition(pair, *(canonical(_roots_of_one(part), unit_charges) for part in (alpha, beta)))

    def law(self, properties, chain: bool = False) -> Law:
        beta = "0" if self.beta == 0 else to_text(self.beta)
        response = Response("found", to_text(self.alpha), beta, "found from the network", properties=tuple(properties))
        return Law(self.pair, {}, chain, properties=tuple(properties), response=response)


def _roots_of_one(expr: sp.Expr) -> sp.Expr:
    """``expr`` with sqrt(a + b z) as sqrt(a) sqrt(1 + (b/a) z): a factor before it and one inside are one constant."""

    def change(e):
        if e.is_Pow and e.base.is_Add and e.exp.is_Rational and not e.exp.is_Integer:
            number, rest = e.base.as_coeff_Add()
            if number.is_Float and number > 0:
                return (
                    sp.Float(float(number) ** float(e.exp))
                    * (1 + sp.Add(*[t / number for t in sp.Add.make_args(rest)])) ** e.exp
                )
        return e

    return rebuild(expr, change)


@dataclass
class Candidate:
    """A composition with the errors of each held-out receiver."""

    form: Composition
    errors: np.ndarray
    error: float = field(init=False)
    complexity: int = field(init=False)

    def __post_init__(self):
        self.error, self.complexity = float(np.mean(self.errors)), self.form.complexity


class Bench:
    """Receivers that compositions are evaluated on and fitted to; errors are relative, (a_law - a)/(c + |a|), c the
    median |a|.
    """

    def __init__(self, data: Receivers, unit_charges: bool = False):
        self.data, self.unit_charges = data, unit_charges
        self.dim = data.acc.shape[1]
        size = np.linalg.norm(data.acc, axis=1)
        self.weights = 1 / (typical_size(size) + size)  # [receiver]
        self.own = {"v": np.linalg.norm(data.state.vel, axis=1)} | data.state.variables
        self.pair_names, self.own_names = list(data.features), list(self.own)
        self.tiny = 2e-7 * float(np.mean(np.abs(self.weights[:, None] * data.acc)))

    # ------------------------------------------------------------ values

    def net(self, values: np.ndarray) -> np.ndarray:
        """Sum over the senders of ``values`` [edge] along the line of centres: [receiver, dim]."""
        return np.add.reduceat(values[:, None] * self.data.unit, self.data.start, axis=0)

    def scalars(self, net: np.ndarray) -> dict:
        return {"s": np.linalg.norm(net, axis=1), "sv": (net * self.data.state.vel).sum(1)} | self.own

    def value(self, expr: sp.Expr, columns: dict) -> np.ndarray:
        """``expr`` [row] at the ``columns`` (name -> [row]); NaN where it cannot be evaluated."""
        return value_of(expr, columns, len(next(iter(columns.values()))))

    def net_of(self, form: Composition) -> np.ndarray:
        return self.net(self.value(form.pair, self.data.features))

    def response(self, form: Composition, net: np.ndarray) -> np.ndarray:
        """Accelerations [receiver, dim] under the net forces ``net``."""
        columns = self.scalars(net)
        alpha, beta = (self.value(part, columns)[:, None] for part in (form.alpha, form.beta))
        with np.errstate(all="ignore"):
            return alpha * net + beta * self.data.state.vel

    def errors(self, form: Composition) -> np.ndarray:
        """Mean over the components of the relative error [receiver], at most ``WORST``: so much where it is not finite,
        as of a root at the fastest particle while its constants are still a little off.
        """
        with np.errstate(all="ignore"):
            missed = np.abs(self.response(form, self.net_of(form)) - self.data.acc).mean(1) * self.weights
        return np.where(np.isfinite(missed), np.minimum(missed, WORST), WORST)

    def score(self, form: Composition) -> float:
        return float(np.mean(self.errors(form)))

    # ------------------------------------------------------------ all constants together

    def fit(self, form: Composition, max_nfev: int = 40, least: float = 1e-3) -> Composition:
        """``form`` with all its constants fitted; as it was where that is no better. ``least``: what a constant is
        taken to be at least where the steps of the fit are measured; 0 for constants that are known nearly.
        """
        form = form.normalised(self.unit_charges)
        parts = [parametrise(form.pair), parametrise(with_scales(form.alpha))]
        parts.append(parametrise(form.beta if form.beta == 0 else with_scales(form.beta)))
        solved = self._solve(parts, max_nfev, least)
        if solved is None:
            return form
        ends = np.cumsum([len(p[2]) for p in parts])[:-1]
        fitted = [with_constants(p[0], p[1], v) for p, v in zip(parts, np.split(solved, ends), strict=True)]
        new = Composition(*fitted).normalised(self.unit_charges)
        return new if self.score(new) <= self.score(form) else form

    def constants(self, form: Composition, max_nfev: int) -> np.ndarray | None:
        """The constants of the three formulas, as ``parametrise`` orders those of ``form``, fitted; None where no fit
        is.
        """
        return self._solve([parametrise(part) for part in form.parts], max_nfev, 0.0)

    def _solve(self, parts, max_nfev, least) -> np.ndarray | None:
        """The best constants of the three formulas, in the order of ``parts``, or None."""
        counts = [len(p[2]) for p in parts]
        if not 0 < sum(counts) <= MAX_CONSTANTS:
            return None
        ends = np.cumsum([0, *counts])
        names = [[sp.Symbol(f"#{w}_{k}", real=True) for k in range(c)] for w, c in enumerate(counts)]
        exprs = [p[0].xreplace(dict(zip(p[1], own, strict=True))) for p, own in zip(parts, names, strict=True)]
        pair_symbols, own_symbols = symbols_for(self.pair_names), symbols_for(self.own_names)
        try:
            pair = Fixed(Program(exprs[0], [*pair_symbols, *names[0]]), list(self.data.features.values()))
            inputs = list(self.own.values())
            both = [
                Fixed(Program(e, [*own_symbols, S, SV, *own]), inputs)
                for e, own in zip(exprs[1:], names[1:], strict=True)
            ]
        except (ValueError, TypeError, OverflowError):
            return None
        edges, rows = len(self.data.unit), len(self.data.acc)
        vel, acc, weights = self.data.state.vel, self.data.acc, self.weights[:, None]
        last: dict = {}

        def evaluate(p):
            if last.get("at") is not None and np.array_equal(last["at"], p):
                return
            slots = pair.values(p[: ends[1]].tolist())
            net = self.net(full(slots[pair.program.output], edges))
            s, sv = np.linalg.norm(net, axis=1), (net * vel).sum(1)
            own = [b.values([s, sv, *p[ends[k + 1] : ends[k + 2]].tolist()]) for k, b in enumerate(both)]
            alpha, beta = (full(o[b.program.output], rows) for o, b in zip(own, both, strict=True))
            last.update(at=p.copy(), slots=slots, net=net, s=s, own=own, alpha=alpha, beta=beta)

        def residual(p):
            evaluate(p)
            r = (last["alpha"][:, None] * last["net"] + last["beta"][:, None] * vel - acc) * weights
            return np.where(np.isfinite(r), r, BAD).ravel()

        def jacobian(p):
            evaluate(p)
            J = np.zeros((rows, self.dim, len(p)))
            net, unit = last["net"], last["net"] / np.maximum(last["s"], 1e-300)[:, None]
            grads = [
                [full(0.0 if g is None else g, rows) for g in b.gradients(o)]
                for b, o in zip(both, last["own"], strict=True)
            ]
            turn = self._turn(last["alpha"], net, unit, grads)
            for k, g in enumerate(pair.gradients(last["slots"])):
                if g is not None:
                    J[:, :, k] = np.einsum("rab,rb->ra", turn, self.net(full(g, edges)))
            for vector, own, at in ((net, grads[0], ends[1]), (vel, grads[1], ends[2])):
                for k, g in enumerate(own[2:]):
                    J[:, :, at + k] = g[:, None] * vector
            J = J * weights[:, :, None]
            return np.where(np.isfinite(J), J, 0.0).reshape(-1, len(p))

        start = np.concatenate([p[2] for p in parts])
        if not np.isfinite(start).all():
            return None
        scale = np.where(start == 0, 1.0, np.maximum(np.abs(start), least))
        with np.errstate(all="ignore"):
            try:
                found = least_squares(
                    residual, start, jacobian, loss="soft_l1", f_scale=F_SCALE, max_nfev=max_nfev,
                    x_scale=scale, ftol=1e-12, xtol=1e-10, gtol=1e-14,
                )  # fmt: skip
            except (ValueError, np.linalg.LinAlgError):
                return None
        return found.x if np.isfinite(found.x).all() else None

    def _turn(self, alpha, net, unit, grads) -> np.ndarray:
        """d a / d S [receiver, dim, dim]; ``grads``: of alpha and beta, by s, sv first."""
        vel = self.data.state.vel
        along = [g[0][:, None] * unit + g[1][:, None] * vel for g in grads]
        out = alpha[:, None, None] * np.eye(self.dim)
        return out + net[:, :, None] * along[0][:, None, :] + vel[:, :, None] * along[1][:, None, :]

    def slope(self, form: Composition, net: np.ndarray) -> np.ndarray:
        """d a / d S [receiver, dim, dim] at the net forces ``net``."""
        columns = self.scalars(net)
        symbols, grads = symbols_for(columns), []
        for part in (form.alpha, form.beta):
            program = Program(part, symbols)
            fixed = Fixed(program, [])
            slots = fixed.values(list(columns.values()))
            given = dict(zip(columns, fixed.gradients(slots), strict=True))
            grads.append([full(0.0 if given[k] is None else given[k], len(net)) for k in ("s", "sv")])
        unit = net / np.maximum(columns["s"], 1e-300)[:, None]
        return self._turn(self.value(form.alpha, columns), net, unit, grads)

    # ------------------------------------------------------------ one part at a time, linear

    def asked_for(self, form: Composition) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(net force [receiver, dim] that the accelerations ask for, slope there, whether it was found [receiver])."""
        net, acc = self.net_of(form), self.data.acc
        with np.errstate(all="ignore"):
            for _ in range(NEWTON_STEPS):
                missed = acc - self.response(form, net)
                slope = self.slope(form, net)
                good = np.isfinite(slope).all((1, 2)) & np.isfinite(missed).all(1)
                good &= np.abs(np.linalg.det(np.where(good[:, None, None], slope, 1.0 * np.eye(self.dim)))) > 1e-300
                step = np.zeros_like(net)
                step[good] = np.linalg.solve(slope[good], missed[good][..., None])[..., 0]
                # no further than a few times the force itself: the slope says nothing there
                size, most = np.linalg.norm(step, axis=1), 2 * np.linalg.norm(net, axis=1) + 1e-12
                net = net + step * np.minimum(1.0, most / np.maximum(size, 1e-300))[:, None]
            missed = np.linalg.norm(acc - self.response(form, net), axis=1) * self.weights
            slope = self.slope(form, net)
        found = (missed < 1e-6) & np.isfinite(slope).all((1, 2)) & np.isfinite(net).all(1)
        return net, slope, found

    def pair_objective(self, form: Composition, inputs) -> Objective | None:
        """Fit of f to the net forces that the accelerations ask for; None where the response cannot be turned round.
        ``inputs``: the variables that f may have.
        """
        net, slope, found = self.asked_for(form)
        if found.sum() < 50:
            return None
        data = self.data.subset(found)
        slope, weights = slope[found], np.repeat(self.weights[found], self.dim)

        def apply(values):
            columns = values.reshape(len(values), -1)
            summed = np.add.reduceat(columns[:, None, :] * data.unit[:, :, None], data.start, axis=0)
            turned = np.einsum("rab,rbk->rak", slope, summed)
            return turned.reshape(-1, columns.shape[1]).reshape(-1, *values.shape[1:])

        target = np.einsum("rab,rb->ra", slope, net[found]).reshape(-1)
        return self._objective({k: data.features[k] for k in inputs}, target, weights, apply)

    def alpha_objective(self, form: Composition, inputs) -> Objective:
        """Fit of alpha, f and beta being those of ``form``."""
        net = self.net_of(form)
        left = self.data.acc - self.value(form.beta, self.scalars(net))[:, None] * self.data.state.vel
        return self._along(net, left, net, inputs)

    def beta_objective(self, form: Composition, inputs) -> Objective:
        net = self.net_of(form)
        left = self.data.acc - self.value(form.alpha, self.scalars(net))[:, None] * net
        return self._along(self.data.state.vel, left, net, inputs)

    def _along(self, vector, target, net, inputs) -> Objective:
        def apply(values):
            columns = values.reshape(len(values), -1)
            pushed = columns[:, None, :] * vector[:, :, None]
            return pushed.reshape(-1, columns.shape[1]).reshape(-1, *values.shape[1:])

        columns = self.scalars(net)
        return self._objective(
            {k: columns[k] for k in inputs}, target.reshape(-1), np.repeat(self.weights, self.dim), apply
        )

    def _objective(self, features, target, weights, apply) -> Objective:
        return Objective(features, target, weights, apply, loss="soft_l1", f_scale=F_SCALE, metric="relative")
