"""Laws that are nearly right: does the verdict refuse them all, and no right one? A part of ``recovery.py``.

Data are simulated (4 particles, 2-D and 3-D), of six systems and of two laws more on the configurations of r2: one
with an exponential, one with a free exponent. Half of the near-misses are small, half gross (``SMALL``, ``GROSS``);
then there are the ``KNOWN`` ones, which an earlier verdict let pass. Each is the true law with one fault of a size
drawn from the seed, and is judged twice: as it is (scale and constants true), and after all its constants were
refitted to noise-free accelerations, the fault itself (its size, exponents, thresholds, node terms) held. That
makes the truth of some (a scale, a softening, a sign): that is no error and counted apart.

What is true is decided here without the verdict, by the largest error of an acceleration anywhere in range, near
or beyond: at most ``UNSEEN``, a law is the truth for all that data can say; above, it is wrong. This was set
before any of them was judged. ``RIGHT`` respells and refits true laws, none of which may be refused.
"""

from types import SimpleNamespace

import numpy as np
import recovery_data as data
import sympy as sp

from distill.files.properties import VARIABLES
from distill.files.storage import finite_or_none as finite
from distill.formulas.functions import greater
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, symbols_for, to_text
from distill.formulas.tree import canonical
from distill.law import trust, verdict
from distill.law.ranges import FAR, closest_distance
from distill.law.receivers import acceleration_objective, law_error, receivers
from distill.law.remains.residuals import structure
from distill.law.remains.scene import of_receivers
from distill.messages.net_forces import nodes_of, state_of
from distill.physics.law import Law
from distill.statistics.metrics import typical_size

SYSTEMS = ("spring", "r1", "r2", "charge", "superposition", "damped")
FORMULAS = {"screened": "-m_i*m_j*exp(-r/2.5)/(r + 0.01)^2", "power": "-m_i*m_j/(r + 0.01)^2.3"}  # on the data of r2
LAWS = (*SYSTEMS, *FORMULAS)
DIMS = (2, 3)
NETWORK_ERROR = 0.01  # mean relative error of the accelerations of a network to be a tenth of
POOR_NETWORK = 0.3  # judged by it too: then only form, constants and node terms stand in the way
UNSEEN = 1e-5  # error of accelerations that no data tell from rounding
TRAJECTORIES, FRAMES, TRAINING = 100, 40, 1500  # receivers a refit sees; the others are held out
RESPELLINGS = 100 / 300  # for every near-miss
RANGES = ("in_range", "near", "extrapolated")


def cells(seed: int, count: int) -> dict[str, dict]:
    """Arguments of every cell by its name, a cell a law and dimension; ``count`` near-misses in all."""
    places = [(law, dim) for dim in DIMS for law in LAWS]
    right = round(RESPELLINGS * count) or 1
    shared = {"seed": seed, "network_error": NETWORK_ERROR, "trajectories": TRAJECTORIES, "frames": FRAMES}
    out = {}
    for k, (law, dim) in enumerate(places):
        own = {"law": law, "dim": dim, "near": list(range(k, count, len(places)))}
        own |= {"right": list(range(k, right, len(places))), "known": (law, dim) == ("r2", 2) and count >= len(KNOWN)}
        if own["near"] or own["right"]:
            out[f"{law}_d{dim}_{count}_s{seed}"] = own | shared
    return out


def measure(arguments: dict) -> dict:
    """One cell: every near-miss and every right law of a system in one dimension, as ``rows``."""
    law, dim, seed = (arguments[k] for k in ("law", "dim", "seed"))
    system = "r2" if law in FORMULAS else law
    edges = data.simulated(system, dim, arguments["trajectories"], arguments["frames"], seed)
    bench = Bench(law, dim, edges, seed)
    rows = [bench.near_miss(k) for k in arguments["near"]]
    rows += [bench.known(name) for name in KNOWN] if arguments["known"] else []
    rows += [bench.right(k) for k in arguments["right"]]
    return {"law": law, "dim": dim, "rows": rows}


# ---------------------------------------------------------------- faults

R, M_I, M_J, Q_I, Q_J = symbols_for(VARIABLES)


def _exact(x: float) -> sp.Rational:
    """A number that no refit changes, as whole exponents are: a fault is not to be fitted away."""
    return sp.Rational(f"{x:.4g}")


def _logarithmic(rng, low: float, high: float, signed: bool = True) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high)))) * (float(rng.choice([-1, 1])) if signed else 1.0)


class Fault:
    """What is done to a true law: ``make(truth, about, rng)`` gives (pair force, node terms added, size).

    ``about``: typical distance ``r``, ``closest`` and ``top`` distance and typical ``force`` of the data. ``never``:
    laws that it leaves in their form, where a small one is no fault of the form.
    """

    def __init__(self, make, low: float, high: float, signed: bool = True, never: tuple = ()):
        self.make, self.low, self.high, self.signed, self.never = make, low, high, signed, never

    def __call__(self, truth, about, rng):
        size = _logarithmic(rng, self.low, self.high, self.signed)
        made = self.make(truth, about, size)
        return (*made, size) if isinstance(made, tuple) else (made, {}, size)


def _beside_r(truth, by: float):
    """The constants added to r, a softening or a rest length, times ``by``."""
    sums = [a for a in truth.atoms(sp.Add) if a.has(R) and a.as_coeff_Add()[0] != 0]
    return truth.xreplace({a: a.as_coeff_Add()[1] + by * a.as_coeff_Add()[0] for a in sums})


def _term(shape):
    """A term of the size of ``size`` times the typical force at the typical distance."""

    def make(truth, about, size):
        return truth + _exact(size * about["force"]) * shape(R / _exact(about["r"]))

    return make


def _at(share: float, about: dict) -> float:
    """A distance between the closest and the largest one, ``share`` of the way in logarithms."""
    return float(about["closest"] * (about["top"] / about["closest"]) ** share)


def _core(truth, about, size):
    return truth * greater(R, sp.Float(_at(size, about)))


def _cutoff(truth, about, size):
    return truth * greater(sp.Float(size * about["top"]), R)


def _plummer(truth, about, size):
    return truth * (R + _exact(0.01)) ** 2 / (R**2 + _exact(size * about["closest"]) ** 2)


def _repulsive(truth, about, size):
    return truth + _exact(about["force"]) * (_exact(_at(size, about)) / R) ** 6


def _without(of):
    def make(truth, about, size):
        return truth / of

    return make


SPRINGS = ("spring", "damped")
UNEQUAL = (M_I - M_J) / (M_I + M_J)
SMALL = {
    "exponent": Fault(lambda f, a, s: f * (R + _exact(0.01)) ** _exact(s), 0.005, 0.1, never=("power",)),
    "mass power": Fault(lambda f, a, s: f * (M_I * M_J) ** _exact(s), 0.005, 0.05),
    "third law, masses": Fault(lambda f, a, s: f * (M_I / M_J) ** _exact(s), 0.003, 0.05),
    "third law, charges": Fault(lambda f, a, s: f * (1 + _exact(s) * Q_I), 0.005, 0.05),
    "third law, sum": Fault(lambda f, a, s: f * (1 + _exact(s) * UNEQUAL), 0.005, 0.05),
    "weak constant": Fault(_term(lambda x: 1), 1e-3, 0.03, never=SPRINGS),
    "weak 1/r^3": Fault(_term(lambda x: 1 / x**3), 1e-3, 0.03),
    "weak r": Fault(_term(lambda x: x), 1e-3, 0.03, never=SPRINGS),
    "weak mass term": Fault(_term(lambda x: M_I * M_J / x), 1e-3, 0.03),
    "weak exp": Fault(_term(lambda x: sp.exp(-x)), 1e-3, 0.03),
    "small core": Fault(_core, 0.02, 0.3, signed=False),
    "repulsive core": Fault(_repulsive, 0.02, 0.3, signed=False),
    "Plummer": Fault(_plummer, 0.3, 3.0, signed=False),
    "far cutoff": Fault(_cutoff, 0.9, 2.5, signed=False),
    "screening": Fault(lambda f, a, s: f * sp.exp(-R / _exact(s)), 200.0, 2000.0, signed=False, never=("screened",)),
    "scale": Fault(lambda f, a, s: f * sp.Float(1 + s), 0.011, 0.03),
    "softening or rest length": Fault(lambda f, a, s: _beside_r(f, 1 + s), 0.015, 1.0, signed=False),
    "drag": Fault(lambda f, a, s: (f, {"drag": s}), 0.005, 0.05, signed=False),
    "uniform field": Fault(lambda f, a, s: (f, {"constant_acceleration": s}), 0.005, 0.05),
}
GROSS = {
    "exponent": Fault(lambda f, a, s: f * (R + _exact(0.01)) ** _exact(s), 0.1, 1.0),
    "mass missing": Fault(_without(M_J), 1.0, 1.0, signed=False),
    "masses missing": Fault(_without(M_I * M_J), 1.0, 1.0, signed=False),
    "charge too many": Fault(_without(Q_J), 1.0, 1.0, signed=False),
    "sign": Fault(lambda f, a, s: -f, 1.0, 1.0, signed=False),
    "offset": Fault(_term(lambda x: 1), 0.05, 1.0),
    "1/r^2 term": Fault(_term(lambda x: 1 / x**2), 0.05, 1.0),
    "no force inside": Fault(_core, 0.3, 0.7, signed=False),
    "repulsive core": Fault(_repulsive, 0.3, 0.7, signed=False),
    "cutoff": Fault(_cutoff, 0.3, 0.9, signed=False),
    "screening": Fault(lambda f, a, s: f * sp.exp(-R / _exact(s)), 3.0, 30.0, signed=False),
    "Plummer": Fault(_plummer, 10.0, 100.0, signed=False),
    "drag": Fault(lambda f, a, s: (f, {"drag": s}), 0.1, 1.0, signed=False),
    "drag per mass": Fault(lambda f, a, s: (f, {"drag_per_mass": s}), 0.1, 1.0, signed=False),
}
KNOWN = {  # of r2: what a verdict that looked between the 5 and 95 % quantile, and beyond, called recovered
    "no force inside 0.1": "-m_i*m_j/(r + 0.01)^2*greater(r, 0.1)",
    "minus 0.0002 m m/r^5": "-m_i*m_j/(r + 0.01)^2 - m_i*m_j/r^5/5000",
    "repulsive core": "-m_i*m_j/(r + 0.01)^2 + m_i*m_j/r^6/10000000",
    "Plummer": "-m_i*m_j/(r^2 + 1/500)",
    "exponent 2.005": "-m_i*m_j/(r + 0.01)^(401/200)",
    "(m m)^1.01": "-(m_i*m_j)^(101/100)/(r + 0.01)^2",
    "m_i^1.005 m_j^.995": "-m_i^(201/200)*m_j^(199/200)/(r + 0.01)^2",
    "(1 + .015 q_i)": "-m_i*m_j/(r + 0.01)^2*(1 + 3*q_i/200)",
    "exp(-r/2000)": "-m_i*m_j/(r + 0.01)^2*exp(-r/2000)",
    "scale 1.029": "-1.029*m_i*m_j/(r + 0.01)^2",
    "scale 1.011": "-1.011*m_i*m_j/(r + 0.01)^2",
    "drag 0.02": "-m_i*m_j/(r + 0.01)^2",
    "a strange Plummer": "-0.994*m_i*m_j/(r*(r + 0.00067*(1/r + 17.7)/r))",
    "softening gone": "-m_i*m_j/r^2",
    "weak 1/r": "-m_i*m_j/(r + 0.01)^2 - m_i*m_j/r/1000",
}
KNOWN_NODE = {"drag 0.02": {"drag": 0.02}}


# ---------------------------------------------------------------- right laws


def _moved(expr, rng, size: float):
    """Every number of a formula, that is no whole exponent, times 1 + ``size`` x a normal one."""
    free = sorted(expr.atoms(sp.Float), key=float)
    return expr.xreplace({x: sp.Float(float(x) * (1 + size * rng.standard_normal())) for x in free})


def _text(template: str):
    """A respelling in text; {f} is the formula."""

    def make(truth, rng):
        return parse(template.format(f=f"({to_text(truth)})"), VARIABLES)

    return make


def _replaced(name: str, text: str):
    symbol = {"r": R, "m_i": M_I, "m_j": M_J, "q_i": Q_I, "q_j": Q_J}[name]
    return lambda truth, rng: truth.subs(symbol, parse(text, VARIABLES))


RIGHT = {
    "as it is": lambda f, rng: f,
    "expanded": lambda f, rng: sp.expand(f),
    "factored": lambda f, rng: sp.factor(f),
    "one fraction": lambda f, rng: sp.together(sp.expand(f)),
    "canonical": lambda f, rng: canonical(f),
    "numerator and denominator expanded": lambda f, rng: (
        sp.expand(sp.fraction(sp.together(f))[0]) / sp.expand(sp.fraction(sp.together(f))[1])
    ),
    "1/(1/f)": _text("1/(1/{f})"),
    "split in two": _text("0.3*{f} + 0.7*{f}"),
    "sign and size": _text("sign{f}*abs{f}"),
    "exp of log": _text("sign{f}*exp(log(abs{f}))"),
    "masses in and out": _text("{f}*(m_i/m_j)*m_j/m_i"),
    "times 7/7": _text("7.0*{f}/(3.0 + 4.0)"),
    "powers of (r + 1)": lambda f, rng: sp.expand(f * (R + 1)) / (R + 1),
    "abs(r)": _replaced("r", "abs(r)"),
    "root of r^2": _replaced("r", "sqrt(r*r)"),
    "r as exp of log": _replaced("r", "exp(log(r))"),
    "mass as square of a root": _replaced("m_i", "sqrt(m_i)^2"),
    "mass as exp of log": _replaced("m_j", "exp(log(m_j))"),
    "1/r/r": _text("{f}*r*r*(1/r/r)"),
    "r**-2": _text("{f}*r^-2/(1/r)*r"),
    "unit charge to the third": _replaced("q_i", "q_i^3"),
    "unit charge below": _replaced("q_j", "1/q_j"),
    "constants to 1e-6": lambda f, rng: _moved(f, rng, 1e-6),
    "expanded, constants to 1e-6": lambda f, rng: _moved(sp.expand(f), rng, 1e-6),
    "refitted": None,
    "expanded and refitted": None,
}
SIGNS_ONLY = ("unit charge to the third", "unit charge below")  # right where charges are +1 and -1


# ---------------------------------------------------------------- what is measured


class Bench:
    """A law with its data: what makes near-misses and right laws of it, and judges them."""

    def __init__(self, law: str, dim: int, edges: dict, seed: int):
        self.law, self.dim, self.edges, self.seed = law, dim, edges, seed
        system = data.load_system("r2" if law in FORMULAS else law)
        self.truth = parse(FORMULAS[law], VARIABLES) if law in FORMULAS else verdict.true_law(system)
        self.node = {"drag": system.drag} if system.drag else {}
        nodes = nodes_of(edges)
        state = state_of(edges, slice(None))
        self.true_node = Law(self.truth, self.node).node_force(state)
        order = data.generator(seed, law if law in SYSTEMS else "r2", dim).permutation(len(nodes.first))
        count = min(TRAINING, len(order) // 2)
        parts = order[:count], order[count : 2 * count]
        self.train, self.held = (receivers(edges, nodes, p) for p in parts)
        true = Law(self.truth, self.node)
        for part in (self.train, self.held):  # of this law, which need not be the system's
            net = np.add.reduceat(true.radial(**part.features)[:, None] * part.unit, part.start, axis=0)
            part.acc = true.respond(net, part.state)
        r = edges["r"]
        size = np.abs(true.radial(**self.train.features))
        self.about = {"r": float(np.median(r)), "closest": closest_distance(r), "top": float(r.max())}
        self.about["force"] = typical_size(size)

    def rng(self, *numbers) -> np.random.Generator:
        return np.random.default_rng([self.seed, 2011, LAWS.index(self.law), self.dim, *numbers])

    def near_miss(self, index: int) -> dict:
        """The near-miss number ``index`` of all: small and gross ones in turn."""
        size, table = (("small", SMALL), ("gross", GROSS))[index // len(LAWS) // len(DIMS) % 2]
        names = [name for name, fault in table.items() if self.law not in fault.never]
        turn = index // len(LAWS) // len(DIMS) // 2
        name = names[self.rng(0).permutation(len(names))[turn % len(names)]]
        pair, node, drawn = table[name](self.truth, self.about, self.rng(1, index))
        if "constant_acceleration" in node:
            node = {"constant_acceleration": np.eye(self.dim)[-1] * node["constant_acceleration"]}
        return self.judged_twice({"group": size, "kind": name, "size": drawn, "index": index}, pair, node)

    def known(self, name: str) -> dict:
        about = {"group": "known", "kind": name, "size": None, "index": list(KNOWN).index(name)}
        return self.judged_twice(about, parse(KNOWN[name], VARIABLES), KNOWN_NODE.get(name, {}))

    def judged_twice(self, about: dict, pair, node: dict) -> dict:
        law = Law(pair, {k: node.get(k, 0.0) + self.node.get(k, 0.0) for k in {**self.node, **node}})
        refitted = Law(self.refit(pair, law.node), law.node)
        both = {"given": self.judge(law), "refitted": self.judge(refitted)}
        return {"law": self.law, "dim": self.dim} | about | both

    def refit(self, pair, node: dict):
        """``pair`` with its constants fitted to the accelerations beside the node terms of the law."""
        beside = Law(pair, node).node_force(self.train.state) / self.train.state.mass[:, None]
        objective = acceleration_objective(SimpleNamespace(**vars(self.train) | {"acc": self.train.acc - beside}))
        return objective.fit(pair, 200)[0]

    def right(self, index: int) -> dict:
        """The right law number ``index`` of all."""
        names = [n for n in RIGHT if n not in SIGNS_ONLY or np.all(np.abs(self.edges["charge_i"]) == 1)]
        turn = 7 * (index // len(LAWS) // len(DIMS)) + 3 * LAWS.index(self.law) + self.dim
        name, rng = names[turn % len(names)], self.rng(2, index)
        if RIGHT[name] is None:
            start = sp.expand(self.truth) if name.startswith("expanded") else self.truth
            pair = self.refit(_moved(start, rng, 0.03), self.node)
            pair = parse(to_text(pair), VARIABLES)  # as law.json has it: ten digits
        else:
            pair = RIGHT[name](self.truth, rng)
        about = {"law": self.law, "dim": self.dim, "group": "right", "kind": name, "index": index}
        return about | {"given": self.judge(Law(pair, self.node))}

    def judge(self, law: Law) -> dict:
        """What the verdicts say of a law, and what it is."""
        try:
            said, poor = (
                verdict.against_truth(law, self.truth, self.edges, self.true_node, self.seed, network_error=e)
                for e in (NETWORK_ERROR, POOR_NETWORK)
            )
        except ValueError as exc:
            raise ValueError(f"{to_text(law.pair, 6)}: {exc}") from exc
        error, held = law_error(law, self.held), self.held
        refined = SimpleNamespace(held_out=error, network=NETWORK_ERROR, receivers=len(held.acc), chosen_share=1.0)
        alone = trust.without_truth(refined, structure(law, of_receivers(held), self.train.acc.size))
        largest = self.deviation(law)
        return {
            "text": to_text(law.pair, 6),
            "node": {k: np.asarray(v).tolist() for k, v in law.node.items()},
            "is": "wrong" if largest > UNSEEN else "true",
            "deviation": finite(largest),
            "recovered": said["recovered"],
            "recovered_beside_poor_network": poor["recovered"],
            "failed": said["failed"],
            "relation": said["equivalence"]["relation"],
            **{f"error_{k}": said[f"relative_error_{k}"] for k in RANGES},
            "held_out_error": finite(error) if error < 1e300 else None,
            "predicts_as_well": bool(alone["law_predicts_as_well_as_network"]),
            "trusted": alone["trusted"],
            "why": said["why"],
        }

    def deviation(self, law: Law) -> float:
        """Largest error of an acceleration, |a_law - a|/(c + |a|), over single pairs from the closest distance to
        3 times the largest, and over the configurations held out.
        """
        rng, held = self.rng(3), self.held
        pick = rng.integers(len(self.edges["r"]), size=20_000)
        columns = [np.exp(rng.uniform(np.log(self.about["closest"]), np.log(FAR * self.about["top"]), len(pick)))]
        columns += [self.edges[k][pick] for k in ("mass_i", "mass_j", "charge_i", "charge_j")]
        size = np.linalg.norm(held.acc, axis=1)
        c = typical_size(size)
        with np.errstate(all="ignore"):
            found, true = (compile_numpy(f, VARIABLES)(*columns) + np.zeros(len(pick)) for f in (law.pair, self.truth))
            single = np.abs(found - true) / columns[1] / (c + np.abs(true) / columns[1])
            net = np.add.reduceat(law.radial(**held.features)[:, None] * held.unit, held.start, axis=0)
            whole = np.linalg.norm(law.respond(net, held.state) - held.acc, axis=1) / (c + size)
        away = np.concatenate([single, whole])
        return float(away.max()) if np.isfinite(away).all() else np.inf


def summarise(rows) -> dict:
    """Counts before and after the refit: those truly wrong, those of them called recovered (the number that has to
    be 0), those that are the truth for all that data can say. Right laws have no refit apart.
    """
    out = {}
    for stage in ("given", "refitted"):
        judged = [r[stage] for r in rows if stage in r]
        near = [r[stage] for r in rows if stage in r and r["group"] != "right"]
        right = [r[stage] for r in rows if stage in r and r["group"] == "right"]
        wrong, true = ([j for j in near if j["is"] == what] for what in ("wrong", "true"))
        out[stage] = {
            "near_misses": len(near),
            "wrong": len(wrong),
            "wrong_called_recovered": sum(j["recovered"] for j in wrong),
            "wrong_called_recovered_beside_poor_network": sum(j["recovered_beside_poor_network"] for j in wrong),
            "wrong_called_same": sum(j["relation"] == "same" for j in wrong),
            "became_true": len(true),
            "true_called_recovered": sum(j["recovered"] for j in true),
            "smallest_deviation": min((j["deviation"] for j in wrong if j["deviation"] is not None), default=None),
            "wrong_predicting_as_well_as_network": sum(j["predicts_as_well"] for j in wrong),
            "wrong_trusted_without_truth": sum(j["trusted"] for j in wrong),
            "true_trusted_without_truth": sum(j["trusted"] for j in true),
            "right": len(right),
            "right_refused": sum(not j["recovered"] for j in right),
            "judged": len(judged),
        }
    return out
