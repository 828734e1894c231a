"""A response read from a network whose node model is free, with the pair law behind it.

Where a particle does not respond by a = S/m, a network without a linear node still has to send what superposes: its
messages are a linear image of the pair forces. ``read`` finds that image from directions alone (``search.mixing``), up
to a factor and without any acceleration. The net forces S so read, and the network's own accelerations, give alpha and
beta of every receiver, a = alpha S + beta v; f, alpha and beta are searched as formulas. From there on data decide:
pair laws and responses are composed, refitted and repaired end to end on accelerations, Newton's response among them,
and the simplest that is not significantly worse than the best on trajectories left out is taken.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import sympy as sp

from distill.files.properties import in_messages, message_fields, of_edges
from distill.files.properties import variables as pair_variables
from distill.files.storage import finite_or_none
from distill.formulas.improve import prune, repair
from distill.formulas.text import parse, symbols_for, to_text
from distill.formulas.tree import canonical, complexity, parametrise, rebuild, with_constants
from distill.formulas.units import ONE as NO_UNITS
from distill.formulas.units import Units as FormulaUnits
from distill.law.constants import groups, round_number, spread_of
from distill.law.receivers import receivers
from distill.law.selection import choose, shared_out
from distill.messages import read_out, roles
from distill.messages.net_forces import Nodes, state_of
from distill.physics.responses import response_variables
from distill.physics.terms import direction
from distill.response.composition import Bench, Candidate, Composition
from distill.response.units import ONE, Units, units_of
from distill.search.front import Front, Row
from distill.search.mixing import Mixing, central_mixing
from distill.search.targets import Target, varying
from distill.shell.errors import UserError
from distill.statistics.metrics import typical_size

PAIR, ALPHA, BETA = "pair", "alpha", "beta"
SEARCH = {"restarts": 3, "min_restarts": 2, "max_complexity": 20}  # of a family
MIXING_ROWS = 4000
SOFT = 0.02  # of the median distance: where the fit of a constant beside r starts
_R, _SV = symbols_for(("r", "sv"))


@dataclass(frozen=True)
class Family:
    """A function of alpha or beta that is searched in its place: a square root or a quotient is no luck then.

    ``forth(values, sv)`` and ``back(formula, sign)``, ``sign`` that of the values.
    """

    name: str  # of the target
    of: str
    forth: Callable
    back: Callable


FAMILIES = (
    Family("alpha", ALPHA, lambda y, sv: y, lambda e, sign: e),
    Family("alpha_inverse", ALPHA, lambda y, sv: 1 / y, lambda e, sign: 1 / e),
    Family("alpha_square", ALPHA, lambda y, sv: y**2, lambda e, sign: sign * sp.sqrt(e)),
    Family("alpha_inverse_square", ALPHA, lambda y, sv: y**-2, lambda e, sign: sign / sp.sqrt(e)),
    Family("beta", BETA, lambda y, sv: y, lambda e, sign: e),
    # motion that may run backwards in time has a beta that is odd in S . v
    Family("beta_odd", BETA, lambda y, sv: y / sv, lambda e, sign: e * _SV),
)
SHARED = "beta_shared"  # beta/alpha, for what both have in common, like a mass or a Lorentz factor, cancels in it
CANCELS = 0.2  # net forces below this share of the sum of their parts are mostly error
LARGEST = 0.95  # quantile of |S| up to which responses are searched: few messages say how they go on
APART = 0.2  # squared sine of the angle between S and v from which a tells alpha from beta
SIDEWAYS = 0.01  # mean relative size of accelerations across S up to which no beta is searched
SMALL, LARGE, HELD_OUT = 600, 4000, 3000  # receivers: to fit candidates, to fit the law, to judge
LARGEST_ROW, SHARE_ROW, ROUNDS, REPAIRS = 20, 7, 3, 3
SYMMETRIC = 1e-4  # mean relative difference of F_ij and -F_ji that a fit may leave
PROMISING = 20  # compositions that are fitted to the end before any is repaired
GAIN = 0.1  # a repair must lower the error by that share
NEWTON = "1.0/m_i"
# bases of ``powers_of``, with v over the fastest and s over its median, and exponents from which theirs are fitted
POWERS = {"v": ("1.0 - {}*v^2", "1.0 + {}*v^2"), "s": ("1.0 + {}*s",)}
EXPONENTS = (0.5, -0.5, -1.0)
ALONG = ("-0.1*sv", "-0.1*v")  # beta/alpha to start from


@dataclass
class Read:
    """The pair forces of the messages up to a factor: ``force`` [edge, dim], ``net`` [receiver, dim]."""

    force: np.ndarray
    net: np.ndarray
    mixing: Mixing
    needs_beta: bool
    sideways: float  # mean relative size of what the network's accelerations have across S


def read(messages: dict, nodes: Nodes, seed: int = 0) -> Read:
    """Pair forces up to a factor, such that the network's accelerations follow them and m a and S are of one size.

    No accelerations of the data and no true forces are looked at; the mixing is found on trajectories of its own
    (``roles``). ``UserError`` where messages have fewer components than there are dimensions, or there is
    but one.
    """
    dim = messages["dx"].shape[1]
    if dim == 1:
        raise UserError("in one dimension no direction tells what messages are forces", "give --node linear")
    top = read_out.top_components(read_out.importance(messages), dim)
    sent = messages["message"][:, top].astype(float)
    unit = direction(messages["dx"].astype(float), messages["r"].astype(float))
    if sent.shape[1] < dim or (np.ptp(sent, axis=0) == 0).any():
        found = f"fewer than {dim} components of the messages say anything: no pair force behind a response can be read"
        raise UserError(found, "give --node linear, or train with --message-dim and --epochs larger")
    own = roles.edges_of("read_out", messages, seed)
    pick = own[np.random.default_rng([seed, 47]).permutation(len(own))[:MIXING_ROWS]]
    mixing = central_mixing(sent[pick], unit[pick])
    force = (sent - mixing.b) @ np.linalg.pinv(mixing.A).T
    net, acc, state = (
        nodes.sum(force),
        messages["acc_pred_i"][nodes.first].astype(float),
        state_of(messages, nodes.first),
    )
    along = (acc * net).sum(1)
    sign = 1.0 if np.median(along) >= 0 else -1.0
    factor = sign * typical_size(np.linalg.norm(state.mass[:, None] * acc, axis=1))
    factor /= typical_size(np.linalg.norm(net, axis=1))
    force, net = factor * force, factor * net
    size = np.linalg.norm(acc, axis=1)
    across = acc - ((acc * net).sum(1) / np.maximum((net**2).sum(1), 1e-300))[:, None] * net
    weights = 1 / (typical_size(size) + size)
    sideways = float(np.mean(np.linalg.norm(across, axis=1) * weights))
    return Read(force, net, mixing, sideways > SIDEWAYS, sideways)


def searches(
    messages: dict,
    nodes: Nodes,
    found: Read,
    rows: int,
    seed: int,
    quick: bool = False,
    scaled: FormulaUnits = NO_UNITS,
) -> list[Target]:
    """The targets f, alpha and, where accelerations are not along S, beta; all from the network alone. ``quick``: with
    the restarts of the other targets. ``scaled``: the units to search in.
    """
    options = {k: v for k, v in SEARCH.items() if not (quick and "restarts" in k)}
    rng = np.random.default_rng([seed, 53])
    searched = roles.edges_of("search", messages, seed)
    edges = rng.permutation(searched)[:rows]
    unit = direction(messages["dx"][edges].astype(float), messages["r"][edges].astype(float))
    out = [
        Target(
            PAIR,
            varying(of_edges(messages, edges)),
            (found.force[edges] * unit).sum(1),
            units=scaled,
            unit=scaled.force,
        )
    ]
    state, net = state_of(messages, nodes.first), found.net
    acc, vel = messages["acc_pred_i"][nodes.first].astype(float), state.vel
    s2, v2, sv = (net**2).sum(1), (vel**2).sum(1), (net * vel).sum(1)
    parts = nodes.sum(np.linalg.norm(found.force, axis=1))
    use = np.isin(nodes.first, searched)
    use &= (np.sqrt(s2) > CANCELS * parts) & (s2 <= np.quantile(s2, LARGEST**2))
    if found.needs_beta:
        det = s2 * v2 - sv**2
        use &= det > APART * s2 * v2
        det = np.where(use, det, 1.0)
        alpha = ((acc * net).sum(1) * v2 - (acc * vel).sum(1) * sv) / det
        beta = ((acc * vel).sum(1) * s2 - (acc * net).sum(1) * sv) / det
        wanted = {ALPHA: alpha, BETA: beta}
    else:
        wanted = {ALPHA: (acc * net).sum(1) / np.maximum(s2, 1e-300)}
    per = {ALPHA: scaled.acceleration / scaled.force, BETA: scaled.acceleration / scaled.speed}
    features = {"s": np.sqrt(s2), "v": np.sqrt(v2), "sv": sv} | state.variables
    for family in FAMILIES:
        if family.of in wanted:
            values = wanted[family.of]
            tell = use & (values > 0 if family.of == ALPHA else np.abs(sv) > 0.1 * np.sqrt(s2 * v2))
            pick = rng.permutation(np.flatnonzero(tell))[:rows]
            here = varying({k: v[pick] for k, v in features.items()})
            unit = family.forth(per[family.of], scaled.of.get("sv", 1.0))
            out.append(
                Target(family.name, here, family.forth(values[pick], sv[pick]), options, units=scaled, unit=unit)
            )
    if found.needs_beta:
        pick = rng.permutation(np.flatnonzero(use & (np.abs(alpha) > 0)))[:rows]
        here = varying({k: v[pick] for k, v in features.items()})
        y = beta[pick] / alpha[pick]
        out.append(Target(SHARED, here, y, options, units=scaled, unit=per[BETA] / per[ALPHA]))
    return out


def rows_of(fronts: dict, which: str, unit_charges: bool, length: float = 1.0) -> list[sp.Expr]:
    """Formulas for ``which`` (pair, alpha or beta) on the ``fronts`` of its families; ``length``: a typical r."""
    if which == PAIR:
        own = [canonical(r.expr, unit_charges) for r in fronts[PAIR].rows if _usable(r.expr) and r.expr.free_symbols]
        return list(dict.fromkeys(canonical(e, unit_charges) for one in own for e in (one, *_softened(one, length))))
    out = []
    for family in FAMILIES:
        if family.of == which and family.name in fronts:
            front = fronts[family.name]
            sign = np.sign(front.info.get("median", 1.0)) or 1.0
            back = [family.back(r.expr, sp.Float(sign)) for r in front.rows if _usable(r.expr)]
            # a root of a square: the sign stands before it
            out += [canonical(e.replace(sp.Abs, lambda inside: inside), unit_charges) for e in back]
    return [e for e in dict.fromkeys(out) if not e.has(sp.zoo, sp.nan, sp.oo, sp.I)]


def _softened(expr: sp.Expr, length: float) -> list[sp.Expr]:
    """``expr`` with r + c for r, and with (r + c)^n for every r^n + c: close by, messages tell little. A response that
    hides large forces hides how they end.
    """

    def change(e):
        if e.is_Add and len(e.args) == 2:
            number, power = sorted(e.args, key=lambda a: not a.is_Float)
            if number.is_Float and number > 0 and power.is_Pow and power.base.is_Symbol and power.exp.is_Integer:
                return (power.base + sp.Float(SOFT * length)) ** power.exp
        return e

    return [rebuild(expr, change), expr.xreplace({_R: _R + sp.Float(SOFT * length)})]


# ---------------------------------------------------------------- composition, on accelerations


class Ground:
    """The receivers that compositions are fitted to and chosen on: trajectories of the same parts as those that laws
    with a linear node are fitted to and chosen on (``selection.shared_out``), so that both can be compared.
    """

    def __init__(self, messages: dict, nodes: Nodes, seed: int = 0, small=SMALL, large=LARGE, held_out=HELD_OUT):
        fit, chooses = shared_out(messages, nodes, seed)
        self.properties = in_messages(messages)
        self.unit_charges = bool(np.all(np.abs(messages["charge_i"]) == 1))

        def bench(pick):
            return Bench(receivers(messages, nodes, pick), self.unit_charges)

        self.few, self.many = bench(fit[:small]), bench(fit[:large])
        self.held = bench(chooses[:held_out])
        fields = message_fields(self.properties)
        self.pair_inputs = [v for v, k in fields.items() if v == "r" or np.ptp(messages[k]) > 0]
        state = state_of(messages, nodes.first)
        self.own_inputs = ["s", "v", "sv", *(k for k, v in state.variables.items() if np.ptp(v) > 0)]
        self.choice = SimpleNamespace(
            held=SimpleNamespace(trajectory=self.held.data.trajectory), check=SimpleNamespace(tiny=self.held.tiny)
        )

    def within(self, units: Units) -> "Ground":
        """The same receivers with their data in ``units``."""
        out = copy.copy(self)
        out.few, out.many, out.held = (
            Bench(units.data(bench.data), self.unit_charges) for bench in (self.few, self.many, self.held)
        )
        return out

    def symmetric(self, pair: sp.Expr) -> bool:
        """Whether f is the same for both ends, up to what fits leave: action is reaction."""
        here = self.few.data.features
        there = {k[:-2] + {"_i": "_j", "_j": "_i"}[k[-2:]] if k != "r" else k: v for k, v in here.items()}
        one, other = (self.few.value(pair, {k: columns[k] for k in here}) for columns in (here, there))
        with np.errstate(all="ignore"):
            off = np.abs(one - other) / (np.abs(one) + np.abs(other) + 1e-300)
        return bool(np.nanmean(off) < SYMMETRIC) if np.isfinite(off).any() else False


@dataclass
class Found:
    """The composition chosen, its constants fitted on ``Ground.many``."""

    form: Composition
    candidates: list[Candidate]
    chosen: Candidate
    rounded: list
    ground: Ground
    cpu_seconds: float

    @property
    def is_newton(self) -> bool:
        """Whether the response is a = c S/m: then the law is one with a linear node."""
        left = self.form.alpha * sp.Symbol("m_i", positive=True)
        return self.form.beta == 0 and not left.free_symbols


def compose(fronts: dict, ground: Ground) -> Found:
    """Pair law and response from the ``fronts`` of the searches, refitted, repaired and chosen on accelerations."""
    units = units_of(ground.many.data)
    return _in_units_of_the_data(_composed(fronts, ground.within(units), units), units, ground)


def _in_units_of_the_data(found: Found, units: Units, ground: Ground) -> Found:
    """``found`` in ``units``, turned into laws of the data; their constants are rounded there."""

    def back(form: Composition) -> Composition:
        return form if units.undone(form) == form else units.undone(form).normalised(ground.unit_charges)

    cpu = time.process_time()
    told = {id(c): Candidate(back(c.form), c.errors) for c in found.candidates}
    form, rounded = _rounded(back(found.form), ground)
    candidates = [told[id(c)] for c in found.candidates]
    cpu = found.cpu_seconds + time.process_time() - cpu
    return Found(form, candidates, told[id(found.chosen)], rounded, ground, cpu)


def _composed(fronts: dict, ground: Ground, units: Units) -> Found:
    """``compose`` in the units of ``ground``, before any rounding; the ``fronts`` are of the data, ``ONE``: of these
    ``units``.
    """
    cpu, tried, third_law = time.process_time(), {}, False

    def add(form: Composition, nfev: int = 60) -> Candidate:
        candidate = Candidate(fitted := ground.few.fit(form, nfev), ground.held.errors(fitted))
        key = tuple(parametrise(part)[0] for part in fitted.parts)
        if third_law and not ground.symmetric(fitted.pair):
            return candidate  # a factor of one particle belongs to its response
        if key not in tried or candidate.error < tried[key].error:
            tried[key] = candidate
        return candidate

    def best() -> Composition:
        found = list(tried.values())
        return found[choose(found, ground.choice)].form

    names = response_variables(ground.properties)
    length = float(np.median(ground.few.data.features["r"]))
    length *= units.of.get("r", 1.0)  # as the fronts have it
    pairs, alphas, betas = (rows_of(fronts, which, ground.unit_charges, length) for which in (PAIR, ALPHA, BETA))
    pairs, alphas = [units.pair(e) for e in pairs], [units.alpha(e) for e in alphas]
    betas = [*(units.beta(e) for e in betas), sp.S.Zero]
    symmetric = [pair for pair in pairs if ground.symmetric(pair)]
    third_law, pairs = bool(symmetric), symmetric or pairs
    rows = fronts[SHARED].rows if SHARED in fronts else ()
    shares = [units.share(r.expr) for r in rows if complexity(r.expr) <= SHARE_ROW]
    add(Composition(pairs[-1], units.alpha(fronts[ALPHA].expr)))
    for _ in range(2):
        for pair in pairs:
            add(Composition(pair, best().alpha, best().beta))
        for alpha in alphas:
            add(Composition(best().pair, alpha, best().beta))
        for beta in betas if len(betas) > 1 else ():
            add(Composition(best().pair, best().alpha, beta))
        pair = best().pair
        for alpha in alphas if shares else ():
            for share in shares:
                add(Composition(pair, alpha, canonical(share * alpha, ground.unit_charges)))
        if min(c.error for c in tried.values()) <= ground.held.tiny:
            break
    if min(c.error for c in tried.values()) > ground.held.tiny:
        along = [sp.S.Zero, *(parse(text, names) for text in ALONG)] if len(betas) > 1 else [sp.S.Zero]
        pair = best().pair
        for alpha in powers_of(ground, pair):
            for share in along:
                fitted = add(Composition(pair, alpha, canonical(share * alpha, ground.unit_charges))).form
                add(replace(fitted, alpha=with_halves(fitted.alpha), beta=with_halves(fitted.beta)))
    add(Composition(best().pair, parse(NEWTON, names)))  # Newton's response
    met = set()
    for candidate in sorted(tried.values(), key=lambda c: (c.error, c.complexity)):
        form = parametrise(candidate.form.alpha)[0]
        if form not in met and len(met) < PROMISING:  # the best with each alpha, for a fit may be slow to come down
            met.add(form)
            add(candidate.form, 400)
    for _ in range(ROUNDS):
        lowest = min(c.error for c in tried.values())
        if lowest <= ground.held.tiny:
            break
        for start in _worth_repair(list(tried.values()), ground):
            _repair(start, ground, add)
        if min(c.error for c in tried.values()) > (1 - GAIN) * lowest:
            break
    _shorten(best(), ground, add)
    found = list(tried.values())
    chosen = found[choose(found, ground.choice)]
    form = ground.many.fit(chosen.form, 100)
    return Found(form, found, chosen, [], ground, time.process_time() - cpu)


def powers_of(ground: Ground, pair: sp.Expr) -> list[sp.Expr]:
    """alpha = c (1 + b z)^p / m_i to start from, z a power of the speed or of the net force, all free to be fitted:
    saturation, Lorentz factors, roots of the force. A search meets exponentials first, which are near them over the
    range of the data and wrong beyond it.
    """
    data, names = ground.few.data, response_variables(ground.properties)
    net = np.linalg.norm(ground.few.net_of(Composition(pair, sp.S.One)), axis=1)
    speed = np.linalg.norm(data.state.vel, axis=1)
    factor = {"v": 0.3 / max(float(speed.max()) ** 2, 1e-300), "s": 1 / max(float(np.median(net)), 1e-300)}
    mass = "/m_i" if "m_i" in names else ""
    texts = [
        f"1.0*({base.format(repr(factor[name]))})^({exponent!r}){mass}"
        for name, bases in POWERS.items()
        for base in bases
        for exponent in EXPONENTS
    ]
    return [parse(text, names) for text in texts]


def with_halves(expr: sp.Expr) -> sp.Expr:
    """``expr`` with its fitted exponents at the nearest multiples of 1/2."""
    powers = [p for p in expr.atoms(sp.Pow) if p.exp.is_Float]
    return expr.xreplace({p: p.base ** sp.Rational(round(2 * float(p.exp)), 2) for p in powers})


def _usable(expr: sp.Expr) -> bool:
    return complexity(expr) <= LARGEST_ROW


def _worth_repair(found: Sequence[Candidate], ground: Ground) -> list[Composition]:
    """The choice so far, the best, and the simplest within twice the best: what lacks one factor looks poor."""
    lowest = min(c.error for c in found)
    picks = [found[choose(found, ground.choice)], min(found, key=lambda c: c.error)]
    picks.append(min((c for c in found if c.error <= 2 * lowest), key=lambda c: (c.complexity, c.error)))
    return list(dict.fromkeys(c.form for c in picks))


def _objectives(form: Composition, ground: Ground):
    """(part, formula, linear objective) of the parts of ``form``."""
    few = ground.few
    own = ground.own_inputs
    out = [("pair", form.pair, few.pair_objective(form, ground.pair_inputs))]
    out.append(("alpha", form.alpha, few.alpha_objective(form, own)))
    if form.beta != 0:
        out.append(("beta", form.beta, few.beta_objective(form, own)))
    return [one for one in out if one[2] is not None]


def _repair(form: Composition, ground: Ground, add) -> None:
    for name, expr, objective in _objectives(form, ground):
        changed, _ = repair(expr, objective, REPAIRS)
        if changed != expr:
            add(replace(form, **{name: changed}))


def _shorten(form: Composition, ground: Ground, add) -> None:
    """Terms and factors that a later change made useless are dropped from each part."""
    for _ in range(2):
        for name, expr, objective in _objectives(form, ground):
            changed, _ = prune(expr, objective, 0.05)
            if changed != expr:
                form = add(replace(form, **{name: changed})).form


# ---------------------------------------------------------------- constants


def _rounded(form: Composition, ground: Ground) -> tuple[Composition, list]:
    """(``form`` with the round constants that the data allow, JSON-ready list of all constants with their errors).

    Standard errors: delete-group jackknife over trajectories, as in ``constants``. Symbols are c0, c1, ... through
    pair law, alpha and beta.
    """
    bench = ground.many
    values, fits = _values(form), []
    for keep in groups(bench.data.trajectory):
        part = Bench(bench.data.subset(keep), ground.unit_charges)
        if (found := part.constants(form, 15)) is not None:
            fits.append(found)
    spread = spread_of(np.array(fits), len(values))
    score, final = bench.score(form), values.copy()
    for k in np.argsort(spread / np.maximum(np.abs(values), 1e-300), kind="stable"):
        number = round_number(values[k], spread[k])
        trial = final.copy()
        if number is None:
            continue
        trial[k] = number
        if bench.score(_with_values(form, trial)) <= max(1.01 * score, 10 * bench.tiny):
            final = trial
    told = []
    for k, (value, error) in enumerate(zip(values, spread, strict=True)):
        was = None if final[k] == value else float(value)
        told.append({"symbol": f"c{k}", "value": float(final[k]), "standard_error": finite_or_none(error)})
        told[-1]["snapped_from"] = was
    return _with_values(form, final), told


def _values(form: Composition) -> np.ndarray:
    return np.concatenate([parametrise(part)[2] for part in form.parts])


def _with_values(form: Composition, values) -> Composition:
    parts, at = [], 0
    for part in form.parts:
        pexpr, symbols, own = parametrise(part)
        parts.append(with_constants(pexpr, symbols, values[at : at + len(own)]))
        at += len(own)
    return Composition(*parts)


def form_text(form: Composition) -> str:
    """f, alpha and beta with c0, c1, ... for their constants."""
    at, out = 0, []
    for name, part in zip(("f", "alpha", "beta"), form.parts, strict=True):
        pexpr, symbols, own = parametrise(part)
        named = {s: sp.Symbol(f"c{at + k}") for k, s in enumerate(symbols)}
        at += len(own)
        if part != 0:
            out.append(f"{name} = {to_text(pexpr.xreplace(named), 6)}")
    return "; ".join(out)


# ---------------------------------------------------------------- the control


CONTROL_IS = (
    "pair law and response composed, refitted, repaired and chosen on accelerations alone, without a network: pair laws"
    " start from every product of the properties of both ends times r, 1/r and 1/r^2, responses from a = S/m with and"
    " without a part along v, and from powers of the speed and of the net force"
)


def control(ground: Ground) -> Found:
    """The same composition, refit, repair and choice without a network (``CONTROL_IS``); the better of two sets of
    starts, for more of them may lead astray.
    """
    products = [f"{own}*{own[:-2]}_j*" for own in ground.own_inputs if own.endswith("_i")]
    names, of_pair = response_variables(ground.properties), pair_variables(ground.properties)

    def front(texts, variables):
        rows = [Row(0, 0.0, text, parse(text, variables)) for text in texts]
        return Front(rows, "none", len(rows) - 1, "a fixed start")

    def starts(shapes, factors):
        return front([f"{sign}0.1*{p}{z}" for sign in ("-", "") for p in factors for z in shapes], of_pair)

    units, found = units_of(ground.many.data), []
    inside = ground.within(units)
    for pairs in (starts(("r", "1/r"), products or [""]), starts(("r", "1/r", "1/r^2"), ["", *products])):
        for betas in ([], ["-0.1*sv/m_i", "-0.1*v/m_i"]):
            fronts = {PAIR: pairs, ALPHA: front([NEWTON], names)}
            found.append(_composed(fronts | ({BETA: front(betas, names)} if betas else {}), inside, ONE))
    chosen = min(found, key=lambda f: f.chosen.error)
    best, cpu_seconds = _in_units_of_the_data(chosen, units, ground), sum(f.cpu_seconds for f in found)
    return replace(best, cpu_seconds=cpu_seconds + best.cpu_seconds - chosen.cpu_seconds)
